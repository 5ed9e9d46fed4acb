/**
 * Weighted round robin in HAProxy's order (configuration 4.2 "balance roundrobin" and "static-rr"). Pure. WARM: once a connection.
 *
 * RoundRobin: each server has its next place on a line that is as long as the weights' sum. Whoever's place has come is taken, the earliest
 * first; where nobody's has, a server that has not had its turn in this round yet, the heaviest first. A place that lies beyond the round
 * waits for the next one.
 *
 * WeightMap: a table with as many entries as the weights' sum, for static-rr and `source`; made anew when servers come, go or change.
 */
import type { Candidate } from "./balance.ts";

/** Weights are counted in sixteenths, as slowstart steps them. */
const SCALE = 16;
const RANGE = 256;

/** Not yet taken in this round, taken, or already waiting for the next one. */
type Where = "early" | "taken" | "later";

interface Place<T> {
  readonly server: T;
  weight: number;
  at: number;
  before: number;
  rest: number;
  where: Where;
  key: number;
  /** Tells places with the same key apart: first come first served. */
  since: number;
}

export class RoundRobin<T extends Candidate> {
  private places: Place<T>[];
  private count: number;
  private position: number;
  /** Sums of the weights: of this round, and of the next one. */
  private round: number;
  private nextRound: number;

  constructor() {
    this.places = [];
    this.count = 0;
    this.position = 0;
    this.round = 0;
    this.nextRound = 0;
  }

  /** The next of `servers` (those that are usable, in their order) that is free; `avoid` only when there is no other. */
  next(servers: readonly T[], isFree: (s: T) => boolean, avoid: T | null): T | null {
    this.follow(servers);
    const passed: Place<T>[] = [];
    let avoided: Place<T> | null = null;
    let found: Place<T> | null = null;
    for (let turned = false; ;) {
      if (this.round === 0) this.position = this.round = this.nextRound;
      const place = this.first();
      if (place === null) {
        if (turned) {
          found = avoided;
          break;
        }
        turned = true;
        this.turn();
        continue;
      }
      this.advance(place);
      this.places.splice(this.places.indexOf(place), 1);
      this.position++;
      if (isFree(place.server)) {
        if (place.server !== avoid || avoided !== null) {
          found = place;
          break;
        }
        avoided = place;
      }
      passed.push(place);
    }
    if (found !== null) this.queue(found);
    for (let i = passed.length - 1; i >= 0; i--) if (passed[i] !== found) this.queue(passed[i]!);
    return found?.server ?? null;
  }

  private first(): Place<T> | null {
    const taken = this.least("taken");
    if (taken !== null && taken.at <= this.position) return taken;
    return this.least("early") ?? taken;
  }
  private least(where: Where): Place<T> | null {
    let best: Place<T> | null = null;
    for (const p of this.places)
      if (p.where === where && (best === null || p.key < best.key || (p.key === best.key && p.since < best.since))) best = p;
    return best;
  }
  /** A new round: those that have waited for it are early now. */
  private turn(): void {
    this.position = this.round = this.nextRound;
    for (const p of this.places) p.where = p.where === "later" ? "early" : p.where === "early" ? "later" : "taken";
  }
  private advance(p: Place<T>): void {
    if (p.where === "early") p.at = p.rest = 0;
    else if (p.where === "later") p.at += this.round;
    if (p.at === 0) p.at = this.position;
    p.before = p.at;
    p.at += Math.floor(this.nextRound / p.weight);
    p.rest += this.nextRound % p.weight;
    if (p.rest >= p.weight) {
      p.rest -= p.weight;
      p.at++;
    }
  }
  private queue(p: Place<T>): void {
    p.since = ++this.count;
    this.places.push(p);
    if (p.at >= 2 * this.round || p.at >= this.round + this.nextRound) {
      p.at -= this.round;
      p.where = "later";
      p.key = -p.weight;
    } else {
      p.where = "taken";
      p.key = RANGE * p.at + Math.floor((RANGE * SCALE + p.rest - p.weight) / SCALE);
    }
  }

  /** Servers that have come, gone, or changed their weight since the last time. */
  private follow(servers: readonly T[]): void {
    for (const p of this.places.slice()) {
      if (servers.includes(p.server) && p.server.weight > 0) continue;
      this.places.splice(this.places.indexOf(p), 1);
      this.nextRound -= p.weight;
    }
    const isNew = this.places.length === 0;
    for (const server of servers) {
      const weight = Math.round(server.weight * SCALE);
      if (weight === 0) continue;
      const p = this.places.find((x) => x.server === server);
      if (p === undefined) this.join(server, weight, isNew && this.round === 0);
      else if (p.weight !== weight) this.reweigh(p, weight);
    }
  }
  private join(server: T, weight: number, atStart: boolean): void {
    this.nextRound += weight;
    const p: Place<T> = { server, weight, at: 0, before: 0, rest: 0, where: "early", key: -weight, since: ++this.count };
    if (atStart) return void this.places.push(p);
    p.at = this.position + Math.floor((this.nextRound + this.round - this.position) / weight);
    this.queue(p);
  }
  private reweigh(p: Place<T>, weight: number): void {
    this.nextRound += weight - p.weight;
    p.weight = weight;
    if (p.where === "early") {
      p.key = -weight;
      p.since = ++this.count;
      return;
    }
    if (p.where === "later") p.at += this.round;
    // What it has not had of its old place it does not lose.
    const step = Math.floor(this.nextRound / weight);
    p.at = Math.min(p.at, p.before + step);
    p.rest = 0;
    if (p.at < this.position + 2) p.at = this.position + step;
    this.places.splice(this.places.indexOf(p), 1);
    this.queue(p);
  }
}

export class WeightMap<T extends Candidate> {
  private map: T[];
  private servers: readonly T[];
  private weights: number[];
  private index: number;

  constructor() {
    this.map = [];
    this.servers = [];
    this.weights = [];
    this.index = 0;
  }
  /** The server of this number: a hash. */
  at(servers: readonly T[], hash: number): T | null {
    this.follow(servers);
    return this.map.length === 0 ? null : this.map[hash % this.map.length]!;
  }
  /** The next one that is free; `avoid` only when there is no other. */
  next(servers: readonly T[], isFree: (s: T) => boolean, avoid: T | null): T | null {
    this.follow(servers);
    const { map } = this;
    let avoided = -1;
    if (this.index >= map.length) this.index = 0;
    for (let i = 0; i < map.length; i++) {
      const at = (this.index + i) % map.length;
      if (!isFree(map[at]!)) continue;
      if (map[at] !== avoid) {
        this.index = at + 1;
        return map[at]!;
      }
      avoided = at;
    }
    if (avoided < 0) return null;
    this.index = avoided + 1;
    return map[avoided]!;
  }

  private follow(servers: readonly T[]): void {
    if (servers.length === this.servers.length && servers.every((s, i) => s === this.servers[i] && s.weight === this.weights[i])) return;
    this.servers = servers.slice();
    this.weights = servers.map((s) => s.weight);
    const weights = this.weights.map((w) => Math.round(w));
    const total = weights.reduce((n, w) => n + w, 0);
    const scores = weights.map(() => 0);
    this.map = [];
    for (let o = 0; o < total; o++) {
      let best = -1;
      let most = 0;
      // Who is due has the highest score; among those that are as far, the first of the file.
      for (let i = 0; i < weights.length; i++) {
        scores[i]! += weights[i]!;
        const due = Math.floor((scores[i]! + total) / total);
        if (weights[i]! > 0 && (best < 0 || due > most)) {
          most = due;
          best = i;
        }
      }
      scores[best]! -= total;
      this.map.push(servers[best]!);
    }
  }
}

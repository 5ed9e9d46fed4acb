/**
 * Which server takes the next connection (HAProxy configuration 4.2 "balance"): roundrobin, static-rr, leastconn, first, source, random.
 * Pure; the caller hands in the servers that are usable now, in file order, and gets one of them or null. HOT-ish: once a connection.
 */

/** What the algorithms read of a server, and the place where roundrobin keeps its own state. */
export interface Candidate {
  /** Effective weight: 0 takes no new connections. */
  weight: number;
  /** Connections being served. */
  active: number;
  /** Waiting for a slot of this server. */
  queued: number;
  /** 0: no limit. */
  maxconn: number;
  /** Position in the section, from 0: tells equal servers apart. */
  order: number;
  /** Roundrobin: where on the wheel its next turn is; leastconn: when it was last chosen. */
  turn: number;
}

/** The state that an algorithm keeps for a backend. */
export interface Wheel {
  /** Sum of weights at the last pick: when it changes, turns are dealt anew. */
  total: number;
  count: number;
  picks: number;
}
export function newWheel(): Wheel {
  return { total: 0, count: 0, picks: 0 };
}

function hasRoom(s: Candidate): boolean {
  return s.maxconn === 0 || s.active < s.maxconn;
}

/**
 * Weighted round robin: each server has its next turn on a wheel of total/weight steps; the earliest turn wins, the heavier and then the
 * earlier server in a tie. `avoid` is passed over unless it is the only one (redispatch).
 */
export function roundRobin<T extends Candidate>(wheel: Wheel, servers: readonly T[], avoid: T | null): T | null {
  let total = 0;
  let count = 0;
  for (const s of servers)
    if (s.weight > 0) {
      total += s.weight;
      count++;
    }
  if (total === 0) return null;
  if (total !== wheel.total || count !== wheel.count) {
    wheel.total = total;
    wheel.count = count;
    for (const s of servers) s.turn = s.weight > 0 ? total / (2 * s.weight) : 0;
  }
  let best: T | null = null;
  for (const s of servers) {
    if (s.weight === 0 || s === avoid) continue;
    if (best === null || s.turn < best.turn || (s.turn === best.turn && s.weight > best.weight)) best = s;
  }
  best ??= avoid !== null && avoid.weight > 0 && servers.includes(avoid) ? avoid : null;
  if (best !== null) {
    best.turn += total / best.weight;
    wheel.picks++;
  }
  return best;
}

/** Fewest connections (served and queued) per weight; among equals the one that was chosen longest ago. */
export function leastConn<T extends Candidate>(wheel: Wheel, servers: readonly T[], avoid: T | null): T | null {
  let best: T | null = null;
  for (const s of servers) {
    if (s.weight === 0 || s === avoid) continue;
    if (best === null) {
      best = s;
      continue;
    }
    // load_s / weight_s < load_b / weight_b, without division
    const order = (s.active + s.queued) * best.weight - (best.active + best.queued) * s.weight;
    if (order < 0 || (order === 0 && s.turn < best.turn)) best = s;
  }
  best ??= avoid !== null && avoid.weight > 0 && servers.includes(avoid) ? avoid : null;
  if (best !== null) best.turn = ++wheel.picks;
  return best;
}

/** The first server with a free slot; when all are full the first of all takes the queue. */
export function first<T extends Candidate>(servers: readonly T[], avoid: T | null): T | null {
  let any: T | null = null;
  for (const s of servers) {
    if (s.weight === 0 || s === avoid) continue;
    any ??= s;
    if (hasRoom(s)) return s;
  }
  return any ?? (avoid !== null && avoid.weight > 0 && servers.includes(avoid) ? avoid : null);
}

/** One of all, by hash modulo the total weight: the same client stays with the same server while the set does not change. */
export function byHash<T extends Candidate>(servers: readonly T[], hash: number): T | null {
  let total = 0;
  for (const s of servers) total += s.weight;
  if (total === 0) return null;
  let n = hash % total;
  for (const s of servers) {
    if (n < s.weight) return s;
    n -= s.weight;
  }
  return null;
}

/** The number `balance source` starts from: an IPv4 address as its 32 bits, IPv6 folded to them (HAProxy hashes the address alone). */
export function sourceHash(address: string): number {
  const v4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (v4 !== null) return ((Number(v4[1]) << 24) | (Number(v4[2]) << 16) | (Number(v4[3]) << 8) | Number(v4[4])) >>> 0;
  let h = 0;
  for (let i = 0; i < address.length; i++) h = (Math.imul(h, 31) + address.charCodeAt(i)) >>> 0;
  return h;
}

/** `draws` servers by weight, the least loaded of them wins. `random` gives numbers in 0..1. */
export function randomDraws<T extends Candidate>(servers: readonly T[], draws: number, random: () => number): T | null {
  let best: T | null = null;
  let total = 0;
  for (const s of servers) total += s.weight;
  if (total === 0) return null;
  for (let i = 0; i < draws; i++) {
    let n = Math.floor(random() * total);
    for (const s of servers) {
      if (n >= s.weight) {
        n -= s.weight;
        continue;
      }
      if (best === null || s.active * best.weight < best.active * s.weight) best = s;
      break;
    }
  }
  return best;
}

/**
 * What must hold in every world, listened for while it runs:
 * - votes: a Sentinel gives one vote an epoch, and it is in its file before the reply leaves;
 * - at most one elected leader per (master, epoch), and none sends SLAVEOF beside another that is at work;
 * - ours lead only with the votes of a majority of all Sentinels (a planned failover may do without those out of reach);
 * - ours never demote a server that a majority names as the master in a newer epoch than their own file knows (a stale Sentinel);
 * - ours promote no server of another history while one of the master's own is at hand;
 * - config epochs never go back, in a Sentinel's file and across its restarts;
 * - a proxy never serves two masters: its switches go up in epochs, and with the hold policy every write goes to a server that a majority of
 *   Sentinels named just before;
 * - no acknowledged write vanishes from a server that stayed master.
 * Some faults void some of them (a file restored from a backup forgets votes): the world says so in `excuses`.
 */
import { DEFAULT_LIMITS, type Decision } from "../../lib/fleet/authority.ts";
import { SentinelEngine } from "../../lib/sentinel/core/engine.ts";
import type { Master } from "../../lib/sentinel/core/state.ts";
import { eventInstance } from "../../lib/fleet/failover_hold.ts";
import type { Proxy } from "./proxy.ts";
import { contains, type Server } from "./server.ts";
import type { SentinelProcess, Watcher } from "./sentinel.ts";
import { START_MS, type World } from "./world.ts";

/** What a Sentinel's file says about one master at one time. */
export type Held = { at: number; master: string; configEpoch: number; currentEpoch: number; leaderEpoch: number };

export function read(file: string[][], name: string, at: number): Held {
  const held: Held = { at, master: "", configEpoch: 0, currentEpoch: 0, leaderEpoch: 0 };
  for (const [word, a, b, c] of file) {
    if (word === "current-epoch") held.currentEpoch = Number(a);
    if (a !== name) continue;
    if (word === "monitor") held.master = `${b}:${c}`;
    else if (word === "config-epoch") held.configEpoch = Number(b);
    else if (word === "leader-epoch") held.leaderEpoch = Number(b);
  }
  return held;
}

/** What has stood for so long is known to everybody who can know it. */
const STEADY_MS = 3000;

type Acting = { epoch: number; since: number; sent: boolean };

export class Checks implements Watcher {
  private readonly world: World;
  /** Masters by name, and whose server an address is. */
  private readonly masters: readonly string[];
  private readonly masterOf: (address: string) => string;
  private readonly serverOf: (address: string) => Server | undefined;
  /** How many there are. */
  private readonly sentinels: number;
  readonly failures: string[];
  /** What is on disk, by Sentinel and master. */
  private readonly held: Map<string, Held>;
  /** What each Sentinel names as the first master, on disk or not. */
  private readonly spoken: Map<string, { at: number; master: string }[]>;
  private readonly lastEpoch: Map<string, number>;
  private readonly tryEpoch: Map<string, number>;
  /** Attempts of ours that an operator ordered. */
  private readonly ordered: Set<string>;
  private readonly leaders: Map<string, string>;
  private readonly acting: Map<string, Acting>;
  private readonly votes: Map<string, string>;
  private readonly roleTimes: Map<string, number[]>;
  private readonly promoted: Set<string>;
  private readonly lastServed: Map<string, { serverId: string; epoch: number }>;
  /** Voided checks: a voter's name for its votes and epochs, "leaders", "acting", "proxy", "unknown servers" (scenario.ts). */
  readonly excuses: Set<string>;
  /** Figures for curious readers. */
  readonly stats: { leaders: number; switches: number; overlaps: number; lost: number; acked: number; split: number };

  constructor(
    world: World,
    masters: readonly string[],
    sentinels: number,
    masterOf: (address: string) => string,
    serverOf: (address: string) => Server | undefined,
  ) {
    this.world = world;
    this.masters = masters;
    this.sentinels = sentinels;
    this.masterOf = masterOf;
    this.serverOf = serverOf;
    this.failures = [];
    this.held = new Map();
    this.spoken = new Map();
    this.lastEpoch = new Map();
    this.tryEpoch = new Map();
    this.ordered = new Set();
    this.leaders = new Map();
    this.acting = new Map();
    this.votes = new Map();
    this.roleTimes = new Map();
    this.promoted = new Set();
    this.lastServed = new Map();
    this.excuses = new Set();
    this.stats = { leaders: 0, switches: 0, overlaps: 0, lost: 0, acked: 0, split: 0 };
  }

  fail(text: string): void {
    this.failures.push(`at ${this.world.now - START_MS} ms: ${text}`);
    this.world.log("!!!!", text);
  }

  // ---- Sentinels ----

  started(s: SentinelProcess): void {
    this.changed(s, s.file);
    for (const name of this.masters) this.note(s, name, read(s.file, name, this.world.now));
  }
  ended(s: SentinelProcess): void {
    for (const name of this.masters) this.acting.delete(`${s.name} ${name}`);
  }

  changed(s: SentinelProcess, file: string[][]): void {
    let list = this.spoken.get(s.name);
    if (list === undefined) this.spoken.set(s.name, (list = []));
    const { master } = read(file, this.masters[0]!, 0);
    if (list.at(-1)?.master !== master) list.push({ at: this.world.now, master });
  }

  persisted(s: SentinelProcess, file: string[][]): void {
    for (const name of this.masters) this.note(s, name, read(file, name, this.world.now));
  }

  private note(s: SentinelProcess, name: string, now: Held): void {
    const key = `${s.name} ${name}`;
    const last = this.held.get(key);
    if (last !== undefined && !this.excuses.has(s.name)) {
      if (now.configEpoch < last.configEpoch) this.fail(`${key}: config epoch went back from ${last.configEpoch} to ${now.configEpoch}`);
      if (now.currentEpoch < last.currentEpoch)
        this.fail(`${s.name}: current epoch went back from ${last.currentEpoch} to ${now.currentEpoch}`);
      if (now.leaderEpoch < last.leaderEpoch) this.fail(`${key}: vote went back from epoch ${last.leaderEpoch} to ${now.leaderEpoch}`);
    }
    this.held.set(key, now);
  }

  voted(s: SentinelProcess, address: string, leader: string, epoch: number): void {
    const name = this.masterOf(address);
    this.vote(s, name, leader, epoch);
    if (this.excuses.has(s.name)) return;
    if (s.kind === "original" && s.diskFails) return;
    if (read(s.file, name, 0).leaderEpoch < epoch) this.fail(`${s.name} told its vote of epoch ${epoch} before it was in its file`);
  }

  private vote(s: SentinelProcess, name: string, leader: string, epoch: number): void {
    const key = `${s.name} ${name} ${epoch}`;
    const before = this.votes.get(key);
    if (before !== undefined && before !== leader && !this.excuses.has(s.name))
      this.fail(`${s.name} voted twice in epoch ${epoch}: ${before.slice(0, 6)} and ${leader.slice(0, 6)}`);
    this.votes.set(key, leader);
  }

  emitted(s: SentinelProcess, type: string, payload: string): void {
    this.world.log(s.name, `${type} ${payload}`);
    const words = payload.split(" ");
    const name = eventInstance(type, payload)?.masterName ?? "";
    const key = `${s.name} ${name}`;
    switch (type) {
      case "+new-epoch":
        this.lastEpoch.set(s.name, Number(payload));
        break;
      case "+vote-for-leader":
        // The payload does not say about which master.
        if (this.masters.length === 1) this.vote(s, this.masters[0]!, words[0]!, Number(words[1]));
        break;
      case "+try-failover":
        this.tryEpoch.set(key, this.lastEpoch.get(s.name) ?? 0);
        if (this.ours(s, name)?.forced === true) this.ordered.add(key);
        else this.ordered.delete(key);
        break;
      case "+elected-leader": {
        const epoch = this.tryEpoch.get(key) ?? 0;
        // The original counts votes of its current epoch (sentinelGetLeader), which another master's failover may have raised meanwhile, and
        // leads in the epoch of its attempt, in which another may have been elected. Worlds of several masters show it; ours counts per attempt.
        if (s.kind === "original" && (this.lastEpoch.get(s.name) ?? 0) > epoch) this.excuses.add("leaders").add("acting").add("proxy");
        // By an operator's order also without a majority: what others do at the same time is not known to it.
        if (this.ordered.has(key) && !this.hasMajority(s, name, epoch)) this.excuses.add("leaders").add("acting").add("proxy");
        const other = this.leaders.get(`${name} ${epoch}`);
        if (other !== undefined && other !== s.name && !this.excuses.has("leaders"))
          this.fail(`${other} and ${s.name} both lead ${name} in epoch ${epoch}`);
        this.leaders.set(`${name} ${epoch}`, s.name);
        this.majority(s, name, epoch);
        this.acting.set(key, { epoch, since: this.world.now, sent: false });
        this.stats.leaders++;
        break;
      }
      case "+switch-master":
        this.stats.switches++;
        this.acting.delete(key);
        break;
      default:
        if (type.startsWith("-failover-abort") || type === "+failover-end") this.acting.delete(key);
    }
  }

  /** Who is elected has a majority, of all there are. */
  private majority(s: SentinelProcess, name: string, epoch: number): void {
    if (this.ours(s, name) === null || this.ordered.has(`${s.name} ${name}`)) return;
    if (this.excuses.has("leaders") || this.hasMajority(s, name, epoch)) return;
    this.fail(`${s.name} leads ${name} in epoch ${epoch} without the votes of a majority of ${this.sentinels}`);
  }

  private hasMajority(s: SentinelProcess, name: string, epoch: number): boolean {
    let votes = 1;
    for (const [key, leader] of this.votes)
      if (leader === s.engine!.myid && key.endsWith(` ${name} ${epoch}`) && !key.startsWith(`${s.name} `)) votes++;
    return votes * 2 > this.sentinels;
  }

  /** The state of one of ours about a master; null for originals. */
  private ours(s: SentinelProcess, name: string): Master | null {
    return s.engine instanceof SentinelEngine ? (s.engine.state.masters.get(name) ?? null) : null;
  }

  /** A Sentinel with an old file may not demote the master of the others. */
  private demotes(s: SentinelProcess, name: string, address: string): void {
    const mine = this.held.get(`${s.name} ${name}`)?.configEpoch ?? 0;
    let named = 0;
    let epoch = 0;
    for (const [key, held] of this.held) {
      if (!key.endsWith(` ${name}`) || held.master !== address) continue;
      named++;
      epoch = Math.max(epoch, held.configEpoch);
    }
    if (named * 2 > this.sentinels && mine < epoch) this.fail(`${s.name} (epoch ${mine}) demotes ${address}, the master of epoch ${epoch}`);
  }

  /** A server that never had the master's data is not made master while one that has it is at hand. */
  private promotes(s: SentinelProcess, name: string, address: string): void {
    const m = this.ours(s, name);
    if (m === null || m.order.mode === "force") return;
    // Sent once more: it may have become master by the first order, with a stream of its own.
    const attempt = `${s.name} ${name} ${m.failoverEpoch} ${address}`;
    if (this.promoted.has(attempt)) return;
    this.promoted.add(attempt);
    const at = (a: string): Server | undefined => this.serverOf(a);
    const master = at(`${m.addr.ip}:${m.addr.port}`);
    const chosen = at(address);
    if (master === undefined || chosen === undefined) return;
    const since = this.world.now - STEADY_MS;
    if (chosen.replid === master.replid || chosen.replidSinceMs > since || master.replidSinceMs > since) return;
    for (const r of m.replicas.values()) {
      const other = at(`${r.addr.ip}:${r.addr.port}`);
      if (other === undefined || other === chosen || !other.alive || other.isPaused || other.role !== "replica") continue;
      if (other.replid !== master.replid || other.replidSinceMs > since) continue;
      if (r.sdown || !r.link.cmd.up || !r.link.pubsub.up || this.world.now - r.infoMs > 1000 || r.syncing) continue;
      this.fail(`${s.name} promotes ${address}, which has nothing of ${name}'s, although ${other.name} has`);
    }
  }

  sent(s: SentinelProcess, ip: string, port: number, args: string[]): void {
    if (args[0] !== "SLAVEOF") return;
    const name = this.masterOf(`${ip}:${port}`);
    if (s.kind === "ours" && args[1] !== "NO") this.demotes(s, name, `${ip}:${port}`);
    if (s.kind === "ours" && args[1] === "NO") this.promotes(s, name, `${ip}:${port}`);
    const mine = `${s.name} ${name}`;
    const me = this.acting.get(mine);
    if (me === undefined) return;
    me.sent = true;
    const known = this.held.get(mine)?.configEpoch ?? 0;
    for (const [key, other] of this.acting) {
      if (key === mine || !key.endsWith(` ${name}`) || !other.sent) continue;
      // Whoever already follows the earlier leader's configuration acts after it, not beside it.
      if (me.epoch > other.epoch && known >= other.epoch) continue;
      this.stats.overlaps++;
      if (!this.excuses.has("acting"))
        this.fail(`${s.name} (epoch ${me.epoch}) sends ${args.join(" ")} to ${ip}:${port} while ${key} (epoch ${other.epoch}) acts`);
    }
  }

  // ---- proxies and data ----

  roleOf(s: Server): void {
    let times = this.roleTimes.get(s.name);
    if (times === undefined) this.roleTimes.set(s.name, (times = []));
    times.push(this.world.now);
  }

  /** A proxy's switches: by majorities, epochs only go up. */
  decided(p: Proxy, d: Decision): void {
    if (d.serverId === null || d.by !== "majority") return;
    const last = this.lastServed.get(p.name);
    if (last !== undefined && last.serverId !== d.serverId && d.epoch <= last.epoch && !this.excuses.has("proxy"))
      this.fail(`${p.name} went from ${last.serverId} (epoch ${last.epoch}) to ${d.serverId} (epoch ${d.epoch})`);
    this.lastServed.set(p.name, { serverId: d.serverId, epoch: d.epoch });
  }

  /** With hold: whoever got a write was named by a majority of Sentinels within the age that an answer may have. */
  routes(p: Proxy, addressOf: (serverId: string) => string, sentinels: readonly SentinelProcess[]): void {
    if (p.policy !== "hold" || this.excuses.has("proxy")) return;
    const windowMs = DEFAULT_LIMITS.answerMaxAgeMs + 1500;
    let last = "";
    for (const w of p.writes) {
      // An operator's swap is followed on the evidence of the servers.
      if (w.by === "lineage") continue;
      // One look a server and 100 ms is enough.
      const key = `${w.serverId} ${Math.floor(w.sentMs / 100)}`;
      if (key === last) continue;
      last = key;
      const address = addressOf(w.serverId);
      const named = sentinels.filter((s) => this.said(s.name, address, w.sentMs - windowMs, w.sentMs)).length;
      if (named * 2 <= sentinels.length)
        return this.fail(
          `${p.name} sent a write to ${w.serverId} at ${w.sentMs - START_MS} ms, named by ${named}/${sentinels.length} Sentinels`,
        );
    }
  }

  private said(sentinel: string, address: string, fromMs: number, toMs: number): boolean {
    const list = this.spoken.get(sentinel) ?? [];
    return list.some((h, i) => h.master === address && h.at <= toMs && (list[i + 1]?.at ?? Infinity) >= fromMs);
  }

  /** At the end: every acknowledged write is there, unless the server that took it has lost its place or its process since. */
  history(p: Proxy, final: Server, servers: readonly Server[]): void {
    const there = new Set<number>();
    for (let e = final.head; e !== null; e = e.before) there.add(e.value);
    for (const w of p.writes) {
      if (w.outcome !== "acked") continue;
      this.stats.acked++;
      if (there.has(w.value)) continue;
      this.stats.lost++;
      const taker = servers.find((s) => s.name === w.serverId)!;
      const changed = (this.roleTimes.get(taker.name) ?? []).some((t) => t >= w.sentMs);
      if (!changed && !this.excuses.has("unknown servers"))
        this.fail(`write ${w.value}, acknowledged by ${w.serverId}, is gone although ${w.serverId} stayed master`);
    }
    for (const s of servers)
      if (s.alive && final.head !== null && !contains(s.head, final.head.value) && final.head.offset <= s.offset)
        this.fail(`${s.name} does not hold what ${final.name} holds`);
  }
}

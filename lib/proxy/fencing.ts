/**
 * The authority at work for one backend: probes of its servers and watches of the Sentinels feed fleet/authority.ts, whose decision is
 * carried out here: which server is used, which are fenced, which sessions end or wait. COLD.
 *
 *   ServerProbe x n --\                               /-> backend.chosen, held sessions released
 *   hello channel -----> decide() on every change ----+-> server.fenced, state lines, sessions shut
 *   SentinelWatch x m -/    and on a timer            \-> log
 *
 * The health checks keep their say: a server whose check fails after its role was read is not used. Events of Sentinels, closed links and
 * hellos decide nothing; they start the asking (design 5).
 */
import { decide, DEFAULT_LIMITS, type Confirmed, type Decision, type FailoverHold, type ServerView } from "../fleet/authority.ts";
import { failoverHold } from "../fleet/failover_hold.ts";
import { lineage } from "../fleet/lineage.ts";
import { sameAddress, showAddress, type Address, type Hello } from "../fleet/hello.ts";
import { isUp } from "./core/health.ts";
import { passed } from "./core/status.ts";
import type { Checker } from "./checks.ts";
import type { Engine } from "./engine.ts";
import { learntServer } from "./learnt.ts";
import { authOfCheck, ServerProbe } from "./server_probe.ts";
import { SentinelWatch } from "./sentinel_watch.ts";
import type { Backend, Server } from "./state.ts";
import type { Topology } from "./stats/topology.ts";
import { nowMs, type Timed } from "./timers.ts";
import { moveSessions, say, wentDown, wentUp } from "./transitions.ts";

/** Without any event. */
const TICK_MS = 250;
/** How long into a hold everybody is asked often. */
const HURRY_HOLD_MS = 30_000;
/** So long a server that is not the choice any more may take to become a replica: its Sentinel tells it as soon as it tells the others. */
const DEMOTED_MS = 500;
const DEMOTED_ASK_MS = 5;
/** At most this many Sentinels are asked: hellos can be forged. */
const SENTINELS_MAX = 32;
/** At most this many servers are learnt from Sentinels. */
const SERVERS_MAX = 64;
const SEVERITY = { notice: 5, warning: 4, alert: 1 } as const;

export class Fencing implements Timed {
  readonly backend: Backend;
  private readonly engine: Engine;
  private readonly probes: ServerProbe[];
  private readonly checkers: Map<Server, Checker>;
  private readonly watches: SentinelWatch[];
  private readonly auth: string[] | null;
  private readonly learns: boolean;
  /** The master's name at the Sentinels; "" until a hello or the file has told it. */
  private name: string;
  private confirmed: Confirmed | null;
  decision: Decision | null;
  private failover: FailoverHold | null;
  /** Set by an administrator. */
  override: string | null;
  private drained: Server | null;
  private drainedUntilMs: number;
  private lastChosen: Server | null;
  private scheduled: boolean;
  private stopped: boolean;
  deadlineMs: number;
  heapAt: number;

  constructor(engine: Engine, backend: Backend, checkers: Checker[]) {
    this.engine = engine;
    this.backend = backend;
    this.checkers = new Map(checkers.map((c) => [c.server, c]));
    this.watches = [];
    const config = backend.config;
    this.name = config.sentinels[0]?.name ?? "";
    this.confirmed = null;
    this.decision = null;
    this.failover = null;
    this.override = null;
    this.drained = null;
    this.drainedUntilMs = 0;
    this.lastChosen = null;
    this.scheduled = false;
    this.stopped = false;
    this.deadlineMs = 0;
    this.heapAt = -1;
    const auth = config.probeAuth ?? config.auth;
    this.auth = auth !== null ? ["AUTH", ...auth] : authOfCheck(config.tcpCheck.flatMap((r) => (r.kind === "send" ? [r.data] : [])));
    this.learns = config.mode === "redis" && config.servers.length === 0;
    this.probes = backend.servers.map((s) => this.probe(s));
  }

  private probe(s: Server): ServerProbe {
    return new ServerProbe(
      s,
      {
        pollMs: Math.max(50, Math.min(500, s.config.interMs)),
        silenceMs: Math.max(500, Math.min(3000, s.config.interMs)),
        auth: this.auth,
      },
      () => this.soon(),
      (hello) => this.heard(s, hello),
    );
  }
  /** Mode redis without server lines: the servers are those that the Sentinels of the file list. */
  private learn(address: Address): void {
    if (!this.learns || this.stopped || this.probes.length >= SERVERS_MAX) return;
    const { backend } = this;
    const name = showAddress(address);
    if (backend.servers.some((s) => s.name === name)) return;
    const server = learntServer(backend, address);
    const probe = this.probe(server);
    this.probes.push(probe);
    probe.start();
  }

  start(): void {
    this.backend.verify = (server, done) => this.verify(server, done);
    this.backend.demoted = (server, done) => this.demoted(server, done);
    for (const c of this.checkers.values()) c.onResult = () => this.soon();
    for (const s of this.backend.config.sentinels) if (s.name === this.name) this.watch({ host: s.host, port: s.port }, "config", "");
    for (const p of this.probes) p.start();
    this.backend.holdingSinceMs = nowMs();
    this.engine.timers.set(this, nowMs() + TICK_MS);
  }
  /** Something outside has changed (an administrator): decides anew. */
  review(): void {
    this.soon();
  }
  stop(): void {
    this.stopped = true;
    this.engine.timers.remove(this);
    for (const p of this.probes) p.stop();
    for (const w of this.watches) w.stop();
  }

  /** A session has lost `server`, or been refused by it: what is it now? */
  private verify(server: Server, done: (same: boolean) => void): void {
    const probe = this.probes.find((p) => p.server === server)!;
    const runId = probe.runId;
    probe.fresh(() => {
      if (this.stopped) return;
      this.run();
      done(probe.reachable && probe.runId === runId && runId !== null && this.backend.chosen === server);
    });
  }

  /** Does `server`, which is not the choice any more, know it? */
  private demoted(server: Server, done: (is: boolean) => void): void {
    const probe = this.probes.find((p) => p.server === server)!;
    const end = nowMs() + DEMOTED_MS;
    const ask = (): void => {
      if (probe.info?.role === "replica" || !probe.reachable || this.stopped || nowMs() >= end)
        return done(probe.reachable && probe.info?.role === "replica");
      probe.poll();
      setTimeout(ask, DEMOTED_ASK_MS);
    };
    ask();
  }

  /** The masters' names and Sentinels, for `show` commands and tests. */
  get sentinels(): readonly SentinelWatch[] {
    return this.watches;
  }

  /** What is known, for people. */
  topology(): Topology {
    const { backend } = this;
    return {
      backend: backend.name,
      name: this.name,
      chosen: backend.chosen?.name ?? null,
      held: backend.held.size,
      servers: this.probes.map(({ server, info, reachable, address }) => ({
        name: server.name,
        address: `${address.host}:${address.port}`,
        role: info?.role ?? "unknown",
        reachable,
        chosen: server === backend.chosen,
        fenced: server.fenced,
        offset: info?.offset ?? 0,
        replicas: info?.connectedReplicas ?? 0,
        linkUp: info?.masterLinkUp ?? false,
        state: server.statusText,
        sessions: server.active,
      })),
      sentinels: this.watches.map((w) => {
        const { answer } = w;
        const master = answer?.address ?? null;
        return {
          address: `${w.address.host}:${w.address.port}`,
          state: w.state,
          says: master === null ? "no answer yet" : `master ${master.host}:${master.port}`,
        };
      }),
    };
  }

  expire(): void {
    this.run();
    if (!this.stopped) this.engine.timers.set(this, nowMs() + TICK_MS);
  }

  /** Decides at the end of this turn, once for all that happens in it. */
  private soon(): void {
    if (this.scheduled || this.stopped) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      if (!this.stopped) this.run();
    });
  }

  // ---- Sentinels

  /** A hello through server `s`: somebody claims to be a Sentinel of a master of that name. It is asked, no more. */
  private heard(s: Server, hello: Hello): void {
    const probe = this.probes.find((p) => p.server === s)!;
    if (this.name === "") {
      // The first hello names the set, if it is about one of our servers.
      const about = { host: hello.masterHost, port: hello.masterPort };
      const known = this.probes.some((p) => p.view(true).addresses.some((a) => sameAddress(a, about)) || follows(p, about));
      if (!known && probe.info?.role !== "master") return;
      this.name = hello.masterName;
    }
    if (hello.masterName !== this.name) return;
    this.watch({ host: hello.host, port: hello.port }, "hello", hello.runId);
  }

  private watch(address: Address, source: "config" | "peer" | "hello", id: string): void {
    const had = this.watches.find((w) => sameAddress(w.address, address) || (id !== "" && w.id === id));
    if (had !== undefined || this.watches.length >= SENTINELS_MAX) return;
    const w = new SentinelWatch(address, source, this.name, id === "" ? `${address.host}:${address.port}` : id, {
      changed: () => this.soon(),
      event: (from, channel, payload) => this.event(from, channel, payload),
      // What a Sentinel of the file lists counts as if it were in the file; what one from a hello lists is hearsay like itself.
      server: (a) => {
        if (source !== "hello") this.learn(a);
      },
      peer: (a, runId) => this.watch(a, source === "hello" ? "hello" : "peer", runId),
    });
    this.watches.push(w);
    w.start();
  }

  private event(from: SentinelWatch, channel: string, payload: string): void {
    this.failover = failoverHold(this.failover, from.id, this.name, channel, payload, nowMs());
    if (/^[+-](failover|try|selected|promoted|switch|elected|new-epoch|odown|slave-reconf|config-update)/.test(channel)) this.hurry(3000);
    this.soon();
  }
  private hurry(ms: number): void {
    for (const w of this.watches) w.hurry(ms);
    for (const p of this.probes) p.hurry(ms);
  }

  // ---- decisions

  /** Its check has nothing against it: passed last time, or failed before the role that is looked at now was told. */
  private checkAllows(p: ServerProbe): boolean {
    const checker = this.checkers.get(p.server);
    if (checker === undefined) return true;
    const last = p.server.health.last;
    if (last === null) return false;
    if (isUp(p.server.health) || passed(last.status)) return true;
    if (checker.lastStartMs < p.masterSinceMs) return true;
    // Role checks fail on replicas, and that is no reason to call them unreachable.
    return p.info?.role === "replica" && last.status === "L7RSP";
  }

  private run(): void {
    const views: ServerView[] = this.probes.map((p) => p.view(this.checkAllows(p)));
    const before = this.decision;
    const decision = decide({
      nowMs: nowMs(),
      masterName: this.name,
      sentinels: this.watches.map((w) => w.view()),
      servers: views,
      confirmed: this.confirmed,
      policy: this.backend.config.partition,
      hints: { failover: this.failover, override: this.override },
      limits: DEFAULT_LIMITS,
      previous: before,
    });
    this.decision = decision;
    this.confirmed = decision.confirmed;
    for (const line of decision.log) say(this.engine, this.backend, SEVERITY[line.level], `backend ${this.backend.name}: ${line.text}`);
    this.carryOut(decision);
    if (this.backend.chosen !== null) this.backend.board?.setReaders(this.readable());
    // Somebody is waited for: whoever speaks next matters, for as long as a failover may take.
    if (decision.action === "hold" && nowMs() - this.backend.holdingSinceMs < HURRY_HOLD_MS) this.hurry(200);
  }

  /** Replicas of the chosen master that are not further behind than redis-read allows. The master counts the lag in seconds. */
  private readable(): Server[] {
    const { chosen, config } = this.backend;
    const master = this.probes.find((p) => p.server === chosen);
    if (config.read === "master" || master?.info == null) return [];
    const listed = master.info.replicas;
    const maxLag = Math.ceil(config.readMaxLagMs / 1000);
    return this.probes
      .filter((p) => {
        if (!p.reachable || p.info?.role !== "replica" || !p.info.masterLinkUp || p.server.admin !== "ready") return false;
        const line = listed.find((l) => l.port === p.address.port && (l.host === p.address.host || listed.length === 1));
        return line !== undefined && line.state === "online" && line.lagSeconds <= maxLag;
      })
      .map((p) => p.server);
  }

  /** A planned failover: until then nothing new goes to this server. Null: over. */
  drain(server: Server | null, untilMs: number): void {
    this.drained = server;
    this.drainedUntilMs = untilMs;
    this.run();
    if (server !== null) this.hurry(untilMs - nowMs());
  }
  /** A replica of `master` has all of its writes, by what both have said since. */
  hasLevelReplica(master: Server): boolean {
    const m = this.probes.find((p) => p.server === master);
    if (m?.info == null) return false;
    const { history } = m.info;
    // The replica's word must be the later one.
    return this.probes.some((p) => {
      const i = p.info;
      if (p === m || i === null || i.role !== "replica" || !i.masterLinkUp || p.infoAtMs < m.infoAtMs) return false;
      return i.history.replid === history.replid && i.offset >= history.offset;
    });
  }
  /** How far the new master is behind what the old one was last known to have: what clients were told and is gone. */
  private account(was: Server, chosen: Server): void {
    const probe = (s: Server): ServerProbe | undefined => this.probes.find((p) => p.server === s);
    const now = probe(chosen)?.info?.history ?? null;
    const then = probe(was)?.lastAsMaster ?? null;
    if (now === null || then === null) return;
    const l = lineage(now, then);
    const lost = l.kind === "successor" ? l.divergedBytes : 0;
    this.backend.lostBytes += lost;
    if (lost > 0)
      say(
        this.engine,
        this.backend,
        4,
        `backend ${this.backend.name}: ${was.name} had ${lost} bytes of writes that ${chosen.name} has not`,
      );
  }

  private carryOut(d: Decision): void {
    const { backend } = this;
    const chosen = d.serverId === null ? null : (backend.servers.find((s) => s.name === d.serverId) ?? null);
    const was = backend.chosen;
    // First nobody gets anything new; then the others are cleared; then the chosen one is let in.
    if (was !== chosen) backend.chosen = null;
    for (const s of backend.servers) {
      const fence = d.fenced.find((f) => f.serverId === s.name)?.reason ?? null;
      this.setFence(s, fence);
      if (s === chosen || (s.sessions.size === 0 && !backend.board?.uses(s))) continue;
      const probe = this.probes.find((p) => p.server === s)!;
      const replica = probe.reachable && probe.info?.role === "replica";
      if (chosen !== null || fence !== null || replica) moveSessions(s);
    }
    if (chosen === null) {
      if (backend.holdingSinceMs === 0) backend.holdingSinceMs = nowMs();
      // What is still connected to the last master sends nothing new.
      for (const s of backend.servers) for (const session of s.sessions) session.gate(true);
      backend.board?.gate(true);
      for (const p of this.probes) p.hold(true);
      return;
    }
    backend.holdingSinceMs = 0;
    const shut = chosen === this.drained && nowMs() < this.drainedUntilMs;
    if (was !== chosen) {
      backend.chosen = chosen;
      // Chosen behind a shut gate: it may have to be taught something first.
      backend.board?.gate(true);
      backend.board?.choose(chosen);
    }
    for (const session of chosen.sessions) session.gate(shut);
    backend.board?.gate(shut);
    const before = this.lastChosen;
    if (before !== null && before !== chosen) this.account(before, chosen);
    this.lastChosen = chosen;
    for (const p of this.probes) p.hold(shut);
    if (was !== chosen) {
      this.bringUp(chosen, d);
      // A copy: whoever has to wait again is put back into the set.
      for (const s of Array.from(backend.held)) s.dispatch(null);
    }
  }

  /** The master need not wait for `rise` checks: its own word and the Sentinels' are better. The next check still has its say. */
  private bringUp(s: Server, d: Decision): void {
    const checker = this.checkers.get(s);
    if (checker === undefined || s.isUp) return;
    s.health.counter = s.config.rise + s.config.fall - 1;
    wentUp(this.engine, s, `, reason: ${d.by === "majority" ? `master by the word of ${d.votes}/${d.known} Sentinels` : "master"}`);
    checker.hurry();
  }

  private setFence(s: Server, reason: string | null): void {
    if (s.fenced === reason) return;
    const was = s.isUp;
    s.fenced = reason;
    // It was fenced as a master and is a replica now: its last passed check means nothing any more.
    if (reason === null && this.probes.find((p) => p.server === s)?.info?.role !== "master") s.health.counter = 0;
    if (was && !s.isUp) wentDown(this.engine, s, ` (fenced, ${reason})`);
    else if (!was && s.isUp) wentUp(this.engine, s, " (no longer fenced)");
    if (reason !== null) moveSessions(s);
  }
}

function follows(p: ServerProbe, master: Address): boolean {
  return p.info !== null && p.info.role === "replica" && p.info.masterHost === master.host && p.info.masterPort === master.port;
}

/**
 * The dashboard's data as one Sentinel sees it: GET / and GET /data.json on `sentinel metrics-port`. COLD.
 * The same shape as --status --page has (lib/status/view.ts toJson), from what this Sentinel knows without asking anybody: the last INFO of
 * each server, the other Sentinels, its memory of failovers, the last events. Figures are as old as the last INFO, one to ten seconds.
 * Leaves out the proxies, which no Sentinel knows, and any action: this port asks for no password.
 */
import { randomBytes } from "node:crypto";
import { infoFields } from "../fleet/replication.ts";
import { dashboard, pageHeaders, type Series, type ServerSeries } from "../page/page.ts";
import { shownWithPort } from "./core/addr.ts";
import type { SentinelEngine } from "./core/engine.ts";
import type { Instance, Master, Replica } from "./core/state.ts";

const SAMPLES = 300;
const SAMPLE_MS = 1000;
const CHANGES = 100;

export interface Page {
  headers: Record<string, string>;
  body: string;
}

export class SentinelPage {
  private readonly engine: SentinelEngine;
  private readonly series: Series;
  private readonly changes: { at: string; text: string }[];
  private sampledMs: number;

  constructor(engine: SentinelEngine) {
    this.engine = engine;
    this.series = { times: [], servers: {} };
    this.changes = [];
    this.sampledMs = 0;
  }

  /** An event went out. */
  note(type: string, payload: string): void {
    this.changes.push({ at: new Date().toISOString(), text: `${type} ${payload}` });
    if (this.changes.length > CHANGES) this.changes.shift();
  }

  /** What stands at a path; null when nothing does. */
  at(path: string): Page | null {
    if (path === "/data.json")
      return { headers: { "content-type": "application/json", "cache-control": "no-store" }, body: JSON.stringify(this.data(Date.now())) };
    if (path !== "/") return null;
    const nonce = randomBytes(12).toString("base64url");
    return { headers: pageHeaders(nonce), body: dashboard("", nonce) };
  }

  private data(nowMs: number): object {
    const { state } = this.engine;
    const masters = [...state.masters.values()];
    this.sample(masters, nowMs);
    const findings = state.tilt ? [{ level: "bad", text: "This Sentinel is in TILT: it watches and does not act." }] : [];
    const sets = masters.map((m) => this.set(m));
    const healthy = ![...findings, ...sets.flatMap((s) => s.findings)].some((f) => f.level === "bad");
    return {
      at: new Date(nowMs).toISOString(),
      healthy,
      sets,
      proxies: [],
      statistics: [],
      unanswered: masters.flatMap((m) =>
        [m, ...m.replicas.values()].filter((ri) => ri.sdown).map((ri) => ({ address: this.address(ri), error: "down for this Sentinel" })),
      ),
      findings,
      series: this.series,
      changes: this.changes,
    };
  }

  private address(ri: Instance): string {
    return shownWithPort(this.engine.state, ri.addr);
  }

  private set(m: Master): { findings: { level: string; text: string }[] } & Record<string, unknown> {
    const { state } = this.engine;
    const findings: { level: string; text: string }[] = [];
    const bad = (text: string): void => void findings.push({ level: "bad", text });
    const replicas = [...m.replicas.values()];
    if (m.odown) bad(`The master ${this.address(m)} is down for the quorum.`);
    else if (m.sdown) bad(`The master ${this.address(m)} is down for this Sentinel.`);
    if (m.failoverState !== "none") bad("A failover is under way.");
    const good = replicas.filter((r) => !r.sdown && r.masterLinkUp);
    if (good.length === 0) bad("No replica is in sync: nothing can take the master's place.");
    for (const r of replicas) if (r.sdown) bad(`Replica ${this.address(r)} is down for this Sentinel.`);
    for (const p of m.peers.values()) if (p.sdown) bad(`Sentinel ${this.address(p)} is down for this one.`);
    const self = {
      address: "this Sentinel",
      id: state.myid,
      names: this.address(m),
      epoch: m.configEpoch,
      quorum: m.quorum,
      flags: m.odown ? ["o_down"] : m.sdown ? ["s_down"] : [],
    };
    const peers = [...m.peers.values()].map((p) => ({
      ...self,
      address: this.address(p),
      id: p.runid,
      flags: p.sdown ? ["s_down"] : [],
    }));
    return {
      name: m.name,
      epoch: m.configEpoch,
      master: m.sdown ? null : this.server(m, null),
      replicas: replicas.filter((r) => !r.sdown).map((r) => this.server(r, r)),
      sentinels: [self, ...peers],
      failovers: m.history.toReversed().map((a) => ({ ...a, startIso: new Date(a.startWallMs).toISOString() })),
      findings,
    };
  }

  private server(ri: Master | Replica, replica: Replica | null): object {
    const f = infoFields(ri.info ?? "");
    let keys = 0;
    for (const [name, value] of f) if (/^db\d+$/.test(name)) keys += Number(/keys=(\d+)/.exec(value)?.[1] ?? 0);
    const own = f.get("redisha_version");
    return {
      address: this.address(ri),
      role: replica === null ? "master" : "replica",
      version: own !== undefined ? `redisha ${own}` : `redis ${f.get("redis_version") ?? "?"}`,
      run_id: ri.runid,
      offset: Number(f.get(replica === null ? "master_repl_offset" : "slave_repl_offset") ?? 0),
      link: replica === null ? null : replica.masterLinkUp ? "up" : replica.syncing ? "sync" : "down",
      master: replica === null ? null : `${replica.masterHost}:${replica.masterPort}`,
      keys,
      used_memory_bytes: Number(f.get("used_memory") ?? 0),
      clients: Number(f.get("connected_clients") ?? 0),
      ops_per_second: Number(f.get("instantaneous_ops_per_sec") ?? 0),
    };
  }

  /** Figures are taken while somebody looks, once a second at most. */
  private sample(masters: readonly Master[], nowMs: number): void {
    if (nowMs - this.sampledMs < SAMPLE_MS) return;
    this.sampledMs = nowMs;
    const { times, servers } = this.series;
    times.push(nowMs / 1000);
    const seen = new Map<string, ReadonlyMap<string, string> | null>();
    const behind = new Map<string, number>();
    for (const m of masters)
      for (const ri of [m, ...m.replicas.values()]) {
        const name = this.address(ri);
        seen.set(name, ri.sdown || ri.info === null ? null : infoFields(ri.info));
        if (ri.role === "slave") behind.set(name, Math.max(0, Number(infoFields(m.info ?? "").get("master_repl_offset") ?? 0) - ri.offset));
        servers[name] ??= emptySeries(times.length - 1);
      }
    for (const [name, of] of Object.entries(servers)) {
      const f = seen.get(name) ?? null;
      const field = (key: string): number | null => (f === null ? null : Number(f.get(key) ?? 0));
      of.ops.push(field("instantaneous_ops_per_sec"));
      of.clients.push(field("connected_clients"));
      of.ping.push(null);
      of.behind.push(f === null ? null : (behind.get(name) ?? 0));
    }
    if (times.length <= SAMPLES) return;
    times.shift();
    for (const of of Object.values(servers)) for (const line of [of.ops, of.clients, of.ping, of.behind]) line.shift();
  }
}

function emptySeries(samples: number): ServerSeries {
  const nothing = (): null[] => new Array<null>(samples).fill(null);
  return { ops: nothing(), ping: nothing(), behind: nothing(), clients: nothing() };
}

/**
 * Servers given by name: the first look-up at the start (init-addr), and with `resolvers` again and again while the proxy runs (HAProxy
 * configuration 5.3). A changed address leads the server through its first check anew; a name that stays unresolved for longer than its
 * `hold` takes the server into maintenance. COLD.
 *
 * All name servers of a section are asked at once (name_query.ts), a section without any (`default`) asks the system's. Servers of one backend
 * with the same name share one answer: each gets an address of its own, the rest wait for one. SRV names are looked up as such, with their
 * ports and weights.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { HaproxyConfig, ServerConfig } from "../config/haproxy_model.ts";
import type { Diagnostics } from "../log/haproxy_line.ts";
import type { Engine } from "./engine.ts";
import { resetHealth } from "./core/health.ts";
import { NameQuery, type Answer, type Failure } from "./name_query.ts";
import { setWeight } from "./slowstart.ts";
import type { Server } from "./state.ts";
import { nowMs } from "./timers.ts";
import { enterMaintenance, leaveMaintenance, moveSessions, say } from "./transitions.ts";

function isName(s: ServerConfig): boolean {
  return s.path === "" && s.host !== "" && isIP(s.host) === 0;
}

/** Host names of servers become addresses; true when one could not be found and may not be missing. */
export async function resolveServers(config: HaproxyConfig, diagnostics: Diagnostics): Promise<boolean> {
  let failed = false;
  for (const p of config.proxies) {
    for (const s of p.servers) {
      if (!isName(s)) continue;
      s.dnsName = s.host;
      const address = await initialAddress(config, s);
      if (address !== null) {
        s.host = address.host;
        if (address.port > 0) s.port = address.port;
      } else if (s.initAddr.split(",").includes("none")) {
        s.host = "";
        s.unresolved = true;
      } else {
        diagnostics.alert(`config : [${s.file}:${s.line}] : 'server ${p.name}/${s.name}' : could not resolve address '${s.dnsName}'.`);
        failed = true;
      }
    }
  }
  if (failed) diagnostics.alert("config : Failed to initialize server(s) addr.");
  return failed;
}
/** The original asks the system alone at the start; ours asks the section's name servers where there is one. */
async function initialAddress(config: HaproxyConfig, s: ServerConfig): Promise<Answer | null> {
  for (const method of s.initAddr.split(",")) {
    if (isIP(method) !== 0) return { host: method, port: 0, weight: 0 };
    if (method !== "libc") continue;
    const section = config.global.strict ? undefined : config.resolvers.find((r) => r.name === s.resolvers);
    if (section !== undefined && section.nameservers.length > 0) {
      const found = await new NameQuery(section).ask(s.dnsName, s.resolvePrefer);
      if ("answers" in found) return found.answers[0]!;
      continue;
    }
    try {
      return { host: (await lookup(s.dnsName)).address, port: 0, weight: 0 };
    } catch {
      // the next method, if there is one
    }
  }
  return null;
}

/** What a maintenance for want of an address is called, by what the last look-up came to. */
const REASON: Record<Failure, string> = {
  nx: "DNS NX status",
  refused: "DNS refused status",
  timeout: "DNS timeout status",
  other: "unspecified DNS error",
};

/** What is known of a name. */
interface Known {
  /** When it was last found (Date.now); 0: never. */
  foundAt: number;
  /** Its addresses, and when each was last among the answers. */
  readonly answers: Map<string, { answer: Answer; seenAt: number }>;
}

/** Looks the names of one resolvers section up for as long as the proxy runs. */
export class Resolving {
  private readonly engine: Engine;
  private readonly servers: Server[];
  private readonly known: Map<string, Known>;
  private timer: ReturnType<typeof setTimeout> | null;
  /** The questions, and their counters (show resolvers). */
  readonly query: NameQuery;

  constructor(engine: Engine, query: NameQuery, servers: Server[]) {
    this.engine = engine;
    this.servers = servers;
    this.known = new Map();
    this.timer = null;
    this.query = query;
  }
  start(): void {
    const foundAt = Date.now();
    for (const s of this.servers) if (!s.unresolved) this.known.set(s.config.dnsName, { foundAt, answers: new Map() });
    this.later(0);
  }
  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
  private later(ms: number): void {
    this.timer = setTimeout(() => void this.round().finally(() => this.timer !== null && this.later(this.query.section.periodMs)), ms);
    this.timer.unref?.();
  }

  private async round(): Promise<void> {
    await Promise.all([...new Set(this.servers.map((s) => s.config.dnsName))].map((name) => this.look(name)));
  }
  private async look(name: string): Promise<void> {
    const servers = this.servers.filter((s) => s.config.dnsName === name);
    if (servers.length === 0) return;
    const found = await this.query.ask(name, servers[0]!.config.resolvePrefer);
    if (this.timer === null) return;
    const known = this.known.get(name) ?? { foundAt: 0, answers: new Map() };
    this.known.set(name, known);
    const now = Date.now();
    if ("failure" in found) return this.lost(servers, found.failure, now - known.foundAt);
    known.foundAt = now;
    for (const answer of found.answers) known.answers.set(`${answer.host}:${answer.port}`, { answer, seenAt: now });
    for (const [key, a] of known.answers)
      if (a.seenAt < now && now - a.seenAt >= this.query.section.holdMs.obsolete) known.answers.delete(key);
    const answers = [...known.answers.values()].map((a) => a.answer);
    for (const b of new Set(servers.map((s) => s.backend)))
      this.spread(
        servers.filter((s) => s.backend === b),
        answers,
        found.by,
      );
  }
  private lost(servers: Server[], why: Failure, forMs: number): void {
    if (forMs < this.query.section.holdMs[why]) return;
    for (const s of servers) this.without(s, REASON[why]);
  }
  private without(s: Server, why: string): void {
    if (s.unresolved) return;
    const wasUp = s.isUp;
    s.unresolved = true;
    if (this.engine.config.global.strict) s.host = "";
    enterMaintenance(this.engine, s, wasUp, ` (${why})`);
  }

  /** Servers keep the address they have while it is among the answers; the others get one that nobody has, or none. */
  private spread(servers: Server[], answers: Answer[], by: string): void {
    const has = (s: Server): Answer | undefined =>
      s.unresolved ? undefined : answers.find((a) => a.host === s.host && (a.port === 0 || a.port === s.port));
    const taken = new Set(servers.map(has).filter((a) => a !== undefined));
    let first = true;
    for (const s of servers) {
      const own = has(s);
      const to = own ?? answers.find((a) => !taken.has(a));
      if (to === undefined) this.without(s, "No IP for server ");
      else {
        taken.add(to);
        if (to.weight > 0 && to.weight !== s.userWeight && !s.config.ignoresDnsWeight) {
          s.userWeight = to.weight;
          setWeight(s, nowMs());
        }
        if (own === undefined) this.moveTo(s, to, first ? `${this.query.section.name}/${by}` : "DNS cache");
      }
      first = false;
    }
  }
  private moveTo(s: Server, to: Answer, by: string): void {
    const { engine } = this;
    const from = s.unresolved && s.host === "" ? "(none)" : s.host;
    const back = s.backend;
    const moved = from !== to.host;
    s.host = to.host;
    if (to.port > 0) s.port = to.port;
    if (moved) say(engine, back, 5, `${s.path} changed its IP from ${from} to ${to.host} by ${by}.`);
    if (s.unresolved) {
      s.unresolved = false;
      if (!s.inMaintenance) leaveMaintenance(engine, s, "resolves again", ` ('${s.config.dnsName}')`);
      return say(engine, back, 5, `Server ${s.path} administratively READY thanks to valid DNS answer.`);
    }
    if (engine.config.global.strict) return;
    // Nobody has asked the new address yet who it is.
    if (s.isChecked) resetHealth(s.health, !back.byAuthority);
    if (back.byAuthority) moveSessions(s);
  }
}

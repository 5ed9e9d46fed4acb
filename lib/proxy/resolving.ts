/**
 * Servers given by name: the first look-up at the start (init-addr), and with `resolvers` again and again while the proxy runs (HAProxy
 * configuration 5.3). A changed address leads the server through its first check anew; a name that stays unresolved for longer than its
 * `hold` takes the server into maintenance. COLD.
 *
 * The name servers of a section are asked in its order; one without any (`default`) uses the system's. server-template lines share one
 * answer: each server gets an address of its own. SRV names are looked up as such, with their ports.
 */
import { Resolver, lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { HaproxyConfig, ResolversConfig, ServerConfig } from "../config/haproxy_model.ts";
import type { Diagnostics } from "../log/haproxy_line.ts";
import type { Engine } from "./engine.ts";
import { resetHealth } from "./core/health.ts";
import type { Server } from "./state.ts";
import { enterMaintenance, leaveMaintenance, moveSessions, say } from "./transitions.ts";

/** Between two look-ups of the same name, unless `hold valid` is shorter. */
const PERIOD_MS = 1000;

export interface Answer {
  host: string;
  /** 0: not given. */
  port: number;
}

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
async function initialAddress(config: HaproxyConfig, s: ServerConfig): Promise<Answer | null> {
  for (const method of s.initAddr.split(",")) {
    if (isIP(method) !== 0) return { host: method, port: 0 };
    if (method !== "libc") continue;
    try {
      if (s.resolvers !== "")
        return (await ask(config.resolvers.find((r) => r.name === s.resolvers) ?? null, s.dnsName, s.resolvePrefer))[0] ?? null;
      return { host: (await lookup(s.dnsName)).address, port: 0 };
    } catch {
      // the next method, if there is one
    }
  }
  return null;
}

/** Addresses of a name, the preferred family first; rejects when there are none. */
async function ask(section: ResolversConfig | null, name: string, prefer: "ipv4" | "ipv6"): Promise<Answer[]> {
  if (section === null || section.nameservers.length === 0) {
    const family = prefer === "ipv4" ? 4 : 6;
    const all = await lookup(name, { all: true });
    return [...all.filter((a) => a.family === family), ...all.filter((a) => a.family !== family)].map((a) => ({
      host: a.address,
      port: 0,
    }));
  }
  const resolver = new Resolver({ timeout: section.retryMs, tries: section.retries });
  resolver.setServers(section.nameservers.map((n) => (n.host.includes(":") ? `[${n.host}]:${n.port}` : `${n.host}:${n.port}`)));
  if (name.startsWith("_")) {
    const found: Answer[] = [];
    for (const r of await resolver.resolveSrv(name))
      for (const host of await resolver.resolve4(r.name).catch(() => [])) found.push({ host, port: r.port });
    return found;
  }
  const of = async (family: "ipv4" | "ipv6"): Promise<string[]> =>
    await (family === "ipv4" ? resolver.resolve4(name) : resolver.resolve6(name)).catch(() => []);
  let hosts = await of(prefer);
  if (hosts.length === 0) hosts = await of(prefer === "ipv4" ? "ipv6" : "ipv4");
  if (hosts.length === 0) throw new Error("no address");
  return hosts.map((host) => ({ host, port: 0 }));
}

/** Looks the names of one resolvers section up for as long as the proxy runs. */
export class Resolving {
  private readonly engine: Engine;
  readonly section: ResolversConfig;
  private readonly servers: Server[];
  private timer: ReturnType<typeof setTimeout> | null;
  /** When each name was last found (Date.now). */
  private readonly foundAt: Map<string, number>;
  /** For `show resolvers`. */
  sent: number;
  valid: number;
  errors: number;

  constructor(engine: Engine, section: ResolversConfig, servers: Server[]) {
    this.engine = engine;
    this.section = section;
    this.servers = servers;
    this.timer = null;
    this.foundAt = new Map();
    this.sent = 0;
    this.valid = 0;
    this.errors = 0;
  }
  start(): void {
    const now = Date.now();
    for (const s of this.servers) if (!s.unresolved) this.foundAt.set(s.config.dnsName, now);
    this.later();
  }
  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
  private later(): void {
    const period = Math.min(PERIOD_MS, Math.max(100, this.section.holdValidMs));
    this.timer = setTimeout(() => void this.round().finally(() => this.timer !== null && this.later()), period);
    this.timer.unref?.();
  }

  private async round(): Promise<void> {
    const names = new Set(this.servers.map((s) => s.config.dnsName));
    for (const name of names) {
      const servers = this.servers.filter((s) => s.config.dnsName === name);
      this.sent++;
      try {
        const answers = await ask(this.section, name, servers[0]!.config.resolvePrefer);
        this.valid++;
        this.foundAt.set(name, Date.now());
        spread(this.engine, servers, answers, this.section.name);
      } catch {
        this.errors++;
        this.lost(name, servers);
      }
    }
  }
  private lost(name: string, servers: Server[]): void {
    const since = this.foundAt.get(name) ?? 0;
    if (since !== 0 && Date.now() - since < this.section.holdOtherMs) return;
    for (const s of servers) {
      if (s.unresolved) continue;
      const wasUp = s.isUp;
      s.unresolved = true;
      enterMaintenance(this.engine, s, wasUp, "");
    }
  }
}

/** Servers keep the address they have while it is among the answers; the others get one that nobody has. */
function spread(engine: Engine, servers: Server[], answers: Answer[], by: string): void {
  const key = (a: Answer): string => `${a.host}:${a.port}`;
  const has = (s: Server): boolean => !s.unresolved && answers.some((a) => a.host === s.host && (a.port === 0 || a.port === s.port));
  const taken = new Set(servers.filter(has).map((s) => `${s.host}:${answers[0]!.port === 0 ? 0 : s.port}`));
  for (const s of servers) {
    if (has(s)) continue;
    const free = answers.find((a) => !taken.has(key(a))) ?? (servers.length === 1 ? answers[0] : undefined);
    if (free === undefined) continue;
    taken.add(key(free));
    moveTo(engine, s, free, by);
  }
}
function moveTo(engine: Engine, s: Server, to: Answer, by: string): void {
  const from = s.host;
  s.host = to.host;
  if (to.port > 0) s.port = to.port;
  if (s.unresolved) {
    s.unresolved = false;
    return leaveMaintenance(engine, s, "resolves again");
  }
  say(engine, s.backend, 5, `${s.path} changed its IP from ${from} to ${to.host} by ${by}/dns.`);
  // Nobody has asked the new address yet who it is.
  if (s.isChecked) resetHealth(s.health, !s.backend.byAuthority);
  if (s.backend.byAuthority) moveSessions(s);
}

/**
 * Server state files (HAProxy configuration 3 "server-state-file", 4.2 "load-server-state-from-file"): at the start servers take over what
 * `show servers state` wrote: maintenance and drain, weights, ports, health. What has changed in the configuration since counts more than the
 * file. A file with one line that is none is not used at all; a server whose values are out of range keeps what the configuration says.
 *
 * In front of role checks the health is not taken over unless strict-haproxy is on: what was the master may not be any more. COLD.
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { full } from "./core/health.ts";
import { STATUS, type StatusName } from "./core/status.ts";
import type { Engine } from "./engine.ts";
import { setWeight } from "./slowstart.ts";
import type { Backend, Server } from "./state.ts";
import { nowMs } from "./timers.ts";
import { isStopping, refresh, remainsDrained, setAdmin, wentDown } from "./transitions.ts";

/** Positions of the values in a line; the last five may be missing. */
const F = {
  backId: 0, backName: 1, serverName: 3, address: 4, operation: 5, admin: 6, userWeight: 7, weight: 8, changedS: 9, checkStatus: 10,
  checkResult: 11, health: 12, checkState: 13, agentState: 14, backForced: 15, serverForced: 16, fqdn: 17, port: 18, ssl: 20, checkPort: 21,
  checkHost: 22, agentHost: 23, agentPort: 24,
} as const; // prettier-ignore
const FIELDS_MIN = 20;
const FIELDS_MAX = 25;
/** Bits of the administrative state. */
const FORCED_MAINT = 1;
const CONFIGURED_MAINT = 4;
const FORCED_DRAIN = 8;
/** Inherited, for want of an address, a name that was changed at run time: found out anew. */
const PASSING = 2 | 16 | 32 | 64;
const ADMIN_STATES = [0, FORCED_MAINT, CONFIGURED_MAINT, FORCED_MAINT | CONFIGURED_MAINT, CONFIGURED_MAINT | FORCED_DRAIN, FORCED_DRAIN];
/** Operational states. */
const STOPPED = 0;
const STOPPING = 3;
/** Bits of a check's state. */
const CONFIGURED = 2;
const ENABLED = 4;
const CHECK_STATES = 31;
const STATUS_END = 24;

const REASON = ", changed from server-state after a reload";

/** A file's lines by `backend server`; null when it cannot be used. */
type Lines = Map<string, string[]>;

/** Reads the files that backends name, and applies them. */
export function loadServerStates(engine: Engine): void {
  const g = engine.config.global;
  const path = (name: string): string => (name.startsWith("/") || g.serverStateBase === "" ? name : join(g.serverStateBase, name));
  engine.sayingPrefix = "config : ";
  const warn = (text: string): void => engine.diagnostics.warning(`config : ${text}`);
  const globalLines = g.serverStateFile === "" ? null : read(path(g.serverStateFile), "config: ", "global ", warn, () => true);
  for (const b of engine.backends.values()) {
    const { loadServerState, serverStateFile } = b.config;
    if (b.servers.length === 0 || loadServerState === "none") continue;
    const isLocal = loadServerState === "local";
    const own = `Proxy '${b.name}': `;
    const lines = isLocal ? read(path(serverStateFile || b.name), own, "", warn, (f) => isOf(b, f, own, warn)) : globalLines;
    if (lines === null) continue;
    for (const s of b.servers) {
      const key = `${b.name} ${s.name}`;
      const fields = lines.get(key);
      lines.delete(key);
      if (fields !== undefined) take(engine, s, fields);
    }
    if (isLocal) for (const f of lines.values()) warn(`${own}can't find server '${f[F.serverName]}' in backend '${b.name}'`);
  }
  engine.sayingPrefix = "";
}

/** `own`: what findings begin with; `kind`: how they call the file; `wanted`: lines that belong there, whose backend may be renamed. */
function read(file: string, own: string, kind: string, warn: (text: string) => void, wanted: (fields: string[]) => boolean): Lines | null {
  let text: string;
  try {
    text = readFileSync(file, "latin1");
  } catch (error) {
    const why = (error as { code?: string }).code === "ENOENT" ? "No such file or directory" : (error as Error).message;
    warn(`${own}Can't open ${kind}server state file '${file}': ${why}${kind === "" ? "." : ""}`);
    return null;
  }
  const all = text.split("\n");
  if (all.length < 2 || !/^\s*\+?0*1$/.test(all[0]!)) {
    warn(`${own}Can't get version of the ${kind}server state file '${file}'.`);
    return null;
  }
  const lines: Lines = new Map();
  for (let i = 1; i < all.length; i++) {
    const line = all[i]!;
    const isCut = i === all.length - 1;
    if (isCut && line === "") break;
    const fields = line.split(/[ \t]+/).filter((w) => w !== "");
    if (!isCut && (fields.length === 0 || fields[0]!.startsWith("#"))) continue;
    if (isCut || fields.length < FIELDS_MIN) {
      warn(`${own}corrupted ${kind}server state file '${file}' at line ${i}.`);
      return null;
    }
    if (!wanted(fields)) continue;
    const key = `${fields[F.backName]} ${fields[F.serverName]}`;
    if (!lines.has(key)) lines.set(key, fields.slice(0, FIELDS_MAX));
  }
  return lines;
}

/** Whether a line of a section's own file is about that section: by name, else by a number that was given to it. */
function isOf(b: Backend, f: string[], own: string, warn: (text: string) => void): boolean {
  const sameId = Number(f[F.backId]) === b.iid;
  const sameName = f[F.backName] === b.name;
  if (!sameId && !sameName) return false;
  if (!sameId) warn(`${own}backend ID mismatch: from server state file: '${f[F.backId]}', from running config '${b.iid}'`);
  if (!sameName) {
    warn(`${own}backend name mismatch: from server state file: '${f[F.backName]}', from running config '${b.name}'`);
    f[F.backName] = b.name;
    return Number(f[F.backForced]) === 1;
  }
  return true;
}

/** A line's numbers, once all of them may be what they say. */
class Values {
  private readonly fields: string[];
  /** What is wrong with it, in the original's words. */
  bad: string;
  constructor(fields: string[]) {
    this.fields = fields;
    this.bad = "";
  }
  /** The leading integer of a field. */
  number(at: number, name: string, mayBe: (n: number) => boolean): number {
    const text = this.fields[at] ?? "0";
    const m = /^[+-]?\d+/.exec(text);
    const n = m === null ? Number.NaN : Number(m[0]);
    if (!Number.isSafeInteger(n) || !mayBe(n)) this.bad += `, invalid ${name} value '${text}'`;
    return n;
  }
}

function take(engine: Engine, s: Server, f: string[]): void {
  const v = new Values(f);
  const bits = (n: number): boolean => n >= 0 && (n & ~CHECK_STATES) === 0;
  const weight = (n: number): boolean => n >= 0 && n <= 256;
  const one = (n: number): boolean => n === 0 || n === 1;
  const any = (): boolean => true;
  const operation = v.number(F.operation, "srv_op_state", (n) => n >= 0 && n <= 3);
  const admin = v.number(F.admin, "srv_admin_state", (n) => ADMIN_STATES.includes(n & ~PASSING)) & ~PASSING;
  const userWeight = v.number(F.userWeight, "srv_uweight", weight);
  const configured = v.number(F.weight, "srv_iweight", weight);
  const changedS = v.number(F.changedS, "srv_last_time_change", any);
  const status = v.number(F.checkStatus, "srv_check_status", (n) => n < STATUS_END);
  v.number(F.checkResult, "srv_check_result", (n) => n >= 0 && n <= 4);
  const counter = v.number(F.health, "srv_check_health", any);
  const checkState = v.number(F.checkState, "srv_check_state", bits);
  const agentState = v.number(F.agentState, "srv_agent_state", bits);
  v.number(F.backForced, "bk_f_forced_id", one);
  v.number(F.serverForced, "srv_f_forced_id", one);
  const port = v.number(F.port, "srv_port", (n) => n >= 0 && n <= 65535);
  if (v.bad !== "") return engine.diagnostics.warning(`config : server-state application failed for server '${s.path}'${v.bad}`);

  const strict = engine.config.global.strict;
  // A server that nobody checks would never come up again: only the original leaves it down.
  if (strict || (!s.backend.byAuthority && s.isChecked)) takeHealth(engine, s, operation, counter);
  if (!s.backend.byAuthority || strict) takeCheck(s, status);
  takeMode(engine, s, admin, configured);
  s.changedMs = Date.now() - changedS * 1000;
  if (s.isChecked && (checkState & CONFIGURED) !== 0 && (checkState & ENABLED) === 0) s.checkPaused = true;
  const agent = engine.agents.find((a) => a.server === s);
  if (agent !== undefined && (agentState & CONFIGURED) !== 0 && (agentState & ENABLED) === 0) agent.paused = true;
  // A weight that was set at run time counts while the file's own is the one it was set against.
  if (configured === s.config.weight) s.userWeight = userWeight;
  setWeight(s, nowMs());
  const address = f[F.address]!;
  if (s.config.dnsName !== "" && isIP(address) !== 0 && s.config.initAddr.includes("last")) {
    s.host = address;
    s.unresolved = false;
  }
  s.port = port;
  if (s.tls !== null && f[F.ssl] !== undefined) s.config.ssl = Number(f[F.ssl]) !== 0;
  const partly = takeAsides(engine, s, f);
  if (partly !== "") engine.diagnostics.warning(`config : server-state partially applied for server '${s.path}', ${partly}`);
}

function takeHealth(engine: Engine, s: Server, operation: number, counter: number): void {
  const { health } = s;
  const { rise, fall } = health.settings;
  const wasUp = s.isUp;
  if (operation === STOPPED || (operation === STOPPING && fall === 1)) {
    health.counter = 0;
    if (wasUp) wentDown(engine, s, REASON);
  } else if (operation === STOPPING) {
    health.counter = counter < rise || counter > rise + fall - 2 ? rise : counter;
    s.stopping = true;
    if (wasUp) isStopping(engine, s, REASON);
  } else health.counter = full(health);
}
/** The last check of the former process is shown until the first one of this. */
function takeCheck(s: Server, status: number): void {
  const name = (Object.keys(STATUS) as StatusName[]).find((k) => STATUS[k] === status);
  if (name === undefined || status <= STATUS.INI) return;
  s.health.status = name;
  s.health.last = { status: name, code: 0, info: "", durationMs: 0 };
  s.health.checks = 1;
}
/** Maintenance and drain: as they were, unless the configuration says otherwise than it did. */
function takeMode(engine: Engine, s: Server, admin: number, configured: number): void {
  const { disabled } = s.config;
  const unchanged = ((admin & CONFIGURED_MAINT) !== 0) === disabled;
  const maint = unchanged ? (admin & FORCED_MAINT) !== 0 : disabled;
  if (maint) s.admin = "maint";
  else setAdmin(engine, s, "ready");
  // A weight of 0 drains, too: when it has gone, so has that.
  if (s.admin !== "maint" && (admin & FORCED_DRAIN) !== 0 && (configured > 0 || s.config.weight === 0)) {
    s.admin = "drain";
    remainsDrained(engine, s);
  }
  refresh(engine, s.backend);
}
/** Where its check and its agent are asked; a text when there is none to be asked. */
function takeAsides(engine: Engine, s: Server, f: string[]): string {
  const named = (text: string | undefined): boolean => text !== undefined && text !== "-";
  const numbered = (text: string | undefined): boolean => text !== undefined && text !== "0";
  if (named(f[F.checkHost]) || numbered(f[F.checkPort])) {
    if (!s.isChecked || s.checkPaused) return "health checks are not enabled on this server";
    if (named(f[F.checkHost])) s.config.checkHost = f[F.checkHost]!;
    if (numbered(f[F.checkPort])) s.config.checkPort = Number(f[F.checkPort]) || s.config.checkPort;
  }
  if (named(f[F.agentHost]) || numbered(f[F.agentPort])) {
    const agent = engine.agents.find((a) => a.server === s);
    if (agent === undefined || agent.paused) return "agent checks are not enabled on this server";
    if (named(f[F.agentHost])) agent.host = f[F.agentHost]!;
    if (numbered(f[F.agentPort])) agent.port = Number(f[F.agentPort]) || agent.port;
  }
  return "";
}

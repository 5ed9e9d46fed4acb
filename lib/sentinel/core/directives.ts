/**
 * `sentinel ...` lines: from the configuration into the state and back. Pure.
 * Redis sentinel.c: queueSentinelConfig, sentinelHandleConfiguration, rewriteConfigSentinelOption; texts are the original's.
 *
 * Lines are applied in three groups whatever their order in the file: globals, monitor, per-master lines. More is tolerated than there,
 * with a warning: duplicates that Sentinels themselves have written, a name in `monitor` without resolve-hostnames, and the article's
 * `parallel-syncs NAME X N`.
 */
import { isIP, atoi } from "./text.ts";
import { sameAddr, shown, type Addr } from "./addr.ts";
import { createMaster, createPeer, createReplica, currentAddr, type Master, type State } from "./state.ts";

/** `index` counts the directives as given. */
export interface DirectiveError {
  index: number;
  text: string;
}

const GLOBALS = new Set([
  "announce-ip",
  "announce-port",
  "deny-scripts-reconfig",
  "sentinel-user",
  "sentinel-pass",
  "current-epoch",
  "myid",
  "resolve-hostnames",
  "announce-hostnames",
  "cluster-id",
]);
/** Ours, read by the driver: no business of the engine. */
const DRIVERS = new Set(["metrics-port", "state-config-file"]);
const UNKNOWN = "Unrecognized sentinel configuration statement.";
const NO_MASTER = "No such master with specified name.";
const TIME = "negative or zero time parameter.";

type Loader = { s: State; now: number; warn(text: string): void };

/** Applies all lines; the first error, or null. */
export function loadDirectives(s: State, now: number, lines: string[][], warnings: DirectiveError[]): DirectiveError | null {
  const group = (line: string[]): number => {
    const name = (line[0] ?? "").toLowerCase();
    return name === "monitor" ? 1 : GLOBALS.has(name) ? 0 : 2;
  };
  for (const wanted of [0, 1, 2])
    for (let index = 0; index < lines.length; index++) {
      const line = lines[index];
      if (group(line) !== wanted || DRIVERS.has((line[0] ?? "").toLowerCase())) continue;
      const x: Loader = { s, now, warn: (text) => void warnings.push({ index, text }) };
      const text = wanted === 0 ? loadGlobal(x, line) : wanted === 1 ? loadMonitor(x, line) : loadMasterLine(x, line);
      if (text !== "") return { index, text };
    }
  return null;
}

function yesNo(text: string): boolean | null {
  const lower = text.toLowerCase();
  return lower === "yes" ? true : lower === "no" ? false : null;
}
function epochOf(text: string): number {
  const v = atoi(text);
  return v >= 0 && Number.isSafeInteger(v) ? v : 0;
}

function loadGlobal(x: Loader, line: string[]): string {
  const { s } = x;
  if (line.length !== 2) return UNKNOWN;
  const name = line[0].toLowerCase();
  const value = line[1];
  switch (name) {
    case "announce-ip":
      if (value !== "") s.announceIp = value;
      return "";
    case "announce-port":
      s.announcePort = atoi(value);
      return "";
    case "sentinel-user":
      s.sentinelUser = value;
      return "";
    case "sentinel-pass":
      s.sentinelPass = value;
      return "";
    case "cluster-id":
      s.clusterId = value;
      return "";
    case "current-epoch":
      s.currentEpoch = Math.max(s.currentEpoch, epochOf(value));
      return "";
    case "myid":
      if (value.length !== 40) return "Malformed Sentinel id in myid option.";
      s.myid = value;
      return "";
  }
  const flag = yesNo(value);
  if (name === "deny-scripts-reconfig") {
    if (flag === null) return "Please specify yes or no for the deny-scripts-reconfig options.";
    s.denyScriptsReconfig = flag;
  } else if (flag === null) return `Please specify yes or no for the ${name} option.`;
  else if (name === "resolve-hostnames") s.resolveHostnames = flag;
  else s.announceHostnames = flag;
  return "";
}

function loadMonitor(x: Loader, line: string[]): string {
  const { s } = x;
  if (line.length !== 5) return UNKNOWN;
  const [, name, host, port, quorumText] = line;
  const quorum = atoi(quorumText);
  if (quorum <= 0) return "Quorum must be 1 or greater.";
  let at = host;
  if (!isIP(host) && !s.resolveHostnames) {
    const ip = s.resolved.get(host.toLowerCase());
    if (ip !== undefined && ip !== "") {
      x.warn(`'${host}' is a host name: ${ip} is monitored. Write the address, or set 'sentinel resolve-hostnames yes'`);
      at = ip;
    }
  }
  const m = createMaster(x, name, at, atoi(port), quorum);
  return typeof m === "string" ? m : "";
}

function loadMasterLine(x: Loader, line: string[]): string {
  const name = line[0].toLowerCase();
  const args = line.slice(1);
  const one = ONE_VALUE[name];
  if (one !== undefined) {
    if (name === "parallel-syncs" && args.length === 3) {
      x.warn(
        `'sentinel parallel-syncs ${args.join(" ")}' has one argument too many: read as 'sentinel parallel-syncs ${args[0]} ${args[2]}'`,
      );
      args.splice(1, 1);
    }
    if (args.length !== 2) return UNKNOWN;
    const m = x.s.masters.get(args[0]);
    return m === undefined ? NO_MASTER : one(m, args[1], x);
  }
  if (name === "known-replica" || name === "known-slave") return knownReplica(x, args);
  if (name === "known-sentinel") return knownSentinel(x, args);
  if (name === "rename-command" && args.length === 3) {
    const m = x.s.masters.get(args[0]);
    if (m === undefined) return NO_MASTER;
    if (m.renamed.has(args[1].toLowerCase())) return "Same command renamed multiple times with rename-command.";
    m.renamed.set(args[1].toLowerCase(), { from: args[1], to: args[2] });
    return "";
  }
  return UNKNOWN;
}

function flag(text: string, name: string, set: (on: boolean) => void): string {
  const on = yesNo(text);
  if (on === null) return `Please specify yes or no for the ${name} option.`;
  set(on);
  return "";
}

export function isWebAddress(text: string): boolean {
  return /^https?:\/\/[^\s/]+(\/\S*)?$/.test(text);
}

/** Lines of the form NAME master value. */
const ONE_VALUE: Record<string, (m: Master, value: string, x: Loader) => string> = {
  "down-after-milliseconds": (m, v) => ((m.downAfterMs = atoi(v)) <= 0 ? TIME : ""),
  "failover-timeout": (m, v) => ((m.failoverTimeoutMs = atoi(v)) <= 0 ? TIME : ""),
  "parallel-syncs": (m, v) => {
    m.parallelSyncs = atoi(v);
    return "";
  },
  "notification-script": (m, v, x) => {
    m.notificationScript = v;
    return x.s.canExecute(v) ? "" : "Notification script seems non existing or non executable.";
  },
  "client-reconfig-script": (m, v, x) => {
    m.reconfigScript = v;
    return x.s.canExecute(v) ? "" : "Client reconfiguration script seems non existing or non executable.";
  },
  "auth-pass": (m, v) => {
    m.authPass = v;
    return "";
  },
  "auth-user": (m, v) => {
    m.authUser = v;
    return "";
  },
  "master-reboot-down-after-period": (m, v) => ((m.rebootDownAfterMs = atoi(v)) < 0 ? "negative time parameter." : ""),
  "primary-reboot-down-after-period": (m, v) => ((m.rebootDownAfterMs = atoi(v)) < 0 ? "negative time parameter." : ""),
  webhook: (m, v) => {
    m.webhook = v;
    return v === "" || isWebAddress(v) ? "" : "A webhook is an http:// or https:// address.";
  },
  "auto-failover": (m, v) => flag(v, "auto-failover", (on) => (m.autoFailover = on)),
  "fast-failover": (m, v) => flag(v, "fast-failover", (on) => (m.fastFailover = on)),
  "config-epoch": (m, v, x) => {
    m.configEpoch = epochOf(v);
    x.s.currentEpoch = Math.max(x.s.currentEpoch, m.configEpoch);
    return "";
  },
  "leader-epoch": (m, v, x) => {
    m.leaderEpoch = epochOf(v);
    // A vote's epoch was once current; a file that says otherwise lost a line.
    x.s.currentEpoch = Math.max(x.s.currentEpoch, m.leaderEpoch);
    return "";
  },
};

function knownReplica(x: Loader, args: string[]): string {
  if (args.length !== 3) return UNKNOWN;
  const m = x.s.masters.get(args[0]);
  if (m === undefined) return NO_MASTER;
  const r = createReplica(x, m, args[1], atoi(args[2]));
  if (typeof r !== "string") return "";
  if (!r.startsWith("Duplicate")) return r;
  x.warn(`replica ${args[1]}:${args[2]} of '${m.name}' is listed twice`);
  return "";
}

function knownSentinel(x: Loader, args: string[]): string {
  if (args.length === 3) return ""; // the old form without run id says nothing that can be used
  if (args.length !== 4) return UNKNOWN;
  const m = x.s.masters.get(args[0]);
  if (m === undefined) return NO_MASTER;
  if (args[3] === x.s.myid) {
    x.warn(`Sentinel ${args[3]} is listed as known, but that is this one`);
    return "";
  }
  const p = createPeer(x, m, args[3], args[1], atoi(args[2]));
  if (typeof p !== "string") return "";
  if (!p.startsWith("Duplicate")) return p;
  x.warn(`Sentinel ${args[3]} of '${m.name}' is listed twice`);
  return "";
}

/** All lines that a restart needs, in the original's order. */
export function writeDirectives(s: State): string[][] {
  const lines: string[][] = [["myid", s.myid]];
  if (!s.denyScriptsReconfig) lines.push(["deny-scripts-reconfig", "no"]);
  if (s.resolveHostnames) lines.push(["resolve-hostnames", "yes"]);
  if (s.announceHostnames) lines.push(["announce-hostnames", "yes"]);
  for (const m of s.masters.values()) writeMaster(s, m, lines);
  lines.push(["current-epoch", String(s.currentEpoch)]);
  if (s.announceIp !== "") lines.push(["announce-ip", s.announceIp]);
  if (s.announcePort !== 0) lines.push(["announce-port", String(s.announcePort)]);
  if (s.sentinelUser !== "") lines.push(["sentinel-user", s.sentinelUser]);
  if (s.sentinelPass !== "") lines.push(["sentinel-pass", s.sentinelPass]);
  if (s.clusterId !== "") lines.push(["cluster-id", s.clusterId]);
  return lines;
}

function writeMaster(s: State, m: Master, lines: string[][]): void {
  const { name } = m;
  const current = currentAddr(m);
  const text = (a: Addr): string => shown(s, a);
  const add = (key: string, value: string | number): void => void lines.push([key, name, String(value)]);
  lines.push(["monitor", name, text(current), String(current.port), String(m.quorum)]);
  if (m.downAfterMs !== s.periods.defaultDownAfter) add("down-after-milliseconds", m.downAfterMs);
  if (m.failoverTimeoutMs !== s.periods.defaultFailoverTimeout) add("failover-timeout", m.failoverTimeoutMs);
  if (m.parallelSyncs !== 1) add("parallel-syncs", m.parallelSyncs);
  if (m.notificationScript !== "") add("notification-script", m.notificationScript);
  if (m.reconfigScript !== "") add("client-reconfig-script", m.reconfigScript);
  if (m.authPass !== "") add("auth-pass", m.authPass);
  if (m.authUser !== "") add("auth-user", m.authUser);
  if (m.rebootDownAfterMs !== 0) add("master-reboot-down-after-period", m.rebootDownAfterMs);
  if (m.webhook !== "") add("webhook", m.webhook);
  if (!m.autoFailover) add("auto-failover", "no");
  if (m.fastFailover) add("fast-failover", "yes");
  add("config-epoch", m.configEpoch);
  add("leader-epoch", m.leaderEpoch);
  const seen = new Set<string>();
  for (const r of m.replicas.values()) {
    // The promoted one is the master now, so the old master's address takes its place.
    const a = sameAddr(r.addr, current) ? m.addr : r.addr;
    const key = `${text(a)} ${a.port}`;
    if (seen.has(key)) continue;
    seen.add(key);
    lines.push(["known-replica", name, text(a), String(a.port)]);
  }
  for (const p of m.peers.values()) lines.push(["known-sentinel", name, text(p.addr), String(p.addr.port), p.runid]);
  for (const { from, to } of m.renamed.values()) lines.push(["rename-command", name, from, to]);
}

/**
 * The SENTINEL subcommands that change settings: MONITOR, REMOVE, SET, CONFIG GET/SET, DEBUG. Pure.
 * Redis sentinel.c: sentinelSetCommand, sentinelConfigSetCommand, sentinelSetDebugConfigParameters. OK is said when the file is written.
 */
import { isIP, wholeNumber, wrongNumber } from "./text.ts";
import { isWebAddress } from "./directives.ts";
import { emit } from "./events.ts";
import { globMatchText } from "../../bytes/glob.ts";
import { closeLink, release } from "./links.ts";
import { persistFirst, persistSoon } from "./persist.ts";
import { namesAddr } from "./addr.ts";
import { forgetOne } from "./switch.ts";
import { createMaster, touch, type Master, type Peer, type Periods, type Replica, type State, type Turn } from "./state.ts";
import type { Answer, ClientId } from "./types.ts";

const err = (text: string): Answer => ({ error: `ERR ${text}` });

function saved(t: Turn, client: ClientId): undefined {
  persistFirst(t, { kind: "ok", client });
  return undefined;
}

/** SENTINEL MONITOR name host port quorum. */
export function monitor(t: Turn, args: string[], client: ClientId): Answer | undefined {
  const [name, host, portText, quorumText] = args;
  const quorum = wholeNumber(quorumText);
  if (quorum === null) return err("Invalid quorum");
  const port = wholeNumber(portText);
  if (port === null) return err("Invalid port");
  if (quorum <= 0) return err("Quorum must be 1 or greater.");
  if (!isIP(host) && (!t.s.resolveHostnames || !t.s.resolved.has(host.toLowerCase())))
    return err("Invalid IP address or hostname specified");
  const m = createMaster(t, name, host, port, quorum);
  if (typeof m === "string") return err(m);
  // A master of this name may have been removed and voted for before: no second vote in an epoch that has already been.
  m.leaderEpoch = t.s.currentEpoch;
  saved(t, client);
  emit(t, "warning", "+monitor", m, ` quorum ${m.quorum}`);
  return undefined;
}

/** SENTINEL REMOVE name, or a part of it: REMOVE name REPLICA host port | SENTINEL runid. */
export function remove(t: Turn, args: string[], client: ClientId): Answer | undefined {
  const kind = args[1]?.toLowerCase();
  if (kind !== undefined && kind !== "replica" && kind !== "sentinel") return wrongNumber("remove");
  const m = t.s.masters.get(args[0]);
  if (m === undefined) return err("No such master with that name");
  if (kind !== undefined) return removePart(t, m, kind, args.slice(2), client);
  emit(t, "warning", "-monitor", m);
  for (const ri of [...m.replicas.values(), ...m.peers.values(), m]) release(t, ri);
  t.s.masters.delete(m.name);
  return saved(t, client);
}

function removePart(t: Turn, m: Master, kind: "replica" | "sentinel", words: string[], client: ClientId): Answer | undefined {
  let part: Replica | Peer | undefined;
  if (words.length !== (kind === "replica" ? 2 : 1)) return err("syntax error");
  if (kind === "replica") {
    for (const r of m.replicas.values()) if (String(r.addr.port) === words[1] && namesAddr(t.s, r.addr, words[0])) part = r;
    if (part === undefined) return err("No such replica of that master");
  } else {
    part = m.peers.get(words[0]);
    if (part === undefined) return err("No such Sentinel of that master");
  }
  if (m.failoverState !== "none") return { error: "INPROG Failover already in progress" };
  forgetOne(t, part);
  return saved(t, client);
}

/** How SENTINEL SET reads one option: how many values it takes, and "" or the error after applying it. */
interface Option {
  values: 1 | 2;
  secret?: boolean;
  apply(t: Turn, m: Master, values: string[]): "" | "bad" | { bad: number } | { error: string };
}

function numeric(least: number, set: (m: Master, v: number) => void): Option {
  return {
    values: 1,
    apply: (_t, m, [text]) => {
      const v = wholeNumber(text);
      if (v === null || v < least) return "bad";
      set(m, v);
      return "";
    },
  };
}
const DENIED = {
  error:
    "ERR Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig configuration directive in your Sentinel configuration",
};
function script(kind: "Notification" | "Client reconfiguration", set: (m: Master, path: string) => void): Option {
  return {
    values: 1,
    apply: (t, m, [path]) => {
      if (t.s.denyScriptsReconfig) return DENIED;
      if (path !== "" && !t.s.canExecute(path)) return { error: `ERR ${kind} script seems non existing or non executable` };
      set(m, path);
      return "";
    },
  };
}
function credential(secret: boolean, set: (m: Master, v: string) => void): Option {
  return {
    values: 1,
    secret,
    apply: (t, m, [text]) => {
      set(m, text);
      for (const ri of [m, ...m.replicas.values()]) closeLink(t, ri.link, "both");
      return "";
    },
  };
}
function yesOrNo(set: (m: Master, on: boolean) => void): Option {
  return {
    values: 1,
    apply: (_t, m, [text]) => {
      if (!yesNo(text)) return "bad";
      set(m, text.toLowerCase() === "yes");
      return "";
    },
  };
}
const yesNo = (v: string): boolean => /^(yes|no)$/i.test(v);
const reboot = numeric(0, (m, v) => void (m.rebootDownAfterMs = v));

const OPTIONS: Record<string, Option> = {
  "down-after-milliseconds": numeric(1, (m, v) => void (m.downAfterMs = v)),
  "failover-timeout": numeric(1, (m, v) => void (m.failoverTimeoutMs = v)),
  "parallel-syncs": numeric(1, (m, v) => void (m.parallelSyncs = v)),
  quorum: numeric(1, (m, v) => void (m.quorum = v)),
  "master-reboot-down-after-period": reboot,
  "primary-reboot-down-after-period": reboot,
  "notification-script": script("Notification", (m, v) => void (m.notificationScript = v)),
  "client-reconfig-script": script("Client reconfiguration", (m, v) => void (m.reconfigScript = v)),
  "auth-pass": credential(true, (m, v) => void (m.authPass = v)),
  "auth-user": credential(false, (m, v) => void (m.authUser = v)),
  // Ours.
  "auto-failover": yesOrNo((m, on) => void (m.autoFailover = on)),
  "fast-failover": yesOrNo((m, on) => void (m.fastFailover = on)),
  webhook: {
    values: 1,
    apply: (t, m, [url]) => {
      // It makes this machine send requests to anywhere: the scripts' guard holds for it too.
      if (t.s.denyScriptsReconfig) return DENIED;
      if (url !== "" && !isWebAddress(url)) return "bad";
      m.webhook = url;
      return "";
    },
  },
  "rename-command": {
    values: 2,
    apply: (_t, m, [from, to]) => {
      if (to === "") return { bad: 1 };
      if (from === "") return { bad: 0 };
      m.renamed.delete(from.toLowerCase());
      if (from.toLowerCase() !== to.toLowerCase()) m.renamed.set(from.toLowerCase(), { from, to });
      return "";
    },
  },
};

/** SENTINEL SET name option value ...: pair by pair; earlier pairs stay when a later one is refused. */
export function set(t: Turn, args: string[], client: ClientId): Answer | undefined {
  const m = t.s.masters.get(args[0]);
  if (m === undefined) return err("No such master with that name");
  let changes = 0;
  for (let i = 1; i < args.length;) {
    const name = args[i];
    const lower = name.toLowerCase();
    const option = Object.hasOwn(OPTIONS, lower) ? OPTIONS[lower] : undefined;
    let error: Answer | null = null;
    if (option === undefined || args.length - i - 1 < option.values) {
      error = err(`Unknown option or number of arguments for SENTINEL SET '${name}'`);
    } else {
      const values = args.slice(i + 1, i + 1 + option.values);
      const result = option.apply(t, m, values);
      if (result === "bad") error = err(`Invalid argument '${values[0]}' for SENTINEL SET '${name}'`);
      else if (typeof result === "object" && "bad" in result)
        error = err(`Invalid argument '${values[result.bad]}' for SENTINEL SET '${name}'`);
      else if (typeof result === "object") error = result;
      else {
        emit(t, "warning", "+set", m, ` ${name} ${option.secret ? "******" : values.join(" ")}`);
        changes++;
        i += 1 + option.values;
      }
    }
    if (error === null) continue;
    if (changes > 0) persistSoon(t);
    touchAll(t, m);
    return error;
  }
  touchAll(t, m);
  return saved(t, client);
}

function touchAll(t: Turn, m: Master): void {
  for (const ri of [m, ...m.replicas.values(), ...m.peers.values()]) touch(t, ri);
}

interface Setting {
  get(s: State): string;
  valid(value: string): boolean;
  set(t: Turn, value: string): void;
}
const any = (): boolean => true;
const LEVELS = /^(debug|verbose|notice|warning|nothing)$/i;

/** In the order in which CONFIG GET shows them. */
const SETTINGS: Record<string, Setting> = {
  "resolve-hostnames": {
    get: (s) => (s.resolveHostnames ? "yes" : "no"),
    valid: yesNo,
    set: (t, v) => void (t.s.resolveHostnames = v.toLowerCase() === "yes"),
  },
  "announce-hostnames": {
    get: (s) => (s.announceHostnames ? "yes" : "no"),
    valid: yesNo,
    set: (t, v) => void (t.s.announceHostnames = v.toLowerCase() === "yes"),
  },
  "announce-ip": { get: (s) => s.announceIp, valid: any, set: (t, v) => void (t.s.announceIp = v) },
  "announce-port": {
    get: (s) => String(s.announcePort),
    valid: (v) => {
      const n = wholeNumber(v);
      return n !== null && n >= 0 && n <= 65535;
    },
    set: (t, v) => void (t.s.announcePort = Number(v)),
  },
  "sentinel-user": { get: (s) => s.sentinelUser, valid: any, set: (t, v) => void (t.s.sentinelUser = v) },
  "sentinel-pass": { get: (s) => s.sentinelPass, valid: any, set: (t, v) => void (t.s.sentinelPass = v) },
  loglevel: {
    get: (s) => s.logLevel,
    valid: (v) => LEVELS.test(v),
    set: (t, v) => {
      t.s.logLevel = v.toLowerCase();
      t.out.push({ kind: "logLevel", level: v.toLowerCase() as "notice" });
    },
  },
};

/** SENTINEL CONFIG GET pattern ... */
export function configGet(t: Turn, patterns: string[]): Answer {
  const map: string[] = [];
  const seen = new Set<string>();
  for (const pattern of patterns)
    for (const [name, setting] of Object.entries(SETTINGS)) {
      if (seen.has(name) || !globMatchText(pattern, name, true)) continue;
      seen.add(name);
      map.push(name, setting.get(t.s));
    }
  return { map };
}

/** SENTINEL CONFIG SET name value ...: all or nothing. */
export function configSet(t: Turn, args: string[], client: ClientId): Answer | undefined {
  const seen = new Set<string>();
  for (let i = 0; i < args.length; i += 2) {
    const name = args[i].toLowerCase();
    if (!Object.hasOwn(SETTINGS, name)) return err(`Invalid argument '${args[i]}' to SENTINEL CONFIG SET`);
    if (seen.has(name)) return err(`Duplicate argument '${args[i]}' to SENTINEL CONFIG SET`);
    seen.add(name);
    if (i + 1 === args.length) return err(`Missing argument '${args[i]}' value`);
    if (!SETTINGS[name].valid(args[i + 1])) return err(`Invalid value '${args[i + 1]}' to SENTINEL CONFIG SET '${args[i]}'`);
  }
  for (let i = 0; i < args.length; i += 2) SETTINGS[args[i].toLowerCase()].set(t, args[i + 1]);
  saved(t, client);
  if (seen.has("sentinel-user") || seen.has("sentinel-pass"))
    for (const m of t.s.masters.values()) for (const p of m.peers.values()) closeLink(t, p.link, "both");
  return undefined;
}

/** SENTINEL DEBUG's names in its order. */
const PERIODS: [string, keyof Periods][] = [
  ["INFO-PERIOD", "info"],
  ["PING-PERIOD", "ping"],
  ["ASK-PERIOD", "ask"],
  ["PUBLISH-PERIOD", "publish"],
  ["DEFAULT-DOWN-AFTER", "defaultDownAfter"],
  ["DEFAULT-FAILOVER-TIMEOUT", "defaultFailoverTimeout"],
  ["TILT-TRIGGER", "tiltTrigger"],
  ["TILT-PERIOD", "tiltPeriod"],
  ["SLAVE-RECONF-TIMEOUT", "slaveReconfTimeout"],
  ["MIN-LINK-RECONNECT-PERIOD", "minLinkReconnect"],
  ["ELECTION-TIMEOUT", "electionTimeout"],
  ["SCRIPT-MAX-RUNTIME", "scriptMaxRuntime"],
  ["SCRIPT-RETRY-DELAY", "scriptRetryDelay"],
];

/** SENTINEL DEBUG [period ms ...]. */
export function debug(t: Turn, args: string[]): Answer {
  const { periods } = t.s;
  if (args.length === 0) return { map: PERIODS.flatMap(([name, key]) => [name, String(periods[key])]) };
  for (let i = 0; i < args.length; i += 2) {
    const row = PERIODS.find(([name]) => name === args[i].toUpperCase());
    if (row === undefined || i + 1 === args.length) return err(`Unknown option or number of arguments for SENTINEL DEBUG '${args[i]}'`);
    const v = wholeNumber(args[i + 1]);
    if (v === null || v <= 0) return err(`Invalid argument '${args[i + 1]}' for SENTINEL DEBUG '${args[i]}'`);
    periods[row[1]] = v;
  }
  for (const ri of t.s.instances.values()) touch(t, ri);
  return { status: "OK" };
}

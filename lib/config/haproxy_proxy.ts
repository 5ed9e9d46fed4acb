/**
 * The keyword table of defaults, frontend, backend and listen sections: one row a directive (HAProxy configuration 4.1 and 4.2). COLD.
 * Rows of HTTP processing are read and warned about once each: redisha proxies TCP and RESP.
 */
import { B, belongs, type Context, D, F, type Row, type Table } from "./haproxy_context.ts";
import { parseAcl, parseCondition } from "./haproxy_acl.ts";
import { parseBind } from "./haproxy_bind.ts";
import { parseHttpCheck } from "./haproxy_http_check.ts";
import { parseHttpRequest, parseMonitorFail, parseMonitorUri, parseStats } from "./haproxy_http.ts";
import { parseLog } from "./haproxy_log.ts";
import type { BalanceAlgorithm, ProxyConfig, Timeouts } from "./haproxy_model.ts";
import { OPTION_ROWS, parseOption } from "./haproxy_options.ts";
import { REDIS_ROWS } from "./haproxy_redis.ts";
import { parseServer } from "./haproxy_server.ts";
import { parseTcpCheck } from "./haproxy_tcp_check.ts";
import { parseTcpRequest, parseTcpResponse } from "./haproxy_tcp_rules.ts";
import { looseInt, readAddress } from "./haproxy_units.ts";

const TIMEOUTS: Record<string, { key: keyof Timeouts | null; side: number }> = {
  client: { key: "client", side: F },
  server: { key: "server", side: B },
  connect: { key: "connect", side: B },
  check: { key: "check", side: B },
  queue: { key: "queue", side: B },
  tunnel: { key: "tunnel", side: B },
  "client-fin": { key: "clientFin", side: F },
  "server-fin": { key: "serverFin", side: B },
  "http-keep-alive": { key: null, side: F | B },
  "http-request": { key: null, side: F | B },
  tarpit: { key: null, side: F | B },
};

function timeout(c: Context): void {
  const name = c.args[1] ?? "";
  const row = TIMEOUTS[name];
  const p = c.proxy!;
  if (row === undefined)
    return c.alert(
      `'timeout' supports 'client', 'server', 'connect', 'check', 'queue', 'http-keep-alive', 'http-request', 'tunnel', 'tarpit', 'client-fin' and 'server-fin' (got '${name}')`,
    );
  const ms = c.time(2, `timeout ${name}`);
  if (ms === null) return;
  if (c.args[3] !== undefined) return c.alert(`'timeout ${name}' : unexpected extra argument '${c.args[3]}' after value '${c.args[2]}'.`);
  if (p.kind === "frontend" && (row.side & F) === 0)
    c.warn(`'timeout ${name}' will be ignored because frontend '${p.name}' has no backend capability`);
  else if (p.kind === "backend" && (row.side & B) === 0)
    c.warn(`'timeout ${name}' will be ignored because backend '${p.name}' has no frontend capability`);
  else if (row.key !== null) {
    if (p.kind !== "defaults" && seenTimeouts.get(p)?.has(name)) c.warn(`overwriting 'timeout ${name}' which was already specified`);
    if (!seenTimeouts.has(p)) seenTimeouts.set(p, new Set());
    seenTimeouts.get(p)!.add(name);
    p.timeouts[row.key] = ms;
  }
}
/** Timeouts that a section named itself (inherited ones may be replaced silently). */
const seenTimeouts = new WeakMap<ProxyConfig, Set<string>>();

const ALGORITHMS = ["roundrobin", "static-rr", "leastconn", "first", "source", "random", "hash", "uri", "url_param", "rdp-cookie", "hdr"];

function balance(c: Context): void {
  if (!belongs(c, B, "balance")) return;
  const p = c.proxy!;
  const word = c.args[1];
  if (word === undefined) {
    p.balance = "roundrobin";
    return;
  }
  const m = /^([a-z_-]+)(?:\((.*)\)?)?$/.exec(word);
  const name = m?.[1] ?? "";
  if (!ALGORITHMS.includes(name))
    return c.alert(
      "balance only supports 'roundrobin', 'static-rr', 'leastconn', 'source', 'uri', 'url_param', 'hdr(name)' and 'rdp-cookie(name)' options.",
    );
  const argument = (m?.[2] ?? "").replace(/\)$/, "");
  if (name === "random" && argument !== "") {
    const bad = /[^0-9]/.exec(argument);
    if (bad !== null) return c.alert(`balance random : unexpected character '${bad[0]}' after argument.`);
    if (Number(argument) < 1) return c.alert("balance random : number of draws must be at least 1.");
  }
  if (name === "uri" || name === "url_param" || name === "hdr" || name === "rdp-cookie")
    c.warn(`'balance ${name}' needs HTTP or RDP contents, which redisha does not read; 'roundrobin' is used instead.`);
  if (name === "hash") c.warn("'balance hash' is not implemented by redisha; 'roundrobin' is used instead.");
  p.balance = name as BalanceAlgorithm;
  p.balanceArgument = name === "hash" ? c.args.slice(2).join(" ") : argument;
}

function log(c: Context): void {
  const p = c.proxy!;
  if (c.negated !== "") {
    if (c.args[1] !== undefined) return c.alert("log : 'no log' does not expect arguments");
    p.logs = [];
    p.logGlobal = false;
    return;
  }
  if (c.args[1] === "global") {
    if (c.args[2] !== undefined) return c.alert(`log : unknown log facility '${c.args[2]}'`);
    p.logGlobal = true;
    return;
  }
  const target = parseLog(c);
  if (target !== null) p.logs.push(target);
}

function switchRule(c: Context, list: "useBackend" | "useServer"): void {
  const p = c.proxy!;
  const [name, what] = list === "useBackend" ? ["use_backend", "a backend name"] : ["use-server", "a server name"];
  if (p.kind === "defaults") return c.alert(`'${name}' not allowed in 'defaults' section.`);
  belongs(c, list === "useBackend" ? F : B, name);
  if (c.args[1] === undefined) return c.alert(`'${name}' expects ${what}.`);
  const word = c.args[2];
  if (list === "useServer" && word !== "if" && word !== "unless")
    return c.alert(`'use-server' requires either 'if' or 'unless' followed by a condition.`);
  let condition = null;
  if (word === "if" || word === "unless") {
    condition = parseCondition(p, c.args.slice(3), word === "unless");
    if (typeof condition === "string") return c.alert(`error detected while parsing switching rule : ${condition}.`);
  } else if (word !== undefined) return c.alert(`unexpected keyword '${word}' after switching rule, only 'if' and 'unless' are allowed.`);
  p[list].push({ file: c.file, line: c.line, target: c.args[1], condition });
}

const row = (where: number, parse: (c: Context, p: ProxyConfig) => void): Row => ({ where, parse: (c) => parse(c, c.proxy!) });
/** A whole number with a message of its own when it is missing; HAProxy takes any text as 0. */
const integer = (where: number, name: string, set: (p: ProxyConfig, n: number) => void): Row =>
  row(where, (c, p) => {
    belongs(c, where, name);
    const text = c.args[1];
    if (text === undefined || text === "") return c.alert(`'${name}' expects an integer argument.`);
    if (!c.atMost(1)) return;
    set(p, looseInt(text));
  });
/** Read and set aside: HTTP processing, tuning that has no counterpart. */
const idle = (where: number, why = ""): Row =>
  row(where, (c) => {
    if (belongs(c, where, c.args[0]!) && why !== "") c.warn(`'${c.args[0]}' is read but has no effect in redisha (${why}).`);
  });
const gone = (text: string): Row => row(D | F | B, (c) => c.alert(text));
const HTTP = "it needs mode http";

export const PROXY_ROWS: Table = {
  ...REDIS_ROWS,
  acl: row(F | B, (c, p) => parseAcl(c, p)),
  backlog: integer(F, "backlog", (p, n) => (p.backlog = n)),
  balance: { where: B, parse: balance },
  bind: { where: F, parse: parseBind },
  capture: idle(F, HTTP),
  "clitcpka-cnt": idle(F),
  "clitcpka-idle": row(F, (c, p) => {
    const ms = c.time(1, "clitcpka-idle", "s");
    if (ms !== null) p.keepalive.clientIdleMs = ms;
  }),
  "clitcpka-intvl": idle(F),
  clitimeout: gone("the 'clitimeout' directive is not supported anymore since HAProxy 2.1. Use 'timeout client'."),
  compression: idle(F | B, HTTP),
  contimeout: gone("the 'contimeout' directive is not supported anymore since HAProxy 2.1. Use 'timeout connect'."),
  cookie: idle(B, HTTP),
  declare: idle(F | B, HTTP),
  default_backend: row(F, (c, p) => {
    belongs(c, F, "default_backend");
    if (c.args[1] === undefined || c.args[1] === "") return c.alert("'default_backend' expects a backend name.");
    if (c.atMost(1)) p.defaultBackend = c.args[1];
  }),
  "default-server": { where: B, parse: parseServer },
  description: row(F | B, (c, p) => {
    if (p.kind === "defaults") return c.alertTight("'description' not allowed in 'defaults' section.");
    if (c.args[1] === undefined) return c.alertTight("'description' expects a string argument.");
    p.description = c.args.slice(1).join(" ");
  }),
  disabled: row(F | B, (c, p) => {
    if (c.atMost(0)) p.disabled = true;
  }),
  dispatch: idle(B, "use a server line"),
  "dynamic-cookie-key": idle(B, HTTP),
  "email-alert": idle(F | B, "mail is not sent; use logs"),
  enabled: row(F | B, (c, p) => {
    if (c.atMost(0)) p.disabled = false;
  }),
  "error-log-format": idle(F),
  errorfile: idle(F | B),
  errorfiles: idle(F | B),
  errorloc: idle(F | B),
  errorloc302: idle(F | B),
  errorloc303: idle(F | B),
  "external-check": idle(B, "programs are not run as checks"),
  filter: idle(F | B, "filters are not supported"),
  "force-persist": idle(B, HTTP),
  fullconn: row(B, (c, p) => {
    belongs(c, B, "fullconn");
    if (c.args[1] === undefined) return c.alert("'fullconn' expects an integer argument.");
    p.fullconn = looseInt(c.args[1]);
  }),
  grace: row(F | B, (c) => c.alertTight("the 'grace' keyword is not supported any more since HAProxy version 2.5.")),
  "hash-balance-factor": integer(B, "hash-balance-factor", () => {}),
  "hash-type": row(B, (c, p) => {
    if (!belongs(c, B, "hash-type")) return;
    const [, kind, fn, modifier] = c.args;
    if (kind !== "consistent" && kind !== "map-based") return c.alert("'hash-type' only supports 'consistent' and 'map-based'.");
    if (fn !== undefined && !["sdbm", "djb2", "crc32", "wt6"].includes(fn))
      return c.alert("'hash-type' only supports 'sdbm', 'djb2', 'crc32', or 'wt6' hash functions.");
    if (modifier !== undefined && modifier !== "avalanche")
      return c.alert("'hash-type' only supports 'avalanche' as a modifier for hash functions.");
    p.hashConsistent = kind === "consistent";
    if (p.hashConsistent) c.warn("'hash-type consistent' is read but has no effect in redisha ('balance source' uses the map of weights).");
  }),
  "http-after-response": idle(F | B, HTTP),
  "http-check": row(B, (c) => {
    if (belongs(c, B, "http-check")) parseHttpCheck(c);
  }),
  "http-error": idle(F | B),
  "http-request": { where: F | B, parse: parseHttpRequest },
  "http-response": idle(F | B, HTTP),
  "http-reuse": idle(B),
  "http-send-name-header": idle(B, HTTP),
  id: row(F | B, (c, p) => {
    if (p.kind === "defaults") return c.alertTight("'id' not allowed in 'defaults' section.");
    if (c.args[1] === undefined) return c.alertTight("'id' expects an integer argument.");
    const n = looseInt(c.args[1]);
    if (n <= 0) return c.alertTight("custom id has to be > 0.");
    p.id = n;
  }),
  "ignore-persist": idle(B, HTTP),
  "load-server-state-from-file": row(B, (c, p) => {
    belongs(c, B, "load-server-state-from-file");
    const v = c.args[1] ?? "";
    if (v !== "global" && v !== "local" && v !== "none")
      return c.alert(`'load-server-state-from-file' expects 'global', 'local' or 'none'. Got '${v}'`.replace(" Got", ` Got`));
    p.loadServerState = v;
  }),
  log: { where: F | B, parse: log },
  "log-format": row(F, (c, p) => {
    if (c.args[1] === undefined) return c.alert("log-format expects an argument.");
    if (c.args[2] !== undefined) return c.alert("log-format expects only one argument, don't forget to escape spaces!");
    if (p.kind === "backend") return c.warn(`backend '${p.name}' : 'log-format' directive is ignored in backends.`);
    p.logFormat = c.args[1];
  }),
  "log-format-sd": idle(F),
  "log-tag": row(F | B, (c, p) => {
    if (c.args[1] === undefined) return c.alert("'log-tag' expects a tag for use in syslog.");
    p.logTag = c.args[1];
  }),
  "max-keep-alive-queue": idle(B),
  maxconn: row(F, (c, p) => {
    belongs(c, F, "maxconn");
    if (c.args[1] === undefined) return c.alert("'maxconn' expects an integer argument.");
    if (c.atMost(1)) p.maxconn = Math.max(0, looseInt(c.args[1]));
  }),
  mode: row(F | B, (c, p) => {
    const m = c.args[1] ?? "";
    if (m === "health") return c.alert("'mode health' doesn't exist anymore. Please use 'http-request return status 200' instead.");
    if (m !== "tcp" && m !== "http" && m !== "redis") return c.alert(`unknown proxy mode '${m}'.`);
    if (c.atMost(1)) p.mode = m;
  }),
  monitor: { where: F, parse: parseMonitorFail },
  "monitor-net": gone("'monitor-net' doesn't exist anymore. Please use 'http-request return status 200 if { src 127.0.0.1 }' instead."),
  "monitor-uri": { where: F, parse: parseMonitorUri },
  option: { where: F | B, parse: parseOption },
  persist: idle(B, HTTP),
  "rate-limit": idle(F),
  redirect: idle(F | B, HTTP),
  redispatch: gone("keyword 'redispatch' directive is not supported anymore since HAProxy 2.1. Use 'option redispatch'."),
  retries: row(B, (c, p) => {
    belongs(c, B, "retries");
    if (c.args[1] === undefined || !/^[+-]?\d/.test(c.args[1]))
      return c.args[1] === undefined ? c.alert("'retries' expects an integer argument (dispatch counts for one).") : undefined;
    if (c.atMost(1)) p.retries = Math.max(0, looseInt(c.args[1]));
  }),
  "retry-on": idle(B),
  server: { where: B, parse: parseServer },
  "server-state-file-name": row(B, (c, p) => {
    if (belongs(c, B, "server-state-file-name"))
      p.serverStateFile = c.args[1] === undefined || c.args[1] === "use-backend-name" ? p.name : c.args[1];
  }),
  "server-template": { where: B, parse: parseServer },
  source: row(B, (c, p) => {
    const a = c.args[1] === undefined ? "" : readAddress(c.args[1]);
    if (typeof a === "string") return c.alert("'source' expects <addr>[:<port>], and optionally 'usesrc' <addr>, and 'interface' <name>.");
    p.sourceHost = a.host === "*" ? "" : a.host;
    p.sourcePort = Math.max(0, a.portLow);
  }),
  "srvtcpka-cnt": idle(B),
  "srvtcpka-idle": row(B, (c, p) => {
    const ms = c.time(1, "srvtcpka-idle", "s");
    if (ms !== null) p.keepalive.serverIdleMs = ms;
  }),
  "srvtcpka-intvl": idle(B),
  srvtimeout: gone("the 'srvtimeout' directive is not supported anymore since HAProxy 2.1. Use 'timeout server'."),
  stats: { where: F | B, parse: parseStats },
  stick: idle(B, "stick tables are not implemented"),
  "stick-table": idle(F | B, "stick tables are not implemented"),
  "strict-haproxy": row(F | B, (c, p) => {
    if (c.args[1] !== "on" && c.args[1] !== "off") return c.alert(`'strict-haproxy' expects 'on' or 'off' but got '${c.args[1] ?? ""}'.`);
    p.strict = c.args[1] === "on";
  }),
  "tcp-check": row(B, (c) => {
    if (belongs(c, B, "tcp-check")) parseTcpCheck(c);
  }),
  "tcp-request": row(F | B, parseTcpRequest),
  "tcp-response": row(F | B, parseTcpResponse),
  timeout: { where: F | B, parse: timeout },
  transparent: idle(B),
  "unique-id-format": idle(F),
  "unique-id-header": idle(F),
  "use-fcgi-app": idle(B, HTTP),
  "use-server": { where: B, parse: (c) => switchRule(c, "useServer") },
  use_backend: { where: F, parse: (c) => switchRule(c, "useBackend") },
};

/** Words that `no` and `default` may stand in front of. */
export const NEGATABLE = new Set([
  "option",
  "log",
  "busy-polling",
  "set-dumpable",
  "strict-limits",
  "insecure-fork-wanted",
  "numa-cpu-mapping",
]);
export { OPTION_ROWS };

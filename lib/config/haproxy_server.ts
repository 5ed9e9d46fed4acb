/**
 * `server`, `server-template` and `default-server` lines (HAProxy configuration 5.2): one row an option. COLD.
 * Options that redisha cannot honour are read and kept from being a surprise by one warning.
 */
import { type Context } from "./haproxy_context.ts";
import { nearestWord } from "./haproxy_hint.ts";
import { type ServerConfig, type ServerOptions } from "./haproxy_model.ts";
import { looseInt, readAddress, readTime } from "./haproxy_units.ts";

/** What a row sees: options to fill, its arguments, the server's name; returns an error text or "". */
interface Target {
  o: ServerOptions;
  name: string;
  c: Context;
}
interface ServerRow {
  /** Words that follow the option; -1 swallows what is left. */
  args: number;
  apply(t: Target, a: string[]): string;
}

const flag = (apply: (o: ServerOptions) => void): ServerRow => ({ args: 0, apply: (t) => (apply(t.o), "") });
const word = (apply: (o: ServerOptions, value: string) => string | void): ServerRow => ({
  args: 1,
  apply: (t, a) => apply(t.o, a[0] ?? "") ?? "",
});
const ignored = (args: number): ServerRow => ({ args, apply: () => "" });
/** Read, with a warning that says what will not be. */
const without = (args: number, why: string): ServerRow => ({
  args,
  apply(t, a) {
    t.c.warn(
      `'${args > 0 && a[0] !== undefined ? `... ${a[0]}` : t.name}' of server '${t.name}': this option has no effect in redisha (${why}).`,
    );
    return "";
  },
});
const tls = (name: string, args: number): ServerRow => ({
  args,
  apply: (t, a) => {
    t.o.tls[name] = a;
    return "";
  },
});

/** inter, fastinter, downinter, slowstart. HAProxy 2.6 names agent-inter in one of the messages whatever the option; so do we. */
function delay(option: string, key: "interMs" | "fastinterMs" | "downinterMs" | "slowstartMs" | "agentInterMs"): ServerRow {
  return {
    args: 1,
    apply(t, a) {
      const text = a[0];
      if (text === undefined) return `'${option}' expects a delay as argument.`;
      const r = readTime(text, option === "slowstart" ? "s" : "ms");
      if (r.error === "overflow")
        return `timer overflow in argument <${text}> to <${option}> of server ${t.name}, maximum value is 2147483647 ms (~24.8 days).`;
      if (r.error === "unexpected")
        return `unexpected character '${r.character}' in '${option === "slowstart" ? "slowstart" : "agent-inter"}' argument of server ${t.name}.`;
      t.c.trailing(text, r.trailing);
      if (r.ms === 0 && option !== "slowstart") return `invalid value 0 for argument '${option}' of server ${t.name}.`;
      t.o[key] = r.ms;
      return "";
    },
  };
}
function count(option: string, key: "rise" | "fall"): ServerRow {
  return word((o, v) => {
    if (v === "") return `'${option}' expects an integer argument.`;
    const n = looseInt(v);
    if (n <= 0) return `'${option}' has to be > 0.`;
    o[key] = n;
  });
}
const integer = (key: "maxconn" | "minconn" | "maxqueue"): ServerRow => word((o, v) => void (o[key] = looseInt(v)));

export const SERVER_ROWS: Record<string, ServerRow> = {
  addr: word((o, v) => {
    const a = readAddress(v);
    if (typeof a === "string" || !/^[\d.]+$|:/.test(a.host)) return `'addr' : invalid address: '${v}' in '${v}'`;
    o.checkHost = a.host;
  }),
  "agent-addr": word((o, v) => void (o.agentHost = v)),
  "agent-check": flag((o) => (o.agentCheck = true)),
  "agent-inter": delay("agent-inter", "agentInterMs"),
  "agent-port": word((o, v) => void (o.agentPort = looseInt(v))),
  "agent-send": word((o, v) => void (o.agentSend = v.endsWith("\n") ? v : `${v}\n`)),
  "allow-0rtt": ignored(0),
  alpn: tls("alpn", 1),
  backup: flag((o) => (o.backup = true)),
  "ca-file": tls("ca-file", 1),
  check: flag((o) => (o.check = true)),
  "check-alpn": tls("check-alpn", 1),
  "check-proto": ignored(1),
  "check-send-proxy": flag((o) => (o.checkSendProxy = true)),
  "check-sni": tls("check-sni", 1),
  "check-ssl": flag((o) => (o.checkSsl = true)),
  "check-via-socks4": without(0, "connections are made directly"),
  ciphers: tls("ciphers", 1),
  ciphersuites: tls("ciphersuites", 1),
  cookie: word((o, v) => void (o.cookie = v)),
  "crl-file": tls("crl-file", 1),
  crt: tls("crt", 1),
  disabled: flag((o) => (o.disabled = true)),
  downinter: delay("downinter", "downinterMs"),
  enabled: flag((o) => (o.disabled = false)),
  "error-limit": word((o, v) => {
    const n = looseInt(v);
    if (n <= 0) return "error-limit has to be > 0.";
    o.errorLimit = n;
  }),
  fall: count("fall", "fall"),
  fastinter: delay("fastinter", "fastinterMs"),
  "force-sslv3": tls("force-sslv3", 0),
  "force-tlsv10": tls("force-tlsv10", 0),
  "force-tlsv11": tls("force-tlsv11", 0),
  "force-tlsv12": tls("force-tlsv12", 0),
  "force-tlsv13": tls("force-tlsv13", 0),
  id: word((o, v) => {
    const n = looseInt(v);
    if (n <= 0) return "'id' : custom id has to be > 0";
    o.id = n;
  }),
  "init-addr": word((o, v) => {
    for (const m of v.split(","))
      if (!["last", "libc", "none"].includes(m) && !/^[\d.]+$|:/.test(m))
        return `'init-addr' : unknown init-addr method '${m}', supported methods are 'libc', 'last', 'none'.`;
    o.initAddr = v;
  }),
  "init-state": word((o, v) => {
    if (!["none", "fully-up", "up", "down", "fully-down"].includes(v))
      return `'init-state' expects one of 'none', 'fully-up', 'up', 'down', or 'fully-down' but got '${v}'`;
    o.initState = v as ServerOptions["initState"];
  }),
  inter: delay("inter", "interMs"),
  "log-proto": ignored(1),
  "max-reuse": ignored(1),
  maxconn: integer("maxconn"),
  maxqueue: integer("maxqueue"),
  minconn: integer("minconn"),
  namespace: ignored(1),
  "no-agent-check": flag((o) => (o.agentCheck = false)),
  "no-backup": flag((o) => (o.backup = false)),
  "no-check": flag((o) => (o.check = false)),
  "no-check-send-proxy": flag((o) => (o.checkSendProxy = false)),
  "no-check-ssl": flag((o) => (o.checkSsl = false)),
  "no-send-proxy": flag((o) => (o.sendProxy = 0)),
  "no-send-proxy-v2": flag((o) => (o.sendProxy = 0)),
  "no-send-proxy-v2-ssl": flag((o) => (o.sendProxy = 0)),
  "no-send-proxy-v2-ssl-cn": flag((o) => (o.sendProxy = 0)),
  "no-ssl": flag((o) => (o.ssl = false)),
  "no-ssl-reuse": ignored(0),
  "no-sslv3": tls("no-sslv3", 0),
  "no-tfo": ignored(0),
  "no-tls-tickets": ignored(0),
  "no-tlsv10": tls("no-tlsv10", 0),
  "no-tlsv11": tls("no-tlsv11", 0),
  "no-tlsv12": tls("no-tlsv12", 0),
  "no-tlsv13": tls("no-tlsv13", 0),
  "non-stick": ignored(0),
  npn: ignored(1),
  observe: word((o, v) => {
    if (!["none", "layer4", "layer7"].includes(v)) return `'observe' expects one of 'none', 'layer4', 'layer7' but got '${v}'`;
    o.observe = v === "none" ? "" : (v as "layer4");
  }),
  "on-error": word((o, v) => {
    if (!["fastinter", "fail-check", "sudden-death", "mark-down"].includes(v))
      return `'on-error' expects one of 'fastinter', 'fail-check', 'sudden-death' or 'mark-down' but got '${v}'`;
    o.onError = v as ServerOptions["onError"];
  }),
  "on-marked-down": word((o, v) => {
    if (v !== "shutdown-sessions") return `'on-marked-down' expects 'shutdown-sessions' but got '${v}'`;
    o.shutdownOnDown = true;
  }),
  "on-marked-up": word((o, v) => {
    if (v !== "shutdown-backup-sessions") return `'on-marked-up' expects 'shutdown-backup-sessions' but got '${v}'`;
    o.shutdownBackupOnUp = true;
  }),
  "pool-low-conn": ignored(1),
  "pool-max-conn": ignored(1),
  "pool-purge-delay": ignored(1),
  port: word((o, v) => void (o.checkPort = looseInt(v))),
  proto: ignored(1),
  "proxy-v2-options": ignored(1),
  redir: ignored(1),
  "resolve-net": ignored(1),
  "resolve-opts": word((o, v) => {
    for (const m of v.split(","))
      if (!["allow-dup-ip", "ignore-weight", "prevent-dup-ip"].includes(m))
        return `'resolve-opts' : unknown resolve-opts option '${m}', supported methods are 'allow-dup-ip', 'ignore-weight', and 'prevent-dup-ip'.`;
    o.ignoresDnsWeight = v.split(",").includes("ignore-weight");
    return "";
  }),
  "resolve-prefer": word((o, v) => {
    if (v !== "ipv4" && v !== "ipv6") return "'resolve-prefer' expects either ipv4 or ipv6 as argument.";
    o.resolvePrefer = v;
  }),
  resolvers: word((o, v) => void (o.resolvers = v)),
  rise: count("rise", "rise"),
  "send-proxy": flag((o) => (o.sendProxy = 1)),
  "send-proxy-v2": flag((o) => (o.sendProxy = 2)),
  "send-proxy-v2-ssl": flag((o) => (o.sendProxy = 2)),
  "send-proxy-v2-ssl-cn": flag((o) => (o.sendProxy = 2)),
  shard: ignored(1),
  slowstart: delay("slowstart", "slowstartMs"),
  sni: tls("sni", 1),
  socks4: without(1, "connections are made directly"),
  source: {
    args: 1,
    apply(t, a) {
      const s = readAddress(a[0] ?? "");
      if (typeof s === "string" || !/^[\d.*]*$|:/.test(s.host))
        return `\n  'source ${a[0] ?? ""}' : invalid address: '${a[0] ?? ""}' in '${a[0] ?? ""}'\n  \n`;
      t.o.sourceHost = s.host === "*" ? "" : s.host;
      t.o.sourcePort = Math.max(0, s.portLow);
      return "";
    },
  },
  ssl: flag((o) => (o.ssl = true)),
  "ssl-max-ver": tls("ssl-max-ver", 1),
  "ssl-min-ver": tls("ssl-min-ver", 1),
  "ssl-reuse": ignored(0),
  stick: ignored(0),
  "tcp-ut": ignored(1),
  tfo: ignored(0),
  "tls-tickets": ignored(0),
  track: word((o, v) => {
    if (v === "") return "'track' expects [<proxy>/]<server> as argument.";
    o.track = v;
  }),
  usesrc: without(1, "the source address is this machine's"),
  verify: {
    args: 1,
    apply(t, a) {
      if (a[0] !== "none" && a[0] !== "required")
        return `'verify' : unknown verify method '${a[0] ?? ""}', only 'none' and 'required' are supported`;
      t.o.tls.verify = a;
      return "";
    },
  },
  verifyhost: tls("verifyhost", 1),
  weight: word((o, v) => {
    const w = looseInt(v);
    return w < 0 || w > 256 ? `weight of server NAME is not within 0 and 256 (${w}).` : void (o.weight = w);
  }),
  ws: ignored(1),
};

/** `server NAME ADDR [option...]` and `default-server [option...]`. Adds to c.proxy; reports what is wrong. */
export function parseServer(c: Context): void {
  const p = c.proxy!;
  const a = c.args;
  const isDefault = a[0] === "default-server";
  const isTemplate = a[0] === "server-template";
  if (p.kind === "defaults" && !isDefault) return c.alertText(`[${c.at}] : '${a[0]}' not allowed in 'defaults' section.`);
  if (p.kind === "frontend")
    return c.alertText(`[${c.at}] : parsing [${c.at}] : '${a[0]}' not allowed because frontend '${p.name}' has no backend capability.`);
  if (isDefault) {
    options(c, p.defaultServer, "", 1, "", " Hint: no address was expected for this server.");
    return;
  }
  const need = isTemplate ? 4 : 3;
  if (a.length < need)
    return c.alertText(
      isTemplate
        ? `[${c.at}] : 'server-template' expects <prefix> <nb | range> <addr>[:<port>] as arguments.`
        : `[${c.at}] : 'server' expects <name> and <addr>[:<port>] as arguments.`,
    );
  const bad = /[^A-Za-z0-9_.:-]/.exec(a[1]!);
  if (bad !== null) return c.alertText(`[${c.at}] : character '${bad[0]}' is not permitted in server name '${a[1]}'.`);
  const range = isTemplate ? /^(\d+)(?:-(\d+))?$/.exec(a[2]!) : null;
  if (isTemplate && range === null)
    return c.alertText(`[${c.at}] : 'server-template ${p.name}/${a[1]}' : Wrong number of servers '${a[2]}'.`);
  const s = address(c, a[1]!, a[need - 1]!);
  if (s === null) return;
  if (!options(c, s, s.name, need, `'server ${p.name}/${s.name}' : `, "")) return;
  if (s.track !== "" && s.check)
    return c.alertText(`[${c.at}] : 'server ${p.name}/${s.name}' : unable to enable checks and tracking at the same time!`);
  if (s.agentCheck && s.agentPort === 0)
    return c.alertText(
      `[${c.at}] : 'server ${p.name}/${s.name}' : server ${s.name} does not have agent port. Agent check has been disabled.`,
    );
  if (range === null) p.servers.push(s);
  else {
    const from = range[2] === undefined ? 1 : Number(range[1]);
    const to = range[2] === undefined ? Number(range[1]) : Number(range[2]);
    for (let i = from; i <= to; i++) p.servers.push({ ...s, tls: { ...s.tls }, name: `${s.name}${i}` });
  }
}

function address(c: Context, name: string, text: string): ServerConfig | null {
  const p = c.proxy!;
  const fail = (error: string): null => {
    c.alertText(`[${c.at}] : 'server ${p.name}/${name}' : ${error}`);
    return null;
  };
  const a = readAddress(text);
  if (typeof a === "string") return fail(`${a}\n`);
  if (a.portHigh !== a.portLow) return fail(`port range not permitted here in '${text}'`);
  if (a.portLow > 65535) return fail(`invalid port '${a.portLow}'`);
  const d = p.defaultServer;
  return {
    ...d,
    tls: { ...d.tls },
    name,
    file: c.file,
    line: c.line,
    host: a.host === "*" ? "" : a.host,
    port: a.portLow < 0 ? 0 : a.portSign === "-" ? -a.portLow : a.portLow,
    portIsOffset: a.kind === "ip" && (a.portLow < 0 || a.portSign !== ""),
    dnsName: "",
    unresolved: false,
    path: a.kind === "unix" ? a.path : a.kind === "abstract" ? `\0${a.path}` : "",
  };
}

/** Reads options from args[from]; false when something was reported. */
function options(c: Context, o: ServerOptions, name: string, from: number, where: string, hint: string): boolean {
  const a = c.args;
  let good = true;
  let i = from;
  while (i < a.length) {
    const row = SERVER_ROWS[a[i]!];
    if (row === undefined) {
      const near = nearestWord(a[i]!, Object.keys(SERVER_ROWS));
      c.alertText(`[${c.at}] : ${where}unknown keyword '${a[i]}'${near === "" ? "." : `; did you mean '${near}' maybe ?`}${hint}`);
      return false;
    }
    const values = row.args < 0 ? a.slice(i + 1) : a.slice(i + 1, i + 1 + row.args);
    const error = row.apply({ o, name, c }, values).replace("server NAME", `server ${name}`);
    if (error !== "") {
      c.alertText(`[${c.at}] : ${where}${error}.`);
      good = false;
      return good;
    }
    i += 1 + row.args;
  }
  return good;
}

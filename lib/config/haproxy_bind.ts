/** `bind` and `stats socket` lines (HAProxy configuration 5.1): an address list and one row an option. COLD. */
import { fstatSync } from "node:fs";
import { isIP } from "node:net";
import type { Context } from "./haproxy_context.ts";
import { nearestWord } from "./haproxy_hint.ts";
import { newBind, type BindConfig } from "./haproxy_model.ts";
import { looseInt, readAddress } from "./haproxy_units.ts";

interface BindRow {
  args: number;
  apply(b: BindConfig, a: string[]): string;
}
const ignored = (args: number): BindRow => ({ args, apply: () => "" });
const tls = (name: string, args: number, missing = ""): BindRow => ({
  args,
  apply(b, a) {
    if (args > 0 && a.length < args && missing !== "") return `'${name}' : ${missing}`;
    b.tls[name] = [...(b.tls[name] ?? []), ...a];
    return "";
  },
});

export const BIND_ROWS: Record<string, BindRow> = {
  "accept-netscaler-cip": ignored(1),
  "accept-proxy": {
    args: 0,
    apply(b) {
      b.acceptProxy = true;
      return "";
    },
  },
  backlog: ignored(1),
  "defer-accept": ignored(0),
  "expose-fd": ignored(1),
  gid: { args: 1, apply: (b, a) => ((b.group = a[0] ?? ""), "") },
  group: { args: 1, apply: (b, a) => ((b.group = a[0] ?? ""), "") },
  id: {
    args: 1,
    apply: (_b, a) => (looseInt(a[0] ?? "") <= 0 ? "'id' : custom id has to be > 0" : ""),
  },
  interface: ignored(1),
  level: {
    args: 1,
    apply(b, a) {
      if (!["user", "operator", "admin"].includes(a[0] ?? ""))
        return `'level' only supports 'user', 'operator', and 'admin' (got '${a[0] ?? ""}')`;
      b.level = a[0] as BindConfig["level"];
      return "";
    },
  },
  maxconn: {
    args: 1,
    apply(b, a) {
      const n = looseInt(a[0] ?? "");
      if (n < 0) return `'maxconn' : invalid value ${n}, must be >= 0`;
      b.maxconn = n;
      return "";
    },
  },
  mode: {
    args: 1,
    apply(b, a) {
      if (!/^[0-7]+$/.test(a[0] ?? "")) return `'mode' : missing or invalid mode '${a[0] ?? ""}' (octal integer expected)`;
      b.mode = Number.parseInt(a[0]!, 8);
      return "";
    },
  },
  mss: ignored(1),
  name: {
    args: 1,
    apply(b, a) {
      if (a[0] === undefined) return "'name' : missing name";
      b.name = a[0];
      return "";
    },
  },
  namespace: ignored(1),
  nice: ignored(1),
  process: ignored(1),
  proto: ignored(1),
  "severity-output": ignored(1),
  shards: ignored(1),
  "tcp-ut": ignored(1),
  tfo: ignored(0),
  thread: ignored(1),
  transparent: ignored(0),
  uid: { args: 1, apply: (b, a) => ((b.user = a[0] ?? ""), "") },
  user: { args: 1, apply: (b, a) => ((b.user = a[0] ?? ""), "") },
  v4v6: { args: 0, apply: (b) => ((b.v4v6 = true), "") },
  v6only: { args: 0, apply: (b) => ((b.v6only = true), "") },
  ssl: { args: 0, apply: (b) => ((b.ssl = true), "") },
  "allow-0rtt": ignored(0),
  alpn: tls("alpn", 1),
  "ca-file": tls("ca-file", 1),
  "ca-ignore-err": ignored(1),
  "ca-sign-file": ignored(1),
  "ca-sign-pass": ignored(1),
  "ca-verify-file": tls("ca-verify-file", 1),
  ciphers: tls("ciphers", 1),
  ciphersuites: tls("ciphersuites", 1),
  "crl-file": tls("crl-file", 1),
  crt: tls("crt", 1, "missing certificate location"),
  "crt-ignore-err": ignored(1),
  "crt-list": tls("crt-list", 1),
  curves: tls("curves", 1),
  ecdhe: ignored(1),
  "force-sslv3": tls("force-sslv3", 0),
  "force-tlsv10": tls("force-tlsv10", 0),
  "force-tlsv11": tls("force-tlsv11", 0),
  "force-tlsv12": tls("force-tlsv12", 0),
  "force-tlsv13": tls("force-tlsv13", 0),
  "generate-certificates": ignored(0),
  "no-ca-names": ignored(0),
  "no-sslv3": tls("no-sslv3", 0),
  "no-tls-tickets": ignored(0),
  "no-tlsv10": tls("no-tlsv10", 0),
  "no-tlsv11": tls("no-tlsv11", 0),
  "no-tlsv12": tls("no-tlsv12", 0),
  "no-tlsv13": tls("no-tlsv13", 0),
  npn: ignored(1),
  "prefer-client-ciphers": ignored(0),
  "ssl-max-ver": tls("ssl-max-ver", 1),
  "ssl-min-ver": tls("ssl-min-ver", 1),
  "strict-sni": tls("strict-sni", 0),
  "tls-ticket-keys": ignored(1),
  verify: tls("verify", 1),
};

/** Addresses of a comma-separated list, port ranges spread out; an error text when one is bad. */
export function bindAddresses(text: string, make: () => BindConfig): BindConfig[] | string {
  const all: BindConfig[] = [];
  for (const one of text.split(",")) {
    const a = readAddress(one);
    if (typeof a === "string") return a;
    if (/^(udp|dgram)/.test(one)) return `dgram-type address not acceptable in '${one}'`;
    if (a.kind === "unix" || a.kind === "abstract") {
      all.push({ ...make(), path: a.kind === "unix" ? a.path : `\0${a.path}` });
      continue;
    }
    if (a.kind === "fd") {
      const why = notSocket(a.fd);
      if (why !== null) return `cannot use file descriptor '${a.fd}' : ${why}.`;
      all.push({ ...make(), fd: a.fd });
      continue;
    }
    if (a.portLow < 0) return `missing port specification in '${one}'`;
    for (const port of [a.portLow, a.portHigh]) if (port < 1 || port > 65535) return `invalid port '${port}'`;
    if (a.portHigh < a.portLow) return `invalid port range '${a.portLow}-${a.portHigh}'`;
    const host = a.host === "*" ? "" : a.host;
    if (host !== "" && isIP(host) === 0 && host !== "localhost") return `invalid address: '${host}' in '${one}'`;
    for (let port = a.portLow; port <= a.portHigh; port++) all.push({ ...make(), host: host === "" && a.family === 6 ? "::" : host, port });
  }
  return all;
}

/** Why a descriptor that this process was started with cannot be listened on; null when it can. */
function notSocket(fd: number): string | null {
  try {
    return fstatSync(fd).isSocket() ? null : "Socket operation on non-socket";
  } catch {
    return "Bad file descriptor";
  }
}

/** Options from args[from] for every bind of one line; `where` names the statement in messages. False when reported. */
export function bindOptions(c: Context, binds: BindConfig[], from: number, where: (error: string, tight: boolean) => string): boolean {
  const a = c.args;
  let good = true;
  let i = from;
  while (i < a.length) {
    const row = BIND_ROWS[a[i]!];
    if (row === undefined) {
      const near = nearestWord(a[i]!, Object.keys(BIND_ROWS));
      c.alert(where(`unknown keyword '${a[i]}'${near === "" ? "." : `; did you mean '${near}' maybe ?`}`, true));
      return false;
    }
    const values = a.slice(i + 1, i + 1 + row.args);
    for (const b of binds) {
      const error = row.apply(b, values);
      if (error === "") continue;
      c.alert(where(error, false));
      good = false;
      break;
    }
    i += 1 + row.args;
  }
  return good;
}

/** A `bind` line of a frontend or listen section. */
export function parseBind(c: Context): void {
  const p = c.proxy!;
  const a = c.args;
  if (p.kind === "defaults") return c.alert("'bind' not allowed in 'defaults' section.");
  if (p.kind === "backend") return c.warn(`'bind' ignored because backend '${p.name}' has no frontend capability.`);
  if (a[1] === undefined || a[1] === "")
    return c.alert("'bind' expects {<path>|[addr1]:port1[-end1]}{,[addr]:port[-end]}... as arguments.");
  const binds = bindAddresses(a[1], () => ({ ...newBind(c), text: a[1]! }));
  if (typeof binds === "string") return c.alert(`'bind' : ${binds}`);
  const good = bindOptions(c, binds, 2, (error, tight) => `'bind ${a[1]}' in section '${c.section}'${tight ? ":" : " :"} ${error}`);
  if (good) p.binds.push(...binds);
}

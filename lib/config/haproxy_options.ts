/** `option NAME` lines of proxy sections: one row an option (HAProxy configuration 4.2). COLD. */
import { B, belongs, type Context, F } from "./haproxy_context.ts";
import { parseHttpchk } from "./haproxy_http_check.ts";
import { nearestWord } from "./haproxy_hint.ts";
import { looseInt } from "./haproxy_units.ts";

interface OptionRow {
  where: number;
  /** `no option X` is allowed, and the option takes no argument. */
  plain: boolean;
  /** For the others: what the line does. */
  parse?(c: Context): void;
  /** Read, but without effect here. */
  idle?: boolean;
}
const plain = (where: number, idle = false): OptionRow => ({ where, plain: true, idle });

const check = (name: "tcp-check" | "redis-check" | "ssl-hello-chk" | "other", argument = false): OptionRow => ({
  where: B,
  plain: false,
  parse(c) {
    if (!argument && !c.atMost(1, `option ${c.args[1]}`)) return;
    c.proxy!.check = name;
    if (name === "other") c.warn(`'option ${c.args[1]}' is not implemented by redisha; servers are checked by connecting only.`);
  },
});

export const OPTION_ROWS: Record<string, OptionRow> = {
  abortonclose: plain(B),
  allbackups: plain(B),
  checkcache: plain(B, true),
  clitcpka: plain(F),
  contstats: plain(F),
  "disable-h2-upgrade": plain(F, true),
  "dontlog-normal": plain(F),
  dontlognull: plain(F),
  forwardfor: { where: F | B, plain: false },
  "h1-case-adjust-bogus-client": plain(F, true),
  "h1-case-adjust-bogus-server": plain(B, true),
  "http-buffer-request": plain(F | B, true),
  "http-ignore-probes": plain(F, true),
  "http-keep-alive": plain(F | B, true),
  "http-no-delay": plain(F | B, true),
  "http-pretend-keepalive": plain(B, true),
  "http-restrict-req-hdr-names": { where: F | B, plain: false },
  "http-server-close": plain(F | B, true),
  "http-use-proxy-header": plain(F, true),
  httpchk: { where: B, plain: false, parse: parseHttpchk },
  httpclose: plain(F | B, true),
  httplog: { where: F, plain: false, parse: (c) => logFormat(c, "httplog") },
  httpslog: { where: F, plain: false, parse: (c) => logFormat(c, "httpslog") },
  "idle-close-on-response": plain(F, true),
  "independent-streams": plain(F | B),
  "ldap-check": check("other"),
  "external-check": check("other"),
  "log-health-checks": plain(B),
  "log-separate-errors": plain(F),
  logasap: plain(F, true),
  "mysql-check": check("other", true),
  nolinger: plain(F | B),
  originalto: { where: F | B, plain: false },
  persist: plain(B, true),
  "pgsql-check": check("other", true),
  "prefer-last-server": plain(B, true),
  redispatch: {
    where: B,
    plain: true,
    parse(c) {
      const p = c.proxy!;
      if (c.negated !== "") {
        p.redispatch = 0;
        return;
      }
      p.redispatch = c.args[2] === undefined ? -1 : looseInt(c.args[2]);
    },
  },
  "redis-aware": plain(F | B),
  "redis-check": check("redis-check"),
  smtpchk: check("other", true),
  "socket-stats": plain(F, true),
  "splice-auto": plain(F | B, true),
  "splice-request": plain(F | B, true),
  "splice-response": plain(F | B, true),
  "spop-check": check("other"),
  srvtcpka: plain(B),
  "ssl-hello-chk": check("ssl-hello-chk"),
  "tcp-check": check("tcp-check"),
  "tcp-smart-accept": plain(F, true),
  "tcp-smart-connect": plain(B, true),
  tcpka: {
    where: F | B,
    plain: false,
    parse(c) {
      if (!c.atMost(1, "option tcpka")) return;
      if (c.proxy!.kind !== "backend") c.proxy!.options.add("clitcpka");
      if (c.proxy!.kind !== "frontend") c.proxy!.options.add("srvtcpka");
    },
  },
  tcplog: {
    where: F,
    plain: false,
    parse(c) {
      if (c.args[2] !== undefined && c.args[2] !== "clf" && !c.atMost(1, "option tcplog")) return;
      if (c.proxy!.kind === "backend") return c.warn(`backend '${c.proxy!.name}' : 'option tcplog' directive is ignored in backends.`);
      c.proxy!.logFormat = "tcplog";
    },
  },
  transparent: plain(B, true),
};

const GONE: Record<string, string> = {
  forceclose: "is not supported any more since HAProxy 2.0, please just remove it, or use 'option httpclose' if absolutely needed.",
  "http-tunnel": "is not supported any more since HAProxy 2.1, please just remove it, it shouldn't be needed.",
};

function logFormat(c: Context, name: string): void {
  if (c.proxy!.kind === "backend") return c.warn(`backend '${c.proxy!.name}' : 'option ${name}' directive is ignored in backends.`);
  c.proxy!.logFormat = name;
}

export function parseOption(c: Context): void {
  const name = c.args[1];
  const p = c.proxy!;
  if (name === undefined || name === "") return c.alertTight("'option' expects an option name.");
  const gone = GONE[name];
  if (gone !== undefined) return c.alertTight(`option '${name}' ${gone}`);
  const row = OPTION_ROWS[name];
  if (row === undefined && name === "http-use-htx")
    return c.warn("'option http-use-htx' has no effect any more (HAProxy removed it in 2.1); the line can go.");
  if (c.negated !== "" && (row === undefined || !row.plain)) return c.alertTight(`negation/default is not supported for option '${name}'.`);
  if (row === undefined) {
    const near = nearestWord(name, Object.keys(OPTION_ROWS));
    return c.alert(`unknown option '${name}'${near === "" ? "." : `; did you mean '${near}' maybe ?`}`);
  }
  // Log formats carry their own message.
  const ownMessage = name === "tcplog" || name === "httplog" || name === "httpslog";
  if (!ownMessage && !belongs(c, row.where, name)) return;
  if (row.parse !== undefined) return row.parse(c);
  if (!row.plain) return;
  if (!c.atMost(1, `option ${name}`)) return;
  p.options.delete(`no ${name}`);
  if (c.negated === "") p.options.add(name);
  else {
    p.options.delete(name);
    if (c.negated === "no") p.options.add(`no ${name}`);
  }
}

/** The keyword table of the global section: one row a directive (HAProxy configuration 3). COLD. */
import { readFileSync } from "node:fs";
import { bindAddresses, bindOptions } from "./haproxy_bind.ts";
import { type Context, type Row, type Table } from "./haproxy_context.ts";
import { parseLog } from "./haproxy_log.ts";
import { newBind, type GlobalConfig } from "./haproxy_model.ts";
import { looseInt, readTime } from "./haproxy_units.ts";

const row = (parse: (c: Context, g: GlobalConfig) => void): Row => ({ where: 0, parse: (c) => parse(c, c.config.global) });
/** Read and set aside. */
const idle: Row = row(() => {});
const idleSay = (why: string): Row => row((c) => c.warn(`'${c.args[0]}' is read but has no effect in redisha (${why}).`));
const alone = (apply: (g: GlobalConfig) => void): Row =>
  row((c, g) => {
    if (c.atMost(0)) apply(g);
  });
const integer = (apply: (g: GlobalConfig, n: number) => void): Row =>
  row((c, g) => {
    if (c.args[1] === undefined || c.args[1] === "") return c.alert(`'${c.args[0]}' expects an integer argument.`);
    if (c.atMost(1)) apply(g, looseInt(c.args[1]));
  });
/** The name's line in /etc/passwd or /etc/group, as getpwnam and getgrnam see it without other name services. */
function known(file: string, name: string): boolean {
  try {
    return readFileSync(file, "latin1")
      .split("\n")
      .some((line) => line.startsWith(`${name}:`));
  } catch {
    return true;
  }
}
const TLS = "TLS defaults are those of the platform";

function stats(c: Context, g: GlobalConfig): void {
  const a = c.args;
  if (a[1] === "socket") {
    if (a[2] === undefined) return c.alert("'stats socket' in global section expects an address or a path to a UNIX socket");
    const binds = bindAddresses(a[2], () => ({ ...newBind(c), text: a[2]! }));
    if (typeof binds === "string") return c.alert(`'stats socket' : ${binds}`);
    if (bindOptions(c, binds, 3, (error) => `'stats socket' : '${error}'`)) g.statsSockets.push(...binds);
  } else if (a[1] === "timeout") {
    const t = readTime(a[2] ?? "");
    if (t.error === "unexpected") return c.alert(`'stats timeout' : unexpected character '${t.character}'`);
    if (t.error !== "") return c.alert(`timer ${t.error} in argument '${a[2]}' to 'stats timeout'`);
    g.statsTimeoutMs = t.ms;
  } else if (a[1] === "maxconn") {
    const n = looseInt(a[2] ?? "");
    if (n <= 0) return c.alert("'stats maxconn' expects a positive value");
    g.statsMaxconn = n;
  } else if (a[1] !== "bind-process")
    c.alert(`'stats' only supports 'socket', 'maxconn', 'bind-process' and 'timeout' (got '${a[1] ?? ""}')`);
}

export const GLOBAL_ROWS: Table = {
  "51degrees-data-file": idle,
  "busy-polling": idle,
  "ca-base": idle,
  chroot: row((c, g) => {
    if (c.args[1] === undefined) return c.alert("'chroot' expects a directory as an argument.");
    g.chroot = c.args[1];
    c.warn("'chroot' is read but has no effect in redisha: the platform cannot change its root after start.");
  }),
  "close-spread-time": idle,
  "cpu-map": idle,
  "crt-base": idle,
  daemon: alone((g) => (g.daemon = true)),
  "default-path": idle,
  description: row((c, g) => {
    if (c.args[1] === undefined) return c.alertTight("'description' expects a string argument.");
    g.description = c.args.slice(1).join(" ");
  }),
  "expose-experimental-directives": idle,
  "external-check": idle,
  gid: row((c, g) => {
    if (!/^\d+$/.test(c.args[1] ?? ""))
      return c.warn(
        ` gid: string '${c.args[1] ?? ""}' is not a number.\n   | You might want to use the 'group' parameter to use a system group name.\n`,
      );
    g.group = c.args[1]!;
  }),
  grace: idle,
  group: row((c, g) => {
    const name = c.args[1] ?? "";
    if (!known("/etc/group", name)) return c.alert(`cannot find group id for '${name}' (0:Success)`);
    g.group = name;
  }),
  "hard-stop-after": row((c, g) => {
    const t = readTime(c.args[1] ?? "");
    if (t.error === "unexpected") return c.alert(`unexpected character '${t.character}' in argument to <hard-stop-after>.\n`);
    if (t.error !== "") return c.alert(`timer ${t.error} in argument <${c.args[1]}> to <hard-stop-after>.\n`);
    g.hardStopAfterMs = t.ms;
  }),
  "insecure-fork-wanted": idle,
  "insecure-setuid-wanted": idle,
  "issuers-chain-path": idle,
  localpeer: idle,
  log: row((c, g) => {
    if (c.negated !== "") {
      g.logs = [];
      return;
    }
    const target = parseLog(c);
    if (target !== null) g.logs.push(target);
  }),
  "log-send-hostname": row((c, g) => {
    g.logSendHostname = c.args[1] ?? "";
  }),
  "log-tag": row((c, g) => {
    if (c.args[1] === undefined) return c.alert("'log-tag' expects a tag for use in syslog.");
    g.logTag = c.args[1];
  }),
  "lua-load": idleSay("Lua extensions of HAProxy are not run"),
  "lua-load-per-thread": idleSay("Lua extensions of HAProxy are not run"),
  "lua-prepend-path": idle,
  "master-worker": row((c, g) => {
    if (c.args[1] !== undefined && c.args[1] !== "no-exit-on-failure")
      return c.alert("'master-worker' only supports 'no-exit-on-failure' option.");
    g.masterWorker = true;
  }),
  "max-spread-checks": row((c, g) => {
    const t = readTime(c.args[1] ?? "");
    if (t.error !== "")
      return c.alertTight(`unsupported character '${(c.args[1] ?? "")[0] ?? ""}' in 'max-spread-checks' (wants an integer delay).`);
    g.maxSpreadChecksMs = t.ms;
  }),
  maxcompcpuusage: idle,
  maxcomprate: idle,
  maxconn: integer((g, n) => (g.maxconn = n)),
  maxconnrate: idle,
  maxpipes: idle,
  maxsessrate: idle,
  maxsslconn: idle,
  maxsslrate: idle,
  maxzlibmem: idle,
  "mworker-max-reloads": idle,
  nbproc: row((c) =>
    c.alert(
      "nbproc is not supported any more since HAProxy 2.5. Threads will automatically be used on multi-processor machines if available.",
    ),
  ),
  nbthread: row((c, g) => {
    if (!/^\d+$/.test(c.args[1] ?? "")) return c.alert(`'nbthread' passed a missing or unparsable integer value in '${c.args[1] ?? ""}'`);
    const n = Number(c.args[1]);
    if (n < 1 || n > 64) return c.alert(`'nbthread' value must be between 1 and 64 (was ${n})`);
    g.nbthread = n;
    if (n > 1) c.warn("'nbthread' above 1 is read but has no effect in redisha (one thread serves all connections).");
  }),
  "no-memory-trimming": idle,
  node: row((c, g) => {
    if (!/^[A-Za-z0-9._-]+$/.test(c.args[1] ?? ""))
      return c.alertTight(
        "'node' requires valid node name - non-empty string with digits(0-9), letters(A-Z, a-z), dot(.), hyphen(-) or underscode(_).",
      );
    g.node = c.args[1]!;
  }),
  noepoll: alone(() => {}),
  noevports: alone(() => {}),
  nogetaddrinfo: alone(() => {}),
  nokqueue: alone(() => {}),
  nopoll: alone(() => {}),
  noreuseport: alone(() => {}),
  nosplice: alone(() => {}),
  "numa-cpu-mapping": idle,
  pidfile: row((c, g) => {
    if (c.args[1] === undefined || c.args[1] === "") return c.alert("'pidfile' expects a file name as an argument.");
    if (c.atMost(1)) g.pidfile = c.args[1];
  }),
  "pp2-never-send-local": idle,
  presetenv: row((c) => {
    if (c.args[2] === undefined) return c.alertTight("'presetenv' expects a name and a value.");
    process.env[c.args[1]!] ??= c.args[2];
  }),
  "profiling.tasks": idle,
  quiet: alone((g) => (g.quiet = true)),
  resetenv: idle,
  "server-state-base": row((c, g) => {
    if (c.args[1] === undefined) return c.alert("'server-state-base' expects one argument: a directory path.");
    g.serverStateBase = c.args[1];
  }),
  "server-state-file": row((c, g) => {
    if (c.args[1] === undefined) return c.alert("'server-state-file' expect one argument: a file path.");
    g.serverStateFile = c.args[1];
  }),
  "set-dumpable": idle,
  "set-var": idle,
  "set-var-fmt": idle,
  setenv: row((c) => {
    if (c.args[2] === undefined) return c.alertTight("'setenv' expects a name and a value.");
    process.env[c.args[1]!] = c.args[2];
  }),
  "spread-checks": row((c, g) => {
    if (c.args[1] === undefined) return c.alertTight("'spread-checks' expects an integer argument (0..50).");
    const n = looseInt(c.args[1]);
    if (n < 0 || n > 50) return c.alertTight("'spread-checks' needs a positive value in range 0..50.");
    g.spreadChecksPercent = n;
  }),
  "ssl-default-bind-ciphers": idle,
  "ssl-default-bind-ciphersuites": idle,
  "ssl-default-bind-curves": idle,
  "ssl-default-bind-options": idle,
  "ssl-default-server-ciphers": idle,
  "ssl-default-server-ciphersuites": idle,
  "ssl-default-server-options": idle,
  "ssl-dh-param-file": idle,
  "ssl-engine": idleSay(TLS),
  "ssl-load-extra-del-ext": idle,
  "ssl-load-extra-files": idle,
  "ssl-mode-async": idle,
  "ssl-server-verify": idle,
  "ssl-skip-self-issued-ca": idle,
  stats: row(stats),
  "strict-haproxy": row((c, g) => {
    if (c.args[1] !== "on" && c.args[1] !== "off") return c.alert(`'strict-haproxy' expects 'on' or 'off' but got '${c.args[1] ?? ""}'.`);
    g.strict = c.args[1] === "on";
  }),
  "strict-limits": idle,
  "thread-group": idle,
  "thread-groups": idle,
  uid: row((c, g) => {
    if (!/^\d+$/.test(c.args[1] ?? ""))
      return c.warn(
        ` uid: string '${c.args[1] ?? ""}' is not a number.\n   | You might want to use the 'user' parameter to use a system user name.\n`,
      );
    g.user = c.args[1]!;
  }),
  "ulimit-n": integer((g, n) => (g.ulimitN = n)),
  "unix-bind": row((c) => {
    if (!["prefix", "mode", "uid", "gid", "user", "group"].includes(c.args[1] ?? ""))
      c.alert("'unix-bind' only supports the 'prefix', 'mode', 'uid', 'gid', 'user' and 'group' options.");
  }),
  unsetenv: row((c) => {
    for (const name of c.args.slice(1)) delete process.env[name];
  }),
  user: row((c, g) => {
    const name = c.args[1] ?? "";
    if (!known("/etc/passwd", name)) return c.alert(`cannot find user id for '${name}' (0:Success)`);
    g.user = name;
  }),
  "wurfl-data-file": idle,
  "zero-warning": alone(() => {}),
};

/** Names under `tune.` that HAProxy 2.6 knows; all but the buffer size are read and set aside. */
const TUNE =
  /^tune\.(buffers\.(limit|reserve)|bufsize|bufsize\.small|chksize|comp\.maxlevel|disable-zero-copy-forwarding|fail-alloc|fd\.edge-triggered|h2\.(header-table-size|initial-window-size|max-concurrent-streams|max-frame-size)|http\.(cookielen|logurilen|maxhdr)|idle-pool\.shared|idletimer|listener\.multi-queue|lua\.(forced-yield|maxmem|service-timeout|session-timeout|task-timeout)|maxaccept|maxpollevents|maxrewrite|memory\.hot-size|pattern\.cache-size|peers\.max-updates-at-once|pipesize|pool-(high|low)-fd-ratio|quic\.[a-z-]+(\.[a-z-]+)*|rcvbuf\.(client|server)|recv_enough|runqueue-depth|sched\.low-latency|sndbuf\.(client|server)|ssl\.(cachesize|capture-buffer-size|capture-cipherlist-size|default-dh-param|force-private-cache|hard-maxrecord|keylog|lifetime|maxrecord|ssl-ctx-cache-size|ocsp-update\.(max|min)delay)|stick-counters|vars\.(check|global|proc|reqres|sess|txn)-max-size|zlib\.(memlevel|windowsize))$/;

/** One line of the global section whose keyword has no row of its own. True: it was one of `tune.*`. */
export function parseTune(c: Context): boolean {
  const name = c.args[0]!;
  if (!TUNE.test(name)) return false;
  if (name === "tune.bufsize") {
    const n = looseInt(c.args[1] ?? "");
    if (n <= 0) c.alert("'tune.bufsize' expects a positive integer argument.");
    else c.config.global.bufsizeBytes = n;
  }
  return true;
}

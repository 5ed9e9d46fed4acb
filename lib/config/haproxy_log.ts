/** `log` lines of global and proxy sections (HAProxy configuration 3.1 "log"). COLD. */
import type { Context } from "./haproxy_context.ts";
import type { LogTargetConfig } from "./haproxy_model.ts";
import { looseInt, readAddress } from "./haproxy_units.ts";

export const FACILITIES = [
  "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp",
  "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]; // prettier-ignore
export const LOG_LEVELS = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const FORMATS = ["local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw"];
export function isLogFormat(word: string): boolean {
  return FORMATS.includes(word);
}

/** Reads args[1..] of a `log` line into a target; null when it was reported. `log global` and `no log` are the caller's. */
export function parseLog(c: Context): LogTargetConfig | null {
  const a = c.args;
  const fail = (text: string): null => {
    c.alert(`log : ${text}`);
    return null;
  };
  if (a[1] === undefined || a[2] === undefined)
    return fail(`expects <address> and <facility> ${c.section === "global" ? " as" : "or global as"} arguments`);
  const target = address(a[1], fail);
  if (target === null) return null;
  let i = 2;
  if (a[i] === "len") {
    const n = looseInt(a[i + 1] ?? "");
    if (n < 80 || n > 65535) return fail(`invalid log length '${a[i + 1] ?? ""}', must be between 80 and 65535`);
    target.lengthMax = n;
    i += 2;
  }
  if (a[i] === "format") {
    if (!FORMATS.includes(a[i + 1] ?? "")) return fail(`unknown log format '${a[i + 1] ?? ""}'`);
    target.format = a[i + 1] as NonNullable<LogTargetConfig["format"]>;
    i += 2;
  }
  if (a[i] === "sample") {
    if (!/^[\d,-]+:\d+$/.test(a[i + 1] ?? "")) return fail("Missing sample size");
    i += 2;
  }
  target.facility = FACILITIES.indexOf(a[i] ?? "");
  if (target.facility < 0) return fail(`unknown log facility '${a[i] ?? ""}'`);
  for (const [word, key] of [
    [a[i + 1], "maxLevel"],
    [a[i + 2], "minLevel"],
  ] as const) {
    if (word === undefined) break;
    const level = LOG_LEVELS.indexOf(word);
    if (level < 0) return fail(`unknown optional ${key === "minLevel" ? "minimum " : ""}log level '${word}'`);
    target[key] = level;
  }
  if (a[i + 3] !== undefined) return fail(`cannot handle unexpected argument '${a[i + 3]}'`);
  return target;
}

function address(text: string, fail: (text: string) => null): LogTargetConfig | null {
  const t: LogTargetConfig = {
    kind: "none",
    host: "",
    port: 514,
    path: "",
    fd: -1,
    text,
    format: null,
    lengthMax: 1024,
    facility: 0,
    maxLevel: 7,
    minLevel: 0,
  };
  if (text === "stdout" || text === "stderr") return { ...t, kind: "fd", fd: text === "stdout" ? 1 : 2 };
  if (text.startsWith("ring@")) return { ...t, kind: "ring", path: text.slice(5) };
  if (text.startsWith("tcp")) return t;
  const a = readAddress(text);
  if (typeof a === "string") return fail(a);
  if (a.kind === "fd") return { ...t, kind: "fd", fd: a.fd };
  if (a.kind === "unix") return { ...t, kind: "unix", path: a.path };
  if (a.kind === "abstract") return { ...t, kind: "unix", path: `\0${a.path}` };
  if (a.portHigh > 65535) return fail(`invalid port '${a.portHigh}'`);
  return { ...t, kind: "udp", host: a.host === "" || a.host === "*" ? "127.0.0.1" : a.host, port: a.portLow < 0 ? 514 : a.portLow };
}

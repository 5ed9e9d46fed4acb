/**
 * HAProxy's two kinds of lines: diagnostics on stderr (`[WARNING]  (pid) : text`) and syslog messages in their formats. Pure but for
 * the consola reporter at the end. One line a connection at most, so warm: no regular expressions, few strings.
 */
import { createConsola, type LogObject } from "consola/core";
import { writeSync } from "node:fs";

export type SyslogFormat = "local" | "rfc3164" | "rfc5424" | "priority" | "short" | "timed" | "iso" | "raw";

/** emerg 0 ... debug 7. */
export const SEVERITY = { emerg: 0, alert: 1, crit: 2, err: 3, warning: 4, notice: 5, info: 6, debug: 7 } as const;
export type SeverityName = keyof typeof SEVERITY;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n: number): string => (n < 10 ? `0${n}` : String(n));
const three = (n: number): string => (n < 10 ? `00${n}` : n < 100 ? `0${n}` : String(n));
const clock = (d: Date): string => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;

/** `23/Nov/2026:03:22:42.123`: the accept date of traffic lines. */
export function logDate(d: Date): string {
  return `${two(d.getDate())}/${MONTHS[d.getMonth()]}/${d.getFullYear()}:${clock(d)}.${three(d.getMilliseconds())}`;
}
/** `2026-11-23T03:22:46.749000+00:00`. */
function isoDate(d: Date): string {
  const off = -d.getTimezoneOffset();
  const sign = off < 0 ? "-" : "+";
  const abs = Math.abs(off);
  const zone = `${sign}${two(Math.floor(abs / 60))}:${two(abs % 60)}`;
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${clock(d)}.${three(d.getMilliseconds())}000${zone}`;
}

/** One message for a log target, without a newline; `host` "" leaves the host name out. */
export function syslogLine(
  format: SyslogFormat,
  facility: number,
  severity: number,
  when: Date,
  host: string,
  tag: string,
  pid: number,
  text: string,
): string {
  const priority = facility * 8 + severity;
  switch (format) {
    case "raw":
      return text;
    case "short":
      return `<${severity}>${text}`;
    case "priority":
      return `<${priority}>${text}`;
    case "timed":
      return `<${severity}>${isoDate(when)} ${text}`;
    case "iso":
      return `${isoDate(when)} ${text}`;
    case "rfc5424":
      return `<${priority}>1 ${isoDate(when)} ${host === "" ? "-" : host} ${tag} ${pid} - - ${text}`;
    case "local":
    case "rfc3164": {
      const day = when.getDate();
      return `<${priority}>${MONTHS[when.getMonth()]} ${day < 10 ? ` ${day}` : day} ${clock(when)} ${host === "" ? "" : `${host} `}${tag}[${pid}]: ${text}`;
    }
  }
}

export type DiagnosticLevel = "NOTICE" | "WARNING" | "ALERT";

/** `[ALERT]    (4242) : text`: the column after the level is fixed. */
export function diagnosticLine(level: DiagnosticLevel, pid: number, text: string): string {
  return `[${level}]${" ".repeat(8 - level.length)} (${pid}) : ${text}\n`;
}

/** Diagnostics of a proxy process, through consola's core. `quiet` silences all but alerts before the start, everything afterwards. */
export interface Diagnostics {
  notice(text: string): void;
  warning(text: string): void;
  alert(text: string): void;
  /** The start is over: no banner any more. */
  started(): void;
  /** Lines are dropped from now on (-q, daemon). */
  silence(): void;
}

/** `banner` lines are printed once, before the first other line, as HAProxy does with its version and path. `to`: a descriptor, or a taker of lines. */
export function createDiagnostics(pid: number, banner: string[], to: number | ((line: string) => void) = 2): Diagnostics {
  let silent = false;
  let introduced = banner.length === 0;
  const write = (text: string): void => {
    if (typeof to === "function") return to(text);
    try {
      writeSync(to, text);
    } catch {
      // stderr is gone: nobody is there to read it
    }
  };
  const reporter = {
    log(entry: LogObject): void {
      if (!introduced) {
        introduced = true;
        for (const line of banner) write(diagnosticLine("NOTICE", pid, line));
      }
      write(diagnosticLine(entry.tag as DiagnosticLevel, pid, String(entry.args[0])));
    },
  };
  const consola = createConsola({ level: 5, reporters: [reporter] });
  const say = (level: DiagnosticLevel, text: string): void => {
    if (!silent) consola.withTag(level).log(text);
  };
  return {
    notice: (t) => say("NOTICE", t),
    warning: (t) => say("WARNING", t),
    alert: (t) => say("ALERT", t),
    started() {
      introduced = true;
    },
    silence() {
      silent = true;
    },
  };
}

/**
 * Lines to the system's log (syslog-enabled, HAProxy's `log /dev/log`). Cold: one datagram a line, never waiting.
 * Without foreign calls the program `logger` is started once and fed through its standard input.
 */
import { ffiProblem, sendDatagram } from "./ffi.ts";

export const FACILITIES: Readonly<Record<string, number>> = {
  kern: 0,
  user: 1,
  mail: 2,
  daemon: 3,
  auth: 4,
  syslog: 5,
  lpr: 6,
  news: 7,
  uucp: 8,
  cron: 9,
  auth2: 10,
  ftp: 11,
  ntp: 12,
  audit: 13,
  alert: 14,
  cron2: 15,
  local0: 16,
  local1: 17,
  local2: 18,
  local3: 19,
  local4: 20,
  local5: 21,
  local6: 22,
  local7: 23,
};
/** emerg is 0, debug is 7. */
export const SEVERITIES = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"] as const;
export type Severity = (typeof SEVERITIES)[number];

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n: number): string => String(n).padStart(2, "0");

/** `<134>Nov 23 10:11:12 redis[4242]: text`: what syslog(3) sends to /dev/log. */
export function syslogLine(facility: number, severity: Severity, ident: string, pid: number, when: Date, text: string): string {
  const day = String(when.getDate()).padStart(2, " ");
  const time = `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  return `<${facility * 8 + SEVERITIES.indexOf(severity)}>${MONTHS[when.getMonth()]} ${day} ${time} ${ident}[${pid}]: ${text}`;
}

/** A function that sends a line to the system's log. */
export function openSyslog(ident: string, facility: string, path = "/dev/log"): (severity: Severity, text: string) => void {
  const number = FACILITIES[facility] ?? FACILITIES["user"];
  if (ffiProblem() === null) {
    return (severity, text) => {
      sendDatagram(path, Buffer.from(syslogLine(number, severity, ident, process.pid, new Date(), text), "latin1"));
    };
  }
  const program = Bun.which("logger");
  if (program === null) return () => undefined;
  const command = [program, "--prio-prefix", "--tag", `${ident}[${process.pid}]`];
  const logger = Bun.spawn(command, { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
  logger.unref();
  return (severity, text) => {
    logger.stdin.write(`<${number * 8 + SEVERITIES.indexOf(severity)}>${text}\n`);
    void logger.stdin.flush();
  };
}

/** The text of one Redis log line. Pure. Redis server.c: serverLogRaw. */

export type RedisLevel = "debug" | "verbose" | "notice" | "warning" | "nothing";
/** In ascending order; `nothing` silences all (7.2). */
export const LEVELS: readonly RedisLevel[] = ["debug", "verbose", "notice", "warning", "nothing"];
const MARK: Record<RedisLevel, string> = { debug: ".", verbose: "-", notice: "*", warning: "#", nothing: "#" };
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n: number): string => (n < 10 ? `0${n}` : String(n));

/** `4242:M 23 Nov 2026 10:11:12.345 * text\n`, local time, at most 1024 bytes of text. */
export function redisLine(pid: number, role: string, when: Date, level: RedisLevel, text: string): string {
  const ms = String(when.getMilliseconds()).padStart(3, "0");
  const date = `${two(when.getDate())} ${MONTHS[when.getMonth()]} ${when.getFullYear()}`;
  const time = `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}.${ms}`;
  return `${pid}:${role} ${date} ${time} ${MARK[level]} ${text.length > 1024 ? text.slice(0, 1024) : text}\n`;
}

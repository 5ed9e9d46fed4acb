/**
 * Numbers, times, sizes and addresses as haproxy.cfg writes them (HAProxy configuration 2.5, 4.2 "bind" and "server"). Pure, COLD.
 * Each reader returns a value or an error kind; the caller words the message, because HAProxy words it differently from place to place.
 */

export type TimeResult = { ms: number; error: "" } | { ms: 0; error: "overflow" | "unexpected"; character: string; rest?: string };

const UNITS: Record<string, number> = { us: 0.001, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
export const TIME_MAX_MS = 2147483647;

/**
 * A time; without a unit it is in `defaultUnit`. Values round up to whole milliseconds. What follows a complete value
 * (`1s;3`) is reported in `trailing`: HAProxy 2.6 warns and takes the value.
 */
export function readTime(text: string, defaultUnit: "ms" | "s" = "ms"): TimeResult & { trailing?: string } {
  const m = /^(\d*)(us|ms|s|m|h|d)?/.exec(text)!;
  if (m[1] === "") return { ms: 0, error: "unexpected", character: text[0] ?? "" };
  const rest = text.slice(m[0].length);
  if (rest !== "" && m[2] === undefined) return { ms: 0, error: "unexpected", character: rest[0]! };
  const value = Number(m[1]) * UNITS[m[2] ?? defaultUnit]!;
  if (value > TIME_MAX_MS) return { ms: 0, error: "overflow", character: "" };
  return rest === "" ? { ms: Math.ceil(value), error: "" } : { ms: Math.ceil(value), error: "", trailing: rest };
}

/** A size with k, m or g; null when it is not one. */
export function readSize(text: string): number | null {
  const m = /^(\d+)([kKmMgG]?)$/.exec(text);
  if (m === null) return null;
  return Number(m[1]) * { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[m[2]!.toLowerCase() as "" | "k" | "m" | "g"];
}

/** C's atol: leading digits, anything else is 0. HAProxy reads many numbers this way and takes what it gets. */
export function looseInt(text: string): number {
  const m = /^\s*([+-]?\d+)/.exec(text);
  return m === null ? 0 : Number(m[1]);
}

export interface AddressText {
  kind: "ip" | "unix" | "abstract" | "fd" | "none";
  host: string;
  /** -1: none written. */
  portLow: number;
  portHigh: number;
  /** "+" or "-" in front of the port. */
  portSign: "" | "+" | "-";
  path: string;
  fd: number;
  /** IPv4 or IPv6 demanded by a prefix. */
  family: 0 | 4 | 6;
}

/**
 * `[prefix@]host:port[-port2]`, `:port`, `*:port`, `/path`, `abns@name`, `fd@N`. The port is what follows the last colon.
 * Returns an error text (HAProxy's) instead when the port is no number or out of range.
 */
export function readAddress(text: string): AddressText | string {
  const none: AddressText = { kind: "ip", host: "", portLow: -1, portHigh: -1, portSign: "", path: "", fd: -1, family: 0 };
  let rest = text;
  const prefix = /^(ipv4|ipv6|tcp|tcp4|tcp6|udp|udp4|udp6|unix|abns|fd|sockpair|stream|dgram|quic4|quic6|uxst|uxdg)(\+[a-z]+)?@/.exec(text);
  if (prefix !== null) {
    rest = text.slice(prefix[0].length);
    const p = prefix[1]!;
    if (p === "unix" || p === "uxst" || p === "uxdg") return { ...none, kind: "unix", path: rest };
    if (p === "abns") return { ...none, kind: "abstract", path: rest };
    if (p === "fd")
      return /^\d+$/.test(rest)
        ? { ...none, kind: "fd", fd: Number(rest) }
        : `file descriptor '${rest}' is not a valid integer in '${text}'`;
    if (p === "sockpair" || p.startsWith("quic")) return { ...none, kind: "none" };
    if (p.endsWith("4")) none.family = 4;
    if (p.endsWith("6")) none.family = 6;
  }
  if (rest.startsWith("/")) return { ...none, kind: "unix", path: rest };
  const colon = rest.lastIndexOf(":");
  let host = colon < 0 ? rest : rest.slice(0, colon);
  const port = colon < 0 ? "" : rest.slice(colon + 1);
  if (host.startsWith("[") && host.endsWith("]")) host = host.slice(1, -1);
  const out = { ...none, host };
  if (port === "") return out;
  let digits = port;
  if (digits[0] === "+" || digits[0] === "-") {
    out.portSign = digits[0];
    digits = digits.slice(1);
  }
  const range = /^(\d+)(?:-(\d+))?$/.exec(digits);
  if (range === null) {
    const bad = digits.replace(/^\d+/, "")[0] ?? "";
    return bad === "" ? `missing port number in '${text}'` : `invalid character '${bad}' in port number '${port}' in '${text}'`;
  }
  out.portLow = Number(range[1]);
  out.portHigh = range[2] === undefined ? out.portLow : Number(range[2]);
  return out;
}

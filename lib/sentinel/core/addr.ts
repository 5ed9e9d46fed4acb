/**
 * Addresses of instances: the name a user or server gave, the ip behind it, the port. Pure.
 * Names are looked up by the driver (`resolve` action); here lives the last good answer. Redis sentinel.c: sentinelAddr.
 */
import { isIP } from "./text.ts";
import type { State } from "./state.ts";

export interface Addr {
  /** As given: a name or an ip. */
  host: string;
  /** "" while a name has no answer yet. */
  ip: string;
  port: number;
}

/** The ip of a name or ip literal; "" when it is a name without an answer. */
export function lookup(s: State, host: string): string {
  return isIP(host) ? host : (s.resolved.get(host.toLowerCase()) ?? "");
}

/**
 * An address for host:port. Null with a reason when the port is out of range, when a name is given without resolve-hostnames, or when
 * it has no ip and `acceptUnresolved` is false. Redis: createSentinelAddr.
 */
export function makeAddr(s: State, host: string, port: number, acceptUnresolved: boolean): Addr | "port" | "host" {
  if (!(port >= 0 && port <= 65535)) return "port";
  if (isIP(host)) return { host, ip: host, port };
  if (!s.resolveHostnames) return "host";
  const ip = lookup(s, host);
  if (ip === "" && !acceptUnresolved) return "host";
  return { host, ip, port };
}

/** Redis: sentinelAddrOrHostnameEqual. */
export function sameAddr(a: Addr, b: Addr): boolean {
  return a.port === b.port && ((a.ip !== "" && a.ip === b.ip) || a.host.toLowerCase() === b.host.toLowerCase());
}

/** Does the text (name or ip) name this address? Redis: sentinelAddrEqualsHostname. */
export function namesAddr(s: State, a: Addr, host: string): boolean {
  const ip = isIP(host) || s.resolveHostnames ? lookup(s, host) : "";
  if (ip === "") return (s.resolveHostnames ? a.host : a.ip).toLowerCase() === host.toLowerCase();
  return a.ip === ip;
}

/** The text shown to others: ip, or with announce-hostnames the name; a name that has no ip yet shows itself. */
export function shown(s: State, a: Addr): string {
  return s.announceHostnames || a.ip === "" ? a.host : a.ip;
}

/** `ip:port`, `[ip6]:port`: the name of a replica. */
export function shownWithPort(s: State, a: Addr): string {
  const text = shown(s, a);
  return text.includes(":") ? `[${text}]:${a.port}` : `${text}:${a.port}`;
}

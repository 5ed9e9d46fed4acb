/**
 * The hello message that Sentinels publish on `__sentinel__:hello` of every server they watch, and host:port addresses. Pure.
 * Anyone who may PUBLISH can forge a hello: it names a Sentinel to ask, never more. Used by Sentinel, proxy and status.
 */

/** The channel's name (Redis sentinel.c: SENTINEL_HELLO_CHANNEL). */
export const HELLO_CHANNEL = "__sentinel__:hello";

/** Where something listens. `host` is a name or a numeric address, as it was told. */
export type Address = { host: string; port: number };

/** One hello. Epochs are counted in JS numbers: exact to 2^53. */
export type Hello = {
  host: string;
  port: number;
  runId: string;
  currentEpoch: number;
  masterName: string;
  masterHost: string;
  masterPort: number;
  configEpoch: number;
};

/** Digits at the start as a number, anything else 0: how C's atoi and strtoull read these fields. */
export function leadingNumber(text: string): number {
  const m = /^\d+$/.test(text) ? text : (/^\s*\+?(\d+)/.exec(text)?.[1] ?? "0");
  return Number(m);
}

/** Reads one hello; null unless it has exactly 8 fields (Redis sentinel.c: sentinelProcessHelloMessage drops the rest). */
export function parseHello(csv: string): Hello | null {
  const f = csv.split(",");
  if (f.length !== 8) return null;
  return {
    host: f[0]!,
    port: leadingNumber(f[1]!),
    runId: f[2]!,
    currentEpoch: leadingNumber(f[3]!),
    masterName: f[4]!,
    masterHost: f[5]!,
    masterPort: leadingNumber(f[6]!),
    configEpoch: leadingNumber(f[7]!),
  };
}

/** The inverse of parseHello. */
export function formatHello(h: Hello): string {
  return [h.host, h.port, h.runId, h.currentEpoch, h.masterName, h.masterHost, h.masterPort, h.configEpoch].join(",");
}

/** True when a hello is worth dialing: a host, a port in range, 40 hex digits of run id. Forged nonsense is not. */
export function plausibleHello(h: Hello): boolean {
  return h.host.length > 0 && h.host.length < 256 && h.port > 0 && h.port < 65536 && /^[0-9a-f]{40}$/.test(h.runId);
}

/** Same host text (any case) and port. Names are not resolved here: give every known spelling to whoever compares. */
export function sameAddress(a: Address, b: Address): boolean {
  return a.port === b.port && a.host.toLowerCase() === b.host.toLowerCase();
}

/** `host:port`, IPv6 hosts in brackets, as Sentinel names replicas. */
export function showAddress(a: Address): string {
  return a.host.includes(":") ? `[${a.host}]:${a.port}` : `${a.host}:${a.port}`;
}

/** True for addresses that mean "this machine", and so mean different machines to different askers. */
export function isLoopback(host: string): boolean {
  return host === "::1" || host.toLowerCase() === "localhost" || /^(::ffff:)?127\./.test(host);
}

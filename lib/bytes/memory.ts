/**
 * Amounts of memory as configuration writes them ("100mb", "1g", "50%") and as INFO prints them ("1.53M"). Cold.
 * Decimal units (k, m, g) are powers of 1000, those with a b (kb, mb, gb) powers of 1024, as in Redis util.c memtoull.
 */

const UNITS: Record<string, number> = {
  "": 1,
  b: 1,
  k: 1000,
  kb: 1024,
  m: 1000 ** 2,
  mb: 1024 ** 2,
  g: 1000 ** 3,
  gb: 1024 ** 3,
};

/** Bytes of "10", "64kb", "1GB"; null when it is not an amount (a sign, a fraction, an unknown unit). Exact to 2^64 - 1; wraps as C does above. */
export function parseMemoryExact(text: string): bigint | null {
  const m = /^([0-9]*)([a-zA-Z]*)$/.exec(text);
  if (m === null || m[1].length >= 128) return null;
  const unit = UNITS[m[2].toLowerCase()];
  if (unit === undefined) return null;
  const digits = BigInt(m[1] === "" ? "0" : m[1]);
  const limit = 2n ** 64n - 1n;
  return BigInt.asUintN(64, (digits > limit ? limit : digits) * BigInt(unit));
}

/** parseMemoryExact as a number: what every amount below 8 PiB is exactly. */
export function parseMemory(text: string): number | null {
  const v = parseMemoryExact(text);
  return v === null ? null : Number(v);
}

/** "30%" as 30; null for anything else. Redis' percent directives (maxmemory-clients) take a canonical integer before the sign. */
export function parsePercent(text: string): number | null {
  const m = /^(0|[1-9][0-9]{0,15})%$/.exec(text);
  return m === null ? null : Number(m[1]);
}

/** The shortest exact amount CONFIG REWRITE writes: gb, mb or kb when it divides, else plain bytes. */
export function memoryText(bytes: number): string {
  if (bytes !== 0 && bytes % 1024 ** 3 === 0) return `${bytes / 1024 ** 3}gb`;
  if (bytes !== 0 && bytes % 1024 ** 2 === 0) return `${bytes / 1024 ** 2}mb`;
  if (bytes !== 0 && bytes % 1024 === 0) return `${bytes / 1024}kb`;
  return String(bytes);
}

/** INFO's `*_human` fields: "512B", "1.53M" (Redis server.c bytesToHuman). */
export function humanBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  let unit = 1024;
  for (const letter of "KMGTP") {
    if (bytes < unit * 1024) return twoDecimals(bytes / unit) + letter;
    unit *= 1024;
  }
  return `${bytes}B`;
}

/** C's "%.2f": as toFixed, but a tie (only odd eighths are one) goes to the even digit. */
function twoDecimals(v: number): string {
  if ((v * 8) % 2 !== 1) return v.toFixed(2);
  const floor = Math.floor(v * 100);
  return ((floor % 2 === 0 ? floor : floor + 1) / 100).toFixed(2);
}

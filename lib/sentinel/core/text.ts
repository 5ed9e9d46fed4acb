/** Small text helpers of the Sentinel core: numbers as C reads them, ip literals. Pure. */

/** IPv4 or IPv6 literal (IPv6 with an optional zone). */
export function isIP(text: string): boolean {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return text.split(".").every((p) => Number(p) <= 255);
  return text.includes(":") && /^[0-9a-fA-F:.]+(%.+)?$/.test(text);
}

/** C's atoi: leading blanks, sign and digits; 0 when there are none. */
export function atoi(text: string): number {
  const m = /^\s*([+-]?\d+)/.exec(text);
  return m === null ? 0 : Number(m[1]);
}

/** A whole decimal number as Redis' string2ll accepts it, or null. */
export function wholeNumber(text: string): number | null {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return null;
  const v = Number(text);
  return Number.isSafeInteger(v) ? v : null;
}

/** Too few or too many words after SENTINEL SUBCOMMAND; also words that neither the original nor we know there. */
export function wrongNumber(subcommand: string): { error: string } {
  return { error: `ERR wrong number of arguments for 'sentinel|${subcommand}' command` };
}

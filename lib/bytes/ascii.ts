/**
 * Text as bytes: the few ASCII helpers everything else stands on. Pure, no imports.
 * redisha keeps keys and values as bytes; where a JS string is wanted (config, logs, cold commands) it is "latin1", one char a byte.
 */

/** Bytes of a latin1 string: every char code 0..255 is one byte. */
export function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** The latin1 string of b[start, end). Round-trips all 256 byte values. */
export function textOf(b: Buffer, start = 0, end = b.length): string {
  return b.toString("latin1", start, end);
}

/** True when b[start, end) equals `lower` (an already lower-cased ASCII string), whatever the case of its letters. */
export function equalsIgnoreCase(b: Uint8Array, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    let c = b[start + i];
    if (c >= 65 && c <= 90) c |= 32;
    if (c !== lower.charCodeAt(i)) return false;
  }
  return true;
}

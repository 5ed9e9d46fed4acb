/** SHA-1 names of scripts (EVAL, EVALSHA, SCRIPT LOAD) and DEBUG DIGEST's sums. Bun's own hash; nothing here is a secret. */

/** Length of a SHA-1 in hex. */
export const SHA1_HEX = 40;

/** SHA-1 of b[start, end) as 40 lower-case hex digits. */
export function sha1Hex(b: Uint8Array, start = 0, end = b.length): string {
  return new Bun.CryptoHasher("sha1").update(b.subarray(start, end)).digest("hex");
}

/** SHA-1 of b[start, end) as 20 bytes. */
export function sha1Bytes(b: Uint8Array, start = 0, end = b.length): Buffer {
  return new Bun.CryptoHasher("sha1").update(b.subarray(start, end)).digest();
}

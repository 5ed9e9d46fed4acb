/**
 * LZF, the compression of strings in RDB files and DUMP payloads. Any LZF reader understands what `lzfCompress` writes and the other way round;
 * its choices (table of 65536, three-byte hash, references of 3 to 264 bytes, 8 KiB back) are liblzf's as Redis builds it, so that
 * sizes and, as a rule, bytes are Redis' too. HOT while saving.
 *
 *     000LLLLL                    L+1 literal bytes follow
 *     LLLooooo oooooooo           copy L+2 bytes (3..8) from o+1 bytes back
 *     111ooooo LLLLLLLL oooooooo  copy L+9 bytes from o+1 bytes back
 */

const MAX_LITERALS = 32;
const MAX_OFFSET = 8192;
const MAX_REFERENCE = 264;
const HASH_MASK = 65535;

/** Position + base of the last place where a hash was seen. The base grows with each call, so that old entries are simply too low: no clearing. */
const seen = new Int32Array(65536);
let base = 0;

/**
 * Compresses b[start, end) into out[at, limit). Returns the bytes written, or 0 when they do not fit (Redis gives 4 bytes less than the input,
 * and stores the string as it is then). The caller's `limit` is exclusive; `out` must not be `b`.
 */
export function lzfCompress(b: Uint8Array, start: number, end: number, out: Uint8Array, at: number, limit: number): number {
  const length = end - start;
  if (length <= 0 || at >= limit) return 0;
  if (base + length > 0x7fff0000) {
    seen.fill(0);
    base = 0;
  }
  // Entries are base + (position - start): above `base` they belong to this call, and position 0 is never referred to, as in liblzf.
  const from = base - start;
  const oldest = base;
  base += length;
  let i = start;
  let o = at + 1;
  let literals = 0;
  const stop = end - 2;
  while (i < stop) {
    const h = (b[i] << 16) | (b[i + 1] << 8) | b[i + 2];
    const slot = ((h >> 8) - h * 5) & HASH_MASK;
    const entry = seen[slot];
    seen[slot] = from + i;
    const r = entry - from;
    const offset = i - r - 1;
    if (entry > oldest && offset < MAX_OFFSET && b[r] === b[i] && b[r + 1] === b[i + 1] && b[r + 2] === b[i + 2]) {
      if (o + 4 >= limit && o - (literals === 0 ? 1 : 0) + 4 >= limit) return 0;
      if (literals === 0) o--;
      else out[o - literals - 1] = literals - 1;
      const longest = Math.min(end - i - 2, MAX_REFERENCE);
      let n = 3;
      while (n < longest && b[r + n] === b[i + n]) n++;
      const code = n - 2;
      if (code < 7) out[o++] = (offset >> 8) + (code << 5);
      else {
        out[o++] = (offset >> 8) + 224;
        out[o++] = code - 7;
      }
      out[o++] = offset;
      literals = 0;
      o++;
      i += n;
      if (i >= stop) break;
      // Of the bytes passed over only the last two are entered (liblzf's VERY_FAST).
      for (let j = i - 2; j < i; j++) {
        const k = (b[j] << 16) | (b[j + 1] << 8) | b[j + 2];
        seen[((k >> 8) - k * 5) & HASH_MASK] = from + j;
      }
    } else {
      if (o >= limit) return 0;
      out[o++] = b[i++];
      if (++literals === MAX_LITERALS) {
        out[o - literals - 1] = literals - 1;
        literals = 0;
        o++;
      }
    }
  }
  if (o + 3 > limit) return 0;
  while (i < end) {
    out[o++] = b[i++];
    if (++literals === MAX_LITERALS) {
      out[o - literals - 1] = literals - 1;
      literals = 0;
      o++;
    }
  }
  if (literals === 0) o--;
  else out[o - literals - 1] = literals - 1;
  return o - at;
}

/**
 * Decompresses b[start, end) into out[at, at + size). True when the input was sound and gave exactly `size` bytes; never writes or reads outside
 * the two regions, whatever the input.
 */
export function lzfDecompress(b: Uint8Array, start: number, end: number, out: Uint8Array, at: number, size: number): boolean {
  const limit = at + size;
  let i = start;
  let o = at;
  while (i < end) {
    const control = b[i++];
    if (control < 32) {
      const n = control + 1;
      if (o + n > limit || i + n > end) return false;
      for (const last = i + n; i < last;) out[o++] = b[i++];
      continue;
    }
    let n = control >> 5;
    if (n === 7) {
      if (i >= end) return false;
      n += b[i++];
    }
    if (i >= end) return false;
    let r = o - ((control & 31) << 8) - 1 - b[i++];
    n += 2;
    if (r < at || o + n > limit) return false;
    for (const last = o + n; o < last;) out[o++] = out[r++];
  }
  return o === limit;
}

/**
 * Copies of bytes. HOT: a native copy costs about 15 ns whatever its length, a byte loop about 0.4 ns a byte, so short ones loop.
 * No views are made (`set(subarray())` would cost 50 ns and garbage). Buffers may lie in SharedArrayBuffers.
 */

/** Up to this length a byte loop is at least as fast as a native copy. */
const LOOP_BYTES = 40;

const nativeCopy = Buffer.prototype.copy as unknown as {
  call(source: Uint8Array, target: Uint8Array, targetStart: number, sourceStart: number, sourceEnd: number): number;
};

/** Copies source[start, end) to target[at...). The two regions must not overlap: see `moveBytes`. Returns the position after the copy. */
export function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): number {
  if (end - start > LOOP_BYTES) {
    nativeCopy.call(source, target, at, start, end);
    return at + (end - start);
  }
  while (start < end) target[at++] = source[start++];
  return at;
}

/** Moves b[start, end) to b[at...) inside one buffer; the regions may overlap. */
export function moveBytes(b: Uint8Array, at: number, start: number, end: number): void {
  if (at === start) return;
  if (end - start > LOOP_BYTES) {
    b.copyWithin(at, start, end);
  } else if (at < start) {
    while (start < end) b[at++] = b[start++];
  } else {
    at += end - start;
    while (end > start) b[--at] = b[--end];
  }
}

/** True when a[aStart, aEnd) and b[bStart, bEnd) hold the same bytes. */
export function sameBytes(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): boolean {
  if (aEnd - aStart !== bEnd - bStart) return false;
  while (aStart < aEnd) if (a[aStart++] !== b[bStart++]) return false;
  return true;
}

/** Lexicographic order of bytes, a shorter prefix first (memcmp, then the lengths): negative, 0 or positive. */
export function compareBytes(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): number {
  const length = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < length; i++) {
    const d = a[aStart + i] - b[bStart + i];
    if (d !== 0) return d;
  }
  return aEnd - aStart - (bEnd - bStart);
}

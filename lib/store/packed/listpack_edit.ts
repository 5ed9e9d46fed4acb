/**
 * Listpacks, editing (reading and the layout: listpack.ts). HOT: no objects, no temporary buffers.
 *
 * Adding is two steps, because the caller must know the size before it can make room:
 *
 *     const need = lpPrepare(src, start, end);                 // encodes in mind: bytes the element will take
 *     if (lpBytes(b, lp) + need > capacity) ... a bigger place (out, outLp) ...
 *     lpInsert(b, lp, p);                                      // in place, or lpInsert(b, lp, p, out, outLp) to build the result there
 *
 * The element prepared last is what lpInsert, lpAppend, lpPrepend and lpReplace put, as often as they are called. Its bytes stay in `src` until
 * then: they must not lie in the part of the listpack that the edit moves. Every edit works in place when no `out` is given, and otherwise leaves the source untouched and
 * writes the whole new listpack at out[outLp...), which must not overlap it. Every edit returns the new total of bytes.
 * Positions after an edit: what was put is where p was (relative to the listpack); after a deletion p is the next element or the end byte.
 */
import { copyBytes, moveBytes } from "../../bytes/copy.ts";
import { i64Hi, i64Lo, parseInt64, parseInt64Pair } from "../../bytes/number.ts";
import { LP_EMPTY, LP_HEADER, LP_UNKNOWN, backlenBytes, encodedBytes, lpBytes, lpLast, lpLength, lpSeek, lpSkip } from "./listpack.ts";

/** The prepared element: an integer of 1, 2, 3, 4, 5 or 9 encoded bytes in two halves, or (src non-null) a string. */
let source: Uint8Array | null = null;
let sourceStart = 0;
let sourceEnd = 0;
let intLo = 0;
let intHi = 0;
/** Encoded bytes without and with the backlen. */
let bodyBytes = 0;
let entryBytes = 0;

/** Shortest and longest text of an int64 that a double cannot hold. */
const WIDE_TEXT_MIN = 16;
const WIDE_TEXT_MAX = 20;

// --------------------------------------------------------------------------------------------------------------------- preparing

/** Prepares the element with the text src[start, end): an integer when the text is a canonical int64, as Redis. Returns the bytes it will take. */
export function lpPrepare(src: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length <= WIDE_TEXT_MAX && length > 0) {
    const n = parseInt64(src, start, end);
    if (n === n) return lpPrepareInt(n);
    if (length >= WIDE_TEXT_MIN && parseInt64Pair(src, start, end)) return lpPrepareInt64(i64Hi, i64Lo);
  }
  source = src;
  sourceStart = start;
  sourceEnd = end;
  bodyBytes = length + (length < 64 ? 1 : length < 4096 ? 2 : 5);
  entryBytes = bodyBytes + backlenBytes(bodyBytes);
  return entryBytes;
}

/** Notes the size of a prepared integer; its backlen is always one byte. */
function prepared(bytes: number): number {
  source = null;
  bodyBytes = bytes;
  entryBytes = bytes + 1;
  return entryBytes;
}

/** Prepares a safe integer (|n| <= 2^53 - 1). Returns the bytes it will take. */
export function lpPrepareInt(n: number): number {
  intLo = n | 0;
  if (n >= 0 && n <= 127) return prepared(1);
  if (n >= -4096 && n <= 4095) return prepared(2);
  if (n >= -32768 && n <= 32767) return prepared(3);
  if (n >= -8388608 && n <= 8388607) return prepared(4);
  if (n === intLo) return prepared(5);
  intHi = Math.floor(n / 4294967296) | 0;
  return prepared(9);
}

/** Prepares the int64 hi * 2^32 + lo (hi int32, lo 0..2^32-1). Returns the bytes it will take. */
export function lpPrepareInt64(hi: number, lo: number): number {
  const n = hi * 4294967296 + lo;
  if (n <= 2147483647 && n >= -2147483648) return lpPrepareInt(n);
  intHi = hi;
  intLo = lo | 0;
  return prepared(9);
}

/** Writes the prepared element at b[p]; returns the position after it. */
function put(b: Uint8Array, p: number): number {
  let at: number;
  if (source !== null) {
    const length = sourceEnd - sourceStart;
    if (length < 64) {
      b[p] = 0x80 | length;
      at = p + 1;
    } else if (length < 4096) {
      b[p] = 0xe0 | (length >> 8);
      b[p + 1] = length;
      at = p + 2;
    } else {
      b[p] = 0xf0;
      b[p + 1] = length;
      b[p + 2] = length >> 8;
      b[p + 3] = length >> 16;
      b[p + 4] = length >> 24;
      at = p + 5;
    }
    copyBytes(b, at, source, sourceStart, sourceEnd);
    at = p + bodyBytes;
    if (bodyBytes > 127) return putBacklen(b, at, bodyBytes);
    b[at] = bodyBytes;
    return at + 1;
  }
  if (bodyBytes === 1) b[p] = intLo;
  else if (bodyBytes === 2) {
    b[p] = 0xc0 | ((intLo >> 8) & 0x1f);
    b[p + 1] = intLo;
  } else {
    b[p] = bodyBytes === 9 ? 0xf4 : 0xee + bodyBytes;
    b[p + 1] = intLo;
    b[p + 2] = intLo >> 8;
    if (bodyBytes > 3) b[p + 3] = intLo >> 16;
    if (bodyBytes > 4) b[p + 4] = intLo >> 24;
    if (bodyBytes === 9) {
      b[p + 5] = intHi;
      b[p + 6] = intHi >> 8;
      b[p + 7] = intHi >> 16;
      b[p + 8] = intHi >> 24;
    }
  }
  at = p + bodyBytes;
  b[at] = bodyBytes;
  return at + 1;
}

/** Writes a backlen of two to five bytes. The last byte comes first when one reads backwards; all but the first written carry the high bit. */
function putBacklen(b: Uint8Array, at: number, size: number): number {
  const n = backlenBytes(size);
  for (let i = n - 1; i > 0; i--) {
    b[at + i] = (size & 127) | 128;
    size = Math.floor(size / 128);
  }
  b[at] = size;
  return at + n;
}

function setHeader(b: Uint8Array, lp: number, bytes: number, count: number): void {
  b[lp] = bytes;
  b[lp + 1] = bytes >> 8;
  b[lp + 2] = bytes >> 16;
  b[lp + 3] = bytes >> 24;
  b[lp + 4] = count;
  b[lp + 5] = count >> 8;
}

// ----------------------------------------------------------------------------------------------------------------------- editing

/** Writes an empty listpack (LP_EMPTY bytes) at b[lp]; returns LP_EMPTY. */
export function lpNew(b: Uint8Array, lp: number): number {
  setHeader(b, lp, LP_EMPTY, 0);
  b[lp + LP_HEADER] = 0xff;
  return LP_EMPTY;
}

/**
 * The one edit: b[p, p + removed) goes, `added` bytes of room come, the count changes by `change` (unless unknown). The room at
 * outLp + (p - lp) is left for the caller to fill. Returns the new total of bytes.
 */
function splice(
  b: Uint8Array,
  lp: number,
  p: number,
  removed: number,
  added: number,
  change: number,
  out: Uint8Array,
  outLp: number,
): number {
  const bytes = lpBytes(b, lp);
  const known = b[lp + 4] | (b[lp + 5] << 8);
  if (out === b && outLp === lp) moveBytes(b, p + added, p + removed, lp + bytes);
  else {
    copyBytes(out, outLp + LP_HEADER, b, lp + LP_HEADER, p);
    copyBytes(out, outLp + (p - lp) + added, b, p + removed, lp + bytes);
  }
  const total = bytes + added - removed;
  setHeader(out, outLp, total, known === LP_UNKNOWN ? known : known + change);
  return total;
}

/** Puts the prepared element before the element (or end byte) at p. */
export function lpInsert(b: Uint8Array, lp: number, p: number, out: Uint8Array = b, outLp: number = lp): number {
  const total = splice(b, lp, p, 0, entryBytes, 1, out, outLp);
  put(out, outLp + (p - lp));
  return total;
}

/** Puts the prepared element after the element at p. */
export function lpInsertAfter(b: Uint8Array, lp: number, p: number, out: Uint8Array = b, outLp: number = lp): number {
  return lpInsert(b, lp, lpSkip(b, p), out, outLp);
}

/** Puts the prepared element at the end. */
export function lpAppend(b: Uint8Array, lp: number, out: Uint8Array = b, outLp: number = lp): number {
  if (out === b && outLp === lp) {
    const known = b[lp + 4] | (b[lp + 5] << 8);
    const bytes = lpBytes(b, lp);
    b[put(b, lp + bytes - 1)] = 0xff;
    setHeader(b, lp, bytes + entryBytes, known === LP_UNKNOWN ? known : known + 1);
    return bytes + entryBytes;
  }
  return lpInsert(b, lp, lp + lpBytes(b, lp) - 1, out, outLp);
}

/**
 * Adding many: writes the prepared element at p, where the end byte was, and nothing else; returns where the next one goes. lpFinish makes a
 * listpack of it again.
 */
export function lpPut(b: Uint8Array, p: number): number {
  return put(b, p);
}
/** Ends a listpack at p after `count` elements were put. */
export function lpFinish(b: Uint8Array, lp: number, p: number, count: number): void {
  const known = b[lp + 4] | (b[lp + 5] << 8);
  b[p] = 0xff;
  setHeader(b, lp, p + 1 - lp, known + count < LP_UNKNOWN ? known + count : LP_UNKNOWN);
}

/** Puts the prepared element at the front. */
export function lpPrepend(b: Uint8Array, lp: number, out: Uint8Array = b, outLp: number = lp): number {
  return lpInsert(b, lp, lp + LP_HEADER, out, outLp);
}

/**
 * Puts the prepared element at the front without moving the others: the header goes as many bytes down as the element takes, which must be
 * free there. Returns where the listpack begins now.
 */
export function lpPrependBelow(b: Uint8Array, lp: number): number {
  const known = b[lp + 4] | (b[lp + 5] << 8);
  const to = lp - entryBytes;
  setHeader(b, to, lpBytes(b, lp) + entryBytes, known === LP_UNKNOWN ? known : known + 1);
  put(b, to + LP_HEADER);
  return to;
}

/** Deletes the first element (there is one) without moving the others: the header goes up. Returns where the listpack begins now. */
export function lpDeleteFirst(b: Uint8Array, lp: number): number {
  const known = b[lp + 4] | (b[lp + 5] << 8);
  const bytes = lpEntryBytes(b, lp + LP_HEADER);
  setHeader(b, lp + bytes, lpBytes(b, lp) - bytes, known === LP_UNKNOWN ? known : known - 1);
  return lp + bytes;
}

/** Deletes the last element (there is one). */
export function lpDeleteLast(b: Uint8Array, lp: number): void {
  const known = b[lp + 4] | (b[lp + 5] << 8);
  const p = lpLast(b, lp);
  b[p] = 0xff;
  setHeader(b, lp, p + 1 - lp, known === LP_UNKNOWN ? known : known - 1);
}

/** Bytes the element at p takes with its backlen: what a replacement gives back. */
export function lpEntryBytes(b: Uint8Array, p: number): number {
  const size = encodedBytes(b, p);
  return size + backlenBytes(size);
}

/** Puts the prepared element in the place of the element at p. */
export function lpReplace(b: Uint8Array, lp: number, p: number, out: Uint8Array = b, outLp: number = lp): number {
  const total = splice(b, lp, p, lpEntryBytes(b, p), entryBytes, 0, out, outLp);
  put(out, outLp + (p - lp));
  return total;
}

/** Deletes `count` elements from p on (fewer when the end comes first). */
export function lpDelete(b: Uint8Array, lp: number, p: number, count = 1, out: Uint8Array = b, outLp: number = lp): number {
  let end = p;
  let deleted = 0;
  while (deleted < count && b[end] !== 0xff) {
    end = lpSkip(b, end);
    deleted++;
  }
  return splice(b, lp, p, end - p, 0, -deleted, out, outLp);
}

/** Deletes `count` elements from an index on (negative: from the end); nothing when the index is out of range. */
export function lpDeleteRange(b: Uint8Array, lp: number, index: number, count: number, out: Uint8Array = b, outLp: number = lp): number {
  const p = count > 0 ? lpSeek(b, lp, index) : -1;
  return lpDelete(b, lp, p < 0 ? lp + lpBytes(b, lp) - 1 : p, count, out, outLp);
}

/** Deletes the elements at positions[0, count), which are in ascending order, in place. One pass over the rest. */
export function lpDeleteMany(b: Uint8Array, lp: number, positions: ArrayLike<number>, count: number): number {
  if (count === 0) return lpBytes(b, lp);
  const bytes = lpBytes(b, lp);
  const known = b[lp + 4] | (b[lp + 5] << 8);
  const end = lp + bytes;
  let at = positions[0];
  for (let i = 0; i < count; i++) {
    const from = lpSkip(b, positions[i]);
    const to = i + 1 < count ? positions[i + 1] : end;
    moveBytes(b, at, from, to);
    at += to - from;
  }
  const total = at - lp;
  setHeader(b, lp, total, known === LP_UNKNOWN ? known : known - count);
  return total;
}

/** Writes first's elements, then second's, at out[outLp...): the sum of their bytes minus LP_EMPTY. `out` may be where `first` is. */
export function lpMerge(a: Uint8Array, first: number, b: Uint8Array, second: number, out: Uint8Array, outLp: number): number {
  const firstBytes = lpBytes(a, first);
  const secondBytes = lpBytes(b, second);
  const count = lpLength(a, first) + lpLength(b, second);
  if (out !== a || outLp !== first) copyBytes(out, outLp, a, first, first + firstBytes - 1);
  copyBytes(out, outLp + firstBytes - 1, b, second + LP_HEADER, second + secondBytes);
  const total = firstBytes + secondBytes - LP_EMPTY;
  setHeader(out, outLp, total, count < LP_UNKNOWN ? count : LP_UNKNOWN);
  return total;
}

/**
 * Intsets: Redis' sorted array of distinct integers (small sets of numbers), byte for byte as RDB and DUMP carry it. HOT.
 *
 *     encoding u32 (2, 4 or 8 bytes a value) | count u32 | values in ascending order, little endian
 *
 * An intset is (b, at). The value that is searched or added is prepared first, so that no BigInt and no object is needed for the whole int64
 * range; then `intsetFind` says where it is (index) or would go (~index):
 *
 *     if (!intsetPrepare(src, start, end)) ... not an integer: the set becomes a listpack or a table ...
 *     const i = intsetFind(b, at);
 *     if (i < 0) { if (intsetBytesWith(b, at) > capacity) ... a bigger place ...; intsetInsert(b, at, ~i); }
 *
 * Edits work in place, or build the result at out[outAt...) when these are given; they return the new total of bytes.
 */
import { copyBytes, moveBytes } from "../../bytes/copy.ts";
import { i64Hi, i64Lo, parseInt64, parseInt64Pair, writeInt64 } from "../../bytes/number.ts";

/** Header bytes: an empty intset, which Redis never stores. */
export const INTSET_HEADER = 8;

/** The prepared value: halves (int32; the low one as signed bits) and the bytes it needs. */
let hi = 0;
let lo = 0;
let need = 2;

/** What `intsetRead` read: the value, NaN when it is beyond 2^53 - 1; its halves (int32, and 0..2^32-1) are always set. */
export let memberInt = 0;
export let memberHi = 0;
export let memberLo = 0;

// --------------------------------------------------------------------------------------------------------------------- preparing

/** Prepares the value with the text src[start, end); false when it is not a canonical int64. */
export function intsetPrepare(src: Uint8Array, start: number, end: number): boolean {
  const n = parseInt64(src, start, end);
  if (n === n) {
    intsetPrepareInt(n);
    return true;
  }
  if (end - start < 16 || !parseInt64Pair(src, start, end)) return false;
  hi = i64Hi;
  lo = i64Lo | 0;
  need = 8;
  return true;
}

/** Prepares a safe integer. */
export function intsetPrepareInt(n: number): void {
  lo = n | 0;
  if (lo === n) {
    hi = lo >> 31;
    need = n >= -32768 && n <= 32767 ? 2 : 4;
  } else {
    hi = Math.floor(n / 4294967296) | 0;
    need = 8;
  }
}

/** Prepares the value read last from an intset (moving members between sets). */
export function intsetPrepareMember(): void {
  hi = memberHi;
  lo = memberLo | 0;
  need = lo >> 31 !== hi ? 8 : lo >= -32768 && lo <= 32767 ? 2 : 4;
}

// ----------------------------------------------------------------------------------------------------------------------- reading

function u32(b: Uint8Array, at: number): number {
  return (b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24)) >>> 0;
}

/** Number of members. */
export function intsetLength(b: Uint8Array, at: number): number {
  return u32(b, at + 4);
}

/** Bytes a member takes: 2, 4 or 8. */
export function intsetWidth(b: Uint8Array, at: number): number {
  return b[at];
}

/** Total bytes, header included. */
export function intsetBytes(b: Uint8Array, at: number): number {
  return INTSET_HEADER + u32(b, at + 4) * b[at];
}

/** Total bytes once the prepared value has been added. */
export function intsetBytesWith(b: Uint8Array, at: number): number {
  return INTSET_HEADER + (u32(b, at + 4) + 1) * Math.max(b[at], need);
}

function int16(b: Uint8Array, p: number): number {
  return ((b[p] | (b[p + 1] << 8)) << 16) >> 16;
}
function int32(b: Uint8Array, p: number): number {
  return b[p] | (b[p + 1] << 8) | (b[p + 2] << 16) | (b[p + 3] << 24);
}

/** Reads member `index` (0 <= index < length) into `memberInt`, `memberHi`, `memberLo`; returns memberInt. */
export function intsetRead(b: Uint8Array, at: number, index: number): number {
  const width = b[at];
  const p = at + INTSET_HEADER + index * width;
  if (width === 8) {
    memberLo = int32(b, p) >>> 0;
    memberHi = int32(b, p + 4);
    const v = memberHi * 4294967296 + memberLo;
    memberInt = v <= 9007199254740991 && v >= -9007199254740991 ? v : NaN;
  } else {
    memberInt = width === 2 ? int16(b, p) : int32(b, p);
    memberHi = memberInt >> 31;
    memberLo = memberInt >>> 0;
  }
  return memberInt;
}

/** Writes the text of the member read last at out[pos]; returns the position after it (at most 20 bytes). */
export function intsetWriteMember(out: Uint8Array, pos: number): number {
  return writeInt64(out, pos, memberHi, memberLo);
}

/** Sign of (member at p) - (prepared value), for a member of `width` bytes and a value that fits it. */
function compareAt(b: Uint8Array, p: number, width: number): number {
  if (width === 2) return int16(b, p) - lo;
  if (width === 4) {
    const v = int32(b, p);
    return v < lo ? -1 : v > lo ? 1 : 0;
  }
  const high = int32(b, p + 4);
  if (high !== hi) return high < hi ? -1 : 1;
  const low = int32(b, p) >>> 0;
  const own = lo >>> 0;
  return low < own ? -1 : low > own ? 1 : 0;
}

/** Index of the prepared value, or ~index of the place where it belongs (a negative number). */
export function intsetFind(b: Uint8Array, at: number): number {
  const width = b[at];
  const length = u32(b, at + 4);
  // A value too wide for the others is below or above all of them.
  if (need > width) return hi < 0 ? -1 : ~length;
  const base = at + INTSET_HEADER;
  let low = 0;
  let high = length - 1;
  // Members often come in ascending order: the end first.
  if (length > 0 && compareAt(b, base + high * width, width) < 0) return ~length;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const order = compareAt(b, base + middle * width, width);
    if (order === 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return ~low;
}

// ----------------------------------------------------------------------------------------------------------------------- editing

function put32(b: Uint8Array, p: number, v: number): void {
  b[p] = v;
  b[p + 1] = v >> 8;
  b[p + 2] = v >> 16;
  b[p + 3] = v >> 24;
}

function putHeader(b: Uint8Array, at: number, width: number, length: number): void {
  put32(b, at, width);
  put32(b, at + 4, length);
}

/** Writes a member of `width` bytes. */
function putMember(b: Uint8Array, p: number, width: number, high: number, low: number): void {
  b[p] = low;
  b[p + 1] = low >> 8;
  if (width === 2) return;
  b[p + 2] = low >> 16;
  b[p + 3] = low >> 24;
  if (width === 8) put32(b, p + 4, high);
}

/** Writes an empty intset (INTSET_HEADER bytes) at b[at]. */
export function intsetNew(b: Uint8Array, at: number): number {
  putHeader(b, at, 2, 0);
  return INTSET_HEADER;
}

/** Adds the prepared value at `index`, where `intsetFind` said it belongs; all members are widened when it needs that. */
export function intsetInsert(b: Uint8Array, at: number, index: number, out: Uint8Array = b, outAt: number = at): number {
  const width = b[at];
  const length = u32(b, at + 4);
  const base = at + INTSET_HEADER;
  if (need > width) return widenAndInsert(b, at, index, out, outAt);
  const outBase = outAt + INTSET_HEADER;
  if (out === b && outAt === at) moveBytes(b, base + (index + 1) * width, base + index * width, base + length * width);
  else {
    copyBytes(out, outBase, b, base, base + index * width);
    copyBytes(out, outBase + (index + 1) * width, b, base + index * width, base + length * width);
  }
  putMember(out, outBase + index * width, width, hi, lo);
  putHeader(out, outAt, width, length + 1);
  return INTSET_HEADER + (length + 1) * width;
}

/** From the back, so that in place no member is overwritten before it has been read. */
function widenAndInsert(b: Uint8Array, at: number, index: number, out: Uint8Array, outAt: number): number {
  const width = b[at];
  const length = u32(b, at + 4);
  const wide = need;
  const base = at + INTSET_HEADER;
  const outBase = outAt + INTSET_HEADER;
  const shift = index === 0 ? 1 : 0;
  for (let i = length - 1; i >= 0; i--) {
    const p = base + i * width;
    const low = width === 2 ? int16(b, p) : int32(b, p);
    putMember(out, outBase + (i + shift) * wide, wide, low >> 31, low);
  }
  putMember(out, outBase + index * wide, wide, hi, lo);
  putHeader(out, outAt, wide, length + 1);
  return INTSET_HEADER + (length + 1) * wide;
}

/** Removes member `index`. The width stays, as in Redis. */
export function intsetRemove(b: Uint8Array, at: number, index: number, out: Uint8Array = b, outAt: number = at): number {
  const width = b[at];
  const length = u32(b, at + 4);
  const base = at + INTSET_HEADER;
  const outBase = outAt + INTSET_HEADER;
  if (out !== b || outAt !== at) copyBytes(out, outBase, b, base, base + index * width);
  if (out === b) moveBytes(b, outBase + index * width, base + (index + 1) * width, base + length * width);
  else copyBytes(out, outBase + index * width, b, base + (index + 1) * width, base + length * width);
  putHeader(out, outAt, width, length - 1);
  return INTSET_HEADER + (length - 1) * width;
}

// ---------------------------------------------------------------------------------------------------------------------- checking

/** True when b[at, at + size) is an intset that can be trusted (Redis intsetValidateIntegrity): header and size; when `deep` also the order. */
export function intsetValid(b: Uint8Array, at: number, size: number, deep: boolean): boolean {
  if (size < INTSET_HEADER) return false;
  const width = u32(b, at);
  if (width !== 2 && width !== 4 && width !== 8) return false;
  const length = u32(b, at + 4);
  if (length === 0 || INTSET_HEADER + length * width !== size) return false;
  if (!deep) return true;
  for (let i = 1; i < length; i++) {
    intsetRead(b, at, i - 1);
    hi = memberHi;
    lo = memberLo | 0;
    if (compareAt(b, at + INTSET_HEADER + i * width, width) <= 0) return false;
  }
  return true;
}

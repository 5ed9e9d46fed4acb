/**
 * What lies in an arena block: keys with their values, and the elements of big collections. HOT: accessors on refs, no objects.
 *
 *   word 0   key length:16 | type:4 | encoding:4 | flags:8
 *   word 1   value length in bytes (a HUGE value: 8, see below)
 *   word 2   lru or lfu:24 (low) | snapshot version:8 (high)          keys only: an element's header ends after word 1
 *   8 bytes  if HAS_EXPIRE: expiry in ms since 1970, low word, high word (keys); if HAS_SCORE, the same bit: the score, a f64 (elements)
 *   4 bytes  if LONG_KEY: the key's length (word 0 then says 0xffff)
 *   key bytes, value bytes; what is left of the block is room to grow
 *
 * The value of a key is, by encoding: the bytes of the string; a packed collection (listpack, intset); four bytes with the id of a big
 * collection (objects.ts); or, HUGE, four bytes id and four bytes length (uint32) of a value in the arena's huge table.
 * Header sizes: KEY_HEADER for keys, ELEMENT_HEADER for elements of sets, hashes and sorted sets. Both live in the same tables (dict.ts).
 * Tables find the key through keyOffset alone, so an element may use the free flag bits as it likes: its type's bits and the highest four
 * flags are its generation (frozen_elements.ts).
 */
import { UNIT_MASK, alloc, f64, m32, m8, usableBytes } from "./arena.ts";

export const KEY_HEADER = 12;
export const ELEMENT_HEADER = 8;

// ---- types, as TYPE and OBJECT name them (see typeNames)
export const STRING = 0;
export const LIST = 1;
export const SET = 2;
export const ZSET = 3;
export const HASH = 4;
export const STREAM = 5;
export const typeNames = ["string", "list", "set", "zset", "hash", "stream"] as const;

// ---- encodings, as OBJECT ENCODING names them (see encodingNames)
export const RAW = 0;
export const INT = 1;
export const EMBSTR = 2;
/** A string (or a hash's value) in the huge table; OBJECT ENCODING says raw. */
export const HUGE = 3;
export const LISTPACK = 4;
export const INTSET = 5;
export const HASHTABLE = 6;
export const SKIPLIST = 7;
export const QUICKLIST = 8;
export const STREAM_NODES = 9;
export const encodingNames = ["raw", "int", "embstr", "raw", "listpack", "intset", "hashtable", "skiplist", "quicklist", "stream"] as const;

// ---- flags (bits of word 0)
export const LONG_KEY = 1 << 26;
export const HAS_EXPIRE = 1 << 27;
export const HAS_SCORE = 1 << 27;

const TYPE_SHIFT = 16;
const ENCODING_SHIFT = 20;
const LONG = 0xffff;

/** Keys this long or longer take the LONG_KEY word. */
export const LONG_KEY_MIN = LONG;

/** Bytes from the block's start to the key. */
export function keyOffset(word0: number, header: number): number {
  return header + ((word0 >>> 24) & 12); // HAS_EXPIRE is the flags' 8, LONG_KEY their 4: the bits are the sizes
}

/** Bytes an entry takes. `flags` may hold HAS_EXPIRE (HAS_SCORE); LONG_KEY follows from the length. */
export function entryBytes(header: number, flags: number, keyLength: number, valueLength: number): number {
  return header + ((flags >>> 24) & 8) + (keyLength < LONG ? 0 : 4) + keyLength + valueLength;
}

/** The entry's word 0. */
export function word0(ref: number): number {
  return m32[ref >>> 23][(ref & UNIT_MASK) << 1];
}

export function setWord0(ref: number, word: number): void {
  m32[ref >>> 23][(ref & UNIT_MASK) << 1] = word;
}

export function typeOf(ref: number): number {
  return (m32[ref >>> 23][(ref & UNIT_MASK) << 1] >>> TYPE_SHIFT) & 15;
}

export function encodingOf(ref: number): number {
  return (m32[ref >>> 23][(ref & UNIT_MASK) << 1] >>> ENCODING_SHIFT) & 15;
}

export function setEncoding(ref: number, encoding: number): void {
  const m = m32[ref >>> 23];
  const i = (ref & UNIT_MASK) << 1;
  m[i] = (m[i] & ~(15 << ENCODING_SHIFT)) | (encoding << ENCODING_SHIFT);
}

export function setTypeAndEncoding(ref: number, type: number, encoding: number): void {
  const m = m32[ref >>> 23];
  const i = (ref & UNIT_MASK) << 1;
  m[i] = (m[i] & ~0x00ff0000) | (type << TYPE_SHIFT) | (encoding << ENCODING_SHIFT);
}

/** Byte position of the block inside its segment's views: bytes m8[ref >>> 23][baseOf(ref) ...]. */
export function baseOf(ref: number): number {
  return (ref & UNIT_MASK) << 3;
}

/** The key's length in bytes. */
export function keyLength(ref: number, header: number): number {
  const m = m32[ref >>> 23];
  const i = (ref & UNIT_MASK) << 1;
  const length = m[i] & LONG;
  return length === LONG ? m[i + ((header + ((m[i] >>> 24) & 8)) >> 2)] : length;
}

/** Byte position of the key in m8[ref >>> 23]. */
export function keyStart(ref: number, header: number): number {
  const unit = ref & UNIT_MASK;
  return (unit << 3) + header + ((m32[ref >>> 23][unit << 1] >>> 24) & 12);
}

/** Byte position of the value in m8[ref >>> 23]. */
export function valueStart(ref: number, header: number): number {
  const m = m32[ref >>> 23];
  const unit = ref & UNIT_MASK;
  const word = m[unit << 1];
  const length = word & LONG;
  const flags = word >>> 24;
  // Every look at a value comes by here: one load for what keyStart and keyLength would load twice.
  const start = (unit << 3) + header + (flags & 12);
  return start + (length === LONG ? m[(unit << 1) + ((header + (flags & 8)) >> 2)] : length);
}

/** Bytes of value inside the block (a HUGE value: 8). */
export function valueLength(ref: number): number {
  return m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 1];
}

/** Sets word 1 only; the caller knows that the block is large enough (capacityOf). */
export function setValueLength(ref: number, length: number): void {
  m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 1] = length;
}

/** Bytes of value the block could hold without moving. */
export function capacityOf(ref: number, header: number): number {
  return usableBytes(ref) - (valueStart(ref, header) - baseOf(ref));
}

/** Reads the four bytes at the value's start + offset as uint32 (values are not aligned): object ids, huge ids and lengths. */
export function valueWord(ref: number, header: number, offset: number): number {
  const b = m8[ref >>> 23];
  const p = valueStart(ref, header) + offset;
  return (b[p] | (b[p + 1] << 8) | (b[p + 2] << 16) | (b[p + 3] << 24)) >>> 0;
}

export function setValueWord(ref: number, header: number, offset: number, word: number): void {
  const b = m8[ref >>> 23];
  const p = valueStart(ref, header) + offset;
  b[p] = word;
  b[p + 1] = word >>> 8;
  b[p + 2] = word >>> 16;
  b[p + 3] = word >>> 24;
}

/** Expiry in ms since 1970, or -1 when the key has none. */
export function expireOf(ref: number): number {
  const m = m32[ref >>> 23];
  const i = (ref & UNIT_MASK) << 1;
  if ((m[i] & HAS_EXPIRE) === 0) return -1;
  return (m[i + 3] >>> 0) + m[i + 4] * 4294967296;
}

/** Writes the expiry of an entry that has the word for it (HAS_EXPIRE). ms from 0 to 2^53. */
export function writeExpire(ref: number, ms: number): void {
  const m = m32[ref >>> 23];
  const i = (ref & UNIT_MASK) << 1;
  m[i + 3] = (ms % 4294967296) | 0;
  m[i + 4] = Math.floor(ms / 4294967296);
}

/** The score of a sorted set's member (HAS_SCORE). */
export function scoreOf(ref: number): number {
  return f64[ref >>> 23][(ref & UNIT_MASK) + 1];
}

export function setScore(ref: number, score: number): void {
  f64[ref >>> 23][(ref & UNIT_MASK) + 1] = score;
}

/** Copies n bytes of b into the arena's segment s at byte position to. */
export function copyIn(s: number, to: number, b: Buffer, from: number, n: number): void {
  const target = m8[s];
  if (n > 48) b.copy(target, to, from, from + n);
  else for (let i = 0; i < n; i++) target[to + i] = b[from + i];
}

/**
 * A new element (of a set, hash or sorted set) with its key copied from b[start, end) and room for the value: its ref, or 0 when memory is
 * out. flags: 0 or HAS_SCORE. The caller writes the value bytes at valueStart and puts the ref into its table.
 */
export function newElement(b: Buffer, start: number, end: number, flags: number, valueLength: number): number {
  const length = end - start;
  const ref = alloc(entryBytes(ELEMENT_HEADER, flags, length, valueLength));
  if (ref === 0) return 0;
  writeHead(ref, ELEMENT_HEADER, flags, length, valueLength);
  copyIn(ref >>> 23, keyStart(ref, ELEMENT_HEADER), b, start, length);
  return ref;
}

/** Writes word 0, word 1 and the long key's length of a new block. `bits`: type, encoding and flags in place; LONG_KEY is added. */
export function writeHead(ref: number, header: number, bits: number, keyLength: number, valueLength: number): void {
  const m = m32[ref >>> 23];
  const i = (ref & UNIT_MASK) << 1;
  m[i + 1] = valueLength;
  if (keyLength < LONG) {
    m[i] = bits | keyLength;
    return;
  }
  m[i] = bits | LONG_KEY | LONG;
  m[i + ((header + ((bits >>> 24) & 8)) >> 2)] = keyLength;
}

/** Word 0's bits for a type and an encoding. */
export function headBits(type: number, encoding: number): number {
  return (type << TYPE_SHIFT) | (encoding << ENCODING_SHIFT);
}

/** The key's bytes as a view (cold: makes an object). Valid until the entry moves or goes. */
export function keyBytes(ref: number, header: number): Buffer {
  const start = keyStart(ref, header);
  return m8[ref >>> 23].subarray(start, start + keyLength(ref, header));
}

/** The value's bytes inside the block as a view (cold: makes an object). Valid until the entry changes. */
export function valueBytes(ref: number, header: number): Buffer {
  const start = valueStart(ref, header);
  return m8[ref >>> 23].subarray(start, start + valueLength(ref));
}

/**
 * String values. HOT: everything works on bytes in the arena, numbers are their digits, in place.
 *
 * A string lies in its key's entry, or, beyond 1 MiB, in the huge table (encoding HUGE; the entry then holds id and length). Callers do not
 * care: `region(ref)` says where the bytes are. The encoding nibble remembers what OBJECT ENCODING must answer (Redis: tryObjectEncoding).
 *
 * Functions that need memory return the entry's ref, maybe a new one, or 0 for -OOM. Whether the key is a string at all is the caller's check.
 * Length limits (proto-max-bulk-len) are the commands'.
 */
import { HUGE_MIN, UNIT_MASK, huge, hugeAlloc, hugeFree, hugeGrow, m32, m8, fits } from "./arena.ts";
import { INT_TEXT_MAX, isInt64Text, parseBigInt64, parseInt64, writeBigInt, writeInt } from "../bytes/number.ts";
import { copyBytes } from "../bytes/copy.ts";
import * as entry from "./entry.ts";
import { EMBSTR, HAS_EXPIRE, HUGE, INT, KEY_HEADER, RAW, STRING } from "./entry.ts";
import type { Keyspace } from "./keyspace.ts";
import { hugeChanging } from "./frozen_string.ts";
import { hashBytes } from "./seed.ts";

/** Strings up to this length are reported as embstr (Redis: OBJ_ENCODING_EMBSTR_SIZE_LIMIT). */
const EMBSTR_MAX = 44;
const TYPE_BITS = 0x000f0000;
const ENCODING_BITS = 0x00f00000;
/** Growing strings reserve half their length again, up to this (Redis: SDS_MAX_PREALLOC). */
const RESERVE_MAX = 1 << 20;

// ---- where a value is: set by region() and getRange()
/** The bytes are valueBuffer[valueFrom, valueTo), until the entry changes. */
export let valueBuffer: Buffer = Buffer.alloc(0);
export let valueFrom = 0;
export let valueTo = 0;

/** Finds the bytes of a string: valueBuffer, valueFrom, valueTo. Returns their number. */
export function region(ref: number): number {
  const unit = ref & UNIT_MASK;
  const m = m32[ref >>> 23];
  const word = m[unit << 1];
  const keyLength = word & 0xffff;
  if (((word >>> 20) & 15) === HUGE) {
    valueBuffer = huge[entry.valueWord(ref, KEY_HEADER, 0)]!;
    valueFrom = 0;
    valueTo = entry.valueWord(ref, KEY_HEADER, 4);
    return valueTo;
  }
  const start = keyLength === 0xffff ? entry.valueStart(ref, KEY_HEADER) : (unit << 3) + KEY_HEADER + ((word >>> 24) & 12) + keyLength;
  const length = m[(unit << 1) + 1];
  valueBuffer = m8[ref >>> 23];
  valueFrom = start;
  valueTo = start + length;
  return length;
}

/** STRLEN. */
export function stringLength(ref: number): number {
  return entry.encodingOf(ref) === HUGE ? entry.valueWord(ref, KEY_HEADER, 4) : entry.valueLength(ref);
}

/** GETRANGE start end (Redis' rules for negative and far indexes): region() of the part; returns its length, 0 = empty. */
export function getRange(ref: number, start: number, end: number): number {
  const length = region(ref);
  if (start < 0 && end < 0 && start > end) return 0;
  let from = start < 0 ? length + start : start;
  let to = end < 0 ? length + end : end;
  if (from < 0) from = 0;
  if (to < 0) to = 0;
  if (to >= length) to = length - 1;
  if (from > to || length === 0) return 0;
  valueTo = valueFrom + to + 1;
  valueFrom += from;
  return to - from + 1;
}

// ---- encodings

/** The encoding Redis' tryObjectEncoding gives these bytes: INT, EMBSTR or RAW. */
export function encodingFor(b: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length > EMBSTR_MAX) return RAW;
  // Most values are not numbers, and their first byte tells.
  if (length > INT_TEXT_MAX || length === 0 || b[start] > 57 || b[start] < 45 || !isInt64Text(b, start, end)) return EMBSTR;
  return INT;
}

// ---- writing

/** Set by setString: the key was there before. */
export let existed = false;

/**
 * SET: key b[start, end) gets the bytes vb[vs, ve), whatever it was. keepTtl: an expiry stays, else it goes. The ref, or 0 when memory is out.
 */
export function setString(
  ks: Keyspace,
  b: Buffer,
  start: number,
  end: number,
  vb: Buffer,
  vs: number,
  ve: number,
  keepTtl: boolean,
): number {
  const hash = hashBytes(b, start, end);
  const ref = ks.lookupWriteHashed(b, start, end, hash);
  existed = ref !== 0;
  if (existed) return overwrite(ks, ref, vb, vs, ve, encodingFor(vb, vs, ve), keepTtl);
  return createStringHashed(ks, b, start, end, hash, vb, vs, ve, -1);
}

/** A new key (which must not exist) with a string value. expireMs: ms since 1970 or -1. 0 when memory is out. */
export function createString(
  ks: Keyspace,
  b: Buffer,
  start: number,
  end: number,
  vb: Buffer,
  vs: number,
  ve: number,
  expireMs: number,
): number {
  return createStringHashed(ks, b, start, end, hashBytes(b, start, end), vb, vs, ve, expireMs);
}

function createStringHashed(
  ks: Keyspace,
  b: Buffer,
  start: number,
  end: number,
  hash: number,
  vb: Buffer,
  vs: number,
  ve: number,
  expireMs: number,
): number {
  const length = ve - vs;
  if (length > HUGE_MIN) {
    const id = hugeAlloc(length);
    if (id === 0) return 0;
    const ref = ks.createHashed(b, start, end, hash, STRING, HUGE, 8, expireMs);
    if (ref === 0) {
      hugeFree(id);
      return 0;
    }
    vb.copy(huge[id]!, 0, vs, ve);
    setHuge(ref, id, length);
    return ref;
  }
  const ref = ks.createHashed(b, start, end, hash, STRING, encodingFor(vb, vs, ve), length, expireMs);
  if (ref !== 0) entry.copyIn(ref >>> 23, entry.valueStart(ref, KEY_HEADER), vb, vs, length);
  return ref;
}

/**
 * Replaces the value of an entry (of any type) by vb[vs, ve) with the given string encoding (huge ones choose their own). 0 when memory is out.
 * The bytes must not be the entry's own.
 */
export function overwrite(ks: Keyspace, ref: number, vb: Buffer, vs: number, ve: number, encoding: number, keepTtl: boolean): number {
  const length = ve - vs;
  if (length > HUGE_MIN) return overwriteHuge(ks, ref, vb, vs, length, keepTtl);
  const unit = ref & UNIT_MASK;
  const m = m32[ref >>> 23];
  const word = m[unit << 1];
  // The usual case: a string over a string in the same block. STRING is 0, and encodings below HUGE lie in the block.
  if ((word & TYPE_BITS) === 0 && ((word >>> 20) & 15) < HUGE && (keepTtl || (word & HAS_EXPIRE) === 0)) {
    const keyLength = word & 0xffff;
    const offset = KEY_HEADER + ((word >>> 24) & 12) + (keyLength === 0xffff ? entry.keyLength(ref, KEY_HEADER) : keyLength);
    if (fits(ref, offset + length)) {
      m[unit << 1] = (word & ~ENCODING_BITS) | (encoding << 20);
      m[(unit << 1) + 1] = length;
      copyBytes(m8[ref >>> 23], (unit << 3) + offset, vb, vs, ve);
      return ref;
    }
  }
  const to = ks.replaceValue(ref, STRING, encoding, length, keepTtl);
  if (to !== 0) entry.copyIn(to >>> 23, entry.valueStart(to, KEY_HEADER), vb, vs, length);
  return to;
}

function overwriteHuge(ks: Keyspace, ref: number, vb: Buffer, vs: number, length: number, keepTtl: boolean): number {
  const id = hugeAlloc(length);
  if (id === 0) return 0;
  const to = ks.replaceValue(ref, STRING, HUGE, 8, keepTtl);
  if (to === 0) {
    hugeFree(id);
    return 0;
  }
  vb.copy(huge[id]!, 0, vs, vs + length);
  setHuge(to, id, length);
  return to;
}

function setHuge(ref: number, id: number, length: number): void {
  entry.setValueWord(ref, KEY_HEADER, 0, id);
  entry.setValueWord(ref, KEY_HEADER, 4, length);
}

/**
 * Makes a string at least `length` bytes long, new bytes zero, ready to be changed in place through bytesChanging() and region() (SETRANGE,
 * SETBIT, BITFIELD, HyperLogLogs). Its encoding becomes raw, as Redis' unshared strings. The ref, maybe a new one; 0 when memory is out.
 */
export function growString(ks: Keyspace, ref: number, length: number): number {
  const old = stringLength(ref);
  const wanted = length > old ? length : old;
  const to = extend(ks, ref, old, wanted);
  if (to === 0 || wanted === old) return to;
  if (entry.encodingOf(to) !== HUGE) {
    const at = entry.valueStart(to, KEY_HEADER);
    m8[to >>> 23].fill(0, at + old, at + wanted);
  }
  return to; // a huge buffer is zero where nothing was written
}

/** A new key (which must not exist) whose value is `length` zero bytes. The ref, 0 when memory is out. */
export function createZeros(ks: Keyspace, b: Buffer, start: number, end: number, length: number): number {
  if (length > HUGE_MIN) {
    const id = hugeAlloc(length);
    if (id === 0) return 0;
    const ref = ks.create(b, start, end, STRING, HUGE, 8);
    if (ref === 0) hugeFree(id);
    else setHuge(ref, id, length);
    return ref;
  }
  const ref = ks.create(b, start, end, STRING, RAW, length);
  if (ref === 0) return 0;
  const at = entry.valueStart(ref, KEY_HEADER);
  m8[ref >>> 23].fill(0, at, at + length);
  return ref;
}

/** APPEND to a string that exists. The ref, maybe a new one; 0 when memory is out. */
export function append(ks: Keyspace, ref: number, b: Buffer, start: number, end: number): number {
  const old = stringLength(ref);
  const to = extend(ks, ref, old, old + end - start);
  if (to === 0) return 0;
  if (entry.encodingOf(to) === HUGE) b.copy(huge[entry.valueWord(to, KEY_HEADER, 0)]!, old, start, end);
  else entry.copyIn(to >>> 23, entry.valueStart(to, KEY_HEADER) + old, b, start, end - start);
  return to;
}

/** SETRANGE on a string that exists: bytes b[start, end) at `offset`, a gap before them reads zero. The ref, maybe a new one; 0 = -OOM. */
export function setRange(ks: Keyspace, ref: number, offset: number, b: Buffer, start: number, end: number): number {
  const to = growString(ks, ref, offset + end - start);
  if (to === 0) return 0;
  bytesChanging(to, offset, offset + end - start);
  region(to);
  b.copy(valueBuffer, valueFrom + offset, start, end);
  return to;
}

/** To be called before the bytes [from, to) of a string that growString gave change in place: a save may want them as they are. */
export function bytesChanging(ref: number, from: number, to: number): void {
  if (entry.encodingOf(ref) === HUGE) hugeChanging(entry.valueWord(ref, KEY_HEADER, 0), from, to);
}

/** Lengthens a string from `old` to `length` bytes, the new ones undefined in an entry and zero in a huge buffer. */
function extend(ks: Keyspace, ref: number, old: number, length: number): number {
  if (entry.encodingOf(ref) === HUGE) {
    const id = entry.valueWord(ref, KEY_HEADER, 0);
    if (!hugeGrow(id, length, old)) return 0;
    entry.setValueWord(ref, KEY_HEADER, 4, length);
    return ref;
  }
  if (length > HUGE_MIN) return toHuge(ks, ref, old, length);
  let to = ref;
  if (length !== old) to = ks.resizeValue(ref, length, Math.min(length >> 1, RESERVE_MAX));
  if (to !== 0) entry.setEncoding(to, RAW);
  return to;
}

function toHuge(ks: Keyspace, ref: number, old: number, length: number): number {
  const id = hugeAlloc(length);
  if (id === 0) return 0;
  const at = entry.valueStart(ref, KEY_HEADER);
  m8[ref >>> 23].copy(huge[id]!, 0, at, at + old);
  const to = ks.resizeValue(ref, 8);
  if (to === 0) {
    hugeFree(id);
    return 0;
  }
  entry.setEncoding(to, HUGE);
  setHuge(to, id, length);
  return to;
}

// ---- numbers

export const ADD_OK = 0;
/** The value is not an int64 in text. */
export const ADD_NOT_INTEGER = 1;
/** The sum does not fit an int64. */
export const ADD_OVERFLOW = 2;
export const ADD_OUT_OF_MEMORY = 3;
/** The entry after a successful addition; region() gives the digits of the sum. */
export let addedRef = 0;

const digits = Buffer.alloc(INT_TEXT_MAX + 4);

/** INCRBY on a string that exists; delta is a whole number within 2^53. Returns ADD_OK (see addedRef) or why not. */
export function addInteger(ks: Keyspace, ref: number, delta: number): number {
  region(ref);
  const sum = parseInt64(valueBuffer, valueFrom, valueTo) + delta;
  if (!(sum <= Number.MAX_SAFE_INTEGER && sum >= Number.MIN_SAFE_INTEGER)) return addBigInteger(ks, ref, BigInt(delta));
  return store(ks, ref, writeInt(digits, 0, sum));
}

/** As addInteger for any int64 delta. Cold. */
export function addBigInteger(ks: Keyspace, ref: number, delta: bigint): number {
  region(ref);
  const value = parseBigInt64(valueBuffer, valueFrom, valueTo);
  if (value === null) return ADD_NOT_INTEGER;
  const sum = value + delta;
  if (sum !== BigInt.asIntN(64, sum)) return ADD_OVERFLOW;
  return store(ks, ref, writeBigInt(digits, 0, sum));
}

/** A new key whose value is a whole number within 2^53 (INCR of a missing key). 0 when memory is out. */
export function createInteger(ks: Keyspace, b: Buffer, start: number, end: number, value: number): number {
  return createString(ks, b, start, end, digits, 0, writeInt(digits, 0, value), -1);
}

function store(ks: Keyspace, ref: number, length: number): number {
  const to = overwrite(ks, ref, digits, 0, length, INT, true);
  if (to === 0) return ADD_OUT_OF_MEMORY;
  addedRef = to;
  return ADD_OK;
}

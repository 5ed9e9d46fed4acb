/**
 * HyperLogLogs as they lie in strings: Redis' layout to the bit, because it travels in RDB files and DUMP payloads. Warm: no objects an element.
 *
 *   "HYLL" | encoding | 3 zeros | cardinality, 8 bytes little endian, its highest bit: not valid | registers
 *   dense   16384 registers of 6 bits, least significant bit first
 *   sparse  runs: 00nnnnnn n+1 zeros; 01nnnnnn nnnnnnnn n+1 zeros; 1vvvvvnn n+1 registers of value v+1
 *
 * Dense ones are changed where they lie; a sparse one is copied into a `Sparse` scratch, changed and written back by the caller.
 * Redis hyperloglog.c. The estimate is Ertl's (arXiv 1702.01284), so equal registers give equal numbers.
 */
import { settings } from "./settings.ts";

export const HEADER_BYTES = 16;
export const REGISTERS = 16384;
export const DENSE = 0;
export const SPARSE = 1;
export const DENSE_BYTES = HEADER_BYTES + (REGISTERS * 6) / 8;
const INDEX_BITS = 14;
const HASH_BITS = 64 - INDEX_BITS;
const SPARSE_VALUE_MAX = 32;
const SPARSE_ZERO_MAX = 64;
const SPARSE_RUN_MAX = 4;
const MERGE_SCAN = 5;
const ALPHA = 0.7213475204444817;

// ------------------------------------------------------------------------------------------------------------------ hashing

let hi = 0;
let lo = 0;
const M_HI = 0xc6a4a793 | 0;
const M_LO = 0x5bd1e995;

/** (hi, lo) times MurmurHash64A's multiplier, modulo 2^64. */
function multiply(): void {
  const a = lo & 0xffff;
  const b = lo >>> 16;
  const middle = a * (M_LO >>> 16) + b * (M_LO & 0xffff);
  const low = a * (M_LO & 0xffff) + (middle % 65536) * 65536;
  const high = b * (M_LO >>> 16) + Math.floor(middle / 65536) + Math.floor(low / 4294967296);
  hi = (Math.imul(hi, M_LO) + Math.imul(lo, M_HI) + high) | 0;
  lo = low | 0;
}

/** MurmurHash64A of b[start, end) with Redis' seed, into (hi, lo). */
function hash(b: Uint8Array, start: number, end: number): void {
  hi = 0;
  lo = end - start;
  multiply();
  let h1 = hi;
  let h0 = lo ^ 0xadc83b19;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    lo = b[i] | (b[i + 1] << 8) | (b[i + 2] << 16) | (b[i + 3] << 24);
    hi = b[i + 4] | (b[i + 5] << 8) | (b[i + 6] << 16) | (b[i + 7] << 24);
    multiply();
    lo ^= hi >>> 15;
    multiply();
    hi ^= h1;
    lo ^= h0;
    multiply();
    h1 = hi;
    h0 = lo;
  }
  hi = h1;
  lo = h0;
  if (i < end) {
    for (let shift = 0; i < end; i++, shift += 8) {
      if (shift < 32) lo ^= b[i] << shift;
      else hi ^= b[i] << (shift - 32);
    }
    multiply();
  }
  lo ^= hi >>> 15;
  multiply();
  lo ^= hi >>> 15;
}

/** The register that an element belongs to, after `look`. */
export let register = 0;

function trailingZeros(x: number): number {
  return 31 - Math.clz32(x & -x);
}

/** Hashes an element: its `register`, and the length of the pattern 00...1 that it shows there, 1 to 51. */
export function look(b: Uint8Array, start: number, end: number): number {
  hash(b, start, end);
  register = lo & (REGISTERS - 1);
  const low = (lo >>> INDEX_BITS) | (hi << (32 - INDEX_BITS));
  if (low !== 0) return trailingZeros(low) + 1;
  return 33 + trailingZeros((hi >>> INDEX_BITS) | (1 << (HASH_BITS - 32)));
}

// ------------------------------------------------------------------------------------------------------------------ the string

/** True when b[start, end) can be one: magic, encoding, length. Sparse runs are looked at when they are read. */
export function isHyperLogLog(b: Uint8Array, start: number, end: number): boolean {
  if (end - start < HEADER_BYTES || b[start] !== 72 || b[start + 1] !== 89 || b[start + 2] !== 76 || b[start + 3] !== 76) return false;
  return b[start + 4] === DENSE ? end - start === DENSE_BYTES : b[start + 4] === SPARSE;
}

/** The remembered cardinality, or -1 when it is not valid any more. */
export function cachedCount(b: Uint8Array, start: number): number {
  if (b[start + 15] & 128) return -1;
  let n = 0;
  for (let i = 15; i >= 8; i--) n = n * 256 + b[start + i];
  return n;
}

export function setCachedCount(b: Uint8Array, start: number, count: number): void {
  for (let i = 8; i < 16; i++) {
    b[start + i] = count % 256;
    count = Math.floor(count / 256);
  }
}

export function forgetCount(b: Uint8Array, start: number): void {
  b[start + 15] |= 128;
}

// ------------------------------------------------------------------------------------------------------------------ dense

/** Register i of the dense registers from `at` on. */
export function denseGet(b: Uint8Array, at: number, i: number): number {
  const bit = i * 6;
  const byte = at + (bit >> 3);
  const shift = bit & 7;
  // Bits of the next byte only where the register reaches into it: the last one must not look behind the string.
  return ((b[byte] >> shift) | (shift > 2 ? b[byte + 1] << (8 - shift) : 0)) & 63;
}

function densePut(b: Uint8Array, at: number, i: number, value: number): void {
  const bit = i * 6;
  const byte = at + (bit >> 3);
  const shift = bit & 7;
  b[byte] = (b[byte] & ~(63 << shift)) | (value << shift);
  if (shift > 2) b[byte + 1] = (b[byte + 1] & ~(63 >> (8 - shift))) | (value >> (8 - shift));
}

/** Raises register i to `value`: true when it was lower. */
export function denseRaise(b: Uint8Array, at: number, i: number, value: number): boolean {
  if (denseGet(b, at, i) >= value) return false;
  densePut(b, at, i, value);
  return true;
}

// ------------------------------------------------------------------------------------------------------------------ sparse

let runLength = 0;
let runValue = 0;

/** Reads the run at p: runLength registers of runValue; returns its bytes. */
function readRun(b: Uint8Array, p: number): number {
  const op = b[p];
  if (op & 128) {
    runValue = ((op >> 2) & 31) + 1;
    runLength = (op & 3) + 1;
    return 1;
  }
  runValue = 0;
  if (op & 64) {
    runLength = (((op & 63) << 8) | b[p + 1]) + 1;
    return 2;
  }
  runLength = (op & 63) + 1;
  return 1;
}

/** Calls `fn` for each run of b[start, end), a whole sparse HyperLogLog. False when the runs do not make up all registers. */
export function eachRun(b: Uint8Array, start: number, end: number, fn: (first: number, length: number, value: number) => void): boolean {
  let i = 0;
  for (let p = start + HEADER_BYTES; p < end;) {
    p += readRun(b, p);
    if (runValue > 0 && i + runLength > REGISTERS) return false;
    fn(i, runLength, runValue);
    i += runLength;
  }
  return i === REGISTERS;
}

/** One HyperLogLog that is being changed, sparse or, once it does not fit, dense: bytes[0, length). */
export class Scratch {
  bytes: Buffer;
  length: number;

  constructor() {
    this.bytes = Buffer.alloc(DENSE_BYTES + 8);
    this.length = 0;
  }

  get dense(): boolean {
    return this.bytes[4] === DENSE;
  }

  /** An empty one, sparse. */
  clear(): void {
    this.bytes.fill(0, 0, HEADER_BYTES);
    this.bytes.write("HYLL", 0, "latin1");
    this.bytes[4] = SPARSE;
    this.bytes[HEADER_BYTES] = 0x40 | ((REGISTERS - 1) >> 8);
    this.bytes[HEADER_BYTES + 1] = (REGISTERS - 1) & 255;
    this.length = HEADER_BYTES + 2;
  }

  /** A copy of b[start, end). */
  load(b: Buffer, start: number, end: number): void {
    this.length = end - start;
    if (this.length + 8 > this.bytes.length) this.bytes = Buffer.alloc(this.length + 8);
    b.copy(this.bytes, 0, start, end);
    this.bytes.fill(0, this.length, this.length + 8);
  }

  /** Makes it dense. False when its runs are broken. */
  toDense(): boolean {
    if (this.dense) return true;
    const to = Buffer.alloc(DENSE_BYTES + 8);
    this.bytes.copy(to, 0, 0, HEADER_BYTES);
    to[4] = DENSE;
    const sound = eachRun(this.bytes, 0, this.length, (first, length, value) => {
      if (value > 0) for (let i = first; i < first + length; i++) densePut(to, HEADER_BYTES, i, value);
    });
    if (!sound) return false;
    this.bytes = to;
    this.length = DENSE_BYTES;
    return true;
  }

  /** Raises register `index` to `value`: 1, 0 when it is that high already, -1 when the runs are broken. */
  raise(index: number, value: number): number {
    if (this.dense) return denseRaise(this.bytes, HEADER_BYTES, index, value) ? 1 : 0;
    if (value > SPARSE_VALUE_MAX) return this.promote(index, value);
    const b = this.bytes;
    let p = HEADER_BYTES;
    let before = -1;
    let first = 0;
    let size = 0;
    for (; p < this.length; p += size) {
      size = readRun(b, p);
      if (index < first + runLength) break;
      before = p;
      first += runLength;
    }
    if (p >= this.length) return -1;
    if (runValue >= value) return 0;
    const n = this.split(index, value, first, runLength, runValue);
    if (n > size && this.length + n - size > settings.hllSparseMaxBytes) return this.promote(index, value);
    b.copyWithin(p + n, p + size, this.length);
    sequence.copy(b, p, 0, n);
    this.length += n - size;
    b.fill(0, this.length, this.length + 8);
    this.mergeRuns(before < 0 ? HEADER_BYTES : before);
    forgetCount(b, 0);
    return 1;
  }

  /** The run of `length` registers from `first` on with one of them raised, as bytes in `sequence`: how many. */
  private split(index: number, value: number, first: number, length: number, old: number): number {
    let n = 0;
    const run = (count: number, v: number): void => {
      if (count === 0) return;
      if (v > 0) sequence[n++] = 128 | ((v - 1) << 2) | (count - 1);
      else if (count > SPARSE_ZERO_MAX) {
        sequence[n++] = 64 | ((count - 1) >> 8);
        sequence[n++] = (count - 1) & 255;
      } else sequence[n++] = count - 1;
    };
    run(index - first, old);
    run(1, value);
    run(first + length - 1 - index, old);
    return n;
  }

  /** Joins neighbouring runs of the same value, where they may have become neighbours. */
  private mergeRuns(from: number): void {
    const b = this.bytes;
    let p = from;
    for (let scan = MERGE_SCAN; p < this.length && scan > 0; scan--) {
      const size = readRun(b, p);
      if (runValue === 0) {
        p += size;
        continue;
      }
      const [value, length] = [runValue, runLength];
      if (p + 1 < this.length && b[p + 1] & 128) {
        readRun(b, p + 1);
        if (runValue === value && runLength + length <= SPARSE_RUN_MAX) {
          b[p + 1] = 128 | ((value - 1) << 2) | (runLength + length - 1);
          b.copyWithin(p, p + 1, this.length);
          b[--this.length] = 0;
          continue;
        }
      }
      p++;
    }
  }

  private promote(index: number, value: number): number {
    if (!this.toDense()) return -1;
    denseRaise(this.bytes, HEADER_BYTES, index, value);
    return 1;
  }
}
/** The longest that one run becomes: zeros, a register, zeros. */
const sequence = Buffer.alloc(5);

// ------------------------------------------------------------------------------------------------------------------ counting

function sigma(x: number): number {
  if (x === 1) return Infinity;
  let y = 1;
  let z = x;
  for (let before = NaN; before !== z;) {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  }
  return z;
}

function tau(x: number): number {
  if (x === 0 || x === 1) return 0;
  let y = 1;
  let z = 1 - x;
  for (let before = NaN; before !== z;) {
    x = Math.sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  }
  return z / 3;
}

const histogram = new Int32Array(64);

/** The estimate for the registers counted in `histogram`. */
function estimate(): number {
  const m = REGISTERS;
  let z = m * tau((m - histogram[HASH_BITS + 1]) / m);
  for (let j = HASH_BITS; j >= 1; j--) z = (z + histogram[j]) * 0.5;
  z += m * sigma(histogram[0] / m);
  return Math.round((ALPHA * m * m) / z);
}

/** The cardinality of b[start, end); -1 when its runs are broken. */
export function countOf(b: Uint8Array, start: number, end: number): number {
  histogram.fill(0);
  if (b[start + 4] === DENSE) {
    for (let i = 0; i < REGISTERS; i++) histogram[denseGet(b, start + HEADER_BYTES, i)]++;
  } else if (!eachRun(b, start, end, (_first, length, value) => (histogram[value] += length))) return -1;
  return estimate();
}

/** The cardinality of plain registers, one byte each. */
export function countOfRegisters(registers: Uint8Array): number {
  histogram.fill(0);
  for (let i = 0; i < REGISTERS; i++) histogram[registers[i]]++;
  return estimate();
}

/** Raises plain registers to those of b[start, end). False when its runs are broken. */
export function mergeInto(registers: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  if (b[start + 4] === DENSE) {
    for (let i = 0; i < REGISTERS; i++) {
      const value = denseGet(b, start + HEADER_BYTES, i);
      if (value > registers[i]) registers[i] = value;
    }
    return true;
  }
  return eachRun(b, start, end, (first, length, value) => {
    if (value > 0) for (let i = first; i < first + length; i++) if (value > registers[i]) registers[i] = value;
  });
}

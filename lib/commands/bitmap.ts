/**
 * Bits in strings: SETBIT GETBIT BITCOUNT BITPOS BITOP (Redis bitops.c). BITFIELD is in bitfield.ts. HOT for SETBIT and GETBIT.
 * Bit 0 is the most significant bit of the first byte. Long strings are worked on a word at a time, through a view of the value's own bytes.
 */
import { parseInt64 } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { FLAG_MASTER, FLAG_TRUSTED } from "../clients/client.ts";
import { NOTIFY_GENERIC, NOTIFY_STRING } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { HUGE, RAW, STRING, encodingOf, setEncoding, typeOf } from "../store/entry.ts";
import { settings } from "../store/settings.ts";
import * as value from "../store/string.ts";
import { keyspaceOf, touched } from "./effects.ts";

const OFFSET_ERROR = errorLine("ERR bit offset is not an integer or out of range");
const BIT_ERROR = errorLine("ERR bit is not an integer or out of range");
const ONE_OR_ZERO = errorLine("ERR The bit argument must be 1 or 0.");
const NOT_ALONE = errorLine("ERR BITOP NOT must be called with a single source key.");

/** Argument i as a bit offset; NaN after a reply. width: that of a BITFIELD operation, by which `#n` is multiplied; 0: no `#`. */
export function offsetArg(c: Call, i: number, width: number): number {
  const numbered = width > 0 && c.len(i) > 0 && c.buf[c.s(i)] === NUMBER_SIGN;
  let offset = numbered ? parseInt64(c.buf, c.s(i) + 1, c.e(i)) * width : c.integer(i);
  const limited = (c.client.flags & (FLAG_MASTER | FLAG_TRUSTED)) === 0;
  if (!(offset >= 0 && offset <= Number.MAX_SAFE_INTEGER) || (limited && Math.floor(offset / 8) >= settings.protoMaxBulkBytes)) {
    c.out.error(OFFSET_ERROR);
    offset = Number.NaN;
  }
  return offset;
}
const NUMBER_SIGN = 35;

/** Set by writableBits: the string is new or longer than it was. */
export let grew = false;

/** The string under argument 1, at least `bytes` long, ready to be changed in place: its ref; 0 after an error reply. */
export function writableBits(c: Call, bytes: number): number {
  const ks = keyspaceOf(c);
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref !== 0 && typeOf(ref) !== STRING) {
    c.out.error(ERR.wrongType);
    return 0;
  }
  grew = ref === 0 || bytes > value.stringLength(ref);
  ref = ref === 0 ? value.createZeros(ks, c.buf, c.s(1), c.e(1), bytes) : value.growString(ks, ref, bytes);
  if (ref === 0) c.out.error(ERR.oom);
  return ref;
}

function setbit(c: Call): void {
  const offset = offsetArg(c, 2, 0);
  if (offset !== offset) return;
  const on = c.integer(3);
  if (on !== 0 && on !== 1) return c.out.error(BIT_ERROR);
  const byte = Math.floor(offset / 8);
  const ref = writableBits(c, byte + 1);
  if (ref === 0) return;
  value.bytesChanging(ref, byte, byte + 1);
  value.region(ref);
  const b = value.valueBuffer;
  const at = value.valueFrom + byte;
  const mask = 128 >> (offset & 7);
  const was = (b[at] & mask) !== 0 ? 1 : 0;
  if (grew || was !== on) {
    b[at] = on === 1 ? b[at] | mask : b[at] & ~mask;
    touched(c, 1, NOTIFY_STRING, "setbit");
  }
  c.out.int(was);
}

function getbit(c: Call): void {
  const offset = offsetArg(c, 2, 0);
  if (offset !== offset) return;
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
  const length = value.region(ref);
  const byte = Math.floor(offset / 8);
  c.out.int(byte < length && (value.valueBuffer[value.valueFrom + byte] & (128 >> (offset & 7))) !== 0 ? 1 : 0);
}

// ---------------------------------------------------------------------------------------------------------------------- ranges

let first = 0;
let last = 0;

/**
 * The range in arguments `i` and `i + 1` with its unit in `i + 2`, of a string of `length` bytes, as bits first..last; first > last when it
 * is empty. A missing end is the string's. False after an error reply. Redis looks at the unit before (BITPOS) or after the numbers (BITCOUNT).
 */
function range(c: Call, i: number, length: number): boolean {
  const hasEnd = c.argc > i + 1;
  let start = c.wideInteger(i);
  let end = hasEnd ? c.wideInteger(i + 1) : length - 1;
  const unit = c.argc > i + 2;
  const bits = unit && c.is(i + 2, "bit");
  const badUnit = unit && !bits && !c.is(i + 2, "byte");
  if (start !== start || (end !== end && !(badUnit && i === 3))) return fail(c, ERR.notInteger);
  if (i === 2 && start < 0 && end < 0 && start > end) {
    first = 1;
    last = 0;
    return true;
  }
  if (badUnit) return fail(c, ERR.syntax);
  const total = bits ? length * 8 : length;
  if (start < 0) start = Math.max(total + start, 0);
  if (end < 0) end = Math.max(total + end, 0);
  if (end >= total) end = total - 1;
  first = bits ? start : start * 8;
  last = bits ? end : end * 8 + 7;
  if (start > end) last = first - 1;
  return true;
}

function fail(c: Call, line: Buffer): boolean {
  c.out.error(line);
  return false;
}

/** From here on a view a word at a time pays. */
const WORDS_MIN = 64;

function ones(x: number): number {
  x -= (x >>> 1) & 0x55555555;
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Number of 1 bits in b[start, end). */
function countOnes(b: Buffer, start: number, end: number): number {
  let n = 0;
  let i = start;
  if (end - start >= WORDS_MIN) {
    for (; (b.byteOffset + i) & 3; i++) n += ones(b[i]);
    const words = new Int32Array(b.buffer, b.byteOffset + i, (end - i) >>> 2);
    for (let w = 0; w < words.length; w++) n += ones(words[w]);
    i += words.length * 4;
  }
  for (; i < end; i++) n += ones(b[i]);
  return n;
}

function bitcount(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
  const length = value.stringLength(ref);
  first = 0;
  last = length * 8 - 1;
  if (c.argc === 3 || c.argc > 5) return c.out.error(ERR.syntax);
  if (c.argc > 3 && !range(c, 2, length)) return;
  if (first > last) return c.out.int(0);
  value.region(ref);
  const b = value.valueBuffer;
  const from = value.valueFrom + Math.floor(first / 8);
  const to = value.valueFrom + Math.floor(last / 8);
  let n = countOnes(b, from, to + 1);
  n -= ones(b[from] & ~(255 >> (first & 7)));
  n -= ones(b[to] & (127 >> (last & 7)));
  c.out.int(n);
}

/** Index of the first byte of b[start, end) that is not `skip` (0 or 255), end when there is none. */
function firstOther(b: Buffer, start: number, end: number, skip: number): number {
  let i = start;
  if (end - start >= WORDS_MIN) {
    for (; (b.byteOffset + i) & 3; i++) if (b[i] !== skip) return i;
    const words = new Int32Array(b.buffer, b.byteOffset + i, (end - i) >>> 2);
    const same = skip === 0 ? 0 : -1;
    let w = 0;
    while (w < words.length && words[w] === same) w++;
    i += w * 4;
  }
  while (i < end && b[i] === skip) i++;
  return i;
}

/** Position in the string of the first bit that is `bit` among the bits first..last, -1 when there is none. */
function findBit(b: Buffer, base: number, bit: number): number {
  const skip = bit === 1 ? 0 : 255;
  let at = Math.floor(first / 8);
  const end = Math.floor(last / 8) + 1;
  // Bits of the first byte that lie before the range look like those that are not wanted.
  let byte = (b[base + at] ^ skip) & (255 >> (first & 7));
  if (byte === 0) {
    at = firstOther(b, base + at + 1, base + end, skip) - base;
    if (at >= end) return -1;
    byte = b[base + at] ^ skip;
  }
  const found = at * 8 + Math.clz32(byte) - 24;
  return found <= last ? found : -1;
}

function bitpos(c: Call): void {
  const bit = c.wideInteger(2);
  if (bit !== bit) return c.out.error(ERR.notInteger);
  if (bit !== 0 && bit !== 1) return c.out.error(ONE_OR_ZERO);
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  // A missing key is zeros without end.
  if (ref === 0) return c.out.int(bit === 1 ? -1 : 0);
  if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
  const length = value.stringLength(ref);
  first = 0;
  last = length * 8 - 1;
  if (c.argc > 6) return c.out.error(ERR.syntax);
  if (c.argc > 3 && !range(c, 3, length)) return;
  if (first > last) return c.out.int(-1);
  value.region(ref);
  const found = findBit(value.valueBuffer, value.valueFrom, bit);
  // Without an end the string goes on with zeros.
  if (found < 0 && bit === 0 && c.argc < 5) return c.out.int(last + 1);
  c.out.int(found);
}

// ---------------------------------------------------------------------------------------------------------------------- BITOP

const OPERATIONS = ["and", "or", "xor", "not"];
const AND = 0;
const OR = 1;
const NOT = 3;

/** to = to OP from, a word at a time; both are as long, a multiple of 4 bytes. */
function combine(to: Int32Array, from: Int32Array, operation: number): void {
  const n = to.length;
  if (operation === AND) for (let i = 0; i < n; i++) to[i] &= from[i];
  else if (operation === OR) for (let i = 0; i < n; i++) to[i] |= from[i];
  else for (let i = 0; i < n; i++) to[i] ^= from[i];
}

function bitop(c: Call): void {
  const operation = OPERATIONS.findIndex((name) => c.is(1, name));
  if (operation < 0) return c.out.error(ERR.syntax);
  if (operation === NOT && c.argc !== 4) return c.out.error(NOT_ALONE);
  const ks = keyspaceOf(c);
  let length = 0;
  const refs: number[] = [];
  for (let i = 3; i < c.argc; i++) {
    const ref = ks.lookupRead(c.buf, c.s(i), c.e(i));
    if (ref !== 0 && typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
    refs.push(ref);
    if (ref !== 0) length = Math.max(length, value.stringLength(ref));
  }
  if (length === 0) {
    if (ks.delete(c.buf, c.s(2), c.e(2))) touched(c, 2, NOTIFY_GENERIC, "del");
    return c.out.int(0);
  }
  const outcome = Buffer.alloc(Math.ceil(length / 4) * 4);
  const words = new Int32Array(outcome.buffer, outcome.byteOffset, outcome.length / 4);
  put(outcome, refs[0]);
  if (operation === NOT) for (let i = 0; i < words.length; i++) words[i] = ~words[i];
  // Sources lie anywhere in memory: an aligned copy of each.
  const other = refs.length > 1 ? Buffer.alloc(outcome.length) : outcome;
  const otherWords = new Int32Array(other.buffer, other.byteOffset, words.length);
  for (let i = 1; i < refs.length; i++) {
    other.fill(0, put(other, refs[i]));
    combine(words, otherWords, operation);
  }
  if (!storeRaw(c, 2, outcome, length)) return c.out.error(ERR.oom);
  touched(c, 2, NOTIFY_STRING, "set");
  c.out.int(length);
}

/** Copies a string to the front of `to`; its length. */
function put(to: Buffer, ref: number): number {
  if (ref === 0) return 0;
  const length = value.region(ref);
  value.valueBuffer.copy(to, 0, value.valueFrom, value.valueTo);
  return length;
}

/** Makes b[0, length) the value of the key in argument i, whatever was there; its encoding is raw, as that of all that is computed. */
function storeRaw(c: Call, i: number, b: Buffer, length: number): boolean {
  const ref = value.setString(keyspaceOf(c), c.buf, c.s(i), c.e(i), b, 0, length, false);
  if (ref !== 0 && encodingOf(ref) !== HUGE) setEncoding(ref, RAW);
  return ref !== 0;
}

export const bitmapRuns: Record<string, Run> = { setbit, getbit, bitcount, bitpos, bitop };

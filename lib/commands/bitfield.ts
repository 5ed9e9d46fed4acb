/**
 * BITFIELD and BITFIELD_RO (Redis bitops.c): integers of 1 to 64 bits at any bit of a string, most significant bit first. Warm: one BigInt or
 * two an operation, because fields have up to 64 bits.
 *
 *   arguments -> operations (all are read before the first one runs) -> string made long enough -> one reply each
 */
import { parseBigInt64, parseInt64 } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_STRING } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { STRING, typeOf } from "../store/entry.ts";
import * as value from "../store/string.ts";
import { grew, offsetArg, writableBits } from "./bitmap.ts";
import { keyspaceOf, touchedBy } from "./effects.ts";

const TYPE_ERROR = errorLine("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
const OVERFLOW_ERROR = errorLine("ERR Invalid OVERFLOW type specified");
const ONLY_GET = errorLine("ERR BITFIELD_RO only supports the GET subcommand");

const WRAP = 0;
const SATURATE = 1;
const FAIL = 2;

const GET = 0;
const SET = 1;
const INCRBY = 2;

interface Operation {
  kind: number;
  signed: boolean;
  width: number;
  /** Of its first bit. */
  offset: number;
  overflow: number;
  /** SET: the value, INCRBY: the increment; any int64. */
  operand: bigint;
}

/** Reads all operations; null after an error reply. */
function operations(c: Call): Operation[] | null {
  const list: Operation[] = [];
  let overflow = WRAP;
  for (let i = 2; i < c.argc; i++) {
    const left = c.argc - i - 1;
    let kind: number;
    if (left >= 2 && c.is(i, "get")) kind = GET;
    else if (left >= 3 && c.is(i, "set")) kind = SET;
    else if (left >= 3 && c.is(i, "incrby")) kind = INCRBY;
    else if (left >= 1 && c.is(i, "overflow")) {
      i++;
      if (c.is(i, "wrap")) overflow = WRAP;
      else if (c.is(i, "sat")) overflow = SATURATE;
      else if (c.is(i, "fail")) overflow = FAIL;
      else return refuse(c, OVERFLOW_ERROR);
      continue;
    } else return refuse(c, ERR.syntax);
    const letter = c.len(i + 1) > 0 ? c.buf[c.s(i + 1)] : 0;
    const signed = letter === LETTER_I;
    const width = parseInt64(c.buf, c.s(i + 1) + 1, c.e(i + 1));
    // The protocol has no number above 2^63 - 1.
    if ((!signed && letter !== LETTER_U) || !(width >= 1 && width <= (signed ? 64 : 63))) return refuse(c, TYPE_ERROR);
    const offset = offsetArg(c, i + 2, width);
    if (offset !== offset) return null;
    let operand: bigint | null = 0n;
    if (kind !== GET) operand = parseBigInt64(c.buf, c.s(i + 3), c.e(i + 3));
    if (operand === null) return refuse(c, ERR.notInteger);
    list.push({ kind, signed, width, offset, overflow, operand });
    i += kind === GET ? 2 : 3;
  }
  return list;
}
const LETTER_I = 105;
const LETTER_U = 117;

function refuse(c: Call, line: Buffer): null {
  c.out.error(line);
  return null;
}

/** The field's bits as an unsigned number; bits behind `end` are zero. The string's bytes are b[start, end). */
function read(b: Buffer, start: number, end: number, op: Operation): bigint {
  const from = start + Math.floor(op.offset / 8);
  const skip = op.offset & 7;
  const bytes = (skip + op.width + 7) >> 3;
  let bits = 0n;
  for (let i = from; i < from + bytes; i++) bits = (bits << 8n) | BigInt(i < end ? b[i] : 0);
  return BigInt.asUintN(op.width, bits >> BigInt(bytes * 8 - skip - op.width));
}

/** Writes the low bits of `bits` into the field, all of which lies within the string. */
function write(b: Buffer, start: number, op: Operation, bits: bigint): void {
  const from = start + Math.floor(op.offset / 8);
  const skip = op.offset & 7;
  const bytes = (skip + op.width + 7) >> 3;
  const shift = BigInt(bytes * 8 - skip - op.width);
  const mask = ((1n << BigInt(op.width)) - 1n) << shift;
  let all = 0n;
  for (let i = 0; i < bytes; i++) all = (all << 8n) | BigInt(b[from + i]);
  all = (all & ~mask) | ((bits << shift) & mask);
  for (let i = bytes - 1; i >= 0; i--) {
    b[from + i] = Number(all & 255n);
    all >>= 8n;
  }
}

const int64 = (v: bigint): bigint => BigInt.asIntN(64, v);

/**
 * 1: value + increment is too large for the field, -1: too small, 0: it fits. The differences are int64 and wrap as in the original, which
 * matters to values far outside the field.
 */
function overflows(op: Operation, v: bigint, increment: bigint): number {
  const width = BigInt(op.width);
  if (!op.signed) {
    const max = (1n << width) - 1n;
    if (v > max || (increment > 0n && increment > int64(max - v))) return 1;
    return increment < 0n && increment < int64(-v) ? -1 : 0;
  }
  const max = (1n << (width - 1n)) - 1n;
  const min = -max - 1n;
  const up = int64(max - v);
  const down = int64(min - v);
  const full = op.width === 64;
  if (v > max || (!full && increment > up) || (v >= 0n && increment > 0n && increment > up)) return 1;
  return v < min || (!full && increment < down) || (v < 0n && increment < 0n && increment < down) ? -1 : 0;
}

/** What the field gets; null when it overflows and the operation is to fail then. */
function changed(op: Operation, old: bigint): bigint | null {
  // SET of an unsigned field looks at the 64 bits of its value as unsigned.
  const base = op.kind === INCRBY ? old : op.signed ? op.operand : BigInt.asUintN(64, op.operand);
  const increment = op.kind === INCRBY ? op.operand : 0n;
  const over = overflows(op, base, increment);
  if (over === 0) return base + increment;
  if (op.overflow === FAIL) return null;
  const width = BigInt(op.width);
  if (op.overflow === WRAP) return op.signed ? BigInt.asIntN(op.width, base + increment) : BigInt.asUintN(op.width, base + increment);
  if (!op.signed) return over > 0 ? (1n << width) - 1n : 0n;
  return over > 0 ? (1n << (width - 1n)) - 1n : -(1n << (width - 1n));
}

function bitfield(c: Call): void {
  const list = operations(c);
  if (list === null) return;
  let bytes = 0;
  for (const op of list) if (op.kind !== GET) bytes = Math.max(bytes, Math.floor((op.offset + op.width - 1) / 8) + 1);
  let ref: number;
  let isNew = false;
  if (bytes === 0) {
    ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
    if (ref !== 0 && typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
  } else {
    if (c.command.name === "bitfield_ro") return c.out.error(ONLY_GET);
    ref = writableBits(c, bytes);
    if (ref === 0) return;
    isNew = grew;
  }
  const length = ref === 0 ? 0 : value.region(ref);
  const b = ref === 0 ? c.buf : value.valueBuffer;
  const start = ref === 0 ? 0 : value.valueFrom;
  const end = start + length;
  c.out.array(list.length);
  let changes = 0;
  for (const op of list) {
    const raw = read(b, start, end, op);
    const old = op.signed ? BigInt.asIntN(op.width, raw) : raw;
    if (op.kind === GET) {
      c.out.bigint(old);
      continue;
    }
    const next = changed(op, old);
    if (next === null) {
      c.out.nil();
      continue;
    }
    c.out.bigint(op.kind === SET ? old : next);
    value.bytesChanging(ref, Math.floor(op.offset / 8), Math.floor((op.offset + op.width - 1) / 8) + 1);
    write(b, start, op, next);
    if (isNew || next !== old) changes++;
  }
  if (changes > 0) touchedBy(c, 1, NOTIFY_STRING, "setbit", changes);
}

export const bitfieldRuns: Record<string, Run> = { bitfield, bitfield_ro: bitfield };

/**
 * String commands. HOT: GET, SET, INCR and their kin work on the request's bytes and the arena's bytes alone. Redis t_string.c.
 * Values are kept as their bytes, numbers as digits; lib/store/string.ts knows how. LCS is in lcs.ts.
 */
import { BAD_INCREMENT, BAD_VALUE, NOT_FINITE, incrByFloatText } from "../bytes/long_double.ts";
import { parseBigInt64, parseInt64, writeBigInt, writeInt } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC, NOTIFY_STRING } from "../config/keyspace_events.ts";
import { ERR, errorLine, wrongNumber } from "../resp/errors.ts";
import * as entry from "../store/entry.ts";
import { EMBSTR, INT, RAW, STRING, typeOf } from "../store/entry.ts";
import type { Keyspace } from "../store/keyspace.ts";
import { settings } from "../store/settings.ts";
import * as value from "../store/string.ts";
import { clock } from "../time/clock.ts";
import { keyspaceOf, notifyArg, touched } from "./effects.ts";
import { expireArg } from "./expiry.ts";

/** Replies the string at ref (0: nil). False, with the error given, when it is no string. */
function replyString(c: Call, ref: number): boolean {
  if (ref === 0) {
    c.out.nil();
    return true;
  }
  if (typeOf(ref) !== STRING) {
    c.out.error(ERR.wrongType);
    return false;
  }
  value.region(ref);
  c.out.bulk(value.valueBuffer, value.valueFrom, value.valueTo);
  return true;
}

function get(c: Call): void {
  replyString(c, (c.client.keyspace as Keyspace).lookupRead(c.buf, c.at[2], c.at[3]));
}

// ---------------------------------------------------------------------------------------------------------------- SET

const NX = 1;
const XX = 2;
const GET = 4;
const KEEPTTL = 8;
const PERSIST = 16;
const EXPIRES = 32;

/** What the options said: bits, and the argument and unit of an expiry. */
let optFlags = 0;
let optExpireArg = 0;
let optUnitMs = 1;
let optRelative = true;

/** Options of SET (from 3) and GETEX (from 2); false when the reply is given. Redis parseExtendedStringArgumentsOrReply. */
function options(c: Call, from: number, isSet: boolean): boolean {
  optFlags = 0;
  optExpireArg = 0;
  for (let i = from; i < c.argc; i++) {
    const free = (optFlags & (KEEPTTL | PERSIST | EXPIRES)) === 0;
    if (isSet && c.is(i, "nx") && !(optFlags & XX)) optFlags |= NX;
    else if (isSet && c.is(i, "xx") && !(optFlags & NX)) optFlags |= XX;
    else if (isSet && c.is(i, "get")) optFlags |= GET;
    else if (isSet && c.is(i, "keepttl") && (free || (optFlags & (PERSIST | EXPIRES)) === 0)) optFlags |= KEEPTTL;
    else if (!isSet && c.is(i, "persist") && (free || (optFlags & EXPIRES) === 0)) optFlags |= PERSIST;
    else if (free && i + 1 < c.argc && expiryOption(c, i)) i++;
    else {
      c.out.error(ERR.syntax);
      return false;
    }
  }
  return true;
}

function expiryOption(c: Call, i: number): boolean {
  if (c.is(i, "ex")) setExpiry(i + 1, 1000, true);
  else if (c.is(i, "px")) setExpiry(i + 1, 1, true);
  else if (c.is(i, "exat")) setExpiry(i + 1, 1000, false);
  else if (c.is(i, "pxat")) setExpiry(i + 1, 1, false);
  else return false;
  return true;
}
function setExpiry(arg: number, unitMs: number, relative: boolean): void {
  optFlags |= EXPIRES;
  optExpireArg = arg;
  optUnitMs = unitMs;
  optRelative = relative;
}

/** Writes the value with an expiry (ms since 1970). False: out of memory, replied. */
function setWithExpiry(c: Call, ks: Keyspace, valueArg: number, when: number): boolean {
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) ref = value.createString(ks, c.buf, c.s(1), c.e(1), c.buf, c.s(valueArg), c.e(valueArg), when);
  else {
    ref = value.overwrite(ks, ref, c.buf, c.s(valueArg), c.e(valueArg), value.encodingFor(c.buf, c.s(valueArg), c.e(valueArg)), true);
    if (ref !== 0) ref = ks.setExpire(ref, when);
  }
  if (ref !== 0) return true;
  c.out.error(ERR.oom);
  return false;
}

function set(c: Call): void {
  const ks = c.client.keyspace as Keyspace;
  const at = c.at;
  if (c.argc === 3) {
    if (value.setString(ks, c.buf, at[2], at[3], c.buf, at[4], at[5], false) === 0) return c.out.error(ERR.oom);
    touched(c, 1, NOTIFY_STRING, "set");
    c.out.ok();
    return;
  }
  if (!options(c, 3, true)) return;
  const flags = optFlags;
  let when = -1;
  if (flags & EXPIRES) {
    when = expireArg(c, optExpireArg, optUnitMs, optRelative ? clock.nowMs : 0, true);
    if (Number.isNaN(when)) return;
  }
  if (flags & GET && !replyString(c, ks.lookupRead(c.buf, at[2], at[3]))) return;
  if (flags & (NX | XX)) {
    const found = ks.lookupWrite(c.buf, at[2], at[3]) !== 0;
    if ((flags & NX && found) || (flags & XX && !found)) {
      if (!(flags & GET)) c.out.nil();
      return;
    }
  }
  if (when >= 0) {
    if (!setWithExpiry(c, ks, 2, when)) return;
    // What is absolute already goes on as it came.
    if (optRelative || optUnitMs !== 1) c.rewrite("SET", c.view(1), c.view(2), "PXAT", when);
  } else {
    if (value.setString(ks, c.buf, at[2], at[3], c.buf, at[4], at[5], (flags & KEEPTTL) !== 0) === 0) return c.out.error(ERR.oom);
    if (flags & GET) {
      // Replicas need no old value: GET is left out, the rest stays.
      const args: Buffer[] = [];
      for (let i = 0; i < c.argc; i++) if (i < 3 || !c.is(i, "get")) args.push(c.view(i));
      c.rewrite(...args);
    }
  }
  touched(c, 1, NOTIFY_STRING, "set");
  if (when >= 0) notifyArg(c, 1, NOTIFY_GENERIC, "expire");
  if (!(flags & GET)) c.out.ok();
}

function setnx(c: Call): void {
  const ks = keyspaceOf(c);
  if (ks.lookupWrite(c.buf, c.s(1), c.e(1)) !== 0) return c.out.int(0);
  if (value.createString(ks, c.buf, c.s(1), c.e(1), c.buf, c.s(2), c.e(2), -1) === 0) return c.out.error(ERR.oom);
  touched(c, 1, NOTIFY_STRING, "set");
  c.out.int(1);
}

function setex(c: Call, unitMs: number): void {
  const when = expireArg(c, 2, unitMs, clock.nowMs, true);
  if (Number.isNaN(when)) return;
  if (!setWithExpiry(c, keyspaceOf(c), 3, when)) return;
  c.rewrite("SET", c.view(1), c.view(3), "PXAT", when);
  touched(c, 1, NOTIFY_STRING, "set");
  notifyArg(c, 1, NOTIFY_GENERIC, "expire");
  c.out.ok();
}

function getset(c: Call): void {
  const ks = keyspaceOf(c);
  if (!replyString(c, ks.lookupRead(c.buf, c.s(1), c.e(1)))) return;
  if (value.setString(ks, c.buf, c.s(1), c.e(1), c.buf, c.s(2), c.e(2), false) === 0) return c.out.error(ERR.oom);
  c.rewrite("SET", c.view(1), c.view(2));
  touched(c, 1, NOTIFY_STRING, "set");
}

function getdel(c: Call): void {
  const ks = keyspaceOf(c);
  const ref = ks.lookupRead(c.buf, c.s(1), c.e(1));
  if (!replyString(c, ref) || ref === 0) return;
  ks.delete(c.buf, c.s(1), c.e(1));
  c.rewrite("DEL", c.view(1));
  touched(c, 1, NOTIFY_GENERIC, "del");
}

function getex(c: Call): void {
  if (!options(c, 2, false)) return;
  const flags = optFlags;
  const ks = keyspaceOf(c);
  let ref = ks.lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.nil();
  if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
  let when = -1;
  if (flags & EXPIRES) {
    when = expireArg(c, optExpireArg, optUnitMs, optRelative ? clock.nowMs : 0, true);
    if (Number.isNaN(when)) return;
  }
  replyString(c, ref);
  ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (when >= 0 && when <= clock.nowMs && !optRelative) {
    ks.deleteRef(ref);
    c.rewrite(settings.lazyfreeLazyExpire ? "UNLINK" : "DEL", c.view(1));
    touched(c, 1, NOTIFY_GENERIC, "del");
  } else if (when >= 0) {
    ks.setExpire(ref, when);
    c.rewrite("PEXPIREAT", c.view(1), when);
    touched(c, 1, NOTIFY_GENERIC, "expire");
  } else if (flags & PERSIST && ks.persist(ref)) {
    c.rewrite("PERSIST", c.view(1));
    touched(c, 1, NOTIFY_GENERIC, "persist");
  }
}

// ---------------------------------------------------------------------------------------------------------------- many

function mget(c: Call): void {
  const ks = keyspaceOf(c);
  c.out.array(c.argc - 1);
  for (let i = 1; i < c.argc; i++) {
    const ref = ks.lookupRead(c.buf, c.s(i), c.e(i));
    if (ref === 0 || typeOf(ref) !== STRING) c.out.nil();
    else {
      value.region(ref);
      c.out.bulk(value.valueBuffer, value.valueFrom, value.valueTo);
    }
  }
}

function mset(c: Call, onlyNew: boolean): void {
  if (c.argc % 2 === 0) return c.out.error(wrongNumber(c.command.name));
  const ks = keyspaceOf(c);
  if (onlyNew) for (let i = 1; i < c.argc; i += 2) if (ks.lookupWrite(c.buf, c.s(i), c.e(i)) !== 0) return c.out.int(0);
  for (let i = 1; i < c.argc; i += 2) {
    if (value.setString(ks, c.buf, c.s(i), c.e(i), c.buf, c.s(i + 1), c.e(i + 1), false) === 0) return c.out.error(ERR.oom);
    touched(c, i, NOTIFY_STRING, "set");
  }
  if (onlyNew) c.out.int(1);
  else c.out.ok();
}

// ---------------------------------------------------------------------------------------------------------------- parts

function strlen(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
  c.out.int(value.stringLength(ref));
}

function append(c: Call): void {
  const ks = keyspaceOf(c);
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) {
    if (value.createString(ks, c.buf, c.s(1), c.e(1), c.buf, c.s(2), c.e(2), -1) === 0) return c.out.error(ERR.oom);
    touched(c, 1, NOTIFY_STRING, "append");
    return c.out.int(c.len(2));
  }
  if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
  if (value.stringLength(ref) + c.len(2) > settings.protoMaxBulkBytes) return c.out.error(ERR.stringTooLong);
  ref = value.append(ks, ref, c.buf, c.s(2), c.e(2));
  if (ref === 0) return c.out.error(ERR.oom);
  touched(c, 1, NOTIFY_STRING, "append");
  c.out.int(value.stringLength(ref));
}

function setrange(c: Call): void {
  const offset = c.integerOrFail(2);
  if (Number.isNaN(offset)) return;
  if (offset < 0) return c.out.error(ERR.offsetOutOfRange);
  const ks = keyspaceOf(c);
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref !== 0 && typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
  if (c.len(3) === 0) return c.out.int(ref === 0 ? 0 : value.stringLength(ref));
  if (offset + c.len(3) > settings.protoMaxBulkBytes) return c.out.error(ERR.stringTooLong);
  if (ref === 0) ref = value.createZeros(ks, c.buf, c.s(1), c.e(1), offset + c.len(3));
  if (ref !== 0) ref = value.setRange(ks, ref, offset, c.buf, c.s(3), c.e(3));
  if (ref === 0) return c.out.error(ERR.oom);
  touched(c, 1, NOTIFY_STRING, "setrange");
  c.out.int(value.stringLength(ref));
}

function getrange(c: Call): void {
  const start = c.integerOrFail(2);
  if (Number.isNaN(start)) return;
  const end = c.integerOrFail(3);
  if (Number.isNaN(end)) return;
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.bulk(c.buf, 0, 0);
  if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
  if (value.getRange(ref, start, end) === 0) return c.out.bulk(c.buf, 0, 0);
  c.out.bulk(value.valueBuffer, value.valueFrom, value.valueTo);
}

// ---------------------------------------------------------------------------------------------------------------- numbers

const scratch = Buffer.alloc(64);
const INT64_MAX = 9223372036854775807n;
const INT64_MIN = -9223372036854775808n;
const DECREMENT_OVERFLOW = errorLine("ERR decrement would overflow");

/** Adds `by` (a safe integer) to the key's number. HOT while the numbers are safe; int64 beyond that goes through BigInt. */
function increment(c: Call, by: number): void {
  const ks = c.client.keyspace as Keyspace;
  const ref = ks.lookupWrite(c.buf, c.at[2], c.at[3]);
  let old = 0;
  if (ref !== 0) {
    if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
    value.region(ref);
    old = parseInt64(value.valueBuffer, value.valueFrom, value.valueTo);
  }
  const sum = old + by;
  // NaN (not a safe integer) fails the comparison too.
  if (!(sum >= -Number.MAX_SAFE_INTEGER && sum <= Number.MAX_SAFE_INTEGER)) return incrementBig(c, BigInt(by));
  const length = writeInt(scratch, 0, sum);
  storeNumber(c, ks, ref, length, "incrby");
  c.out.int(sum);
}

function incrementBig(c: Call, by: bigint): void {
  const ks = keyspaceOf(c);
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  let old: bigint | null = 0n;
  if (ref !== 0) {
    if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
    value.region(ref);
    old = parseBigInt64(value.valueBuffer, value.valueFrom, value.valueTo);
    if (old === null) return c.out.error(ERR.notInteger);
  }
  const sum = old + by;
  if (sum > INT64_MAX || sum < INT64_MIN) return c.out.error(ERR.overflow);
  const length = writeBigInt(scratch, 0, sum);
  storeNumber(c, ks, ref, length, "incrby");
  c.out.bigint(sum);
}

/** Puts the digits in scratch[0, length) under argument 1. */
function storeNumber(c: Call, ks: Keyspace, ref: number, length: number, event: string): void {
  if (ref === 0) value.createString(ks, c.buf, c.at[2], c.at[3], scratch, 0, length, -1);
  else value.overwrite(ks, ref, scratch, 0, length, INT, true);
  touched(c, 1, NOTIFY_STRING, event);
}

function incrby(c: Call, sign: 1 | -1): void {
  const by = c.integer(2);
  if (!Number.isNaN(by)) return increment(c, sign * by);
  const big = parseBigInt64(c.buf, c.s(2), c.e(2));
  if (big === null) return c.out.error(ERR.notInteger);
  if (sign < 0 && big === INT64_MIN) return c.out.error(DECREMENT_OVERFLOW);
  incrementBig(c, sign < 0 ? -big : big);
}

function incrbyfloat(c: Call): void {
  const ks = keyspaceOf(c);
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  let buf = ZERO;
  let from = 0;
  let to = 1;
  if (ref !== 0) {
    if (typeOf(ref) !== STRING) return c.out.error(ERR.wrongType);
    value.region(ref);
    buf = value.valueBuffer;
    from = value.valueFrom;
    to = value.valueTo;
  }
  const sum = incrByFloatText(buf, from, to, c.buf, c.s(2), c.e(2));
  if (sum === BAD_VALUE || sum === BAD_INCREMENT) return c.out.error(ERR.notFloat);
  if (sum === NOT_FINITE) return c.out.error(ERR.nanOrInfinity);
  const bytes = Buffer.from(sum as string, "latin1");
  const encoding = bytes.length <= 44 ? EMBSTR : RAW;
  if (ref === 0) {
    const made = value.createString(ks, c.buf, c.s(1), c.e(1), bytes, 0, bytes.length, -1);
    if (made === 0) return c.out.error(ERR.oom);
    entry.setEncoding(made, encoding);
  } else if (value.overwrite(ks, ref, bytes, 0, bytes.length, encoding, true) === 0) return c.out.error(ERR.oom);
  // Replicas get the result: their long doubles may differ.
  c.rewrite("SET", c.view(1), bytes, "KEEPTTL");
  touched(c, 1, NOTIFY_STRING, "incrbyfloat");
  c.out.bulkBuffer(bytes);
}
const ZERO: Buffer = Buffer.from("0");

export const stringRuns: Record<string, Run> = {
  get,
  set,
  setnx,
  setex: (c) => setex(c, 1000),
  psetex: (c) => setex(c, 1),
  getset,
  getdel,
  getex,
  mget,
  mset: (c) => mset(c, false),
  msetnx: (c) => mset(c, true),
  strlen,
  append,
  setrange,
  getrange,
  substr: getrange,
  incr: (c) => increment(c, 1),
  decr: (c) => increment(c, -1),
  incrby: (c) => incrby(c, 1),
  decrby: (c) => incrby(c, -1),
  incrbyfloat,
};

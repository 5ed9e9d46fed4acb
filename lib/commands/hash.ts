/**
 * The sixteen hash commands (Redis t_hash.c). HOT: HSET, HGET, HMGET, HDEL, HEXISTS, HINCRBY, HGETALL make no objects or strings; the others
 * are cold where numbers must be exact beyond 2^53.
 *
 *   argument bytes -> keyspace look-up -> edits and look-ups of store/hash.ts -> reply straight from the arena, then effects.ts
 *
 * Random picks and their counts are in random.ts, HSCAN's options in scan.ts.
 */
import { BAD_VALUE, NOT_FINITE, incrByFloatText, isInfinite, parseLongDouble } from "../bytes/long_double.ts";
import { parseBigInt64, parseInt64, writeBigInt, writeInt, writeText } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC, NOTIFY_HASH } from "../config/keyspace_events.ts";
import { ERR, errorLine, wrongNumber } from "../resp/errors.ts";
import { RefList } from "../store/dict.ts";
import { HASH, HASHTABLE, LISTPACK, encodingOf, typeOf } from "../store/entry.ts";
import {
  HashCursor,
  bigHashOf,
  gotB,
  gotEnd,
  gotStart,
  hashChanged,
  hashExpect,
  hashGet,
  hashHas,
  hashInit,
  hashLength,
  hashRemove,
  hashSet,
} from "../store/hash.ts";
import type { Keyspace } from "../store/keyspace.ts";
import { LP_EMPTY } from "../store/packed/listpack.ts";
import { lpPrepare } from "../store/packed/listpack_edit.ts";
import { settings } from "../store/settings.ts";
import { keyspaceOf, notifyArg, touched, touchedBy } from "./effects.ts";
import { countArg, pickUnique, picksThis, stopsReplying } from "./random.ts";
import { readCursor, readScanOptions, replyCursor, scanMatches, scanOptions } from "./scan.ts";

const VALUE_NOT_FINITE = errorLine("ERR value is NaN or Infinity");
const VALUE_OUT_OF_RANGE = errorLine("ERR value is out of range");
const INT64_MAX = 9223372036854775807n;
const INT64_MIN = -9223372036854775808n;
const ZERO = Buffer.from("0");

const cursor = new HashCursor();
const picked = new RefList(64);
/** Text of a number on its way into a hash; the longest is a sum of HINCRBYFLOAT. */
const numberText = Buffer.alloc(8192);

// ------------------------------------------------------------------------------------------------------------------ shared parts

/** The hash under argument 1, for a change that may create it; 0 after a reply. [from, to) are the fields and values to come. */
function hashToChange(c: Call, ks: Keyspace, from: number, to: number): number {
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) return newHash(c, ks, from, to);
  if (typeOf(ref) === HASH) return ref;
  c.out.error(ERR.wrongType);
  return 0;
}

/** A new empty hash under argument 1, in a block that has room for the arguments [from, to) as a listpack; 0 after -OOM. */
function newHash(c: Call, ks: Keyspace, from: number, to: number): number {
  let bytes = LP_EMPTY;
  const max = settings.hashMaxListpackValue;
  if ((to - from) >> 1 <= settings.hashMaxListpackEntries)
    for (let i = from; i < to; i++) {
      if (c.len(i) > max) {
        bytes = LP_EMPTY; // it becomes a table
        break;
      }
      bytes += lpPrepare(c.buf, c.s(i), c.e(i));
    }
  const ref = ks.create(c.buf, c.s(1), c.e(1), HASH, LISTPACK, bytes);
  if (ref === 0) c.out.error(ERR.oom);
  else hashInit(ref);
  return ref;
}

/** -OOM in the middle of a change. A hash made for it and still empty goes; what was changed before stays and is told. */
function outOfMemory(c: Call, ks: Keyspace, ref: number, changes: number): void {
  c.out.error(ERR.oom);
  if (hashLength(ref) === 0) ks.deleteRef(ref);
  else if (changes > 0) touchedBy(c, 1, NOTIFY_HASH, "hset", changes);
}

function bulkGot(c: Call): void {
  c.out.bulk(gotB, gotStart, gotEnd);
}

// ----------------------------------------------------------------------------------------------------------------------- changes

/** Sets the pairs from argument 2 on: the number of new fields, -1 after a reply. */
function setPairs(c: Call): number {
  if ((c.argc & 1) === 1) {
    c.out.error(wrongNumber(c.command.name));
    return -1;
  }
  const ks = keyspaceOf(c);
  let ref = hashToChange(c, ks, 2, c.argc);
  if (ref === 0) return -1;
  ref = hashExpect(ks, ref, (c.argc - 2) >> 1);
  let created = 0;
  for (let i = 2; i < c.argc; i += 2) {
    if (hashChanged >= 0) ref = hashSet(ks, ref, c.buf, c.s(i), c.e(i), c.buf, c.s(i + 1), c.e(i + 1));
    if (hashChanged < 0) {
      outOfMemory(c, ks, ref, (i - 2) >> 1);
      return -1;
    }
    created += hashChanged;
  }
  return created;
}

function hset(c: Call): void {
  const created = setPairs(c);
  if (created < 0) return;
  c.out.int(created);
  touchedBy(c, 1, NOTIFY_HASH, "hset", (c.argc - 2) >> 1);
}

function hmset(c: Call): void {
  if (setPairs(c) < 0) return;
  c.out.ok();
  touchedBy(c, 1, NOTIFY_HASH, "hset", (c.argc - 2) >> 1);
}

function hsetnx(c: Call): void {
  const ks = keyspaceOf(c);
  const ref = hashToChange(c, ks, 2, 4);
  if (ref === 0) return;
  if (hashHas(ref, c.buf, c.s(2), c.e(2))) return c.out.int(0);
  const to = hashSet(ks, ref, c.buf, c.s(2), c.e(2), c.buf, c.s(3), c.e(3));
  if (hashChanged < 0) return outOfMemory(c, ks, to, 0);
  c.out.int(1);
  touched(c, 1, NOTIFY_HASH, "hset");
}

function hdel(c: Call): void {
  const ks = keyspaceOf(c);
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  let deleted = 0;
  let left = hashLength(ref);
  for (let i = 2; i < c.argc && left > 0; i++) {
    ref = hashRemove(ks, ref, c.buf, c.s(i), c.e(i));
    deleted += hashChanged;
    left -= hashChanged;
  }
  c.out.int(deleted);
  if (deleted === 0) return;
  if (left === 0) ks.deleteRef(ref);
  touchedBy(c, 1, NOTIFY_HASH, "hdel", deleted);
  if (left === 0) notifyArg(c, 1, NOTIFY_GENERIC, "del");
}

/** Puts numberText[0, end) into the field at argument 2 (ref: the hash, 0 when there is none yet): false after -OOM. */
function storeNumber(c: Call, ks: Keyspace, ref: number, end: number): boolean {
  if (ref === 0) ref = newHash(c, ks, 2, 3);
  if (ref === 0) return false;
  const to = hashSet(ks, ref, c.buf, c.s(2), c.e(2), numberText, 0, end);
  if (hashChanged >= 0) return true;
  outOfMemory(c, ks, to, 0);
  return false;
}

function hincrby(c: Call): void {
  const by = c.integer(3);
  if (by !== by && parseBigInt64(c.buf, c.s(3), c.e(3)) === null) return c.out.error(ERR.notInteger);
  const ks = keyspaceOf(c);
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref !== 0 && typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  const found = ref !== 0 && hashGet(ref, c.buf, c.s(2), c.e(2));
  const old = found ? parseInt64(gotB, gotStart, gotEnd) : 0;
  const sum = old + by;
  if (!Number.isSafeInteger(sum)) return hincrbyWide(c, ks, ref, found);
  if (!storeNumber(c, ks, ref, writeInt(numberText, 0, sum))) return;
  c.out.int(sum);
  touched(c, 1, NOTIFY_HASH, "hincrby");
}

/** HINCRBY beyond 2^53, and where the value is no integer. The old value, if `found`, is in got*. */
function hincrbyWide(c: Call, ks: Keyspace, ref: number, found: boolean): void {
  const by = parseBigInt64(c.buf, c.s(3), c.e(3))!;
  const old = found ? parseBigInt64(gotB, gotStart, gotEnd) : 0n;
  if (old === null) return c.out.error(ERR.hashNotInteger);
  const sum = old + by;
  if (sum > INT64_MAX || sum < INT64_MIN) return c.out.error(ERR.overflow);
  if (!storeNumber(c, ks, ref, writeBigInt(numberText, 0, sum))) return;
  c.out.bigint(sum);
  touched(c, 1, NOTIFY_HASH, "hincrby");
}

function hincrbyfloat(c: Call): void {
  const by = parseLongDouble(c.buf, c.s(3), c.e(3));
  if (by === null) return c.out.error(ERR.notFloat);
  if (isInfinite(by)) return c.out.error(VALUE_NOT_FINITE);
  const ks = keyspaceOf(c);
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref !== 0 && typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  const found = ref !== 0 && hashGet(ref, c.buf, c.s(2), c.e(2));
  const sum = found ? incrByFloatText(gotB, gotStart, gotEnd, c.buf, c.s(3), c.e(3)) : incrByFloatText(ZERO, 0, 1, c.buf, c.s(3), c.e(3));
  if (sum === BAD_VALUE) return c.out.error(ERR.hashNotFloat);
  if (typeof sum === "number") return c.out.error(sum === NOT_FINITE ? ERR.nanOrInfinity : ERR.notFloat);
  if (!storeNumber(c, ks, ref, writeText(numberText, 0, sum))) return;
  c.out.bulkText(sum);
  touched(c, 1, NOTIFY_HASH, "hincrbyfloat");
  // The result, not the sum: another machine's floats need not agree in the last digit.
  c.rewrite("HSET", c.view(1), c.view(2), sum);
}

// ------------------------------------------------------------------------------------------------------------------------- reads

function hget(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.nil();
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  if (hashGet(ref, c.buf, c.s(2), c.e(2))) bulkGot(c);
  else c.out.nil();
}

function hmget(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref !== 0 && typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  c.out.array(c.argc - 2);
  for (let i = 2; i < c.argc; i++) {
    if (ref !== 0 && hashGet(ref, c.buf, c.s(i), c.e(i))) bulkGot(c);
    else c.out.nil();
  }
}

function hexists(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  c.out.int(hashHas(ref, c.buf, c.s(2), c.e(2)) ? 1 : 0);
}

function hstrlen(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  c.out.int(hashGet(ref, c.buf, c.s(2), c.e(2)) ? gotEnd - gotStart : 0);
}

function hlen(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  c.out.int(hashLength(ref));
}

function hgetall(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.map(0);
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  c.out.map(hashLength(ref));
  replyFields(c, ref, true, true);
}

function hkeys(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.array(0);
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  c.out.array(hashLength(ref));
  replyFields(c, ref, true, false);
}

function hvals(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.array(0);
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  c.out.array(hashLength(ref));
  replyFields(c, ref, false, true);
}

/** All fields, values or both, one bulk each. */
function replyFields(c: Call, ref: number, fields: boolean, values: boolean): void {
  const out = c.out;
  cursor.begin(ref);
  while (cursor.next()) {
    if (fields) out.bulk(cursor.b, cursor.start, cursor.end);
    if (values) {
      cursor.value();
      out.bulk(gotB, gotStart, gotEnd);
    }
  }
}

function hscan(c: Call): void {
  if (!readCursor(c, 2)) return;
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) {
    replyCursor(c, 0);
    return c.out.array(0);
  }
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  if (!readScanOptions(c, 3, false)) return;
  picked.clear();
  let next = 0;
  cursor.begin(ref);
  if (encodingOf(ref) === HASHTABLE) next = scanBig(c, ref);
  else while (cursor.next()) if (scanMatches(c, cursor.b, cursor.start, cursor.end)) picked.push(cursor.place);
  replyCursor(c, next);
  c.out.array(picked.count * 2);
  for (let i = 0; i < picked.count; i++) {
    cursor.at(picked.refs[i]);
    replyPair(c, true);
  }
}

/** One step of HSCAN through a big hash: matching elements go to `picked`; the next cursor. */
function scanBig(c: Call, ref: number): number {
  const o = scanOptions;
  const dict = bigHashOf(ref).dict;
  let next = o.cursor;
  let rounds = o.count * 10;
  do next = dict.scan(next, picked);
  while (next !== 0 && rounds-- > 0 && picked.count < o.count);
  let kept = 0;
  for (let i = 0; i < picked.count; i++) {
    cursor.at(picked.refs[i]);
    if (scanMatches(c, cursor.b, cursor.start, cursor.end)) picked.refs[kept++] = picked.refs[i];
  }
  picked.count = kept;
  return next;
}

/** The field at hand, and its value. */
function replyPair(c: Call, withValue: boolean): void {
  c.out.bulk(cursor.b, cursor.start, cursor.end);
  if (!withValue) return;
  cursor.value();
  c.out.bulk(gotB, gotStart, gotEnd);
}

// ------------------------------------------------------------------------------------------------------------------ random picks

function hrandfield(c: Call): void {
  if (c.argc > 2) return hrandfieldCount(c);
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.nil();
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  cursor.begin(ref);
  cursor.random();
  replyPair(c, false);
}

function hrandfieldCount(c: Call): void {
  const count = countArg(c, 2);
  if (count !== count) return;
  const withValues = c.argc === 4 && c.is(3, "withvalues");
  if (c.argc > 4 || (c.argc === 4 && !withValues)) return c.out.error(ERR.syntax);
  // Half of what a long holds, because RESP2 counts each pair twice.
  if (withValues && Math.abs(count) > Number(INT64_MAX) / 2) return c.out.error(VALUE_OUT_OF_RANGE);
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.array(0);
  if (typeOf(ref) !== HASH) return c.out.error(ERR.wrongType);
  if (count === 0) return c.out.array(0);
  const size = hashLength(ref);
  const many = count < 0 ? -count : Math.min(count, size);
  const nested = withValues && c.out.resp === 3;
  c.out.array(withValues && !nested ? many * 2 : many);
  cursor.begin(ref);
  if (count < 0 || count === 1) {
    for (let i = 0; i < many && !stopsReplying(c, i); i++) {
      cursor.random();
      replyPick(c, withValues, nested);
    }
  } else if (many === size || encodingOf(ref) === LISTPACK) {
    let wanted = many;
    for (let left = size; wanted > 0; left--) {
      cursor.next();
      if (!picksThis(left, wanted)) continue;
      wanted--;
      replyPick(c, withValues, nested);
    }
  } else {
    pickUnique(bigHashOf(ref).dict, many, picked);
    for (let i = 0; i < many; i++) {
      cursor.at(picked.refs[i]);
      replyPick(c, withValues, nested);
    }
  }
}

function replyPick(c: Call, withValue: boolean, nested: boolean): void {
  if (nested) c.out.array(2);
  replyPair(c, withValue);
}

export const hashRuns: Record<string, Run> = {
  hset,
  hmset,
  hsetnx,
  hget,
  hmget,
  hdel,
  hexists,
  hlen,
  hstrlen,
  hincrby,
  hincrbyfloat,
  hgetall,
  hkeys,
  hvals,
  hscan,
  hrandfield,
};

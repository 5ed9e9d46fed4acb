/**
 * The set commands on one set, and SMOVE (Redis t_set.c). HOT: SADD, SREM, SISMEMBER, SMISMEMBER, SCARD and SMEMBERS make no objects or strings.
 *
 *   argument bytes -> keyspace look-up -> edits and look-ups of store/set.ts -> reply straight from the arena, then effects.ts
 *
 * Random members are in set_random.ts, operations on several sets in set_algebra.ts; `setRuns` has them all.
 */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC, NOTIFY_SET } from "../config/keyspace_events.ts";
import { ERR } from "../resp/errors.ts";
import { RefList } from "../store/dict.ts";
import { HASHTABLE, INTSET, LISTPACK, SET, encodingOf, typeOf } from "../store/entry.ts";
import type { Keyspace } from "../store/keyspace.ts";
import { lpPrepare } from "../store/packed/listpack_edit.ts";
import {
  SetCursor,
  bigSetOf,
  emptySetBytes,
  encodingFor,
  setAdd,
  setChanged,
  setExpect,
  setHas,
  setInit,
  setLength,
  setRemove,
} from "../store/set.ts";
import { keyspaceOf, notifyArg, touched, touchedBy } from "./effects.ts";
import { readCursor, readScanOptions, replyCursor, scanMatches, scanOptions } from "./scan.ts";
import { algebraRuns, replyMembers } from "./set_algebra.ts";
import { randomRuns } from "./set_random.ts";

const cursor = new SetCursor();
const picked = new RefList(64);
/** Bytes a new intset of one member needs for it at most, and a guess for each of several. */
const INT_BYTES = 8;

/** A new set under argument `key` for the `members` arguments from argument `first` on, empty, with room for them. 0 after -OOM. */
function newSet(c: Call, ks: Keyspace, key: number, first: number, members: number): number {
  const encoding = encodingFor(c.buf, c.s(first), c.e(first), members);
  let bytes = emptySetBytes(encoding);
  if (encoding === INTSET) bytes += members === 1 ? intBytes(c, first) : INT_BYTES;
  else if (encoding === LISTPACK) for (let i = first; i < first + members; i++) bytes += lpPrepare(c.buf, c.s(i), c.e(i));
  const ref = ks.create(c.buf, c.s(key), c.e(key), SET, encoding === HASHTABLE ? LISTPACK : encoding, bytes);
  if (ref === 0) {
    c.out.error(ERR.oom);
    return 0;
  }
  setInit(ref);
  return encoding === HASHTABLE ? setExpect(ks, ref, members) : ref;
}

/** Bytes an intset takes for the integer in argument i. */
function intBytes(c: Call, i: number): number {
  const n = c.integer(i);
  if (n >= -32768 && n <= 32767) return 2;
  return n >= -2147483648 && n <= 2147483647 ? 4 : INT_BYTES;
}

function sadd(c: Call): void {
  const ks = keyspaceOf(c);
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) {
    ref = newSet(c, ks, 1, 2, c.argc - 2);
    if (ref === 0) return;
  } else {
    if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
    ref = setExpect(ks, ref, c.argc - 2);
  }
  let added = 0;
  let failed = false;
  for (let i = 2; i < c.argc && !failed; i++) {
    ref = setAdd(ks, ref, c.buf, c.s(i), c.e(i));
    if (setChanged > 0) added++;
    else if (setChanged < 0) failed = true;
  }
  if (failed) {
    c.out.error(ERR.oom);
    if (setLength(ref) === 0) return ks.deleteRef(ref);
  } else c.out.int(added);
  if (added > 0) touchedBy(c, 1, NOTIFY_SET, "sadd", added);
}

function srem(c: Call): void {
  const ks = keyspaceOf(c);
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  let deleted = 0;
  let left = setLength(ref);
  for (let i = 2; i < c.argc && left > 0; i++) {
    ref = setRemove(ks, ref, c.buf, c.s(i), c.e(i));
    deleted += setChanged;
    left -= setChanged;
  }
  c.out.int(deleted);
  if (deleted === 0) return;
  if (left === 0) ks.deleteRef(ref);
  touchedBy(c, 1, NOTIFY_SET, "srem", deleted);
  if (left === 0) notifyArg(c, 1, NOTIFY_GENERIC, "del");
}

function smove(c: Call): void {
  const ks = keyspaceOf(c);
  let from = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  let to = ks.lookupWrite(c.buf, c.s(2), c.e(2));
  if (from === 0) return c.out.int(0);
  if (typeOf(from) !== SET || (to !== 0 && typeOf(to) !== SET)) return c.out.error(ERR.wrongType);
  if (from === to) return c.out.int(setHas(from, c.buf, c.s(3), c.e(3)) ? 1 : 0);
  from = setRemove(ks, from, c.buf, c.s(3), c.e(3));
  if (setChanged === 0) return c.out.int(0);
  const emptied = setLength(from) === 0;
  if (emptied) ks.deleteRef(from);
  touched(c, 1, NOTIFY_SET, "srem");
  if (emptied) notifyArg(c, 1, NOTIFY_GENERIC, "del");
  if (to === 0) {
    to = newSet(c, ks, 2, 3, 1);
    if (to === 0) return;
  }
  to = setAdd(ks, to, c.buf, c.s(3), c.e(3));
  if (setChanged < 0) {
    if (setLength(to) === 0) ks.deleteRef(to);
    return c.out.error(ERR.oom);
  }
  if (setChanged > 0) touched(c, 2, NOTIFY_SET, "sadd");
  c.out.int(1);
}

function sismember(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  c.out.int(setHas(ref, c.buf, c.s(2), c.e(2)) ? 1 : 0);
}

function smismember(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref !== 0 && typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  c.out.array(c.argc - 2);
  for (let i = 2; i < c.argc; i++) c.out.int(ref !== 0 && setHas(ref, c.buf, c.s(i), c.e(i)) ? 1 : 0);
}

function scard(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  c.out.int(setLength(ref));
}

function smembers(c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.set(0);
  if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  c.out.set(setLength(ref));
  replyMembers(c.out, ref);
}

function sscan(c: Call): void {
  if (!readCursor(c, 2)) return;
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) {
    replyCursor(c, 0);
    return c.out.array(0);
  }
  if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  if (!readScanOptions(c, 3, false)) return;
  picked.clear();
  let next = 0;
  cursor.begin(ref);
  if (encodingOf(ref) === HASHTABLE) next = scanBig(c, ref);
  else while (cursor.next()) if (scanMatches(c, cursor.b, cursor.start, cursor.end)) picked.push(cursor.place);
  replyCursor(c, next);
  c.out.array(picked.count);
  for (let i = 0; i < picked.count; i++) {
    cursor.at(picked.refs[i]);
    c.out.bulk(cursor.b, cursor.start, cursor.end);
  }
}

/** One step of SSCAN through a big set: matching members go to `picked`; the next cursor. */
function scanBig(c: Call, ref: number): number {
  const o = scanOptions;
  const dict = bigSetOf(ref).dict;
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

export const setRuns: Record<string, Run> = {
  sadd,
  srem,
  smove,
  sismember,
  smismember,
  scard,
  smembers,
  sscan,
  ...algebraRuns,
  ...randomRuns,
};

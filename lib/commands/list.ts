/**
 * List commands (Redis t_list.c). HOT: pushes, pops, LINDEX and LRANGE make no objects or strings an element.
 *
 *   argument bytes -> keyspace look-up -> edits and look-ups of store/list.ts -> reply from the arena, then effects.ts
 *
 * The waiting forms are in list_wait.ts; they share `moveElement` and `popMany` with this file.
 */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC, NOTIFY_LIST } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { LIST, LISTPACK, QUICKLIST, encodingOf, typeOf } from "../store/entry.ts";
import type { Keyspace } from "../store/keyspace.ts";
import {
  ListCursor,
  gotB,
  gotEnd,
  gotStart,
  listChanged,
  listEnd,
  listExpect,
  listGet,
  listInit,
  listInsert,
  listLength,
  listPush,
  listRemoveEnd,
  listRemoveEqual,
  listRemoveRange,
  listSet,
  listSettle,
  quickListOf,
} from "../store/list.ts";
import { LP_EMPTY } from "../store/packed/listpack.ts";
import { gotB as quickB, gotEnd as quickEnd, gotStart as quickStart } from "../store/quicklist_node.ts";
import { keyspaceOf, notifyArg, touched } from "./effects.ts";

const cursor = new ListCursor();
/** No ref has this value. */
export const NONE = -1;

export const HEAD = 0;
export const TAIL = 1;

/** The list under argument i for reading: its ref, 0 when there is none, NONE after a WRONGTYPE reply. */
function listToRead(c: Call, i: number): number {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(i), c.e(i));
  if (ref === 0 || typeOf(ref) === LIST) return ref;
  c.out.error(ERR.wrongType);
  return NONE;
}
/** As listToRead for a change. */
export function listToChange(c: Call, i: number): number {
  const ref = keyspaceOf(c).lookupWrite(c.buf, c.s(i), c.e(i));
  if (ref === 0 || typeOf(ref) === LIST) return ref;
  c.out.error(ERR.wrongType);
  return NONE;
}

function newList(c: Call, ks: Keyspace, i: number): number {
  const ref = ks.create(c.buf, c.s(i), c.e(i), LIST, LISTPACK, LP_EMPTY);
  if (ref === 0) c.out.error(ERR.oom);
  else listInit(ref);
  return ref;
}

/** After elements left the list under argument i: the event, then an empty one goes, a much shorter one is packed. */
export function elementsLeft(c: Call, ks: Keyspace, ref: number, i: number, from: number, gone: number): void {
  if (listLength(ref) === 0) {
    ks.deleteRef(ref);
    touched(c, i, NOTIFY_LIST, from === HEAD ? "lpop" : "rpop");
    notifyArg(c, i, NOTIFY_GENERIC, "del");
  } else {
    listSettle(ks, ref);
    touched(c, i, NOTIFY_LIST, from === HEAD ? "lpop" : "rpop");
  }
  c.dirty += gone - 1;
}

// ------------------------------------------------------------------------------------------------------------------- both ends

function push(c: Call, to: number, onlyExisting: boolean): void {
  const ks = keyspaceOf(c);
  let ref = listToChange(c, 1);
  if (ref === NONE) return;
  if (ref === 0) {
    if (onlyExisting) return c.out.int(0);
    ref = newList(c, ks, 1);
    if (ref === 0) return;
  }
  let pushed = 0;
  if (encodingOf(ref) === QUICKLIST) {
    const list = quickListOf(ref);
    for (let i = 2; i < c.argc; i++) {
      if (to === TAIL ? !list.pushTail(c.buf, c.s(i), c.e(i)) : !list.pushHead(c.buf, c.s(i), c.e(i))) break;
      pushed++;
    }
    return hasPushed(c, to, pushed, list.count);
  }
  let bytes = 0;
  for (let i = 2; i < c.argc; i++) bytes += c.len(i);
  ref = listExpect(ks, ref, bytes, c.argc - 2);
  for (let i = 2; i < c.argc && listChanged >= 0; i++) {
    ref = listPush(ks, ref, c.buf, c.s(i), c.e(i), to === TAIL);
    if (listChanged > 0) pushed++;
  }
  const length = listLength(ref);
  if (length === 0) ks.deleteRef(ref);
  hasPushed(c, to, pushed, length);
}

/** What follows a push of as many arguments as memory was there for. */
function hasPushed(c: Call, to: number, pushed: number, length: number): void {
  if (pushed === 0) return c.out.error(ERR.oom);
  touched(c, 1, NOTIFY_LIST, to === HEAD ? "lpush" : "rpush");
  c.dirty += pushed - 1;
  if (pushed < c.argc - 2) return c.out.error(ERR.oom);
  c.out.int(length);
}

function pop(c: Call, from: number): void {
  if (c.argc > 3) return c.out.errorText(`ERR wrong number of arguments for '${c.command.name}' command`);
  let count = 1;
  const counted = c.argc === 3;
  if (counted) {
    count = c.wideInteger(2);
    if (count !== count || count < 0) return c.out.error(ERR.outOfRangePositive);
  }
  const ks = keyspaceOf(c);
  const ref = listToChange(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return counted ? c.out.nilArray() : c.out.nil();
  if (counted && count === 0) return c.out.array(0);
  if (counted) return popMany(c, 1, ref, count, from);
  if (encodingOf(ref) === QUICKLIST) return popBig(c, ks, ref, from);
  listEnd(ref, from === TAIL);
  c.out.bulk(gotB, gotStart, gotEnd);
  elementsLeft(c, ks, listRemoveEnd(ks, ref, from === TAIL), 1, from, 1);
}

/** LPOP and RPOP of one element of a quicklist. */
function popBig(c: Call, ks: Keyspace, ref: number, from: number): void {
  const list = quickListOf(ref);
  list.getEnd(from === TAIL);
  c.out.bulk(quickB, quickStart, quickEnd);
  list.removeEnd(from === TAIL);
  // Only a list of one node may be short enough for a listpack, or empty.
  if (list.nodes > 1) touched(c, 1, NOTIFY_LIST, from === HEAD ? "lpop" : "rpop");
  else elementsLeft(c, ks, ref, 1, from, 1);
}

/** Replies an array of up to `count` elements from one end of the list under argument i, and removes them. */
export function popMany(c: Call, i: number, ref: number, count: number, from: number): void {
  const ks = keyspaceOf(c);
  const size = listLength(ref);
  const n = Math.min(count, size);
  c.out.array(n);
  let left = n;
  for (let more = cursor.begin(ref, from === HEAD ? 0 : size - 1, from === TAIL); more && left > 0; more = cursor.next(), left--)
    c.out.bulk(cursor.b, cursor.start, cursor.end);
  ref = listRemoveRange(ks, ref, from === HEAD ? 0 : size - n, n);
  elementsLeft(c, ks, ref, i, from, n);
}

function llen(c: Call): void {
  const ref = listToRead(c, 1);
  if (ref !== NONE) c.out.int(ref === 0 ? 0 : listLength(ref));
}

function lindex(c: Call): void {
  const index = c.wideInteger(2);
  const ref = listToRead(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return c.out.nil();
  if (index !== index) return c.out.error(ERR.notInteger);
  if (listGet(ref, index)) c.out.bulk(gotB, gotStart, gotEnd);
  else c.out.nil();
}

function lrange(c: Call): void {
  let start = c.wideInteger(2);
  let end = c.wideInteger(3);
  if (start !== start || end !== end) return c.out.error(ERR.notInteger);
  const ref = listToRead(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return c.out.array(0);
  const size = listLength(ref);
  if (start < 0) start += size;
  if (end < 0) end += size;
  if (start < 0) start = 0;
  if (start > end || start >= size) return c.out.array(0);
  if (end >= size) end = size - 1;
  let left = end - start + 1;
  const { out } = c;
  out.array(left);
  for (let more = cursor.begin(ref, start, false); more && left > 0; more = cursor.next(), left--)
    out.bulk(cursor.b, cursor.start, cursor.end);
}

// ---------------------------------------------------------------------------------------------------------------------- inside

function lset(c: Call): void {
  const ks = keyspaceOf(c);
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.error(ERR.noKey);
  if (typeOf(ref) !== LIST) return c.out.error(ERR.wrongType);
  const index = c.integerOrFail(2);
  if (index !== index) return;
  ref = listExpect(ks, ref, c.len(3), 1);
  const size = listLength(ref);
  const at = index < 0 ? size + index : index;
  if (at < 0 || at >= size) return c.out.error(ERR.outOfRange);
  if (listChanged >= 0) ref = listSet(ks, ref, at, c.buf, c.s(3), c.e(3));
  if (listChanged < 0) return c.out.error(ERR.oom);
  // A shorter element may let the list fit a listpack again.
  listSettle(ks, ref);
  touched(c, 1, NOTIFY_LIST, "lset");
  c.out.ok();
}

/** Index of the first element equal to argument i, -1 when there is none. */
function indexOf(c: Call, ref: number, i: number): number {
  const s = c.s(i);
  const length = c.len(i);
  let at = 0;
  for (let more = cursor.begin(ref, 0, false); more; more = cursor.next(), at++)
    if (cursor.end - cursor.start === length && c.buf.compare(cursor.b, cursor.start, cursor.end, s, s + length) === 0) return at;
  return -1;
}

function linsert(c: Call): void {
  const after = c.is(2, "after");
  if (!after && !c.is(2, "before")) return c.out.error(ERR.syntax);
  const ks = keyspaceOf(c);
  let ref = listToChange(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return c.out.int(0);
  ref = listExpect(ks, ref, c.len(4), 1);
  const at = indexOf(c, ref, 3);
  if (at < 0) return c.out.int(-1);
  if (listChanged >= 0) ref = listInsert(ks, ref, after ? at + 1 : at, c.buf, c.s(4), c.e(4));
  if (listChanged < 0) return c.out.error(ERR.oom);
  touched(c, 1, NOTIFY_LIST, "linsert");
  c.out.int(listLength(ref));
}

function ltrim(c: Call): void {
  let start = c.wideInteger(2);
  let end = c.wideInteger(3);
  if (start !== start || end !== end) return c.out.error(ERR.notInteger);
  const ks = keyspaceOf(c);
  let ref = listToChange(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return c.out.ok();
  const size = listLength(ref);
  if (start < 0) start += size;
  if (end < 0) end += size;
  if (start < 0) start = 0;
  if (end >= size) end = size - 1;
  const none = start > end || start >= size;
  const fromHead = none ? size : start;
  const fromTail = none ? 0 : size - end - 1;
  if (fromTail > 0) ref = listRemoveRange(ks, ref, size - fromTail, fromTail);
  if (fromHead > 0 && fromHead < size) ref = listRemoveRange(ks, ref, 0, fromHead);
  const gone = fromHead + fromTail;
  if (fromHead === size) {
    ks.deleteRef(ref);
    touched(c, 1, NOTIFY_LIST, "ltrim");
    notifyArg(c, 1, NOTIFY_GENERIC, "del");
  } else {
    listSettle(ks, ref);
    touched(c, 1, NOTIFY_LIST, "ltrim");
  }
  // A trim that trims nothing is replicated all the same only when something went.
  c.dirty += gone - 1;
  c.out.ok();
}

function lrem(c: Call): void {
  const count = c.integerOrFail(2);
  if (count !== count) return;
  const ks = keyspaceOf(c);
  let ref = listToChange(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return c.out.int(0);
  ref = listRemoveEqual(ks, ref, c.buf, c.s(3), c.e(3), count === 0 ? Infinity : Math.abs(count), count < 0);
  const gone = listChanged;
  if (gone > 0) {
    const empty = listLength(ref) === 0;
    if (empty) ks.deleteRef(ref);
    else listSettle(ks, ref);
    touched(c, 1, NOTIFY_LIST, "lrem");
    if (empty) notifyArg(c, 1, NOTIFY_GENERIC, "del");
    c.dirty += gone - 1;
  }
  c.out.int(gone);
}

const RANK_ZERO = errorLine(
  "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
);
const RANK_RANGE = errorLine("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
const COUNT_NEGATIVE = errorLine("ERR COUNT can't be negative");
const MAXLEN_NEGATIVE = errorLine("ERR MAXLEN can't be negative");

/** LPOS key element [RANK r] [COUNT n] [MAXLEN m]. */
function lpos(c: Call): void {
  let rank = 1;
  let count = -1;
  let maxlen = 0;
  for (let i = 3; i < c.argc; i += 2) {
    const more = i + 1 < c.argc;
    if (more && c.is(i, "rank")) {
      rank = c.wideInteger(i + 1);
      if (rank !== rank) return c.out.error(ERR.notInteger);
      if (rank <= -(2 ** 63)) return c.out.error(RANK_RANGE);
      if (rank === 0) return c.out.error(RANK_ZERO);
    } else if (more && c.is(i, "count")) {
      count = c.wideInteger(i + 1);
      if (count !== count || count < 0) return c.out.error(COUNT_NEGATIVE);
    } else if (more && c.is(i, "maxlen")) {
      maxlen = c.wideInteger(i + 1);
      if (maxlen !== maxlen || maxlen < 0) return c.out.error(MAXLEN_NEGATIVE);
    } else return c.out.error(ERR.syntax);
  }
  const backwards = rank < 0;
  let skip = Math.abs(rank) - 1;
  const ref = listToRead(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return count < 0 ? c.out.nil() : c.out.array(0);
  const size = listLength(ref);
  const found: number[] = [];
  const wanted = count < 0 ? 1 : count === 0 ? Infinity : count;
  const s = c.s(2);
  const e = c.e(2);
  let at = backwards ? size - 1 : 0;
  let seen = 0;
  for (let more = cursor.begin(ref, at, backwards); more && (maxlen === 0 || seen < maxlen); more = cursor.next(), seen++) {
    if (cursor.end - cursor.start === e - s && c.buf.compare(cursor.b, cursor.start, cursor.end, s, e) === 0 && skip-- <= 0) {
      found.push(at);
      if (found.length >= wanted) break;
    }
    at += backwards ? -1 : 1;
  }
  if (count < 0) return found.length > 0 ? c.out.int(found[0]) : c.out.nil();
  c.out.array(found.length);
  for (const f of found) c.out.int(f);
}

// ----------------------------------------------------------------------------------------------------------------------- LMOVE

/** LEFT or RIGHT at argument i; -1 after a syntax error. */
export function sideArg(c: Call, i: number): number {
  if (c.is(i, "left")) return HEAD;
  if (c.is(i, "right")) return TAIL;
  c.out.error(ERR.syntax);
  return -1;
}

let moving: Buffer = Buffer.allocUnsafeSlow(1024);

/**
 * Moves an element from the list at argument 1 to that at argument 2 and replies it. False when there is nothing to move: no reply then.
 */
export function moveElement(c: Call, from: number, to: number): boolean {
  const ks = keyspaceOf(c);
  let source = listToChange(c, 1);
  if (source === NONE) return true;
  if (source === 0) return false;
  let target = listToChange(c, 2);
  if (target === NONE) return true;
  // Out of its entry first: the push may move that entry.
  listEnd(source, from === TAIL);
  const length = gotEnd - gotStart;
  if (length > moving.length) moving = Buffer.allocUnsafeSlow(length * 2);
  gotB.copy(moving, 0, gotStart, gotEnd);
  const same = target === source;
  if (target === 0) {
    target = newList(c, ks, 2);
    if (target === 0) return true;
  } else if (same) {
    source = listRemoveEnd(ks, source, from === TAIL);
    target = source;
  }
  target = listExpect(ks, target, length, 1);
  if (listChanged >= 0) target = listPush(ks, target, moving, 0, length, to === TAIL);
  if (listChanged < 0) {
    if (listLength(target) === 0) ks.deleteRef(target);
    c.out.error(ERR.oom);
    return true;
  }
  touched(c, 2, NOTIFY_LIST, to === HEAD ? "lpush" : "rpush");
  if (same) {
    listSettle(ks, target);
    touched(c, 1, NOTIFY_LIST, from === HEAD ? "lpop" : "rpop");
    c.dirty--;
  } else {
    source = ks.lookupWrite(c.buf, c.s(1), c.e(1));
    source = listRemoveEnd(ks, source, from === TAIL);
    elementsLeft(c, ks, source, 1, from, 1);
    c.dirty--;
  }
  c.out.bulk(moving, 0, length);
  if (moving.length > 65536) moving = Buffer.allocUnsafeSlow(1024);
  return true;
}

function lmove(c: Call): void {
  const from = sideArg(c, 3);
  if (from < 0) return;
  const to = sideArg(c, 4);
  if (to < 0) return;
  if (!moveElement(c, from, to)) c.out.nil();
}

export const listRuns: Record<string, Run> = {
  lpush: (c) => push(c, HEAD, false),
  rpush: (c) => push(c, TAIL, false),
  lpushx: (c) => push(c, HEAD, true),
  rpushx: (c) => push(c, TAIL, true),
  lpop: (c) => pop(c, HEAD),
  rpop: (c) => pop(c, TAIL),
  llen,
  lindex,
  lrange,
  lset,
  linsert,
  ltrim,
  lrem,
  lpos,
  lmove,
  rpoplpush: (c) => {
    if (!moveElement(c, TAIL, HEAD)) c.out.nil();
  },
};

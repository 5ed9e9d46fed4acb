/**
 * SPOP and SRANDMEMBER (Redis t_set.c). Every member, and with a count every subset, is equally likely. HOT: SPOP of one member.
 *
 * Chance must not be replicated: SPOP goes on as SREM of what was popped (a thousand members a command), or as DEL of the whole set.
 */
import { copyBytes } from "../bytes/copy.ts";
import { intLength, writeInt } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC, NOTIFY_SET } from "../config/keyspace_events.ts";
import { ERR } from "../resp/errors.ts";
import { Out } from "../resp/out.ts";
import { RefList } from "../store/dict.ts";
import { HASHTABLE, LISTPACK, SET, encodingOf, typeOf, valueLength } from "../store/entry.ts";
import type { Keyspace } from "../store/keyspace.ts";
import { freeLoose, giveLoose, loose } from "../store/room.ts";
import { SetCursor, bigSetOf, newLooseSet, setAdd, setChanged, setLength, setRemovePlaces } from "../store/set.ts";
import { randomBelow } from "../store/seed.ts";
import { settings } from "../store/settings.ts";
import { keyspaceOf, notifyArg, touchedBy } from "./effects.ts";
import { countArg, pickUnique, picksThis, stopsReplying } from "./random.ts";

/** A set that loses all but this share (1 / SHARE) of its members is made anew, in the encoding of a small one. */
const SHARE = 5;
/** Members of one SREM. */
const BATCH = 1024;
/** Scratch lists longer than this are given up after use. */
const KEEP_LENGTH = 1 << 16;

const cursor = new SetCursor();
const encoder = new Out(2);
let picked = new RefList(64);
const SREM = Buffer.from("*3\r\n$4\r\nSREM\r\n");

function pickList(): RefList {
  if (picked.refs.length > KEEP_LENGTH) picked = new RefList(64);
  picked.clear();
  return picked;
}

// -------------------------------------------------------------------------------------------------------------------------- SPOP

function spop(c: Call): void {
  if (c.argc === 3) return spopCount(c);
  if (c.argc > 3) return c.out.error(ERR.syntax);
  const ks = keyspaceOf(c);
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.nil();
  if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  cursor.begin(ref);
  cursor.random();
  c.out.bulk(cursor.b, cursor.start, cursor.end);
  propagateSrem(c);
  popped(c, ks, cursor.remove(ks), 1);
}

/** What follows a pop of `count` members that left the set in `ref`. */
function popped(c: Call, ks: Keyspace, ref: number, count: number): void {
  const emptied = setLength(ref) === 0;
  if (emptied) ks.deleteRef(ref);
  touchedBy(c, 1, NOTIFY_SET, "spop", count);
  if (emptied) notifyArg(c, 1, NOTIFY_GENERIC, "del");
}

/** Propagates `SREM key member` for the member at hand. */
function propagateSrem(c: Call): void {
  const key = c.len(1);
  const member = cursor.end - cursor.start;
  const b = Buffer.allocUnsafe(SREM.length + intLength(key) + key + intLength(member) + member + 10);
  let at = copyBytes(b, 0, SREM, 0, SREM.length);
  at = putBulk(b, at, c.buf, c.s(1), c.e(1));
  putBulk(b, at, cursor.b, cursor.start, cursor.end);
  (c.instead ??= []).push(b);
}

function putBulk(b: Buffer, at: number, source: Buffer, start: number, end: number): number {
  b[at] = 36;
  at = writeInt(b, at + 1, end - start);
  b[at] = 13;
  b[at + 1] = 10;
  at = copyBytes(b, at + 2, source, start, end);
  b[at] = 13;
  b[at + 1] = 10;
  return at + 2;
}

function spopCount(c: Call): void {
  const count = c.wideInteger(2);
  if (!(count >= 0)) return c.out.error(ERR.outOfRangePositive);
  const ks = keyspaceOf(c);
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.set(0);
  if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  if (count === 0) return c.out.set(0);
  const size = setLength(ref);
  if (count >= size) return popAll(c, ks, ref, size);
  const places = pickList();
  cursor.begin(ref);
  if (encodingOf(ref) === HASHTABLE) pickUnique(bigSetOf(ref).dict, count, places);
  else
    for (let left = size; places.count < count; left--) {
      cursor.next();
      if (picksThis(left, count - places.count)) places.push(cursor.place);
    }
  c.out.set(count);
  for (let i = 0; i < count; i++) {
    if (i % BATCH === 0) {
      encoder.array(2 + Math.min(BATCH, count - i));
      encoder.bulkText("SREM");
      encoder.bulk(c.buf, c.s(1), c.e(1));
    }
    cursor.at(places.refs[i]);
    c.out.bulk(cursor.b, cursor.start, cursor.end);
    encoder.bulk(cursor.b, cursor.start, cursor.end);
    if (i % BATCH === BATCH - 1 || i === count - 1) (c.instead ??= []).push(encoder.take());
  }
  let to = setRemovePlaces(ks, ref, places);
  if (encodingOf(to) === HASHTABLE && (size - count) * SHARE <= count) to = remade(ks, to);
  popped(c, ks, to, count);
}

function popAll(c: Call, ks: Keyspace, ref: number, size: number): void {
  c.out.set(size);
  cursor.begin(ref);
  while (cursor.next()) c.out.bulk(cursor.b, cursor.start, cursor.end);
  ks.deleteRef(ref);
  touchedBy(c, 1, NOTIFY_SET, "spop", size);
  notifyArg(c, 1, NOTIFY_GENERIC, "del");
  c.rewrite(settings.lazyfreeLazyServerDel ? "UNLINK" : "DEL", c.view(1));
}

/** Makes what a big set has left a set anew, which may be a listpack. The ref to go on with; without memory all stays as it is. */
function remade(ks: Keyspace, ref: number): number {
  let rest = newLooseSet(LISTPACK);
  if (rest === 0) return ref;
  cursor.begin(ref);
  while (cursor.next()) {
    rest = setAdd(loose, rest, cursor.b, cursor.start, cursor.end);
    if (setChanged >= 0) continue;
    freeLoose(rest);
    return ref;
  }
  const to = ks.replaceValue(ref, SET, encodingOf(rest), valueLength(rest), true);
  if (to === 0) {
    freeLoose(rest);
    return ref;
  }
  giveLoose(rest, to);
  return to;
}

// ------------------------------------------------------------------------------------------------------------------- SRANDMEMBER

function srandmember(c: Call): void {
  if (c.argc === 3) return srandmemberCount(c);
  if (c.argc > 3) return c.out.error(ERR.syntax);
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.nil();
  if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  cursor.begin(ref);
  cursor.random();
  c.out.bulk(cursor.b, cursor.start, cursor.end);
}

function srandmemberCount(c: Call): void {
  const count = countArg(c, 2);
  if (count !== count) return;
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.array(0);
  if (typeOf(ref) !== SET) return c.out.error(ERR.wrongType);
  if (count === 0) return c.out.array(0);
  const size = setLength(ref);
  const many = count < 0 ? -count : Math.min(count, size);
  const out = c.out;
  out.array(many);
  cursor.begin(ref);
  if (count < 0 || count === 1) return repliesAny(c, ref, size, many);
  if (many < size && encodingOf(ref) === HASHTABLE) {
    const places = pickList();
    pickUnique(bigSetOf(ref).dict, many, places);
    for (let i = 0; i < many; i++) {
      cursor.at(places.refs[i]);
      out.bulk(cursor.b, cursor.start, cursor.end);
    }
    return;
  }
  let wanted = many;
  for (let left = size; wanted > 0; left--) {
    cursor.next();
    if (!picksThis(left, wanted)) continue;
    wanted--;
    out.bulk(cursor.b, cursor.start, cursor.end);
  }
}

/** `many` members, the same one again and again perhaps. */
function repliesAny(c: Call, ref: number, size: number, many: number): void {
  const places = pickList();
  // A listpack is walked once, not once a member.
  if (encodingOf(ref) === LISTPACK && many > 1) while (cursor.next()) places.push(cursor.place);
  for (let i = 0; i < many && !stopsReplying(c, i); i++) {
    if (places.count > 0) cursor.at(places.refs[randomBelow(size)]);
    else cursor.random();
    c.out.bulk(cursor.b, cursor.start, cursor.end);
  }
}

export const randomRuns: Record<string, Run> = { spop, srandmember };

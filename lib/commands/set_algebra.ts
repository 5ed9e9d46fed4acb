/**
 * SINTER, SUNION, SDIFF, their STORE forms and SINTERCARD (Redis t_set.c). Members are compared and replied as bytes in the arena; objects are
 * made per command at most, none per member.
 *
 *   arguments -> refs of the sets (`sources`) -> SINTER: places in the smallest set
 *                                             -> SUNION, SDIFF, *STORE: a set without key (room.ts: loose) -> reply, or the key's value
 *
 * Building the result in Redis' order through Redis' encodings gives small sets the order of replies they have there.
 */
import { isInt64Text } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC, NOTIFY_SET } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import type { Out } from "../resp/out.ts";
import { RefList } from "../store/dict.ts";
import { INTSET, LISTPACK, SET, encodingOf, typeOf, valueLength } from "../store/entry.ts";
import { freeLoose, giveLoose, loose } from "../store/room.ts";
import { SetCursor, newLooseSet, setAdd, setChanged, setLength, setRemove } from "../store/set.ts";
import { settings } from "../store/settings.ts";
import { keyspaceOf, touched } from "./effects.ts";

const NUMKEYS = errorLine("ERR numkeys should be greater than 0");
const TOO_MANY_KEYS = errorLine("ERR Number of keys can't be greater than number of args");
const NEGATIVE_LIMIT = errorLine("ERR LIMIT can't be negative");
/** Scratch lists longer than this are given up after use. */
const KEEP_LENGTH = 1 << 16;
/** Up to here sets are put in order by insertion. */
const INSERTION_MAX = 32;

const cursor = new SetCursor();
let sources = new RefList(16);
let found = new RefList(64);

/** All members, one bulk each. */
export function replyMembers(out: Out, ref: number): void {
  cursor.begin(ref);
  while (cursor.next()) out.bulk(cursor.b, cursor.start, cursor.end);
}

/** Looks `count` keys up from argument `first` on: their refs, 0 for missing ones, in `sources`. False after WRONGTYPE. */
function lookUp(c: Call, first: number, count: number): boolean {
  const ks = keyspaceOf(c);
  if (sources.refs.length > KEEP_LENGTH) sources = new RefList(16);
  sources.clear();
  for (let i = first; i < first + count; i++) {
    const ref = ks.lookupRead(c.buf, c.s(i), c.e(i));
    if (ref !== 0 && typeOf(ref) !== SET) {
      c.out.error(ERR.wrongType);
      return false;
    }
    sources.push(ref);
  }
  return true;
}

function sizeOf(ref: number): number {
  return ref === 0 ? 0 : setLength(ref);
}

/** Sorts sources[from, count) by size, stable; sign 1: the smallest first, -1: the largest first. */
function sortSources(from: number, sign: number): void {
  const refs = sources.refs;
  const n = sources.count;
  if (n - from > INSERTION_MAX) {
    const list = Array.from(refs.subarray(from, n)).sort((a, b) => sign * (sizeOf(a) - sizeOf(b)));
    refs.set(list, from);
    return;
  }
  for (let i = from + 1; i < n; i++) {
    const ref = refs[i];
    const size = sizeOf(ref);
    let j = i - 1;
    while (j >= from && sign * (sizeOf(refs[j]) - size) > 0) {
      refs[j + 1] = refs[j];
      j--;
    }
    refs[j + 1] = ref;
  }
}

// ----------------------------------------------------------------------------------------------------------------- intersections

/** Looks the sets up, the smallest first; false when a reply was given or (then `empty` told) one is missing. */
function lookUpSmallestFirst(c: Call, first: number, count: number, empty: (c: Call) => void): boolean {
  if (!lookUp(c, first, count)) return false;
  for (let i = 0; i < count; i++)
    if (sources.refs[i] === 0) {
      empty(c);
      return false;
    }
  sortSources(0, 1);
  cursor.begin(sources.refs[0]);
  return true;
}

/** True when the member at hand, of the first source, is in all others. */
function isInAll(): boolean {
  const refs = sources.refs;
  const own = refs[0];
  for (let i = 1; i < sources.count; i++) if (refs[i] !== own && !cursor.isIn(refs[i])) return false;
  return true;
}

function emptySet(c: Call): void {
  c.out.set(0);
}

function sinter(c: Call): void {
  if (!lookUpSmallestFirst(c, 1, c.argc - 1, emptySet)) return;
  if (found.refs.length > KEEP_LENGTH) found = new RefList(64);
  found.clear();
  while (cursor.next()) if (isInAll()) found.push(cursor.place);
  c.out.set(found.count);
  for (let i = 0; i < found.count; i++) {
    cursor.at(found.refs[i]);
    c.out.bulk(cursor.b, cursor.start, cursor.end);
  }
}

function emptyCard(c: Call): void {
  c.out.int(0);
}

function sintercard(c: Call): void {
  const keys = c.wideInteger(1);
  if (!(keys > 0)) return c.out.error(NUMKEYS);
  if (keys > c.argc - 2) return c.out.error(TOO_MANY_KEYS);
  let limit = 0;
  for (let i = 2 + keys; i < c.argc; i += 2) {
    if (!c.is(i, "limit") || i + 1 === c.argc) return c.out.error(ERR.syntax);
    limit = c.wideInteger(i + 1);
    if (!(limit >= 0)) return c.out.error(NEGATIVE_LIMIT);
  }
  if (!lookUpSmallestFirst(c, 2, keys, emptyCard)) return;
  let count = 0;
  while ((limit === 0 || count < limit) && cursor.next()) if (isInAll()) count++;
  c.out.int(count);
}

function sinterstore(c: Call): void {
  if (!lookUpSmallestFirst(c, 2, c.argc - 2, storeNothing)) return;
  let result = newLooseSet(encodingOf(sources.refs[0]) === INTSET ? INTSET : LISTPACK);
  if (result === 0) return c.out.error(ERR.oom);
  let onlyIntegers = true;
  while (cursor.next()) {
    if (!isInAll()) continue;
    onlyIntegers &&= isInt64Text(cursor.b, cursor.start, cursor.end);
    result = setAdd(loose, result, cursor.b, cursor.start, cursor.end);
    if (setChanged < 0) return giveUp(c, result);
  }
  if (onlyIntegers) result = toIntset(result);
  store(c, result, "sinterstore");
}

/** A stored result of integers alone is an intset if it may be one (Redis maybeConvertToIntset). Consumes the set, returns the one to use. */
function toIntset(ref: number): number {
  if (encodingOf(ref) === INTSET || setLength(ref) > settings.setMaxIntsetEntries) return ref;
  let ints = newLooseSet(INTSET);
  if (ints === 0) return ref;
  cursor.begin(ref);
  while (cursor.next()) {
    ints = setAdd(loose, ints, cursor.b, cursor.start, cursor.end);
    if (setChanged < 0) {
      freeLoose(ints);
      return ref;
    }
  }
  freeLoose(ref);
  return ints;
}

// ------------------------------------------------------------------------------------------------------------- unions, differences

/** The union of the sources as a set without key, 0 after -OOM. */
function union(c: Call): number {
  let result = newLooseSet(INTSET);
  for (let i = 0; i < sources.count && result !== 0; i++) {
    if (sources.refs[i] === 0) continue;
    cursor.begin(sources.refs[i]);
    while (cursor.next()) {
      result = setAdd(loose, result, cursor.b, cursor.start, cursor.end);
      if (setChanged < 0) {
        giveUp(c, result);
        return 0;
      }
    }
  }
  if (result === 0) c.out.error(ERR.oom);
  return result;
}

/** The first source without the members of the others, as a set without key; 0 after -OOM. */
function difference(c: Call): number {
  const refs = sources.refs;
  const n = sources.count;
  const own = refs[0];
  let result = newLooseSet(INTSET);
  if (result === 0) {
    c.out.error(ERR.oom);
    return 0;
  }
  if (own === 0) return result;
  for (let i = 1; i < n; i++) if (refs[i] === own) return result;
  // Either each member of the first set is looked for in the others, or the members of the others are taken out one by one.
  let one = 0;
  let two = 0;
  for (let i = 0; i < n; i++) {
    if (refs[i] === 0) continue;
    one += setLength(own);
    two += setLength(refs[i]);
  }
  const search = Math.floor(one / 2) <= two;
  if (search) sortSources(1, -1);
  cursor.begin(own);
  while (cursor.next()) {
    if (search && isInAnother()) continue;
    result = setAdd(loose, result, cursor.b, cursor.start, cursor.end);
    if (setChanged < 0) {
      giveUp(c, result);
      return 0;
    }
  }
  return search ? result : removeOthers(result);
}

/** True when the member at hand, of the first source, is in one of the others. */
function isInAnother(): boolean {
  const refs = sources.refs;
  for (let i = 1; i < sources.count; i++) if (refs[i] !== 0 && cursor.isIn(refs[i])) return true;
  return false;
}

function removeOthers(result: number): number {
  for (let i = 1; i < sources.count && setLength(result) > 0; i++) {
    if (sources.refs[i] === 0) continue;
    cursor.begin(sources.refs[i]);
    while (cursor.next()) result = setRemove(loose, result, cursor.b, cursor.start, cursor.end);
  }
  return result;
}

/** Replies a set without key and frees it. */
function replyAndFree(c: Call, result: number): void {
  c.out.set(setLength(result));
  replyMembers(c.out, result);
  freeLoose(result);
}

function sunion(c: Call): void {
  if (!lookUp(c, 1, c.argc - 1)) return;
  const result = union(c);
  if (result !== 0) replyAndFree(c, result);
}

function sunionstore(c: Call): void {
  if (!lookUp(c, 2, c.argc - 2)) return;
  const result = union(c);
  if (result !== 0) store(c, result, "sunionstore");
}

function sdiff(c: Call): void {
  if (!lookUp(c, 1, c.argc - 1)) return;
  const result = difference(c);
  if (result !== 0) replyAndFree(c, result);
}

function sdiffstore(c: Call): void {
  if (!lookUp(c, 2, c.argc - 2)) return;
  const result = difference(c);
  if (result !== 0) store(c, result, "sdiffstore");
}

// ----------------------------------------------------------------------------------------------------------------------- storing

/** -OOM for an unfinished result. */
function giveUp(c: Call, result: number): void {
  freeLoose(result);
  c.out.error(ERR.oom);
}

/** Makes a set without key the value of argument 1, whatever was there; an empty one deletes the key. */
function store(c: Call, result: number, event: string): void {
  const size = setLength(result);
  if (size === 0) {
    freeLoose(result);
    return storeNothing(c);
  }
  const ks = keyspaceOf(c);
  const old = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  const encoding = encodingOf(result);
  const length = valueLength(result);
  const ref = old === 0 ? ks.create(c.buf, c.s(1), c.e(1), SET, encoding, length) : ks.replaceValue(old, SET, encoding, length, false);
  if (ref === 0) return giveUp(c, result);
  giveLoose(result, ref);
  c.out.int(size);
  touched(c, 1, NOTIFY_SET, event);
}

function storeNothing(c: Call): void {
  if (keyspaceOf(c).delete(c.buf, c.s(1), c.e(1))) touched(c, 1, NOTIFY_GENERIC, "del");
  c.out.int(0);
}

export const algebraRuns: Record<string, Run> = { sinter, sintercard, sinterstore, sunion, sunionstore, sdiff, sdiffstore };

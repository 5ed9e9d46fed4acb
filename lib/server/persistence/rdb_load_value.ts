/**
 * RDB bytes to values: each becomes an entry without key (store/room.ts: loose), which the caller gives a key. Used by loading and RESTORE.
 *
 *   RdbSource --loadValue(type)--> ref of a loose entry
 *
 * A generator, because a value may come in pieces: it yields whenever the source needs more bytes. Packed encodings are checked (headers always,
 * more where asked to) and taken as they are; old ones, and those beyond today's thresholds, are rebuilt through the types' own functions.
 */
import { copyBlock, free } from "../../store/arena.ts";
import {
  HASH,
  INTSET,
  KEY_HEADER,
  LIST,
  LISTPACK,
  QUICKLIST,
  SET,
  ZSET,
  baseOf,
  copyIn,
  encodingOf,
  typeOf,
  valueLength,
  valueStart,
} from "../../store/entry.ts";
import { hashChanged, hashExpect, hashLength, hashSet, newLooseHash } from "../../store/hash.ts";
import { listAuto, listChanged, listExpect, listLength, listPush, newLooseList, quickListOf } from "../../store/list.ts";
import { newLooseZSet, zsetChanged, zsetExpect, zsetPackIfSmall, zsetSet } from "../../store/zset.ts";
import type { Keyspace } from "../../store/keyspace.ts";
import { elDouble, elEnd, elIsInt, elStart, elWrite, lpFirst, lpLength, lpNext, lpRead, lpValid } from "../../store/packed/listpack.ts";
import { intsetLength, intsetRead, intsetValid, intsetWriteMember } from "../../store/packed/intset.ts";
import { zlListpackBytes, zlToListpack, zlValid } from "../../store/packed/ziplist.ts";
import { zmListpackBytes, zmToListpack, zmValid } from "../../store/packed/zipmap.ts";
import { PACKED_MAX, freeLoose, loose, newLoose } from "../../store/room.ts";
import { encodingFor, newLooseSet, setAdd, setChanged, setExpect, setLength } from "../../store/set.ts";
import { settings } from "../../store/settings.ts";
import * as T from "./rdb_format.ts";
import type { RdbSource } from "./rdb_source.ts";
import { loadStream } from "./rdb_stream.ts";

/** What loadValue gives when there is no value: the source's `failure` says why, memory is out, or the collection is empty. */
export const FAILED = 0;
export const NO_MEMORY = -1;
export const EMPTY_KEY = -2;

/** How closely packed bytes are looked at: what is said of the whole; every element's bounds, too; and that members are different. */
export const HEADERS = 0;
export const BOUNDS = 1;
export const ALL = 2;

/** What packedShape says of packed bytes. */
export const SHAPE_BROKEN = 0;
export const SHAPE_EMPTY = 1;
/** Beyond the thresholds: to be rebuilt. */
export const SHAPE_BIG = 2;
/** May be taken as it is. */
export const SHAPE_FITS = 3;

const text = Buffer.alloc(32);

/** Loads a value of a type other than string. `check`: how closely packed bytes are looked at. */
export function* loadValue(s: RdbSource, type: number, check: number): Generator<void, number> {
  switch (type) {
    case T.T_HASH:
      return yield* loadHash(s);
    case T.T_SET:
      return yield* loadSet(s);
    case T.T_HASH_LISTPACK:
    case T.T_ZSET_LISTPACK:
    case T.T_SET_LISTPACK:
    case T.T_SET_INTSET:
      while (!s.takeString()) {
        if (s.failure !== null) return FAILED;
        yield;
      }
      return packedValue(s, type, s.strB, s.strStart, s.strEnd, check);
    case T.T_HASH_ZIPLIST:
    case T.T_ZSET_ZIPLIST:
    case T.T_HASH_ZIPMAP:
      while (!s.takeString()) {
        if (s.failure !== null) return FAILED;
        yield;
      }
      return oldPacked(s, type);
    case T.T_LIST:
      return yield* loadList(s);
    case T.T_LIST_ZIPLIST:
    case T.T_LIST_QUICKLIST:
    case T.T_LIST_QUICKLIST_2:
      return yield* loadQuicklist(s, type, check);
    case T.T_ZSET:
    case T.T_ZSET_2:
      return yield* loadZSet(s, type);
    case T.T_STREAM_LISTPACKS:
    case T.T_STREAM_LISTPACKS_2:
    case T.T_STREAM_LISTPACKS_3:
      return yield* loadStream(s, type, check);
    case T.T_MODULE_PRE_GA:
      s.fail("Pre-release module format not supported");
      return FAILED;
    case T.T_MODULE_2:
      s.fail("The RDB file contains module data I can't load");
      return FAILED;
    default:
      s.fail(`Unknown RDB encoding type ${type}`);
      return FAILED;
  }
}

/** Gives a loose value the key b[start, end), which must not exist. The entry's ref; 0 when memory is out, and the value is freed. */
export function attachLoose(ks: Keyspace, b: Buffer, start: number, end: number, value: number, expireMs: number): number {
  const length = valueLength(value);
  const ref = ks.create(b, start, end, typeOf(value), encodingOf(value), length, expireMs);
  if (ref === 0) freeLoose(value);
  else {
    copyBlock(value, valueStart(value, KEY_HEADER) - baseOf(value), ref, valueStart(ref, KEY_HEADER) - baseOf(ref), length);
    free(value);
  }
  return ref;
}

// ------------------------------------------------------------------------------------------------------------------ packed bytes

/** Type and encoding of the entry that packed bytes of a type become. */
export function packedHead(type: number): [number, number] {
  if (type === T.T_SET_INTSET) return [SET, INTSET];
  return [type === T.T_HASH_LISTPACK ? HASH : type === T.T_ZSET_LISTPACK ? ZSET : type === T.T_SET_LISTPACK ? SET : LIST, LISTPACK];
}

/** Checks b[start, end) as the packed bytes of a type; sets the source's failure when they are broken. */
export function packedShape(s: RdbSource, type: number, b: Buffer, start: number, end: number, check: number): number {
  const size = end - start;
  if (type === T.T_SET_INTSET) {
    if (!intsetValid(b, start, size, check !== HEADERS)) return broken(s, "Intset integrity check failed.");
    return intsetLength(b, start) > settings.setMaxIntsetEntries || size > PACKED_MAX ? SHAPE_BIG : SHAPE_FITS;
  }
  const name = type === T.T_HASH_LISTPACK ? "Hash" : type === T.T_ZSET_LISTPACK ? "Zset" : "Set";
  if (!lpValid(b, start, size, check !== HEADERS)) return broken(s, `${name} listpack integrity check failed.`);
  const count = lpLength(b, start);
  if (count === 0) return SHAPE_EMPTY;
  const pairs = type !== T.T_SET_LISTPACK;
  if (pairs && (count & 1) !== 0) return broken(s, `${name} listpack integrity check failed.`);
  if (check === ALL && duplicates(b, start, pairs)) return broken(s, `${name} listpack integrity check failed.`);
  const most =
    type === T.T_HASH_LISTPACK
      ? settings.hashMaxListpackEntries
      : type === T.T_ZSET_LISTPACK
        ? settings.zsetMaxListpackEntries
        : settings.setMaxListpackEntries;
  return (pairs ? count >> 1 : count) > most || size > PACKED_MAX ? SHAPE_BIG : SHAPE_FITS;
}

function broken(s: RdbSource, reason: string): number {
  s.fail(reason);
  return SHAPE_BROKEN;
}

/** True when two members (or fields: every other element) of a listpack are the same. */
function duplicates(b: Buffer, lp: number, pairs: boolean): boolean {
  const seen = new Set<string>();
  let n = 0;
  for (let p = lpFirst(b, lp); p >= 0; p = lpNext(b, p)) {
    if (pairs && (n++ & 1) === 1) continue;
    lpRead(b, p);
    const member = elIsInt ? text.toString("latin1", 0, elWrite(b, text, 0)) : b.toString("latin1", elStart, elEnd);
    if (seen.has(member)) return true;
    seen.add(member);
  }
  return false;
}

/** A loose entry from packed bytes. */
export function packedValue(s: RdbSource, type: number, b: Buffer, start: number, end: number, check: number): number {
  switch (packedShape(s, type, b, start, end, check)) {
    case SHAPE_BROKEN:
      return FAILED;
    case SHAPE_EMPTY:
      return EMPTY_KEY;
    case SHAPE_FITS:
      return verbatim(type, b, start, end);
  }
  if (type === T.T_HASH_LISTPACK) return rebuildHash(s, b, start);
  if (type === T.T_SET_INTSET) return rebuildIntset(s, b, start);
  if (type === T.T_SET_LISTPACK) return rebuildSet(s, b, start);
  if (type === T.T_ZSET_LISTPACK) return rebuildZSet(s, b, start);
  return verbatim(type, b, start, end);
}

/** A loose entry with these bytes as its value. */
function verbatim(type: number, b: Buffer, start: number, end: number): number {
  const [valueType, encoding] = packedHead(type);
  const ref = newLoose(valueType, encoding, end - start);
  if (ref === 0) return NO_MEMORY;
  copyIn(ref >>> 23, valueStart(ref, KEY_HEADER), b, start, end - start);
  return ref;
}

/** Ziplists and zipmaps become listpacks first. They are checked to the last byte always: nothing else makes their walk safe. */
function oldPacked(s: RdbSource, type: number): number {
  const { strB: b, strStart: start, strEnd: end } = s;
  const zipmap = type === T.T_HASH_ZIPMAP;
  if (zipmap ? !zmValid(b, start, end - start, true) : !zlValid(b, start, end - start, true)) {
    s.fail(zipmap ? "Zipmap integrity check failed." : `${type === T.T_ZSET_ZIPLIST ? "Zset" : "Hash"} ziplist integrity check failed.`);
    return FAILED;
  }
  const out = Buffer.allocUnsafe(zipmap ? zmListpackBytes(b, start) : zlListpackBytes(b, start));
  const bytes = zipmap ? zmToListpack(b, start, out, 0) : zlToListpack(b, start, out, 0);
  if (zipmap && longestElement(out, 0) > settings.hashMaxListpackValue) return rebuildHash(s, out, 0);
  return packedValue(s, type === T.T_ZSET_ZIPLIST ? T.T_ZSET_LISTPACK : T.T_HASH_LISTPACK, out, 0, bytes, ALL);
}

function longestElement(b: Buffer, lp: number): number {
  let most = 0;
  for (let p = lpFirst(b, lp); p >= 0; p = lpNext(b, p)) {
    lpRead(b, p);
    if (!elIsInt && elEnd - elStart > most) most = elEnd - elStart;
  }
  return most;
}

// ------------------------------------------------------------------------------------------------------------------------ hashes

function rebuildHash(s: RdbSource, b: Buffer, lp: number): number {
  let ref = newLooseHash();
  if (ref === 0) return NO_MEMORY;
  ref = hashExpect(loose, ref, lpLength(b, lp) >> 1);
  const value = Buffer.alloc(32);
  for (let p = lpFirst(b, lp); p >= 0 && hashChanged >= 0;) {
    const at = lpRead(b, p);
    const field = elIsInt ? text : b;
    const fs = elIsInt ? 0 : elStart;
    const fe = elIsInt ? elWrite(b, text, 0) : elEnd;
    p = lpNext(b, at);
    lpRead(b, at);
    if (elIsInt) ref = hashSet(loose, ref, field, fs, fe, value, 0, elWrite(b, value, 0));
    else ref = hashSet(loose, ref, field, fs, fe, b, elStart, elEnd);
    if (hashChanged === 0) return discard(s, ref, "Hash listpack with dup elements");
  }
  return hashChanged < 0 ? outOfMemory(ref) : ref;
}

function* loadHash(s: RdbSource): Generator<void, number> {
  while (!s.takeLength()) {
    if (s.failure !== null) return FAILED;
    yield;
  }
  const count = s.value;
  if (count === 0) return EMPTY_KEY;
  let ref = newLooseHash();
  if (ref === 0) return NO_MEMORY;
  // The count is not proof that so many follow: tables grow with what really comes.
  ref = hashExpect(loose, ref, Math.min(count, EXPECT_MAX));
  let field = Buffer.allocUnsafe(256);
  for (let i = 0; i < count; i++) {
    while (!s.takeString()) {
      if (s.failure !== null) return discard(s, ref);
      yield;
    }
    const length = s.strEnd - s.strStart;
    if (length > field.length) field = Buffer.allocUnsafe(length * 2);
    s.strB.copy(field, 0, s.strStart, s.strEnd);
    while (!s.takeString()) {
      if (s.failure !== null) return discard(s, ref);
      yield;
    }
    ref = hashSet(loose, ref, field, 0, length, s.strB, s.strStart, s.strEnd);
    if (hashChanged <= 0) return hashChanged < 0 ? outOfMemory(ref) : discard(s, ref, "Duplicate hash fields detected");
  }
  return hashLength(ref) === 0 ? EMPTY_KEY : ref;
}

// -------------------------------------------------------------------------------------------------------------------------- sets

function rebuildSet(s: RdbSource, b: Buffer, lp: number): number {
  let ref = newLooseSet(LISTPACK);
  if (ref === 0) return NO_MEMORY;
  ref = setExpect(loose, ref, lpLength(b, lp));
  for (let p = lpFirst(b, lp); p >= 0 && setChanged >= 0;) {
    const next = lpNext(b, p);
    lpRead(b, p);
    ref = elIsInt ? setAdd(loose, ref, text, 0, elWrite(b, text, 0)) : setAdd(loose, ref, b, elStart, elEnd);
    if (setChanged === 0) return discard(s, ref, "Duplicate set members detected");
    p = next;
  }
  return setChanged < 0 ? outOfMemory(ref) : ref;
}

function rebuildIntset(s: RdbSource, b: Buffer, at: number): number {
  const count = intsetLength(b, at);
  let ref = newLooseSet(LISTPACK);
  if (ref === 0) return NO_MEMORY;
  ref = setExpect(loose, ref, count);
  for (let i = 0; i < count && setChanged >= 0; i++) {
    intsetRead(b, at, i);
    ref = setAdd(loose, ref, text, 0, intsetWriteMember(text, 0));
    if (setChanged === 0) return discard(s, ref, "Duplicate set members detected");
  }
  return setChanged < 0 ? outOfMemory(ref) : ref;
}

function* loadSet(s: RdbSource): Generator<void, number> {
  while (!s.takeLength()) {
    if (s.failure !== null) return FAILED;
    yield;
  }
  const count = s.value;
  if (count === 0) return EMPTY_KEY;
  let ref = 0;
  for (let i = 0; i < count; i++) {
    while (!s.takeString()) {
      if (s.failure !== null) return discard(s, ref);
      yield;
    }
    if (ref === 0) {
      const encoding = encodingFor(s.strB, s.strStart, s.strEnd, count);
      ref = newLooseSet(encoding === INTSET ? INTSET : LISTPACK);
      if (ref === 0) return NO_MEMORY;
      ref = setExpect(loose, ref, Math.min(count, EXPECT_MAX));
    }
    ref = setAdd(loose, ref, s.strB, s.strStart, s.strEnd);
    if (setChanged <= 0) return setChanged < 0 ? outOfMemory(ref) : discard(s, ref, "Duplicate set members detected");
  }
  return setLength(ref) === 0 ? EMPTY_KEY : ref;
}

// ------------------------------------------------------------------------------------------------------------------------- lists

/** Takes a length; false when the source failed. */
function* needLength(s: RdbSource): Generator<void, boolean> {
  while (!s.takeLength()) {
    if (s.failure !== null) return false;
    yield;
  }
  return true;
}
function* needString(s: RdbSource): Generator<void, boolean> {
  while (!s.takeString()) {
    if (s.failure !== null) return false;
    yield;
  }
  return true;
}

/** Adds one element at the tail of a list in the making; the ref, listChanged -1 when memory is out. */
function pushLoose(ref: number, b: Buffer, start: number, end: number): number {
  ref = listExpect(loose, ref, end - start, 1);
  return listChanged < 0 ? ref : listPush(loose, ref, b, start, end, true);
}

/** Element by element: the oldest form. */
function* loadList(s: RdbSource): Generator<void, number> {
  if (!(yield* needLength(s))) return FAILED;
  const count = s.value;
  if (count === 0) return EMPTY_KEY;
  let ref = newLooseList();
  if (ref === 0) return NO_MEMORY;
  for (let i = 0; i < count; i++) {
    if (!(yield* needString(s))) return discard(s, ref);
    ref = pushLoose(ref, s.strB, s.strStart, s.strEnd);
    if (listChanged < 0) return outOfMemory(ref);
  }
  return listAuto(loose, ref);
}

/** Adds all elements of the listpack b[start, end) to a list in the making: whole as a node while the list is big. */
function addListpack(ref: number, b: Buffer, start: number): number {
  if (encodingOf(ref) === QUICKLIST) {
    if (!quickListOf(ref).addListpack(b, start)) return -1;
    return ref;
  }
  for (let p = lpFirst(b, start); p >= 0; p = lpNext(b, p)) {
    lpRead(b, p);
    ref = elIsInt ? pushLoose(ref, text, 0, elWrite(b, text, 0)) : pushLoose(ref, b, elStart, elEnd);
    if (listChanged < 0) return -1;
  }
  return ref;
}

/** Nodes: listpacks and single elements (T_LIST_QUICKLIST_2), or ziplists (T_LIST_QUICKLIST, T_LIST_ZIPLIST is one of them). */
function* loadQuicklist(s: RdbSource, type: number, check: number): Generator<void, number> {
  let nodes = 1;
  if (type !== T.T_LIST_ZIPLIST) {
    if (!(yield* needLength(s))) return FAILED;
    nodes = s.value;
    if (nodes === 0) return EMPTY_KEY;
  }
  let ref = newLooseList();
  if (ref === 0) return NO_MEMORY;
  if (nodes > 1) ref = listExpect(loose, ref, Infinity, 1);
  if (nodes > 1 && listChanged < 0) return outOfMemory(ref);
  for (let i = 0; i < nodes; i++) {
    let container: number = T.NODE_PACKED;
    if (type === T.T_LIST_QUICKLIST_2) {
      if (!(yield* needLength(s))) return discard(s, ref);
      container = s.value;
      if (container !== T.NODE_PACKED && container !== T.NODE_PLAIN) return discard(s, ref, "Quicklist integrity check failed.");
    }
    if (!(yield* needString(s))) return discard(s, ref);
    const size = s.strEnd - s.strStart;
    if (size === 0) return discard(s, ref, "Quicklist integrity check failed.");
    let next: number;
    if (container === T.NODE_PLAIN) {
      next = pushLoose(ref, s.strB, s.strStart, s.strEnd);
      if (listChanged < 0) next = -1;
    } else if (type === T.T_LIST_QUICKLIST_2) {
      if (!lpValid(s.strB, s.strStart, size, check !== HEADERS)) return discard(s, ref, "Listpack integrity check failed.");
      // An empty node is skipped, as Redis skips it.
      next = lpFirst(s.strB, s.strStart) < 0 ? ref : addListpack(ref, s.strB, s.strStart);
    } else {
      if (!zlValid(s.strB, s.strStart, size, true)) return discard(s, ref, "Ziplist integrity check failed.");
      const bytes = zlListpackBytes(s.strB, s.strStart);
      const out: Buffer = Buffer.allocUnsafeSlow(bytes);
      zlToListpack(s.strB, s.strStart, out, 0);
      next = lpFirst(out, 0) < 0 ? ref : addListpack(ref, out, 0);
    }
    if (next === -1) return outOfMemory(ref);
    ref = next;
  }
  if (listLength(ref) === 0) {
    freeLoose(ref);
    return EMPTY_KEY;
  }
  return listAuto(loose, ref);
}

// ------------------------------------------------------------------------------------------------------------------- sorted sets

/** Members with their scores: binary doubles (T_ZSET_2) or text (T_ZSET). */
function* loadZSet(s: RdbSource, type: number): Generator<void, number> {
  if (!(yield* needLength(s))) return FAILED;
  const count = s.value;
  if (count === 0) return EMPTY_KEY;
  let ref = newLooseZSet();
  if (ref === 0) return NO_MEMORY;
  ref = zsetExpect(loose, ref, Math.min(count, EXPECT_MAX), 0);
  let longest = 0;
  let member = Buffer.allocUnsafe(256);
  for (let i = 0; i < count; i++) {
    if (!(yield* needString(s))) return discard(s, ref);
    const length = s.strEnd - s.strStart;
    if (length > member.length) member = Buffer.allocUnsafe(length * 2);
    s.strB.copy(member, 0, s.strStart, s.strEnd);
    if (length > longest) longest = length;
    while (!(type === T.T_ZSET_2 ? s.takeDouble() : s.takeTextDouble())) {
      if (s.failure !== null) return discard(s, ref);
      yield;
    }
    if (s.double !== s.double) return discard(s, ref, "Zset with NAN score detected");
    ref = zsetSet(loose, ref, s.double, member, 0, length);
    if (zsetChanged !== 1) return zsetChanged < 0 ? outOfMemory(ref) : discard(s, ref, "Duplicate zset fields detected");
  }
  return zsetPackIfSmall(ref, longest);
}

/** A sorted set in packed bytes beyond the thresholds. */
function rebuildZSet(s: RdbSource, b: Buffer, lp: number): number {
  let ref = newLooseZSet();
  if (ref === 0) return NO_MEMORY;
  ref = zsetExpect(loose, ref, lpLength(b, lp) >> 1, 0);
  for (let p = lpFirst(b, lp); p >= 0;) {
    const at = lpNext(b, p);
    if (at < 0) return discard(s, ref, "Zset integrity check failed.");
    lpRead(b, at);
    const score = elDouble(b);
    lpRead(b, p);
    ref = elIsInt ? zsetSet(loose, ref, score, text, 0, elWrite(b, text, 0)) : zsetSet(loose, ref, score, b, elStart, elEnd);
    if (zsetChanged !== 1) return zsetChanged < 0 ? outOfMemory(ref) : discard(s, ref, "Duplicate zset fields detected");
    p = lpNext(b, at);
  }
  return ref;
}

// ------------------------------------------------------------------------------------------------------------------------ shared

/** Most elements for which tables are made in advance. */
const EXPECT_MAX = 1 << 20;

function discard(s: RdbSource, ref: number, reason?: string): number {
  if (ref !== 0) freeLoose(ref);
  if (reason !== undefined) s.fail(reason);
  return FAILED;
}

function outOfMemory(ref: number): number {
  freeLoose(ref);
  return NO_MEMORY;
}

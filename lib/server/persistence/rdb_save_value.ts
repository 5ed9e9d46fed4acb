/**
 * Values to RDB bytes, by type and version. HOT while saving.
 *
 *   valueType(type, encoding, version) ---> the type byte
 *   saveValue(w, ref, type)   a value as it is now, at once: small ones, DUMP
 *   saveFrozen(w, value, type)  a big value as it was at the cut (store/frozen_value.ts), in slices: a generator
 *
 * Version 10 has no listpack sets, version 9 no listpacks at all: such values are written element by element in the oldest plain types, which
 * every reader knows and packs again by its own thresholds.
 */
import { m8 } from "../../store/arena.ts";
import {
  HASH,
  HASHTABLE,
  INTSET,
  KEY_HEADER,
  LISTPACK,
  LIST,
  QUICKLIST,
  SET,
  STREAM,
  STRING,
  ZSET,
  encodingOf,
  valueLength,
  valueStart,
} from "../../store/entry.ts";
import { HashCursor, gotB as hashB, gotEnd as hashEnd, gotStart as hashStart, hashLength } from "../../store/hash.ts";
import { ListCursor, listLength, quickListOf } from "../../store/list.ts";
import { FrozenHashCursor, FrozenSetCursor, FrozenZSetCursor, type FrozenValue } from "../../store/frozen_value.ts";
import { type FrozenList, FrozenListCursor } from "../../store/frozen_list.ts";
import type { FrozenString } from "../../store/frozen_string.ts";
import { streamOf } from "../../store/stream.ts";
import { SetCursor, setLength } from "../../store/set.ts";
import { ZSetCursor, zsetLength } from "../../store/zset.ts";
import { region, valueBuffer, valueFrom, valueTo } from "../../store/string.ts";
import {
  NODE_PACKED,
  NODE_PLAIN,
  T_HASH,
  T_HASH_LISTPACK,
  T_LIST,
  T_LIST_QUICKLIST_2,
  T_SET,
  T_SET_INTSET,
  T_SET_LISTPACK,
  T_STREAM_LISTPACKS,
  T_STREAM_LISTPACKS_2,
  T_STREAM_LISTPACKS_3,
  T_STRING,
  T_ZSET_2,
  T_ZSET_LISTPACK,
} from "./rdb_format.ts";
import { saveStream, streamType } from "./rdb_stream.ts";
import type { RdbWriter } from "./rdb_writer.ts";

/** Elements of a big collection between two looks at the clock. */
const ELEMENTS_A_STEP = 64;
const NODES_A_STEP = 8;
/** Parts of a long string between two looks at the clock. */
export const PARTS_A_STEP = 4;

/** Longer strings are written in parts, with a look at the clock between two. Nobody compresses them (rdb_writer.ts). */
const LONG_STRING = 256 * 1024;
/** What walks of values that do not change never are. */
export const NEVER = { paused: false };

/** The type byte for a value of this type and encoding in a file of this version. */
export function valueType(type: number, encoding: number, version: number): number {
  switch (type) {
    case STRING:
      return T_STRING;
    case HASH:
      return encoding === LISTPACK && version >= 10 ? T_HASH_LISTPACK : T_HASH;
    case SET:
      return encoding === INTSET ? T_SET_INTSET : encoding === LISTPACK && version >= 11 ? T_SET_LISTPACK : T_SET;
    case LIST:
      return version >= 10 ? T_LIST_QUICKLIST_2 : T_LIST;
    case ZSET:
      return encoding === LISTPACK && version >= 10 ? T_ZSET_LISTPACK : T_ZSET_2;
    case STREAM:
      return streamType(version);
    default:
      throw new Error(`no RDB type for an entry of type ${type}`);
  }
}

/** Writes a value as it is now. */
export function saveValue(w: RdbWriter, ref: number, type: number): void {
  switch (type) {
    case T_STRING:
      region(ref);
      return w.string(valueBuffer, valueFrom, valueTo);
    case T_LIST_QUICKLIST_2:
      if (encodingOf(ref) === QUICKLIST) break;
      w.length(1);
      w.length(NODE_PACKED);
      return savePacked(w, ref);
    case T_LIST:
      if (encodingOf(ref) === QUICKLIST) break;
      return saveShortList(w, ref);
    case T_HASH_LISTPACK:
    case T_ZSET_LISTPACK:
    case T_SET_LISTPACK:
    case T_SET_INTSET:
      return savePacked(w, ref);
  }
  for (const all = saveElements(w, ref, type); !all.next().done;);
}

function savePacked(w: RdbWriter, ref: number): void {
  const start = valueStart(ref, KEY_HEADER);
  w.string(m8[ref >>> 23], start, start + valueLength(ref));
}

function saveElements(w: RdbWriter, ref: number, type: number): Generator<void, void> {
  switch (type) {
    case T_HASH: {
      const cursor = new HashCursor();
      cursor.begin(ref);
      return saveHash(w, hashLength(ref), cursor, NEVER);
    }
    case T_SET: {
      const cursor = new SetCursor();
      cursor.begin(ref);
      return saveSet(w, setLength(ref), cursor, NEVER);
    }
    case T_ZSET_2: {
      const size = zsetLength(ref);
      const cursor = new ZSetCursor();
      return saveZSet(w, size, cursor, cursor.begin(ref, size - 1, true), NEVER);
    }
    case T_LIST:
      return saveList(w, quickListOf(ref).view());
    case T_LIST_QUICKLIST_2:
      return saveNodes(w, quickListOf(ref).view());
    case T_STREAM_LISTPACKS:
    case T_STREAM_LISTPACKS_2:
    case T_STREAM_LISTPACKS_3:
      return saveStream(w, streamOf(ref).view(), type);
    default:
      throw new Error(`no way to save type ${type}, encoding ${encodingOf(ref)} ${HASHTABLE}`);
  }
}

/** Writes a frozen value; yields now and then. */
export function saveFrozen(w: RdbWriter, v: FrozenValue, type: number): Generator<void, void> {
  switch (v.type) {
    case STRING:
      return saveLongString(w, v.part);
    case HASH:
      return saveHash(w, v.part.count, new FrozenHashCursor(v.part, v.object), v.part);
    case SET:
      return saveSet(w, v.part.count, new FrozenSetCursor(v.part), v.part);
    case ZSET: {
      const cursor = new FrozenZSetCursor(v.part);
      return saveZSet(w, v.part.count, cursor, cursor.next(), v.part);
    }
    case LIST:
      return type === T_LIST ? saveList(w, v.part) : saveNodes(w, v.part);
    case STREAM:
      return saveStream(w, v.part, type);
  }
}

/** A value that was written must have had as many elements as it said: a file that lies is worse than none. */
export function mustBe(size: number, written: number): void {
  if (written !== size) throw new Error(`${written} elements were written of a collection of ${size}`);
}

function* saveLongString(w: RdbWriter, s: FrozenString): Generator<void, void> {
  w.length(s.length);
  for (let n = 1; s.next(); n++) {
    w.raw(s.b, s.start, s.end);
    if (n % PARTS_A_STEP === 0) yield;
  }
}

/** A string that stays as it is until it is written, however long it is. */
function* saveLong(w: RdbWriter, b: Buffer, start: number, end: number): Generator<void, void> {
  w.length(end - start);
  for (let at = start; at < end; at += LONG_STRING) {
    w.raw(b, at, Math.min(end, at + LONG_STRING));
    yield;
  }
}

function* saveHash(w: RdbWriter, size: number, cursor: HashCursor, walk: { readonly paused: boolean }): Generator<void, void> {
  w.length(size);
  let n = 0;
  for (;;) {
    if (!cursor.next()) {
      if (!walk.paused) break;
      yield;
      continue;
    }
    w.string(cursor.b, cursor.start, cursor.end);
    cursor.value();
    if (hashEnd - hashStart > LONG_STRING) yield* saveLong(w, hashB, hashStart, hashEnd);
    else w.string(hashB, hashStart, hashEnd);
    if (++n % ELEMENTS_A_STEP === 0) yield;
  }
  mustBe(size, n);
}

function* saveSet(w: RdbWriter, size: number, cursor: SetCursor, walk: { readonly paused: boolean }): Generator<void, void> {
  w.length(size);
  let n = 0;
  for (;;) {
    if (!cursor.next()) {
      if (!walk.paused) break;
      yield;
      continue;
    }
    w.string(cursor.b, cursor.start, cursor.end);
    if (++n % ELEMENTS_A_STEP === 0) yield;
  }
  mustBe(size, n);
}

/** From the highest score down where it can be, so that a reader that inserts at the head is quick (Redis does the same). */
function* saveZSet(
  w: RdbWriter,
  size: number,
  cursor: ZSetCursor,
  first: boolean,
  walk: { readonly paused: boolean },
): Generator<void, void> {
  w.length(size);
  let n = 0;
  for (let more = first; more || walk.paused; more = cursor.next()) {
    if (!more) {
      yield;
      continue;
    }
    w.string(cursor.b, cursor.start, cursor.end);
    w.double(cursor.score);
    if (++n % ELEMENTS_A_STEP === 0) yield;
  }
  mustBe(size, n);
}

function* saveList(w: RdbWriter, list: FrozenList): Generator<void, void> {
  w.length(list.count);
  let n = 0;
  for (const cursor = new FrozenListCursor(list); cursor.next();) {
    n++;
    if (cursor.end - cursor.start > LONG_STRING) yield* saveLong(w, cursor.b, cursor.start, cursor.end);
    else w.string(cursor.b, cursor.start, cursor.end);
    if (cursor.edge) yield;
  }
  mustBe(list.count, n);
}

function saveShortList(w: RdbWriter, ref: number): void {
  w.length(listLength(ref));
  const cursor = new ListCursor();
  for (let more = cursor.begin(ref, 0, false); more; more = cursor.next()) w.string(cursor.b, cursor.start, cursor.end);
}

/** The nodes of a quicklist as they lie in memory. */
function* saveNodes(w: RdbWriter, list: FrozenList): Generator<void, void> {
  w.length(list.nodes);
  let n = 0;
  while (list.nextNode()) {
    w.length(list.plain ? NODE_PLAIN : NODE_PACKED);
    if (list.plain && list.end - list.start > LONG_STRING) yield* saveLong(w, list.b, list.start, list.end);
    else w.string(list.b, list.start, list.end);
    if (++n % NODES_A_STEP === 0) yield;
  }
  mustBe(list.nodes, n);
}

/**
 * Values to RDB bytes, by type and version. HOT while saving.
 *
 *   valueType(ref, version) ---> the type byte
 *   saveValue(w, ref, version) -> false: all written (strings and packed collections, which are copied as they lie in the entry)
 *                                 true: the collection is big; saveBig() goes through its elements, stopping when asked to
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
  SET,
  STREAM,
  STRING,
  ZSET,
  encodingOf,
  typeOf,
  valueLength,
  valueStart,
} from "../../store/entry.ts";
import { HashCursor, gotB as hashB, gotEnd as hashEnd, gotStart as hashStart, hashLength } from "../../store/hash.ts";
import { ListCursor, listLength, quickListOf } from "../../store/list.ts";
import {
  bodyOf,
  gotB as nodeB,
  gotEnd as nodeEnd,
  gotStart as nodeStart,
  isPlain,
  nextOf,
  packBytes,
  readElement,
} from "../../store/quicklist.ts";
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

/** The type byte for an entry's value in a file of this version. */
export function valueType(ref: number, version: number): number {
  const encoding = encodingOf(ref);
  switch (typeOf(ref)) {
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
      throw new Error(`no RDB type for an entry of type ${typeOf(ref)}`);
  }
}

/** Writes a value if that takes no time to speak of; true when it is one for saveBig. */
export function saveValue(w: RdbWriter, ref: number, type: number): boolean {
  switch (type) {
    case T_STRING:
      region(ref);
      w.string(valueBuffer, valueFrom, valueTo);
      return false;
    case T_LIST_QUICKLIST_2:
      if (encodingOf(ref) !== LISTPACK) return true;
      w.length(1);
      w.length(NODE_PACKED);
      break;
    case T_HASH_LISTPACK:
    case T_ZSET_LISTPACK:
    case T_SET_LISTPACK:
    case T_SET_INTSET:
      break;
    default:
      return true;
  }
  const start = valueStart(ref, KEY_HEADER);
  w.string(m8[ref >>> 23], start, start + valueLength(ref));
  return false;
}

/** Writes a collection element by element; yields now and then, and goes on where it was. The collection must not change meanwhile. */
export function* saveBig(w: RdbWriter, ref: number, type: number): Generator<void, void> {
  if (type === T_HASH) yield* saveHash(w, ref);
  else if (type === T_SET) yield* saveSet(w, ref);
  else if (type === T_ZSET_2) yield* saveZSet(w, ref);
  else if (type === T_LIST) yield* saveList(w, ref);
  else if (type === T_LIST_QUICKLIST_2) yield* saveNodes(w, ref);
  else if (type === T_STREAM_LISTPACKS || type === T_STREAM_LISTPACKS_2 || type === T_STREAM_LISTPACKS_3) yield* saveStream(w, ref, type);
  else throw new Error(`no way to save type ${type}, encoding ${encodingOf(ref)} ${HASHTABLE}`);
}

function* saveHash(w: RdbWriter, ref: number): Generator<void, void> {
  w.length(hashLength(ref));
  const cursor = new HashCursor();
  cursor.begin(ref);
  for (let n = 1; cursor.next(); n++) {
    w.string(cursor.b, cursor.start, cursor.end);
    cursor.value();
    w.string(hashB, hashStart, hashEnd);
    if (n % ELEMENTS_A_STEP === 0) yield;
  }
}

function* saveSet(w: RdbWriter, ref: number): Generator<void, void> {
  w.length(setLength(ref));
  const cursor = new SetCursor();
  cursor.begin(ref);
  for (let n = 1; cursor.next(); n++) {
    w.string(cursor.b, cursor.start, cursor.end);
    if (n % ELEMENTS_A_STEP === 0) yield;
  }
}

/** From the highest score down, so that a reader that inserts at the head is quick (Redis does the same). */
function* saveZSet(w: RdbWriter, ref: number): Generator<void, void> {
  const size = zsetLength(ref);
  w.length(size);
  const cursor = new ZSetCursor();
  let n = 1;
  for (let more = cursor.begin(ref, size - 1, true); more; more = cursor.next(), n++) {
    w.string(cursor.b, cursor.start, cursor.end);
    w.double(cursor.score);
    if (n % ELEMENTS_A_STEP === 0) yield;
  }
}

function* saveList(w: RdbWriter, ref: number): Generator<void, void> {
  w.length(listLength(ref));
  const cursor = new ListCursor();
  let n = 1;
  for (let more = cursor.begin(ref, 0, false); more; more = cursor.next(), n++) {
    w.string(cursor.b, cursor.start, cursor.end);
    if (n % ELEMENTS_A_STEP === 0) yield;
  }
}

/** The nodes of a quicklist as they lie in memory. */
function* saveNodes(w: RdbWriter, ref: number): Generator<void, void> {
  const list = quickListOf(ref);
  w.length(list.nodes);
  let n = 1;
  for (let node = list.head; node !== 0; node = nextOf(node), n++) {
    w.length(isPlain(node) ? NODE_PLAIN : NODE_PACKED);
    if (isPlain(node)) {
      readElement(node, 0);
      w.string(nodeB, nodeStart, nodeEnd);
    } else {
      const at = bodyOf(node);
      w.string(m8[node >>> 23], at, at + packBytes(node));
    }
    if (n % NODES_A_STEP === 0) yield;
  }
}

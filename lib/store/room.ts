/**
 * Room for packed values: a listpack or intset grows and shrinks inside the entry of its key. HOT.
 *
 * The edits of hash.ts and set.ts take an Owner, who can give an entry another block:
 *
 *   a Keyspace     the entry belongs to a key, and the tables that point at it are told
 *   `loose`        the entry belongs to nobody yet: a result in the making (SUNIONSTORE), stored or freed at the end
 *
 * so that both kinds run through the same code. An edit may move the entry; each returns the ref to go on with.
 */
import { HUGE_MIN, alloc, copyBlock, free, realloc, roundUp, usableBytes } from "./arena.ts";
import {
  KEY_HEADER,
  LISTPACK,
  baseOf,
  capacityOf,
  encodingOf,
  entryBytes,
  headBits,
  setEncoding,
  setValueLength,
  setValueWord,
  valueLength,
  valueStart,
  valueWord,
  writeHead,
} from "./entry.ts";
import { type BigObject, addObject, freeObject, takeObject } from "./objects.ts";

/** Who can resize an entry's value. Keyspace.resizeValue has the meaning. */
export interface Owner {
  resizeValue(ref: number, length: number, reserve?: number): number;
}

/** A packed value does not grow beyond this: a collection that would becomes a big one, whatever the thresholds say. */
export const PACKED_MAX = 32 * HUGE_MIN;
/** A growing value takes an eighth more than it needs, so that it moves seldom. */
const GROW_SHIFT = 3;
/** A shrinking value stays while it wastes at most this share of its block: usable >> this (Keyspace.resizeValue has the same rule). */
const SHRINK_SHIFT = 2;
/** Up to here a value is that of an emptied collection, which is about to go: it stays where it is. */
const EMPTY_BYTES = 8;

/** Entries of no key. Their blocks are the caller's: giveLoose moves the value to a key, freeLoose drops it. */
export const loose: Owner = {
  resizeValue(ref: number, length: number, reserve = 0): number {
    const head = valueStart(ref, KEY_HEADER) - baseOf(ref);
    const old = valueLength(ref);
    const usable = usableBytes(ref);
    if (head + length <= usable && usable - roundUp(head + length + reserve) <= usable >> SHRINK_SHIFT) {
      setValueLength(ref, length);
      return ref;
    }
    const to = realloc(ref, head + length + reserve, head + (old < length ? old : length));
    if (to !== 0) setValueLength(to, length);
    return to;
  },
};

/** A new entry without key, with room for `length` bytes of value: its ref, 0 when memory is out. */
export function newLoose(type: number, encoding: number, length: number): number {
  const ref = alloc(entryBytes(KEY_HEADER, 0, 0, length));
  if (ref !== 0) writeHead(ref, KEY_HEADER, headBits(type, encoding), 0, length);
  return ref;
}

/** Frees an entry without key and the collection it may hold. */
export function freeLoose(ref: number): void {
  if (encodingOf(ref) > LISTPACK + 1) freeObject(takeObject(valueWord(ref, KEY_HEADER, 0)));
  free(ref);
}

/** Makes the entry's value `length` bytes (longer than it is), keeping what it has: the ref, maybe a new one; 0 when memory is out. */
export function grow(owner: Owner, ref: number, length: number): number {
  if (length > capacityOf(ref, KEY_HEADER)) return owner.resizeValue(ref, length, length >> GROW_SHIFT);
  setValueLength(ref, length);
  return ref;
}

/** Makes the entry's value `length` bytes, not longer than it is. Always succeeds; a much smaller value moves to a smaller block. */
export function shrink(owner: Owner, ref: number, length: number): number {
  const to = length <= EMPTY_BYTES ? 0 : owner.resizeValue(ref, length, length >> GROW_SHIFT);
  if (to !== 0) return to;
  setValueLength(ref, length); // also when there is no memory for a smaller block: the large one will do
  return ref;
}

/** Makes the entry's value the collection `object` in place of the packed bytes it had: the ref, maybe a new one; 0 when memory is out. */
export function becomeBig(owner: Owner, ref: number, encoding: number, object: BigObject): number {
  const length = valueLength(ref);
  let to = length < 4 ? grow(owner, ref, 4) : owner.resizeValue(ref, 4);
  if (to === 0) {
    if (length < 4) return 0;
    to = ref; // no memory for a smaller block: the large one will do
    setValueLength(ref, 4);
  }
  setEncoding(to, encoding);
  setValueWord(to, KEY_HEADER, 0, addObject(object));
  return to;
}

/** Moves the value of an entry without key into another entry, which has its type, encoding and length; the first one is freed. */
export function giveLoose(from: number, to: number): void {
  copyBlock(from, valueStart(from, KEY_HEADER) - baseOf(from), to, valueStart(to, KEY_HEADER) - baseOf(to), valueLength(from));
  free(from);
}

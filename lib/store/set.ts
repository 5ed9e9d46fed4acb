/**
 * Sets as values. HOT: bytes and refs, no objects or strings a member.
 *
 *   INTSET      integers only, sorted, inside the key's entry
 *   LISTPACK    a few short members of any kind, inside the key's entry
 *   HASHTABLE   a BigSet (elements.ts); the entry holds its id
 *
 * Functions take the ref of the key's entry and, to edit, its owner (room.ts); an edit returns the ref to go on with and leaves in
 * `setChanged` what it did. Members are bytes everywhere: a cursor gives the text of an integer in a buffer of its own.
 *
 * Encodings change as in Redis 7.2 t_set.c: an intset that meets other text becomes a listpack if that is small enough, else a table; never
 * back, except that a stored result (SINTERSTORE) and what a large SPOP leaves begin anew. An emptied set is the caller's to delete.
 * Leaves out replies and commands.
 */
import { m8 } from "./arena.ts";
import { RefList } from "./dict.ts";
import { BigSet } from "./elements.ts";
import {
  ELEMENT_HEADER,
  HASHTABLE,
  INTSET,
  KEY_HEADER,
  LISTPACK,
  SET,
  encodingOf,
  keyLength,
  keyStart,
  setEncoding,
  setValueLength,
  valueLength,
  valueStart,
} from "./entry.ts";
import { freeObject, objectOf } from "./objects.ts";
import {
  INTSET_HEADER,
  intsetBytesWith,
  intsetFind,
  intsetInsert,
  intsetLength,
  intsetNew,
  intsetPrepare,
  intsetPrepareMember,
  intsetRead,
  intsetRemove,
  intsetWriteMember,
  memberHi,
  memberLo,
} from "./packed/intset.ts";
import {
  LP_EMPTY,
  elEnd,
  elIsInt,
  elStart,
  elWrite,
  lpBytes,
  lpFind,
  lpFirst,
  lpLength,
  lpRead,
  lpSeek,
  lpSkip,
} from "./packed/listpack.ts";
import { lpAppend, lpDelete, lpDeleteMany, lpNew, lpPrepare, lpPrepareInt64 } from "./packed/listpack_edit.ts";
import { type Owner, PACKED_MAX, becomeBig, grow, newLoose, shrink } from "./room.ts";
import { hashBytes, randomBelow } from "./seed.ts";
import { isInt64Text } from "../bytes/number.ts";
import { settings } from "./settings.ts";

/** What the last edit did: 1 a member came or went, 0 nothing, -1 memory is out (nothing happened). */
export let setChanged = 0;

/** Members an intset may have at all (Redis: its own limit, whatever set-max-intset-entries says). */
const INTSET_LIMIT = 1 << 30;

/** The big set of an entry whose encoding is HASHTABLE. */
export function bigSetOf(ref: number): BigSet {
  return objectOf(ref) as BigSet;
}

/** Number of members. */
export function setLength(ref: number): number {
  const encoding = encodingOf(ref);
  if (encoding === HASHTABLE) return bigSetOf(ref).count;
  const b = m8[ref >>> 23];
  const at = valueStart(ref, KEY_HEADER);
  return encoding === INTSET ? intsetLength(b, at) : lpLength(b, at);
}

/** True when m[start, end) is a member. */
export function setHas(ref: number, m: Buffer, start: number, end: number): boolean {
  const encoding = encodingOf(ref);
  if (encoding === HASHTABLE) return bigSetOf(ref).find(m, start, end) !== 0;
  const b = m8[ref >>> 23];
  const at = valueStart(ref, KEY_HEADER);
  if (encoding === INTSET) return intsetPrepare(m, start, end) && intsetFind(b, at) >= 0;
  return lpFind(b, lpFirst(b, at), m, start, end, 0) >= 0;
}

// ------------------------------------------------------------------------------------------------------------------------ edits

/** The encoding a new set gets for its first member and the number of members to come (Redis setTypeCreate). */
export function encodingFor(m: Buffer, start: number, end: number, members: number): number {
  if (members <= settings.setMaxIntsetEntries && isInt64Text(m, start, end)) return INTSET;
  return members <= settings.setMaxListpackEntries ? LISTPACK : HASHTABLE;
}

/** Bytes of an empty set of this encoding; a HASHTABLE begins as an empty listpack and is made big by `setExpect`. */
export function emptySetBytes(encoding: number): number {
  return encoding === INTSET ? INTSET_HEADER : LP_EMPTY;
}

/** Writes an empty set as the value of a new entry with the encoding INTSET or LISTPACK, whose block may have room for more. */
export function setInit(ref: number): void {
  const b = m8[ref >>> 23];
  const at = valueStart(ref, KEY_HEADER);
  setValueLength(ref, encodingOf(ref) === INTSET ? intsetNew(b, at) : lpNew(b, at));
}

/** A set without key or members (room.ts: loose), INTSET or LISTPACK: its ref, 0 when memory is out. */
export function newLooseSet(encoding: number): number {
  const ref = newLoose(SET, encoding, emptySetBytes(encoding));
  if (ref !== 0) setInit(ref);
  return ref;
}

/** Makes the set big at once when so many `members` are to be added that it would become so (Redis setTypeMaybeConvert). As setAdd. */
export function setExpect(owner: Owner, ref: number, members: number): number {
  const encoding = encodingOf(ref);
  setChanged = 0;
  if (encoding === HASHTABLE) return ref;
  const max = encoding === INTSET ? settings.setMaxIntsetEntries : settings.setMaxListpackEntries;
  return members > max ? convert(owner, ref, members) : ref;
}

/** Adds m[start, end), which must not lie in this entry. setChanged: 1, 0 when it was there, -1 when memory is out. */
export function setAdd(owner: Owner, ref: number, m: Buffer, start: number, end: number): number {
  const encoding = encodingOf(ref);
  if (encoding === HASHTABLE) {
    setChanged = bigSetOf(ref).add(m, start, end);
    return ref;
  }
  if (encoding === INTSET) return intsetPrepare(m, start, end) ? addInt(owner, ref) : addTextToInts(owner, ref, m, start, end);
  const b = m8[ref >>> 23];
  if (lpFind(b, lpFirst(b, valueStart(ref, KEY_HEADER)), m, start, end, 0) < 0) return append(owner, ref, m, start, end);
  setChanged = 0;
  return ref;
}

/** Adds the integer prepared in intset.ts to an intset. */
function addInt(owner: Owner, ref: number): number {
  const b = m8[ref >>> 23];
  const at = valueStart(ref, KEY_HEADER);
  const i = intsetFind(b, at);
  if (i >= 0) {
    setChanged = 0;
    return ref;
  }
  const to = grow(owner, ref, intsetBytesWith(b, at));
  if (to === 0) {
    setChanged = -1;
    return ref;
  }
  const out = m8[to >>> 23];
  const outAt = valueStart(to, KEY_HEADER);
  intsetInsert(out, outAt, ~i);
  setChanged = 1;
  const members = intsetLength(out, outAt);
  if (members <= settings.setMaxIntsetEntries && members <= INTSET_LIMIT && INTSET_HEADER + members * 8 <= PACKED_MAX) return to;
  const big = convert(owner, to, 0);
  setChanged = 1; // added in any case: without memory for tables it stays an intset
  return big;
}

/** Adds a member that is not there to a listpack, which becomes a table when it is full or the member too long. */
function append(owner: Owner, ref: number, m: Buffer, start: number, end: number): number {
  const b = m8[ref >>> 23];
  const lp = valueStart(ref, KEY_HEADER);
  const total = lpBytes(b, lp) + lpPrepare(m, start, end);
  if (lpLength(b, lp) >= settings.setMaxListpackEntries || end - start > settings.setMaxListpackValue || total > PACKED_MAX)
    return convertAndAdd(owner, ref, m, start, end);
  const to = grow(owner, ref, total);
  if (to === 0) {
    setChanged = -1;
    return ref;
  }
  lpAppend(m8[to >>> 23], valueStart(to, KEY_HEADER));
  setChanged = 1;
  return to;
}

/** Adds text that is no integer to an intset. */
function addTextToInts(owner: Owner, ref: number, m: Buffer, start: number, end: number): number {
  const b = m8[ref >>> 23];
  const at = valueStart(ref, KEY_HEADER);
  const count = intsetLength(b, at);
  const fits =
    count < settings.setMaxListpackEntries &&
    end - start <= settings.setMaxListpackValue &&
    (count === 0 || Math.max(memberLength(b, at, 0), memberLength(b, at, count - 1)) <= settings.setMaxListpackValue);
  if (!fits) return convertAndAdd(owner, ref, m, start, end);
  const to = intsToListpack(owner, ref, lpPrepare(m, start, end));
  return setChanged < 0 ? to : append(owner, to, m, start, end);
}

/** Length of the text of an intset's member. */
function memberLength(b: Buffer, at: number, index: number): number {
  intsetRead(b, at, index);
  return intsetWriteMember(memberText, 0);
}
const memberText = Buffer.alloc(32);

let scratch = Buffer.alloc(2048);

/** Makes a listpack of an intset, with room for `more` bytes. setChanged: 0, -1 when memory is out. */
function intsToListpack(owner: Owner, ref: number, more: number): number {
  const bytes = valueLength(ref);
  if (scratch.length < bytes) scratch = Buffer.alloc(bytes * 2);
  const from = valueStart(ref, KEY_HEADER);
  m8[ref >>> 23].copy(scratch, 0, from, from + bytes);
  const count = intsetLength(scratch, 0);
  let total = LP_EMPTY;
  for (let i = 0; i < count; i++) {
    intsetRead(scratch, 0, i);
    total += lpPrepareInt64(memberHi, memberLo);
  }
  const room = total + more;
  const to = room > bytes ? grow(owner, ref, room) : shrink(owner, ref, room);
  if (to === 0) {
    setChanged = -1;
    return ref;
  }
  setEncoding(to, LISTPACK);
  const b = m8[to >>> 23];
  const lp = valueStart(to, KEY_HEADER);
  lpNew(b, lp);
  for (let i = 0; i < count; i++) {
    intsetRead(scratch, 0, i);
    lpPrepareInt64(memberHi, memberLo);
    lpAppend(b, lp);
  }
  setValueLength(to, total);
  setChanged = 0;
  return to;
}

function convertAndAdd(owner: Owner, ref: number, m: Buffer, start: number, end: number): number {
  const to = convert(owner, ref, 0);
  if (setChanged >= 0) setChanged = bigSetOf(to).add(m, start, end);
  return to;
}

/** Makes a packed set a BigSet with room for at least `expected` members. setChanged: 0, -1 when memory is out. */
function convert(owner: Owner, ref: number, expected: number): number {
  const big = new BigSet(Math.max(expected, setLength(ref) + 1));
  const cursor = converting;
  cursor.begin(ref);
  setChanged = 0;
  while (setChanged === 0 && cursor.next()) if (big.addNew(cursor.b, cursor.start, cursor.end, cursor.hash()) < 0) setChanged = -1;
  const to = setChanged === 0 ? becomeBig(owner, ref, HASHTABLE, big) : 0;
  if (to !== 0) return to;
  freeObject(big, true);
  setChanged = -1;
  return ref;
}

/** Removes m[start, end), which must not lie in this entry. setChanged: 1, or 0 when it is no member. */
export function setRemove(owner: Owner, ref: number, m: Buffer, start: number, end: number): number {
  const encoding = encodingOf(ref);
  if (encoding === HASHTABLE) {
    setChanged = bigSetOf(ref).remove(m, start, end) ? 1 : 0;
    return ref;
  }
  const b = m8[ref >>> 23];
  const at = valueStart(ref, KEY_HEADER);
  setChanged = 0;
  if (encoding === INTSET) {
    const i = intsetPrepare(m, start, end) ? intsetFind(b, at) : -1;
    return i < 0 ? ref : removeAt(owner, ref, i);
  }
  const p = lpFind(b, lpFirst(b, at), m, start, end, 0);
  return p < 0 ? ref : removeAt(owner, ref, p);
}

/** Removes the member at an index of an intset, a position of a listpack, or with this ref of a table. */
function removeAt(owner: Owner, ref: number, place: number): number {
  setChanged = 1;
  const encoding = encodingOf(ref);
  if (encoding === HASHTABLE) {
    bigSetOf(ref).removeRef(place);
    return ref;
  }
  const b = m8[ref >>> 23];
  const at = valueStart(ref, KEY_HEADER);
  return shrink(owner, ref, encoding === INTSET ? intsetRemove(b, at, place) : lpDelete(b, at, place));
}

/** Removes the members at these places (SetCursor.place; of packed sets in ascending order). As setRemove. */
export function setRemovePlaces(owner: Owner, ref: number, places: RefList): number {
  const { refs, count } = places;
  setChanged = count > 0 ? 1 : 0;
  const encoding = encodingOf(ref);
  if (encoding === HASHTABLE) {
    const big = bigSetOf(ref);
    for (let i = 0; i < count; i++) big.removeRef(refs[i]);
    return ref;
  }
  const b = m8[ref >>> 23];
  const at = valueStart(ref, KEY_HEADER);
  if (encoding === LISTPACK) return shrink(owner, ref, lpDeleteMany(b, at, refs, count));
  let bytes = valueLength(ref);
  for (let i = count - 1; i >= 0; i--) bytes = intsetRemove(b, at, refs[i]);
  return shrink(owner, ref, bytes);
}

// ----------------------------------------------------------------------------------------------------------------------- visits

/**
 * A member at hand, b[start, end), and a walk over all members of a set that is not changed meanwhile: `begin(ref)`, then `next()` until
 * false. Reused by its owner; one walk at a time. `place` names the member within its set (removeCurrent, RefList of picks).
 */
export class SetCursor {
  b: Buffer;
  start: number;
  end: number;
  /** Index in an intset, position in a listpack, ref in a table. */
  place: number;
  private ref: number;
  protected encoding: number;
  /** The next index, the next position (-1: none), or the next position in the tables. */
  private p: number;
  private readonly list: RefList;
  private index: number;
  private readonly text: Buffer;
  private hashed: boolean;
  private hashValue: number;

  constructor() {
    this.text = Buffer.alloc(32);
    this.b = this.text;
    this.start = 0;
    this.end = 0;
    this.place = 0;
    this.ref = 0;
    this.encoding = 0;
    this.p = -1;
    this.list = new RefList(256);
    this.index = 0;
    this.hashed = false;
    this.hashValue = 0;
  }

  begin(ref: number): void {
    this.ref = ref;
    this.encoding = encodingOf(ref);
    this.list.clear();
    this.index = 0;
    this.p = this.encoding === LISTPACK ? lpFirst(m8[ref >>> 23], valueStart(ref, KEY_HEADER)) : 0;
  }

  next(): boolean {
    if (this.encoding === LISTPACK) {
      if (this.p < 0) return false;
      this.at(this.p);
      const b = m8[this.ref >>> 23];
      const after = lpSkip(b, this.p);
      this.p = b[after] === 0xff ? -1 : after;
      return true;
    }
    if (this.encoding === INTSET) {
      if (this.p >= intsetLength(m8[this.ref >>> 23], valueStart(this.ref, KEY_HEADER))) return false;
      this.at(this.p++);
      return true;
    }
    const list = this.list;
    while (this.index === list.count) {
      if (this.p < 0) return false;
      list.clear();
      this.index = 0;
      this.p = bigSetOf(this.ref).dict.walk(this.p, 128, list);
    }
    this.at(list.refs[this.index++]);
    return true;
  }

  /** Puts the member at this place of the set (begin was called) at hand. */
  at(place: number): void {
    this.place = place;
    this.hashed = false;
    if (this.encoding === HASHTABLE) {
      this.b = m8[place >>> 23];
      this.start = keyStart(place, ELEMENT_HEADER);
      this.end = this.start + keyLength(place, ELEMENT_HEADER);
      return;
    }
    const b = m8[this.ref >>> 23];
    if (this.encoding === INTSET) {
      intsetRead(b, valueStart(this.ref, KEY_HEADER), place);
      this.b = this.text;
      this.start = 0;
      this.end = intsetWriteMember(this.text, 0);
      return;
    }
    lpRead(b, place);
    if (elIsInt) {
      this.b = this.text;
      this.start = 0;
      this.end = elWrite(b, this.text, 0);
    } else {
      this.b = b;
      this.start = elStart;
      this.end = elEnd;
    }
  }

  /** The hash of the member at hand, worked out once. */
  hash(): number {
    if (!this.hashed) {
      this.hashValue = hashBytes(this.b, this.start, this.end);
      this.hashed = true;
    }
    return this.hashValue;
  }

  /** True when the member at hand is in another set too. */
  isIn(other: number): boolean {
    const encoding = encodingOf(other);
    if (encoding === HASHTABLE) return bigSetOf(other).dict.find(this.b, this.start, this.end, this.hash()) !== 0;
    const b = m8[other >>> 23];
    const at = valueStart(other, KEY_HEADER);
    if (encoding === LISTPACK) return lpFind(b, lpFirst(b, at), this.b, this.start, this.end, 0) >= 0;
    if (this.encoding === INTSET) {
      intsetRead(m8[this.ref >>> 23], valueStart(this.ref, KEY_HEADER), this.place);
      intsetPrepareMember();
    } else if (!intsetPrepare(this.b, this.start, this.end)) return false;
    return intsetFind(b, at) >= 0;
  }

  /** Puts a member picked fairly at hand; the set (begin was called) is not empty. */
  random(): void {
    if (this.encoding === HASHTABLE) {
      const { dict } = bigSetOf(this.ref);
      dict.moveSome(1); // as in Redis: a set that is only read from now on gets rid of its second table
      this.at(dict.randomRef());
    } else this.seek(randomBelow(setLength(this.ref)));
  }

  /** Puts the member with this number in the order of a packed set at hand. */
  seek(index: number): void {
    this.at(this.encoding === INTSET ? index : lpSeek(m8[this.ref >>> 23], valueStart(this.ref, KEY_HEADER), index));
  }

  /** Removes the member at hand from its set, whose entry may move: returns the ref; the cursor stays with the set. Its bytes are gone then. */
  remove(owner: Owner): number {
    this.ref = removeAt(owner, this.ref, this.place);
    return this.ref;
  }
}

/** convert's own walk: it happens in the middle of others. */
const converting = new SetCursor();

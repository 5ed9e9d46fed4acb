/**
 * Hashes as values. HOT: bytes and refs, no objects or strings a field.
 *
 *   LISTPACK    field, value, field, value ... inside the key's entry
 *   HASHTABLE   a BigHash (elements.ts); the entry holds its id
 *
 * Functions take the ref of the key's entry and, to edit, its owner (room.ts); an edit returns the ref to go on with and leaves in
 * `hashChanged` what it did. A value that was looked up is gotB[gotStart, gotEnd): bytes in the arena, or the text of a listpack's integer
 * in a buffer of this module. It holds until the next look-up or edit.
 *
 * A hash becomes big as in Redis t_hash.c: more fields than hash-max-listpack-entries, or a field or value longer than
 * hash-max-listpack-value; never back. An emptied hash is the caller's to delete. Leaves out replies and commands.
 */
import { m8 } from "./arena.ts";
import { RefList } from "./dict.ts";
import { BigHash, gotB as bigB, gotEnd as bigEnd, gotStart as bigStart, readValue } from "./elements.ts";
import {
  ELEMENT_HEADER,
  HASH,
  HASHTABLE,
  KEY_HEADER,
  LISTPACK,
  encodingOf,
  keyLength,
  keyStart,
  setValueLength,
  valueStart,
} from "./entry.ts";
import { freeObject, objectOf } from "./objects.ts";
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
import { lpAppend, lpDelete, lpEntryBytes, lpNew, lpPrepare, lpReplace } from "./packed/listpack_edit.ts";
import { type Owner, PACKED_MAX, becomeBig, grow, newLoose, shrink } from "./room.ts";
import { randomBelow } from "./seed.ts";
import { settings } from "./settings.ts";

/** What the last edit did: 1 a field came or went, 0 a value was replaced or nothing was there to remove, -1 memory is out (nothing happened). */
export let hashChanged = 0;

/** The value (or, from random picks, the value of the picked field) found last. */
export let gotB: Buffer = Buffer.alloc(0);
export let gotStart = 0;
export let gotEnd = 0;

const intText = Buffer.alloc(32);
const fieldText = Buffer.alloc(32);

/** The big hash of an entry whose encoding is HASHTABLE. */
export function bigHashOf(ref: number): BigHash {
  return objectOf(ref) as BigHash;
}

/** Number of fields. */
export function hashLength(ref: number): number {
  if (encodingOf(ref) === HASHTABLE) return bigHashOf(ref).count;
  return lpLength(m8[ref >>> 23], valueStart(ref, KEY_HEADER)) >>> 1;
}

// --------------------------------------------------------------------------------------------------------------------- look-ups

/** Points got* at the text of the listpack element at p. */
function gotElement(b: Buffer, p: number): void {
  lpRead(b, p);
  if (elIsInt) {
    gotB = intText;
    gotStart = 0;
    gotEnd = elWrite(b, intText, 0);
  } else {
    gotB = b;
    gotStart = elStart;
    gotEnd = elEnd;
  }
}

function gotBig(): void {
  gotB = bigB;
  gotStart = bigStart;
  gotEnd = bigEnd;
}

/** Finds the field f[start, end): true, and its value is in got*. */
export function hashGet(ref: number, f: Buffer, start: number, end: number): boolean {
  if (encodingOf(ref) === HASHTABLE) {
    if (!bigHashOf(ref).get(f, start, end)) return false;
    gotBig();
    return true;
  }
  const b = m8[ref >>> 23];
  const p = lpFind(b, lpFirst(b, valueStart(ref, KEY_HEADER)), f, start, end, 1);
  if (p < 0) return false;
  gotElement(b, lpSkip(b, p));
  return true;
}

/** True when the hash has the field f[start, end). */
export function hashHas(ref: number, f: Buffer, start: number, end: number): boolean {
  if (encodingOf(ref) === HASHTABLE) return bigHashOf(ref).find(f, start, end) !== 0;
  const b = m8[ref >>> 23];
  return lpFind(b, lpFirst(b, valueStart(ref, KEY_HEADER)), f, start, end, 1) >= 0;
}

// ------------------------------------------------------------------------------------------------------------------------ edits

/** Writes an empty listpack as the value of a new entry, whose block may have room for more. */
export function hashInit(ref: number): void {
  setValueLength(ref, lpNew(m8[ref >>> 23], valueStart(ref, KEY_HEADER)));
}

/** A hash without key or fields (room.ts: loose): its ref, 0 when memory is out. */
export function newLooseHash(): number {
  const ref = newLoose(HASH, LISTPACK, LP_EMPTY);
  if (ref !== 0) hashInit(ref);
  return ref;
}

/** Makes the hash big at once when `fields` more are too many for a listpack. The ref; hashChanged is -1 when memory is out. */
export function hashExpect(owner: Owner, ref: number, fields: number): number {
  hashChanged = 0;
  return fields > settings.hashMaxListpackEntries && encodingOf(ref) === LISTPACK ? convert(owner, ref, fields) : ref;
}

/** Sets the field f[fs, fe) to v[vs, ve). The bytes must not lie in this entry. hashChanged: 1 a new field, 0 overwritten, -1 memory is out. */
export function hashSet(owner: Owner, ref: number, f: Buffer, fs: number, fe: number, v: Buffer, vs: number, ve: number): number {
  if (encodingOf(ref) === LISTPACK) {
    const max = settings.hashMaxListpackValue;
    if (fe - fs <= max && ve - vs <= max) return setPacked(owner, ref, f, fs, fe, v, vs, ve);
    ref = convert(owner, ref, 0);
    if (hashChanged < 0) return ref;
  }
  hashChanged = bigHashOf(ref).set(f, fs, fe, v, vs, ve);
  return ref;
}

function setPacked(owner: Owner, ref: number, f: Buffer, fs: number, fe: number, v: Buffer, vs: number, ve: number): number {
  const b = m8[ref >>> 23];
  const lp = valueStart(ref, KEY_HEADER);
  const bytes = lpBytes(b, lp);
  const p = lpFind(b, lpFirst(b, lp), f, fs, fe, 1);
  if (p >= 0) return replacePacked(owner, ref, lpSkip(b, p), v, vs, ve);
  const valueNeed = lpPrepare(v, vs, ve);
  const total = bytes + valueNeed + lpPrepare(f, fs, fe);
  if (lpLength(b, lp) >> 1 >= settings.hashMaxListpackEntries || total > PACKED_MAX) {
    ref = convert(owner, ref, 0);
    if (hashChanged >= 0) hashChanged = bigHashOf(ref).set(f, fs, fe, v, vs, ve);
    return ref;
  }
  const to = grow(owner, ref, total);
  if (to === 0) {
    hashChanged = -1;
    return ref;
  }
  const out = m8[to >>> 23];
  const at = valueStart(to, KEY_HEADER);
  lpAppend(out, at); // the field, prepared last
  lpPrepare(v, vs, ve);
  lpAppend(out, at);
  hashChanged = 1;
  return to;
}

/** Puts v[vs, ve) in the place of the listpack element at p. */
function replacePacked(owner: Owner, ref: number, p: number, v: Buffer, vs: number, ve: number): number {
  const b = m8[ref >>> 23];
  const lp = valueStart(ref, KEY_HEADER);
  const bytes = lpBytes(b, lp);
  const total = bytes - lpEntryBytes(b, p) + lpPrepare(v, vs, ve);
  hashChanged = 0;
  if (total <= bytes) {
    lpReplace(b, lp, p);
    return total === bytes ? ref : shrink(owner, ref, total);
  }
  const to = grow(owner, ref, total);
  if (to === 0) {
    hashChanged = -1;
    return ref;
  }
  const at = valueStart(to, KEY_HEADER);
  lpReplace(m8[to >>> 23], at, at + (p - lp));
  return to;
}

/** Removes the field f[start, end). hashChanged: 1, or 0 when there is none. */
export function hashRemove(owner: Owner, ref: number, f: Buffer, start: number, end: number): number {
  if (encodingOf(ref) === HASHTABLE) {
    hashChanged = bigHashOf(ref).remove(f, start, end) ? 1 : 0;
    return ref;
  }
  const b = m8[ref >>> 23];
  const lp = valueStart(ref, KEY_HEADER);
  const p = lpFind(b, lpFirst(b, lp), f, start, end, 1);
  hashChanged = p < 0 ? 0 : 1;
  return p < 0 ? ref : shrink(owner, ref, lpDelete(b, lp, p, 2));
}

/** Turns a listpack into a BigHash with room for at least `expected` fields. hashChanged: 0, -1 when memory is out. */
function convert(owner: Owner, ref: number, expected: number): number {
  const fields = hashLength(ref);
  const big = new BigHash(Math.max(expected, fields + 1));
  hashChanged = fillBig(ref, big) ? 0 : -1;
  const to = hashChanged === 0 ? becomeBig(owner, ref, HASHTABLE, big) : 0;
  if (to !== 0) return to;
  freeObject(big, true);
  hashChanged = -1;
  return ref;
}

function fillBig(ref: number, big: BigHash): boolean {
  const b = m8[ref >>> 23];
  for (let p = lpFirst(b, valueStart(ref, KEY_HEADER)); p >= 0;) {
    let next = lpRead(b, p);
    let f = b;
    let start = elStart;
    let end = elEnd;
    if (elIsInt) {
      f = fieldText;
      start = 0;
      end = elWrite(b, fieldText, 0);
    }
    gotElement(b, next);
    if (big.set(f, start, end, gotB, gotStart, gotEnd) < 0) return false;
    next = lpSkip(b, next);
    p = b[next] === 0xff ? -1 : next;
  }
  return true;
}

// ----------------------------------------------------------------------------------------------------------------------- visits

/**
 * A field at hand, b[start, end), and a walk over all fields of a hash that is not changed meanwhile: `begin(ref)`, then `next()` until
 * false; `value()` points got* at the field's value. Reused by its owner; one walk at a time. `place` names the field within its hash.
 */
export class HashCursor {
  b: Buffer;
  start: number;
  end: number;
  /** Position in the listpack, or the element's ref. */
  place: number;
  private ref: number;
  protected big: BigHash | null;
  /** Where a listpack lies; its next field, or the next position in the tables of a big hash. */
  private segment: Buffer;
  private p: number;
  private valueAt: number;
  private readonly list: RefList;
  private index: number;
  private readonly text: Buffer;

  constructor() {
    this.text = Buffer.alloc(32);
    this.b = this.text;
    this.start = 0;
    this.end = 0;
    this.place = 0;
    this.ref = 0;
    this.big = null;
    this.segment = this.text;
    this.p = -1;
    this.valueAt = 0;
    this.list = new RefList(256);
    this.index = 0;
  }

  begin(ref: number): void {
    this.ref = ref;
    this.list.clear();
    this.index = 0;
    if (encodingOf(ref) === HASHTABLE) {
      this.big = bigHashOf(ref);
      this.p = 0;
      return;
    }
    this.big = null;
    this.segment = m8[ref >>> 23];
    this.p = lpFirst(this.segment, valueStart(ref, KEY_HEADER));
  }

  next(): boolean {
    if (this.big === null) {
      if (this.p < 0) return false;
      this.at(this.p);
      const after = lpSkip(this.segment, this.valueAt);
      this.p = this.segment[after] === 0xff ? -1 : after;
      return true;
    }
    const list = this.list;
    while (this.index === list.count) {
      if (this.p < 0) return false;
      list.clear();
      this.index = 0;
      this.p = this.big.dict.walk(this.p, 128, list);
    }
    this.at(list.refs[this.index++]);
    return true;
  }

  /** Puts the field at this place of the hash (begin was called) at hand. */
  at(place: number): void {
    this.place = place;
    if (this.big !== null) {
      this.b = m8[place >>> 23];
      this.start = keyStart(place, ELEMENT_HEADER);
      this.end = this.start + keyLength(place, ELEMENT_HEADER);
      return;
    }
    const b = this.segment;
    this.valueAt = lpRead(b, place);
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

  /** Points got* at the value of the field at hand. */
  value(): void {
    if (this.big === null) gotElement(this.segment, this.valueAt);
    else {
      readValue(this.place);
      gotBig();
    }
  }

  /** Puts a field picked fairly at hand; the hash (begin was called) is not empty. */
  random(): void {
    if (this.big !== null) {
      this.big.dict.moveSome(1); // as in Redis: a hash that is only read from now on gets rid of its second table
      this.at(this.big.dict.randomRef());
    } else this.at(lpSeek(this.segment, valueStart(this.ref, KEY_HEADER), randomBelow(hashLength(this.ref)) * 2));
  }
}

/**
 * Sorted sets as values. HOT: bytes and refs, no objects or strings a member.
 *
 *   LISTPACK   member, score, member, score ... in order, inside the key's entry
 *   SKIPLIST   a BigZSet (table and counted B+tree); the entry holds its id. The name is what OBJECT ENCODING says.
 *
 * Functions take the ref of the key's entry and, to edit, its owner (room.ts); an edit returns the ref to go on with and leaves in
 * `zsetChanged` what it did. Scores are doubles without NaN (the commands see to that); order is by score, then by member bytes.
 * A set becomes big as in Redis t_zset.c: more members than zset-max-listpack-entries or a member longer than zset-max-listpack-value.
 * An emptied set is the caller's to delete. Leaves out replies and commands.
 */
import { isWholeScore, writeDouble } from "../bytes/number.ts";
import { m8 } from "./arena.ts";
import { BigZSet } from "./big_zset.ts";
import * as btree from "./btree.ts";
import {
  ELEMENT_HEADER,
  KEY_HEADER,
  LISTPACK,
  SKIPLIST,
  ZSET,
  encodingOf,
  keyLength,
  keyStart,
  scoreOf,
  setValueLength,
  valueStart,
} from "./entry.ts";
import { freeObject, objectOf } from "./objects.ts";
import {
  LP_EMPTY,
  elDouble,
  elEnd,
  elIsInt,
  elStart,
  elWrite,
  lpBytes,
  lpFind,
  lpFirst,
  lpLength,
  lpNext,
  lpPrev,
  lpRead,
  lpSeek,
  lpSkip,
} from "./packed/listpack.ts";
import { lpDelete, lpDeleteRange, lpEntryBytes, lpInsert, lpNew, lpPrepare, lpPrepareInt, lpReplace } from "./packed/listpack_edit.ts";
import { type Owner, PACKED_MAX, becomeBig, freeLoose, grow, loose, newLoose, shrink } from "./room.ts";
import { randomBelow } from "./seed.ts";
import { settings } from "./settings.ts";

/** What the last edit did: 1 a member came or went, 2 a score changed, 0 nothing, -1 memory is out (nothing happened). */
export let zsetChanged = 0;
/** The score found last. */
export let gotScore = 0;

const memberText = Buffer.alloc(32);
const scoreText = Buffer.alloc(40);

/** The big set of an entry whose encoding is SKIPLIST. */
export function bigZSetOf(ref: number): BigZSet {
  return objectOf(ref) as BigZSet;
}

function packAt(ref: number): number {
  return valueStart(ref, KEY_HEADER);
}

/** Number of members. */
export function zsetLength(ref: number): number {
  if (encodingOf(ref) === SKIPLIST) return bigZSetOf(ref).count;
  return lpLength(m8[ref >>> 23], packAt(ref)) >>> 1;
}

/** True when the member b[start, end) is there; its score is then gotScore. */
export function zsetScore(ref: number, b: Buffer, start: number, end: number): boolean {
  if (encodingOf(ref) === SKIPLIST) {
    const element = bigZSetOf(ref).find(b, start, end);
    if (element === 0) return false;
    gotScore = scoreOf(element);
    return true;
  }
  const m = m8[ref >>> 23];
  const p = lpFind(m, lpFirst(m, packAt(ref)), b, start, end, 1);
  if (p < 0) return false;
  lpRead(m, lpSkip(m, p));
  gotScore = elDouble(m);
  return true;
}

/** Rank from 0 of a member, counted from the front; -1 when it is not there. Its score is then gotScore. */
export function zsetRank(ref: number, b: Buffer, start: number, end: number): number {
  if (encodingOf(ref) === SKIPLIST) {
    const z = bigZSetOf(ref);
    const element = z.find(b, start, end);
    if (element === 0) return -1;
    gotScore = scoreOf(element);
    return z.rankOf(element);
  }
  const m = m8[ref >>> 23];
  const first = lpFirst(m, packAt(ref));
  const p = lpFind(m, first, b, start, end, 1);
  if (p < 0) return -1;
  let rank = 0;
  for (let q = first; q !== p; q = lpSkip(m, lpSkip(m, q))) rank++;
  lpRead(m, lpSkip(m, p));
  gotScore = elDouble(m);
  return rank;
}

// ------------------------------------------------------------------------------------------------------------------------ edits

/** Writes an empty listpack as the value of a new entry. */
export function zsetInit(ref: number): void {
  setValueLength(ref, lpNew(m8[ref >>> 23], packAt(ref)));
}

/** A sorted set without key or members (room.ts: loose): its ref, 0 when memory is out. */
export function newLooseZSet(): number {
  const ref = newLoose(ZSET, LISTPACK, LP_EMPTY);
  if (ref !== 0) zsetInit(ref);
  return ref;
}

/** Makes the set big at once when `members` more are too many for a listpack, or `longest` bytes too long. */
export function zsetExpect(owner: Owner, ref: number, members: number, longest: number): number {
  zsetChanged = 0;
  if (encodingOf(ref) !== LISTPACK) return ref;
  return members > settings.zsetMaxListpackEntries || longest > settings.zsetMaxListpackValue ? convert(owner, ref, members) : ref;
}

/** Prepares the score as a listpack element: its bytes. */
function prepareScore(score: number): number {
  if (isWholeScore(score) && Math.abs(score) <= Number.MAX_SAFE_INTEGER) return lpPrepareInt(score === 0 ? 0 : score);
  return lpPrepare(scoreText, 0, writeDouble(scoreText, 0, score));
}

/**
 * Gives the member b[start, end) a score, adding it when it is not there. zsetChanged: 1 added, 2 another score, 0 the same score,
 * -1 memory is out. The bytes must not lie in this entry.
 */
export function zsetSet(owner: Owner, ref: number, score: number, b: Buffer, start: number, end: number): number {
  if (encodingOf(ref) === LISTPACK) {
    const m = m8[ref >>> 23];
    const lp = packAt(ref);
    const p = lpFind(m, lpFirst(m, lp), b, start, end, 1);
    if (p >= 0) return rescorePacked(owner, ref, p, score, b, start, end);
    const need = lpBytes(m, lp) + lpPrepare(b, start, end) + 40;
    if (end - start <= settings.zsetMaxListpackValue && lpLength(m, lp) >> 1 < settings.zsetMaxListpackEntries && need <= PACKED_MAX)
      return insertPacked(owner, ref, score, b, start, end, 1);
    ref = convert(owner, ref, 0);
    if (zsetChanged < 0) return ref;
  }
  const z = bigZSetOf(ref);
  const element = z.find(b, start, end);
  if (element === 0) zsetChanged = z.add(score, b, start, end) ? 1 : -1;
  else if (scoreOf(element) === score) zsetChanged = 0;
  else zsetChanged = z.rescore(element, score) ? 2 : -1;
  return ref;
}

/** Order of the listpack member at p (with its score) against (score, b[start, end)). */
function comparePacked(m: Buffer, p: number, score: number, b: Buffer, start: number, end: number): number {
  const scoreAt = lpRead(m, p);
  let mb: Uint8Array = m;
  let ms = elStart;
  let me = elEnd;
  if (elIsInt) {
    mb = memberText;
    ms = 0;
    me = elWrite(m, memberText, 0);
  }
  lpRead(m, scoreAt);
  const d = elDouble(m);
  if (d !== score) return d < score ? -1 : 1;
  return compareBytes(mb, ms, me, b, start, end);
}

function compareBytes(a: Uint8Array, as: number, ae: number, b: Uint8Array, bs: number, be: number): number {
  const stop = as + Math.min(ae - as, be - bs);
  let j = bs;
  for (let i = as; i < stop; i++, j++) if (a[i] !== b[j]) return a[i] - b[j];
  return ae - as - (be - bs);
}

/** Puts a member that is not there at its place. */
function insertPacked(owner: Owner, ref: number, score: number, b: Buffer, start: number, end: number, changed: number): number {
  let m = m8[ref >>> 23];
  let lp = packAt(ref);
  let at = lpFirst(m, lp);
  // Members often come in order: look at the last one first.
  const last = at < 0 ? -1 : lpPrev(m, lp, lpPrev(m, lp, lp + lpBytes(m, lp) - 1));
  if (last >= 0 && comparePacked(m, last, score, b, start, end) < 0) at = -1;
  while (at >= 0 && comparePacked(m, at, score, b, start, end) < 0) at = lpNext(m, lpSkip(m, at));
  const offset = (at < 0 ? lp + lpBytes(m, lp) - 1 : at) - lp;
  const scoreBytes = prepareScore(score);
  const to = grow(owner, ref, lpBytes(m, lp) + scoreBytes + lpPrepare(b, start, end));
  if (to === 0) {
    zsetChanged = -1;
    return ref;
  }
  m = m8[to >>> 23];
  lp = packAt(to);
  lpInsert(m, lp, lp + offset);
  prepareScore(score);
  lpInsert(m, lp, lpSkip(m, lp + offset));
  zsetChanged = changed;
  return to;
}

function rescorePacked(owner: Owner, ref: number, p: number, score: number, b: Buffer, start: number, end: number): number {
  const m = m8[ref >>> 23];
  const lp = packAt(ref);
  const scoreAt = lpSkip(m, p);
  lpRead(m, scoreAt);
  zsetChanged = 0;
  if (elDouble(m) === score) return ref;
  // A neighbour decides whether the member stays where it is.
  const after = lpNext(m, scoreAt);
  const before = lpPrev(m, lp, p);
  const stays =
    (after < 0 || comparePacked(m, after, score, b, start, end) > 0) &&
    (before < 0 || comparePacked(m, lpPrev(m, lp, before), score, b, start, end) < 0);
  const bytes = lpBytes(m, lp);
  if (stays) {
    const total = bytes - lpEntryBytes(m, scoreAt) + prepareScore(score);
    zsetChanged = 2;
    if (total <= bytes) {
      lpReplace(m, lp, scoreAt);
      return total === bytes ? ref : shrink(owner, ref, total);
    }
    const to = grow(owner, ref, total);
    if (to === 0) {
      zsetChanged = -1;
      return ref;
    }
    prepareScore(score);
    const at = packAt(to);
    lpReplace(m8[to >>> 23], at, at + (scoreAt - lp));
    return to;
  }
  // Room first, so that memory cannot run out between taking the member out and putting it in.
  const to = grow(owner, ref, bytes + prepareScore(score) + lpPrepare(b, start, end));
  if (to === 0) {
    zsetChanged = -1;
    return ref;
  }
  const at = packAt(to);
  setValueLength(to, lpDelete(m8[to >>> 23], at, at + (p - lp), 2));
  return insertPacked(owner, to, score, b, start, end, 2);
}

/** Removes the member b[start, end). zsetChanged: 1, or 0 when it is not there. */
export function zsetRemove(owner: Owner, ref: number, b: Buffer, start: number, end: number): number {
  if (encodingOf(ref) === SKIPLIST) {
    const z = bigZSetOf(ref);
    const element = z.find(b, start, end);
    zsetChanged = element === 0 ? 0 : 1;
    if (element !== 0) z.removeRef(element);
    return ref;
  }
  const m = m8[ref >>> 23];
  const lp = packAt(ref);
  const p = lpFind(m, lpFirst(m, lp), b, start, end, 1);
  zsetChanged = p < 0 ? 0 : 1;
  return p < 0 ? ref : shrink(owner, ref, lpDelete(m, lp, p, 2));
}

/** Removes `count` members from rank `from` on (both within the set). */
export function zsetRemoveRange(owner: Owner, ref: number, from: number, count: number): number {
  if (encodingOf(ref) === SKIPLIST) {
    const z = bigZSetOf(ref);
    for (; count > 0; count--) {
      z.order.seekRank(from);
      z.removeRef(btree.refAt(btree.leafAt, btree.indexAt));
    }
    return ref;
  }
  return shrink(owner, ref, lpDeleteRange(m8[ref >>> 23], packAt(ref), from * 2, count * 2));
}

/** Turns a listpack into a BigZSet with room for at least `expected` members. zsetChanged: 0, -1 when memory is out. */
function convert(owner: Owner, ref: number, expected: number): number {
  const big = new BigZSet(Math.max(expected, zsetLength(ref) + 1));
  zsetChanged = fillBig(ref, big) ? 0 : -1;
  const to = zsetChanged === 0 ? becomeBig(owner, ref, SKIPLIST, big) : 0;
  if (to !== 0) return to;
  freeObject(big, true);
  zsetChanged = -1;
  return ref;
}

function fillBig(ref: number, big: BigZSet): boolean {
  const cursor = new ZSetCursor();
  for (let more = cursor.begin(ref, 0, false); more; more = cursor.next())
    if (!big.add(cursor.score, cursor.b, cursor.start, cursor.end)) return false;
  return true;
}

/**
 * A result without key (room.ts: loose) that was gathered as a big set but fits a listpack: becomes one (Redis
 * zsetConvertToListpackIfNeeded). longest: bytes of the longest member. The ref to go on with.
 */
export function zsetPackIfSmall(ref: number, longest: number): number {
  if (encodingOf(ref) !== SKIPLIST) return ref;
  if (bigZSetOf(ref).count > settings.zsetMaxListpackEntries || longest > settings.zsetMaxListpackValue) return ref;
  let to = newLooseZSet();
  if (to === 0) return ref;
  const cursor = new ZSetCursor();
  for (let more = cursor.begin(ref, 0, false); more; more = cursor.next()) {
    to = insertPacked(loose, to, cursor.score, cursor.b, cursor.start, cursor.end, 1);
    if (zsetChanged >= 0) continue;
    freeLoose(to);
    return ref;
  }
  freeLoose(ref);
  return to;
}

// ------------------------------------------------------------------------------------------------------------------------ bounds

/** Members with a score below `score` (or equal to it too): the rank of the first one at or above (or above). */
export function zsetCountBelow(ref: number, score: number, orEqual: boolean): number {
  if (encodingOf(ref) === SKIPLIST) return bigZSetOf(ref).order.countBelow(score, orEqual);
  const m = m8[ref >>> 23];
  let n = 0;
  for (let p = lpFirst(m, packAt(ref)); p >= 0; n++) {
    const scoreAt = lpSkip(m, p);
    lpRead(m, scoreAt);
    const d = elDouble(m);
    if (orEqual ? d > score : d >= score) return n;
    p = lpNext(m, scoreAt);
  }
  return n;
}

/** As zsetCountBelow by member bytes, for sets whose scores are all equal (BYLEX). */
export function zsetCountBelowMember(ref: number, b: Buffer, start: number, end: number, orEqual: boolean): number {
  if (encodingOf(ref) === SKIPLIST) return bigZSetOf(ref).order.countBelowMember(b, start, end - start, orEqual);
  const m = m8[ref >>> 23];
  let n = 0;
  for (let p = lpFirst(m, packAt(ref)); p >= 0; n++) {
    const scoreAt = lpRead(m, p);
    let mb: Uint8Array = m;
    let ms = elStart;
    let me = elEnd;
    if (elIsInt) {
      mb = memberText;
      ms = 0;
      me = elWrite(m, memberText, 0);
    }
    const c = compareBytes(mb, ms, me, b, start, end);
    if (c > 0 || (c === 0 && !orEqual)) return n;
    p = lpNext(m, scoreAt);
  }
  return n;
}

// ------------------------------------------------------------------------------------------------------------------------ visits

/**
 * Walks members in order or backwards, of a set that is not changed meanwhile: `begin(ref, rank, reverse)`, then `next()`, each true while
 * there is a member: b[start, end) with `score`. Reused by its owner; walks may nest, one cursor each.
 */
export class ZSetCursor {
  b: Buffer;
  start: number;
  end: number;
  score: number;
  /** The element's ref in a big set; 0 in a small one. */
  element: number;
  private big: boolean;
  private reverse: boolean;
  private leaf: number;
  private index: number;
  private lp: number;
  private p: number;
  private readonly text: Buffer;

  constructor() {
    this.text = Buffer.alloc(32);
    this.b = this.text;
    this.start = 0;
    this.end = 0;
    this.score = 0;
    this.element = 0;
    this.big = false;
    this.reverse = false;
    this.leaf = 0;
    this.index = 0;
    this.lp = 0;
    this.p = -1;
  }

  /** Goes to the member of that rank, counted from the front whatever the direction. False when there is none. */
  begin(ref: number, rank: number, reverse: boolean): boolean {
    this.reverse = reverse;
    this.big = encodingOf(ref) === SKIPLIST;
    if (this.big) {
      bigZSetOf(ref).order.seekRank(rank);
      this.leaf = btree.leafAt;
      this.index = btree.indexAt;
      return this.readBig();
    }
    this.b = m8[ref >>> 23];
    this.lp = packAt(ref);
    this.p = rank < 0 ? -1 : lpSeek(this.b, this.lp, rank * 2);
    return this.readPacked(this.b);
  }

  next(): boolean {
    if (this.big) {
      btree.setPosition(this.leaf, this.index);
      if (this.reverse) btree.previous();
      else btree.next();
      this.leaf = btree.leafAt;
      this.index = btree.indexAt;
      return this.readBig();
    }
    const m = this.pack;
    if (this.reverse) {
      const score = lpPrev(m, this.lp, this.p);
      this.p = score < 0 ? -1 : lpPrev(m, this.lp, score);
    } else this.p = lpNext(m, lpSkip(m, this.p));
    return this.readPacked(m);
  }
  private pack: Buffer = Buffer.alloc(0);

  private readBig(): boolean {
    if (this.leaf === 0) return false;
    const element = btree.refAt(this.leaf, this.index);
    this.element = element;
    this.score = btree.scoreAt(this.leaf, this.index);
    this.b = m8[element >>> 23];
    this.start = keyStart(element, ELEMENT_HEADER);
    this.end = this.start + keyLength(element, ELEMENT_HEADER);
    return true;
  }

  private readPacked(m: Buffer): boolean {
    this.pack = m;
    if (this.p < 0) return false;
    const scoreAt = lpRead(m, this.p);
    if (elIsInt) {
      this.b = this.text;
      this.start = 0;
      this.end = elWrite(m, this.text, 0);
    } else {
      this.b = m;
      this.start = elStart;
      this.end = elEnd;
    }
    lpRead(m, scoreAt);
    this.score = elDouble(m);
    return true;
  }

  /** Goes to a member picked fairly from a set that is not empty. */
  random(ref: number): void {
    if (encodingOf(ref) !== SKIPLIST) {
      this.begin(ref, randomBelow(zsetLength(ref)), false);
      return;
    }
    this.at(bigZSetOf(ref).dict.randomRef());
  }

  /** Points the cursor at a member of a big set; next() must not follow. */
  at(element: number): void {
    this.big = true;
    this.element = element;
    this.score = scoreOf(element);
    this.b = m8[element >>> 23];
    this.start = keyStart(element, ELEMENT_HEADER);
    this.end = this.start + keyLength(element, ELEMENT_HEADER);
  }
}

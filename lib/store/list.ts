/**
 * Lists as values. HOT at both ends: bytes and refs, no objects or strings an element.
 *
 *   LISTPACK    one listpack inside the key's entry
 *   QUICKLIST   a QuickList (quicklist.ts); the entry holds its id
 *
 * Functions take the ref of the key's entry and, to edit, its owner (room.ts); an edit returns the ref to go on with and leaves in
 * `listChanged` how many elements came or went, -1 when memory was out (nothing happened). An element that was looked up is
 * gotB[gotStart, gotEnd), until the next look-up or edit. When a list changes its encoding Redis t_list.c decides: it grows into a quicklist
 * when one node would not hold it, and shrinks back when half a node would. An emptied list is the caller's to delete.
 */
import { m8 } from "./arena.ts";
import {
  KEY_HEADER,
  LIST,
  LISTPACK,
  QUICKLIST,
  encodingOf,
  setEncoding,
  setValueLength,
  valueLength,
  valueStart,
  valueWord,
} from "./entry.ts";
import { freeObject, objectOf, takeObject } from "./objects.ts";
import {
  LP_EMPTY,
  LP_HEADER,
  elEnd,
  elIsInt,
  elStart,
  elWrite,
  lpBytes,
  lpFirst,
  lpLast,
  lpLength,
  lpNext,
  lpPrev,
  lpRead,
  lpSeek,
} from "./packed/listpack.ts";
import {
  lpAppend,
  lpDelete,
  lpDeleteRange,
  lpEntryBytes,
  lpInsert,
  lpMerge,
  lpNew,
  lpPrepare,
  lpPrepend,
  lpReplace,
} from "./packed/listpack_edit.ts";
import { bodyOf, gotB as quickB, gotEnd as quickEnd, gotStart as quickStart, isPlain, nextOf, packBytes } from "./quicklist_node.ts";
import { QuickListCursor } from "./quicklist_cursor.ts";
import { QuickList, fitsNode } from "./quicklist.ts";
import { type Owner, PACKED_MAX, becomeBig, grow, newLoose, shrink } from "./room.ts";

export let listChanged = 0;
export let gotB: Buffer = Buffer.alloc(0);
export let gotStart = 0;
export let gotEnd = 0;
const text = Buffer.alloc(32);

/** The big list of an entry whose encoding is QUICKLIST. */
export function quickListOf(ref: number): QuickList {
  return objectOf(ref) as QuickList;
}
function packAt(ref: number): number {
  return valueStart(ref, KEY_HEADER);
}

/** Number of elements. */
export function listLength(ref: number): number {
  return encodingOf(ref) === QUICKLIST ? quickListOf(ref).count : lpLength(m8[ref >>> 23], packAt(ref));
}

function gotPacked(b: Buffer, p: number): void {
  lpRead(b, p);
  if (elIsInt) {
    gotB = text;
    gotStart = 0;
    gotEnd = elWrite(b, text, 0);
  } else {
    gotB = b;
    gotStart = elStart;
    gotEnd = elEnd;
  }
}

/** Finds the element at an index, negative ones from the end: true, and it is in got*. */
export function listGet(ref: number, index: number): boolean {
  if (encodingOf(ref) === QUICKLIST) {
    const q = quickListOf(ref);
    if (!q.get(index < 0 ? q.count + index : index)) return false;
    gotB = quickB;
    gotStart = quickStart;
    gotEnd = quickEnd;
    return true;
  }
  const b = m8[ref >>> 23];
  const p = lpSeek(b, packAt(ref), index);
  if (p < 0) return false;
  gotPacked(b, p);
  return true;
}

/** Points got* at the last or the first element of a list that has one. */
export function listEnd(ref: number, atTail: boolean): void {
  if (encodingOf(ref) === QUICKLIST) {
    quickListOf(ref).getEnd(atTail);
    gotB = quickB;
    gotStart = quickStart;
    gotEnd = quickEnd;
    return;
  }
  const b = m8[ref >>> 23];
  const lp = packAt(ref);
  gotPacked(b, atTail ? lpLast(b, lp) : lp + LP_HEADER);
}

/** Writes an empty listpack as the value of a new entry. */
export function listInit(ref: number): void {
  setValueLength(ref, lpNew(m8[ref >>> 23], packAt(ref)));
}
/** A list without key or elements (room.ts: loose): its ref, 0 when memory is out. */
export function newLooseList(): number {
  const ref = newLoose(LIST, LISTPACK, LP_EMPTY);
  if (ref !== 0) listInit(ref);
  return ref;
}

/**
 * Elements of `bytes` bytes in all are about to come: a listpack that would not be one node any more becomes a quicklist.
 * Redis listTypeTryConversionAppend. listChanged is -1 when memory is out.
 */
export function listExpect(owner: Owner, ref: number, bytes: number, elements: number): number {
  listChanged = 0;
  if (encodingOf(ref) !== LISTPACK) return ref;
  const b = m8[ref >>> 23];
  const lp = packAt(ref);
  if (fitsNode(lpBytes(b, lp) + bytes, lpLength(b, lp) + elements) && lpBytes(b, lp) + bytes + elements * 16 <= PACKED_MAX) return ref;
  const big = new QuickList();
  if (lpLength(b, lp) === 0 || big.addListpack(b, lp)) {
    const to = becomeBig(owner, ref, QUICKLIST, big);
    if (to !== 0) return to;
  }
  freeObject(big, true);
  listChanged = -1;
  return ref;
}

/** After a removal: a quicklist that half a node would hold becomes a listpack again. Redis listTypeTryConversion, shrinking. */
export function listSettle(owner: Owner, ref: number): number {
  if (encodingOf(ref) !== QUICKLIST) return ref;
  const q = quickListOf(ref);
  if (q.nodes !== 1 || isPlain(q.head)) return ref;
  const bytes = packBytes(q.head);
  if (!fitsNode(bytes * 2, q.count * 2)) return ref;
  return packDown(owner, ref, q, bytes);
}

/** Puts the only node of a quicklist into the entry. */
function packDown(owner: Owner, ref: number, q: QuickList, bytes: number): number {
  const id = valueWord(ref, KEY_HEADER, 0);
  const to = owner.resizeValue(ref, Math.max(bytes, 4));
  if (to === 0) return ref;
  m8[q.head >>> 23].copy(m8[to >>> 23], packAt(to), bodyOf(q.head), bodyOf(q.head) + bytes);
  setEncoding(to, LISTPACK);
  setValueLength(to, bytes);
  freeObject(takeObject(id), true);
  return to;
}

/**
 * Loading: a quicklist whose elements one listpack may hold becomes that. They may lie in two nodes: a node's own header counts against the
 * limit as well. Redis listTypeTryConversion, auto.
 */
export function listAuto(owner: Owner, ref: number): number {
  if (encodingOf(ref) !== QUICKLIST) return ref;
  const q = quickListOf(ref);
  if (q.nodes > 2 || isPlain(q.head)) return ref;
  const bytes = packBytes(q.head);
  if (q.nodes === 1) return fitsNode(bytes, q.count) ? packDown(owner, ref, q, bytes) : ref;
  const second = nextOf(q.head);
  if (isPlain(second)) return ref;
  const all = bytes + packBytes(second) - LP_EMPTY;
  if (!fitsNode(all, q.count) || all > PACKED_MAX) return ref;
  const id = valueWord(ref, KEY_HEADER, 0);
  const to = owner.resizeValue(ref, all);
  if (to === 0) return ref;
  lpMerge(m8[q.head >>> 23], bodyOf(q.head), m8[second >>> 23], bodyOf(second), m8[to >>> 23], packAt(to));
  setEncoding(to, LISTPACK);
  setValueLength(to, all);
  freeObject(takeObject(id), true);
  return to;
}

/** Adds b[start, end) at the tail or the head. The bytes must not lie in this entry. listChanged: 1, or -1. */
export function listPush(owner: Owner, ref: number, b: Buffer, start: number, end: number, atTail: boolean): number {
  if (encodingOf(ref) === QUICKLIST) {
    const q = quickListOf(ref);
    listChanged = (atTail ? q.pushTail(b, start, end) : q.pushHead(b, start, end)) ? 1 : -1;
    return ref;
  }
  const bytes = lpBytes(m8[ref >>> 23], packAt(ref));
  const to = grow(owner, ref, bytes + lpPrepare(b, start, end));
  listChanged = to === 0 ? -1 : 1;
  if (to === 0) return ref;
  if (atTail) lpAppend(m8[to >>> 23], packAt(to));
  else lpPrepend(m8[to >>> 23], packAt(to));
  return to;
}

/** Removes `count` elements from `index` on, all of them there. */
export function listRemoveRange(owner: Owner, ref: number, index: number, count: number): number {
  listChanged = count;
  if (count === 0) return ref;
  if (encodingOf(ref) === QUICKLIST) {
    quickListOf(ref).removeRange(index, count);
    return ref;
  }
  return shrink(owner, ref, lpDeleteRange(m8[ref >>> 23], packAt(ref), index, count));
}

/** Removes the last or the first element of a list that has one. */
export function listRemoveEnd(owner: Owner, ref: number, atTail: boolean): number {
  listChanged = 1;
  if (encodingOf(ref) === QUICKLIST) {
    quickListOf(ref).removeEnd(atTail);
    return ref;
  }
  const b = m8[ref >>> 23];
  const lp = packAt(ref);
  return shrink(owner, ref, lpDelete(b, lp, atTail ? lpLast(b, lp) : lp + LP_HEADER));
}

/** Puts b[start, end) in the place of the element at `index`, from the front, which is there. listChanged: 0, or -1. */
export function listSet(owner: Owner, ref: number, index: number, b: Buffer, start: number, end: number): number {
  listChanged = 0;
  if (encodingOf(ref) === QUICKLIST) {
    if (!quickListOf(ref).set(index, b, start, end)) listChanged = -1;
    return ref;
  }
  const m = m8[ref >>> 23];
  const lp = packAt(ref);
  const p = lpSeek(m, lp, index);
  const bytes = lpBytes(m, lp);
  const total = bytes - lpEntryBytes(m, p) + lpPrepare(b, start, end);
  if (total <= bytes) {
    lpReplace(m, lp, p);
    return total === bytes ? ref : shrink(owner, ref, total);
  }
  const to = grow(owner, ref, total);
  if (to === 0) {
    listChanged = -1;
    return ref;
  }
  const at = packAt(to);
  lpReplace(m8[to >>> 23], at, at + (p - lp));
  return to;
}

/** Puts b[start, end) before the element at `index` (from the front; the length appends). listChanged: 1, or -1. */
export function listInsert(owner: Owner, ref: number, index: number, b: Buffer, start: number, end: number): number {
  if (encodingOf(ref) === QUICKLIST) {
    listChanged = quickListOf(ref).insert(index, b, start, end) ? 1 : -1;
    return ref;
  }
  const bytes = lpBytes(m8[ref >>> 23], packAt(ref));
  const to = grow(owner, ref, bytes + lpPrepare(b, start, end));
  listChanged = to === 0 ? -1 : 1;
  if (to === 0) return ref;
  const m = m8[to >>> 23];
  const lp = packAt(to);
  const p = lpSeek(m, lp, index);
  if (p < 0) lpAppend(m, lp);
  else lpInsert(m, lp, p);
  return to;
}

/** Removes up to `most` elements equal to b[start, end), from the head or, backwards, from the tail. listChanged: how many. */
export function listRemoveEqual(
  owner: Owner,
  ref: number,
  b: Buffer,
  start: number,
  end: number,
  most: number,
  backwards: boolean,
): number {
  if (encodingOf(ref) === QUICKLIST) {
    listChanged = quickListOf(ref).removeEqual(b, start, end, most, backwards);
    return ref;
  }
  const m = m8[ref >>> 23];
  const lp = packAt(ref);
  let gone = 0;
  let p = backwards ? lpSeek(m, lp, -1) : lpFirst(m, lp);
  while (p >= 0 && gone < most) {
    gotPacked(m, p);
    const equal = gotEnd - gotStart === end - start && gotB.compare(b, start, end, gotStart, gotEnd) === 0;
    if (!equal) {
      p = backwards ? lpPrev(m, lp, p) : lpNext(m, p);
      continue;
    }
    const before = backwards ? lpPrev(m, lp, p) : p;
    lpDelete(m, lp, p, 1);
    gone++;
    p = backwards ? before : m[p] === 0xff ? -1 : p;
  }
  listChanged = gone;
  return gone === 0 ? ref : shrink(owner, ref, lpBytes(m, lp));
}

/** Walks a list of either encoding, not changed meanwhile; see QuickListCursor. */
export class ListCursor {
  b: Buffer;
  start: number;
  end: number;
  private readonly quick: QuickListCursor;
  private big: boolean;
  private segment: Buffer;
  private lp: number;
  private p: number;
  private backwards: boolean;
  private readonly text: Buffer;

  constructor() {
    this.text = Buffer.alloc(32);
    this.b = this.text;
    this.start = 0;
    this.end = 0;
    this.quick = new QuickListCursor();
    this.big = false;
    this.segment = this.text;
    this.lp = 0;
    this.p = -1;
    this.backwards = false;
  }

  /** Goes to the element at `index` from the front. False when there is none. */
  begin(ref: number, index: number, backwards: boolean): boolean {
    this.backwards = backwards;
    this.big = encodingOf(ref) === QUICKLIST;
    if (this.big) return this.take(this.quick.begin(quickListOf(ref), index, backwards));
    this.segment = m8[ref >>> 23];
    this.lp = packAt(ref);
    this.p = index < 0 ? -1 : lpSeek(this.segment, this.lp, index);
    return this.read();
  }

  next(): boolean {
    if (this.big) return this.take(this.quick.next());
    this.p = this.backwards ? lpPrev(this.segment, this.lp, this.p) : lpNext(this.segment, this.p);
    return this.read();
  }

  private take(more: boolean): boolean {
    this.b = this.quick.b;
    this.start = this.quick.start;
    this.end = this.quick.end;
    return more;
  }

  private read(): boolean {
    if (this.p < 0) return false;
    lpRead(this.segment, this.p);
    if (elIsInt) {
      this.b = this.text;
      this.start = 0;
      this.end = elWrite(this.segment, this.text, 0);
    } else {
      this.b = this.segment;
      this.start = elStart;
      this.end = elEnd;
    }
    return true;
  }
}

/** Bytes of the packed value, or of the quicklist's id (MEMORY USAGE). */
export function listValueBytes(ref: number): number {
  return encodingOf(ref) === QUICKLIST ? quickListOf(ref).byteSize() : valueLength(ref);
}

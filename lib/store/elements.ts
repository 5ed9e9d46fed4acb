/**
 * Big sets and hashes: a Dict of elements (entry.ts: ELEMENT_HEADER) in the arena, one JS object a collection. HOT.
 *
 *   BigSet    an element is a member
 *   BigHash   an element is a field with its value; a value over HUGE_MIN lies in the huge table (the element's encoding says HUGE)
 *
 * What a look-up of a hash finds is left in `gotB`, `gotStart`, `gotEnd`. Members and fields are limited to BLOCK_MAX bytes, values are not.
 * Leaves out the packed encodings and when a collection becomes a big one: set.ts, hash.ts.
 */
import { HUGE_MIN, alloc, copyBlock, countHeld, free, huge, hugeAlloc, hugeFree, hugeGrow, m8, fits, usableBytes } from "./arena.ts";
import { RefList, hashOf } from "./dict.ts";
import {
  ELEMENT_HEADER,
  HUGE,
  baseOf,
  copyIn,
  encodingOf,
  entryBytes,
  headBits,
  keyLength,
  keyStart,
  newElement,
  setEncoding,
  setValueLength,
  setValueWord,
  valueLength,
  valueStart,
  valueWord,
  writeHead,
} from "./entry.ts";
import { ElementTable, stamp } from "./frozen_elements.ts";
import type { BigObject } from "./objects.ts";
import { hashBytes } from "./seed.ts";

/** The value that BigHash found last. */
export let gotB: Buffer = Buffer.alloc(0);
export let gotStart = 0;
export let gotEnd = 0;

/** Bytes of an element that names a huge value: its id and its length. */
const HUGE_NAME_BYTES = 8;
const HUGE_BITS = headBits(0, HUGE);
const freeing = new RefList(64);

/** A big set; also what BigHash shares with it. */
export class BigSet extends ElementTable implements BigObject {
  /** Bytes of the elements' blocks. */
  private blockBytes: number;
  /** freeStep's place in the tables. */
  private freePosition: number;

  /** expected: elements it should hold without growing. */
  constructor(expected: number) {
    super(expected);
    this.blockBytes = 0;
    this.freePosition = 0;
  }

  byteSize(): number {
    return this.dict.byteSize() + this.blockBytes;
  }

  /** The element with the key b[start, end), 0 when there is none. */
  find(b: Buffer, start: number, end: number): number {
    return this.dict.find(b, start, end, hashBytes(b, start, end));
  }

  /** Adds a member: 1, 0 when it is there already, -1 when memory is out. */
  add(b: Buffer, start: number, end: number): number {
    const hash = hashBytes(b, start, end);
    return this.dict.find(b, start, end, hash) !== 0 ? 0 : this.addNew(b, start, end, hash);
  }

  /** Adds a member that is not there: 1, -1 when memory is out. */
  addNew(b: Buffer, start: number, end: number, hash: number): number {
    const ref = newElement(b, start, end, 0, 0);
    if (ref === 0) return -1;
    this.insert(ref, hash);
    return 1;
  }

  /** Puts a filled element into the table and the books. */
  protected insert(ref: number, hash: number): void {
    stamp(ref, this.generation);
    this.dict.insert(ref, hash);
    this.blockBytes += usableBytes(ref);
  }

  /** Gives an element another block, whose bytes are filled in. The old one is the caller's. */
  protected move(from: number, to: number, hash: number): void {
    stamp(to, this.generation);
    this.dict.replace(from, to, hash);
    this.blockBytes += usableBytes(to) - usableBytes(from);
  }

  /** Removes the element with the key b[start, end). False when there is none. */
  remove(b: Buffer, start: number, end: number): boolean {
    const hash = hashBytes(b, start, end);
    const ref = this.dict.find(b, start, end, hash);
    if (ref === 0) return false;
    this.removeRef(ref, hash);
    return true;
  }

  /** Removes and frees an element of the table. hash: of its key. */
  removeRef(ref: number, hash = hashOf(ref, ELEMENT_HEADER)): void {
    this.dict.remove(ref, hash);
    this.blockBytes -= usableBytes(ref);
    if (this.frozen !== null && this.isDue(ref)) this.keep(ref);
    else this.freeElement(ref);
  }

  protected freeElement(ref: number): void {
    free(ref);
  }

  /** Leaves an element that is out of the table to the save. */
  protected keep(ref: number): void {
    this.frozen!.keep(ref);
  }
  freeKept(ref: number): void {
    free(ref);
  }

  /** A block with a copy of the element and of all it has, 0 when memory is out. */
  protected copyElement(ref: number): number {
    const bytes = valueStart(ref, ELEMENT_HEADER) - baseOf(ref) + valueLength(ref);
    const to = alloc(bytes);
    if (to !== 0) copyBlock(ref, 0, to, 0, bytes);
    return to;
  }

  /** Copies all elements into `target`, an empty collection of the same kind. False when memory is out: free the target then. */
  copyInto(target: BigSet): boolean {
    const list = new RefList(256);
    for (let position = 0; position >= 0;) {
      list.clear();
      position = this.dict.walk(position, 128, list);
      for (let i = 0; i < list.count; i++) {
        const to = this.copyElement(list.refs[i]);
        if (to === 0) return false;
        target.insert(to, hashOf(to, ELEMENT_HEADER));
      }
    }
    return true;
  }

  /** A copy of the set (COPY), null when memory is out. */
  clone(): BigSet | null {
    return cloneInto(this, new BigSet(this.count));
  }

  freeStep(elements: number): boolean {
    if (this.freePosition < 0) return false;
    freeing.clear();
    this.freePosition = this.dict.walk(this.freePosition, elements, freeing);
    for (let i = 0; i < freeing.count; i++) this.freeElement(freeing.refs[i]);
    if (this.freePosition >= 0) return true;
    this.dict.dispose();
    return false;
  }
}

function cloneInto<T extends BigSet>(from: T, to: T): T | null {
  if (from.copyInto(to)) return to;
  while (to.freeStep(1024));
  return null;
}

/** A big hash. */
export class BigHash extends BigSet {
  /** Bytes of its values in the huge table, as the arena counts them. */
  private hugeBytes: number;

  constructor(expected: number) {
    super(expected);
    this.hugeBytes = 0;
  }

  /** Finds the field b[start, end); its value is then in gotB[gotStart, gotEnd). */
  get(b: Buffer, start: number, end: number): boolean {
    const ref = this.find(b, start, end);
    if (ref === 0) return false;
    readValue(ref);
    return true;
  }

  /** Sets a field to v[vStart, vEnd): 1 a new field, 0 another value for an old one, -1 memory is out. */
  set(b: Buffer, start: number, end: number, v: Buffer, vStart: number, vEnd: number): number {
    const hash = hashBytes(b, start, end);
    const ref = this.dict.find(b, start, end, hash);
    if (ref !== 0 && this.frozen !== null && this.isDue(ref)) return this.supersede(ref, hash, v, vStart, vEnd);
    if (ref !== 0) return this.overwrite(ref, hash, v, vStart, vEnd);
    const length = vEnd - vStart;
    if (length > HUGE_MIN) return this.addHuge(b, start, end, hash, v, vStart, vEnd);
    const to = newElement(b, start, end, 0, length);
    if (to === 0) return -1;
    copyIn(to >>> 23, valueStart(to, ELEMENT_HEADER), v, vStart, length);
    this.insert(to, hash);
    return 1;
  }

  private addHuge(b: Buffer, start: number, end: number, hash: number, v: Buffer, vStart: number, vEnd: number): number {
    const ref = newElement(b, start, end, HUGE_BITS, HUGE_NAME_BYTES);
    if (ref === 0) return -1;
    if (!nameHuge(ref, v, vStart, vEnd)) {
      free(ref);
      return -1;
    }
    this.insert(ref, hash);
    return 1;
  }

  /** Puts a new element in the place of one that a save wants as it is: 0, -1 when memory is out. */
  private supersede(ref: number, hash: number, v: Buffer, vStart: number, vEnd: number): number {
    const length = vEnd - vStart;
    const b = m8[ref >>> 23];
    const start = keyStart(ref, ELEMENT_HEADER);
    const end = start + keyLength(ref, ELEMENT_HEADER);
    const to = newElement(b, start, end, length > HUGE_MIN ? HUGE_BITS : 0, length > HUGE_MIN ? HUGE_NAME_BYTES : length);
    if (to === 0) return -1;
    if (length <= HUGE_MIN) copyIn(to >>> 23, valueStart(to, ELEMENT_HEADER), v, vStart, length);
    else if (nameHuge(to, v, vStart, vEnd)) this.hugeBytes += hugeSize(length);
    else {
      free(to);
      return -1;
    }
    this.move(ref, to, hash);
    this.keep(ref);
    return 0;
  }

  /** What lies aside is no longer a part of the hash. */
  protected override keep(ref: number): void {
    if (encodingOf(ref) === HUGE) {
      const bytes = hugeSize(valueWord(ref, ELEMENT_HEADER, 4));
      this.hugeBytes -= bytes;
      countHeld(bytes);
    }
    super.keep(ref);
  }
  override freeKept(ref: number): void {
    if (encodingOf(ref) === HUGE) {
      countHeld(-hugeSize(valueWord(ref, ELEMENT_HEADER, 4)));
      hugeFree(valueWord(ref, ELEMENT_HEADER, 0));
    }
    free(ref);
  }

  private overwrite(ref: number, hash: number, v: Buffer, vStart: number, vEnd: number): number {
    const length = vEnd - vStart;
    const wasHuge = encodingOf(ref) === HUGE;
    if (wasHuge && length > HUGE_MIN) {
      const id = valueWord(ref, ELEMENT_HEADER, 0);
      if (!hugeGrow(id, length, 0)) return -1;
      v.copy(huge[id]!, 0, vStart, vEnd);
      this.hugeBytes += hugeSize(length) - hugeSize(valueWord(ref, ELEMENT_HEADER, 4));
      setValueWord(ref, ELEMENT_HEADER, 4, length);
      return 0;
    }
    const inside = length > HUGE_MIN ? HUGE_NAME_BYTES : length;
    const field = keyLength(ref, ELEMENT_HEADER);
    const bytes = entryBytes(ELEMENT_HEADER, 0, field, inside);
    let to = ref;
    if (!fits(ref, bytes)) {
      to = alloc(bytes);
      if (to === 0) return -1;
      writeHead(to, ELEMENT_HEADER, 0, field, inside);
      copyBlock(ref, keyStart(ref, ELEMENT_HEADER) - baseOf(ref), to, keyStart(to, ELEMENT_HEADER) - baseOf(to), field);
    }
    const oldId = wasHuge ? valueWord(ref, ELEMENT_HEADER, 0) : 0;
    const oldLength = wasHuge ? valueWord(ref, ELEMENT_HEADER, 4) : 0;
    if (length <= HUGE_MIN) {
      setValueLength(to, length);
      copyIn(to >>> 23, valueStart(to, ELEMENT_HEADER), v, vStart, length);
      if (wasHuge) setEncoding(to, 0);
    } else if (!nameHuge(to, v, vStart, vEnd)) {
      if (to !== ref) free(to);
      return -1;
    }
    if (oldId !== 0) hugeFree(oldId);
    this.hugeBytes += (length > HUGE_MIN ? hugeSize(length) : 0) - hugeSize(oldLength);
    if (to !== ref) {
      this.move(ref, to, hash);
      free(ref);
    }
    return 0;
  }

  protected override freeElement(ref: number): void {
    if (encodingOf(ref) === HUGE) {
      this.hugeBytes -= hugeSize(valueWord(ref, ELEMENT_HEADER, 4));
      hugeFree(valueWord(ref, ELEMENT_HEADER, 0));
    }
    free(ref);
  }

  protected override copyElement(ref: number): number {
    const to = super.copyElement(ref);
    if (to === 0 || encodingOf(ref) !== HUGE) return to;
    readValue(ref);
    if (nameHuge(to, gotB, gotStart, gotEnd)) return to;
    free(to);
    return 0;
  }

  protected override insert(ref: number, hash: number): void {
    super.insert(ref, hash);
    if (encodingOf(ref) === HUGE) this.hugeBytes += hugeSize(valueWord(ref, ELEMENT_HEADER, 4));
  }

  override byteSize(): number {
    return super.byteSize() + this.hugeBytes;
  }

  override clone(): BigHash | null {
    return cloneInto(this, new BigHash(this.count));
  }
}

/** Bytes the arena counts for a huge value. */
function hugeSize(length: number): number {
  return Math.ceil(length / 4096) * 4096;
}

/** Puts v[start, end) into the huge table and its name into the element, which has room for it. False when memory is out. */
function nameHuge(ref: number, v: Buffer, start: number, end: number): boolean {
  const id = hugeAlloc(end - start);
  if (id === 0) return false;
  v.copy(huge[id]!, 0, start, end);
  setEncoding(ref, HUGE);
  setValueLength(ref, HUGE_NAME_BYTES);
  setValueWord(ref, ELEMENT_HEADER, 0, id);
  setValueWord(ref, ELEMENT_HEADER, 4, end - start);
  return true;
}

/** Points gotB[gotStart, gotEnd) at the value of a hash's element. */
export function readValue(ref: number): void {
  if (encodingOf(ref) === HUGE) {
    gotB = huge[valueWord(ref, ELEMENT_HEADER, 0)]!;
    gotStart = 0;
    gotEnd = valueWord(ref, ELEMENT_HEADER, 4);
    return;
  }
  gotB = m8[ref >>> 23];
  gotStart = valueStart(ref, ELEMENT_HEADER);
  gotEnd = gotStart + valueLength(ref);
}

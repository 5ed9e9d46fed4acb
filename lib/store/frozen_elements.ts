/**
 * The elements of a big set, hash or sorted set as they were when a save began, while commands go on changing the collection. HOT: isDue is
 * asked for each change of a frozen collection, stamps are written with each new element.
 *
 *   ElementTable.freeze() --> FrozenElements.next() ... next() --> 0 --> finish()      0 with `paused`: ask again, it took long to find the next one
 *
 * Each element carries the collection's generation (8 bits of word 0). freeze() raises the generation: elements of another one are "due",
 * elements made from now on are not. The walk stamps what it has handed out; a due element that is replaced or removed is not freed but kept
 * aside with all its bytes, and handed out from there. So each element of the cut comes once, as it was, and nothing is copied. The table may
 * grow and shrink meanwhile: the walk is a scan (dict.ts), and what it meets a second time is stamped.
 */
import { leafAt, indexAt, previous, refAt, setPosition, type Order } from "./btree.ts";
import { UNIT_MASK, countHeld, m32, usableBytes } from "./arena.ts";
import { Dict, RefList } from "./dict.ts";
import { ELEMENT_HEADER } from "./entry.ts";

/** Bits of an element's word 0 that hold the generation: those of a key's type, and the highest four flags. */
const GENERATION_MASK = 0xf00f0000 | 0;
/** Steps of the scan in one call of next(). */
const SCANS_A_CALL = 64;
/** Walks broken off in a row; at 255 an element could carry the coming generation from long ago. */
const UNFINISHED_MAX = 250;

function nextGeneration(bits: number): number {
  const n = (((bits >>> 16) & 15) | ((bits >>> 24) & 0xf0)) + 1;
  return ((n & 15) << 16) | ((n & 0xf0) << 24);
}

/** Puts an element into the generation. */
export function stamp(ref: number, generation: number): void {
  const m = m32[ref >>> 23];
  const i = (ref & UNIT_MASK) << 1;
  m[i] = (m[i] & ~GENERATION_MASK) | generation;
}

/** What collections made of elements have in common. */
export abstract class ElementTable {
  readonly dict: Dict;
  /** What a save has not written yet. */
  frozen: FrozenElements | null;
  /** The bits that every element carries, but for those that a save still wants. */
  generation: number;
  /** Walks that were broken off since the last whole one. */
  private unfinished: number;

  /** expected: elements it should hold without growing. */
  constructor(expected: number) {
    this.dict = new Dict(ELEMENT_HEADER, expected);
    this.frozen = null;
    this.generation = 0;
    this.unfinished = 0;
  }

  get count(): number {
    return this.dict.count;
  }

  /** Frees an element that was taken out of the table while it was due. */
  abstract freeKept(ref: number): void;

  /** The order in which the walk goes as long as nothing changes; null: the table's. */
  protected walkOrder(): Order | null {
    return null;
  }

  /** True when a save still wants the element as it is: keep() it instead of freeing or changing it. Only while frozen. */
  protected isDue(ref: number): boolean {
    return ((m32[ref >>> 23][(ref & UNIT_MASK) << 1] ^ this.generation) & GENERATION_MASK) !== 0;
  }

  /** Holds the elements there are now for a walk. */
  freeze(): FrozenElements {
    if (this.frozen !== null) throw new Error("the collection is frozen");
    if (++this.unfinished >= UNFINISHED_MAX) {
      this.dict.forEach((ref) => stamp(ref, this.generation));
      this.unfinished = 1;
    }
    this.generation = nextGeneration(this.generation);
    this.frozen = new FrozenElements(this, this.walkOrder());
    return this.frozen;
  }

  /** The walk is over; `complete`: it has handed out everything. */
  thaw(complete: boolean): void {
    this.frozen = null;
    if (complete) this.unfinished = 0;
  }
}

export class FrozenElements {
  /** Elements at the cut. */
  readonly count: number;
  /** The collection was given up meanwhile: whoever calls finish() frees it. */
  orphan: boolean;
  /** The order has changed: from here on the table is walked. */
  touched: boolean;
  /** next() has answered 0 for now only. */
  paused: boolean;
  private readonly owner: ElementTable;
  /** Removed or replaced elements, some of which were handed out before. */
  private readonly kept: RefList;
  private readonly list: RefList;
  private index: number;
  /** Next cursor of the scan; -1: it is over. */
  private cursor: number;
  private leaf: number;
  private leafIndex: number;
  private over: boolean;
  private given: number;
  /** The element handed out last: it is stamped when the next one is asked for, so that it stays until then. */
  private current: number;

  constructor(owner: ElementTable, order: Order | null) {
    this.owner = owner;
    this.count = owner.count;
    this.orphan = false;
    this.touched = false;
    this.paused = false;
    this.kept = new RefList(16);
    this.list = new RefList(64);
    this.index = 0;
    this.cursor = 0;
    this.leaf = 0;
    this.leafIndex = 0;
    this.over = false;
    this.given = 0;
    this.current = 0;
    if (order === null) return;
    order.seekLast();
    this.leaf = leafAt;
    this.leafIndex = indexAt;
  }

  /** Takes an element over that has left the table and is due. */
  keep(ref: number): void {
    this.kept.push(ref);
    countHeld(usableBytes(ref));
  }

  /** The next element, 0 when all were handed out. It stays as it is until the next call. */
  next(): number {
    if (this.current !== 0) stamp(this.current, this.owner.generation);
    this.current = this.over ? 0 : this.find();
    if (this.current !== 0) this.given++;
    else if (!this.paused) this.over = true;
    return this.current;
  }

  private find(): number {
    const { generation } = this.owner;
    this.paused = false;
    if (this.leaf !== 0 && !this.touched) {
      const ref = refAt(this.leaf, this.leafIndex);
      setPosition(this.leaf, this.leafIndex);
      previous();
      this.leaf = leafAt;
      this.leafIndex = indexAt;
      // Untouched to the end: the table has nothing more.
      if (this.leaf === 0) this.cursor = -1;
      return ref;
    }
    const { list, kept } = this;
    for (let scans = 0; ; scans++) {
      // What was due when it was listed stays allocated until it is stamped, in the table or among the kept.
      while (this.index < list.count) {
        const ref = list.refs[this.index++];
        if (due(ref, generation)) return ref;
      }
      while (kept.count > 0) {
        const ref = kept.refs[kept.count - 1];
        if (due(ref, generation)) return ref;
        kept.count--;
        this.free(ref);
      }
      if (this.cursor < 0) return 0;
      if (scans === SCANS_A_CALL) {
        this.paused = true;
        return 0;
      }
      list.clear();
      this.index = 0;
      this.cursor = this.owner.dict.scan(this.cursor, list);
      let n = 0;
      for (let i = 0; i < list.count; i++) if (due(list.refs[i], generation)) list.refs[n++] = list.refs[i];
      list.count = n;
      if (this.cursor === 0) this.cursor = -1;
    }
  }

  private free(ref: number): void {
    countHeld(-usableBytes(ref));
    this.owner.freeKept(ref);
  }

  /** The save needs nothing more: frees what was kept. */
  finish(): void {
    if (this.current !== 0) stamp(this.current, this.owner.generation);
    this.current = 0;
    for (let i = 0; i < this.kept.count; i++) this.free(this.kept.refs[i]);
    this.kept.clear();
    this.owner.thaw(this.over && this.given === this.count);
    this.over = true;
  }
}

function due(ref: number, generation: number): boolean {
  return ((m32[ref >>> 23][(ref & UNIT_MASK) << 1] ^ generation) & GENERATION_MASK) !== 0;
}

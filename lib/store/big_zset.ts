/**
 * Big sorted sets: a Dict of members (elements with their score, entry.ts HAS_SCORE) beside their order (btree.ts). HOT.
 * Leaves out the packed encoding and when a set becomes a big one: zset.ts.
 */
import { alloc, copyBlock, free, usableBytes } from "./arena.ts";
import { Order, leafAt, next, refAt, indexAt } from "./btree.ts";
import { RefList, hashOf } from "./dict.ts";
import { ELEMENT_HEADER, HAS_SCORE, baseOf, newElement, scoreOf, setScore, valueLength, valueStart } from "./entry.ts";
import { ElementTable, stamp } from "./frozen_elements.ts";
import type { BigObject } from "./objects.ts";
import { hashBytes } from "./seed.ts";

const freeing = new RefList(64);

export class BigZSet extends ElementTable implements BigObject {
  readonly order: Order;
  /** Bytes of the members' blocks. */
  private blockBytes: number;
  /** freeStep's place in the tables. */
  private freePosition: number;

  /** expected: members it should hold without growing. */
  constructor(expected: number) {
    super(expected);
    this.order = new Order();
    this.blockBytes = 0;
    this.freePosition = 0;
  }

  byteSize(): number {
    return this.dict.byteSize() + this.order.bytes + this.blockBytes;
  }

  /** The member's element, 0 when there is none. */
  find(b: Buffer, start: number, end: number): number {
    return this.dict.find(b, start, end, hashBytes(b, start, end));
  }

  /** Adds a member that is not there. False when memory is out (nothing changed). */
  add(score: number, b: Buffer, start: number, end: number): boolean {
    const ref = newElement(b, start, end, HAS_SCORE, 0);
    if (ref === 0) return false;
    setScore(ref, score);
    stamp(ref, this.generation);
    if (this.frozen !== null) this.frozen.touched = true;
    if (!this.order.insert(score, ref)) {
      free(ref);
      return false;
    }
    this.dict.insert(ref, hashBytes(b, start, end));
    this.blockBytes += usableBytes(ref);
    return true;
  }

  /** Gives a member another score. False when memory is out (the member keeps its old one). */
  rescore(ref: number, score: number): boolean {
    const old = scoreOf(ref);
    if (old === score) return true;
    if (this.frozen !== null) {
      this.frozen.touched = true;
      if (this.isDue(ref)) return this.supersede(ref, score);
    }
    this.order.remove(old, ref);
    if (this.order.insert(score, ref)) {
      setScore(ref, score);
      return true;
    }
    // The node just freed takes it back.
    this.order.insert(old, ref);
    return false;
  }

  /** As rescore, by a new element, because a save wants the old one as it is. */
  private supersede(ref: number, score: number): boolean {
    const to = this.copyElement(ref);
    if (to === 0) return false;
    setScore(to, score);
    stamp(to, this.generation);
    this.order.remove(scoreOf(ref), ref);
    if (!this.order.insert(score, to)) {
      this.order.insert(scoreOf(ref), ref);
      free(to);
      return false;
    }
    this.dict.replace(ref, to, hashOf(ref, ELEMENT_HEADER));
    this.blockBytes += usableBytes(to) - usableBytes(ref);
    this.frozen!.keep(ref);
    return true;
  }

  private copyElement(ref: number): number {
    const bytes = valueStart(ref, ELEMENT_HEADER) - baseOf(ref) + valueLength(ref);
    const to = alloc(bytes);
    if (to !== 0) copyBlock(ref, 0, to, 0, bytes);
    return to;
  }

  /** Removes a member (its element). */
  removeRef(ref: number): void {
    this.order.remove(scoreOf(ref), ref);
    this.dict.remove(ref, hashOf(ref, ELEMENT_HEADER));
    this.blockBytes -= usableBytes(ref);
    if (this.frozen !== null) {
      this.frozen.touched = true;
      if (this.isDue(ref)) return this.frozen.keep(ref);
    }
    free(ref);
  }

  freeKept(ref: number): void {
    free(ref);
  }
  /** Readers are quickest with members that come in order. */
  protected override walkOrder(): Order | null {
    return this.order;
  }

  /** Rank from 0 of a member. */
  rankOf(ref: number): number {
    return this.order.rankOf(scoreOf(ref), ref);
  }

  clone(): BigZSet | null {
    const to = new BigZSet(this.count);
    for (this.order.seekFirst(); leafAt !== 0; next()) {
      const ref = refAt(leafAt, indexAt);
      const copy = this.copyElement(ref);
      if (copy !== 0) {
        stamp(copy, to.generation);
        // insert() does not touch leafAt/indexAt of this walk: the other tree has leaves of its own.
        if (to.order.insert(scoreOf(copy), copy)) {
          to.dict.insert(copy, hashOf(copy, ELEMENT_HEADER));
          to.blockBytes += usableBytes(copy);
          continue;
        }
        free(copy);
      }
      while (to.freeStep(1024));
      return null;
    }
    return to;
  }

  freeStep(elements: number): boolean {
    if (this.freePosition >= 0) {
      freeing.clear();
      this.freePosition = this.dict.walk(this.freePosition, elements, freeing);
      for (let i = 0; i < freeing.count; i++) free(freeing.refs[i]);
      if (this.freePosition >= 0) return true;
      this.dict.dispose();
    }
    return !this.order.freeStep(elements);
  }
}

/**
 * One hash table of a Dict: buckets of 64 bytes in typed arrays. HOT: no objects per operation.
 *
 *   bucket   word 0: index of the overflow bucket that follows (0 = none); words 1-3: twelve tag bytes; words 4-15: twelve refs
 *   tag      the hash's top 7 bits with the high bit set; 0 = the slot is free
 *
 * A chain is a main bucket and its overflow buckets. Chains are dense: slots fill in order, and a removal moves the chain's last entry into
 * the hole, so only a chain's last bucket has free slots. Overflow buckets come in pages that are added, never doubled: no step copies a table.
 * Big tables are SharedArrayBuffers, which the system zeroes page by page as they are touched (a 64 MB table costs nothing to make).
 */
import { countExternal, releaseExternal } from "./arena.ts";

export const SLOTS = 12;
/** Words of a bucket, as a shift. */
export const BUCKET_SHIFT = 4;
/** Above this many bytes a table takes shared memory. */
const SHARED_MIN_BYTES = 32 << 10;
/** Old tables are given back in stretches of this many bytes while they empty. */
const RELEASE_BYTES = 1 << 20;

const HIGH_BITS = 0x80808080 | 0;
const ONES = 0x01010101;

function words(bytes: number): Int32Array {
  return bytes >= SHARED_MIN_BYTES ? new Int32Array(new SharedArrayBuffer(bytes)) : new Int32Array(bytes >> 2);
}

export class Table {
  /** Main buckets minus one; a power of two minus one. */
  readonly mask: number;
  readonly main: Int32Array;
  /** Overflow buckets: page index >> pageShift, then 16 words each. */
  readonly pages: Int32Array[];
  readonly pageShift: number;
  readonly pageMask: number;
  private overTop: number;
  private overFree: number;
  private bytes: number;
  private released: number;

  constructor(bits: number) {
    this.mask = (1 << bits) - 1;
    this.main = words(64 << bits);
    this.pages = [];
    this.pageShift = bits < 6 ? 2 : bits < 12 ? 6 : 10;
    this.pageMask = (1 << this.pageShift) - 1;
    this.overTop = 1;
    this.overFree = 0;
    this.bytes = this.main.byteLength;
    this.released = 0;
    countExternal(this.bytes);
  }

  /** Memory of the table in bytes. */
  byteSize(): number {
    return this.bytes;
  }

  /** Takes the table out of the books (and gives big ones back to the system). Nobody may use it after. */
  dispose(): void {
    countExternal(-this.bytes);
    this.bytes = 0;
    if (this.main.buffer instanceof SharedArrayBuffer)
      releaseExternal(this.main.buffer, this.released, this.main.byteLength - this.released);
  }

  /** Tells that every main bucket below `bucket` is empty for good: their memory goes back in large stretches. */
  emptiedBelow(bucket: number): void {
    const end = bucket << 6;
    if (end - this.released < RELEASE_BYTES) return;
    if (this.main.buffer instanceof SharedArrayBuffer) releaseExternal(this.main.buffer, this.released, end - this.released);
    this.released = end;
  }

  /** Puts a ref into the first free slot of the bucket's chain. tag: 128..255. */
  insert(bucket: number, tag: number, ref: number): void {
    let a = this.main;
    let base = bucket << BUCKET_SHIFT;
    while (a[base] !== 0) {
      const next = a[base];
      a = this.pages[next >> this.pageShift];
      base = (next & this.pageMask) << BUCKET_SHIFT;
    }
    let slot = freeSlot(a, base);
    if (slot === SLOTS) {
      const next = this.takeOverflow();
      a[base] = next;
      a = this.pages[next >> this.pageShift];
      base = (next & this.pageMask) << BUCKET_SHIFT;
      slot = 0;
    }
    const word = base + 1 + (slot >> 2);
    a[word] |= tag << ((slot & 3) << 3);
    a[base + 4 + slot] = ref;
  }

  /** Removes a ref from the bucket's chain. False when it is not there. */
  remove(bucket: number, ref: number): boolean {
    let a = this.main;
    let base = bucket << BUCKET_SHIFT;
    let before: Int32Array | null = null;
    let beforeBase = 0;
    for (;;) {
      for (let i = base + 4; i < base + 16; i++) {
        // A freed slot keeps no ref: it is zeroed, and no ref is 0.
        if (a[i] === ref) {
          this.fillHole(a, base, i - base - 4, before, beforeBase);
          return true;
        }
      }
      const next = a[base];
      if (next === 0) return false;
      before = a;
      beforeBase = base;
      a = this.pages[next >> this.pageShift];
      base = (next & this.pageMask) << BUCKET_SHIFT;
    }
  }

  /** Puts another ref into the slot of `from` (its key and so its tag are the same). False when it is not there. */
  replace(bucket: number, from: number, to: number): boolean {
    let a = this.main;
    let base = bucket << BUCKET_SHIFT;
    for (;;) {
      for (let i = base + 4; i < base + 16; i++) {
        if (a[i] === from) {
          a[i] = to;
          return true;
        }
      }
      const next = a[base];
      if (next === 0) return false;
      a = this.pages[next >> this.pageShift];
      base = (next & this.pageMask) << BUCKET_SHIFT;
    }
  }

  /** Moves the chain's last entry into slot `hole` of the bucket at (a, base); `before` is the bucket in front of it, null for the main one. */
  private fillHole(a: Int32Array, base: number, hole: number, before: Int32Array | null, beforeBase: number): void {
    let last = a;
    let lastBase = base;
    while (last[lastBase] !== 0) {
      before = last;
      beforeBase = lastBase;
      const next = last[lastBase];
      last = this.pages[next >> this.pageShift];
      lastBase = (next & this.pageMask) << BUCKET_SHIFT;
    }
    const slot = freeSlot(last, lastBase) - 1;
    const lastWord = lastBase + 1 + (slot >> 2);
    const lastShift = (slot & 3) << 3;
    const tag = (last[lastWord] >>> lastShift) & 0xff;
    const word = base + 1 + (hole >> 2);
    const shift = (hole & 3) << 3;
    a[word] = (a[word] & ~(0xff << shift)) | (tag << shift);
    a[base + 4 + hole] = last[lastBase + 4 + slot];
    last[lastWord] &= ~(0xff << lastShift);
    last[lastBase + 4 + slot] = 0;
    if (slot === 0 && before !== null) {
      this.giveOverflow(before[beforeBase]);
      before[beforeBase] = 0;
    }
  }

  /** Overflow buckets ever taken; some may be free again, and then their slots are. */
  overflowBuckets(): number {
    return this.overTop - 1;
  }

  /** The ref in a slot of the i-th overflow bucket (0 and up), 0 when it is free. */
  overflowSlot(i: number, slot: number): number {
    const index = i + 1;
    return this.pages[index >> this.pageShift][((index & this.pageMask) << BUCKET_SHIFT) + 4 + slot];
  }

  private takeOverflow(): number {
    const freed = this.overFree;
    if (freed !== 0) {
      const a = this.pages[freed >> this.pageShift];
      const base = (freed & this.pageMask) << BUCKET_SHIFT;
      this.overFree = a[base];
      a[base] = 0;
      return freed;
    }
    const next = this.overTop++;
    if (next >> this.pageShift === this.pages.length) {
      const page = words(64 << this.pageShift);
      this.pages.push(page);
      this.bytes += page.byteLength;
      countExternal(page.byteLength);
    }
    return next;
  }

  private giveOverflow(index: number): void {
    this.pages[index >> this.pageShift][(index & this.pageMask) << BUCKET_SHIFT] = this.overFree;
    this.overFree = index;
  }

  /** Empties a main bucket after its entries have moved to another table. Its overflow buckets go with the table. */
  clear(bucket: number): void {
    const base = bucket << BUCKET_SHIFT;
    this.main.fill(0, base, base + 16);
  }
}

/** First free slot of a bucket, SLOTS when it is full. Tags have their high bit set, free slots are 0. */
export function freeSlot(a: Int32Array, base: number): number {
  let m = ~a[base + 1] & HIGH_BITS;
  if (m !== 0) return (31 - Math.clz32(m & -m)) >>> 3;
  m = ~a[base + 2] & HIGH_BITS;
  if (m !== 0) return 4 + ((31 - Math.clz32(m & -m)) >>> 3);
  m = ~a[base + 3] & HIGH_BITS;
  return m !== 0 ? 8 + ((31 - Math.clz32(m & -m)) >>> 3) : SLOTS;
}

/** The bits of the bytes of `word` that equal the byte repeated in `pattern`: the lowest set bit is exact, higher ones may be false. */
export function matches(word: number, pattern: number): number {
  const x = word ^ pattern;
  return ((x - ONES) | 0) & ~x & HIGH_BITS;
}

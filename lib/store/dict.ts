/**
 * Dict: a hash table from key bytes to arena refs, for keyspaces and for the elements of big sets, hashes and sorted sets. HOT.
 *
 * The keys lie in the refs' blocks (entry.ts: keyOffset with the header size given here); the dict holds refs only. Callers hash once
 * (hashBytes) and pass the hash on. Keys are unique because callers look before they insert.
 *
 * Growing and shrinking: two tables, `t0` emptying into `t1` bucket by bucket, in order. `moved` is the first bucket not moved yet, and it
 * decides alone where a key is: its t0 bucket is below `moved` -> t1, else t0. So each look-up reads one table. Insertions and removals move
 * a bucket each, moveSome() more from cron; look-ups move nothing. pauseMoves() freezes all of it: refs then change buckets only by removal
 * within a chain.
 *
 *   scan(cursor)      Redis' reverse-binary cursor: whatever stays in the dict during a whole scan is reported, also across resizes
 *   walk(position)    plain order; exact while moves are paused or nothing changes
 *   randomRef()       every entry equally likely: rejection over all slots of main and overflow buckets, whatever the chains look like
 */
import { UNIT_MASK, m32, m8 } from "./arena.ts";
import { hashBytes, randomBelow } from "./seed.ts";
import { KEY_HEADER } from "./entry.ts";
import { BUCKET_SHIFT, SLOTS, Table, freeSlot, matches } from "./table.ts";

/** Entries a main bucket holds on average when a table grows; it then has half of that. "Table size" of DEBUG HTSTATS counts in these. */
export const GROW_LOAD = 8;
/** A table shrinks below this average, to one between 3 and 6. */
const SHRINK_LOAD = 2;
const AFTER_SHRINK_LOAD = 6;
/** A shrink makes a table at most this much smaller: one SCAN step visits that many buckets. */
const SHRINK_BITS_MAX = 4;
/** The largest table: 2^26 buckets are a 4 GiB buffer, the largest there is. */
const MAX_BITS = 26;
/** Empty buckets passed for each full one that a step moves. */
const EMPTY_PER_MOVE = 10;
/** Draws of the sampler before it settles for a walk. Reached only by a table that is all but empty. */
const SAMPLE_TRIES = 256;
const LONG = 0xffff;

/** A full table may wait with growing until it holds this many times its load. Redis HASHTABLE_MAX_LOAD_FACTOR. */
const OVERLOAD = 1.618;
/** Asked before a keyspace's table grows by so many bytes: false puts it off (maxmemory). */
let growthGuard: ((bytes: number) => boolean) | null = null;

export function setGrowthGuard(guard: ((bytes: number) => boolean) | null): void {
  growthGuard = guard;
}

/** A growing list of refs that callers own and reuse (scan, walk). */
export class RefList {
  refs: Int32Array;
  count: number;

  constructor(capacity = 256) {
    this.refs = new Int32Array(capacity);
    this.count = 0;
  }

  clear(): void {
    this.count = 0;
  }

  push(ref: number): void {
    if (this.count === this.refs.length) {
      const wider = new Int32Array(this.refs.length * 2);
      wider.set(this.refs);
      this.refs = wider;
    }
    this.refs[this.count++] = ref;
  }
}

export class Dict {
  /** Entries in the dict. */
  count: number;
  /** A running snapshot still has to walk it: it must not be freed (snapshot.ts). */
  pinned: boolean;
  /** The database it belonged to when that snapshot began. */
  cutIndex: number;
  private readonly header: number;
  private readonly minBits: number;
  private t0: Table;
  private t1: Table | null;
  private moved: number;
  private paused: number;

  /** header: KEY_HEADER or ELEMENT_HEADER (entry.ts). expected: entries it should hold without growing. */
  constructor(header: number, expected = 0) {
    this.header = header;
    this.minBits = 2;
    this.count = 0;
    this.pinned = false;
    this.cutIndex = 0;
    this.t0 = new Table(Math.max(this.minBits, bitsFor(expected, GROW_LOAD)));
    this.t1 = null;
    this.moved = 0;
    this.paused = 0;
  }

  /** The ref whose key is b[start, end), 0 when there is none. hash = hashBytes(b, start, end). */
  find(b: Buffer, start: number, end: number, hash: number): number {
    let t = this.t0;
    let bucket = hash & t.mask;
    if (bucket < this.moved) {
      t = this.t1!;
      bucket = hash & t.mask;
    }
    const pattern = Math.imul((hash >>> 25) | 0x80, 0x01010101);
    const header = this.header;
    let a = t.main;
    let base = bucket << BUCKET_SHIFT;
    for (;;) {
      for (let m = matches(a[base + 1], pattern); m !== 0; m &= m - 1) {
        const ref = a[base + 4 + ((31 - Math.clz32(m & -m)) >>> 3)];
        if (sameKey(ref, header, b, start, end)) return ref;
      }
      for (let m = matches(a[base + 2], pattern); m !== 0; m &= m - 1) {
        const ref = a[base + 8 + ((31 - Math.clz32(m & -m)) >>> 3)];
        if (sameKey(ref, header, b, start, end)) return ref;
      }
      for (let m = matches(a[base + 3], pattern); m !== 0; m &= m - 1) {
        const ref = a[base + 12 + ((31 - Math.clz32(m & -m)) >>> 3)];
        if (sameKey(ref, header, b, start, end)) return ref;
      }
      const next = a[base];
      if (next === 0) return 0;
      a = t.pages[next >> t.pageShift];
      base = (next & t.pageMask) << BUCKET_SHIFT;
    }
  }

  /** Adds a ref whose key is not in the dict yet. */
  insert(ref: number, hash: number): void {
    if (this.t1 !== null) this.moveSome(1);
    else if (this.count >= (this.t0.mask + 1) * GROW_LOAD) this.resize();
    const tag = (hash >>> 25) | 0x80;
    const bucket = hash & this.t0.mask;
    if (bucket < this.moved) this.t1!.insert(hash & this.t1!.mask, tag, ref);
    else this.t0.insert(bucket, tag, ref);
    this.count++;
  }

  /** Takes a ref out. hash: of its key. False when it is not in the dict. */
  remove(ref: number, hash: number): boolean {
    if (this.t1 !== null) this.moveSome(1);
    const bucket = hash & this.t0.mask;
    const found = bucket < this.moved ? this.t1!.remove(hash & this.t1!.mask, ref) : this.t0.remove(bucket, ref);
    if (!found) return false;
    this.count--;
    if (this.t1 === null && this.count < (this.t0.mask + 1) * SHRINK_LOAD) this.resize();
    return true;
  }

  /** Puts the new ref of a moved entry in place of the old one. hash: of its key. */
  replace(from: number, to: number, hash: number): boolean {
    const bucket = hash & this.t0.mask;
    return bucket < this.moved ? this.t1!.replace(hash & this.t1!.mask, from, to) : this.t0.replace(bucket, from, to);
  }

  /** True when this very ref is in the dict under this hash (is a remembered ref still what it was?). */
  holds(ref: number, hash: number): boolean {
    return this.replace(ref, ref, hash);
  }

  // ---- resizing

  /** Makes room for `expected` entries at once; only while the dict is empty (loading). */
  reserve(expected: number): void {
    const bits = bitsFor(expected, GROW_LOAD);
    if (this.count !== 0 || this.t1 !== null || this.paused !== 0 || bits <= bitsOf(this.t0.mask)) return;
    this.t0.dispose();
    this.t0 = new Table(bits);
  }

  /** Freezes the tables: no entry changes its chain until resumeMoves(). Nests. */
  pauseMoves(): void {
    this.paused++;
  }

  resumeMoves(): void {
    this.paused--;
  }

  /** True while entries are being moved from one table to another. */
  moving(): boolean {
    return this.t1 !== null;
  }

  /** Begins a move to a table that suits the count, if the present one does not. */
  private resize(): void {
    if (this.paused !== 0 || this.t1 !== null) return;
    const bits = bitsOf(this.t0.mask);
    let next = bits;
    if (this.count >= (this.t0.mask + 1) * GROW_LOAD) next = Math.min(MAX_BITS, Math.max(bits + 1, bitsFor(this.count, GROW_LOAD)));
    else if (this.count < (this.t0.mask + 1) * SHRINK_LOAD)
      next = Math.max(this.minBits, bits - SHRINK_BITS_MAX, bitsFor(this.count, AFTER_SHRINK_LOAD));
    if (next === bits) return;
    if (next > bits && growthGuard !== null && this.header === KEY_HEADER && this.count < (this.t0.mask + 1) * GROW_LOAD * OVERLOAD)
      if (!growthGuard(4 << (BUCKET_SHIFT + next))) return;
    this.t1 = new Table(next);
    this.moved = 0;
  }

  /** Moves up to `buckets` full buckets (and passes ten times as many empty ones). True while there is more to move. For cron's slices too. */
  moveSome(buckets: number): boolean {
    const to = this.t1;
    if (to === null) {
      this.resize(); // after a pause the table may have become too small or too large unnoticed
      return this.t1 !== null;
    }
    if (this.paused !== 0) return false;
    const from = this.t0;
    let empty = buckets * EMPTY_PER_MOVE;
    while (this.moved <= from.mask) {
      const bucket = this.moved;
      const base = bucket << BUCKET_SHIFT;
      if (from.main[base + 1] === 0) {
        this.moved++;
        if (--empty === 0) break;
        continue;
      }
      this.moveBucket(from, to, bucket);
      this.moved++;
      if (--buckets <= 0) break;
    }
    from.emptiedBelow(this.moved);
    if (this.moved <= from.mask) return true;
    this.t0 = to;
    this.t1 = null;
    this.moved = 0;
    from.dispose();
    return false;
  }

  private moveBucket(from: Table, to: Table, bucket: number): void {
    const grows = to.mask > from.mask;
    const header = this.header;
    let a = from.main;
    let base = bucket << BUCKET_SHIFT;
    for (;;) {
      const used = freeSlot(a, base);
      for (let i = 0; i < used; i++) {
        const ref = a[base + 4 + i];
        const tag = (a[base + 1 + (i >> 2)] >>> ((i & 3) << 3)) & 0xff;
        // A smaller table needs fewer bits of the hash than the bucket's number has; a larger one needs bits nobody kept.
        to.insert((grows ? hashOf(ref, header) : bucket) & to.mask, tag, ref);
      }
      const next = a[base];
      if (next === 0) break;
      if (a !== from.main) a.fill(0, base, base + 16); // the sampler looks into overflow buckets too
      a = from.pages[next >> from.pageShift];
      base = (next & from.pageMask) << BUCKET_SHIFT;
    }
    if (a !== from.main) a.fill(0, base, base + 16);
    from.clear(bucket);
  }

  /** Memory of the tables in bytes (the entries' blocks are the arena's). */
  byteSize(): number {
    return this.t0.byteSize() + (this.t1 === null ? 0 : this.t1.byteSize());
  }

  /** Main buckets of both tables (DEBUG HTSTATS, flush slices). */
  buckets(): number {
    return this.t0.mask + 1 + (this.t1 === null ? 0 : this.t1.mask + 1);
  }

  /** Lengths of all chains of the table that empties (or is the only one), or of the one being filled; null when there is none. Cold. */
  chainLengths(ofTarget: boolean): Int32Array | null {
    const t = ofTarget ? this.t1 : this.t0;
    if (t === null) return null;
    const list = new RefList(64);
    const lengths = new Int32Array(t.mask + 1);
    for (let i = 0; i <= t.mask; i++) {
      list.clear();
      pushChain(t, i, list);
      lengths[i] = list.count;
    }
    return lengths;
  }

  /** Takes the tables out of the books. Entries are the caller's to free before; nobody may use the dict after. */
  dispose(): void {
    this.t0.dispose();
    if (this.t1 !== null) this.t1.dispose();
    this.count = 0;
  }

  // ---- visiting

  /**
   * One SCAN step: adds the refs of the cursor's chain(s) to `into` (not cleared here) and returns the next cursor, 0 at the end.
   * Begin with 0. Cursors are uint32. Redis dict.c (its cursor): high bits are counted first, so that a chain that splits or merges between two
   * calls is either wholly before the cursor or wholly after it.
   */
  scan(cursor: number, into: RefList): number {
    let v = cursor | 0;
    if (this.t1 === null) {
      pushChain(this.t0, v & this.t0.mask, into);
      return nextCursor(v, this.t0.mask) >>> 0;
    }
    const grows = this.t1.mask > this.t0.mask;
    const small = grows ? this.t0 : this.t1;
    const large = grows ? this.t1 : this.t0;
    pushChain(small, v & small.mask, into);
    const between = small.mask ^ large.mask;
    do {
      pushChain(large, v & large.mask, into);
      v = nextCursor(v, large.mask);
    } while ((v & between) !== 0);
    return v >>> 0;
  }

  /**
   * Plain walk: adds refs to `into` from `position` (begin with 0) until it holds at least `limit`, whole chains at a time, or until a
   * bounded number of buckets was passed: a step over an all but empty table stays short, and may add nothing.
   * Returns the next position, -1 at the end. Exact only while moves are paused or the dict is not touched.
   */
  walk(position: number, limit: number, into: RefList): number {
    const first = this.t0.mask + 1;
    const last = this.buckets();
    let p = position < this.moved ? this.moved : position;
    const stop = Math.min(last, p + limit * 4 + 64);
    while (p < stop) {
      if (p < first) pushChain(this.t0, p, into);
      else pushChain(this.t1!, p - first, into);
      p++;
      if (into.count >= limit) break;
    }
    return p < last ? p : -1;
  }

  /** Cold: calls fn with every ref. fn must not add or remove. */
  forEach(fn: (ref: number) => void): void {
    const list = new RefList(64);
    let position = 0;
    while (position >= 0) {
      list.clear();
      position = this.walk(position, 32, list);
      for (let i = 0; i < list.count; i++) fn(list.refs[i]);
    }
  }

  /** An entry picked fairly, 0 when the dict is empty. */
  randomRef(): number {
    if (this.count === 0) return 0;
    const t0 = this.t0;
    const t1 = this.t1;
    const left = t0.mask + 1 - this.moved;
    const right = t1 === null ? 0 : this.targets(t0, t1);
    const over = t0.overflowBuckets();
    const total = left + right + over + (t1 === null ? 0 : t1.overflowBuckets());
    for (let i = 0; i < SAMPLE_TRIES; i++) {
      const pick = randomBelow(total);
      const slot = randomBelow(SLOTS);
      let ref: number;
      if (pick < left) ref = t0.main[((this.moved + pick) << BUCKET_SHIFT) + 4 + slot];
      else if (pick < left + right) ref = t1!.main[(this.target(t0, t1!, pick - left) << BUCKET_SHIFT) + 4 + slot];
      else if (pick < left + right + over) ref = t0.overflowSlot(pick - left - right, slot);
      else ref = t1!.overflowSlot(pick - left - right - over, slot);
      if (ref !== 0) return ref;
    }
    return this.walkFrom(randomBelow(left + right), left, right);
  }

  /** Buckets of t1 that something may have moved into. */
  private targets(t0: Table, t1: Table): number {
    if (t1.mask > t0.mask) return this.moved * ((t1.mask + 1) / (t0.mask + 1));
    return Math.min(this.moved, t1.mask + 1);
  }

  /** The i-th of them. */
  private target(t0: Table, t1: Table, i: number): number {
    return t1.mask > t0.mask ? Math.floor(i / this.moved) * (t0.mask + 1) + (i % this.moved) : i;
  }

  /** The sampler's last resort: a random entry of the first chain that has any, from a random place on. */
  private walkFrom(start: number, left: number, right: number): number {
    const list = new RefList(64);
    const total = left + right;
    for (let i = 0; i < total; i++) {
      const pick = (start + i) % total;
      if (pick < left) pushChain(this.t0, this.moved + pick, list);
      else pushChain(this.t1!, this.target(this.t0, this.t1!, pick - left), list);
      if (list.count > 0) return list.refs[randomBelow(list.count)];
    }
    return 0;
  }
}

function bitsOf(mask: number): number {
  return 32 - Math.clz32(mask);
}

/** Bits of the smallest table with at most `load` entries a bucket. */
function bitsFor(entries: number, load: number): number {
  const buckets = Math.ceil(entries / load);
  return buckets <= 1 ? 0 : Math.min(MAX_BITS, 32 - Math.clz32(buckets - 1));
}

/** The hash of an entry's own key. */
export function hashOf(ref: number, header: number): number {
  const m = m32[ref >>> 23];
  const unit = ref & UNIT_MASK;
  const word = m[unit << 1];
  const start = (unit << 3) + header + ((word >>> 24) & 12);
  let length = word & LONG;
  if (length === LONG) length = m[(unit << 1) + ((header + ((word >>> 24) & 8)) >> 2)];
  return hashBytes(m8[ref >>> 23], start, start + length);
}

function sameKey(ref: number, header: number, b: Buffer, start: number, end: number): boolean {
  const length = end - start;
  const mine = m8[ref >>> 23];
  const base = (ref & UNIT_MASK) << 3;
  // Word 0 read as bytes (little-endian): the key is compared in the same view.
  if ((mine[base] | (mine[base + 1] << 8)) !== (length < LONG ? length : LONG)) return false;
  let k = base + header + (mine[base + 3] & 12);
  if (length > 64) {
    if (length >= LONG && m32[ref >>> 23][(base + header + (mine[base + 3] & 8)) >> 2] !== length) return false;
    return mine.compare(b, start, end, k, k + length) === 0;
  }
  // Four bytes a turn: the branches cost more than the loads.
  let j = start;
  for (const stop = end - 3; j < stop; j += 4, k += 4) {
    if (((mine[k] ^ b[j]) | (mine[k + 1] ^ b[j + 1]) | (mine[k + 2] ^ b[j + 2]) | (mine[k + 3] ^ b[j + 3])) !== 0) return false;
  }
  for (; j < end; j++, k++) if (mine[k] !== b[j]) return false;
  return true;
}

function pushChain(t: Table, bucket: number, into: RefList): void {
  let a = t.main;
  let base = bucket << BUCKET_SHIFT;
  for (;;) {
    const used = freeSlot(a, base);
    for (let i = 0; i < used; i++) into.push(a[base + 4 + i]);
    const next = a[base];
    if (next === 0) return;
    a = t.pages[next >> t.pageShift];
    base = (next & t.pageMask) << BUCKET_SHIFT;
  }
}

/** Adds one to the cursor's bits under `mask`, the highest bit first. */
function nextCursor(cursor: number, mask: number): number {
  return reverse((reverse(cursor | ~mask) + 1) | 0);
}

function reverse(value: number): number {
  let v = value;
  v = ((v >>> 1) & 0x55555555) | ((v & 0x55555555) << 1);
  v = ((v >>> 2) & 0x33333333) | ((v & 0x33333333) << 2);
  v = ((v >>> 4) & 0x0f0f0f0f) | ((v & 0x0f0f0f0f) << 4);
  v = ((v >>> 8) & 0x00ff00ff) | ((v & 0x00ff00ff) << 8);
  return (v >>> 16) | (v << 16);
}

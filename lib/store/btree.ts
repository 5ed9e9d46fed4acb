/**
 * The order of a big sorted set: a counted B+tree of its members by (score, member bytes), off-heap. HOT.
 *
 *   inner node (1 KiB): up to 50 children, each with its subtree's count and its smallest (score, ref)
 *   leaf       (1 KiB): up to 84 (score, ref), linked both ways; scores stand beside the refs, so that a search reads one block
 *
 * Members are elements of entry.ts (ELEMENT_HEADER, HAS_SCORE); the tree holds their refs and never frees them. Counts make ranks
 * logarithmic. Positions are handed over in `leafAt` / `indexAt` (module variables: no object per search).
 * Leaves out the member table and the commands' rules (zset.ts).
 */
import { UNIT_MASK, alloc, f64, free, m32, m8 } from "./arena.ts";
import { ELEMENT_HEADER, keyLength, keyStart } from "./entry.ts";

const NODE_BYTES = 1024;
const LEAF_CAP = 84;
const INNER_CAP = 50;
/** Words from the block's start: count, next, previous; scores from unit 2 on; then refs (leaf), or children, counts, smallest refs (inner). */
const LEAF_REFS = 4 + LEAF_CAP * 2;
const INNER_CHILD = 4 + INNER_CAP * 2;
const INNER_COUNT = INNER_CHILD + INNER_CAP;
const INNER_MIN = INNER_COUNT + INNER_CAP;
const LEAF_JOIN = (LEAF_CAP * 3) >> 2;
const INNER_JOIN = (INNER_CAP * 3) >> 2;

/** Where the last search ended: a leaf (0: nowhere) and an index in it. */
export let leafAt = 0;
export let indexAt = 0;

// The way down of the last descent: nodes and the child index taken in each.
const pathNode = new Int32Array(16);
const pathIndex = new Int32Array(16);

/** Order of two members by their bytes: memcmp, then the shorter first. */
export function compareMembers(a: number, b: number): number {
  const la = keyLength(a, ELEMENT_HEADER);
  return compareMember(b, m8[a >>> 23], keyStart(a, ELEMENT_HEADER), la) * -1;
}

/** Order of member `ref` against buf[start, start + length). */
export function compareMember(ref: number, buf: Uint8Array, start: number, length: number): number {
  const n = keyLength(ref, ELEMENT_HEADER);
  const b = m8[ref >>> 23];
  let p = keyStart(ref, ELEMENT_HEADER);
  let q = start;
  const stop = p + (n < length ? n : length);
  while (p < stop) {
    const d = b[p++] - buf[q++];
    if (d !== 0) return d;
  }
  return n - length;
}

function words(ref: number): Int32Array {
  return m32[ref >>> 23];
}
function base(ref: number): number {
  return (ref & UNIT_MASK) << 1;
}

/** Score and member ref at (leaf, index). */
export function scoreAt(leaf: number, index: number): number {
  return f64[leaf >>> 23][(leaf & UNIT_MASK) + 2 + index];
}
export function refAt(leaf: number, index: number): number {
  return words(leaf)[base(leaf) + LEAF_REFS + index];
}
/** Goes back to a position kept from leafAt/indexAt; the tree must not have changed. */
export function setPosition(leaf: number, index: number): void {
  leafAt = leaf;
  indexAt = index;
}
/** Moves leafAt/indexAt one on; leafAt is 0 past the end. */
export function next(): void {
  if (leafAt === 0) return;
  const w = words(leafAt);
  const b = base(leafAt);
  if (++indexAt < w[b]) return;
  leafAt = w[b + 1];
  indexAt = 0;
}
/** Moves leafAt/indexAt one back; leafAt is 0 before the start. */
export function previous(): void {
  if (leafAt === 0 || --indexAt >= 0) return;
  leafAt = words(leafAt)[base(leafAt) + 2];
  if (leafAt !== 0) indexAt = words(leafAt)[base(leafAt)] - 1;
}

export class Order {
  /** Elements. */
  count: number;
  private root: number;
  /** Levels of inner nodes above the leaves. */
  private depth: number;
  private head: number;
  private tail: number;
  /** Bytes of the nodes. */
  bytes: number;

  constructor() {
    this.count = 0;
    this.root = 0;
    this.depth = 0;
    this.head = 0;
    this.tail = 0;
    this.bytes = 0;
  }

  /** Puts a new member in. False when memory is out (nothing changed). The member must not be there yet. */
  insert(score: number, ref: number): boolean {
    if (this.root === 0) {
      const leaf = this.newNode();
      if (leaf === 0) return false;
      this.root = this.head = this.tail = leaf;
      this.depth = 0;
    }
    const leaf = this.descend(score, ref);
    const w = words(leaf);
    const b = base(leaf);
    const n = w[b];
    const i = this.leafPosition(leaf, score, ref);
    if (n < LEAF_CAP) {
      leafOpen(leaf, i);
      leafPut(leaf, i, score, ref);
      w[b] = n + 1;
      this.grew(1, i === 0 ? score : 0, ref, i === 0);
    } else if (!this.splitLeaf(leaf, i, score, ref)) return false;
    this.count++;
    return true;
  }

  /** Takes (score, ref) out. False when it is not there. */
  remove(score: number, ref: number): boolean {
    if (this.root === 0) return false;
    const leaf = this.descend(score, ref);
    const i = this.leafPosition(leaf, score, ref);
    const w = words(leaf);
    const b = base(leaf);
    if (i >= w[b] || w[b + LEAF_REFS + i] !== ref) return false;
    this.takeOut(leaf, i);
    return true;
  }

  /** The member moved in memory (same bytes, same score): its new ref. */
  replace(score: number, ref: number, to: number): void {
    const leaf = this.descend(score, ref);
    const i = this.leafPosition(leaf, score, ref);
    const w = words(leaf);
    const b = base(leaf);
    if (i >= w[b] || w[b + LEAF_REFS + i] !== ref) return;
    w[b + LEAF_REFS + i] = to;
    if (i === 0) this.fixMinimum(scoreAt(leaf, 0), to);
  }

  private takeOut(leaf: number, i: number): void {
    const w = words(leaf);
    const b = base(leaf);
    const n = w[b] - 1;
    leafClose(leaf, i, n);
    w[b] = n;
    this.count--;
    if (n === 0) {
      this.unlinkLeaf(leaf);
      this.dropChild(this.depth - 1, leaf);
      return;
    }
    this.grew(-1, i === 0 ? scoreAt(leaf, 0) : 0, i === 0 ? w[b + LEAF_REFS] : 0, i === 0);
    if (n < LEAF_CAP >> 2 && this.depth > 0) this.joinLeaf();
  }

  /** Rank from 0 of a member that is there. */
  rankOf(score: number, ref: number): number {
    const leaf = this.descend(score, ref);
    let rank = this.leafPosition(leaf, score, ref);
    for (let d = 0; d < this.depth; d++) {
      const w = words(pathNode[d]);
      const b = base(pathNode[d]);
      for (let i = 0; i < pathIndex[d]; i++) rank += w[b + INNER_COUNT + i];
    }
    return rank;
  }

  /** Sets leafAt/indexAt to the element of that rank; leafAt 0 when there is none. */
  seekRank(rank: number): void {
    if (rank < 0 || rank >= this.count) {
      leafAt = 0;
      return;
    }
    let node = this.root;
    for (let d = 0; d < this.depth; d++) {
      const w = words(node);
      const b = base(node);
      let i = 0;
      while (rank >= w[b + INNER_COUNT + i]) rank -= w[b + INNER_COUNT + i++];
      node = w[b + INNER_CHILD + i];
    }
    leafAt = node;
    indexAt = rank;
  }

  /** How many elements have a score below `score` (or equal to it too). Then seekRank(that) is the first one at or above (or above). */
  countBelow(score: number, orEqual: boolean): number {
    if (this.root === 0) return 0;
    let node = this.root;
    let rank = 0;
    for (let d = 0; d < this.depth; d++) {
      const w = words(node);
      const b = base(node);
      const f = f64[node >>> 23];
      const u = (node & UNIT_MASK) + 2;
      const n = w[b];
      let i = 0;
      // The last child whose smallest score is still below the bound may hold it; all before are wholly below.
      while (i + 1 < n && (orEqual ? f[u + i + 1] <= score : f[u + i + 1] < score)) rank += w[b + INNER_COUNT + i++];
      node = w[b + INNER_CHILD + i];
    }
    const f = f64[node >>> 23];
    const u = (node & UNIT_MASK) + 2;
    let low = 0;
    let high = words(node)[base(node)];
    while (low < high) {
      const mid = (low + high) >> 1;
      if (orEqual ? f[u + mid] <= score : f[u + mid] < score) low = mid + 1;
      else high = mid;
    }
    return rank + low;
  }

  /** As countBelow, by member bytes: meant for sets whose scores are all equal (ZRANGEBYLEX). */
  countBelowMember(buf: Uint8Array, start: number, length: number, orEqual: boolean): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const mid = Math.floor((low + high) / 2);
      this.seekRank(mid);
      const c = compareMember(refAt(leafAt, indexAt), buf, start, length);
      if (c < 0 || (orEqual && c === 0)) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  /** Sets leafAt/indexAt to the first (or last) element. */
  seekFirst(): void {
    leafAt = this.head;
    indexAt = 0;
  }
  seekLast(): void {
    leafAt = this.tail;
    indexAt = this.tail === 0 ? 0 : words(this.tail)[base(this.tail)] - 1;
  }

  /** Frees at most `budget` nodes of a tree that nobody uses any more; true when none is left. Members are the caller's to free. */
  freeStep(budget: number): boolean {
    // Leaves hang in their list; inner nodes go last, all at once: there is one for about forty leaves.
    while (this.head !== 0 && budget-- > 0) {
      const leaf = this.head;
      this.head = words(leaf)[base(leaf) + 1];
      if (this.depth > 0 || leaf !== this.root) this.freeNode(leaf);
      else {
        this.freeNode(leaf);
        this.root = 0;
      }
    }
    if (this.head !== 0) return false;
    if (this.root !== 0 && this.depth > 0) this.freeInner(this.root, this.depth);
    this.root = this.tail = 0;
    this.count = this.depth = 0;
    return true;
  }
  private freeInner(node: number, levels: number): void {
    if (levels > 1) {
      const w = words(node);
      const b = base(node);
      for (let i = 0; i < w[b]; i++) this.freeInner(w[b + INNER_CHILD + i], levels - 1);
    }
    this.freeNode(node);
  }

  // ------------------------------------------------------------------------------------------------ nodes

  private newNode(): number {
    const node = alloc(NODE_BYTES);
    if (node === 0) return 0;
    this.bytes += NODE_BYTES;
    const w = words(node);
    const b = base(node);
    w[b] = w[b + 1] = w[b + 2] = 0;
    return node;
  }
  private freeNode(node: number): void {
    this.bytes -= NODE_BYTES;
    free(node);
  }

  /** Goes down to the leaf where (score, ref) is or belongs; fills in the path. */
  private descend(score: number, ref: number): number {
    let node = this.root;
    for (let d = 0; d < this.depth; d++) {
      const w = words(node);
      const b = base(node);
      const f = f64[node >>> 23];
      const u = (node & UNIT_MASK) + 2;
      let low = 1;
      let high = w[b];
      while (low < high) {
        const mid = (low + high) >> 1;
        const s = f[u + mid];
        if (s < score || (s === score && compareMembers(w[b + INNER_MIN + mid], ref) <= 0)) low = mid + 1;
        else high = mid;
      }
      pathNode[d] = node;
      pathIndex[d] = low - 1;
      node = w[b + INNER_CHILD + low - 1];
    }
    return node;
  }

  /** First index of the leaf whose element is not below (score, ref). */
  private leafPosition(leaf: number, score: number, ref: number): number {
    const w = words(leaf);
    const b = base(leaf);
    const f = f64[leaf >>> 23];
    const u = (leaf & UNIT_MASK) + 2;
    let low = 0;
    let high = w[b];
    while (low < high) {
      const mid = (low + high) >> 1;
      const s = f[u + mid];
      if (s < score || (s === score && w[b + LEAF_REFS + mid] !== ref && compareMembers(w[b + LEAF_REFS + mid], ref) < 0)) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  /** Adds `delta` to the counts along the path; when the leaf's first element changed, the smallest ones too. */
  private grew(delta: number, score: number, ref: number, first: boolean): void {
    for (let d = this.depth - 1; d >= 0; d--) {
      const i = pathIndex[d];
      words(pathNode[d])[base(pathNode[d]) + INNER_COUNT + i] += delta;
    }
    if (first) this.fixMinimum(score, ref);
  }
  private fixMinimum(score: number, ref: number): void {
    for (let d = this.depth - 1; d >= 0; d--) {
      const node = pathNode[d];
      const i = pathIndex[d];
      f64[node >>> 23][(node & UNIT_MASK) + 2 + i] = score;
      words(node)[base(node) + INNER_MIN + i] = ref;
      if (i > 0) return;
    }
  }

  private splitLeaf(leaf: number, i: number, score: number, ref: number): boolean {
    const right = this.newNode();
    if (right === 0) return false;
    if (!this.roomAbove()) {
      this.freeNode(right);
      return false;
    }
    const w = words(leaf);
    const b = base(leaf);
    const rw = words(right);
    const rb = base(right);
    // Members that come in order fill their leaves: the full leaf stays, the new one starts a leaf.
    const half = leaf === this.tail && i === LEAF_CAP ? LEAF_CAP : LEAF_CAP >> 1;
    for (let k = half; k < LEAF_CAP; k++) leafPut(right, k - half, scoreAt(leaf, k), w[b + LEAF_REFS + k]);
    w[b] = half;
    rw[rb] = LEAF_CAP - half;
    const after = w[b + 1];
    rw[rb + 1] = after;
    rw[rb + 2] = leaf;
    w[b + 1] = right;
    if (after === 0) this.tail = right;
    else words(after)[base(after) + 2] = right;
    const into = i > half || half === LEAF_CAP ? right : leaf;
    const at = into === right ? i - half : i;
    leafOpen(into, at);
    leafPut(into, at, score, ref);
    words(into)[base(into)]++;
    this.addChild(this.depth - 1, leaf, w[b], right, rw[rb]);
    return true;
  }

  /** Makes sure that every node on the path can take one child more: nodes are made before anything changes. */
  private spare: number[] = [];
  private roomAbove(): boolean {
    let need = 0;
    let d = this.depth - 1;
    while (d >= 0 && words(pathNode[d])[base(pathNode[d])] === INNER_CAP) {
      need++;
      d--;
    }
    if (d < 0) need++;
    while (this.spare.length < need) {
      const node = this.newNode();
      if (node === 0) return false;
      this.spare.push(node);
    }
    return true;
  }

  /** At path level d (-1: above the root), child `left` of the path now has a sibling `right` behind it. */
  private addChild(d: number, left: number, leftCount: number, right: number, rightCount: number): void {
    if (d < 0) {
      const root = this.spare.pop()!;
      words(root)[base(root)] = 0;
      innerPut(root, 0, left, leftCount, this.firstScore(left, this.depth), this.firstRef(left, this.depth));
      innerPut(root, 1, right, rightCount, this.firstScore(right, this.depth), this.firstRef(right, this.depth));
      words(root)[base(root)] = 2;
      this.root = root;
      this.depth++;
      return;
    }
    const node = pathNode[d];
    const w = words(node);
    const b = base(node);
    const i = pathIndex[d];
    const level = this.depth - 1 - d;
    w[b + INNER_COUNT + i] = leftCount;
    f64[node >>> 23][(node & UNIT_MASK) + 2 + i] = this.firstScore(left, level);
    w[b + INNER_MIN + i] = this.firstRef(left, level);
    const n = w[b];
    if (n < INNER_CAP) {
      innerOpen(node, i + 1);
      innerPut(node, i + 1, right, rightCount, this.firstScore(right, level), this.firstRef(right, level));
      w[b] = n + 1;
      this.raise(d);
      return;
    }
    const sibling = this.spare.pop()!;
    const sw = words(sibling);
    const sb = base(sibling);
    const half = i === INNER_CAP - 1 ? INNER_CAP - 1 : INNER_CAP >> 1;
    for (let k = half; k < INNER_CAP; k++)
      innerPut(
        sibling,
        k - half,
        w[b + INNER_CHILD + k],
        w[b + INNER_COUNT + k],
        f64[node >>> 23][(node & UNIT_MASK) + 2 + k],
        w[b + INNER_MIN + k],
      );
    w[b] = half;
    sw[sb] = INNER_CAP - half;
    const into = i + 1 > half ? sibling : node;
    const at = into === sibling ? i + 1 - half : i + 1;
    innerOpen(into, at);
    innerPut(into, at, right, rightCount, this.firstScore(right, level), this.firstRef(right, level));
    words(into)[base(into)]++;
    this.addChild(d - 1, node, total(node), sibling, total(sibling));
  }

  /** Counts and smallest elements above level d, after the node there changed (one element came). */
  private raise(d: number): void {
    for (let k = d - 1; k >= 0; k--) {
      const child = pathNode[k + 1];
      const node = pathNode[k];
      const i = pathIndex[k];
      const w = words(node);
      const b = base(node);
      w[b + INNER_COUNT + i] += 1;
      f64[node >>> 23][(node & UNIT_MASK) + 2 + i] = f64[child >>> 23][(child & UNIT_MASK) + 2];
      w[b + INNER_MIN + i] = words(child)[base(child) + INNER_MIN];
    }
  }

  private firstScore(node: number, _level: number): number {
    return f64[node >>> 23][(node & UNIT_MASK) + 2];
  }
  private firstRef(node: number, level: number): number {
    return words(node)[base(node) + (level === 0 ? LEAF_REFS : INNER_MIN)];
  }

  private unlinkLeaf(leaf: number): void {
    const w = words(leaf);
    const b = base(leaf);
    const after = w[b + 1];
    const before = w[b + 2];
    if (before === 0) this.head = after;
    else words(before)[base(before) + 1] = after;
    if (after === 0) this.tail = before;
    else words(after)[base(after) + 2] = before;
  }

  /** The child taken at level d is empty: frees it and takes it out, upwards as long as nodes become empty. */
  private dropChild(d: number, child: number): void {
    this.freeNode(child);
    if (d < 0) {
      this.root = 0;
      this.depth = 0;
      return;
    }
    const node = pathNode[d];
    const w = words(node);
    const b = base(node);
    const n = w[b] - 1;
    if (n === 0) {
      this.dropChild(d - 1, node);
      return;
    }
    innerClose(node, pathIndex[d], n);
    w[b] = n;
    this.settle(d);
  }

  /** After a removal below: counts and smallest elements from level d upwards are read anew; a root with one child goes. */
  private settle(d: number): void {
    for (let k = d - 1; k >= 0; k--) {
      const child = pathNode[k + 1];
      const node = pathNode[k];
      const i = pathIndex[k];
      const w = words(node);
      const b = base(node);
      w[b + INNER_COUNT + i] = total(child);
      f64[node >>> 23][(node & UNIT_MASK) + 2 + i] = f64[child >>> 23][(child & UNIT_MASK) + 2];
      w[b + INNER_MIN + i] = words(child)[base(child) + INNER_MIN];
    }
    this.joinInner(d);
    while (this.depth > 0 && words(this.root)[base(this.root)] === 1) {
      const only = words(this.root)[base(this.root) + INNER_CHILD];
      this.freeNode(this.root);
      this.root = only;
      this.depth--;
    }
  }

  /** The path's leaf is nearly empty: pours it into a neighbour under the same parent, or that one into it. */
  private joinLeaf(): void {
    const d = this.depth - 1;
    const node = pathNode[d];
    const w = words(node);
    const b = base(node);
    const n = w[b];
    if (n < 2) return;
    const i = pathIndex[d] > 0 ? pathIndex[d] - 1 : 0;
    const left = w[b + INNER_CHILD + i];
    const right = w[b + INNER_CHILD + i + 1];
    const ln = words(left)[base(left)];
    const rn = words(right)[base(right)];
    if (ln + rn > LEAF_JOIN) return;
    for (let k = 0; k < rn; k++) leafPut(left, ln + k, scoreAt(right, k), refAt(right, k));
    words(left)[base(left)] = ln + rn;
    this.unlinkLeaf(right);
    w[b + INNER_COUNT + i] += w[b + INNER_COUNT + i + 1];
    pathIndex[d] = i + 1;
    this.dropChild(d, right);
  }

  /** As joinLeaf, for the inner node of the path at level d. */
  private joinInner(d: number): void {
    if (d <= 0) return;
    const node = pathNode[d];
    if (words(node)[base(node)] >= INNER_CAP >> 2) return;
    const above = pathNode[d - 1];
    const w = words(above);
    const b = base(above);
    if (w[b] < 2) return;
    const i = pathIndex[d - 1] > 0 ? pathIndex[d - 1] - 1 : 0;
    const left = w[b + INNER_CHILD + i];
    const right = w[b + INNER_CHILD + i + 1];
    const lw = words(left);
    const lb = base(left);
    const rw = words(right);
    const rb = base(right);
    const ln = lw[lb];
    const rn = rw[rb];
    if (ln + rn > INNER_JOIN) return;
    for (let k = 0; k < rn; k++)
      innerPut(
        left,
        ln + k,
        rw[rb + INNER_CHILD + k],
        rw[rb + INNER_COUNT + k],
        f64[right >>> 23][(right & UNIT_MASK) + 2 + k],
        rw[rb + INNER_MIN + k],
      );
    lw[lb] = ln + rn;
    w[b + INNER_COUNT + i] += w[b + INNER_COUNT + i + 1];
    pathIndex[d - 1] = i + 1;
    this.freeNode(right);
    const left1 = w[b] - 1;
    innerClose(above, i + 1, left1);
    w[b] = left1;
    this.settle(d - 1);
  }

  /** Checks every rule of the tree (tests and DEBUG); the text of the first one broken, or "". */
  verify(): string {
    if (this.root === 0) return this.count === 0 && this.head === 0 && this.tail === 0 ? "" : "an empty tree with leftovers";
    let seen = 0;
    let lastScore = 0;
    let lastRef = 0;
    let before = 0;
    for (let leaf = this.head; leaf !== 0; before = leaf, leaf = words(leaf)[base(leaf) + 1]) {
      const w = words(leaf);
      const b = base(leaf);
      if (w[b + 2] !== before) return "a leaf's back link";
      if (w[b] === 0) return "an empty leaf";
      for (let i = 0; i < w[b]; i++) {
        const s = scoreAt(leaf, i);
        const r = refAt(leaf, i);
        if (seen > 0 && (s < lastScore || (s === lastScore && compareMembers(lastRef, r) >= 0))) return `order at ${seen}`;
        lastScore = s;
        lastRef = r;
        seen++;
      }
    }
    if (before !== this.tail) return "the tail";
    if (seen !== this.count) return `count ${this.count}, seen ${seen}`;
    return this.verifyNode(this.root, this.depth);
  }
  private verifyNode(node: number, level: number): string {
    if (level === 0) return "";
    const w = words(node);
    const b = base(node);
    for (let i = 0; i < w[b]; i++) {
      const child = w[b + INNER_CHILD + i];
      const count = level === 1 ? words(child)[base(child)] : total(child);
      if (count !== w[b + INNER_COUNT + i]) return `a count at level ${level}: ${w[b + INNER_COUNT + i]}, really ${count}`;
      if (this.firstRef(child, level - 1) !== w[b + INNER_MIN + i]) return `a smallest member at level ${level}`;
      if (this.firstScore(child, level - 1) !== f64[node >>> 23][(node & UNIT_MASK) + 2 + i]) return `a smallest score at level ${level}`;
      const below = this.verifyNode(child, level - 1);
      if (below !== "") return below;
    }
    return "";
  }
}

/** Elements under an inner node. */
function total(node: number): number {
  const w = words(node);
  const b = base(node);
  let sum = 0;
  for (let i = 0; i < w[b]; i++) sum += w[b + INNER_COUNT + i];
  return sum;
}

function leafPut(leaf: number, i: number, score: number, ref: number): void {
  f64[leaf >>> 23][(leaf & UNIT_MASK) + 2 + i] = score;
  words(leaf)[base(leaf) + LEAF_REFS + i] = ref;
}
/** Makes room at i. */
function leafOpen(leaf: number, i: number): void {
  const w = words(leaf);
  const b = base(leaf);
  const n = w[b];
  const u = (leaf & UNIT_MASK) + 2;
  const r = b + LEAF_REFS;
  if (i < n) {
    f64[leaf >>> 23].copyWithin(u + i + 1, u + i, u + n);
    w.copyWithin(r + i + 1, r + i, r + n);
  }
}
/** Closes the gap at i; n elements are left. */
function leafClose(leaf: number, i: number, n: number): void {
  const w = words(leaf);
  const u = (leaf & UNIT_MASK) + 2;
  const r = base(leaf) + LEAF_REFS;
  if (i < n) {
    f64[leaf >>> 23].copyWithin(u + i, u + i + 1, u + n + 1);
    w.copyWithin(r + i, r + i + 1, r + n + 1);
  }
}

function innerPut(node: number, i: number, child: number, count: number, score: number, ref: number): void {
  const w = words(node);
  const b = base(node);
  f64[node >>> 23][(node & UNIT_MASK) + 2 + i] = score;
  w[b + INNER_CHILD + i] = child;
  w[b + INNER_COUNT + i] = count;
  w[b + INNER_MIN + i] = ref;
}
function innerOpen(node: number, i: number): void {
  innerShift(node, i, i + 1, words(node)[base(node)]);
}
function innerClose(node: number, i: number, n: number): void {
  innerShift(node, i + 1, i, n + 1);
}
/** Moves the children [from, end) so that the first one comes to `to`. */
function innerShift(node: number, from: number, to: number, end: number): void {
  if (from >= end) return;
  const w = words(node);
  const b = base(node);
  const u = (node & UNIT_MASK) + 2;
  f64[node >>> 23].copyWithin(u + to, u + from, u + end);
  for (const part of [INNER_CHILD, INNER_COUNT, INNER_MIN]) w.copyWithin(b + part + to, b + part + from, b + part + end);
}

/**
 * Big lists: a chain of nodes in the arena, each a listpack of a few KiB, or one long element alone. HOT at both ends.
 *
 *   quicklist_node.ts   what lies in a node's block        frozen_list.ts        the nodes as a running save must see them
 *                                                          quicklist_cursor.ts   walks over elements
 *
 * Nodes are filled as list-max-listpack-size says (Redis quicklist.c), elements from PLAIN_MIN on stand alone. Positions are handed over in
 * `nodeAt` and `indexAt` (module variables), elements in `gotB`, `gotStart`, `gotEnd`, which hold until the next look-up or edit.
 * Leaves out the packed encoding of short lists and when a list becomes a big one: list.ts.
 */
import { HUGE_MIN, alloc, copyBlock, huge, hugeAlloc, hugeFree, m8, usableBytes } from "./arena.ts";
import { FrozenList } from "./frozen_list.ts";
import type { BigObject } from "./objects.ts";
import { LP_EMPTY, LP_HEADER, lpBytes, lpLast, lpLength, lpSeek } from "./packed/listpack.ts";
import {
  lpAppend,
  lpDelete,
  lpDeleteFirst,
  lpDeleteLast,
  lpDeleteRange,
  lpEntryBytes,
  lpInsert,
  lpMerge,
  lpNew,
  lpPrepare,
  lpPrependBelow,
  lpReplace,
} from "./packed/listpack_edit.ts";
import {
  HUGE_ELEMENT,
  NODE_HEADER,
  PACKED,
  PLAIN,
  base,
  bodyOf,
  countOf,
  freeBlock,
  gapOf,
  gotB,
  gotEnd,
  gotStart,
  kindOf,
  nextOf,
  packBytes,
  previousOf,
  readElement,
  readPacked,
  readPlain,
  setGap,
  slackOf,
  slide,
  words,
} from "./quicklist_node.ts";
import { settings } from "./settings.ts";

/** Elements of this many bytes or more get a node of their own, unless DEBUG sets another threshold. */
const PLAIN_MIN = 32 * 1024;
/** With a positive list-max-listpack-size nodes are bounded in bytes all the same (Redis SIZE_SAFETY_LIMIT). */
const SAFE_BYTES = 8192;
const SIZES = [4096, 8192, 16384, 32768, 65536];
/** After a removal, a node with fewer bytes is poured into a neighbour if both fit one. */
const JOIN_BYTES = 1024;

/** Where the last search ended: a node (0: nowhere) and the element's index in it. */
export let nodeAt = 0;
export let indexAt = 0;

/** Redis quicklistNodeExceedsLimit: may a node hold so many bytes and elements? */
export function fitsNode(bytes: number, count: number): boolean {
  const fill = settings.listMaxListpackSize;
  if (fill >= 0) return count <= Math.max(1, fill) && bytes <= SAFE_BYTES;
  return bytes <= SIZES[Math.min(SIZES.length, -fill) - 1];
}

/** May a node get an element of `need` bytes more? Its block's header counts too, so that a full node fills a block of 2^n bytes. */
function takes(node: number, need: number): boolean {
  const bytes = packBytes(node) + need + NODE_HEADER;
  const fill = settings.listMaxListpackSize;
  return fill < 0 ? bytes <= SIZES[fill < -SIZES.length ? SIZES.length - 1 : -fill - 1] : fitsNode(bytes, countOf(node) + 1);
}

function standsAlone(bytes: number): boolean {
  const threshold = settings.quicklistPackedThresholdBytes;
  return bytes >= (threshold > 0 ? threshold : PLAIN_MIN);
}

/** Bytes for the block of a node that must have `need`: an eighth more, but no more than a full node takes. */
function wishFor(need: number): number {
  const fill = settings.listMaxListpackSize;
  return Math.min(need + (need >> 3), Math.max(need, fill < 0 ? SIZES[Math.min(SIZES.length, -fill) - 1] : SAFE_BYTES));
}

export class QuickList implements BigObject {
  head: number;
  tail: number;
  count: number;
  nodes: number;
  /** What a save has not written yet. */
  frozen: FrozenList | null;
  private blockBytes: number;

  constructor() {
    this.head = 0;
    this.tail = 0;
    this.count = 0;
    this.nodes = 0;
    this.frozen = null;
    this.blockBytes = 0;
  }

  /** The nodes as they are now, for whoever reads them before anything changes. */
  view(): FrozenList {
    return new FrozenList(this.head, this.count, this.nodes, () => (this.frozen = null));
  }
  /** Holds the nodes there are now for a save. */
  freeze(): FrozenList {
    this.frozen = this.view();
    return this.frozen;
  }

  byteSize(): number {
    return this.blockBytes;
  }

  // ------------------------------------------------------------------------------------------------ both ends

  /** Adds b[start, end) at the tail. False when memory is out. */
  pushTail(b: Buffer, start: number, end: number): boolean {
    if (standsAlone(end - start)) return this.addPlain(this.tail, b, start, end);
    const need = lpPrepare(b, start, end);
    const node = this.tail;
    if (node !== 0 && kindOf(node) === PACKED && takes(node, need)) {
      const to = this.room(node, packBytes(node) + need);
      if (to === 0) return false;
      lpAppend(m8[to >>> 23], bodyOf(to));
      this.count++;
      return true;
    }
    return this.addPacked(this.tail, need);
  }

  /** Adds b[start, end) at the head. False when memory is out. */
  pushHead(b: Buffer, start: number, end: number): boolean {
    if (standsAlone(end - start)) return this.addPlain(0, b, start, end);
    const need = lpPrepare(b, start, end);
    const node = this.head;
    if (node !== 0 && kindOf(node) === PACKED && takes(node, need)) {
      const to = this.roomBelow(node, need);
      if (to === 0) return false;
      lpPrependBelow(m8[to >>> 23], bodyOf(to));
      setGap(to, gapOf(to) - need);
      this.count++;
      return true;
    }
    return this.addPacked(0, need);
  }

  /** Points got* at the last or the first element of a list that has one. */
  getEnd(atTail: boolean): void {
    const node = atTail ? this.tail : this.head;
    if (kindOf(node) !== PACKED) return readPlain(node);
    const b = m8[node >>> 23];
    const lp = bodyOf(node);
    readPacked(b, atTail ? lpLast(b, lp) : lp + LP_HEADER);
  }

  /** Removes the last or the first element of a list that has one. */
  removeEnd(atTail: boolean): void {
    let node = atTail ? this.tail : this.head;
    this.count--;
    if (countOf(node) === 1) return this.dropNode(node);
    this.frozen?.changing(node);
    const b = m8[node >>> 23];
    const lp = bodyOf(node);
    if (atTail) lpDeleteLast(b, lp);
    else setGap(node, gapOf(node) + lpDeleteFirst(b, lp) - lp);
    node = this.trimBlock(node);
    if (packBytes(node) < JOIN_BYTES && this.nodes > 1) this.join(node);
  }

  /** Adds a whole listpack b[lp, lp + bytes) with elements as a node at the tail (loading, conversion). False when memory is out. */
  addListpack(b: Buffer, lp: number): boolean {
    const bytes = lpBytes(b, lp);
    const node = this.newNode(PACKED, bytes);
    if (node === 0) return false;
    b.copy(m8[node >>> 23], bodyOf(node), lp, lp + bytes);
    this.link(node, this.tail);
    this.count += lpLength(b, lp);
    return true;
  }

  // ------------------------------------------------------------------------------------------------ positions

  /** Sets nodeAt and indexAt to the element at an index from the front; nodeAt 0 when there is none. */
  seek(index: number): void {
    if (index < 0 || index >= this.count) {
      nodeAt = 0;
      return;
    }
    if (index < this.count / 2) {
      let node = this.head;
      for (let n = countOf(node); index >= n; n = countOf(node)) {
        index -= n;
        node = nextOf(node);
      }
      nodeAt = node;
      indexAt = index;
      return;
    }
    let left = this.count - 1 - index;
    let node = this.tail;
    let n = countOf(node);
    while (left >= n) {
      left -= n;
      node = previousOf(node);
      n = countOf(node);
    }
    nodeAt = node;
    indexAt = n - 1 - left;
  }

  /** Points got* at the element at an index; false when there is none. */
  get(index: number): boolean {
    this.seek(index);
    if (nodeAt === 0) return false;
    readElement(nodeAt, indexAt);
    return true;
  }

  // ------------------------------------------------------------------------------------------------ edits inside

  /** Puts b[start, end) in the place of the element at `index` (which is there). The bytes must not lie in this list. False: no memory. */
  set(index: number, b: Buffer, start: number, end: number): boolean {
    this.seek(index);
    let node = nodeAt;
    const i = indexAt;
    if (kindOf(node) === PACKED && !standsAlone(end - start)) {
      const m = m8[node >>> 23];
      const lp = bodyOf(node);
      const p = lpSeek(m, lp, i);
      const total = lpBytes(m, lp) - lpEntryBytes(m, p) + lpPrepare(b, start, end);
      if (fitsNode(total + NODE_HEADER, countOf(node)) || total <= lpBytes(m, lp) || countOf(node) === 1) {
        node = this.room(node, Math.max(total, lpBytes(m, lp)));
        if (node === 0) return false;
        const at = bodyOf(node);
        lpReplace(m8[node >>> 23], at, at + (p - lp));
        return true;
      }
    }
    // Another shape of node is needed: insert the new one, then remove the old.
    if (!this.insert(index, b, start, end)) return false;
    this.removeRange(index + 1, 1);
    return true;
  }

  /** Puts b[start, end) before the element at `index`; index = count appends. False when memory is out. */
  insert(index: number, b: Buffer, start: number, end: number): boolean {
    if (index >= this.count) return this.pushTail(b, start, end);
    if (index === 0) return this.pushHead(b, start, end);
    this.seek(index);
    const node = nodeAt;
    const i = indexAt;
    if (standsAlone(end - start) || kindOf(node) !== PACKED) {
      // Between two nodes: split the one it falls into, if it does.
      if (i > 0 && !this.split(node, i)) return false;
      const before = i > 0 ? node : previousOf(node);
      if (standsAlone(end - start)) return this.addPlain(before, b, start, end);
      return this.addPacked(before, lpPrepare(b, start, end));
    }
    const need = lpPrepare(b, start, end);
    if (takes(node, need)) return this.insertPacked(node, i, need);
    if (i === 0) {
      const before = previousOf(node);
      if (before !== 0 && kindOf(before) === PACKED && takes(before, need)) return this.insertPacked(before, countOf(before), need);
      return this.addPacked(before, need);
    }
    if (!this.split(node, i)) return false;
    lpPrepare(b, start, end);
    if (takes(node, need)) return this.insertPacked(node, countOf(node), need);
    return this.addPacked(node, need);
  }

  private insertPacked(node: number, index: number, need: number): boolean {
    const to = this.room(node, packBytes(node) + need);
    if (to === 0) return false;
    const b = m8[to >>> 23];
    const lp = bodyOf(to);
    const p = lpSeek(b, lp, index);
    if (p < 0) lpAppend(b, lp);
    else lpInsert(b, lp, p);
    this.count++;
    return true;
  }

  /** Removes `count` elements from `index` on (all there). */
  removeRange(index: number, count: number): void {
    this.seek(index);
    let node = nodeAt;
    let i = indexAt;
    let joins = 0;
    while (count > 0 && node !== 0) {
      const after = nextOf(node);
      const n = countOf(node);
      const gone = Math.min(count, n - i);
      if (gone === n) this.dropNode(node);
      else {
        this.frozen?.changing(node);
        lpDeleteRange(m8[node >>> 23], bodyOf(node), i, gone);
        node = this.trimBlock(node);
        // A pop takes one element at a time: only a node that has become small is worth a look at its neighbours.
        joins = packBytes(node) < JOIN_BYTES ? node : 0;
      }
      this.count -= gone;
      count -= gone;
      node = after;
      i = 0;
    }
    if (joins !== 0) this.join(joins);
  }

  /** Removes up to `most` elements equal to b[start, end), from the head, or from the tail when `backwards`. Returns how many. */
  removeEqual(b: Buffer, start: number, end: number, most: number, backwards: boolean): number {
    let gone = 0;
    let node = backwards ? this.tail : this.head;
    while (node !== 0 && gone < most) {
      const after = backwards ? previousOf(node) : nextOf(node);
      if (kindOf(node) !== PACKED) {
        readPlain(node);
        if (gotEnd - gotStart === end - start && gotB.compare(b, start, end, gotStart, gotEnd) === 0) {
          this.dropNode(node);
          this.count--;
          gone++;
        }
      } else {
        let n = countOf(node);
        for (let i = backwards ? n - 1 : 0; gone < most && i >= 0 && i < n; i += backwards ? -1 : 1) {
          const m = m8[node >>> 23];
          const p = lpSeek(m, bodyOf(node), i);
          readPacked(m, p);
          if (gotEnd - gotStart !== end - start || gotB.compare(b, start, end, gotStart, gotEnd) !== 0) continue;
          this.frozen?.changing(node);
          lpDelete(m, bodyOf(node), p, 1);
          this.count--;
          gone++;
          n--;
          if (!backwards) i--;
        }
        if (n === 0) this.dropNode(node);
        else this.trimBlock(node);
      }
      node = after;
    }
    return gone;
  }

  // ------------------------------------------------------------------------------------------------ nodes

  private newNode(kind: number, bytes: number): number {
    const node = alloc(NODE_HEADER + bytes);
    if (node === 0) return 0;
    const w = words(node);
    const at = base(node);
    w[at] = 0;
    w[at + 1] = 0;
    w[at + 2] = kind;
    w[at + 3] = bytes;
    this.blockBytes += usableBytes(node);
    this.frozen?.made(node);
    return node;
  }

  /** Puts a node behind `before`; 0 is the front. */
  private link(node: number, before: number): void {
    const after = before === 0 ? this.head : nextOf(before);
    const w = words(node);
    const at = base(node);
    w[at] = after;
    w[at + 1] = before;
    if (before === 0) this.head = node;
    else this.setNext(before, node);
    if (after === 0) this.tail = node;
    else words(after)[base(after) + 1] = node;
    this.nodes++;
  }

  private setNext(node: number, next: number): void {
    this.frozen?.relinked(node);
    words(node)[base(node)] = next;
  }

  private addPlain(before: number, b: Buffer, start: number, end: number): boolean {
    const length = end - start;
    let node = 0;
    if (length > HUGE_MIN) {
      const id = hugeAlloc(length);
      if (id === 0) return false;
      node = this.newNode(HUGE_ELEMENT, 8);
      if (node === 0) {
        hugeFree(id);
        return false;
      }
      b.copy(huge[id]!, 0, start, end);
      words(node)[base(node) + 4] = id;
      words(node)[base(node) + 5] = length;
    } else {
      node = this.newNode(PLAIN, length);
      if (node === 0) return false;
      b.copy(m8[node >>> 23], bodyOf(node), start, end);
    }
    this.link(node, before);
    this.count++;
    return true;
  }

  /** A new listpack node behind `before` with the element prepared last, which takes `need` bytes. */
  private addPacked(before: number, need: number): boolean {
    const node = this.newNode(PACKED, LP_EMPTY + need);
    if (node === 0) return false;
    lpNew(m8[node >>> 23], bodyOf(node));
    lpAppend(m8[node >>> 23], bodyOf(node));
    this.link(node, before);
    this.count++;
    return true;
  }

  /** Makes sure that a node can be changed and its listpack grow to `bytes` where it begins: its ref, maybe a new one; 0 when memory is out. */
  private room(node: number, bytes: number): number {
    const free = usableBytes(node) - NODE_HEADER - bytes;
    if (free < 0) {
      const to = alloc(wishFor(NODE_HEADER + bytes));
      return to === 0 ? 0 : this.moveNode(node, to, 0);
    }
    this.frozen?.changing(node);
    // A listpack that is in the way is moved half of what it can, for the other end may be next to grow.
    if (gapOf(node) > free) slide(node, free >> 1);
    return node;
  }

  /** As room, with `need` bytes free before the listpack. */
  private roomBelow(node: number, need: number): number {
    const free = slackOf(node) - need;
    if (free < 0) {
      const to = alloc(wishFor(NODE_HEADER + packBytes(node) + need));
      return to === 0 ? 0 : this.moveNode(node, to, usableBytes(to) - NODE_HEADER - packBytes(node));
    }
    this.frozen?.changing(node);
    if (gapOf(node) < need) slide(node, need + (free >> 1));
    return node;
  }

  /** Moves a node to another block, where `gap` bytes stay free before its listpack. */
  private moveNode(node: number, to: number, gap: number): number {
    copyBlock(node, 0, to, 0, NODE_HEADER);
    setGap(to, gap);
    copyBlock(node, NODE_HEADER + gapOf(node), to, NODE_HEADER + gap, packBytes(node));
    this.frozen?.made(to);
    this.blockBytes += usableBytes(to);
    const after = nextOf(node);
    const before = previousOf(node);
    if (before === 0) this.head = to;
    else this.setNext(before, to);
    if (after === 0) this.tail = to;
    else words(after)[base(after) + 1] = to;
    this.freeNode(node);
    return to;
  }

  /** After a removal: a listpack that has become much smaller moves to a smaller block. The node's ref. */
  private trimBlock(node: number): number {
    const need = NODE_HEADER + packBytes(node);
    const usable = usableBytes(node);
    if (need * 2 >= usable || usable <= 256) return node;
    const to = alloc(need);
    return to === 0 ? node : this.moveNode(node, to, 0);
  }

  private dropNode(node: number): void {
    const after = nextOf(node);
    const before = previousOf(node);
    if (before === 0) this.head = after;
    else this.setNext(before, after);
    if (after === 0) this.tail = before;
    else words(after)[base(after) + 1] = before;
    this.freeNode(node);
    this.nodes--;
  }
  private freeNode(node: number): void {
    this.blockBytes -= usableBytes(node);
    if (this.frozen === null || !this.frozen.keeps(node)) freeBlock(node);
  }

  /** Splits a listpack node before its element `index` (not 0): the rest becomes a node behind it. False when memory is out. */
  private split(node: number, index: number): boolean {
    const bytes = packBytes(node);
    const rest = this.newNode(PACKED, bytes);
    if (rest === 0) return false;
    copyBlock(node, NODE_HEADER + gapOf(node), rest, NODE_HEADER, bytes);
    const n = countOf(node);
    this.frozen?.changing(node);
    lpDeleteRange(m8[rest >>> 23], bodyOf(rest), 0, index);
    lpDeleteRange(m8[node >>> 23], bodyOf(node), index, n - index);
    this.link(rest, node);
    return true;
  }

  /** Pours a node into its neighbour when both fit one. */
  private join(node: number): void {
    for (const left of [previousOf(node), node]) {
      const right = left === 0 ? 0 : nextOf(left);
      if (left === 0 || right === 0 || kindOf(left) !== PACKED || kindOf(right) !== PACKED) continue;
      const bytes = packBytes(left) + packBytes(right) - LP_EMPTY;
      if (!fitsNode(bytes + NODE_HEADER, countOf(left) + countOf(right))) continue;
      const to = this.room(left, bytes);
      if (to === 0) return;
      const b = m8[to >>> 23];
      lpMerge(b, bodyOf(to), m8[right >>> 23], bodyOf(right), b, bodyOf(to));
      this.dropNode(right);
      return;
    }
  }

  clone(): QuickList | null {
    const to = new QuickList();
    for (let node = this.head; node !== 0; node = nextOf(node)) {
      let fits: boolean;
      if (kindOf(node) === PACKED) fits = to.addListpack(m8[node >>> 23], bodyOf(node));
      else {
        readPlain(node);
        fits = to.addPlain(to.tail, gotB, gotStart, gotEnd);
      }
      if (!fits) {
        while (to.freeStep(1024));
        return null;
      }
    }
    return to;
  }

  freeStep(elements: number): boolean {
    while (this.head !== 0 && elements > 0) {
      elements -= countOf(this.head);
      this.dropNode(this.head);
    }
    return this.head !== 0;
  }
}

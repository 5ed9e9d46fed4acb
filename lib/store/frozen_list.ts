/**
 * A big list's nodes as they were when a save began, while commands go on changing the list. WARM: asked before each change of a frozen list.
 *
 *   QuickList.freeze() --> FrozenList.nextNode() ... --> false --> finish()
 *
 * Nodes made since are `fresh` and nobody's business here. Of an older node the list keeps, before it changes it for the first time, what the
 * walk needs: the next node, or the bytes of its listpack; and instead of freeing its block it leaves it here. So following the old links from
 * the old head, reading kept bytes where there are any, gives the list of the cut. (Elements that stand alone never change in place.)
 * A view that is registered nowhere walks a list that does not change meanwhile.
 */
import { countHeld, m8, usableBytes } from "./arena.ts";
import { RefList } from "./dict.ts";
import { lpNext, lpFirst, elEnd, elIsInt, elStart, elWrite, lpRead } from "./packed/listpack.ts";
import { bodyOf, freeBlock, gotB, gotEnd, gotStart, isPlain, nextOf, packBytes, readPlain } from "./quicklist_node.ts";

export class FrozenList {
  /** Elements and nodes at the cut. */
  readonly count: number;
  readonly nodes: number;
  /** The list was given up meanwhile: whoever calls finish() frees it. */
  orphan: boolean;
  /** The node at hand: its listpack, or its only element. Holds until nextNode() is called, however the list changes. */
  plain: boolean;
  b: Buffer;
  start: number;
  end: number;
  private node: number;
  private readonly fresh: Set<number>;
  private readonly nexts: Map<number, number>;
  private readonly bodies: Map<number, Buffer>;
  private readonly blocks: RefList;
  private readonly thaw: () => void;

  constructor(head: number, count: number, nodes: number, thaw: () => void) {
    this.count = count;
    this.nodes = nodes;
    this.orphan = false;
    this.plain = false;
    this.b = Buffer.alloc(0);
    this.start = 0;
    this.end = 0;
    this.node = head;
    this.fresh = new Set();
    this.nexts = new Map();
    this.bodies = new Map();
    this.blocks = new RefList(16);
    this.thaw = thaw;
  }

  // ---- the list tells

  /** A node was made. */
  made(node: number): void {
    this.fresh.add(node);
  }
  /** The node that follows is about to be another one. */
  relinked(node: number): void {
    if (!this.fresh.has(node) && !this.nexts.has(node)) this.nexts.set(node, nextOf(node));
  }
  /** The node's listpack is about to change in its block. */
  changing(node: number): void {
    if (this.fresh.has(node) || this.bodies.has(node)) return;
    const at = bodyOf(node);
    this.bodies.set(node, Buffer.from(m8[node >>> 23].subarray(at, at + packBytes(node))));
  }
  /** Takes over the block of a node that has left the list; false: it is not wanted. */
  keeps(node: number): boolean {
    if (this.fresh.has(node)) return false;
    this.blocks.push(node);
    countHeld(usableBytes(node));
    return true;
  }

  // ---- the save asks

  /** Goes to the next node; false at the end. */
  nextNode(): boolean {
    const { node } = this;
    if (node === 0) return false;
    this.plain = isPlain(node);
    const kept = this.bodies.get(node);
    if (kept !== undefined) {
      this.b = kept;
      this.start = 0;
      this.end = kept.length;
    } else if (this.plain) {
      readPlain(node);
      this.b = gotB;
      this.start = gotStart;
      this.end = gotEnd;
    } else {
      this.b = m8[node >>> 23];
      this.start = bodyOf(node);
      this.end = this.start + packBytes(node);
    }
    this.node = this.nexts.get(node) ?? nextOf(node);
    return true;
  }

  /** The save needs nothing more: frees what was kept. */
  finish(): void {
    this.node = 0;
    for (let i = 0; i < this.blocks.count; i++) {
      countHeld(-usableBytes(this.blocks.refs[i]));
      freeBlock(this.blocks.refs[i]);
    }
    this.blocks.clear();
    this.thaw();
  }
}

/** The elements of a frozen list, from the front: `next()` until false, each b[start, end). Only after one at the `edge` the list may change. */
export class FrozenListCursor {
  b: Buffer;
  start: number;
  end: number;
  /** The element is the last of its node. */
  edge: boolean;
  private readonly list: FrozenList;
  /** The next element in the node's listpack; -1: none. */
  private p: number;
  private readonly text: Buffer;

  constructor(list: FrozenList) {
    this.text = Buffer.alloc(32);
    this.b = this.text;
    this.start = 0;
    this.end = 0;
    this.edge = false;
    this.list = list;
    this.p = -1;
  }

  next(): boolean {
    const { list } = this;
    if (this.p < 0) {
      if (!list.nextNode()) return false;
      if (list.plain) {
        this.edge = true;
        this.b = list.b;
        this.start = list.start;
        this.end = list.end;
        return true;
      }
      this.p = lpFirst(list.b, list.start);
    }
    lpRead(list.b, this.p);
    if (elIsInt) {
      this.b = this.text;
      this.start = 0;
      this.end = elWrite(list.b, this.text, 0);
    } else {
      this.b = list.b;
      this.start = elStart;
      this.end = elEnd;
    }
    this.p = lpNext(list.b, this.p);
    this.edge = this.p < 0;
    return true;
  }
}

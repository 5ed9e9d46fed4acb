/**
 * A stream as it was when a save began, while commands go on changing it. WARM: asked before each change of a frozen stream.
 *
 *   Stream.freeze() --> nodes (a snapshot of the map), bodies, groups, numbers --> finish()
 *
 * Nodes made since are `fresh`. Of an older node the stream keeps the bytes here before it changes them for the first time, and leaves its block
 * here instead of freeing it. Maps of ids are shared until they change (IdMap.snapshot), pending entries are replaced, not changed
 * (Group.frozen). A view that is registered nowhere shows a stream that does not change meanwhile.
 */
import { lpBytes } from "./packed/listpack.ts";
import type { GroupView } from "./stream_group.ts";
import type { IdMap, StreamId } from "./stream_id.ts";

/** Nodes by master id, and the bytes to read instead of a node's own. */
export interface NodeSource {
  readonly nodes: IdMap<number>;
  readonly bodies: Map<number, Buffer> | null;
}

export interface StreamNumbers {
  count: number;
  lastId: StreamId;
  firstId: StreamId;
  maxDeletedId: StreamId;
  added: number;
}

export class FrozenStream implements NodeSource {
  readonly nodes: IdMap<number>;
  readonly bodies: Map<number, Buffer>;
  readonly numbers: StreamNumbers;
  readonly groups: readonly GroupView[];
  /** The stream was given up meanwhile: whoever calls finish() frees it. */
  orphan: boolean;
  private readonly fresh: Set<number>;
  private readonly blocks: number[];
  /** Gets the blocks that were kept. */
  private readonly thaw: (blocks: number[]) => void;

  constructor(nodes: IdMap<number>, numbers: StreamNumbers, groups: readonly GroupView[], thaw: (blocks: number[]) => void) {
    this.nodes = nodes;
    this.bodies = new Map();
    this.numbers = numbers;
    this.groups = groups;
    this.orphan = false;
    this.fresh = new Set();
    this.blocks = [];
    this.thaw = thaw;
  }

  /** A node was made. */
  made(node: number): void {
    this.fresh.add(node);
  }
  /** The node, whose listpack is b[lp ...), is about to change where it lies. */
  changing(node: number, b: Buffer, lp: number): void {
    if (this.fresh.has(node) || this.bodies.has(node)) return;
    this.bodies.set(node, Buffer.from(b.subarray(lp, lp + lpBytes(b, lp))));
  }
  /** Takes over the block of a node that has left the stream; false: it is not wanted. */
  keeps(node: number): boolean {
    if (this.fresh.has(node)) return false;
    this.blocks.push(node);
    return true;
  }

  /** The save needs nothing more. */
  finish(): void {
    this.thaw(this.blocks);
  }
}

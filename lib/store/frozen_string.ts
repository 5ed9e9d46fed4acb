/**
 * A string of the huge table as it was when a save began. WARM: asked before each change in place of any huge string while one is frozen.
 *
 * The buffer is held (arena.ts hugeHold), so that neither DEL nor growing takes it away. What lies behind the cut's length may change freely;
 * before that, pages that are about to change and were not read yet are copied.
 */
import { huge, hugeHold, hugeLetGo } from "./arena.ts";

const PAGE_BYTES = 64 * 1024;
/** Frozen strings by their id. */
const frozen = new Map<number, FrozenString>();

/** The bytes [from, to) of the huge value are about to change in place. */
export function hugeChanging(id: number, from: number, to: number): void {
  if (frozen.size > 0) frozen.get(id)?.changing(from, to);
}

export class FrozenString {
  /** Bytes at the cut. */
  readonly length: number;
  /** The part that next() found. */
  b: Buffer;
  start: number;
  end: number;
  private readonly id: number;
  private readonly buffer: Buffer;
  private readonly pages: Map<number, Buffer>;
  /** Everything before was read. */
  private position: number;

  constructor(id: number, length: number) {
    this.id = id;
    this.length = length;
    this.buffer = hugeHold(id);
    this.b = this.buffer;
    this.start = 0;
    this.end = 0;
    this.pages = new Map();
    this.position = 0;
    frozen.set(id, this);
  }

  changing(from: number, to: number): void {
    // A string that has grown out of its buffer changes elsewhere.
    if (huge[this.id] !== this.buffer) return;
    const last = Math.min(to, this.length);
    for (let p = Math.floor(Math.max(from, this.position) / PAGE_BYTES); p * PAGE_BYTES < last; p++) {
      const at = p * PAGE_BYTES;
      if (!this.pages.has(p)) this.pages.set(p, Buffer.from(this.buffer.subarray(at, Math.min(at + PAGE_BYTES, this.length))));
    }
  }

  /** Puts the next part at hand, until the string changes; false at the end. */
  next(): boolean {
    if (this.position >= this.length) return false;
    const page = this.position / PAGE_BYTES;
    const bytes = Math.min(PAGE_BYTES, this.length - this.position);
    const kept = this.pages.get(page);
    this.b = kept ?? this.buffer;
    this.start = kept === undefined ? this.position : 0;
    this.end = this.start + bytes;
    this.pages.delete(page);
    this.position += bytes;
    return true;
  }

  /** The save needs nothing more. */
  finish(): void {
    frozen.delete(this.id);
    hugeLetGo(this.id, this.buffer);
  }
}

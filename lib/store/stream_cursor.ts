/** Walks over the entries of streams (stream.ts). HOT: XRANGE and XREAD make no BigInt an entry as long as ids fit numbers. */
import type { NodeSource } from "./frozen_stream.ts";
import { elEnd, elInt, elIsInt, elStart, elWrite, lpLast, lpPrev, lpRead, lpSkip } from "./packed/listpack.ts";
import { type StreamId, foundId, makeId, msOf, narrow, seqOf } from "./stream_id.ts";
import { DELETED, SAME_FIELDS, firstAt, masterAt, masterFields, nodeB, nodeLp, openIn, readMaster, small, wide } from "./stream_node.ts";

/** Half of a bound: as a number, or above all numbers that ids have. */
function bound(half: bigint): number {
  const n = narrow(half);
  return n === n ? n : Infinity;
}

/**
 * Walks the entries between two ids, in either direction, of a stream that is not changed meanwhile (bury apart). After a true `next`: `id`,
 * `fields`, and the fields one after another through `field` and `value`, in that order, each to b[start, end).
 */
export class StreamCursor {
  /** The halves of the entry's id as numbers, both NaN when one is beyond 2^53. */
  ms: number;
  seq: number;
  fields: number;
  /** What `field` or `value` read. */
  b: Buffer;
  start: number;
  end: number;
  private stream: NodeSource | null;
  /** The id as a whole; null when nobody has asked for it. */
  private whole: StreamId | null;
  private from: StreamId;
  private to: StreamId;
  /** The halves of both as numbers; beyond 2^53 they are above all that numbers are compared with. */
  private fromMs: number;
  private fromSeq: number;
  private toMs: number;
  private toSeq: number;
  private backwards: boolean;
  /** Master id of the node the entry lies in. */
  master: StreamId;
  private masterMs: number;
  private masterSeq: number;
  private packB: Buffer;
  private pack: number;
  private masterFields: number;
  private masterAt: number;
  private firstAt: number;
  /** The entry itself: its flags; forwards the next one's, backwards the element count of the one before. */
  private flagsAt: number;
  private nextAt: number;
  private same: boolean;
  private nameAt: number;
  private valueAt: number;
  private readonly text: Buffer;

  constructor() {
    this.ms = 0;
    this.seq = 0;
    this.fields = 0;
    this.b = nodeB;
    this.start = 0;
    this.end = 0;
    this.stream = null;
    this.whole = null;
    this.from = 0n;
    this.to = 0n;
    this.fromMs = 0;
    this.fromSeq = 0;
    this.toMs = 0;
    this.toSeq = 0;
    this.backwards = false;
    this.master = 0n;
    this.masterMs = 0;
    this.masterSeq = 0;
    this.packB = nodeB;
    this.pack = 0;
    this.masterFields = 0;
    this.masterAt = 0;
    this.firstAt = 0;
    this.flagsAt = 0;
    this.nextAt = -1;
    this.same = false;
    this.nameAt = 0;
    this.valueAt = 0;
    this.text = Buffer.alloc(32);
  }

  /** The entry's id. */
  get id(): StreamId {
    return (this.whole ??= makeId(BigInt(this.ms), BigInt(this.seq)));
  }

  /** Starts before the first entry of [from, to], or behind the last one. False when there is surely none. */
  begin(stream: NodeSource, from: StreamId, to: StreamId, backwards: boolean): boolean {
    this.stream = stream;
    this.from = from;
    this.to = to;
    this.fromMs = bound(msOf(from));
    this.fromSeq = bound(seqOf(from));
    this.toMs = bound(msOf(to));
    this.toSeq = bound(seqOf(to));
    this.backwards = backwards;
    this.nextAt = -1;
    const { nodes } = stream;
    if (from > to || !(backwards ? nodes.floor(to) : nodes.floor(from) || nodes.ceil(from))) return false;
    this.enter();
    return true;
  }

  /** Opens the node that the map has found. */
  private enter(): void {
    this.master = foundId;
    this.masterMs = narrow(msOf(foundId));
    this.masterSeq = narrow(seqOf(foundId));
    openIn(this.stream!, this.stream!.nodes.found!);
    readMaster();
    this.packB = nodeB;
    this.pack = nodeLp;
    this.masterFields = masterFields;
    this.masterAt = masterAt;
    this.firstAt = firstAt;
    if (this.backwards) this.nextAt = lpLast(nodeB, nodeLp);
    else this.nextAt = firstAt;
  }

  /** Goes on to the next entry that is there; false at the end. */
  next(): boolean {
    while (this.nextAt >= 0) {
      const b = this.packB;
      const atEnd = this.backwards ? this.nextAt < this.firstAt : b[this.nextAt] === 0xff;
      if (atEnd) {
        const { nodes } = this.stream!;
        const more = this.backwards ? this.master > 0n && nodes.floor(this.master - 1n) : nodes.ceil(this.master + 1n);
        if (!more) break;
        this.enter();
        continue;
      }
      const flags = this.readEntry(b);
      const below = this.isBelow();
      const above = this.isAbove();
      if (this.backwards ? below : above) break;
      if ((flags & DELETED) === 0 && !below && !above) return true;
    }
    this.nextAt = -1;
    return false;
  }

  private isBelow(): boolean {
    const { ms, fromMs } = this;
    return ms === ms ? ms < fromMs || (ms === fromMs && this.seq < this.fromSeq) : this.id < this.from;
  }
  private isAbove(): boolean {
    const { ms, toMs } = this;
    return ms === ms ? ms > toMs || (ms === toMs && this.seq > this.toSeq) : this.id > this.to;
  }

  /** True when the entry read last, its values included, is the last one of its node (forwards). */
  atEdge(): boolean {
    return this.nextAt < 0 || this.packB[this.nextAt] === 0xff;
  }

  /** Reads the head of the entry at nextAt and moves on: its flags. */
  private readEntry(b: Buffer): number {
    let p = this.nextAt;
    if (this.backwards) {
      for (let n = small(b, p); n > 0; n--) p = lpPrev(b, this.pack, p);
      this.nextAt = lpPrev(b, this.pack, p);
    }
    this.flagsAt = p;
    const flags = small(b, p);
    p = this.readId(b, lpSkip(b, p));
    this.same = (flags & SAME_FIELDS) !== 0;
    if (this.same) {
      this.fields = this.masterFields;
      this.nameAt = this.masterAt;
    } else {
      this.fields = small(b, p);
      p = lpSkip(b, p);
    }
    this.valueAt = p;
    if (!this.backwards) {
      for (let n = this.same ? this.fields + 1 : 2 * this.fields + 1; n > 0; n--) p = lpSkip(b, p);
      this.nextAt = p;
    }
    return flags;
  }

  /** Reads the differences of the entry's id at p; the position after them. */
  private readId(b: Buffer, p: number): number {
    const middle = lpRead(b, p);
    const ms = this.masterMs + (elIsInt ? elInt : 0);
    const after = lpRead(b, middle);
    const seq = this.masterSeq + (elIsInt ? elInt : 0);
    if (ms >= 0 && ms <= Number.MAX_SAFE_INTEGER && seq >= 0 && seq <= Number.MAX_SAFE_INTEGER) {
      this.ms = ms;
      this.seq = seq;
      this.whole = null;
      return after;
    }
    const wideMs = BigInt.asUintN(64, msOf(this.master) + wide(b, p));
    const wideSeq = BigInt.asUintN(64, seqOf(this.master) + wide(b, middle));
    this.whole = makeId(wideMs, wideSeq);
    this.ms = narrow(wideMs);
    this.seq = narrow(wideSeq);
    if (this.ms !== this.ms || this.seq !== this.seq) this.ms = this.seq = NaN;
    return after;
  }

  /** Reads the next field's name. */
  field(): void {
    if (this.same) this.nameAt = this.read(this.nameAt);
    else this.valueAt = this.read(this.valueAt);
  }
  /** Reads the value of the field read last. */
  value(): void {
    this.valueAt = this.read(this.valueAt);
  }
  private read(p: number): number {
    const after = lpRead(this.packB, p);
    if (elIsInt) {
      this.b = this.text;
      this.start = 0;
      this.end = elWrite(this.packB, this.text, 0);
    } else {
      this.b = this.packB;
      this.start = elStart;
      this.end = elEnd;
    }
    return after;
  }

  /** Marks the entry as deleted. The node's counters are the caller's business, after the walk. */
  bury(): void {
    const b = this.packB;
    const flags = small(b, this.flagsAt) | DELETED;
    // A flag byte of ours is one byte wide; a loaded one may be wider than it need be, and then it stays so.
    if (b[this.flagsAt] < 0x80) b[this.flagsAt] = flags;
    else if (b[this.flagsAt] < 0xe0) b[this.flagsAt + 1] = flags;
    else if (b[this.flagsAt] >= 0xf1) b[this.flagsAt + 1] = flags;
  }
}

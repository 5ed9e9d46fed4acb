/**
 * The requests of one client that are not done with: sent and not answered, or answered but part of a transaction that may have to be told
 * again. HOT: one push and one answer a request, on typed arrays. Pure.
 *
 *        head            cursor                tail
 *   ---- | answered (MULTI ...) | awaiting a reply | ----     stream positions: headAt ... tailAt
 *
 * With it go the bytes themselves: the chunks they came in, by reference, dropped as requests are done with. Beyond `keepMax` bytes the
 * oldest are forgotten: such requests cannot be sent again.
 */

/** Bits beside the class (request_class.ts uses the low five). */
export const CLASS = 31;
/** Between MULTI and EXEC. */
export const QUEUED = 32;
/** Ours, its reply is not the client's (restoring state, a transaction told again). */
export const SWALLOW = 64;
/** No request at all: an answer of ours in its place (locals). */
export const LOCAL = 128;

/** What is known of a lost server and of the stream towards it. */
export interface Loss {
  /** Stream position up to which the kernel has taken bytes. */
  written: number;
  /** It has executed nothing that is unanswered; `first`: nothing of the request at the cursor. */
  nothingDone: boolean;
  first: boolean;
  /** `redis-replay` of the backend. */
  replay: "readonly" | "idempotent" | "none";
}

export class InFlight {
  private kinds: Uint8Array;
  private lengths: Float64Array;
  private mask: number;
  head: number;
  cursor: number;
  tail: number;
  /** Stream positions of head and tail. */
  headAt: number;
  tailAt: number;
  /** Kept bytes, oldest first; `chunksAt` is the position of the first one's first byte. */
  private chunks: Buffer[];
  private chunksAt: number;
  private kept: number;
  readonly keepMax: number;
  /** Answers of LOCAL entries, in order. */
  readonly locals: Buffer[];

  constructor(keepMax: number) {
    this.kinds = new Uint8Array(8);
    this.lengths = new Float64Array(8);
    this.mask = 7;
    this.head = 0;
    this.cursor = 0;
    this.tail = 0;
    this.headAt = 0;
    this.tailAt = 0;
    this.chunks = [];
    this.chunksAt = 0;
    this.kept = 0;
    this.keepMax = keepMax;
    this.locals = [];
  }

  /** Requests that still want their reply. */
  get awaiting(): number {
    return this.tail - this.cursor;
  }
  get isEmpty(): boolean {
    return this.tail === this.head;
  }

  push(kind: number, length: number): void {
    if (this.tail - this.head > this.mask) this.grow();
    const i = this.tail++ & this.mask;
    this.kinds[i] = kind;
    this.lengths[i] = length;
    this.tailAt += length;
  }
  /** An answer of ours after everything before it. */
  pushLocal(kind: number, answer: Buffer): void {
    this.push((kind & ~SWALLOW) | LOCAL, 0);
    this.locals.push(answer);
  }
  kindAt(index: number): number {
    return this.kinds[index & this.mask];
  }
  setKind(index: number, kind: number): void {
    this.kinds[index & this.mask] = kind;
  }
  lengthAt(index: number): number {
    return this.lengths[index & this.mask];
  }

  /** Stream position of the cursor. */
  get cursorAt(): number {
    let at = this.headAt;
    for (let i = this.head; i < this.cursor; i++) at += this.lengthAt(i);
    return at;
  }
  /** The lost server has surely not executed the request `index`, which ends at position `end`: never sent, or without effect. */
  isUntouched(index: number, end: number, loss: Loss): boolean {
    return end > loss.written || loss.nothingDone || (loss.first && index === this.cursor);
  }

  /** The request at the cursor has its reply. `keep`: it stays for a while (a transaction's). */
  answered(keep: boolean): void {
    this.cursor++;
    if (keep) return;
    this.forget(this.cursor);
  }
  /** Everything before `to` is done with. */
  forget(to: number): void {
    while (this.head < to) this.headAt += this.lengths[this.head++ & this.mask];
    while (this.chunks.length > 0 && this.chunksAt + this.chunks[0]!.length <= this.headAt) {
      const c = this.chunks.shift()!;
      this.chunksAt += c.length;
      this.kept -= c.length;
    }
    if (this.chunks.length === 0) this.chunksAt = this.headAt;
  }

  /** Bytes that go to the server, in order, to be found again by position. */
  keep(chunk: Buffer, at: number): void {
    if (this.chunks.length === 0) this.chunksAt = at;
    this.chunks.push(chunk);
    this.kept += chunk.length;
    while (this.kept > this.keepMax && this.chunks.length > 0) {
      const c = this.chunks.shift()!;
      this.chunksAt += c.length;
      this.kept -= c.length;
    }
  }
  /** Bytes [from, to) of the stream as a list of views, or null when they are no longer kept. */
  bytes(from: number, to: number): Buffer[] | null {
    if (from < this.chunksAt) return null;
    const out: Buffer[] = [];
    let at = this.chunksAt;
    for (const c of this.chunks) {
      const a = Math.max(from, at);
      const b = Math.min(to, at + c.length);
      if (a < b) out.push(c.subarray(a - at, b - at));
      at += c.length;
      if (at >= to) return out;
    }
    return at >= to ? out : null;
  }

  /** Empties it for a new connection. */
  clear(): void {
    this.head = 0;
    this.cursor = 0;
    this.tail = 0;
    this.headAt = 0;
    this.tailAt = 0;
    this.chunks.length = 0;
    this.chunksAt = 0;
    this.kept = 0;
    this.locals.length = 0;
  }

  private grow(): void {
    const size = (this.mask + 1) * 2;
    const kinds = new Uint8Array(size);
    const lengths = new Float64Array(size);
    for (let i = this.head; i < this.tail; i++) {
      kinds[i & (size - 1)] = this.kinds[i & this.mask];
      lengths[i & (size - 1)] = this.lengths[i & this.mask];
    }
    this.kinds = kinds;
    this.lengths = lengths;
    this.mask = size - 1;
  }
}

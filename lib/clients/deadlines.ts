/**
 * Deadlines of many, one timer: a binary heap of (time, what to do it to). Used for blocked clients.
 * Times are monotonic milliseconds (time/clock.ts). A removed entry stays in the heap until its time comes or half of the heap is such.
 */

export class Deadline<T> {
  readonly atMs: number;
  /** null: removed. */
  item: T | null;
  constructor(atMs: number, item: T) {
    this.atMs = atMs;
    this.item = item;
  }
}

export class Deadlines<T> {
  private heap: Deadline<T>[];
  private dead: number;
  private timer: ReturnType<typeof setTimeout> | null;
  private timerAtMs: number;
  private readonly due: (item: T) => void;

  /** `due` is called with each item whose time has come, earliest first, from a timer's event. */
  constructor(due: (item: T) => void) {
    this.heap = [];
    this.dead = 0;
    this.timer = null;
    this.timerAtMs = 0;
    this.due = due;
  }

  /** Live entries. */
  get size(): number {
    return this.heap.length - this.dead;
  }

  add(atMs: number, item: T): Deadline<T> {
    const entry = new Deadline(atMs, item);
    const heap = this.heap;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (heap[up].atMs <= atMs) break;
      heap[i] = heap[up];
      i = up;
    }
    heap[i] = entry;
    this.arm();
    return entry;
  }

  remove(entry: Deadline<T>): void {
    if (entry.item === null) return;
    entry.item = null;
    this.dead++;
    if (this.dead > 64 && this.dead * 2 > this.heap.length) {
      // An ascending array is a heap.
      this.heap = this.heap.filter((e) => e.item !== null).sort((a, b) => a.atMs - b.atMs);
      this.dead = 0;
    }
    this.arm();
  }

  /** Calls `due` for everything that is over at nowMs. Safe to call at any time. */
  run(nowMs: number): void {
    while (this.heap.length > 0 && this.heap[0].atMs <= nowMs) {
      const entry = this.pop();
      const item = entry.item;
      if (item === null) this.dead--;
      else {
        entry.item = null;
        this.due(item);
      }
    }
    this.arm();
  }

  private pop(): Deadline<T> {
    const heap = this.heap;
    const top = heap[0];
    const last = heap.pop()!;
    const n = heap.length;
    if (n === 0) return top;
    let i = 0;
    for (;;) {
      let down = i * 2 + 1;
      if (down >= n) break;
      if (down + 1 < n && heap[down + 1].atMs < heap[down].atMs) down++;
      if (heap[down].atMs >= last.atMs) break;
      heap[i] = heap[down];
      i = down;
    }
    heap[i] = last;
    return top;
  }

  /** One timer for the earliest entry; none when nothing waits. */
  private arm(): void {
    while (this.heap.length > 0 && this.heap[0].item === null) {
      this.pop();
      this.dead--;
    }
    if (this.heap.length === 0) {
      if (this.timer !== null) clearTimeout(this.timer);
      this.timer = null;
      return;
    }
    const at = this.heap[0].atMs;
    if (this.timer !== null && this.timerAtMs === at) return;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timerAtMs = at;
    // A timer holds at most 2^31 ms; a later time is armed again when that is over.
    const wait = Math.min(Math.max(0, Math.ceil(at - performance.now())), 0x7fffffff);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.run(performance.now());
    }, wait);
  }
}

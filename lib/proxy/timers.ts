/**
 * Deadlines of sessions and checks on one timer of the platform: a binary heap. WARM: set once or twice a connection, never per byte.
 * Activity does not move a deadline; when it is due its owner works out the true one and sets it again, so pumping bytes costs nothing here.
 */

export interface Timed {
  /** Set by the heap. */
  deadlineMs: number;
  /** Position in the heap, -1: not in it. */
  heapAt: number;
  expire(nowMs: number): void;
}

/** Milliseconds on a clock that never jumps. */
export function nowMs(): number {
  return performance.now();
}

export class Timers {
  private readonly heap: Timed[];
  private timer: ReturnType<typeof setTimeout> | null;
  private timerAtMs: number;

  constructor() {
    this.heap = [];
    this.timer = null;
    this.timerAtMs = Infinity;
  }

  get size(): number {
    return this.heap.length;
  }

  /** Puts `t` at `deadlineMs`, wherever it was; Infinity takes it out. */
  set(t: Timed, deadlineMs: number): void {
    if (deadlineMs === Infinity) return this.remove(t);
    t.deadlineMs = deadlineMs;
    if (t.heapAt < 0) {
      t.heapAt = this.heap.length;
      this.heap.push(t);
      this.up(t.heapAt);
    } else {
      this.up(t.heapAt);
      this.down(t.heapAt);
    }
    if (deadlineMs < this.timerAtMs) this.arm();
  }

  remove(t: Timed): void {
    const at = t.heapAt;
    if (at < 0) return;
    t.heapAt = -1;
    const last = this.heap.pop()!;
    if (last === t) return;
    this.heap[at] = last;
    last.heapAt = at;
    this.up(at);
    this.down(last.heapAt);
  }

  /** Stops everything (tests, end of the process). */
  clear(): void {
    for (const t of this.heap) t.heapAt = -1;
    this.heap.length = 0;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.timerAtMs = Infinity;
  }

  private arm(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    const first = this.heap[0];
    if (first === undefined) {
      this.timer = null;
      this.timerAtMs = Infinity;
      return;
    }
    this.timerAtMs = first.deadlineMs;
    this.timer = setTimeout(() => this.fire(), Math.max(0, Math.ceil(first.deadlineMs - nowMs())));
  }

  private fire(): void {
    this.timer = null;
    this.timerAtMs = Infinity;
    const now = nowMs();
    // What an expire() sets again in the past is taken in the next turn, so that one broken owner cannot hold the loop.
    let budget = this.heap.length;
    while (this.heap.length > 0 && this.heap[0]!.deadlineMs <= now && budget-- > 0) {
      const t = this.heap[0]!;
      this.remove(t);
      t.expire(now);
    }
    this.arm();
  }

  private up(at: number): void {
    const heap = this.heap;
    const t = heap[at]!;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const p = heap[parent]!;
      if (p.deadlineMs <= t.deadlineMs) break;
      heap[at] = p;
      p.heapAt = at;
      at = parent;
    }
    heap[at] = t;
    t.heapAt = at;
  }
  private down(at: number): void {
    const heap = this.heap;
    const t = heap[at]!;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.deadlineMs < heap[child]!.deadlineMs) child++;
      const c = heap[child]!;
      if (c.deadlineMs >= t.deadlineMs) break;
      heap[at] = c;
      c.heapAt = at;
      at = child;
    }
    heap[at] = t;
    t.heapAt = at;
  }
}

/** A binary heap of things that want to be visited at a time; each knows its place, so that a new time costs O(log n). Pure. */

interface Timed {
  dueMs: number;
  heapIndex: number;
}

export class Deadlines<T extends Timed> {
  private readonly heap: T[];
  constructor() {
    this.heap = [];
  }

  /** The earliest, or undefined. */
  peek(): T | undefined {
    return this.heap[0];
  }

  /** Puts the item in or moves it to its new time. */
  set(item: T, dueMs: number): void {
    item.dueMs = dueMs;
    if (item.heapIndex < 0) {
      item.heapIndex = this.heap.length;
      this.heap.push(item);
    }
    this.down(this.up(item.heapIndex));
  }

  remove(item: T): void {
    const i = item.heapIndex;
    if (i < 0) return;
    const last = this.heap.pop()!;
    item.heapIndex = -1;
    if (last === item) return;
    this.heap[i] = last;
    last.heapIndex = i;
    this.down(this.up(i));
  }

  private up(i: number): number {
    const { heap } = this;
    const item = heap[i];
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent].dueMs <= item.dueMs) break;
      heap[i] = heap[parent];
      heap[i].heapIndex = i;
      i = parent;
    }
    heap[i] = item;
    item.heapIndex = i;
    return i;
  }
  private down(i: number): void {
    const { heap } = this;
    const item = heap[i];
    for (;;) {
      let child = i * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1].dueMs < heap[child].dueMs) child++;
      if (heap[child].dueMs >= item.dueMs) break;
      heap[i] = heap[child];
      heap[i].heapIndex = i;
      i = child;
    }
    heap[i] = item;
    item.heapIndex = i;
  }
}

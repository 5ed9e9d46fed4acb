/** Keys and requests that stand out: hot keys by sampling, big replies, slow requests. WARM: note() runs for one request in SAMPLE. */

/** One request in so many is looked at; a power of two. */
export const SAMPLE = 64;
const HOT_MAX = 256;
const LIST_MAX = 128;

/** Space-saving: the keys seen most, with counts that may be too high by the count of whom they replaced, never too low. */
export class HotKeys {
  private readonly counts: Map<string, number>;
  samples: number;
  constructor() {
    this.counts = new Map();
    this.samples = 0;
  }
  note(key: string): void {
    this.samples++;
    const had = this.counts.get(key);
    if (had !== undefined) {
      this.counts.set(key, had + 1);
      return;
    }
    if (this.counts.size < HOT_MAX) {
      this.counts.set(key, 1);
      return;
    }
    let least = "";
    let count = Infinity;
    for (const [k, n] of this.counts)
      if (n < count) {
        count = n;
        least = k;
      }
    this.counts.delete(least);
    this.counts.set(key, count + 1);
  }
  /** Most frequent first, with their share of the sampled requests. */
  top(n: number): { key: string; share: number; count: number }[] {
    return [...this.counts]
      .sort((a, b) => b[1] - a[1])
      .slice(0, n)
      .map(([key, count]) => ({ key, count: count * SAMPLE, share: count / Math.max(1, this.samples) }));
  }
  clear(): void {
    this.counts.clear();
    this.samples = 0;
  }
}

/** The last ones of something, newest first. */
export class Ring<T> {
  private readonly list: T[];
  total: number;
  constructor() {
    this.list = [];
    this.total = 0;
  }
  add(item: T): void {
    this.total++;
    this.list.unshift(item);
    if (this.list.length > LIST_MAX) this.list.pop();
  }
  get items(): readonly T[] {
    return this.list;
  }
  clear(): void {
    this.list.length = 0;
    this.total = 0;
  }
}

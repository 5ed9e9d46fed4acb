/**
 * What the statistics count over time, as HAProxy counts it: events in a sliding second, and averages over the last 512 sessions. WARM:
 * once a session.
 */

/** Events in the last second: the present second's, and of the former one the part that is still within reach. */
export class Rate {
  private second: number;
  private now: number;
  private before: number;
  max: number;
  constructor() {
    this.second = 0;
    this.now = 0;
    this.before = 0;
    this.max = 0;
  }
  private turn(ms: number): void {
    const second = Math.floor(ms / 1000);
    if (second === this.second) return;
    this.before = second === this.second + 1 ? this.now : 0;
    this.now = 0;
    this.second = second;
  }
  hit(ms: number): void {
    this.turn(ms);
    this.now++;
    const rate = this.read(ms);
    if (rate > this.max) this.max = rate;
  }
  read(ms: number): number {
    this.turn(ms);
    return this.now + Math.floor((this.before * (999 - (Math.floor(ms) % 1000))) / 1000);
  }
}

/** How many sessions an average looks back on. */
const SAMPLES = 512;

/** A sliding average of milliseconds, and the highest value. */
export class Average {
  private sum: number;
  private count: number;
  max: number;
  constructor() {
    this.sum = 0;
    this.count = 0;
    this.max = 0;
  }
  add(value: number): void {
    const v = Math.max(0, value);
    if (this.count < SAMPLES) {
      this.count++;
      this.sum += v;
    } else this.sum += v - this.sum / SAMPLES;
    if (v > this.max) this.max = v;
  }
  get value(): number {
    return this.count === 0 ? 0 : Math.round(this.sum / this.count);
  }
}

/** Where the time of sessions went: in queues, connecting, altogether. */
export class Times {
  readonly queue: Average;
  readonly connect: Average;
  readonly total: Average;
  constructor() {
    this.queue = new Average();
    this.connect = new Average();
    this.total = new Average();
  }
  /** A session is over; -1: it did not come so far. */
  add(queueMs: number, connectMs: number, totalMs: number): void {
    this.queue.add(queueMs);
    this.connect.add(connectMs);
    this.total.add(totalMs);
  }
  clearMax(): void {
    this.queue.max = 0;
    this.connect.max = 0;
    this.total.max = 0;
  }
}

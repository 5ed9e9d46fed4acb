/** What the proxy has seen: requests and their times by command, what a failover did to them. HOT: answered() runs for every reply. */
import type { RowTable } from "../../commands/table/index.ts";

/** Buckets of a histogram: four to an octave of microseconds, to 16 s. */
const BUCKETS = 96;

export class Meter {
  readonly table: RowTable;
  readonly calls: Float64Array;
  readonly errors: Float64Array;
  readonly bytes: Float64Array;
  private readonly times: Uint32Array;
  held: number;
  replayed: number;
  unknown: number;
  unavailable: number;
  denied: number;

  constructor(table: RowTable) {
    const rows = table.all.length;
    this.table = table;
    this.calls = new Float64Array(rows);
    this.errors = new Float64Array(rows);
    this.bytes = new Float64Array(rows);
    this.times = new Uint32Array(rows * BUCKETS);
    this.held = 0;
    this.replayed = 0;
    this.unknown = 0;
    this.unavailable = 0;
    this.denied = 0;
  }

  /** A reply of `bytes` bytes and this type byte to a command, `ms` after the request came. */
  answered(row: number, ms: number, bytes: number, type: number): void {
    this.calls[row]++;
    this.bytes[row] += bytes;
    if (type === 45) this.errors[row]++;
    this.times[row * BUCKETS + bucketOf(ms * 1000)]++;
  }

  /** The time in ms below which this share (0..1) of a command's requests was answered; 0 without any. COLD. */
  percentile(row: number, share: number): number {
    const from = row * BUCKETS;
    let all = 0;
    for (let i = 0; i < BUCKETS; i++) all += this.times[from + i];
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.times[from + i];
      if (all > 0 && seen >= all * share) return edgeOf(i) / 1000;
    }
    return 0;
  }
  clear(): void {
    for (const a of [this.calls, this.errors, this.bytes, this.times]) a.fill(0);
    this.held = this.replayed = this.unknown = this.unavailable = this.denied = 0;
  }
}

/** Which of four buckets an octave: the position of the highest bit, and the two bits below it. */
export function bucketOf(micros: number): number {
  const v = micros < 4 ? micros | 0 : Math.min(micros, 0x7fffffff) | 0;
  if (v < 4) return v < 0 ? 0 : v;
  const top = 31 - Math.clz32(v);
  const b = (top - 1) * 4 + ((v >>> (top - 2)) & 3);
  return b < BUCKETS ? b : BUCKETS - 1;
}
/** The upper edge of a bucket in microseconds. */
export function edgeOf(bucket: number): number {
  if (bucket < 4) return bucket + 1;
  const top = (bucket >> 2) + 1;
  return 2 ** top + ((bucket & 3) + 1) * 2 ** (top - 2);
}

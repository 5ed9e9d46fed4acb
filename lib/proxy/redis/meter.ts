/** What the proxy has seen: requests and their times by command, what a failover did to them. HOT: answered() runs for every reply. */
import type { RowTable } from "../../commands/table/index.ts";
import { HotKeys, Ring } from "./watch_keys.ts";

/** Buckets of a histogram: four to an octave of microseconds, to 16 s. */
const BUCKETS = 96;

/** Slower requests, and bigger replies, are remembered. */
const SLOW_MS = 100;
const BIG_BYTES = 512 * 1024;

export interface Notable {
  at: number;
  command: string;
  client: string;
  /** Its first bytes. */
  request: string;
  ms: number;
  bytes: number;
}

export class Meter {
  readonly table: RowTable;
  readonly calls: Float64Array;
  readonly errors: Float64Array;
  readonly bytes: Float64Array;
  private readonly times: Uint32Array;
  readonly hot: HotKeys;
  /** Replies over BIG_BYTES and requests over SLOW_MS: command, client, figure. */
  readonly big: Ring<Notable>;
  readonly slow: Ring<Notable>;
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
    this.hot = new HotKeys();
    this.big = new Ring();
    this.slow = new Ring();
    this.held = 0;
    this.replayed = 0;
    this.unknown = 0;
    this.unavailable = 0;
    this.denied = 0;
  }

  /** A reply of `bytes` bytes and this type byte to a command, `ms` after the request came. True: one to remember. */
  answered(row: number, ms: number, bytes: number, type: number): boolean {
    this.calls[row]++;
    this.bytes[row] += bytes;
    if (type === 45) this.errors[row]++;
    this.times[row * BUCKETS + bucketOf(ms * 1000)]++;
    return ms > SLOW_MS || bytes > BIG_BYTES;
  }
  /** A reply that answered() has called notable. COLD. */
  notable(row: number, ms: number, bytes: number, client: string, request: string, at: number): void {
    const seen = { at, command: this.table.all[row]!.name, client, request, ms, bytes };
    if (bytes > BIG_BYTES) this.big.add(seen);
    if (ms > SLOW_MS) this.slow.add(seen);
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
    this.hot.clear();
    this.big.clear();
    this.slow.clear();
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

/**
 * What is under way on a connection that many clients share: for each request whose it is, which of the client's it is, what it is to a
 * failover, when it came, and its bytes (in_flight.ts). HOT: one push and one answer a request, on typed arrays. Pure.
 */
import { InFlight } from "./in_flight.ts";

/** Class of requests of ours that make a connection what its pool is. */
export const SETUP = 0;

export class SharedFlight<Owner> {
  readonly requests: InFlight;
  private owners: (Owner | null)[];
  private numbers: Float64Array;
  private rows: Uint16Array;
  private times: Float64Array;
  private mask: number;

  constructor(keepMax: number) {
    this.requests = new InFlight(keepMax);
    this.mask = 63;
    this.owners = new Array<Owner | null>(64).fill(null);
    this.numbers = new Float64Array(64);
    this.rows = new Uint16Array(64);
    this.times = new Float64Array(64);
  }

  get cursor(): number {
    return this.requests.cursor;
  }
  get tail(): number {
    return this.requests.tail;
  }
  /** Requests without their reply. */
  get awaiting(): number {
    return this.requests.tail - this.requests.cursor;
  }

  /** `owner` null: ours, nobody waits for the reply. */
  push(owner: Owner | null, number: number, kind: number, row: number, length: number, nowMs: number): void {
    const r = this.requests;
    if (r.tail - r.cursor > this.mask) this.grow();
    const i = r.tail & this.mask;
    this.owners[i] = owner;
    this.numbers[i] = number;
    this.rows[i] = row;
    this.times[i] = nowMs;
    r.push(kind, length);
  }
  ownerAt(index: number): Owner | null {
    return this.owners[index & this.mask]!;
  }
  numberAt(index: number): number {
    return this.numbers[index & this.mask];
  }
  rowAt(index: number): number {
    return this.rows[index & this.mask];
  }
  timeAt(index: number): number {
    return this.times[index & this.mask];
  }
  /** The request at the cursor has its reply. */
  answered(): void {
    this.owners[this.requests.cursor & this.mask] = null;
    this.requests.answered(false);
  }
  clear(): void {
    this.requests.clear();
    this.owners.fill(null);
  }

  private grow(): void {
    const r = this.requests;
    const size = (this.mask + 1) * 2;
    const mask = size - 1;
    const owners = new Array<Owner | null>(size).fill(null);
    const numbers = new Float64Array(size);
    const rows = new Uint16Array(size);
    const times = new Float64Array(size);
    for (let i = r.cursor; i < r.tail; i++) {
      owners[i & mask] = this.owners[i & this.mask]!;
      numbers[i & mask] = this.numbers[i & this.mask];
      rows[i & mask] = this.rows[i & this.mask];
      times[i & mask] = this.times[i & this.mask];
    }
    this.owners = owners;
    this.numbers = numbers;
    this.rows = rows;
    this.times = times;
    this.mask = mask;
  }
}

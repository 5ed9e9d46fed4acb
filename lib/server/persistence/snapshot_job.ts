/**
 * Drives a snapshot beside the server's other work: slices of at most a millisecond, and no more than a share of the time while clients work.
 * Cold but for the slices. One job at a time, as Redis has one child.
 *
 *   SnapshotJob --slice--> Snapshot.step --chunks--> Sink (file_sink.ts, replication's socket sink)
 *
 * The encoder and the sink do not know each other's pace: a sink that is full stops the walk, never the hook.
 */
import { clock, readClock } from "../../time/clock.ts";
import { Snapshot, type SnapshotOptions } from "./snapshot.ts";
import type { ChunkSink } from "./rdb_writer.ts";

/** Where a snapshot's bytes go. `full`, `ended` and `failed` are how it speaks to the job. */
export interface Sink extends ChunkSink {
  /** Too much is waiting: write nothing more for now; call `job.wake()` when there is room. */
  full(): boolean;
  /** Everything was written: bring it to its end, then call `done(null)`, or with the reason why not. */
  end(done: (error: string | null) => void): void;
  /** The snapshot is broken off. */
  abort(): void;
}

const SLICE_MS = 1;
/** Of the time while clients are served, the snapshot takes one part in so many. */
const BUSY_SHARE = 2;

export interface JobOptions extends SnapshotOptions {
  /** rdb-key-save-delay: microseconds a key takes at least; negative: one for so many keys. */
  delayUs(): number;
  /** Commands executed so far: tells whether somebody is waiting. */
  workDone(): number;
  /** Called once, when the sink has ended or anything failed. */
  done(error: string | null): void;
}

export class SnapshotJob {
  readonly snapshot: Snapshot;
  readonly sink: Sink;
  readonly startMs: number;
  private readonly options: JobOptions;
  private timer: ReturnType<typeof setTimeout> | ReturnType<typeof setImmediate> | null;
  private seenWork: number;
  /** No key is written before this (monotonic ms). */
  private notBefore: number;
  /** Keys that had their delay. */
  private delayedKeys: number;
  /** Everything is written, but delays are still due. */
  private complete: boolean;
  private state: "walking" | "ending" | "over";

  /** Makes the cut; writing begins with the next turn of the event loop. */
  constructor(options: JobOptions, sink: Sink) {
    this.options = options;
    this.sink = sink;
    this.startMs = clock.nowMs;
    this.timer = null;
    this.seenWork = options.workDone();
    this.notBefore = 0;
    this.delayedKeys = 0;
    this.complete = false;
    this.state = "walking";
    this.snapshot = new Snapshot(options, sink);
    this.schedule(0);
  }

  /** True until done was called. */
  get running(): boolean {
    return this.state !== "over";
  }

  /** The sink has room again. */
  wake(): void {
    if (this.state === "walking" && this.timer === null) this.schedule(0);
  }

  private schedule(ms: number): void {
    if (ms < 1) this.timer = setImmediate(() => this.slice());
    else this.timer = setTimeout(() => this.slice(), ms);
  }

  private slice(): void {
    this.timer = null;
    if (this.state !== "walking" || this.sink.full()) return;
    const from = readClock();
    const delay = this.options.delayUs();
    if (delay !== 0 && from < this.notBefore) return this.schedule(Math.min(this.notBefore - from, DELAY_LOOK_MS));
    if (this.complete) return this.end();
    try {
      this.complete = this.snapshot.step(SLICE_MS, delay === 0 ? Infinity : 1);
    } catch (error) {
      // A bug of ours: a failed save, and the server goes on.
      return this.abort(`snapshot: ${(error as Error).stack ?? String(error)}`);
    }
    const took = readClock() - from;
    if (delay !== 0) {
      // Keys that were written ahead of their turn take their time, too.
      const keys = this.snapshot.processed - this.delayedKeys;
      this.notBefore = Math.max(this.notBefore, from - DELAY_DEBT_MS) + keys * (delay > 0 ? delay / 1000 : 0.001 / -delay);
      this.delayedKeys = this.snapshot.processed;
      return this.schedule(Math.min(this.notBefore - clock.monoMs, DELAY_LOOK_MS));
    }
    if (this.complete) return this.end();
    const work = this.options.workDone();
    const busy = work !== this.seenWork && !this.snapshot.pressed;
    this.seenWork = work;
    if (!this.sink.full()) this.schedule(busy ? took * (BUSY_SHARE - 1) : 0);
  }

  private end(): void {
    this.state = "ending";
    this.sink.end((error) => {
      if (this.state !== "ending") return;
      this.state = "over";
      this.options.done(error);
    });
  }

  /** Breaks the snapshot off; `done` is called with the reason. Nothing when it is over. */
  abort(reason: string): void {
    if (this.state === "over") return;
    this.state = "over";
    if (this.timer !== null) {
      clearTimeout(this.timer as ReturnType<typeof setTimeout>);
      clearImmediate(this.timer as ReturnType<typeof setImmediate>);
    }
    this.snapshot.abort();
    this.sink.abort();
    this.options.done(reason);
  }
}

/** Delays that timers overslept are made up for, up to this. */
const DELAY_DEBT_MS = 20;
/** Long delays are looked at again after this: the directive may have changed. */
const DELAY_LOOK_MS = 100;

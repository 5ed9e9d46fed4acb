/**
 * Drives a loader beside the server's other work: slices of a few milliseconds, -LOADING to clients meanwhile. The bytes come from whoever
 * feeds the source: file_source.ts, or replication's socket. Cold but for the slices.
 *
 *   feeder --source.feed, fed()--> Loading --slice--> RdbLoader.step --> keyspaces
 *            <------starved()------+
 *
 * Leaves out what an end means: a broken file ends the process, a broken socket is tried again.
 */
import { setAccessTime } from "../../store/access.ts";
import { clock, resyncClock } from "../../time/clock.ts";
import { DONE, FAILED, NEED_BYTES, RdbLoader, type LoadOptions, type LoadedInfo } from "./rdb_load.ts";
import type { RdbSource } from "./rdb_source.ts";

/** How a load came to its end. */
export interface LoadEnd {
  /** Why it is not complete; null: everything is there. */
  error: string | null;
  /** The bytes themselves are wrong (else: they only stopped coming). */
  corrupt: boolean;
  /** Not to be tried again wherever the bytes came from. */
  fatal: boolean;
  /** Bytes read. */
  offset: number;
  info: LoadedInfo;
}

/** A load as INFO shows it. */
export interface LoadProgress {
  readonly info: LoadedInfo;
  readonly readBytes: number;
  readonly startMs: number;
  /** 0: not known. */
  readonly totalBytes: number;
}

/** Between two looks at the sockets. */
const SLICE_MS = 8;
const PROGRESS_MS = 5000;

export class Loading implements LoadProgress {
  readonly loader: RdbLoader;
  readonly source: RdbSource;
  readonly startMs: number;
  /** 0: not known. */
  readonly totalBytes: number;
  private readonly options: LoadOptions;
  private readonly starved: () => void;
  private readonly done: (end: LoadEnd) => void;
  private scheduled: ReturnType<typeof setImmediate> | null;
  private waiting: boolean;
  private over: boolean;
  private saidMs: number;

  /** Begins with the next turn of the event loop. `starved` is called when bytes are missing: feed the source, then call fed() or eof(). */
  constructor(source: RdbSource, options: LoadOptions, totalBytes: number, starved: () => void, done: (end: LoadEnd) => void) {
    this.source = source;
    this.options = options;
    this.loader = new RdbLoader(source, options);
    this.startMs = clock.nowMs;
    this.totalBytes = totalBytes;
    this.starved = starved;
    this.done = done;
    this.scheduled = null;
    this.waiting = false;
    this.over = false;
    this.saidMs = clock.monoMs;
    this.schedule();
  }

  get info(): LoadedInfo {
    return this.loader.info;
  }
  get readBytes(): number {
    return this.source.offset;
  }

  /** The source has more bytes. */
  fed(): void {
    this.waiting = false;
    if (!this.over && this.scheduled === null) this.schedule();
  }

  /** No more bytes will come. */
  eof(reason: string): void {
    if (!this.over) this.end({ error: reason, corrupt: false, fatal: false, offset: this.source.offset, info: this.loader.info });
  }

  /** Gives up without a word: `done` is not called. */
  abort(): void {
    this.over = true;
    if (this.scheduled !== null) clearImmediate(this.scheduled);
    this.scheduled = null;
  }

  private schedule(): void {
    this.scheduled = setImmediate(() => this.slice());
  }

  private slice(): void {
    this.scheduled = null;
    if (this.over) return;
    const state = this.loader.step(SLICE_MS);
    setAccessTime(clock.nowMs);
    if (state === DONE || state === FAILED) {
      const error = state === DONE ? null : (this.source.failure ?? "unknown");
      this.end({ error, corrupt: error !== null, fatal: this.loader.fatal, offset: this.source.offset, info: this.loader.info });
      return;
    }
    if (clock.monoMs - this.saidMs >= PROGRESS_MS) this.sayProgress();
    if (state === NEED_BYTES) {
      this.waiting = true;
      this.starved();
      // It may have been fed at once.
      if (this.waiting) return;
    }
    if (!this.over && this.scheduled === null) this.schedule();
  }

  private sayProgress(): void {
    this.saidMs = clock.monoMs;
    resyncClock();
    const read = this.source.offset;
    const share = this.totalBytes > 0 ? ` of ${this.totalBytes} (${((read / this.totalBytes) * 100).toFixed(2)}%)` : "";
    this.options.log.notice(`Loading RDB: ${read} bytes${share}, ${this.loader.info.keys} keys so far`);
  }

  private end(end: LoadEnd): void {
    this.abort();
    this.done(end);
  }
}

/**
 * A snapshot's bytes into a file: a temporary one, synced and renamed when it is complete, so that a cut save leaves the old file. Cold.
 * Writing happens off the main loop, syncing in a helper process (save_helper.ts; here, too, where none can be had); what waits is bounded by
 * FULL_BYTES. Redis rdb.c: rdbSave.
 */
import { close, closeSync, fsync, fsyncSync, openSync, renameSync, unlink, write, writeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { strerror } from "../../bytes/errno.ts";
import { moveIntoPlace, removeQuietly } from "./move_into_place.ts";
import { giveChunk, type ChunkSink } from "./rdb_writer.ts";
import { SaveHelper, named, type FileKind } from "./save_helper.ts";
import type { Sink } from "./snapshot_job.ts";

/** Bytes that wait for the disk before the walk has to wait. */
const FULL_BYTES = 8 * 1024 * 1024;

export interface FileSinkOptions {
  kind: FileKind;
  temporary: string;
  /** The name it gets when it is complete. */
  target: string;
  /** There is room again. */
  drained(): void;
  /** A write failed: the save should be broken off. */
  failed(reason: string): void;
  log(text: string): void;
}

/** The text Redis logs when the temporary file cannot be made. */
export function openFailure(path: string, error: unknown): string {
  return `Failed opening the temp RDB file ${path} (in server root dir ${process.cwd()}) for saving: ${strerror(error)}`;
}

export class FileSink implements Sink {
  private readonly options: FileSinkOptions;
  /** The working directory may change meanwhile. */
  temporary: string;
  private readonly target: string;
  private readonly fd: number;
  private readonly queue: Buffer[];
  private waiting: number;
  private position: number;
  /** A write or sync of ours is under way: the descriptor must stay. */
  private busy: boolean;
  private finishing: boolean;
  /** Nothing more is to be written; `released`: nor is the descriptor open. */
  private closed: boolean;
  private released: boolean;
  private done: ((error: string | null) => void) | null;
  private error: string | null;
  private helper: SaveHelper | null;

  /** Opens the temporary file; throws the system's error. */
  constructor(options: FileSinkOptions) {
    this.options = options;
    this.temporary = resolve(options.temporary);
    this.target = resolve(options.target);
    this.fd = openSync(options.temporary, "w", 0o644);
    this.queue = [];
    this.waiting = 0;
    this.position = 0;
    this.busy = false;
    this.finishing = false;
    this.closed = false;
    this.released = false;
    this.done = null;
    this.error = null;
    this.helper = null;
    try {
      const folder = dirname(this.temporary);
      this.helper = new SaveHelper({ kind: options.kind, folder, target: this.target }, (reason, signal) =>
        this.helperEnded(reason, signal),
      );
      const own = join(folder, named(options.kind, this.helper.pid));
      renameSync(this.temporary, own);
      this.temporary = own;
    } catch (error) {
      options.log(`Saving without a helper process: ${strerror(error)}`);
    }
  }

  /** The process that shows that a save runs: the helper, else the server itself. */
  get pid(): number {
    return this.helper?.pid ?? process.pid;
  }

  full(): boolean {
    return this.waiting > FULL_BYTES;
  }

  write(chunk: Buffer): void {
    if (this.error !== null) return giveChunk(chunk);
    this.queue.push(chunk);
    this.waiting += chunk.length;
    this.pump();
  }

  private pump(): void {
    if (this.busy || this.closed || this.finishing) return;
    const chunk = this.queue[0];
    if (chunk === undefined) {
      if (this.done !== null) this.finish();
      return;
    }
    this.busy = true;
    this.writeFrom(chunk, 0);
  }

  private writeFrom(chunk: Buffer, from: number): void {
    write(this.fd, chunk, from, chunk.length - from, this.position, (error, written) => {
      if (this.closed) return this.release(true);
      if (error) return this.fail("write", error);
      this.position += written;
      if (from + written < chunk.length) return this.writeFrom(chunk, from + written);
      this.busy = false;
      this.queue.shift();
      const wasFull = this.full();
      this.waiting -= chunk.length;
      giveChunk(chunk);
      if (wasFull && !this.full()) this.options.drained();
      this.pump();
    });
  }

  end(done: (error: string | null) => void): void {
    if (this.error !== null) return done(this.error);
    this.done = done;
    this.pump();
  }

  /** Everything is written. */
  private finish(): void {
    this.finishing = true;
    if (this.helper !== null) return this.helper.commit();
    this.busy = true;
    fsync(this.fd, (error) => {
      if (this.closed) return this.release(true);
      if (error) return this.fail("fsync", error);
      this.closed = true;
      this.release(false);
      this.done!(moveIntoPlace(this.temporary, this.target, this.options.log));
    });
  }

  /** Asked to, it has made the file last, or says why not; else somebody killed it. */
  private helperEnded(reason: string, signal: NodeJS.Signals | null): void {
    if (this.closed) return;
    this.helper = null;
    if (reason !== "" || !this.finishing) {
      if (signal === null) this.options.log(reason);
      return this.giveUp(signal ?? reason);
    }
    this.closed = true;
    this.release(false);
    this.done!(null);
  }

  private fail(operation: string, error: unknown): void {
    const reason = `Write error while saving DB to the disk(${operation}): ${strerror(error)}`;
    this.options.log(reason);
    this.busy = false;
    this.giveUp(reason);
  }

  private giveUp(reason: string): void {
    this.error = reason;
    this.abort();
    if (this.done !== null) this.done(reason);
    else this.options.failed(reason);
  }

  abort(): void {
    if (this.closed) return;
    this.closed = true;
    this.helper?.drop();
    this.queue.length = 0;
    this.waiting = 0;
    if (!this.busy) this.release(true);
  }

  /** Closes the file; `remove`: it is of no use. */
  private release(remove: boolean): void {
    if (this.released) return;
    this.released = true;
    close(this.fd, () => undefined);
    if (remove) unlink(this.temporary, () => undefined);
  }
}

/** The same without giving way: SAVE, SHUTDOWN, DEBUG RELOAD. Every method throws what the system says. */
export class SyncFileSink implements ChunkSink {
  private readonly temporary: string;
  private readonly target: string;
  private readonly fd: number;
  private failure: unknown;

  constructor(temporary: string, target: string) {
    this.temporary = temporary;
    this.target = target;
    this.fd = openSync(temporary, "w", 0o644);
    this.failure = null;
  }

  write(chunk: Buffer): void {
    if (this.failure === null) {
      try {
        for (let from = 0; from < chunk.length;) from += writeSync(this.fd, chunk, from, chunk.length - from);
      } catch (error) {
        this.failure = error;
      }
    }
    giveChunk(chunk);
  }

  /** True once a write failed: going on is of no use. */
  get broken(): boolean {
    return this.failure !== null;
  }

  /** Syncs and renames; the reason why not, or null. */
  finish(log: (text: string) => void): string | null {
    let operation = "write";
    try {
      if (this.failure !== null) throw this.failure;
      operation = "fsync";
      fsyncSync(this.fd);
      operation = "fclose";
      closeSync(this.fd);
    } catch (error) {
      const text = `Write error while saving DB to the disk(${operation}): ${strerror(error)}`;
      log(text);
      this.abort();
      return text;
    }
    return moveIntoPlace(this.temporary, this.target, log);
  }

  abort(): void {
    try {
      closeSync(this.fd);
    } catch {
      // already closed
    }
    removeQuietly(this.temporary);
  }
}

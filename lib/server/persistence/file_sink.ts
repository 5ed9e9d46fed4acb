/**
 * A snapshot's bytes into a file: a temporary one, synced and renamed when it is complete, so that a cut save leaves the old file. Cold.
 * Writing and syncing happen off the main loop; what waits is bounded by FULL_BYTES. Redis rdb.c: rdbSave.
 */
import { close, closeSync, fsync, fsyncSync, openSync, renameSync, unlink, unlinkSync, write, writeSync } from "node:fs";
import { dirname } from "node:path";
import { strerror } from "../../bytes/errno.ts";
import { giveChunk, type ChunkSink } from "./rdb_writer.ts";
import type { Sink } from "./snapshot_job.ts";

/** Bytes that wait for the disk before the walk has to wait. */
const FULL_BYTES = 8 * 1024 * 1024;

export interface FileSinkOptions {
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
  private readonly fd: number;
  private readonly queue: Buffer[];
  private waiting: number;
  private position: number;
  private busy: boolean;
  private closed: boolean;
  private done: ((error: string | null) => void) | null;
  private error: string | null;

  /** Opens the temporary file; throws the system's error. */
  constructor(options: FileSinkOptions) {
    this.options = options;
    this.fd = openSync(options.temporary, "w", 0o644);
    this.queue = [];
    this.waiting = 0;
    this.position = 0;
    this.busy = false;
    this.closed = false;
    this.done = null;
    this.error = null;
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
    if (this.busy || this.closed) return;
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
      if (this.closed) return this.closeNow();
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

  private fail(operation: string, error: unknown): void {
    this.error = `Write error while saving DB to the disk(${operation}): ${strerror(error)}`;
    this.options.log(this.error);
    this.queue.length = 0;
    this.waiting = 0;
    this.closed = true;
    this.closeNow();
    if (this.done !== null) this.done(this.error);
    else this.options.failed(this.error);
  }

  end(done: (error: string | null) => void): void {
    if (this.error !== null) return done(this.error);
    this.done = done;
    this.pump();
  }

  private finish(): void {
    this.busy = true;
    fsync(this.fd, (error) => {
      if (this.closed) return this.closeNow();
      if (error) return this.fail("fsync", error);
      this.closed = true;
      close(this.fd, () => {
        const reason = moveIntoPlace(this.options.temporary, this.options.target, this.options.log);
        this.done!(reason);
      });
    });
  }

  abort(): void {
    if (this.closed) return;
    this.closed = true;
    this.queue.length = 0;
    if (!this.busy) this.closeNow();
  }

  /** Closes and removes the temporary file, when no write is under way. */
  private closeNow(): void {
    this.busy = false;
    close(this.fd, () => unlink(this.options.temporary, () => undefined));
  }
}

/** Renames and makes the rename last; the reason why not, or null. */
function moveIntoPlace(temporary: string, target: string, log: (text: string) => void): string | null {
  try {
    renameSync(temporary, target);
  } catch (error) {
    const text = `Error moving temp DB file ${temporary} on the final destination ${target} (in server root dir ${process.cwd()}): ${strerror(error)}`;
    log(text);
    removeQuietly(temporary);
    return text;
  }
  try {
    const dir = openSync(dirname(target) || ".", "r");
    try {
      fsyncSync(dir);
    } finally {
      closeSync(dir);
    }
  } catch (error) {
    const text = `Failed to fsync directory while saving DB: ${strerror(error)}`;
    log(text);
    return text;
  }
  return null;
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // it is not there
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

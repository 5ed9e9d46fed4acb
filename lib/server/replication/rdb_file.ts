/**
 * The temporary file that takes a received RDB: written beside the loop, synced, and put in dbfilename's place when it is whole. Cold.
 * Redis replication.c readSyncBulkPayload.
 */
import { close, closeSync, fsync, fsyncSync, ftruncate, openSync, renameSync, write } from "node:fs";
import { dirname, resolve } from "node:path";
import { strerror } from "../../bytes/errno.ts";
import { removeQuietly } from "../persistence/move_into_place.ts";

/** Bytes that may wait for the disk before the socket is paused. */
const FULL_BYTES = 4 * 1024 * 1024;
const NAME_TRIES = 5;

export class RdbFile {
  private readonly fd: number;
  private readonly path: string;
  private readonly failed: (text: string) => void;
  private readonly roomAgain: () => void;
  private readonly queue: Buffer[];
  private queued: number;
  private written: number;
  private busy: boolean;
  private closed: boolean;
  private finish: { size: number; target: string; done: () => void } | null;

  /**
   * Makes the file in the working directory; throws the system's error. `failed` is called once with what went wrong later; `roomAgain` after
   * `full` was true.
   */
  constructor(nowMs: number, failed: (text: string) => void, roomAgain: () => void) {
    let fd = -1;
    let path = "";
    for (let i = 0; fd < 0; i++) {
      path = resolve(`temp-${Math.floor(nowMs / 1000) + i}.${process.pid}.rdb`);
      try {
        fd = openSync(path, "wx", 0o644);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST" || i === NAME_TRIES) throw error;
      }
    }
    this.fd = fd;
    this.path = path;
    this.failed = failed;
    this.roomAgain = roomAgain;
    this.queue = [];
    this.queued = 0;
    this.written = 0;
    this.busy = false;
    this.closed = false;
    this.finish = null;
  }

  /** More waits than should: read nothing more for now. */
  get full(): boolean {
    return this.queued > FULL_BYTES;
  }

  /** Appends; the bytes are kept until they are written. */
  append(bytes: Buffer): void {
    this.queue.push(bytes);
    this.queued += bytes.length;
    if (!this.busy) this.writeNext();
  }

  private writeNext(): void {
    const bytes = this.queue[0];
    if (bytes === undefined) return this.end();
    this.busy = true;
    write(this.fd, bytes, 0, bytes.length, this.written, (error, n) => {
      this.busy = false;
      if (this.closed) return this.release();
      if (error)
        return this.fail(
          `Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA synchronization: ${strerror(error)}`,
        );
      const was = this.full;
      this.written += n;
      this.queued -= n;
      if (n === bytes.length) this.queue.shift();
      else this.queue[0] = bytes.subarray(n);
      if (was && !this.full) this.roomAgain();
      this.writeNext();
    });
  }

  /** All bytes are here, `size` of them count: once they are on the disk under the name `target`, `done` is called. */
  complete(size: number, target: string, done: () => void): void {
    this.finish = { size, target: resolve(target), done };
    if (!this.busy) this.writeNext();
  }

  private end(): void {
    if (this.finish === null) return;
    this.busy = true;
    const { size, target, done } = this.finish;
    ftruncate(this.fd, size, (cut) => {
      if (cut) return this.fail(`Error truncating the RDB file received from the master for SYNC: ${strerror(cut)}`);
      fsync(this.fd, (error) => {
        this.busy = false;
        if (this.closed) return this.release();
        if (error) return this.fail(`Failed trying to sync the temp DB to disk in MASTER <-> REPLICA synchronization: ${strerror(error)}`);
        const problem = this.rename(target);
        if (problem !== null) return this.fail(problem);
        this.closed = true;
        close(this.fd, () => undefined);
        done();
      });
    });
  }

  private rename(target: string): string | null {
    try {
      renameSync(this.path, target);
    } catch (error) {
      return `Failed trying to rename the temp DB into ${target} in MASTER <-> REPLICA synchronization: ${strerror(error)}`;
    }
    try {
      const dir = openSync(dirname(target), "r");
      fsyncSync(dir);
      closeSync(dir);
      return null;
    } catch (error) {
      return `Failed trying to sync DB directory ${target} in MASTER <-> REPLICA synchronization: ${strerror(error)}`;
    }
  }

  private fail(text: string): void {
    this.busy = false;
    this.abort();
    this.failed(text);
  }

  /** The file is of no use. */
  abort(): void {
    if (this.closed) return;
    this.closed = true;
    this.queue.length = 0;
    if (!this.busy) this.release();
  }

  private release(): void {
    close(this.fd, () => undefined);
    removeQuietly(this.path);
  }
}

/**
 * A file's bytes for a loader: the next chunk is read while the last one is taken apart. Cold.
 * Two buffers take turns: the source does not look at the first any more once it has been fed the second.
 */
import { close, closeSync, fstatSync, openSync, read, readSync } from "node:fs";
import { strerror } from "../../bytes/errno.ts";
import { DONE, FAILED, NEED_BYTES, RdbLoader, type LoadOptions } from "./rdb_load.ts";
import type { LoadEnd, Loading } from "./loading.ts";
import { RdbSource } from "./rdb_source.ts";

const CHUNK_BYTES = 1024 * 1024;
/** The text for a file that ends too early. */
export const SHORT_READ = "Unexpected EOF reading RDB file";

/** Opens for reading; throws the system's error. */
export function openRdb(path: string): { fd: number; size: number } {
  const fd = openSync(path, "r");
  const stat = fstatSync(fd);
  return { fd, size: stat.isFile() ? stat.size : 0 };
}

/** Feeds a Loading from an open file, which it closes. */
export class FileFeeder {
  private readonly fd: number;
  private readonly source: RdbSource;
  private loading: Loading | null;
  private reading: Buffer;
  private spare: Buffer;
  /** What the last read brought: null while it runs. */
  private ready: Buffer | null;
  private error: unknown;
  private wanted: boolean;
  private closed: boolean;

  constructor(fd: number, source: RdbSource) {
    this.fd = fd;
    this.source = source;
    this.loading = null;
    this.reading = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.spare = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.ready = null;
    this.error = null;
    this.wanted = false;
    this.closed = false;
  }

  begin(loading: Loading): void {
    this.loading = loading;
    this.readNext();
  }

  private readNext(): void {
    read(this.fd, this.reading, 0, CHUNK_BYTES, null, (error, bytes) => {
      if (this.closed) return close(this.fd, () => undefined);
      this.error = error;
      this.ready = this.reading.subarray(0, error ? 0 : bytes);
      if (this.wanted) this.more();
    });
  }

  /** The loader is out of bytes. */
  more(): void {
    const { ready } = this;
    if (ready === null) {
      this.wanted = true;
      return;
    }
    this.wanted = false;
    if (this.error !== null && this.error !== undefined) return this.loading!.eof(`read: ${strerror(this.error)}`);
    if (ready.length === 0) return this.loading!.eof(SHORT_READ);
    this.ready = null;
    this.source.feed(ready);
    [this.reading, this.spare] = [this.spare, this.reading];
    this.readNext();
    this.loading!.fed();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    // A read that is under way closes it when it comes back.
    if (this.ready !== null) close(this.fd, () => undefined);
  }
}

/** Loads a file without giving way (DEBUG RELOAD). Throws what the system says when it cannot be opened. */
export function loadFileSync(path: string, checksum: boolean, options: LoadOptions): LoadEnd {
  const { fd } = openRdb(path);
  try {
    const source = new RdbSource(checksum);
    const loader = new RdbLoader(source, options);
    for (;;) {
      const state = loader.step(1000);
      const facts = { offset: source.offset, info: loader.info, fatal: loader.fatal };
      if (state === DONE) return { error: null, corrupt: false, ...facts };
      if (state === FAILED) return { error: source.failure, corrupt: true, ...facts };
      if (state !== NEED_BYTES) continue;
      const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      const bytes = readSync(fd, chunk, 0, CHUNK_BYTES, null);
      if (bytes === 0) return { error: SHORT_READ, corrupt: false, ...facts };
      source.feed(chunk.subarray(0, bytes));
    }
  } finally {
    closeSync(fd);
  }
}

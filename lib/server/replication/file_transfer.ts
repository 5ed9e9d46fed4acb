/**
 * An RDB file on its way to one replica: read beside the server's other work, never faster than the replica takes it. Cold but for the chunks.
 * Redis replication.c sendBulkToSlave.
 */
import { close, read } from "node:fs";
import { strerror } from "../../bytes/errno.ts";
import type { Replica } from "./replica.ts";

const CHUNK_BYTES = 256 * 1024;

export class FileTransfer {
  private readonly replica: Replica;
  private readonly fd: number;
  private readonly size: number;
  private readonly done: (error: string | null) => void;
  private readonly sent: (bytes: number) => void;
  private readonly chunk: Buffer;
  private position: number;
  private reading: boolean;
  private over: boolean;

  /** Takes the descriptor over. `done` is called once, unless it is aborted; `sent` for every piece. */
  constructor(replica: Replica, fd: number, size: number, sent: (bytes: number) => void, done: (error: string | null) => void) {
    this.replica = replica;
    this.fd = fd;
    this.size = size;
    this.sent = sent;
    this.done = done;
    this.chunk = Buffer.allocUnsafeSlow(Math.max(1, Math.min(CHUNK_BYTES, size)));
    this.position = 0;
    this.reading = false;
    this.over = false;
    replica.send(Buffer.from(`$${size}\r\n`));
    this.more();
  }

  /** The replica's socket has room. */
  more(): void {
    if (this.reading || this.over || !this.replica.flush()) return;
    if (this.position === this.size) return this.end(null);
    this.reading = true;
    read(this.fd, this.chunk, 0, Math.min(this.chunk.length, this.size - this.position), this.position, (error, bytes) => {
      this.reading = false;
      if (this.over) return close(this.fd, () => undefined);
      if (error || bytes === 0) return this.end(error ? strerror(error) : "premature EOF");
      this.position += bytes;
      this.replica.send(this.chunk.subarray(0, bytes));
      this.sent(bytes);
      this.more();
    });
  }

  private end(error: string | null): void {
    this.abort();
    this.done(error);
  }

  /** Nothing more is sent. */
  abort(): void {
    if (this.over) return;
    this.over = true;
    if (!this.reading) close(this.fd, () => undefined);
  }
}

/**
 * The replication stream's recent bytes: one list of blocks that the backlog and all replicas share. HOT: an append copies the command's bytes
 * once, however many replicas there are.
 *
 *   append --> [ block | block | block ] --writes from a Reader's place--> replicas' sockets
 *               ^ oldest byte: kept while a reader needs it or the backlog's size covers it
 *
 * Offsets count the stream's bytes from the beginning of its history; a reader at offset n wants byte n + 1. Knows no clients.
 * Redis replication.c: feedReplicationBuffer, incrementalTrimReplicationBacklog.
 */

const BLOCK_BYTES = 64 * 1024;

interface Block {
  buf: Buffer;
  /** Offset of the stream before the first byte here. */
  start: number;
  used: number;
  next: Block | null;
  /** Readers that stand in this block. */
  readers: number;
}

/** A place in the stream that keeps the bytes behind it alive. */
export class Reader {
  /** Bytes read so far: the next one is byte offset + 1. */
  offset: number;
  block: Block | null;
  constructor(offset: number, block: Block | null) {
    this.offset = offset;
    this.block = block;
  }
}

export class ReplicationBuffer {
  private head: Block | null;
  private tail: Block | null;
  /** Offset after the newest byte: master_repl_offset. */
  end: number;
  /** repl-backlog-size. */
  sizeBytes: number;
  /** False: no backlog, bytes are kept for readers alone. */
  keeps: boolean;
  /** Blocks' bytes (INFO mem_total_replication_buffers). */
  memoryBytes: number;

  constructor(sizeBytes: number) {
    this.head = null;
    this.tail = null;
    this.end = 0;
    this.sizeBytes = sizeBytes;
    this.keeps = false;
    this.memoryBytes = 0;
  }

  /** Offset before the oldest byte that is there. */
  get start(): number {
    return this.head === null ? this.end : this.head.start;
  }
  /** Bytes that are there. */
  get length(): number {
    return this.end - this.start;
  }

  /** Adds b[from, to) to the stream. */
  append(b: Buffer, from: number, to: number): void {
    while (from < to) {
      let block = this.tail;
      if (block === null || block.used === block.buf.length) block = this.addBlock();
      const n = Math.min(to - from, block.buf.length - block.used);
      if (n <= 48) for (let i = 0, at = block.used; i < n; i++) block.buf[at + i] = b[from + i];
      else b.copy(block.buf, block.used, from, from + n);
      block.used += n;
      from += n;
      this.end += n;
    }
  }

  private addBlock(): Block {
    // Small backlogs get small blocks, so that trimming a block never takes much of them (Redis: a sixteenth).
    const bytes = Math.min(BLOCK_BYTES, Math.max(4096, this.sizeBytes >> 4));
    const block: Block = { buf: Buffer.allocUnsafeSlow(bytes), start: this.end, used: 0, next: null, readers: 0 };
    this.memoryBytes += bytes;
    if (this.tail === null) this.head = block;
    else this.tail.next = block;
    this.tail = block;
    this.trim();
    return block;
  }

  /** Drops the oldest blocks that nobody reads and the backlog does not need. */
  trim(): void {
    while (this.head !== null && this.head !== this.tail && this.head.readers === 0) {
      const after = this.head.start + this.head.used;
      if (this.keeps && this.end - after < this.sizeBytes) return;
      this.memoryBytes -= this.head.buf.length;
      this.head = this.head.next;
    }
  }

  /** Forgets all bytes; the offset goes on. Readers must be gone. */
  clear(): void {
    this.head = this.tail = null;
    this.memoryBytes = 0;
  }

  /** The stream's history changes: nothing of the old one is kept, the next byte is offset + 1. */
  restart(offset: number): void {
    this.clear();
    this.end = offset;
  }

  /** A reader whose next byte is offset + 1, or null when that byte is not there any more (or not yet). */
  read(offset: number): Reader | null {
    if (offset > this.end || offset < this.start) return null;
    let block = this.head;
    while (block !== null && block.start + block.used <= offset && block.next !== null) block = block.next;
    if (block !== null) block.readers++;
    return new Reader(offset, block);
  }

  /** Another reader at the same place. */
  fork(reader: Reader): Reader {
    this.settle(reader);
    if (reader.block !== null) reader.block.readers++;
    return new Reader(reader.offset, reader.block);
  }

  /** Lets a reader go. */
  release(reader: Reader): void {
    if (reader.block !== null) reader.block.readers--;
    reader.block = null;
    this.trim();
  }

  /** A reader that came before the first block now stands in it. */
  private settle(reader: Reader): void {
    if (reader.block !== null || this.head === null) return;
    let block: Block = this.head;
    while (block.next !== null && block.start + block.used <= reader.offset) block = block.next;
    block.readers++;
    reader.block = block;
  }

  /** The bytes from the reader's place on that lie in one piece; empty when it has read all. Valid until the next append. */
  peek(reader: Reader): Buffer | null {
    this.settle(reader);
    let block = reader.block;
    if (block === null) return null;
    while (block.start + block.used <= reader.offset && block.next !== null) {
      block.readers--;
      block = block.next;
      block.readers++;
      reader.block = block;
    }
    const from = reader.offset - block.start;
    return from >= block.used ? null : block.buf.subarray(from, block.used);
  }

  /** The reader has used k bytes of what peek gave. */
  advance(reader: Reader, k: number): void {
    reader.offset += k;
  }
}

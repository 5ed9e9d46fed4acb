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
const BLOCK_MIN_BYTES = 4096;
/** Redis CONFIG_REPL_BACKLOG_MIN_SIZE. */
const BACKLOG_MIN_BYTES = 16 * 1024;
/** Buffers of dropped blocks that are kept for the next ones. */
const SPARE_BLOCKS = 16;

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
  /** Readers that came while there was no block: they stand in the first one that comes. */
  private readonly early: Set<Reader>;
  private readonly spare: Buffer[];
  /** Offset after the newest byte: master_repl_offset. */
  end: number;
  private size: number;
  /** False: no backlog, bytes are kept for readers alone. */
  keeps: boolean;
  /** Blocks' bytes (INFO mem_total_replication_buffers). */
  memoryBytes: number;

  constructor(sizeBytes: number) {
    this.head = null;
    this.tail = null;
    this.early = new Set();
    this.spare = [];
    this.end = 0;
    this.size = Math.max(BACKLOG_MIN_BYTES, sizeBytes);
    this.keeps = false;
    this.memoryBytes = 0;
  }

  /** Bytes that are kept at least (repl-backlog-size, 16 KiB or more). */
  get sizeBytes(): number {
    return this.size;
  }
  set sizeBytes(bytes: number) {
    this.size = Math.max(BACKLOG_MIN_BYTES, bytes);
    this.spare.length = 0;
    this.trim();
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
    const bytes = Math.min(BLOCK_BYTES, Math.max(BLOCK_MIN_BYTES, Math.floor(this.size / 16)));
    const block: Block = { buf: this.spare.pop() ?? Buffer.allocUnsafeSlow(bytes), start: this.end, used: 0, next: null, readers: 0 };
    this.memoryBytes += block.buf.length;
    if (this.tail === null) {
      this.head = block;
      for (const reader of this.early) {
        reader.block = block;
        block.readers++;
      }
      this.early.clear();
    } else this.tail.next = block;
    this.tail = block;
    this.trim();
    return block;
  }

  /** Drops the oldest blocks that nobody reads and the backlog does not need. */
  trim(): void {
    while (this.head !== null && this.head !== this.tail && this.head.readers === 0) {
      const after = this.head.start + this.head.used;
      if (this.keeps && this.end - after <= this.size) return;
      this.memoryBytes -= this.head.buf.length;
      if (this.spare.length < SPARE_BLOCKS) this.spare.push(this.head.buf);
      this.head = this.head.next;
    }
  }

  /** Forgets all bytes; the offset goes on. A reader that is still there reads what it had to its end, and nothing new. */
  clear(): void {
    this.head = this.tail = null;
    this.early.clear();
    this.spare.length = 0;
    this.memoryBytes = 0;
  }

  /** The offset goes on without bytes, while none are kept. */
  skip(bytes: number): void {
    if (this.head === null) this.end += bytes;
  }

  /** The stream's history changes: nothing of the old one is kept, the next byte is offset + 1. */
  restart(offset: number): void {
    this.clear();
    this.end = offset;
  }

  /** What was fed so far turns out to follow on another history: all offsets grow by this. No reader may be there. */
  rebase(by: number): void {
    for (let b = this.head; b !== null; b = b.next) b.start += by;
    this.end += by;
  }

  /** A reader whose next byte is offset + 1, or null when that byte is not there any more (or not yet). */
  read(offset: number): Reader | null {
    if (offset > this.end || offset < this.start) return null;
    let block = this.head;
    while (block !== null && block.start + block.used <= offset && block.next !== null) block = block.next;
    return this.enter(new Reader(offset, block));
  }

  /** Another reader at the same place. */
  fork(reader: Reader): Reader {
    return this.enter(new Reader(reader.offset, reader.block));
  }

  private enter(reader: Reader): Reader {
    if (reader.block !== null) reader.block.readers++;
    else this.early.add(reader);
    return reader;
  }

  /** Lets a reader go. */
  release(reader: Reader): void {
    if (reader.block !== null) reader.block.readers--;
    reader.block = null;
    this.early.delete(reader);
    this.trim();
  }

  /** The bytes from the reader's place on that lie in one piece; null when it has read all. Valid until the next append. */
  peek(reader: Reader): Buffer | null {
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

  /** The newest bytes, at most `bytes` of them (what the log shows when the stream makes no sense). */
  latest(bytes: number): Buffer {
    const pieces: Buffer[] = [];
    for (let b = this.head; b !== null; b = b.next)
      if (b.start + b.used > this.end - bytes) pieces.push(b.buf.subarray(Math.max(0, this.end - bytes - b.start), b.used));
    return Buffer.concat(pieces);
  }
}

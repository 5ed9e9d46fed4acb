/**
 * The output sink: replies and requests are encoded into it, a connection drains it. HOT.
 *
 *   command --bulk()/int()/array()--> Out [ chunk | chunk | cur ] --Conn.flush()--> socket
 *
 * Bytes gather in `cur`, a 16 KiB buffer borrowed from a pool when the first byte comes and given back when all is sent, so an
 * idle connection owns no buffer. What does not fit goes on in further chunks. Knows RESP2 and RESP3 (`resp`), no sockets.
 */
const CHUNK_BYTES = 16 * 1024;
const POOL_MAX = 64;
const NONE = Buffer.alloc(0);
const pool: Buffer[] = [];

function borrow(): Buffer {
  return pool.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
}
function giveBack(b: Buffer): void {
  if (b.length === CHUNK_BYTES && pool.length < POOL_MAX) pool.push(b);
}

const OK = Buffer.from("+OK\r\n");
const PONG = Buffer.from("+PONG\r\n");
const QUEUED = Buffer.from("+QUEUED\r\n");
const NIL2 = Buffer.from("$-1\r\n");
const NIL3 = Buffer.from("_\r\n");
const NILARRAY2 = Buffer.from("*-1\r\n");
const TRUE3 = Buffer.from("#t\r\n");
const FALSE3 = Buffer.from("#f\r\n");

/** Length in digits of a safe non-negative integer. */
function digits(v: number): number {
  let d = 1;
  let above = 10;
  while (v >= above) {
    above *= 10;
    d++;
  }
  return d;
}

export class Out {
  /** Protocol version of the peer: decides the form of maps, sets, nulls, doubles, booleans. */
  resp: 2 | 3;
  cur: Buffer;
  /** Bytes used in `cur`. */
  n: number;
  /** Full chunks before `cur`, oldest first; `head` bytes of the oldest are already sent. */
  chunks: Buffer[];
  head: number;
  /** Bytes waiting in `chunks` (without `head`); the whole backlog is `pendingBytes()`. */
  chunkBytes: number;
  /** Bytes ever put here: callers compare it to see whether something was written. */
  total: number;
  /** CLIENT REPLY OFF / SKIP and null sinks: everything is dropped. */
  muted: boolean;
  /** Error replies written; the last one's line (EXEC, scripts, errorstats look at it). */
  errors: number;
  lastError: Buffer | null;
  /** Error replies since dispatch has last accounted for some. */
  unreported: number;
  /** Bytes that may wait here; beyond them everything is dropped and `overflowed` set: the owner closes the connection. */
  limitBytes: number;
  overflowed: boolean;

  constructor(resp: 2 | 3 = 2) {
    this.resp = resp;
    this.cur = NONE;
    this.n = 0;
    this.chunks = [];
    this.head = 0;
    this.chunkBytes = 0;
    this.total = 0;
    this.muted = false;
    this.errors = 0;
    this.lastError = null;
    this.unreported = 0;
    this.limitBytes = Infinity;
    this.overflowed = false;
  }

  /** Bytes written and not yet sent. */
  pendingBytes(): number {
    return this.chunkBytes + this.n;
  }

  /** Makes room for `k` more bytes in one piece (k up to any size). */
  ensure(k: number): void {
    if (this.n + k <= this.cur.length) return;
    if (this.chunkBytes + this.n + k > this.limitBytes) this.overflow();
    if (this.n > 0) {
      this.chunks.push(this.cur.subarray(0, this.n));
      this.chunkBytes += this.n;
      this.n = 0;
      this.cur = NONE;
    } else giveBack(this.cur);
    this.cur = k <= CHUNK_BYTES ? borrow() : Buffer.allocUnsafeSlow(k);
  }

  /** True when more waits, or would wait, than may. */
  isOver(): boolean {
    return this.overflowed || this.chunkBytes + this.n >= this.limitBytes;
  }

  /** Over the limit: nothing more is taken; what is there stays until the owner closes. */
  private overflow(): void {
    this.overflowed = true;
    this.muted = true;
  }

  /** Copies src[start, end), also when replies are muted (CLIENT REPLY OFF silences replies, not pushes). */
  pushing(src: Uint8Array, start: number, end: number): void {
    const muted = this.muted;
    this.muted = this.overflowed;
    this.raw(src, start, end);
    this.muted = muted || this.overflowed;
  }

  /** Copies src[start, end). */
  raw(src: Uint8Array, start: number, end: number): void {
    if (this.muted) return;
    const k = end - start;
    this.ensure(k);
    const cur = this.cur;
    let n = this.n;
    if (k <= 48) for (let i = start; i < end; i++) cur[n++] = src[i];
    else {
      cur.set(src.subarray(start, end), n);
      n += k;
    }
    this.n = n;
    this.total += k;
  }

  /** Copies a prepared reply, such as those of errors.ts (errors go through `error`). */
  lit(b: Uint8Array): void {
    this.raw(b, 0, b.length);
  }

  /** One type byte, a signed safe integer, CRLF. */
  private line(type: number, v: number): void {
    if (this.muted) return;
    this.ensure(24);
    const cur = this.cur;
    let n = this.n;
    const before = n;
    cur[n++] = type;
    if (v < 0) {
      cur[n++] = 45;
      v = -v;
    }
    if (v < 10) cur[n++] = 48 + v;
    else {
      const d = digits(v);
      let p = n + d;
      n = p;
      if (v <= 0x7fffffff) {
        let w = v | 0;
        for (let i = 0; i < d; i++) {
          const q = (w / 10) | 0;
          cur[--p] = 48 + w - q * 10;
          w = q;
        }
      } else
        for (let i = 0; i < d; i++) {
          const q = Math.floor(v / 10);
          cur[--p] = 48 + (v - q * 10);
          v = q;
        }
    }
    cur[n++] = 13;
    cur[n++] = 10;
    this.n = n;
    this.total += n - before;
  }

  ok(): void {
    this.lit(OK);
  }
  pong(): void {
    this.lit(PONG);
  }
  queued(): void {
    this.lit(QUEUED);
  }

  /** `:v`, v a safe integer. */
  int(v: number): void {
    this.line(58, v);
  }
  /** `:v` for the whole int64 range. */
  bigint(v: bigint): void {
    this.lit(Buffer.from(`:${v}\r\n`));
  }

  /** Bulk string of src[start, end). */
  bulk(src: Uint8Array, start: number, end: number): void {
    if (this.muted) return;
    const k = end - start;
    this.line(36, k);
    this.ensure(k + 2);
    const cur = this.cur;
    let n = this.n;
    if (k <= 48) for (let i = start; i < end; i++) cur[n++] = src[i];
    else {
      cur.set(src.subarray(start, end), n);
      n += k;
    }
    cur[n++] = 13;
    cur[n++] = 10;
    this.n = n;
    this.total += k + 2;
  }
  bulkBuffer(b: Uint8Array): void {
    this.bulk(b, 0, b.length);
  }
  /** Bulk string of a latin1 string (cold). */
  bulkText(s: string): void {
    const b = Buffer.from(s, "latin1");
    this.bulk(b, 0, b.length);
  }
  /** Bulk string of an integer's decimal text. */
  bulkInt(v: number): void {
    if (v >= 0 && v < 10) {
      if (this.muted) return;
      this.ensure(7);
      const cur = this.cur;
      const n = this.n;
      cur[n] = 36;
      cur[n + 1] = 49;
      cur[n + 2] = 13;
      cur[n + 3] = 10;
      cur[n + 4] = 48 + v;
      cur[n + 5] = 13;
      cur[n + 6] = 10;
      this.n = n + 7;
      this.total += 7;
      return;
    }
    this.bulkText(String(v));
  }
  /** Announces a bulk of k bytes whose bytes the caller writes piecewise with raw(), then crlf(). */
  bulkStart(k: number): void {
    this.line(36, k);
  }
  crlf(): void {
    if (this.muted) return;
    this.ensure(2);
    this.cur[this.n] = 13;
    this.cur[this.n + 1] = 10;
    this.n += 2;
    this.total += 2;
  }

  /** `+text` (cold; ok() and pong() are prepared). */
  status(s: string): void {
    this.lit(Buffer.from(`+${s}\r\n`, "latin1"));
  }

  /** A prepared error line (errors.ts). Counted, so that EXEC, scripts and errorstats can tell. */
  error(line: Buffer): void {
    this.errors++;
    this.unreported++;
    this.lastError = line;
    this.lit(line);
  }
  /** An error from its text, without the leading `-` (cold). */
  errorText(text: string): void {
    this.error(Buffer.from(`-${text.replace(/[\r\n]/g, " ")}\r\n`, "latin1"));
  }

  nil(): void {
    this.lit(this.resp === 3 ? NIL3 : NIL2);
  }
  nilArray(): void {
    this.lit(this.resp === 3 ? NIL3 : NILARRAY2);
  }
  array(count: number): void {
    this.line(42, count);
  }
  /** Map of `pairs` pairs; a flat array of twice as many in RESP2. */
  map(pairs: number): void {
    if (this.resp === 3) this.line(37, pairs);
    else this.line(42, pairs * 2);
  }
  set(count: number): void {
    this.line(this.resp === 3 ? 126 : 42, count);
  }
  push(count: number): void {
    this.line(this.resp === 3 ? 62 : 42, count);
  }
  attribute(pairs: number): void {
    if (this.resp === 3) this.line(124, pairs);
  }
  bool(v: boolean): void {
    if (this.resp === 3) this.lit(v ? TRUE3 : FALSE3);
    else this.int(v ? 1 : 0);
  }
  /** A double by its text (bytes/number.ts formats it): `,text` in RESP3, a bulk in RESP2. */
  doubleText(text: string): void {
    if (this.resp === 3) this.lit(Buffer.from(`,${text}\r\n`, "latin1"));
    else this.bulkText(text);
  }
  /** Verbatim string in RESP3 (`ext` is three letters), bulk in RESP2. */
  verbatim(text: string, ext: "txt" | "mkd"): void {
    if (this.resp !== 3) return this.bulkText(text);
    const b = Buffer.from(`${ext}:${text}`, "latin1");
    if (this.muted) return;
    this.line(61, b.length);
    this.raw(b, 0, b.length);
    this.crlf();
  }

  /** A request as an array of bulks (links, cold). Strings are latin1. */
  command(...args: (string | number | Uint8Array)[]): void {
    this.line(42, args.length);
    for (const a of args) {
      if (typeof a === "string") this.bulkText(a);
      else if (typeof a === "number") this.bulkText(String(a));
      else this.bulkBuffer(a);
    }
  }

  /** Takes all pending bytes out as one buffer (captures; cold). */
  take(): Buffer {
    const parts: Buffer[] = [];
    for (let i = 0; i < this.chunks.length; i++) parts.push(i === 0 && this.head > 0 ? this.chunks[0].subarray(this.head) : this.chunks[i]);
    if (this.n > 0) parts.push(this.cur.subarray(0, this.n));
    const all = Buffer.concat(parts);
    this.clear();
    return all;
  }

  /** Drops what is pending and gives the buffers back. */
  clear(): void {
    for (const c of this.chunks) releaseChunk(c);
    this.chunks.length = 0;
    this.chunkBytes = 0;
    this.head = 0;
    giveBack(this.cur);
    this.cur = NONE;
    this.n = 0;
  }

  /** Marks `k` bytes, oldest first, as sent; gives emptied buffers back. Used by Conn.flush alone. */
  sent(k: number): void {
    while (this.chunks.length > 0) {
      const c = this.chunks[0];
      const left = c.length - this.head;
      if (k < left) {
        this.head += k;
        this.chunkBytes -= k;
        return;
      }
      k -= left;
      this.chunkBytes -= left;
      this.chunks.shift();
      this.head = 0;
      releaseChunk(c);
    }
    if (k >= this.n) {
      giveBack(this.cur);
      this.cur = NONE;
      this.n = 0;
    } else if (k > 0) {
      // The rest of `cur` becomes a chunk, so that its sent part is accounted for by `head`.
      this.chunks.push(this.cur.subarray(0, this.n));
      this.chunkBytes = this.n - k;
      this.head = k;
      this.cur = NONE;
      this.n = 0;
    }
  }
}

/** A chunk is a view of a pooled buffer when that buffer has the pool's size: recover and pool the whole one. */
function releaseChunk(c: Buffer): void {
  if (c.buffer.byteLength === CHUNK_BYTES && c.byteOffset === 0 && pool.length < POOL_MAX)
    pool.push(Buffer.from(c.buffer as ArrayBuffer, 0, CHUNK_BYTES));
}

/**
 * Reading requests: RESP arrays and inline commands, resumable at every byte. HOT.
 *
 *   chunk --readRequest()--> Request { buf, argc, at[2i] start, at[2i+1] end }   no strings, no copies
 *
 * The caller owns the bytes: it keeps an unfinished request's bytes (from `start` on) in front of the next chunk and calls
 * `rebase`; the reader goes on where it stopped, so a request that comes in a million pieces is parsed once.
 * Inline commands are rewritten by the caller-visible `inline` step below: their arguments are unquoted into a fresh buffer.
 * Follows Redis networking.c processMultibulkBuffer / processInlineBuffer, limits and texts included. Knows no client.
 */
import { splitArgs } from "../bytes/args.ts";

/** Redis PROTO_INLINE_MAX_SIZE: longest inline command, longest count line. */
export const INLINE_MAX_BYTES = 64 * 1024;
/** Most arguments of one request (7.0 and later; INT_MAX in 7.2's own limit, checked before allocation here). */
export const ARGS_MAX = 0x7fffffff;
/** Limits before authentication. */
export const UNAUTH_ARGS_MAX = 10;
export const UNAUTH_BULK_MAX_BYTES = 16 * 1024;

export const READY = 1;
export const NEED_MORE = 0;
/** The request is broken: reply `request.error`, then close. */
export const BROKEN = -1;

const AT_START = 32;

export class Request {
  buf: Buffer;
  argc: number;
  /** Argument i is buf[at[2i], at[2i+1]). */
  at: Int32Array;
  /** Where the request's bytes lie in the buffer that read() was given: the next request begins at `end`. */
  start: number;
  end: number;
  /** True when buf[start, end) is the RESP array itself; false for an inline command, whose RESP form is the whole of `buf`. */
  verbatim: boolean;
  /** Text of the protocol error after BROKEN. */
  error: string;
  /** Limits; the client layer sets them (proto-max-bulk-len, lower before authentication). */
  maxBulkBytes: number;
  unauthenticated: boolean;
  // ---- where the reader stopped
  private next: number;
  private pos: number;
  private bulkLen: number;
  /** Bytes from `start` that must be there before another readRequest can get further; a hint for the caller. */
  needBytes: number;

  constructor() {
    this.buf = Buffer.alloc(0);
    this.argc = 0;
    this.at = new Int32Array(AT_START);
    this.start = 0;
    this.end = 0;
    this.verbatim = true;
    this.error = "";
    this.maxBulkBytes = 512 * 1024 * 1024;
    this.unauthenticated = false;
    this.next = -1;
    this.pos = 0;
    this.bulkLen = -1;
    this.needBytes = 0;
  }

  /** True while a request has begun and is not complete. */
  get partial(): boolean {
    return this.next >= 0;
  }
  /** Arguments announced and not yet read, and the length of the bulk being read (CLIENT LIST, query buffer sizing). */
  get awaitedBulkBytes(): number {
    return this.bulkLen < 0 ? 0 : this.bulkLen;
  }

  /** Bytes of the unfinished request before that bulk. */
  get awaitedBulkOffset(): number {
    return this.bulkLen < 0 ? 0 : this.pos - this.start;
  }

  /** The unfinished request now begins at `start` of another buffer (its bytes were moved there unchanged). */
  rebase(start: number): void {
    const d = start - this.start;
    if (d !== 0 && this.next > 0) for (let i = 0; i < this.next * 2; i++) this.at[i] += d;
    this.pos += d;
    this.start = start;
  }

  /** Forgets an unfinished request. */
  reset(): void {
    this.next = -1;
    this.bulkLen = -1;
    this.argc = 0;
    this.needBytes = 0;
    if (this.at.length > 1024) this.at = new Int32Array(AT_START);
  }

  /**
   * Reads one request of buf[pos, len). READY: arguments are in `at`, the next request starts at `end`; argc 0 is an empty line
   * or `*0`, to be skipped. NEED_MORE: keep the bytes from `start`. BROKEN: see `error`.
   */
  read(buf: Buffer, from: number, len: number): number {
    this.buf = buf;
    let p = from;
    let n = this.next;
    if (n < 0) {
      this.start = from;
      this.bulkLen = -1;
      if (from >= len) return NEED_MORE;
      if (buf[p] !== 42) return this.inline(buf, from, len);
      // *<count>\r\n
      let c = 0;
      let count = 0;
      p++;
      const first = p;
      if (p < len && buf[p] === 45) {
        // A negative count is an empty request; only its digits must be sound.
        return this.slowHeader(buf, first, len);
      }
      while (p < len && (c = buf[p]) !== 13) {
        if (c < 48 || c > 57) return this.slowHeader(buf, first, len);
        count = count * 10 + c - 48;
        if (++p - first > 10) return this.slowHeader(buf, first, len);
      }
      if (p + 2 > len) {
        if (len - first > INLINE_MAX_BYTES) return this.fail("Protocol error: too big mbulk count string");
        return this.wait(from, len);
      }
      if (p === first || count > ARGS_MAX) return this.fail("Protocol error: invalid multibulk length");
      if (this.unauthenticated && count > UNAUTH_ARGS_MAX) return this.fail("Protocol error: unauthenticated multibulk length");
      p += 2;
      this.argc = count;
      this.verbatim = true;
      if (count === 0) return this.done(p);
      if (count * 2 > this.at.length) this.at = new Int32Array(Math.min(count, 4096) * 2);
      n = 0;
    } else p = this.pos;

    const argc = this.argc;
    let at = this.at;
    let bulk = this.bulkLen;
    while (n < argc) {
      if (bulk < 0) {
        // $<length>\r\n
        if (p >= len) return this.stop(n, p, -1, 1);
        if (buf[p] !== 36) return this.fail(`Protocol error: expected '$', got '${String.fromCharCode(buf[p])}'`);
        let q = p + 1;
        const first = q;
        let c = 0;
        let l = 0;
        while (q < len && (c = buf[q]) !== 13) {
          if (c < 48 || c > 57 || q - first > 10) {
            if (len - p > INLINE_MAX_BYTES) return this.fail("Protocol error: too big bulk count string");
            return this.badBulk(buf, first, len, n, p);
          }
          l = l * 10 + c - 48;
          q++;
        }
        if (q + 2 > len) {
          if (len - p > INLINE_MAX_BYTES) return this.fail("Protocol error: too big bulk count string");
          return this.stop(n, p, -1, len - p + 1);
        }
        if (q === first || l > this.maxBulkBytes) return this.fail("Protocol error: invalid bulk length");
        if (this.unauthenticated && l > UNAUTH_BULK_MAX_BYTES) return this.fail("Protocol error: unauthenticated bulk length");
        bulk = l;
        p = q + 2;
      }
      if (p + bulk + 2 > len) return this.stop(n, p, bulk, bulk + 2);
      if (n * 2 >= at.length) {
        const bigger = new Int32Array(Math.min(argc * 2, at.length * 2));
        bigger.set(at);
        at = this.at = bigger;
      }
      at[n * 2] = p;
      at[n * 2 + 1] = p + bulk;
      n++;
      p += bulk + 2;
      bulk = -1;
    }
    return this.done(p);
  }

  private done(p: number): number {
    this.end = p;
    this.next = -1;
    this.bulkLen = -1;
    this.needBytes = 0;
    return READY;
  }
  private fail(text: string): number {
    this.error = text;
    this.next = -1;
    return BROKEN;
  }
  /** Nothing of the request is parsed yet. */
  private wait(from: number, len: number): number {
    this.needBytes = len - from + 1;
    return NEED_MORE;
  }
  private stop(n: number, p: number, bulk: number, more: number): number {
    this.next = n;
    this.pos = p;
    this.bulkLen = bulk;
    this.needBytes = p - this.start + more;
    return NEED_MORE;
  }

  /** A count line that is not plain digits: negative counts are empty requests, anything else is an error once the line is whole. */
  private slowHeader(buf: Buffer, first: number, len: number): number {
    const e = buf.indexOf(13, first);
    if (e < 0 || e + 2 > len) {
      if (len - first > INLINE_MAX_BYTES) return this.fail("Protocol error: too big mbulk count string");
      return this.wait(this.start, len);
    }
    const text = buf.toString("latin1", first, e);
    if (/^-[1-9][0-9]{0,18}$/.test(text) || text === "-0") {
      if (text === "-0") return this.fail("Protocol error: invalid multibulk length");
      this.argc = 0;
      return this.done(e + 2);
    }
    return this.fail("Protocol error: invalid multibulk length");
  }

  private badBulk(buf: Buffer, first: number, len: number, n: number, p: number): number {
    const e = buf.indexOf(13, first);
    if (e < 0 || e + 2 > len) return this.stop(n, p, -1, len - p + 1);
    return this.fail("Protocol error: invalid bulk length");
  }

  /** An inline command (cold: people, health checks). Its arguments move into a fresh buffer, encoded as a RESP array there. */
  private inline(buf: Buffer, from: number, len: number): number {
    const e = buf.indexOf(10, from);
    if (e < 0 || e >= len) {
      if (len - from > INLINE_MAX_BYTES) return this.fail("Protocol error: too big inline request");
      return this.wait(from, len);
    }
    const line = buf.toString("latin1", from, e > from && buf[e - 1] === 13 ? e - 1 : e);
    const args = splitArgs(line);
    if (args === null) return this.fail("Protocol error: unbalanced quotes in request");
    this.argc = args.length;
    if (args.length * 2 > this.at.length) this.at = new Int32Array(args.length * 2);
    let text = `*${args.length}\r\n`;
    for (let i = 0; i < args.length; i++) {
      text += `$${args[i].length}\r\n`;
      this.at[i * 2] = text.length;
      text += args[i];
      this.at[i * 2 + 1] = text.length;
      text += "\r\n";
    }
    this.buf = Buffer.from(text, "latin1");
    this.verbatim = false;
    return this.done(e + 1);
  }
}

/**
 * Reading replies on outgoing links: bytes in, JS values out. Cold: used by Sentinel, replication's handshake, checks and status.
 * The proxy finds reply boundaries by its own scanner and never decodes.
 */

/** An error reply; `text` is without the leading `-`. */
export class ReplyError {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  /** The first word: `ERR`, `LOADING`, ... */
  get code(): string {
    const i = this.text.indexOf(" ");
    return i < 0 ? this.text : this.text.slice(0, i);
  }
}

/** Pushes of RESP3 (`>`): told apart from replies so that a link can hand them to its subscriber. */
export class Push {
  readonly items: Reply[];
  constructor(items: Reply[]) {
    this.items = items;
  }
}

/** Bulk, simple and verbatim strings are latin1 strings; maps are flat arrays of key, value, ...; int64 beyond 2^53 is a bigint. */
export type Reply = string | number | bigint | boolean | null | ReplyError | Push | Reply[];

const NEED = Symbol("need more");

/** Incremental reader: feed() takes a chunk and returns the complete replies in it; the rest is kept (bounded by `limitBytes`). */
export class ReplyReader {
  private rest: Buffer;
  private pos: number;
  private need: number;
  readonly limitBytes: number;
  constructor(limitBytes = 64 * 1024 * 1024) {
    this.rest = Buffer.alloc(0);
    this.pos = 0;
    this.need = 0;
    this.limitBytes = limitBytes;
  }

  /** Returns complete replies in order, or null when the stream is not RESP or exceeds the limit (close the link then). */
  feed(chunk: Buffer): Reply[] | null {
    const b = this.rest.length > 0 ? Buffer.concat([this.rest, chunk]) : chunk;
    this.rest = b;
    if (b.length > this.limitBytes) return null;
    const done: Reply[] = [];
    let used = 0;
    if (b.length >= this.need) {
      this.need = 0;
      while (used < b.length) {
        this.pos = used;
        const r = this.read(b);
        if (r === NEED) break;
        if (r === undefined) return null;
        done.push(r as Reply);
        used = this.pos;
        this.need = 0;
      }
    }
    if (this.need > 0) this.need -= used;
    this.rest = used === b.length ? Buffer.alloc(0) : used > 0 ? Buffer.from(b.subarray(used)) : b;
    return done;
  }

  /** Bytes that follow the last complete reply (PSYNC hands them on to the RDB reader). Empties the reader. */
  takeRest(): Buffer {
    const r = this.rest;
    this.rest = Buffer.alloc(0);
    this.need = 0;
    return r;
  }

  private line(b: Buffer): string | typeof NEED {
    const e = b.indexOf(10, this.pos);
    if (e < 0) return NEED;
    const s = b.toString("latin1", this.pos, e > this.pos && b[e - 1] === 13 ? e - 1 : e);
    this.pos = e + 1;
    return s;
  }

  private read(b: Buffer): Reply | typeof NEED | undefined {
    if (this.pos >= b.length) return NEED;
    const type = b[this.pos];
    const mark = this.pos;
    this.pos++;
    const head = this.line(b);
    if (head === NEED) {
      this.pos = mark;
      return NEED;
    }
    switch (type) {
      case 43: // +
      case 40: // (
        return head as string;
      case 45: // -
        return new ReplyError(head as string);
      case 58: {
        const v = Number(head);
        if (Number.isNaN(v)) return undefined;
        return Number.isSafeInteger(v) ? v : BigInt(head as string);
      }
      case 44: // ,
        return head as string;
      case 35: // #
        return head === "t";
      case 95: // _
        return null;
      case 36: // $
      case 61: // =
      case 33: {
        // !
        const n = Number(head);
        if (!Number.isInteger(n) || n < -1) return undefined;
        if (n === -1) return null;
        if (this.pos + n + 2 > b.length) {
          this.need = this.pos + n + 2;
          return NEED;
        }
        const s = b.toString("latin1", this.pos, this.pos + n);
        this.pos += n + 2;
        if (type === 61) return s.slice(4);
        return type === 33 ? new ReplyError(s) : s;
      }
      case 42: // *
      case 126: // ~
      case 62: // >
      case 37: // %
      case 124: {
        // |
        let n = Number(head);
        if (!Number.isInteger(n) || n < -1) return undefined;
        if (n === -1) return null;
        if (type === 37 || type === 124) n *= 2;
        const items: Reply[] = [];
        for (let i = 0; i < n; i++) {
          const r = this.read(b);
          if (r === NEED || r === undefined) return r;
          items.push(r);
        }
        if (type === 124) return this.read(b); // attributes are dropped, their reply follows
        return type === 62 ? new Push(items) : items;
      }
      default:
        return undefined;
    }
  }
}

/** A flat array of name, value, ... (or a RESP3 map) as a plain object. */
export function pairs(reply: Reply): Record<string, string> {
  const o: Record<string, string> = {};
  if (Array.isArray(reply)) for (let i = 0; i + 1 < reply.length; i += 2) o[String(reply[i])] = String(reply[i + 1]);
  return o;
}

/**
 * Finds where requests end in a client's bytes, without decoding them. HOT: once a chunk, a few steps an argument. Pure.
 *
 *   chunk, at --next()--> end of the request that begins or goes on there | NEED_MORE | BROKEN, with its command's row
 *
 * A request may lie over any number of chunks: what is known of it is kept between calls. Arrays of bulks and inline lines are told apart
 * as Redis does; limits (1 M arguments, 512 MB a bulk) are the server's to enforce, nonsense ends the scanning (BROKEN) and the server
 * answers it. Leaves out: what a request means (request_class.ts), its arguments (argumentsOf below, cold).
 */
import type { RowTable } from "../../commands/table/index.ts";
import type { Row } from "../../commands/table/row.ts";

export const NEED_MORE = -1;
export const BROKEN = -2;

const START = 0;
const COUNT = 1;
const BULK = 2;
const LENGTH = 3;
const PAYLOAD = 4;
const INLINE = 5;

const NAME_MAX = 64;

export class RequestScanner {
  private readonly table: RowTable;
  private state: number;
  /** Number being read; -1 right after a minus sign. */
  private number: number;
  private digits: number;
  private argsLeft: number;
  private skip: number;
  private readonly name: Buffer;
  private nameLength: number;
  private nameOpen: boolean;
  /** Of the last complete request: its command, null when unknown; `argc` 0 for what Redis ignores without a reply. */
  row: Row | null;
  argc: number;
  isInline: boolean;

  constructor(table: RowTable) {
    this.table = table;
    this.state = START;
    this.number = 0;
    this.digits = 0;
    this.argsLeft = 0;
    this.skip = 0;
    this.name = Buffer.alloc(NAME_MAX);
    this.nameLength = 0;
    this.nameOpen = false;
    this.row = null;
    this.argc = 0;
    this.isInline = false;
  }

  /** True between requests. */
  get isAtStart(): boolean {
    return this.state === START;
  }
  /** Bytes of the present argument that are still to come; 0 when unknown. */
  get missing(): number {
    return this.state === PAYLOAD ? this.skip : 0;
  }

  next(b: Uint8Array, at: number): number {
    if (this.state === START) {
      const end = this.whole(b, at);
      if (end !== NEED_MORE) return end;
    }
    return this.step(b, at);
  }

  /** The usual case: a whole array of bulks in one piece. NEED_MORE leaves nothing changed. */
  private whole(b: Uint8Array, at: number): number {
    const length = b.length;
    let p = at;
    if (b[p++] !== 42) return NEED_MORE;
    let n = 0;
    let c = 0;
    const countAt = p;
    while (p < length && (c = b[p]) >= 48 && c <= 57) {
      n = n * 10 + c - 48;
      p++;
    }
    if (p === countAt || p - countAt > 7 || n === 0 || p + 1 >= length || b[p] !== 13) return NEED_MORE;
    p += 2;
    let nameAt = 0;
    let nameEnd = 0;
    for (let i = 0; i < n; i++) {
      if (p >= length || b[p] !== 36) return NEED_MORE;
      p++;
      let k = 0;
      const lengthAt = p;
      while (p < length && (c = b[p]) >= 48 && c <= 57) {
        k = k * 10 + c - 48;
        p++;
      }
      if (p === lengthAt || p - lengthAt > 10 || p + 1 >= length || b[p] !== 13) return NEED_MORE;
      p += 2;
      if (i === 0) {
        nameAt = p;
        nameEnd = p + k;
      }
      p += k + 2;
      if (p > length) return NEED_MORE;
    }
    this.row = this.table.find(b, nameAt, nameEnd);
    this.argc = n;
    this.isInline = false;
    return p;
  }

  /** Byte by byte over headers, in strides over arguments; the state survives the chunk. */
  private step(b: Uint8Array, at: number): number {
    const length = b.length;
    let p = at;
    while (p < length) {
      const c = b[p];
      switch (this.state) {
        case START:
          this.number = 0;
          this.digits = 0;
          this.nameLength = 0;
          this.argsLeft = 0;
          this.row = null;
          if (c === 42) {
            this.state = COUNT;
            p++;
          } else this.state = INLINE;
          break;
        case COUNT:
        case LENGTH:
          p++;
          if (c >= 48 && c <= 57) {
            if (++this.digits > 10) return BROKEN;
            this.number = this.number * 10 + c - 48;
          } else if (c === 45 && this.digits === 0 && this.state === COUNT) {
            // *-1: nothing, as Redis takes it
            this.argsLeft = -1;
          } else if (c === 10) {
            if (this.digits === 0) return BROKEN;
            if (this.state === COUNT) {
              if (this.number <= 0 || this.argsLeft < 0) return this.complete(p, 0, false);
              this.argc = this.number;
              this.argsLeft = this.number;
              this.state = BULK;
            } else {
              this.skip = this.number + 2;
              this.nameOpen = this.argsLeft === this.argc;
              this.state = PAYLOAD;
            }
          } else if (c !== 13) return BROKEN;
          break;
        case BULK:
          if (c !== 36) return BROKEN;
          p++;
          this.number = 0;
          this.digits = 0;
          this.state = LENGTH;
          break;
        case PAYLOAD: {
          const have = Math.min(this.skip, length - p);
          if (this.nameOpen) this.takeName(b, p, p + Math.min(have, Math.max(0, this.skip - 2)));
          p += have;
          this.skip -= have;
          if (this.skip > 0) return NEED_MORE;
          this.nameOpen = false;
          if (--this.argsLeft === 0) {
            this.row = this.table.find(this.name, 0, this.nameLength);
            return this.complete(p, this.argc, false);
          }
          this.state = BULK;
          break;
        }
        default: {
          // INLINE: one line; its first word is the name
          p++;
          if (c === 10) {
            const blank = this.nameLength === 0;
            this.row = blank ? null : this.table.find(this.name, 0, this.nameLength);
            return this.complete(p, blank ? 0 : 1, true);
          }
          const space = c === 32 || c === 9 || c === 13;
          if (this.digits === 0 && !space) {
            if (this.nameLength < NAME_MAX) this.name[this.nameLength++] = c;
            else return BROKEN;
          } else if (this.nameLength > 0) this.digits = 1; // the first word is over
          break;
        }
      }
    }
    return NEED_MORE;
  }

  private takeName(b: Uint8Array, from: number, to: number): void {
    for (let i = from; i < to && this.nameLength < NAME_MAX; i++) this.name[this.nameLength++] = b[i];
  }
  private complete(end: number, argc: number, inline: boolean): number {
    this.state = START;
    this.argc = argc;
    this.isInline = inline;
    return end;
  }
}

/** The arguments of one whole request, as latin1 strings. COLD. Quotes of inline requests are taken as Redis' sdssplitargs does, simply. */
export function argumentsOf(request: Buffer): string[] {
  const text = request.toString("latin1");
  if (!text.startsWith("*")) {
    const words = text.trim().match(/"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"']+/g) ?? [];
    return words.map((w) => (w.startsWith('"') ? w.slice(1, -1).replace(/\\(.)/g, "$1") : w.startsWith("'") ? w.slice(1, -1) : w));
  }
  const words: string[] = [];
  let p = text.indexOf("\n") + 1;
  while (p < text.length && text[p] === "$") {
    const end = text.indexOf("\n", p);
    const k = Number.parseInt(text.slice(p + 1, end), 10);
    words.push(text.slice(end + 1, end + 1 + k));
    p = end + 1 + k + 2;
  }
  return words;
}

/** Encodes a request. COLD. */
export function encodeRequest(words: readonly string[]): Buffer {
  return Buffer.from(`*${words.length}\r\n${words.map((w) => `$${w.length}\r\n${w}\r\n`).join("")}`, "latin1");
}

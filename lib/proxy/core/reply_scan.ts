/**
 * Finds where replies end in a server's bytes, without decoding them: RESP2 and RESP3, nested to any depth, cut anywhere. HOT. Pure.
 *
 *   chunk, at --next()--> end of the reply that begins or goes on there | NEED_MORE | BROKEN, with its first byte in `type`
 *
 * Aggregates are counted, not descended into: `*3` owes three more items. An attribute (`|`) belongs to the item after it.
 */
export const NEED_MORE = -1;
export const BROKEN = -2;

const TYPE = 0;
const LINE = 1;
const PAYLOAD = 2;

export class ReplyScanner {
  private state: number;
  /** Items still owed to the present reply. */
  private owed: number;
  private itemType: number;
  private number: number;
  private negative: boolean;
  private skip: number;
  /** First byte of the last complete (or present) reply. */
  type: number;

  constructor() {
    this.state = TYPE;
    this.owed = 0;
    this.itemType = 0;
    this.number = 0;
    this.negative = false;
    this.skip = 0;
    this.type = 0;
  }

  /** True between replies. */
  get isAtStart(): boolean {
    return this.state === TYPE && this.owed === 0;
  }
  reset(): void {
    this.state = TYPE;
    this.owed = 0;
  }

  next(b: Uint8Array, at: number): number {
    const length = b.length;
    let p = at;
    while (p < length) {
      if (this.state === PAYLOAD) {
        const have = length - p;
        if (have < this.skip) {
          this.skip -= have;
          return NEED_MORE;
        }
        p += this.skip;
        this.state = TYPE;
        if (--this.owed === 0) return p;
        continue;
      }
      if (this.state === TYPE) {
        this.itemType = b[p++];
        if (this.owed === 0) {
          this.owed = 1;
          this.type = this.itemType;
        }
        this.number = 0;
        this.negative = false;
        this.state = LINE;
      }
      // LINE: to its end; a number on the way for those that have one
      const t = this.itemType;
      if (t === 36 || t === 42 || t === 61 || t === 33 || t === 37 || t === 126 || t === 62 || t === 124) {
        let n = this.number;
        let c = 0;
        while (p < length && (c = b[p]) !== 10) {
          if (c >= 48 && c <= 57) n = n * 10 + c - 48;
          else if (c === 45) this.negative = true;
          else if (c !== 13) return BROKEN;
          p++;
        }
        this.number = n;
        if (p >= length) return NEED_MORE;
        p++;
        if (this.negative) this.number = -1;
        if (t === 36 || t === 61 || t === 33) {
          if (this.number >= 0) {
            this.skip = this.number + 2;
            this.state = PAYLOAD;
            continue;
          }
        } else if (this.number > 0) {
          const items = t === 37 || t === 124 ? this.number * 2 : this.number;
          // an attribute leaves its own item owed
          this.owed += t === 124 ? items + 1 : items;
        } else if (t === 124) this.owed += 1;
      } else {
        if (t !== 43 && t !== 45 && t !== 58 && t !== 95 && t !== 35 && t !== 44 && t !== 40) return BROKEN;
        while (p < length && b[p] !== 10) p++;
        if (p >= length) return NEED_MORE;
        p++;
      }
      this.state = TYPE;
      if (--this.owed === 0) return p;
    }
    return NEED_MORE;
  }
}

/** Walks over the elements of big lists (quicklist.ts). HOT: LRANGE. */
import { m8 } from "./arena.ts";
import { elEnd, elIsInt, elStart, elWrite, lpFirst, lpNext, lpPrev, lpRead, lpSeek } from "./packed/listpack.ts";
import { type QuickList, indexAt, nodeAt } from "./quicklist.ts";
import { bodyOf, gotB, gotEnd, gotStart, isPlain, nextOf, previousOf, readPlain } from "./quicklist_node.ts";

/** Walks elements in either direction, of a list that is not changed meanwhile; b[start, end) after each true. */
export class QuickListCursor {
  b: Buffer;
  start: number;
  end: number;
  private node: number;
  private p: number;
  private backwards: boolean;
  private readonly text: Buffer;

  constructor() {
    this.text = Buffer.alloc(32);
    this.b = this.text;
    this.start = 0;
    this.end = 0;
    this.node = 0;
    this.p = -1;
    this.backwards = false;
  }

  begin(list: QuickList, index: number, backwards: boolean): boolean {
    list.seek(index);
    this.node = nodeAt;
    this.backwards = backwards;
    if (this.node === 0) return false;
    this.p = isPlain(this.node) ? -1 : lpSeek(m8[this.node >>> 23], bodyOf(this.node), indexAt);
    return this.read();
  }

  next(): boolean {
    if (this.node === 0) return false;
    const b = m8[this.node >>> 23];
    if (this.p >= 0) {
      this.p = this.backwards ? lpPrev(b, bodyOf(this.node), this.p) : lpNext(b, this.p);
      if (this.p >= 0) return this.read();
    }
    this.node = this.backwards ? previousOf(this.node) : nextOf(this.node);
    if (this.node === 0) return false;
    if (isPlain(this.node)) this.p = -1;
    else {
      const m = m8[this.node >>> 23];
      this.p = this.backwards ? lpSeek(m, bodyOf(this.node), -1) : lpFirst(m, bodyOf(this.node));
    }
    return this.read();
  }

  private read(): boolean {
    if (this.p < 0) {
      readPlain(this.node);
      this.b = gotB;
      this.start = gotStart;
      this.end = gotEnd;
      return true;
    }
    const b = m8[this.node >>> 23];
    lpRead(b, this.p);
    if (elIsInt) {
      this.b = this.text;
      this.start = 0;
      this.end = elWrite(b, this.text, 0);
    } else {
      this.b = b;
      this.start = elStart;
      this.end = elEnd;
    }
    return true;
  }
}

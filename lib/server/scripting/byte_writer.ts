/** Bytes under construction: the encoders of scripts' libraries write here, then push the whole as one Lua string. WARM. */
import type { LuaVm } from "./lua_vm.ts";

export class ByteWriter {
  buf: Buffer;
  n: number;

  constructor() {
    this.buf = Buffer.allocUnsafe(1024);
    this.n = 0;
  }

  /** Begins anew; a buffer grown large is let go. */
  reset(): void {
    this.n = 0;
    if (this.buf.length > 1 << 20) this.buf = Buffer.allocUnsafe(1024);
  }
  /** Makes room for k bytes and returns where they go; the caller moves `n`. */
  room(k: number): number {
    if (this.n + k > this.buf.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.buf.length * 2, this.n + k));
      this.buf.copy(larger, 0, 0, this.n);
      this.buf = larger;
    }
    return this.n;
  }
  byte(b: number): void {
    this.room(1);
    this.buf[this.n++] = b;
  }
  /** A latin1 text. */
  text(s: string): void {
    const at = this.room(s.length);
    this.n += this.buf.write(s, at, "latin1");
  }
  bytes(src: Buffer, start: number, end: number): void {
    const at = this.room(end - start);
    src.copy(this.buf, at, start, end);
    this.n += end - start;
  }
  /** The string at `index` of a Lua stack. */
  luaString(vm: LuaVm, L: number, index: number): void {
    const at = vm.stringAt(L, index);
    this.bytes(vm.mem(), at, at + vm.length);
  }
  push(vm: LuaVm, L: number): void {
    vm.pushBytes(L, this.buf, 0, this.n);
  }
}

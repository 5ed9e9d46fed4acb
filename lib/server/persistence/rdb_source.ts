/**
 * RDB bytes, incoming: a window over chunks from a file or a socket, and the primitives of the format on it. HOT while loading.
 *
 *   file, socket --feed(chunk)--> RdbSource [ buf pos ... end ] --take*()--> rdb_load.ts
 *
 * Every `take` reads one item completely or not at all: false means that bytes are missing (`need` says how many from `pos`) or that they
 * are no RDB (`failure`). The caller feeds more and asks again. The checksum runs over what was taken.
 */
import { Crc64 } from "../../bytes/crc64.ts";
import { lzfDecompress } from "../../bytes/lzf.ts";
import { ENC_INT16, ENC_INT32, ENC_INT8, ENC_LZF, LEN_32BIT, LEN_64BIT } from "./rdb_format.ts";

/** Longest string that is believed; what a client could ever have stored is far below. */
const STRING_MAX = 4 * 1024 * 1024 * 1024 - 64;
/** Spare room behind bytes that are being gathered. */
const SLACK_BYTES = 256 * 1024;
const EMPTY = Buffer.alloc(0);

export class RdbSource {
  buf: Buffer;
  /** The next byte to read, and the end of what is there. */
  pos: number;
  end: number;
  /** Bytes from `pos` on that the last take wanted. */
  need: number;
  /** Why this is no RDB; null while it may be one. */
  failure: string | null;
  /** Offset of buf[0] in the file. */
  private base: number;
  /** buf[0, checked) is in the checksum. */
  private checked: number;
  private owned: boolean;
  readonly crc: Crc64;
  /** rdbchecksum. */
  checksum: boolean;

  // ---- what was taken
  /** takeLength: the length; the halves of a 64-bit one. */
  value: number;
  hi: number;
  lo: number;
  /** takeString: strB[strStart, strEnd), until the next take. */
  strB: Buffer;
  strStart: number;
  strEnd: number;
  double: number;
  private scratch: Buffer;

  constructor(checksum = true) {
    this.buf = EMPTY;
    this.pos = 0;
    this.end = 0;
    this.need = 0;
    this.failure = null;
    this.base = 0;
    this.checked = 0;
    this.owned = false;
    this.crc = new Crc64();
    this.checksum = checksum;
    this.value = 0;
    this.hi = 0;
    this.lo = 0;
    this.strB = EMPTY;
    this.strStart = 0;
    this.strEnd = 0;
    this.double = 0;
    this.scratch = Buffer.allocUnsafeSlow(64);
  }

  /** Offset of the next byte in the file. */
  get offset(): number {
    return this.base + this.pos;
  }

  /** Bytes that are there and not read. */
  get available(): number {
    return this.end - this.pos;
  }

  /** Appends bytes. The chunk may be kept until its bytes are read: the caller must not reuse it. */
  feed(chunk: Buffer): void {
    const have = this.end - this.pos;
    this.checkUpTo(this.pos);
    if (have === 0) {
      this.base += this.pos;
      this.buf = chunk;
      this.pos = this.checked = 0;
      this.end = chunk.length;
      this.owned = false;
      return;
    }
    if (!this.owned || this.buf.length - this.end < chunk.length) {
      const wanted = Math.max(have + chunk.length, this.need > have + chunk.length ? this.need + SLACK_BYTES : 0);
      const bigger = Buffer.allocUnsafeSlow(wanted);
      this.buf.copy(bigger, 0, this.pos, this.end);
      this.base += this.pos;
      this.buf = bigger;
      this.pos = this.checked = 0;
      this.end = have;
      this.owned = true;
    }
    chunk.copy(this.buf, this.end);
    this.end += chunk.length;
  }

  private checkUpTo(pos: number): void {
    if (this.checksum && pos > this.checked) this.crc.update(this.buf, this.checked, pos);
    this.checked = pos;
  }

  /** Takes the checksum of all bytes taken so far up to date. */
  settleChecksum(): void {
    this.checkUpTo(this.pos);
  }

  fail(reason: string): false {
    this.failure ??= reason;
    return false;
  }

  private short(bytes: number): false {
    this.need = bytes;
    return false;
  }

  /** True when `bytes` more are there. */
  has(bytes: number): boolean {
    return this.end - this.pos >= bytes || this.short(bytes);
  }

  takeByte(): boolean {
    if (this.pos >= this.end) return this.short(1);
    this.value = this.buf[this.pos++];
    return true;
  }

  /** Reads a length at position p into value, hi, lo; returns the position behind it, 0 when bytes are missing or it is none. */
  private lengthAt(p: number): number {
    if (p >= this.end) {
      this.short(p - this.pos + 1);
      return 0;
    }
    const b = this.buf;
    const first = b[p];
    if (first < 0x40) {
      this.value = first;
      return p + 1;
    }
    if (first < 0x80) {
      if (p + 2 > this.end) {
        this.short(p - this.pos + 2);
        return 0;
      }
      this.value = ((first & 0x3f) << 8) | b[p + 1];
      return p + 2;
    }
    const bytes = first === LEN_32BIT ? 5 : first === LEN_64BIT ? 9 : 0;
    if (bytes === 0) {
      this.fail(`Unknown length encoding ${first} in rdbLoadLen()`);
      return 0;
    }
    if (p + bytes > this.end) {
      this.short(p - this.pos + bytes);
      return 0;
    }
    if (bytes === 5) {
      this.value = b.readUInt32BE(p + 1);
      return p + 5;
    }
    this.hi = b.readUInt32BE(p + 1);
    this.lo = b.readUInt32BE(p + 5);
    this.value = this.hi * 4294967296 + this.lo;
    return p + 9;
  }

  /** A length into `value` (a double: exact to 2^53) and its halves `hi`, `lo` (uint32). */
  takeLength(): boolean {
    const p = this.lengthAt(this.pos);
    if (p === 0) return false;
    if (p - this.pos < 9) {
      this.hi = 0;
      this.lo = this.value;
    }
    this.pos = p;
    return true;
  }

  /** A string, whatever its encoding, into strB[strStart, strEnd). */
  takeString(): boolean {
    const first = this.pos < this.end ? this.buf[this.pos] : -1;
    if (first < 0) return this.short(1);
    if (first >= 0xc0) return this.takeSpecial(first & 0x3f);
    const p = this.lengthAt(this.pos);
    if (p === 0) return false;
    const length = this.value;
    if (length > STRING_MAX) return this.fail(`String of ${length} bytes`);
    if (p + length > this.end) return this.short(p - this.pos + length);
    this.strB = this.buf;
    this.strStart = p;
    this.strEnd = p + length;
    this.pos = p + length;
    return true;
  }

  private takeSpecial(kind: number): boolean {
    if (kind === ENC_LZF) return this.takeLzf();
    const bytes = kind === ENC_INT8 ? 1 : kind === ENC_INT16 ? 2 : kind === ENC_INT32 ? 4 : 0;
    if (bytes === 0) return this.fail(`Unknown RDB string encoding type ${kind}`);
    if (!this.has(1 + bytes)) return false;
    const v = this.buf.readIntLE(this.pos + 1, bytes);
    this.pos += 1 + bytes;
    this.strB = this.scratch;
    this.strStart = 0;
    this.strEnd = this.scratch.write(String(v), 0, "latin1");
    return true;
  }

  private takeLzf(): boolean {
    let p = this.lengthAt(this.pos + 1);
    if (p === 0) return false;
    const packed = this.value;
    p = this.lengthAt(p);
    if (p === 0) return false;
    const size = this.value;
    if (packed > STRING_MAX || size > STRING_MAX) return this.fail("Invalid LZF compressed string");
    if (p + packed > this.end) return this.short(p - this.pos + packed);
    if (this.scratch.length < size) this.scratch = Buffer.allocUnsafeSlow(size);
    if (!lzfDecompress(this.buf, p, p + packed, this.scratch, 0, size)) return this.fail("Invalid LZF compressed string");
    this.strB = this.scratch;
    this.strStart = 0;
    this.strEnd = size;
    this.pos = p + packed;
    return true;
  }

  /** A large buffer that one string left behind goes when the string has been used. */
  trim(): void {
    if (this.scratch.length > 1024 * 1024) this.scratch = Buffer.allocUnsafeSlow(64);
  }

  /** `bytes` bytes as they are into strB[strStart, strEnd). */
  takeRaw(bytes: number): boolean {
    if (!this.has(bytes)) return false;
    this.strB = this.buf;
    this.strStart = this.pos;
    this.strEnd = this.pos += bytes;
    return true;
  }

  /** The eight bytes of a double into `double`. */
  takeDouble(): boolean {
    if (!this.has(8)) return false;
    this.double = this.buf.readDoubleLE(this.pos);
    this.pos += 8;
    return true;
  }

  /** A score of the oldest form: a length byte and decimal text, or 253 to 255 for nan and the infinities. */
  takeTextDouble(): boolean {
    if (!this.has(1)) return false;
    const n = this.buf[this.pos];
    if (n >= 253) {
      this.double = n === 255 ? -Infinity : n === 254 ? Infinity : NaN;
      this.pos++;
      return true;
    }
    if (!this.has(1 + n)) return false;
    const text = this.buf.toString("latin1", this.pos + 1, this.pos + 1 + n);
    this.double = Number(text);
    if (Number.isNaN(this.double) && !/^[-+]?nan$/i.test(text)) return this.fail(`Bad score '${text}'`);
    this.pos += 1 + n;
    return true;
  }

  /** Eight bytes of an int64 in ms, little endian, into `value`. */
  takeMillis(): boolean {
    if (!this.has(8)) return false;
    this.value = this.buf.readInt32LE(this.pos + 4) * 4294967296 + this.buf.readUInt32LE(this.pos);
    this.pos += 8;
    return true;
  }
}

/**
 * RDB bytes, outgoing: lengths, strings, numbers gather in chunks of 64 KiB; a full chunk is checksummed and handed to a sink. HOT while saving.
 *
 *   snapshot.ts, rdb_save_value.ts --string(), length()--> RdbWriter [ chunk ] --> ChunkSink (a file, replicas, a buffer)
 *
 * Knows no keys and no files. A chunk belongs to the sink until it calls giveChunk.
 */
import { Crc64 } from "../../bytes/crc64.ts";
import { lzfCompress } from "../../bytes/lzf.ts";
import { ENC_INT16, ENC_INT32, ENC_INT8, ENC_LZF, LEN_32BIT, LEN_64BIT, OP_AUX, OP_EOF } from "./rdb_format.ts";

const CHUNK_BYTES = 64 * 1024;
const POOL_MAX = 32;
const pool: Buffer[] = [];

/** A buffer for a chunk. */
export function takeChunk(): Buffer {
  return pool.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
}

/** Gives a chunk (or a view of its beginning) back when nobody reads it any more. */
export function giveChunk(chunk: Buffer): void {
  if (pool.length < POOL_MAX && chunk.buffer.byteLength === CHUNK_BYTES)
    pool.push(chunk.length === CHUNK_BYTES ? chunk : Buffer.from(chunk.buffer as ArrayBuffer, 0, CHUNK_BYTES));
}

/** Takes finished chunks, in order. */
export interface ChunkSink {
  write(chunk: Buffer): void;
}

/** Strings longer than this are written as they are: compressing them would hold up the server for tens of milliseconds. */
const COMPRESS_MAX = 256 * 1024;
/** Strings up to this length are not worth compressing (Redis: 20). */
const COMPRESS_MIN = 20;
/** Longest text of an int32. */
const INT_TEXT_MAX = 11;

let scratch = Buffer.allocUnsafeSlow(16 * 1024);
const eight = Buffer.allocUnsafeSlow(8);

export class RdbWriter {
  private readonly sink: ChunkSink;
  /** rdbcompression: strings are compressed when that makes them shorter. */
  private readonly compress: boolean;
  /** rdbchecksum: without it the file ends in eight zeros. */
  private readonly checksum: boolean;
  private readonly crc: Crc64;
  private buf: Buffer;
  private n: number;
  /** Bytes in chunks that went to the sink. */
  private flushed: number;

  constructor(sink: ChunkSink, compress: boolean, checksum: boolean) {
    this.sink = sink;
    this.compress = compress;
    this.checksum = checksum;
    this.crc = new Crc64();
    this.buf = takeChunk();
    this.n = 0;
    this.flushed = 0;
  }

  /** Bytes written so far. */
  get bytes(): number {
    return this.flushed + this.n;
  }

  /** Hands what there is to the sink. */
  flush(): void {
    if (this.n === 0) return;
    if (this.checksum) this.crc.update(this.buf, 0, this.n);
    this.flushed += this.n;
    this.sink.write(this.n === this.buf.length ? this.buf : this.buf.subarray(0, this.n));
    this.buf = takeChunk();
    this.n = 0;
  }

  byte(value: number): void {
    if (this.n === this.buf.length) this.flush();
    this.buf[this.n++] = value;
  }

  /** b[start, end) as it is. */
  raw(b: Buffer, start: number, end: number): void {
    while (start < end) {
      let k = this.buf.length - this.n;
      if (k === 0) {
        this.flush();
        continue;
      }
      if (k > end - start) k = end - start;
      if (k <= 48) for (let i = 0; i < k; i++) this.buf[this.n + i] = b[start + i];
      else b.copy(this.buf, this.n, start, start + k);
      this.n += k;
      start += k;
    }
  }

  /** A length, up to 2^53. */
  length(value: number): void {
    if (value < 64) this.byte(value);
    else if (value < 16384) {
      this.byte(0x40 | (value >> 8));
      this.byte(value & 255);
    } else if (value <= 0xffffffff) {
      this.byte(LEN_32BIT);
      eight.writeUInt32BE(value);
      this.raw(eight, 0, 4);
    } else {
      this.byte(LEN_64BIT);
      eight.writeUInt32BE(Math.floor(value / 4294967296));
      eight.writeUInt32BE(value % 4294967296, 4);
      this.raw(eight, 0, 8);
    }
  }

  /** A length of 64 bits from its halves (stream ids, counters beyond 2^53). */
  lengthPair(hi: number, lo: number): void {
    const high = hi >>> 0;
    if (high < 0x200000) return this.length(high * 4294967296 + (lo >>> 0));
    this.byte(LEN_64BIT);
    eight.writeUInt32BE(high);
    eight.writeUInt32BE(lo >>> 0, 4);
    this.raw(eight, 0, 8);
  }

  /** Milliseconds as int64, little endian. */
  millis(ms: number): void {
    eight.writeInt32LE((ms % 4294967296) | 0);
    eight.writeInt32LE(Math.floor(ms / 4294967296), 4);
    this.raw(eight, 0, 8);
  }

  /** A double's eight bytes, little endian. */
  double(value: number): void {
    eight.writeDoubleLE(value);
    this.raw(eight, 0, 8);
  }

  /** A string: as an integer when it is one's text, compressed when that helps. */
  string(b: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length <= INT_TEXT_MAX && this.integerText(b, start, end)) return;
    if (this.compress && length > COMPRESS_MIN && length <= COMPRESS_MAX && this.lzf(b, start, end)) return;
    this.length(length);
    this.raw(b, start, end);
  }

  /** A string that is never looked at (tests, names). */
  text(s: string): void {
    const b = Buffer.from(s, "latin1");
    this.string(b, 0, b.length);
  }

  /** Writes the text of an int32, if b[start, end) is exactly that. */
  private integerText(b: Buffer, start: number, end: number): boolean {
    let i = start;
    const negative = b[i] === 45;
    if (negative) i++;
    const digits = end - i;
    if (digits <= 0 || digits > 10) return false;
    if (b[i] === 48 && (digits > 1 || negative)) return false;
    let v = 0;
    for (; i < end; i++) {
      const d = b[i] - 48;
      if (d < 0 || d > 9) return false;
      v = v * 10 + d;
    }
    if (negative) v = -v;
    if (v !== (v | 0)) return false;
    if (v >= -128 && v <= 127) {
      this.byte(0xc0 | ENC_INT8);
      this.byte(v & 255);
    } else if (v >= -32768 && v <= 32767) {
      this.byte(0xc0 | ENC_INT16);
      this.byte(v & 255);
      this.byte((v >> 8) & 255);
    } else {
      this.byte(0xc0 | ENC_INT32);
      eight.writeInt32LE(v);
      this.raw(eight, 0, 4);
    }
    return true;
  }

  private lzf(b: Buffer, start: number, end: number): boolean {
    const length = end - start;
    if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(Math.max(length, Math.min(COMPRESS_MAX, scratch.length * 2)));
    const packed = lzfCompress(b, start, end, scratch, 0, length - 4);
    if (packed === 0) return false;
    this.byte(0xc0 | ENC_LZF);
    this.length(packed);
    this.length(length);
    this.raw(scratch, 0, packed);
    return true;
  }

  // ---- the frame of a file

  /** The first nine bytes. */
  header(version: number): void {
    const b = Buffer.from(`REDIS${String(version).padStart(4, "0")}`, "latin1");
    this.raw(b, 0, b.length);
  }

  /** A fact about the file. */
  aux(name: string, value: string): void {
    this.byte(OP_AUX);
    this.text(name);
    this.text(value);
  }

  /** End of file: the opcode and the checksum over all before. Hands everything to the sink. */
  footer(): void {
    this.byte(OP_EOF);
    this.flush();
    this.buf.fill(0, 0, 8);
    if (this.checksum) this.crc.write(this.buf, 0);
    this.flushed += 8;
    this.sink.write(this.buf.subarray(0, 8));
    this.buf = takeChunk();
    this.n = 0;
  }

  /** The checksum over everything so far, little endian (DUMP): flush() first. */
  writeCrc(b: Buffer, at: number): number {
    return this.crc.write(b, at);
  }

  /** Gives the unfinished chunk up. */
  dispose(): void {
    giveChunk(this.buf);
    this.n = 0;
  }
}

/**
 * CRC-64 as Redis uses it in RDB files, DUMP payloads and replication ids: Jones' polynomial 0xad93d23594c935a9, reflected, initial value 0, no
 * final xor. HOT while saving and loading: eight bytes a step (slicing by 8), the 64 bits in two int32 halves.
 *
 * The state between chunks is the pair of halves: the module's `crcHi` and `crcLo` after each call, kept by whoever owns the stream (`Crc64`).
 */

/** Reflected polynomial 0x95ac9329ac4bc9b5. */
const POLY_HI = 0x95ac9329 | 0;
const POLY_LO = 0xac4bc9b5 | 0;

/** Eight tables of 256 entries, one after the other; table k is the effect of a byte followed by k zero bytes. */
const HI = new Int32Array(2048);
const LO = new Int32Array(2048);
for (let i = 0; i < 256; i++) {
  let hi = 0;
  let lo = i;
  for (let bit = 0; bit < 8; bit++) {
    const odd = lo & 1;
    lo = (lo >>> 1) | (hi << 31);
    hi >>>= 1;
    if (odd) {
      hi ^= POLY_HI;
      lo ^= POLY_LO;
    }
  }
  HI[i] = hi;
  LO[i] = lo;
}
for (let i = 256; i < 2048; i++) {
  const hi = HI[i - 256];
  const lo = LO[i - 256];
  const at = lo & 255;
  HI[i] = (hi >>> 8) ^ HI[at];
  LO[i] = ((lo >>> 8) | (hi << 24)) ^ LO[at];
}

/** Halves (int32) of what `crc64` returned last. */
export let crcHi = 0;
export let crcLo = 0;

/** Continues the checksum (hi, lo; 0, 0 to begin) over b[start, end); the result is in `crcHi` and `crcLo`. */
export function crc64(hi: number, lo: number, b: Uint8Array, start: number, end: number): void {
  let i = start;
  for (const last = end - 8; i <= last; i += 8) {
    const x = lo ^ (b[i] | (b[i + 1] << 8) | (b[i + 2] << 16) | (b[i + 3] << 24));
    const y = hi ^ (b[i + 4] | (b[i + 5] << 8) | (b[i + 6] << 16) | (b[i + 7] << 24));
    const a = 1792 + (x & 255);
    const c = 1536 + ((x >>> 8) & 255);
    const d = 1280 + ((x >>> 16) & 255);
    const e = 1024 + (x >>> 24);
    const f = 768 + (y & 255);
    const g = 512 + ((y >>> 8) & 255);
    const h = 256 + ((y >>> 16) & 255);
    const j = y >>> 24;
    hi = HI[a] ^ HI[c] ^ HI[d] ^ HI[e] ^ HI[f] ^ HI[g] ^ HI[h] ^ HI[j];
    lo = LO[a] ^ LO[c] ^ LO[d] ^ LO[e] ^ LO[f] ^ LO[g] ^ LO[h] ^ LO[j];
  }
  for (; i < end; i++) {
    const at = (lo ^ b[i]) & 255;
    lo = ((lo >>> 8) | (hi << 24)) ^ LO[at];
    hi = (hi >>> 8) ^ HI[at];
  }
  crcHi = hi;
  crcLo = lo;
}

/** A checksum over a stream of chunks. */
export class Crc64 {
  hi: number;
  lo: number;

  constructor() {
    this.hi = 0;
    this.lo = 0;
  }

  /** Adds b[start, end). */
  update(b: Uint8Array, start: number, end: number): void {
    crc64(this.hi, this.lo, b, start, end);
    this.hi = crcHi;
    this.lo = crcLo;
  }

  reset(): void {
    this.hi = 0;
    this.lo = 0;
  }

  /** Writes the eight bytes of the checksum, little endian as RDB and DUMP want them, at b[at]; returns the position after them. */
  write(b: Uint8Array, at: number): number {
    for (let i = 0; i < 4; i++) b[at + i] = this.lo >> (8 * i);
    for (let i = 0; i < 4; i++) b[at + 4 + i] = this.hi >> (8 * i);
    return at + 8;
  }

  /** True when b[at, at + 8) is this checksum, little endian. */
  matches(b: Uint8Array, at: number): boolean {
    for (let i = 0; i < 4; i++)
      if (b[at + i] !== ((this.lo >> (8 * i)) & 255) || b[at + 4 + i] !== ((this.hi >> (8 * i)) & 255)) return false;
    return true;
  }

  /** True when the checksum is zero: in an RDB file that means "not computed". */
  isZero(): boolean {
    return this.hi === 0 && this.lo === 0;
  }

  /** 16 hex digits. */
  hex(): string {
    return ((BigInt(this.hi >>> 0) << 32n) | BigInt(this.lo >>> 0)).toString(16).padStart(16, "0");
  }
}

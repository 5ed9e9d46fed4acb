/**
 * Listpacks, reading: the compact list of Redis 7 (small hashes, sets, sorted sets, list and stream nodes), byte for byte as RDB and DUMP carry
 * it. HOT. Editing is in listpack_edit.ts.
 *
 *     listpack  total bytes u32 | count u16 (65535: count them) | element ... | 0xff
 *     element   encoding and payload | backlen (their length, read backwards)
 *
 * A listpack is (b, lp): a buffer and the position of its header; an element is its position p. Both are absolute in b, so that a listpack
 * lives anywhere in an arena, and no object stands for it. "No element" is -1. The element read last is in the module's variables:
 *
 *     for (let p = lpFirst(b, lp); p >= 0; p = lpNext(b, p)) { lpRead(b, p); if (elIsInt) use(elInt); else use(b, elStart, elEnd); }
 *
 * Every function trusts the bytes: what comes from outside (RESTORE, RDB) goes through `lpValid` first.
 */
import { copyBytes, sameBytes } from "../../bytes/copy.ts";
import { i64Hi, i64Lo, intLength, parseDouble, parseInt64, parseInt64Pair, writeInt, writeInt64 } from "../../bytes/number.ts";

/** Header bytes, and the bytes of an empty listpack. */
export const LP_HEADER = 6;
export const LP_EMPTY = 7;
/** A listpack does not grow above this (Redis lpSafeToAdd): the caller checks before it adds. */
export const LP_MAX_BYTES = 1 << 30;
/** The header's count when there are more elements than it can say. */
export const LP_UNKNOWN = 65535;
/** Above this no text is an int64. */
const INT_TEXT_MAX = 20;

/** What `lpRead` found. `elIsInt` selects which of the others mean something. */
export let elIsInt = false;
/** An integer element's value; NaN when it is beyond 2^53 - 1, then it is elHi * 2^32 + elLo. */
export let elInt = 0;
/** Halves of a 64-bit encoded element (int32 and 0..2^32-1), set only when elInt is NaN. */
export let elHi = 0;
export let elLo = 0;
/** A string element's bytes in b. */
export let elStart = 0;
export let elEnd = 0;

// --------------------------------------------------------------------------------------------------------------------- headers

/** Total bytes of the listpack, header and end byte included. */
export function lpBytes(b: Uint8Array, lp: number): number {
  return (b[lp] | (b[lp + 1] << 8) | (b[lp + 2] << 16) | (b[lp + 3] << 24)) >>> 0;
}

/** Number of elements. Counts them when the header does not know (65535 or more once held); the header is left as it is. */
export function lpLength(b: Uint8Array, lp: number): number {
  const known = b[lp + 4] | (b[lp + 5] << 8);
  if (known !== LP_UNKNOWN) return known;
  let n = 0;
  for (let p = lp + LP_HEADER; b[p] !== 0xff; p = lpSkip(b, p)) n++;
  return n;
}

/** Bytes of the backlen field after an element of `size` bytes. Redis' limits are one short of what would fit; readers depend on them. */
export function backlenBytes(size: number): number {
  if (size <= 127) return 1;
  if (size < 16383) return 2;
  if (size < 2097151) return 3;
  return size < 268435455 ? 4 : 5;
}

/** Bytes of the encoding and payload at p, without the backlen; 0 when the first byte is no encoding. */
export function encodedBytes(b: Uint8Array, p: number): number {
  const c = b[p];
  if (c < 0x80) return 1;
  if (c < 0xc0) return 1 + (c & 0x3f);
  if (c < 0xe0) return 2;
  if (c < 0xf0) return 2 + (((c & 0x0f) << 8) | b[p + 1]);
  if (c === 0xf0) return 5 + ((b[p + 1] | (b[p + 2] << 8) | (b[p + 3] << 16) | (b[p + 4] << 24)) >>> 0);
  if (c <= 0xf3) return c - 0xf1 + 3;
  return c === 0xf4 ? 9 : c === 0xff ? 1 : 0;
}

// ------------------------------------------------------------------------------------------------------------------------ walks

/** Position after the element at p: the next element or the end byte. */
export function lpSkip(b: Uint8Array, p: number): number {
  const c = b[p];
  // The two commonest cases without a call: small ints and short strings, all with a one-byte backlen.
  if (c < 0x80) return p + 2;
  if (c < 0xc0) return p + 2 + (c & 0x3f);
  const size = encodedBytes(b, p);
  return p + size + backlenBytes(size);
}

/** First element, or -1. */
export function lpFirst(b: Uint8Array, lp: number): number {
  return b[lp + LP_HEADER] === 0xff ? -1 : lp + LP_HEADER;
}

/** Element after p, or -1. */
export function lpNext(b: Uint8Array, p: number): number {
  const next = lpSkip(b, p);
  return b[next] === 0xff ? -1 : next;
}

/** The number in the backlen field whose last byte is b[p]. */
function backlenAt(b: Uint8Array, p: number): number {
  let c = b[p];
  if (c < 128) return c;
  let value = c & 127;
  for (let unit = 128; unit <= 268435456; unit *= 128) {
    c = b[--p];
    value += (c & 127) * unit;
    if (c < 128) return value;
  }
  return -1;
}

/** Element before p (p may be the end byte), or -1. */
export function lpPrev(b: Uint8Array, lp: number, p: number): number {
  if (p === lp + LP_HEADER) return -1;
  const size = backlenAt(b, p - 1);
  return p - size - backlenBytes(size);
}

/** Last element, or -1. */
export function lpLast(b: Uint8Array, lp: number): number {
  return lpPrev(b, lp, lp + lpBytes(b, lp) - 1);
}

/** The element at an index, from the front (0...) or the back (-1...); -1 when out of range. Walks from the nearer end. */
export function lpSeek(b: Uint8Array, lp: number, index: number): number {
  const known = b[lp + 4] | (b[lp + 5] << 8);
  let forward = index >= 0;
  if (known !== LP_UNKNOWN) {
    if (index < 0) index += known;
    if (index < 0 || index >= known) return -1;
    forward = index <= known / 2;
    if (!forward) index -= known;
  }
  if (forward) {
    let p = lp + LP_HEADER;
    while (index > 0 && b[p] !== 0xff) {
      p = lpSkip(b, p);
      index--;
    }
    return b[p] === 0xff ? -1 : p;
  }
  let p = lpLast(b, lp);
  while (index < -1 && p >= 0) {
    p = lpPrev(b, lp, p);
    index++;
  }
  return p;
}

// ---------------------------------------------------------------------------------------------------------------------- reading

/** Reads the element at p into `elIsInt`, `elInt`, `elHi`, `elLo`, `elStart`, `elEnd`; returns the position after it (lpSkip). */
export function lpRead(b: Uint8Array, p: number): number {
  const c = b[p];
  if (c < 0x80) {
    elIsInt = true;
    elInt = c;
    return p + 2;
  }
  if (c < 0xc0) {
    elIsInt = false;
    elStart = p + 1;
    elEnd = p + 1 + (c & 0x3f);
    return elEnd + 1;
  }
  if (c < 0xe0) {
    elIsInt = true;
    elInt = ((((c & 0x1f) << 8) | b[p + 1]) << 19) >> 19;
    return p + 3;
  }
  return readWide(b, p, c);
}

/** lpRead's long encodings. */
function readWide(b: Uint8Array, p: number, c: number): number {
  if (c < 0xf1) {
    const size = encodedBytes(b, p);
    elIsInt = false;
    elStart = p + (c === 0xf0 ? 5 : 2);
    elEnd = p + size;
    return elEnd + backlenBytes(size);
  }
  elIsInt = true;
  if (c === 0xf1) {
    elInt = ((b[p + 1] | (b[p + 2] << 8)) << 16) >> 16;
    return p + 4;
  }
  if (c === 0xf2) {
    elInt = ((b[p + 1] | (b[p + 2] << 8) | (b[p + 3] << 16)) << 8) >> 8;
    return p + 5;
  }
  const low = b[p + 1] | (b[p + 2] << 8) | (b[p + 3] << 16) | (b[p + 4] << 24);
  if (c === 0xf3) {
    elInt = low;
    return p + 6;
  }
  const hi = b[p + 5] | (b[p + 6] << 8) | (b[p + 7] << 16) | (b[p + 8] << 24);
  const v = hi * 4294967296 + (low >>> 0);
  if (v <= 9007199254740991 && v >= -9007199254740991) elInt = v;
  else {
    elInt = NaN;
    elHi = hi;
    elLo = low >>> 0;
  }
  return p + 10;
}

/** Length of the text of the element read last. */
export function elLength(): number {
  if (!elIsInt) return elEnd - elStart;
  if (elInt === elInt) return intLength(elInt);
  return ((BigInt(elHi) << 32n) | BigInt(elLo)).toString().length;
}

/** Writes the text of the element read last (from b) at out[at]; returns the position after it. The caller has room for `elLength()` bytes. */
export function elWrite(b: Uint8Array, out: Uint8Array, at: number): number {
  if (!elIsInt) return copyBytes(out, at, b, elStart, elEnd);
  return elInt === elInt ? writeInt(out, at, elInt) : writeInt64(out, at, elHi, elLo);
}

/** The element read last as a double, as sorted sets store scores: an integer, or the text of a float. */
export function elDouble(b: Uint8Array): number {
  if (!elIsInt) return parseDouble(b, elStart, elEnd);
  return elInt === elInt ? elInt : elHi * 4294967296 + elLo;
}

/** The element at p as a latin1 string. Cold: logs, tests, DEBUG. */
export function lpText(b: Uint8Array, p: number): string {
  lpRead(b, p);
  const out = Buffer.allocUnsafe(elLength());
  elWrite(b, out, 0);
  return out.toString("latin1");
}

// --------------------------------------------------------------------------------------------------------------------- searching

/** The needle of a search, as an integer: 0 not looked at yet, 1 not an integer, 2 integer in needleInt, 3 wide, in needleHi and needleLo. */
let needleKind = 0;
let needleInt = 0;
let needleHi = 0;
let needleLo = 0;

/** Finds out once a search whether s[start, end) is the text of an int64. Few searches meet an integer element, so it waits for the first. */
function readNeedle(s: Uint8Array, start: number, end: number): void {
  needleKind = 1;
  if (end - start > INT_TEXT_MAX) return;
  needleInt = parseInt64(s, start, end);
  if (needleInt === needleInt) needleKind = 2;
  else if (end - start >= 16 && parseInt64Pair(s, start, end)) {
    needleKind = 3;
    needleHi = i64Hi;
    needleLo = i64Lo;
  }
}

/** True when the element read last equals the needle s[start, end). */
function matchesNeedle(b: Uint8Array, s: Uint8Array, start: number, end: number): boolean {
  if (!elIsInt) return sameBytes(b, elStart, elEnd, s, start, end);
  if (needleKind === 0) readNeedle(s, start, end);
  if (needleKind === 2) return elInt === needleInt;
  return needleKind === 3 && elInt !== elInt && elHi === needleHi && elLo === needleLo;
}

/** True when the element at p has the text s[start, end). */
export function lpEquals(b: Uint8Array, p: number, s: Uint8Array, start: number, end: number): boolean {
  needleKind = 0;
  lpRead(b, p);
  return matchesNeedle(b, s, start, end);
}

/**
 * The first element equal to s[start, end) at or after p, or -1. `skip` elements are passed over after each one compared: 1 finds fields of
 * hashes and members of sorted sets, 0 members of sets. p may be -1 or the end byte.
 */
export function lpFind(b: Uint8Array, p: number, s: Uint8Array, start: number, end: number, skip: number): number {
  if (p < 0) return -1;
  needleKind = 0;
  const length = end - start;
  // Nearly every element is a short string: its first byte tells both that and its length.
  const short = length < 64 ? 0x80 | length : -1;
  const first = length > 0 ? s[start] : 0;
  for (;;) {
    const c = b[p];
    let next: number;
    if (c < 0xc0 && c >= 0x80) {
      next = p + 2 + (c & 0x3f);
      if (c === short && (length === 0 || b[p + 1] === first) && sameBytes(b, p + 1, next - 1, s, start, end)) return p;
    } else {
      if (c === 0xff) return -1;
      next = lpRead(b, p);
      if (matchesNeedle(b, s, start, end)) return p;
    }
    p = next;
    for (let i = skip; i > 0 && b[p] !== 0xff; i--) p = lpSkip(b, p);
  }
}

// --------------------------------------------------------------------------------------------------------------------- checking

/**
 * True when b[lp, lp + size) is a listpack that can be trusted (Redis lpValidateIntegrity): the header's size and the end byte; when `deep` also
 * every element, its backlen and the count. Duplicates and odd counts are the types' business.
 */
export function lpValid(b: Uint8Array, lp: number, size: number, deep: boolean): boolean {
  if (size < LP_EMPTY || lpBytes(b, lp) !== size) return false;
  const last = lp + size - 1;
  if (b[last] !== 0xff) return false;
  if (!deep) return true;
  const known = b[lp + 4] | (b[lp + 5] << 8);
  let count = 0;
  let p = lp + LP_HEADER;
  while (b[p] !== 0xff) {
    const c = b[p];
    const head = c === 0xf0 ? 5 : c >= 0xe0 && c < 0xf0 ? 2 : c <= 0xf4 ? 1 : 0;
    if (head === 0 || p + head > last) return false;
    const bytes = encodedBytes(b, p);
    const next = p + bytes + backlenBytes(bytes);
    if (next > last || backlenAt(b, next - 1) !== bytes) return false;
    p = next;
    count++;
  }
  return p === last && (known === LP_UNKNOWN || known === count);
}

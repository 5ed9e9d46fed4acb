/**
 * Numbers as text, bit for bit as Redis reads and prints them. HOT: integers and the common doubles make no string and no object.
 *
 * - `parseInt64` is Redis' string2ll. It returns a double when |v| <= 2^53 - 1, and NaN for everything else. A caller that must tell "not an
 *   integer" from "an integer too wide for a double" then asks `parseBigInt64`, which returns a bigint or null (the rare path).
 * - `parseDouble` is Redis' string2d (strtod with no blanks, no junk, no nan): NaN means "not a float", because no accepted text is NaN.
 * - `writeInt`, `writeBigInt`, `writeUint64`, `writeDouble` put digits at b[pos] and return the position after them; the caller has room
 *   (`INT_TEXT_MAX`, `DOUBLE_TEXT_MAX`).
 * - Doubles are printed in two ways: `doubleText` (Redis 7.2 d2string: scores in replies and in listpacks) and `doubleText17` (C's %.17g:
 *   Redis 7.0 replies, ZSCAN of a skiplist in 7.2).
 *
 * Leaves out: the 80-bit arithmetic of INCRBYFLOAT, which is in long_double.ts.
 */

/** Longest text of an int64 or uint64, in bytes. */
export const INT_TEXT_MAX = 20;
/** Longest text `writeDouble` makes, in bytes. */
export const DOUBLE_TEXT_MAX = 32;

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const MAX_SAFE = Number.MAX_SAFE_INTEGER;

/** Bytes of b[start, end) as a latin1 string; any Uint8Array will do. */
function latin1(b: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let i = start; i < end; i++) text += String.fromCharCode(b[i]);
  return text;
}

/** Writes the chars of a latin1 string at b[pos]; returns the position after it. */
export function writeText(b: Uint8Array, pos: number, text: string): number {
  for (let i = 0; i < text.length; i++) b[pos++] = text.charCodeAt(i);
  return pos;
}

// ---------------------------------------------------------------------------------------------------------------- integers in

/**
 * Redis string2ll: decimal digits with an optional '-', no '+', no blanks, no leading zero, "-0" refused.
 * Returns the value when |v| <= 2^53 - 1, else NaN (not an integer, or one that needs `parseBigInt64`).
 */
export function parseInt64(b: Uint8Array, start: number, end: number): number {
  if (start >= end) return NaN;
  let i = start;
  let c = b[i] - 48;
  const negative = c === -3;
  if (negative) {
    if (++i === end) return NaN;
    c = b[i] - 48;
  }
  if (c < 1 || c > 9) return c === 0 && end - start === 1 ? 0 : NaN;
  const digits = end - i;
  if (digits > 16) return NaN;
  // Nine digits fit an int32; the JIT keeps this loop in integer registers.
  const stop = digits > 9 ? i + 9 : end;
  let v = c;
  for (i++; i < stop; i++) {
    c = b[i] - 48;
    if (c < 0 || c > 9) return NaN;
    v = (v * 10 + c) | 0;
  }
  if (i === end) return negative ? -v : v;
  let wide: number = v;
  for (; i < end; i++) {
    c = b[i] - 48;
    if (c < 0 || c > 9) return NaN;
    wide = wide * 10 + c;
  }
  if (wide > MAX_SAFE) return NaN;
  return negative ? -wide : wide;
}

/** Redis string2ll over the whole int64 range: the value, or null when the text is not a canonical int64. Cold. */
export function parseBigInt64(b: Uint8Array, start: number, end: number): bigint | null {
  const length = end - start;
  if (length < 1 || length > INT_TEXT_MAX) return null;
  let i = start;
  if (b[i] === 45) i++;
  if (i === end) return null;
  if (b[i] === 48) return length === 1 ? 0n : null;
  for (let j = i; j < end; j++) if (b[j] < 48 || b[j] > 57) return null;
  const v = BigInt(latin1(b, start, end));
  return v < INT64_MIN || v > INT64_MAX ? null : v;
}

/** True when b[start, end) is the canonical text of an int64 (what OBJ_ENCODING_INT, listpacks and intsets may store as a number). */
export function isInt64Text(b: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length > INT_TEXT_MAX) return false;
  const v = parseInt64(b, start, end);
  if (v === v) return true;
  return length >= 16 && parseBigInt64(b, start, end) !== null;
}

/** What `parseInt64Pair` read last: the high half as int32, the low half 0..2^32-1; value = i64Hi * 2^32 + i64Lo. */
export let i64Hi = 0;
export let i64Lo = 0;

/** Redis string2ll over the whole int64 range without a BigInt: true sets `i64Hi` and `i64Lo`, false means not a canonical int64. */
export function parseInt64Pair(b: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length < 1 || length > INT_TEXT_MAX) return false;
  const negative = b[start] === 45;
  let i = negative ? start + 1 : start;
  if (i === end) return false;
  if (b[i] === 48 && length > 1) return false;
  let hi = 0;
  let lo = 0;
  for (; i < end; i++) {
    const c = b[i] - 48;
    if (c < 0 || c > 9) return false;
    lo = lo * 10 + c;
    const carry = Math.floor(lo / 4294967296);
    lo -= carry * 4294967296;
    hi = hi * 10 + carry;
    if (hi > 2147483648) return false;
  }
  if (hi > 2147483647 && !(negative && lo === 0)) return false;
  // Two's complement of the pair; the low half carries when it is zero.
  i64Hi = negative ? (lo === 0 ? -hi | 0 : ~hi) : hi;
  i64Lo = negative ? -lo >>> 0 : lo;
  return true;
}

/** High and low half (each 0..2^32-1) of what `parseUint64` read last. */
export let u64Hi = 0;
export let u64Lo = 0;

/**
 * Redis string2ull (stream ids): a uint64 as two halves in `u64Hi` and `u64Lo`. As strtoull, leading blanks, one '+' and leading zeros pass;
 * negative numbers do not. Returns false when it is no number or out of range.
 */
export function parseUint64(b: Uint8Array, start: number, end: number): boolean {
  let i = start;
  while (i < end && (b[i] === 32 || (b[i] >= 9 && b[i] <= 13))) i++;
  if (i < end && b[i] === 43) i++;
  if (i >= end) return false;
  let hi = 0;
  let lo = 0;
  for (; i < end; i++) {
    const c = b[i] - 48;
    if (c < 0 || c > 9) return false;
    lo = lo * 10 + c;
    const carry = Math.floor(lo / 4294967296);
    lo -= carry * 4294967296;
    hi = hi * 10 + carry;
    if (hi > 4294967295) return false;
  }
  u64Hi = hi;
  u64Lo = lo;
  return true;
}

// --------------------------------------------------------------------------------------------------------------- integers out

/** Number of decimal digits of n, an integer 0..2^31-1. */
function digitsOf(n: number): number {
  if (n < 10000) return n < 100 ? (n < 10 ? 1 : 2) : n < 1000 ? 3 : 4;
  if (n < 100000000) return n < 1000000 ? (n < 100000 ? 5 : 6) : n < 10000000 ? 7 : 8;
  return n < 1000000000 ? 9 : 10;
}

/** Length in bytes of the text of a safe integer. */
export function intLength(n: number): number {
  let sign = 0;
  if (n < 0) {
    sign = 1;
    n = -n;
  }
  if (n <= 2147483647) return sign + digitsOf(n);
  const high = Math.floor(n / 1e9);
  return sign + 9 + digitsOf(high);
}

/** Writes a safe integer (|n| <= 2^53 - 1; -0 prints as 0) in decimal at b[pos]; returns the position after it. */
export function writeInt(b: Uint8Array, pos: number, n: number): number {
  if (n < 0) {
    b[pos++] = 45;
    n = -n;
  }
  if (n < 10) {
    b[pos] = 48 + n;
    return pos + 1;
  }
  if (n > 2147483647) {
    const high = Math.floor(n / 1e9);
    pos = writeInt(b, pos, high);
    let low = (n - high * 1e9) | 0;
    for (let at = pos + 8; at >= pos; at--) {
      const q = (low / 10) | 0;
      b[at] = 48 + (low - q * 10);
      low = q;
    }
    return pos + 9;
  }
  let v = n | 0;
  const end = pos + digitsOf(v);
  let at = end;
  while (v >= 10) {
    const q = (v / 10) | 0;
    b[--at] = 48 + (v - q * 10);
    v = q;
  }
  b[at - 1] = 48 + v;
  return end;
}

/** Writes any bigint in decimal at b[pos]; returns the position after it. */
export function writeBigInt(b: Uint8Array, pos: number, n: bigint): number {
  return writeText(b, pos, n.toString());
}

/** Writes the int64 hi * 2^32 + lo (hi int32, lo 0..2^32-1) in decimal at b[pos]; returns the position after it. */
export function writeInt64(b: Uint8Array, pos: number, hi: number, lo: number): number {
  if (hi >= -0x200000 && hi < 0x200000) {
    const v = hi * 4294967296 + lo;
    if (v >= -MAX_SAFE) return writeInt(b, pos, v);
  }
  return writeBigInt(b, pos, (BigInt(hi) << 32n) | BigInt(lo));
}

/** Writes the uint64 hi * 2^32 + lo (halves 0..2^32-1) in decimal at b[pos]; returns the position after it. */
export function writeUint64(b: Uint8Array, pos: number, hi: number, lo: number): number {
  if (hi < 0x200000) return writeInt(b, pos, hi * 4294967296 + lo);
  return writeBigInt(b, pos, (BigInt(hi) << 32n) | BigInt(lo));
}

// ------------------------------------------------------------------------------------------------------------------ doubles in

/** Powers of ten that a double holds exactly. */
const EXACT_TEN = Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));

/**
 * Redis string2d: what C's strtod reads (decimal, hex float, inf, infinity; any case), the whole of b[start, end) and nothing else: no blanks,
 * no nan, no overflow, no underflow to zero. Returns the double, or NaN when the text is not a valid float.
 */
export function parseDouble(b: Uint8Array, start: number, end: number): number {
  let i = start;
  if (i >= end) return NaN;
  const negative = b[i] === 45;
  if (negative || b[i] === 43) i++;
  let v = 0;
  let scale = 0;
  let seen = 0;
  let nonzero = 0;
  let dot = false;
  for (; i < end; i++) {
    const c = b[i] - 48;
    if (c >= 0 && c <= 9) {
      seen++;
      if (nonzero > 0 || c > 0) nonzero++;
      v = v * 10 + c;
      if (dot) scale++;
    } else if (c === -2 && !dot) dot = true;
    else break;
  }
  if (seen === 0 || (i < end && (b[i] | 32) !== 101)) return parseOddDouble(b, start, end);
  let exponent = 0;
  if (i < end) {
    const at = i + 1;
    const signed = at < end && (b[at] === 45 || b[at] === 43);
    i = signed ? at + 1 : at;
    if (i >= end) return NaN;
    for (; i < end; i++) {
      const c = b[i] - 48;
      if (c < 0 || c > 9) return NaN;
      if (exponent < 1e7) exponent = exponent * 10 + c;
    }
    if (signed && b[at] === 45) exponent = -exponent;
  }
  exponent -= scale;
  // Up to 15 digits and a power of ten that is exact: one rounding, so the result is the correctly rounded one.
  if (nonzero <= 15 && exponent >= -22 && exponent <= 22) {
    v = exponent < 0 ? v / EXACT_TEN[-exponent] : v * EXACT_TEN[exponent];
    return negative ? -v : v;
  }
  // The grammar has been checked and JS reads such text with the same rounding as glibc. ERANGE: overflow, or a non-zero number that became 0.
  v = Number(latin1(b, start, end));
  if (v === Infinity || v === -Infinity || (v === 0 && nonzero > 0)) return NaN;
  return v;
}

/** The rest of strtod's grammar: inf, infinity and hex floats. */
function parseOddDouble(b: Uint8Array, start: number, end: number): number {
  let i = start;
  const negative = b[i] === 45;
  if (negative || b[i] === 43) i++;
  const text = latin1(b, i, end).toLowerCase();
  if (text === "inf" || text === "infinity") return negative ? -Infinity : Infinity;
  const hex = parseHexFloat(text);
  if (hex === null) return NaN;
  const v = hex.mantissa === 0n ? 0 : toDouble(hex.mantissa, hex.exponent);
  if (v === Infinity || (v === 0 && hex.mantissa !== 0n)) return NaN;
  return negative ? -v : v;
}

/** C's hex float without its sign ("0x1.8p3", lower case): mantissa * 2^exponent, or null. The exponent is clipped to +-10^6. */
export function parseHexFloat(text: string): { mantissa: bigint; exponent: number } | null {
  const m = /^0x([0-9a-f]*)(?:\.([0-9a-f]*))?(?:p([+-]?[0-9]+))?$/.exec(text);
  if (m === null) return null;
  const fraction = m[2] ?? "";
  const digits = m[1] + fraction;
  if (digits === "") return null;
  const exponent = Math.max(-1e6, Math.min(1e6, Number(m[3] ?? "0")));
  return { mantissa: BigInt(`0x${digits}`), exponent: exponent - 4 * fraction.length };
}

/** Number of bits of a positive bigint. */
export function bitLength(v: bigint): number {
  const hex = v.toString(16);
  return hex.length * 4 - Math.clz32(Number.parseInt(hex[0], 16)) + 28;
}

/** v / 2^shift for a positive v, rounded half to even (shift <= 0 multiplies). */
export function shiftRounded(v: bigint, shift: number): bigint {
  if (shift <= 0) return v << BigInt(-shift);
  const s = BigInt(shift);
  const whole = v >> s;
  const rest = v - (whole << s);
  const half = 1n << (s - 1n);
  return rest > half || (rest === half && (whole & 1n) === 1n) ? whole + 1n : whole;
}

/** mantissa * 2^exponent (mantissa > 0) as the nearest double, ties to even; Infinity on overflow, 0 on underflow. */
function toDouble(mantissa: bigint, exponent: number): number {
  const top = bitLength(mantissa) + exponent;
  if (top > 1025) return Infinity;
  if (top < -1080) return 0;
  const lowest = Math.max(top - 53, -1074);
  return Number(shiftRounded(mantissa, lowest - exponent)) * 2 ** lowest;
}

// ----------------------------------------------------------------------------------------------------------------- doubles out

/** Doubles up to here are printed through an int64 when they are whole (Redis util.c: double2ll). */
const WHOLE_MAX = 2 ** 62;

/** Redis 7.2 d2string at b[pos]: a reply's double without its prefix, a listpack's score. Whole numbers make no string. */
export function writeDouble(b: Uint8Array, pos: number, d: number): number {
  if (d === Math.trunc(d) && d <= MAX_SAFE && d >= -MAX_SAFE && (d !== 0 || 1 / d > 0)) return writeInt(b, pos, d);
  return writeText(b, pos, doubleText(d));
}

/** Redis 7.2 d2string: "nan", "inf", "-inf", "-0", whole numbers to 2^62 with all digits, else `shortestText`. */
export function doubleText(d: number): string {
  if (d !== d) return "nan";
  if (d === 0) return 1 / d < 0 ? "-0" : "0";
  if (d === Math.trunc(d) && d <= WHOLE_MAX && d >= -WHOLE_MAX) return Number.isSafeInteger(d) ? String(d) : BigInt(d).toString();
  return shortestText(d);
}

/** True when d is a score that a sorted set's listpack stores as an integer (Redis util.c: double2ll). */
export function isWholeScore(d: number): boolean {
  return d === Math.trunc(d) && d <= WHOLE_MAX && d >= -WHOLE_MAX;
}

/**
 * Redis 7.2 fpconv_dtoa: the shortest digits that read back as d, in fpconv's layout ("12345.5", "1.23456789012e+4", "1e-7", "1e+22").
 * Redis finds the digits with Grisu2, which for about one double in a thousand misses the shortest form; ours is always the shortest. Both
 * read back as the same double.
 */
export function shortestText(d: number): string {
  if (d !== d) return "nan";
  if (d === Infinity || d === -Infinity) return d > 0 ? "inf" : "-inf";
  if (d === 0) return 1 / d < 0 ? "-0" : "0";
  const plain = plainText(d);
  if (plain !== "") return plain;
  const sign = d < 0 ? "-" : "";
  const [mantissa, exponentText] = Math.abs(d).toExponential().split("e");
  const digits = mantissa.replace(".", "");
  const exponent = Number(exponentText);
  const scale = exponent - digits.length + 1; // d = digits * 10^scale
  const size = Math.abs(exponent);
  if (scale >= 0 && size < digits.length + 7) return sign + digits + "0".repeat(scale);
  if (scale < 0 && (scale > -7 || size < 4)) {
    const point = digits.length + scale;
    if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
    return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
  }
  return `${sign}${mantissa}e${exponent < 0 ? "-" : "+"}${size}`;
}

/** JS's own text of d where fpconv's layout is the same, a decimal fraction of few places or few whole digits; else "". The common case. */
function plainText(d: number): string {
  const size = Math.abs(d);
  if (size < 1e-6 || size >= 1e15) return "";
  const text = String(d);
  const point = text.indexOf(".");
  if (point < 0 || text.length - point > 7) return point > 0 && size >= 0.001 && size < 10000 ? text : "";
  return text;
}

/** C's "%.17g": Redis 7.0's doubles in replies and RDB text, and 7.2's scores in ZSCAN of a skiplist. */
export function doubleText17(d: number): string {
  if (d !== d) return "nan";
  if (d === Infinity || d === -Infinity) return d > 0 ? "inf" : "-inf";
  if (d === 0) return 1 / d < 0 ? "-0" : "0";
  const sign = d < 0 ? "-" : "";
  const [mantissa, exponentText] = roundedTo17(Math.abs(d)).split("e");
  const exponent = Number(exponentText);
  const digits = mantissa.replace(".", "").replace(/0+$/, "");
  if (exponent < -4 || exponent >= 17) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    const rest = digits.length > 1 ? `.${digits.slice(1)}` : "";
    return `${sign}${digits[0]}${rest}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, "0");
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}

/** Enough digits that a run of zeros to their end is no coincidence: no double lies that near to a tie without being one. */
const MANY_DIGITS = 70;

/** 17 significant digits of d > 0 in exponent form. JS rounds a tie up, C to even; a tie shows as an exact 18th digit 5 and only zeros. */
function roundedTo17(d: number): string {
  const text = d.toExponential(16);
  const long = d.toExponential(MANY_DIGITS);
  if (!/^.{18}50{53}e/.test(long)) return text;
  const even = (long.charCodeAt(17) & 1) === 0;
  return even ? long.slice(0, 18) + long.slice(long.indexOf("e")) : text;
}

/** Redis fixedpoint_d2string (GEODIST, GEOSEARCH WITHDIST): d with exactly `fraction` digits after the point, halves of the scaled value to even. */
export function fixedText(d: number, fraction: number): string {
  const scaled = d * EXACT_TEN[fraction];
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const rounded = rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
  const digits = BigInt(Math.abs(rounded))
    .toString()
    .padStart(fraction + 1, "0");
  const at = digits.length - fraction;
  return `${rounded < 0 ? "-" : ""}${digits.slice(0, at)}.${digits.slice(at)}`;
}

/**
 * The 80-bit floats of INCRBYFLOAT and HINCRBYFLOAT: x87 numbers with a 64-bit mantissa, read as strtold does, added with one rounding and
 * printed as Redis' ld2string in its human mode ("%.17Lf" without trailing zeros). Exact, in BigInt; COLD apart from those two commands.
 *
 * A value is mantissa * 2^exponent with |mantissa| < 2^64, or an infinity. The sign of zero is not kept: Redis prints "-0" as "0".
 */
import { bitLength, parseHexFloat, shiftRounded } from "./number.ts";

export type LongDouble = {
  /** Signed; +1n or -1n for the infinities. */
  mantissa: bigint;
  /** Power of two; INFINITE marks an infinity. */
  exponent: number;
};

const INFINITE = 1 << 20;
/** Redis util.h MAX_LONG_DOUBLE_CHARS: longer texts are not floats. */
const TEXT_LIMIT = 5 * 1024;
const MANTISSA_BITS = 64;
/** Exponent of the lowest bit of a subnormal, and the first power of two that overflows. */
const LOWEST = -16445;
const OVERFLOW = 16384;
const TEN_17 = 10n ** 17n;

/** Powers of ten of everyday size; larger ones are computed. */
const TENS = Array.from({ length: 64 }, (_, i) => 10n ** BigInt(i));
function ten(power: number): bigint {
  return power < 64 ? TENS[power] : 10n ** BigInt(power);
}

/** True for the result of an overflow and for "inf" as read: INCRBYFLOAT refuses it, HINCRBYFLOAT refuses it as an increment already. */
export function isInfinite(v: LongDouble): boolean {
  return v.exponent === INFINITE;
}

/** Rounds value * 2^exponent (any sign) to 64 bits, ties to even. */
function rounded(value: bigint, exponent: number): LongDouble {
  if (value === 0n) return { mantissa: 0n, exponent: 0 };
  const negative = value < 0n;
  const size = negative ? -value : value;
  const top = bitLength(size) + exponent;
  if (top < LOWEST - 1) return { mantissa: 0n, exponent: 0 };
  if (top > OVERFLOW + 1) return { mantissa: negative ? -1n : 1n, exponent: INFINITE };
  const lowest = Math.max(top - MANTISSA_BITS, LOWEST);
  const exact = exponent >= lowest;
  const mantissa = exact ? size : shiftRounded(size, lowest - exponent);
  const power = exact ? exponent : lowest;
  if (bitLength(mantissa) + power > OVERFLOW) return { mantissa: negative ? -1n : 1n, exponent: INFINITE };
  return { mantissa: negative ? -mantissa : mantissa, exponent: power };
}

/** digits * 10^scale rounded to 64 bits; digits > 0. */
function fromDecimal(digits: bigint, scale: number): LongDouble {
  if (scale >= 0) return rounded(digits * ten(scale), 0);
  const divisor = ten(-scale);
  // Enough extra bits that the quotient has more than 66 of them; the remainder only has to be known as "some" (a sticky bit).
  const extra = Math.max(0, bitLength(divisor) - bitLength(digits) + MANTISSA_BITS + 3);
  const dividend = digits << BigInt(extra);
  const quotient = dividend / divisor;
  const sticky = quotient * divisor === dividend ? 0n : 1n;
  return rounded((quotient << 1n) | sticky, -extra - 1);
}

/** Decimals after the point of what `readSmall` read last. */
let smallScale = 0;

/** A plain decimal ("-12.5") as an integer and `smallScale`; NaN when it has an exponent, 15 digits or more, or anything unusual. */
function readSmall(b: Uint8Array, start: number, end: number): number {
  const negative = b[start] === 45;
  let i = negative ? start + 1 : start;
  if (end - i < 1 || end - i > 15) return NaN;
  let v = 0;
  let point = end;
  for (; i < end; i++) {
    const c = b[i] - 48;
    if (c >= 0 && c <= 9) v = v * 10 + c;
    else if (c === -2 && point === end && end - start > (negative ? 2 : 1)) point = i;
    else return NaN;
  }
  smallScale = point === end ? 0 : end - point - 1;
  return negative ? -v : v;
}

/**
 * Redis string2ld: the float in b[start, end), or null when it is not valid (empty, blanks, junk, nan, out of range, 5120 bytes or more).
 * "inf" and "infinity" are valid here.
 */
export function parseLongDouble(b: Uint8Array, start: number, end: number): LongDouble | null {
  if (start >= end || end - start >= TEXT_LIMIT) return null;
  const small = readSmall(b, start, end);
  if (small === small) {
    if (smallScale === 0 || small === 0) return { mantissa: BigInt(small), exponent: 0 };
    const v = fromDecimal(BigInt(Math.abs(small)), -smallScale);
    return small < 0 ? { mantissa: -v.mantissa, exponent: v.exponent } : v;
  }
  const text = Buffer.from(b.buffer, b.byteOffset + start, end - start)
    .toString("latin1")
    .toLowerCase();
  const negative = text[0] === "-";
  const rest = negative || text[0] === "+" ? text.slice(1) : text;
  if (rest === "inf" || rest === "infinity") return { mantissa: negative ? -1n : 1n, exponent: INFINITE };
  const size = rest.startsWith("0x") ? readHex(rest) : readDecimal(rest);
  if (size === null) return null;
  return negative ? { mantissa: -size.mantissa, exponent: size.exponent } : size;
}

/** ERANGE: an overflow, or a number that became zero. */
function inRange(v: LongDouble): LongDouble | null {
  return isInfinite(v) || v.mantissa === 0n ? null : v;
}

function readHex(text: string): LongDouble | null {
  const hex = parseHexFloat(text);
  if (hex === null) return null;
  return hex.mantissa === 0n ? { mantissa: 0n, exponent: 0 } : inRange(rounded(hex.mantissa, hex.exponent));
}

function readDecimal(text: string): LongDouble | null {
  const m = /^([0-9]*)(?:\.([0-9]*))?(?:e([+-]?[0-9]+))?$/.exec(text);
  if (m === null || (m[1] === "" && (m[2] ?? "") === "")) return null;
  const fraction = m[2] ?? "";
  const digits = (m[1] + fraction).replace(/^0+/, "");
  if (digits === "") return { mantissa: 0n, exponent: 0 };
  const scale = Math.max(-1e6, Math.min(1e6, Number(m[3] ?? "0"))) - fraction.length;
  // Far outside the range, where exact powers of ten would only cost time.
  if (digits.length + scale > 4940 || digits.length + scale < -4960) return null;
  return inRange(fromDecimal(BigInt(digits), scale));
}

/** a + b rounded once to 64 bits. Infinities: null when the sum is NaN (inf - inf). */
export function addLongDouble(a: LongDouble, b: LongDouble): LongDouble | null {
  if (isInfinite(a) || isInfinite(b)) {
    if (isInfinite(a) && isInfinite(b) && a.mantissa !== b.mantissa) return null;
    return isInfinite(a) ? a : b;
  }
  const exponent = Math.min(a.exponent, b.exponent);
  const sum = (a.mantissa << BigInt(a.exponent - exponent)) + (b.mantissa << BigInt(b.exponent - exponent));
  return rounded(sum, exponent);
}

/** Redis ld2string(LD_STR_HUMAN) of a finite value: 17 decimals, trailing zeros cut, never an exponent, never "-0". */
export function longDoubleText(v: LongDouble): string {
  if (isInfinite(v)) return v.mantissa < 0n ? "-inf" : "inf";
  const negative = v.mantissa < 0n;
  const size = negative ? -v.mantissa : v.mantissa;
  let text: string;
  if (v.exponent >= 0) text = (size << BigInt(v.exponent)).toString();
  else {
    const scaled = shiftRounded(size * TEN_17, -v.exponent)
      .toString()
      .padStart(18, "0");
    const at = scaled.length - 17;
    const fraction = scaled.slice(at).replace(/0+$/, "");
    text = fraction === "" ? scaled.slice(0, at) : `${scaled.slice(0, at)}.${fraction}`;
  }
  return negative && text !== "0" ? `-${text}` : text;
}

const double = new DataView(new ArrayBuffer(8));

/** A finite double as Redis prints it through a long double in its human mode (GEOPOS). */
export function humanDoubleText(d: number): string {
  double.setFloat64(0, d);
  const bits = double.getBigUint64(0);
  const power = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const mantissa = power === 0 ? fraction : fraction | (1n << 52n);
  return longDoubleText({ mantissa: d < 0 ? -mantissa : mantissa, exponent: Math.max(power, 1) - 1075 });
}

/**
 * The sum of two small plain decimals without 80-bit arithmetic, or "" when they are not small. Up to 32 each, the three roundings (a, b, the
 * sum) are off by at most 2^-60 + 2^-60 + 2^-59 < 0.5e-17 together, so that 17 decimals always show the exact decimal sum.
 */
function smallSum(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): string {
  let x = readSmall(a, aStart, aEnd);
  const xScale = smallScale;
  let y = readSmall(b, bStart, bEnd);
  const scale = Math.max(xScale, smallScale);
  x *= 10 ** (scale - xScale);
  y *= 10 ** (scale - smallScale);
  // Whole numbers are exact in both arithmetics.
  const limit = scale === 0 ? 1e15 : 32 * 10 ** scale;
  if (!(x <= limit && x >= -limit && y <= limit && y >= -limit)) return "";
  const sum = x + y;
  const digits = String(Math.abs(sum));
  const sign = sum < 0 ? "-" : "";
  if (scale === 0 || sum === 0) return sign + digits;
  const padded = digits.padStart(scale + 1, "0");
  let last = padded.length;
  const point = last - scale;
  while (last > point && padded.charCodeAt(last - 1) === 48) last--;
  return last === point ? sign + padded.slice(0, point) : `${sign}${padded.slice(0, point)}.${padded.slice(point, last)}`;
}

/** Why `incrByFloatText` gave no text. The replies: INCRBYFLOAT "value is not a valid float" for both bad ones, HINCRBYFLOAT "hash value is
 *  not a float" for a bad value; "increment would produce NaN or Infinity" for the last. */
export const BAD_VALUE = 1;
export const BAD_INCREMENT = 2;
export const NOT_FINITE = 3;

/** value + increment as INCRBYFLOAT stores it, or BAD_VALUE, BAD_INCREMENT, NOT_FINITE. Regions are bytes [start, end). */
export function incrByFloatText(
  value: Uint8Array,
  valueStart: number,
  valueEnd: number,
  increment: Uint8Array,
  incrementStart: number,
  incrementEnd: number,
): string | typeof BAD_VALUE | typeof BAD_INCREMENT | typeof NOT_FINITE {
  const small = smallSum(value, valueStart, valueEnd, increment, incrementStart, incrementEnd);
  if (small !== "") return small;
  const a = parseLongDouble(value, valueStart, valueEnd);
  if (a === null) return BAD_VALUE;
  const b = parseLongDouble(increment, incrementStart, incrementEnd);
  if (b === null) return BAD_INCREMENT;
  const sum = addLongDouble(a, b);
  return sum === null || isInfinite(sum) ? NOT_FINITE : longDoubleText(sum);
}

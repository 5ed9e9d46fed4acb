/** C's "%.{precision}g": how Lua and cjson print numbers. WARM. */

/** Enough digits that a tie shows as 5 and only zeros: no double of this size lies nearer to one without being one. */
const MORE_DIGITS = 60;

/** d > 0 with `precision` significant digits in exponent form. JS rounds a tie up, C to even. */
function rounded(d: number, precision: number): string {
  const text = d.toExponential(precision - 1);
  const long = d.toExponential(precision - 1 + MORE_DIGITS);
  // The point is the second character when there is more than one digit.
  const end = precision + 1;
  if (long[end] !== "5" || !/^0*e/.test(long.slice(end + 1))) return text;
  const last = long.charCodeAt(precision === 1 ? 0 : precision);
  if ((last & 1) !== 0) return text;
  return long.slice(0, precision === 1 ? 1 : end) + long.slice(long.indexOf("e"));
}

/** Up to `precision` (1 to 14) significant digits of d, without zeros at the end; exponents of two digits at least. */
export function generalText(d: number, precision: number): string {
  if (d !== d) return "nan";
  if (d === Infinity || d === -Infinity) return d > 0 ? "inf" : "-inf";
  if (d === 0) return 1 / d < 0 ? "-0" : "0";
  if (Number.isInteger(d) && Math.abs(d) < 10 ** precision) return String(d);
  const sign = d < 0 ? "-" : "";
  const [mantissa, exponentText] = rounded(Math.abs(d), precision).split("e");
  const exponent = Number(exponentText);
  const digits = mantissa.replace(".", "").replace(/0+$/, "");
  if (exponent < -4 || exponent >= precision) {
    const rest = digits.length > 1 ? `.${digits.slice(1)}` : "";
    return `${sign}${digits[0]}${rest}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, "0");
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}

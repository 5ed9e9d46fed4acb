import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  doubleText,
  doubleText17,
  fixedText,
  intLength,
  isInt64Text,
  parseBigInt64,
  parseDouble,
  i64Hi,
  i64Lo,
  parseInt64,
  parseInt64Pair,
  parseUint64,
  shortestText,
  u64Hi,
  u64Lo,
  writeBigInt,
  writeDouble,
  writeInt,
  writeInt64,
  writeUint64,
} from "../../../lib/bytes/number.ts";
import { startRealRedis } from "../../support/real_redis.ts";

/** The text inside other bytes, so that a reader that leaves its region is found out. */
function inside(text: string): [Buffer, number, number] {
  return [Buffer.from(`7${text}3`, "latin1"), 1, 1 + text.length];
}
const int = (t: string) => parseInt64(...inside(t));
const big = (t: string) => parseBigInt64(...inside(t));
const dbl = (t: string) => parseDouble(...inside(t));
const written = (w: (b: Buffer, pos: number) => number) => {
  const b = Buffer.alloc(64, 0x2e);
  const end = w(b, 3);
  expect(b.subarray(0, 3).toString() + b[end]).toBe("...46");
  return b.toString("latin1", 3, end);
};

test("parseInt64 takes canonical integers only", () => {
  for (const t of ["", "-", "+1", " 1", "1 ", "01", "-0", "-01", "1a", "a1", "0x1", "1.0", "--1", "1e3", "00", "1-", "/", ":"])
    expect([t, int(t), big(t), isInt64Text(...inside(t))]).toEqual([t, NaN, null, false]);
  for (const n of [0, 1, -1, 9, 10, 99, 999999999, 1000000000, -2147483648, 4294967296, 2 ** 53 - 1, -(2 ** 53 - 1)]) {
    expect(int(String(n))).toBe(n);
    expect(big(String(n))).toBe(BigInt(n));
  }
});

test("parseInt64 leaves to parseBigInt64 what a double cannot hold, and the int64 range is exact", () => {
  for (const t of ["9007199254740992", "9007199254740993", "-9007199254740992", "9223372036854775807", "-9223372036854775808"]) {
    expect(int(t)).toBeNaN();
    expect(big(t)).toBe(BigInt(t));
    expect(isInt64Text(...inside(t))).toBe(true);
  }
  for (const t of ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999", "1".repeat(50)]) {
    expect(int(t)).toBeNaN();
    expect(big(t)).toBeNull();
    expect(isInt64Text(...inside(t))).toBe(false);
  }
});

test("any int64 is read and written back", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.nat(62), (v, shift) => {
      const n = v >> BigInt(shift);
      const t = n.toString();
      const safe = n <= 9007199254740991n && n >= -9007199254740991n;
      expect(int(t)).toBe(safe ? Number(n) : NaN);
      expect(big(t)).toBe(n);
      expect(written((b, p) => writeBigInt(b, p, n))).toBe(t);
      if (safe) {
        expect(written((b, p) => writeInt(b, p, Number(n)))).toBe(t);
        expect(intLength(Number(n))).toBe(t.length);
      }
    }),
    { numRuns: 3000 },
  );
  for (let i = 0; i < 16; i++)
    for (const n of [10 ** i, 10 ** i - 1, 10 ** i + 1]) {
      expect(written((b, p) => writeInt(b, p, n))).toBe(String(n));
      expect(intLength(-n)).toBe(String(-n).length);
    }
  expect(written((b, p) => writeInt(b, p, -0))).toBe("0");
  expect(written((b, p) => writeInt(b, p, Number.MAX_SAFE_INTEGER))).toBe("9007199254740991");
});

test("int64 halves follow parseBigInt64", () => {
  const read = (t: string) => (parseInt64Pair(...inside(t)) ? (BigInt(i64Hi) << 32n) | BigInt(i64Lo) : null);
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }), fc.nat(65), (v, shift) => {
      const t = (v >> BigInt(shift)).toString();
      expect(read(t)).toBe(big(t));
      const m = BigInt.asIntN(64, v >> BigInt(shift));
      expect(written((b, p) => writeInt64(b, p, Number(m >> 32n), Number(m & 0xffffffffn)))).toBe(m.toString());
    }),
    { numRuns: 2000 },
  );
  const edges = [
    "-9223372036854775808",
    "-9223372036854775809",
    "9223372036854775807",
    "9223372036854775808",
    "-4294967296",
    "-1",
    "0",
    "-0",
  ];
  for (const t of [...edges, "", "-", "01", "+1", "1x", "99999999999999999999", "-9007199254740992", "9007199254740992"])
    expect([t, read(t)]).toEqual([t, big(t)]);
});

test("uint64 halves", () => {
  const read = (t: string) => (parseUint64(...inside(t)) ? (BigInt(u64Hi) << 32n) | BigInt(u64Lo) : null);
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 66n }), fc.nat(65), (v, shift) => {
      const n = v >> BigInt(shift);
      expect(read(n.toString())).toBe(n < 2n ** 64n ? n : null);
      const m = BigInt.asUintN(64, n);
      expect(written((b, p) => writeUint64(b, p, Number(m >> 32n), Number(m & 0xffffffffn)))).toBe(m.toString());
    }),
  );
  expect(["007", "+7", " 7", "0"].map(read)).toEqual([7n, 7n, 7n, 0n]);
  expect(["", "-1", "+", " ", "1 ", "x", "7x", "18446744073709551616"].map(read)).toEqual(Array(8).fill(null));
});

test("parseDouble reads strtod's grammar and nothing else", () => {
  const good: [string, number][] = [
    ["0", 0],
    ["-0", -0],
    ["+1.5", 1.5],
    [".5", 0.5],
    ["5.", 5],
    ["1e3", 1000],
    ["1E+3", 1000],
    ["1e-3", 0.001],
    ["inf", Infinity],
    ["-INF", -Infinity],
    ["+Infinity", Infinity],
    ["0x10", 16],
    ["-0x1.8p1", -3],
    ["0x.8", 0.5],
    ["0X1P-1074", 5e-324],
    ["0x1.00000000000008p0", 1],
    ["0x1.00000000000008001p0", 1 + 2 ** -52],
    ["0x1.fffffffffffff7p1023", 1.7976931348623157e308],
    ["0x0p99999", 0],
    ["4.9e-324", 5e-324],
    ["2.2250738585072011e-308", 2.225073858507201e-308],
    ["17976931348623157e292", 1.7976931348623157e308],
    ["00012", 12],
    ["0e400", 0],
    ["123456789012345678901234567890", Number("123456789012345678901234567890")],
  ];
  for (const [t, v] of good) expect([t, dbl(t)]).toEqual([t, v]);
  const bad = [
    "",
    " 1",
    "1 ",
    "nan",
    "-nan",
    "NaN(1)",
    "1e",
    "1e+",
    "e1",
    ".",
    "-",
    "+",
    "1..2",
    "1.2.3",
    "0x",
    "0xg",
    "0x.p1",
    "0x1p",
    "1_0",
  ];
  bad.push("1f", "infin", "infinityx", "0b1", "0o7", "1\0", "1e400", "-1e400", "1e-400", "0x1p1024", "0x1p-1080", "--1", "+-1", "1,5");
  for (const t of bad) expect([t, dbl(t)]).toEqual([t, NaN]);
});

test("parseDouble rounds as JS and strtod do", () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: 1, max: 20 }), (d, digits) => {
      expect(dbl(doubleText(d))).toBe(d);
      const t = d.toPrecision(digits);
      const v = Number(t);
      if (Number.isFinite(v) && (v !== 0 || d === 0)) expect(dbl(t)).toBe(v);
    }),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(fc.nat(999999999), fc.nat(20), fc.integer({ min: -30, max: 30 }), (n, zeros, e) => {
      const t = `${"0".repeat(zeros % 4)}${n}.${"0".repeat(zeros)}${n}e${e}`;
      expect(dbl(t)).toBe(Number(t));
    }),
    { numRuns: 2000 },
  );
});

test("doubles print in Redis 7.2's form", () => {
  const rows: [number, string][] = [
    [3.1, "3.1"],
    [0.1, "0.1"],
    [-2.5, "-2.5"],
    [1e21, "1e+21"],
    [1e-7, "1e-7"],
    [0.000001, "0.000001"],
    [1.5e-10, "1.5e-10"],
    [12345678901234568, "12345678901234568"],
    [2 ** 62, "4611686018427387904"],
    [2 ** 63, "9223372036854776000"],
    [-(2 ** 62), "-4611686018427387904"],
    [1e19, "1e+19"],
    [12345.678901234, "1.2345678901234e+4"],
    [1234.5678901234, "1234.5678901234"],
    [1711234567.123456, "1711234567.123456"],
    [1711234567.1234567, "1.7112345671234567e+9"],
    [1.7976931348623157e308, "1.7976931348623157e+308"],
    [5e-324, "5e-324"],
    [Infinity, "inf"],
    [-Infinity, "-inf"],
    [NaN, "nan"],
    [-0, "-0"],
    [0, "0"],
  ];
  for (const [d, t] of rows) {
    expect([d, doubleText(d)]).toEqual([d, t]);
    expect(written((b, p) => writeDouble(b, p, d))).toBe(t);
  }
  expect(shortestText(1e10)).toBe("1e+10");
  expect(shortestText(1234567890)).toBe("1234567890");
  expect(shortestText(-100)).toBe("-100");
  fc.assert(
    fc.property(fc.double({ noNaN: true }), (d) => {
      expect(dbl(doubleText(d))).toBe(d);
      expect(dbl(shortestText(d))).toBe(d);
      expect(dbl(doubleText17(d))).toBe(d);
    }),
    { numRuns: 2000 },
  );
});

test("fixed decimals round halves to even", () => {
  expect([0, -0.00001, 166274.15156960033, 0.775, 1.00005, 0.00005, -3.25].map((d) => fixedText(d, 4))).toEqual([
    "0.0000",
    "0.0000",
    "166274.1516",
    "0.7750",
    "1.0001",
    "0.0000",
    "-3.2500",
  ]);
  expect([0.125, 0.375, -0.125, -0.375].map((d) => fixedText(d, 2))).toEqual(["0.12", "0.38", "-0.12", "-0.38"]);
});

test("doubles against the real server", async () => {
  // A listpack would keep -0 as the integer 0.
  const redis = await startRealRedis("--zset-max-listpack-entries", "0");
  if (redis === null) return console.warn("skipped: no redis-server");
  try {
    const values = fc.sample(fc.double({ noNaN: true }), { numRuns: 400, seed: 7 });
    values.push(...fc.sample(fc.integer(), { numRuns: 50, seed: 8 }), ...fc.sample(fc.double({ min: -1e6, max: 1e6, noNaN: true }), 200));
    // Exact ties in the 18th digit: an odd numerator over a power of two with 18 significant digits.
    for (let k = 0; k < 200; k++)
      values.push((2 ** 52 + 2 * k + 1) / 2 ** 10, (2 ** 33 + 2 * k + 1) / 2 ** 11, (4503599627370497 + k * 2) / 4);
    const replies = await Promise.all(
      values.map((v) =>
        redis.text(
          "EVAL",
          "redis.call('DEL','z') redis.call('ZADD','z',ARGV[1],'m') return redis.call('ZSCORE','z','m')",
          0,
          shortestText(v),
        ),
      ),
    );
    for (let i = 0; i < values.length; i++) expect(replies[i]).toBe(doubleText17(values[i]));
    const texts = [
      "0x1p3",
      "+5",
      "-0",
      "1e",
      " 1",
      "1 ",
      "",
      "nan",
      "INF",
      "infinity",
      "1e-400",
      "1e400",
      "0x",
      ".",
      "5.",
      ".5",
      "0x.8p1",
      "1e5x",
    ];
    for (const t of texts) {
      await redis.call("DEL", "z");
      const ok = (await redis.text("ZADD", "z", t, "m")) === "1";
      expect([t, ok]).toEqual([t, !Number.isNaN(dbl(t))]);
      if (ok) expect([t, await redis.text("ZSCORE", "z", "m")]).toEqual([t, doubleText17(dbl(t))]);
    }
  } finally {
    await redis.stop();
  }
});

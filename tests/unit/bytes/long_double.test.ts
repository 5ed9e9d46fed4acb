import { expect, test } from "bun:test";
import fc from "fast-check";
import { BAD_INCREMENT, BAD_VALUE, NOT_FINITE, incrByFloatText } from "../../../lib/bytes/long_double.ts";
import { startRealRedis } from "../../support/real_redis.ts";

function sum(a: string, b: string): string | number {
  const left = Buffer.from(`9${a}9`, "latin1");
  const right = Buffer.from(`9${b}9`, "latin1");
  return incrByFloatText(left, 1, 1 + a.length, right, 1, 1 + b.length);
}

test("what the manual shows", () => {
  expect(sum("10.50", "0.1")).toBe("10.6");
  expect(sum("5.0e3", "2.0e2")).toBe("5200");
  expect(sum("3.0", "1.1")).toBe("4.1");
  expect(sum("1", "-1")).toBe("0");
  expect(sum("-0.5", "0.5")).toBe("0");
  expect(sum("-1", "1e-18")).toBe("-1");
  expect(sum("-1e-18", "0")).toBe("0");
});

test("what is refused", () => {
  for (const t of ["", " 1", "1 ", "nan", "1e", "abc", "1\0", "1e5000", "1e-5000", "0x", ".", "1".repeat(5120)]) {
    expect(sum(t, "1")).toBe(BAD_VALUE);
    expect(sum("1", t)).toBe(BAD_INCREMENT);
  }
  for (const [a, b] of [
    ["inf", "1"],
    ["1", "-inf"],
    ["inf", "-inf"],
    ["1e4932", "1e4932"],
  ])
    expect(sum(a, b)).toBe(NOT_FINITE);
});

/** Number texts of many shapes. */
const number = fc.oneof(
  fc.integer().map(String),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.double({ min: -1000, max: 1000, noNaN: true }).map(String),
  fc.tuple(fc.constantFrom("", "-"), fc.nat(40), fc.stringMatching(/^[0-9]{0,13}$/)).map(([s, a, b]) => `${s}${a}.${b}`),
  fc.tuple(fc.integer({ min: -9999, max: 9999 }), fc.nat(99999)).map(([a, b]) => `${a}.${b}`),
  fc.tuple(fc.nat(999), fc.stringMatching(/^[0-9]{1,40}$/), fc.integer({ min: -60, max: 60 })).map(([a, b, e]) => `${a}.${b}e${e}`),
  fc.tuple(fc.nat(999), fc.integer({ min: -4960, max: 4940 })).map(([a, e]) => `${a}e${e}`),
  fc.tuple(fc.stringMatching(/^[0-9a-f]{1,24}$/), fc.integer({ min: -100, max: 100 })).map(([a, e]) => `-0x${a}.8p${e}`),
  fc.constantFrom(
    "inf",
    "-inf",
    "nan",
    "x",
    "",
    "1e",
    "+5",
    ".5",
    "5.",
    "-.5",
    "-.",
    ".",
    "-",
    "32",
    "-32.0",
    "31.99999999999",
    "-0",
    "1.18973149535723176502e4932",
    "3.6e-4951",
    "1e-4951",
  ),
);

test("hundreds of sums are the real server's", async () => {
  const redis = await startRealRedis();
  if (redis === null) return console.warn("skipped: no redis-server");
  try {
    const pairs = fc.sample(fc.tuple(number, number), { numRuns: 2500, seed: 42 });
    const replies = await Promise.all(
      pairs.map(([a, b]) => {
        void redis.call("SET", "k", a);
        return redis.text("INCRBYFLOAT", "k", b);
      }),
    );
    let sums = 0;
    for (let i = 0; i < pairs.length; i++) {
      const [a, b] = pairs[i];
      const ours = sum(a, b);
      const expected =
        ours === BAD_VALUE || ours === BAD_INCREMENT
          ? "ERR value is not a valid float"
          : ours === NOT_FINITE
            ? "ERR increment would produce NaN or Infinity"
            : ours;
      expect([a, b, replies[i]]).toEqual([a, b, String(expected)]);
      if (typeof ours === "string") sums++;
    }
    expect(sums).toBeGreaterThan(800);
  } finally {
    await redis.stop();
  }
});

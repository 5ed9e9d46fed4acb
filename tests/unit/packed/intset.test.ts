import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  INTSET_HEADER,
  intsetBytes,
  intsetBytesWith,
  intsetFind,
  intsetInsert,
  intsetLength,
  intsetNew,
  intsetPrepare,
  intsetPrepareInt,
  intsetPrepareMember,
  intsetRead,
  intsetRemove,
  intsetValid,
  intsetWidth,
  intsetWriteMember,
  memberHi,
  memberInt,
  memberLo,
} from "../../../lib/store/packed/intset.ts";
import { packedOf } from "../../support/dump.ts";
import { startRealRedis } from "../../support/real_redis.ts";

const AT = 3;
const widthOf = (v: bigint) => (BigInt.asIntN(16, v) === v ? 2 : BigInt.asIntN(32, v) === v ? 4 : 8);

/** The intset as the format says; the width is what the set's history asks for. */
function plain(values: bigint[], width: number): Buffer {
  const sorted = [...values].sort((x, y) => (x < y ? -1 : 1));
  const b = Buffer.alloc(8 + width * values.length);
  b.writeUInt32LE(width, 0);
  b.writeUInt32LE(values.length, 4);
  sorted.forEach((v, i) => {
    for (let k = 0; k < width; k++) b[8 + i * width + k] = Number((v >> BigInt(8 * k)) & 255n);
  });
  return b;
}
function prepare(v: bigint): void {
  const t = Buffer.from(`1${v}1`);
  expect(intsetPrepare(t, 1, t.length - 1)).toBe(true);
}
const value = fc.oneof(
  fc.tuple(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.nat(62)).map(([v, s]) => v >> BigInt(s)),
  fc.integer({ min: -20, max: 20 }).map(BigInt),
  fc.constantFrom(
    -32768n,
    -32769n,
    32767n,
    32768n,
    2n ** 31n - 1n,
    2n ** 31n,
    -(2n ** 31n),
    -(2n ** 31n) - 1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
    2n ** 53n,
    2n ** 53n - 1n,
  ),
);

test("adds and removals keep order, width and bytes, in place and into another buffer", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(value, fc.boolean()), { maxLength: 60 }), (steps) => {
      const b: Buffer = Buffer.alloc(600, 0xcc);
      intsetNew(b, AT);
      const set = new Set<bigint>();
      let width = 2;
      for (const [v, add] of steps) {
        prepare(v);
        const i = intsetFind(b, AT);
        expect(i >= 0).toBe(set.has(v));
        expect(i >= 0 ? i : ~i).toBe([...set].filter((x) => x < v).length);
        const out: Buffer = Buffer.alloc(600, 0xdd);
        const before: Buffer = Buffer.from(b);
        if (add && i < 0) {
          const need = intsetBytesWith(b, AT);
          set.add(v);
          width = Math.max(width, widthOf(v));
          expect(intsetInsert(b, AT, ~i, out, 9)).toBe(need);
          expect(before.equals(b)).toBe(true);
          expect(intsetInsert(b, AT, ~i)).toBe(need);
        } else if (!add && i >= 0) {
          set.delete(v);
          intsetRemove(b, AT, i, out, 9);
          expect(before.equals(b)).toBe(true);
          intsetRemove(b, AT, i);
        } else continue;
        const wanted = plain([...set], width);
        expect(b.subarray(AT, AT + intsetBytes(b, AT))).toEqual(wanted);
        expect(out.subarray(9, 9 + wanted.length)).toEqual(wanted);
        expect(out[8] + out[9 + wanted.length]).toBe(2 * 0xdd);
        expect(intsetValid(b, AT, wanted.length, true)).toBe(set.size > 0);
        expect(intsetWidth(b, AT)).toBe(width);
      }
      const sorted = [...set].sort((x, y) => (x < y ? -1 : 1));
      expect(intsetLength(b, AT)).toBe(sorted.length);
      sorted.forEach((v, i) => {
        expect(intsetRead(b, AT, i)).toBe(Number.isSafeInteger(Number(v)) ? Number(v) : NaN);
        expect(memberInt).toBe(Number.isSafeInteger(Number(v)) ? Number(v) : NaN);
        expect((BigInt(memberHi) << 32n) | BigInt(memberLo)).toBe(v);
        const text = Buffer.alloc(30);
        expect(text.toString("latin1", 2, intsetWriteMember(text, 2))).toBe(v.toString());
        intsetPrepareMember();
        expect(intsetFind(b, AT)).toBe(i);
        if (Number.isSafeInteger(Number(v))) {
          intsetPrepareInt(Number(v));
          expect(intsetFind(b, AT)).toBe(i);
        }
      });
    }),
    { numRuns: 300 },
  );
});

test("what is not an int64 is not prepared", () => {
  for (const t of ["", "a", "01", "+1", "1.0", "9223372036854775808", "-9223372036854775809", "99999999999999999999", " 1"])
    expect([t, intsetPrepare(Buffer.from(t), 0, t.length)]).toEqual([t, false]);
});

test("damaged intsets are refused", () => {
  const good = plain([1n, 2n, 70000n], 4);
  expect(intsetValid(good, 0, good.length, true)).toBe(true);
  expect(intsetValid(good, 0, good.length - 1, false)).toBe(false);
  expect(intsetValid(good, 0, 7, false)).toBe(false);
  expect(intsetValid(plain([], 2), 0, INTSET_HEADER, true)).toBe(false);
  for (const [at, v] of [
    [0, 3],
    [1, 1],
    [4, 4],
    [8, 2],
    [12, 0],
    [15, 255],
  ]) {
    const bad = Buffer.from(good);
    bad[at] = v;
    expect([at, v, intsetValid(bad, 0, bad.length, true)]).toEqual([at, v, false]);
  }
  const wide = plain([2n ** 40n, 2n ** 40n + 1n], 8);
  expect(intsetValid(wide, 0, wide.length, true)).toBe(true);
  wide[8] = 1;
  expect(intsetValid(wide, 0, wide.length, true)).toBe(false);
});

test("sets of the real server are these bytes", async () => {
  const redis = await startRealRedis("--rdbcompression", "no");
  if (redis === null) return console.warn("skipped: no redis-server");
  try {
    for (const steps of fc.sample(fc.array(fc.tuple(value, fc.boolean()), { minLength: 20, maxLength: 80 }), { numRuns: 40, seed: 5 })) {
      await redis.call("DEL", "s");
      const b: Buffer = Buffer.alloc(900);
      intsetNew(b, 0);
      for (const [v, add] of steps) {
        prepare(v);
        const i = intsetFind(b, 0);
        if (add && i < 0) intsetInsert(b, 0, ~i);
        if (!add && i >= 0) intsetRemove(b, 0, i);
        if (intsetLength(b, 0) === 0) intsetNew(b, 0); // Redis drops an empty set and starts anew
        await redis.call(add ? "SADD" : "SREM", "s", v.toString());
      }
      if (intsetLength(b, 0) === 0) continue;
      expect(packedOf((await redis.call("DUMP", "s")) as Buffer)).toEqual(b.subarray(0, intsetBytes(b, 0)));
    }
  } finally {
    await redis.stop();
  }
});

import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  LP_EMPTY,
  LP_UNKNOWN,
  elDouble,
  elHi,
  elInt,
  elIsInt,
  elLo,
  lpBytes,
  lpEquals,
  lpFind,
  lpFirst,
  lpLast,
  lpLength,
  lpNext,
  lpPrev,
  lpRead,
  lpSeek,
  lpText,
  lpValid,
} from "../../../lib/store/packed/listpack.ts";
import {
  lpAppend,
  lpDelete,
  lpDeleteFirst,
  lpDeleteLast,
  lpDeleteMany,
  lpDeleteRange,
  lpEntryBytes,
  lpFinish,
  lpInsert,
  lpInsertAfter,
  lpMerge,
  lpNew,
  lpPrepare,
  lpPrepareInt,
  lpPrepareInt64,
  lpPrepend,
  lpPrependBelow,
  lpPut,
  lpReplace,
} from "../../../lib/store/packed/listpack_edit.ts";
import { packedOf } from "../../support/dump.ts";
import { startRealRedis } from "../../support/real_redis.ts";

const bytes = (t: string) => Buffer.from(t, "latin1");

/** The element as the format says, written anew and plainly. */
function plainElement(t: string): Buffer {
  let body: Buffer;
  if (/^(0|-?[1-9][0-9]*)$/.test(t) && BigInt.asIntN(64, BigInt(t)) === BigInt(t)) {
    const v = BigInt(t);
    const le = (n: number) => Buffer.from(Array.from({ length: n }, (_, i) => Number((v >> BigInt(8 * i)) & 255n)));
    const fits = (bits: number) => BigInt.asIntN(bits, v) === v;
    if (v >= 0n && v < 128n) body = Buffer.from([Number(v)]);
    else if (fits(13)) body = Buffer.from([0xc0 | Number((v >> 8n) & 31n), Number(v & 255n)]);
    else if (fits(16)) body = Buffer.concat([Buffer.from([0xf1]), le(2)]);
    else if (fits(24)) body = Buffer.concat([Buffer.from([0xf2]), le(3)]);
    else if (fits(32)) body = Buffer.concat([Buffer.from([0xf3]), le(4)]);
    else body = Buffer.concat([Buffer.from([0xf4]), le(8)]);
  } else if (t.length < 64) body = Buffer.concat([Buffer.from([0x80 | t.length]), bytes(t)]);
  else if (t.length < 4096) body = Buffer.concat([Buffer.from([0xe0 | (t.length >> 8), t.length & 255]), bytes(t)]);
  else {
    const head = Buffer.alloc(5, 0xf0);
    head.writeUInt32LE(t.length, 1);
    body = Buffer.concat([head, bytes(t)]);
  }
  const backlen: number[] = [];
  const size = body.length;
  const n = size <= 127 ? 1 : size < 16383 ? 2 : size < 2097151 ? 3 : 4;
  for (let i = 0; i < n; i++) backlen.unshift(((size >> (7 * i)) & 127) | (i < n - 1 ? 128 : 0));
  // Written from the front: the highest seven bits first and without the mark, the lowest last.
  return Buffer.concat([body, Buffer.from(backlen.map((x, i) => (i === 0 ? x & 127 : x | 128)))]);
}
function plain(list: string[]): Buffer {
  const parts = list.map(plainElement);
  const head = Buffer.alloc(6);
  head.writeUInt32LE(
    parts.reduce((sum, p) => sum + p.length, 7),
    0,
  );
  head.writeUInt16LE(Math.min(list.length, 65535), 4);
  return Buffer.concat([head, ...parts, Buffer.from([0xff])]);
}

/** A listpack somewhere in a larger buffer, with sentinel bytes around its capacity. */
const AT = 5;
function fresh(list: string[], room = 20000): Buffer {
  const lp = plain(list);
  const b = Buffer.alloc(AT + lp.length + room + 3, 0xcc);
  lp.copy(b, AT);
  return b;
}
const content = (b: Buffer, lp = AT) => b.subarray(lp, lp + lpBytes(b, lp));
function texts(b: Buffer, lp = AT): string[] {
  const out: string[] = [];
  for (let p = lpFirst(b, lp); p >= 0; p = lpNext(b, p)) out.push(lpText(b, p));
  return out;
}
function put(t: string): number {
  return lpPrepare(bytes(`x${t}y`), 1, 1 + t.length);
}

/** Texts at all the borders of the encodings. */
const BORDERS = [
  "",
  "0",
  "-0",
  "00",
  "1",
  "127",
  "128",
  "-1",
  "-4096",
  "-4097",
  "4095",
  "4096",
  "32767",
  "32768",
  "-32768",
  "-32769",
  "8388607",
  "8388608",
  "-8388608",
  "-8388609",
  "2147483647",
  "2147483648",
  "-2147483648",
  "-2147483649",
  "9007199254740991",
  "9007199254740992",
  "-9007199254740991",
  "-9007199254740992",
  "9223372036854775807",
  "9223372036854775808",
  "-9223372036854775808",
  "-9223372036854775809",
  "4294967296",
  "1.5",
  "-",
  "+1",
  " 1",
  "1e3",
  "12345678901234567890",
  "hello",
  "\xff\x00\xf4",
  "a".repeat(62),
  "a".repeat(63),
  "a".repeat(64),
  "b".repeat(125),
  "b".repeat(126),
  "b".repeat(127),
  "c".repeat(4095),
  "c".repeat(4096),
  "d".repeat(16380),
  "d".repeat(16377),
  "d".repeat(16378),
  "d".repeat(16379),
];
const element = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: "binary-ascii", maxLength: 12 }) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.nat(62)).map(([v, s]) => (v >> BigInt(s)).toString()),
  },
  { weight: 1, arbitrary: fc.constantFrom(...BORDERS) },
);

test("every encoding is written and read at its borders", () => {
  for (const t of BORDERS) {
    const b = fresh([], 30000);
    const need = put(t);
    expect(need).toBe(plainElement(t).length);
    expect(lpAppend(b, AT)).toBe(LP_EMPTY + need);
    expect(content(b)).toEqual(plain([t]));
    expect(texts(b)).toEqual([t]);
    expect(lpEntryBytes(b, lpFirst(b, AT))).toBe(need);
    expect(lpValid(b, AT, LP_EMPTY + need, true)).toBe(true);
    expect(lpEquals(b, AT + 6, bytes(`.${t}.`), 1, 1 + t.length)).toBe(true);
    for (const other of BORDERS)
      if (other !== t) expect([other, t, lpEquals(b, AT + 6, bytes(other), 0, other.length)]).toEqual([other, t, false]);
    expect(b[AT - 1]).toBe(0xcc);
    expect(b[AT + LP_EMPTY + need]).toBe(0xcc);
  }
});

test("integers are read as doubles, wide ones as two halves", () => {
  for (const t of BORDERS.filter(
    (t) => plainElement(t)[0] < 0x80 || (plainElement(t)[0] >= 0xc0 && plainElement(t)[0] < 0xe0) || plainElement(t)[0] > 0xf0,
  )) {
    const b = fresh([t]);
    lpRead(b, AT + 6);
    expect(elIsInt).toBe(true);
    if (Number.isSafeInteger(Number(t))) expect(elInt).toBe(Number(t));
    else {
      expect(elInt).toBeNaN();
      expect((BigInt(elHi) << 32n) | BigInt(elLo)).toBe(BigInt(t));
    }
    expect(elDouble(b)).toBe(Number(t));
    const built = fresh([]);
    const v = BigInt(t);
    lpPrepareInt64(Number(v >> 32n), Number(v & 0xffffffffn));
    lpAppend(built, AT);
    expect(content(built)).toEqual(plain([t]));
    if (Number.isSafeInteger(Number(t))) {
      lpNew(built, AT);
      lpPrepareInt(Number(t));
      lpAppend(built, AT);
      expect(content(built)).toEqual(plain([t]));
    }
  }
  const b = fresh(["3.25", "-inf"]);
  lpRead(b, lpFirst(b, AT));
  expect(elDouble(b)).toBe(3.25);
  lpRead(b, lpLast(b, AT));
  expect(elDouble(b)).toBe(-Infinity);
});

test("walking, seeking and finding agree with an array", () => {
  fc.assert(
    fc.property(
      fc.array(element, { maxLength: 30 }),
      element,
      fc.integer({ min: -35, max: 35 }),
      fc.nat(2),
      (list, needle, index, skip) => {
        const b = fresh(list);
        expect(lpLength(b, AT)).toBe(list.length);
        expect(texts(b)).toEqual(list);
        const backwards: string[] = [];
        for (let p = lpLast(b, AT); p >= 0; p = lpPrev(b, AT, p)) backwards.push(lpText(b, p));
        expect(backwards).toEqual([...list].reverse());
        const p = lpSeek(b, AT, index);
        expect(p < 0 ? undefined : lpText(b, p)).toEqual(list.at(index));
        for (const wanted of [needle, ...list]) {
          const at = lpFind(b, lpFirst(b, AT), bytes(`(${wanted})`), 1, 1 + wanted.length, skip);
          const expected = list.findIndex((t, i) => t === wanted && i % (skip + 1) === 0);
          expect(at).toBe(expected < 0 ? -1 : lpSeek(b, AT, expected));
        }
      },
    ),
    { numRuns: 400 },
  );
});

/** Edits by name: on an array and on a listpack, in place or into another buffer. */
type Edit = { op: number; a: number; n: number; t: string };
const edit = fc.record({ op: fc.nat(7), a: fc.nat(40), n: fc.nat(4), t: element });

function edited(list: string[], e: Edit): string[] {
  const at = list.length === 0 ? 0 : e.a % list.length;
  if (e.op === 0) return [...list, e.t];
  if (e.op === 1) return [e.t, ...list];
  if (e.op === 2) return list.toSpliced(at, 0, e.t);
  if (e.op === 3) return list.length === 0 ? list : list.toSpliced(at + 1, 0, e.t);
  if (e.op === 4) return list.length === 0 ? list : list.toSpliced(at, 1, e.t);
  if (e.op === 5) return list.toSpliced(at, e.n);
  if (e.op === 6) return list.length === 0 ? list : list.toSpliced(list.length - 1 - at, e.n);
  return list.filter((_, i) => i % (e.n + 2) !== 0);
}
function apply(b: Buffer, e: Edit, out: Buffer = b, outLp = AT): number {
  const size = lpLength(b, AT);
  const at = size === 0 ? 0 : e.a % size;
  const p = size === 0 ? AT + 6 : lpSeek(b, AT, at);
  put(e.t);
  if (e.op === 0) return lpAppend(b, AT, out, outLp);
  if (e.op === 1) return lpPrepend(b, AT, out, outLp);
  if (e.op === 2) return lpInsert(b, AT, p, out, outLp);
  if (size === 0) return lpDelete(b, AT, p, 0, out, outLp);
  if (e.op === 3) return lpInsertAfter(b, AT, p, out, outLp);
  if (e.op === 4) return lpReplace(b, AT, p, out, outLp);
  if (e.op === 5) return lpDelete(b, AT, p, e.n, out, outLp);
  if (e.op === 6) return lpDeleteRange(b, AT, -1 - at, e.n, out, outLp);
  if (out !== b) {
    content(b).copy(out, outLp);
    b = out;
  }
  const every: number[] = [];
  for (let i = 0; i < size; i += e.n + 2) every.push(lpSeek(b, outLp, i));
  return lpDeleteMany(b, outLp, every, every.length);
}

test("edits in place and into another buffer give the same bytes as a fresh listpack", () => {
  fc.assert(
    fc.property(fc.array(element, { maxLength: 12 }), fc.array(edit, { maxLength: 12 }), (start, edits) => {
      let list = start;
      const b = fresh(list, 260000);
      for (const e of edits) {
        list = edited(list, e);
        const out: Buffer = Buffer.alloc(400000, 0xdd);
        const before = Buffer.from(b);
        const total = apply(b, e, out, 11);
        expect(b.equals(before)).toBe(true);
        const wanted = plain(list);
        expect(out.subarray(11, 11 + total)).toEqual(wanted);
        if (e.op !== 7) expect(out[10] + out[11 + total]).toBe(2 * 0xdd);
        expect(apply(b, e)).toBe(total);
        expect(content(b)).toEqual(wanted);
        expect(lpValid(b, AT, total, true)).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});

test("edits at the ends give the same bytes, and those at the front leave the other elements where they are", () => {
  fc.assert(
    fc.property(fc.array(element, { maxLength: 12 }), fc.array(fc.tuple(fc.nat(3), element), { maxLength: 20 }), (start, edits) => {
      const list = [...start];
      let lp = 20 * 5000;
      const b = Buffer.alloc(lp + 260000, 0xcc);
      plain(list).copy(b, lp);
      for (const [op, t] of edits) {
        put(t);
        const last = list.length === 0 ? -1 : lpLast(b, lp);
        if (op === 0) {
          lpAppend(b, lp);
          list.push(t);
        } else if (op === 1) {
          lp = lpPrependBelow(b, lp);
          list.unshift(t);
          if (last >= 0) expect(lpLast(b, lp)).toBe(last);
        } else if (list.length === 0) continue;
        else if (op === 2) {
          lpDeleteLast(b, lp);
          list.pop();
        } else {
          lp = lpDeleteFirst(b, lp);
          list.shift();
          if (list.length > 0) expect(lpLast(b, lp)).toBe(last);
        }
        expect(content(b, lp)).toEqual(plain(list));
      }
    }),
    { numRuns: 300 },
  );
});

test("many elements put one after another and finished give the same bytes", () => {
  fc.assert(
    fc.property(fc.array(element, { maxLength: 12 }), fc.array(element, { maxLength: 12 }), (start, more) => {
      const b = fresh(start, 160000);
      let p = AT + lpBytes(b, AT) - 1;
      for (const t of more) {
        put(t);
        p = lpPut(b, p);
      }
      lpFinish(b, AT, p, more.length);
      expect(content(b)).toEqual(plain([...start, ...more]));
    }),
    { numRuns: 200 },
  );
});

test("merge", () => {
  fc.assert(
    fc.property(fc.array(element, { maxLength: 8 }), fc.array(element, { maxLength: 8 }), (one, two) => {
      const a = fresh(one, 160000);
      const b = fresh(two);
      const out = Buffer.alloc(300000);
      const wanted = plain([...one, ...two]);
      expect(lpMerge(a, AT, b, AT, out, 3)).toBe(wanted.length);
      expect(content(out, 3)).toEqual(wanted);
      lpMerge(a, AT, b, AT, a, AT);
      expect(content(a)).toEqual(wanted);
    }),
    { numRuns: 100 },
  );
});

test("65535 elements and more are counted", () => {
  const many = Array.from({ length: 65534 }, (_, i) => String(i % 100));
  const b = fresh(many);
  expect(lpLength(b, AT)).toBe(65534);
  put("x");
  lpAppend(b, AT);
  expect(b.readUInt16LE(AT + 4)).toBe(LP_UNKNOWN);
  lpAppend(b, AT);
  expect(lpLength(b, AT)).toBe(65536);
  expect(lpText(b, lpSeek(b, AT, 65533))).toBe("33");
  expect(lpText(b, lpSeek(b, AT, -3))).toBe("33");
  expect(lpSeek(b, AT, 65536)).toBe(-1);
  lpDeleteRange(b, AT, -2, 2);
  expect(lpLength(b, AT)).toBe(65534);
  expect(b.readUInt16LE(AT + 4)).toBe(LP_UNKNOWN);
  expect(lpValid(b, AT, lpBytes(b, AT), true)).toBe(true);
  lpDeleteLast(b, AT);
  const lp = lpPrependBelow(b, lpDeleteFirst(b, lpDeleteFirst(b, AT)));
  expect(lpLength(b, lp)).toBe(65532);
  expect(b.readUInt16LE(lp + 4)).toBe(LP_UNKNOWN);
  expect(lpValid(b, lp, lpBytes(b, lp), true)).toBe(true);
});

test("damaged listpacks are refused, and looking at them never leaves the region", () => {
  fc.assert(
    fc.property(
      fc.array(element, { minLength: 1, maxLength: 6 }),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      (list, hits) => {
        const good = plain(list);
        const bad = Buffer.from(good);
        for (const [at, v] of hits) bad[at % bad.length] = v;
        // Whatever is accepted must hold together: same length, readable in both directions, the count right.
        if (!lpValid(bad, 0, bad.length, true)) return;
        const forward = texts(bad, 0);
        const back: string[] = [];
        for (let p = lpLast(bad, 0); p >= 0; p = lpPrev(bad, 0, p)) back.push(lpText(bad, p));
        expect(back.reverse()).toEqual(forward);
        if (bad.readUInt16LE(4) !== LP_UNKNOWN) expect(forward.length).toBe(bad.readUInt16LE(4));
      },
    ),
    { numRuns: 2000 },
  );
  const good = plain(["a", "b"]);
  expect(lpValid(good, 0, good.length, true)).toBe(true);
  expect(lpValid(good, 0, good.length - 1, true)).toBe(false);
  expect(lpValid(good, 0, 6, false)).toBe(false);
  for (const [at, v] of [
    [0, 99],
    [4, 3],
    [6, 0x8f],
    [6, 0xf5],
    [6, 0xfe],
    [6, 0xf0],
    [8, 3],
    [good.length - 1, 0],
  ]) {
    const bad = Buffer.from(good);
    bad[at] = v;
    expect([at, v, lpValid(bad, 0, bad.length, true)]).toEqual([at, v, false]);
  }
});

test("hashes, sorted sets and lists of the real server are these bytes", async () => {
  const redis = await startRealRedis("--rdbcompression", "no", "--list-max-listpack-size", "-5", "--hash-max-listpack-value", "70000");
  if (redis === null) return console.warn("skipped: no redis-server");
  try {
    const run = async (key: string) => packedOf((await redis.call("DUMP", key)) as Buffer);
    for (const t of BORDERS) await redis.call("HSET", "h", `f${t}`, t);
    expect(await run("h")).toEqual(plain(BORDERS.flatMap((t) => [`f${t}`, t])));
    await redis.call("ZADD", "z", 3.5, "m", -7, "17", "inf", "x", 5000000000, "y");
    expect(await run("z")).toEqual(plain(["17", "-7", "m", "3.5", "y", "5000000000", "x", "inf"]));
    const scripts = fc.sample(fc.array(edit, { minLength: 5, maxLength: 25 }), { numRuns: 40, seed: 11 });
    for (const edits of scripts) {
      await redis.call("DEL", "l");
      const b = fresh([], 60000);
      let list: string[] = [];
      for (const e of edits.filter((x) => x.t.length < 3000)) {
        const at = list.length === 0 ? 0 : e.a % list.length;
        if (e.op === 0 || (list.length === 0 && e.op < 5)) {
          await redis.call("RPUSH", "l", e.t);
          list = [...list, e.t];
          put(e.t);
          lpAppend(b, AT);
        } else if (e.op === 1) {
          await redis.call("LPUSH", "l", e.t);
          list = [e.t, ...list];
          put(e.t);
          lpPrepend(b, AT);
        } else if (e.op === 4) {
          await redis.call("LSET", "l", at, e.t);
          list = list.toSpliced(at, 1, e.t);
          put(e.t);
          lpReplace(b, AT, lpSeek(b, AT, at));
        } else if (e.op === 2 || e.op === 3) {
          const pivot = list[at];
          await redis.call("LINSERT", "l", e.op === 2 ? "BEFORE" : "AFTER", pivot, e.t);
          list = list.toSpliced(list.indexOf(pivot) + e.op - 2, 0, e.t);
          const p = lpFind(b, lpFirst(b, AT), bytes(pivot), 0, pivot.length, 0);
          put(e.t);
          if (e.op === 2) lpInsert(b, AT, p);
          else lpInsertAfter(b, AT, p);
        } else if (list.length > e.n) {
          await redis.call("LTRIM", "l", e.n, -1);
          list = list.slice(e.n);
          lpDeleteRange(b, AT, 0, e.n);
        }
        expect(texts(b)).toEqual(list);
      }
      if (list.length > 0) expect(await run("l")).toEqual(content(b));
    }
  } finally {
    await redis.stop();
  }
});

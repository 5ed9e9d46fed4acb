import { expect, test } from "bun:test";
import fc from "fast-check";
import { lpFirst, lpLength, lpNext, lpText, lpValid } from "../../../lib/store/packed/listpack.ts";
import { zlFirst, zlInt, zlIsInt, zlListpackBytes, zlRead, zlToListpack, zlValid } from "../../../lib/store/packed/ziplist.ts";
import {
  zmFieldEnd,
  zmFieldStart,
  zmFirst,
  zmListpackBytes,
  zmRead,
  zmToListpack,
  zmValid,
  zmValueEnd,
  zmValueStart,
} from "../../../lib/store/packed/zipmap.ts";
import { startRealRedis } from "../../support/real_redis.ts";
import { Crc64 } from "../../../lib/bytes/crc64.ts";

const bytes = (t: string) => Buffer.from(t, "latin1");
function u32(n: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n);
  return b;
}

/** A ziplist as the format says; `fat` writes every previous length in five bytes, which old Redis could leave behind. */
function ziplist(list: string[], fat = false): Buffer {
  const parts: Buffer[] = [];
  let previous = 0;
  for (const t of list) {
    const prefix = previous < 254 && !fat ? Buffer.from([previous]) : Buffer.concat([Buffer.from([254]), u32(previous)]);
    let body: Buffer;
    if (/^(0|-?[1-9][0-9]*)$/.test(t) && BigInt.asIntN(64, BigInt(t)) === BigInt(t)) {
      const v = BigInt(t);
      const le = (n: number) => Array.from({ length: n }, (_, i) => Number((v >> BigInt(8 * i)) & 255n));
      const fits = (bits: number) => BigInt.asIntN(bits, v) === v;
      if (v >= 0n && v <= 12n) body = Buffer.from([0xf1 + Number(v)]);
      else if (fits(8)) body = Buffer.from([0xfe, ...le(1)]);
      else if (fits(16)) body = Buffer.from([0xc0, ...le(2)]);
      else if (fits(24)) body = Buffer.from([0xf0, ...le(3)]);
      else if (fits(32)) body = Buffer.from([0xd0, ...le(4)]);
      else body = Buffer.from([0xe0, ...le(8)]);
    } else if (t.length < 64) body = Buffer.concat([Buffer.from([t.length]), bytes(t)]);
    else if (t.length < 16384) body = Buffer.concat([Buffer.from([0x40 | (t.length >> 8), t.length & 255]), bytes(t)]);
    else body = Buffer.concat([Buffer.from([0x80]), u32(t.length).reverse(), bytes(t)]);
    parts.push(Buffer.concat([prefix, body]));
    previous = prefix.length + body.length;
  }
  const entries = Buffer.concat(parts);
  const count = Buffer.from([list.length & 255, list.length >> 8]);
  return Buffer.concat([u32(entries.length + 11), u32(10 + entries.length - previous), count, entries, Buffer.from([255])]);
}
function zipmap(list: string[], free: number): Buffer {
  const length = (t: string) => (t.length < 254 ? Buffer.from([t.length]) : Buffer.concat([Buffer.from([254]), u32(t.length)]));
  const parts = [Buffer.from([Math.min(list.length / 2, 254)])];
  for (let i = 0; i < list.length; i += 2) {
    parts.push(length(list[i]), bytes(list[i]), length(list[i + 1]), Buffer.from([free]), bytes(list[i + 1]), Buffer.alloc(free, 0x77));
  }
  return Buffer.concat([...parts, Buffer.from([255])]);
}
function listpackTexts(b: Buffer, lp: number): string[] {
  const out: string[] = [];
  for (let p = lpFirst(b, lp); p >= 0; p = lpNext(b, p)) out.push(lpText(b, p));
  return out;
}
const element = fc.oneof(
  fc.string({ unit: "binary-ascii", maxLength: 80 }),
  fc.tuple(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.nat(63)).map(([v, s]) => (v >> BigInt(s)).toString()),
  fc.constantFrom(
    "0",
    "12",
    "13",
    "-1",
    "-128",
    "-129",
    "x".repeat(63),
    "x".repeat(64),
    "y".repeat(253),
    "z".repeat(16384),
    "q".repeat(300),
  ),
);

test("ziplists become listpacks with the same elements", () => {
  fc.assert(
    fc.property(fc.array(element, { maxLength: 20 }), fc.boolean(), (list, fat) => {
      const zl = Buffer.concat([Buffer.from("ab"), ziplist(list, fat), Buffer.from("c")]);
      expect(zlValid(zl, 2, zl.length - 3, true)).toBe(true);
      const need = zlListpackBytes(zl, 2);
      const out = Buffer.alloc(need + 8, 0xcc);
      expect(zlToListpack(zl, 2, out, 4)).toBe(need);
      expect(listpackTexts(out, 4)).toEqual(list);
      expect(lpValid(out, 4, need, true)).toBe(true);
      expect(out[3] + out[4 + need]).toBe(2 * 0xcc);
      let n = 0;
      for (let p = zlFirst(zl, 2); p >= 0; n++) {
        p = zlRead(zl, p);
        if (zlIsInt && zlInt === zlInt) expect(String(zlInt)).toBe(list[n]);
      }
      expect(n).toBe(list.length);
    }),
    { numRuns: 300 },
  );
});

test("zipmaps become listpacks with the same fields", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(element, element), { minLength: 1, maxLength: 10 }), fc.nat(4), (pairs, free) => {
      const list = pairs.flat();
      const zm = Buffer.concat([Buffer.from("ab"), zipmap(list, free), Buffer.from("c")]);
      expect(zmValid(zm, 2, zm.length - 3, true)).toBe(true);
      const need = zmListpackBytes(zm, 2);
      const out = Buffer.alloc(need + 8);
      expect(zmToListpack(zm, 2, out, 4)).toBe(need);
      expect(listpackTexts(out, 4)).toEqual(list);
      zmRead(zm, zmFirst(zm, 2));
      expect(zm.toString("latin1", zmFieldStart, zmFieldEnd)).toBe(list[0]);
      expect(zm.toString("latin1", zmValueStart, zmValueEnd)).toBe(list[1]);
    }),
    { numRuns: 200 },
  );
});

test("damaged ziplists and zipmaps are refused or hold together", () => {
  const hits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
  const some = fc.array(element, { minLength: 2, maxLength: 6 });
  fc.assert(
    fc.property(some, hits, fc.boolean(), (list, damage, map) => {
      const even = list.length % 2 === 0 ? list : list.slice(1);
      const b = map ? zipmap(even, 1) : ziplist(list);
      for (const [at, v] of damage) b[at % b.length] = v;
      if (map ? !zmValid(b, 0, b.length, true) : !zlValid(b, 0, b.length, true)) return;
      const need = map ? zmListpackBytes(b, 0) : zlListpackBytes(b, 0);
      const out = Buffer.alloc(need);
      if (map) zmToListpack(b, 0, out, 0);
      else zlToListpack(b, 0, out, 0);
      expect(lpValid(out, 0, need, true)).toBe(true);
      if (!map && b.readUInt16LE(8) < 65535) expect(lpLength(out, 0)).toBe(b.readUInt16LE(8));
    }),
    { numRuns: 3000 },
  );
  const good = ziplist(["a", "b"]);
  for (const [at, v] of [
    [0, 1],
    [4, 99],
    [4, 10],
    [8, 3],
    [10, 1],
    [11, 0xff],
    [11, 0xbf],
    [11, 40],
    [13, 9],
    [good.length - 1, 0],
  ]) {
    const bad = Buffer.from(good);
    bad[at] = v;
    expect([at, v, zlValid(bad, 0, bad.length, true)]).toEqual([at, v, false]);
  }
  expect(zmValid(zipmap(["a", "b"], 0), 0, 7, true)).toBe(true);
  expect(zmValid(Buffer.from([0, 255]), 0, 2, true)).toBe(false);
  expect(zmValid(Buffer.from([2, 1, 97, 1, 0, 98, 255]), 0, 7, true)).toBe(false);
  expect(zmValid(Buffer.from([1, 1, 97, 9, 0, 98, 255]), 0, 7, true)).toBe(false);
});

test("the real server reads such ziplists and zipmaps as the same hashes", async () => {
  const redis = await startRealRedis();
  if (redis === null) return console.warn("skipped: no redis-server");
  try {
    const pairs = ["f", "v", "n", "-129", "big", "9223372036854775807", "long", "x".repeat(300), "12", "13"];
    for (const [type, body] of [
      [13, ziplist(pairs)],
      [9, zipmap(pairs, 2)],
    ] as [number, Buffer][]) {
      const length = Buffer.from([0x80, 0, 0, body.length >> 8, body.length & 255]);
      const head = Buffer.concat([Buffer.from([type]), length, body, Buffer.from([10, 0]), Buffer.alloc(8)]);
      const sum = new Crc64();
      sum.update(head, 0, head.length - 8);
      sum.write(head, head.length - 8);
      expect(await redis.text("RESTORE", "h", 0, head, "REPLACE")).toBe("OK");
      const all = (await redis.call("HGETALL", "h")) as Buffer[];
      const real: Record<string, string> = {};
      for (let i = 0; i < all.length; i += 2) real[all[i].toString("latin1")] = all[i + 1].toString("latin1");
      expect(real).toEqual(Object.fromEntries(pairs.flatMap((t, i) => (i % 2 === 0 ? [[t, pairs[i + 1]]] : []))));
    }
  } finally {
    await redis.stop();
  }
});

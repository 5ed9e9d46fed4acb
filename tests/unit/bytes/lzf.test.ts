import { expect, test } from "bun:test";
import fc from "fast-check";
import { lzfCompress, lzfDecompress } from "../../../lib/bytes/lzf.ts";
import { rdbLength } from "../../support/dump.ts";
import { startRealRedis } from "../../support/real_redis.ts";

/** Texts that compress more or less: pieces repeated, few letters, random bytes. */
const text = fc.oneof(
  fc
    .array(fc.constantFrom("hello ", "key:", "0000", "a", "xyz123", "\x00\xff"), { maxLength: 400 })
    .map((l) => Buffer.from(l.join(""), "latin1")),
  fc.array(fc.nat(3), { maxLength: 3000 }).map((l) => Buffer.from(l)),
  fc.uint8Array({ maxLength: 300 }).map((l) => Buffer.from(l)),
  fc.tuple(fc.nat(255), fc.integer({ min: 1, max: 20000 })).map(([c, n]) => Buffer.alloc(n, c)),
  fc.tuple(fc.uint8Array({ minLength: 3, maxLength: 40 }), fc.integer({ min: 7900, max: 8400 })).map(([p, gap]) => {
    const noise = Buffer.from(Array.from({ length: gap }, (_, i) => (i * i * 31 + (i >> 3)) & 255));
    return Buffer.concat([Buffer.from("head"), p, noise, p]);
  }),
);

test("what is compressed is read back, within the limit", () => {
  fc.assert(
    fc.property(text, fc.nat(10), (b, at) => {
      const source = Buffer.concat([Buffer.alloc(at, 7), b, Buffer.alloc(3, 9)]);
      const limit = Math.max(0, b.length - 4);
      const out = Buffer.alloc(b.length + 20, 0xcc);
      const n = lzfCompress(source, at, at + b.length, out, 5, 5 + limit);
      expect(n <= limit).toBe(true);
      if (n === 0) return;
      const back = Buffer.alloc(b.length + 10, 0xdd);
      expect(lzfDecompress(out, 5, 5 + n, back, 4, b.length)).toBe(true);
      expect(back.subarray(4, 4 + b.length).equals(b)).toBe(true);
      expect(back[3] + back[4 + b.length]).toBe(2 * 0xdd);
      expect(lzfDecompress(out, 5, 5 + n, back, 4, b.length - 1)).toBe(false);
      expect(lzfDecompress(out, 5, 5 + n, back, 4, b.length + 1)).toBe(false);
      // With less room it must give up rather than write outside.
      const tight = Buffer.alloc(n + 10, 0xee);
      const less = lzfCompress(source, at, at + b.length, tight, 2, 2 + n - 1);
      expect(less < n).toBe(true);
      expect(tight.subarray(2 + n).every((c) => c === 0xee)).toBe(true);
    }),
    { numRuns: 400 },
  );
});

test("damaged input never leads outside", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(200), (bytes, size) => {
      const out = Buffer.alloc(size + 8, 0xcc);
      const b = Buffer.from(bytes);
      lzfDecompress(b, 0, b.length, out, 4, size);
      expect(out.subarray(0, 4).every((c) => c === 0xcc) && out.subarray(size + 4).every((c) => c === 0xcc)).toBe(true);
    }),
    { numRuns: 2000 },
  );
  const out = Buffer.alloc(100);
  expect(lzfDecompress(Buffer.from([0x20, 0x00]), 0, 2, out, 0, 3)).toBe(false);
  expect(lzfDecompress(Buffer.from([0x00, 0x41, 0x20]), 0, 3, out, 0, 4)).toBe(false);
  expect(lzfDecompress(Buffer.from([0x00, 0x41, 0xe0, 0x01]), 0, 4, out, 0, 11)).toBe(false);
  expect(lzfDecompress(Buffer.from([0x00, 0x41, 0x40, 0x00]), 0, 4, out, 0, 5)).toBe(true);
  expect(out.toString("latin1", 0, 5)).toBe("AAAAA");
});

test("the real server's compressed strings are the same bytes", async () => {
  const redis = await startRealRedis("--rdbcompression", "yes");
  if (redis === null) return console.warn("skipped: no redis-server");
  try {
    let compressed = 0;
    let same = 0;
    for (const b of fc.sample(text, { numRuns: 300, seed: 2 }).filter((x) => x.length > 20)) {
      await redis.call("SET", "k", b);
      const payload = (await redis.call("DUMP", "k")) as Buffer;
      const out = Buffer.alloc(b.length);
      const n = lzfCompress(b, 0, b.length, out, 0, b.length - 4);
      expect(n > 0).toBe(payload[1] === 0xc3);
      if (payload[1] !== 0xc3) continue;
      const small = rdbLength(payload, 2);
      const full = rdbLength(payload, small.next);
      const back = Buffer.alloc(full.value);
      expect(lzfDecompress(payload, full.next, full.next + small.value, back, 0, full.value)).toBe(true);
      expect(back.equals(b)).toBe(true);
      compressed++;
      if (payload.subarray(full.next, full.next + small.value).equals(out.subarray(0, n))) same++;
    }
    expect(compressed).toBeGreaterThan(100);
    // liblzf's table is whatever lies on its stack, so a stale entry may cost it or win it a reference now and then.
    expect(same / compressed).toBeGreaterThan(0.95);
  } finally {
    await redis.stop();
  }
});

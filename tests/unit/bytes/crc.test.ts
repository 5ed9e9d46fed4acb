import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc16, keySlot } from "../../../lib/bytes/crc16.ts";
import { Crc64 } from "../../../lib/bytes/crc64.ts";
import { sha1Bytes, sha1Hex } from "../../../lib/bytes/sha1.ts";
import { startRealRedis } from "../../support/real_redis.ts";

const sum = (b: Buffer) => {
  const c = new Crc64();
  c.update(b, 0, b.length);
  return c;
};

test("the check values of the two checksums", () => {
  const digits = Buffer.from("123456789");
  expect(sum(digits).hex()).toBe("e9c6d914c4b8d9ca");
  expect(sum(Buffer.alloc(0)).isZero()).toBe(true);
  expect(crc16(digits, 0, 9)).toBe(0x31c3);
});

test("crc64 does not depend on how the stream is cut, and equals the bit by bit form", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), fc.nat(100), (bytes, x, y) => {
      const b = Buffer.from(bytes);
      const [i, j] = [Math.min(x, y, b.length), Math.min(Math.max(x, y), b.length)];
      const c = new Crc64();
      c.update(b, 0, i);
      c.update(b, i, j);
      c.update(b, j, b.length);
      let crc = 0n;
      for (const byte of b) {
        crc ^= BigInt(byte);
        for (let k = 0; k < 8; k++) crc = crc & 1n ? (crc >> 1n) ^ 0x95ac9329ac4bc9b5n : crc >> 1n;
      }
      expect(c.hex()).toBe(crc.toString(16).padStart(16, "0"));
      const out = Buffer.alloc(12);
      expect(c.write(out, 2)).toBe(10);
      expect(out.readBigUInt64LE(2)).toBe(crc);
      expect(c.matches(out, 2)).toBe(true);
      out[2 + (x % 8)] ^= 1 << (y % 8);
      expect(c.matches(out, 2)).toBe(false);
    }),
  );
});

test("slots of keys with and without tags", () => {
  const slot = (t: string) => keySlot(Buffer.from(`{${t}}`), 1, 1 + t.length);
  const whole = (t: string) => crc16(Buffer.from(t), 0, t.length) & 16383;
  expect(slot("{user1000}.following")).toBe(whole("user1000"));
  expect(slot("foo{}{bar}")).toBe(whole("foo{}{bar}"));
  expect(slot("foo{{bar}}zap")).toBe(whole("{bar"));
  expect(slot("foo{bar}{zap}")).toBe(whole("bar"));
  expect(slot("foo{bar")).toBe(whole("foo{bar"));
  expect(slot("}{")).toBe(whole("}{"));
});

test("slots, payload checksums and script names of the real server", async () => {
  const redis = await startRealRedis("--cluster-enabled", "yes");
  const single = await startRealRedis();
  if (redis === null || single === null) return console.warn("skipped: no redis-server");
  try {
    for (const t of fc.sample(fc.string({ unit: fc.constantFrom("a", "{", "}", "b", "\xff"), maxLength: 9 }), { numRuns: 200, seed: 1 })) {
      const b = Buffer.from(t, "latin1");
      expect([t, await redis.call("CLUSTER", "KEYSLOT", b)]).toEqual([t, keySlot(b, 0, b.length)]);
    }
    await single.call("SET", "k", "hello world");
    const payload = (await single.call("DUMP", "k")) as Buffer;
    const c = new Crc64();
    c.update(payload, 0, payload.length - 8);
    expect(c.matches(payload, payload.length - 8)).toBe(true);
    const script = Buffer.from("return 1");
    expect(await single.text("SCRIPT", "LOAD", script)).toBe(sha1Hex(script));
    expect(sha1Bytes(Buffer.from("xreturn 1x"), 1, 9).toString("hex")).toBe(sha1Hex(script));
  } finally {
    await redis.stop();
    await single.stop();
  }
});

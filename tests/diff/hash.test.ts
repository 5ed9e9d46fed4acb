/**
 * Hash commands: the original and ours, reply by reply, in RESP2 and RESP3: every command with its errors in their order, then thousands of
 * random commands across the thresholds. Replies without an order of their own are compared sorted.
 */
import { describe, expect, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";

const BYTES = Buffer.from([0, 255, 13, 10, 128]);

describe.skipIf(!hasRedis).each([2, 3] as const)("RESP%d", (resp) => {
  test("every command on hashes small and large, absent keys and wrong types", async () => {
    await using both = await Both.start(resp);
    await both.do("SET", "string", "x");
    for (const words of [
      "HSET string f v",
      "HSETNX string f v",
      "HMSET string f v",
      "HGET string f",
      "HMGET string f",
      "HDEL string f",
      "HLEN string",
      "HSTRLEN string f",
      "HEXISTS string f",
      "HGETALL string",
      "HKEYS string",
      "HVALS string",
      "HINCRBY string f 1",
      "HINCRBY string f x",
      "HINCRBYFLOAT string f 1",
      "HINCRBYFLOAT string f x",
      "HSCAN string 0",
      "HSCAN string x",
      "HSCAN string 0 BAD",
      "HRANDFIELD string",
      "HRANDFIELD string 1",
      "HRANDFIELD string x",
      "HRANDFIELD string 1 x",
      "HGET none f",
      "HMGET none f g",
      "HDEL none f",
      "HLEN none",
      "HSTRLEN none f",
      "HEXISTS none f",
      "HGETALL none",
      "HKEYS none",
      "HVALS none",
      "HSCAN none 0",
      "HSCAN none 5 COUNT x",
      "HSCAN none x",
      "HRANDFIELD none",
      "HRANDFIELD none 3",
      "HRANDFIELD none -3 WITHVALUES",
      "HRANDFIELD none 0",
      "HSET none f",
      "HSET none f v g",
      "HMSET none f v g",
      "EXISTS none",
    ])
      await both.do(...words.split(" "));
    for (const key of ["small", "large"]) {
      await both.do("HSET", key, "f1", "v1", "f2", "2", "f1", "again", "", "empty field");
      if (key === "large") {
        const many: string[] = [];
        for (let i = 0; i < 500; i++) many.push(`field:${i}`, String(i * 7919));
        await both.do("HSET", key, ...many);
        await both.do("HSET", key, "f".repeat(100), "v".repeat(3000), BYTES, BYTES);
      }
      await both.do("OBJECT", "ENCODING", key);
      for (const words of [
        "HGET K f1",
        "HGET K f2",
        "HGET K nothing",
        "HMGET K f1 nothing f2 f1",
        "HLEN K",
        "HSTRLEN K f1",
        "HSTRLEN K f2",
        "HSTRLEN K nothing",
        "HEXISTS K f1",
        "HEXISTS K nothing",
        "HSETNX K f1 no",
        "HSETNX K new yes",
        "HSET K new 1 newer 2",
        "HMSET K new 1 newest 3",
        "HINCRBY K counter 5",
        "HINCRBY K counter -7",
        "HINCRBY K f1 1",
        "HINCRBY K counter 1.5",
        "HINCRBYFLOAT K float 1.25",
        "HINCRBYFLOAT K float -3e2",
        "HINCRBYFLOAT K f1 1",
        "HINCRBYFLOAT K float abc",
        "HINCRBYFLOAT K float inf",
        "HINCRBYFLOAT K float -inf",
        "HINCRBYFLOAT K float nan",
        "HRANDFIELD K 0",
        "HRANDFIELD K 0 WITHVALUES",
        "HRANDFIELD K 5 values",
        "HRANDFIELD K 5 WITHVALUES more",
        "HRANDFIELD K -9223372036854770000 WITHVALUES",
        "HRANDFIELD K -9223372036854775808 WITHVALUES",
        "HRANDFIELD K -9223372036854775808",
        "HRANDFIELD K 9223372036854775808",
        "HRANDFIELD K 9223372036854775807 WITHVALUES",
        "HSCAN K 0 COUNT 0",
        "HSCAN K 0 COUNT -1",
        "HSCAN K 0 COUNT x",
        "HSCAN K 0 COUNT",
        "HSCAN K 0 MATCH",
        "HSCAN K 0 TYPE hash",
        "HSCAN K 0 NOVALUES",
        "HSCAN K 1x",
        "HSCAN K 99999999999999999999",
        "HDEL K new newer newest nothing new",
        "HDEL K nothing",
      ])
        await both.do(...words.split(" ").map((w) => (w === "K" ? key : w)));
      for (const words of [
        "HGETALL K",
        "HKEYS K",
        "HVALS K",
        "HRANDFIELD K 10000",
        "HRANDFIELD K 10000 WITHVALUES",
        "HRANDFIELD K 9223372036854775807",
      ])
        await both.sorted(...words.split(" ").map((w) => (w === "K" ? key : w)));
      for (const words of [
        "HRANDFIELD K",
        "HRANDFIELD K 1",
        "HRANDFIELD K 2 WITHVALUES",
        "HRANDFIELD K -20",
        "HRANDFIELD K -20 WITHVALUES",
        "HRANDFIELD K 1 withValues",
      ])
        await both.kind(...words.split(" ").map((w) => (w === "K" ? key : w)));
      expect(await scanned(both, key)).toEqual(await keysOf(both, key));
    }
    await both.do("HSCAN", "small", 0);
    await both.do("HSCAN", "small", "", "MATCH", "f*", "COUNT", 1);
    await both.do("HSCAN", "small", "-1", "MATCH", "[^f]*");
    await both.do("HSCAN", "small", 0, "MATCH", "nothing");
  });

  test("sums: 64 bits exactly, floats as long doubles", async () => {
    await using both = await Both.start(resp);
    const integers = [
      "0",
      "1",
      "-1",
      "9007199254740991",
      "9007199254740993",
      "-9007199254740993",
      "9223372036854775807",
      "-9223372036854775808",
      "4611686018427387904",
      "-4611686018427387905",
    ];
    for (const a of [...integers, "", " 1", "1 ", "007", "1e3", "9223372036854775808"])
      for (const b of integers) {
        await both.do("HSET", "h", "f", a);
        await both.do("HINCRBY", "h", "f", b);
        await both.do("HGET", "h", "f");
      }
    for (const b of ["", "x", "1.0", "+1", "9223372036854775808", "99999999999999999999"]) await both.do("HINCRBY", "h", "f", b);
    await both.do("HINCRBY", "fresh", "f", "9223372036854775807");
    await both.do("HINCRBY", "fresh", "f", "1");
    await both.do("OBJECT", "ENCODING", "fresh");
    for (const a of ["0", "3.0", "1e300", "-0.1", "17179869184", "0.00000000000000001", "1e4931", "", " 1", "abc", "inf"])
      for (const b of ["0.1", "-3", "5e-324", "1e4931", "123456789.123456789", "0x10"]) {
        await both.do("HSET", "h", "f", a);
        await both.do("HINCRBYFLOAT", "h", "f", b);
        await both.do("HGET", "h", "f");
      }
    await both.do("HINCRBYFLOAT", "other", "f", "1.5");
    await both.do("HINCRBYFLOAT", "other", "f", "9".repeat(70));
    await both.do("OBJECT", "ENCODING", "other");
  });

  test("random commands around the thresholds", async () => {
    await using both = await Both.start(resp);
    await both.do("CONFIG", "SET", "hash-max-listpack-entries", 8);
    await both.do("CONFIG", "SET", "hash-max-listpack-value", 20);
    const next = random(12345 + resp);
    const field = () => (next(8) === 0 ? `long field number ${next(30)}` : next(4) === 0 ? String(next(20) - 10) : `f${next(12)}`);
    const value = () => (next(10) === 0 ? "v".repeat(next(60)) : String(next(100000) - 50000));
    for (let i = 0; i < 3000; i++) {
      const key = `h${next(4)}`;
      const kind = next(20);
      if (kind < 6) await both.do("HSET", key, ...Array.from({ length: 1 + next(3) }, () => [field(), value()]).flat());
      else if (kind < 8) await both.do("HSETNX", key, field(), value());
      else if (kind < 12) await both.do("HDEL", key, ...Array.from({ length: 1 + next(4) }, field));
      else if (kind === 12) await both.do("HINCRBY", key, field(), next(1000) - 500);
      else if (kind === 13) await both.do("HINCRBYFLOAT", key, field(), (next(1000) - 500) / 8);
      else if (kind === 14) await both.do("HMGET", key, field(), field());
      else if (kind === 15) await both.sorted("HGETALL", key);
      else if (kind === 16) await both.sorted("HVALS", key);
      else if (kind === 17) await both.do("OBJECT", "ENCODING", key);
      else if (kind === 18) await both.kind("HRANDFIELD", key, next(7) - 3, "WITHVALUES");
      else if (next(6) === 0) await both.do("DEL", key);
      else await both.do("HSTRLEN", key, field());
    }
    for (let k = 0; k < 4; k++) await both.sorted("HGETALL", `h${k}`);
  });
});

/** All fields that a whole HSCAN of ours reports, sorted. */
async function scanned(both: Both, key: string): Promise<string[]> {
  const fields = new Set<string>();
  let cursor = "0";
  do {
    const reply = await both.wires[1].do("HSCAN", key, cursor, "COUNT", 7);
    const [, next, list] = /^\["(\d+)", \[(.*)\]\]$/s.exec(reply)!;
    cursor = next;
    (JSON.parse(`[${list}]`) as string[]).forEach((text, i) => i % 2 === 0 && fields.add(text));
  } while (cursor !== "0");
  return [...fields].sort();
}

async function keysOf(both: Both, key: string): Promise<string[]> {
  return (JSON.parse(await both.sorted("HKEYS", key)) as string[]).sort();
}

/** A repeatable source of whole numbers in [0, n). */
function random(seed: number): (n: number) => number {
  let x = seed;
  return (n) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.floor((x / 4294967296) * n);
  };
}

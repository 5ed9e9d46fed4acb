/**
 * DUMP, RESTORE and RDB files: the original reads what we write and the other way round, and both answer bad payloads alike.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Both } from "../support/both.ts";
import { hasRedis, startServer, tempDir, type Kind } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

// The machine may be busy.
setDefaultTimeout(60000);

type Words = (string | number | Buffer)[];
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const long = "long element ".repeat(10);

/** One key of each form that a value can have. */
const VALUES: Record<string, Words[]> = {
  integer: [["SET", "k", "1234567"]],
  "negative integer": [["SET", "k", "-129"]],
  "64 bit integer": [["SET", "k", "-9223372036854775808"]],
  "number-like text": [["SET", "k", "0123"]],
  "short string": [["SET", "k", Buffer.from([0, 255, 13, 10, 128])]],
  "empty string": [["SET", "k", ""]],
  "compressible string": [["SET", "k", "abcabcabc".repeat(1000)]],
  "long string": [["SET", "k", Buffer.from(range(70000).map((i) => (i * 7919) >> 3))]],
  "small list": [["RPUSH", "k", "a", 1, -70000, "", long]],
  "list of nodes": range(40).map((i) => ["RPUSH", "k", ...range(60).map((j) => `${long} ${i} ${j}`)]),
  "list with plain nodes": [["RPUSH", "k", "a", "x".repeat(20000), "b", Buffer.from(range(9000).map((i) => (i * 31) >> 2)), 5]],
  "small hash": [["HSET", "k", "f", "v", 1, 2, "empty", "", "big", 12345678901]],
  "big hash": [["HSET", "k", ...range(300).flatMap((i) => [`field ${i}`, i * 1e9])]],
  "hash with a long value": [["HSET", "k", "f", long]],
  "set of integers": [["SADD", "k", 1, -5, 70000, "9000000000"]],
  "small set": [["SADD", "k", "a", "b", 3]],
  "big set": [["SADD", "k", ...range(300).map((i) => `member ${i}`)]],
  "big set of integers": [["SADD", "k", ...range(700).map((i) => i * i)]],
  "small sorted set": [["ZADD", "k", 1, "a", "-1.5", "b", "inf", "c", "-inf", 4, 3, "d", "1e300", "e"]],
  stream: [
    ...range(250).map((i) => ["XADD", "k", `${i + 1}-${i % 3}`, "name", `value ${i}`, i % 5 === 0 ? "other" : "size", i * 1e6]),
    ["XDEL", "k", "7-0", "8-1"],
  ],
  "stream with groups": [
    ...range(40).map((i) => ["XADD", "k", `${i + 1}-1`, "name", `value ${i}`]),
    ["XGROUP", "CREATE", "k", "g", 0],
    ["XREADGROUP", "GROUP", "g", "alice", "COUNT", 9, "STREAMS", "k", ">"],
    ["XREADGROUP", "GROUP", "g", "bob", "COUNT", 5, "STREAMS", "k", ">"],
    ["XGROUP", "CREATE", "k", "empty", "$"],
  ],
  "big sorted set": [["ZADD", "k", ...range(300).flatMap((i) => [String(i / 7), `member ${i}`])]],
};
/** What walks and changes every part of a stream, whatever is left of it. */
const STREAM_USE: Words[] = [
  ["XINFO", "STREAM", "k", "FULL", "COUNT", 0],
  ["XREVRANGE", "k", "+", "-"],
  ["XAUTOCLAIM", "k", "g", "carl", 0, 0],
  ["XREADGROUP", "GROUP", "g", "bob", "STREAMS", "k", ">"],
  ["XDEL", "k", "5-1", "12-1", "39-1"],
  ["XADD", "k", "*", "name", "late"],
  ["XTRIM", "k", "MINID", "20-0"],
  ["XGROUP", "DELCONSUMER", "k", "g", "bob"],
  ["XTRIM", "k", "MAXLEN", 3],
  ["DUMP", "k"],
];
const other: Record<Kind, Kind> = { redis: "redisha", redisha: "redis" };
const bytesOf = (reply: string): Buffer => Buffer.from(JSON.parse(reply) as string, "latin1");

const READ: Record<string, Words> = {
  "+string": ["GET", "k"],
  "+list": ["LRANGE", "k", 0, -1],
  "+set": ["SMEMBERS", "k"],
  "+hash": ["HGETALL", "k"],
  "+stream": ["XRANGE", "k", "-", "+"],
  "+zset": ["ZRANGE", "k", 0, -1, "WITHSCORES"],
};
/** Type and content of k, where order is free sorted. */
async function content(w: Wire): Promise<string> {
  const type = await w.do("TYPE", "k");
  const reply = await w.do(...READ[type]);
  if (type === "+string" || type === "+list" || type === "+stream") return `${type} ${reply}`;
  const words = JSON.parse(reply) as string[];
  // 7.0 writes scores with 17 digits, 7.2 with as many as it takes.
  if (type === "+zset") return words.map((word, i) => (i % 2 === 0 ? word : Number(word.replace("inf", "Infinity")))).join(" ");
  const items = type === "+set" ? words : words.flatMap((f, i) => (i % 2 === 0 ? [`${f} = ${words[i + 1]}`] : []));
  return `${type} ${JSON.stringify(items.sort())}`;
}

describe.skipIf(!hasRedis)("DUMP and RESTORE", () => {
  test("each takes what the other gives, every form", async () => {
    await using both = await Both.start(2);
    for (const [name, commands] of Object.entries(VALUES)) {
      const wires: Record<Kind, Wire> = { redis: both.wires[0], redisha: both.wires[1] };
      for (const from of ["redis", "redisha"] as const) {
        for (const w of both.wires) await w.do("FLUSHALL");
        for (const words of commands) await wires[from].do(...words);
        const payload = bytesOf(await wires[from].do("DUMP", "k"));
        expect(payload.readUInt16LE(payload.length - 10), name).toBe(10);
        expect(await wires[other[from]].do("RESTORE", "k", 0, payload), `${name} from ${from}`).toBe("+OK");
        expect(await content(wires[other[from]]), `${name} from ${from}`).toBe(await content(wires[from]));
        const [a, b] = await Promise.all(both.wires.map((w) => w.do("OBJECT", "ENCODING", "k")));
        // 7.2 packs small sets and lists where 7.0 does not.
        if (!/set$|list/.test(name)) expect(b, name).toBe(a);
      }
    }
  });

  test("options and errors", async () => {
    await using both = await Both.start(2);
    await both.do("SET", "a", "value");
    const payload = bytesOf(await both.do("DUMP", "a"));
    expect(await both.do("DUMP", "none")).toBe("nil");
    await both.error("BUSYKEY", "RESTORE", "a", 0, payload);
    await both.do("RESTORE", "a", 0, payload, "replace");
    for (const options of [
      [0, payload, "x"],
      [0, payload, "IDLETIME"],
      [0, payload, "FREQ"],
      [0, payload, "IDLETIME", -1],
      [0, payload, "IDLETIME", "x"],
      [0, payload, "FREQ", 256],
      [0, payload, "FREQ", -1],
      [0, payload, "FREQ", 5, "IDLETIME", 5],
      [0, payload, "IDLETIME", 5, "FREQ", 5],
      [-1, payload],
      ["x", payload],
      ["99999999999999999999", payload],
      [0, ""],
      [0, "..."],
      [0, payload.subarray(1)],
      [0, Buffer.concat([payload, Buffer.from("x")])],
      [0, payload, "ABSTTL", "REPLACE", "IDLETIME", 7],
      [4102444800000, payload, "ABSTTL", "REPLACE"],
      [1000, payload, "ABSTTL", "REPLACE"],
      [100000, payload],
      [0, payload],
    ] as Words[]) {
      await both.do("RESTORE", "k", ...options);
      await both.do("PEXPIRETIME", "k").catch(() => both.kind("PEXPIRETIME", "k"));
      await both.do("EXISTS", "k");
      await both.do("DEL", "k");
    }
    await both.error("wrong number", "RESTORE", "k", 0);
    await both.do("RESTORE-ASKING", "k", 0, payload);
    await both.do("GET", "k");
  });

  test("every changed or missing byte with a checksum that fits is an error or a value, and the server lives", async () => {
    await using ours = await startServer("redisha", {});
    const w = await Wire.connect(ours.port);
    const { Crc64 } = await import("../../lib/bytes/crc64.ts");
    let random = 12345;
    const next = (n: number): number => (random = (random * 1103515245 + 12345) & 0x7fffffff) % n;
    for (const commands of Object.values(VALUES)) {
      await w.do("DEL", "k");
      for (const words of commands) await w.do(...words);
      const payload = bytesOf(await w.do("DUMP", "k"));
      const body = payload.subarray(0, payload.length - 10);
      for (let i = 0; i < 60; i++) {
        const cut = i % 3 === 0 ? next(body.length) : body.length;
        const broken = Buffer.concat([body.subarray(0, cut), Buffer.from([10, 0]), Buffer.alloc(8)]);
        // The beginning, where lengths and types are, more often than the rest.
        for (let k = 0; k <= next(3); k++) if (cut > 0) broken[next(Math.min(cut, i % 2 === 0 ? 40 : cut))] = next(256);
        const crc = new Crc64();
        crc.update(broken, 0, broken.length - 8);
        crc.write(broken, broken.length - 8);
        const reply = await w.do("RESTORE", "k", 0, broken, "REPLACE");
        expect(["+OK", "-ERR Bad data format"]).toContain(reply);
        if (reply === "+OK") {
          const type = await w.do("TYPE", "k");
          await w.do(...READ[type]);
          await w.do("DUMP", "k");
          if (type === "+stream") for (const words of STREAM_USE) await w.do(...words);
        }
      }
    }
    expect(await w.do("PING")).toBe("+PONG");
    w.close();
  });
});

describe.skipIf(!hasRedis)("RDB files", () => {
  test.each(["redis", "redisha"] as const)("what %s saves the other loads, every form, databases and expiries", async (from) => {
    const dirs = { redis: tempDir(), redisha: tempDir() };
    await using writer = await startServer(from, {}, { dir: dirs[from] });
    const w = await Wire.connect(writer.port);
    const expected = new Map<string, string>();
    for (const [name, commands] of Object.entries(VALUES)) {
      for (const words of commands) await w.do(...words);
      expected.set(name, await content(w));
      await w.do("RENAME", "k", name);
    }
    await w.do("SELECT", 9);
    await w.do("SET", "expires", "1", "PXAT", 4102444800123);
    await w.do("SET", "short", "1", "PX", 1);
    expect(await w.do("SAVE")).toBe("+OK");
    const file = join(dirs[from], "dump.rdb");
    const check = Bun.spawnSync(["/usr/bin/redis-check-rdb", file]);
    expect(check.stdout.toString()).toContain("\\o/ RDB looks OK! \\o/");
    mkdirSync(dirs[other[from]], { recursive: true });
    copyFileSync(file, join(dirs[other[from]], "dump.rdb"));
    await using reader = await startServer(other[from], {}, { dir: dirs[other[from]] });
    const r = await Wire.connect(reader.port);
    expect(await r.do("DBSIZE")).toBe(`(${expected.size})`);
    for (const [name, text] of expected) {
      await r.do("RENAME", name, "k");
      expect(await content(r), name).toBe(text);
      await r.do("DEL", "k");
    }
    await r.do("SELECT", 9);
    expect(await r.do("KEYS", "*")).toBe('["expires"]');
    expect(await r.do("PEXPIRETIME", "expires")).toBe("(4102444800123)");
    expect(existsSync(file)).toBe(true);
    w.close();
    r.close();
  });
});

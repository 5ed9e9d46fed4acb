/** HyperLogLogs: the original and ours, reply by reply and byte by byte, because the string itself travels in RDB files and DUMP payloads. */
import { describe, expect, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";
import { random } from "../support/random.ts";

describe.skipIf(!hasRedis)("HyperLogLog", () => {
  test("mistakes, absent keys, wrong types, broken values", async () => {
    await using both = await Both.start();
    await both.do("RPUSH", "l", "x");
    await both.do("SET", "s", "hello");
    await both.do("SET", "n", "12345678901234567");
    await both.do("SET", "short", "HYLL");
    await both.do("SET", "badmagic", Buffer.concat([Buffer.from("HYLX"), Buffer.alloc(14)]));
    await both.do("SET", "badencoding", Buffer.concat([Buffer.from("HYLL\x02"), Buffer.alloc(13)]));
    await both.do("SET", "baddense", Buffer.concat([Buffer.from("HYLL\0"), Buffer.alloc(13)]));
    // Sparse headers with runs that do not make up all registers; the cardinality is marked as not valid.
    const sparse = (...runs: number[]) => Buffer.concat([Buffer.from("HYLL\x01"), Buffer.alloc(10), Buffer.from([128]), Buffer.from(runs)]);
    await both.do("SET", "noruns", sparse());
    await both.do("SET", "few", sparse(0x05));
    await both.do("SET", "many", sparse(0x7f, 0xff, 0x05));
    await both.do("SET", "manyvalues", sparse(0x7f, 0xff, 0x83));
    for (const key of ["l", "s", "n", "short", "badmagic", "badencoding", "baddense", "noruns", "few", "many", "manyvalues"])
      for (const words of [
        "PFADD K",
        "PFADD K a b c",
        "PFCOUNT K",
        "PFCOUNT K K",
        "PFMERGE to K",
        "PFMERGE K",
        "PFDEBUG ENCODING K",
        "PFDEBUG TODENSE K",
      ])
        await both.do(...words.split(" ").map((w) => (w === "K" ? key : w)));
    for (const words of [
      "PFADD new",
      "PFADD new",
      "PFCOUNT new",
      "PFCOUNT none",
      "PFCOUNT none none2",
      "PFMERGE merged",
      "PFMERGE merged none",
      "GET merged",
      "PFDEBUG DECODE none",
      "PFDEBUG BAD new",
      "PFDEBUG DECODE new new",
      "PFDEBUG decode new",
      "PFDEBUG ENCODING new",
      "PFDEBUG TODENSE new",
      "PFDEBUG TODENSE new",
      "PFDEBUG DECODE new",
      "PFSELFTEST x",
    ])
      await both.do(...words.split(" "));
  });

  test("equal bytes after every change, sparse and dense", async () => {
    await using both = await Both.start();
    const next = random(5);
    const element = () => Array.from({ length: next(30) }, () => String.fromCharCode(next(256))).join("");
    for (let i = 0; i < 150; i++) {
      await both.do("PFADD", "sparse", ...Array.from({ length: next(12) }, () => Buffer.from(element(), "latin1")));
      await both.do("GET", "sparse");
      if (i % 10 === 0) await both.do("PFCOUNT", "sparse");
    }
    await both.do("PFDEBUG", "DECODE", "sparse");
    for (let i = 0; i < 40; i++) {
      await both.do("PFADD", "grows", ...Array.from({ length: 200 }, (_, n) => `element:${i}:${n}`));
      await both.do("PFDEBUG", "ENCODING", "grows");
      await both.do("PFCOUNT", "grows");
      await both.do("GET", "grows");
    }
    expect(await both.do("PFDEBUG", "ENCODING", "grows")).toBe("+dense");
    await both.do("PFCOUNT", "sparse", "grows", "none");
    await both.do("PFMERGE", "merged", "sparse");
    await both.do("GET", "merged");
    await both.do("PFMERGE", "merged", "grows");
    await both.do("GET", "merged");
    await both.do("PFCOUNT", "merged");
    await both.do("PFDEBUG", "GETREG", "sparse");
    await both.do("GET", "sparse");
    expect(await both.wires[1].do("PFSELFTEST")).toBe("+OK");
  });

  test("hll-sparse-max-bytes decides when the dense form comes", async () => {
    await using both = await Both.start(2, { "hll-sparse-max-bytes": 60 });
    for (let i = 0; i < 40; i++) {
      await both.do("PFADD", "k", `e${i}`);
      await both.do("PFDEBUG", "ENCODING", "k");
      await both.do("GET", "k");
    }
    await both.do("PFMERGE", "m", "k");
    await both.do("GET", "m");
  });
});

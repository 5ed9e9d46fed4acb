/**
 * Set commands: the original and ours, reply by reply, in RESP2 and RESP3. Redis 7.0 knows no listpack sets, so small sets of text reply in
 * another order there: all members are compared sorted, and the encoding where 7.2 differs is named.
 */
import { describe, expect, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";

describe.skipIf(!hasRedis).each([2, 3] as const)("RESP%d", (resp) => {
  test("every command on all encodings, absent keys and wrong types", async () => {
    await using both = await Both.start(resp);
    await both.do("SET", "string", "x");
    await both.do("SADD", "one", "1");
    for (const words of [
      "SADD string a",
      "SREM string a",
      "SMOVE string one a",
      "SMOVE one string 1",
      "SMOVE none string 1",
      "SMOVE string none 1",
      "SISMEMBER string a",
      "SMISMEMBER string a",
      "SCARD string",
      "SMEMBERS string",
      "SSCAN string 0",
      "SSCAN string x",
      "SPOP string",
      "SPOP string 1",
      "SPOP string x",
      "SPOP string -1",
      "SPOP string 1 1",
      "SRANDMEMBER string",
      "SRANDMEMBER string 1",
      "SRANDMEMBER string x",
      "SRANDMEMBER string 1 1",
      "SINTER string",
      "SINTER none string",
      "SINTER one string none",
      "SINTERCARD 1 string",
      "SINTERCARD 2 none string",
      "SINTERSTORE to none string",
      "SUNION none string",
      "SUNIONSTORE to one string",
      "SDIFF string",
      "SDIFF none string",
      "SDIFFSTORE to none string",
      "SREM none a",
      "SMOVE none one a",
      "SMOVE one one 1",
      "SMOVE one one 2",
      "SMOVE one none 2",
      "SISMEMBER none a",
      "SMISMEMBER none a b",
      "SCARD none",
      "SMEMBERS none",
      "SSCAN none 0",
      "SSCAN none 0 BAD",
      "SPOP none",
      "SPOP none 0",
      "SPOP none 5",
      "SPOP none -5",
      "SPOP none 9223372036854775808",
      "SRANDMEMBER none",
      "SRANDMEMBER none 5",
      "SRANDMEMBER none -5",
      "SRANDMEMBER none -9223372036854775808",
      "SINTER none",
      "SINTER none one",
      "SUNION none",
      "SDIFF none one",
      "SDIFF one none",
      "SDIFF one one",
      "SINTERCARD 0 one",
      "SINTERCARD -1 one",
      "SINTERCARD x one",
      "SINTERCARD 9223372036854775807 one",
      "SINTERCARD 9223372036854775808 one",
      "SINTERCARD 2 one",
      "SINTERCARD 1 one LIMIT",
      "SINTERCARD 1 one LIMIT -1",
      "SINTERCARD 1 one LIMIT x",
      "SINTERCARD 1 one LIMIT 0",
      "SINTERCARD 1 one LIMIT 9223372036854775807",
      "SINTERCARD 1 one limit 1 LIMIT 0",
      "SINTERCARD 1 one one",
      "SINTERCARD 2 one none LIMIT 1",
      "SINTERCARD 2 one one LIMIT 1",
      "EXISTS none to",
    ])
      await both.do(...words.split(" "));
    const ints = Array.from({ length: 20 }, (_, i) => String(i * i * i * 1000003));
    await both.do("SADD", "ints", ...ints, ...ints, "-5", "9223372036854775807");
    await both.do("SADD", "texts", "a", "b", "c", "10", "", "a");
    await both.do("SADD", "many", ...Array.from({ length: 700 }, (_, i) => `member:${i}`));
    await both.do("SADD", "wide", ...Array.from({ length: 600 }, (_, i) => String(i)));
    await both.do("OBJECT", "ENCODING", "ints");
    await both.differs("listpack sets came with 7.2", '"listpack"', "OBJECT", "ENCODING", "texts");
    await both.do("OBJECT", "ENCODING", "many");
    await both.do("OBJECT", "ENCODING", "wide");
    for (const key of ["ints", "texts", "many", "wide"]) {
      for (const words of [
        "SCARD K",
        "SISMEMBER K 10",
        "SISMEMBER K member:5",
        "SMISMEMBER K 1 10 a member:9 1",
        "SADD K new 10 new",
        "SREM K new none new",
        "SPOP K 0",
        "SRANDMEMBER K 0",
        "SRANDMEMBER K -9223372036854775808",
        "SSCAN K 0 COUNT 0",
        "SSCAN K 0 MATCH",
        "SSCAN K 0 TYPE set",
        "SSCAN K 0 MATCH nothing*x COUNT 100000",
      ])
        await both.do(...words.split(" ").map((w) => (w === "K" ? key : w)));
      for (const words of ["SMEMBERS K", "SRANDMEMBER K 100000", "SINTER K", "SINTER K K", "SUNION K", "SDIFF K none"])
        await both.sorted(...words.split(" ").map((w) => (w === "K" ? key : w)));
      for (const words of ["SRANDMEMBER K", "SRANDMEMBER K 1", "SRANDMEMBER K 3", "SRANDMEMBER K -30"])
        await both.kind(...words.split(" ").map((w) => (w === "K" ? key : w)));
      expect(await scanned(both, key)).toEqual((JSON.parse((await both.sorted("SMEMBERS", key)).replace("~", "")) as string[]).sort());
    }
  });

  test("SPOP: as many as asked for, members that were there, an emptied key goes", async () => {
    await using both = await Both.start(resp);
    const sets: Record<string, string[]> = {
      ints: Array.from({ length: 50 }, (_, i) => String(i * 977)),
      texts: Array.from({ length: 50 }, (_, i) => `m${i}`),
      many: Array.from({ length: 400 }, (_, i) => `member:${i}`),
    };
    for (const [key, members] of Object.entries(sets))
      for (const count of [1, 7, members.length - 2, members.length - 1, members.length, members.length + 1]) {
        await both.do("DEL", key);
        await both.do("SADD", key, ...members);
        const reply = await both.kind("SPOP", key, count);
        const popped = JSON.parse(reply.replace("~", "")) as string[];
        expect(new Set(popped).size).toBe(Math.min(count, members.length));
        for (const m of popped) expect(members).toContain(m);
        await both.do("SCARD", key);
        await both.do("EXISTS", key);
        const left = JSON.parse((await both.wires[1].do("SMEMBERS", key)).replace("~", "")) as string[];
        expect([...popped, ...left].sort()).toEqual([...members].sort());
        await both.kind("SPOP", key);
        await both.do("SCARD", key);
      }
    // Redis 7.0 makes the rest a table; 7.2 a listpack, which ours follows.
    await both.do("DEL", "many");
    await both.do("SADD", "many", ...sets["many"]);
    await both.kind("SPOP", "many", 395);
    expect(await both.wires[1].do("OBJECT", "ENCODING", "many")).toBe('"listpack"');
  });

  test("unions, intersections and differences of everything with everything", async () => {
    await using both = await Both.start(resp);
    await both.do("SADD", "ints", ...Array.from({ length: 100 }, (_, i) => String(i * 3)));
    await both.do("SADD", "few", "3", "6", "7");
    await both.do("SADD", "mixed", "3", "word", "9", "other", "");
    await both.do("SADD", "words", "word", "other", "third");
    await both.do("SADD", "large", ...Array.from({ length: 300 }, (_, i) => `m:${i}`), "word", "9", "3");
    await both.do("SADD", "numbers", ...Array.from({ length: 600 }, (_, i) => String(i)));
    const keys = ["ints", "few", "mixed", "words", "large", "numbers", "none"];
    for (const a of keys)
      for (const b of keys)
        for (const c of ["", "few", "large", "none"]) {
          const names = c === "" ? [a, b] : [a, b, c];
          for (const op of ["SINTER", "SUNION", "SDIFF"]) {
            const reply = await both.sorted(op, ...names);
            await both.do("SET", "to", "overwritten");
            await both.do("EXPIRE", "to", 100);
            await both.do(`${op}STORE`, "to", ...names);
            await both.do("EXISTS", "to");
            await both.do("TTL", "to");
            expect(sortedMembers(await both.sorted("SMEMBERS", "to"))).toEqual(sortedMembers(reply));
          }
          await both.do("SINTERCARD", names.length, ...names);
          await both.do("SINTERCARD", names.length, ...names, "LIMIT", 2);
        }
    // The target may be among the sources.
    await both.do("SUNIONSTORE", "words", "words", "few");
    await both.do("SDIFFSTORE", "mixed", "mixed", "mixed");
    await both.do("EXISTS", "mixed");
    await both.do("SINTERSTORE", "large", "large", "numbers");
    await both.sorted("SMEMBERS", "large");
    await both.do("OBJECT", "ENCODING", "large");
    await both.sorted("SMEMBERS", "words");
  });

  test("random commands around the thresholds", async () => {
    await using both = await Both.start(resp);
    await both.do("CONFIG", "SET", "set-max-intset-entries", 6);
    const next = random(777 + resp);
    const member = () => (next(4) === 0 ? `m${next(10)}` : String(next(30) - 10));
    const key = () => `s${next(5)}`;
    for (let i = 0; i < 3000; i++) {
      const kind = next(16);
      if (kind < 5) await both.do("SADD", key(), ...Array.from({ length: 1 + next(3) }, member));
      else if (kind < 8) await both.do("SREM", key(), ...Array.from({ length: 1 + next(3) }, member));
      else if (kind === 8) await both.do("SMOVE", key(), key(), member());
      else if (kind === 9) await both.do("SMISMEMBER", key(), member(), member());
      else if (kind === 10) await both.sorted("SMEMBERS", key());
      else if (kind === 11) await both.sorted(["SINTER", "SUNION", "SDIFF"][next(3)], key(), key(), key());
      else if (kind === 12) await both.do(["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"][next(3)], key(), key(), key());
      else if (kind === 13) await both.kind("SRANDMEMBER", key(), next(9) - 4);
      else if (kind === 14) {
        const rare = next(8);
        if (rare < 2) await both.do("DEL", key());
        else if (rare < 4) await both.sorted("SPOP", key(), 1000);
      } else await both.do("SCARD", key());
    }
    for (let k = 0; k < 5; k++) await both.sorted("SMEMBERS", `s${k}`);
  });
});

function sortedMembers(reply: string): string[] {
  return (JSON.parse(reply.replace("~", "")) as string[]).sort();
}

/** All members that a whole SSCAN of ours reports, sorted. */
async function scanned(both: Both, key: string): Promise<string[]> {
  const members = new Set<string>();
  let cursor = "0";
  do {
    const reply = await both.wires[1].do("SSCAN", key, cursor, "COUNT", 7);
    const [, next, list] = /^\["(\d+)", \[(.*)\]\]$/s.exec(reply)!;
    cursor = next;
    for (const m of JSON.parse(`[${list}]`) as string[]) members.add(m);
  } while (cursor !== "0");
  return [...members].sort();
}

/** A repeatable source of whole numbers in [0, n). */
function random(seed: number): (n: number) => number {
  let x = seed;
  return (n) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.floor((x / 4294967296) * n);
  };
}

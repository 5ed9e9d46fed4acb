/**
 * Set commands: what a reply or the installed Redis 7.0 does not show. Propagation, notifications, memory, the order of replies of Redis 7.2's
 * listpack sets. Replies are compared in tests/diff/set.test.ts.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { setRuns } from "../../../lib/commands/set.ts";
import { usedMemory } from "../../../lib/store/arena.ts";
import { encodingNames, encodingOf } from "../../../lib/store/entry.ts";
import { Local } from "../../support/local.ts";

// The machine may be busy.
setDefaultTimeout(60000);

const members = (n: number, prefix = "member:") => Array.from({ length: n }, (_, i) => `${prefix}${i}`);
const list = (reply: string) => JSON.parse(reply.replace("~", "")) as string[];
function encoding(l: Local, key: string): string {
  const b = Buffer.from(key);
  return encodingNames[encodingOf(l.keyspace.findRaw(b, 0, b.length))];
}

test("changes are counted, told and propagated", () => {
  const l = new Local(setRuns);
  l.do("SADD", "s", "a", "b", "a");
  expect([l.dirty, l.events, l.propagated]).toEqual([2, ["sadd s"], [["SADD", "s", "a", "b", "a"]]]);
  l.do("SADD", "s", "a");
  expect([l.dirty, l.events, l.propagated]).toEqual([0, [], []]);
  l.do("SREM", "s", "none");
  expect([l.dirty, l.events]).toEqual([0, []]);
  l.do("SMOVE", "s", "t", "a");
  expect([l.dirty, l.events]).toEqual([2, ["srem s", "sadd t"]]);
  l.do("SMOVE", "s", "t", "b");
  expect([l.dirty, l.events]).toEqual([2, ["srem s", "del s", "sadd t"]]);
  l.do("SADD", "s", "a");
  l.do("SMOVE", "s", "t", "a");
  expect([l.dirty, l.events]).toEqual([1, ["srem s", "del s"]]);
  l.do("SUNIONSTORE", "u", "t", "none");
  expect([l.dirty, l.events]).toEqual([1, ["sunionstore u"]]);
  l.do("SDIFFSTORE", "u", "t", "t");
  expect([l.dirty, l.events]).toEqual([1, ["del u"]]);
  l.do("SINTERSTORE", "u", "t", "none");
  expect([l.dirty, l.events, l.propagated]).toEqual([0, [], []]);
  l.do("SREM", "t", "a", "b", "c");
  expect([l.dirty, l.events]).toEqual([2, ["srem t", "del t"]]);
  expect(l.keyspace.size).toBe(0);
});

test("SPOP goes on as SREM of what was popped, in thousands, or as DEL", () => {
  const l = new Local(setRuns);
  l.do("SADD", "s", "a", "b");
  const popped = l.do("SPOP", "s");
  expect([l.dirty, l.events, l.propagated]).toEqual([1, ["spop s"], [["SREM", "s", JSON.parse(popped)]]]);
  const last = l.do("SPOP", "s");
  expect([l.dirty, l.events, l.propagated]).toEqual([1, ["spop s", "del s"], [["SREM", "s", JSON.parse(last)]]]);
  l.do("SADD", "s", ...members(3000));
  const many = list(l.do("SPOP", "s", 2500));
  expect([l.dirty, l.events]).toEqual([2500, ["spop s"]]);
  expect(l.propagated.map((p) => p.length - 2)).toEqual([1024, 1024, 452]);
  expect(l.propagated.flatMap((p) => p.slice(2))).toEqual(many);
  expect(l.propagated.every((p) => p[0] === "SREM" && p[1] === "s")).toBe(true);
  l.do("SPOP", "s", 500);
  expect([l.dirty, l.events, l.propagated]).toEqual([500, ["spop s", "del s"], [["DEL", "s"]]]);
  l.do("SADD", "s", "1");
  l.do("SPOP", "s", 0);
  expect([l.dirty, l.events, l.propagated]).toEqual([0, [], []]);
});

test("results take the encoding Redis 7.2 gives them", () => {
  const l = new Local(setRuns);
  l.do("SADD", "ints", "1", "2", "3");
  l.do("SADD", "texts", "1", "2", "word");
  l.do("SADD", "large", ...members(200), "1", "2");
  l.do("SINTERSTORE", "to", "texts", "large");
  expect(encoding(l, "to")).toBe("intset");
  l.do("SINTERSTORE", "to", "ints", "texts");
  expect(encoding(l, "to")).toBe("intset");
  l.do("SUNIONSTORE", "to", "texts", "ints");
  expect(encoding(l, "to")).toBe("listpack");
  l.do("SUNIONSTORE", "to", "texts", "large");
  expect(encoding(l, "to")).toBe("hashtable");
  l.do("SDIFFSTORE", "to", "large", "texts");
  expect(encoding(l, "to")).toBe("hashtable");
  l.do("SPOP", "large", 195);
  expect(encoding(l, "large")).toBe("listpack");
  expect(l.do("SCARD", "large")).toBe("(7)");
  l.do("SADD", "new", ...members(129, ""));
  expect(encoding(l, "new")).toBe("intset");
  l.do("SADD", "new", ...members(129, "x"));
  expect(encoding(l, "new")).toBe("hashtable");
});

test("small sets reply in Redis 7.2's order", () => {
  const l = new Local(setRuns);
  l.do("SADD", "a", "c", "3", "1", "b");
  l.do("SADD", "b", "1", "3", "c", "x", "y");
  expect(list(l.do("SMEMBERS", "a"))).toEqual(["c", "3", "1", "b"]);
  expect(list(l.do("SINTER", "b", "a"))).toEqual(["c", "3", "1"]);
  // The union begins as an intset: integers that come before the first text are sorted.
  expect(list(l.do("SUNION", "a", "b"))).toEqual(["c", "3", "1", "b", "x", "y"]);
  expect(list(l.do("SUNION", "b", "a"))).toEqual(["1", "3", "c", "x", "y", "b"]);
  expect(list(l.do("SDIFF", "b", "a"))).toEqual(["x", "y"]);
});

test("the set stored over its own source, and over a key of another size", () => {
  const l = new Local(setRuns);
  const before = usedMemory();
  l.do("SADD", "s", ...members(1000));
  l.do("SADD", "t", "member:5", "member:7");
  expect(l.do("SINTERSTORE", "s", "s", "t")).toBe("(2)");
  expect(list(l.do("SMEMBERS", "s")).sort()).toEqual(["member:5", "member:7"]);
  expect(l.do("SDIFFSTORE", "s", "s", "t")).toBe("(0)");
  l.do("SREM", "t", "member:5", "member:7");
  expect(l.keyspace.size).toBe(0);
  expect(usedMemory()).toBe(before);
});

test("SPOP and SRANDMEMBER with a count: every member has the same chance, in all encodings, few and most of them", () => {
  const shapes: Record<string, string[]> = { intset: members(60, "1"), listpack: members(60, "m"), hashtable: members(300) };
  for (const [name, all] of Object.entries(shapes))
    for (const command of ["SPOP", "SRANDMEMBER"])
      for (const count of [5, all.length - 10]) {
        const l = new Local(setRuns);
        l.do("SADD", "s", ...all);
        expect(encoding(l, "s")).toBe(name);
        const hits = new Map<string, number>();
        const rounds = 300;
        for (let r = 0; r < rounds; r++) {
          const picks = list(l.do(command, "s", count));
          expect(new Set(picks).size).toBe(count);
          for (const m of picks) hits.set(m, (hits.get(m) ?? 0) + 1);
          if (command === "SPOP") l.do("SADD", "s", ...all);
        }
        const expected = (rounds * count) / all.length;
        const spread = Math.sqrt(expected * (1 - count / all.length));
        for (const m of all) expect(Math.abs((hits.get(m) ?? 0) - expected)).toBeLessThan(6 * spread + 1);
      }
});

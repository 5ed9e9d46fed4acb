/** Hash commands: what a reply does not show. Propagation, notifications, dirty counts, memory. Replies are compared in tests/diff/hash.test.ts. */
import { expect, test } from "bun:test";
import { hashRuns } from "../../../lib/commands/hash.ts";
import { usedMemory } from "../../../lib/store/arena.ts";
import { Local } from "../../support/local.ts";

test("changes are counted, told and propagated", () => {
  const l = new Local(hashRuns);
  l.do("HSET", "h", "a", "1", "b", "2");
  expect([l.dirty, l.events, l.propagated]).toEqual([2, ["hset h"], [["HSET", "h", "a", "1", "b", "2"]]]);
  l.do("HMSET", "h", "a", "1");
  expect([l.dirty, l.events]).toEqual([1, ["hset h"]]);
  l.do("HSETNX", "h", "a", "9");
  expect([l.dirty, l.events, l.propagated]).toEqual([0, [], []]);
  l.do("HSETNX", "h", "c", "9");
  expect([l.dirty, l.events]).toEqual([1, ["hset h"]]);
  l.do("HINCRBY", "h", "a", "5");
  expect([l.dirty, l.events, l.propagated]).toEqual([1, ["hincrby h"], [["HINCRBY", "h", "a", "5"]]]);
  l.do("HINCRBYFLOAT", "h", "a", "0.25");
  expect([l.dirty, l.events, l.propagated]).toEqual([1, ["hincrbyfloat h"], [["HSET", "h", "a", "6.25"]]]);
  l.do("HDEL", "h", "none");
  expect([l.dirty, l.events, l.propagated]).toEqual([0, [], []]);
  l.do("HDEL", "h", "a", "none");
  expect([l.dirty, l.events]).toEqual([1, ["hdel h"]]);
  l.do("HDEL", "h", "b", "c", "none");
  expect([l.dirty, l.events, l.propagated]).toEqual([2, ["hdel h", "del h"], [["HDEL", "h", "b", "c", "none"]]]);
  expect(l.keyspace.size).toBe(0);
});

test("errors leave no key behind and no trace", () => {
  const l = new Local(hashRuns);
  expect(l.do("HSET", "h", "f", "v", "g")).toBe("-ERR wrong number of arguments for 'hset' command");
  expect(l.do("HMSET", "h", "f", "v", "g")).toBe("-ERR wrong number of arguments for 'hmset' command");
  l.do("HINCRBY", "h", "f", "x");
  l.do("HINCRBYFLOAT", "h", "f", "x");
  expect(l.keyspace.size).toBe(0);
  l.do("HSET", "h", "f", "9223372036854775807", "t", "text");
  expect(l.do("HINCRBY", "h", "f", "1")).toBe("-ERR increment or decrement would overflow");
  expect(l.do("HINCRBY", "h", "t", "1")).toBe("-ERR hash value is not an integer");
  expect(l.do("HINCRBYFLOAT", "h", "t", "1")).toBe("-ERR hash value is not a float");
  expect([l.dirty, l.events, l.propagated]).toEqual([0, [], []]);
});

test("keys of all sizes give their memory back", () => {
  const l = new Local(hashRuns);
  l.do("HSET", "warm", "f", "v");
  l.do("HDEL", "warm", "f");
  const before = usedMemory();
  for (let k = 0; k < 30; k++) {
    const key = `key:${k}`;
    for (let i = 0; i < k * 10 + 1; i++) l.do("HSET", key, `field:${i}`, "x".repeat(i % 70), `other:${i}`, i);
    l.do("HSET", key, "huge", Buffer.alloc(k % 10 === 0 ? (1 << 20) + k : k));
  }
  expect(usedMemory()).toBeGreaterThan(before + (1 << 20));
  for (let k = 0; k < 30; k++) {
    const key = `key:${k}`;
    for (let i = 0; i < k * 10 + 1; i++) l.do("HDEL", key, `field:${i}`, `other:${i}`);
    expect(l.do("HDEL", key, "huge")).toBe("(1)");
  }
  expect(l.keyspace.size).toBe(0);
  expect(usedMemory()).toBe(before);
});

test("HRANDFIELD with a count: every field has the same chance, in listpacks and tables, few and most of them", () => {
  for (const size of [60, 300])
    for (const count of [5, size - 10]) {
      const l = new Local(hashRuns);
      for (let i = 0; i < size; i++) l.do("HSET", "h", `f${i}`, i);
      const hits = new Array<number>(size).fill(0);
      const rounds = 400;
      for (let r = 0; r < rounds; r++) {
        const fields = JSON.parse(l.do("HRANDFIELD", "h", count)) as string[];
        expect(new Set(fields).size).toBe(count);
        for (const f of fields) hits[Number(f.slice(1))]++;
      }
      const expected = (rounds * count) / size;
      // The variance of one field's hits is smaller than expected by the share that is not picked; six standard deviations from the mean.
      const spread = Math.sqrt(expected * (1 - count / size));
      for (const h of hits) expect(Math.abs(h - expected)).toBeLessThan(6 * spread + 1);
    }
});

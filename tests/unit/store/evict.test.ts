/** Eviction: who goes first under each policy, candidates that went meanwhile, access words as OBJECT IDLETIME and FREQ read them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { bytesOf } from "../../../lib/bytes/ascii.ts";
import * as access from "../../../lib/store/access.ts";
import { UNIT_MASK, m32, usedMemory } from "../../../lib/store/arena.ts";
import * as entry from "../../../lib/store/entry.ts";
import * as evict from "../../../lib/store/evict.ts";
import { setRandomSeed } from "../../../lib/store/seed.ts";
import * as store from "../../../lib/store/store.ts";
import { setString } from "../../../lib/store/string.ts";
import { clock } from "../../../lib/time/clock.ts";

let memory = 0;
beforeEach(() => {
  memory = usedMemory();
  clock.nowMs = 1_700_000_000_000;
  access.setAccessTime(clock.nowMs);
  access.setLfuPolicy(false, 10, 1);
  setRandomSeed(7);
  evict.clearPool();
  store.openDatabases(2);
});
afterEach(() => {
  access.setLfuPolicy(false, 10, 1);
  store.closeDatabases();
  expect(usedMemory()).toBe(memory);
});

function pass(seconds: number): void {
  clock.nowMs += seconds * 1000;
  access.setAccessTime(clock.nowMs);
}
function set(db: number, key: string): number {
  const b = bytesOf(key);
  return setString(store.databases[db], b, 0, b.length, b, 0, b.length, false);
}
const read = (db: number, key: string) => store.databases[db].lookupRead(bytesOf(key), 0, key.length);
const word2 = (ref: number) => m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2];

/** Evicts n keys and returns their names with the database in front. */
function evictSome(n: number, onlyVolatile: boolean, by: number): string[] {
  const gone: string[] = [];
  for (let i = 0; i < n; i++) {
    const ref = evict.pickVictim(store.databases, onlyVolatile, by, 10);
    if (ref === 0) break;
    gone.push(`${evict.victimDatabase}:${entry.keyBytes(ref, entry.KEY_HEADER).toString("latin1")}`);
    store.databases[evict.victimDatabase].evict(ref);
  }
  return gone;
}
/** Share of the numbers in gone that are below the limit. */
const shareBelow = (gone: string[], limit: number) => gone.filter((k) => Number(k.slice(3)) < limit).length / gone.length;

test("LRU: mostly the keys not used for longest, of both databases", () => {
  for (let i = 0; i < 400; i++) {
    set(i % 2, `k${i}`);
    pass(1);
  }
  for (let i = 0; i < 100; i++) read(i % 2, `k${i}`); // the oldest hundred are young again
  const gone = evictSome(100, false, evict.BY_LRU);
  expect(gone.length).toBe(100);
  expect(new Set(gone).size).toBe(100);
  expect(shareBelow(gone, 100)).toBe(0);
  expect(shareBelow(gone, 250)).toBeGreaterThan(0.8);
  expect(new Set(gone.map((k) => k[0])).size).toBe(2);
});

test("LFU: the seldom used go, and counters fall with time", () => {
  access.setLfuPolicy(true, 10, 1);
  for (let i = 0; i < 200; i++) set(0, `k${i}`);
  for (let round = 0; round < 300; round++) for (let i = 100; i < 200; i++) read(0, `k${i}`);
  const used = access.lfuOf(word2(read(0, "k150")));
  expect(used).toBeGreaterThan(8);
  expect(access.lfuOf(word2(set(1, "new")))).toBeGreaterThanOrEqual(5);
  expect(
    shareBelow(
      evictSome(60, false, evict.BY_LFU).filter((k) => k !== "1:new"),
      100,
    ),
  ).toBe(1);
  pass(180);
  const ref = store.databases[0].peek(bytesOf("k150"), 0, 4);
  expect(access.lfuOf(word2(ref))).toBe(used - 3);
  access.setFrequency(ref, 77);
  expect(access.lfuOf(word2(ref))).toBe(77);
});

test("volatile policies take keys with an expiry alone: the soonest first, or any", () => {
  for (let i = 0; i < 100; i++) {
    set(0, `s${i}`);
    const ref = set(0, `k${i}`);
    store.databases[0].setExpire(ref, clock.nowMs + 1000 + i * 1000);
  }
  const gone = evictSome(30, true, evict.BY_TTL);
  expect(shareBelow(gone, 60)).toBeGreaterThan(0.9);
  expect(evictSome(1000, true, evict.BY_RANDOM).length).toBe(70);
  expect(evictSome(1, true, evict.BY_LRU)).toEqual([]);
  expect(store.databases[0].size).toBe(100);
  expect(evictSome(1000, false, evict.BY_RANDOM).length).toBe(100);
  expect(evictSome(1, false, evict.BY_RANDOM)).toEqual([]);
});

test("a candidate that was deleted, or whose block another key took, is not evicted", () => {
  for (let i = 0; i < 20; i++) {
    set(0, `old${i}`);
    pass(10);
  }
  evictSome(1, false, evict.BY_LRU); // the pool is full of old keys
  store.databases[0].flush(false);
  for (let i = 0; i < 20; i++) set(0, `new${i}`); // in the same blocks
  for (let i = 0; i < 20; i++) expect(evictSome(1, false, evict.BY_LRU)[0]).toMatch(/^0:new/);
  expect(evictSome(1, false, evict.BY_LRU)).toEqual([]);
});

test("idle time: seconds since the last touch, set by hand, across the wrap of 24 bits, and not touched when touching is off", () => {
  const ref = set(0, "k");
  pass(100);
  expect(access.idleSeconds(word2(ref))).toBe(100);
  access.setTouching(false);
  read(0, "k");
  expect(access.idleSeconds(word2(ref))).toBe(100);
  access.setTouching(true);
  read(0, "k");
  expect(access.idleSeconds(word2(ref))).toBe(0);
  access.setIdle(ref, 5000);
  expect(access.idleSeconds(word2(ref))).toBe(5000);
  access.setAccessTime(16777216 * 1000 - 2000);
  read(0, "k");
  access.setAccessTime(16777216 * 1000 + 3000);
  expect(access.idleSeconds(word2(ref))).toBe(5);
});

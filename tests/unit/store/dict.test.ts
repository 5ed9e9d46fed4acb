/** The dict against a Map, SCAN's promise across resizes, the sampler's fairness, and keys chosen to collide in an unkeyed hash. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { alloc, free, usedMemory } from "../../../lib/store/arena.ts";
import { Dict, RefList } from "../../../lib/store/dict.ts";
import * as entry from "../../../lib/store/entry.ts";
import { hashBytes, setRandomSeed } from "../../../lib/store/seed.ts";

const H = entry.ELEMENT_HEADER;
const textOfKey = (ref: number) => entry.keyBytes(ref, H).toString("latin1");

function add(d: Dict, key: string, hash?: number): number {
  const b = Buffer.from(key, "latin1");
  const ref = entry.newElement(b, 0, b.length, 0, 0);
  d.insert(ref, hash ?? hashBytes(b, 0, b.length));
  return ref;
}
function find(d: Dict, key: string): number {
  const b = Buffer.from(key, "latin1");
  return d.find(b, 0, b.length, hashBytes(b, 0, b.length));
}
function remove(d: Dict, key: string): boolean {
  const b = Buffer.from(key, "latin1");
  const h = hashBytes(b, 0, b.length);
  const ref = d.find(b, 0, b.length, h);
  if (ref === 0) return false;
  expect(d.remove(ref, h)).toBe(true);
  free(ref);
  return true;
}
function clear(d: Dict): void {
  d.forEach((ref) => free(ref));
  d.dispose();
}

test("a dict does what a Map does, growing and shrinking, paused or not, and gives all memory back", () => {
  const memory = usedMemory();
  const step = fc.tuple(fc.constantFrom("add", "add", "remove", "burst", "drain", "pause", "resume", "cron", "move"), fc.nat(5000));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const d = new Dict(H);
      const model = new Map<string, number>();
      let pauses = 0;
      const put = (k: string) => {
        if (!model.has(k)) model.set(k, add(d, k));
      };
      const drop = (k: string) => expect(remove(d, k)).toBe(model.delete(k));
      for (const [what, n] of steps) {
        if (what === "add") put(`k${n}`);
        else if (what === "remove") drop(`k${n}`);
        else if (what === "burst") for (let i = 0; i < 300; i++) put(`k${(n + i) % 5000}`);
        else if (what === "drain") for (let i = 0; i < 400; i++) drop(`k${(n + i) % 5000}`);
        else if (what === "cron") d.moveSome(1 + (n % 8));
        else if (what === "pause") {
          d.pauseMoves();
          pauses++;
        } else if (what === "resume" && pauses > 0) {
          d.resumeMoves();
          pauses--;
        } else if (what === "move" && model.size > 0) {
          const k = [...model.keys()][n % model.size];
          const b = Buffer.from(k);
          const old = model.get(k)!;
          const ref = entry.newElement(b, 0, b.length, 0, 20);
          expect(d.replace(old, ref, hashBytes(b, 0, b.length))).toBe(true);
          free(old);
          model.set(k, ref);
        }
        expect(d.count).toBe(model.size);
      }
      for (const [k, ref] of model) expect(find(d, k)).toBe(ref);
      for (let i = 0; i < 50; i++) expect(find(d, `absent${i}`)).toBe(0);
      const seen = new Set<number>();
      d.forEach((ref) => seen.add(ref));
      expect([...seen].sort()).toEqual([...model.values()].sort());
      clear(d);
    }),
    { numRuns: 60 },
  );
  expect(usedMemory()).toBe(memory);
});

test("keys of any bytes and any length, also beyond 64 KiB and with equal beginnings", () => {
  const d = new Dict(H);
  const keys = ["", "\0", "a\0", "a\0b", "\xff\xfe", "x".repeat(63), "x".repeat(64), "x".repeat(65), "y".repeat(65534)];
  for (const n of [65535, 65536, 65537, 200_000]) keys.push("z".repeat(n));
  keys.push("z".repeat(65536) + "a", "z".repeat(65536) + "b");
  const refs = keys.map((k) => (find(d, k) === 0 ? add(d, k) : -1));
  expect(new Set(refs).size).toBe(new Set(keys).size);
  keys.forEach((k, i) => {
    if (refs[i] === -1) return;
    expect(find(d, k)).toBe(refs[i]);
    expect(entry.keyLength(refs[i], H)).toBe(k.length);
    expect(textOfKey(refs[i])).toBe(k);
  });
  clear(d);
});

test("SCAN reports whatever stays from its first to its last call, while the table grows and shrinks", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 3000 }), fc.array(fc.integer({ min: -400, max: 400 }), { maxLength: 60 }), (initial, changes) => {
      const d = new Dict(H);
      for (let i = 0; i < initial; i++) add(d, `stay${i}`);
      for (let i = 0; i < 2000; i++) add(d, `go${i}`);
      let next = 2000;
      let oldest = 0;
      const seen = new Set<string>();
      const list = new RefList();
      let cursor = 0;
      let calls = 0;
      do {
        list.clear();
        cursor = d.scan(cursor, list);
        for (let i = 0; i < list.count; i++) seen.add(textOfKey(list.refs[i]));
        const change = changes.length === 0 ? 0 : changes[calls % changes.length];
        if (calls < 80) {
          for (let i = 0; i < change; i++) add(d, `go${next++}`);
          for (let i = 0; i < -change && oldest < next; i++) remove(d, `go${oldest++}`);
        }
        if (calls % 3 === 0) d.moveSome(4);
        calls++;
        expect(calls).toBeLessThan(20_000);
      } while (cursor !== 0);
      for (let i = 0; i < initial; i++) expect(seen.has(`stay${i}`)).toBe(true);
      clear(d);
    }),
    { numRuns: 25 },
  );
});

test("a SCAN of a table at rest reports each entry once", () => {
  const d = new Dict(H);
  for (let i = 0; i < 5000; i++) add(d, `k${i}`);
  while (d.moveSome(100));
  const list = new RefList();
  let cursor = 0;
  do cursor = d.scan(cursor, list);
  while (cursor !== 0);
  expect(list.count).toBe(5000);
  expect(new Set(list.refs.subarray(0, 5000)).size).toBe(5000);
  clear(d);
});

/** Chi-square of `draws` picks over the dict's entries, divided by the degrees of freedom (1 when fair). */
function unfairness(d: Dict, draws: number): number {
  const hits = new Map<number, number>();
  d.forEach((ref) => hits.set(ref, 0));
  for (let i = 0; i < draws; i++) {
    const ref = d.randomRef();
    hits.set(ref, hits.get(ref)! + 1);
  }
  expect(hits.size).toBe(d.count);
  const expected = draws / d.count;
  let sum = 0;
  for (const n of hits.values()) sum += ((n - expected) * (n - expected)) / expected;
  return sum / (d.count - 1);
}

test("the sampler is fair: over skewed chains, in the middle of a move, after many removals", () => {
  setRandomSeed(42);
  const skewed = new Dict(H);
  for (let i = 0; i < 40; i++) add(skewed, `deep${i}`, 0x12345600 | 0); // one chain of four buckets
  for (let i = 0; i < 50; i++) add(skewed, `flat${i}`);
  expect(unfairness(skewed, 30_000)).toBeLessThan(1.5);
  clear(skewed);

  const growing = new Dict(H);
  let i = 0;
  while (!growing.moving() || growing.count < 300) add(growing, `g${i++}`);
  for (let k = 0; k < 5; k++) growing.moveSome(3);
  expect(growing.moving()).toBe(true);
  expect(unfairness(growing, 60_000)).toBeLessThan(1.35);
  clear(growing);

  const shrinking = new Dict(H);
  for (i = 0; i < 3000; i++) add(shrinking, `s${i}`);
  while (shrinking.moveSome(50));
  for (i = 0; i < 3000 && !shrinking.moving(); i++) remove(shrinking, `s${i}`);
  expect(shrinking.moving()).toBe(true);
  expect(unfairness(shrinking, 60_000)).toBeLessThan(1.35);
  clear(shrinking);

  const lonely = new Dict(H, 200_000);
  lonely.pauseMoves();
  const ref = add(lonely, "one");
  expect(lonely.randomRef()).toBe(ref);
  clear(lonely);
});

test("keys chosen to collide in FNV-1a spread over the buckets", () => {
  // Keys with equal low 12 bits under FNV-1a: in an unkeyed table of 4096 buckets all of them would share one.
  const keys: string[] = [];
  for (let n = 0; keys.length < 200; n++) {
    const k = `key:${n}`;
    let h = 0x811c9dc5 | 0;
    for (let i = 0; i < k.length; i++) h = Math.imul(h ^ k.charCodeAt(i), 0x01000193);
    if ((h & 0xfff) === 0x123) keys.push(k);
  }
  const buckets = new Map<number, number>();
  for (const k of keys) {
    const b = Buffer.from(k);
    const bucket = hashBytes(b, 0, b.length) & 0xfff;
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
  }
  expect(Math.max(...buckets.values())).toBeLessThanOrEqual(6);
});

test("a removal frees overflow buckets for the next chain", () => {
  const d = new Dict(H, 100);
  const before = d.byteSize();
  for (let round = 0; round < 50; round++) {
    const refs: number[] = [];
    for (let i = 0; i < 32; i++) refs.push(add(d, `r${round}:${i}`, 7));
    for (const ref of refs) {
      expect(d.remove(ref, 7)).toBe(true);
      free(ref);
    }
  }
  expect(d.count).toBe(0);
  expect(d.byteSize() - before).toBeLessThanOrEqual(4096);
  clear(d);
  const ref = alloc(16);
  expect(new Dict(H).remove(ref, 1)).toBe(false);
  free(ref);
});

/** The order of big sorted sets against a sorted array: random inserts and removals, ranks, bounds, walking both ways, nothing leaked. */
import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { free, usedBytes } from "../../../lib/store/arena.ts";
import { HAS_SCORE, keyBytes, ELEMENT_HEADER, newElement, setScore } from "../../../lib/store/entry.ts";
import * as btree from "../../../lib/store/btree.ts";

setDefaultTimeout(60000);

interface Item {
  score: number;
  name: string;
  ref: number;
}
function make(score: number, name: string): Item {
  const b = Buffer.from(name, "latin1");
  const ref = newElement(b, 0, b.length, HAS_SCORE, 0);
  setScore(ref, score);
  return { score, name, ref };
}
const order = (a: Item, b: Item): number => a.score - b.score || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

function check(tree: btree.Order, model: Item[]): void {
  expect(tree.verify()).toBe("");
  expect(tree.count).toBe(model.length);
  model.sort(order);
  const names: string[] = [];
  for (tree.seekFirst(); btree.leafAt !== 0; btree.next())
    names.push(keyBytes(btree.refAt(btree.leafAt, btree.indexAt), ELEMENT_HEADER).toString("latin1"));
  expect(names).toEqual(model.map((i) => i.name));
  const back: string[] = [];
  for (tree.seekLast(); btree.leafAt !== 0; btree.previous())
    back.push(keyBytes(btree.refAt(btree.leafAt, btree.indexAt), ELEMENT_HEADER).toString("latin1"));
  expect(back.reverse()).toEqual(names);
}

test("random inserts and removals keep order, ranks and bounds", () => {
  const before = usedBytes();
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6000 }), fc.integer({ min: 1, max: 2000 }), fc.integer(), (size, scores, seed) => {
      let x = seed | 1;
      const random = (n: number): number => {
        x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
        return (x >>> 8) % n;
      };
      const tree = new btree.Order();
      const model: Item[] = [];
      for (let i = 0; i < size; i++) {
        const item = make(random(scores) - scores / 2, `m${i}`);
        expect(tree.insert(item.score, item.ref)).toBe(true);
        model.push(item);
      }
      check(tree, model);
      for (let i = 0; i < 20; i++) {
        const k = random(model.length);
        expect(tree.rankOf(model[k].score, model[k].ref)).toBe(k);
        tree.seekRank(k);
        expect(btree.refAt(btree.leafAt, btree.indexAt)).toBe(model[k].ref);
        const s = random(scores) - scores / 2;
        expect(tree.countBelow(s, false)).toBe(model.filter((m) => m.score < s).length);
        expect(tree.countBelow(s, true)).toBe(model.filter((m) => m.score <= s).length);
      }
      // Down to almost nothing, in random order, then up again.
      const keep = random(50);
      while (model.length > keep) {
        const [gone] = model.splice(random(model.length), 1);
        expect(tree.remove(gone.score, gone.ref)).toBe(true);
        expect(tree.remove(gone.score, gone.ref)).toBe(false);
        free(gone.ref);
        if (random(500) === 0) expect(tree.verify()).toBe("");
      }
      check(tree, model);
      for (let i = 0; i < 500; i++) {
        const item = make(i, `n${i}`);
        tree.insert(item.score, item.ref);
        model.push(item);
      }
      check(tree, model);
      for (const item of model) free(item.ref);
      while (!tree.freeStep(10)) {}
      expect(tree.bytes).toBe(0);
    }),
    { numRuns: 25 },
  );
  expect(usedBytes()).toBe(before);
});

test("members in order fill their leaves", () => {
  const tree = new btree.Order();
  const all: Item[] = [];
  for (let i = 0; i < 20000; i++) {
    all.push(make(i, `k${i}`));
    tree.insert(i, all[i].ref);
  }
  expect(tree.verify()).toBe("");
  expect(tree.bytes / 20000).toBeLessThan(13);
  // A range from the front, as ZREMRANGEBYRANK takes it.
  for (let i = 0; i < 15000; i++) expect(tree.remove(i, all[i].ref)).toBe(true);
  expect(tree.verify()).toBe("");
  expect(tree.rankOf(15000, all[15000].ref)).toBe(0);
  for (const i of all) free(i.ref);
  while (!tree.freeStep(1000)) {}
});

test("equal scores are in the order of the bytes", () => {
  const tree = new btree.Order();
  const model = ["b", "", "a", "ab", "\xff", "aa", "\x00"].map((n) => make(0, n));
  for (const i of model) tree.insert(0, i.ref);
  check(tree, model);
  const b = Buffer.from("ab");
  expect(tree.countBelowMember(b, 0, 2, false)).toBe(4);
  expect(tree.countBelowMember(b, 0, 2, true)).toBe(5);
  for (const i of model) free(i.ref);
  while (!tree.freeStep(1000)) {}
});

/** Sorted sets as values against a plain model: random edits across the thresholds, ranks, bounds, walks, copies; no byte is left behind. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { usedBytes } from "../../../lib/store/arena.ts";
import { SKIPLIST, encodingOf } from "../../../lib/store/entry.ts";
import { freeLoose, loose } from "../../../lib/store/room.ts";
import * as z from "../../../lib/store/zset.ts";

const bytes = (s: string): Buffer => Buffer.from(s, "latin1");
type Model = Map<string, number>;
const sorted = (m: Model): [string, number][] => [...m].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));

function contents(ref: number, reverse = false): [string, number][] {
  const c = new z.ZSetCursor();
  const all: [string, number][] = [];
  for (let more = c.begin(ref, reverse ? z.zsetLength(ref) - 1 : 0, reverse); more; more = c.next())
    all.push([c.b.toString("latin1", c.start, c.end), c.score]);
  return all;
}

test("random edits, small and big", () => {
  const before = usedBytes();
  const member = fc.oneof(
    fc.integer({ min: 0, max: 300 }).map((n) => `m${n}`),
    fc.integer({ min: -50, max: 50 }).map(String),
    fc.string({ maxLength: 80 }),
  );
  const score = fc.oneof(fc.integer({ min: -5, max: 5 }), fc.double({ noNaN: true }), fc.constantFrom(Infinity, -Infinity, -0, 1e15, 0.1));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), member, score), { maxLength: 500 }), (edits) => {
      let ref = z.newLooseZSet();
      const model: Model = new Map();
      for (const [what, name, s] of edits) {
        const b = bytes(name);
        const key = b.toString("latin1");
        if (what < 7) {
          const old = model.get(key);
          ref = z.zsetSet(loose, ref, s, b, 0, b.length);
          expect(z.zsetChanged).toBe(old === undefined ? 1 : old === s ? 0 : 2);
          if (old !== s) model.set(key, s);
        } else {
          ref = z.zsetRemove(loose, ref, b, 0, b.length);
          expect(z.zsetChanged).toBe(model.delete(key) ? 1 : 0);
        }
      }
      const want = sorted(model).map(([n, s]): [string, number] => [n, s + 0]);
      const plain = (l: [string, number][]): [string, number][] => l.map(([n, s]) => [n, s + 0]);
      expect(plain(contents(ref))).toEqual(want);
      expect(plain(contents(ref, true))).toEqual([...want].reverse());
      expect(z.zsetLength(ref)).toBe(want.length);
      for (const [i, [n, s]] of want.entries()) {
        const b = bytes(n);
        expect(z.zsetRank(ref, b, 0, b.length)).toBe(i);
        expect(z.gotScore + 0).toBe(s);
        if (i > 20) break;
      }
      for (const s of [-3, 0, 0.1, Infinity]) {
        expect(z.zsetCountBelow(ref, s, false)).toBe(want.filter(([, x]) => x < s).length);
        expect(z.zsetCountBelow(ref, s, true)).toBe(want.filter(([, x]) => x <= s).length);
      }
      if (encodingOf(ref) === SKIPLIST) {
        const copy = z.bigZSetOf(ref).clone()!;
        expect(copy.count).toBe(want.length);
        while (copy.freeStep(10));
      }
      if (want.length > 4) {
        ref = z.zsetRemoveRange(loose, ref, 1, want.length - 3);
        expect(plain(contents(ref))).toEqual([want[0], ...want.slice(-2)]);
      }
      ref = z.zsetPackIfSmall(ref, 80);
      freeLoose(ref);
    }),
    { numRuns: 200 },
  );
  expect(usedBytes()).toBe(before);
});

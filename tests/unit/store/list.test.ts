/** Lists as values against an array: random edits at both ends and inside, small and big, node sizes, long elements; nothing left behind. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { usedBytes } from "../../../lib/store/arena.ts";
import { QUICKLIST, encodingOf } from "../../../lib/store/entry.ts";
import * as l from "../../../lib/store/list.ts";
import { freeSome } from "../../../lib/store/objects.ts";
import { freeLoose, loose } from "../../../lib/store/room.ts";
import { settings } from "../../../lib/store/settings.ts";

const cursor = new l.ListCursor();
function contents(ref: number, backwards = false): string[] {
  const all: string[] = [];
  for (let more = cursor.begin(ref, backwards ? l.listLength(ref) - 1 : 0, backwards); more; more = cursor.next())
    all.push(cursor.b.toString("latin1", cursor.start, cursor.end));
  return all;
}

test("random edits do what an array does", () => {
  const before = usedBytes();
  const element = fc.oneof(
    fc.integer({ min: -1000, max: 100000 }).map(String),
    fc.string({ maxLength: 60 }).map((s) => Buffer.from(s).toString("latin1")),
    fc.integer({ min: 100, max: 3000 }).map((n) => "x".repeat(n)),
  );
  const edit = fc.tuple(fc.integer({ min: 0, max: 19 }), element, fc.nat(), fc.nat(40));
  fc.assert(
    fc.property(fc.constantFrom(-2, -1, 4, 100), fc.array(edit, { minLength: 1, maxLength: 250 }), (fill, edits) => {
      settings.listMaxListpackSize = fill;
      settings.quicklistPackedThresholdBytes = fill === 100 ? 500 : 0;
      let ref = l.newLooseList();
      const model: string[] = [];
      for (const [what, value, where, n] of edits) {
        const b = Buffer.from(value, "latin1");
        const i = model.length === 0 ? 0 : where % model.length;
        if (what < 8) {
          const tail = what % 2 === 0;
          ref = l.listExpect(loose, ref, b.length, 1);
          ref = l.listPush(loose, ref, b, 0, b.length, tail);
          if (tail) model.push(value);
          else model.unshift(value);
        } else if (what < 10) {
          ref = l.listExpect(loose, ref, b.length, 1);
          ref = l.listInsert(loose, ref, i, b, 0, b.length);
          model.splice(i, 0, value);
        } else if (model.length === 0) continue;
        else if (what < 12) {
          ref = l.listExpect(loose, ref, b.length, 1);
          ref = l.listSet(loose, ref, i, b, 0, b.length);
          model[i] = value;
        } else if (what < 14) {
          const count = Math.min(n, model.length - i);
          ref = l.listRemoveRange(loose, ref, i, count);
          model.splice(i, count);
          ref = l.listSettle(loose, ref);
        } else if (what >= 16) {
          // Elements leave at one end, one by one, often more than a node's.
          const tail = what % 2 === 0;
          for (let k = 0; k <= n && model.length > 0; k++) {
            l.listEnd(ref, tail);
            expect(l.gotB.toString("latin1", l.gotStart, l.gotEnd)).toBe((tail ? model.pop() : model.shift())!);
            ref = l.listRemoveEnd(loose, ref, tail);
          }
        } else {
          const target = model[i];
          const t = Buffer.from(target, "latin1");
          const backwards = what === 15;
          ref = l.listRemoveEqual(loose, ref, t, 0, t.length, 2, backwards);
          let gone = 0;
          for (let k = 0; k < 2; k++) {
            const at = backwards ? model.lastIndexOf(target) : model.indexOf(target);
            if (at < 0) break;
            model.splice(at, 1);
            gone++;
          }
          expect(l.listChanged).toBe(gone);
        }
        expect(l.listLength(ref)).toBe(model.length);
        if (model.length > 0) {
          expect(l.listGet(ref, where % model.length)).toBe(true);
          expect(l.gotB.toString("latin1", l.gotStart, l.gotEnd)).toBe(model[where % model.length]);
        }
      }
      expect(contents(ref)).toEqual(model);
      expect(contents(ref, true)).toEqual([...model].reverse());
      if (encodingOf(ref) === QUICKLIST) {
        const copy = l.quickListOf(ref).clone()!;
        expect(copy.count).toBe(model.length);
        while (copy.freeStep(7));
        expect(copy.byteSize()).toBe(0);
      }
      freeLoose(ref);
    }),
    { numRuns: 200 },
  );
  settings.listMaxListpackSize = -2;
  settings.quicklistPackedThresholdBytes = 0;
  expect(usedBytes()).toBe(before);
});

test("a full node fills its block: elements pushed at either end take no more than their listpack and a part of a node", () => {
  for (const tail of [true, false]) {
    const before = usedBytes();
    let ref = l.newLooseList();
    let bytes = 0;
    for (let i = 0; i < 50000; i++) {
      const b = Buffer.from(`element:${i}`);
      bytes += b.length + 2;
      ref = l.listExpect(loose, ref, b.length, 1);
      ref = l.listPush(loose, ref, b, 0, b.length, tail);
    }
    expect(usedBytes() - before).toBeLessThan(bytes * 1.01 + 8192);
    freeLoose(ref);
    while (freeSome(100000));
    expect(usedBytes()).toBe(before);
  }
});

test("a list that is pushed and popped at both ends stays what an array is", () => {
  const before = usedBytes();
  let ref = l.newLooseList();
  const model: string[] = [];
  for (let i = 0; i < 30000; i++) {
    const b = Buffer.from(`${i}`.repeat(1 + (i % 7)));
    const tail = i % 3 === 0;
    ref = l.listExpect(loose, ref, b.length, 1);
    ref = l.listPush(loose, ref, b, 0, b.length, tail);
    if (tail) model.push(b.toString());
    else model.unshift(b.toString());
    // Waves: it grows to a few nodes and shrinks to less than one.
    for (let k = i % 4000 < 2000 ? 0 : 2; k > 0 && model.length > 0; k--) {
      const end = i % 2 === 0;
      l.listEnd(ref, end);
      expect(l.gotB.toString("latin1", l.gotStart, l.gotEnd)).toBe((end ? model.pop() : model.shift())!);
      ref = l.listRemoveEnd(loose, ref, end);
    }
  }
  expect(contents(ref)).toEqual(model);
  freeLoose(ref);
  while (freeSome(100000));
  expect(usedBytes()).toBe(before);
});

test("a queue of 100,000 that drains leaves no node", () => {
  const before = usedBytes();
  let ref = l.newLooseList();
  for (let i = 0; i < 100000; i++) {
    const b = Buffer.from(`job:${i}`);
    ref = l.listExpect(loose, ref, b.length, 1);
    ref = l.listPush(loose, ref, b, 0, b.length, true);
  }
  expect(encodingOf(ref)).toBe(QUICKLIST);
  for (let i = 0; i < 100000; i++) {
    l.listGet(ref, 0);
    expect(l.gotB.toString("latin1", l.gotStart, l.gotEnd)).toBe(`job:${i}`);
    ref = l.listRemoveRange(loose, ref, 0, 1);
    ref = l.listSettle(loose, ref);
  }
  expect(l.listLength(ref)).toBe(0);
  freeLoose(ref);
  expect(usedBytes()).toBe(before);
});

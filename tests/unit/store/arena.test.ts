/** The arena: blocks never overlap, the books balance, pages and memory come back, huge values grow. */
import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import * as arena from "../../../lib/store/arena.ts";

afterEach(() => arena.setReleaseHook(null));

/** Fills a block with a byte pattern of its ref; check() says whether it is still whole. */
function paint(ref: number, bytes: number): void {
  const from = (ref & arena.UNIT_MASK) << 3;
  arena.m8[ref >>> 23].fill((ref ^ (ref >>> 8)) & 0xff, from, from + bytes);
}
function whole(ref: number, bytes: number): boolean {
  const b = arena.m8[ref >>> 23];
  const from = (ref & arena.UNIT_MASK) << 3;
  const byte = (ref ^ (ref >>> 8)) & 0xff;
  for (let i = from; i < from + bytes; i++) if (b[i] !== byte) return false;
  return true;
}

test("random alloc, free, realloc: blocks keep their bytes, never overlap, and every byte is counted", () => {
  const size = fc.oneof(
    fc.integer({ min: 1, max: 600 }),
    fc.integer({ min: 1, max: 40000 }),
    fc.constantFrom(512, 513, 4096, 4097, 32760, 32768, 32769, 65536, 65537, 300000, 1 << 20),
  );
  const step = fc.record({ what: fc.constantFrom("alloc", "alloc", "free", "realloc"), size, pick: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const before = arena.usedBytes();
      const live: { ref: number; bytes: number }[] = [];
      for (const s of steps) {
        if (s.what === "alloc" || live.length === 0) {
          const ref = arena.alloc(s.size);
          expect(ref).not.toBe(0);
          expect(arena.usableBytes(ref)).toBe(arena.roundUp(s.size));
          expect(arena.usableBytes(ref)).toBeGreaterThanOrEqual(s.size);
          paint(ref, s.size);
          live.push({ ref, bytes: s.size });
        } else if (s.what === "free") {
          const [gone] = live.splice(s.pick % live.length, 1);
          expect(whole(gone.ref, gone.bytes)).toBe(true);
          arena.free(gone.ref);
        } else {
          const e = live[s.pick % live.length];
          const first = arena.m8[e.ref >>> 23][(e.ref & arena.UNIT_MASK) << 3];
          const stays = arena.fits(e.ref, s.size);
          const ref = arena.realloc(e.ref, s.size, Math.min(e.bytes, s.size));
          expect(ref === e.ref).toBe(stays);
          expect(arena.m8[ref >>> 23][(ref & arena.UNIT_MASK) << 3]).toBe(first);
          e.ref = ref;
          e.bytes = s.size;
          paint(ref, s.size);
        }
      }
      const spans = live.map((e) => [(e.ref >>> 0) * 8, (e.ref >>> 0) * 8 + arena.usableBytes(e.ref)]).sort((a, b) => a[0] - b[0]);
      for (let i = 1; i < spans.length; i++) expect(spans[i][0]).toBeGreaterThanOrEqual(spans[i - 1][1]);
      for (const e of live) expect(whole(e.ref, e.bytes)).toBe(true);
      expect(arena.usedBytes() - before).toBe(live.reduce((n, e) => n + arena.usableBytes(e.ref), 0));
      for (const e of live) arena.free(e.ref);
      expect(arena.usedBytes()).toBe(before);
    }),
    { numRuns: 60 },
  );
});

test("rounding wastes an eighth at most, beyond the smallest sizes", () => {
  for (let bytes = 64; bytes <= 4096; bytes++) expect(arena.roundUp(bytes) - bytes).toBeLessThanOrEqual(Math.max(8, bytes / 8));
  for (let bytes = 1; bytes <= 512; bytes++) expect(arena.roundUp(bytes)).toBe(Math.ceil(bytes / 8) * 8);
});

test("emptied pages serve other sizes, and their memory goes back to the system in slices", () => {
  const given: number[] = [];
  arena.setReleaseHook((memory, offset, length) => {
    expect(memory.byteLength).toBe(arena.SEGMENT_BYTES);
    expect(offset % arena.PAGE_BYTES).toBe(0);
    new Uint8Array(memory, offset, length).fill(0); // what madvise does
    given.push(length);
  });
  while (arena.releaseStep(1 << 30) > 0);
  given.length = 0;
  const start = arena.reservedBytes();
  const refs: number[] = [];
  for (let i = 0; i < 100_000; i++) refs.push(arena.alloc(96));
  const full = arena.reservedBytes();
  expect(full - start).toBeGreaterThan(9_000_000);
  for (const r of refs) arena.free(r);
  expect(arena.reservedBytes()).toBe(full); // free, but still backed
  const other = Array.from({ length: 40_000 }, () => arena.alloc(200));
  expect(arena.reservedBytes()).toBe(full); // the same pages again
  for (const r of other) arena.free(r);
  expect(arena.releaseStep(1 << 20)).toBe(1 << 20);
  expect(arena.reservedBytes()).toBe(full - (1 << 20));
  while (arena.releaseStep(1 << 20, 3 << 20) > 0);
  expect(arena.reservedBytes() - start).toBeGreaterThanOrEqual(3 << 20);
  expect(arena.reservedBytes() - start).toBeLessThanOrEqual((3 << 20) + 2 * arena.PAGE_BYTES);
  while (arena.releaseStep(1 << 20) > 0);
  expect(arena.reservedBytes() - start).toBeLessThanOrEqual(2 * arena.PAGE_BYTES); // one page a size class may stay
  expect(given.reduce((a, b) => a + b, 0)).toBe(full - arena.reservedBytes());
});

test("without a hook whole empty segments are dropped and come back when needed", () => {
  const refs: number[] = [];
  for (let i = 0; i < 160; i++) refs.push(arena.alloc(1 << 20));
  const views = arena.m8.length;
  for (const r of refs) arena.free(r);
  const before = arena.reservedBytes();
  expect(arena.releaseStep(1)).toBeGreaterThanOrEqual(arena.SEGMENT_BYTES);
  expect(arena.reservedBytes()).toBeLessThan(before);
  const again: number[] = [];
  for (let i = 0; i < 160; i++) again.push(arena.alloc(1 << 20));
  expect(again.every((r) => r !== 0)).toBe(true);
  expect(arena.m8.length).toBe(views);
  for (const r of again) {
    paint(r, 4096);
    expect(whole(r, 4096)).toBe(true);
    arena.free(r);
  }
});

test("a full arena answers 0 and works again after a free; blocks beyond a segment are refused", () => {
  expect(arena.alloc(arena.BLOCK_MAX + 1)).toBe(0);
  arena.setMaxSegments(1);
  const refs: number[] = [];
  for (;;) {
    const r = arena.alloc(1 << 20);
    if (r === 0) break;
    refs.push(r);
  }
  expect(refs.length).toBeGreaterThan(0);
  arena.free(refs.pop()!);
  const r = arena.alloc(1 << 20);
  expect(r).not.toBe(0);
  arena.free(r);
  for (const x of refs) arena.free(x);
  arena.setMaxSegments(arena.MAX_SEGMENTS);
});

test("huge values grow in place, keep their bytes, read as zero where nothing was written, and are counted by what they touched", () => {
  const before = arena.hugeUsedBytes();
  const id = arena.hugeAlloc(3 << 20);
  expect(id).toBeGreaterThan(0);
  const first = arena.huge[id]!;
  first.fill(7, 0, 3 << 20);
  expect(arena.hugeUsedBytes() - before).toBe(3 << 20);
  expect(arena.hugeGrow(id, 6 << 20, 3 << 20)).toBe(true);
  expect(arena.huge[id]).toBe(first);
  expect(arena.hugeGrow(id, 40 << 20, 3 << 20)).toBe(true);
  const b = arena.huge[id]!;
  expect(b.length).toBeGreaterThanOrEqual(40 << 20);
  expect(b[(3 << 20) - 1]).toBe(7);
  expect(b[3 << 20]).toBe(0);
  expect(arena.hugeUsedBytes() - before).toBe(40 << 20);
  arena.hugeFree(id);
  expect(arena.hugeUsedBytes()).toBe(before);
  expect(arena.huge[id]).toBe(null);
});

test("the end of the arena is near before it is reached, and far again when blocks go", () => {
  const refs: number[] = [];
  arena.setMaxSegments(1);
  expect(arena.isNearlyFull()).toBe(false);
  arena.setMaxSegments(1, 1);
  arena.setMaxSegments(Math.ceil(arena.reservedBytes() / arena.SEGMENT_BYTES) + 2, 1);
  while (!arena.isNearlyFull()) {
    const r = arena.alloc(1 << 20);
    expect(r).not.toBe(0);
    refs.push(r);
  }
  for (let i = 0; i < 50; i++) {
    const r = arena.alloc(1 << 20);
    expect(r).not.toBe(0);
    refs.push(r);
  }
  for (const r of refs) arena.free(r);
  expect(arena.isNearlyFull()).toBe(false);
  arena.setMaxSegments(arena.MAX_SEGMENTS);
});

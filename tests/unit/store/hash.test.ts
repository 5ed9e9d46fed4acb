/**
 * Hashes as values against a Map: random edits that cross every threshold, in all encodings; encodings as Redis names them; memory comes back.
 */
import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import { usedMemory } from "../../../lib/store/arena.ts";
import { HASHTABLE, LISTPACK, encodingOf } from "../../../lib/store/entry.ts";
import {
  HashCursor,
  bigHashOf,
  gotB,
  gotEnd,
  gotStart,
  hashChanged,
  hashExpect,
  hashGet,
  hashHas,
  hashLength,
  hashRemove,
  hashSet,
  newLooseHash,
} from "../../../lib/store/hash.ts";
import { freeObject } from "../../../lib/store/objects.ts";
import { freeLoose, loose } from "../../../lib/store/room.ts";
import { settings } from "../../../lib/store/settings.ts";

const defaults = { ...settings };
afterEach(() => void Object.assign(settings, defaults));

const latin1 = (text: string) => Buffer.from(text, "latin1");
const cursor = new HashCursor();

function set(ref: number, field: string, value: string): number {
  const f = latin1(`<${field}`); // the offsets are not 0
  const v = latin1(value);
  return hashSet(loose, ref, f, 1, f.length, v, 0, v.length);
}
function remove(ref: number, field: string): number {
  const f = latin1(field);
  return hashRemove(loose, ref, f, 0, f.length);
}
function got(): string {
  return gotB.toString("latin1", gotStart, gotEnd);
}
function get(ref: number, field: string): string | undefined {
  const f = latin1(field);
  const found = hashGet(ref, f, 0, f.length);
  expect(hashHas(ref, f, 0, f.length)).toBe(found);
  return found ? got() : undefined;
}
function all(ref: number): [string, string][] {
  const pairs: [string, string][] = [];
  cursor.begin(ref);
  while (cursor.next()) {
    const field = cursor.b.toString("latin1", cursor.start, cursor.end);
    cursor.value();
    pairs.push([field, got()]);
  }
  return pairs;
}
function same(ref: number, model: Map<string, string>): void {
  expect(hashLength(ref)).toBe(model.size);
  const pairs = all(ref);
  expect(pairs.length).toBe(model.size);
  expect(new Map(pairs)).toEqual(model);
  // A listpack keeps the order of arrival.
  if (encodingOf(ref) === LISTPACK) expect(pairs).toEqual([...model]);
}

const text = fc.oneof(
  fc.integer({ min: 0, max: 30 }).map((n) => `f${n}`),
  fc.constantFrom(
    "",
    "0",
    "-1",
    "007",
    "127",
    "128",
    "-4096",
    "70000",
    "9007199254740993",
    "-9223372036854775808",
    "9223372036854775808",
    " 1",
  ),
  fc.string({ unit: "binary-ascii", maxLength: 20 }),
  fc.integer({ min: 1, max: 90 }).map((n) => "x".repeat(n)),
);
const edit = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("set" as const), field: text, value: text }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), field: text, value: fc.constant("") }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("get" as const), field: text, value: fc.constant("") }) },
);

test("random edits agree with a Map, and all memory comes back", () => {
  fc.assert(
    fc.property(
      fc.array(edit, { maxLength: 120, size: "max" }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 80 }),
      (edits, entries, bytes) => {
        settings.hashMaxListpackEntries = entries;
        settings.hashMaxListpackValue = bytes;
        const before = usedMemory();
        let ref = newLooseHash();
        const model = new Map<string, string>();
        let big = false;
        for (const { kind, field, value } of edits) {
          if (kind === "get") expect(get(ref, field)).toBe(model.get(field));
          else if (kind === "set") {
            ref = set(ref, field, value);
            expect(hashChanged).toBe(model.has(field) ? 0 : 1);
            model.set(field, value);
            big ||= model.size > entries || field.length > bytes || value.length > bytes;
          } else {
            ref = remove(ref, field);
            expect(hashChanged).toBe(model.delete(field) ? 1 : 0);
          }
          expect(encodingOf(ref)).toBe(big ? HASHTABLE : LISTPACK);
        }
        same(ref, model);
        freeLoose(ref);
        expect(usedMemory()).toBe(before);
      },
    ),
    { numRuns: 300 },
  );
});

test("Redis' thresholds: 128 fields, 64 bytes; the 129th field or the 65th byte makes a table", () => {
  const before = usedMemory();
  let ref = newLooseHash();
  for (let i = 0; i < 128; i++) ref = set(ref, `field:${i}`, "v".repeat(64));
  expect(encodingOf(ref)).toBe(LISTPACK);
  ref = set(ref, "field:5", "again");
  expect([encodingOf(ref), hashChanged]).toEqual([LISTPACK, 0]);
  ref = set(ref, "one more", "1");
  expect([encodingOf(ref), hashChanged, hashLength(ref)]).toEqual([HASHTABLE, 1, 129]);
  for (let i = 0; i < 128; i++) ref = remove(ref, `field:${i}`);
  expect([encodingOf(ref), hashLength(ref)]).toEqual([HASHTABLE, 1]);
  freeLoose(ref);

  ref = set(newLooseHash(), "f".repeat(65), "");
  expect(encodingOf(ref)).toBe(HASHTABLE);
  freeLoose(ref);
  ref = set(newLooseHash(), "f", "v".repeat(65));
  expect(encodingOf(ref)).toBe(HASHTABLE);
  freeLoose(ref);
  ref = hashExpect(loose, newLooseHash(), 129);
  expect([encodingOf(ref), hashChanged]).toEqual([HASHTABLE, 0]);
  freeLoose(ref);
  expect(usedMemory()).toBe(before);
});

test("values of every size replace each other, into the huge table and out of it", () => {
  const before = usedMemory();
  let ref = hashExpect(loose, newLooseHash(), 1000);
  const sizes = [0, 1, 100, 5000, 70_000, (1 << 20) + 1, 3 << 20, 1 << 20, 2_500_000, 7];
  for (const size of sizes) {
    for (const field of ["a", "b".repeat(70_000), `new ${size}`]) {
      const value = `${"x".repeat(Math.max(0, size - 1))}${size > 0 ? "!" : ""}`;
      ref = set(ref, field, value);
      expect(hashChanged).toBeGreaterThanOrEqual(0);
      expect(get(ref, field) === value).toBe(true);
    }
  }
  expect(hashLength(ref)).toBe(2 + sizes.length);
  const copy = bigHashOf(ref).clone()!;
  expect(copy.count).toBe(hashLength(ref));
  for (const [field, value] of all(ref)) {
    expect(copy.get(latin1(field), 0, field.length)).toBe(true);
    expect(get(ref, field) === value).toBe(true);
  }
  expect(bigHashOf(ref).byteSize()).toBeGreaterThan(6 << 20);
  freeObject(copy, true);
  for (const size of sizes) ref = remove(ref, `new ${size}`);
  expect(bigHashOf(ref).byteSize()).toBeLessThan(200_000);
  freeLoose(ref);
  expect(usedMemory()).toBe(before);
});

test("a large hash: every field is found, walked once, and picked with the same chance", () => {
  const before = usedMemory();
  let ref = newLooseHash();
  const n = 20_000;
  for (let i = 0; i < n; i++) ref = set(ref, `field:${i}`, String(i));
  for (let i = 0; i < n; i += 7) expect(get(ref, `field:${i}`)).toBe(String(i));
  const seen = new Set(all(ref).map(([f]) => f));
  expect(seen.size).toBe(n);
  for (let i = 0; i < n; i++) if (i % 100 !== 0) ref = remove(ref, `field:${i}`);
  expect(hashLength(ref)).toBe(n / 100);
  const counts = new Map<string, number>();
  const draws = 40_000;
  cursor.begin(ref);
  for (let i = 0; i < draws; i++) {
    cursor.random();
    const field = cursor.b.toString("latin1", cursor.start, cursor.end);
    counts.set(field, (counts.get(field) ?? 0) + 1);
  }
  const expected = draws / 200;
  let chi = 0;
  for (let i = 0; i < n; i += 100) chi += ((counts.get(`field:${i}`) ?? 0) - expected) ** 2 / expected;
  // 199 degrees of freedom: above 300 in one run of a million.
  expect(chi).toBeLessThan(300);
  freeLoose(ref);
  expect(usedMemory()).toBe(before);
});

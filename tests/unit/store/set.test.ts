/**
 * Sets as values against a Set: random edits through intset, listpack and table; encodings as Redis 7.2 chooses them; memory comes back.
 */
import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import { usedMemory } from "../../../lib/store/arena.ts";
import { HASHTABLE, INTSET, LISTPACK, encodingNames, encodingOf } from "../../../lib/store/entry.ts";
import { freeObject } from "../../../lib/store/objects.ts";
import { freeLoose, loose } from "../../../lib/store/room.ts";
import {
  SetCursor,
  bigSetOf,
  encodingFor,
  newLooseSet,
  setAdd,
  setChanged,
  setExpect,
  setHas,
  setLength,
  setRemove,
} from "../../../lib/store/set.ts";
import { settings } from "../../../lib/store/settings.ts";

const defaults = { ...settings };
afterEach(() => void Object.assign(settings, defaults));

const latin1 = (text: string) => Buffer.from(text, "latin1");
const cursor = new SetCursor();
const isInt = (s: string) => /^(0|-?[1-9][0-9]*)$/.test(s) && BigInt(s) >= -(2n ** 63n) && BigInt(s) < 2n ** 63n;

function add(ref: number, member: string): number {
  const m = latin1(`<${member}`);
  return setAdd(loose, ref, m, 1, m.length);
}
function remove(ref: number, member: string): number {
  const m = latin1(member);
  return setRemove(loose, ref, m, 0, m.length);
}
function has(ref: number, member: string): boolean {
  return setHas(ref, latin1(member), 0, member.length);
}
function current(): string {
  return cursor.b.toString("latin1", cursor.start, cursor.end);
}
function all(ref: number): string[] {
  const members: string[] = [];
  cursor.begin(ref);
  while (cursor.next()) members.push(current());
  return members;
}
function encoding(ref: number): string {
  return encodingNames[encodingOf(ref)];
}

/** What Redis 7.2 (setTypeAddAux) makes of it. */
class Model {
  readonly members = new Set<string>();
  encoding = INTSET;

  add(m: string): boolean {
    if (this.members.has(m)) return false;
    if (this.encoding === INTSET && !isInt(m)) {
      const numbers = [...this.members].map(BigInt);
      const ends = numbers.length === 0 ? [] : [numbers.reduce((a, b) => (a < b ? a : b)), numbers.reduce((a, b) => (a > b ? a : b))];
      const longest = Math.max(0, ...ends.map((n) => String(n).length));
      const fits =
        this.members.size < settings.setMaxListpackEntries &&
        m.length <= settings.setMaxListpackValue &&
        longest <= settings.setMaxListpackValue;
      this.encoding = fits ? LISTPACK : HASHTABLE;
    } else if (
      this.encoding === LISTPACK &&
      (this.members.size >= settings.setMaxListpackEntries || m.length > settings.setMaxListpackValue)
    )
      this.encoding = HASHTABLE;
    this.members.add(m);
    if (this.encoding === INTSET && this.members.size > settings.setMaxIntsetEntries) this.encoding = HASHTABLE;
    return true;
  }
}

const member = fc.oneof(
  fc.integer({ min: -20, max: 20 }).map(String),
  fc.integer().map(String),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  fc.constantFrom("", "a", "b", "007", "-0", "+1", "9223372036854775808", "32767", "32768", "2147483648", "9007199254740993"),
  fc.integer({ min: 1, max: 90 }).map((n) => "x".repeat(n)),
);
const edits = fc.array(
  fc.record({ kind: fc.constantFrom("add" as const, "add" as const, "remove" as const, "has" as const, "pop" as const), member }),
  { maxLength: 120, size: "max" },
);
const numbers = edits.map((list) => list.map((e) => (isInt(e.member) ? e : { ...e, member: String(e.member.length) })));

test("random edits agree with a Set in every encoding, and all memory comes back", () => {
  fc.assert(
    fc.property(
      fc.oneof(edits, numbers),
      fc.constantFrom(INTSET, LISTPACK),
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 60 }),
      (list, first, ints, entries, bytes) => {
        settings.setMaxIntsetEntries = ints;
        settings.setMaxListpackEntries = entries;
        settings.setMaxListpackValue = bytes;
        const before = usedMemory();
        let ref = newLooseSet(first);
        const model = new Model();
        model.encoding = first;
        for (const e of list) {
          if (e.kind === "has") expect(has(ref, e.member)).toBe(model.members.has(e.member));
          else if (e.kind === "add") {
            ref = add(ref, e.member);
            expect(setChanged).toBe(model.add(e.member) ? 1 : 0);
          } else if (e.kind === "remove") {
            ref = remove(ref, e.member);
            expect(setChanged).toBe(model.members.delete(e.member) ? 1 : 0);
          } else if (model.members.size > 0) {
            cursor.begin(ref);
            cursor.random();
            expect(model.members.delete(current())).toBe(true);
            ref = cursor.remove(loose);
          }
          expect(encodingOf(ref)).toBe(model.encoding);
        }
        const members = all(ref);
        expect(setLength(ref)).toBe(model.members.size);
        expect(members.length).toBe(model.members.size);
        expect(new Set(members)).toEqual(model.members);
        if (model.encoding === INTSET) expect(members.map(BigInt)).toEqual(members.map(BigInt).sort((a, b) => (a < b ? -1 : 1)));
        freeLoose(ref);
        expect(usedMemory()).toBe(before);
      },
    ),
    { numRuns: 400 },
  );
});

test("Redis' thresholds", () => {
  const before = usedMemory();
  let ref = newLooseSet(INTSET);
  for (let i = 0; i < 512; i++) ref = add(ref, String(i));
  expect(encoding(ref)).toBe("intset");
  ref = add(ref, "512");
  expect([encoding(ref), setLength(ref)]).toEqual(["hashtable", 513]);
  freeLoose(ref);

  ref = newLooseSet(INTSET);
  for (let i = 0; i < 128; i++) ref = add(ref, String(i));
  ref = add(ref, "a");
  expect(encoding(ref)).toBe("hashtable");
  freeLoose(ref);

  ref = newLooseSet(INTSET);
  for (let i = 0; i < 127; i++) ref = add(ref, String(i));
  ref = add(ref, "a");
  expect(encoding(ref)).toBe("listpack");
  expect(all(ref).slice(-2)).toEqual(["126", "a"]);
  ref = add(ref, "b");
  expect([encoding(ref), setLength(ref)]).toEqual(["hashtable", 129]);
  freeLoose(ref);

  ref = add(newLooseSet(LISTPACK), "x".repeat(64));
  expect(encoding(ref)).toBe("listpack");
  ref = add(ref, "x".repeat(65));
  expect(encoding(ref)).toBe("hashtable");
  freeLoose(ref);
  expect(usedMemory()).toBe(before);
});

test("the first encoding follows the first member and the number to come", () => {
  const of = (m: string, n: number) => encodingNames[encodingFor(latin1(m), 0, m.length, n)];
  expect([of("1", 512), of("1", 513), of("a", 128), of("a", 129), of("1.5", 1)]).toEqual([
    "intset",
    "hashtable",
    "listpack",
    "hashtable",
    "listpack",
  ]);
  settings.setMaxIntsetEntries = 10;
  expect(of("1", 11)).toBe("listpack");
});

test("many are expected: the set is big at once", () => {
  const before = usedMemory();
  let ref = setExpect(loose, newLooseSet(LISTPACK), 128);
  expect(encoding(ref)).toBe("listpack");
  ref = setExpect(loose, ref, 129);
  expect([encoding(ref), setLength(ref)]).toEqual(["hashtable", 0]);
  freeLoose(ref);
  expect(usedMemory()).toBe(before);
});

test("membership across encodings", () => {
  const sets = {
    intset: newLooseSet(INTSET),
    listpack: newLooseSet(LISTPACK),
    hashtable: setExpect(loose, newLooseSet(LISTPACK), 1000),
  };
  for (const name of ["intset", "listpack", "hashtable"] as const)
    for (const m of ["1", "-70000", "9223372036854775807"]) sets[name] = add(sets[name], m);
  sets.listpack = add(sets.listpack, "word");
  sets.hashtable = add(sets.hashtable, "word");
  for (const from of Object.values(sets))
    for (const to of Object.values(sets)) {
      cursor.begin(from);
      while (cursor.next()) expect(cursor.isIn(to)).toBe(current() !== "word" || to !== sets.intset);
    }
  for (const ref of Object.values(sets)) freeLoose(ref);
});

test("picks are fair in every encoding", () => {
  for (const [first, name] of [
    [INTSET, (i: number) => String(i * 1000)],
    [LISTPACK, (i: number) => `m${i}`],
    [HASHTABLE, (i: number) => `member:${i}`],
  ] as const) {
    let ref = newLooseSet(first === INTSET ? INTSET : LISTPACK);
    if (first === HASHTABLE) ref = setExpect(loose, ref, 200);
    const n = 100;
    for (let i = 0; i < n; i++) ref = add(ref, name(i));
    expect(encodingOf(ref)).toBe(first);
    const counts = new Map<string, number>();
    const draws = 30_000;
    cursor.begin(ref);
    for (let i = 0; i < draws; i++) {
      cursor.random();
      counts.set(current(), (counts.get(current()) ?? 0) + 1);
    }
    let chi = 0;
    for (let i = 0; i < n; i++) chi += ((counts.get(name(i)) ?? 0) - draws / n) ** 2 / (draws / n);
    // 99 degrees of freedom: above 175 in fewer than one run of a hundred thousand.
    expect(chi).toBeLessThan(175);
    freeLoose(ref);
  }
});

test("a large set: grows, is walked and scanned, shrinks, is copied, and gives its memory back", () => {
  const before = usedMemory();
  let ref = newLooseSet(LISTPACK);
  const n = 30_000;
  for (let i = 0; i < n; i++) ref = add(ref, `member:${i}`);
  expect(new Set(all(ref)).size).toBe(n);
  const copy = bigSetOf(ref).clone()!;
  expect(copy.count).toBe(n);
  expect(copy.byteSize()).toBeGreaterThan(n * 16);
  for (let i = 0; i < n; i++) if (i !== 5) ref = remove(ref, `member:${i}`);
  expect(all(ref)).toEqual(["member:5"]);
  expect(copy.find(latin1("member:77"), 0, 9)).not.toBe(0);
  freeObject(copy, true);
  freeLoose(ref);
  expect(usedMemory()).toBe(before);
});

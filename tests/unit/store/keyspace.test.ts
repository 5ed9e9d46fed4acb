/** The keyspace against a Map with expiry, under every policy; snapshots against a copy of that Map; events; flush, rename, swap. */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { bytesOf } from "../../../lib/bytes/ascii.ts";
import { hugeUsedBytes, m8, usedMemory } from "../../../lib/store/arena.ts";
import { RefList } from "../../../lib/store/dict.ts";
import * as entry from "../../../lib/store/entry.ts";
import { resetStats, setStoreEvents, stats } from "../../../lib/store/events.ts";
import { ExpireCycle } from "../../../lib/store/expire.ts";
import * as keyspace from "../../../lib/store/keyspace.ts";
import type { Keyspace } from "../../../lib/store/keyspace.ts";
import { addObject, freeSome, pendingObjects } from "../../../lib/store/objects.ts";
import { endSnapshot, isDue, markDone, walkDatabase, walkStep } from "../../../lib/store/snapshot.ts";
import * as store from "../../../lib/store/store.ts";
import * as strings from "../../../lib/store/string.ts";
import { clock } from "../../../lib/time/clock.ts";

setDefaultTimeout(60000);

const H = entry.KEY_HEADER;
const microseconds = () => performance.now() * 1000;
let memory = 0;

beforeEach(() => {
  memory = usedMemory();
  clock.nowMs = 1_000_000;
  resetStats();
  store.openDatabases(3);
});
afterEach(() => {
  setStoreEvents(null);
  keyspace.setExpirePolicy(keyspace.EXPIRE_DELETE);
  store.closeDatabases();
  expect(usedMemory()).toBe(memory); // no test may leak a byte
});

function set(ks: Keyspace, key: string, value: string, keepTtl = false): void {
  const k = bytesOf(key);
  const v = bytesOf(value);
  expect(strings.setString(ks, k, 0, k.length, v, 0, v.length, keepTtl)).not.toBe(0);
}
function textAt(ref: number): string {
  strings.region(ref);
  return strings.valueBuffer.toString("latin1", strings.valueFrom, strings.valueTo);
}
function write(ks: Keyspace, key: string): number {
  return ks.lookupWrite(bytesOf(key), 0, key.length);
}
function get(ks: Keyspace, key: string): string | null {
  const ref = ks.lookupRead(bytesOf(key), 0, key.length);
  return ref === 0 ? null : textAt(ref);
}
const keyText = (ref: number) => entry.keyBytes(ref, H).toString("latin1");

// ---- the model

interface Slot {
  value: string;
  expire: number;
}
type World = Map<string, Slot>[];
type Op = [what: string, db: number, key: number, value: string, n: number];

const KEYS = 12;
const keyName = (n: number) => (n % KEYS === KEYS - 1 ? "L".repeat(70_000) : `key:${n % KEYS}`);
const value = fc.oneof(
  fc.string({ maxLength: 20 }).map((s) => Buffer.from(s).toString("latin1")),
  fc.integer({ min: -1e6, max: 1e6 }).map(String),
  fc.integer({ min: 1, max: 40 }).map((n) => "s".repeat(n)),
  fc.integer({ min: 30, max: 900 }).map((n) => "v".repeat(n)),
  fc.constantFrom("", "x".repeat(44), "x".repeat(45), "9223372036854775807", "y".repeat(40_000)),
);
const what = fc.constantFrom(
  ..."set set set setkeep get get del append setrange incr expire expire persist rename move copy tick cron flush swap burst drain".split(
    " ",
  ),
);
const op: fc.Arbitrary<Op> = fc.tuple(what, fc.constantFrom(0, 0, 0, 1, 2), fc.nat(KEYS - 1), value, fc.nat(1000));

function alive(world: World, db: number, key: string): Slot | undefined {
  const slot = world[db].get(key);
  if (slot === undefined || slot.expire < 0 || clock.nowMs <= slot.expire) return slot;
  world[db].delete(key);
  return undefined;
}

/** Does one step to the store and to the model; what both answer must agree. */
function step(world: World, [name, db, n, text, extra]: Op): void {
  const ks = store.databases[db];
  const key = keyName(n);
  const slot = alive(world, db, key);
  if (name === "set" || name === "setkeep") {
    const keep = name === "setkeep";
    set(ks, key, text, keep);
    expect(strings.existed).toBe(slot !== undefined);
    world[db].set(key, { value: text, expire: keep && slot !== undefined ? slot.expire : -1 });
  } else if (name === "get") expect(get(ks, key)).toBe(slot?.value ?? null);
  else if (name === "del") {
    expect(ks.delete(bytesOf(key), 0, key.length)).toBe(slot !== undefined);
    world[db].delete(key);
  } else if (name === "append" || name === "setrange" || name === "incr") change(world, ks, name, key, slot, text, extra);
  else if (name === "expire" || name === "persist") {
    const ref = write(ks, key);
    expect(ref !== 0).toBe(slot !== undefined);
    if (slot === undefined) return;
    if (name === "persist") expect(ks.persist(ref)).toBe(slot.expire >= 0);
    else expect(textAt(ks.setExpire(ref, clock.nowMs + extra))).toBe(slot.value);
    slot.expire = name === "persist" ? -1 : clock.nowMs + extra;
  } else if (name === "rename" || name === "move" || name === "copy") carry(world, ks, name, key, slot, extra);
  else if (name === "tick") clock.nowMs += extra;
  else if (name === "cron") store.workStep(0.1, microseconds);
  else if (name === "flush") {
    if (extra > 300) return; // rarely
    ks.flush(extra % 2 === 0);
    world[db].clear();
  } else if (name === "swap") {
    const other = extra % 3;
    store.swapDatabases(db, other);
    [world[db], world[other]] = [world[other], world[db]];
  } else bulk(world, ks, name === "burst", extra);
}

function change(world: World, ks: Keyspace, name: string, key: string, slot: Slot | undefined, text: string, extra: number): void {
  const ref = write(ks, key);
  expect(ref !== 0).toBe(slot !== undefined);
  if (slot === undefined || ref === 0) return;
  const b = bytesOf(text);
  if (name === "append") {
    slot.value += text;
    expect(textAt(strings.append(ks, ref, b, 0, b.length))).toBe(slot.value);
  } else if (name === "setrange") {
    const offset = extra % 200;
    if (text.length === 0) return;
    slot.value = slot.value.slice(0, offset).padEnd(offset, "\0") + text + slot.value.slice(offset + text.length);
    expect(textAt(strings.setRange(ks, ref, offset, b, 0, b.length))).toBe(slot.value);
  } else {
    const code = strings.addInteger(ks, ref, extra - 500);
    const whole = /^(0|-?[1-9]\d{0,18})$/.test(slot.value) ? BigInt(slot.value) : null;
    const sum = whole === null ? null : whole + BigInt(extra - 500);
    if (sum === null) expect(code).toBe(strings.ADD_NOT_INTEGER);
    else if (sum > 2n ** 63n - 1n) expect(code).toBe(strings.ADD_OVERFLOW);
    else {
      expect(code).toBe(strings.ADD_OK);
      slot.value = sum.toString();
      expect(textAt(strings.addedRef)).toBe(slot.value);
      expect(entry.encodingOf(strings.addedRef)).toBe(entry.INT);
    }
  }
  if (world.length !== 3) throw new Error("three databases");
}

function carry(world: World, ks: Keyspace, name: string, key: string, slot: Slot | undefined, extra: number): void {
  const ref = write(ks, key);
  if (slot === undefined || ref === 0) return;
  const target = name === "move" ? store.databases[extra % 3] : ks;
  const to = name === "move" ? key : keyName(extra);
  if (target === ks && to === key) return;
  if (alive(world, target.index, to) !== undefined) {
    target.delete(bytesOf(to), 0, to.length);
    world[target.index].delete(to);
  } else target.delete(bytesOf(to), 0, to.length);
  const from = write(ks, key);
  if (name === "copy") expect(ks.copyPacked(from, target, bytesOf(to), 0, to.length)).not.toBe(0);
  else {
    expect(textAt(ks.transfer(from, target, bytesOf(to), 0, to.length))).toBe(slot.value);
    world[ks.index].delete(key);
  }
  world[target.index].set(to, { ...slot });
}

function bulk(world: World, ks: Keyspace, fill: boolean, n: number): void {
  for (let i = 0; i < 150; i++) {
    const key = `bulk:${(n + i) % 500}`;
    if (fill) {
      set(ks, key, String(i));
      world[ks.index].set(key, { value: String(i), expire: -1 });
    } else expect(ks.delete(bytesOf(key), 0, key.length)).toBe(world[ks.index].delete(key));
  }
}

/** Everything in the databases, as the model holds it; expired keys left out on both sides. */
function compare(world: World): void {
  for (const ks of store.databases) {
    const seen = new Map<string, Slot>();
    let volatile = 0;
    ks.main.forEach((ref) => {
      if (entry.expireOf(ref) >= 0) volatile++;
      if (!ks.isExpired(ref)) seen.set(keyText(ref), { value: textAt(ref), expire: entry.expireOf(ref) });
    });
    const expected = new Map([...world[ks.index]].filter(([, s]) => s.expire < 0 || clock.nowMs <= s.expire));
    expect(seen).toEqual(expected);
    expect(ks.volatile.count).toBe(volatile);
    const refs = new Set<number>();
    ks.volatile.forEach((ref) => refs.add(ref));
    ks.main.forEach((ref) => expect(refs.has(ref)).toBe(entry.expireOf(ref) >= 0));
  }
}

test("three databases do what three Maps with expiry do", () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 300, size: "max" }), (ops) => {
      store.flushAll(false);
      clock.nowMs = 1_000_000;
      const world: World = [new Map(), new Map(), new Map()];
      for (const o of ops) step(world, o);
      compare(world);
    }),
    { numRuns: 60 },
  );
});

test("a snapshot holds each key once, as it was at the cut, whatever happens meanwhile", () => {
  fc.assert(
    fc.property(
      fc.array(op, { maxLength: 80 }),
      fc.array(op, { maxLength: 120 }),
      fc.integer({ min: 1, max: 30 }),
      (before, during, pace) => {
        store.flushAll(false);
        while (store.workStep(100, microseconds));
        clock.nowMs = 1_000_000;
        const world: World = [new Map(), new Map(), new Map()];
        for (const o of before) step(world, o);
        const expected = new Map<string, string>();
        for (const ks of store.databases) ks.main.forEach((ref) => expected.set(`${ks.index}/${keyText(ref)}`, textAt(ref)));
        const saved = new Map<string, string>();
        const save = (db: number, ref: number) => {
          const name = `${db}/${keyText(ref)}`;
          expect(saved.has(name)).toBe(false);
          saved.set(name, textAt(ref));
          markDone(ref);
        };
        store.snapshotAll(save);
        const list = new RefList();
        let more = true;
        during.forEach((o, i) => {
          step(world, o);
          if (more && i % pace === 0) {
            more = walkStep(3, list);
            for (let k = 0; k < list.count; k++) save(walkDatabase(), list.refs[k]);
          }
        });
        while (walkStep(50, list)) for (let k = 0; k < list.count; k++) save(walkDatabase(), list.refs[k]);
        endSnapshot(true);
        expect(saved).toEqual(expected);
        compare(world);
        for (const ks of store.databases) ks.main.forEach((ref) => expect(isDue(ref)).toBe(false));
      },
    ),
    { numRuns: 60 },
  );
});

test("a broken-off snapshot leaves nothing behind; the next one sees every key, also after hundreds of them", () => {
  const ks = store.databases[0];
  for (let i = 0; i < 50; i++) set(ks, `k${i}`, "v");
  const list = new RefList();
  for (let round = 0; round < 600; round++) {
    store.snapshotAll((_db, ref) => markDone(ref));
    walkStep(5, list);
    for (let i = 0; i < list.count; i++) markDone(list.refs[i]);
    endSnapshot(false);
  }
  store.snapshotAll((_db, ref) => markDone(ref));
  expect(() => store.snapshotAll(() => {})).toThrow("a snapshot is running");
  let seen = 0;
  while (walkStep(10, list)) seen += list.count;
  endSnapshot(true);
  expect(seen).toBe(50);
});

test("a snapshot gets a key before every kind of change of it", () => {
  const ks = store.databases[0];
  const key = bytesOf("k");
  const changes: [string, (ref: () => number) => void][] = [
    ["set", () => set(ks, "k", "other")],
    ["append", (ref) => strings.append(ks, ref(), key, 0, 1)],
    ["delete", () => ks.delete(key, 0, 1)],
    ["deleteRef", () => ks.deleteRef(ks.peek(key, 0, 1))],
    ["setExpire", () => ks.setExpire(ks.peek(key, 0, 1), clock.nowMs + 1e6)],
    ["persist", () => ks.persist(ks.peek(key, 0, 1))],
    ["transfer", () => ks.transfer(ks.peek(key, 0, 1), ks, bytesOf("l"), 0, 1)],
    ["evict", () => ks.evict(ks.peek(key, 0, 1))],
    ["expire", () => ks.expire(ks.peek(key, 0, 1))],
    ["lazy expiry", () => ((clock.nowMs += 2e3), get(ks, "k"))],
  ];
  for (const [name, change] of changes) {
    ks.flush(false);
    set(ks, "k", "value");
    ks.setExpire(write(ks, "k"), clock.nowMs + 1e3);
    const seen: string[] = [];
    store.snapshotAll((db, ref) => {
      seen.push(`${db} ${keyText(ref)} ${textAt(ref)} ${entry.expireOf(ref) - clock.nowMs > -2e3}`);
      markDone(ref);
    });
    change(() => write(ks, "k"));
    expect([name, ...seen]).toEqual([name, "0 k value true"]);
    endSnapshot(false);
  }
});

test("SET over a key with an expiry in the same block: the key's bytes close the gap", () => {
  const ks = store.databases[0];
  for (let length = 0; length < 60; length++) {
    set(ks, "some key", "x".repeat(length));
    ks.setExpire(write(ks, "some key"), clock.nowMs + 1e3);
    set(ks, "some key", "y".repeat(length + 8));
    expect(get(ks, "some key")).toBe("y".repeat(length + 8));
    expect(ks.volatile.count).toBe(0);
  }
});

// ---- expiry

test("an expired key: deleted and told, hidden, hidden from reads only, or ignored, as the policy says", () => {
  const ks = store.databases[0];
  const told: string[] = [];
  const tell = (kind: string) => (db: number, b: Buffer, s: number, e: number) =>
    void told.push(`${kind} ${db} ${b.toString("latin1", s, e)}`);
  setStoreEvents({
    modified: tell("modified"),
    missed: tell("missed"),
    added: (db, type, b, s, e) => tell(`added ${type}`)(db, b, s, e),
    deleted: tell("deleted"),
    expired: tell("expired"),
    evicted: tell("evicted"),
    flushed: (db) => void told.push(`flushed ${db}`),
    swapped: (a, b) => void told.push(`swapped ${a} ${b}`),
  });
  const make = () => {
    set(ks, "k", "v");
    expect(ks.setExpire(write(ks, "k"), clock.nowMs + 5)).not.toBe(0);
    clock.nowMs += 5;
    expect(get(ks, "k")).toBe("v"); // the last millisecond still counts
    clock.nowMs += 1;
  };
  make();
  expect(get(ks, "k")).toBe(null);
  expect(ks.size).toBe(0);
  expect(stats).toMatchObject({ hits: 1, misses: 1, expired: 1 });
  make();
  keyspace.setExpirePolicy(keyspace.EXPIRE_HIDE);
  expect(get(ks, "k")).toBe(null);
  expect(write(ks, "k")).toBe(0);
  expect(ks.peek(bytesOf("k"), 0, 1)).toBe(0);
  expect(ks.size).toBe(1);
  keyspace.setExpirePolicy(keyspace.EXPIRE_IGNORE);
  expect(get(ks, "k")).toBe("v");
  expect(keyspace.setExpirePolicy(keyspace.EXPIRE_HIDE_READS)).toBe(keyspace.EXPIRE_IGNORE);
  expect(get(ks, "k")).toBe(null);
  expect(ks.size).toBe(1);
  expect(write(ks, "k")).toBe(0);
  expect(ks.size).toBe(0);
  keyspace.setExpirePolicy(keyspace.EXPIRE_DELETE);
  make();
  expect(ks.delete(bytesOf("k"), 0, 1)).toBe(false);
  set(ks, "evictme", "v");
  ks.evict(write(ks, "evictme"));
  set(ks, "gone", "v");
  expect(ks.delete(bytesOf("gone"), 0, 4)).toBe(true);
  ks.create(bytesOf("l"), 0, 1, entry.LIST, entry.LISTPACK, 7);
  ks.modified(bytesOf("xly"), 1, 2);
  store.swapDatabases(0, 2);
  store.flushAll(true);
  expect(told).toEqual([
    "expired 0 k",
    "expired 0 k",
    "expired 0 k",
    "evicted 0 evictme",
    "deleted 0 gone",
    "added 1 0 l",
    "modified 0 l",
    "swapped 0 2",
    "flushed 2",
  ]);
});

test("the active cycle removes stale keys by itself, in slices, and learns the average time to live", () => {
  const ks = store.databases[1];
  for (let i = 0; i < 4000; i++) {
    set(ks, `stale${i}`, "v");
    ks.setExpire(write(ks, `stale${i}`), clock.nowMs + 10);
  }
  for (let i = 0; i < 300; i++) {
    set(ks, `fresh${i}`, "v");
    ks.setExpire(write(ks, `fresh${i}`), clock.nowMs + 100_000);
  }
  set(ks, "forever", "v");
  let time = 0;
  const cycle = new ExpireCycle(store.databases, () => (time += 20)); // each look at the clock costs 20 us
  cycle.setEffort(1);
  cycle.beginSlow(10);
  while (cycle.slice(500));
  expect(stats.expired).toBe(0);
  clock.nowMs += 11;
  let slices = 0;
  for (let cron = 0; cron < 100 && ks.size > 301 + 40; cron++) {
    cycle.beginSlow(10);
    while (cycle.slice(100)) slices++;
  }
  expect(ks.size).toBeLessThan(345); // up to a tenth of the volatile keys may stay stale
  expect(slices).toBeGreaterThan(3);
  expect(ks.avgTtlMs).toBeGreaterThan(90_000);
  for (let i = 0; i < 300; i++) expect(get(ks, `fresh${i}`)).toBe("v");
  expect(get(ks, "forever")).toBe("v");
});

test("a cycle out of time goes on with the next database, and a fast one follows", () => {
  for (const ks of store.databases)
    for (let i = 0; i < 2000; i++) {
      set(ks, `k${i}`, "v");
      ks.setExpire(write(ks, `k${i}`), clock.nowMs + 1);
    }
  clock.nowMs += 2;
  let time = 0;
  const cycle = new ExpireCycle(store.databases, () => (time += 20));
  expect(cycle.beginFast()).toBe(false);
  cycle.beginSlow(10_000); // 25 us
  expect(cycle.slice(500)).toBe(false);
  expect(stats.expiredTimeCapReached).toBe(1);
  expect(cycle.beginFast()).toBe(true);
  expect(cycle.beginFast()).toBe(false); // not so soon
  const before = store.databases[1].size;
  cycle.slice(60);
  expect(store.databases[1].size).toBeLessThan(before);
  keyspace.setExpirePolicy(keyspace.EXPIRE_HIDE);
  expect(cycle.slice(500)).toBe(false);
});

test("RANDOMKEY never answers an expired key while there are others", () => {
  const ks = store.databases[0];
  for (let i = 0; i < 40; i++) {
    set(ks, `dead${i}`, "v");
    ks.setExpire(write(ks, `dead${i}`), clock.nowMs + 1);
  }
  set(ks, "alive", "v");
  clock.nowMs += 10;
  expect(keyText(ks.randomKey())).toBe("alive");
  ks.delete(bytesOf("alive"), 0, 5);
  expect(ks.randomKey()).toBe(0);
  for (let i = 0; i < 5; i++) {
    set(ks, `dead${i}`, "v");
    ks.setExpire(write(ks, `dead${i}`), clock.nowMs - 1);
  }
  keyspace.setExpirePolicy(keyspace.EXPIRE_HIDE);
  expect(ks.randomKey()).not.toBe(0); // Redis: gives up after a hundred
});

// ---- flush and big collections

test("a flushed database is empty at once and its memory comes back in slices; big collections too", () => {
  const ks = store.databases[0];
  const freed: string[] = [];
  const big = (name: string, count: number) => ({
    count,
    frozen: null,
    freeze: (): never => {
      throw new Error("nothing is saved here");
    },
    byteSize: () => 0,
    clone: () => null,
    freeStep(n: number) {
      this.count -= Math.min(n, this.count);
      if (this.count === 0) freed.push(name);
      return this.count > 0;
    },
  });
  const addBig = (name: string, count: number) => {
    const ref = ks.create(bytesOf(name), 0, name.length, entry.SET, entry.HASHTABLE, 4);
    entry.setValueWord(ref, H, 0, addObject(big(name, count)));
  };
  for (let i = 0; i < 3000; i++) set(ks, `k${i}`, "value ".repeat(20));
  set(ks, "huge", "h".repeat(3 << 20));
  addBig("small", 10);
  addBig("large", 100_000);
  expect(ks.delete(bytesOf("small"), 0, 5)).toBe(true);
  expect(freed).toEqual(["small"]);
  const used = usedMemory();
  expect(ks.flush(true)).toBe(3002);
  expect(ks.size).toBe(0);
  expect(get(ks, "k1")).toBe(null);
  expect(usedMemory()).toBeGreaterThan(used - 10_000);
  expect(store.lazyfreePending()).toBe(3002);
  set(ks, "k1", "new");
  while (keyspace.digGrave(100));
  expect(hugeUsedBytes()).toBe(0);
  expect(freed).toEqual(["small"]);
  expect(pendingObjects()).toBe(1);
  while (freeSome(1000));
  expect(freed).toEqual(["small", "large"]);
  expect(get(ks, "k1")).toBe("new");
});

test("a key's bytes stay whole when its value grows and shrinks by other hands", () => {
  const ks = store.databases[0];
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5000 }), { maxLength: 30 }), fc.boolean(), (lengths, ttl) => {
      const key = bytesOf("a list");
      ks.delete(key, 0, 6);
      let ref = ks.create(key, 0, 6, entry.LIST, entry.LISTPACK, 0, ttl ? clock.nowMs + 1000 : -1);
      let kept = 0;
      for (const n of lengths) {
        ref = ks.resizeValue(ref, n, n % 3 === 0 ? 64 : 0);
        expect(ks.peek(key, 0, 6)).toBe(ref);
        expect(entry.valueLength(ref)).toBe(n);
        expect(entry.capacityOf(ref, H)).toBeGreaterThanOrEqual(n);
        const at = entry.valueStart(ref, H);
        for (let i = 0; i < Math.min(kept, n); i++) expect(m8[ref >>> 23][at + i]).toBe((i * 7) & 0xff);
        for (let i = 0; i < n; i++) m8[ref >>> 23][at + i] = i * 7;
        kept = n;
        expect(entry.expireOf(ref)).toBe(ttl ? clock.nowMs + 1000 : -1);
        expect(keyText(ref)).toBe("a list");
      }
    }),
    { numRuns: 40 },
  );
});

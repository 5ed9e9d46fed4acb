/**
 * Files of databases that change while they are written: big values of every type, changed, replaced, renamed, expired and deleted at random
 * between tiny slices. What is loaded must be what was there at the cut, and what is there in the end the same as without a save.
 * SEED=n repeats one world.
 */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { loadBytes, snapshotOptions } from "./support.ts";
import { Snapshot } from "../../../lib/server/persistence/snapshot.ts";
import { heldMemory, usedMemory } from "../../../lib/store/arena.ts";
import { RefList } from "../../../lib/store/dict.ts";
import * as entry from "../../../lib/store/entry.ts";
import { hashInit, hashRemove, hashSet, hashLength } from "../../../lib/store/hash.ts";
import type { Keyspace } from "../../../lib/store/keyspace.ts";
import {
  listExpect,
  listInit,
  listInsert,
  listSettle,
  listLength,
  listPush,
  listRemoveEnd,
  listRemoveEqual,
  listRemoveRange,
  listSet,
} from "../../../lib/store/list.ts";
import { settings } from "../../../lib/store/settings.ts";
import { setAdd, setInit, setLength, setRemove } from "../../../lib/store/set.ts";
import { closeDatabases, databases, flushAll, openDatabases, swapDatabases, workStep } from "../../../lib/store/store.ts";
import { TRIM_MAXLEN, createStream, streamOf } from "../../../lib/store/stream.ts";
import { Group } from "../../../lib/store/stream_group.ts";
import { makeId, idText } from "../../../lib/store/stream_id.ts";
import {
  append,
  bytesChanging,
  createString,
  growString,
  region,
  setRange,
  setString,
  valueBuffer,
  valueFrom,
} from "../../../lib/store/string.ts";
import { copyValue } from "../../../lib/store/copy.ts";
import { visitValue } from "../../../lib/store/visit.ts";
import { zsetInit, zsetLength, zsetRemove, zsetRemoveRange, zsetSet } from "../../../lib/store/zset.ts";

setDefaultTimeout(120000);
const { listMaxListpackSize } = settings;
beforeEach(() => {
  // Lists of many nodes: one slice writes eight.
  settings.listMaxListpackSize = 16;
  openDatabases(4);
});
afterEach(() => {
  closeDatabases();
  settings.listMaxListpackSize = listMaxListpackSize;
});

type Random = (below: number) => number;
function random(seed: number): Random {
  let s = (seed * 2654435761) >>> 0 || 1;
  return (below) => {
    s ^= s << 13;
    s >>>= 0;
    s ^= s >>> 17;
    s ^= s << 5;
    s >>>= 0;
    return s % below;
  };
}

const far = 4102444800000;
const KEYS = ["hash", "set", "zset", "list", "stream", "string", "small", "hash2", "zset2"];
const of = (s: string): Buffer => Buffer.from(s, "latin1");

/** A text that names its number, sometimes long, seldom very long. */
function text(r: Random, below: number): Buffer {
  const n = of(String(r(below)));
  const kind = r(400);
  return kind === 0 ? Buffer.concat([n, Buffer.alloc(1_200_000, n)]) : kind < 20 ? Buffer.concat([n, Buffer.alloc(r(300), "x")]) : n;
}

/** Everything in the databases, as text; a big string by its hash. */
function contents(): Map<string, string> {
  const all = new Map<string, string>();
  for (const ks of databases)
    ks.main.forEach((ref) => {
      const parts: string[] = [];
      visitValue(
        ref,
        (p) => void parts.push(p.map((b) => (b.length > 60 ? `${b.length}:${Bun.hash(b)}` : b.toString("latin1"))).join("=")),
      );
      const type = entry.typeOf(ref);
      if (type !== entry.LIST && type !== entry.STREAM) parts.sort();
      if (type === entry.STREAM) {
        const s = streamOf(ref);
        parts.push(JSON.stringify([s.count, idText(s.lastId), idText(s.firstId), idText(s.maxDeletedId), s.added]));
        for (const [name, g] of s.groups) {
          parts.push(JSON.stringify([name, idText(g.lastId), g.entriesRead]));
          for (const [id, p] of g.pending) parts.push(`${idText(id)} ${p.consumer!.name} ${p.deliveredMs} ${p.deliveries}`);
          for (const c of g.consumers.values()) parts.push(`${c.name} ${c.seenMs} ${[...c.pending].map(([id]) => idText(id)).join()}`);
        }
      }
      all.set(
        `${ks.index} ${entry.keyBytes(ref, entry.KEY_HEADER).toString("latin1")}`,
        `${type} ${entry.expireOf(ref)} ${parts.join(" ")}`,
      );
    });
  return all;
}

let lastId = 0n;
const args = new Int32Array(8);
function addEntry(s: ReturnType<typeof streamOf>, r: Random): void {
  lastId += BigInt(1 + r(3));
  const field = of(r(4) === 0 ? "other" : "field");
  const value = text(r, 1000);
  const buf = Buffer.concat([field, value]);
  args.set([0, field.length, field.length, buf.length]);
  expect(s.append(makeId(lastId, 0n), buf, args, 0, 1)).toBe(true);
}

const DELETE_OR_MAKE = 60;

/** One change of the key, of the kind its name says; a missing key is made. */
function change(ks: Keyspace, key: string, r: Random): void {
  const k = of(key);
  let ref = ks.lookupWrite(k, 0, k.length);
  const kind = key.replace(/\d/, "");
  const a = text(r, 800);
  const b = text(r, 3000);
  switch (kind) {
    case "hash":
      if (ref === 0) hashInit((ref = ks.create(k, 0, k.length, entry.HASH, entry.LISTPACK, 7)));
      if (r(3) > 0) hashSet(ks, ref, a, 0, a.length, b, 0, b.length);
      else {
        ref = hashRemove(ks, ref, a, 0, a.length);
        if (hashLength(ref) === 0) ks.deleteRef(ref);
      }
      return;
    case "set":
      if (ref === 0) setInit((ref = ks.create(k, 0, k.length, entry.SET, entry.LISTPACK, 7)));
      if (r(3) > 0) setAdd(ks, ref, a, 0, a.length);
      else {
        ref = setRemove(ks, ref, a, 0, a.length);
        if (setLength(ref) === 0) ks.deleteRef(ref);
      }
      return;
    case "zset":
      if (ref === 0) zsetInit((ref = ks.create(k, 0, k.length, entry.ZSET, entry.LISTPACK, 7)));
      if (r(3) > 0) zsetSet(ks, ref, r(1000) / 8, a, 0, a.length);
      else {
        ref = r(4) === 0 ? zsetRemoveRange(ks, ref, r(Math.max(1, zsetLength(ref))), 1) : zsetRemove(ks, ref, a, 0, a.length);
        if (zsetLength(ref) === 0) ks.deleteRef(ref);
      }
      return;
    case "list": {
      if (ref === 0) listInit((ref = ks.create(k, 0, k.length, entry.LIST, entry.LISTPACK, 7)));
      const n = listLength(ref);
      ref = listExpect(ks, ref, a.length, 1);
      // A list that is filled grows to a dozen nodes and stays there.
      const op = n < 2000 ? r(13) : 4 + r(10);
      if (op === 12 && n > 0) for (let k = 0, tail = r(2) === 0; k < Math.min(n, 3); k++) ref = listRemoveEnd(ks, ref, tail);
      else if (op < 4 || op > 8 || n === 0) ref = listPush(ks, ref, a, 0, a.length, op % 2 === 0);
      else if (op === 4) ref = listSet(ks, ref, r(n), a, 0, a.length);
      else if (op === 5) ref = listInsert(ks, ref, r(n), a, 0, a.length);
      else if (op === 6) ref = listRemoveEqual(ks, ref, a, 0, a.length, 1 + r(3), r(2) === 0);
      else {
        const from = op === 7 ? r(n) : 0;
        ref = listRemoveRange(ks, ref, from, 1 + r(Math.min(n - from, r(60) === 0 ? 400 : 3)));
      }
      if (listLength(ref) === 0) ks.deleteRef(ref);
      else listSettle(ks, ref);
      return;
    }
    case "stream":
      if (ref === 0) ref = createStream(ks, k, 0, k.length);
      return changeStream(streamOf(ref), r);
    default: {
      if (ref === 0) {
        createString(ks, k, 0, k.length, a, 0, a.length, -1);
        if (key === "small") return;
        ref = ks.lookupWrite(k, 0, k.length);
        growString(ks, ref, 3_000_000 + r(1000));
        return;
      }
      const op = r(key === "small" ? 1 : 4);
      if (op === 0) append(ks, ref, a, 0, a.length);
      else if (op === 1) setRange(ks, ref, r(3_000_000), a, 0, a.length);
      else {
        const at = r(3_000_000);
        ref = growString(ks, ref, at + 1);
        bytesChanging(ref, at, at + 1);
        region(ref);
        valueBuffer[valueFrom + at] ^= 0x55;
      }
    }
  }
}

function changeStream(s: ReturnType<typeof streamOf>, r: Random): void {
  const op = r(10);
  if (op < 4 || s.count === 0) return addEntry(s, r);
  if (op === 4) {
    s.trim(TRIM_MAXLEN, s.count - 1 - r(3), 0n, r(2) === 0, 0);
    return;
  }
  const id = makeId(BigInt(r(Number(lastId) + 1)), 0n);
  if (op === 5) {
    if (s.remove(id)) {
      if (id > s.maxDeletedId) s.maxDeletedId = id;
      s.refreshFirst();
    }
    return;
  }
  const name = `g${r(3)}`;
  let g = s.groups.get(name);
  if (g === undefined) s.groups.set(name, (g = new Group(0n, 0)));
  else if (r(300) === 0) {
    g.release();
    s.groups.delete(name);
    return;
  }
  const who = `c${r(4)}`;
  const consumer = g.consumers.get(who) ?? g.addConsumer(who, 1000 + r(1000))!;
  if (r(200) === 0) return g.removeConsumer(consumer);
  consumer.seenMs = 1000 + r(100000);
  const p = g.pending.get(id);
  if (p === undefined) {
    g.addPending(id, consumer, 5000 + r(1000), 1);
    if (id > g.lastId) g.lastId = id;
  } else if (op < 8) {
    g.give(id, p, consumer);
    g.deliver(id, p, 5000 + r(100000), p.deliveries + 1);
  } else g.acknowledge(id);
}

/** Something that happens to whole keys or databases. */
function upheaval(r: Random): void {
  const ks = databases[r(databases.length)];
  const key = of(KEYS[r(KEYS.length)]);
  const ref = ks.lookupWrite(key, 0, key.length);
  const op = r(100);
  if (op === 0) return void flushAll(true);
  if (op === 1) return void ks.flush(false);
  if (op < 5) return swapDatabases(ks.index, r(databases.length));
  if (ref === 0) return;
  if (op < 30) return ks.deleteRef(ref);
  if (op < 40) return void ks.setExpire(ref, far + r(1000));
  if (op < 45) return ks.expire(ref);
  if (op < 60) return void setString(ks, key, 0, key.length, key, 0, key.length, false);
  const other = databases[r(databases.length)];
  if (other.lookupWrite(key, 0, key.length) !== 0) return;
  if (op < 80) ks.transfer(ref, other, key, 0, key.length);
  else copyValue(ref, other, key, 0, key.length);
}

/** A string where a collection should be goes first: SET makes such. */
function settle(): void {
  for (const ks of databases)
    for (const key of KEYS) {
      const k = of(key);
      const ref = ks.lookupWrite(k, 0, k.length);
      if (ref !== 0 && entry.typeOf(ref) === entry.STRING && key !== "string" && key !== "small") ks.deleteRef(ref);
    }
}

function step(r: Random): void {
  if (r(DELETE_OR_MAKE) === 0) {
    upheaval(r);
    settle();
  } else change(databases[r(3) > 0 ? 0 : r(databases.length)], KEYS[r(KEYS.length)], r);
}

/** Fills the databases and, if `save`, changes them while they are saved; the file, and what was there at the cut and in the end. */
function live(
  seed: number,
  save: "all" | "break off" | "no",
  version: number,
): { file: Buffer; cut: Map<string, string>; end: Map<string, string> } {
  const r = random(seed);
  // What the pace of the save draws must not change what happens.
  const pace = random(seed + 1_000_000);
  lastId = 0n;
  for (let i = 0; i < 4000; i++) change(databases[r(2)], KEYS[r(KEYS.length)], r);
  const filled = Math.floor(r(6)) * 2000;
  for (let i = 0; i < filled; i++) change(databases[0], KEYS[r(KEYS.length)], r);
  const list = of("list");
  let ref = databases[0].lookupWrite(list, 0, 4);
  for (let i = r(2) * 3000; ref !== 0 && i > 0; i--) {
    const element = text(r, 800);
    ref = listExpect(databases[0], ref, element.length, 1);
    ref = listPush(databases[0], ref, element, 0, element.length, true);
  }
  const cut = contents();
  const parts: Buffer[] = [];
  const snapshot = save === "no" ? null : new Snapshot(snapshotOptions({ version }), { write: (c) => void parts.push(Buffer.from(c)) });
  let over = false;
  for (let i = 0; i < 2500; i++) {
    step(r);
    if (pace(50) === 0) workStep(0.01, () => performance.now() * 1000);
    if (snapshot === null || over || pace(3) === 0) continue;
    if (save === "break off" && i === 200) {
      snapshot.abort();
      over = true;
    } else over = snapshot.step(0, 1 + pace(3));
  }
  while (snapshot !== null && !over) over = snapshot.step(0, 1);
  return { file: Buffer.concat(parts), cut, end: contents() };
}

function reset(): void {
  closeDatabases();
  openDatabases(4);
}

/** Version 9 says less of a stream than there is. */
function withStreams(all: Map<string, string>, version: number): Map<string, string> {
  return version > 9 ? all : new Map([...all].filter(([key]) => !key.endsWith("stream")));
}

const seeds =
  process.env["SEED"] === undefined
    ? Array.from({ length: Number(process.env["SEEDS"] ?? 2) }, (_, i) => i + 1)
    : [Number(process.env["SEED"])];

test.each(seeds)("seed %d: the file holds the cut, and the databases what they hold without a save", (seed) => {
  const before = usedMemory();
  const version = [9, 10, 11][seed % 3];
  const saved = live(seed, "all", version);
  reset();
  expect(usedMemory()).toBe(before);
  expect(heldMemory()).toBe(0);
  const loaded = loadBytes(saved.file, 65536);
  expect(loaded.failure).toBeNull();
  expect(withStreams(contents(), version)).toEqual(withStreams(saved.cut, version));
  reset();
  const plain = live(seed, "no", 10);
  expect(plain.cut).toEqual(saved.cut);
  expect(plain.end).toEqual(saved.end);
  reset();
  const broken = live(seed, "break off", 10);
  expect(broken.end).toEqual(saved.end);
  // What is saved after a save that was broken off is whole, too.
  const parts: Buffer[] = [];
  const snapshot = new Snapshot(snapshotOptions(), { write: (c) => void parts.push(Buffer.from(c)) });
  while (!snapshot.step(1));
  reset();
  expect(usedMemory()).toBe(before);
  loadBytes(Buffer.concat(parts), 65536);
  expect(contents()).toEqual(saved.end);
});

test("memory that a save holds is counted as such: evicting more would not free it", () => {
  const ks = databases[0];
  for (const key of ["hash", "zset", "string", "stream"]) for (let i = 0; i < 2000; i++) change(ks, key, random(i * 77 + 1));
  const before = usedMemory();
  const snapshot = new Snapshot(snapshotOptions(), { write: () => undefined });
  flushAll(false);
  snapshot.step(0, 1);
  for (const key of ["hash", "zset", "string", "stream"]) expect(databases[0].peek(of(key), 0, key.length)).toBe(0);
  while (!snapshot.step(1));
  while (workStep(5, () => performance.now() * 1000));
  expect(heldMemory()).toBe(0);
  for (const key of ["hash", "zset", "string", "stream"]) for (let i = 0; i < 2000; i++) change(ks, key, random(i * 77 + 1));
  const second = new Snapshot(snapshotOptions(), { write: () => undefined });
  for (const key of ["hash", "zset", "string", "stream"]) ks.delete(of(key), 0, key.length);
  expect(heldMemory()).toBeGreaterThan(3_000_000);
  expect(usedMemory() - heldMemory()).toBeLessThan(before / 4);
  while (!second.step(1));
  expect(heldMemory()).toBe(0);
});

test("a table grows while it is walked, and the walk hands out each key once", () => {
  const ks = databases[0];
  const name = (i: number): Buffer => of(`key:${i}`);
  for (let i = 0; i < 1000; i++) createString(ks, name(i), 0, name(i).length, name(i), 0, name(i).length, -1);
  const parts: Buffer[] = [];
  const snapshot = new Snapshot(snapshotOptions(), { write: (c) => void parts.push(Buffer.from(c)) });
  const chains = (): number => Math.max(...ks.main.chainLengths(false)!);
  for (let i = 1000; i < 60000; i++) {
    createString(ks, name(i), 0, name(i).length, name(i), 0, name(i).length, -1);
    if (i % 70 === 0) snapshot.step(0, 1);
  }
  while (!snapshot.step(1));
  expect(chains()).toBeLessThan(40);
  reset();
  expect(loadBytes(Buffer.concat(parts), 65536).info.keys).toBe(1000);
  const list = new RefList();
  databases[0].scan(0, list);
  for (let i = 0; i < 1000; i++) expect(databases[0].peek(name(i), 0, name(i).length)).not.toBe(0);
});

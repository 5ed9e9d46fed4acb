/** The stream store against a plain list of ids, and its books: nothing is left when a stream goes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { usedMemory } from "../../../lib/store/arena.ts";
import { freeSome } from "../../../lib/store/objects.ts";
import { settings } from "../../../lib/store/settings.ts";
import { closeDatabases, databases, openDatabases } from "../../../lib/store/store.ts";
import { TRIM_MAXLEN, TRIM_MINID, createStream, hasEntry, streamOf } from "../../../lib/store/stream.ts";
import { StreamCursor } from "../../../lib/store/stream_cursor.ts";
import { Group } from "../../../lib/store/stream_group.ts";
import { ID_MAX, IdMap, makeId, msOf, narrow, seqOf } from "../../../lib/store/stream_id.ts";
import { packsOf } from "../../../lib/store/stream_node.ts";

beforeEach(() => openDatabases(1));
afterEach(() => closeDatabases());

const key = Buffer.from("k");
let seed = 7;
const random = (n: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;

/** Arguments as a Call holds them. */
function args(...words: string[]): [Buffer, Int32Array] {
  const at = new Int32Array(words.length * 2);
  let p = 0;
  words.forEach((word, i) => {
    at[2 * i] = p;
    at[2 * i + 1] = p += word.length;
  });
  return [Buffer.from(words.join("")), at];
}

test("adding, deleting and trimming at random agree with a list, in both directions", () => {
  settings.streamNodeMaxEntries = 7;
  const before = usedMemory();
  const ks = databases[0];
  const stream = streamOf(createStream(ks, key, 0, 1));
  let model: bigint[] = [];
  const cursor = new StreamCursor();
  const ids = (backwards: boolean): bigint[] => {
    const all: bigint[] = [];
    if (cursor.begin(stream, 0n, ID_MAX, backwards)) while (cursor.next()) all.push(cursor.id);
    return all;
  };
  let ms = 1n;
  for (let step = 0; step < 3000; step++) {
    const kind = random(10);
    if (kind < 7) {
      ms += BigInt(random(3));
      const id = stream.lastId >= makeId(ms, 0n) ? stream.lastId + 1n : makeId(ms, 0n);
      const [buf, at] = args("name", "v".repeat(random(40)), random(2) === 0 ? "a" : "b", String(random(1e9)));
      expect(stream.append(id, buf, at, 0, 2)).toBe(true);
      model.push(id);
    } else if (kind < 9 && model.length > 0) {
      const [id] = model.splice(random(model.length), 1);
      expect(stream.remove(id)).toBe(true);
      expect(hasEntry(stream, id)).toBe(false);
      stream.refreshFirst();
    } else if (random(6) === 0 && model.length > 0) {
      const cut = random(model.length);
      if (random(2) === 0) expect(stream.trim(TRIM_MAXLEN, model.length - cut, 0n, false, 0)).toBe(cut);
      else expect(stream.trim(TRIM_MINID, 0, model[cut], false, 0)).toBe(cut);
      model = model.slice(cut);
    }
    expect(stream.count).toBe(model.length);
    expect(stream.firstId).toBe(model[0] ?? 0n);
    if (step % 50 === 0) {
      expect(ids(false)).toEqual(model);
      expect(ids(true)).toEqual(model.toReversed());
    }
  }
  const group = new Group(0n, 0);
  stream.groups.set("g", group);
  const consumer = group.addConsumer("c", 1)!;
  for (const id of model) group.addPending(id, consumer, 1, 1);
  group.acknowledge(model[0]);
  expect(stream.byteSize()).toBeGreaterThan(model.length * 8);
  ks.delete(key, 0, 1);
  while (freeSome(100));
  expect(usedMemory()).toBeLessThanOrEqual(before);
  settings.streamNodeMaxEntries = 100;
});

test("ids are the same ones whether they come as numbers or whole, also where numbers end", () => {
  settings.streamNodeMaxEntries = 5;
  const end = BigInt(Number.MAX_SAFE_INTEGER);
  const wide = (1n << 64n) - 1n;
  const halves = [0n, 1n, end - 1n, end, end + 1n, wide - 1n, wide];
  const ids = halves.flatMap((ms) => halves.map((seq) => makeId(ms, seq))).slice(1);
  const [buf, at] = args("f", "v");
  const ks = databases[0];
  // From every start, so that nodes begin with narrow ids and go on with wide ones.
  for (let first = 0; first < ids.length; first++) {
    const stream = streamOf(createStream(ks, key, 0, 1));
    for (const id of ids.slice(first)) {
      const ms = narrow(msOf(id));
      const seq = narrow(seqOf(id));
      const isNarrow = ms === ms && seq === seq;
      if (isNarrow && id % 2n === 0n) expect(stream.add(ms, seq, null, buf, at, 0, 1)).toBe(true);
      else expect(stream.append(id, buf, at, 0, 1)).toBe(true);
      expect([stream.lastId, stream.firstId]).toEqual([id, ids[first]]);
      expect([stream.lastMs, stream.lastSeq]).toEqual(isNarrow ? [ms, seq] : [NaN, NaN]);
    }
    const cursor = new StreamCursor();
    const got: bigint[] = [];
    cursor.begin(stream, 0n, ID_MAX, false);
    while (cursor.next()) got.push(cursor.id);
    expect(got).toEqual(ids.slice(first));
    ks.delete(key, 0, 1);
  }
  settings.streamNodeMaxEntries = 100;
});

test("a full node takes no more than it needs", () => {
  const before = usedMemory();
  const stream = streamOf(createStream(databases[0], key, 0, 1));
  let bytes = 0;
  for (let i = 1; i <= 20000; i++) {
    const [buf, at] = args("f", "v".repeat(10), "n", String(i));
    expect(stream.append(makeId(BigInt(i), 1n), buf, at, 0, 2)).toBe(true);
  }
  for (const { start, end } of packsOf(stream)) bytes += end - start;
  expect(usedMemory() - before).toBeLessThan(bytes * 1.1 + 8192);
});

test("IdMap finds neighbours of ids that come in any order", () => {
  const map = new IdMap<number>();
  const model = new Map<bigint, number>();
  for (let i = 0; i < 5000; i++) {
    const id = BigInt(random(3000));
    if (random(3) === 0) expect(map.delete(id)).toBe(model.delete(id));
    else {
      expect(map.set(id, i)).toBe(!model.has(id));
      model.set(id, i);
    }
    expect(map.size).toBe(model.size);
  }
  const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
  expect([...map]).toEqual(sorted);
  for (let i = 0; i < 300; i++) {
    const id = BigInt(random(3100));
    expect(map.ceil(id) ? map.found : undefined).toBe(sorted.find(([other]) => other >= id)?.[1]);
    expect(map.floor(id) ? map.found : undefined).toBe(sorted.findLast(([other]) => other <= id)?.[1]);
  }
});

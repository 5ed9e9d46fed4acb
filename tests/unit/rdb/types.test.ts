/**
 * RDB files with values of every type, small and big: what is written is read again, in every version and whatever the pieces; and a snapshot
 * is the data of the moment it was begun, whatever is changed while it is being written.
 */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { loadBytes, saveBytes, snapshotOptions } from "./support.ts";
import { Local } from "../../support/local.ts";
import { Snapshot } from "../../../lib/server/persistence/snapshot.ts";
import { genericRuns } from "../../../lib/commands/generic.ts";
import { hashRuns } from "../../../lib/commands/hash.ts";
import { listRuns } from "../../../lib/commands/list.ts";
import { setRuns } from "../../../lib/commands/set.ts";
import { stringRuns } from "../../../lib/commands/string.ts";
import { zsetRuns } from "../../../lib/commands/zset.ts";
import { rangeRuns } from "../../../lib/commands/zset_range.ts";
import type { Keyspace } from "../../../lib/store/keyspace.ts";
import { digGrave } from "../../../lib/store/keyspace.ts";
import { freeSome } from "../../../lib/store/objects.ts";

// The machine may be busy.
setDefaultTimeout(60000);
const open: Local[] = [];
function local(): Local {
  const databases: Keyspace[] = [];
  const l = new Local({
    ...stringRuns,
    ...hashRuns,
    ...listRuns,
    ...setRuns,
    ...zsetRuns,
    ...rangeRuns,
    ...genericRuns(databases),
  });
  databases.push(l.keyspace);
  open.push(l);
  return l;
}
function clear(): void {
  for (const l of open) {
    l.keyspace.flush(false);
    while (digGrave(1 << 20));
    while (freeSome(1 << 20));
    l.keyspace.main.dispose();
    l.keyspace.volatile.dispose();
  }
  open.length = 0;
}
afterEach(clear);

const READ: Record<string, (key: string) => string[]> = {
  string: (k) => ["GET", k],
  list: (k) => ["LRANGE", k, "0", "-1"],
  set: (k) => ["SMEMBERS", k],
  hash: (k) => ["HGETALL", k],
  zset: (k) => ["ZRANGE", k, "0", "-1", "WITHSCORES"],
};
const members = (reply: string): string[] => JSON.parse(reply) as string[];

/** Everything in a keyspace by key: type, expiry and content, where order is free sorted. */
function content(l: Local): Map<string, string> {
  const all = new Map<string, string>();
  for (const key of members(l.do("KEYS", "*"))) {
    const type = l.do("TYPE", key).slice(1);
    const reply = l.do(...READ[type](key));
    let text = reply;
    if (type === "set") text = members(reply).sort().join(" ");
    if (type === "hash") {
      const words = members(reply);
      text = words
        .flatMap((w, i) => (i % 2 === 0 ? [`${JSON.stringify(w)}=${JSON.stringify(words[i + 1])}`] : []))
        .sort()
        .join(" ");
    }
    all.set(key, `${type} ${l.do("PEXPIRETIME", key)} ${text}`);
  }
  return all;
}
const encodings = (l: Local): [string, string][] => members(l.do("KEYS", "*")).map((key) => [key, l.do("object|encoding", "", key)]);

/** Words that are numbers, short, long, longer than a listpack's limit, or longer than a list's node. */
const word = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -300, max: 70000 }).map(String) },
  { weight: 1, arbitrary: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String) },
  { weight: 6, arbitrary: fc.string({ maxLength: 12 }).map((s) => Buffer.from(s).toString("latin1")) },
  { weight: 1, arbitrary: fc.integer({ min: 60, max: 400 }).map((n) => "w".repeat(n)) },
);
const hugeWord = fc.integer({ min: 8000, max: 40000 }).map((n) => "huge ".repeat(n / 5));
/** Not -0: packed scores do not keep its sign, as in Redis 7.2. */
const score = fc.oneof(
  fc.integer({ min: -100, max: 100 }).map(String),
  fc.double({ noNaN: true }).map((d) => String(d + 0)),
  fc.constantFrom("inf", "-inf", "0"),
);
const size = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 20 }) },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 700 }) },
);
const many = <T>(a: fc.Arbitrary<T>): fc.Arbitrary<T[]> => size.chain((n) => fc.array(a, { minLength: n, maxLength: n, size: "max" }));
const value: fc.Arbitrary<string[]> = fc.oneof(
  fc.oneof(word, hugeWord).map((w) => ["SET", w]),
  many(fc.oneof({ weight: 40, arbitrary: word }, { weight: 1, arbitrary: hugeWord })).map((w) => ["RPUSH", ...w]),
  many(word).map((w) => ["SADD", ...w]),
  many(fc.integer().map(String)).map((w) => ["SADD", ...w]),
  many(fc.tuple(word, word)).map((w) => ["HSET", ...w.flat()]),
  many(fc.tuple(score, word)).map((w) => ["ZADD", ...w.flat()]),
);
const entry = fc.record({ key: fc.nat(12).map((n) => `key:${n}`), value, expire: fc.option(fc.nat(1e9), { nil: undefined }) });
const far = 4102444800000;

function write(l: Local, key: string, words: string[], expire?: number): void {
  l.do("DEL", key);
  const reply = l.do(words[0], key, ...words.slice(1));
  if (reply.startsWith("-")) throw new Error(reply);
  if (expire !== undefined) l.do("PEXPIREAT", key, far + expire);
}

describe("round trip", () => {
  test("every type in every version, in pieces of any size", () => {
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 12 }),
        fc.integer({ min: 1, max: 20000 }),
        fc.constantFrom(9, 10, 11),
        fc.boolean(),
        fc.boolean(),
        (entries, piece, version, compress, deep) => {
          clear();
          const from = local();
          for (const e of entries) write(from, e.key, e.value, e.expire);
          const bytes = saveBytes({ version, compress, databases: [from.keyspace] });
          const to = local();
          const loaded = loadBytes(bytes, piece, { databases: [to.keyspace], deep });
          expect(loaded.failure).toBeNull();
          expect(loaded.complete).toBe(true);
          expect(content(to)).toEqual(content(from));
          // What was packed is packed again. (What was not may be now: it had shrunk.)
          // A list's pushes count the bytes of its elements, loading those of its listpack, as in Redis: near the limit they differ.
          const sum = (words: string[]): number => words.reduce((n, w) => n + Buffer.byteLength(w), 0);
          const near = new Set(entries.filter((e) => e.value[0] === "RPUSH" && sum(e.value) > 7500).map((e) => e.key));
          const packed = encodings(from).filter(([key, e]) => !/hashtable|skiplist|quicklist/.test(e) && !near.has(key!));
          expect(encodings(to)).toEqual(expect.arrayContaining(packed));
        },
      ),
      { numRuns: 120 },
    );
  });

  test("a list that just fits its listpack is one again", () => {
    // A node holds a little less: the loader makes two of it.
    for (let bytes = 7900; bytes <= 8192; bytes++) {
      clear();
      const from = local();
      write(from, "k", ["RPUSH", ...Array.from({ length: 9 }, (_, i) => String(i)), "x".repeat(bytes - 100), "10", "11"], undefined);
      const to = local();
      const loaded = loadBytes(saveBytes({ version: 11, compress: false, databases: [from.keyspace] }), 4096, {
        databases: [to.keyspace],
        deep: true,
      });
      expect(loaded.failure).toBeNull();
      expect([bytes, content(to), encodings(to)]).toEqual([bytes, content(from), encodings(from)]);
    }
  });

  test("collections of thousands of elements", () => {
    const from = local();
    const n = 12000;
    const words = Array.from({ length: n }, (_, i) => `element ${i}`);
    for (let i = 0; i < n; i += 1000) {
      const part = words.slice(i, i + 1000);
      from.do("RPUSH", "list", ...part);
      from.do("SADD", "set", ...part);
      from.do("SADD", "ints", ...part.map((_, k) => String((i + k) * 3)));
      from.do("HSET", "hash", ...part.flatMap((w) => [w, `value of ${w}`]));
      from.do("ZADD", "zset", ...part.flatMap((w, k) => [String(Math.sin(i + k)), w]));
    }
    from.do("RPUSH", "mixed", "a", "x".repeat(300000), "b", "y".repeat(9000), "c");
    const expected = content(from);
    for (const version of [9, 10, 11]) {
      const to = local();
      const bytes = saveBytes({ version, databases: [from.keyspace] });
      expect(loadBytes(bytes, 65536, { databases: [to.keyspace] }).failure).toBeNull();
      expect(content(to)).toEqual(expected);
    }
  });
});

describe("a snapshot is of one moment", () => {
  const change: fc.Arbitrary<(l: Local) => void> = fc.oneof(
    entry.map((e) => (l: Local) => write(l, e.key, e.value, e.expire)),
    fc.tuple(fc.nat(12), word).map(
      ([n, w]) =>
        (l: Local) =>
          void [
            ["RPUSH", `key:${n}`, w],
            ["LPOP", `key:${n}`, "3"],
            ["LSET", `key:${n}`, "0", w],
            ["SADD", `key:${n}`, w],
            ["SPOP", `key:${n}`, "5"],
            ["HSET", `key:${n}`, w, w],
            ["HDEL", `key:${n}`, w],
            ["ZADD", `key:${n}`, "7", w],
            ["ZREM", `key:${n}`, w],
            ["ZREMRANGEBYRANK", `key:${n}`, "0", "2"],
            ["APPEND", `key:${n}`, w],
            ["PEXPIREAT", `key:${n}`, String(far * 2)],
          ].forEach((words) => l.do(...words)),
    ),
    fc.nat(12).map((n) => (l: Local) => void l.do("DEL", `key:${n}`)),
    fc.tuple(fc.nat(12), fc.nat(12)).map(
      ([a, b]) =>
        (l: Local) =>
          void l.do("RENAME", `key:${a}`, `key:${b}`),
    ),
    fc.tuple(fc.nat(12), fc.nat(12)).map(
      ([a, b]) =>
        (l: Local) =>
          void l.do("COPY", `key:${a}`, `key:${b}`, "REPLACE"),
    ),
    { weight: 1, arbitrary: fc.constant((l: Local) => void l.keyspace.flush(true)) },
  );

  test("changes while it is written do not show", () => {
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: 1, maxLength: 12 }),
        fc.array(fc.tuple(fc.nat(3), change), { maxLength: 25 }),
        fc.constantFrom(9, 10, 11),
        (entries, changes, version) => {
          clear();
          const from = local();
          for (const e of entries) write(from, e.key, e.value, e.expire);
          const before = content(from);
          const parts: Buffer[] = [];
          const snapshot = new Snapshot(snapshotOptions({ version, databases: [from.keyspace] }), {
            write: (chunk) => void parts.push(Buffer.from(chunk)),
          });
          try {
            for (const [steps, apply] of changes) {
              // No time at all: big collections are left in the midst.
              for (let i = 0; i < steps; i++) snapshot.step(-1, 1);
              apply(from);
            }
            while (!snapshot.step(1));
          } finally {
            snapshot.abort();
          }
          const to = local();
          const loaded = loadBytes(Buffer.concat(parts), 65536, { databases: [to.keyspace] });
          expect(loaded.failure).toBeNull();
          expect(content(to)).toEqual(before);
          expect(snapshot.processed).toBe(before.size);
        },
      ),
      { numRuns: 150 },
    );
  });
});

/** RDB files: what is written is read again, whatever the pieces it comes in; broken files are refused with offset and reason. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { loadBytes, saveBytes, silentLog } from "./support.ts";
import { closeDatabases, databases, openDatabases } from "../../../lib/store/store.ts";
import { createString, region, valueBuffer, valueFrom, valueTo } from "../../../lib/store/string.ts";
import { expireOf } from "../../../lib/store/entry.ts";

beforeEach(() => openDatabases(16));
afterEach(() => closeDatabases());

function put(db: number, key: string, value: Buffer, expireMs = -1): void {
  const k = Buffer.from(key, "latin1");
  expect(createString(databases[db], k, 0, k.length, value, 0, value.length, expireMs)).not.toBe(0);
}
function get(db: number, key: string): { value: Buffer; expireMs: number } | null {
  const k = Buffer.from(key, "latin1");
  const ref = databases[db].peek(k, 0, k.length);
  if (ref === 0) return null;
  region(ref);
  return { value: Buffer.from(valueBuffer.subarray(valueFrom, valueTo)), expireMs: expireOf(ref) };
}

const far = 4102444800000;

describe("strings", () => {
  test("any bytes, databases and expiries come back, in pieces of any size, in each version", () => {
    const value = fc.oneof(
      fc.uint8Array({ maxLength: 80 }).map((a) => Buffer.from(a)),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((n) => Buffer.from(String(n))),
      fc.nat(100000).map((n) => Buffer.from(String(n))),
      fc
        .tuple(fc.uint8Array({ maxLength: 5 }), fc.nat(3000))
        .map(([a, n]) => Buffer.concat(Array.from({ length: n + 1 }, () => Buffer.from(a)))),
    );
    const entry = fc.record({
      db: fc.nat(15),
      key: fc.string({ maxLength: 30 }),
      value,
      expire: fc.option(fc.nat(1e9), { nil: undefined }),
    });
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 40 }),
        fc.integer({ min: 1, max: 3000 }),
        fc.constantFrom(9, 10, 11),
        (entries, piece, version) => {
          closeDatabases();
          openDatabases(16);
          const model = new Map<string, { value: Buffer; expireMs: number }>();
          for (const { db, key, value, expire } of entries) {
            const name = `${db} ${Buffer.from(key).toString("latin1")}`;
            if (model.has(name)) continue;
            const expireMs = expire === undefined ? -1 : far + expire;
            model.set(name, { value, expireMs });
            put(db, Buffer.from(key).toString("latin1"), value, expireMs);
          }
          const bytes = saveBytes({ version });
          closeDatabases();
          openDatabases(16);
          const loaded = loadBytes(bytes, piece);
          expect(loaded.failure).toBeNull();
          expect(loaded.info.keys).toBe(model.size);
          for (const [name, expected] of model) {
            const at = name.indexOf(" ");
            expect(get(Number(name.slice(0, at)), name.slice(at + 1))).toEqual(expected);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("values of megabytes", () => {
    const big = Buffer.alloc(3 * 1024 * 1024, "0123456789abcdef");
    const medium = Buffer.alloc(200 * 1024, "xy");
    put(0, "big", big);
    put(0, "medium", medium);
    const bytes = saveBytes({});
    closeDatabases();
    openDatabases(16);
    expect(loadBytes(bytes, 65536).failure).toBeNull();
    expect(get(0, "big")!.value.equals(big)).toBe(true);
    expect(get(0, "medium")!.value.equals(medium)).toBe(true);
  });

  test("keys whose time has come stay away from a master and stay on a replica", () => {
    put(0, "gone", Buffer.from("1"), 1000);
    put(0, "stays", Buffer.from("2"), far);
    const bytes = saveBytes({});
    closeDatabases();
    openDatabases(16);
    const master = loadBytes(bytes, 1000, { dropExpired: true });
    expect([master.info.keys, master.info.expired]).toEqual([1, 1]);
    closeDatabases();
    openDatabases(16);
    const replica = loadBytes(bytes, 1000, { dropExpired: false });
    expect([replica.info.keys, replica.info.expired]).toEqual([2, 0]);
  });
});

describe("broken files", () => {
  test("every cut is noticed", () => {
    for (let i = 0; i < 20; i++) put(i % 3, `key:${i}`, Buffer.from(`value of ${i} `.repeat(i)), i % 2 === 0 ? far : -1);
    const bytes = saveBytes({});
    for (let n = 0; n < bytes.length; n++) {
      closeDatabases();
      openDatabases(16);
      expect(loadBytes(bytes.subarray(0, n), 100).complete).toBe(false);
    }
  });

  test("every changed byte is noticed", () => {
    for (let i = 0; i < 10; i++) put(0, `key:${i}`, Buffer.from(`value of ${i} `.repeat(i)));
    const bytes = saveBytes({});
    for (let n = 9; n < bytes.length; n++) {
      closeDatabases();
      openDatabases(16);
      const broken = Buffer.from(bytes);
      broken[n] ^= 0x55;
      const loaded = loadBytes(broken, 4096);
      // Eight zeros for a checksum mean that there is none; one changed byte cannot make them.
      expect(loaded.complete).toBe(false);
    }
  });

  test("wrong signature, version, database, duplicate", () => {
    expect(loadBytes(Buffer.from("REDOS0010xxxxxxx"), 100).failure).toBe("Wrong signature trying to load DB from file");
    expect(loadBytes(Buffer.from("REDIS0012xxxxxxx"), 100).failure).toBe("Can't handle RDB format version 12");
    expect(loadBytes(Buffer.from("REDIS0010\xfe\x20", "latin1"), 100).failure).toBe("Database 32 of 16");
    const twice = Buffer.from("REDIS0010\xfe\x00\x00\x01a\x01b\x00\x01a\x01c", "latin1");
    expect(loadBytes(twice, 100).failure).toBe("RDB has duplicated key 'a' in DB 0");
    expect(silentLog.lines.at(-1)).toBe("RDB has duplicated key 'a' in DB 0");
  });
});

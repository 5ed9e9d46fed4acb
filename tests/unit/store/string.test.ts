/** Strings: encodings as OBJECT ENCODING names them, ranges, growth across the 1 MiB line, integers at the edges, out of memory. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { bytesOf } from "../../../lib/bytes/ascii.ts";
import * as arena from "../../../lib/store/arena.ts";
import * as entry from "../../../lib/store/entry.ts";
import type { Keyspace } from "../../../lib/store/keyspace.ts";
import * as store from "../../../lib/store/store.ts";
import * as strings from "../../../lib/store/string.ts";

let ks: Keyspace;
let memory = 0;
beforeEach(() => {
  memory = arena.usedMemory();
  store.openDatabases(1);
  ks = store.databases[0];
});
afterEach(() => {
  store.closeDatabases();
  expect(arena.usedMemory()).toBe(memory);
});

function set(key: string, value: string | Buffer): number {
  const k = bytesOf(key);
  const v = typeof value === "string" ? bytesOf(value) : value;
  return strings.setString(ks, k, 0, k.length, v, 0, v.length, false);
}
const write = (key: string) => ks.lookupWrite(bytesOf(key), 0, key.length);
function text(ref: number): string {
  strings.region(ref);
  return strings.valueBuffer.toString("latin1", strings.valueFrom, strings.valueTo);
}
const encoding = (ref: number) => entry.encodingNames[entry.encodingOf(ref)];

const encodings = [
  ["12345", "int"],
  ["-1", "int"],
  ["0", "int"],
  ["-0", "embstr"],
  ["012", "embstr"],
  ["+1", "embstr"],
  ["9223372036854775807", "int"],
  ["9223372036854775808", "embstr"],
  ["-9223372036854775808", "int"],
  ["-9223372036854775809", "embstr"],
  ["99999999999999999999", "embstr"],
  ["", "embstr"],
  ["x".repeat(44), "embstr"],
  ["x".repeat(45), "raw"],
  ["x".repeat(2 << 20), "raw"],
] as const;

test("strings are encoded as Redis does", () => {
  for (const [value, name] of encodings) {
    expect([value.slice(0, 50), encoding(set("k", value))]).toEqual([value.slice(0, 50), name]);
    expect(text(write("k")) === value).toBe(true);
  }
});

test("appending makes a string raw, adding makes it int, setting chooses anew", () => {
  set("k", "10");
  strings.append(ks, write("k"), bytesOf("5"), 0, 1);
  expect(encoding(write("k"))).toBe("raw");
  expect(strings.addInteger(ks, write("k"), 1)).toBe(strings.ADD_OK);
  expect(encoding(write("k"))).toBe("int");
  expect(text(write("k"))).toBe("106");
  strings.setRange(ks, write("k"), 1, bytesOf("9"), 0, 1);
  expect(text(write("k"))).toBe("196");
  expect(encoding(write("k"))).toBe("raw");
});

test.each([
  [0, -1, "hello"],
  [1, 3, "ell"],
  [-3, -1, "llo"],
  [-1, -3, ""],
  [3, 1, ""],
  [-100, 1, "he"],
  [2, 100, "llo"],
  [5, 10, ""],
  [-100, -90, "h"],
])("GETRANGE %d %d of hello", (start, end, part) => {
  const ref = set("k", "hello");
  const n = strings.getRange(ref, start, end);
  expect(n).toBe(part.length);
  if (n > 0) expect(strings.valueBuffer.toString("latin1", strings.valueFrom, strings.valueTo)).toBe(part);
});

test("GETRANGE with far ends of an empty string", () => {
  expect(strings.getRange(set("k", ""), 0, -1)).toBe(0);
});

test("integers at the edges of int64 and of doubles", () => {
  const add = (value: string, delta: bigint | number) => {
    const ref = set("k", value);
    return typeof delta === "bigint" ? strings.addBigInteger(ks, ref, delta) : strings.addInteger(ks, ref, delta);
  };
  expect(add("9223372036854775806", 1)).toBe(strings.ADD_OK);
  expect(text(strings.addedRef)).toBe("9223372036854775807");
  expect(add("9223372036854775807", 1)).toBe(strings.ADD_OVERFLOW);
  expect(text(write("k"))).toBe("9223372036854775807");
  expect(add("-9223372036854775808", -1)).toBe(strings.ADD_OVERFLOW);
  expect(add("9007199254740991", 1)).toBe(strings.ADD_OK);
  expect(text(strings.addedRef)).toBe("9007199254740992");
  expect(add("9007199254740993", 2)).toBe(strings.ADD_OK);
  expect(text(strings.addedRef)).toBe("9007199254740995");
  expect(add("1", 9223372036854775806n)).toBe(strings.ADD_OK);
  expect(text(strings.addedRef)).toBe("9223372036854775807");
  for (const wrong of ["", "abc", "1.5", " 1", "1 ", "01", "x".repeat(2 << 20)]) expect(add(wrong, 1)).toBe(strings.ADD_NOT_INTEGER);
  expect(text(strings.createInteger(ks, bytesOf("new"), 0, 3, -7))).toBe("-7");
});

test("a string grows over 1 MiB into the huge table and back, by SET, APPEND and SETRANGE", () => {
  const piece = Buffer.alloc(300_000, 0x61);
  set("k", "start:");
  for (let i = 0; i < 8; i++) expect(strings.append(ks, write("k"), piece, 0, piece.length)).not.toBe(0);
  expect(strings.stringLength(write("k"))).toBe(6 + 8 * 300_000);
  expect(entry.encodingOf(write("k"))).toBe(entry.HUGE);
  strings.getRange(write("k"), 0, 8);
  expect(strings.valueBuffer.toString("latin1", strings.valueFrom, strings.valueTo)).toBe("start:aaa");
  strings.setRange(ks, write("k"), 5_000_000, bytesOf("end"), 0, 3);
  strings.getRange(write("k"), -5, -1);
  expect(strings.valueBuffer.toString("latin1", strings.valueFrom, strings.valueTo)).toBe("\0\0end");
  const big = Buffer.alloc(2 << 20, 0x62);
  set("k", big);
  expect(strings.stringLength(write("k"))).toBe(2 << 20);
  expect(ks.setExpire(write("k"), 1e15)).not.toBe(0);
  expect(text(write("k")) === big.toString("latin1")).toBe(true);
  set("k", "small");
  expect(text(write("k"))).toBe("small");
  expect(arena.hugeUsedBytes()).toBe(0);
  expect(entry.expireOf(write("k"))).toBe(-1);
  strings.setRange(ks, write("k"), 2_000_000, bytesOf("x"), 0, 1);
  strings.getRange(write("k"), 3, 6);
  expect(strings.valueBuffer.toString("latin1", strings.valueFrom, strings.valueTo)).toBe("ll\0\0");
  const before = strings.stringLength(write("k"));
  expect(strings.growString(ks, write("k"), 10)).not.toBe(0);
  expect(strings.stringLength(write("k"))).toBe(before);
});

test("out of memory: writes answer 0 and change nothing", () => {
  set("k", "value");
  arena.setMaxSegments(1);
  let fillers = 0;
  const filler = Buffer.alloc(1 << 20, 0x66);
  while (set(`f${fillers}`, filler) !== 0) fillers++;
  const small = Buffer.alloc(30_000, 0x67);
  while (set(`g${fillers}`, small) !== 0) fillers++;
  expect(fillers).toBeGreaterThan(10);
  const ref = write("k");
  expect(set("k", small)).toBe(0);
  expect(strings.append(ks, write("k"), small, 0, small.length)).toBe(0);
  expect(strings.setRange(ks, write("k"), 60_000, small, 0, 9)).toBe(0);
  expect(ks.resizeValue(write("k"), 60_000)).toBe(0);
  expect(write("k")).toBe(ref);
  expect(text(ref)).toBe("value");
  arena.setMaxSegments(arena.MAX_SEGMENTS);
});

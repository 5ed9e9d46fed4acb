import { expect, test } from "bun:test";
import { humanBytes, memoryText, parseMemory, parseMemoryExact, parsePercent } from "../../../lib/bytes/memory.ts";

test("amounts of memory", () => {
  const rows: [string, number | null][] = [
    ["0", 0],
    ["100", 100],
    ["100b", 100],
    ["1k", 1000],
    ["1kb", 1024],
    ["2M", 2e6],
    ["2MB", 2097152],
    ["1g", 1e9],
    ["1Gb", 1073741824],
    ["", 0],
    ["mb", 0],
    ["-1", null],
    ["1.5gb", null],
    ["1tb", null],
    ["1 gb", null],
    ["gb1", null],
  ];
  for (const [t, v] of rows) expect([t, parseMemory(t)]).toEqual([t, v]);
  expect(parseMemoryExact("9223372036854775807")).toBe(2n ** 63n - 1n);
  expect(parseMemoryExact("99999999999999999999999")).toBe(2n ** 64n - 1n);
  expect(["50%", "0%", "050%", "-1%", "%", "50"].map(parsePercent)).toEqual([50, 0, null, null, null, null]);
});

test("amounts as CONFIG REWRITE and INFO print them", () => {
  expect([0, 1000, 1024, 67108864, 3221225472, 1048577].map(memoryText)).toEqual(["0", "1000", "1kb", "64mb", "3gb", "1048577"]);
  expect([0, 1023, 1024, 1152, 1536, 1608, 1048576, 1.5 * 1024 ** 3, 2 * 1024 ** 5].map(humanBytes)).toEqual([
    "0B",
    "1023B",
    "1.00K",
    "1.12K",
    "1.50K",
    "1.57K",
    "1.00M",
    "1.50G",
    "2.00P",
  ]);
});

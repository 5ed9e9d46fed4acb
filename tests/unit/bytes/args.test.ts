import { expect, test } from "bun:test";
import fc from "fast-check";
import { quoteArg, splitArgs } from "../../../lib/bytes/args.ts";

test("splitArgs reads words, double and single quotes", () => {
  const rows: [string, string[] | null][] = [
    ["", []],
    ["  \t\r\n", []],
    ["set a  b\r\n", ["set", "a", "b"]],
    ['"a b" c', ["a b", "c"]],
    ['"\\x41\\xff\\n\\r\\t\\b\\a\\"\\q\\x4"', ['A\xff\n\r\t\b\x07"qx4']],
    ["'a\\'b\\n' x", ["a'b\\n", "x"]],
    ['""', [""]],
    ["''", [""]],
    ['save ""', ["save", ""]],
    ['a"b c"', ["ab c"]],
    ["a'b c' d", ["ab c", "d"]],
    ['"foo"bar', null],
    ["'foo'bar", null],
    ['"foo', null],
    ["'foo", null],
    ['"foo\\"', null],
    ['"foo\\', null],
    ["a\\nb", ["a\\nb"]],
    ["a\vb \f c", ["a\vb", "c"]],
    ["a b\0c d", ["a", "b"]],
    ['"a\0b"', null],
    ["# x", ["#", "x"]],
  ];
  for (const [line, words] of rows) expect([line, splitArgs(line)]).toEqual([line, words]);
});

test("quoteArg is read back by splitArgs", () => {
  expect(quoteArg('a"\\\n\x00\xff')).toBe('"a\\"\\\\\\n\\x00\\xff"');
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), (list) => {
      const words = list.map((b) => Buffer.from(b).toString("latin1"));
      expect(splitArgs(words.map(quoteArg).join(" "))).toEqual(words);
    }),
  );
});

import { expect, test } from "bun:test";
import fc from "fast-check";
import { compareBytes, copyBytes, moveBytes, sameBytes } from "../../../lib/bytes/copy.ts";

test("copies and moves of any length, also in shared memory", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(150),
      fc.nat(150),
      fc.nat(90),
      fc.boolean(),
      (bytes, from, to, length, shared) => {
        const room = (fill: number) => Buffer.from(shared ? new SharedArrayBuffer(400) : new ArrayBuffer(400)).fill(fill);
        const source = room(1);
        source.set(bytes, 7);
        const target = room(2);
        expect(copyBytes(target, to, source, from, from + length)).toBe(to + length);
        expect(
          target.equals(Buffer.concat([Buffer.alloc(to, 2), source.subarray(from, from + length), Buffer.alloc(400 - to - length, 2)])),
        ).toBe(true);
        expect(sameBytes(target, to, to + length, source, from, from + length)).toBe(true);
        const wanted = Buffer.from(source);
        Buffer.from(source).copy(wanted, to, from, from + length);
        moveBytes(source, to, from, from + length);
        expect(source.equals(wanted)).toBe(true);
      },
    ),
  );
});

test("compareBytes orders as Buffer.compare", () => {
  const small = fc.uint8Array({ maxLength: 4, max: 3 });
  fc.assert(
    fc.property(small, small, (a, b) => {
      expect(Math.sign(compareBytes(a, 0, a.length, b, 0, b.length))).toBe(Buffer.compare(a, b));
      expect(sameBytes(a, 0, a.length, b, 0, b.length)).toBe(Buffer.compare(a, b) === 0);
    }),
  );
  expect(compareBytes(Buffer.from([0x80]), 0, 1, Buffer.from([0x7f]), 0, 1)).toBeGreaterThan(0);
});

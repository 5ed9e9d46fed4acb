/**
 * The stream's buffer against a model: the model keeps every byte ever put in and, for each reader, how far it is. Whatever is appended, read
 * and let go in whatever order, a reader sees exactly the bytes after its place, and what a reader or the backlog's size needs stays.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ReplicationBuffer, type Reader } from "../../../lib/server/replication/buffer.ts";

/** Byte n of the stream; long runs differ, so that a wrong place shows. */
const byteAt = (n: number): number => (n * 31 + (n >> 8) * 7 + (n >> 16)) & 255;

/** Bytes after offset `from`, `length` of them. */
function stream(from: number, length: number): Buffer {
  const b = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) b[i] = byteAt(from + i);
  return b;
}

function append(buffer: ReplicationBuffer, length: number): void {
  buffer.append(stream(buffer.end, length), 0, length);
}

/** Reads `most` bytes and checks each. Returns how many there were. */
function readSome(buffer: ReplicationBuffer, reader: Reader, most: number): number {
  let total = 0;
  while (total < most) {
    const piece = buffer.peek(reader);
    if (piece === null) break;
    const k = Math.min(piece.length, most - total);
    expect(piece.subarray(0, k).equals(stream(reader.offset, k))).toBe(true);
    buffer.advance(reader, k);
    total += k;
  }
  return total;
}

type Step =
  | { kind: "append"; length: number }
  | { kind: "open"; back: number }
  | { kind: "fork"; which: number }
  | { kind: "read"; which: number; most: number }
  | { kind: "release"; which: number }
  | { kind: "size"; bytes: number }
  | { kind: "keeps"; on: boolean };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("append" as const), length: fc.oneof(fc.nat(60), fc.nat(90000)) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("open" as const), back: fc.nat(60000) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("fork" as const), which: fc.nat(9) }) },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("read" as const), which: fc.nat(9), most: fc.oneof(fc.nat(100), fc.nat(200000)) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("release" as const), which: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("size" as const), bytes: fc.integer({ min: 1, max: 200000 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("keeps" as const), on: fc.boolean() }) },
  ),
  { maxLength: 60 },
);

test("readers see the stream, byte for byte, from where they stand; nothing that is needed is dropped", () => {
  fc.assert(
    fc.property(steps, fc.nat(1e6), (script, begin) => {
      const buffer = new ReplicationBuffer(16384);
      buffer.restart(begin);
      buffer.keeps = true;
      const readers: Reader[] = [];
      const pick = (which: number): Reader | undefined => readers[which % Math.max(1, readers.length)];
      // Where the backlog began to be kept without a break: bytes from here on may not be missing.
      let keptFrom = begin;
      for (const step of script) {
        if (step.kind === "append") append(buffer, step.length);
        else if (step.kind === "open") {
          const offset = buffer.end - step.back;
          const reader = buffer.read(offset);
          const kept = offset >= buffer.start && offset <= buffer.end;
          expect(reader !== null).toBe(kept);
          if (reader !== null) readers.push(reader);
        } else if (step.kind === "fork") {
          const reader = pick(step.which);
          if (reader !== undefined) readers.push(buffer.fork(reader));
        } else if (step.kind === "read") {
          const reader = pick(step.which);
          if (reader !== undefined) {
            const left = buffer.end - reader.offset;
            expect(readSome(buffer, reader, step.most)).toBe(Math.min(left, step.most));
          }
        } else if (step.kind === "release") {
          const reader = pick(step.which);
          if (reader !== undefined) {
            readers.splice(readers.indexOf(reader), 1);
            buffer.release(reader);
          }
        } else if (step.kind === "size") {
          buffer.sizeBytes = step.bytes;
          keptFrom = Math.max(keptFrom, buffer.start);
        } else {
          buffer.keeps = step.on;
          buffer.trim();
          keptFrom = buffer.start;
        }
        expect(buffer.length).toBe(buffer.end - buffer.start);
        for (const reader of readers) expect(reader.offset).toBeGreaterThanOrEqual(buffer.start);
        if (buffer.keeps) expect(buffer.start).toBeLessThanOrEqual(Math.max(keptFrom, buffer.end - buffer.sizeBytes));
      }
      for (const reader of readers) {
        const left = buffer.end - reader.offset;
        expect(readSome(buffer, reader, Infinity)).toBe(left);
      }
    }),
    { numRuns: 150 },
  );
});

test("what nobody needs goes: the buffer is not much longer than the backlog", () => {
  const buffer = new ReplicationBuffer(64 * 1024);
  buffer.keeps = true;
  for (let i = 0; i < 300; i++) append(buffer, 5000);
  expect(buffer.length).toBeGreaterThanOrEqual(64 * 1024);
  expect(buffer.length).toBeLessThan(80 * 1024);
  expect(buffer.memoryBytes).toBeLessThan(90 * 1024);
});

test("a slow reader holds the bytes behind it, and letting it go frees them", () => {
  const buffer = new ReplicationBuffer(16384);
  buffer.keeps = true;
  append(buffer, 100);
  const slow = buffer.read(50)!;
  for (let i = 0; i < 100; i++) append(buffer, 10000);
  expect(buffer.length).toBeGreaterThan(1000000);
  expect(readSome(buffer, slow, 500000)).toBe(500000);
  buffer.release(slow);
  expect(buffer.length).toBeLessThan(32 * 1024);
  expect(buffer.memoryBytes).toBeLessThan(40 * 1024);
});

test("a reader that came before the first byte gets a write larger than the backlog whole", () => {
  const buffer = new ReplicationBuffer(16384);
  buffer.restart(777);
  buffer.keeps = true;
  const reader = buffer.read(777)!;
  expect(buffer.peek(reader)).toBeNull();
  append(buffer, 1000000);
  expect(readSome(buffer, reader, Infinity)).toBe(1000000);
});

test("without a backlog only readers keep bytes", () => {
  const buffer = new ReplicationBuffer(16384);
  const reader = buffer.read(0)!;
  append(buffer, 300000);
  expect(buffer.length).toBe(300000);
  buffer.release(reader);
  expect(buffer.length).toBeLessThan(10000);
});

test("restart begins another history at another offset", () => {
  const buffer = new ReplicationBuffer(16384);
  buffer.keeps = true;
  append(buffer, 30000);
  buffer.restart(1e12);
  expect(buffer.length).toBe(0);
  expect(buffer.memoryBytes).toBe(0);
  expect(buffer.read(29999)).toBeNull();
  const reader = buffer.read(1e12)!;
  append(buffer, 20);
  expect(buffer.end).toBe(1e12 + 20);
  expect(readSome(buffer, reader, Infinity)).toBe(20);
});

test("latest gives the last bytes, however they lie in blocks", () => {
  const buffer = new ReplicationBuffer(16384);
  buffer.keeps = true;
  append(buffer, 100);
  expect(buffer.latest(256).equals(stream(0, 100))).toBe(true);
  append(buffer, 20000);
  expect(buffer.latest(5000).equals(stream(buffer.end - 5000, 5000))).toBe(true);
});

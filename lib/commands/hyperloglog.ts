/** PFADD PFCOUNT PFMERGE PFDEBUG PFSELFTEST (Redis hyperloglog.c) on strings that hold a HyperLogLog (store/hyperloglog.ts). Warm. */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_STRING } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { HUGE, RAW, STRING, encodingOf, setEncoding, typeOf } from "../store/entry.ts";
import * as hll from "../store/hyperloglog.ts";
import type { Keyspace } from "../store/keyspace.ts";
import * as value from "../store/string.ts";
import { keyspaceOf, touchedBy } from "./effects.ts";

const NOT_ONE = errorLine("WRONGTYPE Key is not a valid HyperLogLog string value.");
const BROKEN = errorLine("INVALIDOBJ Corrupted HLL object detected");
const NO_KEY = errorLine("ERR The specified key does not exist");
const NOT_SPARSE = errorLine("ERR HLL encoding is not sparse");

const scratch = new hll.Scratch();

/** True when ref holds a HyperLogLog, whose bytes are then the string's region; else the error is replied. */
function check(c: Call, ref: number): boolean {
  if (typeOf(ref) !== STRING) c.out.error(ERR.wrongType);
  else {
    value.region(ref);
    if (hll.isHyperLogLog(value.valueBuffer, value.valueFrom, value.valueTo)) return true;
    c.out.error(NOT_ONE);
  }
  return false;
}

/** Puts the scratch into the key under argument i, whose entry is ref (0: none yet). False after -OOM. */
function writeBack(c: Call, ks: Keyspace, i: number, ref: number): boolean {
  const { bytes, length } = scratch;
  const to =
    ref === 0 ? value.createString(ks, c.buf, c.s(i), c.e(i), bytes, 0, length, -1) : value.overwrite(ks, ref, bytes, 0, length, RAW, true);
  if (to === 0) c.out.error(ERR.oom);
  else if (encodingOf(to) !== HUGE) setEncoding(to, RAW);
  return to !== 0;
}

function pfadd(c: Call): void {
  const ks = keyspaceOf(c);
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref !== 0 && !check(c, ref)) return;
  let updated = ref === 0 ? 1 : 0;
  if (ref !== 0 && value.valueBuffer[value.valueFrom + 4] === hll.DENSE) {
    ref = value.growString(ks, ref, hll.DENSE_BYTES);
    if (ref === 0) return c.out.error(ERR.oom);
    value.region(ref);
    const b = value.valueBuffer;
    const at = value.valueFrom;
    for (let i = 2; i < c.argc; i++) {
      const pattern = hll.look(c.buf, c.s(i), c.e(i));
      if (hll.denseRaise(b, at + hll.HEADER_BYTES, hll.register, pattern)) updated++;
    }
    if (updated > 0) hll.forgetCount(b, at);
  } else {
    if (ref === 0) scratch.clear();
    else scratch.load(value.valueBuffer, value.valueFrom, value.valueTo);
    for (let i = 2; i < c.argc; i++) {
      const pattern = hll.look(c.buf, c.s(i), c.e(i));
      const raised = scratch.raise(hll.register, pattern);
      if (raised < 0) return c.out.error(BROKEN);
      updated += raised;
    }
    if (updated > 0) {
      hll.forgetCount(scratch.bytes, 0);
      if (!writeBack(c, ks, 1, ref)) return;
    }
  }
  if (updated > 0) touchedBy(c, 1, NOTIFY_STRING, "pfadd", updated);
  c.out.int(updated > 0 ? 1 : 0);
}

/** Raises `registers` to those of all keys from argument `first` on; how many were dense, -1 after an error reply. */
function mergeKeys(c: Call, registers: Uint8Array, first: number): number {
  const ks = keyspaceOf(c);
  let dense = 0;
  for (let i = first; i < c.argc; i++) {
    const ref = ks.lookupRead(c.buf, c.s(i), c.e(i));
    if (ref === 0) continue;
    if (!check(c, ref)) return -1;
    if (value.valueBuffer[value.valueFrom + 4] === hll.DENSE) dense++;
    if (!hll.mergeInto(registers, value.valueBuffer, value.valueFrom, value.valueTo)) {
      c.out.error(BROKEN);
      return -1;
    }
  }
  return dense;
}

function pfcount(c: Call): void {
  if (c.argc > 2) {
    const registers = new Uint8Array(hll.REGISTERS);
    if (mergeKeys(c, registers, 1) >= 0) c.out.int(hll.countOfRegisters(registers));
    return;
  }
  const ks = keyspaceOf(c);
  const ref = ks.lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (!check(c, ref)) return;
  let count = hll.cachedCount(value.valueBuffer, value.valueFrom);
  if (count >= 0) return c.out.int(count);
  count = hll.countOf(value.valueBuffer, value.valueFrom, value.valueTo);
  if (count < 0) return c.out.error(BROKEN);
  // It reads, and yet it changes what is remembered: that goes to replicas too.
  const own = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (own !== 0) {
    value.region(own);
    hll.setCachedCount(value.valueBuffer, value.valueFrom, count);
    ks.modified(c.buf, c.s(1), c.e(1));
    c.dirty++;
  }
  c.out.int(count);
}

function pfmerge(c: Call): void {
  const registers = new Uint8Array(hll.REGISTERS);
  const dense = mergeKeys(c, registers, 1);
  if (dense < 0) return;
  const ks = keyspaceOf(c);
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) scratch.clear();
  else {
    value.region(ref);
    scratch.load(value.valueBuffer, value.valueFrom, value.valueTo);
  }
  if (dense > 0 && !scratch.toDense()) return c.out.error(BROKEN);
  for (let i = 0; i < hll.REGISTERS; i++) if (registers[i] > 0) scratch.raise(i, registers[i]);
  hll.forgetCount(scratch.bytes, 0);
  if (!writeBack(c, ks, 1, ref)) return;
  touchedBy(c, 1, NOTIFY_STRING, "pfadd", 1);
  c.out.ok();
}

// ---------------------------------------------------------------------------------------------------------------------- tests

/** The runs in words: z zeros, Z many zeros, v a value. */
function decoded(b: Buffer, start: number, end: number): string {
  const words: string[] = [];
  let p = start + hll.HEADER_BYTES;
  hll.eachRun(b, start, end, (_first, length, v) => {
    if (v > 0) words.push(`v:${v},${length}`);
    else words.push(`${b[p] & 64 ? "Z" : "z"}:${length}`);
    p += v === 0 && b[p] & 64 ? 2 : 1;
  });
  return words.join(" ");
}

/** PFDEBUG GETREG | DECODE | ENCODING | TODENSE key. */
function pfdebug(c: Call): void {
  const ks = keyspaceOf(c);
  const ref = ks.lookupWrite(c.buf, c.s(2), c.e(2));
  if (ref === 0) return c.out.error(NO_KEY);
  if (!check(c, ref)) return;
  const what = c.lower(1);
  if (!["getreg", "decode", "encoding", "todense"].includes(what)) return c.out.errorText(`ERR Unknown PFDEBUG subcommand '${c.text(1)}'`);
  if (c.argc !== 3) return c.out.errorText(`ERR Wrong number of arguments for the '${c.text(1)}' subcommand`);
  const b = value.valueBuffer;
  const start = value.valueFrom;
  const dense = b[start + 4] === hll.DENSE;
  if (what === "encoding") return c.out.status(dense ? "dense" : "sparse");
  if (what === "decode") {
    if (dense) return c.out.error(NOT_SPARSE);
    return c.out.bulkText(decoded(b, start, value.valueTo));
  }
  scratch.load(b, start, value.valueTo);
  if (!dense) {
    if (!scratch.toDense()) return c.out.error(BROKEN);
    if (!writeBack(c, ks, 2, ref)) return;
    c.dirty++;
  }
  if (what === "todense") return c.out.int(dense ? 0 : 1);
  c.out.array(hll.REGISTERS);
  for (let i = 0; i < hll.REGISTERS; i++) c.out.int(hll.denseGet(scratch.bytes, hll.HEADER_BYTES, i));
}

const TEST_ELEMENTS = 100000;
const STANDARD_ERROR = 1.04 / Math.sqrt(hll.REGISTERS);

/** PFSELFTEST: dense and sparse agree, and the error is what it may be. */
function pfselftest(c: Call): void {
  const sparse = new hll.Scratch();
  const dense = new hll.Scratch();
  sparse.clear();
  dense.clear();
  dense.toDense();
  const element = Buffer.alloc(8);
  const seed = Math.floor(Math.random() * 2 ** 32);
  for (let n = 1, next = 1; n <= TEST_ELEMENTS; n++) {
    element.writeUInt32LE((n ^ seed) >>> 0, 0);
    const pattern = hll.look(element, 0, 8);
    const at = hll.register;
    dense.raise(at, pattern);
    if (sparse.raise(at, pattern) < 0) return c.out.errorText("ERR TESTFAILED sparse encoding is broken");
    if (n !== next) continue;
    const count = hll.countOf(dense.bytes, 0, dense.length);
    if (count !== hll.countOf(sparse.bytes, 0, sparse.length)) return c.out.errorText("ERR TESTFAILED dense/sparse disagree");
    const off = Math.abs(count - n);
    if (off > (n === 10 ? 1 : Math.ceil(STANDARD_ERROR * 6 * n)))
      return c.out.errorText(`ERR TESTFAILED Too big error. card:${n} abserr:${off}`);
    next *= 10;
  }
  c.out.ok();
}

export const hyperloglogRuns: Record<string, Run> = { pfadd, pfcount, pfmerge, pfdebug, pfselftest };

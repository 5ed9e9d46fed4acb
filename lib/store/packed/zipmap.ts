/**
 * Zipmaps, reading only: small hashes of Redis before 2.6, which RDB files of that age still carry. Loading turns them into listpacks.
 *
 *     zipmap  count (254 and up: count them) | field | value ... | 0xff
 *     field   length | bytes                      length: 1 byte below 254, else 254 and u32
 *     value   length | free u8 | bytes | `free` unused bytes
 *
 * Check with `zmValid(..., true)` first; the walk trusts what it accepted. The pair read last is in the module's variables.
 */
import { lpAppend, lpNew, lpPrepare } from "./listpack_edit.ts";
import { LP_EMPTY } from "./listpack.ts";

const END = 0xff;
const BIG = 254;

/** The pair `zmRead` found: bytes in b. */
export let zmFieldStart = 0;
export let zmFieldEnd = 0;
export let zmValueStart = 0;
export let zmValueEnd = 0;

function lengthAt(b: Uint8Array, p: number): number {
  return b[p] < BIG ? b[p] : (b[p + 1] | (b[p + 2] << 8) | (b[p + 3] << 16) | (b[p + 4] << 24)) >>> 0;
}

/** First pair, or -1. */
export function zmFirst(b: Uint8Array, zm: number): number {
  return b[zm + 1] === END ? -1 : zm + 1;
}

/** Reads the pair at p into the zm* variables; returns the next pair, or -1. */
export function zmRead(b: Uint8Array, p: number): number {
  zmFieldStart = p + (b[p] < BIG ? 1 : 5);
  zmFieldEnd = zmFieldStart + lengthAt(b, p);
  const head = b[zmFieldEnd] < BIG ? 1 : 5;
  zmValueStart = zmFieldEnd + head + 1;
  zmValueEnd = zmValueStart + lengthAt(b, zmFieldEnd);
  const next = zmValueEnd + b[zmFieldEnd + head];
  return b[next] === END ? -1 : next;
}

/** True when b[zm, zm + size) is a zipmap that can be trusted (Redis zipmapValidateIntegrity): not empty, all inside, the count right. */
export function zmValid(b: Uint8Array, zm: number, size: number, deep: boolean): boolean {
  if (size < 2) return false;
  const last = zm + size - 1;
  if (b[last] !== END) return false;
  if (!deep) return true;
  let count = 0;
  let p = zm + 1;
  while (b[p] !== END) {
    let head = b[p] < BIG ? 1 : 5;
    if (p + head > last) return false;
    p += head + lengthAt(b, p);
    if (p > last) return false;
    head = b[p] < BIG ? 1 : 5;
    if (p + head > last) return false;
    p += head + 1 + lengthAt(b, p) + b[p + head];
    if (p > last) return false;
    count++;
  }
  return p === last && count > 0 && (b[zm] === BIG || b[zm] === count);
}

/** Bytes of the listpack with the same fields and values. */
export function zmListpackBytes(b: Uint8Array, zm: number): number {
  let bytes = LP_EMPTY;
  for (let p = zmFirst(b, zm); p >= 0;) {
    p = zmRead(b, p);
    bytes += lpPrepare(b, zmFieldStart, zmFieldEnd) + lpPrepare(b, zmValueStart, zmValueEnd);
  }
  return bytes;
}

/** Writes the listpack with the same fields and values at out[outLp], which has room for `zmListpackBytes`; returns its bytes. */
export function zmToListpack(b: Uint8Array, zm: number, out: Uint8Array, outLp: number): number {
  let bytes = lpNew(out, outLp);
  for (let p = zmFirst(b, zm); p >= 0;) {
    p = zmRead(b, p);
    lpPrepare(b, zmFieldStart, zmFieldEnd);
    lpAppend(out, outLp);
    lpPrepare(b, zmValueStart, zmValueEnd);
    bytes = lpAppend(out, outLp);
  }
  return bytes;
}

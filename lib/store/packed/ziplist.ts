/**
 * Ziplists, reading only: what Redis before 7 stored in RDB files where listpacks are today. Loading turns them into listpacks at once.
 *
 *     ziplist  bytes u32 | offset of the last entry u32 | count u16 (65535: count them) | entry ... | 0xff
 *     entry    length of the previous entry (1 byte, or 0xfe and u32) | encoding | payload
 *
 * As in listpack.ts a ziplist is (b, zl), an entry its position, and the entry read last is in the module's variables.
 * Check with `zlValid(..., true)` first; the walks trust what it accepted.
 */
import { lpAppend, lpNew, lpPrepare, lpPrepareInt, lpPrepareInt64 } from "./listpack_edit.ts";
import { LP_EMPTY } from "./listpack.ts";

const HEADER = 10;
const END = 0xff;

/** What `zlRead` found; the fields mean what listpack.ts' el* fields mean. */
export let zlIsInt = false;
export let zlInt = 0;
export let zlHi = 0;
export let zlLo = 0;
export let zlStart = 0;
export let zlEnd = 0;

function u32(b: Uint8Array, at: number): number {
  return (b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24)) >>> 0;
}

/** Bytes of the encoding field that begins with c; 0 when there is no such encoding. */
function encodingBytes(c: number): number {
  if (c < 0x40) return 1;
  if (c < 0x80) return 2;
  if (c === 0x80) return 5;
  return c === 0xc0 || c === 0xd0 || c === 0xe0 || c === 0xf0 || (c >= 0xf1 && c <= 0xfe) ? 1 : 0;
}

/** Bytes of the payload whose encoding field is at p. */
function payloadBytes(b: Uint8Array, p: number): number {
  const c = b[p];
  if (c < 0x40) return c;
  if (c < 0x80) return ((c & 0x3f) << 8) | b[p + 1];
  if (c === 0x80) return ((b[p + 1] << 24) | (b[p + 2] << 16) | (b[p + 3] << 8) | b[p + 4]) >>> 0;
  if (c === 0xc0) return 2;
  if (c === 0xd0) return 4;
  if (c === 0xe0) return 8;
  if (c === 0xf0) return 3;
  return c === 0xfe ? 1 : 0;
}

/** First entry, or -1. */
export function zlFirst(b: Uint8Array, zl: number): number {
  return b[zl + HEADER] === END ? -1 : zl + HEADER;
}

/** Reads the entry at p into the zl* variables; returns the next entry, or -1. */
export function zlRead(b: Uint8Array, p: number): number {
  const at = p + (b[p] < 0xfe ? 1 : 5);
  const c = b[at];
  const start = at + encodingBytes(c);
  const end = start + payloadBytes(b, at);
  zlIsInt = c >= 0xc0;
  if (!zlIsInt) {
    zlStart = start;
    zlEnd = end;
  } else if (c === 0xc0) zlInt = ((b[start] | (b[start + 1] << 8)) << 16) >> 16;
  else if (c === 0xd0) zlInt = u32(b, start) | 0;
  else if (c === 0xf0) zlInt = ((b[start] | (b[start + 1] << 8) | (b[start + 2] << 16)) << 8) >> 8;
  else if (c === 0xfe) zlInt = (b[start] << 24) >> 24;
  else if (c === 0xe0) {
    zlLo = u32(b, start);
    zlHi = u32(b, start + 4) | 0;
    const v = zlHi * 4294967296 + zlLo;
    zlInt = v <= 9007199254740991 && v >= -9007199254740991 ? v : NaN;
  } else zlInt = (c & 15) - 1;
  return b[end] === END ? -1 : end;
}

/** True when b[zl, zl + size) is a ziplist that can be trusted (Redis ziplistValidateIntegrity). */
export function zlValid(b: Uint8Array, zl: number, size: number, deep: boolean): boolean {
  if (size < HEADER + 1 || u32(b, zl) !== size) return false;
  const last = zl + size - 1;
  const tail = u32(b, zl + 4);
  if (b[last] !== END || tail > size - 1) return false;
  if (!deep) return true;
  let p = zl + HEADER;
  let previous = -1;
  let previousBytes = 0;
  let count = 0;
  while (b[p] !== END) {
    const prefix = b[p] < 0xfe ? 1 : 5;
    const at = p + prefix;
    if (at > last) return false;
    const head = encodingBytes(b[at]);
    if (head === 0 || at + head > last) return false;
    const next = at + head + payloadBytes(b, at);
    if (next > last) return false;
    if ((prefix === 1 ? b[p] : u32(b, p + 1)) !== previousBytes) return false;
    previous = p;
    previousBytes = next - p;
    p = next;
    count++;
  }
  const known = b[zl + 8] | (b[zl + 9] << 8);
  return p === last && (previous < 0 || previous === zl + tail) && (known === 65535 || known === count);
}

/** Prepares the entry read last as a listpack element; returns the bytes it will take there. */
export function zlPrepare(b: Uint8Array): number {
  if (!zlIsInt) return lpPrepare(b, zlStart, zlEnd);
  return zlInt === zlInt ? lpPrepareInt(zlInt) : lpPrepareInt64(zlHi, zlLo);
}

/** Bytes of the listpack with the same entries. */
export function zlListpackBytes(b: Uint8Array, zl: number): number {
  let bytes = LP_EMPTY;
  for (let p = zlFirst(b, zl); p >= 0;) {
    p = zlRead(b, p);
    bytes += zlPrepare(b);
  }
  return bytes;
}

/** Writes the listpack with the same entries at out[outLp], which has room for `zlListpackBytes`; returns its bytes. */
export function zlToListpack(b: Uint8Array, zl: number, out: Uint8Array, outLp: number): number {
  let bytes = lpNew(out, outLp);
  for (let p = zlFirst(b, zl); p >= 0;) {
    p = zlRead(b, p);
    zlPrepare(b);
    bytes = lpAppend(out, outLp);
  }
  return bytes;
}

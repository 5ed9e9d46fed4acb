/**
 * The nodes of big lists (quicklist.ts): what lies in their blocks. HOT.
 *
 *   node   next ref | previous ref | kind | bytes of what follows      16 bytes, then
 *          PACKED: a listpack     PLAIN: the element's bytes     HUGE: id and length of a value in the huge table
 *
 * Elements that were read are in `gotB`, `gotStart`, `gotEnd`, which hold until the next look-up or edit.
 */
import { UNIT_MASK, free, huge, hugeFree, m32, m8 } from "./arena.ts";
import { elEnd, elIsInt, elStart, elWrite, lpBytes, lpLength, lpRead, lpSeek } from "./packed/listpack.ts";

export const NODE_HEADER = 16;
export const PACKED = 0;
export const PLAIN = 1;
export const HUGE_ELEMENT = 2;

/** The element found last. */
export let gotB: Buffer = Buffer.alloc(0);
export let gotStart = 0;
export let gotEnd = 0;
const text = Buffer.alloc(32);

export function words(node: number): Int32Array {
  return m32[node >>> 23];
}
export function base(node: number): number {
  return (node & UNIT_MASK) << 1;
}
/** Byte position of what follows the header. */
export function bodyOf(node: number): number {
  return ((node & UNIT_MASK) << 3) + NODE_HEADER;
}
export function nextOf(node: number): number {
  return words(node)[base(node)];
}
export function previousOf(node: number): number {
  return words(node)[base(node) + 1];
}
export function kindOf(node: number): number {
  return words(node)[base(node) + 2];
}
/** True for a node that is one long element. */
export function isPlain(node: number): boolean {
  return kindOf(node) !== PACKED;
}
/** Elements in a node. */
export function countOf(node: number): number {
  return kindOf(node) === PACKED ? lpLength(m8[node >>> 23], bodyOf(node)) : 1;
}
/** Bytes of a node's listpack. */
export function packBytes(node: number): number {
  return lpBytes(m8[node >>> 23], bodyOf(node));
}

/** Points got* at element `index` of a node. */
export function readElement(node: number, index: number): void {
  const b = m8[node >>> 23];
  if (kindOf(node) === PACKED) readPacked(b, lpSeek(b, bodyOf(node), index));
  else readPlain(node);
}
/** Points got* at the element of a node that is one. */
export function readPlain(node: number): void {
  const w = words(node);
  const at = base(node);
  if (w[at + 2] === HUGE_ELEMENT) {
    gotB = huge[w[at + 4]]!;
    gotStart = 0;
    gotEnd = w[at + 5] >>> 0;
    return;
  }
  gotB = m8[node >>> 23];
  gotStart = bodyOf(node);
  gotEnd = gotStart + w[at + 3];
}
/** Points got* at the listpack element at p. */
export function readPacked(b: Buffer, p: number): void {
  lpRead(b, p);
  if (elIsInt) {
    gotB = text;
    gotStart = 0;
    gotEnd = elWrite(b, text, 0);
  } else {
    gotB = b;
    gotStart = elStart;
    gotEnd = elEnd;
  }
}

/** Gives a node's block back, and the huge value that it may name. */
export function freeBlock(node: number): void {
  if (kindOf(node) === HUGE_ELEMENT) hugeFree(words(node)[base(node) + 4]);
  free(node);
}

/**
 * The nodes of big lists (quicklist.ts): what lies in their blocks. HOT.
 *
 *   node   next ref | previous ref | kind and gap << 2 | bytes of a PLAIN element      16 bytes, then
 *          PACKED: gap unused bytes, a listpack, unused bytes
 *          PLAIN: the element's bytes     HUGE: id and length of a value in the huge table     (their gap is 0)
 *
 * Pushes and pops at the head move the listpack's header into the gap and out of it, and leave the elements where they are.
 *
 * Elements that were read are in `gotB`, `gotStart`, `gotEnd`, which hold until the next look-up or edit.
 */
import { UNIT_MASK, free, huge, hugeFree, m32, m8, usableBytes } from "./arena.ts";
import { moveBytes } from "../bytes/copy.ts";
import { elEnd, elIsInt, elStart, elWrite, lpBytes, lpLength, lpRead, lpSeek } from "./packed/listpack.ts";

export const NODE_HEADER = 16;
export const PACKED = 0;
export const PLAIN = 1;
export const HUGE_ELEMENT = 2;
const KIND_MASK = 3;
const GAP_SHIFT = 2;

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
/** Unused bytes between the header and the listpack. */
export function gapOf(node: number): number {
  return words(node)[base(node) + 2] >>> GAP_SHIFT;
}
/** Says where a node's listpack begins, which is there already. */
export function setGap(node: number, gap: number): void {
  words(node)[base(node) + 2] = PACKED | (gap << GAP_SHIFT);
}
/** Byte position of the listpack, or of the element that stands alone. */
export function bodyOf(node: number): number {
  return ((node & UNIT_MASK) << 3) + NODE_HEADER + gapOf(node);
}
export function nextOf(node: number): number {
  return words(node)[base(node)];
}
export function previousOf(node: number): number {
  return words(node)[base(node) + 1];
}
export function kindOf(node: number): number {
  return words(node)[base(node) + 2] & KIND_MASK;
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
  if ((w[at + 2] & KIND_MASK) === HUGE_ELEMENT) {
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

/** Bytes of a node's block that its listpack does not take. */
export function slackOf(node: number): number {
  return usableBytes(node) - NODE_HEADER - packBytes(node);
}
/** Moves a node's listpack inside its block, so that `gap` bytes are free before it. */
export function slide(node: number, gap: number): void {
  const from = bodyOf(node);
  moveBytes(m8[node >>> 23], from - gapOf(node) + gap, from, from + packBytes(node));
  setGap(node, gap);
}

/** Gives a node's block back, and the huge value that it may name. */
export function freeBlock(node: number): void {
  if (kindOf(node) === HUGE_ELEMENT) hugeFree(words(node)[base(node) + 4]);
  free(node);
}

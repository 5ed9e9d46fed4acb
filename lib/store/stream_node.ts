/**
 * The nodes of streams: what lies in their listpacks (stream.ts has the picture), read and written where they lie. HOT.
 *
 * A node is opened before it is looked at: `nodeB`, `nodeLp`, and after readMaster what its master entry says, hold until the next one is.
 */
import { UNIT_MASK, free, huge, hugeFree, m8 } from "./arena.ts";
import type { NodeSource } from "./frozen_stream.ts";
import { elHi, elInt, elIsInt, elLo, lpBytes, lpFirst, lpRead, lpSkip } from "./packed/listpack.ts";
import { lpPrepareInt, lpPrepareInt64, lpReplace } from "./packed/listpack_edit.ts";
import type { StreamId } from "./stream_id.ts";

/** Node numbers from here on name huge buffers. */
export const HUGE_BASE = 2 ** 33;
export const DELETED = 1;
export const SAME_FIELDS = 2;

/** The node opened last: its listpack is nodeB[nodeLp ...). */
export let nodeB: Buffer = Buffer.alloc(0);
export let nodeLp = 0;
export function open(node: number): void {
  if (node >= HUGE_BASE) {
    nodeB = huge[node - HUGE_BASE]!;
    nodeLp = 0;
  } else {
    nodeB = m8[node >>> 23];
    nodeLp = (node & UNIT_MASK) << 3;
  }
}

/** Opens a node of a stream, or of what a stream was. */
export function openIn(source: NodeSource, node: number): void {
  const body = source.bodies?.get(node);
  if (body === undefined) return open(node);
  nodeB = body;
  nodeLp = 0;
}

/** Each node's master id and listpack. Only between two of them the stream may change, and only when it is frozen. */
export function* packsOf(source: NodeSource): Generator<{ id: StreamId; b: Buffer; start: number; end: number }> {
  for (const [id, node] of source.nodes) {
    openIn(source, node);
    yield { id, b: nodeB, start: nodeLp, end: nodeLp + lpBytes(nodeB, nodeLp) };
  }
}

/** Reads the integer element at p as a number: counts and flags. */
export function small(b: Buffer, p: number): number {
  lpRead(b, p);
  return elIsInt && elInt === elInt ? elInt : 0;
}
/** Reads the integer element at p whole: differences of ids. */
export function wide(b: Buffer, p: number): bigint {
  lpRead(b, p);
  if (!elIsInt) return 0n;
  return elInt === elInt ? BigInt(elInt) : (BigInt(elHi) << 32n) | BigInt(elLo);
}
export function prepareWide(v: bigint): number {
  const n = BigInt.asIntN(64, v);
  const exact = Number(n);
  if (Number.isSafeInteger(exact)) return lpPrepareInt(exact);
  return lpPrepareInt64(Number(BigInt.asIntN(32, n >> 32n)), Number(n & 0xffffffffn));
}

/** What the master entry of the node opened last says. */
export let entries = 0;
export let deleted = 0;
export let masterFields = 0;
/** Positions of the first master field, and of the first entry (or the end byte). */
export let masterAt = 0;
export let firstAt = 0;
export function readMaster(): void {
  let p = nodeLp + 6;
  entries = small(nodeB, p);
  p = lpSkip(nodeB, p);
  deleted = small(nodeB, p);
  p = lpSkip(nodeB, p);
  masterFields = small(nodeB, p);
  p = lpSkip(nodeB, p);
  masterAt = p;
  for (let i = 0; i <= masterFields; i++) p = lpSkip(nodeB, p);
  firstAt = p;
}

export function freeBlock(node: number): void {
  if (node >= HUGE_BASE) hugeFree(node - HUGE_BASE);
  else free(node);
}

/** Writes the counters of the node opened last, of which `entries` and `deleted` are what it has. */
export function setCounts(count: number, gone: number): void {
  lpPrepareInt(count);
  lpReplace(nodeB, nodeLp, nodeLp + 6);
  if (gone !== deleted) {
    lpPrepareInt(gone);
    lpReplace(nodeB, nodeLp, lpSkip(nodeB, nodeLp + 6));
  }
  entries = count;
  deleted = gone;
}

/**
 * True when a listpack b[lp ...) that is valid as such is a stream node: counters, and every entry's shape. Redis t_stream.c
 * streamValidateListpackIntegrity.
 */
export function nodeValid(b: Buffer, lp: number, deep: boolean): boolean {
  if (!deep) return true;
  const end = lp + lpBytes(b, lp) - 1;
  let p = lpFirst(b, lp);
  let bad = p < 0;
  const int = (): number => {
    if (bad || p >= end) {
      bad = true;
      return 0;
    }
    p = lpRead(b, p);
    if (!elIsInt) bad = true;
    return elIsInt ? elInt : 0;
  };
  const skip = (n: number): void => {
    for (; n > 0 && !bad; n--) {
      if (p >= end) bad = true;
      else p = lpSkip(b, p);
    }
  };
  let alive = int();
  let dead = int();
  const names = int();
  if (bad || !(alive >= 0 && dead >= 0 && names >= 0)) return false;
  skip(names);
  if (int() !== 0) return false;
  for (let left = alive + dead; left > 0 && !bad; left--) {
    const flags = int();
    int();
    int();
    const same = (flags & SAME_FIELDS) !== 0;
    const fields = same ? names : int();
    if (!(fields >= 0)) return false;
    skip(same ? fields : 2 * fields);
    if ((flags & DELETED) !== 0) dead--;
    else alive--;
    if (int() !== (same ? fields + 3 : 2 * fields + 4)) return false;
  }
  return !bad && p === end && alive === 0 && dead === 0;
}

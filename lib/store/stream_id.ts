/**
 * Ids of stream entries, and a sorted map from ids. An id is one bigint of 128 bits: milliseconds above, sequence number below, so that ids
 * compare, increase and wrap as Redis' do (t_stream.c streamID). Warm.
 *
 * IdMap keeps ids in sorted chunks: adding at the end and taking from the front, which is what streams do, cost a step or two, everything else
 * a binary search. A walk that changes the map on its way goes from id to id with `ceil` and `floor`, which leave what they found in
 * `foundId` and `found`.
 */
import { parseUint64, u64Hi, u64Lo, writeInt } from "../bytes/number.ts";

export type StreamId = bigint;
export const ID_MAX = (1n << 128n) - 1n;
const SEQ_BITS = 64n;
export const SEQ_MAX = (1n << SEQ_BITS) - 1n;
/** Longest text that is looked at (Redis: a buffer of 128 bytes). */
const TEXT_MAX = 127;

export function makeId(ms: bigint, seq: bigint): StreamId {
  return (ms << SEQ_BITS) | seq;
}
export function msOf(id: StreamId): bigint {
  return id >> SEQ_BITS;
}
export function seqOf(id: StreamId): bigint {
  return id & SEQ_MAX;
}
/** `ms-seq`. */
export function idText(id: StreamId): string {
  return `${id >> SEQ_BITS}-${id & SEQ_MAX}`;
}

/** What parseId read, and whether its sequence number was there (it is not in `5-*`). */
export let parsedId: StreamId = 0n;
export let seqGiven = true;

function uint64(): bigint {
  return u64Hi < 0x200000 ? BigInt(u64Hi * 4294967296 + u64Lo) : (BigInt(u64Hi) << 32n) | BigInt(u64Lo);
}

/**
 * Reads `ms-seq`, or `ms` with `missingSeq`, from b[start, end) into parsedId. Not strict: `-` and `+` are the least and the greatest id.
 * autoSeq: `ms-*` passes too, with seqGiven false. False when it is no id. Redis t_stream.c streamGenericParseIDOrReply.
 */
export function parseId(b: Buffer, start: number, end: number, missingSeq: bigint, strict: boolean, autoSeq = false): boolean {
  const length = end - start;
  if (length > TEXT_MAX) return false;
  seqGiven = true;
  if (length === 1 && (b[start] === 45 || b[start] === 43)) {
    parsedId = b[start] === 45 ? 0n : ID_MAX;
    return !strict;
  }
  let dash = start;
  while (dash < end && b[dash] !== 45) dash++;
  if (!parseUint64(b, start, dash)) return false;
  const ms = uint64();
  let seq = missingSeq;
  if (dash < end) {
    if (autoSeq && end - dash === 2 && b[dash + 1] === 42) {
      seqGiven = false;
      seq = 0n;
    } else {
      if (!parseUint64(b, dash + 1, end)) return false;
      seq = uint64();
    }
  }
  parsedId = makeId(ms, seq);
  return true;
}

/** What parseHalves read: milliseconds and sequence number, -1 when that is `*`. */
export let halfMs = 0;
export let halfSeq = 0;

/** Reads `ms-seq` or `ms-*` from b[start, end) without BigInts. False when it is not that, or a half is beyond 2^53: then parseId decides. HOT. */
export function parseHalves(b: Buffer, start: number, end: number): boolean {
  let dash = start;
  while (dash < end && b[dash] !== 45) dash++;
  if (dash >= end - 1 || !parseUint64(b, start, dash) || u64Hi >= 0x200000) return false;
  halfMs = u64Hi * 4294967296 + u64Lo;
  if (end - dash === 2 && b[dash + 1] === 42) {
    halfSeq = -1;
    return true;
  }
  if (!parseUint64(b, dash + 1, end) || u64Hi >= 0x200000) return false;
  halfSeq = u64Hi * 4294967296 + u64Lo;
  return true;
}

/** Writes `ms-seq` at b[at]; the position after it (at most 33 bytes). */
export function writeHalves(b: Uint8Array, at: number, ms: number, seq: number): number {
  at = writeInt(b, at, ms);
  b[at] = 45;
  return writeInt(b, at + 1, seq);
}

/** The halves of an id as numbers; NaN when it is beyond 2^53. */
export function narrow(half: bigint): number {
  return half <= NARROW_MAX ? Number(half) : NaN;
}
const NARROW_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** Entries of a chunk before it is split. */
const CHUNK_MAX = 256;

interface Chunk<V> {
  ids: StreamId[];
  values: V[];
  /** A snapshot has it too: it is copied before it changes. */
  shared: boolean;
}

/** What IdMap.ceil and IdMap.floor found. The value is in the map's `found`. */
export let foundId: StreamId = 0n;

/** First index of a sorted array whose id is not below `id`. */
function lowerBound(ids: StreamId[], id: StreamId): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ids[middle] < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class IdMap<V> {
  size: number;
  /** The value that ceil or floor found. */
  found: V | undefined;
  private chunks: Chunk<V>[];

  constructor() {
    this.size = 0;
    this.found = undefined;
    this.chunks = [];
  }

  /** The chunk that holds the id, or would: the first whose last id is not below it; chunks.length when all are below. */
  private chunkFor(id: StreamId): number {
    const { chunks } = this;
    let low = 0;
    let high = chunks.length;
    // The newest ids are asked for most.
    if (high > 0 && chunks[high - 1].ids[0] <= id) low = high - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      const { ids } = chunks[middle];
      if (ids[ids.length - 1] < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The chunk at an index, to be changed. */
  private own(at: number): Chunk<V> {
    const c = this.chunks[at];
    if (!c.shared) return c;
    const copy = { ids: c.ids.slice(), values: c.values.slice(), shared: false };
    this.chunks[at] = copy;
    return copy;
  }

  /** The map as it is now, for reading, whatever becomes of this one: a step for each chunk. The values are the same ones. */
  snapshot(): IdMap<V> {
    const to = new IdMap<V>();
    for (const c of this.chunks) c.shared = true;
    to.chunks = this.chunks.slice();
    to.size = this.size;
    return to;
  }

  get(id: StreamId): V | undefined {
    const c = this.chunks[this.chunkFor(id)];
    if (c === undefined) return undefined;
    const i = lowerBound(c.ids, id);
    return c.ids[i] === id ? c.values[i] : undefined;
  }

  /** Sets a value; true when the id is new. */
  set(id: StreamId, value: V): boolean {
    const at = this.chunkFor(id);
    if (at === this.chunks.length) {
      const last = this.chunks[at - 1];
      if (last !== undefined && last.ids.length < CHUNK_MAX) {
        const mine = this.own(at - 1);
        mine.ids.push(id);
        mine.values.push(value);
      } else this.chunks.push({ ids: [id], values: [value], shared: false });
      this.size++;
      return true;
    }
    const c = this.own(at);
    const i = lowerBound(c.ids, id);
    if (c.ids[i] === id) {
      c.values[i] = value;
      return false;
    }
    c.ids.splice(i, 0, id);
    c.values.splice(i, 0, value);
    if (c.ids.length > CHUNK_MAX) {
      const half = c.ids.length >> 1;
      this.chunks.splice(at + 1, 0, { ids: c.ids.splice(half), values: c.values.splice(half), shared: false });
    }
    this.size++;
    return true;
  }

  delete(id: StreamId): boolean {
    const at = this.chunkFor(id);
    const c = this.chunks[at];
    if (c === undefined) return false;
    const i = lowerBound(c.ids, id);
    if (c.ids[i] !== id) return false;
    if (c.ids.length === 1) this.chunks.splice(at, 1);
    else {
      const mine = this.own(at);
      mine.ids.splice(i, 1);
      mine.values.splice(i, 1);
    }
    this.size--;
    return true;
  }

  /** Finds the first entry not below `id`. */
  ceil(id: StreamId): boolean {
    const c = this.chunks[this.chunkFor(id)];
    return c !== undefined && this.take(c, lowerBound(c.ids, id));
  }
  /** Finds the last entry not above `id`. */
  floor(id: StreamId): boolean {
    const at = this.chunkFor(id);
    const c = this.chunks[at];
    if (c !== undefined) {
      const i = lowerBound(c.ids, id);
      if (c.ids[i] === id) return this.take(c, i);
      if (i > 0) return this.take(c, i - 1);
    }
    const before = this.chunks[at - 1];
    return before !== undefined && this.take(before, before.ids.length - 1);
  }
  private take(c: Chunk<V>, i: number): boolean {
    foundId = c.ids[i];
    this.found = c.values[i];
    return true;
  }

  /** All entries in order; the map must not change meanwhile. */
  *[Symbol.iterator](): Generator<[StreamId, V]> {
    for (const c of this.chunks) for (let i = 0; i < c.ids.length; i++) yield [c.ids[i], c.values[i]];
  }
}

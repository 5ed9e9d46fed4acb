/**
 * Big values for a save that takes its time: what the key's entry said at the cut, and its value held as it was then. Cold.
 *
 *   freezeValue(db, ref) --> FrozenValue: written in slices, whatever becomes of the key --> thawValue
 *
 * By encoding: frozen_elements.ts (sets, hashes, sorted sets), frozen_list.ts, frozen_stream.ts, frozen_string.ts. Freezing takes no time to
 * speak of, and commands that change a frozen value pay for what they touch. Small values are not frozen: they are written at once.
 */
import { UNIT_MASK, countHeld, m32 } from "./arena.ts";
import type { BigZSet } from "./big_zset.ts";
import type { BigHash, BigSet } from "./elements.ts";
import * as entry from "./entry.ts";
import { HASH, HUGE, INTSET, KEY_HEADER, SET, STREAM, STRING, ZSET } from "./entry.ts";
import type { FrozenElements } from "./frozen_elements.ts";
import type { FrozenList } from "./frozen_list.ts";
import type { FrozenStream } from "./frozen_stream.ts";
import { FrozenString } from "./frozen_string.ts";
import { HashCursor } from "./hash.ts";
import { type BigObject, freeObject, objectOf } from "./objects.ts";
import type { QuickList } from "./quicklist.ts";
import { SetCursor } from "./set.ts";
import type { Stream } from "./stream.ts";
import { ZSetCursor } from "./zset.ts";

interface Head {
  readonly db: number;
  readonly key: Buffer;
  readonly encoding: number;
  /** Unix ms, -1 for none. */
  readonly expireMs: number;
  /** The access word (access.ts). */
  readonly access: number;
}
export type FrozenValue =
  | (Head & { readonly type: typeof STRING; readonly part: FrozenString })
  | (Head & { readonly type: typeof HASH; readonly part: FrozenElements; readonly object: BigHash })
  | (Head & { readonly type: typeof SET; readonly part: FrozenElements; readonly object: BigSet })
  | (Head & { readonly type: typeof ZSET; readonly part: FrozenElements; readonly object: BigZSet })
  | (Head & { readonly type: typeof entry.LIST; readonly part: FrozenList; readonly object: QuickList })
  | (Head & { readonly type: typeof STREAM; readonly part: FrozenStream; readonly object: Stream });

/** True when an entry's value lies outside its block. */
export function isBigValue(ref: number): boolean {
  const encoding = entry.encodingOf(ref);
  return encoding === HUGE || encoding > INTSET;
}

/** Holds a big value as it is now. Once at a time. */
export function freezeValue(db: number, ref: number): FrozenValue {
  const type = entry.typeOf(ref);
  const head = {
    db,
    key: Buffer.from(entry.keyBytes(ref, KEY_HEADER)),
    encoding: entry.encodingOf(ref),
    expireMs: entry.expireOf(ref),
    access: m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2],
  };
  if (type === STRING)
    return { ...head, type, part: new FrozenString(entry.valueWord(ref, KEY_HEADER, 0), entry.valueWord(ref, KEY_HEADER, 4)) };
  const object = objectOf(ref);
  return { ...head, type, part: object.freeze(), object } as FrozenValue;
}

/** Nobody needs the value of the cut any more. */
export function thawValue(v: FrozenValue): void {
  v.part.finish();
  if (v.type === STRING || !v.part.orphan) return;
  countHeld(-v.object.byteSize());
  freeObject(v.object as BigObject);
}

// ------------------------------------------------------------------------------------------------------------------------ visits

/** The fields of a frozen hash. `next()` is false at the end, and when the elements are `paused`. */
export class FrozenHashCursor extends HashCursor {
  private readonly elements: FrozenElements;
  constructor(elements: FrozenElements, object: BigHash) {
    super();
    this.elements = elements;
    this.big = object;
  }
  override next(): boolean {
    const ref = this.elements.next();
    if (ref !== 0) this.at(ref);
    return ref !== 0;
  }
}

/** The members of a frozen set, as FrozenHashCursor. */
export class FrozenSetCursor extends SetCursor {
  private readonly elements: FrozenElements;
  constructor(elements: FrozenElements) {
    super();
    this.elements = elements;
    this.encoding = entry.HASHTABLE;
  }
  override next(): boolean {
    const ref = this.elements.next();
    if (ref !== 0) this.at(ref);
    return ref !== 0;
  }
}

/** The members of a frozen sorted set, as FrozenHashCursor. */
export class FrozenZSetCursor extends ZSetCursor {
  private readonly elements: FrozenElements;
  constructor(elements: FrozenElements) {
    super();
    this.elements = elements;
  }
  override next(): boolean {
    const ref = this.elements.next();
    if (ref !== 0) this.at(ref);
    return ref !== 0;
  }
}

/**
 * The registry of big collections. A key whose collection has outgrown its packed encoding holds the id of a BigObject: one long-lived JS
 * object a collection (its elements lie in the arena). Small collections have none: they are bytes inside the key's entry.
 *
 * Freeing: small ones go at once, large ones are queued and freed in slices from cron (freeSome), so that no DEL takes long.
 * Implemented by the big set, hash, sorted set, list and stream; their encodings are named in entry.ts.
 */
import { countExternal, countHeld } from "./arena.ts";
import { KEY_HEADER, valueWord } from "./entry.ts";

/** What every big collection does for the keyspace. */
export interface BigObject {
  /** Elements (fields, members, entries) in it. */
  readonly count: number;
  /** Its memory in bytes: blocks, tables and itself (MEMORY USAGE). */
  byteSize(): number;
  /** Frees up to about `elements` of what is left. True while something is left; after false the object must not be used. */
  freeStep(elements: number): boolean;
  /** What a running save still reads of it; null: nothing. */
  readonly frozen: Frozen | null;
  /** Holds what it is now for a save, until the part's finish(). Commands go on changing it meanwhile. */
  freeze(): Frozen;
  /** Another one with copies of all elements (COPY); null when memory is out, with nothing left behind. */
  clone(): BigObject | null;
}

/** What a save holds of a collection (frozen_value.ts). */
export interface Frozen {
  /** The collection was given up meanwhile: whoever calls finish() frees it. */
  orphan: boolean;
  finish(): void;
}

/** Bytes counted for the JS object itself. */
const OBJECT_BYTES = 128;
/** Elements up to which an object is freed at once. */
const FREE_AT_ONCE = 1024;
/** From more than this on it counts as freed lazily, as Redis counts (lazyfree.c LAZYFREE_THRESHOLD). */
const LAZY_FROM = 64;

/** The collections by id; 0 is no id. */
const objects: (BigObject | null)[] = [null];
const freeIds: number[] = [];
const queue: BigObject[] = [];
let freed = 0;

/** Registers a collection: the id to store as the value of its key (four bytes). */
export function addObject(object: BigObject): number {
  const id = freeIds.pop() ?? objects.length;
  objects[id] = object;
  countExternal(OBJECT_BYTES);
  return id;
}

/** The collection with this id. */
export function objectAt(id: number): BigObject {
  return objects[id]!;
}

/** The collection of a key (whose encoding says that it has one). */
export function objectOf(ref: number): BigObject {
  return objects[valueWord(ref, KEY_HEADER, 0)]!;
}

/** Forgets an id without freeing the collection (it goes to another key, or its owner frees it). */
export function takeObject(id: number): BigObject {
  const object = objects[id]!;
  objects[id] = null;
  freeIds.push(id);
  countExternal(-OBJECT_BYTES);
  return object;
}

/** Frees a collection: at once when it is small (or `now`), else in slices by freeSome; a frozen one when the save has read it. */
export function freeObject(object: BigObject, now = false): void {
  if (object.frozen !== null) {
    object.frozen.orphan = true;
    countHeld(object.byteSize());
    return;
  }
  if (!now && object.count > FREE_AT_ONCE) {
    queue.push(object);
    return;
  }
  if (!now && object.count > LAZY_FROM) freed++;
  while (object.freeStep(FREE_AT_ONCE));
}

/** Frees about `elements` elements of queued collections. True while some are left. */
export function freeSome(elements: number): boolean {
  const object = queue[queue.length - 1];
  if (object === undefined) return false;
  if (!object.freeStep(elements)) {
    queue.pop();
    freed++;
  }
  return queue.length > 0;
}

/** Collections waiting to be freed (INFO lazyfree_pending_objects). */
export function pendingObjects(): number {
  return queue.length;
}

/** Large collections freed since the start or CONFIG RESETSTAT (INFO lazyfreed_objects). */
export function freedObjects(): number {
  return freed;
}
export function resetFreedObjects(): void {
  freed = 0;
}

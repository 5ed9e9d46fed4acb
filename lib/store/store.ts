/**
 * The store as a whole: the databases, what concerns all of them, and the work done between requests. Cold.
 *
 *   arena.ts   memory        table.ts, dict.ts   hash tables        entry.ts     what lies in a block
 *   keyspace.ts one database string.ts           string values      objects.ts   big collections
 *   access.ts  LRU and LFU   expire.ts, evict.ts which keys go      snapshot.ts  saving without fork
 *   events.ts  what others hear about it
 *
 * The store is one per process, because memory is. It knows no clients and no commands.
 */
import { hugeUsedBytes, releaseStep, reservedBytes, usedBytes, usedMemory } from "./arena.ts";
import { events } from "./events.ts";
import { Keyspace, digGrave, graves } from "./keyspace.ts";
import { freeSome, freedObjects, pendingObjects } from "./objects.ts";
import type { SnapshotHook } from "./snapshot.ts";
import { beginSnapshot } from "./snapshot.ts";

/** The databases by index; filled by openDatabases. */
export const databases: Keyspace[] = [];

/** Makes the databases (directive `databases`). Once, before the first command; again only in tests, after closeDatabases. */
export function openDatabases(count: number): void {
  for (let i = databases.length; i < count; i++) databases.push(new Keyspace(i));
}

/** Frees everything (tests, DEBUG). */
export function closeDatabases(): void {
  flushAll(false);
  while (digGrave(1 << 20));
  while (freeSome(1 << 20));
  for (const ks of databases) {
    ks.main.dispose();
    ks.volatile.dispose();
  }
  databases.length = 0;
}

/** FLUSHALL: the number of keys that go. lazy: freed in slices by workStep. */
export function flushAll(lazy: boolean): number {
  let count = 0;
  for (const ks of databases) if (ks.size > 0) count += ks.flush(lazy);
  return count;
}

/** SWAPDB: the two databases change contents, and the sink hears of it. */
export function swapDatabases(first: number, second: number): void {
  if (first === second) return;
  databases[first].swapWith(databases[second]);
  if (events !== null) events.swapped(first, second);
}

/** Starts a snapshot of all databases (snapshot.ts). */
export function snapshotAll(hook: SnapshotHook): void {
  beginSnapshot(
    databases.map((ks) => ks.main),
    hook,
  );
}

/** Bytes given back to the system per step: 64 KiB cost about 11 us. */
const RELEASE_BYTES = 1 << 20;
/** Free pages that stay for the next allocations: this much and a thirty-second of what is used. */
const KEEP_BYTES = 4 << 20;
const KEEP_SHARE = 32;
const ENTRIES_PER_STEP = 64;
const BUCKETS_PER_STEP = 16;

/**
 * Does what waits between requests (tables that move, flushed databases, big collections to free, pages to give back) for about budgetMs.
 * True when more is waiting. microseconds: a monotonic clock.
 */
export function workStep(budgetMs: number, microseconds: () => number): boolean {
  const end = microseconds() + budgetMs * 1000;
  for (const ks of databases) {
    while (ks.main.moveSome(BUCKETS_PER_STEP)) if (microseconds() >= end) return true;
    while (ks.volatile.moveSome(BUCKETS_PER_STEP)) if (microseconds() >= end) return true;
  }
  while (freeSome(ENTRIES_PER_STEP)) if (microseconds() >= end) return true;
  while (digGrave(ENTRIES_PER_STEP)) if (microseconds() >= end) return true;
  const keep = KEEP_BYTES + usedBytes() / KEEP_SHARE;
  while (releaseStep(RELEASE_BYTES, keep) > 0) if (microseconds() >= end) return true;
  return false;
}

/** Keys and collections waiting to be freed in slices (INFO lazyfree_pending_objects). */
export function lazyfreePending(): number {
  let count = pendingObjects();
  for (const grave of graves) count += grave.main.count;
  return count;
}

/** The memory figures of INFO and MEMORY STATS, in bytes. */
export function memoryFigures(): { used: number; blocks: number; huge: number; tables: number; reserved: number; freed: number } {
  const blocks = usedBytes();
  const huge = hugeUsedBytes();
  const used = usedMemory();
  return { used, blocks, huge, tables: used - blocks - huge, reserved: reservedBytes(), freed: freedObjects() };
}

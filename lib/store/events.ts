/**
 * What the store tells the rest of the server, through one injected sink: replication, WATCH, tracking, notifications and blocked clients
 * listen there. HOT: without a sink each event costs one comparison. Keys are b[start, end), valid during the call only.
 */

/** db is the index of the keyspace. */
export interface StoreEvents {
  /** A command changed the value under this key (Redis: signalModifiedKey). Told by the commands, through Keyspace.modified. */
  modified(db: number, b: Buffer, start: number, end: number): void;
  /** A key came into being; blocked clients wait for lists, sorted sets and streams. type: entry.ts. Strings: see tellAlso. */
  added(db: number, type: number, b: Buffer, start: number, end: number): void;
  /** A command removed the key. */
  deleted(db: number, b: Buffer, start: number, end: number): void;
  /** The key's time had come: it is removed. Propagates DEL. */
  expired(db: number, b: Buffer, start: number, end: number): void;
  /** maxmemory: the key is removed. Propagates DEL. */
  evicted(db: number, b: Buffer, start: number, end: number): void;
  /** A look-up for reading found nothing. Told when asked for (tellAlso). */
  missed(db: number, b: Buffer, start: number, end: number): void;
  /** All keys of the database go at once. Told before they do. */
  flushed(db: number): void;
  /** Two databases have changed places. */
  swapped(first: number, second: number): void;
}

export let events: StoreEvents | null = null;

/** Sets the one listener, null for none. */
export function setStoreEvents(sink: StoreEvents | null): void {
  events = sink;
}

/** `added` is told for strings too. */
export let tellStrings = false;
/** `missed` is told. */
export let tellMisses = false;

/** What somebody wants to know besides (notify-keyspace-events n and m). */
export function tellAlso(strings: boolean, misses: boolean): void {
  tellStrings = strings;
  tellMisses = misses;
}

/** Counters for INFO. */
export const stats = {
  hits: 0,
  misses: 0,
  expired: 0,
  evicted: 0,
  /** Share of volatile keys thought to be expired and still there, in percent. */
  expiredStalePercent: 0,
  expiredTimeCapReached: 0,
  /** Microseconds spent in active expire cycles. */
  expireCycleUs: 0,
};

export function resetStats(): void {
  stats.hits = 0;
  stats.misses = 0;
  stats.expired = 0;
  stats.evicted = 0;
  stats.expiredStalePercent = 0;
  stats.expiredTimeCapReached = 0;
  stats.expireCycleUs = 0;
}

/**
 * WATCH: which clients' transactions a change to a key spoils. `touch` is called for every changed key and is HOT: nothing while nobody
 * watches in that database. Keys are (database, latin1 string).
 *
 *   WATCH --watch--> Watch entries --touch(db, key)--> client gets FLAG_DIRTY_CAS, EXEC answers nil
 *
 * A key that was already past its time when it was watched may be deleted without spoiling anything. Follows Redis 7.2 multi.c.
 */
import { FLAG_DIRTY_CAS, type Client } from "./client.ts";
import type { Mode } from "./mode.ts";

/** One key watched by one client. */
export interface WatchedKey {
  readonly client: Client;
  readonly db: number;
  readonly key: string;
  /** It was past its time when it was watched. */
  expired: boolean;
}

export class Watching {
  /** Keys watched now, each once a client; 0 makes everything here free. */
  count: number;
  private readonly dbs: (Map<string, Set<WatchedKey>> | undefined)[];
  private readonly mode: Mode;

  constructor(mode: Mode) {
    this.count = 0;
    this.dbs = [];
    this.mode = mode;
  }

  /** WATCH of one key of the client's database; twice is once. */
  watch(client: Client, key: string): void {
    const db = client.dbIndex;
    const own = (client.watched ??= []);
    for (const w of own) if (w.db === db && w.key === key) return;
    const entry: WatchedKey = { client, db, key, expired: this.mode.keyExpired(db, key) };
    own.push(entry);
    const keys = (this.dbs[db] ??= new Map());
    const set = keys.get(key);
    if (set === undefined) keys.set(key, new Set([entry]));
    else set.add(entry);
    this.count++;
  }

  /** UNWATCH, EXEC, DISCARD, a closed connection. */
  forget(client: Client): void {
    const own = client.watched;
    if (own === null) return;
    client.watched = null;
    for (const entry of own) {
      const keys = this.dbs[entry.db]!;
      const set = keys.get(entry.key)!;
      set.delete(entry);
      if (set.size === 0) keys.delete(entry.key);
    }
    this.count -= own.length;
  }

  /** The key buf[start, end) of database `db` has changed. */
  touch(db: number, buf: Buffer, start: number, end: number): void {
    if (this.count === 0) return;
    const keys = this.dbs[db];
    if (keys === undefined || keys.size === 0) return;
    this.touchKey(db, buf.toString("latin1", start, end));
  }

  /** The same by name. */
  touchKey(db: number, key: string): void {
    if (this.count === 0) return;
    const set = this.dbs[db]?.get(key);
    if (set === undefined) return;
    for (const entry of set) {
      if (entry.expired) {
        // Going, or gone: no change to what the client saw. Written anew in its place: that is one, and goes on below.
        if (this.mode.keyExpired(db, key)) continue;
        if (this.mode.keyType(db, key) < 0) {
          entry.expired = false;
          continue;
        }
      }
      this.spoil(entry.client);
    }
  }

  /** Database `db` is about to be emptied. */
  flushing(db: number): void {
    this.replaced(db, db, -1);
  }
  /** Two databases have changed places. */
  swapped(first: number, second: number): void {
    this.replaced(first, second, first);
    this.replaced(second, first, second);
  }

  /** What database `db` held is in `before`, what it holds from now on in `after` (-1: nothing). */
  private replaced(db: number, before: number, after: number): void {
    if (this.count === 0) return;
    const keys = this.dbs[db];
    if (keys === undefined) return;
    for (const [key, set] of keys) {
      const here = this.exists(before, key);
      const there = after >= 0 && this.exists(after, key);
      if (!here && !there) continue;
      const thereExpired = there && this.mode.keyExpired(after, key);
      for (const entry of set) {
        if (entry.expired) {
          if (!there) {
            entry.expired = false;
            continue;
          }
          if (thereExpired) continue;
        } else if (!here && thereExpired) {
          entry.expired = true;
          continue;
        }
        this.spoil(entry.client);
      }
    }
  }

  private exists(db: number, key: string): boolean {
    return this.mode.keyType(db, key) >= 0 || this.mode.keyExpired(db, key);
  }

  /** Nothing can spoil it further: what it watched may be forgotten. */
  private spoil(client: Client): void {
    client.flags |= FLAG_DIRTY_CAS;
    this.forget(client);
  }

  /** EXEC: true when a watched key's time has passed since WATCH. */
  hasExpired(client: Client): boolean {
    if (client.watched === null) return false;
    for (const w of client.watched) if (!w.expired && this.mode.keyExpired(w.db, w.key)) return true;
    return false;
  }
}

/**
 * The active expire cycle: finds keys whose time has come though nobody asks for them. Rules and figures of Redis expire.c (effort, share of
 * time, goes on in a database while more than a tenth of what it sees is stale), but cut into slices, so that no turn waits for a cycle.
 *
 *   cron, hz times a second:   cycle.beginSlow(hz)      before the loop sleeps:   cycle.beginFast()
 *   then                       while (cycle.slice(500)) give the loop a turn
 *
 * It walks each database's `volatile` table with a SCAN cursor. Only for a process that deletes expired keys (EXPIRE_DELETE).
 */
import { clock } from "../time/clock.ts";
import { RefList } from "./dict.ts";
import { expireOf } from "./entry.ts";
import { stats } from "./events.ts";
import type { Keyspace } from "./keyspace.ts";
import { EXPIRE_DELETE, currentExpirePolicy } from "./keyspace.ts";

// Redis expire.c, at effort 1; each effort more adds a quarter of the first two, two percent, and takes one percent of tolerance.
const KEYS_PER_ROUND = 20;
const FAST_US = 1000;
const SLOW_TIME_PERCENT = 25;
const ACCEPTABLE_STALE_PERCENT = 10;
const DATABASES_PER_CYCLE = 16;
const BUCKETS_PER_KEY = 20;

export class ExpireCycle {
  private readonly databases: Keyspace[];
  private readonly microseconds: () => number;
  private readonly list: RefList;
  private effort: number;
  /** Database the cycle works on, and how many it still has to visit. */
  private database: number;
  private left: number;
  private budgetUs: number;
  private fast: boolean;
  private timedOut: boolean;
  private lastFastUs: number;
  private sampled: number;
  private expired: number;

  /** microseconds: a monotonic clock, e.g. () => performance.now() * 1000. */
  constructor(databases: Keyspace[], microseconds: () => number) {
    this.databases = databases;
    this.microseconds = microseconds;
    this.list = new RefList();
    this.effort = 0;
    this.database = 0;
    this.left = 0;
    this.budgetUs = 0;
    this.fast = false;
    this.timedOut = false;
    this.lastFastUs = -1e9;
    this.sampled = 0;
    this.expired = 0;
  }

  /** active-expire-effort, 1 to 10. */
  setEffort(effort: number): void {
    this.effort = effort - 1;
  }

  /** Starts a slow cycle (or gives a running one its next share of time): a quarter of a cron period at effort 1. */
  beginSlow(hz: number): void {
    this.begin(((SLOW_TIME_PERCENT + 2 * this.effort) * 10000) / hz, false);
  }

  /** Starts a fast cycle, if the last cycle ran out of time or much is stale, and not too soon after another one. False: nothing to do. */
  beginFast(): boolean {
    if (!this.timedOut && stats.expiredStalePercent < this.acceptable()) return false;
    const duration = FAST_US + (FAST_US / 4) * this.effort;
    const now = this.microseconds();
    if (now < this.lastFastUs + duration * 2) return false;
    this.lastFastUs = now;
    this.begin(duration, true);
    return true;
  }

  private begin(budgetUs: number, fast: boolean): void {
    this.budgetUs = budgetUs;
    this.fast = fast;
    this.sampled = 0;
    this.expired = 0;
    const count = this.databases.length;
    this.left = this.timedOut ? count : Math.min(count, DATABASES_PER_CYCLE);
  }

  private acceptable(): number {
    return ACCEPTABLE_STALE_PERCENT - this.effort;
  }

  /** Works for about maxUs microseconds. True when the cycle has more to do and time left to do it. */
  slice(maxUs: number): boolean {
    if (this.left === 0 || currentExpirePolicy() !== EXPIRE_DELETE) return false;
    const from = this.microseconds();
    let spent = 0;
    let rounds = 0;
    while (this.left > 0) {
      const more = this.round(this.databases[this.database % this.databases.length]);
      if (!more) {
        this.database++;
        this.left--;
      }
      if ((++rounds & 3) !== 0 && more) continue;
      spent = this.microseconds() - from;
      if (spent >= maxUs || spent >= this.budgetUs) break;
    }
    spent = this.microseconds() - from;
    this.budgetUs -= spent;
    stats.expireCycleUs += spent;
    if (this.left > 0 && this.budgetUs > 0) return true;
    this.finish();
    return false;
  }

  private finish(): void {
    this.timedOut = this.left > 0;
    if (this.timedOut) {
      stats.expiredTimeCapReached++;
      this.database++; // the next cycle begins with the next database, or one full of stale keys would starve the others
      this.left = 0;
    }
    const percent = this.sampled === 0 ? 0 : (this.expired * 100) / this.sampled;
    stats.expiredStalePercent = percent * 0.05 + stats.expiredStalePercent * 0.95;
  }

  /** Looks at some keys of one database. True when so many were stale that it is worth going on there. */
  private round(ks: Keyspace): boolean {
    const table = ks.volatile;
    if (table.count === 0) {
      ks.avgTtlMs = 0;
      return false;
    }
    const keys = Math.min(table.count, KEYS_PER_ROUND + (KEYS_PER_ROUND / 4) * this.effort);
    const now = clock.nowMs;
    let sampled = 0;
    let expired = 0;
    let ttlSum = 0;
    for (let buckets = keys * BUCKETS_PER_KEY; buckets > 0 && sampled < keys && ks.volatile === table; buckets--) {
      this.list.clear();
      ks.expireCursor = table.scan(ks.expireCursor, this.list);
      for (let i = 0; i < this.list.count; i++) {
        const ref = this.list.refs[i];
        const ttl = expireOf(ref) - now;
        sampled++;
        if (ttl < 0) {
          ks.expire(ref);
          expired++;
        } else ttlSum += ttl;
      }
    }
    const alive = sampled - expired;
    // A running average, two hundredths for each new sample (Redis).
    if (alive > 0) ks.avgTtlMs = ks.avgTtlMs === 0 ? ttlSum / alive : (ks.avgTtlMs / 50) * 49 + ttlSum / alive / 50;
    this.sampled += sampled;
    this.expired += expired;
    if (this.fast && this.budgetUs <= 0) return false;
    return sampled === 0 || (expired * 100) / sampled > this.acceptable();
  }
}

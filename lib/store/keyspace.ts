/**
 * Keyspace: one database. HOT: look-ups and writes work on bytes and refs, no objects or strings.
 *
 *   main       Dict of all keys; the only thing that points at an entry besides `volatile`
 *   volatile   Dict of the keys with an expiry (active expire, volatile-* eviction, INFO): the same refs
 *
 * A command looks a key up (lookupRead, lookupWrite: expiry, access word, hit counters, snapshot), gets a ref and works on the entry's bytes
 * (entry.ts, string.ts, the collections). A ref is good until the next call that may move or free it: resizeValue, setExpire,
 * replaceValue return the new one. 0 from a call that needs memory means -OOM, with everything as it was.
 *
 * Out here: values of each type (string.ts, objects.ts and its implementers), the active expire cycle (expire.ts), all databases (store.ts).
 */
import { clock } from "../time/clock.ts";
import { TOUCH_LFU, TOUCH_LRU, freshAccess, lruClock, touchLfu, touchMode } from "./access.ts";
import { UNIT_MASK, alloc, copyBlock, free, hugeFree, m32, m8, roundUp, fits, usableBytes } from "./arena.ts";
import { Dict, RefList, hashOf } from "./dict.ts";
import * as entry from "./entry.ts";
import { HAS_EXPIRE, HUGE, KEY_HEADER, LISTPACK, STRING } from "./entry.ts";
import { events, stats, tellMisses, tellStrings } from "./events.ts";
import { freeObject, takeObject } from "./objects.ts";
import { hashBytes } from "./seed.ts";
import { cut, snapshotHook } from "./snapshot.ts";

// ---- what a key whose time has come is (set by role and by command: a replica applies its master's commands with EXPIRE_IGNORE)
/** Deleted as soon as it is seen, and told (a master). */
export const EXPIRE_DELETE = 0;
/** Missing, but left in place: only the master's DEL removes it (a replica; CLIENT PAUSE). */
export const EXPIRE_HIDE = 1;
/** Missing for reads, deleted by writes (a writable replica's own writes). */
export const EXPIRE_HIDE_READS = 2;
/** There like any other (loading, the master's stream). */
export const EXPIRE_IGNORE = 3;
let expirePolicy: number = EXPIRE_DELETE;

/** Sets what look-ups do with expired keys; returns the policy before, to restore it. */
export function setExpirePolicy(policy: number): number {
  const before = expirePolicy;
  expirePolicy = policy;
  return before;
}

export function currentExpirePolicy(): number {
  return expirePolicy;
}

/** Grown values may waste this share of their block before a smaller one is taken: usable >> this. */
const SHRINK_SHIFT = 2;
/** Draws of RANDOMKEY that may hit expired keys which cannot be deleted (Redis: 100, when all keys are volatile). */
const RANDOM_TRIES = 100;

/** Tables of a flushed database that wait to be freed in slices (store.ts). */
export interface Grave {
  main: Dict;
  position: number;
}
export const graves: Grave[] = [];

export class Keyspace {
  readonly index: number;
  main: Dict;
  volatile: Dict;
  /** Average time to live of volatile keys in ms, a running estimate of the active expire cycle. */
  avgTtlMs: number;
  /** Where the active expire cycle goes on in `volatile`. */
  expireCursor: number;
  /** A live entry and its hash, so that work after a look-up does not hash again. 0 = none. */
  private lastRef: number;
  private lastHash: number;

  constructor(index: number) {
    this.index = index;
    this.main = new Dict(KEY_HEADER);
    this.volatile = new Dict(KEY_HEADER);
    this.avgTtlMs = 0;
    this.expireCursor = 0;
    this.lastRef = 0;
    this.lastHash = 0;
  }

  /** Number of keys, expired ones that nobody has seen yet included (DBSIZE). */
  get size(): number {
    return this.main.count;
  }

  // ---- look-ups

  /** The key's entry for reading, 0 when there is none: counts a hit or a miss, touches the access word. */
  lookupRead(b: Buffer, start: number, end: number): number {
    const hash = hashBytes(b, start, end);
    const ref = this.main.find(b, start, end, hash);
    if (ref === 0) return this.missed(b, start, end);
    this.lastRef = ref;
    this.lastHash = hash;
    const m = m32[ref >>> 23];
    const i = (ref & UNIT_MASK) << 1;
    if ((m[i] & HAS_EXPIRE) !== 0 && this.isGone(ref, false)) return this.missed(b, start, end);
    stats.hits++;
    if (touchMode === TOUCH_LRU) m[i + 2] = (m[i + 2] & 0xff000000) | lruClock;
    else if (touchMode === TOUCH_LFU) touchLfu(ref);
    return ref;
  }

  /** The key's entry for a change, 0 when there is none. A running snapshot gets the entry first. Counts no hit or miss. */
  lookupWrite(b: Buffer, start: number, end: number): number {
    return this.lookupWriteHashed(b, start, end, hashBytes(b, start, end));
  }

  /** As lookupWrite with the key's hash known. */
  lookupWriteHashed(b: Buffer, start: number, end: number, hash: number): number {
    const ref = this.main.find(b, start, end, hash);
    if (ref === 0) return 0;
    this.lastRef = ref;
    this.lastHash = hash;
    const m = m32[ref >>> 23];
    const i = (ref & UNIT_MASK) << 1;
    if ((m[i] & HAS_EXPIRE) !== 0 && this.isGone(ref, true)) return 0;
    if (snapshotHook !== null && m[i + 2] >>> 24 !== cut) snapshotHook(this.main.cutIndex, ref);
    if (touchMode === TOUCH_LRU) m[i + 2] = (m[i + 2] & 0xff000000) | lruClock;
    else if (touchMode === TOUCH_LFU) touchLfu(ref);
    return ref;
  }

  /** As lookupRead without the touch (EXISTS, TYPE): counts a hit or a miss. */
  lookupQuiet(b: Buffer, start: number, end: number): number {
    const ref = this.peek(b, start, end);
    if (ref === 0) return this.missed(b, start, end);
    stats.hits++;
    return ref;
  }

  /** As lookupRead without counters and touch (EXISTS' kin, OBJECT, TYPE, key checks). Expired keys are missing here too. */
  peek(b: Buffer, start: number, end: number): number {
    const hash = hashBytes(b, start, end);
    const ref = this.main.find(b, start, end, hash);
    if (ref === 0) return 0;
    this.lastRef = ref;
    this.lastHash = hash;
    if ((entry.word0(ref) & HAS_EXPIRE) !== 0 && this.isGone(ref, false)) return 0;
    return ref;
  }

  /** The entry, expired or not, untouched (DEBUG, the expire cycle's kin). */
  findRaw(b: Buffer, start: number, end: number): number {
    return this.main.find(b, start, end, hashBytes(b, start, end));
  }

  private missed(b: Buffer, start: number, end: number): number {
    stats.misses++;
    if (tellMisses && events !== null) events.missed(this.index, b, start, end);
    return 0;
  }

  /** True when an entry with an expiry counts as missing now. Deletes it where the policy says so. */
  private isGone(ref: number, write: boolean): boolean {
    if (clock.nowMs <= entry.expireOf(ref) || expirePolicy === EXPIRE_IGNORE) return false;
    if (expirePolicy === EXPIRE_DELETE || (write && expirePolicy === EXPIRE_HIDE_READS)) this.expire(ref);
    return true;
  }

  /** True when the entry's time has come, whatever the policy makes of it. */
  isExpired(ref: number): boolean {
    const when = entry.expireOf(ref);
    return when >= 0 && clock.nowMs > when;
  }

  // ---- creating, resizing, removing

  /**
   * A new key (not in the database: look first) with room for valueLength bytes, which the caller writes at entry.valueStart.
   * expireMs: ms since 1970, -1 for none. Returns its ref, 0 when memory is out.
   */
  create(b: Buffer, start: number, end: number, type: number, encoding: number, valueLength: number, expireMs = -1): number {
    return this.createHashed(b, start, end, hashBytes(b, start, end), type, encoding, valueLength, expireMs);
  }

  /** As create, with the key's hash known. */
  createHashed(
    b: Buffer,
    start: number,
    end: number,
    hash: number,
    type: number,
    encoding: number,
    valueLength: number,
    expireMs: number,
  ): number {
    const length = end - start;
    const flags = expireMs < 0 ? 0 : HAS_EXPIRE;
    const ref = alloc(entry.entryBytes(KEY_HEADER, flags, length, valueLength));
    if (ref === 0) return 0;
    entry.writeHead(ref, KEY_HEADER, entry.headBits(type, encoding) | flags, length, valueLength);
    m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2] = (touchMode === TOUCH_LRU ? lruClock : freshAccess()) | (cut << 24);
    entry.copyIn(ref >>> 23, entry.keyStart(ref, KEY_HEADER), b, start, length);
    this.main.insert(ref, hash);
    if (flags !== 0) {
      entry.writeExpire(ref, expireMs);
      this.volatile.insert(ref, hash);
    }
    this.lastRef = ref;
    this.lastHash = hash;
    if ((type !== STRING || tellStrings) && events !== null) events.added(this.index, type, b, start, end);
    return ref;
  }

  /**
   * Makes the entry's value `length` bytes, keeping its bytes up to the shorter of both lengths (new ones are undefined), with room for
   * `reserve` more if it has to move. The entry's ref, maybe a new one; 0 when memory is out. For values inside the block (not HUGE).
   */
  resizeValue(ref: number, length: number, reserve = 0): number {
    const head = entry.valueStart(ref, KEY_HEADER) - entry.baseOf(ref);
    const usable = usableBytes(ref);
    const need = head + length;
    if (need <= usable && usable - roundUp(need + reserve) <= usable >> SHRINK_SHIFT) {
      entry.setValueLength(ref, length);
      return ref;
    }
    let to = alloc(need + reserve);
    if (to === 0 && reserve > 0) to = alloc(need);
    if (to === 0) return 0;
    const old = entry.valueLength(ref);
    copyBlock(ref, 0, to, 0, head + (old < length ? old : length));
    entry.setValueLength(to, length);
    this.moveRef(ref, to);
    free(ref);
    return to;
  }

  /**
   * Gives the key another value: frees what the old one had besides the block (huge buffer, collection) and makes room for `length` bytes,
   * which the caller writes. keepTtl: the expiry stays, else it goes. The entry's ref, maybe a new one; 0 when memory is out.
   */
  replaceValue(ref: number, type: number, encoding: number, length: number, keepTtl: boolean): number {
    const word = entry.word0(ref);
    const keyLength = entry.keyLength(ref, KEY_HEADER);
    const flags = keepTtl ? word & HAS_EXPIRE : 0;
    const need = entry.entryBytes(KEY_HEADER, flags, keyLength, length);
    const to = fits(ref, need) ? ref : alloc(need);
    if (to === 0) return 0;
    releaseContents(ref);
    const drops = (word & HAS_EXPIRE) !== flags;
    if (drops) this.volatile.remove(ref, this.hashFor(ref));
    const bits = entry.headBits(type, encoding) | (word & 0xf3000000) | flags;
    if (to !== ref) {
      const expire = entry.expireOf(ref);
      const from = entry.keyStart(ref, KEY_HEADER) - entry.baseOf(ref);
      entry.writeHead(to, KEY_HEADER, bits, keyLength, length);
      m32[to >>> 23][((to & UNIT_MASK) << 1) + 2] = m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2];
      if (flags !== 0) entry.writeExpire(to, expire);
      copyBlock(ref, from, to, entry.keyStart(to, KEY_HEADER) - entry.baseOf(to), keyLength);
      this.moveRef(ref, to);
      free(ref);
      return to;
    }
    if (drops) closeGap(ref, keyLength);
    entry.writeHead(ref, KEY_HEADER, bits, keyLength, length);
    return ref;
  }

  /** Removes the key: true when it was there (an expired one counts as missing). Tells `deleted`. */
  delete(b: Buffer, start: number, end: number): boolean {
    const ref = this.lookupWrite(b, start, end);
    if (ref === 0) return false;
    this.deleteRef(ref);
    return true;
  }

  /** Removes an entry that lookupWrite gave. Tells `deleted`. */
  deleteRef(ref: number): void {
    this.guard(ref);
    if (events !== null) {
      const at = entry.keyStart(ref, KEY_HEADER);
      events.deleted(this.index, m8[ref >>> 23], at, at + entry.keyLength(ref, KEY_HEADER));
    }
    this.discard(ref);
  }

  /** Removes an entry whose time has come. Tells `expired`. */
  expire(ref: number): void {
    this.guard(ref);
    stats.expired++;
    if (events !== null) {
      const at = entry.keyStart(ref, KEY_HEADER);
      events.expired(this.index, m8[ref >>> 23], at, at + entry.keyLength(ref, KEY_HEADER));
    }
    this.discard(ref);
  }

  /** Removes an entry for want of memory. Tells `evicted`. */
  evict(ref: number): void {
    this.guard(ref);
    stats.evicted++;
    if (events !== null) {
      const at = entry.keyStart(ref, KEY_HEADER);
      events.evicted(this.index, m8[ref >>> 23], at, at + entry.keyLength(ref, KEY_HEADER));
    }
    this.discard(ref);
  }

  /** Takes the entry out of the tables and frees it with all it has. */
  private discard(ref: number): void {
    this.unlink(ref);
    releaseContents(ref);
    free(ref);
  }

  private unlink(ref: number): void {
    const hash = this.hashFor(ref);
    this.main.remove(ref, hash);
    if ((entry.word0(ref) & HAS_EXPIRE) !== 0) this.volatile.remove(ref, hash);
    this.lastRef = 0;
  }

  /**
   * Moves an entry (given by lookupWrite) to another key, here or in another database, with value, type, expiry and access word (RENAME,
   * MOVE). The target key must not exist. Returns the new ref, 0 when memory is out. Tells `added`, not `deleted`.
   */
  transfer(ref: number, target: Keyspace, b: Buffer, start: number, end: number): number {
    this.guard(ref);
    const expire = entry.expireOf(ref);
    const length = entry.valueLength(ref);
    const to = target.create(b, start, end, entry.typeOf(ref), entry.encodingOf(ref), length, expire);
    if (to === 0) return 0;
    copyAccess(ref, to);
    copyBlock(ref, valueAt(ref), to, valueAt(to), length);
    this.unlink(ref);
    free(ref);
    return to;
  }

  /**
   * Copies an entry whose value lies in its block (not HUGE, not a big collection) to another key that does not exist (COPY).
   * Returns the new ref, 0 when memory is out.
   */
  copyPacked(ref: number, target: Keyspace, b: Buffer, start: number, end: number): number {
    const length = entry.valueLength(ref);
    const to = target.create(b, start, end, entry.typeOf(ref), entry.encodingOf(ref), length, entry.expireOf(ref));
    if (to !== 0) copyBlock(ref, valueAt(ref), to, valueAt(to), length);
    return to;
  }

  // ---- expiry

  /** Sets when the key expires (ms since 1970). The entry's ref, maybe a new one; 0 when memory is out. */
  setExpire(ref: number, ms: number): number {
    this.guard(ref);
    if ((entry.word0(ref) & HAS_EXPIRE) !== 0) {
      entry.writeExpire(ref, ms);
      return ref;
    }
    const used = valueAt(ref) + entry.valueLength(ref);
    let to = ref;
    if (used + 8 > usableBytes(ref)) {
      to = alloc(used + 8);
      if (to === 0) return 0;
      copyBlock(ref, 0, to, 0, KEY_HEADER);
      copyBlock(ref, KEY_HEADER, to, KEY_HEADER + 8, used - KEY_HEADER);
      this.moveRef(ref, to);
      free(ref);
    } else {
      const base = entry.baseOf(ref);
      m8[ref >>> 23].copyWithin(base + KEY_HEADER + 8, base + KEY_HEADER, base + used);
    }
    entry.setWord0(to, entry.word0(to) | HAS_EXPIRE);
    entry.writeExpire(to, ms);
    this.volatile.insert(to, this.hashFor(to));
    return to;
  }

  /** Takes the key's expiry away. False when it had none. The ref stays. */
  persist(ref: number): boolean {
    const word = entry.word0(ref);
    if ((word & HAS_EXPIRE) === 0) return false;
    this.guard(ref);
    this.volatile.remove(ref, this.hashFor(ref));
    const base = entry.baseOf(ref);
    m8[ref >>> 23].copyWithin(base + KEY_HEADER, base + KEY_HEADER + 8, base + valueAt(ref) + entry.valueLength(ref));
    entry.setWord0(ref, word & ~HAS_EXPIRE);
    return true;
  }

  // ---- the whole database

  /** Visits part of the database (SCAN): see Dict.scan. Expired keys are reported; the caller peeks. */
  scan(cursor: number, into: RefList): number {
    return this.main.scan(cursor, into);
  }

  /** A key picked fairly (RANDOMKEY), 0 when there is none. Expired keys are deleted on the way, or skipped where the policy hides them. */
  randomKey(): number {
    for (let i = 0; this.main.count > 0; i++) {
      const ref = this.main.randomRef();
      if (!this.isExpired(ref) || expirePolicy === EXPIRE_IGNORE) return ref;
      if (expirePolicy === EXPIRE_DELETE) this.expire(ref);
      // Only expired keys, and none may go: Redis gives up and answers one of them.
      else if (i >= RANDOM_TRIES && this.volatile.count === this.main.count) return ref;
    }
    return 0;
  }

  /** Removes all keys: the tables are handed over and freed in slices (lazy), or at once. Tells `flushed` first. Returns the number of keys. */
  flush(lazy: boolean): number {
    const count = this.main.count;
    if (events !== null) events.flushed(this.index);
    const grave: Grave = { main: this.main, position: 0 };
    this.volatile.dispose();
    this.main = new Dict(KEY_HEADER);
    this.volatile = new Dict(KEY_HEADER);
    this.avgTtlMs = 0;
    this.expireCursor = 0;
    this.lastRef = 0;
    graves.push(grave);
    if (!lazy) while (digGrave(1 << 16));
    return count;
  }

  /** Changes places with another database's contents (SWAPDB). The caller tells `swapped`. */
  swapWith(other: Keyspace): void {
    const { main, volatile, avgTtlMs, expireCursor } = this;
    this.main = other.main;
    this.volatile = other.volatile;
    this.avgTtlMs = other.avgTtlMs;
    this.expireCursor = other.expireCursor;
    other.main = main;
    other.volatile = volatile;
    other.avgTtlMs = avgTtlMs;
    other.expireCursor = expireCursor;
    this.lastRef = 0;
    other.lastRef = 0;
  }

  /** Tells the sink that a command changed this key. */
  modified(b: Buffer, start: number, end: number): void {
    if (events !== null) events.modified(this.index, b, start, end);
  }

  // ---- inside

  /** Gives a due entry to the running snapshot before it changes. */
  private guard(ref: number): void {
    if (snapshotHook !== null && m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2] >>> 24 !== cut) snapshotHook(this.main.cutIndex, ref);
  }

  private hashFor(ref: number): number {
    return ref === this.lastRef ? this.lastHash : hashOf(ref, KEY_HEADER);
  }

  /** Points the tables at the entry's new block. The new block must be filled in, the old one not freed yet. */
  private moveRef(from: number, to: number): void {
    const hash = this.hashFor(from);
    this.main.replace(from, to, hash);
    if ((entry.word0(to) & HAS_EXPIRE) !== 0) this.volatile.replace(from, to, hash);
    this.lastRef = to;
    this.lastHash = hash;
  }
}

/** Bytes from the block's start to the value. */
function valueAt(ref: number): number {
  return entry.valueStart(ref, KEY_HEADER) - entry.baseOf(ref);
}

function copyAccess(from: number, to: number): void {
  const m = m32[to >>> 23];
  const i = ((to & UNIT_MASK) << 1) + 2;
  m[i] = (m[i] & 0xff000000) | (m32[from >>> 23][((from & UNIT_MASK) << 1) + 2] & 0xffffff);
}

/** Moves the key bytes of an entry that loses its expiry eight bytes down. Its value is about to be written anew. */
function closeGap(ref: number, keyLength: number): void {
  const from = entry.keyStart(ref, KEY_HEADER);
  m8[ref >>> 23].copyWithin(from - 8, from, from + keyLength);
}

/** Frees what a value has besides its block. */
function releaseContents(ref: number): void {
  const encoding = entry.encodingOf(ref);
  if (encoding < HUGE) return;
  if (encoding === HUGE) hugeFree(entry.valueWord(ref, KEY_HEADER, 0));
  else if (encoding > LISTPACK + 1) freeObject(takeObject(entry.valueWord(ref, KEY_HEADER, 0)));
}

/** Frees about `entries` keys of flushed databases. True while some are left that may go now. */
export function digGrave(entries: number): boolean {
  const at = graves.findIndex((g) => !g.main.pinned);
  if (at < 0) return false;
  const grave = graves[at];
  graveList.clear();
  grave.position = grave.main.walk(grave.position, entries, graveList);
  for (let i = 0; i < graveList.count; i++) {
    releaseContents(graveList.refs[i]);
    free(graveList.refs[i]);
  }
  grave.main.count -= graveList.count;
  if (grave.position < 0) {
    grave.main.dispose();
    graves.splice(at, 1);
  }
  return graves.some((g) => !g.main.pinned);
}

const graveList = new RefList();

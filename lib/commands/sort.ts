/**
 * SORT and SORT_RO (Redis sort.c). Warm: elements and weights are bytes in scratch buffers, no strings or objects an element.
 *
 *   list, set, sorted set -> `elements` (bytes) -> weights: the elements, or what BY names -> order of indices -> GET -> reply, or a list (STORE)
 *
 * Elements are copied first, because looking keys up may expire others, and STORE may replace the very key that is sorted.
 */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { FLAG_SCRIPT } from "../clients/client.ts";
import { parseDouble } from "../bytes/number.ts";
import { NOTIFY_GENERIC, NOTIFY_LIST } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { HASH, LIST, SET, STRING, ZSET, encodingOf, typeOf, valueLength } from "../store/entry.ts";
import * as hash from "../store/hash.ts";
import { ListCursor, listAuto, listChanged, listExpect, listLength, listPush, newLooseList } from "../store/list.ts";
import { freeLoose, giveLoose, loose } from "../store/room.ts";
import { SetCursor, setLength } from "../store/set.ts";
import * as string from "../store/string.ts";
import { ZSetCursor, zsetLength } from "../store/zset.ts";
import { keyspaceOf, touched } from "./effects.ts";

const NOT_DOUBLE = errorLine("ERR One or more scores can't be converted into double");
const BY_DENIED = errorLine("ERR BY option of SORT denied due to insufficient ACL permissions.");
const GET_DENIED = errorLine("ERR GET option of SORT denied due to insufficient ACL permissions.");

/** Many byte strings, one behind the other; index i is bytes[starts[i], ends[i]). Missing ones have starts[i] = -1. */
class Strings {
  bytes: Buffer = Buffer.alloc(0);
  starts: Int32Array = new Int32Array(0);
  ends: Int32Array = new Int32Array(0);
  count = 0;
  private used = 0;

  /** Empties it and makes room for the indices of `count` strings. */
  begin(count: number): void {
    this.count = 0;
    this.used = 0;
    if (this.starts.length < count) {
      this.starts = new Int32Array(count);
      this.ends = new Int32Array(count);
    }
  }
  push(b: Buffer, start: number, end: number): void {
    const n = end - start;
    if (this.used + n > this.bytes.length) {
      const bigger = Buffer.allocUnsafeSlow((this.used + n) * 2);
      this.bytes.copy(bigger, 0, 0, this.used);
      this.bytes = bigger;
    }
    b.copy(this.bytes, this.used, start, end);
    this.starts[this.count] = this.used;
    this.used += n;
    this.ends[this.count++] = this.used;
  }
  pushMissing(): void {
    this.starts[this.count] = -1;
    this.ends[this.count++] = -1;
  }
  compare(i: number, j: number): number {
    return this.bytes.compare(this.bytes, this.starts[j], this.ends[j], this.starts[i], this.ends[i]);
  }
  /** Gives large scratch memory back. */
  end(): void {
    if (this.bytes.length > KEEP_BYTES) this.bytes = Buffer.alloc(0);
    if (this.starts.length > KEEP_BYTES / 4) this.starts = this.ends = new Int32Array(0);
    this.count = 0;
  }
}
const KEEP_BYTES = 1 << 20;

const elements = new Strings();
const weights = new Strings();
const listCursor = new ListCursor();
const setCursor = new SetCursor();
const zsetCursor = new ZSetCursor();

interface Wish {
  descending: boolean;
  alpha: boolean;
  /** Argument of the BY pattern, 0: none. */
  by: number;
  /** BY without `*`: leave the order as it is. */
  unsorted: boolean;
  from: number;
  count: number;
  /** Arguments of the GET patterns. */
  gets: number[];
  /** Argument of the STORE key, 0: none. */
  store: number;
}

/** Reads the options; null after a reply. */
function options(c: Call, readOnly: boolean, allKeys: boolean): Wish | null {
  const wish: Wish = { descending: false, alpha: false, by: 0, unsorted: false, from: 0, count: -1, gets: [], store: 0 };
  for (let i = 2; i < c.argc; i++) {
    const left = c.argc - i - 1;
    if (c.is(i, "asc")) wish.descending = false;
    else if (c.is(i, "desc")) wish.descending = true;
    else if (c.is(i, "alpha")) wish.alpha = true;
    else if (left >= 2 && c.is(i, "limit")) {
      wish.from = c.wideInteger(++i);
      wish.count = c.wideInteger(++i);
      if (wish.from !== wish.from || wish.count !== wish.count) return refuse(c, ERR.notInteger);
    } else if (left >= 1 && !readOnly && c.is(i, "store")) wish.store = ++i;
    else if (left >= 1 && c.is(i, "by")) {
      wish.by = ++i;
      if (c.view(i).indexOf(STAR) < 0) wish.unsorted = true;
      else if (!allKeys) return refuse(c, BY_DENIED);
    } else if (left >= 1 && c.is(i, "get")) {
      if (!allKeys) return refuse(c, GET_DENIED);
      wish.gets.push(++i);
    } else return refuse(c, ERR.syntax);
  }
  return wish;
}
const STAR = 42;

function refuse(c: Call, line: Buffer): null {
  c.out.error(line);
  return null;
}

// ---------------------------------------------------------------------------------------------------------------------- patterns

let name: Buffer = Buffer.alloc(256);
let foundB: Buffer = name;
let foundStart = 0;
let foundEnd = 0;

/**
 * What the pattern in argument `p` names for element i: found*. False when there is nothing. `#` is the element itself, the first `*` is
 * replaced by it, and behind `->` comes the field of a hash. Redis lookupKeyByPattern.
 */
function lookUp(c: Call, p: number, i: number): boolean {
  const pattern = c.view(p);
  const { bytes, starts, ends } = elements;
  if (pattern.length === 1 && pattern[0] === HASH_SIGN) {
    foundB = bytes;
    foundStart = starts[i];
    foundEnd = ends[i];
    return true;
  }
  const star = pattern.indexOf(STAR);
  if (star < 0) return false;
  const arrow = pattern.indexOf("->", star + 1, "latin1");
  const hasField = arrow >= 0 && arrow + 2 < pattern.length;
  const tail = hasField ? arrow : pattern.length;
  const length = star + (ends[i] - starts[i]) + (tail - star - 1);
  if (name.length < length) name = Buffer.allocUnsafeSlow(length * 2);
  pattern.copy(name, 0, 0, star);
  bytes.copy(name, star, starts[i], ends[i]);
  pattern.copy(name, star + ends[i] - starts[i], star + 1, tail);
  const ref = keyspaceOf(c).lookupRead(name, 0, length);
  if (ref === 0) return false;
  if (hasField) {
    if (typeOf(ref) !== HASH || !hash.hashGet(ref, pattern, arrow + 2, pattern.length)) return false;
    foundB = hash.gotB;
    foundStart = hash.gotStart;
    foundEnd = hash.gotEnd;
    return true;
  }
  if (typeOf(ref) !== STRING) return false;
  string.region(ref);
  foundB = string.valueBuffer;
  foundStart = string.valueFrom;
  foundEnd = string.valueTo;
  return true;
}
const HASH_SIGN = 35;

/** A weight as C's strtod reads it: blanks before it are skipped, a NUL ends it, nothing at all is 0. NaN when it is no number. */
function weightOf(b: Buffer, start: number, end: number): number {
  const v = parseDouble(b, start, end);
  if (v === v) return v;
  const nul = b.subarray(start, end).indexOf(0);
  if (nul >= 0) end = start + nul;
  if (start === end) return 0;
  while (start < end && (b[start] === 32 || (b[start] >= 9 && b[start] <= 13))) start++;
  return parseDouble(b, start, end);
}

// ---------------------------------------------------------------------------------------------------------------------- the command

/** Copies the elements to sort into `elements`: all, or, when the order stays, `n` of them from position `from` on. */
function load(ref: number, wish: Wish, size: number, from: number, n: number): void {
  if (ref === 0) return elements.begin(0);
  elements.begin(size);
  const type = typeOf(ref);
  if (type === SET) {
    for (setCursor.begin(ref); setCursor.next();) elements.push(setCursor.b, setCursor.start, setCursor.end);
    return;
  }
  const cursor = type === LIST ? listCursor : zsetCursor;
  const backwards = wish.unsorted && wish.descending;
  const at = backwards ? size - 1 - from : from;
  for (let more = cursor.begin(ref, at, backwards); more && n > 0; more = cursor.next(), n--)
    elements.push(cursor.b, cursor.start, cursor.end);
}

/** The indices of `elements` in the order wanted; null when a weight is no number. */
function sorted(c: Call, wish: Wish): Uint32Array | null {
  const n = elements.count;
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  if (wish.unsorted) return order;
  const sign = wish.descending ? -1 : 1;
  if (!wish.alpha) {
    const scores = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      if (wish.by === 0) scores[i] = weightOf(elements.bytes, elements.starts[i], elements.ends[i]);
      else if (lookUp(c, wish.by, i)) scores[i] = weightOf(foundB, foundStart, foundEnd);
      if (scores[i] !== scores[i]) return null;
    }
    // Equal weights: by the elements' bytes, so that the outcome is always the same.
    return order.sort(
      (x, y) => sign * (scores[x] - scores[y] || (scores[x] > scores[y] ? 1 : scores[x] < scores[y] ? -1 : elements.compare(x, y))),
    );
  }
  if (wish.by === 0) return order.sort((x, y) => sign * elements.compare(x, y));
  weights.begin(n);
  for (let i = 0; i < n; i++) {
    if (lookUp(c, wish.by, i)) weights.push(foundB, foundStart, foundEnd);
    else weights.pushMissing();
  }
  const { starts } = weights;
  order.sort((x, y) => {
    // An element without a weight comes first.
    if (starts[x] < 0 || starts[y] < 0) return sign * ((starts[x] < 0 ? 0 : 1) - (starts[y] < 0 ? 0 : 1));
    return sign * weights.compare(x, y);
  });
  weights.end();
  return order;
}

function sizeOf(ref: number): number {
  if (ref === 0) return 0;
  const type = typeOf(ref);
  return type === LIST ? listLength(ref) : type === SET ? setLength(ref) : zsetLength(ref);
}

function run(c: Call, readOnly: boolean, allKeys: boolean): void {
  const wish = options(c, readOnly, allKeys);
  if (wish === null) return;
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  const type = ref === 0 ? LIST : typeOf(ref);
  if (type !== LIST && type !== SET && type !== ZSET) return c.out.error(ERR.wrongType);
  if (wish.unsorted && type === SET && (wish.store !== 0 || c.client.flags & FLAG_SCRIPT)) {
    // A set has no order of its own, and a replica's may differ.
    wish.unsorted = false;
    wish.alpha = true;
    wish.by = 0;
  }
  const size = sizeOf(ref);
  let from = Math.min(Math.max(wish.from, 0), size);
  const n = Math.min(wish.count < 0 ? size : wish.count, size - from);
  const ranged = wish.unsorted && type !== SET;
  load(ref, wish, size, ranged ? from : 0, ranged ? n : size);
  const order = sorted(c, wish);
  if (order === null) c.out.error(NOT_DOUBLE);
  else {
    if (ranged) from = 0;
    if (wish.store !== 0) store(c, wish, order, from, n);
    else reply(c, wish, order, from, n);
  }
  elements.end();
}

function reply(c: Call, wish: Wish, order: Uint32Array, from: number, n: number): void {
  const { out } = c;
  const { gets } = wish;
  out.array(gets.length > 0 ? gets.length * n : n);
  for (let at = from; at < from + n; at++) {
    const i = order[at];
    if (gets.length === 0) out.bulk(elements.bytes, elements.starts[i], elements.ends[i]);
    for (const p of gets) {
      if (lookUp(c, p, i)) out.bulk(foundB, foundStart, foundEnd);
      else out.nil();
    }
  }
}

let list = 0;

/** Adds bytes to the list in the making. False when memory is out. */
function add(b: Buffer, start: number, end: number): boolean {
  list = listExpect(loose, list, end - start, 1);
  if (listChanged >= 0) list = listPush(loose, list, b, start, end, true);
  return listChanged >= 0;
}

function store(c: Call, wish: Wish, order: Uint32Array, from: number, n: number): void {
  list = newLooseList();
  let stored = list !== 0;
  for (let at = from; stored && at < from + n; at++) {
    const i = order[at];
    if (wish.gets.length === 0) stored = add(elements.bytes, elements.starts[i], elements.ends[i]);
    for (const p of wish.gets) {
      if (!stored) break;
      stored = lookUp(c, p, i) ? add(foundB, foundStart, foundEnd) : add(elements.bytes, 0, 0);
    }
  }
  if (!stored) {
    if (list !== 0) freeLoose(list);
    return c.out.error(ERR.oom);
  }
  const length = listLength(list);
  if (length === 0) {
    freeLoose(list);
    if (keyspaceOf(c).delete(c.buf, c.s(wish.store), c.e(wish.store))) touched(c, wish.store, NOTIFY_GENERIC, "del");
    return c.out.int(0);
  }
  if (!giveTo(c, wish.store)) return c.out.error(ERR.oom);
  touched(c, wish.store, NOTIFY_LIST, "sortstore");
  c.dirty += length - 1;
  c.out.int(length);
}

/** Makes the list in the making the value of the key in argument `key`, whatever was there. False when memory is out. */
function giveTo(c: Call, key: number): boolean {
  list = listAuto(loose, list);
  const ks = keyspaceOf(c);
  const encoding = encodingOf(list);
  const bytes = valueLength(list);
  const old = ks.lookupWrite(c.buf, c.s(key), c.e(key));
  const ref = old === 0 ? ks.create(c.buf, c.s(key), c.e(key), LIST, encoding, bytes) : ks.replaceValue(old, LIST, encoding, bytes, false);
  if (ref === 0) freeLoose(list);
  else giveLoose(list, ref);
  return ref !== 0;
}

/** mayReadAll: BY and GET name keys that the key specs do not, so whoever uses them must be allowed to read every key. */
export function sortRuns(mayReadAll: (c: Call) => boolean): Record<string, Run> {
  return { sort: (c) => run(c, false, mayReadAll(c)), sort_ro: (c) => run(c, true, mayReadAll(c)) };
}

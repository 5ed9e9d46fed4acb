/**
 * Ranges of a sorted set: by position, by score, by name; read, counted, stored, removed (Redis t_zset.c). Warm: no objects a member.
 *
 * Every range becomes positions: the store's counted tree tells how many members lie below a bound, so [from, from + count) is known
 * before the first member is touched, whatever the range was given by, and the reply's length with it.
 */
import { parseDouble } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC, NOTIFY_ZSET } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { ZSET, encodingOf, valueLength } from "../store/entry.ts";
import { freeLoose, giveLoose, loose } from "../store/room.ts";
import {
  ZSetCursor,
  newLooseZSet,
  zsetChanged,
  zsetCountBelow,
  zsetCountBelowMember,
  zsetLength,
  zsetRemoveRange,
  zsetSet,
} from "../store/zset.ts";
import { keyspaceOf, touched } from "./effects.ts";
import { NONE, dropIfEmpty, replyScore, zsetToChange, zsetToRead } from "./zset.ts";

const BAD_SCORE_RANGE = errorLine("ERR min or max is not a float");
const BAD_LEX_RANGE = errorLine("ERR min or max not valid string range item");
const LIMIT_NEEDS_BY = errorLine("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
const SCORES_NOT_BY_LEX = errorLine("ERR syntax error, WITHSCORES not supported in combination with BYLEX");

const cursor = new ZSetCursor();

export const BY_RANK = 0;
export const BY_SCORE = 1;
export const BY_LEX = 2;

/** Where the range lies: ranks counted from the front, [from, from + count). */
let rangeFrom = 0;
let rangeCount = 0;

// The bounds, read before the key is looked up (Redis' order of errors).
let low = 0;
let lowOpen = false;
let high = 0;
let highOpen = false;
/** BY_LEX: argument of the bound; -1 is `-`, -2 is `+`. */
let lowArg = 0;
let highArg = 0;

const MINUS = 45;
const PLUS = 43;
const OPEN = 40;
const CLOSED = 91;

/** A score bound `1.5`, `(1.5`, `-inf` at argument i; NaN when it is none. Redis zslParseRange: a bare strtod, so blanks may lead, and nothing is 0. */
function scoreBound(c: Call, i: number): number {
  let at = c.s(i) + (isOpen(c, i) ? 1 : 0);
  // A C string ends at its first NUL.
  const nul = c.buf.subarray(at, c.e(i)).indexOf(0);
  const end = nul < 0 ? c.e(i) : at + nul;
  const first = at;
  while (at < end && (c.buf[at] === 32 || (c.buf[at] >= 9 && c.buf[at] <= 13))) at++;
  if (at === end) return at === first ? 0 : NaN;
  return parseDouble(c.buf, at, end);
}
function isOpen(c: Call, i: number): boolean {
  return c.len(i) > 0 && c.buf[c.s(i)] === OPEN;
}

/** Reads the bounds at arguments min and max; false after a reply. */
function readBounds(c: Call, by: number, min: number, max: number): boolean {
  if (by === BY_RANK) {
    low = c.wideInteger(min);
    high = c.wideInteger(max);
    if (low === low && high === high) return true;
    c.out.error(ERR.notInteger);
    return false;
  }
  if (by === BY_SCORE) {
    low = scoreBound(c, min);
    high = scoreBound(c, max);
    lowOpen = isOpen(c, min);
    highOpen = isOpen(c, max);
    if (low === low && high === high) return true;
    c.out.error(BAD_SCORE_RANGE);
    return false;
  }
  lowArg = lexBound(c, min);
  highArg = lexBound(c, max);
  if (lowArg !== 0 && highArg !== 0) {
    lowOpen = lowArg > 0 && c.buf[c.s(min)] === OPEN;
    highOpen = highArg > 0 && c.buf[c.s(max)] === OPEN;
    return true;
  }
  c.out.error(BAD_LEX_RANGE);
  return false;
}
/** -1 for `-`, -2 for `+`, the argument's index for `[x` and `(x`, 0 for anything else. */
function lexBound(c: Call, i: number): number {
  const first = c.len(i) > 0 ? c.buf[c.s(i)] : 0;
  if (first === MINUS && c.len(i) === 1) return -1;
  if (first === PLUS && c.len(i) === 1) return -2;
  return first === OPEN || first === CLOSED ? i : 0;
}

/** Turns the bounds into rangeFrom and rangeCount. `reverse`: for BY_RANK the positions count from the end. */
function resolve(c: Call, ref: number, by: number, reverse: boolean): void {
  const size = zsetLength(ref);
  let from = 0;
  let end = 0;
  if (by === BY_RANK) {
    let start = low < 0 ? size + low : low;
    let stop = high < 0 ? size + high : high;
    if (start < 0) start = 0;
    if (stop >= size) stop = size - 1;
    if (start > stop) {
      rangeCount = 0;
      return;
    }
    from = reverse ? size - 1 - stop : start;
    end = from + (stop - start) + 1;
  } else if (by === BY_SCORE) {
    from = zsetCountBelow(ref, low, lowOpen);
    end = zsetCountBelow(ref, high, !highOpen);
  } else {
    from = lexRank(c, ref, lowArg, lowOpen, size);
    end = lexRank(c, ref, highArg, !highOpen, size);
  }
  rangeFrom = from;
  rangeCount = end > from ? end - from : 0;
}
function lexRank(c: Call, ref: number, arg: number, orEqual: boolean, size: number): number {
  if (arg === -1) return 0;
  if (arg === -2) return size;
  return zsetCountBelowMember(ref, c.buf, c.s(arg) + 1, c.e(arg), orEqual);
}

/** Applies LIMIT offset count in the direction of travel. */
function limit(offset: number, count: number, reverse: boolean): void {
  if (offset < 0) {
    rangeCount = 0;
    return;
  }
  const left = Math.max(0, rangeCount - offset);
  const kept = count < 0 ? left : Math.min(count, left);
  if (!reverse) rangeFrom += offset;
  else rangeFrom += left - kept;
  rangeCount = kept;
}

interface Options {
  by: number;
  reverse: boolean;
  withScores: boolean;
  offset: number;
  count: number;
  limited: boolean;
}
const options: Options = { by: BY_RANK, reverse: false, withScores: false, offset: 0, count: -1, limited: false };

/** Options from argument i on; `free`: BYSCORE, BYLEX and REV may be given (ZRANGE, ZRANGESTORE). False after a reply. */
function readOptions(c: Call, i: number, by: number, reverse: boolean, free: boolean, mayScores: boolean): boolean {
  const o = options;
  o.by = by;
  o.reverse = reverse;
  o.withScores = false;
  o.offset = 0;
  o.count = -1;
  o.limited = false;
  for (; i < c.argc; i++) {
    if (mayScores && c.is(i, "withscores")) o.withScores = true;
    else if (c.is(i, "limit") && i + 2 < c.argc) {
      const offset = c.wideInteger(i + 1);
      const count = c.wideInteger(i + 2);
      if (offset !== offset || count !== count) {
        c.out.error(ERR.notInteger);
        return false;
      }
      o.offset = offset;
      o.count = count;
      o.limited = true;
      i += 2;
    } else if (free && !o.reverse && c.is(i, "rev")) o.reverse = true;
    else if (free && o.by === BY_RANK && c.is(i, "bylex")) o.by = BY_LEX;
    else if (free && o.by === BY_RANK && c.is(i, "byscore")) o.by = BY_SCORE;
    else {
      c.out.error(ERR.syntax);
      return false;
    }
  }
  if (o.limited && o.by === BY_RANK) {
    c.out.error(LIMIT_NEEDS_BY);
    return false;
  }
  if (o.withScores && o.by === BY_LEX) {
    c.out.error(SCORES_NOT_BY_LEX);
    return false;
  }
  return true;
}

/** ZRANGE and all its older forms: key at 1, bounds at 2 and 3. */
function range(c: Call, by: number, reverse: boolean, free: boolean): void {
  if (!readOptions(c, 4, by, reverse, free, true)) return;
  const o = options;
  // Reversed score and name ranges are given from the top down.
  const swap = o.reverse && o.by !== BY_RANK;
  if (!readBounds(c, o.by, swap ? 3 : 2, swap ? 2 : 3)) return;
  const ref = zsetToRead(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return c.out.array(0);
  resolve(c, ref, o.by, o.reverse);
  if (o.limited) limit(o.offset, o.count, o.reverse);
  replyRange(c, ref, o.reverse, o.withScores);
}

function replyRange(c: Call, ref: number, reverse: boolean, withScores: boolean): void {
  const { out } = c;
  let n = rangeCount;
  const nested = withScores && out.resp === 3;
  out.array(withScores && !nested ? n * 2 : n);
  if (n === 0) return;
  for (let more = cursor.begin(ref, reverse ? rangeFrom + n - 1 : rangeFrom, reverse); more && n > 0; more = cursor.next(), n--) {
    if (nested) out.array(2);
    out.bulk(cursor.b, cursor.start, cursor.end);
    if (withScores) replyScore(out, cursor.score);
  }
}

/** ZRANGESTORE dst src min max [...]. */
function rangeStore(c: Call): void {
  if (!readOptions(c, 5, BY_RANK, false, true, false)) return;
  const o = options;
  const swap = o.reverse && o.by !== BY_RANK;
  if (!readBounds(c, o.by, swap ? 4 : 3, swap ? 3 : 4)) return;
  const ref = zsetToRead(c, 2);
  if (ref === NONE) return;
  rangeCount = 0;
  if (ref !== 0) {
    resolve(c, ref, o.by, o.reverse);
    if (o.limited) limit(o.offset, o.count, o.reverse);
  }
  let result = newLooseZSet();
  if (result === 0) return c.out.error(ERR.oom);
  let n = rangeCount;
  if (n > 0)
    for (let more = cursor.begin(ref, rangeFrom, false); more && n > 0; more = cursor.next(), n--) {
      result = zsetSet(loose, result, cursor.score, cursor.b, cursor.start, cursor.end);
      if (zsetChanged < 0) {
        freeLoose(result);
        return c.out.error(ERR.oom);
      }
    }
  storeZSet(c, result, "zrangestore");
}

/** Makes a set without key the value of argument `key`, whatever was there; an empty one deletes the key. Replies its size. */
export function storeZSet(c: Call, result: number, event: string, key = 1): void {
  const size = zsetLength(result);
  const ks = keyspaceOf(c);
  if (size === 0) {
    freeLoose(result);
    if (ks.delete(c.buf, c.s(key), c.e(key))) touched(c, key, NOTIFY_GENERIC, "del");
    return c.out.int(0);
  }
  const old = ks.lookupWrite(c.buf, c.s(key), c.e(key));
  const encoding = encodingOf(result);
  const length = valueLength(result);
  // A key that changes its type is a new one for those who wait for a sorted set.
  if (old !== 0) ks.deleteRef(old);
  const ref = ks.create(c.buf, c.s(key), c.e(key), ZSET, encoding, length);
  if (ref === 0) {
    freeLoose(result);
    return c.out.error(ERR.oom);
  }
  giveLoose(result, ref);
  c.out.int(size);
  touched(c, key, NOTIFY_ZSET, event);
}

function count(c: Call, by: number): void {
  if (!readBounds(c, by, 2, 3)) return;
  const ref = zsetToRead(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return c.out.int(0);
  resolve(c, ref, by, false);
  c.out.int(rangeCount);
}

function removeRange(c: Call, by: number, event: string): void {
  if (!readBounds(c, by, 2, 3)) return;
  const ks = keyspaceOf(c);
  let ref = zsetToChange(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return c.out.int(0);
  resolve(c, ref, by, false);
  const gone = rangeCount;
  if (gone > 0) {
    if (gone === zsetLength(ref)) {
      // All of them: the key goes with its set, which is freed in slices.
      ks.deleteRef(ref);
      touched(c, 1, NOTIFY_ZSET, event);
      touchedGone(c);
    } else {
      ref = zsetRemoveRange(ks, ref, rangeFrom, gone);
      touched(c, 1, NOTIFY_ZSET, event);
      dropIfEmpty(c, ks, ref, 1);
    }
    c.dirty += gone - 1;
  }
  c.out.int(gone);
}
function touchedGone(c: Call): void {
  touched(c, 1, NOTIFY_GENERIC, "del");
  c.dirty--;
}

export const rangeRuns: Record<string, Run> = {
  zrange: (c) => range(c, BY_RANK, false, true),
  zrevrange: (c) => range(c, BY_RANK, true, false),
  zrangebyscore: (c) => range(c, BY_SCORE, false, false),
  zrevrangebyscore: (c) => range(c, BY_SCORE, true, false),
  zrangebylex: (c) => range(c, BY_LEX, false, false),
  zrevrangebylex: (c) => range(c, BY_LEX, true, false),
  zrangestore: rangeStore,
  zcount: (c) => count(c, BY_SCORE),
  zlexcount: (c) => count(c, BY_LEX),
  zremrangebyrank: (c) => removeRange(c, BY_RANK, "zremrangebyrank"),
  zremrangebyscore: (c) => removeRange(c, BY_SCORE, "zremrangebyscore"),
  zremrangebylex: (c) => removeRange(c, BY_LEX, "zremrangebylex"),
};

/**
 * Sorted set commands on one set (Redis t_zset.c). HOT: ZADD, ZINCRBY, ZREM, ZSCORE, ZRANK make no objects or strings.
 *
 *   argument bytes -> keyspace look-up -> edits and look-ups of store/zset.ts -> reply from the arena, then effects.ts
 *
 * Ranges are in zset_range.ts, operations on several sets in zset_algebra.ts, pops that may wait in zset_pop.ts.
 */
import { doubleText, parseDouble } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC, NOTIFY_ZSET } from "../config/keyspace_events.ts";
import { ERR, errorLine, wrongNumber } from "../resp/errors.ts";
import type { Out } from "../resp/out.ts";
import { RefList } from "../store/dict.ts";
import { ELEMENT_HEADER, LISTPACK, SKIPLIST, ZSET, encodingOf, keyLength, keyStart, scoreOf, typeOf } from "../store/entry.ts";
import type { Keyspace } from "../store/keyspace.ts";
import { m8 } from "../store/arena.ts";
import { LP_EMPTY } from "../store/packed/listpack.ts";
import {
  ZSetCursor,
  bigZSetOf,
  gotScore,
  zsetChanged,
  zsetExpect,
  zsetInit,
  zsetLength,
  zsetRank,
  zsetRemove,
  zsetScore,
  zsetSet,
} from "../store/zset.ts";
import { keyspaceOf, notifyArg, touched } from "./effects.ts";
import { countArg, pickUnique, picksThis, stopsReplying } from "./random.ts";
import { readCursor, readScanOptions, replyCursor, scanMatches, scanOptions } from "./scan.ts";

const NOT_A_NUMBER = errorLine("ERR resulting score is not a number (NaN)");
const XX_NX = errorLine("ERR XX and NX options at the same time are not compatible");
const GT_LT_NX = errorLine("ERR GT, LT, and/or NX options at the same time are not compatible");
const INCR_ONE = errorLine("ERR INCR option supports a single increment-element pair");

const cursor = new ZSetCursor();
const picked = new RefList(64);

/** A score in a reply: a double in RESP3, a bulk in RESP2. */
export function replyScore(out: Out, score: number): void {
  if (out.resp === 2 && Number.isInteger(score) && score >= 0 && score <= 2147483647 && !Object.is(score, -0)) out.bulkInt(score);
  else out.doubleText(doubleText(score));
}

/** The sorted set under argument i for reading: its ref, 0 when there is none, -1 after a WRONGTYPE reply. */
export function zsetToRead(c: Call, i: number): number {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(i), c.e(i));
  if (ref === 0 || typeOf(ref) === ZSET) return ref;
  c.out.error(ERR.wrongType);
  return NONE;
}
/** As zsetToRead for a change. */
export function zsetToChange(c: Call, i: number): number {
  const ref = keyspaceOf(c).lookupWrite(c.buf, c.s(i), c.e(i));
  if (ref === 0 || typeOf(ref) === ZSET) return ref;
  c.out.error(ERR.wrongType);
  return NONE;
}
/** No ref has this value: segment 511 begins with a page that is never handed out. */
export const NONE = -1;

/** After members were removed from argument 1's set: an empty one goes. Returns true when it went. */
export function dropIfEmpty(c: Call, ks: Keyspace, ref: number, i: number): boolean {
  if (zsetLength(ref) > 0) return false;
  ks.deleteRef(ref);
  notifyArg(c, i, NOTIFY_GENERIC, "del");
  return true;
}

// ------------------------------------------------------------------------------------------------------------------------ ZADD

const NX = 1;
const XX = 2;
const GT = 4;
const LT = 8;
const CH = 16;
const INCR = 32;

let scores = new Float64Array(16);

function zadd(c: Call): void {
  let flags = 0;
  let i = 2;
  for (; i < c.argc; i++) {
    if (c.is(i, "nx")) flags |= NX;
    else if (c.is(i, "xx")) flags |= XX;
    else if (c.is(i, "ch")) flags |= CH;
    else if (c.is(i, "incr")) flags |= INCR;
    else if (c.is(i, "gt")) flags |= GT;
    else if (c.is(i, "lt")) flags |= LT;
    else break;
  }
  zaddGeneric(c, i, flags);
}

/** Pairs from argument `from` on. Redis zaddGenericCommand. */
function zaddGeneric(c: Call, from: number, flags: number): void {
  const pairs = c.argc - from;
  if (pairs === 0 || pairs % 2 === 1) return c.out.error(ERR.syntax);
  const count = pairs / 2;
  if (flags & NX && flags & XX) return c.out.error(XX_NX);
  if ((flags & GT && flags & NX) || (flags & LT && flags & NX) || (flags & GT && flags & LT)) return c.out.error(GT_LT_NX);
  if (flags & INCR && count > 1) return c.out.error(INCR_ONE);
  if (count > scores.length) scores = new Float64Array(count * 2);
  for (let k = 0; k < count; k++) {
    const v = parseDouble(c.buf, c.s(from + k * 2), c.e(from + k * 2));
    if (v !== v) return c.out.error(ERR.notFloat);
    scores[k] = v;
  }
  const ks = keyspaceOf(c);
  let ref = zsetToChange(c, 1);
  if (ref === NONE) return;
  if (ref === 0) {
    if (flags & XX) return flags & INCR ? c.out.nil() : c.out.int(0);
    ref = ks.create(c.buf, c.s(1), c.e(1), ZSET, LISTPACK, LP_EMPTY);
    if (ref === 0) return c.out.error(ERR.oom);
    zsetInit(ref);
    ref = zsetExpect(ks, ref, count, c.len(from + 1));
  } else ref = zsetExpect(ks, ref, zsetLength(ref) + count > 1e6 ? 0 : count, 0);
  let added = 0;
  let updated = 0;
  let processed = 0;
  let result = 0;
  for (let k = 0; k < count; k++) {
    let score = scores[k];
    const m = from + k * 2 + 1;
    const s = c.s(m);
    const e = c.e(m);
    // Without conditions and INCR one search is enough: the edit tells what it found.
    if ((flags & ~CH) !== 0) {
      const there = zsetScore(ref, c.buf, s, e);
      if (there ? (flags & NX) !== 0 : (flags & XX) !== 0) continue;
      if (there) {
        const old = gotScore;
        if (flags & INCR) {
          score += old;
          if (score !== score) {
            c.out.error(NOT_A_NUMBER);
            return;
          }
        }
        if ((flags & LT && score >= old) || (flags & GT && score <= old)) continue;
      }
    }
    ref = zsetSet(ks, ref, score, c.buf, s, e);
    if (zsetChanged < 0) {
      finishAdd(c, ks, ref, flags, added + updated);
      return c.out.error(ERR.oom);
    }
    if (zsetChanged === 1) added++;
    else if (zsetChanged === 2) updated++;
    processed++;
    result = score;
  }
  finishAdd(c, ks, ref, flags, added + updated);
  if (flags & INCR) {
    if (processed > 0) replyScore(c.out, result);
    else c.out.nil();
  } else c.out.int(flags & CH ? added + updated : added);
}

function finishAdd(c: Call, ks: Keyspace, ref: number, flags: number, changes: number): void {
  // A key made for nothing (out of memory at the first member) does not stay.
  if (zsetLength(ref) === 0) return ks.deleteRef(ref);
  if (changes === 0) return;
  touched(c, 1, NOTIFY_ZSET, flags & INCR ? "zincr" : "zadd");
  c.dirty += changes - 1;
}

// ---------------------------------------------------------------------------------------------------------------------- one set

function zrem(c: Call): void {
  const ks = keyspaceOf(c);
  let ref = zsetToChange(c, 1);
  if (ref === NONE) return;
  if (ref === 0) return c.out.int(0);
  let gone = 0;
  let empty = false;
  for (let i = 2; i < c.argc && !empty; i++) {
    ref = zsetRemove(ks, ref, c.buf, c.s(i), c.e(i));
    gone += zsetChanged;
    empty = zsetLength(ref) === 0;
  }
  if (gone > 0) {
    touched(c, 1, NOTIFY_ZSET, "zrem");
    c.dirty += gone - 1;
    if (empty) dropIfEmpty(c, ks, ref, 1);
  }
  c.out.int(gone);
}

function zcard(c: Call): void {
  const ref = zsetToRead(c, 1);
  if (ref !== NONE) c.out.int(ref === 0 ? 0 : zsetLength(ref));
}

function zscore(c: Call): void {
  const ref = zsetToRead(c, 1);
  if (ref === NONE) return;
  if (ref !== 0 && zsetScore(ref, c.buf, c.s(2), c.e(2))) replyScore(c.out, gotScore);
  else c.out.nil();
}

function zmscore(c: Call): void {
  const ref = zsetToRead(c, 1);
  if (ref === NONE) return;
  c.out.array(c.argc - 2);
  for (let i = 2; i < c.argc; i++) {
    if (ref !== 0 && zsetScore(ref, c.buf, c.s(i), c.e(i))) replyScore(c.out, gotScore);
    else c.out.nil();
  }
}

function zrank(c: Call, reverse: boolean): void {
  if (c.argc > 4) return c.out.error(wrongNumber(c.command.name));
  let withScore = false;
  if (c.argc === 4) {
    if (!c.is(3, "withscore")) return c.out.error(ERR.syntax);
    withScore = true;
  }
  const ref = zsetToRead(c, 1);
  if (ref === NONE) return;
  const rank = ref === 0 ? -1 : zsetRank(ref, c.buf, c.s(2), c.e(2));
  if (rank < 0) return withScore ? c.out.nilArray() : c.out.nil();
  const shown = reverse ? zsetLength(ref) - 1 - rank : rank;
  if (!withScore) return c.out.int(shown);
  c.out.array(2);
  c.out.int(shown);
  replyScore(c.out, gotScore);
}

// ---------------------------------------------------------------------------------------------------------- random picks, ZSCAN

function replyMember(c: Call, withScores: boolean): void {
  const nested = withScores && c.out.resp === 3;
  if (nested) c.out.array(2);
  c.out.bulk(cursor.b, cursor.start, cursor.end);
  if (withScores) replyScore(c.out, cursor.score);
}

function zrandmember(c: Call): void {
  if (c.argc > 4) return c.out.error(ERR.syntax);
  if (c.argc === 2) {
    const ref = zsetToRead(c, 1);
    if (ref === NONE) return;
    if (ref === 0) return c.out.nil();
    cursor.random(ref);
    return c.out.bulk(cursor.b, cursor.start, cursor.end);
  }
  const count = countArg(c, 2);
  if (count !== count) return;
  const withScores = c.argc === 4;
  if (withScores) {
    if (!c.is(3, "withscores")) return c.out.error(ERR.syntax);
    if (Math.abs(count) > 2 ** 62) return c.out.errorText("ERR value is out of range");
  }
  const ref = zsetToRead(c, 1);
  if (ref === NONE) return;
  if (ref === 0 || count === 0) return c.out.array(0);
  const size = zsetLength(ref);
  const width = withScores && c.out.resp === 2 ? 2 : 1;
  if (count < 0) {
    c.out.array(-count * width);
    for (let i = 0; i < -count; i++) {
      cursor.random(ref);
      replyMember(c, withScores);
      if (stopsReplying(c, i)) return;
    }
    return;
  }
  c.out.array(Math.min(count, size) * width);
  if (count >= size) {
    for (let more = cursor.begin(ref, 0, false); more; more = cursor.next()) replyMember(c, withScores);
    return;
  }
  if (encodingOf(ref) === SKIPLIST) {
    pickUnique(bigZSetOf(ref).dict, count, picked);
    for (let i = 0; i < picked.count; i++) {
      cursor.at(picked.refs[i]);
      replyMember(c, withScores);
    }
    return;
  }
  let left = size;
  let wanted = count;
  for (let more = cursor.begin(ref, 0, false); more && wanted > 0; more = cursor.next(), left--)
    if (picksThis(left, wanted)) {
      replyMember(c, withScores);
      wanted--;
    }
}

function zscan(c: Call): void {
  if (!readCursor(c, 2)) return;
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) {
    replyCursor(c, 0);
    return c.out.array(0);
  }
  if (typeOf(ref) !== ZSET) return c.out.error(ERR.wrongType);
  if (!readScanOptions(c, 3, false)) return;
  if (encodingOf(ref) !== SKIPLIST) {
    let found = 0;
    for (let more = cursor.begin(ref, 0, false); more; more = cursor.next())
      if (scanMatches(c, cursor.b, cursor.start, cursor.end)) found++;
    replyCursor(c, 0);
    c.out.array(found * 2);
    for (let more = cursor.begin(ref, 0, false); more; more = cursor.next())
      if (scanMatches(c, cursor.b, cursor.start, cursor.end)) {
        c.out.bulk(cursor.b, cursor.start, cursor.end);
        c.out.bulkText(doubleText(cursor.score));
      }
    return;
  }
  const o = scanOptions;
  const { dict } = bigZSetOf(ref);
  picked.clear();
  let next = o.cursor;
  let rounds = o.count * 10;
  do next = dict.scan(next, picked);
  while (next !== 0 && rounds-- > 0 && picked.count < o.count);
  let kept = 0;
  for (let i = 0; i < picked.count; i++) {
    const r = picked.refs[i];
    const start = keyStart(r, ELEMENT_HEADER);
    if (scanMatches(c, m8[r >>> 23], start, start + keyLength(r, ELEMENT_HEADER))) picked.refs[kept++] = r;
  }
  replyCursor(c, next);
  c.out.array(kept * 2);
  for (let i = 0; i < kept; i++) {
    const r = picked.refs[i];
    const start = keyStart(r, ELEMENT_HEADER);
    c.out.bulk(m8[r >>> 23], start, start + keyLength(r, ELEMENT_HEADER));
    c.out.bulkText(doubleText(scoreOf(r)));
  }
}

export const zsetRuns: Record<string, Run> = {
  zadd,
  zincrby: (c) => zaddGeneric(c, 2, INCR),
  zrem,
  zcard,
  zscore,
  zmscore,
  zrank: (c) => zrank(c, false),
  zrevrank: (c) => zrank(c, true),
  zrandmember,
  zscan,
};

/** Pops from sorted sets, waiting ones included: ZPOPMIN, ZPOPMAX, ZMPOP, BZPOPMIN, BZPOPMAX, BZMPOP. Warm. Redis t_zset.c. */
import type { Blocking } from "../clients/blocking.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_ZSET } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { ZSET, typeOf } from "../store/entry.ts";
import { ZSetCursor, zsetLength, zsetRemoveRange } from "../store/zset.ts";
import { keyspaceOf, touched } from "./effects.ts";
import { countArg } from "./random.ts";
import { mayBlock, timeoutArg } from "./timeout.ts";
import { NONE, dropIfEmpty, replyScore, zsetToChange } from "./zset.ts";

const cursor = new ZSetCursor();
const NUMKEYS = errorLine("ERR numkeys should be greater than 0");
const COUNT = errorLine("ERR count should be greater than 0");

/** Replies and removes `count` members of the set under argument i, from its lower or upper end. `nested`: a pair each. */
function take(c: Call, i: number, ref: number, count: number, max: boolean, nested: boolean): void {
  const ks = keyspaceOf(c);
  const size = zsetLength(ref);
  const n = Math.min(count, size);
  let left = n;
  for (let more = cursor.begin(ref, max ? size - 1 : 0, max); more && left > 0; more = cursor.next(), left--) {
    if (nested) c.out.array(2);
    c.out.bulk(cursor.b, cursor.start, cursor.end);
    replyScore(c.out, cursor.score);
  }
  if (n > 0) ref = zsetRemoveRange(ks, ref, max ? size - n : 0, n);
  touched(c, i, NOTIFY_ZSET, max ? "zpopmax" : "zpopmin");
  c.dirty += n - 1;
  dropIfEmpty(c, ks, ref, i);
}

function zpop(c: Call, max: boolean): void {
  if (c.argc > 3) return c.out.error(ERR.syntax);
  let count = 1;
  if (c.argc === 3) {
    count = countArg(c, 2);
    if (count !== count) return;
    if (count < 0) return c.out.error(ERR.outOfRangePositive);
  }
  const ref = zsetToChange(c, 1);
  if (ref === NONE) return;
  if (ref === 0 || count === 0) return c.out.array(0);
  const nested = c.argc === 3 && c.out.resp === 3;
  const n = Math.min(count, zsetLength(ref));
  c.out.array(nested ? n : n * 2);
  take(c, 1, ref, count, max, nested);
}

/** First of the arguments [from, to) that is a sorted set: its index; 0 for none, -1 after a WRONGTYPE reply. `ready` is its ref. */
let ready = 0;
function firstReady(c: Call, from: number, to: number): number {
  const ks = keyspaceOf(c);
  for (let i = from; i < to; i++) {
    const ref = ks.lookupWrite(c.buf, c.s(i), c.e(i));
    if (ref === 0) continue;
    if (typeOf(ref) !== ZSET) {
      c.out.error(ERR.wrongType);
      return -1;
    }
    ready = ref;
    return i;
  }
  return 0;
}

function keyNames(c: Call, from: number, to: number): string[] {
  const names: string[] = [];
  for (let i = from; i < to; i++) names.push(c.text(i));
  return names;
}

/** BZPOPMIN and BZPOPMAX key ... timeout. */
function bzpop(c: Call, max: boolean, blocking: Blocking): void {
  const timeoutMs = timeoutArg(c, c.argc - 1);
  if (timeoutMs !== timeoutMs) return;
  const i = firstReady(c, 1, c.argc - 1);
  if (i < 0) return;
  if (i > 0) {
    c.out.array(3);
    c.out.bulk(c.buf, c.s(i), c.e(i));
    c.rewrite(max ? "ZPOPMAX" : "ZPOPMIN", c.view(i));
    return take(c, i, ready, 1, max, false);
  }
  if (!mayBlock(c)) return c.out.nilArray();
  blocking.block(c, keyNames(c, 1, c.argc - 1), ZSET, timeoutMs);
}

/** ZMPOP numkeys key ... MIN|MAX [COUNT n], and with a timeout before it BZMPOP. */
function zmpop(c: Call, at: number, timeoutMs: number, blocking: Blocking | null): void {
  const n = c.wideInteger(at);
  if (n !== n || n <= 0) return c.out.error(NUMKEYS);
  const where = at + 1 + n;
  if (where >= c.argc) return c.out.error(ERR.syntax);
  const max = c.is(where, "max");
  if (!max && !c.is(where, "min")) return c.out.error(ERR.syntax);
  let count = 1;
  let counted = false;
  for (let i = where + 1; i < c.argc; i += 2) {
    if (counted || !c.is(i, "count") || i + 1 >= c.argc) return c.out.error(ERR.syntax);
    count = c.wideInteger(i + 1);
    if (count !== count || count <= 0) return c.out.error(COUNT);
    counted = true;
  }
  const i = firstReady(c, at + 1, where);
  if (i < 0) return;
  if (i > 0) {
    const members = Math.min(count, zsetLength(ready));
    c.out.array(2);
    c.out.bulk(c.buf, c.s(i), c.e(i));
    c.out.array(members);
    c.rewrite(max ? "ZPOPMAX" : "ZPOPMIN", c.view(i), members);
    return take(c, i, ready, count, max, true);
  }
  if (blocking === null || !mayBlock(c)) return c.out.nilArray();
  blocking.block(c, keyNames(c, at + 1, where), ZSET, timeoutMs);
}

export function zsetPopRuns(blocking: Blocking): Record<string, Run> {
  return {
    zpopmin: (c) => zpop(c, false),
    zpopmax: (c) => zpop(c, true),
    bzpopmin: (c) => bzpop(c, false, blocking),
    bzpopmax: (c) => bzpop(c, true, blocking),
    zmpop: (c) => zmpop(c, 1, 0, null),
    bzmpop: (c) => {
      const timeoutMs = timeoutArg(c, 1);
      if (timeoutMs === timeoutMs) zmpop(c, 2, timeoutMs, blocking);
    },
  };
}

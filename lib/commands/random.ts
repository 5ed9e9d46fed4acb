/**
 * Random picks, as HRANDFIELD, SRANDMEMBER and ZRANDMEMBER share them: reading the count, and picking several different elements fairly.
 * Every subset of the wanted size is equally likely, in both ways of picking.
 */
import { parseBigInt64 } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import { FLAG_CLOSE_ASAP } from "../clients/client.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import type { Dict, RefList } from "../store/dict.ts";
import { randomBelow } from "../store/seed.ts";

const COUNT_RANGE = errorLine("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");

/** Picks after which a long reply looks whether the client is still wanted. */
const LOOK_EVERY = 1000;
/** From this share of the elements on (1 / SHARE) picking again and again would hit the same ones too often. */
const SHARE = 3;
/** Buckets of a table in transit that picking several elements moves on at most. */
const MOVES = 15;

/** Argument i as a count, negative ones allowed (Redis getRangeLongFromObjectOrReply): NaN after a reply. Beyond 2^53 it is not exact. */
export function countArg(c: Call, i: number): number {
  const n = c.integer(i);
  if (n === n) return n;
  const wide = parseBigInt64(c.buf, c.s(i), c.e(i));
  if (wide !== null && wide > -9223372036854775808n) return Number(wide);
  c.out.error(wide === null ? ERR.notInteger : COUNT_RANGE);
  return NaN;
}

/** True when a reply of many picks may end early, because the client is being closed. i: the number of the pick. */
export function stopsReplying(c: Call, i: number): boolean {
  return i % LOOK_EVERY === LOOK_EVERY - 1 && (c.out.overflowed || (c.client.flags & FLAG_CLOSE_ASAP) !== 0);
}

/** True when the next of `left` elements is to be among the `wanted` ones still to pick. Asked of each in turn: Knuth's selection sampling. */
export function picksThis(left: number, wanted: number): boolean {
  return randomBelow(left) < wanted;
}

/** Puts `count` different refs of a table into `into` (cleared here). count < dict.count. Redis' cases 3 and 4: few by trying, many from all. */
export function pickUnique(dict: Dict, count: number, into: RefList): void {
  into.clear();
  dict.moveSome(Math.min(count, MOVES));
  if (count * SHARE > dict.count) {
    for (let position = 0; position >= 0;) position = dict.walk(position, into.count + 4096, into);
    const refs = into.refs;
    for (let i = 0; i < count; i++) {
      const j = i + randomBelow(into.count - i);
      const ref = refs[j];
      refs[j] = refs[i];
      refs[i] = ref;
    }
    into.count = count;
    return;
  }
  const seen = new Set<number>();
  while (into.count < count) {
    const ref = dict.randomRef();
    if (seen.has(ref)) continue;
    seen.add(ref);
    into.push(ref);
  }
}

/**
 * Unions, intersections and differences of sorted sets (and plain sets, whose members count as score 1): Redis t_zset.c
 * zunionInterDiffGenericCommand. Warm: cursors and look-ups on bytes, one small object a source.
 *
 * Results gather in an entry without key (room.ts) and are then stored or replied; an edit never touches a source.
 */
import { parseDouble } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { SET, ZSET, typeOf } from "../store/entry.ts";
import { freeLoose, loose } from "../store/room.ts";
import { SetCursor, setHas, setLength } from "../store/set.ts";
import { ZSetCursor, gotScore, newLooseZSet, zsetChanged, zsetLength, zsetScore, zsetSet } from "../store/zset.ts";
import { keyspaceOf } from "./effects.ts";
import { replyScore } from "./zset.ts";
import { storeZSet } from "./zset_range.ts";

const BAD_WEIGHT = errorLine("ERR weight value is not a float");
const NEGATIVE_LIMIT = errorLine("ERR LIMIT can't be negative");

const UNION = 0;
const INTER = 1;
const DIFF = 2;

const SUM = 0;
const MIN = 1;
const MAX = 2;

/** One input: a sorted set, a plain set, or nothing (ref 0). */
class Source {
  ref: number;
  isSet: boolean;
  weight: number;
  length: number;
  constructor(ref: number) {
    this.ref = ref;
    this.isSet = ref !== 0 && typeOf(ref) === SET;
    this.weight = 1;
    this.length = ref === 0 ? 0 : this.isSet ? setLength(ref) : zsetLength(ref);
  }
  /** True when the member is there; its weighted score is then `found`. */
  has(b: Buffer, start: number, end: number): boolean {
    if (this.ref === 0) return false;
    if (this.isSet) {
      if (!setHas(this.ref, b, start, end)) return false;
      found = weighted(1, this.weight);
      return true;
    }
    if (!zsetScore(this.ref, b, start, end)) return false;
    found = weighted(gotScore, this.weight);
    return true;
  }
}
let found = 0;

/** score * weight; infinity times zero counts as nothing. */
function weighted(score: number, weight: number): number {
  const v = score * weight;
  return v !== v ? 0 : v;
}
function combine(a: number, b: number, how: number): number {
  if (how === MIN) return a < b ? a : b;
  if (how === MAX) return a > b ? a : b;
  const v = a + b;
  return v !== v ? 0 : v;
}

const zcursor = new ZSetCursor();
const scursor = new SetCursor();

/** Calls `fn` with each member and its weighted score, until it returns false. */
function eachMember(source: Source, fn: (b: Buffer, start: number, end: number, score: number) => boolean): void {
  if (source.ref === 0) return;
  if (source.isSet) {
    for (scursor.begin(source.ref); scursor.next();) if (!fn(scursor.b, scursor.start, scursor.end, weighted(1, source.weight))) return;
    return;
  }
  for (let more = zcursor.begin(source.ref, 0, false); more; more = zcursor.next())
    if (!fn(zcursor.b, zcursor.start, zcursor.end, weighted(zcursor.score, source.weight))) return;
}

/** The inputs named from argument `at` (the count) on; null after a reply. */
function readSources(c: Call, at: number): Source[] | null {
  const n = c.integerOrFail(at);
  if (n !== n) return null;
  if (n < 1) {
    c.out.errorText(`ERR at least 1 input key is needed for '${c.command.name}' command`);
    return null;
  }
  if (n > c.argc - at - 1) {
    c.out.error(ERR.syntax);
    return null;
  }
  const ks = keyspaceOf(c);
  const sources: Source[] = [];
  for (let i = at + 1; i <= at + n; i++) {
    const ref = ks.lookupRead(c.buf, c.s(i), c.e(i));
    if (ref !== 0 && typeOf(ref) !== ZSET && typeOf(ref) !== SET) {
      c.out.error(ERR.wrongType);
      return null;
    }
    sources.push(new Source(ref));
  }
  return sources;
}

let aggregate = SUM;
let withScores = false;

/** WEIGHTS, AGGREGATE, WITHSCORES from argument i on; false after a reply. */
function readOptions(c: Call, i: number, op: number, sources: Source[], stores: boolean): boolean {
  aggregate = SUM;
  withScores = false;
  while (i < c.argc) {
    const left = c.argc - i;
    if (op !== DIFF && left >= sources.length + 1 && c.is(i, "weights")) {
      i++;
      for (const s of sources) {
        const w = parseDouble(c.buf, c.s(i), c.e(i));
        if (w !== w) {
          c.out.error(BAD_WEIGHT);
          return false;
        }
        s.weight = w;
        i++;
      }
    } else if (op !== DIFF && left >= 2 && c.is(i, "aggregate")) {
      if (c.is(i + 1, "sum")) aggregate = SUM;
      else if (c.is(i + 1, "min")) aggregate = MIN;
      else if (c.is(i + 1, "max")) aggregate = MAX;
      else {
        c.out.error(ERR.syntax);
        return false;
      }
      i += 2;
    } else if (!stores && c.is(i, "withscores")) {
      withScores = true;
      i++;
    } else {
      c.out.error(ERR.syntax);
      return false;
    }
  }
  return true;
}

/** The result as an entry without key; 0 when memory is out. */
function compute(op: number, sources: Source[]): number {
  let result = newLooseZSet();
  if (result === 0) return 0;
  const put = (score: number, b: Buffer, start: number, end: number): boolean => {
    result = zsetSet(loose, result, score, b, start, end);
    return zsetChanged >= 0;
  };
  let fits = true;
  // The smallest first, as Redis orders them: with three sources and more, sums of floats and of infinities depend on it.
  const order = op === DIFF ? sources : [...sources].sort((a, b) => a.length - b.length);
  if (op === UNION) {
    for (const source of order)
      eachMember(source, (b, start, end, score) => {
        const sum = zsetScore(result, b, start, end) ? combine(gotScore, score, aggregate) : score;
        return (fits = put(sum, b, start, end));
      });
  } else if (op === INTER) {
    // The smallest's members are the only candidates.
    eachMember(order[0], (b, start, end, score) => {
      let sum = score;
      for (let i = 1; i < order.length; i++) {
        if (order[i].ref === order[0].ref && !order[i].isSet && order[i].weight === order[0].weight) sum = combine(sum, score, aggregate);
        else if (order[i].has(b, start, end)) sum = combine(sum, found, aggregate);
        else return true;
      }
      return (fits = put(sum, b, start, end));
    });
  } else {
    eachMember(sources[0], (b, start, end, score) => {
      for (let i = 1; i < sources.length; i++) if (sources[i].has(b, start, end)) return true;
      return (fits = put(score, b, start, end));
    });
  }
  if (fits) return result;
  freeLoose(result);
  return 0;
}

function operation(c: Call, op: number, stores: boolean): void {
  const at = stores ? 2 : 1;
  const sources = readSources(c, at);
  if (sources === null) return;
  if (!readOptions(c, at + 1 + sources.length, op, sources, stores)) return;
  const result = compute(op, sources);
  if (result === 0) return c.out.error(ERR.oom);
  if (stores) return storeZSet(c, result, c.command.name);
  const { out } = c;
  const size = zsetLength(result);
  const nested = withScores && out.resp === 3;
  out.array(withScores && !nested ? size * 2 : size);
  for (let more = zcursor.begin(result, 0, false); more; more = zcursor.next()) {
    if (nested) out.array(2);
    out.bulk(zcursor.b, zcursor.start, zcursor.end);
    if (withScores) replyScore(out, zcursor.score);
  }
  freeLoose(result);
}

/** ZINTERCARD numkeys key ... [LIMIT n]. */
function zintercard(c: Call): void {
  const sources = readSources(c, 1);
  if (sources === null) return;
  let limit = 0;
  for (let i = 2 + sources.length; i < c.argc; i += 2) {
    if (!c.is(i, "limit") || i + 1 >= c.argc) return c.out.error(ERR.syntax);
    limit = c.wideInteger(i + 1);
    if (limit !== limit || limit < 0) return c.out.error(NEGATIVE_LIMIT);
  }
  const order = sources.sort((a, b) => a.length - b.length);
  let n = 0;
  eachMember(order[0], (b, start, end) => {
    for (let i = 1; i < order.length; i++) if (!order[i].has(b, start, end)) return true;
    n++;
    return n !== limit;
  });
  c.out.int(n);
}

export const zsetAlgebraRuns: Record<string, Run> = {
  zunion: (c) => operation(c, UNION, false),
  zinter: (c) => operation(c, INTER, false),
  zdiff: (c) => operation(c, DIFF, false),
  zunionstore: (c) => operation(c, UNION, true),
  zinterstore: (c) => operation(c, INTER, true),
  zdiffstore: (c) => operation(c, DIFF, true),
  zintercard,
};

/**
 * Stream commands on entries: XADD, XLEN, XRANGE, XREVRANGE, XTRIM, XDEL, XSETID. Warm. Redis t_stream.c.
 *
 *   argument bytes -> keyspace look-up -> store/stream.ts -> reply, then effects.ts; replicas get explicit ids and exact trims
 *
 * XREAD and XREADGROUP are in stream_read.ts, groups in stream_group.ts, XINFO in stream_info.ts.
 */
import { copyBytes } from "../bytes/copy.ts";
import { intLength, writeInt } from "../bytes/number.ts";
import type { Blocking } from "../clients/blocking.ts";
import type { Call } from "../clients/call.ts";
import { FLAG_MASTER, FLAG_TRUSTED } from "../clients/client.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_STREAM } from "../config/keyspace_events.ts";
import { ERR, errorLine, wrongNumber } from "../resp/errors.ts";
import { settings } from "../store/settings.ts";
import { type Stream, TRIM_MAXLEN, TRIM_MINID, createStream, streamOf } from "../store/stream.ts";
import {
  ID_MAX,
  SEQ_MAX,
  type StreamId,
  halfMs,
  halfSeq,
  idText,
  makeId,
  msOf,
  narrow,
  parseHalves,
  parseId,
  parsedId,
  seqGiven,
  seqOf,
  writeHalves,
} from "../store/stream_id.ts";
import { clock } from "../time/clock.ts";
import { keyspaceOf, notifyArg, touched, touchedBy } from "./effects.ts";
import { intervalId, invalidId, longArg, replyRange, strictId, strictIds, streamToChange, streamToRead, wordsWith } from "./stream_args.ts";

/** An entry's strings together may have so many bytes. */
const ENTRY_MAX_BYTES = 1 << 30;
const TOO_LARGE = errorLine("ERR Elements are too large to be stored");
const ID_ZERO = errorLine("ERR The ID specified in XADD must be greater than 0-0");
const ID_SMALL = errorLine("ERR The ID specified in XADD is equal or smaller than the target stream top item");
const EXHAUSTED = errorLine("ERR The stream has exhausted the last possible ID, unable to add more items");
const BOTH_TRIMS = errorLine("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
const LIMIT_WITHOUT_TRIM = errorLine("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
const LIMIT_EXACT = errorLine("ERR syntax error, LIMIT cannot be used without the special ~ option");
const NO_TRIM = errorLine("ERR syntax error, XTRIM must be called with a trimming strategy");

/** Options of XADD and XTRIM; one object, filled by parseOptions. */
const options = {
  strategy: 0,
  approx: false,
  most: 0,
  minId: 0n,
  limit: 0,
  /** Argument with the trim's bound. */
  trimAt: 0,
  noCreate: false,
  /** XADD: whether an id stands there, and whether its sequence number does. */
  idGiven: false,
  seqGiven: false,
  /** The id: halves as numbers when `halves`, else as a whole. */
  halves: false,
  ms: 0,
  seq: 0,
  id: 0n,
};

/** Reads MAXLEN or MINID at argument i; the index of its last argument, -1 after a reply. */
function trimOption(c: Call, i: number, strategy: number): number {
  if (options.strategy !== 0) {
    c.out.error(BOTH_TRIMS);
    return -1;
  }
  options.approx = false;
  if (i + 2 < c.argc && c.len(i + 1) === 1) {
    const sign = c.buf[c.s(i + 1)];
    if (sign === 126 || sign === 61) {
      options.approx = sign === 126;
      i++;
    }
  }
  i++;
  if (strategy === TRIM_MAXLEN) {
    options.most = longArg(c, i);
    if (options.most !== options.most) return -1;
    if (options.most < 0) {
      c.out.errorText("ERR The MAXLEN argument must be >= 0.");
      return -1;
    }
  } else {
    const id = strictId(c, i);
    if (id === null) return -1;
    options.minId = id;
  }
  options.strategy = strategy;
  options.trimAt = i;
  return i;
}

/** Fills `options` from argument 2 on: the index of the id (XADD) or behind the last argument; -1 after a reply. */
function parseOptions(c: Call, xadd: boolean): number {
  options.strategy = 0;
  options.approx = false;
  options.limit = 0;
  options.noCreate = false;
  options.idGiven = false;
  options.seqGiven = false;
  let limited = false;
  let i = 2;
  for (; i < c.argc; i++) {
    const more = i + 1 < c.argc;
    if (xadd && c.len(i) === 1 && c.buf[c.s(i)] === 42) break;
    if (xadd && parseHalves(c.buf, c.s(i), c.e(i))) {
      options.halves = true;
      options.ms = halfMs;
      options.seqGiven = halfSeq >= 0;
      options.seq = options.seqGiven ? halfSeq : 0;
      options.idGiven = true;
      break;
    }
    if (more && (c.is(i, "maxlen") || c.is(i, "minid"))) {
      i = trimOption(c, i, c.is(i, "maxlen") ? TRIM_MAXLEN : TRIM_MINID);
      if (i < 0) return -1;
    } else if (more && c.is(i, "limit")) {
      options.limit = longArg(c, ++i);
      if (options.limit !== options.limit) return -1;
      if (options.limit < 0) {
        c.out.errorText("ERR The LIMIT argument must be >= 0.");
        return -1;
      }
      limited = true;
    } else if (xadd && c.is(i, "nomkstream")) options.noCreate = true;
    else if (xadd) {
      if (!parseId(c.buf, c.s(i), c.e(i), 0n, true, true)) {
        invalidId(c);
        return -1;
      }
      options.id = parsedId;
      options.halves = false;
      options.seqGiven = seqGiven;
      options.idGiven = true;
      break;
    } else {
      c.out.error(ERR.syntax);
      return -1;
    }
  }
  return settleLimit(c, xadd, limited) ? i : -1;
}

function settleLimit(c: Call, xadd: boolean, limited: boolean): boolean {
  let line: Buffer | null = null;
  if (options.limit > 0 && options.strategy === 0) line = LIMIT_WITHOUT_TRIM;
  else if (!xadd && options.strategy === 0) line = NO_TRIM;
  else if (c.client.flags & (FLAG_MASTER | FLAG_TRUSTED)) options.limit = 0;
  else if (limited) {
    if (!options.approx) line = LIMIT_EXACT;
  } else if (options.approx) {
    // Without a word a hundred nodes at most, so that no trim takes long.
    const most = 100 * settings.streamNodeMaxEntries;
    options.limit = most <= 0 ? 10000 : Math.min(most, 1000000);
  } else options.limit = 0;
  if (line === null) return true;
  c.out.error(line);
  return false;
}

function trim(stream: Stream): number {
  return stream.trim(options.strategy, options.most, options.minId, options.approx, options.limit);
}

/** What replicas are told of an approximate trim: the exact bound that has the same effect. */
function exactTrim(stream: Stream, replaced: Map<number, string>): void {
  replaced.set(options.trimAt - 1, "=");
  replaced.set(options.trimAt, options.strategy === TRIM_MAXLEN ? String(stream.count) : idText(stream.edge(true)));
}

/** The new entry's id: halves as numbers, or the first one NaN and the whole in newWhole. */
let newMs = 0;
let newSeq = 0;
let newWhole: StreamId | null = null;

/** Finds the id of a new entry; false when it would not be above the last one. */
function newId(stream: Stream): boolean {
  const { lastMs, lastSeq } = stream;
  if (lastMs !== lastMs || lastSeq === Number.MAX_SAFE_INTEGER || (options.idGiven && !options.halves)) return newWholeId(stream);
  newWhole = null;
  if (!options.idGiven) {
    newMs = Math.max(clock.nowMs, lastMs);
    newSeq = newMs > lastMs ? 0 : lastSeq + 1;
    return true;
  }
  newMs = options.ms;
  newSeq = options.seqGiven || newMs !== lastMs ? options.seq : lastSeq + 1;
  return newMs > lastMs || (newMs === lastMs && newSeq > lastSeq);
}

/** As newId for ids whose halves do not fit numbers. */
function newWholeId(stream: Stream): boolean {
  const last = stream.lastId;
  const given = options.halves ? makeId(BigInt(options.ms), BigInt(options.seq)) : options.id;
  let id: StreamId;
  if (!options.idGiven) {
    const now = BigInt(clock.nowMs);
    id = now > msOf(last) ? makeId(now, 0n) : last + 1n;
  } else if (options.seqGiven || msOf(last) !== msOf(given)) id = given;
  else if (seqOf(last) === SEQ_MAX) return false;
  else id = last + 1n;
  newWhole = id;
  newMs = narrow(msOf(id));
  newSeq = narrow(seqOf(id));
  return id > last;
}

/** The text of the new entry's id, in idBuffer[0, the result). */
const idBuffer = Buffer.alloc(64);
function writeNewId(): number {
  return newWhole === null ? writeHalves(idBuffer, 0, newMs, newSeq) : idBuffer.write(idText(newWhole), "latin1");
}

/** A request that goes on with some arguments replaced, in ascending order: what is made of it so far, and how far it has been copied. */
let rewritten: Buffer = idBuffer;
let rewrittenEnd = 0;
let copied = 0;
const EQUALS = Buffer.from("=");
const boundBuffer = Buffer.alloc(64);

/** How much longer the request becomes when argument i gets a text of so many bytes. */
function growthBy(c: Call, i: number, length: number): number {
  return 3 + intLength(length) + length - (c.e(i) - c.e(i - 1) - 2);
}
function replaceArgument(c: Call, i: number, text: Buffer, length: number): void {
  const b = rewritten;
  let at = copyBytes(b, rewrittenEnd, c.buf, copied, c.e(i - 1) + 2);
  b[at] = 36;
  at = writeInt(b, at + 1, length);
  b[at] = 13;
  b[at + 1] = 10;
  rewrittenEnd = copyBytes(b, at + 2, text, 0, length);
  copied = c.e(i);
}

/** Propagates an XADD that made its own id, idBuffer[0, length), or trimmed about: with that id and the exact bound that has the same effect. */
function propagateXadd(c: Call, stream: Stream, idAt: number, length: number): void {
  const { trimAt } = options;
  const newBound = options.strategy !== 0 && options.approx;
  const newId = !options.idGiven || !options.seqGiven;
  let bound = 0;
  let bytes = c.end - c.start;
  if (newBound) {
    if (options.strategy === TRIM_MAXLEN) bound = writeInt(boundBuffer, 0, stream.count);
    else bound = boundBuffer.write(idText(stream.edge(true)), "latin1");
    bytes += growthBy(c, trimAt - 1, 1) + growthBy(c, trimAt, bound);
  }
  if (newId) bytes += growthBy(c, idAt, length);
  const whole = Buffer.allocUnsafe(bytes);
  rewritten = whole;
  rewrittenEnd = 0;
  copied = c.start;
  if (newBound) {
    replaceArgument(c, trimAt - 1, EQUALS, 1);
    replaceArgument(c, trimAt, boundBuffer, bound);
  }
  if (newId) replaceArgument(c, idAt, idBuffer, length);
  copyBytes(whole, rewrittenEnd, c.buf, copied, c.end);
  (c.instead ??= []).push(whole);
  rewritten = idBuffer;
}

function xadd(c: Call, blocking: Blocking): void {
  const idAt = parseOptions(c, true);
  if (idAt < 0) return;
  const first = idAt + 1;
  if (c.argc - first < 2 || (c.argc - first) % 2 === 1) return c.out.error(wrongNumber("xadd"));
  if (options.idGiven && options.seqGiven && (options.halves ? options.ms + options.seq === 0 : options.id === 0n))
    return c.out.error(ID_ZERO);
  let stream = streamToChange(c, 1);
  if (stream === undefined) return;
  if (stream !== null && stream.lastMs !== stream.lastMs && stream.lastId === ID_MAX) return c.out.error(EXHAUSTED);
  const ks = keyspaceOf(c);
  let created = 0;
  if (stream === null) {
    if (options.noCreate) return c.out.nil();
    created = createStream(ks, c.buf, c.s(1), c.e(1));
    if (created === 0) return c.out.error(ERR.oom);
    stream = streamOf(created);
  }
  let bytes = 0;
  for (let i = first; i < c.argc; i++) bytes += c.len(i);
  let failed: Buffer | null = null;
  if (!newId(stream)) failed = ID_SMALL;
  else if (bytes > ENTRY_MAX_BYTES) failed = TOO_LARGE;
  else if (!stream.add(newMs, newSeq, newWhole, c.buf, c.at, first, (c.argc - first) / 2)) failed = ERR.oom;
  if (failed !== null) {
    if (created !== 0) ks.deleteRef(created);
    return c.out.error(failed);
  }
  const length = writeNewId();
  c.out.bulk(idBuffer, 0, length);
  touched(c, 1, NOTIFY_STREAM, "xadd");
  if (options.strategy !== 0 && trim(stream) > 0) notifyArg(c, 1, NOTIFY_STREAM, "xtrim");
  if ((options.strategy !== 0 && options.approx) || !options.idGiven || !options.seqGiven) propagateXadd(c, stream, idAt, length);
  blocking.keyReady(ks.index, c.buf, c.s(1), c.e(1));
}

function xtrim(c: Call): void {
  if (parseOptions(c, false) < 0) return;
  const stream = streamToChange(c, 1);
  if (stream === undefined) return;
  if (stream === null) return c.out.int(0);
  const gone = trim(stream);
  if (gone > 0) {
    touchedBy(c, 1, NOTIFY_STREAM, "xtrim", gone);
    if (options.approx) {
      const replaced = new Map<number, string>();
      exactTrim(stream, replaced);
      c.rewrite(...wordsWith(c, replaced));
    }
  }
  c.out.int(gone);
}

function xlen(c: Call): void {
  const stream = streamToRead(c, 1);
  if (stream !== undefined) c.out.int(stream === null ? 0 : stream.count);
}

function xrange(c: Call, backwards: boolean): void {
  const from = intervalId(c, backwards ? 3 : 2, true);
  if (from === null) return;
  const to = intervalId(c, backwards ? 2 : 3, false);
  if (to === null) return;
  let count = -1;
  for (let i = 4; i < c.argc; i += 2) {
    if (!c.is(i, "count") || i + 1 >= c.argc) return c.out.error(ERR.syntax);
    count = longArg(c, i + 1);
    if (count !== count) return;
    if (count < 0) count = 0;
  }
  const stream = streamToRead(c, 1);
  if (stream === undefined) return;
  if (stream === null) return c.out.array(0);
  if (count === 0) return c.out.nilArray();
  replyRange(c.out, stream, from, to, count < 0 ? 0 : count, backwards);
}

function xdel(c: Call): void {
  const stream = streamToChange(c, 1);
  if (stream === undefined) return;
  if (stream === null) return c.out.int(0);
  const ids = strictIds(c, 2, c.argc);
  if (ids === null) return;
  let gone = 0;
  let first = false;
  for (const id of ids) {
    if (!stream.remove(id)) continue;
    if (id === stream.firstId) first = true;
    if (id > stream.maxDeletedId) stream.maxDeletedId = id;
    gone++;
  }
  if (gone > 0) {
    if (first || stream.count === 0) stream.refreshFirst();
    touchedBy(c, 1, NOTIFY_STREAM, "xdel", gone);
  }
  c.out.int(gone);
}

/** XSETID key last-id [ENTRIESADDED n] [MAXDELETEDID id]. */
function xsetid(c: Call): void {
  const id = strictId(c, 2);
  if (id === null) return;
  let added = -1;
  let maxDeleted = 0n;
  for (let i = 3; i < c.argc; i += 2) {
    if (i + 1 < c.argc && c.is(i, "entriesadded")) {
      added = longArg(c, i + 1);
      if (added !== added) return;
      if (added < 0) return c.out.errorText("ERR entries_added must be positive");
    } else if (i + 1 < c.argc && c.is(i, "maxdeletedid")) {
      const given = strictId(c, i + 1);
      if (given === null) return;
      if (id < given) return c.out.errorText("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
      maxDeleted = given;
    } else return c.out.error(ERR.syntax);
  }
  const stream = streamToChange(c, 1);
  if (stream === undefined) return;
  if (stream === null) return c.out.error(ERR.noKey);
  if (id < stream.maxDeletedId) return c.out.errorText("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
  if (stream.count > 0) {
    if (id < stream.edge(false)) return c.out.errorText("ERR The ID specified in XSETID is smaller than the target stream top item");
    if (added !== -1 && stream.count > added)
      return c.out.errorText("ERR The entries_added specified in XSETID is smaller than the target stream length");
  }
  stream.lastId = id;
  if (added !== -1) stream.added = added;
  if (maxDeleted !== 0n) stream.maxDeletedId = maxDeleted;
  c.out.ok();
  c.dirty++;
  notifyArg(c, 1, NOTIFY_STREAM, "xsetid");
}

export function streamRuns(blocking: Blocking): Record<string, Run> {
  return {
    xadd: (c) => xadd(c, blocking),
    xtrim,
    xlen,
    xrange: (c) => xrange(c, false),
    xrevrange: (c) => xrange(c, true),
    xdel,
    xsetid,
  };
}

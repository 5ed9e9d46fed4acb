/**
 * Consumer groups: XGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM. Warm. Redis t_stream.c.
 *
 * Claims travel to replicas entry by entry, as XCLAIM with the full state (stream_read.ts: claimWords).
 */
import type { Blocking } from "../clients/blocking.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_STREAM } from "../config/keyspace_events.ts";
import { ERR } from "../resp/errors.ts";
import { type Stream, createStream, hasEntry, streamOf } from "../store/stream.ts";
import { type Consumer, Group, type Pending, UNKNOWN_READS } from "../store/stream_group.ts";
import { ID_MAX, type StreamId, foundId, idText, parseId, parsedId } from "../store/stream_id.ts";
import { clock } from "../time/clock.ts";
import { keyspaceOf, notifyArg } from "./effects.ts";
import {
  deferred,
  intervalId,
  longArg,
  looseId,
  replyId,
  replyOne,
  strictId,
  strictIds,
  streamToChange,
  streamToRead,
} from "./stream_args.ts";
import { claimWords } from "./stream_read.ts";

// ------------------------------------------------------------------------------------------------------------------------ XGROUP

const NO_KEY =
  "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";

/** Unknown options and wrong counts of arguments of a subcommand. Redis addReplySubcommandSyntaxError. */
export function subcommandSyntax(c: Call): void {
  const container = c.text(0).toUpperCase();
  c.out.errorText(`ERR unknown subcommand or wrong number of arguments for '${c.text(1).slice(0, 128)}'. Try ${container} HELP.`);
}

let makeStream = false;
let entriesRead = UNKNOWN_READS;
/** Reads the options of CREATE and SETID into makeStream and entriesRead; false after a reply. */
function groupOptions(c: Call, creates: boolean): boolean {
  makeStream = false;
  entriesRead = UNKNOWN_READS;
  for (let i = 5; i < c.argc; i++) {
    if (creates && c.is(i, "mkstream")) makeStream = true;
    else if (c.is(i, "entriesread") && i + 1 < c.argc) {
      entriesRead = longArg(c, ++i);
      if (entriesRead !== entriesRead) return false;
      if (entriesRead < 0 && entriesRead !== UNKNOWN_READS) {
        c.out.errorText("ERR value for ENTRIESREAD must be positive or -1");
        return false;
      }
    } else {
      subcommandSyntax(c);
      return false;
    }
  }
  return true;
}

/** The stream at argument 2, which must be there; null after a reply. */
function groupStream(c: Call): Stream | null {
  const stream = streamToChange(c, 2);
  if (stream === null) c.out.errorText(NO_KEY);
  return stream ?? null;
}

/** The group at argument 3; null after a reply. */
function groupOf(c: Call, stream: Stream): Group | null {
  const group = stream.groups.get(c.text(3));
  if (group !== undefined) return group;
  c.out.errorText(`NOGROUP No such consumer group '${c.text(3)}' for key name '${c.text(2)}'`);
  return null;
}

function xgroupCreate(c: Call): void {
  if (!groupOptions(c, true)) return;
  let stream = streamToChange(c, 2);
  if (stream === undefined) return;
  if (stream === null && !makeStream) return c.out.errorText(NO_KEY);
  if (c.argc > 8) return subcommandSyntax(c);
  let id = stream?.lastId ?? 0n;
  if (c.text(4) !== "$") {
    const given = strictId(c, 4);
    if (given === null) return;
    id = given;
  }
  const ks = keyspaceOf(c);
  if (stream === null) {
    const ref = createStream(ks, c.buf, c.s(2), c.e(2));
    if (ref === 0) return c.out.error(ERR.oom);
    stream = streamOf(ref);
    ks.modified(c.buf, c.s(2), c.e(2));
  }
  const name = c.text(3);
  if (stream.groups.has(name)) return c.out.error(ERR.busyGroup);
  stream.groups.set(name, new Group(id, entriesRead));
  c.out.ok();
  c.dirty++;
  notifyArg(c, 2, NOTIFY_STREAM, "xgroup-create");
}

function xgroupSetid(c: Call): void {
  if (!groupOptions(c, false)) return;
  const stream = groupStream(c);
  const group = stream === null ? null : groupOf(c, stream);
  if (stream === null || group === null) return;
  if (c.argc !== 5 && c.argc !== 7) return subcommandSyntax(c);
  let id = stream.lastId;
  if (c.text(4) !== "$") {
    const given = looseId(c, 4);
    if (given === null) return;
    id = given;
  }
  group.lastId = id;
  group.entriesRead = entriesRead;
  c.out.ok();
  c.dirty++;
  notifyArg(c, 2, NOTIFY_STREAM, "xgroup-setid");
}

function xgroupDestroy(c: Call, blocking: Blocking): void {
  const stream = groupStream(c);
  if (stream === null) return;
  const group = stream.groups.get(c.text(3));
  if (group === undefined) return c.out.int(0);
  stream.groups.delete(c.text(3));
  group.release();
  c.out.int(1);
  c.dirty++;
  notifyArg(c, 2, NOTIFY_STREAM, "xgroup-destroy");
  // Those who wait in this group are told that it is gone.
  blocking.keyReady(keyspaceOf(c).index, c.buf, c.s(2), c.e(2));
}

function xgroupCreateConsumer(c: Call): void {
  const stream = groupStream(c);
  const group = stream === null ? null : groupOf(c, stream);
  if (group === null) return;
  if (group.consumers.has(c.text(4))) return c.out.int(0);
  consumerAt(c, group, 4, 2);
  c.out.int(1);
}

function xgroupDelConsumer(c: Call): void {
  const stream = groupStream(c);
  const group = stream === null ? null : groupOf(c, stream);
  if (group === null) return;
  const consumer = group.consumers.get(c.text(4));
  if (consumer === undefined) return c.out.int(0);
  const pending = consumer.pending.size;
  group.removeConsumer(consumer);
  c.dirty++;
  notifyArg(c, 2, NOTIFY_STREAM, "xgroup-delconsumer");
  c.out.int(pending);
}

/** The consumer named by argument i, made if need be. */
function consumerAt(c: Call, group: Group, i: number, keyAt: number): Consumer {
  const name = c.text(i);
  const known = group.consumers.get(name);
  if (known !== undefined) return known;
  c.dirty++;
  notifyArg(c, keyAt, NOTIFY_STREAM, "xgroup-createconsumer");
  return group.addConsumer(name, clock.nowMs)!;
}

// ---------------------------------------------------------------------------------------------------------------- XACK, XPENDING

function xack(c: Call): void {
  const stream = streamToChange(c, 1);
  if (stream === undefined) return;
  const group = stream?.groups.get(c.text(2));
  if (group === undefined) return c.out.int(0);
  const ids = strictIds(c, 3, c.argc);
  if (ids === null) return;
  let gone = 0;
  for (const id of ids) if (group.acknowledge(id)) gone++;
  c.dirty += gone;
  c.out.int(gone);
}

/** The group at argument 2 of the stream at argument 1; null after a reply. */
function needGroup(c: Call, stream: Stream | null): Group | null {
  const group = stream?.groups.get(c.text(2));
  if (group !== undefined) return group;
  c.out.errorText(`NOGROUP No such key '${c.text(1)}' or consumer group '${c.text(2)}'`);
  return null;
}

function xpending(c: Call): void {
  if (c.argc !== 3 && (c.argc < 6 || c.argc > 9)) return c.out.error(ERR.syntax);
  if (c.argc === 3) {
    const stream = streamToRead(c, 1);
    const group = stream === undefined ? null : needGroup(c, stream);
    if (group !== null) pendingInSum(c, group);
    return;
  }
  let at = 3;
  let minIdle = 0;
  if (c.is(3, "idle")) {
    minIdle = longArg(c, 4);
    if (minIdle !== minIdle) return;
    if (c.argc < 8) return c.out.error(ERR.syntax);
    at = 5;
  }
  const count = longArg(c, at + 2);
  if (count !== count) return;
  const from = intervalId(c, at, true);
  if (from === null) return;
  const to = intervalId(c, at + 1, false);
  if (to === null) return;
  const stream = streamToRead(c, 1);
  const group = stream === undefined ? null : needGroup(c, stream);
  if (group === null) return;
  let { pending } = group;
  if (at + 3 < c.argc) {
    const consumer = group.consumers.get(c.text(at + 3));
    if (consumer === undefined) return c.out.array(0);
    ({ pending } = consumer);
  }
  deferred(
    c.out,
    (n) => c.out.array(n),
    (body) => {
      let n = 0;
      for (let more = count > 0 && pending.ceil(from); more && n < count && foundId <= to;) {
        const id = foundId;
        const p = pending.found!;
        const idle = clock.nowMs - p.deliveredMs;
        if (minIdle === 0 || idle >= minIdle) {
          n++;
          body.array(4);
          replyId(body, id);
          body.bulkText(p.consumer!.name);
          body.int(Math.max(0, idle));
          body.int(p.deliveries);
        }
        more = id !== ID_MAX && pending.ceil(id + 1n);
      }
      return n;
    },
  );
}

function pendingInSum(c: Call, group: Group): void {
  const { out } = c;
  out.array(4);
  out.int(group.pending.size);
  if (group.pending.size === 0) {
    out.nil();
    out.nil();
    return out.nilArray();
  }
  group.pending.ceil(0n);
  replyId(out, foundId);
  group.pending.floor(ID_MAX);
  replyId(out, foundId);
  const busy = group.sortedConsumers().filter((consumer) => consumer.pending.size > 0);
  out.array(busy.length);
  for (const consumer of busy) {
    out.array(2);
    out.bulkText(consumer.name);
    out.bulkInt(consumer.pending.size);
  }
}

// ---------------------------------------------------------------------------------------------------------------------- claiming

interface ClaimOptions {
  /** Ids are the arguments [5, idsEnd). */
  ids: StreamId[];
  deliveredMs: number;
  /** -1: counted on. */
  deliveries: number;
  force: boolean;
  justId: boolean;
  lastId: StreamId;
}

/** XCLAIM's ids and options; null after a reply. */
function claimOptions(c: Call): ClaimOptions | null {
  const o: ClaimOptions = { ids: [], deliveredMs: -1, deliveries: -1, force: false, justId: false, lastId: 0n };
  let i = 5;
  for (; i < c.argc && parseId(c.buf, c.s(i), c.e(i), 0n, true); i++) o.ids.push(parsedId);
  for (; i < c.argc; i++) {
    const more = i + 1 < c.argc;
    if (c.is(i, "force")) o.force = true;
    else if (c.is(i, "justid")) o.justId = true;
    else if (c.is(i, "idle") && more) {
      const idle = longArg(c, ++i, "ERR Invalid IDLE option argument for XCLAIM");
      if (idle !== idle) return null;
      o.deliveredMs = clock.nowMs - idle;
    } else if (c.is(i, "time") && more) {
      o.deliveredMs = longArg(c, ++i, "ERR Invalid TIME option argument for XCLAIM");
      if (o.deliveredMs !== o.deliveredMs) return null;
    } else if (c.is(i, "retrycount") && more) {
      o.deliveries = longArg(c, ++i, "ERR Invalid RETRYCOUNT option argument for XCLAIM");
      if (o.deliveries !== o.deliveries) return null;
    } else if (c.is(i, "lastid") && more) {
      const id = strictId(c, ++i);
      if (id === null) return null;
      o.lastId = id;
    } else {
      c.out.errorText(`ERR Unrecognized XCLAIM option '${c.text(i)}'`);
      return null;
    }
  }
  // A time that cannot be, nobody knows whose clock made it, is now.
  if (o.deliveredMs < 0 || o.deliveredMs > clock.nowMs) o.deliveredMs = clock.nowMs;
  return o;
}

/** Tells replicas what became of a pending entry. */
function tellClaim(c: Call, group: Group, id: StreamId, p: Pending): void {
  c.rewrite(...claimWords(c.view(1), c.view(2), group, p.consumer!.name, id, p.deliveredMs, p.deliveries));
  c.dirty++;
}

function xclaim(c: Call): void {
  const stream = streamToChange(c, 1);
  const group = stream === undefined ? null : needGroup(c, stream);
  if (group === null) return;
  let minIdle = longArg(c, 4, "ERR Invalid min-idle-time argument for XCLAIM");
  if (minIdle !== minIdle) return;
  if (minIdle < 0) minIdle = 0;
  const o = claimOptions(c);
  if (o === null) return;
  const moved = o.lastId > group.lastId;
  if (moved) group.lastId = o.lastId;
  const consumer = consumerAt(c, group, 3, 1);
  consumer.seenMs = clock.nowMs;
  deferred(
    c.out,
    (n) => c.out.array(n),
    (body) => {
      let n = 0;
      for (const id of o.ids) {
        const p = claimable(c, stream!, group, consumer, id, minIdle, o);
        if (p === null) continue;
        if (o.justId) replyId(body, id);
        else replyOne(body, stream!, id);
        n++;
        consumer.activeMs = clock.nowMs;
        tellClaim(c, group, id, p);
      }
      return n;
    },
  );
  if (moved && c.instead === null) {
    c.rewrite("XGROUP", "SETID", c.view(1), c.view(2), idText(group.lastId), "ENTRIESREAD", String(group.entriesRead));
    c.dirty++;
  }
  if (c.instead === null) c.silent = true;
}

/** Gives one entry to the consumer, if it may have it. What is pending but no longer in the stream is struck. */
function claimable(
  c: Call,
  stream: Stream,
  group: Group,
  consumer: Consumer,
  id: StreamId,
  minIdle: number,
  o: ClaimOptions,
): Pending | null {
  let p = group.pending.get(id);
  if (!hasEntry(stream, id)) {
    if (p !== undefined) {
      tellClaim(c, group, id, p);
      group.acknowledge(id);
    }
    return null;
  }
  if (p === undefined) {
    if (!o.force) return null;
    p = group.addPending(id, consumer, clock.nowMs, 1);
  } else if (minIdle > 0 && clock.nowMs - p.deliveredMs < minIdle) return null;
  group.give(id, p, consumer);
  return group.deliver(id, p, o.deliveredMs, o.deliveries >= 0 ? o.deliveries : o.justId ? p.deliveries : p.deliveries + 1);
}

/** Pending entries looked at for each one that is wanted. */
const ATTEMPTS = 10;
const LONG_MAX = 2 ** 63;

function xautoclaim(c: Call): void {
  let minIdle = longArg(c, 4, "ERR Invalid min-idle-time argument for XAUTOCLAIM");
  if (minIdle !== minIdle) return;
  if (minIdle < 0) minIdle = 0;
  const from = intervalId(c, 5, true);
  if (from === null) return;
  let count = 100;
  let justId = false;
  for (let i = 6; i < c.argc; i++) {
    if (c.is(i, "count") && i + 1 < c.argc) {
      count = longArg(c, ++i, "ERR COUNT must be > 0");
      if (count !== count) return;
      if (count < 1 || count > LONG_MAX / 16) return c.out.errorText("ERR COUNT must be > 0");
    } else if (c.is(i, "justid")) justId = true;
    else return c.out.error(ERR.syntax);
  }
  const stream = streamToChange(c, 1);
  const group = stream === undefined ? null : needGroup(c, stream);
  if (group === null) return;
  const consumer = consumerAt(c, group, 3, 1);
  consumer.seenMs = clock.nowMs;
  const gone: StreamId[] = [];
  let next = from;
  c.out.array(3);
  deferred(
    c.out,
    (n) => {
      replyId(c.out, next);
      c.out.array(n);
    },
    (body) => {
      let n = 0;
      let more = group.pending.ceil(from);
      for (let attempts = count * ATTEMPTS; more && attempts > 0 && n + gone.length < count; attempts--) {
        const id = foundId;
        let p = group.pending.found!;
        if (!hasEntry(stream!, id)) {
          tellClaim(c, group, id, p);
          group.acknowledge(id);
          gone.push(id);
        } else if (minIdle === 0 || clock.nowMs - p.deliveredMs >= minIdle) {
          group.give(id, p, consumer);
          p = group.deliver(id, p, clock.nowMs, justId ? p.deliveries : p.deliveries + 1);
          if (justId) replyId(body, id);
          else replyOne(body, stream!, id);
          n++;
          consumer.activeMs = clock.nowMs;
          tellClaim(c, group, id, p);
        }
        more = id !== ID_MAX && group.pending.ceil(id + 1n);
      }
      next = more ? foundId : 0n;
      return n;
    },
  );
  c.out.array(gone.length);
  for (const id of gone) replyId(c.out, id);
  if (c.instead === null) c.silent = true;
}

export function streamGroupRuns(blocking: Blocking): Record<string, Run> {
  return {
    "xgroup|create": xgroupCreate,
    "xgroup|setid": xgroupSetid,
    "xgroup|destroy": (c) => xgroupDestroy(c, blocking),
    "xgroup|createconsumer": xgroupCreateConsumer,
    "xgroup|delconsumer": xgroupDelConsumer,
    xack,
    xpending,
    xclaim,
    xautoclaim,
  };
}

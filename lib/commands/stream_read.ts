/**
 * XREAD and XREADGROUP: entries from several streams, waiting for some if asked to. Warm. Redis t_stream.c.
 *
 * What XREADGROUP does to a group travels to replicas as XCLAIM with the full state, XGROUP SETID and XGROUP CREATECONSUMER.
 */
import { type Blocking, saveCall } from "../clients/blocking.ts";
import { type Call, encodeCommand } from "../clients/call.ts";
import { FLAG_SCRIPT, type Queued } from "../clients/client.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_STREAM } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import type { Out } from "../resp/out.ts";
import { STREAM, typeOf } from "../store/entry.ts";
import { type Stream, streamOf } from "../store/stream.ts";
import { StreamCursor } from "../store/stream_cursor.ts";
import type { Consumer, Group } from "../store/stream_group.ts";
import { ID_MAX, type StreamId, foundId, idText } from "../store/stream_id.ts";
import { distanceFromFirst, hasTombstones } from "../store/stream_lag.ts";
import { clock } from "../time/clock.ts";
import { keyspaceOf, notifyArg } from "./effects.ts";
import { deferred, longArg, replyEntry, replyId, replyOne, replyRange, strictId, wordsWith } from "./stream_args.ts";
import { mayBlock } from "./timeout.ts";

const ONLY_GROUP = (option: string): Buffer =>
  errorLine(`ERR The ${option} option is only supported by XREADGROUP. You called XREAD instead.`);
const DOLLAR = errorLine(
  "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
);
const GREATER = errorLine("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.");

interface ReadOptions {
  /** -1: does not wait; 0: for ever. */
  timeoutMs: number;
  count: number;
  noAck: boolean;
  /** Arguments of the group's and the consumer's name; 0: none. */
  groupAt: number;
  /** First argument of the keys, and how many there are. */
  keysAt: number;
  streams: number;
}

function blockArg(c: Call, i: number): number {
  const ms = c.integer(i);
  if (ms !== ms) {
    c.out.error(ERR.timeoutNotInteger);
    return NaN;
  }
  if (ms < 0) {
    c.out.error(ERR.timeoutNegative);
    return NaN;
  }
  return ms;
}

/** The options; null after a reply. */
function parseRead(c: Call, group: boolean): ReadOptions | null {
  const o: ReadOptions = { timeoutMs: -1, count: 0, noAck: false, groupAt: 0, keysAt: 0, streams: 0 };
  for (let i = 1; i < c.argc; i++) {
    const more = c.argc - i - 1;
    if (more > 0 && c.is(i, "block")) {
      if (c.client.flags & FLAG_SCRIPT) {
        c.out.errorText(`ERR ${c.text(0)} command is not allowed with BLOCK option from scripts`);
        return null;
      }
      o.timeoutMs = blockArg(c, ++i);
      if (o.timeoutMs !== o.timeoutMs) return null;
    } else if (more > 0 && c.is(i, "count")) {
      o.count = longArg(c, ++i);
      if (o.count !== o.count) return null;
      if (o.count < 0) o.count = 0;
    } else if (more > 0 && c.is(i, "streams")) {
      o.keysAt = i + 1;
      o.streams = c.argc - o.keysAt;
      if (o.streams % 2 !== 0) {
        const sign = group ? ">" : "$";
        c.out.errorText(`ERR Unbalanced '${c.command.name}' list of streams: for each stream key an ID or '${sign}' must be specified.`);
        return null;
      }
      o.streams /= 2;
      break;
    } else if (more >= 2 && c.is(i, "group")) {
      if (!group) return refuse(c, ONLY_GROUP("GROUP"));
      o.groupAt = i + 1;
      i += 2;
    } else if (c.is(i, "noack")) {
      if (!group) return refuse(c, ONLY_GROUP("NOACK"));
      o.noAck = true;
    } else return refuse(c, ERR.syntax);
  }
  if (o.keysAt === 0) return refuse(c, ERR.syntax);
  if (group && o.groupAt === 0) return refuse(c, errorLine("ERR Missing GROUP option for XREADGROUP"));
  return o;
}
function refuse(c: Call, line: Buffer): null {
  c.out.error(line);
  return null;
}

/** The stream under argument i: null for none, undefined after a reply. Groups change while they are read. */
function look(c: Call, i: number, change: boolean): Stream | null | undefined {
  const ks = keyspaceOf(c);
  const ref = change ? ks.lookupWrite(c.buf, c.s(i), c.e(i)) : ks.lookupRead(c.buf, c.s(i), c.e(i));
  if (ref === 0) return null;
  if (typeOf(ref) === STREAM) return streamOf(ref);
  c.out.error(ERR.wrongType);
  return undefined;
}

/** What is asked of one stream. */
interface Source {
  keyAt: number;
  stream: Stream | null;
  group: Group | null;
  /** Entries above this one are wanted. */
  after: StreamId;
  /** XREADGROUP with `>`. */
  fresh: boolean;
}

/** The sources in order; null after a reply. */
function sourcesOf(c: Call, o: ReadOptions): Source[] | null {
  const sources: Source[] = [];
  for (let n = 0; n < o.streams; n++) {
    const keyAt = o.keysAt + n;
    const i = keyAt + o.streams;
    const stream = look(c, keyAt, o.groupAt > 0);
    if (stream === undefined) return null;
    const source: Source = { keyAt, stream, group: null, after: 0n, fresh: false };
    sources.push(source);
    if (o.groupAt > 0) {
      source.group = stream?.groups.get(c.text(o.groupAt)) ?? null;
      if (source.group === null) {
        c.out.errorText(`NOGROUP No such key '${c.text(keyAt)}' or consumer group '${c.text(o.groupAt)}' in XREADGROUP with GROUP option`);
        return null;
      }
    }
    const sign = c.len(i) === 1 ? c.buf[c.s(i)] : 0;
    if (sign === 36) {
      if (o.groupAt > 0) return refuse(c, DOLLAR);
      source.after = stream?.lastId ?? 0n;
    } else if (sign === 62) {
      if (o.groupAt === 0) return refuse(c, GREATER);
      source.fresh = true;
    } else {
      const id = strictId(c, i);
      if (id === null) return null;
      source.after = id;
    }
  }
  return sources;
}

/** Serves one source into `out` if there is something; true when it was. */
function serve(c: Call, o: ReadOptions, source: Source, out: Out): boolean {
  const { stream, group } = source;
  if (stream === null) return false;
  let wanted = false;
  let consumer: Consumer | null = null;
  if (group !== null) {
    if (!source.fresh) wanted = true;
    else if (stream.count > 0 && stream.edge(false) > group.lastId) {
      wanted = true;
      source.after = group.lastId;
    }
    consumer = consumerOf(c, o, source, group);
    consumer.seenMs = clock.nowMs;
  } else wanted = stream.count > 0 && stream.edge(false) > source.after;
  if (!wanted) return false;
  if (out.resp === 2) out.array(2);
  out.bulk(c.buf, c.s(source.keyAt), c.e(source.keyAt));
  const from = source.after === ID_MAX ? 0n : source.after + 1n;
  if (group === null) replyRange(out, stream, from, ID_MAX, o.count, false);
  else if (!source.fresh) replyHistory(out, stream, group!, consumer!, from, o.count);
  else deliver(c, o, source, consumer!, from, out);
  if (group !== null) c.dirty++;
  return true;
}

function consumerOf(c: Call, o: ReadOptions, source: Source, group: Group): Consumer {
  const name = c.text(o.groupAt + 1);
  const known = group.consumers.get(name);
  if (known !== undefined) return known;
  const consumer = group.addConsumer(name, clock.nowMs)!;
  c.dirty++;
  notifyArg(c, source.keyAt, NOTIFY_STREAM, "xgroup-createconsumer");
  if (o.noAck) c.rewrite("XGROUP", "CREATECONSUMER", c.view(source.keyAt), c.view(o.groupAt), c.view(o.groupAt + 1));
  return consumer;
}

/** Entries that are pending for the consumer. */
function replyHistory(out: Out, stream: Stream, group: Group, consumer: Consumer, from: StreamId, count: number): void {
  deferred(
    out,
    (n) => out.array(n),
    (body) => {
      let n = 0;
      for (let more = consumer.pending.ceil(from); more && (count === 0 || n < count); n++) {
        const id = foundId;
        const pending = consumer.pending.found!;
        if (replyOne(body, stream, id)) {
          group.deliver(id, pending, clock.nowMs, pending.deliveries + 1);
        } else {
          // It was deleted meanwhile: the id alone.
          body.array(2);
          replyId(body, id);
          body.nilArray();
        }
        more = id !== ID_MAX && consumer.pending.ceil(id + 1n);
      }
      return n;
    },
  );
}

const cursor = new StreamCursor();

/** New entries for a consumer of a group. */
function deliver(c: Call, o: ReadOptions, source: Source, consumer: Consumer, from: StreamId, out: Out): void {
  const stream = source.stream!;
  const group = source.group!;
  const key = c.view(source.keyAt);
  const groupName = c.view(o.groupAt);
  let moved = false;
  deferred(
    out,
    (n) => out.array(n),
    (body) => {
      let n = 0;
      if (!cursor.begin(stream, from, ID_MAX, false)) return 0;
      for (; (o.count === 0 || n < o.count) && cursor.next(); n++) {
        const { id } = cursor;
        if (id > group.lastId) {
          if (group.entriesRead !== -1 && !hasTombstones(stream, id)) group.entriesRead++;
          else if (stream.added > 0) group.entriesRead = distanceFromFirst(stream, id);
          group.lastId = id;
          moved = true;
        }
        replyEntry(body, cursor);
        if (o.noAck) continue;
        const known = group.pending.get(id);
        if (known === undefined) group.addPending(id, consumer, clock.nowMs, 1);
        else {
          // The group was set back: the entry changes hands.
          group.give(id, known, consumer);
          group.deliver(id, known, clock.nowMs, 1);
        }
        consumer.activeMs = clock.nowMs;
        c.rewrite(...claimWords(key, groupName, group, consumer.name, id, clock.nowMs, 1));
      }
      return n;
    },
  );
  if (moved && o.noAck) c.rewrite("XGROUP", "SETID", key, groupName, idText(group.lastId), "ENTRIESREAD", String(group.entriesRead));
}

/** The XCLAIM that tells replicas of one pending entry, whatever they know of it. */
export function claimWords(
  key: Buffer,
  groupName: Buffer,
  group: Group,
  consumer: string,
  id: StreamId,
  deliveredMs: number,
  deliveries: number,
): (string | Buffer)[] {
  const [when, times] = [String(deliveredMs), String(deliveries)];
  const state = ["TIME", when, "RETRYCOUNT", times, "FORCE", "JUSTID", "LASTID", idText(group.lastId)];
  return ["XCLAIM", key, groupName, consumer, "0", idText(id), ...state];
}

/** The waiting request with `$` turned into ids, so that what comes meanwhile counts. */
function withIds(c: Call, o: ReadOptions, sources: Source[]): Queued | null {
  const replaced = new Map<number, string>();
  for (const source of sources) {
    const i = source.keyAt + o.streams;
    if (c.len(i) === 1 && c.buf[c.s(i)] === 36) replaced.set(i, idText(source.after));
  }
  if (replaced.size === 0) return null;
  const words = wordsWith(c, replaced);
  const buf = encodeCommand(words);
  const at = new Int32Array(words.length * 2);
  let p = buf.indexOf(10) + 1;
  words.forEach((word, i) => {
    at[2 * i] = buf.indexOf(10, p) + 1;
    at[2 * i + 1] = at[2 * i] + word.length;
    p = at[2 * i + 1] + 2;
  });
  return { ...saveCall(c), buf, at };
}

function xread(c: Call, group: boolean, blocking: Blocking): void {
  const o = parseRead(c, group);
  if (o === null) return;
  const sources = sourcesOf(c, o);
  if (sources === null) return;
  const { out } = c;
  const head = (n: number): void => {
    if (n === 0) return;
    if (out.resp === 2) out.array(n);
    else out.map(n);
  };
  const served = deferred(out, head, (body) => {
    let n = 0;
    for (const source of sources) if (serve(c, o, source, body)) n++;
    return n;
  });
  // What replicas get is the effects alone.
  if (c.instead === null) c.silent = true;
  if (served > 0) return;
  if (o.timeoutMs < 0 || !mayBlock(c)) return out.nilArray();
  const keys = sources.map((source) => c.text(source.keyAt));
  const saved = withIds(c, o, sources);
  blocking.block(c, keys, STREAM, o.timeoutMs, group);
  if (saved !== null) c.client.blocked!.saved = saved;
}

export function streamReadRuns(blocking: Blocking): Record<string, Run> {
  return {
    xread: (c) => xread(c, false, blocking),
    xreadgroup: (c) => xread(c, true, blocking),
  };
}

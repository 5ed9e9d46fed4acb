/** What the stream commands share: look-ups, ids in arguments and replies, entries in replies, replies whose length shows at the end. Warm. */
import type { Call } from "../clients/call.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { Out } from "../resp/out.ts";
import { STREAM, typeOf } from "../store/entry.ts";
import { type Stream, streamOf } from "../store/stream.ts";
import { StreamCursor } from "../store/stream_cursor.ts";
import { SEQ_MAX, type StreamId, idText, parseId, parsedId, writeHalves } from "../store/stream_id.ts";
import { keyspaceOf } from "./effects.ts";

const INVALID_ID = errorLine("ERR Invalid stream ID specified as stream command argument");

/** The stream under argument i for reading: null when there is none, undefined after a WRONGTYPE reply. */
export function streamToRead(c: Call, i: number): Stream | null | undefined {
  return streamAt(c, keyspaceOf(c).lookupRead(c.buf, c.s(i), c.e(i)));
}
/** As streamToRead for a change. */
export function streamToChange(c: Call, i: number): Stream | null | undefined {
  return streamAt(c, keyspaceOf(c).lookupWrite(c.buf, c.s(i), c.e(i)));
}
function streamAt(c: Call, ref: number): Stream | null | undefined {
  if (ref === 0) return null;
  if (typeOf(ref) === STREAM) return streamOf(ref);
  c.out.error(ERR.wrongType);
  return undefined;
}

/** Argument i as an int64; NaN after a reply, `text` in place of the usual one. */
export function longArg(c: Call, i: number, text?: string): number {
  const n = c.wideInteger(i);
  if (n !== n) {
    if (text === undefined) c.out.error(ERR.notInteger);
    else c.out.errorText(text);
  }
  return n;
}

/** Argument i as an id, `-` and `+` refused; null after a reply. */
export function strictId(c: Call, i: number): StreamId | null {
  if (parseId(c.buf, c.s(i), c.e(i), 0n, true)) return parsedId;
  c.out.error(INVALID_ID);
  return null;
}
/** The arguments [from, to) as ids; null after a reply. */
export function strictIds(c: Call, from: number, to: number): StreamId[] | null {
  const ids: StreamId[] = [];
  for (let i = from; i < to; i++) {
    const id = strictId(c, i);
    if (id === null) return null;
    ids.push(id);
  }
  return ids;
}
/** Argument i as an id, `-` and `+` allowed; null after a reply. */
export function looseId(c: Call, i: number): StreamId | null {
  if (parseId(c.buf, c.s(i), c.e(i), 0n, false)) return parsedId;
  c.out.error(INVALID_ID);
  return null;
}
export function invalidId(c: Call): void {
  c.out.error(INVALID_ID);
}

/** Argument i as an end of an interval, `(` excludes it: the first or last id inside; null after a reply. */
export function intervalId(c: Call, i: number, isStart: boolean): StreamId | null {
  const open = c.len(i) > 1 && c.buf[c.s(i)] === 40;
  if (!parseId(c.buf, open ? c.s(i) + 1 : c.s(i), c.e(i), isStart ? 0n : SEQ_MAX, open)) {
    c.out.error(INVALID_ID);
    return null;
  }
  if (!open) return parsedId;
  const id = isStart ? parsedId + 1n : parsedId - 1n;
  if (id >= 0n && id >> 128n === 0n) return id;
  c.out.errorText(isStart ? "ERR invalid start ID for the interval" : "ERR invalid end ID for the interval");
  return null;
}

/** An id as a reply. */
export function replyId(out: Out, id: StreamId): void {
  out.bulkText(idText(id));
}

const idBytes = Buffer.alloc(64);
/** The cursor's entry as a reply: id and fields. */
export function replyEntry(out: Out, cursor: StreamCursor): void {
  out.array(2);
  if (cursor.ms === cursor.ms) out.bulk(idBytes, 0, writeHalves(idBytes, 0, cursor.ms, cursor.seq));
  else replyId(out, cursor.id);
  out.array(cursor.fields * 2);
  for (let i = 0; i < cursor.fields; i++) {
    cursor.field();
    out.bulk(cursor.b, cursor.start, cursor.end);
    cursor.value();
    out.bulk(cursor.b, cursor.start, cursor.end);
  }
}

const one = new StreamCursor();
/** One entry as a reply; false when it is not there, nothing written. */
export function replyOne(out: Out, stream: Stream, id: StreamId): boolean {
  if (!one.begin(stream, id, id, false) || !one.next()) return false;
  replyEntry(out, one);
  return true;
}

const walker = new StreamCursor();
/** Up to `count` entries (0: all) of an interval as an array. */
export function replyRange(out: Out, stream: Stream, from: StreamId, to: StreamId, count: number, backwards: boolean): void {
  deferred(
    out,
    (n) => out.array(n),
    (body) => {
      let n = 0;
      if (!walker.begin(stream, from, to, backwards)) return 0;
      while ((count === 0 || n < count) && walker.next()) {
        replyEntry(body, walker);
        n++;
      }
      return n;
    },
  );
}

/** Writes a reply whose header needs to know what `fill` counts: into an Out aside, then after `head(count)`. */
export function deferred(out: Out, head: (count: number) => void, fill: (body: Out) => number): number {
  const body = new Out(out.resp);
  const count = fill(body);
  head(count);
  const bytes = body.take();
  out.raw(bytes, 0, bytes.length);
  return count;
}

/** The command with some arguments replaced, as `rewrite` wants it. */
export function wordsWith(c: Call, replaced: Map<number, string>): (string | Buffer)[] {
  return Array.from({ length: c.argc }, (_, i) => replaced.get(i) ?? c.view(i));
}

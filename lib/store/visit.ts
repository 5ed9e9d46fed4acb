/** Walks the parts of a value of any type, as copies: digests, DEBUG, tests. Cold. */
import * as entry from "./entry.ts";
import { HashCursor, gotB, gotEnd, gotStart } from "./hash.ts";
import { ListCursor } from "./list.ts";
import { SetCursor } from "./set.ts";
import { region, valueBuffer, valueFrom, valueTo } from "./string.ts";
import { type Stream, streamOf } from "./stream.ts";
import { StreamCursor } from "./stream_cursor.ts";
import { ID_MAX, idText } from "./stream_id.ts";
import { ZSetCursor } from "./zset.ts";

/**
 * Calls `fn` once an element: [bytes] of a string, a list's element or a set's member, [field, value] of a hash, [member, score text] of a
 * sorted set, [id, field, value ...] of a stream's entries (its groups are left out). Lists and streams in order, the others in any.
 */
export function visitValue(ref: number, fn: (parts: Buffer[]) => void): void {
  switch (entry.typeOf(ref)) {
    case entry.STRING:
      region(ref);
      return fn([Buffer.from(valueBuffer.subarray(valueFrom, valueTo))]);
    case entry.HASH: {
      const c = new HashCursor();
      for (c.begin(ref); c.next();) {
        const field = Buffer.from(c.b.subarray(c.start, c.end));
        c.value();
        fn([field, Buffer.from(gotB.subarray(gotStart, gotEnd))]);
      }
      return;
    }
    case entry.SET: {
      const c = new SetCursor();
      for (c.begin(ref); c.next();) fn([Buffer.from(c.b.subarray(c.start, c.end))]);
      return;
    }
    case entry.LIST: {
      const c = new ListCursor();
      for (let more = c.begin(ref, 0, false); more; more = c.next()) fn([Buffer.from(c.b.subarray(c.start, c.end))]);
      return;
    }
    case entry.STREAM:
      return visitStream(streamOf(ref), fn);
    case entry.ZSET: {
      const c = new ZSetCursor();
      for (let more = c.begin(ref, 0, false); more; more = c.next())
        fn([Buffer.from(c.b.subarray(c.start, c.end)), Buffer.from(Object.is(c.score, -0) ? "-0" : String(c.score))]);
      return;
    }
  }
}

function visitStream(stream: Stream, fn: (parts: Buffer[]) => void): void {
  const c = new StreamCursor();
  if (c.begin(stream, 0n, ID_MAX, false))
    while (c.next()) {
      const parts = [Buffer.from(idText(c.id))];
      for (let i = 0; i < c.fields; i++) {
        c.field();
        parts.push(Buffer.from(c.b.subarray(c.start, c.end)));
        c.value();
        parts.push(Buffer.from(c.b.subarray(c.start, c.end)));
      }
      fn(parts);
    }
}

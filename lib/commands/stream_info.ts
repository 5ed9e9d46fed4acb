/** XINFO: what a stream, its groups and its consumers are like. Cold. Redis t_stream.c. */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { ERR } from "../resp/errors.ts";
import type { Out } from "../resp/out.ts";
import type { Stream } from "../store/stream.ts";
import { StreamCursor } from "../store/stream_cursor.ts";
import type { Consumer, Group, Pending } from "../store/stream_group.ts";
import { ID_MAX, type IdMap, type StreamId } from "../store/stream_id.ts";
import { lagOf } from "../store/stream_lag.ts";
import { clock } from "../time/clock.ts";
import { longArg, replyEntry, replyId, replyRange, streamToRead } from "./stream_args.ts";
import { subcommandSyntax } from "./stream_group.ts";

/** Bytes of an id as a key of Redis' radix tree. */
const KEY_BYTES = 16;

/** The stream at argument 2; null after a reply. */
function needStream(c: Call): Stream | null {
  const stream = streamToRead(c, 2);
  if (stream === null) c.out.error(ERR.noKey);
  return stream ?? null;
}

/** Nodes of a radix tree with these ids as keys: what Redis would report, counted from the shape such a tree has. */
function radixNodes(ids: StreamId[]): number {
  if (ids.length === 0) return 1;
  const keys = ids.map((id) => id.toString(16).padStart(KEY_BYTES * 2, "0"));
  const count = (from: number, to: number, depth: number): number => {
    if (to - from === 1) return depth === KEY_BYTES ? 1 : 2;
    // Sorted keys share what the first and the last of them share.
    let same = depth;
    while (keys[from].slice(same * 2, same * 2 + 2) === keys[to - 1].slice(same * 2, same * 2 + 2)) same++;
    let nodes = same > depth ? 2 : 1;
    for (let a = from; a < to;) {
      const byte = keys[a].slice(same * 2, same * 2 + 2);
      let b = a + 1;
      while (b < to && keys[b].slice(same * 2, same * 2 + 2) === byte) b++;
      nodes += count(a, b, same + 1);
      a = b;
    }
    return nodes;
  };
  return count(0, keys.length, 0);
}

function known(out: Out, n: number): void {
  if (n === -1) out.nil();
  else out.int(n);
}

const edge = new StreamCursor();
function replyEdge(out: Out, stream: Stream, last: boolean): void {
  if (edge.begin(stream, 0n, ID_MAX, last) && edge.next()) replyEntry(out, edge);
  else out.nil();
}

function xinfoStream(c: Call): void {
  const stream = needStream(c);
  if (stream === null) return;
  let count = 10;
  const full = c.argc > 3;
  if (full) {
    if ((c.argc !== 4 && c.argc !== 6) || !c.is(3, "full")) return subcommandSyntax(c);
    if (c.argc === 6) {
      if (!c.is(4, "count")) return subcommandSyntax(c);
      count = longArg(c, 5);
      if (count !== count) return;
      if (count < 0) count = 10;
    }
  }
  const { out } = c;
  out.map(full ? 9 : 10);
  out.bulkText("length");
  out.int(stream.count);
  out.bulkText("radix-tree-keys");
  out.int(stream.nodes.size);
  out.bulkText("radix-tree-nodes");
  out.int(radixNodes(Array.from(stream.nodes, ([id]) => id)));
  out.bulkText("last-generated-id");
  replyId(out, stream.lastId);
  out.bulkText("max-deleted-entry-id");
  replyId(out, stream.maxDeletedId);
  out.bulkText("entries-added");
  out.int(stream.added);
  out.bulkText("recorded-first-entry-id");
  replyId(out, stream.firstId);
  if (full) return replyFull(out, stream, count);
  out.bulkText("groups");
  out.int(stream.groups.size);
  out.bulkText("first-entry");
  replyEdge(out, stream, false);
  out.bulkText("last-entry");
  replyEdge(out, stream, true);
}

/** The groups in byte order of their names. */
function sortedGroups(stream: Stream): [string, Group][] {
  return [...stream.groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

function replyFull(out: Out, stream: Stream, count: number): void {
  out.bulkText("entries");
  replyRange(out, stream, 0n, ID_MAX, count, false);
  out.bulkText("groups");
  out.array(stream.groups.size);
  for (const [name, group] of sortedGroups(stream)) {
    out.map(7);
    out.bulkText("name");
    out.bulkText(name);
    out.bulkText("last-delivered-id");
    replyId(out, group.lastId);
    out.bulkText("entries-read");
    known(out, group.entriesRead);
    out.bulkText("lag");
    known(out, lagOf(stream, group));
    out.bulkText("pel-count");
    out.int(group.pending.size);
    out.bulkText("pending");
    replyPending(out, group.pending, count, true);
    out.bulkText("consumers");
    out.array(group.consumers.size);
    for (const consumer of group.sortedConsumers()) replyConsumer(out, consumer, count);
  }
}

function replyConsumer(out: Out, consumer: Consumer, count: number): void {
  out.map(5);
  out.bulkText("name");
  out.bulkText(consumer.name);
  out.bulkText("seen-time");
  out.int(consumer.seenMs);
  out.bulkText("active-time");
  out.int(consumer.activeMs);
  out.bulkText("pel-count");
  out.int(consumer.pending.size);
  out.bulkText("pending");
  replyPending(out, consumer.pending, count, false);
}

function replyPending(out: Out, pending: IdMap<Pending>, count: number, names: boolean): void {
  let left = count === 0 ? pending.size : Math.min(count, pending.size);
  out.array(left);
  if (left === 0) return;
  for (const [id, p] of pending) {
    out.array(names ? 4 : 3);
    replyId(out, id);
    if (names) out.bulkText(p.consumer!.name);
    out.int(p.deliveredMs);
    out.int(p.deliveries);
    if (--left === 0) return;
  }
}

function xinfoGroups(c: Call): void {
  const stream = needStream(c);
  if (stream === null) return;
  const { out } = c;
  out.array(stream.groups.size);
  for (const [name, group] of sortedGroups(stream)) {
    out.map(6);
    out.bulkText("name");
    out.bulkText(name);
    out.bulkText("consumers");
    out.int(group.consumers.size);
    out.bulkText("pending");
    out.int(group.pending.size);
    out.bulkText("last-delivered-id");
    replyId(out, group.lastId);
    out.bulkText("entries-read");
    known(out, group.entriesRead);
    out.bulkText("lag");
    known(out, lagOf(stream, group));
  }
}

function xinfoConsumers(c: Call): void {
  const stream = needStream(c);
  if (stream === null) return;
  const group = stream.groups.get(c.text(3));
  if (group === undefined) return c.out.errorText(`NOGROUP No such consumer group '${c.text(3)}' for key name '${c.text(2)}'`);
  const { out } = c;
  out.array(group.consumers.size);
  for (const consumer of group.sortedConsumers()) {
    out.map(4);
    out.bulkText("name");
    out.bulkText(consumer.name);
    out.bulkText("pending");
    out.int(consumer.pending.size);
    out.bulkText("idle");
    out.int(Math.max(0, clock.nowMs - consumer.seenMs));
    out.bulkText("inactive");
    out.int(consumer.activeMs === -1 ? -1 : clock.nowMs - consumer.activeMs);
  }
}

export const streamInfoRuns: Record<string, Run> = {
  "xinfo|stream": xinfoStream,
  "xinfo|groups": xinfoGroups,
  "xinfo|consumers": xinfoConsumers,
};

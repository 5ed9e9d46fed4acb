/** Where a group stands in its stream, in numbers of entries. Pure arithmetic, cold. Redis t_stream.c. */
import type { Stream } from "./stream.ts";
import type { Group } from "./stream_group.ts";
import type { StreamId } from "./stream_id.ts";

/** True when a tombstone lies at `from` or later, as far as is known. Redis streamRangeHasTombstones. */
export function hasTombstones(stream: Stream, from: StreamId): boolean {
  if (stream.count === 0 || stream.maxDeletedId === 0n) return false;
  if (stream.firstId > stream.maxDeletedId) return false;
  return from <= stream.maxDeletedId;
}

/** How many entries were ever added up to this id; -1 when that cannot be told. Redis streamEstimateDistanceFromFirstEverEntry. */
export function distanceFromFirst(stream: Stream, id: StreamId): number {
  if (stream.added === 0) return 0;
  if (stream.count === 0 && id <= stream.lastId) return stream.added;
  if (id === stream.lastId) return stream.added;
  if (id > stream.lastId) return -1;
  if (stream.maxDeletedId === 0n || stream.maxDeletedId < stream.firstId) {
    if (id < stream.firstId) return stream.added - stream.count;
    if (id === stream.firstId) return stream.added - stream.count + 1;
  }
  return -1;
}

/** Entries that a group has not been given yet; -1 when that cannot be told. */
export function lagOf(stream: Stream, group: Group): number {
  if (stream.added === 0) return 0;
  if (group.entriesRead !== -1 && !hasTombstones(stream, group.lastId)) return stream.added - group.entriesRead;
  const read = distanceFromFirst(stream, group.lastId);
  return read === -1 ? -1 : stream.added - read;
}

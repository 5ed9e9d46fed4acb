/**
 * Streams in RDB: nodes as they lie in memory, the stream's numbers, groups with what is pending. Warm. Redis rdb.c.
 *
 *   saveStream  types 21 (version 11), 19 (version 10), 15 (version 9)
 *   loadStream  all three; a generator as in rdb_load_value.ts
 */
import { clock } from "../../time/clock.ts";
import { lpFirst, lpValid } from "../../store/packed/listpack.ts";
import { freeObject } from "../../store/objects.ts";
import type { FrozenStream } from "../../store/frozen_stream.ts";
import { Stream, looseStream } from "../../store/stream.ts";
import { nodeValid, packsOf } from "../../store/stream_node.ts";
import { Group, type GroupView } from "../../store/stream_group.ts";
import { type StreamId, makeId, msOf, seqOf } from "../../store/stream_id.ts";
import { distanceFromFirst } from "../../store/stream_lag.ts";
import { T_STREAM_LISTPACKS, T_STREAM_LISTPACKS_2, T_STREAM_LISTPACKS_3 } from "./rdb_format.ts";
import type { RdbSource } from "./rdb_source.ts";
import type { RdbWriter } from "./rdb_writer.ts";

const NODES_A_STEP = 8;
const PENDING_A_STEP = 128;
const LOW32 = 0xffffffffn;
const raw = Buffer.alloc(16);

/** The type byte of streams in files of a version. */
export function streamType(version: number): number {
  return version >= 11 ? T_STREAM_LISTPACKS_3 : version === 10 ? T_STREAM_LISTPACKS_2 : T_STREAM_LISTPACKS;
}

// ------------------------------------------------------------------------------------------------------------------------ saving

function putId(id: StreamId): void {
  raw.writeBigUInt64BE(msOf(id), 0);
  raw.writeBigUInt64BE(seqOf(id), 8);
}
function saveId(w: RdbWriter, id: StreamId): void {
  for (const part of [msOf(id), seqOf(id)]) w.lengthPair(Number(part >> 32n), Number(part & LOW32));
}

/** Writes a stream; yields now and then. */
export function* saveStream(w: RdbWriter, view: FrozenStream, type: number): Generator<void, void> {
  const s = view.numbers;
  w.length(view.nodes.size);
  let n = 1;
  for (const { id, b, start, end } of packsOf(view)) {
    putId(id);
    w.string(raw, 0, 16);
    w.string(b, start, end);
    if (n++ % NODES_A_STEP === 0) yield;
  }
  w.length(s.count);
  saveId(w, s.lastId);
  if (type !== T_STREAM_LISTPACKS) {
    saveId(w, s.firstId);
    saveId(w, s.maxDeletedId);
    w.length(s.added);
  }
  w.length(view.groups.length);
  for (const group of view.groups) {
    w.text(group.name);
    saveId(w, group.lastId);
    if (type !== T_STREAM_LISTPACKS) {
      // -1, unknown, is written as the uint64 of all ones.
      if (group.entriesRead < 0) w.lengthPair(0xffffffff, 0xffffffff);
      else w.length(group.entriesRead);
    }
    yield* saveGroup(w, group, type);
  }
}

function* saveGroup(w: RdbWriter, group: GroupView, type: number): Generator<void, void> {
  w.length(group.pending.size);
  let n = 1;
  for (const [id, pending] of group.pending) {
    putId(id);
    w.raw(raw, 0, 16);
    w.millis(pending.deliveredMs);
    w.length(pending.deliveries);
    if (n++ % PENDING_A_STEP === 0) yield;
  }
  w.length(group.consumers.length);
  for (const consumer of group.consumers) {
    w.text(consumer.name);
    w.millis(consumer.seenMs);
    if (type === T_STREAM_LISTPACKS_3) w.millis(consumer.activeMs);
    w.length(consumer.pending.size);
    for (const [id] of consumer.pending) {
      putId(id);
      w.raw(raw, 0, 16);
      if (n++ % PENDING_A_STEP === 0) yield;
    }
  }
}

// ----------------------------------------------------------------------------------------------------------------------- loading

/** Runs a take until it has what it wants; false when the source has failed. */
function* need(s: RdbSource, take: () => boolean): Generator<void, boolean> {
  while (!take()) {
    if (s.failure !== null) return false;
    yield;
  }
  return true;
}
function half(s: RdbSource): bigint {
  return (BigInt(s.hi) << 32n) | BigInt(s.lo);
}

/** The pieces of a stream, each by name of what is missing when it fails. */
class Pieces {
  readonly source: RdbSource;
  readonly length: () => boolean;
  readonly string: () => boolean;
  readonly millis: () => boolean;
  readonly rawId: () => boolean;
  id: StreamId;

  constructor(source: RdbSource) {
    this.source = source;
    this.id = 0n;
    this.length = () => source.takeLength();
    this.string = () => source.takeString();
    this.millis = () => source.takeMillis();
    this.rawId = () => source.takeRaw(16);
  }

  /** An id as two lengths into `id`. */
  *lengthId(): Generator<void, boolean> {
    if (!(yield* need(this.source, this.length))) return false;
    const ms = half(this.source);
    if (!(yield* need(this.source, this.length))) return false;
    this.id = makeId(ms, half(this.source));
    return true;
  }
  /** An id as 16 bytes into `id`. */
  *bytesId(): Generator<void, boolean> {
    if (!(yield* need(this.source, this.rawId))) return false;
    const { strB, strStart } = this.source;
    this.id = makeId(strB.readBigUInt64BE(strStart), strB.readBigUInt64BE(strStart + 8));
    return true;
  }
}

/** Loads a stream: the ref of a loose entry; 0 when the source has failed, -1 when memory is out. `check`: 0 headers alone. */
export function* loadStream(s: RdbSource, type: number, check: number): Generator<void, number> {
  const stream = new Stream();
  const done = yield* fill(s, stream, type, check);
  if (done === 1) {
    const ref = looseStream(stream);
    return ref === 0 ? -1 : ref;
  }
  freeObject(stream, true);
  return done;
}

function broken(s: RdbSource, reason: string): number {
  s.fail(reason);
  return 0;
}

function* fill(s: RdbSource, stream: Stream, type: number, check: number): Generator<void, number> {
  const p = new Pieces(s);
  if (!(yield* need(s, p.length))) return 0;
  for (let left = s.value; left > 0; left--) {
    const added = yield* loadNode(s, stream, p, check);
    if (added !== 1) return added;
  }
  if (!(yield* need(s, p.length))) return 0;
  stream.count = s.value;
  if (!(yield* p.lengthId())) return 0;
  stream.lastId = p.id;
  if (type === T_STREAM_LISTPACKS) {
    stream.added = stream.count;
    stream.refreshFirst();
  } else {
    if (!(yield* p.lengthId())) return 0;
    stream.firstId = p.id;
    if (!(yield* p.lengthId())) return 0;
    stream.maxDeletedId = p.id;
    if (!(yield* need(s, p.length))) return 0;
    stream.added = s.value;
  }
  if (stream.count > 0 && stream.nodes.size === 0) return broken(s, "Stream length inconsistent with rax entries");
  if (!(yield* need(s, p.length))) return 0;
  for (let left = s.value; left > 0; left--) if (!(yield* loadGroup(s, stream, p, type, check))) return 0;
  return 1;
}

/** One node: 1, 0 when the source has failed, -1 when memory is out. */
function* loadNode(s: RdbSource, stream: Stream, p: Pieces, check: number): Generator<void, number> {
  if (!(yield* need(s, p.string))) return 0;
  if (s.strEnd - s.strStart !== 16) return broken(s, "Stream node key entry is not the size of a stream ID");
  const id = makeId(s.strB.readBigUInt64BE(s.strStart), s.strB.readBigUInt64BE(s.strStart + 8));
  if (!(yield* need(s, p.string))) return 0;
  const size = s.strEnd - s.strStart;
  const deep = check > 0;
  if (!lpValid(s.strB, s.strStart, size, deep) || !nodeValid(s.strB, s.strStart, deep))
    return broken(s, "Stream listpack integrity check failed.");
  if (lpFirst(s.strB, s.strStart) < 0) return broken(s, "Empty listpack inside stream");
  const added = stream.addNode(id, s.strB, s.strStart);
  return added === 0 ? broken(s, "Listpack re-added with existing key") : added;
}

function* loadGroup(s: RdbSource, stream: Stream, p: Pieces, type: number, check: number): Generator<void, boolean> {
  if (!(yield* need(s, p.string))) return false;
  const name = s.strB.toString("latin1", s.strStart, s.strEnd);
  if (!(yield* p.lengthId())) return false;
  const lastId = p.id;
  let read: number;
  if (type === T_STREAM_LISTPACKS) read = distanceFromFirst(stream, lastId);
  else {
    if (!(yield* need(s, p.length))) return false;
    read = s.hi > 0x7fffffff ? -1 : s.value;
  }
  if (stream.groups.has(name)) return s.fail(`Duplicated consumer group name ${name}`);
  const group = new Group(lastId, read);
  stream.groups.set(name, group);
  if (!(yield* need(s, p.length))) return false;
  for (let left = s.value; left > 0; left--) {
    if (!(yield* p.bytesId())) return false;
    const { id } = p;
    if (!(yield* need(s, p.millis))) return false;
    const when = s.value;
    if (!(yield* need(s, p.length))) return false;
    if (group.pending.get(id) !== undefined) return s.fail("Duplicated global PEL entry loading stream consumer group");
    group.addPending(id, null, when, s.value);
  }
  if (!(yield* need(s, p.length))) return false;
  for (let left = s.value; left > 0; left--) if (!(yield* loadConsumer(s, group, p, type))) return false;
  // Nothing may be pending for nobody: the commands rely on it.
  for (const [, pending] of group.pending) if (pending.consumer === null) return s.fail("Stream CG PEL entry without consumer");
  return check >= 0;
}

function* loadConsumer(s: RdbSource, group: Group, p: Pieces, type: number): Generator<void, boolean> {
  if (!(yield* need(s, p.string))) return false;
  const consumer = group.addConsumer(s.strB.toString("latin1", s.strStart, s.strEnd), clock.nowMs);
  if (consumer === null) return s.fail("Duplicate stream consumer detected.");
  if (!(yield* need(s, p.millis))) return false;
  consumer.seenMs = s.value;
  consumer.activeMs = s.value;
  if (type === T_STREAM_LISTPACKS_3) {
    if (!(yield* need(s, p.millis))) return false;
    consumer.activeMs = s.value;
  }
  if (!(yield* need(s, p.length))) return false;
  for (let left = s.value; left > 0; left--) {
    if (!(yield* p.bytesId())) return false;
    const pending = group.pending.get(p.id);
    if (pending === undefined) return s.fail("Consumer entry not found in group global PEL");
    if (pending.consumer !== null) return s.fail("Duplicated consumer PEL entry  loading a stream consumer group");
    pending.consumer = consumer;
    consumer.pending.set(p.id, pending);
  }
  return true;
}

/**
 * Streams: entries in nodes, each one listpack in the arena, found by the id of its first entry. Entry bytes are WARM: made in place, no copies.
 *
 *   nodes    IdMap: master id -> a block of the arena, or the number of a huge buffer (HUGE_BASE and up) for nodes beyond HUGE_MIN
 *   node     count | deleted | number of fields | field ... | 0          the master entry: names that most entries share
 *            flags | ms - master | seq - master | value ... | elements   an entry with the master's fields (SAME_FIELDS), or
 *            flags | ms - master | seq - master | number of fields | field | value ... | elements
 *
 *   stream_node.ts   what lies in a node    stream_cursor.ts   walks over entries    frozen_stream.ts   the nodes as a running save must see them
 *
 * The layout is Redis' (t_stream.c), because RDB and DUMP carry it. Deleted entries stay as tombstones until their node goes.
 * Consumer groups are in stream_group.ts; what commands make of all this is in commands/stream*.ts.
 */
import { HUGE_MIN, alloc, countExternal, countHeld, fits, huge, hugeAlloc, hugeGrow, usableBytes } from "./arena.ts";
import { STREAM, STREAM_NODES, KEY_HEADER, setValueWord } from "./entry.ts";
import { FrozenStream, type NodeSource } from "./frozen_stream.ts";
import type { Keyspace } from "./keyspace.ts";
import { type BigObject, addObject, freeObject, objectOf } from "./objects.ts";
import { LP_EMPTY, lpBytes, lpEquals, lpLast, lpPrev, lpSkip } from "./packed/listpack.ts";
import { lpAppend, lpFinish, lpNew, lpPrepare, lpPrepareInt, lpPut } from "./packed/listpack_edit.ts";
import { newLoose } from "./room.ts";
import { settings } from "./settings.ts";
import { StreamCursor } from "./stream_cursor.ts";
import { Group } from "./stream_group.ts";
import { ID_MAX, IdMap, type StreamId, foundId, makeId, msOf, narrow, seqOf } from "./stream_id.ts";
import {
  HUGE_BASE,
  SAME_FIELDS,
  deleted,
  entries,
  freeBlock,
  masterAt,
  masterFields,
  nodeB,
  nodeLp,
  open,
  packsOf,
  prepareWide,
  readMaster,
  setCounts,
  small,
  wide,
} from "./stream_node.ts";

/** A node never holds more bytes (Redis STREAM_LISTPACK_MAX_SIZE), nor can one entry. */
const NODE_MAX_BYTES = 1 << 30;
/** Bytes that a node keeps free, so that its counters can grow when entries are deleted. */
const SLACK = 16;
/** Bytes counted for a node's place in the map. */
const PLACE_BYTES = 64;

export const TRIM_MAXLEN = 1;
export const TRIM_MINID = 2;

export class Stream implements BigObject, NodeSource {
  /** Entries, tombstones not counted. */
  count: number;
  readonly nodes: IdMap<number>;
  readonly groups: Map<string, Group>;
  /** A living stream has its bytes in its nodes. */
  readonly bodies: null;
  /** What a save has not written yet. */
  frozen: FrozenStream | null;
  /** The halves of lastId as numbers, both NaN when one is beyond 2^53. BigInts would cost more than all the rest of XADD. */
  lastMs: number;
  lastSeq: number;
  firstId: StreamId;
  maxDeletedId: StreamId;
  /** Entries ever added. */
  added: number;
  private blockBytes: number;
  /** lastId as a whole; null when nobody has asked for it. */
  private lastWhole: StreamId | null;
  /** The last node, 0 when it is to be looked for, its master id, and the halves of that as those of lastId. */
  private tail: number;
  private tailId: StreamId;
  private tailMs: number;
  private tailSeq: number;

  constructor() {
    this.count = 0;
    this.nodes = new IdMap();
    this.groups = new Map();
    this.bodies = null;
    this.frozen = null;
    this.lastMs = 0;
    this.lastSeq = 0;
    this.firstId = 0n;
    this.maxDeletedId = 0n;
    this.added = 0;
    this.blockBytes = 0;
    this.lastWhole = 0n;
    this.tail = 0;
    this.tailId = 0n;
    this.tailMs = 0;
    this.tailSeq = 0;
  }

  /** Id of the entry added last, or what XSETID says. */
  get lastId(): StreamId {
    return (this.lastWhole ??= makeId(BigInt(this.lastMs), BigInt(this.lastSeq)));
  }
  set lastId(id: StreamId) {
    this.lastWhole = id;
    this.lastMs = narrow(msOf(id));
    this.lastSeq = narrow(seqOf(id));
    if (this.lastMs !== this.lastMs || this.lastSeq !== this.lastSeq) this.lastMs = this.lastSeq = NaN;
  }

  /** The stream as it is now, for whoever reads it before anything changes. */
  view(): FrozenStream {
    const { count, lastId, firstId, maxDeletedId, added } = this;
    const groups = [...this.groups].map(([name, group]) => group.view(name));
    return new FrozenStream(this.nodes.snapshot(), { count, lastId, firstId, maxDeletedId, added }, groups, (blocks) => this.thaw(blocks));
  }
  /** Holds all there is now for a save. */
  freeze(): FrozenStream {
    this.frozen = this.view();
    for (const group of this.groups.values()) group.frozen = true;
    return this.frozen;
  }
  private thaw(blocks: number[]): void {
    this.frozen = null;
    for (const group of this.groups.values()) group.frozen = false;
    for (const node of blocks) {
      countHeld(-this.sizeOf(node));
      freeBlock(node);
    }
  }

  byteSize(): number {
    let bytes = this.blockBytes + this.nodes.size * PLACE_BYTES;
    for (const group of this.groups.values()) bytes += group.byteSize();
    return bytes;
  }

  // ------------------------------------------------------------------------------------------------ nodes

  private sizeOf(node: number): number {
    return node >= HUGE_BASE ? huge[node - HUGE_BASE]!.length : usableBytes(node);
  }

  /** A node with room for a listpack of `bytes` and the slack; 0 when memory is out. */
  private newNode(bytes: number): number {
    let node: number;
    if (bytes + SLACK > HUGE_MIN) {
      const id = hugeAlloc(bytes + SLACK);
      if (id === 0) return 0;
      node = HUGE_BASE + id;
    } else {
      node = alloc(bytes + SLACK);
      if (node === 0) return 0;
    }
    this.blockBytes += this.sizeOf(node);
    this.frozen?.made(node);
    return node;
  }
  private freeNode(node: number): void {
    this.blockBytes -= this.sizeOf(node);
    if (this.frozen === null || !this.frozen.keeps(node)) freeBlock(node);
    else countHeld(this.sizeOf(node));
  }
  private putNode(id: StreamId, node: number): boolean {
    this.tail = 0;
    const fresh = this.nodes.set(id, node);
    if (fresh) countExternal(PLACE_BYTES);
    return fresh;
  }
  private dropNode(id: StreamId, node: number): void {
    this.tail = 0;
    if (this.nodes.delete(id)) countExternal(-PLACE_BYTES);
    this.freeNode(node);
  }

  /** Makes sure that the node can be changed and hold `bytes`: opens it, and returns its number, maybe a new one; 0 when memory is out. */
  private room(id: StreamId, node: number, bytes: number): number {
    open(node);
    if (node < HUGE_BASE && bytes + SLACK <= usableBytes(node)) {
      this.frozen?.changing(node, nodeB, nodeLp);
      return node;
    }
    if (node >= HUGE_BASE) {
      this.frozen?.changing(node, nodeB, nodeLp);
      this.blockBytes -= this.sizeOf(node);
      const grown = hugeGrow(node - HUGE_BASE, bytes + SLACK, lpBytes(nodeB, nodeLp));
      this.blockBytes += this.sizeOf(node);
      open(node);
      return grown ? node : 0;
    }
    const limit = settings.streamNodeMaxBytes;
    const wish = bytes + (bytes >> 2);
    const to = this.newNode(limit > bytes && wish > limit ? limit : wish);
    if (to !== 0) this.moveNode(id, node, to);
    return to;
  }

  /** Moves the node opened last to another block, and opens it there. */
  private moveNode(id: StreamId, node: number, to: number): void {
    const from = nodeB;
    const lp = nodeLp;
    open(to);
    from.copy(nodeB, nodeLp, lp, lp + lpBytes(from, lp));
    this.freeNode(node);
    this.nodes.set(id, to);
    this.tail = 0;
  }

  /** The node opened last has got its last entry: it goes where it wastes nothing, if there is such a block. */
  private tighten(id: StreamId, node: number): void {
    const bytes = lpBytes(nodeB, nodeLp) + SLACK;
    if (node >= HUGE_BASE || fits(node, bytes)) return;
    const to = this.newNode(bytes - SLACK);
    if (to !== 0) this.moveNode(id, node, to);
  }

  /** Finds the last node, unless it is known. */
  private findTail(): void {
    if (this.tail !== 0 || !this.nodes.floor(ID_MAX)) return;
    this.tail = this.nodes.found!;
    this.setTail(foundId);
  }
  private setTail(id: StreamId): void {
    this.tailId = id;
    this.tailMs = narrow(msOf(id));
    this.tailSeq = narrow(seqOf(id));
  }

  /** Adds a listpack b[lp ...) as the node with this master id (loading, copies): 1, 0 when the id is there already, -1 when memory is out. */
  addNode(id: StreamId, b: Buffer, lp: number): number {
    const bytes = lpBytes(b, lp);
    if (this.nodes.get(id) !== undefined) return 0;
    const node = this.newNode(bytes);
    if (node === 0) return -1;
    open(node);
    b.copy(nodeB, nodeLp, lp, lp + bytes);
    this.putNode(id, node);
    return 1;
  }

  // ------------------------------------------------------------------------------------------------ adding

  /**
   * Adds an entry whose fields and values are the arguments `first` ... `first + 2 * fields` of buf at `at`. The id must be above lastId.
   * False when memory is out (nothing happened).
   */
  append(id: StreamId, buf: Buffer, at: Int32Array, first: number, fields: number): boolean {
    return this.add(narrow(msOf(id)), narrow(seqOf(id)), id, buf, at, first, fields);
  }

  /** As append, with the halves of the id as numbers; when one is NaN the whole id is needed. */
  add(ms: number, seq: number, whole: StreamId | null, buf: Buffer, at: Int32Array, first: number, fields: number): boolean {
    const last = first + 2 * fields;
    let textBytes = 0;
    for (let i = first; i < last; i++) textBytes += at[2 * i + 1] - at[2 * i];
    this.findTail();
    let node = this.tail;
    if (node !== 0) {
      open(node);
      readMaster();
      if (this.isFull(textBytes)) {
        this.tighten(this.tailId, node);
        node = 0;
      }
    }
    const fresh = node === 0;
    if (fresh) {
      node = this.startNode(buf, at, first, fields);
      if (node === 0) return false;
      whole ??= makeId(BigInt(ms), BigInt(seq));
      this.putNode(whole, node);
      this.setTail(whole);
    }
    const same = fresh || this.sameFields(buf, at, first, fields);
    let need = 4 + this.prepareMs(ms, whole) + this.prepareSeq(seq, whole) + 6 + (same ? 0 : lpPrepareInt(fields));
    for (let i = same ? first + 1 : first; i < last; i += same ? 2 : 1) need += lpPrepare(buf, at[2 * i], at[2 * i + 1]);
    const to = this.room(this.tailId, node, lpBytes(nodeB, nodeLp) + need);
    if (to === 0) {
      if (fresh) this.dropNode(this.tailId, node);
      return false;
    }
    this.tail = to;
    readMaster();
    setCounts(entries + 1, deleted);
    const b = nodeB;
    let p = nodeLp + lpBytes(b, nodeLp) - 1;
    lpPrepareInt(same ? SAME_FIELDS : 0);
    p = lpPut(b, p);
    this.prepareMs(ms, whole);
    p = lpPut(b, p);
    this.prepareSeq(seq, whole);
    p = lpPut(b, p);
    if (!same) {
      lpPrepareInt(fields);
      p = lpPut(b, p);
    }
    for (let i = same ? first + 1 : first; i < last; i += same ? 2 : 1) {
      lpPrepare(buf, at[2 * i], at[2 * i + 1]);
      p = lpPut(b, p);
    }
    lpPrepareInt(same ? fields + 3 : 2 * fields + 4);
    lpFinish(b, nodeLp, lpPut(b, p), same ? fields + 4 : 2 * fields + 5);
    this.count++;
    this.added++;
    this.hasAdded(ms, seq, whole);
    return true;
  }
  private hasAdded(ms: number, seq: number, whole: StreamId | null): void {
    if (ms === ms && seq === seq) {
      this.lastMs = ms;
      this.lastSeq = seq;
      this.lastWhole = whole;
    } else this.lastId = whole!;
    if (this.count === 1) this.firstId = this.lastId;
  }
  /** Prepares the difference to the last node's master id: bytes it will take. */
  private prepareMs(ms: number, whole: StreamId | null): number {
    const d = ms - this.tailMs;
    return d === d ? lpPrepareInt(d) : prepareWide((whole === null ? BigInt(ms) : msOf(whole)) - msOf(this.tailId));
  }
  private prepareSeq(seq: number, whole: StreamId | null): number {
    const d = seq - this.tailSeq;
    return d === d ? lpPrepareInt(d) : prepareWide((whole === null ? BigInt(seq) : seqOf(whole)) - seqOf(this.tailId));
  }
  private appendInt(n: number): void {
    lpPrepareInt(n);
    lpAppend(nodeB, nodeLp);
  }

  /** Would the node opened last have more bytes or entries than a node may? */
  private isFull(textBytes: number): boolean {
    let most = settings.streamNodeMaxBytes;
    if (most === 0 || most > NODE_MAX_BYTES) most = NODE_MAX_BYTES;
    if (lpBytes(nodeB, nodeLp) + textBytes >= most) return true;
    return settings.streamNodeMaxEntries > 0 && entries + deleted >= settings.streamNodeMaxEntries;
  }

  /** A new node with these fields as its master entry and no entries, opened; not in the map yet. 0 when memory is out. */
  private startNode(buf: Buffer, at: Int32Array, first: number, fields: number): number {
    let bytes = LP_EMPTY + 2 + 2 + lpPrepareInt(fields) + 2;
    for (let i = 0; i < fields; i++) bytes += lpPrepare(buf, at[2 * (first + 2 * i)], at[2 * (first + 2 * i) + 1]);
    const node = this.newNode(bytes);
    if (node === 0) return 0;
    open(node);
    lpNew(nodeB, nodeLp);
    this.appendInt(0);
    this.appendInt(0);
    this.appendInt(fields);
    for (let i = 0; i < fields; i++) {
      lpPrepare(buf, at[2 * (first + 2 * i)], at[2 * (first + 2 * i) + 1]);
      lpAppend(nodeB, nodeLp);
    }
    this.appendInt(0);
    return node;
  }

  private sameFields(buf: Buffer, at: Int32Array, first: number, fields: number): boolean {
    if (masterFields !== fields) return false;
    for (let i = 0, p = masterAt; i < fields; i++, p = lpSkip(nodeB, p)) {
      const a = 2 * (first + 2 * i);
      if (!lpEquals(nodeB, p, buf, at[a], at[a + 1])) return false;
    }
    return true;
  }

  // ------------------------------------------------------------------------------------------------ removing

  /** Deletes an entry; false when it is not there. The caller looks after firstId and maxDeletedId. */
  remove(id: StreamId): boolean {
    if (!seeker.begin(this, id, id, false) || !seeker.next()) return false;
    const { master } = seeker;
    const node = this.nodes.get(master)!;
    open(node);
    readMaster();
    if (entries === 1) this.dropNode(master, node);
    else {
      this.frozen?.changing(node, nodeB, nodeLp);
      seeker.bury();
      setCounts(entries - 1, deleted + 1);
    }
    this.count--;
    return true;
  }

  /** Finds the first entry's id again. */
  refreshFirst(): void {
    this.firstId = this.count === 0 ? 0n : this.edge(true);
  }
  /** Id of the first or the last entry; of an empty stream the greatest or the least id. */
  edge(first: boolean): StreamId {
    if (!seeker.begin(this, 0n, ID_MAX, !first) || !seeker.next()) return first ? ID_MAX : 0n;
    return seeker.id;
  }

  /**
   * Drops the oldest entries: all but `most` (TRIM_MAXLEN), or those below `id` (TRIM_MINID). approx: whole nodes only; limit: at most about
   * so many (0: no limit). Returns how many went. Redis t_stream.c streamTrim.
   */
  trim(strategy: number, most: number, id: StreamId, approx: boolean, limit: number): number {
    let gone = 0;
    while (this.nodes.ceil(0n)) {
      if (strategy === TRIM_MAXLEN && this.count <= most) break;
      const master = foundId;
      const node = this.nodes.found!;
      open(node);
      readMaster();
      if (limit > 0 && gone + entries > limit) break;
      const whole = strategy === TRIM_MAXLEN ? this.count - entries >= most : this.lastOf(master) < id;
      if (whole) {
        this.dropNode(master, node);
        this.count -= entries;
        gone += entries;
        continue;
      }
      if (!approx) gone += this.trimNode(master, strategy, most, id);
      break;
    }
    if (gone > 0) this.refreshFirst();
    return gone;
  }

  /** Id of the last entry of the node opened last, tombstones included. */
  private lastOf(master: StreamId): StreamId {
    let p = lpLast(nodeB, nodeLp);
    for (let n = small(nodeB, p); n > 0; n--) p = lpPrev(nodeB, nodeLp, p);
    p = lpSkip(nodeB, p);
    const ms = wide(nodeB, p);
    const seq = wide(nodeB, lpSkip(nodeB, p));
    return makeId(BigInt.asUintN(64, msOf(master) + ms), BigInt.asUintN(64, seqOf(master) + seq));
  }

  private trimNode(master: StreamId, strategy: number, most: number, id: StreamId): number {
    let gone = 0;
    const before = entries;
    const buried = deleted;
    this.frozen?.changing(this.nodes.get(master)!, nodeB, nodeLp);
    seeker.begin(this, master, ID_MAX, false);
    while (seeker.next()) {
      if (strategy === TRIM_MAXLEN ? this.count <= most : seeker.id >= id) break;
      seeker.bury();
      gone++;
      this.count--;
    }
    if (gone > 0) {
      // The walk may have looked into the next node.
      open(this.nodes.get(master)!);
      setCounts(before - gone, buried + gone);
    }
    return gone;
  }

  clone(): Stream | null {
    const to = new Stream();
    for (const { id, b, start } of packsOf(this))
      if (to.addNode(id, b, start) < 0) {
        while (to.freeStep(1024));
        return null;
      }
    to.count = this.count;
    to.lastId = this.lastId;
    to.firstId = this.firstId;
    to.maxDeletedId = this.maxDeletedId;
    to.added = this.added;
    for (const [name, group] of this.groups) to.groups.set(name, group.clone());
    return to;
  }

  freeStep(elements: number): boolean {
    while (elements > 0 && this.nodes.ceil(0n)) {
      const node = this.nodes.found!;
      const master = foundId;
      open(node);
      elements -= small(nodeB, nodeLp + 6) + 1;
      this.dropNode(master, node);
    }
    if (this.nodes.size > 0) return true;
    for (const [name, group] of this.groups) {
      group.release();
      this.groups.delete(name);
    }
    return false;
  }
}

const seeker = new StreamCursor();

/** True when the stream has the entry. */
export function hasEntry(stream: Stream, id: StreamId): boolean {
  return seeker.begin(stream, id, id, false) && seeker.next();
}

/** The stream of an entry of type STREAM. */
export function streamOf(ref: number): Stream {
  return objectOf(ref) as Stream;
}

/** A new key with an empty stream: its ref, 0 when memory is out. */
export function createStream(ks: Keyspace, b: Buffer, start: number, end: number): number {
  const ref = ks.create(b, start, end, STREAM, STREAM_NODES, 4);
  if (ref !== 0) setValueWord(ref, KEY_HEADER, 0, addObject(new Stream()));
  return ref;
}

/** A loose entry (room.ts) with the stream; 0 when memory is out, and the stream is freed. */
export function looseStream(stream: Stream): number {
  const ref = newLoose(STREAM, STREAM_NODES, 4);
  if (ref === 0) freeObject(stream, true);
  else setValueWord(ref, KEY_HEADER, 0, addObject(stream));
  return ref;
}

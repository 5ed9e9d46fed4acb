/**
 * Streams: entries in nodes, each one listpack in the arena, found by the id of its first entry. Entry bytes are WARM: made in place, no copies.
 *
 *   nodes    IdMap: master id -> a block of the arena, or the number of a huge buffer (HUGE_BASE and up) for nodes beyond HUGE_MIN
 *   node     count | deleted | number of fields | field ... | 0          the master entry: names that most entries share
 *            flags | ms - master | seq - master | value ... | elements   an entry with the master's fields (SAME_FIELDS), or
 *            flags | ms - master | seq - master | number of fields | field | value ... | elements
 *
 * The layout is Redis' (t_stream.c), because RDB and DUMP carry it. Deleted entries stay as tombstones until their node goes.
 * Consumer groups are in stream_group.ts; what commands make of all this is in commands/stream*.ts.
 */
import {
  HUGE_MIN,
  UNIT_MASK,
  alloc,
  countExternal,
  countHeld,
  fits,
  free,
  huge,
  hugeAlloc,
  hugeFree,
  hugeGrow,
  m8,
  usableBytes,
} from "./arena.ts";
import { STREAM, STREAM_NODES, KEY_HEADER, setValueWord } from "./entry.ts";
import { FrozenStream, type NodeSource } from "./frozen_stream.ts";
import type { Keyspace } from "./keyspace.ts";
import { type BigObject, addObject, freeObject, objectOf } from "./objects.ts";
import {
  LP_EMPTY,
  elEnd,
  elHi,
  elInt,
  elIsInt,
  elLo,
  elStart,
  elWrite,
  lpBytes,
  lpEquals,
  lpFirst,
  lpLast,
  lpPrev,
  lpRead,
  lpSkip,
} from "./packed/listpack.ts";
import { lpAppend, lpNew, lpPrepare, lpPrepareInt, lpPrepareInt64, lpReplace } from "./packed/listpack_edit.ts";
import { newLoose } from "./room.ts";
import { settings } from "./settings.ts";
import { Group } from "./stream_group.ts";
import { ID_MAX, IdMap, type StreamId, foundId, makeId, msOf, narrow, seqOf } from "./stream_id.ts";

/** Node numbers from here on name huge buffers. */
const HUGE_BASE = 2 ** 33;
/** A node never holds more bytes (Redis STREAM_LISTPACK_MAX_SIZE), nor can one entry. */
const NODE_MAX_BYTES = 1 << 30;
/** Bytes that a node keeps free, so that its counters can grow when entries are deleted. */
const SLACK = 16;
const DELETED = 1;
const SAME_FIELDS = 2;
/** Bytes counted for a node's place in the map. */
const PLACE_BYTES = 64;

/** The node opened last: its listpack is nodeB[nodeLp ...]. */
let nodeB: Buffer = Buffer.alloc(0);
let nodeLp = 0;
function open(node: number): void {
  if (node >= HUGE_BASE) {
    nodeB = huge[node - HUGE_BASE]!;
    nodeLp = 0;
  } else {
    nodeB = m8[node >>> 23];
    nodeLp = (node & UNIT_MASK) << 3;
  }
}

/** Opens a node of a stream, or of what a stream was. */
function openIn(source: NodeSource, node: number): void {
  const body = source.bodies?.get(node);
  if (body === undefined) return open(node);
  nodeB = body;
  nodeLp = 0;
}

/** Each node's master id and listpack. Only between two of them the stream may change, and only when it is frozen. */
export function* packsOf(source: NodeSource): Generator<{ id: StreamId; b: Buffer; start: number; end: number }> {
  for (const [id, node] of source.nodes) {
    openIn(source, node);
    yield { id, b: nodeB, start: nodeLp, end: nodeLp + lpBytes(nodeB, nodeLp) };
  }
}

/** Reads the integer element at p as a number: counts and flags. */
function small(b: Buffer, p: number): number {
  lpRead(b, p);
  return elIsInt && elInt === elInt ? elInt : 0;
}
/** Reads the integer element at p whole: differences of ids. */
function wide(b: Buffer, p: number): bigint {
  lpRead(b, p);
  if (!elIsInt) return 0n;
  return elInt === elInt ? BigInt(elInt) : (BigInt(elHi) << 32n) | BigInt(elLo);
}
function prepareWide(v: bigint): number {
  const n = BigInt.asIntN(64, v);
  const exact = Number(n);
  if (Number.isSafeInteger(exact)) return lpPrepareInt(exact);
  return lpPrepareInt64(Number(BigInt.asIntN(32, n >> 32n)), Number(n & 0xffffffffn));
}

/** What the master entry of the node opened last says. */
let entries = 0;
let deleted = 0;
let masterFields = 0;
/** Positions of the first master field, and of the first entry (or the end byte). */
let masterAt = 0;
let firstAt = 0;
function readMaster(): void {
  let p = nodeLp + 6;
  entries = small(nodeB, p);
  p = lpSkip(nodeB, p);
  deleted = small(nodeB, p);
  p = lpSkip(nodeB, p);
  masterFields = small(nodeB, p);
  p = lpSkip(nodeB, p);
  masterAt = p;
  for (let i = 0; i <= masterFields; i++) p = lpSkip(nodeB, p);
  firstAt = p;
}

function freeBlock(node: number): void {
  if (node >= HUGE_BASE) hugeFree(node - HUGE_BASE);
  else free(node);
}

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
    this.setCounts(entries + 1, deleted);
    this.appendInt(same ? SAME_FIELDS : 0);
    this.prepareMs(ms, whole);
    lpAppend(nodeB, nodeLp);
    this.prepareSeq(seq, whole);
    lpAppend(nodeB, nodeLp);
    if (!same) this.appendInt(fields);
    for (let i = same ? first + 1 : first; i < last; i += same ? 2 : 1) {
      lpPrepare(buf, at[2 * i], at[2 * i + 1]);
      lpAppend(nodeB, nodeLp);
    }
    this.appendInt(same ? fields + 3 : 2 * fields + 4);
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

  /** Writes the counters of the node opened last, of which `entries` and `deleted` are what it has. */
  private setCounts(count: number, gone: number): void {
    lpPrepareInt(count);
    lpReplace(nodeB, nodeLp, nodeLp + 6);
    if (gone !== deleted) {
      lpPrepareInt(gone);
      lpReplace(nodeB, nodeLp, lpSkip(nodeB, nodeLp + 6));
    }
    entries = count;
    deleted = gone;
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
      this.setCounts(entries - 1, deleted + 1);
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
      this.setCounts(before - gone, buried + gone);
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

/**
 * Walks the entries between two ids, in either direction, of a stream that is not changed meanwhile (bury apart). After a true `next`: `id`,
 * `fields`, and the fields one after another through `field` and `value`, in that order, each to b[start, end).
 */
export class StreamCursor {
  id: StreamId;
  fields: number;
  /** What `field` or `value` read. */
  b: Buffer;
  start: number;
  end: number;
  private stream: NodeSource | null;
  private from: StreamId;
  private to: StreamId;
  private backwards: boolean;
  /** Master id of the node the entry lies in. */
  master: StreamId;
  private packB: Buffer;
  private pack: number;
  private masterFields: number;
  private masterAt: number;
  private firstAt: number;
  /** The entry itself: its flags; forwards the next one's, backwards the element count of the one before. */
  private flagsAt: number;
  private nextAt: number;
  private same: boolean;
  private nameAt: number;
  private valueAt: number;
  private readonly text: Buffer;

  constructor() {
    this.id = 0n;
    this.fields = 0;
    this.b = nodeB;
    this.start = 0;
    this.end = 0;
    this.stream = null;
    this.from = 0n;
    this.to = 0n;
    this.backwards = false;
    this.master = 0n;
    this.packB = nodeB;
    this.pack = 0;
    this.masterFields = 0;
    this.masterAt = 0;
    this.firstAt = 0;
    this.flagsAt = 0;
    this.nextAt = -1;
    this.same = false;
    this.nameAt = 0;
    this.valueAt = 0;
    this.text = Buffer.alloc(32);
  }

  /** Starts before the first entry of [from, to], or behind the last one. False when there is surely none. */
  begin(stream: NodeSource, from: StreamId, to: StreamId, backwards: boolean): boolean {
    this.stream = stream;
    this.from = from;
    this.to = to;
    this.backwards = backwards;
    this.nextAt = -1;
    const { nodes } = stream;
    if (from > to || !(backwards ? nodes.floor(to) : nodes.floor(from) || nodes.ceil(from))) return false;
    this.enter();
    return true;
  }

  /** Opens the node that the map has found. */
  private enter(): void {
    this.master = foundId;
    openIn(this.stream!, this.stream!.nodes.found!);
    readMaster();
    this.packB = nodeB;
    this.pack = nodeLp;
    this.masterFields = masterFields;
    this.masterAt = masterAt;
    this.firstAt = firstAt;
    if (this.backwards) this.nextAt = lpLast(nodeB, nodeLp);
    else this.nextAt = firstAt;
  }

  /** Goes on to the next entry that is there; false at the end. */
  next(): boolean {
    while (this.nextAt >= 0) {
      const b = this.packB;
      const atEnd = this.backwards ? this.nextAt < this.firstAt : b[this.nextAt] === 0xff;
      if (atEnd) {
        const { nodes } = this.stream!;
        const more = this.backwards ? this.master > 0n && nodes.floor(this.master - 1n) : nodes.ceil(this.master + 1n);
        if (!more) break;
        this.enter();
        continue;
      }
      const flags = this.readEntry(b);
      if (this.backwards ? this.id < this.from : this.id > this.to) break;
      if ((flags & DELETED) !== 0 || this.id < this.from || this.id > this.to) continue;
      return true;
    }
    this.nextAt = -1;
    return false;
  }

  /** True when the entry read last, its values included, is the last one of its node (forwards). */
  atEdge(): boolean {
    return this.nextAt < 0 || this.packB[this.nextAt] === 0xff;
  }

  /** Reads the head of the entry at nextAt and moves on: its flags. */
  private readEntry(b: Buffer): number {
    let p = this.nextAt;
    if (this.backwards) {
      for (let n = small(b, p); n > 0; n--) p = lpPrev(b, this.pack, p);
      this.nextAt = lpPrev(b, this.pack, p);
    }
    this.flagsAt = p;
    const flags = small(b, p);
    p = lpSkip(b, p);
    const ms = wide(b, p);
    p = lpSkip(b, p);
    const seq = wide(b, p);
    p = lpSkip(b, p);
    this.id = makeId(BigInt.asUintN(64, msOf(this.master) + ms), BigInt.asUintN(64, seqOf(this.master) + seq));
    this.same = (flags & SAME_FIELDS) !== 0;
    if (this.same) {
      this.fields = this.masterFields;
      this.nameAt = this.masterAt;
    } else {
      this.fields = small(b, p);
      p = lpSkip(b, p);
    }
    this.valueAt = p;
    if (!this.backwards) {
      for (let n = this.same ? this.fields + 1 : 2 * this.fields + 1; n > 0; n--) p = lpSkip(b, p);
      this.nextAt = p;
    }
    return flags;
  }

  /** Reads the next field's name. */
  field(): void {
    if (this.same) this.nameAt = this.read(this.nameAt);
    else this.valueAt = this.read(this.valueAt);
  }
  /** Reads the value of the field read last. */
  value(): void {
    this.valueAt = this.read(this.valueAt);
  }
  private read(p: number): number {
    const after = lpRead(this.packB, p);
    if (elIsInt) {
      this.b = this.text;
      this.start = 0;
      this.end = elWrite(this.packB, this.text, 0);
    } else {
      this.b = this.packB;
      this.start = elStart;
      this.end = elEnd;
    }
    return after;
  }

  /** Marks the entry as deleted. The node's counters are the caller's business, after the walk. */
  bury(): void {
    const b = this.packB;
    const flags = small(b, this.flagsAt) | DELETED;
    // A flag byte of ours is one byte wide; a loaded one may be wider than it need be, and then it stays so.
    if (b[this.flagsAt] < 0x80) b[this.flagsAt] = flags;
    else if (b[this.flagsAt] < 0xe0) b[this.flagsAt + 1] = flags;
    else if (b[this.flagsAt] >= 0xf1) b[this.flagsAt + 1] = flags;
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

/**
 * True when a listpack b[lp ...) that is valid as such is a stream node: counters, and every entry's shape. Redis t_stream.c
 * streamValidateListpackIntegrity.
 */
export function nodeValid(b: Buffer, lp: number, deep: boolean): boolean {
  if (!deep) return true;
  const end = lp + lpBytes(b, lp) - 1;
  let p = lpFirst(b, lp);
  let bad = p < 0;
  const int = (): number => {
    if (bad || p >= end) {
      bad = true;
      return 0;
    }
    p = lpRead(b, p);
    if (!elIsInt) bad = true;
    return elIsInt ? elInt : 0;
  };
  const skip = (n: number): void => {
    for (; n > 0 && !bad; n--) {
      if (p >= end) bad = true;
      else p = lpSkip(b, p);
    }
  };
  let alive = int();
  let dead = int();
  const names = int();
  if (bad || !(alive >= 0 && dead >= 0 && names >= 0)) return false;
  skip(names);
  if (int() !== 0) return false;
  for (let left = alive + dead; left > 0 && !bad; left--) {
    const flags = int();
    int();
    int();
    const same = (flags & SAME_FIELDS) !== 0;
    const fields = same ? names : int();
    if (!(fields >= 0)) return false;
    skip(same ? fields : 2 * fields);
    if ((flags & DELETED) !== 0) dead--;
    else alive--;
    if (int() !== (same ? fields + 3 : 2 * fields + 4)) return false;
  }
  return !bad && p === end && alive === 0 && dead === 0;
}

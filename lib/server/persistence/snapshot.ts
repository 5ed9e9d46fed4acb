/**
 * Writing a point-in-time image of all databases while the server goes on: what stands between the store's cut (store/snapshot.ts) and a sink.
 *
 *   store walk --due refs--> Snapshot.step(budget) --> Encoder --> RdbWriter --chunks--> sink: a file, replicas' sockets, the AOF's base
 *   store hook --an entry that is about to change-->   /   (written first; while a big value is being written: into `aside`)
 *
 * A big value is never written at once: whoever comes to it first, walk or hook, freezes it (store/frozen_value.ts), and it is written in
 * slices as it was. What the hook has frozen waits in `queue` and goes before the walk's next entry, so that little is kept for it.
 *
 * HOT while saving: the hook runs inside commands. Driving it (how much of the time, where the bytes go) is the job's of snapshot_job.ts.
 */
import type { Dict } from "../../store/dict.ts";
import { RefList } from "../../store/dict.ts";
import { KEY_HEADER, keyLength, valueLength } from "../../store/entry.ts";
import type { Keyspace } from "../../store/keyspace.ts";
import { type FrozenValue, freezeValue, isBigValue, thawValue } from "../../store/frozen_value.ts";
import { beginSnapshot, endSnapshot, isDue, markDone, walkDatabase, walkStep } from "../../store/snapshot.ts";
import { clock, readClock } from "../../time/clock.ts";
import { CommandEncoder, timestampLine } from "./command_encoder.ts";
import { RdbWriter, giveChunk, type ChunkSink } from "./rdb_writer.ts";
import { RdbEncoder, type Encoder, type RdbOptions } from "./snapshot_encoder.ts";

export interface SnapshotOptions extends RdbOptions {
  databases: readonly Keyspace[];
  compress: boolean;
  checksum: boolean;
  /** The commands that make the data instead of an RDB; `stamp`: with the time in front. */
  commands: boolean;
  stamp: boolean;
}

/** Keys handed out by the walk at once, and between two looks at the clock. */
const KEYS_A_WALK = 32;
const KEYS_A_LOOK = 8;
/** More bytes than this aside, or so many big values in the queue, and the snapshot asks for all the time there is. */
const ASIDE_MAX = 32 * 1024 * 1024;
const QUEUE_MAX = 64;

/** Entries that changed while a big value was being written: RDB bytes that follow it. */
class Aside implements ChunkSink {
  readonly chunks: Buffer[] = [];
  bytes = 0;
  write(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
  }
}

export class Snapshot {
  /** Keys written. */
  processed: number;
  /** Keys there were at the cut. */
  readonly total: number;
  readonly writer: RdbWriter;
  /** Bytes of keys and values that were written ahead of their turn, because they were about to change: what fork would have copied. */
  savedEarlyBytes: number;
  private readonly options: SnapshotOptions;
  private readonly sizes: readonly (readonly [number, number])[];
  private readonly sized: boolean[];
  private selected: number;
  private readonly list: RefList;
  private index: number;
  /** The big value that is being written, how, and what must follow it. */
  private big: Generator<void, void> | null;
  private bigValue: FrozenValue | null;
  /** Big values that were frozen because they were about to change. */
  private readonly queue: FrozenValue[];
  private readonly encoder: Encoder;
  private aside: Aside | null;
  private asideEncoder: Encoder | null;
  private asideSelected: number;
  private over: boolean;

  /** Makes the cut: from here on the image is what the databases hold now. */
  constructor(options: SnapshotOptions, sink: ChunkSink) {
    this.options = options;
    this.processed = 0;
    this.total = options.databases.reduce((sum, ks) => sum + ks.size, 0);
    this.sizes = options.databases.map((ks) => [ks.main.count, ks.volatile.count] as const);
    this.sized = options.databases.map(() => false);
    this.writer = new RdbWriter(sink, options.compress, options.checksum);
    this.encoder = this.encoderOn(this.writer);
    this.savedEarlyBytes = 0;
    this.selected = -1;
    this.list = new RefList(64);
    this.index = 0;
    this.big = null;
    this.bigValue = null;
    this.queue = [];
    this.aside = null;
    this.asideEncoder = null;
    this.asideSelected = -1;
    this.over = false;
    beginSnapshot(
      options.databases.map((ks): Dict => ks.main),
      (db, ref) => this.changing(db, ref),
    );
    this.encoder.head();
  }

  private encoderOn(writer: RdbWriter): Encoder {
    const { options } = this;
    if (!options.commands) return new RdbEncoder(writer, options);
    return new CommandEncoder(writer, options.libraries, options.stamp ? timestampLine(Math.floor(clock.nowMs / 1000)) : Buffer.alloc(0));
  }

  /**
   * Writes for about `budgetMs`, at most `maxKeys` keys. True when everything is written, footer included; the snapshot is over then.
   */
  step(budgetMs: number, maxKeys = Infinity): boolean {
    if (this.over) return true;
    const end = readClock() + budgetMs;
    let keys = 0;
    for (;;) {
      if (this.big !== null) {
        if (!this.advanceBig(end)) return false;
        if (++keys >= maxKeys) return false;
      }
      if (this.queue.length > 0) {
        this.startBig(this.queue.shift()!);
        continue;
      }
      if (this.index === this.list.count) {
        this.index = 0;
        if (!walkStep(Math.min(KEYS_A_WALK, maxKeys), this.list)) break;
        // Everything here may have been written by the hook: look at the clock before the next part of the table.
        if (this.list.count === 0 && readClock() >= end) return false;
        continue;
      }
      const ref = this.list.refs[this.index++];
      // 0: the hook has written it meanwhile.
      if (ref === 0 || !isDue(ref)) continue;
      if (isBigValue(ref)) {
        this.startBig(this.freeze(walkDatabase(), ref));
        continue;
      }
      this.writeEntry(walkDatabase(), ref);
      if (++keys >= maxKeys) return false;
      if (keys % KEYS_A_LOOK === 0 && readClock() >= end) return false;
    }
    this.finish(true);
    return true;
  }

  /** Breaks it off: what was written is worth nothing. */
  abort(): void {
    if (this.over) return;
    this.finish(false);
  }

  private finish(complete: boolean): void {
    this.over = true;
    this.big = null;
    if (this.bigValue !== null) thawValue(this.bigValue);
    for (const v of this.queue) thawValue(v);
    this.bigValue = null;
    this.queue.length = 0;
    this.asideEncoder?.writer.dispose();
    endSnapshot(complete);
    if (complete) this.encoder.foot();
    else this.writer.dispose();
  }

  // ---- entries

  /** The store's hook: the entry is about to change. */
  private changing(db: number, ref: number): void {
    this.savedEarlyBytes += keyLength(ref, KEY_HEADER) + valueLength(ref);
    // The walk may hold it in its hand.
    for (let i = this.index; i < this.list.count; i++) if (this.list.refs[i] === ref) this.list.refs[i] = 0;
    if (isBigValue(ref)) this.queue.push(this.freeze(db, ref));
    else if (this.big === null) this.writeEntry(db, ref);
    else this.putAside(db, ref);
  }

  /** So much waits that the snapshot should go on rather than make room for clients. */
  get pressed(): boolean {
    return this.queue.length > QUEUE_MAX || (this.aside !== null && this.aside.bytes > ASIDE_MAX);
  }

  private writeEntry(db: number, ref: number): void {
    this.selectMain(db);
    this.encoder.entry(ref);
    markDone(ref);
    this.processed++;
  }

  /** Holds a big value as it is: its entry may change and go. */
  private freeze(db: number, ref: number): FrozenValue {
    const v = freezeValue(db, ref);
    markDone(ref);
    return v;
  }

  private startBig(v: FrozenValue): void {
    this.selectMain(v.db);
    this.bigValue = v;
    this.big = this.encoder.big(v);
  }

  private selectMain(db: number): void {
    if (db === this.selected) return;
    this.selected = db;
    this.select(this.encoder, db);
  }

  private select(encoder: Encoder, db: number): void {
    encoder.select(db, this.sized[db] ? null : this.sizes[db]);
    this.sized[db] = true;
  }

  /** Goes on with the big value until `end` (a clock value). True when it is written. */
  private advanceBig(end: number): boolean {
    const big = this.big!;
    while (!big.next().done) if (end !== Infinity && readClock() >= end) return false;
    thawValue(this.bigValue!);
    this.processed++;
    this.big = null;
    this.bigValue = null;
    this.appendAside();
    return true;
  }

  /** Writes an entry wholly into the buffer beside. */
  private putAside(db: number, ref: number): void {
    if (this.asideEncoder === null) {
      this.aside = new Aside();
      this.asideEncoder = this.encoderOn(new RdbWriter(this.aside, this.options.compress, false));
      this.asideSelected = this.selected;
    }
    const encoder = this.asideEncoder;
    if (db !== this.asideSelected) {
      this.asideSelected = db;
      this.select(encoder, db);
    }
    encoder.entry(ref);
    markDone(ref);
    this.processed++;
  }

  private appendAside(): void {
    if (this.asideEncoder === null) return;
    this.asideEncoder.writer.flush();
    for (const chunk of this.aside!.chunks) {
      this.writer.raw(chunk, 0, chunk.length);
      giveChunk(chunk);
    }
    this.asideEncoder.writer.dispose();
    this.selected = this.asideSelected;
    this.aside = null;
    this.asideEncoder = null;
  }
}

/**
 * Writing a point-in-time image of all databases while the server goes on: what stands between the store's cut (store/snapshot.ts) and a sink.
 *
 *   store walk --due refs--> Snapshot.step(budget) --> Encoder --> RdbWriter --chunks--> sink: a file, replicas' sockets, the AOF's base
 *   store hook --an entry that is about to change-->   /   (written first; while a big collection is being written: into `aside`)
 *
 * HOT while saving: the hook runs inside commands. Driving it (how much of the time, where the bytes go) is the job's of snapshot_job.ts.
 */
import type { Dict } from "../../store/dict.ts";
import { RefList } from "../../store/dict.ts";
import { KEY_HEADER, keyLength, valueLength } from "../../store/entry.ts";
import type { Keyspace } from "../../store/keyspace.ts";
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
/** More bytes than this aside end the wait for a big collection: it is then written to its end at once. */
const ASIDE_MAX = 32 * 1024 * 1024;

/** Entries that changed while a big collection was being written: RDB bytes that follow it. */
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
  /** The big collection that is being written, its ref, and what must follow it. */
  private big: Generator<void, void> | null;
  private bigRef: number;
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
    this.bigRef = 0;
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
      this.startEntry(walkDatabase(), ref);
      if (this.big !== null) continue;
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
    if (this.big !== null) {
      if (ref === this.bigRef) {
        this.advanceBig(Infinity);
        return;
      }
      if (this.aside !== null && this.aside.bytes > ASIDE_MAX) this.advanceBig(Infinity);
    }
    if (this.big === null) {
      this.startEntry(db, ref);
      if (this.big !== null) this.advanceBig(Infinity);
      return;
    }
    this.putAside(db, ref);
  }

  /** Writes an entry; one with a big collection is only begun: `big` is then set. */
  private startEntry(db: number, ref: number): void {
    if (db !== this.selected) {
      this.selected = db;
      this.select(this.encoder, db);
    }
    if (this.encoder.entry(ref)) {
      this.big = this.encoder.big(ref);
      this.bigRef = ref;
      return;
    }
    markDone(ref);
    this.processed++;
  }

  private select(encoder: Encoder, db: number): void {
    encoder.select(db, this.sized[db] ? null : this.sizes[db]);
    this.sized[db] = true;
  }

  /** Goes on with the big collection until `end` (a clock value). True when it is written. */
  private advanceBig(end: number): boolean {
    const big = this.big!;
    while (!big.next().done) if (end !== Infinity && readClock() >= end) return false;
    markDone(this.bigRef);
    this.processed++;
    this.big = null;
    this.bigRef = 0;
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
    if (encoder.entry(ref)) for (const all = encoder.big(ref); !all.next().done;);
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

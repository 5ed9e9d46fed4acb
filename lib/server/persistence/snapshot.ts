/**
 * Writing a point-in-time image of all databases while the server goes on: the encoder between the store's cut (store/snapshot.ts) and a sink.
 *
 *   store walk --due refs--> Snapshot.step(budget) --> RdbWriter --chunks--> sink: a file, replicas' sockets, the AOF's base
 *   store hook --an entry that is about to change-->   /   (written first; while a big collection is being written: into `aside`)
 *
 * HOT while saving: the hook runs inside commands. Driving it (how much of the time, where the bytes go) is the job's of snapshot_job.ts.
 */
import type { Dict } from "../../store/dict.ts";
import { RefList } from "../../store/dict.ts";
import { idleSeconds, isLfuPolicy, lfuOf } from "../../store/access.ts";
import { UNIT_MASK, m32, m8 } from "../../store/arena.ts";
import { KEY_HEADER, expireOf, keyLength, keyStart, valueLength } from "../../store/entry.ts";
import type { Keyspace } from "../../store/keyspace.ts";
import { beginSnapshot, endSnapshot, isDue, markDone, walkDatabase, walkStep } from "../../store/snapshot.ts";
import { readClock } from "../../time/clock.ts";
import { OP_EXPIRE_MS, OP_FREQ, OP_FUNCTION2, OP_IDLE, OP_RESIZEDB, OP_SELECTDB } from "./rdb_format.ts";
import { saveBig, saveValue, valueType } from "./rdb_save_value.ts";
import { RdbWriter, giveChunk, type ChunkSink } from "./rdb_writer.ts";

export interface SnapshotOptions {
  databases: readonly Keyspace[];
  /** 9, 10 or 11. */
  version: number;
  compress: boolean;
  checksum: boolean;
  /** Facts about the file, in order. */
  aux: readonly (readonly [string, string])[];
  /** Function libraries. */
  libraries: readonly Buffer[];
  /** The policy is LRU or LFU: access words are saved. */
  access: boolean;
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

/** Function libraries, where the format has them. */
export function saveLibraries(w: RdbWriter, version: number, libraries: readonly Buffer[]): void {
  if (version < 10) return;
  for (const code of libraries) {
    w.byte(OP_FUNCTION2);
    w.string(code, 0, code.length);
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
  private aside: Aside | null;
  private asideWriter: RdbWriter | null;
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
    this.savedEarlyBytes = 0;
    this.selected = -1;
    this.list = new RefList(64);
    this.index = 0;
    this.big = null;
    this.bigRef = 0;
    this.aside = null;
    this.asideWriter = null;
    this.asideSelected = -1;
    this.over = false;
    beginSnapshot(
      options.databases.map((ks): Dict => ks.main),
      (db, ref) => this.changing(db, ref),
    );
    this.writer.header(options.version);
    for (const [name, value] of options.aux) this.writer.aux(name, value);
    saveLibraries(this.writer, options.version, options.libraries);
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
    this.asideWriter?.dispose();
    endSnapshot(complete);
    if (complete) this.writer.footer();
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
      this.select(this.writer, db);
    }
    const type = this.entryHead(this.writer, ref);
    if (saveValue(this.writer, ref, type)) {
      this.big = saveBig(this.writer, ref, type);
      this.bigRef = ref;
      return;
    }
    markDone(ref);
    this.processed++;
  }

  private select(w: RdbWriter, db: number): void {
    w.byte(OP_SELECTDB);
    w.length(db);
    if (this.sized[db]) return;
    this.sized[db] = true;
    w.byte(OP_RESIZEDB);
    w.length(this.sizes[db][0]);
    w.length(this.sizes[db][1]);
  }

  /** All of an entry that stands before its value; returns the type. */
  private entryHead(w: RdbWriter, ref: number): number {
    const expire = expireOf(ref);
    if (expire >= 0) {
      w.byte(OP_EXPIRE_MS);
      w.millis(expire);
    }
    if (this.options.access) {
      const word = m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2];
      if (isLfuPolicy()) {
        w.byte(OP_FREQ);
        w.byte(lfuOf(word));
      } else {
        w.byte(OP_IDLE);
        w.length(idleSeconds(word));
      }
    }
    const type = valueType(ref, this.options.version);
    w.byte(type);
    const start = keyStart(ref, KEY_HEADER);
    w.string(m8[ref >>> 23], start, start + keyLength(ref, KEY_HEADER));
    return type;
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
    if (this.asideWriter === null) {
      this.aside = new Aside();
      this.asideWriter = new RdbWriter(this.aside, this.options.compress, false);
      this.asideSelected = this.selected;
    }
    const w = this.asideWriter;
    if (db !== this.asideSelected) {
      this.asideSelected = db;
      this.select(w, db);
    }
    const type = this.entryHead(w, ref);
    if (saveValue(w, ref, type)) for (const all = saveBig(w, ref, type); !all.next().done;);
    markDone(ref);
    this.processed++;
  }

  private appendAside(): void {
    if (this.asideWriter === null) return;
    this.asideWriter.flush();
    for (const chunk of this.aside!.chunks) {
      this.writer.raw(chunk, 0, chunk.length);
      giveChunk(chunk);
    }
    this.asideWriter.dispose();
    this.selected = this.asideSelected;
    this.aside = null;
    this.asideWriter = null;
  }
}

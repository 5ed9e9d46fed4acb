/**
 * What a snapshot writes for each entry: RDB (this file) or the commands that make it (command_encoder.ts). HOT while saving.
 *
 *   snapshot.ts --head, select, entry, big, foot--> Encoder --bytes--> RdbWriter (chunks, checksum)
 */
import { idleSeconds, isLfuPolicy, lfuOf } from "../../store/access.ts";
import { UNIT_MASK, m32, m8 } from "../../store/arena.ts";
import { KEY_HEADER, encodingOf, expireOf, keyLength, keyStart, typeOf } from "../../store/entry.ts";
import type { FrozenValue } from "../../store/frozen_value.ts";
import { OP_EXPIRE_MS, OP_FREQ, OP_FUNCTION2, OP_IDLE, OP_RESIZEDB, OP_SELECTDB } from "./rdb_format.ts";
import { saveFrozen, saveValue, valueType } from "./rdb_save_value.ts";
import type { RdbWriter } from "./rdb_writer.ts";

export interface Encoder {
  readonly writer: RdbWriter;
  /** What stands before all data. */
  head(): void;
  /** What follows belongs to database `db`. `sizes`, the first time: its keys, and those that expire. */
  select(db: number, sizes: readonly [number, number] | null): void;
  /** Writes an entry whose value is small. */
  entry(ref: number): void;
  /** Writes a big value with its key; yields now and then. */
  big(v: FrozenValue): Generator<void, void>;
  /** What stands behind all data; everything goes to the sink. */
  foot(): void;
}

export interface RdbOptions {
  /** 9, 10 or 11. */
  version: number;
  /** Facts about the file, in order. */
  aux: readonly (readonly [string, string])[];
  /** Function libraries. */
  libraries: readonly Buffer[];
  /** The policy is LRU or LFU: access words are saved. */
  access: boolean;
}

/** Function libraries, where the format has them. */
export function saveLibraries(w: RdbWriter, version: number, libraries: readonly Buffer[]): void {
  if (version < 10) return;
  for (const code of libraries) {
    w.byte(OP_FUNCTION2);
    w.string(code, 0, code.length);
  }
}

export class RdbEncoder implements Encoder {
  readonly writer: RdbWriter;
  private readonly options: RdbOptions;

  constructor(writer: RdbWriter, options: RdbOptions) {
    this.writer = writer;
    this.options = options;
  }

  head(): void {
    this.writer.header(this.options.version);
    for (const [name, value] of this.options.aux) this.writer.aux(name, value);
    saveLibraries(this.writer, this.options.version, this.options.libraries);
  }

  select(db: number, sizes: readonly [number, number] | null): void {
    const w = this.writer;
    w.byte(OP_SELECTDB);
    w.length(db);
    if (sizes === null) return;
    w.byte(OP_RESIZEDB);
    w.length(sizes[0]);
    w.length(sizes[1]);
  }

  /** What stands before a key: when it expires, its access word, its type. */
  private preface(expire: number, access: number, type: number): void {
    const w = this.writer;
    if (expire >= 0) {
      w.byte(OP_EXPIRE_MS);
      w.millis(expire);
    }
    if (this.options.access) {
      if (isLfuPolicy()) {
        w.byte(OP_FREQ);
        w.byte(lfuOf(access));
      } else {
        w.byte(OP_IDLE);
        w.length(idleSeconds(access));
      }
    }
    w.byte(type);
  }

  entry(ref: number): void {
    const w = this.writer;
    const type = valueType(typeOf(ref), encodingOf(ref), this.options.version);
    this.preface(expireOf(ref), m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2], type);
    const start = keyStart(ref, KEY_HEADER);
    w.string(m8[ref >>> 23], start, start + keyLength(ref, KEY_HEADER));
    saveValue(w, ref, type);
  }

  *big(v: FrozenValue): Generator<void, void> {
    const type = valueType(v.type, v.encoding, this.options.version);
    this.preface(v.expireMs, v.access, type);
    this.writer.string(v.key, 0, v.key.length);
    yield* saveFrozen(this.writer, v, type);
  }

  foot(): void {
    this.writer.footer();
  }
}

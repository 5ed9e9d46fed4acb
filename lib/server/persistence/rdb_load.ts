/**
 * Loading an RDB file or stream into databases: a machine that goes on wherever its bytes, or its time, ran out. HOT while loading.
 *
 *   driver --source.feed(chunk)--> RdbLoader.step(deadline) --> NEED_BYTES | PAUSED | DONE | FAILED
 *
 * The driver is the boot (load_file.ts), a replica's full sync, DEBUG RELOAD or the AOF's base. It says what the end of its bytes means, and ends
 * the process when a file on disk is broken. Redis rdb.c: rdbLoadRioWithLoadingCtx.
 */
import type { Log } from "../../log/log.ts";
import { isLfuPolicy, setFrequency, setIdle } from "../../store/access.ts";
import * as entry from "../../store/entry.ts";
import { KEY_HEADER } from "../../store/entry.ts";
import type { Keyspace } from "../../store/keyspace.ts";
import { freeLoose } from "../../store/room.ts";
import { hashBytes } from "../../store/seed.ts";
import { createString } from "../../store/string.ts";
import { clock, readClock } from "../../time/clock.ts";
import {
  ALL,
  EMPTY_KEY,
  HEADERS,
  NO_MEMORY,
  SHAPE_FITS,
  attachLoose,
  loadValue,
  packedHead,
  packedShape,
  packedValue,
} from "./rdb_load_value.ts";
import * as T from "./rdb_format.ts";
import type { RdbSource } from "./rdb_source.ts";

export const NEED_BYTES = 0;
export const PAUSED = 1;
export const DONE = 2;
export const FAILED = 3;

export interface LoadOptions {
  /** Where the keys go, by number. */
  databases: Keyspace[];
  /** A master: keys whose time has come are left out. Called for each, if given, so that they are deleted elsewhere too. */
  dropExpired: boolean;
  expired?: (db: number, key: Buffer, start: number, end: number) => void;
  /** A key that is there already is replaced (DEBUG RELOAD NOFLUSH), else it is an error. */
  replace: boolean;
  /** Packed values are looked at element by element (sanitize-dump-payload). */
  deep: boolean;
  log: Log;
  /** key-load-delay, microseconds a key. */
  delayUs(): number;
  /** A library of functions; its error text, or null. Absent: libraries are skipped. */
  loadFunction?: (code: Buffer, replace: boolean) => string | null;
}

/** What the file says about itself. */
export interface LoadedInfo {
  keys: number;
  expired: number;
  emptySkipped: number;
  usedMemory: number;
  /** -1, "" and -1 where the file has none. */
  replStreamDb: number;
  replId: string;
  replOffset: number;
}

/** Keys between two looks at the clock. */
const KEYS_A_LOOK = 32;
/** Most keys for which tables are made in advance. */
const RESERVE_MAX = 1 << 24;

export class RdbLoader {
  readonly source: RdbSource;
  readonly info: LoadedInfo;
  /** A reason to end the process whatever the bytes come from (databases beyond ours, duplicate keys). */
  fatal: boolean;
  private readonly options: LoadOptions;
  private readonly check: number;
  private readonly machine: Generator<number, boolean>;
  private deadlineMs: number;
  private looked: number;
  private key: Buffer;
  private version: number;
  /** What opcodes before a key said of it. */
  private expireMs: number;
  private idle: number;
  private frequency: number;

  constructor(source: RdbSource, options: LoadOptions) {
    this.source = source;
    this.options = options;
    this.info = { keys: 0, expired: 0, emptySkipped: 0, usedMemory: 0, replStreamDb: -1, replId: "", replOffset: -1 };
    this.fatal = false;
    this.deadlineMs = 0;
    this.looked = 0;
    this.key = Buffer.allocUnsafeSlow(1024);
    this.version = 0;
    this.expireMs = -1;
    this.idle = -1;
    this.frequency = -1;
    this.check = options.deep ? ALL : HEADERS;
    this.machine = this.run();
  }

  /** Goes on until bytes are missing, `budgetMs` has passed, all is loaded, or the source's `failure` is set. */
  step(budgetMs: number): number {
    this.deadlineMs = readClock() + budgetMs;
    const { done, value } = this.machine.next();
    if (!done) return value as number;
    return value ? DONE : FAILED;
  }

  private *run(): Generator<number, boolean> {
    const s = this.source;
    while (!s.has(9)) yield NEED_BYTES;
    if (!this.header()) return false;
    let ks = this.options.databases[0];
    for (;;) {
      while (!s.takeByte()) yield NEED_BYTES;
      const type = s.value;
      if (type === T.OP_EOF) break;
      if (type >= T.OP_SLOT_INFO) {
        if (type === T.OP_SELECTDB) {
          while (!s.takeLength()) {
            if (s.failure !== null) return false;
            yield NEED_BYTES;
          }
          if (s.value >= this.options.databases.length) return this.tooManyDatabases();
          ks = this.options.databases[s.value];
        } else if (!(yield* this.opcode(type, ks))) return false;
        continue;
      }
      while (!s.takeString()) {
        if (s.failure !== null) return false;
        yield NEED_BYTES;
      }
      const length = this.keepKey();
      if (type === T.T_STRING || isPacked(type)) {
        while (!s.takeString()) {
          if (s.failure !== null) return false;
          yield NEED_BYTES;
        }
        if (!(type === T.T_STRING ? this.addString(ks, length) : this.addPacked(ks, length, type))) return false;
      } else {
        const value = loadValue(s, type, this.check);
        let step = value.next();
        while (!step.done) {
          yield NEED_BYTES;
          step = value.next();
        }
        if (!this.addLoose(ks, length, step.value)) return false;
      }
      this.expireMs = this.idle = this.frequency = -1;
      if (++this.looked >= KEYS_A_LOOK || this.options.delayUs() !== 0) {
        this.looked = 0;
        if (yield* this.delay()) yield PAUSED;
      }
    }
    return yield* this.footer();
  }

  private header(): boolean {
    const s = this.source;
    const head = s.buf.toString("latin1", s.pos, s.pos + 9);
    if (!head.startsWith("REDIS")) {
      this.options.log.warning("Wrong signature trying to load DB from file");
      return s.fail("Wrong signature trying to load DB from file");
    }
    this.version = Number.parseInt(head.slice(5), 10);
    if (!(this.version >= 1 && this.version <= T.RDB_VERSION)) {
      this.options.log.warning(`Can't handle RDB format version ${this.version}`);
      return s.fail(`Can't handle RDB format version ${this.version}`);
    }
    s.pos += 9;
    return true;
  }

  private tooManyDatabases(): boolean {
    const count = this.options.databases.length;
    this.fatal = true;
    this.options.log.warning(`FATAL: Data file was created with a Redis server configured to handle more than ${count} databases. Exiting`);
    return this.source.fail(`Database ${this.source.value} of ${count}`);
  }

  /** Lets a key take as long as key-load-delay wants. True when the step's time is up. */
  private *delay(): Generator<number, boolean> {
    let now = readClock();
    const delay = this.options.delayUs();
    if (delay !== 0) {
      // A negative delay is one microsecond for every so many keys, as in Redis' debugDelay.
      const until = now + (delay > 0 ? delay / 1000 : 0.001 / -delay);
      while (now < until) {
        if (until - now > 1) yield PAUSED;
        now = readClock();
      }
    }
    return now >= this.deadlineMs;
  }

  // ---- keys

  private keepKey(): number {
    const s = this.source;
    const length = s.strEnd - s.strStart;
    if (length > this.key.length) this.key = Buffer.allocUnsafeSlow(length * 2);
    s.strB.copy(this.key, 0, s.strStart, s.strEnd);
    return length;
  }

  /** False: the key is not to be added, because its time has come or (source.failure) because it must not be there. */
  private admit(ks: Keyspace, length: number): boolean {
    const { options, key } = this;
    if (this.expireMs !== -1 && options.dropExpired && this.expireMs < clock.nowMs) {
      options.expired?.(ks.index, key, 0, length);
      this.info.expired++;
      return false;
    }
    this.info.keys++;
    const there = ks.main.find(key, 0, length, hashBytes(key, 0, length));
    if (there === 0) return true;
    if (options.replace) {
      ks.deleteRef(there);
      return true;
    }
    const text = `RDB has duplicated key '${key.toString("latin1", 0, length)}' in DB ${ks.index}`;
    options.log.warning(text);
    this.fatal = true;
    return this.source.fail(text);
  }

  private addString(ks: Keyspace, length: number): boolean {
    const s = this.source;
    if (!this.admit(ks, length)) return s.failure === null;
    const ref = createString(ks, this.key, 0, length, s.strB, s.strStart, s.strEnd, this.expireMs);
    s.trim();
    return this.added(ref);
  }

  private addPacked(ks: Keyspace, length: number, type: number): boolean {
    const s = this.source;
    const { strB: b, strStart: start, strEnd: end } = s;
    const { check } = this;
    if (packedShape(s, type, b, start, end, check) !== SHAPE_FITS)
      return this.addLoose(ks, length, s.failure === null ? packedValue(s, type, b, start, end, check) : 0);
    if (!this.admit(ks, length)) return s.failure === null;
    const [valueType, encoding] = packedHead(type);
    const ref = ks.create(this.key, 0, length, valueType, encoding, end - start, this.expireMs);
    if (ref !== 0) entry.copyIn(ref >>> 23, entry.valueStart(ref, KEY_HEADER), b, start, end - start);
    s.trim();
    return this.added(ref);
  }

  /** Gives a loose value its key: what loadValue returned. */
  private addLoose(ks: Keyspace, length: number, value: number): boolean {
    const s = this.source;
    if (value === EMPTY_KEY) {
      if (this.info.emptySkipped++ < 10)
        this.options.log.notice(`rdbLoadObject skipping empty key: ${this.key.toString("latin1", 0, length)}`);
      return true;
    }
    if (value === NO_MEMORY) return this.added(0);
    if (s.failure !== null) return false;
    if (!this.admit(ks, length)) {
      freeLoose(value);
      return s.failure === null;
    }
    return this.added(attachLoose(ks, this.key, 0, length, value, this.expireMs));
  }

  private added(ref: number): boolean {
    if (ref === 0) return this.source.fail("Out of memory");
    if (isLfuPolicy()) {
      if (this.frequency >= 0) setFrequency(ref, this.frequency);
    } else if (this.idle >= 0) setIdle(ref, this.idle);
    return true;
  }

  // ---- opcodes and the end

  private *opcode(type: number, ks: Keyspace): Generator<number, boolean> {
    const s = this.source;
    let taken: () => boolean;
    switch (type) {
      case T.OP_EXPIRE_MS:
        taken = () => s.takeMillis();
        break;
      case T.OP_EXPIRE_S:
        taken = () => s.has(4) && ((s.value = s.buf.readInt32LE(s.pos) * 1000), (s.pos += 4), true);
        break;
      case T.OP_FREQ:
        taken = () => s.takeByte();
        break;
      case T.OP_IDLE:
        taken = () => s.takeLength();
        break;
      case T.OP_RESIZEDB:
        return yield* this.sizes(ks);
      case T.OP_SLOT_INFO:
        return yield* this.lengths(3);
      case T.OP_AUX:
        return yield* this.aux();
      case T.OP_FUNCTION2:
        return yield* this.library();
      case T.OP_FUNCTION_PRE_GA:
        this.fatal = true;
        return s.fail("Pre-release function format not supported.");
      default:
        this.fatal = true;
        this.options.log.warning("The RDB file contains AUX module data I can't load: no matching module");
        return s.fail("The RDB file contains AUX module data");
    }
    while (!taken()) {
      if (s.failure !== null) return false;
      yield NEED_BYTES;
    }
    if (type === T.OP_FREQ) this.frequency = s.value;
    else if (type === T.OP_IDLE) this.idle = s.value;
    else this.expireMs = s.value;
    return true;
  }

  private *lengths(count: number): Generator<number, boolean> {
    const s = this.source;
    for (let i = 0; i < count; i++)
      while (!s.takeLength()) {
        if (s.failure !== null) return false;
        yield NEED_BYTES;
      }
    return true;
  }

  private *sizes(ks: Keyspace): Generator<number, boolean> {
    if (!(yield* this.lengths(1))) return false;
    // A hint alone: a lie must not take the memory of a table for keys that never come.
    const keys = Math.min(this.source.value, RESERVE_MAX);
    if (!(yield* this.lengths(1))) return false;
    ks.main.reserve(keys);
    ks.volatile.reserve(Math.min(this.source.value, keys));
    return true;
  }

  private *aux(): Generator<number, boolean> {
    const s = this.source;
    const words: string[] = [];
    for (let i = 0; i < 2; i++) {
      while (!s.takeString()) {
        if (s.failure !== null) return false;
        yield NEED_BYTES;
      }
      words.push(s.strB.toString("latin1", s.strStart, s.strEnd));
    }
    this.auxField(words[0], words[1]);
    return true;
  }

  private auxField(name: string, value: string): void {
    const { info, options } = this;
    const { log } = options;
    if (name.startsWith("%")) return log.notice(`RDB '${name}': ${value}`);
    switch (name.toLowerCase()) {
      case "repl-stream-db":
        info.replStreamDb = Number.parseInt(value, 10) || 0;
        break;
      case "repl-id":
        if (value.length === 40) info.replId = value;
        break;
      case "repl-offset":
        info.replOffset = Number(value);
        break;
      case "redis-ver":
        log.notice(`Loading RDB produced by version ${value}`);
        break;
      case "ctime":
        log.notice(`RDB age ${Math.max(0, Math.floor(clock.nowMs / 1000) - Number(value))} seconds`);
        break;
      case "used-mem":
        info.usedMemory = Number(value);
        log.notice(`RDB memory usage when created ${(info.usedMemory / 1048576).toFixed(2)} Mb`);
        break;
      case "aof-preamble":
        if (Number(value) !== 0) log.notice("RDB has an AOF tail");
        break;
      case "aof-base":
        if (Number(value) !== 0) log.notice("RDB is base AOF");
        break;
      case "lua":
      case "redis-bits":
        break;
      default:
        log.debug(`Unrecognized RDB AUX field: '${name}'`);
    }
  }

  private *library(): Generator<number, boolean> {
    const s = this.source;
    while (!s.takeString()) {
      if (s.failure !== null) return false;
      yield NEED_BYTES;
    }
    const error = this.options.loadFunction?.(Buffer.from(s.strB.subarray(s.strStart, s.strEnd)), this.options.replace) ?? null;
    if (error === null) return true;
    this.options.log.warning(`Failed loading library, ${error}`);
    return s.fail(`Failed loading library, ${error}`);
  }

  private *footer(): Generator<number, boolean> {
    const s = this.source;
    const { info, options } = this;
    s.settleChecksum();
    if (this.version >= 5) {
      while (!s.has(8)) yield NEED_BYTES;
      const at = s.pos;
      s.pos += 8;
      if (s.checksum) {
        if (s.buf.readUInt32LE(at) === 0 && s.buf.readUInt32LE(at + 4) === 0)
          options.log.notice("RDB file was saved with checksum disabled: no check performed.");
        else if (!s.crc.matches(s.buf, at)) {
          const found = s.buf.readBigUInt64LE(at).toString(16);
          options.log.warning(`Wrong RDB checksum expected: (${found}) but got (${s.crc.hex().replace(/^0+(?=.)/, "")}). Aborting now.`);
          return s.fail("RDB CRC error");
        }
      }
    }
    const skipped = info.emptySkipped > 0 ? `, empty keys skipped: ${info.emptySkipped}` : "";
    options.log.notice(`Done loading RDB, keys loaded: ${info.keys}, keys expired: ${info.expired}${skipped}.`);
    return true;
  }
}

/** Types whose value is one string of packed bytes, taken as it is. */
function isPacked(type: number): boolean {
  return type === T.T_HASH_LISTPACK || type === T.T_ZSET_LISTPACK || type === T.T_SET_LISTPACK || type === T.T_SET_INTSET;
}

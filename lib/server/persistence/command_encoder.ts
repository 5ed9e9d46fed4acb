/**
 * A data set as the commands that make it: the base of append only files with aof-use-rdb-preamble no. HOT while saving.
 * Redis aof.c rewriteAppendOnlyFileRio: strings with SET, collections in commands of at most 64 elements, streams with all their groups' state,
 * then PEXPIREAT. Keys come in any order, as in an RDB.
 */
import { ID_MAX, idText, type StreamId } from "../../store/stream_id.ts";
import { HASH, KEY_HEADER, LIST, SET, STREAM, STRING, ZSET, expireOf, keyBytes, typeOf } from "../../store/entry.ts";
import { type FrozenList, FrozenListCursor } from "../../store/frozen_list.ts";
import type { FrozenStream } from "../../store/frozen_stream.ts";
import type { FrozenString } from "../../store/frozen_string.ts";
import { FrozenHashCursor, FrozenSetCursor, FrozenZSetCursor, type FrozenValue } from "../../store/frozen_value.ts";
import { HashCursor, gotB as hashB, gotEnd as hashEnd, gotStart as hashStart, hashLength } from "../../store/hash.ts";
import { ListCursor, listLength } from "../../store/list.ts";
import { SetCursor, setLength } from "../../store/set.ts";
import { StreamCursor } from "../../store/stream_cursor.ts";
import type { GroupView } from "../../store/stream_group.ts";
import { region, valueBuffer, valueFrom, valueTo } from "../../store/string.ts";
import { ZSetCursor, zsetLength } from "../../store/zset.ts";
import { doubleText17, writeInt } from "../../bytes/number.ts";
import { NEVER, PARTS_A_STEP, mustBe } from "./rdb_save_value.ts";
import type { RdbWriter } from "./rdb_writer.ts";
import type { Encoder } from "./snapshot_encoder.ts";

/** Elements a command takes at most (Redis AOF_REWRITE_ITEMS_PER_CMD). */
const ITEMS_A_COMMAND = 64;
const CRLF = Buffer.from("\r\n");
const SET_HEAD = Buffer.from("*3\r\n$3\r\nSET\r\n");
const EXPIRE_HEAD = Buffer.from("*3\r\n$9\r\nPEXPIREAT\r\n");
const digits = Buffer.alloc(32);

/** The annotation of append only files that precedes what was written in this second. */
export function timestampLine(seconds: number): Buffer {
  return Buffer.from(`#TS:${seconds}\r\n`);
}

export class CommandEncoder implements Encoder {
  readonly writer: RdbWriter;
  private readonly libraries: readonly Buffer[];
  /** The annotation of the second in which it begins; empty: none. */
  private readonly stamp: Buffer;
  /** The key at hand. */
  private keyB: Buffer;

  constructor(writer: RdbWriter, libraries: readonly Buffer[], stamp: Buffer) {
    this.writer = writer;
    this.libraries = libraries;
    this.stamp = stamp;
    this.keyB = stamp;
  }

  head(): void {
    this.writer.raw(this.stamp, 0, this.stamp.length);
    for (const code of this.libraries) {
      this.begin("FUNCTION", 3);
      this.text("LOAD");
      this.bulk(code, 0, code.length);
    }
  }

  select(db: number): void {
    this.begin("SELECT", 2);
    this.text(String(db));
  }

  entry(ref: number): void {
    this.keyB = keyBytes(ref, KEY_HEADER);
    switch (typeOf(ref)) {
      case STRING:
        this.writer.raw(SET_HEAD, 0, SET_HEAD.length);
        this.key();
        region(ref);
        this.bulk(valueBuffer, valueFrom, valueTo);
        break;
      case LIST: {
        const cursor = new ListCursor();
        const total = listLength(ref);
        let more = cursor.begin(ref, 0, false);
        for (let n = 0; more; n++, more = cursor.next()) {
          this.part("RPUSH", n, total, 1);
          this.bulk(cursor.b, cursor.start, cursor.end);
        }
        break;
      }
      case SET: {
        const cursor = new SetCursor();
        cursor.begin(ref);
        drive(this.set(setLength(ref), cursor, NEVER));
        break;
      }
      case ZSET: {
        const cursor = new ZSetCursor();
        drive(this.zset(zsetLength(ref), cursor, cursor.begin(ref, 0, false), NEVER));
        break;
      }
      case HASH: {
        const cursor = new HashCursor();
        cursor.begin(ref);
        drive(this.hash(hashLength(ref), cursor, NEVER));
        break;
      }
      default:
        throw new Error(`no commands for an entry of type ${typeOf(ref)}`);
    }
    this.expire(expireOf(ref));
  }

  *big(v: FrozenValue): Generator<void, void> {
    // Other keys are written meanwhile, but by another encoder.
    this.keyB = v.key;
    switch (v.type) {
      case STRING:
        yield* this.longString(v.part);
        break;
      case LIST:
        yield* this.list(v.part);
        break;
      case SET:
        yield* this.set(v.part.count, new FrozenSetCursor(v.part), v.part);
        break;
      case ZSET: {
        const cursor = new FrozenZSetCursor(v.part);
        yield* this.zset(v.part.count, cursor, cursor.next(), v.part);
        break;
      }
      case HASH:
        yield* this.hash(v.part.count, new FrozenHashCursor(v.part, v.object), v.part);
        break;
      case STREAM:
        yield* this.stream(v.part);
    }
    this.expire(v.expireMs);
  }

  foot(): void {
    this.writer.flush();
    this.writer.dispose();
  }

  // ------------------------------------------------------------------------------------------------ RESP

  /** `*argc` and the command's name. */
  private begin(name: string, argc: number): void {
    this.number(0x2a, argc);
    this.text(name);
  }
  private number(mark: number, n: number): void {
    digits[0] = mark;
    const end = writeInt(digits, 1, n);
    digits[end] = 13;
    digits[end + 1] = 10;
    this.writer.raw(digits, 0, end + 2);
  }
  private bulk(b: Buffer, start: number, end: number): void {
    this.number(0x24, end - start);
    this.writer.raw(b, start, end);
    this.writer.raw(CRLF, 0, 2);
  }
  private text(s: string): void {
    const b = Buffer.from(s, "latin1");
    this.bulk(b, 0, b.length);
  }
  private id(id: StreamId): void {
    this.text(idText(id));
  }
  private key(): void {
    this.bulk(this.keyB, 0, this.keyB.length);
  }
  private expire(at: number): void {
    if (at < 0) return;
    this.writer.raw(EXPIRE_HEAD, 0, EXPIRE_HEAD.length);
    this.key();
    this.text(String(at));
  }

  /** Before element n (from 0) of `total`: every so many a new command begins. */
  private part(name: string, n: number, total: number, argsEach: number): void {
    if (n % ITEMS_A_COMMAND !== 0) return;
    this.begin(name, 2 + Math.min(ITEMS_A_COMMAND, total - n) * argsEach);
    this.key();
  }

  // ------------------------------------------------------------------------------------------------ types

  private *longString(s: FrozenString): Generator<void, void> {
    this.writer.raw(SET_HEAD, 0, SET_HEAD.length);
    this.key();
    this.number(0x24, s.length);
    for (let n = 1; s.next(); n++) {
      this.writer.raw(s.b, s.start, s.end);
      if (n % PARTS_A_STEP === 0) yield;
    }
    this.writer.raw(CRLF, 0, 2);
  }

  private *list(list: FrozenList): Generator<void, void> {
    let n = 0;
    for (const cursor = new FrozenListCursor(list); cursor.next(); n++) {
      this.part("RPUSH", n, list.count, 1);
      this.bulk(cursor.b, cursor.start, cursor.end);
      if (cursor.edge) yield;
    }
    mustBe(list.count, n);
  }

  private *set(total: number, cursor: SetCursor, walk: { readonly paused: boolean }): Generator<void, void> {
    let n = 0;
    while (cursor.next() || walk.paused) {
      if (walk.paused) {
        yield;
        continue;
      }
      this.part("SADD", n, total, 1);
      this.bulk(cursor.b, cursor.start, cursor.end);
      if (++n % ITEMS_A_COMMAND === 0) yield;
    }
    mustBe(total, n);
  }

  private *hash(total: number, cursor: HashCursor, walk: { readonly paused: boolean }): Generator<void, void> {
    let n = 0;
    while (cursor.next() || walk.paused) {
      if (walk.paused) {
        yield;
        continue;
      }
      this.part("HMSET", n, total, 2);
      this.bulk(cursor.b, cursor.start, cursor.end);
      cursor.value();
      this.bulk(hashB, hashStart, hashEnd);
      if (++n % ITEMS_A_COMMAND === 0) yield;
    }
    mustBe(total, n);
  }

  private *zset(total: number, cursor: ZSetCursor, first: boolean, walk: { readonly paused: boolean }): Generator<void, void> {
    let n = 0;
    for (let more = first; more || walk.paused; more = cursor.next()) {
      if (!more) {
        yield;
        continue;
      }
      this.part("ZADD", n, total, 2);
      this.text(doubleText17(cursor.score));
      this.bulk(cursor.b, cursor.start, cursor.end);
      if (++n % ITEMS_A_COMMAND === 0) yield;
    }
    mustBe(total, n);
  }

  private *stream(view: FrozenStream): Generator<void, void> {
    const s = view.numbers;
    const cursor = new StreamCursor();
    let n = 0;
    if (cursor.begin(view, 0n, ID_MAX, false)) {
      while (cursor.next()) {
        this.begin("XADD", 3 + cursor.fields * 2);
        this.key();
        this.id(cursor.id);
        for (let i = cursor.fields; i > 0; i--) {
          cursor.field();
          this.bulk(cursor.b, cursor.start, cursor.end);
          cursor.value();
          this.bulk(cursor.b, cursor.start, cursor.end);
        }
        n++;
        // The stream may change between two nodes only: the cursor reads the bytes of this one.
        if (cursor.atEdge()) yield;
      }
    }
    // A stream may be empty: an entry that is trimmed away at once makes one.
    if (n === 0) this.command("XADD", "MAXLEN", "0", "0-1", "x", "y");
    this.command("XSETID", idText(s.lastId), "ENTRIESADDED", String(s.added), "MAXDELETEDID", idText(s.maxDeletedId));
    for (const group of view.groups) yield* this.group(group);
  }

  private *group(group: GroupView): Generator<void, void> {
    this.begin("XGROUP", 7);
    this.text("CREATE");
    this.key();
    for (const word of [group.name, idText(group.lastId), "ENTRIESREAD", String(group.entriesRead)]) this.text(word);
    let n = 0;
    for (const consumer of group.consumers) {
      if (consumer.pending.size === 0) {
        this.begin("XGROUP", 5);
        this.text("CREATECONSUMER");
        this.key();
        this.text(group.name);
        this.text(consumer.name);
      }
      for (const [id, pending] of consumer.pending) {
        const { deliveredMs, deliveries } = pending;
        const when = ["TIME", String(deliveredMs), "RETRYCOUNT", String(deliveries), "JUSTID", "FORCE"];
        this.command("XCLAIM", group.name, consumer.name, "0", idText(id), ...when);
        if (++n % ITEMS_A_COMMAND === 0) yield;
      }
    }
  }

  /** `name key words`. */
  private command(name: string, ...words: string[]): void {
    this.begin(name, 2 + words.length);
    this.key();
    for (const word of words) this.text(word);
  }
}

function drive(all: Generator<void, void>): void {
  while (!all.next().done);
}

/**
 * A data set as the commands that make it: the base of append only files with aof-use-rdb-preamble no. HOT while saving.
 * Redis aof.c rewriteAppendOnlyFileRio: strings with SET, collections in commands of at most 64 elements, streams with all their groups' state,
 * then PEXPIREAT. Keys come in any order, as in an RDB.
 */
import { ID_MAX, idText, type StreamId } from "../../store/stream_id.ts";
import { m8 } from "../../store/arena.ts";
import { HASH, KEY_HEADER, LIST, SET, STREAM, STRING, ZSET, expireOf, keyLength, keyStart, typeOf } from "../../store/entry.ts";
import { HashCursor, gotB as hashB, gotEnd as hashEnd, gotStart as hashStart, hashLength } from "../../store/hash.ts";
import { ListCursor, listLength } from "../../store/list.ts";
import { SetCursor, setLength } from "../../store/set.ts";
import { StreamCursor, streamOf, type Stream } from "../../store/stream.ts";
import type { Group } from "../../store/stream_group.ts";
import { region, valueBuffer, valueFrom, valueTo } from "../../store/string.ts";
import { ZSetCursor, zsetLength } from "../../store/zset.ts";
import { doubleText17, writeInt } from "../../bytes/number.ts";
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

  constructor(writer: RdbWriter, libraries: readonly Buffer[], stamp: Buffer) {
    this.writer = writer;
    this.libraries = libraries;
    this.stamp = stamp;
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

  entry(ref: number): boolean {
    if (typeOf(ref) !== STRING) return true;
    this.writer.raw(SET_HEAD, 0, SET_HEAD.length);
    this.key(ref);
    region(ref);
    this.bulk(valueBuffer, valueFrom, valueTo);
    this.expire(ref);
    return false;
  }

  *big(ref: number): Generator<void, void> {
    switch (typeOf(ref)) {
      case LIST:
        yield* this.list(ref);
        break;
      case SET:
        yield* this.set(ref);
        break;
      case ZSET:
        yield* this.zset(ref);
        break;
      case HASH:
        yield* this.hash(ref);
        break;
      case STREAM:
        yield* this.stream(ref, streamOf(ref));
        break;
      default:
        throw new Error(`no commands for an entry of type ${typeOf(ref)}`);
    }
    this.expire(ref);
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
  private key(ref: number): void {
    const start = keyStart(ref, KEY_HEADER);
    this.bulk(m8[ref >>> 23], start, start + keyLength(ref, KEY_HEADER));
  }
  private expire(ref: number): void {
    const at = expireOf(ref);
    if (at < 0) return;
    this.writer.raw(EXPIRE_HEAD, 0, EXPIRE_HEAD.length);
    this.key(ref);
    this.text(String(at));
  }

  /** Before element n (from 0) of `total`: every so many a new command begins. */
  private part(ref: number, name: string, n: number, total: number, argsEach: number): void {
    if (n % ITEMS_A_COMMAND !== 0) return;
    this.begin(name, 2 + Math.min(ITEMS_A_COMMAND, total - n) * argsEach);
    this.key(ref);
  }

  // ------------------------------------------------------------------------------------------------ types

  private *list(ref: number): Generator<void, void> {
    const total = listLength(ref);
    const cursor = new ListCursor();
    let more = cursor.begin(ref, 0, false);
    for (let n = 0; more; n++, more = cursor.next()) {
      if (n > 0 && n % ITEMS_A_COMMAND === 0) yield;
      this.part(ref, "RPUSH", n, total, 1);
      this.bulk(cursor.b, cursor.start, cursor.end);
    }
  }

  private *set(ref: number): Generator<void, void> {
    const total = setLength(ref);
    const cursor = new SetCursor();
    cursor.begin(ref);
    for (let n = 0; cursor.next(); n++) {
      if (n > 0 && n % ITEMS_A_COMMAND === 0) yield;
      this.part(ref, "SADD", n, total, 1);
      this.bulk(cursor.b, cursor.start, cursor.end);
    }
  }

  private *hash(ref: number): Generator<void, void> {
    const total = hashLength(ref);
    const cursor = new HashCursor();
    cursor.begin(ref);
    for (let n = 0; cursor.next(); n++) {
      if (n > 0 && n % ITEMS_A_COMMAND === 0) yield;
      this.part(ref, "HMSET", n, total, 2);
      this.bulk(cursor.b, cursor.start, cursor.end);
      cursor.value();
      this.bulk(hashB, hashStart, hashEnd);
    }
  }

  private *zset(ref: number): Generator<void, void> {
    const total = zsetLength(ref);
    const cursor = new ZSetCursor();
    let more = cursor.begin(ref, 0, false);
    for (let n = 0; more; n++, more = cursor.next()) {
      if (n > 0 && n % ITEMS_A_COMMAND === 0) yield;
      this.part(ref, "ZADD", n, total, 2);
      this.text(doubleText17(cursor.score));
      this.bulk(cursor.b, cursor.start, cursor.end);
    }
  }

  private *stream(ref: number, s: Stream): Generator<void, void> {
    const cursor = new StreamCursor();
    let n = 0;
    if (cursor.begin(s, 0n, ID_MAX, false))
      while (cursor.next()) {
        this.begin("XADD", 3 + cursor.fields * 2);
        this.key(ref);
        this.id(cursor.id);
        for (let i = cursor.fields; i > 0; i--) {
          cursor.field();
          this.bulk(cursor.b, cursor.start, cursor.end);
          cursor.value();
          this.bulk(cursor.b, cursor.start, cursor.end);
        }
        if (++n % ITEMS_A_COMMAND === 0) yield;
      }
    // A stream may be empty: an entry that is trimmed away at once makes one.
    if (n === 0) this.command(ref, "XADD", "MAXLEN", "0", "0-1", "x", "y");
    this.command(ref, "XSETID", idText(s.lastId), "ENTRIESADDED", String(s.added), "MAXDELETEDID", idText(s.maxDeletedId));
    for (const [name, group] of s.groups) yield* this.group(ref, name, group);
  }

  private *group(ref: number, name: string, group: Group): Generator<void, void> {
    this.begin("XGROUP", 7);
    this.text("CREATE");
    this.key(ref);
    for (const word of [name, idText(group.lastId), "ENTRIESREAD", String(group.entriesRead)]) this.text(word);
    let n = 0;
    for (const consumer of group.consumers.values()) {
      if (consumer.pending.size === 0) {
        this.begin("XGROUP", 5);
        this.text("CREATECONSUMER");
        this.key(ref);
        this.text(name);
        this.text(consumer.name);
      }
      for (const [id, pending] of consumer.pending) {
        const { deliveredMs, deliveries } = pending;
        const when = ["TIME", String(deliveredMs), "RETRYCOUNT", String(deliveries), "JUSTID", "FORCE"];
        this.command(ref, "XCLAIM", name, consumer.name, "0", idText(id), ...when);
        if (++n % ITEMS_A_COMMAND === 0) yield;
      }
    }
  }

  /** `name key words`. */
  private command(ref: number, name: string, ...words: string[]): void {
    this.begin(name, 2 + words.length);
    this.key(ref);
    for (const word of words) this.text(word);
  }
}

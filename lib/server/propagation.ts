/**
 * What a unit of execution changed, in order, on its way to replicas and the AOF. HOT for single commands: the request's own bytes are fed
 * without a copy.
 *
 *   changed(call) ---depth 0, nothing before it---> consumers.feed(db, bytes)
 *        \--inside EXEC or a script, or after an expiry in the same unit--> ops --endUnit--> MULTI op op op EXEC
 *
 * A unit is a client's command with all that it caused. More than one command of a unit is wrapped in MULTI/EXEC, so that a replica never
 * shows half of it (Redis server.c propagatePendingCommands). Leaves out where the bytes go: replication and AOF are consumers.
 */
import { encodeCommand, type Call } from "../clients/call.ts";

/** Takes the stream: buf[start, end) is one RESP command for database `db` (-1: whichever is selected). The bytes are only lent. */
export interface Consumer {
  feed(db: number, buf: Buffer, start: number, end: number): void;
}

/** Who wants a command: replicas only (PUBLISH), AOF only, or both. */
export const TO_REPLICAS = 1;
export const TO_AOF = 2;
export const TO_ALL = 3;

const MULTI = Buffer.from("*1\r\n$5\r\nMULTI\r\n");
const EXEC = Buffer.from("*1\r\n$4\r\nEXEC\r\n");

interface Op {
  db: number;
  bytes: Buffer;
  to: number;
}

export class Propagation {
  /** Set while anybody listens; false makes `changed` free. */
  replicas: Consumer | null;
  aof: Consumer | null;
  /** Changes since the last save (Redis server.dirty). */
  dirty: number;
  /** Who is to have what commands inside a unit change: a script narrows it (redis.set_repl). */
  only: number;
  /** Called when commands that had gathered were sent. */
  onFlushed: (() => void) | null;
  private ops: Op[];
  /** EXEC and scripts are one unit each, however deep. */
  private units: number;

  constructor() {
    this.replicas = null;
    this.aof = null;
    this.dirty = 0;
    this.only = TO_ALL;
    this.onFlushed = null;
    this.ops = [];
    this.units = 0;
  }

  /** Commands wait for the end of their unit. */
  get gathers(): boolean {
    return this.ops.length > 0;
  }

  get active(): boolean {
    return this.replicas !== null || this.aof !== null;
  }

  /** Opens a unit that holds several commands (EXEC, a script, a module of cron work). */
  begin(): void {
    this.units++;
  }
  /** Closes it; the outermost one sends what gathered. */
  end(): void {
    if (--this.units === 0) this.flush();
  }

  /** A command changed something. */
  changed(call: Call): void {
    this.dirty += call.dirty;
    if (call.silent || !this.active || this.only === 0) return;
    const db = call.client.dbIndex;
    if (call.instead !== null) {
      for (const bytes of call.instead) this.ops.push({ db, bytes, to: this.only });
      if (this.units === 0 && call.depth === 0) this.flush();
      return;
    }
    if (call.depth === 0 && this.units === 0) {
      if (this.ops.length === 0) {
        this.feed(db, call.buf, call.start, call.end, TO_ALL);
        return;
      }
      this.ops.push({ db, bytes: Buffer.from(call.buf.subarray(call.start, call.end)), to: TO_ALL });
      this.flush();
      return;
    }
    this.ops.push({ db, bytes: Buffer.from(call.buf.subarray(call.start, call.end)), to: this.only });
  }

  /** A command that nobody typed: the DEL of an expired or evicted key, what a served BLPOP became. Sent when the unit ends. */
  also(db: number, args: (string | number | Uint8Array)[], to = TO_ALL): void {
    if (!this.active) return;
    this.ops.push({ db, bytes: encodeCommand(args), to });
  }

  /**
   * Sends what gathered: at the end of a client's command, after evictions, from cron. `atomic`: several are one transaction; keys that went
   * because their time had come, and nobody asked for them by name, need none.
   */
  flush(atomic = true): void {
    const ops = this.ops;
    if (ops.length === 0 || this.units > 0) return;
    this.ops = [];
    const wrap = atomic && ops.length > 1;
    // The SELECT that the first command may need belongs inside.
    if (wrap) this.feed(-1, MULTI, 0, MULTI.length, TO_ALL);
    for (const op of ops) this.feed(op.db, op.bytes, 0, op.bytes.length, op.to);
    if (wrap) this.feed(-1, EXEC, 0, EXEC.length, TO_ALL);
    this.onFlushed?.();
  }

  private feed(db: number, buf: Buffer, start: number, end: number, to: number): void {
    if (to & TO_AOF && this.aof !== null) this.aof.feed(db, buf, start, end);
    if (to & TO_REPLICAS && this.replicas !== null) this.replicas.feed(db, buf, start, end);
  }
}

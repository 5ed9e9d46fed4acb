/**
 * The master's stream on a replica: its commands are executed as they come, in slices, and the same bytes go on to our own replicas. WARM: every
 * replicated command passes here.
 *
 *   link.data --push--> [ kept bytes ] --read--> dispatch (a pause, or a long script of its own, holds them) --> Replication.forward
 *
 * The offset counts what was executed: a transaction counts when it is whole, so that after a cut it is asked for again from its MULTI.
 * Redis networking.c processInputBuffer, commandProcessed.
 */
import { FLAG_BLOCKED, FLAG_POSTPONED, type Client } from "../../clients/client.ts";
import { BROKEN, READY } from "../../resp/request.ts";
import { EXPIRE_IGNORE, setExpirePolicy } from "../../store/keyspace.ts";
import { clock, readClock } from "../../time/clock.ts";
import type { Replication } from "./replication.ts";

const SLICE_MS = 2;
/** While a pause holds the stream, the socket is read up to so many bytes. */
const HELD_BYTES = 4 * 1024 * 1024;
const EMPTY: Buffer = Buffer.alloc(0);
/** Nothing is executed now. */
const HELD = FLAG_POSTPONED | FLAG_BLOCKED;

export interface StreamHooks {
  pause(): void;
  resume(): void;
  /** REPLCONF GETACK. */
  acknowledge(): void;
  /** The stream makes no sense: its history cannot be gone on with. */
  broken(): void;
}

export class Stream {
  private readonly repl: Replication;
  readonly client: Client;
  private readonly hooks: StreamHooks;
  /** buf[from, to) has come and is not executed. */
  private buf: Buffer;
  private from: number;
  private to: number;
  /** Commands of an open transaction: executed (queued), not forwarded. */
  private unforwarded: Buffer[];
  private unforwardedBytes: number;
  private scheduled: boolean;
  private running: boolean;
  private over: boolean;

  constructor(repl: Replication, client: Client, hooks: StreamHooks) {
    this.repl = repl;
    this.client = client;
    this.hooks = hooks;
    this.buf = EMPTY;
    this.from = 0;
    this.to = 0;
    this.unforwarded = [];
    this.unforwardedBytes = 0;
    this.scheduled = false;
    this.running = false;
    this.over = false;
  }

  /** Bytes that have come beyond our offset. */
  get ahead(): number {
    return this.to - this.from + this.unforwardedBytes;
  }

  /** More bytes; they are kept until they are executed. */
  push(chunk: Buffer): void {
    this.append(chunk);
    if (this.client.flags & HELD) {
      if (this.to - this.from > HELD_BYTES) this.hooks.pause();
      return;
    }
    const { request } = this.client;
    // An argument on its way is not looked at again with every chunk.
    if (request.partial && this.to - this.from < request.needBytes) return;
    if (!this.scheduled) this.run();
  }

  private append(chunk: Buffer): void {
    const have = this.to - this.from;
    if (have === 0) {
      this.buf = chunk;
      this.from = 0;
      this.to = chunk.length;
      if (this.client.request.partial) this.client.request.rebase(0);
      return;
    }
    if (this.buf.length - this.to < chunk.length) {
      const { request } = this.client;
      const total = have + chunk.length;
      const bigger = Buffer.allocUnsafeSlow(Math.max(total * 2, request.partial ? Math.min(request.needBytes, total * 4) : 0));
      this.buf.copy(bigger, 0, this.from, this.to);
      this.buf = bigger;
      this.from = 0;
      this.to = have;
      if (request.partial) request.rebase(0);
    }
    chunk.copy(this.buf, this.to);
    this.to += chunk.length;
  }

  /** A command of it has not come to its end. */
  get inMidst(): boolean {
    return (this.client.flags & FLAG_BLOCKED) !== 0;
  }

  /** A pause is over, or a script. */
  resumed(): void {
    if (!this.scheduled) this.later();
  }

  private later(): void {
    this.scheduled = true;
    const next = (): void => {
      this.scheduled = false;
      if (this.over) return;
      this.run();
      if (!this.scheduled && !(this.client.flags & HELD)) this.hooks.resume();
    };
    setImmediate(() => this.repl.whenCalm(next));
  }

  /** Executes what is there, for a slice of time; what is left follows in the next turn, the socket waits meanwhile. */
  private run(): void {
    if (!this.repl.busy && this.execute(SLICE_MS)) return;
    this.hooks.pause();
    this.later();
  }

  /** The link goes: all that has come whole is executed first, as if it had been as soon as it came. */
  finish(): void {
    if (!this.over && !this.running && !(this.client.flags & HELD)) this.execute(Infinity);
    this.over = true;
  }

  /** Nothing more is executed. */
  end(): void {
    this.over = true;
  }

  /** Executes commands for about budgetMs. False: there is more. */
  private execute(budgetMs: number): boolean {
    const { repl, client } = this;
    const d = repl.server.dispatcher;
    const { request } = client;
    const { buf, to } = this;
    let pos = this.from;
    // buf[this.from, done) went on to our replicas; up to `safe` nothing is part of an open transaction.
    let done = pos;
    let safe = pos;
    if (client.multi === null && this.unforwardedBytes > 0) this.forwardKept();
    let more = false;
    let broken = false;
    const end = readClock() + budgetMs;
    const outer = d.inEvent;
    setExpirePolicy(EXPIRE_IGNORE);
    d.inEvent = true;
    this.running = true;
    while (pos < to && !this.over) {
      const status = request.read(buf, pos, to);
      if (status === BROKEN) {
        repl.server.log.warning(`Protocol error from client: the master's stream is broken: ${request.error}`);
        broken = true;
        break;
      }
      if (status !== READY) break;
      const begin = pos;
      pos = request.end;
      const asksForAck = request.argc > 0 && isGetAck(request.buf, request.at, request.argc);
      if (request.argc > 0 && !asksForAck) {
        client.lastActiveMs = clock.nowMs;
        d.execute(client, request);
        if (client.flags & FLAG_POSTPONED) {
          // A pause: the very same command is read again when it ends.
          pos = begin;
          break;
        }
        // A script that lets others have a turn: its command counts when it has ended.
        if (client.flags & FLAG_BLOCKED) break;
      }
      if (client.multi === null) safe = pos;
      if (asksForAck) {
        // It counts too, so that our master sees at once that we have everything.
        done = this.forward(done, safe);
        this.hooks.acknowledge();
      }
      if (clock.monoMs > end && readClock() > end && pos < to) {
        more = true;
        break;
      }
    }
    this.running = false;
    repl.setExpiry();
    done = this.forward(done, safe);
    d.inEvent = outer;
    if (!outer) d.endEvent();
    this.keep(done, pos, more);
    if (broken) {
      this.over = true;
      this.hooks.broken();
    }
    return !more || this.over;
  }

  /** buf[done, safe) was executed whole: on to our replicas, and into our offset. */
  private forward(done: number, safe: number): number {
    if (done === safe) return done;
    this.forwardKept();
    this.repl.forward(this.buf, done, safe);
    this.repl.selectedDb = this.client.dbIndex;
    return safe;
  }
  private forwardKept(): void {
    for (const bytes of this.unforwarded) this.repl.forward(bytes, 0, bytes.length);
    this.unforwarded.length = 0;
    this.unforwardedBytes = 0;
    this.repl.selectedDb = this.client.dbIndex;
  }

  /** Bytes in [done, pos) belong to an open transaction: they were executed (queued), and wait to be forwarded. */
  private keep(done: number, pos: number, more: boolean): void {
    if (done < pos) {
      this.unforwarded.push(Buffer.from(this.buf.subarray(done, pos)));
      this.unforwardedBytes += pos - done;
    }
    this.from = pos;
    if (pos === this.to) {
      this.buf = EMPTY;
      this.from = this.to = 0;
    } else if (!more && this.buf.length > 2 * (this.to - pos) + 65536) {
      // A little is left of a lot.
      this.buf = Buffer.from(this.buf.subarray(pos, this.to));
      this.to -= pos;
      this.from = 0;
      if (this.client.request.partial) this.client.request.rebase(0);
    }
  }
}

function isGetAck(b: Buffer, at: Int32Array, argc: number): boolean {
  return (
    argc === 3 &&
    at[1] - at[0] === 8 &&
    b.toString("latin1", at[0], at[1]).toLowerCase() === "replconf" &&
    b.toString("latin1", at[2], at[3]).toLowerCase() === "getack"
  );
}

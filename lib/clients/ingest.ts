/**
 * Bytes of clients to requests: the connection handler of every client of the server and Sentinel modes. HOT.
 *
 *   data event --> rest + chunk --> Request.read --> Dispatcher.execute   (until the bytes, the slice or the client's turn end)
 *              --> end of event: AOF, then one write a client
 *
 * A client gets at most 64 KiB or 1 ms of work a turn; then its socket is paused and it queues behind the others.
 * A blocked or postponed client's bytes are kept, bounded by client-query-buffer-limit.
 */
import type { Conn, ConnHandler } from "../net/conn.ts";
import { BROKEN, READY } from "../resp/request.ts";
import { clock, readClock } from "../time/clock.ts";
import { charge } from "./buffers.ts";
import {
  FLAG_BLOCKED,
  FLAG_CLOSE_AFTER_REPLY,
  FLAG_CLOSE_ASAP,
  FLAG_HALF_CLOSED,
  FLAG_HELD,
  FLAG_PENDING_OUTPUT,
  FLAG_POSTPONED,
  FLAG_QUEUED,
  type Client,
} from "./client.ts";
import type { Dispatcher } from "./dispatch.ts";

/** Bytes and milliseconds of one client's turn. */
const SLICE_BYTES = 64 * 1024;
const SLICE_MS = 1;
/** The last few requests of a chunk may take longer: another turn would cost more than they do. */
const SMALL_BYTES = 2048;
const SMALL_MS = 10;
/** An argument on its way gets its whole room at once up to this size; bigger ones grow with what has come. */
const WHOLE_BYTES = 4 * 1024 * 1024;
/** A leftover of at most this size is copied out of its chunk, so that the chunk can go. */
const COPY_BYTES = 16 * 1024;

/** Work that must wait: a client that is blocked, postponed, held or leaving executes nothing. */
const STOPPED = FLAG_BLOCKED | FLAG_POSTPONED | FLAG_HELD | FLAG_CLOSE_AFTER_REPLY | FLAG_CLOSE_ASAP;

export interface IngestOptions {
  dispatcher: Dispatcher;
  /** An accepted connection: makes the client, or returns null to refuse it (it has answered and closed by itself). */
  accepted(conn: Conn<Client>): Client | null;
  /** The client is gone: forget it. */
  gone(client: Client, error: Error | null): void;
  /** Bytes of a client whose data is not requests any more (a replica's link, PROXY headers): true when taken. */
  divert(client: Client, chunk: Buffer): boolean;
  /** A request of so many bytes is about to run; the client may be closed instead. */
  big(client: Client, bytes: number): void;
  /** An event of the client is over, while bigRequestBytes is set. */
  settled(client: Client): void;
  /** Unexecuted bytes a client may pile up. */
  queryLimitBytes(): number;
  /** They are more than that: to be closed at once. */
  overQueryLimit(client: Client): void;
  /** A protocol error, before the client is closed. */
  protocolError(client: Client, text: string): void;
  netInput(bytes: number): void;
}

export class Ingest {
  readonly options: IngestOptions;
  readonly dispatcher: Dispatcher;
  readonly handler: ConnHandler<Client>;
  /** Requests longer than this are told to `big` before they run: only while maxmemory or maxmemory-clients is set. */
  bigRequestBytes: number;
  private readonly ready: Client[];
  private scheduled: boolean;

  constructor(options: IngestOptions) {
    this.options = options;
    this.dispatcher = options.dispatcher;
    this.bigRequestBytes = Infinity;
    this.ready = [];
    this.scheduled = false;
    this.handler = {
      open: (conn) => this.open(conn),
      data: (conn, chunk) => this.data(conn, chunk),
      drained: (conn) => {
        if (conn.data === null) return;
        conn.data.softLimitSinceMs = 0;
        if (this.bigRequestBytes !== Infinity) options.settled(conn.data);
      },
      end: (conn) => this.end(conn),
      close: (conn, error) => {
        if (conn.data !== null) options.gone(conn.data, error);
      },
    };
  }

  private open(conn: Conn<Client>): void {
    const client = this.options.accepted(conn);
    if (client !== null) conn.data = client;
  }

  private data(conn: Conn<Client>, chunk: Buffer): void {
    const client = conn.data;
    if (client === null) return;
    const d = this.dispatcher;
    const started = readClock();
    const commands = d.totalCommands;
    client.lastActiveMs = clock.nowMs;
    this.options.netInput(chunk.length);
    d.loop.reads++;
    charge(client, chunk.length);
    d.inEvent = true;
    if (client.replica !== null && this.options.divert(client, chunk)) {
      // taken
    } else if (client.rest === null && !(client.flags & FLAG_QUEUED)) this.process(client, chunk, 0, chunk.length);
    else this.append(client, chunk);
    if (client.flags & (FLAG_HELD | FLAG_BLOCKED)) {
      // What comes after this can wait with the sender.
      if (client.flags & FLAG_HELD) conn.pause();
      else client.blocked?.heard?.();
    }
    d.inEvent = false;
    this.finish(client);
    d.loop.turn((clock.monoMs - started) * 1000, d.totalCommands - commands);
  }

  /** The peer will say nothing more: what it has said is answered, then the connection closed. */
  private end(conn: Conn<Client>): void {
    const client = conn.data;
    if (client !== null && client.flags & FLAG_QUEUED) client.flags |= FLAG_HALF_CLOSED;
    else conn.closeAfterFlush();
  }

  /** The end of an event: what the client and others were told goes out. */
  private finish(client: Client): void {
    const d = this.dispatcher;
    if (
      client.conn !== null &&
      !(client.flags & FLAG_PENDING_OUTPUT) &&
      (client.out.n > 0 || client.out.chunks.length > 0 || client.flags & FLAG_CLOSE_AFTER_REPLY)
    ) {
      client.flags |= FLAG_PENDING_OUTPUT;
      d.pending.push(client);
    } else if (client.flags & FLAG_CLOSE_AFTER_REPLY && !(client.flags & FLAG_PENDING_OUTPUT)) client.conn?.closeAfterFlush();
    d.endEvent();
    if (this.bigRequestBytes !== Infinity) this.options.settled(client);
  }

  /** New bytes behind kept ones. */
  private append(client: Client, chunk: Buffer): void {
    const have = client.restLength;
    const total = have + chunk.length;
    let rest = client.rest ?? NONE;
    if (total > rest.length) {
      const need = client.request.partial ? client.request.needBytes : total * 2;
      const bigger = Buffer.allocUnsafeSlow(Math.max(total, Math.min(need, Math.max(total * 2, WHOLE_BYTES))));
      rest.copy(bigger, 0, 0, have);
      rest = client.rest = bigger;
      charge(client, bigger.length);
    }
    chunk.copy(rest, have);
    client.restLength = total;
    if (total > this.options.queryLimitBytes()) {
      this.options.overQueryLimit(client);
      return;
    }
    if (client.flags & (STOPPED | FLAG_QUEUED)) return;
    if (client.request.partial && total < client.request.needBytes) return;
    this.resume(client);
  }

  /** Executes what a client has piled up: after a block, a pause, or when its turn comes again. */
  resume(client: Client): void {
    const rest = client.rest;
    if (rest === null) return;
    const length = client.restLength;
    client.rest = null;
    client.restLength = 0;
    this.process(client, rest, 0, length);
  }

  /** As resume, from outside an event (unblocked, unpaused): flushes by itself. */
  resumeLater(client: Client): void {
    if (client.rest !== null || client.again !== null) this.enqueue(client);
    else if (!(client.flags & FLAG_QUEUED)) client.conn?.resume();
  }

  /** Executes the requests in buf[pos, len); keeps what is left. */
  private process(client: Client, buf: Buffer, pos: number, len: number): void {
    const d = this.dispatcher;
    const request = client.request;
    const started = clock.monoMs;
    const sliceEnd = pos + SLICE_BYTES;
    while (pos < len) {
      if (client.flags & STOPPED) break;
      const status = request.read(buf, pos, len);
      if (status === READY) {
        const begin = pos;
        pos = request.end;
        if (request.argc > 0) {
          if (pos - begin > this.bigRequestBytes) {
            this.options.big(client, pos - begin);
            if (client.flags & STOPPED) break;
          }
          d.execute(client, request);
          if (client.flags & FLAG_POSTPONED) {
            // Refused for now: the very same request is read again when the pause ends.
            pos = begin;
            break;
          }
        }
        if (request.at.length > 1024) request.reset();
        if (pos < len && (pos > sliceEnd || clock.monoMs - started > (len - pos > SMALL_BYTES ? SLICE_MS : SMALL_MS))) {
          this.keep(client, buf, pos, len);
          this.enqueue(client);
          return;
        }
      } else if (status === BROKEN) {
        this.options.protocolError(client, request.error);
        client.out.errorText(`ERR ${request.error}`);
        d.observers.failed?.(null, client.out.lastError!);
        client.flags |= FLAG_CLOSE_AFTER_REPLY;
        return;
      } else break;
    }
    if (pos < len && !(client.flags & (FLAG_CLOSE_AFTER_REPLY | FLAG_CLOSE_ASAP))) this.keep(client, buf, pos, len);
  }

  /** Keeps buf[pos, len) for later; an unfinished request moves with its bytes. */
  private keep(client: Client, buf: Buffer, pos: number, len: number): void {
    const bytes = len - pos;
    const need = client.request.partial ? Math.min(client.request.needBytes, WHOLE_BYTES) : 0;
    if (bytes <= COPY_BYTES || need > bytes) {
      const copy = Buffer.allocUnsafeSlow(Math.max(bytes, need));
      buf.copy(copy, 0, pos, len);
      client.rest = copy;
      charge(client, copy.length);
    } else client.rest = buf.subarray(pos, len);
    client.restLength = bytes;
    if (client.request.partial) client.request.rebase(0);
  }

  private enqueue(client: Client): void {
    if (client.flags & FLAG_QUEUED) return;
    client.flags |= FLAG_QUEUED;
    client.conn?.pause();
    this.ready.push(client);
    if (!this.scheduled) {
      this.scheduled = true;
      setImmediate(() => this.turn());
    }
  }

  /** One slice for each client that queues. */
  private turn(): void {
    this.scheduled = false;
    const d = this.dispatcher;
    const started = readClock();
    const commands = d.totalCommands;
    const round = this.ready.splice(0);
    for (const client of round) {
      client.flags &= ~FLAG_QUEUED;
      if (client.conn === null || !client.conn.isOpen) continue;
      readClock();
      d.inEvent = true;
      if (client.again !== null && !(client.flags & STOPPED)) this.runAgain(client);
      if (!(client.flags & STOPPED)) this.resume(client);
      d.inEvent = false;
      if (!(client.flags & FLAG_QUEUED)) {
        client.conn.resume();
        if (client.flags & FLAG_HALF_CLOSED) client.flags |= FLAG_CLOSE_AFTER_REPLY;
      }
      this.finish(client);
    }
    d.loop.turn((clock.monoMs - started) * 1000, d.totalCommands - commands);
  }

  private runAgain(client: Client): void {
    const saved = client.again!;
    client.again = null;
    this.dispatcher.executeAgain(client, saved);
    this.dispatcher.host.afterUnit();
  }
}

const NONE = Buffer.alloc(0);

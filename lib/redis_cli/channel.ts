/**
 * One connection of the client: requests out, typed values in, in order; raw bytes both ways for --pipe and --rdb. Cold.
 *
 *   send() --> conn --> server --> ValueReader --> next()        pushes --> onPush, or next() while `pushesAreReplies`
 *
 * A lost connection makes next() reject with ConnectionLost in the words that people know from redis-cli.
 */
import { isIP } from "node:net";
import type { TLSOptions } from "bun";
import { strerror } from "../bytes/errno.ts";
import { Conn, type ConnHandler } from "../net/conn.ts";
import { dial } from "../net/dial.ts";
import { ProtocolError, ValueReader, type Value } from "./value.ts";

export class ConnectionLost extends Error {}

export interface Place {
  host: string;
  port: number;
  socket: string | null;
  tls: TLSOptions | null;
}

interface Waiter {
  resolve(value: Value): void;
  reject(error: Error): void;
}

export class Channel {
  readonly conn: Conn<Channel>;
  private readonly reader: ValueReader;
  private readonly ready: Value[];
  private waiter: Waiter | null;
  private notify: (() => void) | null;
  private rawWaiter: ((chunk: Buffer | null) => void) | null;
  private rawChunks: Buffer[] | null;
  private writable: (() => void) | null;
  /** Why there is nothing more to come; null while open. */
  lost: ConnectionLost | null;
  /** In Pub/Sub a push is what the user waits for. */
  pushesAreReplies: boolean;
  onPush: ((value: Value) => void) | null;

  private constructor(place: Place, opened: () => void, failed: (error: Error) => void) {
    this.reader = new ValueReader();
    this.ready = [];
    this.waiter = null;
    this.notify = null;
    this.rawWaiter = null;
    this.rawChunks = null;
    this.writable = null;
    this.lost = null;
    this.pushesAreReplies = false;
    this.onPush = null;
    this.opened = opened;
    const { conn } = dial<Channel>({
      ...(place.socket !== null ? { path: place.socket } : { hostname: place.host, port: place.port }),
      ...(place.tls !== null ? { tls: place.tls } : {}),
      data: this,
      handler,
      failed: (_conn, error) => failed(error),
    });
    this.conn = conn;
  }
  opened: () => void;

  /** Connects; rejects with the system's words ("Connection refused"). */
  static open(place: Place): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const channel: Channel = new Channel(
        place,
        () => {
          channel.conn.keepAlive(15_000);
          resolve(channel);
        },
        (error) => reject(new Error(connectText(error, place))),
      );
    });
  }

  /** Queues a request and sends it. */
  send(args: readonly string[]): void {
    this.conn.out.command(...args);
    this.conn.flush();
  }

  /** The next reply. */
  next(): Promise<Value> {
    const value = this.ready.shift();
    if (value !== undefined) return Promise.resolve(value);
    if (this.lost !== null) return Promise.reject(this.lost);
    return new Promise((resolve, reject) => {
      this.waiter = { resolve, reject };
    });
  }

  /** True when next() would not wait. */
  get hasNext(): boolean {
    return this.ready.length > 0 || this.lost !== null;
  }
  /** Resolves when hasNext is true; takes nothing. */
  arrived(): Promise<void> {
    if (this.hasNext) return Promise.resolve();
    return new Promise((resolve) => {
      this.notify = resolve;
    });
  }

  /** One request, its reply. */
  ask(...args: string[]): Promise<Value> {
    this.send(args);
    return this.next();
  }

  /** Sends bytes as they are; resolves when the system has taken them all. */
  async write(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      const taken = this.lost === null ? this.conn.writeNow(rest) : -1;
      if (taken < 0) throw this.lost ?? new ConnectionLost("Server closed the connection");
      rest = rest.subarray(taken);
      if (rest.length > 0)
        await new Promise<void>((resolve) => {
          this.writable = resolve;
        });
    }
  }

  /** From now on bytes come through readRaw(), beginning with what has come already. */
  startRaw(): void {
    const rest = this.reader.takeRest();
    this.rawChunks = rest.length > 0 ? [rest] : [];
  }

  /** The next bytes, or null at the end of the connection. */
  readRaw(): Promise<Buffer | null> {
    const chunk = this.rawChunks!.shift();
    if (chunk !== undefined) return Promise.resolve(chunk);
    if (this.lost !== null) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.rawWaiter = resolve;
    });
  }

  /** Ends raw reading: `rest` is read as replies again. */
  endRaw(rest: Buffer): void {
    const chunks = this.rawChunks ?? [];
    this.rawChunks = null;
    this.onData(Buffer.concat([rest, ...chunks]));
  }

  close(): void {
    if (this.lost === null) this.onClose(null);
    if (this.conn.isOpen) this.conn.close();
  }

  // ---- called by the handler below
  onData(chunk: Buffer): void {
    if (this.rawChunks !== null) {
      const waiter = this.rawWaiter;
      this.rawWaiter = null;
      if (waiter !== null) waiter(chunk);
      else this.rawChunks.push(chunk);
      return;
    }
    this.reader.feed(chunk);
    try {
      for (let value = this.reader.next(); value !== undefined; value = this.reader.next()) {
        this.deliver(value);
        // An awaiting caller may switch to raw bytes with the reply it gets, which happens in a microtask: SYNC's reply is no value.
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.lost = new ConnectionLost(error.message);
      this.settle();
      this.conn.terminate();
    }
  }

  private deliver(value: Value): void {
    if (value.kind === "push" && !this.pushesAreReplies) {
      this.onPush?.(value);
      return;
    }
    const waiter = this.waiter;
    this.waiter = null;
    if (waiter !== null) return waiter.resolve(value);
    this.ready.push(value);
    this.notify?.();
    this.notify = null;
  }

  onClose(error: Error | null): void {
    this.lost ??= new ConnectionLost(error === null ? "Server closed the connection" : strerror(error));
    this.settle();
  }

  private settle(): void {
    const { waiter, rawWaiter, writable } = this;
    this.waiter = null;
    this.rawWaiter = null;
    this.writable = null;
    waiter?.reject(this.lost!);
    this.notify?.();
    this.notify = null;
    rawWaiter?.(null);
    writable?.();
  }

  onDrain(): void {
    const writable = this.writable;
    this.writable = null;
    writable?.();
  }
}

const handler: ConnHandler<Channel> = {
  open: (conn) => conn.data.opened(),
  data: (conn, chunk) => conn.data.onData(chunk),
  drained: (conn) => conn.data.onDrain(),
  end: (conn) => {
    conn.data.onClose(null);
    conn.closeAfterFlush();
  },
  close: (conn, error) => conn.data.onClose(error),
};

/** getaddrinfo's words for a name that nobody knows; strerror's for the rest. */
function connectText(error: Error, place: Place): string {
  const code = (error as { code?: string }).code ?? "";
  if (place.socket === null && isIP(place.host) === 0 && /ENOTFOUND|EAI|DNS/.test(`${code} ${error.message}`))
    return code === "EAI_AGAIN" || code === "DNS_EAI_AGAIN" ? "Temporary failure in name resolution" : "Name or service not known";
  return strerror(error);
}

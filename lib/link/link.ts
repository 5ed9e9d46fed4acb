/**
 * An outgoing RESP link: connect, optional AUTH / HELLO, pipelined commands with callbacks, pushes and subscriptions. COLD.
 * Used by Sentinel, the proxy's checks and authority, replication's handshake, status. It does not reconnect by itself: its owner
 * decides when (Sentinel has rules for that), by making a new one.
 */
import type { TLSOptions } from "bun";
import { Conn, type ConnHandler } from "../net/conn.ts";
import { dial } from "../net/dial.ts";
import { Push, ReplyReader, type Reply } from "../resp/reply.ts";

export interface LinkOptions {
  hostname?: string;
  port?: number;
  path?: string;
  tls?: TLSOptions | boolean;
  localAddress?: string;
  /** For the connect alone; 0: none. */
  timeoutMs?: number;
  connected?(link: Link): void;
  /** Pub/Sub messages of RESP2 (arrays after SUBSCRIBE) and RESP3 pushes. */
  message?(link: Link, items: Reply[]): void;
  /** A reply that no command waits for: a subscription refused, a greeting with an error. Without it such replies are dropped. */
  unasked?(link: Link, reply: Reply): void;
  /** Gone or never came; `error` null when the peer closed or close() was called. Called exactly once. Pending callbacks get null first. */
  closed?(link: Link, error: Error | null): void;
}

/** Called with the reply, or undefined when the link was lost before it came. */
export type OnReply = (reply: Reply | undefined) => void;

/** How long a peer may take to close after end(). */
const END_MS = 1000;

export class Link {
  readonly options: LinkOptions;
  readonly conn: Conn<Link>;
  private readonly reader: ReplyReader;
  private waiting: OnReply[];
  private head: number;
  private scheduled: boolean;
  private subscribed: boolean;
  private over: boolean;
  private readonly cancelDial: () => void;
  isConnected: boolean;
  /** It has been connected at some time: a close is then the peer's will or the network's, not a refusal. */
  wasConnected: boolean;

  constructor(options: LinkOptions) {
    this.options = options;
    this.reader = new ReplyReader();
    this.waiting = [];
    this.head = 0;
    this.scheduled = false;
    this.subscribed = false;
    this.over = false;
    this.isConnected = false;
    this.wasConnected = false;
    const { conn, cancel } = dial<Link>({
      ...(options.hostname !== undefined ? { hostname: options.hostname } : {}),
      ...(options.port !== undefined ? { port: options.port } : {}),
      ...(options.path !== undefined ? { path: options.path } : {}),
      ...(options.tls !== undefined ? { tls: options.tls } : {}),
      ...(options.localAddress !== undefined ? { localAddress: options.localAddress } : {}),
      ...(options.timeoutMs !== undefined ? { timeoutMs: options.timeoutMs } : {}),
      data: this,
      handler,
      failed: (_conn, error) => this.finish(error),
    });
    this.conn = conn;
    this.cancelDial = cancel;
  }

  /** Replies still awaited. */
  get pending(): number {
    return this.waiting.length - this.head;
  }

  /** Queues a command; it leaves when connected, all of one turn in one write. */
  send(args: (string | number | Uint8Array)[], onReply: OnReply): void {
    if (this.over) {
      queueMicrotask(() => onReply(undefined));
      return;
    }
    this.conn.out.command(...args);
    this.waiting.push(onReply);
    this.schedule();
  }

  /** Subscribes; from then on every array is a message, handed to options.message (confirmations included). */
  subscribe(...channels: string[]): void {
    this.subscribeWith("SUBSCRIBE", ...channels);
  }
  psubscribe(...patterns: string[]): void {
    this.subscribeWith("PSUBSCRIBE", ...patterns);
  }
  /** The same under the name that the server gives the command (rename-command). */
  subscribeWith(...words: string[]): void {
    this.subscribed = true;
    this.conn.out.command(...words);
    this.schedule();
  }

  /** Closes now; `closed` is called with null. */
  close(): void {
    if (this.over) return;
    this.cancelDial();
    this.finish(null);
    if (this.conn.isOpen) this.conn.terminate();
  }

  /** Sends what is queued, then closes, with a reset when the peer takes too long. Replies still to come are lost; `closed` is called now. */
  end(): void {
    if (this.over) return;
    this.cancelDial();
    this.conn.flush();
    this.finish(null);
    if (!this.conn.isOpen) return;
    this.conn.closeAfterFlush();
    setTimeout(() => {
      if (this.conn.isOpen) this.conn.terminate();
    }, END_MS).unref();
  }

  private schedule(): void {
    if (this.scheduled || !this.isConnected) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.conn.flush();
    });
  }

  private finish(error: Error | null): void {
    if (this.over) return;
    this.over = true;
    this.isConnected = false;
    const lost = this.waiting.slice(this.head);
    this.waiting = [];
    this.head = 0;
    for (const f of lost) f(undefined);
    this.options.closed?.(this, error);
  }

  // ---- called by the handler below
  onOpen(): void {
    if (this.over) {
      this.conn.terminate();
      return;
    }
    this.isConnected = true;
    this.wasConnected = true;
    this.options.connected?.(this);
    this.conn.flush();
  }
  onData(chunk: Buffer): void {
    const replies = this.reader.feed(chunk);
    if (replies === null) {
      this.finish(new Error("Protocol error in the peer's reply"));
      this.conn.terminate();
      return;
    }
    for (const reply of replies) {
      if (this.over) return;
      if (reply instanceof Push) this.options.message?.(this, reply.items);
      else if (this.subscribed && Array.isArray(reply)) this.options.message?.(this, reply);
      else if (this.head < this.waiting.length) {
        const f = this.waiting[this.head++];
        if (this.head === this.waiting.length) {
          this.waiting.length = 0;
          this.head = 0;
        }
        f(reply);
      } else this.options.unasked?.(this, reply);
    }
  }
  onClose(error: Error | null): void {
    this.finish(error);
  }
}

const handler: ConnHandler<Link> = {
  open: (conn) => conn.data.onOpen(),
  data: (conn, chunk) => conn.data.onData(chunk),
  drained: () => {},
  end: (conn) => conn.closeAfterFlush(),
  close: (conn, error) => conn.data.onClose(error),
};

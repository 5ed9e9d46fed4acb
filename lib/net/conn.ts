/**
 * A connection: one socket, one output queue. HOT. The only folder that names Bun.listen and Bun.connect.
 *
 *   socket --data--> owner.data(conn, chunk)          owner writes into conn.out, then conn.flush()
 *   conn.out --flush--> socket; what the kernel refuses waits in `out` until `drain`, then owner.drained(conn)
 *
 * Bun's socket.write neither buffers nor corks: it returns the bytes taken. So one flush per event, and bounds on `out` are the
 * owner's (it reads out.pendingBytes()). Leaves out protocols, timeouts and limits.
 */
import type { Socket } from "bun";
import { Out } from "../resp/out.ts";

/** What the code that owns connections hands in; one set of functions a listener or link, never per connection. */
export interface ConnHandler<T> {
  /** The socket is open (accepted, or connected and, with TLS, shaken hands). */
  open(conn: Conn<T>): void;
  /** A fresh buffer that nobody else keeps; slices may be kept, they pin the whole chunk (up to 512 KiB). */
  data(conn: Conn<T>, chunk: Buffer): void;
  /** All of `out` has left after it had once been refused. */
  drained(conn: Conn<T>): void;
  /** The peer has sent its FIN; writing still works. The usual answer is conn.closeAfterFlush(). */
  end(conn: Conn<T>): void;
  /** The socket is gone, whoever closed it. Called exactly once per opened connection. */
  close(conn: Conn<T>, error: Error | null): void;
}

let lastId = 0;

export class Conn<T = unknown> {
  /** Unique in this process; ascending by time of creation. */
  readonly id: number;
  /** The owner's object: client, session, link. */
  data: T;
  readonly out: Out;
  handler: ConnHandler<T>;
  socket: Socket<Conn<T>> | null;
  /** True from open until close. */
  isOpen: boolean;
  /** A write was refused; drain will come. */
  blocked: boolean;
  paused: boolean;
  /** What is in `out` must not leave yet, whoever asks: something else has to happen first (its data reaching the disk). */
  held: boolean;
  private closing: boolean;
  remoteAddress: string;
  remotePort: number;
  localAddress: string;
  localPort: number;
  /** Path of the unix socket, or "". */
  path: string;
  /** Descriptor number for CLIENT LIST; -1 when unknown. */
  fd: number;
  bytesIn: number;
  bytesOut: number;

  constructor(data: T, handler: ConnHandler<T>) {
    this.id = ++lastId;
    this.data = data;
    this.out = new Out();
    this.handler = handler;
    this.socket = null;
    this.isOpen = false;
    this.blocked = false;
    this.paused = false;
    this.held = false;
    this.closing = false;
    this.remoteAddress = "";
    this.remotePort = 0;
    this.localAddress = "";
    this.localPort = 0;
    this.path = "";
    this.fd = -1;
    this.bytesIn = 0;
    this.bytesOut = 0;
  }

  /** Sends what is in `out`. True when all of it has left. Safe to call at any time. */
  flush(): boolean {
    const socket = this.socket;
    if (socket === null || !this.isOpen) {
      this.out.clear();
      return true;
    }
    if (this.blocked || this.held) return false;
    const out = this.out;
    while (out.chunks.length > 0 || out.n > 0) {
      // Offset and length instead of a view: an object less for each reply.
      const queued = out.chunks.length > 0;
      const piece = queued ? out.chunks[0] : out.cur;
      const from = queued ? out.head : 0;
      const length = queued ? piece.length - from : out.n;
      const taken = socket.write(piece, from, length);
      if (taken < 0) {
        out.clear();
        return true;
      }
      this.bytesOut += taken;
      out.sent(taken);
      if (taken !== length) {
        this.blocked = true;
        return false;
      }
    }
    if (this.closing) this.shut();
    return true;
  }

  /** Writes bytes past `out` (byte pump). Returns how many were taken; only valid while `out` is empty. -1: closed. */
  writeNow(chunk: Uint8Array): number {
    const socket = this.socket;
    if (socket === null || !this.isOpen) return -1;
    if (this.blocked) return 0;
    const taken = socket.write(chunk);
    if (taken >= 0) {
      this.bytesOut += taken;
      if (taken < chunk.length) this.blocked = true;
    }
    return taken;
  }

  /** Sends what waits, then closes (FIN). Nothing more is read. */
  closeAfterFlush(): void {
    if (this.closing) return;
    this.closing = true;
    if (this.flush() && this.isOpen) this.shut();
  }
  /** True once closeAfterFlush was called. */
  get isClosing(): boolean {
    return this.closing;
  }
  private shut(): void {
    this.socket?.end();
  }
  /** Half-close: FIN after what was written so far; reading goes on. */
  shutdownWrite(): void {
    this.socket?.shutdown();
  }
  /** Closes both directions at once (FIN; RST when unread bytes are left); drops what waits in `out`. */
  close(): void {
    this.out.clear();
    this.socket?.end();
  }
  /** Keep-alive probes after `idleMs` of silence; 0 leaves the time to the system. */
  keepAlive(idleMs: number): void {
    this.socket?.setKeepAlive(true, idleMs);
  }
  /** Closes at once with a RST; drops what waits. */
  terminate(): void {
    this.out.clear();
    this.socket?.terminate();
  }

  pause(): void {
    if (!this.paused && this.socket !== null) {
      this.paused = true;
      this.socket.pause();
    }
  }
  resume(): void {
    if (this.paused && this.socket !== null) {
      this.paused = false;
      this.socket.resume();
    }
  }

  /** `ip:port`, `[ip6]:port` or the path with `:0`, as CLIENT LIST prints it. */
  get remoteText(): string {
    return this.path !== "" ? `${this.path}:0` : addressText(this.remoteAddress, this.remotePort);
  }
  get localText(): string {
    return this.path !== "" ? `${this.path}:0` : addressText(this.localAddress, this.localPort);
  }
}

/** Redis formatAddr: IPv6 in brackets. */
export function addressText(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** IPv4 peers of a dual-stack listener show as ::ffff:a.b.c.d; the originals print the IPv4 form. */
function plain(address: string | undefined): string {
  if (address === undefined) return "";
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

/** Fills the addresses in once the socket is there. */
export function attach<T>(conn: Conn<T>, socket: Socket<Conn<T>>): void {
  conn.socket = socket;
  conn.isOpen = true;
  conn.remoteAddress = plain(socket.remoteAddress);
  conn.remotePort = (socket as { remotePort?: number }).remotePort ?? 0;
  conn.localAddress = plain((socket as { localAddress?: string }).localAddress);
  conn.localPort = socket.localPort ?? 0;
  conn.fd = (socket as unknown as { fd?: number }).fd ?? -1;
}

function isSystemError(error: Error): boolean {
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" && !code.startsWith("ERR_");
}

/** The one set of Bun callbacks for every connection: each finds its Conn in socket.data. */
export const callbacks = {
  open(socket: Socket<Conn<any>>): void {
    const conn = socket.data;
    attach(conn, socket);
    conn.handler.open(conn);
  },
  data(socket: Socket<Conn<any>>, chunk: Buffer): void {
    const conn = socket.data;
    conn.bytesIn += chunk.length;
    conn.handler.data(conn, chunk);
  },
  drain(socket: Socket<Conn<any>>): void {
    const conn = socket.data;
    conn.blocked = false;
    if (conn.flush()) conn.handler.drained(conn);
  },
  end(socket: Socket<Conn<any>>): void {
    socket.data.handler.end(socket.data);
  },
  close(socket: Socket<Conn<any>>, error?: Error): void {
    const conn = socket.data;
    if (!conn.isOpen) return;
    conn.isOpen = false;
    conn.out.clear();
    conn.handler.close(conn, error ?? null);
  },
  error(socket: Socket<Conn<any>>, error: Error): void {
    // Bun reports the failing call here and calls close next; the reason goes with it.
    const conn = socket.data;
    // It also brings what our own handlers throw: a bug, which must end in the crash report and not in a closed connection.
    if (!isSystemError(error)) {
      queueMicrotask(() => {
        throw error;
      });
    }
    if (conn?.isOpen) {
      conn.isOpen = false;
      conn.out.clear();
      conn.handler.close(conn, error);
      socket.terminate();
    }
  },
};

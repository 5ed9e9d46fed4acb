/**
 * The byte pump of a session: chunks of one side go to the other in one write. HOT: sendUp, sendDown, flushUp and flushDown run for every
 * chunk. What a kernel does not take stays as a view of the chunk, and its source is paused until it has gone. Session (session.ts) stands
 * on it; leaves out everything that is not bytes: states, deadlines, who the server is.
 */
import type { Conn } from "../net/conn.ts";
import type { RespPath } from "./resp_path.ts";
import { CLOSED, NEW, PUMPING } from "./session_state.ts";
import { nowMs } from "./timers.ts";

/** `S`: what the connections belong to. */
export abstract class Pump<S> {
  readonly client: Conn<S>;
  server: Conn<S> | null;
  state: number;
  /** Towards the server: what its kernel did not take yet; before the connection, what the client has already sent. */
  up: Buffer | null;
  /** Chunks that still came after the pause; nearly always null. */
  upMore: Buffer[] | null;
  down: Buffer | null;
  downMore: Buffer[] | null;
  /** The client's FIN has come, and has been passed on. The same for the server's. */
  upEnd: boolean;
  upShut: boolean;
  downEnd: boolean;
  downShut: boolean;
  bytesUp: number;
  bytesDown: number;
  clientActiveMs: number;
  serverActiveMs: number;
  /** Serves this client as RESP (resp_path.ts); null: bytes, or not known yet. */
  resp: RespPath | null;
  /** The server may be losing its role: nothing new goes there. */
  gated: boolean;

  constructor(client: Conn<S>, now: number) {
    this.client = client;
    this.server = null;
    this.state = NEW;
    this.up = null;
    this.upMore = null;
    this.down = null;
    this.downMore = null;
    this.upEnd = false;
    this.upShut = false;
    this.downEnd = false;
    this.downShut = false;
    this.bytesUp = 0;
    this.bytesDown = 0;
    this.clientActiveMs = now;
    this.serverActiveMs = now;
    this.resp = null;
    this.gated = false;
  }

  /** The session is over; `flags` are its termination flags. */
  abstract end(flags: string): void;

  /** Bytes for the server: written at once, or kept while the client is not read any more. */
  sendUp(chunk: Buffer): void {
    if (this.state === PUMPING && this.up === null && !this.gated) {
      const taken = this.server!.writeNow(chunk);
      if (taken === chunk.length) {
        this.serverActiveMs = this.clientActiveMs;
        return;
      }
      if (taken < 0) return; // its close comes next
      this.up = taken === 0 ? chunk : chunk.subarray(taken);
    } else if (this.up === null) this.up = chunk;
    else (this.upMore ??= []).push(chunk);
    this.client.pause();
  }
  /** Bytes that the server's kernel has not taken yet. */
  pendingUp(): number {
    let n = this.up?.length ?? 0;
    if (this.upMore !== null) for (const c of this.upMore) n += c.length;
    return n;
  }

  /** Bytes for the client. */
  sendDown(chunk: Buffer): void {
    if (this.state === CLOSED) return;
    if (this.down === null) {
      const taken = this.client.writeNow(chunk);
      if (taken === chunk.length) {
        this.clientActiveMs = this.serverActiveMs;
        return;
      }
      if (taken < 0) return;
      this.down = taken === 0 ? chunk : chunk.subarray(taken);
    } else (this.downMore ??= []).push(chunk);
    this.server?.pause();
  }

  /** Sends what waits for the server; the client is read again when all has gone. */
  flushUp(): void {
    const server = this.server;
    if (server === null || this.state !== PUMPING || (this.gated && this.resp === null)) return;
    while (this.up !== null) {
      const taken = server.writeNow(this.up);
      if (taken < 0) return;
      if (taken > 0) this.serverActiveMs = nowMs();
      if (taken < this.up.length) {
        if (taken > 0) this.up = this.up.subarray(taken);
        return;
      }
      this.up = this.upMore?.shift() ?? null;
    }
    this.upMore = null;
    if (this.upEnd) this.shutUp();
    else if (this.resp === null ? !this.gated : this.resp.wantsInput) this.client.resume();
  }
  flushDown(): void {
    while (this.down !== null) {
      const taken = this.client.writeNow(this.down);
      if (taken < 0) return;
      if (taken > 0) this.clientActiveMs = nowMs();
      if (taken < this.down.length) {
        if (taken > 0) this.down = this.down.subarray(taken);
        return;
      }
      this.down = this.downMore?.shift() ?? null;
    }
    this.downMore = null;
    if (this.downEnd) this.shutDown();
    else this.server?.resume();
  }

  /** The client's FIN goes on to the server. */
  protected shutUp(): void {
    if (this.upShut) return;
    this.upShut = true;
    if (this.downShut) return this.end("--");
    this.server?.shutdownWrite();
  }
  protected shutDown(): void {
    if (this.downShut) return;
    this.downShut = true;
    if (this.upShut) return this.end("--");
    this.client.shutdownWrite();
  }
}

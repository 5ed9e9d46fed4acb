/**
 * A connection whose server is not the master any more, and still owes replies. COLD: once a failover.
 *
 *   not read until the server says that it is a replica   what it sends then was executed while it was the master, or says that it was not
 *   read until it owes nothing, or `limitMs`              whoever owns the connection looks after each chunk, and calls finish
 *
 * A server that goes on as a master (an original Sentinel's planned failover, a partition), or cannot be asked, is not listened to: what it
 * acknowledges now is lost. Then, and when the time is over, replies that are missing are of unknown result.
 */
import type { Conn } from "../net/conn.ts";
import type { Backend, Server } from "./state.ts";

/** A replica that owes replies for so long owes them for ever (a script that does not end, CLIENT PAUSE). */
const LIMIT_MS = 2000;

export class Parting {
  private readonly done: () => void;
  private timer: ReturnType<typeof setTimeout> | null;
  private over: boolean;
  /** Not to be read yet. */
  isDeaf: boolean;

  /** `done` is called once, and not before the constructor has returned. */
  constructor(backend: Backend, server: Server, conn: Conn<any>, done: () => void) {
    this.done = done;
    this.timer = null;
    this.over = false;
    this.isDeaf = true;
    conn.pause();
    queueMicrotask(() => {
      if (this.over) return;
      if (backend.demoted === null) return this.finish();
      backend.demoted(server, (is) => {
        if (this.over) return;
        if (!is || !conn.isOpen) return this.finish();
        this.timer = setTimeout(() => this.finish(), Math.min(LIMIT_MS, backend.config.holdMs));
        this.isDeaf = false;
        conn.resume();
      });
    });
  }

  /** Nothing is awaited any more, or in vain. */
  finish(): void {
    if (this.over) return;
    this.cancel();
    this.done();
  }
  /** The connection has come to its end otherwise. */
  cancel(): void {
    this.over = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}

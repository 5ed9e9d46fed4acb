/**
 * The Lua scripts that clients have sent (EVAL, SCRIPT LOAD). Since Redis 7 a script's cache is no part of replication, so a new master knows
 * none of them, and every EVALSHA would be answered -NOSCRIPT. The next master is told them before anybody is let in. COLD.
 *
 * What the original says stays true: SCRIPT FLUSH forgets them here, too, and beyond the bounds the oldest are forgotten, whose EVALSHA then is
 * answered as by any server that has been started anew. Functions are replicated. Replicas that are read (redis-read) are not told.
 */
import type { Server } from "../state.ts";
import { aside } from "./aside.ts";
import type { Board } from "./board.ts";

const COUNT_MAX = 256;
const BYTES_MAX = 1024 * 1024;
/** A new master that has not taken them by then is used all the same. */
const TEACH_MS = 500;

export class Scripts {
  private readonly bodies: Set<string>;
  private bytes: number;

  constructor() {
    this.bodies = new Set();
    this.bytes = 0;
  }

  get isEmpty(): boolean {
    return this.bodies.size === 0;
  }
  note(body: string): void {
    if (this.bodies.has(body) || body.length > BYTES_MAX / 4) return;
    this.bodies.add(body);
    this.bytes += body.length;
    for (const oldest of this.bodies) {
      if (this.bodies.size <= COUNT_MAX && this.bytes <= BYTES_MAX) return;
      this.bodies.delete(oldest);
      this.bytes -= oldest.length;
    }
  }
  forget(): void {
    this.bodies.clear();
    this.bytes = 0;
  }
  /** `done` when `server` has them; gives what ends it before. */
  teach(board: Board, server: Server, done: () => void): () => void {
    return aside(
      board,
      server,
      [...this.bodies].map((body) => ["SCRIPT", "LOAD", body]),
      TEACH_MS,
      done,
    );
  }
}

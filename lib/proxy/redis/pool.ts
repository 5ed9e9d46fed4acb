/** Connections that serve the same clients: one protocol version, one user, one database. COLD. */
import type { ClientState } from "../core/client_state.ts";
import type { Board } from "./board.ts";
import type { RedisClient } from "./client.ts";
import { SharedUpstream } from "./shared.ts";

export class Pool {
  readonly key: string;
  /** What a new connection of it begins with. */
  readonly setup: string[][];
  readonly shared: SharedUpstream[];
  private readonly board: Board;
  clients: number;
  /** Since when nobody uses it; 0 while somebody does. */
  idleSinceMs: number;

  constructor(board: Board, state: ClientState, size: number) {
    this.board = board;
    this.key = state.key;
    this.setup = state.restore().map((r) => r.words);
    this.shared = Array.from({ length: size }, () => new SharedUpstream(board, this));
    this.clients = 0;
    this.idleSinceMs = 0;
  }

  /** `old` takes nothing new. */
  replace(old: SharedUpstream): void {
    const at = this.shared.indexOf(old);
    if (at >= 0) this.shared[at] = new SharedUpstream(this.board, this);
  }

  /** The connection of a client: always the same one, so that its requests keep their order. */
  of(client: RedisClient): SharedUpstream {
    return this.shared[client.id % this.shared.length]!;
  }
}

/** Connections that serve the same clients: one protocol version, one user, one database. COLD. */
import type { ClientState } from "../core/client_state.ts";
import type { Board } from "./board.ts";
import type { Server } from "../state.ts";
import type { RedisClient } from "./client.ts";
import { SharedUpstream } from "./shared.ts";

export class Pool {
  readonly key: string;
  /** What a new connection of it begins with. */
  readonly setup: string[][];
  readonly shared: SharedUpstream[];
  /** Connections to replicas (redis-read), and to the nodes of a cluster, by their server's name. */
  readonly readers: SharedUpstream[];
  readonly nodes: Map<string, SharedUpstream>;
  private readonly board: Board;
  clients: number;
  /** Since when nobody uses it; 0 while somebody does. */
  idleSinceMs: number;

  constructor(board: Board, state: ClientState, size: number) {
    this.board = board;
    this.key = state.key;
    this.setup = state.restore().map((r) => r.words);
    this.shared = Array.from({ length: size }, () => new SharedUpstream(board, this, { kind: "master" }));
    this.readers = [];
    this.nodes = new Map();
    this.clients = 0;
    this.idleSinceMs = 0;
  }

  /** `old` takes nothing new. */
  replace(old: SharedUpstream): void {
    const fresh = new SharedUpstream(this.board, this, old.role);
    if (old.role.kind === "node") this.nodes.set(old.role.server.name, fresh);
    else {
      const list = old.role.kind === "master" ? this.shared : this.readers;
      const at = list.indexOf(old);
      if (at >= 0) list[at] = fresh;
    }
  }

  get all(): SharedUpstream[] {
    return [...this.shared, ...this.readers, ...this.nodes.values()];
  }
  /** The connection on which a client reads from replicas. */
  readerOf(client: RedisClient, count: number): SharedUpstream {
    while (this.readers.length < count)
      this.readers.push(new SharedUpstream(this.board, this, { kind: "reader", place: this.readers.length }));
    return this.readers[client.id % count]!;
  }
  /** The connection to a node of a cluster. */
  node(server: Server): SharedUpstream {
    let up = this.nodes.get(server.name);
    if (up === undefined) this.nodes.set(server.name, (up = new SharedUpstream(this.board, this, { kind: "node", server })));
    return up;
  }
  /** The connection of a client: always the same one, so that its requests keep their order. */
  of(client: RedisClient): SharedUpstream {
    return this.shared[client.id % this.shared.length]!;
  }
}

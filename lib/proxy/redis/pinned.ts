/**
 * A connection of a client's own, for as long as it needs one: a transaction, a subscription, a blocking command, a monitor, a request or
 * reply too big to share. WARM. What goes over it is served by resp_path.ts, as in mode tcp: one mechanism for hold, replay and restoring.
 * When nothing of the client's lives in it any more the connection goes back to the board, which gives it to the next one.
 */
import type { Conn, ConnHandler } from "../../net/conn.ts";
import { Parting } from "../parting.ts";
import { RespPath, type RespHost } from "../resp_path.ts";
import type { Server } from "../state.ts";
import { nowMs } from "../timers.ts";
import type { Board } from "./board.ts";
import type { RedisClient } from "./client.ts";

/** Not taken by the client: its connection is not read meanwhile. */
const DOWN_MAX = 256 * 1024;
const REDIAL_MS = 50;

export class Pinned implements RespHost {
  readonly owner: RedisClient;
  readonly board: Board;
  private readonly slot: number;
  /** The next reply is that of a MULTI that the client has had answered. */
  dropsOk: boolean;
  readonly path: RespPath;
  readonly client: { pause(): void };
  server: Server | null;
  conn: Conn<Pinned> | null;
  private dialing: { cancel(): void } | null;
  private parting: Parting | null;
  private up: Buffer[];
  private upBytes: number;
  /** Never given back: it has a state that is not known in full. */
  isSticky: boolean;
  /** Since when it waits for a server; 0: it does not. */
  heldSinceMs: number;
  private verifying: boolean;
  /** The server has been sent the client's FIN. */
  private finSent: boolean;
  private gone: boolean;

  /** `slot`: of a cluster, whose node it is for; -1 for any. */
  constructor(owner: RedisClient, slot: number) {
    this.owner = owner;
    this.slot = slot;
    this.dropsOk = false;
    this.board = owner.board;
    this.path = new RespPath(this, owner.state);
    this.client = owner.conn;
    this.server = null;
    this.conn = null;
    this.dialing = null;
    this.parting = null;
    this.up = [];
    this.upBytes = 0;
    this.isSticky = false;
    this.heldSinceMs = 0;
    this.verifying = false;
    this.finSent = false;
    this.gone = false;
  }

  get replay(): "readonly" | "idempotent" | "none" {
    return this.board.replay;
  }
  classOf(command: string): number {
    return this.board.foreign.classOf(command);
  }
  get isOver(): boolean {
    return this.gone || this.owner.isOver;
  }
  get isClean(): boolean {
    return !this.isSticky && this.path.isClean;
  }
  /** It stands, and nothing is awaited. */
  get isReady(): boolean {
    return this.isConnected && this.path.isIdle;
  }
  /** A request that is no waiting for data has no reply yet. */
  get isBusy(): boolean {
    return !this.path.isIdle && !this.path.hasWaiting && !this.path.isBlocked;
  }
  get isConnected(): boolean {
    return this.conn !== null && this.dialing === null;
  }

  // ---- its server

  /** Goes to the master, or waits for one. */
  start(): void {
    const { cluster } = this.board;
    const server = cluster !== null ? cluster.serverOf(this.slot, this.owner) : this.board.isOpen ? this.board.target : null;
    if (this.gone || this.verifying || this.conn !== null) return;
    if (server === null) {
      if (this.heldSinceMs === 0) this.heldSinceMs = nowMs();
      return;
    }
    this.server = server;
    const ready = this.board.takePrivate(server, this.owner.state.key);
    if (ready !== null) {
      this.conn = ready as Conn<Pinned>;
      this.conn.data = this;
      this.conn.handler = events;
      this.heldSinceMs = 0;
      this.path.connected(true);
      return;
    }
    server.sessionsTotal++;
    const { conn, cancel } = this.board.dial<Pinned>(server, this, events, () => this.failed());
    this.conn = conn;
    this.dialing = { cancel };
  }
  private failed(): void {
    if (this.dialing === null) return;
    const server = this.server!;
    this.dialing = null;
    this.conn = null;
    this.server = null;
    if (this.heldSinceMs === 0) this.heldSinceMs = nowMs();
    this.board.connectFailed(server);
    setTimeout(() => this.start(), REDIAL_MS);
  }
  opened(conn: Conn<Pinned>): void {
    if (this.gone || conn !== this.conn) return conn.terminate();
    this.dialing = null;
    this.heldSinceMs = 0;
    this.server!.active++;
    this.path.connected();
    if (this.board.isOpen) {
      this.owner.unpinnedPause();
      this.owner.pinnedTurn();
    } else this.gate(true);
    if (this.owner.hasEnded) this.clientEnded();
  }
  /** Nothing new to a master that may be losing its role; what is under way goes on. */
  gate(shut: boolean): void {
    if (!this.isConnected || this.parting !== null) return;
    if (shut) this.heldSinceMs ||= nowMs();
    else this.heldSinceMs = 0;
    this.path.setOpen(!shut);
    if (shut || this.isOver) return;
    this.owner.unpinnedPause();
    if (this.owner.hasEnded) this.clientEnded();
  }
  /** Its server is not the master any more: to the next one, as soon as this one owes nothing. */
  part(server: Server): void {
    if (this.server !== server || this.gone || this.parting !== null) return;
    const { conn } = this;
    if (conn === null || !this.isConnected || !this.path.owes) return this.leave(server);
    this.path.setOpen(false);
    this.parting = new Parting(this.board.backend, server, conn, () => this.leave(server));
  }
  leave(server: Server): void {
    if (this.server !== server || this.gone) return;
    if (this.owner.hasEnded && this.path.waitsForData) return this.owner.end("--");
    if (this.isConnected && !this.path.detach(false, false)) return this.owner.end("D-");
    this.drop();
    this.heldSinceMs = nowMs();
    this.start();
  }
  private drop(): void {
    const { conn } = this;
    this.parting?.cancel();
    this.parting = null;
    if (conn !== null && this.dialing === null && this.server !== null) this.server.active--;
    this.dialing?.cancel();
    this.dialing = null;
    this.conn = null;
    this.server = null;
    this.up.length = 0;
    this.upBytes = 0;
    if (conn?.isOpen) conn.terminate();
  }

  /** RespHost: the server is gone, or has refused as only a replica does. */
  lost(why: "gone" | "suspect", nothingDone: boolean, first: boolean): void {
    const { server } = this;
    if (this.owner.hasEnded && this.path.waitsForData) return this.owner.end("--");
    if (server === null || !this.path.detach(nothingDone, first)) return this.owner.end("SD");
    this.drop();
    this.heldSinceMs = nowMs();
    this.verifying = true;
    this.board.verify(server, (same) => {
      this.verifying = false;
      if (this.gone) return;
      // A server that lives, is the same and still the master has closed it on purpose: so do we.
      if (why === "gone" && same) this.owner.end("--");
      else this.start();
    });
  }
  closed(conn: Conn<Pinned>): void {
    if (conn !== this.conn || this.dialing !== null) return;
    if (this.path.opaque || this.path.state.quitting) return this.owner.end("SD");
    this.lost("gone", false, false);
  }
  /**
   * The client has sent its FIN, and so do we, behind all that it has sent: a server gives up whoever blocks when it reads that, and what it
   * can answer it answers. While there is no server a blocking request is given up here: sent later, it would take an element for nobody.
   */
  clientEnded(): void {
    const { conn } = this;
    if (this.isOver || this.finSent || this.path.isIdle || this.path.opaque) return;
    if (conn === null || !this.isConnected || this.parting !== null) {
      if ((this.heldSinceMs !== 0 || this.parting !== null) && this.path.waitsForData) this.owner.end("--");
      return;
    }
    if (this.up.length > 0 || this.path.hasWaiting) return;
    this.finSent = true;
    this.isSticky = true;
    conn.shutdownWrite();
  }
  /** Waited for too long: what waits is answered, the client stays. */
  heldTooLong(now: number): void {
    if (!this.path.hasWaiting) return;
    if (!this.path.failWaiting()) return this.owner.end("sD");
    this.heldSinceMs = now;
    this.owner.unpinnedPause();
  }

  /** The client does without it: given back when it is as good as new. */
  release(): void {
    if (this.gone) return;
    const clean = this.isClean && this.isConnected && this.up.length === 0;
    this.gone = true;
    const { conn, server } = this;
    if (clean && conn !== null && server !== null && conn.isOpen && !conn.paused) {
      this.conn = null;
      this.board.givePrivate(server, this.owner.state.key, conn);
    } else this.drop();
  }

  // ---- bytes

  sendUp(bytes: Buffer): void {
    const { conn } = this;
    if (conn === null || this.up.length > 0) {
      this.keep(bytes);
      return;
    }
    const taken = conn.writeNow(bytes);
    if (taken === bytes.length || taken < 0) return;
    this.keep(taken === 0 ? bytes : bytes.subarray(taken));
  }
  private keep(bytes: Buffer): void {
    this.up.push(bytes);
    this.upBytes += bytes.length;
    this.owner.choke(true);
  }
  pendingUp(): number {
    return this.upBytes;
  }
  drained(): void {
    const conn = this.conn;
    if (conn === null || this.parting !== null) return;
    while (this.up.length > 0) {
      const b = this.up[0]!;
      const taken = conn.writeNow(b);
      if (taken < 0) return;
      this.upBytes -= taken;
      if (taken < b.length) {
        if (taken > 0) this.up[0] = b.subarray(taken);
        return;
      }
      this.up.shift();
    }
    this.owner.choke(false);
    if (this.owner.hasEnded) this.clientEnded();
  }
  fromServer(chunk: Buffer): void {
    this.path.fromServer(chunk);
    if (this.parting !== null && !this.path.owes) this.parting.finish();
    this.board.flushClients();
    if (!this.isOver) this.owner.pinnedTurn();
  }
  sendDown(bytes: Buffer): void {
    let from = 0;
    if (this.dropsOk) {
      this.dropsOk = false;
      if (bytes[0] === 43) from = 5;
    }
    this.owner.reply(bytes, from, bytes.length);
    if (this.owner.pendingBytes > DOWN_MAX) this.conn?.pause();
  }
  /** The client has taken what waited for it. */
  relieved(): void {
    if (!this.parting?.isDeaf) this.conn?.resume();
  }
  end(flags: string): void {
    this.owner.end(flags);
  }
}

const events: ConnHandler<Pinned> = {
  open: (conn) => conn.data.opened(conn),
  data(conn, chunk) {
    if (conn.data.conn === conn) conn.data.fromServer(chunk);
  },
  drained: (conn) => conn.data.drained(),
  end: (conn) => conn.data.closed(conn),
  close: (conn) => conn.data.closed(conn),
};

/**
 * One connection to a server that many clients share. HOT: append() and data() run for every request and reply.
 *
 *   clients --append()--> slab --flush() once a turn, one write--> server
 *   server --data()--> reply boundaries (core/reply_scan.ts) --> the client whose turn it is, views of the chunk, one write a client and event
 *
 * It outlives its server: when that is lost, what is under way is sorted (never sent or without effect: kept and sent again on the next
 * master, in the same order; may have been executed: -UNKNOWNRESULT to its client) and connect() begins anew. Replies up to 64 KiB are given
 * whole, bigger ones stream. A client that does not take its replies is not asked for more; beyond a bound the connection waits for it, and
 * when that does not help, ends it.
 */
import type { Conn, ConnHandler } from "../../net/conn.ts";
import { BROKEN, ReplyScanner } from "../core/reply_scan.ts";
import * as is from "../core/request_class.ts";
import { argumentsOf, encodeRequest } from "../core/request_scan.ts";
import { SETUP, SharedFlight } from "../core/shared_flight.ts";
import { Parting } from "../parting.ts";
import type { Server } from "../state.ts";
import { nowMs } from "../timers.ts";
import type { Board } from "./board.ts";
import type { Pool } from "./pool.ts";

/** Held back until complete; beyond, a reply streams. */
const WHOLE_MAX = 64 * 1024;
/** Kept of what is under way, to be sent again. */
const KEEP_MAX = 16 * 1024 * 1024;
const SLAB_BYTES = 64 * 1024;
/** Longer requests are not copied into the slab. */
const COPY_MAX = 8 * 1024;
/** Not taken by the server's kernel yet: beyond it, clients that send more are not read. */
const UNSENT_MAX = 1024 * 1024;
/** A client that has not taken so many bytes of replies: its connection is not read, the others move away. */
const SLOW_MAX = 4 * 1024 * 1024;
const SLOW_MS = 1000;
/** Whoever gets longer replies has a connection of its own for what follows. */
const HEAVY_BYTES = 1024 * 1024;
const REDIAL_MS = 50;
/** No reply for so long, though the server answers others. */
const STALL_MS = 250;

export const UNKNOWN = Buffer.from("-UNKNOWNRESULT may or may not have been executed (failover)\r\n");
export const UNAVAILABLE = Buffer.from("-UNAVAILABLE no master is confirmed, the command was not executed\r\n");

/** Whose a request is: a client, or what joins the answers of several nodes. */
export interface Owner {
  /** Number of the request whose reply is due. */
  due: number;
  isOver: boolean;
  isHeavy: boolean;
  readonly pendingBytes: number;
  readonly label: string;
  reply(b: Buffer, from: number, to: number): void;
  settle(): void;
  answer(number: number, bytes: Buffer): void;
  choke(shut: boolean): void;
  refuse(line: Buffer): void;
  end(flags: string): void;
}

/** What becomes of an error reply. */
const FORWARD = 0;
const STOP = 1;
const TAKEN = 2;

/** Who knows a cluster's nodes (cluster.ts). */
export interface Redirector {
  redirected(from: SharedUpstream, request: Kept, error: string): void;
}

/** A request that waits for the next server. */
export interface Kept {
  owner: Owner;
  number: number;
  kind: number;
  row: number;
  atMs: number;
  bytes: Buffer[];
}

export type Role = { kind: "master" } | { kind: "reader"; place: number } | { kind: "node"; server: Server };

export const IDLE = 0;
export const DIALING = 1;
export const UP = 2;
/** Its server is lost: waits for the next one. */
export const LOST = 3;
export const CLOSED = 4;
/** Its server is not the master any more: takes nothing new, waits for what is owed (parting.ts). */
export const PARTING = 5;

export class SharedUpstream {
  readonly board: Board;
  readonly pool: Pool;
  /** Where it leads: the master, a replica that may be read, a node of a cluster. */
  readonly role: Role;
  state: number;
  server: Server | null;
  private conn: Conn<SharedUpstream> | null;
  private dialing: { cancel(): void } | null;
  private parting: Parting | null;
  private readonly flight: SharedFlight<Owner>;
  private readonly replies: ReplyScanner;
  /** Requests gather in slab[from, end); whole slabs and long requests wait in `unsent`. */
  private slab: Buffer;
  private slabFrom: number;
  private slabEnd: number;
  private unsent: Buffer[];
  private unsentBytes: number;
  private appendedAt: number;
  isDirty: boolean;
  /** Clients not read because the server's kernel takes no more. */
  private stalled: Set<Owner>;
  private tail: Buffer[];
  private tailBytes: number;
  private streaming: boolean;
  /** Bytes of the present reply so far, when it streams. */
  private streamed: number;
  private slowTimer: ReturnType<typeof setTimeout> | null;
  kept: Kept[];
  /** Since when it has had no server; 0 while it has one. */
  lostSinceMs: number;
  private suspects: number;
  isRetired: boolean;
  /** What is in front waits (a script, CLIENT PAUSE) while the server answers others: whoever can, takes a connection of its own. */
  isStalled: boolean;
  private heardMs: number;
  /** It has answered something on its present connection: pool's user and database are good. */
  wasServed: boolean;

  constructor(board: Board, pool: Pool, role: Role) {
    this.board = board;
    this.pool = pool;
    this.role = role;
    this.state = IDLE;
    this.server = null;
    this.conn = null;
    this.dialing = null;
    this.parting = null;
    this.flight = new SharedFlight<Owner>(KEEP_MAX);
    this.replies = new ReplyScanner();
    this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.slabFrom = 0;
    this.slabEnd = 0;
    this.unsent = [];
    this.unsentBytes = 0;
    this.appendedAt = 0;
    this.isDirty = false;
    this.stalled = new Set();
    this.tail = [];
    this.tailBytes = 0;
    this.streaming = false;
    this.streamed = 0;
    this.slowTimer = null;
    this.kept = [];
    this.lostSinceMs = 0;
    this.suspects = 0;
    this.wasServed = false;
    this.isRetired = false;
    this.isStalled = false;
    this.heardMs = 0;
  }

  /** Requests without their reply. */
  get awaiting(): number {
    return this.flight.awaiting + this.kept.length;
  }
  /** It has a server, or is about to have one: append() may be called. */
  get isUsable(): boolean {
    return this.state === UP || this.state === DIALING;
  }

  // ---- requests

  /** One request, buf[from, to), of `owner`, whose `number`th it is. */
  append(owner: Owner, number: number, kind: number, row: number, buf: Buffer, from: number, to: number, atMs: number): void {
    this.flight.push(owner, number, kind, row, to - from, atMs);
    this.put(buf, from, to);
    if (this.unsentBytes > UNSENT_MAX) {
      this.stalled.add(owner);
      owner.choke(true);
    }
    if (!this.isDirty) this.board.soon(this);
  }

  /** A request that has been elsewhere. */
  appendKept(k: Kept): void {
    const bytes = k.bytes.length === 1 ? k.bytes[0]! : Buffer.concat(k.bytes);
    this.append(k.owner, k.number, k.kind, k.row, bytes, 0, bytes.length, k.atMs);
  }
  /** A request of ours whose reply nobody waits for. */
  appendOurs(bytes: Buffer): void {
    this.flight.push(null, 0, SETUP, 0, bytes.length, nowMs());
    this.put(bytes, 0, bytes.length);
  }
  private put(buf: Buffer, from: number, to: number): void {
    const k = to - from;
    if (k > COPY_MAX) {
      this.seal();
      const view = buf.subarray(from, to);
      this.flight.requests.keep(view, this.appendedAt);
      this.unsent.push(view);
      this.unsentBytes += k;
      this.appendedAt += k;
      return;
    }
    if (this.slabEnd + k > SLAB_BYTES) {
      this.seal();
      this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.slabFrom = 0;
      this.slabEnd = 0;
    }
    const slab = this.slab;
    let n = this.slabEnd;
    if (k <= 48) for (let i = from; i < to; i++) slab[n++] = buf[i];
    else {
      slab.set(k === buf.length ? buf : buf.subarray(from, to), n);
      n += k;
    }
    this.slabEnd = n;
    this.appendedAt += k;
  }

  /** What is in the slab becomes a view that is sent, and kept for a replay. */
  private seal(): void {
    const k = this.slabEnd - this.slabFrom;
    if (k === 0) return;
    const view = this.slab.subarray(this.slabFrom, this.slabEnd);
    this.slabFrom = this.slabEnd;
    this.flight.requests.keep(view, this.appendedAt - k);
    this.unsent.push(view);
    this.unsentBytes += k;
  }

  /** Once a turn: all that was appended in one write. */
  flush(): void {
    this.isDirty = false;
    this.seal();
    if (this.state === UP) this.send();
  }
  private send(): void {
    const conn = this.conn!;
    while (this.unsent.length > 0) {
      const b = this.unsent[0]!;
      const taken = conn.writeNow(b);
      if (taken < 0) return; // its close comes next
      this.unsentBytes -= taken;
      if (taken < b.length) {
        if (taken > 0) this.unsent[0] = b.subarray(taken);
        return;
      }
      if (this.unsent.length === 1) this.unsent.length = 0;
      else this.unsent.shift();
    }
    if (this.stalled.size > 0) {
      const all = [...this.stalled];
      this.stalled.clear();
      for (const c of all) c.choke(false);
    }
  }

  /** Every now and then: does it stand still? */
  look(now: number): void {
    const { flight, server } = this;
    const since = this.state === UP && flight.awaiting > 0 ? Math.max(this.heardMs, flight.timeAt(flight.cursor)) : now;
    this.isStalled = server !== null && now - since > STALL_MS && server.heardMs > since + STALL_MS;
  }

  // ---- replies

  data(chunk: Buffer): void {
    const { replies, flight, board } = this;
    const now = nowMs();
    this.heardMs = now;
    let at = 0;
    let from = 0;
    let run: Owner | null = null;
    for (;;) {
      const end = replies.next(chunk, at);
      if (end < 0) {
        if (end === BROKEN) {
          this.give(run, chunk, from, at);
          board.say(1, `server ${this.server?.path ?? "?"} answered what is no RESP: its connection is given up`);
          return this.lost("suspect", false, false);
        }
        break;
      }
      const cursor = flight.cursor;
      if (cursor === flight.tail || replies.type === 62) {
        // Nobody asked for it: a push, or a server that is not in step. Not for anyone.
        this.give(run, chunk, from, at);
        this.dropTail();
        at = end;
        from = end;
        continue;
      }
      const owner = flight.ownerAt(cursor);
      if (replies.type === 45) {
        const verdict = this.refused(chunk, at, end, run, from);
        if (verdict === STOP) return;
        if (verdict === TAKEN) {
          at = end;
          from = end;
          run = null;
          continue;
        }
      }
      if (owner !== run || (owner !== null && flight.numberAt(cursor) !== owner.due)) {
        this.give(run, chunk, from, at);
        from = at;
        run = owner;
      }
      if (owner !== null) {
        const bytes = end - at + this.tailBytes + this.streamed;
        if (board.meter.answered(flight.rowAt(cursor), now - flight.timeAt(cursor), bytes, replies.type)) this.remember(owner, now, bytes);
        if (flight.numberAt(cursor) === owner.due) owner.due++;
        else {
          owner.answer(flight.numberAt(cursor), Buffer.from(this.whole(chunk, at, end)));
          from = end;
          run = null;
        }
      } else {
        this.dropTail();
        from = end;
        run = null;
      }
      if (this.streaming) this.endStream(owner);
      flight.answered();
      at = end;
    }
    this.give(run, chunk, from, at);
    if (at > 0) {
      this.suspects = 0;
      this.wasServed = true;
    }
    if (at < chunk.length) this.holdReply(at === 0 ? chunk : chunk.subarray(at));
    board.flushClients();
    if (this.parting !== null && !this.owes) this.parting.finish();
    if (this.isRetired && flight.awaiting === 0) this.close();
  }

  /** Slow or big: kept for those who ask. */
  private remember(owner: Owner, now: number, bytes: number): void {
    const { flight } = this;
    const r = flight.requests;
    const pieces = r.bytes(r.headAt, r.headAt + r.lengthAt(r.cursor));
    const request = pieces === null ? "" : argumentsOf(Buffer.concat(pieces)).join(" ").slice(0, 128);
    this.board.meter.notable(flight.rowAt(r.cursor), now - flight.timeAt(r.cursor), bytes, owner.label, request, Date.now());
  }
  /** A whole reply of which some may have been held back. */
  private whole(chunk: Buffer, at: number, end: number): Buffer {
    const here = chunk.subarray(at, end);
    if (at > 0 || this.tail.length === 0) return here;
    const all = Buffer.concat([...this.tail, here]);
    this.dropTail();
    return all;
  }
  private dropTail(): void {
    if (this.tailBytes === 0) return;
    this.tail.length = 0;
    this.tailBytes = 0;
  }

  /** chunk[from, to) are replies of one client, in its order; what was held back belongs in front of a reply that begins the chunk. */
  private give(owner: Owner | null, chunk: Buffer, from: number, to: number): void {
    if (this.tailBytes > 0 && to > 0) {
      if (owner !== null) for (const piece of this.tail) owner.reply(piece, 0, piece.length);
      this.dropTail();
    }
    if (owner !== null && to > from) {
      owner.reply(chunk, from, to);
      owner.settle();
    }
    if (owner !== null && owner.pendingBytes > SLOW_MAX) this.waitFor(owner);
  }

  private holdReply(rest: Buffer): void {
    const { flight } = this;
    const owner = flight.cursor < flight.tail ? flight.ownerAt(flight.cursor) : null;
    if (!this.streaming) {
      this.tail.push(rest);
      this.tailBytes += rest.length;
      // A reply that is not next in its client's order must be whole before it can be put aside.
      if (this.tailBytes <= WHOLE_MAX || (owner !== null && flight.numberAt(flight.cursor) !== owner.due)) return;
      this.streaming = true;
      this.streamed = this.tailBytes;
      if (owner !== null) for (const piece of this.tail) owner.reply(piece, 0, piece.length);
      this.dropTail();
    } else {
      this.streamed += rest.length;
      owner?.reply(rest, 0, rest.length);
    }
    if (owner !== null && owner.pendingBytes > SLOW_MAX) this.waitFor(owner);
  }
  private endStream(owner: Owner | null): void {
    if (owner !== null && this.streamed > HEAVY_BYTES) owner.isHeavy = true;
    this.streaming = false;
    this.streamed = 0;
  }

  /**
   * `owner` does not take its replies: this connection is not read until it does, and takes nothing new. Others get another one once they have
   * what they wait for here; the slow one may keep them waiting for SLOW_MS without taking anything, then it is ended.
   */
  private waitFor(owner: Owner): void {
    if (this.slowTimer !== null || this.conn === null) return;
    const conn = this.conn;
    conn.pause();
    owner.isHeavy = true;
    this.retire();
    let was = owner.pendingBytes;
    const look = (): void => {
      this.slowTimer = null;
      const now = owner.pendingBytes;
      if (!owner.isOver && now > SLOW_MAX / 2) {
        if (now < was || !this.hasOthers(owner)) {
          was = now;
          this.slowTimer = setTimeout(look, SLOW_MS);
          return;
        }
        this.board.say(4, `client ${owner.label} keeps others waiting and does not take its replies (${now} bytes): closed`);
        owner.end("CD");
      }
      if (this.conn === conn && !this.parting?.isDeaf) conn.resume();
    };
    this.slowTimer = setTimeout(look, SLOW_MS);
  }
  private hasOthers(owner: Owner): boolean {
    const { flight } = this;
    for (let i = flight.cursor; i < flight.tail; i++) {
      const o = flight.ownerAt(i);
      if (o !== null && o !== owner) return true;
    }
    return false;
  }
  /** Takes no new requests: the pool has another one in its place. Closed when all is answered. */
  private retire(): void {
    if (this.isRetired) return;
    this.isRetired = true;
    this.pool.replace(this);
    this.board.retired.add(this);
  }
  /** A slow client has taken something. */
  relieved(owner: Owner): void {
    if (this.slowTimer === null || owner.pendingBytes > SLOW_MAX / 2) return;
    clearTimeout(this.slowTimer);
    this.slowTimer = null;
    if (!this.parting?.isDeaf) this.conn?.resume();
  }

  /**
   * An error at the cursor. Those that prove that nothing was executed, because the server is no master (any more, or yet), send all that is
   * under way to the next one. A refused AUTH of ours goes to everybody who waits here. A cluster's redirection is followed.
   */
  private refused(chunk: Buffer, at: number, end: number, run: Owner | null, from: number): number {
    const { flight } = this;
    const text = (
      at > 0 || this.tail.length === 0 ? chunk.subarray(at, end) : Buffer.concat([...this.tail, chunk.subarray(0, end)])
    ).toString("latin1", 0, 200);
    if ((flight.requests.kindAt(flight.cursor) & 31) === SETUP) {
      if (!/^-(WRONGPASS|NOAUTH|NOPERM|ERR AUTH|ERR invalid password)/.test(text)) return FORWARD;
      this.give(run, chunk, from, at);
      this.refuseAll(Buffer.from(text, "latin1"));
      return STOP;
    }
    const { cluster } = this.board;
    if (cluster !== null && /^-(MOVED|ASK|CLUSTERDOWN|TRYAGAIN) /.test(text)) {
      this.give(run, chunk, from, at);
      this.dropTail();
      return this.redirect(cluster, text) ? TAKEN : FORWARD;
    }
    const replica = text.startsWith("-READONLY ") || text.startsWith("-MASTERDOWN ");
    if (!replica && !text.startsWith("-LOADING ")) return FORWARD;
    if (this.suspects >= 3) return FORWARD;
    this.suspects++;
    this.give(run, chunk, from, at);
    this.lost("suspect", replica, true);
    return STOP;
  }
  /** The request at the cursor belongs to another node: it goes there. */
  private redirect(cluster: Redirector, text: string): boolean {
    const { flight } = this;
    const i = flight.cursor;
    const owner = flight.ownerAt(i);
    const start = flight.requests.headAt;
    const bytes = flight.requests.bytes(start, start + flight.requests.lengthAt(i));
    if (owner === null || bytes === null) return false;
    const kept = {
      owner,
      number: flight.numberAt(i),
      kind: flight.requests.kindAt(i),
      row: flight.rowAt(i),
      atMs: flight.timeAt(i),
      bytes,
    };
    flight.answered();
    cluster.redirected(this, kept, text);
    return true;
  }
  /** The pool's credentials are not good (any more): everybody who waits is told, and leaves. */
  private refuseAll(line: Buffer): void {
    const { flight } = this;
    const owners = new Set<Owner>();
    for (let i = flight.cursor; i < flight.tail; i++) {
      const o = flight.ownerAt(i);
      if (o !== null) owners.add(o);
    }
    this.board.say(1, `server ${this.server?.path ?? "?"} refuses the proxy: ${line.toString("latin1").trim().slice(1)}`);
    this.close();
    for (const o of owners) o.refuse(line);
  }

  // ---- its server

  /** Begins with `server`: first what makes the connection the pool's, then what was kept. */
  connect(server: Server): void {
    if (this.state !== IDLE && this.state !== LOST) return;
    this.server = server;
    this.state = DIALING;
    server.sessionsTotal++;
    const now = nowMs();
    for (const words of this.pool.setup) {
      const bytes = encodeRequest(words);
      this.flight.push(null, 0, SETUP, 0, bytes.length, now);
      this.put(bytes, 0, bytes.length);
    }
    const kept = this.kept;
    this.kept = [];
    for (const k of kept) {
      if (k.owner.isOver) continue;
      const bytes = k.bytes.length === 1 ? k.bytes[0]! : Buffer.concat(k.bytes);
      this.flight.push(k.owner, k.number, k.kind, k.row, bytes.length, k.atMs);
      this.put(bytes, 0, bytes.length);
      this.board.meter.replayed++;
    }
    const { conn, cancel } = this.board.dial<SharedUpstream>(server, this, events, () => this.failed());
    this.conn = conn;
    this.dialing = { cancel };
  }
  private failed(): void {
    if (this.state !== DIALING) return;
    const { server } = this;
    this.dialing = null;
    this.conn = null;
    this.sort(true, false);
    this.board.connectFailed(server!);
    setTimeout(() => this.board.resumeUpstream(this), REDIAL_MS);
  }
  opened(): void {
    if (this.state !== DIALING) return;
    this.dialing = null;
    this.state = UP;
    this.lostSinceMs = 0;
    this.server!.active++;
    this.seal();
    this.send();
    this.board.connected();
  }

  closed(): void {
    if (this.state === UP || this.state === PARTING) this.lost("gone", false, false);
  }
  /** Its server has a whole request without a reply. */
  private get owes(): boolean {
    const { requests } = this.flight;
    return requests.awaiting > 0 && requests.headAt + requests.lengthAt(requests.cursor) <= this.appendedAt - this.unsentBytes;
  }
  /** Its server is not the master any more: leaves it, as soon as it owes nothing. */
  part(): void {
    const { conn, server } = this;
    if (this.state === PARTING) return;
    this.seal();
    if (this.state !== UP || conn === null || server === null || !this.owes) return this.leave(false, false);
    this.state = PARTING;
    this.parting = new Parting(this.board.backend, server, conn, () => {
      this.leave(false, false);
      this.board.parted(this);
    });
  }
  /** The server is gone, or has shown that it is no master. */
  lost(why: "gone" | "suspect", nothingDone: boolean, first: boolean): void {
    const { server } = this;
    if (server === null) return;
    this.leave(nothingDone, first);
    this.board.lostUpstream(this, server, why);
  }

  /** Leaves its server, if it is this one (any, when null). Unanswered requests are sorted as `lost` has it. */
  leave(nothingDone: boolean, first: boolean): void {
    if (this.state !== UP && this.state !== DIALING && this.state !== PARTING) return;
    const conn = this.conn;
    const wasUp = this.state !== DIALING;
    this.conn = null;
    this.parting?.cancel();
    this.parting = null;
    this.dialing?.cancel();
    this.dialing = null;
    if (wasUp && this.server !== null) this.server.active--;
    this.sort(!wasUp || nothingDone, first);
    if (conn?.isOpen) conn.terminate();
    if (this.slowTimer !== null) clearTimeout(this.slowTimer);
    this.slowTimer = null;
    this.board.flushClients();
  }

  /** Sorts what is under way into kept and answered. `nothingDone`: the server has executed none of it; `first`: not the one at the cursor. */
  private sort(nothingDone: boolean, first: boolean): void {
    const { flight, board } = this;
    this.seal();
    const requests = flight.requests;
    const loss = { written: this.appendedAt - this.unsentBytes, nothingDone, first, replay: board.replay };
    const kept: Kept[] = [];
    let at = requests.headAt;
    for (let i = flight.cursor; i < flight.tail; i++) {
      const kind = requests.kindAt(i);
      const start = at;
      at += requests.lengthAt(i);
      const owner = flight.ownerAt(i);
      if (owner === null || owner.isOver) continue;
      if (i === flight.cursor && this.streaming) {
        owner.end("SD"); // half a reply cannot be mended
        continue;
      }
      const number = flight.numberAt(i);
      const again = requests.isUntouched(i, at, loss) || is.mayRepeat(kind, loss.replay);
      const bytes = again ? requests.bytes(start, at) : null;
      if (bytes !== null) kept.push({ owner, number, kind, row: flight.rowAt(i), atMs: flight.timeAt(i), bytes });
      else {
        board.meter.unknown++;
        owner.answer(number, UNKNOWN);
      }
    }
    this.kept = kept.concat(this.kept);
    this.state = LOST;
    this.wasServed = false;
    this.server = null;
    if (this.lostSinceMs === 0) this.lostSinceMs = nowMs();
    flight.clear();
    this.slabFrom = this.slabEnd;
    this.unsent.length = 0;
    this.unsentBytes = 0;
    this.appendedAt = 0;
    this.replies.reset();
    this.dropTail();
    this.streaming = false;
    this.streamed = 0;
    const all = [...this.stalled];
    this.stalled.clear();
    for (const c of all) c.choke(false);
  }

  /** The wait was too long: what was kept is answered. */
  failKept(): void {
    const kept = this.kept;
    this.kept = [];
    for (const k of kept) {
      this.board.meter.unavailable++;
      k.owner.answer(k.number, UNAVAILABLE);
    }
    if (this.lostSinceMs !== 0) this.lostSinceMs = nowMs();
    this.board.flushClients();
  }

  /** Nobody uses the pool any more, or the proxy ends. */
  close(): void {
    this.leave(true, false);
    this.kept = [];
    this.state = CLOSED;
    this.board.retired.delete(this);
  }
}

const events: ConnHandler<SharedUpstream> = {
  open: (conn) => conn.data.opened(),
  data(conn, chunk) {
    conn.data.data(chunk);
  },
  drained: (conn) => conn.data.flush(),
  end: (conn) => conn.data.closed(),
  close: (conn) => conn.data.closed(),
};

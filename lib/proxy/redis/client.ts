/**
 * A client of mode redis. HOT: fromClient(), process() and reply() run for every chunk; the rest for what is not an everyday request.
 *
 *   bytes -> requests (resp/request.ts) -> plan (core/redis_plan.ts) --shared--> pool's connection, numbered     reply() in number order
 *                                                                   --pinned--> a connection of its own (pinned.ts)
 *                                                                   --local---> answered here (local.ts), in its turn
 *
 * What must not overtake waits (`stop`): a change of connection or of state waits until all replies are there, everything waits while no
 * master is confirmed. What waits are the client's own bytes, unread beyond 64 KiB: nothing of it has been sent.
 */
import type { Conn, ConnHandler } from "../../net/conn.ts";
import type { Row } from "../../commands/table/row.ts";
import { READY, BROKEN, type Request } from "../../resp/request.ts";
import { ClientState } from "../core/client_state.ts";
import * as plan from "../core/redis_plan.ts";
import { OPAQUE } from "../core/request_class.ts";
import { BROKEN as SCAN_BROKEN, encodeRequest, RequestScanner } from "../core/request_scan.ts";
import type { Engine } from "../engine.ts";
import type { Frontend } from "../state.ts";
import { nowMs, type Timed } from "../timers.ts";
import type { Board } from "./board.ts";
import { local } from "./local.ts";
import { Pinned } from "./pinned.ts";
import type { Pool } from "./pool.ts";
import { SAMPLE } from "./watch_keys.ts";
import { word, words } from "./words.ts";
import { UNAVAILABLE, type Owner, type SharedUpstream } from "./shared.ts";

/** An unfinished or waiting request beyond this is not read on; unfinished ones get a connection of their own. */
const WHOLE_MAX = 64 * 1024;
/** Replies that are given without copying them. */
const DIRECT_MIN = 8 * 1024;
/** A client that has not taken so much of its replies is not asked for more requests. */
const SLOW_BYTES = 256 * 1024;

const OK = Buffer.from("+OK\r\n");
const EMPTY = Buffer.from("*0\r\n");
const MULTI = encodeRequest(["MULTI"]);
const RESET = Buffer.from("+RESET\r\n");
const FORGERY = Buffer.from("-NOPERM the Sentinels' channel may not be published to through the proxy\r\n");
const WAIT_MARK = encodeRequest(["PUBLISH", "__redisha__:wait", ""]);
const HELLO_CHANNEL = "__sentinel__:hello";

/** Why its requests stand still. */
export const GOING = 0;
/** Until all its replies are there. */
export const DRAIN = 1;
/** Until a master is confirmed. */
export const HOLD = 2;
/** Until a server has answered a question of ours. */
export const ASKING = 3;

export class RedisClient implements Timed, Owner {
  readonly engine: Engine;
  readonly front: Frontend;
  readonly board: Board;
  readonly conn: Conn<RedisClient>;
  readonly id: number;
  state: ClientState;
  pool: Pool;
  up: SharedUpstream;
  pin: Pinned | null;
  /** Number of its next request, and of the one whose reply is due. */
  next: number;
  due: number;
  private aside: Map<number, Buffer> | null;
  /** Bytes not yet processed. */
  private rest: Buffer | null;
  stop: number;
  private choked: boolean;
  /** A big request on its way over the pinned connection. */
  private big: RequestScanner | null;
  /** Of a cluster: MULTI was answered, and goes to the node of the next request's keys. */
  private lateMulti: boolean;
  isHeavy: boolean;
  isDirty: boolean;
  isOver: boolean;
  /** Its FIN has come. */
  private ended: boolean;
  private quitting: boolean;
  private isSlow: boolean;
  heldSinceMs: number;
  /** User of the proxy's own (redis-user); null: none needed, or not logged in. */
  user: string | null;
  name: string;
  libName: string;
  libVersion: string;
  last: Row | null;
  readonly createdMs: number;
  activeMs: number;
  bytesUp: number;
  bytesDown: number;
  /** Of those: what the counters have already. */
  private countedUp: number;
  private countedDown: number;
  deadlineMs: number;
  heapAt: number;

  constructor(engine: Engine, front: Frontend, board: Board, conn: Conn<RedisClient>) {
    const now = nowMs();
    this.engine = engine;
    this.front = front;
    this.board = board;
    this.conn = conn;
    this.id = conn.id;
    this.state = board.newState();
    this.pool = board.join(this.state);
    this.up = this.pool.of(this);
    this.pin = null;
    this.next = 0;
    this.due = 0;
    this.aside = null;
    this.rest = null;
    this.stop = GOING;
    this.choked = false;
    this.big = null;
    this.lateMulti = false;
    this.isHeavy = false;
    this.isDirty = false;
    this.isOver = false;
    this.ended = false;
    this.quitting = false;
    this.isSlow = false;
    this.heldSinceMs = 0;
    this.user = null;
    this.name = "";
    this.libName = "";
    this.libVersion = "";
    this.last = null;
    this.createdMs = now;
    this.activeMs = now;
    this.bytesUp = 0;
    this.bytesDown = 0;
    this.countedUp = 0;
    this.countedDown = 0;
    this.deadlineMs = 0;
    this.heapAt = -1;
  }

  /** Its everyday requests go over the connection that it shares with others. */
  private get shares(): boolean {
    return !this.isHeavy && !this.up.isStalled;
  }
  get label(): string {
    return this.conn.remoteText;
  }
  /** Requests without their reply. */
  get outstanding(): number {
    return this.next - this.due;
  }
  /** It has been told that its connection ends. */
  get isLeaving(): boolean {
    return this.quitting;
  }
  get pendingBytes(): number {
    return this.conn.out.pendingBytes();
  }

  /** Bytes of its requests that wait. */
  get waitingBytes(): number {
    return this.rest?.length ?? 0;
  }

  // ---- requests

  fromClient(chunk: Buffer): void {
    this.bytesUp += chunk.length;
    this.activeMs = nowMs();
    if (this.quitting) return;
    if (this.pin !== null && this.pin.path.opaque) return this.pin.path.fromClient(chunk);
    const { rest } = this;
    if (rest !== null) {
      chunk = Buffer.concat([rest, chunk]);
      this.rest = null;
    }
    if (this.stop !== GOING || this.choked) {
      this.rest = chunk;
      if (chunk.length > WHOLE_MAX) this.conn.pause();
      return;
    }
    this.process(chunk);
  }

  private process(chunk: Buffer): void {
    const { board } = this;
    const { request, table } = board;
    const length = chunk.length;
    const now = this.activeMs;
    let at = 0;
    if (this.big !== null) at = this.continueBig(chunk);
    while (at < length) {
      const result = request.read(chunk, at, length);
      if (result !== READY) {
        if (result === BROKEN) return this.protocolError(request.error);
        request.reset();
        if (length - at > WHOLE_MAX && this.beginBig(chunk, at)) return;
        break;
      }
      const end = request.end;
      if (request.argc > 0) {
        let row = table.find(request.buf, request.at[0], request.at[1]);
        let code = row === null ? plan.PIN : board.plan[row.id];
        if (code === plan.CONTAINER) {
          const sub = request.argc > 1 ? table.findSub(row!, request.buf, request.at[2], request.at[3]) : null;
          code = sub === null ? plan.SHARED : board.plan[sub.id];
          row = sub ?? row;
        }
        this.last = row;
        if (board.users !== null) code = board.users.gate(this, row, request, code);
        if (this.pin !== null && this.pin.isClean) this.unpin();
        const goesOn = this.lateMulti
          ? this.bindMulti(row, request)
          : code === plan.SHARED && this.pin === null && this.shares
            ? this.share(row!, request, now)
            : this.special(code, row, request);
        if (this.isOver || this.quitting) return;
        if (!goesOn) break;
      }
      at = end;
      if (this.choked || this.stop !== GOING) break;
      if (this.pin !== null && this.pin.path.opaque) {
        if (at < length) this.pin.path.fromClient(chunk.subarray(at));
        return;
      }
    }
    if (at < length) {
      this.rest = at === 0 ? chunk : chunk.subarray(at);
      if ((this.stop !== GOING || this.choked) && this.rest.length > WHOLE_MAX) this.conn.pause();
    }
  }

  /** Onto the shared connection; false: not now, it has to wait. */
  private share(row: Row, request: Request, now: number): boolean {
    const { board } = this;
    if (board.cluster !== null) {
      if (board.cluster.takes(this, row, request, now)) return true;
      if (this.stop !== GOING) return false;
    }
    if ((++board.sampled & (SAMPLE - 1)) === 0 && row.firstKey > 0 && row.firstKey < request.argc)
      board.meter.hot.note(word(request, row.firstKey));
    const up = board.route(this, row, request);
    if (up === null) return false;
    if (request.verbatim) up.append(this, this.next++, board.classes[row.id], row.id, request.buf, request.start, request.end, now);
    else up.append(this, this.next++, board.classes[row.id], row.id, request.buf, 0, request.buf.length, now);
    return true;
  }

  /** Until there is a server. */
  hold(): null {
    this.stop = HOLD;
    if (this.heldSinceMs === 0) this.heldSinceMs = nowMs();
    this.board.held.add(this);
    this.conn.pause();
    return null;
  }
  /** Until all its replies are there. */
  drain(): null {
    this.stop = DRAIN;
    return null;
  }
  private waits(): boolean {
    this.drain();
    return false;
  }

  /** Everything but an everyday request. False: it has to wait, and comes again. */
  private special(code: number, row: Row | null, request: Request): boolean {
    const { board } = this;
    if (this.pin !== null) return this.pinnedRequest(code, row, request);
    switch (code) {
      case plan.PUBLISH:
        if (request.argc === 3 && word(request, 1) === HELLO_CHANNEL) return this.tell(FORGERY);
        return this.shares ? this.share(row!, request, this.activeMs) : this.pinned(request, false);
      case plan.SCRIPT:
      case plan.FLUSH_SCRIPTS:
        this.noteScript(code, row!, request);
        return this.shares ? this.share(row!, request, this.activeMs) : this.pinned(request, false);
      case plan.XREAD:
        if (plan.hasBlock(request.buf, request.at, request.argc) || !this.shares) return this.pinned(request, false);
        return this.share(row!, request, this.activeMs);
      case plan.WAIT:
        return this.pinned(request, true);
      case plan.LOCAL: {
        const answer = local(this, row!, request);
        if (answer === null) return true; // it answers later, in its turn
        return this.tell(answer);
      }
      case plan.FORBIDDEN:
        board.meter.denied++;
        return this.tell(board.users!.refusal);
      case plan.DENIED:
        board.meter.denied++;
        return this.tell(board.deniedLine(row));
      case plan.HELLO:
      case plan.AUTH:
      case plan.SELECT:
        if (this.outstanding > 0) return this.waits();
        if (!board.isOpen) {
          this.hold();
          return false;
        }
        this.stop = ASKING;
        board.login.ask(this, words(request));
        // What is asked is done with: the next request waits for the answer.
        return true;
      case plan.RESET:
        if (this.outstanding > 0) return this.waits();
        this.reset();
        return this.tell(RESET);
      case plan.QUIT:
        if (this.outstanding > 0) return this.waits();
        return this.quit();
      default:
        return this.pinned(request, false);
    }
  }

  private noteScript(code: number, row: Row, request: Request): void {
    const { scripts } = this.board;
    const at = row.parent === null ? 1 : 2;
    if (code === plan.FLUSH_SCRIPTS) scripts.forget();
    else if (request.argc > at) scripts.note(word(request, at));
  }

  /** An answer of ours, in its turn. */
  tell(answer: Buffer): boolean {
    this.answer(this.next++, answer);
    this.board.flushClients();
    return true;
  }
  private quit(): boolean {
    this.quitting = true;
    this.reply(OK, 0, OK.length);
    this.conn.closeAfterFlush();
    return true;
  }
  leaveAfterReply(): void {
    this.quitting = true;
  }
  private reset(): void {
    this.state = this.board.newState();
    this.user = null;
    this.name = "";
    this.rejoin();
  }
  /** Its state has changed: another pool, perhaps. */
  rejoin(): void {
    if (this.pool.key === this.state.key) return;
    this.board.part(this.pool);
    this.pool = this.board.join(this.state);
    this.up = this.pool.of(this);
    this.conn.out.resp = this.state.protocol;
  }

  private protocolError(text: string): void {
    this.quitting = true;
    const line = Buffer.from(`-ERR ${text}\r\n`, "latin1");
    this.answer(this.next++, line);
    if (this.pin !== null) this.pin.release();
    this.pin = null;
    if (this.due === this.next) this.conn.closeAfterFlush();
  }

  // ---- a connection of its own

  private pinned(request: Request, wait: boolean): boolean {
    if (this.outstanding > 0) return this.waits();
    if (this.board.cluster !== null && this.last?.name === "multi") {
      // Which node it is for is told by its first key.
      this.lateMulti = true;
      return this.tell(OK);
    }
    this.getPin(request, wait);
    // What ends the dialogue (MONITOR, CLIENT REPLY ...) must find nothing of ours unanswered in front of it.
    if (this.last !== null && this.board.classes[this.last.id] === OPAQUE && !this.pin!.isReady) return this.waits();
    this.forward(request);
    return true;
  }
  private getPin(request: Request | null, wait: boolean): void {
    if (this.pin !== null) return;
    const { cluster } = this.board;
    this.pin = new Pinned(this, cluster === null || request === null ? -1 : cluster.slotOf(this.last, request));
    this.board.pins.add(this.pin);
    // WAIT counts from the last write of its own connection: there has to be one.
    if (wait && request !== null) this.pin.path.prelude(WAIT_MARK);
    this.pin.start();
  }
  /** A transaction of a cluster, whose node the present request tells. */
  private bindMulti(row: Row | null, request: Request): boolean {
    if (this.outstanding > 0) return this.waits();
    this.lateMulti = false;
    if (row?.name === "discard") return this.tell(OK);
    if (row?.name === "exec") return this.tell(EMPTY);
    this.getPin(request, false);
    this.pin!.dropsOk = true;
    this.pin!.path.fromClient(MULTI);
    this.forward(request);
    return true;
  }
  private forward(request: Request): void {
    this.pin!.path.fromClient(request.verbatim ? request.buf.subarray(request.start, request.end) : request.buf);
  }

  private pinnedRequest(code: number, row: Row | null, request: Request): boolean {
    const pin = this.pin!;
    const { path } = pin;
    if (!path.inTransaction) {
      const subscribed = this.state.protocol === 2 && this.state.subscriptions > 0;
      switch (code) {
        case plan.LOCAL:
          if (subscribed) break;
          if (!path.isIdle) return this.waits();
          {
            const answer = local(this, row!, request);
            return answer === null ? true : this.tell(answer);
          }
        case plan.RESET:
          if (!path.isIdle) return this.waits();
          this.unpin();
          this.reset();
          return this.tell(RESET);
        case plan.QUIT:
          if (!path.isIdle) return this.waits();
          return this.quit();
        case plan.DENIED:
        case plan.FORBIDDEN:
          if (!path.isIdle) return this.waits();
          return this.tell(code === plan.DENIED ? this.board.deniedLine(row) : this.board.users!.refusal);
        case plan.HELLO:
        case plan.AUTH:
          if (this.board.users === null) break;
          if (!path.isIdle) return this.waits();
          return this.tell(this.board.users.notNow);
      }
    } else if (code === plan.SELECT || code === plan.AUTH || code === plan.HELLO || code === plan.RESET) {
      // What it comes to is known only when EXEC has run.
      pin.isSticky = true;
      if (code === plan.RESET) {
        if (!path.isIdle) return this.waits();
        this.unpin();
        this.reset();
        return this.tell(RESET);
      }
    } else if (code === plan.DENIED || code === plan.FORBIDDEN) {
      // The server must know that the transaction is spoilt.
      this.pin!.path.fromClient(encodeRequest([`${row?.name ?? "?"} (redis-deny)`]));
      return true;
    }
    this.forward(request);
    return true;
  }

  private unpin(): void {
    const pin = this.pin!;
    this.pin = null;
    this.board.pins.delete(pin);
    pin.release();
    this.rejoin();
  }
  /** The pinned connection has answered something. */
  pinnedTurn(): void {
    const pin = this.pin;
    if (pin === null || this.isOver) return;
    if (pin.path.isIdle && this.stop === DRAIN) return this.resume();
    if (pin.isClean && this.rest === null && this.big === null) this.unpin();
    if (this.ended) this.maybeEnd();
  }
  /** Its pinned connection takes requests again. */
  unpinnedPause(): void {
    if (this.stop === GOING && !this.choked && !this.isSlow) this.conn.resume();
  }

  /** A request too big to wait for goes over a connection of its own, piece by piece. False: it has to wait for earlier replies. */
  private beginBig(chunk: Buffer, at: number): boolean {
    if (this.pin === null) {
      if (this.outstanding > 0) {
        this.stop = DRAIN;
        this.conn.pause();
        return false;
      }
      this.getPin(null, false);
    }
    this.big = new RequestScanner(this.board.table);
    this.continueBig(at === 0 ? chunk : chunk.subarray(at));
    return true;
  }
  /** Passes on what of the big request is here; where it ends, or the chunk's length. */
  private continueBig(chunk: Buffer): number {
    const end = this.big!.next(chunk, 0);
    if (end === SCAN_BROKEN || end < 0) {
      this.pin!.path.fromClient(chunk);
      if (end === SCAN_BROKEN) this.big = null;
      return chunk.length;
    }
    this.big = null;
    this.pin!.path.fromClient(end === chunk.length ? chunk : chunk.subarray(0, end));
    return end;
  }

  /** Its bytes since the last time go to the counters of its sections. */
  countBytes(): void {
    const up = this.bytesUp - this.countedUp;
    const down = this.bytesDown - this.countedDown;
    this.countedUp = this.bytesUp;
    this.countedDown = this.bytesDown;
    for (const of of [this.front, this.board.backend]) {
      of.bytesIn += up;
      of.bytesOut += down;
    }
  }

  // ---- replies

  /** b[from, to) are the replies that are due. */
  reply(b: Buffer, from: number, to: number): void {
    if (this.isOver) return;
    const { conn } = this;
    this.bytesDown += to - from;
    if (to - from > DIRECT_MIN && conn.out.pendingBytes() === 0) {
      const taken = conn.writeNow(b.subarray(from, to));
      if (taken < 0) return;
      from += taken;
      if (from === to) {
        this.touch();
        return;
      }
    }
    conn.out.raw(b, from, to);
    this.touch();
  }
  private touch(): void {
    if (this.isDirty) return;
    this.isDirty = true;
    this.board.dirtyClients.push(this);
  }

  /** The reply to its request `number`, in its turn. */
  answer(number: number, bytes: Buffer): void {
    if (this.isOver) return;
    if (number !== this.due) {
      (this.aside ??= new Map()).set(number, bytes);
      return;
    }
    this.due++;
    this.reply(bytes, 0, bytes.length);
    if (this.aside !== null) this.settle();
  }
  /** Gives what was put aside and is due now. */
  settle(): void {
    const { aside } = this;
    if (aside === null) return;
    for (let b = aside.get(this.due); b !== undefined; b = aside.get(this.due)) {
      aside.delete(this.due++);
      this.reply(b, 0, b.length);
    }
    if (aside.size === 0) this.aside = null;
  }

  /** All replies of this turn are there: one write. */
  flush(): void {
    this.isDirty = false;
    if (this.isOver) return;
    if (!this.conn.flush() && this.pendingBytes > SLOW_BYTES && !this.isSlow) {
      this.isSlow = true;
      this.conn.pause();
    }
    if (this.due !== this.next) return;
    if (this.quitting) return this.conn.closeAfterFlush();
    if (this.stop === DRAIN && this.pin === null) this.resume();
    else if (this.ended) this.maybeEnd();
  }
  drained(): void {
    if (this.isSlow) {
      this.isSlow = false;
      if (this.stop === GOING && !this.choked) this.conn.resume();
    }
    this.up.relieved(this);
    this.pin?.relieved();
  }

  // ---- waiting

  /** What it waited for is there. */
  resume(): void {
    this.stop = GOING;
    if (this.isOver || this.choked) return;
    const { rest } = this;
    this.rest = null;
    if (rest !== null) this.process(rest);
    if (this.isOver || this.stop !== GOING || this.choked) return;
    if (!this.isSlow) this.conn.resume();
    if (this.ended) this.maybeEnd();
  }
  /** The server's kernel takes no more (true), or again (false). */
  choke(shut: boolean): void {
    if (this.choked === shut) return;
    this.choked = shut;
    if (shut) this.conn.pause();
    else if (this.stop === GOING) this.resume();
  }
  /** A master is there (again). */
  released(): void {
    if (this.stop === HOLD) this.resume();
    if (this.stop !== HOLD) this.heldSinceMs = 0;
  }
  /** It has waited for too long: every whole request that waits is answered. */
  heldTooLong(now: number): void {
    this.heldSinceMs = now;
    const { rest } = this;
    if (rest === null || this.stop !== HOLD) return;
    const { request, meter } = this.board;
    let at = 0;
    while (at < rest.length && request.read(rest, at, rest.length) === READY) {
      if (request.argc > 0) {
        this.answer(this.next++, UNAVAILABLE);
        meter.unavailable++;
      }
      at = request.end;
    }
    request.reset();
    this.rest = at < rest.length ? rest.subarray(at) : null;
    // The next request waits anew.
    this.heldSinceMs = 0;
    this.board.held.delete(this);
    this.stop = GOING;
    this.conn.resume();
  }

  // ---- the end

  clientEnded(): void {
    this.ended = true;
    this.maybeEnd();
  }
  /** The client has sent its FIN; it still gets its answers. */
  get hasEnded(): boolean {
    return this.ended;
  }
  private maybeEnd(): void {
    if (this.pin !== null && this.rest === null) this.pin.clientEnded();
    if (this.isOver || this.outstanding > 0 || this.stop !== GOING) return;
    if (this.pin !== null) {
      if (this.pin.path.opaque) return this.end("--");
      if (!this.pin.path.isIdle) return;
    }
    this.end("--");
  }
  /** The server does not take its credentials. */
  refuse(line: Buffer): void {
    if (this.isOver) return;
    this.quitting = true;
    this.reply(line, 0, line.length);
    this.conn.closeAfterFlush();
    this.board.flushClients();
  }
  kill(letter: string): void {
    this.end(`${letter}-`);
  }
  end(flags: string): void {
    if (this.isOver) return;
    const { conn, board } = this;
    if (this.isDirty) conn.flush();
    this.isOver = true;
    this.engine.timers.remove(this);
    if (this.pin !== null) {
      board.pins.delete(this.pin);
      this.pin.release();
      this.pin = null;
    }
    board.gone(this, flags);
    this.rest = null;
    this.aside = null;
    if (flags[0] === "-" || flags[0] === "c") conn.closeAfterFlush();
    else if (flags[0] === "D" || flags[0] === "K") conn.terminate();
    else conn.close();
  }
  expire(now: number): void {
    const timeout = this.front.config.timeouts.client ?? 0;
    if (timeout <= 0) return;
    // Whoever waits for something of ours, blocks, or listens is not idle.
    const waits = this.outstanding > 0 || this.stop !== GOING || this.pin !== null;
    const due = waits ? now + timeout : this.activeMs + timeout;
    if (due <= now) return this.end("cD");
    this.engine.timers.set(this, due);
  }
}

export const clientEvents: ConnHandler<RedisClient> = {
  open: () => {},
  data(conn, chunk) {
    conn.data.fromClient(chunk);
  },
  drained: (conn) => conn.data.drained(),
  end: (conn) => conn.data.clientEnded(),
  close: (conn) => conn.data.end(conn.data.isLeaving ? "--" : "CD"),
};

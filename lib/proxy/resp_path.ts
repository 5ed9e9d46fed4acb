/**
 * A RESP client in front of Redis role checks: one upstream connection for one client, bytes passed on as they are, but with the ends of
 * requests and replies known, so that the upstream can be exchanged at a failover (design 5, notes 3.2 and 3.3). HOT: fromClient,
 * fromServer; the rest happens when a master is lost.
 *
 *   client --chunks--> RequestScanner -> InFlight -> server            gate shut: requests wait here, unscanned
 *   client <--chunks-- ReplyScanner  <- InFlight <- server
 *
 *   master lost -> detach(): what is in flight is sorted: never sent, or without effect -> sent again on the next master;
 *                  may have been executed -> -UNKNOWNRESULT in its place; open transactions are told again, watched ones fail honestly
 *   master found -> connected(): the connection's state is restored, then what was kept is sent, then what waited
 *
 * Only whole requests are passed on and only whole replies given back, up to 64 KiB; bigger ones stream. What is not a dialogue (MONITOR,
 * SYNC, CLIENT REPLY) goes on as bytes and ends with its server.
 */
import type { RowTable } from "../commands/table/index.ts";
import { ClientState } from "./core/client_state.ts";
import { CLASS, InFlight, LOCAL, QUEUED, SWALLOW } from "./core/in_flight.ts";
import { BROKEN, ReplyScanner } from "./core/reply_scan.ts";
import * as is from "./core/request_class.ts";
import { argumentsOf, encodeRequest, RequestScanner } from "./core/request_scan.ts";
import { DISCARD, nilOf, sortFlight, type Kept } from "./resp_switch.ts";
import { commands, firstWords, stripBlank } from "./resp_words.ts";

/** Held back until complete; beyond, requests and replies stream. */
const WHOLE_MAX = 64 * 1024;
/** Kept of what is in flight, to be sent again. */
const KEEP_MAX = 1024 * 1024;
/** Taken from a client while the gate is shut; then it is not read any more. */
const WAITING_MAX = 64 * 1024;

const UNAVAILABLE = Buffer.from("-UNAVAILABLE no master is confirmed, the command was not executed\r\n");
const FORGERY = Buffer.from("-NOPERM the Sentinels' channel may not be published to through the proxy\r\n");
const INVALIDATE = Buffer.from(">2\r\n$10\r\ninvalidate\r\n_\r\n");
const HELLO_CHANNEL = "$18\r\n__sentinel__:hello";

/** What to do with a reply, or with a request. */
const FORWARD = 0;
const DROP = 1;
const STOP = 2;

/** What the path needs of the session it serves. */
export interface RespHost {
  readonly client: { pause(): void };
  readonly isOver: boolean;
  /** `redis-replay` of the backend. */
  readonly replay: "readonly" | "idempotent" | "none";
  /** What a command that is not in the table is to a failover. */
  classOf(command: string): number;
  sendUp(bytes: Buffer): void;
  sendDown(bytes: Buffer): void;
  /** Bytes given to sendUp that the kernel has not taken yet. */
  pendingUp(): number;
  /** The server has shown that it is no master: see Session.lost. */
  lost(why: "gone" | "suspect", nothingDone: boolean, first: boolean): void;
  end(flags: string): void;
}

export class RespPath {
  private readonly session: RespHost;
  private readonly classes: Uint8Array;
  private readonly table: RowTable;
  private readonly requests: RequestScanner;
  private readonly replies: ReplyScanner;
  private readonly flight: InFlight;
  readonly state: ClientState;
  /** Bytes only, from here on. */
  opaque: boolean;
  /** Stream position of what was handed on. */
  private sentAt: number;
  /** The incomplete request at the end, held back; `upTailBytes` counts what of it was seen, streamed bytes included. */
  private upTail: Buffer[];
  private upTailBytes: number;
  private partial: number;
  /** Bytes of requests that get no reply (empty lines), to be counted with the next one. */
  private extra: number;
  private multiOpen: boolean;
  private downTail: Buffer[];
  private downTailBytes: number;
  private streaming: boolean;
  /** Confirmations that the SUBSCRIBE at the cursor still wants; -1: not looked at. */
  private confirmsLeft: number;
  private restoreCounts: number[];
  /** Not scanned yet, because no server may have it now. */
  private waiting: Buffer[];
  private waitingBytes: number;
  /** What goes to the next server first. */
  private kept: Kept[];
  private open: boolean;
  /** Refusals in a row by servers that then proved to be masters. */
  private suspects: number;
  /** A request of ours that takes the place of the one dropped. */
  private pending: Buffer | null;
  /** A request of ours that goes first on the next connection, its reply dropped. */
  private first: Buffer | null;

  /** `state`: what the client has made of its connection before; mode redis hands it in. */
  constructor(session: RespHost, state = new ClientState()) {
    const { table, classes } = commands();
    this.session = session;
    this.table = table;
    this.classes = classes;
    this.requests = new RequestScanner(table);
    this.replies = new ReplyScanner();
    this.flight = new InFlight(KEEP_MAX);
    this.state = state;
    this.opaque = false;
    this.sentAt = 0;
    this.upTail = [];
    this.upTailBytes = 0;
    this.partial = 0;
    this.extra = 0;
    this.multiOpen = false;
    this.downTail = [];
    this.downTailBytes = 0;
    this.streaming = false;
    this.confirmsLeft = -1;
    this.restoreCounts = [];
    this.waiting = [];
    this.waitingBytes = 0;
    this.kept = [];
    this.open = false;
    this.suspects = 0;
    this.pending = null;
    this.first = null;
  }

  /** Sends `request` in front of everything once there is a connection; nobody gets its reply. */
  prelude(request: Buffer): void {
    this.first = request;
  }
  /** Nothing sent that wants a reply, nothing waiting to be sent. */
  get isIdle(): boolean {
    return this.flight.awaiting === 0 && this.waiting.length === 0 && this.kept.length === 0;
  }
  /** The server has a whole request without a reply. */
  get owes(): boolean {
    const { flight } = this;
    if (this.opaque || flight.awaiting === 0) return false;
    return flight.cursorAt + flight.lengthAt(flight.cursor) <= this.sentAt - this.session.pendingUp();
  }
  get hasWaiting(): boolean {
    return this.waiting.length > 0 || this.kept.length > 0;
  }
  /** Nothing of the client's lives in this connection: another one would do as well (mode redis). */
  get isClean(): boolean {
    const { state } = this;
    return this.isIdle && this.flight.isEmpty && !this.multiOpen && !this.opaque && this.requests.isAtStart && state.isPlain;
  }
  /** What is awaited is only that data come. */
  get isBlocked(): boolean {
    const { flight } = this;
    return flight.awaiting === 1 && (flight.kindAt(flight.cursor) & CLASS) === is.BLOCKING;
  }
  /** As isBlocked; or that is all there is to send to the next server. */
  get waitsForData(): boolean {
    const { kept } = this;
    if (kept.length === 0) return this.isBlocked;
    return kept.length === 1 && this.waiting.length === 0 && kept[0]!.local === null && (kept[0]!.kind & CLASS) === is.BLOCKING;
  }
  /** Requests of the open transaction so far. */
  get queued(): number {
    let n = 0;
    for (let i = this.flight.head; i < this.flight.tail; i++) if ((this.flight.kindAt(i) & QUEUED) !== 0) n++;
    return n;
  }
  get inTransaction(): boolean {
    return this.multiOpen;
  }
  /** The client may be read. */
  get wantsInput(): boolean {
    return this.open || this.waitingBytes < WAITING_MAX;
  }

  // ---- requests

  fromClient(chunk: Buffer): void {
    if (this.open) return this.forward(chunk);
    this.waiting.push(chunk);
    this.waitingBytes += chunk.length;
    if (this.waitingBytes >= WAITING_MAX) this.session.client.pause();
  }

  private forward(chunk: Buffer): void {
    if (this.opaque) return this.session.sendUp(chunk);
    const { requests } = this;
    let at = 0;
    let from = 0;
    for (;;) {
      const end = requests.next(chunk, at);
      if (end < 0) {
        if (end === BROKEN) return this.goOpaque(chunk, from);
        break;
      }
      const length = this.upTailBytes + end - at;
      const verdict = requests.argc === 0 ? this.ignored(length) : this.request(chunk, at, end, length);
      if (verdict === STOP) return this.goOpaque(chunk, from);
      if (verdict === DROP) {
        // It was held back whole (only big ones stream): nothing of it has been sent.
        this.upTail = at === 0 ? [] : this.upTail;
        this.pass(chunk, from, at);
        from = end;
        this.settle();
      }
      this.upTailBytes = 0;
      this.partial = 0;
      at = end;
    }
    this.pass(chunk, from, at);
    if (at === chunk.length) return;
    const rest = at === 0 ? chunk : chunk.subarray(at);
    this.upTailBytes += rest.length;
    this.upTail.push(rest);
    if (this.upTailBytes > WHOLE_MAX) {
      this.partial = this.upTailBytes;
      for (const piece of this.upTail.splice(0)) this.hand(piece);
    }
  }

  /** Sends what was held back, then chunk[from, to). */
  private pass(chunk: Buffer, from: number, to: number): void {
    if (to > 0 && this.upTail.length > 0) for (const piece of this.upTail.splice(0)) this.hand(piece);
    if (to > from) this.hand(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
  }
  private hand(piece: Buffer): void {
    this.flight.keep(piece, this.sentAt);
    this.sentAt += piece.length;
    this.session.sendUp(piece);
  }

  private ignored(length: number): number {
    this.extra += length;
    return FORWARD;
  }

  /** One whole request, chunk[at, end) with what was held back before it; counts it in and says whether it goes on. */
  private request(chunk: Buffer, at: number, end: number, length: number): number {
    const row = this.requests.row;
    let kind = row === null ? this.foreign(chunk, at, end) : this.classes[row.id];
    if (kind === is.CONTAINER) kind = this.classOfSub(chunk, at, end);
    const size = length + this.extra;
    if (kind === is.SAFE || kind === is.UNSAFE || kind === is.BLOCKING || kind === is.IDEMPOTENT) {
      this.extra = 0;
      this.flight.push(this.multiOpen ? kind | QUEUED : kind, size);
      return FORWARD;
    }
    switch (kind) {
      case is.OPAQUE:
        return STOP;
      case is.PUBLISH:
        if (this.partial === 0 && this.text(chunk, at, end).subarray(0, 80).includes(HELLO_CHANNEL)) {
          this.flight.pushLocal(kind, FORGERY);
          return DROP;
        }
        break;
      case is.MULTI:
        this.multiOpen = true;
        break;
      case is.EXEC:
        this.multiOpen = false;
        if (this.state.dirty) return this.failExec();
        this.extra = 0;
        this.flight.push(kind | QUEUED, size);
        return FORWARD;
      case is.DISCARD:
      case is.RESET:
        this.multiOpen = false;
        if (kind === is.DISCARD) this.state.dirty = false;
        break;
      case is.QUIT:
        this.state.quitting = true;
        break;
    }
    this.extra = 0;
    this.flight.push(this.multiOpen ? kind | QUEUED : kind, size);
    return FORWARD;
  }

  /** EXEC after the watched keys' server was exchanged: the transaction is thrown away and the client told so, as if a key had changed. */
  private failExec(): number {
    this.state.dirty = false;
    this.flight.push(is.DISCARD | SWALLOW, DISCARD.length);
    this.pending = DISCARD;
    this.flight.pushLocal(is.EXEC, nilOf(this.state.protocol));
    return DROP;
  }
  private classOfSub(chunk: Buffer, at: number, end: number): number {
    const words = argumentsOf(this.text(chunk, at, end));
    const sub = Buffer.from(words[1] ?? "", "latin1");
    const row = this.table.findSub(this.requests.row!, sub, 0, sub.length);
    return row === null ? is.UNSAFE : this.classes[row.id];
  }
  private foreign(chunk: Buffer, at: number, end: number): number {
    const name = this.partial > 0 ? "" : (argumentsOf(stripBlank(this.text(chunk, at, end)))[0] ?? "");
    return name === "" ? is.UNSAFE : this.session.classOf(name);
  }
  private text(chunk: Buffer, at: number, end: number): Buffer {
    const here = chunk.subarray(at, end);
    return at > 0 || this.upTail.length === 0 ? here : Buffer.concat([...this.upTail, here]);
  }

  /** Bytes only from here on: what was held back goes out, and the present chunk from `from`. */
  private goOpaque(chunk: Buffer, from: number): void {
    this.opaque = true;
    for (const piece of this.upTail.splice(0)) this.session.sendUp(piece);
    if (from < chunk.length) this.session.sendUp(from === 0 ? chunk : chunk.subarray(from));
    for (const piece of this.downTail.splice(0)) this.session.sendDown(piece);
    this.downTailBytes = 0;
  }

  // ---- replies

  fromServer(chunk: Buffer): void {
    if (this.opaque) return this.session.sendDown(chunk);
    const { replies, flight } = this;
    let at = 0;
    let from = 0;
    for (;;) {
      const end = replies.next(chunk, at);
      if (end < 0) {
        if (end === BROKEN) {
          this.give(chunk, from, chunk.length);
          this.opaque = true;
          return;
        }
        break;
      }
      const verdict = this.reply(chunk, at, end);
      if (verdict !== FORWARD) {
        if (at === 0) this.dropTail();
        this.give(chunk, from, at);
        from = end;
        if (verdict === STOP) return;
      }
      this.streaming = false;
      at = end;
      if (flight.cursor < flight.tail && (flight.kindAt(flight.cursor) & LOCAL) !== 0) {
        this.give(chunk, from, at);
        from = at;
        this.settle();
        if (this.session.isOver) return;
      }
    }
    this.give(chunk, from, at);
    if (at < chunk.length) this.holdReply(at === 0 ? chunk : chunk.subarray(at));
  }

  private holdReply(rest: Buffer): void {
    if (this.streaming) return this.session.sendDown(rest);
    this.downTail.push(rest);
    this.downTailBytes += rest.length;
    if (this.downTailBytes > WHOLE_MAX) {
      this.streaming = true;
      this.giveTail();
    }
  }
  private give(chunk: Buffer, from: number, to: number): void {
    if (to > 0) this.giveTail();
    if (to > from) this.session.sendDown(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
  }
  private giveTail(): void {
    if (this.downTail.length === 0) return;
    for (const piece of this.downTail.splice(0)) this.session.sendDown(piece);
    this.downTailBytes = 0;
  }
  private dropTail(): void {
    this.downTail.length = 0;
    this.downTailBytes = 0;
  }

  /** The bytes of a whole reply, of which some may have been held back. */
  private replyText(chunk: Buffer, at: number, end: number): Buffer {
    const here = chunk.subarray(at, end);
    return at > 0 || this.downTail.length === 0 ? here : Buffer.concat([...this.downTail, here]);
  }

  /** One whole reply, chunk[at, end) with what was held back before it. */
  private reply(chunk: Buffer, at: number, end: number): number {
    const { flight, replies } = this;
    const type = replies.type;
    if (flight.cursor === flight.tail) return type === 42 || type === 62 ? this.unasked(chunk, at, end) : FORWARD;
    const kind = flight.kindAt(flight.cursor);
    if (type === 62 || (type === 42 && ((kind & CLASS) === is.SUBSCRIBE || this.state.subscriptions > 0)))
      return this.aggregate(kind, type, chunk, at, end);
    if (type === 45) {
      const verdict = this.error(kind, chunk, at, end);
      if (verdict !== FORWARD) return verdict;
    }
    if (kind < QUEUED && (kind === is.SAFE || kind === is.UNSAFE || kind === is.BLOCKING || kind === is.IDEMPOTENT)) {
      this.suspects = 0;
      flight.answered(false);
      return FORWARD;
    }
    return this.special(kind, type);
  }

  /** Replies that change what we know of the connection, or are not the client's. */
  private special(kind: number, type: number): number {
    const { flight, state } = this;
    const good = type !== 45;
    const mine = (kind & SWALLOW) !== 0;
    switch (kind & CLASS) {
      case is.STATE:
      case is.RESET:
        if (good && !mine && (kind & QUEUED) === 0) {
          const words = this.wordsAtCursor();
          if (words !== null) state.commit(words);
        }
        break;
      case is.WATCH:
        if (good && !mine) state.watching = true;
        break;
      case is.UNWATCH:
        state.watching = false;
        state.dirty = false;
        break;
      case is.EXEC:
      case is.DISCARD:
        state.watching = false;
        flight.answered(false);
        return mine ? DROP : FORWARD;
      case is.SUBSCRIBE:
        this.confirmsLeft = -1;
        break;
    }
    flight.answered((kind & QUEUED) !== 0 || (kind & CLASS) === is.MULTI);
    return mine ? DROP : FORWARD;
  }

  private wordsAtCursor(): string[] | null {
    const { flight } = this;
    const at = flight.cursorAt;
    const bytes = flight.bytes(at, at + flight.lengthAt(flight.cursor));
    return bytes === null ? null : argumentsOf(stripBlank(Buffer.concat(bytes)));
  }

  /** Arrays while subscribed, and pushes: messages pass, confirmations are counted. */
  private aggregate(kind: number, type: number, chunk: Buffer, at: number, end: number): number {
    if (this.streaming) return this.state.subscriptions > 0 || type === 62 ? FORWARD : this.special(kind, type);
    const words = firstWords(this.replyText(chunk, at, end));
    const what = words[0] ?? "";
    if (!/^[ps]?(un)?subscribe$/.test(what)) {
      const message = type === 62 || /^[ps]?message$/.test(what);
      return message ? FORWARD : this.special(kind, type);
    }
    const mine = (kind & SWALLOW) !== 0;
    if ((kind & CLASS) === is.SUBSCRIBE && this.confirmsLeft < 0) {
      const asked = mine ? (this.restoreCounts.shift() ?? 1) : (this.wordsAtCursor() ?? []).length - 1;
      // Without channels: one for each that there is now.
      this.confirmsLeft = asked > 0 ? asked : this.state.confirmationsOf([what]);
    }
    this.state.confirmed(what, words[1] ?? null);
    if ((kind & CLASS) !== is.SUBSCRIBE) return FORWARD;
    if (--this.confirmsLeft === 0) {
      this.confirmsLeft = -1;
      this.flight.answered((kind & QUEUED) !== 0);
    }
    return mine ? DROP : FORWARD;
  }
  private unasked(chunk: Buffer, at: number, end: number): number {
    if (this.streaming) return FORWARD;
    const words = firstWords(this.replyText(chunk, at, end));
    if (/^[ps]?(un)?subscribe$/.test(words[0] ?? "")) this.state.confirmed(words[0]!, words[1] ?? null);
    return FORWARD;
  }

  /**
   * Errors that prove that nothing was executed, because the server is no master (any more), or not yet: the request is sent again elsewhere.
   * Of our own requests: a refused AUTH is the client's to know.
   */
  private error(kind: number, chunk: Buffer, at: number, end: number): number {
    const reply = this.replyText(chunk, at, end);
    const text = reply.toString("latin1", 0, 80);
    if ((kind & SWALLOW) !== 0 && (kind & CLASS) === 0 && /^-(WRONGPASS|NOAUTH|NOPERM|ERR AUTH|ERR invalid password)/.test(text)) {
      this.session.sendDown(Buffer.from(reply));
      this.session.end("SD");
      return STOP;
    }
    const replica = /^-(READONLY|MASTERDOWN|UNBLOCKED force|EXECABORT .*: (READONLY|MASTERDOWN)) /.test(text);
    if (!replica && !/^-(LOADING|EXECABORT .*: LOADING) /.test(text)) return FORWARD;
    if (this.suspects >= 3) return FORWARD;
    this.suspects++;
    // A replica has executed none of the writes behind this one either.
    this.session.lost("suspect", replica, true);
    return STOP;
  }

  /** Gives our own answers that have come to the front. */
  private settle(): void {
    const { flight } = this;
    if (this.pending !== null) {
      const own = this.pending;
      this.pending = null;
      this.hand(own);
    }
    while (flight.cursor < flight.tail && (flight.kindAt(flight.cursor) & LOCAL) !== 0) {
      this.session.sendDown(flight.locals.shift()!);
      flight.answered((flight.kindAt(flight.cursor) & QUEUED) !== 0);
    }
  }

  // ---- the gate and the switch

  /** Shut: requests wait. Open: they go on. */
  setOpen(open: boolean): void {
    if (this.open === open) return;
    this.open = open;
    if (!open) return;
    const waiting = this.waiting;
    this.waiting = [];
    this.waitingBytes = 0;
    for (const chunk of waiting) {
      if (this.open) this.forward(chunk);
      else this.fromClient(chunk);
    }
  }

  /**
   * The server is lost. Sorts what is in flight; false when the client cannot be kept (it has half a reply, or a transaction that is not
   * kept whole): the session then ends. `nothingDone`: the server is known to have executed nothing that is unanswered; `first`: nothing of
   * the request at the cursor.
   */
  detach(nothingDone: boolean, first: boolean): boolean {
    if (this.opaque || this.streaming) return false;
    this.open = false;
    const { flight, state } = this;
    const written = this.sentAt - this.session.pendingUp();
    const kept = sortFlight(flight, state, { written, nothingDone, first, replay: this.session.replay });
    if (kept === null) return false;
    // The end of the stream: a big request that has begun to flow, or has not left yet.
    if (this.sentAt > flight.tailAt && this.partial > 0) {
      const begun = flight.bytes(flight.tailAt, this.sentAt);
      if (begun === null) return false;
      this.upTail = [...begun, ...this.upTail];
      this.partial = 0;
    }
    this.kept = kept;
    flight.clear();
    this.sentAt = 0;
    this.extra = 0;
    this.replies.reset();
    this.dropTail();
    this.confirmsLeft = -1;
    this.restoreCounts.length = 0;
    return true;
  }

  /** A new server: state (unless the connection has it already), what was kept, what waited. */
  connected(restored = false): void {
    const { flight, state } = this;
    const out: Buffer[] = [];
    const add = (kind: number, bytes: Buffer): void => {
      flight.push(kind, bytes.length);
      out.push(bytes);
    };
    for (const { words, replies } of restored ? [] : state.restore()) {
      const subscribe = /subscribe$/i.test(words[0]!);
      add((subscribe ? is.SUBSCRIBE : 0) | SWALLOW, encodeRequest(words));
      if (subscribe) this.restoreCounts.push(replies);
    }
    if (this.first !== null) add(is.SAFE | SWALLOW, this.first);
    this.first = null;
    if (state.isTracking && state.protocol === 3) flight.pushLocal(is.STATE, INVALIDATE);
    // Their confirmations come again and fill the sets anew: what a server refuses now is not believed for ever.
    for (const k of this.kept) {
      if (k.local !== null) flight.pushLocal(k.kind, k.local);
      else add(k.kind, k.bytes!.length === 1 ? k.bytes![0]! : Buffer.concat(k.bytes!));
    }
    this.kept = [];
    if (out.length > 0) this.hand(out.length === 1 ? out[0]! : Buffer.concat(out));
    this.settle();
    this.setOpen(true);
  }

  /** The wait was too long: what waits is answered, the connection stays. False: it cannot (an open transaction is lost). */
  failWaiting(): boolean {
    const { flight } = this;
    if (this.kept.some((k) => (k.kind & QUEUED) !== 0 && k.local === null)) return false;
    if (this.multiOpen) return false;
    for (const k of this.kept) this.session.sendDown(k.local ?? UNAVAILABLE);
    this.kept = [];
    const waiting = this.waiting;
    this.waiting = [];
    this.waitingBytes = 0;
    for (const chunk of waiting) {
      let at = 0;
      for (;;) {
        const end = this.requests.next(chunk, at);
        if (end === BROKEN) return false;
        if (end < 0) break;
        this.upTail = [];
        this.upTailBytes = 0;
        if (this.requests.argc > 0) {
          // Behind what is still in flight, in its turn.
          if (flight.awaiting > 0) flight.pushLocal(is.SAFE, UNAVAILABLE);
          else this.session.sendDown(UNAVAILABLE);
        }
        at = end;
      }
      if (at < chunk.length) {
        this.upTail.push(chunk.subarray(at));
        this.upTailBytes += chunk.length - at;
      }
    }
    return true;
  }
}

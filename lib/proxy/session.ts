/**
 * One client connection on its way to a server and back. HOT: data() and drained() run for every chunk; the rest once a connection.
 *
 *   accept -> [frontend full] -> choose a backend -> {hold | queue | connect <-> retry} -> pump -> half-closes -> end, one log line
 *
 * The pump writes each chunk past the output queue in one write. What the kernel does not take stays as a view of the chunk, its source is
 * paused until it has gone: at most one chunk waits in each direction. Times in log lines and time-outs are HAProxy's (configuration 8.2.2,
 * 8.5); deadlines are looked at when they are due, not moved with every byte. What is in front of Redis role checks is served by
 * resp_path.ts, which takes the two connections' handlers over.
 */
import { dial } from "../net/dial.ts";
import type { Conn, ConnHandler } from "../net/conn.ts";
import { assign, chooseBackend, dequeue, enqueue, nextFor, nextWaiting } from "./assign.ts";
import { touched } from "./core/balance.ts";
import { proxyHeader } from "../net/proxy_protocol.ts";
import type { Engine } from "./engine.ts";
import { UNSAFE } from "./core/request_class.ts";
import { RespPath, type RespHost } from "./resp_path.ts";
import { looksLikeResp } from "./resp_words.ts";
import { Parting } from "./parting.ts";
import { Pump } from "./pump.ts";
import { nextDeadline, overTime } from "./session_clock.ts";
import { logSession } from "./session_log.ts";
import { CLOSED, CONNECTING, HELD, NEW, PHASE, PUMPING, QUEUED, TURNAROUND, WAITING } from "./session_state.ts";
import type { Backend, Frontend, Server } from "./state.ts";
import { admitsContent } from "./tcp_rules.ts";
import { nowMs, type Timed } from "./timers.ts";

export class Session extends Pump<Session> implements Timed, RespHost {
  readonly engine: Engine;
  readonly front: Frontend;
  back: Backend | null;
  target: Server | null;
  /** The latest connection to a server, open or not: the line tells its addresses. */
  lastServer: Conn<Session> | null;
  /** The one server in whose queue it stands, or stood. */
  wants: Server | null;
  private dialing: { cancel(): void } | null;
  private parting: Parting | null;
  // For the log: performance.now() but for acceptedAt (Date.now()); -1 while not reached.
  acceptedAt: number;
  readonly acceptedMs: number;
  waitedMs: number;
  connectedMs: number;
  attemptsLeft: number;
  retried: number;
  redispatched: boolean;
  /** Turns that it took in queues (HAProxy's %sq and %bq), and how many its present queue had had when it came. */
  srvQueueAhead: number;
  backQueueAhead: number;
  turnAt: number;
  flags: string;
  /** The client's first bytes have been looked at. */
  private looked: boolean;
  /** Since when this session waits for a master; 0: it does not. */
  private heldSinceMs: number;
  private connectStartMs: number;
  private attemptMs: number;
  private timedConnect: boolean;
  /** Of its bytes: what the counters have already. */
  private countedUp: number;
  private countedDown: number;
  // Timed
  deadlineMs: number;
  heapAt: number;

  constructor(engine: Engine, front: Frontend, client: Conn<Session>) {
    const now = nowMs();
    super(client, now);
    this.engine = engine;
    this.front = front;
    this.back = null;
    this.target = null;
    this.lastServer = null;
    this.wants = null;
    this.dialing = null;
    this.parting = null;
    this.acceptedAt = Date.now();
    this.acceptedMs = now;
    this.waitedMs = -1;
    this.connectedMs = -1;
    this.attemptsLeft = 0;
    this.retried = 0;
    this.redispatched = false;
    this.srvQueueAhead = 0;
    this.backQueueAhead = 0;
    this.turnAt = 0;
    this.flags = "--";
    this.looked = false;
    this.heldSinceMs = 0;
    this.connectStartMs = now;
    this.attemptMs = 0;
    this.timedConnect = false;
    this.countedUp = 0;
    this.countedDown = 0;
    this.deadlineMs = 0;
    this.heapAt = -1;
  }

  // ---- the way in

  /** The client is there. */
  open(): void {
    const { engine, front } = this;
    front.sessions.add(this);
    front.connections++;
    engine.connections++;
    const now = Date.now();
    front.connectionRate.hit(now);
    engine.connectionRate.hit(now);
    const full = (front.maxconn > 0 && front.active >= front.maxconn) || (engine.maxconn > 0 && engine.active >= engine.maxconn);
    if (full) {
      this.state = WAITING;
      this.client.pause();
      front.waiting.push(this);
      return;
    }
    this.admit();
  }

  /** A place in the frontend: count it, find a backend. */
  admit(): void {
    const { engine, front } = this;
    engine.active++;
    front.active++;
    front.sessionsTotal++;
    if (front.active > front.activeMax) front.activeMax = front.active;
    const date = Date.now();
    front.rate.hit(date);
    engine.sessionRate.hit(date);
    engine.sessions++;
    this.state = NEW;
    this.client.resume();
    if (front.config.options.has("clitcpka")) this.client.keepAlive(front.config.keepalive.clientIdleMs);
    if (!front.log.isSilent && front.config.logFormat === "") {
      const c = this.client;
      const mode = front.config.mode === "http" ? "HTTP" : "TCP";
      front.log.log(
        6,
        `Connect from ${c.remoteAddress || "unix"}:${c.remotePort} to ${c.localAddress || "unix"}:${c.localPort} (${front.name}/${mode})`,
      );
    }
    if (!admitsContent(engine, this, front)) return this.end("PR");
    const back = chooseBackend(engine, this);
    this.back = back;
    if (back === null) return this.end("SC");
    back.sessionsTotal++;
    back.active++;
    if (back.active > back.activeMax) back.activeMax = back.active;
    back.rate.hit(date);
    this.attemptsLeft = back.config.retries;
    if (back.config !== front.config && !admitsContent(engine, this, back)) return this.end("PR");
    this.dispatch(null);
  }

  /** Finds a server, or a place to wait. Also called again when a hold ends or a queue moves. */
  dispatch(avoid: Server | null, rules = true): void {
    const before = this.wants;
    const a = assign(this.engine, this, avoid, rules);
    switch (a.kind) {
      case "server":
        if (before !== null && before !== a.server) this.redispatchedFrom(before);
        return this.connect(a.server);
      case "hold":
        return this.hold();
      case "queue": {
        const back = this.back!;
        this.state = QUEUED;
        this.wants = a.server;
        enqueue(this, a.server);
        const ms = back.config.timeouts.queue ?? back.config.timeouts.connect ?? 0;
        this.engine.timers.set(this, ms > 0 ? nowMs() + ms : Infinity);
        return;
      }
      case "full":
        this.wants = a.server;
        if (a.byRule && this.back!.config.redispatch !== 0) return this.dispatch(null, false);
        this.failed();
        return this.end("SQ");
      case "none":
        this.failed();
        return this.end("SC");
    }
  }
  /** No connection comes of it; `server` is the one that it had, or should have had. Attempts that others follow do not count. */
  private failed(server: Server | null = this.wants): void {
    this.back!.connectErrors++;
    if (server !== null) server.connectErrors++;
  }
  /** Goes to another server than the one that it had, or should have had. */
  private redispatchedFrom(server: Server): void {
    server.redispatches++;
    server.backend.redispatches++;
    this.redispatched = true;
    this.wants = null;
  }

  /** No master is confirmed: the client waits, its time-outs stand still, the wait itself is bounded. */
  private hold(): void {
    const back = this.back!;
    const now = nowMs();
    if (this.heldSinceMs === 0) this.heldSinceMs = now;
    this.state = HELD;
    this.engine.timers.set(this, this.heldSinceMs + back.config.holdMs);
    back.held.add(this);
    this.client.resume();
  }
  /** The wait for a master is over time: a RESP client is told and stays, any other goes. */
  private heldTooLong(now: number): void {
    const { resp } = this;
    if (resp === null || !resp.failWaiting()) return this.end("sQ");
    this.heldSinceMs = now;
    if (this.upEnd && resp.isIdle) return this.end("--");
    this.client.resume();
    this.engine.timers.set(this, now + this.back!.config.holdMs);
  }

  // ---- to the server

  /** Takes a slot of `server` and connects to it. */
  connect(server: Server): void {
    const now = nowMs();
    const back = this.back!;
    if (this.waitedMs < 0) {
      this.waitedMs = Math.round(now - this.acceptedMs);
      this.connectStartMs = now;
    }
    back.held.delete(this);
    this.wants = null;
    if (this.target !== server) {
      this.release();
      this.target = server;
      server.sessionsTotal++;
      const date = Date.now();
      server.lastSessionMs = date;
      back.lastSessionMs = date;
      server.rate.hit(date);
    }
    if (!server.sessions.has(this)) {
      server.sessions.add(this);
      server.active++;
      if (server.active > server.activeMax) server.activeMax = server.active;
    }
    server.connections++;
    back.connections++;
    this.state = CONNECTING;
    this.attemptMs = now;
    this.timedConnect = false;
    const timeout = back.config.timeouts.connect ?? 0;
    this.engine.timers.set(this, timeout > 0 ? now + timeout : Infinity);
    const where = server.config.path !== "" ? { path: server.config.path } : { hostname: this.hostOf(server), port: this.portOf(server) };
    const source = server.config.sourceHost || back.config.sourceHost;
    const { cancel, conn } = dial<Session>({
      ...where,
      ...(source === "" ? {} : { localAddress: source }),
      ...(server.config.ssl && server.tls !== null ? { tls: server.tls } : {}),
      data: this,
      handler: serverSide,
      failed: (_conn, error) => this.connectFailed(error as { code?: string }),
    });
    this.dialing = { cancel };
    this.server = conn;
  }
  private hostOf(server: Server): string {
    return server.host === "" ? this.client.localAddress : server.host;
  }
  private portOf(server: Server): number {
    return server.config.portIsOffset ? this.client.localPort + server.port : server.port;
  }

  /** The connection to the server stands: pump. */
  connected(): void {
    const now = nowMs();
    this.dialing = null;
    this.lastServer = this.server;
    if (this.connectedMs < 0) this.connectedMs = Math.round(now - this.connectStartMs);
    this.target!.consecutiveErrors = 0;
    this.state = PUMPING;
    this.heldSinceMs = 0;
    this.gated = false;
    this.clientActiveMs = now;
    this.serverActiveMs = now;
    const proxy = this.target!.config.sendProxy;
    if (proxy !== 0) {
      const c = this.client;
      const header = proxyHeader(proxy, { host: c.remoteAddress, port: c.remotePort }, { host: c.localAddress, port: c.localPort });
      this.server!.writeNow(header); // the first bytes of a connection: its kernel has room for them
    }
    if (this.back!.config.options.has("srvtcpka")) this.server!.keepAlive(this.back!.config.keepalive.serverIdleMs);
    this.watch(now);
    if (this.resp !== null) {
      this.resp.connected();
      if (this.isOver) return;
      if (this.upEnd && this.up === null) this.shutUp();
      else if (this.up === null) this.client.resume();
      return;
    }
    if (this.up !== null) this.flushUp();
    else if (this.upEnd) this.shutUp();
    else this.client.resume();
  }

  /** Refused, unreachable, or over time. What follows is HAProxy's: again on the same server after a second, or on another one. */
  connectFailed(error: { code?: string }): void {
    if (this.state !== CONNECTING) return;
    const back = this.back!;
    const failed = this.target!;
    const timedOut = this.timedConnect || error.code === "ETIMEDOUT";
    const now = nowMs();
    this.dialing = null;
    this.server = null;
    if (failed.config.observe !== "") this.engine.observed(failed);
    if (back.byAuthority) {
      // The master is gone: whoever is chosen next gets this session.
      this.release();
      this.retried++;
      if (this.heldSinceMs === 0) this.heldSinceMs = now;
      if (back.chosen !== failed) return this.dispatch(null);
      // Still the chosen one: tried again soon, until the authority changes its mind or the hold is over.
      this.state = TURNAROUND;
      if (now - this.heldSinceMs > back.config.holdMs && (this.resp === null || !this.resp.failWaiting())) {
        this.failed(failed);
        return this.end(timedOut ? "sC" : "SC");
      }
      this.engine.timers.set(this, now + 50);
      return;
    }
    if (this.attemptsLeft <= 0) {
      this.failed(failed);
      return this.end(timedOut ? "sC" : "SC");
    }
    this.attemptsLeft--;
    this.retried++;
    const n = back.config.redispatch;
    const done = back.config.retries - this.attemptsLeft;
    const again = n === 0 ? false : n < 0 ? this.attemptsLeft < -n : done % n === 0;
    if (again || !failed.isUsable) {
      if (n !== 0) {
        this.release();
        this.redispatchedFrom(failed);
        return this.dispatch(failed);
      }
    }
    failed.retries++;
    back.retries++;
    if (timedOut) return this.connect(failed);
    this.giveSlotBack(failed);
    // The turn-around: not to hammer a server that is just restarting.
    this.state = TURNAROUND;
    const timeout = back.config.timeouts.connect ?? 0;
    this.engine.timers.set(this, this.attemptMs + Math.min(1000, timeout > 0 ? timeout : 1000));
  }

  /** Leaves the server altogether. */
  private release(): void {
    const server = this.target;
    this.target = null;
    if (server !== null) this.giveSlotBack(server);
  }
  /** Frees the slot at `server`; the next one in the queue takes it. */
  private giveSlotBack(server: Server): void {
    if (!server.sessions.delete(this)) return;
    server.active--;
    touched(server.backend.wheel, server);
    for (let next = nextFor(server); next !== null; next = nextFor(server)) next.connect(server);
  }

  // ---- the pump

  fromClient(chunk: Buffer): void {
    this.bytesUp += chunk.length;
    this.clientActiveMs = nowMs();
    if (this.resp !== null) this.resp.fromClient(chunk);
    else if (this.looked || !this.look(chunk)) this.sendUp(chunk);
  }

  /** The first bytes: true when they were RESP and resp_path.ts has taken them. */
  private look(chunk: Buffer): boolean {
    this.looked = true;
    const back = this.back;
    if (back === null || !back.byAuthority || back.config.options.has("no redis-aware") || !looksLikeResp(chunk)) return false;
    this.resp = new RespPath(this);
    this.resp.setOpen(this.state === PUMPING && !this.gated);
    this.resp.fromClient(chunk);
    return true;
  }

  fromServer(chunk: Buffer): void {
    this.bytesDown += chunk.length;
    this.serverActiveMs = nowMs();
    if (this.resp !== null) this.resp.fromServer(chunk);
    else this.sendDown(chunk);
    if (this.parting !== null && !this.resp!.owes) this.parting.finish();
  }
  // ---- the way out

  clientEnded(): void {
    this.upEnd = true;
    this.clientActiveMs = nowMs();
    if (this.state === PUMPING) {
      if (this.up === null && (this.resp === null || !this.resp.hasWaiting)) this.shutUp();
      if (this.state === PUMPING) this.watch(this.clientActiveMs);
      return;
    }
    // It still gets its answers. A blocking request that waits for a master would take an element for nobody.
    if (this.resp !== null && !this.resp.isIdle) return this.state === HELD && this.resp.waitsForData ? this.end("CQ") : undefined;
    // Nothing to forward and nobody who reads: the client has given up.
    if (this.up === null || this.back?.config.options.has("abortonclose")) this.end(`C${PHASE[this.state]}`);
  }
  serverEnded(): void {
    if (this.mayOutlive) return this.lost("gone", false, false);
    this.downEnd = true;
    this.serverActiveMs = nowMs();
    if (this.down === null) this.shutDown();
    if (this.state === PUMPING) this.watch(this.serverActiveMs);
  }
  clientClosed(error: Error | null): void {
    if (this.state === CLOSED) return;
    // After our own FIN there is no separate event for the client's.
    if (error === null && this.downShut && (this.state === PUMPING || this.upEnd)) return this.end("--");
    if (this.state === PUMPING && this.target !== null) {
      this.target.clientAborts++;
      this.target.backend.clientAborts++;
    }
    this.end(`C${PHASE[this.state]}`);
  }
  serverClosed(error: Error | null): void {
    if (this.state !== PUMPING) return;
    if (this.mayOutlive) return this.lost("gone", false, false);
    this.server = null;
    if (error === null && (this.downEnd || this.upShut)) {
      // Closed as agreed (after our FIN there is no separate event for its own): what is still due to the client goes out first.
      this.downEnd = true;
      if (this.down === null) this.shutDown();
      if (this.upShut && this.down === null) this.end("--");
      return;
    }
    if (this.target !== null) {
      this.target.serverAborts++;
      this.target.backend.serverAborts++;
    }
    this.end("SD");
  }

  get replay(): "readonly" | "idempotent" | "none" {
    return this.back?.config.replay ?? "readonly";
  }
  classOf(): number {
    return UNSAFE;
  }
  get isOver(): boolean {
    return this.state === CLOSED;
  }
  /** The end of its server need not be its own. */
  private get mayOutlive(): boolean {
    return this.resp !== null && !this.resp.opaque && !this.resp.state.quitting && !this.upShut && this.state === PUMPING;
  }

  /**
   * The server is gone, or has refused as only a replica does (`suspect`): the client is kept, and goes on once it is known what has
   * happened. A server that is alive, the same and still the master has closed this connection on purpose: so do we.
   */
  lost(why: "gone" | "suspect", nothingDone: boolean, first: boolean): void {
    const { back, resp, target } = this;
    if (back === null || back.verify === null || target === null || resp === null || !resp.detach(nothingDone, first))
      return this.end("SD");
    this.leaveServer();
    this.hold();
    back.verify(target, (same) => {
      if (this.state !== HELD) return;
      if (why === "gone" && same) this.end("--");
      else this.dispatch(null);
    });
  }
  private leaveServer(): void {
    const conn = this.server;
    this.server = null;
    this.up = null;
    this.upMore = null;
    this.gated = false;
    this.dialing?.cancel();
    this.dialing = null;
    this.parting?.cancel();
    this.parting = null;
    if (conn?.isOpen) conn.terminate();
    this.release();
  }

  /** Leaves its server for whichever is chosen next, once that owes it nothing. False: it cannot, its bytes mean nothing to another one. */
  move(): boolean {
    const { server, target, back, resp } = this;
    if (this.parting !== null) return true;
    if (this.state !== PUMPING || server === null || target === null || back === null || resp === null || !resp.owes) return this.moveNow();
    resp.setOpen(false);
    this.parting = new Parting(back, target, server, () => this.moveNow() || this.kill("D"));
    return true;
  }
  private moveNow(): boolean {
    if (this.state === PUMPING) {
      if (this.resp === null || !this.resp.detach(false, false)) return false;
    } else if (this.state !== CONNECTING && this.state !== TURNAROUND) return false;
    this.leaveServer();
    this.dispatch(null);
    return true;
  }

  /** Shut: nothing new goes to the server, because it may be about to lose its role; what is under way goes on. */
  gate(shut: boolean): void {
    if (this.state !== PUMPING || this.gated === shut || this.parting !== null) return;
    this.gated = shut;
    const now = nowMs();
    if (shut) {
      this.heldSinceMs = now;
      if (this.resp !== null) this.resp.setOpen(false);
      else this.client.pause();
      this.engine.timers.set(this, now + this.back!.config.holdMs);
      return;
    }
    this.heldSinceMs = 0;
    this.clientActiveMs = now;
    this.serverActiveMs = now;
    this.watch(now);
    if (this.resp !== null) this.resp.setOpen(true);
    if (this.isOver) return;
    if (this.up !== null) this.flushUp();
    else if (this.upEnd) this.shutUp();
    else this.client.resume();
  }

  /** Ends the session for a reason of ours: D server down, U server up, K administrator. */
  kill(letter: "D" | "U" | "K"): void {
    this.end(`${letter}${this.state === PUMPING ? "-" : PHASE[this.state]}`);
  }

  /** Its bytes since the last time go to the counters of its sections and its server. */
  countBytes(): void {
    const up = this.bytesUp - this.countedUp;
    const down = this.bytesDown - this.countedDown;
    this.countedUp = this.bytesUp;
    this.countedDown = this.bytesDown;
    for (const of of [this.front, this.back, this.target]) {
      if (of === null) continue;
      of.bytesIn += up;
      of.bytesOut += down;
    }
  }

  end(flags: string): void {
    if (this.state === CLOSED) return;
    const was = this.state;
    if (this.flags === "--") this.flags = flags;
    const { engine, front, back } = this;
    engine.timers.remove(this);
    this.dialing?.cancel();
    this.dialing = null;
    this.parting?.cancel();
    if (was === QUEUED) dequeue(this);
    if (was !== WAITING) logSession(this);
    this.state = CLOSED;
    const hard = front.config.options.has("nolinger") || flags[0] === "D" || flags[0] === "K";
    for (const conn of [this.client, this.server]) {
      if (conn === null) continue;
      if (hard) conn.terminate();
      else conn.close();
    }
    this.up = null;
    this.down = null;
    this.upMore = null;
    this.downMore = null;
    front.sessions.delete(this);
    if (was === WAITING) {
      const at = front.waiting.indexOf(this);
      if (at >= 0) front.waiting.splice(at, 1);
      return;
    }
    engine.active--;
    front.active--;
    this.countBytes();
    const total = Math.round(nowMs() - this.acceptedMs);
    if (back !== null) {
      back.times.add(this.waitedMs, this.connectedMs, total);
      back.held.delete(this);
    }
    if (this.target !== null) {
      this.target.times.add(this.waitedMs, this.connectedMs, total);
      this.release();
    }
    // Not before its slot has been given away: minconn's ramp counts it so long.
    if (back !== null) back.active--;
    const next = nextWaiting(front);
    if (next !== null) next.admit();
    engine.onIdle?.();
  }

  // ---- time

  /** Sets the deadline of the pumping state from the last activity. */
  watch(now: number): void {
    this.engine.timers.set(this, nextDeadline(this, now));
  }

  expire(now: number): void {
    switch (this.state) {
      case HELD:
        return this.heldTooLong(now);
      case QUEUED:
        this.failed();
        return this.end("sQ");
      case CONNECTING:
        this.timedConnect = true;
        this.dialing?.cancel();
        return this.connectFailed({ code: "ETIMEDOUT" });
      case TURNAROUND:
        return this.target === null ? this.dispatch(null) : this.connect(this.target);
      case PUMPING:
        return overTime(this, now);
    }
  }
}

/** Bun's events of the client's connection. */
export const clientSide: ConnHandler<Session> = {
  open(conn) {
    conn.data.open();
  },
  data(conn, chunk) {
    conn.data.fromClient(chunk);
  },
  drained(conn) {
    conn.data.flushDown();
  },
  end(conn) {
    conn.data.clientEnded();
  },
  close(conn, error) {
    conn.data.clientClosed(error);
  },
};

/** Bun's events of the server's connection. */
export const serverSide: ConnHandler<Session> = {
  open(conn) {
    conn.data.connected();
  },
  data(conn, chunk) {
    if (conn.data.server === conn) conn.data.fromServer(chunk);
  },
  drained(conn) {
    if (conn.data.server === conn) conn.data.flushUp();
  },
  end(conn) {
    if (conn.data.server === conn) conn.data.serverEnded();
  },
  close(conn, error) {
    if (conn.data.server === conn) conn.data.serverClosed(error);
  },
};

/**
 * Mode redis of one backend: its clients, the pools of shared connections, the connections of clients' own, and where they all lead. WARM.
 *
 *   fencing.ts --gate / leave / choose--> Board --> SharedUpstream, Pinned (each sorts what is under way and goes to the next master)
 *                                               --> clients that wait: released, in the order they came
 *
 * Who is master is the authority's to say (fleet/authority.ts, fencing.ts), as in mode tcp. A hold is bounded by time and bytes
 * (redis-hold): then what waits is answered with -UNAVAILABLE and the connections stay.
 */
import type { TLSOptions } from "bun";
import { rowTable, type RowTable } from "../../commands/table/index.ts";
import type { Conn, ConnHandler } from "../../net/conn.ts";
import { dial } from "../../net/dial.ts";
import { Request } from "../../resp/request.ts";
import { ClientState } from "../core/client_state.ts";
import { proxyHeader } from "../../net/proxy_protocol.ts";
import { CONTAINER, DENIED, planOf } from "../core/redis_plan.ts";
import { classesOf } from "../core/request_class.ts";
import type { Engine } from "../engine.ts";
import type { Backend, Server, Switchboard } from "../state.ts";
import { nowMs } from "../timers.ts";
import { say } from "../transitions.ts";
import { FLAG, NO_KEYS, type Row } from "../../commands/table/row.ts";
import { finished } from "./accept.ts";
import type { RedisClient } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { Foreign } from "./foreign.ts";
import { Login } from "./login.ts";
import { Meter } from "./meter.ts";
import type { Pinned } from "./pinned.ts";
import { Pool } from "./pool.ts";
import { Scripts } from "./scripts.ts";
import { CLOSED, DIALING, LOST, PARTING, UP, type SharedUpstream } from "./shared.ts";
import type { Users } from "./users.ts";

const TICK_MS = 100;
/** A pool without clients closes its connections after this. */
const POOL_IDLE_MS = 30_000;
/** Connections of clients' own that wait for the next one, for each kind of client. */
const PRIVATE_MAX = 64;

/** Connections are looked through for closed ones when there are so many, or twice as many as were left. */
const WIRES_MIN = 64;

/** A connection to a server, and what has been counted of its bytes. */
interface Wire {
  readonly server: Server;
  readonly conn: Conn<any>;
  up: number;
  down: number;
}
interface Private {
  server: Server;
  conn: Conn<Private>;
}

export class Board implements Switchboard {
  readonly engine: Engine;
  readonly backend: Backend;
  readonly table: RowTable;
  readonly classes: Uint8Array;
  readonly plan: Uint8Array;
  /** Reads one request after another; nothing of it outlives a call. */
  readonly request: Request;
  readonly meter: Meter;
  private wires: Wire[];
  private wiresMax: number;
  /** Requests so far, for sampling. */
  sampled: number;
  readonly login: Login;
  readonly scripts: Scripts;
  readonly foreign: Foreign;
  /** Ends what the next master is being told before it is used. */
  private teaching: (() => void) | null;
  readonly users: Users | null;
  readonly replay: "readonly" | "idempotent" | "none";
  readonly clients: Set<RedisClient>;
  readonly pins: Set<Pinned>;
  readonly held: Set<RedisClient>;
  readonly dirtyClients: RedisClient[];
  /** Shared connections that only finish what they have. */
  readonly retired: Set<SharedUpstream>;
  private readonly dirty: SharedUpstream[];
  private scheduled: boolean;
  private readonly pools: Map<string, Pool>;
  private readonly privates: Map<string, Private[]>;
  /** The master in use; requests go there while `isOpen`. */
  target: Server | null;
  private shut: boolean;
  private readonly readFrom: "master" | "replica" | "prefer-replica";
  private readers: Server[];
  readonly cluster: Cluster | null;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(engine: Engine, backend: Backend, users: Users | null) {
    const table = rowTable("server");
    this.engine = engine;
    this.backend = backend;
    this.table = table;
    this.classes = classesOf(table);
    this.plan = planOf(table, this.classes);
    this.request = new Request();
    this.wires = [];
    this.wiresMax = WIRES_MIN;
    this.meter = new Meter(table);
    this.sampled = 0;
    this.login = new Login(this);
    this.scripts = new Scripts();
    this.foreign = new Foreign(this);
    this.teaching = null;
    this.users = users;
    this.replay = backend.config.replay;
    this.clients = new Set();
    this.pins = new Set();
    this.held = new Set();
    this.dirtyClients = [];
    this.retired = new Set();
    this.dirty = [];
    this.scheduled = false;
    this.pools = new Map();
    this.privates = new Map();
    this.target = null;
    this.shut = false;
    this.readFrom = backend.config.read;
    this.readers = [];
    this.cluster = backend.config.cluster.length > 0 ? new Cluster(this) : null;
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.timer.unref?.();
    this.deny(backend.config.deny);
  }

  private deny(names: readonly string[]): void {
    for (const name of names) {
      const row = this.table.get(name);
      if (row === undefined) continue;
      this.plan[row.id] = DENIED;
      if (this.plan[row.id] !== CONTAINER && row.subcommands !== null) for (const sub of row.subcommands) this.plan[sub.id] = DENIED;
    }
  }
  deniedLine(row: Row | null): Buffer {
    return Buffer.from(`-NOPERM the command '${row?.name ?? ""}' is denied by the proxy\r\n`, "latin1");
  }
  /** Requests may go to the target. */
  get isOpen(): boolean {
    if (this.cluster !== null) return this.cluster.isKnown;
    return this.target !== null && !this.shut;
  }

  // ---- clients and their pools

  newState(): ClientState {
    const state = new ClientState();
    const { auth } = this.backend.config;
    if (auth !== null) state.commit(["AUTH", ...auth]);
    return state;
  }
  join(state: ClientState): Pool {
    let pool = this.pools.get(state.key);
    if (pool === undefined) {
      pool = new Pool(this, state, this.backend.config.pool);
      this.pools.set(state.key, pool);
    }
    pool.clients++;
    pool.idleSinceMs = 0;
    return pool;
  }
  part(pool: Pool): void {
    if (--pool.clients === 0) pool.idleSinceMs = nowMs();
  }
  /** What makes a connection that of the first clients there are. */
  get setup(): string[][] {
    for (const pool of this.pools.values()) if (pool.clients > 0) return pool.setup;
    return this.newState()
      .restore()
      .map((r) => r.words);
  }
  /** A pool for this state is there and works: its credentials and its database are good. */
  isKnown(state: ClientState): boolean {
    return this.pools.get(state.key)?.shared.some((u) => u.state === UP && u.wasServed) ?? false;
  }
  gone(client: RedisClient, flags: string): void {
    this.clients.delete(client);
    this.held.delete(client);
    this.part(client.pool);
    finished(client, flags);
  }

  /** The connection for this request of a client, started when it is not; null: not now, the client waits. */
  route(client: RedisClient, row: Row, request: Request): SharedUpstream | null {
    if (this.cluster !== null) return this.cluster.route(client, row, request);
    const reads = this.readFrom !== "master" && (row.flags & FLAG.readonly) !== 0 && row.keysKind !== NO_KEYS;
    if (reads && (this.readers.length > 0 || this.readFrom === "replica")) return this.routeRead(client);
    if (!this.isOpen) return client.hold();
    let up = client.up;
    if (up.isRetired) {
      if (client.outstanding > 0) return client.drain();
      up = client.up = client.pool.of(client);
    }
    if (!up.isUsable) {
      // What is kept goes first, and is tried again by itself.
      if (up.state === PARTING || (up.state === LOST && up.kept.length > 0)) return client.hold();
      up.connect(this.target!);
    }
    return up;
  }

  /** A read goes to a replica; the client's order of execution over two servers is not kept, the order of its replies is. */
  private routeRead(client: RedisClient): SharedUpstream | null {
    if (this.readers.length === 0) return client.hold();
    const up = client.pool.readerOf(client, Math.max(this.readers.length, this.backend.config.pool));
    if (!up.isUsable) {
      if (up.state === LOST && up.kept.length > 0) return client.hold();
      up.connect(this.targetOf(up)!);
    }
    return up;
  }
  /** Where a shared connection is to lead now; null: nowhere yet. */
  targetOf(up: SharedUpstream): Server | null {
    const { role } = up;
    if (role.kind === "node") return this.cluster !== null && this.cluster.serves(role.server) ? role.server : null;
    if (role.kind === "reader") {
      if (this.readers.length > 0) return this.readers[role.place % this.readers.length]!;
      if (this.readFrom === "replica") return null;
    }
    return this.isOpen ? this.target : null;
  }
  /** The replicas that may be read now. */
  setReaders(list: readonly Server[]): void {
    if (this.readFrom === "master") return;
    const were = this.readers;
    if (list.length === were.length && list.every((s, i) => s === were[i])) return;
    this.readers = [...list];
    for (const pool of this.pools.values())
      for (const up of pool.readers) {
        if (up.server !== null && !list.includes(up.server)) up.leave(false, false);
        this.resumeUpstream(up);
      }
    if (list.length > 0) this.releaseHeld();
  }

  // ---- once a turn

  /** Sends what was appended to `up` at the end of this turn. */
  soon(up: SharedUpstream): void {
    up.isDirty = true;
    this.dirty.push(up);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      for (const u of this.dirty) u.flush();
      this.dirty.length = 0;
    });
  }
  flushClients(): void {
    const list = this.dirtyClients;
    // Flushing may let a client go on, which may put others here.
    for (let i = 0; i < list.length; i++) list[i]!.flush();
    list.length = 0;
  }

  // ---- servers

  /** What a connection to `server` needs to know. */
  where(server: Server): { hostname?: string; port?: number; path?: string; tls?: TLSOptions; localAddress?: string } {
    const c = server.config;
    const tls = c.ssl && server.tls !== null ? { tls: server.tls } : {};
    const source = c.sourceHost || this.backend.config.sourceHost;
    const from = source === "" ? {} : { localAddress: source };
    return c.path !== "" ? { path: c.path, ...tls } : { hostname: server.dialHost, port: server.port, ...tls, ...from };
  }
  dial<T>(server: Server, data: T, handler: ConnHandler<T>, failed: () => void): { conn: Conn<T>; cancel(): void } {
    const header = server.config.sendProxy;
    const events: ConnHandler<T> = {
      ...handler,
      open: (conn) => {
        conn.handler = handler;
        this.wired(server, conn);
        if (header !== 0) conn.writeNow(proxyHeader(header, null, null));
        handler.open(conn);
      },
    };
    return dial<T>({
      ...this.where(server),
      timeoutMs: this.backend.config.timeouts.connect ?? 3000,
      data,
      handler: events,
      failed,
    });
  }
  /** A connection to a server is open: its bytes will be counted. */
  private wired(server: Server, conn: Conn<unknown>): void {
    if (this.wires.length >= this.wiresMax) {
      // Those that are closed are forgotten when they are counted.
      this.countBytes();
      this.wiresMax = Math.max(WIRES_MIN, this.wires.length * 2);
    }
    this.wires.push({ server, conn, up: 0, down: 0 });
  }
  /** What has gone over the connections to servers since the last time, their own set-up included, goes to the servers' counters. */
  countBytes(): void {
    const open: Wire[] = [];
    for (const w of this.wires) {
      const { server, conn } = w;
      server.bytesIn += conn.bytesOut - w.up;
      server.bytesOut += conn.bytesIn - w.down;
      w.up = conn.bytesOut;
      w.down = conn.bytesIn;
      if (conn.isOpen) open.push(w);
    }
    this.wires = open;
  }
  /** A shared connection has its server: who has waited for it goes on. */
  connected(): void {
    if (this.held.size === 0) return;
    this.releaseHeld();
    this.flushClients();
  }
  connectFailed(server: Server): void {
    server.connectErrors++;
    this.backend.connectErrors++;
  }
  say(severity: number, text: string): void {
    say(this.engine, this.backend, severity, `backend ${this.backend.name}: ${text}`);
  }

  /** Asks the authority anew; `done(true)`: the server lives, is the same process, and still the master. */
  verify(server: Server, done: (same: boolean) => void): void {
    if (this.backend.verify === null) done(false);
    else this.backend.verify(server, done);
  }

  /** A shared connection has lost its server: looked into, and begun anew as soon as there is a master. */
  lostUpstream(up: SharedUpstream, server: Server, _why: "gone" | "suspect"): void {
    this.verify(server, () => this.parted(up));
  }
  resumeUpstream(up: SharedUpstream): void {
    if (up.state !== LOST || up.awaiting === 0) return;
    const target = this.targetOf(up);
    if (target !== null) up.connect(target);
  }

  *allShared(): Generator<SharedUpstream> {
    for (const pool of this.pools.values()) yield* pool.all;
    yield* this.retired;
  }

  // ---- Switchboard: what the authority decides

  gate(shut: boolean): void {
    if (this.shut === shut) return;
    this.shut = shut;
    for (const pin of this.pins) pin.gate(shut);
    if (!shut) this.release();
  }
  leave(server: Server): void {
    this.stopTeaching();
    if (this.target === server) this.target = null;
    for (const up of this.allShared()) if (up.server === server && up.role.kind === "master") up.part();
    for (const pin of Array.from(this.pins)) pin.part(server);
    this.dropPrivates(server);
    this.flushClients();
  }
  /** A shared connection has done with a server that is not the master any more. */
  parted(up: SharedUpstream): void {
    this.resumeUpstream(up);
    if (this.isOpen && up.state !== DIALING) this.releaseHeld();
    this.flushClients();
  }
  /** A node of the cluster serves nothing any more. */
  leaveNode(server: Server): void {
    for (const up of this.allShared()) if (up.server === server) up.leave(false, false);
    for (const pin of Array.from(this.pins)) pin.leave(server);
    this.dropPrivates(server);
  }
  choose(server: Server): void {
    if (this.target !== null && this.target !== server) this.leave(this.target);
    this.stopTeaching();
    if (this.scripts.isEmpty) return this.enter(server);
    // The same one, started anew, is empty as well.
    this.target = null;
    this.teaching = this.scripts.teach(this, server, () => {
      this.teaching = null;
      this.enter(server);
    });
  }
  private enter(server: Server): void {
    this.target = server;
    this.release();
  }
  private stopTeaching(): void {
    this.teaching?.();
    this.teaching = null;
  }
  isIdle(server: Server): boolean {
    for (const up of this.allShared()) if (up.server === server && up.role.kind === "master" && up.awaiting > 0) return false;
    // A client that only waits for data, or listens, is none that has something under way.
    for (const pin of this.pins) if (pin.server === server && pin.isBusy) return false;
    return true;
  }
  uses(server: Server): boolean {
    if (this.target === server) return true;
    for (const up of this.allShared()) if (up.server === server && up.role.kind === "master") return true;
    for (const pin of this.pins) if (pin.server === server) return true;
    return false;
  }

  /** Everybody goes on. */
  private release(): void {
    if (!this.isOpen) return;
    for (const up of this.allShared()) this.resumeUpstream(up);
    for (const pin of Array.from(this.pins)) pin.start();
    this.login.again();
    this.releaseHeld();
  }
  releaseHeld(): void {
    const waiting = [...this.held];
    this.held.clear();
    this.meter.held += waiting.length;
    for (const client of waiting) client.released();
    this.flushClients();
  }

  private tick(): void {
    const now = nowMs();
    const { holdMs, holdBytes } = this.backend.config;
    let waiting = 0;
    for (const client of this.held) {
      waiting += client.waitingBytes;
      if (now - client.heldSinceMs > holdMs || waiting > holdBytes) client.heldTooLong(now);
    }
    for (const pin of Array.from(this.pins)) if (pin.heldSinceMs > 0 && now - pin.heldSinceMs > holdMs) pin.heldTooLong(now);
    for (const up of this.allShared()) {
      if (up.kept.length > 0 && now - up.lostSinceMs > holdMs) up.failKept();
      up.look(now);
    }
    this.login.tick(now, holdMs);
    this.cluster?.tick(now);
    for (const [key, pool] of this.pools) {
      if (pool.clients > 0 || now - pool.idleSinceMs < POOL_IDLE_MS) continue;
      for (const up of pool.all) up.close();
      this.pools.delete(key);
      this.dropPrivatesOf(key);
    }
    this.flushClients();
  }

  // ---- connections that wait for a client of their own

  takePrivate(server: Server, key: string): Conn<any> | null {
    const list = this.privates.get(`${key} ${server.name}`);
    for (let p = list?.pop(); p !== undefined; p = list?.pop()) {
      if (p.conn.isOpen) return p.conn;
      p.conn.terminate();
    }
    return null;
  }
  givePrivate(server: Server, key: string, conn: Conn<any>): void {
    const place = `${key} ${server.name}`;
    let list = this.privates.get(place);
    if (list === undefined) this.privates.set(place, (list = []));
    const serves = this.cluster !== null ? this.cluster.serves(server) : server === this.target;
    if (list.length >= PRIVATE_MAX || !serves || !this.pools.has(key)) {
      server.active--;
      conn.terminate();
      return;
    }
    const p: Private = { server, conn };
    conn.data = p;
    conn.handler = idle;
    conn.resume();
    list.push(p);
  }
  private dropPrivates(server: Server): void {
    for (const list of this.privates.values())
      for (let i = list.length - 1; i >= 0; i--) {
        if (list[i]!.server !== server) continue;
        server.active--;
        list.splice(i, 1)[0]!.conn.terminate();
      }
  }
  private dropPrivatesOf(key: string): void {
    for (const [place, list] of this.privates) {
      if (!place.startsWith(`${key} `)) continue;
      for (const p of list) {
        p.server.active--;
        p.conn.terminate();
      }
      this.privates.delete(place);
    }
  }

  /** The end of the proxy. */
  stop(): void {
    clearInterval(this.timer);
    this.stopTeaching();
    for (const client of Array.from(this.clients)) client.kill("K");
    for (const up of this.allShared()) if (up.state !== CLOSED) up.close();
    for (const key of this.pools.keys()) this.dropPrivatesOf(key);
    this.login.close();
    this.cluster?.stop();
  }
}

/** A connection that nobody uses: whatever comes on it ends it. */
const idle: ConnHandler<Private> = {
  open: () => {},
  data: (conn) => conn.terminate(),
  drained: () => {},
  end: (conn) => conn.terminate(),
  close: () => {},
};

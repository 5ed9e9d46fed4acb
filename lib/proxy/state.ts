/**
 * The things a running proxy is made of: frontends, backends, servers, with their counters. Plain records with a few questions they can
 * answer; who changes them: session.ts (connections), checks.ts (health), fencing.ts (authority), main.ts (life).
 */
import type { TLSOptions } from "bun";
import type { BindConfig, ProxyConfig, ServerConfig } from "../config/haproxy_model.ts";
import type { Listener } from "../net/listen.ts";
import { newWheel, type Candidate, type Wheel } from "./core/balance.ts";
import { healthText, isUp, newHealth, type Health } from "./core/health.ts";
import type { Logger } from "./log_targets.ts";
import type { Session } from "./session.ts";

/** Server modes that an administrator sets. */
export type AdminState = "ready" | "drain" | "maint";

export class Server implements Candidate {
  readonly config: ServerConfig;
  readonly backend: Backend;
  readonly order: number;
  /** The resolved address; "" stands for the one the client connected to. */
  host: string;
  /** For its connections, and for its checks; null: plain. */
  tls: TLSOptions | null;
  readonly health: Health;
  admin: AdminState;
  /** Why the authority does not let it be used though its checks pass; null when it does. */
  fenced: string | null;
  // Candidate
  weight: number;
  active: number;
  queued: number;
  maxconn: number;
  turn: number;
  /** Waiting for a slot here, first come first served. */
  readonly queue: Session[];
  /** Connected or connecting to it. */
  readonly sessions: Set<Session>;
  /** When its state last changed (Date.now). */
  changedMs: number;
  sessionsTotal: number;
  activeMax: number;
  bytesIn: number;
  bytesOut: number;
  connectErrors: number;
  retries: number;
  redispatches: number;
  clientAborts: number;
  serverAborts: number;

  constructor(config: ServerConfig, backend: Backend, order: number, startsDown: boolean) {
    this.config = config;
    this.backend = backend;
    this.order = order;
    this.host = config.host;
    this.tls = null;
    const s = config;
    const wanted = s.initState === "" || s.initState === "none" ? (startsDown && s.check ? "down" : "up") : s.initState;
    this.health = newHealth(
      { rise: s.rise, fall: s.fall, interMs: s.interMs, fastinterMs: s.fastinterMs, downinterMs: s.downinterMs },
      wanted,
    );
    this.admin = s.disabled ? "maint" : "ready";
    this.fenced = null;
    this.weight = s.weight;
    this.active = 0;
    this.queued = 0;
    this.maxconn = s.maxconn;
    this.turn = 0;
    this.queue = [];
    this.sessions = new Set();
    this.changedMs = Date.now();
    this.sessionsTotal = 0;
    this.activeMax = 0;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.connectErrors = 0;
    this.retries = 0;
    this.redispatches = 0;
    this.clientAborts = 0;
    this.serverAborts = 0;
  }

  get name(): string {
    return this.config.name;
  }
  get isChecked(): boolean {
    return this.config.check;
  }
  /** Up as its checks see it, fence and maintenance included. */
  get isUp(): boolean {
    return this.admin !== "maint" && this.fenced === null && (!this.config.check || isUp(this.health));
  }
  /** May take new connections. */
  get isUsable(): boolean {
    return this.isUp && this.admin === "ready" && this.weight > 0;
  }
  get hasRoom(): boolean {
    return this.maxconn === 0 || this.active < this.maxconn;
  }
  /** `be/s`, with `Backup ` where HAProxy puts it. */
  get path(): string {
    return `${this.backend.name}/${this.config.name}`;
  }
  /** As the stats show it. */
  get statusText(): string {
    if (this.admin === "maint") return "MAINT";
    if (this.fenced !== null && isUp(this.health)) return `DOWN (fenced, ${this.fenced})`;
    if (!this.config.check) return "no check";
    if (this.admin === "drain" && isUp(this.health)) return "DRAIN";
    const full = this.health.counter === this.config.rise + this.config.fall - 1;
    if (isUp(this.health)) return full ? "UP" : `UP ${healthText(this.health).split(" ")[0]}`;
    return this.health.counter === 0 ? "DOWN" : `DOWN ${healthText(this.health).split(" ")[0]}`;
  }
}

/** What serves the clients of mode redis (redis/board.ts), told by the authority. */
export interface Switchboard {
  /** Shut: nothing new goes to the present master. */
  gate(shut: boolean): void;
  /** This server is not the master (any more). */
  leave(server: Server): void;
  /** This one is. */
  choose(server: Server): void;
  /** These replicas follow it closely enough to be read. */
  setReaders(list: readonly Server[]): void;
  /** Nothing is under way there that wants a reply. */
  isIdle(server: Server): boolean;
  uses(server: Server): boolean;
  stop(): void;
}

export class Backend {
  readonly config: ProxyConfig;
  readonly servers: Server[];
  readonly log: Logger;
  readonly wheel: Wheel;
  /** Waiting for any server. */
  readonly queue: Session[];
  /** Waiting for the authority to name a master. */
  readonly held: Set<Session>;
  /** Checked for role:master, and not in strict mode: an authority decides which server is used. */
  readonly byAuthority: boolean;
  /** Of mode redis; null in mode tcp. */
  board: Switchboard | null;
  /** The authority's choice; null: hold. */
  chosen: Server | null;
  /** Asks a server anew who it is; `same`: it lives, is the same process, and is still the choice. Null without an authority. */
  verify: ((server: Server, done: (same: boolean) => void) => void) | null;
  /** Since when (performance.now) there is no choice; 0 when there is one. */
  holdingSinceMs: number;
  active: number;
  activeMax: number;
  sessionsTotal: number;
  bytesIn: number;
  bytesOut: number;
  connectErrors: number;
  retries: number;
  redispatches: number;
  downs: number;
  /** Bytes of the replication stream that old masters had and their successors have not. */
  lostBytes: number;

  constructor(config: ProxyConfig, log: Logger, byAuthority: boolean) {
    this.config = config;
    this.log = log;
    this.servers = [];
    this.wheel = newWheel();
    this.queue = [];
    this.held = new Set();
    this.byAuthority = byAuthority;
    this.board = null;
    this.chosen = null;
    this.verify = null;
    this.holdingSinceMs = 0;
    this.active = 0;
    this.activeMax = 0;
    this.sessionsTotal = 0;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.connectErrors = 0;
    this.retries = 0;
    this.redispatches = 0;
    this.downs = 0;
    this.lostBytes = 0;
  }

  get name(): string {
    return this.config.name;
  }
  get activeServers(): number {
    return this.servers.reduce((n, s) => n + (!s.config.backup && s.isUsable ? 1 : 0), 0);
  }
  get backupServers(): number {
    return this.servers.reduce((n, s) => n + (s.config.backup && s.isUsable ? 1 : 0), 0);
  }
  /** Servers that take new connections now: active ones; without any, the first backup (all with option allbackups). */
  candidates(): Server[] {
    if (this.byAuthority) return this.chosen !== null && this.chosen.admin === "ready" ? [this.chosen] : [];
    const active = this.servers.filter((s) => !s.config.backup && s.isUsable);
    if (active.length > 0) return active;
    const backups = this.servers.filter((s) => s.config.backup && s.isUsable);
    return this.config.options.has("allbackups") ? backups : backups.slice(0, 1);
  }
  /** Sessions waiting here or at a server. */
  get pending(): number {
    return this.queue.length + this.servers.reduce((n, s) => n + s.queue.length, 0);
  }
}

export class Frontend {
  readonly config: ProxyConfig;
  readonly log: Logger;
  readonly binds: { bind: BindConfig; listener: Listener }[];
  readonly sessions: Set<Session>;
  /** Accepted beyond maxconn: not looked at until a place is free. */
  readonly waiting: Session[];
  readonly maxconn: number;
  active: number;
  activeMax: number;
  sessionsTotal: number;
  bytesIn: number;
  bytesOut: number;

  constructor(config: ProxyConfig, log: Logger, maxconn: number) {
    this.config = config;
    this.log = log;
    this.binds = [];
    this.sessions = new Set();
    this.waiting = [];
    this.maxconn = maxconn;
    this.active = 0;
    this.activeMax = 0;
    this.sessionsTotal = 0;
    this.bytesIn = 0;
    this.bytesOut = 0;
  }
  get name(): string {
    return this.config.name;
  }
}

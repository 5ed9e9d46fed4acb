/**
 * The things a running proxy is made of: frontends, backends, servers, with their counters. Plain records with a few questions they can
 * answer; who changes them: session.ts (connections), checks.ts (health), fencing.ts (authority), main.ts (life).
 */
import type { TLSOptions } from "bun";
import type { BindConfig, ProxyConfig, ServerConfig } from "../config/haproxy_model.ts";
import type { Listener } from "../net/listen.ts";
import { newWheel, type Candidate, type Wheel } from "./core/balance.ts";
import { RoundRobin, WeightMap } from "./core/round_robin.ts";
import { healthText, isUp, newHealth, type Health } from "./core/health.ts";
import { Rate, Times } from "./counters.ts";
import type { Logger } from "./log_targets.ts";
import type { Session } from "./session.ts";
import { slotsOfWarming } from "./slowstart.ts";

/** What a server's agent has said last. */
export interface AgentState {
  readonly isDown: boolean;
  /** As check statuses are named, what it means, what the agent said, how long that took. */
  readonly statusName: string;
  readonly description: string;
  readonly lastText: string;
  readonly durationMs: number;
}

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
  /** When the authority asked the last question that it has answered, on a connection that nobody shares (nowMs); 0: never. */
  heardMs: number;
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
  /** Its number in the statistics. */
  readonly sid: number;
  /** As configured or set by an administrator; `weight` is what it is worth now (slowstart, agent). */
  userWeight: number;
  port: number;
  /** Its checks are switched off by an administrator. */
  checkPaused: boolean;
  /** A check is under way. */
  checking: boolean;
  /** No new sessions though it is up (`set server health stopping`, an agent's `stopped`). */
  stopping: boolean;
  /** Waits for its name to be resolved. */
  unresolved: boolean;
  /** Whose health it shares (track), and who shares its own. */
  tracks: Server | null;
  readonly trackers: Server[];
  agent: AgentState | null;
  /** Since when it warms up (slowstart, performance.now); 0: it does not. */
  warmingSinceMs: number;
  queuedMax: number;
  /** Slots given to its queue so far. */
  turns: number;
  balanced: number;
  connections: number;
  /** Date.now of the last session; 0: none yet. */
  lastSessionMs: number;
  downtimeMs: number;
  failedChecks: number;
  /** Errors in a row of its traffic (observe). */
  consecutiveErrors: number;
  /** How often there were error-limit of them. */
  observedFailures: number;
  readonly rate: Rate;
  readonly times: Times;

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
    if (s.disabled) this.health.counter = 0;
    this.fenced = null;
    this.weight = s.weight;
    this.active = 0;
    this.queued = 0;
    this.maxconn = s.maxconn;
    this.turn = 0;
    this.heardMs = 0;
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
    this.sid = config.id || order + 1;
    this.userWeight = s.weight;
    this.port = s.port;
    this.checkPaused = false;
    this.checking = false;
    this.stopping = false;
    this.unresolved = false;
    this.tracks = null;
    this.trackers = [];
    this.agent = null;
    this.warmingSinceMs = 0;
    this.queuedMax = 0;
    this.turns = 0;
    this.balanced = 0;
    this.connections = 0;
    this.lastSessionMs = 0;
    this.downtimeMs = 0;
    this.failedChecks = 0;
    this.consecutiveErrors = 0;
    this.observedFailures = 0;
    this.rate = new Rate();
    this.times = new Times();
  }

  get name(): string {
    return this.config.name;
  }
  /** Where the authority and mode redis connect to: a name that leads nowhere while the server's own has not been found yet. */
  get dialHost(): string {
    return this.unresolved && this.host === "" ? "unresolved.invalid" : this.host;
  }
  get isChecked(): boolean {
    return this.config.check;
  }
  /** In maintenance: by an administrator, like the server it follows, or for want of an address. */
  get inMaintenance(): boolean {
    return this.admin === "maint" || this.unresolved || this.tracks?.inMaintenance === true;
  }
  /** Up as its checks and its agent see it. */
  get isHealthy(): boolean {
    return isUp(this.tracks === null ? this.health : this.healthOwner.health) && this.agent?.isDown !== true;
  }
  /** The server whose checks decide. */
  get healthOwner(): Server {
    let s: Server = this;
    while (s.tracks !== null) s = s.tracks;
    return s;
  }
  /** Up as its checks see it, fence and maintenance included. */
  get isUp(): boolean {
    return !this.inMaintenance && this.fenced === null && this.isHealthy;
  }
  get isDraining(): boolean {
    return this.admin === "drain" || (this.tracks !== null && this.tracks.isDraining);
  }
  /** May take new connections. */
  get isUsable(): boolean {
    return this.weight > 0 && !this.stopping && this.isUp && !this.isDraining;
  }
  /** Connections it may have now: `maxconn`, with `minconn` less while the backend is not full, and less while it warms up. */
  get slots(): number {
    const { minconn } = this.config;
    const { fullconn, active } = this.backend;
    let slots = this.maxconn;
    if (minconn > 0 && active < fullconn && minconn < slots) slots = Math.max(minconn, Math.floor((active * slots) / fullconn));
    return this.warmingSinceMs === 0 ? slots : slotsOfWarming(this, slots);
  }
  get hasRoom(): boolean {
    return this.maxconn === 0 || this.active < this.slots;
  }
  /** `be/s`, with `Backup ` where HAProxy puts it. */
  get path(): string {
    return `${this.backend.name}/${this.config.name}`;
  }
  /** As the stats show it. */
  get statusText(): string {
    if (this.admin === "maint") return "MAINT";
    if (this.unresolved) return "MAINT (resolution)";
    const { tracks } = this;
    if (tracks?.inMaintenance === true) return `MAINT (via ${this.healthOwner.path})`;
    const { health } = this.healthOwner;
    if (this.fenced !== null && isUp(health)) return `DOWN (fenced, ${this.fenced})`;
    if (this.agent?.isDown === true && isUp(health)) return "DOWN (agent)";
    const part = healthText(health).split(" ")[0];
    const full = health.counter === health.settings.rise + health.settings.fall - 1;
    if (!isUp(health)) return health.counter === 0 && this.agent === null ? "DOWN" : `DOWN ${part}`;
    const checked = this.healthOwner.isChecked && !this.healthOwner.checkPaused;
    const suffix = full || !checked ? "" : ` ${part}`;
    if (this.stopping) return `NOLB${suffix}`;
    if (this.isDraining) return this.agent !== null ? "DRAIN (agent)" : `DRAIN${suffix}`;
    return checked ? `UP${suffix}` : "no check";
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
  /** Bytes of open connections go to the servers' counters. */
  countBytes(): void;
  stop(): void;
}

export class Backend {
  readonly config: ProxyConfig;
  readonly servers: Server[];
  readonly log: Logger;
  readonly wheel: Wheel;
  readonly roundRobin: RoundRobin<Server>;
  /** static-rr and source. */
  readonly weightMap: WeightMap<Server>;
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
  /** Waits a moment for the server to say that it is a replica; `is`: it has. Null without an authority. */
  demoted: ((server: Server, done: (is: boolean) => void) => void) | null;
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
  clientAborts: number;
  serverAborts: number;
  /** Its number in the statistics. */
  iid: number;
  /** Where minconn's ramp ends. */
  fullconn: number;
  queuedMax: number;
  /** Slots given to its queue so far. */
  turns: number;
  balanced: number;
  connections: number;
  lastSessionMs: number;
  /** When it got or lost its last usable server (Date.now), and how long it had none. */
  changedMs: number;
  downtimeMs: number;
  wasUp: boolean;
  readonly rate: Rate;
  readonly times: Times;

  constructor(config: ProxyConfig, log: Logger, byAuthority: boolean) {
    this.config = config;
    this.log = log;
    this.servers = [];
    this.wheel = newWheel();
    this.roundRobin = new RoundRobin();
    this.weightMap = new WeightMap();
    this.queue = [];
    this.held = new Set();
    this.byAuthority = byAuthority;
    this.board = null;
    this.chosen = null;
    this.verify = null;
    this.demoted = null;
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
    this.clientAborts = 0;
    this.serverAborts = 0;
    this.iid = 0;
    this.fullconn = config.fullconn;
    this.queuedMax = 0;
    this.turns = 0;
    this.balanced = 0;
    this.connections = 0;
    this.lastSessionMs = 0;
    this.changedMs = Date.now();
    this.downtimeMs = 0;
    this.wasUp = true;
    this.rate = new Rate();
    this.times = new Times();
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
    if (this.byAuthority) return this.chosen !== null && this.chosen.admin === "ready" && !this.chosen.stopping ? [this.chosen] : [];
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
  /** 0: no limit of its own. */
  maxconn: number;
  active: number;
  activeMax: number;
  sessionsTotal: number;
  bytesIn: number;
  bytesOut: number;
  /** Its number in the statistics. */
  iid: number;
  paused: boolean;
  stopped: boolean;
  connections: number;
  /** By rules: connections, sessions; by rules about contents, its backends' included. */
  denied: number;
  deniedSessions: number;
  deniedRequests: number;
  requestErrors: number;
  readonly connectionRate: Rate;
  readonly rate: Rate;

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
    this.iid = 0;
    this.paused = false;
    this.stopped = false;
    this.connections = 0;
    this.denied = 0;
    this.deniedSessions = 0;
    this.deniedRequests = 0;
    this.requestErrors = 0;
    this.connectionRate = new Rate();
    this.rate = new Rate();
  }
  get name(): string {
    return this.config.name;
  }
  get statusText(): string {
    return this.stopped ? "STOP" : this.paused ? "PAUSED" : "OPEN";
  }
}

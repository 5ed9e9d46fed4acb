/** What every part of one running proxy shares: configuration, timers, sections, logs. Made by main.ts; holds no rules of its own. */
import type { HaproxyConfig } from "../config/haproxy_model.ts";
import type { Diagnostics } from "../log/haproxy_line.ts";
import type { Agent } from "./agent.ts";
import type { LogTargets } from "./log_targets.ts";
import type { Resolving } from "./resolving.ts";
import type { Backend, Frontend, Server } from "./state.ts";
import type { History } from "./stats/history.ts";
import type { Topology } from "./stats/topology.ts";
import { Rate } from "./counters.ts";
import { Timers } from "./timers.ts";

export class Engine {
  readonly config: HaproxyConfig;
  readonly timers: Timers;
  readonly logs: LogTargets;
  readonly diagnostics: Diagnostics;
  readonly frontends: Frontend[];
  readonly backends: Map<string, Backend>;
  /** Begins a planned failover of a backend; null before the start. */
  failover: ((back: Backend) => void) | null;
  /** Clients of mode redis. */
  readonly redisClients: Set<{ kill(letter: string): void; countBytes(): void }>;
  /** Client connections now, and the process-wide limit (0: none). */
  active: number;
  maxconn: number;
  /** What the machine allows; `set max connections` stays below. */
  hardMaxconn: number;
  /** Accepted, and admitted, since the start. */
  connections: number;
  sessions: number;
  readonly connectionRate: Rate;
  readonly sessionRate: Rate;
  readonly startedAt: number;
  /** Admin sockets. */
  cliListeners: number;
  readonly resolvings: Resolving[];
  readonly agents: Agent[];
  /** In front of what is said of servers on stderr: while server state files are read it counts as configuration. */
  sayingPrefix: string;
  /** What was said while starting (show startup-logs). */
  startupLog: string;
  /** Soft stop: no new connections, ends with the last one. */
  stopping: boolean;
  /** An error of a server's traffic where `observe` is set: the server's checker takes it from there. */
  observed: (server: Server) => void;
  /** An administrator has changed a server's mode: who decides about masters looks anew. */
  administered: ((server: Server) => void) | null;
  /** What the authorities know (the page). */
  topologies: () => Topology[];
  /** Samples for the page's lines; null without a page. */
  history: History | null;
  /** Called when a successor has told this process to finish. */
  onSucceeded: (() => void) | null;
  /** Called when a session has ended, for the soft stop. */
  onIdle: (() => void) | null;

  constructor(config: HaproxyConfig, logs: LogTargets, diagnostics: Diagnostics) {
    this.config = config;
    this.timers = new Timers();
    this.logs = logs;
    this.diagnostics = diagnostics;
    this.frontends = [];
    this.backends = new Map();
    this.failover = null;
    this.redisClients = new Set();
    this.active = 0;
    this.maxconn = config.global.maxconn;
    this.hardMaxconn = config.global.maxconn;
    this.connections = 0;
    this.sessions = 0;
    this.connectionRate = new Rate();
    this.sessionRate = new Rate();
    this.startedAt = Date.now();
    this.sayingPrefix = "";
    this.startupLog = "";
    this.cliListeners = 0;
    this.resolvings = [];
    this.agents = [];
    this.observed = () => {};
    this.administered = null;
    this.onSucceeded = null;
    this.topologies = () => [];
    this.history = null;
    this.stopping = false;
    this.onIdle = null;
  }

  findServer(path: string): Server | null {
    const [backend, name] = path.split("/");
    return this.backends.get(backend ?? "")?.servers.find((s) => s.name === name) ?? null;
  }
}

/** What every part of one running proxy shares: configuration, timers, sections, logs. Made by main.ts; holds no rules of its own. */
import type { HaproxyConfig } from "../config/haproxy_model.ts";
import type { Diagnostics } from "../log/haproxy_line.ts";
import type { LogTargets } from "./log_targets.ts";
import type { Backend, Frontend, Server } from "./state.ts";
import { Timers } from "./timers.ts";

export class Engine {
  readonly config: HaproxyConfig;
  readonly timers: Timers;
  readonly logs: LogTargets;
  readonly diagnostics: Diagnostics;
  readonly frontends: Frontend[];
  readonly backends: Map<string, Backend>;
  /** Clients of mode redis. */
  readonly redisClients: Set<{ kill(letter: string): void }>;
  /** Client connections now, and the process-wide limit (0: none). */
  active: number;
  readonly maxconn: number;
  /** Soft stop: no new connections, ends with the last one. */
  stopping: boolean;
  /** Called when a session has ended, for the soft stop. */
  onIdle: (() => void) | null;

  constructor(config: HaproxyConfig, logs: LogTargets, diagnostics: Diagnostics) {
    this.config = config;
    this.timers = new Timers();
    this.logs = logs;
    this.diagnostics = diagnostics;
    this.frontends = [];
    this.backends = new Map();
    this.redisClients = new Set();
    this.active = 0;
    this.maxconn = config.global.maxconn;
    this.stopping = false;
    this.onIdle = null;
  }

  findServer(path: string): Server | null {
    const [backend, name] = path.split("/");
    return this.backends.get(backend ?? "")?.servers.find((s) => s.name === name) ?? null;
  }
}

/**
 * The server mode's centre: one Server object that the command families, replication, persistence and cron share. Cold, but for `refuse` and
 * `changed`, which dispatch calls.
 *
 *   sockets -> clients/ingest -> clients/dispatch -> commands/* -> store
 *                                    |  host.ts (gates, what follows a command)
 *                                    v
 *                            propagation -> replication/ , persistence/ (AOF)
 *
 * main.ts boots it; boot order and shutdown are there. Leaves out what each part does.
 */
import type { Config } from "../config/config.ts";
import { Dispatcher } from "../clients/dispatch.ts";
import type { Client } from "../clients/client.ts";
import type { Log } from "../log/log.ts";
import { clock } from "../time/clock.ts";
import { Propagation } from "./propagation.ts";
import { Stats } from "./stats.ts";
import { ServerHost } from "./host.ts";
import type { Keyspace } from "../store/keyspace.ts";

/** Version that clients test; ours stands beside it in INFO. */
export const REDIS_VERSION = "7.2.4";

export class Server {
  readonly config: Config;
  readonly log: Log;
  readonly host: ServerHost;
  readonly dispatcher: Dispatcher;
  readonly propagation: Propagation;
  readonly stats: Stats;
  /** 40 hex digits, new at each start. */
  readonly runId: string;
  readonly databases: Keyspace[];
  /** redisha's own version. */
  readonly version: string;
  /** Work for each turn of cron; parts add theirs at boot. */
  readonly cronJobs: ((nowMs: number) => void)[];
  /** Lines of INFO that parts contribute, by section. */
  readonly infoParts: Map<string, (() => [string, string | number][])[]>;
  shuttingDown: boolean;
  ports: { tcp: number; tls: number };
  /** What listens, for INFO. */
  listeners: { name: string; port: number; binds: string[] }[];
  /** Bytes in use when the first client came. */
  startupMemory: number;

  constructor(config: Config, log: Log, version: string, runId: string) {
    this.config = config;
    this.log = log;
    this.version = version;
    this.runId = runId;
    this.stats = new Stats(clock.nowMs);
    this.propagation = new Propagation();
    this.databases = [];
    this.cronJobs = [];
    this.infoParts = new Map();
    this.shuttingDown = false;
    this.ports = { tcp: 0, tls: 0 };
    this.listeners = [];
    this.startupMemory = 0;
    this.host = new ServerHost(this);
    this.dispatcher = new Dispatcher(this.host);
  }

  /** Adds lines to a section of INFO. */
  addInfo(section: string, lines: () => [string, string | number][]): void {
    const list = this.infoParts.get(section);
    if (list === undefined) this.infoParts.set(section, [lines]);
    else list.push(lines);
  }

  /** Puts a client on another database. */
  selectDb(client: Client, index: number): void {
    client.dbIndex = index;
    client.keyspace = this.databases[index];
  }
}

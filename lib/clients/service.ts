/**
 * All of lib/clients put together for a mode: what answers RESP clients, from the accepted socket to the reply.
 *
 *   const service = new Service(mode, settings, log);
 *   bindRows(service.dispatcher, rows, { ...service.commands(), ...own });
 *   listen({ accept: () => null, handler: service.ingest.handler });      every 1/hz s: service.cron()
 *
 * A mode that serves fewer commands binds fewer rows. Leaves out keyspaces, replication and configuration: they are the mode's.
 */
import type { Log } from "../log/log.ts";
import { AclFile } from "./acl/file.ts";
import { aclCommands } from "./acl_commands.ts";
import type { Runs } from "./bind.ts";
import { Blocking } from "./blocking.ts";
import { clientCommands } from "./client_commands.ts";
import { type Client, FLAG_BLOCKED } from "./client.ts";
import { connectionCommands } from "./connection.ts";
import { GATE_BUSY } from "./command.ts";
import { Dispatcher, type Host } from "./dispatch.ts";
import { Ingest } from "./ingest.ts";
import { LatencyEvents } from "./latency_events.ts";
import { recordLatency } from "./latency.ts";
import type { Mode } from "./mode.ts";
import { Monitor } from "./monitor.ts";
import { Transactions } from "./multi.ts";
import { Pause } from "./pause.ts";
import { PubSub } from "./pubsub.ts";
import { Registry } from "./registry.ts";
import type { ClientSettings } from "./settings.ts";
import { SlowLog } from "./slowlog.ts";
import { ErrorStats } from "./stats.ts";
import { TrackingTable } from "./tracking.ts";
import { Users } from "./users.ts";
import { Watching } from "./watch.ts";

/** With maxmemory-clients: shorter requests cost their client nothing worth counting. */
const BIG_REQUEST_BYTES = 4096;

export class Service {
  readonly mode: Mode;
  readonly settings: ClientSettings;
  readonly dispatcher: Dispatcher;
  readonly ingest: Ingest;
  readonly users: Users;
  readonly aclFile: AclFile;
  readonly registry: Registry;
  readonly pubsub: PubSub;
  readonly watching: Watching;
  readonly transactions: Transactions;
  readonly blocking: Blocking;
  readonly pause: Pause;
  readonly slowlog: SlowLog;
  readonly latency: LatencyEvents;
  readonly monitor: Monitor;
  readonly tracking: TrackingTable;
  readonly errors: ErrorStats;

  constructor(mode: Mode, settings: ClientSettings, log: Log) {
    this.mode = mode;
    this.settings = settings;
    const dispatcher = (this.dispatcher = new Dispatcher(this.host()));
    const users = (this.users = new Users(dispatcher, settings, (client) => this.registry.free(client)));
    this.aclFile = new AclFile(users, settings, log);
    const registry = (this.registry = new Registry(dispatcher, settings, users, log, {
      arrived: (client) => void mode.select(client, 0),
      left: (client) => this.forget(client),
      closeLink: (client) => mode.closeLink(client),
      replicaFloorBytes: () => mode.replicaFloorBytes(),
    }));
    const ingest = (this.ingest = new Ingest({
      dispatcher,
      accepted: (conn) => registry.accept(conn),
      gone: (client, error) => registry.gone(client, error),
      divert: (client, chunk) => mode.divert(client, chunk),
      big: (client, bytes) => registry.weigh(client, bytes),
      settled: (client) => registry.weigh(client),
      queryLimitBytes: () => settings.queryBufferLimitBytes,
      overQueryLimit: (client) => {
        registry.overQueryLimit(client);
        registry.free(client);
      },
      protocolError: (client, text) => registry.protocolError(client, text),
      netInput: (bytes) => void (registry.netInputBytes += bytes),
    }));
    this.pubsub = new PubSub(dispatcher, {
      typeChanged: (client) => registry.setLimit(client),
      published: (call) => mode.published(call),
    });
    this.watching = new Watching(mode);
    this.transactions = new Transactions(dispatcher, mode, this.watching, users);
    this.latency = new LatencyEvents(dispatcher, settings);
    this.slowlog = new SlowLog(settings);
    const resume = (client: Client): void => {
      if (client.conn === null) mode.resumed(client);
      else ingest.resumeLater(client);
    };
    this.blocking = new Blocking(dispatcher, mode, {
      resume,
      finished: (client, saved, micros) => {
        if (saved !== null) this.slowlog.addSaved(client, saved, micros);
      },
    });
    this.pause = new Pause(dispatcher, resume);
    this.monitor = new Monitor(dispatcher);
    this.tracking = new TrackingTable(dispatcher, settings);
    this.errors = new ErrorStats(dispatcher);
    this.configure();
  }

  /** Dispatch's questions, each answered by the part that knows. */
  private host(): Host {
    const { mode } = this;
    return {
      refuse: (call, bits) => mode.refuse(call, bits),
      changed: (call) => mode.changed(call),
      denied: (call) => this.users.denied(call),
      afterUnit: () => {
        mode.afterUnit();
        // A script that lets others have a turn is not at its end.
        if (this.blocking.hasReady && !(this.dispatcher.gates & GATE_BUSY)) this.blocking.serve();
      },
      beforeFlush: () => mode.beforeFlush(),
      touching: (on) => mode.touching(on),
      postpone: (client, again) => this.pause.postpone(client, again),
      overOutputLimit: (client) => this.registry.overOutputLimit(client),
      released: (client) => this.ingest.resumeLater(client),
    };
  }

  /** After a change to the settings: what is kept elsewhere for speed. */
  configure(): void {
    this.slowlog.trim();
    const { slowlogSlowerThanMicros: slowlog, latencyMonitorMs: monitor } = this.settings;
    const o = this.dispatcher.observers;
    o.slowMicros = Math.min(slowlog < 0 ? Infinity : slowlog, monitor > 0 ? monitor * 1000 : Infinity);
    o.slow = (call, micros) => {
      this.slowlog.add(call, micros);
      this.latency.command(call, micros);
    };
    this.registry.setLimits();
    this.registry.setMaxBulk();
    this.ingest.bigRequestBytes = this.registry.watchMemory() ? BIG_REQUEST_BYTES : Infinity;
    if (this.registry.watchMemory()) for (const client of this.dispatcher.clients.values()) this.registry.weigh(client);
    this.dispatcher.observers.latency = this.settings.latencyTracking ? recordLatency : null;
  }

  /** Every command of this layer by row name; a mode binds those whose rows it serves. */
  commands(): Runs {
    return {
      ...connectionCommands(this),
      ...clientCommands(this),
      ...aclCommands(this),
      ...this.tracking.commands(),
      ...this.pubsub.commands(),
      ...this.transactions.commands(),
      ...this.slowlog.commands(),
      ...this.latency.commands(),
      ...this.monitor.commands(),
    };
  }

  /** A key has changed: WATCH, tracking. HOT: two comparisons while nobody wants to know. */
  keyChanged(db: number, buf: Buffer, start: number, end: number): void {
    if (this.watching.count !== 0) this.watching.touch(db, buf, start, end);
    if (this.tracking.clients !== 0) this.tracking.keyChanged(buf, start, end, this.dispatcher.current);
  }
  /** A key has gone by itself: its time was over, or memory was short. */
  keyGone(db: number, buf: Buffer, start: number, end: number): void {
    if (this.watching.count !== 0) this.watching.touch(db, buf, start, end);
    if (this.tracking.clients !== 0) this.tracking.keyChanged(buf, start, end, null);
  }

  /** All keys of database `db` are about to go. */
  flushing(db: number): void {
    this.watching.flushing(db);
    this.blocking.databaseChanged(db);
    this.tracking.flushed();
  }
  /** Two databases have changed places. */
  swapped(first: number, second: number): void {
    this.watching.swapped(first, second);
    this.blocking.databaseChanged(first);
    this.blocking.databaseChanged(second);
  }

  /** `hz` times a second. */
  cron(): void {
    this.registry.cron();
    this.pause.tick();
    if (this.tracking.clients !== 0) this.tracking.limit();
    this.dispatcher.endEvent();
  }

  /** INFO blocked_clients: those that wait and those that a pause holds. */
  get blockedClients(): number {
    return this.blocking.count + this.pause.count;
  }

  /** CONFIG RESETSTAT, this layer's part. */
  resetStats(): void {
    this.registry.resetStats();
    this.errors.reset();
    this.users.log.resetStats();
    this.dispatcher.totalCommands = 0;
    this.tracking.countReset();
    this.dispatcher.loop.reset();
    for (const command of this.dispatcher.table.all) {
      command.calls = command.usec = command.rejected = command.failed = 0;
      command.histogram = null;
    }
  }

  private forget(client: Client): void {
    this.monitor.forget(client);
    this.tracking.disable(client);
    this.pubsub.forget(client);
    this.watching.forget(client);
    this.pause.forget(client);
    this.blocking.forget(client);
    client.flags &= ~FLAG_BLOCKED;
    client.multi = null;
    client.again = null;
    this.mode.left(client);
  }
}

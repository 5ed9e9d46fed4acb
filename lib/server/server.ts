/**
 * The server mode's centre: one Server object that the command families, replication, persistence and cron share. It is what the clients'
 * layer calls its Mode. Cold, but for `refuse`, `changed` and `afterUnit`.
 *
 *   sockets -> clients/ (ingest, dispatch) -> commands/* -> store
 *                    |  Mode: this file                       |  store events: keyspace_events.ts
 *                    v                                        v
 *              propagation -> replication/, persistence/ (AOF)
 *
 * main.ts boots it; replication and persistence hang themselves into `parts`. Leaves out what each part does.
 */
import type { Call } from "../clients/call.ts";
import type { Client } from "../clients/client.ts";
import {
  GATE_ASYNC_LOADING,
  GATE_BUSY,
  GATE_LOADING,
  GATE_MEMORY,
  GATE_MISCONF,
  GATE_NOREPLICAS,
  GATE_READONLY,
  GATE_STALE,
} from "../clients/command.ts";
import type { Dispatcher } from "../clients/dispatch.ts";
import type { Mode } from "../clients/mode.ts";
import { PAUSE_BY_LOADING, PAUSE_CLIENT_ALL } from "../clients/pause.ts";
import { Service } from "../clients/service.ts";
import { defaultSettings } from "../clients/settings.ts";
import { Tls } from "../clients/tls.ts";
import type { RedisProcess } from "../cli/redis_process.ts";
import { FLAG } from "../commands/table/row.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../log/log.ts";
import { ERR } from "../resp/errors.ts";
import { heldMemory, usedMemory } from "../store/arena.ts";
import { setTouching } from "../store/access.ts";
import { typeOf } from "../store/entry.ts";
import type { Keyspace } from "../store/keyspace.ts";
import { databases, flushAll } from "../store/store.ts";
import { clock } from "../time/clock.ts";
import type { LoadProgress } from "./persistence/loading.ts";
import type { LoadedInfo } from "./persistence/rdb_load.ts";
import type { ReplicaExpires } from "./replica_expires.ts";
import { Propagation } from "./propagation.ts";
import { Stats } from "./stats.ts";

/** Commands that MULTI does not queue. */
const ENDS_MULTI = new Set(["exec", "discard", "quit", "reset"]);

/** What an empty server keeps: the tables of commands and directives, the logs' and parts' objects. The runtime itself is not counted. */
const BASE_BYTES = 1024 * 1024;
/** Loads shorter than this are a pause for clients, longer ones are told. */
const HELD_LOAD_MS = 100;

/** How a server is to end. */
export interface ShutdownWish {
  save: "yes" | "no" | "configured";
  /** Do not wait for replicas. */
  now: boolean;
  /** End even when saving fails. */
  force: boolean;
}

/** What scripts and functions cost, and how many there are. */
export interface ScriptMemory {
  scripts: number;
  evicted: number;
  scriptBytes: number;
  interpreterBytes: number;
  functions: number;
  libraries: number;
  libraryBytes: number;
  libraryInterpreterBytes: number;
}

/** Function libraries as files and replicas see them. */
export interface LibraryStore {
  /** The texts of all. */
  codes(): Buffer[];
  /** Loads one out of a file; the error's text, or null. */
  load(code: Buffer, replace: boolean): string | null;
  clear(): void;
  /** Others, loaded while the present ones serve: `take` puts them in their place. */
  beside(): { load(code: Buffer): string | null; take(): void; drop(): void };
}

/** What replication, persistence and memory control add to the Mode; plain answers until they have moved in. */
export interface Parts {
  /** maxmemory: evicts; true when memory is still over the limit. */
  overMemory(): boolean;
  /** The text of a closed MISCONF gate: RDB or AOF. */
  misconf(): Buffer;
  beforeFlush(): boolean;
  role(): "master" | "replica";
  published(call: Call): void;
  /** A client's command changed something: WAIT asks for the offset after it. */
  wrote(client: Client): void;
  left(client: Client): void;
  closeLink(client: Client): void;
  replicaFloorBytes(): number;
  divert(client: Client, chunk: Buffer): boolean;
  timedOut(client: Client): void;
  /** The pause that held the link to the master is over. */
  resumed(client: Client): void;
  /** SHUTDOWN: some replica lacks something that it may still get. */
  replicasBehind(): boolean;
  /** SHUTDOWN waits for replicas (true), or does not go on: writes are held meanwhile. */
  holdForReplicas(on: boolean): void;
  /** SHUTDOWN is about to end the process: the last words to and about replicas. */
  leaveReplicas(): void;
  /** SHUTDOWN's part: data to save. Null: go on; else why not. */
  beforeShutdown(wish: ShutdownWish): Promise<string | null>;
  /** FLUSHALL has emptied all databases. True when that is on disk already. */
  flushedAll(): boolean;
  /** A full sync is about to replace the data; it has (or none will come any more: this is a master again). */
  dataGoes(): void;
  dataCame(): void;
  /** CONFIG RESETSTAT. */
  resetStats(): void;
  /** Bytes of the buffer that the backlog and the replicas share, and the size the backlog may have. */
  replicationMemory(): { buffer: number; backlog: number; replicas: boolean };
  /** Bytes that wait to be written to the AOF. */
  aofBufferBytes(): number;
  /** Links that MIGRATE keeps. */
  migrateLinks(): number;
  /** What scripts and functions cost. */
  scriptMemory(): ScriptMemory;
  /** The answer to everybody while a script is busy. */
  busy(): Buffer;
  /** Function libraries, for files and replicas. */
  libraries: LibraryStore;
}

export class Server implements Mode {
  readonly process: RedisProcess;
  readonly config: Config;
  readonly log: Log;
  readonly service: Service;
  readonly dispatcher: Dispatcher;
  readonly propagation: Propagation;
  readonly stats: Stats;
  readonly tls: Tls;
  /** 40 hex digits, new at each start. */
  readonly runId: string;
  readonly databases: Keyspace[];
  /** redisha's own version. */
  readonly version: string;
  readonly parts: Parts;
  /** Work for each beat of cron; parts add theirs at boot. */
  readonly cronJobs: ((nowMs: number) => void)[];
  /** Lines of INFO that parts contribute, by section. */
  readonly infoParts: Map<string, (() => [string, string | number][])[]>;
  /** On a writable replica: the keys whose expiry is ours to keep. */
  replicaExpires: ReplicaExpires | null;
  /** A data set is being loaded: nothing is saved, nothing expires. */
  loading: boolean;
  /** Until it fires clients wait for the load. */
  private heldLoad: ReturnType<typeof setTimeout> | null;
  /** It is loaded beside the old one, which clients go on reading (repl-diskless-load swapdb). */
  asyncLoading: boolean;
  loadProgress: LoadProgress | null;
  /** What writes are answered until the Sentinels confirm our role (boot_fence.ts); null: there is no such fence. */
  fence: Buffer | null;
  /** What the last load found; null: nothing was loaded yet. */
  lastLoaded: LoadedInfo | null;
  ports: { tcp: number; tls: number };
  /** What listens, for INFO. */
  listeners: { name: string; port: number; binds: string[] }[];
  /** Bytes in use when the first client came. */
  startupMemory: number;

  constructor(process: RedisProcess, version: string, runId: string) {
    this.process = process;
    this.config = process.config;
    this.log = process.log;
    this.tls = new Tls(this.config, this.log);
    this.version = version;
    this.runId = runId;
    this.stats = new Stats(clock.nowMs);
    this.propagation = new Propagation();
    this.databases = databases;
    this.cronJobs = [];
    this.infoParts = new Map();
    this.replicaExpires = null;
    this.loading = false;
    this.heldLoad = null;
    this.asyncLoading = false;
    this.loadProgress = null;
    this.lastLoaded = null;
    this.fence = null;
    this.ports = { tcp: 0, tls: 0 };
    this.listeners = [];
    this.startupMemory = 0;
    this.parts = {
      overMemory: () => false,
      misconf: () => ERR.misconf,
      beforeFlush: () => true,
      role: () => "master",
      published() {},
      wrote() {},
      left() {},
      closeLink() {},
      replicaFloorBytes: () => 0,
      divert: () => false,
      timedOut() {},
      resumed() {},
      replicasBehind: () => false,
      holdForReplicas() {},
      leaveReplicas() {},
      beforeShutdown: async () => null,
      flushedAll: () => false,
      dataGoes() {},
      dataCame() {},
      resetStats() {},
      replicationMemory: () => ({ buffer: 0, backlog: 0, replicas: false }),
      aofBufferBytes: () => 0,
      migrateLinks: () => 0,
      scriptMemory: () => ({
        scripts: 0,
        evicted: 0,
        scriptBytes: 0,
        interpreterBytes: 0,
        functions: 0,
        libraries: 0,
        libraryBytes: 0,
        libraryInterpreterBytes: 0,
      }),
      busy: () => ERR.busy,
      libraries: { codes: () => [], load: () => null, clear() {}, beside: () => ({ load: () => null, take() {}, drop() {} }) },
    };
    this.service = new Service(this, defaultSettings(), this.log);
    this.dispatcher = this.service.dispatcher;
  }

  /** Adds lines to a section of INFO. */
  addInfo(section: string, lines: () => [string, string | number][]): void {
    const list = this.infoParts.get(section);
    if (list === undefined) this.infoParts.set(section, [lines]);
    else list.push(lines);
  }

  /** Bytes in use: data, clients, the replication buffer, what waits for the AOF (INFO used_memory). */
  usedMemory(): number {
    const { parts } = this;
    return BASE_BYTES + usedMemory() + this.service.registry.allMemoryBytes + parts.replicationMemory().buffer + parts.aofBufferBytes();
  }

  /** What of it maxmemory does not count, because evicting keys makes more of it, or of what a save still reads. Redis freeMemoryGetNotCountedMemory. */
  uncountedMemory(): number {
    const { buffer, backlog } = this.parts.replicationMemory();
    return Math.max(0, buffer - backlog) + this.parts.aofBufferBytes() + heldMemory();
  }

  /** Closes or opens a gate (clients/command.ts) for everybody. */
  setGate(gate: number, closed: boolean): void {
    if (closed) this.dispatcher.gates |= gate;
    else this.dispatcher.gates &= ~gate;
  }

  /** Everything goes, functions too: other data is about to come. */
  emptyAll(lazy: boolean): void {
    flushAll(lazy);
    this.parts.libraries.clear();
  }

  /**
   * A load begins or is over. `progress`: what INFO tells of it. `aside`: the old data set is served meanwhile. `held`: clients wait for the
   * first HELD_LOAD_MS, and only then are answered -LOADING; the original loads a small data set in one go, and its clients notice nothing.
   */
  setLoading(loading: boolean, progress: LoadProgress | null = null, aside = false, held = false): void {
    this.loading = loading;
    this.asyncLoading = loading && aside;
    if (this.loadProgress !== null) this.lastLoaded = this.loadProgress.info;
    this.loadProgress = progress;
    if (this.heldLoad !== null) clearTimeout(this.heldLoad);
    this.heldLoad = null;
    const holds = loading && !aside && held;
    this.setGate(GATE_LOADING, loading && !aside && !held);
    const { pause } = this.service;
    if (holds) {
      pause.begin(PAUSE_BY_LOADING, Infinity, PAUSE_CLIENT_ALL);
      this.heldLoad = setTimeout(() => {
        this.heldLoad = null;
        this.setGate(GATE_LOADING, true);
        pause.end(PAUSE_BY_LOADING);
      }, HELD_LOAD_MS);
    } else pause.end(PAUSE_BY_LOADING);
    this.setGate(GATE_ASYNC_LOADING, this.asyncLoading);
  }

  // ------------------------------------------------------------------------------------------------ Mode: dispatch

  /** Redis processCommand, from the memory check on. `bits` are closed gates that this command does not pass by itself. */
  refuse(call: Call, bits: number): Buffer | null {
    if (bits & GATE_MEMORY) {
      const over = this.parts.overMemory();
      const flags =
        call.command.name === "exec" && call.client.multi !== null
          ? call.client.multi.flags
          : (call.command.ask?.(call) ?? call.command.flags);
      // What MULTI queues takes memory too.
      const queued = call.client.multi !== null && !ENDS_MULTI.has(call.command.name);
      if (over && (queued || flags & FLAG.denyoom)) return ERR.oom;
    }
    if (bits & GATE_MISCONF) return this.parts.misconf();
    if (bits & GATE_NOREPLICAS) return this.fence ?? ERR.noReplicas;
    if (bits & GATE_READONLY) return ERR.readonly;
    if (bits & GATE_STALE) return ERR.masterDown;
    if (bits & (GATE_LOADING | GATE_ASYNC_LOADING)) return ERR.loading;
    if (bits & GATE_BUSY) return this.parts.busy();
    return null;
  }
  changed(call: Call): void {
    if (this.replicaExpires !== null) this.replicaExpires.note(call);
    this.propagation.changed(call);
    this.parts.wrote(call.client);
  }
  beforeFlush(): boolean {
    return this.parts.beforeFlush();
  }
  afterUnit(): void {
    // SCAN and RANDOMKEY come upon expired keys that nobody named.
    this.propagation.flush((this.dispatcher.callAt(0).command?.flags & FLAG.touches_arbitrary_keys) === 0);
  }
  beginUnit(): void {
    this.propagation.begin();
  }
  endUnit(): void {
    this.propagation.end();
  }

  // ------------------------------------------------------------------------------------------------ Mode: keyspaces

  touching(on: boolean): void {
    setTouching(on);
  }
  select(client: Client, index: number): boolean {
    const keyspace = this.databases[index];
    if (keyspace === undefined) return false;
    client.dbIndex = index;
    client.keyspace = keyspace;
    return true;
  }
  keyType(dbIndex: number, key: string): number {
    const b = Buffer.from(key, "latin1");
    const keyspace = this.databases[dbIndex];
    // Asked in the midst of an expiry too: it must not expire anything itself.
    const ref = keyspace.findRaw(b, 0, b.length);
    return ref === 0 || keyspace.isExpired(ref) ? -1 : typeOf(ref);
  }
  keyExpired(dbIndex: number, key: string): boolean {
    const b = Buffer.from(key, "latin1");
    const ref = this.databases[dbIndex].findRaw(b, 0, b.length);
    return ref !== 0 && this.databases[dbIndex].isExpired(ref);
  }

  // ------------------------------------------------------------------------------------------------ Mode: clients

  role(): "master" | "replica" {
    return this.parts.role();
  }
  published(call: Call): void {
    this.parts.published(call);
  }
  left(client: Client): void {
    this.parts.left(client);
  }
  closeLink(client: Client): void {
    this.parts.closeLink(client);
  }
  replicaFloorBytes(): number {
    return this.parts.replicaFloorBytes();
  }
  divert(client: Client, chunk: Buffer): boolean {
    return this.parts.divert(client, chunk);
  }
  timedOut(client: Client): void {
    this.parts.timedOut(client);
  }
  resumed(client: Client): void {
    this.parts.resumed(client);
  }
}

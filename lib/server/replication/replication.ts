/**
 * Replication's centre: this server's place in a history (replid, offset), the stream's buffer, its replicas and its master. Warm: `feed` runs
 * for each replicated command.
 *
 *   commands -> propagation -> Replication.feed -> buffer -> pump() -> replicas' sockets          (a master)
 *   master's socket -> MasterLink (link.ts) -> dispatch, and the same bytes -> buffer -> pump()   (a replica; same replid, same offsets)
 *
 *   psync.ts      who gets into the stream, and how: full_sync.ts, file_transfer.ts     acks.ts      WAIT, WAITAOF, lag
 *   link.ts       our master: transfer.ts (full sync), stream.ts                        failover.ts  FAILOVER
 *
 * Redis replication.c; the protocol is PSYNC2.
 */
import { randomBytes } from "node:crypto";
import { quoteArg } from "../../bytes/args.ts";
import { encodeCommand, type Call } from "../../clients/call.ts";
import { FLAG_MASTER, FLAG_REPLICA, type Client } from "../../clients/client.ts";
import { GATE_BUSY, GATE_NOREPLICAS, GATE_READONLY, GATE_STALE } from "../../clients/command.ts";
import { clientLine } from "../../clients/info_line.ts";
import { ACTIONS_WRITE, PAUSE_BY_SHUTDOWN, PAUSE_EXPIRE, PAUSE_REPLICA } from "../../clients/pause.ts";
import { EXPIRE_DELETE, EXPIRE_HIDE, EXPIRE_HIDE_READS, setExpirePolicy } from "../../store/keyspace.ts";
import { settings } from "../../store/settings.ts";
import { clock } from "../../time/clock.ts";
import type { Persistence } from "../persistence/persistence.ts";
import type { LoadedInfo } from "../persistence/rdb_load.ts";
import { TO_REPLICAS, type Consumer } from "../propagation.ts";
import { ReplicaExpires } from "../replica_expires.ts";
import type { Server } from "../server.ts";
import { answerLate, goodReplicas, lagOf } from "./acks.ts";
import { ReplicationBuffer } from "./buffer.ts";
import { Failover } from "./failover.ts";
import { FullSync } from "./full_sync.ts";
import { MasterLink } from "./link.ts";
import { ONLINE, Replica, WAIT_END, WAIT_START } from "./replica.ts";

export const NO_REPLID = "0".repeat(40);
const PING = encodeCommand(["PING"]);
const GETACK = encodeCommand(["REPLCONF", "GETACK", "*"]);
const NEWLINE = Buffer.from("\n");
/** A link that broke is made anew at once, but not more often than this. */
const RETRY_MS = 200;
/** Between two looks whether a script has ended. */
const BUSY_LOOK_MS = 5;
/** Of the stream, shown with an error that it led to. */
const SHOWN_BYTES = 256;

export function newReplId(): string {
  return randomBytes(20).toString("hex");
}

export class Replication implements Consumer {
  readonly server: Server;
  readonly persistence: Persistence;
  readonly buffer: ReplicationBuffer;
  readonly fullSync: FullSync;
  readonly failover: Failover;
  /** Every client that spoke REPLCONF or PSYNC. */
  readonly replicas: Set<Replica>;
  replid: string;
  replid2: string;
  secondOffset: number;
  /** The database the stream has selected; -1: say it with the next command. */
  selectedDb: number;
  /** Our master, or null. */
  master: { host: string; port: number } | null;
  link: MasterLink | null;
  /** A replica without a link may ask its master to go on from (replid, buffer.end): Redis' cached master. */
  mayContinue: boolean;
  /** The data of the last master is gone, or about to go, and the next one's has not come whole: the AOF rests. */
  private dataAway: boolean;
  /** When the link to the master was lost; 0: never had one. */
  linkDownSinceMs: number;
  /** Set by the AOF: the offset that is on its disk; -1 without one. */
  aofOffset: () => number;
  /** Since when there is no replica; 0: there is one. */
  private noReplicasSinceMs: number;
  private askForAck: boolean;
  /** Offset after the last command that does something: what follows is PING and GETACK. */
  private contentEnd: number;
  /** Whose unit of execution gathers commands: they are its last write (WAIT). */
  private unitOf: Client | null;
  private lastPingMs: number;
  private lastSecondMs: number;
  private lastRetryMs: number;

  constructor(server: Server, persistence: Persistence) {
    this.server = server;
    this.persistence = persistence;
    this.buffer = new ReplicationBuffer(server.config.number("repl-backlog-size"));
    this.replicas = new Set();
    this.replid = newReplId();
    this.replid2 = NO_REPLID;
    this.secondOffset = -1;
    this.selectedDb = -1;
    this.master = null;
    this.link = null;
    this.mayContinue = false;
    this.dataAway = false;
    this.linkDownSinceMs = 0;
    this.aofOffset = () => -1;
    this.noReplicasSinceMs = clock.nowMs;
    this.askForAck = false;
    this.contentEnd = 0;
    this.unitOf = null;
    this.lastPingMs = clock.nowMs;
    this.lastSecondMs = 0;
    this.lastRetryMs = 0;
    this.fullSync = new FullSync(this, persistence);
    this.failover = new Failover(this);
    this.join();
  }

  /** Hangs itself into the server. */
  private join(): void {
    const { server, persistence } = this;
    const { parts, config, service, propagation } = server;
    parts.role = () => (this.master === null ? "master" : "replica");
    parts.left = (client) => this.left(client);
    parts.closeLink = (client) => this.link?.killed(client);
    parts.resumed = (client) => {
      if (this.link?.client === client) this.link.resumed();
    };
    parts.wrote = (client) => this.wrote(client);
    parts.published = (call) => this.publish(call);
    parts.replicationMemory = () => ({
      buffer: this.buffer.memoryBytes,
      backlog: this.buffer.keeps ? this.buffer.sizeBytes : 0,
      replicas: this.hasReplicas,
    });
    parts.replicaFloorBytes = () => this.buffer.sizeBytes;
    parts.timedOut = (client) => void answerLate(this, client);
    parts.divert = (client, chunk) => this.heard(client, chunk);
    parts.replicasBehind = () => this.master === null && this.attachedReplicas().some((r) => this.isBehind(r));
    parts.holdForReplicas = (on) => {
      if (!on) return service.pause.end(PAUSE_BY_SHUTDOWN);
      if (!service.pause.is(PAUSE_REPLICA)) this.askForAcks();
      service.pause.begin(PAUSE_BY_SHUTDOWN, Number.MAX_SAFE_INTEGER, ACTIONS_WRITE);
    };
    parts.leaveReplicas = () => this.leave();
    const before = parts.beforeFlush;
    parts.beforeFlush = () => {
      this.beforeFlush();
      return before();
    };
    propagation.onFlushed = () => {
      if (this.unitOf !== null) this.unitOf.writeOffset = this.offset;
      this.unitOf = null;
    };
    service.pause.onChange = () => {
      this.setExpiry();
      server.dispatcher.needsBeforeFlush = true;
    };
    const failed = server.dispatcher.observers.failed;
    server.dispatcher.observers.failed = (call, line) => {
      failed?.(call, line);
      if (call !== null && call.client.flags & (FLAG_MASTER | FLAG_REPLICA)) this.strangeError(call, line);
    };
    config.watch("repl-backlog-size", (c) => {
      this.buffer.sizeBytes = c.number("repl-backlog-size");
      service.registry.setLimits();
    });
    config.watch(["replica-read-only", "replica-serve-stale-data", "min-replicas-to-write", "min-replicas-max-lag"], () => {
      this.setGates();
      this.setExpiry();
    });
    // A file remembers where in the history it stands, so that a restart can go on from there.
    persistence.replInfo = () => {
      const known = this.master === null ? this.buffer.keeps : this.linkUp || this.mayContinue;
      return known ? { db: Math.max(0, this.selectedDb), id: this.replid, offset: this.offset } : null;
    };
    server.cronJobs.push((nowMs) => this.cron(nowMs));
  }

  get failoverState(): Failover["state"] {
    return this.failover.state;
  }
  /** The data set is kept on disk. */
  get persists(): boolean {
    const { config } = this.server;
    return config.special("save").length > 0 || config.bool("appendonly");
  }

  // ------------------------------------------------------------------------------------------------ the stream

  get offset(): number {
    return this.buffer.end;
  }

  /** Propagation's consumer: a command of a master. */
  feed(db: number, b: Buffer, start: number, end: number): void {
    if (db >= 0 && db !== this.selectedDb) {
      this.selectedDb = db;
      const select = encodeCommand(["SELECT", db]);
      this.buffer.append(select, 0, select.length);
    }
    this.forward(b, start, end);
  }

  /** Bytes of our master's stream that were executed: on to our replicas as they are. */
  forward(b: Buffer, start: number, end: number): void {
    this.buffer.append(b, start, end);
    this.contentEnd = this.buffer.end;
    this.server.dispatcher.needsBeforeFlush = true;
  }

  /** A command of our own making in the stream: PING, GETACK. */
  private feedOwn(bytes: Buffer): void {
    // Bytes that nobody keeps would look like a stream: offsets would stand still behind them, and WAITAOF answer before the sync.
    if (!this.buffer.keeps) return;
    this.buffer.append(bytes, 0, bytes.length);
    this.server.dispatcher.needsBeforeFlush = true;
  }

  private publish(call: Call): void {
    if (this.server.propagation.replicas === null) return;
    const args: Buffer[] = [];
    for (let i = 0; i < call.argc; i++) args.push(call.view(i));
    this.server.propagation.also(call.client.dbIndex, args, TO_REPLICAS);
    this.unitOf = call.client;
  }

  /** A command has changed something: WAIT asks for the offset after it. */
  private wrote(client: Client): void {
    if (client.flags & FLAG_MASTER) return;
    // Without a stream there is still the AOF, whose syncs are told apart by offsets.
    if (this.master === null && !this.buffer.keeps && this.server.propagation.aof !== null) this.buffer.skip(1);
    client.writeOffset = this.offset;
    if (this.server.propagation.gathers) this.unitOf = client;
  }

  /** Somebody needs the stream: a backlog exists and we are the master. */
  private setConsumer(): void {
    this.server.propagation.replicas = this.master === null && this.buffer.keeps ? this : null;
  }

  /** REPLCONF GETACK before this event ends, once for all who ask; not while the stream has to stand still. */
  requestAcks(): void {
    this.askForAck = true;
    this.server.dispatcher.needsBeforeFlush = true;
  }
  /** GETACK now. */
  askForAcks(): void {
    this.feedOwn(GETACK);
  }

  /** After commands, before their replies leave: what they put into the stream goes out. */
  private beforeFlush(): void {
    const { dispatcher, service } = this.server;
    dispatcher.needsBeforeFlush = false;
    if (this.askForAck && this.master === null && !service.pause.is(PAUSE_REPLICA)) {
      this.askForAck = false;
      this.askForAcks();
    }
    if (this.failover.state !== "no-failover") this.failover.check(clock.nowMs);
    for (const r of this.replicas) {
      if (!r.attached) continue;
      if (r.client.out.pendingBytes() > 0) this.rogue(r);
      else if (r.streams) this.pump(r);
      else this.limit(r);
    }
    dispatcher.needsBeforeFlush = false;
  }

  /** Sends a replica what it has not got yet, as far as its socket takes it. */
  pump(r: Replica): void {
    const { conn } = r.client;
    const { reader } = r;
    if (conn === null || reader === null || !conn.isOpen) return;
    // What was queued before the stream (the RDB's end) goes first.
    if (r.flush())
      for (let piece = this.buffer.peek(reader); piece !== null; piece = this.buffer.peek(reader)) {
        const taken = conn.writeNow(piece);
        if (taken <= 0) break;
        this.buffer.advance(reader, taken);
        this.server.stats.replOutput += taken;
        if (taken < piece.length) break;
      }
    this.limit(r);
  }

  /** client-output-buffer-limit replica: what it lacks of the stream. */
  private limit(r: Replica): void {
    if (r.reader === null) return;
    const { client } = r;
    client.sharedOutputBytes = this.buffer.end - r.reader.offset;
    if (client.sharedOutputBytes === 0) {
      client.softLimitSinceMs = 0;
      this.buffer.trim();
    } else this.server.service.registry.overOutputLimit(client);
  }

  // ------------------------------------------------------------------------------------------------ replicas

  get hasReplicas(): boolean {
    for (const r of this.replicas) if (r.attached) return true;
    return false;
  }
  attachedReplicas(): Replica[] {
    return [...this.replicas].filter((r) => r.attached);
  }

  /** The state of a client that speaks REPLCONF or PSYNC. */
  replicaOf(client: Client): Replica {
    let r = client.replica as Replica | null;
    if (r === null) {
      r = new Replica(client);
      client.replica = r;
      this.replicas.add(r);
    }
    return r;
  }

  /** The client is a replica from now on; the first one brings the backlog into being. */
  attach(r: Replica, state: number): void {
    const { registry, ingest } = this.server.service;
    r.state = state;
    r.ackMs = clock.nowMs;
    r.waitingMs = clock.nowMs;
    registry.becomeReplica(r.client);
    // A replica's socket has room again: what it waits for goes on.
    r.client.conn!.handler = { ...ingest.handler, drained: (c) => this.drained(c.data) };
    if (!this.buffer.keeps) {
      // Without a backlog nobody knows this history: a new one begins, so that no old offset is taken for one of it.
      this.replid = newReplId();
      this.replid2 = NO_REPLID;
      this.secondOffset = -1;
      this.keepBacklog();
      this.server.log.notice(`Replication backlog created, my new replication IDs are '${this.replid}' and '${this.replid2}'`);
    }
    this.noReplicasSinceMs = 0;
    this.setGates();
  }

  keepBacklog(): void {
    if (this.buffer.keeps) return;
    this.buffer.keeps = true;
    this.setConsumer();
  }

  private drained(client: Client): void {
    const r = client.replica as Replica;
    if (r.streams) this.pump(r);
    else this.fullSync.drained(r);
  }

  /** A replica says something. An empty line only tells that it is alive (it loads). */
  private heard(client: Client, chunk: Buffer): boolean {
    const r = client.replica as Replica;
    if (r.attached && chunk[0] === 10) r.ackMs = clock.nowMs;
    return false;
  }

  /** A replica sent a command that has a reply: it would land in the midst of the stream. */
  private rogue(r: Replica): void {
    const { client } = r;
    this.server.log.warning(
      `Replica generated a reply to command '${client.last?.name ?? "<unknown>"}', disconnecting it: ${clientLine(client)}`,
    );
    client.out.clear();
    this.drop(r);
  }

  /** An error between master and replica: one of the two data sets may be wrong now. */
  private strangeError(call: Call, line: Buffer): void {
    const { log, config, stats } = this.server;
    const fromMaster = (call.client.flags & FLAG_MASTER) !== 0;
    const [from, to] = fromMaster ? ["replica", "master"] : ["master", "replica"];
    const name = call.command?.name ?? "<unknown>";
    const text = line.toString("latin1", 0, Math.min(line.length - 2, 4096));
    log.warning(`== CRITICAL == This ${from} is sending an error to its ${to}: '${text}' after processing the command '${name}'`);
    if (fromMaster && this.buffer.length > 0)
      log.notice(`Latest backlog is: '${quoteArg(this.buffer.latest(SHOWN_BYTES).toString("latin1"))}'`);
    stats.unexpectedErrors++;
    const panics = config.choice("propagation-error-behavior") !== "ignore";
    if (fromMaster && panics && config.bool("replica-read-only"))
      throw new Error(`This ${from} panicked sending an error to its ${to} after processing the command '${name}'`);
  }

  /** Ends a replica's connection. */
  drop(r: Replica): void {
    this.server.service.registry.free(r.client);
  }
  dropAll(): void {
    for (const r of this.attachedReplicas()) this.drop(r);
  }

  private left(client: Client): void {
    const r = client.replica as Replica | null;
    if (r === null) return;
    this.replicas.delete(r);
    if (!r.attached) return;
    this.server.log.notice(`Connection with replica ${r.name} lost.`);
    if (r.reader !== null) this.buffer.release(r.reader);
    r.reader = null;
    this.fullSync.left(r);
    if (!this.hasReplicas) this.noReplicasSinceMs = clock.nowMs;
    this.setGates();
  }

  /** True when the replica has every command that does something (a replica of before PSYNC never says so). */
  private isBehind(r: Replica): boolean {
    return !r.old && !r.rdbOnly && r.ackOffset < this.contentEnd;
  }

  /** SHUTDOWN ends us: what is said about those who lack something, and their last chance to get it. */
  private leave(): void {
    const { log } = this.server;
    const all = this.attachedReplicas();
    const late = all.filter((r) => this.isBehind(r));
    for (const r of late) {
      const lag = r.state === ONLINE ? lagOf(r) : 0;
      const missing = this.offset - r.ackOffset;
      log.notice(`Lagging replica ${r.name} reported offset ${missing} behind master, lag=${lag}, state=${r.stateName}.`);
    }
    if (all.length > 0) log.notice(`${all.length - late.length} of ${all.length} replicas are in sync when shutting down.`);
    for (const r of all) if (r.streams) this.pump(r);
  }

  setGates(): void {
    const { config } = this.server;
    const replica = this.master !== null;
    this.server.setGate(GATE_READONLY, replica && config.bool("replica-read-only"));
    this.server.setGate(GATE_STALE, replica && !config.bool("replica-serve-stale-data") && !this.linkUp);
    const wanted = config.number("min-replicas-to-write");
    const watched = !replica && wanted > 0 && config.number("min-replicas-max-lag") > 0;
    this.server.setGate(GATE_NOREPLICAS, (!replica && this.server.fence !== null) || (watched && goodReplicas(this) < wanted));
  }

  // ------------------------------------------------------------------------------------------------ our role

  get linkUp(): boolean {
    return this.link !== null && this.link.isUp;
  }

  /** REPLICAOF host port. Redis replicationSetMaster. */
  setMaster(host: string, port: number): void {
    const { server } = this;
    const wasMaster = this.master === null;
    this.closeLink();
    server.service.blocking.roleChanged();
    this.master = { host, port };
    server.config.assign("replicaof", host, String(port));
    if (wasMaster) {
      // Our own history is what we can go on from. Replicas stay: they may be able to, too.
      this.mayContinue = true;
      server.log.notice(
        "Before turning into a replica, using my own master parameters to synthesize a cached master: I may be able to synchronize with the new master with just a partial transfer.",
      );
    }
    this.becomeRole();
    server.log.notice(`Connecting to MASTER ${host}:${port}`);
    this.connect();
  }

  /** REPLICAOF NO ONE. Redis replicationUnsetMaster. */
  unsetMaster(): void {
    if (this.master === null) return;
    this.closeLink();
    this.discardCached();
    // A new history that grows out of the old one.
    this.replid2 = this.replid;
    this.secondOffset = this.offset + 1;
    this.replid = newReplId();
    this.server.log.notice(
      `Setting secondary replication ID to ${this.replid2}, valid up to offset: ${this.secondOffset}. New replication ID is ${this.replid}`,
    );
    this.selectedDb = -1;
    this.becomeMaster();
  }

  /** A FAILOVER that came to nothing: the history goes on as if there had been none. */
  remainMaster(): void {
    this.closeLink();
    this.mayContinue = false;
    this.becomeMaster();
  }

  private becomeMaster(): void {
    this.master = null;
    this.server.config.assign("replicaof", "no", "one");
    // They must learn the new id; with it they go on where they are.
    this.dropAll();
    this.linkDownSinceMs = 0;
    this.noReplicasSinceMs = clock.nowMs;
    this.becomeRole();
    // It comes no more: what is here is the data.
    this.dataCame();
  }

  private closeLink(): void {
    this.link?.close();
    this.link = null;
  }

  private becomeRole(): void {
    const { server } = this;
    const replica = this.master !== null;
    server.log.target.role = replica ? "S" : "M";
    server.process.setReplica(replica);
    this.setExpiry();
    this.setConsumer();
    this.setGates();
  }

  /**
   * What look-ups do with a key whose time has come: it is the master who removes it, and not while a pause holds the stream. On a writable
   * replica what its own clients wrote is its own to remove.
   */
  setExpiry(): void {
    const { server } = this;
    const replica = this.master !== null;
    const writable = replica && !server.config.bool("replica-read-only");
    if (!writable) server.replicaExpires = null;
    else server.replicaExpires ??= new ReplicaExpires(server.databases);
    const held = replica || server.service.pause.is(PAUSE_EXPIRE);
    setExpirePolicy(writable ? EXPIRE_HIDE_READS : held ? EXPIRE_HIDE : EXPIRE_DELETE);
  }

  // ------------------------------------------------------------------------------------------------ boot

  /** Before the data set is loaded: who we are, as the configuration has it. */
  prepare(): void {
    const wanted = this.server.config.special("replicaof");
    if (wanted !== null) this.master = { host: wanted.host, port: wanted.port };
    else {
      // What the load finds expired is news for replicas that go on from the file's offset.
      this.buffer.keeps = true;
      this.persistence.expiredAtLoad = (db, key, start, end) => {
        const command = encodeCommand([settings.lazyfreeLazyExpire ? "UNLINK" : "DEL", key.subarray(start, end)]);
        this.feed(db, command, 0, command.length);
      };
    }
    this.becomeRole();
  }

  /** The data set is loaded; the file may know of its history. */
  begin(loaded: LoadedInfo | null): void {
    this.persistence.expiredAtLoad = null;
    const known = loaded !== null && loaded.replId.length === 40 && loaded.replOffset >= 0 && loaded.replStreamDb >= 0;
    if (this.master === null) {
      if (known) {
        this.replid2 = loaded.replId;
        this.secondOffset = loaded.replOffset + 1;
        this.buffer.rebase(loaded.replOffset);
        this.noReplicasSinceMs = clock.nowMs;
      } else {
        this.buffer.restart(0);
        this.buffer.keeps = false;
        this.selectedDb = -1;
      }
      this.contentEnd = this.buffer.end;
      this.setConsumer();
      return;
    }
    if (known) {
      this.replid = loaded.replId;
      this.restart(loaded.replOffset, loaded.replStreamDb);
      this.mayContinue = true;
    }
    this.server.log.notice(`Connecting to MASTER ${this.master.host}:${this.master.port}`);
    this.connect();
  }

  // ------------------------------------------------------------------------------------------------ what the link tells

  /** A script is in its midst (BUSY): nothing of the master's may come between. */
  get busy(): boolean {
    return (this.server.dispatcher.gates & GATE_BUSY) !== 0;
  }
  /** At once, or when no script is in its midst any more. */
  whenCalm(f: () => void): void {
    if (this.busy) setTimeout(() => this.whenCalm(f), BUSY_LOOK_MS);
    else f();
  }

  connect(): void {
    if (this.master === null || this.link !== null) return;
    this.link = new MasterLink(this, this.master.host, this.master.port);
  }

  /** The link ended. `again`: it had worked, another one is made at once. */
  linkEnded(link: MasterLink, wasUp: boolean, again: boolean | null): void {
    if (this.link !== link) return;
    this.link = null;
    if (wasUp) this.linkDownSinceMs = clock.nowMs;
    this.setGates();
    if (!again || this.master === null || clock.nowMs - this.lastRetryMs < RETRY_MS) return;
    this.lastRetryMs = clock.nowMs;
    this.server.log.notice(`Reconnecting to MASTER ${this.master.host}:${this.master.port}${wasUp ? "" : " after failure"}`);
    queueMicrotask(() => this.connect());
  }

  linkCameUp(): void {
    this.linkDownSinceMs = 0;
    this.mayContinue = true;
    this.setGates();
  }

  /** What we have is no part of a history that could be gone on with. */
  discardCached(): void {
    if (this.mayContinue) this.server.log.notice("Discarding previously cached master state.");
    this.mayContinue = false;
  }

  /** Our master goes on under another id; up to here its history is the one that we know. */
  renamed(id: string): void {
    this.replid2 = this.replid;
    this.secondOffset = this.offset + 1;
    this.replid = id;
    this.dropAll();
  }

  /** A full sync begins to load: nothing of it is written to the AOF. */
  dataGoes(): void {
    this.dataAway = true;
    this.server.parts.dataGoes();
  }
  private dataCame(): void {
    if (!this.dataAway) return;
    this.dataAway = false;
    this.server.parts.dataCame();
  }

  /** Another data set takes the place of ours: whoever follows us must start anew as well. */
  attachToNewMaster(): void {
    this.discardCached();
    this.dropAll();
    this.buffer.clear();
    this.buffer.keeps = false;
  }

  /** The data set of another history is here. */
  adopt(id: string, offset: number, db: number): void {
    this.replid = id;
    this.replid2 = NO_REPLID;
    this.secondOffset = -1;
    this.restart(offset, db);
    this.server.replicaExpires = null;
    this.setExpiry();
    this.dataCame();
  }

  private restart(offset: number, db: number): void {
    this.buffer.restart(offset);
    this.buffer.keeps = true;
    this.contentEnd = offset;
    this.selectedDb = db;
  }

  /** FAILOVER: the target took our PSYNC, or did not. True: it did not, and we are the master again. */
  failoverEnded(taken: boolean): boolean {
    return this.failover.answered(taken);
  }

  /** DEBUG CHANGE-REPL-ID. */
  changeId(): void {
    this.replid = newReplId();
    this.replid2 = NO_REPLID;
    this.secondOffset = -1;
  }

  // ------------------------------------------------------------------------------------------------ time

  /** Every beat; most of it once a second. Redis replicationCron. */
  private cron(nowMs: number): void {
    this.fullSync.cron(nowMs);
    this.failover.check(nowMs);
    if (nowMs - this.lastSecondMs < 1000) return;
    this.lastSecondMs = nowMs;
    if (this.master !== null) {
      if (this.link === null) {
        this.server.log.notice(`Connecting to MASTER ${this.master.host}:${this.master.port}`);
        this.connect();
      } else this.link.cron(nowMs);
    } else this.ping(nowMs);
    this.lookAfterReplicas(nowMs);
    this.fullSync.tidy();
    this.freeBacklog(nowMs);
    this.setGates();
  }

  private ping(nowMs: number): void {
    const held = this.failover.state !== "no-failover" && this.server.service.pause.is(PAUSE_REPLICA);
    const periodMs = this.server.config.number("repl-ping-replica-period") * 1000;
    if (held || !this.hasReplicas || nowMs - this.lastPingMs < periodMs) return;
    this.lastPingMs = nowMs;
    this.feedOwn(PING);
  }

  private lookAfterReplicas(nowMs: number): void {
    const timeoutMs = this.server.config.number("repl-timeout") * 1000;
    for (const r of this.attachedReplicas()) {
      if ((r.state === WAIT_START || r.state === WAIT_END) && !this.fullSync.streamsTo(r)) r.send(NEWLINE);
      if (r.state !== ONLINE || r.old || nowMs - r.ackMs <= timeoutMs) continue;
      this.server.log.warning(`Disconnecting timedout replica (streaming sync): ${r.name}`);
      this.drop(r);
    }
    this.fullSync.dropStuck(nowMs, timeoutMs);
  }

  private freeBacklog(nowMs: number): void {
    const seconds = this.server.config.number("repl-backlog-ttl");
    if (this.master !== null || !this.buffer.keeps || seconds === 0 || this.hasReplicas) return;
    if (nowMs - this.noReplicasSinceMs <= seconds * 1000) return;
    // From here on the offset stands still though data changes: this history must not be taken up again.
    this.changeId();
    this.buffer.keeps = false;
    this.buffer.clear();
    this.setConsumer();
    this.server.log.notice(`Replication backlog freed after ${seconds} seconds without connected replicas.`);
  }
}

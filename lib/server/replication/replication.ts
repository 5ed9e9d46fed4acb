/**
 * Replication's centre: this server's place in a history (replid, offset), the stream's buffer, its replicas and its master. Warm: `feed` runs
 * for each replicated command.
 *
 *   commands -> propagation -> Replication.feed -> buffer -> pump() -> replicas' sockets          (a master)
 *   master's socket -> MasterLink (link.ts) -> dispatch, and the same bytes -> buffer -> pump()   (a replica; same replid, same offsets)
 *
 * PSYNC, SYNC and full syncs are in full_sync.ts, the commands in commands.ts. Redis replication.c; the protocol is PSYNC2.
 */
import { randomBytes } from "node:crypto";
import { BLOCKED_ON_REPLICAS } from "../../clients/blocking.ts";
import type { Call } from "../../clients/call.ts";
import { encodeCommand } from "../../clients/call.ts";
import { FLAG_MASTER, type Client } from "../../clients/client.ts";
import { GATE_NOREPLICAS, GATE_READONLY, GATE_STALE } from "../../clients/command.ts";
import { PAUSE_REPLICA } from "../../clients/pause.ts";
import { EXPIRE_DELETE, EXPIRE_HIDE, EXPIRE_HIDE_READS, setExpirePolicy } from "../../store/keyspace.ts";
import { clock } from "../../time/clock.ts";
import type { Consumer } from "../propagation.ts";
import { TO_REPLICAS } from "../propagation.ts";
import type { Persistence } from "../persistence/persistence.ts";
import { ReplicaExpires } from "../replica_expires.ts";
import type { Server } from "../server.ts";
import { ReplicationBuffer } from "./buffer.ts";
import { failoverCron } from "./failover.ts";
import { FullSync } from "./full_sync.ts";
import { MasterLink } from "./link.ts";
import { ONLINE, RDB_ONLY_DONE, Replica, WAIT_END, WAIT_START } from "./replica.ts";

export const NO_REPLID = "0".repeat(40);
const PING = encodeCommand(["PING"]);
const GETACK = encodeCommand(["REPLCONF", "GETACK", "*"]);
const NEWLINE = Buffer.from("\n");

export function newReplId(): string {
  return randomBytes(20).toString("hex");
}

export class Replication implements Consumer {
  readonly server: Server;
  readonly buffer: ReplicationBuffer;
  readonly fullSync: FullSync;
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
  /** A replica without a link may ask its master to go on from (replid, buffer.end). */
  mayContinue: boolean;
  /** The data of the last master is gone, the next one's has not come whole. */
  halfLoaded: boolean;
  /** When the link to the master was lost; 0: never had one. */
  linkDownSinceMs: number;
  /** Since when there is no replica; 0: there is one. */
  noReplicasSinceMs: number;
  failoverState: "no-failover" | "waiting-for-sync" | "failover-in-progress";
  private askForAck: boolean;
  private lastPingMs: number;
  private lastSecondMs: number;

  constructor(server: Server, persistence: Persistence) {
    this.server = server;
    this.buffer = new ReplicationBuffer(server.config.number("repl-backlog-size"));
    this.replicas = new Set();
    this.replid = newReplId();
    this.replid2 = NO_REPLID;
    this.secondOffset = -1;
    this.selectedDb = -1;
    this.master = null;
    this.link = null;
    this.mayContinue = false;
    this.halfLoaded = false;
    this.linkDownSinceMs = 0;
    this.noReplicasSinceMs = clock.nowMs;
    this.failoverState = "no-failover";
    this.askForAck = false;
    this.lastPingMs = 0;
    this.lastSecondMs = 0;
    this.fullSync = new FullSync(this, persistence);
    // A file remembers where in the history it stands, so that a restart can go on from there.
    persistence.replInfo = () => {
      if (this.master === null && !this.buffer.keeps) return null;
      return { db: Math.max(0, this.selectedDb), id: this.replid, offset: this.offset };
    };
    this.join();
  }

  /** Hangs itself into the server. */
  private join(): void {
    const { server } = this;
    const { parts, config } = server;
    parts.role = () => (this.master === null ? "master" : "replica");
    parts.left = (client) => this.left(client);
    parts.closeLink = (client) => {
      if (this.link !== null && this.link.client === client) this.link.lost("killed");
    };
    parts.wrote = (client) => this.noteWrite(client);
    parts.published = (call) => this.publish(call);
    parts.replicationMemory = () => ({
      buffer: this.buffer.memoryBytes,
      backlog: this.buffer.keeps ? this.buffer.sizeBytes : 0,
      replicas: this.hasReplicas,
    });
    parts.replicaFloorBytes = () => config.number("repl-backlog-size");
    parts.timedOut = (client) => this.answerWait(client);
    const before = parts.beforeFlush;
    parts.beforeFlush = () => {
      this.beforeFlush();
      return before();
    };
    config.watch("repl-backlog-size", (c) => {
      this.buffer.sizeBytes = c.number("repl-backlog-size");
    });
    config.watch("replica-read-only", () => this.setExpiry());
    config.watch(["replica-read-only", "replica-serve-stale-data", "min-replicas-to-write", "min-replicas-max-lag"], () => this.setGates());
    server.cronJobs.push((nowMs) => this.cron(nowMs));
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
    this.buffer.append(b, start, end);
    this.server.dispatcher.needsBeforeFlush = true;
  }

  /** A command of our own making in the stream (PING, GETACK). */
  private feedRaw(bytes: Buffer): void {
    this.buffer.append(bytes, 0, bytes.length);
    this.server.dispatcher.needsBeforeFlush = true;
  }

  /** Bytes of our master's stream that were executed: on to our replicas as they are. */
  forward(b: Buffer, start: number, end: number): void {
    this.buffer.append(b, start, end);
    this.server.dispatcher.needsBeforeFlush = true;
  }

  private publish(call: Call): void {
    if (this.master !== null) return;
    const args: Buffer[] = [];
    for (let i = 0; i < call.argc; i++) args.push(call.view(i));
    this.server.propagation.also(call.client.dbIndex, args, TO_REPLICAS);
  }

  /** Somebody needs the stream: a backlog or a replica exists and we are the master. */
  private setConsumer(): void {
    this.server.propagation.replicas = this.master === null && (this.buffer.keeps || this.hasReplicas) ? this : null;
  }

  /** After commands, before their replies leave: what they put into the stream goes out. */
  private beforeFlush(): void {
    this.server.dispatcher.needsBeforeFlush = false;
    if (this.askForAck && this.master === null) {
      this.askForAck = false;
      this.feedRaw(GETACK);
      this.server.dispatcher.needsBeforeFlush = false;
    }
    for (const r of this.replicas) if (r.state === ONLINE && !r.startOnAck) this.pump(r);
  }

  /** Sends a replica what it has not got yet, as far as its socket takes it. */
  pump(r: Replica): void {
    const { conn } = r.client;
    const { reader } = r;
    if (conn === null || reader === null || !conn.isOpen) return;
    // What was queued before the stream (the RDB's end) goes first.
    if (!conn.flush()) return;
    for (let piece = this.buffer.peek(reader); piece !== null; piece = this.buffer.peek(reader)) {
      const taken = conn.writeNow(piece);
      if (taken <= 0) break;
      this.buffer.advance(reader, taken);
      this.server.stats.replOutput += taken;
      if (taken < piece.length) break;
    }
    r.client.sharedOutputBytes = this.buffer.end - reader.offset;
    if (r.client.sharedOutputBytes === 0) this.buffer.trim();
    else if (this.server.service.registry.overOutputLimit(r.client)) this.drop(r, "output limit");
  }

  get hasReplicas(): boolean {
    for (const r of this.replicas) if (r.attached) return true;
    return false;
  }
  attachedReplicas(): Replica[] {
    return [...this.replicas].filter((r) => r.attached);
  }

  // ------------------------------------------------------------------------------------------------ replicas

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
    const first = !this.hasReplicas;
    r.state = state;
    r.ackMs = clock.nowMs;
    r.waitingMs = clock.nowMs;
    registry.becomeReplica(r.client);
    const conn = r.client.conn!;
    // A replica's socket has room again: the stream goes on.
    conn.handler = { ...ingest.handler, drained: (c) => this.drained(c.data) };
    if (first && !this.buffer.keeps) {
      // Without a backlog nobody knows this history: a new one begins, so that no old offset is taken for one of it.
      this.replid = newReplId();
      this.replid2 = NO_REPLID;
      this.secondOffset = -1;
      this.keepBacklog();
      this.server.log.notice(`Replication backlog created, my new replication IDs are '${this.replid}' and '${this.replid2}'`);
    }
    this.noReplicasSinceMs = 0;
    this.setConsumer();
    this.setGates();
  }

  keepBacklog(): void {
    if (this.buffer.keeps) return;
    this.buffer.keeps = true;
    this.setConsumer();
  }

  private drained(client: Client): void {
    client.softLimitSinceMs = 0;
    const r = client.replica as Replica;
    if (r.state === ONLINE && !r.startOnAck) this.pump(r);
    else this.fullSync.drained(r);
  }

  /** Ends a replica's connection. */
  drop(r: Replica, _why: string): void {
    this.server.service.registry.free(r.client);
  }
  dropAll(): void {
    for (const r of this.attachedReplicas()) this.drop(r, "history changed");
  }

  private left(client: Client): void {
    const r = client.replica as Replica | null;
    if (r === null) return;
    this.replicas.delete(r);
    if (r.attached) this.server.log.notice(`Connection with replica ${r.name || r.text} lost.`);
    if (r.reader !== null) this.buffer.release(r.reader);
    r.reader = null;
    const wasAttached = r.attached;
    this.fullSync.left(r);
    if (wasAttached && !this.hasReplicas) {
      this.noReplicasSinceMs = clock.nowMs;
      this.setConsumer();
    }
    this.setGates();
  }

  /** REPLCONF ACK. */
  acknowledged(r: Replica, offset: number, fack: number): void {
    r.ackOffset = Math.max(r.ackOffset, offset);
    if (fack >= 0) r.fackOffset = Math.max(r.fackOffset, fack);
    r.ackMs = clock.nowMs;
    if (r.state === RDB_ONLY_DONE) return this.drop(r, "rdb-only");
    if (r.startOnAck && r.state === ONLINE) {
      r.startOnAck = false;
      this.server.log.notice(`Streamed replica with replica ${r.name} succeeded`);
      this.pump(r);
      this.setGates();
    }
    for (const client of this.server.service.blocking.clientsOn(BLOCKED_ON_REPLICAS)) {
      const b = client.blocked as { offset: number; replicas: number };
      if (this.acknowledgedBy(b.offset) >= b.replicas) {
        this.answerWait(client);
        this.server.service.blocking.unblock(client);
      }
    }
  }

  /** Replicas that have acknowledged an offset. */
  acknowledgedBy(offset: number): number {
    let n = 0;
    for (const r of this.replicas) if (r.state === ONLINE && r.ackOffset >= offset) n++;
    return n;
  }

  /** WAIT's reply, in time or late. */
  private answerWait(client: Client): void {
    const b = client.blocked as { offset: number } | null;
    if (b === null) return;
    client.out.int(this.acknowledgedBy(b.offset));
    this.server.dispatcher.wake(client);
  }
  requestAcks(): void {
    this.askForAck = true;
    this.server.dispatcher.needsBeforeFlush = true;
  }

  /** Replicas whose acknowledgement is younger than min-replicas-max-lag. */
  goodReplicas(): number {
    const lag = this.server.config.number("min-replicas-max-lag");
    let n = 0;
    for (const r of this.replicas) if (r.state === ONLINE && Math.floor((clock.nowMs - r.ackMs) / 1000) <= lag) n++;
    return n;
  }

  setGates(): void {
    const { config, server } = { config: this.server.config, server: this.server };
    const replica = this.master !== null;
    server.setGate(GATE_READONLY, replica && config.bool("replica-read-only"));
    server.setGate(GATE_STALE, replica && !config.bool("replica-serve-stale-data") && !this.linkUp);
    const wanted = config.number("min-replicas-to-write");
    const watched = !replica && wanted > 0 && config.number("min-replicas-max-lag") > 0;
    server.setGate(GATE_NOREPLICAS, watched && this.goodReplicas() < wanted);
  }

  // ------------------------------------------------------------------------------------------------ our master

  get linkUp(): boolean {
    return this.link !== null && this.link.isUp;
  }

  /** REPLICAOF host port. Redis replicationSetMaster. */
  setMaster(host: string, port: number): void {
    const { server } = this;
    const wasMaster = this.master === null;
    this.master = { host, port };
    server.config.assign("replicaof", host, String(port));
    this.dropLink();
    server.service.blocking.roleChanged();
    if (wasMaster) {
      // Our own history is what we can go on from.
      this.mayContinue = true;
      server.log.notice(
        "Before turning into a replica, using my own master parameters to synthesize a cached master: I may be able to synchronize with the new master with just a partial transfer.",
      );
      this.keepBacklog();
    }
    this.linkDownSinceMs = clock.nowMs;
    this.becomeRole();
    server.log.notice(`Connecting to MASTER ${host}:${port}`);
    this.connect();
  }

  /** REPLICAOF NO ONE. Redis replicationUnsetMaster. */
  unsetMaster(): void {
    if (this.master === null) return;
    const { server } = this;
    this.master = null;
    server.config.assign("replicaof", "no", "one");
    this.dropLink();
    this.shiftId();
    this.mayContinue = false;
    if (this.halfLoaded) {
      this.halfLoaded = false;
      server.parts.dataCame();
    }
    this.linkDownSinceMs = 0;
    // They must learn the new id; with it they go on where they are.
    this.dropAll();
    this.selectedDb = -1;
    this.noReplicasSinceMs = clock.nowMs;
    this.becomeRole();
  }

  /** A new history that grows out of the old one. */
  shiftId(): void {
    this.replid2 = this.replid;
    this.secondOffset = this.offset + 1;
    this.replid = newReplId();
    this.server.log.notice(
      `Setting secondary replication ID to ${this.replid2}, valid up to offset: ${this.secondOffset}. New replication ID is ${this.replid}`,
    );
  }

  /** Who deletes expired keys: a master; a replica leaves it to its master, but for what its own clients wrote. */
  private setExpiry(): void {
    const { server } = this;
    const replica = this.master !== null;
    const writable = replica && !server.config.bool("replica-read-only");
    if (!writable) server.replicaExpires = null;
    else server.replicaExpires ??= new ReplicaExpires(server.databases);
    setExpirePolicy(!replica ? EXPIRE_DELETE : writable ? EXPIRE_HIDE_READS : EXPIRE_HIDE);
  }

  private becomeRole(): void {
    const { server } = this;
    const replica = this.master !== null;
    this.setExpiry();
    server.log.target.role = replica ? "S" : "M";
    server.process.setReplica(replica);
    this.setConsumer();
    this.setGates();
  }

  /** Boot: `replicaof` of the configuration, and what the RDB knew of its history. */
  begin(loaded: { replId: string; replOffset: number; replStreamDb: number } | null): void {
    const wanted = this.server.config.special("replicaof");
    if (loaded !== null && loaded.replId !== "" && loaded.replOffset >= 0) {
      if (wanted === null) {
        this.replid2 = loaded.replId;
        this.secondOffset = loaded.replOffset + 1;
        this.buffer.restart(loaded.replOffset);
        this.buffer.keeps = true;
        this.noReplicasSinceMs = clock.nowMs;
      } else {
        this.replid = loaded.replId;
        this.buffer.restart(loaded.replOffset);
        this.buffer.keeps = true;
        this.selectedDb = loaded.replStreamDb;
        this.mayContinue = true;
      }
    }
    if (wanted === null) return this.becomeRole();
    this.master = { host: wanted.host, port: wanted.port };
    this.linkDownSinceMs = clock.nowMs;
    this.becomeRole();
    this.server.log.notice(`Connecting to MASTER ${wanted.host}:${wanted.port}`);
    this.connect();
  }

  connect(): void {
    if (this.master === null || this.link !== null) return;
    this.link = new MasterLink(this, this.master.host, this.master.port);
  }

  /** Ends the link because it is to another master, or none is wanted: linkEnded is not for it. */
  private dropLink(): void {
    const { link } = this;
    this.link = null;
    link?.close();
  }

  /** The link ended: one that was up is made anew at once, before the master's backlog has moved on; else cron tries again. */
  linkEnded(link: MasterLink): void {
    if (this.link !== link) return;
    this.link = null;
    if (link.wasUp) this.linkDownSinceMs = clock.nowMs;
    if (link.wasUp && this.master !== null) {
      this.server.log.notice(`Reconnecting to MASTER ${this.master.host}:${this.master.port}`);
      this.connect();
    }
    this.setGates();
  }

  // ------------------------------------------------------------------------------------------------ time

  /** Redis replicationCron, and what runs every beat. */
  private cron(nowMs: number): void {
    this.fullSync.cron(nowMs);
    failoverCron(this);
    if (nowMs - this.lastSecondMs < 1000) return;
    this.lastSecondMs = nowMs;
    const { server } = this;
    const { config, log } = server;
    if (this.master !== null) {
      if (this.link === null) {
        log.notice(`Connecting to MASTER ${this.master.host}:${this.master.port}`);
        this.connect();
      } else this.link.cron(nowMs);
    }
    const timeoutMs = config.number("repl-timeout") * 1000;
    if (this.lastPingMs === 0) this.lastPingMs = nowMs;
    const paused = server.service.pause.is(PAUSE_REPLICA) && this.failoverState !== "no-failover";
    if (
      this.master === null &&
      !paused &&
      this.hasReplicas &&
      nowMs - this.lastPingMs >= config.number("repl-ping-replica-period") * 1000
    ) {
      this.lastPingMs = nowMs;
      this.feedRaw(PING);
    }
    for (const r of this.attachedReplicas()) {
      // A sign of life; in the middle of a snapshot it would be one of its bytes.
      if ((r.state === WAIT_START || (r.state === WAIT_END && !this.fullSync.isReceiving(r))) && !r.old) {
        r.client.out.raw(NEWLINE, 0, 1);
        r.client.conn?.flush();
      }
      if (r.state === ONLINE && !r.old && nowMs - r.ackMs > timeoutMs) {
        log.warning(`Disconnecting timedout replica (streaming sync): ${r.name}`);
        this.drop(r, "timeout");
      }
    }
    const ttlMs = config.number("repl-backlog-ttl") * 1000;
    if (
      this.master === null &&
      this.buffer.keeps &&
      ttlMs > 0 &&
      this.noReplicasSinceMs > 0 &&
      !this.hasReplicas &&
      nowMs - this.noReplicasSinceMs > ttlMs
    ) {
      // A history that nobody followed to its end must not be taken up again later.
      this.replid = newReplId();
      this.replid2 = NO_REPLID;
      this.secondOffset = -1;
      this.buffer.keeps = false;
      this.buffer.clear();
      this.setConsumer();
      log.notice(`Replication backlog freed after ${ttlMs / 1000} seconds without connected replicas.`);
    }
    this.setGates();
  }

  /** FAILOVER: the target took our PSYNC, or did not. */
  failoverEnded(taken: boolean): void {
    if (this.failoverState !== "failover-in-progress") return;
    this.onFailoverEnd(taken);
  }
  /** Set by failover.ts while a FAILOVER runs. */
  onFailoverEnd: (taken: boolean) => void = () => {};

  /** The client's last write is at this offset of the stream (WAIT). */
  noteWrite(client: Client): void {
    if ((client.flags & FLAG_MASTER) === 0) client.writeOffset = this.offset;
  }
}

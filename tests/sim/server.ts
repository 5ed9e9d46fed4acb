/**
 * A Redis server as Sentinels, proxies and clients see it: roles, replication with its ids and offsets, INFO, ROLE, transactions, Pub/Sub,
 * CLIENT KILL and PAUSE, FAILOVER, restarts with and without data. Data is one growing list of writes, so "contains" and "same" are cheap.
 *
 *     write -> head -> every online replica's wire -> their heads; acks once a second tell the lag
 *
 * Rules follow Redis 7.0 replication.c: a promoted replica shifts its id, a demoted master keeps its id as cached until the new master
 * answers, PSYNC continues within replid (or replid2 up to second_repl_offset), anything else is a full sync that takes time.
 * Left out: backlog limits (a backlog holds everything since the process started), databases, everything but one list of writes.
 */
import { NO_REPLID } from "../../lib/fleet/lineage.ts";
import { ReplyError, type Reply } from "../../lib/resp/reply.ts";
import { HELLO_CHANNEL } from "../../lib/sentinel/core/types.ts";
import { End, Process, type Wire, type World } from "./world.ts";

/** One write and all before it. */
export type Entry = { value: number; offset: number; before: Entry | null };

export function contains(head: Entry | null, value: number): boolean {
  for (let e = head; e !== null; e = e.before) if (e.value === value) return true;
  return false;
}

type Snapshot = { head: Entry | null; offset: number; replid: string };

type Client = { kind: "client"; queue: string[][] | null; subscribed: Set<string>; held: string[][] };
type Follower = { kind: "replica"; ip: string; port: number; state: "wait_bgsave" | "online"; ackOffset: number; ackMs: number };
type ToMaster = { kind: "master" };
type Tag = Client | Follower | ToMaster;

/** What goes over a replication wire. */
type Stream =
  | { psync: true; replid: string; offset: number; ip: string; port: number }
  | { full: Snapshot }
  | { go: string }
  | { entry: Entry; offset: number }
  | { publish: [string, string]; offset: number }
  | { ping: true; offset: number }
  | { getack: true }
  | { ack: number };

/** The wire of somebody who sits at the server itself. */
const NOBODY = { push() {} } as unknown as Wire;
const REPL_TIMEOUT_MS = 5000;
const PING_BYTES = 14;
const READONLY = new ReplyError("READONLY You can't write against a read only replica.");

export class Server extends Process {
  runId: string;
  role: "master" | "replica";
  masterAt: { ip: string; port: number } | null;
  private id: string;
  /** Since when it has this replid. */
  replidSinceMs: number;
  replid2: string;
  secondOffset: number;
  offset: number;
  head: Entry | null;
  /** What survives kill -9: the configuration file's replicaof and the last save. */
  readonly disk: { replicaof: { ip: string; port: number } | null; saved: Snapshot | null };
  /** How much of the data a restart finds: all of it (AOF), what was saved last (RDB), nothing. */
  persistence: "all" | "saved" | "none";
  /** Does not look at CONFIG REWRITE (a file that may not be written). */
  rewriteFails: boolean;
  pauseUntilMs: number;
  private pausesAll: boolean;
  private toMaster: End | null;
  private linkUp: boolean;
  private syncing: boolean;
  private linkDownSinceMs: number;
  private lastFromMasterMs: number;
  private readonly peers: Map<End, Tag>;
  private failover: { ip: string; port: number; untilMs: number } | null;
  /** Called with every applied write: the world's checkers listen. */
  onRole: (s: Server) => void;

  constructor(world: World, name: string, host: string, ip: string, port: number) {
    super(world, name, host, ip, port);
    this.runId = "";
    this.role = "master";
    this.masterAt = null;
    this.id = "";
    this.replidSinceMs = 0;
    this.replid2 = NO_REPLID;
    this.secondOffset = -1;
    this.offset = 0;
    this.head = null;
    this.disk = { replicaof: null, saved: null };
    this.persistence = "all";
    this.rewriteFails = false;
    this.pauseUntilMs = 0;
    this.pausesAll = false;
    this.toMaster = null;
    this.linkUp = false;
    this.syncing = false;
    this.linkDownSinceMs = 0;
    this.lastFromMasterMs = 0;
    this.peers = new Map();
    this.failover = null;
    this.onRole = () => {};
  }

  get replid(): string {
    return this.id;
  }
  set replid(id: string) {
    if (id !== this.id) this.replidSinceMs = this.world.now;
    this.id = id;
  }

  // ---- life ----

  override onStart(): void {
    const { random } = this.world;
    this.runId = random.hex(40);
    this.peers.clear();
    this.toMaster = null;
    this.linkUp = false;
    this.syncing = false;
    this.linkDownSinceMs = 0;
    this.pauseUntilMs = 0;
    this.failover = null;
    this.replid = random.hex(40);
    this.replid2 = NO_REPLID;
    this.secondOffset = -1;
    const saved = this.persistence === "none" ? null : this.disk.saved;
    this.head = saved?.head ?? null;
    this.offset = saved?.offset ?? 0;
    this.masterAt = this.disk.replicaof;
    this.role = this.masterAt === null ? "master" : "replica";
    if (saved !== null) {
      if (this.role === "replica") this.replid = saved.replid;
      else {
        this.replid2 = saved.replid;
        this.secondOffset = saved.offset + 1;
      }
    }
    this.onRole(this);
    this.cron();
  }

  override onStop(): void {
    if (this.persistence === "all") this.save();
  }

  save(): void {
    this.disk.saved = { head: this.head, offset: this.offset, replid: this.replid };
  }

  private cron(): void {
    const { now } = this.world;
    if (this.role === "replica") {
      if (this.toMaster !== null && now - this.lastFromMasterMs > REPL_TIMEOUT_MS) this.dropMaster();
      if (this.toMaster === null) this.dialMaster();
      else if (this.linkUp) this.toMaster.send({ ack: this.offset } satisfies Stream);
    } else {
      for (const [end, tag] of this.peers)
        if (tag.kind === "replica" && now - tag.ackMs > REPL_TIMEOUT_MS) {
          this.peers.delete(end);
          this.drop(end);
        }
      // Redis pings every 10 s; every second here, so that short worlds see idle links live. Not while a FAILOVER waits for offsets.
      if (this.failover === null) this.feed((offset) => ({ ping: true, offset }), PING_BYTES);
    }
    this.stepFailover();
    this.later(1000, () => this.cron());
  }

  // ---- replication ----

  private feed(make: (offset: number) => Stream, bytes: number): void {
    if (![...this.peers.values()].some((t) => t.kind === "replica")) return;
    this.offset += bytes;
    const message = make(this.offset);
    for (const [end, tag] of this.peers) if (tag.kind === "replica" && tag.state === "online") end.send(message);
  }

  private write(value: number): void {
    this.offset += 40;
    this.head = { value, offset: this.offset, before: this.head };
    const message: Stream = { entry: this.head, offset: this.offset };
    for (const [end, tag] of this.peers) if (tag.kind === "replica" && tag.state === "online") end.send(message);
  }

  private dialMaster(): void {
    if (this.masterAt === null) return;
    this.toMaster = this.connect(this.masterAt.ip, this.masterAt.port, null);
    this.peers.set(this.toMaster, { kind: "master" });
    this.lastFromMasterMs = this.world.now;
    this.syncing = false;
    this.toMaster.send({ psync: true, replid: this.replid, offset: this.offset, ip: this.ip, port: this.port } satisfies Stream);
  }

  private dropMaster(): void {
    if (this.toMaster === null) return;
    this.peers.delete(this.toMaster);
    this.drop(this.toMaster);
    this.masterGone();
  }
  private masterGone(): void {
    this.toMaster = null;
    this.syncing = false;
    if (this.linkUp || this.linkDownSinceMs === 0) this.linkDownSinceMs = this.world.now;
    this.linkUp = false;
  }

  /** Redis: disconnectSlaves. */
  private dropFollowers(): void {
    for (const [end, tag] of this.peers)
      if (tag.kind === "replica") {
        this.peers.delete(end);
        this.drop(end);
      }
  }

  /** Redis: replicationUnsetMaster. */
  becomeMaster(): void {
    if (this.role === "master") return;
    this.dropMaster();
    this.role = "master";
    this.masterAt = null;
    this.replid2 = this.replid;
    this.secondOffset = this.offset + 1;
    this.replid = this.world.random.hex(40);
    this.dropFollowers();
    this.world.log(this.name, `now a master, ${this.replid.slice(0, 6)} from ${this.replid2.slice(0, 6)} at ${this.offset}`);
    this.onRole(this);
  }

  /** Redis: replicationSetMaster. */
  follow(ip: string, port: number): void {
    if (this.masterAt !== null && this.masterAt.ip === ip && this.masterAt.port === port) return;
    this.dropMaster();
    this.dropFollowers();
    for (const [end, tag] of this.peers)
      if (tag.kind === "client" && tag.held.length > 0) {
        this.peers.delete(end);
        this.drop(end);
      }
    this.role = "replica";
    this.masterAt = { ip, port };
    this.linkDownSinceMs = this.world.now;
    this.linkUp = false;
    this.world.log(this.name, `now a replica of ${ip}:${port}`);
    this.onRole(this);
    this.dialMaster();
  }

  /** A replica asks to be fed. Redis: syncCommand, masterTryPartialResynchronization. */
  private psync(end: End, m: { replid: string; offset: number; ip: string; port: number }): void {
    // A replica without its own master does not feed anybody.
    if (this.role === "replica" && !this.linkUp) {
      this.peers.delete(end);
      this.drop(end);
      return;
    }
    const follower: Follower = { kind: "replica", ip: m.ip, port: m.port, state: "online", ackOffset: m.offset, ackMs: this.world.now };
    this.peers.set(end, follower);
    const known = m.replid === this.replid || (m.replid === this.replid2 && m.offset < this.secondOffset);
    if (known && m.offset <= this.offset) {
      end.send({ go: this.replid } satisfies Stream);
      const missing: Entry[] = [];
      for (let e = this.head; e !== null && e.offset > m.offset; e = e.before) missing.push(e);
      for (const e of missing.reverse()) end.send({ entry: e, offset: e.offset } satisfies Stream);
      if (this.offset > m.offset) end.send({ ping: true, offset: this.offset } satisfies Stream);
      return;
    }
    follower.state = "wait_bgsave";
    this.later(this.world.random.int(20, 400), () => {
      if (!end.open || this.peers.get(end) !== follower) return;
      follower.state = "online";
      follower.ackMs = this.world.now;
      end.send({ full: { head: this.head, offset: this.offset, replid: this.replid } } satisfies Stream);
    });
  }

  private fromMaster(m: Stream): void {
    this.lastFromMasterMs = this.world.now;
    if ("full" in m) {
      this.head = m.full.head;
      this.offset = m.full.offset;
      this.replid = m.full.replid;
      this.replid2 = NO_REPLID;
      this.secondOffset = -1;
      this.dropFollowers();
      this.nowUp();
      if (this.persistence === "saved") this.save();
    } else if ("go" in m) {
      if (m.go !== this.replid) {
        this.replid2 = this.replid;
        this.secondOffset = this.offset + 1;
        this.replid = m.go;
        this.dropFollowers();
      }
      this.nowUp();
    } else if ("getack" in m) {
      this.toMaster?.send({ ack: this.offset } satisfies Stream);
    } else if ("entry" in m || "publish" in m || "ping" in m) {
      if (m.offset <= this.offset) return;
      this.offset = m.offset;
      if ("entry" in m) this.head = { value: m.entry.value, offset: m.offset, before: this.head };
      if ("publish" in m) this.tellSubscribers(m.publish[0], m.publish[1]);
      for (const [end, tag] of this.peers) if (tag.kind === "replica" && tag.state === "online") end.send(m);
    }
  }

  private nowUp(): void {
    this.linkUp = true;
    this.syncing = false;
    this.linkDownSinceMs = 0;
    this.toMaster?.send({ ack: this.offset } satisfies Stream);
  }

  // ---- wires ----

  override onAccept(end: End): void {
    this.peers.set(end, { kind: "client", queue: null, subscribed: new Set(), held: [] });
  }
  override onClosed(end: End): void {
    this.peers.delete(end);
    if (end === this.toMaster) this.masterGone();
  }
  override onConnected(end: End): void {
    if (end === this.toMaster) this.syncing = true;
  }

  override onMessage(end: End, message: unknown): void {
    const tag = this.peers.get(end);
    if (tag === undefined) return;
    if (Array.isArray(message)) {
      if (tag.kind === "client") this.request(end, tag, message as string[]);
      return;
    }
    const m = message as Stream;
    if (tag.kind === "master") this.fromMaster(m);
    else if ("psync" in m) this.psync(end, m);
    else if ("ack" in m && tag.kind === "replica") {
      tag.ackOffset = m.ack;
      tag.ackMs = this.world.now;
      this.stepFailover();
    }
  }

  // ---- commands ----

  private request(end: End, client: Client, args: string[]): void {
    const word = args[0]!.toUpperCase();
    if (client.held.length > 0 || this.isPausedFor(word)) {
      client.held.push(args);
      return;
    }
    if (word === "MULTI") {
      client.queue = [];
      end.send("OK");
    } else if (word === "EXEC") {
      const queue = client.queue;
      client.queue = null;
      if (queue === null) end.send(new ReplyError("ERR EXEC without MULTI"));
      else end.send(queue.map((q) => this.run(end, client, q)));
    } else if (client.queue !== null) {
      client.queue.push(args);
      end.send("QUEUED");
    } else {
      const reply = this.run(end, client, args);
      if (reply !== undefined) end.send(reply);
    }
  }

  private isPausedFor(word: string): boolean {
    if (this.world.now >= this.pauseUntilMs) return false;
    // CLIENT PAUSE WRITE also holds PUBLISH (Redis: it may replicate); EXEC is held when it would write.
    return this.pausesAll ? word !== "CLIENT" : word === "SET" || word === "PUBLISH";
  }

  /** Runs one command; undefined: it has answered by itself. */
  private run(end: End, client: Client, args: string[]): Reply | undefined {
    const [word, a, b] = [args[0]!.toUpperCase(), args[1] ?? "", args[2] ?? ""];
    switch (word) {
      case "PING":
        return "PONG";
      case "AUTH":
      case "HELLO":
        return "OK";
      case "INFO":
        return this.info();
      case "ROLE":
        return this.roleReply();
      case "SET":
        if (this.role === "replica") return READONLY;
        this.write(Number(b));
        return "OK";
      case "PUBLISH":
        this.tellSubscribers(a, b);
        if (this.role === "master") this.feed((offset) => ({ publish: [a, b], offset }), 60 + b.length);
        return 1;
      case "SUBSCRIBE":
        client.subscribed.add(a);
        return ["subscribe", a, client.subscribed.size];
      case "PUBSUB":
        return [HELLO_CHANNEL, [...this.peers.values()].filter((t) => t.kind === "client" && t.subscribed.has(HELLO_CHANNEL)).length];
      case "SLAVEOF":
      case "REPLICAOF":
        if (this.failover !== null) return new ReplyError("ERR REPLICAOF not allowed while failing over.");
        if (a.toUpperCase() === "NO") this.becomeMaster();
        else this.follow(a, Number(b));
        return "OK";
      case "CONFIG":
        if (a.toUpperCase() !== "REWRITE") return [];
        if (this.rewriteFails) return new ReplyError("ERR Rewriting config file: Permission denied");
        this.disk.replicaof = this.masterAt;
        return "OK";
      case "CLIENT":
        return this.clientCommand(end, args);
      case "FAILOVER":
        return this.failoverCommand(args);
      case "SCRIPT":
        return new ReplyError("NOTBUSY No scripts in execution right now.");
      default:
        return new ReplyError(`ERR unknown command '${args[0]}', with args beginning with: `);
    }
  }

  private clientCommand(end: End, args: string[]): Reply {
    const sub = (args[1] ?? "").toUpperCase();
    if (sub === "KILL") {
      const pubsub = args[3] === "pubsub";
      let killed = 0;
      for (const [other, tag] of this.peers) {
        if (tag.kind !== "client" || other === end || tag.subscribed.size > 0 !== pubsub) continue;
        this.peers.delete(other);
        this.drop(other);
        killed++;
      }
      return killed;
    }
    if (sub === "PAUSE") {
      this.pauseUntilMs = Math.max(this.pauseUntilMs, this.world.now + Number(args[2]));
      this.pausesAll = (args[3] ?? "ALL").toUpperCase() === "ALL";
      this.later(Number(args[2]), () => this.unpauseIfDue());
      return "OK";
    }
    if (sub === "UNPAUSE") {
      this.pauseUntilMs = 0;
      this.later(0, () => this.unpauseIfDue());
    }
    return "OK";
  }

  private unpauseIfDue(): void {
    if (this.world.now < this.pauseUntilMs) return;
    for (const [end, tag] of this.peers) {
      if (tag.kind !== "client" || tag.held.length === 0) continue;
      const held = tag.held;
      tag.held = [];
      for (const args of held) this.request(end, tag, args);
    }
  }

  /** Somebody at this server's prompt; nobody reads the reply. */
  order(args: string[]): void {
    const end = new End(NOBODY, this);
    this.deliver(this.life, () => this.run(end, { kind: "client", queue: null, subscribed: new Set(), held: [] }, args));
  }
  /** CLIENT KILL of everybody. */
  killAllClients(): void {
    this.order(["CLIENT", "KILL", "TYPE", "normal"]);
    this.order(["CLIENT", "KILL", "TYPE", "pubsub"]);
  }

  /** FAILOVER TO host port [TIMEOUT ms] | ABORT: pause, wait for the replica's offset, swap (Redis: failoverCommand). */
  private failoverCommand(args: string[]): Reply {
    const words = args.map((w) => w.toUpperCase());
    if (words[1] === "ABORT") {
      if (this.failover === null) return new ReplyError("ERR No failover in progress.");
      this.endFailover();
      return "OK";
    }
    if (this.failover !== null) return new ReplyError("ERR FAILOVER already in progress.");
    if (this.role !== "master") return new ReplyError("ERR FAILOVER is not valid when server is a replica.");
    const to = words.indexOf("TO");
    const timeout = words.indexOf("TIMEOUT");
    const online = [...this.peers.values()].filter((t): t is Follower => t.kind === "replica" && t.state === "online");
    const target = to < 0 ? online[0] : online.find((t) => t.ip === args[to + 1] && t.port === Number(args[to + 2]));
    if (target === undefined) return new ReplyError("ERR FAILOVER target HOST and PORT is not a replica.");
    const ms = timeout < 0 ? 60_000 : Number(args[timeout + 1]);
    this.failover = { ip: target.ip, port: target.port, untilMs: this.world.now + ms };
    this.pauseUntilMs = this.world.now + ms;
    this.pausesAll = false;
    this.later(ms, () => this.stepFailover());
    this.later(1, () => this.stepFailover());
    for (const [end, tag] of this.peers) if (tag.kind === "replica") end.send({ getack: true } satisfies Stream);
    return "OK";
  }

  private stepFailover(): void {
    const f = this.failover;
    if (f === null) return;
    if (this.world.now >= f.untilMs) return this.endFailover();
    const target = [...this.peers.values()].find((t): t is Follower => t.kind === "replica" && t.ip === f.ip && t.port === f.port);
    if (target === undefined || target.ackOffset < this.offset) {
      this.later(50, () => this.stepFailover());
      return;
    }
    const to = this.world.net.at(f.ip, f.port);
    this.endFailover();
    // PSYNC ... FAILOVER makes the replica a master in the same exchange.
    this.world.after(this.world.net.delay(this.host, to!.host), () => {
      if (to instanceof Server && to.alive) to.deliver(to.life, () => to.becomeMaster());
    });
    this.follow(f.ip, f.port);
  }

  private endFailover(): void {
    this.failover = null;
    this.pauseUntilMs = 0;
    this.unpauseIfDue();
  }

  private tellSubscribers(channel: string, payload: string): void {
    for (const [end, tag] of this.peers) if (tag.kind === "client" && tag.subscribed.has(channel)) end.send(["message", channel, payload]);
  }

  // ---- words about itself ----

  isLinkUp(): boolean {
    return this.linkUp;
  }

  private roleReply(): Reply {
    if (this.role === "replica") {
      const link = this.linkUp ? "connected" : this.toMaster === null ? "connect" : this.syncing ? "sync" : "connecting";
      return ["slave", this.masterAt!.ip, this.masterAt!.port, link, this.offset];
    }
    const followers = [...this.peers.values()].filter((t): t is Follower => t.kind === "replica");
    return ["master", this.offset, followers.map((f): Reply => [f.ip, String(f.port), String(f.ackOffset)])];
  }

  private info(): string {
    const lines = [
      "# Server",
      "redis_version:7.0.15",
      `run_id:${this.runId}`,
      "# Replication",
      `role:${this.role === "master" ? "master" : "slave"}`,
    ];
    if (this.role === "replica") {
      lines.push(
        `master_host:${this.masterAt!.ip}`,
        `master_port:${this.masterAt!.port}`,
        `master_link_status:${this.linkUp ? "up" : "down"}`,
        `master_sync_in_progress:${this.syncing ? 1 : 0}`,
        `slave_read_repl_offset:${this.offset}`,
        `slave_repl_offset:${this.offset}`,
      );
      if (!this.linkUp)
        lines.push(
          `master_link_down_since_seconds:${this.linkDownSinceMs === 0 ? -1 : Math.floor((this.world.now - this.linkDownSinceMs) / 1000)}`,
        );
      lines.push("slave_priority:100", "slave_read_only:1", "replica_announced:1");
    }
    const followers = [...this.peers.values()].filter((t): t is Follower => t.kind === "replica");
    lines.push(`connected_slaves:${followers.length}`);
    followers.forEach((f, i) => lines.push(`slave${i}:ip=${f.ip},port=${f.port},state=${f.state},offset=${f.ackOffset},lag=0`));
    lines.push(
      `master_failover_state:${this.failover === null ? "no-failover" : "waiting-for-sync"}`,
      `master_replid:${this.replid}`,
      `master_replid2:${this.replid2}`,
      `master_repl_offset:${this.offset}`,
      `second_repl_offset:${this.secondOffset}`,
    );
    return lines.join("\r\n") + "\r\n";
  }
}

/**
 * The connections of a server or Sentinel: who may come in, who must go, and how many there were. COLD, but for `overOutputLimit`,
 * which is asked when a client does not take its replies.
 *
 *   listener --accept--> Client in dispatcher.clients --free / the peer's close--> forget (every module cleans up), mode.left
 *   cron --a share of the clients a call--> idle timeout, output limits, peaks
 *
 * Follows Redis networking.c (acceptCommonHandler, freeClient, checkClientOutputBufferLimits) and server.c clientsCron.
 */
import { LEVELS, type RedisLevel } from "../log/redis_line.ts";
import type { Log } from "../log/log.ts";
import type { Conn } from "../net/conn.ts";
import { quoteArg } from "../bytes/args.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { clock } from "../time/clock.ts";
import {
  CLIENT_REPLICA,
  FLAG_BLOCKED,
  FLAG_CLOSE_AFTER_REPLY,
  FLAG_CLOSE_ASAP,
  FLAG_MASTER,
  FLAG_NO_EVICT,
  FLAG_PUBSUB,
  FLAG_REPLICA,
  FLAG_UNIX,
  Client,
} from "./client.ts";
import { resizeBuffers } from "./buffers.ts";
import type { Dispatcher } from "./dispatch.ts";
import { clientLine, clientType, memoryOf } from "./info_line.ts";
import type { ClientSettings, OutputLimit } from "./settings.ts";
import type { Users } from "./users.ts";

const DENIED = errorLine(
  "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. " +
    "In this mode connections are only accepted from the loopback interface. " +
    "If you want to connect from external computers to Redis you may adopt one of the following solutions: " +
    "1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting " +
    "to Redis from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. " +
    "Use CONFIG REWRITE to make this change permanent. " +
    "2) Alternatively you can just disable the protected mode by editing the Redis configuration file, and setting the protected mode " +
    "option to 'no', and then restarting the server. " +
    "3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. " +
    "4) Set up an authentication password for the default user. " +
    "NOTE: You only need to do one of the above things in order for the server to start accepting connections from the outside.",
);

/** What the registry needs of its surroundings. */
export interface RegistryHooks {
  /** A new client's keyspace; nothing where there are none. */
  arrived(client: Client): void;
  /** The client is gone: every module forgets it. Called once. */
  left(client: Client): void;
  /** A client without a connection of its own (the link to the master) is to be closed. */
  closeLink(client: Client): void;
  /** Lower bound of the replicas' hard limit: the backlog is theirs too. */
  replicaFloorBytes(): number;
}

export class Registry {
  readonly dispatcher: Dispatcher;
  readonly settings: ClientSettings;
  readonly users: Users;
  readonly log: Log;
  private readonly hooks: RegistryHooks;
  /** Counters of INFO stats. */
  totalConnections: number;
  rejectedConnections: number;
  queryLimitDisconnections: number;
  outputLimitDisconnections: number;
  evictedClients: number;
  netInputBytes: number;
  /** Bytes sent by connections that are gone; `netOutputBytes` adds the living ones. */
  private sentByGone: number;
  private sentBase: number;
  /** Peaks of the last seconds: INFO clients client_recent_max_*. */
  recentMaxInputBytes: number;
  recentMaxOutputBytes: number;
  /** What all clients but replicas and the master cost, the sum of their memoryBytes: to the second, and always while `watchMemory`. */
  allMemoryBytes: number;
  private sweep: Iterator<Client> | null;
  private sweepInput: number;
  private sweepOutput: number;

  constructor(dispatcher: Dispatcher, settings: ClientSettings, users: Users, log: Log, hooks: RegistryHooks) {
    this.dispatcher = dispatcher;
    this.settings = settings;
    this.users = users;
    this.log = log;
    this.hooks = hooks;
    this.totalConnections = 0;
    this.rejectedConnections = 0;
    this.queryLimitDisconnections = 0;
    this.outputLimitDisconnections = 0;
    this.evictedClients = 0;
    this.netInputBytes = 0;
    this.sentByGone = 0;
    this.sentBase = 0;
    this.recentMaxInputBytes = 0;
    this.recentMaxOutputBytes = 0;
    this.allMemoryBytes = 0;
    this.sweep = null;
    this.sweepInput = 0;
    this.sweepOutput = 0;
  }

  private logs(level: RedisLevel): boolean {
    return LEVELS.indexOf(level) >= LEVELS.indexOf(this.log.target.level);
  }

  // ------------------------------------------------------------------------------------------------ coming

  /** A connection has been accepted: its client, or null when it is refused (it has been answered and closed). */
  accept(conn: Conn<Client>): Client | null {
    if (this.logs("verbose"))
      this.log.verbose(conn.path !== "" ? `Accepted connection to ${conn.path}` : `Accepted ${conn.remoteAddress}:${conn.remotePort}`);
    if (this.dispatcher.clients.size >= this.settings.maxClients) return this.refuse(conn, ERR.maxClients);
    if (this.settings.protectedMode && this.users.default.noPass && !isLocal(conn)) return this.refuse(conn, DENIED);
    const client = new Client(this.dispatcher.newClientId(), conn, null);
    if (conn.path !== "") client.flags |= FLAG_UNIX;
    client.request.maxBulkBytes = this.settings.maxBulkBytes;
    this.users.welcome(client);
    this.setLimit(client);
    if (this.settings.tcpKeepaliveSeconds > 0 && conn.path === "") conn.keepAlive(this.settings.tcpKeepaliveSeconds * 1000);
    this.dispatcher.clients.set(client.id, client);
    this.totalConnections++;
    this.hooks.arrived(client);
    return client;
  }

  private refuse(conn: Conn<Client>, line: Buffer): null {
    this.rejectedConnections++;
    conn.out.error(line);
    conn.closeAfterFlush();
    return null;
  }

  /** A client without a connection that is to be listed, counted and killed like others: the link to the master. */
  adopt(client: Client): void {
    this.dispatcher.clients.set(client.id, client);
  }

  // ------------------------------------------------------------------------------------------------ going

  /**
   * Closes a client now; what it has not been sent is dropped. The client whose own command runs gets its reply first.
   * Redis networking.c freeClient.
   */
  free(client: Client): void {
    if (client === this.dispatcher.current) {
      client.flags |= FLAG_CLOSE_AFTER_REPLY;
      return;
    }
    if (client.flags & FLAG_CLOSE_ASAP) return;
    const conn = client.conn;
    if (conn === null) {
      client.flags |= FLAG_CLOSE_ASAP;
      this.forget(client);
      this.hooks.closeLink(client);
      return;
    }
    this.forget(client);
    conn.close();
  }

  /** The peer or the system has closed the connection. */
  gone(client: Client, error: Error | null): void {
    if (!this.dispatcher.clients.has(client.id)) return;
    if (this.logs("verbose") && !(client.flags & FLAG_CLOSE_ASAP)) {
      if (error !== null) this.log.verbose(`Reading from client: ${error.message}`);
      else this.log.verbose(`Client closed connection ${clientLine(client)}`);
    }
    this.forget(client);
  }

  private forget(client: Client): void {
    if (!this.dispatcher.clients.delete(client.id)) return;
    client.flags |= FLAG_CLOSE_ASAP;
    this.allMemoryBytes -= client.memoryBytes;
    client.memoryBytes = 0;
    if (client.conn !== null) this.sentByGone += client.conn.bytesOut;
    this.hooks.left(client);
    client.rest = null;
    client.restLength = 0;
  }

  // ------------------------------------------------------------------------------------------------ limits

  private limitOf(client: Client): OutputLimit {
    const type = clientType(client);
    return this.settings.outputLimits[type === "master" ? "normal" : type];
  }

  /** Sets the hard limit into the client's sink. Called when its type or the configuration changes. */
  setLimit(client: Client): void {
    let hard = this.limitOf(client).hardBytes;
    if (hard > 0 && clientType(client) === "replica") hard = Math.max(hard, this.hooks.replicaFloorBytes());
    client.out.limitBytes = hard > 0 ? hard : Infinity;
  }
  /** CONFIG SET client-output-buffer-limit. */
  setLimits(): void {
    for (const client of this.dispatcher.clients.values()) this.setLimit(client);
  }
  /** CONFIG SET proto-max-bulk-len. */
  setMaxBulk(): void {
    for (const client of this.dispatcher.clients.values()) client.request.maxBulkBytes = this.settings.maxBulkBytes;
  }

  /** The client's link is a replica's from now on (PSYNC, SYNC): other limits, no keys, no pause. */
  becomeReplica(client: Client): void {
    client.flags |= FLAG_REPLICA;
    client.gates |= CLIENT_REPLICA;
    this.setLimit(client);
  }

  /** True when the clients' cost counts at every moment: maxmemory or maxmemory-clients is set. */
  watchMemory(): boolean {
    return this.settings.maxMemoryClientsBytes > 0 || this.settings.memoryLimited;
  }

  /**
   * A client's cost anew; `extra` is what it holds beside its buffers, a request about to run. Over maxmemory-clients the most expensive
   * clients go. Redis networking.c updateClientMemUsageAndBucket, evictClients.
   */
  weigh(client: Client, extra = 0): void {
    if (!this.dispatcher.clients.has(client.id)) return;
    // Its own limit comes first: a client that goes anyway costs no other client its place.
    if (client.out.isOver() && this.overOutputLimit(client)) return;
    const type = clientType(client);
    const bytes = type === "normal" || type === "pubsub" ? memoryOf(client) + extra : 0;
    this.allMemoryBytes += bytes - client.memoryBytes;
    client.memoryBytes = bytes;
    const limit = this.settings.maxMemoryClientsBytes;
    if (limit > 0 && this.allMemoryBytes >= Math.max(limit, LEAST_LIMIT_BYTES)) this.evict();
  }

  /** While all clients together cost too much, the most expensive one goes. */
  private evict(): void {
    const limit = Math.max(this.settings.maxMemoryClientsBytes, LEAST_LIMIT_BYTES);
    const evictable = Array.from(this.dispatcher.clients.values()).filter((c) => c.memoryBytes > 0 && !(c.flags & FLAG_NO_EVICT));
    evictable.sort((a, b) => a.memoryBytes - b.memoryBytes);
    while (this.allMemoryBytes >= limit) {
      const client = evictable.pop();
      if (client === undefined) return this.log.warning("Over client maxmemory after evicting all evictable clients");
      const line = clientLine(client);
      this.free(client);
      this.log.notice(`Evicting client: ${line}`);
      this.evictedClients++;
    }
  }

  /** True when the client's output exceeds its hard limit, or has exceeded the soft one for too long: it is closed then. */
  overOutputLimit(client: Client): boolean {
    const bytes = client.out.pendingBytes() + client.sharedOutputBytes;
    const limit = this.limitOf(client);
    let over = client.out.isOver() || bytes >= client.out.limitBytes;
    if (limit.softBytes > 0 && bytes >= limit.softBytes) {
      if (client.softLimitSinceMs === 0) client.softLimitSinceMs = clock.nowMs;
      else if (clock.nowMs - client.softLimitSinceMs > limit.softSeconds * 1000) over = true;
    } else client.softLimitSinceMs = 0;
    if (!over) {
      if (this.watchMemory()) this.weigh(client);
      return (client.flags & FLAG_CLOSE_ASAP) !== 0;
    }
    this.outputLimitDisconnections++;
    const line = clientLine(client);
    this.free(client);
    this.log.warning(`Client ${line} closed for overcoming of output buffer limits.`);
    return true;
  }

  /** A client has piled up more unexecuted bytes than it may: says so; ingest closes it. */
  overQueryLimit(client: Client): void {
    this.queryLimitDisconnections++;
    const bytes = quoteArg(client.rest === null ? "" : client.rest.toString("latin1", 0, Math.min(64, client.restLength)));
    this.log.warning(`Closing client that reached max query buffer length: ${clientLine(client)} (qbuf initial bytes: ${bytes})`);
  }

  /** A protocol error, before the client is closed. */
  protocolError(client: Client, text: string): void {
    if (this.logs("verbose")) this.log.verbose(`${text} from client: ${clientLine(client)}. Query buffer: ...`);
  }

  // ------------------------------------------------------------------------------------------------ time

  /** A share of the clients, so that `hz` calls a second see each once. Redis server.c clientsCron. */
  cron(): void {
    const clients = this.dispatcher.clients;
    if (clients.size === 0) return this.endOfRound();
    let n = Math.max(Math.ceil(clients.size / Math.max(1, this.settings.hz)), Math.min(5, clients.size));
    while (n > 0) {
      const next = (this.sweep ??= clients.values()).next();
      if (next.done) {
        // The next round begins at once, so that few clients are seen at every call.
        this.endOfRound();
        if (clients.size === 0) return;
        continue;
      }
      this.look(next.value);
      n--;
    }
  }

  private endOfRound(): void {
    this.sweep = null;
    this.recentMaxInputBytes = this.sweepInput;
    this.recentMaxOutputBytes = this.sweepOutput;
    this.sweepInput = this.sweepOutput = 0;
  }

  private look(client: Client): void {
    const idleMs = clock.nowMs - client.lastActiveMs;
    const spared = FLAG_REPLICA | FLAG_MASTER | FLAG_BLOCKED | FLAG_PUBSUB;
    if (this.settings.timeoutSeconds > 0 && !(client.flags & spared) && idleMs > this.settings.timeoutSeconds * 1000) {
      this.log.verbose("Closing idle client");
      this.free(client);
      return;
    }
    const bytes = client.out.pendingBytes() + client.sharedOutputBytes;
    if (bytes > 0 && this.overOutputLimit(client)) return;
    // A peer that has said goodbye and does not read what it is still owed is not waited for for ever.
    if (client.conn?.isClosing && idleMs > CLOSING_MS) {
      this.free(client);
      return;
    }
    resizeBuffers(client);
    this.weigh(client);
    if (client.flags & FLAG_CLOSE_ASAP) return;
    if (client.restLength > this.sweepInput) this.sweepInput = client.restLength;
    if (bytes > this.sweepOutput) this.sweepOutput = bytes;
  }

  // ------------------------------------------------------------------------------------------------ counters

  /** Bytes sent to clients since the start or the last CONFIG RESETSTAT. */
  get netOutputBytes(): number {
    let sum = this.sentByGone - this.sentBase;
    for (const client of this.dispatcher.clients.values()) if (client.conn !== null) sum += client.conn.bytesOut;
    return sum;
  }

  /** CONFIG RESETSTAT. */
  resetStats(): void {
    this.totalConnections = 0;
    this.rejectedConnections = 0;
    this.queryLimitDisconnections = 0;
    this.outputLimitDisconnections = 0;
    this.evictedClients = 0;
    this.netInputBytes = 0;
    this.sentBase += this.netOutputBytes;
  }

  /** Connections as INFO counts them: replicas' links are not clients. */
  get connected(): number {
    let n = 0;
    for (const client of this.dispatcher.clients.values()) if (clientType(client) !== "replica") n++;
    return n;
  }
}

/** How long a closing connection may take to read its last replies. */
const CLOSING_MS = 60000;

/** A lower maxmemory-clients would let nobody in. */
const LEAST_LIMIT_BYTES = 128 * 1024;

function isLocal(conn: Conn<Client>): boolean {
  return conn.path !== "" || conn.remoteAddress.startsWith("127.") || conn.remoteAddress === "::1";
}

/**
 * One client: what a connection has said and is allowed. Fixed shape, made per connection; the hot path reads a handful of its fields.
 * Server and Sentinel share it. Special clients (the link to the master, scripts, AOF loading) have no connection and a muted sink.
 */
import type { Conn } from "../net/conn.ts";
import { Out } from "../resp/out.ts";
import { Request } from "../resp/request.ts";
import { clock } from "../time/clock.ts";
import type { Blocked } from "./blocking.ts";
import type { Command } from "./command.ts";
import type { Tracking } from "./tracking.ts";
import type { User } from "./users.ts";
import type { WatchedKey } from "./watch.ts";

/** client.gates: reasons for which this client's commands need a closer look before they run. */
export const CLIENT_UNAUTHENTICATED = 1;
export const CLIENT_MULTI = 2;
/** Subscribed and speaking RESP2: only a few commands are allowed. */
export const CLIENT_SUBSCRIBED = 4;
/** The user is not allowed everything: ask the ACL. */
export const CLIENT_ACL = 8;
/** CLIENT REPLY SKIP, CLIENT CACHING: dispatch has extra work after the command. */
export const CLIENT_EXTRA = 16;
/** A replica's link: it may not touch keys, and no pause holds it. */
export const CLIENT_REPLICA = 32;

/** client.flags: what it is. */
export const FLAG_MASTER = 1;
export const FLAG_REPLICA = 2;
export const FLAG_MONITOR = 4;
export const FLAG_BLOCKED = 8;
export const FLAG_CLOSE_AFTER_REPLY = 16;
export const FLAG_CLOSE_ASAP = 32;
/** EXEC must fail: a command was refused while queueing. */
export const FLAG_DIRTY_EXEC = 64;
/** EXEC must answer nil: a watched key was touched. */
export const FLAG_DIRTY_CAS = 128;
export const FLAG_UNIX = 256;
export const FLAG_NO_EVICT = 512;
export const FLAG_NO_TOUCH = 1024;
export const FLAG_TRACKING = 2048;
export const FLAG_REPLY_OFF = 4096;
export const FLAG_REPLY_SKIP_NEXT = 8192;
export const FLAG_REPLY_SKIP = 16384;
export const FLAG_SCRIPT = 32768;
/** Waiting in the list of postponed clients (CLIENT PAUSE, FAILOVER). */
export const FLAG_POSTPONED = 65536;
/** Waits for its turn: it had more than one slice of requests. */
export const FLAG_QUEUED = 131072;
export const FLAG_PENDING_OUTPUT = 262144;
export const FLAG_DENY_BLOCKING = 524288;
export const FLAG_EXECUTING = 1048576;
/** PSYNC before 2.8, and replicas that do not send REPLCONF capa. */
export const FLAG_PRE_PSYNC = 2097152;
/** Everything goes: AOF loading, DEBUG; no gate is asked. */
export const FLAG_TRUSTED = 4194304;
/** Its command is run a second time, because what it waited for has come: the timeout stays that of the first time. */
export const FLAG_REPROCESSING = 8388608;
/** The peer has sent its FIN: close as soon as all it said is answered. */
export const FLAG_HALF_CLOSED = 16777216;
/** CLIENT CACHING was given for the next command. */
export const FLAG_CACHING = 33554432;
/** Subscribed to something (Redis CLIENT_PUBSUB). */
export const FLAG_PUBSUB = 67108864;
/** Its replies wait for the disk (dispatch.ts hold); nothing of its is executed meanwhile. */
export const FLAG_HELD = 134217728;
/** It was blocked when that began: what it is served in the meantime waits for the next time. */
export const FLAG_HELD_BLOCKED = 268435456;

/** What a new client's replies are thought to need. */
export const REPLY_ROOM_BYTES = 16 * 1024;
/** What a client that says anything is thought to need for reading. */
export const READ_ROOM_BYTES = 16 * 1024;

/** A command queued by MULTI: its bytes are its own. */
export interface Queued {
  command: Command;
  buf: Buffer;
  at: Int32Array;
  argc: number;
}

export interface MultiState {
  queue: Queued[];
  /** Union of the queued commands' flags and gates. */
  flags: number;
  gates: number;
  bytes: number;
  /** EXEC: the next one to run, when it began, and what the client's flags said of blocking before. */
  next: number;
  startMs: number;
  denied: number;
}

export class Client {
  readonly id: number;
  readonly conn: Conn<Client> | null;
  readonly out: Out;
  readonly request: Request;
  /** The keyspace of `dbIndex`; its type is the mode's business, clients/ never looks inside. */
  keyspace: unknown;
  dbIndex: number;
  gates: number;
  flags: number;
  name: string;
  libName: string;
  libVersion: string;
  /** Who it is; null: nobody asks (scripts, the master link). */
  user: User | null;
  /** Logged in, or let in because the default user needs no password. */
  authenticated: boolean;
  createdMs: number;
  lastActiveMs: number;
  last: Command | null;
  /** Bytes read and not yet executed, from offset 0 to restLength; null when there are none. */
  rest: Buffer | null;
  restLength: number;
  /** A command to be run before those bytes: it was blocked, then held by a pause. */
  again: Queued | null;
  multi: MultiState | null;
  /** Watched keys, by clients/watch.ts. */
  watched: WatchedKey[] | null;
  /** Pub/Sub: names subscribed to, made on first use. */
  channels: Set<string> | null;
  patterns: Set<string> | null;
  shardChannels: Set<string> | null;
  /** What it is blocked on, by clients/blocking.ts. */
  blocked: Blocked | null;
  /** Client tracking state, by clients/tracking.ts. */
  tracking: Tracking | null;
  /** Replica state, by server/replication. */
  replica: unknown;
  /** When the output buffer first exceeded its soft limit; 0: it does not. */
  softLimitSinceMs: number;
  /** Offset of the replication stream after its last write: WAIT. */
  writeOffset: number;
  peakOutputBytes: number;
  /** Since when that peak counts, and the size of reply buffer it takes (CLIENT LIST rbs). Kept by clients/buffers.ts. */
  peakOutputSinceMs: number;
  replyRoomBytes: number;
  /** Room for reading that the client is charged with, and the largest piece it has needed since cron has last looked. */
  readRoomBytes: number;
  readPeakBytes: number;
  /** Output that waits elsewhere than in `out`: a replica's share of the replication buffer. Kept by server/replication. */
  sharedOutputBytes: number;
  /** What it cost at the last look (maxmemory-clients). */
  memoryBytes: number;
  /** Address shown in CLIENT LIST; PROXY protocol may replace it. */
  remote: string;
  local: string;

  constructor(id: number, conn: Conn<Client> | null, keyspace: unknown) {
    this.id = id;
    this.conn = conn;
    this.out = conn === null ? new Out() : conn.out;
    this.request = new Request();
    this.keyspace = keyspace;
    this.dbIndex = 0;
    this.gates = 0;
    this.flags = 0;
    this.name = "";
    this.libName = "";
    this.libVersion = "";
    this.user = null;
    this.authenticated = false;
    this.createdMs = clock.nowMs;
    this.lastActiveMs = clock.nowMs;
    this.last = null;
    this.rest = null;
    this.restLength = 0;
    this.again = null;
    this.multi = null;
    this.watched = null;
    this.channels = null;
    this.patterns = null;
    this.shardChannels = null;
    this.blocked = null;
    this.tracking = null;
    this.replica = null;
    this.softLimitSinceMs = 0;
    this.writeOffset = 0;
    this.peakOutputBytes = 0;
    this.peakOutputSinceMs = 0;
    this.replyRoomBytes = REPLY_ROOM_BYTES;
    this.readRoomBytes = 0;
    this.readPeakBytes = 0;
    this.sharedOutputBytes = 0;
    this.memoryBytes = 0;
    this.remote = conn === null ? "" : conn.remoteText;
    this.local = conn === null ? "" : conn.localText;
  }

  /** Subscriptions of all kinds. */
  get subscriptions(): number {
    return (this.channels?.size ?? 0) + (this.patterns?.size ?? 0) + (this.shardChannels?.size ?? 0);
  }
  get userName(): string {
    return this.user === null ? "(superuser)" : this.user.name;
  }
  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }
}

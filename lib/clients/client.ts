/**
 * One client: what a connection has said and is allowed. Fixed shape, made per connection; the hot path reads a handful of its fields.
 * Server and Sentinel share it. Special clients (the link to the master, scripts, AOF loading) have no connection and a muted sink.
 */
import type { Conn } from "../net/conn.ts";
import { Out } from "../resp/out.ts";
import { Request } from "../resp/request.ts";
import { clock } from "../time/clock.ts";
import type { Command } from "./command.ts";

/** client.gates: reasons for which this client's commands need a closer look before they run. */
export const CLIENT_UNAUTHENTICATED = 1;
export const CLIENT_MULTI = 2;
/** Subscribed and speaking RESP2: only a few commands are allowed. */
export const CLIENT_SUBSCRIBED = 4;
/** The user is not allowed everything: ask the ACL. */
export const CLIENT_ACL = 8;
/** A MONITOR or tracking client, or one in CLIENT REPLY SKIP: dispatch has extra work after the command. */
export const CLIENT_EXTRA = 16;

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
  /** Opaque to all but clients/acl.ts. */
  user: unknown;
  userName: string;
  createdMs: number;
  lastActiveMs: number;
  last: Command | null;
  /** Bytes read and not yet executed, from offset 0 to restLength; null when there are none. */
  rest: Buffer | null;
  restLength: number;
  multi: MultiState | null;
  /** Watched keys, by clients/watch.ts. */
  watched: unknown;
  /** Pub/Sub: names subscribed to, made on first use. */
  channels: Set<string> | null;
  patterns: Set<string> | null;
  shardChannels: Set<string> | null;
  /** What it is blocked on, by clients/blocking.ts. */
  blocked: unknown;
  /** Client tracking state, by clients/tracking.ts. */
  tracking: unknown;
  /** Replica state, by server/replication. */
  replica: unknown;
  /** When the output buffer first exceeded its soft limit; 0: it does not. */
  softLimitSinceMs: number;
  /** Offset of the replication stream after its last write: WAIT. */
  writeOffset: number;
  peakOutputBytes: number;
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
    this.userName = "default";
    this.createdMs = clock.nowMs;
    this.lastActiveMs = clock.nowMs;
    this.last = null;
    this.rest = null;
    this.restLength = 0;
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
    this.remote = conn === null ? "" : conn.remoteText;
    this.local = conn === null ? "" : conn.localText;
  }

  /** Subscriptions of all kinds. */
  get subscriptions(): number {
    return (this.channels?.size ?? 0) + (this.patterns?.size ?? 0) + (this.shardChannels?.size ?? 0);
  }
  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }
}

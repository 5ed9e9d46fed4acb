/**
 * Clients that wait: on keys (BLPOP, BZPOPMIN, XREAD BLOCK ...), on replicas (WAIT), on SHUTDOWN. `keyReady` is called for every key that
 * gets data and is HOT: nothing while nobody waits in that database.
 *
 *   command finds nothing --block--> keeps a copy of its request, waits in line at each of its keys
 *   another command pushes --keyReady--> after that unit: serve() runs the waiting command again, first come first served
 *   time over, CLIENT UNBLOCK, role change --> a reply in its stead; then the bytes the client has sent meanwhile
 *
 * As Redis 7.2 blocked.c: the command is executed again from its first argument, so it knows nothing of waiting but its own `block` call.
 * Knows no store: Mode.keyType says whether a key holds what a client waits for.
 */
import { parseDouble } from "../bytes/number.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { clock } from "../time/clock.ts";
import type { Call } from "./call.ts";
import { FLAG_BLOCKED, FLAG_CLOSE_AFTER_REPLY, FLAG_REPROCESSING, type Client, type Queued } from "./client.ts";
import { type Deadline, Deadlines } from "./deadlines.ts";
import type { Dispatcher } from "./dispatch.ts";
import type { Mode } from "./mode.ts";

export const BLOCKED_ON_KEYS = 0;
export const BLOCKED_ON_REPLICAS = 1;
export const BLOCKED_ON_SHUTDOWN = 2;
export const BLOCKED_ON_OTHER = 3;
/** Its own script runs and lets others have turns: nothing but the script's end unblocks it. */
export const BLOCKED_ON_SCRIPT = 4;
/** MIGRATE: its keys are on their way. */
export const BLOCKED_ON_TRANSFER = 5;

/** What a client waits for. */
export interface Blocked {
  kind: number;
  /** BLOCKED_ON_KEYS: the request, to be run again. */
  saved: Queued | null;
  db: number;
  keys: string[];
  /** The type of value it waits for (Mode.keyType's numbers). */
  type: number;
  /** Runs again also when the key goes away or changes type (XREADGROUP). */
  onNoKey: boolean;
  deadline: Deadline<Client> | null;
  /** Time its first, unsuccessful run took. */
  micros: number;
  /** WAIT, WAITAOF: the mode's own numbers. */
  offset: number;
  replicas: number;
  local: number;
  /** Told that the client has sent something, or has gone: what it says is no request now. */
  heard: (() => void) | null;
}

export interface BlockingHooks {
  /** The client goes on: its kept bytes are to be executed soon. */
  resume(client: Client): void;
  /** A command is done without having been run to its end: slow log. */
  finished(client: Client, saved: Queued | null, micros: number): void;
}

/** Keys of one database on which somebody waits: the line at each, in order of arrival. */
type Line = Map<string, Set<Client>>;

const UNBLOCKED_BY_COMMAND = errorLine("UNBLOCKED client unblocked via CLIENT UNBLOCK");

export class Blocking {
  private readonly dispatcher: Dispatcher;
  private readonly mode: Mode;
  private readonly hooks: BlockingHooks;
  private readonly lines: (Line | undefined)[];
  /** Ready keys, each once: database and key. */
  private ready: { db: number; key: string }[];
  private readonly readySet: Set<string>;
  private readonly deadlines: Deadlines<Client>;
  private readonly byKind: Set<Client>[];
  /** Clients blocked on keys; 0 makes keyReady free. */
  private onKeys: number;
  private serving: boolean;

  constructor(dispatcher: Dispatcher, mode: Mode, hooks: BlockingHooks) {
    this.dispatcher = dispatcher;
    this.mode = mode;
    this.hooks = hooks;
    this.lines = [];
    this.ready = [];
    this.readySet = new Set();
    this.deadlines = new Deadlines((client) => this.timedOut(client));
    this.byKind = [new Set(), new Set(), new Set(), new Set(), new Set(), new Set()];
    this.onKeys = 0;
    this.serving = false;
  }

  // ------------------------------------------------------------------------------------------------ to block

  /**
   * Blocks the calling client until one of its keys holds a value of `type`. The caller has found nothing, has written nothing and
   * returns at once. `timeoutMs` 0: for ever. Callers must ask FLAG_DENY_BLOCKING first: inside EXEC and scripts nobody waits.
   */
  block(call: Call, keys: string[], type: number, timeoutMs: number, onNoKey = false): void {
    const { client } = call;
    const b = this.begin(client, BLOCKED_ON_KEYS, timeoutMs);
    b.saved = saveCall(call);
    b.db = client.dbIndex;
    b.keys = [...new Set(keys)];
    b.type = type;
    b.onNoKey = onNoKey;
    const line: Line = (this.lines[b.db] ??= new Map());
    for (const key of b.keys) {
      const clients = line.get(key);
      if (clients === undefined) line.set(key, new Set([client]));
      else clients.add(client);
    }
    this.onKeys++;
  }

  /** Blocks a client for a reason of the mode's own (WAIT, SHUTDOWN). When its time is over, Mode.timedOut replies. */
  blockOn(client: Client, kind: number, timeoutMs: number): Blocked {
    return this.begin(client, kind, timeoutMs);
  }

  private begin(client: Client, kind: number, timeoutMs: number): Blocked {
    let b = client.blocked;
    // A command that is run again keeps its first deadline.
    const keeps = b !== null && (client.flags & FLAG_REPROCESSING) !== 0;
    if (!keeps) {
      b = {
        kind,
        saved: null,
        db: 0,
        keys: [],
        type: -1,
        onNoKey: false,
        deadline: null,
        micros: 0,
        offset: 0,
        replicas: 0,
        local: 0,
        heard: null,
      };
      client.blocked = b;
      if (timeoutMs > 0) b.deadline = this.deadlines.add(clock.monoMs + timeoutMs, client);
    }
    client.flags |= FLAG_BLOCKED;
    this.byKind[kind].add(client);
    return b!;
  }

  // ------------------------------------------------------------------------------------------------ keys

  /** The key buf[start, end) of database `db` has got data, or has gone. Costs nothing while nobody waits. HOT. */
  keyReady(db: number, buf: Buffer, start: number, end: number): void {
    if (this.onKeys === 0) return;
    const line = this.lines[db];
    if (line === undefined || line.size === 0) return;
    this.keyReadyText(db, buf.toString("latin1", start, end));
  }

  keyReadyText(db: number, key: string): void {
    if (this.onKeys === 0 || !this.lines[db]?.has(key)) return;
    const id = `${db} ${key}`;
    if (this.readySet.has(id)) return;
    this.readySet.add(id);
    this.ready.push({ db, key });
  }

  /** All of database `db` has changed (SWAPDB, FLUSHDB, a full sync): every key that somebody waits for is looked at. */
  databaseChanged(db: number): void {
    const line = this.lines[db];
    if (line !== undefined) for (const key of line.keys()) this.keyReadyText(db, key);
  }

  /** True when serve() has work. */
  get hasReady(): boolean {
    return this.ready.length > 0;
  }

  /**
   * After a unit: runs what waits for the keys that are ready, first come first served. What a served client pushes (BLMOVE) is served
   * in turn. Each is a unit of its own.
   */
  serve(): void {
    if (this.serving) return;
    this.serving = true;
    while (this.ready.length > 0) {
      const round = this.ready;
      this.ready = [];
      this.readySet.clear();
      for (const { db, key } of round) this.serveKey(db, key);
    }
    this.serving = false;
  }

  private serveKey(db: number, key: string): void {
    const clients = this.lines[db]?.get(key);
    if (clients === undefined) return;
    // Those who are there now: one who waits anew goes to the end of the line and is not asked again.
    for (const client of Array.from(clients)) {
      const b = client.blocked;
      if (b === null || !(client.flags & FLAG_BLOCKED) || b.db !== db) continue;
      if (this.mode.keyType(db, key) !== b.type && !b.onNoKey) continue;
      this.again(client, b);
    }
  }

  /** Runs a waiting client's command again. */
  private again(client: Client, b: Blocked): void {
    const d = this.dispatcher;
    this.leaveLines(client, b);
    d.executeAgain(client, b.saved!);
    if (!(client.flags & FLAG_BLOCKED)) {
      this.end(client, b);
      this.hooks.resume(client);
    }
    this.mode.afterUnit();
    d.wake(client);
  }

  /** What a client waits for by `blockOn` has come: its saved command runs again and finds out. */
  runAgain(client: Client): void {
    if (client.flags & FLAG_BLOCKED && client.blocked !== null) this.again(client, client.blocked);
  }

  private leaveLines(client: Client, b: Blocked): void {
    client.flags &= ~FLAG_BLOCKED;
    this.byKind[b.kind].delete(client);
    if (b.kind !== BLOCKED_ON_KEYS) return;
    const line = this.lines[b.db]!;
    for (const key of b.keys) {
      const clients = line.get(key);
      if (clients === undefined) continue;
      clients.delete(client);
      if (clients.size === 0) line.delete(key);
    }
    this.onKeys--;
  }

  private end(client: Client, b: Blocked): void {
    if (b.deadline !== null) this.deadlines.remove(b.deadline);
    b.deadline = null;
    if (client.blocked === b) client.blocked = null;
  }

  // ------------------------------------------------------------------------------------------------ to go on without

  /** Ends a wait; the caller has replied, or does so now. The client's further requests are executed soon. */
  unblock(client: Client): void {
    const b = client.blocked;
    if (b === null || !(client.flags & FLAG_BLOCKED)) return;
    this.leaveLines(client, b);
    this.end(client, b);
    const command = client.last;
    if (command !== null) {
      this.dispatcher.account(command, b.micros);
      this.hooks.finished(client, b.saved, b.micros);
    }
    this.hooks.resume(client);
    this.dispatcher.wake(client);
  }

  private timedOut(client: Client): void {
    const b = client.blocked;
    if (b === null || !(client.flags & FLAG_BLOCKED)) return;
    if (b.kind === BLOCKED_ON_KEYS) client.out.nilArray();
    else this.mode.timedOut(client);
    this.unblock(client);
  }

  /** As if its time were over (CLIENT UNBLOCK id TIMEOUT). False: it waits for nothing of the kind. */
  unblockOnTimeout(client: Client): boolean {
    if (!(client.flags & FLAG_BLOCKED) || client.blocked === null || client.blocked.kind >= BLOCKED_ON_SCRIPT) return false;
    this.timedOut(client);
    return true;
  }
  /** CLIENT UNBLOCK id ERROR. */
  unblockOnError(client: Client): boolean {
    if (!(client.flags & FLAG_BLOCKED) || client.blocked === null || client.blocked.kind >= BLOCKED_ON_SCRIPT) return false;
    this.fail(client, UNBLOCKED_BY_COMMAND);
    return true;
  }

  /** Ends a wait with an error, which counts as the command's failure. */
  fail(client: Client, line: Buffer): void {
    client.out.error(line);
    client.out.unreported = 0;
    if (client.last !== null) client.last.failed++;
    this.dispatcher.observers.failed?.(null, line);
    this.unblock(client);
  }

  /** The instance is a replica now: nobody may go on waiting for what clients write. Redis disconnectAllBlockedClients. */
  roleChanged(): void {
    for (const clients of this.byKind.slice(0, BLOCKED_ON_SCRIPT))
      for (const client of Array.from(clients)) {
        this.fail(client, ERR.unblocked);
        client.flags |= FLAG_CLOSE_AFTER_REPLY;
      }
  }

  /** The client is gone. */
  forget(client: Client): void {
    const b = client.blocked;
    if (b === null) return;
    if (client.flags & FLAG_BLOCKED) this.leaveLines(client, b);
    this.end(client, b);
    b.heard?.();
  }

  // ------------------------------------------------------------------------------------------------ numbers

  /** Clients blocked for one reason, oldest first. */
  clientsOn(kind: number): ReadonlySet<Client> {
    return this.byKind[kind];
  }
  /** INFO blocked_clients, without those that a pause holds. */
  get count(): number {
    let n = 0;
    for (const clients of this.byKind.slice(0, BLOCKED_ON_SCRIPT)) n += clients.size;
    return n;
  }
  /** INFO clients_in_timeout_table. */
  get timeouts(): number {
    return this.deadlines.size;
  }
  /** INFO total_blocking_keys. */
  get keys(): number {
    let n = 0;
    for (const line of this.lines) n += line?.size ?? 0;
    return n;
  }
  /** INFO total_blocking_keys_on_nokey. */
  get keysOnNoKey(): number {
    let n = 0;
    for (const line of this.lines)
      if (line !== undefined) for (const clients of line.values()) if ([...clients].some((c) => c.blocked?.onNoKey)) n++;
    return n;
  }
}

/**
 * The timeout of a blocking command: argument i in seconds, fractions allowed, as milliseconds; 0 is for ever. Replies and returns NaN
 * when it is none. Redis timeout.c getTimeoutFromObjectOrReply.
 */
export function readTimeoutMs(call: Call, i: number): number {
  const { out } = call;
  const seconds = parseDouble(call.buf, call.s(i), call.e(i));
  let line: Buffer | null = null;
  if (Number.isNaN(seconds)) line = ERR.timeoutNotFloat;
  else if (seconds * 1000 > INT64_MAX) line = ERR.timeoutOutOfRange;
  else if (seconds < 0) line = ERR.timeoutNegative;
  else if (seconds * 1000 > INT64_MAX - clock.nowMs) line = ERR.timeoutOutOfRange;
  if (line === null) return Math.ceil(seconds * 1000);
  out.error(line);
  return Number.NaN;
}
const INT64_MAX = 2 ** 63;

/** A copy of a request that outlives its chunk. */
export function saveCall(call: Call): Queued {
  const base = call.start;
  const at = new Int32Array(call.argc * 2);
  for (let i = 0; i < at.length; i++) at[i] = call.at[i] - base;
  return { command: call.command, buf: Buffer.from(call.buf.subarray(base, call.end)), at, argc: call.argc };
}

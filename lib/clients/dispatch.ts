/**
 * From a request to a reply: find the command, ask the gates, run it, account for it. HOT. Server and Sentinel both stand on it.
 *
 *   ingest.ts --Request--> Dispatcher.execute --admit? run--> Call.out
 *                              |  gates closed for this server (bits) or this client (bits): one AND decides that nothing is to be asked
 *                              +--> host.changed (replication, AOF)   slow log   MONITOR   latency
 *
 * The order of the gates is that of Redis server.c processCommand. What the mode knows (loading, replica, memory, disk) it says by
 * setting bits in `gates`; the texts and the exceptions come from `host.refuse`. Leaves out sockets (ingest.ts) and every command.
 */
import { ERR, errorLine, unknownCommand, unknownSubcommand, wrongNumber } from "../resp/errors.ts";
import { Out } from "../resp/out.ts";
import type { Request } from "../resp/request.ts";
import { FLAG } from "../commands/table/row.ts";
import { clock, readClock } from "../time/clock.ts";
import { Call } from "./call.ts";
import {
  CLIENT_ACL,
  CLIENT_EXTRA,
  CLIENT_REPLICA,
  CLIENT_SUBSCRIBED,
  CLIENT_UNAUTHENTICATED,
  FLAG_BLOCKED,
  FLAG_CACHING,
  FLAG_CLOSE_AFTER_REPLY,
  FLAG_DIRTY_EXEC,
  FLAG_MASTER,
  FLAG_NO_TOUCH,
  FLAG_HELD,
  FLAG_HELD_BLOCKED,
  FLAG_PENDING_OUTPUT,
  FLAG_REPLY_OFF,
  FLAG_REPLY_SKIP,
  FLAG_REPLY_SKIP_NEXT,
  FLAG_REPROCESSING,
  FLAG_TRUSTED,
  type Client,
  type Queued,
} from "./client.ts";
import { Command, CommandTable, gatesFor, GATE_PAUSED_ALL, GATE_PAUSED_WRITES, type CommandFacts, type Run } from "./command.ts";
import { LoopStats } from "./loop_stats.ts";

/** What a mode tells dispatch. */
export interface Host {
  /** The command passed the table and arity checks but one of `bits` (gates closed for it) stands against it: the error line, or null to let it run. */
  refuse(call: Call, bits: number): Buffer | null;
  /** A command changed the data set: feed replicas and AOF. */
  changed(call: Call): void;
  /** May this user run this command on these keys? null: yes. The error line otherwise. */
  denied(call: Call): Buffer | null;
  /** After a client's own command and everything it caused: serve blocked clients, send invalidations. */
  afterUnit(): void;
  /** Before replies leave, once an event: write the AOF. False: not now, the mode calls `flushAll` itself when it is done. */
  beforeFlush(): boolean;
  /**
   * A pause gate is closed for this command of this client: it must set FLAG_POSTPONED. Ingest keeps the request's bytes; `again` is
   * not null for a command that is run again after a block, whose bytes the host must keep.
   */
  postpone(client: Client, again: Queued | null): void;
  /** CLIENT NO-TOUCH: from now on look-ups leave keys' access times alone, or no longer. */
  touching(on: boolean): void;
  /** A client's output does not leave: true when it exceeds a limit; the host has closed the client then. */
  overOutputLimit(client: Client): boolean;
  /** The replies that had to wait have left: what came in meanwhile is executed soon. */
  released(client: Client): void;
}

/** Extra work after a command, set only while somebody wants it. */
export interface Observers {
  /** MONITOR clients exist. */
  monitor: ((call: Call) => void) | null;
  /** Commands that took at least slowMicros: slow log, latency monitor. Infinity: nobody asks. */
  slowMicros: number;
  slow: ((call: Call, micros: number) => void) | null;
  /** Client tracking: keys read by a tracking client; null: a command was only queued. */
  tracking: ((call: Call | null) => void) | null;
  /** Latency histograms (latency-tracking). */
  latency: ((command: Command, micros: number) => void) | null;
  /** An error reply was written: errorstats. `call` is null when it was not a command that wrote it. */
  failed: ((call: Call | null, line: Buffer) => void) | null;
}

export class Dispatcher {
  readonly host: Host;
  readonly table: CommandTable;
  /** Closed gates: bits of command.ts. */
  gates: number;
  readonly observers: Observers;
  /** Clients by id. */
  readonly clients: Map<number, Client>;
  /** Clients with output waiting for the end of the event. */
  readonly pending: Client[];
  /** Clients that `hold` has set aside. */
  private readonly held: Client[];
  /** So many of `pending` are known to have to wait. */
  private kept: number;
  /** Nesting depth of the running command: 0 when none runs. */
  depth: number;
  /** The client whose own command runs (Redis server.current_client). */
  current: Client | null;
  /** The command that runs, the innermost one. */
  running: Command | null;
  /** Pushes to the client whose own command runs: they follow its reply. null: none. */
  ownPushes: Out | null;
  /** EXEC of a client that is to be told why it may not: multi.ts ends the transaction. */
  execAborted: ((call: Call) => void) | null;
  totalCommands: number;
  /** What the event loop's turns cost. */
  readonly loop: LoopStats;
  /** A client runs a command that is to leave access times alone. */
  private untouching: boolean;
  private readonly calls: Call[];
  private nextClientId: number;

  constructor(host: Host) {
    this.host = host;
    this.table = new CommandTable();
    this.gates = 0;
    this.observers = { monitor: null, slowMicros: Infinity, slow: null, tracking: null, latency: null, failed: null };
    this.clients = new Map();
    this.pending = [];
    this.held = [];
    this.kept = 0;
    this.depth = 0;
    this.current = null;
    this.running = null;
    this.ownPushes = null;
    this.execAborted = null;
    this.totalCommands = 0;
    this.loop = new LoopStats();
    this.untouching = false;
    this.calls = [];
    this.nextClientId = 1;
  }

  newClientId(): number {
    return this.nextClientId++;
  }

  // ------------------------------------------------------------------------------------------------ binding (start)

  /** Binds a row to the mode's function. `name` is what clients call it, "" for nothing (rename-command). A container's `run` is called when it stands alone. */
  bind(facts: CommandFacts, run: Run, parent: Command | null = null, container = false, name = facts.name): Command {
    const command = new Command(facts, gatesFor(facts.name, facts.flags), run, this.table.all.length, parent, container);
    this.table.all.push(command);
    if (parent !== null) parent.subs!.set(command.shortName, command);
    else if (name !== "") this.table.add(name, command);
    return command;
  }

  // ------------------------------------------------------------------------------------------------ running

  /** A Call object for the present depth; the caller fills it in and passes it to `run`. */
  callAt(depth: number): Call {
    return this.calls[depth] ?? (this.calls[depth] = new Call(depth));
  }

  /** One complete request of a client. The reply, if any, is in client.out. */
  execute(client: Client, request: Request): void {
    const call = this.callAt(this.depth);
    call.client = client;
    call.out = client.out;
    call.buf = request.buf;
    call.at = request.at;
    call.argc = request.argc;
    if (request.verbatim) {
      call.start = request.start;
      call.end = request.end;
    } else {
      call.start = 0;
      call.end = request.buf.length;
    }
    this.attempt(call);
    if (client.gates & CLIENT_EXTRA) this.settle(client);
  }

  /** Finds the command, asks the gates, runs it. */
  private attempt(call: Call): void {
    const command = this.find(call);
    if (command === null) return;
    const client = call.client;
    call.command = command;
    client.last = command;
    if (command.arity > 0 ? call.argc !== command.arity : call.argc < -command.arity) {
      this.reject(call, wrongNumber(command.name));
      return;
    }
    if (((command.gates & this.gates) | client.gates) !== 0 && !this.admit(call, null)) return;
    this.run(call);
    if (this.depth === 0) this.host.afterUnit();
  }

  /**
   * Runs a client's command again: what it was blocked on may have come, or a pause has ended. The gates are asked anew
   * (Redis blocked.c unblockClientOnKey). Never inside another command. Leaves out afterUnit: the caller goes on serving.
   */
  executeAgain(client: Client, saved: Queued): void {
    const call = this.callAt(this.depth);
    call.client = client;
    call.out = client.out;
    call.buf = saved.buf;
    call.at = saved.at;
    call.argc = saved.argc;
    call.start = 0;
    call.end = saved.buf.length;
    call.command = saved.command;
    client.flags |= FLAG_REPROCESSING;
    if (((saved.command.gates & this.gates) | client.gates) === 0 || this.admit(call, saved)) this.run(call);
    client.flags &= ~FLAG_REPROCESSING;
    if (client.gates & CLIENT_EXTRA) this.settle(client);
  }

  /** After a command of a client that had asked for something about its next command (Redis networking.c resetClient). */
  private settle(client: Client): void {
    if (this.untouching) {
      this.untouching = false;
      this.host.touching(true);
    }
    if (client.flags & FLAG_BLOCKED) return;
    const last = client.last;
    if (client.flags & FLAG_REPLY_SKIP_NEXT) {
      client.flags = (client.flags & ~FLAG_REPLY_SKIP_NEXT) | FLAG_REPLY_SKIP;
      client.out.muted = true;
      return;
    }
    if (client.flags & FLAG_REPLY_SKIP) {
      client.flags &= ~FLAG_REPLY_SKIP;
      client.out.muted = (client.flags & FLAG_REPLY_OFF) !== 0;
    }
    if (client.flags & FLAG_CACHING && client.multi === null && last?.parent?.name !== "client") client.flags &= ~FLAG_CACHING;
    if (!(client.flags & (FLAG_REPLY_SKIP | FLAG_CACHING | FLAG_NO_TOUCH))) client.gates &= ~CLIENT_EXTRA;
  }

  /** Resolves the command; replies and returns null when there is none. */
  private find(call: Call): Command | null {
    const at = call.at;
    const command = this.table.find(call.buf, at[0], at[1]);
    if (command === null) {
      this.unknown(call);
      return null;
    }
    if (command.subs === null) return command;
    return this.findSub(call, command);
  }

  private findSub(call: Call, container: Command): Command | null {
    // `COMMAND` alone is a command of its own; other containers need a subcommand.
    if (call.argc < 2) return container;
    const sub = container.subs!.get(call.lower(1));
    if (sub !== undefined) return sub;
    call.command = container;
    this.reject(call, unknownSubcommand(container.name, call.text(1)));
    return null;
  }

  private unknown(call: Call): void {
    const name = call.text(0);
    const client = call.client;
    const lower = name.toLowerCase();
    if (lower === "host:" || lower === "post") {
      // A browser was lured into talking to us (Redis securityWarningCommand): no reply, close.
      client.flags |= FLAG_CLOSE_AFTER_REPLY;
      return;
    }
    const args: string[] = [];
    for (let i = 1, bytes = 0; i < call.argc && bytes < 128; i++) {
      args.push(call.text(i));
      bytes += call.len(i) + 3;
    }
    call.command = null as unknown as Command;
    this.reject(call, unknownCommand(name, args));
  }

  /** Refuses: the error, and an open transaction is spoilt. */
  reject(call: Call, line: Buffer): void {
    const client = call.client;
    if (client.multi !== null) client.flags |= FLAG_DIRTY_EXEC;
    if (call.command !== null) {
      call.command.rejected++;
      if (call.command.name === "exec") {
        // The transaction, if there is one, ends here, with the reason (Redis multi.c execCommandAbort).
        this.execAborted?.(call);
        line = errorLine(`EXECABORT Transaction discarded because of: ${line.toString("latin1", 1, line.length - 2)}`);
      }
    }
    client.out.error(line);
    client.out.unreported = 0;
    this.observers.failed?.(call, line);
  }

  /** The slow way in: true when the command may run now. Order as in Redis processCommand. */
  private admit(call: Call, again: Queued | null): boolean {
    const client = call.client;
    const command = call.command;
    const f = command.ask === null ? command.flags : command.ask(call);
    if (client.flags & (FLAG_MASTER | FLAG_TRUSTED)) {
      // The master's stream and the AOF are obeyed; MULTI still queues. A pause holds the stream as it holds clients.
      if (this.gates & PAUSES && client.flags & FLAG_MASTER && this.depth === 0 && this.paused(call)) {
        this.host.postpone(client, null);
        return false;
      }
      return client.multi === null || !this.queue(call, f);
    }
    if (client.gates & CLIENT_UNAUTHENTICATED && !(f & FLAG.no_auth)) return this.refused(call, ERR.noAuth);
    if (client.multi !== null && f & FLAG.no_multi) return this.refused(call, ERR.notAllowedInMulti);
    if (client.gates & CLIENT_ACL) {
      const line = this.host.denied(call);
      if (line !== null) return this.refused(call, line);
    }
    let gates = command.ask === null ? command.gates : gatesFor(command.name, f);
    if (client.multi !== null && command.name === "exec") gates |= client.multi.gates;
    gates &= this.gates;
    const against = gates & ~PAUSES;
    if (against !== 0) {
      const line = this.host.refuse(call, against);
      if (line !== null) return this.refused(call, line);
    }
    if (client.gates & CLIENT_SUBSCRIBED && client.out.resp === 2 && !SUBSCRIBED_MAY.has(command.name))
      return this.refused(call, subscribedError(command.name));
    if (client.gates & CLIENT_REPLICA) {
      if (f & (FLAG.write | FLAG.readonly | FLAG.may_replicate)) return this.refused(call, REPLICA_KEYS);
    } else if (gates & PAUSES && this.depth === 0) {
      this.host.postpone(client, again);
      return false;
    }
    if (client.multi !== null && this.queue(call, f)) return false;
    if (client.flags & FLAG_NO_TOUCH && command.name !== "touch") {
      this.untouching = true;
      this.host.touching(false);
    }
    return true;
  }

  /** A pause stands against the command, or against what EXEC would run. */
  private paused(call: Call): boolean {
    const { command, client } = call;
    const queued = client.multi !== null && command.name === "exec" ? client.multi.gates : 0;
    return ((command.gates | queued) & this.gates & PAUSES) !== 0;
  }

  private refused(call: Call, line: Buffer): boolean {
    this.reject(call, line);
    return false;
  }

  /** Inside MULTI: keeps the command for EXEC and answers QUEUED. False for those that run at once. */
  private queue(call: Call, flags: number): boolean {
    const name = call.command.name;
    if (MULTI_RUNS.has(name)) return false;
    const client = call.client;
    const multi = client.multi!;
    // A transaction that will fail anyway keeps nothing (Redis queueMultiCommand).
    if (!(client.flags & FLAG_DIRTY_EXEC)) {
      const base = call.start;
      const at = new Int32Array(call.argc * 2);
      for (let i = 0; i < at.length; i++) at[i] = call.at[i] - base;
      multi.queue.push({ command: call.command, buf: Buffer.from(call.buf.subarray(base, call.end)), at, argc: call.argc });
      multi.flags |= flags;
      multi.gates |= call.command.ask === null ? call.command.gates : gatesFor(name, flags);
      multi.bytes += call.end - base;
    }
    this.observers.tracking?.(null);
    client.out.queued();
    return true;
  }

  /** Runs a call whose fields are filled in, and accounts for it. EXEC and scripts use it for the inner commands. */
  run(call: Call): void {
    const command = call.command;
    const out = call.out;
    const depth = this.depth;
    // One clock read a command: the end of the last one is the beginning of this. Inner commands read it themselves.
    const before = depth === 0 ? clock.monoMs : performance.now();
    call.dirty = 0;
    call.instead = null;
    call.silent = false;
    const outer = this.running;
    this.running = command;
    if (depth === 0) this.current = call.client;
    this.depth = depth + 1;
    command.run(call);
    this.depth = depth;
    this.running = outer;
    const micros = ((depth === 0 ? readClock() : performance.now()) - before) * 1000;
    const o = this.observers;
    if (call.client.flags & FLAG_BLOCKED) {
      // It counts when it is done; MONITOR shows it now.
      call.client.blocked!.micros += micros;
      if (o.monitor !== null) o.monitor(call);
      // One that waits may have changed something all the same: XREADGROUP makes its consumer.
      if (call.dirty !== 0 || call.instead !== null) this.host.changed(call);
      if (depth === 0) this.current = null;
      return;
    }
    if (out.unreported !== 0) {
      out.unreported = 0;
      command.failed++;
      o.failed?.(call, out.lastError!);
    }
    this.account(command, micros);
    if (micros >= o.slowMicros) o.slow!(call, micros);
    if (o.monitor !== null) o.monitor(call);
    if (call.dirty !== 0 || call.instead !== null) this.host.changed(call);
    if (o.tracking !== null) o.tracking(call);
    if (depth === 0) {
      this.loop.commandMicros += micros;
      if (this.ownPushes !== null) this.appendOwnPushes(call.client);
      this.current = null;
    }
  }

  /** Counts a finished command. */
  account(command: Command, micros: number): void {
    command.calls++;
    command.usec += micros;
    this.totalCommands++;
    if (this.observers.latency !== null) this.observers.latency(command, micros);
  }

  /**
   * Where a push to `client` is to be written: its output, or, while its own command runs, a sink that follows the reply
   * (Redis 7.2 pending_push_messages). Call wake(client) afterwards.
   */
  pushTo(client: Client): Out {
    if (client !== this.current || this.depth === 0 || PUSH_IS_REPLY.has(this.running!.name)) return client.out;
    const own = (this.ownPushes ??= new Out());
    own.resp = client.out.resp;
    return own;
  }

  private appendOwnPushes(client: Client): void {
    const bytes = this.ownPushes!.take();
    this.ownPushes = null;
    client.out.pushing(bytes, 0, bytes.length);
  }

  // ------------------------------------------------------------------------------------------------ output

  /** Output was written for a client outside its own request: send it at the end of the event. */
  wake(client: Client): void {
    if (client.flags & FLAG_PENDING_OUTPUT || client.conn === null) return;
    client.flags |= FLAG_PENDING_OUTPUT;
    this.pending.push(client);
    if (this.depth === 0 && !this.inEvent) this.scheduleFlush();
  }

  /** Set by ingest while it works on an event: it flushes at the end, nothing needs scheduling. */
  inEvent = false;
  private flushScheduled = false;
  private scheduleFlush(): void {
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    queueMicrotask(() => {
      this.flushScheduled = false;
      this.endEvent();
    });
  }

  /** The end of an event: AOF first, then every reply. */
  endEvent(): void {
    if (this.beforeEnd !== null) {
      const last = this.beforeEnd;
      this.beforeEnd = null;
      last();
    }
    if (this.pending.length === 0 && !this.needsBeforeFlush) return;
    if (this.host.beforeFlush()) this.flushAll();
    else for (; this.kept < this.pending.length; this.kept++) this.pending[this.kept].conn!.held = true;
  }
  /** Something to be said at the end of this event, once (tracking's broadcasts). */
  beforeEnd: (() => void) | null = null;
  /** The mode sets it when beforeFlush has work although nobody waits for a reply. */
  needsBeforeFlush = false;

  /** Sends what waits. */
  flushAll(): void {
    const pending = this.pending;
    for (let i = 0; i < pending.length; i++) this.send(pending[i]);
    pending.length = 0;
    this.kept = 0;
  }

  private send(client: Client): void {
    client.flags &= ~FLAG_PENDING_OUTPUT;
    const conn = client.conn!;
    conn.held = false;
    this.loop.writes++;
    const bytes = client.out.pendingBytes();
    if (bytes > client.peakOutputBytes) client.peakOutputBytes = bytes;
    // The host closes a client that is over its limit.
    if ((client.out.isOver() || !conn.flush()) && this.host.overOutputLimit(client)) return;
    if (client.flags & FLAG_CLOSE_AFTER_REPLY) conn.closeAfterFlush();
  }

  /**
   * The replies there are now wait for `release`, and their clients execute nothing meanwhile: so all of a client's output is safe to send then,
   * and a client that never stops cannot wait for ever. Others go on, and theirs gather in `pending` for the next time.
   */
  hold(): void {
    for (const client of this.pending) {
      client.flags |= client.flags & FLAG_BLOCKED ? FLAG_HELD | FLAG_HELD_BLOCKED : FLAG_HELD;
      client.conn!.held = true;
      this.held.push(client);
    }
    this.pending.length = 0;
    this.kept = 0;
  }

  /** Sends what `hold` set aside. */
  release(): void {
    for (const client of this.held.splice(0)) {
      const served = client.flags & FLAG_HELD_BLOCKED && !(client.flags & FLAG_BLOCKED);
      client.flags &= ~(FLAG_HELD | FLAG_HELD_BLOCKED);
      if (served) this.pending.push(client);
      else this.send(client);
      this.host.released(client);
    }
  }
}

const PAUSES = GATE_PAUSED_ALL | GATE_PAUSED_WRITES;
const MULTI_RUNS = new Set(["exec", "discard", "multi", "watch", "quit", "reset"]);
const SUBSCRIBED_MAY = new Set([
  "ping",
  "subscribe",
  "ssubscribe",
  "unsubscribe",
  "sunsubscribe",
  "psubscribe",
  "punsubscribe",
  "quit",
  "reset",
]);
/** Commands whose replies are pushes themselves: pushes to their own client keep the order in which they arise. */
const PUSH_IS_REPLY = new Set(["subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe"]);
const REPLICA_KEYS = errorLine("ERR Replica can't interact with the keyspace");

function subscribedError(name: string): Buffer {
  return errorLine(`ERR Can't execute '${name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`);
}

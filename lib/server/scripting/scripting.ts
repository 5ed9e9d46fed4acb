/**
 * Running scripts and functions. WARM.
 *
 *   EVAL, FCALL --> KEYS, ARGV --> lua_resume on a thread of its own --> reply, or the error with its place
 *
 * What a script changes is one unit for replicas and the AOF, and its commands are propagated, not the script (Redis 7). Lua is started by
 * the first script. If JS ever throws through Lua, the instance is dropped and the scripts are compiled again when called.
 * Leaves out which scripts there are (script_cache.ts) and which functions (function_engine.ts).
 */
import type { Call } from "../../clients/call.ts";
import {
  CLIENT_ACL,
  Client,
  FLAG_BLOCKED,
  FLAG_CLOSE_AFTER_REPLY,
  FLAG_CLOSE_ASAP,
  FLAG_DENY_BLOCKING,
  FLAG_EXECUTING,
  FLAG_MASTER,
  FLAG_SCRIPT,
  FLAG_TRUSTED,
  type MultiState,
  type Queued,
} from "../../clients/client.ts";
import { GATE_BUSY, GATE_MEMORY, GATE_MISCONF, GATE_NOREPLICAS, GATE_READONLY, GATE_STALE, type Command } from "../../clients/command.ts";
import { BLOCKED_ON_SCRIPT, saveCall } from "../../clients/blocking.ts";
import { ERR, errorLine } from "../../resp/errors.ts";
import { Out } from "../../resp/out.ts";
import { BROKEN, NEED_MORE } from "../../resp/request.ts";
import { currentExpirePolicy, EXPIRE_IGNORE, setExpirePolicy } from "../../store/keyspace.ts";
import { readClock } from "../../time/clock.ts";
import { TO_ALL } from "../propagation.ts";
import type { LibraryStore, ScriptMemory, Server } from "../server.ts";
import type { ScriptHost, ScriptRun } from "./bridge.ts";
import { ABORTED, DebugSession, STAYS } from "./debugger.ts";
import { Engine } from "./engine.ts";
import { FunctionEngine } from "./function_engine.ts";
import { LibrarySet, type LibraryFunction } from "./libraries.ts";
import { FINISHED, type LuaVm, REGISTRY, T_BOOLEAN, T_TABLE, YIELDED } from "./lua_vm.ts";
import { pushError, writeReply } from "./reply.ts";
import { SANDBOX_SOURCE } from "./sandbox.ts";
import { ScriptCache, type Script } from "./script_cache.ts";
import { SCRIPT_ALLOW_OOM, SCRIPT_ALLOW_STALE, SCRIPT_COMPATIBLE, SCRIPT_NO_WRITES } from "./shebang.ts";

const NOT_BUSY = errorLine("NOTBUSY No scripts in execution right now.");
const UNKILLABLE = errorLine(
  "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill " +
    "the server in a hard way using the SHUTDOWN NOSAVE command.",
);
/** A busy script of the other kind than the one that is to be killed. */
const BUSY_EVAL = ERR.busy;
const BUSY_FUNCTION = errorLine("BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.");
const OBEYED = errorLine("UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed.");

/** A script that has been running for busy-reply-threshold: its client waits, others are answered BUSY. */
interface Suspended {
  run: ScriptRun;
  client: Client;
  /** The request. */
  saved: Queued;
  /** The transaction that it is part of, and what runs that. */
  multi: MultiState | null;
  outer: Command | null;
}

/** Instructions between two looks at the clock: a millisecond of a script that does nothing but call commands. Redis looks every 100,000. */
const HOOK_INSTRUCTIONS = 1000;
/** How long a script that others wait for runs before they get a turn. */
const SLICE_MS = 5;
const MASK_COUNT = 8;
const MASK_LINE = 4;
/** Lua's name for a caller that has given way to what it called. */
const TAIL_CALL = "=(tail call)";
const KILLED = "Script killed by user with SCRIPT KILL...";
const ABORT = "script aborted for user request";

/** What this client says is done, whatever the gates say. */
function obeys(client: Client): boolean {
  return (client.flags & (FLAG_MASTER | FLAG_TRUSTED)) !== 0;
}

export class Scripting implements ScriptHost {
  readonly server: Server;
  readonly client: Client;
  readonly capture: Out;
  run: ScriptRun | null;
  readonly cache: ScriptCache;
  readonly functions: FunctionEngine;
  /** The interpreter of scripts; null: none has been called yet. */
  private evalEngine: Engine | null;
  /** The one that runs now. */
  private engine: Engine | null;
  private suspended: Suspended | null;
  /** Clients whose scripts are to run in the debugger. */
  readonly debuggers: WeakSet<Client>;
  session: DebugSession | null;
  /** The running script may be interrupted: its client can wait. */
  private mayWait: boolean;
  /** It is on its way out through its coroutines. */
  private interrupted: boolean;
  private killed: boolean;
  /** When the hook is to interrupt, on the monotonic clock. */
  private untilMs: number;

  constructor(server: Server) {
    this.server = server;
    this.client = new Client(0, null, server.databases[0]);
    this.client.flags = FLAG_SCRIPT | FLAG_DENY_BLOCKING;
    this.capture = this.client.out;
    this.run = null;
    this.cache = new ScriptCache();
    this.evalEngine = null;
    this.engine = null;
    this.suspended = null;
    this.debuggers = new WeakSet();
    this.session = null;
    this.mayWait = false;
    this.interrupted = false;
    this.killed = false;
    this.untilMs = 0;
    this.functions = new FunctionEngine(this, this.hooks());
  }

  // ------------------------------------------------------------------------------------------------ interpreters

  private hooks(): { interrupted(): boolean; tick(vm: LuaVm, L: number, event: number): void } {
    return { interrupted: () => this.interrupted, tick: (vm, L, event) => this.tick(vm, L, event) };
  }

  /** The interpreter of scripts. */
  private startEval(): Engine {
    return (this.evalEngine ??= new Engine(this, { isEval: true, library: null, ...this.hooks() }));
  }

  /** Forgets the interpreter that failed; the next script starts another. */
  private drop(isEval: boolean): void {
    if (isEval) {
      this.evalEngine = null;
      this.cache.forgetCompiled();
    } else this.functions.drop();
  }

  /** SCRIPT FLUSH: no script is known any more. */
  flush(): void {
    this.cache.clear();
    this.evalEngine = null;
  }

  /** Compiles a script and puts it in the cache. A string is the error's text. `loaded`: by SCRIPT LOAD, and to stay. */
  add(body: Buffer, loaded: boolean): Script | string {
    return this.cache.add(this.startEval(), body, loaded);
  }

  /** Bytes of caches and interpreters (INFO memory). */
  memory(): ScriptMemory {
    const { current, memoryBytes } = this.functions;
    return {
      scripts: this.cache.scripts.size,
      evicted: this.cache.evicted,
      scriptBytes: this.cache.bytes,
      interpreterBytes: this.evalEngine?.vm.memoryBytes ?? 0,
      functions: current.functionCount,
      libraries: current.libraries.size,
      libraryBytes: current.bytes,
      libraryInterpreterBytes: memoryBytes,
    };
  }

  /** Function libraries, for files and replicas. */
  libraryStore(): LibraryStore {
    const { functions } = this;
    const load = (code: Buffer, set: LibrarySet, replace: boolean): string | null => {
      const library = functions.load(code, set, replace, 0);
      return typeof library === "string" ? library : null;
    };
    return {
      codes: () => [...functions.current.libraries.values()].map((l) => l.code),
      load: (code, replace) => load(code, functions.current, replace),
      clear: () => functions.become(new LibrarySet()),
      beside: () => {
        const set = new LibrarySet();
        return {
          load: (code) => load(code, set, false),
          take: () => functions.become(set),
          drop: () => functions.releaseAll(set),
        };
      },
    };
  }

  // ------------------------------------------------------------------------------------------------ running

  /** Runs a script or function for a call whose arguments are (it, numkeys, keys..., args...). */
  execute(call: Call, script: Script | LibraryFunction, numKeys: number, readOnly: boolean): void {
    const { server } = this;
    const over = (server.dispatcher.gates & GATE_MEMORY) !== 0 && server.parts.overMemory();
    const why = this.mayRun(call, script, readOnly, over);
    if (why !== null) return call.out.error(why);
    const compatible = (script.flags & SCRIPT_COMPATIBLE) !== 0;
    const run: ScriptRun = {
      name: script.name,
      isEval: script.isEval,
      startMs: performance.now(),
      caller: call.client,
      readOnly: readOnly || (!compatible && (script.flags & SCRIPT_NO_WRITES) !== 0),
      allowOom: !compatible && (script.flags & SCRIPT_ALLOW_OOM) !== 0,
      overMemory: over,
      wrote: false,
    };
    this.become(call.client);
    this.run = run;
    server.beginUnit();
    this.guarded(call.out, run, () => {
      const engine = (this.engine = script.isEval ? this.startEval() : this.functions.start());
      const args = script.isEval
        ? this.loadScript(engine, call, script as Script, numKeys)
        : this.loadFunction(engine, call, script.ref, numKeys);
      const threshold = server.config.number("busy-reply-threshold");
      const { flags, conn } = call.client;
      // Whoever executes for a client without a connection must know how to wait: the master's stream does, and the loading of an AOF.
      const waits = conn !== null || (flags & FLAG_MASTER) !== 0 || (server.loading && (flags & FLAG_TRUSTED) !== 0);
      this.mayWait = threshold > 0 && waits && server.dispatcher.depth === (flags & FLAG_EXECUTING ? 2 : 1);
      this.untilMs = performance.now() + threshold;
      if (this.debuggers.has(call.client) && script.isEval && this.mayWait) this.session = new DebugSession(engine.vm, call.text(1));
      const mask = (this.mayWait ? MASK_COUNT : 0) | (this.session === null ? 0 : MASK_LINE);
      engine.vm.api.lua_sethook(engine.thread, mask === 0 ? 0 : engine.hook, mask, HOOK_INSTRUCTIONS);
      return this.resume(engine, call.out, run, args);
    });
    if (this.run !== null) this.suspend(call, run);
  }

  /** Runs a stretch of the script; when it has come to its end, ends the unit. `stretch` answers whether it has. */
  private guarded(out: Out, run: ScriptRun, stretch: () => boolean): void {
    let done = true;
    try {
      done = stretch();
    } catch (e) {
      this.drop(run.isEval);
      this.server.log.warning(`A script broke its interpreter, which is started anew: ${e instanceof Error ? e.message : String(e)}`);
      out.errorText("ERR Error running script: the interpreter failed");
    }
    if (done) this.finish(run);
  }

  private finish(run: ScriptRun): void {
    const { server } = this;
    this.run = null;
    this.engine = null;
    this.killed = this.interrupted = this.mayWait = false;
    server.propagation.only = TO_ALL;
    this.capture.clear();
    server.endUnit();
    if (run.wrote) server.parts.wrote(run.caller);
  }

  /** The script's client takes over what counts of its caller: database and rights. */
  private become(caller: Client): void {
    const { client } = this;
    this.server.select(client, caller.dbIndex);
    client.user = caller.user;
    client.gates = caller.gates & CLIENT_ACL;
    this.capture.resp = 2;
    this.capture.muted = false;
  }

  /** A script with flags is refused like a command with such flags (Redis eval.c evalGetCommandFlags): the error line when the script as a whole may not run now. */
  private mayRun(call: Call, script: Script | LibraryFunction, readOnly: boolean, over: boolean): Buffer | null {
    const closed = this.server.dispatcher.gates;
    const obeyed = obeys(call.client);
    const { flags } = script;
    const stale = (closed & GATE_STALE) !== 0 && !obeyed;
    if (flags & SCRIPT_COMPATIBLE) return stale ? ERR.masterDown : null;
    if (stale && !(flags & SCRIPT_ALLOW_STALE)) return ERR.masterDown;
    if (!(flags & SCRIPT_NO_WRITES)) {
      if (closed & GATE_READONLY && !obeyed) return ERR.readonly;
      if (closed & GATE_MISCONF && !obeyed) return this.server.parts.misconf();
      if (readOnly) return errorLine("ERR Can not execute a script with write flag using *_ro command.");
      if (closed & GATE_NOREPLICAS && !obeyed) return this.server.fence ?? ERR.noReplicas;
    }
    if (over && !obeyed && !(flags & (SCRIPT_ALLOW_OOM | SCRIPT_NO_WRITES))) return ERR.oom;
    return null;
  }

  /** Puts a script on the thread, and its arguments where it looks for them. Returns how many arguments are on the stack. */
  private loadScript(engine: Engine, call: Call, script: Script, numKeys: number): number {
    const { vm, thread } = engine;
    const { api } = vm;
    if (script.ref === 0) this.cache.compile(engine, script);
    api.lua_rawgeti(thread, REGISTRY, engine.globals);
    this.pushArguments(vm, thread, call, 3, 3 + numKeys);
    vm.setField(thread, -2, "KEYS");
    this.pushArguments(vm, thread, call, 3 + numKeys, call.argc);
    vm.setField(thread, -2, "ARGV");
    api.lua_settop(thread, 0);
    api.lua_rawgeti(thread, REGISTRY, script.ref);
    return 0;
  }

  /** Puts a function on the thread, with its keys and arguments. */
  private loadFunction(engine: Engine, call: Call, ref: number, numKeys: number): number {
    const { vm, thread } = engine;
    vm.api.lua_settop(thread, 0);
    vm.api.lua_rawgeti(thread, REGISTRY, ref);
    this.pushArguments(vm, thread, call, 3, 3 + numKeys);
    this.pushArguments(vm, thread, call, 3 + numKeys, call.argc);
    return 2;
  }

  /** Lets the thread run, from its beginning or from where it was interrupted; true when it has ended and the reply is written. */
  private resume(engine: Engine, out: Out, run: ScriptRun, args = 0): boolean {
    const { vm, thread } = engine;
    this.interrupted = false;
    const status = vm.api.lua_resume(thread, args);
    if (status === YIELDED) return false;
    if (this.session !== null) this.endSession(run.caller);
    const { errors, unreported } = out;
    this.reply(engine, out, run, status);
    // An error that a command of the script had: errorstats has it, but the script has failed too.
    if (out.errors > errors && out.unreported === unreported) this.server.dispatcher.running!.failed++;
    return true;
  }

  /** Writes the reply of a script that has ended. */
  private reply(engine: Engine, out: Out, run: ScriptRun, status: number): void {
    const { vm, thread } = engine;
    if (status === FINISHED) {
      // A script that returns nothing returns nil.
      vm.api.lua_settop(thread, 1);
      writeReply(vm, thread, out, this.capture.resp);
      vm.api.lua_settop(thread, 0);
      return;
    }
    this.replyError(vm, thread, out, run);
    engine.newThread();
  }

  // ------------------------------------------------------------------------------------------------ busy

  /** Called every so many instructions of a script. */
  private tick(vm: LuaVm, L: number, event: number): void {
    if (!this.mayWait) return;
    if (this.session !== null ? !this.stops(this.session, vm, L, event) : performance.now() < this.untilMs || !vm.mayYield(L)) return;
    this.interrupted = true;
    vm.api.lua_yield(L, 0);
  }

  /** The script has run for too long: its client waits, everybody else is answered BUSY until it ends. */
  private suspend(call: Call, run: ScriptRun): void {
    const { server } = this;
    const { client } = call;
    if (this.session === null)
      server.log.warning(
        `Slow script detected: still in execution after ${server.config.number("busy-reply-threshold")} milliseconds. ` +
          `You can try killing the script using the ${run.isEval ? "SCRIPT" : "FUNCTION"} KILL command. Script name is: ${run.name}.`,
      );
    const { multi, flags } = client;
    const inside = multi !== null && (flags & FLAG_EXECUTING) !== 0;
    const saved = saveCall(call);
    this.suspended = { run, client, saved, multi: inside ? multi : null, outer: inside ? client.last : null };
    const { blocking } = server.service;
    // The second long script of a transaction finds its client blocked by the first.
    if (client.blocked === null) blocking.blockOn(client, BLOCKED_ON_SCRIPT, 0);
    else client.flags |= FLAG_BLOCKED;
    server.setGate(GATE_BUSY, true);
    if (this.session === null) setImmediate(() => this.goOn());
    else this.converse(this.session);
  }

  /** The next stretch of a suspended script, as if its client's command had never been left. */
  private goOn(): void {
    const mine = this.suspended!;
    const { run, client, saved, multi, outer } = mine;
    this.within(() => {
      this.untilMs = performance.now() + (this.session === null ? SLICE_MS : this.server.config.number("busy-reply-threshold"));
      this.guarded(client.out, run, () => (this.killed ? this.abandon(client.out, run) : this.resume(this.engine!, client.out, run)));
      if (this.run === null) this.ended(run, client, saved, multi, outer);
    });
    // Another script of its transaction that was suspended meanwhile goes on by itself.
    if (this.suspended !== mine) return;
    if (this.session !== null) this.converse(this.session);
    else setImmediate(() => this.goOn());
  }

  /** Does something as if it were a part of the suspended script, in an event of its own. */
  private within(f: () => void): void {
    const { client, saved, multi } = this.suspended!;
    const d = this.server.dispatcher;
    // For the master and the AOF no key's time is over.
    const policy = obeys(client) ? setExpirePolicy(EXPIRE_IGNORE) : currentExpirePolicy();
    d.inEvent = true;
    readClock();
    d.current = client;
    d.running = saved.command;
    d.depth = multi === null ? 1 : 2;
    f();
    setExpirePolicy(policy);
    d.depth = 0;
    d.current = null;
    d.running = null;
    d.inEvent = false;
    d.endEvent();
  }

  /** A suspended script has come to its end: its transaction goes on, or its client. */
  private ended(run: ScriptRun, client: Client, saved: Queued, multi: MultiState | null, outer: Command | null): void {
    const { server } = this;
    const d = server.dispatcher;
    this.suspended = null;
    server.setGate(GATE_BUSY, false);
    if (client.out.unreported !== 0) {
      client.out.unreported = 0;
      saved.command.failed++;
      d.observers.failed?.(null, client.out.lastError!);
    }
    const micros = (performance.now() - run.startMs) * 1000;
    const { blocked } = client;
    d.callAt(0).command = outer ?? saved.command;
    if (multi !== null) {
      d.account(saved.command, micros);
      server.service.slowlog.addSaved(client, saved, micros);
      d.depth = 1;
      d.running = outer;
      client.flags &= ~FLAG_BLOCKED;
      server.service.transactions.goOn(client, multi);
      if (this.suspended !== null) return;
      if (blocked !== null) blocked.micros = (performance.now() - multi.startMs) * 1000;
    } else if (blocked !== null) {
      blocked.micros = micros;
      blocked.saved = saved;
    }
    d.depth = 0;
    // Whose connection is gone waits no more.
    if (client.blocked !== null) client.flags |= FLAG_BLOCKED;
    server.service.blocking.unblock(client);
    d.host.afterUnit();
  }

  /** Ends a killed script where it stands: none of its pcalls can hold that. */
  private abandon(out: Out, run: ScriptRun): boolean {
    const { vm, thread } = this.engine!;
    const { session } = this;
    if (session !== null) {
      vm.stayStopped(session.L);
      this.endSession(run.caller);
    } else this.server.log.notice(`Lua script killed by user with ${run.isEval ? "SCRIPT" : "FUNCTION"} KILL.`);
    vm.api.lua_checkstack(thread, 8);
    pushError(vm, thread, session === null ? KILLED : ABORT, false);
    this.replyError(vm, thread, out, run);
    this.engine!.newThread();
    return true;
  }

  /** SCRIPT KILL, FUNCTION KILL: the error line, or null when the script will end. */
  kill(isEval: boolean): Buffer | null {
    const { run } = this;
    if (run === null) return NOT_BUSY;
    if (obeys(run.caller)) return OBEYED;
    if (run.wrote) return UNKILLABLE;
    if (isEval !== run.isEval) return this.busyLine();
    this.killed = true;
    if (this.session !== null) setImmediate(() => this.suspended !== null && this.goOn());
    return null;
  }

  // ------------------------------------------------------------------------------------------------ debugging

  /** Whether a script in the debugger stops at this event of its hook. */
  private stops(session: DebugSession, vm: LuaVm, L: number, event: number): boolean {
    const line = vm.eventLine(event);
    if (line === 0) {
      if (performance.now() >= this.untilMs) session.stopNext("timeout reached, infinite loop?");
      return false;
    }
    return vm.where(L, 0)?.source === "@user_script" && vm.mayYield(L) && session.stopsAt(L, line);
  }

  /** The script has stopped: says so, and does what its client says until that lets the script go on. */
  private converse(session: DebugSession): void {
    const { client } = this.suspended!;
    if (session.waits) session.answer(client.out);
    if (client.blocked !== null) client.blocked.heard = () => this.heard(session);
    this.server.dispatcher.wake(client);
    if (client.rest !== null) setImmediate(() => this.heard(session));
  }

  private heard(session: DebugSession): void {
    if (this.session !== session || this.suspended === null) return;
    const { client } = this.suspended;
    const { request, out } = client;
    let fate = client.flags & FLAG_CLOSE_ASAP ? ABORTED : STAYS;
    const buf = client.rest;
    const length = client.restLength;
    let pos = 0;
    while (buf !== null && pos < length && fate === STAYS) {
      const status = request.read(buf, pos, length);
      if (status === NEED_MORE) break;
      if (status === BROKEN) fate = ABORTED;
      else if (request.argc > 0) {
        const words = Array.from({ length: request.argc }, (_, i) =>
          request.buf.toString("latin1", request.at[2 * i], request.at[2 * i + 1]),
        );
        fate = session.command(words, (f) => this.within(f));
        if (fate === STAYS) session.answer(out);
      }
      pos = request.end;
    }
    client.rest = null;
    client.restLength = 0;
    if (buf !== null && pos < length) {
      request.reset();
      client.rest = Buffer.from(buf.subarray(pos, length));
      client.restLength = length - pos;
    }
    this.server.dispatcher.wake(client);
    if (fate === STAYS) return;
    this.killed ||= fate === ABORTED;
    setImmediate(() => this.session === session && this.goOn());
  }

  /** The reply of a debugged script follows, and then the connection ends: so the debugger's client knows. */
  private endSession(client: Client): void {
    this.session!.end(client.out);
    this.session = null;
    this.debuggers.delete(client);
    client.flags |= FLAG_CLOSE_AFTER_REPLY;
  }

  /** What everybody else is told while a script is busy. */
  busyLine(): Buffer {
    return this.run === null || this.run.isEval ? BUSY_EVAL : BUSY_FUNCTION;
  }

  /** The busy script, for FUNCTION STATS. */
  get busy(): { name: string; isEval: boolean; words: Buffer[]; ms: number } | null {
    if (this.suspended === null) return null;
    const { run, saved } = this.suspended;
    const { argc, at, buf } = saved;
    const words = Array.from({ length: argc }, (_, i) => buf.subarray(at[2 * i], at[2 * i + 1]));
    return { name: run.name, isEval: run.isEval, words, ms: performance.now() - run.startMs };
  }

  private pushArguments(vm: LuaVm, L: number, call: Call, from: number, to: number): void {
    vm.api.lua_createtable(L, to - from, 0);
    for (let i = from; i < to; i++) {
      vm.pushBytes(L, call.buf, call.s(i), call.e(i));
      vm.api.lua_rawseti(L, -2, i - from + 1);
    }
  }

  /** The error on top of a thread that stopped, with the place where it was raised: in the script, when a function of ours raised it. */
  private replyError(vm: LuaVm, L: number, out: Out, run: ScriptRun): void {
    const { api } = vm;
    let text: string;
    let counted = false;
    if (api.lua_type(L, -1) === T_TABLE) {
      vm.rawField(L, -1, "err");
      text = api.lua_isstring(L, -1) !== 0 ? vm.cText(L, -1)! : "ERR unknown error";
      vm.pop(L, 1);
      counted = vm.rawField(L, -1, "ignore_error_stats_update") === T_BOOLEAN && api.lua_toboolean(L, -1) !== 0;
    } else text = `ERR ${vm.cText(L, -1) ?? this.plainText(vm, L)}`;
    let level = 0;
    let place = vm.where(L, level);
    // Our own Lua functions stand for native ones.
    while (place !== null && (place.source === SANDBOX_SOURCE || place.source === TAIL_CALL || (place.native && level === 0)))
      place = vm.where(L, ++level);
    if (place !== null) text += ` script: ${run.name}, on ${place.source}:${place.line}.`;
    out.errorText(text.replace(/[\r\n]+$/, ""));
    if (counted) out.unreported--;
  }

  /** tostring of an error that is no string, for nil and booleans; others are named by type. */
  private plainText(vm: LuaVm, L: number): string {
    const type = vm.typeName(L, -1);
    return type === "boolean" ? String(vm.api.lua_toboolean(L, -1) !== 0) : type;
  }
}

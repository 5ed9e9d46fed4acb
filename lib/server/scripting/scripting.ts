/**
 * Scripts: the cache by SHA-1, and running one. WARM.
 *
 *   EVAL --> script in the cache? else compile --> KEYS, ARGV --> lua_resume on a thread of its own --> reply, or the error with its place
 *
 * What a script changes is one unit for replicas and the AOF, and its commands are propagated, not the script (Redis 7). Lua is started by
 * the first script. If JS ever throws through Lua, the instance is dropped and the scripts are compiled again when called.
 */
import { sha1Hex } from "../../bytes/sha1.ts";
import type { Call } from "../../clients/call.ts";
import { CLIENT_ACL, Client, FLAG_DENY_BLOCKING, FLAG_MASTER, FLAG_SCRIPT, FLAG_TRUSTED } from "../../clients/client.ts";
import { GATE_BUSY, GATE_MEMORY, GATE_MISCONF, GATE_NOREPLICAS, GATE_READONLY, GATE_STALE, type Command } from "../../clients/command.ts";
import { BLOCKED_ON_SCRIPT } from "../../clients/blocking.ts";
import { ERR, errorLine } from "../../resp/errors.ts";
import { Out } from "../../resp/out.ts";
import { readClock } from "../../time/clock.ts";
import { TO_ALL } from "../propagation.ts";
import type { Server } from "../server.ts";
import { openBit } from "./bit.ts";
import { openRedis, type ScriptHost, type ScriptRun } from "./bridge.ts";
import { openCjson } from "./cjson.ts";
import { openCmsgpack } from "./cmsgpack.ts";
import { FINISHED, GLOBALS, LuaVm, REGISTRY, T_BOOLEAN, T_TABLE, YIELDED } from "./lua_vm.ts";
import { randomFunctions } from "./random.ts";
import { pushError, writeReply } from "./reply.ts";
import { closeSandbox, openLibraries, SANDBOX_SOURCE } from "./sandbox.ts";
import { readShebang, SCRIPT_ALLOW_OOM, SCRIPT_ALLOW_STALE, SCRIPT_COMPATIBLE, SCRIPT_NO_WRITES } from "./shebang.ts";
import { openStruct } from "./struct.ts";

/** A cached script. */
export interface Script {
  sha: string;
  body: Buffer;
  /** Bits of shebang.ts. */
  flags: number;
  shebangBytes: number;
  /** Its function in the registry of the present instance; 0: not compiled there. */
  ref: number;
}

/** What a cached script costs beside its text (Redis: the dictionary's entry and the luaScript). */
const SCRIPT_OVERHEAD_BYTES = 112;

const NOT_BUSY = errorLine("NOTBUSY No scripts in execution right now.");
const UNKILLABLE = errorLine(
  "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill " +
    "the server in a hard way using the SHUTDOWN NOSAVE command.",
);
/** A running interpreter with our libraries in it. */
interface Engine {
  vm: LuaVm;
  /** The real table of globals, in the registry. */
  globals: number;
  /** The thread that scripts run on, and its place in the registry. */
  thread: number;
  threadRef: number;
  /** The hook that interrupts scripts, for lua_sethook. */
  hook: number;
}

/** A script that has been running for busy-reply-threshold: its client waits, others are answered BUSY. */
interface Suspended {
  run: ScriptRun;
  client: Client;
  command: Command;
}

/** Instructions between two looks at the clock: a millisecond of a script that does nothing but call commands. Redis looks every 100,000. */
const HOOK_INSTRUCTIONS = 1000;
/** How long a script that others wait for runs before they get a turn. */
const SLICE_MS = 5;
const MASK_COUNT = 8;
/** Lua's name for a caller that has given way to what it called. */
const TAIL_CALL = "=(tail call)";
const KILLED = "Script killed by user with SCRIPT KILL...";

/** What this client says is done, whatever the gates say. */
function obeys(client: Client): boolean {
  return (client.flags & (FLAG_MASTER | FLAG_TRUSTED)) !== 0;
}

export class Scripting implements ScriptHost {
  readonly server: Server;
  readonly client: Client;
  readonly capture: Out;
  run: ScriptRun | null;
  readonly scripts: Map<string, Script>;
  private engine: Engine | null;
  private scriptBytes: number;
  private suspended: Suspended | null;
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
    this.scripts = new Map();
    this.engine = null;
    this.scriptBytes = 0;
    this.suspended = null;
    this.mayWait = false;
    this.interrupted = false;
    this.killed = false;
    this.untilMs = 0;
  }

  // ------------------------------------------------------------------------------------------------ the interpreter

  private start(): Engine {
    if (this.engine !== null) return this.engine;
    const vm = new LuaVm();
    const { api, L } = vm;
    openLibraries(vm);
    api.lua_pushvalue(L, GLOBALS);
    openRedis(vm, this);
    openCjson(vm);
    openCmsgpack(vm);
    openStruct(vm);
    openBit(vm);
    vm.getField(L, -1, "math");
    vm.setFunctions(L, randomFunctions(vm));
    api.lua_settop(L, 0);
    const engine: Engine = { vm, globals: 0, thread: 0, threadRef: 0, hook: vm.hook((S) => this.tick(vm, S)) };
    engine.globals = closeSandbox(
      vm,
      (S) => S === engine.thread,
      () => this.interrupted,
    );
    this.engine = engine;
    this.newThread(engine);
    return engine;
  }

  private newThread(engine: Engine): void {
    const { api, L } = engine.vm;
    if (engine.threadRef !== 0) api.luaL_unref(L, REGISTRY, engine.threadRef);
    engine.thread = api.lua_newthread(L);
    engine.threadRef = api.luaL_ref(L, REGISTRY);
  }

  /** Forgets the interpreter; the next script starts another. */
  private drop(): void {
    this.engine = null;
    for (const script of this.scripts.values()) script.ref = 0;
  }

  // ------------------------------------------------------------------------------------------------ the cache

  /** SCRIPT FLUSH: no script is known any more. */
  flush(): void {
    this.scripts.clear();
    this.scriptBytes = 0;
    this.drop();
  }

  /** Compiles a script and puts it in the cache. A string is the error's text. */
  add(body: Buffer): Script | string {
    const sha = sha1Hex(body);
    const known = this.scripts.get(sha);
    if (known !== undefined) return known;
    const shebang = readShebang(body);
    if (typeof shebang === "string") return shebang;
    const script: Script = { sha, body: Buffer.from(body), flags: shebang.flags, shebangBytes: shebang.length, ref: 0 };
    const error = this.compile(this.start(), script);
    if (error !== null) return `ERR Error compiling script (new function): ${error}`;
    this.scripts.set(sha, script);
    this.scriptBytes += body.length + SCRIPT_OVERHEAD_BYTES;
    return script;
  }

  private compile(engine: Engine, script: Script): string | null {
    const { vm } = engine;
    const ok = vm.load(vm.L, script.body.subarray(script.shebangBytes), "@user_script");
    if (ok) {
      script.ref = vm.api.luaL_ref(vm.L, REGISTRY);
      return null;
    }
    const text = vm.cText(vm.L, -1) ?? "";
    vm.pop(vm.L, 1);
    return text;
  }

  /** Bytes of the cache and of the interpreter (INFO memory). */
  memory(): { count: number; scripts: number; interpreter: number } {
    return { count: this.scripts.size, scripts: this.scriptBytes, interpreter: this.engine?.vm.memoryBytes ?? 0 };
  }

  // ------------------------------------------------------------------------------------------------ running

  /** Runs a script for a call whose arguments are (script, numkeys, keys..., args...). */
  execute(call: Call, script: Script, numKeys: number, readOnly: boolean): void {
    const { server } = this;
    const over = (server.dispatcher.gates & GATE_MEMORY) !== 0 && server.parts.overMemory();
    const why = this.mayRun(call, script, readOnly, over);
    if (why !== null) return call.out.error(why);
    const compatible = (script.flags & SCRIPT_COMPATIBLE) !== 0;
    const run: ScriptRun = {
      name: script.sha,
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
      const engine = this.load(call, script, numKeys);
      const threshold = server.config.number("busy-reply-threshold");
      // Inside EXEC and for the master it runs to its end.
      this.mayWait = threshold > 0 && server.dispatcher.depth === 1 && !obeys(call.client) && call.client.conn !== null;
      this.untilMs = performance.now() + threshold;
      engine.vm.api.lua_sethook(engine.thread, this.mayWait ? engine.hook : 0, this.mayWait ? MASK_COUNT : 0, HOOK_INSTRUCTIONS);
      return this.resume(engine, call.out, run);
    });
    if (this.run !== null) this.suspend(call, run);
  }

  /** Runs a stretch of the script; when it has come to its end, ends the unit. `stretch` answers whether it has. */
  private guarded(out: Out, run: ScriptRun, stretch: () => boolean): void {
    let done = true;
    try {
      done = stretch();
    } catch (e) {
      this.drop();
      this.server.log.warning(`A script broke its interpreter, which is started anew: ${e instanceof Error ? e.message : String(e)}`);
      out.errorText("ERR Error running script: the interpreter failed");
    }
    if (done) this.finish(run);
  }

  private finish(run: ScriptRun): void {
    const { server } = this;
    this.run = null;
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
  private mayRun(call: Call, script: Script, readOnly: boolean, over: boolean): Buffer | null {
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
      if (closed & GATE_NOREPLICAS && !obeyed) return ERR.noReplicas;
    }
    if (over && !obeyed && !(flags & (SCRIPT_ALLOW_OOM | SCRIPT_NO_WRITES))) return ERR.oom;
    return null;
  }

  /** Puts the script and its arguments on the thread. */
  private load(call: Call, script: Script, numKeys: number): Engine {
    const engine = this.start();
    const { vm, thread } = engine;
    const { api } = vm;
    if (script.ref === 0) this.compile(engine, script);
    api.lua_rawgeti(thread, REGISTRY, engine.globals);
    this.pushArguments(vm, thread, call, 3, 3 + numKeys);
    vm.setField(thread, -2, "KEYS");
    this.pushArguments(vm, thread, call, 3 + numKeys, call.argc);
    vm.setField(thread, -2, "ARGV");
    api.lua_settop(thread, 0);
    api.lua_rawgeti(thread, REGISTRY, script.ref);
    return engine;
  }

  /** Lets the thread run, from its beginning or from where it was interrupted; true when it has ended and the reply is written. */
  private resume(engine: Engine, out: Out, run: ScriptRun): boolean {
    const { vm, thread } = engine;
    this.interrupted = false;
    const status = vm.api.lua_resume(thread, 0);
    if (status === YIELDED) return false;
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
    this.newThread(engine);
  }

  // ------------------------------------------------------------------------------------------------ busy

  /** Called every so many instructions of a script. */
  private tick(vm: LuaVm, L: number): void {
    if (!this.mayWait || performance.now() < this.untilMs || !vm.mayYield(L)) return;
    this.interrupted = true;
    vm.api.lua_yield(L, 0);
  }

  /** The script has run for too long: its client waits, everybody else is answered BUSY until it ends. */
  private suspend(call: Call, run: ScriptRun): void {
    const { server } = this;
    const { client } = call;
    server.log.warning(
      `Slow script detected: still in execution after ${server.config.number("busy-reply-threshold")} milliseconds. ` +
        `You can try killing the script using the SCRIPT KILL command. Script name is: ${run.name}.`,
    );
    this.suspended = { run, client, command: call.command };
    server.service.blocking.blockOn(client, BLOCKED_ON_SCRIPT, 0);
    server.setGate(GATE_BUSY, true);
    setImmediate(() => this.goOn());
  }

  /** The next stretch of a suspended script, as if its client's command had never been left. */
  private goOn(): void {
    const { run, client, command } = this.suspended!;
    const d = this.server.dispatcher;
    const { blocking } = this.server.service;
    d.inEvent = true;
    readClock();
    d.current = client;
    d.running = command;
    d.depth = 1;
    this.untilMs = performance.now() + SLICE_MS;
    this.guarded(client.out, run, () => (this.killed ? this.abandon(client.out, run) : this.resume(this.engine!, client.out, run)));
    d.depth = 0;
    d.current = null;
    d.running = null;
    if (this.run === null) {
      this.suspended = null;
      this.server.setGate(GATE_BUSY, false);
      if (client.out.unreported !== 0) {
        client.out.unreported = 0;
        command.failed++;
        d.observers.failed?.(null, client.out.lastError!);
      }
      blocking.unblock(client);
      d.host.afterUnit();
    } else setImmediate(() => this.goOn());
    d.inEvent = false;
    d.endEvent();
  }

  /** Ends a killed script where it stands: none of its pcalls can hold that. */
  private abandon(out: Out, run: ScriptRun): boolean {
    const { vm, thread } = this.engine!;
    this.server.log.notice("Lua script killed by user with SCRIPT KILL.");
    pushError(vm, thread, KILLED, false);
    this.replyError(vm, thread, out, run);
    this.newThread(this.engine!);
    return true;
  }

  /** SCRIPT KILL: the error line, or null when the script will end. */
  kill(): Buffer | null {
    if (this.run === null) return NOT_BUSY;
    if (this.run.wrote) return UNKILLABLE;
    this.killed = true;
    return null;
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

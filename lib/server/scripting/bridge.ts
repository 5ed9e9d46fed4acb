/**
 * The `redis` table of scripts: redis.call and its kin. WARM: redis.call runs once a command of a script.
 *
 *   redis.call(args) --bytes out of Lua's memory--> a RESP request --gates of scripts--> dispatcher.run one level deeper, into a capture
 *        Lua value <--pushReply-- captured reply
 *
 * The gates and their texts follow Redis 7.2 script.c scriptCall. Who runs, with which rights, is in `ScriptRun`; scripting.ts makes it.
 */
import { doubleText, INT_TEXT_MAX, writeInt } from "../../bytes/number.ts";
import { sha1Hex } from "../../bytes/sha1.ts";
import { CLIENT_ACL, FLAG_MASTER, FLAG_TRUSTED, type Client } from "../../clients/client.ts";
import { ALLOWED } from "../../clients/acl/selector.ts";
import { GATE_MISCONF, GATE_NOREPLICAS, GATE_READONLY, GATE_STALE, type Command } from "../../clients/command.ts";
import type { Call } from "../../clients/call.ts";
import { refusal as refusalText } from "../../clients/users.ts";
import { FLAG } from "../../commands/table/row.ts";
import { REDIS_VERSION } from "../../config/version.ts";
import { LEVELS } from "../../log/redis_line.ts";
import { errorLine } from "../../resp/errors.ts";
import type { Out } from "../../resp/out.ts";
import { TO_ALL, TO_AOF, TO_REPLICAS } from "../propagation.ts";
import { debugSwitches } from "../debug_switches.ts";
import type { DebugSession } from "./debugger.ts";
import type { Server } from "../server.ts";
import { type LuaFunction, type LuaVm, T_NUMBER, T_STRING } from "./lua_vm.ts";
import { pushError, pushReply } from "./reply.ts";

/** One execution of a script. */
export interface ScriptRun {
  /** SHA-1 of the script, or the function's name: errors name it. */
  name: string;
  /** A script, not a function of a library. */
  isEval: boolean;
  /** When it began, on the monotonic clock. */
  startMs: number;
  caller: Client;
  /** No write command may be called. */
  readOnly: boolean;
  allowOom: boolean;
  /** Memory was over maxmemory when it began. */
  overMemory: boolean;
  /** It has called a write command: from now on nothing stops it. */
  wrote: boolean;
}

/** Where scripts' commands run. */
export interface ScriptHost {
  readonly server: Server;
  /** The client that runs them; it has no connection. */
  readonly client: Client;
  /** Takes their replies. */
  readonly capture: Out;
  /** The script that runs; null: a function library is being loaded, or nothing runs. */
  run: ScriptRun | null;
  /** It runs in the debugger. */
  session: DebugSession | null;
}

/** redis.set_repl's numbers, which are not ours. */
const REPL_AOF = 1;
const REPL_REPLICA = 2;

const NO_ARGUMENTS = "Please specify at least one argument for this redis lib call";
const BAD_ARGUMENTS = "Lua redis lib command arguments must be strings or integers";

/** Up to so many bytes a loop copies faster than a call. */
const SHORT = 48;
/** Longest text of a double (doubleText writes out up to 22 digits before it takes an exponent). */
const NUMBER_MAX = 40;

/** Characters of an int32. */
function intDigits(v: number): number {
  let n = v < 0 ? 2 : 1;
  for (let rest = Math.abs(v); rest >= 10; rest = Math.floor(rest / 10)) n++;
  return n;
}

/** A request under construction: one at a time, the bytes are only lent to the command. */
const request = { buf: Buffer.allocUnsafe(4096), n: 0, at: new Int32Array(64) };

function room(k: number): void {
  if (request.n + k <= request.buf.length) return;
  const larger = Buffer.allocUnsafe(Math.max(request.buf.length * 2, request.n + k));
  request.buf.copy(larger, 0, 0, request.n);
  request.buf = larger;
}
/** Room for a header: its mark, digits and line end. */
const HEADER_BYTES = INT_TEXT_MAX + 3;
/** `*n` or `$n`; the caller has made room. */
function header(type: number, n: number): void {
  const { buf } = request;
  buf[request.n] = type;
  const at = writeInt(buf, request.n + 1, n);
  buf[at] = 13;
  buf[at + 1] = 10;
  request.n = at + 2;
}

/** Turns the arguments on the stack into a request; returns their number, or -1 when one is neither string nor number. */
function readRequest(vm: LuaVm, L: number, argc: number): number {
  const { api } = vm;
  request.n = 0;
  if (request.at.length < argc * 2) request.at = new Int32Array(argc * 4);
  room(HEADER_BYTES);
  header(42, argc);
  const { at } = request;
  for (let i = 1; i <= argc; i++) {
    const type = api.lua_type(L, i);
    let start: number;
    if (type === T_STRING) {
      const from = vm.stringAt(L, i);
      const n = vm.length;
      room(n + HEADER_BYTES + 2);
      header(36, n);
      start = request.n;
      const { buf } = request;
      const mem = vm.mem();
      if (n <= SHORT) for (let k = 0; k < n; k++) buf[start + k] = mem[from + k];
      else mem.copy(buf, start, from, from + n);
      request.n = start + n;
    } else if (type === T_NUMBER) {
      const d = api.lua_tonumber(L, i);
      room(HEADER_BYTES + NUMBER_MAX + 2);
      if ((d | 0) === d && !Object.is(d, -0)) {
        header(36, intDigits(d));
        start = request.n;
        request.n = writeInt(request.buf, start, d);
      } else {
        const text = doubleText(d);
        header(36, text.length);
        start = request.n;
        request.n += request.buf.write(text, start, "latin1");
      }
    } else return -1;
    at[i * 2 - 2] = start;
    at[i * 2 - 1] = request.n;
    request.buf[request.n] = 13;
    request.buf[request.n + 1] = 10;
    request.n += 2;
  }
  return argc;
}

/** Why the running script may not call this now, or null. */
function refusal(host: ScriptHost, run: ScriptRun, call: Call): string | null {
  const { server } = host;
  const { command } = call;
  const f = command.flags;
  const closed = command.gates & server.dispatcher.gates;
  const obeyed = (run.caller.flags & (FLAG_MASTER | FLAG_TRUSTED)) !== 0;
  if (f & FLAG.noscript && !debugSwitches.anyInScripts) return "This Redis command is not allowed from script";
  if (closed & GATE_STALE && !obeyed) return "Can not execute the command on a stale replica";
  if (host.client.gates & CLIENT_ACL) {
    const verdict = server.service.users.check(call, "lua");
    if (verdict !== ALLOWED) return `ACL failure in script: ${refusalText(verdict, host.client.user!, command)}`;
  }
  if (run.readOnly && f & (FLAG.write | FLAG.may_replicate)) return "Write commands are not allowed from read-only scripts.";
  if (f & FLAG.write && !run.wrote && !obeyed) {
    const against = closed & (GATE_READONLY | GATE_MISCONF | GATE_NOREPLICAS);
    // A replica's own word comes before what the disk says.
    const line = against === 0 ? null : server.refuse(call, against & GATE_READONLY ? GATE_READONLY : against);
    if (line !== null) return line.toString("latin1", 0, line.length - 2);
  }
  if (run.overMemory && !run.allowOom && !run.wrote && !obeyed && f & FLAG.denyoom)
    return "-OOM command not allowed when used memory > 'maxmemory'.";
  return null;
}

/** The command of the request, or null when there is none. */
function find(host: ScriptHost, argc: number): Command | null {
  const { buf, at } = request;
  const command = host.server.dispatcher.table.find(buf, at[0], at[1]);
  if (command === null || command.subs === null || argc < 2) return command;
  return command.subs.get(buf.toString("latin1", at[2], at[3]).toLowerCase()) ?? null;
}

/** redis.call (`raise`) and redis.pcall. */
function callCommand(vm: LuaVm, host: ScriptHost, L: number, raise: boolean): number {
  const { api } = vm;
  const { run, capture } = host;
  const argc = api.lua_gettop(L);
  const bad = argc === 0 ? NO_ARGUMENTS : readRequest(vm, L, argc) < 0 ? BAD_ARGUMENTS : null;
  if (bad !== null || run === null) {
    host.session?.failed(bad ?? "");
    pushError(vm, L, bad ?? "redis.call/pcall can only be called inside a script invocation", false);
    return raise ? vm.raise(L) : 1;
  }
  api.lua_settop(L, 0);
  const d = host.server.dispatcher;
  const call = d.callAt(d.depth);
  call.client = host.client;
  call.out = capture;
  call.buf = request.buf;
  call.at = request.at;
  call.argc = argc;
  call.start = 0;
  call.end = request.n;
  host.session?.called(Array.from({ length: argc }, (_, i) => call.text(i)));
  const command = find(host, argc);
  call.command = command!;
  let why: string | null;
  if (command === null) why = "Unknown Redis command called from script";
  else if (command.arity > 0 ? argc !== command.arity : argc < -command.arity)
    why = "Wrong number of args calling Redis command from script";
  else why = refusal(host, run, call);
  if (why !== null) {
    if (command !== null) command.rejected++;
    d.observers.failed?.(command === null ? null : call, errorLine(why.startsWith("-") ? why.slice(1) : `ERR ${why}`));
    host.session?.failed(why);
    pushError(vm, L, why, true);
    return raise ? vm.raise(L) : 1;
  }
  if (command!.flags & FLAG.write) run.wrote = true;
  host.client.last = command;
  d.run(call);
  return pushCaptured(vm, host, L) && raise ? vm.raise(L) : 1;
}

/** Pushes the captured reply and empties the capture; true when it is an error. */
function pushCaptured(vm: LuaVm, host: ScriptHost, L: number): boolean {
  const { capture, session } = host;
  let failed: boolean;
  if (session !== null) {
    const all = capture.take();
    failed = all[0] === 45;
    if (failed) session.failed(all.toString("latin1", 0, all.indexOf(13)));
    session.replied(all);
    pushReply(vm, L, all, 0);
  } else if (capture.chunks.length === 0) {
    failed = capture.cur[0] === 45;
    pushReply(vm, L, capture.cur, 0);
    capture.clear();
  } else {
    const all = capture.take();
    failed = all[0] === 45;
    pushReply(vm, L, all, 0);
  }
  return failed;
}

/** Raises an error table with ERR. */
function fail(vm: LuaVm, L: number, text: string): never {
  pushError(vm, L, text, false);
  return vm.raise(L);
}

/** Functions of the table that need a script to be running. */
function runFunctions(vm: LuaVm, host: ScriptHost): Record<string, LuaFunction> {
  const { api } = vm;
  return {
    call: (L) => callCommand(vm, host, L, true),
    pcall: (L) => callCommand(vm, host, L, false),
    setresp: (L) => {
      if (api.lua_gettop(L) !== 1) fail(vm, L, "redis.setresp() requires one argument.");
      const resp = Math.trunc(api.lua_tonumber(L, 1));
      if (resp !== 2 && resp !== 3) fail(vm, L, "RESP version must be 2 or 3.");
      host.capture.resp = resp as 2 | 3;
      return 0;
    },
    set_repl: (L) => {
      if (api.lua_gettop(L) !== 1) fail(vm, L, "redis.set_repl() requires one argument.");
      const flags = Math.trunc(api.lua_tonumber(L, 1)) | 0;
      if (flags & ~(REPL_AOF | REPL_REPLICA)) fail(vm, L, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
      host.server.propagation.only = (flags & REPL_AOF ? TO_AOF : 0) | (flags & REPL_REPLICA ? TO_REPLICAS : 0);
      return 0;
    },
    acl_check_cmd: (L) => {
      const argc = api.lua_gettop(L);
      const bad = argc === 0 ? NO_ARGUMENTS : readRequest(vm, L, argc) < 0 ? BAD_ARGUMENTS : null;
      if (bad !== null) fail(vm, L, bad);
      const command = find(host, argc);
      if (command === null) fail(vm, L, "Invalid command passed to redis.acl_check_cmd()");
      const d = host.server.dispatcher;
      const call = d.callAt(d.depth);
      Object.assign(call, { client: host.client, out: host.capture, buf: request.buf, at: request.at, argc, start: 0, end: request.n });
      call.command = command;
      const allowed = host.server.service.users.verdict(host.client.user, call) === ALLOWED;
      api.lua_pushboolean(L, allowed ? 1 : 0);
      return 1;
    },
  };
}

/** The others. */
function plainFunctions(vm: LuaVm, host: ScriptHost): Record<string, LuaFunction> {
  const { api } = vm;
  const oneString = (L: number): boolean => api.lua_gettop(L) === 1 && api.lua_type(L, 1) === T_STRING;
  return {
    sha1hex: (L) => {
      if (api.lua_gettop(L) !== 1) fail(vm, L, "wrong number of arguments");
      vm.pushText(L, sha1Hex(Buffer.from(vm.text(L, 1) ?? "", "latin1")));
      return 1;
    },
    error_reply: (L) => {
      if (!oneString(L)) pushError(vm, L, "wrong number or type of arguments", false);
      else {
        const text = vm.cText(L, 1)!;
        pushError(vm, L, text.startsWith("-") ? text : `-${text}`, false);
      }
      return 1;
    },
    status_reply: (L) => {
      if (!oneString(L)) pushError(vm, L, "wrong number or type of arguments", false);
      else {
        api.lua_createtable(L, 0, 1);
        api.lua_pushvalue(L, 1);
        vm.setField(L, -2, "ok");
      }
      return 1;
    },
    log: (L) => {
      const argc = api.lua_gettop(L);
      if (argc < 2) fail(vm, L, "redis.log() requires two arguments or more.");
      if (api.lua_isnumber(L, 1) === 0) fail(vm, L, "First argument must be a number (log level).");
      const level = LEVELS[Math.trunc(api.lua_tonumber(L, 1))];
      if (level === undefined || level === "nothing") fail(vm, L, "Invalid debug level.");
      const words: string[] = [];
      for (let i = 2; i <= argc; i++) words.push(vm.text(L, i) ?? "");
      host.server.log.at(level, words.join(" "));
      return 0;
    },
    breakpoint: (L) => {
      host.session?.stopNext("redis.breakpoint() called");
      api.lua_pushboolean(L, host.session === null ? 0 : 1);
      return 1;
    },
    debug: (L) => {
      host.session?.debug(L);
      return 0;
    },
    replicate_commands: (L) => {
      api.lua_pushboolean(L, 1);
      return 1;
    },
  };
}

/** The fields that libraries see even while they are loaded: levels of redis.log, the version. The table is on top. */
function setConstants(vm: LuaVm, numbers: Record<string, number>): void {
  const [major, minor, patch] = REDIS_VERSION.split(".").map(Number);
  const all = { LOG_DEBUG: 0, LOG_VERBOSE: 1, LOG_NOTICE: 2, LOG_WARNING: 3, ...numbers };
  for (const [name, value] of Object.entries({ ...all, REDIS_VERSION_NUM: (major << 16) | (minor << 8) | patch })) {
    vm.api.lua_pushnumber(vm.L, value);
    vm.setField(vm.L, -2, name);
  }
  vm.pushText(vm.L, REDIS_VERSION);
  vm.setField(vm.L, -2, "REDIS_VERSION");
}

/** Makes the table and sets it as the global `redis`. The globals' table is on top. `isEval`: with what only scripts have. */
export function openRedis(vm: LuaVm, host: ScriptHost, isEval: boolean): void {
  const { api, L } = vm;
  api.lua_createtable(L, 0, 32);
  const { breakpoint, debug, replicate_commands, ...plain } = plainFunctions(vm, host);
  vm.setFunctions(L, { ...runFunctions(vm, host), ...plain, ...(isEval ? { breakpoint, debug, replicate_commands } : {}) });
  setConstants(vm, { REPL_NONE: 0, REPL_AOF, REPL_SLAVE: REPL_REPLICA, REPL_REPLICA, REPL_ALL: TO_ALL });
  vm.setField(L, -2, "redis");
}

/** Pushes the globals of a library that is being loaded: {redis = {register_function, log, ...}}. */
export function pushLibraryGlobals(vm: LuaVm, host: ScriptHost, register: LuaFunction): void {
  const { api, L } = vm;
  api.lua_createtable(L, 0, 1);
  api.lua_createtable(L, 0, 8);
  vm.setFunctions(L, { register_function: register, log: plainFunctions(vm, host).log });
  setConstants(vm, {});
  vm.setField(L, -2, "redis");
}

/**
 * Replies between RESP and Lua, both ways. WARM: once a redis.call, once a script.
 *
 *   redis.call's captured reply --pushReply--> a Lua value          the script's result --writeReply--> the client's Out
 *
 * Follows Redis 7.2 script_lua.c (redisProtocolToLuaType, luaReplyToRedisReply): statuses and errors are tables with `ok` or `err`, null is
 * false in RESP2 and nil in RESP3, RESP3's other types are tables with one field that names the type.
 */
import { doubleText } from "../../bytes/number.ts";
import type { Out } from "../../resp/out.ts";
import { type LuaVm, T_BOOLEAN, T_NIL, T_NUMBER, T_STRING, T_TABLE } from "./lua_vm.ts";

/** Where readNumber came to the end of its line. */
let numberEnd = 0;
/** The number that stands at b[from...), up to the end of its line. */
function readNumber(b: Buffer, from: number): number {
  let i = from;
  const negative = b[i] === 45;
  if (negative) i++;
  const first = i;
  let v = 0;
  for (let c = b[i] - 48; c >= 0; c = b[++i] - 48) v = v * 10 + c;
  numberEnd = i;
  // Longer ones are not exact by adding up.
  if (i - first > 15) return Number(b.toString("latin1", from, i));
  return negative ? -v : v;
}

/** Pushes the reply at b[from...); returns where it ends. The bytes are a server's own reply, complete and well-formed. */
export function pushReply(vm: LuaVm, L: number, b: Buffer, from: number): number {
  const { api } = vm;
  const type = b[from];
  // Numbers are short: their digits and their end are found in one go.
  if (type === 58 || type === 36 || type === 42) {
    const n = readNumber(b, from + 1);
    const next = numberEnd + 2;
    if (type === 58) {
      api.lua_pushnumber(L, n);
      return next;
    }
    if (type === 36) {
      if (n < 0) {
        api.lua_pushboolean(L, 0);
        return next;
      }
      vm.pushBytes(L, b, next, next + n);
      return next + n + 2;
    }
    return pushArray(vm, L, b, n, next);
  }
  const eol = b.indexOf(13, from);
  const next = eol + 2;
  switch (type) {
    case 43: // +
      api.lua_checkstack(L, 6);
      api.lua_createtable(L, 0, 1);
      vm.pushBytes(L, b, from + 1, eol);
      vm.setField(L, -2, "ok");
      return next;
    case 45: // -
      pushError(vm, L, b.toString("latin1", from, eol), true);
      return next;
    default:
      api.lua_checkstack(L, 6);
      return pushReply3(vm, L, b, type, from, eol);
  }
}

function pushArray(vm: LuaVm, L: number, b: Buffer, count: number, from: number): number {
  if (count < 0) {
    vm.api.lua_pushboolean(L, 0);
    return from;
  }
  vm.api.lua_checkstack(L, 6);
  vm.api.lua_createtable(L, count, 0);
  let at = from;
  for (let i = 1; i <= count; i++) {
    at = pushReply(vm, L, b, at);
    vm.api.lua_rawseti(L, -2, i);
  }
  return at;
}

/** The types that only RESP3 has. */
function pushReply3(vm: LuaVm, L: number, b: Buffer, type: number, from: number, eol: number): number {
  const { api } = vm;
  const next = eol + 2;
  const head = b.toString("latin1", from + 1, eol);
  switch (type) {
    case 95: // _
      api.lua_pushnil(L);
      return next;
    case 35: // #
      api.lua_pushboolean(L, head === "t" ? 1 : 0);
      return next;
    case 44: // ,
      api.lua_createtable(L, 0, 1);
      api.lua_pushnumber(L, head === "inf" ? Infinity : head === "-inf" ? -Infinity : Number(head));
      vm.setField(L, -2, "double");
      return next;
    case 40: // (
      api.lua_createtable(L, 0, 1);
      vm.pushText(L, head);
      vm.setField(L, -2, "big_number");
      return next;
    case 61: {
      // =
      const n = Number(head);
      api.lua_createtable(L, 0, 1);
      api.lua_createtable(L, 0, 2);
      vm.pushBytes(L, b, next + 4, next + n);
      vm.setField(L, -2, "string");
      vm.pushBytes(L, b, next, next + 3);
      vm.setField(L, -2, "format");
      vm.setField(L, -2, "verbatim_string");
      return next + n + 2;
    }
    case 37: // %
    case 126: // ~
      return pushTable(vm, L, b, type, Number(head), next);
    case 124: {
      // | an attribute: scripts are not shown it.
      let at = next;
      for (let i = Number(head) * 2; i > 0; i--) {
        at = pushReply(vm, L, b, at);
        vm.pop(L, 1);
      }
      return pushReply(vm, L, b, at);
    }
    default:
      throw new Error(`reply of unknown type ${String.fromCharCode(type)}`);
  }
}

/** A map as {map = {k = v}}, a set as {set = {member = true}}. */
function pushTable(vm: LuaVm, L: number, b: Buffer, type: number, count: number, from: number): number {
  const { api } = vm;
  api.lua_createtable(L, 0, 1);
  api.lua_createtable(L, 0, count);
  let at = from;
  for (let i = 0; i < count; i++) {
    at = pushReply(vm, L, b, at);
    if (type === 37) at = pushReply(vm, L, b, at);
    else api.lua_pushboolean(L, 1);
    api.lua_rawset(L, -3);
  }
  vm.setField(L, -2, type === 37 ? "map" : "set");
  return at;
}

/**
 * Pushes an error as redis.pcall returns it: {err = "CODE text"}. `text` with a leading "-" has its own code, else it gets ERR.
 * `counted`: errorstats has it already.
 */
export function pushError(vm: LuaVm, L: number, text: string, counted: boolean): void {
  let full = `ERR ${text}`;
  if (text.startsWith("-")) full = text.includes(" ") ? text.slice(1) : `ERR ${text.slice(1)}`;
  const space = full.indexOf(" ");
  full = `${full.slice(0, space)} ${full.slice(space + 1).replace(/^[\r\n]+|[\r\n]+$/g, "")}`;
  vm.api.lua_createtable(L, 0, 2);
  vm.pushText(L, full);
  vm.setField(L, -2, "err");
  if (!counted) return;
  vm.api.lua_pushboolean(L, 1);
  vm.setField(L, -2, "ignore_error_stats_update");
}

/** C's conversion of a double to int64, out of range as x86 has it. */
function writeInteger(out: Out, d: number): void {
  const v = Math.trunc(d);
  if (Number.isSafeInteger(v)) out.int(v + 0);
  else if (v >= -(2 ** 63) && v < 2 ** 63) out.bigint(BigInt(v));
  else out.bigint(-(1n << 63n));
}

/** Tables within tables that a reply may hold. Redis lets as many be as Lua's stack takes, 8000; ours are also JS's stack. */
const MAX_DEPTH = 1000;

/**
 * Writes the value on top as a reply and pops it. `resp` is what the script speaks (redis.setresp): it decides on booleans.
 */
export function writeReply(vm: LuaVm, L: number, out: Out, resp: number, depth = 0): void {
  const { api } = vm;
  if (depth > MAX_DEPTH || api.lua_checkstack(L, 6) === 0) {
    out.errorText("ERR reached lua stack limit");
    vm.pop(L, 1);
    return;
  }
  switch (api.lua_type(L, -1)) {
    case T_STRING: {
      const at = vm.stringAt(L, -1);
      const n = vm.length;
      out.bulk(vm.mem(), at, at + n);
      break;
    }
    case T_NUMBER:
      writeInteger(out, api.lua_tonumber(L, -1));
      break;
    case T_BOOLEAN: {
      const yes = api.lua_toboolean(L, -1) !== 0;
      if (resp === 3) out.bool(yes);
      else if (yes) out.int(1);
      else out.nil();
      break;
    }
    case T_TABLE:
      writeTable(vm, L, out, resp, depth + 1);
      break;
    default:
      out.nil();
  }
  vm.pop(L, 1);
}

const oneLine = (text: string): string => text.replace(/[\r\n]/g, " ");

/** The table on top stays there. */
function writeTable(vm: LuaVm, L: number, out: Out, resp: number, depth: number): void {
  const { api } = vm;
  if (vm.rawField(L, -1, "err") === T_STRING) {
    writeError(vm, L, out);
    return vm.pop(L, 1);
  }
  vm.pop(L, 1);
  if (vm.rawField(L, -1, "ok") === T_STRING) {
    out.status(oneLine(vm.cText(L, -1)!));
    return vm.pop(L, 1);
  }
  vm.pop(L, 1);
  if (vm.rawField(L, -1, "double") === T_NUMBER) {
    out.doubleText(doubleText(api.lua_tonumber(L, -1)));
    return vm.pop(L, 1);
  }
  vm.pop(L, 1);
  if (vm.rawField(L, -1, "big_number") === T_STRING) {
    const text = oneLine(vm.text(L, -1)!);
    if (out.resp === 3) out.lit(Buffer.from(`(${text}\r\n`, "latin1"));
    else out.bulkText(text);
    return vm.pop(L, 1);
  }
  vm.pop(L, 1);
  if (vm.rawField(L, -1, "verbatim_string") === T_TABLE && writeVerbatim(vm, L, out)) return vm.pop(L, 1);
  vm.pop(L, 1);
  if (vm.rawField(L, -1, "map") === T_TABLE) {
    out.map(countPairs(vm, L));
    api.lua_pushnil(L);
    while (api.lua_next(L, -2) !== 0) {
      api.lua_pushvalue(L, -2);
      writeReply(vm, L, out, resp, depth);
      writeReply(vm, L, out, resp, depth);
    }
    return vm.pop(L, 1);
  }
  vm.pop(L, 1);
  if (vm.rawField(L, -1, "set") === T_TABLE) {
    out.set(countPairs(vm, L));
    api.lua_pushnil(L);
    while (api.lua_next(L, -2) !== 0) {
      vm.pop(L, 1);
      api.lua_pushvalue(L, -1);
      writeReply(vm, L, out, resp, depth);
    }
    return vm.pop(L, 1);
  }
  vm.pop(L, 1);
  writeArray(vm, L, out, resp, depth);
}

/** A sequence up to its first nil. */
function writeArray(vm: LuaVm, L: number, out: Out, resp: number, depth: number): void {
  const { api } = vm;
  let count = 0;
  for (;;) {
    api.lua_rawgeti(L, -1, count + 1);
    const type = api.lua_type(L, -1);
    vm.pop(L, 1);
    if (type === T_NIL) break;
    count++;
  }
  out.array(count);
  for (let i = 1; i <= count; i++) {
    api.lua_rawgeti(L, -1, i);
    writeReply(vm, L, out, resp, depth);
  }
}

/** The error whose text is on top; the table below tells whether it has been counted. */
function writeError(vm: LuaVm, L: number, out: Out): void {
  const text = vm.cText(L, -1)!;
  const counted = vm.rawField(L, -2, "ignore_error_stats_update") === T_BOOLEAN && vm.api.lua_toboolean(L, -1) !== 0;
  vm.pop(L, 1);
  out.errorText(text.replace(/[\r\n]+$/, ""));
  if (counted) out.unreported--;
}

/** The table {format, string} on top; false when it is none. */
function writeVerbatim(vm: LuaVm, L: number, out: Out): boolean {
  const isFormat = vm.rawField(L, -1, "format") === T_STRING;
  const format = isFormat ? vm.cText(L, -1)! : "";
  const isText = vm.rawField(L, -2, "string") === T_STRING;
  const text = isText ? vm.text(L, -1)! : "";
  vm.pop(L, 2);
  if (!isFormat || !isText) return false;
  if (out.resp !== 3) out.bulkText(text);
  else {
    const b = Buffer.from(`${format.padEnd(3).slice(0, 3)}:${text}`, "latin1");
    out.lit(Buffer.from(`=${b.length}\r\n`));
    out.raw(b, 0, b.length);
    out.crlf();
  }
  return true;
}

function countPairs(vm: LuaVm, L: number): number {
  let count = 0;
  vm.api.lua_pushnil(L);
  while (vm.api.lua_next(L, -2) !== 0) {
    vm.pop(L, 1);
    count++;
  }
  return count;
}

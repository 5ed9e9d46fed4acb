/**
 * The `cjson` library of scripts: JSON as lua-cjson 2.1.0 writes and reads it, with its settings and error texts. WARM.
 * Its settings live as long as the interpreter, as in Redis. Encoding is here, decoding in cjson_decode.ts.
 */
import { generalText } from "./number_text.ts";
import { ByteWriter } from "./byte_writer.ts";
import { decodeJson } from "./cjson_decode.ts";
import { type LuaFunction, type LuaVm, T_BOOLEAN, T_LIGHT_USERDATA, T_NIL, T_NUMBER, T_STRING, T_TABLE } from "./lua_vm.ts";

const INT_MAX = 0x7fffffff;
const MAX_NEW = 1000;

/** What cjson.* options set. */
export interface JsonSettings {
  sparseConvert: boolean;
  sparseRatio: number;
  sparseSafe: number;
  encodeMaxDepth: number;
  decodeMaxDepth: number;
  /** "off": an error, "on": as C prints them, "null". */
  encodeInvalid: "off" | "on" | "null";
  decodeInvalid: boolean;
  precision: number;
  keepBuffer: boolean;
}

const out = new ByteWriter();

/** Escapes by byte: what JSON must have, "/" and DEL. */
const ESCAPES: (string | null)[] = Array.from({ length: 256 }, (_, c) =>
  c < 32 || c === 127 ? `\\u00${c.toString(16).padStart(2, "0")}` : null,
);
for (const [c, text] of Object.entries({ 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 47: "\\/", 92: "\\\\" }))
  ESCAPES[Number(c)] = text;

function refuse(vm: LuaVm, L: number, index: number, reason: string): never {
  return vm.error(L, `Cannot serialise ${vm.typeName(L, index)}: ${reason}`);
}

function encodeString(vm: LuaVm, L: number, index: number): void {
  const from = vm.stringAt(L, index);
  const n = vm.length;
  const mem = vm.mem();
  out.room(n + 2);
  out.byte(34);
  let plain = from;
  for (let i = from; i < from + n; i++) {
    const escape = ESCAPES[mem[i]];
    if (escape === null) continue;
    out.bytes(mem, plain, i);
    out.text(escape);
    plain = i + 1;
  }
  out.bytes(mem, plain, from + n);
  out.byte(34);
}

function encodeNumber(vm: LuaVm, L: number, index: number, s: JsonSettings): void {
  const d = vm.api.lua_tonumber(L, index);
  if (!Number.isFinite(d)) {
    if (s.encodeInvalid === "off") refuse(vm, L, index, "must not be NaN or Inf");
    if (s.encodeInvalid === "null") return out.text("null");
  }
  out.text(generalText(d, s.precision));
}

/** Elements of the array on top; -1 when it is to be an object. */
function arrayLength(vm: LuaVm, L: number, s: JsonSettings): number {
  const { api } = vm;
  let max = 0;
  let items = 0;
  api.lua_pushnil(L);
  while (api.lua_next(L, -2) !== 0) {
    vm.pop(L, 1);
    const k = api.lua_type(L, -1) === T_NUMBER ? api.lua_tonumber(L, -1) : 0;
    if (k < 1 || Math.floor(k) !== k) {
      vm.pop(L, 1);
      return -1;
    }
    if (k > max) max = k;
    items++;
  }
  if (s.sparseRatio > 0 && max > items * s.sparseRatio && max > s.sparseSafe) {
    if (!s.sparseConvert) refuse(vm, L, -1, "excessively sparse array");
    return -1;
  }
  return max;
}

function encodeObject(vm: LuaVm, L: number, depth: number, s: JsonSettings): void {
  const { api } = vm;
  out.byte(123);
  let first = true;
  api.lua_pushnil(L);
  while (api.lua_next(L, -2) !== 0) {
    if (!first) out.byte(44);
    first = false;
    const type = api.lua_type(L, -2);
    if (type === T_NUMBER) {
      out.byte(34);
      encodeNumber(vm, L, -2, s);
      out.text('":');
    } else if (type === T_STRING) {
      encodeString(vm, L, -2);
      out.byte(58);
    } else refuse(vm, L, -2, "table key must be a number or string");
    encodeValue(vm, L, depth, s);
    vm.pop(L, 1);
  }
  out.byte(125);
}

/** The value on top, which stays. */
function encodeValue(vm: LuaVm, L: number, depth: number, s: JsonSettings): void {
  const { api } = vm;
  switch (api.lua_type(L, -1)) {
    case T_STRING:
      return encodeString(vm, L, -1);
    case T_NUMBER:
      return encodeNumber(vm, L, -1, s);
    case T_BOOLEAN:
      return out.text(api.lua_toboolean(L, -1) !== 0 ? "true" : "false");
    case T_NIL:
      return out.text("null");
    case T_LIGHT_USERDATA:
      if (api.lua_touserdata(L, -1) === 0) return out.text("null");
      break;
    case T_TABLE: {
      if (depth + 1 > s.encodeMaxDepth || api.lua_checkstack(L, 6) === 0) vm.error(L, `Cannot serialise, excessive nesting (${depth + 1})`);
      const n = arrayLength(vm, L, s);
      if (n <= 0) return encodeObject(vm, L, depth + 1, s);
      out.byte(91);
      for (let i = 1; i <= n; i++) {
        if (i > 1) out.byte(44);
        api.lua_rawgeti(L, -1, i);
        encodeValue(vm, L, depth + 1, s);
        vm.pop(L, 1);
      }
      return out.byte(93);
    }
  }
  refuse(vm, L, -1, "type not supported");
}

// ---------------------------------------------------------------------------------------------------------------- settings

function checkArguments(vm: LuaVm, L: number, most: number): void {
  if (vm.api.lua_gettop(L) > most) vm.argError(L, most + 1, "found too many arguments");
  vm.api.lua_settop(L, most);
}

/** An integer option: sets it when the argument is given, pushes it. */
function integerOption(vm: LuaVm, L: number, index: number, now: number, min: number, max: number): number {
  let value = now;
  if (vm.api.lua_type(L, index) !== T_NIL) {
    value = vm.api.luaL_checkinteger(L, index);
    if (value < min || value > max) vm.argError(L, 1, `expected integer between ${min} and ${max}`);
  }
  vm.api.lua_pushnumber(L, value);
  return value;
}

/** A choice among words, with true and false for "on" and "off". */
function choiceOption<T extends string>(vm: LuaVm, L: number, index: number, now: T, words: readonly T[]): T {
  const { api } = vm;
  let value = now;
  const type = api.lua_type(L, index);
  if (type === T_BOOLEAN) value = words[api.lua_toboolean(L, index)];
  else if (type !== T_NIL) {
    vm.checkBytes(L, index);
    const word = vm.cText(L, index)!;
    if (!words.includes(word as T)) vm.argError(L, index, `invalid option '${word}'`);
    value = word as T;
  }
  if (value === "off" || value === "on") api.lua_pushboolean(L, value === "on" ? 1 : 0);
  else vm.pushText(L, value);
  return value;
}

function settingsFunctions(vm: LuaVm, s: JsonSettings): Record<string, LuaFunction> {
  const flag = (L: number, index: number, now: boolean): boolean =>
    choiceOption(vm, L, index, now ? "on" : "off", ["off", "on"] as const) === "on";
  const one = (set: (L: number) => void) => (L: number) => {
    checkArguments(vm, L, 1);
    set(L);
    return 1;
  };
  return {
    encode_sparse_array: (L) => {
      checkArguments(vm, L, 3);
      s.sparseConvert = flag(L, 1, s.sparseConvert);
      s.sparseRatio = integerOption(vm, L, 2, s.sparseRatio, 0, INT_MAX);
      s.sparseSafe = integerOption(vm, L, 3, s.sparseSafe, 0, INT_MAX);
      return 3;
    },
    encode_max_depth: one((L) => void (s.encodeMaxDepth = integerOption(vm, L, 1, s.encodeMaxDepth, 1, INT_MAX))),
    decode_max_depth: one((L) => void (s.decodeMaxDepth = integerOption(vm, L, 1, s.decodeMaxDepth, 1, INT_MAX))),
    encode_number_precision: one((L) => void (s.precision = integerOption(vm, L, 1, s.precision, 1, 14))),
    encode_keep_buffer: one((L) => void (s.keepBuffer = flag(L, 1, s.keepBuffer))),
    encode_invalid_numbers: one((L) => void (s.encodeInvalid = choiceOption(vm, L, 1, s.encodeInvalid, ["off", "on", "null"] as const))),
    decode_invalid_numbers: one((L) => void (s.decodeInvalid = flag(L, 1, s.decodeInvalid))),
  };
}

/** Pushes a table of the library with settings of its own. */
function pushLibrary(vm: LuaVm, L: number): void {
  const { api } = vm;
  const s: JsonSettings = {
    sparseConvert: false,
    sparseRatio: 2,
    sparseSafe: 10,
    encodeMaxDepth: 1000,
    decodeMaxDepth: 1000,
    encodeInvalid: "off",
    decodeInvalid: true,
    precision: 14,
    keepBuffer: true,
  };
  const single = (S: number): void => {
    if (api.lua_gettop(S) !== 1) vm.argError(S, 1, "expected 1 argument");
  };
  api.lua_createtable(L, 0, 16);
  vm.setFunctions(L, {
    encode: (S) => {
      single(S);
      out.reset();
      encodeValue(vm, S, 0, s);
      out.push(vm, S);
      return 1;
    },
    decode: (S) => {
      single(S);
      decodeJson(vm, S, s);
      return 1;
    },
    ...settingsFunctions(vm, s),
  });
  api.lua_pushlightuserdata(L, 0);
  vm.setField(L, -2, "null");
  vm.pushText(L, "cjson");
  vm.setField(L, -2, "_NAME");
  vm.pushText(L, "2.1.0");
  vm.setField(L, -2, "_VERSION");
}

/** Makes the library and sets it in the table on top. */
export function openCjson(vm: LuaVm): void {
  const { L } = vm;
  pushLibrary(vm, L);
  // cjson.new: each makes functions of its own, as many as a script cares to ask for; MAX_NEW bounds what they cost for good.
  let made = 0;
  vm.pushFunction(L, (S) => {
    if (++made > MAX_NEW) vm.error(S, "too many cjson.new");
    pushLibrary(vm, S);
    return 1;
  });
  vm.setField(L, -2, "new");
  vm.setField(L, -2, "cjson");
}

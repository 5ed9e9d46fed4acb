/**
 * The `cmsgpack` library of scripts: MessagePack with the choices of lua-cmsgpack 0.4.0 as Redis ships it (tables are arrays when their keys
 * are 1..n, floats where they lose nothing, nothing nested deeper than 16). WARM.
 */
import { ByteWriter } from "./byte_writer.ts";
import { type LuaVm, T_BOOLEAN, T_NIL, T_NUMBER, T_STRING, T_TABLE } from "./lua_vm.ts";

const MAX_NESTING = 16;
const out = new ByteWriter();

// ---------------------------------------------------------------------------------------------------------------- packing

/** A length or count behind its marks: `fix` for up to fixMax, then 8 (0: there is none), 16 and 32 bits. */
function packLength(n: number, fix: number, fixMax: number, mark8: number, mark16: number): void {
  const at = out.room(5);
  if (n <= fixMax) {
    out.buf[at] = fix | n;
    out.n += 1;
  } else if (mark8 !== 0 && n <= 0xff) {
    out.buf[at] = mark8;
    out.buf[at + 1] = n;
    out.n += 2;
  } else if (n <= 0xffff) {
    out.buf[at] = mark16;
    out.buf.writeUInt16BE(n, at + 1);
    out.n += 3;
  } else {
    out.buf[at] = mark16 + 1;
    out.buf.writeUInt32BE(n, at + 1);
    out.n += 5;
  }
}

function packInteger(n: number): void {
  const at = out.room(9);
  const b = out.buf;
  let size = 1;
  if (n >= 0) {
    if (n <= 127) b[at] = n;
    else if (n <= 0xff) {
      b[at] = 0xcc;
      size = b.writeUInt8(n, at + 1) - at;
    } else if (n <= 0xffff) {
      b[at] = 0xcd;
      size = b.writeUInt16BE(n, at + 1) - at;
    } else if (n <= 0xffffffff) {
      b[at] = 0xce;
      size = b.writeUInt32BE(n, at + 1) - at;
    } else {
      b[at] = 0xcf;
      size = b.writeBigUInt64BE(BigInt(n), at + 1) - at;
    }
  } else if (n >= -32) b[at] = n & 0xff;
  else if (n >= -128) {
    b[at] = 0xd0;
    size = b.writeInt8(n, at + 1) - at;
  } else if (n >= -32768) {
    b[at] = 0xd1;
    size = b.writeInt16BE(n, at + 1) - at;
  } else if (n >= -2147483648) {
    b[at] = 0xd2;
    size = b.writeInt32BE(n, at + 1) - at;
  } else {
    b[at] = 0xd3;
    size = b.writeBigInt64BE(BigInt(n), at + 1) - at;
  }
  out.n += size;
}

function packNumber(d: number): void {
  if (Number.isInteger(d) && d >= -(2 ** 63) && d < 2 ** 63) return packInteger(d + 0);
  const at = out.room(9);
  if (Math.fround(d) === d) {
    out.buf[at] = 0xca;
    out.buf.writeFloatBE(d, at + 1);
    out.n += 5;
  } else {
    out.buf[at] = 0xcb;
    out.buf.writeDoubleBE(d, at + 1);
    out.n += 9;
  }
}

/** The number of entries of the table on top; negative when its keys are not just 1..n. */
function shape(vm: LuaVm, L: number): number {
  const { api } = vm;
  let count = 0;
  let max = 0;
  let isArray = true;
  api.lua_pushnil(L);
  while (api.lua_next(L, -2) !== 0) {
    vm.pop(L, 1);
    count++;
    if (!isArray) continue;
    const n = api.lua_type(L, -1) === T_NUMBER ? api.lua_tonumber(L, -1) : 0;
    if (n <= 0 || !Number.isInteger(n) || n > 0x7fffffff) isArray = false;
    else if (n > max) max = n;
  }
  return isArray && max === count ? count : -count - 1;
}

/** Packs the value on top and pops it. */
function packValue(vm: LuaVm, L: number, level: number): void {
  const { api } = vm;
  if (api.lua_checkstack(L, 4) === 0) vm.error(L, "stack overflow (in function mp_encode_lua_type)");
  let type = api.lua_type(L, -1);
  if (type === T_TABLE && level === MAX_NESTING) type = T_NIL;
  if (type === T_STRING) {
    vm.stringAt(L, -1);
    packLength(vm.length, 0xa0, 31, 0xd9, 0xda);
    out.luaString(vm, L, -1);
  } else if (type === T_BOOLEAN) out.byte(api.lua_toboolean(L, -1) !== 0 ? 0xc3 : 0xc2);
  else if (type === T_NUMBER) packNumber(api.lua_tonumber(L, -1));
  else if (type === T_TABLE) {
    const n = shape(vm, L);
    if (n >= 0) {
      packLength(n, 0x90, 15, 0, 0xdc);
      for (let i = 1; i <= n; i++) {
        api.lua_pushnumber(L, i);
        api.lua_gettable(L, -2);
        packValue(vm, L, level + 1);
      }
    } else {
      packLength(-n - 1, 0x80, 15, 0, 0xde);
      api.lua_pushnil(L);
      while (api.lua_next(L, -2) !== 0) {
        api.lua_pushvalue(L, -2);
        packValue(vm, L, level + 1);
        packValue(vm, L, level + 1);
      }
    }
  } else out.byte(0xc0);
  vm.pop(L, 1);
}

// ---------------------------------------------------------------------------------------------------------------- unpacking

/** Input: a copy, since decoding makes Lua move its memory. */
interface Cursor {
  b: Buffer;
  at: number;
}

/** Takes k bytes; returns where they begin. */
function take(vm: LuaVm, L: number, c: Cursor, k: number): number {
  const at = c.at;
  if (at + k > c.b.length) vm.error(L, "Missing bytes in input.");
  c.at = at + k;
  return at;
}

function unpackString(vm: LuaVm, L: number, c: Cursor, n: number): void {
  const at = take(vm, L, c, n);
  vm.pushBytes(L, c.b, at, at + n);
}
function unpackArray(vm: LuaVm, L: number, c: Cursor, n: number): void {
  vm.api.lua_createtable(L, 0, 0);
  for (let i = 1; i <= n; i++) {
    unpackValue(vm, L, c);
    vm.api.lua_rawseti(L, -2, i);
  }
}
function unpackMap(vm: LuaVm, L: number, c: Cursor, n: number): void {
  vm.api.lua_createtable(L, 0, 0);
  for (let i = 0; i < n; i++) {
    unpackValue(vm, L, c);
    unpackValue(vm, L, c);
    vm.api.lua_settable(L, -3);
  }
}

/** Pushes the next value. */
function unpackValue(vm: LuaVm, L: number, c: Cursor): void {
  const { api } = vm;
  if (api.lua_checkstack(L, 4) === 0)
    vm.error(L, "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)");
  const mark = c.b[take(vm, L, c, 1)];
  if (mark < 0x80) return void api.lua_pushnumber(L, mark);
  if (mark >= 0xe0) return void api.lua_pushnumber(L, mark - 256);
  if (mark >= 0xa0 && mark < 0xc0) return unpackString(vm, L, c, mark & 31);
  if (mark >= 0x90 && mark < 0xa0) return unpackArray(vm, L, c, mark & 15);
  if (mark < 0x90) return unpackMap(vm, L, c, mark & 15);
  const need = (k: number): number => take(vm, L, c, k);
  const number = (v: number): void => void api.lua_pushnumber(L, v);
  switch (mark) {
    case 0xc0:
      return void api.lua_pushnil(L);
    case 0xc2:
    case 0xc3:
      return void api.lua_pushboolean(L, mark & 1);
    case 0xca:
      return number(c.b.readFloatBE(need(4)));
    case 0xcb:
      return number(c.b.readDoubleBE(need(8)));
    case 0xcc:
      return number(c.b[need(1)]);
    case 0xcd:
      return number(c.b.readUInt16BE(need(2)));
    case 0xce:
      return number(c.b.readUInt32BE(need(4)));
    case 0xcf:
      return number(Number(c.b.readBigUInt64BE(need(8))));
    case 0xd0:
      return number(c.b.readInt8(need(1)));
    case 0xd1:
      return number(c.b.readInt16BE(need(2)));
    case 0xd2:
      return number(c.b.readInt32BE(need(4)));
    case 0xd3:
      return number(Number(c.b.readBigInt64BE(need(8))));
    case 0xd9:
      return unpackString(vm, L, c, c.b[need(1)]);
    case 0xda:
      return unpackString(vm, L, c, c.b.readUInt16BE(need(2)));
    case 0xdb:
      return unpackString(vm, L, c, c.b.readUInt32BE(need(4)));
    case 0xdc:
      return unpackArray(vm, L, c, c.b.readUInt16BE(need(2)));
    case 0xdd:
      return unpackArray(vm, L, c, c.b.readUInt32BE(need(4)));
    case 0xde:
      return unpackMap(vm, L, c, c.b.readUInt16BE(need(2)));
    case 0xdf:
      return unpackMap(vm, L, c, c.b.readUInt32BE(need(4)));
    default:
      vm.error(L, "Bad data format in input.");
  }
}

/** limit 0 and offset 0: everything. Otherwise the offset after the last value comes first, -1 at the end. */
function unpack(vm: LuaVm, L: number, limit: number, offset: number): number {
  const b = Buffer.from(vm.checkBytes(L, 1));
  if (offset < 0 || limit < 0) vm.error(L, `Invalid request to unpack with offset of ${offset} and limit of ${b.length}.`);
  if (offset > b.length) vm.error(L, `Start offset ${offset} greater than input length ${b.length}.`);
  const all = limit === 0 && offset === 0;
  const c: Cursor = { b, at: offset };
  let count = 0;
  for (; c.at < b.length && (all || count < limit); count++) unpackValue(vm, L, c);
  if (all) return count;
  vm.api.lua_pushnumber(L, c.at === b.length ? -1 : c.at);
  vm.api.lua_insert(L, 2);
  return count + 1;
}

/** Makes the library and sets it in the table on top. */
export function openCmsgpack(vm: LuaVm): void {
  const { api, L } = vm;
  api.lua_createtable(L, 0, 8);
  vm.setFunctions(L, {
    pack: (S) => {
      const argc = api.lua_gettop(S);
      if (argc === 0) vm.argError(S, 0, "MessagePack pack needs input.");
      out.reset();
      for (let i = 1; i <= argc; i++) {
        api.lua_pushvalue(S, i);
        packValue(vm, S, 0);
      }
      out.push(vm, S);
      return 1;
    },
    unpack: (S) => unpack(vm, S, 0, 0),
    unpack_one: (S) => {
      const offset = api.luaL_optinteger(S, 2, 0);
      api.lua_settop(S, 1);
      return unpack(vm, S, 1, offset);
    },
    unpack_limit: (S) => {
      const limit = api.luaL_checkinteger(S, 2);
      const offset = api.luaL_optinteger(S, 3, 0);
      api.lua_settop(S, 1);
      return unpack(vm, S, limit, offset);
    },
  });
  for (const [name, text] of [
    ["_NAME", "cmsgpack"],
    ["_VERSION", "lua-cmsgpack 0.4.0"],
    ["_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"],
    ["_DESCRIPTION", "MessagePack C implementation for Lua"],
  ]) {
    vm.pushText(L, text);
    vm.setField(L, -2, name);
  }
  vm.setField(L, -2, "cmsgpack");
}

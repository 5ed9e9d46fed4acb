/** The `struct` library of scripts: Lua values to C structures and back, as Roberto Ierusalimschy's struct 0.2 in Redis. WARM. */
import { ByteWriter } from "./byte_writer.ts";
import type { LuaVm } from "./lua_vm.ts";

const MAX_INTEGER_BYTES = 32;
const MAX_ALIGN = 8;
const INT_MAX = 0x7fffffff;
const out = new ByteWriter();

/** A format under reading. */
interface Format {
  text: string;
  at: number;
  little: boolean;
  align: number;
}

const isDigit = (c: string | undefined): boolean => c !== undefined && c >= "0" && c <= "9";

function readFormat(vm: LuaVm, L: number): Format {
  vm.checkBytes(L, 1);
  return { text: vm.cText(L, 1)!, at: 0, little: true, align: 1 };
}

/** The number that follows an option, or `otherwise`. */
function number(vm: LuaVm, L: number, f: Format, otherwise: number): number {
  if (!isDigit(f.text[f.at])) return otherwise;
  let a = 0;
  while (isDigit(f.text[f.at])) {
    const digit = f.text.charCodeAt(f.at) - 48;
    if (a > Math.floor(INT_MAX / 10) || a * 10 > INT_MAX - digit) vm.error(L, "integral size overflow");
    a = a * 10 + digit;
    f.at++;
  }
  return a;
}

/** Bytes of an option, with the sizes of 64-bit C. */
function sizeOf(vm: LuaVm, L: number, f: Format, option: string): number {
  switch (option) {
    case "B":
    case "b":
    case "x":
      return 1;
    case "H":
    case "h":
      return 2;
    case "f":
      return 4;
    case "L":
    case "l":
    case "T":
    case "d":
      return 8;
    case "c":
      return number(vm, L, f, 1);
    case "i":
    case "I": {
      const size = number(vm, L, f, 4);
      if (size > MAX_INTEGER_BYTES) vm.error(L, `integral size ${size} is larger than limit of ${MAX_INTEGER_BYTES}`);
      return size;
    }
    default:
      return 0;
  }
}

/** Bytes to skip before an element of this size at `position`. */
function padding(f: Format, option: string, size: number, position: number): number {
  if (size === 0 || option === "c") return 0;
  const to = Math.min(size, f.align);
  return (to - (position & (to - 1))) & (to - 1);
}

/** Options that only change how the next ones are read. */
function control(vm: LuaVm, L: number, f: Format, option: string): void {
  if (option === " ") return;
  if (option === ">") f.little = false;
  else if (option === "<") f.little = true;
  else if (option === "!") {
    const a = number(vm, L, f, MAX_ALIGN);
    if (a <= 0 || (a & (a - 1)) !== 0) vm.error(L, `alignment ${a} is not a power of 2`);
    f.align = a;
  } else vm.argError(L, 1, `invalid format option '${option}'`);
}

const INTEGERS = "bBhHlLTiI";

/** C's conversion to 64 bits: negative numbers through the signed type, out of range as x86 has it. */
function toUint64(d: number): bigint {
  if (Number.isNaN(d)) return 1n << 63n;
  const v = Math.trunc(d);
  if (v < 0) return v < -(2 ** 63) ? 1n << 63n : BigInt.asUintN(64, BigInt(v));
  return v >= 2 ** 64 ? 0n : BigInt(v);
}

function putInteger(d: number, size: number, little: boolean): void {
  let value = toUint64(d);
  const at = out.room(size);
  for (let i = 0; i < size; i++) {
    out.buf[little ? at + i : at + size - 1 - i] = Number(value & 255n);
    value >>= 8n;
  }
  out.n += size;
}

function getInteger(b: Buffer, at: number, size: number, little: boolean, signed: boolean): number {
  let value = 0n;
  for (let i = 0; i < size; i++) value = BigInt.asUintN(64, (value << 8n) | BigInt(b[little ? at + size - 1 - i : at + i]));
  if (!signed) return Number(value);
  return Number(BigInt.asIntN(Math.min(64, size * 8), value));
}

function putDouble(d: number, size: number, little: boolean): void {
  const at = out.room(8);
  const b = out.buf.subarray(at, at + size);
  if (size === 4) b.writeFloatLE(d);
  else b.writeDoubleLE(d);
  if (!little) b.reverse();
  out.n += size;
}

function pack(vm: LuaVm, L: number): number {
  const f = readFormat(vm, L);
  let arg = 2;
  let total = 0;
  out.reset();
  while (f.at < f.text.length) {
    const option = f.text[f.at++];
    let size = sizeOf(vm, L, f, option);
    const pad = padding(f, option, size, total);
    total += pad;
    for (let i = 0; i < pad; i++) out.byte(0);
    if (INTEGERS.includes(option)) putInteger(vm.api.luaL_checknumber(L, arg++), size, f.little);
    else if (option === "x") out.byte(0);
    else if (option === "f" || option === "d") putDouble(vm.api.luaL_checknumber(L, arg++), size, f.little);
    else if (option === "c" || option === "s") {
      const s = vm.checkBytes(L, arg++);
      if (size === 0) size = s.length;
      if (s.length < size) vm.argError(L, arg, "string too short");
      out.bytes(s, 0, size);
      if (option === "s") {
        out.byte(0);
        size++;
      }
    } else control(vm, L, f, option);
    total += size;
  }
  out.push(vm, L);
  return 1;
}

function unpack(vm: LuaVm, L: number): number {
  const { api } = vm;
  const f = readFormat(vm, L);
  const data = Buffer.from(vm.checkBytes(L, 2));
  const start = api.luaL_optinteger(L, 3, 1);
  if (start === 0) vm.argError(L, 3, "offset must be 1 or greater");
  // A negative offset is a huge one in C.
  let pos = start < 0 ? 2 ** 53 : start - 1;
  let n = 0;
  const within = (size: number): void => {
    if (pos + size > data.length) vm.argError(L, 2, "data string too short");
  };
  while (f.at < f.text.length) {
    const option = f.text[f.at++];
    let size = sizeOf(vm, L, f, option);
    pos += padding(f, option, size, pos);
    within(size);
    if (api.lua_checkstack(L, 2) === 0) vm.error(L, "stack overflow (too many results)");
    if (INTEGERS.includes(option)) {
      api.lua_pushnumber(L, getInteger(data, pos, size, f.little, option === option.toLowerCase()));
      n++;
    } else if (option === "f") {
      api.lua_pushnumber(L, f.little ? data.readFloatLE(pos) : data.readFloatBE(pos));
      n++;
    } else if (option === "d") {
      api.lua_pushnumber(L, f.little ? data.readDoubleLE(pos) : data.readDoubleBE(pos));
      n++;
    } else if (option === "c") {
      if (size === 0) {
        if (n === 0 || api.lua_isnumber(L, -1) === 0) vm.error(L, "format 'c0' needs a previous size");
        const wanted = Math.trunc(api.lua_tonumber(L, -1));
        size = wanted < 0 || Number.isNaN(wanted) ? 2 ** 53 : wanted;
        vm.pop(L, 1);
        n--;
        within(size);
      }
      vm.pushBytes(L, data, pos, pos + size);
      n++;
    } else if (option === "s") {
      const end = data.indexOf(0, pos);
      if (end < 0) vm.error(L, "unfinished string in data");
      vm.pushBytes(L, data, pos, end);
      size = end - pos + 1;
      n++;
    } else if (option !== "x") control(vm, L, f, option);
    pos += size;
  }
  api.lua_pushnumber(L, pos + 1);
  return n + 1;
}

function size(vm: LuaVm, L: number): number {
  const f = readFormat(vm, L);
  let pos = 0;
  while (f.at < f.text.length) {
    const option = f.text[f.at++];
    const bytes = sizeOf(vm, L, f, option);
    pos += padding(f, option, bytes, pos);
    if (option === "s") vm.argError(L, 1, "option 's' has no fixed size");
    if (option === "c" && bytes === 0) vm.argError(L, 1, "option 'c0' has no fixed size");
    if (!/[a-zA-Z0-9]/.test(option)) control(vm, L, f, option);
    pos += bytes;
  }
  vm.api.lua_pushnumber(L, pos);
  return 1;
}

/** Makes the library and sets it in the table on top. */
export function openStruct(vm: LuaVm): void {
  vm.api.lua_createtable(vm.L, 0, 3);
  vm.setFunctions(vm.L, { pack: (L) => pack(vm, L), unpack: (L) => unpack(vm, L), size: (L) => size(vm, L) });
  vm.setField(vm.L, -2, "struct");
}

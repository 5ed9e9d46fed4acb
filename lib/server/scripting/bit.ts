/** The `bit` library of scripts: 32-bit operations as LuaBitOp has them. Each result is a signed 32-bit number. WARM. */
import type { LuaVm } from "./lua_vm.ts";

const TWO_32 = 2 ** 32;

/** A double to 32 bits as LuaBitOp does: rounded to the nearest integer, halves to even, modulo 2^32. */
function toBits(n: number): number {
  if (!Number.isFinite(n)) return 0;
  const floor = Math.floor(n);
  const rest = n - floor;
  const whole = rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
  return (whole % TWO_32) | 0;
}

/** Makes the library and sets it in the table on top. */
export function openBit(vm: LuaVm): void {
  const { api, L } = vm;
  const arg = (S: number, index: number): number => {
    const b = toBits(api.lua_tonumber(S, index));
    if (b === 0 && api.lua_isnumber(S, index) === 0) api.luaL_checknumber(S, index);
    return b;
  };
  const result = (S: number, b: number): number => {
    api.lua_pushnumber(S, b | 0);
    return 1;
  };
  const fold = (op: (a: number, b: number) => number) => (S: number) => {
    let b = arg(S, 1);
    for (let i = api.lua_gettop(S); i > 1; i--) b = op(b, arg(S, i));
    return result(S, b);
  };
  const shift = (op: (b: number, n: number) => number) => (S: number) => {
    const b = arg(S, 1);
    return result(S, op(b, arg(S, 2) & 31));
  };
  api.lua_createtable(L, 0, 12);
  vm.setFunctions(L, {
    tobit: (S) => result(S, arg(S, 1)),
    bnot: (S) => result(S, ~arg(S, 1)),
    band: fold((a, b) => a & b),
    bor: fold((a, b) => a | b),
    bxor: fold((a, b) => a ^ b),
    lshift: shift((b, n) => b << n),
    rshift: shift((b, n) => b >>> n),
    arshift: shift((b, n) => b >> n),
    rol: shift((b, n) => (b << n) | (b >>> (32 - n))),
    ror: shift((b, n) => (b << (32 - n)) | (b >>> n)),
    bswap: (S) => {
      const b = arg(S, 1);
      return result(S, (b >>> 24) | ((b >>> 8) & 0xff00) | ((b & 0xff00) << 8) | (b << 24));
    },
    tohex: (S) => {
      const hex = (arg(S, 1) >>> 0).toString(16).padStart(8, "0");
      const n = api.lua_type(S, 2) === -1 ? 8 : arg(S, 2);
      const digits = Math.min(8, Math.abs(n));
      const text = digits === 0 ? "" : hex.slice(-digits);
      vm.pushText(S, n < 0 ? text.toUpperCase() : text);
      return 1;
    },
  });
  vm.setField(L, -2, "bit");
}

/**
 * math.random of scripts: the 48-bit linear congruence of drand48 on 16-bit limbs, so that a seed gives the same numbers as in Redis
 * (rand.c redisLrand48), with the arguments of Lua's own math.random.
 */
import type { LuaFunction, LuaVm } from "./lua_vm.ts";

const A0 = 0xe66d;
const A1 = 0xdeec;
const A2 = 0x5;
const C = 0xb;
const MAX = 0x7fffffff;

/** random and randomseed for the `math` table. */
export function randomFunctions(vm: LuaVm): Record<string, LuaFunction> {
  const { api } = vm;
  const x = [0x330e, 0xabcd, 0x1234];
  const next = (): number => {
    const p0 = A0 * x[0] + C;
    const p1 = A1 * x[0] + A0 * x[1] + Math.floor(p0 / 65536);
    const p2 = A2 * x[0] + A1 * x[1] + A0 * x[2] + Math.floor(p1 / 65536);
    x[0] = p0 % 65536;
    x[1] = p1 % 65536;
    x[2] = p2 % 65536;
    return x[2] * 32768 + (x[1] >> 1);
  };
  return {
    random: (L) => {
      const r = (next() % MAX) / MAX;
      const argc = api.lua_gettop(L);
      if (argc === 0) api.lua_pushnumber(L, r);
      else if (argc === 1) {
        const high = api.luaL_checkinteger(L, 1);
        if (high < 1) vm.argError(L, 1, "interval is empty");
        api.lua_pushnumber(L, Math.floor(r * high) + 1);
      } else if (argc === 2) {
        const low = api.luaL_checkinteger(L, 1);
        const high = api.luaL_checkinteger(L, 2);
        if (low > high) vm.argError(L, 2, "interval is empty");
        api.lua_pushnumber(L, Math.floor(r * (high - low + 1)) + low);
      } else vm.error(L, "wrong number of arguments");
      return 1;
    },
    randomseed: (L) => {
      const seed = api.luaL_checkinteger(L, 1);
      x[0] = 0x330e;
      x[1] = seed & 0xffff;
      x[2] = (seed >>> 16) & 0xffff;
      return 0;
    },
  };
}

/** Lua itself: strings to the byte, errors across JS functions, number texts. */
import { expect, test } from "bun:test";
import { LuaVm } from "../../../lib/server/scripting/lua_vm.ts";
import { generalText } from "../../../lib/server/scripting/number_text.ts";

/** Runs source with the base library; the result as text, or the error. */
function run(vm: LuaVm, source: string): string {
  if (!vm.load(vm.L, Buffer.from(source, "latin1"), "@test")) return `load: ${vm.text(vm.L, -1)}`;
  const status = vm.api.lua_pcall(vm.L, 0, 1, 0);
  const text = vm.text(vm.L, -1) ?? vm.typeName(vm.L, -1);
  vm.pop(vm.L, 1);
  return status === 0 ? text : `error: ${text}`;
}

function machine(): LuaVm {
  const vm = new LuaVm();
  for (const open of [vm.api.luaopen_base, vm.api.luaopen_string]) {
    vm.pushNative(vm.L, open);
    vm.api.lua_pcall(vm.L, 0, 0, 0);
  }
  return vm;
}

test("it is Lua 5.1, and strings keep every byte", () => {
  const vm = machine();
  expect(run(vm, "return _VERSION")).toBe("Lua 5.1");
  const bytes = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
  vm.pushText(vm.L, bytes);
  expect(vm.text(vm.L, -1)).toBe(bytes);
  expect(run(vm, "return 'a\\0b\\255'")).toBe("a\0b\xff");
});

test("strings larger than the room for them, and memory that grows", () => {
  const vm = machine();
  const large = Buffer.alloc(20_000_000, "x");
  vm.pushBytes(vm.L, large);
  expect(vm.text(vm.L, -1)!.length).toBe(large.length);
  expect(run(vm, "return #string.rep('ab', 10000000)")).toBe("20000000");
});

test("an error of a JS function is Lua's, with the place of its caller, and pcall holds it", () => {
  const vm = machine();
  vm.pushFunction(vm.L, (L) => vm.error(L, "bad luck"));
  vm.setField(vm.L, -10002, "fail");
  expect(run(vm, "\nfail()")).toBe("error: test:2: bad luck");
  expect(run(vm, "local ok, e = pcall(fail) return tostring(ok) .. ' ' .. e")).toBe("false bad luck");
  expect(run(vm, "return 1 +")).toBe("load: test:1: unexpected symbol near '<eof>'");
});

test("compiled chunks are read as text", () => {
  const vm = machine();
  expect(run(vm, "\x1bLuaQ")).toStartWith("load: test:1: ");
});

test("numbers as %.14g prints them", () => {
  const vm = machine();
  const next = (() => {
    let seed = 12345;
    return () => (seed = (seed * 1103515245 + 12345) % 2147483648);
  })();
  for (let i = 0; i < 2000; i++) {
    const d = (next() - 2 ** 30) * 10 ** ((next() % 40) - 25) + (i % 3 === 0 ? 0.5 : 0);
    vm.api.lua_pushnumber(vm.L, d);
    const text = vm.text(vm.L, -1);
    expect(generalText(d, 14)).toBe(text!);
    vm.pop(vm.L, 1);
  }
  for (const d of [123456789012345, 12345678901234.5, 12345678901235.5, 0.5, 1e100, 5e-324, 2 ** 53]) {
    vm.api.lua_pushnumber(vm.L, d);
    expect(generalText(d, 14)).toBe(vm.text(vm.L, -1)!);
    vm.pop(vm.L, 1);
  }
});

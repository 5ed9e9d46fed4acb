/**
 * What scripts may see: Redis' list of globals, and tables that cannot be changed. COLD: once an instance; the Lua text below is WARM.
 *
 * Redis has patched its Lua with read-only tables. Ours is the stock one, so a protected table is an empty stand-in whose metatable leads
 * reads to the real one and refuses writes; rawset, rawget, next, pairs, setmetatable and getmetatable know of stand-ins, so that a script
 * cannot tell, nor get hold of the real one. The string library's metatable shows a stand-in too.
 * Lua's C functions cannot be interrupted half way, so pcall, xpcall and coroutine.resume and wrap are Lua here.
 */
import { GLOBALS, REGISTRY, type LuaFunction, type LuaVm } from "./lua_vm.ts";

/** Chunk name of the text below: the places of errors leave it out. */
export const SANDBOX_SOURCE = "=sandbox";

const SANDBOX = `
local readonly, missing, isMain, interrupted, library = ...
local G, rawset0, rawget0, next0, setmt, getmt = _G, rawset, rawget, next, setmetatable, getmetatable
local type, select, error, pcall0, tostring = type, select, error, pcall, tostring
local load0, loadstring0, find, sub, concat = load, loadstring, string.find, string.sub, table.concat
local yield0, running0 = coroutine.yield, coroutine.running
local create0, resume0, setfenv = coroutine.create, coroutine.resume, setfenv
local real, standin = setmt({}, {__mode = 'k'}), {}

local function lock(t, onMissing)
  local known = standin[t]
  if known then return known end
  local p = {}
  standin[t] = p
  real[p] = t
  for k, v in next0, t do
    if type(v) == 'table' and not real[v] then rawset0(t, k, lock(v)) end
  end
  if onMissing then setmt(t, {__index = onMissing}) end
  local visible = false
  if onMissing then visible = lock({__index = onMissing}) end
  local m = {__index = t, __newindex = readonly, __metatable = visible}
  setmt(p, m)
  return p, m
end

local function forbid() error('Attempt to modify a readonly table', 0) end

local env = {}
setfenv(1, env)

local new = {}
-- A protected call and a coroutine run on states of their own. When the hook interrupts the innermost one, each hands that on to the one
-- that resumed it, and later resumes it again.
local advance
-- An interruption looks like a yield of nothing; only then JS is asked.
local function relay(co, ok, ...)
  if ok and select('#', ...) == 0 and interrupted() then
    yield0()
    return advance(co)
  end
  return ok, ...
end
function advance(co, ...) return relay(co, resume0(co, ...)) end

local owner = setmt({}, {__mode = 'k'})
local function protect(f, ...)
  if type(f) ~= 'function' then return pcall0(f, ...) end
  local co = create0(function(...) return f(...) end)
  owner[co] = running0()
  return advance(co, ...)
end
local function finish(ok, ...)
  if ok then return true, ... end
  local e = ...
  if type(e) == 'table' then
    local text = e.err
    if type(text) == 'string' or type(text) == 'number' then return false, text end
  end
  return false, ...
end
function new.pcall(...)
  if select('#', ...) == 0 then error("bad argument #1 to 'pcall' (value expected)", 2) end
  return finish(protect(...))
end
local function handled(handler, ok, ...)
  if ok then return true, ... end
  return false, select(2, pcall0(handler, ...))
end
function new.xpcall(...)
  if select('#', ...) < 2 then error("bad argument #2 to 'xpcall' (value expected)", 2) end
  local f, handler = ...
  return handled(handler, protect(f))
end
local function resume(co, ...)
  if type(co) ~= 'thread' then error("bad argument #1 to 'resume' (coroutine expected)", 2) end
  return advance(co, ...)
end
local function unwrap(ok, ...)
  if ok then return ... end
  local e = ...
  if type(e) == 'string' then error(e, 3) end
  error(e, 0)
end
local function wrap(f)
  local co = create0(f)
  return function(...) return unwrap(advance(co, ...)) end
end
-- The coroutine that a script knows of, for the state that runs now; nil for the script itself.
local function known()
  local co = running0()
  while co and owner[co] do co = owner[co] end
  if isMain(co) then return nil end
  return co
end
local function yield(...)
  local co = running0()
  if isMain(co) or owner[co] then error('attempt to yield across metamethod/C-call boundary', 0) end
  return yield0(...)
end

function new.rawset(t, k, v)
  if real[t] then forbid() end
  return rawset0(t, k, v)
end
function new.rawget(t, k) return rawget0(real[t] or t, k) end
function new.next(t, k) return next0(real[t] or t, k) end
function new.pairs(t)
  if type(t) ~= 'table' then error("bad argument #1 to 'pairs' (table expected, got " .. (t == nil and 'nil' or type(t)) .. ')', 2) end
  if real[t] then return new.next, t, nil end
  return next0, t, nil
end
function new.setmetatable(t, m)
  if real[t] then forbid() end
  return setmt(t, m)
end
function new.getmetatable(...)
  local m = getmt(...)
  if m == false and real[(...)] then return nil end
  return m
end
function new.loadstring(s, name)
  if type(s) == 'string' and sub(s, 1, 1) == '\\27' then
    name = name or s
    s = ' ' .. s
  end
  return loadstring0(s, name)
end
function new.load(f, name)
  if type(f) ~= 'function' then return load0(f, name) end
  local first = true
  return load0(function()
    local s = f()
    if first and type(s) == 'string' and s ~= '' then
      first = false
      if sub(s, 1, 1) == '\\27' then s = ' ' .. s end
    end
    return s
  end, name or '=(load)')
end
for k, v in next0, new do
  rawset0(G, k, v)
end
for k, v in next0, {running = known, yield = yield, resume = resume, wrap = wrap} do
  rawset0(G.coroutine, k, v)
end
G.dofile, G.loadfile, G.print, G.debug = nil, nil, nil, nil

local strings = getmt('')
local p, m = lock(G, missing)
rawset0(strings, '__metatable', lock({__index = G.string}))
rawset0(strings, '__index', real[G.string])
for k in next0, new do setfenv(new[k], p) end
for _, f in next0, {lock, forbid, relay, advance, protect, finish, handled, resume, unwrap, wrap, known, yield} do setfenv(f, p) end
if library then
  lock(library.redis, missing)
  lock(library, missing)
end
return p, G, function(loading) m.__index = loading and library or G end
`;

/** Opens the standard libraries that scripts have. Libraries of ours are to be set in the globals after it, and closeSandbox called then. */
export function openLibraries(vm: LuaVm): void {
  const { api, L } = vm;
  for (const [name, open] of [
    ["", api.luaopen_base],
    ["table", api.luaopen_table],
    ["string", api.luaopen_string],
    ["math", api.luaopen_math],
    ["debug", api.luaopen_debug],
  ] as const) {
    vm.pushNative(L, open);
    vm.pushText(L, name);
    if (api.lua_pcall(L, 1, 0, 0) !== 0) throw new Error(`Lua: ${vm.text(L, -1)}`);
  }
}

/** References in the registry to what closeSandbox leaves. */
export interface Closed {
  /** The real table of globals, where KEYS and ARGV are to be set. */
  globals: number;
  /** function(loading): shows the globals of a library that is being loaded, or the usual ones. */
  show: number;
}

/**
 * Locks the globals. `isMain`: whether a state is the one that runs the script itself, not a coroutine of it. `interrupted`: whether the
 * script is on its way out to let others have a turn. `library`: pushes the table of globals that a function library sees while it is being
 * loaded, {redis = {...}}.
 */
export function closeSandbox(vm: LuaVm, isMain: (L: number) => boolean, interrupted: () => boolean, library: (() => void) | null): Closed {
  const { api, L } = vm;
  if (!vm.load(L, Buffer.from(SANDBOX), SANDBOX_SOURCE)) throw new Error(`Lua: ${vm.text(L, -1)}`);
  const readonly: LuaFunction = (S) => vm.error(S, "Attempt to modify a readonly table");
  const missing: LuaFunction = (S) => {
    if (api.lua_gettop(S) !== 2) vm.error(S, "Wrong number of arguments to luaProtectedTableError");
    if (api.lua_isstring(S, -1) === 0) vm.error(S, "Second argument to luaProtectedTableError must be a string or number");
    return vm.error(S, `Script attempted to access nonexistent global variable '${vm.cText(S, -1)}'`);
  };
  vm.pushFunction(L, readonly);
  vm.pushFunction(L, missing);
  vm.pushFunction(L, (S) => {
    api.lua_pushboolean(S, isMain(api.lua_tothread(S, 1)) ? 1 : 0);
    return 1;
  });
  vm.pushFunction(L, (S) => {
    api.lua_pushboolean(S, interrupted() ? 1 : 0);
    return 1;
  });
  if (library === null) api.lua_pushnil(L);
  else library();
  if (api.lua_pcall(L, 5, 3, 0) !== 0) throw new Error(`Lua: ${vm.text(L, -1)}`);
  const show = api.luaL_ref(L, REGISTRY);
  const globals = api.luaL_ref(L, REGISTRY);
  api.lua_replace(L, GLOBALS);
  return { globals, show };
}

/**
 * Lua 5.1 itself: PUC's interpreter as a WebAssembly instance, and its C API with JS strings and buffers at the edges. WARM: a script's
 * every call of a JS function passes through here.
 *
 *   embedded liblua5.1.wasm --instance--> LuaVm.api (lua_* as exported) + helpers on (L, index)
 *   JS function --trampoline module--> a slot of the wasm table --lua_pushcclosure--> Lua
 *
 * Lua's errors are longjmp: lua_error throws LONGJMP through JS and wasm frames up to the invoke_vii that guards the protected call. So a
 * JS function may be left by any call of the API; it must hold nothing that needs giving back. Anything else thrown in between leaves the
 * instance in an unknown state: whoever catches it must drop the LuaVm.
 *
 * Knows nothing of Redis. Leaves out files, clocks and the system: the imports that would reach them fail.
 */
import { readFileSync } from "node:fs";
import wasmFile from "wasmoon-lua5.1/dist/liblua5.1.wasm" with { type: "file" };

export const REGISTRY = -10000;
export const GLOBALS = -10002;

export const T_NONE = -1;
export const T_NIL = 0;
export const T_BOOLEAN = 1;
export const T_LIGHT_USERDATA = 2;
export const T_NUMBER = 3;
export const T_STRING = 4;
export const T_TABLE = 5;
export const T_FUNCTION = 6;

/** lua_Debug.event: a line begins. */
const HOOK_LINE = 2;
/** Where lua_State has its savedpc, and the bytes of an instruction, as this build lays them out. */
const SAVED_PC = 24;
const INSTRUCTION_BYTES = 4;

/** lua_resume's answers beside errors. */
export const FINISHED = 0;
export const YIELDED = 1;

type Imports = Record<string, Record<string, (...args: number[]) => number | void>>;

const LONGJMP = { longjmp: true };

type Fn = (...args: number[]) => number;
const NAMES = [
  "lua_checkstack lua_newthread lua_gettop lua_settop lua_remove lua_insert lua_replace lua_pushvalue lua_type lua_typename",
  "lua_isnumber lua_isstring lua_tonumber lua_tointeger lua_toboolean lua_tolstring lua_objlen lua_tothread lua_touserdata lua_xmove",
  "lua_pushnil lua_pushnumber lua_pushlstring lua_pushstring lua_pushcclosure lua_pushboolean lua_pushlightuserdata lua_pushthread",
  "lua_gettable lua_getfield lua_rawget lua_rawgeti lua_createtable lua_getmetatable lua_settable lua_setfield lua_rawset lua_rawseti",
  "lua_setmetatable lua_pcall lua_gc lua_error lua_next lua_concat lua_getstack lua_getinfo luaL_argerror luaL_where",
  "luaL_checknumber luaL_checkinteger luaL_optinteger luaL_checklstring luaL_optlstring luaL_checktype luaL_ref luaL_unref",
  "luaL_loadbuffer luaL_newstate luaopen_base luaopen_table luaopen_string luaopen_math luaopen_debug lua_yield lua_resume",
  "lua_sethook lua_getlocal malloc free setThrew stackSave stackRestore",
] as const;
type Words<S extends string> = S extends `${infer A} ${infer B}` ? A | Words<B> : S;
/** The C API as the instance exports it: pointers and indexes are numbers. */
export type Api = Record<Words<(typeof NAMES)[number]>, Fn>;

/** (module (import "e" "f" (func TYPE)) (export "f" (func 0))): makes a wasm function of a JS one. `type` is the encoded signature. */
function trampoline(type: number[]): WebAssembly.Module {
  const head = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const types = [1, type.length + 1, 1, ...type];
  const imports = [2, 7, 1, 1, 0x65, 1, 0x66, 0, 0];
  return new WebAssembly.Module(new Uint8Array([...head, ...types, ...imports, 7, 5, 1, 1, 0x66, 0, 0]));
}
const I32 = 0x7f;
/** (L) -> results: a lua_CFunction. (L, ar) -> (): a lua_Hook. */
const C_FUNCTION = [0x60, 1, I32, 1, I32];
const HOOK = [0x60, 2, I32, I32, 0];

let compiled: WebAssembly.Module | null = null;
let functionModule: WebAssembly.Module | null = null;

/** A JS function that Lua may call: takes the state, returns how many results it has pushed. */
export type LuaFunction = (L: number) => number;

/** A call that is under way: whether it is of a C function, what its function is called, and the current line. */
export interface Place {
  native: boolean;
  name: string | null;
  source: string;
  line: number;
}

export class LuaVm {
  readonly api: Api;
  /** The main state. */
  readonly L: number;
  private readonly memory: WebAssembly.Memory;
  private readonly table: WebAssembly.Table;
  /** Lua's memory, and the same as words. Growing it makes older views useless: `grow` is the only place where that happens. */
  private bytes: Buffer;
  private words: Int32Array;
  /** Room in Lua's memory for strings on their way in. */
  private room: number;
  private roomBytes: number;
  /** Where lua_tolstring puts a length. */
  private readonly lengthAt: number;
  /** A lua_Debug. */
  private readonly debugAt: number;
  /** Zero-terminated names that stay. */
  private readonly names: Map<string, number>;

  constructor() {
    compiled ??= new WebAssembly.Module(readFileSync(wasmFile));
    const instance = new WebAssembly.Instance(compiled, this.imports());
    const x = instance.exports as Record<string, unknown>;
    this.api = x as Api;
    this.memory = x.memory as WebAssembly.Memory;
    this.table = x.__indirect_function_table as WebAssembly.Table;
    this.bytes = Buffer.from(this.memory.buffer);
    this.words = new Int32Array(this.memory.buffer);
    (x.__wasm_call_ctors as () => void)();
    this.roomBytes = 64 * 1024;
    this.room = this.api.malloc(this.roomBytes);
    this.lengthAt = this.api.malloc(8);
    this.debugAt = this.api.malloc(256);
    this.names = new Map();
    this.L = this.api.luaL_newstate();
    if (this.L === 0) throw new Error("Lua: no state");
  }

  private imports(): Imports {
    const fails = (): number => -1;
    const env: Record<string, (...args: number[]) => number | void> = {
      invoke_vii: (index, a, b) => this.guarded(index, a, b),
      _emscripten_throw_longjmp: () => {
        throw LONGJMP;
      },
      emscripten_memcpy_js: (to, from, n) => void this.mem().copyWithin(to, from, from + n),
      emscripten_resize_heap: (wanted) => this.grow(wanted >>> 0),
      exit: () => {
        throw new Error("Lua called exit");
      },
      strftime: () => 0,
      _emscripten_get_now_is_monotonic: () => 1,
      emscripten_date_now: () => 0,
    };
    const known = (table: typeof env): Imports[string] => new Proxy(table, { get: (t, name) => t[name as string] ?? fails });
    return { env: known(env), wasi_snapshot_preview1: known({}) };
  }

  /** Emscripten's setjmp: calls a wasm function; a longjmp in it comes back as "threw". */
  private guarded(index: number, a: number, b: number): void {
    const sp = this.api.stackSave();
    try {
      (this.table.get(index) as Fn)(a, b);
    } catch (e) {
      if (e !== LONGJMP) throw e;
      this.api.stackRestore(sp);
      this.api.setThrew(1, 0);
    }
  }

  private grow(wantedBytes: number): number {
    const have = this.memory.buffer.byteLength;
    const pages = Math.ceil((Math.max(wantedBytes, have + have / 4) - have) / 65536);
    try {
      this.memory.grow(pages);
      this.bytes = Buffer.from(this.memory.buffer);
      this.words = new Int32Array(this.memory.buffer);
      return 1;
    } catch {
      return 0;
    }
  }

  /** Lua's memory as it is now: not to be kept over a call into Lua. */
  mem(): Buffer {
    return this.bytes;
  }

  // ------------------------------------------------------------------------------------------------ functions

  private slot(type: number[], f: (...args: number[]) => number | void): number {
    const module = type === C_FUNCTION ? (functionModule ??= trampoline(C_FUNCTION)) : trampoline(type);
    const instance = new WebAssembly.Instance(module, { e: { f } });
    return this.add(instance.exports.f);
  }
  private add(f: unknown): number {
    const index = this.table.grow(1);
    this.table.set(index, f);
    return index;
  }

  /** Pushes a JS function. Each call takes a slot of the table for good: for setting up, not for running. */
  pushFunction(L: number, f: LuaFunction): void {
    this.api.lua_pushcclosure(L, this.slot(C_FUNCTION, f as Fn), 0);
  }
  /** Pushes an exported C function (luaopen_*). */
  pushNative(L: number, f: Fn): void {
    this.api.lua_pushcclosure(L, this.add(f), 0);
  }
  /** A hook for lua_sethook. */
  hook(f: (L: number, event: number) => void): number {
    return this.slot(HOOK, f);
  }

  /** For a hook's event: the line that begins, or 0 when so many instructions have run. */
  eventLine(event: number): number {
    return this.words[event >> 2] === HOOK_LINE ? this.words[(event + 20) >> 2] : 0;
  }

  // ------------------------------------------------------------------------------------------------ strings

  /** Puts `n` bytes of room at the caller's disposal; returns their address. Valid until the next call. */
  reserve(n: number): number {
    if (n > this.roomBytes) {
      this.api.free(this.room);
      this.roomBytes = Math.max(n, this.roomBytes * 2);
      this.room = this.api.malloc(this.roomBytes);
      if (this.room === 0) {
        this.roomBytes = 0;
        throw new Error("Lua: out of memory");
      }
    }
    return this.room;
  }

  /** Pushes the bytes src[start, end). */
  pushBytes(L: number, src: Uint8Array, start = 0, end = src.length): void {
    const n = end - start;
    const at = this.reserve(n);
    const mem = this.mem();
    if (n <= 48) for (let i = 0; i < n; i++) mem[at + i] = src[start + i];
    else mem.set(src.subarray(start, end), at);
    this.api.lua_pushlstring(L, at, n);
  }
  /** Pushes a latin1 string. */
  pushText(L: number, text: string): void {
    const at = this.reserve(text.length);
    this.mem().write(text, at, "latin1");
    this.api.lua_pushlstring(L, at, text.length);
  }
  /** The address of a zero-terminated name that stays for ever: field names of ours. */
  name(text: string): number {
    let at = this.names.get(text);
    if (at === undefined) {
      at = this.api.malloc(text.length + 1);
      this.mem().write(`${text}\0`, at, "latin1");
      this.names.set(text, at);
    }
    return at;
  }

  /** Where the string (or number, which becomes one) at `index` lies in mem(): its address, 0 when it is neither. Length in `length`. */
  stringAt(L: number, index: number): number {
    return this.api.lua_tolstring(L, index, this.lengthAt);
  }
  /** Length of what stringAt or checkString found. */
  get length(): number {
    return this.words[this.lengthAt >> 2] >>> 0;
  }
  /** The string at `index` as latin1, or null. */
  text(L: number, index: number): string | null {
    const at = this.stringAt(L, index);
    if (at === 0) return null;
    const n = this.length;
    return this.mem().toString("latin1", at, at + n);
  }
  /** The argument as a view of its bytes, valid until the next call into Lua; raises Lua's own error when it is no string. */
  checkBytes(L: number, index: number): Buffer {
    const at = this.api.luaL_checklstring(L, index, this.lengthAt);
    const n = this.length;
    return this.mem().subarray(at, at + n);
  }
  /** What Lua's C functions see of a string: it ends at its first NUL. */
  cText(L: number, index: number): string | null {
    const text = this.text(L, index);
    if (text === null) return null;
    const nul = text.indexOf("\0");
    return nul < 0 ? text : text.slice(0, nul);
  }
  /** The name of the type of what is at `index`. */
  typeName(L: number, index: number): string {
    return this.cString(this.api.lua_typename(L, this.api.lua_type(L, index)));
  }
  private cString(at: number): string {
    if (at === 0) return "";
    const mem = this.mem();
    return mem.toString("latin1", at, mem.indexOf(0, at));
  }

  // ------------------------------------------------------------------------------------------------ values

  pop(L: number, n: number): void {
    this.api.lua_settop(L, -n - 1);
  }
  /** table[name] = the value on top, which is popped. `index` is the table's, as seen before the pop. Metamethods apply. */
  setField(L: number, index: number, name: string): void {
    this.api.lua_setfield(L, index, this.name(name));
  }
  getField(L: number, index: number, name: string): void {
    this.api.lua_getfield(L, index, this.name(name));
  }
  /** Pushes table[name], without metamethods; returns its type. */
  rawField(L: number, index: number, name: string): number {
    this.api.lua_pushstring(L, this.name(name));
    this.api.lua_rawget(L, index < 0 && index > REGISTRY ? index - 1 : index);
    return this.api.lua_type(L, -1);
  }
  /** Sets functions of ours in the table on top. */
  setFunctions(L: number, functions: Record<string, LuaFunction>): void {
    for (const [name, f] of Object.entries(functions)) {
      this.pushFunction(L, f);
      this.setField(L, -2, name);
    }
  }

  /**
   * Whether a hook may yield from this state: no C function (a metamethod, sort's comparison) is below it on its stack. lua_yield would
   * raise an error instead. Looks at nCcalls and baseCcalls of lua_State as this build lays it out.
   */
  mayYield(L: number): boolean {
    const mem = this.mem();
    return mem.readUInt16LE(L + 52) <= mem.readUInt16LE(L + 54);
  }

  // ------------------------------------------------------------------------------------------------ errors

  /** luaL_error: raises `text` with the position of the Lua code that called. */
  error(L: number, text: string): never {
    this.api.luaL_where(L, 1);
    this.pushText(L, text);
    this.api.lua_concat(L, 2);
    return this.raise(L);
  }
  /** luaL_argerror. */
  argError(L: number, index: number, text: string): never {
    this.api.luaL_argerror(L, index, this.name(text));
    throw new Error("luaL_argerror returned");
  }
  /** Raises the value on top. */
  raise(L: number): never {
    this.api.lua_error(L);
    throw new Error("lua_error returned");
  }

  /**
   * Compiles source text and pushes the function: true; or pushes the message: false. Binary chunks are not accepted, they are read as text
   * as Redis reads them.
   */
  load(L: number, source: Uint8Array, chunkName: string): boolean {
    const binary = source.length > 0 && source[0] === 0x1b;
    const b = binary ? Buffer.concat([Buffer.from(" "), source]) : source;
    const at = this.reserve(b.length);
    this.mem().set(b, at);
    return this.api.luaL_loadbuffer(L, at, b.length, this.name(chunkName)) === 0;
  }

  /**
   * Calls `look` with the lua_Debug of the call `level` calls up, for localName; false when there is none. A state that a hook has stopped
   * has been put back by an instruction, which may be the one that makes a local seen: for `look` it stands where it will go on.
   */
  inFrame(L: number, level: number, look: (at: number) => void): boolean {
    if (this.api.lua_getstack(L, level, this.debugAt) === 0) return false;
    this.api.lua_checkstack(L, 8);
    const pc = (L + SAVED_PC) >> 2;
    this.words[pc] += INSTRUCTION_BYTES;
    look(this.debugAt);
    this.words[pc] -= INSTRUCTION_BYTES;
    return true;
  }
  /** The instruction that a state is at, while a hook of it runs. */
  programCounter(L: number): number {
    return this.words[(L + SAVED_PC) >> 2];
  }
  /** A state that a hook has stopped, and that will not go on, is where it would have gone on: for errors' places. */
  stayStopped(L: number): void {
    this.words[(L + SAVED_PC) >> 2] += INSTRUCTION_BYTES;
  }
  /** The name of local variable `i` of a call, whose value is pushed; null when there are no more. */
  localName(L: number, at: number, i: number): string | null {
    const name = this.api.lua_getlocal(L, at, i);
    return name === 0 ? null : this.cString(name);
  }

  /** Where a state stopped, `level` calls up; null when there is no such level. */
  where(L: number, level: number): Place | null {
    if (this.api.lua_getstack(L, level, this.debugAt) === 0) return null;
    this.api.lua_getinfo(L, this.name("Sln"), this.debugAt);
    const mem = this.mem();
    const nameAt = mem.readUInt32LE(this.debugAt + 4);
    const name = nameAt === 0 ? null : this.cString(nameAt);
    const what = this.cString(mem.readUInt32LE(this.debugAt + 12));
    const line = mem.readInt32LE(this.debugAt + 20);
    const source = this.cString(mem.readUInt32LE(this.debugAt + 16));
    const native = what === "C";
    // Interrupted at its first instruction, a function has no current line yet.
    return { native, name, source, line: line < 0 && !native ? this.firstLine(L) : line };
  }

  /** The first line with code in it of the function that `where` has looked up. */
  private firstLine(L: number): number {
    const { api } = this;
    // A state that a hook has stopped has no room on its stack but what is asked for.
    api.lua_checkstack(L, 8);
    api.lua_getinfo(L, this.name("L"), this.debugAt);
    let first = -1;
    api.lua_pushnil(L);
    while (api.lua_next(L, -2) !== 0) {
      this.pop(L, 1);
      const line = api.lua_tonumber(L, -1);
      if (first < 0 || line < first) first = line;
    }
    this.pop(L, 1);
    return first;
  }

  /** Bytes that Lua has in use. */
  get memoryBytes(): number {
    return this.api.lua_gc(this.L, 3, 0) * 1024 + this.api.lua_gc(this.L, 4, 0);
  }
}

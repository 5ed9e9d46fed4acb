/**
 * Loading libraries into Lua: runs their code once, with nothing but redis.register_function and a few constants to see, and keeps the
 * callbacks it registers. COLD. Redis 7.2 function_lua.c.
 *
 *   FUNCTION LOAD, RESTORE, an RDB file --code--> load --register_function--> Library --> LibrarySet
 *
 * Libraries share one interpreter, which is not that of EVAL. If JS ever throws through it, it is dropped and the present libraries are
 * loaded again. Leaves out calling functions (scripting.ts).
 */
import type { ScriptHost } from "./bridge.ts";
import { pushLibraryGlobals } from "./bridge.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import { BAD_NAME, isName, LibrarySet, readLibraryHead, type Library } from "./libraries.ts";
import { type LuaVm, REGISTRY, T_FUNCTION, T_NIL, T_TABLE } from "./lua_vm.ts";
import { pushError } from "./reply.ts";
import { SCRIPT_FLAGS } from "./shebang.ts";

/** How long a library's code may run, and instructions between two looks at the clock. */
const LOAD_TIMEOUT_MS = 500;
const HOOK_INSTRUCTIONS = 10_000;
const MASK_COUNT = 8;

/** A library that is being loaded. */
interface Load {
  library: Library;
  untilMs: number;
}

/** What register_function was called with. */
interface Registration {
  name: string | null;
  description: string | null;
  flags: number;
  /** In the registry; 0: none. */
  ref: number;
}

export class FunctionEngine {
  /** The libraries that clients see. */
  current: LibrarySet;
  private readonly host: ScriptHost;
  private readonly options: Omit<EngineOptions, "library" | "isEval">;
  private engine: Engine | null;
  private loading: Load | null;

  constructor(host: ScriptHost, options: Omit<EngineOptions, "library" | "isEval">) {
    this.current = new LibrarySet();
    this.host = host;
    this.options = options;
    this.engine = null;
    this.loading = null;
  }

  /** Bytes that Lua has in use. */
  get memoryBytes(): number {
    return this.engine?.vm.memoryBytes ?? 0;
  }

  /** The interpreter, with the present libraries in it. */
  start(): Engine {
    if (this.engine !== null) return this.engine;
    this.open();
    for (const old of this.current.libraries.values()) {
      const again = this.load(old.code, new LibrarySet(), false, 0);
      if (typeof again === "string") continue;
      for (const [name, f] of old.functions) f.ref = again.functions.get(name)?.ref ?? 0;
    }
    return this.engine!;
  }

  private open(): Engine {
    this.engine = new Engine(this.host, {
      isEval: false,
      interrupted: () => this.options.interrupted(),
      tick: (vm, L, event) => this.tick(vm, L, event),
      library: (vm) => pushLibraryGlobals(vm, this.host, (L) => this.register(vm, L)),
    });
    return this.engine;
  }

  private tick(vm: LuaVm, L: number, event: number): void {
    if (this.loading === null) return this.options.tick(vm, L, event);
    if (performance.now() < this.loading.untilMs) return;
    pushError(vm, L, "FUNCTION LOAD timeout", false);
    vm.raise(L);
  }

  /** Forgets the interpreter: the next use starts another. */
  drop(): void {
    this.engine = null;
    for (const library of this.current.libraries.values()) for (const f of library.functions.values()) f.ref = 0;
  }

  /** Lets go what Lua holds of a library that is in no set any more. */
  release(library: Library): void {
    for (const f of library.functions.values()) {
      if (f.ref !== 0 && this.engine !== null) this.engine.vm.api.luaL_unref(this.engine.vm.L, REGISTRY, f.ref);
      f.ref = 0;
    }
  }
  releaseAll(set: LibrarySet): void {
    for (const library of set.libraries.values()) this.release(library);
  }

  /** Another set takes the present one's place. */
  become(set: LibrarySet): void {
    const old = this.current;
    this.current = set;
    // Nothing is left that needs the old interpreter: a new one costs less than what libraries may have left behind.
    if (set.libraries.size === 0) this.drop();
    else this.releaseAll(old);
  }

  // ------------------------------------------------------------------------------------------------ loading

  /** Loads a library into `set`. `timeoutMs` 0: it may take its time. The library, or the error's text; then nothing has changed. */
  load(code: Buffer, set: LibrarySet, replace: boolean, timeoutMs = LOAD_TIMEOUT_MS): Library | string {
    const head = readLibraryHead(code);
    if ("error" in head) return head.error;
    const old = set.libraries.get(head.name);
    if (old !== undefined && !replace) return `Library '${head.name}' already exists`;
    const library: Library = { name: head.name, code: Buffer.from(code), functions: new Map() };
    let error: string | null;
    try {
      error = this.run(library, code.subarray(head.start), timeoutMs);
    } catch (e) {
      this.drop();
      this.host.server.log.warning(`A library broke its interpreter, which is started anew: ${e instanceof Error ? e.message : String(e)}`);
      return "Error registering functions: the interpreter failed";
    }
    if (error === null && library.functions.size === 0) error = "No functions registered";
    if (error === null) {
      if (old !== undefined) set.remove(old);
      error = set.add(library);
      if (error !== null && old !== undefined) set.link(old);
    }
    if (error !== null) {
      this.release(library);
      return error;
    }
    if (old !== undefined) this.release(old);
    return library;
  }

  /** Runs a library's code; the error's text, or null. */
  private run(library: Library, body: Buffer, timeoutMs: number): string | null {
    const engine = this.engine ?? (this.current.libraries.size === 0 ? this.open() : this.start());
    const { vm } = engine;
    const { api, L } = vm;
    const outer = this.loading;
    engine.showLoading(true);
    this.loading = { library, untilMs: timeoutMs === 0 ? Infinity : performance.now() + timeoutMs };
    let error: string | null = null;
    if (!vm.load(L, body, "@user_function")) error = `Error compiling function: ${vm.cText(L, -1)}`;
    else {
      api.lua_sethook(L, engine.hook, MASK_COUNT, HOOK_INSTRUCTIONS);
      if (api.lua_pcall(L, 0, 0, 0) !== 0) error = `Error registering functions: ${this.errorText(vm, L)}`;
      api.lua_sethook(L, 0, 0, 0);
    }
    api.lua_settop(L, 0);
    this.loading = outer;
    engine.showLoading(outer !== null);
    return error;
  }

  private errorText(vm: LuaVm, L: number): string {
    if (vm.api.lua_type(L, -1) !== T_TABLE) return `ERR ${vm.cText(L, -1) ?? vm.typeName(L, -1)}`;
    vm.rawField(L, -1, "err");
    return vm.cText(L, -1) ?? "ERR unknown error";
  }

  // ------------------------------------------------------------------------------------------------ redis.register_function

  private register(vm: LuaVm, L: number): number {
    const { api } = vm;
    const { loading } = this;
    const r: Registration = { name: null, description: null, flags: 0, ref: 0 };
    const argc = api.lua_gettop(L);
    let error: string | null = null;
    if (loading === null) error = "redis.register_function can only be called on FUNCTION LOAD command";
    else if (argc < 1 || argc > 2) error = "wrong number of arguments to redis.register_function";
    else error = argc === 1 ? this.readNamed(vm, L, r) : this.readPositional(vm, L, r);
    if (error === null && !isName(r.name!)) error = BAD_NAME;
    if (error === null && loading!.library.functions.has(r.name!)) error = "Function already exists in the library";
    if (error !== null) {
      if (r.ref !== 0) api.luaL_unref(L, REGISTRY, r.ref);
      pushError(vm, L, error, false);
      return vm.raise(L);
    }
    const { library } = loading!;
    library.functions.set(r.name!, { isEval: false, name: r.name!, description: r.description, flags: r.flags, library, ref: r.ref });
    return 0;
  }

  private readPositional(vm: LuaVm, L: number, r: Registration): string | null {
    const { api } = vm;
    if (api.lua_isstring(L, 1) === 0) return "first argument to redis.register_function must be a string";
    r.name = vm.text(L, 1);
    if (api.lua_type(L, 2) !== T_FUNCTION) return "second argument to redis.register_function must be a function";
    r.ref = api.luaL_ref(L, REGISTRY);
    return null;
  }

  private readNamed(vm: LuaVm, L: number, r: Registration): string | null {
    const { api } = vm;
    if (api.lua_type(L, 1) !== T_TABLE)
      return "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).";
    api.lua_pushnil(L);
    while (api.lua_next(L, 1) !== 0) {
      if (api.lua_isstring(L, -2) === 0) return "named argument key given to redis.register_function is not a string";
      // A number as key must stay one: lua_next would not find its text.
      api.lua_pushvalue(L, -2);
      const key = vm.cText(L, -1)!.toLowerCase();
      vm.pop(L, 1);
      const error = this.readArgument(vm, L, key, r);
      if (error !== null) return error;
      vm.pop(L, 1);
    }
    if (r.name === null) return "redis.register_function must get a function name argument";
    if (r.ref === 0) return "redis.register_function must get a callback argument";
    return null;
  }

  /** One named argument, whose value is on top. */
  private readArgument(vm: LuaVm, L: number, key: string, r: Registration): string | null {
    const { api } = vm;
    switch (key) {
      case "function_name":
      case "description": {
        if (api.lua_isstring(L, -1) === 0) return `${key} argument given to redis.register_function must be a string`;
        const text = vm.text(L, -1);
        if (key === "description") r.description = text;
        else r.name = text;
        return null;
      }
      case "callback":
        if (api.lua_type(L, -1) !== T_FUNCTION) return "callback argument given to redis.register_function must be a function";
        api.lua_pushvalue(L, -1);
        if (r.ref !== 0) api.luaL_unref(L, REGISTRY, r.ref);
        r.ref = api.luaL_ref(L, REGISTRY);
        return null;
      case "flags":
        if (api.lua_type(L, -1) !== T_TABLE) return "flags argument to redis.register_function must be a table representing function flags";
        return this.readFlags(vm, L, r);
      default:
        return "unknown argument given to redis.register_function";
    }
  }

  private readFlags(vm: LuaVm, L: number, r: Registration): string | null {
    const { api } = vm;
    for (let i = 1; ; i++) {
      api.lua_rawgeti(L, -1, i);
      if (api.lua_type(L, -1) === T_NIL) break;
      const flag = api.lua_isstring(L, -1) === 0 ? undefined : SCRIPT_FLAGS[vm.cText(L, -1)!.toLowerCase()];
      if (flag === undefined) return "unknown flag given";
      r.flags |= flag;
      vm.pop(L, 1);
    }
    vm.pop(L, 1);
    return null;
  }
}

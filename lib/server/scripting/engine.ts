/**
 * A Lua interpreter with Redis' libraries in it and the thread that scripts run on. COLD: made once, for the first script or library.
 * Scripts (EVAL) and function libraries each have one of their own, as in Redis: they share no state. Leaves out what runs on it.
 */
import { openBit } from "./bit.ts";
import { openRedis, type ScriptHost } from "./bridge.ts";
import { openCjson } from "./cjson.ts";
import { openCmsgpack } from "./cmsgpack.ts";
import { GLOBALS, LuaVm, REGISTRY } from "./lua_vm.ts";
import { randomFunctions } from "./random.ts";
import { closeSandbox, openLibraries } from "./sandbox.ts";
import { openStruct } from "./struct.ts";

export interface EngineOptions {
  /** For scripts: redis.breakpoint and its kin are there. */
  isEval: boolean;
  /** The script is on its way out to let others have a turn. */
  interrupted(): boolean;
  /** Called every so many instructions while the hook is set. */
  tick(vm: LuaVm, L: number, event: number): void;
  /** Pushes the globals that a library sees while it is loaded; null: nothing is loaded here. */
  library: ((vm: LuaVm) => void) | null;
}

export class Engine {
  readonly vm: LuaVm;
  /** The real table of globals, in the registry. */
  readonly globals: number;
  /** The hook that interrupts scripts, for lua_sethook. */
  readonly hook: number;
  /** The thread that scripts run on, and its place in the registry. */
  thread: number;
  private threadRef: number;
  /** The function that chooses which globals are seen, in the registry. */
  private readonly show: number;

  constructor(host: ScriptHost, options: EngineOptions) {
    const vm = new LuaVm();
    const { api, L } = vm;
    this.vm = vm;
    this.thread = 0;
    this.threadRef = 0;
    openLibraries(vm);
    api.lua_pushvalue(L, GLOBALS);
    openRedis(vm, host, options.isEval);
    openCjson(vm);
    openCmsgpack(vm);
    openStruct(vm);
    openBit(vm);
    vm.getField(L, -1, "math");
    vm.setFunctions(L, randomFunctions(vm));
    api.lua_settop(L, 0);
    this.hook = vm.hook((S, event) => options.tick(vm, S, event));
    const { library } = options;
    const closed = closeSandbox(
      vm,
      (S) => S === this.thread,
      () => options.interrupted(),
      library === null ? null : () => library(vm),
    );
    this.globals = closed.globals;
    this.show = closed.show;
    this.newThread();
  }

  /** A fresh thread in place of one that ended with an error. */
  newThread(): void {
    const { api, L } = this.vm;
    if (this.threadRef !== 0) api.luaL_unref(L, REGISTRY, this.threadRef);
    this.thread = api.lua_newthread(L);
    this.threadRef = api.luaL_ref(L, REGISTRY);
  }

  /** Shows the globals of a library that is being loaded, or the usual ones. */
  showLoading(loading: boolean): void {
    const { api, L } = this.vm;
    api.lua_rawgeti(L, REGISTRY, this.show);
    api.lua_pushboolean(L, loading ? 1 : 0);
    api.lua_pcall(L, 1, 0, 0);
  }
}

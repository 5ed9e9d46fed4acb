/**
 * The scripts of EVAL by their SHA-1. WARM. What SCRIPT LOAD brought stays until SCRIPT FLUSH; of what EVAL brought, the most recently used
 * stay, so that texts made anew for each call do not fill the memory (as Redis since 7.4). Leaves out running them.
 */
import { sha1Hex } from "../../bytes/sha1.ts";
import type { Engine } from "./engine.ts";
import { REGISTRY } from "./lua_vm.ts";
import { readShebang } from "./shebang.ts";

/** A cached script. */
export interface Script {
  readonly isEval: true;
  /** Its SHA-1. */
  name: string;
  body: Buffer;
  /** Bits of shebang.ts. */
  flags: number;
  shebangBytes: number;
  /** Its function in the registry of the present interpreter; 0: not compiled there. */
  ref: number;
  /** SCRIPT LOAD brought it. */
  loaded: boolean;
}

/** What a cached script costs beside its text (Redis: the dictionary's entry and the luaScript). */
const SCRIPT_OVERHEAD_BYTES = 112;
/** So many scripts of EVAL are kept. */
const EVAL_SCRIPTS_MAX = 500;

export class ScriptCache {
  readonly scripts: Map<string, Script>;
  bytes: number;
  /** Scripts that had to go. */
  evicted: number;
  /** Those of EVAL, the least recently used first. */
  private readonly recent: Set<Script>;

  constructor() {
    this.scripts = new Map();
    this.bytes = 0;
    this.evicted = 0;
    this.recent = new Set();
  }

  clear(): void {
    this.scripts.clear();
    this.recent.clear();
    this.bytes = 0;
  }

  /** The interpreter that had them compiled is gone. */
  forgetCompiled(): void {
    for (const script of this.scripts.values()) script.ref = 0;
  }

  /** The script of that SHA-1, in lower case; it counts as used. */
  find(sha: string): Script | undefined {
    const script = this.scripts.get(sha);
    if (script !== undefined && !script.loaded && this.recent.size > EVAL_SCRIPTS_MAX / 2) {
      this.recent.delete(script);
      this.recent.add(script);
    }
    return script;
  }

  /** Compiles a script and adds it. A string is the error's text. */
  add(engine: Engine, body: Buffer, loaded: boolean): Script | string {
    const sha = sha1Hex(body);
    const known = this.find(sha);
    if (known !== undefined) {
      if (loaded && !known.loaded) {
        known.loaded = true;
        this.recent.delete(known);
      }
      return known;
    }
    const shebang = readShebang(body);
    if (typeof shebang === "string") return shebang;
    const script: Script = {
      isEval: true,
      name: sha,
      body: Buffer.from(body),
      flags: shebang.flags,
      shebangBytes: shebang.length,
      ref: 0,
      loaded,
    };
    const error = this.compile(engine, script);
    if (error !== null) return `ERR Error compiling script (new function): ${error}`;
    if (!loaded) this.makeRoom(engine);
    this.scripts.set(sha, script);
    if (!loaded) this.recent.add(script);
    this.bytes += body.length + SCRIPT_OVERHEAD_BYTES;
    return script;
  }

  private makeRoom(engine: Engine): void {
    if (this.recent.size < EVAL_SCRIPTS_MAX) return;
    const oldest = this.recent.values().next().value!;
    this.recent.delete(oldest);
    this.scripts.delete(oldest.name);
    this.bytes -= oldest.body.length + SCRIPT_OVERHEAD_BYTES;
    this.evicted++;
    if (oldest.ref !== 0) engine.vm.api.luaL_unref(engine.vm.L, REGISTRY, oldest.ref);
  }

  /** Compiles a script for this interpreter; the error's text, or null. */
  compile(engine: Engine, script: Script): string | null {
    const { vm } = engine;
    const ok = vm.load(vm.L, script.body.subarray(script.shebangBytes), "@user_script");
    if (ok) {
      script.ref = vm.api.luaL_ref(vm.L, REGISTRY);
      return null;
    }
    const text = vm.cText(vm.L, -1) ?? "";
    vm.pop(vm.L, 1);
    return text;
  }
}

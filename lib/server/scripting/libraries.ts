/**
 * Function libraries as data: which there are, their functions by name, and how two sets of them become one. COLD. Redis 7.2 functions.c.
 * Leaves out Lua: a function is a reference that function_engine.ts knows how to call.
 */
import { splitArgs } from "../../bytes/args.ts";

/** A function of a library. */
export interface LibraryFunction {
  readonly isEval: false;
  name: string;
  description: string | null;
  /** Bits of shebang.ts. */
  flags: number;
  library: Library;
  /** Its callback in the registry of the present interpreter; 0: that interpreter has lost it. */
  ref: number;
}

/** A library. */
export interface Library {
  name: string;
  /** The text it was loaded from, first line included. */
  code: Buffer;
  /** By name, in which case counts. */
  functions: Map<string, LibraryFunction>;
}

export const BAD_NAME = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

export function isName(name: string): boolean {
  return /^[a-zA-Z0-9_]+$/.test(name);
}

/** What a library's first line says: its name, and where its code begins; or the error's text. */
export function readLibraryHead(code: Buffer): { name: string; start: number } | { error: string } {
  if (code[0] !== 35 || code[1] !== 33) return { error: "Missing library metadata" };
  const end = code.indexOf(10);
  const nul = code.indexOf(0);
  if (end < 0 || (nul >= 0 && nul < end)) return { error: "Invalid library metadata" };
  const words = splitArgs(code.toString("latin1", 0, end));
  if (words === null || words.length === 0) return { error: "Invalid library metadata" };
  let name: string | null = null;
  for (const word of words.slice(1)) {
    if (word.slice(0, 5).toLowerCase() !== "name=") return { error: `Invalid metadata value given: ${word}` };
    if (name !== null) return { error: "Invalid metadata value, name argument was given multiple times" };
    name = word.slice(5);
  }
  if (name === null) return { error: "Library name was not given" };
  if (!isName(name)) return { error: BAD_NAME };
  const engine = words[0].slice(2);
  if (engine.toLowerCase() !== "lua") return { error: `Engine '${engine}' not found` };
  return { name, start: end };
}

/** What a library costs beside its text, and a function (Redis: the structures and the dictionaries' entries). */
const LIBRARY_BYTES = 88;
const FUNCTION_BYTES = 80;

/** A set of libraries in which no function's name comes twice, whatever its case. */
export class LibrarySet {
  readonly libraries: Map<string, Library>;
  /** By lower-case name. */
  private readonly functions: Map<string, LibraryFunction>;

  constructor() {
    this.libraries = new Map();
    this.functions = new Map();
  }

  find(name: string): LibraryFunction | undefined {
    return this.functions.get(name.toLowerCase());
  }
  get functionCount(): number {
    return this.functions.size;
  }
  /** What the libraries cost. */
  get bytes(): number {
    let n = 0;
    for (const library of this.libraries.values()) {
      n += LIBRARY_BYTES + library.name.length + library.code.length;
      for (const f of library.functions.values()) n += FUNCTION_BYTES + f.name.length + (f.description?.length ?? 0);
    }
    return n;
  }

  /** Adds a library; the error's text when a function of that name is there already. */
  add(library: Library): string | null {
    const taken = this.clash(library);
    if (taken !== null) return taken;
    this.link(library);
    return null;
  }

  private clash(library: Library): string | null {
    for (const name of library.functions.keys()) if (this.find(name) !== undefined) return `Function ${name} already exists`;
    return null;
  }

  link(library: Library): void {
    this.libraries.set(library.name, library);
    for (const f of library.functions.values()) {
      const name = f.name.toLowerCase();
      if (!this.functions.has(name)) this.functions.set(name, f);
    }
  }

  remove(library: Library): void {
    this.libraries.delete(library.name);
    for (const f of library.functions.values()) {
      const name = f.name.toLowerCase();
      if (this.functions.get(name) === f) this.functions.delete(name);
    }
  }

  /**
   * Takes over the libraries of another set, in place of those of the same name if `replace`. The error's text, and nothing has changed, when
   * names clash. Returns the libraries that went.
   */
  join(other: LibrarySet, replace: boolean): Library[] | string {
    const gone: Library[] = [];
    const undo = (error: string): string => {
      for (const library of gone) this.link(library);
      return error;
    };
    for (const library of other.libraries.values()) {
      const old = this.libraries.get(library.name);
      if (old === undefined) continue;
      if (!replace) return undo(`Library ${library.name} already exists`);
      this.remove(old);
      gone.push(old);
    }
    for (const library of other.libraries.values()) {
      const taken = this.clash(library);
      if (taken !== null) return undo(taken);
    }
    for (const library of other.libraries.values()) this.link(library);
    return gone;
  }
}

/**
 * The configuration of a running server or Sentinel: every directive's value, CONFIG GET and SET, and the entries that CONFIG REWRITE writes.
 * Cold: hot code asks `watch` to keep a copy of the few values it needs.
 *
 *     file, stdin, --name value --> redis_conf.ts --> Config.readLine --+--> value --> watchers (keep copies; cannot fail)
 *     CONFIG SET ------------------------------> Config.set ------------+          \-> hooks (act; may refuse, then all is rolled back)
 *
 * Knows no files and no sockets. `dir` is the process' working directory, reached through the two functions given to the constructor.
 */
import { splitArgs } from "../bytes/args.ts";
import { globMatchText } from "../bytes/glob.ts";
import { strerror } from "../bytes/errno.ts";
import { byteText, systemPath } from "../bytes/path.ts";
import { type BoolName, type DirectiveName, type EnumName, type EnumValue, type NumberName, ROWS, type StringName } from "./redis_rows.ts";
import { DEBUG, DENY_LOADING, HIDDEN, IMMUTABLE, MULTI, PROTECTED, type Row, SENSITIVE, VOLATILE } from "./row.ts";
import { initialValue, parsePlain, plainLine, type Plain, type Refusal, type Value } from "./values.ts";
import { SPECIALS, type SpecialKind, type SpecialName, type SpecialValues } from "./specials.ts";
import type { RewriteEntry } from "./rewrite.ts";

/** Acts on changed directives. Gives null, or the reason why the change must be undone. */
export type Hook = (config: Config) => string | null;
export type Watcher = (config: Config) => void;

export interface ConfigOptions {
  /** Sentinel starts from other defaults: port 26379, protected-mode no; and keeps no `save` lines. */
  sentinel?: boolean;
  /** The working directory, which `dir` is. Tests give their own. */
  chdir?: (path: string) => void;
  cwd?: () => string;
  /** Takes what Redis logs as a warning. */
  warn?: (text: string) => void;
}

/** Who sends CONFIG SET. */
export interface Setter {
  /** A data set is being loaded. */
  loading: boolean;
  /** `enable-protected-configs` lets this client change protected directives. */
  mayProtected: boolean;
}

/** A directive's value and who wants to hear of it. */
class Slot {
  readonly row: Row;
  now: Value;
  readonly watchers: Watcher[];
  readonly hooks: Hook[];

  constructor(row: Row, now: Value) {
    this.row = row;
    this.now = now;
    this.watchers = [];
    this.hooks = [];
  }
}

/** A name that leads to a slot: its own, or an older alias. */
interface Named {
  name: string;
  slot: Slot;
}

export class Config {
  /** Absolute path of the file read at the start, or null. */
  file: string | null;
  readonly sentinel: boolean;
  /** `user` lines, each as its words behind `user`. */
  readonly users: string[][];
  /** What `rename-command` lines come to: a command's own name, and the one it has now ("" for none). */
  readonly renames: [string, string][];
  /** `loadmodule` lines: path and arguments. */
  readonly modules: string[][];
  /** Directives with a dot in their name: they belong to modules. */
  readonly moduleSettings: [string, string][];
  private readonly names: Map<string, Named>;
  private readonly chdir: (path: string) => void;
  private readonly cwd: () => string;
  private readonly warn: (text: string) => void;
  /** `save` lines of files add up; the first one drops the defaults. */
  private saveLineSeen: boolean;

  constructor(options: ConfigOptions = {}) {
    this.file = null;
    this.sentinel = options.sentinel ?? false;
    this.users = [];
    this.renames = [];
    this.modules = [];
    this.moduleSettings = [];
    this.names = new Map();
    this.chdir = options.chdir ?? ((path) => process.chdir(systemPath(path)));
    this.cwd = options.cwd ?? (() => byteText(process.cwd()));
    this.warn = options.warn ?? (() => undefined);
    this.saveLineSeen = false;
    for (const row of ROWS as readonly Row[]) {
      const slot = new Slot(row, row.type === "special" ? specialNow(row.name as SpecialName) : initialValue(row));
      for (const name of [row.name, ...row.aliases]) this.names.set(name, { name, slot });
    }
    if (this.sentinel) {
      this.slot("port").now = { value: 26379, text: "26379" };
      this.slot("protected-mode").now = { value: false, text: "no" };
    }
  }

  // ---------------------------------------------------------------------------------------------------------------- values

  bool(name: BoolName): boolean {
    return this.slot(name).now.value as boolean;
  }

  number(name: NumberName): number {
    return this.slot(name).now.value as number;
  }

  /** "" when it is not set. */
  text(name: StringName): string {
    return this.slot(name).now.text;
  }

  choice<N extends EnumName>(name: N): EnumValue<N> {
    return this.slot(name).now.value as EnumValue<N>;
  }

  special<N extends SpecialName>(name: N): SpecialValues[N] {
    if (name === "dir") return this.cwd() as SpecialValues[N];
    return this.slot(name).now.value as SpecialValues[N];
  }

  /** A directive's row by any of its names, in any case; null when there is none. */
  row(name: string): Row | null {
    return this.names.get(name.toLowerCase())?.slot.row ?? null;
  }

  /** The value as CONFIG GET prints it; null for a name that is no directive. */
  show(name: string): string | null {
    const named = this.names.get(name.toLowerCase());
    return named === undefined ? null : this.textOf(named.slot);
  }

  /** Calls `fn` now and after every change of one of the directives: for copies that hot code reads. */
  watch(names: DirectiveName | readonly DirectiveName[], fn: Watcher): void {
    for (const name of listOf(names)) this.slot(name).watchers.push(fn);
    fn(this);
  }

  /**
   * Has `fn` act when CONFIG SET changed one or several of the directives (once for all of them), after all values are in place and the
   * watchers ran. A text that it gives undoes the whole CONFIG SET and is its error.
   */
  hook(names: DirectiveName | readonly DirectiveName[], fn: Hook): void {
    for (const name of listOf(names)) this.slot(name).hooks.push(fn);
  }

  /** The program's own change (REPLICAOF, ACL SETUSER default, SENTINEL SET): no hooks, no gates. Throws when the words are refused. */
  assign(name: DirectiveName, ...words: string[]): void {
    const error = this.put({ name, slot: this.slot(name) }, words);
    if (error !== null) throw new Error(`assign ${name} ${words.join(" ")}: ${error.error}`);
  }

  // ---------------------------------------------------------------------------------------------------------------- files

  /** A line of a file whose first word is a directive's name. Gives Redis' error text, or null. Redis config.c: loadServerConfigFromString. */
  readLine(words: readonly string[]): string | null {
    const named = this.names.get(words[0].toLowerCase());
    if (named === undefined) return "Bad directive or wrong number of arguments";
    let values = words.slice(1);
    const multi = (named.slot.row.flags & MULTI) !== 0;
    if (!multi && values.length !== 1) return "wrong number of arguments";
    // `save "900 1"` is `save 900 1`; but `save ""` stays.
    if (multi && values.length === 1 && values[0] !== "") values = splitArgs(values[0]) ?? [];
    if (named.slot.row.name === "save") return this.readSaveLine(named, values);
    return this.put(named, values)?.error ?? null;
  }

  /** A `rename-command` line; a name that an earlier one gave can be renamed again. */
  rename(from: string, to: string): void {
    const earlier = this.renames.find(([, now]) => now !== "" && now.toLowerCase() === from.toLowerCase());
    if (earlier !== undefined) earlier[1] = to;
    else this.renames.push([from, to]);
  }

  private readSaveLine(named: Named, values: string[]): string | null {
    const before = this.saveLineSeen ? this.special("save") : [];
    const error = this.put(named, values);
    if (error !== null) return error.error;
    this.saveLineSeen = true;
    const empty = values.length === 1 && values[0] === "";
    if (!empty) named.slot.now = valueOf(SPECIALS.save, [...before, ...this.special("save")]);
    for (const fn of named.slot.watchers) fn(this);
    return null;
  }

  // ---------------------------------------------------------------------------------------------------------------- CONFIG GET

  /** CONFIG GET: names (as asked for) and values, each name once. Hidden directives answer to their full name only. */
  match(patterns: readonly string[]): [string, string][] {
    const found = new Map<string, [string, string]>();
    const add = (shown: string, slot: Slot): void => {
      if (!found.has(shown.toLowerCase())) found.set(shown.toLowerCase(), [shown, this.textOf(slot)]);
    };
    for (const pattern of patterns) {
      if (!/[[*?]/.test(pattern)) {
        const named = this.names.get(pattern.toLowerCase());
        if (named !== undefined) add(pattern, named.slot);
        continue;
      }
      for (const { name, slot } of this.names.values())
        if ((slot.row.flags & HIDDEN) === 0 && globMatchText(pattern, name, true)) add(name, slot);
    }
    return [...found.values()];
  }

  // ---------------------------------------------------------------------------------------------------------------- CONFIG SET

  /** True when the directive's value must not be shown in logs. */
  isSensitive(name: string): boolean {
    return ((this.row(name)?.flags ?? 0) & SENSITIVE) !== 0;
  }

  /**
   * CONFIG SET name value [name value ...]: all or nothing. Gives null, or the error reply without its dash
   * ("ERR CONFIG SET failed ...", "LOADING ..."). `pairs` has an even length.
   */
  set(pairs: readonly string[], setter: Setter): string | null {
    const targets: Named[] = [];
    for (let i = 0; i < pairs.length; i += 2) {
      const named = this.names.get(pairs[i].toLowerCase());
      const refused = this.gate(named, pairs[i], targets, setter);
      if (refused !== null) return refused;
      targets.push(named as Named);
    }
    const before = targets.map((t) => this.textOf(t.slot));
    const kept = targets.map((t) => t.slot.now);
    const hooks: { fn: Hook; name: string }[] = [];
    for (const [i, target] of targets.entries()) {
      const was = target.slot.now;
      const error = this.put(target, wordsOf(target.slot.row, pairs[2 * i + 1]));
      if (error !== null) {
        this.restore(targets, kept, before);
        return failure(target.name, error.error);
      }
      const always = target.slot.row.type === "special" || (target.slot.row.flags & VOLATILE) !== 0;
      if (!always && was === target.slot.now) continue;
      for (const fn of target.slot.hooks) if (!hooks.some((h) => h.fn === fn)) hooks.push({ fn, name: target.name });
    }
    for (const [i, hook] of hooks.entries()) {
      const error = hook.fn(this);
      if (error === null) continue;
      this.warn(`Failed applying new configuration. Possibly related to new ${hook.name} setting. Restoring previous settings.`);
      this.restore(targets, kept, before);
      for (const again of hooks.slice(0, i + 1)) {
        const second = again.fn(this);
        if (second !== null) this.warn(`Failed applying restored failed CONFIG SET command: ${second}`);
      }
      return failure(hook.name, error);
    }
    return null;
  }

  /** May this client change this directive now? Redis asks in this order. */
  private gate(named: Named | undefined, typed: string, before: readonly Named[], setter: Setter): string | null {
    if (named === undefined) return `ERR Unknown option or number of arguments for CONFIG SET - '${typed}'`;
    const { flags } = named.slot.row;
    if ((flags & IMMUTABLE) !== 0) return failure(typed, "can't set immutable config");
    if ((flags & PROTECTED) !== 0 && !setter.mayProtected) return failure(typed, "can't set protected config");
    if ((flags & DENY_LOADING) !== 0 && setter.loading) return "LOADING Redis is loading the dataset in memory";
    return before.includes(named) ? failure(typed, "duplicate parameter") : null;
  }

  private restore(targets: readonly Named[], kept: readonly Value[], texts: readonly string[]): void {
    for (const [i, { slot, name }] of targets.entries()) {
      if (slot.row.name === "dir") {
        const error = this.put({ name, slot }, [texts[i]]);
        if (error !== null) this.warn(`Failed restoring failed CONFIG SET command. Error setting ${name} to '${texts[i]}': ${error.error}`);
        continue;
      }
      if (slot.now === kept[i]) continue;
      slot.now = kept[i];
      for (const fn of slot.watchers) fn(this);
    }
  }

  // ---------------------------------------------------------------------------------------------------------------- CONFIG REWRITE

  /** What CONFIG REWRITE puts into the file, for rewriteConfigText; `users` are the ACL's `user` lines, null when an aclfile keeps them. */
  rewriteEntries(users: readonly string[] | null): RewriteEntry[] {
    const entries: RewriteEntry[] = [];
    for (const { name, slot } of this.names.values()) {
      if (name !== slot.row.name) continue;
      entries.push({ key: name, line: null, force: false });
      for (const { line, force } of this.linesOf(slot)) entries.push({ key: name, line, force });
    }
    entries.push({ key: "user", line: null, force: false }, { key: "loadmodule", line: null, force: false });
    for (const line of users ?? []) entries.push({ key: "user", line: `user ${line}`, force: true });
    return entries;
  }

  /** The part of the configuration that a crash report shows, as lines of a file. Redis config.c: getConfigDebugInfo. */
  debugText(): string {
    const lines: string[] = [];
    for (const { name, slot } of this.names.values())
      if (name === slot.row.name && (slot.row.flags & DEBUG) !== 0) for (const { line } of this.linesOf(slot)) lines.push(`${line}\n`);
    return lines.join("");
  }

  private linesOf(slot: Slot): { line: string; force: boolean }[] {
    const { row } = slot;
    if (row.type === "special") {
      // Sentinel saves nothing; Redis drops these lines from its file too.
      if (row.name === "save" && this.sentinel) return [];
      const name = row.name as SpecialName;
      return kindOf(name).lines(this.special(name) as never);
    }
    const line = plainLine(row, slot.now as Value<Plain>);
    return line === null ? [] : [line];
  }

  // ---------------------------------------------------------------------------------------------------------------- inside

  private slot(name: string): Slot {
    const named = this.names.get(name);
    if (named === undefined) throw new Error(`no directive ${name}`);
    return named.slot;
  }

  private textOf(slot: Slot): string {
    return slot.row.name === "dir" ? this.cwd() : slot.now.text;
  }

  /** Reads the words into the slot and tells the watchers when the value is another one. */
  private put({ slot }: Named, words: readonly string[]): Refusal | null {
    const { row } = slot;
    const was = slot.now;
    if (row.type === "special") {
      const kind = kindOf(row.name as SpecialName);
      const read = kind.parse(words, was.value as never);
      if ("error" in read) return read;
      if (row.name === "dir") {
        try {
          this.chdir(read.value as string);
        } catch (e) {
          return { error: strerror(e) };
        }
      }
      slot.now = valueOf(kind, read.value);
    } else {
      const read = parsePlain(row, words);
      if ("error" in read) return read;
      if (read.value !== was.value || read.text !== was.text) slot.now = read;
    }
    if (slot.now !== was) for (const fn of slot.watchers) fn(this);
    return null;
  }
}

function listOf<T>(one: T | readonly T[]): readonly T[] {
  return Array.isArray(one) ? one : [one as T];
}

function kindOf(name: SpecialName): SpecialKind<unknown> {
  return SPECIALS[name] as SpecialKind<unknown>;
}

function valueOf<T>(kind: SpecialKind<T>, value: T): Value<T> {
  return { value, text: kind.text(value) };
}

function specialNow(name: SpecialName): Value {
  return valueOf(kindOf(name), kindOf(name).initial);
}

/** CONFIG SET has one argument a directive; those with several words are split at every single blank. "" has no words. */
function wordsOf(row: Row, value: string): string[] {
  if ((row.flags & MULTI) === 0) return [value];
  return value === "" ? [] : value.split(" ");
}

function failure(name: string, reason: string): string {
  return `ERR CONFIG SET failed (possibly related to argument '${name}') - ${reason}`;
}

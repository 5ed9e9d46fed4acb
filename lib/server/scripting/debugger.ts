/**
 * The Lua debugger: what an EVAL does after SCRIPT DEBUG SYNC. COLD.
 *
 *   line hook --stopsAt--> the script yields, its client's words are commands --step, continue--> the script goes on ... <endsession>, reply
 *
 * Everybody else is answered BUSY while it lasts. Words and answers follow Redis eval.c (ldb), as redis-cli --ldb-sync-mode shows them: an
 * answer is an array of lines. Leaves out the forked sessions of SCRIPT DEBUG YES (there is no fork), and cannot stop inside a callback of a
 * C function (sort, gsub, a metamethod): the line after it is where it stops then; a backtrace ends at the pcall or coroutine it is in.
 * scripting.ts runs the script and hands in the words.
 */
import { quoteArg } from "../../bytes/args.ts";
import { doubleText } from "../../bytes/number.ts";
import type { Out } from "../../resp/out.ts";
import { GLOBALS, type LuaVm, T_BOOLEAN, T_NIL, T_NUMBER, T_STRING, T_TABLE } from "./lua_vm.ts";

/** Characters of a line of an answer, unless maxlen says otherwise; its lowest limit; breakpoints; nested tables shown. */
const MAX_CHARS = 256;
const LEAST_CHARS = 60;
const BREAKPOINTS_MAX = 64;
const DEPTH_MAX = 50;
const AROUND = 5;

const HELP = [
  "A command may be shortened to its first letter.",
  "step, next         run this line and stop at the next one",
  "continue           run to the next breakpoint or the end",
  "list [LINE [N]]    the lines around this one, or N lines on each side of LINE",
  "whole              all lines",
  "print [NAME]       the local variables, or the one called NAME, also KEYS and ARGV",
  "break              the breakpoints",
  "break LINE ...     set them; -LINE takes one away, 0 all",
  "trace              who called whom",
  "eval CODE          run Lua code, which does not see the script's locals",
  "redis COMMAND ...  run a command of the server",
  "maxlen [N]         show at most N characters of a value or reply; 0: all",
  "abort              end the script; what it has changed stays",
  "In scripts: redis.breakpoint() stops at the next line, redis.debug(...) shows values here.",
];

/** What is to become of the script after a command. */
export const STAYS = 0;
export const GOES_ON = 1;
export const ABORTED = 2;

export class DebugSession {
  private readonly vm: LuaVm;
  private readonly source: string[];
  private readonly breakpoints: Set<number>;
  private logs: string[];
  private maxChars: number;
  private hinted: boolean;
  /** It stops at the next line; and why, when that is not because it was told to step. */
  private steps: boolean;
  private reason: string;
  private line: number;
  /** The state that has stopped: the script's thread, or a coroutine of it. */
  L: number;
  private pc: number;
  /** It waits for commands. */
  waits: boolean;

  constructor(vm: LuaVm, body: string) {
    this.vm = vm;
    this.source = body.split("\n");
    if (this.source.at(-1) === "") this.source.pop();
    this.breakpoints = new Set();
    this.logs = [];
    this.maxChars = MAX_CHARS;
    this.hinted = false;
    this.steps = true;
    this.reason = "step over";
    this.line = 0;
    this.L = 0;
    this.pc = 0;
    this.waits = false;
  }

  // ------------------------------------------------------------------------------------------------ the script

  /** The script comes to a line. True: it is to stop there. */
  stopsAt(L: number, line: number): boolean {
    // A state that goes on comes to the instruction where it was stopped once more.
    const pc = this.vm.programCounter(L);
    const again = L === this.L && pc === this.pc;
    this.pc = 0;
    const atBreakpoint = this.breakpoints.has(line);
    if (again || (!this.steps && !atBreakpoint)) return false;
    this.line = line;
    this.L = L;
    this.pc = pc;
    this.waits = true;
    this.steps = false;
    const reason = atBreakpoint ? "break point" : this.reason;
    this.say(`* Stopped at ${line}, stop reason = ${reason}`);
    this.sayLine(line);
    this.reason = "step over";
    return true;
  }
  /** Stops at the next line because of `reason`. */
  stopNext(reason: string): void {
    this.steps = true;
    this.reason = reason;
  }

  /** redis.call and its reply, as the script makes it: shown while stepping. */
  called(words: string[]): void {
    if (this.steps) this.sayCut(`<redis> ${words.join(" ")}`);
  }
  replied(capture: Buffer): void {
    if (this.steps) this.sayCut(`<reply> ${human(capture)}`);
  }
  failed(text: string): void {
    if (this.steps) this.say(`<error> ${text}`);
  }
  /** redis.debug(): the arguments on the stack. */
  debug(L: number): void {
    const values = Array.from({ length: this.vm.api.lua_gettop(L) }, (_, i) => this.value(L, i + 1, 0));
    this.say(`<debug> line ${this.vm.where(L, 1)?.line ?? this.line}: ${values.join(", ")}`);
  }

  // ------------------------------------------------------------------------------------------------ answers

  private say(text: string): void {
    this.logs.push(text.replace(/[\r\n]/g, " "));
  }
  private sayCut(text: string): void {
    if (this.maxChars === 0 || text.length <= this.maxChars) return this.say(text);
    this.say(`${text.slice(0, this.maxChars)} ...`);
    if (this.hinted) return;
    this.hinted = true;
    this.say("<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.");
  }
  private sayLine(line: number): void {
    if (line < 1 || line > this.source.length) return;
    const mark = (line === this.line ? "->" : "  ") + (this.breakpoints.has(line) ? "#" : " ");
    this.say(`${mark}${String(line).padEnd(3)} ${this.source[line - 1]}`);
  }
  private sayLines(from: number, to: number): void {
    for (let i = Math.max(1, from); i <= Math.min(this.source.length, to); i++) this.sayLine(i);
  }

  /** What there is to say so far. */
  answer(out: Out): void {
    out.array(this.logs.length);
    for (const line of this.logs) out.status(line);
    this.logs = [];
  }
  /** The script has come to its end: its reply follows. */
  end(out: Out): void {
    this.say("<endsession>");
    this.answer(out);
  }

  // ------------------------------------------------------------------------------------------------ commands

  /** A command of the client's; `inside` runs what executes commands of the server. */
  command(words: string[], inside: (f: () => void) => void): number {
    const name = words[0].toLowerCase();
    const is = (long: string): boolean => name === long || name === long[0];
    const n = words.length;
    if (n === 1 && (is("step") || is("next") || is("continue"))) {
      this.steps = !is("continue");
      this.waits = false;
      return GOES_ON;
    }
    if (n === 1 && is("abort")) return ABORTED;
    if (n === 1 && is("help")) for (const line of HELP) this.say(line);
    else if (n === 1 && is("trace")) this.trace();
    else if (n === 1 && is("whole")) this.sayLines(1, this.source.length);
    else if (n <= 3 && is("list")) this.list(words);
    else if (n <= 2 && is("print")) this.print(words[1]);
    else if (is("break")) this.breaks(words.slice(1));
    else if (n <= 2 && is("maxlen")) this.maxlen(words[1]);
    else if (n > 1 && is("eval")) inside(() => this.evaluate(words.slice(1).join(" ")));
    else if (n > 1 && is("redis")) inside(() => this.redis(words.slice(1)));
    else this.say("<error> Unknown Redis Lua debugger command or wrong number of arguments.");
    return STAYS;
  }

  private list(words: string[]): void {
    const line = Number.parseInt(words[1] ?? "0", 10) || this.line;
    const around = words[2] === undefined ? AROUND : Number.parseInt(words[2], 10) || 0;
    this.sayLines(line - around, line + around);
  }

  private breaks(words: string[]): void {
    if (words.length === 0) {
      if (this.breakpoints.size === 0) return this.say("No breakpoints set. Use 'b <line>' to add one.");
      this.say(`${this.breakpoints.size} breakpoints set:`);
      for (const line of this.breakpoints) this.sayLine(line);
    }
    for (const word of words) {
      const line = /^-?\d+$/.test(word) ? Number(word) : NaN;
      if (Number.isNaN(line)) this.say(`Invalid argument:'${word}'`);
      else if (line === 0) {
        this.breakpoints.clear();
        this.say("All breakpoints removed.");
      } else if (line < 0) this.say(this.breakpoints.delete(-line) ? "Breakpoint removed." : "No breakpoint in the specified line.");
      else if (this.breakpoints.size === BREAKPOINTS_MAX) this.say("Too many breakpoints set.");
      else if (line > this.source.length) this.say("Wrong line number.");
      else {
        this.breakpoints.add(line);
        this.sayLines(line - 1, line + 1);
      }
    }
  }

  private maxlen(word: string | undefined): void {
    if (word !== undefined) {
      const chars = Math.max(0, Number.parseInt(word, 10) || 0);
      this.hinted = true;
      this.maxChars = chars === 0 ? 0 : Math.max(LEAST_CHARS, chars);
    }
    this.say(this.maxChars === 0 ? "<value> replies are unlimited." : `<value> replies are truncated at ${this.maxChars} bytes.`);
  }

  private trace(): void {
    const { vm, L } = this;
    for (let level = 0; ; level++) {
      const place = vm.where(L, level);
      if (place === null) return;
      if (place.source !== "@user_script") continue;
      this.say(`${level === 0 ? "In" : "From"} ${place.name ?? "top level"}:`);
      this.sayLine(level === 0 ? this.line : place.line);
    }
  }

  private print(name: string | undefined): void {
    const { vm, L } = this;
    const { api } = vm;
    for (let level = 0; name !== undefined || level === 0; level++) {
      if (!vm.inFrame(L, level, (at) => this.locals(at, name))) break;
      if (name !== undefined && this.found) return;
    }
    if (name === "KEYS" || name === "ARGV") {
      vm.getField(L, GLOBALS, name);
      this.sayCut(`<value> ${this.value(L, api.lua_gettop(L), 0)}`);
      vm.pop(L, 1);
    } else if (name !== undefined) this.say("No such variable.");
    else if (!this.found) this.say("No local variables in the current context.");
  }
  private found = false;
  /** The locals of a frame, or the one called `name`. */
  private locals(at: number, name: string | undefined): void {
    const { vm, L } = this;
    this.found = false;
    for (let i = 1; ; i++) {
      const local = vm.localName(L, at, i);
      if (local === null) return;
      const shown = name === undefined ? !local.startsWith("(*temporary") : local === name;
      if (shown) {
        this.found = true;
        this.sayCut(`<value> ${name === undefined ? `${local} = ` : ""}${this.value(L, vm.api.lua_gettop(L), 0)}`);
      }
      vm.pop(L, 1);
      if (shown && name !== undefined) return;
    }
  }

  private evaluate(code: string): void {
    const { vm } = this;
    const { L, api } = vm;
    const compiles = (text: string): boolean => vm.load(L, Buffer.from(text, "latin1"), "@ldb_eval");
    if (!compiles(`return ${code}`)) {
      vm.pop(L, 1);
      if (!compiles(code)) {
        this.say(`<error> ${vm.text(L, -1)}`);
        return vm.pop(L, 1);
      }
    }
    if (api.lua_pcall(L, 0, 1, 0) === 0) this.sayCut(`<retval> ${this.value(L, api.lua_gettop(L), 0)}`);
    else this.say(`<error> ${this.errorText(L)}`);
    vm.pop(L, 1);
  }
  private errorText(L: number): string {
    const { vm } = this;
    if (vm.api.lua_type(L, -1) !== T_TABLE) return vm.text(L, -1) ?? "unknown error";
    vm.rawField(L, -1, "err");
    const text = vm.text(L, -1) ?? "unknown error";
    vm.pop(L, 1);
    return text;
  }

  private redis(words: string[]): void {
    const { vm } = this;
    const { L, api } = vm;
    vm.getField(L, GLOBALS, "redis");
    vm.getField(L, -1, "call");
    if (api.lua_checkstack(L, words.length + 1) === 0) return this.say("<error> Too many arguments.");
    for (const word of words) vm.pushText(L, word);
    this.steps = true;
    api.lua_pcall(L, words.length, 1, 0);
    this.steps = false;
    vm.pop(L, 2);
  }

  // ------------------------------------------------------------------------------------------------ values

  /** A Lua value as text. */
  private value(L: number, index: number, depth: number): string {
    const { vm } = this;
    const { api } = vm;
    if (depth === DEPTH_MAX) return "<max recursion level reached! Nested table?>";
    const type = api.lua_type(L, index);
    if (type === T_STRING) return quoteArg(vm.text(L, index)!);
    if (type === T_BOOLEAN) return api.lua_toboolean(L, index) !== 0 ? "true" : "false";
    if (type === T_NUMBER) return doubleText(api.lua_tonumber(L, index));
    if (type === T_NIL) return "nil";
    if (type !== T_TABLE) return `"${vm.typeName(L, index)}"`;
    const items: string[] = [];
    const pairs: string[] = [];
    let listed = true;
    api.lua_checkstack(L, 4);
    api.lua_pushnil(L);
    while (api.lua_next(L, index) !== 0) {
      const top = api.lua_gettop(L);
      const text = this.value(L, top, depth + 1);
      items.push(text);
      if (api.lua_type(L, top - 1) !== T_NUMBER || api.lua_tonumber(L, top - 1) !== items.length) listed = false;
      pairs.push(`[${this.value(L, top - 1, depth + 1)}]=${text}`);
      vm.pop(L, 1);
    }
    return `{${(listed ? items : pairs).join("; ")}}`;
  }
}

/** A reply of the server as one line: strings and statuses quoted, arrays in brackets. */
function human(b: Buffer): string {
  let at = 0;
  const line = (): string => {
    const end = b.indexOf(13, at);
    const text = b.toString("latin1", at, end);
    at = end + 2;
    return text;
  };
  const many = (n: number, open: string, close: string, one: () => string): string =>
    `${open}${Array.from({ length: n }, one).join(",")}${close}`;
  const one = (): string => {
    const head = line();
    const rest = head.slice(1);
    switch (head[0]) {
      case "+":
      case "-":
        return quoteArg(head);
      case "$": {
        const n = Number(rest);
        if (n < 0) return "NULL";
        const text = b.toString("latin1", at, at + n);
        at += n + 2;
        return quoteArg(text);
      }
      case "*":
        return Number(rest) < 0 ? "NULL" : many(Number(rest), "[", "]", one);
      case "~":
        return many(Number(rest), "~(", ")", one);
      case "%":
        return many(Number(rest), "{", "}", () => `${one()} => ${one()}`);
      case "_":
        return "(null)";
      case "#":
        return rest === "t" ? "#true" : "#false";
      case ",":
        return `(double) ${rest}`;
      default:
        return rest;
    }
  };
  return one();
}

/**
 * A command as dispatch sees it: the table row's facts, the mode's function, the counters. One object a command or subcommand, made at start.
 * Rows are data (commands/table); a mode binds `run` to the rows it serves.
 */
import { FLAG } from "../commands/table/row.ts";
import type { Call } from "./call.ts";

/** The row facts dispatch needs; commands/table rows satisfy it. Flag bits are below. */
export interface CommandFacts {
  readonly name: string;
  readonly arity: number;
  readonly flags: number;
}

/** Gates: reasons for which the whole server refuses some commands now. A command's `gates` says which of them stop it. */
export const GATE_LOADING = 1;
export const GATE_STALE = 2;
export const GATE_READONLY = 4;
export const GATE_MISCONF = 8;
export const GATE_NOREPLICAS = 16;
/** maxmemory is set: look before commands that may use memory (and evict before any). */
export const GATE_MEMORY = 32;
export const GATE_BUSY = 64;
export const GATE_PAUSED_WRITES = 128;
export const GATE_PAUSED_ALL = 256;
/** A data set is being loaded beside the one that is served. */
export const GATE_ASYNC_LOADING = 512;

export type Run = (call: Call) => void;

/** Which gates stand against a command with these flags. */
export function gatesFor(name: string, f: number): number {
  let gates = GATE_PAUSED_ALL | GATE_MEMORY;
  if (!(f & FLAG.loading)) gates |= GATE_LOADING;
  if (f & FLAG.no_async_loading) gates |= GATE_ASYNC_LOADING;
  if (!(f & FLAG.stale)) gates |= GATE_STALE;
  if (f & FLAG.write) gates |= GATE_READONLY | GATE_MISCONF | GATE_NOREPLICAS | GATE_PAUSED_WRITES;
  if (name === "ping") gates |= GATE_MISCONF;
  if (f & FLAG.may_replicate) gates |= GATE_PAUSED_WRITES;
  if (!(f & FLAG.allow_busy)) gates |= GATE_BUSY;
  return gates;
}

export class Command {
  /** Lower case; a subcommand is `config|get`. */
  readonly name: string;
  /** The last part: `get` of `config|get`. */
  readonly shortName: string;
  readonly facts: CommandFacts;
  readonly arity: number;
  readonly flags: number;
  gates: number;
  /** Scripts: the flags of this one call, by what the script says of itself; null: the row's. `gates` is then all that may stand against any. */
  ask: ((call: Call) => number) | null;
  readonly parent: Command | null;
  readonly subs: Map<string, Command> | null;
  readonly run: Run;
  /** Position in the list of all commands: ACL bitmaps are indexed by it. */
  readonly id: number;
  calls: number;
  usec: number;
  rejected: number;
  failed: number;
  /** Latency histogram, made at the first call when latency-tracking is on; clients/latency.ts knows its form. */
  histogram: Uint32Array | null;

  constructor(facts: CommandFacts, gates: number, run: Run, id: number, parent: Command | null, container: boolean) {
    this.name = facts.name;
    const bar = facts.name.indexOf("|");
    this.shortName = bar < 0 ? facts.name : facts.name.slice(bar + 1);
    this.facts = facts;
    this.arity = facts.arity;
    this.flags = facts.flags;
    this.gates = gates;
    this.ask = null;
    this.parent = parent;
    this.subs = container ? new Map() : null;
    this.run = run;
    this.id = id;
    this.calls = 0;
    this.usec = 0;
    this.rejected = 0;
    this.failed = 0;
    this.histogram = null;
  }
}

/** Names to commands without making a string: an open-addressed table over the upper-cased bytes. HOT. */
export class CommandTable {
  private slots: (Command | null)[];
  private names: (Uint8Array | null)[];
  private mask: number;
  private count: number;
  /** Every command and subcommand, by id. */
  readonly all: Command[];

  constructor() {
    this.slots = new Array(1024).fill(null);
    this.names = new Array(1024).fill(null);
    this.mask = 1023;
    this.count = 0;
    this.all = [];
  }

  private static hash(b: Uint8Array, start: number, end: number): number {
    const n = end - start;
    if (n === 0) return 0;
    let h = n * 31 + (b[start] & 0xdf);
    if (n > 1) h = h * 31 + (b[start + 1] & 0xdf);
    if (n > 2) h = h * 31 + (b[start + 2] & 0xdf);
    h = h * 31 + (b[end - 1] & 0xdf);
    return (h ^ (h >>> 9)) | 0;
  }

  /** Adds a name (rename-command adds others, or none) for a command. */
  add(name: string, command: Command): void {
    if (this.count * 2 > this.mask) throw new Error("command table full");
    const b = Buffer.from(name.toUpperCase(), "latin1");
    let i = CommandTable.hash(b, 0, b.length) & this.mask;
    while (this.slots[i] !== null) i = (i + 1) & this.mask;
    this.slots[i] = command;
    this.names[i] = b;
    this.count++;
  }

  /** The command named buf[start, end) in any case, or null. */
  find(buf: Uint8Array, start: number, end: number): Command | null {
    let i = CommandTable.hash(buf, start, end) & this.mask;
    const n = end - start;
    for (;;) {
      const name = this.names[i];
      if (name === null) return null;
      if (name.length === n) {
        let j = 0;
        for (; j < n; j++) {
          let c = buf[start + j];
          if (c >= 97 && c <= 122) c -= 32;
          if (c !== name[j]) break;
        }
        if (j === n) return this.slots[i];
      }
      i = (i + 1) & this.mask;
    }
  }

  /** By lower-case name, `config|get` included (cold). */
  named(name: string): Command | null {
    const bar = name.indexOf("|");
    const b = Buffer.from(bar < 0 ? name : name.slice(0, bar), "latin1");
    const top = this.find(b, 0, b.length);
    if (bar < 0 || top === null) return top;
    return top.subs?.get(name.slice(bar + 1)) ?? null;
  }

  /** Top-level commands with the names they answer to, in table order. */
  *entries(): Generator<[string, Command]> {
    for (let i = 0; i <= this.mask; i++)
      if (this.slots[i] !== null) yield [Buffer.from(this.names[i]!).toString("latin1").toLowerCase(), this.slots[i]!];
  }
}

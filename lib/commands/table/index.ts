/**
 * The command table of a running mode: every row it knows, found by name. What a row is, row.ts says.
 *
 *   request bytes --find()/findSub()--> Row --id--> run[] (bound by whoever serves it)
 *
 * find() and findSub() are HOT: bytes in, row out, no strings; one open-addressing table holds names and subcommands alike.
 * The rest is for load time and cold commands. Building takes about a millisecond, so each process builds the one it needs.
 */
import { equalsIgnoreCase } from "../../bytes/ascii.ts";
import { bitmap } from "./bitmap.ts";
import { cluster } from "./cluster.ts";
import { connection } from "./connection.ts";
import { generic } from "./generic.ts";
import { geo } from "./geo.ts";
import { hash } from "./hash.ts";
import { hyperloglog } from "./hyperloglog.ts";
import { list } from "./list.ts";
import { pubsub } from "./pubsub.ts";
import { type CommandLiterals, FLAG, Row } from "./row.ts";
import { scripting } from "./scripting.ts";
import { sentinel } from "./sentinel.ts";
import { server } from "./server.ts";
import { serverAdmin } from "./server_admin.ts";
import { set } from "./set.ts";
import { sortedSet } from "./sorted_set.ts";
import { stream } from "./stream.ts";
import { string } from "./string.ts";
import { transactions } from "./transactions.ts";

/** Every literal, by the name of its group in COMMAND DOCS. */
const GROUPS: readonly (readonly [group: string, rows: CommandLiterals])[] = [
  ["string", string],
  ["generic", generic],
  ["connection", connection],
  ["server", server],
  ["server", serverAdmin],
  ["list", list],
  ["hash", hash],
  ["set", set],
  ["sorted-set", sortedSet],
  ["stream", stream],
  ["pubsub", pubsub],
  ["transactions", transactions],
  ["scripting", scripting],
  ["bitmap", bitmap],
  ["geo", geo],
  ["hyperloglog", hyperloglog],
  ["cluster", cluster],
  ["sentinel", sentinel],
];

/** Which rows a mode knows: a server (the proxy reads its rows too), a Sentinel, or simply all. */
export type TableMode = "server" | "sentinel" | "all";

function serves(mode: TableMode, flags: number): boolean {
  if (mode === "sentinel") return (flags & FLAG.sentinel) !== 0;
  return mode === "all" || (flags & FLAG.only_sentinel) === 0;
}

/** Built tables, one a mode. */
const built = new Map<TableMode, RowTable>();

/** The table of a mode; built at the first call, the same one ever after. */
export function rowTable(mode: TableMode): RowTable {
  let table = built.get(mode);
  if (table === undefined) {
    table = new RowTable(mode);
    built.set(mode, table);
  }
  return table;
}

export class RowTable {
  /** Top-level commands, in the table's order. */
  rows: Row[];
  /** Commands and subcommands; all[row.id] === row. Renaming leaves it alone. */
  readonly all: readonly Row[];
  /** Names as clients write them, lower case, to top-level rows; differs from row.name after a rename. */
  private readonly names: Map<string, Row>;
  /** Open addressing: row id + 1, or 0; capacity is a power of two. `keys` are the names, same places. */
  private slots: Int32Array;
  private keys: string[];
  /** Longest name: what is longer is no command and is not hashed. */
  private longest: number;

  /** `keep` leaves rows out, for a mode that does not serve them all. */
  constructor(mode: TableMode, keep: (row: Row) => boolean = () => true) {
    const all: Row[] = [];
    this.rows = [];
    this.names = new Map();
    for (const [group, literals] of GROUPS)
      for (const [name, literal] of Object.entries(literals)) {
        const row = new Row(all.length, name, null, group, literal);
        if (!serves(mode, row.flags) || !keep(row)) continue;
        all.push(row);
        this.rows.push(row);
        this.names.set(name, row);
        if (literal.subcommands === undefined) continue;
        row.subcommands = [];
        for (const [subName, subLiteral] of Object.entries(literal.subcommands)) {
          const sub = new Row(all.length, subName, row, group, subLiteral);
          if (!serves(mode, sub.flags) || !keep(sub)) continue;
          all.push(sub);
          row.subcommands.push(sub);
        }
      }
    this.all = all;
    this.slots = new Int32Array(0);
    this.keys = [];
    this.longest = 0;
    this.index();
  }

  /** The top-level command that b[start, end) names, in any case; null when there is none. HOT. */
  find(b: Uint8Array, start: number, end: number): Row | null {
    return this.probe(b, start, end, null);
  }

  /** The subcommand of `container` that b[start, end) names, in any case; null when there is none. HOT. */
  findSub(container: Row, b: Uint8Array, start: number, end: number): Row | null {
    return this.probe(b, start, end, container);
  }

  /** By lower-case name, a subcommand as `config|get`. */
  get(name: string): Row | undefined {
    const bar = name.indexOf("|");
    if (bar < 0) return this.names.get(name);
    const sub = name.slice(bar + 1);
    return this.names.get(name.slice(0, bar))?.subcommands?.find((row) => row.shortName === sub);
  }

  /**
   * rename-command: what was called `from` is called `to` from now on, or nothing when `to` is empty. Names in any case.
   * The row keeps its own name, which replies and errors show. Redis server.c and config.c rename-command.
   */
  rename(from: string, to: string): "ok" | "no such command" | "name taken" {
    const row = this.names.get(from.toLowerCase());
    if (row === undefined) return "no such command";
    this.names.delete(from.toLowerCase());
    const gone = to === "";
    const taken = !gone && this.names.has(to.toLowerCase());
    if (!gone && !taken) this.names.set(to.toLowerCase(), row);
    this.rows = [...this.names.values()].sort((a, b) => a.id - b.id);
    this.index();
    return taken ? "name taken" : "ok";
  }

  private index(): void {
    let capacity = 256;
    while (capacity < this.all.length * 2) capacity *= 2;
    this.slots = new Int32Array(capacity);
    this.keys = new Array<string>(capacity).fill("");
    for (const [name, row] of this.names) {
      this.insert(name, row);
      if (row.subcommands !== null) for (const sub of row.subcommands) this.insert(sub.shortName, sub);
    }
  }

  private insert(name: string, row: Row): void {
    if (name.length > this.longest) this.longest = name.length;
    const mask = this.slots.length - 1;
    let h = hashStart(row.parent);
    for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
    let i = (h ^ (h >>> 15)) & mask;
    while (this.slots[i] !== 0) i = (i + 1) & mask;
    this.slots[i] = row.id + 1;
    this.keys[i] = name;
  }

  private probe(b: Uint8Array, start: number, end: number, parent: Row | null): Row | null {
    if (end - start > this.longest) return null;
    const slots = this.slots;
    const mask = slots.length - 1;
    let h = hashStart(parent);
    for (let p = start; p < end; p++) {
      let c = b[p];
      if (c >= 65 && c <= 90) c |= 32;
      h = Math.imul(h ^ c, 0x01000193);
    }
    let i = (h ^ (h >>> 15)) & mask;
    for (;;) {
      const id = slots[i];
      if (id === 0) return null;
      const row = this.all[id - 1];
      if (row.parent === parent && equalsIgnoreCase(b, start, end, this.keys[i])) return row;
      i = (i + 1) & mask;
    }
  }
}

/** Where FNV-1a begins: elsewhere for each container, so that one table holds all. Names are ours: no one can make them collide. */
function hashStart(parent: Row | null): number {
  return parent === null ? 0x811c9dc5 : 0x811c9dc5 ^ (parent.id + 1);
}

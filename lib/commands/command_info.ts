/**
 * What COMMAND and the HELP of every container answer, built from rows. COLD.
 *
 *   RowTable (the rows that the running mode serves) + a frame of arguments --> Out
 *
 * Shapes as Redis 7.2 server.c addReplyCommandInfo and addReplyCommandDocs, RESP2 and RESP3; texts are redisha's own, errors Redis'.
 * Leaves out modules: a MODULE filter matches nothing. commandRuns() binds all of it.
 */
import { globMatchText } from "../bytes/glob.ts";
import type { Call } from "../clients/call.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import type { Out } from "../resp/out.ts";
import { type Arg, parseArgs, syntaxOf } from "./table/args.ts";
import type { RowTable } from "./table/index.ts";
import { findKeys, KeyList } from "./table/keys.ts";
import {
  ACL,
  BY_INDEX,
  BY_KEYWORD,
  FIND_KEYNUM,
  FIND_RANGE,
  FLAG,
  KEY,
  type KeySpec,
  NO_KEYS,
  type Row,
  SHOWN_FLAGS,
} from "./table/row.ts";

/** Functions for COMMAND and its subcommands, by row name, over the rows of `table`. */
export function commandRuns(table: RowTable): Record<string, (call: Call) => void> {
  const namesFrom2 = (call: Call): string[] | null => {
    if (call.argc === 2) return null;
    return Array.from({ length: call.argc - 2 }, (_, i) => call.lower(i + 2));
  };
  return {
    command: (call) => infoReply(table, null, call.out),
    "command|count": (call) => call.out.int(table.rows.length),
    "command|info": (call) => infoReply(table, namesFrom2(call), call.out),
    "command|docs": (call) => docsReply(table, namesFrom2(call), call.out),
    "command|list": (call) => listCommand(table, call),
    "command|getkeys": (call) => getKeysCommand(table, call, false),
    "command|getkeysandflags": (call) => getKeysCommand(table, call, true),
    "command|help": (call) => helpReply(table.get("command")!, call.out),
  };
}

// -------------------------------------------------------------------------------------------------- COMMAND, COMMAND INFO

/** COMMAND [INFO]: an array of rows; nil in place of a name that is none. `names` null: all top-level commands. */
export function infoReply(table: RowTable, names: readonly string[] | null, out: Out): void {
  out.array(names === null ? table.rows.length : names.length);
  if (names === null) for (const row of table.rows) rowReply(row, out);
  else
    for (const name of names) {
      const row = table.get(name);
      if (row === undefined) out.nil();
      else rowReply(row, out);
    }
}

function rowReply(row: Row, out: Out): void {
  out.array(10);
  out.bulkText(row.name);
  out.int(row.arity);
  const flags = SHOWN_FLAGS.filter((name) => (row.flags & FLAG[name]) !== 0);
  out.set(flags.length);
  for (const name of flags) out.status(name);
  out.int(row.firstKey);
  out.int(row.lastKey);
  out.int(row.keyStep);
  wordsReply(ACL, row.acl, "@", out);
  const tips = row.doc.tips === undefined ? [] : row.doc.tips.split(" ");
  out.set(tips.length);
  for (const tip of tips) out.bulkText(tip);
  out.set(row.keys.length);
  for (const spec of row.keys) keySpecReply(spec, out);
  if (row.subcommands === null) return out.set(0);
  out.array(row.subcommands.length);
  for (const sub of row.subcommands) rowReply(sub, out);
}

/** The names of the bits that are set, as a set of simple strings. */
function wordsReply(names: Readonly<Record<string, number>>, bits: number, prefix: string, out: Out): void {
  const words = Object.keys(names).filter((name) => (bits & names[name]) !== 0);
  out.set(words.length);
  for (const word of words) out.status(prefix + word);
}

function keySpecReply(spec: KeySpec, out: Out): void {
  out.map(spec.note === "" ? 3 : 4);
  if (spec.note !== "") {
    out.bulkText("notes");
    out.bulkText(spec.note);
  }
  out.bulkText("flags");
  wordsReply(KEY, spec.flags, "", out);
  out.bulkText("begin_search");
  if (spec.begin === BY_INDEX) placeReply("index", { index: spec.index }, out);
  else if (spec.begin === BY_KEYWORD) placeReply("keyword", { keyword: spec.keyword, startfrom: spec.index }, out);
  else placeReply("unknown", {}, out);
  out.bulkText("find_keys");
  if (spec.find === FIND_RANGE) placeReply("range", { lastkey: spec.last, keystep: spec.step, limit: spec.limit }, out);
  else if (spec.find === FIND_KEYNUM) placeReply("keynum", { keynumidx: 0, firstkey: 1, keystep: spec.step }, out);
  else placeReply("unknown", {}, out);
}

function placeReply(type: string, spec: Readonly<Record<string, string | number>>, out: Out): void {
  out.map(2);
  out.bulkText("type");
  out.bulkText(type);
  out.bulkText("spec");
  const entries = Object.entries(spec);
  out.map(entries.length);
  for (const [name, value] of entries) {
    out.bulkText(name);
    if (typeof value === "string") out.bulkText(value);
    else out.int(value);
  }
}

// -------------------------------------------------------------------------------------------------- COMMAND DOCS

/** COMMAND DOCS: a map of name to documentation; names that are none are left out. `names` null: all top-level commands. */
export function docsReply(table: RowTable, names: readonly string[] | null, out: Out): void {
  const rows = names === null ? table.rows : names.map((name) => table.get(name)).filter((row) => row !== undefined);
  out.map(rows.length);
  for (const row of rows) {
    out.bulkText(row.name);
    rowDocs(row, out);
  }
}

function rowDocs(row: Row, out: Out): void {
  const doc = row.doc;
  const cost = doc.cost ?? "O(1)";
  const marks = [...(doc.deprecated === undefined ? [] : ["deprecated"]), ...(doc.system ? ["syscmd"] : [])];
  const args = parseArgs(doc.args ?? "");
  let pairs = 3;
  if (cost !== "") pairs++;
  if (marks.length > 0) pairs++;
  if (doc.deprecated !== undefined) pairs += 2;
  if (doc.history !== undefined) pairs++;
  if (args.length > 0) pairs++;
  if (row.subcommands !== null) pairs++;
  out.map(pairs);
  textPair("summary", doc.summary, out);
  textPair("since", doc.since, out);
  textPair("group", row.group, out);
  if (cost !== "") textPair("complexity", cost, out);
  if (marks.length > 0) {
    out.bulkText("doc_flags");
    out.set(marks.length);
    for (const mark of marks) out.status(mark);
  }
  if (doc.deprecated !== undefined) {
    const [since, instead] = versionAndText(doc.deprecated);
    textPair("deprecated_since", since, out);
    textPair("replaced_by", instead, out);
  }
  if (doc.history !== undefined) {
    out.bulkText("history");
    out.set(doc.history.length);
    for (const entry of doc.history) {
      const [since, change] = versionAndText(entry);
      out.array(2);
      out.bulkText(since);
      out.bulkText(change);
    }
  }
  if (args.length > 0) {
    out.bulkText("arguments");
    argsReply(args, out);
  }
  if (row.subcommands === null) return;
  out.bulkText("subcommands");
  out.map(row.subcommands.length);
  for (const sub of row.subcommands) {
    out.bulkText(sub.name);
    rowDocs(sub, out);
  }
}

function textPair(name: string, text: string, out: Out): void {
  out.bulkText(name);
  out.bulkText(text);
}

function versionAndText(entry: string): [string, string] {
  const blank = entry.indexOf(" ");
  return [entry.slice(0, blank), entry.slice(blank + 1)];
}

function argsReply(args: readonly Arg[], out: Out): void {
  out.array(args.length);
  for (const arg of args) {
    const group = arg.args.length > 0;
    const fields: [name: string, value: string | number][] = [
      ["name", arg.name],
      ["type", arg.type],
    ];
    if (!group) fields.push(["display_text", arg.display || arg.name]);
    if (arg.keySpec >= 0) fields.push(["key_spec_index", arg.keySpec]);
    if (arg.token !== "") fields.push(["token", arg.token]);
    if (arg.since !== "") fields.push(["since", arg.since]);
    if (arg.deprecatedSince !== "") fields.push(["deprecated_since", arg.deprecatedSince]);
    const flags: string[] = [];
    if (arg.optional) flags.push("optional");
    if (arg.multiple) flags.push("multiple");
    if (arg.multipleToken) flags.push("multiple_token");
    out.map(fields.length + (flags.length > 0 ? 1 : 0) + (group ? 1 : 0));
    for (const [name, value] of fields) {
      out.bulkText(name);
      if (typeof value === "string") out.bulkText(value);
      else out.int(value);
    }
    if (flags.length > 0) {
      out.bulkText("flags");
      out.set(flags.length);
      for (const flag of flags) out.status(flag);
    }
    if (group) {
      out.bulkText("arguments");
      argsReply(arg.args, out);
    }
  }
}

// -------------------------------------------------------------------------------------------------- COMMAND LIST

/** COMMAND LIST [FILTERBY MODULE|ACLCAT|PATTERN value]: names of commands and subcommands. */
function listCommand(table: RowTable, call: Call): void {
  const out = call.out;
  if (call.argc === 2) return listReply(table, () => true, out);
  if (call.argc !== 5 || !call.is(2, "filterby")) return out.error(ERR.syntax);
  const value = call.text(4);
  if (call.is(3, "module")) return listReply(table, () => false, out);
  if (call.is(3, "pattern")) return listReply(table, (row) => globMatchText(value, row.name, true), out);
  if (!call.is(3, "aclcat")) return out.error(ERR.syntax);
  const category = (ACL as Record<string, number>)[value.toLowerCase()] ?? 0;
  listReply(table, (row) => (row.acl & category) !== 0, out);
}

/** The names of the rows that `keep` lets through, subcommands after their containers. */
export function listReply(table: RowTable, keep: (row: Row) => boolean, out: Out): void {
  const names: string[] = [];
  for (const row of table.rows) {
    if (keep(row)) names.push(row.name);
    for (const sub of row.subcommands ?? []) if (keep(sub)) names.push(sub.name);
  }
  out.array(names.length);
  for (const name of names) out.bulkText(name);
}

// -------------------------------------------------------------------------------------------------- COMMAND GETKEYS

const NO_SUCH = errorLine("ERR Invalid command specified");
const KEYLESS = errorLine("ERR The command has no key arguments");
const WRONG_COUNT = errorLine("ERR Invalid number of arguments specified for command");
const WRONG_ARGUMENTS = errorLine("ERR Invalid arguments specified for command");
const found = new KeyList();

/** COMMAND GETKEYS / GETKEYSANDFLAGS command [arg ...]: the keys in that command line, with what it would do to each. */
function getKeysCommand(table: RowTable, call: Call, withFlags: boolean): void {
  const { out, argc } = call;
  const row = rowOf(table, call, 2);
  if (row === null) return out.error(NO_SUCH);
  if (row.keysKind === NO_KEYS) return out.error(KEYLESS);
  if (!row.takes(argc - 2)) return out.error(WRONG_COUNT);
  const count = findKeys(row, call.buf, call.at, 2, argc - 2, found);
  if (count === 0 && (row.flags & FLAG.no_mandatory_keys) === 0) return out.error(WRONG_ARGUMENTS);
  out.array(count);
  for (let i = 0; i < count; i++) {
    const arg = found.pos[i] + 2;
    if (withFlags) out.array(2);
    out.bulk(call.buf, call.s(arg), call.e(arg));
    if (withFlags) wordsReply(KEY, found.flags[i], "", out);
  }
}

/** The row of the command line that begins at argument i; a container when its subcommand is missing, null when one is unknown. */
function rowOf(table: RowTable, call: Call, i: number): Row | null {
  const row = table.find(call.buf, call.s(i), call.e(i));
  if (row === null || row.subcommands === null || call.argc <= i + 1) return row;
  return table.findSub(row, call.buf, call.s(i + 1), call.e(i + 1));
}

// -------------------------------------------------------------------------------------------------- HELP

/** HELP of a container: its subcommands with their arguments and summaries, framed as Redis frames them. */
export function helpReply(container: Row, out: Out): void {
  const lines = [`${container.name.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`];
  for (const sub of container.subcommands ?? []) {
    if (sub.shortName === "help") continue;
    lines.push(`${sub.shortName.toUpperCase()} ${syntaxOf(parseArgs(sub.doc.args ?? ""))}`.trimEnd(), `    ${sub.doc.summary}`);
  }
  lines.push("HELP", "    Print this help.");
  out.array(lines.length);
  for (const line of lines) out.status(line);
}

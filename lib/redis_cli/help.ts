/**
 * HELP, completion and the grey hints behind the cursor. The words come from the server's COMMAND DOCS, so that they are true for the
 * server one talks to; from our own command table when there is no server, or it is older than COMMAND DOCS. Cold.
 */
import { splitArgs } from "../bytes/args.ts";
import { parseArgs, type Arg } from "../commands/table/args.ts";
import { rowTable } from "../commands/table/index.ts";
import type { Row } from "../commands/table/row.ts";
import { usage } from "./usage.ts";
import { entries, type Value } from "./value.ts";

export interface HelpEntry {
  /** "CONFIG SET", or "@string" for a group. */
  name: string;
  words: string[];
  isGroup: boolean;
  params: string;
  summary: string;
  since: string;
  group: string;
}

function group(name: string): HelpEntry {
  return { name: `@${name}`, words: [`@${name}`], isGroup: true, params: "", summary: "", since: "", group: name };
}

/** Sorted as redis-cli sorts them: by name. */
function sorted(commands: HelpEntry[]): HelpEntry[] {
  const groups = [...new Set(commands.map((entry) => entry.group))].map(group);
  return [...commands, ...groups].sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));
}

/** Entries from the reply to COMMAND DOCS, or null when it is none. */
export function entriesFromDocs(docs: Value): HelpEntry[] | null {
  if (docs.kind !== "map" && docs.kind !== "array") return null;
  const all: HelpEntry[] = [];
  for (const [name, spec] of entries(docs)) addDocs(all, name.toUpperCase(), spec);
  return sorted(all);
}

function addDocs(all: HelpEntry[], name: string, spec: Value): void {
  const entry: HelpEntry = { name, words: name.split(" "), isGroup: false, params: "", summary: "", since: "", group: "" };
  all.push(entry);
  for (const [key, value] of entries(spec)) {
    if (key === "summary" || key === "since" || key === "group") entry[key] = value.text;
    else if (key === "arguments") entry.params = value.items.map((arg) => paramText(argFromDocs(arg))).join(" ");
    else if (key === "subcommands")
      for (const [sub, subSpec] of entries(value)) addDocs(all, `${name} ${sub.slice(sub.indexOf("|") + 1).toUpperCase()}`, subSpec);
  }
}

type Shown = Pick<Arg, "name" | "token" | "optional" | "multiple" | "multipleToken"> & { type: string; args: Shown[] };

function argFromDocs(value: Value): Shown {
  const arg: Shown = { name: "", token: "", type: "", optional: false, multiple: false, multipleToken: false, args: [] };
  for (const [key, v] of entries(value)) {
    if (key === "name" || key === "type") arg[key] = v.text;
    else if (key === "token") arg.token = v.text === "" ? '""' : v.text;
    else if (key === "arguments") arg.args = v.items.map(argFromDocs);
    else if (key === "flags") {
      const flags = v.items.map((flag) => flag.text);
      arg.optional = flags.includes("optional");
      arg.multiple = flags.includes("multiple");
      arg.multipleToken = flags.includes("multiple_token");
    }
  }
  return arg;
}

/** One argument as redis-cli writes it: `[EX seconds|PX milliseconds]`, `key [key ...]`. */
function paramText(arg: Shown): string {
  let repeated = "";
  if (arg.type === "oneof") repeated = arg.args.map(paramText).join("|");
  else if (arg.type === "block") repeated = arg.args.map(paramText).join(" ");
  else if (arg.type !== "pure-token") repeated = arg.name === "" ? '""' : arg.name;
  const token = arg.token !== "" && arg.type !== "pure-token" ? `${arg.token} ` : arg.token;
  const again = arg.multiple ? ` [${arg.multipleToken ? token : ""}${repeated} ...]` : "";
  const text = `${token}${repeated}${again}`;
  return arg.optional ? `[${text}]` : text;
}

/** The same from our own table. */
export function entriesFromTable(): HelpEntry[] {
  const all: HelpEntry[] = [];
  const add = (row: Row, name: string): void => {
    const params = parseArgs(row.doc.args ?? "")
      .map(paramText)
      .join(" ");
    all.push({
      name,
      words: name.split(" "),
      isGroup: false,
      params,
      summary: row.doc.summary,
      since: row.doc.since,
      group: row.group,
    });
    for (const sub of row.subcommands ?? []) add(sub, `${name} ${sub.shortName.toUpperCase()}`);
  };
  for (const row of rowTable("all").rows) add(row, row.name.toUpperCase());
  return sorted(all);
}

/** What `help ...` prints. */
export function helpText(args: readonly string[], list: readonly HelpEntry[]): string {
  const topic = args[0];
  if (topic === undefined) return genericHelp();
  const inGroup = topic.startsWith("@");
  let text = "";
  for (const entry of list) {
    if (entry.isGroup) continue;
    if (inGroup) {
      if (entry.group.toLowerCase() === topic.slice(1).toLowerCase()) text += commandHelp(entry, false);
    } else if (args.length <= entry.words.length && args.every((word, i) => word.toUpperCase() === entry.words[i]))
      text += commandHelp(entry, true);
  }
  return `${text}\r\n`;
}

function commandHelp(entry: HelpEntry, withGroup: boolean): string {
  return (
    `\r\n  \x1b[1m${entry.name}\x1b[0m \x1b[90m${entry.params}\x1b[0m\r\n  \x1b[33msummary:\x1b[0m ${entry.summary}\r\n` +
    (entry.since === "" ? "" : `  \x1b[33msince:\x1b[0m ${entry.since}\r\n`) +
    (withGroup ? `  \x1b[33mgroup:\x1b[0m ${entry.group}\r\n` : "")
  );
}

function genericHelp(): string {
  return [
    `redis-cli ${usage.version}`,
    "To get help about Redis commands type:",
    '      "help @<group>" to get a list of commands in <group>',
    '      "help <command>" for help on <command>',
    '      "help <tab>" to get a list of possible help topics',
    '      "quit" to exit',
    "",
    "To set redis-cli preferences:",
    '      ":set hints" enable online hints',
    '      ":set nohints" disable online hints',
    "Set your preferences in ~/.redisclirc",
    "",
  ].join("\n");
}

/** Lines that TAB may make of this one. */
export function completions(line: string, list: readonly HelpEntry[]): string[] {
  const help = /^help \s*/i.exec(line)?.[0] ?? "";
  const typed = line.slice(help.length).toLowerCase();
  return list
    .filter((entry) => (help !== "" || !entry.isGroup) && entry.name.toLowerCase().startsWith(typed))
    .map((entry) => help + entry.name);
}

/** Arguments that the command on this line still takes; "" for none. */
export function hint(line: string, list: readonly HelpEntry[]): string {
  const words = splitArgs(line);
  if (words === null || words.length === 0) return "";
  let best: HelpEntry | null = null;
  for (const entry of list) {
    if (entry.isGroup || entry.words.length > words.length || entry.words.length <= (best?.words.length ?? 0)) continue;
    if (entry.words.every((word, i) => word === words[i].toUpperCase())) best = entry;
  }
  if (best === null) return "";
  let rest = best.params;
  // Each word typed takes one off, up to the first optional one: what that was for cannot be told.
  for (let typed = words.length - best.words.length; typed > 0 && rest !== "" && !rest.startsWith("["); typed--) {
    const end = rest.indexOf(" ");
    rest = end < 0 ? "" : rest.slice(end + 1);
  }
  return /\s$/.test(line) ? rest : ` ${rest}`;
}

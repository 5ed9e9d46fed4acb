/**
 * What to write instead: the lines that redisha adds below Redis' own error text when a configuration line is refused. Pure, cold.
 * Redis says "Bad directive or wrong number of arguments"; a reader wants to know the file, the line, the column, and the word meant.
 * The traps looked for are those of files copied from web pages: non-breaking spaces, curly quotes, lost line breaks, Markdown's backslashes.
 */
import type { Config } from "./config.ts";
import { FILE_ONLY, ROWS } from "./redis_rows.ts";
import type { Row } from "./row.ts";

export interface RefusedLine {
  /** The line as it stands in the file, latin1. */
  raw: string;
  /** Its words; null when its quotes do not fit. */
  words: readonly string[] | null;
  /** Redis' text. */
  reason: string;
  config: Config;
  /** The file's path, or what stands for it. */
  place: string;
  line: number;
}

/** UTF-8 bytes of characters that look like something else. */
const LOOKALIKES: readonly [bytes: string, name: string, instead: string][] = [
  ["\xef\xbb\xbf", "a byte order mark (U+FEFF)", "nothing"],
  ["\xc2\xa0", "a non-breaking space (U+00A0)", "an ordinary space"],
  ["\xe2\x80\x83", "an em space (U+2003)", "an ordinary space"],
  ["\xe2\x80\x8b", "a zero-width space (U+200B)", "nothing"],
  ["\xe2\x80\xaf", "a narrow non-breaking space (U+202F)", "an ordinary space"],
  ["\xe3\x80\x80", "an ideographic space (U+3000)", "an ordinary space"],
  ["\xe2\x80\x9c", "a curly quote (U+201C)", 'a straight "'],
  ["\xe2\x80\x9d", "a curly quote (U+201D)", 'a straight "'],
  ["\xe2\x80\x98", "a curly quote (U+2018)", "a straight '"],
  ["\xe2\x80\x99", "a curly quote (U+2019)", "a straight '"],
  ["\xe2\x80\x93", "an en dash (U+2013)", "a hyphen"],
  ["\xe2\x80\x94", "an em dash (U+2014)", "two hyphens"],
  ["\xa0", "a non-breaking space (0xA0)", "an ordinary space"],
];

const HAPROXY_SECTIONS = ["global", "defaults", "frontend", "backend", "listen", "userlist", "resolvers", "peers"];
const SENTINEL_STATEMENTS = [
  "monitor",
  "down-after-milliseconds",
  "failover-timeout",
  "parallel-syncs",
  "notification-script",
  "client-reconfig-script",
  "auth-pass",
  "auth-user",
  "known-replica",
  "known-slave",
  "known-sentinel",
  "config-epoch",
  "leader-epoch",
  "current-epoch",
  "myid",
  "deny-scripts-reconfig",
  "resolve-hostnames",
  "announce-hostnames",
  "announce-ip",
  "announce-port",
  "sentinel-user",
  "sentinel-pass",
];

/** The grammar of directives that take more than one plain value. */
const USAGE: Record<string, string> = {
  dir: "dir <directory>",
  save: 'save <seconds> <changes> [<seconds> <changes> ...], or save "" for never',
  "client-output-buffer-limit": "client-output-buffer-limit normal|replica|pubsub <hard bytes> <soft bytes> <soft seconds>",
  "oom-score-adj-values": "oom-score-adj-values <master> <replica> <background child>",
  "notify-keyspace-events": 'notify-keyspace-events <letters of A g $ l s h z x e K E t m d n>, or "" for none',
  bind: "bind <address> [<address> ...]",
  replicaof: "replicaof <host> <port>",
  "latency-tracking-info-percentiles": "latency-tracking-info-percentiles <percentile> [...]",
  include: "include <path, may hold wildcards>",
  user: "user <name> [rule ...]",
  "rename-command": 'rename-command <command> <new name, or "">',
  loadmodule: "loadmodule <path> [argument ...]",
  sentinel: "sentinel <statement> <argument ...>",
};

/** Every hint that fits, the place first; at least one line. */
export function lineHints(refused: RefusedLine): string[] {
  const found = [...lookalikes(refused.raw), ...quotes(refused), ...lostLineBreak(refused), ...markdown(refused.raw), ...byReason(refused)];
  const at = `${refused.place}, line ${refused.line}`;
  if (found.length === 0) return [at];
  return found.map(({ column, text }) => `${at}, column ${columnOf(refused.raw, column)}: ${text}`);
}

interface Hint {
  /** Index into the raw line. */
  column: number;
  text: string;
}

/** Characters before the index, from 1; a UTF-8 sequence is one character. */
function columnOf(raw: string, index: number): number {
  return (
    Buffer.from(raw.slice(0, index), "latin1")
      .toString("utf8")
      .replace(/[\udc00-\udfff]/g, "").length + 1
  );
}

function lookalikes(raw: string): Hint[] {
  const hints: Hint[] = [];
  for (const [bytes, name, instead] of LOOKALIKES) {
    // A lone 0xA0 may be the tail of another character: only where no UTF-8 lead stands before it.
    const at = bytes.length === 1 ? raw.search(/(?<![\x80-\xff])\xa0/) : raw.indexOf(bytes);
    if (at >= 0) hints.push({ column: at, text: `this is ${name}; write ${instead}` });
  }
  return hints.toSorted((a, b) => a.column - b.column);
}

function quotes({ raw, words }: RefusedLine): Hint[] {
  if (words !== null) return [];
  let open = -1;
  for (let i = 0; i < raw.length; i++) {
    if (open < 0) {
      if (raw[i] === '"' || raw[i] === "'") open = i;
    } else if (raw[i] === "\\") i++;
    else if (raw[i] === raw[open]) {
      if (i + 1 < raw.length && !/\s/.test(raw[i + 1]))
        return [{ column: i + 1, text: `after a closing ${raw[i]} a blank or the end of the line must follow` }];
      open = -1;
    }
  }
  if (open < 0) return [];
  return [{ column: open, text: `this ${raw[open]} is never closed; a backslash before it makes it a plain character between quotes` }];
}

/** A directive, or a comment, that was meant to stand on its own line. */
function lostLineBreak({ raw, words, config }: RefusedLine): Hint[] {
  if (words === null || words.length < 3 || config.row(words[0])?.type === "flags") return [];
  let from = raw.indexOf(words[0]) + words[0].length;
  for (const word of words.slice(1)) {
    const at = raw.indexOf(word, from);
    if (at < 0) continue;
    from = at + word.length;
    const hash = word.indexOf("#");
    if (hash >= 0) return [{ column: at + hash, text: "a comment needs a line of its own: a line break is missing here, before #" }];
    const name = directiveAtEnd(word, config);
    if (name === null || at + word.length >= raw.trimEnd().length) continue;
    return [{ column: at + word.length - name.length, text: `a line break is missing here, before '${name}'` }];
  }
  return [];
}

/** The directive's name that a word is, or ends with ("26379daemonize"); null when it is neither. */
function directiveAtEnd(word: string, config: Config): string | null {
  const lower = word.toLowerCase();
  if (config.row(lower) !== null || (FILE_ONLY as readonly string[]).includes(lower)) return word;
  const ends = allNames().filter((name) => name.length > 3 && lower.endsWith(name));
  const longest = ends.toSorted((a, b) => b.length - a.length)[0];
  return longest === undefined || /[a-z_-]/.test(lower[lower.length - longest.length - 1]) ? null : longest;
}

function markdown(raw: string): Hint[] {
  const at = raw.search(/\\[_*[\]#]/);
  return at < 0 ? [] : [{ column: at, text: `'${raw.slice(at, at + 2)}' looks like Markdown's escape; write '${raw[at + 1]}'` }];
}

function byReason({ raw, words, reason, config }: RefusedLine): Hint[] {
  if (words === null) return [];
  const typed = words[0];
  const start = raw.search(/\S/);
  const row = config.row(typed);
  if (reason === "sentinel directive while not in sentinel mode")
    return [{ column: start, text: "this is a Sentinel's file: start it with --sentinel" }];
  if (row === null) {
    const usage = USAGE[typed.toLowerCase()];
    if (usage !== undefined) return [{ column: start, text: `write: ${usage}` }];
    return [{ column: start, text: unknownName(typed, words, config) }];
  }
  if (row.name === "dir" && words.length === 2)
    return [
      {
        column: Math.max(start, raw.indexOf(words[1], start + typed.length)),
        text: `the directory must exist: mkdir -p '${words[1]}'`,
      },
    ];
  const column = words.length > 1 ? Math.max(start, raw.indexOf(words[1], start + typed.length)) : start;
  if (/wrong number of arguments/i.test(reason)) return [{ column: start, text: `${countText(row)}write: ${usageOf(row)}` }];
  if ("values" in row && words.length > 1) {
    const near = nearest(words[1].toLowerCase(), row.values);
    if (near !== null) return [{ column, text: `did you mean '${near}'?` }];
  }
  return [{ column, text: `write: ${usageOf(row)}` }];
}

function countText(row: Row): string {
  return row.type === "special" ? "" : `${row.name} takes exactly one value (quote it when it holds blanks); `;
}

/**
 * A comment at whose end a directive seems to be glued ("... a daemon service.port 26379"): files copied from web pages lose line breaks, and
 * a comment that swallows a directive is no error to anybody. Gives what to say in the log, or null.
 */
export function swallowedDirective(raw: string): string | null {
  const found = /[a-z)"'][.?!)#]([a-z_-]+) \S/i.exec(raw);
  if (found === null) return null;
  const name = found[1].toLowerCase();
  if (!allNames().includes(name)) return null;
  const at = found.index + 2;
  return `column ${columnOf(raw, at)}: this comment seems to have swallowed '${raw.slice(at).trim()}': is a line break missing before it?`;
}

function unknownName(typed: string, words: readonly string[], config: Config): string {
  const lower = typed.toLowerCase();
  if (HAPROXY_SECTIONS.includes(lower)) return "this looks like HAProxy's configuration: start it with --proxy";
  if (SENTINEL_STATEMENTS.includes(lower)) return `this is a Sentinel statement; write 'sentinel ${words.join(" ")}'`;
  const cut = /^([a-z0-9_-]+)[=:](.*)$/i.exec(typed);
  if (cut !== null && config.row(cut[1]) !== null) return `names and values are parted by a blank; write '${cut[1]} ${cut[2]}'`.trimEnd();
  const near = nearest(lower, allNames());
  if (near !== null) return `there is no directive '${typed}'; did you mean '${near}'?`;
  const glued = allNames()
    .filter((name) => name.length > 2 && lower.startsWith(name))
    .toSorted((a, b) => b.length - a.length)[0];
  if (glued !== undefined) return `there is no directive '${typed}'; a blank may be missing after '${glued}'`;
  return `there is no directive '${typed}'`;
}

/** How a directive is written. */
export function usageOf(row: Row): string {
  if (row.type === "bool") return `${row.name} yes|no`;
  if (row.type === "string") return `${row.name} <text>`;
  if (row.type === "special") return USAGE[row.name] ?? `${row.name} ...`;
  if ("values" in row) return `${row.name} ${row.values.join("|")}`;
  if (row.type === "memory") return `${row.name} <bytes, or with a unit: 100mb, 2gb>`;
  if (row.type === "percent") return `${row.name} <bytes, or N% of maxmemory>`;
  if (row.type === "octal") return `${row.name} <octal, 0 to ${row.max.toString(8)}>`;
  return `${row.name} <number, ${row.min} to ${row.max}${row.unit === "" ? "" : `, ${row.unit}`}>`;
}

let names: string[] | null = null;
function allNames(): string[] {
  names ??= [...(ROWS as readonly Row[]).flatMap((row) => [row.name, ...row.aliases]), ...FILE_ONLY];
  return names;
}

/** The word with the fewest edits, when they are few enough to be a slip: one in four letters, at most 4. */
export function nearest(word: string, words: readonly string[]): string | null {
  let best: string | null = null;
  let bestEdits = Math.min(4, Math.max(1, Math.floor(word.length / 4))) + 1;
  for (const candidate of words) {
    const edits = editDistance(word, candidate, bestEdits);
    if (edits < bestEdits) {
      best = candidate;
      bestEdits = edits;
    }
  }
  return best;
}

/** Insertions, deletions, substitutions and swaps of neighbours between two words; anything from `limit` on counts as `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let twoBack: number[] = [];
  let back = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(back[j] + 1, row[j - 1] + 1, back[j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, twoBack[j - 2] + 1);
      row.push(least);
    }
    twoBack = back;
    back = row;
  }
  return Math.min(limit, back[b.length]);
}

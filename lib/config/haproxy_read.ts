/**
 * Reads haproxy.cfg files into a HaproxyConfig. COLD.
 *
 *   file -> lines -> words (haproxy_words) -> .if/.else -> section header (haproxy_sections) | row of the section's table
 *        -> checks over the whole (haproxy_finish)
 *
 * Every problem is listed, in HAProxy's words and with its line numbers, and reading goes on; the caller prints `findings` and
 * exits 1 when `alerts` is not 0. Names of servers are resolved later, by the proxy mode.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { belongs, Context, FATAL_MAX, type Finding, type Table } from "./haproxy_context.ts";
import { finish } from "./haproxy_finish.ts";
import { GLOBAL_ROWS, parseTune } from "./haproxy_global.ts";
import { nearestWord } from "./haproxy_hint.ts";
import { newConfig, type HaproxyConfig } from "./haproxy_model.ts";
import { NEGATABLE, PROXY_ROWS } from "./haproxy_proxy.ts";
import { parseResolvers, parseUser } from "./haproxy_resolvers.ts";
import { closeRing, parseRing } from "./haproxy_ring.ts";
import { DefaultsChain, openSection, otherWords, SECTIONS } from "./haproxy_sections.ts";
import { nonBreakingSpaceColumn, splitWords, WORDS_MAX } from "./haproxy_words.ts";

export interface ReadResult {
  config: HaproxyConfig;
  findings: Finding[];
  alerts: number;
  warnings: number;
}

/** One file as it is given to the reader; `text` is latin1. */
export interface ConfigFile {
  name: string;
  text: string;
}

/**
 * Loads what `-f` names: files, or directories whose *.cfg files are taken in alphabetical order.
 * Returns an error text (HAProxy's) when one cannot be read.
 */
export function loadFiles(paths: string[]): ConfigFile[] | string {
  const files: ConfigFile[] = [];
  for (const path of paths) {
    try {
      const names = statSync(path).isDirectory()
        ? readdirSync(path)
            .filter((n) => n.endsWith(".cfg") && !n.startsWith("."))
            .sort()
            .map((n) => join(path, n))
        : [path];
      for (const name of names) files.push({ name, text: readFileSync(name, "latin1") });
    } catch (error) {
      const code = (error as { code?: string }).code;
      const why = code === "ENOENT" ? "No such file or directory" : code === "EACCES" ? "Permission denied" : (error as Error).message;
      return `Cannot open configuration file/directory ${path} : ${why}`;
    }
  }
  return files;
}

/** Reads files in order, as one configuration. */
export function readConfig(files: ConfigFile[], env: (name: string) => string | undefined = (n) => process.env[n]): ReadResult {
  const config = newConfig();
  const c = new Context(config);
  const chain = new DefaultsChain();
  for (const file of files) {
    config.files.push(file.name);
    const before = c.alerts;
    readFile(c, chain, file, env);
    closeRing(c);
    if (c.alerts > before) {
      c.findings.push({ level: "alert", text: `Error(s) found in configuration file : ${file.name}` });
      if (c.aborted) break;
    }
  }
  if (!c.aborted) {
    if (c.alerts === 0) finish(c);
    if (c.alerts > 0) c.findings.push({ level: "alert", text: "Fatal errors found in configuration." });
  }
  return { config, findings: c.findings, alerts: c.alerts, warnings: c.warnings };
}

/** Open `.if` blocks: `active` lines are read, `done` blocks had a branch already. */
interface Block {
  active: boolean;
  done: boolean;
  inElse: boolean;
}

function readFile(c: Context, chain: DefaultsChain, file: ConfigFile, env: (name: string) => string | undefined): void {
  c.file = file.name;
  c.section = "";
  c.proxy = null;
  const lines = file.text.split("\n");
  const blocks: Block[] = [];
  let fatal = 0;
  const variables = (name: string): string | undefined => {
    if (name === ".FILE") return c.file;
    if (name === ".LINE") return String(c.line);
    if (name === ".SECTION") return c.section;
    return env(name);
  };
  for (let i = 0; i < lines.length; i++) {
    const text = lines[i]!;
    c.line = i + 1;
    if (i === lines.length - 1) {
      // what follows the last newline: nothing, or a line that was cut off
      if (text !== "") c.alertTight(`Missing LF on last line, file might have been truncated at position ${text.length + 1}.`);
      break;
    }
    const nul = text.indexOf("\0");
    if (nul >= 0) {
      c.alertTight(`Stray NUL character at position ${nul + 1}.`);
      continue;
    }
    const before = c.alerts;
    readLine(c, chain, text, variables, blocks);
    if (c.alerts > before) fatal++;
    if (c.aborted) return;
    if (fatal >= FATAL_MAX) {
      c.line++;
      c.alertTight(`too many fatal errors (${FATAL_MAX}), stopping now.`);
      return;
    }
  }
  if (blocks.length > 0) c.alertTight("non-terminated '.if' block.");
}

function readLine(c: Context, chain: DefaultsChain, text: string, env: (name: string) => string | undefined, blocks: Block[]): void {
  const words = splitWords(text, env);
  const reading = blocks.every((b) => b.active);
  if (words.error !== "") {
    if (!reading) return;
    const shown = text.replace(/^[ \t]+/, "");
    const column = words.at - (text.length - shown.length);
    c.alertTight(`${words.error} at position ${words.at + 1}:\n  ${shown.slice(0, 79)}\n  ${" ".repeat(column)}^`);
    return;
  }
  if (words.tooMany !== "") {
    if (reading)
      c.alertTight(
        `too many words, truncating after word ${WORDS_MAX}, position ${text.length - words.tooMany.length + 1}: <${words.words.at(-1)}>.`,
      );
    return;
  }
  c.args = words.words;
  const first = c.args[0];
  if (first === undefined) return;
  if (first.startsWith(".") && directive(c, first, blocks, reading)) return;
  if (!reading) return;
  c.negated = "";
  if (first === "no" || first === "default") {
    c.negated = first;
    c.args = c.args.slice(1);
    if (!NEGATABLE.has(c.args[0] ?? ""))
      return c.alertTight(
        "negation/default currently supported only for options, log, busy-polling, set-dumpable, strict-limits, insecure-fork-wanted and numa-cpu-mapping.",
      );
  }
  statement(c, chain, text);
}

function statement(c: Context, chain: DefaultsChain, text: string): void {
  const word = c.args[0]!;
  if (SECTIONS.has(word)) {
    // resolvers and peers have keywords of the same names as sections? none; but ring and cache do not nest either
    return openSection(c, chain);
  }
  const nbsp = nonBreakingSpaceColumn(text);
  const hint =
    nbsp > 0 && word.includes("\xc2\xa0")
      ? `\n   | The line has a non-breaking space (U+00A0) at column ${nbsp}: type a plain space instead.`
      : "";
  if (c.section === "") return c.alertTight(`unknown keyword '${word}' out of section.${hint}`);
  const others = otherWords(c.section);
  if (others !== null) {
    if (c.section === "ring") return parseRing(c);
    if (!others.includes(word) && c.section !== "fcgi-app") c.alert(`unknown keyword '${word}' in '${c.section}' section`);
    else if (c.section === "userlist" && c.args[1] === undefined) c.alertTight(`'${word}' expects <name> as arguments.`);
    else if (word === "mailer" && c.args[2] === undefined) c.alert("'mailer' expects <name> and <addr>[:<port>] as arguments.");
    else if (c.section === "userlist") parseUser(c);
    else if (c.section === "resolvers") parseResolvers(c);
    return;
  }
  const table: Table = c.section === "global" ? GLOBAL_ROWS : PROXY_ROWS;
  const row = Object.hasOwn(table, word) ? table[word] : undefined;
  if (row !== undefined) return row.parse(c);
  if (c.section === "global" && parseTune(c)) return;
  const near = nearestWord(word, Object.keys(table));
  c.alert(`unknown keyword '${word}' in '${c.section}' section${near === "" ? "" : `; did you mean '${near}' maybe ?`}${hint}`);
}
export { belongs };

/** `.if` and its like. True: the line was one. */
function directive(c: Context, word: string, blocks: Block[], reading: boolean): boolean {
  const last = blocks.at(-1);
  switch (word) {
    case ".if": {
      const value = reading ? condition(c, ".if") : false;
      blocks.push({ active: value, done: value, inElse: false });
      return true;
    }
    case ".elif": {
      if (last === undefined) c.alertTight("lone '.elif' with no matching '.if'.");
      else if (last.inElse) c.alertTight("'.elif' after '.else' is not permitted.");
      else {
        const outer = blocks.slice(0, -1).every((b) => b.active);
        last.active = outer && !last.done && condition(c, ".elif");
        last.done ||= last.active;
      }
      return true;
    }
    case ".else":
      if (last === undefined) c.alertTight("lone '.else' with no matching '.if'.");
      else if (last.inElse) c.alertTight("'.else' after '.else' is not permitted.");
      else {
        last.active = !last.done;
        last.done = true;
        last.inElse = true;
      }
      return true;
    case ".endif":
      if (last === undefined) c.alertTight("lone '.endif' with no matching '.if'.");
      else blocks.pop();
      return true;
    case ".diag":
    case ".notice":
    case ".warning":
    case ".alert":
      if (!reading) return true;
      if (c.args[2] !== undefined)
        c.alertTight(`Unexpected argument '${c.args[2]}' for '${word}'. Use quotes if the message should contain spaces.`);
      else if (word === ".alert") c.alertTight(`'${c.args[1] ?? ""}'.`);
      else if (word === ".warning") c.warnTight(`'${c.args[1] ?? ""}'.`);
      else if (word === ".notice") c.noticeText(`parsing [${c.at}]: '${c.args[1] ?? ""}'.`);
      return true;
    default:
      if (reading) c.alertTight(`unknown directive '${word}'.`);
      return true;
  }
}

/** `-cc` and `.if` conditions: predicates joined by `!`, `&&`, `||` and brackets. Reports what it cannot read and is false then. */
function condition(c: Context, where: string): boolean {
  const value = evaluateCondition(c.args.slice(1).join(" "));
  if (typeof value === "boolean") return value;
  c.alertTight(`${value} in '${where}' at position 1:\n  ${c.args.slice(1).join(" ")}\n  ^`);
  return false;
}

const VERSION = [2, 6, 12];
/** The truth of a condition, or what is wrong with it. */
export function evaluateCondition(text: string): boolean | string {
  let i = 0;
  const space = (): void => {
    while (text[i] === " ") i++;
  };
  const term = (): boolean | string => {
    space();
    if (text[i] === "!") {
      i++;
      const v = term();
      return typeof v === "string" ? v : !v;
    }
    if (text[i] === "(") {
      i++;
      const v = either();
      space();
      if (text[i] !== ")") return "missing closing parenthesis";
      i++;
      return v;
    }
    const m = /^([A-Za-z_]+)\(([^)]*)\)|^-?\d+/.exec(text.slice(i));
    if (m === null) return i >= text.length ? false : `unparsable conditional expression '${text.slice(i)}'`;
    i += m[0].length;
    if (m[1] === undefined) return Number(m[0]) !== 0;
    return predicate(
      m[1],
      m[2]!.split(",").map((s) => s.trim()),
    );
  };
  const both = (): boolean | string => {
    let v = term();
    for (space(); text.startsWith("&&", i); space()) {
      i += 2;
      const w = term();
      if (typeof v === "string") return v;
      if (typeof w === "string") return w;
      v = v && w;
    }
    return v;
  };
  const either = (): boolean | string => {
    let v = both();
    for (space(); text.startsWith("||", i); space()) {
      i += 2;
      const w = both();
      if (typeof v === "string") return v;
      if (typeof w === "string") return w;
      v = v || w;
    }
    return v;
  };
  const v = either();
  space();
  return i < text.length && typeof v === "boolean" ? `unexpected character '${text[i]}'` : v;
}

function predicate(name: string, a: string[]): boolean | string {
  switch (name) {
    case "defined":
      return process.env[a[0] ?? ""] !== undefined;
    case "feature":
      return ["OPENSSL", "THREAD", "GETADDRINFO", "TFO", "EPOLL", "PCRE2", "REDISHA"].includes(a[0] ?? "");
    case "streq":
      return a[0] === a[1];
    case "strneq":
      return a[0] !== a[1];
    case "strstr":
      return (a[0] ?? "").includes(a[1] ?? "");
    case "version_atleast":
    case "version_before": {
      const want = (a[0] ?? "").split(/[.-]/).map((n) => Number.parseInt(n, 10) || 0);
      let order = 0;
      for (let k = 0; k < 3 && order === 0; k++) order = VERSION[k]! - (want[k] ?? 0);
      return name === "version_atleast" ? order >= 0 : order < 0;
    }
    case "enabled":
      return ["POLL", "EPOLL", "GETADDRINFO", "REUSEPORT"].includes(a[0] ?? "");
    case "openssl_version_atleast":
    case "ssllib_name_startswith":
      return true;
    case "openssl_version_before":
    case "fips_mode":
      return false;
    default:
      return `unknown predicate '${name}'`;
  }
}

/**
 * Reads redis.conf (and the general part of sentinel.conf) into a Config: the file, what it includes, standard input, the options of the
 * command line, in this order. Cold. Redis config.c: loadServerConfig, loadServerConfigFromString.
 *
 * The first line that is refused ends it, with Redis' own text and below it our hints (hints.ts). Lines that are no directives of the table
 * (user, rename-command, loadmodule, sentinel) are collected in the Config and shown to the handlers, who may refuse them as well.
 */
import { closeSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { splitArgs } from "../bytes/args.ts";
import { strerror } from "../bytes/errno.ts";
import { globMatchText } from "../bytes/glob.ts";
import { byteText, systemPath } from "../bytes/path.ts";
import type { Config } from "./config.ts";
import { lineHints, swallowedDirective } from "./hints.ts";
import type { KeyOf } from "./rewrite.ts";
import { REDIS_VERSION } from "./version.ts";
import { FILE_ONLY, FORGOTTEN } from "./redis_rows.ts";

export { REDIS_VERSION };

/** A line that could not be taken. */
export interface LineFailure {
  /** 1 is the first line of the file; lines of the command line are counted on. null: no line is to blame. */
  line: number | null;
  /** The line without blanks at its ends. */
  text: string;
  /** Redis' words. */
  reason: string;
  /** Ours, a line each. */
  hints: readonly string[];
}

/** Why the configuration could not be read: a line of it, or a file that cannot be opened (Redis logs this one, at warning level). */
export type ConfigFailure = { kind: "line"; failure: LineFailure } | { kind: "open"; text: string };

/** Says why a line is refused (Redis' text), or null. Without a handler the line is only collected. */
export interface LineHandlers {
  user?: (words: readonly string[]) => string | null;
  renameCommand?: (from: string, to: string) => string | null;
  /** In Sentinel mode: words behind `sentinel`. */
  sentinel?: (words: readonly string[], line: number, text: string) => string | null;
  /** Takes what is no error and still looks wrong, for the log. */
  note?: (text: string) => void;
}

export interface ConfigSource {
  /** Path of the file, or null. */
  file: string | null;
  /** What came in on standard input, or null when it was not asked for. */
  stdin: string | null;
  /** The lines made of the command line (command_line.ts), or null. */
  options: string | null;
}

/** Files that include each other end here, instead of never. */
const INCLUDE_DEPTH_MAX = 32;

/** Reads all of `source` into `config`; null when every line was taken. */
export function readRedisConf(config: Config, source: ConfigSource, handlers: LineHandlers = {}): ConfigFailure | null {
  try {
    readSource(config, source, handlers, 0);
    checkLogFile(config);
  } catch (e) {
    if (e instanceof Failed) return e.why;
    throw e;
  }
  return null;
}

/** What Redis prints to standard error before it exits with 1, and our hints below it. */
export function fatalConfigText(failure: LineFailure): string {
  const head = `\n*** FATAL CONFIG FILE ERROR (Redis ${REDIS_VERSION}) ***\n`;
  const place = failure.line === null ? "" : `Reading the configuration file, at line ${failure.line}\n>>> '${failure.text}'\n`;
  return `${head}${place}${failure.reason}\n${failure.hints.map((h) => `hint: ${h}\n`).join("")}`;
}

/** Carries a failure out of the nested files. */
class Failed extends Error {
  readonly why: ConfigFailure;

  constructor(why: ConfigFailure) {
    super("configuration refused");
    this.why = why;
  }
}

/** A stretch of the text that is read, and where it came from. */
interface Piece {
  name: string;
  text: string;
}

function readSource(config: Config, source: ConfigSource, handlers: LineHandlers, depth: number): void {
  const pieces: Piece[] = [];
  if (source.file !== null) for (const path of pathsOf(source.file)) pieces.push({ name: path, text: readText(path) });
  if (source.stdin !== null) pieces.push({ name: "standard input", text: source.stdin });
  if (source.options !== null) pieces.push({ name: "the command line", text: `\n${source.options}` });
  const lines = pieces
    .map((p) => p.text)
    .join("")
    .split("\n");
  for (const [i, raw] of lines.entries()) {
    const text = raw.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");
    if (text.startsWith("#")) noteComment(raw, pieces, i, handlers);
    if (text === "" || text.startsWith("#")) continue;
    const words = splitArgs(text);
    const reason = words === null ? "Unbalanced quotes in configuration line" : readWords(config, words, i + 1, text, handlers, depth);
    if (reason === null) continue;
    const place = placeOf(pieces, i);
    const hints = lineHints({ raw, words, reason, config, place: place.name, line: place.line });
    throw new Failed({ kind: "line", failure: { line: i + 1, text, reason, hints } });
  }
}

function noteComment(raw: string, pieces: readonly Piece[], index: number, handlers: LineHandlers): void {
  const doubt = swallowedDirective(raw);
  if (doubt === null) return;
  const place = placeOf(pieces, index);
  handlers.note?.(`${place.name}, line ${place.line}, ${doubt}`);
}

/** The file and its own line number for a line (from 0) of the joined pieces. */
function placeOf(pieces: readonly Piece[], index: number): { name: string; line: number } {
  let first = 0;
  for (const { name, text } of pieces) {
    const count = text.split("\n").length - 1;
    if (index < first + count || pieces.at(-1)?.name === name) return { name, line: index - first + 1 };
    first += count;
  }
  return { name: "the configuration", line: index + 1 };
}

function readWords(
  config: Config,
  words: readonly string[],
  line: number,
  text: string,
  handlers: LineHandlers,
  depth: number,
): string | null {
  if (words.length === 0) return null;
  const name = words[0].toLowerCase();
  if (config.row(name) !== null) return config.readLine(words);
  if ((FORGOTTEN as readonly string[]).includes(name) && words.length === 2) return null;
  if (name === "include" && words.length === 2) {
    if (depth >= INCLUDE_DEPTH_MAX) return "Files include each other without end";
    readSource(config, { file: words[1], stdin: null, options: null }, handlers, depth + 1);
    return null;
  }
  if (name === "rename-command" && words.length === 3) {
    const error = handlers.renameCommand?.(words[1], words[2]) ?? null;
    if (error === null) config.rename(words[1], words[2]);
    return error;
  }
  if (name === "user" && words.length >= 2) {
    config.users.push(words.slice(1));
    return handlers.user?.(words.slice(1)) ?? null;
  }
  if (name === "loadmodule" && words.length >= 2) {
    config.modules.push(words.slice(1));
    return null;
  }
  if (name.includes(".")) {
    if (words.length < 2) return "Module config specified without value";
    config.moduleSettings.push([words[0], words.slice(1).join(" ")]);
    return null;
  }
  if (name === "sentinel") {
    // A lone `sentinel` is what `--sentinel` on the command line leaves.
    if (words.length === 1) return null;
    if (!config.sentinel) return "sentinel directive while not in sentinel mode";
    return handlers.sentinel?.(words.slice(1), line, text) ?? null;
  }
  return "Bad directive or wrong number of arguments";
}

/** A log that cannot be written is found out now, while there is a terminal to say it on. */
function checkLogFile(config: Config): void {
  const path = config.text("logfile");
  if (path === "") return;
  try {
    closeSync(openSync(systemPath(path), "a"));
  } catch (e) {
    const reason = `Can't open the log file: ${strerror(e)}`;
    const hints = [`logfile is '${path}', the working directory '${config.special("dir")}'`];
    throw new Failed({ kind: "line", failure: { line: null, text: "", reason, hints } });
  }
}

/** The whole file as latin1, one char a byte. */
function readText(path: string): string {
  try {
    return readFileSync(systemPath(path), "latin1");
  } catch (e) {
    throw new Failed({ kind: "open", text: `Fatal error, can't open config file '${path}': ${strerror(e)}` });
  }
}

/** The path itself, or when it has wildcards every path that fits, sorted; none is fine then (an empty conf.d). */
function pathsOf(path: string): string[] {
  return /[*?[]/.test(path) ? expandWildcards(path) : [path];
}

/** glob(3) without options: wildcards in any part of the path, a leading dot only when it is written. */
export function expandWildcards(pattern: string): string[] {
  let found = [pattern.startsWith("/") ? "/" : ""];
  const parts = pattern.split("/").filter((part) => part !== "");
  for (const part of parts) {
    const next: string[] = [];
    for (const base of found) {
      if (!/[*?[]/.test(part)) next.push(`${base}${part}/`);
      else for (const name of namesIn(base)) if (fits(part, name)) next.push(`${base}${name}/`);
    }
    found = next;
  }
  const paths = found.map((path) => path.slice(0, -1)).filter((path) => exists(path));
  return paths.toSorted();
}

function fits(part: string, name: string): boolean {
  return (part.startsWith(".") || !name.startsWith(".")) && globMatchText(part, name);
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir === "" ? "." : systemPath(dir)).map(byteText);
  } catch {
    return [];
  }
}

function exists(path: string): boolean {
  try {
    statSync(systemPath(path));
    return true;
  } catch {
    return false;
  }
}

/** Which lines CONFIG REWRITE of this program knows (rewrite.ts): all of the table, and what only a file can hold. */
export function redisKeyOf(config: Config): KeyOf {
  return (words) => {
    const row = config.row(words[0]);
    if (row !== null) return row.name;
    if (!(FILE_ONLY as readonly string[]).includes(words[0])) return null;
    return config.sentinel && words[0] === "sentinel" && words.length > 1 ? `sentinel ${words[1].toLowerCase()}` : words[0];
  };
}

/**
 * Sentinel's memory on disk: the configuration file, rewritten in place (comments and order kept), or a file of its own
 * (`sentinel state-config-file`), replaced atomically and durably. COLD.
 * Redis config.c: rewriteConfig, rewriteConfigOverwriteFile; sentinel.c: sentinelFlushConfig. Synchronous on purpose: a vote must not leave
 * before it is on disk, and nothing else may be decided meanwhile.
 *
 * For whom the votes were given stands in comments (`# sentinel voted-for NAME RUNID EPOCH`): originals read the file as well, know no such
 * statement, and keep comments. Where the epoch is not that of the `leader-epoch` line the comment is old and counts for nothing.
 */
import { readFileSync } from "node:fs";
import { quoteArg, splitArgs } from "../bytes/args.ts";
import { strerror } from "../bytes/errno.ts";
import { systemPath } from "../bytes/path.ts";
import type { Config } from "../config/config.ts";
import { redisKeyOf } from "../config/redis_conf.ts";
import { rewriteConfigText } from "../config/rewrite.ts";
import { sentinelEntries, sentinelKeyOf } from "../config/sentinel_conf.ts";
import type { Log } from "../log/log.ts";
import { replaceFileSync } from "../os/files.ts";

/** For whom the last vote was given, by master: run id and epoch. */
export type Votes = Record<string, [string, number]>;

/** While saving keeps failing for one reason, this is said so often. */
const COMPLAIN_MS = 60_000;
const VOTED = "# sentinel voted-for ";
const STATE_HEAD =
  "# The state of a redisha Sentinel: written by it, read after its configuration file. What stands there is not repeated here.\n";

export class StateFile {
  readonly path: string;
  private readonly config: Config;
  private readonly log: Log;
  /** The `user` lines; null when an ACL file keeps the users. */
  private readonly users: () => readonly string[] | null;
  /** The configuration file's own statements, which a file of its own leaves out; null when the configuration file is the memory. */
  private readonly given: Set<string> | null;
  private lastError: string | null;
  private complainedMs: number;
  /** How often it was written, and how often not; for /metrics. */
  saves: number;
  errors: number;

  constructor(path: string, config: Config, log: Log, users: () => readonly string[] | null, given: readonly (readonly string[])[] | null) {
    this.path = path;
    this.config = config;
    this.log = log;
    this.users = users;
    this.given = given === null ? null : new Set(given.map(statementKey));
    this.lastError = null;
    this.complainedMs = -Infinity;
    this.saves = 0;
    this.errors = 0;
  }

  /** Null when the file holds the directives and votes, durably; the reason otherwise (and the old file is untouched). */
  save(directives: string[][], votes: Votes): string | null {
    try {
      const old = readOrEmpty(this.path);
      const text = (this.given === null ? this.rewritten(old, directives) : this.own(directives, this.given)) + voteLines(votes);
      const failure = text === old ? null : replaceFileSync(this.path, text);
      if (failure !== null) return this.complain(failure.reason);
    } catch (error) {
      return this.complain(strerror(error));
    }
    this.lastError = null;
    this.saves++;
    this.log.notice("Sentinel new configuration saved on disk");
    return null;
  }

  private rewritten(old: string, directives: string[][]): string {
    const entries = [...this.config.rewriteEntries(this.users()), ...sentinelEntries(directives)];
    return rewriteConfigText(withoutVotes(old), entries, sentinelKeyOf(redisKeyOf(this.config)));
  }

  private own(directives: string[][], given: Set<string>): string {
    const lines = sentinelEntries(directives.filter((d) => !given.has(statementKey(d)))).flatMap((e) => (e.line === null ? [] : [e.line]));
    return `${STATE_HEAD}${lines.join("\n")}\n`;
  }

  private complain(reason: string): string {
    this.errors++;
    const now = performance.now();
    if (reason === this.lastError && now - this.complainedMs < COMPLAIN_MS) return reason;
    this.lastError = reason;
    this.complainedMs = now;
    this.log.warning(`WARNING: Sentinel was not able to save the new configuration on disk!!!: ${reason}`);
    this.log.warning("Monitoring goes on, but this Sentinel gives no vote and starts no failover until its file can be written.");
    return reason;
  }
}

/** A statement with its values, so that equal ones are found. */
function statementKey(words: readonly string[]): string {
  return JSON.stringify([words[0].toLowerCase(), ...words.slice(1)]);
}

function voteLines(votes: Votes): string {
  return Object.entries(votes)
    .map(([name, [runid, epoch]]) => `${VOTED}${quoteArg(name)} ${runid} ${epoch}\n`)
    .join("");
}

function withoutVotes(text: string): string {
  if (!text.includes(VOTED)) return text;
  return text
    .split("\n")
    .filter((line) => !line.startsWith(VOTED))
    .join("\n");
}

/** The votes that stand in a file's comments. */
export function readVotes(text: string): Votes {
  const votes: Votes = {};
  for (const line of text.split("\n")) {
    if (!line.startsWith(VOTED)) continue;
    const [name, runid, epoch, ...more] = splitArgs(line.slice(VOTED.length)) ?? [];
    if (more.length === 0 && /^[0-9a-f]{40}$/.test(runid ?? "") && /^\d{1,15}$/.test(epoch ?? "")) votes[name] = [runid, Number(epoch)];
  }
  return votes;
}

/** A file's text; "" when there is none. */
export function readOrEmpty(path: string): string {
  try {
    return readFileSync(systemPath(path), "latin1");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return "";
    throw error;
  }
}

/** One `sentinel ...` line: its words behind that one, and where it stands. */
export interface SentinelLine {
  words: string[];
  file: string;
  line: number;
  text: string;
}

/** The statements of a state file, or the number of the line that is none. */
export function readStateFile(path: string): SentinelLine[] | SentinelLine {
  const lines: SentinelLine[] = [];
  const all = readOrEmpty(path).split("\n");
  for (let i = 0; i < all.length; i++) {
    const text = all[i].trim();
    if (text === "" || text.startsWith("#")) continue;
    const words = splitArgs(text);
    const at = { words: words?.slice(1) ?? [], file: path, line: i + 1, text };
    if (words === null || words.length < 2 || words[0].toLowerCase() !== "sentinel") return at;
    lines.push(at);
  }
  return lines;
}

/** Statements that say everything about their subject: the state's own replace all of the configuration file's. */
const LEARNT = new Set(["known-replica", "known-slave", "known-sentinel"]);
const ALONE = new Set(["myid", "current-epoch", "announce-ip", "announce-port", "sentinel-user", "sentinel-pass"]);

/** The configuration file's lines and the state's: the state wins where both speak of one thing. */
export function mergeLines(main: readonly SentinelLine[], state: readonly SentinelLine[]): SentinelLine[] {
  const subject = ({ words }: SentinelLine): string => {
    const name = words[0].toLowerCase();
    if (LEARNT.has(name)) return `known ${words[1]}`;
    if (name === "rename-command") return `rename-command ${words[1]} ${words[2]?.toLowerCase()}`;
    return ALONE.has(name) || words.length === 2 ? name : `${name} ${words[1]}`;
  };
  const told = new Set(state.map(subject));
  return [...main.filter((line) => !told.has(subject(line))), ...state];
}

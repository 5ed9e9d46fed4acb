/**
 * Reads the files that --check is given: which kind each is, and whether its reader takes it. Cold.
 * The readers are those of the modes, so that a file that passes here starts there.
 */
import { readFileSync, statSync } from "node:fs";
import { Config } from "../config/config.ts";
import type { HaproxyConfig } from "../config/haproxy_model.ts";
import { readConfig } from "../config/haproxy_read.ts";
import { fatalConfigText, readRedisConf } from "../config/redis_conf.ts";
import { checkSentinelStatement, sentinelHint } from "../config/sentinel_conf.ts";
import { strerror } from "../bytes/errno.ts";
import type { Finding } from "./finding.ts";

interface Common {
  path: string;
  text: string;
  /** Permission bits. */
  mode: number;
}
export interface ServerFile extends Common {
  kind: "server";
  config: Config;
}
/** One `sentinel` line: words behind the first, and where it stands. */
export interface Statement {
  words: string[];
  line: number;
}
export interface SentinelFile extends Common {
  kind: "sentinel";
  config: Config;
  statements: Statement[];
}
export interface ProxyFile extends Common {
  kind: "proxy";
  config: HaproxyConfig;
}
export interface UnitFile extends Common {
  kind: "unit";
}
export type CheckedFile = ServerFile | SentinelFile | ProxyFile | UnitFile;

/** By what stands in it; a name may mislead. */
export function kindOf(path: string, text: string): CheckedFile["kind"] {
  if (/^\s*\[(Unit|Service)\]/m.test(text)) return "unit";
  if (/^\s*sentinel\s/im.test(text) || (/sentinel[^/]*$/.test(path) && !/^\s*(replicaof|slaveof|save|appendonly)\s/im.test(text)))
    return "sentinel";
  return /^(global|defaults|frontend|backend|listen)\b/m.test(text) ? "proxy" : "server";
}

/** The file as its mode reads it; null when it cannot be read at all. What is wrong goes to `findings`. */
export function readChecked(path: string, findings: Finding[]): CheckedFile | null {
  let text: string;
  let mode: number;
  try {
    text = readFileSync(path, "latin1");
    mode = statSync(path).mode & 0o777;
  } catch (error) {
    findings.push({
      level: "error",
      place: path,
      text: `It cannot be read: ${strerror(error)}.`,
      mend: "Give the path of a file that this user may read.",
    });
    return null;
  }
  const kind = kindOf(path, text);
  const common = { path, text, mode };
  if (kind === "unit") return { kind, ...common };
  if (kind === "proxy") return { kind, ...common, config: readProxy(path, text, findings) };
  return readRedis(kind, common, findings);
}

function readProxy(path: string, text: string, findings: Finding[]): HaproxyConfig {
  const read = readConfig([{ name: path, text }]);
  for (const f of read.findings) {
    if (f.level === "notice" || /^(Error\(s\) found|Fatal errors found)/.test(f.text)) continue;
    findings.push({
      level: f.level === "alert" ? "error" : "warning",
      place: path,
      text: f.text,
      mend: f.level === "alert" ? "Correct the line: the proxy does not start with it." : "See the line; the proxy starts all the same.",
    });
  }
  return read.config;
}

function readRedis(kind: "server" | "sentinel", common: Common, findings: Finding[]): ServerFile | SentinelFile {
  const { path } = common;
  const say = (level: Finding["level"], place: string, text: string, mend: string): void =>
    void findings.push({ level, place, text, mend });
  const config = new Config({ sentinel: kind === "sentinel", warn: (text) => say("warning", path, text, "See the line.") });
  config.file = path;
  const statements: Statement[] = [];
  const failed = readRedisConf(
    config,
    { file: path, stdin: null, options: null },
    {
      note: (text) => say("warning", path, text, "Put each directive on a line of its own."),
      sentinel: (words, line) => {
        const error = checkSentinelStatement(words);
        if (error === null) statements.push({ words: [...words], line });
        return error;
      },
    },
  );
  if (failed?.kind === "open") say("error", path, failed.text, "Make the file readable, or name the right one.");
  else if (failed !== null) {
    const { failure } = failed;
    const words = failure.text.split(/\s+/);
    const hint = words[0].toLowerCase() === "sentinel" && words.length > 1 ? sentinelHint(words.slice(1)) : "";
    const hints = [hint, ...failure.hints].filter((h) => h !== "");
    const mend = hints.length > 0 ? hints.join("; ") : fatalConfigText(failure).trim();
    say("error", failure.line === null ? path : `${path}:${failure.line}`, `${failure.reason}: '${failure.text}'.`, mend);
  }
  const { config: read } = { config };
  return kind === "server" ? { kind, ...common, config: read } : { kind, ...common, config: read, statements };
}

/** Line of the first directive of this name, for a place; 0 when it is not there. */
export function lineOf(text: string, directive: string): number {
  const words = directive.split(" ").join("\\s+");
  return text.split("\n").findIndex((line) => new RegExp(`^\\s*${words}(\\s|$)`, "i").test(line)) + 1;
}

export function placeOf(file: CheckedFile, directive: string): string {
  const line = lineOf(file.text, directive);
  return line === 0 ? file.path : `${file.path}:${line}`;
}

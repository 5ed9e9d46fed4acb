/**
 * sentinel.conf: the `sentinel ...` lines between the file and the engine, both ways. Pure, cold.
 * Reading: which lines have the right form at all (the values are the engine's business: lib/sentinel/core/directives.ts), and what to write
 * instead. Writing: entries for rewriteConfigText. General directives are those of redis.conf (redis_conf.ts). Redis sentinel.c.
 */
import { quoteArg } from "../bytes/args.ts";
import { nearest } from "./hints.ts";
import type { KeyOf, RewriteEntry } from "./rewrite.ts";

/** Statement -> how it is written, and how many words may follow it. */
const STATEMENTS: Record<string, [usage: string, min: number, max: number]> = {
  monitor: ["<name> <ip> <port> <quorum>", 4, 4],
  "down-after-milliseconds": ["<name> <milliseconds>", 2, 2],
  "failover-timeout": ["<name> <milliseconds>", 2, 2],
  // Three words are the slip of many articles; the engine takes the first and the last, with a warning.
  "parallel-syncs": ["<name> <number of replicas>", 2, 3],
  "notification-script": ["<name> <path>", 2, 2],
  "client-reconfig-script": ["<name> <path>", 2, 2],
  "auth-pass": ["<name> <password>", 2, 2],
  "auth-user": ["<name> <user>", 2, 2],
  "rename-command": ["<name> <command> <what to send instead>", 3, 3],
  "master-reboot-down-after-period": ["<name> <milliseconds>", 2, 2],
  "primary-reboot-down-after-period": ["<name> <milliseconds>", 2, 2],
  "known-replica": ["<name> <ip> <port>", 3, 3],
  "known-slave": ["<name> <ip> <port>", 3, 3],
  "known-sentinel": ["<name> <ip> <port> <run id>", 3, 4],
  "config-epoch": ["<name> <epoch>", 2, 2],
  "leader-epoch": ["<name> <epoch>", 2, 2],
  "current-epoch": ["<epoch>", 1, 1],
  myid: ["<40 hexadecimal digits>", 1, 1],
  "deny-scripts-reconfig": ["yes|no", 1, 1],
  "resolve-hostnames": ["yes|no", 1, 1],
  "announce-hostnames": ["yes|no", 1, 1],
  "announce-ip": ["<ip>", 1, 1],
  "announce-port": ["<port>", 1, 1],
  "sentinel-user": ["<user>", 1, 1],
  "sentinel-pass": ["<password>", 1, 1],
  // Ours.
  webhook: ["<name> <http address>", 2, 2],
  "auto-failover": ["<name> yes|no", 2, 2],
  "fast-failover": ["<name> yes|no", 2, 2],
  "cluster-id": ["<any word>", 1, 1],
  "metrics-port": ["<port>", 1, 1],
  "state-config-file": ["<path>", 1, 1],
};

/** Every statement that may follow the word `sentinel`. */
export function sentinelStatements(): string[] {
  return Object.keys(STATEMENTS);
}

/** Lines of an older name are taken over by the present one. */
const ALIASES: Record<string, string> = {
  "known-slave": "known-replica",
  "primary-reboot-down-after-period": "master-reboot-down-after-period",
};

/** Words behind `sentinel`: Redis' text when there is no such statement or its words are too many or too few; null when the form is right. */
export function checkSentinelStatement(words: readonly string[]): string | null {
  const statement = STATEMENTS[words[0].toLowerCase()];
  const n = words.length - 1;
  return statement !== undefined && n >= statement[1] && n <= statement[2] ? null : "Unrecognized sentinel configuration statement.";
}

/** What to write instead of a refused line; "" when nothing helps. */
export function sentinelHint(words: readonly string[]): string {
  const name = words[0].toLowerCase();
  const statement = STATEMENTS[name];
  if (statement !== undefined) return `write: sentinel ${name} ${statement[0]}`;
  const near = nearest(name, Object.keys(STATEMENTS));
  return near === null ? "" : `there is no statement '${words[0]}'; did you mean 'sentinel ${near} ${STATEMENTS[near][0]}'?`;
}

/** Names in `monitor` lines that are no addresses: they are looked up before the engine starts. */
export function hostNames(directives: readonly string[][]): string[] {
  const names = new Set<string>();
  for (const words of directives) {
    const name = words[0].toLowerCase();
    if (words.length > 2 && (name === "monitor" || name === "known-replica" || name === "known-slave" || name === "known-sentinel"))
      if (/[g-zG-Z]/.test(words[2]) && !words[2].includes(":")) names.add(words[2]);
  }
  return [...names];
}

/** What a value looks like in the file: bare where that is safe. */
function fileWord(word: string): string {
  return /^[!$-&(-[\]-~]+$/.test(word) ? word : quoteArg(word);
}

/** The engine's directives as lines of the file; older lines of any statement that is not among them go away. */
export function sentinelEntries(directives: readonly string[][]): RewriteEntry[] {
  const entries: RewriteEntry[] = Object.keys(STATEMENTS).map((name) => ({ key: `sentinel ${name}`, line: null, force: false }));
  for (const [name, ...values] of directives) {
    const words = name === "announce-ip" ? values.map(quoteArg) : values.map(fileWord);
    entries.push({ key: `sentinel ${name}`, line: `sentinel ${name} ${words.join(" ")}`, force: true });
  }
  return entries;
}

/** The keys of old lines, with older names under the present ones. */
export function sentinelKeyOf(general: KeyOf): KeyOf {
  return (words) => {
    const key = general(words);
    if (key === null || !key.startsWith("sentinel ")) return key;
    const name = key.slice("sentinel ".length);
    return `sentinel ${ALIASES[name] ?? name}`;
  };
}

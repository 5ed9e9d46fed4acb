/** What DEBUG's subcommands take and do: DEBUG HELP, and the count of their arguments. Cold. */

/** Subcommand -> arguments (`[x]` may be left out, `...` goes on) and what it is for. */
export const DEBUG_HELP: Record<string, readonly [string, string]> = {
  "aof-flush-sleep": ["micros", "Sleep before each write of the AOF."],
  assert: ["", "Fail as a broken assertion does: a crash report, and the end."],
  "change-repl-id": ["", "Take a new replication id: replicas must sync in full."],
  "client-eviction": ["", "Show nothing; accepted for the sake of scripts."],
  "config-rewrite-force-all": ["", "CONFIG REWRITE with every directive, defaults too."],
  "dict-resizing": ["0|1", "Accepted; tables move by themselves."],
  digest: ["", "A digest of the whole dataset."],
  "digest-value": ["key...", "A digest of each key's value."],
  error: ["text", "Reply with this error."],
  htstats: ["db [full]", "The tables of a database."],
  "htstats-key": ["key [full]", "The table of a set, hash or sorted set."],
  jmap: ["", "Accepted; there is nothing to print."],
  leak: ["text", "Accepted; nothing leaks."],
  listpack: ["key", "The elements of a listpack with their places."],
  loadaof: ["", "Write the AOF out, then load the dataset from it."],
  log: ["text", "Write a line into the log."],
  mallctl: ["name [value]", "Not supported: there is no jemalloc."],
  "mallctl-str": ["name [value]", "Not supported: there is no jemalloc."],
  object: ["key", "How a key's value is kept."],
  oom: ["", "Reply as when memory is out."],
  panic: ["", "Fail as a bug does: a crash report, and the end."],
  "pause-cron": ["0|1", "Stop the periodic work, or let it go on."],
  populate: ["count [prefix] [size]", "Make `count` keys that are not there yet."],
  protocol: ["type", "Reply with a value of that protocol type."],
  "quicklist-packed-threshold": ["size", "From this size on a list's element gets a node of its own; 0 is the default."],
  reload: ["[option]...", "Save the dataset and load it again: NOSAVE, NOFLUSH, MERGE."],
  replicate: ["command...", "Send a command to replicas as it stands, so that their data may differ."],
  replybuffer: ["what value", "peak-reset-time and resizing of reply buffers."],
  restart: ["[delay]", "Not supported."],
  sdslen: ["key", "Lengths of a key and its string value."],
  segfault: ["", "Crash as from a bad address."],
  "set-active-expire": ["0|1", "Switch the search for expired keys off and on."],
  "set-disable-deny-scripts": ["0|1", "Let scripts call what is denied to them."],
  "set-skip-checksum-validation": ["0|1", "Accept payloads with a wrong checksum."],
  sleep: ["seconds", "Stand still; fractions are allowed."],
  "stringmatch-len": ["pattern text", "Match a text against a pattern."],
};

/** True when the subcommand may have `argc - 2` arguments. */
export function debugTakes(name: string, argc: number): boolean {
  const row = DEBUG_HELP[name];
  if (row === undefined) return true;
  const words = row[0].split(" ").filter((w) => w !== "");
  const least = words.filter((w) => !w.startsWith("[")).length;
  return argc - 2 >= least && (row[0].endsWith("...") || argc - 2 <= words.length);
}

/** The lines of DEBUG HELP, framed as Redis frames them. */
export function debugHelp(): string[] {
  const lines = ["DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"];
  for (const [name, [args, summary]] of Object.entries(DEBUG_HELP)) lines.push(`${name.toUpperCase()} ${args}`.trimEnd(), `    ${summary}`);
  return [...lines, "HELP", "    Print this help."];
}

/**
 * The tables under docs/tables, made from the rows that the code runs on: commands, directives, haproxy words, events, metrics. Written by
 * `./build.sh docs` and for the packages, and not kept in the repository, so that they cannot be old. Events and metrics have no table in the
 * code: their names are found in it.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs, syntaxOf } from "../../lib/commands/table/args.ts";
import { rowTable } from "../../lib/commands/table/index.ts";
import { FLAG, type Row } from "../../lib/commands/table/row.ts";
import { Config } from "../../lib/config/config.ts";
import { BIND_ROWS } from "../../lib/config/haproxy_bind.ts";
import { B, D, F } from "../../lib/config/haproxy_context.ts";
import { GLOBAL_ROWS } from "../../lib/config/haproxy_global.ts";
import { OPTION_ROWS } from "../../lib/config/haproxy_options.ts";
import { PROXY_ROWS } from "../../lib/config/haproxy_proxy.ts";
import { SECTIONS } from "../../lib/config/haproxy_sections.ts";
import { SERVER_ROWS } from "../../lib/config/haproxy_server.ts";
import { LEVELS } from "../../lib/proxy/admin/command.ts";
import { COMMANDS, OWN as API_OWN } from "../../lib/proxy/admin/table.ts";
import { PROCESS, STATS } from "../../lib/proxy/http/metrics.ts";
import { METRICS } from "../../lib/proxy/redis/report.ts";
import { ROWS } from "../../lib/config/redis_rows.ts";
import { IMMUTABLE, OWN, RECORD, type Row as ConfigRow } from "../../lib/config/row.ts";
import { sentinelHint, sentinelStatements } from "../../lib/config/sentinel_conf.ts";

const root = resolve(import.meta.dir, "../..");
export const folder = join(root, "docs/tables");

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const code = (text: string): string => (text === "" ? "" : `\`${cell(text)}\``);

function table(title: string, about: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    `# ${title}`,
    "",
    "Made by `./build.sh docs` from the rows that the program runs on; changes belong there.",
    "",
    about,
    "",
    line(head),
    line(head.map(() => "---")),
    ...rows.map(line),
    "",
  ].join("\n");
}

function commands(): string {
  const rows: string[][] = [];
  // lib/server/unsupported_commands.ts: what belongs to Redis Cluster and to modules.
  const left = /^(cluster(\|.*)?|asking|readonly|readwrite|module\|(un)?load(ex)?)$/;
  const add = (row: Row, name: string): void => {
    const where = row.flags & FLAG.only_sentinel ? "Sentinel" : row.flags & FLAG.sentinel ? "both" : "server";
    const args = syntaxOf(parseArgs(row.doc.args ?? ""));
    rows.push([code(`${name} ${args}`.trim()), row.group, row.doc.since, where, left.test(row.name) ? "no" : "yes", cell(row.doc.summary)]);
    for (const sub of row.subcommands ?? []) add(sub, `${name} ${sub.shortName.toUpperCase()}`);
  };
  for (const row of rowTable("all").rows.toSorted((a, b) => (a.name < b.name ? -1 : 1))) add(row, row.name.toUpperCase());
  const about = `${rows.length} commands and subcommands. "no": known, and answered with an error, because redisha does not do what it is for.`;
  return table("Commands", about, ["Command", "Group", "Since Redis", "Known to", "Served", "What it does"], rows);
}

function directives(): string {
  const config = new Config();
  const rows = (ROWS as readonly ConfigRow[])
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((row) => {
      const effect = row.flags & RECORD ? "kept and shown, without effect" : row.flags & OWN ? "redisha's own" : "as in Redis";
      const values = "values" in row ? row.values.join(", ") : row.type;
      return [
        code(row.name),
        row.name === "dir" ? "where it is started" : code(config.show(row.name) ?? ""),
        cell(values),
        row.flags & IMMUTABLE ? "at start" : "CONFIG SET",
        effect,
        row.aliases.map(code).join(" "),
      ];
    });
  const about = "`conf/redis.conf` explains each. All of them are read from the file and the command line.";
  return table("Directives of redis.conf", about, ["Directive", "Default", "Values", "Changed", "Effect", "Other names"], rows);
}

function sentinel(): string {
  const rows = sentinelStatements()
    .toSorted()
    .map((name) => [code(name), code(sentinelHint([name]).replace(/^write: /, ""))]);
  return table(
    "Statements of sentinel.conf",
    "`conf/sentinel.conf` explains each; general directives are those of redis.conf.",
    ["Statement", "How it is written"],
    rows,
  );
}

function haproxy(): string {
  const where = (bits: number): string =>
    [bits & D ? "defaults" : "", bits & F ? "frontend" : "", bits & B ? "backend" : ""].filter((w) => w !== "").join(", ");
  const rows: string[][] = [];
  for (const name of [...SECTIONS].toSorted()) rows.push([code(name), "section", ""]);
  for (const name of Object.keys(GLOBAL_ROWS).toSorted()) rows.push([code(name), "global", ""]);
  for (const [name, row] of Object.entries(PROXY_ROWS).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    rows.push([code(name), "keyword", where(row.where)]);
  for (const name of Object.keys(OPTION_ROWS).toSorted()) rows.push([code(`option ${name}`), "option", ""]);
  for (const name of Object.keys(SERVER_ROWS).toSorted()) rows.push([code(name), "on server lines", ""]);
  for (const name of Object.keys(BIND_ROWS).toSorted()) rows.push([code(name), "on bind lines", ""]);
  const about =
    "Every word that the reader takes. What is read without effect says so in a warning when the file has it (`redisha --check`), and `conf/haproxy.cfg` explains redisha's own words.";
  return table("Words of haproxy.cfg", about, ["Word", "What", "In"], rows);
}

function sources(path: string): { file: string; text: string }[] {
  const full = join(root, path);
  if (!existsSync(full)) return [];
  return readdirSync(full, { recursive: true, encoding: "utf8" })
    .filter((f) => f.endsWith(".ts"))
    .sort()
    .map((f) => ({ file: `${path}/${f}`, text: readFileSync(join(full, f), "utf8") }));
}

function events(): string {
  const found = new Map<string, Set<string>>();
  for (const { file, text } of sources("lib/sentinel/core"))
    for (const [, name] of text.matchAll(/"([+-][a-z][a-z-]+)"/g)) found.set(name, (found.get(name) ?? new Set()).add(file));
  const rows = [...found]
    .toSorted(([a], [b]) => (a.slice(1) < b.slice(1) ? -1 : 1))
    .map(([name, files]) => [code(name), [...files].map(code).join(" ")]);
  return table(
    "Sentinel's events",
    "The name is the Pub/Sub channel and the word in the log; payloads are those of redis-sentinel.",
    ["Event", "Emitted in"],
    rows,
  );
}

function metrics(): string {
  const rows: string[][] = [];
  for (const { file, text } of sources("lib"))
    for (const [, name, kind, help] of text.matchAll(/\(\s*"((?:redisha|haproxy)_[a-z_]+)",\s*"(gauge|counter)",\s*"([^"]*)"/g))
      rows.push([code(name), kind, cell(help), code(file)]);
  for (const m of METRICS) rows.push([code(m.name), m.type, cell(m.help), code("lib/proxy/redis/report.ts")]);
  const exporter = "lib/proxy/http/metrics.ts";
  for (const [field, text] of Object.entries(PROCESS)) {
    const [name, counter] = text.split(" ");
    rows.push([code(`haproxy_process_${name}`), counter === "c" ? "counter" : "gauge", `\`${field}\` of show info`, code(exporter)]);
  }
  const scopes: Record<string, string> = { f: "frontend", b: "backend", s: "server" };
  for (const [column, text] of Object.entries(STATS)) {
    const [name, where, ...flags] = text.split(" ");
    for (const scope of where)
      rows.push([
        code(`haproxy_${scopes[scope]}_${name}`),
        flags.includes("c") ? "counter" : "gauge",
        `\`${column}\` of show stat`,
        code(exporter),
      ]);
  }
  return table(
    "Metrics",
    "Prometheus' text format, on the Sentinel's metrics port and the proxy's statistics.",
    ["Name", "Kind", "What", "Where"],
    rows,
  );
}

function runtimeApi(): string {
  const rows = [...COMMANDS, ...API_OWN]
    .toSorted((a, b) => (a.usage < b.usage ? -1 : 1))
    .map((c) => [code(c.usage), LEVELS[c.level], cell(c.help)]);
  const about = "On statistics sockets (`stats socket` in haproxy.cfg), several in a line separated by semicolons, as with HAProxy.";
  return table("Runtime API of the proxy", about, ["Command", "Level", "What it does"], rows);
}

/** File name -> text. */
export function docTables(): Record<string, string> {
  return {
    "commands.md": commands(),
    "redis-conf.md": directives(),
    "sentinel-conf.md": sentinel(),
    "haproxy-cfg.md": haproxy(),
    "runtime-api.md": runtimeApi(),
    "events.md": events(),
    "metrics.md": metrics(),
  };
}

if (import.meta.main) {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(docTables())) writeFileSync(join(folder, name), text);
}

/** docs/tables is made from the code: every row of it is there, and what the documentation links to is made. */
import { expect, test } from "bun:test";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { rowTable } from "../../lib/commands/table/index.ts";
import { ROWS } from "../../lib/config/redis_rows.ts";
import { sentinelStatements } from "../../lib/config/sentinel_conf.ts";
import { root } from "../support/programs.ts";
import { docTables } from "../support/doc_tables.ts";

const tables = docTables();
const docs = join(root, "docs");

test("every command, directive and statement has its line", () => {
  const missing = (names: readonly string[], text: string): string[] =>
    names.filter((name) => !new RegExp(`^\\| \`${name}[ \`]`, "m").test(text));
  expect(
    missing(
      rowTable("all").rows.map((row) => row.name.toUpperCase()),
      tables["commands.md"],
    ),
  ).toEqual([]);
  expect(
    missing(
      ROWS.map((row) => row.name),
      tables["redis-conf.md"],
    ),
  ).toEqual([]);
  expect(missing(sentinelStatements(), tables["sentinel-conf.md"])).toEqual([]);
  expect(missing(["global", "server", "bind", "balance", "inter", "option tcplog"], tables["haproxy-cfg.md"])).toEqual([]);
  expect(missing(["show stat", "show redis held", "set server", "quit"], tables["runtime-api.md"])).toEqual([]);
  expect(missing(["haproxy_backend_status", "haproxy_process_uptime_seconds", "redisha_redis_held_total"], tables["metrics.md"])).toEqual(
    [],
  );
  for (const name of ["+switch-master", "+odown", "+failover-end", "-failover-abort-no-good-slave"])
    expect(tables["events.md"]).toContain(`\`${name}\``);
});

test("what the documentation links to is there, or is made", () => {
  const wrong: string[] = [];
  for (const file of readdirSync(docs).filter((name) => name.endsWith(".md")))
    for (const [, target] of readFileSync(join(docs, file), "utf8").matchAll(/\]\(([^)#:]+)\)/g)) {
      const made = target.startsWith("tables/") && target.slice(7) in tables;
      if (!made && !readdirSync(docs).includes(target)) wrong.push(`${file}: ${target}`);
    }
  expect(wrong).toEqual([]);
});

test("docs/grafana.json asks for metrics that there are", () => {
  const dashboard = JSON.parse(readFileSync(join(docs, "grafana.json"), "utf8")) as { panels: { targets: { expr: string }[] }[] };
  const asked = dashboard.panels.flatMap((p) => p.targets.flatMap((t) => t.expr.match(/\b(?:redisha|haproxy)_\w+/g) ?? []));
  expect(asked.length).toBeGreaterThan(8);
  expect([...new Set(asked)].filter((name) => !tables["metrics.md"].includes(`\`${name}\``))).toEqual([]);
});

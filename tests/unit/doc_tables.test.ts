/** docs/tables says what the code says. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { docTables, folder } from "../support/doc_tables.ts";

test.each(Object.entries(docTables()))("docs/tables/%s is up to date (./build.sh docs writes it)", (name, text) => {
  expect(
    readFileSync(join(folder, name), "utf8") === text ? "up to date" : `docs/tables/${name} is old: run ./build.sh docs and commit it`,
  ).toBe("up to date");
  expect(text.split("\n").length).toBeGreaterThan(name === "metrics.md" ? 5 : 20);
});

test("docs/grafana.json asks for metrics that there are", () => {
  const text = readFileSync(join(folder, "../grafana.json"), "utf8");
  const dashboard = JSON.parse(text) as { panels: { targets: { expr: string }[] }[] };
  const known = docTables()["metrics.md"];
  const asked = dashboard.panels.flatMap((p) => p.targets.flatMap((t) => t.expr.match(/\b(?:redisha|haproxy)_\w+/g) ?? []));
  expect(asked.length).toBeGreaterThan(8);
  expect([...new Set(asked)].filter((name) => !known.includes(`\`${name}\``))).toEqual([]);
});

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

/**
 * Runs the tests and closes with one line: `N passed, N failed, N skipped`. `./build.sh test [FILE...]` calls it on the compiled file.
 * Files go to `bun test` in one process per folder: unit and sim first (seconds), then those that start programs.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "./support/programs.ts";

const folders = ["unit", "sim", "diff", "e2e"];
const wanted = process.argv.slice(2);
const dir = tempDir("redisha-tests.");
let passed = 0;
let failed = 0;
let skipped = 0;
let broken = 0;

function testFiles(folder: string): string[] {
  const base = join(import.meta.dir, folder);
  if (!existsSync(base)) return [];
  return readdirSync(base, { recursive: true, encoding: "utf8" })
    .filter((f) => f.endsWith(".test.ts"))
    .map((f) => join(base, f))
    .sort();
}

async function run(name: string, files: string[]): Promise<void> {
  if (files.length === 0) return;
  const report = join(dir, `${name}.xml`);
  const started = Date.now();
  const p = Bun.spawn([process.execPath, "test", "--timeout", "120000", "--reporter=junit", `--reporter-outfile=${report}`, ...files], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  const code = await p.exited;
  const head = existsSync(report) ? readFileSync(report, "utf8").match(/<testsuites[^>]*>/)?.[0] : undefined;
  const count = (attribute: string): number => Number(head?.match(new RegExp(`\\b${attribute}="(\\d+)"`))?.[1] ?? 0);
  const bad = count("failures") + count("errors");
  passed += count("tests") - bad - count("skipped");
  failed += bad;
  skipped += count("skipped");
  if (code !== 0 && bad === 0) broken++;
  console.log(`-- ${name}: ${Math.round((Date.now() - started) / 1000)} s`);
}

if (wanted.length > 0) await run("chosen", wanted);
else for (const folder of folders) await run(folder, testFiles(folder));
rmSync(dir, { recursive: true, force: true });
console.log(`${passed} passed, ${failed + broken} failed, ${skipped} skipped`);
process.exit(failed + broken > 0 || passed === 0 ? 1 : 0);

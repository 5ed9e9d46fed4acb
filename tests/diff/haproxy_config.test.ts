/**
 * haproxy.cfg files, good and bad, read by the real haproxy 2.6 and by ours: the same findings in the same order, word for word.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readConfig } from "../../lib/config/haproxy_read.ts";
import { hasHaproxy, originals } from "../support/programs.ts";

const dir = join(import.meta.dir, "haproxy_configs");

/** What `haproxy -c` says, one finding an item: `[ALERT] text`. */
function theirs(file: string): string[] {
  const p = Bun.spawnSync([originals.haproxy, "-c", "-f", file], { cwd: dir, stdout: "pipe", stderr: "pipe" });
  return p.stderr
    .toString("latin1")
    .split(/\n(?=\[(?:ALERT|WARNING|NOTICE)\])/)
    .filter((l) => !l.startsWith("[NOTICE]") || / : config : /.test(l))
    .map((l) => l.replace(/ *\(\d+\) : (config : )?/, " ").trimEnd())
    .filter((l) => l !== "");
}
function ours(file: string): string[] {
  const r = readConfig([{ name: file, text: readFileSync(join(dir, file), "latin1") }]);
  // Our own warnings name redisha: something is read and has no effect here.
  return r.findings.filter((f) => !f.text.includes("redisha")).map((f) => `[${f.level.toUpperCase()}] ${f.text}`.trimEnd());
}

for (const file of readdirSync(dir).sort()) {
  test.skipIf(!hasHaproxy)(`${file}: the same findings`, () => {
    expect(ours(file)).toEqual(theirs(file));
  });
}

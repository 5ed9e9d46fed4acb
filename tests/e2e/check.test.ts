/** `redisha --check` and `--doctor` as programs: output, JSON, exit codes. What each check finds: tests/unit/check.test.ts. */
import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { redisha, root, tempDir } from "../support/programs.ts";

function run(...args: string[]): { out: string; err: string; code: number } {
  const p = Bun.spawnSync([redisha, ...args]);
  return { out: p.stdout.toString(), err: p.stderr.toString(), code: p.exitCode };
}

test("--check: good, warnings, errors, and no file", () => {
  const dir = tempDir();
  const file = join(dir, "redis.conf");
  writeFileSync(file, "bind 127.0.0.1\nmin-replicas-to-write 1\nmaxmemory 1gb\nsave 60 1\n");
  expect(run("--check", file)).toEqual({
    out: `Examined: ${file} (server). 0 errors, 0 warnings, 0 pieces of advice.\n`,
    err: "",
    code: 0,
  });
  writeFileSync(file, "requirepass x\n");
  chmodSync(file, 0o644);
  const warned = run("--check", file);
  expect([warned.code, warned.out]).toEqual([1, expect.stringContaining(`WARNING  ${file}:1\n         A password stands in a file`)]);
  writeFileSync(file, "prot 6380\n");
  const failed = JSON.parse(run("--check", "--json", file).out);
  expect(failed.findings[0]).toMatchObject({ level: "error", place: `${file}:1`, mend: expect.stringContaining("port") });
  expect(run("--check", file).code).toBe(2);
  expect(run("--check")).toMatchObject({ code: 2, err: expect.stringContaining("usage: redisha --check") });
});

test("--doctor looks at the machine and at the files given", () => {
  const { out, code } = run("--doctor", join(root, "conf/redis.conf"));
  expect(out).toContain(`Examined: this machine, ${join(root, "conf/redis.conf")} (server).`);
  expect([0, 1, 2]).toContain(code);
});

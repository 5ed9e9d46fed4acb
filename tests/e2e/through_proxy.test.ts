/**
 * Test files that were written for a server, run through our proxy in mode redis: the clients of other languages' worlds, and commands compared
 * with the original reply by reply. THROUGH_FILES names others (all of tests/diff may be given).
 */
import { expect, test } from "bun:test";
import { hasRedis, root } from "../support/programs.ts";

const files = (process.env["THROUGH_FILES"] ?? "tests/e2e/clients.test.ts tests/diff/hyperloglog.test.ts").split(" ");

for (const file of files)
  test.skipIf(!hasRedis)(
    file,
    async () => {
      const p = Bun.spawn([process.execPath, "test", "--timeout", "120000", file], {
        cwd: root,
        env: { ...process.env, THROUGH_PROXY: "1" },
        stdout: "ignore",
        stderr: "pipe",
      });
      const said = await new Response(p.stderr).text();
      const failed = said.split("\n").filter((l) => l.startsWith("(fail)"));
      expect([failed, await p.exited, /\b0 fail/.test(said)]).toEqual([[], 0, true]);
    },
    600_000,
  );

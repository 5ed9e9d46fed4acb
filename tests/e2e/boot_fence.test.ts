/** boot-fence on the compiled file: a master that comes back takes writes only when a majority of the Sentinels it knew says that it is the master. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, startSentinel, startServer, tempDir, until, type Program } from "../support/programs.ts";

const conf = { "boot-fence": "yes" };
const FENCED = "MASTERDOWN Writes wait until the Sentinels confirm that this server is the master (boot-fence): ";

test("a master that comes back: confirmed, not confirmed, replaced", async () => {
  const dir = tempDir();
  const port = freePort();
  const start = (): Promise<Program> => startServer("redisha", conf, { dir, port });
  const watch = [`sentinel monitor mymaster 127.0.0.1 ${port} 2`, "sentinel down-after-milliseconds mymaster 60000"];
  let server = await start();
  expect(await server.cli("set", "first", "1")).toBe("OK");
  await using one = await startSentinel("redisha", watch);
  const two = await startSentinel("redisha", watch);
  const file = join(dir, "dump.rdb.sentinels");
  const known = (): number => (existsSync(file) ? (readFileSync(file, "latin1").match(/^sentinel /gm)?.length ?? 0) : 0);
  await until("both Sentinels to be known", () => known() === 2, 30_000);
  await until(
    "the Sentinels to know each other",
    async () => (await one.cli("sentinel", "sentinels", "mymaster")).includes(String(two.port)),
    30_000,
  );
  expect(readFileSync(file, "latin1")).toStartWith(`self mymaster 127.0.0.1 ${port}\n`);

  // Both say that it is the master: writes are taken as soon as they have.
  await server.stop("SIGKILL");
  server = await start();
  await until("writes to be taken", async () => (await server.cli("set", "a", "1")) === "OK", 30_000);
  expect(server.output).toContain("boot-fence: writes are taken, 2/2 Sentinels say this server is the master");

  // One of two is no majority.
  await server.stop("SIGKILL");
  await two.stop("SIGKILL");
  server = await start();
  expect(await server.cli("set", "a", "2")).toStartWith(FENCED);
  await until("the one that is left to be heard", async () =>
    (await server.cli("set", "a", "2")).startsWith(`${FENCED}1 of 2 Sentinels answer, 2 are needed`),
  );
  expect(await server.cli("get", "a")).toBe("");
  expect(await server.cli("eval", "return redis.call('set','a',1)", "0")).toContain("MASTERDOWN");
  expect(await server.cli("config", "set", "boot-fence", "no")).toBe("OK");
  expect(await server.cli("set", "a", "2")).toBe("OK");

  // Another one is the master: no writes, until it is told to follow.
  await server.stop("SIGKILL");
  await using three = await startSentinel("redisha", watch);
  const other = await startServer("redisha");
  for (const s of [one, three]) {
    await s.cli("sentinel", "remove", "mymaster");
    expect(await s.cli("sentinel", "monitor", "mymaster", "127.0.0.1", String(other.port), "2")).toBe("OK");
  }
  server = await start();
  await until(
    "the Sentinels' word",
    async () => (await server.cli("set", "a", "3")).includes(`Sentinels say 127.0.0.1:${other.port} is the master`),
    30_000,
  );
  expect(await server.cli("replicaof", "127.0.0.1", String(other.port))).toBe("OK");
  expect(await server.cli("set", "a", "3")).toStartWith("READONLY");
  await server.stop("SIGKILL");
  await other.stop();
}, 120_000);

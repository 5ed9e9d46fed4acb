/** `redisha --status` against a mixed set: the same picture from every member, exit codes, --watch and --json while the master is killed. */
import { expect, test } from "bun:test";
import { freePort, hasRedis, redisha, until } from "../support/programs.ts";
import { WholeSet } from "../support/whole_set.ts";

interface Run {
  out: string;
  code: number;
}
function status(...args: string[]): Run {
  const p = Bun.spawnSync([redisha, "--status", ...args], { env: { ...process.env, REDISCLI_AUTH: undefined } });
  return { out: p.stdout.toString() + p.stderr.toString(), code: p.exitCode };
}

test("from every member the same; a killed master is seen and its successor too", async () => {
  const other = hasRedis ? "redis" : "redisha";
  await using set = await WholeSet.start({
    servers: ["redisha", other, "redisha"],
    sentinels: ["redisha", other, "redisha"],
    proxy: "redisha",
  });
  const [master] = set.servers;
  const names = [...set.servers, ...set.sentinels].map((p) => `127.0.0.1:${p.port}`);
  for (const member of [...set.servers, ...set.sentinels, set.proxy]) {
    const seen = status(String(member.port));
    expect([member.name, seen.code, seen.out]).toEqual([member.name, 0, expect.stringContaining("m: healthy")]);
    for (const name of names) expect(seen.out).toContain(name);
  }
  const through = status(`127.0.0.1:${set.proxy.port}`).out;
  expect(through).toContain(`127.0.0.1:${set.proxy.port}`);
  expect(through).toMatch(new RegExp(`proxy .*leads to 127.0.0.1:${master.port}\\b`));
  const json = JSON.parse(status(String(master.port), "--json").out);
  expect([json.healthy, json.sets[0].master.address, json.sets[0].replicas.length, json.sets[0].sentinels.length]).toEqual([
    true,
    `127.0.0.1:${master.port}`,
    2,
    3,
  ]);

  const watching = Bun.spawn([redisha, "--status", String(set.sentinels[0].port), "--watch", "0.2"], { stdout: "pipe" });
  let seen = "";
  const reading = (async () => {
    for await (const chunk of watching.stdout) seen += Buffer.from(chunk).toString();
  })();
  await using _end = { [Symbol.asyncDispose]: async () => void watching.kill("SIGKILL") };
  await until("the first picture", () => seen.includes(" healthy\n"));
  await master.stop("SIGKILL");
  await until("the loss to be seen", () => seen.includes(`127.0.0.1:${master.port} does not answer: Connection refused.`), 30_000);
  const next = await set.switchedFrom(master);
  await until("the successor to be seen", () => seen.includes(`master 127.0.0.1:${next.port}: master`), 30_000);
  expect(seen).toContain("NOT healthy");
  const now = status(String(next.port));
  expect(now.code).toBe(1);
  expect(now.out).toContain(`127.0.0.1:${master.port} does not answer: Connection refused.`);
  master.start();
  await master.ready();
  await set.follows(master, next);
  await set.isWhole();
  await until("health again", () => status(String(next.port)).code === 0, 40_000);
  // The watcher may be between two looks.
  await until("the watcher to see it", () => seen.trimEnd().endsWith(" healthy") && !seen.trimEnd().endsWith("NOT healthy"), 30_000);
  watching.kill("SIGINT");
  expect(await watching.exited).toBe(0);
  await reading;
}, 180_000);

test("nobody there, and a command line that is none", () => {
  const port = freePort();
  expect(status(String(port))).toEqual({ out: expect.stringContaining(`127.0.0.1:${port} does not answer: Connection refused.`), code: 2 });
  expect(status("--what")).toEqual({ out: expect.stringContaining("unknown option '--what'"), code: 2 });
}, 60_000);

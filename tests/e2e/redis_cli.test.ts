/**
 * redis-cli's tools on ours: --bigkeys, --memkeys, --hotkeys, --scan, --stat, --latency and its history, --pipe, --rdb, MONITOR. Where the
 * output does not depend on time or memory it is that of the original, to the byte.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hasRedis, originals, startServer, tempDir, until, type Kind, type Program } from "../support/programs.ts";

const FILL = `
  for i = 1, 300 do redis.call('set', 's:' .. i, string.rep('x', i)) end
  for i = 1, 40 do
    for j = 1, i do
      redis.call('rpush', 'list:' .. i, j)
      redis.call('hset', 'hash:' .. i, j, j)
      redis.call('sadd', 'set:' .. i, j)
      redis.call('zadd', 'zset:' .. i, j, j)
      redis.call('xadd', 'stream:' .. i, '*', 'f', j)
    end
  end`;

async function filled(kind: Kind): Promise<Program> {
  const server = await startServer(kind, { "maxmemory-policy": "allkeys-lfu", "lfu-log-factor": 0 });
  await server.cli("eval", FILL, "0");
  return server;
}

/** Runs redis-cli to its end. */
async function run(port: number, args: string[], input?: Buffer): Promise<string> {
  const p = Bun.spawn([originals.cli, "-p", String(port), ...args], { stdin: input ?? "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(p.stdout).text(), new Response(p.stderr).text()]);
  await p.exited;
  return out + err;
}

/** Runs redis-cli, which never ends by itself, until its output is as wanted; returns it. */
async function watch(
  port: number,
  args: string[],
  enough: (text: string) => boolean,
  meanwhile?: (text: string) => Promise<void>,
): Promise<string> {
  const p = Bun.spawn(["stdbuf", "-oL", originals.cli, "-p", String(port), ...args], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  let text = "";
  const reading = (async () => {
    for await (const chunk of p.stdout) text += Buffer.from(chunk).toString();
  })();
  try {
    await until(
      `${args.join(" ")} says enough`,
      async () => {
        await meanwhile?.(text);
        return enough(text);
      },
      30000,
    );
  } finally {
    p.kill("SIGKILL");
    await reading;
  }
  return text;
}

/** The part of a report that does not depend on the order of SCAN. */
const summary = (text: string): string => text.slice(text.indexOf("-------- summary"));

test.skipIf(!hasRedis)("reports on keys: biggest, by memory, hottest, a scan by pattern", async () => {
  await using ours = await filled("redisha");
  await using original = await filled("redis");
  const both = (...args: string[]): Promise<string[]> => Promise.all([original, ours].map((s) => run(s.port, args)));

  const [a, b] = await both("--bigkeys");
  expect(summary(b!)).toBe(summary(a!));
  expect(summary(b!)).toContain(`Biggest string found '"s:300"' has 300 bytes`);

  const memory = (await both("--memkeys")).map((text) => summary(text).replace(/found .*|(with|size) [\d.]+( bytes)?/g, "$1 N"));
  expect(memory[1]).toBe(memory[0]!);
  expect((await both("--memkeys-samples", "3")).map((text) => summary(text).split("\n").length)).toEqual([19, 19]);

  for (const server of [original, ours]) await server.cli("-r", "3000", "get", "s:77");
  const hot = await run(ours.port, ["--hotkeys"]);
  expect(summary(hot)).toMatch(/hot key found with counter: \d+\tkeyname: "s:77"/);

  const scans = (await both("--scan", "--pattern", "s:?1*")).map((text) => text.split("\n").sort());
  expect(scans[1]).toEqual(scans[0]!);
  expect(scans[1]!.length).toBeGreaterThan(20);
  expect((await run(ours.port, ["--scan", "--quoted-pattern", '"hash:\\x31"'])).trim()).toBe("hash:1");
});

test.skipIf(!hasRedis)("figures over time: --stat, --latency, --latency-history, --latency-dist, --lru-test", async () => {
  await using s = await startServer("redisha");
  await s.cli("set", "a", "1");
  const lines = (text: string): string[] => text.split(/[\n\r]+/).filter((line) => line !== "");
  const stat = await watch(s.port, ["--stat", "-i", "0.05"], (text) => lines(text).length >= 6);
  expect(stat).toContain("keys       mem      clients blocked requests            connections");
  expect(lines(stat).at(-2)).toMatch(/^1 +[\d.]+[MK] +1 +0 +\d+ \(\+\d+\) +\d+/);
  const history = await watch(s.port, ["--latency-history", "-i", "1", "--raw"], (text) => lines(text).length >= 1);
  expect(history).toMatch(/\d+ \d+ [\d.]+ \d+/);
  expect(await watch(s.port, ["--latency", "-i", "1", "--raw"], (text) => lines(text).length >= 1)).toMatch(/^\d+ \d+ [\d.]+ \d+/);
  expect(await watch(s.port, ["--latency-dist", "-i", "0.2"], (text) => text.includes("From 0 to 100%"))).toContain("milliseconds");
  await s.cli("config", "set", "maxmemory", "20mb", "maxmemory-policy", "allkeys-lru");
  expect(await watch(s.port, ["--lru-test", "1000"], (text) => text.includes("Gets/sec"))).toMatch(/Hits: \d+ \(/);
});

test.skipIf(!hasRedis)("--pipe: a hundred thousand requests, errors among them, are counted as by the original", async () => {
  await using ours = await startServer("redisha");
  await using original = await startServer("redis");
  const parts: string[] = [];
  for (let i = 0; i < 100_000; i++) {
    const words = i % 10_000 === 7 ? ["NOSUCH", String(i)] : i % 100 === 3 ? ["LPUSH", "k:1", "x"] : ["SET", `k:${i % 1000}`, `value ${i}`];
    parts.push(`*${words.length}\r\n${words.map((w) => `$${w.length}\r\n${w}\r\n`).join("")}`);
  }
  const input = Buffer.from(parts.join(""));
  const [a, b] = await Promise.all([original, ours].map((s) => run(s.port, ["--pipe"], input)));
  const end = (text: string): string => text.slice(text.indexOf("Last reply received"));
  expect(end(b!)).toBe(end(a!));
  expect(b).toContain("replies: 100000");
  expect(await ours.cli("debug", "digest")).toBe(await original.cli("debug", "digest"));
});

test.skipIf(!hasRedis)("MONITOR shows what others do, scripts' commands too", async () => {
  const shown: string[] = [];
  for (const kind of ["redis", "redisha"] as const) {
    await using s = await startServer(kind);
    let asked = false;
    const text = await watch(
      s.port,
      ["MONITOR"],
      (t) => t.includes('"last"'),
      async (t) => {
        if (asked || !t.startsWith("OK")) return;
        asked = true;
        await s.cli("-n", "3", "set", "a b", '"\x01');
        await s.cli("eval", "redis.call('incr', KEYS[1]) return redis.call('get', KEYS[1])", "1", "n");
        await s.cli("function", "load", "#!lua name=l\nredis.register_function('f', function(k) return redis.call('get', k[1]) end)");
        await s.cli("fcall", "f", "1", "n");
        await s.cli("nosuch");
        await s.cli("echo", "last");
      },
    );
    shown.push(text.replace(/^[\d.]+ /gm, "").replace(/127\.0\.0\.1:\d+/g, "client"));
  }
  expect(shown[1]).toBe(shown[0]!);
  expect(shown[1]).toContain('[0 lua] "incr" "n"');
});

test.skipIf(!hasRedis)("--rdb fetches a file that the original loads", async () => {
  await using s = await filled("redisha");
  const dir = tempDir();
  expect(await run(s.port, ["--rdb", join(dir, "dump.rdb")])).toContain("Transfer finished with success");
  expect(readFileSync(join(dir, "dump.rdb")).toString("latin1", 0, 5)).toBe("REDIS");
  await using r = await startServer("redis", { dir });
  expect(await r.cli("debug", "digest")).toBe(await s.cli("debug", "digest"));
});

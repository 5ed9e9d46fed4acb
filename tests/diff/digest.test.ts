/** DEBUG DIGEST and DIGEST-VALUE give the original's fingerprints, so that replicas of both kinds can be compared. */
import { expect, test } from "bun:test";
import { hasRedis, startServer } from "../support/programs.ts";

test.skipIf(!hasRedis)("fingerprints of every type, small and big, in several databases", async () => {
  await using original = await startServer("redis");
  await using ours = await startServer("redisha");
  const many = Array.from({ length: 300 }, (_, i) => `m${i}`);
  const commands: string[][] = [
    ["set", "int", "1"],
    ["set", "text", "x".repeat(100)],
    ["set", "expires", "1", "pxat", "4102444800000"],
    ["rpush", "list", "1", "2", "z"],
    ["rpush", "long list", ...many],
    ["sadd", "set", "a", "b"],
    ["sadd", "ints", "1", "2"],
    ["sadd", "big set", ...many],
    ["hset", "hash", "f", "v"],
    ["hset", "big hash", ...many],
    ["zadd", "zset", "0.1", "a", "3", "b", "-0", "zero", "inf", "c", "-1e300", "d"],
    ["zadd", "big zset", ...many.flatMap((m, i) => [String(i / 7), m])],
    ["xadd", "stream", "1-1", "f", "v", "g", "w"],
    ["xgroup", "create", "stream", "group", "0"],
    ["xgroup", "create", "empty stream", "group", "0", "mkstream"],
    ["pexpireat", "big zset", "4102444800000"],
  ];
  for (const p of [original, ours]) {
    for (const command of commands) await p.cli(...command);
    await p.cli("-n", "9", "set", "int", "1");
  }
  expect(await ours.cli("debug", "digest")).toBe(await original.cli("debug", "digest"));
  const keys = [...commands.map((c) => c[1]), "missing"];
  expect(await ours.cli("debug", "digest-value", ...keys)).toBe(await original.cli("debug", "digest-value", ...keys));
});

/** Function libraries where they must survive: a replica of either kind, the RDB file of either kind, the append only file, a reload. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { cli, hasRedis, startServer, tempDir, until, type Kind } from "../support/programs.ts";

const library = (name: string, answer: string): string =>
  `#!lua name=${name}\nredis.register_function{function_name='${name}_f', callback=function(k) if k[1] then redis.call('set', k[1], '${answer}') end return '${answer}' end, flags={${"'allow-oom'"}}}`;

const kinds = [
  ["redisha", "redis"],
  ["redis", "redisha"],
  ["redisha", "redisha"],
] as [Kind, Kind][];

test.skipIf(!hasRedis).each(kinds)("%s's libraries reach a replica that is %s, with its first sync and after", async (master, replica) => {
  await using m = await startServer(master);
  await using r = await startServer(replica);
  await cli(m.port, "function", "load", library("early", "before"));
  // What the replica had goes.
  await cli(r.port, "function", "load", library("own", "mine"));
  await cli(r.port, "replicaof", "127.0.0.1", String(m.port));
  await until("the replica is in sync", async () => (await r.info("replication"))["master_link_status"] === "up");
  await cli(m.port, "function", "load", library("late", "after"));
  const dumped = await cli(m.port, "function", "dump");
  const same = (what: string): Promise<true> =>
    until(what, async () => {
      const [a, b] = await Promise.all([m.port, r.port].map((port) => cli(port, "function", "list", "withcode")));
      return a!.split("\n").sort().join() === b!.split("\n").sort().join();
    }) as Promise<true>;
  await same("both libraries are there");
  expect(await cli(m.port, "fcall", "late_f", "1", "k")).toContain("after");
  await until("the effect is there", async () => (await cli(r.port, "get", "k")).trim() === "after");
  expect(await cli(r.port, "function", "flush")).toContain("READONLY");
  await cli(m.port, "function", "delete", "early");
  await same("one library is gone");
  await cli(m.port, "function", "flush");
  await same("none is left");
  expect(dumped).toContain("early");
});

test.skipIf(!hasRedis).each(kinds)("%s's file is loaded by %s, libraries and all", async (writer, reader) => {
  const dir = tempDir();
  {
    await using w = await startServer(writer, { dir });
    await cli(w.port, "function", "load", library("saved", "kept"));
    await cli(w.port, "set", "a", "1");
    expect((await cli(w.port, "save")).trim()).toBe("OK");
  }
  await using r = await startServer(reader, { dir });
  expect((await cli(r.port, "fcall", "saved_f", "0")).trim()).toBe("kept");
  expect((await r.info("memory"))["number_of_libraries"]).toBe("1");
  expect((await r.info("memory"))["number_of_functions"]).toBe("1");
  expect((await cli(r.port, "get", "a")).trim()).toBe("1");
});

test("append only files keep libraries: in the base, and as commands after it", async () => {
  const dir = tempDir();
  const conf = { dir, appendonly: "yes", appendfsync: "always" };
  {
    await using s = await startServer("redisha", conf);
    await cli(s.port, "function", "load", library("base", "one"));
    await cli(s.port, "bgrewriteaof");
    await until("the base is written", async () => (await s.info("persistence"))["aof_rewrite_in_progress"] === "0");
    await cli(s.port, "function", "load", library("tail", "two"));
    await cli(s.port, "function", "load", "replace", library("base", "three"));
    await s.stop("SIGKILL");
  }
  await using s = await startServer("redisha", conf);
  expect((await cli(s.port, "fcall", "base_f", "0")).trim()).toBe("three");
  expect((await cli(s.port, "fcall", "tail_f", "0")).trim()).toBe("two");
  await cli(s.port, "debug", "reload");
  expect((await cli(s.port, "fcall", "tail_f", "0")).trim()).toBe("two");
  await cli(s.port, "flushall");
  expect((await s.info("memory"))["number_of_libraries"]).toBe("2");
});

test.skipIf(!hasRedis)("redis-cli --functions-rdb fetches the libraries and no data", async () => {
  await using s = await startServer("redisha");
  await cli(s.port, "function", "load", library("lib", "here"));
  await cli(s.port, "set", "data", "x");
  const dir = tempDir();
  await cli(s.port, "--functions-rdb", join(dir, "dump.rdb"));
  await using r = await startServer("redis", { dir });
  expect((await cli(r.port, "fcall", "lib_f", "0")).trim()).toBe("here");
  expect((await cli(r.port, "dbsize")).trim()).toBe("0");
});

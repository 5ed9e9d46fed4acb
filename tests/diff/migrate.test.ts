/** MIGRATE: replies as the original's, between ours and the original both ways; what is written meanwhile is neither lost nor deleted. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Both } from "../support/both.ts";
import { freePort, hasRedis, startServer, until, type Program } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

setDefaultTimeout(60000);

const HOST = "127.0.0.1";
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

test.skipIf(!hasRedis)("between servers of both kinds: moved, copied, refused, errors to the byte", async () => {
  await using both = await Both.start();
  for (const kind of ["redis", "redisha"] as const) {
    await using target = await startServer(kind, { save: "" });
    const there = await Wire.connect(target.port);
    await there.do("CONFIG", "SET", "requirepass", "secret");
    await there.do("AUTH", "secret");
    // One source after the other: both fill the same target.
    for (const wire of both.wires) {
      const replies: string[] = [];
      const say = async (...args: (string | number | Buffer)[]): Promise<void> => void replies.push(await wire.do(...args));
      await wire.do("FLUSHALL");
      await there.do("FLUSHALL");
      await say("MSET", "a", 1, "b", 2, "c", 3, "busy", "here");
      await say("RPUSH", "list", ...range(2000).map((i) => `item ${i}`));
      await say("HSET", "hash", "f", "v");
      await say("EXPIRE", "hash", 1000);
      await say("MIGRATE", HOST, target.port, "a", 0, 5000);
      await say("MIGRATE", HOST, target.port, "a", 0, 5000, "AUTH", "wrong");
      await say("MIGRATE", HOST, target.port, "a", 0, 5000, "COPY", "AUTH2", "default", "secret");
      await say("EXISTS", "a");
      await say("MIGRATE", HOST, target.port, "a", 0, 5000, "AUTH", "secret");
      await say("MIGRATE", HOST, target.port, "a", 0, 5000, "REPLACE", "AUTH", "secret");
      await say("EXISTS", "a");
      await there.do("SET", "busy", "there");
      await say("MIGRATE", HOST, target.port, "", 0, 5000, "AUTH", "secret", "KEYS", "b", "none", "busy", "list", "hash");
      await say("EXISTS", "b", "busy", "list", "hash");
      await say("MIGRATE", HOST, target.port, "c", 3, 5000, "AUTH", "secret");
      await say("MIGRATE", HOST, target.port, "nothing", 0, 5000, "AUTH", "secret");
      await say("SET", "d", 1);
      await say("MIGRATE", HOST, target.port, "d", 77, 5000, "AUTH", "secret");
      await say("MIGRATE", HOST, target.port, "d", 0, "x");
      await say("MIGRATE", HOST, target.port, "d", "x", 10);
      await say("MIGRATE", HOST, target.port, "d", 0, 10, "MAYBE");
      await say("MIGRATE", HOST, target.port, "d", 0, 10, "AUTH");
      await say("MIGRATE", HOST, target.port, "d", 0, 10, "KEYS", "d");
      await say("MIGRATE", HOST, freePort(), "d", 0, 1000);
      await say("MIGRATE", HOST, "nothing", "d", 0, 100);
      await say("DBSIZE");
      replies.push(await there.do("DBSIZE"), await there.do("LLEN", "list"), await there.do("GET", "busy"), await there.do("SELECT", 3));
      replies.push(await there.do("GET", "c"), await there.do("SELECT", 0));
      expect(await there.do("TTL", "hash")).toMatch(/^\((99\d|1000)\)$/);
      if (wire === both.wires[0]) first = replies;
      else expect(replies).toEqual(first);
    }
    there.close();
  }
});
let first: string[] = [];

/** Stops a process, and waits until it has stopped. */
async function halt(program: Program): Promise<void> {
  program.kill("SIGSTOP");
  await until("the target to have stopped", () => readFileSync(`/proc/${program.pid}/stat`, "latin1").split(") ")[1]!.startsWith("T"));
}

test("a kept link that was closed is made anew; one that says nothing is given up in time", async () => {
  await using source = await startServer("redisha", { save: "" });
  await using target = await startServer("redisha", { save: "", "enable-debug-command": "yes" });
  const wire = await Wire.connect(source.port);
  await wire.do("MSET", "a", 1, "b", 2, "c", 3);
  expect(await wire.do("MIGRATE", HOST, target.port, "a", 0, 30000)).toBe("+OK");
  expect((await source.info("stats"))["migrate_cached_sockets"]).toBe("1");
  await target.cli("client", "kill", "type", "normal", "skipme", "yes");
  expect(await wire.do("MIGRATE", HOST, target.port, "b", 0, 30000)).toBe("+OK");
  await halt(target);
  expect(await wire.do("MIGRATE", HOST, target.port, "c", 0, 200)).toBe("-IOERR error or timeout reading to target instance");
  expect(await wire.do("GET", "c")).toBe('"3"');
  target.kill("SIGCONT");
  expect(await wire.do("EVAL", "return redis.call('migrate', '127.0.0.1', '1', 'c', '0', '10')", 0)).toContain("MIGRATE waits");
});

test("reads go on while keys are on their way, writes come after, and replicas hear DEL", async () => {
  await using source = await startServer("redisha", { save: "" });
  await using target = await startServer("redisha", { save: "", "enable-debug-command": "yes" });
  await using replica = await startServer("redisha", { save: "", replicaof: `${HOST} ${source.port}` });
  await until("the link", async () => (await replica.info("replication"))["master_link_status"] === "up");
  const wire = await Wire.connect(source.port);
  await wire.do("MSET", ...range(500).flatMap((i) => [`k${i}`, i]));
  await until("the copy", async () => (await replica.cli("dbsize")) === "500");
  await halt(target);
  const moving = wire.do("MIGRATE", HOST, target.port, "", 0, 30000, "KEYS", ...range(500).map((i) => `k${i}`));
  const other = await Wire.connect(source.port);
  await until("the transfer", async () => (await other.do("CLIENT", "LIST")).includes("cmd=migrate"));
  expect(await other.do("GET", "k0")).toBe('"0"');
  const appended = other.do("APPEND", "k0", "new");
  target.kill("SIGCONT");
  const there = await Wire.connect(target.port);
  expect(await moving).toBe("+OK");
  // The write waited for the end: it found no key.
  expect(await appended).toBe("(3)");
  expect(await there.do("DBSIZE")).toBe("(500)");
  expect(await there.do("GET", "k0")).toBe('"0"');
  await until("the replica to follow", async () => (await replica.cli("dbsize")) === "1");
  expect(await replica.cli("get", "k0")).toBe("new");

  // A client that does not wait for the end loses nothing.
  await other.do("MSET", "x", 1, "y", 2);
  await halt(target);
  const leaving = await Wire.connect(source.port);
  leaving.send("MIGRATE", HOST, target.port, "", 0, 30000, "KEYS", "x", "y");
  await until("the transfer", async () => (await other.do("CLIENT", "LIST")).includes("cmd=migrate"));
  leaving.close();
  target.kill("SIGCONT");
  await until("the move", async () => (await other.do("EXISTS", "x", "y")) === "(0)");
  expect(await there.do("MGET", "x", "y")).toBe('["1", "2"]');
});

/**
 * What users' programs do, on the compiled file: @redis/client (opens with HELLO 3) and ioredis in both protocols, redis-cli's long modes.
 * Their Sentinel modes are in clients_sentinel.test.ts.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createClient } from "@redis/client";
import { Redis } from "ioredis";
import { cli, hasRedis, originals, until, type Program } from "../support/programs.ts";
import { startThrough } from "../support/through.ts";

let server: Program;
beforeAll(async () => void (server = await startThrough("redisha")));
afterAll(async () => await server[Symbol.asyncDispose]());
beforeEach(async () => void (await cli(server.port, "flushall")));

async function nodeRedis(RESP: 2 | 3) {
  const client = createClient({ RESP, socket: { port: server.port, host: "127.0.0.1" }, name: "a-test" });
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: async () => void client.destroy() });
}
function ioRedis(protocol: 2 | 3, more: object = {}) {
  const client = new Redis({ port: server.port, host: "127.0.0.1", protocol, connectionName: "a-test", ...more });
  return Object.assign(client, { [Symbol.asyncDispose]: async () => void client.disconnect() });
}
const blocked = (n: number): Promise<unknown> =>
  until(`${n} waiting clients`, async () => (await server.info("clients"))["blocked_clients"] === String(n));

describe.each([2, 3] as const)("@redis/client, RESP%d", (resp) => {
  test("says who it is when it connects", async () => {
    await using c = await nodeRedis(resp);
    const line = String(await c.sendCommand(["CLIENT", "INFO"]));
    expect(line).toContain(" name=a-test ");
    expect(line).toContain(` resp=${resp} `);
    expect(line).toMatch(/ lib-name=node-redis lib-ver=\d/);
    expect((await c.clientList()).map((l) => l.name)).toContain("a-test");
  });

  test("strings and expiry", async () => {
    await using c = await nodeRedis(resp);
    expect(await c.set("s", "é\0x", { expiration: { type: "PX", value: 60000 }, condition: "NX" })).toBe("OK");
    expect(await c.set("s", "again", { condition: "NX" })).toBeNull();
    expect(await c.set("s", "new", { GET: true })).toBe("é\0x");
    expect(await c.pTTL("s")).toBe(-1);
    expect([await c.incrBy("n", 41), await c.incr("n"), await c.incrByFloat("f", 0.1), await c.append("s", "er")]).toEqual([
      41,
      42,
      "0.1",
      5,
    ]);
    expect(await c.mGet(["s", "none", "n"])).toEqual(["newer", null, "42"]);
    expect(await c.getRange("s", -2, -1)).toBe("er");
    expect([await c.getEx("s", { type: "EX", value: 100 }), await c.ttl("s")]).toEqual(["newer", 100]);
    expect([await c.getDel("s"), await c.exists(["s", "n"]), await c.type("n")]).toEqual(["newer", 1, "string"]);
    expect(await c.lcsIdx("n", "f").then((r) => r.len)).toBe(0);
  });

  test("hashes, lists, sets, sorted sets", async () => {
    await using c = await nodeRedis(resp);
    expect(await c.hSet("h", { a: "1", b: "2" })).toBe(2);
    expect(await c.hGetAll("h")).toEqual({ a: "1", b: "2" } as never);
    expect([await c.hIncrBy("h", "a", 9), await c.hmGet("h", ["a", "x"])]).toEqual([10, ["10", null]] as never);
    expect(await c.hRandFieldCountWithValues("h", 5)).toHaveLength(2);

    expect(await c.rPush("l", ["a", "b", "c", "b"])).toBe(4);
    expect([await c.lRange("l", 0, -1), await c.lPos("l", "b"), await c.lPosCount("l", "b", 0)]).toEqual([
      ["a", "b", "c", "b"],
      1,
      [1, 3],
    ] as never);
    expect(await c.lmPop(["none", "l"], "RIGHT", { COUNT: 2 })).toEqual(["l", ["b", "c"]] as never);
    expect([await c.lMove("l", "l2", "LEFT", "RIGHT"), await c.lRange("l2", 0, -1)]).toEqual(["a", ["a"]] as never);

    expect(await c.sAdd("s", ["x", "y", "z"])).toBe(3);
    await c.sAdd("s2", ["y", "z", "w"]);
    expect((await c.sMembers("s")).sort()).toEqual(["x", "y", "z"]);
    expect([(await c.sInter(["s", "s2"])).sort(), await c.sInterCard(["s", "s2"]), await c.smIsMember("s", ["x", "q"])]).toEqual([
      ["y", "z"],
      2,
      [1, 0],
    ] as never);

    expect(
      await c.zAdd("z", [
        { score: 1.5, value: "a" },
        { score: -Infinity, value: "low" },
        { score: 3, value: "b" },
      ]),
    ).toBe(3);
    expect(await c.zRangeWithScores("z", 0, -1)).toEqual([
      { value: "low", score: -Infinity },
      { value: "a", score: 1.5 },
      { value: "b", score: 3 },
    ]);
    expect(await c.zRange("z", 3, 1, { BY: "SCORE", REV: true, LIMIT: { offset: 0, count: 1 } })).toEqual(["b"]);
    expect([await c.zScore("z", "a"), await c.zmScore("z", ["a", "none"]), await c.zIncrBy("z", 0.25, "a")]).toEqual([
      1.5,
      [1.5, null],
      1.75,
    ] as never);
    expect([await c.zPopMax("z"), await c.zRankWithScore("z", "a")]).toEqual([
      { value: "b", score: 3 },
      { rank: 1, score: 1.75 },
    ] as never);
  });

  test("MULTI, WATCH, pipelines", async () => {
    await using c = await nodeRedis(resp);
    await using other = await nodeRedis(resp);
    expect(await c.multi().set("a", "1").incr("a").hGetAll("none").get("a").exec()).toEqual(["OK", 2, {}, "2"] as never);
    await c.watch("a");
    await other.set("a", "10");
    await expect(c.multi().set("a", "3").exec()).rejects.toThrow("One (or more) of the watched keys has been changed");
    expect(await c.get("a")).toBe("10");
    await c.watch("a");
    await c.unwatch();
    expect(await c.multi().incr("a").exec()).toEqual([11] as never);
    await expect(c.multi().set("a", "x").incr("a").exec()).rejects.toThrow("1 commands failed");
    expect(await c.multi().set("p", "1").incr("p").execAsPipeline()).toEqual(["OK", 2] as never);
    expect(await Promise.all(Array.from({ length: 1000 }, (_, i) => c.set(`k${i}`, String(i)).then(() => c.get(`k${i}`))))).toEqual(
      Array.from({ length: 1000 }, (_, i) => String(i)),
    );
    await expect(c.sendCommand(["GET"])).rejects.toThrow("ERR wrong number of arguments for 'get' command");
    await expect(c.lPush("a", "1")).rejects.toThrow("WRONGTYPE Operation against a key holding the wrong kind of value");
  });

  test("Pub/Sub", async () => {
    await using sub = await nodeRedis(resp);
    await using pub = await nodeRedis(resp);
    const got: string[] = [];
    await sub.subscribe("news", (message, channel) => got.push(`${channel}: ${message}`));
    await sub.pSubscribe("n?ws", (message, channel) => got.push(`${channel} by pattern: ${message}`));
    await sub.sSubscribe("shard", (message, channel) => got.push(`${channel} by shard: ${message}`));
    expect([await pub.publish("news", "one"), await pub.sPublish("shard", "two"), await pub.publish("else", "three")]).toEqual([2, 1, 0]);
    await until("three messages", () => got.length === 3);
    expect(got.sort()).toEqual(["news by pattern: one", "news: one", "shard by shard: two"]);
    expect([await pub.pubSubChannels("n*"), await pub.pubSubNumPat()]).toEqual([["news"], 1] as never);
    // In RESP3 the connection stays one for commands.
    if (resp === 3) expect(await sub.get("none")).toBeNull();
    await sub.unsubscribe("news");
    expect(await pub.publish("news", "four")).toBe(1);
  });

  test("SCAN's iterators", async () => {
    await using c = await nodeRedis(resp);
    const names = Array.from({ length: 700 }, (_, i) => `key:${i}`).sort();
    await Promise.all(names.map((n) => c.set(n, "")));
    await c.set("other", "");
    const found: string[] = [];
    for await (const keys of c.scanIterator({ MATCH: "key:*", COUNT: 50, TYPE: "string" })) found.push(...(keys as unknown as string[]));
    expect([...new Set(found)].sort()).toEqual(names);
    await c.hSet("h", Object.fromEntries(names.map((n) => [n, "v"])));
    let fields = 0;
    for await (const entries of c.hScanIterator("h")) fields += entries.length;
    expect(fields).toBe(700);
    await c.sAdd("s", names);
    const members = new Set<string>();
    for await (const some of c.sScanIterator("s")) for (const m of some) members.add(m);
    expect(members.size).toBe(700);
    await c.zAdd(
      "z",
      names.map((value, score) => ({ value, score })),
    );
    let scores = 0;
    for await (const some of c.zScanIterator("z")) for (const m of some) scores += m.score;
    expect(scores).toBe((699 * 700) / 2);
  });

  test("blocking pops", async () => {
    await using waiting = await nodeRedis(resp);
    await using c = await nodeRedis(resp);
    const list = waiting.blPop(["q1", "q2"], 10);
    await blocked(1);
    await c.rPush("q2", "job");
    expect(await list).toEqual({ key: "q2", element: "job" } as never);
    const sorted = waiting.bzPopMin("z", 10);
    await blocked(1);
    await c.zAdd("z", { score: 2, value: "m" });
    expect(await sorted).toEqual({ key: "z", value: "m", score: 2 } as never);
    const moved = waiting.blMove("from", "to", "LEFT", "RIGHT", 10);
    await blocked(1);
    await c.multi().rPush("from", "a").rPush("from", "b").exec();
    expect([await moved, await c.lRange("to", 0, -1), await c.lRange("from", 0, -1)]).toEqual(["a", ["a"], ["b"]] as never);
    expect(await waiting.blPop("none", 0.01)).toBeNull();
  });
});

test("@redis/client's client-side cache is told what others change", async () => {
  const c = createClient({
    RESP: 3,
    socket: { port: server.port, host: "127.0.0.1" },
    clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: "LRU" },
  });
  await c.connect();
  await using other = await nodeRedis(3);
  await other.set("cached", "1");
  expect(await c.get("cached")).toBe("1");
  const before = (await server.info("commandstats"))["cmdstat_get"];
  expect(await c.get("cached")).toBe("1");
  expect((await server.info("commandstats"))["cmdstat_get"]).toBe(before!);
  await other.set("cached", "2");
  await until("the new value", async () => (await c.get("cached")) === "2");
  c.destroy();
});

describe.each([2, 3] as const)("ioredis, RESP%d", (protocol) => {
  test("strings, hashes, lists, sets, sorted sets", async () => {
    await using c = ioRedis(protocol);
    expect([await c.set("s", "v", "EX", 100, "NX"), await c.set("s", "w", "NX"), await c.get("s")]).toEqual(["OK", null, "v"]);
    expect([await c.incr("n"), await c.decrby("n", 3), await c.mget("s", "none", "n"), await c.ttl("s")]).toEqual([
      1,
      -2,
      ["v", null, "-2"],
      100,
    ]);
    expect([await c.hset("h", { a: 1, b: 2 }), await c.hgetall("h"), await c.hdel("h", "a", "x")]).toEqual([2, { a: "1", b: "2" }, 1]);
    expect([await c.rpush("l", "a", "b", "c"), await c.lrange("l", 0, -1), await c.lpop("l", 2)]).toEqual([3, ["a", "b", "c"], ["a", "b"]]);
    expect([await c.sadd("t", "x", "y"), (await c.smembers("t")).sort(), await c.sismember("t", "y")]).toEqual([2, ["x", "y"], 1]);
    expect([await c.zadd("z", 1, "a", 2.5, "b"), await c.zrange("z", "+inf", "2", "BYSCORE", "REV")]).toEqual([2, ["b"]]);
    expect(String(await c.zscore("z", "b"))).toBe("2.5");
    expect(await c.getBuffer("s")).toEqual(Buffer.from("v"));
    await expect(c.incr("s")).rejects.toThrow("ERR value is not an integer or out of range");
  });

  test("MULTI, WATCH, pipelines, automatic pipelines", async () => {
    await using c = ioRedis(protocol, { enableAutoPipelining: true });
    await using other = ioRedis(protocol);
    expect(await c.pipeline().set("a", "1").incr("a").lpush("a", "x").get("a").exec()).toEqual([
      [null, "OK"],
      [null, 2],
      [expect.objectContaining({ message: "WRONGTYPE Operation against a key holding the wrong kind of value" }), undefined],
      [null, "2"],
    ] as never);
    expect(await other.multi().incr("a").incr("a").exec()).toEqual([
      [null, 3],
      [null, 4],
    ]);
    await expect(other.multi().incr("a").call("nonsense").exec()).rejects.toThrow(
      "EXECABORT Transaction discarded because of previous errors.",
    );
    await other.watch("a");
    await c.set("a", "9");
    expect(await other.multi().incr("a").exec()).toBeNull();
    expect(await Promise.all(Array.from({ length: 500 }, (_, i) => c.incrby("sum", i)))).toHaveLength(500);
    expect(await c.get("sum")).toBe(String((499 * 500) / 2));
  });

  test("Pub/Sub, binary messages", async () => {
    await using sub = ioRedis(protocol);
    await using pub = ioRedis(protocol);
    const got: string[] = [];
    sub.on("message", (channel: string, message: string) => got.push(`${channel}: ${message}`));
    sub.on("pmessageBuffer", (pattern: string, _channel: Buffer, message: Buffer) => got.push(`${pattern}: ${message.toString("hex")}`));
    expect([await sub.subscribe("a", "b"), await sub.psubscribe("c*")]).toEqual([2, 3]);
    expect([await pub.publish("a", "1"), await pub.publish("cd", Buffer.from([0, 255]))]).toEqual([1, 1]);
    await until("both messages", () => got.length === 2);
    expect(got.sort()).toEqual(["a: 1", "c*: 00ff"]);
    expect(await sub.ping()).toBeDefined();
    expect([await sub.unsubscribe("a"), await pub.publish("a", "2")]).toEqual([2, 0]);
  });

  test("SCAN streams, blocking pops, MONITOR", async () => {
    await using c = ioRedis(protocol);
    await using waiting = ioRedis(protocol);
    await c.mset(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`k${i}`, "v"])));
    const found = new Set<string>();
    for await (const keys of c.scanStream({ match: "k*", count: 40 })) for (const k of keys as string[]) found.add(k);
    expect(found.size).toBe(300);
    const popped = waiting.brpop("q", 10);
    await blocked(1);
    await c.lpush("q", "job");
    expect(await popped).toEqual(["q", "job"]);
    const monitor = await c.monitor();
    const seen = new Promise<string[]>((r) => monitor.once("monitor", (_time: string, args: string[]) => r(args)));
    await c.set("watched", "1");
    expect((await seen).map((w) => w.toLowerCase())).toEqual(["set", "watched", "1"]);
    monitor.disconnect();
  });
});

if (hasRedis) {
  const run = async (args: string[], input = ""): Promise<string> => {
    const p = Bun.spawn([originals.cli, "-p", String(server.port), ...args], { stdin: Buffer.from(input), stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([p.stdout.text(), p.stderr.text()]);
    await p.exited;
    return out + err;
  };
  /** Runs one that never ends until it has printed `text`. */
  const endless = async (args: string[], text: RegExp): Promise<string> => {
    const p = Bun.spawn([originals.cli, "-p", String(server.port), ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    let out = "";
    for await (const chunk of p.stdout) {
      out += Buffer.from(chunk).toString("latin1");
      if (text.test(out) || out.length > 5000) break;
    }
    p.kill();
    await p.exited;
    return out;
  };
  const fill = async (): Promise<void> => {
    const lines = Array.from({ length: 400 }, (_, i) => `SET key:${i + 1} ${"x".repeat(i + 1)}`);
    lines.push(
      `RPUSH list ${"e ".repeat(50)}`,
      `HSET hash ${Array.from({ length: 30 }, (_, i) => `f${i} v`).join(" ")}`,
      "SADD set a b c",
      "ZADD zset 1 a",
    );
    await run([], `${lines.join("\n")}\n`);
  };

  test("redis-cli --scan", async () => {
    await fill();
    const names = (await run(["--scan", "--pattern", "key:1?"])).trim().split("\n").sort();
    expect(names).toEqual(Array.from({ length: 10 }, (_, i) => `key:1${i}`));
    expect((await run(["--scan"])).trim().split("\n")).toHaveLength(404);
  });

  test("redis-cli --bigkeys and --memkeys", async () => {
    await fill();
    const big = await run(["--bigkeys"]);
    expect(big).toContain("Sampled 404 keys in the keyspace!");
    expect(big).toContain(`Biggest string found '"key:400"' has 400 bytes`);
    expect(big).toContain(`Biggest   list found '"list"' has 50 items`);
    expect(big).toContain(`Biggest   hash found '"hash"' has 30 fields`);
    expect(big).toContain("1 zsets with 1 members");
    expect(await run(["--memkeys"])).toMatch(/Biggest\s+\w+ found '"[^']+"' has \d+ bytes/);
  });

  test("redis-cli --stat, --latency, --latency-history", async () => {
    await fill();
    const stat = await endless(["--stat", "-i", "0.01"], /\n404 .*\n404 /);
    expect(stat).toMatch(/^404 +\d+\.\d+[MK] +\d+ +0 +\d+ \(\+0\) +\d+/m);
    expect(await endless(["--latency", "-i", "0.05", "--raw"], /\d+ \d+ [\d.]+ \d+/)).toMatch(/^\d+ \d+ [\d.]+ \d+\n$/);
  });

  test("redis-cli --pipe", async () => {
    const bulk = Array.from({ length: 5000 }, (_, i) => `*3\r\n$3\r\nSET\r\n$${`p${i}`.length}\r\np${i}\r\n$1\r\nv\r\n`).join("");
    expect(await run(["--pipe"], bulk)).toContain("errors: 0, replies: 5000");
    expect(await cli(server.port, "dbsize")).toBe("5000");
    const wrong = await run(["--pipe"], "*1\r\n$3\r\nGET\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    expect(wrong).toContain("ERR wrong number of arguments for 'get' command");
    expect(wrong).toContain("errors: 1, replies: 2");
  });

  test("redis-cli -3, --csv, --json, -x, -n, -r, --no-raw, help's COMMAND DOCS", async () => {
    await cli(server.port, "hset", "h", "f", "v");
    expect(await cli(server.port, "-3", "--no-raw", "hgetall", "h")).toBe('1# "f" => "v"');
    expect(await cli(server.port, "--csv", "hgetall", "h")).toBe('"f","v"');
    expect(await cli(server.port, "--json", "hgetall", "h")).toBe('{"f":"v"}');
    expect(await run(["-x", "set", "from-stdin"], "a\nb")).toBe("OK\n");
    expect(await cli(server.port, "get", "from-stdin")).toBe("a\nb");
    expect(await run(["-n", "3", "-r", "3", "incr", "n"])).toBe("1\n2\n3\n");
    expect(await run([], "select 3\nget n\nmulti\nincr n\nexec\n")).toBe("OK\n3\nOK\nQUEUED\n4\n");
  });
}

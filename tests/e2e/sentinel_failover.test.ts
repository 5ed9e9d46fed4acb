/** Our Sentinel with real redis-servers: the article's failover, mixed quorums with real redis-sentinels, clients that follow. */
import { expect, test } from "bun:test";
import { createSentinel } from "@redis/client";
import Redis from "ioredis";
import { hasRedis, until } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";
import { Fleet, events, fileOf, master_ } from "../support/sentinel_fleet.ts";

const real = test.skipIf(!hasRedis);

/** W6, in this order. */
const ARTICLE = [
  "+sdown",
  "+odown",
  "+new-epoch",
  "+try-failover",
  "+vote-for-leader",
  "+elected-leader",
  "+failover-state-select-slave",
  "+selected-slave",
  "+failover-state-send-slaveof-noone",
  "+failover-state-wait-promotion",
  "+promoted-slave",
  "+failover-state-reconf-slaves",
  "+failover-end",
  "+switch-master",
  "+slave",
  "+sdown",
];

real("the article: events in its order, the file kept, the old master demoted when it returns", async () => {
  await using fleet = await Fleet.start({
    sentinels: ["redisha"],
    host: "localhost",
    lines: ["sentinel parallel-syncs m 6379 1"],
  });
  const [sentinel] = fleet.sentinels;
  const [old, replica] = fleet.servers;
  expect(sentinel.output).toContain("'localhost' is a host name: 127.0.0.1 is monitored");
  expect(sentinel.output).toContain("one argument too many");
  await until("the replica in the file", () => fileOf(sentinel).includes(`sentinel known-replica m 127.0.0.1 ${replica.port}\n`));
  const before = events(sentinel).length;
  await old.stop("SIGKILL");
  expect(await fleet.switched(old)).toBe(replica);
  await until("the old master's +sdown", () => events(sentinel).slice(before).length >= ARTICLE.length);
  expect(events(sentinel).slice(before)).toEqual(ARTICLE);
  const end = `# +switch-master m 127.0.0.1 ${old.port} 127.0.0.1 ${replica.port}\n`;
  expect(sentinel.output).toContain(end);
  expect(sentinel.output).toContain(`# +sdown slave 127.0.0.1:${old.port} 127.0.0.1 ${old.port} @ m 127.0.0.1 ${replica.port}\n`);

  old.start();
  await fleet.follows(old, replica);
  expect(events(sentinel)).toContain("+convert-to-slave");
  const file = fileOf(sentinel);
  expect(file.indexOf("# the set of this test")).toBeLessThan(file.indexOf(`sentinel monitor m 127.0.0.1 ${replica.port} 1`));
  expect(file.indexOf(`sentinel monitor m 127.0.0.1 ${replica.port} 1`)).toBeLessThan(file.indexOf("# a comment in the middle"));
  expect(file).toContain(`sentinel known-replica m 127.0.0.1 ${old.port}\n`);
  expect(file).toContain("sentinel config-epoch m 1\n");
});

for (const [name, kinds] of [
  ["3 of ours", ["redisha", "redisha", "redisha"]],
  ["2 real + 1 ours", ["redis", "redis", "redisha"]],
  ["1 real + 2 ours", ["redis", "redisha", "redisha"]],
] as const)
  real(`quorum of ${name}: kill -9, the old master back, then a planned failover`, async () => {
    await using fleet = await Fleet.start({ replicas: 2, sentinels: [...kinds] });
    const old = fleet.master;
    await old.stop("SIGKILL");
    const next = await fleet.switched(old);
    for (const s of fleet.servers) if (s !== old && s !== next) await fleet.follows(s, next);
    old.start();
    await fleet.follows(old, next);
    // A real leader shows the old address until its last replica has synced.
    for (const s of fleet.sentinels)
      await until("everybody on the new master", async () => (await master_(s))["port"] === String(next.port));
    // A vote that is split takes another epoch; whatever it was, all have the same.
    const epochs = new Set<string>();
    for (const s of fleet.sentinels) epochs.add((await master_(s))["config-epoch"]);
    expect([epochs.size, epochs.has("0")]).toEqual([1, false]);
    // One of ours is asked, after everybody has seen the set whole again.
    for (const s of fleet.sentinels)
      await until("the set to be whole", async () => !(await s.cli("sentinel", "replicas", "m")).includes("s_down"));
    // Refused as long as it has not heard of a replica that follows the new master.
    await until("the order to be taken", async () => (await fleet.sentinels.at(-1)!.cli("sentinel", "failover", "m")) === "OK", 30_000);
    const last = await fleet.switched(next);
    await fleet.follows(next, last);
  });

real("a planned failover loses no acknowledged write: the master holds writes until its replica has them", async () => {
  await using fleet = await Fleet.start({ replicas: 2, sentinels: ["redisha", "redisha", "redisha"], downAfterMs: 3000 });
  const old = fleet.master;
  const wire = await Wire.connect(old.port);
  const acked: string[] = [];
  let over = false;
  const writing = (async () => {
    for (let i = 0; !over; i++) {
      const reply = await wire.do("SET", `k${i}`, "1");
      if (reply === "closed") return;
      if (reply === "+OK") acked.push(`k${i}`);
      else expect(reply).toStartWith("-READONLY");
    }
  })();
  await until("some writes", () => acked.length > 200);
  expect(await fleet.sentinels[1].cli("sentinel", "failover", "m")).toBe("OK");
  // A replica that does not catch up in time ends the attempt, as it should; a busy machine may need another.
  await until(
    "the failover",
    async () => {
      const [, port] = (await fleet.sentinels[1].cli("sentinel", "get-master-addr-by-name", "m")).split("\n");
      if (port !== String(old.port)) return true;
      await fleet.sentinels[1].cli("sentinel", "failover", "m");
      await Bun.sleep(200);
      return false;
    },
    60_000,
  );
  const next = await fleet.switched(old);
  await fleet.follows(old, next);
  over = true;
  await writing;
  wire.close();
  expect(await next.cli("dbsize")).toBe(String(acked.length));
  expect(events(fleet.sentinels[1])).not.toContain("+convert-to-slave");
});

real("passwords and renamed commands, on servers and between Sentinels", async () => {
  process.env["REDISCLI_AUTH"] = "secret";
  try {
    await using fleet = await Fleet.start({
      sentinels: ["redisha", "redis", "redisha"],
      conf: { requirepass: "secret", masterauth: "secret", "rename-command": "SLAVEOF hidden-slaveof" },
      lines: ["requirepass secret", "sentinel auth-pass m secret", "sentinel rename-command m slaveof hidden-slaveof"],
    });
    const old = fleet.master;
    await old.stop("SIGKILL");
    const next = await fleet.switched(old);
    old.start();
    await fleet.follows(old, next);
    const stranger = await Wire.connect(fleet.sentinels[0].port);
    expect(await stranger.do("SENTINEL", "MASTERS")).toBe("-NOAUTH Authentication required.");
    stranger.close();
  } finally {
    delete process.env["REDISCLI_AUTH"];
  }
});

real("a Sentinel that cannot write its file says so and gives no vote until it can", async () => {
  await using fleet = await Fleet.start({ sentinels: ["redisha"] });
  const [sentinel] = fleet.sentinels;
  const { renameSync, mkdirSync, rmdirSync } = await import("node:fs");
  const file = `${sentinel.dir}/sentinel_${sentinel.port}.conf`;
  const ask = ["sentinel", "is-master-down-by-addr", "127.0.0.1", String(fleet.master.port)];
  renameSync(file, `${file}.away`);
  mkdirSync(file);
  expect(await sentinel.cli(...ask, "7", "a".repeat(40))).toBe("0\n*\n0");
  expect(sentinel.output).toContain("# WARNING: Sentinel was not able to save the new configuration on disk!!!: Is a directory");
  expect(await sentinel.cli("sentinel", "flushconfig")).toBe("ERR Failed to save config file. Check server logs.\n");
  expect((await master_(sentinel))["flags"]).toBe("master");
  rmdirSync(file);
  renameSync(`${file}.away`, file);
  expect(await sentinel.cli("sentinel", "flushconfig")).toBe("OK");
  expect(await sentinel.cli(...ask, "8", "b".repeat(40))).toBe(`0\n${"b".repeat(40)}\n8`);
  expect(fileOf(sentinel)).toContain("sentinel leader-epoch m 8\n");
  // The same epoch again, for somebody else: the vote stands.
  expect(await sentinel.cli(...ask, "8", "c".repeat(40))).toBe(`0\n${"b".repeat(40)}\n8`);
});

real("@redis/client and ioredis find the master through our Sentinels and follow it", async () => {
  await using fleet = await Fleet.start({ sentinels: ["redisha", "redisha", "redisha"] });
  const nodes = fleet.sentinels.map((s) => ({ host: "127.0.0.1", port: s.port }));
  const node = createSentinel({ name: "m", sentinelRootNodes: nodes });
  node.on("error", () => {});
  const io = new Redis({ sentinels: nodes, name: "m", maxRetriesPerRequest: null });
  io.on("error", () => {});
  try {
    await node.connect();
    expect(await node.set("a", "1")).toBe("OK");
    expect(await io.get("a")).toBe("1");
    const old = fleet.master;
    await until("the replica to have it", async () => (await fleet.servers[1].cli("get", "a")) === "1");
    await old.stop("SIGKILL");
    const next = await fleet.switched(old);
    await until("@redis/client on the new master", () =>
      node.set("b", "2").then(
        (r) => r === "OK",
        () => false,
      ),
    );
    expect(await next.cli("get", "b")).toBe("2");
    expect(await io.set("c", "3")).toBe("OK");
    expect(await next.cli("get", "c")).toBe("3");
  } finally {
    io.disconnect();
    node.destroy();
  }
});

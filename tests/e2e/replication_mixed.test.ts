/**
 * Replication between redisha and the original in every order: full and partial syncs, chains, cut links, restarts, promotions. Data sets are
 * compared by DEBUG DIGEST, which both programs compute alike.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { hasRedis, originals, Program, startServer, until, type Kind } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";
import { random } from "../support/random.ts";
import { LinkProxy } from "../support/link_proxy.ts";

setDefaultTimeout(60000);

const pairs: [Kind, Kind][] = [
  ["redisha", "redisha"],
  ["redisha", "redis"],
  ["redis", "redisha"],
];

/** Keys of every type, small and big, in two databases, some with an expiry far away. */
async function fill(p: Program, count = 300): Promise<void> {
  const w = await Wire.connect(p.port);
  let sent = 0;
  const send = (...args: (string | number)[]): void => {
    w.send(...args);
    sent++;
  };
  for (const db of [0, 5]) {
    send("select", db);
    for (let i = 0; i < count; i++) {
      send("set", `s:${i}`, i % 3 === 0 ? i : `value ${i} `.repeat(i % 20));
      send("rpush", `l:${i % 20}`, i, `element ${i}`);
      send("sadd", `set:${i % 20}`, `member ${i}`);
      send("sadd", `ints:${i % 5}`, i);
      send("hset", `h:${i % 20}`, `field ${i}`, `v${i}`);
      send("zadd", `z:${i % 20}`, i / 7, `member ${i}`);
      send("hset", "bighash", `f${i}`, "x".repeat(i));
      send("zadd", "bigzset", -i * 1.5, `m${i}`);
      send("rpush", "biglist", "y".repeat(i * 3));
      send("sadd", "bigset", `m${i}`);
    }
    send("pexpireat", "s:1", 4102444800000);
    send("pexpireat", "bighash", 4102444800001);
  }
  for (; sent > 0; sent--) expect(await w.next()).not.toStartWith("-");
  w.close();
}

const digest = (p: Program): Promise<string> => p.cli("debug", "digest");
async function linkUp(p: Program): Promise<void> {
  await until(
    `the link of ${p.name}:${p.port} to be up\n${p.output.slice(-3000)}`,
    async () => (await p.info("replication"))["master_link_status"] === "up",
  );
}
async function follow(replica: Program, master: { port: number }): Promise<void> {
  expect(await replica.cli("replicaof", "127.0.0.1", String(master.port))).toBe("OK");
  await linkUp(replica);
}
/** Waits until the replica has the master's offset and data. */
async function same(master: Program, ...replicas: Program[]): Promise<void> {
  for (const replica of replicas) {
    await until(`offsets of ${master.port} and ${replica.port} to be equal`, async () => {
      const a = await master.info("replication");
      const b = await replica.info("replication");
      return a["master_repl_offset"] === b["master_repl_offset"];
    });
    expect(await digest(replica)).toBe(await digest(master));
  }
}
const stat = async (p: Program, name: string): Promise<number> => Number((await p.info("stats"))[name]);

describe.skipIf(!hasRedis)("full sync", () => {
  for (const [m, r] of pairs)
    for (const diskless of ["yes", "no"])
      test(`${m} to ${r}, diskless ${diskless}: every type arrives, and the stream after it`, async () => {
        await using master = await startServer(m, { "repl-diskless-sync": diskless });
        await using replica = await startServer(r);
        await fill(master);
        await replica.cli("set", "stale", "1");
        await follow(replica, master);
        await same(master, replica);
        expect(await replica.cli("exists", "stale")).toBe("0");
        await fill(master, 50);
        await master.cli("-n", "7", "set", "elsewhere", "1");
        await master.cli("del", "bigset");
        await same(master, replica);
        expect(await replica.cli("set", "a", "1")).toStartWith("READONLY You can't write against a read only replica.");
        expect(await replica.cli("pttl", "s:1")).not.toBe("-1");
      });

  for (const load of ["on-empty-db", "swapdb"])
    test(`redisha takes a diskless sync straight into memory (${load})`, async () => {
      await using master = await startServer("redis");
      await using replica = await startServer("redisha", { "repl-diskless-load": load });
      await fill(master);
      await follow(replica, master);
      await same(master, replica);
    });

  test("a sync before PSYNC: the raw SYNC command gets a length, a file and the stream", async () => {
    await using master = await startServer("redisha");
    await master.cli("set", "a", "1");
    const got = await new Promise<string>((resolve) => {
      let text = "";
      void Bun.connect({
        hostname: "127.0.0.1",
        port: master.port,
        socket: {
          open: (s) => void s.write("SYNC\r\n"),
          data: (s, chunk) => {
            text += chunk.toString("latin1");
            if (/^\s*\$\d+\r\n/.test(text) && text.includes("REDIS0010") && !text.includes("*3")) void master.cli("set", "b", "2");
            if (text.includes("$1\r\nb\r\n$1\r\n2\r\n")) {
              s.end();
              resolve(text);
            }
          },
        },
      });
    });
    const head = /^\n*\$(\d+)\r\n/.exec(got)!;
    const rdb = got.slice(head[0].length, head[0].length + Number(head[1]));
    expect(rdb).toStartWith("REDIS0010");
    expect(got.slice(head[0].length + rdb.length)).toMatch(
      /^(\*1\r\n\$4\r\n(PING|ping)\r\n)*\*2\r\n\$6\r\nSELECT\r\n\$1\r\n0\r\n\*3\r\n\$3\r\nset\r\n/,
    );
  });

  test("redis-cli --rdb takes a file that redis-check-rdb accepts", async () => {
    await using master = await startServer("redisha");
    await fill(master, 60);
    const path = `${master.dir}/copy.rdb`;
    const out = await master.cli("--rdb", path);
    expect(out).toContain("Transfer finished with success");
    const check = Bun.spawnSync(["redis-check-rdb", path]);
    expect(check.stdout.toString()).toContain("RDB looks OK!");
    await until("the copy's client to be forgotten", async () => (await master.info("replication"))["connected_slaves"] === "0");
  });
});

describe.skipIf(!hasRedis)("chains", () => {
  const chains: [Kind, Kind, Kind][] = [
    ["redisha", "redisha", "redisha"],
    ["redis", "redisha", "redis"],
    ["redisha", "redis", "redisha"],
  ];
  for (const kinds of chains)
    test(`${kinds.join(" > ")}: one that joins below learns which database the stream is in`, async () => {
      await using top = await startServer(kinds[0]);
      await using middle = await startServer(kinds[1]);
      await using low = await startServer(kinds[2]);
      await fill(top, 60);
      await follow(middle, top);
      const w = await Wire.connect(top.port);
      await w.do("select", 9);
      await w.do("set", "in nine", 1);
      await same(top, middle);
      await follow(low, middle);
      // No SELECT precedes this in the stream.
      await w.do("set", "also in nine", 2);
      await same(top, middle, low);
      expect(await low.cli("-n", "9", "get", "also in nine")).toBe("2");
      const a = await top.info("replication");
      const c = await low.info("replication");
      expect(c["master_replid"]).toBe(a["master_replid"]);
      w.close();
    });
});

describe.skipIf(!hasRedis)("partial sync", () => {
  for (const [m, r] of pairs)
    test(`${m} to ${r}: cut links are taken up where they were, inside transactions and long values too`, async () => {
      await using master = await startServer(m, { "repl-backlog-size": "20mb" });
      await using replica = await startServer(r);
      await using link = await LinkProxy.start(master.port);
      await fill(master, 40);
      await follow(replica, link);
      const before = await stat(master, "sync_full");
      const seed = Math.floor(Math.random() * 2 ** 31);
      const pick = random(seed);
      const w = await Wire.connect(master.port);
      let sent = 0;
      let cuts = 0;
      for (let round = 0; round < 12; round++) {
        for (let i = 0; i < 40; i++) {
          const kind = pick(5);
          if (kind === 0) {
            for (const args of [["multi"], ["select", pick(9)], ["incr", "n"], ["rpush", "log", pick(1000)], ["exec"]]) {
              w.send(...args);
              sent++;
            }
          } else if (kind === 1) {
            w.send("set", `long:${pick(10)}`, "z".repeat(pick(200000)));
            sent++;
          } else {
            w.send("set", `k:${pick(500)}`, pick(1e9));
            sent++;
          }
        }
        link.cutAfter(pick(1500000));
        for (; sent > 0; sent--) expect(await w.next()).not.toStartWith("-");
        cuts = link.cuts;
      }
      link.cutAfter(-1);
      await until("the link to have been cut", () => cuts > 0 || link.cuts > 0 || (link.cutNow(), false));
      await linkUp(replica);
      await same(master, replica).catch((error) => {
        throw new Error(`seed ${seed}: ${error}\n${replica.output.slice(-4000)}`);
      });
      expect(await stat(master, "sync_full")).toBe(before);
      expect(await stat(master, "sync_partial_ok")).toBeGreaterThan(0);
      // Not a second later: a small backlog would have moved on.
      expect(replica.output).toContain(`Reconnecting to MASTER 127.0.0.1:${link.port}`);
      w.close();
    });

  for (const [m, r] of pairs)
    test(`${m} to ${r}: a replica that restarts from its file goes on where the file ends`, async () => {
      await using master = await startServer(m);
      await using replica = await startServer(r, { save: "3600 100000", replicaof: `127.0.0.1 ${master.port}` });
      await linkUp(replica);
      await fill(master, 30);
      await same(master, replica);
      expect(await replica.cli("shutdown", "save")).toBe("");
      await until("the replica to have ended", () => replica.process!.exitCode !== null);
      await master.cli("set", "meanwhile", "1");
      const before = await stat(master, "sync_full");
      replica.start();
      await replica.ready();
      await linkUp(replica);
      await same(master, replica);
      expect(await stat(master, "sync_full")).toBe(before);
      expect(await replica.cli("get", "meanwhile")).toBe("1");
    });
});

describe.skipIf(!hasRedis)("roles", () => {
  for (const kinds of [
    ["redisha", "redisha", "redisha"],
    ["redis", "redisha", "redis"],
    ["redisha", "redis", "redisha"],
    ["redis", "redis", "redisha"],
  ] as Kind[][])
    test(`${kinds.join(", ")}: after a promotion the others go on without a full sync, the old master too`, async () => {
      await using first = await startServer(kinds[0]);
      await using second = await startServer(kinds[1]);
      await using third = await startServer(kinds[2]);
      await fill(first, 30);
      await follow(second, first);
      await follow(third, first);
      await first.cli("set", "before", "1");
      await same(first, second, third);
      expect(await second.cli("replicaof", "no", "one")).toBe("OK");
      expect(await second.cli("set", "after", "1")).toBe("OK");
      await follow(third, second);
      await follow(first, second);
      await second.cli("-n", "3", "set", "more", "1");
      await same(second, first, third);
      expect(await stat(second, "sync_full")).toBe(0);
      expect(await stat(second, "sync_partial_ok")).toBeGreaterThanOrEqual(2);
      expect(await first.cli("get", "after")).toBe("1");
    });

  for (const [m, r] of pairs)
    test(`${m}, ${r}: FAILOVER changes the roles without a lost write`, async () => {
      await using master = await startServer(m);
      await using replica = await startServer(r);
      await fill(master, 20);
      await follow(replica, master);
      const w = await Wire.connect(master.port);
      let acknowledged = 0;
      let stop = false;
      const writer = (async () => {
        while (!stop) {
          const reply = await w.do("incr", "counter");
          if (reply.startsWith("(")) acknowledged++;
          else if (reply.includes("READONLY")) return;
          else throw new Error(reply);
        }
      })();
      expect(await master.cli("failover", "to", "127.0.0.1", String(replica.port), "timeout", "10000")).toBe("OK");
      await until("the replica to be the master", async () => (await replica.info("replication"))["role"] === "master");
      await linkUp(master);
      stop = true;
      await Promise.race([writer, Bun.sleep(2000)]);
      expect(Number(await replica.cli("get", "counter"))).toBe(acknowledged);
      await same(replica, master);
      expect((await master.info("replication"))["master_failover_state"]).toBe("no-failover");
      w.close();
    });
});

describe.skipIf(!hasRedis)("the stream", () => {
  for (const [m, r] of pairs)
    test(`${m} to ${r}: WAIT, expiry, transactions and messages`, async () => {
      await using master = await startServer(m);
      await using replica = await startServer(r);
      await follow(replica, master);
      const w = await Wire.connect(master.port);
      const sub = await Wire.connect(replica.port);
      await sub.do("subscribe", "news");
      await w.do("set", "a", "1");
      expect(await w.do("wait", 1, 5000)).toBe("(1)");
      expect(await w.do("wait", 2, 100)).toBe("(1)");
      await w.do("publish", "news", "hello");
      expect(await sub.next()).toBe('["message", "news", "hello"]');
      await w.do("set", "soon", "1", "px", 50);
      await until("the key to be gone everywhere", async () => (await replica.cli("dbsize")) === "1");
      await w.do("sadd", "members", 1, 2, 3, 4, 5);
      await w.do("spop", "members", 2);
      await w.do("incrbyfloat", "f", "1.5");
      await w.do("multi");
      await w.do("lpush", "list", "x");
      await w.do("rpoplpush", "list", "other");
      await w.do("exec");
      await same(master, replica);
      w.close();
      sub.close();
    });
});
test("a diskless snapshot that takes seconds has nothing else between its bytes", async () => {
  await using master = await startServer("redisha", { "repl-diskless-sync-delay": "0", "rdb-key-save-delay": "1000" });
  await using replica = await startServer("redisha");
  await master.cli("debug", "populate", "2500");
  await follow(replica, master);
  expect((await master.info("stats"))["sync_full"]).toBe("1");
  expect(await digest(replica)).toBe(await digest(master));
});

test.skipIf(hasRedis)("the original is not installed", () => {
  console.warn(`SKIPPED: ${originals.server} is not installed`);
});

test("clients of a replica that takes a small data set wait for it, and see neither -LOADING nor a gap", async () => {
  await using master = await startServer("redisha", { save: "", "repl-diskless-sync-delay": 0 });
  await using replica = await startServer("redisha", { save: "" });
  await master.cli("set", "key", "there");
  await follow(replica, master);
  const w = await Wire.connect(replica.port);
  const seen = new Set<string>();
  let stop = false;
  const reading = (async () => {
    while (!stop) seen.add(await w.do("GET", "key"));
  })();
  for (let i = 0; i < 6; i++) {
    await replica.cli("replicaof", "no", "one");
    await replica.cli("set", "other", String(i));
    await follow(replica, master);
  }
  stop = true;
  await reading;
  w.close();
  expect(Number((await master.info("stats"))["sync_full"])).toBe(7);
  expect([...seen]).toEqual(['"there"']);
});

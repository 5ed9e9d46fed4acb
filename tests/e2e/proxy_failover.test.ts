/**
 * The compiled proxy in front of real redis-servers and real Sentinels, on a plain role-check configuration that names no Sentinel: what
 * clients of every kind see of a failover. Each acknowledged effect is there once, nobody is cut, no replica and no second master is served.
 */
import { expect, test } from "bun:test";
import { hasRedis, startServer, until, type Program } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { Fleet } from "../support/sentinel_fleet.ts";
import { Wire } from "../support/wire.ts";

/** The article's file with other ports, and time-outs that do not end idle clients. */
function article(servers: Program[], more = ""): string {
  return `defaults REDIS
mode tcp
timeout connect 3s
timeout server 60s
timeout client 60s
frontend ft_redis
bind 127.0.0.1:{port} name redis
default_backend bk_redis
backend bk_redis
${more}option tcp-check
tcp-check connect
tcp-check send PING\\r\\n
tcp-check expect string +PONG
tcp-check send info\\ replication\\r\\n
tcp-check expect string role:master
tcp-check send QUIT\\r\\n
tcp-check expect string +OK
${servers.map((s, i) => `server s${i} 127.0.0.1:${s.port} check inter 1s\n`).join("")}`;
}

/** Writes through one connection, pipelined, until told to stop; remembers what was acknowledged and what may have happened. */
class Writer {
  readonly name: string;
  readonly acknowledged: string[];
  readonly unknown: Set<string>;
  readonly errors: string[];
  increments: number;
  maybe: number;
  stop: boolean;
  cut: boolean;
  constructor(name: string) {
    this.name = name;
    this.acknowledged = [];
    this.unknown = new Set();
    this.errors = [];
    this.increments = 0;
    this.maybe = 0;
    this.stop = false;
    this.cut = false;
  }
  async run(port: number): Promise<void> {
    const w = await Wire.connect(port);
    try {
      for (let n = 0; !this.stop; n++) {
        const value = `${this.name}:${n}`;
        w.send("RPUSH", `list:${this.name}`, value);
        w.send("INCR", `count:${this.name}`);
        w.send("GET", `count:${this.name}`);
        const [push, incr] = [await w.next(), await w.next(), await w.next()];
        if (push.startsWith("(")) this.acknowledged.push(value);
        else if (push.startsWith("-UNKNOWNRESULT")) this.unknown.add(value);
        else this.errors.push(push);
        if (incr.startsWith("(")) this.increments++;
        else if (incr.startsWith("-UNKNOWNRESULT")) this.maybe++;
        else this.errors.push(incr);
        await Bun.sleep(2);
      }
    } catch {
      this.cut = true;
    }
    w.close();
  }
  /** What is in the data at the end: every acknowledged value once, in order; nothing twice; nothing that nobody sent. */
  async check(master: Program): Promise<void> {
    expect(this.cut).toBe(false);
    expect(this.errors).toEqual([]);
    const there = (await master.cli("lrange", `list:${this.name}`, "0", "-1")).split("\n").filter((v) => v !== "");
    expect(new Set(there).size).toBe(there.length);
    expect(there.filter((v) => !this.unknown.has(v))).toEqual(this.acknowledged);
    const count = Number(await master.cli("get", `count:${this.name}`));
    expect(count).toBeGreaterThanOrEqual(this.increments);
    expect(count).toBeLessThanOrEqual(this.increments + this.maybe);
  }
}

for (const how of ["kill -9", "SENTINEL FAILOVER"] as const) {
  test.skipIf(!hasRedis)(
    `${how}: writers, a subscriber, a blocked pop, a transaction and a named connection live through it`,
    async () => {
      await using fleet = await Fleet.start({ replicas: 2, sentinels: ["redis", "redis", "redis"] });
      const old = fleet.master;
      await using proxy = await startProxy("redisha", article(fleet.servers));
      const first = await Wire.connect(proxy.port);
      expect(await first.do("INFO", "server")).toContain(`tcp_port:${old.port}`);

      const writers = [1, 2, 3, 4].map((i) => new Writer(`w${i}`));
      const runs = writers.map((w) => w.run(proxy.port));
      const subscriber = await Wire.connect(proxy.port);
      expect(await subscriber.do("SUBSCRIBE", "news")).toContain("subscribe");
      const popper = await Wire.connect(proxy.port);
      popper.send("BLPOP", "queue", "0");
      const named = await Wire.connect(proxy.port);
      for (const c of [["CLIENT", "SETNAME", "me"], ["SELECT", "5"]]) expect(await named.do(...c)).toBe("+OK"); // prettier-ignore
      const transaction = await Wire.connect(proxy.port);
      expect(await transaction.do("MULTI")).toBe("+OK");
      expect(await transaction.do("SET", "t", "1")).toBe("+QUEUED");
      const watcher = await Wire.connect(proxy.port);
      expect(await watcher.do("WATCH", "t")).toBe("+OK");
      await until("some writes", () => writers.every((w) => w.acknowledged.length > 20));
      // Hellos come every two seconds: until the first ones the proxy knows no Sentinel whose announcement it could heed.
      await until("the Sentinels to be heard", () => proxy.output.includes("the choice of"));

      if (how === "kill -9") await old.stop("SIGKILL");
      else expect(await fleet.sentinels[0]!.cli("sentinel", "failover", "m")).toBe("OK");
      const master = await fleet.switched(old);
      const before = writers.map((w) => w.acknowledged.length);
      await until("writes after the switch", () => writers.every((w, i) => w.acknowledged.length > before[i]! + 50), 30_000);

      // The state that they had made of their connections is still there.
      expect(await named.do("CLIENT", "GETNAME")).toBe('"me"');
      expect(await named.do("CLIENT", "INFO")).toContain(" db=5 ");
      expect(await transaction.do("EXEC")).toBe("[+OK]");
      expect(await watcher.do("MULTI")).toBe("+OK");
      expect(await watcher.do("SET", "t", "2")).toBe("+QUEUED");
      expect(await watcher.do("EXEC")).toBe("nilarray");
      expect(await master.cli("get", "t")).toBe("1");
      await until("the subscription on the new master", async () => (await master.cli("pubsub", "numsub", "news")).endsWith("1"));
      await master.cli("publish", "news", "hello");
      expect(await subscriber.next()).toContain("hello");
      await master.cli("rpush", "queue", "x");
      expect(await popper.next()).toBe('["queue", "x"]');

      for (const w of writers) w.stop = true;
      await Promise.all(runs);
      for (const w of writers) await w.check(master);
      if (how === "SENTINEL FAILOVER") for (const w of writers) expect([w.unknown.size, w.maybe]).toEqual([0, 0]);
      expect(await first.do("INFO", "server")).toContain(`tcp_port:${master.port}`);
      for (const w of [first, subscriber, popper, named, transaction, watcher]) w.close();
    },
    120_000,
  );
}

test.skipIf(!hasRedis)(
  "the old master that comes back is not served for a moment, and no replica is at the start",
  async () => {
    await using fleet = await Fleet.start({ replicas: 1, sentinels: ["redis", "redis", "redis"] });
    const old = fleet.master;
    await using proxy = await startProxy("redisha", article(fleet.servers));
    const served: string[] = [];
    let stop = false;
    const look = (async () => {
      while (!stop) {
        // A connection of its own each time; errors count as not served.
        const w = await Wire.connect(proxy.port).catch(() => null);
        if (w === null) continue;
        const info = await w.do("INFO", "everything").catch(() => "");
        const port = /tcp_port:(\d+)/.exec(info)?.[1];
        const role = /role:(\w+)/.exec(info)?.[1];
        if (port !== undefined) served.push(`${port} ${role}`);
        w.close();
        await Bun.sleep(5);
      }
    })();
    await until("the first answers", () => served.length > 50);
    await old.stop("SIGKILL");
    const master = await fleet.switched(old);
    await until("answers of the new master", () => served.at(-1) === `${master.port} master`, 30_000);
    old.start();
    await old.ready();
    await fleet.follows(old, master);
    stop = true;
    await look;
    const order = served.filter((s, i) => s !== served[i - 1]);
    expect(order).toEqual([`${old.port} master`, `${master.port} master`]);
    expect(proxy.output).toContain(`says master and is fenced`);
  },
  120_000,
);

test.skipIf(!hasRedis)("without Sentinels a role check serves the master, waits for one, and never a replica", async () => {
  await using fleet = await Fleet.start({ replicas: 1, sentinels: [] });
  const [a, b] = fleet.servers as [Program, Program];
  await using proxy = await startProxy("redisha", article(fleet.servers));
  const client = await Wire.connect(proxy.port);
  expect(await client.do("SET", "k", "1")).toBe("+OK");
  await a.stop("SIGKILL");
  client.send("SET", "k", "2");
  await b.cli("replicaof", "no", "one");
  expect(await client.next()).toBe("+OK");
  expect(await b.cli("get", "k")).toBe("2");
  client.close();
});

test.skipIf(!hasRedis)("without Sentinels: a replica that starts again as a master, with its old file, gets no traffic", async () => {
  await using a = await startServer("redis");
  await using b = await startServer("redis");
  expect(await a.cli("set", "k", "old")).toBe("OK");
  // At run time only: its file does not say it. The file of the full sync stays in its folder.
  expect(await b.cli("replicaof", "127.0.0.1", String(a.port))).toBe("OK");
  await until("the replica's link", async () => (await b.info("replication"))["master_link_status"] === "up");
  await using proxy = await startProxy("redisha", article([a, b]));
  const client = await Wire.connect(proxy.port);
  expect(await client.do("SET", "k", "new")).toBe("+OK");
  await b.stop("SIGKILL");
  for (let i = 0; i < 50; i++) expect(await client.do("INCR", "n")).toBe(`(${i + 1})`);
  b.start();
  await b.ready();
  // It is the trap that it should be: a master with the replication id of the other, and old data.
  const info = await b.info("replication");
  expect([info["role"], info["master_replid2"]]).toEqual(["master", (await a.info("replication"))["master_replid"]]);
  expect(await b.cli("get", "k")).toBe("old");
  await until("the proxy to have seen it", () => proxy.output.includes("s1 says master and is fenced"));
  for (let i = 50; i < 100; i++) expect(await client.do("INCR", "n")).toBe(`(${i + 1})`);
  const fresh = await Wire.connect(proxy.port);
  expect(await fresh.do("GET", "k")).toBe('"new"');
  client.close();
  fresh.close();
});

test.skipIf(!hasRedis)("redis-hold bounds the wait: the request is answered, the connection stays", async () => {
  await using fleet = await Fleet.start({ replicas: 1, sentinels: [] });
  await using proxy = await startProxy("redisha", article(fleet.servers, "redis-hold 500ms\n"));
  const client = await Wire.connect(proxy.port);
  expect(await client.do("SET", "k", "1")).toBe("+OK");
  expect(await client.do("WAIT", "1", "5000")).toBe("(1)");
  await fleet.master.stop("SIGKILL");
  expect(await client.do("SET", "k", "2")).toStartWith("-UNAVAILABLE");
  expect(await client.do("GET", "k")).toStartWith("-UNAVAILABLE");
  await fleet.servers[1]!.cli("replicaof", "no", "one");
  await until("the new master", async () => (await client.do("GET", "k")) === '"1"');
  client.close();
});

test.skipIf(!hasRedis)("a connection that the server closes on purpose is closed for the client too", async () => {
  await using fleet = await Fleet.start({ replicas: 1, sentinels: [] });
  await using proxy = await startProxy("redisha", article(fleet.servers));
  const client = await Wire.connect(proxy.port);
  expect(await client.do("CLIENT", "SETNAME", "victim")).toBe("+OK");
  const id = /id=(\d+)/.exec(await client.do("CLIENT", "INFO"))![1]!;
  await fleet.master.cli("client", "kill", "id", id);
  expect(await client.do("PING")).toBe("closed");
  const quits = await Wire.connect(proxy.port);
  expect(await quits.do("QUIT")).toBe("+OK");
  expect(await quits.do("PING")).toBe("closed");
});

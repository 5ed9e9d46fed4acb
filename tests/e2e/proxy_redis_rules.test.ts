/** Mode redis: who may do what (redis-user, redis-deny), whose password counts (redis-auth), where reads go (redis-read). */
import { expect, test } from "bun:test";
import { hasRedis, startServer, until } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { Wire } from "../support/wire.ts";

const HEAD = "defaults\nmode redis\ntimeout connect 3s\ntimeout server 60s\ntimeout client 60s\nlisten redis\nbind 127.0.0.1:{port}\n";

test.skipIf(!hasRedis)(
  "the proxy logs in for its clients; its own users may do what their rules say; denied commands are nobody's",
  async () => {
    process.env["REDISCLI_AUTH"] = "secret";
    await using server = await startServer("redis", { requirepass: "secret" }).finally(() => delete process.env["REDISCLI_AUTH"]);
    const digest = new Bun.CryptoHasher("sha256").update("pw2").digest("hex");
    await using proxy = await startProxy(
      "redisha",
      `${HEAD}redis-auth secret\nredis-deny flushall config|set\nredis-user app pw\nredis-user reader "#${digest}" +@read +ping +multi +exec ~open:*\nserver s0 127.0.0.1:${server.port}\n`,
    );
    const a = await Wire.connect(proxy.port);
    expect(await a.do("GET", "x")).toBe("-NOAUTH Authentication required.");
    expect(await a.do("HELLO", "3")).toStartWith("-NOAUTH HELLO must be called");
    expect(await a.do("AUTH", "app", "no")).toBe("-WRONGPASS invalid username-password pair or user is disabled.");
    expect(await a.do("AUTH", "app", "pw")).toBe("+OK");
    expect(await a.do("SET", "open:x", "1")).toBe("+OK");
    expect(await a.do("FLUSHALL")).toBe("-NOPERM the command 'flushall' is denied by the proxy");
    expect(await a.do("CONFIG", "SET", "save", "")).toBe("-NOPERM the command 'config|set' is denied by the proxy");
    expect(await a.do("CONFIG", "GET", "port")).toContain(String(server.port));
    // In a transaction a denied command spoils the whole.
    expect([await a.do("MULTI"), (await a.do("FLUSHALL")).slice(0, 4), (await a.do("EXEC")).slice(0, 10)]).toEqual([
      "+OK",
      "-ERR",
      "-EXECABORT",
    ]);
    const r = await Wire.connect(proxy.port);
    expect(await r.do("HELLO", "3", "AUTH", "reader", "pw2")).toContain('"proto": (3)');
    expect(await r.do("GET", "open:x")).toBe('"1"');
    expect(await r.do("GET", "closed")).toBe("-NOPERM No permissions to access a key");
    expect(await r.do("SET", "open:x", "2")).toBe("-NOPERM User reader has no permissions to run the 'set' command");
    expect(await r.do("CLIENT", "LIST")).toStartWith("-NOPERM User reader");
    expect(await a.do("CLIENT", "LIST")).toMatch(/ user=reader /);
    expect(await r.do("RESET")).toBe("+RESET");
    expect(await r.do("GET", "open:x")).toBe("-NOAUTH Authentication required.");
    a.close();
    r.close();
  },
);

test.skipIf(!hasRedis)("reads go to the replica, writes to the master; without a replica prefer-replica reads the master", async () => {
  await using master = await startServer("redis");
  await using replica = await startServer("redis", { replicaof: `127.0.0.1 ${master.port}` });
  await until("the replica's link", async () => (await replica.info("replication"))["master_link_status"] === "up");
  await using proxy = await startProxy(
    "redisha",
    `${HEAD}redis-read prefer-replica max-lag 2s\nserver s0 127.0.0.1:${master.port}\nserver s1 127.0.0.1:${replica.port}\n`,
  );
  const a = await Wire.connect(proxy.port);
  const gets = async (p: typeof master): Promise<number> =>
    Number(/cmdstat_get:calls=(\d+)/.exec(await p.cli("info", "commandstats"))?.[1] ?? 0);
  expect(await a.do("SET", "k", "1")).toBe("+OK");
  await until("a read on the replica", async () => {
    await a.do("GET", "k");
    return (await gets(replica)) > 0;
  });
  // Pipelined over both: answers keep their order.
  for (let i = 0; i < 200; i++) {
    a.send("SET", `p${i}`, i);
    a.send("GET", "k");
    a.send("INCR", `p${i}`);
  }
  for (let i = 0; i < 200; i++) expect([await a.next(), await a.next(), await a.next()]).toEqual(["+OK", '"1"', `(${i + 1})`]);
  const before = await gets(master);
  await replica.stop("SIGKILL");
  await until("a read on the master", async () => (await a.do("GET", "k")) === '"1"' && (await gets(master)) > before);
  a.close();
});

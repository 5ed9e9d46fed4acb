/**
 * Mode redis when a server makes one client wait and not the others (a script, CLIENT PAUSE), and what a new master is taught (scripts) or asked
 * (commands that are in no table of ours); its figures in /metrics and on the stats page.
 */
import { expect, test } from "bun:test";
import { redisConfig } from "../support/failovers.ts";
import { freePort, hasRedis, startServer, until } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { Fleet } from "../support/sentinel_fleet.ts";
import { Wire } from "../support/wire.ts";

const HEAD =
  "defaults\nmode redis\ntimeout connect 3s\ntimeout server 60s\ntimeout client 60s\nlisten redis\nbind 127.0.0.1:{port}\nredis-pool 1\n";

/** What a client that comes anew is answered; "" when that takes long: it is behind what the server makes wait. */
async function newcomer(port: number, ...request: string[]): Promise<string> {
  const w = await Wire.connect(port);
  const got = await Promise.race([w.do(...request), Bun.sleep(500)]);
  w.close();
  return got ?? "";
}

test.skipIf(!hasRedis)(
  "a script that does not end: others are told that the server is busy, SCRIPT KILL ends it, nobody is cut",
  async () => {
    await using server = await startServer("redis", { "busy-reply-threshold": "100" });
    await using proxy = await startProxy("redisha", `${HEAD}server s0 127.0.0.1:${server.port}\n`);
    const [looping, behind] = await Promise.all([Wire.connect(proxy.port), Wire.connect(proxy.port)]);
    for (const w of [looping, behind]) expect(await w.do("PING")).toBe("+PONG");
    looping.send("EVAL", "while true do end", "0");
    await until("the server to be busy", async () => (await server.cli("ping")).startsWith("BUSY"));
    // On the same connection, behind it: waits for it, as its client would.
    const waits = behind.do("PING");
    await until("the others to be told", async () => (await newcomer(proxy.port, "GET", "k")).startsWith("-BUSY"));
    expect(await newcomer(proxy.port, "SCRIPT", "KILL")).toBe("+OK");
    expect(await looping.next()).toStartWith("-ERR Script killed by user");
    expect(await waits).toBe("+PONG");
    for (const w of [looping, behind]) expect(await w.do("SET", "k", "1")).toBe("+OK");
    for (const w of [looping, behind]) w.close();
  },
  30_000,
);

test.skipIf(!hasRedis)("writes that are paused do not stop the reads of others", async () => {
  await using server = await startServer("redis");
  await using proxy = await startProxy("redisha", `${HEAD}server s0 127.0.0.1:${server.port}\n`);
  const [writer, reader] = await Promise.all([Wire.connect(proxy.port), Wire.connect(proxy.port)]);
  for (const w of [writer, reader]) expect(await w.do("SET", "k", "1")).toBe("+OK");
  await server.cli("client", "pause", "600000", "write");
  let answered = "";
  const write = writer.do("SET", "k", "2").then((r) => (answered = r));
  await until("a read that is answered", async () => (await newcomer(proxy.port, "GET", "k")) === '"1"');
  expect(answered).toBe("");
  await server.cli("client", "unpause");
  await write;
  expect(answered).toBe("+OK");
  expect(await reader.do("GET", "k")).toBe('"2"');
  writer.close();
  reader.close();
});

test.skipIf(!hasRedis)("scripts are known to a master that has been started anew", async () => {
  await using server = await startServer("redis");
  await using proxy = await startProxy("redisha", `${HEAD}server s0 127.0.0.1:${server.port}\n`);
  const a = await Wire.connect(proxy.port);
  const sha = (await a.do("SCRIPT", "LOAD", "return 1")).slice(1, -1);
  await server.stop("SIGKILL");
  a.send("EVALSHA", sha, "0");
  server.start();
  await server.ready();
  expect(await a.next()).toBe("(1)");
  a.close();
});

test.skipIf(!hasRedis)(
  "scripts are known to the next master, unless they were flushed",
  async () => {
    await using fleet = await Fleet.start({ replicas: 1, sentinels: ["redis"], quorum: 1 });
    await using proxy = await startProxy("redisha", redisConfig(fleet));
    const a = await Wire.connect(proxy.port);
    const sha = (await a.do("SCRIPT", "LOAD", "return redis.call('incr', KEYS[1])")).slice(1, -1);
    expect(await a.do("EVAL", "return 'evaluated'", "0")).toBe('"evaluated"');
    const second = new Bun.CryptoHasher("sha1").update("return 'evaluated'").digest("hex");
    expect(await a.do("EVALSHA", sha, "1", "n")).toBe("(1)");
    await until("the failover to be accepted", async () => (await fleet.sentinels[0]!.cli("sentinel", "failover", "m")) === "OK");
    const master = await fleet.switched(fleet.master);
    await until("the next master to be used", async () => (await a.do("CONFIG", "GET", "port")).includes(String(master.port)));
    expect(await a.do("EVALSHA", sha, "1", "n")).toBe("(2)");
    expect(await a.do("EVALSHA", second, "0")).toBe('"evaluated"');
    const third = (await a.do("SCRIPT", "LOAD", "return 3")).slice(1, -1);
    expect(await a.do("SCRIPT", "FLUSH")).toBe("+OK");
    await fleet.follows(fleet.master, master);
    await until("the way back to be accepted", async () => (await fleet.sentinels[0]!.cli("sentinel", "failover", "m")) === "OK", 30_000);
    await until(
      "the first master to be used",
      async () => (await a.do("CONFIG", "GET", "port")).includes(String(fleet.master.port)),
      30_000,
    );
    expect(await a.do("EVALSHA", third, "0")).toStartWith("-NOSCRIPT");
    a.close();
  },
  120_000,
);

test.skipIf(!hasRedis)(
  "commands that are in no table: what the server calls readonly is asked again, anything else is unknown",
  async () => {
    await using server = await startServer("redis", { "rename-command": ["GET my.get", "INCR my.incr"] });
    await using proxy = await startProxy("redisha", `${HEAD}server s0 127.0.0.1:${server.port}\n`);
    const [reader, writer] = await Promise.all([Wire.connect(proxy.port), Wire.connect(proxy.port)]);
    expect([await reader.do("MY.GET", "k"), await writer.do("MY.INCR", "n")]).toEqual(["nil", "(1)"]);
    await until("their flags to be asked for", async () =>
      /cmdstat_command\|info:calls=[2-9]/.test(await server.cli("info", "commandstats")),
    );
    server.kill("SIGSTOP");
    reader.send("MY.GET", "k");
    writer.send("MY.INCR", "n");
    const port = server.port.toString(16).toUpperCase().padStart(4, "0");
    await until("both requests to lie at the server", async () => {
      const lines = (await Bun.file("/proc/net/tcp").text()).split("\n");
      return lines.filter((l) => new RegExp(`:${port} [0-9A-F]+:[0-9A-F]+ 01 [0-9A-F]+:(?!00000000)`).test(l)).length >= 2;
    });
    server.kill("SIGKILL");
    await server.process!.exited;
    server.start();
    await server.ready();
    expect(await writer.next()).toStartWith("-UNKNOWNRESULT");
    expect(await reader.next()).toBe("nil");
    reader.close();
    writer.close();
  },
);

test.skipIf(!hasRedis)("its figures are among the metrics and on the stats page", async () => {
  await using server = await startServer("redis");
  const http = freePort();
  await using proxy = await startProxy(
    "redisha",
    `${HEAD}server s0 127.0.0.1:${server.port}\nfrontend web\nmode http\nbind 127.0.0.1:${http}\nhttp-request use-service prometheus-exporter if { path /metrics }\nstats enable\nstats uri /stats\n`,
  );
  const a = await Wire.connect(proxy.port);
  expect(await a.do("SET", "k", "1")).toBe("+OK");
  expect(await a.do("INCR", "k", "1")).toStartWith("-ERR");
  const text = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
  expect(text).toContain('\nredisha_redis_calls_total{proxy="redis",command="set"} 1\n');
  expect(text).toContain('\nredisha_redis_errors_total{proxy="redis",command="incr"} 1\n');
  expect(text).toMatch(/\nredisha_redis_seconds\{proxy="redis",command="set",quantile="0\.99"\} [\d.e-]+\n/);
  expect(text).toContain("\nhaproxy_backend_status{");
  const some = await (await fetch(`http://127.0.0.1:${http}/metrics?metrics=redisha_redis_clients`)).text();
  expect(some.trim().split("\n").at(-1)).toBe('redisha_redis_clients{proxy="redis"} 1');
  expect(await (await fetch(`http://127.0.0.1:${http}/metrics?scope=frontend`)).text()).not.toContain("redisha_");
  const page = await (await fetch(`http://127.0.0.1:${http}/stats`)).text();
  expect(page).toContain('<section class="redis"><h2>redis <small>mode redis</small></h2>');
  expect(page).toContain('<th scope="row">set</th><td>1</td>');
  a.close();
});

/**
 * The compiled proxy in mode redis in front of a real redis-server: many clients over few connections, each with the dialogue it would have
 * had alone.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { admin, stat } from "../support/admin.ts";
import { hasRedis, startServer, tempDir, until, type Program } from "../support/programs.ts";
import { Peer, startProxy } from "../support/proxy.ts";
import { Wire } from "../support/wire.ts";

function config(server: Program, more = ""): string {
  return `defaults
mode redis
timeout connect 3s
timeout server 60s
timeout client 60s
listen redis
bind 127.0.0.1:{port}
${more}server s0 127.0.0.1:${server.port}
`;
}

/** Connections of the proxy that carry commands of clients, as the server counts them. */
async function upstreams(server: Program): Promise<number> {
  const list = await server.cli("client", "list");
  // The authority's own two and this redis-cli.
  return list.split("\n").filter((l) => !/cmd=(info|subscribe|pubsub\|numsub|client\|list) /.test(l)).length;
}

test.skipIf(!hasRedis)("a hundred clients share one connection, each gets its own answers in order", async () => {
  await using server = await startServer("redis");
  await using proxy = await startProxy("redisha", config(server));
  const clients = await Promise.all(Array.from({ length: 100 }, () => Wire.connect(proxy.port)));
  await Promise.all(
    clients.map(async (w, i) => {
      for (let n = 0; n < 20; n++) {
        w.send("SET", `k${i}`, n);
        w.send("INCR", `k${i}`);
        w.send("NOSUCHCOMMAND");
        w.send("GET", `k${i}`);
        w.send("LPUSH", `k${i}`, "x");
      }
      for (let n = 0; n < 20; n++) {
        expect([await w.next(), await w.next()]).toEqual(["+OK", `(${n + 1})`]);
        expect(await w.next()).toStartWith("-ERR unknown command");
        expect([await w.next(), await w.next()]).toEqual([
          `"${n + 1}"`,
          "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ]);
      }
    }),
  );
  await Promise.all(clients.map((w) => w.do("PING")));
  expect(Number((await server.info("clients"))["connected_clients"])).toBeLessThan(80);
  for (const w of clients) w.close();
});

test.skipIf(!hasRedis)("what needs a connection of its own has one, and shares again afterwards", async () => {
  await using server = await startServer("redis");
  await using proxy = await startProxy("redisha", config(server));
  const a = await Wire.connect(proxy.port);
  const b = await Wire.connect(proxy.port);
  // A transaction, with requests of others in its midst.
  a.send("SET", "t", "0");
  a.send("MULTI");
  a.send("INCR", "t");
  expect([await a.next(), await a.next(), await a.next()]).toEqual(["+OK", "+OK", "+QUEUED"]);
  expect(await b.do("INCR", "t")).toBe("(1)");
  expect(await a.do("EXEC")).toBe("[(2)]");
  // WATCH aborts honestly.
  expect(await a.do("WATCH", "t")).toBe("+OK");
  expect(await b.do("SET", "t", "9")).toBe("+OK");
  expect([await a.do("MULTI"), await a.do("SET", "t", "1"), await a.do("EXEC")]).toEqual(["+OK", "+QUEUED", "nilarray"]);
  // A blocked client blocks nobody else.
  a.send("BLPOP", "list", "0");
  expect(await b.do("PING")).toBe("+PONG");
  expect(await b.do("RPUSH", "list", "x")).toBe("(1)");
  expect(await a.next()).toBe('["list", "x"]');
  // Subscriptions, RESP2.
  expect(await a.do("SUBSCRIBE", "c")).toBe('["subscribe", "c", (1)]');
  expect(await b.do("PUBLISH", "c", "m")).toBe("(1)");
  expect(await a.next()).toBe('["message", "c", "m"]');
  expect(await a.do("UNSUBSCRIBE")).toBe('["unsubscribe", "c", (0)]');
  expect(await a.do("GET", "t")).toBe('"9"');
  // RESP3, tracking.
  expect(await a.do("HELLO", "3")).toContain('"proto": (3)');
  expect(await a.do("CLIENT", "TRACKING", "ON")).toBe("+OK");
  expect(await a.do("GET", "t")).toBe('"9"');
  expect(await b.do("SET", "t", "10")).toBe("+OK");
  expect(await a.next()).toBe('>["invalidate", ["t"]]');
  expect(await a.do("CLIENT", "TRACKING", "OFF")).toBe("+OK");
  expect(await a.do("HGETALL", "nothing")).toBe("{}");
  // MONITOR goes on to the end.
  const m = await Wire.connect(proxy.port);
  expect(await m.do("MONITOR")).toBe("+OK");
  expect(await b.do("GET", "monitored")).toBe("nil");
  await until("the monitor's line", async () => (await m.next()).includes("monitored"));
  // Replies switched off and on.
  const r = await Wire.connect(proxy.port);
  r.send("CLIENT", "REPLY", "SKIP");
  r.send("SET", "quiet", "1");
  expect(await r.do("GET", "quiet")).toBe('"1"');
  // The database is restored on a connection of its own without a word to the client, also in front of what ends the dialogue.
  const quiet = await Wire.connect(proxy.port);
  expect(await quiet.do("SELECT", "5")).toBe("+OK");
  quiet.send("CLIENT", "REPLY", "OFF");
  expect(await quiet.do("SUBSCRIBE", "q")).toBe('["subscribe", "q", (1)]');
  quiet.close();
  // WAIT counts from this client's own writes (no replica here).
  expect([await b.do("SET", "w", "1"), await b.do("WAIT", "0", "10")]).toEqual(["+OK", "(0)"]);
  // Connections of clients' own are used again, not piled up.
  for (let i = 0; i < 200; i++) {
    for (const c of [["MULTI"], ["PING"], ["EXEC"]]) b.send(...c);
    expect([await b.next(), await b.next(), await b.next()]).toEqual(["+OK", "+QUEUED", "[+PONG]"]);
  }
  expect(await upstreams(server)).toBeLessThan(8);
  for (const w of [a, b, m, r]) w.close();
});

test.skipIf(!hasRedis)(
  "the connection's state is the client's: database, protocol, name, RESET, QUIT; CLIENT tells of the proxy's clients",
  async () => {
    process.env["REDISCLI_AUTH"] = "secret";
    await using server = await startServer("redis", { requirepass: "secret", databases: 4 }).finally(
      () => delete process.env["REDISCLI_AUTH"],
    );
    await using proxy = await startProxy("redisha", config(server, "redis-probe-auth secret\n"));
    const a = await Wire.connect(proxy.port);
    const b = await Wire.connect(proxy.port);
    expect(await a.do("GET", "x")).toStartWith("-NOAUTH");
    expect(await a.do("AUTH", "wrong")).toStartWith("-WRONGPASS");
    expect(await a.do("GET", "x")).toStartWith("-NOAUTH");
    expect(await a.do("AUTH", "secret")).toBe("+OK");
    a.send("SET", "x", "in 0");
    a.send("SELECT", "3");
    a.send("SET", "x", "in 3");
    a.send("GET", "x");
    a.send("SELECT", "4");
    a.send("GET", "x");
    expect([await a.next(), await a.next(), await a.next(), await a.next()]).toEqual(["+OK", "+OK", "+OK", '"in 3"']);
    expect([await a.next(), await a.next()]).toEqual(["-ERR DB index is out of range", '"in 3"']);
    expect(await b.do("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "bee")).toContain('"server": "redis"');
    expect(await b.do("GET", "x")).toBe('"in 0"');
    expect(await b.do("CLIENT", "GETNAME")).toBe('"bee"');
    expect(await a.do("CLIENT", "SETNAME", "with space")).toStartWith("-ERR Client names cannot contain spaces");
    expect(await a.do("CLIENT", "SETNAME", "ay")).toBe("+OK");
    const ida = Number(/\((\d+)\)/.exec(await a.do("CLIENT", "ID"))![1]);
    const list = await b.do("CLIENT", "LIST");
    expect(list).toMatch(new RegExp(`id=${ida} addr=127.0.0.1:\\d+ .* name=ay .* db=3 .* cmd=client\\|id user=default .* resp=2`));
    expect(await b.do("CLIENT", "LIST", "ID", String(ida))).not.toContain("name=bee");
    expect(await a.do("RESET")).toBe("+RESET");
    expect(await a.do("GET", "x")).toStartWith("-NOAUTH");
    expect(await b.do("CLIENT", "KILL", "ID", String(ida))).toBe("(1)");
    expect(await a.do("PING")).toBe("closed");
    expect(await b.do("CLIENT", "KILL", "ID", String(ida))).toBe("(0)");
    // Unblocking goes to the right connection.
    const c = await Wire.connect(proxy.port);
    expect(await c.do("AUTH", "secret")).toBe("+OK");
    const idc = Number(/\((\d+)\)/.exec(await c.do("CLIENT", "ID"))![1]);
    c.send("BLPOP", "nothing", "0");
    await until("the client to be unblocked", async () => (await b.do("CLIENT", "UNBLOCK", String(idc), "ERROR")) === "(1)");
    expect(await c.next()).toStartWith("-UNBLOCKED");
    c.send("GET", "x");
    c.send("QUIT");
    expect([await c.next(), await c.next(), await c.next()]).toEqual(['"in 0"', "+OK", "closed"]);
    b.close();
  },
);

test.skipIf(!hasRedis)(
  "big and slow: values of any size pass, a client that does not read stops nobody, broken requests are answered",
  async () => {
    await using server = await startServer("redis");
    await using proxy = await startProxy("redisha", config(server));
    const big = "x".repeat(1200 * 1024);
    const a = await Wire.connect(proxy.port);
    const b = await Wire.connect(proxy.port);
    expect(await a.do("SET", "big", big)).toBe("+OK");
    expect((await a.do("GET", "big")).length).toBe(big.length + 2);
    expect(await a.do("STRLEN", "big")).toBe(`(${big.length})`);
    // Nobody takes these replies; others go on, and the proxy does not keep them all.
    let taken = 0;
    const lazy = await Bun.connect({
      hostname: "127.0.0.1",
      port: proxy.port,
      socket: {
        data(s, d) {
          taken += d.length;
          s.pause();
        },
        close() {},
      },
    });
    lazy.write("*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n".repeat(200));
    for (let i = 0; i < 100; i++) expect(await b.do("INCR", "n")).toBe(`(${i + 1})`);
    expect(taken).toBeLessThan(big.length);
    const rss = Number(/VmRSS:\s+(\d+)/.exec(await Bun.file(`/proc/${proxy.pid}/status`).text())![1]);
    expect(rss).toBeLessThan(400 * 1024);
    lazy.terminate();
    for (const [bytes, error] of [
      ["*1\r\n$x\r\n", "-ERR Protocol error: invalid bulk length"],
      ["*3\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'"],
      ['get "a\r\n', "-ERR Protocol error: unbalanced quotes in request"],
    ] as const) {
      const w = await Wire.connect(proxy.port);
      w.send("SET", "before", "1");
      w.raw(bytes);
      expect([await w.next(), await w.next(), await w.next()]).toEqual(["+OK", error, "closed"]);
    }
    const w = await Wire.connect(proxy.port);
    w.raw("SET inline 'a b'\r\n\r\nGET inline\r\n*2\r\n$3\r\nGE");
    expect([await w.next(), await w.next()]).toEqual(["+OK", '"a b"']);
    w.raw("T\r\n$6\r\ninline\r\n");
    expect(await w.next()).toBe('"a b"');
    for (const x of [a, b, w]) x.close();
  },
);

test.skipIf(!hasRedis)("whoever leaves while it waits for data takes none along; half a goodbye still gets its answers", async () => {
  await using server = await startServer("redis");
  await using proxy = await startProxy("redisha", config(server));
  const blocked = (n: number): Promise<boolean> =>
    until(`${n} blocked clients`, async () => (await server.info("clients"))["blocked_clients"] === String(n));
  expect(await server.cli("xgroup", "create", "stream", "g", "$", "mkstream")).toBe("OK");
  for (const request of ["BLPOP list 0", "XREADGROUP GROUP g c BLOCK 0 STREAMS stream >", "SET a 1\r\nBLPOP list 0"])
    for (const leave of ["end", "destroy"] as const) {
      const peer = await Peer.to(proxy.port);
      peer.socket.write(`${request}\r\n`);
      await blocked(1);
      peer.socket[leave]();
      await blocked(0);
    }
  // What is there, and a transaction, is answered to one that says nothing more.
  await server.cli("rpush", "full", "x", "y");
  for (const [request, answer] of [
    ["BLPOP full 0", "*2\r\n$4\r\nfull\r\n$1\r\nx\r\n"],
    ["MULTI\r\nLPOP full\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n$1\r\ny\r\n"],
  ]) {
    const peer = await Peer.to(proxy.port);
    peer.socket.end(`${request}\r\n`);
    await until("the end", () => peer.ended);
    expect(peer.text).toBe(answer!);
  }
  const w = await Wire.connect(proxy.port);
  expect([await w.do("RPUSH", "list", "kept"), await w.do("LLEN", "list")]).toEqual(["(1)", "(1)"]);
  expect(await w.do("XADD", "stream", "1-1", "f", "v")).toBe('"1-1"');
  expect((await server.cli("xpending", "stream", "g")).split("\n")[0]).toBe("0");
  w.close();
});

test.skipIf(!hasRedis)("bytes are counted while connections are open: show stat and show info", async () => {
  await using server = await startServer("redis");
  const sock = join(tempDir("bytes."), "s.sock");
  const global = `global\nstats socket ${sock} level admin\n`;
  await using proxy = await startProxy("redisha", global + config(server));
  const w = await Wire.connect(proxy.port);
  const value = "x".repeat(10_000);
  const bytes = async (): Promise<{ [name: string]: number[] }> =>
    Object.fromEntries((await stat(sock)).map((r) => [r["svname"]!, [Number(r["bin"]), Number(r["bout"])]]));
  const before = await bytes();
  for (let i = 0; i < 10; i++) await w.do("SET", "k", value);
  for (let i = 0; i < 5; i++) await w.do("GET", "k");
  await w.do("MULTI");
  await w.do("GET", "k");
  await w.do("EXEC");
  const after = await bytes();
  for (const name of ["FRONTEND", "BACKEND", "s0"]) {
    const [up, down] = after[name]!.map((n, i) => n - before[name]![i]!);
    // What clients said and were told, and at the server besides what the proxy itself asks.
    expect(up).toBeWithin(10 * value.length, 11 * value.length);
    expect(down).toBeWithin(6 * value.length, 7 * value.length);
  }
  expect(Number(/TotalBytesOut: (\d+)/.exec(await admin(sock, "show info"))![1])).toBeGreaterThan(6 * value.length);
  w.close();
  await until("the client to be gone", async () => (await stat(sock)).find((r) => r["svname"] === "FRONTEND")!["scur"] === "0");
  // Nothing twice.
  expect((await bytes())["FRONTEND"]).toEqual(after["FRONTEND"]!);
});

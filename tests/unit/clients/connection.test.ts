/** Connections, CLIENT and users through real sockets: replies to the byte, limits, refusals, who is listed and who is killed. */
import { expect, test } from "bun:test";
import type { Socket } from "bun";
import { bindRows } from "../../../lib/clients/bind.ts";
import { Dispatcher } from "../../../lib/clients/dispatch.ts";
import { rowTable } from "../../../lib/commands/table/index.ts";
import { until } from "../../support/programs.ts";
import { Wire } from "../../support/wire.ts";
import { SmallServer } from "./small_mode.ts";

test("PING, ECHO, QUIT, SELECT, RESET", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  expect(await w.do("PING")).toBe("+PONG");
  expect(await w.do("ping", "x y")).toBe('"x y"');
  expect(await w.do("PING", 1, 2)).toBe("-ERR wrong number of arguments for 'ping' command");
  expect(await w.do("ECHO", "a\r\nb")).toBe('"a\\r\\nb"');
  expect(await w.do("SELECT", 16)).toBe("-ERR DB index is out of range");
  expect(await w.do("SELECT", "a")).toBe("-ERR value is not an integer or out of range");
  expect(await w.do("SELECT", 3)).toBe("+OK");
  expect(await w.do("SET", "a", 1)).toBe("+OK");
  expect(s.dbs[3].size).toBe(1);
  await w.do("CLIENT", "SETNAME", "me");
  await w.do("MULTI");
  expect(await w.do("RESET")).toBe("+RESET");
  expect(await w.do("CLIENT", "GETNAME")).toBe("nil");
  expect(await w.do("EXEC")).toBe("-ERR EXEC without MULTI");
  expect(await w.do("GET", "a")).toBe("nil");
  expect(await w.do("NOSUCH", "a", "b")).toBe("-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' ");
  expect(await w.do("CLIENT", "nosuch")).toBe("-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.");
  expect(await w.do("CLIENT")).toBe("-ERR wrong number of arguments for 'client' command");
  w.raw("*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n");
  expect(await w.next()).toBe("+OK");
  expect(await w.next()).toBe("closed");
});

test("HELLO switches protocols, names and logs in", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  const id = (await w.do("CLIENT", "ID")).slice(1, -1);
  const two = `["server", "redis", "version", "7.2.4", "proto", (2), "id", (${id}), "mode", "standalone", "role", "master", "modules", []]`;
  expect(await w.do("HELLO")).toBe(two);
  const three = await w.do("HELLO", 3, "SETNAME", "x");
  expect(three).toBe(
    `{"server": "redis", "version": "7.2.4", "proto": (3), "id": (${id}), "mode": "standalone", "role": "master", "modules": []}`,
  );
  expect(await w.do("CLIENT", "GETNAME")).toBe('"x"');
  expect(await w.do("GET", "none")).toBe("nil3");
  expect(await w.do("HELLO", 4)).toBe("-NOPROTO unsupported protocol version");
  expect(await w.do("HELLO", "x")).toBe("-ERR Protocol version is not an integer or out of range");
  expect(await w.do("HELLO", 2, "AUTH", "a")).toBe("-ERR Syntax error in HELLO option 'AUTH'");
  expect(await w.do("HELLO", 2, "SETNAME", "a b")).toBe("-ERR Client names cannot contain spaces, newlines or special characters.");
  expect(await w.do("HELLO", 2, "AUTH", "nobody", "x")).toBe("-WRONGPASS invalid username-password pair or user is disabled.");
  // A failed HELLO changes nothing.
  expect(await w.do("GET", "none")).toBe("nil3");
});

test("AUTH: who must log in, and with what", async () => {
  await using s = SmallServer.start();
  const early = await s.connect();
  expect(await early.do("AUTH", "x")).toBe(
    "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
  );
  s.service.users.setDefaultPassword("secret");
  expect(await early.do("GET", "a")).toBe("nil");
  const w = await s.connect();
  expect(await w.do("GET", "a")).toBe("-NOAUTH Authentication required.");
  expect((await w.do("HELLO", 3)).startsWith("-NOAUTH HELLO must be called with the client already authenticated, otherwise")).toBe(true);
  expect(await w.do("AUTH", "wrong")).toBe("-WRONGPASS invalid username-password pair or user is disabled.");
  expect(await w.do("AUTH", "a", "b", "c")).toBe("-ERR syntax error");
  expect(await w.do("AUTH", "default", "secret")).toBe("+OK");
  expect(await w.do("GET", "a")).toBe("nil");
  expect(await w.do("RESET")).toBe("+RESET");
  expect(await w.do("GET", "a")).toBe("-NOAUTH Authentication required.");
  expect(await w.do("HELLO", 3, "AUTH", "default", "secret")).toContain('"proto": (3)');
  // Before login only small requests are read.
  const big = await s.connect();
  big.raw("*11\r\n");
  expect(await big.next()).toBe("-ERR Protocol error: unauthenticated multibulk length");
  expect(await big.next()).toBe("closed");
  s.service.users.setDefaultPassword("");
  expect(await (await s.connect()).do("GET", "a")).toBe("nil");
});

test("CLIENT LIST: fields in Redis' order, filters, the running request's own bytes", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  const u = await s.connect(3, true);
  await u.do("CLIENT", "SETINFO", "LIB-NAME", "lib");
  await u.do("CLIENT", "SETINFO", "lib-ver", "1.0");
  expect(await u.do("CLIENT", "SETINFO", "LIB-VER", "a b")).toBe("-ERR LIB-VER cannot contain spaces, newlines or special characters.");
  expect(await u.do("CLIENT", "SETINFO", "x", "a")).toBe("-ERR Unrecognized option 'x'");
  const lines = (JSON.parse(await w.do("CLIENT", "LIST")) as string).trimEnd().split("\n");
  expect(lines.length).toBe(2);
  expect(lines[0]).toMatch(
    /^id=\d+ addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ fd=\d+ name= age=\d+ idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=26 qbuf-free=16358 argv-mem=10 multi-mem=0 rbs=\d+ rbp=\d+ obl=0 oll=0 omem=0 tot-mem=\d+ events=r cmd=client\|list user=default redir=-1 resp=2 lib-name= lib-ver=$/,
  );
  expect(lines[1]).toContain(`addr=${s.path}:0 laddr=${s.path}:0`);
  expect(lines[1]).toContain("flags=U ");
  expect(lines[1]).toMatch(/cmd=client\|setinfo user=default redir=-1 resp=3 lib-name=lib lib-ver=1\.0$/);
  const id = await w.do("CLIENT", "ID");
  const own = JSON.parse(await w.do("CLIENT", "LIST", "ID", id.slice(1, -1), "999")) as string;
  expect(own.trimEnd().split("\n").length).toBe(1);
  expect(await w.do("CLIENT", "LIST", "ID", "x")).toBe("-ERR Invalid client ID");
  expect(await w.do("CLIENT", "LIST", "TYPE", "x")).toBe("-ERR Unknown client type 'x'");
  expect(await w.do("CLIENT", "LIST", "TYPE")).toBe("-ERR syntax error");
  expect(await w.do("CLIENT", "LIST", "TYPE", "pubsub")).toBe('""');
  await u.do("SUBSCRIBE", "a");
  expect(JSON.parse(await w.do("CLIENT", "LIST", "TYPE", "PUBSUB"))).toContain("flags=PU ");
  expect(await u.do("CLIENT", "INFO")).toMatch(/^="txt:id=/);
});

test("CLIENT KILL: old form, filters, SKIPME; the killed see the end at once", async () => {
  await using s = SmallServer.start();
  const a = await s.connect();
  const b = await s.connect();
  const idOf = async (w: Wire): Promise<string> => (await w.do("CLIENT", "ID")).slice(1, -1);
  const b1 = await idOf(b);
  expect(await a.do("CLIENT", "KILL", "1.2.3.4:5")).toBe("-ERR No such client");
  expect(await a.do("CLIENT", "KILL", "ID", "x")).toBe("-ERR client-id should be greater than 0");
  expect(await a.do("CLIENT", "KILL", "ID", b1, "TYPE")).toBe("-ERR syntax error");
  expect(await a.do("CLIENT", "KILL", "TYPE", "x")).toBe("-ERR Unknown client type 'x'");
  expect(await a.do("CLIENT", "KILL", "USER", "x", "TYPE", "normal")).toBe("-ERR No such user 'x'");
  expect(await a.do("CLIENT", "KILL", "ID", b1)).toBe("(1)");
  expect(await b.next()).toBe("closed");
  expect(s.service.dispatcher.clients.size).toBe(1);
  const c = await s.connect();
  const line = JSON.parse(await c.do("CLIENT", "INFO")) as string;
  const addr = /addr=(\S+)/.exec(line)![1];
  const laddr = /laddr=(\S+)/.exec(line)![1];
  expect(await a.do("CLIENT", "KILL", addr)).toBe("+OK");
  expect(await c.next()).toBe("closed");
  const d = await s.connect();
  await d.do("SUBSCRIBE", "x");
  expect(await a.do("CLIENT", "KILL", "TYPE", "pubsub", "LADDR", laddr)).toBe("(1)");
  expect(await d.next()).toBe("closed");
  expect(s.service.pubsub.channels.names.size).toBe(0);
  expect(await a.do("CLIENT", "KILL", "TYPE", "normal", "USER", "default")).toBe("(0)");
  expect(await a.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")).toBe("(1)");
  expect(await a.next()).toBe("closed");
  await until("nobody left", () => s.service.dispatcher.clients.size === 0);
});

test("CLIENT REPLY OFF, SKIP, ON", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  w.send("CLIENT", "REPLY", "SKIP");
  w.send("SET", "a", 1);
  w.send("CLIENT", "REPLY", "OFF");
  w.send("GET", "a");
  w.send("NOSUCH");
  w.send("CLIENT", "REPLY", "SKIP");
  w.send("CLIENT", "REPLY", "ON");
  expect(await w.next()).toBe("+OK");
  expect(await w.do("GET", "a")).toBe('"1"');
  expect(await w.do("CLIENT", "REPLY", "x")).toBe("-ERR syntax error");
  w.send("CLIENT", "REPLY", "SKIP");
  w.send("NOSUCH");
  expect(await w.do("PING")).toBe("+PONG");
});

test("maxclients, protected mode and their counters", async () => {
  await using s = SmallServer.start({ maxClients: 1 });
  const a = await s.connect();
  await a.do("PING");
  const b = await s.connect();
  expect(await b.next()).toBe("-ERR max number of clients reached");
  expect(await b.next()).toBe("closed");
  expect(s.service.registry.rejectedConnections).toBe(1);
  expect(s.service.registry.totalConnections).toBe(1);
  expect(await a.do("PING")).toBe("+PONG");
});

test("idle clients are closed, subscribers and blocked ones are not", async () => {
  await using s = SmallServer.start({ timeoutSeconds: 1 });
  const idle = await s.connect();
  const sub = await s.connect();
  await idle.do("PING");
  await sub.do("SUBSCRIBE", "a");
  for (const c of s.service.dispatcher.clients.values()) c.lastActiveMs -= 5000;
  s.service.cron();
  expect(await idle.next()).toBe("closed");
  expect(s.service.dispatcher.clients.size).toBe(1);
  expect(s.logged).toContain("verbose: Closing idle client");
});

test("half-close: what was said is answered, then the connection ends", async () => {
  await using s = SmallServer.start();
  const all: Buffer[] = [];
  let closed = false;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: s.port,
    allowHalfOpen: true,
    socket: { data: (_: unknown, b: Buffer) => void all.push(b), end: (x: Socket) => void x.end(), close: () => void (closed = true) },
  } as never);
  const requests = Buffer.from("PING\r\n".repeat(50000));
  let at = 0;
  while (at < requests.length) {
    at += Math.max(0, socket.write(requests.subarray(at)));
    await Bun.sleep(0);
  }
  (socket as unknown as { shutdown(): void }).shutdown();
  await until("the end", () => closed);
  expect(Buffer.concat(all).length).toBe(50000 * 7);
});

test("a pipeline of megabytes does not keep another client waiting", async () => {
  await using s = SmallServer.start();
  const busy = await s.connect();
  const other = await s.connect();
  await other.do("PING");
  const n = 60000;
  busy.raw(Buffer.from(`*3\r\n$3\r\nSET\r\n$1\r\na\r\n$64\r\n${"x".repeat(64)}\r\n`.repeat(n)));
  let got = 0;
  const replies = (async () => {
    for (let i = 0; i < n; i++) {
      await busy.next();
      got++;
    }
  })();
  await until("the first replies", () => got > 0);
  expect(await other.do("PING")).toBe("+PONG");
  // The ping overtook most of the pipeline.
  expect(got).toBeLessThan(n);
  await replies;
  expect(got).toBe(n);
});

test("a reader that does not read is cut at the output limit, and the log says so", async () => {
  const none = { hardBytes: 0, softBytes: 0, softSeconds: 0 };
  await using s = SmallServer.start({
    outputLimits: { normal: { hardBytes: 8 << 20, softBytes: 0, softSeconds: 0 }, replica: none, pubsub: none },
  });
  const w = await s.connect();
  await w.do("SET", "big", Buffer.alloc(1 << 20, 120));
  let closed = false;
  const slow = await Bun.connect({
    hostname: "127.0.0.1",
    port: s.port,
    socket: { data() {}, close: () => void (closed = true), error() {} },
  });
  slow.pause();
  slow.write(Buffer.from("GET big\r\n".repeat(64)));
  await until("the log line", () =>
    s.logged.some((l) => /^warning: Client id=.* closed for overcoming of output buffer limits\.$/.test(l)),
  );
  expect(s.service.registry.outputLimitDisconnections).toBe(1);
  expect(s.service.dispatcher.clients.size).toBe(1);
  slow.resume();
  await until("the end", () => closed);
});

test("soft output limits count their seconds", async () => {
  const none = { hardBytes: 0, softBytes: 0, softSeconds: 0 };
  await using s = SmallServer.start({
    outputLimits: { normal: { hardBytes: 0, softBytes: 1 << 20, softSeconds: 5 }, replica: none, pubsub: none },
  });
  const w = await s.connect();
  await w.do("SET", "big", Buffer.alloc(1 << 20, 120));
  const slow = await Bun.connect({ hostname: "127.0.0.1", port: s.port, socket: { data() {}, close() {}, error() {} } });
  slow.pause();
  slow.write(Buffer.from("GET big\r\n".repeat(64)));
  const client = (): import("../../../lib/clients/client.ts").Client | undefined =>
    [...s.service.dispatcher.clients.values()].find((c) => c.softLimitSinceMs > 0);
  await until("the soft limit", () => client() !== undefined);
  s.service.cron();
  expect(s.service.dispatcher.clients.size).toBe(2);
  client()!.softLimitSinceMs -= 6000;
  s.service.cron();
  expect(s.service.dispatcher.clients.size).toBe(1);
  slow.terminate();
});

test("the query buffer has its limit", async () => {
  await using s = SmallServer.start({ queryBufferLimitBytes: 1 << 20 });
  const w = await s.connect();
  w.raw("*2\r\n$3\r\nGET\r\n$2000000\r\n");
  w.raw(Buffer.alloc(1500000, 97));
  expect(await w.next()).toBe("closed");
  expect(s.logged.some((l) => l.startsWith("warning: Closing client that reached max query buffer length: id="))).toBe(true);
  expect(s.service.registry.queryLimitDisconnections).toBe(1);
});

test("a replica's link: its own class, no keys, no pause, no RESET", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  const r = await s.connect();
  await r.do("PING");
  s.service.registry.becomeReplica(s.service.dispatcher.clients.get(2)!);
  expect(await r.do("GET", "a")).toBe("-ERR Replica can't interact with the keyspace");
  expect(await r.do("RESET")).toBe("-ERR can only reset normal client connections");
  expect(JSON.parse(await w.do("CLIENT", "LIST", "TYPE", "replica"))).toContain("id=2 ");
  expect(JSON.parse(await w.do("CLIENT", "LIST", "TYPE", "slave"))).toContain("flags=S ");
  expect(s.service.registry.connected).toBe(1);
  await w.do("CLIENT", "PAUSE", "100000");
  expect(await r.do("PING")).toBe("+PONG");
  s.service.pause.end(0);
  expect(await w.do("CLIENT", "KILL", "TYPE", "replica")).toBe("(1)");
  expect(await r.next()).toBe("closed");
});

test("rename-command: another name, none, and what nobody has written", async () => {
  await using s = SmallServer.start();
  const fresh = new Dispatcher(s.service.dispatcher.host);
  const run = (): void => {};
  const renamed = new Map([
    ["get", "fetch"],
    ["set", ""],
  ]);
  const left = bindRows(fresh, rowTable("server").rows, { get: run, set: run, "client|id": run, nosuch: run }, { renamed });
  expect(left).toEqual(["nosuch"]);
  expect(fresh.table.named("fetch")?.name).toBe("get");
  expect(fresh.table.named("get")).toBeNull();
  expect(fresh.table.named("set")).toBeNull();
  expect(fresh.table.named("client|id")?.name).toBe("client|id");
  expect(fresh.table.named("client|list")).toBeNull();
  expect(fresh.table.named("del")).toBeNull();
  expect(fresh.table.named("slowlog")).toBeNull();
});

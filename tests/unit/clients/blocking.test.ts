/** Waiting clients and pauses through real sockets: who is served first, what a wait costs others, how it ends. */
import { expect, test } from "bun:test";
import { until } from "../../support/programs.ts";
import { SmallServer } from "./small_mode.ts";

const blocked = (s: SmallServer, n: number): Promise<unknown> => until(`${n} blocked`, () => s.service.blockedClients === n);

test("first come, first served; one push serves one; the rest of a pipeline follows", async () => {
  await using s = SmallServer.start();
  const p = await s.connect();
  const a = await s.connect();
  const b = await s.connect();
  a.send("BLPOP", "k", "other", 0);
  a.send("PING", "after");
  await blocked(s, 1);
  b.send("BLPOP", "k", 0);
  await blocked(s, 2);
  expect(JSON.parse(await p.do("CLIENT", "LIST"))).toContain("flags=b ");
  expect(await p.do("RPUSH", "k", "1")).toBe("(1)");
  expect(await a.next()).toBe('["k", "1"]');
  expect(await a.next()).toBe('"after"');
  expect(s.service.blockedClients).toBe(1);
  expect(await p.do("RPUSH", "k", "2", "3")).toBe("(2)");
  expect(await b.next()).toBe('["k", "2"]');
  expect(s.service.blocking.keys).toBe(0);
  // Each served client is a unit of its own, after that of the push.
  expect(s.stream).toEqual(["RPUSH k 1", "LPOP k", "RPUSH k 2 3", "LPOP k"]);
  const blpop = s.service.dispatcher.table.named("blpop")!;
  expect(blpop.calls).toBe(2);
});

test("a push inside EXEC serves after EXEC; a key of another type serves nobody", async () => {
  await using s = SmallServer.start();
  const p = await s.connect();
  const a = await s.connect();
  a.send("BLPOP", "k", 0);
  await blocked(s, 1);
  await p.do("SET", "k", "string");
  s.service.blocking.keyReadyText(0, "k");
  await p.do("PING");
  expect(s.service.blockedClients).toBe(1);
  await p.do("DEL", "k");
  await p.do("MULTI");
  await p.do("RPUSH", "k", "1");
  await p.do("DEL", "k");
  await p.do("RPUSH", "k", "2");
  expect(await p.do("EXEC")).toBe("[(1), (1), (1)]");
  expect(await a.next()).toBe('["k", "2"]');
});

test("what a served client pushes serves the next one", async () => {
  await using s = SmallServer.start();
  const p = await s.connect();
  const a = await s.connect();
  const b = await s.connect();
  b.send("BLPOP", "to", 0);
  await blocked(s, 1);
  a.send("BLMOVE", "from", "to", "LEFT", "RIGHT", 0);
  await blocked(s, 2);
  await p.do("RPUSH", "from", "x");
  expect(await a.next()).toBe('"x"');
  expect(await b.next()).toBe('["to", "x"]');
});

test("time over, CLIENT UNBLOCK, a role change, a closed connection", async () => {
  await using s = SmallServer.start();
  const p = await s.connect();
  const a = await s.connect();
  expect(await a.do("BLPOP", "k", 0.02)).toBe("nilarray");
  expect(s.service.blocking.timeouts).toBe(0);
  const id = (await a.do("CLIENT", "ID")).slice(1, -1);
  expect(await p.do("CLIENT", "UNBLOCK", id)).toBe("(0)");
  a.send("BLPOP", "k", 100);
  await blocked(s, 1);
  expect(s.service.blocking.timeouts).toBe(1);
  expect(await p.do("CLIENT", "UNBLOCK", id)).toBe("(1)");
  expect(await a.next()).toBe("nilarray");
  a.send("BLPOP", "k", 0);
  await blocked(s, 1);
  expect(await p.do("CLIENT", "UNBLOCK", id, "error")).toBe("(1)");
  expect(await a.next()).toBe("-UNBLOCKED client unblocked via CLIENT UNBLOCK");
  expect(await p.do("CLIENT", "UNBLOCK", id, "x")).toBe("-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
  expect(await p.do("CLIENT", "UNBLOCK", "x")).toBe("-ERR value is not an integer or out of range");
  expect(await a.do("PING")).toBe("+PONG");
  a.send("BLPOP", "k", 0);
  await blocked(s, 1);
  s.service.blocking.roleChanged();
  expect(await a.next()).toContain("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)");
  expect(await a.next()).toBe("closed");
  const b = await s.connect();
  b.send("BLPOP", "k", 0);
  await blocked(s, 1);
  b.close();
  await blocked(s, 0);
  expect(s.service.blocking.keys).toBe(0);
  await p.do("RPUSH", "k", "1");
  expect(s.dbs[0].get("k")).toHaveLength(1);
});

test("what a blocked client sends is kept, in order, and bounded", async () => {
  await using s = SmallServer.start({ queryBufferLimitBytes: 1 << 20 });
  const p = await s.connect();
  const a = await s.connect();
  a.send("BLPOP", "k", 0);
  await blocked(s, 1);
  for (let i = 0; i < 200; i++) {
    a.send("PING", String(i));
    if (i % 50 === 0) await p.do("PING");
  }
  await p.do("RPUSH", "k", "1");
  expect(await a.next()).toBe('["k", "1"]');
  for (let i = 0; i < 200; i++) expect(await a.next()).toBe(`"${i}"`);
  a.send("BLPOP", "k", 0);
  await blocked(s, 1);
  a.raw(Buffer.alloc(3 << 20, 97));
  expect(await a.next()).toBe("closed");
  await blocked(s, 0);
});

test("CLIENT PAUSE WRITE holds writes, MULTI's too, in order; UNPAUSE lets them go", async () => {
  await using s = SmallServer.start();
  const p = await s.connect();
  const a = await s.connect();
  const b = await s.connect();
  expect(await p.do("CLIENT", "PAUSE", "100000", "WRITE")).toBe("+OK");
  a.send("SET", "k", "a");
  a.send("GET", "k");
  await blocked(s, 1);
  b.send("SET", "k", "b");
  await blocked(s, 2);
  expect(await p.do("GET", "k")).toBe("nil");
  expect(await p.do("CLIENT", "UNPAUSE")).toBe("+OK");
  expect(await a.next()).toBe("+OK");
  expect(await b.next()).toBe("+OK");
  expect(['"a"', '"b"']).toContain(await a.next());
  expect(s.stream).toEqual(["SET k a", "SET k b"]);
  expect(s.service.blockedClients).toBe(0);
});

test("CLIENT PAUSE ALL ends by itself; a served blocked client waits as well", async () => {
  await using s = SmallServer.start();
  const p = await s.connect();
  const a = await s.connect();
  a.send("BLPOP", "k", 0);
  a.send("PING");
  await blocked(s, 1);
  await p.do("RPUSH", "spare", "1");
  await p.do("CLIENT", "PAUSE", "60", "WRITE");
  s.dbs[0].set("k", [Buffer.from("x")]);
  s.service.blocking.keyReadyText(0, "k");
  await p.do("PING");
  // Its command is held now, not lost.
  expect(s.service.pause.count).toBe(1);
  expect(await a.next()).toBe('["k", "x"]');
  expect(await a.next()).toBe("+PONG");
  expect(await p.do("CLIENT", "PAUSE", "30")).toBe("+OK");
  expect(await a.do("PING")).toBe("+PONG");
  expect(s.service.pause.actions).toBe(0);
  expect(await p.do("CLIENT", "PAUSE", "a")).toBe("-ERR timeout is not an integer or out of range");
  expect(await p.do("CLIENT", "PAUSE", "-1")).toBe("-ERR timeout is negative");
  expect(await p.do("CLIENT", "PAUSE", "1", "x")).toBe("-ERR CLIENT PAUSE mode must be WRITE or ALL");
});

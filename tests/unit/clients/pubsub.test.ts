/** Pub/Sub through real sockets: forms in RESP2 and RESP3, order of confirmations, messages and replies, counts, gone subscribers. */
import { expect, test } from "bun:test";
import { until } from "../../support/programs.ts";
import { SmallServer } from "./small_mode.ts";

test("RESP2: confirmations, messages, what a subscriber may still say", async () => {
  await using s = SmallServer.start();
  const p = await s.connect();
  const w = await s.connect();
  w.send("SUBSCRIBE", "a", "b", "a");
  expect(await w.next()).toBe('["subscribe", "a", (1)]');
  expect(await w.next()).toBe('["subscribe", "b", (2)]');
  expect(await w.next()).toBe('["subscribe", "a", (2)]');
  expect(await w.do("PSUBSCRIBE", "a*")).toBe('["psubscribe", "a*", (3)]');
  expect(await w.do("SSUBSCRIBE", "s")).toBe('["ssubscribe", "s", (1)]');
  expect(await p.do("PUBLISH", "a", "x\r\ny")).toBe("(2)");
  expect(await w.next()).toBe('["message", "a", "x\\r\\ny"]');
  expect(await w.next()).toBe('["pmessage", "a*", "a", "x\\r\\ny"]');
  expect(await p.do("SPUBLISH", "s", "m")).toBe("(1)");
  expect(await w.next()).toBe('["smessage", "s", "m"]');
  expect(await p.do("PUBLISH", "s", "m")).toBe("(0)");
  expect(await w.do("PING")).toBe('["pong", ""]');
  expect(await w.do("PING", "z")).toBe('["pong", "z"]');
  expect(await w.do("GET", "a")).toBe(
    "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
  );
  expect(await w.do("CLIENT", "ID")).toContain("Can't execute 'client|id'");
  expect(await w.do("UNSUBSCRIBE", "nope")).toBe('["unsubscribe", "nope", (3)]');
  w.send("UNSUBSCRIBE");
  expect(await w.next()).toBe('["unsubscribe", "a", (2)]');
  expect(await w.next()).toBe('["unsubscribe", "b", (1)]');
  expect(await w.do("UNSUBSCRIBE")).toBe('["unsubscribe", nil, (1)]');
  expect(await w.do("PUNSUBSCRIBE")).toBe('["punsubscribe", "a*", (0)]');
  expect(await w.do("SUNSUBSCRIBE")).toBe('["sunsubscribe", "s", (0)]');
  expect(await w.do("SUNSUBSCRIBE")).toBe('["sunsubscribe", nil, (0)]');
  expect(await w.do("GET", "a")).toBe("nil");
  expect(await w.do("PING")).toBe("+PONG");
});

test("RESP3: pushes, other commands go on, own messages follow the own reply", async () => {
  await using s = SmallServer.start();
  const w = await s.connect(3);
  // The client's library takes pushes aside; here they come as they are.
  w.send("SUBSCRIBE", "a");
  w.send("PUBLISH", "a", "1");
  w.send("MULTI");
  w.send("PUBLISH", "a", "2");
  w.send("SET", "k", "v");
  w.send("EXEC");
  w.send("PING");
  const got: string[] = [];
  await until("all replies", async () => {
    got.push(await w.next());
    return got.at(-1) === "+PONG";
  });
  const pushes = got.filter((g) => g.startsWith(">"));
  expect(pushes.length + w.pushes.length).toBe(3);
  expect(got.filter((g) => !g.startsWith(">"))).toEqual(["(1)", "+OK", "+QUEUED", "+QUEUED", "[(1), +OK]", "+PONG"]);
  expect([...pushes, ...w.pushes]).toEqual(['>["subscribe", "a", (1)]', '>["message", "a", "1"]', '>["message", "a", "2"]']);
});

test("the order of bytes of one's own messages, reply first", async () => {
  await using s = SmallServer.start();
  const bytes: Buffer[] = [];
  const socket = await Bun.connect({ hostname: "127.0.0.1", port: s.port, socket: { data: (_s, b) => void bytes.push(b) } });
  const text = (): string => Buffer.concat(bytes).toString("latin1");
  socket.write(Buffer.from("HELLO 3\r\nSUBSCRIBE a\r\nPUBLISH a m\r\nUNSUBSCRIBE a\r\nPING\r\n"));
  await until("PONG", () => text().endsWith("+PONG\r\n"));
  expect(text().slice(text().indexOf(">"))).toBe(
    ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n>3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n+PONG\r\n",
  );
  socket.end();
});

test("CLIENT REPLY OFF silences replies, not messages", async () => {
  await using s = SmallServer.start();
  const p = await s.connect();
  const w = await s.connect();
  w.send("CLIENT", "REPLY", "OFF");
  expect(await w.do("SUBSCRIBE", "a")).toBe('["subscribe", "a", (1)]');
  await p.do("PUBLISH", "a", "x");
  expect(await w.next()).toBe('["message", "a", "x"]');
});

test("PUBSUB counts; the gone are forgotten; PUBLISH goes to the replicas", async () => {
  await using s = SmallServer.start();
  const p = await s.connect();
  const a = await s.connect();
  const b = await s.connect();
  await a.do("SUBSCRIBE", "one");
  await b.do("SUBSCRIBE", "one");
  await b.do("SUBSCRIBE", "two");
  await b.do("PSUBSCRIBE", "t*");
  await a.do("SSUBSCRIBE", "sh");
  expect(await p.do("PUBSUB", "CHANNELS")).toBe('["one", "two"]');
  expect(await p.do("PUBSUB", "CHANNELS", "t*")).toBe('["two"]');
  expect(await p.do("PUBSUB", "NUMSUB", "one", "none")).toBe('["one", (2), "none", (0)]');
  expect(await p.do("PUBSUB", "NUMPAT")).toBe("(1)");
  expect(await p.do("PUBSUB", "SHARDCHANNELS")).toBe('["sh"]');
  expect(await p.do("PUBSUB", "SHARDNUMSUB", "sh")).toBe('["sh", (1)]');
  expect(await p.do("PUBSUB", "CHANNELS", "a", "b")).toBe(
    "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
  );
  b.close();
  await until("b gone", () => s.service.dispatcher.clients.size === 2);
  expect(await p.do("PUBSUB", "NUMSUB", "one")).toBe('["one", (1)]');
  expect(await p.do("PUBSUB", "NUMPAT")).toBe("(0)");
  expect(await p.do("PUBLISH", "one", "m")).toBe("(1)");
  expect(s.stream).toEqual(["PUBLISH one m"]);
});

test("a subscriber that does not read costs its limit and no more", async () => {
  const none = { hardBytes: 0, softBytes: 0, softSeconds: 0 };
  await using s = SmallServer.start({
    outputLimits: { normal: none, replica: none, pubsub: { hardBytes: 4 << 20, softBytes: 0, softSeconds: 0 } },
  });
  const p = await s.connect();
  const slow = await Bun.connect({ hostname: "127.0.0.1", port: s.port, socket: { data() {}, close() {}, error() {} } });
  slow.write(Buffer.from("SUBSCRIBE a\r\n"));
  await until("the subscription", () => s.service.pubsub.channels.names.size === 1);
  slow.pause();
  const message = Buffer.alloc(100000, 120);
  let cut = false;
  for (let i = 0; i < 400 && !cut; i++) {
    await p.do("PUBLISH", "a", message);
    cut = s.service.dispatcher.clients.size === 1;
  }
  expect(cut).toBe(true);
  expect(s.service.pubsub.channels.names.size).toBe(0);
  expect(await p.do("PUBLISH", "a", "x")).toBe("(0)");
  slow.terminate();
});

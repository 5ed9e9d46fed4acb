/** Bytes as they may come: one at a time, in odd pieces, broken, random. Nothing but the connection that sent them may suffer. */
import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { until } from "../../support/programs.ts";
import { Wire } from "../../support/wire.ts";
import { SmallServer } from "./small_mode.ts";

// The machine may be busy.
setDefaultTimeout(60000);

const request = (...args: string[]): string => `*${args.length}\r\n${args.map((a) => `$${a.length}\r\n${a}\r\n`).join("")}`;

test("requests cut anywhere give the same replies", async () => {
  await using s = SmallServer.start();
  const text = `${request("SET", "k", "a\r\nb")}PING\r\n${request("GET", "k")}ECHO "x y"\n*0\r\n${request("MULTI")}${request("GET", "k")}${request("EXEC")}`;
  const whole = Buffer.from(text);
  const want = ["+OK", "+PONG", '"a\\r\\nb"', '"x y"', "+OK", "+QUEUED", '["a\\r\\nb"]'];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 12 }), async (sizes) => {
      const w = await Wire.connect(s.port);
      const client = [...s.service.dispatcher.clients.values()];
      const replies: Promise<string>[] = want.map(() => w.next());
      let at = 0;
      for (let i = 0; at < whole.length; i++) {
        const n = sizes[i % sizes.length];
        w.raw(whole.subarray(at, at + n));
        at += n;
        // A turn of the loop between the pieces, so that each is an event of its own.
        await Bun.sleep(0);
      }
      expect(await Promise.all(replies)).toEqual(want);
      expect(client.length).toBeLessThan(50);
      w.close();
    }),
    { numRuns: 15 },
  );
});

test("random bytes close their connection at worst", async () => {
  await using s = SmallServer.start();
  const other = await s.connect();
  const piece = fc.oneof(
    fc.constantFrom(
      "*",
      "$",
      "\r\n",
      "*1\r\n",
      "*3\r\n$3\r\nSET\r\n",
      "$-1\r\n",
      "$0\r\n\r\n",
      "-1",
      "99999999999",
      "GET a\r\n",
      '"',
      "'",
      "\\x",
      "\0",
    ),
    fc.string({ maxLength: 30 }),
    fc.constantFrom(
      request("EXEC"),
      request("MULTI"),
      request("SUBSCRIBE", "a"),
      request("RESET"),
      request("HELLO", "3"),
      request("WATCH", "a"),
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 20 }), async (pieces) => {
      const w = await Wire.connect(s.port);
      for (const p of pieces) w.raw(Buffer.from(p, "latin1"));
      expect(await other.do("PING")).toBe("+PONG");
      w.close();
    }),
    { numRuns: 150 },
  );
  await until("all gone", () => s.service.dispatcher.clients.size === 1);
  expect(s.service.watching.count).toBe(0);
  expect(s.service.pubsub.channels.names.size).toBe(0);
});

test("a value of many megabytes arrives whole, through a reader that is slow", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  const value = Buffer.alloc(24 << 20, "0123456789");
  expect(await w.do("SET", "big", value)).toBe("+OK");
  expect((s.dbs[0].get("big") as Buffer).equals(value)).toBe(true);
  let bytes = 0;
  const slow = await Bun.connect({
    hostname: "127.0.0.1",
    port: s.port,
    socket: { data: (_s, b) => void (bytes += b.length), error() {} },
  });
  slow.pause();
  slow.write(Buffer.from("GET big\r\n"));
  const reader = (): boolean => [...s.service.dispatcher.clients.values()].some((c) => c.out.pendingBytes() > 1 << 20);
  await until("output to wait", reader);
  expect(await w.do("PING")).toBe("+PONG");
  slow.resume();
  await until("everything", () => bytes === value.length + "$25165824\r\n\r\n".length);
  slow.end();
});

test("connections come and go by the hundred; nothing is left of them", async () => {
  await using s = SmallServer.start();
  for (let round = 0; round < 3; round++) {
    const wires = await Promise.all(Array.from({ length: 100 }, () => Wire.connect(s.port)));
    await Promise.all(wires.map((w, i) => w.do("SUBSCRIBE", `c${i % 7}`)));
    await Promise.all(wires.map((w, i) => (i % 2 === 0 ? w.do("PSUBSCRIBE", "c*") : w.do("PING"))));
    for (const w of wires) w.close();
  }
  await until("all gone", () => s.service.dispatcher.clients.size === 0);
  expect(s.service.pubsub.channels.names.size + s.service.pubsub.patterns.names.size).toBe(0);
  expect(s.service.registry.totalConnections).toBe(300);
});

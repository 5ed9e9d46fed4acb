/** Transactions and WATCH through real sockets: what spoils them, what EXEC answers, what goes to replicas as one unit. */
import { expect, test } from "bun:test";
import { GATE_READONLY } from "../../../lib/clients/command.ts";
import { until } from "../../support/programs.ts";
import { SmallServer } from "./small_mode.ts";

test("MULTI, EXEC, DISCARD and their errors", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  expect(await w.do("EXEC")).toBe("-ERR EXEC without MULTI");
  expect(await w.do("DISCARD")).toBe("-ERR DISCARD without MULTI");
  expect(await w.do("MULTI")).toBe("+OK");
  expect(await w.do("MULTI")).toBe("-ERR MULTI calls can not be nested");
  expect(await w.do("WATCH", "a")).toBe("-ERR WATCH inside MULTI is not allowed");
  expect(await w.do("SET", "a", 1)).toBe("+QUEUED");
  expect(await w.do("GET", "a")).toBe("+QUEUED");
  expect(await w.do("RPUSH", "a", "x")).toBe("+QUEUED");
  expect(JSON.parse(await (await s.connect()).do("CLIENT", "LIST"))).toContain("flags=x db=0 sub=0 psub=0 ssub=0 multi=3");
  expect(await w.do("DISCARD")).toBe("+OK");
  expect(await w.do("GET", "a")).toBe("nil");
  await w.do("MULTI");
  expect(await w.do("EXEC")).toBe("[]");
  expect(s.stream).toEqual([]);
});

test("a refused command spoils the transaction, a failing one does not", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  await w.do("MULTI");
  expect(await w.do("NOSUCH")).toContain("-ERR unknown command");
  expect(await w.do("SET", "a", 1)).toBe("+QUEUED");
  expect(await w.do("EXEC")).toBe("-EXECABORT Transaction discarded because of previous errors.");
  await w.do("MULTI");
  expect(await w.do("GET")).toBe("-ERR wrong number of arguments for 'get' command");
  expect(await w.do("EXEC")).toBe("-EXECABORT Transaction discarded because of previous errors.");
  await w.do("RPUSH", "l", "x");
  await w.do("MULTI");
  await w.do("GET", "l");
  await w.do("SET", "a", 1);
  expect(await w.do("EXEC")).toBe("[-WRONGTYPE Operation against a key holding the wrong kind of value, +OK]");
  const get = s.service.dispatcher.table.named("get")!;
  const exec = s.service.dispatcher.table.named("exec")!;
  expect([get.failed, get.rejected, exec.failed]).toEqual([1, 1, 2]);
  expect(Object.fromEntries(s.service.errors.counts)).toEqual({ ERR: 2, EXECABORT: 2, WRONGTYPE: 1 });
});

test("EXEC refused by a gate ends the transaction with the reason", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  await w.do("MULTI");
  await w.do("SET", "a", 1);
  s.service.dispatcher.gates |= GATE_READONLY;
  expect(await w.do("EXEC")).toBe("-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.");
  expect(await w.do("EXEC")).toBe("-ERR EXEC without MULTI");
  await w.do("MULTI");
  expect(await w.do("SET", "a", 1)).toBe("-READONLY You can't write against a read only replica.");
  expect(await w.do("EXEC")).toBe("-EXECABORT Transaction discarded because of previous errors.");
  await w.do("MULTI");
  await w.do("GET", "a");
  expect(await w.do("EXEC")).toBe("[nil]");
});

test("WATCH: another's write spoils, one's own before MULTI too; UNWATCH and databases", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  const o = await s.connect();
  const run = async (): Promise<string> => {
    await w.do("MULTI");
    await w.do("GET", "a");
    return w.do("EXEC");
  };
  await w.do("WATCH", "a", "b", "a");
  await o.do("SET", "b", 1);
  expect(await run()).toBe("nilarray");
  expect(await run()).toBe("[nil]");
  await w.do("WATCH", "a");
  await w.do("SET", "a", 1);
  expect(await run()).toBe("nilarray");
  await w.do("WATCH", "a");
  await o.do("SET", "a", 1);
  await w.do("UNWATCH");
  expect(await run()).toBe('["1"]');
  await w.do("WATCH", "a");
  await o.do("SELECT", 1);
  await o.do("SET", "a", 1);
  expect(await run()).toBe('["1"]');
  await w.do("WATCH", "a");
  o.send("SELECT", 0);
  o.send("DEL", "a");
  expect(await o.next()).toBe("+OK");
  expect(await o.next()).toBe("(1)");
  expect(await run()).toBe("nilarray");
  expect(s.service.watching.count).toBe(0);
  // RESP3 has one nil.
  await w.do("HELLO", 3);
  await w.do("WATCH", "a");
  await o.do("SET", "a", 1);
  expect(await run()).toBe("nil3");
});

test("WATCH and time: expired meanwhile spoils, expired before does not", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  await w.do("SET", "a", 1);
  await w.do("WATCH", "a");
  s.expire("a");
  await w.do("MULTI");
  await w.do("PING");
  expect(await w.do("EXEC")).toBe("nilarray");
  await w.do("WATCH", "a");
  // Its deletion is no change to one who had found it expired.
  s.dbs[0].delete("a");
  s.service.watching.touchKey(0, "a");
  await w.do("MULTI");
  await w.do("PING");
  expect(s.service.watching.count).toBe(1);
});

test("FLUSH and SWAPDB touch the watched keys that exist", async () => {
  await using s = SmallServer.start();
  const a = await s.connect();
  const b = await s.connect();
  await a.do("SET", "here", 1);
  await a.do("WATCH", "here");
  await b.do("WATCH", "gone");
  s.service.flushing(0);
  for (const [w, want] of [
    [a, "nilarray"],
    [b, "[]"],
  ] as const) {
    await w.do("MULTI");
    expect(await w.do("EXEC")).toBe(want);
  }
  await b.do("WATCH", "here2");
  s.dbs[1].set("here2", Buffer.from("x"));
  [s.dbs[0], s.dbs[1]] = [s.dbs[1], s.dbs[0]];
  s.service.swapped(0, 1);
  await b.do("MULTI");
  expect(await b.do("EXEC")).toBe("nilarray");
});

test("a closed connection watches nothing", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  await w.do("WATCH", "a", "b");
  expect(s.service.watching.count).toBe(2);
  w.close();
  await until("forgotten", () => s.service.watching.count === 0);
});

test("EXEC is one unit for replicas; blocking commands do not block in it", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  await w.do("MULTI");
  await w.do("SET", "a", 1);
  await w.do("BLPOP", "none", 0);
  await w.do("SET", "b", 2);
  expect(await w.do("EXEC")).toBe("[+OK, nilarray, +OK]");
  expect(s.stream).toEqual(["MULTI", "SET a 1", "SET b 2", "EXEC"]);
  expect(await w.do("SET", "c", 3)).toBe("+OK");
  expect(s.stream.at(-1)).toBe("SET c 3");
});

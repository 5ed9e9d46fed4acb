/**
 * A planned demotion, as Sentinel does it: writes wait in a pause, the master becomes a replica, the pause ends, its clients are killed. Who
 * waited is told first that nothing was executed; the original is asked for the same. Ours says so even when the order to kill comes in one
 * piece with the end of the pause; the original has killed them by then.
 */
import { expect, test } from "bun:test";
import { startServer, until, type Kind } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

const CLIENTS = 4;
const REQUESTS = 250;
const ROUNDS = 3;

test.each<Kind>(["redis", "redisha"])("held writes are answered before a demoted %s kills its clients", async (kind) => {
  await using master = await startServer(kind);
  await using other = await startServer(kind);
  for (let round = 0; round < ROUNDS; round++) {
    const order = await Wire.connect(master.port);
    expect(await order.do("CLIENT", "PAUSE", "60000", "WRITE")).toBe("+OK");
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => Wire.connect(master.port)));
    for (const c of clients) for (let i = 0; i < REQUESTS; i++) c.send("SET", `key:${i}`, "value");
    await until("writes that wait", async () => (await master.info("clients"))["blocked_clients"] === String(CLIENTS));
    order.send("REPLICAOF", "127.0.0.1", other.port);
    order.send("CLIENT", "UNPAUSE");
    if (kind === "redis") expect([await order.next(), await order.next()]).toEqual(["+OK", "+OK"]);
    order.send("CLIENT", "KILL", "TYPE", "normal");
    if (kind === "redisha") expect([await order.next(), await order.next()]).toEqual(["+OK", "+OK"]);
    expect(await order.next()).toBe(`(${CLIENTS})`);
    for (const c of clients) {
      for (let i = 0; i < REQUESTS; i++)
        expect([round, i, await c.next()]).toEqual([round, i, "-READONLY You can't write against a read only replica."]);
      expect(await c.next()).toBe("closed");
    }
    expect(await order.do("REPLICAOF", "NO", "ONE")).toBe("+OK");
    order.close();
  }
  expect(await master.cli("dbsize")).toBe("0");
});

/**
 * Mode redis through failovers: writers of every kind, transactions, blocked clients and subscribers through one proxy, or two at once, in
 * front of real and of our own sets. FAILOVERS=100 for a long run; a few by default. `bench histories` counts what this asserts.
 */
import { expect, test } from "bun:test";
import { PipelineWriter, Popper, Subscriber, TransactionWriter, type Actor } from "../support/history.ts";
import { failover, redisConfig, WAYS } from "../support/failovers.ts";
import { hasRedis, until, type Kind } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { Fleet } from "../support/sentinel_fleet.ts";
import { Wire } from "../support/wire.ts";

/** Each failover costs the original Sentinels 18 s until the old master is a replica again: one of theirs by default, of ours three. */
const failovers = (kind: Kind): number => Number(process.env["FAILOVERS"] ?? (kind === "redis" ? 1 : 3));
const WRITERS = Number(process.env["WRITERS"] ?? 12);

for (const kind of ["redis", "redisha"] as Kind[]) {
  const count = failovers(kind);
  test.skipIf(!hasRedis)(
    `${kind === "redis" ? "the originals" : "ours throughout"}: ${count} failovers, every history holds`,
    async () => {
      await using fleet = await Fleet.start({ replicas: 2, sentinels: [kind, kind, kind], server: kind });
      await using first = await startProxy("redisha", redisConfig(fleet));
      await using second = await startProxy("redisha", redisConfig(fleet));
      const actors: Actor[] = [new Popper("p0"), new Popper("p1"), new TransactionWriter("t0"), new TransactionWriter("t1")];
      for (let i = 0; i < WRITERS; i++) actors.push(new PipelineWriter(`w${i}`));
      const runs = actors.map((a, i) => a.run((i % 3 === 2 ? second : first).port));
      const subscriber = new Subscriber("news");
      await subscriber.start(first.port);
      await until("everybody to get on", () => actors.every((a) => a.done > 5), 30_000);
      let master = fleet.master;
      for (let n = 0; n < count; n++) {
        const how = WAYS[n % WAYS.length]!;
        if (how !== "planned") for (const a of actors) if (a instanceof Popper) a.crashes++;
        const unknowns = actors.map((a) => a.unknowns);
        master = await failover(fleet, master, how);
        const before = actors.map((a) => a.done);
        await until(`everybody to get on after ${how}`, () => actors.every((a, i) => a.cut || a.done > before[i]! + 5), 60_000);
        await subscriber.check(master.port, `after ${n}`);
        // Ours holds the old master's writes until it is a replica and says so of each: nobody is left in doubt.
        if (how === "planned" && kind === "redisha")
          expect(actors.map((a, i) => [a.name, a.unknowns - unknowns[i]!])).toEqual(actors.map((a) => [a.name, 0]));
      }
      for (const a of actors) a.stop = true;
      await Promise.all(runs);
      for (const a of actors) await a.check(master.port);
      subscriber.close();
    },
    120_000 + count * 60_000,
  );
}

test.skipIf(!hasRedis)("no master for too long: what waits is answered, connections stay and go on", async () => {
  await using fleet = await Fleet.start({ replicas: 1, sentinels: ["redis"], quorum: 1, downAfterMs: 60_000 });
  await using proxy = await startProxy("redisha", redisConfig(fleet, "redis-hold 700ms\n"));
  const a = await Wire.connect(proxy.port);
  const b = await Wire.connect(proxy.port);
  expect(await a.do("SET", "k", "1")).toBe("+OK");
  expect(await b.do("MULTI")).toBe("+OK");
  await fleet.master.stop("SIGKILL");
  a.send("SET", "k", "2");
  a.send("GET", "k");
  const answers = [await a.next(), await a.next()];
  expect(answers[0]).toMatch(/^-(UNAVAILABLE|UNKNOWNRESULT)/);
  expect(answers[1]).toStartWith("-UNAVAILABLE");
  fleet.master.start();
  await fleet.master.ready();
  await until("the master to be served again", async () => (await a.do("SET", "k", "3")) === "+OK");
  a.close();
  b.close();
});

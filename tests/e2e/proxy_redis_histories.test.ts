/**
 * Mode redis, where the failover itself goes wrong or the network does: the leader dies right after the promotion, a proxy dies, the master's
 * host is cut off with all its packets. Every client's history holds: nothing twice, nothing that nobody sent, nothing acknowledged is gone.
 */
import { expect, test } from "bun:test";
import { redisConfig } from "../support/failovers.ts";
import { PipelineWriter, TransactionWriter, type Actor } from "../support/history.ts";
import { canNest } from "../support/net_hosts.ts";
import { until } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { Fleet } from "../support/sentinel_fleet.ts";
import { HostFleet } from "../support/sentinel_hosts.ts";

/** No error while nobody leads. */
const HOLD = "redis-hold 60s\n";

function writers(name: string, count: number): Actor[] {
  return [new TransactionWriter(`t${name}`), ...Array.from({ length: count }, (_, i) => new PipelineWriter(`w${name}${i}`))];
}
async function getOn(what: string, actors: Actor[]): Promise<void> {
  const before = actors.map((a) => a.done);
  await until(`everybody to get on ${what}`, () => actors.every((a, i) => a.cut || a.done > before[i]! + 5), 60_000);
}
async function finish(actors: Actor[], runs: Promise<void>[]): Promise<void> {
  for (const a of actors) a.stop = true;
  await Promise.all(runs);
}

test("the leader dies between the promotion and the epoch that it is for", async () => {
  await using fleet = await Fleet.start({
    replicas: 2,
    sentinels: ["redisha", "redisha", "redisha"],
    server: "redisha",
    failoverTimeoutMs: 2000,
  });
  await using proxy = await startProxy("redisha", redisConfig(fleet, HOLD));
  const actors = writers("", 8);
  const runs = actors.map((a) => a.run(proxy.port));
  await getOn("at first", actors);
  for (const s of fleet.sentinels) expect(await s.cli("sentinel", "simulate-failure", "crash-after-promotion")).toBe("OK");
  const old = fleet.master;
  await old.stop("SIGKILL");
  // Whoever leads next may die as well; once started again it does not.
  let died = 0;
  const port = await until(
    "a master that all name",
    async () => {
      for (const s of fleet.sentinels)
        if (s.process!.exitCode !== null) {
          died++;
          s.start();
          await s.ready();
        }
      const at = await fleet.agreed();
      return died > 0 && at !== "" && at !== String(old.port) && at;
    },
    60_000,
  );
  await getOn("with all Sentinels", actors);
  await finish(actors, runs);
  for (const a of actors) await a.check(Number(port));
}, 120_000);

test("one of two proxies dies and comes back, and a failover is ordered meanwhile", async () => {
  await using fleet = await Fleet.start({ replicas: 2, sentinels: ["redisha", "redisha", "redisha"], server: "redisha" });
  await using first = await startProxy("redisha", redisConfig(fleet, HOLD));
  await using second = await startProxy("redisha", redisConfig(fleet, HOLD));
  const stay = writers("a", 5);
  const come = writers("b", 5);
  for (const a of come) a.reconnects = true;
  const actors = [...stay, ...come];
  const runs = [...stay.map((a) => a.run(first.port)), ...come.map((a) => a.run(second.port))];
  await getOn("at first", actors);
  const old = fleet.master;
  await second.stop("SIGKILL");
  await until("the order to be taken", async () => (await fleet.sentinels[0]!.cli("sentinel", "failover", "m")) === "OK");
  const master = await fleet.switched(old);
  await getOn("through the first", stay);
  second.start();
  await getOn("through both", actors);
  await finish(actors, runs);
  for (const a of stay) await a.check(master.port);
  expect(come.every((a) => a.cuts > 0)).toBe(true);
  for (const a of come)
    expect([a.name, a.errors, await a.findings(master.port)]).toEqual([a.name, [], { lost: [], doubled: [], wrong: [] }]);
}, 120_000);

test.skipIf(!canNest)(
  "the master's host is cut off, packets and all, and comes back",
  async () => {
    await using fleet = await HostFleet.start(["redisha", "redisha", "redisha"], 1000);
    const { net } = fleet;
    const sentinels = fleet.sentinels.map((s) => `${s.ip}:${s.port}`).join(" ");
    const port = await net.startProxy(
      "defaults\nmode redis\ntimeout connect 1s\ntimeout server 60s\ntimeout client 60s\n" +
        `listen redis\nbind unix@{socket}\n${HOLD}sentinel m ${sentinels}\n`,
    );
    const actors = writers("", 8);
    const runs = actors.map((a) => a.run(port));
    await getOn("at first", actors);
    for (let round = 0; round < 2; round++) {
      const old = await fleet.master();
      const host = fleet.servers.indexOf(old) + 1;
      net.cut(host);
      await getOn("without the old master", actors);
      net.heal(host);
      const next = await fleet.master();
      expect(next).not.toBe(old);
      await fleet.follows(old, next);
      await fleet.isWhole();
      await getOn("with all hosts", actors);
    }
    await finish(actors, runs);
    for (const a of actors) await a.check(port);
  },
  180_000,
);

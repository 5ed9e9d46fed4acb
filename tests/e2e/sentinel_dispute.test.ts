/**
 * Two masters in one epoch: an operator's FAILOVER at a Sentinel that is cut off takes an epoch without a majority, and the others elect a
 * leader in the same one. When the network is back the majority's master stays, also where the one aside is a real redis-sentinel.
 */
import { expect, test } from "bun:test";
import { hasRedis, until, type Kind } from "../support/programs.ts";
import { canNest } from "../support/net_hosts.ts";
import { HostFleet } from "../support/sentinel_hosts.ts";
import { pairs } from "../support/whole_set.ts";

for (const aside of ["redisha", "redis"] as Kind[])
  test.skipIf(!hasRedis || !canNest)(
    `FAILOVER at a ${aside} Sentinel that is cut off`,
    async () => {
      await using fleet = await HostFleet.start(["redisha", "redisha", aside], 1000, 3000);
      const { net, servers, sentinels } = fleet;
      net.cut(3);
      // Its own server is the only replica that it can promote, and must look well to it; the other must have been missed.
      await until("the silence to be noticed", () => sentinels[2].output.includes(`+sdown slave ${servers[1].ip}:6379`), 20_000);
      await until("the order to be taken", async () => (await net.cliOn(sentinels[2], "sentinel", "failover", "m")) === "OK", 20_000);
      const role = async (): Promise<string> => (await net.cliOn(servers[2], "role")).split("\n")[0];
      await until("a master aside", async () => (await role()) === "master", 20_000);
      await servers[0].stop("SIGKILL");
      await until("a master of the majority", async () => (await fleet.named(sentinels.slice(0, 2))) === servers[1].ip, 30_000);
      const epochs = async (): Promise<string[]> => {
        const all: string[] = [];
        for (const s of sentinels) all.push(pairs(await net.cliOn(s, "sentinel", "master", "m"))["config-epoch"]);
        return all;
      };
      await until("one epoch with two masters", async () => new Set(await epochs()).size === 1, 20_000);
      expect(await net.cliOn(sentinels[2], "sentinel", "get-master-addr-by-name", "m")).toContain(servers[2].ip);
      net.heal(3);
      servers[0].start();
      await until("one master for all", async () => (await fleet.named(sentinels)) === servers[1].ip, 60_000);
      for (const s of [servers[0], servers[2]]) await fleet.follows(s, servers[1]);
      expect(new Set(await epochs()).size).toBe(1);
      expect((await servers[1].info("replication"))["role"]).toBe("master");
      // Nobody has made it a replica in between.
      expect(sentinels.map((s) => s.output).join("")).not.toContain(`+convert-to-slave slave ${servers[1].ip}:6379`);
    },
    180_000,
  );

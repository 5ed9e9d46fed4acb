/**
 * docs/migrate.md, done under load: a set of Debian's redis-server, redis-sentinel and haproxy becomes redisha part by part, and Debian's
 * again. Two clients write all the time; no acknowledged write may be missing afterwards, and no step may cut a client's connection while
 * our proxy stands in front. The counts are printed.
 */
import { expect, test } from "bun:test";
import { cli, hasHaproxy, hasRedis, originals, redisha, until, type Program } from "../support/programs.ts";
import { WholeSet, Writer } from "../support/whole_set.ts";

async function missing(master: Program, writer: Writer): Promise<number> {
  let gone = 0;
  for (let i = 0; i < writer.acknowledged.length; i += 200) {
    const keys = writer.acknowledged.slice(i, i + 200).map((a) => a.key);
    gone += keys.length - Number(await cli(master.port, "exists", ...keys));
  }
  return gone;
}

test.skipIf(!hasRedis || !hasHaproxy)(
  "Debian's programs, ours, Debian's again: nothing acknowledged is lost",
  async () => {
    await using set = await WholeSet.start(
      { servers: ["redis", "redis"], sentinels: ["redis", "redis", "redis"], proxy: "haproxy" },
      // The machine may be busy: nobody shall be called down for that. A stop saves, so that each program reads the other's snapshot.
      { downAfterMs: 10_000, failoverTimeoutMs: 20_000, conf: { save: "3600 1" } },
    );
    const writers = [new Writer(set.proxy.port, { perConnection: 50 }), new Writer(set.proxy.port, { perConnection: 50 })];
    const report: string[] = [];
    const acknowledged = (): number => writers.reduce((n, w) => n + w.acknowledged.length, 0);
    const cuts = (): number => writers.reduce((n, w) => n + w.cut, 0);
    const step = async (name: string, work: () => Promise<unknown>): Promise<void> => {
      const [a, c, t] = [acknowledged(), cuts(), performance.now()];
      await work();
      for (const w of writers) await w.more(10);
      report.push(
        `${name.padEnd(44)} ${acknowledged() - a} writes acknowledged, ${cuts() - c} connections cut, ${Math.round(performance.now() - t)} ms`,
      );
    };
    const replaceReplica = async (index: number, program: string): Promise<void> => {
      const [replica, master] = [set.servers[index], set.servers[1 - index]];
      expect(await replica.stop("SIGTERM")).toBe(0);
      await set.follows(await set.exchange(set.servers, index, program), master);
      await set.isWhole();
    };
    const replaceSentinels = async (program: string): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        await set.sentinels[i].stop("SIGTERM");
        await set.exchange(set.sentinels, i, program);
        await set.isWhole();
      }
    };
    const failover = async (from: number): Promise<void> => {
      const [old, next] = [set.servers[from], set.servers[1 - from]];
      expect(await set.sentinels[0].cli("sentinel", "failover", "m")).toBe("OK");
      expect((await set.switchedFrom(old)).port).toBe(next.port);
      await set.follows(old, next);
      await set.isWhole();
    };
    await set.tell(
      () => writers[0],
      async () => {
        await step("proxy: haproxy -> redisha", () => set.exchangeProxy([redisha, "--proxy"]));
        const cutBefore = cuts();
        await step("replica: redis-server -> redisha", () => replaceReplica(1, redisha));
        await step("Sentinels: redis-sentinel -> redisha", () => replaceSentinels(redisha));
        await step("failover to the redisha server", () => failover(0));
        await step("the other server: redis-server -> redisha", () => replaceReplica(0, redisha));
        // All of it is redisha now; and back.
        await step("replica: redisha -> redis-server", () => replaceReplica(0, originals.server));
        await step("failover to redis-server", () => failover(1));
        await step("the other server: redisha -> redis-server", () => replaceReplica(1, originals.server));
        const cutBehindOurs = cuts() - cutBefore;
        await step("Sentinels: redisha -> redis-sentinel", () => replaceSentinels(originals.server));
        await step("proxy: redisha -> haproxy", () => set.exchangeProxy([originals.haproxy]));
        await until("the originals to serve", async () => (await set.portThroughProxy()) === set.servers[0].port);
        for (const w of writers) await w.stop();
        const lost = (await missing(set.servers[0], writers[0])) + (await missing(set.servers[0], writers[1]));
        console.log(report.join("\n"));
        console.log(`in all: ${acknowledged()} writes acknowledged, ${lost} lost, ${cutBehindOurs} connections cut behind redisha's proxy`);
        expect({ lost, cutBehindOurs }).toEqual({ lost: 0, cutBehindOurs: 0 });
      },
    );
  },
  400_000,
);

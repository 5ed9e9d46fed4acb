/**
 * A failover that the proxy begins itself, in front of the originals: clients are held until nothing is under way and a replica has everything,
 * so nobody gets an error and nothing that was acknowledged is lost. The proxy runs in this process.
 */
import { expect, test } from "bun:test";
import { readConfig } from "../../lib/config/haproxy_read.ts";
import { createDiagnostics } from "../../lib/log/haproxy_line.ts";
import { startProxy } from "../../lib/proxy/main.ts";
import { plannedFailover } from "../../lib/proxy/planned.ts";
import type { Board } from "../../lib/proxy/redis/board.ts";
import { bigText, commandsText, heldText, hotKeysText, metricsText, pinnedText, slowText } from "../../lib/proxy/redis/report.ts";
import { PipelineWriter, Popper, Subscriber, TransactionWriter, type Actor } from "../support/history.ts";
import { freePort, hasRedis, until } from "../support/programs.ts";
import { Fleet } from "../support/sentinel_fleet.ts";

test.skipIf(!hasRedis)(
  "planned, with real Sentinels and servers: no error, nothing lost, and the figures tell of it",
  async () => {
    await using fleet = await Fleet.start({ replicas: 2, sentinels: ["redis", "redis", "redis"] });
    const port = freePort();
    const text = `defaults\nmode redis\ntimeout connect 3s\ntimeout server 60s\ntimeout client 60s\nlisten redis\nbind 127.0.0.1:${port}\nsentinel m ${fleet.sentinels.map((s) => `127.0.0.1:${s.port}`).join(" ")}\n`;
    const { config, findings } = readConfig([{ name: "test", text }]);
    expect(findings).toEqual([]);
    const proxy = startProxy(
      config,
      createDiagnostics(process.pid, [], () => {}),
    )!;
    try {
      const fencing = proxy.fencings[0]!;
      const board = proxy.engine.backends.get("redis")!.board as Board;
      await until("a master", () => fencing.backend.chosen !== null);
      const actors: Actor[] = [new Popper("p"), new TransactionWriter("t"), ...[0, 1, 2, 3, 4, 5].map((i) => new PipelineWriter(`w${i}`))];
      const runs = actors.map((a) => a.run(port));
      const subscriber = new Subscriber("news");
      await subscriber.start(port);
      await until("everybody to get on", () => actors.every((a) => a.done > 10), 30_000);
      const old = fencing.backend.chosen!.name;
      // A Sentinel may still be busy with its start; it says so.
      await until("the failover", async () => (await plannedFailover(fencing)).endsWith("is the master now"), 60_000);
      expect(fencing.backend.chosen!.name).not.toBe(old);
      const before = actors.map((a) => a.done);
      await until("everybody to get on afterwards", () => actors.every((a, i) => a.cut || a.done > before[i]! + 10), 30_000);
      const master = fleet.servers.find((s) => s.port === fencing.backend.chosen!.config.port)!;
      await subscriber.check(master.port, "there");
      for (const a of actors) a.stop = true;
      await Promise.all(runs);
      for (const a of actors) {
        await a.check(master.port);
        expect([a.name, a.unknowns]).toEqual([a.name, 0]);
      }
      expect(commandsText(board)).toMatch(/^incr \d+ 0 \d+ [\d.]+ [\d.]+ [\d.]+ [\d.]+$/m);
      expect(heldText(board)).toMatch(/unknown_total 0\nunavailable_total 0\n/);
      expect(heldText(board)).toMatch(/lost_bytes_total 0\n/);
      expect(hotKeysText(board)).toMatch(/^".+" \d+ 0\.\d+$/m);
      expect(pinnedText(board)).toContain(" sub=1 ");
      expect(metricsText([board])).toMatch(/redisha_redis_seconds\{proxy="redis",command="incr",quantile="0.99"\} [\d.e-]+\n/);
      expect([slowText(board), bigText(board)].every((t) => t.startsWith("# redis"))).toBe(true);
      subscriber.close();
    } finally {
      proxy.stop();
    }
  },
  120_000,
);

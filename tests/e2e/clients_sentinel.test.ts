/**
 * Both clients' Sentinel modes against servers and Sentinels of ours: they find the master, read from a replica, and go on by themselves
 * after the master has been killed, and after a failover that was asked for.
 */
import { expect, test } from "bun:test";
import { createSentinel } from "@redis/client";
import { Redis } from "ioredis";
import { until, type Program } from "../support/programs.ts";
import { Fleet } from "../support/sentinel_fleet.ts";

const set = (): Promise<Fleet> =>
  Fleet.start({ server: "redisha", sentinels: ["redisha", "redisha", "redisha"], replicas: 2, downAfterMs: 500, failoverTimeoutMs: 4000 });

/** Writes n = 1, 2, 3 ... until it is told to stop; errors while nobody is master are the client's to overcome. */
class Writer {
  done: number;
  private on: boolean;
  private readonly ended: Promise<void>;

  constructor(write: (n: number) => Promise<unknown>) {
    this.done = 0;
    this.on = true;
    this.ended = this.run(write);
  }
  private async run(write: (n: number) => Promise<unknown>): Promise<void> {
    for (let n = 1; this.on; n++) {
      await write(n).then(
        () => (this.done = n),
        () => undefined,
      );
      await Bun.sleep(5);
    }
  }
  async goesOn(): Promise<void> {
    const from = this.done;
    await until("more writes", () => this.done > from + 5, 20000);
  }
  async stop(): Promise<void> {
    this.on = false;
    await this.ended;
  }
}

/** What the client does and what the set holds must be the same after `change` has made another server the master. */
async function survives(fleet: Fleet, writer: Writer, change: (old: Program) => Promise<unknown>): Promise<void> {
  await writer.goesOn();
  const old = await current(fleet);
  await change(old);
  const master = await fleet.switched(old);
  await writer.goesOn();
  await until("the last write on the new master", async () => Number(await master.cli("get", "n")) >= writer.done - 1);
}

async function current(fleet: Fleet): Promise<Program> {
  const port = Number(await until("one master", () => fleet.agreed()));
  return fleet.servers.find((s) => s.port === port)!;
}

/**
 * Asks for a failover until that Sentinel names another master: right after a kill the replica that is left may still be on its way to the
 * history of the new master, and an attempt without a good one is given up.
 */
async function planned(sentinel: Program, old: Program): Promise<void> {
  await until(
    "the planned failover",
    async () => {
      if ((await sentinel.cli("sentinel", "get-master-addr-by-name", "m")).split("\n")[1] !== String(old.port)) return true;
      await sentinel.cli("sentinel", "failover", "m");
      return false;
    },
    60_000,
  );
}

const killed = (old: Program): Promise<unknown> => old.stop("SIGKILL");

test("@redis/client's Sentinel client", async () => {
  await using fleet = await set();
  const client = createSentinel({
    name: "m",
    sentinelRootNodes: fleet.sentinels.map((s) => ({ host: "127.0.0.1", port: s.port })),
    replicaPoolSize: 1,
    scanInterval: 100,
    maxCommandRediscovers: 1000,
  });
  client.on("error", () => undefined);
  await client.connect();
  const writer = new Writer((n) => client.set("n", n));
  try {
    await writer.goesOn();
    // Reads go to replicas, of which it knows both.
    await until("a replica to hold it", async () => Number(await client.get("n")) > 0);
    await survives(fleet, writer, killed);
    await survives(fleet, writer, (old) => planned(fleet.sentinels[1], old));
    expect(await client.multi().set("n", 0).incr("n").exec()).toEqual(["OK", 1] as never);
  } finally {
    await writer.stop();
    client.destroy();
  }
}, 120_000);

// Without its failoverDetector: when +switch-master comes while ioredis 6.0.0 is connecting, it ends for good, whoever the Sentinel is.
test("ioredis' Sentinel mode", async () => {
  await using fleet = await set();
  const options = {
    name: "m",
    sentinels: fleet.sentinels.map((s) => ({ host: "127.0.0.1", port: s.port })),
    retryStrategy: () => 50,
    sentinelRetryStrategy: () => 50,
    maxRetriesPerRequest: null,
  };
  const client = new Redis(options);
  const reader = new Redis({ ...options, role: "slave" });
  for (const c of [client, reader]) c.on("error", () => undefined);
  const writer = new Writer((n) => client.set("n", n));
  try {
    await writer.goesOn();
    expect((await client.role())[0]).toBe("master");
    expect((await reader.role())[0]).toBe("slave");
    await until("the replica to hold it", async () => Number(await reader.get("n")) > 0);
    await survives(fleet, writer, killed);
    await survives(fleet, writer, (old) => planned(fleet.sentinels[2], old));
    expect((await client.role())[0]).toBe("master");
  } finally {
    await writer.stop();
    client.disconnect();
    reader.disconnect();
  }
}, 120_000);

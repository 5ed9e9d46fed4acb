/** Mode redis in front of a real Redis Cluster: three masters, three replicas, one master killed under load. */
import { expect, test } from "bun:test";
import { PipelineWriter, Popper, TransactionWriter, type Actor } from "../support/history.ts";
import { freePort, hasRedis, originals, startServer, until, type Program } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { Wire } from "../support/wire.ts";

class RedisCluster implements AsyncDisposable {
  readonly nodes: Program[] = [];
  static async start(): Promise<RedisCluster> {
    const cluster = new RedisCluster();
    try {
      for (let i = 0; i < 6; i++)
        // The bus has the port + 10000, which must be free too.
        cluster.nodes.push(
          await startServer(
            "redis",
            { "cluster-enabled": "yes", "cluster-node-timeout": 2000, "cluster-require-full-coverage": "no" },
            { port: freePort(10_000) },
          ),
        );
      const addresses = cluster.nodes.map((n) => `127.0.0.1:${n.port}`);
      const made = Bun.spawnSync([originals.cli, "--cluster", "create", ...addresses, "--cluster-replicas", "1", "--cluster-yes"]);
      expect(made.stdout.toString()).toContain("All 16384 slots covered");
      for (const n of cluster.nodes)
        await until("the node to know the cluster", async () => (await n.cli("cluster", "info")).includes("cluster_state:ok"));
      for (const n of cluster.nodes)
        await until(
          "the replicas' links",
          async () => {
            const i = await n.info("replication");
            return i["role"] === "master" ? i["connected_slaves"] === "1" : i["master_link_status"] === "up";
          },
          30_000,
        );
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }
  async masters(): Promise<Program[]> {
    const list: Program[] = [];
    for (const n of this.nodes) if ((await n.info("replication"))["role"] === "master") list.push(n);
    return list;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const n of this.nodes) await n[Symbol.asyncDispose]();
  }
}

test.skipIf(!hasRedis)(
  "requests find their nodes, are split and joined; a killed master is replaced and no client notices more than the wait",
  async () => {
    await using cluster = await RedisCluster.start();
    await using proxy = await startProxy(
      "redisha",
      `defaults
mode redis
timeout connect 3s
timeout server 60s
timeout client 60s
listen redis
bind 127.0.0.1:{port}
redis-hold 30s
redis-cluster 127.0.0.1:${cluster.nodes[0]!.port} 127.0.0.1:${cluster.nodes[1]!.port}
`,
    );
    const a = await Wire.connect(proxy.port);
    const keys = Array.from({ length: 100 }, (_, i) => `k${i}`);
    expect(await a.do("MSET", ...keys.flatMap((k, i) => [k, i]))).toBe("+OK");
    expect(await a.do("MGET", ...keys, "none")).toBe(`[${keys.map((_, i) => `"${i}"`).join(", ")}, nil]`);
    // One after another without waiting: answers come in order over all nodes.
    for (const k of keys) a.send("INCR", k);
    for (const [i] of keys.entries()) expect(await a.next()).toBe(`(${i + 1})`);
    expect([await a.do("EXISTS", ...keys), await a.do("DBSIZE")]).toEqual(["(100)", "(100)"]);
    expect(await a.do("SUNION", "k1", "k2")).toBe("-CROSSSLOT Keys in request don't hash to the same slot");
    const seen = new Set<string>();
    for (let cursor = "0"; ;) {
      const m = /^\["(\d+)", \[(.*)\]\]$/.exec(await a.do("SCAN", cursor))!;
      for (const k of m[2]!.split(", ")) if (k !== "") seen.add(k);
      if ((cursor = m[1]!) === "0") break;
    }
    expect(seen.size).toBe(100);
    expect([await a.do("MULTI"), await a.do("SET", "{x}1", "1"), await a.do("INCR", "{x}1"), await a.do("EXEC")]).toEqual([
      "+OK", "+QUEUED", "+QUEUED", "[+OK, (2)]",
    ]); // prettier-ignore
    const b = await Wire.connect(proxy.port);
    expect(await b.do("SUBSCRIBE", "news")).toContain("subscribe");
    await until("the message's way over the bus", async () => (await a.do("PUBLISH", "news", "x")) !== "");
    expect(await b.next()).toBe('["message", "news", "x"]');
    // A slot that moves is followed.
    const masters = await cluster.masters();
    const slot = Number(await masters[0]!.cli("cluster", "keyslot", "{x}1"));
    const owner = (await Promise.all(masters.map(async (m) => [m, await m.cli("get", "{x}1")] as const))).find(([, v]) => v === "2")![0];
    const other = masters.find((m) => m !== owner)!;
    const ids = [await owner.cli("cluster", "myid"), await other.cli("cluster", "myid")];
    await other.cli("cluster", "setslot", String(slot), "importing", ids[0]!);
    await owner.cli("cluster", "setslot", String(slot), "migrating", ids[1]!);
    await owner.cli("migrate", "127.0.0.1", String(other.port), "{x}1", "0", "5000");
    expect(await a.do("GET", "{x}1")).toBe('"2"'); // ASK
    for (const m of [other, owner]) await m.cli("cluster", "setslot", String(slot), "node", ids[1]!);
    expect(await a.do("INCR", "{x}1")).toBe("(3)"); // MOVED

    const actors: Actor[] = [new TransactionWriter("t0"), new TransactionWriter("t1"), new Popper("p0")];
    for (let i = 0; i < 8; i++) actors.push(new PipelineWriter(`w${i}`));
    const runs = actors.map((x) => x.run(proxy.port));
    await until("everybody to get on", () => actors.every((x) => x.done > 5), 30_000);
    const victim = (await cluster.masters())[1]!;
    // What a kill takes along because its replica has not got it yet is Redis' own loss: no write is answered from here on, the rest is there.
    await victim.cli("client", "pause", "30000", "write");
    await until("its replica to have all", async () => {
      const i = await victim.info("replication");
      return i["slave0"]!.includes(`offset=${i["master_repl_offset"]},`);
    });
    for (const x of actors) if (x instanceof Popper) x.crashes++;
    await victim.stop("SIGKILL");
    await until(
      "its replica to be promoted",
      async () => {
        const up = cluster.nodes.filter((n) => n !== victim);
        const roles = await Promise.all(up.map(async (n) => (await n.info("replication"))["role"]));
        return roles.filter((r) => r === "master").length === 3;
      },
      60_000,
    );
    const before = actors.map((x) => x.done);
    await until("everybody to get on afterwards", () => actors.every((x, i) => x.cut || x.done > before[i]! + 5), 60_000);
    for (const x of actors) x.stop = true;
    await Promise.all(runs);
    for (const x of actors) await x.check(proxy.port);
    a.close();
    b.close();
  },
  240_000,
);

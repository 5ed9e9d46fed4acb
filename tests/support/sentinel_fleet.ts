/** A set for Sentinel's end-to-end tests: real redis-servers, Sentinels of either kind, all on free loopback ports. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startSentinel, startServer, until, type Kind, type Program } from "./programs.ts";

export interface FleetOptions {
  replicas?: number;
  sentinels: Kind[];
  quorum?: number;
  downAfterMs?: number;
  failoverTimeoutMs?: number;
  /** What stands in `sentinel monitor`. */
  host?: string;
  /** More lines for every Sentinel's file. */
  lines?: string[];
  /** Which servers; the original's unless said otherwise. */
  server?: Kind;
  /** Lines of the servers' files. */
  conf?: Record<string, string>;
}

export class Fleet {
  readonly servers: Program[];
  readonly sentinels: Program[];

  private constructor(servers: Program[], sentinels: Program[]) {
    this.servers = servers;
    this.sentinels = sentinels;
  }

  /** Starts everything and waits until every Sentinel knows all replicas and all other Sentinels. */
  static async start(options: FleetOptions): Promise<Fleet> {
    const {
      replicas = 1,
      sentinels,
      quorum = Math.floor(sentinels.length / 2) + 1,
      downAfterMs = 1000,
      failoverTimeoutMs = 6000,
    } = options;
    const fleet = new Fleet([], []);
    try {
      const master = await startServer(options.server ?? "redis", options.conf);
      fleet.servers.push(master);
      for (let i = 0; i < replicas; i++)
        fleet.servers.push(await startServer(options.server ?? "redis", { replicaof: `127.0.0.1 ${master.port}`, ...options.conf }));
      for (const r of fleet.servers.slice(1))
        await until("the replica's link", async () => (await r.info("replication"))["master_link_status"] === "up");
      const lines = [
        "# the set of this test",
        `sentinel monitor m ${options.host ?? "127.0.0.1"} ${master.port} ${quorum}`,
        `sentinel down-after-milliseconds m ${downAfterMs}`,
        "# a comment in the middle",
        `sentinel failover-timeout m ${failoverTimeoutMs}`,
        ...(options.lines ?? []),
      ];
      for (const kind of sentinels) fleet.sentinels.push(await startSentinel(kind, lines));
      for (const s of fleet.sentinels)
        await until("the Sentinels to know the set", async () => {
          const m = await master_(s);
          return m["num-slaves"] === String(replicas) && m["num-other-sentinels"] === String(sentinels.length - 1);
        });
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
    return fleet;
  }

  get master(): Program {
    return this.servers[0];
  }

  /** Port of the master that all Sentinels name, "" while they differ. */
  async agreed(): Promise<string> {
    const ports = new Set<string>();
    for (const s of this.sentinels) ports.add((await s.cli("sentinel", "get-master-addr-by-name", "m")).split("\n")[1] ?? "?");
    return ports.size === 1 ? [...ports][0] : "";
  }

  /** Waits until all Sentinels name another master than `old`, which says so itself; gives it. */
  async switched(old: Program): Promise<Program> {
    const port = await until("a new master", async () => {
      const p = await this.agreed();
      return p !== "" && p !== String(old.port) ? p : "";
    });
    const master = this.servers.find((s) => s.port === Number(port))!;
    await until("its role", async () => (await master.info("replication"))["role"] === "master");
    return master;
  }

  /** No failover under way, nobody down. */
  async quiet(): Promise<boolean> {
    for (const s of this.sentinels) {
      const all = (await s.cli("sentinel", "master", "m")) + (await s.cli("sentinel", "replicas", "m"));
      if (/s_down|o_down|failover_in_progress|disconnected/.test(all)) return false;
    }
    return true;
  }

  /** Real Sentinels take up to 18 s to demote a master that has come back. */
  async follows(server: Program, master: Program): Promise<void> {
    await until(
      `${server.port} to follow ${master.port}`,
      async () => {
        const i = await server.info("replication");
        return i["role"] === "slave" && i["master_port"] === String(master.port) && i["master_link_status"] === "up";
      },
      40_000,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const p of [...this.sentinels, ...this.servers]) await p[Symbol.asyncDispose]();
  }
}

/** SENTINEL MASTER m as an object. */
export async function master_(sentinel: Program): Promise<Record<string, string>> {
  const lines = (await sentinel.cli("sentinel", "master", "m")).split("\n");
  const o: Record<string, string> = {};
  for (let i = 0; i + 1 < lines.length; i += 2) o[lines[i]] = lines[i + 1];
  return o;
}

/** The names of the events in a Sentinel's log, in order. */
export function events(sentinel: Program): string[] {
  const names: string[] = [];
  for (const line of sentinel.output.split("\n")) {
    const found = /^\d+:X .{24} [.\-*#] ([+-][a-z-]+) /.exec(line);
    if (found !== null) names.push(found[1]);
  }
  return names;
}

export function fileOf(sentinel: Program): string {
  return readFileSync(join(sentinel.dir, `sentinel_${sentinel.port}.conf`), "latin1");
}

/** Three servers and some Sentinels, real or ours, on hosts of their own: see net_hosts.ts. */
import { until, type Kind } from "./programs.ts";
import { Hosts, type Guest } from "./net_hosts.ts";
import { pairs } from "./whole_set.ts";

export class HostFleet {
  readonly net: Hosts;
  readonly servers: Guest[];
  readonly sentinels: Guest[];

  private constructor(net: Hosts) {
    this.net = net;
    this.servers = [];
    this.sentinels = [];
  }

  /** Three servers on hosts 1 to 3; Sentinels on 1, 2, ...: the master's host has one too. */
  static async start(kinds: Kind[], downAfterMs: number, failoverTimeoutMs = 6000): Promise<HostFleet> {
    const fleet = new HostFleet(await Hosts.of(Math.max(3, kinds.length)));
    try {
      const { net } = fleet;
      for (let host = 1; host <= 3; host++)
        fleet.servers.push(
          await net.start(host, "redisha", "server", [
            'save ""',
            "repl-timeout 5",
            "repl-diskless-sync-delay 0",
            ...(host === 1 ? [] : [`replicaof ${net.ip(1)} 6379`]),
          ]),
        );
      for (const replica of fleet.servers.slice(1)) await fleet.follows(replica, fleet.servers[0]);
      for (const [i, kind] of kinds.entries())
        fleet.sentinels.push(
          await net.start(i + 1, kind, "sentinel", [
            `sentinel monitor m ${net.ip(1)} 6379 ${Math.floor(kinds.length / 2) + 1}`,
            `sentinel down-after-milliseconds m ${downAfterMs}`,
            `sentinel failover-timeout m ${failoverTimeoutMs}`,
          ]),
        );
      await fleet.isWhole();
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
    return fleet;
  }

  async follows(server: Guest, master: Guest): Promise<void> {
    await until(
      `${server.ip} to follow ${master.ip}`,
      async () => {
        const i = await server.info("replication");
        return i["role"] === "slave" && i["master_host"] === master.ip && i["master_link_status"] === "up";
      },
      60_000,
    );
  }

  /**
   * Every Sentinel sees all servers and all others up, and has heard of each replica that it is one: an original that was cut off just before
   * remembers the old master as a master, and at its return turns the new one into a replica at once.
   */
  async isWhole(): Promise<void> {
    for (const s of this.sentinels)
      await until(
        "the set to be whole",
        async () => {
          const m = pairs(await s.cli("sentinel", "master", "m"));
          if (m["flags"] !== "master" || m["num-slaves"] !== "2") return false;
          if (m["num-other-sentinels"] !== String(this.sentinels.length - 1)) return false;
          const all = (await s.cli("sentinel", "replicas", "m")) + "\n" + (await s.cli("sentinel", "sentinels", "m"));
          return !/^flags\n.*(down|disconnected)/m.test(all) && !/^role-reported\nmaster/m.test(all);
        },
        60_000,
      );
  }

  /** The address that these Sentinels name, all of them; "" while they differ. */
  async named(by: readonly Guest[]): Promise<string> {
    const said = new Set<string>();
    for (const s of by) said.add((await s.cli("sentinel", "get-master-addr-by-name", "m")).split("\n")[0] ?? "?");
    return said.size === 1 ? [...said][0] : "";
  }

  async master(): Promise<Guest> {
    const ip = await until("one master named by all", () => this.named(this.sentinels), 60_000);
    return this.servers.find((s) => s.ip === ip)!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.net[Symbol.asyncDispose]();
  }
}

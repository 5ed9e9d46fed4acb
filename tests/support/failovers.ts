/** Failovers one after another, each of another kind, and the files of the proxies that stand in front of them. */
import { until, type Program } from "./programs.ts";
import type { Fleet } from "./sentinel_fleet.ts";

export const WAYS = ["kill -9", "planned", "SIGSTOP", "restart"] as const;
export type Way = (typeof WAYS)[number];

/** Mode redis, the servers learnt from the Sentinels; `{port}` is left for startProxy. */
export function redisConfig(fleet: Fleet, more = ""): string {
  return `defaults
mode redis
timeout connect 3s
timeout server 60s
timeout client 60s
listen redis
bind 127.0.0.1:{port}
${more}sentinel m ${fleet.sentinels.map((s) => `127.0.0.1:${s.port}`).join(" ")}
`;
}

/** The article's checks, and sessions of servers that are down are closed. */
export function haproxyConfig(fleet: Fleet): string {
  const servers = fleet.servers.map((s) => `server s${s.port} 127.0.0.1:${s.port} check inter 1s on-marked-down shutdown-sessions`);
  return `defaults
mode tcp
timeout connect 3s
timeout server 6s
timeout client 6s
listen redis
bind 127.0.0.1:{port}
option tcp-check
tcp-check connect
tcp-check send PING\\r\\n
tcp-check expect string +PONG
tcp-check send info\\ replication\\r\\n
tcp-check expect string role:master
tcp-check send QUIT\\r\\n
tcp-check expect string +OK
${servers.join("\n")}
`;
}

/** One failover of this kind; the old master is back as a replica at its end. Gives the new one. */
export async function failover(fleet: Fleet, old: Program, how: Way): Promise<Program> {
  await until(
    "the set to be whole",
    async () => {
      const i = await old.info("replication");
      return i["role"] === "master" && i["connected_slaves"] === String(fleet.servers.length - 1) && (await fleet.quiet());
    },
    60_000,
  );
  if (how === "kill -9") await old.stop("SIGKILL");
  else if (how === "restart") await old.stop("SIGTERM");
  else if (how === "SIGSTOP") old.kill("SIGSTOP");
  else
    await until("the failover to be accepted", async () => {
      const said = await fleet.sentinels[0]!.cli("sentinel", "failover", "m");
      return said === "OK" || said.includes("INPROG") || (await fleet.agreed()) !== String(old.port);
    });
  let master = await another(fleet, old);
  if (how === "SIGSTOP") old.kill("SIGCONT");
  else if (how !== "planned") {
    old.start();
    await old.ready();
  }
  // On a busy machine one that is only slow may be found down, too: whoever is the master in the end.
  await until(
    `${old.port} to follow the new master`,
    async () => {
      master = await another(fleet, old);
      const i = await old.info("replication");
      return i["role"] === "slave" && i["master_port"] === String(master.port) && i["master_link_status"] === "up";
    },
    60_000,
  );
  return master;
}

/** The master that all Sentinels name and that says so itself, once it is not `old`. */
function another(fleet: Fleet, old: Program): Promise<Program> {
  return until(
    "another master",
    async () => {
      const port = await fleet.agreed();
      if (port === "" || port === String(old.port)) return null;
      const s = fleet.servers.find((x) => x.port === Number(port))!;
      return (await s.info("replication"))["role"] === "master" ? s : null;
    },
    60_000,
  );
}

/**
 * One question to the name servers of a resolvers section: all are asked at once, the first good answer counts; without one, the failure that
 * says most. Counts what came of each for `show resolvers`. COLD.
 */
import { Resolver, lookup } from "node:dns/promises";
import type { ResolversConfig } from "../config/haproxy_model.ts";

export interface Answer {
  host: string;
  /** 0: not given. */
  port: number;
  /** As servers have it, from an SRV record; 0: not given. */
  weight: number;
}
export type Failure = "nx" | "refused" | "timeout" | "other";
/** `by`: the name server that answered, as the configuration calls it. */
export type Found = { answers: Answer[]; by: string } | { failure: Failure };

/** What has come from one name server. */
export interface Counters {
  sent: number;
  valid: number;
  nx: number;
  timeout: number;
  refused: number;
  other: number;
}

/** The one that says most comes first. */
const TELLING: Failure[] = ["nx", "refused", "other", "timeout"];

function failureOf(error: unknown): Failure {
  switch ((error as { code?: string }).code) {
    case "ENOTFOUND":
      return "nx";
    case "EREFUSED":
      return "refused";
    case "ETIMEOUT":
    case "ECONNREFUSED":
      return "timeout";
    default:
      return "other";
  }
}

interface Asked {
  readonly name: string;
  readonly resolver: Resolver;
  readonly counters: Counters;
}

export class NameQuery {
  readonly section: ResolversConfig;
  private readonly servers: Asked[];
  /** Questions that no name server had a good answer to. */
  failed: number;

  constructor(section: ResolversConfig) {
    this.section = section;
    this.failed = 0;
    this.servers = section.nameservers.map((n) => {
      const resolver = new Resolver({ timeout: section.retryMs, tries: section.retries });
      resolver.setServers([n.host.includes(":") ? `[${n.host}]:${n.port}` : `${n.host}:${n.port}`]);
      return { name: n.name, resolver, counters: { sent: 0, valid: 0, nx: 0, timeout: 0, refused: 0, other: 0 } };
    });
  }
  counters(name: string): Counters | undefined {
    return this.servers.find((s) => s.name === name)?.counters;
  }

  /** Addresses of a name, of the preferred family if there are any. */
  async ask(name: string, prefer: "ipv4" | "ipv6"): Promise<Found> {
    if (this.servers.length === 0) return await system(name, prefer);
    const failures: Failure[] = [];
    const asked = this.servers.map(async (s) => {
      try {
        return { answers: await this.askOne(s, name, prefer), by: s.name };
      } catch (error) {
        const failure = failureOf(error);
        s.counters[failure]++;
        failures.push(failure);
        throw error;
      }
    });
    try {
      return await Promise.any(asked);
    } catch {
      this.failed++;
      return { failure: TELLING.find((f) => failures.includes(f)) ?? "other" };
    }
  }
  private async askOne(s: Asked, name: string, prefer: "ipv4" | "ipv6"): Promise<Answer[]> {
    const { counters, resolver } = s;
    const answers: Answer[] = [];
    if (name.startsWith("_")) {
      counters.sent++;
      for (const r of await resolver.resolveSrv(name)) {
        // One host is enough for one record; a target that cannot be found is no server.
        const [host] = await this.hosts(s, r.name, prefer).catch(() => []);
        // Sixteen bits there, eight here, and never nothing.
        if (host !== undefined) answers.push({ host, port: r.port, weight: Math.floor(r.weight / 256) + 1 });
      }
    } else for (const host of await this.hosts(s, name, prefer)) answers.push({ host, port: 0, weight: 0 });
    if (answers.length === 0) throw new Error("no address");
    counters.valid++;
    return answers;
  }
  private async hosts({ resolver, counters }: Asked, name: string, prefer: "ipv4" | "ipv6"): Promise<string[]> {
    const of = (family: "ipv4" | "ipv6"): Promise<string[]> => {
      counters.sent++;
      return family === "ipv4" ? resolver.resolve4(name) : resolver.resolve6(name);
    };
    const found = await of(prefer).catch(() => []);
    return found.length > 0 ? found : await of(prefer === "ipv4" ? "ipv6" : "ipv4");
  }
}

/** A section without name servers: the system's own. */
async function system(name: string, prefer: "ipv4" | "ipv6"): Promise<Found> {
  try {
    const all = await lookup(name, { all: true });
    const preferred = all.filter((a) => a.family === (prefer === "ipv4" ? 4 : 6));
    const answers = (preferred.length > 0 ? preferred : all).map((a) => ({ host: a.address, port: 0, weight: 0 }));
    return { answers, by: "system" };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

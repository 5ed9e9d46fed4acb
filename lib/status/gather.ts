/**
 * From any one member of a set to all of them. Cold.
 *
 *   address --INFO--> server: its master, its replicas; with no Sentinel known yet, the hellos on it
 *                     Sentinel: masters, replicas, other Sentinels
 *                     an answer with another port or a run id that is known: a proxy in front of that server
 *
 * Loopback addresses that a member on another machine tells are that machine's. Nothing is written anywhere; the only thing a server
 * notices is a client named redisha-status.
 */
import { isLoopback, parseHello, plausibleHello, sameAddress, showAddress, HELLO_CHANNEL, type Address } from "../fleet/hello.ts";
import { infoFields, parseInfo } from "../fleet/replication.ts";
import type { Traffic } from "../page/page.ts";
import { pairs, type Reply } from "../resp/reply.ts";
import { askSocket, logIn, NoAnswer, Talk, type Access } from "./ask.ts";
import type { Facts, FailoverFacts, MasterView, Part, ProxyFacts, SentinelFacts, ServerFacts } from "./facts.ts";

/** Hellos come every two seconds from each Sentinel. */
const HELLO_MS = 2500;
/** A set is no larger than this; a forged list of addresses is. */
const MOST_PARTS = 500;

class Gathering {
  readonly facts: Facts;
  private readonly access: Access;
  private readonly asked: Set<string>;
  private waiting: Address[];
  /** Given by the user: an address that does not answer is a finding. Others are too, where a member names them. */
  private readonly optional: boolean;

  constructor(access: Access, optional: boolean) {
    this.access = access;
    this.optional = optional;
    this.asked = new Set();
    this.waiting = [];
    this.facts = { servers: [], sentinels: [], proxies: [], stats: [], unknown: [] };
  }

  want(host: string, port: number, teller: Address | null): void {
    if (host === "" || host === "?" || port <= 0) return;
    const real = teller !== null && isLoopback(host) && !isLoopback(teller.host) ? teller.host : host;
    const address = { host: real, port };
    const key = showAddress(address).toLowerCase();
    if (this.asked.has(key) || this.asked.size >= MOST_PARTS) return;
    this.asked.add(key);
    this.waiting.push(address);
  }

  /** Asks all that wait, and those that they name, together. */
  async run(): Promise<void> {
    while (this.waiting.length > 0) {
      const now = this.waiting;
      this.waiting = [];
      const seen = await Promise.all(now.map((address) => this.one(address)));
      for (const part of seen) this.add(part);
    }
  }

  private add(part: ServerFacts | SentinelFacts | { unknown: Address; error: string }): void {
    const { facts } = this;
    if ("unknown" in part) {
      facts.unknown.push({ address: part.unknown, error: part.error });
      return;
    }
    if (part.kind === "sentinel") {
      const same = facts.sentinels.find((s) => s.id === part.id);
      if (same !== undefined) same.names.push(part.address);
      else facts.sentinels.push(part);
      for (const m of part.masters) this.follow(m, part.address);
      return;
    }
    const info = part.info!;
    const port = Number(part.fields.get("tcp_port") ?? 0);
    if (port !== part.address.port && port !== 0) facts.proxies.push(proxyOf(part, port));
    else {
      const same = facts.servers.find((s) => s.info?.runId === info.runId);
      // One server under a second address: another name of it, or a proxy that happens to listen on its port number.
      if (same !== undefined) same.names.push(part.address);
      else facts.servers.push(part);
    }
    if (info.role === "replica") this.want(info.masterHost, info.masterPort, part.address);
    for (const line of info.replicas) this.want(line.host, line.port, part.address);
  }

  private follow(m: MasterView, teller: Address): void {
    this.want(m.address.host, m.address.port, teller);
    for (const r of m.replicas) this.want(r["ip"] ?? "", Number(r["port"]), teller);
    for (const p of m.peers) this.want(p["ip"] ?? "", Number(p["port"]), teller);
  }

  /** Ends the gathering: guesses that nobody knows are no finding, and what is drawn stands in a fixed order. */
  finish(): Facts {
    const { facts } = this;
    if (this.optional) facts.unknown = facts.unknown.filter((part) => this.nameOf(part.address));
    const byAddress = (a: Part, b: Part): number => (showAddress(a.address) < showAddress(b.address) ? -1 : 1);
    for (const list of [facts.servers, facts.sentinels, facts.proxies, facts.unknown] as Part[][]) list.sort(byAddress);
    return facts;
  }

  /** Some member has named this address. */
  private nameOf(address: Address): boolean {
    const { facts } = this;
    const told = [
      ...facts.sentinels.flatMap((s) => s.masters.flatMap((m) => [m.address, ...[...m.replicas, ...m.peers].map(addressOf)])),
      ...facts.servers.flatMap((s) => [
        ...(s.info!.role === "replica" ? [{ host: s.info!.masterHost, port: s.info!.masterPort }] : []),
        ...s.info!.replicas,
      ]),
    ];
    return told.some((a) => sameAddress(a, address) || (isLoopback(a.host) && a.port === address.port));
  }

  private async one(address: Address): Promise<ServerFacts | SentinelFacts | { unknown: Address; error: string }> {
    const talk = new Talk(address, this.access);
    try {
      // A server and a Sentinel may want different passwords, and which of them this is shows only behind the login.
      try {
        await logIn(talk, this.access, this.access.password);
      } catch (error) {
        if (this.access.sentinelPassword === null) throw error;
        await logIn(talk, this.access, this.access.sentinelPassword);
      }
      const text = String(await talk.ask("INFO"));
      void talk.maybe("CLIENT", "SETNAME", "redisha-status");
      const fields = infoFields(text);
      if (fields.get("redis_mode") === "sentinel") return await sentinelFacts(talk, address, fields);
      const start = performance.now();
      // One that is loading answers with an error: its INFO is worth showing all the same.
      const pong = await talk.maybe("PING");
      const pingMs = pong === null ? null : Math.round((performance.now() - start) * 1000) / 1000;
      return { kind: "server", address, names: [address], error: null, info: parseInfo(text), pingMs, fields };
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return { unknown: address, error: error.message };
    } finally {
      talk.close();
    }
  }

  /** Sentinels that nobody named: their hellos on the servers. */
  async hellos(): Promise<void> {
    if (this.facts.sentinels.length > 0) return;
    await Promise.all(
      this.facts.servers.map(async (server) => {
        const talk = new Talk(server.address, this.access);
        try {
          await logIn(talk, this.access, this.access.password);
          const subscribers = await talk.maybe("PUBSUB", "NUMSUB", HELLO_CHANNEL);
          if (!Array.isArray(subscribers) || Number(subscribers[1]) === 0) return;
          await talk.listen(HELLO_CHANNEL, HELLO_MS, (text) => {
            const hello = parseHello(text);
            if (hello === null || !plausibleHello(hello)) return false;
            this.want(hello.host, hello.port, server.address);
            return true;
          });
        } catch (error) {
          if (!(error instanceof NoAnswer)) throw error;
        } finally {
          talk.close();
        }
      }),
    );
    await this.run();
  }
}

function addressOf(instance: Record<string, string>): Address {
  return { host: instance["ip"] ?? "", port: Number(instance["port"] ?? 0) };
}

function proxyOf(part: ServerFacts, serverPort: number): ProxyFacts {
  const { address, info } = part;
  return { kind: "proxy", address, error: null, runId: info!.runId, serverPort, role: info!.role };
}

async function sentinelFacts(talk: Talk, address: Address, fields: ReadonlyMap<string, string>): Promise<SentinelFacts> {
  const id = String((await talk.maybe("SENTINEL", "MYID")) ?? fields.get("run_id") ?? showAddress(address));
  const masters: MasterView[] = [];
  const list = await talk.ask("SENTINEL", "MASTERS");
  for (const item of Array.isArray(list) ? list : []) masters.push(await masterView(talk, pairs(item)));
  return {
    kind: "sentinel",
    address,
    names: [address],
    error: null,
    id,
    isRedisha: fields.get("server_name") === "redisha",
    tilt: fields.get("sentinel_tilt") === "1",
    masters,
  };
}

async function masterView(talk: Talk, m: Record<string, string>): Promise<MasterView> {
  const name = m["name"] ?? "";
  const many = (reply: Reply): Record<string, string>[] => (Array.isArray(reply) ? reply.map(pairs) : []);
  const failovers = await talk.maybe("SENTINEL", "FAILOVERS", name);
  return {
    name,
    address: addressOf(m),
    flags: (m["flags"] ?? "").split(","),
    epoch: Number(m["config-epoch"] ?? 0),
    quorum: Number(m["quorum"] ?? 0),
    downAfterMs: Number(m["down-after-milliseconds"] ?? 0),
    otherSentinels: Number(m["num-other-sentinels"] ?? 0),
    replicas: many(await talk.maybe("SENTINEL", "REPLICAS", name)),
    peers: many(await talk.maybe("SENTINEL", "SENTINELS", name)),
    failovers: Array.isArray(failovers) ? failovers.map(failoverFacts) : [],
  };
}

function failoverFacts(reply: Reply): FailoverFacts {
  const f = pairs(reply);
  const at = Array.isArray(reply) ? reply.indexOf("steps") : -1;
  const steps = Array.isArray(reply) && at >= 0 ? reply[at + 1] : [];
  const list: FailoverFacts["steps"] = [];
  // Not pairs(): an event may come twice.
  if (Array.isArray(steps)) for (let i = 0; i + 1 < steps.length; i += 2) list.push({ event: String(steps[i]), ms: Number(steps[i + 1]) });
  const text = (key: string): string => f[key] ?? "";
  return {
    epoch: Number(f["epoch"] ?? 0),
    reason: text("reason"),
    result: text("result"),
    startIso: text("start"),
    from: text("from"),
    to: text("to"),
    leader: text("leader"),
    steps: list,
  };
}

/** Rows of `show stat`: a header that begins with "# ", then CSV. */
function statRows(text: string): Record<string, string>[] {
  const [head = "", ...lines] = text.split("\n").filter((line) => line !== "");
  const names = head.replace(/^# /, "").split(",");
  return lines.map((line) => Object.fromEntries(line.split(",").map((value, i) => [names[i] ?? "", value])));
}

/** The answer to `show redis traffic`; HAProxy knows no such command. */
function trafficIn(text: string): Traffic[] {
  return text.startsWith("[") ? (JSON.parse(text) as Traffic[]) : [];
}

/**
 * Everything about the set that these addresses belong to. `sockets` are paths of proxies' statistics sockets. `optional`: the addresses are
 * guesses, so those where nobody listens are no finding.
 */
export async function gather(addresses: readonly Address[], sockets: readonly string[], access: Access, optional: boolean): Promise<Facts> {
  const gathering = new Gathering(access, optional);
  for (const a of addresses) gathering.want(a.host, a.port, null);
  await gathering.run();
  await gathering.hellos();
  for (const path of sockets) {
    const address = { host: path, port: 0 };
    try {
      const rows = statRows(await askSocket(path, "show stat", access.timeoutMs));
      const traffic = trafficIn(await askSocket(path, "show redis traffic", access.timeoutMs));
      gathering.facts.stats.push({ kind: "stats", address, path, error: null, rows, traffic });
    } catch (error) {
      gathering.facts.stats.push({ kind: "stats", address, path, error: (error as Error).message, rows: [], traffic: [] });
    }
  }
  return gathering.finish();
}

/**
 * `redisha --status --page [HOST:]PORT`: the dashboard over HTTP, fed by what --status gathers once a second, from any one member of the
 * set; so it works for sets of the originals too. With --admin it may start a failover. Cold.
 *
 *   gather (1 s) -> Feed: the last picture, changes, a few minutes of figures -> data.json -> lib/page
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { showAddress } from "../fleet/hello.ts";
import { dashboard, pageHeaders, type Series, type ServerSeries } from "../page/page.ts";
import { logIn, Talk, type Access } from "./ask.ts";
import type { Facts } from "./facts.ts";
import type { Judgement } from "./judge.ts";
import { toJson } from "./view.ts";

const SAMPLES = 300;
const CHANGES = 100;

/** What the page shows, kept over time. */
export class Feed {
  private readonly series: Series;
  private readonly changes: { at: string; text: string }[];
  private last: { facts: Facts; judgement: Judgement } | null;

  constructor() {
    this.series = { times: [], servers: {} };
    this.changes = [];
    this.last = null;
  }

  add(facts: Facts, judgement: Judgement, news: readonly string[], nowMs: number): void {
    this.last = { facts, judgement };
    const at = new Date(nowMs).toISOString();
    for (const text of news) this.changes.push({ at, text });
    this.changes.splice(0, this.changes.length - CHANGES);
    const { times, servers } = this.series;
    times.push(nowMs / 1000);
    for (const s of facts.servers) servers[showAddress(s.address)] ??= emptySeries(times.length - 1);
    for (const [name, of] of Object.entries(servers)) {
      const s = facts.servers.find((x) => showAddress(x.address) === name);
      const field = (key: string): number | null => (s === undefined ? null : Number(s.fields.get(key) ?? 0));
      of.ops.push(field("instantaneous_ops_per_sec"));
      of.clients.push(field("connected_clients"));
      of.ping.push(s?.pingMs ?? null);
      const master = judgement.groups.find((g) => s !== undefined && g.replicas.includes(s))?.master;
      of.behind.push(s === undefined ? null : master == null ? 0 : Math.max(0, master.info!.offset - s.info!.offset));
    }
    if (times.length <= SAMPLES) return;
    times.shift();
    for (const of of Object.values(servers)) for (const line of [of.ops, of.clients, of.ping, of.behind]) line.shift();
  }

  /** data.json; null before the first look. */
  json(): object | null {
    if (this.last === null) return null;
    const { facts, judgement } = this.last;
    return { at: new Date().toISOString(), ...toJson(facts, judgement), series: this.series, changes: this.changes };
  }

  /** A Sentinel that watches this name. */
  sentinelOf(name: string): { host: string; port: number } | null {
    const group = this.last?.judgement.groups.find((g) => g.name === name);
    // One of redisha's, where there is one: its failover loses nothing.
    const best = group?.sentinels.find((s) => s.sentinel.isRedisha) ?? group?.sentinels[0];
    return best?.sentinel.address ?? null;
  }
}

function emptySeries(samples: number): ServerSeries {
  const nothing = (): null[] => new Array<null>(samples).fill(null);
  return { ops: nothing(), ping: nothing(), behind: nothing(), clients: nothing() };
}

async function failover(feed: Feed, name: string, access: Access): Promise<string> {
  const address = feed.sentinelOf(name);
  if (address === null) return `no Sentinel watches '${name}'`;
  const talk = new Talk(address, access);
  try {
    await logIn(talk, access, access.sentinelPassword ?? access.password);
    return String(await talk.ask("SENTINEL", "FAILOVER", name));
  } catch (error) {
    return (error as Error).message;
  } finally {
    talk.close();
  }
}

/** Serves until the process ends. Throws when the port cannot be had. Returns the address. */
export function servePage(feed: Feed, hostname: string, port: number, admin: boolean, access: Access): string {
  const token = admin ? randomBytes(18).toString("base64url") : "";
  const allowed = (given: string | null): boolean =>
    admin && given !== null && given.length === token.length && timingSafeEqual(Buffer.from(given), Buffer.from(token));
  const server = Bun.serve({
    hostname,
    port,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (request.method === "POST" && pathname === "/failover") {
        // A page of another site can neither know the token nor send this header.
        const origin = request.headers.get("origin");
        const sameSite = origin === null || origin === `http://${request.headers.get("host")}`;
        if (!sameSite || !allowed(request.headers.get("x-redisha"))) return new Response("not allowed\n", { status: 403 });
        const body = (await request.json().catch(() => null)) as { name?: unknown } | null;
        return new Response(await failover(feed, String(body?.name ?? ""), access));
      }
      if (request.method !== "GET") return new Response("GET /\n", { status: 405 });
      if (pathname === "/data.json") {
        const data = feed.json();
        return data === null
          ? new Response("not yet\n", { status: 503 })
          : Response.json(data, { headers: { "cache-control": "no-store" } });
      }
      if (pathname !== "/") return new Response("GET /\n", { status: 404 });
      const nonce = randomBytes(12).toString("base64url");
      return new Response(dashboard(token, nonce), { headers: pageHeaders(nonce) });
    },
  });
  return `http://${server.hostname}:${server.port}/`;
}

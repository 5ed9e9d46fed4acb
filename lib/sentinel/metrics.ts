/**
 * `sentinel metrics-port`: GET /metrics in Prometheus' text format, and the dashboard (page_data.ts) at /. COLD.
 * A port of its own, on the addresses of `bind`: whoever scrapes needs no password of Sentinel's, and learns states and addresses only.
 */
import type { SentinelEngine } from "./core/engine.ts";
import { NEVER, disconnected, type Instance, type Master } from "./core/state.ts";
import { shownWithPort } from "./core/addr.ts";
import type { Page } from "./page_data.ts";
import type { Conn } from "../net/conn.ts";
import { listen, type Listener } from "../net/listen.ts";

/** A request's head may be as long as this; more is no scraper. */
const HEAD_MAX_BYTES = 8192;

export interface Counters {
  saves: number;
  saveErrors: number;
  webhooksSent: number;
  webhooksLost: number;
  scriptsRunning: number;
  scriptsQueued: number;
}

interface Request {
  head: string;
}

type Row = [labels: Record<string, string>, value: number];

function label(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function family(name: string, kind: "gauge" | "counter", help: string, rows: Row[]): string {
  if (rows.length === 0) return "";
  const lines = rows.map(([labels, value]) => {
    const inner = Object.entries(labels).map(([key, text]) => `${key}="${label(text)}"`);
    return `${name}${inner.length === 0 ? "" : `{${inner.join(",")}}`} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${lines.join("")}`;
}

/** The whole page. `now` is the engine's clock. */
export function metricsText(engine: SentinelEngine, counters: Counters, now: number): string {
  const { state: s } = engine;
  const masters = [...s.masters.values()];
  const of = (m: Master, more: Record<string, string> = {}): Record<string, string> => ({ master: m.name, ...more });
  const each = (value: (m: Master) => number): Row[] => masters.map((m) => [of(m), value(m)]);
  const ago = (ms: number): number => (ms === NEVER ? -1 : (now - ms) / 1000);
  const instances: [Master, Instance][] = masters.flatMap((m) =>
    [m, ...m.replicas.values(), ...m.peers.values()].map((ri): [Master, Instance] => [m, ri]),
  );
  const about = ([m, ri]: [Master, Instance]): Record<string, string> => of(m, { type: ri.role, address: shownWithPort(s, ri.addr) });
  const failovers = masters.flatMap((m) =>
    (["done", "aborted", "running"] as const).map((result): Row => [
      of(m, { result }),
      m.history.filter((a) => a.result === result).length,
    ]),
  );
  return [
    family("redisha_sentinel_info", "gauge", "This Sentinel.", [[{ myid: s.myid, cluster_id: s.clusterId }, 1]]),
    family("redisha_sentinel_tilt", "gauge", "1 in TILT mode.", [[{}, s.tilt ? 1 : 0]]),
    family("redisha_sentinel_current_epoch", "gauge", "Newest epoch heard of.", [[{}, s.currentEpoch]]),
    family(
      "redisha_sentinel_master_info",
      "gauge",
      "Where the master is.",
      masters.map((m) => [of(m, { address: shownWithPort(s, m.addr) }), 1]),
    ),
    family(
      "redisha_sentinel_master_sdown",
      "gauge",
      "1 when this Sentinel sees the master down.",
      each((m) => (m.sdown ? 1 : 0)),
    ),
    family(
      "redisha_sentinel_master_odown",
      "gauge",
      "1 when a quorum sees the master down.",
      each((m) => (m.odown ? 1 : 0)),
    ),
    family(
      "redisha_sentinel_master_config_epoch",
      "gauge",
      "Epoch of the present configuration.",
      each((m) => m.configEpoch),
    ),
    family(
      "redisha_sentinel_master_replicas",
      "gauge",
      "Known replicas.",
      each((m) => m.replicas.size),
    ),
    family(
      "redisha_sentinel_master_sentinels",
      "gauge",
      "Known Sentinels, this one included.",
      each((m) => m.peers.size + 1),
    ),
    family(
      "redisha_sentinel_master_quorum",
      "gauge",
      "Configured quorum.",
      each((m) => m.quorum),
    ),
    family(
      "redisha_sentinel_failover_in_progress",
      "gauge",
      "1 while this Sentinel leads one.",
      each((m) => (m.failoverState === "none" ? 0 : 1)),
    ),
    family("redisha_sentinel_failovers", "gauge", "The latest failovers by result, as in SENTINEL FAILOVERS.", failovers),
    family(
      "redisha_sentinel_last_failover_seconds",
      "gauge",
      "How long the last failover took, up to its last event.",
      masters.filter((m) => m.history.length > 0).map((m) => [of(m), (m.history.at(-1)!.steps.at(-1)?.ms ?? 0) / 1000]),
    ),
    family(
      "redisha_sentinel_instance_up",
      "gauge",
      "0 when this Sentinel sees it down.",
      instances.map((x) => [about(x), x[1].sdown ? 0 : 1]),
    ),
    family(
      "redisha_sentinel_instance_connected",
      "gauge",
      "1 when all connections to it are open.",
      instances.map((x) => [about(x), disconnected(x[1]) ? 0 : 1]),
    ),
    family(
      "redisha_sentinel_instance_last_ok_seconds",
      "gauge",
      "Since its last good reply to PING.",
      instances.map((x) => [about(x), ago(x[1].link.lastAvailMs)]),
    ),
    family("redisha_sentinel_saves_total", "counter", "Writes of the state.", [[{}, counters.saves]]),
    family("redisha_sentinel_save_errors_total", "counter", "Writes of the state that failed.", [[{}, counters.saveErrors]]),
    family("redisha_sentinel_webhooks_total", "counter", "Webhooks by outcome.", [
      [{ outcome: "sent" }, counters.webhooksSent],
      [{ outcome: "lost" }, counters.webhooksLost],
    ]),
    family("redisha_sentinel_scripts", "gauge", "Scripts by state.", [
      [{ state: "running" }, counters.scriptsRunning],
      [{ state: "queued" }, counters.scriptsQueued],
    ]),
  ].join("");
}

/** Serves the page. Throws as `listen` does. */
export function serveMetrics(hostname: string, port: number, page: () => string, dashboard: (path: string) => Page | null): Listener {
  const nothing = (): void => {};
  const answer = (conn: Conn<Request>, status: string, headers: Record<string, string>, text: string): void => {
    const body = Buffer.from(text, "utf8");
    const lines = Object.entries({ ...headers, "content-length": body.length, connection: "close" }).map(([k, v]) => `${k}: ${v}\r\n`);
    conn.out.lit(Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\n${lines.join("")}\r\n`, "latin1"), body]));
    conn.flush();
    conn.closeAfterFlush();
  };
  return listen<Request>({
    hostname,
    port,
    accept: () => ({ head: "" }),
    handler: {
      open: nothing,
      drained: nothing,
      close: nothing,
      end: (conn) => conn.closeAfterFlush(),
      data(conn, chunk) {
        conn.data.head += chunk.toString("latin1");
        if (!conn.data.head.includes("\r\n\r\n") && conn.data.head.length < HEAD_MAX_BYTES) return;
        const [method, path] = conn.data.head.split(" ", 2);
        const known = path === "/metrics" || path?.startsWith("/metrics?");
        const found = method === "GET" && !known ? dashboard(path ?? "") : null;
        if (found !== null) answer(conn, "200 OK", found.headers, found.body);
        else if (method === "GET" && known) answer(conn, "200 OK", { "content-type": "text/plain; version=0.0.4; charset=utf-8" }, page());
        else answer(conn, "404 Not Found", { "content-type": "text/plain" }, "GET /metrics\n");
      },
    },
  });
}

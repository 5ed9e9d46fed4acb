/**
 * The dashboard as this proxy sees the set: `STATS-URI;live` and `STATS-URI;live.json`, behind the password of the stats page. The same page as
 * --status --page and the Sentinels' metrics port serve (lib/page), from what the authority knows and the counters tell. Without actions: those
 * are the stats page's. COLD.
 */
import { randomBytes } from "node:crypto";
import { dashboard, pageHeaders } from "../../page/page.ts";
import type { Engine } from "../engine.ts";
import { boardsOf, trafficOf } from "../redis/report.ts";
import { Frontend } from "../state.ts";
import { objects } from "../stats/columns.ts";
import { PERIOD_MS, type Samples } from "../stats/history.ts";
import type { Topology, TopologyServer } from "../stats/topology.ts";
import type { HttpAnswer } from "./request.ts";

const NOTHING: Samples = { active: [], bytes: [] };

interface Finding {
  level: "bad" | "advice";
  text: string;
}

/** The page or its data; null: neither is asked for. `words` are what follows the URI, split at semicolons. */
export function liveAnswer(engine: Engine, uri: string, words: readonly string[]): HttpAnswer | null {
  if (words.includes("live.json"))
    return {
      status: 200,
      headers: [
        ["content-type", "application/json"],
        ["cache-control", "no-store"],
      ],
      body: JSON.stringify(liveData(engine, Date.now())),
    };
  if (!words.includes("live")) return null;
  const nonce = randomBytes(12).toString("base64url");
  return { status: 200, headers: Object.entries(pageHeaders(nonce)), body: dashboard("", nonce, `${uri};live.json`) };
}

function liveData(engine: Engine, now: number): object {
  const topologies = engine.topologies();
  const sets = topologies.map(setOf);
  const healthy = !sets.some((s) => s.findings.some((f) => f.level === "bad"));
  const fronts = objects(engine).filter((o) => o instanceof Frontend && o.config.mode !== "http") as Frontend[];
  return {
    at: new Date(now).toISOString(),
    healthy,
    sets,
    proxies: fronts.map((f) => ({ address: f.name, state: `${f.active} ${f.active === 1 ? "client" : "clients"}` })),
    traffic: boardsOf(engine).map(trafficOf),
    unanswered: [],
    findings: [],
    charts: [
      ["sessions", "Sessions"],
      ["bytes", "Bytes a second, both ways"],
    ],
    series: series(engine, now),
  };
}

function setOf(t: Topology): { findings: Finding[] } & Record<string, unknown> {
  const findings: Finding[] = [];
  if (t.chosen === null) findings.push({ level: "bad", text: `${t.backend}: no master is confirmed; ${t.held} clients wait.` });
  for (const s of t.servers) {
    if (s.fenced !== null) findings.push({ level: "bad", text: `${nameOf(s)} gets no traffic: ${s.fenced}.` });
    if (!s.reachable) findings.push({ level: "bad", text: `${nameOf(s)} does not answer.` });
  }
  const chosen = t.servers.find((s) => s.chosen) ?? null;
  return {
    name: t.name === "" ? t.backend : `${t.backend} (${t.name})`,
    master: chosen === null ? null : serverOf(chosen, "master", ""),
    replicas: t.servers.filter((s) => s !== chosen).map((s) => serverOf(s, "replica", chosen?.address ?? "")),
    sentinels: t.sentinels.map((s) => ({ address: s.address, state: s.says, flags: s.state === "up" ? [] : [s.state] })),
    findings,
  };
}

const nameOf = (s: TopologyServer): string => (s.name === s.address ? s.address : `${s.name} (${s.address})`);

function serverOf(s: TopologyServer, role: "master" | "replica", master: string): object {
  return {
    address: s.address,
    role,
    version: s.name === s.address ? "" : s.name,
    offset: s.offset,
    link: role === "master" ? null : s.reachable && s.linkUp ? "up" : "down",
    master,
    figures: `${s.state}, ${s.sessions} ${s.sessions === 1 ? "session" : "sessions"}`,
  };
}

/** The stats page's history, with the times that its samples were taken at. */
function series(engine: Engine, now: number): object {
  const all = new Map<string, Samples>();
  for (const o of objects(engine))
    all.set(
      o instanceof Frontend ? o.name : "backend" in o ? `${o.backend.name}/${o.name}` : `${o.name} (all)`,
      engine.history?.of(o) ?? NOTHING,
    );
  const length = Math.max(0, ...[...all.values()].map((s) => s.active.length));
  const full = (list: readonly number[]): (number | null)[] => [...new Array<null>(length - list.length).fill(null), ...list];
  return {
    times: Array.from({ length }, (_, i) => Math.round(now / 1000 - ((length - 1 - i) * PERIOD_MS) / 1000)),
    servers: Object.fromEntries([...all].map(([name, s]) => [name, { sessions: full(s.active), bytes: full(s.bytes) }])),
  };
}

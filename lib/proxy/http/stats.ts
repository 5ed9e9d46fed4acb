/**
 * The stats page's requests: address, password, formats (`;csv`, `;json`, `;typed`, `;up`, `;no-maint`), and the actions its forms send
 * (HAProxy configuration 4.2 "stats ...", notes 1.13). COLD.
 */
import { timingSafeEqual } from "node:crypto";
import type { Condition, ProxyConfig } from "../../config/haproxy_model.ts";
import { resetHealth } from "../core/health.ts";
import type { Engine } from "../engine.ts";
import type { Server } from "../state.ts";
import { csv, EVERYTHING, json, typed, type StatFilter } from "../stats/columns.ts";
import { isStopping, setAdmin, shutSessions, wentDown, wentUp } from "../transitions.ts";
import { liveAnswer } from "./dashboard.ts";
import { page } from "./page.ts";
import { plainAnswer, type HttpAnswer, type HttpRequest } from "./request.ts";

type Holds = (c: Condition) => boolean;

/** The section's answer to a request for its stats; null: the request is not for them. */
export function statsAnswer(engine: Engine, p: ProxyConfig, r: HttpRequest, holds: Holds): HttpAnswer | null {
  const s = p.stats;
  if (!s.enabled || !r.target.startsWith(s.uri)) return null;
  if (s.auth.length > 0 && !allowed(r, s.auth))
    return plainAnswer(401, "You need a valid user and password to access this content.", [
      ["www-authenticate", `Basic realm="${s.realm}"`],
    ]);
  const admin = s.adminAlways || s.admin.some(holds);
  if (r.method === "POST") return redirect(s.uri, admin && sameOrigin(r) ? act(engine, r.body) : "DENY");
  if (r.method !== "GET" && r.method !== "HEAD") return plainAnswer(405, "Only GET, HEAD and POST are answered here.");
  const words = r.target.slice(s.uri.length).split(";");
  const filter: StatFilter = { ...EVERYTHING, upOnly: words.includes("up"), noMaintenance: words.includes("no-maint") };
  const refresh: [string, string][] = s.refreshMs > 0 && !words.includes("norefresh") ? [["refresh", String(Math.ceil(s.refreshMs / 1000))]] : []; // prettier-ignore
  const answer = (type: string, body: string, extra: [string, string][] = []): HttpAnswer => ({
    status: 200,
    headers: [["cache-control", "no-cache"], ["content-type", type], ...refresh, ...extra],
    body,
  }); // prettier-ignore
  const live = r.method === "GET" ? liveAnswer(engine, s.uri, words) : null;
  if (live !== null) return live;
  if (words.includes("csv")) return answer("text/plain", csv(engine, filter));
  if (words.includes("typed")) return answer("text/plain", typed(engine, filter));
  if (words.includes("json")) return answer("application/json", json(engine, filter));
  const told = words.find((w) => w.startsWith("st="))?.slice(3) ?? "";
  const policy: [string, string][] = [["content-security-policy", "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"]]; // prettier-ignore
  return answer(
    "text/html; charset=utf-8",
    page(engine, p, { filter, admin, told, uri: s.uri, refreshS: Number(refresh[0]?.[1] ?? 0) }),
    policy,
  );
}

function redirect(uri: string, told: string): HttpAnswer {
  return {
    status: 303,
    headers: [["cache-control", "no-cache"], ["content-type", "text/plain"], ["location", `${uri};st=${told}`]],
    body: "",
  }; // prettier-ignore
}

/** Basic authentication; compared in a time that does not tell where it differs. */
function allowed(r: HttpRequest, accounts: readonly string[]): boolean {
  const given = /^Basic +(\S+)$/i.exec(r.headers.get("authorization") ?? "")?.[1];
  if (given === undefined) return false;
  const got = Bun.sha(Buffer.from(given, "base64")) as Uint8Array;
  return accounts.some((a) => timingSafeEqual(got, Bun.sha(Buffer.from(a, "latin1")) as Uint8Array));
}
/** A form that another site sends is not obeyed. */
function sameOrigin(r: HttpRequest): boolean {
  const from = r.headers.get("origin") ?? r.headers.get("referer");
  if (from === undefined) return true;
  try {
    return new URL(from).host === r.headers.get("host");
  } catch {
    return false;
  }
}

/** Carries the form's action out for each server that it names; what is told of it afterwards. */
function act(engine: Engine, body: string): string {
  const form = new URLSearchParams(body);
  const action = form.get("action") ?? "";
  const b = form.get("b") ?? "";
  const back = b.startsWith("#") ? [...engine.backends.values()].find((x) => x.iid === Number(b.slice(1))) : engine.backends.get(b);
  if (back === undefined) return "ERRP";
  const run = ACTIONS[action];
  if (run === undefined) return "ERRP";
  let done = 0;
  let missed = 0;
  for (const name of form.getAll("s")) {
    const server = back.servers.find((s) => s.name === name);
    if (server === undefined) {
      missed++;
      continue;
    }
    run(engine, server);
    engine.administered?.(server);
    done++;
  }
  return done === 0 ? (missed > 0 ? "ERRP" : "NONE") : missed > 0 ? "PART" : "DONE";
}
const agentOf = (engine: Engine, s: Server): Engine["agents"][number] | undefined => engine.agents.find((a) => a.server === s);

const ACTIONS: Record<string, (engine: Engine, s: Server) => void> = {
  ready: (e, s) => setAdmin(e, s, "ready"),
  drain: (e, s) => setAdmin(e, s, "drain"),
  maint: (e, s) => setAdmin(e, s, "maint"),
  shutdown: (_e, s) => void shutSessions(s, "K"),
  dhlth: (_e, s) => void (s.checkPaused = true),
  ehlth: (_e, s) => void (s.checkPaused = false),
  hrunn(e, s) {
    const was = s.isUp && !s.stopping;
    s.stopping = false;
    resetHealth(s.health, true);
    if (!was && s.isUp) wentUp(e, s, ", changed from CLI");
  },
  hnolb(e, s) {
    resetHealth(s.health, true);
    if (s.stopping) return;
    s.stopping = true;
    isStopping(e, s, ", changed from CLI");
  },
  hdown(e, s) {
    const was = s.isUp;
    s.health.counter = 0;
    if (was) wentDown(e, s, ", changed from CLI");
  },
  dagent(e, s) {
    const agent = agentOf(e, s);
    if (agent !== undefined) agent.paused = true;
  },
  eagent(e, s) {
    const agent = agentOf(e, s);
    if (agent !== undefined) agent.paused = false;
  },
  arunn: (e, s) => agentOf(e, s)?.setDown(false, ", changed from CLI"),
  adown: (e, s) => agentOf(e, s)?.setDown(true, ", changed from CLI"),
};

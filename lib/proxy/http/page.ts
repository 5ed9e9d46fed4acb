/**
 * The stats page, drawn for people: what is up and what is not by colour, who is master by whose word, the last minutes as a line. One page
 * without scripts or anything from elsewhere; it reads on a phone. COLD.
 */
import type { ProxyConfig } from "../../config/haproxy_model.ts";
import { haproxyVersionNumber } from "../../cli/version.ts";
import type { Engine } from "../engine.ts";
import type { Board } from "../redis/board.ts";
import { boardsOf, usedRows } from "../redis/report.ts";
import { Backend, Frontend, Server } from "../state.ts";
import { selected, stateWord, valueOf, COLUMNS, type StatFilter, type StatObject } from "../stats/columns.ts";
import type { Topology } from "../stats/topology.ts";
import { PAGE_STYLE } from "./page_style.ts";

export interface PageOptions {
  filter: StatFilter;
  admin: boolean;
  /** What the last action came to (st=...). */
  told: string;
  uri: string;
  refreshS: number;
}

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
const TOLD: Record<string, string> = {
  DONE: "Done.",
  PART: "Done for some of the servers; others are not there.",
  ERRP: "Nothing changed: the form could not be understood.",
  NONE: "Nothing changed: no server was chosen.",
  DENY: "Refused: this page may not change anything.",
  EXCD: "Refused: the form is too long.",
  UNKN: "Something unexpected happened.",
};

/** `1.2 k`, `34 M`. */
function short(n: number): string {
  const units = ["", " k", " M", " G", " T"];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)}${units[i]}`;
}
function duration(s: number): string {
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 172_800 ? `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min` : `${Math.floor(s / 86_400)} d`;
}
/** A line of the latest samples; the highest is named beside it. */
function sparkline(values: readonly number[], title: string): string {
  if (values.length < 2) return "";
  const max = Math.max(1, ...values);
  const points = values.map((v, i) => `${((i * 100) / (values.length - 1)).toFixed(1)},${(19 - (v * 18) / max).toFixed(1)}`);
  const text = `${title}: ${short(values.at(-1)!)} now, ${short(max)} at most in the last ${duration(values.length * 2)}`;
  return `<svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label="${text}"><title>${text}</title><polyline points="${points.join(" ")}"/></svg>`;
}

/** The class that gives a state its colour. */
function colour(o: StatObject): string {
  if (o instanceof Frontend) return o.stopped || o.paused ? "maint" : "up";
  if (o instanceof Backend) return o.wasUp ? "up" : "down";
  const word = stateWord(o);
  if (word === "UP")
    return !o.isChecked ? "unchecked" : o.health.counter < o.health.settings.rise + o.health.settings.fall - 1 ? "going" : "up";
  return word === "DOWN" ? (o.fenced !== null ? "fenced" : o.health.counter > 0 ? "going" : "down") : word.toLowerCase();
}

export function page(engine: Engine, p: ProxyConfig, o: PageOptions): string {
  const s = p.stats;
  const shown = selected(engine, o.filter).filter((x) => {
    const name = x instanceof Server ? x.backend.name : x.name;
    return s.scope.length === 0 || s.scope.includes(name) || (s.scope.includes(".") && name === p.name);
  });
  const groups = new Map<string, StatObject[]>();
  for (const x of shown) {
    const key = x instanceof Server ? x.backend.name : x.name;
    groups.set(key, [...(groups.get(key) ?? []), x]);
  }
  const title = `redisha proxy${s.showNode ? ` on ${s.node || engine.config.global.node || "this node"}` : ""}`;
  const topologies = engine.topologies().filter((t) => s.scope.length === 0 || s.scope.includes(t.backend));
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title><link rel="icon" href="data:,"><style>${PAGE_STYLE}</style></head>
<body><header><h1>${escape(title)}</h1>${s.description === "" ? "" : `<p>${escape(s.description)}</p>`}${facts(engine, s.hideVersion)}${links(o)}</header>
<main>${TOLD[o.told] === undefined ? "" : `<p class="told" role="status">${TOLD[o.told]}</p>`}
${topologies.map(topology).join("\n")}
${boardsOf(engine)
  .filter((b) => s.scope.length === 0 || s.scope.includes(b.backend.name))
  .map(commandTable)
  .join("\n")}
${[...groups].map(([name, all]) => section(engine, name, all, o)).join("\n")}
</main><footer>${legend()}</footer></body></html>
`;
}

function facts(engine: Engine, hideVersion: boolean): string {
  const cell = (name: string, value: string): string => `<div><dt>${name}</dt><dd>${value}</dd></div>`;
  const limit = engine.maxconn > 0 ? ` of ${short(engine.maxconn)}` : "";
  return `<dl class="facts">${cell("Process", String(process.pid))}${hideVersion ? "" : cell("Version", haproxyVersionNumber())}${cell("Up for", duration(Math.floor((Date.now() - engine.startedAt) / 1000)))}${cell("Connections", `${short(engine.active)}${limit}`)}${cell("Sessions a second", `${engine.sessionRate.read(Date.now())}`)}${cell("Memory", `${short(process.memoryUsage.rss()).replace(/(\d)$/, "$1 ")}B`)}</dl>`;
}
function links(o: PageOptions): string {
  const link = (words: string, text: string): string => `<a href="${escape(o.uri + words)}">${text}</a>`;
  const shown = o.filter.upOnly ? link("", "all servers") : link(";up", "only what is up");
  return `<nav>${shown}${link(o.refreshS > 0 ? ";norefresh" : "", o.refreshS > 0 ? `stop refreshing (every ${o.refreshS} s)` : "refresh now")}${link(";live", "live view")}${link(";csv", "CSV")}${link(";json", "JSON")}</nav>`;
}
function legend(): string {
  const all = [["up", "up"], ["going", "changing"], ["down", "down"], ["fenced", "fenced: not the confirmed master"], ["maint", "maintenance"], ["drain", "draining"], ["unchecked", "not checked"]]; // prettier-ignore
  return all.map(([c, text]) => `<span class="dot ${c}"></span>${text}`).join(" ");
}

/** Sentinels, the proxy, the master and its replicas: who leads where. */
function topology(t: Topology): string {
  const sentinels = t.sentinels.map(
    (x) =>
      `<li class="node ${x.state === "up" ? "up" : "down"}"><b>Sentinel</b> <span>${escape(x.address)}</span><small>${escape(x.says)}</small></li>`,
  );
  const node = (x: Topology["servers"][number]): string => {
    const kind = x.chosen ? "master" : x.role;
    const state = x.fenced !== null ? "fenced" : !x.reachable ? "down" : x.role === "replica" ? "replica" : x.chosen ? "up" : "going";
    const small =
      x.fenced !== null
        ? `fenced, ${x.fenced}`
        : !x.reachable
          ? "out of reach"
          : x.role === "replica"
            ? `${x.linkUp ? "follows" : "link down"}, offset ${x.offset}`
            : `${x.replicas} ${x.replicas === 1 ? "replica" : "replicas"}, offset ${x.offset}`;
    return `<li class="node ${state}"><b>${escape(x.name)}</b> <span>${kind} ${escape(x.address)}</span><small>${escape(small)}</small><small>${x.sessions} sessions</small></li>`;
  };
  const masters = t.servers.filter((x) => x.chosen);
  const others = t.servers.filter((x) => !x.chosen);
  const waiting = `<li class="node down"><b>no master is confirmed</b><small>${t.held} connections wait</small></li>`;
  return `<section class="topology"><h2>${escape(t.backend)}${t.name === "" ? "" : ` <small>${escape(t.name)}</small>`}</h2>
<ul class="row">${sentinels.join("") || '<li class="node unchecked"><b>no Sentinel is known</b></li>'}</ul><p class="arrow">name the master</p>
<ul class="row">${masters.map(node).join("") || waiting}</ul>${others.length === 0 ? "" : `<p class="arrow">replicates to</p><ul class="row">${others.map(node).join("")}</ul>`}</section>`;
}

/** Most of mode redis' work is done by few commands. */
const COMMANDS_MAX = 12;

/** Mode redis: what is asked and how long it takes, what failovers did to requests, the keys asked for most. */
function commandTable(b: Board): string {
  const { meter, backend } = b;
  const ms = (id: number, share: number): string => `<td>${meter.percentile(id, share).toFixed(2)}</td>`;
  const rows = usedRows(b)
    .slice(0, COMMANDS_MAX)
    .map(
      ({ id, name }) =>
        `<tr class="server"><th scope="row">${escape(name)}</th><td>${short(meter.calls[id])}</td><td>${short(meter.errors[id])}</td><td>${short(meter.bytes[id])}B</td>${ms(id, 0.5)}${ms(id, 0.99)}${ms(id, 0.999)}</tr>`,
    );
  const facts = [["Clients", b.clients.size], ["with a connection of their own", b.pins.size], ["waiting now", b.held.size], ["Sent again", meter.replayed], ["Result unknown", meter.unknown], ["Not executed", meter.unavailable], ["Bytes lost", backend.lostBytes]] as const; // prettier-ignore
  const hot = meter.hot.top(5).map((k) => `${escape(k.key)} ${(100 * k.share).toFixed(0)} %`);
  const head = ["", "Calls", "Errors", "Out", "p50 ms", "p99 ms", "p99.9 ms"].map((h) => `<th scope="col">${h}</th>`).join("");
  return `<section class="redis"><h2>${escape(backend.name)} <small>mode redis</small></h2>
<dl class="facts">${facts.map(([name, n]) => `<div><dt>${name}</dt><dd>${short(n)}</dd></div>`).join("")}</dl>
<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${rows.join("\n")}</tbody></table></div>${hot.length === 0 ? "" : `<p>Hot keys: ${hot.join(", ")}</p>`}</section>`;
}

const HEAD = ["", "State", "Sessions", "most", "total", "in 3 min", "In", "Out", "Queue", "Errors", "Retries", "Check", "Weight"];

function section(engine: Engine, name: string, all: StatObject[], o: PageOptions): string {
  const back = all.find((x) => x instanceof Backend) as Backend | undefined;
  const forms = o.admin && back !== undefined && all.some((x) => x instanceof Server);
  const rows = all.map((x) => row(engine, x, forms)).join("\n");
  const table = `<div class="scroll"><table><thead><tr>${forms ? "<th></th>" : ""}${HEAD.map((h) => `<th scope="col">${h}</th>`).join("")}</tr></thead><tbody>${rows}</tbody></table></div>`;
  if (!forms) return `<section><h2>${escape(name)}</h2>${table}</section>`;
  const options = [["", "choose an action"], ["ready", "ready"], ["drain", "drain"], ["maint", "maintenance"], ["dhlth", "stop checking"], ["ehlth", "check again"], ["hrunn", "health up"], ["hnolb", "health stopping"], ["hdown", "health down"], ["dagent", "stop asking the agent"], ["eagent", "ask the agent again"], ["arunn", "agent up"], ["adown", "agent down"], ["shutdown", "end sessions"]]; // prettier-ignore
  return `<section><h2>${escape(name)}</h2><form method="post" action="${escape(o.uri)}">${table}
<p class="act"><input type="hidden" name="b" value="#${back!.iid}"><label>With the chosen servers <select name="action">${options.map(([v, t]) => `<option value="${v}">${t}</option>`).join("")}</select></label> <button>Apply</button></p></form></section>`;
}

/** A value by its column's name. */
function of(engine: Engine, x: StatObject, name: string): number | string | undefined {
  return valueOf(
    COLUMNS.find((c) => c.name === name)!,
    x,
    engine,
  );
}
function row(engine: Engine, x: StatObject, forms: boolean): string {
  const get = (name: string): number => Number(of(engine, x, name) ?? 0);
  const isServer = x instanceof Server;
  const label = isServer ? x.name : x instanceof Backend ? "Backend" : "Frontend";
  const check = isServer ? checkText(x) : "";
  const since = isServer || x instanceof Backend ? ` for ${duration(get("lastchg"))}` : "";
  const samples = engine.history?.of(x) ?? { active: [], bytes: [] };
  const cells = [
    `<th scope="row">${escape(label)}${isServer ? `<small>${escape(`${of(engine, x, "addr")}`)}${x.config.backup ? ", backup" : ""}</small>` : ""}</th>`,
    `<td class="state ${colour(x)}">${escape(String(of(engine, x, "status")))}<small>${since}</small></td>`,
    `<td>${short(get("scur"))}</td>`,
    `<td>${short(get("smax"))}</td>`,
    `<td>${short(get("stot"))}</td>`,
    `<td>${sparkline(samples.active, "sessions")}</td>`,
    `<td>${short(get("bin"))}B</td>`,
    `<td>${short(get("bout"))}B</td>`,
    `<td>${x instanceof Frontend ? "" : short(get("qcur"))}</td>`,
    `<td>${short(get("econ") + get("ereq"))}</td>`,
    `<td>${x instanceof Frontend ? "" : `${short(get("wretr"))} / ${short(get("wredis"))}`}</td>`,
    `<td>${check}</td>`,
    `<td>${x instanceof Frontend ? "" : get("weight")}</td>`,
  ];
  const box = forms
    ? `<td>${isServer ? `<input type="checkbox" name="s" value="${escape(x.name)}" aria-label="choose ${escape(x.name)}">` : ""}</td>`
    : "";
  return `<tr class="${isServer ? "server" : "sum"}">${box}${cells.join("")}</tr>`;
}
function checkText(s: Server): string {
  if (!s.isChecked) return s.tracks === null ? "-" : `as ${escape(s.tracks.path)}`;
  const last = s.health.last;
  if (last === null) return "not yet";
  return `<span title="${escape(last.info)}">${last.status} ${last.durationMs} ms</span>`;
}

/** The Runtime API's `show` commands (HAProxy management guide 9.3; notes 1.12): state in, text out. COLD. */
import { haproxyVersionNumber } from "../../cli/version.ts";
import { checkStateOf, serverLines, STATE_HEADER } from "../server_state.ts";
import type { Session } from "../session.ts";
import { csv, EVERYTHING, json, typed, type StatFilter } from "../stats/columns.ts";
import { infoText } from "./info.ts";
import { backendOf, command, LEVELS, type Call, type Command } from "./command.ts";

function showStat({ engine, args }: Call): string {
  const filter: StatFilter = { ...EVERYTHING };
  let form = "";
  let i = 2;
  if (args[4] !== undefined && /^-?\d+$/.test(args[4])) {
    const named = engine.backends.get(args[2]!)?.iid ?? engine.frontends.find((f) => f.name === args[2])?.iid;
    filter.iid = named ?? (Number(args[2]) || -1);
    filter.kinds = Number(args[3]) || 0;
    filter.sid = Number(args[4]);
    if (filter.kinds < 0) filter.kinds = 7;
    i = 5;
  }
  for (; i < args.length; i++) {
    const a = args[i]!;
    if (a === "typed" || a === "json") form = a;
    else if (a === "up") filter.upOnly = true;
    else if (a === "no-maint") filter.noMaintenance = true;
  }
  if (form === "typed") return typed(engine, filter);
  return form === "json" ? json(engine, filter) : csv(engine, filter);
}

function showInfo({ engine, args }: Call): string {
  const form = args.slice(2).find((a) => a === "typed" || a === "json" || a === "desc") ?? "";
  return infoText(engine, form as "");
}

function showServers({ engine, args }: Call): string {
  const only = args[3];
  if (only !== undefined && backendOf(engine, only) === null) return "Can't find backend.\n";
  const backs = [...engine.backends.values()].filter((b) => only === undefined || b.name === only);
  if (args[2] === "state") return `1\n${STATE_HEADER}\n${backs.map((b) => serverLines(b).join("")).join("")}`;
  const head =
    "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[1]\n";
  const lines = backs.flatMap((b) =>
    b.servers.map(
      (s) =>
        `${s.path} ${b.iid}/${s.sid} ${s.host || "-"} ${s.port} - 5000 ${s.active} ${s.activeMax} ${Math.max(s.active, s.activeMax > 0 ? 1 : 0)} 0 0 -1 0 0\n`,
    ),
  );
  return head + lines.join("");
}

/** A session's name on this interface. */
export function sessionKey(s: Session): string {
  return `0x${(0x7f0000000000 + s.client.id * 16).toString(16)}`;
}
export function* sessions(engine: Call["engine"]): Generator<Session> {
  for (const f of engine.frontends) yield* f.sessions;
}
const agoText = (ms: number): string => {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${s % 60 === 0 ? "" : `${s % 60}s`}`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${Math.floor(s / 60) % 60 === 0 ? "" : `${Math.floor(s / 60) % 60}m`}`;
  return `${Math.floor(s / 86400)}d${Math.floor(s / 3600) % 24 === 0 ? "" : `${Math.floor(s / 3600) % 24}h`}`;
};
function proto(s: Session): string {
  return s.client.path !== "" ? "unix_stream" : s.client.remoteAddress.includes(":") ? "tcpv6" : "tcpv4";
}
const source = (s: Session): string => (s.client.path !== "" ? "unix:1" : `${s.client.remoteAddress}:${s.client.remotePort}`);
const expiry = (s: Session, now: number): string => (s.heapAt < 0 ? "" : agoText(s.deadlineMs - now));

function sessionLine(s: Session, now: number): string {
  const age = agoText(now - s.acceptedMs);
  const queued = (side: "up" | "down"): number => (side === "up" ? s.pendingUp() : (s.down?.length ?? 0));
  const rq = (n: number): string => `[f=808000h,i=${n},an=00h,rx=${expiry(s, now)},wx=,ax=]`;
  return (
    `${sessionKey(s)}: proto=${proto(s)} src=${source(s)} fe=${s.front.name} be=${s.back?.name ?? "<NONE>"} srv=${s.target?.name ?? "<none>"} ` +
    `ts=00 epoch=0 age=${age} calls=1 rate=0 cpu=0 lat=0 rq${rq(queued("up"))} rp${rq(queued("down"))} ` +
    `scf=[8,0h,fd=${s.client.fd}] scb=[8,1h,fd=${s.server?.fd ?? -1}] exp=${expiry(s, now)} rc=${s.retried} c_exp=\n`
  );
}
function sessionDetails(s: Session, now: number): string {
  const { front, back, target } = s;
  return [
    `${sessionKey(s)}: [${new Date(s.acceptedAt).toISOString()}] id=${s.client.id} proto=${proto(s)} source=${source(s)}`,
    `  flags=0x0, conn_retries=${s.retried}, conn_exp=<NEVER> state=${s.state} waiting=${s.back?.queue.includes(s) === true ? 1 : 0}`,
    `  frontend=${front.name} (id=${front.iid} mode=${front.config.mode}), listener=? (id=1) addr=${s.client.localText}`,
    `  backend=${back?.name ?? "<NONE>"} (id=${back?.iid ?? -1} mode=${back?.config.mode ?? "-"}) addr=${s.server?.localText ?? "-"}`,
    `  server=${target?.name ?? "<NONE>"} (id=${target?.sid ?? -1}) addr=${s.server?.remoteText ?? "-"}`,
    `  resp=${s.resp === null ? "no" : s.resp.opaque ? "opaque" : s.resp.isIdle ? "idle" : "busy"} gated=${s.gated ? 1 : 0}`,
    `  req: total=${s.bytesUp} waiting=${s.pendingUp()}`,
    `  res: total=${s.bytesDown} waiting=${s.down?.length ?? 0}`,
    `  age=${agoText(now - s.acceptedMs)} exp=${expiry(s, now) || "<NEVER>"}`,
    "",
  ].join("\n");
}
function showSess({ engine, args }: Call): string {
  const which = args[2];
  const now = performance.now();
  const all = [...sessions(engine)];
  if (which === "all") return all.map((s) => sessionDetails(s, now)).join("");
  if (which?.startsWith("0x")) {
    const found = all.find((s) => sessionKey(s) === which);
    return found === undefined ? "Session not found.\n" : sessionDetails(found, now);
  }
  return all.map((s) => sessionLine(s, now)).join("");
}

function showErrors({ engine, args }: Call): string {
  const name = args[2];
  if (name !== undefined && !/^-?\d+$/.test(name) && !engine.backends.has(name) && !engine.frontends.some((f) => f.name === name))
    return "No such proxy.\n";
  const d = new Date();
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const two = (n: number): string => String(n).padStart(2, "0");
  const when = `${two(d.getDate())}/${months[d.getMonth()]}/${d.getFullYear()}:${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return `Total events captured on [${when}.${String(d.getMilliseconds()).padStart(3, "0")}] : 0\n`;
}

const RESOLVER_COUNTERS = [
  "sent", "snd_error", "valid", "update", "cname", "cname_error", "any_err", "nx", "timeout", "refused", "other", "invalid", "too_big",
  "truncated", "outdated",
]; // prettier-ignore
function showResolvers({ engine, args }: Call): string {
  const only = args[2];
  const found = engine.config.resolvers.filter((r) => only === undefined || r.name === only);
  if (only !== undefined && found.length === 0) return "Can't find that resolvers section\n";
  return found
    .map((r) => {
      const running = engine.resolvings.find((x) => x.query.section === r);
      const servers = r.nameservers.map((n) => {
        const of = running?.query.counters(n.name);
        const lines = RESOLVER_COUNTERS.map((k) => `  ${`${k}:`.padEnd(13)}${of?.[k as keyof typeof of] ?? 0}\n`);
        return ` nameserver ${n.name}:\n${lines.join("")}`;
      });
      return `Resolvers section ${r.name}\n${servers.join("")}`;
    })
    .join("\n");
}

function showCliSockets({ engine }: Call): string {
  const lines = engine.config.global.statsSockets.map((b) => {
    const where =
      b.path !== ""
        ? b.path.startsWith("\0")
          ? `abns@${b.path.slice(1)}`
          : `unix@${b.path}`
        : `${b.host.includes(":") ? "ipv6" : "ipv4"}@${b.host || "*"}:${b.port}`;
    return `${where} ${b.level} all\n`;
  });
  return `# socket lvl processes\n${lines.join("")}`;
}

function showEvents({ engine, args, follow }: Call): string {
  const rings = engine.logs.rings;
  const name = args[2];
  if (name !== undefined && !name.startsWith("-")) {
    if (name === "stdout" || name === "stderr") return "Nothing to report for this sink";
    const ring = rings.get(name);
    if (ring === undefined) return "No such event sink";
    const flags = args.slice(3).join("");
    if (!/^(-[wn]+)*$/.test(flags)) return "unknown option";
    const lines = flags.includes("n") ? "" : ring.lines.map((l) => `${l}\n`).join("");
    if (flags.includes("w")) follow(ring);
    return lines;
  }
  const line = (n: string, type: string, text: string): string => `    ${n.padEnd(10)} : type=${type}, 0 dropped, ${text}\n`;
  return (
    "Supported events sinks are listed below. Add -w(wait), -n(new). Any key to stop\n" +
    line("stdout", "fd", "standard output (fd#1)") +
    line("stderr", "fd", "standard output (fd#2)") +
    [...rings.values()].map((r) => line(r.name, "buffer", r.description)).join("")
  );
}

/** Ours: who is master by whose word, and what the proxy does about it. */
function showTopology({ engine }: Call): string {
  let text = "";
  for (const b of engine.backends.values()) {
    if (!b.byAuthority) continue;
    text += `backend ${b.name}: ${b.chosen === null ? "holding, no master is confirmed" : `master ${b.chosen.name}`}; ${b.held.size} held, ${b.active} sessions\n`;
    for (const s of b.servers)
      text += `  ${s.name} ${s.host}:${s.port} ${s === b.chosen ? "chosen" : "-"} ${s.statusText}, ${s.active} sessions\n`;
  }
  return text === "" ? "No backend follows a Redis master.\n" : text;
}

export const SHOW: Command[] = [
  command("show activity", "activity of this process", 1, ({ engine }) => {
    const m = process.memoryUsage();
    return `thread_id: 1 (1..1)\ndate_now: ${(Date.now() / 1000).toFixed(6)}\naccepted: ${engine.connections}\nsessions: ${engine.active}\nrss: ${m.rss}\nheap: ${m.heapUsed}\n`;
  }),
  command(
    "show backend",
    "names of the backends",
    0,
    ({ engine }) => `# name\n${[...engine.backends.keys()].map((n) => `${n}\n`).join("")}`,
  ),
  command("show cli level", "level of this connection", 0, ({ level }) => `${LEVELS[level]}\n`),
  command("show cli sockets", "admin sockets", 1, showCliSockets),
  command("show env [var]", "environment variables", 1, ({ args }) => {
    const name = args[2];
    if (name !== undefined) return process.env[name] === undefined ? "Variable not found\n" : `${name}=${process.env[name]}\n`;
    return Object.entries(process.env).map(([k, v]) => `${k}=${v}\n`).join(""); // prettier-ignore
  }),
  command("show errors [<px>] [request|response]", "last invalid requests and responses", 1, showErrors),
  command("show events [<sink>] [-w] [-n]", "log rings, or the lines of one", 1, showEvents),
  command("show fd [num]", "open files in use", 1, ({ engine }) =>
    [...sessions(engine)].map((s) => `${String(s.client.fd).padStart(7)} : fe=${s.front.name} src=${source(s)}\n`).join(""),
  ),
  command("show info [desc|json|typed|float]*", "what is known of the process", 0, showInfo),
  command("show peers [dict|-] [section]", "peers: there are none", 0, () => ""),
  command("show pools", "memory in use", 1, () => {
    const m = process.memoryUsage();
    return `Dumping pools usage.\n  - rss ${m.rss} bytes, heap ${m.heapUsed} of ${m.heapTotal} bytes, external ${m.external} bytes\n`;
  }),
  command("show redis topology", "masters, replicas, what is held (redisha)", 0, showTopology),
  command("show resolvers [id]", "counters of the resolvers sections", 0, showResolvers),
  command(
    "show schema json",
    "schema of the statistics",
    0,
    () =>
      `${JSON.stringify({
        $schema: "http://json-schema.org/draft-04/schema#",
        oneOf: [
          { title: "Info", type: "array" },
          { title: "Stat", type: "array" },
        ],
      })}`,
  ),
  command("show servers conn [<backend>]", "connections of the servers", 1, showServers),
  command("show servers state [<backend>]", "state of the servers, as a server state file has it", 1, showServers),
  command("show sess [id]", "sessions, or all of one", 1, showSess),
  command("show startup-logs", "what was said while starting", 0, ({ engine }) => engine.startupLog),
  command("show stat [desc|json|no-maint|typed|up]*", "counters of frontends, backends and servers", 0, showStat),
  command("show table <table> [<filter>]*", "stick tables: there are none", 0, ({ args }) =>
    args[2] === undefined ? "" : "No such table\n",
  ),
  command("show tasks", "deadlines being watched", 1, ({ engine }) => `Running tasks: ${engine.timers.size}\n`),
  command("show threads", "threads", 1, () => "* Thread 1 : act=1\n"),
  command("show version", "version of this process", 0, () => `${haproxyVersionNumber()}\n`),
];
export { checkStateOf };

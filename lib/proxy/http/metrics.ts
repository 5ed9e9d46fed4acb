/**
 * The Prometheus exporter (http-request use-service prometheus-exporter): HAProxy's metric names, types and labels over the columns of
 * `show stat` and the fields of `show info`; what mode redis knows beyond that is with the backends. COLD. `?scope=`, `?no-maint` and `?metrics=` narrow it down as there.
 */
import { INFO } from "../admin/info.ts";
import type { Engine } from "../engine.ts";
import { boardsOf, metricsText } from "../redis/report.ts";
import { Backend, Frontend, Server } from "../state.ts";
import { COLUMNS, objects, stateWord, valueOf, type Column, type StatObject } from "../stats/columns.ts";
import type { HttpAnswer } from "./request.ts";

/** Fields of `show info`: their metric's name without `haproxy_process_`, and `c` for counters. */
export const PROCESS: Record<string, string> = {
  Nbthread: "nbthread", Nbproc: "nbproc", Process_num: "relative_process_id", Uptime_sec: "uptime_seconds", PoolFailed: "pool_failures_total c",
  "Ulimit-n": "max_fds", Maxsock: "max_sockets", Maxconn: "max_connections", Hard_maxconn: "hard_max_connections",
  CurrConns: "current_connections", CumConns: "connections_total c", CumReq: "requests_total c", MaxSslConns: "max_ssl_connections",
  CurrSslConns: "current_ssl_connections", CumSslConns: "ssl_connections_total c", Maxpipes: "max_pipes", PipesUsed: "pipes_used_total c",
  PipesFree: "pipes_free_total c", ConnRate: "current_connection_rate", ConnRateLimit: "limit_connection_rate",
  MaxConnRate: "max_connection_rate", SessRate: "current_session_rate", SessRateLimit: "limit_session_rate",
  MaxSessRate: "max_session_rate", SslRate: "current_ssl_rate", SslRateLimit: "limit_ssl_rate", MaxSslRate: "max_ssl_rate",
  SslFrontendKeyRate: "current_frontend_ssl_key_rate", SslFrontendMaxKeyRate: "max_frontend_ssl_key_rate",
  SslFrontendSessionReuse_pct: "frontend_ssl_reuse", SslBackendKeyRate: "current_backend_ssl_key_rate",
  SslBackendMaxKeyRate: "max_backend_ssl_key_rate", SslCacheLookups: "ssl_cache_lookups_total c", SslCacheMisses: "ssl_cache_misses_total c",
  CompressBpsIn: "http_comp_bytes_in_total c", CompressBpsOut: "http_comp_bytes_out_total c", CompressBpsRateLim: "limit_http_comp",
  ZlibMemUsage: "current_zlib_memory", MaxZlibMemUsage: "max_zlib_memory", Tasks: "current_tasks", Run_queue: "current_run_queue",
  Idle_pct: "idle_time_percent", Stopping: "stopping", Jobs: "jobs", "Unstoppable Jobs": "unstoppable_jobs", Listeners: "listeners",
  ActivePeers: "active_peers", ConnectedPeers: "connected_peers", DroppedLogs: "dropped_logs_total c", BusyPolling: "busy_polling_enabled",
  FailedResolutions: "failed_resolutions c", TotalBytesOut: "bytes_out_total c", TotalSplicdedBytesOut: "spliced_bytes_out_total c",
  BytesOutRate: "bytes_out_rate", CumRecvLogs: "recv_logs_total c", "Build info": "build_info", Memmax_bytes: "max_memory_bytes",
  PoolAlloc_bytes: "pool_allocated_bytes", PoolUsed_bytes: "pool_used_bytes", Start_time_sec: "start_time_seconds",
}; // prettier-ignore

/** Columns: metric's name behind the kind, scopes (f, b, s), `c` counter, `m` milliseconds shown in seconds. */
export const STATS: Record<string, string> = {
  qcur: "current_queue bs", qmax: "max_queue bs", scur: "current_sessions fbs", smax: "max_sessions fbs", slim: "limit_sessions fbs",
  stot: "sessions_total fbs c", bin: "bytes_in_total fbs c", bout: "bytes_out_total fbs c", dreq: "requests_denied_total fb c",
  dresp: "responses_denied_total fbs c", ereq: "request_errors_total f c", econ: "connection_errors_total bs c",
  eresp: "response_errors_total bs c", wretr: "retry_warnings_total bs c", wredis: "redispatch_warnings_total bs c", status: "status fbs",
  weight: "weight bs", act: "active_servers b", bck: "backup_servers b", chkfail: "check_failures_total s c",
  chkdown: "check_up_down_total bs c", lastchg: "check_last_change_seconds bs", downtime: "downtime_seconds_total bs c",
  qlimit: "queue_limit s", throttle: "current_throttle s", lbtot: "loadbalanced_total bs c", rate_lim: "limit_session_rate f",
  rate_max: "max_session_rate fbs", check_status: "check_status s", check_code: "check_code s", check_duration: "check_duration_seconds s m",
  comp_in: "http_comp_bytes_in_total f c", comp_out: "http_comp_bytes_out_total f c", comp_byp: "http_comp_bytes_bypassed_total f c",
  comp_rsp: "http_comp_responses_total f c", cli_abrt: "client_aborts_total bs c", srv_abrt: "server_aborts_total bs c",
  conn_rate_max: "connections_rate_max f", conn_tot: "connections_total f c", dcon: "denied_connections_total f c",
  dses: "denied_sessions_total f c", lastsess: "last_session_seconds bs", qtime: "queue_time_average_seconds bs m",
  ctime: "connect_time_average_seconds bs m", rtime: "response_time_average_seconds bs m", ttime: "total_time_average_seconds bs m",
  wrew: "failed_header_rewriting_total fbs c", connect: "connection_attempts_total bs c", reuse: "connection_reuses_total bs c",
  srv_icur: "idle_connections_current s", src_ilim: "idle_connections_limit s", qtime_max: "max_queue_time_seconds bs m",
  ctime_max: "max_connect_time_seconds bs m", rtime_max: "max_response_time_seconds bs m", ttime_max: "max_total_time_seconds bs m",
  eint: "internal_errors_total fbs c", idle_conn_cur: "unsafe_idle_connections_current s", safe_conn_cur: "safe_idle_connections_current s",
  used_conn_cur: "used_connections_current s", need_conn_est: "need_connections_current s", uweight: "uweight bs",
  agg_server_status: "agg_server_status b", agg_server_check_status: "agg_server_check_status b", agg_check_status: "agg_check_status b",
}; // prettier-ignore

const FRONT_STATES = ["DOWN", "UP"];
const SERVER_STATES = ["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];
const CHECK_STATES = [
  "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP", "L7OK", "L7OKC", "L7STS", "PROCERR",
  "PROCTOUT", "PROCOK",
]; // prettier-ignore

const KINDS = [
  { letter: "f", name: "frontend", is: (o: StatObject) => o instanceof Frontend },
  { letter: "b", name: "backend", is: (o: StatObject) => o instanceof Backend },
  { letter: "s", name: "server", is: (o: StatObject) => o instanceof Server },
];

/** One-hot states, or how many servers are in each. */
function states(o: StatObject, column: string): [string, number][] | null {
  const hot = (all: string[], now: string): [string, number][] => all.map((s) => [s, s === now ? 1 : 0]);
  if (column === "status") {
    if (o instanceof Frontend) return hot(FRONT_STATES, o.stopped ? "DOWN" : "UP");
    return o instanceof Backend ? hot(FRONT_STATES, o.wasUp ? "UP" : "DOWN") : hot(SERVER_STATES, stateWord(o));
  }
  if (column === "check_status" && o instanceof Server) return hot(CHECK_STATES, o.isChecked && o.health.checks > 0 ? o.health.status : "");
  if (!column.startsWith("agg_") || !(o instanceof Backend)) return null;
  if (column === "agg_check_status")
    return CHECK_STATES.map((s) => [s, o.servers.filter((x) => x.isChecked && x.health.checks > 0 && x.health.status === s).length]);
  return SERVER_STATES.map((s) => [s, o.servers.filter((x) => stateWord(x) === s).length]);
}

const label = (text: string): string => text.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));
function labels(o: StatObject): string {
  return o instanceof Server ? `proxy="${label(o.backend.name)}",server="${label(o.name)}"` : `proxy="${label(o.name)}"`;
}

/** The page; `target` carries the narrowing query. */
export function metrics(engine: Engine, target: string): HttpAnswer {
  const query = new URLSearchParams(target.split("?")[1] ?? "");
  const scopes = query.getAll("scope").filter((s) => s !== "*");
  const wanted = query.getAll("metrics").flatMap((m) => m.split(","));
  const shown = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
  const inScope = (s: string): boolean => scopes.length === 0 || scopes.includes(s);
  const out: string[] = [];
  if (inScope("global")) process_(engine, out, shown);
  const all = objects(engine).filter((o) => !(query.has("no-maint") && o instanceof Server && o.inMaintenance));
  for (const kind of KINDS) {
    if (!inScope(kind.name)) continue;
    const own = all.filter(kind.is);
    for (const c of COLUMNS) family(engine, out, c, kind, own, shown);
  }
  if (inScope("backend")) out.push(metricsText(boardsOf(engine), shown));
  return {
    status: 200,
    headers: [
      ["cache-control", "no-cache"],
      ["content-type", "text/plain; version=0.0.4"],
    ],
    body: out.join(""),
  };
}

function process_(engine: Engine, out: string[], shown: (name: string) => boolean): void {
  for (const f of INFO) {
    const [suffix, flag] = (PROCESS[f.name] ?? "").split(" ");
    const name = `haproxy_process_${suffix}`;
    if (suffix === undefined || suffix === "" || !shown(name)) continue;
    const value = f.of(engine);
    const line = f.name === "Build info" ? `${name}{version="${label(String(value))}"} 1` : `${name} ${value}`;
    out.push(`# HELP ${name} ${f.text}\n# TYPE ${name} ${flag === "c" ? "counter" : "gauge"}\n${line}\n`);
  }
}

function family(
  engine: Engine,
  out: string[],
  c: Column,
  kind: { letter: string; name: string },
  own: StatObject[],
  shown: (name: string) => boolean,
): void {
  const [suffix, scopes, ...flags] = (STATS[c.name] ?? "").split(" ");
  const name = `haproxy_${kind.name}_${suffix}`;
  if (suffix === undefined || scopes === undefined || !scopes.includes(kind.letter) || own.length === 0 || !shown(name)) return;
  out.push(`# HELP ${name} ${suffix.replaceAll("_", " ")}\n# TYPE ${name} ${flags.includes("c") ? "counter" : "gauge"}\n`);
  for (const o of own) {
    const many = states(o, c.name);
    if (many !== null) {
      for (const [state, n] of many) out.push(`${name}{${labels(o)},state="${state}"} ${n}\n`);
      continue;
    }
    const value = valueOf(c, o, engine);
    const text = value === undefined ? "NaN" : flags.includes("m") ? (Number(value) / 1000).toFixed(6) : String(value);
    out.push(`${name}{${labels(o)}} ${text}\n`);
  }
}

/**
 * The statistics of frontends, backends and servers: one row a column of `show stat`, in HAProxy 2.6's order, which is a contract. CSV, typed
 * and JSON output, the Prometheus metrics and the page all read this table. COLD.
 *
 * A row: name, tags (origin, nature, scope: `show stat typed`), type, and what a frontend, a backend and a server answer. undefined: the
 * object has no such figure, the column stays empty. Columns behind `-` belong to protocol modules of the original and are always 0 here.
 */
import { countBytes } from "./bytes.ts";
import { STATUS, statusText, passed } from "../core/status.ts";
import type { Engine } from "../engine.ts";
import { throttlePercent } from "../slowstart.ts";
import { Backend, Frontend, Server } from "../state.ts";

export type StatObject = Frontend | Backend | Server;
export type StatValue = number | string | undefined;

type Of<T> = ((o: T, engine: Engine) => StatValue) | null;
export interface Column {
  name: string;
  /** Three letters: origin, nature, scope; servers' and backends' may differ (`own/server/backend`). */
  tags: string;
  serverTags: string;
  backTags: string;
  type: "str" | "u32" | "s32" | "u64";
  front: Of<Frontend>;
  back: Of<Backend>;
  server: Of<Server>;
  /** Protocol modules: kept apart by `-` in the header. */
  extra: boolean;
}

function column(name: string, tags: string, type: Column["type"], front: Of<Frontend>, back: Of<Backend>, server: Of<Server>): Column {
  const [own, ofServer, ofBackend] = tags.split("/");
  return { name, tags: own!, serverTags: ofServer ?? own!, backTags: ofBackend ?? own!, type, front, back, server, extra: false };
}
const none = (name: string, tags = "MCP", type: Column["type"] = "u64"): Column => column(name, tags, type, null, null, null);
const zero = (): StatValue => 0;

const ago = (ms: number): number => Math.floor((Date.now() - ms) / 1000);
const since = (ms: number): number => (ms === 0 ? -1 : ago(ms));
/** Whole weight of what takes traffic now: the active servers, else the backups. */
export function weightOf(b: Backend, of: (s: Server) => number): number {
  const active = b.servers.filter((s) => !s.config.backup && s.isUsable);
  const used = active.length > 0 ? active : b.servers.filter((s) => s.config.backup && s.isUsable);
  return Math.ceil(used.reduce((n, s) => n + of(s), 0));
}
function downtime(s: Server): number | undefined {
  if (!s.isChecked) return undefined;
  return Math.floor((s.downtimeMs + (s.isUp ? 0 : Date.now() - s.changedMs)) / 1000);
}
/** `show stat` has a word, and `* ` before it while the next check runs. */
function checkStatus(s: Server): string | undefined {
  if (!showsCheck(s)) return undefined;
  return (s.checking && s.health.checks > 0 ? "* " : "") + (s.health.checks === 0 ? "INI" : s.health.status);
}
const checked =
  (of: (s: Server) => StatValue): Of<Server> =>
  (s) =>
    s.isChecked && !s.checkPaused ? of(s) : undefined;
/** Results and settings of checks are not shown while none is made. */
const showsCheck = (s: Server): boolean => s.isChecked && !s.inMaintenance && !s.checkPaused;
const setting =
  (of: (s: Server) => StatValue): Of<Server> =>
  (s) =>
    showsCheck(s) ? of(s) : undefined;
const lastCheck =
  (of: (r: NonNullable<Server["health"]["last"]>) => StatValue): Of<Server> =>
  (s) =>
    showsCheck(s) && s.health.last !== null ? of(s.health.last) : undefined;
/** One of the four words that the aggregates of a backend count. */
export function stateWord(s: Server): "UP" | "DOWN" | "MAINT" | "DRAIN" | "NOLB" {
  if (s.inMaintenance) return "MAINT";
  if (!s.isUp) return "DOWN";
  return s.isDraining ? "DRAIN" : s.stopping ? "NOLB" : "UP";
}
function address(s: Server): string {
  if (s.config.path !== "") return s.config.path.startsWith("\0") ? `abns@${s.config.path.slice(1)}` : `unix:${s.config.path}`;
  if (s.unresolved && s.host === "") return "";
  const host = s.host.includes(":") ? `[${s.host}]` : s.host || "*";
  return `${host}:${s.port}`;
}

export const COLUMNS: Column[] = [
  column("pxname", "KNS", "str", (f) => f.name, (b) => b.name, (s) => s.backend.name),
  column("svname", "KNS", "str", () => "FRONTEND", () => "BACKEND", (s) => s.name),
  column("qcur", "MGP", "u32", null, (b) => b.queue.length, (s) => s.queue.length),
  column("qmax", "MMP", "u32", null, (b) => b.queuedMax, (s) => s.queuedMax),
  column("scur", "MGP", "u32", (f) => f.active, (b) => b.active, (s) => s.active),
  column("smax", "MMP", "u32", (f) => f.activeMax, (b) => b.activeMax, (s) => s.activeMax),
  column("slim", "CLP", "u32", (f, e) => f.maxconn || e.maxconn, (b) => b.fullconn, (s) => s.maxconn || undefined),
  column("stot", "MCP", "u64", (f) => f.sessionsTotal, (b) => b.sessionsTotal, (s) => s.sessionsTotal),
  column("bin", "MCP", "u64", (f) => f.bytesIn, (b) => b.bytesIn, (s) => s.bytesIn),
  column("bout", "MCP", "u64", (f) => f.bytesOut, (b) => b.bytesOut, (s) => s.bytesOut),
  column("dreq", "MCP", "u64", (f) => f.deniedRequests, zero, null),
  column("dresp", "MCP", "u64", zero, zero, zero),
  column("ereq", "MCP", "u64", (f) => f.requestErrors, null, null),
  column("econ", "MCP", "u64", null, (b) => b.connectErrors, (s) => s.connectErrors),
  column("eresp", "MCP", "u64", null, zero, zero),
  column("wretr", "MCP", "u64", null, (b) => b.retries, (s) => s.retries),
  column("wredis", "MCP", "u64", null, (b) => b.redispatches, (s) => s.redispatches),
  column("status", "SGP", "str", (f) => f.statusText, (b) => (b.wasUp ? "UP" : "DOWN"), (s) => s.statusText),
  column("weight", "MaP", "u32", null, (b) => weightOf(b, (s) => s.weight), (s) => Math.ceil(s.weight)),
  column("act", "MGP/SGP", "u32", null, (b) => b.activeServers, (s) => (s.config.backup ? 0 : 1)),
  column("bck", "MGP/SGP", "u32", null, (b) => b.backupServers, (s) => (s.config.backup ? 1 : 0)),
  column("chkfail", "MCP", "u64", null, null, checked((s) => s.health.failures)),
  column("chkdown", "MCP", "u64", null, (b) => b.downs, checked((s) => s.health.downs)),
  column("lastchg", "MAP", "u32", null, (b) => ago(b.changedMs), (s) => ago(s.changedMs)),
  column("downtime", "MCP", "u32", null, (b) => Math.floor((b.downtimeMs + (b.wasUp ? 0 : Date.now() - b.changedMs)) / 1000), downtime),
  column("qlimit", "CLS", "u32", null, null, (s) => s.config.maxqueue || undefined),
  column("pid", "KGP", "u32", () => 1, () => 1, () => 1),
  column("iid", "KGS", "u32", (f) => f.iid, (b) => b.iid, (s) => s.backend.iid),
  column("sid", "KGS", "u32", zero, zero, (s) => s.sid),
  column("throttle", "MaP", "u32", null, null, (s) => (s.warmingSinceMs > 0 ? throttlePercent(s) : undefined)),
  column("lbtot", "MCP", "u64", null, (b) => b.balanced, (s) => s.balanced),
  column("tracked", "CNS", "str", null, null, (s) => s.tracks?.path),
  column("type", "CGS", "u32", () => 0, () => 1, () => 2),
  column("rate", "MRP/MRP/MGP", "u32", (f) => f.rate.read(Date.now()), (b) => b.rate.read(Date.now()), (s) => s.rate.read(Date.now())),
  column("rate_lim", "CLP", "u32", zero, null, null),
  column("rate_max", "MMP/MMP/MGP", "u32", (f) => f.rate.max, (b) => b.rate.max, (s) => s.rate.max),
  column("check_status", "MOP", "str", null, null, checkStatus),
  column("check_code", "MOP", "u32", null, null, lastCheck((r) => (STATUS[r.status] >= STATUS.L7OK ? r.code : undefined))),
  column("check_duration", "MDP", "u64", null, null, lastCheck((r) => (r.durationMs < 0 ? undefined : r.durationMs))),
  ...["1xx", "2xx", "3xx", "4xx", "5xx", "other"].map((c) => none(`hrsp_${c}`)),
  column("hanafail", "MCP", "u64", null, null, (s) => (s.config.observe !== "" && showsCheck(s) ? s.observedFailures : undefined)),
  column("req_rate", "MRP", "u32", zero, null, null),
  column("req_rate_max", "MMP", "u32", zero, null, null),
  column("req_tot", "MCP", "u64", zero, null, null),
  column("cli_abrt", "MCP", "u64", null, (b) => b.clientAborts, (s) => s.clientAborts),
  column("srv_abrt", "MCP", "u64", null, (b) => b.serverAborts, (s) => s.serverAborts),
  ...["comp_in", "comp_out", "comp_byp", "comp_rsp"].map((n) => column(n, "MCP", "u64", zero, zero, null)),
  column("lastsess", "MAP", "s32", null, (b) => since(b.lastSessionMs), (s) => since(s.lastSessionMs)),
  column("last_chk", "MOP", "str", null, null, lastCheck((r) => r.info)),
  column("last_agt", "MOP", "str", null, null, (s) => s.agent?.lastText),
  column("qtime", "MaP", "u32", null, (b) => b.times.queue.value, (s) => s.times.queue.value),
  column("ctime", "MaP", "u32", null, (b) => b.times.connect.value, (s) => s.times.connect.value),
  column("rtime", "MaP", "u32", null, zero, zero),
  column("ttime", "MaP", "u32", null, (b) => b.times.total.value, (s) => s.times.total.value),
  column("agent_status", "MOP", "str", null, null, (s) => s.agent?.statusName),
  column("agent_code", "MOP", "u32", null, null, (s) => (/^L7(OK|OKC|STS)$/.test(s.agent?.statusName ?? "") ? 0 : undefined)),
  column("agent_duration", "MDP", "u64", null, null, (s) => s.agent?.durationMs),
  column("check_desc", "MOP", "str", null, null, lastCheck((r) => statusText(r.status))),
  column("agent_desc", "MOP", "str", null, null, (s) => s.agent?.description),
  column("check_rise", "CGS", "u32", null, null, setting((s) => s.health.settings.rise)),
  column("check_fall", "CGS", "u32", null, null, setting((s) => s.health.settings.fall)),
  column("check_health", "CGS", "u32", null, null, setting((s) => s.health.counter)),
  column("agent_rise", "CGS", "u32", null, null, (s) => (s.agent === null ? undefined : 1)),
  column("agent_fall", "CGS", "u32", null, null, (s) => (s.agent === null ? undefined : 1)),
  column("agent_health", "CGS", "u32", null, null, (s) => (s.agent === null ? undefined : s.agent.isDown ? 0 : 1)),
  column("addr", "CGS", "str", null, null, address),
  column("cookie", "CNS", "str", null, null, (s) => s.config.cookie || undefined),
  column("mode", "CGS", "str", (f) => f.config.mode, (b) => b.config.mode, (s) => s.backend.config.mode),
  column("algo", "CGS", "str", null, (b) => b.config.balance, null),
  column("conn_rate", "MRP", "u32", (f) => f.connectionRate.read(Date.now()), null, null),
  column("conn_rate_max", "MMP", "u32", (f) => f.connectionRate.max, null, null),
  column("conn_tot", "MCP", "u64", (f) => f.connections, null, null),
  none("intercepted"),
  column("dcon", "MCP", "u64", (f) => f.denied, null, null),
  column("dses", "MCP", "u64", (f) => f.deniedSessions, null, null),
  column("wrew", "MCP", "u64", zero, zero, zero),
  column("connect", "MCP", "u64", null, (b) => b.connections, (s) => s.connections),
  column("reuse", "MCP", "u64", null, zero, zero),
  none("cache_lookups"),
  none("cache_hits"),
  column("srv_icur", "MGP", "u32", null, null, zero),
  none("src_ilim", "CLP", "u32"),
  column("qtime_max", "MMP", "u32", null, (b) => b.times.queue.max, (s) => s.times.queue.max),
  column("ctime_max", "MMP", "u32", null, (b) => b.times.connect.max, (s) => s.times.connect.max),
  column("rtime_max", "MMP", "u32", null, zero, zero),
  column("ttime_max", "MMP", "u32", null, (b) => b.times.total.max, (s) => s.times.total.max),
  column("eint", "MCP", "u64", zero, zero, zero),
  column("idle_conn_cur", "MGP", "u32", null, null, zero),
  column("safe_conn_cur", "MGP", "u32", null, null, zero),
  column("used_conn_cur", "MGP", "u32", null, null, (s) => s.active),
  column("need_conn_est", "MGP", "u32", null, null, (s) => s.active),
  column("uweight", "MaP", "u32", null, (b) => weightOf(b, (s) => s.userWeight), (s) => s.userWeight),
  ...["agg_server_status", "agg_server_check_status", "agg_check_status"].map((n) => column(n, "MGP", "u32", null, zero, null)),
  ...["ssl_sess", "ssl_reused_sess", "ssl_failed_handshake"].map((n) => ({ ...column(n, "MCP", "u64", zero, zero, zero), extra: true })),
  ...[
    "h2_headers_rcvd", "h2_data_rcvd", "h2_settings_rcvd", "h2_rst_stream_rcvd", "h2_goaway_rcvd", "h2_detected_conn_protocol_errors",
    "h2_detected_strm_protocol_errors", "h2_rst_stream_resp", "h2_goaway_resp", "h2_open_connections", "h2_backend_open_streams",
    "h2_total_connections", "h2_backend_total_streams", "h1_open_connections", "h1_open_streams", "h1_total_connections",
    "h1_total_streams", "h1_bytes_in", "h1_bytes_out", "h1_spliced_bytes_in", "h1_spliced_bytes_out",
  ].map((n) => ({ ...column(n, n.includes("open_") ? "MGP" : "MCP", "u64", zero, zero, null), extra: true })),
]; // prettier-ignore

/** The value of one column of one object. */
export function valueOf(c: Column, o: StatObject, engine: Engine): StatValue {
  if (o instanceof Frontend) return c.front?.(o, engine);
  return o instanceof Backend ? c.back?.(o, engine) : c.server?.(o, engine);
}

/** Frontends and backends in the order of the file, a listen section's servers between its two halves. */
export function objects(engine: Engine): StatObject[] {
  countBytes(engine);
  const all: StatObject[] = [];
  for (const p of engine.config.proxies) {
    const front = engine.frontends.find((f) => f.config === p);
    const back = engine.backends.get(p.name);
    if (front !== undefined) all.push(front);
    if (back !== undefined && back.config === p) all.push(...back.servers, back);
  }
  return all;
}

/** Which lines of `show stat`: a proxy's number (-1: all), kinds (1 frontends, 2 backends, 4 servers), a server's number. */
export interface StatFilter {
  iid: number;
  kinds: number;
  sid: number;
  upOnly: boolean;
  noMaintenance: boolean;
}
export const EVERYTHING: StatFilter = { iid: -1, kinds: 7, sid: -1, upOnly: false, noMaintenance: false };

export function selected(engine: Engine, filter: StatFilter): StatObject[] {
  return objects(engine).filter((o) => {
    const iid = o instanceof Server ? o.backend.iid : o.iid;
    if (filter.iid > 0 && iid !== filter.iid) return false;
    if (o instanceof Frontend) return (filter.kinds & 1) !== 0 && filter.sid <= 0;
    if (o instanceof Backend) return (filter.kinds & 2) !== 0 && filter.sid <= 0;
    if ((filter.kinds & 4) === 0 || (filter.sid > 0 && o.sid !== filter.sid)) return false;
    return !(filter.noMaintenance && o.inMaintenance) && !(filter.upOnly && !o.isUp);
  });
}

/** A field of CSV: quoted where it has to be. */
export function csvField(v: StatValue): string {
  if (v === undefined) return "";
  const text = String(v);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
export function csv(engine: Engine, filter: StatFilter): string {
  const plain = COLUMNS.filter((c) => !c.extra);
  const extra = COLUMNS.filter((c) => c.extra);
  const head = `# ${plain.map((c) => c.name).join(",")},-,${extra.map((c) => c.name).join(",")},\n`;
  const line = (o: StatObject): string => {
    const fields = (columns: Column[]): string => columns.map((c) => csvField(valueOf(c, o, engine))).join(",");
    return `${fields(plain)},-,${fields(extra)},\n`;
  };
  return head + selected(engine, filter).map(line).join("");
}

const ORIGIN: Record<string, string> = { M: "Metric", S: "Status", K: "Key", C: "Config", P: "Product" };
const NATURE: Record<string, string> = {
  G: "Gauge", M: "Max", L: "Limit", C: "Counter", N: "Name", A: "Age", a: "Avg", R: "Rate", O: "Output", D: "Duration", T: "Time",
}; // prettier-ignore
const SCOPE: Record<string, string> = { P: "Process", S: "Service", C: "Cluster" };
export function tagsOf(tags: string): { origin: string; nature: string; scope: string } {
  return { origin: ORIGIN[tags[0]!]!, nature: NATURE[tags[1]!]!, scope: SCOPE[tags[2]!]! };
}

function kindOf(o: StatObject): { letter: string; name: string; iid: number; sid: number } {
  if (o instanceof Frontend) return { letter: "F", name: "Frontend", iid: o.iid, sid: 0 };
  if (o instanceof Backend) return { letter: "B", name: "Backend", iid: o.iid, sid: 0 };
  return { letter: "S", name: "Server", iid: o.backend.iid, sid: o.sid };
}
/** Each field of each object that has it. */
function* fields(
  engine: Engine,
  filter: StatFilter,
): Generator<{ o: StatObject; at: number; c: Column; tags: string; value: number | string }> {
  for (const o of selected(engine, filter)) {
    for (let at = 0; at < COLUMNS.length; at++) {
      const c = COLUMNS[at]!;
      const value = valueOf(c, o, engine);
      if (value !== undefined)
        yield { o, at, c, tags: o instanceof Server ? c.serverTags : o instanceof Backend ? c.backTags : c.tags, value };
    }
  }
}
export function typed(engine: Engine, filter: StatFilter): string {
  let text = "";
  for (const { o, at, c, tags, value } of fields(engine, filter)) {
    const k = kindOf(o);
    text += `${k.letter}.${k.iid}.${k.sid}.${at}.${c.name}.1:${tags}:${c.type}:${value}\n`;
  }
  return text;
}
export function json(engine: Engine, filter: StatFilter): string {
  const lists: object[][] = [];
  let last: StatObject | null = null;
  for (const { o, at, c, tags, value } of fields(engine, filter)) {
    if (last !== o) lists.push([]);
    last = o;
    const k = kindOf(o);
    lists.at(-1)!.push({
      objType: k.name,
      proxyId: k.iid,
      id: k.sid,
      field: { pos: at, name: c.name },
      processNum: 1,
      tags: tagsOf(tags),
      value: { type: c.type, value },
    });
  }
  return JSON.stringify(lists);
}

/** `clear counters`: maxima; with `all` every counter but those of the present. */
export function clearCounters(engine: Engine, all: boolean): void {
  for (const o of objects(engine)) {
    if (o instanceof Frontend) o.connectionRate.max = 0;
    else o.times.clearMax();
    o.rate.max = 0;
    o.activeMax = o.active;
    if (o instanceof Server) o.queuedMax = o.queue.length;
    if (o instanceof Backend) o.queuedMax = o.queue.length;
    if (!all) continue;
    o.sessionsTotal = 0;
    o.bytesIn = 0;
    o.bytesOut = 0;
    o.connections = 0;
    if (o instanceof Frontend) {
      o.denied = 0;
      o.deniedSessions = 0;
      o.deniedRequests = 0;
      o.requestErrors = 0;
      continue;
    }
    o.connectErrors = 0;
    o.retries = 0;
    o.redispatches = 0;
    o.clientAborts = 0;
    o.serverAborts = 0;
    o.balanced = 0;
    o.downtimeMs = 0;
    if (o instanceof Backend) o.downs = 0;
    else {
      o.observedFailures = 0;
      o.health.failures = 0;
      o.health.downs = 0;
      o.health.checks = Math.min(o.health.checks, 1);
    }
  }
  engine.connectionRate.max = 0;
  engine.sessionRate.max = 0;
}
/** True when the last check of it has passed. */
export function lastCheckPassed(s: Server): boolean {
  return s.health.last === null ? s.isHealthy : passed(s.health.last.status);
}

/** `show info`: what is known of the process, one row a field, in HAProxy 2.6's order; the Prometheus exporter reads the same rows. COLD. */
import { countBytes } from "../stats/bytes.ts";
import { hostname } from "node:os";
import { haproxyVersionNumber, RELEASED } from "../../cli/version.ts";
import { fileLimit, NO_LIMIT } from "../../os/ffi.ts";
import type { Engine } from "../engine.ts";
import { tagsOf } from "../stats/columns.ts";

export interface InfoField {
  name: string;
  /** Origin, nature, scope as in `show stat typed`. */
  tags: string;
  type: "str" | "u32" | "u64" | "s32";
  of: (e: Engine) => string | number;
  text: string;
}

const field = (name: string, tags: string, type: InfoField["type"], of: InfoField["of"], text: string): InfoField => ({
  name,
  tags,
  type,
  of,
  text,
});
const never = (name: string, text: string, tags = "MGP", type: InfoField["type"] = "u32"): InfoField =>
  field(name, tags, type, () => 0, text);
const seconds = (e: Engine): number => Math.floor((Date.now() - e.startedAt) / 1000);
const uptime = (e: Engine): string => {
  const s = seconds(e);
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${Math.floor(s / 86400)}d ${Math.floor(s / 3600) % 24}h${two(Math.floor(s / 60) % 60)}m${two(s % 60)}s`;
};
const files = (): number => {
  const soft = fileLimit()?.soft ?? 0;
  return soft >= NO_LIMIT ? 0 : soft;
};
const listeners = (e: Engine): number => e.frontends.reduce((n, f) => n + f.binds.length, e.cliListeners);
const bytesOut = (e: Engine): number => e.frontends.reduce((n, f) => n + f.bytesOut, 0);
const megabytes = (bytes: number): number => Math.round(bytes / 1048576);

export const INFO: InfoField[] = [
  field("Name", "POS", "str", () => "HAProxy", "the product whose place this process takes"),
  field("Version", "POS", "str", haproxyVersionNumber, "its version"),
  field("Release_date", "POS", "str", () => RELEASED, "date of that version"),
  field("Nbthread", "CGS", "u32", () => 1, "threads that serve connections"),
  field("Nbproc", "CGS", "u32", () => 1, "worker processes"),
  field("Process_num", "KGP", "u32", () => 1, "number of this worker"),
  field("Pid", "SGP", "u32", () => process.pid, "process id"),
  field("Uptime", "MDP", "str", uptime, "time since the start"),
  field("Uptime_sec", "MDP", "u32", seconds, "seconds since the start"),
  never("Memmax_MB", "memory limit of -m, MB", "CLP"),
  field("PoolAlloc_MB", "MGP", "u32", () => megabytes(process.memoryUsage.rss()), "memory in use, MB"),
  field("PoolUsed_MB", "MGP", "u32", () => megabytes(process.memoryUsage().heapUsed), "memory of live objects, MB"),
  never("PoolFailed", "allocations that failed", "MCP"),
  field("Ulimit-n", "CLP", "u32", files, "files this process may open"),
  field("Maxsock", "CLP", "u32", files, "sockets this process may open"),
  field("Maxconn", "CLP", "u32", (e) => e.maxconn, "connections at most"),
  field("Hard_maxconn", "CLP", "u32", (e) => e.hardMaxconn, "connections at most, by the machine's limits"),
  field("CurrConns", "MGP", "u32", (e) => e.active, "connections now"),
  field("CumConns", "MCP", "u32", (e) => e.connections, "connections since the start"),
  field("CumReq", "MCP", "u32", (e) => e.sessions, "sessions since the start"),
  never("MaxSslConns", "TLS connections at most, 0: no limit", "MMP"),
  never("CurrSslConns", "TLS connections now"),
  never("CumSslConns", "TLS connections since the start", "MCP"),
  never("Maxpipes", "pipes at most", "CLP"),
  never("PipesUsed", "pipes in use"),
  never("PipesFree", "pipes free"),
  field("ConnRate", "MRP", "u32", (e) => e.connectionRate.read(Date.now()), "connections in the last second"),
  never("ConnRateLimit", "limit of connections a second", "CLP"),
  field("MaxConnRate", "MMP", "u32", (e) => e.connectionRate.max, "most connections in a second"),
  field("SessRate", "MRP", "u32", (e) => e.sessionRate.read(Date.now()), "sessions in the last second"),
  never("SessRateLimit", "limit of sessions a second", "CLP"),
  field("MaxSessRate", "MRP", "u32", (e) => e.sessionRate.max, "most sessions in a second"),
  never("SslRate", "TLS connections in the last second", "MRP"),
  never("SslRateLimit", "limit of TLS connections a second", "CLP"),
  never("MaxSslRate", "most TLS connections in a second", "MMP"),
  never("SslFrontendKeyRate", "TLS keys made in the last second"),
  never("SslFrontendMaxKeyRate", "most TLS keys made in a second", "MMP"),
  never("SslFrontendSessionReuse_pct", "TLS sessions resumed, percent"),
  never("SslBackendKeyRate", "TLS keys made towards servers in the last second", "MRP"),
  never("SslBackendMaxKeyRate", "most TLS keys made towards servers in a second", "MMP"),
  never("SslCacheLookups", "look-ups of TLS sessions", "MCP"),
  never("SslCacheMisses", "look-ups of TLS sessions without success", "MCP"),
  never("CompressBpsIn", "bytes to compress in the last second", "MRP"),
  never("CompressBpsOut", "bytes compressed in the last second", "MRP"),
  never("CompressBpsRateLim", "limit of compression", "CLP"),
  never("ZlibMemUsage", "memory of the compressor"),
  never("MaxZlibMemUsage", "memory of the compressor at most", "CLP"),
  field("Tasks", "MGP", "u32", (e) => e.timers.size, "deadlines being watched"),
  never("Run_queue", "tasks that wait for their turn"),
  field("Idle_pct", "MaP", "u32", () => 100, "idle time, percent"),
  field("node", "COS", "str", (e) => e.config.global.node || hostname(), "name of this node"),
  field("description", "CGS", "str", (e) => e.config.global.description, "what this node is for"),
  field("Stopping", "MGP", "u32", (e) => (e.stopping ? 1 : 0), "1 while it finishes softly"),
  field("Jobs", "MGP", "u32", (e) => e.active + listeners(e), "connections and listeners"),
  never("Unstoppable Jobs", "connections of the master"),
  field("Listeners", "MGP", "u32", listeners, "listening sockets"),
  never("ActivePeers", "peers"),
  never("ConnectedPeers", "peers connected"),
  field("DroppedLogs", "MGP", "u32", (e) => e.logs.dropped, "log lines that could not be sent"),
  never("BusyPolling", "1 while polling busily"),
  field(
    "FailedResolutions",
    "MGP",
    "u32",
    (e) => e.resolvings.reduce((n, r) => n + r.query.failed, 0),
    "look-ups of names without success",
  ),
  field("TotalBytesOut", "MGP", "u64", bytesOut, "bytes sent to clients"),
  never("TotalSplicdedBytesOut", "bytes sent without copying", "MGP", "u64"),
  never("BytesOutRate", "bytes sent in the last second", "MRP", "u64"),
  never("DebugCommandsIssued", "debug commands"),
  never("CumRecvLogs", "log lines received", "MCP"),
  field("Build info", "POS", "str", haproxyVersionNumber, "version of the build"),
  never("Memmax_bytes", "memory limit of -m", "CLP"),
  field("PoolAlloc_bytes", "MGP", "u64", () => process.memoryUsage.rss(), "memory in use"),
  field("PoolUsed_bytes", "MGP", "u64", () => process.memoryUsage().heapUsed, "memory of live objects"),
  field("Start_time_sec", "MDP", "u32", (e) => Math.floor(e.startedAt / 1000), "when it was started"),
  never("Tainted", "0: nothing unusual", "SGP", "str"),
];

function present(e: Engine): { f: InfoField; at: number; value: string | number }[] {
  const all: { f: InfoField; at: number; value: string | number }[] = [];
  let at = 0;
  for (const f of INFO) {
    const value = f.of(e);
    // The description is left out when there is none, and figures of the compressor always; their numbers stay.
    if (!f.name.includes("Zlib") && (f.name !== "description" || value !== "")) all.push({ f, at, value });
    at++;
  }
  return all;
}
/** The command's output; `form` as its argument. */
export function infoText(e: Engine, form: "" | "typed" | "json" | "desc"): string {
  countBytes(e);
  const rows = present(e);
  if (form === "json")
    return JSON.stringify(
      rows.map(({ f, at, value }) => ({
        field: { pos: at, name: f.name },
        processNum: 1,
        tags: tagsOf(f.tags),
        value: { type: f.type, value },
      })),
    );
  return rows
    .map(({ f, at, value }) => {
      if (form === "typed") return `${at}.${f.name}.1:${f.tags}:${f.type}:${value}\n`;
      return `${f.name}: ${value}${form === "desc" ? `:"${f.text}"` : ""}\n`;
    })
    .join("");
}

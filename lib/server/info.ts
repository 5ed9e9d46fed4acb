/**
 * INFO: sections in Redis' order, fields in Redis' order with Redis 7.2's names; redisha's own fields stand at the end of their section.
 * Parts (replication, persistence, clients) contribute their lines through Server.addInfo. Cold. Redis server.c genRedisInfoString.
 */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { replyBuffers } from "../clients/buffers.ts";
import { graves } from "../store/keyspace.ts";
import { pendingObjects, freedObjects } from "../store/objects.ts";
import { stats as storeStats } from "../store/events.ts";
import { clock, wallMicros } from "../time/clock.ts";
import { humanBytes } from "../bytes/memory.ts";
import { totalSystemMemory } from "../os/memory.ts";
import { REDIS_VERSION } from "../config/version.ts";
import { percentileName, percentileNs } from "../clients/latency.ts";
import { cpuUsage, secondsText } from "../os/cpu.ts";
import { osLine } from "../os/machine.ts";
import { memoryFigures } from "./memory_commands.ts";
import type { Server } from "./server.ts";
import { shutdownInMs } from "./shutdown.ts";

type Line = [string, string | number];

/** The default set, and what `all` and `everything` add. */
const DEFAULT = [
  "server",
  "clients",
  "memory",
  "persistence",
  "stats",
  "replication",
  "cpu",
  "modules",
  "errorstats",
  "cluster",
  "keyspace",
];
const ALL = [...DEFAULT.slice(0, 7), "modules", "commandstats", "errorstats", "latencystats", "cluster", "keyspace"];
const TITLES: Record<string, string> = {
  server: "Server",
  clients: "Clients",
  memory: "Memory",
  persistence: "Persistence",
  stats: "Stats",
  replication: "Replication",
  cpu: "CPU",
  modules: "Modules",
  commandstats: "Commandstats",
  errorstats: "Errorstats",
  latencystats: "Latencystats",
  cluster: "Cluster",
  keyspace: "Keyspace",
  debug: "Debug",
};

function parts(server: Server, section: string): Line[] {
  return (server.infoParts.get(section) ?? []).flatMap((f) => f());
}

const perc = (v: number): string => v.toFixed(2);

function serverLines(s: Server): Line[] {
  const uptime = Math.floor((clock.nowMs - s.stats.startMs) / 1000);
  return [
    ["redis_version", REDIS_VERSION],
    ["redis_git_sha1", "00000000"],
    ["redis_git_dirty", 0],
    ["redis_build_id", "0"],
    ["redis_mode", "standalone"],
    ["os", osLine()],
    ["arch_bits", 64],
    ["monotonic_clock", "POSIX clock_gettime"],
    ["multiplexing_api", "epoll"],
    ["atomicvar_api", "c11-builtin"],
    ["gcc_version", "0.0.0"],
    ["process_id", process.pid],
    ["process_supervised", s.config.choice("supervised") === "no" ? "no" : s.config.choice("supervised")],
    ["run_id", s.runId],
    ["tcp_port", s.ports.tls !== 0 && s.ports.tcp === 0 ? s.ports.tls : s.ports.tcp],
    ["server_time_usec", wallMicros()],
    ["uptime_in_seconds", uptime],
    ["uptime_in_days", Math.floor(uptime / 86400)],
    ["hz", s.config.number("hz")],
    ["configured_hz", s.config.number("hz")],
    ["lru_clock", Math.floor(clock.nowMs / 1000) % 16777216],
    ["executable", process.execPath],
    ["config_file", s.config.file ?? ""],
    ["io_threads_active", 0],
    ...shutdownLine(),
    ...s.listeners.map((l, i): Line => [
      `listener${i}`,
      `name=${l.name},${l.binds.map((b) => `bind=${b}`).join(",")}${l.port > 0 ? `,port=${l.port}` : ""}`,
    ]),
    ["server_name", "redisha"],
    ["redisha_version", s.version],
  ];
}

/** While a shutdown waits for replicas: how long it still may. */
function shutdownLine(): Line[] {
  const ms = shutdownInMs();
  return ms === null ? [] : [["shutdown_in_milliseconds", ms]];
}

function memoryLines(s: Server): Line[] {
  const m = memoryFigures(s);
  const { used, rss, reserved, peak } = m;
  const total = totalSystemMemory();
  const max = s.config.number("maxmemory");
  const lua = s.parts.scriptMemory();
  return [
    ["used_memory", used],
    ["used_memory_human", humanBytes(used)],
    ["used_memory_rss", rss],
    ["used_memory_rss_human", humanBytes(rss)],
    ["used_memory_peak", peak],
    ["used_memory_peak_human", humanBytes(peak)],
    ["used_memory_peak_perc", `${perc((used / Math.max(1, peak)) * 100)}%`],
    ["used_memory_overhead", m.overhead],
    ["used_memory_startup", m.startup],
    ["used_memory_dataset", m.dataset],
    ["used_memory_dataset_perc", `${perc(m.datasetPercent)}%`],
    ["allocator_allocated", used],
    ["allocator_active", reserved],
    ["allocator_resident", reserved],
    ["total_system_memory", total],
    ["total_system_memory_human", humanBytes(total)],
    ["used_memory_lua", lua.interpreterBytes],
    ["used_memory_vm_eval", lua.interpreterBytes],
    ["used_memory_lua_human", humanBytes(lua.interpreterBytes)],
    ["used_memory_scripts_eval", lua.scriptBytes],
    ["number_of_cached_scripts", lua.scripts],
    ["number_of_functions", lua.functions],
    ["number_of_libraries", lua.libraries],
    ["used_memory_vm_functions", lua.libraryInterpreterBytes],
    ["used_memory_vm_total", lua.interpreterBytes + lua.libraryInterpreterBytes],
    ["used_memory_vm_total_human", humanBytes(lua.interpreterBytes + lua.libraryInterpreterBytes)],
    ["used_memory_functions", lua.libraryBytes],
    ["used_memory_scripts", lua.scriptBytes + lua.libraryBytes],
    ["used_memory_scripts_human", humanBytes(lua.scriptBytes + lua.libraryBytes)],
    ["maxmemory", max],
    ["maxmemory_human", humanBytes(max)],
    ["maxmemory_policy", s.config.choice("maxmemory-policy")],
    ["allocator_frag_ratio", perc(reserved / Math.max(1, used))],
    ["allocator_frag_bytes", Math.max(0, reserved - used)],
    ["allocator_rss_ratio", "1.00"],
    ["allocator_rss_bytes", 0],
    ["rss_overhead_ratio", perc(rss / Math.max(1, reserved))],
    ["rss_overhead_bytes", rss - reserved],
    ["mem_fragmentation_ratio", perc(rss / Math.max(1, used))],
    ["mem_fragmentation_bytes", rss - used],
    ["mem_not_counted_for_evict", s.uncountedMemory()],
    ["mem_replication_backlog", m.backlog],
    ["mem_total_replication_buffers", m.backlog + m.replicas],
    ["mem_clients_slaves", m.replicas],
    ["mem_clients_normal", m.clients],
    ["mem_cluster_links", 0],
    ["mem_aof_buffer", m.aofBuffer],
    ["mem_allocator", "redisha-arena"],
    ["active_defrag_running", 0],
    ["lazyfree_pending_objects", pendingObjects() + graves.length],
    ["lazyfreed_objects", freedObjects()],
  ];
}

function statLines(s: Server): Line[] {
  const t = s.stats;
  const { loop } = s.dispatcher;
  return [
    ["total_connections_received", s.service.registry.totalConnections],
    ["total_commands_processed", s.dispatcher.totalCommands],
    ["instantaneous_ops_per_sec", Math.round(t.ops.perSecond)],
    ["total_net_input_bytes", s.service.registry.netInputBytes + t.replInput],
    ["total_net_output_bytes", s.service.registry.netOutputBytes + t.replOutput],
    ["total_net_repl_input_bytes", t.replInput],
    ["total_net_repl_output_bytes", t.replOutput],
    ["instantaneous_input_kbps", perc(t.input.perSecond / 1024)],
    ["instantaneous_output_kbps", perc(t.output.perSecond / 1024)],
    ["instantaneous_input_repl_kbps", perc(t.inputRepl.perSecond / 1024)],
    ["instantaneous_output_repl_kbps", perc(t.outputRepl.perSecond / 1024)],
    ["rejected_connections", s.service.registry.rejectedConnections],
    ["sync_full", t.syncFull],
    ["sync_partial_ok", t.syncPartialOk],
    ["sync_partial_err", t.syncPartialErr],
    ["expired_keys", storeStats.expired],
    ["expired_stale_perc", perc(storeStats.expiredStalePercent)],
    ["expired_time_cap_reached_count", storeStats.expiredTimeCapReached],
    ["expire_cycle_cpu_milliseconds", Math.floor(storeStats.expireCycleUs / 1000)],
    ["evicted_keys", storeStats.evicted],
    ["evicted_clients", s.service.registry.evictedClients],
    ["total_eviction_exceeded_time", 0],
    ["current_eviction_exceeded_time", 0],
    ["keyspace_hits", storeStats.hits],
    ["keyspace_misses", storeStats.misses],
    ["pubsub_channels", s.service.pubsub.channels.names.size],
    ["pubsub_patterns", s.service.pubsub.patterns.names.size],
    ["pubsubshard_channels", s.service.pubsub.shards.names.size],
    // There is no fork, and no defragmentation by moving keys.
    ["latest_fork_usec", 0],
    ["total_forks", s.stats.snapshots],
    ["migrate_cached_sockets", s.parts.migrateLinks()],
    ["slave_expires_tracked_keys", s.replicaExpires?.count ?? 0],
    ["active_defrag_hits", 0],
    ["active_defrag_misses", 0],
    ["active_defrag_key_hits", 0],
    ["active_defrag_key_misses", 0],
    ["total_active_defrag_time", 0],
    ["current_active_defrag_time", 0],
    ["tracking_total_keys", s.service.tracking.totalKeys],
    ["tracking_total_items", s.service.tracking.items],
    ["tracking_total_prefixes", s.service.tracking.totalPrefixes],
    ["unexpected_error_replies", t.unexpectedErrors],
    ...parts(s, "stats"),
    ["total_error_replies", s.service.errors.total],
    ["dump_payload_sanitizations", t.dumpPayloadSanitizations],
    ["total_reads_processed", loop.reads],
    ["total_writes_processed", loop.writes],
    ["io_threaded_reads_processed", 0],
    ["io_threaded_writes_processed", 0],
    ["client_query_buffer_limit_disconnections", s.service.registry.queryLimitDisconnections],
    ["client_output_buffer_limit_disconnections", s.service.registry.outputLimitDisconnections],
    ["reply_buffer_shrinks", replyBuffers.shrinks],
    ["reply_buffer_expands", replyBuffers.expands],
    ["eventloop_cycles", loop.cycles],
    ["eventloop_duration_sum", Math.floor(loop.micros)],
    ["eventloop_duration_cmd_sum", Math.floor(loop.commandMicros)],
    ["instantaneous_eventloop_cycles_per_sec", Math.round(t.cycles.perSecond)],
    ["instantaneous_eventloop_duration_usec", Math.round(t.turns.perSecond / 1000)],
    ["acl_access_denied_auth", s.service.users.log.deniedAuth],
    ["acl_access_denied_cmd", s.service.users.log.deniedCommand],
    ["acl_access_denied_key", s.service.users.log.deniedKey],
    ["acl_access_denied_channel", s.service.users.log.deniedChannel],
  ];
}

function cpuLines(): Line[] {
  const { self, children, mainThread } = cpuUsage();
  return [
    ["used_cpu_sys", secondsText(self.systemUs)],
    ["used_cpu_user", secondsText(self.userUs)],
    ["used_cpu_sys_children", secondsText(children.systemUs)],
    ["used_cpu_user_children", secondsText(children.userUs)],
    ["used_cpu_sys_main_thread", secondsText(mainThread.systemUs)],
    ["used_cpu_user_main_thread", secondsText(mainThread.userUs)],
  ];
}

function clientLines(s: Server): Line[] {
  const { registry } = s.service;
  let normal = 0;
  let pubsubClients = 0;
  let tracking = 0;
  for (const c of s.dispatcher.clients.values()) {
    if (c.replica === null) normal++;
    if (c.subscriptions > 0) pubsubClients++;
    if (c.tracking !== null) tracking++;
  }
  return [
    ["connected_clients", normal],
    ["cluster_connections", 0],
    ["maxclients", s.config.number("maxclients")],
    ["client_recent_max_input_buffer", registry.recentMaxInputBytes],
    ["client_recent_max_output_buffer", registry.recentMaxOutputBytes],
    ["blocked_clients", s.service.blockedClients],
    ["tracking_clients", tracking],
    ["pubsub_clients", pubsubClients],
    ["clients_in_timeout_table", s.service.blocking.timeouts],
    ["total_blocking_keys", s.service.blocking.keys],
    ["total_blocking_keys_on_nokey", s.service.blocking.keysOnNoKey],
  ];
}

function latencyLines(s: Server): Line[] {
  const lines: Line[] = [];
  const percentiles = s.service.settings.latencyPercentiles;
  for (const c of s.dispatcher.table.all) {
    const h = c.histogram as Uint32Array | null;
    if (h === null) continue;
    lines.push([
      `latency_percentiles_usec_${c.name}`,
      percentiles.map((p) => `${percentileName(p)}=${(percentileNs(h, p) / 1000).toFixed(3)}`).join(","),
    ]);
  }
  return lines;
}

function commandLines(s: Server): Line[] {
  const lines: Line[] = [];
  for (const c of s.dispatcher.table.all) {
    if (c.calls === 0 && c.rejected === 0 && c.failed === 0) continue;
    const each = c.calls === 0 ? 0 : c.usec / c.calls;
    lines.push([
      `cmdstat_${c.name}`,
      `calls=${c.calls},usec=${Math.floor(c.usec)},usec_per_call=${perc(each)},rejected_calls=${c.rejected},failed_calls=${c.failed}`,
    ]);
  }
  return lines;
}

function keyspaceLines(s: Server): Line[] {
  const lines: Line[] = [];
  for (const db of s.databases)
    if (db.size > 0) lines.push([`db${db.index}`, `keys=${db.size},expires=${db.volatile.count},avg_ttl=${Math.floor(db.avgTtlMs)}`]);
  return lines;
}

function section(s: Server, name: string): Line[] {
  switch (name) {
    case "server":
      return serverLines(s);
    case "memory":
      return memoryLines(s);
    case "stats":
      return statLines(s);
    case "cpu":
      return cpuLines();
    case "clients":
      return clientLines(s);
    case "latencystats":
      return latencyLines(s);
    case "commandstats":
      return commandLines(s);
    case "errorstats":
      return [...s.service.errors.counts]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([code, n]): Line => [`errorstat_${code}`, `count=${n}`]);
    case "cluster":
      return [["cluster_enabled", 0]];
    case "keyspace":
      return keyspaceLines(s);
    case "debug":
      return [
        ["eventloop_duration_aof_sum", Math.floor(s.dispatcher.loop.aofMicros)],
        ["eventloop_duration_cron_sum", Math.floor(s.dispatcher.loop.cronMicros)],
        ["eventloop_duration_max", Math.floor(s.dispatcher.loop.longestMicros)],
        ["eventloop_cmd_per_cycle_max", s.dispatcher.loop.mostCommands],
      ];
    default:
      return parts(s, name);
  }
}

/** The text for these section names (lower case; none: the default set). */
export function infoText(s: Server, names: string[]): string {
  const wanted = new Set<string>();
  for (const n of names.length === 0 ? ["default"] : names)
    for (const k of n === "default" ? DEFAULT : n === "all" ? ALL.filter((x) => x !== "modules") : n === "everything" ? ALL : [n])
      wanted.add(k);
  let text = "";
  for (const name of [...ALL, "debug"]) {
    if (!wanted.has(name)) continue;
    if (text !== "") text += "\r\n";
    text += `# ${TITLES[name]}\r\n`;
    for (const [field, value] of section(s, name)) text += `${field}:${value}\r\n`;
  }
  return text;
}

/** INFO [section ...]. */
export function infoRuns(s: Server): Record<string, Run> {
  return {
    info: (c: Call) => {
      const names: string[] = [];
      for (let i = 1; i < c.argc; i++) names.push(c.lower(i));
      c.out.verbatim(infoText(s, names), "txt");
    },
  };
}

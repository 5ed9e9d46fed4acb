/** INFO of a Sentinel: sections server, clients, cpu, stats, sentinel; others are ignored. COLD. Redis sentinel.c: sentinelInfoCommand. */
import { Driver } from "./driver.ts";
import { infoSection } from "./core/view.ts";
import { REDIS_VERSION } from "../config/version.ts";
import type { SentinelServer } from "./server.ts";

const SECTIONS = ["server", "clients", "cpu", "stats", "sentinel"];

/** `wanted` in lower case; none, default, all and everything mean all five. */
export function infoText(server: SentinelServer, wanted: string[]): string {
  const all = wanted.length === 0 || wanted.some((w) => w === "default" || w === "all" || w === "everything");
  const parts: string[] = [];
  for (const name of SECTIONS) if (all || wanted.includes(name)) parts.push(section(server, name));
  return parts.join("\r\n");
}

function lines(title: string, fields: Record<string, string | number>): string {
  let text = `# ${title}\r\n`;
  for (const [key, value] of Object.entries(fields)) text += `${key}:${value}\r\n`;
  return text;
}

function section(server: SentinelServer, name: string): string {
  const { options, service } = server;
  const { config, engine, scripts } = options;
  const uptime = Math.floor((Date.now() - server.startedMs) / 1000);
  switch (name) {
    case "server":
      return lines("Server", {
        redis_version: REDIS_VERSION,
        redis_git_sha1: "00000000",
        redis_git_dirty: 0,
        server_name: "redisha",
        redis_mode: "sentinel",
        os: `${process.platform} ${process.arch}`,
        arch_bits: 64,
        process_id: process.pid,
        run_id: engine.myid,
        tcp_port: config.number("port"),
        server_time_usec: Date.now() * 1000,
        uptime_in_seconds: uptime,
        uptime_in_days: Math.floor(uptime / 86400),
        executable: process.execPath,
        config_file: config.file ?? "",
      });
    case "clients":
      return lines("Clients", {
        connected_clients: service.registry.connected,
        maxclients: config.number("maxclients"),
        blocked_clients: service.blockedClients,
      });
    case "cpu": {
      const { user, system } = process.cpuUsage();
      return lines("CPU", { used_cpu_sys: (system / 1e6).toFixed(6), used_cpu_user: (user / 1e6).toFixed(6) });
    }
    case "stats":
      return lines("Stats", {
        total_connections_received: service.registry.totalConnections,
        total_commands_processed: service.dispatcher.totalCommands,
        total_net_input_bytes: service.registry.netInputBytes,
        total_net_output_bytes: service.registry.netOutputBytes,
        rejected_connections: service.registry.rejectedConnections,
        pubsub_channels: service.pubsub.channels.names.size,
        pubsub_patterns: service.pubsub.patternCount,
      });
    default:
      return infoSection(engine.state, Driver.nowMs(), { running: scripts.running, queued: scripts.jobs.length });
  }
}

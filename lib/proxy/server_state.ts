/**
 * `show servers state`, and the server state file that carries the same lines over a restart (HAProxy configuration 3 "server-state-file",
 * 4.2 "load-server-state-from-file", management 9.3). COLD.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { HaproxyConfig } from "../config/haproxy_model.ts";
import { STATUS, passed } from "./core/status.ts";
import { setWeight } from "./slowstart.ts";
import type { Backend, Server } from "./state.ts";
import { nowMs } from "./timers.ts";

export const STATE_HEADER =
  "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port";

/** 0 stopped, 1 starting, 2 running, 3 stopping. */
function operation(s: Server): number {
  if (!s.isUp) return 0;
  return s.stopping ? 3 : s.warmingSinceMs > 0 ? 1 : 2;
}
/** Forced maintenance 1, inherited 2, by the configuration 4, forced drain 8, inherited 16, for want of an address 32. */
function administration(s: Server): number {
  let mask = 0;
  if (s.admin === "maint") mask |= s.config.disabled ? 5 : 1;
  else if (s.config.disabled) mask |= 4;
  if (s.tracks?.inMaintenance === true) mask |= 2;
  if (s.admin === "drain") mask |= 8;
  else if (s.tracks?.isDraining === true) mask |= 16;
  if (s.unresolved) mask |= 32;
  return mask;
}
/** In progress 1, configured 2, enabled 4, paused 8, agent 16. */
export function checkStateOf(s: Server): number {
  if (!s.isChecked) return s.config.disabled ? 8 : 0;
  return 2 | (s.checkPaused ? 0 : 4) | (s.inMaintenance ? 8 : 0);
}

export function serverLines(b: Backend): string[] {
  return b.servers.map((s) => {
    const { last } = s.health;
    const result = last === null ? 0 : last.status === "L7OKC" ? 4 : passed(last.status) ? 3 : 2;
    const status = s.health.checks === 0 ? (s.isChecked ? STATUS.INI : 1) : STATUS[s.health.status];
    const agent = s.agent === null ? 0 : 22;
    const fields = [
      b.iid, b.name, s.sid, s.name, s.host || "-", operation(s), administration(s), s.userWeight, s.config.weight,
      Math.floor((Date.now() - s.changedMs) / 1000), status, result, s.health.counter, checkStateOf(s), agent,
      b.config.id > 0 ? 1 : 0, s.config.id > 0 ? 1 : 0, s.config.dnsName || "-", s.port, "-", s.config.ssl ? 1 : 0, s.config.checkPort,
      s.config.checkHost || "-", s.config.agentHost || "-", s.config.agentPort,
    ]; // prettier-ignore
    return `${fields.join(" ")}\n`;
  });
}

/** The file of a section, "" when it reads none. */
function fileOf(config: HaproxyConfig, b: Backend): string {
  const { loadServerState, serverStateFile } = b.config;
  const g = config.global;
  const name = loadServerState === "global" ? g.serverStateFile : loadServerState === "local" ? serverStateFile || b.name : "";
  if (name === "") return "";
  return name.startsWith("/") || g.serverStateBase === "" ? name : join(g.serverStateBase, name);
}

/** Takes over what the file says of weights, administration and, where no authority decides, health. Warns of what it cannot read. */
export function loadServerStates(config: HaproxyConfig, backends: Iterable<Backend>, warn: (text: string) => void): void {
  const files = new Map<string, string[] | null>();
  for (const b of backends) {
    const file = fileOf(config, b);
    if (file === "") continue;
    if (!files.has(file)) files.set(file, readLines(file, warn));
    for (const line of files.get(file) ?? []) apply(b, line.split(" "), config.global.strict);
  }
}
function readLines(file: string, warn: (text: string) => void): string[] | null {
  try {
    const lines = readFileSync(file, "latin1").split("\n");
    if (lines[0]?.trim() !== "1") {
      warn(`config: Can't get version of the global server state file '${file}'.`);
      return null;
    }
    return lines.slice(1).filter((l) => l !== "" && !l.startsWith("#"));
  } catch (error) {
    const why = (error as { code?: string }).code === "ENOENT" ? "No such file or directory" : (error as Error).message;
    warn(`config: Can't open global server state file '${file}': ${why}`);
    return null;
  }
}
function apply(b: Backend, f: string[], strict: boolean): void {
  if (f.length < 19 || f[1] !== b.name) return;
  const s = b.servers.find((x) => x.name === f[3]);
  if (s === undefined) return;
  const n = (i: number): number => Number(f[i]) || 0;
  const admin = n(6);
  if ((admin & 1) !== 0) s.admin = "maint";
  else if ((admin & 8) !== 0) s.admin = "drain";
  else if (!s.config.disabled) s.admin = "ready";
  // A weight that was set at run time counts while the file's own is the one it was set against.
  if (n(8) === s.config.weight) s.userWeight = Math.min(256, Math.max(0, n(7)));
  setWeight(s, nowMs());
  if (s.config.dnsName !== "" && f[4] !== "-" && s.config.initAddr.includes("last")) {
    s.host = f[4]!;
    s.unresolved = false;
  }
  s.changedMs = Date.now() - n(9) * 1000;
  // A role is never taken from a file: what was the master may not be any more.
  if (b.byAuthority && !strict) return;
  const { rise, fall } = s.health.settings;
  const counter = Math.min(rise + fall - 1, Math.max(0, n(12)));
  if (s.isChecked && s.admin !== "maint") s.health.counter = n(5) === 0 ? Math.min(counter, rise - 1) : Math.max(counter, rise);
}

/** `show servers state`: the lines that a server state file carries over a restart (HAProxy management 9.3; server_state_file.ts). COLD. */
import { STATUS, passed } from "./core/status.ts";
import type { Backend, Server } from "./state.ts";

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
      s.config.checkHost || "-", s.config.agentHost || "-", s.config.agentPort || s.config.checkPort,
    ]; // prettier-ignore
    return `${fields.join(" ")}\n`;
  });
}

/** What clients are shown: instance maps, INFO's sentinel section, INFO-CACHE. Pure. Redis sentinel.c: addReplySentinelRedisInstance. */
import { shown } from "./addr.ts";
import { NEVER, disconnected, masterOf, type Instance, type Master, type Peer, type Replica, type State } from "./state.ts";
import type { Answer } from "./types.ts";

function flags(ri: Instance): string {
  const f: string[] = [];
  const add = (on: boolean, name: string): void => {
    if (on) f.push(name);
  };
  add(ri.sdown, "s_down");
  if (ri.role === "master") add(ri.odown, "o_down");
  f.push(ri.role);
  add(disconnected(ri), "disconnected");
  if (ri.role === "sentinel") add(ri.masterDown, "master_down");
  if (ri.role === "master") add(ri.failoverState !== "none", "failover_in_progress");
  if (ri.role === "slave") {
    add(ri.promotedFlag, "promoted");
    add(ri.reconfSent, "reconf_sent");
    add(ri.reconfInProgress, "reconf_inprog");
    add(ri.reconfDone, "reconf_done");
  }
  if (ri.role === "master") add(ri.forced, "force_failover");
  if (ri.role !== "sentinel") add(ri.scriptKillSent, "script_kill_sent");
  if (ri.role === "master") add(ri.rebooted, "master_reboot");
  return f.join(",");
}

/** The map of one instance: field order as the original's, all values bulks. */
export function instanceMap(s: State, ri: Instance, now: number): Answer {
  const map: string[] = [];
  const add = (key: string, value: string | number): void => void map.push(key, String(value));
  const { link } = ri;
  add("name", ri.name);
  add("ip", shown(s, ri.addr));
  add("port", ri.addr.port);
  add("runid", ri.runid);
  add("flags", flags(ri));
  add("link-pending-commands", link.pending.length);
  add("link-refcount", link.owners.length);
  if (ri.role === "master" && ri.failoverState !== "none") add("failover-state", ri.failoverState);
  add("last-ping-sent", link.actPingMs === NEVER ? 0 : now - link.actPingMs);
  add("last-ok-ping-reply", now - link.lastAvailMs);
  add("last-ping-reply", now - link.lastPongMs);
  if (ri.sdown) add("s-down-time", now - ri.sdownSinceMs);
  if (ri.role === "master" && ri.odown) add("o-down-time", now - ri.odownSinceMs);
  add("down-after-milliseconds", masterOf(ri).downAfterMs);
  if (ri.role !== "sentinel") {
    add("info-refresh", ri.infoMs === NEVER ? 0 : now - ri.infoMs);
    add("role-reported", ri.roleReported);
    add("role-reported-time", now - ri.roleReportedMs);
  }
  if (ri.role === "master") masterFields(ri, add);
  else if (ri.role === "slave") replicaFields(ri, add);
  else peerFields(ri, add, now);
  // Ours, and at the end: clients of the original read fields by their place.
  if (link.authError !== "") add("auth-error", link.authError);
  if (ri.role === "master" && !ri.autoFailover) add("auto-failover", "no");
  return { map };
}

type Add = (key: string, value: string | number) => void;

function masterFields(m: Master, add: Add): void {
  add("config-epoch", m.configEpoch);
  add("num-slaves", m.replicas.size);
  add("num-other-sentinels", m.peers.size);
  add("quorum", m.quorum);
  add("failover-timeout", m.failoverTimeoutMs);
  add("parallel-syncs", m.parallelSyncs);
  if (m.notificationScript !== "") add("notification-script", m.notificationScript);
  if (m.reconfigScript !== "") add("client-reconfig-script", m.reconfigScript);
}
function replicaFields(r: Replica, add: Add): void {
  add("master-link-down-time", r.masterLinkDownMs);
  add("master-link-status", r.masterLinkUp ? "ok" : "err");
  add("master-host", r.masterHost === "" ? "?" : r.masterHost);
  add("master-port", r.masterPort);
  add("slave-priority", r.priority);
  add("slave-repl-offset", r.offset);
  add("replica-announced", r.announced ? 1 : 0);
}
function peerFields(p: Peer, add: Add, now: number): void {
  add("last-hello-message", now - p.lastHelloMs);
  add("voted-leader", p.leader === "" ? "?" : p.leader);
  add("voted-leader-epoch", p.leaderEpoch);
}

export function masterList(s: State, now: number): Answer {
  return [...s.masters.values()].map((m) => instanceMap(s, m, now));
}
/** Replicas that ask not to be announced are left out. */
export function replicaList(s: State, m: Master, now: number): Answer {
  return [...m.replicas.values()].filter((r) => r.announced).map((r) => instanceMap(s, r, now));
}
export function peerList(s: State, m: Master, now: number): Answer {
  return [...m.peers.values()].map((p) => instanceMap(s, p, now));
}

/** SENTINEL INFO-CACHE: name, then age and text of the master's and each replica's last INFO. */
export function infoCache(masters: Iterable<Master>, now: number): Answer {
  const answer: Answer[] = [];
  const entry = (ri: Master | Replica): Answer => [ri.infoMs === NEVER ? 0 : now - ri.infoMs, ri.info];
  for (const m of masters) answer.push(m.name, [entry(m), ...[...m.replicas.values()].map(entry)]);
  return answer;
}

/** The masterN lines of INFO sentinel and the counts before them; the driver adds the scripts' two. */
export function infoSection(s: State, now: number, scripts: { running: number; queued: number }): string {
  let text =
    `# Sentinel\r\nsentinel_masters:${s.masters.size}\r\nsentinel_tilt:${s.tilt ? 1 : 0}\r\n` +
    `sentinel_tilt_since_seconds:${s.tilt ? Math.floor((now - s.tiltStartMs) / 1000) : -1}\r\n` +
    `sentinel_running_scripts:${scripts.running}\r\nsentinel_scripts_queue_length:${scripts.queued}\r\n` +
    `sentinel_simulate_failure_flags:${(s.crashAfterElection ? 1 : 0) + (s.crashAfterPromotion ? 2 : 0)}\r\n`;
  let i = 0;
  for (const m of s.masters.values()) {
    const status = m.odown ? "odown" : m.sdown ? "sdown" : "ok";
    text += `master${i++}:name=${m.name},status=${status},address=${shown(s, m.addr)}:${m.addr.port},slaves=${m.replicas.size},sentinels=${m.peers.size + 1}\r\n`;
  }
  return text;
}

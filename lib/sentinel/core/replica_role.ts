/**
 * INFO's acting half: role changes, promotion seen, replicas that follow the wrong master, and the old master's demotion. Pure.
 * Redis sentinel.c: sentinelRefreshInstanceInfo, the acting half.
 *
 * The demotion differs. A server that comes up as master while it is listed as replica is demoted as soon as a majority of the Sentinels,
 * asked for this, follows our configuration and the configured master itself says that it is one: a Sentinel with a stale file must not
 * demote the real master. One that turns master under our eyes (somebody is promoting it) is left alone for as long as the original does.
 */
import { ReplyError, pairs, type Reply } from "../../resp/reply.ts";
import { makeAddr, namesAddr, shown, shownWithPort } from "./addr.ts";
import { emit } from "./events.ts";
import { promoteAgain, promotionSeen } from "./failover.ts";
import { onOffset } from "./fast.ts";
import { readInfo, type InfoFacts } from "./info.ts";
import { send, sendSlaveOf } from "./links.ts";
import { persistLater } from "./persist.ts";
import {
  createReplica,
  disconnected,
  majority,
  touch,
  wake,
  type DemotionCheck,
  type Instance,
  type Master,
  type Peer,
  type Replica,
  type Turn,
} from "./state.ts";

/** Between two rounds of questions about one server, and how long one round waits. */
const CHECK_AGAIN_MS = 1000;
const CHECK_MS = 1000;
/** After a SLAVEOF its effect is looked at this soon. */
const LOOK_AGAIN_MS = 100;

/** Redis: sentinelMasterLooksSane. */
function looksSane(t: Turn, m: Master): boolean {
  return m.roleReported === "master" && !m.sdown && !m.odown && t.now - m.infoMs < t.s.periods.info * 2;
}
/** Redis: sentinelRedisInstanceNoDownFor. */
function noDownFor(t: Turn, ri: Instance, ms: number): boolean {
  return t.now - ri.sdownSinceMs > ms;
}

export function onInfo(t: Turn, ri: Master | Replica, text: string): void {
  ri.info = text;
  const f = readInfo(text);
  if (f.runid !== "") newRunid(t, ri, f.runid);
  if (ri.role === "master") for (const r of f.replicas) discovered(t, ri, r.host, r.port);
  if (f.replid !== undefined) ri.replid = f.replid;
  if (ri.role === "slave") replicaFacts(t, ri, f);
  else masterFacts(ri, f);
  ri.infoMs = t.now;
  const role = f.role === "" ? ri.roleReported : f.role;
  if (role !== ri.roleReported) {
    ri.roleReported = role;
    ri.roleReportedMs = t.now;
    if (ri.role === "slave" && role === "slave") ri.confChangeMs = t.now;
    emit(t, "verbose", ri.role === role ? "+role-change" : "-role-change", ri, ` new reported role is ${role}`);
  }
  touch(t, ri);
  if (ri.role === "master") return;
  touch(t, ri.master);
  if (t.s.tilt) return;
  if (role === "master") {
    if (ri.promotedFlag && ri.master.failoverState === "wait_promotion") promotionSeen(t, ri);
  } else {
    ri.wasReplica = true;
    ri.check = null;
    promoteAgain(t, ri);
    fixConfig(t, ri);
    reconfProgress(t, ri);
  }
}

function newRunid(t: Turn, ri: Master | Replica, runid: string): void {
  if (ri.runid === runid) return;
  if (ri.runid !== "") {
    emit(t, "notice", "+reboot", ri);
    if (ri.role === "master" && ri.rebootDownAfterMs !== 0) {
      ri.rebooted = true;
      ri.rebootedMs = t.now;
    }
    if (ri.role === "slave") ri.wasReplica = false;
  }
  ri.runid = runid;
}

function discovered(t: Turn, m: Master, host: string, port: number): void {
  const addr = makeAddr(t.s, host, port, false);
  if (typeof addr === "string" || m.replicas.has(shownWithPort(t.s, addr))) return;
  // A master that lists its own address (a proxy in between) would become a replica of itself.
  if (addr.port === m.addr.port && addr.ip === m.addr.ip) return;
  const r = createReplica(t, m, host, port);
  if (typeof r === "string") return;
  emit(t, "notice", "+slave", r);
  persistLater(t);
}

/** A master's stream is told apart from what it says once it follows somebody. */
function masterFacts(m: Master, f: InfoFacts): void {
  if (f.role === "master" && f.replid !== undefined) m.ownReplid = f.replid;
  m.followsHost = f.masterHost ?? "";
  m.followsPort = f.masterPort ?? 0;
}

function replicaFacts(t: Turn, r: Replica, f: InfoFacts): void {
  r.masterLinkDownMs = f.masterLinkDownMs;
  if (f.masterHost !== undefined && f.masterHost.toLowerCase() !== r.masterHost.toLowerCase()) {
    r.masterHost = f.masterHost;
    r.confChangeMs = t.now;
  }
  if (f.masterPort !== undefined && f.masterPort !== r.masterPort) {
    r.masterPort = f.masterPort;
    r.confChangeMs = t.now;
  }
  if (f.masterLinkUp !== undefined) r.masterLinkUp = f.masterLinkUp;
  r.syncing = f.syncing ?? false;
  if (f.role === "slave" && r.masterLinkUp && !r.syncing && followsMaster(t, r)) r.deposed = false;
  if (f.priority !== undefined) r.priority = f.priority;
  const before = r.offset;
  if (f.offset !== undefined) r.offset = f.offset;
  onOffset(r, before);
  r.replid2 = f.replid2 ?? "";
  if (f.announced !== undefined) r.announced = f.announced;
}

function followsMaster(t: Turn, r: Replica): boolean {
  return r.masterPort === r.master.addr.port && namesAddr(t.s, r.master.addr, r.masterHost);
}

/** A replica of somebody else is brought back after failover-timeout. */
function fixConfig(t: Turn, r: Replica): void {
  const m = r.master;
  if (followsMaster(t, r)) return;
  const wait = m.failoverTimeoutMs;
  if (!looksSane(t, m) || !noDownFor(t, r, wait) || t.now - r.confChangeMs <= wait || disconnected(r)) return;
  sendSlaveOf(t, r, m.addr);
  emit(t, "notice", "+fix-slave-config", r);
}

function reconfProgress(t: Turn, r: Replica): void {
  const m = r.master;
  if (r.reconfSent && m.switched && followsMaster(t, r)) {
    r.reconfSent = false;
    r.reconfInProgress = true;
    emit(t, "notice", "+slave-reconf-inprog", r);
  }
  if (r.reconfInProgress && r.masterLinkUp) {
    r.reconfInProgress = false;
    r.reconfDone = true;
    emit(t, "notice", "+slave-reconf-done", r);
  }
}

/** Called at every visit of a replica: should it be asked about, or turned back into one? */
export function considerDemotion(t: Turn, r: Replica): void {
  // Only what it has said on this connection counts: a demotion, by whomever, ends with CLIENT KILL.
  if (r.roleReported !== "master" || r.promotedFlag || disconnected(r) || r.infoMs < r.link.cmd.upMs) return;
  const m = r.master;
  if (r.check !== null) {
    if (t.now < r.check.deadlineMs) return wake(r, r.check.deadlineMs);
    endCheck(t, r, r.check);
  }
  if (!looksSane(t, m) || disconnected(m)) return;
  const patient = t.s.periods.publish * 4;
  const at = Math.max(r.wasReplica ? r.roleReportedMs + patient : r.roleReportedMs, r.nextCheckMs);
  if (t.now < at) return wake(r, at);
  // Somebody may be failing over this very master: before his promotion only he knows.
  if (m.failoverState !== "none" && !m.switched) return wake(r, t.now + CHECK_AGAIN_MS);
  startCheck(t, r);
}

function startCheck(t: Turn, r: Replica): void {
  const m = r.master;
  const round = ++r.checkRound;
  r.check = {
    round,
    deadlineMs: t.now + CHECK_MS,
    masterSaysMaster: false,
    confirmed: 1,
    contradicted: false,
    disputed: false,
    waiting: 1,
  };
  r.nextCheckMs = t.now + CHECK_AGAIN_MS;
  wake(r, r.check.deadlineMs);
  send(t, m, ["ROLE"], { kind: "confirmRole", replica: r.id, round });
  for (const p of m.peers.values()) {
    if (disconnected(p) || p.sdown) continue;
    r.check.waiting++;
    send(t, p, ["SENTINEL", "MASTER", m.name], { kind: "confirmPeer", ri: p.id, replica: r.id, round });
  }
}

/** The configured master's own word. */
export function onConfirmRole(t: Turn, r: Replica, round: number, reply: Reply): void {
  const check = r.check;
  if (check === null || check.round !== round) return;
  check.waiting--;
  if (Array.isArray(reply) && reply[0] === "master") check.masterSaysMaster = true;
  else if (reply instanceof ReplyError && (reply.code === "NOPERM" || reply.text.startsWith("ERR unknown command"))) {
    // We may not ask; INFO has said it. That is good enough for the patient rule only.
    check.masterSaysMaster = true;
    check.confirmed = -Infinity;
  } else check.contradicted = true;
  if (check.waiting === 0) endCheck(t, r, check);
}

/** A peer's view: same address and epoch, or a newer epoch, or a failover of his that is not decided yet. */
export function onConfirmPeer(t: Turn, p: Peer, r: Replica, round: number, reply: Reply): void {
  const check = r.check;
  if (check === null || check.round !== round) return;
  check.waiting--;
  if (Array.isArray(reply)) {
    const f = pairs(reply);
    const m = p.master;
    const epoch = Number(f["config-epoch"]);
    const state = f["failover-state"] ?? "none";
    const undecided = state !== "none" && state !== "reconf_slaves" && state !== "update_config";
    if (epoch > m.configEpoch || undecided) check.contradicted = true;
    else if (epoch === m.configEpoch) {
      const same = Number(f["port"]) === m.addr.port && (f["ip"] === shown(t.s, m.addr) || namesAddr(t.s, m.addr, f["ip"] ?? ""));
      if (same) check.confirmed++;
      else if (epoch > 0) check.disputed = true;
    }
  }
  if (check.waiting === 0) endCheck(t, r, check);
}

/** As for an election: one that knows nobody (any more: RESET) is no majority where the quorum says that there are others. */
function enough(m: Master): number {
  return Math.max(majority(m), m.quorum);
}

/**
 * Everybody within reach has answered, or had the time to. Whoever knows of a newer epoch must be heard, also when the others are a majority
 * already: they may have been away while it was made. Where no majority answers and nobody objects, the original's patience is the rule.
 */
function endCheck(t: Turn, r: Replica, check: DemotionCheck): void {
  r.check = null;
  const patient = t.s.periods.publish * 4;
  const longEnough = !check.disputed && noDownFor(t, r, patient) && t.now - r.roleReportedMs > patient;
  if (check.masterSaysMaster && !check.contradicted && (check.confirmed >= enough(r.master) || longEnough)) demote(t, r);
  else touch(t, r);
}

function demote(t: Turn, r: Replica): void {
  const m = r.master;
  r.check = null;
  if (r.roleReported !== "master" || disconnected(r) || !looksSane(t, m) || t.s.tilt) return;
  sendSlaveOf(t, r, m.addr);
  emit(t, "notice", "+convert-to-slave", r);
  r.infoDue = true;
  r.nextCheckMs = t.now + CHECK_AGAIN_MS;
  wake(r, t.now + LOOK_AGAIN_MS);
}

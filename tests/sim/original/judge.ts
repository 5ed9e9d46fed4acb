/** The model's deciding half: SDOWN, ODOWN, votes and the failover's states, all on ticks (Redis sentinel.c, "acting half" and "failover"). */
import { ReplyError, type Reply } from "../../../lib/resp/reply.ts";
import type { Instance, Sentinel } from "./instances.ts";
import { changeAddress, closeChannel, event, flush, PERIOD, plainEvent } from "./instances.ts";
import { periodic, reconnect, send, sendSlaveOf } from "./links.ts";

/** Redis: sentinelHandleDictOfRedisInstances over the masters, with what hangs on them. */
export function handleMasters(s: Sentinel): void {
  let switching: Instance | null = null;
  for (const m of s.masters.values()) {
    handle(s, m);
    for (const r of m.slaves.values()) if (!r.released) handle(s, r);
    for (const p of m.sentinels.values()) if (!p.released) handle(s, p);
    if (m.failoverState === "update_config") switching = m;
    if (s.exited) return;
  }
  if (switching !== null) {
    const to = (switching.promotedSlave ?? switching).addr;
    plainEvent(s, "warning", "+switch-master", `${switching.name} ${switching.addr.ip} ${switching.addr.port} ${to.ip} ${to.port}`);
    changeAddress(s, switching, to);
  }
}

/** Redis: sentinelHandleRedisInstance. */
function handle(s: Sentinel, ri: Instance): void {
  if (s.exited) return;
  reconnect(s, ri);
  periodic(s, ri);
  if (s.tilt) {
    if (s.now - s.tiltStartMs < PERIOD.tiltMs) return;
    s.tilt = false;
    plainEvent(s, "warning", "-tilt", "#tilt mode exited");
  }
  checkSdown(s, ri);
  if (ri.kind !== "master") return;
  checkOdown(s, ri);
  if (startIfNeeded(s, ri)) ask(s, ri, true);
  stateMachine(s, ri);
  if (!s.exited) ask(s, ri, false);
}

/** Redis: sentinelCheckSubjectivelyDown. */
function checkSdown(s: Sentinel, ri: Instance): void {
  const link = ri.link;
  const now = s.now;
  const elapsed = link.actPingMs !== 0 ? now - link.actPingMs : link.disconnected ? now - link.availMs : 0;
  const half = ri.downAfterMs / 2;
  if (link.cmd !== 0 && now - link.cmdConnMs > PERIOD.minReconnectMs && link.actPingMs !== 0)
    if (now - link.actPingMs > half && now - link.lastPongMs > half) closeChannel(s, link, "cmd");
  if (link.pubsub !== 0 && now - link.pubsubConnMs > PERIOD.minReconnectMs && now - link.pubsubActivityMs > PERIOD.publishMs * 3)
    closeChannel(s, link, "pubsub");
  const wrongRole = ri.kind === "master" && ri.roleReported === "slave" && now - ri.roleReportedMs > ri.downAfterMs + PERIOD.infoMs * 2;
  const rebooted = ri.rebooting && now - ri.rebootSinceMs > ri.rebootDownAfterMs;
  if (elapsed > ri.downAfterMs || wrongRole || rebooted) {
    if (ri.sdown) return;
    event(s, "warning", "+sdown", ri);
    ri.sdownSinceMs = now;
    ri.sdown = true;
  } else if (ri.sdown) {
    event(s, "warning", "-sdown", ri);
    ri.sdown = ri.scriptKillSent = false;
  }
}

/** Redis: sentinelCheckObjectivelyDown. */
function checkOdown(s: Sentinel, m: Instance): void {
  let agree = 0;
  if (m.sdown) {
    agree = 1;
    for (const p of m.sentinels.values()) if (p.masterDown) agree++;
  }
  if (m.sdown && agree >= m.quorum) {
    if (m.odown) return;
    event(s, "warning", "+odown", m, ` #quorum ${agree}/${m.quorum}`);
    m.odown = true;
    m.odownSinceMs = s.now;
  } else if (m.odown) {
    event(s, "warning", "-odown", m);
    m.odown = false;
  }
}

/** Redis: sentinelAskMasterStateToOtherSentinels. */
function ask(s: Sentinel, m: Instance, forced: boolean): void {
  for (const p of m.sentinels.values()) {
    const elapsed = s.now - p.lastMasterDownReplyMs;
    if (elapsed > PERIOD.askMs * 5) {
      p.masterDown = false;
      p.leader = null;
    }
    if (!m.sdown || p.link.disconnected || (!forced && elapsed < PERIOD.askMs)) continue;
    const who = m.failoverState === "none" ? "*" : s.myid;
    const args = ["SENTINEL", "is-master-down-by-addr", m.addr.ip, String(m.addr.port), String(s.currentEpoch), who];
    send(s, p, args, (r) => answered(s, p, r));
  }
}

/** Redis: sentinelReceiveIsMasterDownReply. */
function answered(s: Sentinel, p: Instance, reply: Reply): void {
  if (!Array.isArray(reply) || reply.length !== 3 || reply[0] instanceof ReplyError) return;
  const [down, leader, epoch] = reply;
  if (typeof down !== "number" || typeof leader !== "string" || typeof epoch !== "number") return;
  p.lastMasterDownReplyMs = s.now;
  p.masterDown = down === 1;
  if (leader === "*") return;
  if (p.leaderEpoch !== epoch) s.out.push({ kind: "log", level: "notice", text: `${p.name} voted for ${leader} ${epoch}` });
  p.leader = leader;
  p.leaderEpoch = epoch;
}

/** Redis: sentinelVoteLeader. */
export function vote(s: Sentinel, m: Instance, epoch: number, runId: string): { leader: string | null; epoch: number } {
  if (epoch > s.currentEpoch) {
    s.currentEpoch = epoch;
    flush(s);
    plainEvent(s, "warning", "+new-epoch", String(epoch));
  }
  if (m.leaderEpoch < epoch && s.currentEpoch <= epoch) {
    m.leader = runId;
    m.leaderEpoch = s.currentEpoch;
    flush(s);
    plainEvent(s, "warning", "+vote-for-leader", `${runId} ${m.leaderEpoch}`);
    if (runId !== s.myid) m.failoverStartMs = s.now + desync(s);
  }
  return { leader: m.leader, epoch: m.leaderEpoch };
}

const desync = (s: Sentinel): number => Math.floor(s.random() * PERIOD.maxDesyncMs);

/** Redis: sentinelGetLeader. Votes are counted against the global epoch, as there. */
function leaderOf(s: Sentinel, m: Instance, epoch: number): string | null {
  const votes = new Map<string, number>();
  for (const p of m.sentinels.values())
    if (p.leader !== null && p.leaderEpoch === s.currentEpoch) votes.set(p.leader, (votes.get(p.leader) ?? 0) + 1);
  let winner: string | null = null;
  let most = 0;
  for (const [id, n] of votes)
    if (n > most) {
      most = n;
      winner = id;
    }
  const mine = vote(s, m, epoch, winner ?? s.myid);
  if (mine.leader !== null && mine.epoch === epoch) {
    const n = (votes.get(mine.leader) ?? 0) + 1;
    if (n > most) {
      most = n;
      winner = mine.leader;
    }
  }
  const needed = Math.floor((m.sentinels.size + 1) / 2) + 1;
  return most < needed || most < m.quorum ? null : winner;
}

/** Redis: sentinelStartFailover. */
export function startFailover(s: Sentinel, m: Instance): void {
  m.failoverState = "wait_start";
  m.inFailover = true;
  m.failoverEpoch = ++s.currentEpoch;
  plainEvent(s, "warning", "+new-epoch", String(s.currentEpoch));
  event(s, "warning", "+try-failover", m);
  m.failoverStartMs = s.now + desync(s);
  m.failoverStateMs = s.now;
}

/** Redis: sentinelStartFailoverIfNeeded. */
function startIfNeeded(s: Sentinel, m: Instance): boolean {
  if (!m.odown || m.inFailover) return false;
  if (s.now - m.failoverStartMs < m.failoverTimeoutMs * 2) {
    if (m.failoverDelayLogged !== m.failoverStartMs) {
      m.failoverDelayLogged = m.failoverStartMs;
      const untilMs = m.failoverStartMs + m.failoverTimeoutMs * 2;
      s.out.push({ kind: "log", level: "notice", text: "Next failover delay: I will not start a failover before ", untilMs });
    }
    return false;
  }
  startFailover(s, m);
  return true;
}

/** Redis: sentinelSelectSlave with compareSlavesForPromotion. */
export function selectSlave(s: Sentinel, m: Instance): Instance | null {
  const maxLinkDownMs = (m.sdown ? s.now - m.sdownSinceMs : 0) + m.downAfterMs * 10;
  const infoMaxMs = m.sdown ? PERIOD.pingMs * 5 : PERIOD.infoMs * 3;
  const good = [...m.slaves.values()].filter(
    (r) =>
      !r.sdown &&
      !r.link.disconnected &&
      s.now - r.link.availMs <= PERIOD.pingMs * 5 &&
      r.priority !== 0 &&
      s.now - r.infoMs <= infoMaxMs &&
      r.masterLinkDownMs <= maxLinkDownMs,
  );
  good.sort((a, b) => {
    if (a.priority !== b.priority) return a.priority - b.priority;
    if (a.replOffset !== b.replOffset) return b.replOffset - a.replOffset;
    if (a.runId === b.runId) return 0;
    if (a.runId === null || b.runId === null) return a.runId === null ? 1 : -1;
    return a.runId < b.runId ? -1 : 1;
  });
  return good[0] ?? null;
}

/** Redis: sentinelFailoverStateMachine. */
function stateMachine(s: Sentinel, m: Instance): void {
  if (!m.inFailover) return;
  switch (m.failoverState) {
    case "wait_start":
      return waitStart(s, m);
    case "select_slave": {
      const slave = selectSlave(s, m);
      if (slave === null) {
        event(s, "warning", "-failover-abort-no-good-slave", m);
        return abort(s, m);
      }
      event(s, "warning", "+selected-slave", slave);
      slave.promoted = true;
      m.promotedSlave = slave;
      enter(s, m, "send_slaveof_noone");
      return event(s, "notice", "+failover-state-send-slaveof-noone", slave);
    }
    case "send_slaveof_noone":
      if (m.promotedSlave!.link.disconnected) return abortWhenLate(s, m);
      if (!sendSlaveOf(s, m.promotedSlave!, null)) return;
      event(s, "notice", "+failover-state-wait-promotion", m.promotedSlave);
      return enter(s, m, "wait_promotion");
    case "wait_promotion":
      return abortWhenLate(s, m);
    case "reconf_slaves":
      return reconfNext(s, m);
    default:
      return;
  }
}

function enter(s: Sentinel, m: Instance, state: Instance["failoverState"]): void {
  m.failoverState = state;
  m.failoverStateMs = s.now;
}

function abortWhenLate(s: Sentinel, m: Instance): void {
  if (s.now - m.failoverStateMs <= m.failoverTimeoutMs) return;
  event(s, "warning", "-failover-abort-slave-timeout", m);
  abort(s, m);
}

/** Redis: sentinelAbortFailover. */
function abort(s: Sentinel, m: Instance): void {
  m.inFailover = m.forced = false;
  enter(s, m, "none");
  if (m.promotedSlave !== null) m.promotedSlave.promoted = false;
  m.promotedSlave = null;
}

/** Redis: sentinelFailoverWaitStart. */
function waitStart(s: Sentinel, m: Instance): void {
  const leader = leaderOf(s, m, m.failoverEpoch);
  if (leader !== s.myid && !m.forced) {
    if (s.now - m.failoverStartMs > Math.min(PERIOD.electionMs, m.failoverTimeoutMs)) {
      event(s, "warning", "-failover-abort-not-elected", m);
      abort(s, m);
    }
    return;
  }
  event(s, "warning", "+elected-leader", m);
  if (s.crashAfter === "election") {
    s.exited = true;
    s.out.push({ kind: "exit", code: 99 });
    return;
  }
  enter(s, m, "select_slave");
  event(s, "warning", "+failover-state-select-slave", m);
}

/** Redis: sentinelFailoverReconfNextSlave. */
function reconfNext(s: Sentinel, m: Instance): void {
  const to = m.promotedSlave!.addr;
  let busy = 0;
  for (const r of m.slaves.values()) if (r.reconfSent || r.reconfInprog) busy++;
  for (const r of m.slaves.values()) {
    if (busy >= m.parallelSyncs) break;
    if (r.promoted || r.reconfDone) continue;
    if (r.reconfSent && s.now - r.reconfSentMs > PERIOD.reconfTimeoutMs) {
      event(s, "notice", "-slave-reconf-sent-timeout", r);
      r.reconfSent = false;
      r.reconfDone = true;
    }
    if (r.reconfSent || r.reconfInprog || r.link.disconnected) continue;
    if (!sendSlaveOf(s, r, to)) continue;
    r.reconfSent = true;
    r.reconfSentMs = s.now;
    event(s, "notice", "+slave-reconf-sent", r);
    busy++;
  }
  detectEnd(s, m);
}

/** Redis: sentinelFailoverDetectEnd. */
function detectEnd(s: Sentinel, m: Instance): void {
  if (m.promotedSlave === null || m.promotedSlave.sdown) return;
  const to = m.promotedSlave.addr;
  const left = [...m.slaves.values()].filter((r) => !r.promoted && !r.reconfDone && !r.sdown).length;
  const late = s.now - m.failoverStateMs > m.failoverTimeoutMs;
  if (late) event(s, "warning", "+failover-end-for-timeout", m);
  if (late || left === 0) {
    event(s, "warning", "+failover-end", m);
    enter(s, m, "update_config");
  }
  if (!late) return;
  for (const r of m.slaves.values()) {
    if (r.promoted || r.reconfDone || r.reconfSent || r.link.disconnected) continue;
    if (!sendSlaveOf(s, r, to)) continue;
    event(s, "notice", "+slave-reconf-sent-be", r);
    r.reconfSent = true;
  }
}

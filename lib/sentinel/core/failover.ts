/**
 * The failover state machine, with Redis' names of the states. Pure. Redis sentinel.c: sentinelStartFailoverIfNeeded .. sentinelAbortFailover.
 *
 *   ODOWN -> (turn among the candidates) -> wait_start -votes-> select_slave -> send_slaveof_noone -> wait_promotion
 *         -EXEC and ROLE say master-> reconf_slaves [ epoch pushed -> +switch-master ] -> update_config -> done
 *
 * Differences: it moves on the event instead of a tick; the promotion is read from the transaction's own pipeline; +switch-master comes when
 * a majority holds the new epoch (or after PUSH_MS) and not after the last replica has synced; a planned failover asks for votes too, and the master holds writes until its replica has them all (handover.ts); an
 * election that nobody can have won is repeated soon instead of after twice the failover-timeout.
 */
import { ReplyError, type Reply } from "../../resp/reply.ts";
import { namesAddr, shown, type Addr } from "./addr.ts";
import { crash, emit, emitText, newEpoch, reconfigScript } from "./events.ts";
import { endHandover, handOver } from "./handover.ts";
import { helloAll, send, sendSlaveOf } from "./links.ts";
import { persistFirst, persistNow } from "./persist.ts";
import { begin, close } from "./history.ts";
import { askOffsets, offsetsMissing, reason, selectReplica, successor } from "./select.ts";
import {
  NEVER,
  NO_ORDER,
  disconnected,
  log,
  majority,
  touch,
  wake,
  type Attempt,
  type Master,
  type Order,
  type Replica,
  type Turn,
} from "./state.ts";
import { switchMaster } from "./switch.ts";
import { MAX_DESYNC_MS, askPeers, nobodyCanWin, winner } from "./vote.ts";

/** Distance between the candidates of one ODOWN: more than a vote round with its fsync takes, so that votes are not split. */
const TURN_MS = 50;
/** How long fresh offsets are waited for at most once elected. */
const OFFSETS_MS = 200;
/** The promotion is sent again when INFO shows no effect after this time. */
const PROMOTE_AGAIN_MS = 1000;
/** How long the new epoch's push is waited for before +switch-master goes out anyway. */
const PUSH_MS = 1000;
/** First back-off after an election that nobody could win; doubles. */
const RETRY_MS = 100;
const RETRY_MAX_MS = 10_000;
/** A planned failover waits so long for the votes of peers that do not answer, or refuse. */
const PLANNED_VOTES_MS = 500;

export function inProgress(m: Master): boolean {
  return m.failoverState !== "none";
}

function setState(t: Turn, m: Master, state: Master["failoverState"]): void {
  m.failoverState = state;
  m.failoverStateMs = t.now;
  touch(t, m);
}

/** Opens an election when the master is objectively down, nothing runs and enough time has passed since the last attempt. */
export function startIfNeeded(t: Turn, m: Master): void {
  if (!m.odown || inProgress(m)) return;
  const { now } = t;
  if (!m.autoFailover) {
    if (m.delayLoggedMs !== m.odownSinceMs)
      log(t, "warning", `'${m.name}' is down and stays so: auto-failover is off, SENTINEL FAILOVER ${m.name} would replace it`);
    m.delayLoggedMs = m.odownSinceMs;
    return;
  }
  const allowed = m.retryMs !== NEVER ? m.retryMs : m.failoverStartMs + m.failoverTimeoutMs * 2;
  if (now < allowed) {
    wake(m, allowed);
    if (m.retryMs === NEVER && m.delayLoggedMs !== m.failoverStartMs) {
      m.delayLoggedMs = m.failoverStartMs;
      log(t, "notice", "Next failover delay: I will not start a failover before", allowed);
    }
    return;
  }
  if (t.s.unsavedRetryMs !== NEVER) return wake(m, t.s.unsavedRetryMs + 1);
  if (m.candidacyMs === NEVER) m.candidacyMs = now + turnDelay(t, m);
  if (now < m.candidacyMs) return wake(m, m.candidacyMs);
  startFailover(t, m, null);
}

/** The reachable Sentinels stand for election in the order of their ids: the first at once, each next one a turn later. */
export function turnDelay(t: Turn, m: Master): number {
  let before = 0;
  for (const p of m.peers.values()) if (!p.sdown && !disconnected(p) && p.runid < t.s.myid) before++;
  return before === 0 ? 0 : Math.floor(before * TURN_MS + (t.random() * TURN_MS) / 2);
}

/** A new epoch, and our own vote in it: on disk before anybody is asked; `order` of SENTINEL FAILOVER. Redis: sentinelStartFailover. */
export function startFailover(t: Turn, m: Master, order: Order | null): void {
  m.forced = order !== null;
  m.order = order ?? NO_ORDER;
  stand(t, m, order === null ? "down" : "order");
}

/** Somebody has swapped master and replica: all there is to do is to make an epoch's configuration of it (adopt.ts). */
export function startAdoption(t: Turn, m: Master): void {
  m.forced = false;
  m.order = NO_ORDER;
  stand(t, m, "adoption");
}

/** Others say another address under our epoch: ours gets an epoch of its own (dispute.ts). */
export function startReaffirming(t: Turn, m: Master): void {
  m.forced = false;
  m.order = NO_ORDER;
  stand(t, m, "dispute");
}

function stand(t: Turn, m: Master, why: Attempt["reason"]): void {
  const { s } = t;
  m.adopting = why === "adoption" ? "swap" : why === "dispute" ? "dispute" : "";
  m.candidacyMs = NEVER;
  m.retryMs = NEVER;
  setState(t, m, "wait_start");
  m.failoverEpoch = s.currentEpoch + 1;
  m.votes = new Map();
  m.objected = new Set();
  m.switched = false;
  begin(t, m, why, m.failoverEpoch);
  newEpoch(t, m, m.failoverEpoch);
  emit(t, "warning", "+try-failover", m);
  m.failoverStartMs = t.now + Math.floor(t.random() * MAX_DESYNC_MS);
  const after = { kind: "election", master: m.id, epoch: m.failoverEpoch, oldLeader: m.leader, oldLeaderEpoch: m.leaderEpoch } as const;
  m.leader = s.myid;
  m.leaderEpoch = m.failoverEpoch;
  persistFirst(t, after);
}

/** Our own vote is on disk (or is not): now, and only now, it counts and the others are asked. */
export function electionSaved(
  t: Turn,
  m: Master,
  after: { epoch: number; oldLeader: string; oldLeaderEpoch: number },
  saved: boolean,
): void {
  if (m.failoverState !== "wait_start" || m.failoverEpoch !== after.epoch) return;
  if (!saved) {
    m.leader = after.oldLeader;
    m.leaderEpoch = after.oldLeaderEpoch;
    emit(t, "warning", "-failover-abort-not-elected", m);
    abort(t, m);
    m.retryMs = t.now + RETRY_MAX_MS;
    return;
  }
  emitText(t, "warning", "+vote-for-leader", `${m.leader} ${m.leaderEpoch}`, m);
  m.votes.set(t.s.myid, t.s.myid);
  m.offsetsAskedMs = t.now;
  askOffsets(t, m);
  askPeers(t, m, true);
  touch(t, m);
}

/** Redis: sentinelAbortFailover; only up to wait_promotion. */
export function abort(t: Turn, m: Master): void {
  m.forced = false;
  m.handover = null;
  setState(t, m, "none");
  if (m.promoted !== null) m.promoted.promotedFlag = false;
  m.promoted = null;
}

/** Moves on as far as it can. Redis: sentinelFailoverStateMachine, one state a tick. */
export function advance(t: Turn, m: Master): void {
  for (let before = ""; before !== m.failoverState;) {
    before = m.failoverState;
    switch (m.failoverState) {
      case "wait_start":
        waitStart(t, m);
        break;
      case "select_slave":
        select(t, m);
        break;
      case "send_slaveof_noone":
        sendNoOne(t, m);
        break;
      case "wait_promotion":
        timeout(t, m);
        break;
      case "reconf_slaves":
        reconfigure(t, m);
        break;
      case "update_config":
        finish(t, m);
        break;
    }
  }
}

function waitStart(t: Turn, m: Master): void {
  if (m.votes.size === 0) return; // our own vote is not on disk yet
  // We have voted in a later epoch since, or follow a configuration of one: late votes of this epoch must not make a second leader.
  if (m.leaderEpoch > m.failoverEpoch || m.configEpoch >= m.failoverEpoch) {
    emit(t, "warning", "-failover-abort-not-elected", m);
    return abort(t, m);
  }
  if (winner(m) === t.s.myid || (m.forced && plannedMayProceed(t, m))) return elected(t, m);
  const end = m.failoverStartMs + Math.min(t.s.periods.electionTimeout, m.failoverTimeoutMs);
  const hopeless = nobodyCanWin(m);
  const refused = m.forced && m.objected.size > 0 && allAnswered(m);
  const patience = refused ? Math.min(end, m.failoverStateMs + PLANNED_VOTES_MS) : end;
  if (t.now < patience && !hopeless) return wake(m, patience);
  emit(t, "warning", "-failover-abort-not-elected", m);
  const forced = m.forced;
  abort(t, m);
  if (hopeless && !forced) {
    m.retries++;
    const most = Math.min(RETRY_MS * 2 ** m.retries, RETRY_MAX_MS);
    m.retryMs = t.now + Math.floor(most / 2 + (t.random() * most) / 2);
  }
}

/** SENTINEL FAILOVER goes ahead without a majority when nobody within reach has objected. */
function plannedMayProceed(t: Turn, m: Master): boolean {
  if (m.objected.size > 0) return false;
  if (allAnswered(m)) return true;
  const end = m.failoverStateMs + PLANNED_VOTES_MS;
  wake(m, end);
  return t.now >= end;
}

/** Every peer within reach has given its vote or refused it. */
function allAnswered(m: Master): boolean {
  for (const p of m.peers.values()) if (!p.sdown && !disconnected(p) && !m.votes.has(p.runid) && !m.objected.has(p.runid)) return false;
  return true;
}

function elected(t: Turn, m: Master): void {
  m.retries = 0;
  emit(t, "warning", "+elected-leader", m);
  if (t.s.crashAfterElection) crash(t);
  if (m.adopting === "swap") return adoptSwap(t, m);
  if (m.adopting === "dispute") return reaffirmed(t, m);
  setState(t, m, "select_slave");
  emit(t, "warning", "+failover-state-select-slave", m);
}

/** The votes are there. Is it still as it was? */
function adoptSwap(t: Turn, m: Master): void {
  const r = successor(t, m);
  if (r === null) {
    emit(t, "warning", "-failover-abort-no-good-slave", m);
    return abort(t, m);
  }
  log(t, "notice", `'${m.name}' was swapped by somebody's order: ${r.name} is followed as it is`);
  r.promotedFlag = true;
  m.promoted = r;
  emit(t, "warning", "+selected-slave", r);
  promotionSeen(t, r);
}

/** Elected: the address stays, under an epoch of its own. */
function reaffirmed(t: Turn, m: Master): void {
  m.configEpoch = m.failoverEpoch;
  m.holders = new Set([t.s.myid]);
  m.disputeMs = NEVER;
  m.failoverStartMs = NEVER;
  setState(t, m, "none");
  persistNow(t);
  emit(t, "warning", "+failover-end", m);
  close(t, m, "done");
  helloAll(t, m);
}

function select(t: Turn, m: Master): void {
  const end = m.failoverStateMs + OFFSETS_MS;
  if (t.now < end && offsetsMissing(t, m)) return wake(m, end);
  const r = selectReplica(t, m);
  if (r === null) {
    for (const each of m.replicas.values()) log(t, "notice", `${each.name} cannot be promoted: ${reason(t, m, each)}`);
    emit(t, "warning", "-failover-abort-no-good-slave", m);
    // Elected and nothing done: nobody else acts in this epoch, so that the next attempt need not wait when the master, which answers
    // again, falls silent once more.
    const again = !m.forced && !m.sdown;
    abort(t, m);
    if (again) m.retryMs = t.now;
    return;
  }
  emit(t, "warning", "+selected-slave", r);
  r.promotedFlag = true;
  m.promoted = r;
  setState(t, m, "send_slaveof_noone");
  emit(t, "notice", "+failover-state-send-slaveof-noone", r);
}

function sendNoOne(t: Turn, m: Master): void {
  const r = m.promoted!;
  if (disconnected(r)) return timeout(t, m);
  const step = handOver(t, m, r);
  if (step === "late") return abort(t, m);
  if (step === "wait") return;
  promote(t, r);
  emit(t, "notice", "+failover-state-wait-promotion", r);
  setState(t, m, "wait_promotion");
}

function promote(t: Turn, r: Replica): void {
  r.master.promoteSentMs = t.now;
  sendSlaveOf(t, r, null, { kind: "promoteExec", ri: r.id });
  send(t, r, ["ROLE"], { kind: "promoteRole", ri: r.id });
}

/** INFO says that the chosen replica still is one, well after it was told otherwise: the transaction was lost or refused, so again. */
export function promoteAgain(t: Turn, r: Replica): void {
  const m = r.master;
  if (
    m.promoted === r &&
    m.handover === null &&
    m.failoverState === "wait_promotion" &&
    t.now - m.promoteSentMs >= PROMOTE_AGAIN_MS &&
    !disconnected(r)
  )
    promote(t, r);
}

function timeout(t: Turn, m: Master): void {
  const end = m.failoverStateMs + m.failoverTimeoutMs;
  if (t.now < end) return wake(m, end);
  emit(t, "warning", "-failover-abort-slave-timeout", m);
  abort(t, m);
}

/** The reply to EXEC or ROLE of the promotion. Anything but a clear yes leaves it to INFO. */
export function onPromoteReply(t: Turn, r: Replica, kind: "promoteExec" | "promoteRole", reply: Reply): void {
  const m = r.master;
  if (m.promoted !== r || m.failoverState !== "wait_promotion") return;
  if (kind === "promoteRole" && Array.isArray(reply) && reply[0] === "master") return promotionSeen(t, r);
  if (kind === "promoteExec" && reply instanceof ReplyError)
    log(t, "warning", `Replica ${r.name} refused to become master of '${m.name}': ${reply.text}`);
  r.infoDue = true;
  touch(t, r);
}

/** The chosen replica is a master now: the epoch we won becomes the configuration's. */
export function promotionSeen(t: Turn, r: Replica): void {
  const m = r.master;
  if (r.roleReported !== "master") {
    r.roleReported = "master";
    r.roleReportedMs = t.now;
  }
  m.configEpoch = m.failoverEpoch;
  m.holders = new Set([t.s.myid]);
  setState(t, m, "reconf_slaves");
  persistNow(t);
  endHandover(t, m, r);
  emit(t, "warning", "+promoted-slave", r);
  if (t.s.crashAfterPromotion) crash(t);
  emit(t, "warning", "+failover-state-reconf-slaves", m);
  reconfigScript(t, m, "leader", m.addr, r.addr);
  helloAll(t, m);
}

function pushed(t: Turn, m: Master): boolean {
  // Our own file counts only if it could be written.
  const held = m.holders.size - (t.s.unsavedRetryMs === NEVER ? 0 : 1);
  if (held >= majority(m) && m.handover === null) return true;
  // Well before the others could find the new master down in its turn.
  const end = m.failoverStateMs + Math.min(PUSH_MS, m.downAfterMs / 2);
  wake(m, end);
  return t.now >= end;
}

/** Points the other replicas to the new master, parallel-syncs at a time. Redis: sentinelFailoverReconfNextSlave. */
function reconfigure(t: Turn, m: Master): void {
  if (!m.switched) {
    if (!pushed(t, m)) return;
    if (outstanding(m) === 0) {
      emit(t, "warning", "+failover-end", m);
      return setState(t, m, "update_config");
    }
    const since = m.failoverStateMs;
    publishSwitch(t, m);
    m.failoverStateMs = since;
  }
  // Somebody else stands for a later epoch, with our vote: the replicas are his to order about.
  if (m.leaderEpoch > m.failoverEpoch) return detectEnd(t, m, true);
  let busy = 0;
  for (const r of m.replicas.values()) if (r.reconfSent || r.reconfInProgress) busy++;
  for (const r of m.replicas.values()) {
    if (r.reconfDone || r.oldMaster) continue;
    if (r.reconfSent) {
      const end = r.reconfSentMs + t.s.periods.slaveReconfTimeout;
      if (t.now < end) {
        wake(m, end);
        continue;
      }
      emit(t, "notice", "-slave-reconf-sent-timeout", r);
      r.reconfSent = false;
      r.reconfDone = true;
      continue;
    }
    if (r.reconfInProgress || busy >= m.parallelSyncs || disconnected(r)) continue;
    if (m.adopting === "swap" && follows(t, r, m.addr) && r.masterLinkUp) {
      r.reconfDone = true;
      continue;
    }
    sendSlaveOf(t, r, m.addr);
    r.reconfSent = true;
    r.reconfSentMs = t.now;
    r.infoDue = true;
    touch(t, r);
    emit(t, "notice", "+slave-reconf-sent", r);
    busy++;
  }
  detectEnd(t, m, false);
}

function follows(t: Turn, r: Replica, to: Addr): boolean {
  return r.roleReported === "slave" && r.masterPort === to.port && namesAddr(t.s, to, r.masterHost);
}

/** Living replicas that still follow somebody else. The old master is not among them: it is demoted when it answers again. */
function outstanding(m: Master): number {
  let n = 0;
  for (const r of m.replicas.values()) if (!r.promotedFlag && !r.oldMaster && !r.reconfDone && !r.sdown) n++;
  return n;
}

/** Redis: sentinelFailoverDetectEnd. A new master that is down itself ends it too, so that the next failover can begin. */
function detectEnd(t: Turn, m: Master, overtaken: boolean): void {
  const end = m.failoverStateMs + m.failoverTimeoutMs;
  const late = t.now >= end && !overtaken;
  if (late) emit(t, "warning", "+failover-end-for-timeout", m);
  else if (!overtaken && outstanding(m) > 0 && !m.odown) return wake(m, end);
  emit(t, "warning", "+failover-end", m);
  if (late)
    for (const r of m.replicas.values()) {
      if (r.reconfDone || r.reconfSent || r.oldMaster || disconnected(r)) continue;
      sendSlaveOf(t, r, m.addr);
      emit(t, "notice", "+slave-reconf-sent-be", r);
      r.reconfSent = true;
    }
  setState(t, m, "update_config");
}

function publishSwitch(t: Turn, m: Master): void {
  const to = m.promoted!.addr;
  emitText(t, "warning", "+switch-master", `${m.name} ${shown(t.s, m.addr)} ${m.addr.port} ${shown(t.s, to)} ${to.port}`, m);
  switchMaster(t, m, to);
  m.switched = true;
}

/** The last step: the master is the promoted one for everybody, nothing of the failover remains. */
function finish(t: Turn, m: Master): void {
  if (!m.switched) publishSwitch(t, m);
  for (const r of m.replicas.values()) {
    r.reconfSent = false;
    r.reconfInProgress = false;
    r.reconfDone = false;
    r.oldMaster = false;
  }
  m.forced = false;
  // A vote given meanwhile for a later epoch binds on: its candidate may be at work.
  if (m.leaderEpoch <= m.failoverEpoch) m.failoverStartMs = NEVER;
  close(t, m, "done");
  setState(t, m, "none");
}

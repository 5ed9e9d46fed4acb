/**
 * Asking the other Sentinels, and voting. Pure. Redis sentinel.c: sentinelAskMasterStateToOtherSentinels,
 * sentinelReceiveIsMasterDownReply, sentinelVoteLeader, sentinelGetLeader.
 *
 * Differences, each safe beside originals: votes are counted per (master, epoch), and given per (master, epoch) too, so that elections of
 * several masters do not spoil each other; a vote is on disk before it is spoken or counted, and taken back when it cannot be written.
 */
import { pairs, type Reply } from "../../resp/reply.ts";
import { shown } from "./addr.ts";
import { emit, emitText, newEpoch } from "./events.ts";
import { send } from "./links.ts";
import { persistFirst } from "./persist.ts";
import {
  NEVER,
  disconnected,
  log,
  majority,
  touch,
  voters,
  wake,
  type AfterPersist,
  type Master,
  type Peer,
  type Pending,
  type Turn,
} from "./state.ts";
import type { ClientId } from "./types.ts";

/** Redis: SENTINEL_MAX_DESYNC. */
export const MAX_DESYNC_MS = 1000;
/** A peer's claim that the master is down is forgotten after so many ask periods without a fresh one. */
const ASK_STALE_PERIODS = 5;
/** Between two questions to the one we voted for. */
const RELEASE_MS = 100;
/** A question about our master makes us ask back at once, at most this often. */
const HINT_MS = 20;

function ask(t: Turn, m: Master, p: Peer, vote: boolean): void {
  const epoch = vote ? m.failoverEpoch : t.s.currentEpoch;
  p.askInFlight = true;
  // Who follows another address under our epoch knows the master by that one.
  const { claim } = p;
  const [host, port] =
    vote && m.adopting === "dispute" && claim.epoch === m.configEpoch ? [claim.host, claim.port] : [shown(t.s, m.addr), m.addr.port];
  send(t, p, ["SENTINEL", "is-master-down-by-addr", host, String(port), String(epoch), vote ? t.s.myid : "*"], {
    kind: "ask",
    ri: p.id,
    addr: m.addr,
    vote,
    epoch,
  });
}

/** Asks the peers whose word is missing or old; while we stand for election, for their vote as well. */
export function askPeers(t: Turn, m: Master, forced: boolean): void {
  const { ask: period } = t.s.periods;
  const standing = m.failoverState === "wait_start" && m.leader === t.s.myid && m.leaderEpoch === m.failoverEpoch;
  for (const p of m.peers.values()) {
    if (p.masterDown || p.leader !== "") {
      const stale = p.lastAskReplyMs + period * ASK_STALE_PERIODS;
      if (t.now > stale) {
        p.masterDown = false;
        p.leader = "";
      } else wake(m, stale + 1);
    }
    if (!m.sdown && !standing) continue;
    if (disconnected(p)) continue;
    const vote = standing && !m.votes.has(p.runid);
    if (p.askInFlight && !forced) continue;
    // A planned failover has little time: who refuses may be asking right now whether he is still bound.
    const at = p.lastAskReplyMs + (vote && m.forced ? RELEASE_MS : period);
    if (forced || t.now >= at) ask(t, m, p, vote);
    else wake(m, at);
  }
}

/** Somebody asks about a master that we see down too: he will have seen it down just now, so ask those who have not said so yet. */
export function onHint(t: Turn, m: Master): void {
  if (!m.sdown || t.now - m.lastHintMs < HINT_MS) return;
  m.lastHintMs = t.now;
  for (const p of m.peers.values()) if (!p.masterDown && !p.askInFlight && !disconnected(p)) ask(t, m, p, false);
}

/** The reply to a question: his view of the master and, if asked for, his standing vote. */
export function onAskReply(t: Turn, p: Peer, pending: Pending & { kind: "ask" }, reply: Reply): void {
  p.askInFlight = false;
  const m = p.master;
  // The question was about an address that the master has left meanwhile.
  if (pending.addr !== m.addr) return;
  if (!Array.isArray(reply) || reply.length !== 3) return;
  const [down, leader, epoch] = reply;
  if (typeof down !== "number" || typeof leader !== "string" || typeof epoch !== "number") return;
  p.lastAskReplyMs = t.now;
  p.masterDown = down === 1;
  if (leader !== "*") {
    if (p.leaderEpoch !== epoch) log(t, "notice", `${p.name} voted for ${leader} ${epoch}`);
    p.leader = leader;
    p.leaderEpoch = epoch;
  }
  if (pending.vote && pending.epoch === m.failoverEpoch) {
    // An answer with another epoch proves nothing: he may have voted in ours before he went beyond it.
    if (leader !== "*" && epoch === m.failoverEpoch) m.votes.set(p.runid, leader);
    if (m.votes.get(p.runid) !== t.s.myid) m.objected.add(p.runid);
  }
  touch(t, m);
}

/** The winner of the running failover's epoch as far as we know, or "". Majority of all known, and at least quorum. */
export function winner(m: Master): string {
  const need = Math.max(majority(m), m.quorum);
  for (const [candidate, n] of tally(m)) if (n >= need) return candidate;
  return "";
}

/** True when the standing votes prove that nobody can win this epoch any more: the one case in which an early retry is safe. */
export function nobodyCanWin(m: Master): boolean {
  const need = Math.max(majority(m), m.quorum);
  const silent = voters(m) - m.votes.size;
  return Math.max(0, ...tally(m).values()) + silent < need;
}

function tally(m: Master): Map<string, number> {
  const counts = new Map<string, number>();
  for (const candidate of m.votes.values()) counts.set(candidate, (counts.get(candidate) ?? 0) + 1);
  return counts;
}

/**
 * A peer asks for our vote. The answer goes out when the vote is on disk, in `voteSaved`.
 * Refused: when we voted in this or a later epoch of this master, or already follow a configuration of such an epoch.
 */
export function requestVote(t: Turn, m: Master, client: ClientId, epoch: number, runid: string, down: boolean): void {
  const { s } = t;
  if (s.strangers.has(runid)) return answerVote(t, m, client, down);
  const raised = epoch > s.currentEpoch;
  if (raised) newEpoch(t, m, epoch);
  const grant =
    m.leaderEpoch < epoch && m.configEpoch < epoch && s.unsavedRetryMs === NEVER && !boundToAnother(t, m, runid) && !outOfDate(t, m, runid);
  // A vote that stands, but perhaps not on disk yet, is told when it is.
  if (!grant && !raised && s.unwritten === 0) return answerVote(t, m, client, down);
  const old = { oldLeader: m.leader, oldLeaderEpoch: m.leaderEpoch, oldStartMs: m.failoverStartMs };
  if (grant) {
    m.leader = runid;
    m.leaderEpoch = epoch;
    // A candidate that supports a later one must not win any more.
    if (runid !== s.myid && m.failoverState === "wait_start") giveUp(t, m);
    // From now on, not from the file's writing on: nothing of ours may start in between.
    if (runid !== s.myid) {
      m.failoverStartMs = t.now + Math.floor(t.random() * MAX_DESYNC_MS);
      m.candidacyMs = NEVER;
      m.retryMs = NEVER;
    }
  }
  // What is told is what stands now: until it is written, more may come about this master.
  const told = { leader: m.leader, epoch: m.leaderEpoch };
  persistFirst(t, { kind: "vote", client, master: m.id, down, granted: grant, ...told, ...old });
}

/**
 * True while somebody we voted for may be elected and at work. Originals vote in every new epoch, and so make a second leader beside the
 * first one. We are bound until that epoch's configuration arrives, he asks again, or his time is over (which is also the time for which
 * a voter starts no failover of its own).
 */
function boundToAnother(t: Turn, m: Master, runid: string): boolean {
  if (m.leader === "" || m.leader === runid) return false;
  // Our own failover is at work, also after the promotion: who asks about the old address has not heard of the new one yet.
  if (m.leader === t.s.myid) return m.failoverState !== "none" && m.failoverState !== "wait_start" && !m.switched;
  if (m.leaderEpoch <= m.configEpoch) return false;
  if (m.releasedEpoch === m.leaderEpoch || t.now >= m.failoverStartMs + m.failoverTimeoutMs * 2) return false;
  askRelease(t, m);
  return true;
}

/**
 * An original that has just followed a switch still counts what its peers said about the old address, and its connection to the new master
 * may be as late as down-after: it finds the new master objectively down at once, and replaces it under everybody's writes. While those old
 * claims can count, it gets our vote only when we have not just heard the master ourselves. If it is right, we will see so before it asks again.
 */
function outOfDate(t: Turn, m: Master, runid: string): boolean {
  if (t.now - m.switchedMs > t.s.periods.ask * ASK_STALE_PERIODS + m.downAfterMs) return false;
  if (m.peers.get(runid)?.link.program !== "original") return false;
  return !m.sdown && !disconnected(m) && m.link.lastAvailMs > m.switchedMs && t.now - m.link.lastAvailMs < m.downAfterMs / 2;
}

/** Asks the one we voted for whether he is still at it: he knows best, and what he has given up he does not take up again. */
function askRelease(t: Turn, m: Master): void {
  const p = m.peers.get(m.leader);
  if (p === undefined || disconnected(p) || t.now - m.releaseAskedMs < RELEASE_MS) return;
  m.releaseAskedMs = t.now;
  send(t, p, ["SENTINEL", "MASTER", m.name], { kind: "release", ri: p.id, epoch: m.leaderEpoch });
}

/** His answer. The refused candidate asks again within an ask period and then gets our vote. */
export function onRelease(p: Peer, epoch: number, reply: Reply): void {
  const m = p.master;
  if (!Array.isArray(reply) || m.leaderEpoch !== epoch || m.leader !== p.runid) return;
  if (!(pairs(reply)["flags"] ?? "failover_in_progress").includes("failover_in_progress")) m.releasedEpoch = epoch;
}

function giveUp(t: Turn, m: Master): void {
  emit(t, "warning", "-failover-abort-not-elected", m);
  m.failoverState = "none";
  m.failoverStateMs = t.now;
  m.forced = false;
}

function answerVote(t: Turn, m: Master, client: ClientId, down: boolean): void {
  t.out.push({ kind: "answer", client, answer: [down ? 1 : 0, m.leader === "" ? "*" : m.leader, m.leaderEpoch] });
}

/** The vote's fate is known. An unwritten vote never happened. */
export function voteSaved(t: Turn, m: Master, after: AfterPersist & { kind: "vote" }, saved: boolean): void {
  const { leader, epoch, granted } = after;
  touch(t, m);
  if (saved) {
    if (granted) emitText(t, "warning", "+vote-for-leader", `${leader} ${epoch}`, m);
    t.out.push({ kind: "answer", client: after.client, answer: [after.down ? 1 : 0, leader === "" ? "*" : leader, epoch] });
    return;
  }
  if (granted && m.leaderEpoch === epoch) {
    m.leader = after.oldLeader;
    m.leaderEpoch = after.oldLeaderEpoch;
    m.failoverStartMs = after.oldStartMs;
  }
  answerVote(t, m, after.client, after.down);
}

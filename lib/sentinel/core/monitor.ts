/**
 * Watching instances: periodic commands, the verdict on PING, subjectively and objectively down. Pure.
 * Redis sentinel.c: sentinelSendPeriodicCommands, sentinelPingReplyCallback, sentinelCheckSubjectivelyDown, sentinelCheckObjectivelyDown.
 * The conditions are the original's; the times at which they are looked at are deadlines instead of ticks.
 */
import { ReplyError, type Reply } from "../../resp/reply.ts";
import { describe, emit } from "./events.ts";
import { closeLink, pendingFull, pingPeriod, send, sendHello, sendInfo, sendPing } from "./links.ts";
import { READ_MS, provenDead, wantsReads } from "./fast.ts";
import { foreign } from "./select.ts";
import { NEVER, disconnected, log, masterOf, touch, wake, type Instance, type Master, type Replica, type Turn } from "./state.ts";

/** Replicas are asked this often while their master is down or in failover. Redis: 1000, in sentinelSendPeriodicCommands. */
const INFO_FAST_MS = 1000;
/** And this often while somebody waits for the outcome of a command sent to them. */
const INFO_EAGER_MS = 100;

function infoPeriod(t: Turn, ri: Master | Replica): number {
  const usual = t.s.periods.info;
  if (ri.role === "master") return usual;
  if (wantsReads(ri)) return Math.min(usual, READ_MS);
  const m = ri.master;
  if (ri.reconfSent || ri.reconfInProgress || (ri.promotedFlag && m.failoverState === "wait_promotion"))
    return Math.min(usual, INFO_EAGER_MS);
  if (m.odown || m.failoverState !== "none" || ri.masterLinkDownMs !== 0 || ri.roleReported === "master" || foreign(m, ri))
    return Math.min(usual, INFO_FAST_MS);
  return usual;
}

/** PING, INFO and hello when they are due. */
export function periodic(t: Turn, ri: Instance): void {
  if (disconnected(ri) || pendingFull(ri)) return;
  if (ri.role !== "sentinel" && !ri.infoInFlight) {
    const at = ri.infoMs === NEVER || ri.infoDue ? t.now : Math.max(ri.infoMs, ri.infoSentMs) + infoPeriod(t, ri);
    if (at <= t.now) sendInfo(t, ri);
    else wake(ri, at);
  }
  const link = ri.link;
  const period = pingPeriod(t, ri);
  const pingAt = Math.max(link.lastPongMs + period, link.lastPingMs + Math.ceil(period / 2));
  if (pingAt <= t.now) {
    sendPing(t, ri);
    wake(ri, t.now + Math.ceil(period / 2));
  } else wake(ri, pingAt);
  // A paused master holds PUBLISH back, and all that follows on the connection.
  const pausing = ri.role === "master" && ri.handover !== null;
  if (!ri.helloInFlight && !pausing) {
    const at = ri.helloDue ? t.now : ri.lastPubMs + t.s.periods.publish;
    if (at <= t.now) sendHello(t, ri);
    else wake(ri, at);
  }
}

/** A password that is wrong is said in the log, and stands in the instance's map until one is right. */
export function onAuthReply(t: Turn, ri: Instance, reply: Reply): void {
  ri.link.authError = reply instanceof ReplyError ? reply.text : "";
  if (reply instanceof ReplyError) log(t, "warning", `Authentication failed at ${describe(t, ri)}: ${reply.text}`);
}

/** Good replies: PONG, LOADING, MASTERDOWN. */
export function onPingReply(t: Turn, ri: Instance, reply: Reply): void {
  const { now } = t;
  const link = ri.link;
  const text = reply instanceof ReplyError ? reply.text : typeof reply === "string" ? reply : "";
  if (text.startsWith("PONG") || text.startsWith("LOADING") || text.startsWith("MASTERDOWN")) {
    link.lastAvailMs = now;
    if (link.authError.startsWith("NO")) link.authError = "";
    // The oldest ping that still waits: a slow server is measured by its own delay, not by the last ping's.
    const next = link.pending.find((p) => p.kind === "ping");
    link.actPingMs = next !== undefined && next.kind === "ping" ? next.sentMs : NEVER;
    if (ri.role === "master" && ri.rebooted && text.startsWith("PONG")) ri.rebooted = false;
  } else if (text.startsWith("BUSY") && ri.role !== "sentinel" && ri.sdown && !ri.scriptKillSent) {
    send(t, ri, ["SCRIPT", "KILL"], { kind: "discard" });
    ri.scriptKillSent = true;
  } else if (/^NO(AUTH|PERM)/.test(text) && link.authError === "") onAuthReply(t, ri, reply);
  link.lastPongMs = now;
}

/** Closes connections that look alive but carry nothing, so that they are opened anew. */
function dropDeadLinks(t: Turn, ri: Instance): void {
  const { now } = t;
  const { cmd, pubsub } = ri.link;
  const { minLinkReconnect, publish } = t.s.periods;
  if (cmd.id !== 0 && ri.link.actPingMs !== NEVER) {
    const half = masterOf(ri).downAfterMs / 2;
    const at = Math.max(cmd.upMs + minLinkReconnect, ri.link.actPingMs + half, ri.link.lastPongMs + half);
    if (now > at) closeLink(t, ri.link, "cmd");
    else wake(ri, Math.floor(at) + 1);
  }
  if (pubsub.id !== 0) {
    const at = Math.max(pubsub.upMs + minLinkReconnect, pubsub.lastActivityMs + publish * 3);
    if (now > at) closeLink(t, ri.link, "pubsub");
    else wake(ri, at + 1);
  }
}

/** When the instance counts as down, if nothing changes; Infinity: not in sight. */
function downAt(t: Turn, ri: Instance): number {
  const m = masterOf(ri);
  const link = ri.link;
  let at = Infinity;
  if (link.actPingMs !== NEVER) at = link.actPingMs + m.downAfterMs;
  else if (disconnected(ri)) at = link.lastAvailMs + m.downAfterMs;
  if (ri.role === "master") {
    if (ri.roleReported === "slave") at = Math.min(at, ri.roleReportedMs + m.downAfterMs + t.s.periods.info * 2);
    if (ri.rebooted) at = Math.min(at, ri.rebootedMs + ri.rebootDownAfterMs);
    if (provenDead(t, ri)) at = Math.min(at, t.now);
  }
  return at;
}

/** Sets or clears SDOWN. True when it changed. */
export function checkSubjectivelyDown(t: Turn, ri: Instance): boolean {
  dropDeadLinks(t, ri);
  let at = downAt(t, ri);
  // This process stood still: what the instance answered meanwhile is still in the socket.
  if (!ri.sdown && at < t.s.graceUntilMs) at = t.s.graceUntilMs;
  if (t.now >= at) {
    if (ri.sdown) return false;
    emit(t, "warning", "+sdown", ri);
    ri.sdown = true;
    ri.sdownSinceMs = t.now;
    if (ri.role === "master") for (const r of ri.replicas.values()) touch(t, r);
    return true;
  }
  wake(ri, at);
  if (!ri.sdown) return false;
  emit(t, "warning", "-sdown", ri);
  ri.sdown = false;
  if (ri.role !== "sentinel") ri.scriptKillSent = false;
  return true;
}

/** Sets or clears ODOWN: ours and the peers' word, quorum many. Not a consensus; the election is. */
export function checkObjectivelyDown(t: Turn, m: Master): void {
  let agree = 0;
  if (m.sdown) {
    agree = 1;
    for (const p of m.peers.values()) if (p.masterDown) agree++;
  }
  const down = m.sdown && agree >= m.quorum;
  if (down === m.odown) return;
  if (down) emit(t, "warning", "+odown", m, ` #quorum ${agree}/${m.quorum}`);
  else emit(t, "warning", "-odown", m);
  m.odown = down;
  if (down) m.odownSinceMs = t.now;
  else m.candidacyMs = NEVER;
  for (const r of m.replicas.values()) touch(t, r);
}

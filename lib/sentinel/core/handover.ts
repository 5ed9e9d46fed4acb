/**
 * A planned failover without loss, while the old master still lives. Pure. Comes before SLAVEOF NO ONE, in state send_slaveof_noone:
 *
 *   MULTI, CLIENT PAUSE WRITE, ROLE, EXEC -> master    its offset with writes held
 *   ROLE -> replica, until it has that offset          everything that was ever acknowledged is there
 *   the promotion as always; when it is seen           SLAVEOF and CLIENT UNPAUSE -> old master: held writes are answered -READONLY
 *   when that has been answered                        CLIENT KILL -> old master: its clients look for the new one
 *
 * The kill is no part of the transaction, as it is everywhere else: it would take the answers with it, and a client whose write was held
 * could not know that it was never executed.
 *
 * Both pauses together last at most half of down-after: a paused master also holds the PUBLISH of original Sentinels and all behind it, and
 * must not look down to them. What is not drained by then is given up, the master goes on for a while, and it is tried again a few times. A
 * server that cannot pause writes is failed over the original's way. (FAILOVER of Redis 6.2 would do, but waits for the replica's next acknowledgement, up to a second.)
 */
import { ReplyError, type Reply } from "../../resp/reply.ts";
import { shown } from "./addr.ts";
import { emit } from "./events.ts";
import { send } from "./links.ts";
import { NEVER, disconnected, log, wake, type Handover, type Master, type Replica, type Turn } from "./state.ts";

/** The replica is asked this often for its offset. */
const ASK_MS = 5;
/** Longer than this no client should wait, whatever down-after says. */
const PAUSE_MAX_MS = 5000;

/** So often in all; a busy machine may need more than one. */
const ATTEMPTS = 3;

/** What happens next in send_slaveof_noone. */
export type Step = "wait" | "promote" | "late";

/** One of the two pauses: to drain, and to promote. */
function pauseMs(m: Master): number {
  return Math.max(1, Math.floor(Math.min(m.downAfterMs / 4, PAUSE_MAX_MS)));
}

function pause(t: Turn, m: Master, kind: "discard" | "handover"): void {
  const skip = { kind: "discard" } as const;
  send(t, m, ["MULTI"], skip);
  send(t, m, ["CLIENT", "PAUSE", String(pauseMs(m)), "WRITE"], skip);
  send(t, m, ["ROLE"], skip);
  send(t, m, ["EXEC"], kind === "discard" ? skip : { kind: "handover", ri: m.id, attempt: m.handover!.attempts });
}

/** Is everything at hand to promote `r`? Called at every visit of a master in send_slaveof_noone whose replica is connected. */
export function handOver(t: Turn, m: Master, r: Replica): Step {
  if (!m.forced || m.order.mode === "force" || m.sdown || disconnected(m) || m.roleReported !== "master") return "promote";
  m.handover ??= { phase: "resting", offset: 0, asking: false, askedMs: t.now, sinceMs: NEVER, attempts: 0 };
  const h = m.handover;
  if (h.phase === "refused") {
    if (m.order.mode !== "coordinated") return "promote";
    emit(t, "warning", "-failover-abort-master-timeout", m);
    return "late";
  }
  if (h.phase === "drained") {
    // The time that is left may be short: the master holds writes until it is told what it is.
    pause(t, m, "discard");
    return "promote";
  }
  const end = h.sinceMs + pauseMs(m);
  if (t.now < end) {
    wake(m, end);
    if (h.phase === "draining") askReplica(t, m, r, h);
    return "wait";
  }
  if (h.phase !== "resting") return missed(t, m, h);
  h.phase = "pausing";
  h.sinceMs = t.now;
  h.attempts++;
  h.askedMs = t.now;
  pause(t, m, "handover");
  wake(m, t.now + pauseMs(m));
  return "wait";
}

/** The pause is over and the replica has not all of it: the master goes on; for as long as the pause was, or for good. */
function missed(t: Turn, m: Master, h: Handover): Step {
  send(t, m, ["CLIENT", "UNPAUSE"], { kind: "discard" });
  if (h.attempts >= ATTEMPTS) {
    emit(t, "warning", "-failover-abort-master-timeout", m);
    return "late";
  }
  h.phase = "resting";
  h.sinceMs = t.now;
  h.asking = false;
  wake(m, t.now + pauseMs(m));
  log(t, "notice", `'${m.name}' was not handed over in time, attempt ${h.attempts} of ${ATTEMPTS}`);
  return "wait";
}

function askReplica(t: Turn, m: Master, r: Replica, h: Handover): void {
  if (h.asking) return;
  if (t.now < h.askedMs + ASK_MS) return wake(m, h.askedMs + ASK_MS);
  h.asking = true;
  h.askedMs = t.now;
  send(t, r, ["ROLE"], { kind: "handoverRole", ri: r.id });
}

/** The transaction's reply: its ROLE says how far the master had come when it stopped. */
export function onPaused(t: Turn, m: Master, attempt: number, reply: Reply): void {
  const h = m.handover;
  if (h === null || h.phase !== "pausing" || h.attempts !== attempt) return;
  const [paused, role] = Array.isArray(reply) ? reply : [reply, null];
  if (paused === "OK" && Array.isArray(role) && role[0] === "master" && typeof role[1] === "number") {
    h.phase = "draining";
    h.offset = role[1];
    h.askedMs = t.now - ASK_MS;
    return;
  }
  h.phase = "refused";
  const why = paused instanceof ReplyError ? paused.text : "no offset";
  const then = m.order.mode === "coordinated" ? "the failover is given up" : "its replica is promoted without waiting for it";
  log(t, "notice", `'${m.name}' cannot hold writes (${why}): ${then}`);
}

/** The replica's ROLE. */
export function onDrained(m: Master, reply: Reply): void {
  const h = m.handover;
  if (h === null) return;
  h.asking = false;
  if (h.phase !== "draining" || !Array.isArray(reply) || reply[0] !== "slave" || typeof reply[4] !== "number") return;
  if (reply[3] === "connected" && reply[4] >= h.offset) h.phase = "drained";
}

/** The replica is master: the old one is told so at once, with our epoch on the disk. */
export function endHandover(t: Turn, m: Master, r: Replica): void {
  const h = m.handover;
  if (h === null || h.phase !== "drained" || disconnected(m)) {
    m.handover = null;
    return;
  }
  h.phase = "leaving";
  send(t, m, ["SLAVEOF", shown(t.s, r.addr), String(r.addr.port)], { kind: "discard" });
  send(t, m, ["CONFIG", "REWRITE"], { kind: "discard" });
  send(t, m, ["CLIENT", "UNPAUSE"], { kind: "released", ri: m.id });
}

/** What it held has been answered: that was in the same turn as this reply. */
export function onReleased(t: Turn, m: Master): void {
  if (m.handover?.phase !== "leaving") return;
  m.handover = null;
  for (const type of ["normal", "pubsub"]) send(t, m, ["CLIENT", "KILL", "TYPE", type], { kind: "discard" });
}

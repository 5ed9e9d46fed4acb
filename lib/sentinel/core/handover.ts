/**
 * A planned failover without loss, while the old master still lives. Pure. Comes before SLAVEOF NO ONE, in state send_slaveof_noone:
 *
 *   MULTI, CLIENT PAUSE WRITE, ROLE, EXEC -> master    its offset with writes held
 *   ROLE -> replica, until it has that offset          everything that was ever acknowledged is there
 *   the promotion as always; when it is seen           SLAVEOF and CLIENT UNPAUSE -> old master: held writes meet a replica
 *
 * Both pauses together last at most half of down-after: a paused master also holds the PUBLISH of original Sentinels and all behind it, and
 * must not look down to them. What is not drained by then is given up and the master goes on. A server that cannot pause writes is failed over
 * the original's way. (FAILOVER of Redis 6.2 would do, but waits for the replica's next acknowledgement, up to a second.)
 */
import { ReplyError, type Reply } from "../../resp/reply.ts";
import { emit } from "./events.ts";
import { send, sendSlaveOf } from "./links.ts";
import { disconnected, log, wake, type Master, type Replica, type Turn } from "./state.ts";

/** The replica is asked this often for its offset. */
const ASK_MS = 5;
/** Longer than this no client should wait, whatever down-after says. */
const PAUSE_MAX_MS = 5000;

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
  send(t, m, ["EXEC"], kind === "discard" ? skip : { kind: "handover", ri: m.id });
}

/** Is everything at hand to promote `r`? Called at every visit of a master in send_slaveof_noone whose replica is connected. */
export function handOver(t: Turn, m: Master, r: Replica): Step {
  if (!m.forced || m.sdown || disconnected(m) || m.roleReported !== "master") return "promote";
  let h = m.handover;
  if (h === null) {
    if (!r.masterLinkUp) return "promote";
    h = m.handover = { phase: "pausing", offset: 0, asking: false, askedMs: t.now, sinceMs: t.now };
    pause(t, m, "handover");
  }
  if (h.phase === "refused") return "promote";
  if (h.phase === "drained") {
    // The time that is left may be short: the master holds writes until it is told what it is.
    pause(t, m, "discard");
    return "promote";
  }
  const end = h.sinceMs + pauseMs(m);
  if (t.now >= end) {
    send(t, m, ["CLIENT", "UNPAUSE"], { kind: "discard" });
    emit(t, "warning", "-failover-abort-master-timeout", m);
    return "late";
  }
  wake(m, end);
  if (h.phase === "draining" && !h.asking) {
    if (t.now >= h.askedMs + ASK_MS) {
      h.asking = true;
      h.askedMs = t.now;
      send(t, r, ["ROLE"], { kind: "handoverRole", ri: r.id });
    } else wake(m, h.askedMs + ASK_MS);
  }
  return "wait";
}

/** The transaction's reply: its ROLE says how far the master had come when it stopped. */
export function onPaused(t: Turn, m: Master, reply: Reply): void {
  const h = m.handover;
  if (h === null || h.phase !== "pausing") return;
  const [paused, role] = Array.isArray(reply) ? reply : [reply, null];
  if (paused === "OK" && Array.isArray(role) && role[0] === "master" && typeof role[1] === "number") {
    h.phase = "draining";
    h.offset = role[1];
    h.askedMs = t.now - ASK_MS;
    return;
  }
  h.phase = "refused";
  const why = paused instanceof ReplyError ? paused.text : "no offset";
  log(t, "notice", `'${m.name}' cannot hold writes (${why}): its replica is promoted without waiting for it`);
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
  const drained = m.handover !== null && m.handover.phase === "drained" && !disconnected(m);
  m.handover = null;
  if (!drained) return;
  sendSlaveOf(t, m, r.addr);
  send(t, m, ["CLIENT", "UNPAUSE"], { kind: "discard" });
}

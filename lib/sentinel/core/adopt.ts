/**
 * A swap that somebody made with server commands (FAILOVER, REPLICAOF) is adopted instead of fought. Pure.
 *
 *   ROLE of the master, once a second -> "slave" -> INFO of all -> the proof -> an election -> the new epoch's configuration, without SLAVEOF
 *
 * The proof: the configured master says, on this connection, that it replicates from one of its replicas; that one says that it is a master,
 * and its replication ids say that it was promoted from this master's own stream. A replica that merely claims to be master (stale file,
 * restart without its configuration) is not followed by the master, and is demoted as ever. An original waits for down-after and 20 s and
 * then promotes whomever it likes.
 */
import { ReplyError, type Reply } from "../../resp/reply.ts";
import { startAdoption, turnDelay } from "./failover.ts";
import { send } from "./links.ts";
import { successor } from "./select.ts";
import { NEVER, disconnected, touch, wake, type Master, type Turn } from "./state.ts";

/** Called at every visit of a master. */
export function considerAdoption(t: Turn, m: Master): void {
  askRole(t, m);
  if (m.failoverState !== "none" || m.roleReported !== "slave" || !m.autoFailover) return;
  const allowed = m.retryMs !== NEVER ? m.retryMs : m.failoverStartMs + m.failoverTimeoutMs * 2;
  if (successor(t, m) === null || t.s.unsavedRetryMs !== NEVER || t.now < allowed) {
    if (!m.odown) m.candidacyMs = NEVER;
    return;
  }
  if (m.candidacyMs === NEVER) m.candidacyMs = t.now + turnDelay(t, m);
  if (t.now < m.candidacyMs) return wake(m, m.candidacyMs);
  startAdoption(t, m);
}

function askRole(t: Turn, m: Master): void {
  if (disconnected(m) || m.roleRefused || m.handover !== null) return;
  const at = m.roleAskedMs + t.s.periods.ping;
  if (t.now < at) return wake(m, at);
  m.roleAskedMs = t.now;
  send(t, m, ["ROLE"], { kind: "role", ri: m.id });
  wake(m, t.now + t.s.periods.ping);
}

/** The master's ROLE: a change makes us look at everybody. */
export function onRole(t: Turn, m: Master, reply: Reply): void {
  if (reply instanceof ReplyError) m.roleRefused = reply.code === "NOPERM" || reply.text.startsWith("ERR unknown command");
  if (!Array.isArray(reply)) return;
  if (reply[0] !== "slave" && m.roleReported === "master") return;
  m.infoDue = true;
  for (const r of m.replicas.values()) {
    r.infoDue = true;
    touch(t, r);
  }
}

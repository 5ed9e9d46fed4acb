/** Which replica becomes master. Pure. Redis sentinel.c: sentinelSelectSlave, compareSlavesForPromotion. */
import { namesAddr, sameAddr } from "./addr.ts";
import { disconnected, type Master, type Replica, type Turn } from "./state.ts";

/** Why a replica may not be promoted; "" when it may. The words are for the log and for tests. */
export function unfit(t: Turn, m: Master, r: Replica): string {
  const { now, s } = t;
  const { ping, info } = s.periods;
  if (r.sdown) return "down";
  if (disconnected(r)) return "disconnected";
  if (now - r.link.lastAvailMs > ping * 5) return "silent";
  if (r.priority === 0) return "priority 0";
  if (now - r.infoMs > (m.sdown ? ping * 5 : info * 3)) return "old INFO";
  if (r.masterLinkDownMs > awayMs(t, m) + m.downAfterMs * 10) return "long without its master";
  // Its data set is neither the old nor the new one before the transfer ends.
  if (r.syncing) return "syncing";
  return "";
}

/**
 * How long the master has been away: since its last good reply, which is before it was called down (TILT may lie between). One that came
 * back as a replica is away since then: it is called down two INFO periods later, and with a short down-after its replicas would be
 * "long without it" for ever (two servers that follow each other; tests/sim).
 */
function awayMs(t: Turn, m: Master): number {
  if (!m.sdown) return 0;
  const since = Math.min(m.sdownSinceMs, m.link.lastAvailMs);
  return t.now - (m.roleReported === "slave" ? Math.min(since, m.roleReportedMs) : since);
}

/** Why a replica is not chosen now; "" when it may be. */
export function reason(t: Turn, m: Master, r: Replica): string {
  const why = unfit(t, m, r);
  if (why !== "") return why;
  // Soon after a switch replicas may still wait for their full sync. The master only stood still for a moment and answers again: to replace
  // it by one that has none of its writes would lose all of them for nothing.
  return !m.sdown && m.order.mode !== "force" && foreign(m, r) ? "another history, and the master answers" : "";
}

/**
 * The best fit replica or null: same data lineage as the master first, then priority, offset, run id (none counts as last).
 * The lineage is ours: a replica that never synced with this master holds somebody else's data whatever its offset says, and so does an old
 * master that has just come back: the present one may have died before it told us of its own stream.
 */
export function selectReplica(t: Turn, m: Master): Replica | null {
  let best: Replica | null = null;
  const { to } = m.order;
  for (const r of m.replicas.values())
    if (reason(t, m, r) === "" && (to === null || sameAddr(to, r.addr)) && (best === null || better(m, r, best))) best = r;
  return best;
}

/** The master's stream, as it told it in its present role: what it said before it was made master was its predecessor's. */
function stream(m: Master): string {
  return m.roleReported === "slave" ? m.replid : m.ownReplid;
}

/** It has never synced with this master, as far as both have told. */
export function foreign(m: Master, r: Replica): boolean {
  const master = stream(m);
  return master !== "" && r.replid !== "" && master !== r.replid;
}

/** Its stream ended where the other's began: a master from before the last promotion, beside a replica that went along with it. */
function precedes(a: Replica, b: Replica): boolean {
  return a.replid !== "" && a.replid !== b.replid && a.replid === b.replid2;
}

/**
 * Who stands near a master that has not told its own stream, by the one that it had when it was made master: 2 went along with it into its new
 * stream, 1 has the old one. A master that was replaced and has not synced since does not count: it went nowhere along, its stream is of its
 * own reign, and the present one may be an earlier master that was given the role back and goes on in its old stream.
 */
function kinship(m: Master, r: Replica): number {
  if (stream(m) !== "" || m.replid === "" || r.replid === "" || r.deposed) return 0;
  return r.replid === m.replid ? 1 : r.replid2 === m.replid ? 2 : 0;
}

function better(m: Master, a: Replica, b: Replica): boolean {
  if (foreign(m, a) !== foreign(m, b)) return foreign(m, b);
  if (kinship(m, a) !== kinship(m, b)) return kinship(m, a) > kinship(m, b);
  if (precedes(a, b) !== precedes(b, a)) return precedes(b, a);
  if (a.priority !== b.priority) return a.priority < b.priority;
  if (a.offset !== b.offset) return a.offset > b.offset;
  if (a.runid === "" || b.runid === "") return a.runid !== "";
  return a.runid.toLowerCase() < b.runid.toLowerCase();
}

/** Fresh offsets: asks every connected replica now. */
export function askOffsets(t: Turn, m: Master): void {
  for (const r of m.replicas.values()) {
    if (disconnected(r) || r.infoInFlight) continue;
    r.infoDue = true;
    t.touched.add(r);
  }
}

/** A candidate's answer to askOffsets is still on its way. */
export function offsetsMissing(t: Turn, m: Master): boolean {
  for (const r of m.replicas.values()) {
    if (r.sdown || disconnected(r) || r.priority === 0 || t.now - r.link.lastAvailMs > t.s.periods.ping * 5) continue;
    if (r.infoMs < m.offsetsAskedMs) return true;
  }
  return false;
}

/** How old the INFO of either may be. */
const FRESH_MS = 3000;

/** The replica that has taken the master's place by somebody's order, or null. */
export function successor(t: Turn, m: Master): Replica | null {
  if (m.roleReported !== "slave" || disconnected(m) || m.infoMs < m.link.cmd.upMs || t.now - m.infoMs > FRESH_MS) return null;
  if (m.ownReplid === "") return null;
  for (const r of m.replicas.values()) {
    if (r.addr.port !== m.followsPort || !namesAddr(t.s, r.addr, m.followsHost)) continue;
    if (r.roleReported !== "master" || disconnected(r) || r.infoMs < r.link.cmd.upMs || t.now - r.infoMs > FRESH_MS) return null;
    return r.replid2 === m.ownReplid ? r : null;
  }
  return null;
}

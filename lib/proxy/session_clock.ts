/**
 * When a session that pumps is over time: inactivity of either side, half-closes, `timeout tunnel`, and the hold while its server may be losing
 * its role (HAProxy configuration 4.2 "timeout client", "timeout server-fin", ...). Looked at when a deadline is due, not with every byte.
 */
import type { Session } from "./session.ts";

/** The earlier of both sides' deadlines (performance.now). */
export function nextDeadline(s: Session, now: number): number {
  return Math.min(clientDeadline(s), serverDeadline(s), now + 2 ** 31 - 1);
}
function clientDeadline(s: Session): number {
  // It has said all it will say, and nothing waits to be taken: no more to expect of it.
  if (s.upEnd && s.down === null) return Infinity;
  const t = s.front.config.timeouts;
  const tunnel = s.back?.config.timeouts.tunnel ?? 0;
  let ms = tunnel > 0 ? tunnel : (t.client ?? 0);
  if ((s.upEnd || s.downShut) && t.clientFin) ms = t.clientFin;
  return ms > 0 ? s.clientActiveMs + ms : Infinity;
}
function serverDeadline(s: Session): number {
  if (s.downEnd && s.up === null) return Infinity;
  const t = s.back!.config.timeouts;
  const tunnel = t.tunnel ?? 0;
  let ms = tunnel > 0 ? tunnel : (t.server ?? 0);
  if ((s.downEnd || s.upShut) && t.serverFin) ms = t.serverFin;
  return ms > 0 ? s.serverActiveMs + ms : Infinity;
}

/** A deadline of a session that pumps is due. */
export function overTime(s: Session, now: number): void {
  if (s.gated) {
    // Time stands still; only what has waited too long is answered.
    if (s.resp !== null && s.resp.hasWaiting && !s.resp.failWaiting()) return s.end("sD");
    return s.engine.timers.set(s, now + s.back!.config.holdMs);
  }
  const client = clientDeadline(s);
  const server = serverDeadline(s);
  // HAProxy looks at the client's side first. A side that is over time counts as ended: the other one gets a FIN, and its own time.
  if (client <= now) {
    if (s.upEnd) return s.end("cD");
    if (s.flags === "--") s.flags = "cD";
    s.clientEnded();
  } else if (server <= now) {
    if (s.downEnd) return s.end("sD");
    if (s.flags === "--") s.flags = "sD";
    s.serverEnded();
  } else s.watch(now);
}

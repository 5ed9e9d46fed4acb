/**
 * From Sentinel's events to a hold: when one Sentinel says that it starts a failover, the proxy stops feeding the old master for a moment, so
 * that less is lost when the promotion comes (an original sends SLAVEOF NO ONE 136-221 ms after +try-failover, without a look at offsets).
 * Bounded, because a failover can be announced and never happen (design.md 5). Pure.
 */
import type { FailoverHold } from "./authority.ts";
import type { Address } from "./hello.ts";

/** How long +try-failover alone may hold a master that answers. */
export const TRY_HOLD_MS = 500;
/** How long once a replica was selected: promotion, one INFO period of an original, the word of a majority. */
export const SELECTED_HOLD_MS = 4000;

/** How long one Sentinel's +switch-master holds the old master until a majority has been asked. */
export const SWITCH_HOLD_MS = 1000;

/** The instance part of an event's payload: `<type> <name> <ip> <port>[ @ <master> <ip> <port>]` (Redis sentinel.c: sentinelEvent's %@). */
export type EventInstance = { type: string; name: string; address: Address; masterName: string };

/** Reads an event's payload; null when it has no instance (`+new-epoch 5`). `+switch-master` reads as its master with the old address. */
export function eventInstance(channel: string, payload: string): EventInstance | null {
  const w = payload.split(" ");
  if (channel === "+switch-master") {
    if (w.length < 5) return null;
    return { type: "master", name: w[0]!, address: { host: w[1]!, port: Number(w[2]) }, masterName: w[0]! };
  }
  if (w.length < 4 || !(w[0] === "master" || w[0] === "slave" || w[0] === "sentinel")) return null;
  const at = w[4] === "@" ? w[5] : undefined;
  const masterName = w[0] === "master" ? w[1]! : at;
  if (masterName === undefined) return null;
  return { type: w[0], name: w[1]!, address: { host: w[2]!, port: Number(w[3]) }, masterName };
}

/**
 * The hold after this event of this Sentinel; `previous` when the event does not concern `masterName` or changes nothing. Keep what is
 * returned also when its time is over: it spaces the next one, so that a Sentinel that cries wolf holds a third of the time at most.
 * Nothing here ends a hold because the failover has succeeded: the authority does, when its choice has moved on (authority.ts). One
 * Sentinel's +switch-master is no reason to feed the old master again.
 */
export function failoverHold(
  previous: FailoverHold | null,
  sentinelId: string,
  masterName: string,
  channel: string,
  payload: string,
  nowMs: number,
): FailoverHold | null {
  const about = eventInstance(channel, payload);
  if (about === null || about.masterName !== masterName) return previous;
  const running = previous !== null && nowMs < previous.untilMs;
  const tooSoon = previous !== null && nowMs < previous.sinceMs + 3 * (previous.untilMs - previous.sinceMs);
  switch (channel) {
    case "+try-failover":
      // A second Sentinel that tries as well does not hold longer.
      if (running || tooSoon) return previous;
      return { sentinelId, sinceMs: nowMs, untilMs: nowMs + TRY_HOLD_MS, selected: null };
    case "+selected-slave":
      if (previous !== null && previous.selected === null && (running || previous.sentinelId === sentinelId))
        return { sentinelId, sinceMs: previous.sinceMs, untilMs: nowMs + SELECTED_HOLD_MS, selected: about.address };
      if (running || tooSoon) return previous;
      return { sentinelId, sinceMs: nowMs, untilMs: nowMs + SELECTED_HOLD_MS, selected: about.address };
    case "+switch-master": {
      const w = payload.split(" ");
      if (running || tooSoon) return previous;
      return { sentinelId, sinceMs: nowMs, untilMs: nowMs + SWITCH_HOLD_MS, selected: { host: w[3]!, port: Number(w[4]) } };
    }
    case "-failover-abort-not-elected":
    case "-failover-abort-no-good-slave":
    case "-failover-abort-slave-timeout":
    case "-failover-abort-master-timeout":
      return running && previous.sentinelId === sentinelId ? { ...previous, untilMs: nowMs } : previous;
    default:
      return previous;
  }
}

/**
 * The health of one server: a counter that passes and failures move, and when the next check is due. Pure; HAProxy configuration 5.2
 * (inter, fastinter, downinter, rise, fall) and its observed behaviour (H1, H2 in the notes).
 *
 *   counter   0 ... rise-1 | rise ... rise+fall-1
 *             DOWN         | UP          any pass while UP refills it, any failure while DOWN empties it
 *
 * At start, and after maintenance, the counter stands at `rise`: up, but one failure takes the server down. Servers of a role check start
 * at 0 instead: nothing is served before a first pass (A7).
 */
import { passed, type CheckResult, type StatusName } from "./status.ts";

export interface HealthSettings {
  rise: number;
  fall: number;
  interMs: number;
  /** 0: as interMs. */
  fastinterMs: number;
  downinterMs: number;
}

export interface Health {
  readonly settings: HealthSettings;
  counter: number;
  status: StatusName;
  /** The last finished check; null before the first. */
  last: CheckResult | null;
  checks: number;
  failures: number;
  /** Times it went down. */
  downs: number;
}

/** What a result did: `report` asks for a line when log-health-checks is on. */
export interface HealthChange {
  wentUp: boolean;
  wentDown: boolean;
  report: boolean;
}

/** `initial`: up (HAProxy's own), fully-up, down (one pass brings it up), fully-down (`rise` passes). */
export function newHealth(settings: HealthSettings, initial: "up" | "fully-up" | "down" | "fully-down"): Health {
  const { rise, fall } = settings;
  const counter = initial === "up" ? rise : initial === "fully-up" ? rise + fall - 1 : initial === "down" ? rise - 1 : 0;
  return { settings, counter, status: "INI", last: null, checks: 0, failures: 0, downs: 0 };
}

export function isUp(h: Health): boolean {
  return h.counter >= h.settings.rise;
}

/** The counter of a server without a failed check. */
export function full(h: Health): number {
  return h.settings.rise + h.settings.fall - 1;
}
/** Back to where a server stands when it leaves maintenance. */
export function resetHealth(h: Health, up: boolean): void {
  h.counter = up ? h.settings.rise : h.settings.rise - 1;
}

/** Takes a finished check in. */
export function applyResult(h: Health, r: CheckResult): HealthChange {
  const { rise, fall } = h.settings;
  const wasUp = isUp(h);
  const before = h.counter;
  const statusBefore = h.status;
  const pass = passed(r.status) || r.status === "L7OKC";
  const full = rise + fall - 1;
  h.checks++;
  h.last = r;
  h.status = r.status;
  if (pass) {
    if (h.counter < full) {
      h.counter++;
      if (h.counter >= rise) h.counter = full;
    }
  } else {
    if (wasUp) h.failures++;
    if (h.counter > rise) h.counter--;
    else h.counter = 0;
  }
  const up = isUp(h);
  if (wasUp && !up) h.downs++;
  return { wentUp: up && !wasUp, wentDown: wasUp && !up, report: h.counter !== before || statusBefore !== r.status };
}

/** Milliseconds from the end of a check to the next one: fully up, fully down, or on the way between. */
export function nextDelayMs(h: Health): number {
  const s = h.settings;
  if (h.counter === s.rise + s.fall - 1 && h.checks > 0) return s.interMs;
  if (h.counter === 0) return s.downinterMs || s.interMs;
  return s.fastinterMs || s.interMs;
}

/** `spread-checks`: up to `percent` more or less; `random` is 0..1. */
export function spreadDelayMs(delayMs: number, percent: number, maxMs: number, random: number): number {
  if (percent <= 0) return delayMs;
  let range = (delayMs * percent) / 100;
  if (maxMs > 0 && range > maxMs) range = maxMs;
  return Math.max(1, Math.round(delayMs - range + random * 2 * range));
}

/**
 * When each server's first check starts: spread over the shortest interval, of which only those of a second or more count, so that all
 * servers of the process are not checked at once. `index` counts checked servers.
 */
export function firstDelayMs(index: number, count: number, shortestInterMs: number): number {
  return count === 0 ? 0 : Math.floor((shortestInterMs * index) / count);
}

/** `2/3 UP`, `0/2 DOWN`: how health lines and stats show the counter. */
export function healthText(h: Health): string {
  const { rise, fall } = h.settings;
  return isUp(h) ? `${h.counter - rise + 1}/${fall} UP` : `${h.counter}/${rise} DOWN`;
}

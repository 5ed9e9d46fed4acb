/**
 * The process' clock: one read per command, everything else looks at the fields. HOT. A leaf that every folder but a core may import.
 *
 * `nowMs` is wall time and stands still while a command runs (Redis commandTimeSnapshot); `monoMs` never goes back.
 * Wall time is monotonic time plus an offset that `resync` (server cron, ten times a second) measures anew.
 */

let offsetMs = Date.now() - performance.now() + 0.5;

export const clock = {
  /** Unix time in whole milliseconds. */
  nowMs: Date.now(),
  /** Monotonic milliseconds with fraction. */
  monoMs: performance.now(),
};

/** Reads the clock; returns the monotonic time. Costs about 40 ns. */
export function readClock(): number {
  const t = performance.now();
  clock.monoMs = t;
  clock.nowMs = Math.floor(t + offsetMs);
  return t;
}

/** Follows steps of the system's wall clock. */
export function resyncClock(): void {
  const wall = Date.now();
  const t = performance.now();
  offsetMs = wall - t;
  // Date.now() is whole milliseconds: keep the fraction in the middle, so that the wall time does not jitter backwards by one.
  offsetMs += 0.5;
  clock.monoMs = t;
  clock.nowMs = wall;
}

/** Unix time in microseconds for TIME and DEBUG. */
export function wallMicros(): number {
  return Math.floor((performance.now() + offsetMs) * 1000);
}

/** What must be on disk before it may be said: persist now and go on when the outcome is known; and the quiet kind at a step's end. Pure. */
import type { AfterPersist, Turn } from "./state.ts";

/** Persists everything so far; `after` is carried on in `persisted`. The step's quiet persist becomes superfluous. */
export function persistFirst(t: Turn, after: AfterPersist): void {
  const token = ++t.s.lastToken;
  t.s.waiting.set(token, after);
  t.out.push({ kind: "persist", token });
  t.dirty = false;
}

/** Persists everything so far before the actions that follow. */
export function persistNow(t: Turn): void {
  t.out.push({ kind: "persist", token: 0 });
  t.dirty = false;
}

/** The state changed; the file follows at the end of this step. Redis: sentinelFlushConfig. */
export function persistSoon(t: Turn): void {
  t.dirty = true;
}

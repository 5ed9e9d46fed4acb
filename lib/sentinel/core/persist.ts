/** What must be on disk before it may be said: persist now and go on when the outcome is known; and the quiet kind at a step's end. Pure. */
import { NEVER, type AfterPersist, type Turn } from "./state.ts";

/** Persists everything so far; `after` is carried on in `persisted`. The step's quiet persist becomes superfluous. */
export function persistFirst(t: Turn, after: AfterPersist): void {
  const token = ++t.s.lastToken;
  t.s.waiting.set(token, after);
  push(t, token);
}

/** Persists everything so far before the actions that follow. */
export function persistNow(t: Turn): void {
  push(t, 0);
}

function push(t: Turn, token: number): void {
  t.out.push({ kind: "persist", token });
  t.s.unwritten++;
  t.dirty = false;
  t.s.saveAtMs = NEVER;
}

/** A new configuration: the file follows at the end of this step. Redis: sentinelFlushConfig. */
export function persistSoon(t: Turn): void {
  t.dirty = true;
}

/** What was learnt and would be learnt again (replicas, peers, an epoch heard of): one write for all that comes within a moment. */
export function persistLater(t: Turn): void {
  if (t.s.saveAtMs === NEVER) t.s.saveAtMs = t.now + GATHER_MS;
}
const GATHER_MS = 50;

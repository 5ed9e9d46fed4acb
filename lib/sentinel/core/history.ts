/**
 * What became of each failover, with the time of every step: SENTINEL FAILOVERS. Pure. Filled by the events as they go out (events.ts), so
 * that it says what the log says.
 */
import { shownWithPort } from "./addr.ts";
import type { Answer } from "./types.ts";
import type { Attempt, Instance, Master, Turn } from "./state.ts";

/** So many are kept, for each master. */
const KEPT = 16;
/** An attempt's steps are bounded too: a master with many replicas emits many events. */
const STEPS = 64;

/** A failover of ours begins, or (`observed`) one of somebody else becomes known. */
export function begin(t: Turn, m: Master, reason: Attempt["reason"], epoch: number): Attempt {
  const attempt: Attempt = {
    epoch,
    reason,
    startMs: t.now,
    startWallMs: t.s.wallMs(t.now),
    from: shownWithPort(t.s, m.addr),
    to: "",
    leader: reason === "observed" ? "" : t.s.myid,
    result: "running",
    steps: [],
  };
  m.history.push(attempt);
  if (m.history.length > KEPT) m.history.shift();
  return attempt;
}

/** An event about this master goes out. */
export function note(t: Turn, m: Master, type: string, ri: Instance): void {
  const attempt = m.history.at(-1);
  if (attempt === undefined || attempt.result !== "running") return;
  if (attempt.steps.length < STEPS) attempt.steps.push({ event: type, ms: t.now - attempt.startMs });
  if (type === "+selected-slave") attempt.to = shownWithPort(t.s, ri.addr);
  else if (type.startsWith("-failover-abort")) attempt.result = "aborted";
}

/** The attempt is over: by its end, by a newer configuration, by a restart of the whole (RESET). */
export function close(t: Turn, m: Master, result: "done" | "aborted"): void {
  const attempt = m.history.at(-1);
  if (attempt?.result !== "running") return;
  attempt.result = result;
  attempt.steps.push({ event: result === "done" ? "end" : "overtaken", ms: t.now - attempt.startMs });
}

/** SENTINEL FAILOVERS name: newest first. */
export function failovers(m: Master): Answer {
  return m.history.toReversed().map((a) => ({
    map: [
      "epoch",
      String(a.epoch),
      "reason",
      a.reason,
      "result",
      a.result,
      "start",
      new Date(a.startWallMs).toISOString(),
      "from",
      a.from,
      "to",
      a.to,
      "leader",
      a.leader,
      "steps",
      { map: a.steps.flatMap((step) => [step.event, String(step.ms)]) },
    ],
  }));
}

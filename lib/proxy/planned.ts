/**
 * A failover that the proxy begins itself (`set redis failover be`): nothing new goes to the master, what is under way comes to its end, a
 * replica has everything, only then a Sentinel is asked. So nothing is lost and no client gets an error, whichever Sentinel it is. COLD.
 */
import type { Fencing } from "./fencing.ts";
import type { Server } from "./state.ts";
import { nowMs } from "./timers.ts";

/** How long what is under way may take to come to its end, and the replicas to be level. */
const DRAIN_MS = 2000;
const LEVEL_MS = 2000;
const STEP_MS = 5;

/** Runs one; the text is for whoever asked. */
export async function plannedFailover(fencing: Fencing): Promise<string> {
  const { backend } = fencing;
  const master = backend.chosen;
  if (master === null) return `backend ${backend.name}: no master is confirmed`;
  const sentinel = fencing.sentinels.find((w) => w.state === "up");
  if (sentinel === undefined) return `backend ${backend.name}: no Sentinel can be reached`;
  const end = nowMs() + backend.config.holdMs;
  fencing.drain(master, end);
  try {
    if (!(await reached(DRAIN_MS, () => isIdle(master))))
      return `backend ${backend.name}: requests under way did not end within ${DRAIN_MS} ms`;
    if (!(await reached(LEVEL_MS, () => fencing.hasLevelReplica(master))))
      return `backend ${backend.name}: no replica has caught up within ${LEVEL_MS} ms`;
    const refused = await sentinel.failover();
    if (refused !== null) return `backend ${backend.name}: the Sentinel refuses: ${refused}`;
    const done = await reached(end - nowMs(), () => backend.chosen !== null && backend.chosen !== master);
    return done
      ? `backend ${backend.name}: ${backend.chosen?.name ?? "?"} is the master now`
      : `backend ${backend.name}: the failover was begun, and is not over`;
  } finally {
    fencing.drain(null, 0);
  }
}

/** Nothing without a reply is under way at `server`. */
function isIdle(server: Server): boolean {
  if (server.backend.board !== null && !server.backend.board.isIdle(server)) return false;
  for (const s of server.sessions) if (s.resp !== null && !s.resp.isIdle && !s.resp.hasWaiting) return false;
  return true;
}

async function reached(ms: number, check: () => boolean): Promise<boolean> {
  const end = nowMs() + ms;
  while (!check()) {
    if (nowMs() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
  return true;
}

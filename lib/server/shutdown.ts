/**
 * The end of a server: SHUTDOWN, SIGTERM and SIGINT. Waits for replicas, saves as configured, closes the sockets, removes the pid file. Cold.
 * Redis server.c prepareForShutdown, finishShutdown, db.c shutdownCommand.
 *
 *   wish --replicas behind: writes pause--> waiting --they have it, or shutdown-timeout--> save --> gone
 *        \--nobody behind, NOW--------------------------------------------------------------/  \--failed: as before, and an error to who asked
 */
import { BLOCKED_ON_SHUTDOWN } from "../clients/blocking.ts";
import { GATE_BUSY } from "../clients/command.ts";
import type { Call } from "../clients/call.ts";
import { FLAG_DENY_BLOCKING } from "../clients/client.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { clock, readClock } from "../time/clock.ts";
import { debugSwitches } from "./debug_switches.ts";
import type { Server, ShutdownWish } from "./server.ts";

/** Between two looks at the replicas. */
const LOOK_MS = 10;
const FAILED = errorLine("ERR Errors trying to SHUTDOWN. Check logs.");

/** A shutdown that has begun. */
interface Running {
  wish: ShutdownWish;
  /** Until when replicas are waited for; 0: not any more. */
  endMs: number;
  timer: ReturnType<typeof setTimeout> | null;
}
let running: Running | null = null;

export function isShuttingDown(): boolean {
  return running !== null;
}

/** INFO shutdown_in_milliseconds while replicas are waited for, else null. */
export function shutdownInMs(): number | null {
  return running === null || running.endMs === 0 ? null : running.endMs - clock.nowMs;
}

/** Begins. False: one has begun already. Clients that wait for it are blocked on BLOCKED_ON_SHUTDOWN. */
export function endServer(s: Server, wish: ShutdownWish, closeListeners: () => void): boolean {
  if (running !== null) return false;
  const mine: Running = (running = { wish, endMs: 0, timer: null });
  s.log.notice("User requested shutdown...");
  const seconds = s.config.number("shutdown-timeout");
  if (wish.now || seconds === 0 || !s.parts.replicasBehind()) {
    void finish(s, mine, closeListeners);
    return true;
  }
  readClock();
  mine.endMs = clock.nowMs + seconds * 1000;
  s.parts.holdForReplicas(true);
  s.log.notice("Waiting for replicas before shutting down.");
  const look = (): void => {
    readClock();
    if (s.parts.replicasBehind() && clock.nowMs < mine.endMs) mine.timer = setTimeout(look, LOOK_MS);
    else void finish(s, mine, closeListeners);
  };
  mine.timer = setTimeout(look, LOOK_MS);
  return true;
}

async function finish(s: Server, mine: Running, closeListeners: () => void): Promise<void> {
  s.parts.leaveReplicas();
  const refused = await s.parts.beforeShutdown(mine.wish);
  if (running !== mine) return;
  if (refused !== null) {
    s.log.warning(mine.wish.force ? `${refused} Exit anyway.` : refused);
    if (!mine.wish.force) {
      s.log.warning("Errors trying to shut down the server. Check the logs for more information.");
      return cancel(s);
    }
  }
  s.process.removePidFile();
  s.dispatcher.flushAll();
  closeListeners();
  s.log.warning("Redis is now ready to exit, bye bye...");
  s.process.end(0);
}

/** There will be no shutdown; who asked for it hears an error. */
function cancel(s: Server): void {
  if (running === null) return;
  if (running.timer !== null) clearTimeout(running.timer);
  const waited = running.endMs > 0;
  running = null;
  s.process.endAsked = false;
  const { blocking } = s.service;
  for (const client of Array.from(blocking.clientsOn(BLOCKED_ON_SHUTDOWN))) blocking.fail(client, FAILED);
  if (waited) s.parts.holdForReplicas(false);
}

/** A shutdown that a signal asked for while cron stands still (DEBUG PAUSE-CRON): Redis' cron is what begins it. */
let asked: (() => void) | null = null;

/** As endServer, from a signal's handler. */
export function endOnSignal(s: Server, wish: ShutdownWish): void {
  const begin = (): void => void endServer(s, wish, ending.closeListeners);
  if (!debugSwitches.pauseCron) return begin();
  asked = begin;
  const timer = setInterval(() => {
    if (debugSwitches.pauseCron && asked !== null) return;
    clearInterval(timer);
    asked?.();
    asked = null;
  }, 10);
}

/** Set by main.ts. */
export const ending = { closeListeners: (): void => {} };

/** SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]. */
export function shutdown(s: Server, c: Call): void {
  const wish: ShutdownWish = { save: "configured", now: false, force: false };
  let abort = false;
  for (let i = 1; i < c.argc; i++) {
    if (c.is(i, "nosave") && wish.save !== "yes") wish.save = "no";
    else if (c.is(i, "save") && wish.save !== "no") wish.save = "yes";
    else if (c.is(i, "now")) wish.now = true;
    else if (c.is(i, "force")) wish.force = true;
    else if (c.is(i, "abort")) abort = true;
    else return c.out.error(ERR.syntax);
  }
  if (abort && (wish.save !== "configured" || wish.now || wish.force)) return c.out.error(ERR.syntax);
  if (abort) {
    if (running === null && asked === null) return c.out.errorText("ERR No shutdown in progress.");
    asked = null;
    s.process.endAsked = false;
    cancel(s);
    s.log.notice("Shutdown manually aborted.");
    return c.out.ok();
  }
  // A script in progress has no state that could be saved.
  if (wish.save !== "no" && s.dispatcher.gates & GATE_BUSY) return c.out.error(ERR.busy);
  const { client } = c;
  const mayBlock = (client.flags & FLAG_DENY_BLOCKING) === 0;
  if (!wish.now && !mayBlock) return c.out.errorText("ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client");
  if (s.loading) wish.save = "no";
  if (mayBlock) s.service.blocking.blockOn(client, BLOCKED_ON_SHUTDOWN, 0);
  else c.out.ok();
  endServer(s, wish, ending.closeListeners);
}

/**
 * The end of a server: SHUTDOWN, SIGTERM and SIGINT. Saves as configured, waits for replicas (the parts do both), closes the sockets, removes
 * the pid file. Cold. Redis server.c prepareForShutdown, db.c shutdownCommand.
 */
import { GATE_BUSY } from "../clients/command.ts";
import type { Call } from "../clients/call.ts";
import { FLAG_CLOSE_AFTER_REPLY } from "../clients/client.ts";
import { ERR } from "../resp/errors.ts";
import { debugSwitches } from "./debug_switches.ts";
import type { Server, ShutdownWish } from "./server.ts";

/** State of a shutdown that has begun; null: none. */
let running: { aborted: boolean } | null = null;

export function isShuttingDown(): boolean {
  return running !== null;
}

/**
 * Goes through with it. Never returns to the caller's world on success: the process ends. Resolves with the reason when it was given up.
 */
export async function endServer(s: Server, wish: ShutdownWish, closeListeners: () => void): Promise<string | null> {
  if (running !== null) return "Shutdown in progress";
  const mine = (running = { aborted: false });
  s.log.notice("User requested shutdown...");
  const refused = await s.parts.beforeShutdown(wish);
  if (mine.aborted) return "Shutdown aborted";
  if (refused !== null && !wish.force) {
    running = null;
    s.log.warning(refused);
    s.log.warning("Errors trying to shut down the server. Check the logs for more information.");
    return refused;
  }
  if (refused !== null) s.log.warning(`${refused} Exit anyway.`);
  s.process.removePidFile();
  closeListeners();
  s.dispatcher.flushAll();
  s.log.warning("Redis is now ready to exit, bye bye...");
  s.process.end(0);
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
  // A script in progress has no state that could be saved.
  if (!abort && wish.save !== "no" && s.dispatcher.gates & GATE_BUSY) return c.out.error(ERR.busy);
  if (abort) {
    if (running === null && asked === null) return c.out.errorText("ERR No shutdown in progress.");
    asked = null;
    if (running !== null) running.aborted = true;
    running = null;
    s.log.notice("Shutdown manually aborted.");
    return c.out.ok();
  }
  if (c.depth > 0 || c.client.multi !== null)
    return c.out.errorText("ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client");
  const { client } = c;
  void endServer(s, wish, ending.closeListeners).then((reason) => {
    if (reason === null) return;
    client.out.errorText("ERR Errors trying to SHUTDOWN. Check logs.");
    client.flags &= ~FLAG_CLOSE_AFTER_REPLY;
    s.dispatcher.wake(client);
  });
}

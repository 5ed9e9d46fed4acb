/**
 * FAILOVER: the master hands its place to a replica without losing a write. Cold. Redis replication.c failoverCommand.
 *
 *   no-failover --pause writes--> waiting-for-sync --the target has our offset--> failover-in-progress: we follow it, our PSYNC says FAILOVER
 *        ^----- abort, time over ------/                                                |--taken--> a replica of it
 *        ^------------------------------------------------- not taken, we stay master --/
 */
import type { Call } from "../../clients/call.ts";
import { ACTIONS_WRITE, PAUSE_BY_FAILOVER } from "../../clients/pause.ts";
import { clock } from "../../time/clock.ts";
import { ERR } from "../../resp/errors.ts";
import { ONLINE, type Replica } from "./replica.ts";
import type { Replication } from "./replication.ts";

interface Handover {
  target: Replica | null;
  host: string;
  port: number;
  endMs: number;
  force: boolean;
}

const running = new WeakMap<Replication, Handover>();

function end(repl: Replication): void {
  running.delete(repl);
  repl.failoverState = "no-failover";
  repl.server.service.pause.end(PAUSE_BY_FAILOVER);
}

/** Gives up before the roles changed. */
function abort(repl: Replication, why: string): void {
  repl.server.log.notice(why);
  end(repl);
}

/** The moment: we become the target's replica. */
function handOver(repl: Replication, h: Handover): void {
  repl.failoverState = "failover-in-progress";
  repl.onFailoverEnd = (taken) => {
    if (!taken) {
      repl.server.log.notice("Failover target rejected psync request, aborting failover.");
      repl.unsetMaster();
      // Nobody took over: the old name of the history is still the right one.
    } else repl.server.log.notice("Failover completed");
    end(repl);
  };
  repl.server.log.notice(`Failover target is synced, failing over to ${h.host}:${h.port}`);
  repl.setMaster(h.host, h.port);
}

/** Every beat while a FAILOVER runs. Redis checkClientPauseTimeoutAndReturnIfPaused aside, checkFailoverTimeout's work. */
export function failoverCron(repl: Replication): void {
  const h = running.get(repl);
  if (h === undefined || repl.failoverState !== "waiting-for-sync") return;
  const candidates = h.target !== null ? [h.target] : repl.attachedReplicas();
  const synced = candidates.find((r) => r.state === ONLINE && repl.replicas.has(r) && r.ackOffset >= repl.offset);
  if (synced !== undefined) {
    if (h.target === null) {
      h.host = synced.ip;
      h.port = synced.port;
    }
    return handOver(repl, h);
  }
  if (h.target !== null && !repl.replicas.has(h.target) && !h.force) return abort(repl, "Failover target is gone, aborting failover.");
  if (h.endMs > 0 && clock.nowMs > h.endMs) {
    if (h.force) {
      repl.server.log.notice(`Failover to ${h.host}:${h.port} time out exceeded, failing over anyway.`);
      return handOver(repl, h);
    }
    return abort(repl, "Replica never caught up before timeout");
  }
  repl.requestAcks();
}

/** FAILOVER [TO host port [FORCE]] [TIMEOUT ms] [ABORT]. */
export function failover(c: Call, repl: Replication): void {
  if (c.argc === 2 && c.is(1, "abort")) {
    if (repl.failoverState === "no-failover") return c.out.errorText("ERR No failover in progress.");
    if (repl.failoverState === "failover-in-progress") {
      repl.unsetMaster();
      end(repl);
    } else abort(repl, "Failover manually aborted");
    return c.out.ok();
  }
  let timeout = 0;
  let host = "";
  let port = 0;
  let force = false;
  let timed = false;
  for (let i = 1; i < c.argc; i++) {
    if (c.is(i, "timeout") && i + 1 < c.argc && !timed) {
      timeout = c.integerOrFail(++i);
      if (timeout !== timeout) return;
      if (timeout <= 0) return c.out.errorText("ERR FAILOVER timeout must be greater than 0");
      timed = true;
    } else if (c.is(i, "to") && i + 2 < c.argc && host === "") {
      port = c.integerOrFail(i + 2);
      if (port !== port) return;
      host = c.text(i + 1);
      i += 2;
    } else if (c.is(i, "force") && !force) force = true;
    else return c.out.error(ERR.syntax);
  }
  if (repl.failoverState !== "no-failover") return c.out.errorText("ERR FAILOVER already in progress.");
  if (repl.master !== null) return c.out.errorText("ERR FAILOVER is not valid when server is a replica.");
  if (repl.attachedReplicas().length === 0) return c.out.errorText("ERR FAILOVER requires connected replicas.");
  if (force && (!timed || host === ""))
    return c.out.errorText("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
  let target: Replica | null = null;
  if (host !== "") {
    target = repl.attachedReplicas().find((r) => r.ip === host && r.port === port) ?? null;
    if (target === null) return c.out.errorText("ERR FAILOVER target HOST and PORT is not a replica.");
    if (target.state !== ONLINE) return c.out.errorText("ERR FAILOVER target replica is not online.");
  }
  running.set(repl, { target, host, port, endMs: timed ? clock.nowMs + timeout : 0, force });
  repl.server.log.notice("FAILOVER requested.");
  repl.failoverState = "waiting-for-sync";
  repl.server.service.pause.begin(PAUSE_BY_FAILOVER, Number.MAX_SAFE_INTEGER, ACTIONS_WRITE);
  repl.requestAcks();
  c.out.ok();
}

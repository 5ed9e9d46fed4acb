/**
 * FAILOVER: the master hands its place to a replica without losing a write. Cold. Redis replication.c failoverCommand, updateFailoverStatus.
 *
 *   no-failover --writes pause--> waiting-for-sync --the target has all of it--> failover-in-progress: we follow it, and our PSYNC says FAILOVER
 *        ^----- abort, time over ------/                                                |--it takes over--> we are its replica
 *        ^------------------------------------------------- it refuses, abort: we are the master as before --/
 *
 * Where the original differs: it goes on under a new replication id when nobody took over. Here nothing has happened to the history then, so it
 * keeps its name. And one GETACK goes out before the pause, so that the target need not wait for its next second to say that it is there.
 */
import type { Call } from "../../clients/call.ts";
import { ACTIONS_WRITE, PAUSE_BY_FAILOVER } from "../../clients/pause.ts";
import { ERR } from "../../resp/errors.ts";
import { clock } from "../../time/clock.ts";
import { ONLINE, type Replica } from "./replica.ts";
import type { Replication } from "./replication.ts";

/** "" and 0: any replica. */
interface Target {
  host: string;
  port: number;
}

export class Failover {
  private readonly repl: Replication;
  state: "no-failover" | "waiting-for-sync" | "failover-in-progress";
  private target: Target;
  /** 0: no limit. */
  private endMs: number;
  private force: boolean;

  constructor(repl: Replication) {
    this.repl = repl;
    this.state = "no-failover";
    this.target = { host: "", port: 0 };
    this.endMs = 0;
    this.force = false;
  }

  /** FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms]. */
  command(c: Call): void {
    const { repl } = this;
    if (c.argc === 2 && c.is(1, "abort")) {
      if (this.state === "no-failover") return c.out.errorText("ERR No failover in progress.");
      this.abort("Failover manually aborted");
      return c.out.ok();
    }
    const wish = readWish(c);
    if (wish === null) return;
    const { host, port, force, timeoutMs } = wish;
    if (this.state !== "no-failover") return c.out.errorText("ERR FAILOVER already in progress.");
    if (repl.master !== null) return c.out.errorText("ERR FAILOVER is not valid when server is a replica.");
    if (!repl.hasReplicas) return c.out.errorText("ERR FAILOVER requires connected replicas.");
    if (force && (timeoutMs === 0 || host === ""))
      return c.out.errorText("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    if (host !== "") {
      const r = this.find(host, port);
      if (r === undefined) return c.out.errorText("ERR FAILOVER target HOST and PORT is not a replica.");
      if (r.state !== ONLINE) return c.out.errorText("ERR FAILOVER target replica is not online.");
      repl.server.log.notice(`FAILOVER requested to ${host}:${port}.`);
    } else repl.server.log.notice("FAILOVER requested to any replica.");
    this.target = { host, port };
    this.endMs = timeoutMs > 0 ? clock.nowMs + timeoutMs : 0;
    this.force = force;
    this.state = "waiting-for-sync";
    repl.askForAcks();
    repl.server.service.pause.begin(PAUSE_BY_FAILOVER, Number.MAX_SAFE_INTEGER, ACTIONS_WRITE);
    c.out.ok();
  }

  private find(host: string, port: number): Replica | undefined {
    return this.repl.attachedReplicas().find((r) => r.ip.toLowerCase() === host.toLowerCase() && r.port === port);
  }

  /** After each event while one runs, and with every beat. */
  check(nowMs: number): void {
    if (this.state !== "waiting-for-sync") return;
    const { repl } = this;
    const { log } = repl.server;
    const { host, port } = this.target;
    if (this.endMs > 0 && this.endMs <= nowMs) {
      if (!this.force) return this.abort("Replica never caught up before timeout");
      log.notice(`FAILOVER to ${host}:${port} time out exceeded, failing over.`);
      return this.handOver(this.target);
    }
    const candidates = host === "" ? repl.attachedReplicas() : [this.find(host, port)];
    const synced = candidates.find((r) => r !== undefined && r.state === ONLINE && r.ackOffset === repl.offset);
    if (synced === undefined) return;
    const target = host === "" ? { host: synced.ip, port: synced.port } : this.target;
    log.notice(`Failover target ${target.host}:${target.port} is synced, failing over.`);
    this.handOver(target);
  }

  /** The moment: we become the target's replica. */
  private handOver(target: Target): void {
    this.target = target;
    this.state = "failover-in-progress";
    this.repl.setMaster(target.host, target.port);
  }

  /** The target has answered our PSYNC. True: it refused, and we are the master again. */
  answered(taken: boolean): boolean {
    if (this.state !== "failover-in-progress") return false;
    if (taken) {
      this.clear();
      return false;
    }
    this.abort("Failover target rejected psync request");
    return true;
  }

  private abort(why: string): void {
    const { host, port } = this.target;
    this.repl.server.log.notice(`FAILOVER to ${host === "" ? "any replica" : `${host}:${port}`} aborted: ${why}`);
    if (this.state === "failover-in-progress") this.repl.remainMaster();
    this.clear();
  }

  private clear(): void {
    this.state = "no-failover";
    this.target = { host: "", port: 0 };
    this.endMs = 0;
    this.force = false;
    this.repl.server.service.pause.end(PAUSE_BY_FAILOVER);
  }
}

/** The arguments; null when they made no sense, and that was replied. */
function readWish(c: Call): { host: string; port: number; force: boolean; timeoutMs: number } | null {
  let timeoutMs = 0;
  let host = "";
  let port = 0;
  let force = false;
  for (let i = 1; i < c.argc; i++) {
    if (c.is(i, "timeout") && i + 1 < c.argc && timeoutMs === 0) {
      timeoutMs = c.integerOrFail(++i);
      if (timeoutMs !== timeoutMs) return null;
      if (timeoutMs <= 0) {
        c.out.errorText("ERR FAILOVER timeout must be greater than 0");
        return null;
      }
    } else if (c.is(i, "to") && i + 2 < c.argc && host === "") {
      port = c.integerOrFail(i + 2);
      if (port !== port) return null;
      host = c.text(i + 1);
      i += 2;
    } else if (c.is(i, "force") && !force) force = true;
    else {
      c.out.error(ERR.syntax);
      return null;
    }
  }
  return { host, port, force, timeoutMs };
}

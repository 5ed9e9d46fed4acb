/**
 * The server's heartbeat: `hz` times a second the store expires, moves buckets and frees in slices, rates are sampled, and each part does its
 * own periodic work (clients, replication, persistence). Cold; every job is bounded in time by itself. Redis server.c serverCron.
 */
import { GATE_BUSY } from "../clients/command.ts";
import { setAccessTime } from "../store/access.ts";
import { clock, readClock, resyncClock } from "../time/clock.ts";
import type { LoopStats } from "../clients/loop_stats.ts";
import { PAUSE_EXPIRE } from "../clients/pause.ts";
import { ExpireCycle } from "../store/expire.ts";
import { workStep } from "../store/store.ts";
import { debugSwitches } from "./debug_switches.ts";
import type { Server } from "./server.ts";

const micros = (): number => performance.now() * 1000;
/** Of each beat at most this share goes to the store's own work, in slices that leave the loop its turns. */
const WORK_MS = 1;
const WORK_PAUSE_MS = 2;

/** Moving tables, freeing, giving memory back: a millisecond a beat, more often while there is a lot of it. */
function work(loop: LoopStats): void {
  if (!workStep(WORK_MS, micros)) return;
  setTimeout(() => {
    const started = readClock();
    work(loop);
    loop.turn((readClock() - started) * 1000, 0);
  }, WORK_PAUSE_MS);
}

/** Active expiry: a slow cycle a beat, in slices of half a millisecond. */
function expire(server: Server, cycle: ExpireCycle): void {
  if (!debugSwitches.activeExpire || server.service.pause.is(PAUSE_EXPIRE)) return;
  cycle.beginSlow(server.config.number("hz"));
  const slice = (): void => {
    if (server.dispatcher.gates & GATE_BUSY) return;
    const started = readClock();
    const more = cycle.slice(500);
    server.propagation.flush(false);
    server.service.latency.add("expire-cycle", readClock() - started);
    server.dispatcher.endEvent();
    if (more) setImmediate(slice);
  };
  slice();
}

/** Starts the heartbeat. Returns a function that stops it. */
export function startCron(server: Server): () => void {
  let timer: ReturnType<typeof setTimeout>;
  let stopped = false;
  let sampledMs = 0;
  const cycle = new ExpireCycle(server.databases, micros);
  server.config.watch("active-expire-effort", (c) => cycle.setEffort(c.number("active-expire-effort")));
  const beat = (): void => {
    if (stopped) return;
    resyncClock();
    readClock();
    setAccessTime(clock.nowMs);
    const d = server.dispatcher;
    // A script in progress must not be cut in two by what cron does to the data.
    if (debugSwitches.pauseCron || d.gates & GATE_BUSY) {
      timer = setTimeout(beat, 100);
      return;
    }
    d.inEvent = true;
    const startedMs = clock.monoMs;
    if (clock.nowMs - sampledMs >= 100) {
      sampledMs = clock.nowMs;
      const s = server.stats;
      const { registry } = server.service;
      s.ops.sample(d.totalCommands, clock.nowMs);
      s.input.sample(registry.netInputBytes + s.replInput, clock.nowMs);
      s.output.sample(registry.netOutputBytes + s.replOutput, clock.nowMs);
      s.inputRepl.sample(s.replInput, clock.nowMs);
      s.outputRepl.sample(s.replOutput, clock.nowMs);
      s.peakMemory = Math.max(s.peakMemory, server.usedMemory());
      s.cycles.sample(d.loop.cycles, clock.nowMs);
      s.turns.sample(d.loop.micros, d.loop.cycles);
    }
    server.service.cron();
    work(d.loop);
    for (const job of server.cronJobs) job(clock.nowMs);
    if (!server.loading) {
      expire(server, cycle);
      server.replicaExpires?.cycle();
    }
    server.propagation.flush(false);
    d.inEvent = false;
    d.endEvent();
    const us = (readClock() - startedMs) * 1000;
    d.loop.cronMicros += us;
    d.loop.turn(us, 0);
    timer = setTimeout(beat, 1000 / server.config.number("hz"));
  };
  timer = setTimeout(beat, 1);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

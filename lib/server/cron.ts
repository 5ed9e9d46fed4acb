/**
 * The server's heartbeat: `hz` times a second the store expires, moves buckets and frees in slices, rates are sampled, and each part does its
 * own periodic work (clients, replication, persistence). Cold; every job is bounded in time by itself. Redis server.c serverCron.
 */
import { setAccessTime } from "../store/access.ts";
import { clock, readClock, resyncClock } from "../time/clock.ts";
import type { Server } from "./server.ts";

/** Starts the heartbeat. Returns a function that stops it. */
export function startCron(server: Server): () => void {
  let timer: ReturnType<typeof setTimeout>;
  let stopped = false;
  let sampledMs = 0;
  const beat = (): void => {
    if (stopped) return;
    resyncClock();
    readClock();
    setAccessTime(clock.nowMs);
    const d = server.dispatcher;
    d.inEvent = true;
    server.stats.cronLoops++;
    if (clock.nowMs - sampledMs >= 100) {
      sampledMs = clock.nowMs;
      const s = server.stats;
      s.ops.sample(d.totalCommands, clock.nowMs);
      s.input.sample(s.netInput + s.replInput, clock.nowMs);
      s.output.sample(s.netOutput + s.replOutput, clock.nowMs);
      s.inputRepl.sample(s.replInput, clock.nowMs);
      s.outputRepl.sample(s.replOutput, clock.nowMs);
    }
    for (const job of server.cronJobs) job(clock.nowMs);
    server.propagation.flush();
    d.inEvent = false;
    d.endEvent();
    timer = setTimeout(beat, 1000 / server.config.number("hz"));
  };
  timer = setTimeout(beat, 1);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

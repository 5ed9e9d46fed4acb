/**
 * `slowstart`: a server that has come up gets its weight, and its maxconn, little by little (HAProxy configuration 5.2). The weight moves in
 * twentieths of the time. COLD.
 */
import type { Engine } from "./engine.ts";
import type { Server } from "./state.ts";
import { nowMs, type Timed } from "./timers.ts";

const warming = new WeakMap<Server, Timed>();

/** 1 to 100: how much of its weight it has. */
export function throttlePercent(server: Server, now: number): number {
  const ms = server.config.slowstartMs;
  if (ms === 0 || server.warmingSinceMs === 0) return 100;
  return Math.max(1, Math.min(100, Math.floor(((now - server.warmingSinceMs) * 100) / ms)));
}

/** The weight that balancing sees, from the one that is set, its agent's percentage and the time it has been up. */
export function setWeight(server: Server, now: number): void {
  const percent = throttlePercent(server, now);
  server.weight = percent === 100 ? server.userWeight : (server.userWeight * percent) / 100;
}

/** It is up: begins slowly; `done` when it has its whole weight. */
export function warmUp(engine: Engine, server: Server, done: () => void): void {
  const ms = server.config.slowstartMs;
  if (ms === 0) return;
  coolDown(engine, server);
  server.warmingSinceMs = nowMs();
  const step = Math.max(1, ms / 20);
  const timer: Timed = {
    deadlineMs: 0,
    heapAt: -1,
    expire(now) {
      if (now - server.warmingSinceMs < ms) {
        setWeight(server, now);
        engine.timers.set(timer, now + step);
        return;
      }
      server.warmingSinceMs = 0;
      setWeight(server, now);
      done();
    },
  };
  warming.set(server, timer);
  setWeight(server, server.warmingSinceMs);
  engine.timers.set(timer, server.warmingSinceMs + step);
}

export function coolDown(engine: Engine, server: Server): void {
  const timer = warming.get(server);
  if (timer !== undefined) engine.timers.remove(timer);
  server.warmingSinceMs = 0;
  setWeight(server, nowMs());
}

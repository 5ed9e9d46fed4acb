/**
 * `slowstart`: a server that has come up gets its weight, and its maxconn, little by little (HAProxy configuration 5.2): sixteenths of the
 * weight, looked at anew each second, where the balance algorithm takes weights that change; slots in hundredths. COLD.
 */
import type { Engine } from "./engine.ts";
import type { Server } from "./state.ts";
import { nowMs, type Timed } from "./timers.ts";

/** Steps of a weight. */
const WHOLE = 16;
const TICK_MS = 1000;

const warming = new WeakMap<Server, Timed>();

const secondsOf = (ms: number): number => Math.floor(ms / 1000);
const lengthS = (server: Server): number => Math.ceil(server.config.slowstartMs / 1000);
/** Whole seconds since it came up. */
const warmS = (server: Server, now: number): number => secondsOf(now) - secondsOf(server.warmingSinceMs);

/** Algorithms whose tables are made once take the whole weight at once. */
function isDynamic(server: Server): boolean {
  const { balance } = server.backend.config;
  return balance !== "static-rr" && balance !== "source";
}
function steps(server: Server, now: number): number {
  if (server.warmingSinceMs === 0 || !isDynamic(server)) return WHOLE;
  const s = lengthS(server);
  return Math.min(WHOLE, Math.floor((WHOLE * warmS(server, now) + s) / s));
}

/** 1 to 100: how much of its weight it has now. */
export function throttlePercent(server: Server): number {
  return server.userWeight === 0 ? 100 : Math.floor((100 * server.weight * WHOLE + WHOLE - 1) / (WHOLE * server.userWeight));
}

/** Connections it may have of the `slots` that it has when it is warm. */
export function slotsOfWarming(server: Server, slots: number): number {
  if (slots === 0) return 0;
  const s = lengthS(server);
  const warm = warmS(server, nowMs());
  return warm >= s ? slots : Math.max(1, Math.floor((slots * Math.floor((100 * warm) / s)) / 100));
}

/** The weight that balancing sees, from the one that is set, its agent's percentage and the time it has been up. */
export function setWeight(server: Server, now: number): void {
  server.weight = (server.userWeight * steps(server, now)) / WHOLE;
}

/** It is up: begins slowly; `grown` each time it may take more, `done` when it has its whole weight. */
export function warmUp(engine: Engine, server: Server, grown: () => void, done: () => void): void {
  if (server.config.slowstartMs === 0) return;
  coolDown(engine, server);
  server.warmingSinceMs = nowMs();
  const timer: Timed = {
    deadlineMs: 0,
    heapAt: -1,
    expire(now) {
      const over = warmS(server, now) >= lengthS(server);
      if (over) server.warmingSinceMs = 0;
      setWeight(server, now);
      if (over) return done();
      grown();
      engine.timers.set(timer, now + TICK_MS);
    },
  };
  warming.set(server, timer);
  setWeight(server, server.warmingSinceMs);
  engine.timers.set(timer, server.warmingSinceMs + TICK_MS);
}

export function coolDown(engine: Engine, server: Server): void {
  const timer = warming.get(server);
  if (timer !== undefined) engine.timers.remove(timer);
  server.warmingSinceMs = 0;
  setWeight(server, nowMs());
}

/**
 * maxmemory: before a command runs that may use memory, keys are evicted until the limit holds; if none may go, the command is refused.
 * Redis evict.c performEvictions. Warm: asked before each command while maxmemory is set, free while it is 0 (the gate is open).
 *
 * The arena's end is a limit too: when only its reserve is left, the gate closes, keys are evicted or commands refused as with maxmemory. So no
 * command that has begun to change several keys runs out of memory midway.
 */
import { GATE_MEMORY } from "../clients/command.ts";
import { PAUSE_EVICT } from "../clients/pause.ts";
import { isNearlyFull } from "../store/arena.ts";
import { setGrowthGuard } from "../store/dict.ts";
import { freeSome } from "../store/objects.ts";
import { settings } from "../store/settings.ts";
import { BY_LFU, BY_LRU, BY_RANDOM, BY_TTL, pickVictim, victimDatabase } from "../store/evict.ts";
import type { Server } from "./server.ts";

/** Time one call may evict at the default tenacity of 10, in ms; 100 never stops (Redis evictionTimeLimitUs). */
function limitMs(tenacity: number): number {
  if (tenacity <= 10) return (50 * tenacity) / 1000;
  if (tenacity < 100) return (500 * 1.15 ** (tenacity - 10)) / 1000;
  return Infinity;
}

/** Elements of collections freed at a time while memory is short. */
const FREE_ELEMENTS = 1024;

const KINDS = { lru: BY_LRU, lfu: BY_LFU, ttl: BY_TTL, random: BY_RANDOM } as const;

/** Puts the limit in place and follows CONFIG SET. */
export function controlMemory(server: Server): void {
  const { config, service, databases } = server;
  let max = 0;
  const usedMemory = (): number => server.usedMemory() - server.uncountedMemory();
  const over = (): boolean => (max > 0 && usedMemory() > max) || isNearlyFull();
  let again = false;
  /** Evicts in the next turn, once. */
  const goOn = (): void => {
    if (again) return;
    again = true;
    setTimeout(() => {
      again = false;
      if (over()) evict();
      server.dispatcher.endEvent();
    }, 0);
  };
  let policy = "noeviction";
  let by: number = BY_LRU;
  let onlyVolatile = false;
  config.watch(["maxmemory", "maxmemory-policy"], (c) => {
    max = c.number("maxmemory");
    policy = c.choice("maxmemory-policy");
    onlyVolatile = policy.startsWith("volatile");
    by = KINDS[policy.slice(policy.indexOf("-") + 1) as keyof typeof KINDS] ?? BY_LRU;
    server.setGate(GATE_MEMORY, max > 0 || isNearlyFull());
    // A table that grows into the limit would cost keys: it waits. Redis dictTypeExpandAllowed.
    setGrowthGuard(max > 0 ? (bytes) => usedMemory() + bytes <= max : null);
    // Evicting by age or use needs a word a key: Redis shares no integers then.
    settings.sharedIntegers = max === 0 || !/l[rf]u$/.test(policy);
    // A lower limit takes effect at once, not with the next command (Redis updateMaxmemory).
    if (max > 0 && usedMemory() > max) goOn();
  });
  const evict = (): boolean => {
    if (server.role() === "replica" && config.bool("replica-ignore-maxmemory")) return false;
    if (!over()) return false;
    if (policy === "noeviction" || server.loading || service.pause.is(PAUSE_EVICT)) return true;
    const started = performance.now();
    const still = evictUntil(started);
    service.latency.add("eviction-cycle", performance.now() - started);
    return still;
  };
  /** Evicts until the limit holds, none may go any more (true), or the time is over. */
  const evictUntil = (started: number): boolean => {
    const limit = limitMs(config.number("maxmemory-eviction-tenacity"));
    const samples = config.number("maxmemory-samples");
    for (let n = 1; over(); n++) {
      // What has gone already is freed before anything else goes.
      if (freeSome(FREE_ELEMENTS) && performance.now() - started <= limit) continue;
      if (!over()) break;
      const ref = pickVictim(databases, onlyVolatile, by, samples);
      if (ref === 0) return over();
      databases[victimDatabase].evict(ref);
      server.propagation.flush();
      if ((n & 15) === 0 && performance.now() - started > limit) {
        // The rest goes on between commands; meanwhile commands pass, as the original lets them.
        goOn();
        return false;
      }
    }
    return false;
  };
  server.parts.overMemory = evict;
  server.cronJobs.push(() => server.setGate(GATE_MEMORY, max > 0 || isNearlyFull()));
}

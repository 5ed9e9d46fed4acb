/**
 * Bytes of what is still open come into the counters when somebody looks at them, not while they flow: nothing is added on the hot path. The
 * original counts those of a session when it ends, unless `option contstats` is on; so does strict-haproxy. COLD.
 */
import type { Engine } from "../engine.ts";

export function countBytes(engine: Engine): void {
  for (const client of engine.redisClients) client.countBytes();
  for (const back of engine.backends.values()) back.board?.countBytes();
  const { strict } = engine.config.global;
  for (const front of engine.frontends)
    if (!strict || front.config.options.has("contstats")) for (const session of front.sessions) session.countBytes();
}

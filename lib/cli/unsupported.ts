/**
 * What a redis.conf or sentinel.conf may ask for and this program does not do. Cold.
 *
 * Where going on without it would open a door, the start is refused: better none than another one than was meant.
 */
import type { Config } from "../config/config.ts";

/** Why there can be no start with this configuration, in the words of the start-up log; null when there can. */
export function refusal(config: Config): string | null {
  if (config.modules.length > 0) {
    return `Can't load module from ${config.modules[0]![0]}: server aborting. redisha cannot run Redis modules: take out the loadmodule line.`;
  }
  if (config.moduleSettings.length > 0) {
    const [name] = config.moduleSettings[0]!;
    return `Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting. ('${name}')`;
  }
  if (config.bool("cluster-enabled") && !config.sentinel)
    return "cluster-enabled yes: redisha does not do Redis Cluster. It keeps one data set available with Sentinels and its proxy.";
  return null;
}

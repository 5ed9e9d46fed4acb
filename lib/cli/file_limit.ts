/** As many open files as maxclients asks for. Cold. Redis server.c: adjustOpenFilesLimit. */
import type { Config } from "../config/config.ts";
import type { Log } from "../log/log.ts";
import { fileLimit, setFileLimit } from "../os/ffi.ts";

/** Files beside the clients': listeners, log, data files. */
const RESERVED_FILES = 32;

/**
 * Raises the limit, or lowers `maxclients` to what the system gives; says so in the log. Gives false when not even one client would fit:
 * then the process must end.
 */
export function adjustFileLimit(config: Config, log: Log): boolean {
  const clients = config.number("maxclients");
  const wanted = clients + RESERVED_FILES;
  const limit = fileLimit();
  // Without foreign calls nobody can ask. Bun itself raised the soft limit to the hard one at its start.
  if (limit === null || limit.soft >= wanted) return true;
  if (setFileLimit({ soft: wanted, hard: Math.max(wanted, limit.hard) })) {
    log.notice(`Increased maximum number of open files to ${wanted} (it was originally set to ${limit.soft}).`);
    return true;
  }
  const best = Math.max(limit.soft, Math.min(limit.hard, wanted));
  if (best > limit.soft && !setFileLimit({ soft: best, hard: limit.hard })) return lower(config, log, limit.soft, limit.soft, wanted);
  return best >= wanted || lower(config, log, limit.soft, best, wanted);
}

function lower(config: Config, log: Log, before: number, best: number, wanted: number): boolean {
  if (best <= RESERVED_FILES) {
    log.warning(
      `Your current 'ulimit -n' of ${before} is not enough for the server to start. ` +
        `Please increase your open file limit to at least ${wanted}. Exiting.`,
    );
    return false;
  }
  const asked = config.number("maxclients");
  config.assign("maxclients", String(best - RESERVED_FILES));
  log.warning(`You requested maxclients of ${asked} requiring at least ${wanted} max file descriptors.`);
  log.warning(`Server can't set maximum open files to ${wanted} because of OS error: Operation not permitted.`);
  log.warning(
    `Current maximum open files is ${best}. maxclients has been reduced to ${best - RESERVED_FILES} to compensate for low ulimit. ` +
      "If you need higher maxclients increase 'ulimit -n'.",
  );
  return true;
}

/** CONFIG SET maxclients: the reason why not, or null. */
export function changeMaxClients(config: Config, log: Log): string | null {
  const asked = config.number("maxclients");
  if (adjustFileLimit(config, log) && config.number("maxclients") === asked) return null;
  const possible = config.number("maxclients");
  return `The operating system is not able to handle the specified number of clients, try with ${possible}`;
}

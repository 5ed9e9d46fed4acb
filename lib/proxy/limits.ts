/** How many connections the process may take, from its open-file limit, and the user it goes on as once its sockets are open. COLD. */
import type { HaproxyConfig } from "../config/haproxy_model.ts";
import type { Diagnostics } from "../log/haproxy_line.ts";
import { fileLimit, NO_LIMIT, setFileLimit } from "../os/ffi.ts";
import { becomeUser } from "../os/users.ts";

/** Descriptors of the process itself: epoll, signals, standard files, log sockets. */
const OWN_FILES = 13;
/** Without any limit to be known. */
const DEFAULT_LIMIT = 1_048_576;

/** What is left of `files` descriptors for connections, two each. */
export function connectionsWithin(files: number, config: HaproxyConfig): number {
  const listeners = config.proxies.reduce((n, p) => n + p.binds.length, config.global.statsSockets.length);
  const checks = config.proxies.reduce((n, p) => n + p.servers.filter((s) => s.check).length, 0);
  const admin = config.global.statsSockets.length > 0 ? config.global.statsMaxconn : 0;
  return Math.max(1, Math.floor((files - OWN_FILES - listeners - checks - admin) / 2));
}

/**
 * Sets global.maxconn: the command line's, the file's, or what the machine allows; the open-file limit is raised to what that needs (ulimit-n
 * wins). A limit that the system does not give is said.
 */
export function connectionLimit(config: HaproxyConfig, fromArguments: number, diagnostics: Diagnostics): void {
  const g = config.global;
  if (fromArguments > 0) g.maxconn = fromArguments;
  const limit = fileLimit();
  const hard = limit === null || limit.hard >= NO_LIMIT ? DEFAULT_LIMIT : limit.hard;
  const files = g.ulimitN > 0 ? g.ulimitN : Math.max(hard, limit?.soft ?? 0);
  if (g.maxconn <= 0) g.maxconn = connectionsWithin(Math.min(files, DEFAULT_LIMIT), config);
  const needed = g.ulimitN > 0 ? g.ulimitN : g.maxconn * 2 + (hard - connectionsWithin(hard, config) * 2);
  if (limit === null || limit.soft >= needed) return;
  if (!setFileLimit({ soft: needed, hard: Math.max(limit.hard, needed) }) && !setFileLimit({ soft: limit.hard, hard: limit.hard }))
    diagnostics.warning(`[haproxy.main()] Cannot raise FD limit to ${needed}, limit is ${limit.soft}.`);
  else if ((fileLimit()?.soft ?? needed) < needed)
    diagnostics.warning(
      `[haproxy.main()] FD limit (${limit.hard}) too low for maxconn=${g.maxconn}/maxsock=${needed}. Please raise 'ulimit-n' to ${needed} or more to avoid any trouble.`,
    );
}

/** user, group, uid, gid: from here on; false when the system refuses (said). */
export function ownUser(config: HaproxyConfig, diagnostics: Diagnostics): boolean {
  const { user, group } = config.global;
  if (user === "" && group === "") return true;
  const error = becomeUser(user, group);
  if (error !== null) diagnostics.alert(`[haproxy.main()] ${error}`);
  return error === null;
}

/**
 * Sentinel's configuration file as its memory: rewritten in place, comments and order kept, replaced atomically and durably. COLD.
 * Redis config.c: rewriteConfig, rewriteConfigOverwriteFile; sentinel.c: sentinelFlushConfig. Synchronous on purpose: a vote must not leave
 * before it is on disk, and nothing else may be decided meanwhile.
 */
import { readFileSync } from "node:fs";
import { strerror } from "../bytes/errno.ts";
import { systemPath } from "../bytes/path.ts";
import type { Config } from "../config/config.ts";
import { redisKeyOf } from "../config/redis_conf.ts";
import { rewriteConfigText } from "../config/rewrite.ts";
import { sentinelEntries, sentinelKeyOf } from "../config/sentinel_conf.ts";
import type { Log } from "../log/log.ts";
import { replaceFileSync } from "../os/files.ts";

/** While saving keeps failing for one reason, this is said so often. */
const COMPLAIN_MS = 60_000;

export class StateFile {
  readonly path: string;
  private readonly config: Config;
  private readonly log: Log;
  /** The `user` lines; null when an ACL file keeps the users. */
  private readonly users: () => readonly string[] | null;
  private lastError: string | null;
  private complainedMs: number;

  constructor(path: string, config: Config, log: Log, users: () => readonly string[] | null) {
    this.path = path;
    this.config = config;
    this.log = log;
    this.users = users;
    this.lastError = null;
    this.complainedMs = -Infinity;
  }

  /** Null when the file holds the directives, durably; the reason otherwise (and the old file is untouched). */
  save(directives: string[][]): string | null {
    try {
      const old = readOld(this.path);
      const entries = [...this.config.rewriteEntries(this.users()), ...sentinelEntries(directives)];
      const text = rewriteConfigText(old, entries, sentinelKeyOf(redisKeyOf(this.config)));
      const failure = text === old ? null : replaceFileSync(this.path, text);
      if (failure !== null) return this.complain(failure.reason);
    } catch (error) {
      return this.complain(strerror(error));
    }
    this.lastError = null;
    this.log.notice("Sentinel new configuration saved on disk");
    return null;
  }

  private complain(reason: string): string {
    const now = performance.now();
    if (reason === this.lastError && now - this.complainedMs < COMPLAIN_MS) return reason;
    this.lastError = reason;
    this.complainedMs = now;
    this.log.warning(`WARNING: Sentinel was not able to save the new configuration on disk!!!: ${reason}`);
    this.log.warning("Monitoring goes on, but this Sentinel gives no vote and starts no failover until its file can be written.");
    return reason;
  }
}

function readOld(path: string): string {
  try {
    return readFileSync(systemPath(path), "latin1");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return "";
    throw error;
  }
}

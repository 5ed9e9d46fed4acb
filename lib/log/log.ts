/**
 * Log lines in Redis' form, for the server and Sentinel modes: `pid:role DD Mon YYYY HH:MM:SS.mmm LEVEL text`.
 * Carried by consola's core with our own reporter; the proxy mode brings HAProxy's reporter (haproxy_line.ts). COLD: nothing logs per request.
 */
import { createConsola, type LogObject } from "consola/core";
import { openSync, writeSync, closeSync } from "node:fs";
import { systemPath } from "../bytes/path.ts";
import { redisLine, type RedisLevel, LEVELS } from "./redis_line.ts";

export interface LogTarget {
  /** "" is standard output. The file is opened anew for each line, as Redis does, so that rotation needs no signal. */
  file: string;
  /** Lowest level that is written. */
  level: RedisLevel;
  /** M master, S replica, X Sentinel, C a helper process. */
  role: string;
  pid: number;
}

export interface Log {
  readonly target: LogTarget;
  debug(text: string): void;
  verbose(text: string): void;
  notice(text: string): void;
  warning(text: string): void;
  /** The same by level name: Sentinel's events carry theirs. */
  at(level: RedisLevel, text: string): void;
  /** Text as it is, without date and level: crash reports. */
  raw(text: string): void;
  /** Other places that want the lines (syslog). */
  also(sink: (level: RedisLevel, text: string) => void): void;
}

/** A log that writes to `target`; change the target's fields at run time (CONFIG SET loglevel, REPLICAOF). */
export function createLog(target: LogTarget): Log {
  const sinks: ((level: RedisLevel, text: string) => void)[] = [];
  const reporter = {
    log(entry: LogObject): void {
      const level = entry.tag as RedisLevel;
      const line = redisLine(target.pid, target.role, new Date(), level, String(entry.args[0]));
      write(target.file, line);
    },
  };
  const consola = createConsola({ level: 5, reporters: [reporter] });
  const at = (level: RedisLevel, text: string): void => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(target.level)) return;
    consola.withTag(level).log(text);
    for (const sink of sinks) sink(level, text);
  };
  return {
    target,
    at,
    debug: (t) => at("debug", t),
    verbose: (t) => at("verbose", t),
    notice: (t) => at("notice", t),
    warning: (t) => at("warning", t),
    raw: (t) => write(target.file, t),
    also: (sink) => void sinks.push(sink),
  };
}

/** A line that cannot be written is dropped: a full disk must not stop the service. */
function write(file: string, line: string): void {
  const bytes = Buffer.from(line, "latin1");
  try {
    if (file === "") {
      writeSync(1, bytes);
      return;
    }
    const fd = openSync(systemPath(file), "a", 0o644);
    try {
      writeSync(fd, bytes);
    } finally {
      closeSync(fd);
    }
  } catch {
    // nowhere left to say it
  }
}

/**
 * Commands about the server as a whole: CONFIG, FLUSHALL and FLUSHDB, SWAPDB, DBSIZE, TIME, LOLWUT, MEMORY, SHUTDOWN, DEBUG's plain parts.
 * Cold. INFO is in info.ts, replication's and persistence's commands are with them. Redis server.c, config.c, db.c, debug.c.
 */
import type { Call } from "../clients/call.ts";
import { systemPath } from "../bytes/path.ts";
import { FLAG_SCRIPT } from "../clients/client.ts";
import type { Run } from "../clients/command.ts";
import { redisKeyOf } from "../config/redis_conf.ts";
import { rewriteConfigText } from "../config/rewrite.ts";
import { replaceFileSync } from "../os/files.ts";
import { existsSync, readFileSync } from "node:fs";
import { ERR, errorLine } from "../resp/errors.ts";
import { databases, flushAll, swapDatabases } from "../store/store.ts";
import { settings } from "../store/settings.ts";
import { resetStats } from "../store/events.ts";
import { resetFreedObjects } from "../store/objects.ts";
import { clock, wallMicros } from "../time/clock.ts";
import { keyspaceOf } from "../commands/effects.ts";
import type { Server } from "./server.ts";
import { shutdown } from "./shutdown.ts";

// ---------------------------------------------------------------------------------------------------------------- CONFIG

function configGet(s: Server, c: Call): void {
  const patterns: string[] = [];
  for (let i = 2; i < c.argc; i++) patterns.push(c.text(i));
  const found = s.config.match(patterns);
  c.out.map(found.length);
  for (const [name, value] of found) {
    c.out.bulkText(name);
    c.out.bulkText(value);
  }
}

function configSet(s: Server, c: Call): void {
  if (c.argc % 2 === 1) return c.out.errorText("ERR wrong number of arguments for 'config|set' command");
  const pairs: string[] = [];
  for (let i = 2; i < c.argc; i++) pairs.push(c.text(i));
  const may = s.config.choice("enable-protected-configs");
  const error = s.config.set(pairs, { loading: s.loading, mayProtected: may === "yes" || (may === "local" && isLocal(c)) });
  if (error === null) c.out.ok();
  else c.out.errorText(error);
}

/** True for clients on the loopback interface or the unix socket: what `local` means in enable-debug-command and its kin. */
export function isLocal(c: Call): boolean {
  const conn = c.client.conn;
  return conn === null || conn.path !== "" || conn.remoteAddress === "127.0.0.1" || conn.remoteAddress === "::1";
}

function configRewrite(s: Server, c: Call): void {
  const { config, log } = s;
  if (config.file === null) return c.out.errorText("ERR The server is running without a config file");
  const path = systemPath(config.file);
  const old = existsSync(path) ? readFileSync(path, "latin1") : "";
  const text = rewriteConfigText(old, config.rewriteEntries(s.service.users.configLines()), redisKeyOf(config));
  const failed = replaceFileSync(config.file, Buffer.from(text, "latin1"));
  if (failed !== null) {
    log.warning(`CONFIG REWRITE failed: ${failed.log}`);
    return c.out.errorText(`ERR Rewriting config file: ${failed.reason}`);
  }
  log.notice("CONFIG REWRITE executed with success.");
  c.out.ok();
}

// ---------------------------------------------------------------------------------------------------------------- databases

/** [ASYNC | SYNC] of FLUSHALL and FLUSHDB: true for asynchronous; null when the reply is given. */
function flushMode(c: Call): boolean | null {
  if (c.argc === 1) return settings.lazyfreeLazyUserFlush;
  if (c.argc === 2 && c.is(1, "async")) return true;
  if (c.argc === 2 && c.is(1, "sync")) return false;
  c.out.error(ERR.syntax);
  return null;
}

type ProtectedAction = "enable-debug-command" | "enable-module-command";

/** Replies an error unless that directive lets this client run the command `name`. */
export function mayUse(s: Server, c: Call, directive: ProtectedAction, name: string): boolean {
  const may = s.config.choice(directive);
  if (may === "yes" || (may === "local" && isLocal(c))) return true;
  const text = `ERR ${name} command not allowed. If the ${directive} option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.`;
  s.dispatcher.reject(c, errorLine(text));
  return false;
}

/** Replies an error unless `enable-debug-command` lets this client do it. */
export function mayDebug(s: Server, c: Call): boolean {
  return mayUse(s, c, "enable-debug-command", "DEBUG");
}

function swapdb(c: Call): void {
  const first = c.integer(1);
  const second = c.integer(2);
  if (Number.isNaN(first)) return c.out.errorText("ERR invalid first DB index");
  if (Number.isNaN(second)) return c.out.errorText("ERR invalid second DB index");
  if (databases[first] === undefined || databases[second] === undefined) return c.out.error(ERR.dbOutOfRange);
  c.dirty++;
  swapDatabases(first, second);
  c.out.ok();
}

/** A moiré of the version: what LOLWUT draws. */
function lolwut(s: Server, c: Call): void {
  const width = 60;
  const lines: string[] = [];
  for (let y = 0; y < 14; y++) {
    let line = "";
    for (let x = 0; x < width; x++) {
      const a = Math.hypot(x / 2 - 12, y - 7);
      const b = Math.hypot(x / 2 - 18, y - 6);
      line += " .:+#"[Math.floor(Math.abs(Math.sin(a * 0.9) + Math.sin(b * 0.9)) * 2.2)];
    }
    lines.push(line);
  }
  c.out.verbatim(`${lines.join("\n")}\nRedis ver. 7.2.4, redisha ${s.version}\n`, "txt");
}

/** The family; DEBUG is in debug.ts. */
export function serverRuns(s: Server): Record<string, Run> {
  const flush = (c: Call, all: boolean): void => {
    const lazy = flushMode(c);
    if (lazy === null) return;
    const keys = all ? flushAll(lazy) : keyspaceOf(c).flush(lazy);
    s.service.tracking.flushed();
    // The flush itself goes to replicas even when nothing was there, but counts as no change, and as none at all when it is on disk.
    c.dirty += all && s.parts.flushedAll() ? 1 : keys + 1;
    s.propagation.dirty--;
    c.out.ok();
  };
  return {
    "config|get": (c) => configGet(s, c),
    "config|set": (c) => configSet(s, c),
    "config|rewrite": (c) => configRewrite(s, c),
    "config|resetstat": (c) => {
      s.service.resetStats();
      s.stats.reset();
      resetStats();
      resetFreedObjects();
      s.parts.resetStats();
      c.out.ok();
    },
    flushall: (c) => flush(c, true),
    flushdb: (c) => flush(c, false),
    dbsize: (c) => c.out.int(keyspaceOf(c).size),
    swapdb,
    time: (c) => {
      // A script sees time stand still.
      const us = c.client.flags & FLAG_SCRIPT ? Math.floor(clock.nowMs * 1000) : wallMicros();
      c.out.array(2);
      c.out.bulkText(String(Math.floor(us / 1e6)));
      c.out.bulkText(String(us % 1e6));
    },
    lolwut: (c) => lolwut(s, c),
    shutdown: (c) => shutdown(s, c),
    "module|list": (c) => c.out.array(0),
  };
}

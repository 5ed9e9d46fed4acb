/**
 * `redisha --sentinel sentinel.conf`, `redisha sentinel.conf --sentinel --pidfile F`: a Sentinel process from its arguments to its end. COLD.
 *
 *   arguments, file --lib/config--> Config + `sentinel` lines --SentinelEngine.create--> Driver + SentinelServer, until SHUTDOWN or a signal
 */
import { accessSync, constants, unlinkSync } from "node:fs";
import { lookup } from "node:dns/promises";
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { readRedisArguments } from "../config/command_line.ts";
import { Config } from "../config/config.ts";
import { REDIS_VERSION, fatalConfigText, readRedisConf, type ConfigFailure, type LineFailure } from "../config/redis_conf.ts";
import { checkSentinelStatement, hostNames, sentinelHint } from "../config/sentinel_conf.ts";
import { createLog, type Log } from "../log/log.ts";
import { strerror } from "../bytes/errno.ts";
import { SentinelEngine } from "./core/engine.ts";
import type { DirectiveError } from "./core/directives.ts";
import { Driver } from "./driver.ts";
import { ScriptQueue } from "./scripts.ts";
import { SentinelServer } from "./server.ts";
import { StateFile } from "./state_file.ts";

/** How long names in the file may take to be looked up before the start goes on without them. */
const LOOKUP_MS = 3000;

interface SentinelLine {
  words: string[];
  line: number;
  text: string;
}

/** What the start needs, read and checked; a failure has been told and its exit code is given. */
export interface Loaded {
  config: Config;
  lines: SentinelLine[];
  path: string;
  log: Log;
}

/** Reads arguments (those behind the program's name) and file. Says on stderr or in the log why it cannot, and gives the exit code. */
export function loadSentinel(args: readonly string[], stdin: string | null = null): Loaded | number {
  const given = readRedisArguments(args);
  const path = given.file === null ? null : resolve(given.file);
  const log = createLog({ file: "", level: "notice", role: "X", pid: process.pid });
  const config = new Config({ sentinel: true, warn: (text) => log.warning(text) });
  config.file = path;
  const lines: SentinelLine[] = [];
  const failure = readRedisConf(
    config,
    { file: given.file, stdin, options: given.options },
    {
      sentinel: (words, line, text) => {
        const error = checkSentinelStatement(words);
        if (error === null) lines.push({ words: [...words], line, text });
        return error;
      },
    },
  );
  if (failure !== null) return refuse(failure, log);
  log.target.file = config.text("logfile");
  log.target.level = config.choice("loglevel");
  if (path === null) {
    log.warning("Sentinel needs config file on disk to save state. Exiting...");
    return 1;
  }
  try {
    accessSync(path, constants.W_OK);
  } catch (error) {
    log.warning(`Sentinel config file ${path} is not writable: ${strerror(error)}. Exiting...`);
    return 1;
  }
  return { config, lines, path, log };
}

function refuse(failure: ConfigFailure, log: Log): number {
  if (failure.kind === "open") log.warning(failure.text);
  else process.stderr.write(fatalConfigText(withHint(failure.failure)));
  return 1;
}

/** Our word on how the refused statement is written. */
function withHint(failure: LineFailure): LineFailure {
  const words = failure.text.split(/\s+/);
  if (words.length < 2 || words[0].toLowerCase() !== "sentinel") return failure;
  const hint = sentinelHint(words.slice(1));
  return hint === "" ? failure : { ...failure, hints: [...failure.hints.filter((h) => !h.includes("sentinel <statement>")), hint] };
}

function canExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Names in the file, looked up side by side; those without an answer in time are left out. */
async function resolveNames(names: string[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const all = names.map(async (name) => {
    try {
      const answers = await lookup(name, { all: true });
      found[name] = (answers.find((a) => a.family === 4) ?? answers[0]).address;
    } catch {
      // stays unresolved: the engine says so, or tries again
    }
  });
  await Promise.race([Promise.all(all), new Promise((done) => setTimeout(done, LOOKUP_MS).unref())]);
  return found;
}

/** Runs a Sentinel; the promise holds the exit code of a start that failed and stays open while it runs. `ready` is called once it listens. */
export async function runSentinel(loaded: Loaded, ready: () => void = () => {}): Promise<number> {
  const { config, lines, path, log } = loaded;
  const directives = lines.map((l) => l.words);
  const warnings: DirectiveError[] = [];
  const boot = {
    directives,
    freshId: randomBytes(20).toString("hex"),
    port: config.bool("tls-replication") && config.number("tls-port") !== 0 ? config.number("tls-port") : config.number("port"),
    requirepass: config.text("requirepass"),
    logLevel: config.choice("loglevel"),
    canExecute,
    resolved: await resolveNames(hostNames(directives)),
  };
  const engine = SentinelEngine.create(boot, Driver.nowMs(), warnings);
  if ("text" in engine) {
    const { text, line } = lines[engine.index];
    process.stderr.write(fatalConfigText(withHint({ line, text, reason: engine.text, hints: [`${path}, line ${line}`] })));
    return 1;
  }
  log.notice("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
  log.notice(`Redis version=${REDIS_VERSION}, bits=64, commit=00000000, modified=0, pid=${process.pid}, just started`);
  log.notice("Configuration loaded");
  for (const w of warnings) log.warning(`${path}, line ${lines[w.index].line}: ${w.text}`);
  const server = assemble(loaded, engine, path);
  const failed = server.start();
  if (failed !== null) {
    log.warning(failed);
    return 1;
  }
  log.notice(`Running mode=sentinel, port=${config.number("port")}.`);
  ready();
  server.options.driver!.start();
  return new Promise(() => {});
}

function assemble(loaded: Loaded, engine: SentinelEngine, path: string): SentinelServer {
  const { config, log } = loaded;
  const file = new StateFile(path, config, log);
  let server: SentinelServer;
  const scripts = new ScriptQueue({
    emit: (level, type, payload) => {
      log.at(level, `${type} ${payload}`);
      if (level !== "debug") server.pubsub.publish(type, payload);
    },
    maxRuntimeMs: () => engine.state.periods.scriptMaxRuntime,
    retryDelayMs: () => engine.state.periods.scriptRetryDelay,
  });
  const driver = new Driver({
    engine,
    log,
    file,
    scripts,
    publish: (channel, payload) => void server.pubsub.publish(channel, payload),
    bindSource: () => config.text("bind-source-addr"),
    tls: () => null,
    logLevel: (level) => {
      config.assign("loglevel", level);
      log.target.level = level;
    },
  });
  const shutdown = (why: "command" | "SIGTERM" | "SIGINT"): void => {
    log.warning(why === "command" ? "User requested shutdown..." : `Received ${why} scheduling shutdown...`);
    if (why !== "command") log.warning("User requested shutdown...");
    const pidfile = config.text("pidfile");
    if (pidfile !== "") {
      log.notice("Removing the pid file.");
      try {
        unlinkSync(pidfile);
      } catch {
        // was never written, or is gone
      }
    }
    driver.stop();
    server.stop();
    log.warning("Sentinel is now ready to exit, bye bye...");
    process.exit(0);
  };
  server = new SentinelServer({ config, log, driver, engine, scripts, shutdown });
  process.on("SIGTERM", () => shutdown("SIGTERM"));
  process.on("SIGINT", () => shutdown("SIGINT"));
  return server;
}

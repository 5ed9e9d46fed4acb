/**
 * `redisha --sentinel sentinel.conf`, `redisha sentinel.conf --sentinel --pidfile F`: a Sentinel process from its arguments to its end. COLD.
 *
 *   beginRedis (lib/cli: arguments, file, background, log) --`sentinel` lines--> SentinelEngine.create
 *     --> Driver + SentinelServer, until SHUTDOWN or a signal
 */
import { accessSync, constants } from "node:fs";
import { randomBytes } from "node:crypto";
import { strerror } from "../bytes/errno.ts";
import { systemPath } from "../bytes/path.ts";
import { userLineReader } from "../clients/acl/configure.ts";
import { Tls } from "../clients/tls.ts";
import type { Invocation } from "../cli/mode.ts";
import { beginRedis, type RedisProcess } from "../cli/redis_process.ts";
import { commandRenamer } from "../commands/rename.ts";
import type { Config } from "../config/config.ts";
import type { ConfigFailure, LineFailure } from "../config/redis_conf.ts";
import { checkSentinelStatement, hostNames, sentinelHint } from "../config/sentinel_conf.ts";
import type { DirectiveError } from "./core/directives.ts";
import { SentinelEngine } from "./core/engine.ts";
import { Driver } from "./driver.ts";
import { infoText } from "./info.ts";
import { resolveNames } from "./resolve.ts";
import { ScriptQueue } from "./scripts.ts";
import { SentinelServer } from "./server.ts";
import { StateFile } from "./state_file.ts";

interface SentinelLine {
  words: string[];
  line: number;
  text: string;
}

/** Runs a Sentinel. Ends the process itself: with 1 when it cannot start (said on stderr and in the log). */
export async function runSentinel(invocation: Invocation): Promise<void> {
  const lines: SentinelLine[] = [];
  const warnings: DirectiveError[] = [];
  let engine: SentinelEngine | null = null;
  let server: SentinelServer | null = null;
  const process = await beginRedis(invocation, {
    handlers: () => ({
      renameCommand: commandRenamer("sentinel"),
      user: userLineReader("sentinel"),
      sentinel: (words, line, text) => {
        const error = checkSentinelStatement(words);
        if (error === null) lines.push({ words: [...words], line, text });
        return error;
      },
    }),
    hint: withHint,
    check: async (config) => {
      const failure = checkFile(config);
      if (failure !== null) return failure;
      const made = await createEngine(config, lines, warnings);
      if ("kind" in made) return made;
      engine = made;
      return null;
    },
    sections: () => (server === null ? [] : [{ title: "INFO OUTPUT", text: infoText(server, []) }]),
  });
  for (const w of warnings) process.log.warning(`${process.config.file}, line ${lines[w.index].line}: ${w.text}`);
  if (engine!.state.masters.size === 0) {
    // Legal, as SENTINEL MONITOR may follow; but mostly the line was lost (a comment that swallowed it has been told of).
    const { file } = process.config;
    process.log.warning(
      `No master is monitored: write 'sentinel monitor <name> <ip> <port> <quorum>' in ${file}, or send SENTINEL MONITOR.`,
    );
  }
  server = serve(process, engine!);
}

/** Our word on how the refused statement is written. */
function withHint(failure: LineFailure): LineFailure {
  const words = failure.text.split(/\s+/);
  if (words.length < 2 || words[0].toLowerCase() !== "sentinel") return failure;
  // A character that only looks like a blank explains everything; the statement's name is then no typing error.
  const hint = failure.hints.some((h) => h.includes("(U+")) ? "" : sentinelHint(words.slice(1));
  return hint === "" ? failure : { ...failure, hints: [...failure.hints.filter((h) => !h.includes("sentinel <statement>")), hint] };
}

/** Redis sentinel.c: sentinelCheckConfigFile. */
function checkFile(config: Config): ConfigFailure | null {
  if (config.file === null) return { kind: "open", text: "Sentinel needs config file on disk to save state. Exiting..." };
  try {
    accessSync(systemPath(config.file), constants.W_OK);
    return null;
  } catch (error) {
    return { kind: "open", text: `Sentinel config file ${config.file} is not writable: ${strerror(error)}. Exiting...` };
  }
}

async function createEngine(config: Config, lines: SentinelLine[], warnings: DirectiveError[]): Promise<SentinelEngine | ConfigFailure> {
  const directives = lines.map((l) => l.words);
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
  if (!("text" in engine)) return engine;
  const { line, text } = lines[engine.index];
  return { kind: "line", failure: { line, text, reason: engine.text, hints: [`${config.file}, line ${line}`] } };
}

function canExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function serve(process: RedisProcess, engine: SentinelEngine): SentinelServer {
  const { config, log } = process;
  let server: SentinelServer;
  const scripts = new ScriptQueue({
    emit: (level, type, payload) => {
      log.at(level, `${type} ${payload}`);
      if (level !== "debug") server.publish(type, payload);
    },
    maxRuntimeMs: () => engine.state.periods.scriptMaxRuntime,
    retryDelayMs: () => engine.state.periods.scriptRetryDelay,
  });
  const tls = new Tls(config, log);
  const driver = new Driver({
    engine,
    log,
    file: new StateFile(config.file!, config, log, () => server.service.users.configLines()),
    scripts,
    publish: (channel, payload) => server.publish(channel, payload),
    bindSource: () => config.text("bind-source-addr"),
    tls: () => tls.dialling,
    logLevel: (level) => config.assign("loglevel", level),
  });
  const shutdown = (): void => {
    log.warning("User requested shutdown...");
    process.removePidFile();
    driver.stop();
    server.stop();
    log.warning("Sentinel is now ready to exit, bye bye...");
    process.end(0);
  };
  if (tls.isWanted && !tls.configure()) process.fail("Failed to configure TLS. Check logs for more info.");
  server = new SentinelServer({ config, log, tls, driver, engine, scripts, shutdown });
  const failed = server.service.aclFile.begin(config.users) ?? server.start();
  if (failed !== null) process.fail(failed);
  process.ready();
  driver.start();
  process.onShutdown(shutdown);
  return server;
}

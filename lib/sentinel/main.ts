/**
 * `redisha --sentinel sentinel.conf`, `redisha sentinel.conf --sentinel --pidfile F`: a Sentinel process from its arguments to its end. COLD.
 *
 *   beginRedis (lib/cli: arguments, file, background, log) --`sentinel` lines, state file--> SentinelEngine.create
 *     --> Driver + SentinelServer, until SHUTDOWN or a signal
 */
import { accessSync, constants } from "node:fs";
import { dirname, resolve } from "node:path";
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
import { StateFile, mergeLines, readOrEmpty, readStateFile, readVotes, type SentinelLine } from "./state_file.ts";
import { metricsText } from "./metrics.ts";
import { SentinelPage } from "./page_data.ts";
import { Webhooks } from "./webhook.ts";

/** What the file says beside the engine's business. */
interface Own {
  /** Where the state is kept when not in the configuration file; "" there. */
  statePath: string;
  /** 0: none. */
  metricsPort: number;
}

/** Runs a Sentinel. Ends the process itself: with 1 when it cannot start (said on stderr and in the log). */
export async function runSentinel(invocation: Invocation): Promise<void> {
  const lines: SentinelLine[] = [];
  const warnings: string[] = [];
  let engine: SentinelEngine | null = null;
  let own: Own = { statePath: "", metricsPort: 0 };
  let server: SentinelServer | null = null;
  const process = await beginRedis(invocation, {
    handlers: (config) => ({
      renameCommand: commandRenamer("sentinel"),
      user: userLineReader("sentinel"),
      sentinel: (words, line, text) => {
        const error = checkSentinelStatement(words);
        if (error === null) lines.push({ words: [...words], file: config.file ?? "", line, text });
        return error;
      },
    }),
    hint: withHint,
    check: async (config) => {
      const found = ownSettings(config, lines);
      if ("kind" in found) return found;
      own = found;
      const failure = checkFile(config, own);
      if (failure !== null) return failure;
      const made = await createEngine(config, lines, own, warnings);
      if ("kind" in made) return made;
      engine = made;
      return null;
    },
    sections: () => (server === null ? [] : [{ title: "INFO OUTPUT", text: infoText(server, []) }]),
  });
  for (const text of warnings) process.log.warning(text);
  if (engine!.state.masters.size === 0) {
    // Legal, as SENTINEL MONITOR may follow; but mostly the line was lost (a comment that swallowed it has been told of).
    const { file } = process.config;
    process.log.warning(
      `No master is monitored: write 'sentinel monitor <name> <ip> <port> <quorum>' in ${file}, or send SENTINEL MONITOR.`,
    );
  }
  server = serve(process, engine!, own, lines);
}

function refused(line: SentinelLine, reason: string): ConfigFailure {
  return { kind: "line", failure: { line: line.line, text: line.text, reason, hints: [`${line.file}, line ${line.line}`] } };
}

/** The last line of a name counts. Paths are relative to `dir`. */
function ownSettings(config: Config, lines: readonly SentinelLine[]): Own | ConfigFailure {
  const own: Own = { statePath: "", metricsPort: 0 };
  for (const line of lines) {
    const [name, value] = [line.words[0].toLowerCase(), line.words[1]];
    if (name === "metrics-port") {
      if (!/^\d{1,5}$/.test(value) || Number(value) > 65535) return refused(line, "Invalid port number.");
      own.metricsPort = Number(value);
    } else if (name === "state-config-file") {
      own.statePath = value === "" ? "" : resolve(config.special("dir"), value);
      if (own.statePath !== "" && own.statePath === config.file)
        return refused(line, "sentinel state-config-file must differ from the main config file");
    }
  }
  return own;
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
function checkFile(config: Config, own: Own): ConfigFailure | null {
  if (config.file === null) return { kind: "open", text: "Sentinel needs config file on disk to save state. Exiting..." };
  try {
    if (own.statePath === "") accessSync(systemPath(config.file), constants.W_OK);
    else accessSync(systemPath(dirname(own.statePath)), constants.W_OK);
    return null;
  } catch (error) {
    const which = own.statePath === "" ? `config file ${config.file}` : `state file's folder ${dirname(own.statePath)}`;
    return { kind: "open", text: `Sentinel ${which} is not writable: ${strerror(error)}. Exiting...` };
  }
}

/** The lines of both files, the state's after the configuration's and stronger. */
function allLines(lines: readonly SentinelLine[], own: Own): SentinelLine[] | ConfigFailure {
  if (own.statePath === "") return [...lines];
  const state = readStateFile(own.statePath);
  if (!Array.isArray(state)) return refused(state, "Unrecognized sentinel configuration statement.");
  for (const line of state) {
    const error = checkSentinelStatement(line.words);
    if (error !== null) return refused(line, error);
  }
  return mergeLines(lines, state);
}

async function createEngine(
  config: Config,
  given: readonly SentinelLine[],
  own: Own,
  warnings: string[],
): Promise<SentinelEngine | ConfigFailure> {
  const lines = allLines(given, own);
  if (!Array.isArray(lines)) return lines;
  const directives = lines.map((l) => l.words);
  const noted: DirectiveError[] = [];
  const boot = {
    directives,
    freshId: randomBytes(20).toString("hex"),
    port: config.bool("tls-replication") && config.number("tls-port") !== 0 ? config.number("tls-port") : config.number("port"),
    requirepass: config.text("requirepass"),
    logLevel: config.choice("loglevel"),
    canExecute,
    wallMs: (nowMs: number) => Date.now() + nowMs - Driver.nowMs(),
    votes: readVotes(readOrEmpty(own.statePath === "" ? config.file! : own.statePath)),
    resolved: await resolveNames(hostNames(directives)),
  };
  const engine = SentinelEngine.create(boot, Driver.nowMs(), noted);
  for (const w of noted) warnings.push(`${lines[w.index].file}, line ${lines[w.index].line}: ${w.text}`);
  return "text" in engine ? refused(lines[engine.index], engine.text) : engine;
}

function canExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function serve(process: RedisProcess, engine: SentinelEngine, own: Own, lines: readonly SentinelLine[]): SentinelServer {
  const { config, log } = process;
  let server: SentinelServer | undefined = undefined as SentinelServer | undefined;
  const scripts = new ScriptQueue({
    emit: (level, type, payload) => {
      log.at(level, `${type} ${payload}`);
      if (level !== "debug") server?.publish(type, payload);
    },
    maxRuntimeMs: () => engine.state.periods.scriptMaxRuntime,
    retryDelayMs: () => engine.state.periods.scriptRetryDelay,
  });
  const tls = new Tls(config, log);
  const webhooks = new Webhooks({ myid: engine.myid, log: (text) => log.warning(text) });
  const [path, given] = own.statePath === "" ? [config.file!, null] : [own.statePath, lines.map((l) => l.words)];
  const file = new StateFile(path, config, log, () => server!.service.users.configLines(), given);
  const dashboard = own.metricsPort === 0 ? null : new SentinelPage(engine);
  const driver = new Driver({
    engine,
    log,
    file,
    webhooks,
    scripts,
    publish: (channel, payload) => {
      dashboard?.note(channel, payload);
      server?.publish(channel, payload);
    },
    bindSource: () => config.text("bind-source-addr"),
    tls: () => tls.dialling,
    logLevel: (level) => config.assign("loglevel", level),
  });
  const shutdown = (): void => {
    log.warning("User requested shutdown...");
    process.removePidFile();
    driver.stop();
    server?.stop();
    log.warning("Sentinel is now ready to exit, bye bye...");
    process.end(0);
  };
  if (tls.isWanted && !tls.configure()) process.fail("Failed to configure TLS. Check logs for more info.");
  server = new SentinelServer({ config, log, tls, driver, engine, scripts, shutdown });
  const page = (): string =>
    metricsText(
      engine,
      {
        saves: file.saves,
        saveErrors: file.errors,
        webhooksSent: webhooks.sent,
        webhooksLost: webhooks.lost,
        scriptsRunning: scripts.running,
        scriptsQueued: scripts.jobs.length,
      },
      Driver.nowMs(),
    );
  const failed =
    server.service.aclFile.begin(config.users) ??
    server.start() ??
    server.startMetrics(own.metricsPort, page, (path) => dashboard?.at(path) ?? null);
  if (failed !== null) process.fail(failed);
  process.ready();
  driver.start();
  process.onShutdown(shutdown);
  return server;
}

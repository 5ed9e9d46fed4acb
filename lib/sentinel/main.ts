/**
 * `redisha --sentinel sentinel.conf`, `redisha sentinel.conf --sentinel --pidfile F`: a Sentinel process from its arguments to its end. COLD.
 *
 *   arguments, file --lib/config--> Config + `sentinel` lines --SentinelEngine.create--> Driver + SentinelServer, until SHUTDOWN or a signal
 */
import { accessSync, constants } from "node:fs";
import { lookup } from "node:dns/promises";
import { randomBytes } from "node:crypto";
import type { Invocation } from "../cli/mode.ts";
import { beginRedis, type RedisProcess } from "../cli/redis_process.ts";
import type { Config } from "../config/config.ts";
import type { LineFailure } from "../config/redis_conf.ts";
import { checkSentinelStatement, hostNames, sentinelHint } from "../config/sentinel_conf.ts";
import { strerror } from "../bytes/errno.ts";
import { SentinelEngine } from "./core/engine.ts";
import type { DirectiveError } from "./core/directives.ts";
import { Driver } from "./driver.ts";
import { infoText } from "./info.ts";
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

/** Runs a Sentinel until SHUTDOWN or a signal ends the process; does not come back when the start fails. */
export async function runSentinel(invocation: Invocation): Promise<void> {
  const lines: SentinelLine[] = [];
  const warnings: DirectiveError[] = [];
  let engine: SentinelEngine | null = null;
  let server: SentinelServer | null = null;
  const host = await beginRedis(invocation, {
    handlers: () => ({
      sentinel: (words, line, text) => {
        const error = checkSentinelStatement(words);
        if (error === null) lines.push({ words: [...words], line, text });
        return error;
      },
    }),
    hint: withHint,
    check: async (config) => {
      const problem = checkFile(config.file);
      if (problem !== null) return { kind: "open", text: problem };
      const made = await makeEngine(config, lines, warnings);
      if (!("text" in made)) {
        engine = made;
        return null;
      }
      const { text, line } = lines[made.index];
      return { kind: "line", failure: { line, text, reason: made.text, hints: [`${config.file}, line ${line}`] } };
    },
    sections: () => (server === null ? [] : [{ title: "INFO OUTPUT", text: infoText(server, []) }]),
  });
  const { config, log } = host;
  for (const w of warnings) log.warning(`${config.file}, line ${lines[w.index].line}: ${w.text}`);
  server = assemble(host, engine!);
  const failed = server.start();
  if (failed !== null) host.fail(failed);
  host.ready();
  server.options.driver!.start();
}

/** A Sentinel keeps its state in its file: null when it can. Redis sentinel.c: sentinelCheckConfigFile. */
function checkFile(path: string | null): string | null {
  if (path === null) return "Sentinel needs config file on disk to save state. Exiting...";
  try {
    accessSync(path, constants.W_OK);
    return null;
  } catch (error) {
    return `Sentinel config file ${path} is not writable: ${strerror(error)}. Exiting...`;
  }
}

/** The engine with its masters, or the statement that cannot be and why. */
async function makeEngine(config: Config, lines: SentinelLine[], warnings: DirectiveError[]): Promise<SentinelEngine | DirectiveError> {
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
  return SentinelEngine.create(boot, Driver.nowMs(), warnings);
}

function assemble(host: RedisProcess, engine: SentinelEngine): SentinelServer {
  const { config, log } = host;
  const file = new StateFile(config.file!, config, log);
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
  const shutdown = (): void => {
    log.warning("User requested shutdown...");
    host.removePidFile();
    driver.stop();
    server.stop();
    log.warning("Sentinel is now ready to exit, bye bye...");
    host.end(0);
  };
  server = new SentinelServer({ config, log, driver, engine, scripts, shutdown });
  host.onShutdown(shutdown);
  return server;
}

/**
 * The life of a process in server or Sentinel mode around what the mode itself does: command line, configuration, background, log, pid file,
 * title, supervision, signals, crash report. Cold. Redis server.c: main.
 *
 *     const process = await beginRedis(invocation, { handlers, sections });   reads, daemonizes, says "Redis is starting"
 *     ... the mode binds its listeners ...                                    on trouble: process.fail(text)
 *     process.ready();                                                        pid file, systemd, the waiting parent
 *     ... load, serve ...
 *     process.onShutdown((signal) => ...); process.end(code);                 removes the pid file
 *
 * In the background the process that the caller started is not the one that serves: it starts a copy, waits for its `ready`, and ends
 * (daemon.ts). So beginRedis does not come back in that first process.
 */
import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { isatty } from "node:tty";
import { byteText } from "../bytes/path.ts";
import { expandTemplate } from "../config/checks.ts";
import { readRedisArguments } from "../config/command_line.ts";
import { Config } from "../config/config.ts";
import { type ConfigFailure, fatalConfigText, type LineFailure, type LineHandlers, readRedisConf } from "../config/redis_conf.ts";
import { REDIS_VERSION } from "../config/version.ts";
import { createLog, type Log } from "../log/log.ts";
import type { RedisLevel } from "../log/redis_line.ts";
import { ffiProblem } from "../os/ffi.ts";
import { listenQueueLimit } from "../os/machine.ts";
import { notifySystemd, stopForUpstart } from "../os/notify.ts";
import { OomScore } from "../os/oom_score.ts";
import { DEFAULT_PID_FILE, removePidFile, writePidFile } from "../os/pidfile.ts";
import { ignoreSignals, onSignal } from "../os/signals.ts";
import { openSyslog, type Severity } from "../os/syslog.ts";
import { setProcessName, setProcessTitle } from "../os/title.ts";
import { CrashReporter, type ReportSection } from "./crash.ts";
import { parentChannel, startDaemon } from "./daemon.ts";
import { adjustFileLimit, changeMaxClients } from "./file_limit.ts";
import type { Invocation } from "./mode.ts";
import { refusal } from "./unsupported.ts";
import { version } from "./version.ts";

export interface BeginOptions {
  /** What the mode does with `user`, `rename-command` and `sentinel` lines. Made for the Config that is being read. */
  handlers?: (config: Config) => LineHandlers;
  /** Looks at the whole configuration after it was read (Sentinel: monitor before the rest); a failure ends the start like a bad line. */
  check?: (config: Config) => ConfigFailure | Promise<ConfigFailure | null> | null;
  /** Words the hints of a refused line better than the table can. */
  hint?: (failure: LineFailure) => LineFailure;
  /** What the crash report shows besides the stack: INFO, the client list. */
  sections?: () => ReportSection[];
}

const SYSLOG_SEVERITY: Record<RedisLevel, Severity> = {
  debug: "debug",
  verbose: "info",
  notice: "notice",
  warning: "warning",
  nothing: "warning",
};

/** Reads the configuration and brings the process into the state in which a mode can start. See the file's head. */
export async function beginRedis(invocation: Invocation, options: BeginOptions = {}): Promise<RedisProcess> {
  const sentinel = invocation.mode === "sentinel";
  const directory = process.cwd();
  // First of all: the mark in the environment must not reach children.
  const parent = parentChannel();
  const log = createLog({ file: "", level: "notice", role: sentinel ? "X" : "C", pid: process.pid });
  refuseTestOptions(invocation.args);
  const args = readRedisArguments(invocation.args.map(byteText));
  const config = new Config({ sentinel, warn: (text) => log.warning(text) });
  if (args.file !== null) config.file = isAbsolute(args.file) ? args.file : join(byteText(directory), args.file);
  if (args.stdin) log.notice("Reading config from stdin");
  const stdin = args.stdin ? readFileSync(0, "latin1") : null;
  const source = { file: config.file, stdin, options: args.options };
  const notes: string[] = [];
  const handlers = { note: (text: string) => void notes.push(text), ...options.handlers?.(config) };
  const refused = readRedisConf(config, source, handlers);
  if (refused !== null) endForConfig(refused, log, options.hint, parent?.failed);
  config.watch("loglevel", (c) => void (log.target.level = c.choice("loglevel")));
  log.target.file = config.text("logfile");
  const impossible = refusal(config);
  const failed: ConfigFailure | null = impossible !== null ? { kind: "open", text: impossible } : ((await options.check?.(config)) ?? null);
  if (failed !== null) endForConfig(failed, log, options.hint, parent?.failed);
  if (config.bool("syslog-enabled")) {
    const send = openSyslog(config.text("syslog-ident"), config.choice("syslog-facility"));
    log.also((level, text) => send(SYSLOG_SEVERITY[level], text));
  }
  const supervised = supervise(config, log);
  const background = config.bool("daemonize") && supervised === "no";
  if (background && parent === null) {
    const text = await startDaemon({ argv0: invocation.argv0, args: invocation.args, directory, stdin });
    if (text !== null) complain(`${text}\n`);
    process.exit(text === null ? 0 : 1);
  }
  // A daemon without a log file has none: its standard output goes nowhere.
  const made = new RedisProcess(invocation, config, log, directory, background, supervised, options);
  for (const note of notes) log.warning(note);
  return made;
}

/** redis-server's options that look at the machine and do not serve. */
function refuseTestOptions(args: readonly string[]): void {
  if (args[0] !== "--test-memory" && args[0] !== "--check-system") return;
  process.stderr.write(`redisha has no ${args[0]}: use the system's own tools (memtester, dmesg)\n`);
  process.exit(1);
}

/** Redis prints a refused line to standard error, and logs what is wrong with the file as a whole; we do both with the latter. */
function endForConfig(failed: ConfigFailure, log: Log, hint: BeginOptions["hint"], tell: ((text: string) => void) | undefined): never {
  if (failed.kind === "open") log.warning(failed.text);
  const text = failed.kind === "open" ? `${failed.text}\n` : fatalConfigText(hint?.(failed.failure) ?? failed.failure);
  complain(text);
  tell?.(text.trimEnd());
  process.exit(1);
}

/** To standard error, byte for byte: texts are latin1, one char a byte of the file, and look as they do there. */
function complain(text: string): void {
  process.stderr.write(Buffer.from(text, "latin1"));
}

type Supervision = "no" | "systemd" | "upstart";

/** Redis server.c: redisIsSupervised. */
function supervise(config: Config, log: Log): Supervision {
  let wish = config.choice("supervised");
  if (wish === "auto") {
    if (process.env["UPSTART_JOB"] !== undefined) {
      log.verbose("Upstart supervision detected.");
      wish = "upstart";
    } else if (process.env["NOTIFY_SOCKET"] !== undefined) {
      log.verbose("Systemd supervision detected.");
      wish = "systemd";
    }
  }
  if (wish === "upstart") {
    if (process.env["UPSTART_JOB"] === undefined) {
      log.warning("upstart supervision requested, but UPSTART_JOB not found!");
      return "no";
    }
    log.notice("supervised by upstart, will stop to signal readiness.");
    stopForUpstart();
    return "upstart";
  }
  if (wish !== "systemd") return "no";
  if (process.env["NOTIFY_SOCKET"] === undefined) {
    log.warning("systemd supervision error: NOTIFY_SOCKET not found!");
    return "no";
  }
  if (!notifySystemd("STATUS=Redis is loading...\n")) {
    log.warning("systemd supervision error: sd_notify: the socket did not take it");
    return "no";
  }
  log.notice(
    "Supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and TimeoutStopSec in your service unit.",
  );
  return "systemd";
}

export class RedisProcess {
  readonly invocation: Invocation;
  readonly config: Config;
  readonly log: Log;
  /** The working directory before `dir` was followed. */
  readonly startDirectory: string;
  /** A daemon: no terminal, standard output and error go nowhere. */
  readonly background: boolean;
  readonly supervised: Supervision;
  readonly crash: CrashReporter;
  private readonly oom: OomScore;
  /** A signal has asked for the end; whoever calls that off (SHUTDOWN ABORT, a failed save) sets it back. */
  endAsked: boolean;
  /** Called when a second SIGINT ends the process in the midst of its shutdown. */
  onInsist: (() => void) | null;
  private replica: boolean;
  private pidFileWritten: boolean;

  constructor(
    invocation: Invocation,
    config: Config,
    log: Log,
    startDirectory: string,
    background: boolean,
    supervised: Supervision,
    options: BeginOptions,
  ) {
    this.invocation = invocation;
    this.config = config;
    this.log = log;
    this.startDirectory = startDirectory;
    this.background = background;
    this.supervised = supervised;
    this.oom = new OomScore();
    this.endAsked = false;
    this.onInsist = null;
    this.replica = config.special("replicaof") !== null;
    this.pidFileWritten = false;
    this.crash = new CrashReporter({ log, config, sections: options.sections ?? (() => []), last: () => this.dropPidFile() });
    this.sayStart();
    if (config.bool("daemonize") && config.text("pidfile") === "" && background) config.assign("pidfile", DEFAULT_PID_FILE);
    ignoreSignals("SIGHUP", "SIGPIPE");
    if (!adjustFileLimit(config, log)) this.fail("too few open files allowed ('ulimit -n')");
    this.showTitle();
    this.sayMode();
    config.hook("proc-title-template", () => (this.showTitle() ? null : "failed to set process title"));
    config.hook("maxclients", (c) => changeMaxClients(c, log));
    config.hook(["oom-score-adj", "oom-score-adj-values"], () =>
      this.adjustOomScore() ? null : "Failed to set current oom_score_adj. Check server logs.",
    );
  }

  /**
   * The listeners are open: writes the pid file, tells systemd and a parent that waits. `status` is what systemd shows.
   * Loading a data set comes after it, with -LOADING as the answer meanwhile.
   */
  ready(status = "Ready to accept connections"): void {
    const path = this.config.text("pidfile");
    if (path !== "") {
      const error = writePidFile(path);
      if (error === null) this.pidFileWritten = true;
      else this.log.warning(error);
    }
    this.adjustOomScore();
    if (this.supervised === "systemd") notifySystemd(`STATUS=${status}\nREADY=1\n`);
    parentChannel()?.ready();
  }

  /** The start cannot go on: says why in the log, on standard error and to a waiting parent; ends with 1. */
  fail(text: string): never {
    this.log.warning(text);
    if (this.background || this.log.target.file !== "" || isatty(2)) complain(`${text}\n`);
    parentChannel()?.failed(text);
    this.dropPidFile();
    process.exit(1);
  }

  /** Part of an orderly end: the pid file goes, with Redis' log line. */
  removePidFile(): void {
    if (this.pidFileWritten) this.log.notice("Removing the pid file.");
    this.dropPidFile();
  }

  /** Ends the process, and the pid file with it. */
  end(code: number): never {
    this.removePidFile();
    process.exit(code);
  }

  /** Ctrl-C or kill: logs it and calls `fn`. A second SIGINT does not wait for what `fn` began. `loading` picks Redis' other log line. */
  onShutdown(fn: (signal: NodeJS.Signals) => void, loading: () => boolean = () => false): void {
    const handler = (signal: NodeJS.Signals): void => {
      if (this.endAsked && signal === "SIGINT") {
        this.log.warning("You insist... exiting now.");
        this.onInsist?.();
        this.dropPidFile();
        process.exit(1);
      }
      this.endAsked = true;
      if (loading()) this.log.warning("Received shutdown signal during loading, scheduling shutdown.");
      else this.log.warning(`Received ${signal} scheduling shutdown...`);
      fn(signal);
    };
    onSignal("SIGTERM", handler);
    onSignal("SIGINT", handler);
  }

  /** Server became a master or a replica: another class of `oom-score-adj-values`. */
  setReplica(replica: boolean): void {
    if (replica === this.replica) return;
    this.replica = replica;
    this.adjustOomScore();
  }

  /** The line that ps shows, from proc-title-template; false when it cannot be set. Call it when port or bind change. */
  showTitle(): boolean {
    if (!this.config.bool("set-proc-title")) return true;
    const title = expandTemplate(this.config.text("proc-title-template"), (name) => this.titlePart(name));
    if (title === null) return false;
    // Where the title cannot be changed at all (no foreign calls) that is no error of the template.
    setProcessTitle(title.trim());
    setProcessName(this.config.sentinel ? "redis-sentinel" : "redis-server");
    return true;
  }

  private titlePart(name: string): string | null {
    const { config } = this;
    const port = config.number("port");
    const tlsPort = config.number("tls-port");
    if (name === "title") return byteText(this.invocation.argv0);
    if (name === "server-mode") return config.sentinel ? "[sentinel]" : config.bool("cluster-enabled") ? "[cluster]" : "";
    if (name === "config-file") return config.file ?? "-";
    if (name === "port") return String(port);
    if (name === "tls-port") return String(tlsPort);
    if (name === "unixsocket") return config.text("unixsocket");
    if (name !== "listen-addr") return null;
    if (port === 0 && tlsPort === 0) return `unixsocket:${config.text("unixsocket")}`;
    return `${config.special("bind")[0] ?? "*"}:${port === 0 ? tlsPort : port}`;
  }

  private adjustOomScore(): boolean {
    const mode = this.config.choice("oom-score-adj");
    const [master, replica, helper] = this.config.special("oom-score-adj-values");
    const error = this.oom.set(mode === "no" ? null : this.replica ? replica : master, helper, mode === "yes");
    if (error !== null) this.log.warning(error);
    return error === null;
  }

  private dropPidFile(): void {
    if (this.pidFileWritten) removePidFile(this.config.text("pidfile"));
    this.pidFileWritten = false;
  }

  private sayStart(): void {
    const { log, invocation } = this;
    log.notice("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
    log.notice(`Redis version=${REDIS_VERSION}, bits=64, commit=00000000, modified=0, pid=${process.pid}, just started`);
    log.notice(`redisha ${version}, Bun ${Bun.version}`);
    if (invocation.args.length > 0) log.notice("Configuration loaded");
    else
      log.warning(
        `Warning: no config file specified, using the default config. In order to specify a config file use ${invocation.argv0} /path/to/redis.conf`,
      );
    const problem = ffiProblem();
    if (problem !== null && /JIT/.test(problem))
      log.warning(
        "WARNING This process may not make code at run time, which makes it many times slower. " +
          "Is MemoryDenyWriteExecute=yes in its systemd unit? Take it out, or use redisha's own unit.",
      );
    else if (problem !== null) log.warning(`WARNING The system's C library cannot be called: ${problem}`);
  }

  private sayMode(): void {
    const { config, log } = this;
    const mode = config.sentinel ? "sentinel" : "standalone";
    const port = config.number("port") || config.number("tls-port");
    const terminal = !config.bool("syslog-enabled") && config.text("logfile") === "" && isatty(1);
    if (terminal || config.bool("always-show-logo")) log.raw(logo(mode, port));
    else log.notice(`Running mode=${mode}, port=${port}.`);
    const backlog = config.number("tcp-backlog");
    const limit = listenQueueLimit();
    if (limit !== null && limit > 0 && limit < backlog)
      log.warning(
        `WARNING: The TCP backlog setting of ${backlog} cannot be enforced because /proc/sys/net/core/somaxconn is set to the lower value of ${limit}.`,
      );
  }
}

/** Shown on a terminal in place of the "Running mode" line. */
function logo(mode: string, port: number): string {
  return `
      .-----.        redisha ${version} (Redis ${REDIS_VERSION}, 64 bit)
     /  .-.  \\       Running in ${mode} mode
    |  ( o )  |      Port: ${port}
     \\  '-'  /       PID: ${process.pid}
      '-----'

`;
}

/**
 * The proxy mode: reads haproxy.cfg, starts listeners, checks and the authority, and lives until a signal ends it. COLD.
 *
 *   runProxy(args) -> options -> config/haproxy_read -> build() -> listeners -> [old processes told to finish] -> signals
 *
 * Exit codes are HAProxy's: 0, 1 for errors in the file or at start, 2 when nothing listens. Leaves out: what a session does (session.ts),
 * checks (checks.ts), who is master (fencing.ts).
 */
import { existsSync, writeFileSync } from "node:fs";
import { isBackend, isFrontend, type ProxyConfig, type HaproxyConfig } from "../config/haproxy_model.ts";
import { evaluateCondition, loadFiles, readConfig, type ConfigFile } from "../config/haproxy_read.ts";
import { rowTable } from "../commands/table/index.ts";
import { parentChannel, startDaemon, type ParentChannel } from "../cli/daemon.ts";
import { ownCommandLine } from "../cli/self.ts";
import { haproxyVersion, version } from "../cli/version.ts";
import { createDiagnostics, type Diagnostics } from "../log/haproxy_line.ts";
import { Checker } from "./checks.ts";
import { firstDelayMs } from "./core/health.ts";
import { inheritedSockets, startListeners, untilSignal } from "./life.ts";
import { Fencing } from "./fencing.ts";
import { listenAdmin } from "./admin/socket.ts";
import { Agent } from "./agent.ts";
import { History } from "./stats/history.ts";
import { connectionLimit, ownUser } from "./limits.ts";
import { NameQuery } from "./name_query.ts";
import { resolveServers, Resolving } from "./resolving.ts";
import { loadServerStates } from "./server_state_file.ts";
import type { Listener } from "../net/listen.ts";
import { newBind, type BindConfig } from "../config/haproxy_model.ts";
import { bindAddresses } from "../config/haproxy_bind.ts";
import { Engine } from "./engine.ts";
import { LogTargets } from "./log_targets.ts";
import { parseOptions, USAGE, type Options } from "./options.ts";
import { configOf, knownSets, SENTINEL_PORT } from "./redis/discover.ts";
import { Board } from "./redis/board.ts";
import { say } from "./transitions.ts";
import { plannedFailover } from "./planned.ts";
import { Users } from "./redis/users.ts";
import { Backend, Frontend, Server } from "./state.ts";
import { tlsOfBind, tlsOfServer } from "./tls.ts";

const DEFAULT_FILE = "/etc/haproxy/haproxy.cfg";
/** Without any file, and without a Sentinel: the article's proxy in one section. */
const BUILT_IN: ConfigFile = {
  name: "built-in",
  text: [
    "defaults",
    "mode tcp",
    "timeout connect 3s",
    "timeout client 1h",
    "timeout server 1h",
    "listen redis",
    "bind *:6378",
    "option tcp-check",
    "tcp-check send PING\\r\\n",
    "tcp-check expect string +PONG",
    "tcp-check send info\\ replication\\r\\n",
    "tcp-check expect string role:master",
    "server redis_6379 localhost:6379 check inter 1s",
    "server redis_6380 localhost:6380 check inter 1s",
    "server redis_6381 localhost:6381 check inter 1s",
    "",
  ].join("\n"),
};

/** A running proxy: what tests and --stack hold on to. */
export interface RunningProxy {
  readonly engine: Engine;
  readonly checkers: Checker[];
  readonly fencings: Fencing[];
  stop(): void;
}

/** Runs until a signal ends it; the promise is the exit code. `args` are those behind `--proxy`, or behind `haproxy`. */
export async function runProxy(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options.version !== "") {
    process.stdout.write(haproxyVersion(options.version === "vv"));
    return 0;
  }
  if (options.condition !== null) return condition(options.condition);
  if (options.bad) {
    process.stderr.write(USAGE);
    return 1;
  }
  const parent = parentChannel();
  const lines: string[] = [];
  const banner = [`redisha version is ${version}`, `path to executable is ${process.execPath}`];
  const diagnostics = createDiagnostics(process.pid, parent === null ? banner : [], parent === null ? 2 : (line) => void lines.push(line));
  if (parent === null) return await prepare(args, options, diagnostics, null);
  const code = await prepare(args, options, diagnostics, parent);
  parent.failed(lines.join(""));
  return code;
}

/** From the files to a running proxy, or the exit code of whatever stands in the way. */
async function prepare(args: readonly string[], options: Options, diagnostics: Diagnostics, parent: ParentChannel | null): Promise<number> {
  if (options.directory !== "") process.chdir(options.directory);
  const loaded = await load(options, diagnostics);
  if (typeof loaded === "number") return loaded;
  const { config, hadWarnings, said } = loaded;
  const failed = await resolveServers(config, diagnostics);
  if (failed) return 1;
  if (!tlsIsGood(config, diagnostics)) return 1;
  const listeners = config.proxies.some((p) => isFrontend(p) && !p.disabled && p.binds.length > 0);
  const quiet = options.quiet || config.global.quiet;
  if (options.check) {
    if (hadWarnings && !quiet) process.stdout.write("Warnings were found.\n");
    if (!listeners) {
      if (!quiet) process.stdout.write("Configuration file has no error but will not start (no listener) => exit(2).\n");
      return 2;
    }
    if (!quiet) process.stdout.write("Configuration file is valid\n");
    return 0;
  }
  if (!listeners) {
    diagnostics.alert("[haproxy.main()] No enabled listener found (check for 'bind' directives) ! Exiting.");
    return 1;
  }
  connectionLimit(config, options.maxconn, diagnostics);
  const background = (options.daemon || config.global.daemon) && !options.foreground;
  if (background && parent === null) return await detach(args, inheritedSockets(config));
  if (quiet) diagnostics.silence();
  const master = masterSocket(options, diagnostics);
  if (typeof master === "string") return 1;
  const proxy = startProxy(config, diagnostics, master);
  if (proxy === null) return 1;
  proxy.engine.startupLog = said.join("");
  diagnostics.started();
  const pidfile = options.pidfile || config.global.pidfile;
  if (pidfile !== "" && !writePid(pidfile, diagnostics)) return 1;
  for (const pid of options.oldPids) {
    try {
      process.kill(pid, options.oldSignal);
    } catch {
      // it has gone already
    }
  }
  if (parent !== null) {
    diagnostics.silence();
    parent.ready();
  }
  return await untilSignal(proxy);
}

/** -D: a copy of this process goes on in the background; what keeps it from starting is said here, with exit code 1. */
async function detach(args: readonly string[], fds: readonly number[]): Promise<number> {
  const own = ownCommandLine();
  const failed = await startDaemon({
    argv0: own.argv0,
    args: own.args.length > 0 ? own.args : args,
    directory: process.cwd(),
    stdin: null,
    fds,
  });
  if (failed === null) return 0;
  process.stderr.write(failed.endsWith("\n") ? failed : `${failed}\n`);
  return 1;
}

function condition(text: string): number {
  const v = evaluateCondition(text);
  if (typeof v === "boolean") return v ? 0 : 1;
  process.stderr.write(`${v}\n`);
  return 2;
}

/** No file at all: every master that the Sentinel of this machine watches, in mode redis; without a Sentinel the article's proxy. */
async function builtIn(diagnostics: Diagnostics): Promise<ConfigFile> {
  const sets = await knownSets();
  if (sets.length === 0) {
    diagnostics.notice(`no file and no Sentinel on port ${SENTINEL_PORT}: serving the master of localhost 6379 to 6381 on port 6378`);
    return BUILT_IN;
  }
  const { text, ports } = configOf(sets);
  const names = sets.map((s) => s.name).sort();
  diagnostics.notice(`no file: serving ${names.map((n, i) => `master ${n} on port ${ports[i]}`).join(", ")} (mode redis)`);
  return { name: "built-in", text };
}

/** Reads the files and prints what was found; a number is the exit code. */
async function load(
  options: Options,
  diagnostics: Diagnostics,
): Promise<{ config: HaproxyConfig; hadWarnings: boolean; said: string[] } | number> {
  let files: ConfigFile[] | string;
  if (options.files.length > 0) files = loadFiles(options.files);
  else if (existsSync(DEFAULT_FILE)) files = loadFiles([DEFAULT_FILE]);
  else files = [await builtIn(diagnostics)];
  if (typeof files === "string") {
    diagnostics.alert(`config : ${files}`);
    return 1;
  }
  if (files === undefined || files.length === 0) {
    process.stderr.write(USAGE);
    return 1;
  }
  const result = readConfig(files);
  for (const f of result.findings) diagnostics[f.level](`config : ${f.text}`);
  if (result.alerts > 0) return 1;
  if (options.warningsAreErrors && result.warnings > 0) {
    diagnostics.alert("Some warnings were found and 'zero-warning' is set. Aborting.");
    return 1;
  }
  const said = result.findings.map(
    (f) => `[${f.level.toUpperCase()}]${" ".repeat(8 - f.level.length)} (${process.pid}) : config : ${f.text}\n`,
  );
  return { config: result.config, hadWarnings: result.warnings > 0, said };
}

/** -S: an address like that of a bind line, options behind commas. "" was reported. */
function masterSocket(options: Options, diagnostics: Diagnostics): BindConfig | null | "" {
  if (options.masterSocket === "") return null;
  const [address, ...words] = options.masterSocket.split(",");
  const binds = bindAddresses(address!, () => ({ ...newBind({ file: "-S", line: 0 }), level: "admin" as const }));
  if (typeof binds === "string") {
    diagnostics.alert(`[haproxy.main()] -S : ${binds}`);
    return "";
  }
  const bind = binds[0]!;
  for (let i = 0; i + 1 < words.length; i += 2) {
    if (words[i] === "mode") bind.mode = Number.parseInt(words[i + 1]!, 8);
    else if (words[i] === "level") bind.level = words[i + 1] as BindConfig["level"];
    else if (words[i] === "user") bind.user = words[i + 1]!;
    else if (words[i] === "group") bind.group = words[i + 1]!;
  }
  return bind;
}

/** Reads every certificate once, so that -c and the start find what is missing. */
function tlsIsGood(config: HaproxyConfig, diagnostics: Diagnostics): boolean {
  let good = true;
  const bad = (text: string): void => {
    good = false;
    diagnostics.alert(`config : ${text}`);
  };
  for (const p of config.proxies) {
    for (const b of p.binds) {
      const made = b.ssl ? tlsOfBind(b) : null;
      if (made === null || "tls" in made) continue;
      const file = made.error.startsWith("unable") || made.error.startsWith("No Private");
      bad(
        file
          ? `parsing [${b.file}:${b.line}] : 'bind ${b.text}' in section '${p.kind}' : ${made.error}`
          : `Proxy '${p.name}': ${made.error}`,
      );
    }
    for (const s of p.servers) {
      const made = s.ssl || s.checkSsl ? tlsOfServer(s) : null;
      if (made !== null && "error" in made) bad(`[${s.file}:${s.line}] : 'server ${p.name}/${s.name}' : ${made.error}`);
    }
  }
  if (!good) diagnostics.alert("config : Fatal errors found in configuration.");
  return good;
}

/** True when the section's checks ask for a Redis master. */
export function asksForMaster(p: ProxyConfig): boolean {
  return p.check === "tcp-check" && p.tcpCheck.some((r) => r.kind === "expect" && !r.inverse && r.text.includes("role:master"));
}

/** Everything of a file as sections that are not yet running; null when something cannot be (said). */
function build(config: HaproxyConfig, engine: Engine): Checker[] | null {
  const checkers: Checker[] = [];
  const ids = numbers(config);
  for (const p of config.proxies) {
    if (p.disabled) continue;
    const logger = engine.logs.logger([...(p.logGlobal ? config.global.logs : []), ...p.logs], p.logTag);
    if (isFrontend(p)) {
      const front = new Frontend(p, logger, p.maxconn);
      front.iid = ids.get(p)!;
      engine.frontends.push(front);
    }
    if (!isBackend(p)) continue;
    const strict = p.strict ?? config.global.strict;
    const back = new Backend(p, logger, (p.mode === "redis" && p.cluster.length === 0) || (!strict && asksForMaster(p)));
    if (p.mode === "redis") {
      const users = Users.of(p, rowTable("server"));
      if (typeof users === "string") {
        engine.diagnostics.alert(`config : parsing [${p.file}:${p.line}] : ${users}`);
        return null;
      }
      back.board = new Board(engine, back, users);
    }
    back.iid = ids.get(p)!;
    p.servers.forEach((s, i) => back.servers.push(new Server(s, back, i, back.byAuthority)));
    engine.backends.set(p.name, back);
    for (const s of back.servers) {
      s.unresolved = s.config.unresolved;
      if (s.config.agentCheck) {
        const agent = new Agent(engine, s);
        s.agent = agent;
        engine.agents.push(agent);
      }
      if (s.config.ssl || s.config.checkSsl) {
        const made = tlsOfServer(s.config);
        if ("tls" in made) s.tls = made.tls;
      }
      if (s.isChecked) checkers.push(new Checker(engine, s, strict));
    }
  }
  relate(config, engine);
  return checkers;
}
/** Each section's number: its `id`, else the next free one in the file's order; the admin sockets count as the first section. */
function numbers(config: HaproxyConfig): Map<ProxyConfig, number> {
  const taken = new Set(config.proxies.map((p) => p.id).filter((id) => id > 0));
  const ids = new Map<ProxyConfig, number>();
  let next = config.global.statsSockets.length > 0 ? 2 : 1;
  for (const p of config.proxies) {
    while (p.id === 0 && taken.has(next)) next++;
    ids.set(p, p.id || next++);
  }
  return ids;
}
/** What refers to other sections: tracked servers, the sizes that frontends give their backends. */
function relate(config: HaproxyConfig, engine: Engine): void {
  const g = config.global.maxconn;
  for (const back of engine.backends.values()) {
    back.wasUp = back.servers.length === 0 || back.servers.some((s) => s.isUsable);
    for (const s of back.servers) {
      if (s.config.track === "") continue;
      s.tracks = engine.findServer(s.config.track.includes("/") ? s.config.track : `${back.name}/${s.config.track}`);
      s.tracks?.trackers.push(s);
    }
    if (back.fullconn > 0) continue;
    const fronts = engine.frontends.filter(
      (f) => f.config === back.config || f.config.defaultBackend === back.name || f.config.useBackend.some((r) => r.target === back.name),
    );
    back.fullconn = Math.max(1, Math.floor(fronts.reduce((n, f) => n + (f.maxconn || g), 0) / 10));
  }
}

/** Opens the admin sockets; false when one could not be opened (said on stderr). */
function startAdmin(engine: Engine, master: BindConfig | null, open: Listener[]): boolean {
  let good = true;
  const all = engine.config.global.statsSockets.map((bind) => ({ bind, master: false }));
  if (master !== null) all.push({ bind: master, master: true });
  for (const { bind, master: isMaster } of all) {
    try {
      open.push(listenAdmin(engine, bind, isMaster));
    } catch (error) {
      good = false;
      const where = bind.path !== "" ? bind.path : `${bind.host === "" ? "0.0.0.0" : bind.host}:${bind.port}`;
      engine.diagnostics.alert(`Starting frontend GLOBAL: cannot bind socket (${(error as Error).message}) [${where}]`);
    }
  }
  return good;
}

/** Builds the sections and starts listening and checking. Null when a listener could not start (said on stderr). */
export function startProxy(config: HaproxyConfig, diagnostics: Diagnostics, master: BindConfig | null = null): RunningProxy | null {
  const logs = new LogTargets(config.global, config.rings);
  const engine = new Engine(config, logs, diagnostics);
  const checkers = build(config, engine);
  if (checkers === null) return null;
  loadServerStates(engine);
  const admin: Listener[] = [];
  if (!startListeners(engine) || !startAdmin(engine, master, admin) || !ownUser(config, diagnostics)) {
    for (const f of engine.frontends) for (const b of f.binds) b.listener.close();
    for (const l of admin) l.close();
    return null;
  }
  const fencings: Fencing[] = [];
  for (const back of engine.backends.values())
    if (back.byAuthority)
      fencings.push(
        new Fencing(
          engine,
          back,
          checkers.filter((c) => c.server.backend === back),
        ),
      );
  for (const f of fencings) f.start();
  engine.failover = (back) => {
    const fencing = fencings.find((f) => f.backend === back);
    if (fencing !== undefined) void plannedFailover(fencing).then((text) => say(engine, back, 5, text));
  };
  engine.topologies = () => fencings.map((f) => f.topology());
  if (config.proxies.some((p) => p.stats.enabled && p.mode === "http")) {
    engine.history = new History(engine);
    engine.history.start();
  }
  engine.administered = (server) => fencings.find((f) => f.backend === server.backend)?.review();
  engine.observed = (server) => checkers.find((c) => c.server === server)?.observed();
  for (const section of config.resolvers) {
    const named = [...engine.backends.values()].flatMap((b) =>
      b.servers.filter((s) => s.config.resolvers === section.name && s.config.dnsName !== ""),
    );
    if (named.length > 0) engine.resolvings.push(new Resolving(engine, new NameQuery(section), named));
  }
  for (const r of engine.resolvings) r.start();
  for (const a of engine.agents) a.start();
  // Only intervals of a second or more count for the spread (H2).
  const shortest = Math.min(...checkers.map((c) => c.server.config.interMs).filter((ms) => ms >= 1000));
  checkers.forEach((c, i) =>
    c.start(c.server.backend.byAuthority || shortest === Infinity ? 0 : firstDelayMs(i, checkers.length, shortest)),
  );
  return {
    engine,
    checkers,
    fencings,
    stop() {
      for (const f of fencings) f.stop();
      for (const c of checkers) c.stop();
      for (const b of engine.backends.values()) b.board?.stop();
      for (const a of engine.agents) a.stop();
      for (const r of engine.resolvings) r.stop();
      for (const l of admin) l.close();
      for (const f of engine.frontends) {
        for (const b of f.binds) b.listener.close();
        for (const s of f.sessions) s.kill("K");
      }
      engine.timers.clear();
      logs.close();
    },
  };
}

function writePid(file: string, diagnostics: Diagnostics): boolean {
  try {
    writeFileSync(file, `${process.pid}\n`);
    return true;
  } catch {
    diagnostics.alert(`[haproxy.main()] Cannot create pidfile ${file}`);
    return false;
  }
}

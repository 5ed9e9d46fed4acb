/**
 * The proxy's process life: listening sockets, signals, soft stop, pausing, successors, the dump of states (HAProxy management guide 4). COLD.
 */
import { chmodSync, chownSync, close, existsSync, unlinkSync } from "node:fs";
import { cleanEnvironment, inherited, ownCommand, ownCommandLine } from "../cli/self.ts";
import { kindText, type BindConfig, type HaproxyConfig } from "../config/haproxy_model.ts";
import { groupId, userId } from "../os/users.ts";
import { beginHttp } from "./http/session.ts";
import { listen } from "../net/listen.ts";
import { duplicate } from "../os/ffi.ts";
import { notifySystemd } from "../os/notify.ts";
import type { Conn } from "../net/conn.ts";
import { readProxyHeader } from "../net/proxy_protocol.ts";
import type { Engine } from "./engine.ts";
import { acceptRedis } from "./redis/accept.ts";
import type { RunningProxy } from "./main.ts";
import { clientSide, Session } from "./session.ts";
import type { Frontend } from "./state.ts";
import { admitsConnection } from "./tcp_rules.ts";
import { tlsOfBind } from "./tls.ts";
import { nowMs, type Timed } from "./timers.ts";

/** How long a PROXY header may take. */
const HEADER_MS = 5000;

/** Opens every address of every frontend; what cannot be opened is said. False: something could not. */
export function startListeners(engine: Engine): boolean {
  let good = true;
  for (const front of engine.frontends) if (!listenAll(engine, front)) good = false;
  return good;
}
function listenAll(engine: Engine, front: Frontend): boolean {
  let good = true;
  for (const bind of front.config.binds) {
    try {
      if (bind.path !== "" && !bind.path.startsWith("\0") && existsSync(bind.path)) unlinkSync(bind.path);
      const where =
        bind.fd >= 0
          ? { fd: duplicate(bind.fd) ?? bind.fd }
          : bind.path !== ""
            ? { path: bind.path }
            : { hostname: bind.host === "" ? "0.0.0.0" : bind.host, port: bind.port, reusePort: true, ipv6Only: bind.v6only };
      const begin = (conn: Conn<Session>): void => {
        if (!admitsConnection(engine, front, conn, "session", () => {})) return;
        if (front.config.mode === "redis") return acceptRedis(engine, front, conn);
        if (front.config.mode === "http") return beginHttp(engine, front, conn as unknown as Conn<never>);
        conn.data = new Session(engine, front, conn);
        conn.handler = clientSide;
        conn.data.open();
      };
      const tls = bind.ssl ? tlsOfBind(bind) : null;
      if (tls !== null && "error" in tls) {
        good = false;
        engine.diagnostics.alert(`config : Proxy '${front.name}': ${tls.error}`);
        continue;
      }
      const listener = listen<Session>({
        ...where,
        ...(tls === null ? {} : { tls: tls.tls }),
        accept: () => undefined as unknown as Session,
        handler: {
          ...clientSide,
          open(conn) {
            let header = bind.acceptProxy;
            if (!admitsConnection(engine, front, conn, "connection", () => (header = true))) return;
            if (header) awaitHeader(engine, conn, begin);
            else begin(conn);
          },
        },
      });
      ownSocket(bind);
      front.binds.push({ bind, listener });
    } catch (error) {
      good = false;
      const where = bind.path !== "" ? bind.path : `${bind.host === "" ? "0.0.0.0" : bind.host}:${bind.port}`;
      const kind = front.config.kind === "listen" ? "proxy" : "frontend";
      engine.diagnostics.alert(`Starting ${kind} ${front.name}: cannot bind socket (${reason(error as { code?: string })}) [${where}]`);
    }
  }
  return good;
}

/** A unix socket's mode and owner. */
function ownSocket(bind: BindConfig): void {
  if (bind.path === "" || bind.path.startsWith("\0")) return;
  if (bind.mode !== null) chmodSync(bind.path, bind.mode);
  const uid = bind.user === "" ? null : userId(bind.user);
  const gid = bind.group === "" ? null : groupId(bind.group);
  if (uid !== null || gid !== null) chownSync(bind.path, uid ?? process.getuid!(), gid ?? process.getgid!());
}

/** accept-proxy: the connection begins when its PROXY header is whole, with the addresses that it names; without a good one it is dropped. */
function awaitHeader(engine: Engine, conn: Conn<Session>, begin: (conn: Conn<Session>) => void): void {
  let held: Buffer = Buffer.alloc(0);
  const timer: Timed = { deadlineMs: 0, heapAt: -1, expire: () => conn.terminate() };
  engine.timers.set(timer, nowMs() + HEADER_MS);
  conn.handler = {
    open: () => {},
    data(_conn, chunk) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const header = readProxyHeader(held);
      if (header === "more") return;
      engine.timers.remove(timer);
      if (header === "bad") return conn.terminate();
      if (header.source !== null) {
        conn.remoteAddress = header.source.host;
        conn.remotePort = header.source.port;
        conn.localAddress = header.destination!.host;
        conn.localPort = header.destination!.port;
        conn.path = "";
      }
      begin(conn);
      if (header.length < held.length && conn.isOpen) conn.handler.data(conn, held.subarray(header.length));
    },
    drained: () => {},
    end: () => conn.terminate(),
    close: () => engine.timers.remove(timer),
  };
}

function reason(error: { code?: string; message?: string }): string {
  switch (error.code) {
    case "EADDRINUSE":
      return "Address already in use";
    case "EADDRNOTAVAIL":
      return "Cannot assign requested address";
    case "EACCES":
      return "Permission denied";
    default:
      return error.message ?? String(error.code);
  }
}

/**
 * TERM and INT end at once, USR1 softly; HUP says how things stand; TTOU and TTIN close and open the doors; USR2 starts a successor that
 * takes over (-W, -Ws).
 */
export function untilSignal(proxy: RunningProxy): Promise<number> {
  const { engine } = proxy;
  notifySystemd("READY=1\n");
  return new Promise((resolve) => {
    const quit = (): void => {
      notifySystemd("STOPPING=1\n");
      proxy.stop();
      resolve(0);
    };
    process.on("SIGTERM", quit);
    process.on("SIGINT", quit);
    process.on("SIGUSR1", () => softStop(proxy, () => resolve(0)));
    process.on("SIGUSR2", () => void succeed(engine));
    process.on("SIGHUP", () => dumpStates(engine));
    process.on("SIGTTOU", () => pause(engine));
    process.on("SIGTTIN", () => resume(engine));
    process.on("SIGPIPE", () => {});
  });
}

/** A reload: the same command line again, told to end this process softly once it listens. When it cannot start, all stays as it is. */
export function succeed(engine: Engine): Promise<string | null> {
  if (engine.stopping) return Promise.resolve("This process is finishing already.");
  const { args, argv0 } = ownCommandLine();
  const kept: string[] = [];
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "-sf" || args[i] === "-st") while (/^\d+$/.test(args[i + 1] ?? "")) i++;
    else kept.push(args[i]!);
  }
  engine.diagnostics.notice("Reloading HAProxy");
  notifySystemd("RELOADING=1\n");
  const child = Bun.spawn([...ownCommand(), ...kept, "-sf", String(process.pid)], {
    argv0,
    env: cleanEnvironment(),
    stdio: ["ignore", "inherit", "inherit", ...inherited(inheritedSockets(engine.config))],
    detached: true,
  });
  child.unref();
  engine.diagnostics.notice(`New worker (${child.pid}) forked`);
  notifySystemd(`MAINPID=${child.pid}\n`);
  return new Promise((resolve) => {
    // It says that it listens by telling this process to finish.
    engine.onSucceeded = () => resolve(null);
    void child.exited.then((code) => {
      if (engine.stopping) return;
      resolve(`The new process (${child.pid}) exited with code ${code}.`);
      engine.diagnostics.alert(`Current worker (${child.pid}) exited with code ${code} (Exit): the former one goes on`);
      notifySystemd(`MAINPID=${process.pid}\nREADY=1\n`);
    });
  });
}

/** TTOU: nothing new is accepted; TTIN: again. */
function pause(engine: Engine): void {
  for (const front of engine.frontends) pauseFrontend(engine, front);
}
function resume(engine: Engine): void {
  for (const front of engine.frontends) if (front.paused) resumeFrontend(engine, front);
}
/** Sockets that this process was started with (fd@N): the next one needs them, too. */
export function inheritedSockets(config: HaproxyConfig): number[] {
  const binds = [...config.global.statsSockets, ...config.proxies.flatMap((p) => p.binds)];
  return binds.map((b) => b.fd).filter((fd) => fd > 2);
}
/** Listeners close a copy of an inherited socket: clients must not wait in the queue of the one that nobody looks after. */
function closeForGood(front: Frontend): void {
  for (const b of front.binds.splice(0)) b.listener.close();
  for (const fd of front.config.binds.map((b) => b.fd)) if (fd > 2) close(fd, () => {});
}
/** Closes the doors of one; false when they are closed already. */
export function pauseFrontend(engine: Engine, front: Frontend): boolean {
  if (front.paused || front.stopped || front.binds.length === 0) return false;
  front.paused = true;
  for (const b of front.binds.splice(0)) b.listener.close();
  say4(engine, front, `Paused ${kindText(front.config)} ${front.name}.`);
  return true;
}
/** Opens them again; false when an address is not to be had. */
export function resumeFrontend(engine: Engine, front: Frontend): boolean {
  if (!listenAll(engine, front)) return false;
  front.paused = false;
  say4(engine, front, `Resumed ${kindText(front.config)} ${front.name}.`);
  return true;
}
/** Closes them for ever. */
export function stopFrontend(engine: Engine, front: Frontend): void {
  front.stopped = true;
  closeForGood(front);
  stopped(engine, front.log.log.bind(front.log), front.name, front.sessionsTotal, 0);
}
function say4(engine: Engine, front: Frontend, text: string): void {
  front.log.log(4, text);
  engine.diagnostics.warning(text);
}

/** Stops listening, says so, waits for the sessions (at most hard-stop-after). */
function softStop(proxy: RunningProxy, done: () => void): void {
  const { engine } = proxy;
  if (engine.stopping) return;
  engine.stopping = true;
  engine.onSucceeded?.();
  for (const front of engine.frontends) {
    if (front.stopped) continue;
    closeForGood(front);
    const back = front.config.kind === "listen" ? (engine.backends.get(front.name)?.sessionsTotal ?? 0) : 0;
    stopped(engine, front.log.log.bind(front.log), front.name, front.sessionsTotal, back);
  }
  for (const back of engine.backends.values())
    if (back.config.kind !== "listen") stopped(engine, back.log.log.bind(back.log), back.name, 0, back.sessionsTotal);
  const finish = (): void => {
    if (engine.active > 0) return;
    proxy.stop();
    done();
  };
  engine.onIdle = finish;
  const hard = engine.config.global.hardStopAfterMs;
  if (hard !== null)
    setTimeout(() => {
      proxy.stop();
      done();
    }, hard).unref();
  finish();
}
function stopped(engine: Engine, log: (severity: number, text: string) => void, name: string, fe: number, be: number): void {
  const text = `Proxy ${name} stopped (cumulated conns: FE: ${fe}, BE: ${be}).`;
  log(4, text);
  engine.diagnostics.warning(text);
}

/** SIGHUP: one line a server, one a proxy. */
function dumpStates(engine: Engine): void {
  engine.diagnostics.warning("SIGHUP received, dumping servers states.");
  for (const back of engine.backends.values()) {
    const say = (text: string): void => {
      back.log.log(5, text);
      engine.diagnostics.warning(text);
    };
    back.log.log(5, `SIGHUP received, dumping servers states for proxy ${back.name}.`);
    for (const s of back.servers)
      say(
        `SIGHUP: Server ${s.path} is ${s.isUp ? "UP" : "DOWN"}${s.fenced === null ? "" : ` (fenced, ${s.fenced})`}. Conn: ${s.active} act, ${s.queue.length} pend, ${s.sessionsTotal} tot.`,
      );
    const totals = `Conn: act(FE+BE): ${engine.frontends.find((f) => f.name === back.name)?.active ?? 0}+${back.active}, ${back.pending} pend (${back.queue.length} unass), tot(FE+BE): ${engine.frontends.find((f) => f.name === back.name)?.sessionsTotal ?? 0}+${back.sessionsTotal}.`;
    const count = back.activeServers + back.backupServers;
    say(
      back.servers.length === 0
        ? `SIGHUP: Proxy ${back.name} has no servers. ${totals}`
        : count === 0
          ? `SIGHUP: Proxy ${back.name} has no server available ! ${totals}`
          : back.activeServers === 0
            ? `SIGHUP: Proxy ${back.name} is running on backup servers ! ${totals}`
            : `SIGHUP: Proxy ${back.name} has ${back.activeServers} active servers and ${back.backupServers} backup servers available. ${totals}`,
    );
  }
}

/**
 * Process life: background, pid file, log, start-up failures, signals, crash reports, title. On a mode that only listens
 * (tests/support/redis_host.ts), because all of it is the same for server and Sentinel; the compiled file is driven in process_modes.test.ts.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort, root, tempDir, until } from "../support/programs.ts";

const host = [process.execPath, join(root, "tests/support/redis_host.ts")];
let dir = "";
const started: number[] = [];
beforeEach(() => void (dir = tempDir()));
afterEach(() => {
  for (const pid of started.splice(0)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // has ended
    }
  }
  rmSync(dir, { recursive: true, force: true });
});

function conf(text: string): string {
  const path = join(dir, "redis.conf");
  writeFileSync(path, text);
  return path;
}
interface Ended {
  code: number | null;
  signal: string | null;
  out: string;
  err: string;
}
/** Runs the host to its end. */
async function run(args: string[], options: { cwd?: string; stdin?: string; env?: Record<string, string> } = {}): Promise<Ended> {
  const p = Bun.spawn([...host, ...args], {
    cwd: options.cwd ?? dir,
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...options.env },
  });
  started.push(p.pid);
  const [out, err] = await Promise.all([p.stdout.text(), p.stderr.text()]);
  await p.exited;
  return { code: p.exitCode, signal: p.signalCode as string | null, out, err };
}
function say(port: number, word: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(`${word}\n`));
    socket.on("data", (d) => {
      resolve(d.toString());
      socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve("closed"));
  });
}
function pidIn(path: string): number {
  const pid = Number(readFileSync(path, "latin1"));
  started.push(pid);
  return pid;
}
const alive = (pid: number): boolean => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
function procField(pid: number, number: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[number - 3]!;
}

test("daemonize: the caller gets 0 when the daemon listens; pid file, log, directory and umask are the daemon's", async () => {
  const port = freePort();
  mkdirSync(join(dir, "data"));
  const file = conf(`port ${port}\nbind 127.0.0.1\ndaemonize yes\ndir data\npidfile host.pid\nlogfile host.log\n`);
  const ended = await run([file, "--hz", "20"], { env: { BUN_OPTIONS: "" } });
  expect([ended.code, ended.err]).toEqual([0, ""]);
  const pid = pidIn(join(dir, "data/host.pid"));
  expect(await say(port, "ping")).toBe("+PONG\r\n");
  // Its own session, no terminal, the parent is gone.
  expect([procField(pid, 6), procField(pid, 7)]).toEqual([String(pid), "0"]);
  expect(Number(procField(pid, 4))).not.toBe(process.pid);
  const log = readFileSync(join(dir, "data/host.log"), "latin1");
  expect(log).toMatch(new RegExp(`^${pid}:C \\d\\d \\w{3} \\d{4} \\d\\d:\\d\\d:\\d\\d\\.\\d{3} \\* oO0OoO0OoO0Oo Redis is starting`, "m"));
  expect(log).toContain(`Redis version=7.2.4, bits=64, commit=00000000, modified=0, pid=${pid}, just started`);
  // Its environment holds nothing of how it was made.
  expect(readFileSync(`/proc/${pid}/environ`, "latin1")).not.toContain("NODE_UNIQUE_ID");
  process.kill(pid, "SIGTERM");
  await until("the daemon's end", () => !alive(pid));
  expect(existsSync(join(dir, "data/host.pid"))).toBe(false);
  expect(readFileSync(join(dir, "data/host.log"), "latin1")).toContain("Received SIGTERM scheduling shutdown...");
});

test("names that are not ASCII: file, directory, log, pid file, a refused line", async () => {
  const port = freePort();
  const data = join(dir, "donn\u00e9es");
  mkdirSync(data);
  const file = join(dir, "r\u00e9dis.conf");
  writeFileSync(file, `port ${port}\nbind 127.0.0.1\ndaemonize yes\ndir ${data}\npidfile \u00e9.pid\nlogfile \u00fc.log\n`);
  expect(await run([file])).toEqual({ code: 0, signal: null, out: "", err: "" });
  const pid = pidIn(join(data, "\u00e9.pid"));
  expect(readFileSync(join(data, "\u00fc.log"), "latin1")).toContain("Redis is starting");
  process.kill(pid, "SIGTERM");
  await until("the daemon's end", () => !alive(pid));
  expect(existsSync(join(data, "\u00e9.pid"))).toBe(false);
  const refused = await run([file, "--dir", join(dir, "fehlt\u00e4")]);
  expect(refused.err).toContain("No such file or directory\nhint: the command line, line 2, column 1: the directory must exist");
  expect((await run([file, "--m\u00e4xmemory", "1"])).err).toContain(">>> 'm\u00e4xmemory \"1\"'");
});

test("a daemon that cannot start says why on stderr, exits 1, and leaves another's pid file alone", async () => {
  const port = freePort();
  const file = conf(`port ${port}\nbind 127.0.0.1\ndaemonize yes\npidfile ${dir}/host.pid\nlogfile ${dir}/host.log\n`);
  expect((await run([file])).code).toBe(0);
  const first = pidIn(join(dir, "host.pid"));
  const second = await run([file]);
  expect(second.code).toBe(1);
  expect(second.err).toContain(`Failed listening on port ${port} (tcp), aborting: EADDRINUSE`);
  expect(pidIn(join(dir, "host.pid"))).toBe(first);
  expect(readFileSync(join(dir, "host.log"), "latin1")).toContain("# Failed listening on port");
});

test("daemonize no: the same process serves, and ends by SIGTERM with 0", async () => {
  const port = freePort();
  const p = Bun.spawn([...host, "--port", String(port), "--bind", "127.0.0.1"], { cwd: dir, stdout: "pipe", stderr: "pipe" });
  started.push(p.pid);
  await until("the host", () => say(port, "ping").catch(() => ""));
  expect(readFileSync(`/proc/${p.pid}/task/${p.pid}/children`, "latin1")).toBe("");
  p.kill("SIGTERM");
  expect(await p.exited).toBe(0);
  expect(await p.stdout.text()).toContain(`${p.pid}:C `);
});

test("a bad configuration: Redis' text and our hint on stderr, exit 1, before anything else happens", async () => {
  const ended = await run([conf("daemonize yes\npidfile x.pid\nmaxmemroy 1gb\n")]);
  expect(ended.code).toBe(1);
  expect(ended.err).toBe(
    `\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\nReading the configuration file, at line 3\n>>> 'maxmemroy 1gb'\nBad directive or wrong number of arguments\nhint: ${dir}/redis.conf, line 3, column 1: there is no directive 'maxmemroy'; did you mean 'maxmemory'?\n`,
  );
  const missing = await run([join(dir, "none.conf")]);
  expect(missing.code).toBe(1);
  expect(missing.err).toContain(`Fatal error, can't open config file '${dir}/none.conf': No such file or directory`);
  expect((await run(["--port", "x"])).err).toContain(">>> 'port \"x\"'\nargument couldn't be parsed into an integer");
});

test("the configuration from standard input, also for a daemon", async () => {
  const port = freePort();
  const stdin = `port ${port}\nbind 127.0.0.1\ndaemonize yes\npidfile ${dir}/in.pid\nlogfile ${dir}/in.log\n`;
  const ended = await run(["-"], { stdin });
  expect([ended.code, ended.err]).toEqual([0, ""]);
  const pid = pidIn(join(dir, "in.pid"));
  expect(await say(port, "ping")).toBe("+PONG\r\n");
  process.kill(pid, "SIGTERM");
  await until("the daemon's end", () => !alive(pid));
});

test.each([
  ["segfault", "SIGSEGV", "Redis 7.2.4 crashed by signal: 11, si_code: 0"],
  ["throw", "SIGABRT", "==> Error: a bug of ours"],
  ["reject", "SIGABRT", "==> Error: a lost promise"],
])("crash by %s: a report in the log, then the end by %s", async (word, signal, line) => {
  const port = freePort();
  const log = join(dir, "crash.log");
  const p = Bun.spawn([...host, "--port", String(port), "--bind", "127.0.0.1", "--logfile", log, "--pidfile", join(dir, "c.pid")], {
    cwd: dir,
    stdout: "ignore",
    stderr: "ignore",
  });
  started.push(p.pid);
  await until("the host", () => say(port, "ping").catch(() => ""));
  await say(port, word).catch(() => "closed");
  await p.exited;
  expect(p.signalCode as string).toBe(signal);
  const text = readFileSync(log, "latin1");
  const order = [
    "=== REDIS BUG REPORT START",
    line,
    "------ STACK TRACE ------",
    "------ INFO OUTPUT ------",
    "------ CONFIG DEBUG OUTPUT ------\nio-threads-do-reads no\n",
    "=== REDIS BUG REPORT END.",
  ];
  const places = order.map((part) => text.indexOf(part));
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  expect(places[0]).toBeGreaterThan(0);
  expect(text).toContain("redis_host.ts");
  expect(existsSync(join(dir, "c.pid"))).toBe(false);
});

test("SIGABRT from outside leaves a report as well; crash-log-enabled no leaves none", async () => {
  for (const enabled of ["yes", "no"]) {
    const port = freePort();
    const log = join(dir, `abrt-${enabled}.log`);
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--logfile", log, "--crash-log-enabled", enabled];
    const p = Bun.spawn([...host, ...args], { cwd: dir, stdout: "ignore", stderr: "ignore" });
    started.push(p.pid);
    await until("the host", () => say(port, "ping").catch(() => ""));
    p.kill("SIGABRT");
    await p.exited;
    expect(p.signalCode as string).toBe("SIGABRT");
    expect(readFileSync(log, "latin1").includes("crashed by signal: 6")).toBe(enabled === "yes");
  }
});

test("ps shows the title from the template", async () => {
  const port = freePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--proc-title-template", "T {title} {listen-addr} {config-file} {{x}"];
  const p = Bun.spawn([...host, ...args], { cwd: dir, stdout: "ignore", stderr: "ignore" });
  started.push(p.pid);
  await until("the host", () => say(port, "ping").catch(() => ""));
  const line = readFileSync(`/proc/${p.pid}/cmdline`, "latin1").split("\0")[0];
  expect(line).toBe(`T ${root}/tests/support/redis_host 127.0.0.1:${port} - {x}`);
  expect(readFileSync(`/proc/${p.pid}/comm`, "latin1")).toBe("redis-server\n");
});

test("systemd is told on its socket when the listeners are open", async () => {
  const python = Bun.which("python3");
  if (python === null) {
    console.log("SKIPPED: no python3 to play systemd");
    return;
  }
  const path = join(dir, "notify");
  const code = `import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("bound",flush=True)
while True: print(s.recv(1000).decode(),flush=True)`;
  const systemd = Bun.spawn([python, "-c", code, path], { stdout: "pipe", stderr: "ignore" });
  started.push(systemd.pid);
  const reader = systemd.stdout.getReader();
  let heard = "";
  const hear = async (word: string): Promise<void> => {
    while (!heard.includes(word)) heard += new TextDecoder().decode((await reader.read()).value);
  };
  await hear("bound");
  const port = freePort();
  const p = Bun.spawn([...host, "--port", String(port), "--bind", "127.0.0.1", "--supervised", "auto", "--daemonize", "yes"], {
    cwd: dir,
    stdout: "pipe",
    stderr: "ignore",
    env: { ...process.env, NOTIFY_SOCKET: path },
  });
  started.push(p.pid);
  await hear("READY=1");
  expect(heard).toContain("STATUS=Redis is loading...");
  // Supervised processes stay in the foreground.
  expect(await say(port, "ping")).toBe("+PONG\r\n");
  expect(p.exitCode).toBeNull();
  p.kill("SIGTERM");
  expect(await p.exited).toBe(0);
});

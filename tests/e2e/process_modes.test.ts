/**
 * The compiled file as init scripts and people start it: the article's init script, links with the originals' names, --version, --help,
 * starts that fail.
 */
import type { Socket } from "bun";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, freePort, redisha, root, tempDir, until } from "../support/programs.ts";

let dir = "";
beforeAll(() => void (dir = tempDir()));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function run(...command: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const p = Bun.spawn(command, { cwd: dir, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([p.stdout.text(), p.stderr.text()]);
  await p.exited;
  return { code: p.exitCode, out, err };
}
const alive = (pid: number): boolean => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));

/** The article's script; EXEC and the folders are what a user changes. */
function articleScript(name: string, folder: string, exec: string): string {
  const text = `#!/bin/bash
NAME=\`basename \${0}\`
EXEC=${exec}
PIDFILE="${folder}/run/\${NAME}.pid"
CONF="${folder}/etc/\${NAME}.conf"

PID=\`cat $PIDFILE 2> /dev/null\`
case "$1" in
     start)
         echo "Starting $NAME ..."
         touch $PIDFILE
         exec $EXEC $CONF --sentinel --pidfile $PIDFILE
         ;;
     stop)
         echo "Stopping $NAME PID: $PID ..."
         kill $PID
         ;;
     restart)
         echo "Restarting $NAME ..."
         $0 stop
         sleep 2
         $0 start
         ;;
     *)
         echo "Usage $0 {start|stop|restart}"
         ;;
esac
`;
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

test("the article's init script: start, restart, stop; its configuration with its two slips", async () => {
  const folder = join(dir, "article");
  for (const sub of ["run", "etc", "log", "data"]) mkdirSync(join(folder, sub), { recursive: true });
  const port = freePort();
  const conf = join(folder, "etc/sentinel_26379.conf");
  writeFileSync(
    conf,
    `port ${port}\ndaemonize yes\npidfile "${folder}/run/other.pid"\nlogfile "${folder}/log/s.log"\ndir ${folder}/data\n` +
      "sentinel monitor master01 localhost 1 1\n#sentinel auth-pass myredis mypass\nsentinel down-after-milliseconds master01 3000\n" +
      "sentinel failover-timeout master01 6000\nsentinel parallel-syncs master01 6379 1\n",
  );
  const script = articleScript("sentinel_26379", folder, redisha);
  const pidFile = join(folder, "run/sentinel_26379.pid");
  const started = await run(script, "start");
  expect([started.code, started.out, started.err]).toEqual([0, "Starting sentinel_26379 ...\n", ""]);
  const pid = Number(readFileSync(pidFile, "latin1"));
  try {
    expect(alive(pid)).toBe(true);
    expect(await cli(port, "ping")).toBe("PONG");
    expect(readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0")[0]).toBe(`${redisha} *:${port} [sentinel]`);
    const log = readFileSync(join(folder, "log/s.log"), "latin1");
    expect(log).toContain(`${pid}:X `);
    expect(log).toContain("sentinel parallel-syncs master01 1");
    // Rewritten: the comment and the order stay, the state is added.
    const text = await until("the file's rewriting", () => {
      const now = readFileSync(conf, "latin1");
      return now.includes("sentinel myid ") ? now : "";
    });
    expect(text).toContain("#sentinel auth-pass myredis mypass\n");
    expect(text.indexOf("sentinel monitor master01")).toBeLessThan(text.indexOf("#sentinel auth-pass"));
    expect(text).toMatch(/^sentinel monitor master01 127\.0\.0\.1 1 1$/m);

    const again = await run(script, "restart");
    expect(again.code).toBe(0);
    await until("the first one's end", () => !alive(pid));
    const next = Number(readFileSync(pidFile, "latin1"));
    expect(next).not.toBe(pid);
    expect(await cli(port, "ping")).toBe("PONG");
    expect((await run(script, "stop")).code).toBe(0);
    await until("the second one's end", () => !alive(next));
    expect(existsSync(pidFile)).toBe(false);
  } finally {
    const last = existsSync(pidFile) ? Number(readFileSync(pidFile, "latin1")) : 0;
    if (last > 0 && alive(last)) process.kill(last, "SIGKILL");
  }
}, 20000);

/** A script of conf/ with the paths of this test. */
function ownScript(name: string, folder: string, source = "redis.init"): string {
  for (const sub of ["run", "etc", "default"]) mkdirSync(join(folder, sub), { recursive: true });
  const text = readFileSync(join(root, "conf", source), "latin1")
    .replaceAll("/usr/local/bin/redisha", redisha)
    .replaceAll("/etc/redis/", `${folder}/etc/`)
    .replaceAll("/etc/haproxy/", `${folder}/etc/`)
    .replaceAll("/var/run/", `${folder}/run/`)
    .replaceAll("/etc/default/", `${folder}/default/`);
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

test("our own init script: start twice, status, stop twice, a start that fails", async () => {
  const folder = join(dir, "own");
  const script = ownScript("sentinel_1", folder);
  const port = freePort();
  const conf = join(folder, "etc/sentinel_1.conf");
  writeFileSync(conf, `port ${port}\nbind 127.0.0.1\nlogfile ${folder}/s.log\ndir ${folder}\n`);
  expect((await run(script, "status")).code).toBe(3);
  expect(await run(script, "start")).toEqual({ code: 0, out: "Starting sentinel_1 ...\n", err: "" });
  const pid = Number(readFileSync(join(folder, "run/sentinel_1.pid"), "latin1"));
  try {
    expect(await cli(port, "ping")).toBe("PONG");
    expect((await run(script, "start")).out).toBe(`sentinel_1 runs already (process ${pid})\n`);
    expect((await run(script, "status")).code).toBe(0);
    expect((await run(script, "stop")).code).toBe(0);
    expect(alive(pid)).toBe(false);
  } finally {
    if (alive(pid)) process.kill(pid, "SIGKILL");
  }
  expect((await run(script, "stop")).out).toBe("sentinel_1 does not run\n");
  writeFileSync(conf, "sentinel monitor\n");
  const failed = await run(script, "start");
  expect(failed.code).toBe(1);
  expect(failed.err).toContain(">>> 'sentinel monitor'");
  expect((await run(script, "jump")).code).toBe(2);
});

test("our init script runs a server too; DEBUG SEGFAULT ends it with a report, and the script starts it again", async () => {
  const folder = join(dir, "server");
  const script = ownScript("redis_1", folder);
  const port = freePort();
  const log = join(folder, "r.log");
  writeFileSync(
    join(folder, "etc/redis_1.conf"),
    `port ${port}\nbind 127.0.0.1\nlogfile ${log}\ndir ${folder}\nsave ""\nenable-debug-command local\nrename-command GET fetch\nrename-command fetch grab\n`,
  );
  expect((await run(script, "start")).code).toBe(0);
  const pidFile = join(folder, "run/redis_1.pid");
  const first = Number(readFileSync(pidFile, "latin1"));
  let second = 0;
  try {
    expect(await cli(port, "get", "a")).toContain("unknown command 'get'");
    expect(await cli(port, "grab", "a")).toBe("");
    expect(await cli(port, "debug", "segfault")).toBe("Error: Server closed the connection");
    await until("its end", () => !alive(first));
    const text = readFileSync(log, "latin1");
    expect(text).toContain("# Redis 7.2.4 crashed by signal: 11, si_code: 0");
    expect(text).toContain("\nredis_version:7.2.4");
    expect(text).toContain(" cmd=debug ");
    expect((await run(script, "start")).code).toBe(0);
    second = Number(readFileSync(pidFile, "latin1"));
    expect(await cli(port, "ping")).toBe("PONG");
    const other = freePort();
    expect(await cli(port, "config", "set", "port", String(other))).toBe("OK");
    expect(await cli(other, "ping")).toBe("PONG");
    expect((await run(script, "stop")).code).toBe(0);
    expect(existsSync(pidFile)).toBe(false);
  } finally {
    for (const pid of [first, second]) if (pid > 0 && alive(pid)) process.kill(pid, "SIGKILL");
  }
});

test("the proxy's init script: check, start, reload with a session open, stop", async () => {
  const folder = join(dir, "proxy");
  const script = ownScript("haproxy", folder, "haproxy.init");
  const port = freePort();
  const conf = join(folder, "etc/haproxy.cfg");
  // An echo that the sessions go to.
  const echo = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: (s, d) => void s.write(d) } });
  const good = `defaults\nmode tcp\ntimeout connect 3s\ntimeout client 60s\ntimeout server 60s\nlisten l\nbind 127.0.0.1:${port}\nserver s 127.0.0.1:${echo.port}\n`;
  writeFileSync(conf, "listen l\nbnd *:1\n");
  expect((await run(script, "start")).code).toBe(1);
  writeFileSync(conf, good);
  expect(await run(script, "check")).toEqual({ code: 0, out: "", err: "" });
  const pidFile = join(folder, "run/haproxy.pid");
  const pids: number[] = [];
  const pidNow = (): number => {
    const pid = Number(readFileSync(pidFile, "latin1"));
    if (!pids.includes(pid)) pids.push(pid);
    return pid;
  };
  const answers: string[] = [];
  const open = (): Promise<Socket<undefined>> =>
    Bun.connect({ hostname: "127.0.0.1", port, socket: { data: (_s, d) => void answers.push(d.toString()) } });
  const say = async (socket: Socket<undefined>, word: string): Promise<void> => {
    socket.write(word);
    await until(`the echo of ${word}`, () => answers.includes(word));
  };
  try {
    const started = await run(script, "start");
    expect([started.code, started.out]).toEqual([0, "Starting haproxy ...\n"]);
    const first = pidNow();
    const session = await open();
    await say(session, "one");
    const reloaded = await run(script, "reload");
    expect([reloaded.code, reloaded.out]).toEqual([0, "Reloading haproxy ...\n"]);
    expect(pidNow()).not.toBe(first);
    // The old process still serves the session it has, the new one those that come.
    await say(session, "two");
    const other = await open();
    await say(other, "three");
    expect(alive(first)).toBe(true);
    session.end();
    await until("the old process' end", () => !alive(first));
    await say(other, "four");
    other.end();
    expect((await run(script, "status")).code).toBe(0);
    expect((await run(script, "stop")).code).toBe(0);
    expect((await run(script, "status")).code).toBe(3);
  } finally {
    if (existsSync(pidFile)) pidNow();
    for (const pid of pids) if (alive(pid)) process.kill(pid, "SIGKILL");
    echo.stop(true);
  }
});

test("without code made at run time (systemd's MemoryDenyWriteExecute) it runs, and says in its log why it is slow", async () => {
  const python = Bun.which("python3");
  if (python === null) {
    console.log("SKIPPED: no python3 to forbid it");
    return;
  }
  const log = join(dir, "mdwe.log");
  const port = freePort();
  // prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN): kept by exec, as under systemd.
  const code = "import ctypes,os,sys\nif ctypes.CDLL(None).prctl(65,1,0,0,0)!=0: sys.exit(77)\nos.execv(sys.argv[1],sys.argv[1:])";
  const p = Bun.spawn([python, "-c", code, redisha, "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--logfile", log], {
    cwd: dir,
    stdout: "ignore",
    stderr: "ignore",
  });
  try {
    const answer = await until("the server", async () => (p.exitCode === 77 ? "none" : (await cli(port, "ping")) === "PONG"));
    if (answer === "none") {
      console.log("SKIPPED: this kernel cannot forbid it");
      return;
    }
    expect(readFileSync(log, "latin1")).toContain("Is MemoryDenyWriteExecute=yes in its systemd unit?");
  } finally {
    p.kill("SIGKILL");
    await p.exited;
  }
});

test("systemd takes our units", async () => {
  if (Bun.which("systemd-analyze") === null) {
    console.log("SKIPPED: no systemd-analyze");
    return;
  }
  for (const name of ["redis.service", "sentinel.service", "haproxy.service"]) {
    const text = readFileSync(join(root, "conf", name), "latin1");
    expect(text).toContain("\nMemoryDenyWriteExecute=false\n");
    writeFileSync(join(dir, name), text.replaceAll("/usr/local/bin/redisha", redisha));
    const verified = await run("systemd-analyze", "verify", join(dir, name));
    expect([name, verified.code, verified.err]).toEqual([name, 0, ""]);
  }
});

test("start-stop-daemon starts, finds and stops it by its executable, as Debian's scripts do", async () => {
  const tool = "/usr/sbin/start-stop-daemon";
  if (!existsSync(tool)) {
    console.log("SKIPPED: no start-stop-daemon");
    return;
  }
  const folder = join(dir, "debian");
  mkdirSync(folder, { recursive: true });
  const link = join(folder, "redis-sentinel");
  symlinkSync(redisha, link);
  const conf = join(folder, "s.conf");
  const pidFile = join(folder, "s.pid");
  const port = freePort();
  writeFileSync(conf, `port ${port}\nbind 127.0.0.1\ndaemonize yes\npidfile ${pidFile}\nlogfile ${folder}/s.log\ndir ${folder}\n`);
  const start = await run(tool, "--start", "--quiet", "--oknodo", "--pidfile", pidFile, "--exec", link, "--", conf);
  expect(start).toEqual({ code: 0, out: "", err: "" });
  expect(await cli(port, "ping")).toBe("PONG");
  expect((await run(tool, "--status", "--pidfile", pidFile, "--exec", link)).code).toBe(0);
  const stop = await run(tool, "--stop", "--retry", "forever/TERM/1", "--quiet", "--oknodo", "--pidfile", pidFile, "--exec", link);
  expect(stop.code).toBe(0);
  expect(existsSync(pidFile)).toBe(false);
});

test("a Sentinel without a file, or with one it cannot write, says so and exits 1", async () => {
  const none = await run(redisha, "--sentinel");
  expect(none.code).toBe(1);
  expect(none.err).toContain("Sentinel needs config file on disk to save state. Exiting...");
  const bad = join(dir, "bad.conf");
  writeFileSync(bad, `port ${freePort()}\nsentinel monitor m 127.0.0.1 1 0\n`);
  const refused = await run(redisha, bad, "--sentinel");
  expect(refused.code).toBe(1);
  expect(refused.err).toContain(">>> 'sentinel monitor m 127.0.0.1 1 0'\nQuorum must be 1 or greater.\n");
});

test("links named as the originals behave as them", async () => {
  for (const name of ["redis-server", "redis-sentinel", "haproxy"]) {
    if (!existsSync(join(dir, name))) symlinkSync(redisha, join(dir, name));
  }
  expect((await run(join(dir, "redis-server"), "--version")).out).toMatch(/^Redis server v=7\.2\.4 sha=/);
  expect((await run(join(dir, "redis-sentinel"), "-v")).out).toMatch(/^Redis server v=7\.2\.4 sha=/);
  const help = await run(join(dir, "redis-server"), "-h");
  expect([help.code, help.out]).toEqual([1, ""]);
  expect(help.err).toStartWith("Usage: ./redis-server [/path/to/redis.conf] [options] [-]\n");
  expect((await run(join(dir, "haproxy"), "-v")).out).toStartWith("HAProxy version 2.6.12");
  expect((await run(join(dir, "redis-sentinel"))).err).toContain("Sentinel needs config file on disk");
});

test("--help and --version of redisha itself", async () => {
  const version = await run(redisha, "--version");
  expect([version.code, version.err]).toEqual([0, ""]);
  expect(version.out).toMatch(/^redisha \d+\.\d+\.\d+ \(/);
  const help = await run(redisha, "--help");
  expect(help.code).toBe(0);
  expect(help.out).toContain("--proxy");
});

test("what Bun would read from the environment or the folder changes nothing", async () => {
  writeFileSync(join(dir, "bunfig.toml"), "preload = ['./none.ts']\n");
  writeFileSync(join(dir, ".env"), "NOTIFY_SOCKET=/nowhere\n");
  expect((await run(redisha, "--version")).code).toBe(0);
});

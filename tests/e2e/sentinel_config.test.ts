/** Sentinel's file and scripts: what is refused and how it is said, what is tolerated, what a restart keeps; scripts and their rules. */
import { expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, hasRedis, redisha, startSentinel, tempDir, until } from "../support/programs.ts";
import { sentinelStatements } from "../../lib/config/sentinel_conf.ts";
import { Fleet, fileOf, master_ } from "../support/sentinel_fleet.ts";

const real = test.skipIf(!hasRedis);

/** Starts on a file that must be refused; what it says on stderr and its exit code. */
async function refused(lines: string[]): Promise<{ text: string; code: number }> {
  const dir = tempDir();
  const file = join(dir, "s.conf");
  writeFileSync(file, Buffer.from([`port ${freePort()}`, "bind 127.0.0.1", `dir ${dir}`, ...lines, ""].join("\n"), "utf8"));
  const p = Bun.spawn([redisha, file, "--sentinel"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const text = await new Response(p.stderr).text();
  const code = await p.exited;
  rmSync(dir, { recursive: true });
  return { text, code };
}

const MONITOR = "sentinel monitor m 127.0.0.1 6379 1";

for (const [line, reason, hint] of [
  ["sentinel monitor m 127.0.0.1 6379", "Unrecognized sentinel configuration statement.", "sentinel monitor <name> <ip> <port> <quorum>"],
  ["sentinel monitor\u00a0x 127.0.0.1 6379 1", "Unrecognized sentinel configuration statement.", "column 17: this is a non-breaking space"],
  ["sentinel moniter x 127.0.0.1 6379 1", "Unrecognized sentinel configuration statement.", "did you mean 'sentinel monitor"],
  ["sentinel monitor x 127.0.0.1 6379 0", "Quorum must be 1 or greater.", "line 5"],
  ["sentinel monitor x no-such-host.invalid 6379 1", "Can't resolve instance hostname.", "line 5"],
  ["sentinel monitor m 127.0.0.1 6379 1", "Duplicate master name.", "line 5"],
  ["sentinel monitor x 127.0.0.1 70000 1", "Invalid port number.", "line 5"],
  ["sentinel down-after-milliseconds m 0", "negative or zero time parameter.", "sentinel down-after-milliseconds <name> <milliseconds>"],
  ["sentinel quorum m 2", "Unrecognized sentinel configuration statement.", "line 5"],
  ["sentinel failover-timeout nobody 100", "No such master with specified name.", "line 5"],
  ["sentinel myid abc", "Malformed Sentinel id in myid option.", "line 5"],
  ["sentinel resolve-hostnames maybe", "Please specify yes or no for the resolve-hostnames option.", "line 5"],
  ["sentinel notification-script m /no/such/script", "Notification script seems non existing or non executable.", "line 5"],
])
  test(`refused: ${line}`, async () => {
    const { text, code } = await refused([MONITOR, line]);
    expect(text).toContain("*** FATAL CONFIG FILE ERROR (Redis ");
    expect(text).toContain(`Reading the configuration file, at line 5\n>>> '${line}'\n${reason}\n`);
    expect(text).toContain(hint);
    expect(code).toBe(1);
  });

real("a monitor line that a comment has swallowed is found", async () => {
  await using s = await startSentinel("redisha", ["# consider it down # least 1 quorum.sentinel monitor m 127.0.0.1 6379 1"]);
  expect(s.output).toContain("line 4, column 37: this comment seems to have swallowed 'sentinel monitor m 127.0.0.1 6379 1'");
  expect(s.output).toContain("# No master is monitored: write 'sentinel monitor <name> <ip> <port> <quorum>' in ");
});

real("duplicates that Sentinels have written load with a warning, and are written once", async () => {
  const port = freePort();
  const lines = [MONITOR, "sentinel known-slave m 127.0.0.1 6380", "sentinel known-replica m 127.0.0.1 6380"];
  await using s = await startSentinel("redisha", [...lines, "sentinel current-epoch 7", "sentinel leader-epoch m 5"], { port });
  expect(s.output).toContain("replica 127.0.0.1:6380 of 'm' is listed twice");
  expect((await s.cli("sentinel", "replicas", "m")).split("\n").filter((l) => l === "127.0.0.1:6380").length).toBe(1);
  const file = fileOf(s);
  expect(file.match(/known-(slave|replica)/g)).toEqual(["known-replica"]);
  expect(file).toContain("sentinel current-epoch 7\n");
  expect(file).toContain("sentinel leader-epoch m 5\n");
});

real("a restart keeps the id, the epochs, the settings; values that need quotes survive", async () => {
  const port = freePort();
  const s = await startSentinel("redisha", [MONITOR], { port });
  try {
    const id = await s.cli("sentinel", "myid");
    expect(await s.cli("sentinel", "set", "m", "auth-pass", 'two "words"', "quorum", "3", "failover-timeout", "9000")).toBe("OK");
    expect(await s.cli("sentinel", "config", "set", "announce-ip", "1.2.3.4", "loglevel", "warning")).toBe("OK");
    await s.stop("SIGTERM");
    s.start();
    await s.ready();
    expect(await s.cli("sentinel", "myid")).toBe(id);
    const m = await master_(s);
    expect([m["quorum"], m["failover-timeout"]]).toEqual(["3", "9000"]);
    expect(fileOf(s)).toContain('sentinel auth-pass m "two \\"words\\""\n');
    expect(await s.cli("sentinel", "config", "get", "announce-ip", "loglevel")).toBe("announce-ip\n1.2.3.4\nloglevel\nwarning");
  } finally {
    await s[Symbol.asyncDispose]();
  }
});

real("scripts: notification and reconfiguration with their arguments, one run for success, one for exit 2, again for exit 1", async () => {
  const dir = tempDir();
  const script = join(dir, "script.sh");
  const out = join(dir, "out");
  // Descriptors beyond 0, 1, 2 must not leak into it; 255 and the like are the shell's own.
  writeFileSync(
    script,
    `#!/bin/sh\nls /proc/self/fd | tr '\\n' ' ' >> ${out}.fds\necho "$0 $*" >> ${out}\ncase "$1" in +sdown) exit 2;; +odown) exit 1;; esac\nexit 0\n`,
  );
  chmodSync(script, 0o755);
  await using fleet = await Fleet.start({
    sentinels: ["redisha"],
    lines: [`sentinel notification-script m ${script}`, `sentinel client-reconfig-script m ${script}`],
  });
  const [sentinel] = fleet.sentinels;
  await sentinel.cli("sentinel", "debug", "script-retry-delay", "300");
  const [old, replica] = fleet.servers;
  await old.stop("SIGKILL");
  await fleet.switched(old);
  const ran = (): string[] => (existsSync(out) ? readFileSync(out, "latin1").split("\n") : []);
  const reconfig = `${script} m leader start 127.0.0.1 ${old.port} 127.0.0.1 ${replica.port}`;
  await until("the reconfiguration script", () => ran().includes(reconfig));
  await until("a second run after exit 1", () => ran().filter((l) => l.startsWith(`${script} +odown master m`)).length >= 2);
  expect(ran()).toContain(`${script} +switch-master m 127.0.0.1 ${old.port} 127.0.0.1 ${replica.port}`);
  expect(sentinel.output).toContain(`# -script-error ${script} 0 2`);
  expect(ran().filter((l) => l.startsWith(`${script} +sdown master m`)).length).toBe(1);
  for (const line of readFileSync(`${out}.fds`, "latin1").split("\n"))
    for (const fd of line.trim().split(" ")) if (fd !== "") expect(Number(fd)).toBeLessThanOrEqual(3);
  expect(await sentinel.cli("sentinel", "pending-scripts")).toContain("+odown");
});

real("conf/sentinel.conf starts as it is, shows the defaults, and tells of every statement", async () => {
  const sample = readFileSync(join(import.meta.dir, "../../conf/sentinel.conf"), "latin1");
  for (const name of sentinelStatements()) if (!name.startsWith("primary-")) expect(sample).toContain(name);
  const port = freePort();
  // Every line that shows a default must be taken, and change nothing.
  const defaults = sample.replace(/^#(sentinel .*)$/gm, "$1").replace(/^(port|dir) .*$/gm, "");
  await using s = await startSentinel("redisha", defaults.split("\n"), { port });
  const m = Object.fromEntries(
    (await s.cli("sentinel", "master", "mymaster"))
      .split("\n")
      .map((v, i, all) => (i % 2 === 0 ? [v, all[i + 1]] : []))
      .filter((p) => p.length > 0),
  );
  expect([m["down-after-milliseconds"], m["failover-timeout"], m["parallel-syncs"], m["quorum"]]).toEqual(["30000", "180000", "1", "2"]);
  expect(fileOf(s)).not.toMatch(/^sentinel (down-after|failover-timeout|parallel-syncs|resolve-hostnames)/m);
});

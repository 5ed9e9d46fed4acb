/** --check and --doctor: every check speaks, names the place and the mend, and is silent about the good case. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkFiles, type Seen } from "../../lib/check/config_checks.ts";
import { kindOf, readChecked, type CheckedFile } from "../../lib/check/files.ts";
import { exitCode, lines, type Finding } from "../../lib/check/finding.ts";
import { judgeMachine, type MachineFacts } from "../../lib/check/machine.ts";
import { root, tempDir } from "../support/programs.ts";

const dir = tempDir();
afterAll(() => rmSync(dir, { recursive: true }));

/** Findings about these files, given by name and text. */
function check(files: Record<string, string>, seen?: Seen, mode = 0o600): Finding[] {
  const findings: Finding[] = [];
  const read: CheckedFile[] = [];
  mkdirSync(dir, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    const path = join(dir, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    const file = readChecked(path, findings);
    if (file !== null) read.push(file);
  }
  return [...findings, ...checkFiles(read, seen)];
}
const shown = (findings: readonly Finding[]): string =>
  findings.map((f) => `${f.level} ${f.place.replaceAll(`${dir}/`, "")} ${f.text} -> ${f.mend}`).join("\n");

const GOOD_SERVER = "bind 127.0.0.1\nmin-replicas-to-write 1\nmaxmemory 1gb\nsave 60 1\n";
const good = (more = ""): string => GOOD_SERVER + more;
const GOOD_SENTINEL = (n: number, more = "", quorum = 2): string =>
  `port ${26378 + n}\nsentinel monitor shop 10.0.0.1 6379 ${quorum}\nsentinel down-after-milliseconds shop 5000\nsentinel failover-timeout shop 60000\n${more}`;
const three = (more = "", quorum = 2): Record<string, string> => ({
  "sentinel1.conf": GOOD_SENTINEL(1, more, quorum),
  "sentinel2.conf": GOOD_SENTINEL(2, "", quorum),
  "sentinel3.conf": GOOD_SENTINEL(3, "", quorum),
});
const PROXY = (server: string, more = ""): string =>
  `defaults\n  mode tcp\n  timeout connect 3s\n  timeout client 1h\n  timeout server 1h\nlisten redis\n  bind *:6378\n${more}${server}`;
const ROLE = "  option tcp-check\n  tcp-check send info\\ replication\\r\\n\n  tcp-check expect string role:master\n";

test("a good set is not spoken of", () => {
  const proxy = PROXY("  server a 10.0.0.1:6379 check inter 1s\n  server b 10.0.0.2:6379 check inter 1s\n", ROLE);
  expect(shown(check({ "redis.conf": good(), "replica.conf": good("replicaof 10.0.0.1 6379\n"), ...three(), "haproxy.cfg": proxy }))).toBe(
    "",
  );
});

test("kinds are told by what stands in the file", () => {
  expect(kindOf("x", "port 1\nsentinel monitor a b 1 1\n")).toBe("sentinel");
  expect(kindOf("/etc/sentinel.conf", "port 1\n")).toBe("sentinel");
  expect(kindOf("x", "global\n  daemon\n")).toBe("proxy");
  expect(kindOf("x", "[Unit]\nDescription=x\n")).toBe("unit");
  expect(kindOf("x", "port 1\n")).toBe("server");
});

describe("each check of a file speaks", () => {
  const UNIT = "[Service]\nType=notify\nExecStart=/usr/bin/redis-server\n";
  test.each([
    ["a file that is not there", {}, "error missing.conf It cannot be read: No such file or directory."],
    ["a refused line", { "r.conf": good("prot 1\n") }, "error r.conf:5 Bad directive or wrong number of arguments: 'prot 1'."],
    ["a refused statement", { "s.conf": "sentinel monitr a b 1 1\n" }, "did you mean 'sentinel monitor"],
    ["a refused line of the proxy", { "h.cfg": PROXY("  serverr a 1:1\n") }, "error h.cfg parsing"],
    [
      "open to all",
      { "r.conf": "protected-mode no\nbind *\nsave 1 1\nmin-replicas-to-write 1\nmaxmemory 1gb\n" },
      "error r.conf:1 Everybody who reaches this machine",
    ],
    ["open, protected", { "r.conf": "bind *\nsave 1 1\n" }, "advice r.conf:1 It listens on all addresses and has no password"],
    ["no masterauth", { "r.conf": good("requirepass x\n") }, "cannot log in to the new master"],
    ["nothing on disk", { "r.conf": 'bind 127.0.0.1\nsave ""\n' }, "warning r.conf:2 Nothing is kept on disk"],
    ["no min-replicas", { "r.conf": "save 1 1\n" }, "advice r.conf A master that is cut off goes on accepting writes"],
    ["no maxmemory", { "r.conf": "save 1 1\n" }, "There is no limit to the memory"],
    ["appendfsync no", { "r.conf": good("appendonly yes\nappendfsync no\n") }, "half a minute of writes"],
    ["two masters", { "a.conf": good(), "b.conf": good("port 6380\n") }, "warning a.conf, b.conf 2 of these servers are masters"],
    ["no master", { "sentinel.conf": "port 26379\n" }, "No master is monitored"],
    ["a quorum that cannot win", three("", 4), "error sentinel1.conf:2 The quorum of shop is 4 and there are 3 Sentinels"],
    [
      "known Sentinels count",
      { "s.conf": GOOD_SENTINEL(1, `sentinel known-sentinel shop 10.0.0.2 26379 ${"a".repeat(40)}\n`, 3) },
      "The quorum of shop is 3 and there are 2 Sentinels",
    ],
    ["a quorum for others to come", { "s.conf": GOOD_SENTINEL(1) }, "one Sentinel is known so far"],
    ["one Sentinel", { "s.conf": GOOD_SENTINEL(1, "", 1) }, "warning s.conf:2 One Sentinel alone"],
    ["two Sentinels", { "s1.conf": GOOD_SENTINEL(1), "s2.conf": GOOD_SENTINEL(2) }, "Two Sentinels: with one gone there is no majority"],
    ["quorum 1", three("", 1), "advice sentinel1.conf:2 Quorum 1 of 3"],
    ["a name", { "s.conf": "sentinel monitor shop redis.example 6379 1\n" }, "redis.example is a name"],
    [
      "loopback",
      Object.fromEntries([1, 2, 3].map((n) => [`s${n}.conf`, "sentinel monitor shop 127.0.0.1 6379 2\n"])),
      "is monitored as 127.0.0.1",
    ],
    [
      "failover-timeout",
      { "s.conf": "sentinel monitor shop 10.0.0.1 6379 1\nsentinel failover-timeout shop 1000\n" },
      "failover-timeout 1000 is shorter",
    ],
    [
      "the same myid",
      {
        "s1.conf": GOOD_SENTINEL(1, `sentinel myid ${"b".repeat(40)}\n`),
        "s2.conf": GOOD_SENTINEL(2, `sentinel myid ${"b".repeat(40)}\n`),
      },
      "error s2.conf, s1.conf Two Sentinels have the same myid",
    ],
    [
      "a password missing",
      { "r.conf": good("requirepass x\nmasterauth x\n"), ...three() },
      "this Sentinel has none: it would call the master down",
    ],
    [
      "different quorums",
      { "s1.conf": GOOD_SENTINEL(1, "", 1), "s2.conf": GOOD_SENTINEL(2), "s3.conf": GOOD_SENTINEL(3) },
      "The quorum of shop differs: 1, 2",
    ],
    [
      "no role check",
      { "h.cfg": PROXY("  server a 1.1.1.1:6379 check\n  server b 1.1.1.2:6379 check\n") },
      "without asking which is the master",
    ],
    [
      "a server without check",
      { "h.cfg": PROXY("  server a 1.1.1.1:6379 check\n  server b 1.1.1.2:6379\n", ROLE) },
      "b: no 'check' on the server line",
    ],
    ["a slow check", { "h.cfg": PROXY("  server a 1.1.1.1:6379 check inter 20s\n", ROLE) }, "a is checked every 20000 ms only"],
    [
      "a short time-out",
      { "h.cfg": PROXY("  server a 1.1.1.1:6379 check\n", `  timeout server 6s\n${ROLE}`) },
      "timeout server 6000 ms ends connections",
    ],
    ["no JIT", { "x.service": `${UNIT}MemoryDenyWriteExecute=true\n` }, "error x.service:4 MemoryDenyWriteExecute=true"],
    ["no notify", { "x.service": UNIT.replace("notify", "simple") }, "Type is not notify"],
    ["few files", { "x.service": `${UNIT}LimitNOFILE=1024\n` }, "LimitNOFILE=1024 allows fewer"],
  ] as [string, Record<string, string>, string][])("%s", (_name, files, text) => {
    const findings = check(files);
    if (Object.keys(files).length === 0) readChecked(join(dir, "missing.conf"), findings);
    expect(shown(findings)).toContain(text);
    for (const f of findings) expect(f.mend).not.toBe("");
  });

  test("secrets that everybody may read", () => {
    const text = good("requirepass secret\nmasterauth secret\n");
    expect(shown(check({ "r.conf": text }, undefined, 0o644))).toContain("warning r.conf:5 A password stands in a file that everybody");
    expect(shown(check({ "r.conf": text }, undefined, 0o640))).not.toContain("everybody");
    expect(shown(check({ "r.conf": good("# requirepass secret\n") }, undefined, 0o644))).not.toContain("everybody");
    for (const line of ["sentinel auth-pass shop x", "sentinel sentinel-pass x"])
      expect(shown(check({ "s.conf": GOOD_SENTINEL(1, `${line}\n`) }, undefined, 0o644))).toContain("everybody");
  });

  test("down-after below the pauses seen", () => {
    const seen = { pauseMs: 3000, pauseOf: "in LATENCY" };
    const text = shown(check(three(), seen));
    expect(text).toContain("warning sentinel1.conf:3 down-after-milliseconds shop 5000: pauses of 3000 ms were seen (in LATENCY)");
    expect(text).toContain("-> sentinel down-after-milliseconds shop 12000");
    expect(shown(check(three(), { pauseMs: 100, pauseOf: "" }))).toBe("");
  });
});

const GOOD_MACHINE: MachineFacts = {
  overcommit: 1,
  hugePages: "madvise",
  openFiles: 65535,
  somaxconn: 4096,
  swappiness: 10,
  denied: null,
  clockSource: "tsc",
  clockSynchronised: true,
  nowMs: Date.UTC(2026, 10, 29),
  hostName: "db1",
  hostAddresses: ["10.0.0.1"],
  holders: new Map([[6379, { pid: 1, command: "redisha *:6379", directory: "/" }]]),
  pauseMs: 1,
  memoryBytes: 1e10,
};

describe("each check of the machine speaks", () => {
  test.each([
    [{}, ""],
    [{ overcommit: 0 }, "advice vm.overcommit_memory = 0"],
    [{ overcommit: 2 }, "warning vm.overcommit_memory = 2"],
    [{ hugePages: "always" }, "warning /sys/kernel/mm/transparent_hugepage/enabled = always"],
    [{ openFiles: 1024 }, "warning open files: 1024 maxclients is lowered to 992."],
    [{ somaxconn: 128 }, "advice net.core.somaxconn = 128"],
    [{ swappiness: 100 }, "advice vm.swappiness = 100"],
    [{ denied: "bun:ffi requires the JIT" }, "error MemoryDenyWriteExecute Code may not be compiled"],
    [{ clockSource: "xen" }, "warning clock source xen"],
    [{ clockSynchronised: false }, "warning clock Nothing keeps this machine's clock"],
    [{ nowMs: 0 }, "error clock It says 1970"],
    [{ hostAddresses: null }, "warning host name db1 It resolves to no address"],
    [{ hostAddresses: ["127.0.1.1"] }, "advice host name db1 It resolves to 127.0.1.1"],
    [{ holders: new Map([[6379, { pid: 7, command: "nginx", directory: "/" }]]) }, "warning port 6379 It is taken by pid 7: nginx"],
    [{ pauseMs: 250 }, "warning scheduling A process that only watches the clock was kept from running for 250 ms"],
  ] as [Partial<MachineFacts>, string][])("%j", (more, text) => {
    const findings = judgeMachine({ ...GOOD_MACHINE, ...more });
    if (text === "") expect(findings).toEqual([]);
    else expect(shown(findings)).toContain(text);
  });
});

test("exit codes and lines", () => {
  const f = (level: Finding["level"]): Finding => ({ level, place: "p", text: "t", mend: "m" });
  expect([[], [f("advice")], [f("warning")], [f("warning"), f("error")]].map((x) => exitCode(x as Finding[]))).toEqual([0, 0, 1, 2]);
  expect(lines([f("advice"), f("error")])).toEqual([
    "ERROR    p",
    "         t",
    "         -> m",
    "",
    "ADVICE   p",
    "         t",
    "         -> m",
    "",
  ]);
});

test("the samples in conf/ have no errors", () => {
  const findings: Finding[] = [];
  const files = ["redis.conf", "sentinel.conf", "haproxy.cfg", "redis.service", "sentinel.service", "haproxy.service"].map((name) =>
    readChecked(join(root, "conf", name), findings),
  );
  findings.push(...checkFiles(files as CheckedFile[]));
  expect(findings.filter((f) => f.level === "error")).toEqual([]);
});

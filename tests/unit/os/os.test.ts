import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuUsage, secondsText } from "../../../lib/os/cpu.ts";
import { ffiProblem, fileLimit, releasePages, sendDatagram, setFileLimit } from "../../../lib/os/ffi.ts";
import { replaceFile, replaceFileSync } from "../../../lib/os/files.ts";
import { clockTicks, machine, pageBytes } from "../../../lib/os/machine.ts";
import { processMemory } from "../../../lib/os/memory.ts";
import { removePidFile, writePidFile } from "../../../lib/os/pidfile.ts";
import { syslogLine } from "../../../lib/os/syslog.ts";
import { setProcessName, setProcessTitle } from "../../../lib/os/title.ts";

let dir = "";
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), "redisha-os-"))));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("foreign calls work on this machine", () => {
  expect(ffiProblem()).toBeNull();
});

test("a file is replaced whole, with Redis' mode, and no temporary file stays", async () => {
  const path = join(dir, "a.conf");
  writeFileSync(path, "old", { mode: 0o600 });
  expect(await replaceFile(path, "new \xff\n")).toBeNull();
  expect(readFileSync(path, "latin1")).toBe("new \xff\n");
  expect(statSync(path).mode & 0o777).toBe(0o644 & ~process.umask());
  expect(replaceFileSync(path, "newer")).toBeNull();
  expect(readFileSync(path, "latin1")).toBe("newer");
  expect(readdirSync(dir)).toEqual(["a.conf"]);
});

test("failures are told in Redis' words, the old file stays, nothing is left behind", async () => {
  const path = join(dir, "none", "a.conf");
  const failed = await replaceFile(path, "x");
  expect(failed).toEqual({ log: "Could not create tmp config file (No such file or directory)", reason: "No such file or directory" });
  expect(replaceFileSync(path, "x")).toEqual(failed);
  const target = join(dir, "is-a-dir");
  mkdirSync(target);
  writeFileSync(join(target, "inside"), "");
  expect((await replaceFile(target, "x"))?.log).toStartWith("Could not rename tmp config file (");
  expect(replaceFileSync(target, "x")?.log).toStartWith("Could not rename tmp config file (");
  expect(readdirSync(dir).toSorted()).toEqual(["a.conf", "is-a-dir"]);
});

test("pages given back read as zeros, the bytes around them stay", () => {
  const page = pageBytes();
  const bytes = new Uint8Array(page * 64).fill(7);
  expect(releasePages(bytes, 10, page * 64 - 10, page)).toBe(true);
  expect([bytes[0], bytes[9], bytes[page * 32], bytes[page * 64 - 1]]).toEqual([7, 7, 0, 7]);
  expect(releasePages(bytes, 10, 20, page)).toBe(false);
});

test("the file limit can be read and lowered and raised again", () => {
  const before = fileLimit();
  expect(before!.soft).toBeGreaterThan(64);
  expect(setFileLimit({ soft: before!.soft - 1, hard: before!.hard })).toBe(true);
  expect(fileLimit()!.soft).toBe(before!.soft - 1);
  expect(setFileLimit(before!)).toBe(true);
});

test("the title that ps shows, longer and shorter than the real arguments", () => {
  const shown = (): string => readFileSync("/proc/self/cmdline", "latin1").split("\0")[0]!;
  for (const title of ["redis-server 127.0.0.1:6379", `long ${"x".repeat(3000)}`, "short"]) {
    expect(setProcessTitle(title)).toBe(true);
    expect(shown()).toBe(title);
  }
  expect(setProcessName("redis-server")).toBe(true);
  expect(readFileSync(`/proc/self/task/${process.pid}/comm`, "latin1")).toBe("redis-server\n");
  // Children still find their environment.
  expect(Bun.spawnSync(["sh", "-c", "echo $HOME"]).stdout.toString().trim()).toBe(process.env["HOME"] ?? "");
});

test("a pid file is removed only while it is ours", () => {
  const path = join(dir, "p.pid");
  expect(writePidFile(path)).toBeNull();
  expect(readFileSync(path, "latin1")).toBe(`${process.pid}\n`);
  writeFileSync(path, "1\n");
  removePidFile(path);
  expect(readFileSync(path, "latin1")).toBe("1\n");
  writePidFile(path);
  removePidFile(path);
  expect(readdirSync(dir)).not.toContain("p.pid");
  expect(writePidFile("/no/such/dir/p.pid")).toBe("Failed to write PID file: No such file or directory");
});

test("a datagram reaches a unix socket", async () => {
  const path = join(dir, "log.sock");
  const python = Bun.which("python3");
  if (python === null) {
    console.log("SKIPPED: no python3 to listen on a datagram socket");
    return;
  }
  const code = `import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("bound",flush=True); print(s.recv(100).decode("latin1"),flush=True)`;
  const listener = Bun.spawn([python, "-c", code, path], { stdout: "pipe" });
  const lines = listener.stdout.getReader();
  const decoder = new TextDecoder();
  let heard = "";
  const hear = async (line: string): Promise<void> => {
    while (!heard.includes(`${line}\n`)) heard += decoder.decode((await lines.read()).value, { stream: true });
  };
  await hear("bound");
  chmodSync(path, 0o600);
  expect(sendDatagram(path, Buffer.from("READY=1\xe9", "latin1"))).toBe(true);
  await hear("READY=1\u00e9");
  expect(sendDatagram(join(dir, "nobody"), Buffer.from("x"))).toBe(false);
});

test("syslog lines", () => {
  const when = new Date(2026, 10, 3, 4, 5, 6);
  expect(syslogLine(16, "notice", "redis", 42, when, "hi")).toBe("<133>Nov  3 04:05:06 redis[42]: hi");
});

test("machine, memory, cpu", () => {
  expect(pageBytes() % 4096).toBe(0);
  expect(clockTicks()).toBeGreaterThan(0);
  expect(machine().os).toMatch(/^Linux \S+ (x86_64|aarch64)$/);
  const { rss, virtual } = processMemory();
  expect(rss).toBeGreaterThan(10_000_000);
  expect(virtual).toBeGreaterThan(rss);
  const before = cpuUsage().children.userUs;
  Bun.spawnSync(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]);
  expect(cpuUsage().children.userUs).toBeGreaterThan(before);
  expect(secondsText(1_500_000)).toBe("1.500000");
  expect(secondsText(12)).toBe("0.000012");
});

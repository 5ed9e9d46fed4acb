import { expect, test } from "bun:test";
import { selectMode } from "../../lib/cli/mode.ts";
import { cleanEnvironment } from "../../lib/cli/self.ts";
import { haproxyVersion, redisVersion } from "../../lib/cli/version.ts";
import { ownHelp } from "../../lib/cli/help.ts";

test.each([
  ["redisha", [], "server", "redisha", []],
  ["./redisha", ["/etc/redis.conf", "--port", "1"], "server", "redisha", ["/etc/redis.conf", "--port", "1"]],
  ["redisha", ["--sentinel", "s.conf", "--port", "1"], "sentinel", "redisha", ["s.conf", "--sentinel", "--port", "1"]],
  ["redis-server", ["--sentinel", "s.conf"], "sentinel", "redis-server", ["--sentinel", "s.conf"]],
  ["redisha", ["s.conf", "--sentinel", "--pidfile", "p"], "sentinel", "redisha", ["s.conf", "--sentinel", "--pidfile", "p"]],
  ["/usr/bin/redis-server", ["s.conf", "--sentinel"], "sentinel", "redis-server", ["s.conf", "--sentinel"]],
  ["/usr/bin/redis-sentinel", ["s.conf"], "sentinel", "redis-server", ["s.conf"]],
  ["/usr/bin/redis-server", ["--proxy"], "server", "redis-server", ["--proxy"]],
  ["/usr/bin/redis-server", ["-v"], "version", "redis-server", ["-v"]],
  ["redis-sentinel", ["--help"], "help", "redis-server", ["--help"]],
  ["/usr/sbin/haproxy", ["-f", "a.cfg", "-D"], "proxy", "haproxy", ["-f", "a.cfg", "-D"]],
  ["haproxy", ["-vv"], "version", "haproxy", ["-vv"]],
  ["redisha", ["--proxy", "-f", "a.cfg"], "proxy", "redisha", ["-f", "a.cfg"]],
  ["redisha", ["--proxy", "-vv"], "version", "haproxy", ["-vv"]],
  ["redisha", ["--stack", "--replicas", "1"], "stack", "redisha", ["--replicas", "1"]],
  ["redisha", ["--check", "a", "b"], "check", "redisha", ["a", "b"]],
  ["redisha", ["--version"], "version", "redisha", ["--version"]],
  ["redisha", ["--port", "1", "--version"], "server", "redisha", ["--port", "1", "--version"]],
  ["/opt/redis-server-dir/redisha", ["-h"], "help", "redisha", ["-h"]],
] as [string, string[], string, string, string[]][])("%s %j", (argv0, args, mode, guise, rest) => {
  expect(selectMode(argv0, args)).toEqual({ mode, guise, argv0, args: rest } as never);
});

test("versions have the form that tools read", () => {
  expect(redisVersion()).toMatch(/^Redis server v=7\.2\.4 sha=[0-9a-f]{8}:0 malloc=libc bits=64 build=[0-9a-f]+$/);
  expect(haproxyVersion(false)).toMatch(/^HAProxy version 2\.6\.12\S* \d{4}\/\d\d\/\d\d - https:\/\/haproxy\.org\/\n/);
  expect(haproxyVersion(true)).toContain("\nFeature list : ");
});

test("help names every form", async () => {
  const help = await ownHelp();
  for (const word of ["--sentinel", "--proxy", "--stack", "--cli", "--status", "--check", "--doctor", "--version", "redis.conf"])
    expect(help).toContain(word);
});

test("a copy of the process does not inherit what would change Bun", () => {
  process.env["BUN_OPTIONS"] = "--smol";
  const env = cleanEnvironment({ X: "1" });
  delete process.env["BUN_OPTIONS"];
  expect([env["BUN_OPTIONS"], env["X"], env["PATH"]]).toEqual([undefined as never, "1", process.env["PATH"]!]);
});

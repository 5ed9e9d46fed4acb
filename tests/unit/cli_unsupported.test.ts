/** Files that ask for what this version does not do: no start where it would open a door or hide data, a warning elsewhere. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { refusal, tellShortfalls } from "../../lib/cli/unsupported.ts";
import { Config } from "../../lib/config/config.ts";
import { readRedisConf } from "../../lib/config/redis_conf.ts";
import { tempDir } from "../support/programs.ts";

let dir = "";
beforeAll(() => void (dir = tempDir()));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function read(text: string, sentinel = false): Config {
  const file = join(dir, "c.conf");
  writeFileSync(file, text);
  const config = new Config({ sentinel, chdir: () => undefined, cwd: () => dir });
  expect(readRedisConf(config, { file, stdin: null, options: null })).toBeNull();
  return config;
}

test.each([
  ["tls-port 6380", "tls-port 6380: "],
  ["aclfile /etc/redis/users.acl", "aclfile: "],
  ["user alice on >secret ~* +@all", "user alice: "],
  ["user default off", "user default: "],
  ["user default on >other ~* &* +@all", "user default: "],
  ["requirepass one\nuser default on nopass ~* &* +@all", "user default: "],
  ["requirepass one\nuser default on #0000000000000000000000000000000000000000000000000000000000000000 ~* &* +@all", "user default: "],
  ["user default on nopass ~cached:* &* +@all", "user default: "],
  ["cluster-enabled yes", "cluster-enabled yes: "],
  ["loadmodule /x.so", "Can't load module from /x.so"],
])("no start with: %s", (text, words) => {
  expect(refusal(read(text))).toStartWith(words);
});

test.each([
  "port 6380",
  "user default on nopass ~* &* +@all",
  "user default on nopass sanitize-payload ~* &* +@all",
  "requirepass one\nuser default on sanitize-payload #7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed ~* &* +@all",
  "requirepass one\nuser default on >one ~* &* +@all",
])("a start with: %s", (text) => {
  expect(refusal(read(text))).toBeNull();
  expect(refusal(read(text, true))).toBeNull();
});

test("appendonly warns, and refuses where there is data that it would hide", () => {
  const config = read("appendonly yes");
  const told: string[] = [];
  tellShortfalls(config, (text) => told.push(text));
  expect([refusal(config), told.length]).toEqual([null, 1]);
  const off = read("appendonly no");
  tellShortfalls(off, (text) => told.push(text));
  expect(told.length).toBe(1);
  const may = { loading: false, mayProtected: true };
  expect(off.set(["appendonly", "yes"], may)).toBeNull();
  expect(told.length).toBe(2);
  expect(off.set(["tls-port", "6380"], may)).toContain("this version of redisha does not speak TLS");
  expect(off.number("tls-port")).toBe(0);
  mkdirSync(join(dir, "appendonlydir"));
  const manifest = join(dir, "appendonlydir/appendonly.aof.manifest");
  writeFileSync(manifest, "");
  expect(refusal(config)).toContain(manifest);
  expect(refusal(read("appendonly no"))).toBeNull();
  rmSync(manifest);
  writeFileSync(join(dir, "appendonly.aof"), "");
  expect(refusal(config)).toContain("appendonly.aof");
});

/** Files that ask for what this version does not do: no start where it would open a door or hide data, a warning elsewhere. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { refusal } from "../../lib/cli/unsupported.ts";
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
  ["cluster-enabled yes", "cluster-enabled yes: "],
  ["loadmodule /x.so", "Can't load module from /x.so"],
])("no start with: %s", (text, words) => {
  expect(refusal(read(text))).toStartWith(words);
});

test.each(["port 6380", "user default on nopass ~* &* +@all", "aclfile /etc/redis/users.acl"])("a start with: %s", (text) => {
  expect(refusal(read(text))).toBeNull();
  expect(refusal(read(text, true))).toBeNull();
});

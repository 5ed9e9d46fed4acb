/** conf/haproxy.cfg is the manual: it loads without a word, shows true defaults and good examples, and HAProxy reads it too. */
import { expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HaproxyConfig } from "../../../lib/config/haproxy_model.ts";
import { readConfig } from "../../../lib/config/haproxy_read.ts";
import { hasHaproxy, originals, tempDir } from "../../support/programs.ts";

const lines = readFileSync(join(import.meta.dir, "../../../conf/haproxy.cfg"), "latin1").split("\n");
const DEFAULT = /^( +)#([a-z].*)$/;
const EXAMPLE = /^( +)# e\.g\. (.*)$/;
const read = (text: readonly string[]) => readConfig([{ name: "haproxy.cfg", text: text.join("\n") }]);

/** Without the places in the file, which differ by design. */
function plain(config: HaproxyConfig): unknown {
  const told = JSON.stringify([config.global, config.proxies], (key, value: unknown) => {
    if (key === "file" || key === "line") return undefined;
    if (value instanceof Set || value instanceof Map) return [...value].sort();
    return value;
  });
  return JSON.parse(told);
}

test("it loads without a finding, and as a proxy for a master", () => {
  const { config, findings } = read(lines);
  expect(findings).toEqual([]);
  expect(config.proxies.map((p) => [p.kind, p.name, p.servers.length])).toEqual([
    ["frontend", "redis", 0],
    ["backend", "master", 3],
  ]);
  expect(config.proxies[1]!.tcpCheck.some((r) => r.kind === "expect" && r.text === "role:master")).toBe(true);
});

test("lines that show a default show the real one", () => {
  const shown = lines.filter((l) => DEFAULT.test(l));
  expect(shown.length).toBeGreaterThan(8);
  const { config, findings } = read(lines.map((l) => l.replace(DEFAULT, "$1$2")));
  expect(findings).toEqual([]);
  const told = plain(config) as [object, { strict: boolean | null }[]];
  // Not set, the backend takes the global section's.
  for (const p of told[1]) p.strict ??= null;
  const own = plain(read(lines).config) as typeof told;
  expect(told[1][1]!.strict).toBe(false);
  told[1][1]!.strict = null;
  expect(told).toEqual(own);
});

test("every example is taken where it stands, and changes something", () => {
  const before = JSON.stringify(plain(read(lines).config));
  let examples = 0;
  for (const [i, line] of lines.entries()) {
    if (!EXAMPLE.test(line)) continue;
    examples++;
    const { config, findings } = read(lines.with(i, line.replace(EXAMPLE, "$1$2")));
    expect([line, findings]).toEqual([line, []]);
    expect([line, JSON.stringify(plain(config)) === before]).toEqual([line, false]);
  }
  expect(examples).toBeGreaterThan(20);
});

test.skipIf(!hasHaproxy)("HAProxy takes it, too", () => {
  const dir = tempDir();
  const file = join(dir, "haproxy.cfg");
  writeFileSync(file, lines.filter((l) => !/^ *#?(sentinel|redis-|strict-haproxy)/.test(l)).join("\n"));
  const p = Bun.spawnSync([originals.haproxy, "-c", "-f", file], { stdout: "pipe", stderr: "pipe" });
  rmSync(dir, { recursive: true });
  expect([p.exitCode, p.stderr.toString()]).toEqual([0, ""]);
});

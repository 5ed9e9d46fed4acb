/** conf/redis.conf is the manual: it must load, name every directive and every alias, and show true defaults. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { splitArgs } from "../../../lib/bytes/args.ts";
import { Config } from "../../../lib/config/config.ts";
import { FILE_ONLY, ROWS } from "../../../lib/config/redis_rows.ts";
import { readRedisConf } from "../../../lib/config/redis_conf.ts";
import { IMMUTABLE, PROTECTED } from "../../../lib/config/row.ts";

const path = join(import.meta.dir, "../../../conf/redis.conf");
const text = readFileSync(path, "latin1");
const shown = text
  .split("\n")
  .filter((line) => /^#[a-z]/.test(line))
  .map((line) => line.slice(1));
const examples = [...text.matchAll(/^# e\.g\. ([a-z_-]+ .*)$/gm)].map((m) => m[1]!);
const active = text.split("\n").filter((line) => /^[a-z]/.test(line));

test("it loads as it is", () => {
  const config = new Config({ chdir: () => undefined });
  expect(readRedisConf(config, { file: path, stdin: null, options: null })).toBeNull();
  expect(config.special("bind")).toEqual(["127.0.0.1", "-::1"]);
});

test("lines that show a default show the real one", () => {
  const wrong: string[] = [];
  const config = new Config();
  for (const line of shown) {
    const words = splitArgs(line)!;
    const before = new Config().show(words[0]!);
    const error = config.readLine(words);
    if (error !== null) wrong.push(`${line}: ${error}`);
    else if (config.show(words[0]!) !== before) wrong.push(`${line}: the default is ${before}`);
  }
  expect(wrong).toEqual([]);
});

test("examples are taken", () => {
  const wrong: string[] = [];
  for (const line of examples) {
    const words = splitArgs(line)!;
    if ((FILE_ONLY as readonly string[]).includes(words[0]!)) continue;
    const error = new Config().readLine(words);
    if (error !== null) wrong.push(`${line}: ${error}`);
  }
  expect(wrong).toEqual([]);
});

test("every directive has its line, every alias is named, nothing else is", () => {
  const named = new Set([...shown, ...examples, ...active].map((line) => splitArgs(line)![0]!));
  const missing = ROWS.map((row) => row.name as string).filter((name) => !named.has(name));
  expect(missing).toEqual([]);
  const aliases = ROWS.flatMap((row) => [...row.aliases] as string[]);
  expect(aliases.filter((alias) => !new RegExp(`\\b${alias}\\b`).test(text))).toEqual([]);
  const known = new Set<string>([...ROWS.map((row) => row.name), ...FILE_ONLY]);
  expect([...named].filter((name) => !known.has(name))).toEqual([]);
});

test("[start] and [protected] stand where they belong", () => {
  // A paragraph is prose and the lines below it; its mark is for all of its lines unless the prose names the one it means.
  const wrong: string[] = [];
  for (const paragraph of text.split(/\n\n+/)) {
    const lines = paragraph.split("\n");
    const prose = lines.filter((l) => l.startsWith("# ") && !l.startsWith("# e.g. ")).join(" ");
    for (const line of lines) {
      const name = /^(?:#|# e\.g\. |)([a-z_-]+) /.exec(line)?.[1];
      const row = ROWS.find((r) => r.name === name);
      if (row === undefined || /^# (?!e\.g\. )/.test(line)) continue;
      const marked = (mark: string): boolean => {
        if (!prose.includes(mark)) return false;
        const only = new RegExp(`([a-z_-]+) is \\${mark}`).exec(prose)?.[1];
        return only === undefined || only === name;
      };
      if (marked("[start]") !== ((row.flags & IMMUTABLE) !== 0)) wrong.push(`${name}: [start]`);
      if (marked("[protected]") !== ((row.flags & PROTECTED) !== 0)) wrong.push(`${name}: [protected]`);
    }
  }
  expect(wrong).toEqual([]);
});

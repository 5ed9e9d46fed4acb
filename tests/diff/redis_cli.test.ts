/**
 * redis-cli and `redisha --cli` side by side: the same command lines, each against an original server of its own, equal standard output,
 * standard error and exit code.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLI_LINES } from "../support/cli_lines.ts";
import { hasRedis, originals, redisha, startServer, tempDir, type Program } from "../support/programs.ts";

/** Words of a shell line: '...' and "..." with \ inside the latter. */
function shellWords(line: string): string[] {
  const words: string[] = [];
  for (const m of line.matchAll(/(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"']+))+/g)) {
    const text = m[0].replace(/"((?:[^"\\]|\\.)*)"|'([^']*)'/g, (_all, double?: string, single?: string) =>
      double !== undefined ? double.replace(/\\(["\\])/g, "$1") : (single ?? ""),
    );
    words.push(text);
  }
  return words;
}

const PIPE = Array.from({ length: 500 }, (_, i) => `*3\r\n$3\r\nSET\r\n$5\r\np${String(i).padStart(4, "0")}\r\n$1\r\nx\r\n`).join("");

interface Seen {
  out: string;
  err: string;
  code: number | null;
}

describe.skipIf(!hasRedis)("redis-cli and ours", () => {
  let servers: [Program, Program];
  const dir = tempDir();
  const ours = join(dir, "redis-cli");
  const script = join(dir, "script.lua");

  beforeAll(async () => {
    servers = [await startServer("redis"), await startServer("redis")];
    symlinkSync(redisha, ours);
    writeFileSync(script, "return {KEYS, ARGV}");
  });
  afterAll(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]();
  });

  async function run(program: string, server: Program, line: string): Promise<Seen> {
    const cut = line.indexOf("<<");
    const input = cut < 0 ? "" : line.slice(cut + 2).trim();
    const stdin = input === "PIPE" ? PIPE : input.replaceAll("\\n", "\n").replaceAll("\\r", "\r");
    const words = shellWords(cut < 0 ? line : line.slice(0, cut)).map((word) =>
      word.replace("PORT", String(server.port)).replace("SCRIPT", script),
    );
    const place = words.includes("-p") || words.includes("-u") || words.includes("-s") ? [] : ["-p", String(server.port)];
    const p = Bun.spawn([program, ...place, ...words], {
      stdin: Buffer.from(stdin),
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, HOME: dir, LC_ALL: "C.UTF-8" },
    });
    const [out, err] = await Promise.all([new Response(p.stdout).bytes(), new Response(p.stderr).bytes()]);
    return { out: Buffer.from(out).toString("latin1"), err: Buffer.from(err).toString("latin1"), code: await p.exited };
  }

  test(`${CLI_LINES.length} command lines give the same`, async () => {
    expect(CLI_LINES.length).toBeGreaterThanOrEqual(200);
    const different: string[] = [];
    // Each server has its own order of keys: what shows it runs both clients against the same one.
    const walks = /--(scan|bigkeys|memkeys|hotkeys)/;
    const mask = (seen: Seen, server: Program): Seen => {
      // The one name that differs by intention: whose version is printed.
      const plain = (text: string): string =>
        text.replaceAll(String(server.port), "PORT").replace(/redis-cli \d+\.\d+\.\d+/g, "redis-cli V");
      return { out: plain(seen.out), err: plain(seen.err), code: seen.code };
    };
    for (const line of CLI_LINES) {
      const second = servers[walks.test(line) ? 0 : 1];
      const [theirs, our] = await Promise.all([run(originals.cli, servers[0], line), run(ours, second, line)]);
      const [a, b] = [mask(theirs, servers[0]), mask(our, second)];
      // The original lists the types in the order of a hash table with a seed of its own.
      if (line.includes("keys")) for (const seen of [a, b]) seen.out = seen.out.split("\n").sort().join("\n");
      if (!Bun.deepEquals(a, b)) different.push(`${line}\n  redis-cli: ${JSON.stringify(a)}\n  ours:      ${JSON.stringify(b)}`);
    }
    expect(different.join("\n")).toBe("");
  }, 300_000);
});

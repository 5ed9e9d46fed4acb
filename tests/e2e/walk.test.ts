/**
 * docs/walk.md, walked: its commands in one shell, in their order, on free ports, and what they print compared with what stands there.
 * Numbers that are no ports, and times, may differ. REWRITE=1 records the page anew.
 */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, redisha, root, tempDir } from "../support/programs.ts";

const page = join(root, "docs/walk.md");
const PORTS = ["6378", "6379", "6380", "26379", "26380", "26381"];

interface Step {
  /** Lines as they stand in the page, prompts included. */
  shown: string[];
  command: string;
  output: string[];
}

/** The page as texts and, between them, lists of steps. */
function parse(text: string): (string | Step[])[] {
  return text.split(/(```console\n[^]*?```)/).map((piece) => {
    if (!piece.startsWith("```console\n")) return piece;
    const steps: Step[] = [];
    for (const line of piece.split("\n").slice(1, -1)) {
      const last = steps.at(-1);
      if (line.startsWith("$ ")) steps.push({ shown: [line], command: line.slice(2), output: [] });
      else if (line.startsWith("> ") && last !== undefined && last.output.length === 0) {
        last.shown.push(line);
        last.command += `\n${line.slice(2)}`;
      } else last?.output.push(line);
    }
    return steps;
  });
}

const masked = (lines: readonly string[]): string[] =>
  lines.map((line) => line.replace(/\d[\d.:,]*\d|\d/g, (n) => (PORTS.some((p) => n === p || n.endsWith(`:${p}`)) ? n : "N")));

test("every command of the walk prints what the page says", async () => {
  const dir = tempDir();
  const bin = join(dir, "bin");
  const work = join(dir, "work");
  for (const d of [bin, work]) mkdirSync(d);
  symlinkSync(redisha, join(bin, "redisha"));
  // In the page's order: what is sorted by address stays as it stands there.
  const free = PORTS.map(() => String(freePort())).sort();
  const ports = new Map(PORTS.map((p, i) => [p, free[i]!]));
  const swap = (text: string, pairs: Iterable<[string, string]>): string => {
    const to = new Map(pairs);
    return text.replace(new RegExp(`\\b(${[...to.keys()].join("|")})\\b`, "g"), (p) => to.get(p)!);
  };
  const pieces = parse(readFileSync(page, "utf8"));
  const steps = pieces.filter((p): p is Step[] => typeof p !== "string").flat();
  expect(steps.length).toBeGreaterThan(25);
  const script = steps.map((s, i) => `echo "@@@ ${i}"\n${swap(s.command, ports)}\n`).join("");
  const file = join(dir, "walk.sh");
  writeFileSync(file, `export PATH=${bin}:$PATH\ncd ${work}\n${script}echo "@@@ end"\n`);
  try {
    const p = Bun.spawn(["timeout", "200", "bash", file], {
      stdin: "ignore",
      stdout: Bun.file(join(dir, "out")),
      stderr: Bun.file(join(dir, "err")),
    });
    await p.exited;
    const out = swap(
      readFileSync(join(dir, "out"), "utf8"),
      [...ports].map(([a, b]) => [b, a] as [string, string]),
    );
    const err = readFileSync(join(dir, "err"), "utf8");
    const printed = out.split(/^@@@ (?:\d+|end)\n/m).slice(1);
    expect([printed.length, err]).toEqual([steps.length + 1, ""]);
    const got = steps.map((_s, i) => printed[i].split("\n").slice(0, -1));
    if (process.env["REWRITE"] !== undefined) {
      steps.forEach((s, i) => void (s.output = got[i]));
      const text = pieces.map((piece) =>
        typeof piece === "string" ? piece : `\`\`\`console\n${piece.flatMap((s) => [...s.shown, ...s.output]).join("\n")}\n\`\`\``,
      );
      writeFileSync(page, text.join(""));
    }
    steps.forEach((s, i) => expect([s.command, masked(got[i])]).toEqual([s.command, masked(s.output)]));
  } finally {
    for (const name of existsSync(work) ? readdirSync(work) : [])
      if (name.endsWith(".pid"))
        try {
          process.kill(Number(readFileSync(join(work, name), "utf8")), "SIGKILL");
        } catch {
          // it has ended
        }
    rmSync(dir, { recursive: true, force: true });
  }
}, 240_000);

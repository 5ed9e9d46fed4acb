/**
 * `redisha --check FILE...`: configuration files of all kinds, each and together. `redisha --doctor`: this machine, the files where
 * Debian has them, and the set that runs here. Cold.
 *
 *   files.ts (readers of the modes) -> config_checks.ts    machine.ts    ../status (the running set)
 *
 * Exit code: 0 nothing or advice alone, 1 warnings, 2 errors.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gather } from "../status/gather.ts";
import { judge } from "../status/judge.ts";
import { checkFiles, type Seen } from "./config_checks.ts";
import { readChecked, type CheckedFile } from "./files.ts";
import { exitCode, lines, sorted, type Finding } from "./finding.ts";
import { judgeMachine, longestPause, machineFacts } from "./machine.ts";

const USAGE = {
  check: `usage: redisha --check [--json] FILE ...

  Examines redis.conf, sentinel.conf, haproxy.cfg and systemd units: what a start would refuse, and what would start and go wrong later.
  Give all files of a set together: some faults show only then. Exit code: 0 good, 1 warnings, 2 errors.`,
  doctor: `usage: redisha --doctor [--json] [FILE ...]

  Examines this machine, the files given (else those under /etc/redis and /etc/haproxy), the units, and the set that runs here.
  Exit code: 0 good, 1 warnings, 2 errors.`,
};

const CHECK_WATCH_MS = 200;

/** The files where Debian's packages have them. */
function usualFiles(): string[] {
  const found: string[] = [];
  for (const dir of ["/etc/redis", "/etc/redis/sentinel.d", "/etc/haproxy"])
    if (existsSync(dir)) for (const name of readdirSync(dir).sort()) if (/\.(conf|cfg)$/.test(name)) found.push(join(dir, name));
  for (const dir of ["/etc/systemd/system", "/lib/systemd/system"])
    if (existsSync(dir))
      for (const name of readdirSync(dir).sort()) if (/^(redis|haproxy).*\.service$/.test(name)) found.push(join(dir, name));
  return found;
}

export async function runCheck(mode: "check" | "doctor", args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(USAGE[mode]);
    return 0;
  }
  const json = args.includes("--json");
  const given = args.filter((a) => a !== "--json");
  const wrong = given.find((a) => a.startsWith("--"));
  if (wrong !== undefined || (mode === "check" && given.length === 0)) {
    console.error(
      `${wrong === undefined ? "redisha --check wants files" : `redisha --${mode}: unknown option '${wrong}'`}\n${USAGE[mode]}`,
    );
    return 2;
  }
  const findings: Finding[] = [];
  let seen: Seen = { pauseMs: longestPause(CHECK_WATCH_MS), pauseOf: "on this machine, just now" };
  if (mode === "doctor") {
    const machine = await machineFacts();
    findings.push(...judgeMachine(machine));
    seen = { pauseMs: Math.max(seen.pauseMs, machine.pauseMs), pauseOf: seen.pauseOf };
    findings.push(...(await runningSet()));
  }
  const paths = given.length > 0 || mode === "check" ? given : usualFiles();
  const files: CheckedFile[] = [];
  for (const path of paths) {
    const file = readChecked(path, findings);
    if (file !== null) files.push(file);
  }
  findings.push(...checkFiles(files, seen));
  report(mode, json, findings, files);
  return exitCode(findings);
}

/** What --status finds wrong with the set on this machine's usual ports. */
async function runningSet(): Promise<Finding[]> {
  const password = process.env["REDISCLI_AUTH"] ?? null;
  const ports = [26379, 6379, 6378].map((port) => ({ host: "127.0.0.1", port }));
  const facts = await gather(ports, [], { user: null, password, sentinelPassword: null, tls: null, timeoutMs: 2000 }, true);
  if (facts.servers.length + facts.sentinels.length === 0) return [];
  const { groups, findings } = judge(facts);
  return [...groups.flatMap((g) => g.findings), ...findings].map((f) => ({
    level: f.level === "bad" ? "error" : "advice",
    place: "the running set",
    text: f.text,
    mend: "redisha --status shows all of it.",
  }));
}

function report(mode: string, json: boolean, findings: readonly Finding[], files: readonly CheckedFile[]): void {
  if (json) {
    console.log(JSON.stringify({ files: files.map((f) => ({ path: f.path, kind: f.kind })), findings: sorted(findings) }));
    return;
  }
  for (const line of lines(findings)) console.log(line);
  const seen = files.map((f) => `${f.path} (${f.kind})`).join(", ");
  const looked = mode === "doctor" ? `this machine${seen === "" ? "" : `, ${seen}`}` : seen;
  const count = (level: Finding["level"]): number => findings.filter((f) => f.level === level).length;
  console.log(`Examined: ${looked}. ${count("error")} errors, ${count("warning")} warnings, ${count("advice")} pieces of advice.`);
}

/**
 * `redisha --stack`: a master, replicas, Sentinels and a proxy on this machine, each its own process of the same file; shows who is what and
 * keeps showing it while parts are killed. Cold.
 *
 *   plan.ts (parts, files) -> ports.ts (free?) -> stack.ts (processes), which asks them all with look.ts -> view.ts (the picture)
 *
 * On a terminal the picture is drawn over itself, the last changes below it, and `r` starts again what is down; elsewhere each change is a
 * line. Files stay in the folder, so that the next start goes on where this one stopped. Leaves out restarting by itself: killing parts is
 * what it is for.
 */
import { mkdirSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { onSignal } from "../os/signals.ts";
import { optionsOf, planStack, readStackOptions, STACK_USAGE, strangers, type Part, type PartKind, type StackOptions } from "./plan.ts";
import { portProblems } from "./ports.ts";
import { Stack } from "./stack.ts";
import { Changes, drawStack, type PartState } from "./view.ts";

const DRAW_MS = 200;
/** So long the start waits for replicas to be in sync and Sentinels to know each other; then the picture tells. */
const SETTLE_MS = 20_000;
/** How many of the last changes stand below the picture. */
const HISTORY = 8;

/** Runs until Ctrl-C or SIGTERM; returns the exit code. */
export async function runStack(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(STACK_USAGE);
    return 0;
  }
  const options = readStackOptions(args, (port) => join(tmpdir(), `redisha-stack-${port}`));
  if (typeof options === "string") return complain([options]);
  options.dir = resolve(options.dir);
  const parts = planStack(options);
  const problems = folderProblems(options, parts);
  if (problems.length === 0) {
    const moved = (basePort: number): number[] => planStack({ ...options, basePort }).map((p) => p.port);
    problems.push(...portProblems(parts, options.dir, options.basePort, moved));
  }
  if (problems.length > 0) return complain(problems);
  const stack = new Stack(parts);
  let end: () => void = () => {};
  const ended = new Promise<void>((r) => (end = r));
  // The second time it means: at once.
  const stop = (): void => (stack.stopping ? void stack.stop() : end());
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) onSignal(signal, stop);
  // Nobody reads any more (`| head`): as good as Ctrl-C.
  process.stdout.on("error", stop);
  const keys = process.stdin.isTTY === true && process.stdout.isTTY === true;
  if (keys) watchKeys(stack, stop);
  let code = 0;
  try {
    const failed = await Promise.race([startAll(stack, options), ended.then(() => null)]);
    if (failed !== null) code = complain(failed);
    else if (!stack.stopping) await Promise.race([show(stack, keys), ended]);
  } finally {
    process.stdout.write("\nstopping: proxy, Sentinels, servers ...");
    await stack.stop();
    console.log(` done. Everything is kept in ${options.dir}`);
    if (keys) process.stdin.setRawMode(false);
  }
  return code;
}

function complain(lines: readonly string[]): number {
  console.error(`redisha --stack: ${lines.join("\n  ")}`);
  return 1;
}

/** The folder must be ours to write in, and of a set of this shape. */
function folderProblems(options: StackOptions, parts: readonly Part[]): string[] {
  const { dir } = options;
  try {
    mkdirSync(dir, { recursive: true });
  } catch (error) {
    return [`cannot make ${dir}: ${(error as Error).message}`, "Another folder: --dir DIR"];
  }
  const names = readdirSync(dir);
  const others = strangers(names, parts);
  if (others.length === 0) return [];
  return [
    `${dir} holds another set: ${others.join(", ")}`,
    `Start that one (${optionsOf(names)}), or this one in another folder (--dir DIR), or afresh (rm -r ${dir})`,
  ];
}

/** `r` starts what is down, Ctrl-C ends: a terminal in raw mode sends it as a byte. */
function watchKeys(stack: Stack, stop: () => void): void {
  process.stdin.setRawMode(true);
  process.stdin.on("data", (bytes: Buffer) => {
    for (const b of bytes) {
      if (b === 0x72) stack.startDead();
      if (b === 0x03) stop();
    }
  });
}

const isMaster = (s: PartState): boolean => s.facts["role"] === "master";
const inSync = (s: PartState): boolean => isMaster(s) || s.facts["master_link_status"] === "up";

/** Starts everything kind by kind, telling how it goes; null, or what is wrong with a part that did not come up. */
async function startAll(stack: Stack, options: StackOptions): Promise<string[] | null> {
  console.log(`redisha stack in ${options.dir}`);
  const { replicas, sentinels } = options;
  const knowsAll = ({ facts }: PartState): boolean =>
    Number(facts["num-other-sentinels"]) >= sentinels - 1 && Number(facts["num-slaves"]) >= replicas;
  const settled = (kind: PartKind): boolean => {
    const states = stack.of(kind);
    if (kind === "server") return states.every(inSync) && states.some(isMaster);
    return states.every((s) => (kind === "sentinel" ? knowsAll(s) : s.facts["tcp_port"] !== undefined));
  };
  const order: [PartKind, string, string][] = [
    ["server", "servers", "in sync"],
    ["sentinel", "Sentinels", "know the set"],
    ["proxy", "proxy", "leads to the master"],
  ];
  for (const [kind, name, what] of order) {
    const failed = await startKind(stack, kind, name, what, () => settled(kind));
    if (failed !== null || stack.stopping) return failed;
  }
  return null;
}

async function startKind(stack: Stack, kind: PartKind, name: string, what: string, settled: () => boolean): Promise<string[] | null> {
  const states = stack.of(kind);
  const started = performance.now();
  process.stdout.write(`  ${name.padEnd(10)} ${states.map((s) => s.part.port).join(" ")} `);
  for (const s of states) {
    try {
      stack.start(s);
    } catch (error) {
      return ["", `${s.part.name} could not be started: ${(error as Error).message}`];
    }
  }
  let told = started;
  for (;;) {
    if (stack.stopping) return null;
    const dead = states.find((s) => s.life !== "running");
    if (dead !== undefined) return obituary(stack, dead);
    const answering = states.every((s) => Object.keys(s.facts).length > 0 && s.facts["loading"] !== "1");
    if (answering && settled()) break;
    const now = performance.now();
    // Loading takes as long as it takes; for the rest the picture will tell.
    if (answering && now - started > SETTLE_MS) {
      console.log(`answer, but do not all ${what} yet`);
      return null;
    }
    if (now - told > 1000) {
      told = now;
      process.stdout.write(".");
    }
    await Bun.sleep(20);
  }
  console.log(`${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  return null;
}

/** Why a part ended while the set was being started, and what may be done about it. */
function obituary(stack: Stack, state: PartState): string[] {
  const { part, life } = state;
  console.log("");
  return [
    `${part.name} ${life}. The last lines of ${part.log}:`,
    ...stack.lastWords(state).map((l) => `  ${l}`),
    `Its settings are in ${part.file}, its data in ${part.folder}; what an earlier run left broken there can be mended, or removed to start afresh.`,
  ];
}

function help(stack: Stack, keys: boolean): string[] {
  const port = stack.of("proxy")[0]!.part.port;
  return [
    "",
    `  ${`redis-cli -p ${port}`.padEnd(18)}  any client, through the proxy: it leads to the master, whoever that is`,
    "  kill -9 PID         try it: kill any part and watch",
    ...(keys ? ["  r                   starts again what is down"] : []),
    "  Ctrl-C              stops all",
    "",
  ];
}

const timeOfDay = (): string => {
  const now = new Date();
  return `${now.toTimeString().slice(0, 8)}.${String(now.getMilliseconds()).padStart(3, "0")}`;
};

/** Draws the picture whenever it changes, until the set is stopped. */
async function show(stack: Stack, terminal: boolean): Promise<void> {
  for (const line of help(stack, terminal)) console.log(line);
  const changes = new Changes(stack.states);
  const history: string[] = [];
  let height = 0;
  let before = "";
  if (!terminal) for (const line of drawStack(stack.states)) console.log(line);
  while (!stack.stopping) {
    const time = timeOfDay();
    const news = changes.since(stack.states).map((l) => `${time} ${l}`);
    if (terminal) {
      const columns = process.stdout.columns ?? 80;
      history.push(...news);
      history.splice(0, history.length - HISTORY);
      const lines = [...drawStack(stack.states, columns), "", ...history.map((l) => `  ${l}`.slice(0, columns - 1))];
      const text = lines.map((l) => `\x1b[2K${l}\n`).join("");
      if (text !== before) process.stdout.write((height > 0 ? `\x1b[${height}A` : "") + text);
      before = text;
      height = lines.length;
    } else for (const line of news) console.log(line);
    await Bun.sleep(DRAW_MS);
  }
}

/**
 * `redisha --stack`: a master, replicas, Sentinels and a proxy on this machine, each its own process of the same file; shows who is what and
 * keeps showing it while parts are killed. Cold.
 *
 *   plan.ts (parts, files) -> here: start, look once a second, stop all at Ctrl-C -> view.ts (the picture)
 *
 * On a terminal the picture is drawn over itself and `r` starts again what is down; elsewhere each change is a line. Files stay in the
 * folder, so that the next start goes on where this one stopped. Leaves out restarting by itself: killing parts is what it is for.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Link } from "../link/link.ts";
import type { Reply } from "../resp/reply.ts";
import { planStack, readStackOptions, MASTER_NAME, type Part } from "./plan.ts";
import { drawStack, type PartState } from "./view.ts";

const LOOK_MS = 500;
const STOP_MS = 5000;

/** One command to a port; undefined when there is no answer in time. */
function ask(port: number, ...command: string[]): Promise<Reply | undefined> {
  return new Promise((done) => {
    const link = new Link({ hostname: "127.0.0.1", port, timeoutMs: 1000 });
    const timer = setTimeout(() => link.close(), 1000);
    link.send(command, (reply) => {
      clearTimeout(timer);
      link.close();
      done(reply);
    });
  });
}

function fields(text: Reply | undefined): Record<string, string> {
  const o: Record<string, string> = {};
  if (typeof text !== "string") return o;
  for (const line of text.split("\r\n")) {
    const i = line.indexOf(":");
    if (i > 0) o[line.slice(0, i)] = line.slice(i + 1);
  }
  return o;
}

async function look(part: Part): Promise<Record<string, string>> {
  if (part.kind === "server") return fields(await ask(part.port, "INFO", "replication"));
  if (part.kind === "sentinel") {
    const reply = await ask(part.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME);
    return Array.isArray(reply) ? { master: String(reply[1]) } : {};
  }
  const port = fields(await ask(part.port, "INFO", "server"))["tcp_port"];
  return port === undefined ? {} : { master: port };
}

class Stack {
  readonly states: PartState[];
  readonly executable: string;
  private readonly children: Map<Part, ReturnType<typeof Bun.spawn>>;
  stopping: boolean;

  constructor(parts: Part[], executable: string) {
    this.states = parts.map((part) => ({ part, pid: 0, life: "starting", facts: {} }));
    this.executable = executable;
    this.children = new Map();
    this.stopping = false;
  }

  /** Starts a part's process; its folder and file are made when they are missing. */
  start(state: PartState): void {
    const { part } = state;
    mkdirSync(part.file.replace(/\.[a-z]+$/, ""), { recursive: true });
    if (!existsSync(part.file)) writeFileSync(part.file, part.text);
    const child = Bun.spawn([this.executable, ...part.args], { stdin: "ignore", stdout: "ignore", stderr: "inherit", env: process.env });
    this.children.set(part, child);
    state.pid = child.pid;
    state.life = "running";
    void child.exited.then(() => {
      state.life = child.signalCode !== null ? `killed by ${child.signalCode}` : `ended with ${child.exitCode}`;
      state.facts = {};
    });
  }

  startDead(): void {
    for (const s of this.states) if (s.life !== "running") this.start(s);
  }

  async look(): Promise<void> {
    await Promise.all(
      this.states.map(async (s) => {
        const facts = s.life === "running" ? await look(s.part) : {};
        s.facts = facts;
      }),
    );
  }

  /** Proxy first, then Sentinels, then servers: nobody fails over because of us. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const s of [...this.states].reverse()) {
      const child = this.children.get(s.part);
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await child.exited;
      clearTimeout(timer);
    }
  }
}

/** Runs until Ctrl-C or SIGTERM; returns the exit code. `executable` is this file. */
export async function runStack(args: readonly string[], executable: string): Promise<number> {
  const options = readStackOptions(args, (port) => join(tmpdir(), `redisha-stack-${port}`));
  if (typeof options === "string") {
    console.error(`redisha --stack: ${options}`);
    return 1;
  }
  options.dir = resolve(options.dir);
  mkdirSync(options.dir, { recursive: true });
  const stack = new Stack(planStack(options), executable);
  const proxy = stack.states.at(-1)!.part;
  const terminal = process.stdout.isTTY === true;
  console.log(`redisha stack in ${options.dir}`);
  console.log(
    `  connect to the proxy: redis-cli -p ${proxy.port}      kill any part: kill -9 PID      stop all: Ctrl-C${terminal ? "      start the dead: r" : ""}`,
  );
  let done: () => void = () => {};
  const ended = new Promise<void>((r) => (done = r));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => done());
  for (const s of stack.states) stack.start(s);
  if (terminal) watchKeys(stack, () => done());
  void show(stack, terminal);
  await ended;
  console.log("stopping");
  await stack.stop();
  return 0;
}

function watchKeys(stack: Stack, end: () => void): void {
  process.stdin.setRawMode(true);
  process.stdin.on("data", (keys: Buffer) => {
    for (const k of keys) {
      if (k === 114) stack.startDead();
      if (k === 3) end();
    }
  });
}

/** Draws the picture whenever it changes. */
async function show(stack: Stack, terminal: boolean): Promise<void> {
  let before: string[] = [];
  while (!stack.stopping) {
    await stack.look();
    const now = drawStack(stack.states);
    if (terminal) {
      const up = before.length > 0 ? `\x1b[${before.length}A` : "";
      process.stdout.write(up + now.map((l) => `\x1b[2K${l}\n`).join(""));
    } else {
      // Offsets move all the time; elsewhere than on a terminal only other changes are told.
      const plain = (l: string): string => l.replace(/, offset \d+$/, "");
      for (const [i, line] of now.entries()) if (before[i] === undefined || plain(before[i]) !== plain(line)) console.log(plain(line));
    }
    before = now;
    await Bun.sleep(LOOK_MS);
  }
}

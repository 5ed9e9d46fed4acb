/** `--stack` on the compiled file: the set comes up, survives its master, tells of both, leaves nothing behind; starts that fail say why. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createClient } from "@redis/client";
import { appendFileSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { redisha, tempDir, until } from "../support/programs.ts";

let dir = "";
beforeAll(() => void (dir = tempDir("redisha stack.")));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A base whose ports are free: servers above it, the proxy below, Sentinels 20000 above, all outside the system's own range. */
function freeBase(): number {
  for (;;) {
    const base = 10500 + Math.floor(Math.random() * 210) * 10;
    const ports = [-1, 0, 1, 2, 20000, 20001, 20002].map((n) => base + n);
    try {
      const held = ports.map((port) => Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }));
      for (const l of held) l.stop(true);
      return base;
    } catch {
      // taken
    }
  }
}

class StackRun {
  readonly process: ReturnType<typeof Bun.spawn>;
  output: string;

  constructor(folder: string, ...args: string[]) {
    this.output = "";
    const child = Bun.spawn([redisha, "--stack", "--dir", folder, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    this.process = child;
    for (const stream of [child.stdout, child.stderr]) void this.read(stream);
  }

  private async read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of stream) this.output += Buffer.from(chunk).toString("utf8");
  }

  async says(text: string | RegExp, from = 0): Promise<void> {
    await until(`${text} in what --stack prints:\n${this.output}`, () => {
      const now = this.output.slice(from);
      return typeof text === "string" ? now.includes(text) : text.test(now);
    }).catch((error: Error) => {
      throw new Error(`${error.message}\n--- in the end:\n${this.output}`);
    });
  }

  /** The last line of the picture or of the changes that names the part with its process. */
  pid(port: number): number {
    return Number(new RegExp(`127\\.0\\.0\\.1:${port} +pid (\\d+)`).exec(this.output)![1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGINT");
    await this.process.exited;
  }
}

/** Processes that work in the folder or below it. */
function processesIn(folder: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(folder);
    } catch {
      return false;
    }
  });
}

test("a set comes up, goes on when its master is killed, and ends without a trace", async () => {
  const folder = join(dir, "set");
  const base = freeBase();
  await using stack = new StackRun(folder, `--base-port=${base}`);
  await stack.says(`master ${base}, 2 replicas in sync, 3 of 3 Sentinels name ${base}, the proxy leads to ${base}\n`);
  await stack.says(`\n  proxy     127.0.0.1:${base - 1} `);
  expect(stack.output).toContain(`redis-cli -p ${base - 1}`);
  expect(processesIn(folder)).toHaveLength(7);

  const client = createClient({ url: `redis://127.0.0.1:${base - 1}`, socket: { reconnectStrategy: 20 } });
  let cuts = 0;
  client.on("error", () => cuts++);
  await client.connect();
  let written = 0;
  let writing = true;
  const errors: string[] = [];
  const writer = (async () => {
    while (writing) {
      await client.incr("n").then(
        (n) => (written = n),
        (error: Error) => errors.push(error.message),
      );
      await Bun.sleep(5);
    }
  })();
  await until("the first writes", () => written > 10);
  const told = stack.output.length;
  process.kill(stack.pid(base), "SIGKILL");
  await stack.says(`server-${base}: killed by SIGKILL`, told);
  await stack.says(new RegExp(`master ${base + 1}|master ${base + 2}`), told);
  await stack.says(/master (\d+), 1 replica in sync, 3 of 3 Sentinels name \1, the proxy leads to \1\n/, told);
  const then = written;
  await until("writes through the proxy on the new master", () => written > then + 10);
  writing = false;
  await writer;
  // The connection is the same one all the time; of the request on its way nobody knows, and that is said.
  expect(cuts).toBe(0);
  expect(errors.filter((e) => !e.startsWith("UNKNOWNRESULT "))).toEqual([]);
  expect(errors.length).toBeLessThan(2);
  const master = Number(/.*master (\d+), 1 replica in sync/s.exec(stack.output)![1]);
  const direct = createClient({ url: `redis://127.0.0.1:${master}` });
  await direct.connect();
  expect(Number(await direct.get("n"))).toBe(written);
  direct.destroy();
  client.destroy();

  stack.process.kill("SIGINT");
  expect(await stack.process.exited).toBe(0);
  expect(stack.output).toContain(`Everything is kept in ${folder}`);
  expect(processesIn(folder)).toEqual([]);

  // The next start goes on with the data, the master of before, and brings the killed one back as a replica.
  await using again = new StackRun(folder, "--base-port", String(base));
  await again.says(new RegExp(`master ${master}, 2 replicas in sync, 3 of 3 Sentinels name ${master}, the proxy leads to ${master}\n`));
  const reader = createClient({ url: `redis://127.0.0.1:${base - 1}` });
  await reader.connect();
  expect(Number(await reader.get("n"))).toBe(written);
  reader.destroy();
  again.process.kill("SIGTERM");
  expect(await again.process.exited).toBe(0);
  expect(processesIn(folder)).toEqual([]);
}, 60000);

test("what an earlier run left broken, another set's folder, taken ports and wrong options are explained", async () => {
  const folder = join(dir, "broken");
  const base = freeBase();
  const options = ["--base-port", String(base), "--replicas", "0", "--sentinels", "1"];
  {
    await using first = new StackRun(folder, ...options);
    await first.says(`the proxy leads to ${base}\n`);
    const second = new StackRun(folder, ...options);
    expect(await second.process.exited).toBe(1);
    await second.says(`port ${base}, for server-${base}, is taken by pid ${first.pid(base)}: ${redisha}`);
    await second.says(`kill ${first.pid(base)} `);
    await second.says(/redisha --stack --base-port \d+\n/);
  }
  expect(processesIn(folder)).toEqual([]);

  const other = new StackRun(folder, "--base-port", String(base + 3), "--replicas", "0");
  expect(await other.process.exited).toBe(1);
  await other.says(`${folder} holds another set: proxy-${base - 1}.cfg, sentinel-${base + 20000}.conf, server-${base}.conf\n`);
  await other.says(`Start that one (--base-port ${base} --replicas 0 --sentinels 1)`);

  const conf = join(folder, `server-${base}.conf`);
  const before = readFileSync(conf);
  appendFileSync(conf, "maxmemory much\n");
  const slip = new StackRun(folder, ...options);
  expect(await slip.process.exited).toBe(1);
  await slip.says(`server-${base} ended with 1. The last lines of ${folder}/server-${base}.log:`);
  await slip.says("'maxmemory much'");
  await slip.says(`Its settings are in ${conf}`);

  writeFileSync(conf, before);
  const rdb = join(folder, `server-${base}/dump.rdb`);
  writeFileSync(rdb, "REDIS0010 this is no RDB file");
  const corrupt = new StackRun(folder, ...options);
  expect(await corrupt.process.exited).toBe(1);
  await corrupt.says(/offset \d+/);
  rmSync(rdb);
  {
    await using mended = new StackRun(folder, ...options);
    await mended.says(`the proxy leads to ${base}\n`);
  }

  for (const [args, text] of [
    [["--replicas", "many"], "--replicas wants a number from 0 to 20, not 'many'"],
    [["--base-port"], "--base-port wants a value"],
    [["--port", "1"], "unknown option '--port'"],
    [["--dir", "/proc/none"], "cannot make /proc/none"],
  ] as [string[], string][]) {
    const wrong = new StackRun(folder, ...args);
    expect(await wrong.process.exited).toBe(1);
    await wrong.says(`redisha --stack: ${text}`);
  }
  expect(processesIn(dir)).toEqual([]);
}, 60000);

test("on a terminal the picture is drawn over itself, r starts the dead again, Ctrl-C ends all", async () => {
  const folder = join(dir, "terminal");
  const base = freeBase();
  let screen = "";
  const child = Bun.spawn([redisha, "--stack", "--dir", folder, "--base-port", String(base), "--replicas", "0", "--sentinels", "1"], {
    terminal: { cols: 90, rows: 40, data: (_t, bytes) => void (screen += Buffer.from(bytes).toString("latin1")) },
  });
  try {
    const shows = (text: string): Promise<unknown> => until(`${text} on the terminal`, () => screen.includes(text));
    await shows(`the proxy leads to ${base}\r\n`);
    await shows(`127.0.0.1:${base - 1} `);
    const pid = Number(new RegExp(`127\\.0\\.0\\.1:${base - 1} +pid (\\d+)`).exec(screen)![1]);
    process.kill(pid, "SIGKILL");
    await shows(`proxy-${base - 1}: killed by SIGKILL`);
    screen = "";
    child.terminal!.write("r");
    await shows(`proxy-${base - 1}: leads to ${base}`);
    // Up over the picture, each line wiped: nothing is left of the one before.
    expect(screen).toMatch(/\x1b\[\d+A\x1b\[2K/);
    child.terminal!.write("\x03");
    expect(await child.exited).toBe(0);
    expect(processesIn(folder)).toEqual([]);
  } finally {
    child.kill("SIGKILL");
  }
}, 30000);

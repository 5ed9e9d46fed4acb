/**
 * `redisha --cli` at a terminal, driven through tmux: prompt, hints, completion, history, editing, Ctrl-C. And the modes that never end.
 * Skipped aloud without tmux.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, redisha, startSentinel, startServer, tempDir, until, type Program } from "../support/programs.ts";

const tmux = Bun.which("tmux");
if (tmux === null) console.warn("SKIPPING the terminal tests of redisha --cli: tmux is not installed");

let server: Program;
const dir = tempDir();
beforeAll(async () => {
  server = await startServer("redisha");
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** A program in a terminal of 80 by 24 that nobody looks at. */
class Terminal {
  private readonly socket: string;
  constructor(args: string[]) {
    this.socket = join(dir, `tmux.${freePort()}`);
    const env = `HOME=${dir} TERM=xterm`;
    this.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", `env ${env} ${args.map((a) => `'${a}'`).join(" ")}; cat`);
  }
  private tmux(...args: string[]): string {
    const p = Bun.spawnSync([tmux!, "-S", this.socket, ...args], { env: { ...process.env, TMUX: "" } });
    return p.stdout.toString();
  }
  type(...keys: string[]): void {
    this.tmux("send-keys", ...keys);
  }
  literal(text: string): void {
    this.tmux("send-keys", "-l", text);
  }
  screen(): string {
    return this.tmux("capture-pane", "-p")
      .split("\n")
      .map((line) => line.trimEnd())
      .join("\n")
      .trimEnd();
  }
  async shows(text: string): Promise<string> {
    try {
      return await until(`"${text}" on the terminal`, () => (this.screen().includes(text) ? this.screen() : ""), 60_000);
    } catch (error) {
      throw new Error(`${(error as Error).message}; it shows:\n${this.screen()}`);
    }
  }
  close(): void {
    this.tmux("kill-server");
  }
}

describe.skipIf(tmux === null)("at a terminal", () => {
  test("commands, hints, completion, history, editing", async () => {
    const t = new Terminal([redisha, "--cli", "-p", String(server.port)]);
    const prompt = `127.0.0.1:${server.port}`;
    try {
      await t.shows(`${prompt}>`);
      t.literal("set");
      await t.shows(`${prompt}> set key value [`);
      t.literal(" city");
      await t.shows(`${prompt}> set city value [`);
      t.literal(' "a b"');
      t.type("Enter");
      await t.shows("OK");
      t.literal("get city");
      t.type("Enter");
      await t.shows('"a b"');
      // TAB goes through the names that fit, and once more to what was typed.
      t.literal("zrangeb");
      t.type("Tab");
      await t.shows(`${prompt}> ZRANGEBYLEX`);
      t.type("Tab");
      await t.shows(`${prompt}> ZRANGEBYSCORE`);
      t.type("C-u");
      // Two back in the history, then a letter more at its end and one less at its beginning.
      t.type("Up", "Up");
      await t.shows(`${prompt}> set city "a b"`);
      t.type("C-a", "C-d", "C-d", "C-d");
      t.literal("append");
      t.type("C-e", "Enter");
      await t.shows("(integer) 6");
      t.literal("select 5");
      t.type("Enter");
      await t.shows(`${prompt}[5]> `.trimEnd());
      t.literal("multi");
      t.type("Enter");
      await t.shows(`${prompt}[5](TX)>`);
      t.literal("discard");
      t.type("Enter");
      t.literal("help get");
      t.type("Enter");
      await t.shows("group: string");
      t.literal("auth secret");
      t.type("Enter");
      await t.shows("(error)");
      // A line longer than the terminal goes on in the next row and comes back whole.
      t.type("C-l");
      await until("an empty screen", () => !t.screen().includes("group: string"));
      t.literal(`echo ${"x".repeat(150)}`);
      t.type("Enter");
      await t.shows(`"${"x".repeat(79)}`);
      t.type("C-d");
      await until("a history file", () => existsSync(join(dir, ".rediscli_history")));
      const history = readFileSync(join(dir, ".rediscli_history"), "utf8").split("\n");
      expect(history[0]).toBe('set city "a b"');
      expect(history).toContain('append city "a b"');
      expect(history.join("\n")).not.toContain("secret");
    } finally {
      t.close();
    }
  }, 120_000);

  test("SUBSCRIBE ends with Ctrl-C and the prompt comes back; a server that goes is said and dialled again", async () => {
    const other = await startServer("redisha");
    const t = new Terminal([redisha, "--cli", "-p", String(other.port)]);
    try {
      await t.shows(">");
      t.literal("subscribe news");
      t.type("Enter");
      await t.shows('2) "news"');
      await other.cli("publish", "news", "hello");
      await t.shows('3) "hello"');
      t.type("C-c");
      await until("a prompt again", () => t.screen().endsWith(`${other.port}>`));
      t.literal("ping");
      t.type("Enter");
      await t.shows("PONG");
      await other.stop();
      t.literal("ping");
      t.type("Enter");
      await t.shows(`Could not connect to Redis at 127.0.0.1:${other.port}: Connection refused`);
      await t.shows("not connected>");
      other.start();
      await other.ready();
      t.literal("echo back");
      t.type("Enter");
      await t.shows('"back"');
    } finally {
      t.close();
      await other[Symbol.asyncDispose]();
    }
  }, 120_000);
});

/** The first lines that a mode without an end prints. */
async function firstLines(count: number, ...args: string[]): Promise<string[]> {
  const p = Bun.spawn([redisha, "--cli", "-p", String(server.port), ...args], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  let text = "";
  for await (const chunk of p.stdout) {
    text += Buffer.from(chunk).toString("utf8");
    if (text.split("\n").length > count) break;
  }
  p.kill();
  await p.exited;
  return text.split("\n").slice(0, count);
}

test("subscribed mode from a pipe: commands among messages, shown as on a terminal", async () => {
  const p = Bun.spawn([redisha, "--cli", "-p", String(server.port)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
    env: { ...process.env, FAKETTY: "1" },
  });
  let text = "";
  const reading = (async () => {
    for await (const chunk of p.stdout) text += Buffer.from(chunk).toString("latin1");
  })();
  const info = "Reading messages... (press Ctrl-C to quit or any key to type command)\r";
  const erase = "\x1b[K";
  /** Everything that comes next, to the byte. */
  const shows = async (expected: string): Promise<void> => {
    await until(`${JSON.stringify(expected)} in ${JSON.stringify(text)}`, () => text.length >= expected.length);
    expect(text).toBe(expected);
    text = "";
  };
  const type = (line: string): void => {
    p.stdin.write(`${line}\n`);
    void p.stdin.flush();
  };
  const confirmed = (kind: string, channel: string, n: number): string => `1) "${kind}"\n2) "${channel}"\n3) (integer) ${n}\n`;
  for (const protocol of [2, 3]) {
    type(`hello ${protocol}`);
    await until("the protocol", () => text.includes("modules"));
    await until("its end", () => text.endsWith("(empty array)\n"));
    text = "";
    type("subscribe one two");
    await shows(confirmed("subscribe", "one", 1) + confirmed("subscribe", "two", 2) + info);
    await server.cli("publish", "two", "hello");
    await shows(`${erase}1) "message"\n2) "two"\n3) "hello"\n${info}`);
    type("unsubscribe one");
    await shows(erase + confirmed("unsubscribe", "one", 1) + info);
    type("get none");
    const refused =
      "(error) ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\n";
    await shows(erase + (protocol === 2 ? refused : "(nil)\n") + info);
    type("unsubscribe");
    await shows(erase + confirmed("unsubscribe", "two", 0));
    type("subscribe three");
    await shows(confirmed("subscribe", "three", 1) + info);
    type("reset");
    await shows(`${erase}RESET\n`);
    type("ping");
    await shows("PONG\n");
  }
  await p.stdin.end();
  await reading;
  expect(await p.exited).toBe(0);
}, 60_000);

test("--stat, --latency, --latency-dist, --intrinsic-latency", async () => {
  const stat = await firstLines(4, "--stat", "-i", "0.05");
  expect(stat[0]).toStartWith("------- data ------ ");
  expect(stat[2]).toMatch(/^\d+ +[\d.]+[KM] +\d+ +0 +\d+ \(\+0\) +\d+ *$/);
  expect(stat[3]).toMatch(/\(\+1\)/);
  expect((await firstLines(1, "--latency", "-i", "0.05"))[0]).toMatch(/^\d+ \d+ \d+\.\d\d \d+$/);
  expect((await firstLines(9, "--latency-dist", "-i", "0.05"))[8]).toContain("\x1b[48;5;");
  expect((await firstLines(1, "--intrinsic-latency", "1"))[0]).toStartWith("Max latency so far: ");
}, 60_000);

test("a link named redis-cli, --rdb, --replica, --sentinel NAME", async () => {
  const link = join(dir, "redis-cli");
  symlinkSync(redisha, link);
  const run = (...args: string[]): { out: string; err: string; code: number } => {
    const p = Bun.spawnSync([link, ...args]);
    return { out: p.stdout.toString("latin1"), err: p.stderr.toString("latin1"), code: p.exitCode };
  };
  await server.cli("set", "inside", "snapshot");
  const at = ["-p", String(server.port)];
  const file = join(dir, "fetched.rdb");
  writeFileSync(file, "x".repeat(100_000));
  const fetched = run(...at, "--rdb", file);
  expect([fetched.code, fetched.err]).toEqual([0, expect.stringContaining("Transfer finished with success")]);
  const rdb = readFileSync(file, "latin1");
  expect([rdb.slice(0, 5), rdb.includes("inside"), rdb.at(-9)]).toEqual(["REDIS", true, "\xff"]);
  expect(run(...at, "--rdb", "-").out.slice(0, 5)).toBe("REDIS");

  const replica = Bun.spawn([link, ...at, "--replica"], { stdout: "pipe", stderr: "ignore" });
  let seen = "";
  const reading = (async () => {
    for await (const chunk of replica.stdout) seen += Buffer.from(chunk).toString();
  })();
  await until("the replica's stream", async () => {
    await server.cli("set", "streamed", "yes");
    return seen.includes('"set","streamed","yes"');
  });
  replica.kill();
  await replica.exited;
  await reading;

  await using sentinel = await startSentinel("redisha", [`sentinel monitor shop 127.0.0.1 ${server.port} 1`]);
  const via = ["-p", String(sentinel.port), "--sentinel"];
  expect(run(...via, "shop", "get", "inside").out).toBe("snapshot\n");
  expect(run(...via, "nobody", "ping")).toEqual({
    out: "",
    err: `The Sentinel at 127.0.0.1:${sentinel.port} knows no master named 'nobody'\n`,
    code: 1,
  });
}, 120_000);

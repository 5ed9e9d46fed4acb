/**
 * Real parts for tests: starts redisha and the originals on free loopback ports, waits until they answer, ends only what it started.
 *
 *   await using server = await startServer("redisha", { save: "" });   // or "redis"
 *   await server.cli("set", "a", "1");
 *
 * Every program runs in a folder of its own under the system's temporary folder, removed at the end.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const root = resolve(import.meta.dir, "../..");
/** The compiled file; REDISHA names another one. */
export const redisha = process.env["REDISHA"] ?? join(root, "redisha");
export const originals = {
  server: "/usr/bin/redis-server",
  cli: "/usr/bin/redis-cli",
  benchmark: "/usr/bin/redis-benchmark",
  haproxy: "/usr/sbin/haproxy",
};
export const hasRedis = existsSync(originals.server) && existsSync(originals.cli);
export const hasHaproxy = existsSync(originals.haproxy);
if (!hasRedis) console.warn("SKIPPING tests against the original Redis: redis-server and redis-cli are not installed");
if (!hasHaproxy) console.warn("SKIPPING tests against the original HAProxy: haproxy is not installed");

export type Kind = "redisha" | "redis";

/**
 * A port that was free a moment ago, from a range that the system does not hand out for outgoing connections; `second` behind it (a cluster's
 * bus) was free too and is in that range.
 */
export function freePort(second = 0): number {
  for (;;) {
    const port = 10000 + Math.floor(Math.random() * (22000 - second));
    try {
      for (const p of new Set([port, port + second])) Bun.listen({ hostname: "127.0.0.1", port: p, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      // taken
    }
  }
}

/** Polls until `check` returns something truthy; throws with `what` after `timeoutMs`. */
export async function until<T>(what: string, check: () => T | Promise<T>, timeoutMs = 15000): Promise<NonNullable<T>> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value) return value as NonNullable<T>;
    if (Date.now() > end) throw new Error(`timed out waiting for ${what}`);
    await Bun.sleep(10);
  }
}

export function tempDir(prefix = "redisha."): string {
  return mkdtempSync(join(tmpdir(), prefix));
}

/** redis-cli against a port; the trimmed standard output (errors included, as redis-cli prints them). */
export async function cli(port: number, ...args: string[]): Promise<string> {
  // The environment as it is now: REDISCLI_AUTH may have been set by the test.
  const p = Bun.spawn([originals.cli, "-p", String(port), ...args], { stdout: "pipe", stderr: "pipe", stdin: "ignore", env: process.env });
  const [out, err] = await Promise.all([new Response(p.stdout).text(), new Response(p.stderr).text()]);
  await p.exited;
  return (out + err).replace(/\n$/, "");
}

export class Program {
  readonly name: string;
  readonly port: number;
  readonly dir: string;
  readonly args: string[];
  readonly env: Record<string, string>;
  process: ReturnType<typeof Bun.spawn> | null;
  private readonly ownsDir: boolean;

  constructor(name: string, args: string[], port: number, dir: string, ownsDir: boolean, env: Record<string, string> = {}) {
    this.name = name;
    this.args = args;
    this.port = port;
    this.dir = dir;
    this.env = env;
    this.process = null;
    this.ownsDir = ownsDir;
  }

  get pid(): number {
    return this.process!.pid;
  }
  /** What it has printed so far. */
  get output(): string {
    const f = join(this.dir, `${this.name}.out`);
    return existsSync(f) ? readFileSync(f, "latin1") : "";
  }

  start(): void {
    const out = Bun.file(join(this.dir, `${this.name}.out`));
    if (!existsSync(join(this.dir, `${this.name}.out`))) writeFileSync(join(this.dir, `${this.name}.out`), "");
    this.process = Bun.spawn(["/bin/sh", "-c", 'out=$1; shift; exec "$@" >>"$out" 2>&1', "--", out.name!, ...this.args], {
      cwd: this.dir,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
      env: { ...process.env, ...this.env },
    });
  }

  /** Waits until it answers PING (anything that is a reply counts). */
  async ready(): Promise<this> {
    let last = "";
    try {
      await until(
        `${this.name} on ${this.port} to answer`,
        async () => {
          if (this.process!.exitCode !== null) throw new Error(`${this.name} ended with ${this.process!.exitCode}`);
          return /^PONG$|^NOAUTH /.test((last = await this.cli("ping")));
        },
        60_000,
      );
    } catch (error) {
      // Read now, not before the wait: what it has printed meanwhile tells why.
      throw new Error(`${(error as Error).message}; last answer: ${last}\n${this.output}`);
    }
    return this;
  }

  cli(...args: string[]): Promise<string> {
    return cli(this.port, ...args);
  }

  /** INFO as name -> value. */
  async info(section = "everything"): Promise<Record<string, string>> {
    const o: Record<string, string> = {};
    for (const line of (await this.cli("info", section)).split(/\r?\n/)) {
      const i = line.indexOf(":");
      if (i > 0) o[line.slice(0, i)] = line.slice(i + 1);
    }
    return o;
  }

  kill(signal: NodeJS.Signals | number = "SIGKILL"): void {
    if (this.process !== null && this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal);
  }

  /** Ends it and waits for the end. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
    if (this.process === null) return null;
    this.kill("SIGCONT");
    this.kill(signal);
    await this.process.exited;
    return this.process.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (this.ownsDir) rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Lines of a redis.conf from an object; a list makes several lines. */
export function confText(options: Record<string, string | number | (string | number)[]>): string {
  let text = "";
  for (const [name, value] of Object.entries(options))
    for (const v of Array.isArray(value) ? value : [value]) text += `${name} ${v === "" ? '""' : v}\n`;
  return text;
}

export interface StartOptions {
  port?: number;
  dir?: string;
  env?: Record<string, string>;
  /** A program that starts it, with its arguments; it must become it (exec), so that the process stays the same. */
  launcher?: string[];
}

/** A server of either kind; `conf` overrides the defaults (no saving, debug commands allowed). */
export async function startServer(
  kind: Kind,
  conf: Record<string, string | number | (string | number)[]> = {},
  options: StartOptions = {},
): Promise<Program> {
  const port = options.port ?? freePort();
  const ownsDir = options.dir === undefined;
  const dir = options.dir ?? tempDir();
  mkdirSync(dir, { recursive: true });
  const file = join(dir, "redis.conf");
  writeFileSync(
    file,
    confText({ port, bind: "127.0.0.1", dir, save: "", "enable-debug-command": "yes", "repl-diskless-sync-delay": 0, ...conf }),
  );
  const args = [...(options.launcher ?? []), kind === "redis" ? originals.server : redisha, file];
  const program = new Program(kind, args, port, dir, ownsDir, options.env);
  program.start();
  try {
    return await program.ready();
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/** A Sentinel of either kind; `lines` are its file's lines after port, bind and dir. */
export async function startSentinel(kind: Kind, lines: string[], options: StartOptions = {}): Promise<Program> {
  const port = options.port ?? freePort();
  const ownsDir = options.dir === undefined;
  const dir = options.dir ?? tempDir();
  const file = join(dir, `sentinel_${port}.conf`);
  if (!existsSync(file)) writeFileSync(file, [`port ${port}`, "bind 127.0.0.1", `dir ${dir}`, ...lines, ""].join("\n"));
  const program = new Program(
    `sentinel-${kind}`,
    [kind === "redis" ? originals.server : redisha, file, "--sentinel"],
    port,
    dir,
    ownsDir,
    options.env,
  );
  program.start();
  try {
    return await program.ready();
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

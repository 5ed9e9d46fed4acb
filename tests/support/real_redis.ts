/**
 * The real redis-server as a judge: starts it on a unix socket in a temporary folder and speaks RESP2 with it, bytes in and bytes out.
 * `startRealRedis` gives null when no redis-server is installed; a test then says that it was skipped.
 * This is the tests' own tiny client, for byte-exact comparisons; it knows no reconnect and no push.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createConnection, type Socket } from "node:net";
import { until } from "./programs.ts";

export type Reply = Buffer | number | null | Error | Reply[];

export class RealRedis {
  private readonly pid: ReturnType<typeof Bun.spawn>;
  private readonly socket: Socket;
  private readonly dir: string;
  private input: Buffer;
  private readonly waiting: ((r: Reply) => void)[];

  constructor(pid: ReturnType<typeof Bun.spawn>, socket: Socket, dir: string) {
    this.pid = pid;
    this.socket = socket;
    this.dir = dir;
    this.input = Buffer.alloc(0);
    this.waiting = [];
    socket.on("data", (chunk) => this.feed(chunk as Buffer));
  }

  private feed(chunk: Buffer): void {
    this.input = this.input.length === 0 ? chunk : Buffer.concat([this.input, chunk]);
    let at = 0;
    for (;;) {
      const got = parseReply(this.input, at);
      if (got === null) break;
      at = got.next;
      this.waiting.shift()!(got.reply);
    }
    this.input = this.input.subarray(at);
  }

  /** Sends one command; strings are latin1. Error replies resolve to an Error. */
  call(...args: (string | Buffer | number)[]): Promise<Reply> {
    const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
    for (const a of args) {
      const bytes = Buffer.isBuffer(a) ? a : Buffer.from(String(a), "latin1");
      parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
    }
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.socket.write(Buffer.concat(parts));
    });
  }

  /** The reply as latin1 text; an error as its message. */
  async text(...args: (string | Buffer | number)[]): Promise<string> {
    const r = await this.call(...args);
    if (Buffer.isBuffer(r)) return r.toString("latin1");
    return r instanceof Error ? r.message : String(r);
  }

  async stop(): Promise<void> {
    this.socket.destroy();
    this.pid.kill("SIGKILL");
    await this.pid.exited;
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function parseReply(b: Buffer, at: number): { reply: Reply; next: number } | null {
  const eol = b.indexOf("\r\n", at);
  if (eol < 0) return null;
  const line = b.toString("latin1", at + 1, eol);
  const kind = b[at];
  if (kind === 43) return { reply: Buffer.from(line, "latin1"), next: eol + 2 };
  if (kind === 45) return { reply: new Error(line), next: eol + 2 };
  if (kind === 58) return { reply: Number(line), next: eol + 2 };
  const n = Number(line);
  if (n < 0) return { reply: null, next: eol + 2 };
  if (kind === 36) {
    const end = eol + 2 + n;
    if (b.length < end + 2) return null;
    return { reply: Buffer.from(b.subarray(eol + 2, end)), next: end + 2 };
  }
  const list: Reply[] = [];
  let next = eol + 2;
  for (let i = 0; i < n; i++) {
    const got = parseReply(b, next);
    if (got === null) return null;
    list.push(got.reply);
    next = got.next;
  }
  return { reply: list, next };
}

/** Starts redis-server with these extra arguments; null when none is installed. */
export function startRealRedis(...args: string[]): Promise<RealRedis | null> {
  return start((dir, path) => ["--port", "0", "--unixsocket", path, "--save", "", "--dir", dir, "--daemonize", "no", ...args]);
}

/** Starts a Sentinel that watches nothing; null when redis-server is not installed. */
export function startRealSentinel(): Promise<RealRedis | null> {
  return start((dir, path) => {
    writeFileSync(join(dir, "sentinel.conf"), `port 0\nunixsocket ${path}\ndir ${dir}\n`);
    return [join(dir, "sentinel.conf"), "--sentinel"];
  });
}

async function start(argsOf: (dir: string, path: string) => string[]): Promise<RealRedis | null> {
  const program = process.env["REAL_REDIS_SERVER"] ?? Bun.which("redis-server");
  if (program === null) return null;
  const dir = mkdtempSync(join(tmpdir(), "real-redis-"));
  const path = join(dir, "s");
  const pid = Bun.spawn([program, ...argsOf(dir, path)], { stdout: "ignore", stderr: "ignore" });
  // Between bind and listen the file is there and a connection is refused: the connection decides.
  const socket = await until("the original's unix socket", () => connect(path), 60_000);
  return new RealRedis(pid, socket, dir);
}

function connect(path: string): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(null));
  });
}

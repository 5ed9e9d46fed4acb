/**
 * Standard input and output as bytes: writes are done when they return, so that what is shown and what is an exit code come in order.
 * Cold. Texts are latin1, one char a byte.
 */
import { readFileSync, readSync, writeSync } from "node:fs";

const SIGPIPE_EXIT = 141;

/** Redis' own habit: FAKETTY makes a pipe look like a terminal. */
export function outputIsTerminal(): boolean {
  return Boolean(process.stdout.isTTY) || process.env["FAKETTY"] !== undefined;
}

export function inputIsTerminal(): boolean {
  return Boolean(process.stdin.isTTY);
}

export function print(text: string): void {
  writeAll(1, Buffer.from(text, "latin1"));
}

export function complain(text: string): void {
  writeAll(2, Buffer.from(text, "latin1"));
}

/** Writes everything; ends the process as a SIGPIPE would when nobody reads any more. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === "EPIPE") process.exit(SIGPIPE_EXIT);
      if (code !== "EAGAIN") throw error;
      // Somebody else made the pipe non-blocking: a moment for its reader.
      Bun.sleepSync(1);
    }
  }
}

/** All of standard input. */
export function readInput(): string {
  return readFileSync(0).toString("latin1");
}

/** Standard input piece by piece, waiting for each. */
export function* inputChunks(size = 16 * 1024): Generator<Buffer> {
  const chunk = Buffer.alloc(size);
  for (;;) {
    let n: number;
    try {
      n = readSync(0, chunk, 0, size, null);
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === "EAGAIN") {
        Bun.sleepSync(1);
        continue;
      }
      if (code === "EOF") return;
      throw error;
    }
    if (n === 0) return;
    yield Buffer.from(chunk.subarray(0, n));
  }
}

/** Standard input line by line for who has other things to do meanwhile. */
export class LineSource {
  private rest: string;
  private readonly lines: string[];
  private ended: boolean;
  private wake: (() => void) | null;

  constructor() {
    this.rest = "";
    this.lines = [];
    this.ended = false;
    this.wake = null;
    process.stdin.on("data", (chunk: Buffer) => this.heard(chunk.toString("latin1")));
    process.stdin.on("end", () => {
      this.ended = true;
      this.wake?.();
    });
  }

  private heard(text: string): void {
    const parts = (this.rest + text).split("\n");
    this.rest = parts.pop()!;
    this.lines.push(...parts);
    this.wake?.();
  }

  /** Resolves when next() would not wait. */
  async ready(): Promise<void> {
    while (this.lines.length === 0 && !this.ended)
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
  }

  /** The next line without its newline, or null at the end. */
  async next(): Promise<string | null> {
    await this.ready();
    const line = this.lines.shift();
    if (line !== undefined) return line;
    const last = this.rest;
    this.rest = "";
    return last === "" ? null : last;
  }
}

/** The arguments as bytes: the system has them exactly, process.argv only as UTF-8. */
export function exactArguments(args: readonly string[]): string[] {
  const decoded = args.map((arg) => Buffer.from(arg, "utf8").toString("latin1"));
  if (!args.some((arg) => arg.includes("\ufffd"))) return decoded;
  try {
    const words = readFileSync("/proc/self/cmdline").toString("latin1").split("\0").slice(0, -1);
    return words.length >= args.length ? words.slice(words.length - args.length) : decoded;
  } catch {
    return decoded;
  }
}

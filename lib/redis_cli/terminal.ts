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

/** Standard input line by line, without the newlines. */
export function* inputLines(): Generator<string> {
  let rest = "";
  for (const chunk of inputChunks()) {
    rest += chunk.toString("latin1");
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      yield rest.slice(0, end);
      rest = rest.slice(end + 1);
    }
  }
  if (rest !== "") yield rest;
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

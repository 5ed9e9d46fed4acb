/**
 * Bulk transfers: --pipe (RESP from standard input), --rdb and --functions-rdb (the server's snapshot into a file), --replica (the
 * stream that replicas get). Cold. Lines are redis-cli's.
 */
import { closeSync, fsyncSync, ftruncateSync, openSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { strerror } from "../bytes/errno.ts";
import type { Channel } from "./channel.ts";
import { format } from "./format.ts";
import type { CliOptions } from "./options.ts";
import { complain, print, writeAll } from "./terminal.ts";

const MARK_BYTES = 40;

function fail(text: string): never {
  complain(text);
  process.exit(1);
}

/** Sends standard input as it is, counts replies and errors; an ECHO of random bytes at the end tells that all has been answered. */
export async function pipeMode(channel: Channel, options: CliOptions): Promise<never> {
  const magic = randomBytes(20).toString("latin1");
  let [errors, replies, sent, over] = [0, 0, false, false];
  let heardMs = performance.now();
  const sender = (async () => {
    for await (const chunk of Bun.stdin.stream()) await channel.write(chunk);
    sent = true;
    heardMs = performance.now();
    print("All data transferred. Waiting for the last reply...\n");
    // The newline in front ends garbage that the input may have left open.
    await channel.write(Buffer.from(`\r\n*2\r\n$4\r\nECHO\r\n$20\r\n${magic}\r\n`, "latin1"));
  })();
  sender.catch(() => fail("Error writing to the server: Broken pipe\n"));
  const timer = setInterval(() => {
    if (!sent || options.pipeTimeoutS <= 0 || performance.now() - heardMs <= options.pipeTimeoutS * 1000) return;
    complain(`No replies for ${options.pipeTimeoutS} seconds: exiting.\n`);
    print(`errors: ${errors + 1}, replies: ${replies}\n`);
    process.exit(1);
  }, 250);
  while (!over) {
    let reply;
    try {
      reply = await channel.next();
    } catch {
      fail("Error reading replies from server\n");
    }
    heardMs = performance.now();
    if (reply.kind === "error") {
      complain(`${reply.text}\n`);
      errors++;
    } else if (sent && reply.kind === "string" && reply.text === magic) {
      print("Last reply received from server.\n");
      over = true;
      break;
    }
    replies++;
  }
  clearInterval(timer);
  print(`errors: ${errors}, replies: ${replies}\n`);
  process.exit(errors > 0 ? 1 : 0);
}

async function replconf(channel: Channel, name: string, value: string): Promise<boolean> {
  complain(`sending REPLCONF ${name} ${value}\n`);
  const reply = await channel.ask("REPLCONF", name, value);
  if (reply.kind !== "error") return true;
  // Old servers do not know it; that is no reason to stop.
  complain(`REPLCONF ${name} error: ${reply.text}\n`);
  return false;
}

/** SYNC and the line that its payload begins with: a length, or the mark that will end it. `rest`: payload that came with the line. */
async function sync(channel: Channel): Promise<{ lengthBytes: number; mark: string; rest: Buffer }> {
  channel.startRaw();
  await channel.write(Buffer.from("SYNC\r\n"));
  let head = Buffer.alloc(0);
  for (;;) {
    const chunk = await channel.readRaw();
    if (chunk === null) fail("Error reading bulk length while SYNCing\n");
    head = Buffer.concat([head, chunk]);
    // Newlines in front keep the connection alive while the snapshot is made.
    let from = 0;
    while (head[from] === 10) from++;
    const end = head.indexOf("\n", from);
    if (end < 0) continue;
    const line = head.toString("latin1", from, end).replace(/\r$/, "");
    if (line.startsWith("-")) fail(`SYNC with master failed: ${line}\n`);
    const rest = head.subarray(end + 1);
    if (line.startsWith("$EOF:")) return { lengthBytes: Number.POSITIVE_INFINITY, mark: line.slice(5, 5 + MARK_BYTES), rest };
    return { lengthBytes: Number(line.slice(1)), mark: "", rest };
  }
}

/** Hands the payload on piece by piece; returns what follows it, and its size with the mark. */
async function payload(
  channel: Channel,
  from: { lengthBytes: number; mark: string; rest: Buffer },
  onPiece: (piece: Buffer) => void,
  broken: string,
): Promise<{ after: Buffer; sizeBytes: number }> {
  let left = from.lengthBytes;
  let size = 0;
  let tail = "";
  for (let chunk: Buffer | null = from.rest; ; chunk = await channel.readRaw()) {
    if (chunk === null) fail(broken);
    const piece = chunk.length > left ? chunk.subarray(0, left) : chunk;
    if (piece.length > 0) onPiece(piece);
    left -= piece.length;
    size += piece.length;
    if (from.mark !== "") {
      // The stream behind a diskless payload begins only after our first acknowledgement: the mark is its end.
      tail = (tail + piece.subarray(-MARK_BYTES).toString("latin1")).slice(-MARK_BYTES);
      if (tail === from.mark) return { after: Buffer.alloc(0), sizeBytes: size };
    } else if (left <= 0) return { after: chunk.subarray(piece.length), sizeBytes: size };
  }
}

/** --rdb FILE: "-" is standard output. */
export async function fetchRdb(channel: Channel, options: CliOptions): Promise<never> {
  await replconf(channel, "capa", "eof");
  await replconf(channel, "rdb-only", "1");
  if (options.special === "functions-rdb" && !(await replconf(channel, "rdb-filter-only", "functions")))
    fail("Failed requesting functions only RDB from server, aborting\n");
  const start = await sync(channel);
  const name = options.rdbFile;
  if (start.mark !== "") complain(`SYNC sent to master, writing bytes of bulk transfer until EOF marker to '${name}'\n`);
  else complain(`SYNC sent to master, writing ${start.lengthBytes} bytes to '${name}'\n`);
  const toOutput = name === "-";
  let fd = 1;
  try {
    if (!toOutput) fd = openSync(name, "w", 0o644);
  } catch (error) {
    fail(`Error opening '${name}': ${strerror(error)}\n`);
  }
  // The mark must not get into standard output either: it is held back until it is known to be data.
  let held: Buffer = Buffer.alloc(0);
  const holdBytes = start.mark === "" ? 0 : MARK_BYTES;
  const write = (piece: Buffer): void => {
    held = held.length === 0 ? piece : Buffer.concat([held, piece]);
    if (held.length <= holdBytes) return;
    try {
      writeAll(fd, held.subarray(0, held.length - holdBytes));
    } catch (error) {
      fail(`Error writing data to file: ${strerror(error)}\n`);
    }
    held = Buffer.from(held.subarray(held.length - holdBytes));
  };
  const { sizeBytes } = await payload(channel, start, write, "I/O Error reading RDB payload from socket\n");
  if (start.mark !== "") complain(`Transfer finished with success after ${sizeBytes - MARK_BYTES} bytes\n`);
  else complain("Transfer finished with success.\n");
  channel.close();
  if (!toOutput) {
    if (start.mark !== "") ftruncateSync(fd, sizeBytes - MARK_BYTES);
    fsyncSync(fd);
    closeSync(fd);
  }
  process.exit(0);
}

/** --replica: skips the snapshot, then shows what the master sends, as CSV. Ends with the connection. */
export async function replicaMode(channel: Channel, options: CliOptions, asked: boolean): Promise<void> {
  if (asked) {
    await replconf(channel, "capa", "eof");
    await replconf(channel, "rdb-filter-only", "");
  }
  const start = await sync(channel);
  const bytes = start.mark !== "" ? "bytes of bulk transfer until EOF marker..." : `${start.lengthBytes} bytes of bulk transfer...`;
  complain(`SYNC with master, discarding ${bytes}\n`);
  const { after, sizeBytes } = await payload(channel, start, () => {}, "Error reading RDB payload while SYNCing\n");
  complain(`SYNC done${start.mark !== "" ? ` after ${sizeBytes} bytes` : ""}. Logging commands from master.\n`);
  channel.endRaw(after);
  if (start.mark !== "") channel.send(["REPLCONF", "ACK", "0"]);
  try {
    for (;;) print(format(await channel.next(), "csv", false, options.delimiters));
  } catch (error) {
    complain(`Error: ${(error as Error).message}\n`);
  }
}

/**
 * What `ps` shows for this process. Redis' set-proc-title: "redis-server 127.0.0.1:6379". Cold.
 *
 * Setting process.title does nothing in Bun. First choice: point the kernel's idea of the command line at a buffer of ours (any length).
 * Second: write over the arguments the kernel gave us (cut to their length). Third, without foreign calls: nothing, and false.
 */
import { readFileSync } from "node:fs";
import { memoryAt, moveCommandLine, type MemoryMap, setThreadName } from "./ffi.ts";

/** Held for ever: the kernel reads it. */
let shown: Buffer | null = null;
/** Where the kernel put the arguments at the start. */
let original: MemoryMap | null = null;

/** Shows `title` in place of the command line; false when it cannot be done here. */
export function setProcessTitle(title: string): boolean {
  original ??= memoryMap();
  if (original === null) return false;
  const line = Buffer.from(`${title}\0`, "latin1");
  if (moveCommandLine(line, original)) {
    shown = line;
    return shown !== null;
  }
  const area = memoryAt(original.argStart, original.argEnd);
  if (area === null || area.length < 2) return false;
  area.fill(0);
  area.set(line.subarray(0, Math.min(line.length, area.length) - 1));
  return true;
}

/** The short name in /proc/PID/comm: "redis-server". */
export function setProcessName(name: string): boolean {
  return setThreadName(name);
}

/** Fields 26 to 51 of /proc/self/stat; null where there is no such file or it hides the addresses. */
function memoryMap(): MemoryMap | null {
  let stat: string;
  try {
    stat = readFileSync("/proc/self/stat", "latin1");
  } catch {
    return null;
  }
  // The second field is the name in parentheses and may hold anything; field 3 begins behind the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): bigint => BigInt(fields[number - 3] ?? "0");
  const map: MemoryMap = {
    startCode: field(26),
    endCode: field(27),
    startStack: field(28),
    startData: field(45),
    endData: field(46),
    startBrk: field(47),
    argStart: field(48),
    argEnd: field(49),
    envStart: field(50),
    envEnd: field(51),
  };
  return map.argStart === 0n ? null : map;
}

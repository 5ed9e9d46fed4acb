/** Facts about the machine and this program that INFO and the start-up log show. Cold; each is read once. */
import { readFileSync } from "node:fs";
import { arch, release, type } from "node:os";

const AT_PAGESZ = 6n;
const AT_CLKTCK = 17n;

let auxiliary: Map<bigint, bigint> | null = null;

/** The kernel's notes to the process (getauxval(3)). */
function auxiliaryValue(key: bigint, otherwise: number): number {
  if (auxiliary === null) {
    auxiliary = new Map();
    try {
      const bytes = readFileSync("/proc/self/auxv");
      for (let at = 0; at + 16 <= bytes.length; at += 16) auxiliary.set(bytes.readBigUInt64LE(at), bytes.readBigUInt64LE(at + 8));
    } catch {
      // not Linux: the usual values do
    }
  }
  return Number(auxiliary.get(key) ?? BigInt(otherwise));
}

/** Bytes of a page of memory. */
export function pageBytes(): number {
  return auxiliaryValue(AT_PAGESZ, process.platform === "darwin" ? 16384 : 4096);
}

/** Ticks a second in /proc/PID/stat. */
export function clockTicks(): number {
  return auxiliaryValue(AT_CLKTCK, 100);
}

/** INFO's `os`: "Linux 6.1.0-18-amd64 x86_64". */
export function osLine(): string {
  const machine = arch() === "x64" ? "x86_64" : arch() === "arm64" ? "aarch64" : arch();
  return `${type()} ${release()} ${machine}`;
}

export interface Machine {
  os: string;
  archBits: 32 | 64;
  /** Redis' words for its clock, its event loop and its atomics; tools only show them. */
  monotonicClock: string;
  multiplexingApi: string;
  atomicvarApi: string;
  /** Redis' text where no gcc built it. */
  gccVersion: string;
}

export function machine(): Machine {
  return {
    os: osLine(),
    archBits: 64,
    monotonicClock: "POSIX clock_gettime",
    multiplexingApi: process.platform === "linux" ? "epoll" : "kqueue",
    atomicvarApi: "c11-builtin",
    gccVersion: "0.0.0",
  };
}

/** The most connections the kernel queues for a listener; null when it does not say. */
export function listenQueueLimit(): number | null {
  try {
    return Number.parseInt(readFileSync("/proc/sys/net/core/somaxconn", "latin1"), 10);
  } catch {
    return null;
  }
}

/** How much memory the process holds, as the kernel counts it. Cold: INFO, cron. */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { pageBytes } from "./machine.ts";

/** Bytes. */
export interface ProcessMemory {
  /** Resident: in RAM now. */
  rss: number;
  /** The address space, used or not. */
  virtual: number;
  /** The part of `rss` that other processes share: files, the executable. */
  shared: number;
}

export function processMemory(): ProcessMemory {
  try {
    const pages = readFileSync("/proc/self/statm", "latin1").split(" ").map(Number);
    const page = pageBytes();
    return { virtual: pages[0] * page, rss: pages[1] * page, shared: pages[2] * page };
  } catch {
    const rss = process.memoryUsage.rss();
    return { rss, virtual: rss, shared: 0 };
  }
}

/** The most resident bytes there ever were. */
export function peakResidentBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** RAM of the machine in bytes. */
export function totalSystemMemory(): number {
  return totalmem();
}

/** CPU time for INFO cpu. Cold. */
import { readFileSync } from "node:fs";
import { type CpuTime, rusage } from "./ffi.ts";
import { clockTicks } from "./machine.ts";

export interface CpuUsage {
  self: CpuTime;
  /** Helper processes that have ended. */
  children: CpuTime;
  mainThread: CpuTime;
}

export function cpuUsage(): CpuUsage {
  const { user, system } = process.cpuUsage();
  const self = { userUs: user, systemUs: system };
  return { self, children: rusage("children") ?? childrenFromProc(), mainThread: rusage("thread") ?? self };
}

/** Fields 16 and 17 of /proc/self/stat. */
function childrenFromProc(): CpuTime {
  try {
    const stat = readFileSync("/proc/self/stat", "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const us = (field: number): number => (Number(fields[field - 3]) / clockTicks()) * 1e6;
    return { userUs: us(16), systemUs: us(17) };
  } catch {
    return { userUs: 0, systemUs: 0 };
  }
}

/** INFO's form: seconds with six digits. */
export function secondsText(us: number): string {
  const whole = Math.round(us);
  return `${Math.floor(whole / 1e6)}.${String(whole % 1e6).padStart(6, "0")}`;
}

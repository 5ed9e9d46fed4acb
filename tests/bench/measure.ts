/** What benchmarks share: CPU and memory of a process from /proc, redis-benchmark's figures, medians, tables. */
import { readFileSync } from "node:fs";
import { originals } from "../support/programs.ts";

const HZ = 100; // clock ticks a second, fixed on Linux for user space

/** User and system time of a process (all threads) so far, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const f = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(f[11]) + Number(f[12])) / HZ;
}

export function rssBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]) * 4096;
}

export function median(values: number[]): number {
  const v = [...values].sort((a, b) => a - b);
  return v.length === 0 ? NaN : v.length % 2 ? v[v.length >> 1] : (v[v.length / 2 - 1] + v[v.length / 2]) / 2;
}

export interface LoadFigures {
  /** Requests a second. */
  rate: number;
  /** CPU microseconds of each watched process per request. */
  cpuMicros: number[];
  p50Ms: number;
  p99Ms: number;
  /** The longest that a request took. */
  maxMs: number;
}

/** One redis-benchmark run against `port`; `args` as on its command line (without -h, -p, -q, --csv); pids are watched. */
export async function load(port: number, requests: number, args: string[], pids: number[]): Promise<LoadFigures> {
  const before = pids.map(cpuSeconds);
  const p = Bun.spawn([originals.benchmark, "-p", String(port), "-n", String(requests), "--csv", ...args], {
    stdout: "pipe",
    stderr: "pipe",
    stdin: "ignore",
  });
  const out = await new Response(p.stdout).text();
  await p.exited;
  const after = pids.map(cpuSeconds);
  const row =
    out
      .trim()
      .split("\n")
      .at(-1)
      ?.split('","')
      .map((c) => c.replaceAll('"', "")) ?? [];
  return {
    rate: Number(row[1]),
    cpuMicros: pids.map((_, i) => ((after[i] - before[i]) / requests) * 1e6),
    p50Ms: Number(row[4]),
    p99Ms: Number(row[6]),
    maxMs: Number(row[7]),
  };
}

/** Fixed-width columns, the first left-aligned. */
export function table(head: string[], rows: (string | number)[][]): string {
  const text = rows.map((r) => r.map((c) => (typeof c === "number" ? format(c) : c)));
  const width = head.map((h, i) => Math.max(h.length, ...text.map((r) => r[i]?.length ?? 0)));
  const line = (r: string[]): string => r.map((c, i) => (i === 0 ? c.padEnd(width[i]) : c.padStart(width[i]))).join("  ");
  return [line(head), ...text.map(line)].join("\n");
}

export function format(v: number): string {
  if (!Number.isFinite(v)) return "-";
  if (Math.abs(v) >= 1000) return Math.round(v).toLocaleString("en-US");
  return v.toFixed(2);
}

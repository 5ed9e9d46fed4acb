/**
 * The machine under a server: facts read from /proc, /sys and the system's tools, and what is wrong with them. The reading is separate from
 * the judging, so that every check can be made to speak in a test. Cold.
 */
import { readFileSync, readdirSync } from "node:fs";
import { lookup } from "node:dns/promises";
import { hostname } from "node:os";
import { ffiProblem, fileLimit } from "../os/ffi.ts";
import { portHolders, type PortHolder } from "../os/ports.ts";
import type { Finding } from "./finding.ts";

export interface MachineFacts {
  /** /proc/sys/vm/overcommit_memory; null where there is none. */
  overcommit: number | null;
  /** `always`, `madvise`, `never`; "" unknown. */
  hugePages: string;
  openFiles: number | null;
  somaxconn: number | null;
  swappiness: number | null;
  /** What keeps foreign functions and compiled code from working; null when nothing does. */
  denied: string | null;
  clockSource: string;
  /** False: the kernel says that nobody keeps the clock; null: unknown. */
  clockSynchronised: boolean | null;
  nowMs: number;
  hostName: string;
  /** Addresses of the own name; null when it has none. */
  hostAddresses: string[] | null;
  /** Ports of the set, and who listens there. */
  holders: Map<number, PortHolder>;
  /** Longest time that this process was kept from running while it watched, ms. */
  pauseMs: number;
  memoryBytes: number;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return null;
  }
}
const number = (text: string | null): number | null => (text === null || text === "" || Number.isNaN(Number(text)) ? null : Number(text));

export const SET_PORTS = [6378, 6379, 6380, 26379];
const WATCH_MS = 300;

export async function machineFacts(): Promise<MachineFacts> {
  const pauseMs = longestPause(WATCH_MS);
  const name = hostname();
  let addresses: string[] | null = null;
  try {
    addresses = (await lookup(name, { all: true })).map((a) => a.address);
  } catch {
    // no such name: that is the finding
  }
  const limit = fileLimit();
  return {
    overcommit: number(read("/proc/sys/vm/overcommit_memory")),
    hugePages: /\[(\w+)\]/.exec(read("/sys/kernel/mm/transparent_hugepage/enabled") ?? "")?.[1] ?? "",
    openFiles: limit === null ? null : limit.soft,
    somaxconn: number(read("/proc/sys/net/core/somaxconn")),
    swappiness: number(read("/proc/sys/vm/swappiness")),
    denied: ffiProblem(),
    clockSource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource") ?? "",
    clockSynchronised: synchronised(),
    nowMs: Date.now(),
    hostName: name,
    hostAddresses: addresses,
    holders: portHolders(SET_PORTS),
    pauseMs,
    memoryBytes: (number(/MemTotal:\s+(\d+)/.exec(read("/proc/meminfo") ?? "")?.[1] ?? null) ?? 0) * 1024,
  };
}

/** systemd-timesyncd leaves a mark; chrony and ntpd run. In a container the host keeps the clock: unknown. */
function synchronised(): boolean | null {
  if (read("/run/systemd/timesync/synchronized") !== null) return true;
  try {
    for (const pid of readdirSync("/proc")) {
      if (!/^\d+$/.test(pid)) continue;
      const name = read(`/proc/${pid}/comm`);
      if (name === "chronyd" || name === "ntpd" || name === "systemd-timesyn") return true;
    }
  } catch {
    return null;
  }
  return /docker|lxc|kubepods|containerd/.test(read("/proc/1/cgroup") ?? "") || read("/run/systemd/container") !== null ? null : false;
}

/** Runs for `forMs` and looks at the clock: the longest gap is time in which this process was not let run. */
export function longestPause(forMs: number): number {
  const end = performance.now() + forMs;
  let longest = 0;
  for (let before = performance.now(); before < end;) {
    const now = performance.now();
    if (now - before > longest) longest = now - before;
    before = now;
  }
  return longest;
}

/** 10000 clients and what a server needs besides. */
const FILES_WANTED = 10_032;
const SLOW_CLOCKS = ["xen", "hpet", "acpi_pm", "jiffies"];

export function judgeMachine(m: MachineFacts): Finding[] {
  const findings: Finding[] = [];
  const say = (level: Finding["level"], place: string, text: string, mend: string): void =>
    void findings.push({ level, place, text, mend });
  if (m.overcommit === 0)
    say(
      "advice",
      "vm.overcommit_memory = 0",
      "redis-server's background saves fail for want of memory; redisha saves without fork and does not need it.",
      "sysctl vm.overcommit_memory=1 where redis-server runs too.",
    );
  if (m.overcommit === 2)
    say(
      "warning",
      "vm.overcommit_memory = 2",
      "Address space is counted as memory: redisha reserves 64 MiB pieces and is refused early.",
      "sysctl vm.overcommit_memory=1",
    );
  if (m.hugePages === "always")
    say(
      "warning",
      "/sys/kernel/mm/transparent_hugepage/enabled = always",
      "Huge pages cost latency and memory.",
      "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, and the same at boot.",
    );
  if (m.openFiles !== null && m.openFiles < FILES_WANTED)
    say(
      "warning",
      `open files: ${m.openFiles}`,
      `maxclients is lowered to ${Math.max(0, m.openFiles - 32)}.`,
      "LimitNOFILE=65535 in the unit, or ulimit -n 65535 in the init script.",
    );
  if (m.somaxconn !== null && m.somaxconn < 511)
    say(
      "advice",
      `net.core.somaxconn = ${m.somaxconn}`,
      "When many clients connect at once, some are refused.",
      "sysctl net.core.somaxconn=1024",
    );
  if (m.swappiness !== null && m.swappiness > 60)
    say(
      "advice",
      `vm.swappiness = ${m.swappiness}`,
      "Data may be swapped out: a request then waits for the disk.",
      "sysctl vm.swappiness=1",
    );
  if (m.denied !== null)
    say(
      "error",
      "MemoryDenyWriteExecute",
      `Code may not be compiled while it runs (${m.denied}): redisha is 10 to 20 times slower.`,
      "MemoryDenyWriteExecute=false in the unit (conf/redis.service), systemctl daemon-reload, restart.",
    );
  if (SLOW_CLOCKS.includes(m.clockSource))
    say(
      "warning",
      `clock source ${m.clockSource}`,
      "Reading this clock is slow, and every command reads it.",
      "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
    );
  if (m.clockSynchronised === false)
    say(
      "warning",
      "clock",
      "Nothing keeps this machine's clock (no timesyncd, chrony, ntpd): expiry times and logs of several machines do not fit together.",
      "apt install chrony",
    );
  if (m.nowMs < Date.UTC(2025, 0, 1))
    say("error", "clock", `It says ${new Date(m.nowMs).toISOString()}.`, "Set the clock: keys with an expiry depend on it.");
  names(m, say);
  for (const [port, holder] of m.holders)
    if (!/redis|haproxy|valkey/.test(holder.command))
      say(
        "warning",
        `port ${port}`,
        `It is taken by pid ${holder.pid}: ${holder.command.slice(0, 120)}`,
        "Stop that program, or choose another port.",
      );
  if (m.pauseMs > 100)
    say(
      "warning",
      "scheduling",
      `A process that only watches the clock was kept from running for ${Math.round(m.pauseMs)} ms: the machine has too little CPU to give.`,
      "More CPUs or fewer neighbours, and down-after-milliseconds well above such pauses.",
    );
  return findings;
}

function names(m: MachineFacts, say: (level: Finding["level"], place: string, text: string, mend: string) => void): void {
  if (m.hostAddresses === null) {
    say("warning", `host name ${m.hostName}`, "It resolves to no address.", `Add it to /etc/hosts: <address> ${m.hostName}`);
    return;
  }
  if (m.hostAddresses.length > 0 && m.hostAddresses.every((a) => a.startsWith("127.") || a === "::1"))
    say(
      "advice",
      `host name ${m.hostName}`,
      `It resolves to ${m.hostAddresses.join(", ")}, which is another machine everywhere else.`,
      "Where configuration files name this machine, write its address; or correct /etc/hosts.",
    );
}

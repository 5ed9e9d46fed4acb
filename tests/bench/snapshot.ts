/**
 * `bench snapshot [MILLIONS] [VALUE_BYTES]`: what clients feel and what memory is taken while BGSAVE and BGREWRITEAOF run under writers at full
 * speed: latency of a client of its own (p50, p99, p99.9, worst), peak of the memory of the server and its children (Pss), CPU.
 */
import { readFileSync } from "node:fs";
import { originals, startServer, until, type Kind, type Program } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";
import { cpuSeconds, table } from "./measure.ts";

const KINDS: Kind[] = ["redis", "redisha"];
const LOAD_ONLY_MS = 4000;
const MEMORY_MS = 250;

/** Proportional memory of a process and its children: shared pages count once. */
function memoryBytes(pid: number): number {
  const own = (p: number): number => {
    try {
      return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${p}/smaps_rollup`, "latin1"))![1]) * 1024;
    } catch {
      return 0;
    }
  };
  let children: string[] = [];
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ");
  } catch {
    // gone
  }
  return [String(pid), ...children].filter((p) => p !== "").reduce((sum, p) => sum + own(Number(p)), 0);
}

interface Phase {
  sorted: Float64Array;
  seconds: number;
  peakBytes: number;
  cpu: number;
}

/** One client's SETs, one after the other, until `over`. */
async function probe(server: Program, keys: number, over: () => Promise<boolean>): Promise<Phase> {
  const wire = await Wire.connect(server.port);
  const asker = await Wire.connect(server.port);
  const latencies: number[] = [];
  const cpu = cpuSeconds(server.pid);
  const started = performance.now();
  let peakBytes = memoryBytes(server.pid);
  let stop = false;
  const memory = setInterval(() => (peakBytes = Math.max(peakBytes, memoryBytes(server.pid))), MEMORY_MS);
  const looking = (async () => {
    while (!(await over())) await Bun.sleep(50);
    stop = true;
  })();
  while (!stop) {
    const from = performance.now();
    await wire.do("SET", `key:${Math.floor(Math.random() * keys)}`, "probe");
    latencies.push(performance.now() - from);
  }
  await looking;
  clearInterval(memory);
  wire.close();
  asker.close();
  return {
    sorted: Float64Array.from(latencies).sort(),
    seconds: (performance.now() - started) / 1000,
    peakBytes,
    cpu: cpuSeconds(server.pid) - cpu,
  };
}

const at = (p: Phase, share: number): number => p.sorted[Math.min(p.sorted.length - 1, Math.floor(p.sorted.length * share))];

async function measure(kind: Kind, keys: number, valueBytes: number): Promise<(string | number)[][]> {
  await using server = await startServer(kind, { "auto-aof-rewrite-percentage": 0 });
  await server.cli("debug", "populate", String(keys), "key", String(valueBytes));
  const quiet = memoryBytes(server.pid);
  const line = ["-p", String(server.port), "-c", "20", "-n", "1000000000", "-r", String(keys), "-d", String(valueBytes)];
  const writers = Bun.spawn([originals.benchmark, ...line, "-q", "SET", "key:__rand_int__", "v".repeat(valueBytes)], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const asker = await Wire.connect(server.port);
  const rows: (string | number)[][] = [];
  const row = (name: string, p: Phase): void => {
    rows.push([
      `${kind} ${name}`,
      at(p, 0.5),
      at(p, 0.99),
      at(p, 0.999),
      p.sorted.at(-1)!,
      p.seconds,
      p.cpu / p.seconds,
      p.peakBytes / 1048576,
      p.peakBytes / quiet,
    ]);
    console.error(rows.at(-1)!.join(" "));
  };
  const end = performance.now() + LOAD_ONLY_MS;
  row("writers alone", await probe(server, keys, async () => performance.now() > end));
  const running = async (field: string): Promise<boolean> => (await asker.do("INFO", "persistence")).includes(`${field}:1`);
  for (const [name, command, field] of [
    ["BGSAVE", "BGSAVE", "rdb_bgsave_in_progress"],
    ["BGREWRITEAOF", "BGREWRITEAOF", "aof_rewrite_in_progress"],
  ]) {
    await until("nothing to run", async () => !(await running(field)));
    const phase = probe(server, keys, async () => !(await running(field)));
    await asker.do(command);
    row(name, await phase);
  }
  writers.kill("SIGKILL");
  await writers.exited;
  asker.close();
  return rows;
}

export async function bench(args: string[]): Promise<void> {
  const keys = Math.floor(Number(args[0] ?? 2) * 1_000_000);
  const valueBytes = Number(args[1] ?? 100);
  const rows: (string | number)[][] = [];
  for (const kind of KINDS) rows.push(...(await measure(kind, keys, valueBytes)));
  console.log(`${keys} keys of ${valueBytes} bytes; latency in ms, memory of the server with its children in MB, and against that at rest`);
  console.log(table(["", "p50", "p99", "p99.9", "worst", "seconds", "CPUs", "peak MB", "of rest"], rows));
}

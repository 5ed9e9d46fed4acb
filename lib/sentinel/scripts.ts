/**
 * Notification and client-reconfiguration scripts: the queue with its rules. COLD. Redis sentinel.c: sentinelScheduleScriptExecution ff.
 * At most 256 jobs (the oldest idle one goes), 16 at a time, up to 10 runs each: exit code 1 or a signal is "again later" (the delay
 * doubles), 2 and more is the end. A run that takes too long is killed. Children get our environment and no descriptors but 0, 1, 2.
 */
import { constants } from "node:os";

const MAX_QUEUE = 256;
const MAX_RUNNING = 16;
const MAX_RUNS = 10;

export interface ScriptOptions {
  /** An event of the queue's own: log line, and published unless debug. */
  emit(level: "debug" | "warning", type: string, payload: string): void;
  maxRuntimeMs(): number;
  retryDelayMs(): number;
}

export interface Job {
  readonly argv: string[];
  running: boolean;
  pid: number;
  /** Number of runs so far. */
  runs: number;
  /** Running: since when. Waiting: not before; 0 at once. */
  atMs: number;
}

export class ScriptQueue {
  readonly jobs: Job[];
  private readonly options: ScriptOptions;
  private timer: ReturnType<typeof setTimeout> | null;

  constructor(options: ScriptOptions) {
    this.options = options;
    this.jobs = [];
    this.timer = null;
  }

  get running(): number {
    return this.jobs.reduce((n, j) => n + (j.running ? 1 : 0), 0);
  }

  add(path: string, args: string[]): void {
    this.jobs.push({ argv: [path, ...args], running: false, pid: 0, runs: 0, atMs: 0 });
    if (this.jobs.length > MAX_QUEUE) {
      const oldest = this.jobs.findIndex((j) => !j.running);
      if (oldest >= 0) this.jobs.splice(oldest, 1);
    }
    // Not within the engine's list of actions: starting a process takes a millisecond, and a failover is under way.
    this.soon(0);
  }

  private soon(ms: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.turn();
    }, ms);
  }

  /** Kills what takes too long, starts what may start, and comes back when there is more to do. */
  private turn(): void {
    const now = performance.now();
    let next = Infinity;
    for (const job of this.jobs) {
      if (!job.running) continue;
      const end = job.atMs + this.options.maxRuntimeMs();
      if (now > end) {
        this.options.emit("warning", "-script-timeout", `${job.argv[0]} ${job.pid}`);
        try {
          process.kill(job.pid, "SIGKILL");
        } catch {
          // it has just ended
        }
        next = Math.min(next, now + 1000);
      } else next = Math.min(next, end);
    }
    for (const job of this.jobs) {
      if (job.running) continue;
      if (job.atMs > now) next = Math.min(next, job.atMs);
      else if (this.running < MAX_RUNNING) this.run(job);
    }
    for (const job of this.jobs) if (job.running) next = Math.min(next, job.atMs + this.options.maxRuntimeMs());
    if (next !== Infinity) this.soon(Math.max(1, Math.ceil(next - now) + 1));
  }

  private run(job: Job): void {
    job.runs++;
    job.running = true;
    job.atMs = performance.now();
    try {
      const child = Bun.spawn(job.argv, {
        stdio: ["ignore", "inherit", "inherit"],
        env: process.env,
        onExit: (_p, code, signal) => this.ended(job, code, signal),
      });
      child.unref();
      job.pid = child.pid;
      this.options.emit("debug", "+script-child", String(child.pid));
    } catch {
      // As an exec that fails in the original's child: exit code 2, no retry.
      queueMicrotask(() => this.ended(job, 2, null));
    }
  }

  private ended(job: Job, code: number | null, signal: number | string | null): void {
    const bySignal = signalNumber(signal);
    this.options.emit("debug", "-script-child", `${job.pid} ${code ?? 0} ${bySignal}`);
    job.running = false;
    if ((bySignal !== 0 || code === 1) && job.runs < MAX_RUNS) {
      job.pid = 0;
      job.atMs = performance.now() + this.options.retryDelayMs() * 2 ** (job.runs - 1);
    } else {
      if (bySignal !== 0 || code !== 0) this.options.emit("warning", "-script-error", `${job.argv[0]} ${bySignal} ${code ?? 0}`);
      const at = this.jobs.indexOf(job);
      if (at >= 0) this.jobs.splice(at, 1);
    }
    this.soon(0);
  }
}

function signalNumber(signal: number | string | null): number {
  if (typeof signal === "number") return signal;
  return signal === null ? 0 : ((constants.signals as Record<string, number>)[signal] ?? 1);
}

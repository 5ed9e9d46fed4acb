/**
 * The processes of a set: each a copy of this program with a file of its own, started, looked at, stopped. Cold.
 *
 * Every part has its own session, so that Ctrl-C reaches only us and the order of the end is ours. What a part prints goes to its log.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { cleanEnvironment, ownCommand } from "../cli/self.ts";
import { look } from "./look.ts";
import type { Part, PartKind } from "./plan.ts";
import type { PartState } from "./view.ts";

const LOOK_MS = 250;
/** So long a part may take until it listens. */
const BIRTH_MS = 5000;
/** For one that saves a big data set at its end. */
const STOP_MS = 60_000;

type Child = ReturnType<typeof Bun.spawn>;

interface Running {
  child: Child;
  /** Where in the log its own lines begin. */
  logStart: number;
  startedAtMs: number;
}

const hasEnded = (child: Child): boolean => child.exitCode !== null || child.signalCode !== null;

export class Stack {
  readonly states: PartState[];
  private readonly running: Map<PartState, Running>;
  stopping: boolean;

  constructor(parts: readonly Part[]) {
    this.states = parts.map((part) => ({ part, pid: 0, life: "not started", facts: {}, looked: false }));
    this.running = new Map();
    this.stopping = false;
  }

  of(kind: PartKind): PartState[] {
    return this.states.filter((s) => s.part.kind === kind);
  }

  /** Starts a part's process; its folder and file are made when they are missing. Throws what the system says when they cannot be. */
  start(state: PartState): void {
    const { part } = state;
    mkdirSync(part.folder, { recursive: true });
    if (!existsSync(part.file)) writeFileSync(part.file, part.text);
    const log = openSync(part.log, "a");
    const logStart = statSync(part.log).size;
    const child = Bun.spawn([...ownCommand(), ...part.args], {
      cwd: part.folder,
      env: cleanEnvironment(),
      detached: true,
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    closeSync(log);
    const running = { child, logStart, startedAtMs: performance.now() };
    this.running.set(state, running);
    state.pid = child.pid;
    state.life = "running";
    state.facts = {};
    state.looked = false;
    void child.exited.then(() => {
      state.life = child.signalCode !== null ? `killed by ${child.signalCode}` : `ended with ${child.exitCode}`;
      state.facts = {};
    });
    void this.watch(state, running);
  }

  startDead(): void {
    if (!this.stopping) for (const s of this.states) if (s.life !== "running") this.start(s);
  }

  /** Asks one part again and again while its process lives; one that hangs delays no other. */
  private async watch(state: PartState, { child, startedAtMs }: Running): Promise<void> {
    while (!hasEnded(child) && !this.stopping) {
      const facts = await look(state.part);
      if (hasEnded(child)) return;
      state.facts = facts;
      // A process that has only just been started refuses: that says nothing yet.
      if (Object.keys(facts).length > 0 || performance.now() - startedAtMs > BIRTH_MS) state.looked = true;
      await Bun.sleep(state.looked ? LOOK_MS : LOOK_MS / 5);
    }
  }

  /** The last lines that a part has printed since it was started. */
  lastWords(state: PartState, lines = 6): string[] {
    const from = this.running.get(state)?.logStart ?? 0;
    const text = existsSync(state.part.log) ? readFileSync(state.part.log, "latin1").slice(from) : "";
    return text
      .split("\n")
      .filter((l) => l.trim() !== "")
      .slice(-lines);
  }

  /** Proxy first, then Sentinels, then servers: nobody fails over because of us. A second call kills what is left. */
  async stop(): Promise<void> {
    if (this.stopping) {
      for (const { child } of this.running.values()) if (!hasEnded(child)) child.kill("SIGKILL");
      return;
    }
    this.stopping = true;
    for (const kind of ["proxy", "sentinel", "server"] as const) {
      await Promise.all(
        this.of(kind).map(async (s) => {
          const child = this.running.get(s)?.child;
          if (child === undefined || hasEnded(child)) return;
          // One that the user has frozen must be able to hear it.
          child.kill("SIGCONT");
          child.kill("SIGTERM");
          const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
          await child.exited;
          clearTimeout(timer);
        }),
      );
    }
  }
}

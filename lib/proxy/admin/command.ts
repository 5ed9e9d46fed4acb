/** What a command of the Runtime API is: its words, who may use it, what it answers. Rows: commands_show.ts, commands_set.ts; table.ts. COLD. */
import type { Engine } from "../engine.ts";
import type { Ring } from "../log_targets.ts";
import type { Backend, Server } from "../state.ts";

/** 0 user, 1 operator, 2 admin. */
export type Level = 0 | 1 | 2;
export const LEVELS = ["user", "operator", "admin"] as const;

export interface Call {
  readonly engine: Engine;
  /** The words of the command, unescaped. */
  readonly args: string[];
  /** Of the connection; operator and user lower it. */
  level: Level;
  /** Changes the connection's own time-out; seconds. */
  setTimeout(seconds: number): void;
  /** New lines of a ring go to this connection until it says something. */
  follow(ring: Ring): void;
  /** What came behind `<<`. */
  readonly payload: string;
}

export interface Command {
  /** The words that name it. */
  words: string;
  usage: string;
  help: string;
  level: Level;
  /** The reply, with the newline that belongs to it; a second one is added for all. */
  run(call: Call): string;
}

export function command(usage: string, help: string, level: Level, run: Command["run"]): Command {
  const words = usage
    .split(" ")
    .filter((w) => /^[a-z-]+$/.test(w))
    .join(" ");
  return { words, usage, help, level, run };
}

/** Finds `be/s`; a text is the reply when there is none. */
export function serverOf(engine: Engine, path: string | undefined): Server | string {
  const [backend, name] = (path ?? "").split("/");
  if (backend === undefined || name === undefined || name === "") return "Require 'backend/server'.\n";
  const back = engine.backends.get(backend);
  if (back === undefined) return "No such backend.\n";
  return back.servers.find((s) => s.name === name) ?? "No such server.\n";
}
export function backendOf(engine: Engine, name: string): Backend | null {
  return engine.backends.get(name) ?? null;
}

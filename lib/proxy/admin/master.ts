/**
 * The master CLI of -S (HAProxy management guide 9.4). One process is master and worker here: `@1` and `@!PID` lead to the Runtime API,
 * `@master` and no prefix to the few commands of the master; `reload` starts the successor and says how that went. COLD.
 */
import { haproxyVersionNumber } from "../../cli/version.ts";
import type { Engine } from "../engine.ts";
import { succeed } from "../life.ts";
import { command, LEVELS, type Call, type Command } from "./command.ts";
import { COMMANDS, find, help, run, unknown } from "./table.ts";

/** Whom a command is for. */
export type Receiver = "master" | "worker";

/** Takes the prefix off: who is meant by it, null when the words have none, or the reply when it means nobody. */
export function receiver(args: string[]): Receiver | null | { error: string } {
  const word = args[0]!;
  if (!word.startsWith("@")) return null;
  args.shift();
  if (word === "@master" || word === "@0") return "master";
  if (word === "@1" || word === `@!${process.pid}`) return "worker";
  return { error: `Can't find the target PID matching the prefix '${word}'` };
}

const reloading = async ({ engine }: Call): Promise<string> => {
  const error = await succeed(engine);
  return error === null ? "Success=1\n" : `Success=0\n--\n${error}\n`;
};
/** What the master itself knows, besides what every connection knows. */
const OWN_COMMANDS: Command[] = [
  command("show cli level", "level of this connection", 0, ({ level }) => `${LEVELS[level]}\n`),
  command("show cli sockets", "admin sockets of the master: none", 0, () => ""),
  command("show proc", "processes", 0, ({ engine }) => processes(engine)),
  ...COMMANDS.filter((c) => /^(show version|operator|user)$/.test(c.words)),
];
/** Those that take their time; in the tables for help alone. */
const SLOW: Command[] = [
  command("@!<pid>", "what follows is for that process", 0, () => ""),
  command("@<relative pid>", "what follows is for that worker", 0, () => ""),
  command("@master", "what follows is for the master", 0, () => ""),
  command("reload", "start a successor that takes over", 2, () => ""),
];
const ALL = [...OWN_COMMANDS, ...SLOW].sort((a, b) => (a.usage < b.usage ? -1 : 1));

/** The reply to one command on the master's socket. */
export async function masterAnswer(call: Call, to: Receiver): Promise<string> {
  const { args } = call;
  if (to === "worker") return args[0] === "help" ? help(args.slice(1), call.level) : run(call);
  if (args[0] === "help") return help(args.slice(1), call.level, ALL);
  if (args[0] === "reload" || args[0] === "hard-reload") return call.level < 2 ? "Permission denied\n" : await reloading(call);
  const c = find(args, OWN_COMMANDS);
  return c === null ? unknown(args, call.level, ALL) : c.run(call);
}

function processes(engine: Engine): string {
  const s = Math.floor((Date.now() - engine.startedAt) / 1000);
  const two = (n: number): string => String(n).padStart(2, "0");
  const up = `${Math.floor(s / 86400)}d${two(Math.floor(s / 3600) % 24)}h${two(Math.floor(s / 60) % 60)}m${two(s % 60)}s`;
  const row = (...cells: string[]): string => `${cells.map((c) => c.padEnd(15)).join(" ")}\n`;
  const version = haproxyVersionNumber();
  return (
    row("#<PID>", "<type>", "<reloads>", "<uptime>", "<version>") +
    row(String(process.pid), "master", "0 [failed: 0]", up, version) +
    "# workers\n" +
    row(String(process.pid), "worker", "0", up, version) +
    "# programs\n"
  );
}

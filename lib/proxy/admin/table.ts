/** Finds a command of the Runtime API by its words, and answers what is not one: help, suggestions, levels (HAProxy management guide 9.3). COLD. */
import { type Call, type Command, command } from "./command.ts";
import { REDIS } from "./commands_redis.ts";
import { SET } from "./commands_set.ts";
import { SHOW } from "./commands_show.ts";

const lower =
  (to: 0 | 1): Command["run"] =>
  (call) => {
    if (call.level > to) call.level = to;
    return "";
  };
const LEVELLING: Command[] = [command("operator", "go on as operator", 0, lower(1)), command("user", "go on as user", 0, lower(0))];
/** Answered by the connection itself. */
export const OWN: Command[] = [
  command("help [<command>]", "commands, or those that match", 0, () => ""),
  command("prompt", "switch the prompt on or off", 0, () => ""),
  command("quit", "end the connection", 0, () => ""),
];
export const COMMANDS: Command[] = [...SHOW, ...SET, ...REDIS, ...LEVELLING].sort((a, b) =>
  a.words < b.words ? -1 : a.words > b.words ? 1 : 0,
);

export function find(args: string[], among: readonly Command[] = COMMANDS): Command | null {
  let best: Command | null = null;
  for (const c of among) {
    const words = c.words.split(" ");
    if (words.every((w, i) => args[i] === w) && (best === null || words.length > best.words.split(" ").length)) best = c;
  }
  return best;
}

const line = (c: Command): string => `  ${c.usage.padEnd(40)}: ${c.help}\n`;
function list(head: string, commands: Command[]): string {
  return `${head}\n${[...commands, ...OWN].map(line).join("")}`;
}
/** Those whose first words the arguments have; failing that, those that begin alike. */
function matching(args: string[], level: number, among: readonly Command[]): Command[] {
  const seen = among.filter((c) => c.level <= level);
  for (let n = args.length; n > 0; n--) {
    const found = seen.filter((c) => args.slice(0, n).every((a, i) => c.words.split(" ")[i] === a));
    if (found.length > 0) return found;
  }
  const first = args[0] ?? "";
  return seen.filter((c) => first !== "" && c.words.split(" ").some((w) => w.startsWith(first.slice(0, 3))));
}
export function help(args: string[], level: number, among: readonly Command[] = COMMANDS): string {
  const all = args.length === 0 ? among.filter((c) => c.level <= level) : matching(args, level, among);
  return list("The following commands are valid at this level:", all);
}
export function unknown(args: string[], level: number, among: readonly Command[] = COMMANDS): string {
  const near = matching(args, level, among);
  const head =
    near.length > 0
      ? "Unknown command, but maybe one of the following ones is a better match:"
      : "Unknown command. Please enter one of the following commands only :";
  return list(head, near.length > 0 ? near : among.filter((c) => c.level <= level));
}

/** Runs one command. */
export function run(call: Call): string {
  const c = find(call.args);
  if (c === null) return unknown(call.args, call.level);
  return c.level > call.level ? "Permission denied\n" : c.run(call);
}

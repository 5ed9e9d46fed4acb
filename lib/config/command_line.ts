/**
 * `redisha [file] [--name value ...] [-]`: the options become lines that are read after the file, so that the last word is theirs. Pure, cold.
 * Redis server.c: main, with the rules of 7.2 for `--save` and `--sentinel` without a value and for values that begin with `--`.
 */
import { quoteArg, splitArgs } from "../bytes/args.ts";

export interface RedisArguments {
  /** As it was typed; null when the first argument is an option or missing. */
  file: string | null;
  /** `-` as the first or the last argument: more lines come from standard input. */
  stdin: boolean;
  /** Lines to read after the file; null when there were no arguments at all. */
  options: string | null;
}

/** `args`: everything behind the program's name. */
export function readRedisArguments(args: readonly string[]): RedisArguments {
  if (args.length === 0) return { file: null, stdin: false, options: null };
  const file = args[0].startsWith("-") ? null : args[0];
  let stdin = false;
  let options = "";
  /** The option before has its value: the next `--word` is an option again and not its value. */
  let complete = true;
  for (let i = file === null ? 0 : 1; i < args.length; i++) {
    const arg = args[i];
    const last = i === args.length - 1;
    if (arg === "-" && (i === 0 || last)) {
      stdin = true;
    } else if (complete && arg.startsWith("--")) {
      if (options !== "") options += "\n";
      options += `${arg.slice(2)} `;
      // "--port 6380" in one argument brings its value along.
      complete = splitArgs(arg)?.length !== 1;
      if (complete) continue;
      const bare = arg.toLowerCase();
      const nextIsOption = !last && args[i + 1].startsWith("--");
      if (bare === "--save" && (nextIsOption || last)) options += '""';
      if ((bare === "--save" || bare === "--sentinel") && nextIsOption) complete = true;
    } else {
      options += `${quoteArg(arg)} `;
      complete = true;
    }
  }
  return { file, stdin, options };
}

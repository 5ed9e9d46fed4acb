/**
 * From rows to commands: gives the rows that a mode serves the mode's functions. COLD, once at start.
 *
 *   rowTable(mode) rows + { "get": run, "client|list": run, ... } --bindRows--> dispatcher.table
 *
 * A row without a function is left out, so a command that nobody has written is unknown to clients.
 */
import type { Row } from "../commands/table/row.ts";
import type { Command, Run } from "./command.ts";
import type { Dispatcher } from "./dispatch.ts";

/** Functions by full row name, lower case: `get`, `client|list`. */
export type Runs = Readonly<Record<string, Run>>;

/** What a container does for itself: COMMAND alone answers, others want a subcommand (the arity sees to that). */
const NOTHING: Run = (call) => call.out.errorText(`ERR wrong number of arguments for '${call.command.name}' command`);

export interface BindOptions {
  /** The HELP of a container without a function of its own. */
  help?: (container: Row, call: Parameters<Run>[0]) => void;
  /** rename-command: lower-case name to its new one, "" to none. The command keeps its own name in replies and statistics. */
  renamed?: ReadonlyMap<string, string>;
}

/**
 * Binds every row that has a function in `runs`, containers with those of their subcommands that have one.
 * Returns the names in `runs` that no row has: a typing error of ours.
 */
export function bindRows(dispatcher: Dispatcher, rows: readonly Row[], runs: Runs, options: BindOptions = {}): string[] {
  const left = new Set(Object.keys(runs));
  for (const row of rows) {
    if (row.parent !== null) continue;
    const subs = (row.subcommands ?? []).filter((sub) => runs[sub.name] !== undefined || (sub.shortName === "help" && options.help));
    const own = runs[row.name];
    left.delete(row.name);
    for (const sub of subs) left.delete(sub.name);
    // A container of which nothing but HELP would be left is not served.
    if (own === undefined && !subs.some((sub) => runs[sub.name] !== undefined)) continue;
    const name = options.renamed?.get(row.name) ?? row.name;
    const command = dispatcher.bind(row, own ?? NOTHING, null, row.subcommands !== null, name);
    for (const sub of subs) dispatcher.bind(sub, runs[sub.name] ?? helpOf(row, options), command);
  }
  return [...left];
}

function helpOf(container: Row, options: BindOptions): Run {
  const help = options.help!;
  return (call) => help(container, call);
}

/** The row of a command that bindRows has bound. */
export function rowOf(command: Command): Row {
  return command.facts as Row;
}

/** `rename-command` lines on the command table, with Redis' words (config.c: loadServerConfigFromString). Cold. */
import { rowTable, type TableMode } from "./table/index.ts";

/** A handler for the configuration's reader: renames in the mode's table, or says why not. */
export function commandRenamer(mode: TableMode): (from: string, to: string) => string | null {
  return (from, to) => {
    const outcome = rowTable(mode).rename(from, to);
    if (outcome === "no such command") return "No such command in rename-command";
    return outcome === "name taken" ? "Target command name already exists" : null;
  };
}

/**
 * What a script's or function's own flags (no-writes, allow-oom, allow-stale) make of the command that calls it. COLD at start; the look-up is
 * WARM while a gate is closed. Redis 7.2 script.c scriptFlagsToCmdFlags, eval.c evalGetCommandFlags, functions.c fcallGetCommandFlags.
 */
import type { Call } from "../../clients/call.ts";
import { type CommandTable, GATE_MISCONF, GATE_NOREPLICAS, GATE_PAUSED_WRITES, GATE_READONLY, GATE_STALE } from "../../clients/command.ts";
import { FLAG } from "../../commands/table/row.ts";
import type { Scripting } from "./scripting.ts";
import { readShebang, SCRIPT_ALLOW_OOM, SCRIPT_ALLOW_STALE, SCRIPT_COMPATIBLE, SCRIPT_NO_WRITES } from "./shebang.ts";

/** The command's flags for a script with these. */
function commandFlags(flags: number, script: number): number {
  let f = flags & ~(FLAG.stale | FLAG.denyoom | FLAG.write | FLAG.may_replicate);
  // no-writes implies allow-oom.
  if (!(script & (SCRIPT_ALLOW_OOM | SCRIPT_NO_WRITES))) f |= FLAG.denyoom;
  if (!(script & SCRIPT_NO_WRITES)) f |= FLAG.write;
  if (script & SCRIPT_ALLOW_STALE) f |= FLAG.stale;
  return f;
}

/** Lets dispatch ask EVAL, FCALL and their kin for the flags of each call. */
export function askScripts(s: Scripting, table: CommandTable): void {
  const bySha = (c: Call): number => s.cache.scripts.get(c.lower(1))?.flags ?? SCRIPT_COMPATIBLE;
  const byText = (c: Call): number => {
    const head = readShebang(c.view(1));
    return typeof head === "string" ? SCRIPT_COMPATIBLE : head.flags;
  };
  const byName = (c: Call): number => s.functions.current.find(c.text(1))?.flags ?? SCRIPT_COMPATIBLE;
  const ways: Record<string, (c: Call) => number> = {
    eval: byText,
    eval_ro: byText,
    evalsha: bySha,
    evalsha_ro: bySha,
    fcall: byName,
    fcall_ro: byName,
  };
  for (const command of table.all) {
    const way = ways[command.name];
    if (way === undefined) continue;
    command.gates |= GATE_READONLY | GATE_MISCONF | GATE_NOREPLICAS | GATE_PAUSED_WRITES | GATE_STALE;
    command.ask = (c) => {
      const flags = way(c);
      return flags & SCRIPT_COMPATIBLE ? command.flags : commandFlags(command.flags, flags);
    };
  }
}

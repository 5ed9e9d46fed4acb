/**
 * The harness of both.ts with our side in this process: commands run on a keyspace without server and sockets (local.ts). For families whose
 * tests should not wait for a build. OBJECT and CONFIG SET are there as far as such tests need them.
 */
import type { Call } from "../../lib/clients/call.ts";
import type { Run } from "../../lib/clients/command.ts";
import { genericRuns } from "../../lib/commands/generic.ts";
import { stringRuns } from "../../lib/commands/string.ts";
import { settings } from "../../lib/store/settings.ts";
import { Both } from "./both.ts";
import { Local } from "./local.ts";
import { startServer } from "./programs.ts";
import { Wire } from "./wire.ts";

/** `hash-max-listpack-entries` is the field hashMaxListpackEntries of the settings. */
function configSet(c: Call): void {
  const field = c.lower(2).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as "hashMaxListpackEntries";
  if (!(field in settings)) throw new Error(`no setting ${field}`);
  settings[field] = c.integer(3);
  c.out.ok();
}

/** Starts the original and runs our side in this process with these commands besides the strings' and the generic ones. */
export async function startLocalBoth(resp: 2 | 3, runs: Record<string, Run>): Promise<Both> {
  const original = await startServer("redis");
  const wire = await Wire.connect(original.port);
  if (resp === 3) await wire.do("HELLO", 3);
  const all: Record<string, Run> = { ...stringRuns, ...runs, config: configSet };
  const local = new Local(all, resp);
  const generic = genericRuns([local.keyspace]);
  Object.assign(all, generic, { object: (c: Call) => generic[`object|${c.lower(1)}`](c) });
  const defaults = { ...settings };
  const ours = {
    do: (...args: (string | number | Buffer)[]) => Promise.resolve(local.do(...args)),
    close: () => Object.assign(settings, defaults),
  };
  return Object.assign(Object.create(Both.prototype) as Both, {
    original,
    ours: { [Symbol.asyncDispose]: () => Promise.resolve() },
    wires: [wire, ours],
  });
}

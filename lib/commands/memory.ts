/** MEMORY USAGE (Redis object.c). Cold. The other subcommands need the server's figures. */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { ERR } from "../resp/errors.ts";
import { keyBytesUsed } from "../store/memory.ts";
import { keyspaceOf } from "./effects.ts";

/** MEMORY USAGE key [SAMPLES n]: bytes, nil for a missing key. Samples are not needed: every byte is counted as it is taken. */
function usage(c: Call): void {
  for (let i = 3; i < c.argc; i += 2) {
    if (!c.is(i, "samples") || i + 1 === c.argc) return c.out.error(ERR.syntax);
    const samples = c.integerOrFail(i + 1);
    if (Number.isNaN(samples)) return;
    if (samples < 0) return c.out.error(ERR.syntax);
  }
  const ref = keyspaceOf(c).peek(c.buf, c.s(2), c.e(2));
  if (ref === 0) c.out.nil();
  else c.out.int(keyBytesUsed(ref));
}

export const memoryRuns: Record<string, Run> = { "memory|usage": usage };

/** EVAL, EVALSHA, their _RO forms, SCRIPT. Cold around scripting.ts. Redis 7.2 eval.c. */
import type { Runs } from "../../clients/bind.ts";
import type { Call } from "../../clients/call.ts";
import { errorLine } from "../../resp/errors.ts";
import { SHA1_HEX } from "../../bytes/sha1.ts";
import type { Script } from "./script_cache.ts";
import type { Scripting } from "./scripting.ts";

const NOSCRIPT = errorLine("NOSCRIPT No matching script. Please use EVAL.");
const NOT_BY_SHA = errorLine("ERR Please use EVAL instead of EVALSHA for debugging");
const TOO_MANY_KEYS = errorLine("ERR Number of keys can't be greater than number of args");
const NEGATIVE_KEYS = errorLine("ERR Number of keys can't be negative");

/** EVAL and EVALSHA after the choice of the script. */
function evaluate(s: Scripting, c: Call, bySha: boolean, readOnly: boolean): void {
  // Before the script's own commands, which MONITOR shows as they run.
  s.server.service.monitor.line(c);
  if (bySha && s.debuggers.has(c.client)) return c.out.error(NOT_BY_SHA);
  if (bySha && c.len(1) !== SHA1_HEX) return c.out.error(NOSCRIPT);
  const numKeys = c.integerOrFail(2);
  if (Number.isNaN(numKeys)) return;
  if (numKeys > c.argc - 3) return c.out.error(TOO_MANY_KEYS);
  if (numKeys < 0) return c.out.error(NEGATIVE_KEYS);
  let script: Script | string | undefined;
  if (bySha) {
    script = s.cache.find(c.lower(1));
    if (script === undefined) return c.out.error(NOSCRIPT);
  } else {
    script = s.add(c.view(1), false);
    if (typeof script === "string") return c.out.errorText(script);
  }
  s.execute(c, script, numKeys, readOnly);
}

export function scriptingRuns(s: Scripting): Runs {
  return {
    eval: (c) => evaluate(s, c, false, false),
    eval_ro: (c) => evaluate(s, c, false, true),
    evalsha: (c) => evaluate(s, c, true, false),
    evalsha_ro: (c) => evaluate(s, c, true, true),
    "script|load": (c) => {
      const script = s.add(c.view(2), true);
      if (typeof script === "string") c.out.errorText(script);
      else c.out.bulkText(script.name);
    },
    "script|exists": (c) => {
      c.out.array(c.argc - 2);
      for (let i = 2; i < c.argc; i++) c.out.int(s.cache.scripts.has(c.lower(i)) ? 1 : 0);
    },
    "script|flush": (c) => {
      if (c.argc > 3 || (c.argc === 3 && !c.is(2, "sync") && !c.is(2, "async")))
        return c.out.errorText("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
      s.flush();
      c.out.ok();
    },
    "script|kill": (c) => {
      const why = s.kill(true);
      if (why !== null) c.out.error(why);
      else c.out.ok();
    },
    "script|debug": (c) => {
      const { client, out } = c;
      if (out.pendingBytes() > 0) return out.errorText("ERR SCRIPT DEBUG must be called outside a pipeline");
      if (c.is(2, "yes")) return out.errorText("ERR redisha debugs scripts in sync mode only: SCRIPT DEBUG SYNC");
      if (c.is(2, "sync")) s.debuggers.add(client);
      else if (c.is(2, "no")) s.debuggers.delete(client);
      else return out.errorText("ERR Use SCRIPT DEBUG YES/SYNC/NO");
      out.ok();
    },
  };
}

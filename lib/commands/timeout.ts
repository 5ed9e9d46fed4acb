/** The timeout argument of commands that wait, and what they do when they must not. Cold. Redis timeout.c getTimeoutFromObjectOrReply. */
import { parseDouble } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import { FLAG_DENY_BLOCKING } from "../clients/client.ts";
import { ERR } from "../resp/errors.ts";

/** Argument i, in seconds with decimals, as milliseconds (0: for ever); NaN after a reply. */
export function timeoutArg(c: Call, i: number): number {
  const seconds = parseDouble(c.buf, c.s(i), c.e(i));
  if (seconds !== seconds) {
    c.out.error(ERR.timeoutNotFloat);
    return NaN;
  }
  const ms = Math.ceil(seconds * 1000);
  if (ms >= 2 ** 63) {
    c.out.error(ERR.timeoutOutOfRange);
    return NaN;
  }
  if (ms < 0) {
    c.out.error(ERR.timeoutNegative);
    return NaN;
  }
  return ms;
}

/** Inside EXEC and scripts nobody waits. */
export function mayBlock(c: Call): boolean {
  return (c.client.flags & FLAG_DENY_BLOCKING) === 0;
}

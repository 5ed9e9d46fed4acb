/** What SCAN, SSCAN, HSCAN and ZSCAN share: reading the cursor and the options. Cold. Redis db.c scanGenericCommand. */
import { globMatch, isMatchAll } from "../bytes/glob.ts";
import { parseInt64, parseUint64 } from "../bytes/number.ts";
import type { Call } from "../clients/call.ts";
import { ERR, errorLine } from "../resp/errors.ts";

const INVALID_CURSOR = errorLine("ERR invalid cursor");

/** Where an iteration stands and what it wants. One object, reused: SCAN does not nest. */
export const scanOptions = {
  cursor: 0,
  count: 10,
  /** Argument index of the pattern; 0: everything matches. */
  pattern: 0,
  /** Lower-case type name, "" for all. SCAN only. */
  type: "",
};

/** Reads `cursor [MATCH p] [COUNT n] [TYPE t]` from argument i on; false when a reply was given. */
export function readScan(c: Call, i: number, withType: boolean): boolean {
  const o = scanOptions;
  o.count = 10;
  o.pattern = 0;
  o.type = "";
  if (!parseUint64(c.buf, c.s(i), c.e(i)) || c.len(i) === 0) {
    c.out.error(INVALID_CURSOR);
    return false;
  }
  const cursor = parseInt64(c.buf, c.s(i), c.e(i));
  // A cursor beyond 2^53 was never given out; any will do, as in Redis.
  o.cursor = Number.isNaN(cursor) || cursor < 0 ? 0 : cursor;
  for (let k = i + 1; k < c.argc; k += 2) {
    if (k + 1 >= c.argc) {
      c.out.error(ERR.syntax);
      return false;
    }
    if (c.is(k, "count")) {
      const n = c.integerOrFail(k + 1);
      if (Number.isNaN(n)) return false;
      if (n < 1) {
        c.out.error(ERR.syntax);
        return false;
      }
      o.count = n;
    } else if (c.is(k, "match")) o.pattern = isMatchAll(c.buf, c.s(k + 1), c.e(k + 1)) ? 0 : k + 1;
    else if (withType && c.is(k, "type")) o.type = c.lower(k + 1);
    else {
      c.out.error(ERR.syntax);
      return false;
    }
  }
  return true;
}

/** Does b[start, end) match the pattern of this scan? */
export function scanMatches(c: Call, b: Uint8Array, start: number, end: number): boolean {
  const p = scanOptions.pattern;
  return p === 0 || globMatch(c.buf, c.s(p), c.e(p), b, start, end, false);
}

/** What SCAN, SSCAN, HSCAN and ZSCAN share: reading the cursor and the options. Cold. Redis db.c scanGenericCommand. */
import { globMatch, isMatchAll } from "../bytes/glob.ts";
import { parseUint64, u64Lo } from "../bytes/number.ts";
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
  return readCursor(c, i) && readScanOptions(c, i + 1, withType);
}

/**
 * Reads argument i as a cursor; false when a reply was given. As C's strtoul: a sign and the empty text pass, blanks do not. Our cursors have
 * 32 bits; of a larger number, which was never given out, the low ones are taken.
 */
export function readCursor(c: Call, i: number): boolean {
  const start = c.s(i);
  const end = c.e(i);
  const negative = start < end && c.buf[start] === 45;
  const digits = negative || (start < end && c.buf[start] === 43) ? start + 1 : start;
  if (start === end) scanOptions.cursor = 0;
  else if (digits < end && c.buf[digits] >= 48 && c.buf[digits] <= 57 && parseUint64(c.buf, digits, end))
    scanOptions.cursor = negative ? -u64Lo >>> 0 : u64Lo;
  else {
    c.out.error(INVALID_CURSOR);
    return false;
  }
  return true;
}

/** Reads the options from argument i on; false when a reply was given. The commands on one key look it up between cursor and options. */
export function readScanOptions(c: Call, i: number, withType: boolean): boolean {
  const o = scanOptions;
  o.count = 10;
  o.pattern = 0;
  o.type = "";
  for (let k = i; k < c.argc; k += 2) {
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

/** The head of a scan's reply: two elements, the first one the next cursor. The array of what was found follows. */
export function replyCursor(c: Call, cursor: number): void {
  c.out.array(2);
  c.out.bulkText(String(cursor));
}

/** Does b[start, end) match the pattern of this scan? */
export function scanMatches(c: Call, b: Uint8Array, start: number, end: number): boolean {
  const p = scanOptions.pattern;
  return p === 0 || globMatch(c.buf, c.s(p), c.e(p), b, start, end, false);
}

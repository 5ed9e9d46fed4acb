/**
 * LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]: the longest common subsequence of two strings (Redis t_string.c). Warm.
 * The usual table of the lengths for all pairs of prefixes, then a walk back through it; its size is bounded by proto-max-bulk-len.
 */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { STRING, typeOf } from "../store/entry.ts";
import { settings } from "../store/settings.ts";
import * as value from "../store/string.ts";
import { keyspaceOf } from "./effects.ts";

const NOT_STRINGS = errorLine("ERR The specified keys must contain string values");
const BOTH = errorLine("ERR If you want both the length and indexes, please just use IDX.");
const TOO_LARGE = errorLine("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
const NO_MEMORY = errorLine("ERR Insufficient memory, failed allocating transient memory for LCS");

/** The bytes of a string (0: a missing one), as a view until something changes. */
function bytesOf(ref: number): Buffer {
  if (ref === 0) return NOTHING;
  value.region(ref);
  return value.valueBuffer.subarray(value.valueFrom, value.valueTo);
}
const NOTHING = Buffer.alloc(0);

/** table[i * (b.length + 1) + j] is the length for a[0, i) and b[0, j). Null when there is no memory for it. */
function lengths(a: Buffer, b: Buffer): Uint32Array | null {
  const row = b.length + 1;
  let table: Uint32Array;
  try {
    table = new Uint32Array((a.length + 1) * row);
  } catch {
    return null;
  }
  for (let i = 1; i <= a.length; i++) {
    const byte = a[i - 1];
    let at = i * row + 1;
    for (let j = 0; j < b.length; j++, at++) {
      if (byte === b[j]) table[at] = table[at - row - 1] + 1;
      else {
        const up = table[at - row];
        const left = table[at - 1];
        table[at] = up > left ? up : left;
      }
    }
  }
  return table;
}

/** A run of equal bytes: a[i, i + length) and b[j, j + length). */
interface Match {
  i: number;
  j: number;
  length: number;
}

/** The runs that make up the subsequence, the last one first. */
function matches(a: Buffer, b: Buffer, table: Uint32Array): Match[] {
  const row = b.length + 1;
  const found: Match[] = [];
  let open: Match | null = null;
  for (let i = a.length, j = b.length; i > 0 && j > 0;) {
    if (a[i - 1] === b[j - 1]) {
      i--;
      j--;
      if (open === null) found.push((open = { i, j, length: 1 }));
      else {
        open.i = i;
        open.j = j;
        open.length++;
      }
    } else {
      open = null;
      if (table[(i - 1) * row + j] > table[i * row + j - 1]) i--;
      else j--;
    }
  }
  return found;
}

function lcs(c: Call): void {
  const ks = keyspaceOf(c);
  const first = ks.lookupRead(c.buf, c.s(1), c.e(1));
  const second = ks.lookupRead(c.buf, c.s(2), c.e(2));
  if ((first !== 0 && typeOf(first) !== STRING) || (second !== 0 && typeOf(second) !== STRING)) return c.out.error(NOT_STRINGS);
  let length = false;
  let indexes = false;
  let withLength = false;
  let shortest = 0;
  for (let i = 3; i < c.argc; i++) {
    if (c.is(i, "idx")) indexes = true;
    else if (c.is(i, "len")) length = true;
    else if (c.is(i, "withmatchlen")) withLength = true;
    else if (c.is(i, "minmatchlen") && i + 1 < c.argc) {
      shortest = c.wideInteger(++i);
      if (shortest !== shortest) return c.out.error(ERR.notInteger);
    } else return c.out.error(ERR.syntax);
  }
  if (length && indexes) return c.out.error(BOTH);
  const a = bytesOf(first);
  const b = bytesOf(second);
  if ((a.length + 1) * (b.length + 1) * 4 > settings.protoMaxBulkBytes) return c.out.error(TOO_LARGE);
  const table = lengths(a, b);
  if (table === null) return c.out.error(NO_MEMORY);
  const total = table[table.length - 1];
  if (length) return c.out.int(total);
  const found = matches(a, b, table);
  if (indexes) {
    replyIndexes(
      c,
      found.filter((m) => m.length >= shortest),
      withLength,
      total,
    );
    return;
  }
  const text = Buffer.allocUnsafe(total);
  let end = total;
  for (const m of found) {
    end -= m.length;
    a.copy(text, end, m.i, m.i + m.length);
  }
  c.out.bulk(text, 0, total);
}

function replyIndexes(c: Call, found: Match[], withLength: boolean, total: number): void {
  const { out } = c;
  out.map(2);
  out.bulkText("matches");
  out.array(found.length);
  for (const m of found) {
    out.array(withLength ? 3 : 2);
    out.array(2);
    out.int(m.i);
    out.int(m.i + m.length - 1);
    out.array(2);
    out.int(m.j);
    out.int(m.j + m.length - 1);
    if (withLength) out.int(m.length);
  }
  out.bulkText("len");
  out.int(total);
}

export const lcsRuns: Record<string, Run> = { lcs };

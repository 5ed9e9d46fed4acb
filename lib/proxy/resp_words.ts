/** What resp_path.ts reads of single requests and replies: whether a client speaks RESP at all, the first words of a push. COLD, but commands(). */
import type { RowTable } from "../commands/table/index.ts";
import { rowTable } from "../commands/table/index.ts";
import * as is from "./core/request_class.ts";

let shared: { table: RowTable; classes: Uint8Array } | null = null;
/** The command table, and the class of each row. */
export function commands(): { table: RowTable; classes: Uint8Array } {
  if (shared === null) {
    const table = rowTable("server");
    shared = { table, classes: is.classesOf(table) };
  }
  return shared;
}

/** True when a client's first bytes are RESP: `*N`, or a known command word on a line that is not HTTP's. */
export function looksLikeResp(chunk: Buffer): boolean {
  if (chunk[0] === 42) return chunk.length === 1 || (chunk[1] >= 48 && chunk[1] <= 57);
  const line = chunk.toString("latin1", 0, Math.min(chunk.length, 256)).split("\n")[0]!;
  const word = /^[A-Za-z]+(?=[ \r\t]|$)/.exec(line)?.[0];
  if (word === undefined || / HTTP\/\d/.test(line)) return false;
  return commands().table.find(Buffer.from(word), 0, word.length) !== null;
}

/** Blank lines in front of a request are counted with it. */
export function stripBlank(b: Buffer): Buffer {
  let i = 0;
  while (i < b.length && (b[i] === 10 || b[i] === 13)) i++;
  return i === 0 ? b : b.subarray(i);
}

/** The first two items of an array or push of bulk strings; null for a nil. COLD: while subscribed only. */
export function firstWords(b: Buffer): (string | null)[] {
  const words: (string | null)[] = [];
  let p = b.indexOf(10) + 1;
  for (let i = 0; i < 2 && p > 0 && p < b.length; i++) {
    const end = b.indexOf(10, p);
    if (end < 0) break;
    if (b[p] !== 36) {
      words.push(b[p] === 95 ? null : b.toString("latin1", p + 1, end).trim());
      p = end + 1;
      continue;
    }
    const k = Number.parseInt(b.toString("latin1", p + 1, end), 10);
    words.push(k < 0 ? null : b.toString("latin1", end + 1, end + 1 + k));
    p = end + 1 + Math.max(0, k) + (k < 0 ? 0 : 2);
  }
  return words;
}

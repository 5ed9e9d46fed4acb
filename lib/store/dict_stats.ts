/**
 * DEBUG HTSTATS: a table's figures in the words of Redis dict.c, which the suite reads. Cold. A slot there is a chain of ours; a table's size is
 * the number of entries at which it grows, a power of two as there.
 */
import { type Dict, GROW_LOAD } from "./dict.ts";

/** Longest chain that the distribution tells apart. */
const CHAIN_MAX = 49;

/** The figures of one or (while entries move) both tables. full: with chains. */
export function dictStats(dict: Dict, full: boolean): string {
  const target = dict.chainLengths(true);
  const main = tableStats(dict.chainLengths(false)!, "Hash table 0 stats (main hash table):", full);
  return target === null ? main : main + tableStats(target, "Hash table 1 stats (rehashing target):", full);
}

function tableStats(lengths: Int32Array, head: string, full: boolean): string {
  let used = 0;
  let slots = 0;
  let longest = 0;
  const distribution = new Array<number>(CHAIN_MAX + 1).fill(0);
  for (const length of lengths) {
    used += length;
    if (length > 0) slots++;
    if (length > longest) longest = length;
    distribution[Math.min(length, CHAIN_MAX)]++;
  }
  if (used === 0) return `${head}\nNo stats available for empty dictionaries\n`;
  const brief = `${head}\n table size: ${lengths.length * GROW_LOAD}\n number of elements: ${used}\n`;
  if (!full) return brief;
  const average = (used / slots).toFixed(2);
  let text = `${brief} different slots: ${slots}\n max chain length: ${longest}\n avg chain length (counted): ${average}\n avg chain length (computed): ${average}\n Chain length distribution:\n`;
  distribution.forEach((count, length) => {
    if (count > 0 && length < CHAIN_MAX) text += `   ${length}: ${count} (${((count / lengths.length) * 100).toFixed(2)}%)\n`;
  });
  return text;
}

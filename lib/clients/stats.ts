/**
 * Error replies by their first word: INFO errorstats. COLD: only errors come here.
 */
import type { Dispatcher } from "./dispatch.ts";

/** Most words that are counted apart: a script may make up its own. */
const MOST_WORDS = 128;

export class ErrorStats {
  /** Word without the dash -> count, in order of appearance. */
  readonly counts: Map<string, number>;
  /** INFO total_error_replies. */
  total: number;

  constructor(dispatcher: Dispatcher) {
    this.counts = new Map();
    this.total = 0;
    dispatcher.observers.failed = (_call, line) => this.count(line);
  }

  /** Counts an encoded error line, `-WORD text\r\n`. */
  count(line: Buffer): void {
    this.total++;
    const blank = line.indexOf(32);
    const word = blank > 1 && blank <= 32 ? line.toString("latin1", 1, blank) : "ERR";
    const n = this.counts.get(word);
    if (n !== undefined) this.counts.set(word, n + 1);
    else if (this.counts.size < MOST_WORDS) this.counts.set(word, 1);
  }

  /** CONFIG RESETSTAT. */
  reset(): void {
    this.counts.clear();
    this.total = 0;
  }
}

/** How readily the kernel kills this process when memory runs out: /proc/self/oom_score_adj. Cold. Redis server.c: setOOMScoreAdj. */
import { readFileSync, writeFileSync } from "node:fs";
import { strerror } from "../bytes/errno.ts";

const PATH = "/proc/self/oom_score_adj";

/** What helper processes get; null: as they are. */
let helperScore: number | null = null;

export class OomScore {
  /** The score before redisha changed it; null while it has not. */
  private base: number | null;

  constructor() {
    this.base = null;
  }

  /**
   * Puts the score to `value` (absolute), or that far from where it was (relative), or back (null). Gives null, or the log line of the
   * failure: lowering it needs privileges. `helper` is what helper processes will get.
   */
  set(value: number | null, helper: number, relative: boolean): string | null {
    helperScore = null;
    if (value === null) {
      if (this.base === null) return null;
      const base = this.base;
      this.base = null;
      return write(PATH, base);
    }
    if (this.base === null) {
      try {
        this.base = Number.parseInt(readFileSync(PATH, "latin1"), 10);
      } catch (e) {
        return `Unable to read oom_score_adj: ${strerror(e)}`;
      }
    }
    const { base } = this;
    const bounded = (v: number): number => Math.max(-1000, Math.min(1000, relative ? v + base : v));
    helperScore = bounded(helper);
    return write(PATH, bounded(value));
  }
}

/** A helper process has been started: its score. One that cannot be set stays as it is. */
export function setHelperOomScore(pid: number): void {
  if (helperScore !== null) write(`/proc/${pid}/oom_score_adj`, helperScore);
}

function write(path: string, value: number): string | null {
  try {
    writeFileSync(path, `${value}\n`);
    return null;
  } catch (e) {
    return `Unable to write oom_score_adj: ${strerror(e)}`;
  }
}

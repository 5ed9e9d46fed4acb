/** How readily the kernel kills this process when memory runs out: /proc/self/oom_score_adj. Cold. Redis server.c: setOOMScoreAdj. */
import { readFileSync, writeFileSync } from "node:fs";
import { strerror } from "../bytes/errno.ts";

const PATH = "/proc/self/oom_score_adj";

export class OomScore {
  /** The score before redisha changed it; null while it has not. */
  private base: number | null;

  constructor() {
    this.base = null;
  }

  /**
   * Puts the score to `value` (absolute), or that far from where it was (relative), or back (null). Gives null, or the log line of the
   * failure: lowering it needs privileges.
   */
  set(value: number | null, relative: boolean): string | null {
    if (value === null) {
      if (this.base === null) return null;
      const base = this.base;
      this.base = null;
      return write(base);
    }
    if (this.base === null) {
      try {
        this.base = Number.parseInt(readFileSync(PATH, "latin1"), 10);
      } catch (e) {
        return `Unable to read oom_score_adj: ${strerror(e)}`;
      }
    }
    return write(Math.max(-1000, Math.min(1000, relative ? value + this.base : value)));
  }
}

function write(value: number): string | null {
  try {
    writeFileSync(PATH, `${value}\n`);
    return null;
  } catch (e) {
    return `Unable to write oom_score_adj: ${strerror(e)}`;
  }
}

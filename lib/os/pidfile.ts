/** The file that tells init scripts which process to stop. Cold. Redis server.c: createPidFile. */
import { readFileSync, writeFileSync } from "node:fs";
import { strerror } from "../bytes/errno.ts";
import { systemPath } from "../bytes/path.ts";
import { removeQuietly } from "./files.ts";

/** Where a daemon without a `pidfile` line writes it. */
export const DEFAULT_PID_FILE = "/var/run/redis.pid";

/** Writes this process' id; null, or Redis' log line when it cannot be written (which stops nothing). */
export function writePidFile(path: string): string | null {
  try {
    writeFileSync(systemPath(path), `${process.pid}\n`);
    return null;
  } catch (e) {
    return `Failed to write PID file: ${strerror(e)}`;
  }
}

/** Removes the file if it still names this process: a successor may have written its own meanwhile. */
export function removePidFile(path: string): void {
  try {
    if (Number.parseInt(readFileSync(systemPath(path), "latin1"), 10) === process.pid) removeQuietly(systemPath(path));
  } catch {
    // never written, or gone
  }
}

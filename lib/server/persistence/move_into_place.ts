/** The last step of a save: the finished temporary file takes the old one's place, for good. Cold. Redis rdb.c: rdbSave. */
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { strerror } from "../../bytes/errno.ts";

/** Renames and makes the rename last; the reason why not, or null. */
export function moveIntoPlace(temporary: string, target: string, log: (text: string) => void): string | null {
  try {
    renameSync(temporary, target);
  } catch (error) {
    const text = `Error moving temp DB file ${temporary} on the final destination ${target} (in server root dir ${process.cwd()}): ${strerror(error)}`;
    log(text);
    removeQuietly(temporary);
    return text;
  }
  try {
    const dir = openSync(dirname(target) || ".", "r");
    try {
      fsyncSync(dir);
    } finally {
      closeSync(dir);
    }
  } catch (error) {
    const text = `Failed to fsync directory while saving DB: ${strerror(error)}`;
    log(text);
    return text;
  }
  return null;
}

export function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // it is not there
  }
}

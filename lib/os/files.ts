/**
 * Replacing a file so that a crash at any moment leaves either the old or the new one, whole: temporary file, fsync, rename, fsync of the
 * directory. Cold. Redis config.c: rewriteConfigOverwriteFile.
 *
 * `replaceFile` leaves the event loop free while the disk works; `replaceFileSync` is for a process that is about to end.
 */
import { closeSync, constants, fchmodSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { strerror } from "../bytes/errno.ts";
import { systemPath } from "../bytes/path.ts";

/** What went wrong: Redis' log line, and the system's words alone for CONFIG REWRITE's reply. */
export interface ReplaceFailure {
  log: string;
  reason: string;
}

export interface ReplaceOptions {
  /** Permissions of the new file before the umask; 0644 as Redis. */
  mode?: number;
}

const STEPS = {
  create: "Could not create tmp config file",
  write: "Failed after writing bytes to tmp config file",
  sync: "Could not sync tmp config file to disk",
  chmod: "Could not chmod config file",
  rename: "Could not rename tmp config file",
  directory: "Could not sync config file dir",
};
type Step = keyof typeof STEPS;

let counter = 0;

/** Beside the target, never the same name twice at once: six characters as mkstemp's. */
function temporaryName(path: string): string {
  counter++;
  const unique = ((process.pid * 40503 + counter * 2654435761) >>> 0).toString(36).padStart(6, "0").slice(-6);
  return `${path}.${unique}`;
}

function failure(step: Step, error: unknown): ReplaceFailure {
  const reason = strerror(error);
  return { log: `${STEPS[step]} (${reason})`, reason };
}

/** Replaces `path` (as configuration holds it) by `text` (latin1, or bytes); null when it is on the disk. */
export async function replaceFile(path: string, text: string | Uint8Array, options: ReplaceOptions = {}): Promise<ReplaceFailure | null> {
  const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  const mode = (options.mode ?? 0o644) & ~process.umask();
  const target = systemPath(path);
  const temporary = temporaryName(target);
  let step: Step = "create";
  let file: FileHandle | null = null;
  try {
    file = await open(temporary, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
    step = "write";
    for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
    step = "sync";
    await file.sync();
    step = "chmod";
    await file.chmod(mode);
    step = "rename";
    await rename(temporary, target);
    step = "directory";
    await syncDirectory(dirname(target));
    return null;
  } catch (e) {
    // Once renamed there is no temporary file; what then failed is only the directory's fsync.
    if (step !== "create" && step !== "directory") await unlink(temporary).catch(() => undefined);
    return failure(step, e);
  } finally {
    await file?.close();
  }
}

/** The same, with the process waiting for the disk. */
export function replaceFileSync(path: string, text: string | Uint8Array, options: ReplaceOptions = {}): ReplaceFailure | null {
  const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  const mode = (options.mode ?? 0o644) & ~process.umask();
  const target = systemPath(path);
  const temporary = temporaryName(target);
  let step: Step = "create";
  let fd = -1;
  try {
    fd = openSync(temporary, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
    step = "write";
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at);
    step = "sync";
    fsyncSync(fd);
    step = "chmod";
    fchmodSync(fd, mode);
    step = "rename";
    renameSync(temporary, target);
    step = "directory";
    syncDirectorySync(dirname(target));
    return null;
  } catch (e) {
    if (step !== "create" && step !== "directory") removeQuietly(temporary);
    return failure(step, e);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** Makes renames and new names in a directory durable. File systems that cannot (EINVAL) are taken as done, as in Redis' fsyncFileDir. */
export async function syncDirectory(path: string): Promise<void> {
  const dir = await open(path, constants.O_RDONLY);
  try {
    await dir.sync();
  } catch (e) {
    if ((e as { code?: string }).code !== "EINVAL" && (e as { code?: string }).code !== "EBADF") throw e;
  } finally {
    await dir.close();
  }
}

export function syncDirectorySync(path: string): void {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } catch (e) {
    if ((e as { code?: string }).code !== "EINVAL" && (e as { code?: string }).code !== "EBADF") throw e;
  } finally {
    closeSync(fd);
  }
}

/** Removes a file; says nothing when there is none. */
export function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // gone already
  }
}

/**
 * The process that ends a save in the background. Cold. The server writes the temporary file itself; a copy of this program waits,
 * and at the end makes it last: sync, rename, sync of the directory. So the disk's slowest moment is nobody's but the helper's; a server that dies leaves no
 * temporary file behind; and whoever kills the helper (Redis' child of BGSAVE) breaks the save off.
 *
 *   server: SaveHelper --pipe: one byte "go on", or the end of it--> runSaveHelper: fsync, rename, exit 0 / unlink, exit 1
 *
 * Its exit tells: 0 done, else the reason is on its standard output.
 */
import { fsyncSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { strerror } from "../../bytes/errno.ts";
import { cleanEnvironment, ownCommand } from "../../cli/self.ts";
import { setHelperOomScore } from "../../os/oom_score.ts";
import { moveIntoPlace } from "./move_into_place.ts";

/** How the helper ended: with a code or by a signal. `reason` is "" unless it failed. */
export type HelperEnd = (reason: string, signal: NodeJS.Signals | null) => void;

export class SaveHelper {
  readonly pid: number;
  private readonly child: ReturnType<typeof Bun.spawn>;
  private ended: HelperEnd | null;

  /**
   * Starts it for a temporary file of that folder, which the caller names `named(kind, pid)` at once, as Redis' child names its file; null for
   * a save that goes to replicas' sockets, where it only stands for the save. Throws when no process can be had.
   */
  constructor(file: { kind: FileKind; folder: string; target: string } | null, ended: HelperEnd) {
    this.ended = ended;
    this.child = Bun.spawn([...ownCommand(), "--save-helper", ...(file === null ? [] : [file.kind, file.folder, file.target])], {
      // What ps shows, and main.ts' mode word works under this name.
      argv0: file === null ? "redis-rdb-to-slaves" : file.kind === "rdb" ? "redis-rdb-bgsave" : "redis-aof-rewrite",
      env: cleanEnvironment(),
      stdin: "pipe",
      stdout: "pipe",
      stderr: "ignore",
    });
    this.pid = this.child.pid;
    setHelperOomScore(this.pid);
    void this.wait();
  }

  private async wait(): Promise<void> {
    const text = await new Response(this.child.stdout as ReadableStream).text();
    const code = await this.child.exited;
    const { ended } = this;
    this.ended = null;
    const signal = this.child.signalCode as NodeJS.Signals | null;
    ended?.(code === 0 ? "" : text.trim() || `the helper process ended with ${signal ?? code}`, signal);
  }

  /** Everything is in the file: it is to take its place. */
  commit(): void {
    const stdin = this.child.stdin as import("bun").FileSink;
    const gone = (): void => undefined; // its end says so, too
    try {
      stdin.write("c");
      Promise.resolve(stdin.end()).catch(gone);
    } catch {
      gone();
    }
  }

  /** The file is of no use: the helper goes without a word. The caller removes the file. */
  drop(): void {
    this.ended = null;
    this.child.kill("SIGKILL");
  }
}

/** What is saved: a data set's file, or the base of append only files. */
export type FileKind = "rdb" | "aof";

/** The name of the temporary file that belongs to the helper with this pid. */
export function named(kind: FileKind, pid: number): string {
  return kind === "rdb" ? `temp-${pid}.rdb` : `temp-rewriteaof-bg-${pid}.aof`;
}

/** The helper's own life: `--save-helper [KIND FOLDER TARGET]`. */
export function runSaveHelper(args: readonly string[]): never {
  const [kind, folder, target] = args;
  // Ctrl-C at the terminal is the server's to answer.
  process.on("SIGINT", () => undefined);
  if (folder === undefined) {
    waitForCommit();
    process.exit(0);
  }
  const temporary = join(folder, named(kind as FileKind, process.pid));
  const reasons: string[] = [];
  let done = false;
  try {
    if (waitForCommit()) {
      fsyncSync(openSync(temporary, "r+"));
      done = moveIntoPlace(temporary, target, (text) => void reasons.push(text)) === null;
    } else {
      unlinkSync(temporary);
    }
  } catch (error) {
    reasons.push(`Write error while saving DB to the disk(fsync): ${strerror(error)}`);
  }
  if (!done) writeSync(1, `${reasons.join(" ")}\n`);
  process.exit(done ? 0 : 1);
}

/** True when the server says so, false when it is gone. */
function waitForCommit(): boolean {
  const byte = Buffer.alloc(1);
  for (;;) {
    try {
      return readSync(0, byte, 0, 1, null) === 1;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EAGAIN" && code !== "EINTR") return false;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

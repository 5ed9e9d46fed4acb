/**
 * The directory of append only files and its manifest: which files there are, which one is next, which ones may go. Cold.
 * Redis aof.c: the manifest's part. What stands in the files is writer.ts' and load.ts' business.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync, unlink } from "node:fs";
import { strerror } from "../../../bytes/errno.ts";
import { replaceFileSync } from "../../../os/files.ts";
import type { Server } from "../../server.ts";
import { emptyManifest, manifestText, parseManifest, type AofFile, type Manifest } from "./manifest.ts";

export class AofFiles {
  private readonly server: Server;
  manifest: Manifest;

  constructor(server: Server) {
    this.server = server;
    this.manifest = emptyManifest();
  }

  get directory(): string {
    return this.server.config.text("appenddirname");
  }
  /** appendfilename: what all names begin with, and the name of a single file of before Redis 7. */
  get prefix(): string {
    return this.server.config.text("appendfilename");
  }
  path(name: string): string {
    return `${this.directory}/${name}`;
  }
  private get manifestPath(): string {
    return this.path(`${this.prefix}.manifest`);
  }
  /** Where commands gather until the first base is there. */
  get temporaryIncr(): string {
    return `temp-${this.prefix}.incr`;
  }

  /** The base and what follows it, in order. */
  get live(): AofFile[] {
    const { base, incrs } = this.manifest;
    return base === null ? [...incrs] : [base, ...incrs];
  }
  isThere(file: AofFile): boolean {
    return existsSync(this.path(file.name));
  }
  sizeOf(file: AofFile): number {
    return this.isThere(file) ? statSync(this.path(file.name)).size : 0;
  }

  /** Makes the directory when it is not there; throws the system's error. */
  makeDirectory(): void {
    if (!existsSync(this.directory)) mkdirSync(this.directory, { mode: 0o755 });
  }

  /** Reads the manifest, if there is one; one that makes no sense ends the process. */
  read(): void {
    const { log, process } = this.server;
    this.manifest = emptyManifest();
    if (!existsSync(this.manifestPath)) return;
    let text = "";
    try {
      text = readFileSync(this.manifestPath, "latin1");
    } catch (error) {
      process.fail(`Fatal error: can't open the AOF manifest file ${this.manifestPath} for reading: ${strerror(error)}`);
    }
    const read = parseManifest(text);
    if (!("error" in read)) {
      this.manifest = read;
      return;
    }
    log.warning("\n*** FATAL AOF MANIFEST FILE ERROR ***\n");
    if (read.line > 0) {
      log.warning(`Reading the manifest file, at line ${read.line}\n`);
      log.warning(`>>> '${read.text}'\n`);
    }
    process.fail(`${read.error}\n`);
  }

  /** Writes the manifest; false when the disk would not have it. */
  persist(): boolean {
    const failed = replaceFileSync(this.manifestPath, manifestText(this.manifest));
    if (failed !== null) this.server.log.warning(`Failed to persist the AOF manifest file: ${failed.reason}`);
    return failed === null;
  }

  /** A single file of an older Redis becomes the base; also when an earlier start got no further than naming it. */
  upgrade(): void {
    const { manifest: m, prefix, server } = this;
    if (!existsSync(prefix) || !statSync(prefix).isFile()) return;
    const fresh = m.base === null && m.incrs.length === 0;
    const interrupted = m.base?.name === prefix && m.incrs.length === 0 && !existsSync(this.path(prefix));
    if (!fresh && !interrupted) return;
    m.base = { name: prefix, seq: 1 };
    m.baseSeq = 1;
    if (!this.persist()) server.process.fail("The AOF manifest cannot be written");
    try {
      renameSync(prefix, this.path(prefix));
    } catch (error) {
      server.process.fail(`Error trying to move the old AOF file ${prefix} into dir ${this.directory}: ${strerror(error)}`);
    }
    server.log.notice(`Successfully migrated an old-style AOF file (${prefix}) into the AOF directory (${this.directory}).`);
  }

  /** Name of the next base; a rewrite that fails does not use it up. */
  nextBase(commands: boolean): AofFile {
    const seq = this.manifest.baseSeq + 1;
    return { name: `${this.prefix}.${seq}.base.${commands ? "aof" : "rdb"}`, seq };
  }

  /** The base of the manifest from now on; what it replaces is history. */
  setBase(base: AofFile): void {
    const { manifest: m } = this;
    if (m.base !== null) m.history.unshift(m.base);
    m.base = base;
    m.baseSeq = base.seq;
  }

  /** Names the next incremental file in the manifest. */
  addIncr(): AofFile {
    const { manifest: m } = this;
    m.incrSeq++;
    const file = { name: `${this.prefix}.${m.incrSeq}.incr.aof`, seq: m.incrSeq };
    m.incrs.push(file);
    return file;
  }

  /** The next incremental file, there and named on the disk; null: the disk would not have it. Throws when it cannot be made. */
  makeIncr(): AofFile | null {
    const { manifest: m } = this;
    const file = this.addIncr();
    let made = false;
    try {
      // The file is there before it is named, and named before anything is in it. What an attempt that failed left is dropped.
      closeSync(openSync(this.path(file.name), "w", 0o644));
      made = this.persist();
    } finally {
      if (!made) {
        m.incrs.pop();
        m.incrSeq--;
      }
    }
    return made ? file : null;
  }

  /** Removes what is history, unless that is left to the operator. */
  deleteHistory(): void {
    const { manifest: m, server } = this;
    if (m.history.length === 0 || server.config.bool("aof-disable-auto-gc")) return;
    const gone = m.history;
    m.history = [];
    if (!this.persist()) {
      m.history = gone;
      return;
    }
    for (const f of gone) {
      server.log.notice(`Removing the history file ${f.name} in the background`);
      unlink(this.path(f.name), () => undefined);
    }
  }
}

/**
 * Append only files: what was changed is written before its reply leaves, synced as appendfsync says, and rewritten when it has grown.
 * `feed` and `write` are warm: they run for each event with writes. Redis aof.c (multi part, 7.0).
 *
 *   propagation -> feed -> pending bytes -> write (end of the event) -> incremental file -> fsync: always | every second | no
 *   rewrite: a new incremental file begins, a snapshot becomes the next base, the old files are history and go
 *
 * The base is always an RDB. A write goes to the file at once even while a sync is under way: a reply never leaves before its write.
 * A full sync from a master replaces the data: the files rest while it is loaded, and begin anew with a base of what came.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlink,
  unlinkSync,
  writeSync,
} from "node:fs";
import { strerror } from "../../../bytes/errno.ts";
import { encodeCommand } from "../../../clients/call.ts";
import type { Call } from "../../../clients/call.ts";
import type { Run } from "../../../clients/command.ts";
import { GATE_MISCONF } from "../../../clients/command.ts";
import { replaceFileSync, syncDirectorySync } from "../../../os/files.ts";
import { errorLine } from "../../../resp/errors.ts";
import { clock } from "../../../time/clock.ts";
import { debugParts } from "../../debug.ts";
import type { Consumer } from "../../propagation.ts";
import type { Server, ShutdownWish } from "../../server.ts";
import { FileSink } from "../file_sink.ts";
import { KILLED, type Persistence } from "../persistence.ts";
import { named } from "../save_helper.ts";
import type { SnapshotJob } from "../snapshot_job.ts";
import { emptyManifest, manifestText, parseManifest, type Manifest } from "./manifest.ts";
import { loadAofFile } from "./load.ts";

type State = "off" | "on" | "waiting";

const PENDING_BYTES = 64 * 1024;
/** After failed rewrites the next one waits: minutes doubling up to an hour (Redis aofRewriteLimited). */
const LIMIT_FAILURES = 3;
const LIMIT_MAX_MINUTES = 60;
const RETRY_MS = 1000;

export class Aof implements Consumer {
  private readonly server: Server;
  private readonly persistence: Persistence;
  state: State;
  private manifest: Manifest;
  private fd: number;
  /** Bytes of the file that is written. */
  private fileBytes: number;
  private pending: Buffer;
  private n: number;
  private selectedDb: number;
  private stampS: number;
  // ---- sync
  private unsynced: boolean;
  private syncing: boolean;
  private lastSyncMs: number;
  private delayedSyncs: number;
  /** Set by replication: offset of the stream, and who wants to know that more of it is on the disk. */
  streamOffset: () => number;
  onSynced: () => void;
  /** Of the stream, what is on the disk; it counts once the state is `on`. */
  private synced: number;
  private writeError: string;
  private retryMs: number;
  // ---- rewrite
  private job: SnapshotJob | null;
  private scheduled: boolean;
  private rewriteStartMs: number;
  private lastTookS: number;
  private lastOk: boolean;
  private rewrites: number;
  private failures: number;
  private notBeforeMs: number;
  /** Bytes of all files, and of them after the last rewrite or load. */
  currentBytes: number;
  private baseBytes: number;
  /** The incremental file of `waiting`: named when its first base is there. */
  private temporaryIncr: string;

  constructor(server: Server, persistence: Persistence) {
    this.server = server;
    this.persistence = persistence;
    this.state = "off";
    this.manifest = emptyManifest();
    this.fd = -1;
    this.fileBytes = 0;
    this.pending = Buffer.allocUnsafeSlow(PENDING_BYTES);
    this.n = 0;
    this.selectedDb = -1;
    this.stampS = 0;
    this.unsynced = false;
    this.syncing = false;
    this.lastSyncMs = 0;
    this.delayedSyncs = 0;
    this.streamOffset = () => 0;
    this.onSynced = () => {};
    this.synced = 0;
    this.writeError = "";
    this.retryMs = 0;
    this.job = null;
    this.scheduled = false;
    this.rewriteStartMs = 0;
    this.lastTookS = -1;
    this.lastOk = true;
    this.rewrites = 0;
    this.failures = 0;
    this.notBeforeMs = 0;
    this.currentBytes = 0;
    this.baseBytes = 0;
    this.temporaryIncr = "";
    this.join();
  }

  private join(): void {
    const { server } = this;
    this.persistence.aofLines = () => this.lines();
    const { parts, config } = server;
    const before = parts.beforeFlush;
    parts.beforeFlush = () => {
      if (this.n > 0) this.write();
      return before();
    };
    const misconf = parts.misconf;
    parts.misconf = () => (this.writeError !== "" ? errorLine(`MISCONF Errors writing to the AOF file: ${this.writeError}`) : misconf());
    const shutdown = parts.beforeShutdown;
    parts.beforeShutdown = async (wish) => {
      const refused = this.state === "off" ? null : this.beforeShutdown(wish);
      return refused ?? shutdown(wish);
    };
    parts.dataGoes = () => void this.turnOff();
    parts.dataCame = () => this.beginAnew();
    config.hook("appendonly", (c) => (c.bool("appendonly") ? this.turnOn() : this.turnOff()));
    server.cronJobs.push((nowMs) => this.cron(nowMs));
  }

  /** The reason why the process may not end now, or null: everything is on the disk. */
  private beforeShutdown(wish: ShutdownWish): string | null {
    const { log } = this.server;
    if (this.state === "waiting" && this.job !== null) {
      // The files still hold other data than this.
      if (!wish.force) return "Writing initial AOF, can't exit.";
      log.warning("Writing initial AOF. Exit anyway.");
    }
    if (this.job !== null) {
      log.warning("There is a child rewriting the AOF. Killing it!");
      this.job.abort(KILLED);
    }
    log.notice("Calling fsync() on the AOF file.");
    this.write();
    if (this.fd >= 0) fdatasyncSync(this.fd);
    return null;
  }

  private get directory(): string {
    return this.server.config.text("appenddirname");
  }
  private get base(): string {
    return this.server.config.text("appendfilename");
  }
  private path(name: string): string {
    return `${this.directory}/${name}`;
  }
  private get manifestPath(): string {
    return this.path(`${this.base}.manifest`);
  }

  // ------------------------------------------------------------------------------------------------ boot

  /** Loads what is there and opens the file to write. False: append only files are off, the RDB is to be loaded. */
  async boot(): Promise<boolean> {
    const { server } = this;
    const { config, log } = server;
    if (!config.bool("appendonly")) return false;
    try {
      this.makeDirectory();
    } catch (error) {
      server.process.fail(`Can't open or create append-only dir ${this.directory}: ${strerror(error)}`);
    }
    this.readManifest();
    this.upgrade();
    for (const load = this.load(); !load.next().done;) await new Promise<void>((done) => setImmediate(done));
    this.selectedDb = -1;
    if (this.manifest.base === null && this.manifest.incrs.length === 0) {
      this.manifest.baseSeq++;
      const name = `${this.base}.${this.manifest.baseSeq}.base.rdb`;
      log.notice(`Creating AOF base file ${name} on server start`);
      const error = this.persistence.writeBase(this.path(name));
      if (error !== null) server.process.fail(`Can't create AOF base file: ${error}`);
      this.manifest.base = { name, seq: this.manifest.baseSeq };
    }
    const last = this.manifest.incrs.at(-1);
    if (last !== undefined) this.open(last.name);
    else {
      const name = this.nextIncr();
      log.notice(`Creating AOF incr file ${name} on server start`);
      this.open(name);
    }
    this.persist();
    this.state = "on";
    server.propagation.aof = this;
    this.deleteHistory();
    return true;
  }

  private makeDirectory(): void {
    if (!existsSync(this.directory)) mkdirSync(this.directory, { mode: 0o755 });
  }

  private readManifest(): void {
    if (!existsSync(this.manifestPath)) return;
    const read = parseManifest(readFileSync(this.manifestPath, "latin1"));
    if ("error" in read) {
      process.stderr.write(`\n*** FATAL AOF MANIFEST FILE ERROR ***\n`);
      if (read.line > 0) process.stderr.write(`Reading the manifest file, at line ${read.line}\n`);
      process.stderr.write(`${read.error}\n`);
      this.server.process.fail(`${read.error} (${this.manifestPath}, line ${read.line})`);
    }
    this.manifest = read;
  }

  /** A single file of an older Redis becomes the base. */
  private upgrade(): void {
    if (existsSync(this.manifestPath) || !existsSync(this.base) || !statSync(this.base).isFile()) return;
    renameSync(this.base, this.path(this.base));
    this.manifest.base = { name: this.base, seq: 1 };
    this.manifest.baseSeq = 1;
    this.persist();
    this.server.log.notice(
      `Successfully migrated an old-style AOF configuration (${this.base}) into the AOF directory (${this.directory}).`,
    );
  }

  /** Loads all files; yields when others should have a turn. */
  private *load(): Generator<void, void> {
    const { server } = this;
    const { log } = server;
    const files = [...(this.manifest.base === null ? [] : [this.manifest.base]), ...this.manifest.incrs];
    if (files.length === 0) return;
    const started = performance.now();
    server.setLoading(true);
    for (const [i, file] of files.entries()) {
      const path = this.path(file.name);
      if (!existsSync(path)) server.process.fail(`The AOF file ${file.name} doesn't exist`);
      const from = performance.now();
      yield* loadAofFile(server, this.persistence, path, i === files.length - 1);
      const kind = file === this.manifest.base ? "base" : "incr";
      log.notice(`DB loaded from ${kind} file ${file.name}: ${((performance.now() - from) / 1000).toFixed(3)} seconds`);
    }
    server.setLoading(false);
    log.notice(`DB loaded from append only file: ${((performance.now() - started) / 1000).toFixed(3)} seconds`);
    this.currentBytes = files.reduce((sum, f) => sum + statSync(this.path(f.name)).size, 0);
    this.baseBytes = this.currentBytes;
    server.propagation.dirty = 0;
  }

  private nextIncr(): string {
    this.manifest.incrSeq++;
    const name = `${this.base}.${this.manifest.incrSeq}.incr.aof`;
    this.manifest.incrs.push({ name, seq: this.manifest.incrSeq });
    return name;
  }

  /** Opens a file of the directory to append to it. */
  private open(name: string): void {
    const fd = openSync(this.path(name), "a", 0o644);
    this.close();
    this.fd = fd;
    this.fileBytes = statSync(this.path(name)).size;
    this.selectedDb = -1;
  }
  private close(): void {
    if (this.fd < 0) return;
    try {
      fdatasyncSync(this.fd);
    } catch {
      // what could be synced was; the error shows at the next write
    }
    closeSync(this.fd);
    this.fd = -1;
  }

  /** Writes the manifest; false when the disk would not have it. */
  private persist(): boolean {
    const failed = replaceFileSync(this.manifestPath, manifestText(this.manifest));
    if (failed !== null) this.server.log.warning(`Failed to persist the AOF manifest file: ${failed.reason}`);
    return failed === null;
  }

  private deleteHistory(): void {
    if (this.manifest.history.length === 0 || this.server.config.bool("aof-disable-auto-gc")) return;
    const gone = this.manifest.history;
    this.manifest.history = [];
    if (!this.persist()) return;
    for (const f of gone) {
      this.server.log.notice(`Removing the history file ${f.name} in the background`);
      unlink(this.path(f.name), () => {});
    }
  }

  // ------------------------------------------------------------------------------------------------ writing

  /** Propagation's consumer. */
  feed(db: number, b: Buffer, start: number, end: number): void {
    if (this.server.config.bool("aof-timestamp-enabled")) {
      const s = Math.floor(clock.nowMs / 1000);
      if (s > this.stampS) {
        this.stampS = s;
        this.put(Buffer.from(`#TS:${s}\r\n`), 0, `#TS:${s}\r\n`.length);
      }
    }
    if (db >= 0 && db !== this.selectedDb) {
      this.selectedDb = db;
      const select = encodeCommand(["SELECT", db]);
      this.put(select, 0, select.length);
    }
    this.put(b, start, end);
    this.server.dispatcher.needsBeforeFlush = true;
  }

  private put(b: Buffer, start: number, end: number): void {
    const k = end - start;
    if (this.n + k > this.pending.length) {
      const bigger = Buffer.allocUnsafeSlow(Math.max(this.pending.length * 2, this.n + k));
      this.pending.copy(bigger, 0, 0, this.n);
      this.pending = bigger;
    }
    b.copy(this.pending, this.n, start, end);
    this.n += k;
  }

  /** Everything pending goes to the file, and with `always` to the disk. */
  private write(): void {
    if (this.n === 0 || this.fd < 0) {
      if (this.fd < 0) this.n = 0;
      return;
    }
    const policy = this.server.config.choice("appendfsync");
    if (this.writeError !== "" && clock.nowMs < this.retryMs) return;
    let written = 0;
    try {
      while (written < this.n) written += writeSync(this.fd, this.pending, written, this.n - written);
      if (policy === "always") {
        fdatasyncSync(this.fd);
        this.lastSyncMs = clock.nowMs;
        this.synced = this.streamOffset();
      } else this.unsynced = true;
    } catch (error) {
      return this.failed(error, written, policy);
    }
    this.fileBytes += this.n;
    this.currentBytes += this.n;
    this.n = 0;
    if (this.pending.length > 4 * 1024 * 1024) this.pending = Buffer.allocUnsafeSlow(PENDING_BYTES);
    this.solved();
    if (policy === "always") this.onSynced();
  }

  /** Offset of the stream that is on the disk; -1 while append only files are off. */
  get syncedOffset(): number {
    return this.state === "off" ? -1 : this.state === "on" ? this.synced : 0;
  }

  /** Everything is written, or synced, again. */
  private solved(): void {
    if (this.writeError === "") return;
    this.writeError = "";
    this.server.log.warning("AOF write error looks solved. The server can write again.");
    this.server.setGate(GATE_MISCONF, this.persistence.failing);
  }

  /** The disk did not take it: what went in half is taken back, writes are refused until it goes. */
  private failed(error: unknown, written: number, policy: string): void {
    const { server } = this;
    server.log.warning(`Error writing to the AOF file: ${strerror(error)}`);
    if (policy === "always") {
      server.process.fail("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...");
    }
    if (written > 0) {
      try {
        ftruncateSync(this.fd, this.fileBytes);
      } catch {
        // It cannot be taken back: it counts as written.
        this.pending.copy(this.pending, 0, written, this.n);
        this.n -= written;
        this.fileBytes += written;
      }
    }
    this.writeError = strerror(error);
    this.retryMs = clock.nowMs + RETRY_MS;
    server.setGate(GATE_MISCONF, true);
  }

  private cron(nowMs: number): void {
    if (this.state === "off") {
      // BGREWRITEAOF inside EXEC waits for its end with AOF off, too.
      if (this.scheduled) this.maybeRewrite(nowMs);
      return;
    }
    if (this.n > 0) this.write();
    if (
      this.unsynced &&
      !this.syncing &&
      this.server.config.choice("appendfsync") === "everysec" &&
      nowMs - this.lastSyncMs >= 1000 &&
      !this.quietWhileSaving()
    ) {
      this.syncing = true;
      this.unsynced = false;
      const { fd } = this;
      const offset = this.streamOffset();
      fdatasync(fd, (error) => {
        this.syncing = false;
        this.lastSyncMs = clock.nowMs;
        if (fd !== this.fd) return;
        if (error) {
          this.unsynced = true;
          this.failed(error, 0, "everysec");
          return;
        }
        if (this.n === 0) this.solved();
        this.synced = Math.max(this.synced, offset);
        this.onSynced();
      });
    } else if (this.syncing && nowMs - this.lastSyncMs > 3000) this.delayedSyncs++;
    this.maybeRewrite(nowMs);
  }

  private quietWhileSaving(): boolean {
    return this.server.config.bool("no-appendfsync-on-rewrite") && this.persistence.busy;
  }

  // ------------------------------------------------------------------------------------------------ on and off

  /** CONFIG SET appendonly yes: a rewrite makes the first base. */
  private turnOn(): string | null {
    if (this.state !== "off") return null;
    try {
      this.makeDirectory();
      this.readManifest();
    } catch (error) {
      return `Unable to turn on AOF. Check server logs. (${strerror(error)})`;
    }
    this.state = "waiting";
    this.server.propagation.aof = this;
    if (this.server.dispatcher.depth > 1) {
      this.scheduled = true;
      this.server.log.notice("AOF was enabled during a transaction. An AOF background was scheduled to start when possible.");
    } else if (this.persistence.busy) {
      this.scheduled = true;
      this.server.log.notice(
        "AOF was enabled but there is already another background operation. An AOF background was scheduled to start when possible.",
      );
    } else if (!this.rewrite()) {
      this.state = "off";
      this.server.propagation.aof = null;
      return "Unable to turn on AOF. Check server logs.";
    }
    return null;
  }

  private turnOff(): string | null {
    if (this.state === "off") return null;
    this.write();
    this.job?.abort(KILLED);
    this.close();
    this.dropTemporary();
    this.state = "off";
    this.scheduled = false;
    if (this.writeError !== "") {
      this.writeError = "";
      this.server.setGate(GATE_MISCONF, this.persistence.failing);
    }
    this.n = 0;
    this.unsynced = false;
    this.server.propagation.aof = null;
    return null;
  }

  /** The data set is another one: what the files hold is the old one's until a rewrite has made a base of the new. */
  private beginAnew(): void {
    if (!this.server.config.bool("appendonly")) return;
    this.turnOff();
    this.notBeforeMs = 0;
    const refused = this.turnOn();
    if (refused === null) return;
    this.server.log.warning("Failed to enable the AOF after the synchronization with the master. Trying again.");
    this.state = "waiting";
    this.server.propagation.aof = this;
    this.notBeforeMs = clock.nowMs + RETRY_MS;
  }

  private dropTemporary(): void {
    if (this.temporaryIncr === "") return;
    try {
      unlinkSync(this.path(this.temporaryIncr));
    } catch {
      // gone
    }
    this.temporaryIncr = "";
  }

  // ------------------------------------------------------------------------------------------------ rewrite

  private maybeRewrite(nowMs: number): void {
    const { config, log } = this.server;
    if (this.job !== null || this.persistence.busy) return;
    if (this.scheduled) {
      if (nowMs >= this.notBeforeMs) this.rewrite();
      return;
    }
    if (this.state === "waiting") {
      if (nowMs >= this.notBeforeMs) this.rewrite();
      return;
    }
    const percentage = config.number("auto-aof-rewrite-percentage");
    if (percentage === 0 || this.currentBytes <= config.number("auto-aof-rewrite-min-size")) return;
    const growth = Math.floor((this.currentBytes * 100) / Math.max(1, this.baseBytes)) - 100;
    if (growth < percentage || nowMs < this.notBeforeMs) return;
    log.notice(`Starting automatic rewriting of AOF on ${growth}% growth`);
    this.rewrite();
  }

  /** Begins a rewrite. False: it cannot begin now. */
  rewrite(): boolean {
    const { server, persistence } = this;
    const { log } = server;
    if (this.job !== null || persistence.busy) return false;
    this.scheduled = false;
    this.write();
    // What the disk did not take is in the data as well: in the next file it would be done twice.
    if (this.n > 0) return this.later();
    try {
      this.makeDirectory();
    } catch (error) {
      log.warning(`Can't open or create append-only dir ${this.directory}: ${strerror(error)}`);
      return this.later();
    }
    try {
      if (this.state === "off") this.readManifest();
      if (this.state === "waiting") {
        this.dropTemporary();
        this.temporaryIncr = `temp-${this.base}.incr`;
        this.open(this.temporaryIncr);
        ftruncateSync(this.fd, 0);
        this.fileBytes = 0;
        this.synced = this.streamOffset();
      } else if (this.state === "on" && !this.nextFile()) return this.later();
    } catch (error) {
      log.warning(`Can't open the append-only file: ${strerror(error)}`);
      return this.later();
    }
    const incrs = this.manifest.incrs.length;
    this.rewriteStartMs = clock.nowMs;
    this.rewrites++;
    const seq = this.manifest.baseSeq + 1;
    const name = `${this.base}.${seq}.base.rdb`;
    const temporary = named("aof", process.pid);
    let pid = process.pid;
    try {
      this.job = persistence.startSnapshot(
        () => {
          const sink = new FileSink({
            kind: "aof",
            temporary,
            target: this.path(name),
            drained: () => this.job?.wake(),
            failed: (reason) => this.job?.abort(reason),
            log: (text) => log.warning(text),
          });
          ({ pid } = sink);
          return sink;
        },
        (error) => this.rewritten(error, name, seq, incrs),
      );
    } catch (error) {
      this.rewritten(strerror(error), name, seq, incrs);
      return false;
    }
    log.notice(`Background append only file rewriting started by pid ${pid}`);
    return this.job !== null;
  }

  /** What is written from now on goes to a new file. False: the manifest cannot name it, so the old one stays. */
  private nextFile(): boolean {
    const m = this.manifest;
    const name = this.nextIncr();
    let made = false;
    try {
      // The file is there before it is named, and named before anything is in it.
      closeSync(openSync(this.path(name), "a", 0o644));
      made = this.persist();
      if (made) this.open(name);
    } finally {
      if (!made) {
        m.incrs.pop();
        m.incrSeq--;
      }
    }
    if (made) this.server.log.notice(`Creating AOF incr file ${name} on background rewrite`);
    return made;
  }

  /** No rewrite now; the next one by itself not at once. */
  private later(): false {
    this.notBeforeMs = Math.max(this.notBeforeMs, clock.nowMs + RETRY_MS);
    return false;
  }

  private rewritten(error: string | null, name: string, seq: number, incrs: number): void {
    const { log } = this.server;
    this.job = null;
    this.lastTookS = Math.floor((clock.nowMs - this.rewriteStartMs) / 1000);
    if (error === KILLED) {
      log.warning("Background AOF rewrite terminated by signal 10");
      return;
    }
    this.lastOk = error === null;
    if (error !== null) {
      log.warning(`Background AOF rewrite terminated with error: ${error}`);
      this.failures++;
      if (this.failures >= LIMIT_FAILURES) {
        const minutes = Math.min(LIMIT_MAX_MINUTES, 2 ** (this.failures - LIMIT_FAILURES));
        this.notBeforeMs = clock.nowMs + minutes * 60_000;
        log.warning(`Background AOF rewrite has repeatedly failed and triggered the limit, will retry in ${minutes} minutes`);
      }
      return;
    }
    this.failures = 0;
    this.notBeforeMs = 0;
    const m = this.manifest;
    if (m.base !== null) m.history.push(m.base);
    m.base = { name, seq };
    m.baseSeq = seq;
    if (this.state === "waiting") {
      m.history.push(...m.incrs.splice(0));
      const incr = this.nextIncr();
      renameSync(this.path(this.temporaryIncr), this.path(incr));
      this.temporaryIncr = "";
    } else m.history.push(...m.incrs.splice(0, this.state === "off" ? incrs : Math.max(0, incrs - 1)));
    syncDirectorySync(this.directory);
    if (this.persist()) {
      log.notice("Background AOF rewrite finished successfully");
      if (this.state === "waiting") this.state = "on";
    }
    this.currentBytes = [m.base, ...m.incrs].reduce(
      (sum, f) => sum + (existsSync(this.path(f.name)) ? statSync(this.path(f.name)).size : 0),
      0,
    );
    this.baseBytes = this.currentBytes;
    this.deleteHistory();
  }

  // ------------------------------------------------------------------------------------------------ commands, INFO

  /** INFO persistence, the aof_ lines. */
  lines(): [string, string | number][] {
    const lines: [string, string | number][] = [
      ["aof_enabled", this.state === "off" ? 0 : 1],
      ["aof_rewrite_in_progress", this.job === null ? 0 : 1],
      ["aof_rewrite_scheduled", this.scheduled ? 1 : 0],
      ["aof_last_rewrite_time_sec", this.lastTookS],
      ["aof_current_rewrite_time_sec", this.job === null ? -1 : Math.floor((clock.nowMs - this.rewriteStartMs) / 1000)],
      ["aof_last_bgrewrite_status", this.lastOk ? "ok" : "err"],
      ["aof_rewrites", this.rewrites],
      ["aof_rewrites_consecutive_failures", this.failures],
      ["aof_last_write_status", this.writeError === "" ? "ok" : "err"],
      ["aof_last_cow_size", 0],
    ];
    if (this.state !== "off")
      lines.push(
        ["aof_current_size", this.currentBytes],
        ["aof_base_size", this.baseBytes],
        ["aof_pending_rewrite", this.scheduled ? 1 : 0],
        ["aof_buffer_length", this.n],
        ["aof_pending_bio_fsync", this.syncing ? 1 : 0],
        ["aof_delayed_fsync", this.delayedSyncs],
      );
    return lines;
  }

  /** DEBUG LOADAOF: what waits goes to the file, then everything is loaded from the files again, before anything else happens. */
  private loadAgain(c: Call): void {
    const { propagation, log } = this.server;
    this.write();
    if (this.n > 0) return c.out.errorText("ERR Error trying to write the AOF out, check server logs.");
    // What is loaded has been told to replicas and files already.
    const { replicas, aof } = propagation;
    propagation.replicas = null;
    propagation.aof = null;
    this.server.emptyAll(false);
    for (const load = this.load(); !load.next().done;);
    propagation.replicas = replicas;
    propagation.aof = aof;
    propagation.dirty = 0;
    log.notice("Append Only File loaded by DEBUG LOADAOF");
    c.out.ok();
  }

  runs(): Record<string, Run> {
    debugParts["loadaof"] = (c) => this.loadAgain(c);
    return {
      bgrewriteaof: (c: Call) => {
        if (this.job !== null) return c.out.errorText("ERR Background append only file rewriting already in progress");
        if (this.persistence.busy || c.depth > 0) {
          this.scheduled = true;
          return c.out.status("Background append only file rewriting scheduled");
        }
        this.notBeforeMs = 0;
        if (this.rewrite()) return c.out.status("Background append only file rewriting started");
        c.out.errorText("ERR Can't execute an AOF background rewriting. Please check the server logs for more information.");
      },
    };
  }
}

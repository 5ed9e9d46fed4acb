/**
 * Append only files: when they are on, what is loaded at boot, and how they are written anew when they have grown. Cold.
 * Redis aof.c (multi part, 7.0).
 *
 *   boot: manifest --> base, incremental files (load.ts) --> the last one is gone on with
 *   propagation --> AofWriter (writer.ts) --> incremental file
 *   rewrite: a new incremental file begins, a snapshot becomes the next base, the old files are history and go
 *
 * `waiting`: turned on while the server runs; commands gather in a temporary file until the first base is there, and count from then on.
 * A full sync from a master replaces the data: the files rest while it is loaded, and begin anew with a base of what came.
 */
import { renameSync, unlinkSync } from "node:fs";
import { constants } from "node:os";
import { strerror } from "../../../bytes/errno.ts";
import { BLOCKED_ON_SCRIPT } from "../../../clients/blocking.ts";
import type { Call } from "../../../clients/call.ts";
import { FLAG_DENY_BLOCKING } from "../../../clients/client.ts";
import type { Run } from "../../../clients/command.ts";
import { syncDirectorySync } from "../../../os/files.ts";
import { errorLine } from "../../../resp/errors.ts";
import { clock } from "../../../time/clock.ts";
import { debugParts } from "../../debug.ts";
import { debugSwitches } from "../../debug_switches.ts";
import type { Server, ShutdownWish } from "../../server.ts";
import { FileSink } from "../file_sink.ts";
import { KILLED, type Persistence } from "../persistence.ts";
import { named } from "../save_helper.ts";
import type { SnapshotJob } from "../snapshot_job.ts";
import { AofFiles } from "./files.ts";
import { AofProgress, loadAofFile } from "./load.ts";
import type { AofFile } from "./manifest.ts";
import { AofWriter } from "./writer.ts";

type State = "off" | "on" | "waiting";

/** After failed rewrites the next one waits: minutes doubling up to an hour (Redis aofRewriteLimited). */
const LIMIT_FAILURES = 3;
const LIMIT_MAX_MINUTES = 60;
const RETRY_MS = 1000;
/** Loading at boot that is over within this time is not interrupted: nobody sees -LOADING. */
const QUIET_LOAD_MS = 50;

/** A rewrite that runs: the base it makes, and how many incremental files it makes superfluous. */
interface Rewrite {
  job: SnapshotJob | null;
  pid: number;
  startMs: number;
  base: AofFile;
  covered: number;
}

export class Aof {
  private readonly server: Server;
  private readonly persistence: Persistence;
  readonly writer: AofWriter;
  private readonly files: AofFiles;
  state: State;
  private rewriting: Rewrite | null;
  private scheduled: boolean;
  private lastTookS: number;
  private lastOk: boolean;
  private rewrites: number;
  private failures: number;
  /** One that could not begin is tried again after this. */
  private notBeforeMs: number;
  /** The limiter: the wait there is, or was last, and its end; 0: none. */
  private limitMinutes: number;
  private limitEndMs: number;
  /** Bytes of all files when the writer had written `countedFrom`, and after the last rewrite or load. */
  private counted: number;
  private countedFrom: number;
  private baseBytes: number;

  /** A rewrite is under way. */
  get isRewriting(): boolean {
    return this.rewriting !== null;
  }

  constructor(server: Server, persistence: Persistence) {
    this.server = server;
    this.persistence = persistence;
    this.writer = new AofWriter(server, persistence);
    this.files = new AofFiles(server);
    this.state = "off";
    this.rewriting = null;
    this.scheduled = false;
    this.lastTookS = -1;
    this.lastOk = true;
    this.rewrites = 0;
    this.failures = 0;
    this.notBeforeMs = 0;
    this.limitMinutes = 0;
    this.limitEndMs = 0;
    this.counted = 0;
    this.countedFrom = 0;
    this.baseBytes = 0;
    this.join();
  }

  private join(): void {
    const { server, writer } = this;
    this.persistence.aofLines = () => this.lines();
    const { parts, config } = server;
    const before = parts.beforeFlush;
    parts.beforeFlush = () => before() && writer.turn();
    parts.aofBufferBytes = () => writer.pendingBytes;
    const misconf = parts.misconf;
    parts.misconf = () => (writer.error !== "" ? errorLine(`MISCONF Errors writing to the AOF file: ${writer.error}`) : misconf());
    const shutdown = parts.beforeShutdown;
    parts.beforeShutdown = async (wish) => {
      const refused = this.state === "off" ? null : this.beforeShutdown(wish);
      return refused ?? shutdown(wish);
    };
    parts.dataGoes = () => void this.turnOff();
    parts.dataCame = () => this.beginAnew();
    config.watch("aof-disable-auto-gc", () => this.files.deleteHistory());
    config.hook("appendonly", (c) => (c.bool("appendonly") ? this.turnOn() : this.turnOff()));
    server.cronJobs.push((nowMs) => this.cron(nowMs));
  }

  /** The reason why the process may not end now, or null: everything is on the disk. */
  private beforeShutdown(wish: ShutdownWish): string | null {
    const { log } = this.server;
    if (this.state === "waiting" && this.rewriting !== null) {
      // The files still hold other data than this.
      if (!wish.force) return "Writing initial AOF, can't exit.";
      log.warning("Writing initial AOF. Exit anyway.");
    }
    if (this.rewriting !== null) {
      log.warning("There is a child rewriting the AOF. Killing it!");
      this.rewriting.job?.abort(KILLED);
    }
    log.notice("Calling fsync() on the AOF file.");
    const failed = this.writer.flushNow();
    if (failed !== null) log.warning(`Fail to fsync the AOF file: ${failed}.`);
    return null;
  }

  /** Offset of the stream that is on the disk; -1 while append only files are off. */
  get syncedOffset(): number {
    return this.state === "off" ? -1 : this.state === "on" ? this.writer.synced : 0;
  }
  private get currentBytes(): number {
    return this.counted + this.writer.writtenBytes - this.countedFrom;
  }
  private count(bytes: number, base: number): void {
    this.counted = bytes;
    this.countedFrom = this.writer.writtenBytes;
    this.baseBytes = base;
  }

  // ------------------------------------------------------------------------------------------------ boot

  /** Loads what is there and opens the file to write. False: append only files are off, the RDB is to be loaded. */
  async boot(): Promise<boolean> {
    const { server, files } = this;
    const { config, log } = server;
    files.read();
    if (!config.bool("appendonly")) return false;
    try {
      files.makeDirectory();
    } catch (error) {
      server.process.fail(`Can't open or create append-only dir ${files.directory}: ${strerror(error)}`);
    }
    files.upgrade();
    // Clients get turns once it takes long enough to be noticed.
    const quietUntil = performance.now() + QUIET_LOAD_MS;
    for (const load = this.load(); !load.next().done;)
      if (performance.now() > quietUntil) await new Promise<void>((done) => setImmediate(done));
    const empty = files.live.length === 0;
    if (empty) this.firstBase();
    const last = files.manifest.incrs.at(-1);
    const incr = last ?? files.addIncr();
    try {
      this.writer.open(files.path(incr.name));
    } catch (error) {
      server.process.fail(`Can't open the append-only file ${incr.name}: ${strerror(error)}`);
    }
    if (!files.persist()) server.process.fail("The AOF manifest cannot be written");
    log.notice(`${last === undefined ? "Creating" : "Opening"} AOF incr file ${incr.name} on server start`);
    this.state = "on";
    server.propagation.aof = this.writer;
    files.deleteHistory();
    return true;
  }

  private firstBase(): void {
    const { files, server } = this;
    const base = files.nextBase(this.commands);
    if (this.persistence.writeBase(files.path(base.name), this.commands ? "commands" : "base") !== null)
      server.process.fail(`Can't create AOF base file ${base.name}`);
    files.setBase(base);
    server.log.notice(`Creating AOF base file ${base.name} on server start`);
  }

  /** A base is to be commands instead of an RDB. */
  private get commands(): boolean {
    return !this.server.config.bool("aof-use-rdb-preamble");
  }

  /** Loads all files; yields when others should have a turn. */
  private *load(): Generator<void, void> {
    const { server, files } = this;
    const { log } = server;
    const all = files.live;
    if (all.length === 0) return;
    for (const file of all)
      if (!files.isThere(file)) server.process.fail(`The append log file ${file.name} doesn't exist: No such file or directory`);
    const sizes = all.map((f) => files.sizeOf(f));
    const total = sizes.reduce((sum, n) => sum + n, 0);
    if (total > 0) {
      const started = performance.now();
      const progress = new AofProgress(total);
      server.setLoading(true, progress);
      for (const [i, file] of all.entries()) {
        const from = performance.now();
        const whole = yield* loadAofFile(server, this.persistence, files, file, i === all.length - 1, progress);
        if (!whole) continue;
        const kind = file === files.manifest.base ? "base" : "incr";
        log.notice(`DB loaded from ${kind} file ${file.name}: ${((performance.now() - from) / 1000).toFixed(3)} seconds`);
      }
      server.setLoading(false);
      log.notice(`DB loaded from append only file: ${((performance.now() - started) / 1000).toFixed(3)} seconds`);
    }
    this.count(total, files.manifest.base === null ? 0 : sizes[0]);
    server.propagation.dirty = 0;
  }

  // ------------------------------------------------------------------------------------------------ on and off

  /** CONFIG SET appendonly yes: a rewrite makes the first base. */
  private turnOn(): string | null {
    const { log, dispatcher, propagation } = this.server;
    if (this.state !== "off") return null;
    this.state = "waiting";
    propagation.aof = this.writer;
    if (dispatcher.depth > 1) {
      this.scheduled = true;
      log.notice("AOF was enabled during a transaction. An AOF background was scheduled to start when possible.");
    } else if (this.persistence.busy && this.rewriting === null) {
      this.scheduled = true;
      log.notice(
        "AOF was enabled but there is already another background operation. An AOF background was scheduled to start when possible.",
      );
    } else {
      if (this.rewriting !== null) {
        // Nothing has gathered what was changed since it began.
        log.notice(
          "AOF was enabled but there is already an AOF rewriting in background. Stopping background AOF and starting a rewrite now.",
        );
        this.rewriting.job?.abort(KILLED);
      }
      if (!this.rewrite()) {
        this.state = "off";
        propagation.aof = null;
        log.warning(
          "Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. Check the above logs for more info about the error.",
        );
        return "Unable to turn on AOF. Check server logs.";
      }
    }
    return null;
  }

  private turnOff(): string | null {
    if (this.state === "off") return null;
    const { log, propagation } = this.server;
    const failed = this.writer.flushNow();
    if (failed !== null) log.warning(`Fail to fsync the AOF file: ${failed}`);
    if (this.rewriting !== null) {
      log.notice(`Killing running AOF rewrite child: ${this.rewriting.pid}`);
      this.rewriting.job?.abort(KILLED);
    }
    this.writer.close();
    if (this.state === "waiting") this.dropTemporary();
    this.state = "off";
    this.scheduled = false;
    propagation.aof = null;
    // Who waits for it hears that it is off.
    this.writer.onSynced();
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
    this.server.propagation.aof = this.writer;
    this.notBeforeMs = clock.nowMs + RETRY_MS;
  }

  private dropTemporary(): void {
    const { files } = this;
    try {
      unlinkSync(files.path(files.temporaryIncr));
      this.server.log.notice(`Removing the temp incr aof file ${files.temporaryIncr} in the background`);
    } catch {
      // gone
    }
  }

  // ------------------------------------------------------------------------------------------------ rewrite

  private cron(nowMs: number): void {
    if (this.state !== "off") this.writer.cron(nowMs);
    const { config, log } = this.server;
    if (this.rewriting !== null || this.persistence.busy || this.server.loading) return;
    if (this.scheduled || this.state === "waiting") {
      if (nowMs >= this.notBeforeMs && !this.limited(nowMs)) this.rewrite();
      return;
    }
    if (this.state === "off") return;
    const percentage = config.number("auto-aof-rewrite-percentage");
    if (percentage === 0 || this.currentBytes <= config.number("auto-aof-rewrite-min-size")) return;
    const growth = Math.floor((this.currentBytes * 100) / Math.max(1, this.baseBytes)) - 100;
    if (growth < percentage || nowMs < this.notBeforeMs || this.limited(nowMs)) return;
    log.notice(`Starting automatic rewriting of AOF on ${growth}% growth`);
    this.rewrite();
  }

  /** After several failures in a row the next rewrite waits a minute, then two, up to an hour. */
  private limited(nowMs: number): boolean {
    if (this.failures < LIMIT_FAILURES) {
      this.limitMinutes = this.limitEndMs = 0;
      return false;
    }
    if (this.limitEndMs > 0) {
      if (nowMs < this.limitEndMs) return true;
      this.limitEndMs = 0;
      return false;
    }
    this.limitMinutes = this.limitMinutes === 0 ? 1 : Math.min(LIMIT_MAX_MINUTES, this.limitMinutes * 2);
    this.limitEndMs = nowMs + this.limitMinutes * 60_000;
    this.server.log.warning(
      `Background AOF rewrite has repeatedly failed and triggered the limit, will retry in ${this.limitMinutes} minutes`,
    );
    return true;
  }

  /** Begins a rewrite. False: it cannot begin now. */
  rewrite(): boolean {
    const { server, persistence, files } = this;
    const { log } = server;
    if (this.rewriting !== null || persistence.busy) return false;
    if (!this.nextFile()) return this.notNow();
    this.scheduled = false;
    this.rewrites++;
    const { commands } = this;
    const base = files.nextBase(commands);
    const mine: Rewrite = { job: null, pid: process.pid, startMs: clock.nowMs, base, covered: files.manifest.incrs.length };
    // What follows the base: the file that has just begun.
    if (this.state === "on") mine.covered--;
    this.rewriting = mine;
    const makeSink = (): FileSink => {
      const sink = new FileSink({
        kind: "aof",
        temporary: named("aof", process.pid),
        target: files.path(base.name),
        drained: () => mine.job?.wake(),
        failed: (reason) => mine.job?.abort(reason),
        log: (text) => log.warning(text),
      });
      mine.pid = sink.pid;
      return sink;
    };
    try {
      mine.job = persistence.startSnapshot(makeSink, (error) => this.rewritten(mine, error), {
        form: commands ? "commands" : "base",
      });
    } catch (error) {
      log.warning(`Can't rewrite append only file in background: ${strerror(error)}`);
      this.rewriting = null;
      return this.notNow();
    }
    log.notice(`Background append only file rewriting started by pid ${mine.pid}`);
    return true;
  }

  private notNow(): false {
    this.lastOk = false;
    this.notBeforeMs = Math.max(this.notBeforeMs, clock.nowMs + RETRY_MS);
    return false;
  }

  /** What is written from now on goes to a new file. False: it cannot be made, so the old one stays. */
  private nextFile(): boolean {
    const { files, writer } = this;
    const { log } = this.server;
    let name = files.temporaryIncr;
    try {
      files.makeDirectory();
    } catch (error) {
      log.warning(`Can't open or create append-only dir ${files.directory}: ${strerror(error)}`);
      return false;
    }
    if (this.state === "off") return true;
    // What the disk did not take is in the data as well: in the next file it would be done twice.
    if (!writer.write()) return false;
    try {
      if (this.state === "waiting") {
        writer.open(files.path(name), true);
        writer.synced = writer.streamOffset();
        this.count(0, 0);
      } else {
        const made = files.makeIncr();
        if (made === null) return false;
        ({ name } = made);
        writer.open(files.path(name));
      }
    } catch (error) {
      log.warning(`Can't open the append-only file ${name}: ${strerror(error)}`);
      return false;
    }
    log.notice(`Creating AOF incr file ${name} on background rewrite`);
    return true;
  }

  private rewritten(mine: Rewrite, error: string | null): void {
    const { log } = this.server;
    this.rewriting = null;
    this.lastTookS = Math.floor((clock.nowMs - mine.startMs) / 1000);
    if (error === null && this.install(mine)) return;
    // A rewrite that was broken off on purpose is no failure.
    if (error === KILLED) log.warning("Background AOF rewrite terminated by signal 10");
    else {
      this.lastOk = false;
      this.failures++;
      if (error !== null) {
        const signal = constants.signals[error as NodeJS.Signals] as number | undefined;
        log.warning(
          signal === undefined ? "Background AOF rewrite terminated with error" : `Background AOF rewrite terminated by signal ${signal}`,
        );
      }
    }
    if (this.state !== "waiting") return;
    // What gathered belongs to no base: the next rewrite begins from the data as it is then.
    this.writer.close();
    this.dropTemporary();
    this.scheduled = true;
  }

  /** The base is in its place: the manifest names it, and what it makes superfluous goes. False: the disk would not have it. */
  private install(mine: Rewrite): boolean {
    const { files, writer } = this;
    const { log } = this.server;
    const { manifest: m } = files;
    log.notice("Background AOF rewrite terminated with success");
    const before = { base: m.base, baseSeq: m.baseSeq, incrs: [...m.incrs], incrSeq: m.incrSeq, history: [...m.history] };
    files.setBase(mine.base);
    m.history.unshift(...m.incrs.splice(0, mine.covered));
    try {
      if (this.state === "waiting") renameSync(files.path(files.temporaryIncr), files.path(files.addIncr().name));
      syncDirectorySync(files.directory);
      if (!files.persist()) throw new Error("The manifest cannot be written");
    } catch (error) {
      log.warning(`Error trying to put the rewritten AOF into place: ${strerror(error)}`);
      Object.assign(m, before);
      return false;
    }
    if (this.state !== "off") {
      const bytes = files.sizeOf(mine.base) + m.incrs.reduce((sum, f) => sum + files.sizeOf(f), 0);
      this.count(bytes, bytes);
    }
    files.deleteHistory();
    this.lastOk = true;
    this.failures = 0;
    this.notBeforeMs = 0;
    log.notice("Background AOF rewrite finished successfully");
    if (this.state === "waiting") {
      this.state = "on";
      writer.onSynced();
    }
    return true;
  }

  // ------------------------------------------------------------------------------------------------ commands, INFO

  /** INFO persistence, the aof_ lines. */
  lines(): [string, string | number][] {
    const { writer, rewriting } = this;
    const lines: [string, string | number][] = [
      ["aof_enabled", this.state === "off" ? 0 : 1],
      ["aof_rewrite_in_progress", rewriting === null ? 0 : 1],
      ["aof_rewrite_scheduled", this.scheduled ? 1 : 0],
      ["aof_last_rewrite_time_sec", this.lastTookS],
      ["aof_current_rewrite_time_sec", rewriting === null ? -1 : Math.floor((clock.nowMs - rewriting.startMs) / 1000)],
      ["aof_last_bgrewrite_status", this.lastOk ? "ok" : "err"],
      ["aof_rewrites", this.rewrites],
      ["aof_rewrites_consecutive_failures", this.failures],
      ["aof_last_write_status", writer.error === "" ? "ok" : "err"],
      ["aof_last_cow_size", 0],
    ];
    if (this.state !== "off")
      lines.push(
        ["aof_current_size", this.currentBytes],
        ["aof_base_size", this.baseBytes],
        ["aof_pending_rewrite", this.scheduled ? 1 : 0],
        ["aof_buffer_length", writer.pendingBytes],
        ["aof_pending_bio_fsync", writer.isSyncing ? 1 : 0],
        ["aof_delayed_fsync", writer.delayedSyncs],
      );
    return lines;
  }

  /** DEBUG LOADAOF: what waits goes to the file, then everything is loaded from the files again; others hear -LOADING meanwhile. */
  private loadAgain(c: Call): void {
    const { propagation, log, service, dispatcher } = this.server;
    const { client } = c;
    if (!this.writer.write()) return c.out.errorText("ERR Error trying to write the AOF out, check server logs.");
    // What is loaded has been told to replicas and files already.
    const { replicas, aof } = propagation;
    propagation.replicas = null;
    propagation.aof = null;
    this.server.emptyAll(false);
    this.files.read();
    const load = this.load();
    const mayBlock = c.depth === 0 && (client.flags & FLAG_DENY_BLOCKING) === 0;
    const step = (): void => {
      while (!load.next().done) if (mayBlock) return void setImmediate(step);
      propagation.replicas = replicas;
      propagation.aof = aof;
      propagation.dirty = 0;
      log.notice("Append Only File loaded by DEBUG LOADAOF");
      client.out.ok();
      if (!mayBlock) return;
      service.blocking.unblock(client);
      dispatcher.endEvent();
    };
    if (!mayBlock) return step();
    service.blocking.blockOn(client, BLOCKED_ON_SCRIPT, 0);
    setImmediate(step);
  }

  runs(): Record<string, Run> {
    debugParts["loadaof"] = (c) => this.loadAgain(c);
    debugParts["aof-flush-sleep"] = (c) => {
      debugSwitches.aofFlushSleepUs = Number(c.text(2)) || 0;
      c.out.ok();
    };
    return {
      bgrewriteaof: (c: Call) => {
        if (this.rewriting !== null) return c.out.errorText("ERR Background append only file rewriting already in progress");
        // Who asks has seen to what made it fail.
        this.notBeforeMs = 0;
        if (this.persistence.busy || c.depth > 0) {
          this.scheduled = true;
          this.failures = 0;
          return c.out.status("Background append only file rewriting scheduled");
        }
        if (this.rewrite()) return c.out.status("Background append only file rewriting started");
        c.out.errorText("ERR Can't execute an AOF background rewriting. Please check the server logs for more information.");
      },
    };
  }
}

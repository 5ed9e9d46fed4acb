/**
 * The data set on disk: when it is saved, loaded, and what clients are told about it. Cold. Redis rdb.c, server.c.
 *
 *   boot --> load dbfilename in slices        SAVE, SHUTDOWN, FLUSHALL --> saveNow
 *   cron, BGSAVE --> saveInBackground --+
 *   replication  --> startSnapshot -----+--> one SnapshotJob at a time --> its Sink
 *
 * Leaves out the encoding (snapshot.ts, rdb_load.ts) and the commands' words (commands.ts, dump.ts).
 */
import { constants } from "node:os";
import { resolve } from "node:path";
import { GATE_MISCONF } from "../../clients/command.ts";
import { strerror } from "../../bytes/errno.ts";
import { ERR } from "../../resp/errors.ts";
import { usedMemory } from "../../store/arena.ts";
import { ACTIONS_ALL, PAUSE_BY_SHUTDOWN } from "../../clients/pause.ts";
import { clock, readClock } from "../../time/clock.ts";
import { REDIS_VERSION } from "../../config/version.ts";
import { debugSwitches } from "../debug_switches.ts";
import type { Server, ShutdownWish } from "../server.ts";
import { FileSink, SyncFileSink, openFailure } from "./file_sink.ts";
import { FileFeeder, openRdb } from "./file_source.ts";
import { removeQuietly } from "./move_into_place.ts";
import { Loading, type LoadEnd, type LoadProgress } from "./loading.ts";
import type { LoadOptions, LoadedInfo } from "./rdb_load.ts";
import { RdbSource } from "./rdb_source.ts";
import { RdbWriter, type ChunkSink } from "./rdb_writer.ts";
import { Snapshot, type SnapshotOptions } from "./snapshot.ts";
import { saveLibraries } from "./snapshot_encoder.ts";
import { SnapshotJob, type Sink } from "./snapshot_job.ts";

/** After a failed save the next one by itself comes no sooner. */
const RETRY_SECONDS = 5;
/** Of a save that does not give way, between two looks whether the disk still takes it. */
const SYNC_STEP_MS = 100;
/** Whoever breaks a save off on purpose: no failure. Redis sends its child this signal. */
export const KILLED = "SIGUSR1";

/** What a snapshot says about the replication stream it belongs to. */
export interface ReplInfo {
  db: number;
  id: string;
  offset: number;
}

/** What a snapshot is for: a file of its own or a full sync, the base of append only files, such a base in the form of commands. */
export type SnapshotForm = "rdb" | "base" | "commands";

export interface SnapshotWish {
  /** RDB version; else the directive's. */
  version?: number;
  form?: SnapshotForm;
}

export interface LoadWish {
  /** Bytes that will come; 0: not known. */
  totalBytes: number;
  /** Bytes are missing: feed the source, then call fed() on what loadFrom returned. */
  starved(): void;
  done(end: LoadEnd): void;
  /** Differences from how a file is loaded. */
  options?: Partial<LoadOptions>;
  /** It goes beside the old data, which is served meanwhile. */
  async?: boolean;
  /** Clients wait for it at first, instead of being refused (Server.setLoading). */
  held?: boolean;
}

const seconds = (): number => Math.floor(clock.nowMs / 1000);

export class Persistence {
  readonly server: Server;
  /** Set by replication: what goes into a file about the stream. null: nothing. */
  replInfo: () => ReplInfo | null;
  /** Set by replication: a key's time had come when a master loaded it. */
  expiredAtLoad: ((db: number, key: Buffer, start: number, end: number) => void) | null;
  /** INFO's lines about append only files; aof.ts puts its own here. */
  aofLines: () => [string, string | number][];
  job: SnapshotJob | null;
  loading: Loading | null;
  /** When the data was last saved, unix seconds. */
  lastSaveS: number;
  scheduled: boolean;
  private jobIsFile: boolean;
  private afterSave: ((error: string | null) => void) | null;
  private temporary: string;
  private temporaries: number;
  private saveOk: boolean;
  private lastTryS: number;
  private lastTookS: number;
  private saves: number;
  private dirtyBefore: number;
  private lastEarlyBytes: number;

  constructor(server: Server) {
    this.server = server;
    this.replInfo = () => null;
    this.expiredAtLoad = null;
    this.aofLines = () => [];
    this.job = null;
    this.loading = null;
    this.lastSaveS = seconds();
    this.scheduled = false;
    this.jobIsFile = false;
    this.afterSave = null;
    this.temporary = "";
    this.temporaries = 0;
    this.saveOk = true;
    this.lastTryS = 0;
    this.lastTookS = -1;
    this.saves = 0;
    this.dirtyBefore = 0;
    this.lastEarlyBytes = 0;
    this.join();
  }

  /** Hangs itself into the server. */
  private join(): void {
    const { server } = this;
    const { parts } = server;
    server.cronJobs.push(() => this.cron());
    server.addInfo("persistence", () => this.infoLines());
    parts.misconf = () => ERR.misconf;
    parts.flushedAll = () => this.flushedAll();
    const earlier = parts.beforeShutdown;
    parts.beforeShutdown = async (wish) => (await earlier(wish)) ?? this.beforeShutdown(wish);
    const resetEarlier = parts.resetStats;
    parts.resetStats = () => {
      resetEarlier();
      this.saves = 0;
    };
    server.config.watch(["save", "stop-writes-on-bgsave-error"], () => this.setGate());
  }

  /** True while a snapshot runs, whoever wanted it. */
  get busy(): boolean {
    return this.job !== null;
  }

  /** True while a save into the file runs in the background. */
  get savingFile(): boolean {
    return this.job !== null && this.jobIsFile;
  }

  /** What the last load found; null: nothing was loaded yet. */
  get lastLoaded(): LoadedInfo | null {
    return this.server.lastLoaded;
  }

  /** Checksums of files are looked at. */
  get checksums(): boolean {
    return this.server.config.bool("rdbchecksum") && !debugSwitches.skipChecksums;
  }

  get path(): string {
    return this.server.config.text("dbfilename");
  }

  // ---------------------------------------------------------------------------------------------------------------- saving

  private snapshotOptions(wish: SnapshotWish = {}): SnapshotOptions {
    const { config, databases } = this.server;
    const aux: [string, string][] = [
      ["redis-ver", REDIS_VERSION],
      ["redis-bits", "64"],
      ["ctime", String(seconds())],
      ["used-mem", String(usedMemory())],
    ];
    const form = wish.form ?? "rdb";
    const repl = form === "rdb" ? this.replInfo() : null;
    if (repl !== null) aux.push(["repl-stream-db", String(repl.db)], ["repl-id", repl.id], ["repl-offset", String(repl.offset)]);
    aux.push(["aof-base", form === "rdb" ? "0" : "1"]);
    return {
      commands: form === "commands",
      stamp: config.bool("aof-timestamp-enabled"),
      databases,
      version: wish.version ?? config.number("rdb-version"),
      compress: config.bool("rdbcompression"),
      checksum: config.bool("rdbchecksum"),
      aux,
      libraries: this.server.parts.libraries.codes(),
      access: /lru|lfu/.test(config.choice("maxmemory-policy")),
    };
  }

  /**
   * Begins a snapshot into a sink of the caller's. null: one is running already (ask `busy` first). Throws what makeSink throws.
   * `done` is called once: null, or the reason why there is no complete snapshot. Until then no other one can begin.
   */
  startSnapshot(makeSink: () => Sink, done: (error: string | null) => void, wish: SnapshotWish = {}): SnapshotJob | null {
    if (this.busy) return null;
    const { server } = this;
    const sink = makeSink();
    const job = new SnapshotJob(
      {
        ...this.snapshotOptions(wish),
        delayUs: () => server.config.number("rdb-key-save-delay"),
        workDone: () => server.dispatcher.totalCommands,
        done: (error) => {
          readClock();
          this.lastTookS = Math.floor((clock.nowMs - job.startMs) / 1000);
          this.lastEarlyBytes = job.snapshot.savedEarlyBytes;
          this.job = null;
          done(error);
        },
      },
      sink,
    );
    this.job = job;
    this.jobIsFile = false;
    server.stats.snapshots++;
    return job;
  }

  /** As saveInBackground; `done` hears how it ended (a full sync waits for the file). */
  backgroundSave(done: (error: string | null) => void): boolean {
    if (this.busy) return false;
    this.afterSave = done;
    return this.saveInBackground();
  }

  /** BGSAVE: into dbfilename, beside the server's work. False: a snapshot is running. */
  saveInBackground(): boolean {
    if (this.busy) return false;
    const { log, propagation } = this.server;
    const path = this.path;
    this.saves++;
    this.dirtyBefore = propagation.dirty;
    this.lastTryS = seconds();
    const temporary = `temp-${process.pid}.${++this.temporaries}.rdb`;
    this.temporary = resolve(temporary);
    let pid = 0;
    try {
      const job: SnapshotJob = this.startSnapshot(
        () => {
          const sink = new FileSink({
            kind: "rdb",
            temporary,
            target: path,
            drained: () => job.wake(),
            failed: (reason) => job.abort(reason),
            log: (text) => log.warning(text),
          });
          pid = sink.pid;
          this.temporary = sink.temporary;
          return sink;
        },
        (error) => this.backgroundDone(error),
      )!;
      this.jobIsFile = true;
      log.notice(`Background saving started by pid ${pid}`);
    } catch (error) {
      log.warning(openFailure(temporary, error));
      this.backgroundDone("open");
    }
    return true;
  }

  private backgroundDone(error: string | null): void {
    const { log, propagation } = this.server;
    this.jobIsFile = false;
    if (error === null) {
      log.notice("DB saved on disk");
      log.notice("Background saving terminated with success");
      propagation.dirty = Math.max(0, propagation.dirty - this.dirtyBefore);
      this.lastSaveS = seconds();
      this.saveOk = true;
    } else if (error in constants.signals) {
      log.warning(`Background saving terminated by signal ${constants.signals[error as NodeJS.Signals]}`);
      if (error !== KILLED) this.saveOk = false;
    } else {
      log.warning("Background saving error");
      this.saveOk = false;
    }
    this.setGate();
    const after = this.afterSave;
    this.afterSave = null;
    after?.(error);
  }

  /** Breaks a running snapshot off, whoever wanted it; its `done` gets KILLED. */
  breakOff(): void {
    if (this.job === null) return;
    const file = this.jobIsFile;
    this.job.abort(KILLED);
    if (file) removeQuietly(this.temporary);
  }

  /** SAVE: into dbfilename before anything else happens. Null, or the reason why not (logged). Nothing may be running. */
  saveNow(): string | null {
    this.saves++;
    const error = this.writeBase(this.path);
    return error ?? this.saved();
  }

  private saved(): null {
    const { log, propagation } = this.server;
    readClock();
    log.notice("DB saved on disk");
    propagation.dirty = 0;
    this.lastSaveS = seconds();
    this.saveOk = true;
    this.setGate();
    return null;
  }

  /** Writes all data into a file without giving way; the reason why not (logged), or null. */
  writeBase(path: string, form: SnapshotForm = "rdb"): string | null {
    const { log, config } = this.server;
    const temporary = form === "rdb" ? `temp-${process.pid}.rdb` : `temp-rewriteaof-${process.pid}.aof`;
    let sink: SyncFileSink;
    try {
      sink = new SyncFileSink(temporary, path);
    } catch (error) {
      const text = openFailure(temporary, error);
      log.warning(text);
      return text;
    }
    const snapshot = new Snapshot(this.snapshotOptions({ form }), sink);
    const delayUs = config.number("rdb-key-save-delay");
    while (!snapshot.step(SYNC_STEP_MS, delayUs === 0 ? Infinity : 1)) {
      if (sink.broken) {
        snapshot.abort();
        break;
      }
      if (delayUs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, delayUs / 1000);
    }
    return sink.finish((text) => log.warning(text));
  }

  private cron(): void {
    const { config, log, propagation } = this.server;
    if (this.server.loading || this.busy) return;
    const now = seconds();
    const mayTry = this.saveOk || now - this.lastTryS > RETRY_SECONDS;
    if (!mayTry) return;
    if (this.scheduled) {
      this.scheduled = false;
      this.saveInBackground();
      return;
    }
    for (const point of config.special("save")) {
      if (propagation.dirty < point.changes || now - this.lastSaveS <= point.seconds) continue;
      log.notice(`${point.changes} changes in ${point.seconds} seconds. Saving...`);
      this.saveInBackground();
      return;
    }
  }

  /** True while a failed save closes the gate for writes. */
  get failing(): boolean {
    const { config } = this.server;
    return !this.saveOk && config.bool("stop-writes-on-bgsave-error") && config.special("save").length > 0;
  }
  private setGate(): void {
    this.server.setGate(GATE_MISCONF, this.failing);
  }

  /** FLUSHALL has emptied the databases: what is being saved is of no use, and the file is to be empty too. True when it was written. */
  private flushedAll(): boolean {
    this.breakOff();
    return this.server.config.special("save").length > 0 && this.saveNow() === null;
  }

  /** An RDB that holds facts about itself, and functions if `withFunctions`, but no data (REPLCONF rdb-filter-only). */
  writeEmpty(sink: ChunkSink, withFunctions: boolean): void {
    const { version, compress, checksum, aux, libraries } = this.snapshotOptions();
    const writer = new RdbWriter(sink, compress, checksum);
    writer.header(version);
    for (const [name, value] of aux) writer.aux(name, value);
    if (withFunctions) saveLibraries(writer, version, libraries);
    writer.footer();
  }

  private async beforeShutdown(wish: ShutdownWish): Promise<string | null> {
    const { log, config, loading } = this.server;
    if (this.savingFile) log.warning("There is a child saving an .rdb. Killing it!");
    const save = !loading && (wish.save === "yes" || (wish.save === "configured" && config.special("save").length > 0));
    this.breakOff();
    if (!save) return null;
    log.notice("Saving the final RDB snapshot before exiting.");
    if ((await this.lastSave()) === null) return null;
    if (!wish.force) return "Error trying to save the DB, can't exit.";
    log.warning("Error trying to save the DB. Exit anyway.");
    return null;
  }

  /**
   * The save before the end. Nobody is served meanwhile, as with saveNow, but signals are heard: a second SIGINT ends the process at once,
   * and its half file goes with it.
   */
  private async lastSave(): Promise<string | null> {
    const { server } = this;
    const { pause } = server.service;
    let sink: SyncFileSink;
    try {
      sink = new SyncFileSink(`temp-${process.pid}.rdb`, this.path);
    } catch (error) {
      const text = openFailure(`temp-${process.pid}.rdb`, error);
      server.log.warning(text);
      return text;
    }
    this.saves++;
    server.process.onInsist = () => sink.abort();
    pause.begin(PAUSE_BY_SHUTDOWN, Infinity, ACTIONS_ALL);
    const snapshot = new Snapshot(this.snapshotOptions(), sink);
    const delayUs = server.config.number("rdb-key-save-delay");
    while (!snapshot.step(SYNC_STEP_MS, delayUs === 0 ? Infinity : 1)) {
      if (sink.broken) {
        snapshot.abort();
        break;
      }
      await Bun.sleep(delayUs / 1000);
    }
    const error = sink.finish((text) => server.log.warning(text));
    server.process.onInsist = null;
    if (error === null) return this.saved();
    pause.end(PAUSE_BY_SHUTDOWN);
    return error;
  }

  // ---------------------------------------------------------------------------------------------------------------- loading

  /** How a file is loaded. */
  loadOptions(): LoadOptions {
    const { config, databases, log } = this.server;
    // At boot replication has not begun yet, and only the file says what we are.
    const master = this.server.role() === "master" && config.special("replicaof") === null;
    return {
      databases,
      dropExpired: master,
      ...(this.expiredAtLoad === null ? {} : { expired: this.expiredAtLoad }),
      replace: false,
      deep: config.choice("sanitize-dump-payload") === "yes",
      log,
      delayUs: () => config.number("key-load-delay"),
      loadFunction: (code, replace) => this.server.parts.libraries.load(code, replace),
    };
  }

  /**
   * Loads what the caller feeds into `source`, in slices; clients get -LOADING meanwhile. The databases should be empty.
   * Nothing else may be loading. The flag is down again when `done` is called.
   */
  loadFrom(source: RdbSource, wish: LoadWish): Loading {
    if (this.loading !== null) throw new Error("a load is running");
    const { server } = this;
    readClock();
    this.loading = new Loading(source, { ...this.loadOptions(), ...wish.options }, wish.totalBytes, wish.starved, (end) => {
      this.loading = null;
      server.setLoading(false);
      wish.done(end);
    });
    server.setLoading(true, this.loading, wish.async ?? false, wish.held ?? false);
    return this.loading;
  }

  /** Gives a load up; its `done` is not called. */
  abortLoad(): void {
    if (this.loading === null) return;
    this.loading.abort();
    this.loading = null;
    this.server.setLoading(false);
  }

  /** Loads dbfilename, if there is one. A file that cannot be read ends the process. Redis server.c: loadDataFromDisk. */
  async loadAtBoot(): Promise<void> {
    const { log } = this.server;
    const path = this.path;
    let file: { fd: number; size: number };
    try {
      file = openRdb(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      log.warning(`Fatal error: can't open the RDB file ${path} for reading: ${strerror(error)}`);
      this.server.process.fail("Fatal error loading the DB, check server logs. Exiting.");
    }
    const from = readClock();
    const source = new RdbSource(this.checksums);
    const feeder = new FileFeeder(file.fd, source);
    const end = await new Promise<LoadEnd>((resolve) => {
      feeder.begin(this.loadFrom(source, { totalBytes: file.size, starved: () => feeder.more(), done: resolve }));
    });
    feeder.close();
    if (end.error !== null) this.brokenFile(path, end);
    log.notice(`DB loaded from disk: ${((readClock() - from) / 1000).toFixed(3)} seconds`);
  }

  private brokenFile(path: string, end: LoadEnd): never {
    const { log } = this.server;
    if (!end.corrupt) log.warning("Short read or OOM loading DB. Unrecoverable error, aborting now.");
    log.warning(`Internal error in RDB reading offset ${end.offset}, function at rdb_load -> ${end.error}`);
    this.server.process.fail(
      `Fatal error loading the DB from ${path}: ${end.error} at offset ${end.offset}. Terminating server after rdb file reading failure.`,
    );
  }

  // ---------------------------------------------------------------------------------------------------------------- INFO

  private infoLines(): [string, string | number][] {
    const { server, job } = this;
    const { propagation, loadProgress } = server;
    const loaded = loadProgress?.info ?? server.lastLoaded;
    const snapshot = job?.snapshot ?? null;
    const done = snapshot?.processed ?? 0;
    const total = snapshot?.total ?? 0;
    const early = snapshot?.savedEarlyBytes ?? 0;
    return [
      ["loading", server.loading && !server.asyncLoading ? 1 : 0],
      ["async_loading", server.asyncLoading ? 1 : 0],
      // There is no fork: what was written ahead of its turn is what it would have cost.
      ["current_cow_peak", early],
      ["current_cow_size", early],
      ["current_cow_size_age", 0],
      ["current_fork_perc", total === 0 ? "0.00" : ((done / total) * 100).toFixed(2)],
      ["current_save_keys_processed", done],
      ["current_save_keys_total", total],
      ["rdb_changes_since_last_save", propagation.dirty],
      ["rdb_bgsave_in_progress", job === null ? 0 : 1],
      ["rdb_last_save_time", this.lastSaveS],
      ["rdb_last_bgsave_status", this.saveOk ? "ok" : "err"],
      ["rdb_last_bgsave_time_sec", this.lastTookS],
      ["rdb_current_bgsave_time_sec", job === null ? -1 : Math.floor((clock.nowMs - job.startMs) / 1000)],
      ["rdb_saves", this.saves],
      ["rdb_last_cow_size", this.lastEarlyBytes],
      ["rdb_last_load_keys_expired", loaded?.expired ?? 0],
      ["rdb_last_load_keys_loaded", loaded?.keys ?? 0],
      ...this.aofLines(),
      ["module_fork_in_progress", 0],
      ["module_fork_last_cow_size", 0],
      ...(loadProgress === null ? [] : loadingLines(loadProgress)),
    ];
  }
}

function loadingLines(loading: LoadProgress): [string, string | number][] {
  const read = loading.readBytes;
  const used = loading.info.usedMemory;
  let percent = 0;
  let left = 1;
  if (loading.totalBytes > 0) {
    percent = (read / loading.totalBytes) * 100;
    left = loading.totalBytes - read;
  } else if (used > 0) {
    // Memory is a poor guess of the bytes that will come.
    percent = Math.min(99.99, (read / used) * 100);
    left = Math.max(1, used - read);
  }
  const elapsed = seconds() - Math.floor(loading.startMs / 1000);
  return [
    ["loading_start_time", Math.floor(loading.startMs / 1000)],
    ["loading_total_bytes", loading.totalBytes],
    ["loading_rdb_used_mem", used],
    ["loading_loaded_bytes", read],
    ["loading_loaded_perc", percent.toFixed(2)],
    ["loading_eta_seconds", elapsed === 0 ? 1 : Math.floor((elapsed * left) / (read + 1))],
  ];
}

/**
 * A full sync as the replica has it: the RDB comes in, and takes the place of what was there. Cold but for the chunks.
 * Redis replication.c readSyncBulkPayload.
 *
 *   header --disabled--------------------------> RdbFile --whole--> old data goes --> Loading from the file --> loaded
 *          \-on-empty-db, nothing is there-----> Loading from the socket ------------------------------------> loaded
 *          \-swapdb--> Loading from the socket into databases beside; the old data is served on when it is the same history --> swap --> loaded
 *
 * Leaves out the link: it hands in bytes, and hears how it ended.
 */
import { clock } from "../../time/clock.ts";
import { Keyspace } from "../../store/keyspace.ts";
import { strerror } from "../../bytes/errno.ts";
import { FileFeeder, openRdb } from "../persistence/file_source.ts";
import type { LoadEnd, Loading } from "../persistence/loading.ts";
import { removeQuietly } from "../persistence/move_into_place.ts";
import type { LoadedInfo } from "../persistence/rdb_load.ts";
import { RdbSource } from "../persistence/rdb_source.ts";
import { RdbFile } from "./rdb_file.ts";
import type { Replication } from "./replication.ts";
import type { LibraryStore } from "../server.ts";

const EOF_MARK_BYTES = 40;
/** Bytes that may wait for the loader before the socket is paused. */
const FULL_BYTES = 2 * 1024 * 1024;
const EMPTY: Buffer = Buffer.alloc(0);

export interface TransferHooks {
  pause(): void;
  resume(): void;
  /** It came to nothing; why is logged. */
  failed(): void;
  /** The data is here; `rest` are bytes that came behind it. */
  loaded(info: LoadedInfo, rest: Buffer): void;
}

export class Transfer {
  private readonly repl: Replication;
  private readonly hooks: TransferHooks;
  /** The history it belongs to. */
  private readonly replId: string;
  /** The payload's length; -1 while it is not known, 0 when a mark ends it. */
  totalBytes: number;
  readBytes: number;
  usesMark: boolean;
  private mark: Buffer;
  private lastBytes: Buffer;
  private rest: Buffer;
  private file: RdbFile | null;
  private path: string;
  private feeder: FileFeeder | null;
  private loading: Loading | null;
  private source: RdbSource | null;
  /** swapdb: where the new data goes. */
  private beside: Keyspace[] | null;
  private libraries: ReturnType<LibraryStore["beside"]> | null;
  private loadedInfo: LoadedInfo | null;
  /** Loaded from the socket, mark and all; only the swap is to come. */
  private settled: boolean;
  private over: boolean;

  constructor(repl: Replication, replId: string, hooks: TransferHooks) {
    this.repl = repl;
    this.hooks = hooks;
    this.replId = replId;
    this.totalBytes = -1;
    this.readBytes = 0;
    this.usesMark = false;
    this.mark = EMPTY;
    this.lastBytes = EMPTY;
    this.rest = EMPTY;
    this.file = null;
    this.path = "";
    this.feeder = null;
    this.loading = null;
    this.source = null;
    this.beside = null;
    this.libraries = null;
    this.loadedInfo = null;
    this.settled = false;
    this.over = false;
  }

  /** The header has come: bytes belong to the payload. */
  get begun(): boolean {
    return this.totalBytes >= 0;
  }
  /** Everything has come: the link may go, what is here will be loaded all the same. */
  get isWhole(): boolean {
    return this.feeder !== null || (this.file !== null && this.path !== "");
  }
  /** The old data is gone, or about to be swapped. */
  get isLoading(): boolean {
    return this.loading !== null;
  }

  /** `$<length>` or `$EOF:<mark>`. False: it made no sense, and was logged. */
  begin(line: string): boolean {
    const { log, config, databases } = this.repl.server;
    if (line.startsWith("-")) {
      log.warning(`MASTER aborted replication with an error: ${line.slice(1)}`);
      return false;
    }
    const length = Number(line.slice(1));
    this.usesMark = line.startsWith("$EOF:") && line.length >= 5 + EOF_MARK_BYTES;
    if (!line.startsWith("$") || (!this.usesMark && !(length >= 0))) {
      log.warning(`Bad protocol from MASTER, the first byte is not '$' (we received '${line}'), are you sure the host and port are right?`);
      return false;
    }
    const mode = config.choice("repl-diskless-load");
    const parse = mode === "swapdb" || (mode === "on-empty-db" && databases.every((db) => db.size === 0));
    const where = parse ? "to parser" : "to disk";
    if (this.usesMark) {
      this.mark = Buffer.from(line.slice(5, 5 + EOF_MARK_BYTES), "latin1");
      this.totalBytes = 0;
      log.notice(`MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF ${where}`);
    } else {
      this.totalBytes = length;
      log.notice(`MASTER <-> REPLICA sync: receiving ${length} bytes from master ${where}`);
    }
    if (parse) this.parse(mode === "swapdb");
    else
      try {
        this.file = new RdbFile(
          clock.nowMs,
          (text) => this.fail(text),
          () => this.hooks.resume(),
        );
      } catch (error) {
        log.warning(`Opening the temp file needed for MASTER <-> REPLICA synchronization: ${strerror(error)}`);
        return false;
      }
    return true;
  }

  /** Bytes of the payload, and maybe of what follows. */
  receive(chunk: Buffer): void {
    if (this.over) return;
    if (this.loadedInfo !== null) {
      this.rest = Buffer.concat([this.rest, chunk]);
      // Loaded already; the mark was not all there.
      if (!this.settled) this.checkMark();
      return;
    }
    if (this.source !== null) {
      this.readBytes += chunk.length;
      this.source.feed(chunk);
      this.loading!.fed();
      if (this.source.available > FULL_BYTES) this.hooks.pause();
      return;
    }
    if (this.isWhole) {
      this.rest = Buffer.concat([this.rest, chunk]);
      return this.hooks.pause();
    }
    this.toFile(chunk);
  }

  private fail(text: string): void {
    if (this.over) return;
    this.repl.server.log.warning(text);
    this.abort();
    this.hooks.failed();
  }

  // ------------------------------------------------------------------------------------------------ by way of the disk

  private toFile(chunk: Buffer): void {
    const file = this.file!;
    let take = chunk.length;
    let whole: boolean;
    if (this.usesMark) {
      // The mark is what the last forty bytes are.
      const last = Buffer.concat([this.lastBytes, chunk.subarray(Math.max(0, chunk.length - EOF_MARK_BYTES))]);
      this.lastBytes = Buffer.from(last.subarray(Math.max(0, last.length - EOF_MARK_BYTES)));
      whole = this.lastBytes.equals(this.mark);
    } else {
      take = Math.min(take, this.totalBytes - this.readBytes);
      whole = this.readBytes + take === this.totalBytes;
    }
    this.readBytes += take;
    if (take > 0) file.append(take === chunk.length ? chunk : chunk.subarray(0, take));
    if (!whole) {
      if (file.full) this.hooks.pause();
      return;
    }
    if (take < chunk.length) this.rest = Buffer.from(chunk.subarray(take));
    this.path = this.repl.persistence.path;
    file.complete(this.usesMark ? this.readBytes - EOF_MARK_BYTES : this.readBytes, this.path, () =>
      this.repl.whenCalm(() => this.loadFile()),
    );
  }

  /** The RDB is whole and lies in dbfilename: the old data goes, the new is loaded. */
  private loadFile(): void {
    if (this.over) return;
    const { repl } = this;
    const { persistence, server } = repl;
    const { log } = server;
    this.file = null;
    if (persistence.savingFile)
      log.notice(
        "Replica is about to load the RDB file received from the master, but there is a pending RDB child running. Killing it and removing its temp file to avoid any race",
      );
    repl.dataGoes();
    persistence.breakOff();
    const removes = server.config.bool("rdb-del-sync-files") && !repl.persists;
    const tidy = (): void => {
      if (!removes) return;
      log.notice("Removing the RDB file obtained from the master. This replica has persistence disabled");
      removeQuietly(this.path);
    };
    let opened: { fd: number; size: number };
    try {
      opened = openRdb(this.path);
    } catch (error) {
      return this.fail(`Failed trying to load the MASTER synchronization DB from disk, check server logs. (${strerror(error)})`);
    }
    this.emptyOld();
    const source = new RdbSource(persistence.checksums);
    const feeder = (this.feeder = new FileFeeder(opened.fd, source));
    this.loading = persistence.loadFrom(source, {
      totalBytes: opened.size,
      held: true,
      starved: () => feeder.more(),
      done: (end) => {
        feeder.close();
        this.loading = null;
        tidy();
        if (end.error === null) return this.finish(end.info);
        this.sayBroken(end);
        server.emptyAll(true);
        this.fail("Failed trying to load the MASTER synchronization DB from disk, check server logs.");
      },
    });
    feeder.begin(this.loading);
  }

  private emptyOld(): void {
    const { repl } = this;
    const { log, config, service } = repl.server;
    repl.attachToNewMaster();
    log.notice("MASTER <-> REPLICA sync: Flushing old data");
    repl.server.emptyAll(config.bool("replica-lazy-flush"));
    service.tracking.flushed();
    log.notice("MASTER <-> REPLICA sync: Loading DB in memory");
  }

  private sayBroken(end: LoadEnd): void {
    this.repl.server.log.warning(`Internal error in RDB reading offset ${end.offset}, function at rdb_load -> ${end.error}`);
  }

  // ------------------------------------------------------------------------------------------------ from the socket

  private parse(swap: boolean): void {
    const { repl } = this;
    const { server, persistence } = repl;
    repl.dataGoes();
    persistence.breakOff();
    if (swap) {
      this.beside = server.databases.map((db) => new Keyspace(db.index));
      this.libraries = server.parts.libraries.beside();
      server.log.notice("MASTER <-> REPLICA sync: Loading DB in memory");
    } else this.emptyOld();
    const source = (this.source = new RdbSource(persistence.checksums));
    this.loading = persistence.loadFrom(source, {
      totalBytes: this.totalBytes,
      held: true,
      // What we have is the same data at an earlier time: it is served until the new one is here.
      async: swap && this.replId === repl.replid,
      options: this.beside === null ? {} : { databases: this.beside, loadFunction: (code) => this.libraries!.load(code) },
      starved: () => this.hooks.resume(),
      done: (end) => this.parsed(end),
    });
  }

  private parsed(end: LoadEnd): void {
    this.loading = null;
    const source = this.source!;
    if (end.error !== null) {
      this.sayBroken(end);
      this.discard();
      return this.fail("Failed trying to load the MASTER synchronization DB from socket, check server logs.");
    }
    this.rest = Buffer.from(source.buf.subarray(source.pos, source.end));
    this.loadedInfo = end.info;
    if (this.usesMark) this.checkMark();
    else this.complete();
  }

  private checkMark(): void {
    if (this.rest.length < EOF_MARK_BYTES) return this.hooks.resume();
    if (!this.rest.subarray(0, EOF_MARK_BYTES).equals(this.mark)) {
      this.discard();
      return this.fail("Replication stream EOF marker is broken");
    }
    this.rest = this.rest.subarray(EOF_MARK_BYTES);
    this.complete();
  }

  /** All is loaded; it counts as soon as no script looks at the old data. */
  private complete(): void {
    this.settled = true;
    this.hooks.pause();
    this.repl.whenCalm(() => {
      if (this.over) return;
      this.swap();
      this.finish(this.loadedInfo!);
    });
  }

  /** The loaded databases take the old ones' places. */
  private swap(): void {
    const { repl, beside } = this;
    if (beside === null) return;
    const { log, databases, service } = repl.server;
    repl.attachToNewMaster();
    log.notice("MASTER <-> REPLICA sync: Swapping active DB with loaded DB");
    for (const db of databases) {
      // Whoever watches a key of the old data hears of it before, of the new data after.
      service.flushing(db.index);
      db.swapWith(beside[db.index]);
      service.swapped(db.index, db.index);
      beside[db.index].flush(true);
    }
    this.beside = null;
    this.libraries!.take();
    log.notice("MASTER <-> REPLICA sync: Discarding old DB in background");
  }

  /** What was loaded so far is of no use. */
  private discard(): void {
    const { log } = this.repl.server;
    if (this.beside === null) {
      this.repl.server.emptyAll(true);
      return;
    }
    this.libraries!.drop();
    for (const db of this.beside) if (db.size > 0) db.flush(true);
    this.beside = null;
    log.notice("MASTER <-> REPLICA sync: Discarding temporary DB in background");
  }

  // ------------------------------------------------------------------------------------------------ the end

  private finish(info: LoadedInfo): void {
    this.over = true;
    // The disk holds what we have, unless it came past it.
    if (this.source !== null) this.repl.server.propagation.dirty++;
    this.hooks.loaded(info, this.rest);
  }

  /** The master's connection is gone. True: all has come, and is loaded all the same. */
  cut(reason: string): boolean {
    if (this.over) return false;
    if (this.isWhole) return true;
    if (this.loading !== null) this.loading.eof(reason);
    else {
      if (this.loadedInfo !== null) this.discard();
      this.fail(`I/O error trying to sync with MASTER: ${reason}`);
    }
    return false;
  }

  /** Gives up without a word. */
  abort(): void {
    if (this.over) return;
    this.over = true;
    this.file?.abort();
    this.feeder?.close();
    if (this.loading !== null) {
      this.loading = null;
      this.repl.persistence.abortLoad();
      this.discard();
    }
  }
}

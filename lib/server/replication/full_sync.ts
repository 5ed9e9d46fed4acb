/**
 * Snapshots for replicas: who shares one, when it begins, and how it gets to them. Cold but for the chunks.
 * Redis replication.c: startBgsaveForReplication, replicationStartPendingFork, updateSlavesWaitingBgsave.
 *
 *   WAIT_START --snapshot begins: +FULLRESYNC replid offset--> WAIT_END --> ONLINE
 *                     diskless (capa eof): `$EOF:<mark>`, the chunks as they are made, the mark; the stream starts with the first ACK
 *                     disk: a save into dbfilename; when it is whole, `$<length>` and the file (file_transfer.ts); then the stream at once
 *
 * Replicas of one diskless snapshot get its chunks together: the slowest sets the pace.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync } from "node:fs";
import { constants } from "node:os";
import { resolve } from "node:path";
import { strerror } from "../../bytes/errno.ts";
import { clock } from "../../time/clock.ts";
import { removeQuietly } from "../persistence/move_into_place.ts";
import type { Persistence } from "../persistence/persistence.ts";
import { giveChunk } from "../persistence/rdb_writer.ts";
import { SaveHelper } from "../persistence/save_helper.ts";
import type { Sink, SnapshotJob } from "../persistence/snapshot_job.ts";
import { FileTransfer } from "./file_transfer.ts";
import { CAPA_EOF, ONLINE, RDB_ONLY_DONE, SEND_BULK, WAIT_END, WAIT_START, type Replica } from "./replica.ts";
import type { Replication } from "./replication.ts";

/** A replica's socket with more than this waiting stops the snapshot. */
const FULL_BYTES = 1024 * 1024;

export class FullSync {
  private readonly repl: Replication;
  private readonly snapshots: Persistence;
  /** The diskless snapshot that runs, its replicas, and the process that stands for it. */
  private job: SnapshotJob | null;
  private receivers: Set<Replica>;
  private helper: SaveHelper | null;
  /** Replicas of the save to disk that runs. */
  private forFile: Set<Replica>;
  private file: string;
  private readonly transfers: Map<Replica, FileTransfer>;
  /** The file in dbfilename was made for replicas alone (rdb-del-sync-files). */
  private fileIsOurs: boolean;

  constructor(repl: Replication, persistence: Persistence) {
    this.repl = repl;
    this.snapshots = persistence;
    this.job = null;
    this.receivers = new Set();
    this.helper = null;
    this.forFile = new Set();
    this.file = "";
    this.transfers = new Map();
    this.fileIsOurs = false;
  }

  private get diskless(): boolean {
    return this.repl.server.config.bool("repl-diskless-sync");
  }

  // ------------------------------------------------------------------------------------------------ when

  /** A new replica waits: it joins what runs, or something begins now, or with cron. */
  schedule(r: Replica): void {
    const { log, config } = this.repl.server;
    if (this.snapshots.savingFile) {
      // The file that is being written for another one is as good for this one: its stream begins at the same place.
      const other = [...this.forFile].find((o) => (o.reader !== null || r.rdbOnly) && (r.capa & o.capa) === o.capa);
      if (other === undefined || r.filter !== null) {
        log.notice("Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC");
        return;
      }
      if (other.reader !== null && !r.rdbOnly) r.reader = this.repl.buffer.fork(other.reader);
      this.forFile.add(r);
      this.admit(r, other.syncOffset);
      log.notice("Waiting for end of BGSAVE for SYNC");
    } else if (this.snapshots.busy) log.notice("Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC");
    else if (this.diskless && r.capa & CAPA_EOF && config.number("repl-diskless-sync-delay") > 0)
      log.notice("Delay next BGSAVE for diskless SYNC");
    else this.begin(r);
  }

  /** Every beat: begins what has waited long enough. */
  cron(nowMs: number): void {
    if (this.snapshots.busy) return;
    const first = this.waiting().next().value;
    if (first === undefined) return;
    const { config } = this.repl.server;
    const group = this.groupOf(first);
    const longest = Math.max(...group.map((r) => nowMs - r.waitingMs));
    const most = config.number("repl-diskless-sync-max-replicas");
    const enough = most > 0 && group.length >= most;
    if (!this.diskless || enough || longest >= config.number("repl-diskless-sync-delay") * 1000) this.begin(first);
  }

  private *waiting(): Generator<Replica, undefined> {
    for (const r of this.repl.replicas) if (r.state === WAIT_START) yield r;
  }
  /** Those who can share a snapshot with this one. */
  private groupOf(r: Replica): Replica[] {
    return [...this.waiting()].filter((o) => (o.filter === null) === (r.filter === null) && o.filter?.functions === r.filter?.functions);
  }

  /** The cut is made now, for every waiting replica of this one's kind. */
  private begin(r: Replica): void {
    const { repl } = this;
    const { log } = repl.server;
    const group = this.groupOf(r);
    const sockets = (this.diskless || r.filter !== null) && group.every((o) => o.capa & CAPA_EOF);
    log.notice(`Starting BGSAVE for SYNC with target: ${sockets ? "replicas sockets" : "disk"}`);
    // The stream after the cut begins with a SELECT; one that is our master's begins where the RDB says.
    if (repl.master === null) repl.selectedDb = -1;
    if (r.filter !== null) this.sendFiltered(group);
    else if (sockets) this.beginSockets(group);
    else this.beginFile(group);
  }

  /** The replica belongs to the snapshot whose cut is at `offset`. */
  private admit(r: Replica, offset: number): void {
    r.state = WAIT_END;
    r.syncOffset = offset;
    if (!r.rdbOnly && r.reader === null) r.reader = this.repl.buffer.read(offset);
    if (!r.old) r.send(Buffer.from(`+FULLRESYNC ${this.repl.replid} ${offset}\r\n`));
  }

  // ------------------------------------------------------------------------------------------------ diskless

  private beginSockets(group: Replica[]): void {
    const { log } = this.repl.server;
    const mark = randomBytes(20).toString("hex");
    const header = Buffer.from(`$EOF:${mark}\r\n`);
    this.receivers = new Set(group);
    this.job = this.snapshots.startSnapshot(
      () => {
        for (const r of group) {
          this.admit(r, this.repl.offset);
          r.send(header);
        }
        return this.socketSink(mark);
      },
      (error) => this.socketsDone(error),
    );
    let pid = process.pid;
    try {
      this.helper = new SaveHelper(null, (_reason, signal) => this.job?.abort(signal ?? "helper"));
      pid = this.helper.pid;
    } catch (error) {
      log.warning(`Sending to replicas without a helper process: ${strerror(error)}`);
    }
    log.notice(`Background RDB transfer started by pid ${pid}`);
  }

  private socketSink(mark: string): Sink {
    const { repl } = this;
    const { stats, log } = repl.server;
    return {
      write: (chunk) => {
        for (const r of this.receivers) {
          r.send(chunk);
          stats.replOutput += chunk.length;
        }
        giveChunk(chunk);
      },
      full: () => {
        for (const r of this.receivers) if (r.queuedBytes > FULL_BYTES) return true;
        return false;
      },
      end: (done) => {
        for (const r of this.receivers) r.send(Buffer.from(mark));
        log.notice(`Diskless rdb transfer, done reading from pipe, ${this.receivers.size} replicas still up.`);
        done(null);
      },
      abort: () => undefined,
    };
  }

  private socketsDone(error: string | null): void {
    const { log } = this.repl.server;
    this.job = null;
    this.helper?.drop();
    this.helper = null;
    const all = [...this.receivers];
    this.receivers = new Set();
    if (error !== null) {
      if (error in constants.signals) log.warning(`Background transfer terminated by signal ${constants.signals[error as NodeJS.Signals]}`);
      else log.warning("Background transfer error");
    } else log.notice("Background RDB transfer terminated with success");
    for (const r of all) {
      if (error !== null) {
        log.warning("SYNC failed. BGSAVE child returned an error");
        this.repl.drop(r);
        continue;
      }
      log.notice(
        `Streamed RDB transfer with replica ${r.name} succeeded (socket). Waiting for REPLCONF ACK from replica to enable streaming`,
      );
      this.putOnline(r, true);
    }
  }

  /** The whole RDB has been given to the replica's socket, or to its queue. */
  private putOnline(r: Replica, startOnAck: boolean): void {
    const { log } = this.repl.server;
    if (r.rdbOnly) {
      r.state = RDB_ONLY_DONE;
      log.notice(`RDB transfer completed, rdb only replica (${r.name}) should be disconnected asap`);
      this.drained(r);
      return;
    }
    r.state = ONLINE;
    r.ackMs = clock.nowMs;
    r.startOnAck = startOnAck;
    this.repl.setGates();
    log.notice(`Synchronization with replica ${r.name} succeeded`);
  }

  /** An RDB without data is small: it goes out at once. */
  private sendFiltered(group: Replica[]): void {
    const mark = randomBytes(20).toString("hex");
    const parts: Buffer[] = [Buffer.from(`$EOF:${mark}\r\n`)];
    this.snapshots.writeEmpty({ write: (chunk) => void parts.push(chunk) }, group[0].filter!.functions);
    parts.push(Buffer.from(mark));
    const bytes = Buffer.concat(parts);
    for (const r of group) {
      this.admit(r, this.repl.offset);
      r.send(bytes);
      this.putOnline(r, true);
    }
  }

  // ------------------------------------------------------------------------------------------------ from a file

  private beginFile(group: Replica[]): void {
    const { config } = this.repl.server;
    let failed = false;
    let started = false;
    this.file = resolve(this.snapshots.path);
    const offset = this.repl.offset;
    this.snapshots.backgroundSave((error) => {
      if (started) this.fileDone(error);
      else failed = true;
    });
    started = true;
    if (failed) {
      this.repl.server.log.warning("BGSAVE for replication failed");
      for (const r of group) {
        r.send(Buffer.from("-ERR BGSAVE failed, replication can't continue\r\n"));
        this.repl.drop(r);
      }
      return;
    }
    this.fileIsOurs = config.bool("rdb-del-sync-files");
    this.forFile = new Set(group);
    for (const r of group) this.admit(r, offset);
  }

  private fileDone(error: string | null): void {
    const { log } = this.repl.server;
    const all = [...this.forFile];
    this.forFile = new Set();
    for (const r of all) {
      if (error !== null) {
        log.warning("SYNC failed. BGSAVE child returned an error");
        this.repl.drop(r);
        continue;
      }
      try {
        this.sendFile(r);
      } catch (e) {
        log.warning(`SYNC failed. Can't open/stat DB after BGSAVE: ${strerror(e)}`);
        this.repl.drop(r);
      }
    }
  }

  private sendFile(r: Replica): void {
    const { log, stats } = this.repl.server;
    const fd = openSync(this.file, "r");
    let size: number;
    try {
      ({ size } = fstatSync(fd));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    r.state = SEND_BULK;
    const sent = (bytes: number): void => void (stats.replOutput += bytes);
    const transfer = new FileTransfer(r, fd, size, sent, (error) => {
      this.transfers.delete(r);
      if (error !== null) {
        log.warning(`Read error sending DB to replica: ${error}`);
        this.repl.drop(r);
        return;
      }
      this.putOnline(r, false);
      if (r.streams) this.repl.pump(r);
    });
    this.transfers.set(r, transfer);
  }

  /** rdb-del-sync-files: an instance that keeps nothing on disk leaves no file of a sync either. Once a second. */
  tidy(): void {
    const { config, log } = this.repl.server;
    if (!config.bool("rdb-del-sync-files")) this.fileIsOurs = false;
    if (!this.fileIsOurs || this.repl.persists) return;
    for (const r of this.repl.replicas) if (r.state === WAIT_START || r.state === WAIT_END || r.state === SEND_BULK) return;
    this.fileIsOurs = false;
    log.notice("Removing the RDB file used to feed replicas in a persistence-less instance");
    removeQuietly(this.file);
  }

  /** Its RDB is on the way as it is made: nothing may come between. */
  streamsTo(r: Replica): boolean {
    return this.receivers.has(r);
  }

  // ------------------------------------------------------------------------------------------------ events

  /** A replica's socket has room, and it is not in the stream. */
  drained(r: Replica): void {
    if (!r.flush()) return;
    if (r.state === RDB_ONLY_DONE) r.client.conn!.closeAfterFlush();
    else if (this.receivers.has(r)) this.job?.wake();
    else this.transfers.get(r)?.more();
  }

  /** A receiver that takes nothing holds up all others. Once a second. */
  dropStuck(nowMs: number, timeoutMs: number): void {
    for (const r of this.receivers) {
      if (r.queuedBytes === 0 || nowMs - r.progressMs <= timeoutMs) continue;
      this.repl.server.log.warning(`Disconnecting timedout replica (full sync): ${r.name}`);
      this.repl.drop(r);
    }
  }

  /** The replica is gone. */
  left(r: Replica): void {
    this.transfers.get(r)?.abort();
    this.transfers.delete(r);
    if (this.forFile.delete(r) && this.forFile.size === 0 && this.repl.server.config.special("save").length === 0) {
      // Nobody wants this file.
      if (this.snapshots.savingFile) this.snapshots.breakOff();
    }
    if (this.receivers.delete(r)) {
      if (this.receivers.size > 0) return this.job?.wake();
      this.repl.server.log.warning("Diskless rdb transfer, last replica dropped, killing fork child.");
      this.job?.abort("SIGUSR1");
    }
  }
}

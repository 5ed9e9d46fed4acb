/**
 * The master's side of getting a replica into the stream: partial resync when the backlog has what it misses, else a snapshot over its socket.
 * Cold but for the chunks. Redis replication.c: syncCommand, masterTryPartialResynchronization, startBgsaveForReplication.
 *
 *   PSYNC --+CONTINUE--> the stream from its offset
 *      \----> WAIT_START --snapshot begins: +FULLRESYNC replid offset--> WAIT_END --diskless: as it is made / disk: when the file is whole--> ONLINE
 *
 * Diskless replicas (capa eof) of one snapshot share its chunks; the slowest sets the pace. Others get a length and the saved file.
 */
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync, fstatSync } from "node:fs";
import type { Call } from "../../clients/call.ts";
import { clock } from "../../time/clock.ts";
import type { Persistence } from "../persistence/persistence.ts";
import type { SnapshotJob, Sink } from "../persistence/snapshot_job.ts";
import { giveChunk } from "../persistence/rdb_writer.ts";
import { ONLINE, RDB_ONLY_DONE, SEND_BULK, WAIT_END, WAIT_START, type Replica } from "./replica.ts";
import type { Replication } from "./replication.ts";

/** A replica's socket with more than this waiting stops the snapshot. */
const FULL_BYTES = 4 * 1024 * 1024;
const FILE_CHUNK_BYTES = 256 * 1024;

/** A file on its way to one replica. */
interface FileTransfer {
  fd: number;
  left: number;
  position: number;
}

export class FullSync {
  private readonly repl: Replication;
  private readonly snapshots: Persistence;
  private job: SnapshotJob | null;
  /** Replicas of the diskless snapshot that runs. */
  private receivers: Set<Replica>;
  /** Replicas of the snapshot to disk that runs for them. */
  private forFile: Set<Replica>;
  private readonly transfers: Map<Replica, FileTransfer>;

  constructor(repl: Replication, persistence: Persistence) {
    this.repl = repl;
    this.snapshots = persistence;
    this.job = null;
    this.receivers = new Set();
    this.forFile = new Set();
    this.transfers = new Map();
  }

  // ------------------------------------------------------------------------------------------------ PSYNC, SYNC

  /** PSYNC replid offset, or SYNC. */
  ask(c: Call): void {
    const { repl } = this;
    const { server } = repl;
    const { log, stats } = server;
    const { client } = c;
    if (client.conn === null) return c.out.errorText("ERR SYNC and PSYNC need a connection");
    const r = repl.replicaOf(client);
    if (r.attached) return;
    const psync = c.command.name === "psync";
    if (psync && c.argc > 3 && c.is(3, "failover")) {
      // The old master asks us to take over (FAILOVER).
      if (repl.master === null) return c.out.errorText("ERR PSYNC FAILOVER can't be sent to a master.");
      if (c.text(1) !== repl.replid) return c.out.errorText("ERR PSYNC FAILOVER replid must match my replid.");
      log.warning("Failover request received from the master: becoming a master.");
      repl.unsetMaster();
    }
    if (repl.failoverState !== "no-failover") return c.out.errorText("NOMASTERLINK Can't SYNC while failing over");
    if (repl.master !== null && !repl.linkUp) return c.out.errorText("NOMASTERLINK Can't SYNC while not connected with my master");
    if (client.out.pendingBytes() > 0) return c.out.errorText("ERR SYNC and PSYNC are invalid with pending output");
    r.name = r.text;
    log.notice(`Replica ${r.name} asks for synchronization`);
    if (psync) {
      if (this.tryPartial(c, r)) {
        stats.syncPartialOk++;
        return;
      }
      if (c.text(1) !== "?") stats.syncPartialErr++;
    } else r.old = true;
    stats.syncFull++;
    if (!r.old || r.capaEof) client.conn.socket?.setNoDelay?.(true);
    repl.attach(r, WAIT_START);
    this.schedule(r);
  }

  /** Redis masterTryPartialResynchronization. */
  private tryPartial(c: Call, r: Replica): boolean {
    const { repl } = this;
    const { log } = repl.server;
    const id = c.text(1);
    const offset = c.integer(2);
    if (offset !== offset) return false;
    if (id.toLowerCase() !== repl.replid && (id.toLowerCase() !== repl.replid2 || offset > repl.secondOffset)) {
      if (id === "?") log.notice(`Full resync requested by replica ${r.name}`);
      else if (id.toLowerCase() !== repl.replid && id.toLowerCase() !== repl.replid2)
        log.notice(
          `Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '${id}', my replication IDs are '${repl.replid}' and '${repl.replid2}')`,
        );
      else
        log.notice(
          `Partial resynchronization not accepted: Requested offset for second ID was ${offset}, but I can reply up to ${repl.secondOffset}`,
        );
      return false;
    }
    const reader = repl.buffer.keeps && offset >= 1 ? repl.buffer.read(offset - 1) : null;
    if (reader === null) {
      log.notice(`Unable to partial resync with replica ${r.name} for lack of backlog (Replica request was: ${offset}).`);
      if (offset > repl.offset)
        log.warning(`Warning: replica ${r.name} tried to PSYNC with an offset that is greater than the master replication offset.`);
      return false;
    }
    r.reader = reader;
    r.ackOffset = offset - 1;
    c.out.status(r.capaPsync2 ? `CONTINUE ${repl.replid}` : "CONTINUE");
    log.notice(
      `Partial resynchronization request from ${r.name} accepted. Sending ${repl.offset - offset + 1} bytes of backlog starting from offset ${offset}.`,
    );
    repl.attach(r, ONLINE);
    repl.server.dispatcher.needsBeforeFlush = true;
    return true;
  }

  // ------------------------------------------------------------------------------------------------ snapshots

  private isDiskless(r: Replica): boolean {
    return r.capaEof && this.repl.server.config.bool("repl-diskless-sync");
  }

  /** A new replica waits: join what runs, begin now, or let cron begin. */
  private schedule(r: Replica): void {
    const { repl } = this;
    const { log, config } = repl.server;
    if (this.forFile.size > 0 && !this.isDiskless(r)) {
      // The file that is being written for another one is as good for this one: its stream begins at the same place.
      const other = [...this.forFile].find((o) => o.state === WAIT_END && o.reader !== null && o.reader.offset <= repl.offset);
      if (other?.reader) {
        log.notice("Waiting for end of BGSAVE for SYNC");
        r.reader = repl.buffer.fork(other.reader);
        this.beginAt(r, other.ackOffset);
        this.forFile.add(r);
        return;
      }
    }
    if (this.job !== null || this.snapshots.busy) {
      log.notice("Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC");
      return;
    }
    if (this.isDiskless(r) && config.number("repl-diskless-sync-delay") > 0) {
      log.notice("Delay next BGSAVE for diskless SYNC");
      return;
    }
    this.begin(this.isDiskless(r));
  }

  /** Every beat: begins what waited long enough. */
  cron(nowMs: number): void {
    if (this.job !== null || this.snapshots.busy || this.forFile.size > 0) return;
    const waiting = [...this.repl.replicas].filter((r) => r.state === WAIT_START);
    if (waiting.length === 0) return;
    const { config } = this.repl.server;
    const diskless = waiting.filter((r) => this.isDiskless(r));
    if (diskless.length < waiting.length) return this.begin(false);
    const oldest = Math.min(...diskless.map((r) => r.waitingMs));
    const most = config.number("repl-diskless-sync-max-replicas");
    if (nowMs - oldest >= config.number("repl-diskless-sync-delay") * 1000 || (most > 0 && diskless.length >= most)) this.begin(true);
  }

  /** The cut is made now: every waiting replica of this kind gets its offset. */
  private begin(diskless: boolean): void {
    const { repl } = this;
    const { log } = repl.server;
    const waiting = [...repl.replicas].filter((r) => r.state === WAIT_START && this.isDiskless(r) === diskless);
    if (waiting.length === 0) return;
    log.notice(`Starting BGSAVE for SYNC with target: ${diskless ? "replicas sockets" : "disk"}`);
    // The stream after the cut begins with a SELECT.
    repl.selectedDb = repl.master === null ? -1 : repl.selectedDb;
    const offset = repl.offset;
    const admit = (): void => {
      for (const r of waiting) {
        r.reader = repl.buffer.read(offset);
        this.beginAt(r, offset);
      }
    };
    if (diskless) {
      this.receivers = new Set(waiting);
      const mark = randomBytes(20).toString("hex");
      const job = this.snapshots.startSnapshot(
        () => {
          admit();
          for (const r of waiting) {
            r.client.out.lit(Buffer.from(`$EOF:${mark}\r\n`));
            r.client.conn!.flush();
          }
          return this.socketSink(mark);
        },
        (error) => this.socketsDone(error),
      );
      this.job = job;
      if (job === null) this.receivers.clear();
      else log.notice(`Background RDB transfer started by pid ${process.pid}`);
      return;
    }
    this.forFile = new Set(waiting);
    admit();
    if (!this.snapshots.backgroundSave((error) => this.fileDone(error))) {
      for (const r of waiting) {
        r.client.out.errorText("ERR BGSAVE failed, replication can't continue");
        r.client.conn?.closeAfterFlush();
      }
      this.forFile.clear();
    }
  }

  /** The replica belongs to the snapshot whose cut is at `offset`. */
  private beginAt(r: Replica, offset: number): void {
    r.state = WAIT_END;
    r.ackOffset = offset;
    if (r.old) return;
    r.client.out.status(`FULLRESYNC ${this.repl.replid} ${offset}`);
    r.client.conn!.flush();
  }

  // ------------------------------------------------------------------------------------------------ diskless

  private socketSink(mark: string): Sink {
    return {
      write: (chunk) => {
        for (const r of this.receivers) {
          r.client.out.raw(chunk, 0, chunk.length);
          r.client.conn!.flush();
          this.repl.server.stats.replOutput += chunk.length;
        }
        giveChunk(chunk);
        if (this.receivers.size === 0) queueMicrotask(() => this.job?.abort("All replicas are gone"));
      },
      full: () => {
        for (const r of this.receivers) if (r.client.out.pendingBytes() > FULL_BYTES) return true;
        return false;
      },
      end: (done) => {
        for (const r of this.receivers) {
          r.client.out.lit(Buffer.from(mark));
          r.client.conn!.flush();
        }
        done(null);
      },
      abort: () => {
        for (const r of this.receivers) this.repl.drop(r, "snapshot broken off");
      },
    };
  }

  private socketsDone(error: string | null): void {
    const { log } = this.repl.server;
    this.job = null;
    const all = [...this.receivers];
    this.receivers = new Set();
    if (error !== null) {
      log.warning(`Background transfer error: ${error}`);
      for (const r of all) this.repl.drop(r, "snapshot failed");
      return;
    }
    log.notice("Background RDB transfer terminated with success");
    for (const r of all) {
      if (r.rdbOnly) {
        r.state = RDB_ONLY_DONE;
        continue;
      }
      log.notice(`Streamed replica with replica ${r.name} succeeded (socket). Waiting for REPLCONF ACK from replica to enable streaming`);
      r.state = ONLINE;
      r.startOnAck = true;
      r.ackMs = clock.nowMs;
    }
    this.cron(clock.nowMs);
  }

  // ------------------------------------------------------------------------------------------------ from a file

  private fileDone(error: string | null): void {
    const { log } = this.repl.server;
    const all = [...this.forFile];
    this.forFile = new Set();
    for (const r of all) {
      if (error !== null) {
        log.warning(`SYNC failed. BGSAVE child returned an error: ${error}`);
        this.repl.drop(r, "save failed");
        continue;
      }
      try {
        const fd = openSync(this.snapshots.path, "r");
        const size = fstatSync(fd).size;
        this.transfers.set(r, { fd, left: size, position: 0 });
        r.state = SEND_BULK;
        r.client.out.lit(Buffer.from(`$${size}\r\n`));
        this.sendFile(r);
      } catch (e) {
        log.warning(`SYNC failed. Can't open/stat DB after BGSAVE: ${(e as Error).message}`);
        this.repl.drop(r, "file gone");
      }
    }
    this.cron(clock.nowMs);
  }

  /** Sends of the file what the socket takes. */
  private sendFile(r: Replica): void {
    const t = this.transfers.get(r);
    if (t === undefined) return;
    const { conn, out } = r.client;
    while (conn!.flush() && t.left > 0) {
      const chunk = Buffer.allocUnsafe(Math.min(FILE_CHUNK_BYTES, t.left));
      const n = readSync(t.fd, chunk, 0, chunk.length, t.position);
      if (n <= 0) return this.repl.drop(r, "file cut");
      t.position += n;
      t.left -= n;
      this.repl.server.stats.replOutput += n;
      out.raw(chunk, 0, n);
    }
    if (t.left > 0 || out.pendingBytes() > 0) return;
    this.endTransfer(r);
    if (r.rdbOnly) return this.repl.drop(r, "rdb-only");
    r.state = ONLINE;
    r.ackMs = clock.nowMs;
    this.repl.server.log.notice(`Synchronization with replica ${r.name} succeeded`);
    this.repl.pump(r);
    this.repl.setGates();
  }

  private endTransfer(r: Replica): void {
    const t = this.transfers.get(r);
    if (t === undefined) return;
    this.transfers.delete(r);
    closeSync(t.fd);
  }

  /** A receiving replica's socket has room. */
  drained(r: Replica): void {
    if (this.transfers.has(r)) this.sendFile(r);
    else if (this.receivers.has(r)) this.job?.wake();
  }

  /** A snapshot is on its way through this replica's socket. */
  isReceiving(r: Replica): boolean {
    return this.receivers.has(r);
  }

  left(r: Replica): void {
    this.endTransfer(r);
    this.forFile.delete(r);
    if (this.receivers.delete(r)) {
      if (this.receivers.size === 0) {
        this.repl.server.log.notice("Diskless rdb transfer, last replica dropped, killing fork child.");
        this.job?.abort("All replicas are gone");
      } else this.job?.wake();
    }
  }
}

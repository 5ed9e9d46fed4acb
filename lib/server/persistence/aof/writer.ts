/**
 * The append only file that is written: commands gather while events run, one write takes them all, and replies leave after it. `feed` is HOT.
 *
 *   propagation -> feed -> pending bytes --end of the loop's turn--> commit: one write(2) for all clients' commands
 *       everysec, no   the replies leave; once a second a thread syncs
 *       always         the replies are held, a thread syncs, then they leave; commands that come meanwhile are the next group
 *
 * A write goes to the file at once even while a sync is under way, so that kill -9 loses nothing that was answered. A sync is never waited for
 * on the main loop, but where the file ends (rotate, close). Which file it is, is aof.ts' business. Redis aof.c: flushAppendOnlyFile.
 */
import { close, fdatasync, fdatasyncSync, ftruncateSync, openSync, statSync, writeSync } from "node:fs";
import { strerror } from "../../../bytes/errno.ts";
import { encodeCommand } from "../../../clients/call.ts";
import { GATE_MISCONF } from "../../../clients/command.ts";
import { clock, readClock } from "../../../time/clock.ts";
import { debugSwitches } from "../../debug_switches.ts";
import type { Consumer } from "../../propagation.ts";
import type { Server } from "../../server.ts";
import { timestampLine } from "../command_encoder.ts";
import type { Persistence } from "../persistence.ts";

const PENDING_BYTES = 64 * 1024;
/** A buffer that had to grow beyond this is not kept. */
const KEEP_BYTES = 4 * 1024 * 1024;
/** A write that failed is tried again after this. */
const RETRY_MS = 1000;
/** Not more than a line in this time says that writing fails. */
const LOG_MS = 30_000;
/** A sync of the second that takes longer holds writes up, and that is told (Redis' two seconds). */
const SLOW_SYNC_MS = 2000;

export class AofWriter implements Consumer {
  private readonly server: Server;
  private readonly persistence: Persistence;
  /** Set by replication: offset of the stream, and who wants to know that more of it is on the disk. */
  streamOffset: () => number;
  onSynced: () => void;
  private fd: number;
  /** Bytes of the file, and of all that was ever written. */
  private fileBytes: number;
  writtenBytes: number;
  private pending: Buffer;
  private n: number;
  private selectedDb: number;
  private stampS: number;
  private scheduled: boolean;
  // ---- the directives
  private policy: string;
  private stamps: boolean;
  private quiet: boolean;
  // ---- sync
  /** Something written is not known to be on the disk. */
  private unsynced: boolean;
  /** The descriptor a thread syncs; -1: none. It is not closed meanwhile. */
  private syncFd: number;
  private syncStartMs: number;
  private slowTold: boolean;
  /** Replies wait for that sync. */
  private holding: boolean;
  private lastSyncMs: number;
  /** Syncs that held a write up. */
  delayedSyncs: number;
  /** Offset of the stream that is on the disk. */
  synced: number;
  /** The stream's offset when the last file was left; counts the histories that offsets belong to. */
  private leftOffset: number;
  private era: number;
  /** Why the last write or sync failed; "": it did not. */
  error: string;
  private retryMs: number;
  private toldMs: number;

  constructor(server: Server, persistence: Persistence) {
    this.server = server;
    this.persistence = persistence;
    this.streamOffset = () => 0;
    this.onSynced = () => {};
    this.fd = -1;
    this.fileBytes = 0;
    this.writtenBytes = 0;
    this.pending = Buffer.allocUnsafeSlow(PENDING_BYTES);
    this.n = 0;
    this.selectedDb = -1;
    this.stampS = 0;
    this.scheduled = false;
    this.policy = "everysec";
    this.stamps = false;
    this.quiet = false;
    this.unsynced = false;
    this.syncFd = -1;
    this.syncStartMs = 0;
    this.slowTold = false;
    this.holding = false;
    this.lastSyncMs = 0;
    this.delayedSyncs = 0;
    this.synced = 0;
    this.leftOffset = 0;
    this.era = 0;
    this.error = "";
    this.retryMs = 0;
    this.toldMs = -Infinity;
    server.config.watch(["appendfsync", "aof-timestamp-enabled", "no-appendfsync-on-rewrite"], (c) => {
      this.policy = c.choice("appendfsync");
      this.stamps = c.bool("aof-timestamp-enabled");
      this.quiet = c.bool("no-appendfsync-on-rewrite");
      // What the policy before has left is due at once.
      if (this.fd >= 0 && !this.holding) this.secondsSync(clock.nowMs);
    });
  }

  /** Bytes that wait to be written. */
  get pendingBytes(): number {
    return this.n;
  }
  get isOpen(): boolean {
    return this.fd >= 0;
  }
  get isSyncing(): boolean {
    return this.syncFd >= 0;
  }

  // ------------------------------------------------------------------------------------------------ what comes

  /** Propagation's consumer. */
  feed(db: number, b: Buffer, start: number, end: number): void {
    if (this.stamps) this.stamp();
    if (db >= 0 && db !== this.selectedDb) {
      this.selectedDb = db;
      const select = encodeCommand(["SELECT", db]);
      this.put(select, 0, select.length);
    }
    this.put(b, start, end);
    this.server.dispatcher.needsBeforeFlush = true;
  }

  private stamp(): void {
    const s = Math.floor(clock.nowMs / 1000);
    if (s <= this.stampS) return;
    this.stampS = s;
    const line = timestampLine(s);
    this.put(line, 0, line.length);
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

  // ------------------------------------------------------------------------------------------------ writing

  /** The end of an event. False: its replies have to wait; they are sent from here. */
  turn(): boolean {
    if (this.n > 0 && !this.scheduled) {
      this.scheduled = true;
      setImmediate(() => this.commit());
    }
    return !this.scheduled && !this.holding;
  }

  /** What the events of this turn of the loop brought goes to the file; then their replies leave, or with `always` after the sync. */
  private commit(): void {
    this.scheduled = false;
    if (this.holding) return;
    readClock();
    this.write();
    if (this.policy === "always" && this.unsynced && !this.keepsQuiet) return this.holdForSync();
    this.secondsSync(clock.nowMs);
    this.server.dispatcher.flushAll();
  }

  private holdForSync(): void {
    const { dispatcher } = this.server;
    this.holding = true;
    dispatcher.hold();
    this.sync(() => {
      this.holding = false;
      dispatcher.release();
      this.commit();
    });
  }

  /** Everything pending goes to the file. False when the disk did not take it. */
  write(): boolean {
    if (this.fd < 0) this.n = 0;
    if (this.n === 0) return true;
    if (this.error !== "" && clock.nowMs < this.retryMs) return false;
    if (debugSwitches.aofFlushSleepUs > 0)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, debugSwitches.aofFlushSleepUs / 1000);
    const started = performance.now();
    let written = 0;
    try {
      while (written < this.n) written += writeSync(this.fd, this.pending, written, this.n - written);
    } catch (error) {
      this.failed(error, written);
      return false;
    }
    this.told(performance.now() - started);
    this.grew(this.n);
    this.n = 0;
    this.unsynced = true;
    if (this.pending.length > KEEP_BYTES) this.pending = Buffer.allocUnsafeSlow(PENDING_BYTES);
    if (this.syncFd < 0 || this.error === "") this.solved();
    return true;
  }

  private grew(bytes: number): void {
    this.fileBytes += bytes;
    this.writtenBytes += bytes;
  }

  /** Latency events of a write. */
  private told(ms: number): void {
    const { latency } = this.server.service;
    latency.add(this.isSyncing ? "aof-write-pending-fsync" : this.persistence.busy ? "aof-write-active-child" : "aof-write-alone", ms);
    latency.add("aof-write", ms);
  }

  /** Everything is written, or synced, again. */
  private solved(): void {
    if (this.error === "") return;
    this.error = "";
    this.server.log.notice("AOF write error looks solved. The server can write again.");
    this.server.setGate(GATE_MISCONF, this.persistence.failing);
  }

  /** The disk did not take it: what went in half is taken back, writes are refused until it goes. */
  private failed(error: unknown, written: number): void {
    const { server } = this;
    const tell = clock.nowMs - this.toldMs > LOG_MS;
    if (tell) {
      this.toldMs = clock.nowMs;
      server.log.warning(`Error writing to the AOF file: ${strerror(error)}`);
    }
    if (written > 0) {
      try {
        ftruncateSync(this.fd, this.fileBytes);
      } catch (why) {
        if (tell)
          server.log.warning(
            `Could not remove short write from the append-only file. The server may refuse to load the AOF the next time it starts. ftruncate: ${strerror(why)}`,
          );
        // It counts as written.
        this.pending.copy(this.pending, 0, written, this.n);
        this.n -= written;
        this.grew(written);
      }
    }
    if (this.policy === "always")
      server.process.fail("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...");
    this.refuse(strerror(error));
  }

  /** From now on writes are answered MISCONF. */
  private refuse(why: string): void {
    this.error = why;
    this.retryMs = clock.nowMs + RETRY_MS;
    this.server.setGate(GATE_MISCONF, true);
  }

  // ------------------------------------------------------------------------------------------------ syncing

  /** no-appendfsync-on-rewrite: while a snapshot is written its disk is left alone. */
  private get keepsQuiet(): boolean {
    return this.quiet && this.persistence.busy;
  }

  /** A thread syncs what is written; `then` is called when that has succeeded, or failed in a way that can be lived with. */
  private sync(then: () => void): void {
    const { fd } = this;
    const offset = this.streamOffset();
    const always = this.policy === "always";
    this.unsynced = false;
    this.syncFd = fd;
    this.syncStartMs = clock.nowMs;
    this.lastSyncMs = clock.nowMs;
    this.slowTold = false;
    const started = performance.now();
    fdatasync(fd, (error) => {
      readClock();
      this.syncFd = -1;
      // The file has been left meanwhile.
      if (fd !== this.fd) {
        this.finish(fd, this.leftOffset);
        return then();
      }
      if (error !== null) this.syncFailed(error);
      else {
        if (always) this.server.service.latency.add("aof-fsync-always", performance.now() - started);
        if (this.n === 0) this.solved();
        this.synced = Math.max(this.synced, offset);
        this.onSynced();
      }
      then();
    });
  }

  private syncFailed(error: unknown): void {
    if (this.policy === "always")
      this.server.process.fail(`Can't persist AOF for fsync error when the AOF fsync policy is 'always': ${strerror(error)}. Exiting...`);
    this.unsynced = true;
    this.server.log.warning(`Fail to fsync the AOF file: ${strerror(error)}`);
    this.refuse(strerror(error));
  }

  /** Every beat: what failed is tried again, and the second's sync begins. */
  cron(nowMs: number): void {
    if (this.fd < 0) return;
    if (this.n > 0 && !this.scheduled && !this.holding) {
      this.scheduled = true;
      this.commit();
    }
    if (this.isSyncing) {
      if (this.slowTold || nowMs - this.syncStartMs < SLOW_SYNC_MS) return;
      this.slowTold = true;
      this.delayedSyncs++;
      this.server.log.notice(
        "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without waiting for fsync to complete, this may slow down the server.",
      );
      return;
    }
    // The policy has become `always` since: nobody's reply waits for what is there.
    if (this.policy === "always" && this.unsynced && !this.keepsQuiet) this.sync(() => undefined);
    else this.secondsSync(nowMs);
  }

  /** everysec: a second after the last sync began the next one is due. */
  private secondsSync(nowMs: number): void {
    if (this.policy !== "everysec" || !this.unsynced || this.isSyncing || this.keepsQuiet) return;
    if (nowMs - this.lastSyncMs >= 1000) this.sync(() => undefined);
  }

  // ------------------------------------------------------------------------------------------------ files

  /** From now on this file is written, at its end; `empty`: what is in it is dropped. The one before is synced and closed. Throws the system's error. */
  open(path: string, empty = false): void {
    const fd = openSync(path, empty ? "w" : "a", 0o644);
    this.leave();
    this.fd = fd;
    this.fileBytes = statSync(path).size;
    this.selectedDb = -1;
  }

  /** Writes and syncs what there is, on the main loop: nothing goes on before. Null, or why the disk did not take it. */
  flushNow(): string | null {
    if (this.fd < 0) return null;
    if (!this.write()) return this.error;
    try {
      fdatasyncSync(this.fd);
    } catch (error) {
      return strerror(error);
    }
    this.unsynced = false;
    return null;
  }

  /** The file's end: nothing of it is lost, nothing more comes. */
  close(): void {
    this.leave();
    this.era++;
    this.n = 0;
    this.unsynced = false;
    this.synced = 0;
    this.selectedDb = -1;
    if (this.error === "") return;
    this.error = "";
    this.server.setGate(GATE_MISCONF, this.persistence.failing);
  }

  private leave(): void {
    const { fd } = this;
    if (fd < 0) return;
    this.fd = -1;
    this.leftOffset = this.streamOffset();
    if (this.policy === "always") {
      // Replies may be waiting for what has just been written there.
      try {
        fdatasyncSync(fd);
      } catch (error) {
        this.syncFailed(error);
      }
    }
    // While a thread has the descriptor, the end of its work is what closes it.
    if (this.syncFd !== fd) this.finish(fd, this.leftOffset);
  }

  /** Syncs a file that was left, and closes it. */
  private finish(fd: number, offset: number): void {
    const { era } = this;
    fdatasync(fd, (error) => {
      close(fd, () => undefined);
      if (error !== null) this.server.log.warning(`Fail to fsync the AOF file: ${strerror(error)}`);
      // A file that follows on this one has all of it before it.
      else if (era === this.era && this.fd >= 0) {
        this.synced = Math.max(this.synced, offset);
        this.onSynced();
      }
    });
  }
}

/**
 * The replica's side: the link to the master, from connect to the stream. Warm: the stream is executed here.
 *
 *   connecting -> ping -> auth, replconf ... -> psync -> +CONTINUE ------------------------------> stream
 *                                                   \-> +FULLRESYNC -> transfer -> loading ----/
 *
 * A received RDB goes to a temporary file and is loaded from there in slices; the old data set is dropped when the new one is whole on disk.
 * The stream's commands run as the master's client does (no gate holds them); the bytes executed go on to our own replicas as they came.
 * Redis replication.c: syncWithMaster, readSyncBulkPayload; networking.c commandProcessed.
 */
import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { CLIENT_UNAUTHENTICATED, Client, FLAG_MASTER } from "../../clients/client.ts";
import type { Conn, ConnHandler } from "../../net/conn.ts";
import { dial } from "../../net/dial.ts";
import { BROKEN, READY } from "../../resp/request.ts";
import { EXPIRE_IGNORE, setExpirePolicy } from "../../store/keyspace.ts";
import { flushAll } from "../../store/store.ts";
import { clock, readClock } from "../../time/clock.ts";
import { DONE, FAILED, NEED_BYTES, RdbLoader } from "../persistence/rdb_load.ts";
import { RdbSource } from "../persistence/rdb_source.ts";
import type { Replication } from "./replication.ts";

type State = "connecting" | "ping" | "handshake" | "psync" | "transfer" | "loading" | "up" | "over";

/** A slice of the stream's commands, and of loading, in ms. */
const STREAM_SLICE_MS = 2;
const LOAD_SLICE_MS = 5;
const FILE_CHUNK_BYTES = 1024 * 1024;
const EOF_MARK_BYTES = 40;
const EMPTY: Buffer = Buffer.alloc(0);

export class MasterLink {
  private readonly repl: Replication;
  readonly host: string;
  readonly port: number;
  private state: State;
  private readonly conn: Conn<MasterLink>;
  private readonly cancelDial: () => void;
  /** The client that executes the stream; made when the link comes up. */
  client: Client | null;
  /** When the master was last heard, wall ms. */
  lastHeardMs: number;
  /** Bytes not looked at yet. */
  private rest: Buffer;
  /** Ours: holds `rest` at its beginning when that has grown. */
  private room: Buffer;
  private awaited: string[];
  wasUp: boolean;
  // ---- transfer
  private fd: number;
  private file: string;
  /** -1: until the mark. */
  private totalBytes: number;
  private readBytes: number;
  private mark: Buffer;
  private lastBytes: Buffer;
  private newId: string;
  private newOffset: number;
  private lastIoMs: number;
  private scheduled: boolean;
  /** Bytes of a transaction that is not whole yet: executed (queued), not forwarded. */
  private unforwarded: Buffer;
  private fullAsked: boolean;

  constructor(repl: Replication, host: string, port: number) {
    this.repl = repl;
    this.host = host;
    this.port = port;
    this.state = "connecting";
    this.client = null;
    this.lastHeardMs = clock.nowMs;
    this.rest = EMPTY;
    this.room = EMPTY;
    this.awaited = [];
    this.wasUp = false;
    this.fd = -1;
    this.file = "";
    this.totalBytes = 0;
    this.readBytes = 0;
    this.mark = EMPTY;
    this.lastBytes = EMPTY;
    this.newId = "";
    this.newOffset = 0;
    this.lastIoMs = clock.nowMs;
    this.scheduled = false;
    this.unforwarded = EMPTY;
    this.fullAsked = false;
    const { config, log } = repl.server;
    const source = config.text("bind-source-addr");
    const { conn, cancel } = dial<MasterLink>({
      hostname: host,
      port,
      timeoutMs: config.number("repl-timeout") * 1000,
      ...(source !== "" ? { localAddress: source } : {}),
      data: this,
      handler,
      failed: (_conn, error) => {
        log.warning(`Error condition on socket for SYNC: ${error.message}`);
        this.end();
      },
    });
    this.conn = conn;
    this.cancelDial = cancel;
    log.notice("MASTER <-> REPLICA sync started");
  }

  get isUp(): boolean {
    return this.state === "up";
  }
  get inTransfer(): boolean {
    return this.state === "transfer" || this.state === "loading";
  }
  /** ROLE's word for the state. */
  get roleState(): string {
    if (this.state === "up") return "connected";
    if (this.inTransfer) return "sync";
    return this.state === "connecting" ? "connecting" : this.state === "over" ? "connect" : "handshake";
  }
  /** INFO's figures of a running transfer. */
  get progress(): { total: number; read: number; lastIoSeconds: number } {
    return { total: Math.max(0, this.totalBytes), read: this.readBytes, lastIoSeconds: Math.floor((clock.nowMs - this.lastIoMs) / 1000) };
  }

  /** Ends the link at our own wish. */
  close(): void {
    this.cancelDial();
    this.end();
  }
  /** Ends it because something is wrong; cron connects again. */
  lost(why: string): void {
    if (this.state === "over") return;
    if (this.state === "up") this.repl.server.log.notice(`Connection with master lost.${why === "" ? "" : ` (${why})`}`);
    this.end();
  }

  private end(): void {
    if (this.state === "over") return;
    const was = this.state;
    this.state = "over";
    if (this.client !== null) this.repl.server.dispatcher.clients.delete(this.client.id);
    this.dropFile();
    if (was === "loading") {
      // Half a data set is none.
      flushAll(true);
      this.repl.server.setLoading(false);
      this.repl.mayContinue = false;
    } else if (was === "up") {
      this.repl.mayContinue = true;
      this.repl.server.log.notice("Caching the disconnected master state.");
    }
    if (this.conn.isOpen) this.conn.terminate();
    this.repl.linkEnded(this);
  }

  private dropFile(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
    if (this.file === "") return;
    try {
      unlinkSync(this.file);
    } catch {
      // gone
    }
    this.file = "";
  }

  // ------------------------------------------------------------------------------------------------ events

  opened(): void {
    this.repl.server.log.notice("Non blocking connect for SYNC fired the event.");
    this.heard();
    this.state = "ping";
    this.say("PING");
  }

  closed(error: Error | null): void {
    if (this.state === "over") return;
    if (this.state === "transfer")
      this.repl.server.log.warning(`I/O error trying to sync with MASTER: ${error?.message ?? "connection lost"}`);
    this.lost(error?.message ?? "");
  }

  data(chunk: Buffer): void {
    this.heard();
    this.repl.server.stats.replInput += chunk.length;
    if (this.state === "transfer") return this.receive(chunk);
    this.rest = this.gathered(chunk);
    if (this.state === "up") return this.runStream();
    if (this.state === "loading") {
      // What follows the RDB waits its turn; the master is slowed down by not reading.
      this.conn.pause();
      return;
    }
    this.readLines();
  }

  /** What waits and the chunk behind it. A long value comes in thousands of chunks: room is doubled, not copied each time. */
  private gathered(chunk: Buffer): Buffer {
    const { rest } = this;
    if (rest.length === 0) return chunk;
    const bytes = rest.length + chunk.length;
    if (bytes > this.room.length || !this.inRoom(rest)) {
      this.room = Buffer.allocUnsafeSlow(bytes * 2);
      rest.copy(this.room);
    }
    chunk.copy(this.room, rest.length);
    return this.room.subarray(0, bytes);
  }

  private inRoom(b: Buffer): boolean {
    return this.room.length > 0 && b.buffer === this.room.buffer && b.byteOffset === this.room.byteOffset;
  }

  private heard(): void {
    readClock();
    this.lastHeardMs = clock.nowMs;
    this.lastIoMs = clock.nowMs;
  }
  private say(...args: (string | number)[]): void {
    this.conn.out.command(...args);
    this.conn.flush();
  }

  /** Once a second. */
  cron(nowMs: number): void {
    const { config, log } = this.repl.server;
    if (nowMs - this.lastHeardMs > config.number("repl-timeout") * 1000) {
      if (this.state === "up") log.warning("MASTER timeout: no data nor PING received...");
      else log.warning("Timeout connecting to the MASTER...");
      if (this.inTransfer) log.warning("If the problem persists try to set the 'repl-timeout' parameter in redis.conf to a larger value.");
      this.lost("timeout");
      return;
    }
    if (this.state === "up") this.acknowledge();
    // The master hears that we are alive while a long load goes on.
    else if (this.state === "loading") {
      this.conn.out.lit(Buffer.from("\n"));
      this.conn.flush();
      this.lastHeardMs = nowMs;
    }
  }

  /** REPLCONF ACK with how far we are. */
  acknowledge(): void {
    this.say("REPLCONF", "ACK", this.repl.offset);
  }

  // ------------------------------------------------------------------------------------------------ handshake

  private readLines(): void {
    while (this.state !== "up" && this.state !== "transfer" && this.state !== "over") {
      const e = this.rest.indexOf(10);
      if (e < 0) return;
      const line = this.rest.toString("latin1", 0, e > 0 && this.rest[e - 1] === 13 ? e - 1 : e);
      this.rest = this.rest.subarray(e + 1);
      if (line !== "") this.line(line);
    }
    // What came behind the last line belongs to the next state.
    const left = this.rest;
    if (left.length === 0) return;
    if (this.state === "transfer") {
      this.rest = EMPTY;
      this.receive(left);
    } else if (this.state === "up") this.runStream();
  }

  private line(line: string): void {
    const { log } = this.repl.server;
    if (this.state === "ping") {
      const ok =
        line.startsWith("+") || line.startsWith("-NOAUTH") || line.startsWith("-NOPERM") || line.startsWith("-ERR operation not permitted");
      if (!ok) {
        log.warning(`Error reply to PING from master: '${line}'`);
        return this.lost("");
      }
      log.notice("Master replied to PING, replication can continue...");
      this.introduce();
      return;
    }
    if (this.state === "handshake") {
      const what = this.awaited.shift()!;
      if (line.startsWith("-")) {
        if (what === "auth") {
          log.warning(`Unable to AUTH to MASTER: ${line}`);
          return this.lost("");
        }
        log.notice(`(Non critical) Master does not understand REPLCONF ${what}: ${line}`);
      }
      if (this.awaited.length === 0) this.psync();
      return;
    }
    if (this.state === "psync") this.psyncReply(line);
  }

  private introduce(): void {
    const { config, ports } = this.repl.server;
    const { out } = this.conn;
    this.state = "handshake";
    const password = config.text("masterauth");
    if (password !== "") {
      const user = config.text("masteruser");
      if (user !== "") out.command("AUTH", user, password);
      else out.command("AUTH", password);
      this.awaited.push("auth");
    }
    const announced = config.number("replica-announce-port");
    out.command("REPLCONF", "listening-port", announced > 0 ? announced : ports.tcp);
    this.awaited.push("listening-port");
    const ip = config.text("replica-announce-ip");
    if (ip !== "") {
      out.command("REPLCONF", "ip-address", ip);
      this.awaited.push("ip-address");
    }
    out.command("REPLCONF", "capa", "eof", "capa", "psync2");
    this.awaited.push("capa");
    this.conn.flush();
  }

  private psync(): void {
    const { repl } = this;
    const { log } = repl.server;
    this.state = "psync";
    const failover = repl.failoverState === "failover-in-progress" ? ["FAILOVER"] : [];
    if (repl.mayContinue) {
      log.notice(`Trying a partial resynchronization (request ${repl.replid}:${repl.offset + 1}).`);
      this.say("PSYNC", repl.replid, repl.offset + 1, ...failover);
    } else {
      log.notice("Partial resynchronization not possible (no cached master)");
      this.say("PSYNC", "?", "-1", ...failover);
    }
  }

  private psyncReply(line: string): void {
    const { repl } = this;
    const { log } = repl.server;
    if (this.fullAsked) return this.bulkHeader(line);
    if (line.startsWith("+FULLRESYNC")) {
      const [, id, offset] = line.split(" ");
      if (id === undefined || id.length !== 40 || offset === undefined) {
        log.warning("Master replied with wrong +FULLRESYNC syntax.");
        repl.mayContinue = false;
        return this.lost("");
      }
      log.notice(`Full resync from master: ${id}:${offset}`);
      this.newId = id;
      this.newOffset = Number(offset);
      this.fullAsked = true;
      repl.failoverEnded(true);
      return;
    }
    if (line.startsWith("+CONTINUE")) {
      const id = line.split(" ")[1];
      log.notice("Successful partial resynchronization with master.");
      if (id !== undefined && id.length === 40 && id !== repl.replid) {
        // The master has a new name for the history that we share up to here.
        repl.replid2 = repl.replid;
        repl.secondOffset = repl.offset + 1;
        repl.replid = id;
        log.notice(`Master replication ID changed to ${id}`);
        repl.dropAll();
      }
      repl.failoverEnded(true);
      repl.keepBacklog();
      log.notice("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
      this.comeUp();
      return;
    }
    if (line.startsWith("-NOMASTERLINK") || line.startsWith("-LOADING")) {
      log.warning(`Master is currently unable to PSYNC but should be in the future: ${line}`);
      repl.failoverEnded(false);
      return this.lost("");
    }
    if (repl.failoverState === "failover-in-progress") {
      log.warning(`Failover target rejected psync request: ${line}`);
      repl.failoverEnded(false);
      return this.lost("");
    }
    log.warning(
      line.startsWith("-ERR")
        ? `Master does not support PSYNC or is in error state (reply: ${line})`
        : `Unexpected reply to PSYNC from master: ${line}`,
    );
    // A master from before PSYNC: offsets are unknown, so acknowledgements mean nothing to it.
    log.notice("Retrying with SYNC...");
    this.newId = repl.replid;
    this.newOffset = 0;
    this.fullAsked = true;
    this.say("SYNC");
  }

  // ------------------------------------------------------------------------------------------------ transfer

  private bulkHeader(line: string): void {
    const { log } = this.repl.server;
    if (line.startsWith("-")) {
      log.warning(`MASTER aborted replication with an error: ${line.slice(1)}`);
      return this.lost("");
    }
    if (!line.startsWith("$")) {
      log.warning(`Bad protocol from MASTER, the first byte is not '$' (we received '${line}'), are you sure the host and port are right?`);
      return this.lost("");
    }
    if (line.startsWith("$EOF:") && line.length >= 5 + EOF_MARK_BYTES) {
      this.mark = Buffer.from(line.slice(5, 5 + EOF_MARK_BYTES), "latin1");
      this.totalBytes = -1;
      log.notice("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to disk");
    } else {
      this.mark = EMPTY;
      this.totalBytes = Number(line.slice(1));
      log.notice(`MASTER <-> REPLICA sync: receiving ${this.totalBytes} bytes from master to disk`);
    }
    this.lastBytes = EMPTY;
    this.readBytes = 0;
    this.file = `temp-${Math.floor(clock.nowMs / 1000)}.${process.pid}.rdb`;
    try {
      this.fd = openSync(this.file, "w+", 0o644);
    } catch (error) {
      log.warning(`Opening the temp file needed for MASTER <-> REPLICA synchronization: ${(error as Error).message}`);
      this.file = "";
      return this.lost("");
    }
    this.state = "transfer";
  }

  private receive(chunk: Buffer): void {
    const usesMark = this.mark.length > 0;
    let take = chunk.length;
    let complete = false;
    if (usesMark) {
      // The mark ends the stream of bytes: look at the last forty.
      this.lastBytes = Buffer.concat([this.lastBytes, chunk.subarray(Math.max(0, chunk.length - EOF_MARK_BYTES))]);
      this.lastBytes = Buffer.from(this.lastBytes.subarray(Math.max(0, this.lastBytes.length - EOF_MARK_BYTES)));
      complete = this.lastBytes.equals(this.mark);
    } else if (this.readBytes + chunk.length >= this.totalBytes) {
      take = this.totalBytes - this.readBytes;
      complete = true;
    }
    try {
      for (let from = 0; from < take;) from += writeSync(this.fd, chunk, from, take - from, this.readBytes + from);
    } catch (error) {
      this.repl.server.log.warning(
        `Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA synchronization: ${(error as Error).message}`,
      );
      return this.lost("");
    }
    this.readBytes += take;
    if (!complete) return;
    if (usesMark) this.readBytes -= EOF_MARK_BYTES;
    this.rest = take < chunk.length ? chunk.subarray(take) : EMPTY;
    this.load();
  }

  /** The RDB is whole: the old data goes, the new is loaded in slices. */
  private load(): void {
    const { repl } = this;
    const { server } = repl;
    const { log, config } = server;
    this.state = "loading";
    log.notice("MASTER <-> REPLICA sync: Flushing old data");
    // Whoever follows us must start anew as well.
    repl.dropAll();
    server.parts.dataGoes();
    repl.halfLoaded = true;
    flushAll(config.bool("replica-lazy-flush"));
    server.service.tracking.flushed();
    log.notice("MASTER <-> REPLICA sync: Loading DB in memory");
    const source = new RdbSource(config.bool("rdbchecksum"));
    const loader = new RdbLoader(source, {
      databases: server.databases,
      dropExpired: false,
      replace: false,
      deep: config.choice("sanitize-dump-payload") !== "no",
      log,
      delayUs: () => config.number("key-load-delay"),
    });
    server.setLoading(true, { loader, startMs: clock.nowMs, totalBytes: this.readBytes });
    let position = 0;
    const slice = (): void => {
      if (this.state !== "loading") return;
      const end = readClock() + LOAD_SLICE_MS;
      const policy = setExpirePolicy(EXPIRE_IGNORE);
      let status = NEED_BYTES;
      while (clock.monoMs < end) {
        status = loader.step(end - clock.monoMs);
        if (status !== NEED_BYTES) break;
        const chunk = Buffer.allocUnsafe(Math.min(FILE_CHUNK_BYTES, this.readBytes - position));
        const n = chunk.length === 0 ? 0 : readSync(this.fd, chunk, 0, chunk.length, position);
        if (n === 0) {
          source.fail("Unexpected end of the RDB");
          status = FAILED;
          break;
        }
        position += n;
        source.feed(chunk.subarray(0, n));
        readClock();
      }
      setExpirePolicy(policy);
      if (status === FAILED) {
        log.warning(
          `Failed trying to load the MASTER synchronization DB from disk, check server logs: ${source.failure} at offset ${source.offset}`,
        );
        return this.lost("");
      }
      if (status === DONE) return this.loaded(loader.info.replStreamDb);
      setImmediate(slice);
    };
    setImmediate(slice);
  }

  /** `streamDb`: the database that the stream had selected at the snapshot; a replica's stream goes on in it without a SELECT. */
  private loaded(streamDb: number): void {
    const { repl } = this;
    const { server } = repl;
    this.dropFile();
    server.setLoading(false);
    repl.replid = this.newId;
    repl.replid2 = "0".repeat(40);
    repl.secondOffset = -1;
    repl.buffer.restart(this.newOffset);
    repl.buffer.keeps = true;
    repl.selectedDb = streamDb;
    server.propagation.dirty = 0;
    server.log.notice("MASTER <-> REPLICA sync: Finished with success");
    repl.halfLoaded = false;
    server.parts.dataCame();
    this.comeUp();
    // A diskless master starts the stream when it hears from us.
    this.acknowledge();
  }

  // ------------------------------------------------------------------------------------------------ stream

  private comeUp(): void {
    const { repl } = this;
    const { server } = repl;
    this.state = "up";
    this.wasUp = true;
    const client = new Client(server.dispatcher.newClientId(), null, null);
    client.flags |= FLAG_MASTER;
    client.gates = CLIENT_UNAUTHENTICATED;
    client.out.muted = true;
    client.remote = this.conn.remoteText;
    client.local = this.conn.localText;
    server.select(client, repl.selectedDb >= 0 ? repl.selectedDb : 0);
    server.service.registry.adopt(client);
    this.client = client;
    repl.linkDownSinceMs = 0;
    repl.setGates();
    this.conn.resume();
    if (this.rest.length > 0) this.runStream();
  }

  /** Executes what has come, in slices; forwards what was executed. */
  private runStream(): void {
    const { repl } = this;
    const client = this.client;
    if (client === null || this.state !== "up" || this.rest.length === 0) return;
    const d = repl.server.dispatcher;
    const { request } = client;
    const buf = this.rest;
    let pos = 0;
    let done = 0;
    const end = readClock() + STREAM_SLICE_MS;
    const policy = setExpirePolicy(EXPIRE_IGNORE);
    d.inEvent = true;
    let yielded = false;
    while (pos < buf.length) {
      const status = request.read(buf, pos, buf.length);
      if (status === BROKEN) {
        repl.server.log.warning(`Protocol error (${request.error}) from client: the master's stream is broken`);
        this.lost("protocol error");
        break;
      }
      if (status !== READY) break;
      pos = request.end;
      if (request.argc > 0) {
        client.lastActiveMs = clock.nowMs;
        if (this.isGetAck(request.buf, request.at, request.argc)) this.acknowledge();
        else {
          client.out.muted = true;
          d.execute(client, request);
        }
      }
      // A transaction counts when it is whole.
      if (client.multi === null) {
        if (this.unforwarded.length > 0) {
          repl.forward(this.unforwarded, 0, this.unforwarded.length);
          this.unforwarded = EMPTY;
        }
        repl.forward(buf, done, pos);
        done = pos;
        repl.selectedDb = client.dbIndex;
      }
      if (this.state !== "up") break;
      if (clock.monoMs > end && readClock() > end && pos < buf.length) {
        yielded = true;
        break;
      }
    }
    setExpirePolicy(policy);
    d.inEvent = false;
    d.endEvent();
    if (this.state !== "up") return;
    this.keep(buf, done, pos);
    if (yielded) {
      this.conn.pause();
      if (!this.scheduled) {
        this.scheduled = true;
        setImmediate(() => {
          this.scheduled = false;
          this.runStream();
          if (!this.scheduled) this.conn.resume();
        });
      }
    }
  }

  /** Keeps what is not forwarded yet; an open transaction's bytes are read again, its commands are not run again. */
  private keep(buf: Buffer, done: number, pos: number): void {
    const client = this.client!;
    const { request } = client;
    if (done < pos) {
      // Inside MULTI: these bytes were executed (queued) and only wait to be forwarded.
      this.unforwarded = Buffer.concat([this.unforwarded, buf.subarray(done, pos)]);
    }
    if (pos > 0 || !this.inRoom(buf)) {
      this.rest = pos < buf.length ? Buffer.from(buf.subarray(pos)) : EMPTY;
      this.room = EMPTY;
    }
    if (request.partial) request.rebase(0);
  }

  private isGetAck(b: Buffer, at: Int32Array, argc: number): boolean {
    return (
      argc === 3 &&
      at[1] - at[0] === 8 &&
      b.toString("latin1", at[0], at[1]).toLowerCase() === "replconf" &&
      b.toString("latin1", at[2], at[3]).toLowerCase() === "getack"
    );
  }
}

const handler: ConnHandler<MasterLink> = {
  open: (conn) => conn.data.opened(),
  data: (conn, chunk) => conn.data.data(chunk),
  drained: () => {},
  end: (conn) => conn.closeAfterFlush(),
  close: (conn, error) => conn.data.closed(error),
};

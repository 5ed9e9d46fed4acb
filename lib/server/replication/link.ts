/**
 * The replica's connection to its master: connect, handshake, PSYNC; then a full sync (transfer.ts) or the stream (stream.ts). Cold.
 * Redis replication.c syncWithMaster, slaveTryPartialResynchronization.
 *
 *   connecting -> ping -> handshake (AUTH, REPLCONF ...) -> psync -> +CONTINUE -----------------------> up (stream)
 *                                                               \-> +FULLRESYNC, or SYNC -> transfer --/
 *
 * A link lives once: when it ends, Replication makes another one, at once where it had worked, else with the next beat of a second.
 */
import { CLIENT_UNAUTHENTICATED, Client, FLAG_BLOCKED, FLAG_CLOSE_ASAP, FLAG_MASTER, FLAG_POSTPONED } from "../../clients/client.ts";
import type { Conn, ConnHandler } from "../../net/conn.ts";
import { dial } from "../../net/dial.ts";
import { strerror } from "../../bytes/errno.ts";
import { clock, readClock } from "../../time/clock.ts";
import type { LoadedInfo } from "../persistence/rdb_load.ts";
import type { Replication } from "./replication.ts";
import { Stream } from "./stream.ts";
import { Transfer } from "./transfer.ts";

type State = "connecting" | "ping" | "handshake" | "psync" | "transfer" | "up" | "over";

const NEWLINE = Buffer.from("\n");
const EMPTY: Buffer = Buffer.alloc(0);
const REPLID_BYTES = 40;

export class MasterLink {
  private readonly repl: Replication;
  readonly host: string;
  readonly port: number;
  private state: State;
  private readonly conn: Conn<MasterLink>;
  private readonly cancelDial: () => void;
  /** When the master was last heard, wall ms. */
  lastHeardMs: number;
  /** Bytes of lines that are not whole. */
  private rest: Buffer;
  /** What the handshake waits for, in order. */
  private awaited: string[];
  private transfer: Transfer | null;
  private stream: Stream | null;
  private newId: string;
  private newOffset: number;
  /** The master knows no PSYNC: no offsets, no acknowledgements. */
  old: boolean;

  constructor(repl: Replication, host: string, port: number) {
    this.repl = repl;
    this.host = host;
    this.port = port;
    this.state = "connecting";
    this.lastHeardMs = clock.nowMs;
    this.rest = EMPTY;
    this.awaited = [];
    this.transfer = null;
    this.stream = null;
    this.newId = "";
    this.newOffset = 0;
    this.old = false;
    const { config, log } = repl.server;
    const source = config.text("bind-source-addr");
    const tls = repl.server.tls.dialling;
    const { conn, cancel } = dial<MasterLink>({
      hostname: host,
      port,
      timeoutMs: config.number("repl-timeout") * 1000,
      ...(source !== "" ? { localAddress: source } : {}),
      ...(tls !== null ? { tls } : {}),
      data: this,
      handler,
      failed: (_conn, error) => {
        log.warning(`Error condition on socket for SYNC: ${strerror(error)}`);
        this.end(false);
      },
    });
    this.conn = conn;
    this.cancelDial = cancel;
    log.notice("MASTER <-> REPLICA sync started");
  }

  get isUp(): boolean {
    return this.state === "up";
  }
  /** Between +FULLRESYNC and the end of the load. */
  get inTransfer(): boolean {
    return this.state === "transfer";
  }
  /** The client that executes the stream. */
  get client(): Client | null {
    return this.stream?.client ?? null;
  }
  /** Bytes that have come beyond our offset. */
  get ahead(): number {
    return this.stream?.ahead ?? 0;
  }
  /** ROLE's word for the state. */
  get roleState(): string {
    if (this.state === "up") return "connected";
    if (this.state === "transfer") return "sync";
    return this.state === "connecting" ? "connecting" : this.state === "over" ? "connect" : "handshake";
  }
  /** INFO's figures of a running transfer. */
  get progress(): { total: number; read: number; lastIoSeconds: number } {
    const t = this.transfer;
    return { total: t?.totalBytes ?? -1, read: t?.readBytes ?? 0, lastIoSeconds: Math.floor((clock.nowMs - this.lastHeardMs) / 1000) };
  }

  // ------------------------------------------------------------------------------------------------ the end

  /** Ends the link at our own wish. What has come whole is executed. */
  close(): void {
    this.cancelDial();
    if (this.state === "up") this.sayLost();
    this.end(null);
  }

  /** Ends it because something is wrong. */
  lost(): void {
    if (this.state === "over") return;
    if (this.state === "up") this.sayLost();
    this.end(this.state === "up" || this.state === "transfer");
  }

  private sayLost(): void {
    this.repl.server.log.notice("Connection with master lost.");
  }

  /** `again`: connect again at once, with the next beat, or not at all (null). */
  private end(again: boolean | null): void {
    if (this.state === "over") return;
    const was = this.state;
    // What the master told us last is still at work: it ends first, and counts.
    if (this.stream?.inMidst) return this.repl.whenCalm(() => this.end(again));
    if (was === "up") this.stream!.finish();
    this.state = "over";
    this.stream?.end();
    const client = this.client;
    if (client !== null) this.repl.server.service.registry.free(client);
    this.transfer?.abort();
    if (was === "up" && this.repl.mayContinue) this.repl.server.log.notice("Caching the disconnected master state.");
    if (this.conn.isOpen) this.conn.terminate();
    this.repl.linkEnded(this, was === "up", again);
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
    const { log } = this.repl.server;
    if (this.state === "transfer") {
      // It is loaded all the same when all of it has come, and its owner finds the link gone then.
      if (this.transfer?.cut(error === null ? "connection lost" : strerror(error)) !== false) return;
      if ((this.state as State) === "over") return;
    } else if (this.state !== "up") {
      log.warning(`Failed to read response from the server: ${error === null ? "Connection closed" : strerror(error)}`);
      log.warning("Master did not respond to command during SYNC handshake");
    }
    this.lost();
  }

  data(chunk: Buffer): void {
    this.heard();
    this.repl.server.stats.replInput += chunk.length;
    if (this.stream !== null) {
      this.stream.client.lastActiveMs = clock.nowMs;
      return this.stream.push(chunk);
    }
    if (this.transfer?.begun) return this.transfer.receive(chunk);
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    this.readLines();
  }

  private heard(): void {
    readClock();
    this.lastHeardMs = clock.nowMs;
  }
  private say(...args: (string | number)[]): void {
    this.conn.out.command(...args);
    this.conn.flush();
  }

  /** Once a second. */
  cron(nowMs: number): void {
    const { config, log } = this.repl.server;
    const held = this.client !== null && (this.client.flags & (FLAG_POSTPONED | FLAG_BLOCKED)) !== 0;
    // While it is loaded from the disk nothing is to be heard.
    const busy = this.transfer?.isWhole === true || held;
    if (nowMs - this.lastHeardMs > config.number("repl-timeout") * 1000 && !busy) {
      if (this.state === "up") log.warning("MASTER timeout: no data nor PING received...");
      else if (this.state === "transfer")
        log.warning(
          "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' parameter in redis.conf to a larger value.",
        );
      else log.warning("Timeout connecting to the MASTER...");
      if (this.state === "connecting") this.cancelDial();
      return this.lost();
    }
    if (this.state === "up" && !this.old) this.acknowledge();
    // The master hears that we are alive while a long load goes on.
    else if (this.transfer?.isLoading && this.conn.isOpen) {
      this.conn.out.lit(NEWLINE);
      this.conn.flush();
    }
  }

  /** REPLCONF ACK with how far we are. */
  acknowledge(): void {
    const synced = this.repl.aofOffset();
    if (synced >= 0) this.say("REPLCONF", "ACK", this.repl.offset, "FACK", synced);
    else this.say("REPLCONF", "ACK", this.repl.offset);
  }

  /** A pause that held the stream is over, or a script of it. */
  resumed(): void {
    this.stream?.resumed();
  }

  // ------------------------------------------------------------------------------------------------ handshake

  private readLines(): void {
    while (this.state !== "over" && this.stream === null && !this.transfer?.begun) {
      const e = this.rest.indexOf(10);
      if (e < 0) return;
      const line = this.rest.toString("latin1", 0, e > 0 && this.rest[e - 1] === 13 ? e - 1 : e);
      this.rest = this.rest.subarray(e + 1);
      // Empty lines keep the connection alive.
      if (line !== "") this.line(line);
    }
    // What came behind the last line belongs to the next state.
    const left = this.rest;
    this.rest = EMPTY;
    if (left.length === 0) return;
    if (this.stream !== null) (this.stream as Stream).push(left);
    else this.transfer?.receive(left);
  }

  private line(line: string): void {
    const { log } = this.repl.server;
    if (this.state === "ping") {
      const ok =
        line.startsWith("+") || line.startsWith("-NOAUTH") || line.startsWith("-NOPERM") || line.startsWith("-ERR operation not permitted");
      if (!ok) {
        log.warning(`Error reply to PING from master: '${line}'`);
        return this.lost();
      }
      log.notice("Master replied to PING, replication can continue...");
      return this.introduce();
    }
    if (this.state === "handshake") {
      const what = this.awaited.shift()!;
      if (line.startsWith("-")) {
        if (what === "auth") {
          log.warning(`Unable to AUTH to MASTER: ${line}`);
          return this.lost();
        }
        log.notice(`(Non critical) Master does not understand REPLCONF ${what}: ${line}`);
      }
      if (this.awaited.length === 0) this.psync();
      return;
    }
    if (this.state === "psync") return this.psyncReply(line);
    if (!this.transfer!.begin(line)) this.lost();
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
    const port = config.bool("tls-replication") && ports.tls > 0 ? ports.tls : ports.tcp;
    out.command("REPLCONF", "listening-port", announced > 0 ? announced : port);
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
    if (line.startsWith("+FULLRESYNC")) {
      repl.failoverEnded(true);
      return this.fullResync(line);
    }
    if (line.startsWith("+CONTINUE")) {
      repl.failoverEnded(true);
      return this.goOn(line);
    }
    // A FAILOVER whose target does not take over is given up; we are no replica any more then.
    if (repl.failoverEnded(false)) return;
    if (line.startsWith("-NOMASTERLINK") || line.startsWith("-LOADING")) {
      log.notice(`Master is currently unable to PSYNC but should be in the future: ${line}`);
      return this.lost();
    }
    if (line.startsWith("-ERR")) log.notice(`Master does not support PSYNC or is in error state (reply: ${line})`);
    else log.warning(`Unexpected reply to PSYNC from master: ${line}`);
    // A master from before PSYNC: its offsets are unknown, and ours mean nothing to it.
    log.notice("Retrying with SYNC...");
    this.old = true;
    this.newId = repl.replid;
    this.newOffset = 0;
    this.beginTransfer();
    this.say("SYNC");
  }

  private fullResync(line: string): void {
    const { repl } = this;
    const { log } = repl.server;
    const [, id, text] = line.split(" ");
    const offset = Number(text);
    if (id === undefined || id.length !== REPLID_BYTES || text === undefined || !(offset >= 0)) {
      log.warning("Master replied with wrong +FULLRESYNC syntax.");
      repl.discardCached();
      return this.lost();
    }
    log.notice(`Full resync from master: ${id}:${offset}`);
    this.newId = id;
    this.newOffset = offset;
    this.beginTransfer();
  }

  private goOn(line: string): void {
    const { repl } = this;
    const { log } = repl.server;
    const id = line.split(" ")[1];
    log.notice("Successful partial resynchronization with master.");
    if (id !== undefined && id.length === REPLID_BYTES && id !== repl.replid) {
      log.notice(`Master replication ID changed to ${id}`);
      repl.renamed(id);
    }
    repl.keepBacklog();
    this.comeUp();
    log.notice("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
  }

  // ------------------------------------------------------------------------------------------------ full sync

  private beginTransfer(): void {
    this.state = "transfer";
    this.transfer = new Transfer(this.repl, this.newId, {
      pause: () => this.conn.pause(),
      resume: () => this.conn.resume(),
      failed: () => this.lost(),
      loaded: (info, rest) => this.loaded(info, rest),
    });
  }

  private loaded(info: LoadedInfo, rest: Buffer): void {
    const { repl } = this;
    const usedMark = this.transfer!.usesMark;
    this.transfer = null;
    repl.adopt(this.newId, this.newOffset, Math.max(0, info.replStreamDb));
    // Without offsets nothing can be gone on with.
    if (this.old) repl.mayContinue = false;
    this.comeUp();
    repl.server.log.notice("MASTER <-> REPLICA sync: Finished with success");
    // A diskless master starts the stream when it hears from us.
    if (usedMark) this.acknowledge();
    if (!this.conn.isOpen) return this.lost();
    this.conn.resume();
    if (rest.length > 0) this.stream!.push(rest);
  }

  /** The stream begins. */
  private comeUp(): void {
    const { repl } = this;
    const { server } = repl;
    const client = new Client(server.dispatcher.newClientId(), null, null);
    client.flags |= FLAG_MASTER;
    client.gates = CLIENT_UNAUTHENTICATED;
    client.out.muted = true;
    client.remote = this.conn.remoteText;
    client.local = this.conn.localText;
    client.request.maxBulkBytes = Number.MAX_SAFE_INTEGER;
    server.select(client, Math.max(0, repl.selectedDb));
    server.service.registry.adopt(client);
    this.stream = new Stream(repl, client, {
      pause: () => this.conn.pause(),
      resume: () => this.conn.resume(),
      acknowledge: () => this.acknowledge(),
      broken: () => {
        // Whatever it was, it was not the history that we share.
        repl.discardCached();
        this.lost();
      },
    });
    this.state = "up";
    repl.linkCameUp();
  }

  /** The stream's client was killed (CLIENT KILL TYPE master). */
  killed(client: Client): void {
    if (client === this.client && client.flags & FLAG_CLOSE_ASAP) this.lost();
  }
}

const handler: ConnHandler<MasterLink> = {
  open: (conn) => conn.data.opened(),
  data: (conn, chunk) => conn.data.data(chunk),
  drained: () => {},
  end: (conn) => conn.closeAfterFlush(),
  close: (conn, error) => conn.data.closed(error),
};

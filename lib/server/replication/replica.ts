/**
 * One replica as its master sees it: what it said in REPLCONF, how far it is, and what it is to be sent besides the stream. Data, with the
 * texts INFO, ROLE and the log show; `send` is warm (an RDB goes through it).
 *
 * What is sent here passes by client.out: a byte in there is the reply to a command, and a replica that makes us reply is cut off.
 */
import type { Client } from "../../clients/client.ts";
import { clock } from "../../time/clock.ts";
import type { Reader } from "./buffer.ts";

/** Redis SLAVE_STATE_*: waiting for a snapshot to begin, to end, its file being sent, in the stream. */
export const WAIT_START = 6;
export const WAIT_END = 7;
export const SEND_BULK = 8;
export const ONLINE = 9;
/** Took the RDB alone (REPLCONF rdb-only): closed when it has all of it. */
export const RDB_ONLY_DONE = 10;

/** REPLCONF capa. */
export const CAPA_EOF = 1;
export const CAPA_PSYNC2 = 2;

export class Replica {
  readonly client: Client;
  state: number;
  port: number;
  /** REPLCONF ip-address; "" is the connection's. */
  announcedIp: string;
  /** CAPA_ bits. */
  capa: number;
  /** Came with SYNC: no offsets, no acknowledgements. */
  old: boolean;
  rdbOnly: boolean;
  /** rdb-filter-only: wants no data, and functions only if `functions`; null: wants all. */
  filter: { functions: boolean } | null;
  /** Offset it acknowledged last, and when. */
  ackOffset: number;
  ackMs: number;
  /** Of its AOF. */
  fackOffset: number;
  /** Where its snapshot stands in the stream. */
  syncOffset: number;
  /** The stream begins with its next acknowledgement (diskless). */
  startOnAck: boolean;
  reader: Reader | null;
  /** Since when it waits for a snapshot. */
  waitingMs: number;
  /** Bytes that the socket has not taken yet, and when it last took some. */
  private readonly queue: Buffer[];
  queuedBytes: number;
  progressMs: number;

  constructor(client: Client) {
    this.client = client;
    this.state = 0;
    this.port = 0;
    this.announcedIp = "";
    this.capa = 0;
    this.old = false;
    this.rdbOnly = false;
    this.filter = null;
    this.ackOffset = 0;
    this.ackMs = 0;
    this.fackOffset = 0;
    this.syncOffset = 0;
    this.startOnAck = false;
    this.reader = null;
    this.waitingMs = 0;
    this.queue = [];
    this.queuedBytes = 0;
    this.progressMs = 0;
  }

  /** Sends bytes; what the socket does not take at once is copied and goes with `flush`. */
  send(bytes: Buffer): void {
    const { conn } = this.client;
    if (conn === null || !conn.isOpen) return;
    let taken = 0;
    if (this.queuedBytes === 0 && conn.flush()) {
      taken = Math.max(0, conn.writeNow(bytes));
      this.progressMs = clock.nowMs;
      if (taken === bytes.length) return;
    }
    this.queue.push(Buffer.from(bytes.subarray(taken)));
    this.queuedBytes += bytes.length - taken;
  }

  /** Goes on with what `send` kept. True when there is nothing left. */
  flush(): boolean {
    const { conn } = this.client;
    if (conn === null || !conn.isOpen || !conn.flush()) return false;
    while (this.queue.length > 0) {
      const bytes = this.queue[0];
      const taken = Math.max(0, conn.writeNow(bytes));
      this.queuedBytes -= taken;
      if (taken > 0) this.progressMs = clock.nowMs;
      if (taken < bytes.length) {
        this.queue[0] = bytes.subarray(taken);
        return false;
      }
      this.queue.shift();
    }
    return true;
  }

  get ip(): string {
    return this.announcedIp !== "" ? this.announcedIp : (this.client.conn?.remoteAddress ?? "");
  }
  /** Name in log lines: `ip:port`, or what there is of it. Redis replicationGetSlaveName. */
  get name(): string {
    const { ip } = this;
    if (ip === "") return `client id #${this.client.id}`;
    if (this.port === 0) return `${ip}:<unknown-replica-port>`;
    return `${ip.includes(":") ? `[${ip}]` : ip}:${this.port}`;
  }
  /** Past the handshake: counts as a replica. */
  get attached(): boolean {
    return this.state >= WAIT_START;
  }
  /** The stream flows. */
  get streams(): boolean {
    return this.state === ONLINE && !this.startOnAck;
  }
  /** INFO's word; "" hides it. */
  get stateName(): string {
    if (this.state === WAIT_START || this.state === WAIT_END) return "wait_bgsave";
    if (this.state === RDB_ONLY_DONE) return "";
    return this.state === SEND_BULK ? "send_bulk" : "online";
  }
}

/** One replica as its master sees it: what it said in REPLCONF, how far it is. Data, with the texts INFO, ROLE and the log show. */
import type { Client } from "../../clients/client.ts";
import type { Reader } from "./buffer.ts";

/** Redis SLAVE_STATE_*: waiting for a snapshot to begin, to end, its file being sent, in the stream. */
export const WAIT_START = 6;
export const WAIT_END = 7;
export const SEND_BULK = 8;
export const ONLINE = 9;
/** Took the RDB alone (REPLCONF rdb-only): closed when it has all of it. */
export const RDB_ONLY_DONE = 10;

export class Replica {
  readonly client: Client;
  state: number;
  port: number;
  /** REPLCONF ip-address; "" is the connection's. */
  announcedIp: string;
  capaEof: boolean;
  capaPsync2: boolean;
  /** Came with SYNC: no offsets, no acknowledgements. */
  old: boolean;
  rdbOnly: boolean;
  /** rdb-filter-only: sections it wants; null is all. */
  filter: string[] | null;
  /** Offset it acknowledged last, and when. */
  ackOffset: number;
  ackMs: number;
  /** Of its AOF. */
  fackOffset: number;
  /** The stream begins with its next acknowledgement (diskless). */
  startOnAck: boolean;
  reader: Reader | null;
  /** Name in log lines, fixed when it asked. */
  name: string;
  /** Since when it waits for a snapshot. */
  waitingMs: number;

  constructor(client: Client) {
    this.client = client;
    this.state = 0;
    this.port = 0;
    this.announcedIp = "";
    this.capaEof = false;
    this.capaPsync2 = false;
    this.old = false;
    this.rdbOnly = false;
    this.filter = null;
    this.ackOffset = 0;
    this.ackMs = 0;
    this.fackOffset = 0;
    this.startOnAck = false;
    this.reader = null;
    this.name = "";
    this.waitingMs = 0;
  }

  get ip(): string {
    return this.announcedIp !== "" ? this.announcedIp : (this.client.conn?.remoteAddress ?? "");
  }
  /** `ip:port`, or the connection's address when it told no port. */
  get text(): string {
    const ip = this.ip;
    if (ip === "") return `client id #${this.client.id}`;
    const host = ip.includes(":") ? `[${ip}]` : ip;
    return `${host}:${this.port > 0 ? this.port : "<unknown-replica-port>"}`;
  }
  /** Past the handshake: counts as a replica. */
  get attached(): boolean {
    return this.state >= WAIT_START;
  }
  get stateName(): string {
    if (this.state === WAIT_START || this.state === WAIT_END) return "wait_bgsave";
    return this.state === SEND_BULK ? "send_bulk" : "online";
  }
}

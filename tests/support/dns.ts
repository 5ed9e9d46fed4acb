/** A name server on loopback whose answers a test decides: A, AAAA and SRV records over UDP, refusals, silence. */
import { createSocket, type Socket } from "node:dgram";

export interface Srv {
  target: string;
  port: number;
  weight: number;
}
/** What is known of a name; `code` answers without records: 2 server failure, 3 no such name, 5 refused; "silent": nothing at all. */
export interface Entry {
  a?: string[];
  aaaa?: string[];
  srv?: Srv[];
  code?: number | "silent";
}

const TYPE = { 1: "a", 28: "aaaa", 33: "srv" } as const;

export class NameServer implements AsyncDisposable {
  private readonly socket: Socket;
  readonly names: Map<string, Entry>;
  /** Questions so far. */
  asked: number;
  private constructor(socket: Socket) {
    this.socket = socket;
    this.names = new Map();
    this.asked = 0;
  }
  static async start(): Promise<NameServer> {
    const socket = createSocket("udp4");
    const server = new NameServer(socket);
    socket.on("message", (m, peer) => {
      server.asked++;
      const reply = server.answer(m);
      if (reply !== null) socket.send(reply, peer.port, peer.address);
    });
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", () => resolve()));
    return server;
  }
  get port(): number {
    return this.socket.address().port;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.socket.close(() => resolve()));
  }

  private answer(query: Buffer): Buffer | null {
    const labels: string[] = [];
    let at = 12;
    while (query[at]! > 0) {
      labels.push(query.toString("latin1", at + 1, at + 1 + query[at]!));
      at += 1 + query[at]!;
    }
    const end = at + 5;
    const entry = this.names.get(labels.join(".").toLowerCase()) ?? { code: 3 };
    if (entry.code === "silent") return null;
    const kind = TYPE[query.readUInt16BE(at + 1) as keyof typeof TYPE];
    const records = kind === undefined || entry.code !== undefined ? [] : (entry[kind] ?? []).map((r) => data(r));
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180 | (entry.code ?? 0), 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    const parts = [head, query.subarray(12, end)];
    for (const r of records) {
      const lead = Buffer.alloc(12);
      lead.writeUInt16BE(0xc00c, 0); // the name that was asked for
      query.copy(lead, 2, at + 1, at + 5);
      lead.writeUInt32BE(1, 6);
      lead.writeUInt16BE(r.length, 10);
      parts.push(lead, r);
    }
    return Buffer.concat(parts);
  }
}

function data(record: string | Srv): Buffer {
  if (typeof record !== "string") {
    const head = Buffer.alloc(6);
    head.writeUInt16BE(record.weight, 2);
    head.writeUInt16BE(record.port, 4);
    const name = record.target.split(".").map((l) => Buffer.concat([Buffer.from([l.length]), Buffer.from(l, "latin1")]));
    return Buffer.concat([head, ...name, Buffer.from([0])]);
  }
  if (!record.includes(":")) return Buffer.from(record.split(".").map(Number));
  const [left, right] = record.split("::");
  const words = (t: string | undefined): number[] => (t === undefined || t === "" ? [] : t.split(":").map((w) => Number.parseInt(w, 16)));
  const tail = words(right);
  const all = [...words(left), ...(right === undefined ? [] : Array.from({ length: 8 - words(left).length - tail.length }, () => 0)), ...tail]; // prettier-ignore
  const b = Buffer.alloc(16);
  all.forEach((w, i) => b.writeUInt16BE(w, i * 2));
  return b;
}

/**
 * A client as CLIENT LIST, CLIENT INFO and log lines show it. COLD.
 * The order of the fields is fixed: tools read them by name, people by place. Follows Redis 7.2 networking.c catClientInfoString.
 */
import { clock } from "../time/clock.ts";
import {
  FLAG_BLOCKED,
  FLAG_CLOSE_AFTER_REPLY,
  FLAG_CLOSE_ASAP,
  FLAG_DIRTY_CAS,
  FLAG_MASTER,
  FLAG_MONITOR,
  FLAG_NO_EVICT,
  FLAG_NO_TOUCH,
  FLAG_POSTPONED,
  FLAG_PUBSUB,
  FLAG_REPLICA,
  FLAG_TRACKING,
  FLAG_UNIX,
  type Client,
} from "./client.ts";

/** CLIENT LIST TYPE, CLIENT KILL TYPE, and the classes of output limits. */
export type ClientType = "normal" | "master" | "replica" | "pubsub";

export function clientType(client: Client): ClientType {
  if (client.flags & FLAG_MASTER) return "master";
  if (client.flags & FLAG_REPLICA && !(client.flags & FLAG_MONITOR)) return "replica";
  return client.flags & FLAG_PUBSUB ? "pubsub" : "normal";
}

/** The type of that name in any case, or null. */
export function clientTypeNamed(name: string): ClientType | null {
  const lower = name.toLowerCase();
  if (lower === "slave" || lower === "replica") return "replica";
  return lower === "normal" || lower === "pubsub" || lower === "master" ? lower : null;
}

function flagLetters(client: Client): string {
  const f = client.flags;
  let s = "";
  if (f & FLAG_MONITOR) s += "O";
  else if (f & FLAG_REPLICA) s += "S";
  if (f & FLAG_MASTER) s += "M";
  if (f & FLAG_PUBSUB) s += "P";
  if (client.multi !== null) s += "x";
  if (f & (FLAG_BLOCKED | FLAG_POSTPONED)) s += "b";
  if (f & FLAG_TRACKING) s += "t";
  if (client.tracking?.broken) s += "R";
  if (client.tracking?.broadcast) s += "B";
  if (f & FLAG_DIRTY_CAS) s += "d";
  if (f & FLAG_CLOSE_AFTER_REPLY) s += "c";
  if (f & FLAG_CLOSE_ASAP) s += "A";
  if (f & FLAG_UNIX) s += "U";
  if (f & FLAG_NO_EVICT) s += "e";
  if (f & FLAG_NO_TOUCH) s += "T";
  return s === "" ? "N" : s;
}

/** Bytes that a client costs, about: its buffers, its transaction, its subscriptions, and what the object itself takes. */
export function memoryOf(client: Client): number {
  return (
    CLIENT_BYTES +
    Math.max(client.rest?.length ?? 0, client.readRoomBytes, awaitedBytes(client)) +
    client.out.pendingBytes() +
    client.sharedOutputBytes +
    (client.multi?.bytes ?? 0) +
    (client.watched?.length ?? 0) * 64 +
    client.subscriptions * SUBSCRIPTION_BYTES +
    (client.tracking === null ? 0 : client.tracking.prefixes.length * PREFIX_BYTES)
  );
}
/** A request with a big argument counts whole as soon as its length is known, as in Redis, which makes room for it then. */
function awaitedBytes(client: Client): number {
  const { request, rest } = client;
  return rest !== null && request.awaitedBulkBytes >= BIG_ARGUMENT_BYTES ? request.needBytes : 0;
}
/** Client, Conn, Out, Request with their small arrays, measured with a thousand idle connections. */
const CLIENT_BYTES = 2200;
/** A name of common length in the client's set and in the table of channels. */
const SUBSCRIPTION_BYTES = 160;
const PREFIX_BYTES = 100;
/** Redis PROTO_MBULK_BIG_ARG. */
const BIG_ARGUMENT_BYTES = 32 * 1024;

/** The line without its line feed. `runningBytes` and `argBytes` are those of the request that runs, when it is this client's. */
export function clientLine(client: Client, runningBytes = 0, argBytes = 0): string {
  const now = Math.floor(clock.nowMs / 1000);
  const out = client.out;
  const conn = client.conn;
  // Of a big argument that is still coming Redis keeps nothing but itself.
  const { awaitedBulkBytes, awaitedBulkOffset } = client.request;
  const before = client.rest !== null && awaitedBulkBytes >= BIG_ARGUMENT_BYTES ? awaitedBulkOffset : 0;
  const reading = client.restLength - before + runningBytes;
  const room = Math.max(client.rest?.length ?? 0, client.readRoomBytes);
  const events = conn === null ? "" : `r${conn.blocked ? "w" : ""}`;
  return (
    `id=${client.id} addr=${client.remote} laddr=${client.local} fd=${conn === null ? -1 : conn.fd} name=${client.name}` +
    ` age=${now - Math.floor(client.createdMs / 1000)} idle=${now - Math.floor(client.lastActiveMs / 1000)} flags=${flagLetters(client)}` +
    ` db=${client.dbIndex} sub=${client.channels?.size ?? 0} psub=${client.patterns?.size ?? 0} ssub=${client.shardChannels?.size ?? 0}` +
    ` multi=${client.multi === null ? -1 : client.multi.queue.length}` +
    ` qbuf=${reading} qbuf-free=${Math.max(0, room - reading)}` +
    ` argv-mem=${argBytes} multi-mem=${client.multi?.bytes ?? 0}` +
    ` rbs=${client.replyRoomBytes} rbp=${Math.min(client.peakOutputBytes, client.replyRoomBytes)} obl=${out.n} oll=${out.chunks.length}` +
    ` omem=${out.chunkBytes + client.sharedOutputBytes} tot-mem=${memoryOf(client) + argBytes} events=${events}` +
    ` cmd=${client.last?.name ?? "NULL"} user=${client.userName} redir=${client.tracking?.redirect ?? -1} resp=${out.resp}` +
    ` lib-name=${client.libName} lib-ver=${client.libVersion}`
  );
}

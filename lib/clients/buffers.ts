/**
 * The sizes of a client's buffers as CLIENT LIST shows them and maxmemory counts them. Cold: cron looks at each client once a second.
 *
 * Connections own no buffer while nothing waits in them: bytes read lie in fresh chunks until the garbage collector takes them, replies in
 * chunks of a pool. What a client is charged with therefore follows Redis' rules for its buffers, which tell how much a client has needed
 * lately: at least 16 KiB for reading while it is heard, nothing two seconds after; 1 to 16 KiB for replies.
 * Redis server.c clientsCronResizeQueryBuffer, clientsCronResizeOutputBuffer.
 */
import { clock } from "../time/clock.ts";
import { READ_ROOM_BYTES, REPLY_ROOM_BYTES, type Client } from "./client.ts";

/** Silence after which room for reading is given up. */
const IDLE_MS = 2000;
/** Room for reading beyond this shrinks when half of it was not needed. */
const LARGE_BYTES = 32 * 1024;
const REPLY_LEAST_BYTES = 1024;
const PEAK_RESET_MS = 5000;

/** What DEBUG REPLYBUFFER sets; peakResetMs below 0: never. */
export const replyBuffers = { peakResetMs: PEAK_RESET_MS, resizing: true, shrinks: 0, expands: 0 };
export const DEFAULT_PEAK_RESET_MS = PEAK_RESET_MS;

/** A chunk has been read, or a request has been given room: `bytes` are in the client's hands. HOT. */
export function charge(client: Client, bytes: number): void {
  if (bytes > client.readPeakBytes) client.readPeakBytes = bytes;
  if (bytes > client.readRoomBytes || client.readRoomBytes === 0) client.readRoomBytes = bytes > READ_ROOM_BYTES ? bytes : READ_ROOM_BYTES;
}

/** Cron's look at a client's buffers. */
export function resizeBuffers(client: Client): void {
  resizeReading(client);
  if (replyBuffers.resizing) resizeReplies(client);
}

function resizeReading(client: Client): void {
  const idleMs = clock.nowMs - client.lastActiveMs;
  const { rest } = client;
  if (rest !== null && idleMs > IDLE_MS && rest.length > client.restLength * 2 + 1024) {
    // Room kept for an argument that does not come.
    client.rest = Buffer.from(rest.subarray(0, client.restLength));
    client.readRoomBytes = 0;
  }
  if (rest === null && idleMs > IDLE_MS) client.readRoomBytes = 0;
  else if (client.readRoomBytes > LARGE_BYTES && client.readPeakBytes < client.readRoomBytes / 2)
    client.readRoomBytes = Math.max(READ_ROOM_BYTES, client.readPeakBytes);
  client.readPeakBytes = client.restLength;
}

function resizeReplies(client: Client): void {
  const room = client.replyRoomBytes;
  const peak = Math.min(client.peakOutputBytes, room);
  if (room / 2 >= REPLY_LEAST_BYTES && peak < room / 2) {
    client.replyRoomBytes = Math.max(REPLY_LEAST_BYTES, peak + 1);
    replyBuffers.shrinks++;
  } else if (room < REPLY_ROOM_BYTES && peak === room) {
    client.replyRoomBytes = Math.min(REPLY_ROOM_BYTES, room * 2);
    replyBuffers.expands++;
  }
  if (replyBuffers.peakResetMs < 0 || clock.nowMs - client.peakOutputSinceMs < replyBuffers.peakResetMs) return;
  client.peakOutputBytes = client.out.pendingBytes();
  client.peakOutputSinceMs = clock.nowMs;
}

/**
 * CRC-16/XMODEM and the cluster slot of a key: COMMAND GETKEYS users, CLUSTER KEYSLOT and the proxy's shards. HOT where keys are routed.
 */

/** Slots of a Redis cluster. */
export const SLOTS = 16384;

const TABLE = new Uint16Array(256);
for (let i = 0; i < 256; i++) {
  let c = i << 8;
  for (let bit = 0; bit < 8; bit++) c = c & 0x8000 ? (c << 1) ^ 0x1021 : c << 1;
  TABLE[i] = c;
}

/** CRC-16 (polynomial 0x1021, initial value 0) of b[start, end). */
export function crc16(b: Uint8Array, start: number, end: number): number {
  let c = 0;
  for (let i = start; i < end; i++) c = ((c << 8) & 0xff00) ^ TABLE[(c >> 8) ^ b[i]];
  return c;
}

/** The cluster slot of the key b[start, end): only what is between the first { and the next } counts, when that is not empty. */
export function keySlot(b: Uint8Array, start: number, end: number): number {
  let open = start;
  while (open < end && b[open] !== 0x7b) open++;
  let close = open + 1;
  while (close < end && b[close] !== 0x7d) close++;
  if (close < end && close > open + 1) return crc16(b, open + 1, close) & (SLOTS - 1);
  return crc16(b, start, end) & (SLOTS - 1);
}

/**
 * The two sources of chance the store uses: the keyed hash of every table, and random picks. HOT.
 * The process draws the hash key once at its start (setHashSeed) before the first key is stored: tables do not survive another key.
 */
import { halfSipHash13 } from "../bytes/siphash.ts";

let k0 = 0x2f6e2b1;
let k1 = 0x6c8e9cf5;

/** Sets the hash key (two int32 halves). Only while every table is empty. */
export function setHashSeed(low: number, high: number): void {
  k0 = low | 0;
  k1 = high | 0;
}

/** The int32 hash of b[start, end) under the process' key. */
export function hashBytes(b: Uint8Array, start: number, end: number): number {
  return halfSipHash13(b, start, end, k0, k1);
}

// xorshift128: fair enough for sampling, 2 ns a draw
let x = 0x075bcd15;
let y = 0x159a55e5;
let z = 0x1f123bb5;
let w = 0x05491333;

/** Seeds the random picks (tests repeat themselves with it; the process draws one at its start). */
export function setRandomSeed(seed: number): void {
  x = seed | 1;
  y = Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1);
  z = 0x1f123bb5;
  w = 0x05491333;
  for (let i = 0; i < 16; i++) random32();
}

/** 32 random bits, as an int32. */
export function random32(): number {
  const t = x ^ (x << 11);
  x = y;
  y = z;
  z = w;
  w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
  return w;
}

/** A fair whole number in [0, n), n up to 2^32. */
export function randomBelow(n: number): number {
  return Math.floor(((random32() >>> 0) / 4294967296) * n);
}

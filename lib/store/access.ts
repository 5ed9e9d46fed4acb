/**
 * Access words: the low 24 bits of an entry's word 2 tell when or how often a key was used, in seconds (LRU) or as minutes and a counter (LFU).
 * HOT: touched by every look-up. The seconds come from setAccessTime, which cron calls ten times a second (Redis: lruclock in serverCron).
 */
import { UNIT_MASK, m32 } from "./arena.ts";
import { random32 } from "./seed.ts";

/** Seconds in 24 bits (Redis: LRU_CLOCK with a resolution of 1000 ms). */
export let lruClock = 0;
/** Minutes in 16 bits. */
let lfuMinutes = 0;

/** Sets the access clocks from wall time in ms. */
export function setAccessTime(ms: number): void {
  lruClock = Math.floor(ms / 1000) % 16777216;
  lfuMinutes = Math.floor(ms / 60000) % 65536;
}

/** What a look-up leaves in the entry: nothing (CLIENT NO-TOUCH), its second, or its minute and a logarithmic counter. */
export const TOUCH_NONE = 0;
export const TOUCH_LRU = 1;
export const TOUCH_LFU = 2;
export let touchMode: number = TOUCH_LRU;
let policyIsLfu = false;
let lfuLogFactor = 10;
let lfuDecayMinutes = 1;
/** Counter of a new key (Redis: LFU_INIT_VAL), so that it is not evicted before it had a chance. */
const LFU_INITIAL = 5;

/** Chooses the access word by maxmemory-policy: lfu or lru (the default). */
export function setLfuPolicy(lfu: boolean, logFactor: number, decayMinutes: number): void {
  policyIsLfu = lfu;
  lfuLogFactor = logFactor;
  lfuDecayMinutes = decayMinutes;
  touchMode = lfu ? TOUCH_LFU : TOUCH_LRU;
}

/** Switches touching off and on again around a command (CLIENT NO-TOUCH). */
export function setTouching(on: boolean): void {
  touchMode = on ? (policyIsLfu ? TOUCH_LFU : TOUCH_LRU) : TOUCH_NONE;
}

/** True when access words are LFU ones (OBJECT FREQ answers, OBJECT IDLETIME does not). */
export function isLfuPolicy(): boolean {
  return policyIsLfu;
}

/** The access word of a new entry. */
export function freshAccess(): number {
  return policyIsLfu ? (lfuMinutes << 8) | LFU_INITIAL : lruClock;
}

/** Counts an access in an LFU word: decayed by the minutes since the last one, then raised with a chance that falls as it grows. */
export function touchLfu(ref: number): void {
  const m = m32[ref >>> 23];
  const i = ((ref & UNIT_MASK) << 1) + 2;
  let counter = lfuOf(m[i]);
  if (counter < 255) {
    const base = counter > LFU_INITIAL ? counter - LFU_INITIAL : 0;
    if ((random32() >>> 0) / 4294967296 < 1 / (base * lfuLogFactor + 1)) counter++;
  }
  m[i] = (m[i] & 0xff000000) | (lfuMinutes << 8) | counter;
}

/** The counter of an LFU word after decay (OBJECT FREQ, eviction). */
export function lfuOf(word2: number): number {
  const then = (word2 >>> 8) & 0xffff;
  const counter = word2 & 0xff;
  if (lfuDecayMinutes === 0) return counter;
  const elapsed = lfuMinutes >= then ? lfuMinutes - then : 65535 - then + lfuMinutes;
  const periods = Math.floor(elapsed / lfuDecayMinutes);
  return periods > counter ? 0 : counter - periods;
}

/** Seconds since the access an LRU word tells of (OBJECT IDLETIME, eviction). */
export function idleSeconds(word2: number): number {
  const then = word2 & 0xffffff;
  return lruClock >= then ? lruClock - then : lruClock + 16777216 - then;
}

/** Sets an entry's access word to "idle for `seconds`" (RESTORE IDLETIME, RDB). */
export function setIdle(ref: number, seconds: number): void {
  const m = m32[ref >>> 23];
  const i = ((ref & UNIT_MASK) << 1) + 2;
  let then = (lruClock - (seconds % 16777216)) % 16777216;
  if (then < 0) then += 16777216;
  m[i] = (m[i] & 0xff000000) | then;
}

/** Sets an entry's LFU counter (RESTORE FREQ, RDB). */
export function setFrequency(ref: number, counter: number): void {
  const m = m32[ref >>> 23];
  const i = ((ref & UNIT_MASK) << 1) + 2;
  m[i] = (m[i] & 0xff000000) | (lfuMinutes << 8) | counter;
}

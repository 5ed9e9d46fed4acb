/**
 * The arena: off-heap memory for everything the store keeps. HOT: alloc and free make no objects and touch typed arrays only.
 *
 *   segment   64 MiB SharedArrayBuffer, made when first needed (the system commits its pages lazily; a worker can read it)
 *   page      64 KiB of a segment; holds slots of ONE size class, or is part of a run (one block of several whole pages)
 *   ref       a block's name: uint32 kept in an int32. segment = ref >>> 23, 8-byte unit inside it = ref & 0x7fffff. 0 = nothing.
 *
 * A block is reached through the exported views: m8[segment][unit << 3], m32[segment][unit << 1], f64[segment][unit].
 * Blocks are never moved by the arena; whoever owns a ref moves it (alloc, copy, free).
 * Values beyond HUGE_MIN live in buffers of their own, named by an id (the huge table): they grow in place, because their address
 * range is reserved at twice the size and only touched pages cost memory.
 *
 * Free pages go back to the system in slices (releaseStep) through a hook that lib/os sets (madvise); without it whole empty segments
 * are dropped. Out here: what is stored in a block (entry.ts), tables (dict.ts).
 */

export const SEGMENT_BYTES = 64 << 20;
export const PAGE_BYTES = 64 << 10;
export const MAX_SEGMENTS = 512;
/** Low bits of a ref: the 8-byte unit inside its segment. */
export const UNIT_MASK = 0x7fffff;
/** Largest block that shares a page with others; larger ones are runs of whole pages. */
export const SMALL_MAX = 32768;
/** Values longer than this many bytes belong in the huge table. */
export const HUGE_MIN = 1 << 20;
/** Largest block at all: a segment without its first page. */
export const BLOCK_MAX = SEGMENT_BYTES - PAGE_BYTES;

const PAGES = SEGMENT_BYTES / PAGE_BYTES;
const WORDS = PAGES / 32;
const PAGE_SHIFT = 13; // a page is 2^13 units of 8 bytes
const MAX_PAGES = MAX_SEGMENTS * PAGES;

/** Views of each segment. Buffers, so that copy, compare and latin1Slice are at hand. */
export const m8: Buffer[] = [];
export const m32: Int32Array[] = [];
export const f64: Float64Array[] = [];

// ---- size classes: every 8 bytes to 512, then eighths of a doubling to 4 KiB, then 65536 / n
const classBytesList: number[] = [];
for (let b = 8; b <= 512; b += 8) classBytesList.push(b);
for (let base = 512; base < 4096; base *= 2) for (let i = 1; i <= 8; i++) classBytesList.push(base + (base >> 3) * i);
for (let n = 15; n >= 2; n--) classBytesList.push(Math.floor(PAGE_BYTES / n) & ~7);
const CLASSES = classBytesList.length;
const classBytes = Int32Array.from(classBytesList);
const classUnits = classBytes.map((b) => b >> 3);
const classSlots = classBytes.map((b) => Math.floor(PAGE_BYTES / b));
const classOfUnits = new Uint8Array((SMALL_MAX >> 3) + 1);
for (let u = 0, c = 0; u < classOfUnits.length; u++) {
  while (classUnits[c] < u) c++;
  classOfUnits[u] = c;
}

// ---- page records. pageKind: 0 free, 1 + class, or one of the two below
const RUN_TAIL = 254;
const RUN_HEAD = 255;
// Shared buffers, because the system zeroes and commits them lazily: 8 MB of records cost nothing until pages are used.
const pageKind = new Uint8Array(new SharedArrayBuffer(MAX_PAGES));
const pageUsed = new Uint16Array(new SharedArrayBuffer(MAX_PAGES * 2)); // slots in use; of a run's head: its pages
const pageCarved = new Uint16Array(new SharedArrayBuffer(MAX_PAGES * 2)); // slots ever handed out; beyond them the page is untouched
const pageHead = new Int32Array(new SharedArrayBuffer(MAX_PAGES * 4)); // first freed slot (its ref), linked through the slots' first word
const pageNext = new Int32Array(new SharedArrayBuffer(MAX_PAGES * 4)); // pages of a class that have room
const pagePrev = new Int32Array(new SharedArrayBuffer(MAX_PAGES * 4));
/** First page of each class that has room; 0 = none (page 0 is never handed out, so that ref 0 stays nothing). */
const partial = new Int32Array(CLASSES);

// ---- free pages: a bit each. dirty = free, but the system still backs it with memory
const freeBits = new Int32Array(MAX_SEGMENTS * WORDS);
const dirtyBits = new Int32Array(MAX_SEGMENTS * WORDS);
const segmentFree = new Int32Array(MAX_SEGMENTS);
const segmentDirty = new Int32Array(MAX_SEGMENTS);
const RUN_HINTS = 17;
/** Lowest segment worth searching for a run of n pages; larger runs search from 0. */
const runHint = new Int32Array(RUN_HINTS);
let segments = 0;
let maxSegments = MAX_SEGMENTS;
/** The last part of the arena is for commands that have begun: a gigabyte, more than one request can bring. */
let reserveSegments = 16;

let liveBytes = 0;
let livePages = 0;
let dirtyPages = 0;
let externalBytes = 0;
let hugeBytes = 0;

const EMPTY8 = Buffer.alloc(0);
const EMPTY32 = new Int32Array(0);
const EMPTY64 = new Float64Array(0);

/** Gives segment memory back to the system: [offset, offset + length) of a SharedArrayBuffer, whole pages. Contents read as zero after. */
export type ReleaseHook = (memory: SharedArrayBuffer, offset: number, length: number) => void;
let releaseHook: ReleaseHook | null = null;

/** lib/os sets this to madvise; null (no FFI): only whole empty segments are given back. */
export function setReleaseHook(hook: ReleaseHook | null): void {
  releaseHook = hook;
}

/** Caps the arena at this many segments (tests of -OOM), the last `reserve` of them kept back; never below what exists. */
export function setMaxSegments(count: number, reserve = 16): void {
  maxSegments = Math.max(segments, Math.min(count, MAX_SEGMENTS));
  reserveSegments = reserve;
}

/**
 * True when only the reserve is left. Whoever is about to begin something that takes memory asks first: a command that changes several
 * keys then never finds the end midway.
 */
export function isNearlyFull(): boolean {
  return livePages > (maxSegments - Math.min(reserveSegments, maxSegments >> 1)) * PAGES;
}

function addSegment(): boolean {
  let s = 0;
  while (s < segments && m32[s].length !== 0) s++; // a dropped segment comes back first
  if (s === maxSegments) return false;
  let memory: SharedArrayBuffer;
  try {
    memory = new SharedArrayBuffer(SEGMENT_BYTES);
  } catch {
    // The address space or the system's patience has ended: callers answer -OOM, and what there is now is all there will be.
    maxSegments = Math.max(1, segments);
    return false;
  }
  m8[s] = Buffer.from(memory);
  m32[s] = new Int32Array(memory);
  f64[s] = new Float64Array(memory);
  if (s === segments) segments++;
  freeBits.fill(-1, s * WORDS, (s + 1) * WORDS);
  segmentFree[s] = PAGES;
  if (s === 0) {
    freeBits[0] &= ~1;
    segmentFree[0]--;
  }
  for (let i = 0; i < RUN_HINTS; i++) if (runHint[i] > s) runHint[i] = s;
  return true;
}

/** First page of `count` neighbouring free pages in segment s, or -1. */
function searchSegment(s: number, count: number): number {
  let length = 0;
  for (let w = 0; w < WORDS; w++) {
    const bits = freeBits[s * WORDS + w];
    if (bits === 0) {
      length = 0;
      continue;
    }
    for (let i = 0; i < 32; i++) {
      if ((bits & (1 << i)) === 0) length = 0;
      else if (++length === count) return w * 32 + i - count + 1;
    }
  }
  return -1;
}

/** Takes `count` neighbouring pages, the lowest ones: the number of the first, or 0 when there is no room. */
function takePages(count: number): number {
  const from = count < RUN_HINTS ? runHint[count] : 0;
  let s = from;
  let first = -1;
  for (; s < segments; s++) {
    if (segmentFree[s] < count) continue;
    first = searchSegment(s, count);
    if (first >= 0) break;
  }
  if (first < 0) {
    if (!addSegment()) return 0;
    return takePages(count);
  }
  if (count < RUN_HINTS) runHint[count] = s;
  for (let i = first; i < first + count; i++) {
    const word = s * WORDS + (i >> 5);
    const bit = 1 << (i & 31);
    freeBits[word] &= ~bit;
    if ((dirtyBits[word] & bit) !== 0) {
      dirtyBits[word] &= ~bit;
      segmentDirty[s]--;
      dirtyPages--;
    }
  }
  segmentFree[s] -= count;
  livePages += count;
  return s * PAGES + first;
}

function returnPages(page: number, count: number): void {
  const s = Math.floor(page / PAGES);
  for (let i = page % PAGES, end = i + count; i < end; i++) {
    const word = s * WORDS + (i >> 5);
    const bit = 1 << (i & 31);
    freeBits[word] |= bit;
    dirtyBits[word] |= bit;
  }
  pageKind.fill(0, page, page + count);
  segmentFree[s] += count;
  segmentDirty[s] += count;
  dirtyPages += count;
  livePages -= count;
  for (let i = 0; i < RUN_HINTS; i++) if (runHint[i] > s) runHint[i] = s;
}

function newPage(cls: number): number {
  const page = takePages(1);
  if (page === 0) return 0;
  pageKind[page] = cls + 1;
  pageUsed[page] = 0;
  pageCarved[page] = 0;
  pageHead[page] = 0;
  linkPartial(cls, page);
  return page;
}

function linkPartial(cls: number, page: number): void {
  const next = partial[cls];
  pageNext[page] = next;
  pagePrev[page] = 0;
  if (next !== 0) pagePrev[next] = page;
  partial[cls] = page;
}

function unlinkPartial(cls: number, page: number): void {
  const next = pageNext[page];
  const prev = pagePrev[page];
  if (next !== 0) pagePrev[next] = prev;
  if (prev !== 0) pageNext[prev] = next;
  else partial[cls] = next;
}

/** A block of at least `bytes` bytes (contents undefined), 8-aligned: its ref, or 0 when memory is out (callers answer -OOM). */
export function alloc(bytes: number): number {
  if (bytes > SMALL_MAX) return allocRun(bytes);
  const cls = classOfUnits[(bytes + 7) >>> 3];
  let page = partial[cls];
  if (page === 0) {
    page = newPage(cls);
    if (page === 0) return 0;
  }
  let ref = pageHead[page];
  if (ref !== 0) {
    pageHead[page] = m32[ref >>> 23][(ref & UNIT_MASK) << 1];
  } else {
    const carved = pageCarved[page];
    pageCarved[page] = carved + 1;
    ref = (page << PAGE_SHIFT) + carved * classUnits[cls];
  }
  const used = pageUsed[page] + 1;
  pageUsed[page] = used;
  if (used === classSlots[cls]) unlinkPartial(cls, page);
  liveBytes += classBytes[cls];
  return ref;
}

/** Gives a block back. The ref must come from alloc and be freed once. */
export function free(ref: number): void {
  const page = ref >>> PAGE_SHIFT;
  const kind = pageKind[page];
  if (kind >= RUN_TAIL) {
    freeRun(page);
    return;
  }
  const cls = kind - 1;
  m32[ref >>> 23][(ref & UNIT_MASK) << 1] = pageHead[page];
  pageHead[page] = ref;
  liveBytes -= classBytes[cls];
  const used = pageUsed[page];
  pageUsed[page] = used - 1;
  if (used === classSlots[cls]) linkPartial(cls, page);
  else if (used === 1 && (pageNext[page] !== 0 || pagePrev[page] !== 0)) {
    // One empty page a class is kept, so that one key coming and going does not take and return a page each time.
    unlinkPartial(cls, page);
    returnPages(page, 1);
  }
}

function allocRun(bytes: number): number {
  if (bytes > BLOCK_MAX) return 0;
  const count = Math.ceil(bytes / PAGE_BYTES);
  const page = takePages(count);
  if (page === 0) return 0;
  pageKind[page] = RUN_HEAD;
  pageUsed[page] = count;
  if (count > 1) pageKind.fill(RUN_TAIL, page + 1, page + count);
  liveBytes += count * PAGE_BYTES;
  return page << PAGE_SHIFT;
}

function freeRun(page: number): void {
  const count = pageUsed[page];
  liveBytes -= count * PAGE_BYTES;
  returnPages(page, count);
}

/** Bytes the block can hold. */
export function usableBytes(ref: number): number {
  const page = ref >>> PAGE_SHIFT;
  const kind = pageKind[page];
  return kind === RUN_HEAD ? pageUsed[page] * PAGE_BYTES : classBytes[kind - 1];
}

/** Bytes that alloc(bytes) would really take. */
export function roundUp(bytes: number): number {
  return bytes > SMALL_MAX ? Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES : classBytes[classOfUnits[(bytes + 7) >>> 3]];
}

/** True when alloc(bytes) would give a block of just the size this one has: it can stay where it is. */
export function fits(ref: number, bytes: number): boolean {
  const page = ref >>> PAGE_SHIFT;
  if (bytes <= SMALL_MAX) return pageKind[page] === classOfUnits[(bytes + 7) >>> 3] + 1;
  return pageKind[page] === RUN_HEAD && pageUsed[page] === Math.ceil(bytes / PAGE_BYTES);
}

/** Makes the block `bytes` long, keeping the first `keep` bytes: the same ref when its class stays, else a new one; 0 = out of memory, old block intact. */
export function realloc(ref: number, bytes: number, keep: number): number {
  if (fits(ref, bytes)) return ref;
  const to = alloc(bytes);
  if (to === 0) return 0;
  copyBlock(ref, 0, to, 0, keep);
  free(ref);
  return to;
}

/** Copies n bytes from block a (at byte ao) to another block b (at byte bo). Short ones in a loop: a native call costs more than 48 bytes. */
export function copyBlock(a: number, ao: number, b: number, bo: number, n: number): void {
  const source = m8[a >>> 23];
  const target = m8[b >>> 23];
  const from = ((a & UNIT_MASK) << 3) + ao;
  const to = ((b & UNIT_MASK) << 3) + bo;
  if (n > 48) source.copy(target, to, from, from + n);
  else for (let i = 0; i < n; i++) target[to + i] = source[from + i];
}

// ---- what is used

/** Bytes of live blocks (rounded to their size class). */
export function usedBytes(): number {
  return liveBytes;
}

/** Bytes the system backs for segments: pages in use, and free ones not given back yet. */
export function reservedBytes(): number {
  return (livePages + dirtyPages) * PAGE_BYTES;
}

/** Bytes of huge values (rounded to 4 KiB). */
export function hugeUsedBytes(): number {
  return hugeBytes;
}

/** Counts memory that the store keeps outside segments (tables, objects). */
export function countExternal(deltaBytes: number): void {
  externalBytes += deltaBytes;
}

let heldBytes = 0;

/** Counts memory that commands have given up and that a save still reads: it is a part of the rest, and not to be had by evicting. */
export function countHeld(deltaBytes: number): void {
  heldBytes += deltaBytes;
}
export function heldMemory(): number {
  return heldBytes;
}

/** Everything the store keeps: live blocks, huge values, tables. This is what maxmemory looks at. */
export function usedMemory(): number {
  return liveBytes + hugeBytes + externalBytes;
}

// ---- giving memory back

let releaseFrom = 0;

/**
 * Gives up to about maxBytes of free pages back to the system, but leaves keepBytes of them for the next allocations (a page given back costs
 * 11 us now and its faults later). Returns the bytes given; 0 = nothing left to do. Called from cron.
 */
export function releaseStep(maxBytes: number, keepBytes = 0): number {
  if (dirtyPages * PAGE_BYTES <= keepBytes) return 0;
  if (releaseHook === null) return dropSegments();
  maxBytes = Math.min(maxBytes, dirtyPages * PAGE_BYTES - keepBytes);
  let given = 0;
  for (let i = 0; i < segments && given < maxBytes; i++) {
    const s = (releaseFrom + i) % segments;
    if (segmentDirty[s] === 0) continue;
    releaseFrom = s;
    given += releaseSegment(s, maxBytes - given);
  }
  return given;
}

function releaseSegment(s: number, maxBytes: number): number {
  let given = 0;
  let page = 0;
  while (page < PAGES && given < maxBytes) {
    if (dirtyBits[s * WORDS + (page >> 5)] === 0) {
      page = (page | 31) + 1;
      continue;
    }
    const start = page;
    while (
      page < PAGES &&
      (dirtyBits[s * WORDS + (page >> 5)] & (1 << (page & 31))) !== 0 &&
      (page - start) * PAGE_BYTES < maxBytes - given
    ) {
      dirtyBits[s * WORDS + (page >> 5)] &= ~(1 << (page & 31));
      page++;
    }
    const count = page - start;
    if (count > 0) {
      releaseHook!(m8[s].buffer as unknown as SharedArrayBuffer, start * PAGE_BYTES, count * PAGE_BYTES);
      segmentDirty[s] -= count;
      dirtyPages -= count;
      given += count * PAGE_BYTES;
    } else page++;
  }
  return given;
}

/** Without a hook: lets the garbage collector have segments that are wholly free. */
function dropSegments(): number {
  let given = 0;
  for (let s = 1; s < segments; s++) {
    if (segmentFree[s] !== PAGES || segmentDirty[s] === 0) continue;
    m8[s] = EMPTY8;
    m32[s] = EMPTY32;
    f64[s] = EMPTY64;
    freeBits.fill(0, s * WORDS, (s + 1) * WORDS);
    dirtyBits.fill(0, s * WORDS, (s + 1) * WORDS);
    given += segmentDirty[s] * PAGE_BYTES;
    dirtyPages -= segmentDirty[s];
    segmentFree[s] = 0;
    segmentDirty[s] = 0;
  }
  return given;
}

/** Gives a part of any shared buffer back at once (old tables, huge values), if there is a hook. Offsets are rounded inwards to 4 KiB. */
export function releaseExternal(memory: SharedArrayBuffer, offset: number, length: number): void {
  if (releaseHook === null) return;
  const from = (offset + 4095) & ~4095;
  const to = Math.floor((offset + length) / 4096) * 4096;
  if (to > from) releaseHook(memory, from, to - from);
}

// ---- huge values

/** The buffer of each huge value, longer than the value; the value's length is kept by its entry. null = id not in use. */
export const huge: (Buffer | null)[] = [null];
const hugeTouched: number[] = [0]; // bytes counted for the id: the highest length it had, in 4 KiB steps
const hugeIds: number[] = [];
/** Largest value a huge buffer can have: a Buffer ends at 4 GiB. */
export const HUGE_MAX = 4 * 1024 * 1024 * 1024 - 1;

function hugeBuffer(length: number): Buffer | null {
  // Twice the length is reserved address space, not memory: APPEND and SETRANGE grow without copying.
  let capacity = 2 * HUGE_MIN;
  while (capacity < length * 2) capacity *= 2;
  for (capacity = Math.min(capacity, HUGE_MAX + 1); ; capacity = length) {
    try {
      return Buffer.from(new SharedArrayBuffer(capacity));
    } catch {
      if (capacity === length) return null;
    }
  }
}

function countHuge(id: number, length: number): void {
  const touched = Math.ceil(length / 4096) * 4096;
  if (touched <= hugeTouched[id]) return;
  hugeBytes += touched - hugeTouched[id];
  hugeTouched[id] = touched;
}

/** Ids that a save reads: true when they were freed meanwhile. */
const held = new Map<number, boolean>();

/** Keeps the buffer of a huge value from being given back or used again, until hugeLetGo. */
export function hugeHold(id: number): Buffer {
  held.set(id, false);
  return huge[id]!;
}

/** Ends hugeHold, which gave `buffer`. */
export function hugeLetGo(id: number, buffer: Buffer): void {
  const isFreed = held.get(id)!;
  held.delete(id);
  if (huge[id] !== buffer) releaseExternal(buffer.buffer as unknown as SharedArrayBuffer, 0, buffer.length);
  if (!isFreed) return;
  heldBytes -= hugeTouched[id];
  hugeFree(id);
}

/** A buffer for a value of `length` bytes (zeroed): its id, or 0 when memory is out. */
export function hugeAlloc(length: number): number {
  if (length > HUGE_MAX) return 0;
  const buffer = hugeBuffer(length);
  if (buffer === null) return 0;
  const id = hugeIds.pop() ?? huge.length;
  huge[id] = buffer;
  hugeTouched[id] = 0;
  countHuge(id, length);
  return id;
}

/** Makes room for `length` bytes, keeping the first `keep`. False when memory is out; the value is then as before. Bytes never written read as zero. */
export function hugeGrow(id: number, length: number, keep: number): boolean {
  if (length > HUGE_MAX) return false;
  const old = huge[id]!;
  if (length > old.length) {
    const buffer = hugeBuffer(length);
    if (buffer === null) return false;
    old.copy(buffer, 0, 0, keep);
    huge[id] = buffer;
    if (!held.has(id)) releaseExternal(old.buffer as unknown as SharedArrayBuffer, 0, old.length);
  }
  countHuge(id, length);
  return true;
}

/** Gives a huge value back. */
export function hugeFree(id: number): void {
  if (held.has(id)) {
    held.set(id, true);
    heldBytes += hugeTouched[id];
    return;
  }
  const old = huge[id]!;
  huge[id] = null;
  hugeIds.push(id);
  hugeBytes -= hugeTouched[id];
  releaseExternal(old.buffer as unknown as SharedArrayBuffer, 0, Math.min(old.length, hugeTouched[id]));
}

/**
 * The only foreign function calls of redisha: libc, through bun:ffi. Cold.
 *
 * bun:ffi needs the JIT, which a systemd unit with MemoryDenyWriteExecute=yes takes away (Debian's has it): then `ffiProblem` says so, every
 * function here gives false or null, and its caller has another way (or does without). Nothing here throws.
 */
import { dlopen, FFIType, ptr, toArrayBuffer } from "bun:ffi";

const { i32, u32, u64, i64 } = FFIType;
const SYMBOLS = {
  getrlimit: { args: [i32, u64], returns: i32 },
  setrlimit: { args: [i32, u64], returns: i32 },
  getrusage: { args: [i32, u64], returns: i32 },
  madvise: { args: [u64, u64, i32], returns: i32 },
  prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
  sbrk: { args: [i64], returns: u64 },
  socket: { args: [i32, i32, i32], returns: i32 },
  sendto: { args: [i32, u64, u64, i32, u64, u32], returns: i64 },
  dup: { args: [i32], returns: i32 },
  chroot: { args: [u64], returns: i32 },
  signal: { args: [i32, u64], returns: u64 },
  raise: { args: [i32], returns: i32 },
} as const;

type Libc = ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"];

let libc: Libc | null = null;
let problem: string | null = null;

function open(): Libc | null {
  if (libc !== null || problem !== null) return libc;
  try {
    libc = dlopen(process.platform === "darwin" ? "libSystem.dylib" : "libc.so.6", SYMBOLS).symbols;
  } catch (e) {
    problem = e instanceof Error ? e.message : String(e);
  }
  return libc;
}

/** Why there are no foreign calls in this process; null when there are. */
export function ffiProblem(): string | null {
  open();
  return problem;
}

function address(bytes: NodeJS.TypedArray): bigint {
  return BigInt(ptr(bytes));
}

/** A C string; keep it referenced during the call. */
function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`, "latin1");
}

// -------------------------------------------------------------------------------------------------------------------- limits

const RLIMIT_NOFILE = process.platform === "darwin" ? 8 : 7;
/** The kernel's "no limit". */
export const NO_LIMIT = Number.MAX_SAFE_INTEGER;

export interface Limit {
  soft: number;
  hard: number;
}

/** How many files this process may open; null when it cannot be asked. */
export function fileLimit(): Limit | null {
  const c = open();
  const words = new BigUint64Array(2);
  if (c === null || c.getrlimit(RLIMIT_NOFILE, address(words)) !== 0) return null;
  const plain = (v: bigint): number => (v > BigInt(NO_LIMIT) ? NO_LIMIT : Number(v));
  return { soft: plain(words[0]), hard: plain(words[1]) };
}

/** Sets it; false when the system refuses. Raising `hard` needs privileges. */
export function setFileLimit(limit: Limit): boolean {
  const c = open();
  const word = (v: number): bigint => (v >= NO_LIMIT ? 2n ** 64n - 1n : BigInt(v));
  const words = new BigUint64Array([word(limit.soft), word(limit.hard)]);
  return c !== null && c.setrlimit(RLIMIT_NOFILE, address(words)) === 0;
}

// -------------------------------------------------------------------------------------------------------------------- memory, time

const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;
const MADV_NOHUGEPAGE = 15;

/**
 * Gives the whole pages inside bytes[start, end) back to the system: they read as zeros afterwards. Returns false when nothing was given
 * back. `pageBytes` is the system's page size (machine.ts).
 */
export function releasePages(bytes: Uint8Array, start: number, end: number, pageBytes: number): boolean {
  return advise(bytes, start, end, pageBytes, MADV_DONTNEED);
}

/** Asks for, or forbids, huge pages in the range. */
export function adviseHugePages(bytes: Uint8Array, start: number, end: number, pageBytes: number, on: boolean): boolean {
  return advise(bytes, start, end, pageBytes, on ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

function advise(bytes: Uint8Array, start: number, end: number, pageBytes: number, advice: number): boolean {
  const c = open();
  if (c === null || end <= start) return false;
  const base = address(bytes);
  const page = BigInt(pageBytes);
  const from = ((base + BigInt(start) + page - 1n) / page) * page;
  const to = ((base + BigInt(end)) / page) * page;
  return to > from && c.madvise(from, to - from, advice) === 0;
}

const RUSAGE_CHILDREN = -1;
const RUSAGE_THREAD = 1;

export interface CpuTime {
  userUs: number;
  systemUs: number;
}

/** CPU time of this thread alone, or of all children that have ended; null when it cannot be asked. */
export function rusage(who: "thread" | "children"): CpuTime | null {
  const c = open();
  const words = new BigInt64Array(18);
  if (c === null || c.getrusage(who === "thread" ? RUSAGE_THREAD : RUSAGE_CHILDREN, address(words)) !== 0) return null;
  return { userUs: Number(words[0]) * 1e6 + Number(words[1]), systemUs: Number(words[2]) * 1e6 + Number(words[3]) };
}

// -------------------------------------------------------------------------------------------------------------------- process

const PR_SET_NAME = 15;
const PR_SET_MM = 35;
const PR_SET_MM_MAP = 14;
const MM_MAP_BYTES = 104;
const NO_FILE = 0xffffffff;

/** The name that `ps -o comm` and /proc/PID/comm show: at most 15 bytes. */
export function setThreadName(name: string): boolean {
  const text = cString(name.slice(0, 15));
  return open()?.prctl(PR_SET_NAME, address(text), 0n, 0n, 0n) === 0;
}

/** Where the kernel looks for the process' layout; the numbers are those of fields of /proc/PID/stat (proc(5)). */
export interface MemoryMap {
  startCode: bigint;
  endCode: bigint;
  startData: bigint;
  endData: bigint;
  startBrk: bigint;
  startStack: bigint;
  argStart: bigint;
  argEnd: bigint;
  envStart: bigint;
  envEnd: bigint;
}

/** Makes the kernel show `line` (ended by a zero byte) as the command line. `line` must live as long as the process. Linux prctl(PR_SET_MM_MAP). */
export function moveCommandLine(line: Buffer, map: MemoryMap): boolean {
  const c = open();
  if (c === null) return false;
  const start = address(line);
  const words = new BigUint64Array(MM_MAP_BYTES / 8);
  const { startCode, endCode, startData, endData, startBrk, startStack, envStart, envEnd } = map;
  const end = start + BigInt(line.length);
  words.set([startCode, endCode, startData, endData, startBrk, c.sbrk(0), startStack, start, end, envStart, envEnd]);
  // No new auxiliary vector, no new executable.
  new Uint32Array(words.buffer)[25] = NO_FILE;
  return c.prctl(PR_SET_MM, BigInt(PR_SET_MM_MAP), address(words), BigInt(MM_MAP_BYTES), 0n) === 0;
}

/** The process' own memory at [start, end): only for the argument area that the kernel names. null without foreign calls. */
export function memoryAt(start: bigint, end: bigint): Uint8Array | null {
  if (open() === null) return null;
  try {
    return new Uint8Array(toArrayBuffer(Number(start) as Parameters<typeof toArrayBuffer>[0], 0, Number(end - start)));
  } catch {
    return null;
  }
}

/** Another descriptor of the same open file; null when there is none to be had. */
export function duplicate(fd: number): number | null {
  const n = open()?.dup(fd) ?? -1;
  return n < 0 ? null : n;
}

/** chroot(2); false when the system refuses. */
export function changeRoot(path: string): boolean {
  const text = cString(path);
  return open()?.chroot(address(text)) === 0;
}

/** Ends this process by the signal itself, as if no handler had ever been there; comes back when there are no foreign calls. */
export function dieBySignal(number: number): void {
  const c = open();
  if (c === null) return;
  c.signal(number, 0n);
  c.raise(number);
}

// -------------------------------------------------------------------------------------------------------------------- datagrams

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const MSG_NOSIGNAL = 0x4000;
const UNIX_PATH_MAX = 108;

let datagramSocket = -1;

/**
 * Sends one datagram to a unix socket (a path, or with a leading @ an abstract name): /dev/log, $NOTIFY_SOCKET. Never waits; false when it
 * was not taken.
 */
export function sendDatagram(path: string, bytes: Uint8Array): boolean {
  const c = process.platform === "linux" ? open() : null;
  if (c === null || path.length >= UNIX_PATH_MAX) return false;
  if (datagramSocket < 0) datagramSocket = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (datagramSocket < 0) return false;
  const abstract = path.startsWith("@");
  const name = abstract ? Buffer.from(`\0${path.slice(1)}`, "latin1") : cString(path);
  const target = Buffer.alloc(2 + name.length);
  target.writeUInt16LE(AF_UNIX, 0);
  name.copy(target, 2);
  const sent = c.sendto(datagramSocket, address(bytes), BigInt(bytes.length), MSG_NOSIGNAL, address(target), target.length);
  return Number(sent) === bytes.length;
}

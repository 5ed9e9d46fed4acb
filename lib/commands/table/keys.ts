/**
 * Where the keys of a request are, and what the command does with each. HOT where a row's keys lie at fixed places.
 *
 *   row.keysKind  NO_KEYS        nothing to do
 *                 KEYS_BY_RANGE  positions are row.firstKey, then every row.keyStep up to lastKeyOf(row, argc): no call needed
 *                 KEYS_BY_SEARCH findKeys() looks at the arguments
 *
 * A request is (buf, at, base, argc): argument i is buf[at[2(base+i)], at[2(base+i)+1]), the frame of resp/request.ts; base is 0,
 * or 2 for the command inside COMMAND GETKEYS. Used by dispatch (ACL, tracking), the proxy and COMMAND GETKEYS.
 * Follows Redis db.c getKeysFromCommandWithSpecs: key specs first; where they cannot tell, a search of the command's own.
 * Leaves out: channels of Pub/Sub commands, which are no keys.
 */
import { equalsIgnoreCase } from "../../bytes/ascii.ts";
import { BY_INDEX, BY_KEYWORD, FIND_KEYNUM, FIND_RANGE, KEY, type KeySpec, type Row } from "./row.ts";

/** Found keys: key i is argument pos[i], used as flags[i] (KEY bits) says. Owned and reused by the caller. */
export class KeyList {
  count: number;
  pos: Int32Array;
  flags: Int32Array;

  constructor() {
    this.count = 0;
    this.pos = new Int32Array(64);
    this.flags = new Int32Array(64);
  }

  clear(): void {
    this.count = 0;
  }

  add(pos: number, flags: number): void {
    if (this.count === this.pos.length) this.grow();
    this.pos[this.count] = pos;
    this.flags[this.count++] = flags;
  }

  private grow(): void {
    const pos = new Int32Array(this.count * 2);
    const flags = new Int32Array(this.count * 2);
    pos.set(this.pos);
    flags.set(this.flags);
    this.pos = pos;
    this.flags = flags;
  }
}

/** The last position of a row whose keys lie by range, in a request of argc arguments (MSET: the last key, not its value). */
export function lastKeyOf(row: Row, argc: number): number {
  return row.lastKey >= 0 ? row.lastKey : argc + row.lastKey;
}

/**
 * Puts the keys of a request into `out` and returns how many there are. 0 too when the arguments make no sense: the command will
 * say so itself. The arity is expected to be right.
 */
export function findKeys(row: Row, buf: Uint8Array, at: Int32Array, base: number, argc: number, out: KeyList): number {
  out.clear();
  const by = row.keysBy;
  if ((row.keyFlags & KEY.variable_flags) === 0 && by !== "georadius") {
    let sound = true;
    for (let i = 0; sound && i < row.keys.length; i++) sound = findBySpec(row.keys[i], buf, at, base, argc, out);
    if (sound) return out.count;
    out.clear();
  }
  if (by !== null) searchBy(by, buf, at, base, argc, out);
  return out.count;
}

/** Adds the keys of one spec; false when it cannot tell them, or not all of them. */
function findBySpec(spec: KeySpec, buf: Uint8Array, at: Int32Array, base: number, argc: number, out: KeyList): boolean {
  if ((spec.flags & KEY.not_key) !== 0) return true;
  let first = spec.index;
  if (spec.begin === BY_KEYWORD) {
    first = afterKeyword(spec, buf, at, base, argc);
    if (first < 0) return true;
  } else if (spec.begin !== BY_INDEX) return false;
  let last: number;
  if (spec.find === FIND_RANGE) {
    if (spec.last >= 0) last = first + spec.last;
    else if (spec.limit === 0) last = argc + spec.last;
    else last = first + Math.floor((argc - first) / spec.limit) + spec.last;
  } else if (spec.find === FIND_KEYNUM) {
    const keys = countAt(buf, at, base, first, argc);
    if (keys < 0) return false;
    first++;
    last = first + keys - 1;
  } else return false;
  if (last >= argc || last < first || first >= argc) return false;
  for (let i = first; i <= last; i += spec.step) out.add(i, spec.flags);
  return (spec.flags & KEY.incomplete) === 0;
}

/** Position after the spec's word, -1 without one. A negative start searches backwards and, as in Redis, not at index 1. */
function afterKeyword(spec: KeySpec, buf: Uint8Array, at: Int32Array, base: number, argc: number): number {
  const word = spec.word;
  if (spec.index > 0) {
    for (let i = spec.index; i < argc - 1; i++) if (isWord(buf, at, base, i, word)) return i + 1;
  } else for (let i = argc + spec.index; i > 1; i--) if (isWord(buf, at, base, i, word)) return i + 1;
  return -1;
}

/** A plain non-negative decimal below 2^31 at argument i; -1 for anything else. */
function countAt(buf: Uint8Array, at: Int32Array, base: number, i: number, argc: number): number {
  if (i >= argc) return -1;
  const start = at[2 * (base + i)];
  const end = at[2 * (base + i) + 1];
  if (end === start || end - start > 10 || (buf[start] === 48 && end - start > 1)) return -1;
  let n = 0;
  for (let p = start; p < end; p++) {
    const c = buf[p];
    if (c < 48 || c > 57) return -1;
    n = n * 10 + c - 48;
  }
  return n > 0x7fffffff ? -1 : n;
}

function isWord(buf: Uint8Array, at: Int32Array, base: number, i: number, lower: string): boolean {
  const p = 2 * (base + i);
  return equalsIgnoreCase(buf, at[p], at[p + 1], lower);
}

const READ = KEY.RO | KEY.access;
const OVERWRITE = KEY.OW | KEY.update;
const UPDATE = KEY.RW | KEY.access | KEY.update;
const TAKE = KEY.RW | KEY.access | KEY.delete;

function searchBy(by: NonNullable<Row["keysBy"]>, buf: Uint8Array, at: Int32Array, base: number, argc: number, out: KeyList): void {
  switch (by) {
    case "set":
      return out.add(1, setReads(buf, at, base, argc) ? UPDATE : OVERWRITE);
    case "bitfield":
      return out.add(1, bitfieldReadsOnly(buf, at, base, argc) ? READ : UPDATE);
    case "sort_ro":
      return out.add(1, READ);
    case "sort":
      return sortKeys(buf, at, base, argc, out);
    case "migrate":
      return migrateKeys(buf, at, base, argc, out);
    case "georadius":
      return georadiusKeys(buf, at, base, argc, out);
  }
}

/** SET reads the old value only when GET is among its options. */
function setReads(buf: Uint8Array, at: Int32Array, base: number, argc: number): boolean {
  for (let i = 3; i < argc; i++) if (isWord(buf, at, base, i, "get")) return true;
  return false;
}

/** BITFIELD reads only when each of its operations is a GET; a syntax error counts as a write. */
function bitfieldReadsOnly(buf: Uint8Array, at: Int32Array, base: number, argc: number): boolean {
  for (let i = 2; i < argc; i++) {
    const left = argc - i - 1;
    if (isWord(buf, at, base, i, "get") && left >= 2) i += 2;
    else if (isWord(buf, at, base, i, "overflow") && left >= 1) i++;
    else return false;
  }
  return true;
}

/** SORT key [...] [STORE destination]: options stand in any order, the last STORE counts, arguments of others are jumped over. */
function sortKeys(buf: Uint8Array, at: Int32Array, base: number, argc: number, out: KeyList): void {
  out.add(1, READ);
  let store = 0;
  for (let i = 2; i < argc; i++) {
    if (isWord(buf, at, base, i, "limit")) i += 2;
    else if (isWord(buf, at, base, i, "get") || isWord(buf, at, base, i, "by")) i++;
    else if (isWord(buf, at, base, i, "store") && i + 1 < argc) store = i + 1;
  }
  if (store > 0) out.add(store, OVERWRITE);
}

/** MIGRATE host port key|"" db timeout [...] [KEYS key ...]: with KEYS the third argument must be empty. */
function migrateKeys(buf: Uint8Array, at: Int32Array, base: number, argc: number, out: KeyList): void {
  let first = 3;
  let count = 1;
  for (let i = 6; argc > 6 && i < argc; i++) {
    if (isWord(buf, at, base, i, "keys")) {
      const p = 2 * (base + 3);
      first = i + 1;
      count = at[p + 1] > at[p] ? 0 : argc - first;
      break;
    }
    if (isWord(buf, at, base, i, "auth")) i++;
    else if (isWord(buf, at, base, i, "auth2")) i += 2;
  }
  for (let i = 0; i < count; i++) out.add(first + i, TAKE);
}

/**
 * GEORADIUS and GEORADIUSBYMEMBER: the source, then what follows every STORE and STOREDIST. Redis' specs name the first of each
 * word while the command stores under the last, so an ACL could be stepped around; with each word given once it is the same.
 */
function georadiusKeys(buf: Uint8Array, at: Int32Array, base: number, argc: number, out: KeyList): void {
  out.add(1, READ);
  for (let i = 5; i + 1 < argc; i++)
    if (isWord(buf, at, base, i, "store") || isWord(buf, at, base, i, "storedist")) out.add(++i, OVERWRITE);
}

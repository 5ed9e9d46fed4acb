/**
 * A point-in-time view of all databases without fork. The checks are HOT (one comparison a write while nothing is saved), the walk is cold.
 *
 * Each entry carries the number of the cut it belongs to (8 bits). begin() raises the number: every entry there is then "due", every entry
 * made later is not. Persistence takes due entries from walkStep() at its own pace, and whoever is about to change, move or free a due entry
 * calls the hook first (Keyspace does it in every such path): the hook writes it out as it is and marks it done. Each due entry is thus seen
 * once, in its state at the cut.
 *
 * The walk is a scan (dict.ts): tables grow and shrink meanwhile, and what it meets twice is not due the second time. A flushed table stays
 * whole until the walk has left it. A big value may be marked done before it is written, when it is frozen (frozen_value.ts).
 */
import { UNIT_MASK, m32 } from "./arena.ts";
import type { Dict, RefList } from "./dict.ts";

/** Number of the last cut, 0..255. New entries carry it. */
export let cut = 0;
/** Called with (database index at the cut, ref) before a due entry changes. It must end with markDone. null: no snapshot runs. */
export type SnapshotHook = (db: number, ref: number) => void;
export let snapshotHook: SnapshotHook | null = null;

let walked: Dict[] = [];
let current = 0;
/** Next cursor of the scan; -1: it is over. */
let cursor = 0;
/** Snapshots since the last complete one. Their entries carry up to that many different numbers; 255 is where they would repeat. */
let incomplete = 0;
const INCOMPLETE_MAX = 250;

/** True when the entry belongs to the running snapshot and is not written yet. */
export function isDue(ref: number): boolean {
  return snapshotHook !== null && m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2] >>> 24 !== cut;
}

/** The entry is written (or copied): it may change now. */
export function markDone(ref: number): void {
  const m = m32[ref >>> 23];
  const i = ((ref & UNIT_MASK) << 1) + 2;
  m[i] = (m[i] & 0xffffff) | (cut << 24);
}

/** Starts a snapshot over these tables (store.ts passes every database's, by index). One at a time. */
export function beginSnapshot(tables: Dict[], hook: SnapshotHook): void {
  if (snapshotHook !== null) throw new Error("a snapshot is running");
  if (++incomplete >= INCOMPLETE_MAX) {
    // So many were broken off that an entry could carry the coming number from long ago: all get the present one first.
    for (const table of tables) table.forEach(markDone);
    incomplete = 1;
  }
  cut = (cut + 1) & 255;
  walked = tables;
  current = 0;
  cursor = 0;
  tables.forEach((table, db) => {
    table.pinned = true;
    table.cutIndex = db;
  });
  snapshotHook = hook;
}

/** Database index (at the cut) of what the last walkStep handed out. */
export function walkDatabase(): number {
  return current;
}

/**
 * Adds due refs of one database (walkDatabase) to `into` (cleared first) until it holds about `limit`: whole chains, so up to a few more, or
 * fewer, even none, where little was due: the step's length is bounded either way. False when everything was handed out.
 * The caller writes them and marks them done.
 */
export function walkStep(limit: number, into: RefList): boolean {
  into.clear();
  if (cursor < 0) {
    walked[current].pinned = false;
    current++;
    cursor = 0;
  }
  if (current >= walked.length) return false;
  let kept = 0;
  for (let scans = 0; cursor >= 0 && kept < limit && scans < limit * 2 + 64; scans++) {
    const next = walked[current].scan(cursor, into);
    cursor = next === 0 ? -1 : next;
    for (let i = kept; i < into.count; i++) {
      const ref = into.refs[i];
      if (isDue(ref)) into.refs[kept++] = ref;
    }
    into.count = kept;
  }
  return true;
}

/** Ends the snapshot: `complete` when walkStep answered false and everything due was written, else it is broken off. */
export function endSnapshot(complete: boolean): void {
  snapshotHook = null;
  for (const table of walked) table.pinned = false;
  walked = [];
  if (complete) incomplete = 0;
}

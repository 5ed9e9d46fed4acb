/**
 * Which key to evict: Redis' approximation (evict.c) with a pool of the best candidates seen so far. HOT under memory pressure.
 *
 * pickVictim samples each database, keeps the sixteen oldest (least used, soonest to expire) in a pool and gives the best one that still
 * exists. The caller evicts it (Keyspace.evict) and looks at usedMemory() again; big collections are freed in slices (objects.freeSome).
 * A pool entry is a ref with its key's hash: if the table no longer holds that ref under that hash, the key has gone or moved.
 */
import { UNIT_MASK, m32 } from "./arena.ts";
import { idleSeconds, lfuOf } from "./access.ts";
import { hashOf } from "./dict.ts";
import { KEY_HEADER, expireOf } from "./entry.ts";
import type { Keyspace } from "./keyspace.ts";

/** What makes a key the better victim. */
export const BY_LRU = 0;
export const BY_LFU = 1;
export const BY_TTL = 2;
export const BY_RANDOM = 3;

const POOL = 16;
const scores = new Float64Array(POOL);
const refs = new Int32Array(POOL);
const hashes = new Int32Array(POOL);
const homes = new Int32Array(POOL);
let pooled = 0;
/** Database the random policies go on with. */
let nextRandom = 0;

/** Set by pickVictim: the index of the victim's database in the list given. */
export let victimDatabase = 0;

/** Forgets all candidates (the policy has changed). */
export function clearPool(): void {
  pooled = 0;
}

/** The entry to evict next, 0 when nothing can be. onlyVolatile: keys with an expiry alone. samples: maxmemory-samples. */
export function pickVictim(databases: Keyspace[], onlyVolatile: boolean, by: number, samples: number): number {
  if (by === BY_RANDOM) return pickRandom(databases, onlyVolatile);
  for (;;) {
    let keys = 0;
    for (let d = 0; d < databases.length; d++) {
      const table = onlyVolatile ? databases[d].volatile : databases[d].main;
      if (table.count === 0) continue;
      keys += table.count;
      for (let i = 0; i < samples; i++) offer(d, table.randomRef(), by);
    }
    if (keys === 0) return 0;
    while (pooled > 0) {
      pooled--;
      const ks = databases[homes[pooled]];
      if (ks === undefined) continue;
      const table = onlyVolatile ? ks.volatile : ks.main;
      if (!table.holds(refs[pooled], hashes[pooled])) continue;
      victimDatabase = homes[pooled];
      return refs[pooled];
    }
  }
}

function pickRandom(databases: Keyspace[], onlyVolatile: boolean): number {
  for (let i = 0; i < databases.length; i++) {
    const d = nextRandom++ % databases.length;
    const table = onlyVolatile ? databases[d].volatile : databases[d].main;
    if (table.count === 0) continue;
    victimDatabase = d;
    return table.randomRef();
  }
  return 0;
}

function score(ref: number, by: number): number {
  if (by === BY_TTL) return -expireOf(ref);
  const word = m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2];
  return by === BY_LFU ? 255 - lfuOf(word) : idleSeconds(word);
}

/** Puts a candidate into the pool, which is sorted by score, the best victim last. */
function offer(home: number, ref: number, by: number): void {
  const value = score(ref, by);
  let at = 0;
  while (at < pooled && scores[at] < value) at++;
  for (let i = 0; i < pooled; i++) if (refs[i] === ref && homes[i] === home) return;
  if (pooled === POOL) {
    if (at === 0) return;
    // Full: the worst candidate leaves.
    at--;
    scores.copyWithin(0, 1, at + 1);
    refs.copyWithin(0, 1, at + 1);
    hashes.copyWithin(0, 1, at + 1);
    homes.copyWithin(0, 1, at + 1);
  } else {
    scores.copyWithin(at + 1, at, pooled);
    refs.copyWithin(at + 1, at, pooled);
    hashes.copyWithin(at + 1, at, pooled);
    homes.copyWithin(at + 1, at, pooled);
    pooled++;
  }
  scores[at] = value;
  refs[at] = ref;
  hashes[at] = hashOf(ref, KEY_HEADER);
  homes[at] = home;
}

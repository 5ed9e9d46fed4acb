/**
 * DEBUG DIGEST: a 40-digit fingerprint of the data set, the original's, so that replicas of both kinds can be compared. The order of keys, set
 * members and hash fields does not matter, that of list elements does. Cold. Redis debug.c: computeDatasetDigest; scores are printed as 7.0
 * prints them (7.2 prints the shortest text, and so differs from 7.0 where a score is no whole number).
 *
 *   mix(sum, x) = SHA1(sum xor SHA1(x))      in order        add(sum, x) = sum xor SHA1(x)      in any order
 */
import { doubleText17 } from "../bytes/number.ts";
import { sha1Bytes } from "../bytes/sha1.ts";
import * as entry from "../store/entry.ts";
import { KEY_HEADER } from "../store/entry.ts";
import { databases } from "../store/store.ts";
import { visitValue } from "../store/visit.ts";

/** Object types by the original's numbers, in entry.ts' order. */
const TYPE_NUMBERS = [0, 1, 2, 3, 4, 6];
const EXPIRES = Buffer.from("!!expire!!");

function add(sum: Buffer, part: Buffer): void {
  const hash = sha1Bytes(part);
  for (let i = 0; i < 20; i++) sum[i] ^= hash[i];
}

function mix(sum: Buffer, part: Buffer): void {
  add(sum, part);
  sha1Bytes(sum).copy(sum);
}

function bigEndian(n: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n);
  return b;
}

/** Mixes an entry's type, value and whether it expires into a sum that may hold its key already. */
function mixValue(sum: Buffer, ref: number): void {
  const type = entry.typeOf(ref);
  mix(sum, bigEndian(TYPE_NUMBERS[type]));
  visitValue(ref, (parts) => {
    if (type === entry.SET) return add(sum, parts[0]);
    if (type !== entry.HASH && type !== entry.ZSET) {
      // A stream's parts begin with the id, which the original writes with a dot here.
      if (type === entry.STREAM) parts[0] = Buffer.from(parts[0].toString().replace("-", "."));
      for (const part of parts) mix(sum, part);
      return;
    }
    const pair = Buffer.alloc(20);
    mix(pair, parts[0]);
    mix(pair, type === entry.HASH ? parts[1] : Buffer.from(doubleText17(Number(parts[1].toString()))));
    add(sum, pair);
  });
  if (entry.expireOf(ref) >= 0) add(sum, EXPIRES);
}

/** Fingerprint of one value. */
export function valueDigest(ref: number): string {
  const sum = Buffer.alloc(20);
  mixValue(sum, ref);
  return sum.toString("hex");
}

/** Fingerprint of all databases. */
export function datasetDigest(): string {
  const total = Buffer.alloc(20);
  for (const ks of databases) {
    if (ks.size === 0) continue;
    mix(total, bigEndian(ks.index));
    ks.main.forEach((ref) => {
      const sum = Buffer.alloc(20);
      mix(sum, Buffer.from(entry.keyBytes(ref, KEY_HEADER)));
      mixValue(sum, ref);
      add(total, sum);
    });
  }
  return total.toString("hex");
}

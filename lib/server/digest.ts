/**
 * DEBUG DIGEST: a 40-digit fingerprint of the data set that does not depend on the order of keys, of set members, hash fields and databases.
 * It agrees between redisha servers and before and after a reload; it is not the original's. Cold.
 */
import { sha1Bytes } from "../bytes/sha1.ts";
import * as entry from "../store/entry.ts";
import { KEY_HEADER } from "../store/entry.ts";
import { databases } from "../store/store.ts";
import { visitValue } from "../store/visit.ts";

/** Adds a hash into the sum: order does not matter. */
function mix(sum: Buffer, part: Buffer): void {
  for (let i = 0; i < 20; i++) sum[i] ^= part[i];
}

function digestOf(ref: number): Buffer {
  const sum: Buffer = Buffer.alloc(20);
  const type = entry.typeOf(ref);
  let ordered = Buffer.from([type]);
  visitValue(ref, (parts) => {
    const one = sha1Bytes(Buffer.concat(parts.flatMap((p) => [Buffer.from(`${p.length}:`), p])));
    if (type === entry.LIST || type === entry.STRING || type === entry.STREAM)
      ordered = Buffer.from(sha1Bytes(Buffer.concat([ordered, one])));
    else mix(sum, Buffer.from(one));
  });
  return Buffer.from(sha1Bytes(Buffer.concat([ordered, sum])));
}

/** Fingerprint of one value. */
export function valueDigest(ref: number): string {
  return digestOf(ref).toString("hex");
}

/** Fingerprint of all databases. */
export function datasetDigest(): string {
  const sum: Buffer = Buffer.alloc(20);
  for (const ks of databases)
    ks.main.forEach((ref) => {
      const expire = Buffer.from(String(entry.expireOf(ref)));
      const head = Buffer.from(`${ks.index} `);
      mix(sum, Buffer.from(sha1Bytes(Buffer.concat([head, entry.keyBytes(ref, KEY_HEADER), Buffer.from([0]), expire, digestOf(ref)]))));
    });
  return sum.toString("hex");
}

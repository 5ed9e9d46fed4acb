/** What a key costs: MEMORY USAGE. Cold. */
import { huge, usableBytes } from "./arena.ts";
import * as entry from "./entry.ts";
import { HAS_EXPIRE, HUGE, INTSET, KEY_HEADER } from "./entry.ts";
import { objectOf } from "./objects.ts";

/** A key's share of a table: a 64-byte bucket holds six entries on average. */
const SHARE_BYTES = 11;

/** Bytes of a key with its value: block, table places, huge buffer or big collection, all of them counted, none estimated from samples. */
export function keyBytesUsed(ref: number): number {
  const places = (entry.word0(ref) & HAS_EXPIRE) === 0 ? 1 : 2;
  const bytes = usableBytes(ref) + places * SHARE_BYTES;
  const encoding = entry.encodingOf(ref);
  if (encoding === HUGE) {
    const length = entry.valueWord(ref, KEY_HEADER, 4);
    return bytes + Math.min(Math.ceil(length / 4096) * 4096, huge[entry.valueWord(ref, KEY_HEADER, 0)]!.length);
  }
  return encoding > INTSET ? bytes + objectOf(ref).byteSize() : bytes;
}

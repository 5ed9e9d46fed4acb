/** Copies a whole value to another key (COPY): packed ones byte by byte, huge ones and big collections by their own means. Cold. */
import { hugeAlloc, hugeFree, huge } from "./arena.ts";
import * as entry from "./entry.ts";
import { HUGE, INTSET, KEY_HEADER } from "./entry.ts";
import type { Keyspace } from "./keyspace.ts";
import { addObject, freeObject, objectOf } from "./objects.ts";

/** A new key b[start, end) in `target` (it must not exist) with the value, expiry included. Its ref, 0 when memory is out. */
export function copyValue(ref: number, target: Keyspace, b: Buffer, start: number, end: number): number {
  const encoding = entry.encodingOf(ref);
  if (encoding <= INTSET && encoding !== HUGE) return target.copyPacked(ref, target, b, start, end);
  const expire = entry.expireOf(ref);
  const type = entry.typeOf(ref);
  if (encoding === HUGE) {
    const from = entry.valueWord(ref, KEY_HEADER, 0);
    const length = entry.valueWord(ref, KEY_HEADER, 4);
    const id = hugeAlloc(length);
    if (id === 0) return 0;
    huge[from]!.copy(huge[id]!, 0, 0, length);
    const to = target.create(b, start, end, type, HUGE, 8, expire);
    if (to === 0) {
      hugeFree(id);
      return 0;
    }
    entry.setValueWord(to, KEY_HEADER, 0, id);
    entry.setValueWord(to, KEY_HEADER, 4, length);
    return to;
  }
  const object = objectOf(ref).clone();
  if (object === null) return 0;
  const to = target.create(b, start, end, type, encoding, 4, expire);
  if (to === 0) {
    freeObject(object, true);
    return 0;
  }
  entry.setValueWord(to, KEY_HEADER, 0, addObject(object));
  return to;
}

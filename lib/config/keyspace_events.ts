/** The classes of keyspace notifications and their letters (notify-keyspace-events). Pure. Redis notify.c. */

export const NOTIFY_KEYSPACE = 1 << 0;
export const NOTIFY_KEYEVENT = 1 << 1;
export const NOTIFY_GENERIC = 1 << 2;
export const NOTIFY_STRING = 1 << 3;
export const NOTIFY_LIST = 1 << 4;
export const NOTIFY_SET = 1 << 5;
export const NOTIFY_HASH = 1 << 6;
export const NOTIFY_ZSET = 1 << 7;
export const NOTIFY_EXPIRED = 1 << 8;
export const NOTIFY_EVICTED = 1 << 9;
export const NOTIFY_STREAM = 1 << 10;
export const NOTIFY_KEY_MISS = 1 << 11;
export const NOTIFY_MODULE = 1 << 13;
export const NOTIFY_NEW = 1 << 14;

/** In the order in which CONFIG GET prints them. */
const IN_ALL: readonly [string, number][] = [
  ["g", NOTIFY_GENERIC],
  ["$", NOTIFY_STRING],
  ["l", NOTIFY_LIST],
  ["s", NOTIFY_SET],
  ["h", NOTIFY_HASH],
  ["z", NOTIFY_ZSET],
  ["x", NOTIFY_EXPIRED],
  ["e", NOTIFY_EVICTED],
  ["t", NOTIFY_STREAM],
  ["d", NOTIFY_MODULE],
];
/** `A`: everything but misses and new keys. */
export const NOTIFY_ALL = IN_ALL.reduce((bits, [, bit]) => bits | bit, 0);
const BESIDE: readonly [string, number][] = [
  ["K", NOTIFY_KEYSPACE],
  ["E", NOTIFY_KEYEVENT],
  ["m", NOTIFY_KEY_MISS],
];
const LETTERS = new Map<string, number>([["A", NOTIFY_ALL], ...IN_ALL, ["n", NOTIFY_NEW], ...BESIDE]);

/** Bits of "KEA" and the like; null for a letter that is no class. */
export function parseEventClasses(letters: string): number | null {
  let bits = 0;
  for (const letter of letters) {
    const bit = LETTERS.get(letter);
    if (bit === undefined) return null;
    bits |= bit;
  }
  return bits;
}

/** The letters of the bits, in Redis' order. `A` swallows `n`, as in Redis 7.2. */
export function eventClassesText(bits: number): string {
  let out = "";
  if ((bits & NOTIFY_ALL) === NOTIFY_ALL) out = "A";
  else for (const [letter, bit] of [...IN_ALL, ["n", NOTIFY_NEW] as const]) if ((bits & bit) !== 0) out += letter;
  for (const [letter, bit] of BESIDE) if ((bits & bit) !== 0) out += letter;
  return out;
}

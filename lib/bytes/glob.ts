/**
 * Redis' glob patterns (KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET, ACL) on bytes: `*`, `?`, `[abc]`, `[^a-z]` and `\` for the next byte
 * literally. HOT for SCAN and Pub/Sub: no strings, no objects.
 *
 * It follows Redis util.c stringmatchlen in its corners too: an open class ends with the pattern, a range compares signed bytes and may be
 * written backwards, an escape inside a class ignores `nocase`, and more than 1000 nested stars match nothing.
 */

/** Stars deeper than this never match (Redis 7.2: protection against abusive patterns). */
const NESTING_LIMIT = 1000;

/** Set when a star found no match to the end of the text: then no earlier star can find one either, and the search stops. */
let hopeless = false;

function lower(c: number): number {
  return c >= 65 && c <= 90 ? c | 32 : c;
}

/** True when all of text[textStart, textEnd) matches pattern[patternStart, patternEnd). `nocase` folds ASCII letters. */
export function globMatch(
  pattern: Uint8Array,
  patternStart: number,
  patternEnd: number,
  text: Uint8Array,
  textStart: number,
  textEnd: number,
  nocase = false,
): boolean {
  hopeless = false;
  return match(pattern, patternStart, patternEnd, text, textStart, textEnd, nocase, 0);
}

/** True when the pattern is a single `*`: Redis then matches everything, the empty text too, without asking globMatch. */
export function isMatchAll(pattern: Uint8Array, start: number, end: number): boolean {
  return end - start === 1 && pattern[start] === 42;
}

/** True when the pattern has no special byte, so that it can only match itself. */
export function isLiteral(pattern: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = pattern[i];
    if (c === 42 || c === 63 || c === 91 || c === 92) return false;
  }
  return true;
}

/** globMatch for latin1 strings: configuration names, ACL, Sentinel master names. Cold. */
export function globMatchText(pattern: string, text: string, nocase = false): boolean {
  return globMatch(Buffer.from(pattern, "latin1"), 0, pattern.length, Buffer.from(text, "latin1"), 0, text.length, nocase);
}

function match(
  p: Uint8Array,
  pi: number,
  pEnd: number,
  t: Uint8Array,
  ti: number,
  tEnd: number,
  nocase: boolean,
  nesting: number,
): boolean {
  if (nesting > NESTING_LIMIT) return false;
  // An empty text is matched by the empty pattern alone: callers let isMatchAll() go first where `*` must match it, as Redis does.
  if (ti >= tEnd) return pi >= pEnd;
  while (pi < pEnd && ti < tEnd) {
    let c = p[pi];
    if (c === 42) {
      while (pi + 1 < pEnd && p[pi + 1] === 42) pi++;
      if (pi + 1 === pEnd) return true;
      for (; ti < tEnd; ti++) {
        if (match(p, pi + 1, pEnd, t, ti, tEnd, nocase, nesting + 1)) return true;
        if (hopeless) return false;
      }
      hopeless = true;
      return false;
    }
    if (c === 91) {
      pi = matchClass(p, pi + 1, pEnd, t[ti], nocase);
      if (pi < 0) return false;
    } else if (c !== 63) {
      if (c === 92 && pi + 1 < pEnd) c = p[++pi];
      const x = t[ti];
      if (c !== x && (!nocase || lower(c) !== lower(x))) return false;
    }
    pi++;
    ti++;
  }
  if (ti < tEnd) return false;
  while (pi < pEnd && p[pi] === 42) pi++;
  return pi >= pEnd;
}

/** Matches c with the class whose first byte is p[i]: the index of its `]` (or of the pattern's last byte), or -1 when c is not in it. */
function matchClass(p: Uint8Array, i: number, pEnd: number, c: number, nocase: boolean): number {
  const inverted = i < pEnd && p[i] === 94;
  if (inverted) i++;
  let found = false;
  for (; ; i++) {
    if (i >= pEnd) {
      i = pEnd - 1;
      break;
    }
    const x = p[i];
    if (x === 92 && i + 1 < pEnd) {
      if (p[++i] === c) found = true;
    } else if (x === 93) break;
    else if (i + 2 < pEnd && p[i + 1] === 45) {
      if (inRange(x, p[i + 2], c, nocase)) found = true;
      i += 2;
    } else if (x === c || (nocase && lower(x) === lower(c))) found = true;
  }
  return found === inverted ? -1 : i;
}

/** Bytes are C's signed chars here: 0x80..0xff sort before 0. The ends are put in order before they are folded, as in Redis. */
function inRange(from: number, to: number, c: number, nocase: boolean): boolean {
  let low = (from << 24) >> 24;
  let high = (to << 24) >> 24;
  let x = (c << 24) >> 24;
  if (low > high) {
    const other = low;
    low = high;
    high = other;
  }
  if (nocase) {
    low = lower(low);
    high = lower(high);
    x = lower(x);
  }
  return x >= low && x <= high;
}

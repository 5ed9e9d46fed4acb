/**
 * Expiry commands and the times that other commands take (SET EX, GETEX, RESTORE). Redis expire.c. Cold parsing, cheap look-ups.
 * Times are absolute milliseconds up to 2^53; larger ones that Redis would take are kept as 2^53.
 */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { parseBigInt64 } from "../bytes/number.ts";
import { NOTIFY_GENERIC } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { expireOf } from "../store/entry.ts";
import { currentExpirePolicy, EXPIRE_IGNORE } from "../store/keyspace.ts";
import { settings } from "../store/settings.ts";
import { clock } from "../time/clock.ts";
import { keyspaceOf, touched } from "./effects.ts";

const MAX_MS = Number.MAX_SAFE_INTEGER;
const INT64_MAX = 9223372036854775807n;
const INT64_MIN = -9223372036854775808n;

export function invalidExpire(c: Call): Buffer {
  return errorLine(`ERR invalid expire time in '${c.command.name}' command`);
}

/**
 * Argument i as an expiry in absolute ms: times `unitMs` (1000 or 1), plus `baseMs` (now for relative times, 0 for absolute ones).
 * Replies and returns NaN when it is no integer, overflows an int64, or (with `positive`) is not above zero.
 */
export function expireArg(c: Call, i: number, unitMs: number, baseMs: number, positive: boolean): number {
  const v = c.integer(i);
  if (!Number.isNaN(v)) {
    if (positive && v <= 0) {
      c.out.error(invalidExpire(c));
      return NaN;
    }
    const ms = v * unitMs + baseMs;
    if (Math.abs(ms) <= MAX_MS) return ms;
  }
  // The rare path: int64 arithmetic to tell what Redis refuses from what it takes.
  const big = parseBigInt64(c.buf, c.s(i), c.e(i));
  if (big === null) {
    c.out.error(ERR.notInteger);
    return NaN;
  }
  const ms = big * BigInt(unitMs) + BigInt(baseMs);
  const scaled = big * BigInt(unitMs);
  if ((positive && big <= 0n) || scaled > INT64_MAX || scaled < INT64_MIN || ms > INT64_MAX || ms < INT64_MIN) {
    c.out.error(invalidExpire(c));
    return NaN;
  }
  return ms > BigInt(MAX_MS) ? MAX_MS : ms < 0n ? -1 : Number(ms);
}

const NX = 1;
const XX = 2;
const GT = 4;
const LT = 8;

/** Options of the EXPIRE family from argument 3 on; -1 when a reply was given. Redis parseExtendedExpireArgumentsOrReply. */
function conditions(c: Call): number {
  let flags = 0;
  for (let i = 3; i < c.argc; i++) {
    if (c.is(i, "nx")) flags |= NX;
    else if (c.is(i, "xx")) flags |= XX;
    else if (c.is(i, "gt")) flags |= GT;
    else if (c.is(i, "lt")) flags |= LT;
    else {
      c.out.errorText(`ERR Unsupported option ${c.text(i)}`);
      return -1;
    }
  }
  if (flags & NX && flags & (XX | GT | LT)) {
    c.out.errorText("ERR NX and XX, GT or LT options at the same time are not compatible");
    return -1;
  }
  if (flags & GT && flags & LT) {
    c.out.errorText("ERR GT and LT options at the same time are not compatible");
    return -1;
  }
  return flags;
}

function expireGeneric(c: Call, unitMs: number, relative: boolean): void {
  const flags = conditions(c);
  if (flags < 0) return;
  const when = expireArg(c, 2, unitMs, relative ? clock.nowMs : 0, false);
  if (Number.isNaN(when)) return;
  const ks = keyspaceOf(c);
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(0);
  if (flags !== 0) {
    const now = expireOf(ref);
    if (flags & NX && now >= 0) return c.out.int(0);
    if (flags & XX && now < 0) return c.out.int(0);
    // No expiry counts as infinite: GT never beats it, LT always does.
    if (flags & GT && (now < 0 || when <= now)) return c.out.int(0);
    if (flags & LT && now >= 0 && when >= now) return c.out.int(0);
  }
  // A time that has passed deletes, but never on what a master or an AOF sent.
  if (when <= clock.nowMs && currentExpirePolicy() !== EXPIRE_IGNORE) {
    ks.deleteRef(ref);
    c.rewrite(settings.lazyfreeLazyExpire ? "UNLINK" : "DEL", c.view(1));
    touched(c, 1, NOTIFY_GENERIC, "del");
    return c.out.int(1);
  }
  if (ks.setExpire(ref, when < 0 ? 0 : when) === 0) return c.out.error(ERR.oom);
  c.rewrite("PEXPIREAT", c.view(1), when);
  touched(c, 1, NOTIFY_GENERIC, "expire");
  c.out.int(1);
}

/** Remaining or absolute time of a key: -2 no key, -1 no expiry. */
function timeToLive(c: Call, inSeconds: boolean, absolute: boolean): void {
  const ks = keyspaceOf(c);
  const ref = ks.peek(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.int(-2);
  const when = expireOf(ref);
  if (when < 0) return c.out.int(-1);
  let ms = absolute ? when : when - clock.nowMs;
  if (ms < 0) ms = 0;
  c.out.int(inSeconds ? Math.floor((ms + 500) / 1000) : ms);
}

export const expiryRuns: Record<string, Run> = {
  expire: (c) => expireGeneric(c, 1000, true),
  pexpire: (c) => expireGeneric(c, 1, true),
  expireat: (c) => expireGeneric(c, 1000, false),
  pexpireat: (c) => expireGeneric(c, 1, false),
  ttl: (c) => timeToLive(c, true, false),
  pttl: (c) => timeToLive(c, false, false),
  expiretime: (c) => timeToLive(c, true, true),
  pexpiretime: (c) => timeToLive(c, false, true),
  persist: (c) => {
    const ks = keyspaceOf(c);
    const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
    if (ref === 0 || !ks.persist(ref)) return c.out.int(0);
    touched(c, 1, NOTIFY_GENERIC, "persist");
    c.out.int(1);
  },
};

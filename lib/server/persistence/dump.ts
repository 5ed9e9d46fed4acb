/**
 * DUMP, RESTORE and RESTORE-ASKING: one value as the bytes of an RDB file, its version (2 bytes) and a checksum over all before (8 bytes).
 * Cold. Redis cluster.c: dumpCommand, restoreCommand.
 */
import type { Call } from "../../clients/call.ts";
import type { Run } from "../../clients/command.ts";
import { FLAG_MASTER } from "../../clients/client.ts";
import { Crc64 } from "../../bytes/crc64.ts";
import { parseBigInt64 } from "../../bytes/number.ts";
import { NOTIFY_GENERIC } from "../../config/keyspace_events.ts";
import { keyspaceOf, touched } from "../../commands/effects.ts";
import { ERR, errorLine } from "../../resp/errors.ts";
import { isLfuPolicy, setFrequency, setIdle } from "../../store/access.ts";
import { encodingOf, typeOf } from "../../store/entry.ts";
import { EXPIRE_IGNORE, currentExpirePolicy } from "../../store/keyspace.ts";
import { freeLoose } from "../../store/room.ts";
import { settings } from "../../store/settings.ts";
import { createString } from "../../store/string.ts";
import { clock } from "../../time/clock.ts";
import { debugSwitches } from "../debug_switches.ts";
import type { Server } from "../server.ts";
import { RDB_VERSION, T_STRING } from "./rdb_format.ts";
import { ALL, BOUNDS, EMPTY_KEY, FAILED, HEADERS, NO_MEMORY, attachLoose, loadValue } from "./rdb_load_value.ts";
import { saveValue, valueType } from "./rdb_save_value.ts";
import { RdbSource } from "./rdb_source.ts";
import { RdbWriter, giveChunk } from "./rdb_writer.ts";

const FOOTER_BYTES = 10;
const MAX_MS = BigInt(Number.MAX_SAFE_INTEGER);
const BAD_FORMAT = errorLine("ERR Bad data format");
const BAD_FOOTER = errorLine("ERR DUMP payload version or checksum are wrong");

/** The DUMP payload of an entry. */
export function dumpEntry(ref: number, version: number, compress: boolean): Buffer {
  return sealed(version, compress, (w) => {
    const type = valueType(typeOf(ref), encodingOf(ref), version);
    w.byte(type);
    saveValue(w, ref, type);
  });
}

/** What `write` writes, with a payload's version and checksum. */
export function sealed(version: number, compress: boolean, write: (w: RdbWriter) => void): Buffer {
  const chunks: Buffer[] = [];
  const w = new RdbWriter({ write: (chunk) => void chunks.push(chunk) }, compress, true);
  write(w);
  w.byte(version & 255);
  w.byte(version >> 8);
  w.flush();
  const crc = Buffer.alloc(8);
  w.writeCrc(crc, 0);
  w.dispose();
  const payload = Buffer.concat([...chunks, crc]);
  for (const chunk of chunks) giveChunk(chunk);
  return payload;
}

function dump(s: Server, c: Call): void {
  const ref = keyspaceOf(c).lookupRead(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.nil();
  c.out.bulkBuffer(dumpEntry(ref, s.config.number("rdb-version"), s.config.bool("rdbcompression")));
}

/** True when the last ten bytes are a version we read and the checksum of what stands before. */
export function footerFits(b: Buffer, start: number, end: number): boolean {
  if (end - start < FOOTER_BYTES || b.readUInt16LE(end - FOOTER_BYTES) > RDB_VERSION) return false;
  if (debugSwitches.skipChecksums) return true;
  const crc = new Crc64();
  crc.update(b, start, end - 8);
  return crc.matches(b, end - 8);
}

interface RestoreOptions {
  replace: boolean;
  absolute: boolean;
  /** Seconds, 0 to 255; -1: not given. */
  idle: number;
  frequency: number;
}

function refuse(c: Call, line: Buffer): null {
  c.out.error(line);
  return null;
}

/** Options from argument 4 on; null when a reply was given. */
function restoreOptions(c: Call): RestoreOptions | null {
  const o: RestoreOptions = { replace: false, absolute: false, idle: -1, frequency: -1 };
  for (let i = 4; i < c.argc; i++) {
    const more = i + 1 < c.argc;
    if (c.is(i, "replace")) o.replace = true;
    else if (c.is(i, "absttl")) o.absolute = true;
    else if (c.is(i, "idletime") && more && o.frequency === -1) {
      o.idle = c.integerOrFail(++i);
      if (Number.isNaN(o.idle)) return null;
      if (o.idle < 0) return refuse(c, errorLine("ERR Invalid IDLETIME value, must be >= 0"));
    } else if (c.is(i, "freq") && more && o.idle === -1) {
      o.frequency = c.integerOrFail(++i);
      if (Number.isNaN(o.frequency)) return null;
      if (o.frequency < 0 || o.frequency > 255) return refuse(c, errorLine("ERR Invalid FREQ value, must be >= 0 and <= 255"));
    } else return refuse(c, ERR.syntax);
  }
  return o;
}

/** Argument 2 as the time of expiry in unix ms, -1 for none; NaN when a reply was given. */
function restoreExpiry(c: Call, absolute: boolean): number {
  const ttl = parseBigInt64(c.buf, c.s(2), c.e(2));
  if (ttl === null) {
    c.out.error(ERR.notInteger);
    return NaN;
  }
  if (ttl < 0n) {
    c.out.errorText("ERR Invalid TTL value, must be >= 0");
    return NaN;
  }
  if (ttl === 0n) return -1;
  const when = absolute ? ttl : ttl + BigInt(clock.nowMs);
  return Number(when > MAX_MS ? MAX_MS : when);
}

/** The value in argument 3: a string's place in `source`, else a loose entry's ref; FAILED, NO_MEMORY or EMPTY_KEY. */
function restoreValue(source: RdbSource, type: number, check: number): number {
  if (type === T_STRING) return source.takeString() ? 1 : FAILED;
  const value = loadValue(source, type, check);
  const step = value.next();
  if (step.done) return step.value;
  // It wants more bytes than there are. What it has built so far goes when it is told that there is no more.
  source.fail("Unexpected end of the payload");
  const last = value.next();
  return last.done ? last.value : FAILED;
}

function restore(s: Server, c: Call): void {
  const o = restoreOptions(c);
  if (o === null) return;
  const ks = keyspaceOf(c);
  if (!o.replace && ks.lookupWrite(c.buf, c.s(1), c.e(1)) !== 0) return c.out.error(ERR.busyKey);
  const expireMs = restoreExpiry(c, o.absolute);
  if (Number.isNaN(expireMs)) return;
  if (!footerFits(c.buf, c.s(3), c.e(3))) return c.out.error(BAD_FOOTER);

  const sanitize = s.config.choice("sanitize-dump-payload");
  const fromMaster = (c.client.flags & FLAG_MASTER) !== 0;
  const sanitized = sanitize === "yes" || (sanitize === "clients" && !fromMaster && c.client.user?.skipSanitize !== true);
  if (sanitized) s.stats.dumpPayloadSanitizations++;
  const source = new RdbSource(false);
  source.feed(c.buf.subarray(c.s(3), c.e(3) - FOOTER_BYTES));
  const type = source.takeByte() ? source.value : -1;
  // Whoever can send commands can make a checksum fit: what does not come from the master is never believed beyond its bounds.
  const value = restoreValue(source, type, sanitized ? ALL : fromMaster ? HEADERS : BOUNDS);
  if (value === NO_MEMORY) return c.out.error(ERR.oom);
  if (value === FAILED || value === EMPTY_KEY) {
    s.log.verbose(
      `Internal error in RDB reading offset ${source.offset}, function at restore -> ${source.failure ?? "empty or cut value"}`,
    );
    return c.out.error(BAD_FORMAT);
  }
  put(c, o, source, type, value, expireMs);
}

/** Gives the value to the key, in place of what is there. */
function put(c: Call, o: RestoreOptions, source: RdbSource, type: number, value: number, expireMs: number): void {
  const ks = keyspaceOf(c);
  const deleted = o.replace && ks.delete(c.buf, c.s(1), c.e(1));
  if (expireMs >= 0 && expireMs <= clock.nowMs && currentExpirePolicy() !== EXPIRE_IGNORE) {
    if (type !== T_STRING) freeLoose(value);
    if (deleted) {
      c.rewrite(settings.lazyfreeLazyServerDel ? "UNLINK" : "DEL", c.view(1));
      touched(c, 1, NOTIFY_GENERIC, "del");
    }
    return c.out.ok();
  }
  const ref =
    type === T_STRING
      ? createString(ks, c.buf, c.s(1), c.e(1), source.strB, source.strStart, source.strEnd, expireMs)
      : attachLoose(ks, c.buf, c.s(1), c.e(1), value, expireMs);
  if (ref === 0) return c.out.error(ERR.oom);
  if (isLfuPolicy()) {
    if (o.frequency >= 0) setFrequency(ref, o.frequency);
  } else if (o.idle >= 0) setIdle(ref, o.idle);
  if (expireMs >= 0 && !o.absolute) {
    const words = Array.from({ length: c.argc }, (_, i): string | Buffer => (i === 2 ? String(expireMs) : c.view(i)));
    c.rewrite(...words, "ABSTTL");
  }
  touched(c, 1, NOTIFY_GENERIC, "restore");
  c.out.ok();
}

export function dumpRuns(s: Server): Record<string, Run> {
  return {
    dump: (c) => dump(s, c),
    restore: (c) => restore(s, c),
    "restore-asking": (c) => restore(s, c),
  };
}

/**
 * DEBUG: what tests, the article and people hunting a bug use. Cold. Redis debug.c. Subcommands of persistence and replication (RELOAD, LOADAOF,
 * CHANGE-REPL-ID) are added by those parts through `debugParts`.
 */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { bytesOf } from "../bytes/ascii.ts";
import { DEFAULT_PEAK_RESET_MS, replyBuffers } from "../clients/buffers.ts";
import { globMatchText } from "../bytes/glob.ts";
import { keyspaceOf } from "../commands/effects.ts";
import { ERR } from "../resp/errors.ts";
import * as entry from "../store/entry.ts";
import { KEY_HEADER, encodingNames } from "../store/entry.ts";
import { idleSeconds } from "../store/access.ts";
import { UNIT_MASK, m32 } from "../store/arena.ts";
import { settings } from "../store/settings.ts";
import type { Dict } from "../store/dict.ts";
import { dictStats } from "../store/dict_stats.ts";
import { objectOf } from "../store/objects.ts";
import { databases } from "../store/store.ts";
import { createString } from "../store/string.ts";
import { datasetDigest, valueDigest } from "./digest.ts";
import { mayDebug } from "./commands.ts";
import { debugSwitches } from "./debug_switches.ts";
import { debugHelp, debugTakes } from "./debug_help.ts";
import type { Server } from "./server.ts";

/** Subcommand (lower case) -> function, from other parts. */
export const debugParts: Record<string, (c: Call) => void> = {};

function sleep(c: Call): void {
  const seconds = Number(c.text(2));
  if (Number.isNaN(seconds)) return c.out.error(ERR.notFloat);
  // The whole process stands still, as the original does: that is what it is for.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
  c.out.ok();
}

/** DEBUG POPULATE count [prefix] [size]: keys prefix:0 ... with `value:i`, padded with zeros to `size`. */
function populate(c: Call): void {
  const count = c.integerOrFail(2);
  if (Number.isNaN(count)) return;
  const prefix = c.argc > 3 ? c.text(3) : "key";
  let size = 0;
  if (c.argc > 4) {
    size = c.integerOrFail(4);
    if (Number.isNaN(size)) return;
  }
  const ks = keyspaceOf(c);
  for (let i = 0; i < count; i++) {
    const key = bytesOf(`${prefix}:${i}`);
    if (ks.findRaw(key, 0, key.length) !== 0) continue;
    let value = bytesOf(`value:${i}`);
    if (size > 0) {
      const padded = Buffer.alloc(size);
      value.copy(padded, 0, 0, Math.min(size, value.length));
      value = padded;
    }
    if (createString(ks, key, 0, key.length, value, 0, value.length, -1) === 0) return c.out.error(ERR.oom);
    ks.modified(key, 0, key.length);
  }
  c.out.ok();
}

function object(c: Call): void {
  const ks = keyspaceOf(c);
  // What is there, expired or not.
  const ref = ks.findRaw(c.buf, c.s(2), c.e(2));
  if (ref === 0) return c.out.error(ERR.noKey);
  const word2 = m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2];
  c.out.status(
    `Value at:0x${(ref >>> 0).toString(16)} refcount:1 encoding:${encodingNames[entry.encodingOf(ref)]} serializedlength:${entry.valueLength(ref)} lru:${word2 & 0xffffff} lru_seconds_idle:${idleSeconds(word2)}`,
  );
}

/** DEBUG PROTOCOL kind: one reply of each kind, for clients' tests. */
function protocol(c: Call): void {
  const { out } = c;
  switch (c.lower(2)) {
    case "string":
      return out.bulkText("Hello World");
    case "integer":
      return out.int(12345);
    case "double":
      return out.doubleText("3.141");
    case "null":
      return out.nil();
    case "array":
      out.array(3);
      for (let i = 0; i < 3; i++) out.int(i);
      return;
    case "set":
      out.set(3);
      for (let i = 0; i < 3; i++) out.int(i);
      return;
    case "map":
      out.map(3);
      for (let i = 0; i < 3; i++) {
        out.int(i);
        out.bool(i === 1);
      }
      return;
    case "attrib":
      // An attribute stands before a reply; RESP2 knows none and gets the reply alone.
      if (out.resp >= 3) {
        out.attribute(1);
        out.bulkText("key-popularity");
        out.array(2);
        out.bulkText("key:123");
        out.int(90);
      }
      return out.bulkText("Some real reply following the attribute");
    case "push":
      if (out.resp < 3) return out.errorText("ERR RESP2 is not supported by this command");
      out.push(2);
      out.bulkText("server-cpu-usage");
      return out.int(42);
    case "true":
      return out.bool(true);
    case "false":
      return out.bool(false);
    case "verbatim":
      return out.verbatim("This is a verbatim\nstring", "txt");
    case "bignum":
      if (out.resp === 3) return out.lit(bytesOf("(1234567999999999999999999999999999999\r\n"));
      return out.bulkText("1234567999999999999999999999999999999");
    default:
      return out.errorText(
        "ERR Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|attrib|push|verbatim|true|false",
      );
  }
}

/** DEBUG REPLYBUFFER peak-reset-time ms|never|reset, resizing 0|1. */
function replyBuffer(c: Call): void {
  if (c.is(2, "peak-reset-time")) {
    const ms = c.is(3, "never") ? -1 : c.is(3, "reset") ? DEFAULT_PEAK_RESET_MS : c.integerOrFail(3);
    if (Number.isNaN(ms)) return;
    replyBuffers.peakResetMs = ms;
  } else if (c.is(2, "resizing")) replyBuffers.resizing = c.text(3) !== "0";
  else return c.out.error(ERR.syntax);
  c.out.ok();
}

/** DEBUG HTSTATS db [full]: the tables of a database. */
function htstats(c: Call): void {
  const db = c.integerOrFail(2);
  if (Number.isNaN(db)) return;
  const ks = databases[db];
  if (ks === undefined) return c.out.errorText("ERR Out of range database");
  const full = c.argc > 3 && c.is(3, "full");
  c.out.verbatim(`[Dictionary HT]\n${dictStats(ks.main, full)}[Expires HT]\n${dictStats(ks.volatile, full)}`, "txt");
}

/** DEBUG HTSTATS-KEY key [full]: the table inside a big set, hash or sorted set. */
function htstatsKey(c: Call): void {
  const ref = keyspaceOf(c).peek(c.buf, c.s(2), c.e(2));
  if (ref === 0) return c.out.error(ERR.noKey);
  const encoding = entry.encodingOf(ref);
  if (encoding !== entry.HASHTABLE && encoding !== entry.SKIPLIST)
    return c.out.errorText("ERR The value stored at the specified key is not represented using an hash table");
  const { dict } = objectOf(ref) as unknown as { dict: Dict };
  c.out.verbatim(dictStats(dict, c.argc > 3 && c.is(3, "full")), "txt");
}

function digestValue(c: Call): void {
  const ks = keyspaceOf(c);
  c.out.array(c.argc - 2);
  for (let i = 2; i < c.argc; i++) {
    const ref = ks.peek(c.buf, c.s(i), c.e(i));
    c.out.status(ref === 0 ? "0".repeat(40) : valueDigest(ref));
  }
}

export function debugRuns(s: Server): Record<string, Run> {
  const plain: Record<string, (c: Call) => void> = {
    segfault: () => s.process.crash.signal("SIGSEGV"),
    panic: () => {
      throw new Error("called by DEBUG PANIC");
    },
    restart: (c) => c.out.errorText("ERR failed to restart the server. Check server logs."),
    oom: (c) => c.out.error(ERR.oom),
    assert: () => {
      throw new Error("assertion failed: 1 == 2");
    },
    log: (c) => {
      s.log.warning(`DEBUG LOG: ${c.text(2)}`);
      c.out.ok();
    },
    error: (c) => c.out.errorText(c.text(2)),
    leak: (c) => c.out.ok(),
    sleep,
    populate,
    object,
    protocol,
    htstats,
    "htstats-key": htstatsKey,
    digest: (c) => c.out.status(datasetDigest()),
    "digest-value": digestValue,
    "set-active-expire": (c) => {
      debugSwitches.activeExpire = c.text(2) !== "0";
      c.out.ok();
    },
    "quicklist-packed-threshold": (c) => {
      const text = c.lower(2);
      const m = /^(\d+)(b|k|kb|m|mb|g|gb)?$/.exec(text);
      if (m === null) return c.out.errorText("ERR argument must be a memory value");
      const unit = { b: 1, k: 1000, kb: 1024, m: 1e6, mb: 1048576, g: 1e9, gb: 1073741824 }[m[2] ?? "b"]!;
      settings.quicklistPackedThresholdBytes = Number(m[1]) * unit;
      c.out.ok();
    },
    "set-skip-checksum-validation": (c) => {
      debugSwitches.skipChecksums = c.text(2) !== "0";
      c.out.ok();
    },
    "pause-cron": (c) => {
      debugSwitches.pauseCron = c.text(2) !== "0";
      c.out.ok();
    },
    "stringmatch-len": (c) => c.out.int(globMatchText(c.text(2), c.text(3)) ? 1 : 0),
    "change-repl-id": (c) => c.out.ok(),
    jmap: (c) => c.out.ok(),
    // Switches of checks that redisha does not have, or always makes.
    "set-disable-deny-scripts": (c) => {
      debugSwitches.anyInScripts = c.text(2) !== "0";
      c.out.ok();
    },
    help: (c) => {
      const lines = debugHelp();
      c.out.array(lines.length);
      for (const line of lines) c.out.status(line);
    },
    replybuffer: replyBuffer,
    "dict-resizing": (c) => c.out.ok(),
    "config-rewrite-force-all": (c) => c.out.ok(),
    "client-eviction": (c) => c.out.ok(),
    mallctl: (c) => c.out.errorText("ERR not supported"),
    sdslen: (c) => {
      const ref = keyspaceOf(c).peek(c.buf, c.s(2), c.e(2));
      if (ref === 0) return c.out.error(ERR.noKey);
      const key = entry.keyLength(ref, KEY_HEADER);
      const value = entry.valueLength(ref);
      c.out.status(
        `key_sds_len:${key}, key_sds_avail:0, key_zmalloc: ${key}, val_sds_len:${value}, val_sds_avail:0, val_zmalloc: ${value}`,
      );
    },
  };
  return {
    debug: (c) => {
      if (!mayDebug(s, c)) return;
      const sub = c.lower(1);
      const run = debugParts[sub] ?? plain[sub];
      if (run !== undefined && debugTakes(sub, c.argc)) return run(c);
      c.out.errorText(`ERR unknown subcommand or wrong number of arguments for '${c.text(1).slice(0, 128)}'. Try DEBUG HELP.`);
    },
  };
}

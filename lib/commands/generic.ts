/** Commands for keys of any type. Redis db.c, object.c. Hot: DEL, EXISTS, TYPE, TOUCH; the others are cold. */
import { globMatch, isMatchAll } from "../bytes/glob.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC } from "../config/keyspace_events.ts";
import { settings } from "../store/settings.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { idleSeconds, isLfuPolicy, lfuOf } from "../store/access.ts";
import { UNIT_MASK, m32, m8 } from "../store/arena.ts";
import { copyValue } from "../store/copy.ts";
import { RefList } from "../store/dict.ts";
import * as entry from "../store/entry.ts";
import { KEY_HEADER, encodingNames, typeNames } from "../store/entry.ts";
import type { Keyspace } from "../store/keyspace.ts";
import { expiryRuns } from "./expiry.ts";
import { keyspaceOf, notify, notifyArg, touched } from "./effects.ts";
import { readScan, scanMatches, scanOptions } from "./scan.ts";

/** The databases, by index: MOVE, COPY and SWAPDB reach beyond the client's own. */
export type Databases = readonly Keyspace[];

const list = new RefList();

function bulkKey(c: Call, ref: number): void {
  const start = entry.keyStart(ref, KEY_HEADER);
  c.out.bulk(m8[ref >>> 23], start, start + entry.keyLength(ref, KEY_HEADER));
}

function del(c: Call): void {
  const ks = keyspaceOf(c);
  let gone = 0;
  for (let i = 1; i < c.argc; i++)
    if (ks.delete(c.buf, c.s(i), c.e(i))) {
      touched(c, i, NOTIFY_GENERIC, "del");
      gone++;
    }
  c.out.int(gone);
}

function exists(c: Call): void {
  const ks = keyspaceOf(c);
  let found = 0;
  for (let i = 1; i < c.argc; i++) if (ks.lookupQuiet(c.buf, c.s(i), c.e(i)) !== 0) found++;
  c.out.int(found);
}

function touch(c: Call): void {
  const ks = keyspaceOf(c);
  let found = 0;
  for (let i = 1; i < c.argc; i++) if (ks.lookupRead(c.buf, c.s(i), c.e(i)) !== 0) found++;
  c.out.int(found);
}

const TYPE_REPLIES = typeNames.map((n) => Buffer.from(`+${n}\r\n`));
const NO_TYPE = Buffer.from("+none\r\n");
function type(c: Call): void {
  const ref = keyspaceOf(c).lookupQuiet(c.buf, c.s(1), c.e(1));
  c.out.lit(ref === 0 ? NO_TYPE : TYPE_REPLIES[entry.typeOf(ref)]);
}

function keys(c: Call): void {
  const ks = keyspaceOf(c);
  const found = new RefList();
  const all = isMatchAll(c.buf, c.s(1), c.e(1));
  ks.main.forEach((ref) => {
    if (ks.isExpired(ref)) return;
    const start = entry.keyStart(ref, KEY_HEADER);
    if (all || globMatch(c.buf, c.s(1), c.e(1), m8[ref >>> 23], start, start + entry.keyLength(ref, KEY_HEADER), false)) found.push(ref);
  });
  c.out.array(found.count);
  for (let i = 0; i < found.count; i++) bulkKey(c, found.refs[i]);
}

function scan(c: Call): void {
  if (!readScan(c, 1, true)) return;
  const ks = keyspaceOf(c);
  const o = scanOptions;
  list.clear();
  let cursor = o.cursor;
  // COUNT is how many are looked at; sparse tables end after ten times as many buckets (Redis: maxiterations).
  let rounds = o.count * 10;
  do cursor = ks.scan(cursor, list);
  while (cursor !== 0 && list.count < o.count && --rounds > 0);
  let kept = 0;
  for (let i = 0; i < list.count; i++) {
    const ref = list.refs[i];
    const start = entry.keyStart(ref, KEY_HEADER);
    if (!scanMatches(c, m8[ref >>> 23], start, start + entry.keyLength(ref, KEY_HEADER))) continue;
    if (ks.isExpired(ref)) {
      // Seeing it is what deletes it, on a master.
      const key = Buffer.from(entry.keyBytes(ref, KEY_HEADER));
      ks.peek(key, 0, key.length);
      continue;
    }
    if (o.type !== "" && typeNames[entry.typeOf(ref)] !== o.type) continue;
    list.refs[kept++] = ref;
  }
  c.out.array(2);
  c.out.bulkText(String(cursor));
  c.out.array(kept);
  for (let i = 0; i < kept; i++) bulkKey(c, list.refs[i]);
}

function randomkey(c: Call): void {
  const ref = keyspaceOf(c).randomKey();
  if (ref === 0) c.out.nil();
  else bulkKey(c, ref);
}

function rename(c: Call, onlyNew: boolean): void {
  const ks = keyspaceOf(c);
  const same = c.len(1) === c.len(2) && c.buf.compare(c.buf, c.s(2), c.e(2), c.s(1), c.e(1)) === 0;
  let ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0) return c.out.error(ERR.noKey);
  if (same) return onlyNew ? c.out.int(0) : c.out.ok();
  const target = ks.lookupWrite(c.buf, c.s(2), c.e(2));
  if (target !== 0) {
    if (onlyNew) return c.out.int(0);
    ks.deleteRef(target);
  }
  ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ks.transfer(ref, ks, c.buf, c.s(2), c.e(2)) === 0) return c.out.error(ERR.oom);
  ks.modified(c.buf, c.s(1), c.e(1));
  ks.modified(c.buf, c.s(2), c.e(2));
  notifyArg(c, 1, NOTIFY_GENERIC, "rename_from");
  notifyArg(c, 2, NOTIFY_GENERIC, "rename_to");
  c.dirty++;
  if (onlyNew) c.out.int(1);
  else c.out.ok();
}

/** Argument i as a database number; -1 when a reply was given. */
function databaseArg(c: Call, i: number, databases: Databases): number {
  const v = c.integerOrFail(i);
  if (Number.isNaN(v)) return -1;
  if (v < 0 || v >= databases.length) {
    c.out.error(ERR.dbOutOfRange);
    return -1;
  }
  return v;
}

function move(c: Call, databases: Databases): void {
  const ks = keyspaceOf(c);
  const to = databaseArg(c, 2, databases);
  if (to < 0) return;
  if (databases[to] === ks) return c.out.error(ERR.sameObject);
  const ref = ks.lookupWrite(c.buf, c.s(1), c.e(1));
  if (ref === 0 || databases[to].lookupWrite(c.buf, c.s(1), c.e(1)) !== 0) return c.out.int(0);
  if (ks.transfer(ref, databases[to], c.buf, c.s(1), c.e(1)) === 0) return c.out.error(ERR.oom);
  ks.modified(c.buf, c.s(1), c.e(1));
  databases[to].modified(c.buf, c.s(1), c.e(1));
  notifyArg(c, 1, NOTIFY_GENERIC, "move_from");
  notify(NOTIFY_GENERIC, "move_to", to, c.buf, c.s(1), c.e(1));
  c.dirty++;
  c.out.int(1);
}

function copy(c: Call, databases: Databases): void {
  const ks = keyspaceOf(c);
  let target = ks;
  let replace = false;
  for (let i = 3; i < c.argc; i++) {
    if (c.is(i, "replace")) replace = true;
    else if (c.is(i, "db") && i + 1 < c.argc) {
      const db = databaseArg(c, ++i, databases);
      if (db < 0) return;
      target = databases[db];
    } else return c.out.error(ERR.syntax);
  }
  if (target === ks && c.len(1) === c.len(2) && c.buf.compare(c.buf, c.s(2), c.e(2), c.s(1), c.e(1)) === 0)
    return c.out.error(ERR.sameObject);
  if (ks.lookupRead(c.buf, c.s(1), c.e(1)) === 0) return c.out.int(0);
  const there = target.lookupWrite(c.buf, c.s(2), c.e(2));
  if (there !== 0) {
    if (!replace) return c.out.int(0);
    target.deleteRef(there);
  }
  const ref = ks.peek(c.buf, c.s(1), c.e(1));
  if (copyValue(ref, target, c.buf, c.s(2), c.e(2)) === 0) return c.out.error(ERR.oom);
  target.modified(c.buf, c.s(2), c.e(2));
  notify(NOTIFY_GENERIC, "copy_to", target.index, c.buf, c.s(2), c.e(2));
  c.dirty++;
  c.out.int(1);
}

function word2(ref: number): number {
  return m32[ref >>> 23][((ref & UNIT_MASK) << 1) + 2];
}

const NO_FREQ = errorLine(
  "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
);
const NO_IDLE = errorLine(
  "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
);

/** OBJECT: the key must be there; nil when it is not. */
function object(c: Call, answer: (ref: number) => void): void {
  const ref = keyspaceOf(c).peek(c.buf, c.s(2), c.e(2));
  if (ref === 0) c.out.nil();
  else answer(ref);
}

/** Integers that Redis shares between keys (0..9999) show its largest count. */
const SHARED_INTEGERS = 10000;
function refcount(ref: number): number {
  if (!settings.sharedIntegers || entry.typeOf(ref) !== entry.STRING || entry.encodingOf(ref) !== entry.INT) return 1;
  const v = Number(entry.valueBytes(ref, KEY_HEADER).toString("latin1"));
  return v >= 0 && v < SHARED_INTEGERS ? 2147483647 : 1;
}

/** The family, for these databases. */
export function genericRuns(databases: Databases): Record<string, Run> {
  return {
    ...expiryRuns,
    del,
    unlink: del,
    exists,
    touch,
    type,
    keys,
    scan,
    randomkey,
    rename: (c) => rename(c, false),
    renamenx: (c) => rename(c, true),
    move: (c) => move(c, databases),
    copy: (c) => copy(c, databases),
    "object|encoding": (c) => object(c, (ref) => c.out.bulkText(encodingNames[entry.encodingOf(ref)])),
    "object|refcount": (c) => object(c, (ref) => c.out.int(refcount(ref))),
    "object|idletime": (c) => object(c, (ref) => (isLfuPolicy() ? c.out.error(NO_IDLE) : c.out.int(idleSeconds(word2(ref))))),
    "object|freq": (c) => object(c, (ref) => (isLfuPolicy() ? c.out.int(lfuOf(word2(ref))) : c.out.error(NO_FREQ))),
  };
}

/**
 * What follows a change: the key is reported as modified (WATCH, tracking, snapshots, blocked clients hear it from the store's events), the
 * keyspace notification goes out, the call is marked dirty (replication, AOF). HOT: without listeners it is three comparisons.
 *
 * Commands call `touched` once for each key they changed, after the change, in Redis' order.
 */
import type { Call } from "../clients/call.ts";
import type { Keyspace } from "../store/keyspace.ts";

/** Delivers a notification: class and event are notify.c's; the key is buf[start, end). */
export type Notify = (cls: number, event: string, db: number, buf: Buffer, start: number, end: number) => void;

/** Classes that somebody wants, with K or E among them (notify-keyspace-events); 0 switches all off. The mode sets both. */
let wanted = 0;
let deliver: Notify | null = null;

export function setNotify(classes: number, notify: Notify | null): void {
  wanted = classes;
  deliver = notify;
}

/** The keyspace a client works on. */
export function keyspaceOf(c: Call): Keyspace {
  return c.client.keyspace as Keyspace;
}

/** Argument i of the call names a key that has changed. */
export function touched(c: Call, i: number, cls: number, event: string): void {
  const ks = c.client.keyspace as Keyspace;
  const start = c.at[i * 2];
  const end = c.at[i * 2 + 1];
  ks.modified(c.buf, start, end);
  if ((wanted & cls) !== 0) deliver!(cls, event, ks.index, c.buf, start, end);
  c.dirty++;
}

/** Argument i names a key that has changed `changes` times over (DEL of many, ZADD of many): one notification. */
export function touchedBy(c: Call, i: number, cls: number, event: string, changes: number): void {
  touched(c, i, cls, event);
  c.dirty += changes - 1;
}

/** A notification alone; the key is buf[start, end) of database `db`. */
export function notify(cls: number, event: string, db: number, buf: Buffer, start: number, end: number): void {
  if ((wanted & cls) !== 0) deliver!(cls, event, db, buf, start, end);
}

/** A notification alone, for argument i. */
export function notifyArg(c: Call, i: number, cls: number, event: string): void {
  if ((wanted & cls) !== 0) deliver!(cls, event, (c.client.keyspace as Keyspace).index, c.buf, c.at[i * 2], c.at[i * 2 + 1]);
}

/**
 * What mode redis does with each command: one byte a row, worked out once from the command table and request_class.ts. Pure.
 *
 *   SHARED     goes over a connection that many clients share
 *   PIN        needs a connection of its own while it lasts: transactions, subscriptions, blocking, monitors, what a busy server must hear
 *   others     are answered, or changed, by the proxy itself (redis/local.ts)
 */
import type { RowTable } from "../../commands/table/index.ts";
import { FLAG, type Row } from "../../commands/table/row.ts";
import * as is from "./request_class.ts";

export const SHARED = 0;
export const PIN = 1;
/** CLIENT ID, LIST, KILL, ...: about the proxy's own clients. */
export const LOCAL = 2;
export const HELLO = 3;
export const AUTH = 4;
export const SELECT = 5;
export const RESET = 6;
export const QUIT = 7;
/** Looked at for the Sentinels' channel, then shared. */
export const PUBLISH = 8;
/** Its subcommand decides. */
export const CONTAINER = 9;
/** Pinned with BLOCK, shared without. */
export const XREAD = 10;
/** `redis-deny`. */
export const DENIED = 11;
/** A user of the proxy's own may not (redis/users.ts). */
export const FORBIDDEN = 13;
/** Pinned, behind a write of ours on the same connection. */
export const WAIT = 12;
/** Its script is kept for the next master, or all of them are forgotten; then shared. */
export const SCRIPT = 14;
export const FLUSH_SCRIPTS = 15;

const BY_NAME: Record<string, number> = {
  hello: HELLO, auth: AUTH, select: SELECT, reset: RESET, quit: QUIT, publish: PUBLISH, xread: XREAD, xreadgroup: XREAD, wait: WAIT,
  waitaof: WAIT, eval: SCRIPT, "eval_ro": SCRIPT, "script|load": SCRIPT, "script|flush": FLUSH_SCRIPTS,
  // A server that runs a long script, or is paused, hears these only where nothing waits in front of them.
  shutdown: PIN, debug: PIN, failover: PIN, "script|kill": PIN, "function|kill": PIN, "client|pause": PIN, "client|unpause": PIN,
  "client|id": LOCAL, "client|info": LOCAL, "client|list": LOCAL, "client|kill": LOCAL, "client|getname": LOCAL, "client|setname": LOCAL,
  "client|setinfo": LOCAL, "client|unblock": LOCAL,
  "client|tracking": PIN, "client|no-evict": PIN, "client|no-touch": PIN, "client|caching": PIN, "client|reply": PIN,
}; // prettier-ignore

/** The plan of every row, by its id. */
export function planOf(table: RowTable, classes: Uint8Array): Uint8Array {
  const plan = new Uint8Array(table.all.length).fill(SHARED);
  for (const row of table.all) plan[row.id] = planOfRow(row, classes[row.id]);
  return plan;
}

function planOfRow(row: Row, cls: number): number {
  const named = BY_NAME[row.name];
  if (named !== undefined) return named;
  if (row.subcommands !== null) return CONTAINER;
  if ((row.flags & FLAG.blocking) !== 0) return PIN;
  switch (cls) {
    case is.MULTI:
    case is.WATCH:
    case is.SUBSCRIBE:
    case is.OPAQUE:
      return PIN;
    default:
      return SHARED;
  }
}

/** True when b[at[2i], at[2i+1]) of some argument behind the name is BLOCK, before STREAMS. */
export function hasBlock(buf: Uint8Array, at: Int32Array, argc: number): boolean {
  for (let i = 1; i < argc; i++) {
    const start = at[2 * i];
    const length = at[2 * i + 1] - start;
    if (length === 7 && isWord(buf, start, "streams")) return false;
    if (length === 5 && isWord(buf, start, "block")) return true;
  }
  return false;
}
function isWord(b: Uint8Array, at: number, lower: string): boolean {
  for (let i = 0; i < lower.length; i++) if ((b[at + i] | 32) !== lower.charCodeAt(i)) return false;
  return true;
}

/**
 * What a proxied request is to a failover: may it be sent again, does it change the connection's state, does it end the framing? One byte a
 * command, worked out once from the command table's flags (notes 3.2, design 5). Pure.
 */
import type { RowTable } from "../../commands/table/index.ts";
import { FLAG, type Row } from "../../commands/table/row.ts";

/** No effect on data: sent again. */
export const SAFE = 1;
/** May have been executed when its reply is missing: answered with -UNKNOWNRESULT. */
export const UNSAFE = 2;
/** Changes the connection (SELECT, AUTH, HELLO, CLIENT ...): sent again, and remembered once it has succeeded. */
export const STATE = 3;
/** Waits for data; sent again, as a reconnecting client would. */
export const BLOCKING = 4;
export const MULTI = 5;
export const EXEC = 6;
export const DISCARD = 7;
export const WATCH = 8;
export const UNWATCH = 9;
/** (P|S)(UN)SUBSCRIBE: several confirmations. */
export const SUBSCRIBE = 10;
/** What follows is no dialogue of requests and replies any more (SYNC, MONITOR, CLIENT REPLY ...): bytes from here on. */
export const OPAQUE = 11;
export const QUIT = 12;
/** PUBLISH: never sent twice; not to the Sentinels' channel. */
export const PUBLISH = 13;
export const RESET = 14;
/** WAIT, WAITAOF: about writes on a server that is gone: 0. */
export const WAIT = 15;
/** Has subcommands: classOfSub decides. */
export const CONTAINER = 16;
/** An absolute effect, safe to repeat where `redis-replay idempotent` says so. */
export const IDEMPOTENT = 17;

const BY_NAME: Record<string, number> = {
  select: STATE, auth: STATE, hello: STATE, readonly: STATE, readwrite: STATE, asking: STATE,
  multi: MULTI, exec: EXEC, discard: DISCARD, watch: WATCH, unwatch: UNWATCH,
  subscribe: SUBSCRIBE, psubscribe: SUBSCRIBE, ssubscribe: SUBSCRIBE,
  unsubscribe: SUBSCRIBE, punsubscribe: SUBSCRIBE, sunsubscribe: SUBSCRIBE,
  sync: OPAQUE, psync: OPAQUE, replconf: OPAQUE, monitor: OPAQUE,
  quit: QUIT, reset: RESET, publish: PUBLISH, spublish: UNSAFE, wait: WAIT, waitaof: WAIT,
  ping: SAFE, echo: SAFE, time: SAFE, command: SAFE, info: SAFE, role: SAFE, lolwut: SAFE, lastsave: SAFE, dbsize: SAFE,
  eval: UNSAFE, evalsha: UNSAFE, fcall: UNSAFE,
  // Takes an element away for good, or none: asking again does no more harm than a client that reconnects.
  blpop: BLOCKING, brpop: BLOCKING, bzpopmin: BLOCKING, bzpopmax: BLOCKING, blmpop: BLOCKING, bzmpop: BLOCKING,
  xread: BLOCKING, xreadgroup: BLOCKING,
  // May move an element twice.
  blmove: UNSAFE, brpoplpush: UNSAFE,
  // With NX, XX or GET these read before they write.
  set: UNSAFE,
  mset: IDEMPOTENT, setex: IDEMPOTENT, psetex: IDEMPOTENT, del: IDEMPOTENT, unlink: IDEMPOTENT, hset: IDEMPOTENT, hmset: IDEMPOTENT,
  sadd: IDEMPOTENT, srem: IDEMPOTENT, hdel: IDEMPOTENT, zrem: IDEMPOTENT, expireat: IDEMPOTENT, pexpireat: IDEMPOTENT,
  lset: IDEMPOTENT, setrange: IDEMPOTENT, setbit: IDEMPOTENT, persist: IDEMPOTENT, pfadd: IDEMPOTENT,
}; // prettier-ignore

/** Subcommands that may be sent again; all others of their commands are UNSAFE. */
const SUB_BY_NAME: Record<string, number> = {
  "client|setname": STATE, "client|setinfo": STATE, "client|no-evict": STATE, "client|no-touch": STATE, "client|tracking": STATE,
  "client|capa": STATE,
  "client|id": SAFE, "client|info": SAFE, "client|list": SAFE, "client|getname": SAFE, "client|getredir": SAFE,
  "client|trackinginfo": SAFE, "client|help": SAFE,
  "client|caching": OPAQUE, "client|reply": OPAQUE,
  "config|get": SAFE, "config|help": SAFE, "acl|whoami": SAFE, "acl|list": SAFE, "acl|cat": SAFE, "acl|getuser": SAFE, "acl|users": SAFE,
  "script|exists": SAFE, "function|list": SAFE, "function|stats": SAFE, "function|dump": SAFE, "slowlog|get": SAFE, "slowlog|len": SAFE,
  "latency|latest": SAFE, "latency|history": SAFE, "latency|doctor": SAFE, "module|list": SAFE, "script|load": SAFE,
}; // prettier-ignore

/** Class of every row, by its id. */
export function classesOf(table: RowTable): Uint8Array {
  const classes = new Uint8Array(table.all.length).fill(UNSAFE);
  for (const row of table.all) classes[row.id] = classOf(row);
  return classes;
}

function classOf(row: Row): number {
  if (row.parent !== null) {
    const named = SUB_BY_NAME[row.name];
    if (named !== undefined) return named;
    return (row.flags & FLAG.readonly) !== 0 || row.parent.shortName === "command" ? SAFE : UNSAFE;
  }
  const named = BY_NAME[row.name];
  if (named !== undefined) return named;
  if (row.subcommands !== null) return CONTAINER;
  if ((row.flags & FLAG.blocking) !== 0) return UNSAFE;
  return (row.flags & FLAG.readonly) !== 0 ? SAFE : UNSAFE;
}

/** What `redis-replay` makes of a class. */
export function mayRepeat(kind: number, replay: "readonly" | "idempotent" | "none"): boolean {
  switch (kind) {
    case STATE:
    case SUBSCRIBE:
    case WATCH:
    case UNWATCH:
    case RESET:
    case QUIT:
      return true;
    case SAFE:
    case BLOCKING:
      return replay !== "none";
    case IDEMPOTENT:
      return replay === "idempotent";
    default:
      return false;
  }
}

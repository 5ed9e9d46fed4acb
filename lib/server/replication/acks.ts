/**
 * What replicas say they have: REPLCONF ACK, and who waits for it: WAIT, WAITAOF, min-replicas-to-write. Cold.
 * Redis replication.c waitCommand, waitaofCommand, processClientsWaitingReplicas.
 */
import { parseBigInt64 } from "../../bytes/number.ts";
import { BLOCKED_ON_REPLICAS, type Blocked } from "../../clients/blocking.ts";
import type { Call } from "../../clients/call.ts";
import { FLAG_DENY_BLOCKING, type Client } from "../../clients/client.ts";
import { ERR } from "../../resp/errors.ts";
import { clock } from "../../time/clock.ts";
import { ONLINE, type Replica } from "./replica.ts";
import type { Replication } from "./replication.ts";

/** Blocked.local of a client in WAIT, which asks nothing of the AOF. */
const NOT_AOF = -1;
const INT64_MAX = 0x7fffffffffffffffn;
const NO_AOF = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/** Replicas that have this offset. */
export function countAcks(repl: Replication, offset: number): number {
  let n = 0;
  for (const r of repl.replicas) if (r.state === ONLINE && r.ackOffset >= offset) n++;
  return n;
}

/** Replicas that have this offset in their AOF. */
function countAofAcks(repl: Replication, offset: number): number {
  let n = 0;
  for (const r of repl.replicas) if (r.state === ONLINE && r.fackOffset >= offset) n++;
  return n;
}

/** Replicas whose acknowledgement is not older than min-replicas-max-lag. */
export function goodReplicas(repl: Replication): number {
  const lag = repl.server.config.number("min-replicas-max-lag");
  let n = 0;
  for (const r of repl.replicas) if (r.state === ONLINE && lagOf(r) <= lag) n++;
  return n;
}

/** Whole seconds since it was heard, as time_t arithmetic has them. */
export function lagOf(r: Replica): number {
  return Math.max(0, Math.floor(clock.nowMs / 1000) - Math.floor(r.ackMs / 1000));
}

/** REPLCONF ACK offset [FACK offset]. */
export function acknowledged(repl: Replication, r: Replica, offset: number, fack: number): void {
  r.ackOffset = Math.max(r.ackOffset, offset);
  r.fackOffset = Math.max(r.fackOffset, fack);
  r.ackMs = clock.nowMs;
  if (r.startOnAck && r.state === ONLINE) {
    r.startOnAck = false;
    repl.pump(r);
  }
  serveWaiting(repl);
  // FAILOVER and SHUTDOWN look after the event: what they do ends connections.
  repl.server.dispatcher.needsBeforeFlush = true;
}

/** Clients in WAIT and WAITAOF whose number of replicas is reached go on. Called when a replica or the AOF has got further. */
export function serveWaiting(repl: Replication): void {
  const { blocking } = repl.server.service;
  for (const client of Array.from(blocking.clientsOn(BLOCKED_ON_REPLICAS))) {
    const b = client.blocked!;
    if (b.local > 0 && repl.aofOffset() < 0) {
      client.out.errorText(NO_AOF);
      blocking.unblock(client);
    } else if (isMet(repl, b)) {
      reply(repl, client, b);
      blocking.unblock(client);
    }
  }
}

function isMet(repl: Replication, b: Blocked): boolean {
  if (b.local === NOT_AOF) return countAcks(repl, b.offset) >= b.replicas;
  return localAck(repl, b.offset) >= b.local && countAofAcks(repl, b.offset) >= b.replicas;
}

function localAck(repl: Replication, offset: number): number {
  return repl.aofOffset() >= offset ? 1 : 0;
}

function reply(repl: Replication, client: Client, b: { local: number; offset: number }): void {
  const { out } = client;
  if (b.local === NOT_AOF) return out.int(countAcks(repl, b.offset));
  out.array(2);
  out.int(localAck(repl, b.offset));
  out.int(countAofAcks(repl, b.offset));
}

/** Its time is over: it hears how far it got. False: it waits for something else. */
export function answerLate(repl: Replication, client: Client): boolean {
  const b = client.blocked;
  if (b === null || b.kind !== BLOCKED_ON_REPLICAS) return false;
  reply(repl, client, b);
  return true;
}

function waitFor(c: Call, repl: Replication, local: number, replicas: number, timeoutMs: number): void {
  const { client } = c;
  const wish = { local, replicas, offset: client.writeOffset };
  if (client.flags & FLAG_DENY_BLOCKING || isMet(repl, wish as Blocked)) return reply(repl, client, wish);
  Object.assign(repl.server.service.blocking.blockOn(client, BLOCKED_ON_REPLICAS, timeoutMs), wish);
  // One GETACK for all who wait, before the event ends.
  repl.requestAcks();
}

/** Redis getTimeoutFromObjectOrReply, milliseconds. NaN: it made no sense, and that was replied. */
function timeoutMs(c: Call, i: number): number {
  const ms = parseBigInt64(c.buf, c.s(i), c.e(i));
  if (ms === null) c.out.error(ERR.timeoutNotInteger);
  else if (ms < 0n) c.out.error(ERR.timeoutNegative);
  else if (ms > INT64_MAX - BigInt(clock.nowMs)) c.out.error(ERR.timeoutOutOfRange);
  else return Number(ms);
  return Number.NaN;
}

/** WAIT numreplicas timeout. */
export function wait(c: Call, repl: Replication): void {
  if (repl.master !== null)
    return c.out.errorText(
      "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
    );
  const replicas = c.integerOrFail(1);
  if (replicas !== replicas) return;
  const ms = timeoutMs(c, 2);
  if (ms === ms) waitFor(c, repl, NOT_AOF, replicas, ms);
}

/** WAITAOF numlocal numreplicas timeout: [1 when it is in our AOF, replicas that have it in theirs]. */
export function waitaof(c: Call, repl: Replication): void {
  const local = c.integerOrFail(1);
  if (local !== local) return;
  if (local < 0 || local > 1) return c.out.errorText("ERR value is out of range, value must between 0 and 1");
  const replicas = c.integerOrFail(2);
  if (replicas !== replicas) return;
  if (replicas < 0) return c.out.errorText("ERR value is out of range, must be positive");
  const ms = timeoutMs(c, 3);
  if (ms !== ms) return;
  if (repl.master !== null)
    return c.out.errorText(
      "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.",
    );
  if (local > 0 && !repl.server.config.bool("appendonly")) return c.out.errorText(NO_AOF);
  waitFor(c, repl, local, replicas, ms);
}

/**
 * PSYNC and SYNC: a replica asks for the stream. Partial resync when the backlog has what it misses, else full_sync.ts has it wait for a
 * snapshot. Cold. Redis replication.c syncCommand, masterTryPartialResynchronization.
 */
import type { Call } from "../../clients/call.ts";
import { FLAG_MONITOR } from "../../clients/client.ts";
import { clientLine } from "../../clients/info_line.ts";
import { ERR } from "../../resp/errors.ts";
import { CAPA_EOF, CAPA_PSYNC2, ONLINE, WAIT_START, type Replica } from "./replica.ts";
import type { Replication } from "./replication.ts";

/** PSYNC replid offset [FAILOVER], or SYNC. */
export function sync(c: Call, repl: Replication): void {
  const { server } = repl;
  const { log, stats } = server;
  const { client } = c;
  const { conn } = client;
  if (conn === null || client.flags & FLAG_MONITOR) return;
  const r = repl.replicaOf(client);
  if (r.attached) return;
  const psync = c.command.name === "psync";
  if (psync && c.argc > 3 && c.is(3, "failover") && !takeOver(c, repl)) return;
  if (repl.failoverState !== "no-failover") return c.out.errorText("NOMASTERLINK Can't SYNC while failing over");
  if (repl.master !== null && !repl.linkUp) return c.out.errorText("NOMASTERLINK Can't SYNC while not connected with my master");
  if (client.out.pendingBytes() > 0) return c.out.errorText("ERR SYNC and PSYNC are invalid with pending output");
  if (r.filter !== null && !(r.capa & CAPA_EOF)) return c.out.errorText("ERR Filtered replica requires EOF capability");
  log.notice(`Replica ${r.name} asks for synchronization`);
  if (psync) {
    const offset = c.integer(2);
    if (offset !== offset) {
      log.warning(`Replica ${r.name} asks for synchronization but with a wrong offset`);
      return c.out.error(ERR.notInteger);
    }
    if (tryPartial(c, repl, r, offset)) {
      stats.syncPartialOk++;
      return;
    }
    if (!c.text(1).startsWith("?")) stats.syncPartialErr++;
  } else r.old = true;
  stats.syncFull++;
  if (server.config.bool("repl-disable-tcp-nodelay")) conn.socket?.setNoDelay?.(false);
  repl.attach(r, WAIT_START);
  repl.fullSync.schedule(r);
}

/** Our master asks us to take its place (FAILOVER). False: refused, and answered. */
function takeOver(c: Call, repl: Replication): boolean {
  const { log } = repl.server;
  const id = c.text(1);
  log.notice(`Failover request received for replid ${id}.`);
  if (repl.master === null) {
    c.out.errorText("ERR PSYNC FAILOVER can't be sent to a master.");
    return false;
  }
  if (id.toLowerCase() !== repl.replid) {
    c.out.errorText("ERR PSYNC FAILOVER replid must match my replid.");
    return false;
  }
  repl.unsetMaster();
  log.notice(`MASTER MODE enabled (failover request from '${clientLine(c.client)}')`);
  return true;
}

function tryPartial(c: Call, repl: Replication, r: Replica, offset: number): boolean {
  const { log } = repl.server;
  const asked = c.text(1);
  const id = asked.toLowerCase();
  if (id !== repl.replid && (id !== repl.replid2 || offset > repl.secondOffset)) {
    if (asked.startsWith("?")) log.notice(`Full resync requested by replica ${r.name}`);
    else if (id !== repl.replid2)
      log.notice(
        `Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '${asked}', my replication IDs are '${repl.replid}' and '${repl.replid2}')`,
      );
    else
      log.notice(
        `Partial resynchronization not accepted: Requested offset for second ID was ${offset}, but I can reply up to ${repl.secondOffset}`,
      );
    return false;
  }
  const reader = repl.buffer.keeps && offset >= 1 ? repl.buffer.read(offset - 1) : null;
  if (reader === null) {
    log.notice(`Unable to partial resync with replica ${r.name} for lack of backlog (Replica request was: ${offset}).`);
    if (offset > repl.offset)
      log.warning(`Warning: replica ${r.name} tried to PSYNC with an offset that is greater than the master replication offset.`);
    return false;
  }
  r.reader = reader;
  // What it asks for, it has everything before.
  r.ackOffset = offset - 1;
  repl.attach(r, ONLINE);
  r.send(Buffer.from(r.capa & CAPA_PSYNC2 ? `+CONTINUE ${repl.replid}\r\n` : "+CONTINUE\r\n"));
  log.notice(
    `Partial resynchronization request from ${r.name} accepted. Sending ${repl.offset - offset + 1} bytes of backlog starting from offset ${offset}.`,
  );
  repl.server.dispatcher.needsBeforeFlush = true;
  return true;
}

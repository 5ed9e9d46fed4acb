/** REPLICAOF, PSYNC, SYNC, REPLCONF, ROLE, WAIT, WAITAOF, FAILOVER; INFO and DEBUG's share. Cold. Redis replication.c. */
import { splitArgs } from "../../bytes/args.ts";
import { encodeCommand, type Call } from "../../clients/call.ts";
import type { Run } from "../../clients/command.ts";
import { clientLine } from "../../clients/info_line.ts";
import { ERR } from "../../resp/errors.ts";
import { debugParts } from "../debug.ts";
import { acknowledged, wait, waitaof } from "./acks.ts";
import { replicationLines, role } from "./info.ts";
import { sync } from "./psync.ts";
import { CAPA_EOF, CAPA_PSYNC2 } from "./replica.ts";
import type { Replication } from "./replication.ts";

function replicaof(c: Call, repl: Replication): void {
  const { log } = repl.server;
  if (repl.failoverState !== "no-failover") return c.out.errorText("ERR REPLICAOF not allowed while failing over.");
  if (c.is(1, "no") && c.is(2, "one")) {
    if (repl.master !== null) {
      repl.unsetMaster();
      log.notice(`MASTER MODE enabled (user request from '${clientLine(c.client)}')`);
    }
    return c.out.ok();
  }
  if (c.client.replica !== null && repl.replicaOf(c.client).attached)
    return c.out.errorText("ERR Command is not valid when client is a replica.");
  const port = c.integer(2);
  if (port !== port || port < 0 || port > 65535) return c.out.errorText("ERR Invalid master port");
  const host = c.text(1);
  if (repl.master !== null && repl.master.host.toLowerCase() === host.toLowerCase() && repl.master.port === port) {
    log.notice("REPLICAOF would result into synchronization with the master we are already connected with. No operation performed.");
    return c.out.status("OK Already connected to specified master");
  }
  repl.setMaster(host, port);
  log.notice(`REPLICAOF ${host}:${port} enabled (user request from '${clientLine(c.client)}')`);
  c.out.ok();
}

/** REPLCONF option value ...; ACK and GETACK have no reply. */
function replconf(c: Call, repl: Replication): void {
  if (c.argc % 2 === 0) return c.out.error(ERR.syntax);
  const r = repl.replicaOf(c.client);
  for (let i = 1; i < c.argc; i += 2) {
    const option = c.lower(i);
    if (option === "listening-port") {
      const port = c.integerOrFail(i + 1);
      if (port !== port) return;
      r.port = port;
    } else if (option === "ip-address") {
      if (c.len(i + 1) > 255)
        return c.out.errorText(`ERR REPLCONF ip-address provided by replica instance is too long: ${c.len(i + 1)} bytes`);
      r.announcedIp = c.text(i + 1);
    } else if (option === "capa") {
      // Capabilities that we do not know are the replica's own business.
      if (c.is(i + 1, "eof")) r.capa |= CAPA_EOF;
      else if (c.is(i + 1, "psync2")) r.capa |= CAPA_PSYNC2;
    } else if (option === "ack") {
      if (!r.attached) return;
      const offset = c.integer(i + 1);
      if (offset !== offset) return;
      const fack = c.argc > i + 3 && c.is(i + 2, "fack") ? c.integer(i + 3) : 0;
      return acknowledged(repl, r, offset, fack === fack ? fack : 0);
    } else if (option === "getack") {
      if (repl.linkUp) repl.link!.acknowledge();
      return;
    } else if (option === "rdb-only") {
      const v = c.integerOrFail(i + 1);
      if (v !== v) return;
      if (v !== 0 && v !== 1) return c.out.errorText("ERR value is out of range, value must between 0 and 1");
      r.rdbOnly = v === 1;
    } else if (option === "rdb-filter-only") {
      const words = splitArgs(c.text(i + 1));
      if (words === null) return c.out.errorText("ERR Missing rdb-filter-only values");
      const unknown = words.find((w) => w.toLowerCase() !== "functions");
      r.filter = { functions: unknown === undefined && words.length > 0 };
      if (unknown !== undefined) return c.out.errorText(`ERR Unsupported rdb-filter-only option: ${unknown}`);
    } else return c.out.errorText(`ERR Unrecognized REPLCONF option: ${c.text(i)}`);
  }
  c.out.ok();
}

/** DEBUG REPLICATE command [arg ...]: into the stream as it stands, and nowhere else. */
function debugReplicate(c: Call, repl: Replication): void {
  const args: Buffer[] = [];
  for (let i = 2; i < c.argc; i++) args.push(c.view(i));
  const bytes = encodeCommand(args);
  if (repl.master === null && repl.buffer.keeps) repl.feed(-1, bytes, 0, bytes.length);
  c.out.ok();
}

export function replicationRuns(repl: Replication): Record<string, Run> {
  const { server } = repl;
  server.addInfo("replication", () => replicationLines(repl));
  debugParts["change-repl-id"] = (c) => {
    repl.changeId();
    server.log.notice("Changing replication IDs after receiving change-repl-id");
    c.out.ok();
  };
  debugParts["replicate"] = (c) => debugReplicate(c, repl);
  return {
    replicaof: (c) => replicaof(c, repl),
    slaveof: (c) => replicaof(c, repl),
    psync: (c) => sync(c, repl),
    sync: (c) => sync(c, repl),
    replconf: (c) => replconf(c, repl),
    role: (c) => role(c, repl),
    wait: (c) => wait(c, repl),
    waitaof: (c) => waitaof(c, repl),
    failover: (c) => repl.failover.command(c),
  };
}

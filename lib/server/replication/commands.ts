/** REPLICAOF, PSYNC, SYNC, REPLCONF, ROLE, WAIT, and INFO replication. Cold. Redis replication.c, server.c genRedisInfoString. */
import { BLOCKED_ON_REPLICAS } from "../../clients/blocking.ts";
import type { Call } from "../../clients/call.ts";
import { FLAG_DENY_BLOCKING } from "../../clients/client.ts";
import { clientLine } from "../../clients/info_line.ts";
import type { Run } from "../../clients/command.ts";
import { ERR } from "../../resp/errors.ts";
import { clock } from "../../time/clock.ts";
import { failover } from "./failover.ts";
import { ONLINE } from "./replica.ts";
import type { Replication } from "./replication.ts";

type Line = [string, string | number];

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
      if (c.is(i + 1, "eof")) r.capaEof = true;
      else if (c.is(i + 1, "psync2")) r.capaPsync2 = true;
    } else if (option === "ack") {
      if (!r.attached) return;
      const offset = c.integer(i + 1);
      if (offset !== offset) return;
      const fack = c.argc > i + 3 && c.is(i + 2, "fack") ? c.integer(i + 3) : -1;
      return repl.acknowledged(r, offset, fack === fack ? fack : -1);
    } else if (option === "getack") {
      repl.link?.acknowledge();
      return;
    } else if (option === "rdb-only") {
      const v = c.integer(i + 1);
      if (v !== 0 && v !== 1) return c.out.error(ERR.notInteger);
      r.rdbOnly = v === 1;
    } else if (option === "rdb-filter-only") {
      r.filter = c
        .text(i + 1)
        .split(" ")
        .filter((w) => w !== "");
      const unknown = r.filter.find((w) => w !== "functions");
      if (unknown !== undefined) return c.out.errorText(`ERR Unsupported rdb-filter-only option: ${unknown}`);
    } else return c.out.errorText(`ERR Unrecognized REPLCONF option: ${c.text(i)}`);
  }
  c.out.ok();
}

function role(c: Call, repl: Replication): void {
  const { out } = c;
  if (repl.master !== null) {
    out.array(5);
    out.bulkText("slave");
    out.bulkText(repl.master.host);
    out.int(repl.master.port);
    out.bulkText(repl.link?.roleState ?? "connect");
    out.int(repl.linkUp ? repl.offset : -1);
    return;
  }
  const online = repl.attachedReplicas().filter((r) => r.state === ONLINE);
  out.array(3);
  out.bulkText("master");
  out.int(repl.offset);
  out.array(online.length);
  for (const r of online) {
    out.array(3);
    out.bulkText(r.ip);
    out.bulkText(String(r.port));
    out.bulkText(String(r.ackOffset));
  }
}

function wait(c: Call, repl: Replication): void {
  if (repl.master !== null)
    return c.out.errorText(
      "ERR WAIT cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.",
    );
  const wanted = c.integerOrFail(1);
  if (wanted !== wanted) return;
  const timeout = c.integer(2);
  if (timeout !== timeout) return c.out.error(ERR.timeoutNotInteger);
  if (timeout < 0) return c.out.error(ERR.timeoutNegative);
  const offset = c.client.writeOffset;
  const have = repl.acknowledgedBy(offset);
  if (have >= wanted || c.client.flags & FLAG_DENY_BLOCKING) return c.out.int(have);
  const b = repl.server.service.blocking.blockOn(c.client, BLOCKED_ON_REPLICAS, timeout);
  b.offset = offset;
  b.replicas = wanted;
  repl.requestAcks();
}

/** INFO replication, in Redis' order. */
export function replicationLines(repl: Replication): Line[] {
  const { config } = repl.server;
  const lines: Line[] = [["role", repl.master === null ? "master" : "slave"]];
  if (repl.master !== null) {
    const { link } = repl;
    lines.push(
      ["master_host", repl.master.host],
      ["master_port", repl.master.port],
      ["master_link_status", repl.linkUp ? "up" : "down"],
      ["master_last_io_seconds_ago", link !== null && link.isUp ? Math.max(0, Math.floor((clock.nowMs - link.lastHeardMs) / 1000)) : -1],
      ["master_sync_in_progress", link?.inTransfer ? 1 : 0],
      ["slave_read_repl_offset", repl.offset],
      ["slave_repl_offset", repl.offset],
    );
    if (link?.inTransfer) {
      const p = link.progress;
      lines.push(
        ["master_sync_total_bytes", p.total],
        ["master_sync_read_bytes", p.read],
        ["master_sync_left_bytes", p.total > 0 ? p.total - p.read : -1],
        ["master_sync_perc", p.total > 0 ? ((p.read / p.total) * 100).toFixed(2) : "0.00"],
        ["master_sync_last_io_seconds_ago", p.lastIoSeconds],
      );
    }
    if (!repl.linkUp)
      lines.push([
        "master_link_down_since_seconds",
        repl.linkDownSinceMs > 0 ? Math.floor((clock.nowMs - repl.linkDownSinceMs) / 1000) : -1,
      ]);
    lines.push(
      ["slave_priority", config.number("replica-priority")],
      ["slave_read_only", config.bool("replica-read-only") ? 1 : 0],
      ["replica_announced", config.bool("replica-announced") ? 1 : 0],
    );
  }
  const all = repl.attachedReplicas();
  lines.push(["connected_slaves", all.length]);
  if (config.number("min-replicas-to-write") > 0 && config.number("min-replicas-max-lag") > 0)
    lines.push(["min_slaves_good_slaves", repl.goodReplicas()]);
  for (const [i, r] of all.entries()) {
    if (r.ip === "") continue;
    const lag = r.state === ONLINE ? Math.floor((clock.nowMs - r.ackMs) / 1000) : 0;
    lines.push([`slave${i}`, `ip=${r.ip},port=${r.port},state=${r.stateName},offset=${r.ackOffset},lag=${lag}`]);
  }
  const { buffer } = repl;
  lines.push(
    ["master_failover_state", repl.failoverState],
    ["master_replid", repl.replid],
    ["master_replid2", repl.replid2],
    ["master_repl_offset", repl.offset],
    ["second_repl_offset", repl.secondOffset],
    ["repl_backlog_active", buffer.keeps ? 1 : 0],
    ["repl_backlog_size", config.number("repl-backlog-size")],
    ["repl_backlog_first_byte_offset", buffer.keeps ? buffer.start + 1 : 0],
    ["repl_backlog_histlen", buffer.keeps ? buffer.length : 0],
  );
  return lines;
}

export function replicationRuns(repl: Replication): Record<string, Run> {
  repl.server.addInfo("replication", () => replicationLines(repl));
  return {
    replicaof: (c) => replicaof(c, repl),
    slaveof: (c) => replicaof(c, repl),
    psync: (c) => repl.fullSync.ask(c),
    sync: (c) => repl.fullSync.ask(c),
    replconf: (c) => replconf(c, repl),
    role: (c) => role(c, repl),
    wait: (c) => wait(c, repl),
    failover: (c) => failover(c, repl),
  };
}

/** INFO's lines about replication, and ROLE. Cold. Redis server.c genRedisInfoString, replication.c roleCommand. */
import type { Call } from "../../clients/call.ts";
import { clock } from "../../time/clock.ts";
import { goodReplicas, lagOf } from "./acks.ts";
import { ONLINE } from "./replica.ts";
import type { Replication } from "./replication.ts";

type Line = [string, string | number];

const secondsSince = (ms: number): number => Math.max(0, Math.floor((clock.nowMs - ms) / 1000));

/** What a replica tells beside what every server tells. */
function replicaLines(repl: Replication, master: { host: string; port: number }): Line[] {
  const { config } = repl.server;
  const { link } = repl;
  // Before the first sync there is no offset of the master's stream.
  const knows = repl.linkUp || repl.mayContinue;
  const lines: Line[] = [
    ["master_host", master.host],
    ["master_port", master.port],
    ["master_link_status", repl.linkUp ? "up" : "down"],
    ["master_last_io_seconds_ago", link?.isUp ? secondsSince(link.lastHeardMs) : -1],
    ["master_sync_in_progress", link?.inTransfer ? 1 : 0],
    ["slave_read_repl_offset", knows ? repl.offset + (link?.ahead ?? 0) : 1],
    ["slave_repl_offset", knows ? repl.offset : 1],
  ];
  if (link?.inTransfer) {
    const { total, read, lastIoSeconds } = link.progress;
    lines.push(
      ["master_sync_total_bytes", total],
      ["master_sync_read_bytes", read],
      ["master_sync_left_bytes", total - read],
      ["master_sync_perc", (total === 0 ? 0 : (read / total) * 100).toFixed(2)],
      ["master_sync_last_io_seconds_ago", lastIoSeconds],
    );
  }
  if (!repl.linkUp) lines.push(["master_link_down_since_seconds", repl.linkDownSinceMs > 0 ? secondsSince(repl.linkDownSinceMs) : -1]);
  lines.push(
    ["slave_priority", config.number("replica-priority")],
    ["slave_read_only", config.bool("replica-read-only") ? 1 : 0],
    ["replica_announced", config.bool("replica-announced") ? 1 : 0],
  );
  return lines;
}

/** INFO replication, in Redis' order. */
export function replicationLines(repl: Replication): Line[] {
  const { config } = repl.server;
  const lines: Line[] = [["role", repl.master === null ? "master" : "slave"]];
  if (repl.master !== null) lines.push(...replicaLines(repl, repl.master));
  const all = repl.attachedReplicas();
  lines.push(["connected_slaves", all.length]);
  if (config.number("min-replicas-to-write") > 0 && config.number("min-replicas-max-lag") > 0)
    lines.push(["min_slaves_good_slaves", goodReplicas(repl)]);
  let i = 0;
  for (const r of all) {
    if (r.ip === "" || r.stateName === "") continue;
    const lag = r.state === ONLINE ? lagOf(r) : 0;
    lines.push([`slave${i++}`, `ip=${r.ip},port=${r.port},state=${r.stateName},offset=${r.ackOffset},lag=${lag}`]);
  }
  const { buffer } = repl;
  lines.push(
    ["master_failover_state", repl.failoverState],
    ["master_replid", repl.replid],
    ["master_replid2", repl.replid2],
    ["master_repl_offset", repl.offset],
    ["second_repl_offset", repl.secondOffset],
    ["repl_backlog_active", buffer.keeps ? 1 : 0],
    ["repl_backlog_size", buffer.sizeBytes],
    ["repl_backlog_first_byte_offset", buffer.keeps ? buffer.start + 1 : 0],
    ["repl_backlog_histlen", buffer.keeps ? buffer.length : 0],
  );
  return lines;
}

/** ROLE. */
export function role(c: Call, repl: Replication): void {
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
  const online = repl.attachedReplicas().filter((r) => r.state === ONLINE && r.ip !== "");
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

/** The model's talking half: connections, PING, INFO and hello, and what their replies change (Redis sentinel.c, "instances pinging"). */
import { parseHello } from "../../../lib/fleet/hello.ts";
import { infoFields, parseInfo } from "../../../lib/fleet/replication.ts";
import { ReplyError, type Reply } from "../../../lib/resp/reply.ts";
import { HELLO_CHANNEL } from "../../../lib/sentinel/core/types.ts";
import type { Addr, Callback, Instance, Sentinel } from "./instances.ts";
import {
  changeAddress,
  closeChannel,
  create,
  currentAddr,
  event,
  find,
  flush,
  MAX_PENDING,
  noDownFor,
  PERIOD,
  plainEvent,
  removePeer,
  same,
  shareLink,
} from "./instances.ts";

/** Sends a command whose reply goes to `then`; false when there is no connection. */
export function send(s: Sentinel, ri: Instance, args: string[], then: Callback): boolean {
  const link = ri.link;
  if (link.cmd === 0) return false;
  s.out.push({ kind: "send", link: link.cmd, args });
  link.callbacks.push((reply) => {
    link.pending--;
    if (then !== null && !ri.released) then(reply);
  });
  link.pending++;
  return true;
}

/** Redis: sentinelReconnectInstance. */
export function reconnect(s: Sentinel, ri: Instance): void {
  const link = ri.link;
  if (!link.disconnected || ri.addr.port === 0) return;
  if (s.now - link.lastReconnMs < PERIOD.pingMs) return;
  link.lastReconnMs = s.now;
  const name = `sentinel-${s.myid.slice(0, 8)}`;
  if (link.cmd === 0) {
    link.cmd = open(s, ri, "cmd");
    link.callbacks = [null];
    link.pending = 0;
    link.cmdConnMs = s.now;
    s.out.push({ kind: "send", link: link.cmd, args: ["CLIENT", "SETNAME", `${name}-cmd`] });
    sendPing(s, ri);
  }
  if (ri.kind !== "sentinel" && link.pubsub === 0) {
    link.pubsub = open(s, ri, "pubsub");
    link.pubsubConnMs = s.now;
    s.out.push({ kind: "send", link: link.pubsub, args: ["CLIENT", "SETNAME", `${name}-pubsub`] });
    s.out.push({ kind: "send", link: link.pubsub, args: ["SUBSCRIBE", HELLO_CHANNEL] });
  }
  if (link.cmd !== 0 && (ri.kind === "sentinel" || link.pubsub !== 0)) link.disconnected = false;
}

function open(s: Sentinel, ri: Instance, channel: "cmd" | "pubsub"): number {
  const id = ++s.lastLink;
  s.links.set(id, { link: ri.link, pubsub: channel === "pubsub" });
  s.out.push({ kind: "connect", link: id, channel, to: ri.kind, ip: ri.addr.ip, port: ri.addr.port });
  return id;
}

/** Redis: instanceLinkConnectionError. */
export function linkDown(s: Sentinel, id: number): void {
  const known = s.links.get(id);
  if (known === undefined) return;
  s.links.delete(id);
  if (known.pubsub) known.link.pubsub = 0;
  else {
    known.link.cmd = 0;
    known.link.callbacks = [];
  }
  known.link.disconnected = true;
}

/** Redis: sentinelSendPing. */
export function sendPing(s: Sentinel, ri: Instance): void {
  const link = ri.link;
  if (!send(s, ri, ["PING"], (r) => pong(s, ri, r))) return;
  link.lastPingMs = s.now;
  if (link.actPingMs === 0) link.actPingMs = s.now;
}

function pong(s: Sentinel, ri: Instance, reply: Reply): void {
  const link = ri.link;
  const text = reply instanceof ReplyError ? reply.text : typeof reply === "string" ? reply : "";
  if (text.startsWith("PONG") || text.startsWith("LOADING") || text.startsWith("MASTERDOWN")) {
    link.availMs = s.now;
    link.actPingMs = 0;
    if (text.startsWith("PONG")) ri.rebooting = false;
  } else if (text.startsWith("BUSY") && ri.sdown && !ri.scriptKillSent) {
    send(s, ri, ["SCRIPT", "KILL"], null);
    ri.scriptKillSent = true;
  }
  link.lastPongMs = s.now;
}

/** Redis: sentinelSendPeriodicCommands. */
export function periodic(s: Sentinel, ri: Instance): void {
  const link = ri.link;
  if (link.disconnected || link.pending >= MAX_PENDING * link.refs) return;
  const m = ri.master;
  const often = ri.kind === "slave" && (m!.odown || m!.inFailover || ri.masterLinkDownMs !== 0);
  const infoMs = often ? 1000 : PERIOD.infoMs;
  const pingMs = Math.min(ri.downAfterMs, PERIOD.pingMs);
  if (ri.kind !== "sentinel" && (ri.infoMs === 0 || s.now - ri.infoMs > infoMs))
    send(s, ri, ["INFO"], (r) => {
      if (typeof r === "string") refresh(s, ri, r);
    });
  if (s.now - link.lastPongMs > pingMs && s.now - link.lastPingMs > pingMs / 2) sendPing(s, ri);
  if (s.now - ri.lastPubMs > PERIOD.publishMs) sendHello(s, ri);
}

/** Redis: sentinelSendHello. */
function sendHello(s: Sentinel, ri: Instance): void {
  if (ri.link.disconnected) return;
  const m = ri.kind === "master" ? ri : ri.master!;
  const at = currentAddr(m);
  const ip = s.announceIp !== "" ? s.announceIp : ri.link.localIp;
  const port = s.announcePort !== 0 ? s.announcePort : s.port;
  const payload = `${ip},${port},${s.myid},${s.currentEpoch},${m.name},${at.ip},${at.port},${m.configEpoch}`;
  send(s, ri, ["PUBLISH", HELLO_CHANNEL, payload], (r) => {
    if (!(r instanceof ReplyError)) ri.lastPubMs = s.now;
  });
}

/** Redis: sentinelForceHelloUpdateForMaster. */
export function forceHello(m: Instance): void {
  for (const ri of [m, ...m.sentinels.values(), ...m.slaves.values()])
    if (ri.lastPubMs >= PERIOD.publishMs + 1) ri.lastPubMs -= PERIOD.publishMs + 1;
}

/** A message on a Pub/Sub link. Redis: sentinelReceiveHelloMessages. */
export function message(s: Sentinel, id: number, items: Reply[]): void {
  const known = s.links.get(id);
  if (known === undefined) return;
  known.link.pubsubActivityMs = s.now;
  if (items.length !== 3 || items[0] !== "message" || typeof items[2] !== "string") return;
  if (items[2].includes(s.myid)) return;
  hello(s, items[2]);
}

/** Redis: sentinelProcessHelloMessage. */
export function hello(s: Sentinel, csv: string): void {
  const h = parseHello(csv);
  const m = h === null ? undefined : s.masters.get(h.masterName);
  if (h === null || m === undefined) return;
  const from: Addr = { ip: h.host, port: h.port };
  const peer = find(m.sentinels, from, h.runId) ?? addPeer(s, m, from, h.runId);
  if (h.currentEpoch > s.currentEpoch) {
    s.currentEpoch = h.currentEpoch;
    flush(s);
    plainEvent(s, "warning", "+new-epoch", String(s.currentEpoch));
  }
  if (peer !== null && m.configEpoch < h.configEpoch) {
    m.configEpoch = h.configEpoch;
    const to: Addr = { ip: h.masterHost, port: h.masterPort };
    if (!same(to, m.addr)) {
      event(s, "warning", "+config-update-from", peer);
      plainEvent(s, "warning", "+switch-master", `${m.name} ${m.addr.ip} ${m.addr.port} ${to.ip} ${to.port}`);
      changeAddress(s, m, to);
    }
  }
  if (peer !== null) peer.lastHelloMs = s.now;
}

function addPeer(s: Sentinel, m: Instance, at: Addr, runId: string): Instance | null {
  const removed = removePeer(s, m, runId);
  if (removed > 0) event(s, "notice", "+sentinel-address-switch", m, ` ip ${at.ip} port ${at.port} for ${runId}`);
  else {
    const other = find(m.sentinels, at, null);
    if (other !== null) {
      event(s, "notice", "+sentinel-invalid-addr", other);
      const obsolete = other.runId!;
      for (const each of s.masters.values()) removePeer(s, each, obsolete);
    }
  }
  const peer = create(s, "sentinel", runId, at, m.quorum, m);
  if (peer === null) return null;
  if (removed === 0) event(s, "notice", "+sentinel", peer);
  peer.runId = runId;
  shareLink(s, peer);
  if (removed > 0) updateAddressElsewhere(s, peer);
  flush(s);
  return peer;
}

/** Redis: sentinelUpdateSentinelAddressInAllMasters. */
function updateAddressElsewhere(s: Sentinel, peer: Instance): void {
  let changed = 0;
  for (const m of s.masters.values()) {
    const match = find(m.sentinels, null, peer.runId);
    if (match === null) continue;
    closeChannel(s, match.link, "cmd");
    if (match === peer) continue;
    match.addr = peer.addr;
    changed++;
  }
  if (changed > 0) event(s, "notice", "+sentinel-address-update", peer, ` ${changed} additional matching instances`);
}

/** Redis: sentinelSendSlaveOf. `to` null: NO ONE. */
export function sendSlaveOf(s: Sentinel, ri: Instance, to: Addr | null): boolean {
  if (ri.link.cmd === 0) return false;
  for (const args of [
    ["MULTI"],
    to === null ? ["SLAVEOF", "NO", "ONE"] : ["SLAVEOF", to.ip, String(to.port)],
    ["CONFIG", "REWRITE"],
    ["CLIENT", "KILL", "TYPE", "normal"],
    ["CLIENT", "KILL", "TYPE", "pubsub"],
    ["EXEC"],
  ])
    send(s, ri, args, null);
  return true;
}

/** Redis: sentinelRefreshInstanceInfo. */
export function refresh(s: Sentinel, ri: Instance, text: string): void {
  const fields = infoFields(text);
  const info = parseInfo(text);
  ri.masterLinkDownMs = Number(fields.get("master_link_down_since_seconds") ?? 0) * 1000;
  if (info.runId !== "") {
    if (ri.runId !== null && ri.runId !== info.runId) {
      event(s, "notice", "+reboot", ri);
      if (ri.kind === "master" && ri.rebootDownAfterMs !== 0) {
        ri.rebooting = true;
        ri.rebootSinceMs = s.now;
      }
    }
    ri.runId = info.runId;
  }
  if (ri.kind === "master")
    for (const line of info.replicas) {
      const at = { ip: line.host, port: line.port };
      if (find(ri.slaves, at, null) !== null) continue;
      const slave = create(s, "slave", "", at, ri.quorum, ri);
      if (slave === null) continue;
      event(s, "notice", "+slave", slave);
      flush(s);
    }
  const role = info.role === "master" ? "master" : info.role === "replica" ? "slave" : "none";
  if (role === "slave") {
    if (ri.masterHost !== info.masterHost || ri.masterPort !== info.masterPort) ri.confChangeMs = s.now;
    ri.masterHost = info.masterHost;
    ri.masterPort = info.masterPort;
    ri.masterLinkUp = info.masterLinkUp;
    ri.priority = info.priority;
    ri.replOffset = info.offset;
  }
  ri.infoMs = s.now;
  if (role !== ri.roleReported) {
    ri.roleReportedMs = s.now;
    ri.roleReported = role;
    if (role === "slave") ri.confChangeMs = s.now;
    event(
      s,
      "verbose",
      role === ri.kind ? "+role-change" : "-role-change",
      ri,
      ` new reported role is ${role === "master" ? "master" : "slave"}`,
    );
  }
  if (s.tilt || ri.kind !== "slave") return;
  if (role === "master") saidMaster(s, ri);
  else if (role === "slave") saidSlave(s, ri);
}

/** Redis: sentinelMasterLooksSane. */
function sane(s: Sentinel, m: Instance): boolean {
  return m.roleReported === "master" && !m.sdown && !m.odown && s.now - m.infoMs < PERIOD.infoMs * 2;
}

/** A replica of ours says that it is a master: promoted by us, or to be brought back. */
function saidMaster(s: Sentinel, ri: Instance): void {
  const m = ri.master!;
  if (ri.promoted && m.inFailover && m.failoverState === "wait_promotion") {
    m.configEpoch = m.failoverEpoch;
    m.failoverState = "reconf_slaves";
    m.failoverStateMs = s.now;
    flush(s);
    event(s, "warning", "+promoted-slave", ri);
    if (s.crashAfter === "promotion") {
      s.exited = true;
      s.out.push({ kind: "exit", code: 99 });
      return;
    }
    event(s, "warning", "+failover-state-reconf-slaves", m);
    forceHello(m);
    return;
  }
  const waitMs = PERIOD.publishMs * 4;
  if (!ri.promoted && sane(s, m) && noDownFor(s, ri, waitMs) && s.now - ri.roleReportedMs > waitMs)
    if (sendSlaveOf(s, ri, m.addr)) event(s, "notice", "+convert-to-slave", ri);
}

function saidSlave(s: Sentinel, ri: Instance): void {
  const m = ri.master!;
  const follows = (a: Addr): boolean => ri.masterHost === a.ip && ri.masterPort === a.port;
  if (!follows(m.addr)) {
    const waitMs = m.failoverTimeoutMs;
    if (sane(s, m) && noDownFor(s, ri, waitMs) && s.now - ri.confChangeMs > waitMs)
      if (sendSlaveOf(s, ri, m.addr)) event(s, "notice", "+fix-slave-config", ri);
  }
  if (ri.reconfSent && m.promotedSlave !== null && follows(m.promotedSlave.addr)) {
    ri.reconfSent = false;
    ri.reconfInprog = true;
    event(s, "notice", "+slave-reconf-inprog", ri);
  }
  if (ri.reconfInprog && ri.masterLinkUp) {
    ri.reconfInprog = false;
    ri.reconfDone = true;
    event(s, "notice", "+slave-reconf-done", ri);
  }
}

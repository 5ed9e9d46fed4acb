/**
 * The monitored master changes its address: after a failover of ours, or because a newer configuration came by hello. Pure.
 * Redis sentinel.c: sentinelResetMasterAndChangeAddress, sentinelResetMaster. Other than there, the replicas' connections stay open, and
 * the promoted replica's becomes the master's: nothing has to be found out anew.
 */
import { sameAddr, type Addr } from "./addr.ts";
import { emit } from "./events.ts";
import { closeLink, release } from "./links.ts";
import { persistSoon } from "./persist.ts";
import { close } from "./history.ts";
import { NEVER, createReplica, log, newLink, touch, type Master, type Peer, type Replica, type Turn } from "./state.ts";

/** Re-creates the state of a master under its new address; all others and the old address stay or become replicas (`+slave` each). */
export function switchMaster(t: Turn, m: Master, to: Addr): void {
  const from = m.addr;
  const stream = m.ownReplid;
  let heir: Replica | null = null;
  for (const r of m.replicas.values()) if (sameAddr(r.addr, to)) heir = r;
  const ownLink = m.link;
  ownLink.owners = [];
  if (heir !== null) {
    m.replicas.delete(heir.name);
    m.link = heir.link;
    heir.link = newLink(t.now);
    release(t, heir);
    m.link.owners = [m.id];
    // Whatever it was as a replica, as a master it has all of down-after before it is called down.
    if (m.link.actPingMs !== NEVER) m.link.actPingMs = t.now;
    m.link.lastAvailMs = t.now;
    m.runid = heir.runid;
    // Not what it was before the last switch: it may have followed since.
    m.replid = heir.deposed || (heir.infoMs !== NEVER && heir.infoMs > m.switchedMs) ? heir.replid : "";
    m.ownReplid = "";
    m.info = heir.info;
  } else {
    m.link = newLink(t.now);
    m.link.owners = [m.id];
    m.runid = "";
    m.replid = "";
    m.ownReplid = "";
    m.info = null;
  }
  closeLink(t, ownLink, "both");
  clearMaster(t, m);
  m.addr = to;
  m.switchedMs = t.now;
  for (const r of m.replicas.values()) {
    r.confChangeMs = t.now;
    r.masterLinkDownMs = 0;
    r.infoDue = true;
    r.check = null;
    touch(t, r);
    emit(t, "notice", "+slave", r);
  }
  if (!sameAddr(from, to)) {
    const old = createReplica(t, m, from.host, from.port);
    if (typeof old !== "string") {
      old.oldMaster = true;
      old.deposed = true;
      old.replid = stream;
      emit(t, "notice", "+slave", old);
    }
  }
  touch(t, m);
  persistSoon(t);
}

/** What a master forgets when its address changes or it is RESET. Its vote's epoch, its configuration's epoch and its settings stay. */
export function clearMaster(t: Turn, m: Master): void {
  m.sdown = false;
  m.odown = false;
  m.sdownSinceMs = NEVER;
  m.odownSinceMs = NEVER;
  m.rebooted = false;
  m.refusedMs = NEVER;
  m.followsHost = "";
  m.followsPort = 0;
  m.scriptKillSent = false;
  m.leader = "";
  m.promoted = null;
  m.handover = null;
  m.failoverStartMs = NEVER;
  m.candidacyMs = NEVER;
  m.retryMs = NEVER;
  m.retries = 0;
  m.infoMs = NEVER;
  m.infoDue = true;
  m.infoInFlight = false;
  m.roleReported = "master";
  m.roleReportedMs = t.now;
  m.helloInFlight = false;
  for (const p of m.peers.values()) {
    p.masterDown = false;
    p.askInFlight = false;
  }
}

/**
 * Takes a replica or a peer off a master's list. One that lives comes back by the master's INFO, or its own hello; the INFO is asked for at
 * once: a failover before the next one would leave the replica with the old master, and nobody would know of it.
 */
export function forgetOne(t: Turn, ri: Replica | Peer): void {
  const m = ri.master;
  log(t, "notice", `${ri.role} ${ri.name} of '${m.name}' is removed from the list`);
  release(t, ri);
  if (ri.role === "slave") {
    m.replicas.delete(ri.name);
    m.infoDue = true;
  } else m.peers.delete(ri.runid);
  touch(t, m);
  persistSoon(t);
}

/** SENTINEL RESET pattern DEAD: replicas and peers that are down go, the rest stays as it is. Not while a failover needs them. */
export function forgetDead(t: Turn, m: Master): void {
  if (m.failoverState !== "none") return;
  for (const ri of [...m.replicas.values(), ...m.peers.values()]) if (ri.sdown) forgetOne(t, ri);
}

/** Redis: sentinelResetMaster with its event, for SENTINEL RESET. */
export function resetMaster(t: Turn, m: Master): void {
  for (const r of m.replicas.values()) release(t, r);
  for (const p of m.peers.values()) release(t, p);
  m.replicas.clear();
  m.peers.clear();
  closeLink(t, m.link, "both");
  const link = newLink(t.now);
  link.cmd.triedMs = m.link.cmd.triedMs;
  link.pubsub.triedMs = m.link.pubsub.triedMs;
  link.owners = [m.id];
  m.link = link;
  clearMaster(t, m);
  close(t, m, "aborted");
  m.failoverState = "none";
  m.forced = false;
  m.switched = false;
  m.votes = new Map();
  m.runid = "";
  m.info = null;
  m.lastPubMs = t.now;
  touch(t, m);
  emit(t, "warning", "+reset-master", m);
}

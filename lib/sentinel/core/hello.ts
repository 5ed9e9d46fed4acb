/**
 * Hello messages: how Sentinels find each other and how configurations spread. Pure. Redis sentinel.c: sentinelProcessHelloMessage.
 * Exactly eight fields: ip, port, runid, current epoch, master name, master ip, master port, config epoch.
 */
import { makeAddr, namesAddr, sameAddr, shown, shownWithPort, type Addr } from "./addr.ts";
import { emit, emitText, newEpoch, reconfigScript } from "./events.ts";
import { begin, close } from "./history.ts";
import { mayLead, removeEverywhere } from "./identity.ts";
import { closeLink, helloAll, release } from "./links.ts";
import { persistLater, persistSoon } from "./persist.ts";
import { NEVER, createPeer, touch, type Claim, type Master, type Peer, type Turn } from "./state.ts";
import { switchMaster } from "./switch.ts";
import { atoi } from "./text.ts";

/** A message on the hello channel of a server; our own are skipped. */
export function onHelloMessage(t: Turn, text: string): void {
  if (!text.includes(t.s.myid)) processHello(t, text);
}

export function processHello(t: Turn, text: string): void {
  const f = text.split(",");
  if (f.length !== 8) return;
  const [ip, portText, runid, epochText, name, masterIp, masterPortText, configEpochText] = f;
  const m = t.s.masters.get(name);
  if (m === undefined || t.s.strangers.has(runid)) return;
  const port = atoi(portText);
  const epoch = wholeEpoch(epochText);
  const configEpoch = wholeEpoch(configEpochText);
  const p = known(t, m, ip, port, runid) ?? meet(t, m, ip, port, runid);
  if (epoch > t.s.currentEpoch) {
    newEpoch(t, m, epoch);
    persistLater(t);
  }
  if (p === null) return;
  if (m.configEpoch < configEpoch && mayLead(t.s, p)) adopt(t, m, p, masterIp, atoi(masterPortText), configEpoch);
  p.lastHelloMs = t.now;
  if (mayLead(t.s, p)) onClaim(t, m, p, { host: masterIp, port: atoi(masterPortText), epoch: configEpoch });
}

function wholeEpoch(text: string): number {
  const v = atoi(text);
  return Number.isSafeInteger(v) && v >= 0 ? v : 0;
}

function known(t: Turn, m: Master, ip: string, port: number, runid: string): Peer | null {
  const p = m.peers.get(runid);
  if (p === undefined) return null;
  const addr = makeAddr(t.s, ip, port, true);
  return typeof addr !== "string" && sameAddr(p.addr, addr) ? p : null;
}

/** A Sentinel not known at this address: new, moved, or sitting where another one was. */
function meet(t: Turn, m: Master, ip: string, port: number, runid: string): Peer | null {
  const addr = makeAddr(t.s, ip, port, true);
  if (typeof addr === "string") return null;
  const moved = m.peers.get(runid);
  // What it said so far stays true after a move: its standing vote must not be forgotten.
  if (moved !== undefined) {
    release(t, moved);
    m.peers.delete(runid);
    emit(t, "notice", "+sentinel-address-switch", m, ` ip ${ip} port ${port} for ${runid}`);
  } else {
    for (const other of m.peers.values())
      if (sameAddr(other.addr, addr)) {
        emit(t, "notice", "+sentinel-invalid-addr", other);
        removeEverywhere(t, other.runid);
        break;
      }
  }
  const p = createPeer(t, m, runid, ip, port);
  if (typeof p === "string") return null;
  if (moved === undefined) emit(t, "notice", "+sentinel", p);
  else {
    p.leader = moved.leader;
    p.leaderEpoch = moved.leaderEpoch;
    moveEverywhere(t, p);
  }
  p.helloDue = true;
  persistLater(t);
  touch(t, m);
  return p;
}

/** The same peer under other masters gets the new address too. Redis: sentinelUpdateSentinelAddressInAllMasters. */
function moveEverywhere(t: Turn, p: Peer): void {
  let updated = 0;
  for (const m of t.s.masters.values()) {
    const twin = m.peers.get(p.runid);
    if (twin === undefined) continue;
    closeLink(t, twin.link, "both");
    if (twin === p) continue;
    twin.addr = { ...p.addr };
    updated++;
  }
  if (updated > 0) emit(t, "notice", "+sentinel-address-update", p, ` ${updated} additional matching instances`);
}

/** What a peer's hello says about the master: another address under our own epoch is a case for dispute.ts. */
function onClaim(t: Turn, m: Master, p: Peer, claim: Claim): void {
  p.claim = claim;
  if (claim.epoch === 0 || claim.epoch !== m.configEpoch || m.disputeMs !== NEVER) return;
  if (claim.port === m.addr.port && namesAddr(t.s, m.addr, claim.host)) return;
  m.disputeMs = t.now;
  touch(t, m);
}

/** A newer configuration. Config epochs only ever rise. */
function adopt(t: Turn, m: Master, from: Peer, host: string, port: number, configEpoch: number): void {
  const to = makeAddr(t.s, host, port, false);
  const same = port === m.addr.port && namesAddr(t.s, m.addr, host);
  // An address that cannot be used yet is not adopted by half: the next hello brings it again.
  if (!same && typeof to === "string") return;
  m.configEpoch = configEpoch;
  persistSoon(t);
  // A failover of ours that is older than this configuration is void, also when the address is the one it leads away from (an original
  // goes on and ends with its own address under the other's epoch, for ever: tests/sim found it).
  if (m.failoverState !== "none" && !m.switched && m.failoverEpoch < configEpoch) {
    close(t, m, "aborted");
    leaveFailover(m);
  }
  if (!same && typeof to !== "string") follow(t, m, from, to, host, configEpoch);
}

/** The master is the one at `to` from now on, because `from` says so; `host` as it wrote it. */
export function follow(t: Turn, m: Master, from: Peer, to: Addr, host: string, configEpoch: number): void {
  const { port } = to;
  close(t, m, "aborted");
  const seen = begin(t, m, "observed", configEpoch);
  [seen.to, seen.leader] = [shownWithPort(t.s, to), from.runid];
  emit(t, "warning", "+config-update-from", from);
  emitText(t, "warning", "+switch-master", `${m.name} ${shown(t.s, m.addr)} ${m.addr.port} ${host} ${port}`, m);
  const old = m.addr;
  leaveFailover(m);
  switchMaster(t, m, to);
  close(t, m, "done");
  for (const r of m.replicas.values()) r.oldMaster = false;
  reconfigScript(t, m, "observer", old, m.addr);
  helloAll(t, m);
}

/** Whatever we were doing about this master is overtaken. */
export function leaveFailover(m: Master): void {
  m.failoverState = "none";
  m.forced = false;
  m.switched = false;
  m.promoted = null;
  m.handover = null;
  m.votes = new Map();
  for (const r of m.replicas.values()) {
    r.promotedFlag = false;
    r.reconfSent = false;
    r.reconfInProgress = false;
    r.reconfDone = false;
  }
}

/**
 * Links of instances: opening, closing, the commands sent on them, and which reply belongs to what. Pure.
 * Redis sentinel.c: sentinelReconnectInstance, sentinelSendAuthIfNeeded, sentinelSetClientName, sentinelSendPing, sentinelSendSlaveOf.
 */
import { lookup, shown, type Addr } from "./addr.ts";
import {
  NEVER,
  currentAddr,
  disconnected,
  masterOf,
  touch,
  wake,
  type Channel,
  type Instance,
  type Link,
  type Master,
  type Pending,
  type Replica,
  type State,
  type Turn,
} from "./state.ts";
import { HELLO_CHANNEL } from "./types.ts";

/** Redis: SENTINEL_MAX_PENDING_COMMANDS, per owner of the link. */
const MAX_PENDING = 100;
/** A lost connection is tried again at once, later attempts at this distance; after long silence at the ping period. */
const RECONNECT_MS = 100;
const LONG_DOWN_MS = 300_000;
/** How often a name may be looked up for one instance. */
const RESOLVE_MS = 1000;

/** How often a healthy instance is pinged: fine enough that a silent death is seen within a tenth of down-after. */
export function pingPeriod(t: Turn, ri: Instance): number {
  const downAfter = masterOf(ri).downAfterMs;
  return Math.min(t.s.periods.ping, downAfter, Math.max(Math.floor(downAfter / 10), 20));
}

/** Redis: sentinelInstanceMapCommand. */
export function mapped(ri: Instance, command: string): string {
  return masterOf(ri).renamed.get(command.toLowerCase())?.to ?? command;
}

/** Sends a command on the instance's command connection. `args[0]` goes through rename-command. */
export function send(t: Turn, ri: Instance, args: string[], pending: Pending): void {
  const link = ri.link;
  if (link.cmd.id === 0) return;
  args[0] = mapped(ri, args[0]);
  link.pending.push(pending);
  t.out.push({ kind: "send", link: link.cmd.id, args });
}

/** What our Sentinels ask each other: who are you? An original knows no such subcommand, and that is an answer too. */
const IDENTITY = ["SENTINEL", "IDENTITY"];

export function pendingFull(ri: Instance): boolean {
  return ri.link.pending.length >= MAX_PENDING * ri.link.owners.length;
}

export function sendPing(t: Turn, ri: Instance): void {
  const link = ri.link;
  if (link.cmd.id === 0) return;
  send(t, ri, ["PING"], { kind: "ping", ri: ri.id, sentMs: t.now });
  link.lastPingMs = t.now;
  if (link.actPingMs === NEVER) link.actPingMs = t.now;
}

export function sendInfo(t: Turn, ri: Master | Replica): void {
  if (ri.link.cmd.id === 0) return;
  ri.infoDue = false;
  ri.infoInFlight = true;
  ri.infoSentMs = t.now;
  send(t, ri, ["INFO"], { kind: "info", ri: ri.id });
}

/** Redis: sentinelSendHello. The eight fields; the address is our end of this very connection unless announce-ip is set. */
export function sendHello(t: Turn, ri: Instance): void {
  const { s } = t;
  if (disconnected(ri)) return;
  const m = masterOf(ri);
  const ip = s.announceIp !== "" ? s.announceIp : ri.link.cmd.localIp;
  const port = s.announcePort !== 0 ? s.announcePort : s.port;
  const addr = currentAddr(m);
  const payload = `${ip},${port},${s.myid},${s.currentEpoch},${m.name},${shown(s, addr)},${addr.port},${m.configEpoch}`;
  ri.helloInFlight = true;
  ri.helloDue = false;
  send(t, ri, ["PUBLISH", HELLO_CHANNEL, payload], { kind: "hello", ri: ri.id, epoch: m.configEpoch });
}

/** Hellos to everybody about this master now. Redis: sentinelForceHelloUpdateForMaster. */
export function helloAll(t: Turn, m: Master): void {
  for (const ri of [...m.peers.values(), m, ...m.replicas.values()]) {
    ri.helloDue = true;
    touch(t, ri);
  }
}

/**
 * SLAVEOF host port (null: NO ONE), the file, and the clients, in one transaction. Redis: sentinelSendSlaveOf.
 * `exec` is what the EXEC reply is for.
 */
export function sendSlaveOf(t: Turn, ri: Instance, to: Addr | null, exec: Pending = { kind: "discard" }): void {
  const skip: Pending = { kind: "discard" };
  send(t, ri, ["MULTI"], skip);
  send(t, ri, to === null ? ["SLAVEOF", "NO", "ONE"] : ["SLAVEOF", shown(t.s, to), String(to.port)], skip);
  send(t, ri, ["CONFIG", "REWRITE"], skip);
  send(t, ri, ["CLIENT", "KILL", "TYPE", "normal"], skip);
  send(t, ri, ["CLIENT", "KILL", "TYPE", "pubsub"], skip);
  send(t, ri, ["EXEC"], exec);
}

function authArgs(t: Turn, ri: Instance): string[] | null {
  const { s } = t;
  if (ri.role === "sentinel") {
    if (s.sentinelPass !== "") return s.sentinelUser !== "" ? ["AUTH", s.sentinelUser, s.sentinelPass] : ["AUTH", s.sentinelPass];
    return s.requirepass !== "" ? ["AUTH", s.requirepass] : null;
  }
  const m = masterOf(ri);
  if (m.authPass === "") return null;
  return m.authUser !== "" ? ["AUTH", m.authUser, m.authPass] : ["AUTH", m.authPass];
}

function open(t: Turn, ri: Instance, which: "cmd" | "pubsub"): void {
  const { s } = t;
  const link = ri.link;
  const channel = link[which];
  channel.id = ++s.lastLink;
  channel.triedMs = t.now;
  channel.up = false;
  channel.upMs = t.now;
  channel.lastActivityMs = t.now;
  s.channels.set(channel.id, { link, pubsub: which === "pubsub" });
  t.out.push({ kind: "connect", link: channel.id, channel: which, to: ri.role, ip: ri.addr.ip, port: ri.addr.port });
  const auth = authArgs(t, ri);
  const name = ["CLIENT", "SETNAME", `sentinel-${s.myid.slice(0, 8)}-${which}`];
  if (which === "cmd") {
    link.pending = [];
    if (auth !== null) send(t, ri, auth, { kind: "auth", ri: ri.id });
    send(t, ri, name, { kind: "discard" });
    sendPing(t, ri);
    if (ri.role === "sentinel") send(t, ri, [...IDENTITY], { kind: "identity", ri: ri.id });
  } else {
    for (const args of [auth, name, ["SUBSCRIBE", HELLO_CHANNEL]]) {
      if (args === null) continue;
      args[0] = mapped(ri, args[0]);
      t.out.push({ kind: "send", link: channel.id, args });
    }
  }
}

/** Opens what is missing, each connection not more often than the retry distance allows. Redis: sentinelReconnectInstance. */
export function reconnect(t: Turn, ri: Instance): void {
  if (ri.addr.port === 0) return;
  const { periods } = t.s;
  const long = ri.sdown && t.now - ri.sdownSinceMs > LONG_DOWN_MS;
  const distance = long ? periods.ping : Math.min(periods.ping, RECONNECT_MS);
  for (const which of ri.role === "sentinel" ? (["cmd"] as const) : (["cmd", "pubsub"] as const)) {
    const channel = ri.link[which];
    if (channel.id !== 0) continue;
    const at = channel.triedMs + distance;
    if (t.now < at) {
      wake(ri, at);
      continue;
    }
    if (t.s.resolveHostnames) resolve(t, ri);
    if (ri.addr.ip === "") wake(ri, t.now + RESOLVE_MS);
    else open(t, ri, which);
  }
}

/** Asks for the name's ip again; the last good answer stays in use meanwhile. */
function resolve(t: Turn, ri: Instance): void {
  const { addr } = ri;
  if (addr.host === addr.ip || t.now - ri.lastResolveMs < RESOLVE_MS) return;
  ri.lastResolveMs = t.now;
  t.out.push({ kind: "resolve", host: addr.host });
  const known = lookup(t.s, addr.host);
  if (known !== "" && known !== addr.ip) ri.addr = { ...addr, ip: known };
}

/** This process was away for `ms` and heard nobody: no clock of somebody's silence has run meanwhile. */
export function notSilence(s: State, ms: number): void {
  const seen = new Set<Link>();
  for (const { link } of s.instances.values()) {
    if (seen.has(link)) continue;
    seen.add(link);
    link.actPingMs += ms;
    link.lastAvailMs += ms;
    link.lastPongMs += ms;
    link.pubsub.lastActivityMs += ms;
    for (const p of link.pending) if (p.kind === "ping") p.sentMs += ms;
  }
}

function forget(t: Turn, channel: Channel): void {
  if (channel.id !== 0) t.s.channels.delete(channel.id);
  channel.id = 0;
  channel.up = false;
}

/** Clears what waited for replies on a lost command connection. */
function lost(t: Turn, link: Link): void {
  const pending = link.pending;
  link.pending = [];
  for (const p of pending) {
    if (!("ri" in p)) continue;
    const ri = t.s.instances.get(p.ri);
    if (ri === undefined) continue;
    if (p.kind === "info" && ri.role !== "sentinel") ri.infoInFlight = false;
    else if (p.kind === "hello") ri.helloInFlight = false;
    else if (p.kind === "handoverRole" && ri.role === "slave" && ri.master.handover !== null) ri.master.handover.asking = false;
    else if (p.kind === "ask" && ri.role === "sentinel") ri.askInFlight = false;
  }
}

/** Closes one or both connections of a link; they are opened again at the owners' next visits. */
export function closeLink(t: Turn, link: Link, which: "cmd" | "pubsub" | "both"): void {
  for (const name of ["cmd", "pubsub"] as const) {
    const channel = link[name];
    if ((which !== "both" && which !== name) || channel.id === 0) continue;
    t.out.push({ kind: "close", link: channel.id });
    forget(t, channel);
    if (name === "cmd") lost(t, link);
  }
  touchOwners(t, link);
}

export function touchOwners(t: Turn, link: Link): void {
  for (const id of link.owners) {
    const ri = t.s.instances.get(id);
    if (ri !== undefined) touch(t, ri);
  }
}

/** The driver lost a connection or could not open it. Returns the first owner, for the log. */
export function linkLost(t: Turn, link: Link, pubsub: boolean): void {
  const channel = pubsub ? link.pubsub : link.cmd;
  forget(t, channel);
  if (!pubsub) lost(t, link);
  touchOwners(t, link);
}

/** Takes an instance out of the world: link closed when nobody else uses it, no more visits. */
export function release(t: Turn, ri: Instance): void {
  const { s } = t;
  const link = ri.link;
  link.owners = link.owners.filter((id) => id !== ri.id);
  if (link.owners.length === 0) closeLink(t, link, "both");
  s.instances.delete(ri.id);
  s.deadlines.remove(ri);
  t.touched.delete(ri);
}

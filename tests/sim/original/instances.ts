/**
 * A model of the original Sentinel (Redis 7.2 sentinel.c, read and written anew): its instances and links, how they come and go, and the
 * lines it keeps on disk. links.ts talks, judge.ts decides, engine.ts is the Engine that a world drives. It decides on ticks as the original
 * does, so that our own engine meets a faithful partner in a mixed quorum, and so that event logs can be compared with the real program's
 * (tests/sim/original_real.test.ts). Cold, simulated worlds only.
 *
 * Left out: passwords, scripts, host names, TLS, renamed commands, SENTINEL SET and CONFIG (no world uses them).
 */
import type { Action, Level, LinkId, Random } from "../../../lib/sentinel/core/types.ts";
import type { Reply } from "../../../lib/resp/reply.ts";

export const PERIOD = {
  infoMs: 10_000,
  pingMs: 1000,
  askMs: 1000,
  publishMs: 2000,
  defaultDownAfterMs: 30_000,
  defaultFailoverTimeoutMs: 180_000,
  tiltTriggerMs: 2000,
  tiltMs: 30_000,
  reconfTimeoutMs: 10_000,
  minReconnectMs: 15_000,
  electionMs: 10_000,
  maxDesyncMs: 1000,
};
export const MAX_PENDING = 100;

export type Addr = { ip: string; port: number };
export const same = (a: Addr, b: Addr): boolean => a.ip === b.ip && a.port === b.port;
export const shown = (a: Addr): string => `${a.ip}:${a.port}`;

/** What to do with the next reply on a command link; null drops it. Lost replies call nobody. */
export type Callback = ((reply: Reply) => void) | null;

export type Link = {
  refs: number;
  disconnected: boolean;
  pending: number;
  /** 0: none. */
  cmd: LinkId;
  pubsub: LinkId;
  callbacks: Callback[];
  localIp: string;
  cmdConnMs: number;
  pubsubConnMs: number;
  pubsubActivityMs: number;
  availMs: number;
  /** 0: no ping waits for an answer. */
  actPingMs: number;
  lastPingMs: number;
  lastPongMs: number;
  lastReconnMs: number;
};

export type State = "none" | "wait_start" | "select_slave" | "send_slaveof_noone" | "wait_promotion" | "reconf_slaves" | "update_config";
const ORDER: State[] = ["none", "wait_start", "select_slave", "send_slaveof_noone", "wait_promotion", "reconf_slaves", "update_config"];
export const atLeast = (s: State, than: State): boolean => ORDER.indexOf(s) >= ORDER.indexOf(than);

export type Kind = "master" | "slave" | "sentinel";

/** One record for all three kinds, as the original has it; fields that a kind does not use stay at their start. */
export type Instance = {
  kind: Kind;
  name: string;
  runId: string | null;
  addr: Addr;
  link: Link;
  master: Instance | null;
  released: boolean;
  lastPubMs: number;
  lastHelloMs: number;
  lastMasterDownReplyMs: number;
  sdown: boolean;
  sdownSinceMs: number;
  odown: boolean;
  odownSinceMs: number;
  downAfterMs: number;
  infoMs: number;
  roleReported: "master" | "slave" | "none";
  roleReportedMs: number;
  confChangeMs: number;
  // master
  configEpoch: number;
  sentinels: Map<string, Instance>;
  slaves: Map<string, Instance>;
  quorum: number;
  parallelSyncs: number;
  leader: string | null;
  leaderEpoch: number;
  failoverEpoch: number;
  failoverState: State;
  failoverStateMs: number;
  failoverStartMs: number;
  failoverTimeoutMs: number;
  failoverDelayLogged: number;
  inFailover: boolean;
  forced: boolean;
  promotedSlave: Instance | null;
  rebootDownAfterMs: number;
  rebooting: boolean;
  rebootSinceMs: number;
  // replica
  masterLinkDownMs: number;
  priority: number;
  masterHost: string | null;
  masterPort: number;
  masterLinkUp: boolean;
  replOffset: number;
  promoted: boolean;
  reconfSent: boolean;
  reconfSentMs: number;
  reconfInprog: boolean;
  reconfDone: boolean;
  scriptKillSent: boolean;
  // peer
  masterDown: boolean;
};

/** The whole state of one modelled Sentinel, with the step's clock, random and outgoing actions. */
export type Sentinel = {
  myid: string;
  port: number;
  currentEpoch: number;
  masters: Map<string, Instance>;
  tilt: boolean;
  tiltStartMs: number;
  previousMs: number;
  lastLink: LinkId;
  lastToken: number;
  /** Open links by number, to find what an event is about. */
  links: Map<LinkId, { link: Link; pubsub: boolean }>;
  announceIp: string;
  announcePort: number;
  crashAfter: "" | "election" | "promotion";
  exited: boolean;
  now: number;
  random: Random;
  out: Action[];
};

export function newLink(now: number): Link {
  return {
    refs: 1,
    disconnected: true,
    pending: 0,
    cmd: 0,
    pubsub: 0,
    callbacks: [],
    localIp: "",
    cmdConnMs: 0,
    pubsubConnMs: 0,
    pubsubActivityMs: 0,
    availMs: now,
    actPingMs: now,
    lastPingMs: 0,
    lastPongMs: now,
    lastReconnMs: -PERIOD.pingMs,
  };
}

/** Redis: createSentinelRedisInstance. Null when the name is taken. */
export function create(s: Sentinel, kind: Kind, name: string, addr: Addr, quorum: number, master: Instance | null): Instance | null {
  const table = kind === "master" ? s.masters : kind === "slave" ? master!.slaves : master!.sentinels;
  const key = kind === "slave" ? shown(addr) : name;
  if (table.has(key)) return null;
  const now = s.now;
  const ri: Instance = {
    kind,
    name: key,
    runId: null,
    addr,
    link: newLink(now),
    master,
    released: false,
    lastPubMs: now,
    lastHelloMs: now,
    lastMasterDownReplyMs: now,
    sdown: false,
    sdownSinceMs: 0,
    odown: false,
    odownSinceMs: 0,
    downAfterMs: master === null ? PERIOD.defaultDownAfterMs : master.downAfterMs,
    infoMs: 0,
    roleReported: kind === "sentinel" ? "none" : kind,
    roleReportedMs: now,
    confChangeMs: now,
    configEpoch: 0,
    sentinels: new Map(),
    slaves: new Map(),
    quorum,
    parallelSyncs: 1,
    leader: null,
    leaderEpoch: 0,
    failoverEpoch: 0,
    failoverState: "none",
    failoverStateMs: 0,
    failoverStartMs: 0,
    failoverTimeoutMs: PERIOD.defaultFailoverTimeoutMs,
    failoverDelayLogged: 0,
    inFailover: false,
    forced: false,
    promotedSlave: null,
    rebootDownAfterMs: 0,
    rebooting: false,
    rebootSinceMs: 0,
    masterLinkDownMs: 0,
    priority: 100,
    masterHost: null,
    masterPort: 0,
    masterLinkUp: false,
    replOffset: 0,
    promoted: false,
    reconfSent: false,
    reconfSentMs: 0,
    reconfInprog: false,
    reconfDone: false,
    scriptKillSent: false,
    masterDown: false,
  };
  table.set(key, ri);
  return ri;
}

/** Redis: instanceLinkCloseConnection. */
export function closeChannel(s: Sentinel, link: Link, which: "cmd" | "pubsub"): void {
  const id = link[which];
  if (id === 0) return;
  s.out.push({ kind: "close", link: id });
  s.links.delete(id);
  link[which] = 0;
  if (which === "cmd") {
    link.pending = 0;
    link.callbacks = [];
  }
  link.disconnected = true;
}

export function release(s: Sentinel, ri: Instance): void {
  ri.released = true;
  for (const child of [...ri.slaves.values(), ...ri.sentinels.values()]) release(s, child);
  ri.link.refs--;
  if (ri.link.refs > 0) return;
  closeChannel(s, ri.link, "cmd");
  closeChannel(s, ri.link, "pubsub");
}

/** Redis: sentinelEvent. `more` follows the instance in the payload. */
export function event(s: Sentinel, level: Level, type: string, ri: Instance | null, more = ""): void {
  let payload = "";
  if (ri !== null) {
    payload = `${ri.kind} ${ri.name} ${ri.addr.ip} ${ri.addr.port}`;
    if (ri.master !== null) payload += ` @ ${ri.master.name} ${ri.master.addr.ip} ${ri.master.addr.port}`;
  }
  s.out.push({ kind: "emit", level, type, payload: payload + more });
}

/** Events whose payload is not an instance. */
export function plainEvent(s: Sentinel, level: Level, type: string, payload: string): void {
  s.out.push({ kind: "emit", level, type, payload });
}

export function flush(s: Sentinel): void {
  s.out.push({ kind: "persist", token: ++s.lastToken });
}

/** Redis: sentinelResetMaster. */
export function resetMaster(s: Sentinel, m: Instance, keepSentinels: boolean): void {
  for (const slave of m.slaves.values()) release(s, slave);
  m.slaves = new Map();
  if (!keepSentinels) {
    for (const peer of m.sentinels.values()) release(s, peer);
    m.sentinels = new Map();
  }
  closeChannel(s, m.link, "cmd");
  closeChannel(s, m.link, "pubsub");
  m.sdown = m.odown = m.inFailover = m.forced = m.rebooting = m.scriptKillSent = false;
  m.leader = null;
  m.failoverState = "none";
  m.failoverStateMs = 0;
  m.failoverStartMs = 0;
  m.promotedSlave = null;
  m.runId = null;
  m.masterHost = null;
  m.link.actPingMs = s.now;
  m.link.lastPingMs = 0;
  m.link.availMs = s.now;
  m.link.lastPongMs = s.now;
  m.roleReportedMs = s.now;
  m.roleReported = "master";
}

/** Redis: sentinelResetMasterAndChangeAddress. */
export function changeAddress(s: Sentinel, m: Instance, to: Addr): void {
  const addrs = [...m.slaves.values()].map((r) => r.addr).filter((a) => !same(a, to));
  if (!same(to, m.addr)) addrs.push(m.addr);
  resetMaster(s, m, true);
  m.addr = to;
  m.odownSinceMs = 0;
  m.sdownSinceMs = 0;
  for (const a of addrs) {
    const slave = create(s, "slave", "", a, m.quorum, m);
    if (slave !== null) event(s, "notice", "+slave", slave);
  }
  flush(s);
}

/** Redis: sentinelGetCurrentMasterAddress. */
export function currentAddr(m: Instance): Addr {
  return m.inFailover && m.promotedSlave !== null && atLeast(m.failoverState, "reconf_slaves") ? m.promotedSlave.addr : m.addr;
}

/** Redis: getSentinelRedisInstanceByAddrAndRunID; a null is not looked at. */
export function find(table: Map<string, Instance>, addr: Addr | null, runId: string | null): Instance | null {
  for (const ri of table.values()) {
    if (runId !== null && ri.runId !== runId) continue;
    if (addr === null || same(ri.addr, addr)) return ri;
  }
  return null;
}

/** Redis: removeMatchingSentinelFromMaster. */
export function removePeer(s: Sentinel, m: Instance, runId: string): number {
  let removed = 0;
  for (const [key, peer] of m.sentinels) {
    if (peer.runId !== runId) continue;
    release(s, peer);
    m.sentinels.delete(key);
    removed++;
  }
  return removed;
}

/** Redis: sentinelTryConnectionSharing. */
export function shareLink(s: Sentinel, ri: Instance): void {
  if (ri.runId === null || ri.link.refs > 1) return;
  for (const m of s.masters.values()) {
    if (m === ri.master) continue;
    const match = find(m.sentinels, null, ri.runId);
    if (match === null || match === ri) continue;
    closeChannel(s, ri.link, "cmd");
    ri.link = match.link;
    match.link.refs++;
    return;
  }
}

/** Redis: sentinelRedisInstanceNoDownFor. */
export function noDownFor(s: Sentinel, ri: Instance, ms: number): boolean {
  const recent = Math.max(ri.sdownSinceMs, ri.odownSinceMs);
  return recent === 0 || s.now - recent > ms;
}

// ---- the file ----

/** Redis: rewriteConfigSentinelOption. */
export function directives(s: Sentinel): string[][] {
  const lines: string[][] = [["myid", s.myid]];
  for (const m of s.masters.values()) {
    const at = currentAddr(m);
    lines.push(["monitor", m.name, at.ip, String(at.port), String(m.quorum)]);
    if (m.downAfterMs !== PERIOD.defaultDownAfterMs) lines.push(["down-after-milliseconds", m.name, String(m.downAfterMs)]);
    if (m.failoverTimeoutMs !== PERIOD.defaultFailoverTimeoutMs) lines.push(["failover-timeout", m.name, String(m.failoverTimeoutMs)]);
    if (m.parallelSyncs !== 1) lines.push(["parallel-syncs", m.name, String(m.parallelSyncs)]);
    if (m.rebootDownAfterMs !== 0) lines.push(["master-reboot-down-after-period", m.name, String(m.rebootDownAfterMs)]);
    lines.push(["config-epoch", m.name, String(m.configEpoch)], ["leader-epoch", m.name, String(m.leaderEpoch)]);
    for (const r of m.slaves.values()) {
      const a = same(r.addr, at) ? m.addr : r.addr;
      lines.push(["known-replica", m.name, a.ip, String(a.port)]);
    }
    for (const p of m.sentinels.values())
      if (p.runId !== null) lines.push(["known-sentinel", m.name, p.addr.ip, String(p.addr.port), p.runId]);
  }
  lines.push(["current-epoch", String(s.currentEpoch)]);
  if (s.announceIp !== "") lines.push(["announce-ip", s.announceIp]);
  if (s.announcePort !== 0) lines.push(["announce-port", String(s.announcePort)]);
  return lines;
}

/** Redis: sentinelHandleConfiguration, after loadSentinelConfigFromQueue's sorting. Throws on a line no world should write. */
export function load(s: Sentinel, all: string[][]): void {
  const rank = (d: string[]): number => (["myid", "announce-ip", "announce-port"].includes(d[0]!) ? 0 : d[0] === "monitor" ? 1 : 2);
  const sorted = [...all].sort((a, b) => rank(a) - rank(b));
  for (const [word, a, b, c, d] of sorted) {
    const m = s.masters.get(a ?? "");
    switch (word) {
      case "myid":
        s.myid = a!;
        break;
      case "current-epoch":
        s.currentEpoch = Math.max(s.currentEpoch, Number(a));
        break;
      case "announce-ip":
        s.announceIp = a!;
        break;
      case "announce-port":
        s.announcePort = Number(a);
        break;
      case "monitor":
        create(s, "master", a!, { ip: b!, port: Number(c) }, Number(d), null);
        break;
      case "down-after-milliseconds":
        m!.downAfterMs = Number(b);
        for (const ri of [...m!.slaves.values(), ...m!.sentinels.values()]) ri.downAfterMs = m!.downAfterMs;
        break;
      case "failover-timeout":
        m!.failoverTimeoutMs = Number(b);
        break;
      case "parallel-syncs":
        m!.parallelSyncs = Number(b);
        break;
      case "master-reboot-down-after-period":
        m!.rebootDownAfterMs = Number(b);
        break;
      case "config-epoch":
        m!.configEpoch = Number(b);
        s.currentEpoch = Math.max(s.currentEpoch, m!.configEpoch);
        break;
      case "leader-epoch":
        m!.leaderEpoch = Number(b);
        break;
      case "known-replica":
      case "known-slave":
        create(s, "slave", "", { ip: b!, port: Number(c) }, m!.quorum, m!);
        break;
      case "known-sentinel": {
        const peer = create(s, "sentinel", d!, { ip: b!, port: Number(c) }, m!.quorum, m!);
        if (peer !== null) {
          peer.runId = d!;
          shareLink(s, peer);
        }
        break;
      }
      default:
        throw new Error(`the model knows no directive ${word}`);
    }
  }
}

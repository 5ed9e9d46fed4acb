/**
 * The state of our Sentinel engine and how instances come into being. Pure data; mutated by the step functions beside this file.
 * Names and meanings are those of Redis sentinel.c (sentinelRedisInstance, instanceLink, sentinelState), split by role.
 * Times are ms of the monotonic clock given to step(); NEVER means "has not happened".
 */
import { Deadlines } from "./deadlines.ts";
import { makeAddr, shownWithPort, type Addr } from "./addr.ts";
import type { Action, ClientId, Level, LinkId, Random } from "./types.ts";

export const NEVER = -Infinity;

/** SENTINEL DEBUG: periods in ms. They are upper bounds; the engine acts earlier where an event tells it to. */
export interface Periods {
  info: number;
  ping: number;
  ask: number;
  publish: number;
  defaultDownAfter: number;
  defaultFailoverTimeout: number;
  tiltTrigger: number;
  tiltPeriod: number;
  slaveReconfTimeout: number;
  minLinkReconnect: number;
  electionTimeout: number;
  scriptMaxRuntime: number;
  scriptRetryDelay: number;
}

export interface Channel {
  /** 0: closed. */
  id: LinkId;
  /** Connected; false while connecting. */
  up: boolean;
  upMs: number;
  lastActivityMs: number;
  localIp: string;
  /** The last attempt to open it. */
  triedMs: number;
}

/** What a command sent on a cmd link was for; its reply finds it here. `ri` is the instance's id (it may be gone by then). */
export type Pending =
  | { kind: "discard" }
  | { kind: "auth"; ri: number }
  | { kind: "ping"; ri: number; sentMs: number }
  | { kind: "info"; ri: number }
  | { kind: "hello"; ri: number; epoch: number }
  | { kind: "identity"; ri: number }
  | { kind: "role"; ri: number }
  | { kind: "ask"; ri: number; addr: Addr; vote: boolean; epoch: number }
  | { kind: "promoteExec"; ri: number }
  | { kind: "promoteRole"; ri: number }
  | { kind: "handover"; ri: number; attempt: number }
  | { kind: "handoverRole"; ri: number }
  | { kind: "released"; ri: number }
  | { kind: "confirmPeer"; ri: number; replica: number; round: number }
  | { kind: "release"; ri: number; epoch: number }
  | { kind: "confirmRole"; replica: number; round: number };

/** The connections to one server or peer. Peers of one runid share one over all masters. Redis: instanceLink. */
export interface Link {
  /** Ids of the instances that use it. */
  owners: number[];
  cmd: Channel;
  pubsub: Channel;
  pending: Pending[];
  /** Send time of the oldest ping that still waits for a good reply; NEVER when none does. Redis: act_ping_time. */
  actPingMs: number;
  lastPingMs: number;
  lastAvailMs: number;
  lastPongMs: number;
  /** Whose program sits at the other end, of a peer. */
  program: "unknown" | "ours" | "original";
  /** Why the last AUTH failed, or a command for want of one; "" when it did not. */
  authError: string;
}

interface Common {
  readonly id: number;
  name: string;
  runid: string;
  addr: Addr;
  link: Link;
  lastPubMs: number;
  helloInFlight: boolean;
  /** Send a hello at the next visit. */
  helloDue: boolean;
  sdown: boolean;
  sdownSinceMs: number;
  lastResolveMs: number;
  /** Next visit; index in the heap. Kept by Deadlines. */
  dueMs: number;
  heapIndex: number;
}

/** What INFO tells, for masters and replicas alike. */
interface Informed extends Common {
  scriptKillSent: boolean;
  info: string | null;
  infoMs: number;
  infoSentMs: number;
  infoInFlight: boolean;
  /** Ask for INFO at the next visit. */
  infoDue: boolean;
  roleReported: "master" | "slave";
  roleReportedMs: number;
  /** Lineage of the data set: master_replid. */
  replid: string;
}

/** Redis' names of the failover states. */
export type FailoverState =
  "none" | "wait_start" | "select_slave" | "send_slaveof_noone" | "wait_promotion" | "reconf_slaves" | "update_config";

export interface Master extends Informed {
  readonly role: "master";
  odown: boolean;
  odownSinceMs: number;
  rebooted: boolean;
  rebootedMs: number;
  configEpoch: number;
  quorum: number;
  parallelSyncs: number;
  downAfterMs: number;
  failoverTimeoutMs: number;
  rebootDownAfterMs: number;
  authPass: string;
  authUser: string;
  notificationScript: string;
  reconfigScript: string;
  /** Where warnings about this master are POSTed to; "" for nowhere. */
  webhook: string;
  /** No: found down it stays where it is until SENTINEL FAILOVER. */
  autoFailover: boolean;
  /** A refused connection, seen by a quorum and by the replicas, counts as down at once (fast.ts). */
  fastFailover: boolean;
  /** Lower-case command -> what to send instead; the key as the user wrote it is kept for the file. */
  renamed: Map<string, { from: string; to: string }>;
  replicas: Map<string, Replica>;
  peers: Map<string, Peer>;
  /** Our standing vote: who, in which epoch. The epoch is durable. */
  leader: string;
  leaderEpoch: number;
  failoverState: FailoverState;
  failoverEpoch: number;
  failoverStartMs: number;
  failoverStateMs: number;
  /** SENTINEL FAILOVER: no ODOWN needed. */
  forced: boolean;
  /** What SENTINEL FAILOVER asked for. */
  order: Order;
  /** The running failover only makes a configuration of what is there already: servers' swap (adopt.ts), our own address (dispute.ts). */
  adopting: "" | "swap" | "dispute";
  /** Since when peers say another address under our config epoch; NEVER: none does. */
  disputeMs: number;
  /** The attempts so far, newest last (history.ts). */
  history: Attempt[];
  delayLoggedMs: number;
  /** Replica chosen for promotion, until the switch. */
  promoted: Replica | null;
  /** Votes known in failoverEpoch: voter runid -> candidate runid. */
  votes: Map<string, string>;
  /** Peers that answered our request for their vote without giving it. */
  objected: Set<string>;
  /** The epoch of our vote whose candidate has told us that it is not at work any more. */
  releasedEpoch: number;
  releaseAskedMs: number;
  /** When the candidates were asked for fresh offsets. */
  offsetsAskedMs: number;
  promoteSentMs: number;
  /** A planned failover waits until the replica has all that the master acknowledged (handover.ts). */
  handover: Handover | null;
  /** Not before this time may the election of an ODOWN be opened (order among the Sentinels); NEVER when none is waiting. */
  candidacyMs: number;
  /** A failed election that provably nobody won may be repeated at this time; NEVER: the usual delay holds. */
  retryMs: number;
  retries: number;
  /** Peers that hold configEpoch durably, while its push goes on. */
  holders: Set<string>;
  /** The switch was published; the rest of the replicas may still be under reconfiguration. */
  switched: boolean;
  /** When its address last changed. */
  switchedMs: number;
  /** When a new connection was last refused; NEVER after one that came about (fast.ts). */
  refusedMs: number;
  /** As a master it had this master_replid; and whom it follows when it says that it is a replica (adopt.ts). */
  ownReplid: string;
  followsHost: string;
  followsPort: number;
  roleAskedMs: number;
  /** ROLE was refused: it is not asked any more. */
  roleRefused: boolean;
  lastHintMs: number;
}

/** auto: coordinated when the server can hold writes, else the original's way. */
export interface Order {
  mode: "auto" | "coordinated" | "force";
  /** The replica to promote; null: the best. */
  to: Addr | null;
}
export const NO_ORDER: Order = { mode: "auto", to: null };

/** One failover as this Sentinel saw it. Times are ms of the wall clock at the start, and ms since then for each event. */
export interface Attempt {
  epoch: number;
  reason: "down" | "order" | "adoption" | "dispute" | "observed";
  startMs: number;
  startWallMs: number;
  from: string;
  to: string;
  leader: string;
  result: "running" | "done" | "aborted";
  steps: { event: string; ms: number }[];
}

export interface Handover {
  phase: "resting" | "pausing" | "draining" | "drained" | "refused" | "leaving";
  /** The master's replication offset with writes held. */
  offset: number;
  asking: boolean;
  askedMs: number;
  /** Since when this phase, or the pause. */
  sinceMs: number;
  attempts: number;
}

export interface Replica extends Informed {
  readonly role: "slave";
  readonly master: Master;
  masterLinkDownMs: number;
  priority: number;
  announced: boolean;
  masterHost: string;
  masterPort: number;
  masterLinkUp: boolean;
  syncing: boolean;
  offset: number;
  /** master_replid2 of its last INFO. */
  replid2: string;
  /** Reads in a row with the link down and this very offset. */
  stillReads: number;
  confChangeMs: number;
  promotedFlag: boolean;
  reconfSent: boolean;
  reconfSentMs: number;
  reconfInProgress: boolean;
  reconfDone: boolean;
  /** It was the master before the failover whose rest is still under way. */
  oldMaster: boolean;
  /** It was the master once, and has not synced with a later one since. */
  deposed: boolean;
  /** It has reported itself as replica since its run_id is known: turning master now is somebody's act, not a return. */
  wasReplica: boolean;
  /** The round of questions before a demotion. */
  check: DemotionCheck | null;
  checkRound: number;
  nextCheckMs: number;
}

export interface DemotionCheck {
  round: number;
  deadlineMs: number;
  masterSaysMaster: boolean;
  confirmed: number;
  contradicted: boolean;
  /** A peer follows somebody else in this very epoch (dispute.ts): only a majority may demote. */
  disputed: boolean;
  waiting: number;
}

/** A master's address and config epoch as a hello has them. */
export interface Claim {
  host: string;
  port: number;
  epoch: number;
}

export interface Peer extends Common {
  readonly role: "sentinel";
  readonly master: Master;
  lastHelloMs: number;
  /** The configuration that its last hello told. */
  claim: Claim;
  /** It says our master is down. */
  masterDown: boolean;
  lastAskReplyMs: number;
  askInFlight: boolean;
  /** Its standing vote as last heard. */
  leader: string;
  leaderEpoch: number;
}

export type Instance = Master | Replica | Peer;

/** What waits for the outcome of a `persist`. */
export type AfterPersist =
  | {
      kind: "vote";
      client: ClientId;
      master: number;
      down: boolean;
      /** Our vote went to him who asked; else it stood before. */
      granted: boolean;
      leader: string;
      epoch: number;
      oldLeader: string;
      oldLeaderEpoch: number;
      oldStartMs: number;
    }
  | { kind: "election"; master: number; epoch: number; oldLeader: string; oldLeaderEpoch: number }
  | { kind: "ok"; client: ClientId }
  | { kind: "hello"; client: ClientId };

export interface State {
  myid: string;
  currentEpoch: number;
  masters: Map<string, Master>;
  instances: Map<number, Instance>;
  /** Open channels by id. */
  channels: Map<LinkId, { link: Link; pubsub: boolean }>;
  deadlines: Deadlines<Instance>;
  lastId: number;
  lastLink: LinkId;
  lastToken: number;
  waiting: Map<number, AfterPersist>;
  /** Persists asked for whose outcome is not known yet: what stands in this state may not be on disk. */
  unwritten: number;
  /** The last persist failed: no vote is given and it is retried at this time; NEVER when all is saved. */
  unsavedRetryMs: number;
  /** Changes that may wait are written at this time; NEVER when there are none. */
  saveAtMs: number;
  tilt: boolean;
  tiltStartMs: number;
  /** The deadline last handed out; Infinity when none. A step much later than it means that this process stood still. */
  deadlineMs: number;
  /** After a stall: no instance is declared down before this time, replies wait in the sockets. */
  graceUntilMs: number;
  /** The last step: what lies between it and a `persisted` was spent in the disk. */
  lastStepMs: number;
  port: number;
  requirepass: string;
  /** Sentinels of ours with another id are none of this set; "" for any. */
  clusterId: string;
  /** Run ids that turned out to be of another set; bounded. */
  strangers: Set<string>;
  announceIp: string;
  announcePort: number;
  denyScriptsReconfig: boolean;
  resolveHostnames: boolean;
  announceHostnames: boolean;
  sentinelUser: string;
  sentinelPass: string;
  logLevel: string;
  crashAfterElection: boolean;
  crashAfterPromotion: boolean;
  periods: Periods;
  resolved: Map<string, string>;
  canExecute: (path: string) => boolean;
  /** The wall clock's ms at a time of the engine's clock. */
  wallMs: (nowMs: number) => number;
}

/** One step's surroundings: handed to every function of the core. */
export interface Turn {
  readonly s: State;
  readonly now: number;
  readonly random: Random;
  readonly out: Action[];
  /** Instances to visit before the step ends. */
  readonly touched: Set<Instance>;
  /** The state differs from the file; a persist goes out at the step's end. */
  dirty: boolean;
}

export function defaultPeriods(): Periods {
  return {
    info: 10_000,
    ping: 1000,
    ask: 1000,
    publish: 2000,
    defaultDownAfter: 30_000,
    defaultFailoverTimeout: 180_000,
    tiltTrigger: 2000,
    tiltPeriod: 30_000,
    slaveReconfTimeout: 10_000,
    minLinkReconnect: 15_000,
    electionTimeout: 10_000,
    scriptMaxRuntime: 60_000,
    scriptRetryDelay: 30_000,
  };
}

function channel(): Channel {
  return { id: 0, up: false, upMs: NEVER, lastActivityMs: NEVER, localIp: "", triedMs: NEVER };
}

/** A closed link. The ping clock starts at once, so that a host that can never be reached is found down. */
export function newLink(now: number): Link {
  return {
    owners: [],
    cmd: channel(),
    pubsub: channel(),
    pending: [],
    actPingMs: now,
    lastPingMs: NEVER,
    lastAvailMs: now,
    lastPongMs: now,
    program: "unknown",
    authError: "",
  };
}

function common(s: State, now: number, name: string, addr: Addr): Common {
  return {
    id: ++s.lastId,
    name,
    runid: "",
    addr,
    link: newLink(now),
    lastPubMs: now,
    helloInFlight: false,
    helloDue: false,
    sdown: false,
    sdownSinceMs: NEVER,
    lastResolveMs: NEVER,
    dueMs: Infinity,
    heapIndex: -1,
  };
}
function informed(s: State, now: number, name: string, addr: Addr, role: "master" | "slave"): Informed {
  return {
    ...common(s, now, name, addr),
    scriptKillSent: false,
    info: null,
    infoMs: NEVER,
    infoSentMs: NEVER,
    infoInFlight: false,
    infoDue: true,
    roleReported: role,
    roleReportedMs: now,
    replid: "",
  };
}
function register<T extends Instance>(t: { s: State; touched?: Set<Instance> }, ri: T): T {
  ri.link.owners.push(ri.id);
  t.s.instances.set(ri.id, ri);
  t.s.deadlines.set(ri, NEVER);
  t.touched?.add(ri);
  return ri;
}

export type CreateError = "Duplicate master name." | "Duplicate hostname and port for replica." | "Duplicate runid for sentinel.";
export const BAD_HOST = "Can't resolve instance hostname.";
export const BAD_PORT = "Invalid port number.";

/** Redis: createSentinelRedisInstance with SRI_MASTER. Returns the error text of sentinelCheckCreateInstanceErrors instead when refused. */
export function createMaster(
  t: { s: State; now: number; touched?: Set<Instance> },
  name: string,
  host: string,
  port: number,
  quorum: number,
): Master | string {
  const { s, now } = t;
  const addr = makeAddr(s, host, port, true);
  if (addr === "port") return BAD_PORT;
  if (addr === "host") return BAD_HOST;
  if (s.masters.has(name)) return "Duplicate master name.";
  const m: Master = {
    ...informed(s, now, name, addr, "master"),
    role: "master",
    odown: false,
    odownSinceMs: NEVER,
    rebooted: false,
    rebootedMs: NEVER,
    configEpoch: 0,
    quorum,
    parallelSyncs: 1,
    downAfterMs: s.periods.defaultDownAfter,
    failoverTimeoutMs: s.periods.defaultFailoverTimeout,
    rebootDownAfterMs: 0,
    authPass: "",
    authUser: "",
    notificationScript: "",
    reconfigScript: "",
    webhook: "",
    autoFailover: true,
    fastFailover: false,
    renamed: new Map(),
    replicas: new Map(),
    peers: new Map(),
    leader: "",
    leaderEpoch: 0,
    failoverState: "none",
    failoverEpoch: 0,
    failoverStartMs: NEVER,
    failoverStateMs: NEVER,
    forced: false,
    order: NO_ORDER,
    adopting: "",
    disputeMs: NEVER,
    history: [],
    delayLoggedMs: NEVER,
    promoted: null,
    votes: new Map(),
    objected: new Set(),
    releasedEpoch: 0,
    releaseAskedMs: NEVER,
    offsetsAskedMs: NEVER,
    promoteSentMs: NEVER,
    handover: null,
    candidacyMs: NEVER,
    retryMs: NEVER,
    retries: 0,
    holders: new Set(),
    switched: false,
    switchedMs: NEVER,
    refusedMs: NEVER,
    ownReplid: "",
    followsHost: "",
    followsPort: 0,
    roleAskedMs: NEVER,
    roleRefused: false,
    lastHintMs: NEVER,
  };
  s.masters.set(name, m);
  return register(t, m);
}

/** Redis: createSentinelRedisInstance with SRI_SLAVE; the name is the shown address. */
export function createReplica(
  t: { s: State; now: number; touched?: Set<Instance> },
  master: Master,
  host: string,
  port: number,
): Replica | string {
  const { s, now } = t;
  const addr = makeAddr(s, host, port, true);
  if (addr === "port") return BAD_PORT;
  if (addr === "host") return BAD_HOST;
  const name = shownWithPort(s, addr);
  if (master.replicas.has(name)) return "Duplicate hostname and port for replica.";
  const r: Replica = {
    ...informed(s, now, name, addr, "slave"),
    role: "slave",
    master,
    masterLinkDownMs: 0,
    priority: 100,
    announced: true,
    masterHost: "",
    masterPort: 0,
    masterLinkUp: false,
    syncing: false,
    offset: 0,
    replid2: "",
    stillReads: 0,
    confChangeMs: now,
    promotedFlag: false,
    reconfSent: false,
    reconfSentMs: NEVER,
    reconfInProgress: false,
    reconfDone: false,
    oldMaster: false,
    deposed: false,
    wasReplica: false,
    check: null,
    checkRound: 0,
    nextCheckMs: NEVER,
  };
  master.replicas.set(name, r);
  return register(t, r);
}

/** Redis: createSentinelRedisInstance with SRI_SENTINEL; the link is shared with the same peer under other masters. */
export function createPeer(
  t: { s: State; now: number; touched?: Set<Instance> },
  master: Master,
  runid: string,
  host: string,
  port: number,
): Peer | string {
  const { s, now } = t;
  const addr = makeAddr(s, host, port, true);
  if (addr === "port") return BAD_PORT;
  if (addr === "host") return BAD_HOST;
  if (master.peers.has(runid)) return "Duplicate runid for sentinel.";
  const p: Peer = {
    ...common(s, now, runid, addr),
    role: "sentinel",
    master,
    runid,
    lastHelloMs: now,
    claim: { host: "", port: 0, epoch: 0 },
    masterDown: false,
    lastAskReplyMs: NEVER,
    askInFlight: false,
    leader: "",
    leaderEpoch: 0,
  };
  for (const other of s.masters.values()) {
    const twin = other === master ? undefined : other.peers.get(runid);
    if (twin !== undefined) {
      p.link = twin.link;
      break;
    }
  }
  master.peers.set(runid, p);
  return register(t, p);
}

/** The master an instance belongs to; a master is its own. */
export function masterOf(ri: Instance): Master {
  return ri.role === "master" ? ri : ri.master;
}

/** Not fully connected. Redis: link->disconnected, but a connect under way counts as disconnected. */
export function disconnected(ri: Instance): boolean {
  return !ri.link.cmd.up || (ri.role !== "sentinel" && !ri.link.pubsub.up);
}

/** The address clients are told: the promoted replica's as soon as it has confirmed. Redis: sentinelGetCurrentMasterAddress. */
export function currentAddr(m: Master): Addr {
  return m.promoted !== null && (m.failoverState === "reconf_slaves" || m.failoverState === "update_config") ? m.promoted.addr : m.addr;
}

/** All known Sentinels of a master, this one included. */
export function voters(m: Master): number {
  return m.peers.size + 1;
}
/** Majority of all Sentinels ever seen. */
export function majority(m: Master): number {
  return Math.floor(voters(m) / 2) + 1;
}

export function touch(t: Turn, ri: Instance): void {
  t.touched.add(ri);
}
/** Visit the instance at this time at the latest. */
export function wake(ri: Instance, atMs: number): void {
  if (atMs < ri.dueMs) ri.dueMs = atMs;
}

export function log(t: Turn, level: Level, text: string, untilMs?: number): void {
  t.out.push(untilMs === undefined ? { kind: "log", level, text } : { kind: "log", level, text, untilMs });
}

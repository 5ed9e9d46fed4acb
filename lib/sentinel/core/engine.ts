/**
 * Our Sentinel as a pure function: an event and a time in, actions out. Drives everything else in this folder.
 *
 *   step: notice a standstill -> take the event (replies, messages, commands change instances and mark them `touched`)
 *         -> visit what is touched or due (links, periodic commands, down checks, failover) until nothing is -> persist -> next deadline
 *
 * Leaves out: sockets, files, names, scripts, client connections (lib/sentinel/*.ts). Nothing here throws on what comes from outside.
 */
import { ReplyError, type Reply } from "../../resp/reply.ts";
import { considerAdoption, onRole } from "./adopt.ts";
import { command } from "./commands.ts";
import { loadDirectives, writeDirectives, type DirectiveError } from "./directives.ts";
import { considerDispute } from "./dispute.ts";
import { Deadlines } from "./deadlines.ts";
import { emit, emitText } from "./events.ts";
import { advance, electionSaved, onPromoteReply, startIfNeeded } from "./failover.ts";
import { onKnock } from "./fast.ts";
import { onDrained, onPaused, onReleased } from "./handover.ts";
import { onHelloMessage } from "./hello.ts";
import { onIdentity } from "./identity.ts";
import { closeLink, linkLost, notSilence, reconnect } from "./links.ts";
import { periodic, checkObjectivelyDown, checkSubjectivelyDown, onAuthReply, onPingReply } from "./monitor.ts";
import { persistNow } from "./persist.ts";
import { considerDemotion, onConfirmPeer, onConfirmRole, onInfo } from "./replica_role.ts";
import { NEVER, defaultPeriods, log, touch, wake, type Instance, type Pending, type State, type Turn } from "./state.ts";
import { askPeers, onAskReply, onRelease, voteSaved } from "./vote.ts";
import type { Action, Boot, Engine, Event, LinkId, Random } from "./types.ts";

/** A step that comes this much later than its deadline means that the process stood still: answers may wait unread in the sockets. */
const STALL_MS = 100;
const GRACE_MS = 30;
/** Less than this is the ordinary lateness of a timer. */
const LATE_MS = 5;
/** An unwritable file is tried again this often. */
const SAVE_AGAIN_MS = 1000;
/** A hello that was refused is repeated after this time. */
const HELLO_AGAIN_MS = 100;
const UNSAVED = "ERR Failed to save config file. Check server logs.";
/** No step visits more than this; a loop would be a bug, and must not hang all else. */
const MAX_VISITS = 1_000_000;

export class SentinelEngine implements Engine {
  readonly state: State;
  private readonly fresh: boolean;
  private started: boolean;

  private constructor(state: State, fresh: boolean) {
    this.state = state;
    this.fresh = fresh;
    this.started = false;
  }

  /** Builds the state from the configuration, or says which directive is wrong. `warnings` collects what was tolerated. */
  static create(boot: Boot, nowMs: number, warnings: DirectiveError[] = []): SentinelEngine | DirectiveError {
    const s = newState(boot);
    const error = loadDirectives(s, nowMs, boot.directives, warnings);
    if (error !== null) return error;
    for (const [name, [runid, epoch]] of Object.entries(boot.votes ?? {})) {
      const m = s.masters.get(name);
      if (m === undefined || m.leaderEpoch !== epoch || epoch === 0) continue;
      // The one we voted for may be at work: bound from now on for the usual time.
      m.leader = runid;
      m.failoverStartMs = nowMs;
    }
    s.lastStepMs = nowMs;
    const fresh = s.myid === "";
    if (fresh) s.myid = boot.freshId;
    return new SentinelEngine(s, fresh);
  }

  get myid(): string {
    return this.state.myid;
  }

  directives(): string[][] {
    return writeDirectives(this.state);
  }

  /** For whom this Sentinel voted last, by master: what `Boot.votes` gives back after a restart. */
  votes(): Record<string, [string, number]> {
    const all: Record<string, [string, number]> = {};
    for (const m of this.state.masters.values()) if (m.leader !== "") all[m.name] = [m.leader, m.leaderEpoch];
    return all;
  }

  step(event: Event, nowMs: number, random: Random): Action[] {
    const { state: s } = this;
    const t: Turn = { s, now: nowMs, random, out: [], touched: new Set(), dirty: false };
    if (!this.started && event.kind === "settings") {
      // Nobody listens yet to what a look at the instances might bring.
      this.take(t, event);
      return [];
    }
    this.noticeStandstill(t, event.kind === "persisted");
    if (event.kind === "timer") s.deadlineMs = Infinity;
    this.take(t, event);
    this.settle(t);
    if (t.dirty) persistNow(t);
    this.deadline(t);
    return t.out;
  }

  /**
   * How long this process has looked at nothing: late against the time at which it wanted to run, or in the disk between `persist` and
   * `persisted`. That time is nobody else's silence. Redis: sentinelCheckTiltCondition, but on a monotonic clock; and what the disk took is
   * known, so that it leaves no doubt about the rest: a slow disk does not mute a Sentinel for half a minute.
   */
  private noticeStandstill(t: Turn, fromDisk: boolean): void {
    const { s, now } = t;
    // Between its making and its first step a process may start slowly; nobody was asked anything meanwhile.
    const wanted = fromDisk || !this.started ? s.lastStepMs : Math.max(s.deadlineMs, s.lastStepMs);
    const away = now - wanted;
    s.lastStepMs = now;
    if (away >= LATE_MS) {
      notSilence(s, away);
      if (away > STALL_MS) s.graceUntilMs = now + GRACE_MS;
    }
    if (away > s.periods.tiltTrigger && !fromDisk && this.started) {
      s.tilt = true;
      s.tiltStartMs = now;
      emitText(t, "warning", "+tilt", "#tilt mode entered", null);
    } else if (s.tilt && now - s.tiltStartMs >= s.periods.tiltPeriod) {
      s.tilt = false;
      emitText(t, "warning", "-tilt", "#tilt mode exited", null);
      for (const ri of s.instances.values()) touch(t, ri);
    }
    if (s.unsavedRetryMs !== NEVER && now >= s.unsavedRetryMs) {
      s.unsavedRetryMs = now + SAVE_AGAIN_MS;
      t.dirty = true;
    }
    if (s.saveAtMs !== NEVER && now >= s.saveAtMs) t.dirty = true;
  }

  private take(t: Turn, event: Event): void {
    switch (event.kind) {
      case "start":
        return this.start(t);
      case "timer":
        return;
      case "linkUp":
        return linkUp(t, event.link, event.localIp);
      case "linkDown":
        return linkDown(t, event.link, event.reason, event.refused);
      case "reply":
        return onReply(t, event.link, event.reply);
      case "message":
        return onMessage(t, event.link, event.items);
      case "command":
        return command(t, event.client, event.args);
      case "resolved":
        return onResolved(t, event.host, event.ip);
      case "persisted":
        return onPersisted(t, event.token, event.error);
      case "settings":
        if (event.port !== undefined) t.s.port = event.port;
        if (event.requirepass !== undefined) t.s.requirepass = event.requirepass;
    }
  }

  /** Redis: sentinelIsRunning. */
  private start(t: Turn): void {
    if (this.started) return;
    this.started = true;
    if (this.fresh) persistNow(t);
    log(t, "notice", `Sentinel ID is ${t.s.myid}`);
    for (const m of t.s.masters.values()) emit(t, "warning", "+monitor", m, ` quorum ${m.quorum}`);
    for (const ri of t.s.instances.values()) touch(t, ri);
  }

  private settle(t: Turn): void {
    const { deadlines } = t.s;
    for (let n = 0; n < MAX_VISITS; n++) {
      let ri: Instance | undefined;
      for (const first of t.touched) {
        ri = first;
        break;
      }
      if (ri === undefined) {
        ri = deadlines.peek();
        if (ri === undefined || ri.dueMs > t.now) return;
      }
      t.touched.delete(ri);
      if (t.s.instances.get(ri.id) !== ri) continue;
      visit(t, ri);
    }
  }

  private deadline(t: Turn): void {
    const { s } = t;
    let at = s.deadlines.peek()?.dueMs ?? Infinity;
    if (s.tilt) at = Math.min(at, s.tiltStartMs + s.periods.tiltPeriod);
    if (s.unsavedRetryMs !== NEVER) at = Math.min(at, s.unsavedRetryMs);
    if (s.saveAtMs !== NEVER) at = Math.min(at, s.saveAtMs);
    if (at === s.deadlineMs) return;
    s.deadlineMs = at;
    if (at !== Infinity) t.out.push({ kind: "deadline", atMs: at });
  }
}

function newState(boot: Boot): State {
  return {
    myid: "",
    currentEpoch: 0,
    masters: new Map(),
    instances: new Map(),
    channels: new Map(),
    deadlines: new Deadlines(),
    lastId: 0,
    lastLink: 0,
    lastToken: 0,
    waiting: new Map(),
    unwritten: 0,
    unsavedRetryMs: NEVER,
    saveAtMs: NEVER,
    tilt: false,
    tiltStartMs: NEVER,
    deadlineMs: Infinity,
    graceUntilMs: NEVER,
    lastStepMs: NEVER,
    port: boot.port,
    requirepass: boot.requirepass,
    clusterId: "",
    strangers: new Set(),
    announceIp: "",
    announcePort: 0,
    denyScriptsReconfig: true,
    resolveHostnames: false,
    announceHostnames: false,
    sentinelUser: "",
    sentinelPass: "",
    logLevel: boot.logLevel ?? "notice",
    crashAfterElection: false,
    crashAfterPromotion: false,
    periods: defaultPeriods(),
    resolved: new Map(Object.entries(boot.resolved ?? {}).map(([host, ip]) => [host.toLowerCase(), ip])),
    canExecute: boot.canExecute ?? (() => true),
    wallMs: boot.wallMs ?? ((nowMs) => nowMs),
  };
}

/** One look at an instance: the original's sentinelHandleRedisInstance. Ends with the time of the next look. */
function visit(t: Turn, ri: Instance): void {
  const { s } = t;
  ri.dueMs = Infinity;
  reconnect(t, ri);
  periodic(t, ri);
  if (!s.tilt) {
    if (checkSubjectivelyDown(t, ri) && ri.role === "master") askPeers(t, ri, true);
    if (ri.role === "master") {
      checkObjectivelyDown(t, ri);
      considerAdoption(t, ri);
      considerDispute(t, ri);
      startIfNeeded(t, ri);
      advance(t, ri);
      askPeers(t, ri, false);
    } else if (ri.role === "slave") considerDemotion(t, ri);
  }
  if (s.instances.get(ri.id) === ri) s.deadlines.set(ri, Math.max(ri.dueMs, t.now + 1));
}

function linkUp(t: Turn, id: LinkId, localIp: string): void {
  const found = t.s.channels.get(id);
  if (found === undefined) return;
  const channel = found.pubsub ? found.link.pubsub : found.link.cmd;
  channel.up = true;
  channel.upMs = t.now;
  channel.lastActivityMs = t.now;
  channel.localIp = localIp;
  for (const owner of found.link.owners) {
    const ri = t.s.instances.get(owner);
    if (ri === undefined) continue;
    ri.helloDue = true;
    if (ri.role === "master" && !found.pubsub) onKnock(t, ri, false);
    if (ri.role !== "sentinel") ri.infoDue = true;
    else touch(t, ri.master);
    touch(t, ri);
  }
}

function linkDown(t: Turn, id: LinkId, reason: string, refused: boolean): void {
  const found = t.s.channels.get(id);
  if (found === undefined) return;
  const owner = found.link.owners.length > 0 ? t.s.instances.get(found.link.owners[0]) : undefined;
  linkLost(t, found.link, found.pubsub);
  if (owner?.role === "master" && refused && !found.pubsub) onKnock(t, owner, true);
  if (owner !== undefined) emit(t, "debug", found.pubsub ? "-pubsub-link-reconnection" : "-cmd-link-reconnection", owner, ` #${reason}`);
}

function onReply(t: Turn, id: LinkId, reply: Reply): void {
  const found = t.s.channels.get(id);
  if (found === undefined || found.pubsub) return;
  const pending = found.link.pending.shift();
  if (pending === undefined) return;
  if (pending.kind === "confirmRole") {
    const r = t.s.instances.get(pending.replica);
    if (r?.role === "slave") onConfirmRole(t, r, pending.round, reply);
    return;
  }
  if (pending.kind === "discard") return;
  const ri = t.s.instances.get(pending.ri);
  if (ri !== undefined) route(t, ri, pending, reply);
  else if (pending.kind === "ping") {
    const heir = t.s.instances.get(found.link.owners[0] ?? 0);
    if (heir !== undefined) onPingReply(t, heir, reply);
  }
}

function route(t: Turn, ri: Instance, pending: Pending, reply: Reply): void {
  touch(t, ri);
  switch (pending.kind) {
    case "auth":
      return onAuthReply(t, ri, reply);
    case "ping":
      return onPingReply(t, ri, reply);
    case "info":
      if (ri.role === "sentinel") return;
      ri.infoInFlight = false;
      if (typeof reply === "string") onInfo(t, ri, reply);
      return;
    case "hello":
      return onHelloReply(t, ri, pending.epoch, reply);
    case "ask":
      if (ri.role === "sentinel") onAskReply(t, ri, pending, reply);
      return;
    case "role":
      if (ri.role === "master") onRole(t, ri, reply);
      return;
    case "identity":
      if (ri.role === "sentinel") onIdentity(t, ri, reply);
      return;
    case "promoteExec":
    case "promoteRole":
      if (ri.role === "slave") onPromoteReply(t, ri, pending.kind, reply);
      return;
    case "release":
      if (ri.role === "sentinel") onRelease(ri, pending.epoch, reply);
      return;
    case "handover":
      if (ri.role === "master") onPaused(t, ri, pending.attempt, reply);
      return;
    case "released":
      if (ri.role === "master") onReleased(t, ri);
      return;
    case "handoverRole":
      if (ri.role !== "slave") return;
      touch(t, ri.master);
      return onDrained(ri.master, reply);
    case "confirmPeer": {
      const r = t.s.instances.get(pending.replica);
      if (ri.role === "sentinel" && r?.role === "slave") onConfirmPeer(t, ri, r, pending.round, reply);
      return;
    }
  }
}

/** A peer that has taken our hello holds our configuration: real Sentinels write their file before they answer, and so do we. */
function onHelloReply(t: Turn, ri: Instance, epoch: number, reply: Reply): void {
  ri.helloInFlight = false;
  if (reply instanceof ReplyError) {
    wake(ri, t.now + HELLO_AGAIN_MS);
    ri.lastPubMs = t.now - t.s.periods.publish + HELLO_AGAIN_MS;
    return;
  }
  ri.lastPubMs = t.now;
  if (ri.role === "sentinel" && epoch === ri.master.configEpoch) {
    ri.master.holders.add(ri.runid);
    touch(t, ri.master);
  }
}

function onMessage(t: Turn, id: LinkId, items: Reply[]): void {
  const found = t.s.channels.get(id);
  if (found === undefined || !found.pubsub) return;
  found.link.pubsub.lastActivityMs = t.now;
  if (items.length === 3 && items[0] === "message" && typeof items[2] === "string") onHelloMessage(t, items[2]);
}

/** A name has an (other) ip: instances behind it move there. A failed lookup changes nothing. */
function onResolved(t: Turn, host: string, ip: string | null): void {
  if (ip === null) return log(t, "warning", `Failed to resolve hostname '${host}'`);
  t.s.resolved.set(host.toLowerCase(), ip);
  for (const ri of t.s.instances.values()) {
    if (ri.addr.host.toLowerCase() !== host.toLowerCase() || ri.addr.ip === ip) continue;
    const unreachable = ri.addr.ip === "";
    ri.addr = { ...ri.addr, ip };
    if (unreachable || !ri.link.cmd.up) closeLink(t, ri.link, "both");
    touch(t, ri);
  }
}

function onPersisted(t: Turn, token: number, error: string | null): void {
  const { s } = t;
  s.unwritten--;
  s.unsavedRetryMs = error === null ? NEVER : t.now + SAVE_AGAIN_MS;
  const after = s.waiting.get(token);
  if (after === undefined) return;
  s.waiting.delete(token);
  const saved = error === null;
  if (after.kind === "ok" || after.kind === "hello") {
    if (after.kind === "hello") t.out.push({ kind: "answer", client: after.client, answer: saved ? 1 : { error: UNSAVED } });
    else t.out.push({ kind: "answer", client: after.client, answer: saved ? { status: "OK" } : { error: UNSAVED } });
    return;
  }
  const m = s.instances.get(after.master);
  if (m?.role === "master") {
    if (after.kind === "vote") voteSaved(t, m, after, saved);
    else electionSaved(t, m, after, saved);
  } else if (after.kind === "vote") t.out.push({ kind: "answer", client: after.client, answer: [0, "*", 0] });
}

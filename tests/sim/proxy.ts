/**
 * A proxy in a simulated world: it asks Sentinels and servers over the network and serves whom lib/fleet's authority says. One client sends
 * unique writes through it and keeps their history. The proxy's wire code is a model; its decision is the real one.
 */
import {
  bornOf,
  decide,
  DEFAULT_LIMITS,
  type Confirmed,
  type Decision,
  type FailoverHold,
  type Reason,
  type ServerView,
} from "../../lib/fleet/authority.ts";
import { failoverHold } from "../../lib/fleet/failover_hold.ts";
import { HELLO_CHANNEL, parseHello, type Address } from "../../lib/fleet/hello.ts";
import type { SentinelAnswer, SentinelView } from "../../lib/fleet/majority.ts";
import { parseInfo } from "../../lib/fleet/replication.ts";
import { pairs, ReplyError, type Reply } from "../../lib/resp/reply.ts";
import { End, Process, type World } from "./world.ts";

const POLL_SENTINELS_MS = 1000;
const POLL_SERVERS_MS = 800;
const SILENT_MS = 1500;
const MASTER = "mymaster";

type Asked = { what: "addr" | "master" | "again" | "sentinels" | "info" | "write" | "other"; write?: Write };
type Peer = { kind: "sentinel"; sentinel: Known } | { kind: "server"; server: Listed };
type Known = {
  view: SentinelView;
  end: End | null;
  events: End | null;
  asked: Asked[];
  pending: { address: Address | null; master: Record<string, string> };
  lastReplyMs: number;
  polls: number;
};
type Listed = { view: ServerView; end: End | null; hello: End | null; asked: Asked[]; lastReplyMs: number; address: Address };

/** One write of the history. */
export type Write = {
  value: number;
  serverId: string;
  by: Reason | null;
  sentMs: number;
  ackedMs: number;
  outcome: "sent" | "acked" | "refused" | "unknown";
};

export type ProxyOptions = { policy: "stay" | "hold"; servers: { id: string; ip: string; port: number }[]; sentinels: Address[] | null };

export class Proxy extends Process {
  readonly policy: "stay" | "hold";
  private readonly options: ProxyOptions;
  private sentinels: Known[];
  private servers: Listed[];
  decision: Decision | null;
  private confirmed: Confirmed | null;
  private hold: FailoverHold | null;
  readonly writes: Write[];
  private nextValue: number;
  writeEveryMs: number;
  onDecision: (d: Decision, before: Decision | null) => void;

  constructor(world: World, name: string, host: string, ip: string, firstValue: number, options: ProxyOptions) {
    super(world, name, host, ip, 0);
    this.policy = options.policy;
    this.options = options;
    this.sentinels = [];
    this.servers = [];
    this.decision = null;
    this.confirmed = null;
    this.hold = null;
    this.writes = [];
    this.nextValue = firstValue;
    this.writeEveryMs = 200;
    this.onDecision = () => {};
  }

  override onStart(): void {
    this.decision = null;
    this.confirmed = null;
    this.hold = null;
    this.sentinels = [];
    for (const at of this.options.sentinels ?? []) this.know(`${at.host}:${at.port}`, at, "config");
    this.servers = this.options.servers.map((s) => ({
      view: {
        id: s.id,
        listed: true,
        addresses: [{ host: s.ip, port: s.port }],
        runId: null,
        reachable: false,
        role: "unknown",
        atMs: 0,
        masterSinceMs: 0,
        history: null,
        born: "unknown",
        following: null,
        connectedReplicas: 0,
        hello: { subscribers: -1, listeningSinceMs: 0 },
      },
      end: null,
      hello: null,
      asked: [],
      lastReplyMs: 0,
      address: { host: s.ip, port: s.port },
    }));
    this.pollSentinels();
    this.pollServers();
    this.client();
  }

  private know(id: string, at: Address, source: SentinelView["source"]): void {
    if (this.sentinels.some((k) => k.view.id === id || (k.view.address.host === at.host && k.view.address.port === at.port))) return;
    const view: SentinelView = { id, address: at, source, link: "lost", answer: null };
    this.sentinels.push({
      view,
      end: null,
      events: null,
      asked: [],
      pending: { address: null, master: {} },
      lastReplyMs: this.world.now,
      polls: 0,
    });
  }

  // ---- asking ----

  private pollSentinels(): void {
    for (const k of this.sentinels) this.pollSentinel(k);
    this.later(POLL_SENTINELS_MS, () => this.pollSentinels());
  }

  private pollSentinel(k: Known): void {
    const { now } = this.world;
    const { host, port } = k.view.address;
    const tag: Peer = { kind: "sentinel", sentinel: k };
    if (k.end !== null && k.asked.length > 0 && now - k.lastReplyMs > SILENT_MS) this.sentinelLost(k, false);
    if (k.end === null) {
      k.end = this.connect(host, port, tag);
      k.asked = [];
      k.lastReplyMs = now;
    }
    if (k.events === null) {
      k.events = this.connect(host, port, tag);
      k.events.send(["PSUBSCRIBE", "*"]);
    }
    if (k.asked.length > 0) return;
    this.ask(k.end, k.asked, ["SENTINEL", "get-master-addr-by-name", MASTER], "addr");
    this.ask(k.end, k.asked, ["SENTINEL", "master", MASTER], "master");
    this.ask(k.end, k.asked, ["SENTINEL", "get-master-addr-by-name", MASTER], "again");
    if (k.view.source === "config" && k.polls++ % 5 === 0) this.ask(k.end, k.asked, ["SENTINEL", "sentinels", MASTER], "sentinels");
  }

  private sentinelLost(k: Known, refused: boolean): void {
    if (k.end !== null) this.drop(k.end);
    if (k.events !== null) this.drop(k.events);
    k.end = null;
    k.events = null;
    k.asked = [];
    k.view = { ...k.view, link: refused ? "refused" : "lost" };
    this.judge();
  }

  private pollServers(): void {
    const { now } = this.world;
    for (const s of this.servers) {
      const tag: Peer = { kind: "server", server: s };
      if (s.end !== null && s.asked.length > 0 && now - s.lastReplyMs > SILENT_MS) this.serverLost(s);
      if (s.end === null) {
        s.end = this.connect(s.address.host, s.address.port, tag);
        s.asked = [];
        s.lastReplyMs = now;
      }
      if (s.hello === null && this.options.sentinels === null) {
        s.hello = this.connect(s.address.host, s.address.port, tag);
        s.hello.send(["SUBSCRIBE", HELLO_CHANNEL]);
      }
      if (!s.asked.some((a) => a.what === "info")) this.ask(s.end, s.asked, ["INFO"], "info");
    }
    this.judge();
    this.later(POLL_SERVERS_MS, () => this.pollServers());
  }

  private serverLost(s: Listed): void {
    for (const a of s.asked) if (a.write !== undefined) a.write.outcome = "unknown";
    if (s.end !== null) this.drop(s.end);
    if (s.hello !== null) this.drop(s.hello);
    s.end = null;
    s.hello = null;
    s.asked = [];
    s.view = { ...s.view, reachable: false, masterSinceMs: 0 };
    this.judge();
  }

  private ask(end: End, asked: Asked[], args: string[], what: Asked["what"], write?: Write): void {
    asked.push(write === undefined ? { what } : { what, write });
    end.send(args);
  }

  // ---- answers ----

  override onMessage(end: End, message: unknown): void {
    const peer = end.tag as Peer;
    const reply = message as Reply;
    if (peer.kind === "sentinel") {
      const k = peer.sentinel;
      if (end === k.events) return this.event(k, reply);
      if (end === k.end) this.answered(k, reply);
      return;
    }
    const s = peer.server;
    if (end === s.hello) return this.heard(s, reply);
    if (end !== s.end) return;
    s.lastReplyMs = this.world.now;
    const asked = s.asked.shift();
    if (asked?.what === "info" && typeof reply === "string") this.told(s, reply);
    else if (asked?.write !== undefined) {
      asked.write.outcome = reply instanceof ReplyError ? "refused" : "acked";
      asked.write.ackedMs = this.world.now;
    }
  }

  override onClosed(end: End, _reason: string, refused: boolean): void {
    const peer = end.tag as Peer;
    if (peer.kind === "sentinel") {
      const k = peer.sentinel;
      if (end === k.events) k.events = null;
      if (end === k.end) this.sentinelLost(k, refused);
    } else {
      const s = peer.server;
      if (end === s.hello) s.hello = null;
      if (end === s.end) {
        this.serverLost(s);
        // A promotion ends with CLIENT KILL: look at once.
        if (!refused) this.later(1, () => this.askAgain(s));
      }
    }
  }

  private askAgain(s: Listed): void {
    if (s.end !== null) return;
    s.end = this.connect(s.address.host, s.address.port, { kind: "server", server: s } satisfies Peer);
    s.lastReplyMs = this.world.now;
    this.ask(s.end, s.asked, ["INFO"], "info");
  }

  private answered(k: Known, reply: Reply): void {
    const { now } = this.world;
    k.lastReplyMs = now;
    k.view = { ...k.view, link: "up" };
    const asked = k.asked.shift();
    if (asked?.what === "addr") {
      k.pending.address = Array.isArray(reply) ? { host: String(reply[0]), port: Number(reply[1]) } : null;
    } else if (asked?.what === "master") k.pending.master = pairs(reply);
    else if (asked?.what === "again") {
      // The address before and after must be one, or it changed while the epoch was read: ask again.
      const address = k.pending.address;
      const after = Array.isArray(reply) ? { host: String(reply[0]), port: Number(reply[1]) } : null;
      if (after?.host !== address?.host || after?.port !== address?.port) return this.later(0, () => this.pollSentinel(k));
      const m = k.pending.master;
      const mine = address !== null && m["ip"] === address.host && m["port"] === String(address.port);
      const before = k.view.answer;
      const same = before?.address?.host === address?.host && before?.address?.port === address?.port;
      const answer: SentinelAnswer = {
        address,
        runId: mine && m["runid"] !== "" ? (m["runid"] ?? null) : null,
        configEpoch: Number(m["config-epoch"] ?? 0),
        otherSentinels: Number(m["num-other-sentinels"] ?? 0),
        atMs: now,
        sinceMs: same && before !== null ? before.sinceMs : now,
      };
      k.view = { ...k.view, answer };
      this.judge();
    } else if (asked?.what === "sentinels" && Array.isArray(reply) && k.view.source === "config") {
      for (const row of reply) {
        const p = pairs(row);
        this.know(p["runid"] ?? "", { host: p["ip"] ?? "", port: Number(p["port"]) }, "peer");
      }
    }
  }

  private event(k: Known, reply: Reply): void {
    if (!Array.isArray(reply) || reply[0] !== "pmessage") return;
    const [, , channel, payload] = reply as string[];
    this.hold = failoverHold(this.hold, k.view.id, MASTER, channel!, payload!, this.world.now);
    if (channel === "+switch-master" || channel === "+promoted-slave") {
      for (const other of this.sentinels) this.pollSentinel(other);
      for (const s of this.servers)
        if (s.end !== null && !s.asked.some((a) => a.what === "info")) this.ask(s.end, s.asked, ["INFO"], "info");
    }
    this.judge();
  }

  private heard(s: Listed, reply: Reply): void {
    if (!Array.isArray(reply)) return;
    if (reply[0] === "subscribe") s.view = { ...s.view, hello: { subscribers: -1, listeningSinceMs: this.world.now } };
    if (reply[0] !== "message") return;
    const h = parseHello(String(reply[2]));
    if (h === null || h.masterName !== MASTER || this.sentinels.some((k) => k.view.id === h.runId)) return;
    this.know(h.runId, { host: h.host, port: h.port }, "hello");
    const k = this.sentinels[this.sentinels.length - 1]!;
    this.pollSentinel(k);
  }

  private told(s: Listed, text: string): void {
    const { now } = this.world;
    const info = parseInfo(text);
    s.view = {
      ...s.view,
      runId: info.runId,
      reachable: true,
      role: info.role,
      atMs: now,
      masterSinceMs: info.role !== "master" ? 0 : s.view.masterSinceMs === 0 ? now : s.view.masterSinceMs,
      history: info.history,
      born: bornOf(s.view.born, s.view.runId === null ? null : s.view.runId === info.runId, info.role),
      following: info.role === "replica" ? { host: info.masterHost, port: info.masterPort } : null,
      connectedReplicas: info.connectedReplicas,
    };
    this.judge();
  }

  // ---- deciding ----

  private judge(): void {
    const before = this.decision;
    const d = decide({
      nowMs: this.world.now,
      masterName: MASTER,
      sentinels: this.sentinels.map((k) => k.view),
      servers: this.servers.map((s) => s.view),
      confirmed: this.confirmed,
      policy: this.policy,
      hints: { failover: this.hold },
      limits: DEFAULT_LIMITS,
      previous: before,
    });
    this.decision = d;
    this.confirmed = d.confirmed;
    for (const l of d.log) this.world.log(this.name, `${l.level}: ${l.text}`);
    this.onDecision(d, before);
    // Fenced and deserted servers lose their sessions: what is under way there has an unknown outcome.
    if (before !== null && before.serverId !== d.serverId && before.serverId !== null) {
      const old = this.servers.find((s) => s.view.id === before.serverId);
      if (old !== undefined && old.asked.some((a) => a.write !== undefined)) {
        for (const a of old.asked) if (a.write !== undefined) a.write.outcome = "unknown";
        for (const a of old.asked) delete a.write;
      }
    }
  }

  /** The client: one write at a time is not waited for; while holding it sends nothing. */
  private client(): void {
    const at = this.servers.find((s) => s.view.id === this.decision?.serverId);
    if (at !== undefined && at.end !== null) {
      const write: Write = {
        value: this.nextValue++,
        serverId: at.view.id,
        by: this.decision!.by,
        sentMs: this.world.now,
        ackedMs: 0,
        outcome: "sent",
      };
      this.writes.push(write);
      this.ask(at.end, at.asked, ["SET", "k", String(write.value)], "write", write);
    }
    this.later(this.writeEveryMs, () => this.client());
  }
}

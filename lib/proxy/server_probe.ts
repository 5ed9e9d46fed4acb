/**
 * What the authority knows of one server, kept fresh: an idle command link with INFO at short intervals, and a subscriber on the Sentinels'
 * hello channel. COLD.
 *
 * The command link is also the promotion's fastest herald: Sentinel's transaction ends with CLIENT KILL TYPE normal, so the link is closed
 * within a millisecond of the replica becoming a master (A3 in the notes); a closed link is dialled again at once and asked. A refused dial
 * means that the process is gone. The links carry no credentials but those that the section's own tcp-check sends (AUTH).
 */
import type { TLSOptions } from "bun";
import { type Address, HELLO_CHANNEL, parseHello, plausibleHello, type Hello } from "../fleet/hello.ts";
import { bornOf, type ServerView } from "../fleet/authority.ts";
import type { History } from "../fleet/lineage.ts";
import { parseInfo, type ReplicationInfo } from "../fleet/replication.ts";
import { Link } from "../link/link.ts";
import { ReplyError, type Reply } from "../resp/reply.ts";
import type { Server } from "./state.ts";
import { nowMs } from "./timers.ts";

/** Between two attempts to connect. */
const REDIAL_MS = 100;
const CONNECT_MS = 1000;
/** Between two INFOs while a role is waited for. */
const HURRY_MS = 25;
/**
 * So many replies after clients were held, their writes are counted in its offset: the first may have been asked for before, the second may
 * have overtaken what came in over other connections at the same time.
 */
const SETTLED = 3;

/** Closed so often in a row before the first answer, it counts as not reachable. */
const QUICK_CLOSES_MAX = 3;

export interface ProbeOptions {
  /** Between two INFOs. */
  pollMs: number;
  /** No reply for this long: not reachable. */
  silenceMs: number;
  auth: string[] | null;
}

export class ServerProbe {
  readonly server: Server;
  private readonly options: ProbeOptions;
  /** Something that decisions look at has changed. */
  private readonly changed: () => void;
  private readonly heard: (hello: Hello) => void;
  private link: Link | null;
  private subscriber: Link | null;
  private timer: ReturnType<typeof setTimeout> | null;
  private stopped: boolean;
  /** When the oldest unanswered INFO left; 0: none is out. */
  private askedMs: number;
  private loading: boolean;
  /** Wait for the next word, whatever it is: an INFO, or that there is no connection to be had. */
  private waiters: (() => void)[];
  private hurryUntilMs: number;
  private quickCloses: number;
  private subscriberCount: number;
  private listeningSinceMs: number;
  reachable: boolean;
  info: ReplicationInfo | null;
  runId: string | null;
  private lastRunId: string | null;
  private born: ServerView["born"];
  /** Its history when it last said master; while clients are held, when it had executed what they had sent before. */
  lastAsMaster: History | null;
  /** Clients are held; how often it has said since that it is the master. */
  private held: boolean;
  private saidSince: number;
  infoAtMs: number;
  masterSinceMs: number;

  constructor(server: Server, options: ProbeOptions, changed: () => void, heard: (hello: Hello) => void) {
    this.server = server;
    this.options = options;
    this.changed = changed;
    this.heard = heard;
    this.link = null;
    this.subscriber = null;
    this.timer = null;
    this.stopped = false;
    this.askedMs = 0;
    this.loading = false;
    this.waiters = [];
    this.hurryUntilMs = 0;
    this.quickCloses = 0;
    this.subscriberCount = -1;
    this.listeningSinceMs = 0;
    this.reachable = false;
    this.info = null;
    this.runId = null;
    this.lastRunId = null;
    this.born = "unknown";
    this.lastAsMaster = null;
    this.held = false;
    this.saidSince = 0;
    this.infoAtMs = 0;
    this.masterSinceMs = 0;
  }

  start(): void {
    this.dial();
    this.subscribe();
  }
  stop(): void {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.link?.close();
    this.subscriber?.close();
  }

  get address(): Address {
    return { host: this.server.host, port: this.server.port };
  }

  /** Its row in the authority's input. */
  view(checkAllows: boolean): ServerView {
    const { info, server } = this;
    const spelled: Address = { host: server.config.host, port: server.config.port };
    return {
      id: server.name,
      listed: true,
      addresses: [this.address, spelled],
      runId: this.runId,
      reachable: this.reachable && checkAllows && server.admin === "ready",
      role: info?.role ?? "unknown",
      atMs: this.infoAtMs,
      masterSinceMs: this.masterSinceMs,
      history: info?.history ?? null,
      born: this.born,
      following: info !== null && info.role === "replica" ? { host: info.masterHost, port: info.masterPort } : null,
      connectedReplicas: info?.connectedReplicas ?? 0,
      hello: { subscribers: this.subscriberCount, listeningSinceMs: this.listeningSinceMs },
    };
  }

  /** Calls back with the next word that is asked for from now on. */
  fresh(done: () => void): void {
    this.waiters.push(done);
    if (this.waiters.length > 1) return;
    const link = this.link;
    // A reply that is on its way may be older than the question: the one after it counts.
    if (link?.isConnected) this.ask(link);
  }
  private answerWaiters(): void {
    for (const done of this.waiters.splice(0)) done();
  }

  /** Clients are held (or no longer): what its stream carries from now on is nobody's but the Sentinels' and its own. */
  hold(held: boolean): void {
    if (held === this.held) return;
    this.held = held;
    this.saidSince = 0;
  }

  /** Asks now. */
  poll(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (this.stopped) return;
    const link = this.link;
    if (link === null || !link.isConnected) {
      this.later();
      return;
    }
    if (this.askedMs !== 0 && nowMs() - this.askedMs > this.options.silenceMs) this.setReachable(false);
    if (link.pending === 0) this.ask(link);
    this.later();
  }
  private later(): void {
    if (this.timer !== null || this.stopped) return;
    const ms = nowMs() < this.hurryUntilMs ? HURRY_MS : this.options.pollMs;
    this.timer = setTimeout(() => this.poll(), ms);
  }
  /** Asks now and often for `ms`: its role is about to change, or is waited for. */
  hurry(ms: number): void {
    const now = nowMs();
    const was = this.hurryUntilMs > now;
    this.hurryUntilMs = Math.max(this.hurryUntilMs, now + ms);
    if (!was) this.poll();
  }

  private ask(link: Link): void {
    if (this.askedMs === 0) this.askedMs = nowMs();
    const waiting = this.waiters.length > 0;
    if (this.runId === null) link.send(["INFO", "server"], (r) => this.gotServer(r));
    link.send(["PUBSUB", "NUMSUB", HELLO_CHANNEL], (r) => this.gotSubscribers(r));
    link.send(["PING"], (r) => {
      // -LOADING and -MASTERDOWN: it lives, and serves nobody yet.
      this.loading = r instanceof ReplyError && (r.code === "LOADING" || r.code === "MASTERDOWN");
    });
    link.send(["INFO", "replication"], (r) => this.gotInfo(link, r, waiting));
  }

  private gotServer(r: Reply | undefined): void {
    if (typeof r !== "string") return;
    this.runId = parseInfo(r).runId || null;
    if (this.runId === null) return;
    // Its role follows (gotInfo).
    this.born = bornOf(this.born, this.lastRunId === null ? null : this.runId === this.lastRunId, "unknown");
    this.lastRunId = this.runId;
  }
  private gotSubscribers(r: Reply | undefined): void {
    if (!Array.isArray(r)) return;
    const mine = this.listeningSinceMs > 0 ? 1 : 0;
    this.subscriberCount = Math.max(0, Number(r[1] ?? 0) - mine);
  }
  private gotInfo(link: Link, r: Reply | undefined, waiting: boolean): void {
    if (r === undefined || link !== this.link) return;
    this.server.heardMs = this.askedMs;
    this.askedMs = 0;
    if (r instanceof ReplyError && r.code === "BUSY" && this.reachable) {
      // A long script: it is who it was, and tells everybody else that it is busy, too.
      if (waiting) this.answerWaiters();
      return;
    }
    if (typeof r !== "string" || this.loading) {
      // -LOADING, -NOAUTH, -DENIED: it lives, but its word is not to be had
      this.setReachable(false);
      if (waiting) this.answerWaiters();
      return;
    }
    const was = this.info;
    this.quickCloses = 0;
    const info = parseInfo(r);
    const now = nowMs();
    this.info = info;
    this.infoAtMs = now;
    if (info.role === "master" && this.saidSince < SETTLED) {
      this.lastAsMaster = info.history;
      if (this.held) this.saidSince++;
    }
    if (info.role !== "master") this.masterSinceMs = 0;
    else if (was?.role !== "master" || this.masterSinceMs === 0) this.masterSinceMs = now;
    this.born = bornOf(this.born, true, info.role);
    const news = !this.reachable || was === null || was.role !== info.role || was.history.replid !== info.history.replid;
    this.reachable = true;
    if (news) this.changed();
    if (waiting) this.answerWaiters();
  }

  private setReachable(is: boolean): void {
    if (this.reachable === is) return;
    this.reachable = is;
    if (!is) this.masterSinceMs = 0;
    this.changed();
  }

  private dial(): void {
    if (this.stopped) return;
    this.runId = null;
    this.askedMs = 0;
    const link = new Link({
      ...this.where(),
      timeoutMs: CONNECT_MS,
      connected: (l) => {
        if (this.options.auth !== null) l.send(this.options.auth, () => {});
        this.ask(l);
        this.later();
      },
      closed: (l, error) => this.lost(l, error),
    });
    this.link = link;
  }
  private where(): { hostname?: string; port?: number; path?: string; tls?: TLSOptions } {
    const c = this.server.config;
    const tls = c.ssl && this.server.tls !== null ? { tls: this.server.tls } : {};
    return c.path !== "" ? { path: c.path, ...tls } : { hostname: this.server.dialHost, port: this.server.port, ...tls };
  }

  /** Closed by the peer: dialled again at once. No connection to be had: not reachable. */
  private lost(link: Link, error: Error | null): void {
    if (link !== this.link || this.stopped) return;
    this.link = null;
    // A connection that stood was closed on purpose (CLIENT KILL at a promotion, often twice): that alone says nothing.
    if (link.wasConnected && ++this.quickCloses <= QUICK_CLOSES_MAX) return this.dial();
    if (error !== null || link.wasConnected) this.setReachable(false);
    this.answerWaiters();
    setTimeout(() => this.dial(), REDIAL_MS).unref?.();
  }

  private subscribe(): void {
    if (this.stopped) return;
    const link = new Link({
      ...this.where(),
      timeoutMs: CONNECT_MS,
      connected: (l) => {
        if (this.options.auth !== null) l.send(this.options.auth, () => {});
        l.subscribe(HELLO_CHANNEL);
      },
      message: (_l, items) => {
        if (items[0] === "subscribe") this.listeningSinceMs = nowMs();
        else if (items[0] === "message" && typeof items[2] === "string") {
          const hello = parseHello(items[2]);
          if (hello !== null && plausibleHello(hello)) this.heard(hello);
        }
      },
      closed: (l) => {
        if (l !== this.subscriber || this.stopped) return;
        this.listeningSinceMs = 0;
        this.subscriberCount = -1;
        setTimeout(() => this.subscribe(), l.conn.bytesIn > 0 ? 10 : 500).unref?.();
      },
    });
    this.subscriber = link;
  }
}

/** AUTH as the section's own check sends it (`AUTH pw`, `AUTH user pw`, inline or as an array), or null. */
export function authOfCheck(sends: string[]): string[] | null {
  for (const text of sends) {
    const inline = /^AUTH +(.*?)\r?\n?$/i.exec(text);
    if (inline !== null) return ["AUTH", ...inline[1]!.split(/ +/).map((w) => w.replace(/^"(.*)"$/, "$1"))];
    const array = /^\*([23])\r\n\$4\r\nAUTH\r\n([\s\S]*)$/i.exec(text);
    if (array !== null) {
      const words = array[2]!.split("\r\n").filter((_w, i) => i % 2 === 1);
      return ["AUTH", ...words.slice(0, Number(array[1]) - 1)];
    }
  }
  return null;
}

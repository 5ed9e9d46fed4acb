/**
 * What the authority knows of one Sentinel: who it says is the master, asked every second and whenever something happens, and its events
 * by subscription. COLD. A Sentinel heard of in a hello is only asked; what its answers are worth is majority.ts's business.
 */
import type { Address } from "../fleet/hello.ts";
import type { SentinelAnswer, SentinelView } from "../fleet/majority.ts";
import { Link } from "../link/link.ts";
import { pairs, ReplyError, type Reply } from "../resp/reply.ts";
import { nowMs } from "./timers.ts";

const POLL_MS = 1000;
/** While something is going on. */
const HURRY_MS = 25;
const REDIAL_MS = 500;
const CONNECT_MS = 1000;
/** No reply for this long: lost. */
const SILENCE_MS = 1500;

export interface WatchEvents {
  changed(): void;
  /** An event of its channels: `+switch-master`, `+try-failover`, ... */
  event(watch: SentinelWatch, channel: string, payload: string): void;
  /** A master or replica that this one lists under the name. */
  server(address: Address): void;
  /** Another Sentinel that this one lists. */
  peer(address: Address, runId: string): void;
}

export class SentinelWatch {
  readonly address: Address;
  readonly source: SentinelView["source"];
  /** The master's name there. */
  readonly name: string;
  id: string;
  private readonly events: WatchEvents;
  private link: Link | null;
  private subscriber: Link | null;
  private timer: ReturnType<typeof setTimeout> | null;
  private hurryUntilMs: number;
  private askedMs: number;
  private stopped: boolean;
  state: SentinelView["link"];
  answer: SentinelAnswer | null;
  private polls: number;

  constructor(address: Address, source: SentinelView["source"], name: string, id: string, events: WatchEvents) {
    this.address = address;
    this.source = source;
    this.name = name;
    this.id = id;
    this.events = events;
    this.link = null;
    this.subscriber = null;
    this.timer = null;
    this.hurryUntilMs = 0;
    this.askedMs = 0;
    this.stopped = false;
    this.state = "lost";
    this.answer = null;
    this.polls = 0;
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

  /** Asks it for a failover; null when it begins, else what it says instead. */
  failover(): Promise<string | null> {
    return new Promise((resolve) => {
      if (this.link === null || !this.link.isConnected) return resolve("it cannot be reached");
      this.link.send(["SENTINEL", "FAILOVER", this.name], (r) => {
        resolve(r === "OK" ? null : r instanceof ReplyError ? r.text : r === undefined ? "the connection was lost" : String(r));
      });
    });
  }

  view(): SentinelView {
    return { id: this.id, address: this.address, source: this.source, link: this.state, answer: this.answer };
  }

  /** Asks now and often for `ms`: an answer is about to change. */
  hurry(ms: number): void {
    this.hurryUntilMs = Math.max(this.hurryUntilMs, nowMs() + ms);
    if (this.link?.isConnected && this.link.pending === 0) this.poll();
  }

  private poll(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const link = this.link;
    if (this.stopped || link === null) return;
    const now = nowMs();
    if (this.askedMs !== 0 && now - this.askedMs > SILENCE_MS) this.setState("lost");
    if (link.isConnected && link.pending === 0) this.ask(link);
    this.timer = setTimeout(() => this.poll(), now < this.hurryUntilMs ? HURRY_MS : POLL_MS);
  }

  private ask(link: Link): void {
    this.askedMs = nowMs();
    let before: Address | null | undefined;
    let master: Reply | undefined;
    link.send(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", this.name], (r) => {
      before = addressOf(r);
    });
    link.send(["SENTINEL", "MASTER", this.name], (r) => {
      master = r;
    });
    // The epoch goes with the address only when the address is the same before and after (fleet/majority.ts).
    link.send(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", this.name], (r) => {
      const after = addressOf(r);
      if (before === undefined || after === undefined || master === undefined) return;
      this.askedMs = 0;
      if (before?.host !== after?.host || before?.port !== after?.port) return void queueMicrotask(() => this.poll());
      this.answered(link, after, master);
    });
    if (this.polls % 5 === 0)
      link.send(["SENTINEL", "REPLICAS", this.name], (r) => {
        for (const s of rows(r)) if (s["ip"] && s["port"]) this.events.server({ host: s["ip"], port: Number(s["port"]) });
      });
    if (this.polls++ % 5 === 0)
      link.send(["SENTINEL", "SENTINELS", this.name], (r) => {
        for (const s of rows(r)) if (s["ip"] && s["port"]) this.events.peer({ host: s["ip"], port: Number(s["port"]) }, s["runid"] ?? "");
      });
  }

  private answered(link: Link, address: Address | null, master: Reply): void {
    if (address !== null) this.events.server(address);
    if (address === null || !Array.isArray(master)) return this.take(null, null, 0, 0);
    const m = pairs(master);
    const epoch = Number(m["config-epoch"] ?? 0);
    const others = Number(m["num-other-sentinels"] ?? 0);
    if (m["ip"] === address.host && Number(m["port"]) === address.port) return this.take(address, m["runid"] || null, epoch, others);
    // Just promoted: the address is the replica's already, its run_id is in the list of replicas.
    link.send(["SENTINEL", "REPLICAS", this.name], (list) => {
      const replica = rows(list).find((x) => x["ip"] === address.host && Number(x["port"]) === address.port);
      this.take(address, replica?.["runid"] || null, epoch, others);
    });
  }

  private take(address: Address | null, runId: string | null, configEpoch: number, otherSentinels: number): void {
    const now = nowMs();
    const was = this.answer;
    const same = was !== null && was.address?.host === address?.host && was.address?.port === address?.port;
    this.answer = { address, runId, configEpoch, otherSentinels, atMs: now, sinceMs: same ? was.sinceMs : now };
    const news =
      !same || this.state !== "up" || was.configEpoch !== configEpoch || was.runId !== runId || was.otherSentinels !== otherSentinels;
    this.state = "up";
    if (news) this.events.changed();
  }

  private setState(state: SentinelView["link"]): void {
    if (this.state === state) return;
    this.state = state;
    this.events.changed();
  }

  private dial(): void {
    if (this.stopped) return;
    this.askedMs = 0;
    this.link = new Link({
      hostname: this.address.host,
      port: this.address.port,
      timeoutMs: CONNECT_MS,
      connected: (l) => {
        l.send(["SENTINEL", "MYID"], (r) => {
          if (typeof r === "string" && r.length === 40) this.id = r;
        });
        this.poll();
      },
      closed: (l, error) => {
        if (l !== this.link || this.stopped) return;
        this.link = null;
        if (l.conn.bytesIn > 0) {
          this.setState("lost");
          return this.dial();
        }
        this.setState((error as { code?: string } | null)?.code === "ECONNREFUSED" ? "refused" : "lost");
        setTimeout(() => this.dial(), REDIAL_MS).unref?.();
      },
    });
  }

  private subscribe(): void {
    if (this.stopped) return;
    this.subscriber = new Link({
      hostname: this.address.host,
      port: this.address.port,
      timeoutMs: CONNECT_MS,
      connected: (l) => l.psubscribe("*"),
      message: (_l, items) => {
        if (items[0] === "pmessage") this.events.event(this, String(items[2]), String(items[3]));
      },
      closed: (l) => {
        if (l !== this.subscriber || this.stopped) return;
        setTimeout(() => this.subscribe(), REDIAL_MS).unref?.();
      },
    });
  }
}

/** A reply to GET-MASTER-ADDR-BY-NAME: null when the name is unknown, undefined when there was no answer. */
function addressOf(r: Reply | undefined): Address | null | undefined {
  if (r === null) return null;
  return Array.isArray(r) ? { host: String(r[0]), port: Number(r[1]) } : undefined;
}

function rows(r: Reply | undefined): Record<string, string>[] {
  return Array.isArray(r) ? r.map((x) => pairs(x)) : [];
}

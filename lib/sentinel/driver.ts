/**
 * Carries the Sentinel engine's actions out: links, timer, file, events, scripts, names, answers. COLD.
 *
 *   link / timer / client --Event--> engine.step --Action--> this file --> lib/link, StateFile, ScriptQueue, log, Pub/Sub
 *
 * Actions run in their order. A persist is finished (file, fsync, rename, fsync of the directory) before the next action, and what the engine
 * says to its outcome comes before the rest of the list. What comes in with the same wake-up of the loop is taken first: one write serves
 * hundreds of votes that are asked for together. Decides nothing about failover.
 */
import type { TLSOptions } from "bun";
import { strerror } from "../bytes/errno.ts";
import type { Log } from "../log/log.ts";
import type { RedisLevel } from "../log/redis_line.ts";
import { Link } from "../link/link.ts";
import { ReplyError } from "../resp/reply.ts";
import { HELLO_CHANNEL, type Action, type Answer, type ClientId, type Event, type LinkId } from "./core/types.ts";
import type { SentinelEngine } from "./core/engine.ts";
import { resolveName } from "./resolve.ts";
import type { ScriptQueue } from "./scripts.ts";
import type { Webhooks } from "./webhook.ts";
import type { StateFile } from "./state_file.ts";

export interface DriverOptions {
  engine: SentinelEngine;
  log: Log;
  file: StateFile;
  scripts: ScriptQueue;
  /** Publishes an event to this Sentinel's subscribers. */
  publish(channel: string, payload: string): void;
  /** Source address of links, "" for any. */
  bindSource(): string;
  logLevel(level: RedisLevel): void;
  webhooks: Webhooks;
  /** TLS for links, or null. */
  tls(): TLSOptions | null;
}

interface OpenLink {
  link: Link;
  pubsub: boolean;
}

export class Driver {
  private readonly options: DriverOptions;
  private readonly engine: SentinelEngine;
  private readonly links: Map<LinkId, OpenLink>;
  private readonly clients: Map<ClientId, (answer: Answer) => void>;
  private lastClient: ClientId;
  private timer: ReturnType<typeof setTimeout> | null;
  private timerAtMs: number;
  private deadlineMs: number;
  private over: boolean;
  /** Actions behind a persist that is still to be done, itself included. */
  private waiting: Action[];

  constructor(options: DriverOptions) {
    this.options = options;
    this.engine = options.engine;
    this.links = new Map();
    this.clients = new Map();
    this.lastClient = 0;
    this.timer = null;
    this.timerAtMs = Infinity;
    this.deadlineMs = Infinity;
    this.over = false;
    this.waiting = [];
  }

  /** The engine's clock: whole ms, monotonic. */
  static nowMs(): number {
    return Math.floor(performance.now());
  }

  start(): void {
    this.feed({ kind: "start" });
  }

  /** Writes what was still to be written, closes all links; nothing happens any more. */
  stop(): void {
    if (!this.over && (this.engine.state.saveAtMs > -Infinity || this.waiting.length > 0))
      this.options.file.save(this.engine.directives(), this.engine.votes());
    this.over = true;
    if (this.timer !== null) clearTimeout(this.timer);
    for (const { link } of this.links.values()) link.close();
    this.links.clear();
  }

  /** A client's SENTINEL or PUBLISH; `answered` is called once, in this call or later. */
  command(args: string[], answered: (answer: Answer) => void): void {
    const client = ++this.lastClient;
    this.clients.set(client, answered);
    this.feed({ kind: "command", client, args });
  }

  feed(event: Event): void {
    if (this.over) return;
    this.carryOut(this.engine.step(event, Driver.nowMs(), Math.random));
  }

  /** Behind what still waits for the disk, if anything does. */
  private carryOut(actions: Action[]): void {
    if (this.waiting.length > 0) return void this.waiting.push(...actions);
    for (let i = 0; i < actions.length; i++) {
      if (this.over) return;
      const action = actions[i];
      if (action.kind === "persist") {
        this.waiting = actions.slice(i);
        setImmediate(() => this.write());
        return;
      }
      this.act(action);
    }
  }

  /** Writes the file once, for all that wait for it; then everything goes on in its order. */
  private write(): void {
    if (this.over) return;
    const queue = this.waiting;
    const served = new Set(queue.filter((a) => a.kind === "persist"));
    const error = this.options.file.save(this.engine.directives(), this.engine.votes());
    while (queue.length > 0 && !this.over) {
      const action = queue[0];
      if (action.kind !== "persist") {
        queue.shift();
        this.act(action);
      } else if (served.has(action)) {
        queue.shift();
        // What the engine says to the outcome comes before the rest, and may want another write.
        queue.unshift(...this.engine.step({ kind: "persisted", token: action.token, error }, Driver.nowMs(), Math.random));
      } else {
        setImmediate(() => this.write());
        return;
      }
    }
  }

  private act(a: Action): void {
    const { log } = this.options;
    switch (a.kind) {
      case "connect":
        return this.connect(a);
      case "close":
        return this.close(a.link);
      case "send":
        return this.send(a.link, a.args);
      case "persist":
        return; // carryOut's
      case "emit":
        log.at(a.level, `${a.type} ${a.payload}`);
        if (a.level !== "debug") this.options.publish(a.type, a.payload);
        return;
      case "log":
        log.at(a.level, a.untilMs === undefined ? a.text : `${a.text} ${clockText(Date.now() + a.untilMs - Driver.nowMs())}`);
        return;
      case "runScript":
        return this.options.scripts.add(a.path, a.args);
      case "webhook":
        return this.options.webhooks.add(a);
      case "deadline":
        this.deadlineMs = a.atMs;
        return this.arm();
      case "answer": {
        const answered = this.clients.get(a.client);
        this.clients.delete(a.client);
        return answered?.(a.answer);
      }
      case "resolve":
        return this.resolve(a.host);
      case "logLevel":
        return this.options.logLevel(a.level);
      case "exit":
        process.exit(a.code);
    }
  }

  private connect(a: Action & { kind: "connect" }): void {
    const id = a.link;
    const source = this.options.bindSource();
    const tls = this.options.tls();
    const link = new Link({
      hostname: a.ip,
      port: a.port,
      ...(source === "" ? {} : { localAddress: source }),
      ...(tls === null ? {} : { tls }),
      connected: (l) => this.feed({ kind: "linkUp", link: id, localIp: l.conn.localAddress }),
      message: (_l, items) => this.feed({ kind: "message", link: id, items }),
      closed: (_l, error) => this.lost(id, error === null ? "Server closed the connection" : strerror(error), error),
      // A subscription that is refused (no password, no right) leaves a connection of no use, as in the original.
      unasked: (l, reply) => {
        if (!(reply instanceof ReplyError)) return;
        this.lost(id, reply.text, null);
        l.close();
      },
    });
    this.links.set(id, { link, pubsub: a.channel === "pubsub" });
  }

  private lost(id: LinkId, reason: string, error: Error | null): void {
    if (!this.links.delete(id)) return;
    this.feed({ kind: "linkDown", link: id, reason, refused: (error as { code?: string } | null)?.code === "ECONNREFUSED" });
  }

  /** What was sent before goes out: the last words to an old master are commands. */
  private close(id: LinkId): void {
    const open = this.links.get(id);
    this.links.delete(id);
    if (open?.link.isConnected) open.link.end();
    else open?.link.close();
  }

  private send(id: LinkId, args: string[]): void {
    const open = this.links.get(id);
    if (open === undefined) return;
    if (open.pubsub && args.at(-1) === HELLO_CHANNEL) open.link.subscribeWith(...args);
    else if (open.pubsub) open.link.send(args, () => {});
    else
      open.link.send(args, (reply) => {
        if (reply !== undefined && this.links.has(id)) this.feed({ kind: "reply", link: id, reply });
      });
  }

  private resolve(host: string): void {
    void resolveName(host).then((ip) => this.feed({ kind: "resolved", host, ip }));
  }

  /** One timer for all deadlines: it is moved when an earlier one comes, and moves itself when it was too early. */
  private arm(): void {
    if (this.timer !== null) {
      if (this.timerAtMs <= this.deadlineMs) return;
      clearTimeout(this.timer);
    }
    this.timerAtMs = this.deadlineMs;
    this.timer = setTimeout(
      () => {
        this.timer = null;
        if (this.over) return;
        if (Driver.nowMs() >= this.deadlineMs) this.feed({ kind: "timer" });
        else this.arm();
      },
      Math.max(0, Math.ceil(this.deadlineMs - performance.now())),
    );
  }
}

/** C's ctime without its line break: "Thu Nov 24 18:22:48 2026", local time. */
function clockText(ms: number): string {
  const d = new Date(ms);
  const two = (n: number): string => String(n).padStart(2, "0");
  const [day, month] = [d.toString().slice(0, 3), d.toString().slice(4, 7)];
  return `${day} ${month} ${String(d.getDate()).padStart(2, " ")} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())} ${d.getFullYear()}`;
}

/**
 * A Sentinel in a simulated world: an Engine (ours or the model of the original) with wires for its links, a disk for its file, clients that
 * ask it, and subscribers to its events. Carries actions out in their order; a `persist` takes time, can fail, and the process can die in
 * the middle of it, before or after the file is new.
 */
import type { Reply } from "../../lib/resp/reply.ts";
import { ReplyError } from "../../lib/resp/reply.ts";
import { SentinelEngine } from "../../lib/sentinel/core/engine.ts";
import { replyOf, type Action, type Boot, type Engine, type Event, type Random } from "../../lib/sentinel/core/types.ts";
import { End, Process, type World } from "./world.ts";

export type EngineMaker = (boot: Boot, nowMs: number, random: Random) => Engine;

/** What a world's checkers want to hear. */
export interface Watcher {
  emitted(s: SentinelProcess, type: string, payload: string): void;
  /** It has something new to write. */
  changed?(s: SentinelProcess, file: string[][]): void;
  persisted(s: SentinelProcess, file: string[][]): void;
  /** A reply to is-master-down-by-addr about the master at `address` that carries a vote. */
  voted(s: SentinelProcess, address: string, leader: string, epoch: number): void;
  sent(s: SentinelProcess, ip: string, port: number, args: string[]): void;
  started(s: SentinelProcess): void;
  ended(s: SentinelProcess): void;
}

/** `vote`: the address of the master that a vote was asked about, "" for other requests. */
type Asker = { slots: { reply: Reply | undefined; ready: boolean; vote: string }[]; patterns: boolean };

export class SentinelProcess extends Process {
  private readonly make: EngineMaker;
  private readonly watcher: Watcher;
  readonly kind: "ours" | "original";
  engine: Engine | null;
  /** The file's `sentinel ...` lines, and what it was some time ago (for a restore from a backup). */
  file: string[][];
  /** For whom ours voted, kept beside the file's lines (lib/sentinel/state_file.ts). */
  votes: Record<string, [string, number]>;
  readonly backups: string[][][];
  diskFails: boolean;
  /** Dies at its next persist: before the new file is there, or after. */
  dieAtPersist: "" | "before" | "after";
  fsyncMs: { low: number; high: number };
  /** Added to the clock that the original looks at. */
  clockSkewMs: number;
  private links: Map<number, { end: End; pubsub: boolean; ip: string; port: number }>;
  private askers: Map<End, Asker>;
  private clients: Map<number, { end: End; slot: Asker["slots"][number] }>;
  private lastClient: number;
  private deadlineSeq: number;
  private plan: Action[];
  private working: boolean;
  /** Writes of the file, for curious tests. */
  writes: number;
  private readonly rng: Random;

  constructor(
    world: World,
    name: string,
    host: string,
    ip: string,
    port: number,
    kind: "ours" | "original",
    make: EngineMaker,
    watcher: Watcher,
  ) {
    super(world, name, host, ip, port);
    this.kind = kind;
    this.make = make;
    this.watcher = watcher;
    this.engine = null;
    this.file = [];
    this.votes = {};
    this.backups = [];
    this.diskFails = false;
    this.dieAtPersist = "";
    this.fsyncMs = { low: 0, high: 3 };
    this.clockSkewMs = 0;
    this.links = new Map();
    this.askers = new Map();
    this.clients = new Map();
    this.lastClient = 0;
    this.deadlineSeq = 0;
    this.plan = [];
    this.working = false;
    this.writes = 0;
    this.rng = world.random.fork().next;
  }

  private get clock(): number {
    return this.world.now + this.clockSkewMs;
  }

  override onStart(): void {
    this.links = new Map();
    this.askers = new Map();
    this.clients = new Map();
    this.plan = [];
    this.working = false;
    this.deadlineSeq++;
    this.dieAtPersist = "";
    const boot: Boot = {
      directives: this.file,
      votes: this.votes,
      freshId: this.world.random.hex(40),
      port: this.port,
      requirepass: "",
    };
    this.engine = this.make(boot, this.clock, this.rng);
    this.watcher.started(this);
    this.feed({ kind: "start" });
  }

  override onStop(): void {
    this.engine = null;
    this.watcher.ended(this);
  }

  // ---- the engine's actions ----

  private feed(event: Event): void {
    if (this.engine === null) return;
    this.plan.push(...this.engine.step(event, this.clock, this.rng));
    this.work();
  }

  private work(): void {
    if (this.working) return;
    this.working = true;
    const life = this.life;
    while (this.alive && this.life === life && this.plan.length > 0) {
      const action = this.plan[0]!;
      if (action.kind === "persist") {
        // Ours takes what has come in by now before it writes: one write for all (lib/sentinel/driver.ts). The original writes at once.
        if (this.kind === "original") this.write();
        else this.later(0, () => this.write());
        return;
      }
      this.plan.shift();
      this.carryOut(action);
    }
    this.working = false;
  }

  /** One write of the file for every persist that waits. */
  private write(): void {
    const life = this.life;
    const ms = this.world.random.int(this.fsyncMs.low, this.fsyncMs.high);
    const served = new Set(this.kind === "original" ? [this.plan[0]!] : this.plan.filter((a) => a.kind === "persist"));
    const file = this.engine!.directives();
    const votes = this.engine instanceof SentinelEngine ? this.engine.votes() : {};
    this.watcher.changed?.(this, file);
    this.writes++;
    const done = (): void => {
      if (this.life !== life || !this.alive) return;
      if (this.dieAtPersist === "before") return this.kill();
      let error: string | null = "No space left on device";
      if (!this.diskFails) {
        error = null;
        this.backups.push(this.file);
        if (this.backups.length > 12) this.backups.shift();
        this.file = file;
        this.votes = votes;
        this.watcher.persisted(this, file);
      }
      if (this.dieAtPersist === "after") return this.kill();
      this.written(served, error);
    };
    if (ms === 0) return done();
    // The process is inside fsync: nothing else is looked at until that is done.
    this.block(ms, done);
  }

  private written(served: Set<Action>, error: string | null): void {
    const life = this.life;
    while (this.alive && this.life === life && this.plan.length > 0) {
      const action = this.plan[0]!;
      if (action.kind === "persist" && !served.has(action)) break;
      this.plan.shift();
      if (action.kind !== "persist") this.carryOut(action);
      else this.plan.unshift(...this.engine!.step({ kind: "persisted", token: action.token, error }, this.clock, this.rng));
    }
    if (!this.alive || this.life !== life) return;
    this.working = false;
    this.work();
  }

  private carryOut(a: Action): void {
    switch (a.kind) {
      case "connect": {
        const end = this.connect(a.ip, a.port, a.link);
        this.links.set(a.link, { end, pubsub: a.channel === "pubsub", ip: a.ip, port: a.port });
        break;
      }
      case "close": {
        const link = this.links.get(a.link);
        if (link === undefined) break;
        this.links.delete(a.link);
        this.drop(link.end);
        break;
      }
      case "send": {
        const link = this.links.get(a.link);
        if (link === undefined) break;
        this.watcher.sent(this, link.ip, link.port, a.args);
        link.end.send(a.args);
        break;
      }
      case "emit":
        if (a.level !== "debug") {
          this.watcher.emitted(this, a.type, a.payload);
          for (const [end, asker] of this.askers) if (asker.patterns) end.send(["pmessage", "*", a.type, a.payload]);
        }
        break;
      case "log":
        this.world.log(this.name, `(${a.text}${a.untilMs === undefined ? "" : `+${a.untilMs - this.clock} ms`})`);
        break;
      case "deadline": {
        const seq = ++this.deadlineSeq;
        this.later(a.atMs - this.clock, () => {
          if (seq === this.deadlineSeq) this.feed({ kind: "timer" });
        });
        break;
      }
      case "answer": {
        const waiting = this.clients.get(a.client);
        if (waiting === undefined) break;
        this.clients.delete(a.client);
        const reply = replyOf(a.answer);
        if (waiting.slot.vote !== "" && Array.isArray(reply) && typeof reply[1] === "string" && reply[1] !== "*")
          this.watcher.voted(this, waiting.slot.vote, reply[1], Number(reply[2]));
        waiting.slot.reply = reply;
        waiting.slot.ready = true;
        this.flushAsker(waiting.end);
        break;
      }
      case "exit":
        this.kill();
        break;
      case "persist":
      case "runScript":
      case "resolve":
        break;
    }
  }

  // ---- wires ----

  override onConnected(end: End): void {
    if (this.links.get(end.tag as number)?.end === end) this.feed({ kind: "linkUp", link: end.tag as number, localIp: this.ip });
  }

  override onClosed(end: End, reason: string, refused: boolean): void {
    if (this.askers.delete(end)) return;
    const id = end.tag as number;
    if (this.links.get(id)?.end !== end) return;
    this.links.delete(id);
    this.feed({ kind: "linkDown", link: id, reason, refused });
  }

  override onAccept(end: End): void {
    this.askers.set(end, { slots: [], patterns: false });
  }

  override onMessage(end: End, message: unknown): void {
    const asker = this.askers.get(end);
    if (asker !== undefined) return this.asked(end, asker, message as string[]);
    const id = end.tag as number;
    const link = this.links.get(id);
    if (link === undefined || link.end !== end) return;
    if (!link.pubsub) this.feed({ kind: "reply", link: id, reply: message as Reply });
    else if (Array.isArray(message)) this.feed({ kind: "message", link: id, items: message as Reply[] });
  }

  /** Replies of one connection keep the order of its requests, also when the engine answers later. */
  private asked(end: End, asker: Asker, args: string[]): void {
    const word = args[0]!.toUpperCase();
    const slot = { reply: undefined as Reply | undefined, ready: true, vote: "" };
    asker.slots.push(slot);
    if (word === "PSUBSCRIBE") {
      asker.patterns = true;
      slot.reply = ["psubscribe", args[1]!, 1];
    } else if (word === "PING") slot.reply = "PONG";
    else if (word === "SENTINEL" || word === "PUBLISH") {
      slot.ready = false;
      if (args[1]!.toLowerCase() === "is-master-down-by-addr" && args[5] !== "*") slot.vote = `${args[2]}:${args[3]}`;
      const client = ++this.lastClient;
      this.clients.set(client, { end, slot });
      return this.feed({ kind: "command", client, args });
    } else if (word === "CLIENT" || word === "AUTH") slot.reply = "OK";
    else slot.reply = new ReplyError(`ERR unknown command '${args[0]}', with args beginning with: `);
    this.flushAsker(end);
  }

  private flushAsker(end: End): void {
    const asker = this.askers.get(end);
    if (asker === undefined) return;
    while (asker.slots[0]?.ready === true) end.send(asker.slots.shift()!.reply);
  }

  /** An operator at this Sentinel's prompt; nobody reads the reply. */
  operator(args: string[]): void {
    const client = ++this.lastClient;
    if (this.alive && !this.isPaused) this.deliver(this.life, () => this.feed({ kind: "command", client, args }));
  }
}

/**
 * Clients for failover tests that remember what was acknowledged and what may have happened, and hold the data against it at the end: each
 * acknowledged effect is there exactly once and in order, nothing twice, nothing that nobody sent, and nobody was cut. For a proxy that cuts
 * its clients they connect anew (`reconnects`), and what it comes to is counted all the same.
 */
import { expect } from "bun:test";
import { cli, until } from "./programs.ts";
import { Wire } from "./wire.ts";

const UNKNOWN = "-UNKNOWNRESULT";
/** A pop that has not come so long after its push never will. */
const LOST_POP_MS = 15_000;
const RECONNECT_MS = 20;

/** What the data have to say against a history: acknowledged and not there; there more often than anybody sent it; anything else. */
export interface Findings {
  lost: string[];
  doubled: string[];
  wrong: string[];
}

export abstract class Actor {
  readonly name: string;
  readonly errors: string[];
  done: number;
  stop: boolean;
  /** Connections that ended under it. */
  cuts: number;
  reconnects: boolean;
  /** Between two rounds. */
  pauseMs: number;
  /** Requests of unknown result. */
  unknowns: number;
  /** The number of the round that it is in; the values that it writes carry it. */
  begun: number;
  constructor(name: string) {
    this.name = name;
    this.errors = [];
    this.done = 0;
    this.stop = false;
    this.cuts = 0;
    this.reconnects = false;
    this.pauseMs = 1;
    this.unknowns = 0;
    this.begun = 0;
  }
  /** It has been cut and does not go on. */
  get cut(): boolean {
    return this.cuts > 0 && !this.reconnects;
  }
  async run(port: number): Promise<void> {
    let w = await this.connect(port);
    for (let n = 0; !this.stop && !this.cut; n++) {
      this.begun = n;
      const ok = await this.round(w, n);
      if (ok) this.done++;
      else {
        this.cuts++;
        w.close();
        if (!this.cut) w = await this.connect(port);
      }
      await Bun.sleep(this.pauseMs);
    }
    w.close();
  }
  /** Until it is connected; whoever does not reconnect wants it at once. */
  protected async connect(port: number): Promise<Wire> {
    for (;;) {
      try {
        return await Wire.connect(port);
      } catch (error) {
        if (!this.reconnects) throw error;
        await Bun.sleep(RECONNECT_MS);
      }
    }
  }
  /** False: the connection was closed. */
  protected abstract round(w: Wire, n: number): Promise<boolean>;
  protected abstract judge(port: number): Promise<Findings>;
  /** True when the reply is one that it expects; unknown results and other errors are counted. */
  protected good(reply: string): boolean {
    if (reply.startsWith(UNKNOWN) || reply === "closed") this.unknowns++;
    else if (reply.startsWith("-")) this.errors.push(reply);
    else return true;
    return false;
  }
  /** What the master at `port` has to say. */
  findings(port: number): Promise<Findings> {
    return this.judge(port);
  }
  async check(port: number): Promise<void> {
    expect([this.name, "cuts", this.cuts]).toEqual([this.name, "cuts", 0]);
    expect([this.name, this.errors]).toEqual([this.name, []]);
    expect({ name: this.name, ...(await this.judge(port)) }).toEqual({ name: this.name, lost: [], doubled: [], wrong: [] });
  }
}

/** Values of a list on the master. */
async function list(port: number, key: string): Promise<string[]> {
  return (await cli(port, "lrange", key, "0", "-1")).split("\n").filter((v) => v !== "");
}
/** Those that come a second time. */
function again(values: string[]): string[] {
  const seen = new Set<string>();
  return values.filter((v) => seen.size === seen.add(v).size);
}

/** RPUSH, INCR, unique SET and SETNX in one pipeline. */
export class PipelineWriter extends Actor {
  private readonly pushed: string[] = [];
  private readonly maybePushed = new Set<string>();
  private readonly set: string[] = [];
  private readonly locks: string[] = [];
  private readonly taken: string[] = [];
  private increments = 0;
  private maybe = 0;
  protected async round(w: Wire, n: number): Promise<boolean> {
    const value = `${this.name}:${n}`;
    w.send("RPUSH", `list:${this.name}`, value);
    w.send("INCR", `count:${this.name}`);
    w.send("SET", `set:${value}`, value);
    w.send("SETNX", `lock:${value}`, this.name);
    w.send("GET", `set:${value}`);
    const [push, incr, set, lock, get] = [await w.next(), await w.next(), await w.next(), await w.next(), await w.next()];
    if (this.good(push)) this.pushed.push(value);
    else this.maybePushed.add(value);
    if (this.good(incr)) this.increments++;
    else this.maybe++;
    if (this.good(set)) this.set.push(`set:${value}`);
    // A lock that nobody else wants is always given: another answer is that of a request sent twice.
    if (this.good(lock)) (lock === "(1)" ? this.locks : this.taken).push(`lock:${value}`);
    if (set === "+OK" && this.good(get) && get !== `"${value}"`) this.errors.push(`${get} instead of ${value}`);
    return get !== "closed";
  }
  protected async judge(port: number): Promise<Findings> {
    const there = await list(port, `list:${this.name}`);
    const is = new Set(there);
    const lost = this.pushed.filter((v) => !is.has(v)).map((v) => `RPUSH ${v}`);
    const doubled = again(there).map((v) => `RPUSH ${v}`);
    const sure = there.filter((v) => !this.maybePushed.has(v));
    const mine = new Set(this.pushed);
    const wrong = sure.filter((v) => !mine.has(v)).map((v) => `RPUSH ${v} by nobody`);
    const order = sure.map((v) => Number(v.split(":")[1]));
    if (order.some((n, i) => i > 0 && n < order[i - 1]!)) wrong.push("RPUSH out of order");
    const count = Number(await cli(port, "get", `count:${this.name}`));
    if (count < this.increments) lost.push(`INCR ${this.increments - count} times`);
    if (count > this.increments + this.maybe) doubled.push(`INCR ${count - this.increments - this.maybe} times`);
    for (const keys of [this.set, this.locks])
      for (let i = 0; i < keys.length; i += 500) {
        const some = keys.slice(i, i + 500);
        const missing = some.length - Number(await cli(port, "exists", ...some));
        if (missing > 0) for (const key of some) if ((await cli(port, "exists", key)) !== "1") lost.push(key);
      }
    return { lost, doubled: [...doubled, ...this.taken], wrong };
  }
}

/** Moves a counter by WATCH, GET, MULTI, SET, EXEC; others do the same. */
export class TransactionWriter extends Actor {
  private committed = 0;
  private maybe = 0;
  protected async round(w: Wire, n: number): Promise<boolean> {
    const key = `tx:{${this.name}}`;
    const watched = await w.do("WATCH", key);
    const had = await w.do("GET", key);
    if (had === "closed") return false;
    if (!this.good(watched) || !this.good(had)) return true;
    const next = had === "nil" ? 1 : Number(had.slice(1, -1)) + 1;
    w.send("MULTI");
    w.send("SET", key, next);
    w.send("RPUSH", `${key}:log`, `${this.name}:${n}`);
    w.send("EXEC");
    const [multi, , , exec] = [await w.next(), await w.next(), await w.next(), await w.next()];
    this.good(multi);
    if (exec.startsWith("[")) this.committed++;
    else if (exec.startsWith("nil")) return true;
    else if (!this.good(exec)) this.maybe++;
    return exec !== "closed";
  }
  protected async judge(port: number): Promise<Findings> {
    const value = Number((await cli(port, "get", `tx:{${this.name}}`)) || 0);
    const log = await list(port, `tx:{${this.name}}:log`);
    const lost = value < this.committed ? [`EXEC ${this.committed - value} times`] : [];
    const doubled = value > this.committed + this.maybe ? [`EXEC ${value - this.committed - this.maybe} times`] : [];
    // All of a transaction or nothing of it, and each once.
    const wrong = log.length === value ? [] : [`${log.length} in the log, ${value} counted`];
    return { lost, doubled: [...doubled, ...again(log).map((v) => `EXEC ${v}`)], wrong };
  }
}

/**
 * Waits in BLPOP for what it has another connection push. What comes was pushed, in the order of the pushes and once for each push that may
 * have been executed, and what was surely pushed comes. A master that crashes may take one pop with it: its element or its reply.
 */
export class Popper extends Actor {
  private pusher: Wire | null = null;
  private readonly got: string[] = [];
  /** How often each value may be there, and which were acknowledged. */
  private readonly pushes = new Map<string, number>();
  private readonly acknowledged: string[] = [];
  private port = 0;
  /** Crashes and stops of a master. */
  crashes = 0;
  override async run(port: number): Promise<void> {
    this.port = port;
    this.pusher = await this.connect(port);
    await super.run(port);
    this.pusher.close();
  }
  protected async round(w: Wire, n: number): Promise<boolean> {
    if (this.pusher!.isClosed) this.pusher = await this.connect(this.port);
    w.send("BLPOP", `queue:${this.name}`, "0");
    const popped = w.next();
    do {
      for (;;) {
        const pushed = await this.pusher!.do("RPUSH", `queue:${this.name}`, n);
        const good = this.good(pushed);
        if (good || pushed.startsWith(UNKNOWN) || pushed === "closed") this.pushes.set(String(n), (this.pushes.get(String(n)) ?? 0) + 1);
        if (pushed === "closed") return false;
        if (!good) continue;
        this.acknowledged.push(String(n));
        break;
      }
      // Its element may have gone with a master: then another one.
    } while ((await Promise.race([popped, Bun.sleep(LOST_POP_MS)])) === undefined);
    const answer = await popped;
    if (answer === "closed") return false;
    if (this.good(answer)) this.got.push(answer);
    return true;
  }
  protected async judge(port: number): Promise<Findings> {
    const values = this.got.map((g) => /^\["(.*)", "(\d+)"\]$/.exec(g)!.slice(1, 3));
    const wrong = values.filter(([queue]) => queue !== `queue:${this.name}`).map(([queue]) => `popped from ${queue}`);
    const popped = values.map(([, n]) => n!);
    if (popped.some((n, i) => i > 0 && Number(n) < Number(popped[i - 1]))) wrong.push("popped out of order");
    const often = popped.filter((n, i) => i - popped.indexOf(n) >= (this.pushes.get(n) ?? 0)).map((n) => `BLPOP ${n}`);
    const there = new Set([...popped, ...(await list(port, `queue:${this.name}`))]);
    const missing = this.acknowledged.filter((n) => !there.has(n)).map((n) => `RPUSH ${n}`);
    const spared = often.length + missing.length <= this.crashes;
    return { lost: spared ? [] : missing, doubled: spared ? [] : often, wrong };
  }
}

/** Lives on its subscription: it is there again on every master. */
export class Subscriber {
  private readonly name: string;
  private wire: Wire | null = null;
  constructor(name: string) {
    this.name = name;
  }
  async start(port: number): Promise<void> {
    this.wire = await Wire.connect(port);
    expect(await this.wire.do("SUBSCRIBE", this.name)).toContain("subscribe");
  }
  /** A message published on the master itself arrives. */
  async check(port: number, text: string): Promise<void> {
    await until(`the subscription ${this.name} on ${port}`, async () => (await cli(port, "pubsub", "numsub", this.name)).endsWith("1"));
    await cli(port, "publish", this.name, text);
    expect(await this.wire!.next()).toBe(`["message", "${this.name}", "${text}"]`);
  }
  close(): void {
    this.wire?.close();
  }
}

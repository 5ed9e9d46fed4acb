/**
 * Clients for failover tests that remember what was acknowledged and what may have happened, and hold the data against it at the end: each
 * acknowledged effect is there exactly once and in order, nothing twice, nothing that nobody sent, and nobody was cut.
 */
import { expect } from "bun:test";
import { cli, until } from "./programs.ts";
import { Wire } from "./wire.ts";

const UNKNOWN = "-UNKNOWNRESULT";
/** A pop that has not come so long after its push never will. */
const LOST_POP_MS = 15_000;

export abstract class Actor {
  readonly name: string;
  readonly errors: string[];
  done: number;
  stop: boolean;
  cut: boolean;
  /** Requests of unknown result. */
  unknowns: number;
  constructor(name: string) {
    this.name = name;
    this.errors = [];
    this.done = 0;
    this.stop = false;
    this.cut = false;
    this.unknowns = 0;
  }
  async run(port: number): Promise<void> {
    const w = await Wire.connect(port);
    for (let n = 0; !this.stop && !this.cut; n++) {
      const ok = await this.round(w, n);
      if (!ok) this.cut = true;
      else this.done++;
      await Bun.sleep(1);
    }
    w.close();
  }
  /** False: the connection was closed. */
  protected abstract round(w: Wire, n: number): Promise<boolean>;
  protected abstract judge(port: number): Promise<void>;
  /** True when the reply is one that it expects; unknown results and other errors are counted. */
  protected good(reply: string): boolean {
    if (reply.startsWith(UNKNOWN)) this.unknowns++;
    else if (reply.startsWith("-")) this.errors.push(reply);
    else return true;
    return false;
  }
  async check(port: number): Promise<void> {
    expect([this.name, "cut", this.cut]).toEqual([this.name, "cut", false]);
    expect([this.name, this.errors]).toEqual([this.name, []]);
    await this.judge(port);
  }
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
    if (get === "closed") return false;
    if (this.good(push)) this.pushed.push(value);
    else this.maybePushed.add(value);
    if (this.good(incr)) this.increments++;
    else this.maybe++;
    if (this.good(set)) this.set.push(`set:${value}`);
    // A lock that nobody else wants is always given: another answer is that of a request sent twice.
    if (this.good(lock)) (lock === "(1)" ? this.locks : this.taken).push(`lock:${value}`);
    if (set === "+OK" && get !== `"${value}"`) this.errors.push(`${get} instead of ${value}`);
    return true;
  }
  protected async judge(port: number): Promise<void> {
    const there = (await cli(port, "lrange", `list:${this.name}`, "0", "-1")).split("\n").filter((v) => v !== "");
    expect(new Set(there).size).toBe(there.length);
    expect(there.filter((v) => !this.maybePushed.has(v))).toEqual(this.pushed);
    const count = Number(await cli(port, "get", `count:${this.name}`));
    expect(count).toBeGreaterThanOrEqual(this.increments);
    expect(count).toBeLessThanOrEqual(this.increments + this.maybe);
    for (const keys of [this.set, this.locks])
      for (let i = 0; i < keys.length; i += 500) {
        const some = keys.slice(i, i + 500);
        expect(Number(await cli(port, "exists", ...some))).toBe(some.length);
      }
    expect(this.taken).toEqual([]);
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
    if (exec === "closed") return false;
    this.good(multi);
    if (exec.startsWith(UNKNOWN)) {
      this.unknowns++;
      this.maybe++;
    } else if (exec.startsWith("[")) this.committed++;
    else if (!exec.startsWith("nil")) this.errors.push(exec);
    return true;
  }
  protected async judge(port: number): Promise<void> {
    const value = Number((await cli(port, "get", `tx:{${this.name}}`)) || 0);
    const log = (await cli(port, "lrange", `tx:{${this.name}}:log`, "0", "-1")).split("\n").filter((v) => v !== "");
    // All of a transaction or nothing of it, and each once.
    expect([log.length, new Set(log).size]).toEqual([value, value]);
    expect(value).toBeGreaterThanOrEqual(this.committed);
    expect(value).toBeLessThanOrEqual(this.committed + this.maybe);
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
  /** Crashes and stops of a master. */
  crashes = 0;
  override async run(port: number): Promise<void> {
    this.pusher = await Wire.connect(port);
    await super.run(port);
    this.pusher.close();
  }
  protected async round(w: Wire, n: number): Promise<boolean> {
    w.send("BLPOP", `queue:${this.name}`, "0");
    const popped = w.next();
    do {
      for (;;) {
        const pushed = await this.pusher!.do("RPUSH", `queue:${this.name}`, n);
        if (pushed === "closed") return false;
        const good = this.good(pushed);
        if (good || pushed.startsWith(UNKNOWN)) this.pushes.set(String(n), (this.pushes.get(String(n)) ?? 0) + 1);
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
  protected async judge(port: number): Promise<void> {
    const values = this.got.map((g) => /^\["(.*)", "(\d+)"\]$/.exec(g)!.slice(1, 3));
    expect(new Set(values.map(([queue]) => queue))).toEqual(new Set([`queue:${this.name}`]));
    const popped = values.map(([, n]) => n!);
    expect(popped).toEqual([...popped].sort((a, b) => Number(a) - Number(b)));
    const often = popped.filter((n, i) => i - popped.indexOf(n) >= (this.pushes.get(n) ?? 0));
    const left = (await cli(port, "lrange", `queue:${this.name}`, "0", "-1")).split("\n").filter((v) => v !== "");
    const there = new Set([...popped, ...left]);
    const missing = this.acknowledged.filter((n) => !there.has(n));
    expect({ often, missing, fits: often.length + missing.length <= this.crashes }).toEqual({ often, missing, fits: true });
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

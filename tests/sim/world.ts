/**
 * One world on a virtual clock: a seeded random, an event queue, hosts, a network and processes. Everything that happens happens in the
 * order of (time, sequence number), so a seed is a whole history and a failing seed can be replayed.
 *
 *     Process (server.ts, sentinel.ts, proxy.ts, client.ts)  --connect/send-->  Wire (TCP: ordered, two directions)  -->  Process
 *
 * A wire's direction delays, stalls while its path is blocked (TCP repeats until the path is back) and never reorders or loses by itself.
 * A process that is paused or busy finds what arrived when it wakes; a killed one resets its wires; a host that loses power says nothing.
 * Messages are JS values. Left out: bandwidth, windows, datagrams.
 */

/** Small, fast, good enough: splitmix32. */
export class Rng {
  private state: number;
  constructor(seed: number) {
    this.state = seed >>> 0;
  }
  /** Uniform in [0, 1). */
  readonly next = (): number => {
    this.state = (this.state + 0x9e3779b9) >>> 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return ((z ^ (z >>> 16)) >>> 0) / 4294967296;
  };
  /** Whole number in [low, high]. */
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }
  chance(p: number): boolean {
    return this.next() < p;
  }
  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)]!;
  }
  hex(digits: number): string {
    let s = "";
    while (s.length < digits) s += Math.floor(this.next() * 16).toString(16);
    return s;
  }
  fork(): Rng {
    return new Rng(Math.floor(this.next() * 4294967296));
  }
}

/** Worlds start here, so that 0 is long ago for programs that use it as "never". */
export const START_MS = 1_000_000_000;

type Item = { at: number; seq: number; run: () => void };

export class World {
  now: number;
  readonly random: Rng;
  readonly net: Net;
  private readonly heap: Item[];
  private seq: number;
  readonly processes: Process[];
  /** Lines for a failing seed, newest last; bounded. */
  readonly trace: string[];
  traceLimit: number;

  constructor(seed: number) {
    this.now = START_MS;
    this.random = new Rng(seed * 2654435761 + 12345);
    this.heap = [];
    this.seq = 0;
    this.processes = [];
    this.trace = [];
    this.traceLimit = 400;
    this.net = new Net(this);
  }

  log(who: string, text: string): void {
    this.trace.push(`${String(this.now - START_MS).padStart(7)} ${who.padEnd(4)} ${text}`);
    if (this.trace.length > this.traceLimit * 2) this.trace.splice(0, this.traceLimit);
  }

  after(delayMs: number, run: () => void): void {
    const item = { at: this.now + (delayMs > 0 ? delayMs : 0), seq: ++this.seq, run };
    const h = this.heap;
    let i = h.length;
    h.push(item);
    while (i > 0) {
      const up = (i - 1) >> 1;
      const p = h[up]!;
      if (p.at < item.at || (p.at === item.at && p.seq < item.seq)) break;
      h[i] = p;
      i = up;
    }
    h[i] = item;
  }

  /** Runs one event; false when nothing is left or the next one is later than `untilMs` (the clock then stands at `untilMs`). */
  private one(untilMs: number): boolean {
    const h = this.heap;
    const top = h[0];
    if (top === undefined || top.at > untilMs) {
      this.now = Math.max(this.now, untilMs);
      return false;
    }
    const last = h.pop()!;
    if (h.length > 0) {
      let i = 0;
      for (;;) {
        let c = 2 * i + 1;
        if (c >= h.length) break;
        const r = c + 1;
        if (r < h.length && (h[r]!.at < h[c]!.at || (h[r]!.at === h[c]!.at && h[r]!.seq < h[c]!.seq))) c = r;
        const child = h[c]!;
        if (last.at < child.at || (last.at === child.at && last.seq < child.seq)) break;
        h[i] = child;
        i = c;
      }
      h[i] = last;
    }
    this.now = top.at;
    top.run();
    return true;
  }

  /** Runs for `ms` of virtual time. */
  run(ms: number): void {
    const until = this.now + ms;
    while (this.one(until));
  }

  /** Runs until `done()` (looked at every `everyMs`) or `ms` have passed; true when done. */
  runUntil(done: () => boolean, ms: number, everyMs = 500): boolean {
    const until = this.now + ms;
    while (this.now < until) {
      if (done()) return true;
      this.run(Math.min(everyMs, until - this.now));
    }
    return done();
  }
}

/** Hosts are numbers' names ("h1"); a path is blocked one way at a time. */
export class Net {
  private readonly world: World;
  private readonly listeners: Map<string, Process>;
  private readonly blocked: Set<string>;
  private readonly stalled: Set<Wire>;
  /** Usual one-way delay, and how often and how much longer it is on a bad day. */
  delayMs: { low: number; high: number; slowChance: number; slowMs: number };

  constructor(world: World) {
    this.world = world;
    this.listeners = new Map();
    this.blocked = new Set();
    this.stalled = new Set();
    this.delayMs = { low: 0, high: 2, slowChance: 0, slowMs: 0 };
  }

  listen(p: Process): void {
    this.listeners.set(`${p.ip}:${p.port}`, p);
  }
  at(ip: string, port: number): Process | undefined {
    return this.listeners.get(`${ip}:${port}`);
  }

  block(from: string, to: string): void {
    if (from !== to) this.blocked.add(`${from}>${to}`);
  }
  unblock(from: string, to: string): void {
    this.blocked.delete(`${from}>${to}`);
    this.wake();
  }
  unblockAll(): void {
    this.blocked.clear();
    this.wake();
  }
  isBlocked(from: string, to: string): boolean {
    return this.blocked.size > 0 && this.blocked.has(`${from}>${to}`);
  }

  delay(from: string, to: string): number {
    if (from === to) return 0;
    const d = this.delayMs;
    const base = d.low + this.world.random.next() * (d.high - d.low);
    return Math.round(this.world.random.chance(d.slowChance) ? base + this.world.random.next() * d.slowMs : base);
  }

  stall(w: Wire): void {
    this.stalled.add(w);
  }
  /** TCP tries again some time after a path is back. */
  private wake(): void {
    const all = [...this.stalled];
    this.stalled.clear();
    for (const w of all) this.world.after(this.world.random.int(5, 400), () => w.retry());
  }

  /** Opens a wire; the outcome comes to `from.onConnected(end)` or `from.onClosed(end, reason)`. What is sent meanwhile waits. */
  connect(from: Process, ip: string, port: number): End {
    const wire = new Wire(this.world, from, ip, port);
    wire.syn();
    return wire.a;
  }
}

/** One side of a wire as its process sees it. `tag` is the process's own. */
export class End {
  readonly wire: Wire;
  readonly process: Process;
  readonly life: number;
  open: boolean;
  tag: unknown;
  constructor(wire: Wire, process: Process) {
    this.wire = wire;
    this.process = process;
    this.life = process.life;
    this.open = true;
    this.tag = null;
  }
  get other(): End | null {
    return this.wire.a === this ? this.wire.b : this.wire.a;
  }
  send(message: unknown): void {
    if (this.open) this.wire.push(this, message);
  }
  /** Closes without a word to our own process. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.wire.push(this, FIN);
  }
}

const FIN = Symbol("fin");
const SYN_RETRY_MS = [1000, 2000, 4000, 8000, 16_000, 32_000];

/** `fire` is what its timer runs: one closure a direction, as this is the busiest place of a world. */
type Direction = { queue: { at: number; message: unknown }[]; lastAt: number; armed: boolean; fire: () => void };

/** A TCP connection, possibly still being opened. */
export class Wire {
  private readonly world: World;
  readonly a: End;
  b: End | null;
  private readonly toHost: string;
  private readonly ip: string;
  private readonly port: number;
  private state: "opening" | "open" | "dead";
  private tries: number;
  private readonly toB: Direction;
  private readonly toA: Direction;

  constructor(world: World, from: Process, ip: string, port: number) {
    this.world = world;
    this.a = new End(this, from);
    this.b = null;
    this.ip = ip;
    this.port = port;
    this.toHost = world.net.at(ip, port)?.host ?? `?${ip}`;
    this.state = "opening";
    this.tries = 0;
    this.toB = this.direction();
    this.toA = this.direction();
  }

  private direction(): Direction {
    const direction: Direction = {
      queue: [],
      lastAt: 0,
      armed: false,
      fire: () => {
        direction.armed = false;
        this.flush(direction);
      },
    };
    return direction;
  }

  /** One try to open. Lost packets are tried again later and later, as kernels do. */
  syn(): void {
    const { world, a } = this;
    const from = a.process.host;
    if (this.state !== "opening" || !a.open || a.life !== a.process.life) return;
    const net = world.net;
    const target = net.at(this.ip, this.port);
    if (net.isBlocked(from, this.toHost) || net.isBlocked(this.toHost, from) || target === undefined || target.dark) {
      const wait = SYN_RETRY_MS[this.tries++];
      world.after(wait ?? 1000, () => (wait === undefined ? this.fail("Connection timed out", false) : this.syn()));
      return;
    }
    const rtt = net.delay(from, this.toHost) + net.delay(this.toHost, from);
    world.after(rtt, () => {
      if (this.state !== "opening" || !a.open || a.life !== a.process.life) return;
      if (!target.alive) return this.fail("Connection refused", true);
      this.state = "open";
      this.b = new End(this, target);
      const b = this.b;
      target.adopt(b);
      target.deliver(b.life, () => target.onAccept(b));
      a.process.deliver(a.life, () => {
        if (a.open) a.process.onConnected(a);
      });
      this.pump(this.toB);
    });
  }

  private fail(reason: string, refused: boolean): void {
    if (this.state !== "opening") return;
    this.state = "dead";
    const { a } = this;
    a.process.deliver(a.life, () => {
      a.process.forget(a);
      if (!a.open) return;
      a.open = false;
      a.process.onClosed(a, reason, refused);
    });
  }

  push(from: End, message: unknown): void {
    if (this.state === "dead") return;
    const direction = from === this.a ? this.toB : this.toA;
    const [src, dst] = from === this.a ? [from.process.host, this.toHost] : [from.process.host, this.a.process.host];
    const at = Math.max(direction.lastAt, this.world.now + this.world.net.delay(src, dst));
    direction.lastAt = at;
    direction.queue.push({ at, message });
    if (this.state === "open") this.pump(direction);
  }

  retry(): void {
    this.pump(this.toA);
    this.pump(this.toB);
  }

  private pump(direction: Direction): void {
    if (direction.armed || direction.queue.length === 0 || this.state !== "open") return;
    direction.armed = true;
    this.world.after(direction.queue[0]!.at - this.world.now, direction.fire);
  }

  private flush(direction: Direction): void {
    if (this.state !== "open") return;
    const to = direction === this.toB ? this.b! : this.a;
    const from = direction === this.toB ? this.a : this.b!;
    const fromHost = from === this.a ? from.process.host : this.toHost;
    const toHost = to === this.a ? to.process.host : this.toHost;
    if (this.world.net.isBlocked(fromHost, toHost) || to.process.dark) return this.world.net.stall(this);
    while (direction.queue.length > 0 && direction.queue[0]!.at <= this.world.now) {
      const { message } = direction.queue.shift()!;
      if (to.life !== to.process.life || !to.process.alive) return this.reset(from);
      if (message === FIN) {
        this.state = "dead";
        this.hangUp(to, "Server closed the connection");
        return;
      }
      if (!to.open) continue;
      if (to.process.isFree) to.process.onMessage(to, message);
      else
        to.process.deliver(to.life, () => {
          if (to.open) to.process.onMessage(to, message);
        });
    }
    this.pump(direction);
  }

  /** The far process is gone: its kernel answers with a reset, when there is a path back. */
  private reset(to: End): void {
    this.state = "dead";
    const { world } = this;
    const farHost = to === this.a ? this.toHost : this.a.process.host;
    world.after(world.net.delay(farHost, to.process.host), () => this.hangUp(to, "Connection reset by peer"));
  }

  private hangUp(to: End, reason: string): void {
    to.process.deliver(to.life, () => {
      to.process.forget(to);
      if (!to.open) return;
      to.open = false;
      to.process.onClosed(to, reason, false);
    });
  }

  /** Both ends lose it. */
  break(): void {
    if (this.state !== "open") return;
    this.state = "dead";
    for (const end of [this.a, this.b!]) this.hangUp(end, "Connection reset by peer");
  }

  /** `dead` was killed; its kernel closes for it. */
  killed(dead: End): void {
    if (this.state === "opening") {
      this.state = "dead";
      return;
    }
    this.push(dead, FIN);
  }
}

/** A program on a host. Subclasses answer the on... calls; all of them come through deliver(), in order. */
export abstract class Process {
  readonly world: World;
  readonly name: string;
  readonly host: string;
  readonly ip: string;
  readonly port: number;
  alive: boolean;
  /** Its host has no power (or no network card): nothing answers at all. */
  dark: boolean;
  /** Counts starts; what belongs to an earlier life is dropped. */
  life: number;
  private paused: boolean;
  /** A blocking call under way, and what follows it; `blockedDue` once it has ended. */
  private blocked: (() => void) | null;
  private blockedDue: boolean;
  private draining: boolean;
  private inbox: (() => void)[];
  private readonly ends: Set<End>;

  constructor(world: World, name: string, host: string, ip: string, port: number) {
    this.world = world;
    this.name = name;
    this.host = host;
    this.ip = ip;
    this.port = port;
    this.alive = false;
    this.dark = false;
    this.life = 0;
    this.paused = false;
    this.blocked = null;
    this.blockedDue = false;
    this.draining = false;
    this.inbox = [];
    this.ends = new Set();
    world.processes.push(this);
    if (port !== 0) world.net.listen(this);
  }

  abstract onStart(): void;
  onStop(): void {}
  abstract onMessage(end: End, message: unknown): void;
  onAccept(_end: End): void {}
  onConnected(_end: End): void {}
  onClosed(_end: End, _reason: string, _refused: boolean): void {}

  start(): void {
    if (this.alive) return;
    this.alive = true;
    this.life++;
    this.paused = false;
    this.blocked = null;
    this.inbox = [];
    this.world.log(this.name, "-- started");
    this.onStart();
  }

  /** kill -9; with `power` the whole host goes dark until light(). */
  kill(power = false): void {
    if (power) this.dark = true;
    if (!this.alive) return;
    this.alive = false;
    this.world.log(this.name, power ? "-- lost power" : "-- killed");
    this.onStop();
    for (const end of this.ends) {
      const was = end.open;
      end.open = false;
      if (was && !power) end.wire.killed(end);
    }
    this.ends.clear();
    this.inbox = [];
  }
  light(): void {
    this.dark = false;
    this.world.net.unblock("", "");
  }

  get isPaused(): boolean {
    return this.paused;
  }
  pause(): void {
    if (!this.alive || this.paused) return;
    this.paused = true;
    this.world.log(this.name, "-- paused");
  }
  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.world.log(this.name, "-- resumed");
    this.drain();
  }
  /** A blocking call of `ms`: nothing new is looked at before it has ended and `then` has run. */
  block(ms: number, then: () => void): void {
    const life = this.life;
    this.blocked = then;
    this.blockedDue = false;
    this.world.after(ms, () => {
      if (life !== this.life || this.blocked !== then) return;
      this.blockedDue = true;
      this.drain();
    });
  }

  connect(ip: string, port: number, tag: unknown): End {
    const end = this.world.net.connect(this, ip, port);
    end.tag = tag;
    this.ends.add(end);
    return end;
  }
  adopt(end: End): void {
    this.ends.add(end);
  }
  forget(end: End): void {
    this.ends.delete(end);
  }
  drop(end: End): void {
    end.close();
    this.ends.delete(end);
  }

  /** Resets every connection to a host. */
  breakWires(host: string): void {
    for (const end of this.ends) if (end.other?.process.host === host) end.wire.break();
  }

  /** A timer of this life. */
  later(ms: number, run: () => void): void {
    const life = this.life;
    this.world.after(ms, () => this.deliver(life, run));
  }

  /** It looks at once at what comes in. */
  get isFree(): boolean {
    return !this.draining && !this.paused && this.blocked === null && this.inbox.length === 0;
  }

  deliver(life: number, run: () => void): void {
    if (life !== this.life || !this.alive) return;
    if (this.isFree) run();
    else this.inbox.push(run);
  }
  private drain(): void {
    if (this.draining) return;
    this.draining = true;
    const life = this.life;
    while (this.alive && this.life === life && !this.paused) {
      let run: (() => void) | undefined;
      if (this.blocked === null) run = this.inbox.shift();
      else if (this.blockedDue) {
        run = this.blocked;
        this.blocked = null;
      }
      if (run === undefined) break;
      run();
    }
    this.draining = false;
  }
}

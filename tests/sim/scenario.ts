/**
 * From a seed to a whole set: servers, Sentinels of both kinds, proxies and their writers; a schedule of faults; then everything is healed
 * and must converge. `runSeed` is the test; the same seed gives the same world, its trace is printed when it fails.
 */
import { SentinelEngine } from "../../lib/sentinel/core/engine.ts";
import { OriginalSentinel } from "./original/engine.ts";
import { Checks, read } from "./checks.ts";
import { Proxy } from "./proxy.ts";
import { SentinelProcess, type EngineMaker } from "./sentinel.ts";
import { Server } from "./server.ts";
import { START_MS, World } from "./world.ts";

export type Mix = "ours" | "mixed" | "original";

/** What a world is made of. Times in ms. */
export type Plan = {
  seed: number;
  mix: Mix;
  sentinels: number;
  /** How many masters they watch; proxies and operators deal with the first. */
  masters: number;
  /** Of each master's set, itself included. */
  servers: number;
  /** They must find each other and the replicas first. */
  discover: boolean;
  quorum: number;
  downAfterMs: number;
  failoverTimeoutMs: number;
  faults: number;
  faultSpanMs: number;
  /** One calm operator's act instead of faults. */
  operator: "" | "failover" | "swap" | "server-failover";
  stale: boolean;
  /** `fast-failover yes` in the files of ours. */
  fast: boolean;
};

const NAMES = ["mymaster", "second", "third", "fourth"];

/** The model knows the original's statements alone. */
export const original: EngineMaker = (boot, nowMs, random) =>
  new OriginalSentinel({ ...boot, directives: boot.directives.filter((d) => d[0] !== "fast-failover") }, nowMs, random);

export const ours: EngineMaker = (boot, nowMs) => {
  const engine = SentinelEngine.create(boot, nowMs);
  if (engine instanceof SentinelEngine) return engine;
  throw new Error(`our engine refuses its own file: ${JSON.stringify(engine)}`);
};

export class Scenario {
  readonly plan: Plan;
  readonly world: World;
  readonly checks: Checks;
  /** Of the first master's set. */
  readonly servers: Server[];
  /** By master's name. */
  readonly sets: Map<string, Server[]>;
  readonly sentinels: SentinelProcess[];
  readonly proxies: Proxy[];
  private readonly ours: EngineMaker;

  constructor(plan: Plan, ours: EngineMaker) {
    this.plan = plan;
    this.ours = ours;
    this.world = new World(plan.seed);
    this.sets = new Map();
    const names = NAMES.slice(0, plan.masters);
    const serverOf = (address: string): Server | undefined => this.allServers.find((s) => `${s.ip}:${s.port}` === address);
    const masterOf = (address: string): string => {
      for (const [name, set] of this.sets) if (set.some((s) => `${s.ip}:${s.port}` === address)) return name;
      return "";
    };
    this.checks = new Checks(this.world, names, plan.sentinels, masterOf, serverOf);
    // Originals vote in a new epoch while the leader of an earlier one is still at work: two may act side by side (design 4).
    if (plan.mix !== "ours") this.checks.excuses.add("acting");
    this.servers = [];
    this.sentinels = [];
    this.proxies = [];
    this.build();
  }

  private build(): void {
    const { world, plan, checks } = this;
    const { random } = world;
    for (let m = 0; m < plan.masters; m++) {
      const set: Server[] = m === 0 ? this.servers : [];
      this.sets.set(NAMES[m]!, set);
      for (let i = 1; i <= plan.servers; i++) {
        // The sets share hosts, so one fault may hit several masters at once.
        const s = new Server(world, `${"rqtu"[m]}${i}`, `h${((i + m - 1) % plan.servers) + 1}`, `10.0.${m * 10}.${i}`, 6379);
        s.persistence = random.pick(["all", "all", "saved", "none"] as const);
        if (i > 1) s.disk.replicaof = { ip: `10.0.${m * 10}.1`, port: 6379 };
        s.onRole = (x) => checks.roleOf(x);
        set.push(s);
      }
    }
    const ids = Array.from({ length: plan.sentinels }, () => random.hex(40));
    const real = plan.mix === "original" ? plan.sentinels : plan.mix === "ours" ? 0 : random.int(1, plan.sentinels - 1);
    for (let i = 1; i <= plan.sentinels; i++) {
      const kind = i <= real ? "original" : "ours";
      const host = i <= plan.servers ? `h${i}` : `s${i}`;
      const maker = kind === "original" ? original : this.ours;
      const s = new SentinelProcess(world, `S${i}`, host, `10.0.1.${i}`, 26379, kind, maker, checks);
      s.file = this.file(ids, i);
      if (plan.fast && kind === "ours") for (const name of this.sets.keys()) s.file.push(["fast-failover", name, "yes"]);
      this.sentinels.push(s);
    }
    const listed = this.servers.map((s) => ({ id: s.name, ip: s.ip, port: s.port }));
    const asked = this.sentinels.map((s) => ({ host: s.ip, port: s.port }));
    const hold = new Proxy(world, "P1", "p1", "10.0.2.1", 1, { policy: "hold", servers: listed, sentinels: asked });
    const stay = new Proxy(world, "P2", "h1", "10.0.2.2", 1_000_000, { policy: "stay", servers: listed, sentinels: null });
    this.proxies.push(hold, stay);
    for (const p of this.proxies) p.onDecision = (d) => checks.decided(p, d);
  }

  /** In most worlds the set knows itself already and need not wait for discovery. */
  private file(ids: string[], i: number): string[][] {
    const { plan } = this;
    const lines = [["myid", ids[i - 1]!]];
    for (const [name, set] of this.sets) {
      lines.push(
        ["monitor", name, set[0]!.ip, "6379", String(plan.quorum)],
        ["down-after-milliseconds", name, String(plan.downAfterMs)],
        ["failover-timeout", name, String(plan.failoverTimeoutMs)],
        ["config-epoch", name, "0"],
        ["leader-epoch", name, "0"],
      );
      if (plan.discover) continue;
      for (const r of set.slice(1)) lines.push(["known-replica", name, r.ip, "6379"]);
      for (let p = 1; p <= plan.sentinels; p++) if (p !== i) lines.push(["known-sentinel", name, `10.0.1.${p}`, "26379", ids[p - 1]!]);
    }
    lines.push(["current-epoch", "0"]);
    return lines;
  }

  /** Every Sentinel knows all peers and replicas of every master. */
  private discovered(): boolean {
    const { plan } = this;
    return this.sentinels.every((s) => {
      const file = s.engine?.directives() ?? [];
      const count = (word: string): number => file.filter((d) => d[0] === word).length;
      return (
        count("known-replica") === plan.masters * (plan.servers - 1) && count("known-sentinel") === plan.masters * (plan.sentinels - 1)
      );
    });
  }

  start(): void {
    for (const set of this.sets.values()) for (const s of set) s.start();
    if (this.plan.discover) this.world.run(1500);
    for (const s of this.sentinels) this.world.after(this.world.random.int(0, 300), () => s.start());
    this.world.run(500);
    for (const p of this.proxies) p.start();
    if (this.plan.discover && !this.world.runUntil(() => this.discovered(), 30_000)) this.checks.fail("they do not find each other");
    this.world.run(2500);
  }

  get master(): Server {
    return this.servers.find((s) => s.alive && s.role === "master") ?? this.servers[0]!;
  }

  // ---- convergence ----

  /** Everybody agrees, and the servers are what everybody agrees on. Says what is missing, "" when nothing is. */
  disagreement(): string {
    for (const [name, set] of this.sets) {
      const why = this.disagreementOn(name, set);
      if (why !== "") return why;
    }
    const master = this.servers.find((s) => s.role === "master" && this.isExpected(s))!;
    for (const p of this.proxies)
      if (p.decision?.serverId !== master.name) return `${p.name} serves ${p.decision?.serverId}: ${p.decision?.reason}`;
    return "";
  }

  /** Nobody can bring back a server of which no Sentinel knows. */
  private isExpected(server: Server): boolean {
    if (!this.checks.excuses.has("unknown servers")) return true;
    const is = (words: string[]): boolean => words.includes(server.ip) && words.includes(String(server.port));
    return this.sentinels.some((s) => s.engine !== null && s.engine.directives().some(is));
  }

  private disagreementOn(name: string, set: Server[]): string {
    let at = "";
    let epoch = -1;
    for (const s of this.sentinels) {
      if (s.engine === null) return `${s.name} is down`;
      const h = read(s.engine.directives(), name, 0);
      if (at === "") [at, epoch] = [h.master, h.configEpoch];
      if (h.master !== at || h.configEpoch !== epoch)
        return `${s.name} says ${h.master} epoch ${h.configEpoch}, ${this.sentinels[0]!.name} ${at} epoch ${epoch}`;
    }
    const master = set.find((s) => `${s.ip}:${s.port}` === at);
    if (master === undefined || !master.alive || master.role !== "master") return `${at} is no master`;
    for (const s of set) {
      if (s === master || !this.isExpected(s)) continue;
      if (s.role !== "replica") return `${s.name} is a master too`;
      if (`${s.masterAt!.ip}:${s.masterAt!.port}` !== at) return `${s.name} follows ${s.masterAt!.ip}`;
      if (!s.isLinkUp()) return `${s.name}'s link to ${master.name} is down`;
    }
    return "";
  }

  get allServers(): Server[] {
    return [...this.sets.values()].flat();
  }

  heal(): void {
    const { world } = this;
    world.net.unblockAll();
    world.net.delayMs = { low: 0, high: 2, slowChance: 0, slowMs: 0 };
    for (const s of this.sentinels) {
      s.diskFails = false;
      s.dieAtPersist = "";
      s.fsyncMs = { low: 0, high: 3 };
    }
    for (const s of this.allServers) s.rewriteFails = false;
    for (const p of [...this.allServers, ...this.sentinels]) {
      if (p.dark) p.light();
      p.resume();
      p.start();
    }
    for (const s of this.sentinels) {
      if (s.kind !== "ours") continue;
      // What operators left behind would forbid a convergence.
      s.operator(["SENTINEL", "SIMULATE-FAILURE", "HELP"]);
      for (const name of this.sets.keys()) s.operator(["SENTINEL", "SET", name, "auto-failover", "yes"]);
    }
    world.log("----", "healed");
  }

  /**
   * A flaw of the original, not of the model: a leader that waits for its replicas hears of a newer epoch whose address is the one that it
   * leads away from, takes the epoch, goes on, and ends with its own address under the other's epoch. Nobody can correct it any more.
   * Only originals may stand aside like that; ours must agree with each other and with the rest.
   */
  private originalsSplit(): boolean {
    if (this.plan.mix === "ours") return false;
    return [...this.sets.keys()].some((name) => {
      const views = this.sentinels.map((s) => ({ kind: s.kind, ...read(s.engine!.directives(), name, 0) }));
      if (new Set(views.map((v) => v.configEpoch)).size > 1) return false;
      const votes = (master: string): number => views.filter((v) => v.master === master).length;
      const most = views.map((v) => v.master).reduce((a, b) => (votes(b) > votes(a) ? b : a));
      const aside = views.filter((v) => v.master !== most);
      return aside.length > 0 && aside.every((v) => v.kind === "original");
    });
  }

  finish(): void {
    const { world, checks } = this;
    if (checks.failures.length > 0) return;
    const limitMs = 120_000 + 3 * this.plan.failoverTimeoutMs;
    for (let settled = false; !settled;) {
      let agreed = 0;
      const done = world.runUntil(() => {
        agreed = this.disagreement() === "" ? agreed + 1 : 0;
        return agreed >= 3 || checks.failures.length > 0;
      }, limitMs);
      if (!done && this.originalsSplit()) {
        checks.stats.split++;
        return;
      }
      if (!done) checks.fail(`no convergence within ${limitMs / 1000} s of the last fault: ${this.disagreement()}`);
      if (checks.failures.length > 0) return;
      for (const p of this.proxies) p.writeEveryMs = 1e9;
      world.run(1500);
      // A failover that was still under way when all agreed is waited for.
      settled = this.disagreement() === "";
    }
    const master = this.master;
    const addressOf = (id: string): string => {
      const s = this.servers.find((x) => x.name === id)!;
      return `${s.ip}:${s.port}`;
    };
    for (const p of this.proxies) {
      checks.history(p, master, this.servers);
      checks.routes(p, addressOf, this.sentinels);
    }
  }

  report(): string {
    const { plan, checks, world } = this;
    const head = `SEED=${plan.seed} ${JSON.stringify(plan)}\n${checks.failures.slice(0, 5).join("\n")}`;
    return `${head}\n${world.trace.slice(-world.traceLimit).join("\n")}\nSEED=${plan.seed}: ${checks.failures[0]}`;
  }
}

/** The seed's plan. */
export function planOf(seed: number, mix: Mix | null = null): Plan {
  const r = new World(seed ^ 0x5eed).random;
  const kinds: Mix[] = ["ours", "ours", "ours", "ours", "ours", "mixed", "mixed", "mixed", "original", "original"];
  const sentinels = r.chance(0.7) ? 3 : r.pick([1, 2, 4, 5, 5, 6, 7]);
  const operator = r.chance(0.12) ? r.pick(["failover", "swap", "server-failover"] as const) : "";
  const cast = mix ?? kinds[seed % kinds.length]!;
  return {
    seed,
    mix: cast === "mixed" && sentinels === 1 ? "ours" : cast,
    sentinels,
    masters: r.chance(0.88) ? 1 : r.int(2, 4),
    servers: r.chance(0.7) ? 3 : 2,
    discover: r.chance(0.1),
    quorum: r.chance(0.85) ? Math.floor(sentinels / 2) + 1 : r.pick([1, sentinels]),
    downAfterMs: r.pick([500, 1000, 1000, 2000, 3000]),
    failoverTimeoutMs: r.pick([3000, 5000, 8000]),
    faults: operator === "" ? r.int(1, 5) : 0,
    faultSpanMs: r.chance(0.25) ? r.int(8000, 15_000) : r.int(1500, 7000),
    operator,
    stale: r.chance(0.08),
    fast: r.chance(0.15),
  };
}

export function elapsed(s: Scenario): number {
  return s.world.now - START_MS;
}

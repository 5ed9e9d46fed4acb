/**
 * Many masters: sets of a master and two replicas, watched by five of our Sentinels. What must not grow with them: connections between
 * Sentinels (one for each pair), writes of the state (one for many changes), the work of a start.
 *
 *     MASTERS=500 bun test tests/sim/scale.test.ts
 */
import { expect, test } from "bun:test";
import type { Action } from "../../lib/sentinel/core/types.ts";
import { ours } from "./scenario.ts";
import { SentinelProcess, type EngineMaker, type Watcher } from "./sentinel.ts";
import { Server } from "./server.ts";
import { World } from "./world.ts";

const MASTERS = Number(process.env["MASTERS"] ?? 100);
const SENTINELS = 5;
/** Masters that share the host that dies. */
const ON_ONE_HOST = MASTERS / 10;

/** Counts what one Sentinel's engine asks for. */
class Counted {
  connectsToPeers = 0;
  connectsToServers = 0;
  readonly maker: EngineMaker = (boot, nowMs, random) => {
    const engine = ours(boot, nowMs, random);
    const inner = engine.step.bind(engine);
    engine.step = (event, now, r): Action[] => {
      const out = inner(event, now, r);
      for (const a of out) {
        if (a.kind !== "connect") continue;
        if (a.to === "sentinel") this.connectsToPeers++;
        else this.connectsToServers++;
      }
      return out;
    };
    return engine;
  };
}

const nothing = (): void => {};

class Fleet {
  readonly world: World;
  readonly masters: Server[];
  readonly sentinels: SentinelProcess[];
  readonly counted: Counted[];
  /** Who emitted +switch-master, a line each. */
  readonly switches: string[];

  constructor() {
    this.world = new World(1);
    this.world.traceLimit = 1;
    this.masters = [];
    this.sentinels = [];
    this.counted = [];
    this.switches = [];
    for (let m = 0; m < MASTERS; m++) {
      const host = m < ON_ONE_HOST ? "doomed" : `h${m % 50}`;
      for (let i = 1; i <= 3; i++) {
        const s = new Server(this.world, `m${m}.${i}`, i === 1 ? host : `h${(m + i) % 50}`, `10.${m >> 8}.${m & 255}.${i}`, 6379);
        if (i === 1) this.masters.push(s);
        else s.disk.replicaof = { ip: this.masters[m]!.ip, port: 6379 };
        s.start();
      }
    }
    for (let i = 1; i <= SENTINELS; i++) this.sentinel(i);
  }

  private sentinel(i: number): void {
    const counted = new Counted();
    const watcher: Watcher = {
      emitted: (s, type, payload) => void (type === "+switch-master" && this.switches.push(`${s.name} ${payload}`)),
      persisted: nothing,
      voted: nothing,
      sent: nothing,
      started: nothing,
      ended: nothing,
    };
    const s = new SentinelProcess(this.world, `S${i}`, `s${i}`, `10.99.1.${i}`, 26379, "ours", counted.maker, watcher);
    s.file = [["myid", String(i).repeat(40)]];
    for (let m = 0; m < MASTERS; m++)
      s.file.push(["monitor", `m${m}`, this.masters[m]!.ip, "6379", "3"], ["down-after-milliseconds", `m${m}`, "10000"]);
    this.counted.push(counted);
    this.sentinels.push(s);
    s.start();
  }

  /** Every Sentinel knows all replicas and all others. */
  known(): boolean {
    return this.sentinels.every((s) => {
      const lines = s.engine!.directives();
      const count = (word: string): number => lines.reduce((n, d) => n + (d[0] === word ? 1 : 0), 0);
      return count("known-replica") === 2 * MASTERS && count("known-sentinel") === (SENTINELS - 1) * MASTERS;
    });
  }
}

test(`${MASTERS} masters: discovery, a restart, a host that dies with a tenth of them`, () => {
  const fleet = new Fleet();
  const { world, sentinels, counted, switches } = fleet;
  expect(world.runUntil(() => fleet.known(), 30_000)).toBe(true);
  for (const [i, s] of sentinels.entries()) {
    expect(counted[i]!.connectsToPeers).toBe(SENTINELS - 1);
    expect(counted[i]!.connectsToServers).toBe(MASTERS * 3 * 2);
    expect(s.writes).toBeLessThan(200);
  }

  // A restart: everybody is in the file, so there is nothing to learn and nothing to write again and again.
  const one = sentinels[0]!;
  one.kill();
  world.run(2000);
  counted[0]!.connectsToPeers = counted[0]!.connectsToServers = 0;
  const before = one.writes;
  one.start();
  world.run(5000);
  expect(counted[0]!.connectsToPeers).toBe(SENTINELS - 1);
  expect(counted[0]!.connectsToServers).toBe(MASTERS * 3 * 2);
  expect(one.writes - before).toBeLessThan(10);
  expect(switches).toEqual([]);

  // A host dies: each of its masters is failed over once, and every Sentinel says so, with far fewer writes than votes.
  const writes = sentinels.map((s) => s.writes);
  for (const s of fleet.masters.slice(0, ON_ONE_HOST)) s.kill(true);
  expect(world.runUntil(() => switches.length >= ON_ONE_HOST * SENTINELS, 40_000)).toBe(true);
  world.run(3000);
  expect(switches.length).toBe(ON_ONE_HOST * SENTINELS);
  for (const [i, s] of sentinels.entries()) expect(s.writes - writes[i]!).toBeLessThan(ON_ONE_HOST * 2);
}, 600_000);

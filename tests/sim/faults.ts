/** The faults of a simulated world: what breaks, when, for how long. All drawn from the world's own random, so a seed repeats them. */
import type { Scenario } from "./scenario.ts";
import type { Server } from "./server.ts";
import type { Process } from "./world.ts";

type Fault = (s: Scenario) => void;

function hosts(s: Scenario): string[] {
  return [...new Set([...s.allServers, ...s.sentinels, ...s.proxies].map((p) => p.host))];
}

function later(s: Scenario, low: number, high: number, run: () => void): void {
  s.world.after(s.world.random.int(low, high), run);
}

function revive(s: Scenario, p: Process, low: number, high: number): void {
  later(s, low, high, () => {
    if (p.dark) p.light();
    p.start();
  });
}

/** A server to harm: a master most often. */
function target(s: Scenario): Server {
  const r = s.world.random;
  const set = r.pick([...s.sets.values()]);
  return r.chance(0.7) ? (set.find((x) => x.alive && x.role === "master") ?? set[0]!) : r.pick(set);
}

/** A server's process dies; it comes back with all, some or none of its data. */
const killServer: Fault = (s) => {
  const r = s.world.random;
  const victim = target(s);
  victim.kill(r.chance(0.25));
  revive(s, victim, 100, 12_000);
};

const pauseServer: Fault = (s) => {
  const victim = target(s);
  victim.pause();
  later(s, 300, 9000, () => victim.resume());
};

/** A host is cut off: both ways, or only what it sends, or only what it hears; from all or from some. */
const isolate: Fault = (s) => {
  const { random: r, net } = s.world;
  const all = hosts(s);
  const host = r.chance(0.5) ? s.master.host : r.pick(all);
  const way = r.pick(["both", "both", "out", "in"] as const);
  const from = all.filter((h) => h !== host && r.chance(0.8));
  for (const h of from) {
    if (way !== "in") net.block(host, h);
    if (way !== "out") net.block(h, host);
  }
  s.world.log("net", `${host} cut off (${way}) from ${from.join(" ")}`);
  later(s, 500, 11_000, () => {
    for (const h of from) {
      net.unblock(host, h);
      net.unblock(h, host);
    }
    s.world.log("net", `${host} is back`);
  });
};

/** Every packet may take long. */
const slow: Fault = (s) => {
  const { random: r, net } = s.world;
  net.delayMs = { low: 0, high: r.int(2, 80), slowChance: 0.05 + r.next() * 0.25, slowMs: r.int(200, 2000) };
  s.world.log("net", `slow: ${JSON.stringify(net.delayMs)}`);
  later(s, 1000, 9000, () => {
    net.delayMs = { low: 0, high: 2, slowChance: 0, slowMs: 0 };
  });
};

/** A Sentinel dies: now, or in the middle of writing its file, with the new file there or not. */
const killSentinel: Fault = (s) => {
  const r = s.world.random;
  const victim = r.pick(s.sentinels);
  const how = r.pick(["", "", "before", "after"] as const);
  if (how === "") victim.kill(r.chance(0.2));
  else victim.dieAtPersist = how;
  revive(s, victim, 200, 9000);
  later(s, 9001, 9500, () => victim.start());
};

const pauseSentinel: Fault = (s) => {
  const victim = s.world.random.pick(s.sentinels);
  victim.pause();
  later(s, 300, 7000, () => victim.resume());
};

const fullDisk: Fault = (s) => {
  const victim = s.world.random.pick(s.sentinels);
  victim.diskFails = true;
  s.world.log(victim.name, "-- disk full");
  // An original votes all the same, so after a restart it may vote again.
  if (victim.kind === "original") s.checks.excuses.add(victim.name).add("leaders").add("acting").add("proxy");
  later(s, 500, 9000, () => {
    victim.diskFails = false;
  });
};

/** Every write of a Sentinel's file takes long, up to more than down-after. */
const slowDisk: Fault = (s) => {
  const r = s.world.random;
  const victim = r.pick(s.sentinels);
  victim.fsyncMs = { low: 50, high: r.pick([300, 1500, 3000]) };
  s.world.log(victim.name, `-- slow disk, up to ${victim.fsyncMs.high} ms`);
  later(s, 1000, 9000, () => {
    victim.fsyncMs = { low: 0, high: 3 };
  });
};

/** The originals live by the wall clock. */
const clockJump: Fault = (s) => {
  const r = s.world.random;
  const victims = s.sentinels.filter((x) => x.kind === "original");
  if (victims.length === 0) return;
  const victim = r.pick(victims);
  victim.clockSkewMs += r.int(-40_000, 40_000);
  s.world.log(victim.name, `-- clock jumps to ${victim.clockSkewMs}`);
};

/** A server's configuration file may not be written: after a restart it is what it was before. (Two servers can end up as each other's
 * replicas by it; with a short down-after originals then find no good replica for ever.) */
const readOnlyConfig: Fault = (s) => {
  if (s.plan.mix === "original") return;
  const victim = s.world.random.pick(s.allServers);
  victim.rewriteFails = true;
};

/** Links are reset though everybody is well. */
const killClients: Fault = (s) => {
  const victim = s.world.random.pick(s.allServers);
  if (victim.alive && !victim.isPaused) victim.killAllClients();
};

/** A Sentinel's file is restored from a backup: what it promised since is forgotten. */
const staleFile: Fault = (s) => {
  const victim = s.world.random.pick(s.sentinels);
  victim.kill();
  s.checks.excuses.add(victim.name).add("leaders").add("acting").add("proxy");
  // One Sentinel alone: a server that its old file does not have is known to nobody any more.
  if (s.sentinels.length === 1) s.checks.excuses.add("unknown servers");
  later(s, 200, 4000, () => {
    victim.file = victim.backups[0] ?? victim.file;
    s.world.log(victim.name, "-- file restored from a backup");
    victim.start();
  });
};

/** Connections between two hosts break, as a router's restart breaks them. */
const breakWires: Fault = (s) => {
  const r = s.world.random;
  const all = hosts(s);
  const [a, b] = [r.pick(all), r.pick(all)];
  s.world.log("net", `connections between ${a} and ${b} break`);
  for (const p of s.world.processes) if (p.host === a) p.breakWires(b);
};

/** An operator orders a failover in the middle of it all. */
const orderFailover: Fault = (s) => {
  const r = s.world.random;
  const by = r.pick(s.sentinels);
  const [name, set] = r.pick([...s.sets]);
  const to = r.pick(set);
  const args = ["SENTINEL", "FAILOVER", name];
  if (by.kind === "original") {
    // It takes an epoch without asking anybody.
    s.checks.excuses.add("leaders").add("acting").add("proxy");
  } else {
    if (r.chance(0.3)) args.push("TO", to.ip, String(to.port));
    if (r.chance(0.4)) args.push(r.pick(["FORCE", "COORDINATED"]));
  }
  s.world.log("----", `an operator at ${by.name}: ${args.join(" ")}`);
  by.operator(args);
};

/** An operator changes settings of one Sentinel in the middle of it all; all but the quorum, which the checks go by. */
const reconfigure: Fault = (s) => {
  const r = s.world.random;
  const by = r.pick(s.sentinels);
  const name = r.pick([...s.sets.keys()]);
  const args = ["SENTINEL", "SET", name];
  if (r.chance(0.5)) args.push("down-after-milliseconds", String(r.pick([500, 1000, 2000])));
  if (r.chance(0.5)) args.push("failover-timeout", String(r.pick([3000, 5000, 8000])));
  if (by.kind === "ours" && r.chance(0.3)) args.push("auto-failover", "no");
  args.push("parallel-syncs", String(r.int(1, 3)));
  s.world.log("----", `an operator at ${by.name}: ${args.join(" ")}`);
  by.operator(args);
};

/**
 * Something is forgotten, where that cannot make a majority of fewer; and not while a server is away: it would come back as a master that
 * nobody knows.
 */
const forget: Fault = (s) => {
  const r = s.world.random;
  const by = r.pick(s.sentinels);
  if (by.kind !== "ours" || s.plan.quorum * 2 <= s.plan.sentinels) return;
  const [name, set] = r.pick([...s.sets]);
  const follows = (x: Server): boolean => x.alive && !x.isPaused && (x.role === "master" || x.isLinkUp());
  if (!s.allServers.every(follows) || s.allServers.filter((x) => x.role === "master").length !== s.sets.size) return;
  const peer = r.pick(s.sentinels);
  const server = r.pick(set);
  const args = r.pick([
    ["SENTINEL", "RESET", "*", "DEAD"],
    ["SENTINEL", "RESET", name],
    ["SENTINEL", "REMOVE", name, "REPLICA", server.ip, String(server.port)],
    ["SENTINEL", "REMOVE", name, "SENTINEL", peer.file[0]![1]!],
  ]);
  s.world.log("----", `an operator at ${by.name}: ${args.join(" ")}`);
  by.operator(args);
};

/** It dies by itself at the worst of times. */
const simulateFailure: Fault = (s) => {
  const r = s.world.random;
  const by = r.pick(s.sentinels);
  if (by.kind !== "ours") return;
  by.operator(["SENTINEL", "SIMULATE-FAILURE", r.pick(["crash-after-election", "crash-after-promotion"])]);
};

/** A whole host dies with everything on it. */
const killHost: Fault = (s) => {
  const host = s.world.random.chance(0.6) ? s.master.host : s.world.random.pick(hosts(s));
  for (const p of [...s.allServers, ...s.sentinels]) {
    if (p.host !== host) continue;
    p.kill(true);
    revive(s, p, 1000, 9000);
  }
};

const COMMON: Fault[] = [
  killServer,
  killServer,
  killServer,
  pauseServer,
  pauseServer,
  isolate,
  isolate,
  isolate,
  slow,
  killSentinel,
  killSentinel,
  killHost,
];
const ORDERS: Fault[] = [orderFailover, orderFailover, orderFailover, reconfigure, forget, simulateFailure];
const RARE: Fault[] = [pauseSentinel, fullDisk, slowDisk, clockJump, readOnlyConfig, killClients, breakWires];

/** Spreads the plan's faults over its span. */
export function schedule(s: Scenario): void {
  const { plan, world } = s;
  const r = world.random;
  for (let i = 0; i < plan.faults; i++) {
    const fault = r.pick(r.chance(0.7) ? COMMON : r.chance(0.7) ? RARE : ORDERS);
    world.after(r.int(0, plan.faultSpanMs), () => fault(s));
  }
  if (plan.stale) world.after(r.int(1000, plan.faultSpanMs), () => staleFile(s));
}

/** One act of an operator in a healthy set. */
export function operate(s: Scenario): void {
  const r = s.world.random;
  const master = s.master;
  const heir = s.servers.find((x) => x !== master)!;
  switch (s.plan.operator) {
    case "failover":
      r.pick(s.sentinels).operator(["SENTINEL", "FAILOVER", "mymaster"]);
      break;
    case "swap":
      s.world.log("----", `an operator makes ${heir.name} the master by REPLICAOF`);
      heir.order(["REPLICAOF", "NO", "ONE"]);
      for (const x of s.servers) if (x !== heir) x.order(["REPLICAOF", heir.ip, String(heir.port)]);
      break;
    case "server-failover":
      s.world.log("----", `an operator sends FAILOVER to ${master.name}`);
      master.order(["FAILOVER", "TO", heir.ip, String(heir.port), "TIMEOUT", "5000"]);
      break;
    case "":
      break;
  }
}

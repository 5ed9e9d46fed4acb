/**
 * `bench histories [FAILOVERS] [WRITERS] [SERVERS] [PROXY] [WAY]`: many failovers under load, in turn kill -9, SENTINEL FAILOVER, SIGSTOP and an
 * orderly stop and start, and what the clients' histories have to say at the end (tests/support/history.ts). SERVERS is redis or redisha
 * (servers and Sentinels), PROXY redisha (mode redis), haproxy (the article's checks) or both, WAY one of the four. One line of JSON each:
 *
 *   rounds   what clients have done: a pipeline of five requests, a transaction, or a push and a pop
 *   cut      connections that ended under a client     errors   replies by their first word     unknown   requests of unknown result
 *   lost     acknowledged effects that are not there   doubled  effects that are there too often           wrong  anything else
 *   lostBy   values lost, by the way of the failover they went with; counters that are too low
 *   planned  unknown results, cuts and errors of the planned ones alone
 *   told     bytes of writes that the proxy has found to be lost, by way
 */
import { failover, haproxyConfig, redisConfig, WAYS, type Way } from "../support/failovers.ts";
import { PipelineWriter, Popper, TransactionWriter, type Actor } from "../support/history.ts";
import { until, type Kind } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { Fleet } from "../support/sentinel_fleet.ts";

/** Long enough that a busy machine's pauses are no failovers. */
const DOWN_AFTER_MS = 2000;

/** A master that dies takes what it acknowledged just before. */
const ABOUT = 3;

/** Between two rounds of a client: the machine has failovers to make as well. */
const PAUSE_MS = 25;

type ProxyKind = "redisha" | "haproxy";

function sum(actors: Actor[], of: (a: Actor) => number): number {
  return actors.reduce((n, a) => n + of(a), 0);
}
const trouble = (actors: Actor[]) => ({
  unknown: sum(actors, (a) => a.unknowns),
  cut: sum(actors, (a) => a.cuts),
  errors: sum(actors, (a) => a.errors.length),
});

async function measure(servers: Kind, proxyKind: ProxyKind, count: number, writers: number, only: Way[]): Promise<void> {
  await using fleet = await Fleet.start({
    replicas: 2,
    sentinels: [servers, servers, servers],
    server: servers,
    downAfterMs: DOWN_AFTER_MS,
  });
  await using proxy = await startProxy(proxyKind, proxyKind === "haproxy" ? haproxyConfig(fleet) : redisConfig(fleet));
  await Bun.sleep(3000); // HAProxy's servers start up, and replicas among them
  const actors: Actor[] = [new Popper("p0"), new Popper("p1"), new TransactionWriter("t0"), new TransactionWriter("t1")];
  for (let i = 0; i < writers; i++) actors.push(new PipelineWriter(`w${i}`));
  for (const a of actors) {
    a.reconnects = proxyKind === "haproxy";
    a.pauseMs = PAUSE_MS;
  }
  const runs = actors.map((a) => a.run(proxy.port));
  const started = Date.now();
  const ways: Record<string, number> = {};
  const planned = { unknown: 0, cut: 0, errors: 0 };
  const told: Record<string, number> = {};
  const toldSoFar = (): number => [...proxy.output.matchAll(/ had (\d+) bytes of writes that /g)].reduce((n, m) => n + Number(m[1]), 0);
  /** Where the clients were when each failover began. */
  const marks: { how: string; begun: Map<string, number> }[] = [];
  let master = fleet.master;
  let stuck = "";
  try {
    for (let n = 0; n < count; n++) {
      const how = only[n % only.length]!;
      const was = trouble(actors);
      const toldBefore = toldSoFar();
      const printed = proxy.output.length;
      marks.push({ how, begun: new Map(actors.map((a) => [a.name, a.begun])) });
      master = await failover(fleet, master, how);
      const before = actors.map((a) => a.done);
      await until("everybody to get on", () => actors.every((a, i) => a.cut || a.done > before[i]! + 5), 60_000);
      ways[how] = (ways[how] ?? 0) + 1;
      told[how] = (told[how] ?? 0) + toldSoFar() - toldBefore;
      const is = trouble(actors);
      if (how !== "planned") continue;
      for (const k of ["unknown", "cut", "errors"] as const) planned[k] += is[k] - was[k];
      if (proxyKind === "redisha" && is.unknown > was.unknown)
        console.error(`planned failover ${n}: ${is.unknown - was.unknown} unknown\n${proxy.output.slice(printed)}`);
    }
  } catch (error) {
    stuck = String(error);
    const port = await until("a master that all agree on", () => fleet.agreed(), 60_000);
    master = fleet.servers.find((s) => s.port === Number(port))!;
  }
  for (const a of actors) a.stop = true;
  await Promise.race([Promise.all(runs), Bun.sleep(20_000)]);
  const errors: Record<string, number> = {};
  for (const e of actors.flatMap((a) => a.errors)) errors[e.split(" ")[0]!] = (errors[e.split(" ")[0]!] ?? 0) + 1;
  const found = await Promise.all(actors.map((a) => a.findings(master.port)));
  const totals = { lost: 0, doubled: 0, wrong: 0 };
  for (const f of found) for (const k of ["lost", "doubled", "wrong"] as const) totals[k] += f[k].length;
  // A value that is not there went with the last failover that began when its writer had come so far, or was about to.
  const lostBy: Record<string, number> = {};
  for (const gone of found.flatMap((f) => f.lost)) {
    const [, name = "", n = ""] = /([a-z]\d+):(\d+)$/.exec(gone) ?? [];
    const how = n === "" ? "counts" : (marks.findLast((m) => (m.begun.get(name) ?? 0) <= Number(n) + ABOUT)?.how ?? "before");
    lostBy[how] = (lostBy[how] ?? 0) + 1;
  }
  const { unknown, cut } = trouble(actors);
  const seconds = Math.round((Date.now() - started) / 1000);
  const line = {
    proxy: proxyKind,
    servers,
    failovers: ways,
    seconds,
    rounds: sum(actors, (a) => a.done),
    cut,
    errors,
    unknown,
    ...totals,
    lostBy,
    planned,
    told,
  };
  console.log(JSON.stringify(stuck === "" ? line : { ...line, stuck }));
  for (const f of found.flatMap((x) => [...x.lost, ...x.doubled, ...x.wrong]).slice(0, 10)) console.error(f);
}

export async function bench(args: string[]): Promise<void> {
  const [count = "8", writers = "50", servers = "redis", proxy = "both", way] = args;
  const only = WAYS.filter((w) => way === undefined || w === way);
  for (const kind of ["redisha", "haproxy"] as const)
    if (proxy === kind || proxy === "both") await measure(servers as Kind, kind, Number(count), Number(writers), only);
}

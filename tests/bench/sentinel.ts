/**
 * How long a failover takes: redis-sentinel and ours in turn, three Sentinels each (quorum 2), one master and two replicas.
 *
 *   ./build.sh bench sentinel [ROUNDS] [DOWN_AFTER_MS]        servers: real redis-server; with SERVER=redisha ours
 *
 * Times are from the act: to the first +odown, to the first write that a replica accepts (asked every 2 ms), to +switch-master on the last
 * of the three Sentinels; `second master`: how long the old one says master after its return (planned: after the act). `lost`: writes that the old master acknowledged after the act and the new one does not have.
 */
import { type Kind, type Program, until } from "../support/programs.ts";
import { Listener } from "../support/sentinel_events.ts";
import { Fleet } from "../support/sentinel_fleet.ts";
import { Wire } from "../support/wire.ts";
import { median, table } from "./measure.ts";

const ACTS = ["kill -9", "SIGSTOP", "planned"] as const;
type Act = (typeof ACTS)[number];

interface Round {
  odownMs: number;
  writeMs: number;
  switchMs: number;
  secondMs: number;
  lost: number;
}

/** Asks a server for a write every 2 ms until it takes one; the time, or Infinity when told to stop. */
async function firstWrite(server: Program, from: number, stopped: () => boolean): Promise<number> {
  let wire = await Wire.connect(server.port);
  try {
    while (!stopped()) {
      const reply = await wire.do("SET", "probe", "1");
      if (reply === "+OK") return performance.now() - from;
      if (reply === "closed") wire = await Wire.connect(server.port);
      await Bun.sleep(2);
    }
    return Infinity;
  } finally {
    wire.close();
  }
}

/** Writes to the old master as long as it says OK; what it acknowledged. */
async function writer(server: Program, stopped: () => boolean, acked: string[]): Promise<void> {
  const wire = await Wire.connect(server.port);
  for (let i = 0; !stopped(); i++) {
    const key = `w${Math.floor(performance.now())}.${i}`;
    const reply = await Promise.race([wire.do("SET", key, "1"), Bun.sleep(2000).then(() => "closed")]);
    if (reply === "closed") break;
    if (reply === "+OK") acked.push(key);
    await Bun.sleep(2);
  }
  wire.close();
}

async function round(fleet: Fleet, listener: Listener, act: Act): Promise<Round> {
  const port = Number(await fleet.agreed());
  const old = fleet.servers.find((s) => s.port === port)!;
  const others = fleet.servers.filter((s) => s !== old);
  let over = false;
  const acked: string[] = [];
  const writing = act === "planned" ? writer(old, () => over, acked) : null;
  if (writing !== null) await Bun.sleep(100);
  const from = performance.now();
  if (act === "planned") await fleet.sentinels.at(-1)!.cli("sentinel", "failover", "m");
  else if (act === "SIGSTOP") old.kill("SIGSTOP");
  else await old.stop("SIGKILL");
  const write = Promise.race(others.map((s) => firstWrite(s, from, () => over)));
  const next = await fleet.switched(old);
  await until("+switch-master everywhere", () => listener.since("+switch-master", from).length === fleet.sentinels.length, 30_000);
  const writeMs = await write;
  if (act === "SIGSTOP") old.kill("SIGCONT");
  else if (act !== "planned") {
    old.start();
    await old.ready();
  }
  const back = act === "planned" ? from : performance.now();
  await until("the old master's demotion", async () => (await old.info("replication"))["role"] === "slave", 40_000);
  const secondMs = performance.now() - back;
  for (const s of fleet.servers) if (s !== next) await fleet.follows(s, next);
  over = true;
  await writing;
  let lost = 0;
  for (const key of acked) if ((await next.cli("exists", key)) === "0") lost++;
  const odown = listener.since("+odown", from);
  return {
    odownMs: odown.length === 0 ? NaN : Math.min(...odown),
    writeMs,
    switchMs: Math.max(...listener.since("+switch-master", from)),
    secondMs,
    lost,
  };
}

export async function bench(args: string[]): Promise<void> {
  const rounds = Number(args[0] ?? 5);
  const downAfterMs = Number(args[1] ?? 1000);
  const server = (process.env["SERVER"] ?? "redis") as Kind;
  const rows: (string | number)[][] = [];
  const kinds: Kind[] = ["redis", "redisha"];
  const results = new Map<string, Round[]>();
  const fleets: { kind: Kind; fleet: Fleet; listener: Listener }[] = [];
  try {
    for (const kind of kinds) {
      const fleet = await Fleet.start({ replicas: 2, sentinels: [kind, kind, kind], downAfterMs, failoverTimeoutMs: 6000, server });
      const listener = new Listener();
      await listener.join(fleet.sentinels);
      fleets.push({ kind, fleet, listener });
    }
    for (const act of ACTS)
      for (let i = 0; i < rounds; i++)
        for (const { kind, fleet, listener } of fleets) {
          const key = `${act} ${kind}`;
          const r = await round(fleet, listener, act);
          results.set(key, [...(results.get(key) ?? []), r]);
          await until("a quiet set", async () => (await fleet.quiet()) && (await fleet.agreed()) !== "", 60_000);
        }
  } finally {
    for (const { fleet, listener } of fleets) {
      listener.close();
      await fleet[Symbol.asyncDispose]();
    }
  }
  const of = (act: Act, kind: Kind, pick: (r: Round) => number): number => median((results.get(`${act} ${kind}`) ?? []).map(pick));
  for (const act of ACTS)
    for (const [name, pick] of [
      ["+odown", (r: Round) => r.odownMs],
      ["first write", (r: Round) => r.writeMs],
      ["+switch-master on all", (r: Round) => r.switchMs],
      ["second master", (r: Round) => r.secondMs],
      ["lost writes", (r: Round) => r.lost],
    ] as const) {
      const [a, b] = [of(act, "redis", pick), of(act, "redisha", pick)];
      if (Number.isNaN(a) && Number.isNaN(b)) continue;
      if (name === "lost writes" && act !== "planned") continue;
      rows.push([`${act}: ${name}`, a, b, b / a]);
    }
  console.log(`${rounds} rounds each, interleaved, medians; ms from the act; down-after ${downAfterMs}; servers: ${server}`);
  console.log(table(["", "redis-sentinel", "redisha", "ratio"], rows));
}

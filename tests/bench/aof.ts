/** `bench aof [ROUNDS] [REQUESTS]`: SET under the three appendfsync policies, 50 clients, -P 1 and 16, both programs in turn. */
import { startServer, type Kind, type Program } from "../support/programs.ts";
import { load, median, table, type LoadFigures } from "./measure.ts";

export async function bench(args: string[]): Promise<void> {
  const rounds = Number(args[0] ?? 3);
  const requests = Number(args[1] ?? 100_000);
  const kinds: Kind[] = ["redis", "redisha"];
  const rows: (string | number)[][] = [];
  for (const policy of ["always", "everysec", "no"]) {
    const servers = new Map<Kind, Program>();
    for (const kind of kinds)
      servers.set(kind, await startServer(kind, { appendonly: "yes", appendfsync: policy, "auto-aof-rewrite-percentage": 0 }));
    for (const pipeline of [1, 16]) {
      const got: Record<Kind, LoadFigures[]> = { redis: [], redisha: [] };
      const n = policy === "always" && pipeline === 1 ? Math.floor(requests / 4) : requests;
      for (let round = 0; round < rounds; round++)
        for (const kind of round % 2 ? [...kinds].reverse() : kinds) {
          const s = servers.get(kind)!;
          got[kind].push(await load(s.port, n, ["-t", "set", "-c", "50", "-r", "1000000", "-P", String(pipeline)], [s.pid]));
        }
      const of = (k: Kind, f: (x: LoadFigures) => number): number => median(got[k].map(f));
      const rate = (k: Kind): number => of(k, (x) => x.rate);
      const cpu = (k: Kind): number => of(k, (x) => x.cpuMicros[0]);
      const p99 = (k: Kind): number => of(k, (x) => x.p99Ms);
      rows.push([
        policy,
        pipeline,
        rate("redis"),
        rate("redisha"),
        rate("redisha") / rate("redis"),
        cpu("redis"),
        cpu("redisha"),
        cpu("redisha") / cpu("redis"),
        p99("redis"),
        p99("redisha"),
      ]);
      console.error(rows.at(-1)!.join(" "));
    }
    for (const s of servers.values()) await s[Symbol.asyncDispose]();
  }
  console.log(
    table(
      ["appendfsync", "-P", "redis req/s", "redisha req/s", "ratio", "redis us", "redisha us", "ratio", "redis p99", "redisha p99"],
      rows,
    ),
  );
}

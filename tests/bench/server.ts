/**
 * `bench server [ROUNDS] [TEST,...]`: redis-benchmark against redis-server and redisha in turn, at -P 1, 16 (and 64 for GET and SET).
 * CPU per request of the server process is the steadier figure on a shared machine; throughput beside it.
 */
import { startServer, type Kind, type Program } from "../support/programs.ts";
import { load, median, table, type LoadFigures } from "./measure.ts";

const ALL = [
  "ping_mbulk",
  "set",
  "get",
  "incr",
  "lpush",
  "rpush",
  "lpop",
  "rpop",
  "sadd",
  "hset",
  "spop",
  "zadd",
  "zpopmin",
  "lrange_100",
  "lrange_300",
  "lrange_500",
  "lrange_600",
  "mset",
];
const HEAVY = new Set(["lrange_100", "lrange_300", "lrange_500", "lrange_600", "mset"]);

export async function bench(args: string[]): Promise<void> {
  const rounds = Number(args[0] ?? 3);
  const tests = args[1] === undefined ? ALL : args[1].split(",");
  const kinds: Kind[] = ["redis", "redisha"];
  const servers = new Map<Kind, Program>();
  for (const kind of kinds) servers.set(kind, await startServer(kind));
  const rows: (string | number)[][] = [];
  for (const test of tests)
    for (const pipeline of test === "get" || test === "set" ? [1, 16, 64] : [1, 16]) {
      const requests = HEAVY.has(test) ? (pipeline === 1 ? 40_000 : 80_000) : pipeline === 1 ? 120_000 : 600_000;
      const got: Record<Kind, LoadFigures[]> = { redis: [], redisha: [] };
      for (let round = 0; round < rounds; round++)
        for (const kind of round % 2 ? [...kinds].reverse() : kinds) {
          const s = servers.get(kind)!;
          // redis-benchmark's pop and range tests fill their own lists first when asked for alone.
          const line = ["-t", test, "-c", "50", "-r", "1000000", "-P", String(pipeline)];
          if (test === "lpop" || test === "rpop") await load(s.port, requests, ["-t", "lpush", "-c", "50", "-P", "64"], [s.pid]);
          got[kind].push(await load(s.port, requests, line, [s.pid]));
        }
      const cpu = (k: Kind): number => median(got[k].map((f) => f.cpuMicros[0]));
      const rate = (k: Kind): number => median(got[k].map((f) => f.rate));
      const row = [
        test,
        pipeline,
        cpu("redis"),
        cpu("redisha"),
        cpu("redisha") / cpu("redis"),
        rate("redis"),
        rate("redisha"),
        rate("redisha") / rate("redis"),
      ];
      rows.push(row);
      console.error(`${test} -P ${pipeline}: CPU ${row[3].toString().slice(0, 5)} us against ${row[2].toString().slice(0, 5)} us`);
    }
  console.log(table(["test", "-P", "redis us", "redisha us", "ratio", "redis req/s", "redisha req/s", "ratio"], rows));
  for (const s of servers.values()) await s[Symbol.asyncDispose]();
}

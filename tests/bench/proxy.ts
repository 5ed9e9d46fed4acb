/**
 * `bench proxy [ROUNDS] [REQUESTS]`: GET and SET of redis-benchmark (50 connections, -P 1 and 16) to one redis-server through haproxy and
 * through ours in turn, the same file for both: `checks` is the article's (role checks; ours looks at the requests), `plain` has none (bytes).
 * `bench proxy --mode redis [ROUNDS] [REQUESTS]`: haproxy in mode tcp and ours in mode redis, 50 and 1,000 connections, with p50 and p99.
 * CPU microseconds a request of proxy and server beside throughput: on a shared machine they are the steadier figures. haproxy runs a thread
 * a core, as its default is; ours is one process of one thread.
 */
import { startProxy } from "../support/proxy.ts";
import { type Program, startServer, until } from "../support/programs.ts";
import { load, median, table, type LoadFigures } from "./measure.ts";

const CHECKS = `option tcp-check
tcp-check connect
tcp-check send PING\\r\\n
tcp-check expect string +PONG
tcp-check send info\\ replication\\r\\n
tcp-check expect string role:master
`;
const PROXIES = ["haproxy", "redisha"] as const;
type ProxyKind = (typeof PROXIES)[number];

function config(path: string, port: number): string {
  return (
    "defaults\nmode tcp\ntimeout connect 3s\ntimeout server 60s\ntimeout client 60s\n" +
    `listen redis\nbind 127.0.0.1:{port}\n${path === "checks" ? CHECKS : ""}server s0 127.0.0.1:${port}${path === "checks" ? " check inter 1s" : ""}\n`
  );
}

export async function bench(args: string[]): Promise<void> {
  if (args[0] === "--mode") return await benchRedis(args.slice(2));
  const rounds = Number(args[0] ?? 3);
  const requests = Number(args[1] ?? 100_000);
  const server = await startServer("redis");
  const rows: (string | number)[][] = [];
  for (const path of ["checks", "plain"]) {
    const proxies = new Map<ProxyKind, Program>();
    for (const kind of PROXIES) {
      const proxy = await startProxy(kind, config(path, server.port));
      proxies.set(kind, proxy);
      await until(`${kind} to serve`, async () => (await proxy.cli("ping")) === "PONG");
    }
    for (const test of ["get", "set"])
      for (const pipeline of [1, 16]) {
        const got: Record<ProxyKind, LoadFigures[]> = { haproxy: [], redisha: [] };
        const line = ["-t", test, "-c", "50", "-r", "1000000", "-P", String(pipeline)];
        for (let round = 0; round < rounds; round++)
          for (const kind of round % 2 ? [...PROXIES].reverse() : PROXIES) {
            const proxy = proxies.get(kind)!;
            got[kind].push(await load(proxy.port, pipeline === 1 ? requests : requests * 5, line, [proxy.pid, server.pid]));
          }
        const cpu = (k: ProxyKind, i: number): number => median(got[k].map((f) => f.cpuMicros[i]));
        const rate = (k: ProxyKind): number => median(got[k].map((f) => f.rate));
        const both = (k: ProxyKind): number => cpu(k, 0) + cpu(k, 1);
        const row = [
          `${path} ${test} -P ${pipeline}`,
          rate("haproxy"),
          rate("redisha"),
          rate("redisha") / rate("haproxy"),
          cpu("haproxy", 0),
          cpu("redisha", 0),
          cpu("haproxy", 1),
          cpu("redisha", 1),
          both("redisha") / both("haproxy"),
        ];
        rows.push(row);
        console.error(`${row[0]}: ${Math.round(rate("redisha"))} requests/s against ${Math.round(rate("haproxy"))}`);
      }
    for (const p of proxies.values()) await p[Symbol.asyncDispose]();
  }
  await server[Symbol.asyncDispose]();
  console.log(
    `${rounds} rounds each, interleaved, medians; us: CPU microseconds a request, of the proxy and of the redis-server behind it`,
  );
  const head = ["", "haproxy req/s", "redisha req/s", "ratio", "haproxy us", "redisha us", "its server", "its server", "CPU ratio"];
  console.log(table(head, rows));
}

/** Many clients over few connections, against one connection each. */
async function benchRedis(args: string[]): Promise<void> {
  const rounds = Number(args[0] ?? 3);
  const requests = Number(args[1] ?? 100_000);
  const server = await startServer("redis", { maxclients: 10_000 });
  const proxies = new Map<ProxyKind, Program>();
  for (const kind of PROXIES) {
    const proxy = await startProxy(kind, config("plain", server.port).replace("mode tcp", kind === "redisha" ? "mode redis" : "mode tcp"));
    proxies.set(kind, proxy);
    await until(`${kind} to serve`, async () => (await proxy.cli("ping")) === "PONG");
  }
  const rows: (string | number)[][] = [];
  for (const clients of [50, 1000])
    for (const test of ["get", "set"])
      for (const pipeline of [1, 16]) {
        const got: Record<ProxyKind, LoadFigures[]> = { haproxy: [], redisha: [] };
        const line = ["-t", test, "-c", String(clients), "-r", "1000000", "-P", String(pipeline)];
        for (let round = 0; round < rounds; round++)
          for (const kind of round % 2 ? [...PROXIES].reverse() : PROXIES) {
            const proxy = proxies.get(kind)!;
            got[kind].push(await load(proxy.port, pipeline === 1 ? requests : requests * 5, line, [proxy.pid, server.pid]));
          }
        const of = (k: ProxyKind, f: (x: LoadFigures) => number): number => median(got[k].map(f));
        const cpu = (k: ProxyKind): number => of(k, (x) => x.cpuMicros[0]! + x.cpuMicros[1]!);
        const row = [
          `${clients} clients ${test} -P ${pipeline}`,
          of("haproxy", (x) => x.rate),
          of("redisha", (x) => x.rate),
          of("redisha", (x) => x.rate) / of("haproxy", (x) => x.rate),
          of("haproxy", (x) => x.cpuMicros[0]!),
          of("redisha", (x) => x.cpuMicros[0]!),
          of("haproxy", (x) => x.cpuMicros[1]!),
          of("redisha", (x) => x.cpuMicros[1]!),
          cpu("redisha") / cpu("haproxy"),
          of("haproxy", (x) => x.p50Ms),
          of("redisha", (x) => x.p50Ms),
          of("haproxy", (x) => x.p99Ms),
          of("redisha", (x) => x.p99Ms),
        ];
        rows.push(row);
        console.error(`${row[0]}: ${Math.round(row[2] as number)} requests/s against ${Math.round(row[1] as number)}`);
      }
  for (const p of proxies.values()) await p[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  console.log(
    `${rounds} rounds each, interleaved, medians; us: CPU microseconds a request; first haproxy (mode tcp), then ours (mode redis)`,
  );
  const head = [
    "",
    "req/s",
    "req/s",
    "ratio",
    "proxy us",
    "proxy us",
    "redis us",
    "redis us",
    "CPU ratio",
    "p50 ms",
    "p50 ms",
    "p99 ms",
    "p99 ms",
  ];
  console.log(table(head, rows));
}

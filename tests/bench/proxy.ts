/**
 * `bench proxy [ROUNDS] [REQUESTS]`: GET and SET of redis-benchmark (50 connections, -P 1 and 16) to one redis-server through haproxy and
 * through ours in turn, the same file for both: `checks` is the article's (role checks; ours looks at the requests), `plain` has none (bytes).
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

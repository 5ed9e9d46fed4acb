/**
 * `bench proxy [ROUNDS] [REQUESTS] [CASE,...]`: GET and SET of redis-benchmark (50 connections) to one redis-server through haproxy and through
 * ours in turn, the same file for both: `checks` is the article's (role checks; ours looks at the requests), `strict` is the same with ours told
 * to be HAProxy in everything, `plain` has no checks (bytes), `tls` ends TLS at the proxy, `64k` has values of 64 KiB, `connect` opens a
 * connection for each request. The last line is redis-benchmark without any proxy.
 * `bench proxy --mode redis [ROUNDS] [REQUESTS]`: haproxy in mode tcp and ours in mode redis, 50 and 1,000 connections.
 * CPU microseconds a request of proxy and server beside throughput: on a shared machine they are the steadier figures. haproxy runs a thread
 * a core, as its default is; ours is one process of one thread.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startProxy } from "../support/proxy.ts";
import { type Program, root, startServer, tempDir, until } from "../support/programs.ts";
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

interface Case {
  name: string;
  checks: boolean;
  strict?: boolean;
  tls?: boolean;
  /** redis-benchmark's arguments, and the share of REQUESTS that is enough. */
  runs: { name: string; args: string[]; share: number }[];
}
const run = (test: string, pipeline: number, more: string[] = [], share = 1): Case["runs"][number] => ({
  name: `${test} -P ${pipeline}`,
  args: ["-t", test, "-c", "50", "-r", "1000000", "-P", String(pipeline), ...more],
  share: share * (pipeline > 1 ? 5 : 1),
});
const USUAL = [run("get", 1), run("get", 16), run("set", 1), run("set", 16)];
const CASES: Case[] = [
  { name: "checks", checks: true, runs: USUAL },
  { name: "strict", checks: true, strict: true, runs: USUAL },
  { name: "plain", checks: false, runs: USUAL },
  { name: "tls", checks: true, tls: true, runs: [run("get", 1), run("get", 16), run("set", 1)] },
  { name: "64k", checks: true, runs: [run("set", 1, ["-d", "65536", "-r", "100"], 0.2), run("get", 1, ["-d", "65536", "-r", "100"], 0.2)] },
  { name: "connect", checks: true, runs: [run("get", 1, ["-k", "0"], 0.2)] },
];

function config(c: Case, kind: ProxyKind, port: number): string {
  let bind = "127.0.0.1:{port}";
  if (c.tls) {
    const pem = join(tempDir("tls."), "server.pem");
    const tls = join(root, "tests/support/tls");
    writeFileSync(pem, readFileSync(join(tls, "server.crt"), "latin1") + readFileSync(join(tls, "server.key"), "latin1"));
    bind += ` ssl crt ${pem}`;
  }
  return (
    (c.strict && kind === "redisha" ? "global\nstrict-haproxy on\n" : "") +
    "defaults\nmode tcp\ntimeout connect 3s\ntimeout server 60s\ntimeout client 60s\n" +
    `listen redis\nbind ${bind}\n${c.checks ? CHECKS : ""}server s0 127.0.0.1:${port}${c.checks ? " check inter 1s" : ""}\n`
  );
}

/** Rounds in turn; per program the figures of each round. */
async function inTurn(
  ports: Record<ProxyKind, Program>,
  server: Program,
  rounds: number,
  requests: number,
  args: string[],
): Promise<Record<ProxyKind, LoadFigures[]>> {
  const got: Record<ProxyKind, LoadFigures[]> = { haproxy: [], redisha: [] };
  for (let round = 0; round < rounds; round++)
    for (const kind of round % 2 ? [...PROXIES].reverse() : PROXIES)
      got[kind].push(await load(ports[kind].port, requests, args, [ports[kind].pid, server.pid]));
  return got;
}

const HEAD = [
  "",
  "haproxy /s",
  "redisha /s",
  "ratio",
  "haproxy us",
  "redisha us",
  "its redis",
  "its redis",
  "CPU ratio",
  "p50 ms",
  "p50 ms",
  "p99 ms",
  "p99 ms",
];
function rowOf(name: string, got: Record<ProxyKind, LoadFigures[]>): (string | number)[] {
  const of = (k: ProxyKind, f: (x: LoadFigures) => number): number => median(got[k].map(f));
  const cpu = (k: ProxyKind): number => of(k, (x) => x.cpuMicros[0] + x.cpuMicros[1]);
  const both = (f: (x: LoadFigures) => number): [number, number] => [of("haproxy", f), of("redisha", f)];
  const [theirs, ours] = both((x) => x.rate);
  console.error(`${name}: ${Math.round(ours)} requests/s against ${Math.round(theirs)}`);
  return [
    name,
    theirs,
    ours,
    ours / theirs,
    ...both((x) => x.cpuMicros[0]),
    ...both((x) => x.cpuMicros[1]),
    cpu("redisha") / cpu("haproxy"),
    ...both((x) => x.p50Ms),
    ...both((x) => x.p99Ms),
  ];
}

export async function bench(args: string[]): Promise<void> {
  if (args[0] === "--mode") return await benchRedis(args.slice(2));
  const rounds = Number(args[0] ?? 3);
  const requests = Number(args[1] ?? 100_000);
  const wanted = args[2]?.split(",") ?? CASES.map((c) => c.name);
  await using server = await startServer("redis");
  const rows: (string | number)[][] = [];
  for (const c of CASES.filter((x) => wanted.includes(x.name))) {
    const tls = c.tls ? ["--tls", "--insecure"] : [];
    const proxies = {} as Record<ProxyKind, Program>;
    for (const kind of PROXIES) {
      proxies[kind] = await startProxy(kind, config(c, kind, server.port));
      await until(`${kind} to serve`, async () => (await proxies[kind].cli(...tls, "ping")) === "PONG");
    }
    for (const r of c.runs)
      rows.push(rowOf(`${c.name} ${r.name}`, await inTurn(proxies, server, rounds, Math.round(requests * r.share), [...tls, ...r.args])));
    for (const p of Object.values(proxies)) await p[Symbol.asyncDispose]();
  }
  const direct = await load(server.port, requests, run("get", 1).args, [server.pid]);
  console.log(
    `${rounds} rounds each, interleaved, medians; us: CPU microseconds a request, of the proxy and of the redis-server behind it`,
  );
  console.log(table(HEAD, rows));
  console.log(`without a proxy, get -P 1: ${Math.round(direct.rate)} requests/s, p50 ${direct.p50Ms} ms, p99 ${direct.p99Ms} ms`);
}

/** Many clients over few connections, against one connection each. */
async function benchRedis(args: string[]): Promise<void> {
  const rounds = Number(args[0] ?? 3);
  const requests = Number(args[1] ?? 100_000);
  await using server = await startServer("redis", { maxclients: 10_000 });
  const proxies = {} as Record<ProxyKind, Program>;
  for (const kind of PROXIES) {
    const text = config({ name: "plain", checks: false, runs: [] }, kind, server.port);
    proxies[kind] = await startProxy(kind, kind === "redisha" ? text.replace("mode tcp", "mode redis") : text);
    await until(`${kind} to serve`, async () => (await proxies[kind].cli("ping")) === "PONG");
  }
  const rows: (string | number)[][] = [];
  for (const clients of [50, 1000])
    for (const test of ["get", "set"])
      for (const pipeline of [1, 16]) {
        const line = ["-t", test, "-c", String(clients), "-r", "1000000", "-P", String(pipeline)];
        const count = pipeline === 1 ? requests : requests * 5;
        rows.push(rowOf(`${clients} clients ${test} -P ${pipeline}`, await inTurn(proxies, server, rounds, count, line)));
      }
  for (const p of Object.values(proxies)) await p[Symbol.asyncDispose]();
  console.log(
    `${rounds} rounds each, interleaved, medians; us: CPU microseconds a request; first haproxy (mode tcp), then ours (mode redis)`,
  );
  console.log(table(HEAD, rows));
}

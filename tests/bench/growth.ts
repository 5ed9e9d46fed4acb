/**
 * `bench growth [MOST_KEYS] [ROUNDS] [keys|connections|stalls|steps]`: how cost grows, ours and the original's: CPU per GET and SET with ten
 * thousand, a million and ten million keys, and with 50, 1,000 and 10,000 connections; the longest that anybody waited, and the longest turn of
 * our loop, while the keys grew from none to all; and the dearest steps of the store's own growth and shrinking, without a server around it:
 * no growth of a table or of memory may stall the loop. Growing is the same every time, what the machine does beside it is not: a step's time
 * is the least of its rounds.
 */
import { closeDatabases, databases, openDatabases, workStep } from "../../lib/store/store.ts";
import { setReleaseHook } from "../../lib/store/arena.ts";
import { setString } from "../../lib/store/string.ts";
import { ffiProblem, releasePages } from "../../lib/os/ffi.ts";
import { pageBytes } from "../../lib/os/machine.ts";
import { startServer, type Kind, type Program } from "../support/programs.ts";
import { load, median, table, type LoadFigures } from "./measure.ts";

const KINDS: Kind[] = ["redis", "redisha"];
const TESTS = ["get", "set"];
const CONNECTIONS = [50, 1000, 10_000];
/** So many SETs of keys out of twice as many leave as many keys as wanted: 2 (1 - e^-0.7) = 1.007. */
const FILL_FACTOR = 1.4;

type Figures = Record<Kind, LoadFigures[]>;

/** GET and SET on both programs in turn. */
async function measure(servers: Map<Kind, Program>, rounds: number, requests: number, args: string[]): Promise<Map<string, Figures>> {
  const all = new Map<string, Figures>();
  for (const test of TESTS) {
    const got: Figures = { redis: [], redisha: [] };
    for (let round = 0; round < rounds; round++)
      for (const kind of round % 2 ? [...KINDS].reverse() : KINDS) {
        const s = servers.get(kind)!;
        got[kind].push(await load(s.port, requests, ["-t", test, ...args], [s.pid]));
      }
    all.set(test, got);
  }
  return all;
}

const HEAD = ["with", "test", "redis us", "redisha us", "ratio", "redis req/s", "redisha req/s"];

function rowsOf(name: string, all: Map<string, Figures>): (string | number)[][] {
  const rows: (string | number)[][] = [];
  for (const [test, got] of all) {
    const cpu = (k: Kind): number => median(got[k].map((f) => f.cpuMicros[0]));
    const rate = (k: Kind): number => median(got[k].map((f) => f.rate));
    rows.push([name, test, cpu("redis"), cpu("redisha"), cpu("redisha") / cpu("redis"), rate("redis"), rate("redisha")]);
    console.error(`${name}, ${test}: CPU ${cpu("redisha").toFixed(2)} us against ${cpu("redis").toFixed(2)} us`);
  }
  return rows;
}

/** `keys` random keys out of twice as many. */
const fill = (s: Program, keys: number, factor = FILL_FACTOR): Promise<LoadFigures> =>
  load(s.port, keys * factor, ["-c", "4", "-P", "64", "-r", String(2 * keys), "SET", "key:__rand_int__", "xxx"], [s.pid]);

async function start(): Promise<Map<Kind, Program>> {
  const servers = new Map<Kind, Program>();
  for (const kind of KINDS) servers.set(kind, await startServer(kind, { maxclients: 20_000 }));
  return servers;
}
async function stop(servers: Map<Kind, Program>): Promise<void> {
  for (const s of servers.values()) await s[Symbol.asyncDispose]();
}

/** CPU per request with more and more keys. */
async function byKeys(mostKeys: number, rounds: number): Promise<void> {
  const servers = await start();
  const rows: (string | number)[][] = [];
  for (const keys of [10_000, 1_000_000, 10_000_000].filter((k) => k <= mostKeys)) {
    for (const s of servers.values()) await fill(s, keys);
    for (const [pipeline, requests] of [
      [1, 100_000],
      [16, 800_000],
    ]) {
      const args = ["-c", "50", "-r", String(2 * keys), "-P", String(pipeline)];
      rows.push(...rowsOf(`${keys} keys, -P ${pipeline}`, await measure(servers, rounds, requests, args)));
    }
  }
  console.log(table(HEAD, rows));
  await stop(servers);
}

/** CPU per request with more and more connections, each of which asks. */
async function byConnections(rounds: number): Promise<void> {
  const servers = await start();
  const rows: (string | number)[][] = [];
  for (const s of servers.values()) await fill(s, 100_000);
  for (const connections of CONNECTIONS) {
    const args = ["-c", String(connections), "-r", "200000"];
    rows.push(...rowsOf(`${connections} connections`, await measure(servers, rounds, Math.max(100_000, connections * 20), args)));
  }
  console.log(table(HEAD, rows));
  await stop(servers);
}

/** The longest wait and the longest turn while the keys grow, and when six of ten of them go. */
async function stalls(mostKeys: number, rounds: number): Promise<void> {
  const rows: (string | number)[][] = [];
  for (let round = 0; round < rounds; round++)
    for (const kind of KINDS) {
      const servers = new Map([[kind, await startServer(kind)]]);
      const s = servers.get(kind)!;
      // Warm code, and its garbage, are no growth.
      await fill(s, 10_000, 50);
      await s.cli("config", "resetstat");
      const grown = await fill(s, mostKeys);
      const turn = Number((await s.info("debug"))["eventloop_duration_max"] ?? NaN) / 1000;
      await s.cli("config", "resetstat");
      const line = ["-c", "8", "-P", "16", "-r", String(2 * mostKeys), "DEL", "key:__rand_int__"];
      const shrunk = await load(s.port, mostKeys * 2, line, [s.pid]);
      const turnBack = Number((await s.info("debug"))["eventloop_duration_max"] ?? NaN) / 1000;
      rows.push([kind, mostKeys, grown.rate, grown.p99Ms, grown.maxMs, turn, shrunk.maxMs, turnBack]);
      console.error(`${kind}: longest wait ${grown.maxMs} ms growing, ${shrunk.maxMs} ms shrinking; turns ${turn}, ${turnBack} ms`);
      await stop(servers);
    }
  console.log(table(["program", "keys", "SET/s", "p99 ms", "longest wait ms", "longest turn ms", "deleting: wait", "turn"], rows));
}

/** Keys of a step: as many as a turn of the loop handles. */
const STEP_KEYS = 64;

/** The dearest steps of growing to `keys` keys, and of deleting nine of ten. */
function steps(keys: number, rounds: number): void {
  if (ffiProblem() === null) {
    const page = pageBytes();
    setReleaseHook((memory, offset, length) => void releasePages(new Uint8Array(memory), offset, offset + length, page));
  }
  const key = Buffer.from("key:000000000000");
  const value = Buffer.from("xxx");
  const name = (i: number): void => {
    for (let p = 15, rest = i; p > 3; p--, rest = Math.floor(rest / 10)) key[p] = 48 + (rest % 10);
  };
  const count = Math.ceil(keys / STEP_KEYS);
  const least = [new Float64Array(count).fill(Infinity), new Float64Array(count).fill(Infinity)];
  for (let round = 0; round < rounds; round++) {
    openDatabases(1);
    const [ks] = databases;
    for (const [phase, ms] of least.entries())
      for (let i = 0; i < keys;) {
        const step = i / STEP_KEYS;
        const from = performance.now();
        for (const end = Math.min(keys, i + STEP_KEYS); i < end; i++) {
          if (phase === 1 && i % 10 === 0) continue;
          name(i);
          if (phase === 0) setString(ks, key, 0, key.length, value, 0, value.length, false);
          else ks.delete(key, 0, key.length);
        }
        ms[step] = Math.min(ms[step], performance.now() - from);
      }
    closeDatabases();
    while (workStep(10, () => performance.now() * 1000));
  }
  const rows = least.map((ms, phase) => {
    const sorted = [...ms].sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor((count - 1) * share)];
    return [phase === 0 ? "growing" : "shrinking", keys, at(0.5), at(0.99), at(0.999), at(1)];
  });
  console.log(table([`${STEP_KEYS} keys a step`, "keys", "median ms", "p99 ms", "p99.9 ms", "longest ms"], rows));
}

export async function bench(args: string[]): Promise<void> {
  const mostKeys = Number(args[0] ?? 10_000_000);
  const rounds = Number(args[1] ?? 3);
  const what = args[2] ?? "all";
  if (what === "all" || what === "keys") await byKeys(mostKeys, rounds);
  if (what === "all" || what === "connections") await byConnections(rounds);
  if (what === "all" || what === "stalls") await stalls(mostKeys, Math.min(2, rounds));
  if (what === "all" || what === "steps") steps(mostKeys, rounds);
}

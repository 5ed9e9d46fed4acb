/**
 * Random and malformed requests at the compiled file: it neither dies nor stalls, answers each request once, keeps its memory, and answers as
 * the original where the answer is no matter of time or chance.
 *
 *   FUZZ=1000000 FUZZ_SEED=7 node_modules/.bin/bun test tests/e2e/fuzz.test.ts      more of them, others
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Both } from "../support/both.ts";
import { Fuzz } from "../support/fuzz.ts";
import { hasRedis, startServer, until, type Program } from "../support/programs.ts";
import { parse, Wire } from "../support/wire.ts";

const REQUESTS = Number(process.env["FUZZ"] ?? 12_000);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const BATCH = 200;
const BATCH_MS = 60_000;
const RSS_MAX = 900 * 1024 * 1024;

const CONF = { maxmemory: "64mb", "maxmemory-policy": "allkeys-random", "proto-max-bulk-len": "1mb", "client-query-buffer-limit": "16mb" };

/** A connection that counts replies. */
class Counting {
  replies = 0;
  last = "";
  private rest: Buffer = Buffer.alloc(0);
  private socket: import("bun").Socket<undefined> | null = null;
  private pending: Buffer[] = [];
  private waiter: (() => void) | null = null;
  closed = false;

  static async open(port: number): Promise<Counting> {
    const c = new Counting();
    c.socket = (await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_s, chunk) => c.feed(chunk),
        drain: () => c.pump(),
        close: () => c.ended(),
        error: () => c.ended(),
      },
    })) as never;
    return c;
  }
  private ended(): void {
    this.closed = true;
    this.waiter?.();
  }
  private feed(chunk: Buffer): void {
    this.rest = this.rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.rest, chunk]);
    let at = 0;
    for (let got = parse(this.rest, at); got !== null; got = at < this.rest.length ? parse(this.rest, at) : null) {
      this.last = got[0];
      at = got[1];
      this.replies++;
    }
    this.rest = this.rest.subarray(at);
    this.waiter?.();
  }
  private pump(): void {
    while (this.pending.length > 0) {
      const n = this.socket!.write(this.pending[0]!);
      if (n < 0) return;
      if (n < this.pending[0]!.length) {
        this.pending[0] = this.pending[0]!.subarray(n);
        return;
      }
      this.pending.shift();
    }
  }
  send(bytes: Buffer): void {
    this.pending.push(bytes);
    this.pump();
  }
  destroy(): void {
    this.socket!.terminate();
  }
  /** Until so many replies have come, the connection is closed, or the time is over; which of them. */
  async until(replies: number, ms: number): Promise<"there" | "closed" | "late"> {
    const end = performance.now() + ms;
    for (;;) {
      if (this.replies >= replies) return "there";
      if (this.closed) return "closed";
      const left = end - performance.now();
      if (left <= 0) return "late";
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiter = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.waiter = null;
    }
  }
}

function rssBytes(server: Program): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "latin1"))![1]) * 1024;
}

/** A pipeline of commands in pieces of any size: one reply each. */
async function commands(server: Program, fuzz: Fuzz, conn: Counting): Promise<void> {
  const batch = Array.from({ length: BATCH }, () => fuzz.next());
  const all = Buffer.concat(batch.map((r) => r.bytes));
  const before = conn.replies;
  for (let at = 0; at < all.length;) {
    const end = Math.min(all.length, at + 1 + fuzz.below(fuzz.below(2) === 0 ? 50 : 8000));
    conn.send(Buffer.from(all.subarray(at, end)));
    at = end;
  }
  const how = await conn.until(before + BATCH, BATCH_MS);
  const n = conn.replies - before;
  if (how !== "there" || n !== BATCH)
    throw new Error(
      `${how} after ${n} of ${BATCH} replies, the last to ${JSON.stringify(batch[n - 1]?.words)}, next ${JSON.stringify(batch[n]?.words)}\n${server.output.slice(-3000)}`,
    );
}

/** Connections that break the protocol; some of them stay for a while. */
async function garbage(server: Program, fuzz: Fuzz): Promise<number> {
  let sent = 0;
  const conns: Counting[] = [];
  for (let i = 0; i < 8; i++) {
    const conn = await Counting.open(server.port);
    conns.push(conn);
    for (let k = 1 + fuzz.below(6); k > 0; k--, sent++) conn.send(fuzz.garbage());
  }
  const probe = await Counting.open(server.port);
  probe.send(Buffer.from("PING\r\n"));
  if ((await probe.until(1, BATCH_MS)) !== "there") throw new Error(`no answer beside garbage\n${server.output.slice(-3000)}`);
  for (const conn of [...conns, probe]) conn.destroy();
  return sent;
}

test(`${REQUESTS} random requests, seed ${SEED}: no crash, no stall, one reply each, memory bounded`, async () => {
  await using server = await startServer("redisha", CONF);
  const fuzz = new Fuzz(SEED);
  let conn = await Counting.open(server.port);
  let done = 0;
  let most = 0;
  for (let round = 0; done < REQUESTS; round++) {
    await commands(server, fuzz, conn);
    done += BATCH;
    if (round % 4 === 3) done += await garbage(server, fuzz);
    if (round % 10 === 9) {
      conn.destroy();
      conn = await Counting.open(server.port);
      const rss = rssBytes(server);
      most = Math.max(most, rss);
      if (rss > RSS_MAX) throw new Error(`${rss} bytes resident after ${done} requests`);
      const wire = await Wire.connect(server.port);
      for (const key of ["string:1", "list:1", "hash:1", "set:1", "zset:1", "stream:1"]) {
        const dump = await wire.do("DUMP", key);
        if (dump.startsWith('"') && dump.length < 5000) fuzz.payloads.push(JSON.parse(dump) as string);
      }
      fuzz.payloads.splice(1, Math.max(0, fuzz.payloads.length - 20));
      wire.close();
    }
    if (REQUESTS > 100_000 && round % 250 === 249) console.log(`${done} requests, ${Math.round(most / 1048576)} MB at most`);
  }
  conn.destroy();
  expect(await server.cli("ping")).toContain("PONG");
  expect(server.output).not.toContain("interpreter failed");
  // What it holds now goes through a file and back. No key's time may come in between.
  const keep = "for db = 0, 15 do redis.call('select', db) for _, k in ipairs(redis.call('keys', '*')) do redis.call('persist', k) end end";
  await server.cli("eval", keep, "0");
  // Those whose time had come before are in the digest until they are deleted, and never in the file.
  await server.cli("debug", "set-active-expire", "1");
  await until("what had expired to be gone", async () => !/expires=[1-9]/.test(await server.cli("info", "keyspace")), 60_000);
  const digest = await server.cli("debug", "digest");
  expect(await server.cli("debug", "reload")).toContain("OK");
  expect(await server.cli("debug", "digest")).toBe(digest);
}, 3_600_000);

test.skipIf(!hasRedis)(
  `${Math.min(REQUESTS / 4, 50_000)} of them get the original's answers, seed ${SEED}`,
  async () => {
    await using both = await Both.start(2, { "proto-max-bulk-len": "1mb" });
    const fuzz = new Fuzz(SEED + 1000);
    const items = (text: string): string => (text.startsWith("[") ? text.slice(1, -1).split(", ").sort().join() : text);
    // Errors may be worded otherwise in 7.2: their code counts. Doubles are: their value counts.
    const numbers = (text: string): string => text.replace(/"-?\d[\d.e+-]*"/g, (d) => String(Number(JSON.parse(d))));
    const plain = (text: string): string => (text.startsWith("-") ? text.split(" ")[0]! : numbers(text));
    const count = Math.min(REQUESTS / 4, 50_000);
    for (let i = 0; i < count; i += 50) {
      const batch = Array.from({ length: 50 }, () => fuzz.nextComparable());
      const answers = await Promise.all(
        both.wires.map((wire) => Promise.all(batch.map((r) => wire.do(...r.words.map((w) => Buffer.from(w, "latin1")))))),
      );
      for (const [k, r] of batch.entries()) {
        const [a, b] = answers.map((all) => (r.unordered ? items(all[k]!) : plain(all[k]!)));
        if (a !== b)
          throw new Error(
            `${JSON.stringify(r.words)}\n  redis:   ${answers[0]![k]!.slice(0, 1000)}\n  redisha: ${answers[1]![k]!.slice(0, 1000)}`,
          );
      }
    }
  },
  1_200_000,
);

/**
 * `bench memory [MILLIONS] [NAME,...]`: what a small key, and elements of collections, cost in resident memory, ours and the original's: after filling,
 * after rewriting everything with other sizes, after deleting nine of ten.
 */
import { startServer, type Kind, type Program } from "../support/programs.ts";
import { rssBytes, table } from "./measure.ts";

interface Filling {
  name: string;
  /** The commands that make element i; called with the round, so that rewriting changes sizes. */
  command(i: number, round: number): string[];
  /** Deletes element i, or undefined when that is left out. */
  remove?(i: number): string[];
  count: number;
}

function fillings(million: number): Filling[] {
  const n = Math.round(million * 1_000_000);
  const value = (i: number, round: number): string => "v".repeat(round === 0 ? 10 : 6 + (i % 24));
  return [
    {
      name: "string",
      count: n,
      command: (i, r) => ["SET", `key:${String(i).padStart(12, "0")}`, value(i, r)],
      remove: (i) => ["DEL", `key:${String(i).padStart(12, "0")}`],
    },
    {
      name: "one hash",
      count: n,
      command: (i, r) => ["HSET", "hash", `field:${i}`, value(i, r)],
      remove: (i) => ["HDEL", "hash", `field:${i}`],
    },
    { name: "one set", count: n, command: (i) => ["SADD", "set", `member:${i}`], remove: (i) => ["SREM", "set", `member:${i}`] },
    {
      name: "one zset",
      count: n,
      command: (i, r) => ["ZADD", "zset", String(r === 0 ? i : i / 3), `member:${i}`],
      remove: (i) => ["ZREM", "zset", `member:${i}`],
    },
    {
      name: "one list",
      count: n,
      command: (i, r) => (r === 0 ? ["RPUSH", "list", `element:${i}`] : ["LSET", "list", String(i % 2 === 0 ? 0 : -1), value(i, r)]),
      remove: () => ["LPOP", "list"],
    },
    {
      name: "one stream",
      count: n,
      command: (i, r) => (r === 0 ? ["XADD", "stream", `${i + 1}-1`, "f", value(i, r), "n", String(i)] : ["XLEN", "stream"]),
      remove: (i) => ["XDEL", "stream", `${i + 1}-1`],
    },
    {
      name: "small hash (5)",
      count: n,
      command: (i, r) => ["HSET", `h:${i}`, "a", value(i, r), "b", value(i, r), "c", "3", "d", "4", "e", "5"],
      remove: (i) => ["DEL", `h:${i}`],
    },
    {
      name: "small set (5)",
      count: n,
      command: (i) => ["SADD", `s:${i}`, "a", "b", "c", "d", String(i)],
      remove: (i) => ["DEL", `s:${i}`],
    },
    {
      name: "small list (5)",
      count: n,
      command: (i) => ["RPUSH", `l:${i}`, "a", "b", "c", "d", String(i)],
      remove: (i) => ["DEL", `l:${i}`],
    },
    {
      name: "small zset (5)",
      count: n,
      command: (i, r) => ["ZADD", `z:${i}`, "1", "a", "2", "b", "3", "c", "4.5", "d", String(i), value(i, r)],
      remove: (i) => ["DEL", `z:${i}`],
    },
    {
      name: "small stream (3)",
      count: n / 5,
      command: (i, r) => ["XADD", `x:${i}`, `${r + 1}-1`, "a", value(i, r), "b", "2", "c", "3"],
      remove: (i) => ["DEL", `x:${i}`],
    },
  ];
}

/** Sends the commands of 0 .. count - 1 in batches; of the replies only the end of each batch counts. */
async function fill(server: Program, count: number, command: (i: number) => string[] | null): Promise<void> {
  const BATCH = 5_000;
  const END = Buffer.from("+PONG\r\n");
  let arrived = (): void => {};
  let tail = Buffer.alloc(0);
  let writable = (): void => {};
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port,
    socket: {
      data: (_, chunk) => {
        tail = Buffer.concat([tail, chunk.subarray(-END.length)]).subarray(-END.length);
        if (tail.equals(END)) arrived();
      },
      drain: () => writable(),
    },
  });
  for (let i = 0; i < count; i += BATCH) {
    const parts: string[] = [];
    for (let k = i; k < Math.min(count, i + BATCH); k++) {
      const c = command(k);
      if (c !== null) parts.push(`*${c.length}\r\n${c.map((a) => `$${a.length}\r\n${a}\r\n`).join("")}`);
    }
    const done = new Promise<void>((resolve) => (arrived = resolve));
    let bytes = Buffer.from(`${parts.join("")}PING\r\n`);
    for (;;) {
      const room = new Promise<void>((resolve) => (writable = resolve));
      bytes = bytes.subarray(socket.write(bytes));
      if (bytes.length === 0) break;
      await room;
    }
    await done;
  }
  socket.end();
}

export async function bench(args: string[]): Promise<void> {
  const rows: (string | number)[][] = [];
  const names = args[1]?.split(",");
  for (const f of fillings(Number(args[0] ?? 1))) {
    if (names !== undefined && !names.includes(f.name)) continue;
    const got: Record<Kind, number[]> = { redis: [], redisha: [] };
    for (const kind of ["redis", "redisha"] as Kind[]) {
      await using server = await startServer(kind);
      await server.cli("ping");
      const empty = rssBytes(server.pid);
      const each = (): number => (rssBytes(server.pid) - empty) / f.count;
      await fill(server, f.count, (i) => f.command(i, 0));
      got[kind].push(each());
      await fill(server, f.count, (i) => f.command(i, 1));
      got[kind].push(each());
      if (f.remove !== undefined) await fill(server, f.count, (i) => (i % 10 === 0 ? null : f.remove!(i)));
      await Bun.sleep(1500);
      got[kind].push(each());
      got[kind].push(Number((await server.info("memory"))["used_memory"]) / 1e6);
    }
    rows.push([
      f.name,
      f.count,
      got.redis[0],
      got.redisha[0],
      got.redisha[0] / got.redis[0],
      got.redis[1],
      got.redisha[1],
      got.redisha[1] / got.redis[1],
      got.redis[2],
      got.redisha[2],
    ]);
    console.error(`${f.name}: ${got.redisha[0].toFixed(1)} bytes against ${got.redis[0].toFixed(1)}`);
  }
  console.log(table(["filling", "count", "redis B", "ours B", "ratio", "rewritten", "ours", "ratio", "90% gone", "ours"], rows));
}

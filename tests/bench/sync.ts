/**
 * `bench sync [MB] [ROUNDS]`: seconds of a first full sync (diskless, and from a file), MB/s of SAVE and of loading the file at start, each program
 * with itself. Values are random bytes of 1 KB, so that compression has nothing to do.
 */
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { startServer, until, type Kind, type Program } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";
import { median, table } from "./measure.ts";

const KINDS: Kind[] = ["redis", "redisha"];
const VALUE_BYTES = 1024;
const BATCH = 500;

async function fill(server: Program, megabytes: number): Promise<void> {
  const wire = await Wire.connect(server.port);
  const noise = randomBytes(1024 * 1024);
  const total = Math.floor((megabytes * 1048576) / VALUE_BYTES);
  for (let i = 0; i < total; i += BATCH) {
    const replies: Promise<string>[] = [];
    for (let k = i; k < i + BATCH; k++) {
      const from = Math.floor(Math.random() * (noise.length - VALUE_BYTES));
      wire.send("SET", `key:${k}`, noise.subarray(from, from + VALUE_BYTES));
      replies.push(wire.next());
    }
    await Promise.all(replies);
  }
  wire.close();
}

const seconds = async (f: () => Promise<unknown>): Promise<number> => {
  const from = performance.now();
  await f();
  return (performance.now() - from) / 1000;
};

async function round(kind: Kind, megabytes: number): Promise<number[]> {
  await using master = await startServer(kind, { "client-output-buffer-limit": "replica 0 0 0", "enable-debug-command": "yes" });
  await fill(master, megabytes);
  const saved = await seconds(() => master.cli("save"));
  const size = statSync(join(master.dir, "dump.rdb")).size / 1048576;
  const figures = [size / saved];
  for (const diskless of ["yes", "no"]) {
    await master.cli("config", "set", "repl-diskless-sync", diskless);
    await using replica = await startServer(kind, { "repl-diskless-load": diskless === "yes" ? "on-empty-db" : "disabled" });
    figures.push(
      await seconds(async () => {
        await replica.cli("replicaof", "127.0.0.1", String(master.port));
        await until("the sync", async () => (await replica.info("replication"))["master_link_status"] === "up", 300_000);
      }),
    );
  }
  await master.cli("save");
  await master.stop("SIGKILL");
  const again = await startServer(kind, {}, { dir: master.dir });
  await until("the data", async () => (await again.info("persistence"))["loading"] === "0", 300_000);
  const took = /DB loaded from disk: ([0-9.]+) seconds/.exec(again.output.slice(again.output.lastIndexOf("Server initialized")));
  figures.push(size / Number(took?.[1] ?? NaN));
  await again.stop("SIGKILL");
  return figures;
}

export async function bench(args: string[]): Promise<void> {
  const megabytes = Number(args[0] ?? 1024);
  const rounds = Number(args[1] ?? 1);
  const got: Record<Kind, number[][]> = { redis: [], redisha: [] };
  for (let r = 0; r < rounds; r++)
    for (const kind of r % 2 ? [...KINDS].reverse() : KINDS) {
      got[kind].push(await round(kind, megabytes));
      console.error(kind, got[kind].at(-1)!.join(" "));
    }
  const rows = ["SAVE, MB/s", "full sync diskless, s", "full sync by file, s", "load at start, MB/s"].map((name, i) => {
    const of = (k: Kind): number => median(got[k].map((f) => f[i]));
    return [name, of("redis"), of("redisha"), of("redisha") / of("redis")];
  });
  console.log(`${megabytes} MB of data`);
  console.log(table(["", "redis", "redisha", "ratio"], rows));
}

/** Append only files on the compiled file: nothing acknowledged is lost by kill -9, rewrites under load, cut tails, both ways with the original. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { hasRedis, startServer, tempDir, until, type Kind, type Program } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

// The machine may be busy.
setDefaultTimeout(60000);

const conf = { appendonly: "yes", save: "" };

/** Rounds of kill -9 a policy; many of them by hand. */
const ROUNDS = Number(process.env["CRASH_ROUNDS"] ?? 6);

/** What one writer knows to be acknowledged: a counter, a list that it grows, and a transaction's two halves. */
class Writer {
  acked = 0;
  pushed = 0;
  private readonly id: number;
  constructor(id: number) {
    this.id = id;
  }

  /** Writes in pipelines of `depth` until the connection breaks. */
  async run(port: number, depth: number): Promise<void> {
    const wire = await Wire.connect(port).catch(() => null);
    if (wire === null) return;
    for (let i = this.acked + 1; !wire.isClosed;) {
      const replies: Promise<string>[] = [];
      const from = i;
      for (let k = 0; k < depth; k++, i++) {
        wire.send("SET", `counter:${this.id}`, i);
        wire.send("RPUSH", `list:${this.id}`, i);
        wire.send("MULTI");
        wire.send("SET", `left:${this.id}`, i);
        wire.send("SET", `right:${this.id}`, i);
        wire.send("EXEC");
        for (let r = 0; r < 6; r++) replies.push(wire.next().catch(() => "gone"));
      }
      for (let k = 0; k < depth; k++) {
        if ((await replies[k * 6]) !== "+OK") return;
        this.acked = from + k;
        if (!(await replies[k * 6 + 1]).startsWith("(")) return;
        this.pushed++;
      }
    }
  }

  async check(server: Program): Promise<void> {
    const wire = await Wire.connect(server.port);
    const text = async (...command: string[]): Promise<string> => (await wire.do(...command)).replace(/[^0-9]/g, "");
    const counter = Number(await text("GET", `counter:${this.id}`));
    const list = Number(await text("LLEN", `list:${this.id}`));
    expect(counter).toBeGreaterThanOrEqual(this.acked);
    expect(list).toBeGreaterThanOrEqual(this.pushed);
    expect(await text("GET", `left:${this.id}`)).toBe(await text("GET", `right:${this.id}`));
    this.acked = counter;
    this.pushed = list;
    wire.close();
  }
}

test.each(["always", "everysec", "no"])(
  "kill -9 at any moment, appendfsync %s: what was acknowledged is there",
  async (policy) => {
    const dir = tempDir();
    const writers = [1, 1, 4, 20].map((depth, id) => ({ depth, writer: new Writer(id) }));
    let acked = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const preamble = round % 3 === 0 ? "no" : "yes";
      const server = await startServer("redisha", { ...conf, appendfsync: policy, "aof-use-rdb-preamble": preamble }, { dir });
      for (const { writer } of writers) await writer.check(server);
      const before = Math.max(...writers.map(({ writer }) => writer.acked));
      const writing = writers.map(({ writer, depth }) => writer.run(server.port, depth));
      await until("an acknowledged write", () => writers.some(({ writer }) => writer.acked > before));
      const rewrite = Math.random() < 0.5 ? Bun.sleep(Math.random() * 100).then(() => server.cli("bgrewriteaof")) : null;
      await Bun.sleep(20 + Math.random() * 250);
      await server.stop("SIGKILL");
      await Promise.all(writing);
      await rewrite;
      acked = writers.reduce((sum, { writer }) => sum + writer.acked, 0);
    }
    await using server = await startServer("redisha", { ...conf, appendfsync: policy }, { dir });
    for (const { writer } of writers) await writer.check(server);
    if (ROUNDS > 6) console.log(`${policy}: ${ROUNDS} rounds, ${acked} acknowledged writes, all there`);
    rmSync(dir, { recursive: true, force: true });
  },
  30_000 + ROUNDS * 20_000,
);

test.skipIf(!hasRedis)("the original reads our files, and we read the original's", async () => {
  for (const [writer, reader] of [
    ["redisha", "redis"],
    ["redis", "redisha"],
  ] as [Kind, Kind][]) {
    const dir = tempDir();
    const first = await startServer(writer, conf, { dir });
    const wire = await Wire.connect(first.port);
    await wire.do("SET", "text", "before");
    await wire.do("RPUSH", "list", "a", "b", "c");
    await first.cli("bgrewriteaof");
    await until("the rewrite to end", async () => (await first.info("persistence"))["aof_rewrite_in_progress"] === "0");
    await wire.do("SET", "text", "after", "EX", 1000);
    await wire.do("SELECT", 3);
    await wire.do("MULTI");
    await wire.do("HSET", "hash", "f", "v");
    await wire.do("ZADD", "zset", "1.5", "m");
    await wire.do("EXEC");
    await first.stop("SIGTERM");
    await using second = await startServer(reader, conf, { dir });
    const got = await Wire.connect(second.port);
    expect(await got.do("GET", "text")).toBe('"after"');
    expect(await got.do("TTL", "text")).toMatch(/^\((99\d|1000)\)$/);
    expect(await got.do("LRANGE", "list", 0, -1)).toBe('["a", "b", "c"]');
    await got.do("SELECT", 3);
    expect(await got.do("HGETALL", "hash")).toBe('["f", "v"]');
    expect(await got.do("ZSCORE", "zset", "m")).toBe('"1.5"');
    await second.stop();
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a tail that was cut is dropped, with the open transaction; a broken middle is refused", async () => {
  const dir = tempDir();
  const first = await startServer("redisha", conf, { dir });
  await first.cli("set", "a", "1");
  await first.stop("SIGTERM");
  const files = join(dir, "appendonlydir");
  const incr = join(
    files,
    readdirSync(files).find((f) => f.endsWith(".incr.aof"))!,
  );
  const whole = statSync(incr).size;
  appendFileSync(incr, "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n");
  const second = await startServer("redisha", conf, { dir });
  expect(await second.cli("mget", "a", "b")).toBe("1\n");
  expect(second.output).toContain("aof-load-truncated is enabled");
  await second.stop("SIGTERM");
  expect(statSync(incr).size).toBe(whole);
  truncateSync(incr, whole - 3);
  const third = await startServer("redisha", conf, { dir });
  expect(await third.cli("dbsize")).toBe("0");
  await third.stop("SIGTERM");
  appendFileSync(incr, "rubbish\r\n*1\r\n$4\r\nPING\r\n");
  expect(startServer("redisha", conf, { dir })).rejects.toThrow("Bad file format reading the append only file");
  await until("the refusal", () => readFileSync(incr).length > 0);
  rmSync(dir, { recursive: true, force: true });
});

test("CONFIG SET appendonly at run time takes what is there along, and ends cleanly", async () => {
  const dir = tempDir();
  const first = await startServer("redisha", { save: "" }, { dir });
  await first.cli("set", "old", "1");
  expect(await first.cli("config", "set", "appendonly", "yes")).toBe("OK");
  await first.cli("set", "new", "2");
  await until(
    "the first base",
    async () =>
      (await first.info("persistence"))["aof_rewrite_in_progress"] === "0" &&
      readdirSync(join(dir, "appendonlydir")).some((f) => f.endsWith(".manifest")),
  );
  await first.stop("SIGKILL");
  await using second = await startServer("redisha", conf, { dir });
  expect(await second.cli("mget", "old", "new")).toBe("1\n2");
  expect(await second.cli("config", "set", "appendonly", "no")).toBe("OK");
  expect((await second.info("persistence"))["aof_enabled"]).toBe("0");
  await second.stop();
  rmSync(dir, { recursive: true, force: true });
});

test("a full sync begins a replica's files anew: what came with the snapshot is there after kill -9", async () => {
  const dir = tempDir();
  await using master = await startServer("redisha", { save: "" });
  const wire = await Wire.connect(master.port);
  await wire.do("MSET", "a", "1", "b", "2");
  const replica = await startServer("redisha", { ...conf, replicaof: `127.0.0.1 ${master.port}` }, { dir });
  const settled = async (want: string): Promise<boolean> =>
    (await replica.cli("get", "late")) === want && (await replica.info("persistence"))["aof_rewrite_in_progress"] === "0";
  await wire.do("SET", "late", "first");
  await until("the first base", () => settled("first"));
  // Another history: what the files hold is not the beginning of it.
  await replica.cli("replicaof", "no", "one");
  await replica.cli("set", "own", "x");
  await wire.do("DEL", "a");
  await replica.cli("replicaof", "127.0.0.1", String(master.port));
  await until("the second sync", async () => (await replica.cli("exists", "own")) === "0");
  await wire.do("SET", "late", "second");
  await until("the second base", () => settled("second"));
  await replica.stop("SIGKILL");
  await using alone = await startServer("redisha", conf, { dir });
  expect(await alone.cli("mget", "a", "b", "late", "own")).toBe("\n2\nsecond\n");
  await alone.stop();
  rmSync(dir, { recursive: true, force: true });
});

test("a rewrite that cannot write its manifest goes on in the old file, and nothing acknowledged is lost", async () => {
  const dir = tempDir();
  const first = await startServer("redisha", conf, { dir });
  await first.cli("set", "before", "1");
  // A directory where the manifest is to go: rename(2) refuses.
  const manifest = join(dir, "appendonlydir", "appendonly.aof.manifest");
  renameSync(manifest, `${manifest}.kept`);
  mkdirSync(join(manifest, "full"), { recursive: true });
  expect(await first.cli("bgrewriteaof")).toContain("Can't execute an AOF background rewriting");
  await first.cli("set", "after", "2");
  await first.stop("SIGKILL");
  rmSync(manifest, { recursive: true });
  renameSync(`${manifest}.kept`, manifest);
  await using second = await startServer("redisha", conf, { dir });
  expect(await second.cli("mget", "before", "after")).toBe("1\n2");
  await second.stop();
  rmSync(dir, { recursive: true, force: true });
});

test("DEBUG LOADAOF takes everything from the files again, transactions and streams too, and tells nobody", async () => {
  const dir = tempDir();
  await using server = await startServer("redisha", { ...conf, "enable-debug-command": "yes" }, { dir });
  const wire = await Wire.connect(server.port);
  await wire.do("XADD", "s", "MAXLEN", "~", 100, "*", "f", "v");
  await wire.do("XGROUP", "CREATE", "s", "g", 0);
  await wire.do("BGREWRITEAOF");
  await until("the rewrite", async () => (await wire.do("INFO", "persistence")).includes("aof_rewrite_in_progress:0"));
  await wire.do("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">");
  await wire.do("XADD", "s", "*", "f", "w");
  await wire.do("MULTI");
  await wire.do("SET", "a", 1);
  await wire.do("INCR", "a");
  await wire.do("EXEC");
  const read = async (): Promise<string[]> => [
    await wire.do("GET", "a"),
    await wire.do("XRANGE", "s", "-", "+"),
    await wire.do("XPENDING", "s", "g"),
  ];
  const before = await read();
  const size = (): Promise<string> => wire.do("INFO", "persistence").then((info) => /aof_current_size:\d+/.exec(info)![0]);
  const bytes = await size();
  for (let round = 0; round < 2; round++) {
    expect(await wire.do("DEBUG", "LOADAOF")).toBe("+OK");
    expect(await read()).toEqual(before);
  }
  expect(await size()).toBe(bytes);
  expect(before[0]).toBe('"2"');
  wire.close();
});

test("BGREWRITEAOF inside EXEC waits for its end, with AOF off as well", async () => {
  await using server = await startServer("redisha", { save: "" });
  const wire = await Wire.connect(server.port);
  await wire.do("MULTI");
  await wire.do("BGREWRITEAOF");
  expect(await wire.do("EXEC")).toBe("[+Background append only file rewriting scheduled]");
  await until("the rewrite", async () => (await server.info("persistence"))["aof_last_rewrite_time_sec"] !== "-1");
  expect((await server.info("stats"))["total_forks"]).toBe("1");
});

test("WAITAOF on a server without replicas tells of what is synced, again and again", async () => {
  await using server = await startServer("redisha", { ...conf, appendfsync: "no" });
  const wire = await Wire.connect(server.port);
  for (let i = 0; i < 3; i++) {
    await wire.do("INCR", "n");
    expect(await wire.do("WAITAOF", 1, 0, 20)).toBe("[(0), (0)]");
    // What is left over from the policy before is synced as soon as there is one that syncs.
    await wire.do("CONFIG", "SET", "appendfsync", "everysec");
    expect(await wire.do("WAITAOF", 1, 0, 0)).toBe("[(1), (0)]");
    await wire.do("CONFIG", "SET", "appendfsync", "no");
  }
}, 60_000);

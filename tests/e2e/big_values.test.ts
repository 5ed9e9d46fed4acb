/**
 * Big values that change while they are saved, on the compiled file: a file, an append only file of commands and a full sync hold what was there
 * when they began; and no write waits for a whole collection.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startServer, tempDir, until, type Program } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

// The machine may be busy.
setDefaultTimeout(180000);

const ELEMENTS = 6_000;
const BATCH = 1000;

async function fill(w: Wire): Promise<void> {
  for (let from = 0; from < ELEMENTS; from += BATCH) {
    const each = (make: (i: number) => (string | number)[]): (string | number)[] =>
      Array.from({ length: BATCH }, (_, k) => make(from + k)).flat();
    for (const key of ["hash", "hash:gone"]) await w.do("HSET", key, ...each((i) => [`f${i}`, `value ${i}`]));
    for (const key of ["set", "set:renamed"]) await w.do("SADD", key, ...each((i) => [`member ${i}`]));
    await w.do("ZADD", "zset", ...each((i) => [(i * 7) % 1000, `member ${i}`]));
    for (const key of ["list", "list:expired"]) await w.do("RPUSH", key, ...each((i) => [`element ${i}`]));
  }
  for (let i = 1; i <= 1000; i++) await w.do("XADD", "stream", `${i}-0`, "field", `value ${i}`);
  await w.do("XGROUP", "CREATE", "stream", "group", "0");
  await w.do("XREADGROUP", "GROUP", "group", "one", "COUNT", 800, "STREAMS", "stream", ">");
  await w.do("SETRANGE", "string", 8_000_000, "x");
}

/** Changes all of them, at both ends, in the middle, and whole. */
async function change(w: Wire): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const n = (i * 7919) % ELEMENTS;
    await w.do("HSET", "hash", `f${n}`, `changed ${i}`, `new ${i}`, "x");
    await w.do("HDEL", "hash", `f${(n + 1) % ELEMENTS}`);
    await w.do("SREM", "set", `member ${n}`);
    await w.do("SADD", "set", `new ${i}`);
    await w.do("SPOP", "set");
    await w.do("ZADD", "zset", 5000 + i, `member ${n}`, i, `new ${i}`);
    await w.do("ZREMRANGEBYRANK", "zset", 100, 101);
    await w.do("RPUSH", "list", `tail ${i}`);
    await w.do("LPUSH", "list", `head ${i}`);
    await w.do("LSET", "list", n % 4_000, `changed ${i}`);
    await w.do("LINSERT", "list", "AFTER", `element ${4_000 + i * 3}`, `between ${i}`);
    await w.do("LTRIM", "list", 2, -3);
    await w.do("XADD", "stream", "*", "field", `new ${i}`);
    await w.do("XDEL", "stream", `${1 + ((i * 31) % 1000)}-0`);
    await w.do("XACK", "stream", "group", `${1 + i * 3}-0`);
    await w.do("XCLAIM", "stream", "group", "two", 0, `${2 + i * 3}-0`, "RETRYCOUNT", 7);
    await w.do("SETRANGE", "string", i * 25_000, `changed ${i}`);
    await w.do("APPEND", "string", "more");
    if (i === 10) {
      await w.do("UNLINK", "hash:gone");
      await w.do("RENAME", "set:renamed", "set:other");
      await w.do("PEXPIRE", "list:expired", 1);
    }
    if (i > 10) await w.do("SADD", "set:other", `new ${i}`);
  }
  await w.do("XTRIM", "stream", "MAXLEN", 500);
}

/** What is in the databases. The digest leaves groups out. */
async function picture(server: Program): Promise<string> {
  const w = await Wire.connect(server.port);
  try {
    const [digest, size] = [await w.do("DEBUG", "DIGEST"), await w.do("DBSIZE")];
    const pending = await w.do("XPENDING", "stream", "group", "-", "+", 5000);
    // The third of each is the time since the delivery.
    const groups = (await w.do("XPENDING", "stream", "group")) + pending.replace(/\((\d+)\), \((\d+)\)\]/g, "($2)]");
    return `${digest} ${size} ${Bun.hash(groups)} ${groups.length}`;
  } finally {
    w.close();
  }
}

const isSaving = async (p: Program): Promise<boolean> => {
  const info = await p.info("persistence");
  return info["rdb_bgsave_in_progress"] === "1" || info["aof_rewrite_in_progress"] === "1";
};

test("BGSAVE writes what was there when it began", async () => {
  await using p = await startServer("redisha", { save: "" });
  const w = await Wire.connect(p.port);
  await fill(w);
  const before = await picture(p);
  // The keys' own pace: all of them are still to be written when the changes begin.
  await w.do("CONFIG", "SET", "rdb-key-save-delay", 5_000_000);
  await w.do("BGSAVE");
  await change(w);
  expect(await isSaving(p)).toBe(true);
  const after = await picture(p);
  expect(after).not.toBe(before);
  await w.do("CONFIG", "SET", "rdb-key-save-delay", 0);
  await until("the save", async () => !(await isSaving(p)));
  expect((await p.info("persistence"))["rdb_last_bgsave_status"]).toBe("ok");
  expect(await picture(p)).toBe(after);
  const dir = tempDir();
  copyFileSync(join(p.dir, "dump.rdb"), join(dir, "dump.rdb"));
  await using again = await startServer("redisha", { save: "" }, { dir });
  expect(await picture(again)).toBe(before);
  rmSync(dir, { recursive: true, force: true });
});

test.each(["yes", "no"])("BGREWRITEAOF with preamble %s: base and increments together make what there is", async (preamble) => {
  const dir = tempDir();
  const conf = { save: "", appendonly: "yes", "aof-use-rdb-preamble": preamble, "auto-aof-rewrite-percentage": 0 };
  const p = await startServer("redisha", conf, { dir });
  const w = await Wire.connect(p.port);
  await fill(w);
  await w.do("CONFIG", "SET", "rdb-key-save-delay", 5_000_000);
  await w.do("BGREWRITEAOF");
  await until("the rewrite to begin", () => isSaving(p));
  await change(w);
  expect(await isSaving(p)).toBe(true);
  await w.do("CONFIG", "SET", "rdb-key-save-delay", 0);
  await until("the rewrite", async () => !(await isSaving(p)));
  const after = await picture(p);
  await p.stop("SIGKILL");
  await using again = await startServer("redisha", conf, { dir });
  expect(await picture(again)).toBe(after);
  await again.stop();
  rmSync(dir, { recursive: true, force: true });
});

test("a full sync and the stream behind it make what the master has", async () => {
  await using master = await startServer("redisha", { save: "", "repl-diskless-sync-delay": 0 });
  await using replica = await startServer("redisha", { save: "" });
  const w = await Wire.connect(master.port);
  await fill(w);
  await w.do("CONFIG", "SET", "rdb-key-save-delay", 5_000_000);
  await replica.cli("replicaof", "127.0.0.1", String(master.port));
  await until("the sync to begin", () => isSaving(master));
  await change(w);
  await w.do("CONFIG", "SET", "rdb-key-save-delay", 0);
  await until("the link", async () => (await replica.info("replication"))["master_link_status"] === "up", 30000);
  expect(await w.do("WAIT", 1, 20000)).toBe("(1)");
  expect(await picture(replica)).toBe(await picture(master));
});

test("FLUSHALL while big values are half written; a save that is broken off leaves everything usable", async () => {
  await using p = await startServer("redisha", { save: "", appendonly: "yes", "auto-aof-rewrite-percentage": 0 });
  const w = await Wire.connect(p.port);
  await fill(w);
  for (let round = 0; round < 2; round++) {
    await w.do("CONFIG", "SET", "rdb-key-save-delay", 5_000_000);
    await w.do("BGSAVE");
    await change(w);
    const after = await picture(p);
    // The helper dies, and the save with it.
    const [child] = Bun.spawnSync(["pgrep", "-P", String(p.pid)])
      .stdout.toString()
      .trim()
      .split("\n");
    process.kill(Number(child), "SIGKILL");
    await until("the failure", async () => (await p.info("persistence"))["rdb_last_bgsave_status"] === "err");
    expect(await picture(p)).toBe(after);
    await w.do("CONFIG", "SET", "rdb-key-save-delay", 0, "stop-writes-on-bgsave-error", "no");
  }
  await w.do("CONFIG", "SET", "rdb-key-save-delay", 5_000_000);
  await w.do("BGREWRITEAOF");
  await until("the rewrite to begin", () => isSaving(p));
  await change(w);
  await w.do("FLUSHALL");
  await w.do("SET", "left", "1");
  await w.do("CONFIG", "SET", "rdb-key-save-delay", 0);
  await until("the rewrite", async () => !(await isSaving(p)));
  await until("the memory back", async () => Number((await p.info("memory"))["used_memory"]) < 12_000_000);
  await p.stop("SIGKILL");
  p.start();
  await p.ready();
  expect(await p.cli("dbsize")).toBe("1");
});

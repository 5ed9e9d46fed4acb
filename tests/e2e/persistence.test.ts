/** The data set on disk, on the compiled file: what survives kills, full disks and broken files, and what clients are told meanwhile. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasRedis, Program, redisha, freePort, startServer, tempDir, until, confText } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

// The machine may be busy.
setDefaultTimeout(60000);

const file = (p: Program): string => join(p.dir, "dump.rdb");
const temporaries = (p: Program): string[] => readdirSync(p.dir).filter((name) => name.startsWith("temp-"));
const hasEnded = (p: Program): boolean => p.process!.exitCode !== null || p.process!.signalCode !== null;
const children = (p: Program): number[] =>
  Bun.spawnSync(["pgrep", "-P", String(p.pid)])
    .stdout.toString()
    .split("\n")
    .filter((line) => line !== "")
    .map(Number);

/** The same server again in its directory. */
async function restart(p: Program): Promise<void> {
  p.start();
  await p.ready();
}

describe.skipIf(!hasRedis)("saving", () => {
  test("kill -9 during a save leaves the old file and nothing else", async () => {
    await using p = await startServer("redisha", {});
    await p.cli("set", "old", "1");
    expect(await p.cli("save")).toBe("OK");
    const before = readFileSync(file(p));
    await p.cli("debug", "populate", "1000");
    await p.cli("config", "set", "rdb-key-save-delay", "100000");
    expect(await p.cli("bgsave")).toBe("Background saving started");
    await until("the save to have begun", () => temporaries(p).length === 1);
    await p.stop("SIGKILL");
    expect(readFileSync(file(p)).equals(before)).toBe(true);
    await until("the helper to have tidied up", () => temporaries(p).length === 0);
    await restart(p);
    expect(await p.cli("dbsize")).toBe("1");
  });

  test("a killed save is an error, stops writes, and the next one that works lets them go on", async () => {
    await using p = await startServer("redisha", { save: "900 1" });
    await p.cli("debug", "populate", "1000");
    await p.cli("config", "set", "rdb-key-save-delay", "100000");
    expect(children(p)).toEqual([]);
    await p.cli("bgsave");
    const [helper] = children(p);
    expect(p.output).toContain(`Background saving started by pid ${helper}`);
    expect(await p.cli("bgsave")).toBe("ERR Background save already in progress\n");
    expect(await p.cli("save")).toBe("ERR Background save already in progress\n");
    process.kill(helper, "SIGKILL");
    await until("the save to be over", async () => (await p.info("persistence"))["rdb_bgsave_in_progress"] === "0");
    expect(p.output).toContain("Background saving terminated by signal 9");
    expect((await p.info("persistence"))["rdb_last_bgsave_status"]).toBe("err");
    expect(await p.cli("set", "a", "1")).toStartWith("MISCONF Redis is configured to save RDB snapshots");
    expect(await p.cli("ping")).toStartWith("MISCONF ");
    expect(await p.cli("get", "key:1")).toBe("value:1");
    await p.cli("config", "set", "stop-writes-on-bgsave-error", "no");
    expect(await p.cli("set", "a", "1")).toBe("OK");
    await p.cli("config", "set", "stop-writes-on-bgsave-error", "yes");
    expect(await p.cli("set", "a", "1")).toStartWith("MISCONF ");
    await p.cli("config", "set", "rdb-key-save-delay", "0");
    await p.cli("bgsave");
    await until("the save to work", async () => (await p.info("persistence"))["rdb_last_bgsave_status"] === "ok");
    expect(await p.cli("set", "a", "1")).toBe("OK");
    expect(temporaries(p)).toEqual([]);
    expect(children(p)).toEqual([]);
  });

  test("save points", async () => {
    await using p = await startServer("redisha", { save: "1 3" });
    await p.cli("mset", "a", "1", "b", "2");
    const info = await p.info("persistence");
    expect(info["rdb_changes_since_last_save"]).toBe("2");
    expect(existsSync(file(p))).toBe(false);
    await p.cli("set", "c", "3");
    await until("the save", () => existsSync(file(p)));
    expect(p.output).toContain("3 changes in 1 seconds. Saving...");
    await until("its end", async () => (await p.info("persistence"))["rdb_changes_since_last_save"] === "0");
    expect(Number(await p.cli("lastsave"))).toBeGreaterThanOrEqual(Number(info["rdb_last_save_time"]));
  });

  test("what is changed during a save is not in the file", async () => {
    await using p = await startServer("redisha", {});
    const w = await Wire.connect(p.port);
    await w.do("DEBUG", "POPULATE", 300);
    await w.do("RPUSH", "list", ...Array.from({ length: 1000 }, (_, i) => `element ${i} `.repeat(20)));
    await w.do("CONFIG", "SET", "rdb-key-save-delay", 20000);
    await w.do("BGSAVE");
    for (let i = 0; i < 300; i += 3) await w.do("SET", `key:${i}`, "changed");
    for (let i = 1; i < 300; i += 3) await w.do("DEL", `key:${i}`);
    for (let i = 0; i < 100; i++) await w.do("SET", `new:${i}`, "x");
    await w.do("LTRIM", "list", 10, 20);
    expect((await p.info("persistence"))["rdb_bgsave_in_progress"]).toBe("1");
    expect(Number((await p.info("persistence"))["current_cow_size"])).toBeGreaterThan(0);
    await w.do("CONFIG", "SET", "rdb-key-save-delay", 0);
    await until("the save", async () => (await p.info("persistence"))["rdb_bgsave_in_progress"] === "0");
    w.close();
    await p.stop("SIGKILL");
    await restart(p);
    expect(await p.cli("dbsize")).toBe("301");
    for (let i = 0; i < 300; i += 30) expect(await p.cli("get", `key:${i}`)).toBe(`value:${i}`);
    expect(await p.cli("llen", "list")).toBe("1000");
  });

  test("FLUSHALL breaks a save off, and with save points the file is empty", async () => {
    await using p = await startServer("redisha", { save: "900 1" });
    await p.cli("debug", "populate", "500");
    await p.cli("save");
    const full = statSync(file(p)).size;
    await p.cli("config", "set", "rdb-key-save-delay", "100000");
    await p.cli("bgsave");
    expect(await p.cli("flushall")).toBe("OK");
    expect((await p.info("persistence"))["rdb_bgsave_in_progress"]).toBe("0");
    expect((await p.info("persistence"))["rdb_last_bgsave_status"]).toBe("ok");
    expect(statSync(file(p)).size).toBeLessThan(full);
    await p.stop("SIGKILL");
    expect(temporaries(p)).toEqual([]);
    await restart(p);
    expect(await p.cli("dbsize")).toBe("0");
  });

  test("inside a transaction BGSAVE is put off until it is over", async () => {
    await using p = await startServer("redisha", {});
    const w = await Wire.connect(p.port);
    await w.do("MULTI");
    await w.do("BGSAVE");
    await w.do("SET", "a", 1);
    expect(await w.do("EXEC")).toBe("[+Background saving scheduled, +OK]");
    await until("the save", () => existsSync(file(p)));
    expect(await w.do("BGSAVE", "x")).toBe("-ERR syntax error");
    w.close();
  });

  test("DEBUG RELOAD keeps everything; NOSAVE NOFLUSH MERGE lays the file over what is there", async () => {
    await using p = await startServer("redisha", {});
    await p.cli("rpush", "list", "a", "b");
    await p.cli("set", "string", "1", "pxat", "4102444800000");
    await p.cli("zadd", "zset", "1.5", "m");
    const digest = await p.cli("debug", "digest");
    expect(await p.cli("debug", "reload")).toBe("OK");
    expect(await p.cli("debug", "digest")).toBe(digest);
    expect(await p.cli("pexpiretime", "string")).toBe("4102444800000");
    await p.cli("set", "string", "2");
    await p.cli("set", "other", "x");
    expect(await p.cli("debug", "reload", "nosave", "noflush", "merge")).toBe("OK");
    expect([await p.cli("get", "string"), await p.cli("get", "other")]).toEqual(["1", "x"]);
    expect(await p.cli("debug", "reload", "x")).toBe("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.\n");
  });
});

describe.skipIf(!hasRedis)("shutting down", () => {
  test.each([
    ["shutdown save", "", ["shutdown", "save"], true],
    ["shutdown nosave with save points", "900 1", ["shutdown", "nosave"], false],
    ["shutdown without save points", "", ["shutdown"], false],
    ["shutdown with save points", "900 1", ["shutdown"], true],
    ["SIGTERM with save points", "900 1", null, true],
  ] as const)("%s", async (_name, save, command, saves) => {
    await using p = await startServer("redisha", { save });
    await p.cli("set", "a", "1");
    if (command === null) p.kill("SIGTERM");
    else await p.cli(...command);
    await until("the end", () => hasEnded(p));
    expect(p.process!.exitCode).toBe(0);
    expect(existsSync(file(p))).toBe(saves);
    if (saves) expect(p.output).toContain("Saving the final RDB snapshot before exiting.");
    await restart(p);
    expect(await p.cli("get", "a")).toBe(saves ? "1" : "");
  });

  test("a save that runs is broken off; the last one has everything", async () => {
    await using p = await startServer("redisha", { save: "900 1" });
    await p.cli("debug", "populate", "200");
    await p.cli("config", "set", "rdb-key-save-delay", "5000");
    await p.cli("bgsave");
    await p.cli("set", "late", "1");
    p.kill("SIGTERM");
    await until("the end", () => hasEnded(p));
    expect(p.output).toContain("There is a child saving an .rdb. Killing it!");
    expect(temporaries(p)).toEqual([]);
    await restart(p);
    expect(await p.cli("dbsize")).toBe("201");
  });

  test("when it cannot save it goes on, unless it is forced", async () => {
    await using p = await startServer("redisha", { save: "900 1", "enable-protected-configs": "yes" });
    await p.cli("set", "a", "1");
    writeFileSync(join(p.dir, "not-a-dir"), "");
    await p.cli("config", "set", "dbfilename", "x".repeat(300));
    expect(await p.cli("shutdown")).toBe("ERR Errors trying to SHUTDOWN. Check logs.\n");
    expect(await p.cli("get", "a")).toBe("1");
    expect(p.output).toContain("Error trying to save the DB, can't exit.");
    await p.cli("shutdown", "force");
    await until("the end", () => hasEnded(p));
    expect(p.output).toContain("Error trying to save the DB. Exit anyway.");
  });
});

describe.skipIf(!hasRedis)("loading", () => {
  test("clients are told so, INFO shows how far, and an end meanwhile does not touch the file", async () => {
    await using p = await startServer("redisha", { save: "900 1" });
    await p.cli("debug", "populate", "2000");
    await p.cli("save");
    await p.stop("SIGKILL");
    const before = readFileSync(file(p));
    p.args.push("--key-load-delay", "5000");
    p.start();
    await until("LOADING", async () => (await p.cli("get", "key:1")).startsWith("LOADING Redis is loading the dataset in memory"));
    expect(await p.cli("ping")).toStartWith("LOADING ");
    const info = await until("some keys", async () => {
      const i = await p.info("persistence");
      return Number(i["rdb_last_load_keys_loaded"]) > 0 ? i : null;
    });
    expect(info["loading"]).toBe("1");
    expect(info["loading_total_bytes"]).toBe(String(before.length));
    expect(Number(info["loading_loaded_perc"])).toBeLessThan(100);
    p.kill("SIGTERM");
    await until("the end", () => hasEnded(p));
    expect(p.process!.exitCode).toBe(0);
    expect(p.output).toContain("Received shutdown signal during loading, scheduling shutdown.");
    expect(readFileSync(file(p)).equals(before)).toBe(true);
    p.args.splice(-2);
    await restart(p);
    await until("all keys", async () => (await p.cli("dbsize")) === "2000");
  });

  test("a master leaves out keys whose time has come, a replica waits for its master's word", async () => {
    await using p = await startServer("redisha", {});
    await p.cli("debug", "set-active-expire", "0");
    await p.cli("set", "gone", "1", "px", "1");
    await p.cli("set", "stays", "1");
    expect(await p.cli("save")).toBe("OK");
    await p.stop("SIGKILL");
    await restart(p);
    expect(await p.cli("dbsize")).toBe("1");
    expect((await p.info("persistence"))["rdb_last_load_keys_expired"]).toBe("1");
    await p.stop("SIGKILL");
    p.args.push("--replicaof", "127.0.0.1 1");
    await restart(p);
    expect(await p.cli("dbsize")).toBe("2");
    expect((await p.info("persistence"))["rdb_last_load_keys_loaded"]).toBe("2");
  });

  test.each([
    ["cut", (path: string) => truncateSync(path, 200), "Unexpected EOF reading RDB file at offset "],
    ["changed", (path: string) => change(path, 150), " at offset "],
    ["with a wrong checksum", (path: string) => change(path, -1), "RDB CRC error at offset "],
    [
      "of another kind",
      (path: string) => writeFileSync(path, "not an RDB file at all"),
      "Wrong signature trying to load DB from file at offset 0",
    ],
    ["of a later version", (path: string) => writeFileSync(path, "REDIS0099xxxxxxxxxx"), "Can't handle RDB format version 99 at offset 0"],
  ])("a file %s ends the start with offset and reason", async (_name, harm, reason) => {
    await using p = await startServer("redisha", {});
    await p.cli("debug", "populate", "50");
    await p.cli("hset", "hash", "field", "value");
    await p.cli("shutdown", "save");
    await until("the end", () => hasEnded(p));
    harm(file(p));
    const left = readFileSync(file(p));
    p.start();
    await until("the end", () => hasEnded(p));
    expect(p.process!.exitCode).toBe(1);
    expect(p.output).toContain(reason);
    expect(p.output).toContain("Terminating server after rdb file reading failure.");
    expect(readFileSync(file(p)).equals(left)).toBe(true);
  });
});

function change(path: string, at: number): void {
  const b = readFileSync(path);
  b[at < 0 ? b.length + at : at] ^= 0xff;
  writeFileSync(path, b);
}

/** May we make a file system of our own? */
const mayMount = Bun.spawnSync(["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]).exitCode === 0;
if (!mayMount) console.warn("SKIPPING the test of a full disk: no mount namespaces here");

describe.skipIf(!hasRedis || !mayMount)("a full disk", () => {
  test("is MISCONF and an old file that stays; with room again the save is made up for", async () => {
    const dir = tempDir();
    const port = freePort();
    const conf = join(dir, "redis.conf");
    const disk = join(dir, "disk");
    writeFileSync(conf, confText({ port, bind: "127.0.0.1", dir: disk, save: "1 1", "enable-debug-command": "yes", rdbcompression: "no" }));
    const script = `mkdir ${disk}; mount -t tmpfs -o size=1m tmpfs ${disk} && exec ${redisha} ${conf}`;
    await using p = new Program("redisha", ["unshare", "-m", "sh", "-c", script], port, dir, true);
    p.start();
    await p.ready();
    const inside = `/proc/${p.pid}/root${disk}`;
    await p.cli("set", "small", "1");
    await until("the first save", async () => (await p.info("persistence"))["rdb_changes_since_last_save"] === "0");
    const before = readFileSync(`${inside}/dump.rdb`);
    await p.cli("debug", "populate", "20000", "key", "100");
    await p.cli("set", "b", "1");
    await until("the save to fail", async () => (await p.info("persistence"))["rdb_last_bgsave_status"] === "err");
    expect(p.output).toContain("Write error while saving DB to the disk(write): No space left on device");
    expect(p.output).toContain("Background saving error");
    expect(await p.cli("set", "c", "1")).toStartWith("MISCONF ");
    expect(await p.cli("save")).toBe("ERR\n");
    expect(readFileSync(`${inside}/dump.rdb`).equals(before)).toBe(true);
    await until("no rest of it", () => readdirSync(inside).join() === "dump.rdb");
    Bun.spawnSync(["nsenter", `--mount=/proc/${p.pid}/ns/mnt`, "mount", "-o", "remount,size=30m", disk]);
    await until("the next try", async () => (await p.info("persistence"))["rdb_last_bgsave_status"] === "ok", 20000);
    expect(await p.cli("set", "c", "1")).toBe("OK");
  });
});

test("a second SIGINT ends the last save and its half file; one after SHUTDOWN ABORT is a first one", async () => {
  await using server = await startServer("redisha", { save: "", "enable-debug-command": "yes" });
  for (let i = 0; i < 20; i++) await server.cli("set", `k${i}`, "v");
  await server.cli("config", "set", "save", "900 1", "rdb-key-save-delay", "500000");
  await server.cli("debug", "pause-cron", "1");
  server.kill("SIGTERM");
  await until("the shutdown", async () => (await server.cli("shutdown", "abort")) === "OK");
  await server.cli("debug", "pause-cron", "0");
  server.kill("SIGINT");
  const temporary = join(server.dir, `temp-${server.pid}.rdb`);
  await until("the file", () => existsSync(temporary));
  expect(await server.stop("SIGINT")).toBe(1);
  expect(existsSync(temporary)).toBe(false);
  expect(existsSync(file(server))).toBe(false);
});

test("oom-score-adj-values: the third is that of the process that helps a save", async () => {
  await using server = await startServer("redisha", { save: "" });
  const score = (pid: number | string): number => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "latin1"));
  const base = score(server.pid);
  await server.cli("config", "set", "oom-score-adj-values", "10 20 30", "oom-score-adj", "yes", "rdb-key-save-delay", "10000000");
  expect(score(server.pid)).toBe(base + 10);
  await server.cli("set", "k", "v");
  await server.cli("bgsave");
  expect(children(server).map(score)).toEqual([base + 30]);
});

/**
 * Disks that are slow, broken or full, under the compiled file: `always` syncs before it answers, errors refuse writes and lose nothing, and
 * all goes on when the disk does. strace delays and breaks system calls; a small tmpfs in a mount namespace of the test's own is the full disk.
 */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startServer, tempDir, until, type Program } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

const works = (...command: string[]): boolean => Bun.spawnSync(command, { stdout: "ignore", stderr: "ignore" }).exitCode === 0;
const hasStrace = works("strace", "-D", "-f", "-o", "/dev/null", "/bin/true");
const hasMounts = works("unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt");
if (!hasStrace) console.warn("SKIPPING tests of slow and broken disks: strace is not installed, or may not trace");
if (!hasMounts) console.warn("SKIPPING tests of full disks: no mount namespace can be made here");

const conf = { appendonly: "yes", save: "", "auto-aof-rewrite-percentage": 0 };
const INCR = "appendonlydir/appendonly.aof.1.incr.aof";

/** A server whose system calls are traced or tampered with, by strace's own words. */
function traced(policy: string, dir: string, ...strace: string[]): Promise<Program> {
  return startServer("redisha", { ...conf, appendfsync: policy }, { dir, launcher: ["strace", "-D", "-f", ...strace] });
}

test.skipIf(!hasStrace)(
  "always: the sync of a write has ended before its reply leaves",
  async () => {
    const dir = tempDir();
    const trace = join(dir, "trace");
    const server = await traced("always", dir, "-s", "4096", "-e", "trace=write,fdatasync,sendto,writev,sendmsg", "-o", trace);
    const wires = await Promise.all(Array.from({ length: 4 }, () => Wire.connect(server.port)));
    for (let i = 0; i < 15; i++) await Promise.all(wires.map((w, k) => w.do("GETSET", `k${k}`, `value:${k}:${i}:`)));
    await server.stop("SIGKILL");
    // What was written since the last sync began, and what a finished sync covers.
    let unsynced = "";
    const syncing = new Map<string, string>();
    let synced = "";
    let replies = 0;
    for (const line of readFileSync(trace, "latin1").split("\n")) {
      const pid = line.slice(0, line.indexOf(" "));
      if (/ write\(\d+, ".*\\nSET\\r/.test(line)) unsynced += line;
      if (/ fdatasync\(/.test(line)) {
        syncing.set(pid, unsynced);
        unsynced = "";
      }
      if (/fdatasync(\(| resumed).*= 0/.test(line)) synced += syncing.get(pid) ?? "";
      // The reply to a GETSET is the value before it: that one's successor must be on the disk by now.
      if (!/ (sendto|writev|sendmsg)\(/.test(line)) continue;
      for (const [, k, i] of line.matchAll(/value:(\d):(\d+):/g)) {
        replies++;
        expect(synced).toContain(`value:${k}:${Number(i) + 1}:`);
      }
    }
    expect(replies).toBeGreaterThan(40);
    rmSync(dir, { recursive: true, force: true });
  },
  60_000,
);

test.skipIf(!hasStrace)(
  "always: a slow sync holds replies back, and others' commands are one group behind it",
  async () => {
    const dir = tempDir();
    await using server = await traced(
      "always",
      dir,
      "-o",
      "/dev/null",
      "-e",
      "trace=fdatasync",
      "-e",
      "inject=fdatasync:delay_enter=400000",
    );
    const [a, b, reader] = await Promise.all([Wire.connect(server.port), Wire.connect(server.port), Wire.connect(server.port)]);
    await reader.do("PING");
    const started = performance.now();
    const done: string[] = [];
    const first = a.do("SET", "a", 1).then(() => void done.push("a"));
    const rest = [b.do("SET", "b", 1).then(() => void done.push("b")), reader.do("GET", "a").then(() => void done.push("read"))];
    await first;
    expect(performance.now() - started).toBeGreaterThanOrEqual(390);
    await Promise.all(rest);
    // Two groups at most: three commands do not wait for three syncs.
    expect(performance.now() - started).toBeLessThan(390 * 3 + 5000);
    expect(done.toSorted()).toEqual(["a", "b", "read"]);
    rmSync(dir, { recursive: true, force: true });
  },
  60_000,
);

test.skipIf(!hasStrace)(
  "always: a sync that fails ends the server, and nobody was told that the write is safe",
  async () => {
    const dir = tempDir();
    const server = await traced("always", dir, "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=3+");
    const wire = await Wire.connect(server.port);
    let acked = 0;
    for (let i = 1; i <= 5; i++) {
      const reply = await Promise.race([wire.do("SET", "n", i), server.process!.exited.then(() => "gone")]);
      if (reply !== "+OK") break;
      acked = i;
    }
    await server.process!.exited;
    expect(server.process!.exitCode).toBe(1);
    expect(acked).toBeLessThan(5);
    expect(server.output).toContain("Can't persist AOF for fsync error when the AOF fsync policy is 'always'");
    await using again = await startServer("redisha", conf, { dir });
    expect(Number(await again.cli("get", "n"))).toBeGreaterThanOrEqual(acked);
    rmSync(dir, { recursive: true, force: true });
  },
  60_000,
);

test.skipIf(!hasStrace)(
  "everysec: a write that fails with EIO refuses writes until it goes again; nothing is lost",
  async () => {
    const dir = tempDir();
    const spoil = ["-e", "trace=write", "-P", join(dir, INCR), "-e", "inject=write:error=EIO:when=3..5", "-o", "/dev/null"];
    const server = await traced("everysec", dir, ...spoil);
    const wire = await Wire.connect(server.port);
    const acked = new Map<string, string>();
    let refused = 0;
    let after = 0;
    for (let i = 0; after < 5; i++) {
      const reply = await wire.do("SET", `k${i % 50}`, i);
      if (reply === "+OK") acked.set(`k${i % 50}`, String(i));
      if (reply.includes("MISCONF")) {
        expect(reply).toBe("-MISCONF Errors writing to the AOF file: Input/output error");
        refused++;
        await Bun.sleep(20);
      } else if (refused > 0) after++;
    }
    expect(refused).toBeGreaterThan(0);
    const info = await server.info("persistence");
    expect(info["aof_last_write_status"]).toBe("ok");
    await server.stop("SIGKILL");
    await using again = await startServer("redisha", conf, { dir });
    for (const [key, value] of acked) expect(await again.cli("get", key)).toBe(value);
    rmSync(dir, { recursive: true, force: true });
  },
  60_000,
);

/** A server whose folder is a tmpfs that nobody else sees; `seen` is that folder from outside. */
async function onSmallDisk(options: Record<string, string>): Promise<{ server: Program; seen: string }> {
  const dir = tempDir();
  const script =
    'dir=$1; shift; cp "$dir/redis.conf" /run/small.conf.$$; mount -t tmpfs -o size=8m none "$dir"; cp /run/small.conf.$$ "$dir/redis.conf"; rm /run/small.conf.$$; cd "$dir"; exec "$@"';
  const server = await startServer("redisha", { ...conf, ...options }, { dir, launcher: ["unshare", "-m", "sh", "-c", script, "--", dir] });
  return { server, seen: `/proc/${server.pid}/root${dir}` };
}

test.skipIf(!hasMounts)(
  "a full disk: MISCONF, nothing acknowledged is lost, and writing goes on when there is room",
  async () => {
    const { server, seen } = await onSmallDisk({ appendfsync: "everysec" });
    const wire = await Wire.connect(server.port);
    const value = "v".repeat(16 * 1024);
    const acked = new Map<string, number>();
    let n = 0;
    let reply = "";
    for (; n < 2000; n++) {
      reply = await wire.do("SET", `k${n % 40}`, `${n}:${value}`);
      if (reply !== "+OK") break;
      acked.set(`k${n % 40}`, n);
    }
    expect(reply).toBe("-MISCONF Errors writing to the AOF file: No space left on device");
    expect(await wire.do("GET", "k0")).toContain(`${acked.get("k0")}:`);
    expect((await server.info("persistence"))["aof_last_write_status"]).toBe("err");
    // A rewrite has no room either: it fails, and the files stay as they are.
    await server.cli("bgrewriteaof");
    await until("the rewrite to end", async () => (await server.info("persistence"))["aof_rewrite_in_progress"] === "0");
    await remount(server, "64m");
    await until("writes to go again", async () => (await wire.do("SET", "after", "1")) === "+OK");
    expect((await server.info("persistence"))["aof_last_write_status"]).toBe("ok");
    await server.cli("bgrewriteaof");
    await until("the rewrite to end", async () => (await server.info("persistence"))["aof_rewrite_in_progress"] === "0");
    expect((await server.info("persistence"))["aof_last_bgrewrite_status"]).toBe("ok");
    // The disk goes with the namespace: what is on it is taken before the server dies.
    const copy = tempDir();
    await wire.do("SET", "last", "1");
    await Bun.spawn(["cp", "-r", join(seen, "appendonlydir"), copy]).exited;
    await server.stop("SIGKILL");
    await using again = await startServer("redisha", conf, { dir: copy });
    for (const [key, i] of acked) expect((await again.cli("get", key)).startsWith(`${i}:`)).toBe(true);
    expect(await again.cli("get", "last")).toBe("1");
    for (const dir of [copy, server.dir]) rmSync(dir, { recursive: true, force: true });
  },
  90_000,
);

/** Gives the disk another size, in the server's own namespace. */
async function remount(server: Program, size: string): Promise<void> {
  const p = Bun.spawn(["nsenter", "-t", String(server.pid), "-m", "mount", "-o", `remount,size=${size}`, server.dir], {
    stderr: "inherit",
  });
  expect(await p.exited).toBe(0);
}

test.skipIf(!hasMounts)(
  "a save that finds the disk full leaves the file before it, and refuses writes until one succeeds",
  async () => {
    const { server, seen } = await onSmallDisk({ appendonly: "no", save: "3600 1000000", rdbcompression: "no" });
    await server.cli("set", "old", "1");
    expect(await server.cli("save")).toBe("OK");
    const before = readFileSync(join(seen, "dump.rdb"));
    const wire = await Wire.connect(server.port);
    for (let i = 0; i < 24; i++) await wire.do("SET", `big${i}`, `${i}`.repeat(512 * 1024));
    await server.cli("bgsave");
    await until("the save to fail", async () => (await server.info("persistence"))["rdb_last_bgsave_status"] === "err");
    expect(readFileSync(join(seen, "dump.rdb")).equals(before)).toBe(true);
    expect(readdirSync(seen).filter((f) => f.startsWith("temp-"))).toEqual([]);
    expect(await wire.do("SET", "x", "1")).toStartWith("-MISCONF ");
    await remount(server, "128m");
    await server.cli("bgsave");
    await until("writes to go again", async () => (await wire.do("SET", "x", "1")) === "+OK");
    expect(statSync(join(seen, "dump.rdb")).size).toBeGreaterThan(12 * 1024 * 1024);
    await server.stop("SIGKILL");
    rmSync(server.dir, { recursive: true, force: true });
  },
  90_000,
);

test("a save that is cut at any moment leaves the file before it, and nothing else", async () => {
  const dir = tempDir();
  const options = { save: "", rdbcompression: "no" };
  const first = await startServer("redisha", options, { dir });
  await first.cli("set", "old", "1");
  await first.cli("save");
  await first.stop("SIGKILL");
  const before = readFileSync(join(dir, "dump.rdb"));
  const cuts = Number(process.env["SAVE_CUTS"] ?? 4);
  for (let round = 0; round < cuts; round++) {
    const server = await startServer("redisha", options, { dir });
    await server.cli("debug", "populate", "20000", "k", "200");
    await server.cli("bgsave");
    const temporary = (): string | undefined => readdirSync(dir).find((f) => /^temp-\d+\.rdb$/.test(f));
    const wanted = Math.floor(Math.random() * 3_000_000);
    let size = 0;
    while (size < wanted && existsSync(join(dir, temporary() ?? "none"))) {
      try {
        ({ size } = statSync(join(dir, temporary() ?? "none")));
      } catch {
        break;
      }
    }
    await server.stop("SIGKILL");
    const now = readFileSync(join(dir, "dump.rdb"));
    // Cut in time it is the old file, byte for byte; else the new one, whole.
    if (!now.equals(before)) {
      await using check = await startServer("redisha", options, { dir });
      expect(await check.cli("dbsize")).toBe("20001");
      writeFileSync(join(dir, "dump.rdb"), before);
    }
    await until("the helper to clear up", () => temporary() === undefined || undefined);
  }
  rmSync(dir, { recursive: true, force: true });
}, 120_000);

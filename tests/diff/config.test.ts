/** CONFIG GET and SET beside the real redis-server: the same texts. Rows where 7.2 differs from Debian's 7.0 are named with their reason. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type RealRedis, startRealRedis } from "../support/real_redis.ts";
import { Config } from "../../lib/config/config.ts";

let real: RealRedis | null = null;
beforeAll(async () => {
  real = await startRealRedis("--enable-protected-configs", "yes");
  if (real === null) console.log("SKIPPED: no redis-server installed");
});
afterAll(() => real?.stop());

/** Set by the way the real server is started here, or another machine's business. */
const STARTED_WITH = ["port", "unixsocket", "save", "dir", "enable-protected-configs", "oom-score-adj"];

test("defaults and names", async () => {
  if (real === null) return;
  const reply = await real.call("config", "get", "*");
  const theirs = new Map<string, string>();
  const list = (reply as Buffer[]).map((b) => b.toString("latin1"));
  for (let i = 0; i < list.length; i += 2) theirs.set(list[i]!, list[i + 1]!);
  const config = new Config();
  // Hidden in 7.2, shown in 7.0.
  theirs.delete("aof-disable-auto-gc");
  const ours = new Map(config.match(["*"]));
  // New in 7.2, and our own.
  for (const name of [
    "locale-collate",
    "set-max-listpack-entries",
    "set-max-listpack-value",
    "cluster-announce-human-nodename",
    "boot-fence",
    "rdb-version",
    "proxy-protocol-from",
  ])
    expect([name, ours.delete(name)]).toEqual([name, true]);
  for (const name of STARTED_WITH) {
    expect([name, ours.delete(name)]).toEqual([name, true]);
    theirs.delete(name);
  }
  expect([...ours.keys()].toSorted()).toEqual([...theirs.keys()].toSorted());
  expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(theirs));
});

test.each([
  ["maxmemory", "100mb"],
  ["maxmemory", "-1"],
  ["maxmemory", "1.5gb"],
  ["maxmemory", ""],
  ["maxmemory", "18446744073709551616"],
  ["maxmemory-clients", "50%"],
  ["maxmemory-clients", "101%"],
  ["maxmemory-clients", "-5%"],
  ["maxmemory-clients", "1gb"],
  ["hz", "0"],
  ["hz", "abc"],
  ["hz", "01"],
  ["hz", "+1"],
  ["hz", "99999999999999999999"],
  ["hz", "1000"],
  ["slowlog-max-len", "-1"],
  ["maxclients", "0"],
  ["hash-max-listpack-entries", "-1"],
  ["hash-max-listpack-value", "9223372036854775808"],
  ["appendfsync", "ALWAYS"],
  ["appendfsync", "x"],
  ["maxmemory-policy", "lru"],
  ["oom-score-adj", "maybe"],
  ["shutdown-on-sigterm", "save now"],
  ["shutdown-on-sigterm", "save nosave"],
  ["shutdown-on-sigterm", "default force"],
  ["shutdown-on-sigterm", ""],
  ["repl-disable-tcp-nodelay", "1"],
  ["repl-disable-tcp-nodelay", "YES"],
  ["dbfilename", "a/b"],
  ["dbfilename", ""],
  ["proc-title-template", "{bad}"],
  ["proc-title-template", ""],
  ["proc-title-template", "{title"],
  ["proc-title-template", "x {{port} {port}"],
  ["save", "60 1 300 10"],
  ["save", "60"],
  ["save", "0 1"],
  ["save", "60  1"],
  ["save", ""],
  ["save", "60 x"],
  ["client-output-buffer-limit", "replica 1mb 64kb 5"],
  ["client-output-buffer-limit", "slave 1 1 1 pubsub 2 2 2"],
  ["client-output-buffer-limit", "master 1 1 1"],
  ["client-output-buffer-limit", "normal 1 1"],
  ["client-output-buffer-limit", "normal 1 1 -1"],
  ["client-output-buffer-limit", "normal 1x 1 1"],
  ["oom-score-adj-values", "1 2 3"],
  ["oom-score-adj-values", "1 2"],
  ["oom-score-adj-values", "1 2 2001"],
  ["notify-keyspace-events", "KEA"],
  ["notify-keyspace-events", "Elgm"],
  ["notify-keyspace-events", "xyz"],
  ["latency-tracking-info-percentiles", "50.0 99.95 100"],
  ["latency-tracking-info-percentiles", "0"],
  ["latency-tracking-info-percentiles", "101"],
  ["latency-tracking-info-percentiles", "a"],
  ["latency-tracking-info-percentiles", ""],
  ["cluster-announce-hostname", "a_b"],
  ["cluster-announce-hostname", "ok.example-1"],
  ["dir", "/no/such/place"],
  ["replicaof", "a 1"],
  ["nonsense", "1"],
  ["requirepass", ""],
  ["stream-node-max-bytes", "5000"],
  ["list-max-listpack-size", "-3"],
])("CONFIG SET %s %j", async (name, value) => {
  if (real === null) return;
  const config = new Config({ cwd: () => "/", chdir: process.chdir });
  const was = await real.text("config", "get", name);
  const theirs = await real.text("config", "set", name, value);
  const ours = config.set([name, value], { loading: false, mayProtected: true });
  expect(ours ?? "OK").toBe(theirs);
  if (theirs !== "OK" || was === "") return;
  const shown = (await real.call("config", "get", name)) as Buffer[];
  expect(config.show(name)).toBe(shown[1]!.toString("latin1"));
});

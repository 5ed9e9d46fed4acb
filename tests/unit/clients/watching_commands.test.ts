/** What others see of commands: SLOWLOG, MONITOR, statistics, latency histograms, client tracking. Through real sockets. */
import { expect, test } from "bun:test";
import { Command } from "../../../lib/clients/command.ts";
import { cumulativeMicros, percentileNs, recordLatency } from "../../../lib/clients/latency.ts";
import { until } from "../../support/programs.ts";
import { SmallServer } from "./small_mode.ts";

test("SLOWLOG cuts arguments, hides passwords, keeps the newest", async () => {
  await using s = SmallServer.start({ slowlogSlowerThanMicros: 0, slowlogMaxLength: 3 });
  const w = await s.connect();
  await w.do("CLIENT", "SETNAME", "me");
  await w.do("SLOWLOG", "RESET");
  await w.do("SET", "a", "x".repeat(130));
  const many = Array.from({ length: 40 }, (_, i) => String(i));
  await w.do("DEL", ...many);
  await w.do("AUTH", "default", "secret");
  expect(await w.do("SLOWLOG", "LEN")).toBe("(3)");
  const got = await w.do("SLOWLOG", "GET", 3);
  const shown = many.slice(0, 30).map((m) => `"${m}"`);
  expect(got).toMatch(/^\[\[\(\d+\), \(\d{10}\), \(\d+\), \["SLOWLOG", "LEN"\], "127\.0\.0\.1:\d+", "me"\], /);
  expect(got).toContain('["AUTH", "(redacted)", "(redacted)"]');
  await w.do("ACL", "SETUSER", "u", ">secret");
  expect(await w.do("SLOWLOG", "GET", 1)).toContain('["ACL", "SETUSER", "(redacted)", "(redacted)"]');
  expect(got).toContain(`["DEL", ${shown.join(", ")}, "... (10 more arguments)"]`);
  await w.do("SET", "a", "x".repeat(130));
  expect(await w.do("SLOWLOG", "GET", 1)).toContain(`["SET", "a", "${"x".repeat(128)}... (2 more bytes)"]`);
  expect(await w.do("SLOWLOG", "GET", "-2")).toBe("-ERR count should be greater than or equal to -1");
  expect(await w.do("SLOWLOG", "GET", "a")).toBe("-ERR count should be greater than or equal to -1");
  expect(await w.do("SLOWLOG", "GET", 1, 2)).toBe("-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.");
  s.settings.slowlogSlowerThanMicros = -1;
  s.service.configure();
  await w.do("SLOWLOG", "RESET");
  await w.do("GET", "a");
  expect(await w.do("SLOWLOG", "GET")).toBe("[]");
});

test("MONITOR shows commands in order, with EXEC's own, without secrets and admin commands", async () => {
  await using s = SmallServer.start();
  const m = await s.connect();
  const w = await s.connect();
  const u = await s.connect(2, true);
  expect(await m.do("MONITOR")).toBe("+OK");
  await w.do("SET", "a\n", '"\x00\xff');
  await w.do("CLIENT", "LIST");
  await w.do("AUTH", "default", "secret");
  await w.do("MULTI");
  await w.do("GET", "a");
  await w.do("EXEC");
  await u.do("SELECT", 2);
  const line = async (): Promise<string> => (await m.next()).replace(/^\+\d{10}\.\d{6} /, "");
  const who = s.service.dispatcher.clients.get(2)!.remote;
  expect(await line()).toBe(`[0 ${who}] "SET" "a\\n" "\\"\\x00\\xff"`);
  expect(await line()).toBe(`[0 ${who}] "AUTH" "(redacted)" "(redacted)"`);
  expect(await line()).toBe(`[0 ${who}] "MULTI"`);
  expect(await line()).toBe(`[0 ${who}] "GET" "a"`);
  expect(await line()).toBe(`[0 ${who}] "EXEC"`);
  expect(await line()).toBe(`[2 unix:${s.path}] "SELECT" "2"`);
  expect(await m.do("GET", "a")).toBe("-ERR Replica can't interact with the keyspace");
  expect(JSON.parse(await w.do("CLIENT", "LIST"))).toContain("flags=O ");
  expect(await m.do("RESET")).toBe("+RESET");
  expect(s.service.dispatcher.observers.monitor).toBeNull();
  expect(await m.do("GET", "a")).toBe("nil");
});

test("a blocked command is monitored once, counted when it is done", async () => {
  await using s = SmallServer.start();
  const m = await s.connect();
  await m.do("MONITOR");
  const a = await s.connect();
  const p = await s.connect();
  a.send("BLPOP", "k", 0);
  await until("blocked", () => s.service.blockedClients === 1);
  expect(s.service.dispatcher.table.named("blpop")!.calls).toBe(0);
  await p.do("RPUSH", "k", 1);
  await a.next();
  await p.do("PING");
  expect(await m.next()).toContain('"BLPOP" "k" "0"');
  expect(await m.next()).toContain('"RPUSH" "k" "1"');
  expect(await m.next()).toContain('"PING"');
  expect(s.service.dispatcher.table.named("blpop")!.calls).toBe(1);
});

test("command statistics: calls, rejected, failed; CONFIG RESETSTAT's part", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  const get = s.service.dispatcher.table.named("get")!;
  await w.do("GET", "a");
  await w.do("GET");
  await w.do("RPUSH", "l", 1);
  await w.do("GET", "l");
  expect([get.calls, get.rejected, get.failed]).toEqual([2, 1, 1]);
  expect(get.usec).toBeGreaterThan(0);
  expect(get.histogram).not.toBeNull();
  expect(s.service.errors.total).toBe(2);
  s.service.resetStats();
  expect([get.calls, get.rejected, get.failed, get.histogram, s.service.errors.total]).toEqual([0, 0, 0, null, 0]);
});

test("the latency histogram keeps two digits", () => {
  const command = new Command({ name: "x", arity: 1, flags: 0 }, 0, () => {}, 0, null, false);
  for (let us = 1; us <= 1000; us++) recordLatency(command, us);
  const h = command.histogram!;
  for (const p of [50, 90, 99]) {
    const us = percentileNs(h, p) / 1000;
    expect(Math.abs(us - p * 10) / (p * 10)).toBeLessThan(0.01);
  }
  expect(percentileNs(h, 100)).toBeGreaterThanOrEqual(1000000);
  const { calls, steps } = cumulativeMicros(h);
  expect(calls).toBe(1000);
  expect(steps.map(([us]) => us)).toEqual([1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056]);
  expect(steps.at(-1)![1]).toBe(1000);
  for (const [us, n] of steps) if (us < 1000) expect(Math.abs(n - us)).toBeLessThanOrEqual(Math.ceil(us * 0.01));
  recordLatency(command, 5e6);
  recordLatency(command, 0);
  expect(percentileNs(h, 100)).toBeGreaterThanOrEqual(1e9);
  expect(percentileNs(new Uint32Array(10), 50)).toBe(0);
});

test("tracking: read keys are told once, in RESP3 pushes", async () => {
  await using s = SmallServer.start();
  const w = await s.connect(3);
  const o = await s.connect();
  await w.do("CLIENT", "TRACKING", "ON");
  expect(await w.do("CLIENT", "TRACKINGINFO")).toBe('{"flags": ~["on"], "redirect": (0), "prefixes": []}');
  expect(await w.do("CLIENT", "GETREDIR")).toBe("(0)");
  await w.do("GET", "a");
  expect(s.service.tracking.items).toBe(1);
  await o.do("SET", "a", 1);
  await o.do("SET", "a", 2);
  const pushed = async (): Promise<string> => w.pushes.shift() ?? (await w.next());
  expect(await pushed()).toBe('>["invalidate", ["a"]]');
  expect(s.service.tracking.totalKeys).toBe(0);
  await w.do("GET", "a");
  s.service.tracking.flushed();
  expect(await pushed()).toBe('>["invalidate", nil3]');
  await w.do("CLIENT", "TRACKING", "OFF");
  expect(s.service.tracking.clients).toBe(0);
  expect(await w.do("CLIENT", "TRACKINGINFO")).toBe('{"flags": ~["off"], "redirect": (-1), "prefixes": []}');
});

test("tracking: REDIRECT to a RESP2 subscriber, and when it is gone", async () => {
  await using s = SmallServer.start();
  const target = await s.connect();
  const id = (await target.do("CLIENT", "ID")).slice(1, -1);
  await target.do("SUBSCRIBE", "__redis__:invalidate");
  const w = await s.connect(3);
  const o = await s.connect();
  expect(await w.do("CLIENT", "TRACKING", "ON", "REDIRECT", "12345")).toBe("-ERR The client ID you want redirect to does not exist");
  expect(await w.do("CLIENT", "TRACKING", "ON", "REDIRECT", id)).toBe("+OK");
  await w.do("GET", "a");
  await o.do("SET", "a", 1);
  expect(await target.next()).toBe('["message", "__redis__:invalidate", ["a"]]');
  await w.do("GET", "a");
  target.close();
  await until("gone", () => s.service.dispatcher.clients.size === 2);
  await o.do("SET", "a", 2);
  expect(w.pushes.shift() ?? (await w.next())).toBe(`>["tracking-redir-broken", (${id})]`);
  expect(await w.do("CLIENT", "TRACKINGINFO")).toContain('~["on", "broken_redirect"]');
});

test("tracking: OPTIN, OPTOUT, CACHING, BCAST, NOLOOP and their quarrels", async () => {
  await using s = SmallServer.start();
  const w = await s.connect(3);
  const o = await s.connect();
  const pushed = async (): Promise<string> => w.pushes.shift() ?? (await w.next());
  expect(await w.do("CLIENT", "CACHING", "YES")).toContain("-ERR CLIENT CACHING can be called only when the client is in tracking mode");
  expect(await w.do("CLIENT", "TRACKING", "ON", "OPTIN", "OPTOUT")).toBe("-ERR You can't specify both OPTIN mode and OPTOUT mode");
  await w.do("CLIENT", "TRACKING", "ON", "OPTIN");
  await w.do("GET", "a");
  expect(s.service.tracking.items).toBe(0);
  await w.do("CLIENT", "CACHING", "YES");
  await w.do("GET", "a");
  await w.do("GET", "b");
  expect(s.service.tracking.items).toBe(1);
  expect(await w.do("CLIENT", "TRACKING", "ON", "BCAST")).toContain("-ERR You can't switch BCAST mode on/off before disabling");
  await w.do("CLIENT", "TRACKING", "OFF");
  expect(await w.do("CLIENT", "TRACKING", "ON", "PREFIX", "a")).toBe("-ERR PREFIX option requires BCAST mode to be enabled");
  expect(await w.do("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a", "PREFIX", "ab")).toBe(
    "-ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.",
  );
  await w.do("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "ab", "PREFIX", "c", "NOLOOP");
  expect(await w.do("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a")).toBe(
    "-ERR Prefix 'a' overlaps with an existing prefix 'ab'. Prefixes for a single client must not overlap.",
  );
  expect(await w.do("CLIENT", "TRACKINGINFO")).toBe('{"flags": ~["on", "bcast", "noloop"], "redirect": (0), "prefixes": ["ab", "c"]}');
  await w.do("SET", "abz", 1);
  await o.do("SET", "x", 1);
  o.raw("SET abc 1\r\nSET abd 1\r\nSET a 1\r\n");
  expect(await pushed()).toBe('>["invalidate", ["abc", "abd"]]');
  await w.do("RESET");
  expect(s.service.tracking.totalPrefixes).toBe(0);
});

test("LATENCY: events over the threshold, history, graph, reset; histograms", async () => {
  await using s = SmallServer.start();
  const w = await s.connect();
  expect(await w.do("LATENCY", "LATEST")).toBe("[]");
  expect(await w.do("LATENCY", "GRAPH", "x")).toBe("-ERR No samples available for event 'x'");
  s.service.latency.add("expire-cycle", 50);
  expect(await w.do("LATENCY", "LATEST")).toBe("[]");
  // Far above what any real command can take here: a busy machine would add events of its own.
  s.settings.latencyMonitorMs = 10_000;
  s.service.configure();
  s.service.latency.add("expire-cycle", 9_000);
  s.service.latency.add("expire-cycle", 50_000.7);
  s.service.latency.add("expire-cycle", 20_000);
  expect(await w.do("LATENCY", "LATEST")).toMatch(/^\[\["expire-cycle", \(\d{10}\), \(50000\), \(50000\)\]\]$/);
  expect(await w.do("LATENCY", "HISTORY", "expire-cycle")).toMatch(/^\[\[\(\d{10}\), \(50000\)\]\]$/);
  expect(await w.do("LATENCY", "HISTORY", "none")).toBe("[]");
  expect(JSON.parse(await w.do("LATENCY", "GRAPH", "expire-cycle"))).toMatch(
    /^expire-cycle - high 50000 ms, low 50000 ms \(all time high 50000 ms\)\n-{80}\n \n \n \n_\n \n\d\ns\n$/,
  );
  expect(JSON.parse(await w.do("LATENCY", "DOCTOR"))).toContain("1. expire-cycle: 1 latency spikes (average 50000ms");
  expect(await w.do("LATENCY", "RESET", "EXPIRE-CYCLE", "x")).toBe("(1)");
  expect(await w.do("LATENCY", "LATEST")).toBe("[]");
  s.service.resetStats();
  await w.do("GET", "a");
  await w.do("CLIENT", "ID");
  expect(await w.do("LATENCY", "HISTOGRAM", "get", "set", "nosuch")).toMatch(
    /^\["get", \["calls", \(1\), "histogram_usec", \[\(\d+\), \(1\)\]\]\]$/,
  );
  expect(await w.do("LATENCY", "HISTOGRAM", "client")).toContain('"client|id"');
});

test("maxmemory-clients: the most expensive goes first, NO-EVICT stays", async () => {
  await using s = SmallServer.start();
  const big = await s.connect();
  const spared = await s.connect();
  const small = await s.connect();
  await spared.do("CLIENT", "NO-EVICT", "ON");
  await small.do("PING");
  for (const w of [big, spared]) w.raw(`*2\r\n$3\r\nGET\r\n$400000\r\n${"x".repeat(300000)}`);
  await until("their bytes", () => [...s.service.dispatcher.clients.values()].filter((c) => c.restLength > 290000).length === 2);
  s.settings.maxMemoryClientsBytes = 900000;
  s.service.configure();
  expect(s.service.registry.evictedClients).toBe(0);
  s.settings.maxMemoryClientsBytes = 500000;
  s.service.configure();
  expect(await big.next()).toBe("closed");
  expect(s.service.registry.evictedClients).toBe(1);
  await small.do("MULTI");
  spared.raw(`${"x".repeat(100000)}\r\n`);
  expect(await spared.next()).toBe("nil");
  // What MULTI has queued counts, and so does a request about to run.
  for (let i = 0; i < 40; i++) small.send("SET", "k", "x".repeat(20000));
  await until("small gone", () => s.service.registry.evictedClients === 2);
  const other = await s.connect();
  other.raw(`*2\r\n$3\r\nGET\r\n$600000\r\n${"x".repeat(600000)}\r\n`);
  expect(await other.next()).toBe("closed");
  expect(s.logged.some((l) => l.startsWith("notice: Evicting client: id="))).toBe(true);
});

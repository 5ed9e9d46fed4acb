/** Mode redis without a network: what becomes of each command, what is under way, how times are counted, how parts are joined. */
import { expect, test } from "bun:test";
import { rowTable } from "../../../lib/commands/table/index.ts";
import { readConfig } from "../../../lib/config/haproxy_read.ts";
import * as plan from "../../../lib/proxy/core/redis_plan.ts";
import { classesOf } from "../../../lib/proxy/core/request_class.ts";
import { SharedFlight } from "../../../lib/proxy/core/shared_flight.ts";
import { configOf } from "../../../lib/proxy/redis/discover.ts";
import { joined, scanCursor } from "../../../lib/proxy/redis/gather.ts";
import { bucketOf, edgeOf, Meter } from "../../../lib/proxy/redis/meter.ts";

const table = rowTable("server");
const classes = classesOf(table);
const codes = plan.planOf(table, classes);
const codeOf = (name: string): number => codes[table.get(name)!.id]!;

test("every command that blocks, subscribes or opens a transaction has a connection of its own; everyday ones share", () => {
  for (const name of [
    "blpop",
    "brpop",
    "blmove",
    "bzpopmin",
    "bzmpop",
    "multi",
    "watch",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "monitor",
    "sync",
    "psync",
    "replconf",
    "client|reply",
    "client|tracking",
    "client|no-evict",
    "client|pause",
    "script|kill",
    "shutdown",
  ])
    expect([name, codeOf(name)]).toEqual([name, plan.PIN]);
  for (const name of [
    "get",
    "set",
    "mget",
    "incr",
    "evalsha",
    "hset",
    "zadd",
    "xadd",
    "ping",
    "info",
    "config|get",
    "dbsize",
    "flushall",
    "exec",
    "discard",
  ])
    expect([name, codeOf(name)]).toEqual([name, plan.SHARED]);
  for (const name of ["client|id", "client|list", "client|kill", "client|setname", "client|info"]) expect(codeOf(name)).toBe(plan.LOCAL);
  for (const name of ["eval", "eval_ro", "script|load"]) expect(codeOf(name)).toBe(plan.SCRIPT);
  expect([codeOf("config"), codeOf("xread"), codeOf("wait"), codeOf("publish")]).toEqual([
    plan.CONTAINER,
    plan.XREAD,
    plan.WAIT,
    plan.PUBLISH,
  ]);
});

test("what is under way keeps owner, number and bytes over any growth", () => {
  const flight = new SharedFlight<string>(1 << 20);
  let at = 0;
  const sent: [string, number, string][] = [];
  let head = 0;
  for (let i = 0; i < 5000; i++) {
    const text = `request ${i};`;
    flight.push(`owner${i % 7}`, i, 1 + (i % 3), i % 400, text.length, i);
    flight.requests.keep(Buffer.from(text), at);
    at += text.length;
    sent.push([`owner${i % 7}`, i, text]);
    if (i % 5 === 4)
      for (let k = 0; k < 4; k++) {
        const [owner, number, bytes] = sent[head]!;
        const c = flight.cursor;
        expect([flight.ownerAt(c), flight.numberAt(c), flight.timeAt(c), flight.rowAt(c)]).toEqual([owner, number, number, number % 400]);
        const from = flight.requests.headAt;
        expect(Buffer.concat(flight.requests.bytes(from, from + flight.requests.lengthAt(c))!).toString()).toBe(bytes);
        flight.answered();
        head++;
      }
  }
  expect(flight.awaiting).toBe(5000 - head);
});

test("buckets of times rise, and hold what falls into them", () => {
  let last = -1;
  for (let us = 0; us < 20_000_000; us = Math.ceil(us * 1.01) + 1) {
    const b = bucketOf(us);
    expect(b).toBeGreaterThanOrEqual(last);
    if (b < 95) expect(us).toBeLessThan(edgeOf(b));
    if (b > 0) expect(us).toBeGreaterThanOrEqual(edgeOf(b - 1));
    last = b;
  }
  const meter = new Meter(table);
  const row = table.get("get")!.id;
  for (let i = 0; i < 1000; i++) meter.answered(row, i < 990 ? 0.1 : 50, 5, i === 0 ? 45 : 36);
  expect([meter.calls[row], meter.errors[row], meter.bytes[row]]).toEqual([1000, 1, 5000]);
  expect(meter.percentile(row, 0.5)).toBeLessThan(0.2);
  expect(meter.percentile(row, 0.999)).toBeGreaterThan(49);
});

test("parts of a request over several nodes become one reply", () => {
  const b = (...t: string[]): Buffer[] => t.map((x) => Buffer.from(x));
  const text = (j: Parameters<typeof joined>[0], ...parts: string[]): string => joined(j, b(...parts)).toString();
  expect(text({ kind: "sum" }, ":2\r\n", ":40\r\n")).toBe(":42\r\n");
  expect(text({ kind: "all" }, "+OK\r\n", "+OK\r\n")).toBe("+OK\r\n");
  expect(text({ kind: "sum" }, ":2\r\n", "-OOM no\r\n")).toBe("-OOM no\r\n");
  const places = [[0, 3], [1, 2]]; // prettier-ignore
  expect(text({ kind: "place", places }, "*2\r\n$1\r\na\r\n$-1\r\n", "*2\r\n$2\r\nb\n\r\n_\r\n")).toBe(
    "*4\r\n$1\r\na\r\n$2\r\nb\n\r\n_\r\n$-1\r\n",
  );
  expect(text({ kind: "concat" }, "*1\r\n$1\r\na\r\n", "*0\r\n")).toBe("*1\r\n$1\r\na\r\n");
  // A SCAN goes through all nodes, each to its end.
  const reply = (cursor: string): string => `*2\r\n$${cursor.length}\r\n${cursor}\r\n*0\r\n`;
  expect(text({ kind: "scan", node: 1, nodes: 3 }, reply("18446744073709551615"))).toContain(String(18446744073709551615n * 3n + 1n));
  expect(text({ kind: "scan", node: 1, nodes: 3 }, reply("0"))).toContain("\r\n2\r\n");
  expect(text({ kind: "scan", node: 2, nodes: 3 }, reply("0"))).toBe(reply("0"));
  expect(scanCursor(18446744073709551615n * 3n + 1n, 3)).toEqual({ node: 1, inner: 18446744073709551615n });
});

test("without a file every set has a section, the first on 6378, the next ones below it", () => {
  const { text, ports } = configOf([
    { name: "zoo", sentinels: ["127.0.0.1:26379"] },
    { name: "main", sentinels: ["127.0.0.1:26379", "10.0.0.2:26379"] },
  ]);
  expect(ports).toEqual([6378, 6377]);
  const { config, findings } = readConfig([{ name: "built-in", text }]);
  expect(findings).toEqual([]);
  expect(config.proxies.map((p) => [p.name, p.mode, p.binds[0]!.port, p.sentinels.length])).toEqual([
    ["main", "redis", 6378, 2],
    ["zoo", "redis", 6377, 1],
  ]);
});

test("mistakes of mode redis are found when the file is read", () => {
  const first = (lines: string): string =>
    readConfig([
      { name: "f", text: `defaults\nmode redis\ntimeout connect 1s\ntimeout client 1s\ntimeout server 1s\nlisten r\nbind :1\n${lines}\n` },
    ]).findings[0]?.text ?? "";
  expect(first("sentinel m 127.0.0.1:1")).toBe("");
  expect(first("")).toContain("has no server, no 'sentinel' and no 'redis-cluster' line");
  expect(first("redis-pool 0\nserver a :1")).toContain("'redis-pool' expects a number of connections from 1 to 1024");
  expect(first("redis-read some\nserver a :1")).toContain("'redis-read' expects 'master', 'replica' or 'prefer-replica'");
  expect(first("redis-user a\nserver a :1")).toContain("'redis-user' expects <name> <password>");
  expect(first("sentinel m :1\nsentinel n :1")).toContain("name several masters");
  expect(first("server a :1\nfrontend f\nmode tcp\nbind :2\ndefault_backend r")).toContain("both need 'mode redis'");
});

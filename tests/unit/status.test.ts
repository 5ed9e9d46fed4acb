/** --status: what it finds wrong with a set, one test a finding, and what it draws. The asking itself: tests/e2e/status.test.ts. */
import { describe, expect, test } from "bun:test";
import { infoFields, parseInfo } from "../../lib/fleet/replication.ts";
import type { Facts, SentinelFacts, ServerFacts } from "../../lib/status/facts.ts";
import { judge } from "../../lib/status/judge.ts";
import { readStatusOptions } from "../../lib/status/main.ts";
import { draw, failoverLine, toJson } from "../../lib/status/view.ts";

function server(port: number, lines: Record<string, string | number>): ServerFacts {
  const all = { run_id: String(port).repeat(10), redis_version: "7.2.4", tcp_port: port, ...lines };
  const text = Object.entries(all)
    .map(([k, v]) => `${k}:${v}`)
    .join("\r\n");
  const address = { host: "10.0.0.1", port };
  return { kind: "server", address, names: [address], error: null, info: parseInfo(text), pingMs: 0.2, fields: infoFields(text) };
}

const master = (more: Record<string, string | number> = {}): ServerFacts =>
  server(6379, {
    role: "master",
    master_repl_offset: 1000,
    connected_slaves: 1,
    slave0: "ip=10.0.0.1,port=6380,state=online,offset=1000,lag=0",
    ...more,
  });
const replica = (more: Record<string, string | number> = {}): ServerFacts =>
  server(6380, { role: "slave", master_host: "10.0.0.1", master_port: 6379, master_link_status: "up", slave_repl_offset: 1000, ...more });

function sentinel(port: number, more: Partial<SentinelFacts["masters"][0]> = {}, tilt = false): SentinelFacts {
  const address = { host: "10.0.0.1", port };
  const view = {
    name: "shop",
    address: { host: "10.0.0.1", port: 6379 },
    flags: ["master"],
    epoch: 3,
    quorum: 2,
    downAfterMs: 5000,
    otherSentinels: 2,
    replicas: [{ ip: "10.0.0.1", port: "6380", flags: "slave" }],
    peers: [],
    failovers: [],
    ...more,
  };
  return { kind: "sentinel", address, names: [address], error: null, id: `id${port}`, isRedisha: true, tilt, masters: [view] };
}

function facts(more: Partial<Facts> = {}): Facts {
  return {
    servers: [master(), replica()],
    sentinels: [sentinel(26379), sentinel(26380), sentinel(26381)],
    proxies: [],
    stats: [],
    unknown: [],
    ...more,
  };
}

function texts(f: Facts): string {
  const j = judge(f);
  return [...j.groups.flatMap((g) => g.findings), ...j.findings].map((x) => `${x.level}: ${x.text}`).join("\n");
}

test("a whole set is healthy and nothing is said", () => {
  expect(texts(facts())).toBe("");
  expect(judge(facts()).healthy).toBe(true);
  const picture = draw(facts(), judge(facts()));
  expect(picture[0]).toBe("shop: healthy");
  expect(picture.join("\n")).toContain("sentinel  10.0.0.1:26380  names 10.0.0.1:6379, epoch 3, quorum 2");
  expect(picture.at(-1)).toBe("healthy");
});

const three = (more: Partial<SentinelFacts["masters"][0]>): SentinelFacts[] => [26379, 26380, 26381].map((p) => sentinel(p, more));

describe("each finding speaks", () => {
  test.each([
    [
      "no answer",
      { unknown: [{ address: { host: "h", port: 1 }, error: "Connection refused" }] },
      "bad: h:1 does not answer: Connection refused.",
    ],
    [
      "statistics",
      { stats: [{ kind: "stats", address: { host: "/s", port: 0 }, path: "/s", error: "gone", rows: [] }] },
      "socket /s does not answer",
    ],
    ["TILT", { sentinels: [sentinel(26379, {}, true), sentinel(26380), sentinel(26381)] }, "is in TILT"],
    ["no Sentinel", { sentinels: [] }, "advice: No Sentinel watches this set"],
    ["no server", { servers: [], sentinels: [] }, "bad: No server answers."],
    ["no master", { servers: [replica()] }, "There is no master: writes are impossible. The Sentinels name 10.0.0.1:6379"],
    [
      "a master that is none",
      { servers: [server(6379, { role: "slave", master_host: "x", master_port: 1 }), replica()] },
      "should be the master and says that it is a replica of x:1",
    ],
    ["two masters", { servers: [master(), server(6380, { role: "master" })] }, "10.0.0.1:6380 says that it is a master too"],
    ["loading", { servers: [master({ loading: 1, loading_loaded_perc: "41.7" }), replica()] }, "is loading its data: 41 %"],
    ["save failed", { servers: [master({ rdb_last_bgsave_status: "err" }), replica()] }, "could not save its snapshot"],
    ["append failed", { servers: [master({ aof_last_write_status: "err" }), replica()] }, "cannot write its append only file"],
    ["rewrite failed", { servers: [master(), replica({ aof_last_bgrewrite_status: "err" })] }, "10.0.0.1:6380 could not rewrite"],
    ["no replica", { servers: [master()] }, "has no replica: nothing can take its place"],
    ["none in sync", { servers: [master(), replica({ master_link_status: "down" })] }, "No replica of 10.0.0.1:6379 is in sync"],
    [
      "no link",
      { servers: [master(), replica({ master_link_status: "down", master_link_down_since_seconds: 7 })] },
      "has had no link to its master 10.0.0.1:6379 for 7 s",
    ],
    ["syncing", { servers: [master(), replica({ master_link_status: "down", master_sync_in_progress: 1 })] }, "is being synchronised"],
    ["min replicas", { servers: [master({ min_slaves_good_slaves: 0 }), replica()] }, "refuses writes: fewer replicas"],
    [
      "memory",
      { servers: [master({ maxmemory: 100, used_memory: 99, maxmemory_policy: "noeviction" }), replica()] },
      "uses 99 % of maxmemory",
    ],
    [
      "lag",
      { servers: [master({ slave0: "ip=10.0.0.1,port=6380,state=online,offset=1,lag=30" }), replica()] },
      "has not acknowledged anything for 30 s",
    ],
    ["behind", { servers: [master({ master_repl_offset: 5e7 }), replica()] }, "48 MB behind"],
    ["priority", { servers: [master(), replica({ slave_priority: 0 })] }, "will never be promoted"],
    ["another master's replica", { servers: [master(), replica({ master_port: 7777 })] }, "follows 10.0.0.1:7777 and not the master"],
    ["minority", { sentinels: [sentinel(26379)] }, "1 of 3 Sentinels answer, 2 are needed"],
    ["quorum above all", { sentinels: three({ quorum: 4 }) }, "The quorum of shop is 4, but there are 3 Sentinels"],
    ["quorum above those that answer", { sentinels: three({ quorum: 3 }).slice(1) }, "The quorum of shop is 3, and 2 Sentinels answer"],
    [
      "different quorums",
      { sentinels: [sentinel(26379, { quorum: 1 }), sentinel(26380), sentinel(26381)] },
      "different quorums for shop: 1, 2",
    ],
    ["one Sentinel", { sentinels: [sentinel(26379, { otherSentinels: 0, quorum: 1 })] }, "One Sentinel alone cannot tell"],
    ["two Sentinels", { sentinels: [26379, 26380].map((p) => sentinel(p, { otherSentinels: 1 })) }, "Two Sentinels cannot tell"],
    [
      "no agreement",
      { sentinels: [sentinel(26379, { address: { host: "10.0.0.1", port: 6380 } }), sentinel(26380), sentinel(26381)] },
      "do not agree: 10.0.0.1:26379 say 10.0.0.1:6380",
    ],
    [
      "sdown",
      { sentinels: [sentinel(26379, { flags: ["s_down", "master"] }), sentinel(26380), sentinel(26381)] },
      "1 of 3 Sentinels see the master",
    ],
    ["odown", { sentinels: three({ flags: ["s_down", "o_down", "master"] }) }, "is down for the quorum"],
    ["failover", { sentinels: three({ flags: ["master", "failover_in_progress"] }) }, "A failover is under way"],
    [
      "unknown replica",
      { sentinels: [sentinel(26379, { replicas: [] }), sentinel(26380), sentinel(26381)] },
      "does not know 10.0.0.1:6380 yet",
    ],
    [
      "a dead replica listed",
      {
        sentinels: three({
          replicas: [
            { ip: "10.0.0.1", port: "6380", flags: "slave" },
            { ip: "10.0.0.1", port: "9", flags: "s_down,slave" },
          ],
        }),
      },
      "SENTINEL RESET shop forgets it",
    ],
    [
      "a proxy astray",
      {
        proxies: [
          { kind: "proxy", address: { host: "p", port: 1 }, error: null, runId: replica().info!.runId, serverPort: 6380, role: "replica" },
        ],
      },
      "The proxy at p:1 leads to 10.0.0.1:6380, which is no master",
    ],
  ] as [string, Partial<Facts>, string][])("%s", (_name, more, text) => {
    expect(texts(facts(more))).toContain(text);
  });
});

test("failovers, votes, and the same for programs", () => {
  const failover = {
    epoch: 3,
    reason: "down",
    result: "done",
    startIso: "2026-11-29T02:41:03.123Z",
    from: "10.0.0.1:6380",
    to: "10.0.0.1:6379",
    leader: "id26380",
    steps: [
      { event: "+odown", ms: 2 },
      { event: "+switch-master", ms: 90 },
    ],
  };
  expect(failoverLine(failover)).toBe(
    "2026-11-29 02:41:03Z  10.0.0.1:6380 -> 10.0.0.1:6379  down, done in 90 ms: +odown 2, +switch-master 90",
  );
  const peers = [{ runid: "id26380", "voted-leader": "id26379", "voted-leader-epoch": "3" }];
  // The leader's memory is shown, and not that of one who only watched.
  const observed = { ...failover, reason: "observed", leader: "", steps: [] };
  const f = facts({
    sentinels: [sentinel(26379, { peers, failovers: [observed] }), sentinel(26380, { failovers: [failover] }), sentinel(26381)],
  });
  const picture = draw(f, judge(f)).join("\n");
  expect(picture).toContain("voted for 10.0.0.1:26379 in epoch 3");
  expect(picture).toContain("+switch-master 90");
  const json = toJson(f, judge(f)) as any;
  expect([json.healthy, json.sets[0].master.address, json.sets[0].replicas[0].link, json.sets[0].failovers]).toEqual([
    true,
    "10.0.0.1:6379",
    "up",
    [failover],
  ]);
});

test("the command line", () => {
  const o = readStatusOptions(["h:1", "[::1]:2", "3", "/run/s.sock", "--watch", "0.5", "--json", "-a", "x"], {});
  expect(o).toMatchObject({
    addresses: [
      { host: "h", port: 1 },
      { host: "::1", port: 2 },
      { host: "127.0.0.1", port: 3 },
    ],
    sockets: ["/run/s.sock"],
    guessed: false,
    watchMs: 500,
    json: true,
    access: { password: "x" },
  });
  expect(readStatusOptions([], { REDISCLI_AUTH: "y" })).toMatchObject({ guessed: true, access: { password: "y" } });
  expect(readStatusOptions(["--watch", "6379"], {})).toMatchObject({ watchMs: 1000, addresses: [{ port: 6379 }] });
  expect(readStatusOptions(["--nonsense"], {})).toBe("unknown option '--nonsense'");
  expect(readStatusOptions(["a b"], {})).toContain("'a b' is no address");
  expect(readStatusOptions(["-a"], {})).toBe("-a wants a value");
});

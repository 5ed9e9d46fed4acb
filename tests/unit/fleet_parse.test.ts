/** lib/fleet's readers: hellos, INFO and ROLE, replication histories, Sentinel's events. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatHello, isLoopback, parseHello, plausibleHello, sameAddress, showAddress } from "../../lib/fleet/hello.ts";
import { parseInfo, parseRole } from "../../lib/fleet/replication.ts";
import { continues, lineage, NO_REPLID } from "../../lib/fleet/lineage.ts";
import type { FailoverHold } from "../../lib/fleet/authority.ts";
import { eventInstance, failoverHold, SELECTED_HOLD_MS, SWITCH_HOLD_MS, TRY_HOLD_MS } from "../../lib/fleet/failover_hold.ts";

const RUN = "0123456789abcdef0123456789abcdef01234567";

test("a hello has exactly 8 fields", () => {
  const csv = `127.0.0.1,26379,${RUN},7,mymaster,127.0.0.1,6379,5`;
  expect(parseHello(csv)).toEqual({
    host: "127.0.0.1",
    port: 26379,
    runId: RUN,
    currentEpoch: 7,
    masterName: "mymaster",
    masterHost: "127.0.0.1",
    masterPort: 6379,
    configEpoch: 5,
  });
  expect(parseHello(csv + ",x")).toBeNull();
  expect(parseHello(csv.slice(0, csv.lastIndexOf(",")))).toBeNull();
  expect(parseHello("")).toBeNull();
});

test("hello numbers are read as atoi does, and nonsense is not worth dialing", () => {
  const h = parseHello(`h,junk,${RUN},-3,m,h2,6379x,`)!;
  expect([h.port, h.currentEpoch, h.masterPort, h.configEpoch]).toEqual([0, 0, 6379, 0]);
  expect(plausibleHello(h)).toBe(false);
  expect(plausibleHello({ ...h, port: 1 })).toBe(true);
  expect(plausibleHello({ ...h, port: 65536 })).toBe(false);
  expect(plausibleHello({ ...h, port: 1, runId: "short" })).toBe(false);
  expect(plausibleHello({ ...h, port: 1, host: "" })).toBe(false);
});

test("formatHello and parseHello are inverse", () => {
  const word = fc.stringMatching(/^[a-z0-9.:-]{1,20}$/);
  const port = fc.integer({ min: 1, max: 65535 });
  const epoch = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  const hello = fc.record({
    host: word,
    port,
    runId: fc.stringMatching(/^[0-9a-f]{40}$/),
    currentEpoch: epoch,
    masterName: word,
    masterHost: word,
    masterPort: port,
    configEpoch: epoch,
  });
  fc.assert(fc.property(hello, (h) => expect(parseHello(formatHello(h))).toEqual(h)));
});

test("addresses", () => {
  expect(showAddress({ host: "::1", port: 1 })).toBe("[::1]:1");
  expect(showAddress({ host: "a", port: 1 })).toBe("a:1");
  expect(sameAddress({ host: "Redis-0", port: 1 }, { host: "redis-0", port: 1 })).toBe(true);
  expect(sameAddress({ host: "a", port: 1 }, { host: "a", port: 2 })).toBe(false);
  expect(["127.0.0.1", "127.8.0.1", "localhost", "::1", "::ffff:127.0.0.1"].every(isLoopback)).toBe(true);
  expect(["128.0.0.1", "10.127.0.1", "::2", "localhost.example"].some(isLoopback)).toBe(false);
});

test("INFO of a master", () => {
  const info = parseInfo(
    `# Server\r\nredis_version:7.0.15\r\nrun_id:${RUN}\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n` +
      "slave0:ip=127.0.0.1,port=6380,state=online,offset=98,lag=1\r\nslave1:ip=::1,port=6381,state=wait_bgsave,offset=0,lag=0\r\n" +
      `master_failover_state:no-failover\r\nmaster_replid:${RUN}\r\nmaster_replid2:${NO_REPLID}\r\nmaster_repl_offset:98\r\nsecond_repl_offset:-1\r\n`,
  );
  expect(info.role).toBe("master");
  expect(info.runId).toBe(RUN);
  expect(info.connectedReplicas).toBe(2);
  expect(info.replicas).toEqual([
    { host: "127.0.0.1", port: 6380, state: "online", offset: 98, lagSeconds: 1 },
    { host: "::1", port: 6381, state: "wait_bgsave", offset: 0, lagSeconds: 0 },
  ]);
  expect(info.history).toEqual({ replid: RUN, replid2: NO_REPLID, secondOffset: -1, offset: 98 });
  expect(info.failoverState).toBe("no-failover");
  expect(info.version).toBe("7.0.15");
});

test("INFO of a replica, and of an old or silent server", () => {
  const info = parseInfo(
    "role:slave\r\nmaster_host:h\r\nmaster_port:6379\r\nmaster_link_status:down\r\nmaster_sync_in_progress:1\r\nslave_repl_offset:50\r\n" +
      "master_link_down_since_seconds:12\r\nslave_priority:5\r\nreplica_announced:0\r\nmaster_repl_offset:40\r\n",
  );
  expect(info).toMatchObject({
    role: "replica",
    masterHost: "h",
    masterPort: 6379,
    masterLinkUp: false,
    syncInProgress: true,
    offset: 50,
    masterLinkDownSeconds: 12,
    priority: 5,
    announced: false,
  });
  const none = parseInfo("");
  expect(none).toMatchObject({ role: "unknown", priority: 100, announced: true, runId: "", offset: -1 });
  expect(parseInfo("role:master\r\nslave0:10.0.0.1,6380,online\r\n").replicas[0]).toMatchObject({ host: "10.0.0.1", port: 6380 });
});

test("ROLE", () => {
  expect(parseRole(["master", 10, [["127.0.0.1", "6380", "9"]]])).toEqual({
    role: "master",
    offset: 10,
    replicas: [{ host: "127.0.0.1", port: 6380, offset: 9 }],
  });
  expect(parseRole(["slave", "h", 6379, "connected", 5])).toEqual({
    role: "replica",
    master: { host: "h", port: 6379 },
    link: "connected",
    offset: 5,
  });
  expect(parseRole(["sentinel", ["a"]])).toEqual({ role: "sentinel", masters: ["a"] });
  expect(parseRole("ERR")).toBeNull();
  expect(parseRole(null)).toBeNull();
});

const h = (replid: string, offset: number, replid2 = NO_REPLID, secondOffset = -1) => ({ replid, replid2, secondOffset, offset });

test("lineage: replica, promoted, promoted twice, forked", () => {
  expect(lineage(h("A", 10), h("A", 7))).toEqual({ kind: "same" });
  expect(lineage(h("B", 12, "A", 8), h("A", 10))).toEqual({ kind: "successor", divergedBytes: 3 });
  expect(lineage(h("B", 12, "A", 8), h("A", 7))).toEqual({ kind: "successor", divergedBytes: 0 });
  expect(lineage(h("A", 10), h("B", 12, "A", 8))).toEqual({ kind: "predecessor", divergedBytes: 3 });
  expect(lineage(h("B", 12, "A", 8), h("C", 12, "A", 5))).toEqual({ kind: "siblings", aheadBytes: 3 });
  expect(lineage(h("A", 1), h("B", 1))).toEqual({ kind: "unrelated" });
  expect(lineage(h("C", 1, "B", 9), h("A", 1))).toEqual({ kind: "unrelated" });
});

test("lineage: what was not told proves nothing", () => {
  expect(lineage(h("", 1), h("", 1)).kind).toBe("unrelated");
  expect(lineage(h("?", 1), h("?", 1)).kind).toBe("unrelated");
  expect(lineage(h("A", 1), h("B", 1)).kind).toBe("unrelated"); // both replid2 are zeros
  expect(lineage(h(NO_REPLID, 1), h("B", 1, NO_REPLID)).kind).toBe("unrelated");
  expect(continues(null, h("A", 1))).toBe(false);
  expect(continues(h("B", 1, "A", 1), h("A", 1))).toBe(true);
  expect(continues(h("A", 1), h("B", 1, "A", 1))).toBe(false);
});

test("lineage is symmetric", () => {
  const id = fc.constantFrom("A", "B", "C", NO_REPLID, "");
  const n = fc.integer({ min: -1, max: 20 });
  const history = fc.record({ replid: id, replid2: id, secondOffset: n, offset: n });
  const mirror = { same: "same", successor: "predecessor", predecessor: "successor", siblings: "siblings", unrelated: "unrelated" };
  fc.assert(
    fc.property(history, history, (a, b) => {
      // A history that is its own parent, or two that are each other's at one offset, do not exist.
      fc.pre(a.replid !== a.replid2 && b.replid !== b.replid2 && (a.secondOffset !== b.secondOffset || a.replid !== b.replid2));
      expect(lineage(b, a).kind).toBe(mirror[lineage(a, b).kind] as "same");
    }),
  );
});

test("event payloads name their instance and master", () => {
  expect(eventInstance("+try-failover", "master mymaster 127.0.0.1 6379")).toEqual({
    type: "master",
    name: "mymaster",
    address: { host: "127.0.0.1", port: 6379 },
    masterName: "mymaster",
  });
  expect(eventInstance("+selected-slave", "slave 127.0.0.1:6380 127.0.0.1 6380 @ mymaster 127.0.0.1 6379")).toMatchObject({
    type: "slave",
    address: { host: "127.0.0.1", port: 6380 },
    masterName: "mymaster",
  });
  expect(eventInstance("+switch-master", "mymaster 127.0.0.1 6379 127.0.0.1 6380")!.masterName).toBe("mymaster");
  expect(eventInstance("+new-epoch", "5")).toBeNull();
});

test("an announced failover holds shortly, longer once a replica is selected, and not after an abort", () => {
  const m = "master mymaster h 1";
  const s = "slave h:2 h 2 @ mymaster h 1";
  const hold = failoverHold(null, "S1", "mymaster", "+try-failover", m, 1000)!;
  expect(hold).toEqual({ sentinelId: "S1", sinceMs: 1000, untilMs: 1000 + TRY_HOLD_MS, selected: null });
  expect(failoverHold(hold, "S2", "mymaster", "+try-failover", m, 1400)).toBe(hold);
  expect(failoverHold(hold, "S2", "mymaster", "-failover-abort-not-elected", m, 1400)).toBe(hold);
  expect(failoverHold(hold, "S1", "mymaster", "-failover-abort-not-elected", m, 1400)!.untilMs).toBe(1400);
  expect(failoverHold(hold, "S1", "other", "-failover-abort-not-elected", m, 1400)).toBe(hold);
  const long = failoverHold(hold, "S1", "mymaster", "+selected-slave", s, 1200)!;
  expect(long).toEqual({ sentinelId: "S1", sinceMs: 1000, untilMs: 1200 + SELECTED_HOLD_MS, selected: { host: "h", port: 2 } });
  // Success ends nothing here: the authority moves on when a majority has.
  expect(failoverHold(long, "S3", "mymaster", "+switch-master", "mymaster h 1 h 2", 1300)).toBe(long);
  expect(failoverHold(long, "S1", "mymaster", "+failover-end", m, 1300)).toBe(long);
});

test("a switch that comes unannounced holds the old master until a majority can be asked", () => {
  const hold = failoverHold(null, "S1", "mymaster", "+switch-master", "mymaster h 1 h 2", 1000);
  expect(hold).toEqual({ sentinelId: "S1", sinceMs: 1000, untilMs: 1000 + SWITCH_HOLD_MS, selected: { host: "h", port: 2 } });
});

test("a Sentinel that cries wolf holds a third of the time at most", () => {
  let hold: FailoverHold | null = null;
  let heldMs = 0;
  for (let now = 1000; now < 61_000; now += 10) {
    for (const [channel, payload] of [
      ["+try-failover", "master mymaster h 1"],
      ["+selected-slave", "slave h:2 h 2 @ mymaster h 1"],
      ["+switch-master", "mymaster h 1 h 2"],
    ] as const)
      hold = failoverHold(hold, `S${now % 7}`, "mymaster", channel, payload, now);
    if (now < hold!.untilMs) heldMs += 10;
  }
  expect(heldMs).toBeGreaterThan(5000);
  expect(heldMs).toBeLessThan(25_000);
});

/**
 * Mixed quorums on hosts of their own: real redis-sentinels and ours watch one set while its master is killed, stopped, cut off. Every time
 * all agree on one new master, the old one comes back as its replica, and the logs of both kinds tell of the same leaders and masters.
 *
 *     ROUNDS=50 bun test tests/e2e/sentinel_quorums.test.ts       so many rounds for each quorum instead of one
 */
import { expect, test } from "bun:test";
import { hasRedis, until, type Kind } from "../support/programs.ts";
import { canNest, type Guest } from "../support/net_hosts.ts";
import { HostFleet } from "../support/sentinel_hosts.ts";
import { pairs } from "../support/whole_set.ts";
import { eventsOf, type Line } from "../sim/event_log.ts";

const ROUNDS = Number(process.env["ROUNDS"] ?? 1);
const LIMIT_MS = 180_000 + ROUNDS * 120_000;

const FAULTS = ["kill -9", "SIGSTOP", "cut"] as const;
type Fault = (typeof FAULTS)[number];

/** One fault at the master, until everything is as good as before. */
async function round(fleet: HostFleet, fault: Fault): Promise<void> {
  const old = await fleet.master();
  const host = fleet.servers.indexOf(old) + 1;
  if (fault === "kill -9") await old.stop("SIGKILL");
  else if (fault === "SIGSTOP") old.kill("SIGSTOP");
  else fleet.net.cut(host);
  const others = fault === "cut" ? fleet.sentinels.filter((s) => s.ip !== old.ip) : fleet.sentinels;
  const ip = await until(
    `a new master after ${fault}`,
    async () => {
      const at = await fleet.named(others);
      const server = fleet.servers.find((s) => s.ip === at);
      return server !== undefined && server !== old && (await server.info("replication"))["role"] === "master" ? at : "";
    },
    40_000,
  );
  if (fault === "kill -9") old.start();
  else if (fault === "SIGSTOP") old.kill("SIGCONT");
  else fleet.net.heal(host);
  const next = fleet.servers.find((s) => s.ip === ip)!;
  for (const s of fleet.servers) if (s !== next) await fleet.follows(s, next);
  await fleet.isWhole();
  expect(await fleet.master()).toBe(next);
  const epochs = new Set<string>();
  for (const s of fleet.sentinels) epochs.add(pairs(await s.cli("sentinel", "master", "m"))["config-epoch"]);
  expect(epochs.size).toBe(1);
}

/** The masters in the order of a log's +switch-master, the last one twice in a row counted once. */
function masters(log: Line[]): string[] {
  const to = log.filter((l) => l.type === "+switch-master").map((l) => l.payload.split(" ")[3]);
  return to.filter((ip, i) => ip !== to[i - 1]);
}

/** What all logs together may say: one leader an epoch, one vote an epoch, the same masters. */
function sameStory(fleet: HostFleet, stayed: readonly Guest[]): void {
  const leaders = new Map<string, string>();
  for (const s of fleet.sentinels) {
    const votes = new Map<string, string>();
    let epoch = "";
    for (const l of eventsOf(s.output)) {
      if (l.type === "+new-epoch") epoch = l.payload;
      else if (l.type === "+vote-for-leader") {
        const [who, when] = l.payload.split(" ");
        expect(votes.get(when) ?? who).toBe(who);
        votes.set(when, who);
      } else if (l.type === "+elected-leader") {
        expect(leaders.get(epoch) ?? s.name).toBe(s.name);
        leaders.set(epoch, s.name);
      }
    }
  }
  expect(leaders.size).toBeGreaterThan(0);
  const stories = stayed.map((s) => masters(eventsOf(s.output)));
  // One that was away for a moment may have gone from the last but one master to the last; nobody tells of another order.
  const whole = stories.reduce((a, b) => (b.length > a.length ? b : a), []);
  for (const story of stories) {
    expect(story.at(-1)).toBe(whole.at(-1));
    let at = 0;
    for (const ip of whole) if (ip === story[at]) at++;
    expect(story.slice(at)).toEqual([]);
  }
}

/**
 * With originals in the majority down-after is longer: see tests/e2e/mixed.test.ts for what a second does to them.
 */
const QUORUMS: [string, Kind[], number][] = [
  ["2 real + 1 ours", ["redis", "redis", "redisha"], 2000],
  ["1 real + 2 ours", ["redisha", "redis", "redisha"], 1000],
  ["2 real + 3 ours", ["redisha", "redis", "redisha", "redis", "redisha"], 1000],
];

for (const [i, [name, kinds, downAfterMs]] of QUORUMS.entries())
  test.skipIf(!hasRedis || !canNest)(
    `quorum of ${name}, ${ROUNDS} rounds`,
    async () => {
      await using fleet = await HostFleet.start(kinds, downAfterMs);
      try {
        for (let n = 0; n < ROUNDS; n++) {
          const fault = FAULTS[(i + n) % FAULTS.length];
          await round(fleet, fault);
          // Whoever was cut off may have missed a master in between.
          const cut = ROUNDS > 1 || fault === "cut";
          sameStory(fleet, cut ? fleet.sentinels.slice(3) : fleet.sentinels);
        }
      } catch (error) {
        for (const s of fleet.sentinels) console.error(`=== ${s.name}\n${s.output.split("\n").slice(-80).join("\n")}`);
        throw error;
      }
    },
    LIMIT_MS,
  );

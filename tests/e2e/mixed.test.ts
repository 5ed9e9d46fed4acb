/**
 * One story with every part exchanged for the original in turn: the master dies (kill -9), a replica takes over, the old master returns and
 * becomes a replica, and a client that writes through the proxy goes on. What holds whoever plays the parts is checked for all; that no write
 * goes back to the old master is our proxy's promise.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { hasHaproxy, hasRedis, until } from "../support/programs.ts";
import { WholeSet, Writer, type Kinds } from "../support/whole_set.ts";

setDefaultTimeout(120_000);

const OURS: Kinds = { servers: ["redisha", "redisha", "redisha"], sentinels: ["redisha", "redisha", "redisha"], proxy: "redisha" };

const CASTS: Record<string, Kinds> = {
  "every part ours": OURS,
  "the original redis-server as master": { ...OURS, servers: ["redis", "redisha", "redisha"] },
  "the original redis-server as replicas": { ...OURS, servers: ["redisha", "redis", "redis"] },
  "the original redis-sentinel": { ...OURS, sentinels: ["redis", "redis", "redis"] },
  "a quorum of 2 original Sentinels and 1 of ours": { ...OURS, sentinels: ["redis", "redis", "redisha"] },
  "a quorum of 1 original Sentinel and 2 of ours": { ...OURS, sentinels: ["redis", "redisha", "redisha"] },
  "the original haproxy in front": { ...OURS, proxy: "haproxy" },
};

/**
 * An original Sentinel that follows a switch connects to the new master up to a ping period (1 s) after its last knock at the old one's door,
 * and counts for 5 s what its peers said about the old address. With a down-after of a second it may so find the new master objectively down,
 * and where originals have the majority they then replace it (tests/unit/sentinel/late_original.txt: ours do not help them to it). The story
 * of one failover can be told of them with a longer down-after only.
 */
function downAfterMs(kinds: Kinds): number {
  return kinds.sentinels.filter((kind) => kind === "redis").length >= 2 ? 2000 : 1000;
}

for (const [name, kinds] of Object.entries(CASTS))
  test.skipIf(!hasRedis || (kinds.proxy === "haproxy" && !hasHaproxy))(`kill -9 of the master, its return: ${name}`, async () => {
    await using set = await WholeSet.start(kinds, { downAfterMs: downAfterMs(kinds) });
    const writer = new Writer(set.proxy.port);
    try {
      await set.tell(
        () => writer,
        () => story(set, writer, kinds),
      );
    } finally {
      await writer.stop();
    }
  });

async function story(set: WholeSet, writer: Writer, kinds: Kinds): Promise<void> {
  const old = set.servers[0];
  await writer.more(50);
  await old.stop("SIGKILL");
  const before = writer.acknowledged.length;
  const master = await set.switchedFrom(old);
  await until("writes at the new master", () => writer.servers.at(-1) === master.port, 30_000);
  for (const s of set.servers) if (s !== old && s !== master) await set.follows(s, master);

  old.start();
  await old.ready();
  await set.follows(old, master);
  await set.isWhole();
  await writer.more();
  await writer.stop();

  expect(await set.agreed()).toBe(master);
  expect(writer.servers.at(-1)).toBe(master.port);
  if (kinds.proxy === "redisha") {
    expect(writer.servers).toEqual([old.port, master.port]);
    // What was in flight gets an honest answer at most; the connection stays.
    expect(writer.cut).toBe(0);
    expect(Object.keys(writer.errors).filter((word) => word !== "UNKNOWNRESULT")).toEqual([]);
  }
  // The last reply can have left before the replicas' bytes when the signal came in between.
  const missing = await writer.missingAt(master);
  if (kinds.proxy === "redisha") expect(missing.filter((a) => a !== writer.acknowledged[before - 1])).toEqual([]);
  // All have the same data: the old master has given up what it alone had.
  const count = await master.cli("get", writer.counter);
  for (const s of set.servers) {
    await until(`${s.port} to have caught up`, async () => (await s.cli("get", writer.counter)) === count);
    expect(await s.cli("dbsize")).toBe(await master.cli("dbsize"));
  }
}

/**
 * The authority's decision table (design 5): one test a cell of {Sentinels never seen, out of reach, minority, majority, all gone} x {0, 1, 2
 * servers saying master} x {claimed master listed or not}; then the rules over the table: lineage, operators' swaps, forged hellos, hints.
 *
 * The scene: a and b are listed servers, r a listed replica, x a server that only the Sentinels know. `a` is what the Sentinels claim and what
 * was confirmed last ("claimed listed"), or x is ("not listed"). A result reads "a" (serve a), "a !b" (serve a, b fenced), "-" (hold), "- !b".
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { AuthorityInput, Confirmed, Decision, ServerView } from "../../lib/fleet/authority.ts";
import { decide, DEFAULT_LIMITS } from "../../lib/fleet/authority.ts";
import type { History } from "../../lib/fleet/lineage.ts";
import { NO_REPLID } from "../../lib/fleet/lineage.ts";
import type { SentinelView } from "../../lib/fleet/majority.ts";
import { count } from "../../lib/fleet/majority.ts";
import { bootVerdict } from "../../lib/fleet/boot_fence.ts";

const NOW = 1_000_000;
const addressOf = (id: string) => ({ host: `10.0.0.${id.charCodeAt(0)}`, port: 6379 });
const h = (replid: string, offset: number, replid2 = NO_REPLID, secondOffset = -1): History => ({ replid, replid2, secondOffset, offset });

type ServerOptions = Partial<ServerView> & { follows?: string };
function server(id: string, o: ServerOptions = {}): ServerView {
  const role = o.role ?? "replica";
  const { follows, ...rest } = o;
  return {
    id,
    listed: true,
    addresses: [addressOf(id)],
    runId: `run-${id}`,
    reachable: true,
    role,
    atMs: NOW - 100,
    masterSinceMs: role === "master" ? NOW - 60_000 : 0,
    history: h("R", 100),
    born: "unknown",
    following: follows === undefined ? null : addressOf(follows),
    connectedReplicas: role === "master" ? 1 : 0,
    hello: { subscribers: 0, listeningSinceMs: NOW - 60_000 },
    ...rest,
  };
}
const master = (id: string, o: ServerOptions = {}) => server(id, { role: "master", ...o });

type SentinelOptions = { epoch?: number; others?: number; sinceMs?: number; runId?: string | null } & Partial<SentinelView>;
/** A Sentinel that answers `claim` (a server's id; "" when it does not know the name). */
function sentinel(id: string, claim: string, o: SentinelOptions = {}): SentinelView {
  const { epoch, others, sinceMs, runId, ...rest } = o;
  return {
    id,
    address: { host: `10.0.1.${id.charCodeAt(1)}`, port: 26379 },
    source: "hello",
    link: "up",
    answer: {
      address: claim === "" ? null : addressOf(claim),
      runId: runId === undefined ? `run-${claim}` : runId,
      configEpoch: epoch ?? 3,
      otherSentinels: others ?? 2,
      atMs: NOW - 200,
      sinceMs: sinceMs ?? NOW - 60_000,
    },
    ...rest,
  };
}
const three = (claim: string, o: SentinelOptions = {}) => ["S1", "S2", "S3"].map((s) => sentinel(s, claim, o));
const lost = (claim: string) => three(claim, { link: "lost" });
const gone = (claim: string) => three(claim, { link: "refused" });
const one = (claim: string) => [sentinel("S1", claim), ...lost(claim).slice(1)];

function confirmed(id: string, listed = true, history: History = h("R", 90)): Confirmed {
  return { serverId: listed ? id : null, address: addressOf(id), epoch: 3, history, sinceMs: NOW - 100_000, by: "majority" };
}

function run(servers: ServerView[], sentinels: SentinelView[], o: Partial<AuthorityInput> = {}): Decision {
  return decide({
    nowMs: NOW,
    masterName: "mymaster",
    sentinels,
    servers,
    confirmed: null,
    policy: "stay",
    hints: {},
    limits: DEFAULT_LIMITS,
    previous: null,
    ...o,
  });
}
const show = (d: Decision) => [d.serverId ?? "-", ...d.fenced.map((f) => `!${f.serverId}`).sort()].join(" ");

/** How many say master, seen by a listed claim (a) and by an unlisted one (x). */
const sets: Record<string, { listed: ServerView[]; unlisted: ServerView[] }> = {
  "0": { listed: [server("a", { reachable: false }), server("b"), server("r")], unlisted: [server("b"), server("r")] },
  "1": {
    listed: [master("a"), server("b", { follows: "a" }), server("r", { follows: "a" })],
    unlisted: [master("b"), server("r", { follows: "b" })],
  },
  "2": {
    listed: [master("a"), master("b", { history: h("B", 50) }), server("r", { follows: "a" })],
    unlisted: [master("a", { history: h("A", 10) }), master("b", { history: h("B", 50) })],
  },
};

type Cell = [situation: string, masters: string, claimed: "listed" | "unlisted", first: string, stay: string, hold: string];
// first: nothing confirmed yet, policy stay. stay: the claim was confirmed before, policy stay. hold: the same under policy hold.
const cells: Cell[] = [
  ["never", "0", "listed", "-", "-", "-"],
  ["never", "0", "unlisted", "-", "-", "-"],
  ["never", "1", "listed", "a", "a", "a"],
  ["never", "1", "unlisted", "b", "b", "b"],
  ["never", "2", "listed", "a !b", "a !b", "a !b"], // unrelated data, equally many replicas: the higher offset; confirmed anyway
  ["never", "2", "unlisted", "b !a", "b !a", "b !a"],
  ["unreachable", "0", "listed", "-", "-", "-"],
  ["unreachable", "0", "unlisted", "-", "-", "-"],
  ["unreachable", "1", "listed", "a", "a", "-"],
  ["unreachable", "1", "unlisted", "b", "- !b", "- !b"],
  ["unreachable", "2", "listed", "-", "a !b", "- !b"],
  ["unreachable", "2", "unlisted", "-", "- !a !b", "- !a !b"],
  ["minority", "0", "listed", "-", "-", "-"],
  ["minority", "0", "unlisted", "-", "-", "-"],
  ["minority", "1", "listed", "a", "a", "-"],
  ["minority", "1", "unlisted", "b", "- !b", "- !b"],
  ["minority", "2", "listed", "-", "a !b", "- !b"],
  ["minority", "2", "unlisted", "-", "- !a !b", "- !a !b"],
  ["majority", "0", "listed", "-", "-", "-"],
  ["majority", "0", "unlisted", "-", "-", "-"],
  ["majority", "1", "listed", "a", "a", "a"],
  ["majority", "1", "unlisted", "- !b", "- !b", "- !b"],
  ["majority", "2", "listed", "a !b", "a !b", "a !b"],
  ["majority", "2", "unlisted", "- !a !b", "- !a !b", "- !a !b"],
  ["gone", "0", "listed", "-", "-", "-"],
  ["gone", "0", "unlisted", "-", "-", "-"],
  ["gone", "1", "listed", "a", "a", "-"],
  ["gone", "1", "unlisted", "b", "b", "- !b"],
  ["gone", "2", "listed", "a !b", "a !b", "- !b"],
  ["gone", "2", "unlisted", "b !a", "b !a", "- !a !b"],
];
const worlds: Record<string, (claim: string) => SentinelView[]> = {
  never: () => [],
  unreachable: lost,
  minority: one,
  majority: three,
  gone,
};

for (const [situation, masters, claimed, first, stay, hold] of cells) {
  const claim = claimed === "listed" ? "a" : "x";
  const servers = sets[masters]![claimed];
  const sentinels = worlds[situation]!(claim);
  test(`Sentinels ${situation}, ${masters} say master, claimed ${claimed}`, () => {
    const was = confirmed(claim, claimed === "listed");
    const results = [
      run(servers, sentinels),
      run(servers, sentinels, { confirmed: was }),
      run(servers, sentinels, { confirmed: was, policy: "hold" }),
    ];
    expect(results.map((d) => d.situation)).toEqual(Array(3).fill(situation));
    expect(results.map(show)).toEqual([first, stay, hold]);
    for (const d of results) expect(d.reason.length).toBeGreaterThan(10);
  });
}

// ---- majority: details ----

test("a majority beats the highest epoch and one Sentinel's word", () => {
  const servers = [master("a"), master("b", { history: h("B", 5) })];
  const d = run(servers, [sentinel("S1", "b", { epoch: 99 }), sentinel("S2", "a"), sentinel("S3", "a")]);
  expect(show(d)).toBe("a !b");
  expect([d.votes, d.known, d.epoch]).toEqual([2, 3, 3]);
});

test("the denominator is the largest num-other-sentinels + 1 that was ever reported", () => {
  const servers = [master("a"), server("b", { follows: "a" })];
  const amnesiac = sentinel("S1", "b", { others: 0 });
  const cut = lost("a").slice(1);
  expect(run(servers, [amnesiac, ...cut]).situation).toBe("minority");
  expect(run(servers, [amnesiac]).situation).toBe("majority");
  // Five in the set, two of them known here.
  expect(run(servers, [sentinel("S1", "a", { others: 4 }), sentinel("S2", "a")]).situation).toBe("minority");
  const named = ["S1", "S2", "S3"].map((s) => sentinel(s, "b", { source: "config", others: 0, link: s === "S1" ? "up" : "lost" }));
  expect(run(servers, named).situation).toBe("minority");
});

test("a server that is master for the second time has only the votes of this time", () => {
  const servers = [master("a"), master("b", { history: h("B", 5) })];
  const d = run(servers, [sentinel("S1", "a", { epoch: 3 }), sentinel("S2", "a", { epoch: 0 }), sentinel("S3", "b", { epoch: 2 })]);
  expect(d.situation).toBe("minority");
});

test("an old answer is none", () => {
  const old = three("a").map((s) => ({ ...s, answer: { ...s.answer!, atMs: NOW - DEFAULT_LIMITS.answerMaxAgeMs - 1 } }));
  expect(run([master("a")], old).situation).toBe("unreachable");
});

test("Sentinels that do not know the name are no votes", () => {
  const d = run([master("a"), master("b", { history: h("B", 3) })], three(""), { confirmed: confirmed("a") });
  expect([d.situation, show(d)]).toEqual(["minority", "a !b"]);
  expect(d.reason).toContain("do not know the name");
});

test("servers are matched by run_id: localhost, NAT and announce-ip", () => {
  const servers = [master("a"), server("b", { follows: "a" })];
  const nat = three("a").map((s, i) => ({ ...s, answer: { ...s.answer!, address: { host: `172.17.0.${i}`, port: 7000 } } }));
  expect(show(run(servers, nat))).toBe("a");
  const noRunId = nat.map((s) => ({ ...s, answer: { ...s.answer, runId: null } }));
  expect(run(servers, noRunId).situation).toBe("minority");
  // The run_id decides over the address: addresses are reused.
  const reused = three("a").map((s) => ({ ...s, answer: { ...s.answer!, address: addressOf("b") } }));
  expect(show(run(servers, reused))).toBe("a");
  // A restarted process has a new run_id until the Sentinels look again: the address tells.
  expect(show(run(servers, three("a", { runId: "run-before" })))).toBe("a");
});

test("a loopback address told by another machine is not ours", () => {
  const local = { host: "127.0.0.1", port: 6379 };
  const servers = [master("a", { addresses: [local] })];
  const answers = three("a", { runId: null }).map((s) => ({ ...s, answer: { ...s.answer!, address: local } }));
  expect(run(servers, answers).serverId).toBeNull();
  const here = answers.map((s) => ({ ...s, address: { host: "127.0.0.1", port: 26379 } }));
  expect(show(run(servers, here))).toBe("a");
});

test("a silent choice: hold, and no old master serves in its place", () => {
  const d = run([server("a", { reachable: false }), master("b", { history: h("B", 3) })], three("a"), { confirmed: confirmed("a") });
  expect(show(d)).toBe("- !b");
  expect(d.reason).toContain("cannot be reached");
});

test("a majority's word is remembered even when nobody could be served", () => {
  const servers = [master("a"), server("b", { reachable: false })];
  const moved = run(servers, three("b", { epoch: 4 }), { confirmed: confirmed("a") });
  expect(show(moved)).toBe("- !a");
  const later = run(servers, lost("b"), { confirmed: moved.confirmed });
  expect(show(later)).toBe("- !a");
});

// ---- promotions in progress ----

const promoted = (id: string, sinceMs = NOW - 300) =>
  master(id, { history: h("B", 100, "R", 95), masterSinceMs: sinceMs, connectedReplicas: 0 });

test("a promotion is not followed before a majority answers it, and the old master gets nothing more", () => {
  const split = [sentinel("S1", "b", { epoch: 4 }), sentinel("S2", "a"), sentinel("S3", "a")];
  const d = run([master("a"), promoted("b")], split, { confirmed: confirmed("a") });
  expect(show(d)).toBe("- !b");
  expect(d.reason).toContain("awaited");
  const dead = run([server("a", { reachable: false }), promoted("b")], split, { confirmed: confirmed("a") });
  expect(show(dead)).toBe("- !b");
  expect(dead.fenced[0]!.reason).toContain("not confirmed by a majority");
  const after = run(
    [master("a"), promoted("b")],
    [sentinel("S1", "b", { epoch: 4 }), sentinel("S2", "b", { epoch: 4 }), sentinel("S3", "a")],
  );
  expect(show(after)).toBe("b !a");
});

test("with two of three reachable and split, the master that answers is held too, but not for ever", () => {
  const split = [sentinel("S1", "b", { epoch: 4 }), sentinel("S2", "a"), ...lost("a").slice(2)];
  expect(show(run([master("a"), promoted("b")], split, { confirmed: confirmed("a") }))).toBe("- !b");
  const old = promoted("b", NOW - DEFAULT_LIMITS.promotionHoldMs - 1);
  expect(show(run([master("a"), old], split, { confirmed: confirmed("a") }))).toBe("a !b");
});

test("a copy that an operator detached holds nobody", () => {
  expect(show(run([master("a"), promoted("b")], three("a"), { confirmed: confirmed("a") }))).toBe("a !b");
});

test("a redisha leader's word counts as the majority that persisted it", () => {
  const word = { sentinelId: "S1", address: addressOf("b"), runId: "run-b", epoch: 4, atMs: NOW - 50 };
  const old = three("a");
  const servers = [master("a"), promoted("b")];
  const d = run(servers, old, { confirmed: confirmed("a"), hints: { leader: word } });
  expect([show(d), d.by]).toEqual(["b !a", "leader"]);
  const stale = { ...word, atMs: NOW - DEFAULT_LIMITS.leaderWordMs - 1 };
  expect(show(run(servers, old, { confirmed: confirmed("a"), hints: { leader: stale } }))).toBe("a !b");
  const overtaken = three("a", { epoch: 4 });
  expect(show(run(servers, overtaken, { confirmed: confirmed("a"), hints: { leader: word } }))).toBe("a !b");
  const stranger = { ...word, sentinelId: "S9" };
  expect(show(run(servers, old, { confirmed: confirmed("a"), hints: { leader: stranger } }))).toBe("a !b");
});

test("an announced failover holds the master that still answers, not its successor", () => {
  const failover = { sentinelId: "S1", sinceMs: NOW - 100, untilMs: NOW + 400, selected: null };
  const servers = [master("a"), server("b", { follows: "a" })];
  expect(show(run(servers, three("a"), { confirmed: confirmed("a"), hints: { failover } }))).toBe("-");
  const over = { ...failover, untilMs: NOW };
  expect(show(run(servers, three("a"), { confirmed: confirmed("a"), hints: { failover: over } }))).toBe("a");
  const next = run([master("a"), promoted("b")], three("b", { epoch: 4 }), { confirmed: confirmed("a"), hints: { failover } });
  expect(show(next)).toBe("b !a");
  // Still b when asked again, although b is the confirmed one now.
  const again = run([master("a"), promoted("b")], three("b", { epoch: 4 }), { confirmed: next.confirmed, hints: { failover } });
  expect(show(again)).toBe("b !a");
});

// ---- lineage: operators ----

test("operator's REPLICAOF or FAILOVER: the choice is a replica, its successor is served and not fenced", () => {
  const a = server("a", { follows: "b", history: h("B", 120, "R", 95) });
  const b = master("b", { history: h("B", 120, "R", 95) });
  const d = run([a, b], three("a"), { confirmed: confirmed("a") });
  expect([show(d), d.by]).toEqual(["b", "lineage"]);
  expect(d.log.some((l) => l.level === "warning" && l.text.includes("replication ids prove"))).toBe(true);
  // Before a has synchronised it still carries its own history.
  const early = server("a", { follows: "b", history: h("R", 94) });
  expect(show(run([early, b], three("a"), { confirmed: confirmed("a") }))).toBe("b");
  // Stays so at the next look.
  expect(show(run([a, b], three("a"), { confirmed: d.confirmed }))).toBe("b");
});

test("just after a promotion the choice's old 'replica' does not bring the old master back", () => {
  const a = master("a");
  const b = server("b", { follows: "a", atMs: NOW - 400 });
  const fresh = three("b", { epoch: 4, sinceMs: NOW - 300 });
  expect(show(run([a, b], fresh, { confirmed: confirmed("a") }))).toBe("- !a");
  const seen = { ...b, atMs: NOW };
  expect(show(run([a, seen], three("b", { epoch: 4, sinceMs: NOW - 1000 }), { confirmed: confirmed("a") }))).toBe("a");
});

test("a choice that became a replica of a stranger: nobody is served, nobody fenced, loudly", () => {
  const d = run([server("a", { history: h("Z", 1) }), master("b", { history: h("B", 3) })], three("a"), { confirmed: confirmed("a") });
  expect(show(d)).toBe("-");
  expect(d.log[0]!.level).toBe("alert");
});

test("of two that continue the choice's data, the one it follows is served", () => {
  const a = server("a", { follows: "b", history: h("B", 120, "R", 95) });
  const b = master("b", { history: h("B", 120, "R", 95) });
  const c = master("c", { history: h("C", 99, "R", 95) });
  expect(show(run([a, b, c], three("a"), { confirmed: confirmed("a") }))).toBe("b !c");
  const undecided = server("a", { history: h("R", 94) });
  expect(show(run([undecided, b, c], three("a"), { confirmed: confirmed("a") }))).toBe("-");
});

test("without a majority a successor takes over from a vanished master, once it is old enough to stand", () => {
  const vanished = server("a", { reachable: false });
  const was = { confirmed: confirmed("a") };
  const young = promoted("b", NOW - DEFAULT_LIMITS.settleMs + 1);
  const old = promoted("b", NOW - DEFAULT_LIMITS.settleMs);
  expect(show(run([vanished, young], lost("a"), was))).toBe("- !b");
  expect(show(run([vanished, old], lost("a"), was))).toBe("b");
  expect(show(run([vanished, old], lost("a"), { ...was, policy: "hold" }))).toBe("- !b");
  const stranger = master("b", { history: h("B", 3) });
  expect(show(run([vanished, stranger], lost("a"), was))).toBe("- !b");
  expect(show(run([old], lost("x"), { confirmed: confirmed("x", false) }))).toBe("b");
  const demoted = server("a", { history: h("B", 100, "R", 95), follows: "b" });
  expect(show(run([demoted, old], lost("a"), was))).toBe("b");
});

test("nothing confirmed and no majority: a cut-off old master is not served at once", () => {
  const young = master("a", { masterSinceMs: NOW - DEFAULT_LIMITS.aloneMs + 1 });
  expect(show(run([young, server("b", { reachable: false })], one("a")))).toBe("-");
  expect(show(run([young, server("b", { history: h("Q", 1) })], one("a")))).toBe("-");
  expect(show(run([master("a"), promoted("b")], one("a")))).toBe("b !a");
});

test("nothing confirmed and no majority: a master that nobody within reach disagrees with is served after a while", () => {
  const gone = server("b", { reachable: false });
  expect(show(run([master("a"), gone, server("r", { follows: "a" })], lost("a")))).toBe("a");
  expect(show(run([master("a"), gone], one("a")))).toBe("a");
  expect(show(run([master("a"), gone], one("b")))).toBe("-"); // a Sentinel disagrees
  expect(show(run([master("a"), gone, server("r", { history: h("Q", 1) })], lost("a")))).toBe("-"); // a replica of something else
  expect(show(run([master("a"), gone], lost("a"), { policy: "hold" }))).toBe("- !a");
});

test("without Sentinels, two masters: the promoted one, then the confirmed, then replicas, then offset, then nobody", () => {
  const a = master("a", { history: h("A", 10), connectedReplicas: 0 });
  const b = master("b", { history: h("B", 20), connectedReplicas: 0 });
  expect(show(run([a, b], []))).toBe("b !a");
  expect(show(run([a, b], [], { confirmed: confirmed("a", true, h("A", 9)) }))).toBe("a !b");
  expect(show(run([{ ...a, connectedReplicas: 1 }, b], []))).toBe("a !b");
  expect(show(run([a, { ...b, history: h("B", 10) }], []))).toBe("-");
  const heir = master("b", { history: h("B", 20, "A", 8) });
  expect(show(run([a, heir], [], { confirmed: confirmed("a", true, h("A", 9)) }))).toBe("b !a");
});

test("a replica that starts again as a master from its old file was not promoted", () => {
  const a = master("a", { history: h("A", 500), connectedReplicas: 0 });
  const was = { confirmed: confirmed("a", true, h("A", 400)) };
  const old = h("B", 100, "A", 101);
  expect(show(run([a, master("b", { history: old, born: "master" })], [], was))).toBe("a !b");
  // Writes that it has taken meanwhile make it no better.
  expect(show(run([a, master("b", { history: h("B", 180, "A", 101), born: "master" })], [], was))).toBe("a !b");
  // Nobody has watched it begin: without a write of its own, beside one that went on, it is taken for a restarted one.
  expect(show(run([a, master("b", { history: old, connectedReplicas: 0 })], []))).toBe("a !b");
  expect(show(run([a, master("b", { history: h("B", 180, "A", 101) })], []))).toBe("b !a");
  expect(show(run([master("a", { history: h("A", 100) }), master("b", { history: old })], []))).toBe("b !a");
  // Seen as a replica in the same process: promoted.
  expect(show(run([a, master("b", { history: old, born: "replica" })], [], was))).toBe("b !a");
  // The master is gone, and Sentinels too: old data is not served in its place.
  const gone = server("a", { reachable: false, history: h("A", 500) });
  expect(show(run([gone, master("b", { history: old, born: "master" })], lost("a"), was))).toBe("- !b");
  expect(show(run([gone, master("b", { history: old, born: "replica" })], lost("a"), was))).toBe("b");
});

// ---- Sentinels not heard of yet ----

test("a first hello is waited for while somebody subscribes to the channel, but not for ever", () => {
  const listening = (subscribers: number, ms: number) => ({
    hello: { subscribers, listeningSinceMs: ms === 0 ? 0 : NOW - ms },
    masterSinceMs: NOW - 5000,
  });
  expect(show(run([master("a", listening(3, 0))], []))).toBe("-");
  expect(show(run([master("a", listening(3, 0)), server("b", { follows: "a" })], []))).toBe("a"); // the whole set agrees
  expect(show(run([master("a", listening(-1, 1000))], []))).toBe("-");
  expect(show(run([master("a", listening(3, DEFAULT_LIMITS.discoveryMs))], []))).toBe("a");
  expect(show(run([master("a", listening(0, 0))], []))).toBe("a");
  expect(show(run([master("a", { hello: null })], []))).toBe("a");
  const two = [master("a", listening(0, 0)), master("b", { ...listening(2, 100), history: h("B", 1) })];
  expect(show(run(two, [], { confirmed: confirmed("a") }))).toBe("a !b");
});

// ---- forged hellos ----

test("forged: one liar under many addresses is one vote", () => {
  const liar = (port: number) => sentinel("S9", "b", { address: { host: "10.6.6.6", port } });
  const servers = [master("a"), master("b", { history: h("B", 3) })];
  const d = run(servers, [...three("a"), liar(1), liar(2), liar(3)]);
  expect([d.votes, show(d)]).toEqual([3, "a !b"]);
});

test("forged: hellos do not vote where the configuration names the Sentinels", () => {
  const real = three("a", { source: "config" });
  const forged = ["F1", "F2", "F3", "F4", "F5"].map((f) => sentinel(f, "b", { epoch: 1000, others: 100 }));
  const d = run([master("a"), master("b", { history: h("B", 3) })], [...real, ...forged]);
  expect([d.known, show(d)]).toEqual([3, "a !b"]);
  const peers = forged.map((f) => ({ ...f, source: "peer" as const }));
  expect(run([master("a")], [...real, ...peers]).situation).toBe("minority");
});

test("forged: a Sentinel that does not answer has no say, whatever its hello claimed", () => {
  const silent = ["F1", "F2", "F3"].map((f) => ({ ...sentinel(f, "b"), link: "lost" as const, answer: null }));
  expect(show(run([master("a"), server("b", { follows: "a" })], [...three("a"), ...silent]))).toBe("a");
});

test("forged: a majority of liars can at most stop the service or pick a listed master", () => {
  const liars = ["F1", "F2", "F3", "F4", "F5"].map((f) => sentinel(f, "z", { epoch: 1000, others: 7 }));
  const evil = master("z", { listed: false });
  const d = run([master("a"), server("b", { follows: "a" }), evil], [...three("a", { others: 7 }), ...liars], {
    confirmed: confirmed("a"),
  });
  expect(show(d)).toBe("- !a");
});

// ---- an administrator ----

test("an administrator overrides, but a replica or a silent server is not served", () => {
  const servers = [master("a"), master("b", { history: h("B", 3) }), server("r")];
  const forced = (override: string) => run(servers, three("a"), { hints: { override }, confirmed: confirmed("a") });
  expect([show(forced("b")), forced("b").by]).toEqual(["b !a", "admin"]);
  expect(show(forced("r"))).toBe("-");
  expect(show(forced("nobody"))).toBe("-");
  expect(forced("b").confirmed!.serverId).toBe("a");
});

// ---- words ----

test("a line is logged when something changes and not again", () => {
  const servers = [master("a"), master("b", { history: h("B", 3) })];
  const first = run(servers, three("a"));
  expect(first.log.map((l) => l.text)).toEqual([
    "serving: a is the master: the choice of 3/3 Sentinels, epoch 3",
    "b says master and is fenced: the Sentinels' master is a, epoch 3",
  ]);
  expect(run(servers, three("a"), { previous: first }).log).toEqual([]);
  const after = run([master("a"), server("b", { follows: "a" })], three("a"), { previous: first });
  expect(after.log.map((l) => l.text)).toEqual(["b is no longer fenced"]);
});

// ---- properties ----

const anyServer = (id: string, listed: boolean) =>
  fc
    .record({
      role: fc.constantFrom("master" as const, "replica" as const, "unknown" as const),
      reachable: fc.boolean(),
      atMs: fc.integer({ min: NOW - 5000, max: NOW }),
      masterSinceMs: fc.integer({ min: NOW - 20_000, max: NOW }),
      born: fc.constantFrom("replica" as const, "master" as const, "unknown" as const),
      history: fc.option(
        fc.record({
          replid: fc.constantFrom("A", "B", "C"),
          replid2: fc.constantFrom("A", "B", "C", NO_REPLID),
          secondOffset: fc.integer({ min: -1, max: 50 }),
          offset: fc.integer({ min: 0, max: 50 }),
        }),
      ),
      following: fc.constantFrom(null, addressOf("a"), addressOf("b")),
      connectedReplicas: fc.integer({ min: 0, max: 2 }),
      hello: fc.constantFrom(null, { subscribers: 3, listeningSinceMs: 0 }, { subscribers: 0, listeningSinceMs: 0 }),
    })
    .map((o): ServerView => ({ id, listed, addresses: [addressOf(id)], runId: `run-${id}`, ...o }));
const anySentinel = (id: string) =>
  fc
    .record({
      claim: fc.constantFrom("a", "b", "x", ""),
      epoch: fc.integer({ min: 0, max: 4 }),
      others: fc.integer({ min: 0, max: 4 }),
      source: fc.constantFrom("config" as const, "peer" as const, "hello" as const),
      link: fc.constantFrom("up" as const, "up" as const, "lost" as const, "refused" as const),
      sinceMs: fc.integer({ min: NOW - 5000, max: NOW }),
    })
    .map(({ claim, ...o }) => sentinel(id, claim, o));
const anyInput = fc.record({
  servers: fc.tuple(anyServer("a", true), anyServer("b", true), anyServer("c", true), anyServer("x", false)),
  sentinels: fc.tuple(anySentinel("S1"), anySentinel("S2"), anySentinel("S3")),
  confirmed: fc.constantFrom(null, confirmed("a"), confirmed("b"), confirmed("x", false)),
  policy: fc.constantFrom("stay" as const, "hold" as const),
});

test("whatever the input: only a listed, reachable master is served, never beside a fence on itself", () => {
  fc.assert(
    fc.property(anyInput, ({ servers, sentinels, ...o }) => {
      const d = run(servers, sentinels, o);
      expect(d.action === "serve").toBe(d.serverId !== null);
      if (d.serverId !== null)
        expect(servers.find((s) => s.id === d.serverId)).toMatchObject({ listed: true, reachable: true, role: "master" });
      expect(d.fenced.some((f) => f.serverId === d.serverId)).toBe(false);
      for (const f of d.fenced)
        expect(servers.find((s) => s.id === f.serverId)).toMatchObject({ listed: true, reachable: true, role: "master" });
    }),
    { numRuns: 500 },
  );
});

test("whatever the input: with hold, where Sentinels were ever seen, only a majority's choice or its proven successor is served", () => {
  fc.assert(
    fc.property(anyInput, ({ servers, sentinels, confirmed: was }) => {
      const d = run(servers, sentinels, { policy: "hold", confirmed: was });
      const c = count(sentinels, servers, NOW, DEFAULT_LIMITS.answerMaxAgeMs);
      if (d.serverId === null) return;
      expect(c.agreed).not.toBeNull();
      if (c.agreed!.serverId !== d.serverId) expect(d.by).toBe("lineage");
    }),
    { numRuns: 500 },
  );
});

test("whatever the input: while a majority's choice says master nobody else is served", () => {
  fc.assert(
    fc.property(anyInput, ({ servers, sentinels, ...o }) => {
      const c = count(sentinels, servers, NOW, DEFAULT_LIMITS.answerMaxAgeMs);
      const x = servers.find((s) => s.id === c.agreed?.serverId);
      if (x === undefined || !x.reachable || x.role !== "master") return;
      const d = run(servers, sentinels, o);
      expect([null, x.listed ? x.id : null]).toContain(d.serverId);
    }),
    { numRuns: 500 },
  );
});

// ---- boot fence ----

test("a server that starts as a master asks a majority first", () => {
  const servers = [server("a"), server("b")];
  const verdict = (sentinels: SentinelView[]) => bootVerdict(count(sentinels, servers, NOW, 3000), "a").state;
  expect(verdict([])).toBe("open");
  expect(verdict(three("a"))).toBe("open");
  expect(verdict(three("b"))).toBe("fenced");
  expect(verdict(three("z"))).toBe("fenced");
  expect(verdict(one("b"))).toBe("ask");
  expect(verdict(lost("a"))).toBe("ask");
  expect(verdict(gone("a"))).toBe("open");
});

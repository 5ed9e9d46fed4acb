/**
 * The authority: which server, if any, may be given traffic as the master. A pure decision over what Sentinels answer (majority.ts), what
 * servers say of themselves (replication.ts), and where their data comes from (lineage.ts). The proxy asks it after every change and on a
 * timer; the tests in tests/unit/fleet_authority.test.ts are its decision table, one test a cell (design.md 5, spec/proxy.md 3.5).
 *
 *     Sentinels          0 say master   1 says master                               2 say master
 *     ---------          ------------   -----------------------------------------   ------------------------------------------------
 *     never seen         hold           serve it                                    the promoted one (isPromoted); else the confirmed one; else the one
 *                                                                                   with more replicas, then the higher offset; else hold
 *     out of reach       hold           stay: the confirmed one; unconfirmed, only  stay: the confirmed one; unconfirmed, only one that was
 *     (hold policy:      |              if every listed server agrees, or nobody    promoted from the other
 *      hold)             |              within reach objects for aloneMs; heir of
 *                        |              a vanished confirmed one after settleMs
 *     minority           hold           as out of reach                             as out of reach
 *     majority says X    hold           X, if X says master; X a replica and the    X, the other is fenced; X a replica: the one that
 *                                       other its successor: the other (an           continues X's data; X silent: hold
 *                                       operator's swap); X silent: hold
 *     all gone           hold           serve it (hold policy: hold)                as never seen (hold policy: hold)
 *
 * Over that table: an administrator's word beats all; a redisha leader's word that a majority has persisted its epoch counts as that majority;
 * a master the Sentinels chose but nobody lists is never served (and whoever else says master is fenced); a failover that has been announced
 * (+try-failover, or a Sentinel already naming a server that was promoted from the current one) holds traffic for a bounded time.
 *
 * Servers are told apart by run_id. The caller owns health (rise and fall): `reachable` and `role` are its verdicts. The caller keeps
 * `confirmed` from one call to the next, and `previous` so that a line is logged when something changes and not at every call.
 * Left out: who asks and when, sessions, weights, backups, everything that is not "which one".
 */
import type { Address } from "./hello.ts";
import { sameAddress, showAddress } from "./hello.ts";
import type { History } from "./lineage.ts";
import { continues, lineage } from "./lineage.ts";
import type { Claim, Count, SentinelView, Situation } from "./majority.ts";
import { count, whoIs } from "./majority.ts";
import type { Role } from "./replication.ts";

/** What is known of one server. */
export type ServerView = {
  /** The caller's own key, unique. */
  id: string;
  /** Named in the configuration. Others are known from Sentinels or INFO; they explain answers and never get traffic. */
  listed: boolean;
  /** Every spelling under which it is known: configured, resolved, announced. */
  addresses: readonly Address[];
  runId: string | null;
  /** Passes its checks, as far as being reachable goes. */
  reachable: boolean;
  /** Last told; does not count while not reachable. */
  role: Role;
  /** When `role` was read. */
  atMs: number;
  /** Since when it has said master without a break; 0 when it does not. */
  masterSinceMs: number;
  /** Null until told. Kept when it is out of reach. */
  history: History | null;
  /**
   * How this process (run id) began, as far as it was watched: as a "replica", so that a master's word of it now is a promotion; as a "master",
   * which is what a replica becomes that is started again without its `replicaof`: its replication ids look promoted, and its data is old.
   */
  born: "replica" | "master" | "unknown";
  /** Whom it replicates from. */
  following: Address | null;
  connectedReplicas: number;
  /**
   * Sentinels heard through this server: how many subscribe to its hello channel (PUBSUB NUMSUB, our own subscription not counted; -1 until
   * told) and since when we listen there ourselves (0: not yet). Null when it may not be asked.
   */
  hello: { subscribers: number; listeningSinceMs: number } | null;
};

/** The next `born`. `sameProcess`: its run id is the one of before; null when there was none. */
export function bornOf(was: ServerView["born"], sameProcess: boolean | null, role: Role): ServerView["born"] {
  if (role === "replica") return "replica";
  return sameProcess === null ? "unknown" : sameProcess ? was : "master";
}

/** The last master that was confirmed: the caller stores what `decide` returns and hands it back. */
export type Confirmed = {
  /** Null when the Sentinels chose a server that nobody knows. */
  serverId: string | null;
  address: Address | null;
  epoch: number;
  /** As it was when this server last said master, null if we never saw that. */
  history: History | null;
  /** Since when it is this server. */
  sinceMs: number;
  by: Reason;
};

/** A redisha leader says that a majority of Sentinels has persisted this epoch for this server (design 4): follow it at once. */
export type LeaderWord = { sentinelId: string; address: Address; runId: string | null; epoch: number; atMs: number };

/** A failover that a Sentinel has announced: see failover_hold.ts. */
export type FailoverHold = { sentinelId: string; sinceMs: number; untilMs: number; selected: Address | null };

export type Hints = {
  leader?: LeaderWord | null;
  failover?: FailoverHold | null;
  /** Id of the server an administrator forces, until it is taken back. */
  override?: string | null;
};

export type Limits = {
  /** An answer older than this is none. */
  answerMaxAgeMs: number;
  /** How long a redisha leader's word stands without the majority's own answers. */
  leaderWordMs: number;
  /** How long a visible but unconfirmed promotion holds a master that still answers. */
  promotionHoldMs: number;
  /** How long a promoted server must have been master before it follows a vanished one while no majority can be asked. */
  settleMs: number;
  /** How long to wait for a first hello before "there are no Sentinels" is believed: two publish periods. */
  discoveryMs: number;
  /** With nothing confirmed and no majority: how long a master that nobody within reach disagrees with is looked at before it is served. */
  aloneMs: number;
  /** How much younger than the majority's choice the chosen server's own "replica" must be to overrule it. */
  swapMarginMs: number;
};

export const DEFAULT_LIMITS: Limits = {
  answerMaxAgeMs: 3000,
  leaderWordMs: 10_000,
  promotionHoldMs: 10_000,
  settleMs: 3000,
  discoveryMs: 4500,
  aloneMs: 10_000,
  swapMarginMs: 1000,
};

export type AuthorityInput = {
  nowMs: number;
  masterName: string;
  sentinels: readonly SentinelView[];
  servers: readonly ServerView[];
  confirmed: Confirmed | null;
  policy: "stay" | "hold";
  hints: Hints;
  limits: Limits;
  /** The decision before this one; null at first. */
  previous: Decision | null;
};

/** Why a server is served. */
export type Reason = "majority" | "leader" | "admin" | "lineage" | "stay" | "alone";

export type Fenced = {
  serverId: string;
  /** Goes into `DOWN (fenced, ...)`. */
  reason: string;
};

export type AuthorityLine = { level: "notice" | "warning" | "alert"; text: string };

export type Decision = {
  action: "serve" | "hold";
  /** The server to serve; null when holding. */
  serverId: string | null;
  by: Reason | null;
  /** One sentence for humans: logs, stats, admin socket. */
  reason: string;
  situation: Situation;
  /** Votes for the chosen claim out of the denominator, for display. */
  votes: number;
  known: number;
  epoch: number;
  fenced: Fenced[];
  /** Pass it back as `confirmed`. */
  confirmed: Confirmed | null;
  /** Only what changed since `previous`. */
  log: AuthorityLine[];
};

/** What the rules below return; decide() adds the rest. */
type Verdict = {
  serve: ServerView | null;
  by: Reason | null;
  reason: string;
  level: AuthorityLine["level"];
  /** Why each server that says master and is not served is fenced; null leaves them alone (nobody knows better). */
  fence: ((s: ServerView) => string | null) | null;
  confirmed: Confirmed | null;
  votes: number;
  epoch: number;
};

/** Working set of one decision. */
type Scene = {
  input: AuthorityInput;
  count: Count;
  /** Listed, reachable, saying master. */
  masters: ServerView[];
};

/** Decides. Pure: same input, same decision. */
export function decide(input: AuthorityInput): Decision {
  const counted = count(input.sentinels, input.servers, input.nowMs, input.limits.answerMaxAgeMs);
  const scene: Scene = { input, count: counted, masters: input.servers.filter((s) => s.listed && saysMaster(s)) };
  const verdict = holdForFailover(scene, judge(scene));
  const fenced: Fenced[] = [];
  if (verdict.fence !== null)
    for (const s of scene.masters) {
      if (s === verdict.serve) continue;
      const reason = verdict.fence(s);
      if (reason !== null) fenced.push({ serverId: s.id, reason });
    }
  const decision: Decision = {
    action: verdict.serve === null ? "hold" : "serve",
    serverId: verdict.serve?.id ?? null,
    by: verdict.by,
    reason: verdict.reason,
    situation: counted.situation,
    votes: verdict.votes,
    known: counted.known,
    epoch: verdict.epoch,
    fenced,
    confirmed: verdict.confirmed,
    log: [],
  };
  decision.log = changes(input.previous, decision, verdict.level);
  return decision;
}

function saysMaster(s: ServerView): boolean {
  return s.reachable && s.role === "master";
}

const FIRST_WORD = "waiting for a first word of Sentinels";

function judge(scene: Scene): Verdict {
  const { input } = scene;
  if (input.hints.override != null) return forced(scene, input.hints.override);
  const led = leaderClaim(scene);
  if (led !== null) return chosen(scene, led, "leader");
  switch (scene.count.situation) {
    case "majority":
      return chosen(scene, scene.count.agreed!, "majority");
    case "never":
      if (discovering(scene)) return unconfirmed(scene, FIRST_WORD);
      return withoutSentinels(scene, "no Sentinel was ever seen");
    case "gone":
      if (input.policy === "hold") return holdPolicy(scene, "all Sentinels are gone");
      return withoutSentinels(scene, "all Sentinels are gone");
    case "minority":
      return unconfirmed(scene, minorityText(scene));
    case "unreachable":
      return unconfirmed(scene, "no Sentinel can be reached");
  }
}

// ---- an administrator, a redisha leader, a majority: somebody has chosen ----

function forced(scene: Scene, id: string): Verdict {
  const { input } = scene;
  const s = input.servers.find((v) => v.id === id && v.listed) ?? null;
  const who = s === null ? id : name(s);
  const fence = (): string => `forced to ${who} by an administrator`;
  const base = { by: null, level: "warning" as const, fence, confirmed: input.confirmed, votes: 0, epoch: input.confirmed?.epoch ?? 0 };
  if (s === null) return { ...base, serve: null, reason: `forced to ${who}, which is not a listed server`, fence: null };
  if (!saysMaster(s)) return { ...base, serve: null, reason: `forced to ${who}, which ${state(s)}`, fence: null };
  return { ...base, serve: s, by: "admin", reason: `${who} was forced by an administrator` };
}

/** The redisha leader's word as a claim, when it is still the newest there is. */
function leaderClaim(scene: Scene): Claim | null {
  const { input, count: c } = scene;
  const word = input.hints.leader;
  if (word == null || input.nowMs - word.atMs > input.limits.leaderWordMs) return null;
  const teller = input.sentinels.find((s) => s.id === word.sentinelId);
  if (teller === undefined || (teller.source === "hello" && input.sentinels.some((s) => s.source === "config"))) return null;
  // A majority that answers a later epoch, or the same one, has overtaken the word.
  if (c.agreed !== null && c.agreed.epoch >= word.epoch) return null;
  const server = whoIs(word.address, word.runId, teller.address, input.servers);
  return {
    serverId: server?.id ?? null,
    address: word.address,
    runId: word.runId,
    voters: [word.sentinelId],
    epoch: word.epoch,
    sinceMs: word.atMs,
  };
}

/** A majority (or a leader that speaks for one) has chosen: confirm with the server itself. */
function chosen(scene: Scene, claim: Claim, by: "majority" | "leader"): Verdict {
  const { input, count: c } = scene;
  const x = input.servers.find((s) => s.id === claim.serverId) ?? null;
  const votes = claim.voters.length;
  const whose = by === "leader" ? "the leading Sentinel's, persisted by a majority" : `the choice of ${votes}/${c.known} Sentinels`;
  const confirmed = confirm(input, x, claim.address, claim.epoch, by);
  const base = { votes, epoch: claim.epoch, confirmed };
  const fence = (s: ServerView): string => fencedBy(s, x, claim);
  if (x === null || !x.listed) {
    const swap = x === null || !x.reachable || x.role !== "replica" ? null : swapped(scene, x, claim);
    if (swap !== null) return { ...base, ...swap };
    const reason = `the Sentinels' master ${showAddress(claim.address)} is not a listed server`;
    return { ...base, serve: null, by: null, level: "alert", reason, fence };
  }
  if (saysMaster(x)) {
    const rival = by === "majority" ? promotion(scene, x, claim) : null;
    if (rival !== null) {
      const reason = `${name(rival)} was promoted, its confirmation by a majority is awaited`;
      return { ...base, serve: null, by: null, level: "notice", reason, fence: (s) => (s === x ? null : fence(s)) };
    }
    return { ...base, serve: x, by, level: "notice", reason: `${name(x)} is the master: ${whose}, epoch ${claim.epoch}`, fence };
  }
  if (x.reachable && x.role === "replica") {
    const swap = swapped(scene, x, claim);
    if (swap !== null) return { ...base, ...swap };
  }
  return { ...base, serve: null, by: null, level: "warning", reason: `the Sentinels' master ${name(x)} ${state(x)}`, fence };
}

/** The next `confirmed`. Its history is only taken while it says master: before and after, it is another's. */
function confirm(input: AuthorityInput, s: ServerView | null, address: Address | null, epoch: number, by: Reason): Confirmed {
  const was = input.confirmed;
  const same =
    was !== null &&
    was.serverId === (s?.id ?? null) &&
    (s !== null || (address !== null && was.address !== null && sameAddress(address, was.address)));
  const before = same ? was.history : null;
  return {
    serverId: s?.id ?? null,
    address,
    epoch,
    history: s !== null && saysMaster(s) ? (s.history ?? before) : before,
    sinceMs: same ? was.sinceMs : input.nowMs,
    by,
  };
}

/** Why `s` may not be served beside the claim. */
function fencedBy(s: ServerView, x: ServerView | null, claim: Claim): string {
  if (x !== null && !saysMaster(x) && isPromoted(s, x.history)) return "promoted, but not confirmed by a majority of Sentinels yet";
  return `the Sentinels' master is ${x === null ? showAddress(claim.address) : name(x)}, epoch ${claim.epoch}`;
}

/**
 * The Sentinels' choice says that it is a replica. After an operator's REPLICAOF or FAILOVER they are wrong for half a minute, and the
 * other server is the only one that takes writes: it is served when its data continues the choice's. But just after a promotion the
 * choice's "replica" may simply be an old reading, so it must be younger than the choice.
 */
function swapped(scene: Scene, x: ServerView, claim: Claim): Omit<Verdict, "votes" | "epoch"> | null {
  const { input } = scene;
  const { masters } = scene;
  if (masters.length === 0) return null;
  const was = input.confirmed;
  if (x.atMs < claim.sinceMs + input.limits.swapMarginMs) return null;
  const before = was !== null && was.serverId === x.id ? was.history : null;
  const heirs = masters.filter((m) => continues(m.history, x.history) || continues(m.history, before));
  const followed = heirs.filter((m) => m.history!.replid === x.history?.replid || follows(x, m));
  const heir = heirs.length === 1 ? heirs[0]! : followed.length === 1 ? followed[0]! : null;
  if (heir === null) {
    const others = masters.map(name).join(", ");
    const reason = `the Sentinels' master ${name(x)} is a replica, and ${others} ${masters.length === 1 ? "does" : "do"} not continue its data`;
    return { serve: null, by: null, level: "alert", reason, fence: null, confirmed: was };
  }
  return {
    serve: heir,
    by: "lineage",
    level: "warning",
    reason: `${name(heir)} is the master: the Sentinels still say ${name(x)}, which is a replica now, and the replication ids prove the swap`,
    fence: () => `the Sentinels' master ${name(x)} follows ${name(heir)}`,
    confirmed: confirm(input, heir, heir.addresses[0] ?? null, claim.epoch, "lineage"),
  };
}

/** A server that some Sentinel names with a later epoch and that was promoted from the agreed master: hold, but not for ever. */
function promotion(scene: Scene, x: ServerView, claim: Claim): ServerView | null {
  const { input, count: c, masters } = scene;
  for (const other of c.claims) {
    if (other.epoch <= claim.epoch || other.serverId === null) continue;
    const y = masters.find((m) => m.id === other.serverId && m !== x);
    if (y === undefined || input.nowMs - y.masterSinceMs > input.limits.promotionHoldMs) continue;
    if (isPromoted(y, x.history)) return y;
  }
  return null;
}

// ---- nobody can choose now ----

function minorityText(scene: Scene): string {
  const { count: c } = scene;
  const best = c.claims.length === 0 ? 0 : c.claims[0]!.voters.length;
  if (c.answering >= c.needed)
    return c.claims.length === 0 ? "the Sentinels do not know the name" : `the Sentinels do not agree (${best}/${c.known})`;
  return `only ${c.answering} of ${c.known} Sentinels can be reached`;
}

/** No hello yet, and nothing that says there will be none. */
function discovering(scene: Scene): boolean {
  const { input } = scene;
  return input.servers.some((s) => {
    if (!s.listed || !s.reachable || s.hello === null || s.hello.subscribers === 0) return false;
    return s.hello.listeningSinceMs === 0 || input.nowMs - s.hello.listeningSinceMs < input.limits.discoveryMs;
  });
}

function holdPolicy(scene: Scene, why: string): Verdict {
  const { input } = scene;
  return {
    serve: null,
    by: null,
    reason: `${why}, and redis-partition is hold`,
    level: "alert",
    fence: (s) => (s.id === input.confirmed?.serverId ? null : `${why}`),
    confirmed: input.confirmed,
    votes: 0,
    epoch: input.confirmed?.epoch ?? 0,
  };
}

/** Sentinels exist, a majority cannot be asked or does not agree. */
function unconfirmed(scene: Scene, why: string): Verdict {
  const { input, masters } = scene;
  const was = input.confirmed;
  const base = { votes: scene.count.claims[0]?.voters.length ?? 0, epoch: was?.epoch ?? 0, confirmed: was, level: "warning" as const };
  if (input.policy === "hold") return { ...holdPolicy(scene, why), votes: base.votes };
  if (was === null) return firstWithoutMajority(scene, why);
  const c = input.servers.find((s) => s.id === was.serverId && s.listed) ?? null;
  const stays = c === null ? showAddressOf(was) : name(c);
  const fence = (): string => `${stays} is the last confirmed master`;
  if (c !== null && saysMaster(c)) {
    const rival = agreedRival(scene, c);
    if (rival !== null) {
      const reason = `${name(rival)} was promoted, its confirmation by a majority is awaited`;
      return { ...base, serve: null, by: null, level: "notice", reason, fence: (s) => (s === c ? null : fence()) };
    }
    const confirmed = confirm(input, c, was.address, was.epoch, was.by);
    return { ...base, confirmed, serve: c, by: "stay", reason: `${name(c)} stays the master: ${why}`, fence };
  }
  // Gone or demoted. Whoever was promoted from it continues it, once the promotion is too old to be undone.
  const demoted = c !== null && c.reachable && c.role === "replica";
  const heirs = masters.filter((m) => isPromoted(m, was.history) || (demoted && continues(m.history, c.history)));
  const heir = heirs.length === 1 ? heirs[0]! : null;
  if (heir !== null && input.nowMs - heir.masterSinceMs >= input.limits.settleMs) {
    const confirmed = confirm(input, heir, heir.addresses[0] ?? null, was.epoch, "lineage");
    const reason = `${name(heir)} is the master: ${why}, but it was promoted from ${stays}, which ${c === null ? "is not listed" : state(c)}`;
    return { ...base, confirmed, serve: heir, by: "lineage", reason, fence: () => `${name(heir)} was promoted from ${stays}` };
  }
  return {
    ...base,
    serve: null,
    by: null,
    reason: `${why}, and the last confirmed master ${stays} ${c === null ? "is not listed" : state(c)}`,
    fence,
  };
}

/** Enough Sentinels answer for a majority and they are split: one of them may be leading a failover away from `c` right now. */
function agreedRival(scene: Scene, c: ServerView): ServerView | null {
  const of = scene.count.claims.find((k) => k.serverId === c.id);
  const from: Claim = of ?? {
    serverId: c.id,
    address: c.addresses[0]!,
    runId: c.runId,
    voters: [],
    epoch: scene.input.confirmed?.epoch ?? 0,
    sinceMs: 0,
  };
  return promotion(scene, c, from);
}

/**
 * Nothing was ever confirmed: serve at once only what every listed server agrees on, so that a cut-off part of the set cannot pass for all
 * of it; and what nobody within reach disagrees with after `aloneMs` (a dead replica, Sentinels behind NAT: no reason to serve nobody).
 */
function firstWithoutMajority(scene: Scene, why: string): Verdict {
  const { input, masters } = scene;
  const base = { votes: scene.count.claims[0]?.voters.length ?? 0, epoch: 0, confirmed: null, fence: null, level: "warning" as const };
  const listed = input.servers.filter((s) => s.listed);
  const m = masters.length === 2 ? promotedOf(masters) : masters.length === 1 ? masters[0]! : null;
  const agrees = (s: ServerView): boolean =>
    saysMaster(s) || follows(s, m!) || (s.history !== null && s.history.replid === m!.history?.replid);
  const whole = m !== null && listed.every((s) => s === m || (s.reachable && agrees(s)));
  // A single server agrees with itself: where Sentinels are about to be heard that is not worth much.
  const atOnce = whole && !(listed.length < 2 && why === FIRST_WORD);
  const others = scene.count.claims.some((c) => c.serverId !== m?.id);
  const late =
    m !== null &&
    !others &&
    input.nowMs - m.masterSinceMs >= input.limits.aloneMs &&
    listed.every((s) => s === m || !s.reachable || agrees(s));
  if (m === null || (!atOnce && !late)) {
    const reason = `${why}, no master was confirmed before${masters.length === 0 ? " and no server says master" : ""}`;
    return { ...base, serve: null, by: null, reason };
  }
  const confirmed = confirm(input, m, m.addresses[0] ?? null, 0, "alone");
  const reason = `${name(m)} is the master: ${why}, but ${atOnce ? "all listed servers agree" : "nobody within reach disagrees"}`;
  return { ...base, confirmed, serve: m, by: "alone", reason, fence: () => `${name(m)} was promoted from it` };
}

/** There are no Sentinels, or all have stopped: nobody can have elected another master, so the servers' own words are all there is. */
function withoutSentinels(scene: Scene, why: string): Verdict {
  const { input, masters } = scene;
  const was = input.confirmed;
  const base = { votes: 0, epoch: was?.epoch ?? 0, confirmed: was };
  if (masters.length === 0)
    return { ...base, serve: null, by: null, level: "alert", reason: `${why}, and no server says master`, fence: null };
  const [m, because] = prefer(masters, was);
  if (m === null) {
    const reason = `${why}, and ${masters.map(name).join(" and ")} all say master with unrelated data`;
    return { ...base, serve: null, by: null, level: "alert", reason, fence: null };
  }
  const confirmed = confirm(input, m, m.addresses[0] ?? null, base.epoch, "alone");
  const level = masters.length > 1 ? "alert" : "notice";
  const by = m.id === was?.serverId ? "stay" : masters.length > 1 ? "lineage" : "alone";
  return {
    ...base,
    confirmed,
    serve: m,
    by,
    level,
    reason: `${name(m)} is the master: ${why}, ${because}`,
    fence: () => `${name(m)} is the master, ${because}`,
  };
}

/** One of several that say master (spec/proxy.md 3.5 A5). */
function prefer(masters: readonly ServerView[], was: Confirmed | null): [ServerView | null, string] {
  if (masters.length === 1) return [masters[0]!, "it alone says master"];
  const promoted = promotedOf(masters);
  if (promoted !== null) return [promoted, "it was promoted from the other"];
  const stays = masters.find((m) => m.id === was?.serverId);
  if (stays !== undefined) return [stays, "it was the master before"];
  const best = [...masters].sort(
    (a, b) => b.connectedReplicas - a.connectedReplicas || (b.history?.offset ?? -1) - (a.history?.offset ?? -1),
  );
  const [first, second] = [best[0]!, best[1]!];
  if (first.connectedReplicas > second.connectedReplicas) return [first, "it has the most replicas"];
  if ((first.history?.offset ?? -1) > (second.history?.offset ?? -1)) return [first, "it has the highest offset"];
  return [null, ""];
}

/**
 * True when `s` was promoted from `from`. Where its beginning was not watched its replication ids alone tell, and they are not believed of one
 * that has taken no write since while the other went on: that is how old files look when they are loaded.
 */
function isPromoted(s: ServerView, from: History | null): boolean {
  if (s.history === null || from === null || s.born === "master") return false;
  const l = lineage(s.history, from);
  if (l.kind !== "successor") return false;
  return s.born === "replica" || l.divergedBytes === 0 || s.history.offset >= s.history.secondOffset;
}

/** The one that was promoted from every other, or null. */
function promotedOf(masters: readonly ServerView[]): ServerView | null {
  const heirs = masters.filter((m) => masters.every((o) => o === m || isPromoted(m, o.history)));
  return heirs.length === 1 ? heirs[0]! : null;
}

function follows(s: ServerView, m: ServerView): boolean {
  return s.following !== null && m.addresses.some((a) => sameAddress(a, s.following!));
}

// ---- announced failovers, and words ----

/** A Sentinel has announced a failover: the master it is about gets nothing new for a moment, unless the choice has moved on already. */
function holdForFailover(scene: Scene, v: Verdict): Verdict {
  const { input } = scene;
  const hold = input.hints.failover;
  if (hold == null || input.nowMs >= hold.untilMs || v.serve === null || v.by === "admin") return v;
  const before = input.confirmed;
  const keeps = v.serve;
  // The choice has moved on: this is the failover's outcome, not its victim.
  if (before !== null && (before.serverId !== keeps.id || before.sinceMs > hold.sinceMs)) return v;
  if (hold.selected !== null && keeps.addresses.some((a) => sameAddress(a, hold.selected!))) return v;
  const fence = v.fence;
  return {
    ...v,
    serve: null,
    by: null,
    level: "notice",
    reason: `a Sentinel has started a failover of ${name(keeps)}${hold.selected === null ? "" : ` to ${showAddress(hold.selected)}`}`,
    fence: fence === null ? null : (s) => (s === keeps ? null : fence(s)),
  };
}

function changes(before: Decision | null, now: Decision, level: AuthorityLine["level"]): AuthorityLine[] {
  const lines: AuthorityLine[] = [];
  const moved = before === null || before.action !== now.action || before.serverId !== now.serverId || before.by !== now.by;
  if (moved || (now.action === "hold" && before.reason !== now.reason))
    lines.push({ level, text: `${now.action === "serve" ? "serving" : "holding"}: ${now.reason}` });
  const had = new Map((before?.fenced ?? []).map((f) => [f.serverId, f.reason]));
  for (const f of now.fenced) {
    if (!had.has(f.serverId)) lines.push({ level: "warning", text: `${f.serverId} says master and is fenced: ${f.reason}` });
    had.delete(f.serverId);
  }
  for (const id of had.keys()) lines.push({ level: "notice", text: `${id} is no longer fenced` });
  return lines;
}

function name(s: ServerView): string {
  return s.id;
}

function showAddressOf(c: Confirmed): string {
  return c.address === null ? "?" : showAddress(c.address);
}

function state(s: ServerView): string {
  if (!s.reachable) return "cannot be reached";
  return s.role === "replica" ? "is a replica" : s.role === "master" ? "is a master" : "has not told its role";
}

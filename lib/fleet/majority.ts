/**
 * What a majority of Sentinels says now. Pure. Used by the authority (authority.ts), a server's boot fence, Sentinel and status.
 *
 * Three rules keep one Sentinel, or a forged one, from deciding:
 * - the denominator is the largest num-other-sentinels + 1 that anybody ever reported, never less than the `sentinel` lines of the
 *   configuration or the Sentinels that answer: a Sentinel that lost its file and knows nobody is not "1 of 1";
 * - a Sentinel counts once, by its own id (SENTINEL MYID), under however many addresses it is known;
 * - where the configuration names Sentinels, those learnt from hellos alone do not count (what a named one lists as its peers does).
 * Answers agree when they mean one server at one config epoch. Which server is a matter of run_id first, address second (localhost, NAT and
 * announce-ip give one server many addresses), so this module needs the servers too. The epoch must be the one that goes with the address:
 * ask for the address, SENTINEL MASTER, and the address again, and start anew when the two addresses differ.
 */
import type { Address } from "./hello.ts";
import { isLoopback, sameAddress, showAddress } from "./hello.ts";

/** What one Sentinel last said about the master's name. */
export type SentinelAnswer = {
  /** SENTINEL GET-MASTER-ADDR-BY-NAME; null when it does not know the name. */
  address: Address | null;
  /** The run_id which that Sentinel lists for exactly this address (SENTINEL MASTER, or REPLICAS just after a promotion); null if none. */
  runId: string | null;
  /** config-epoch of SENTINEL MASTER. Epochs are per name and start again after REMOVE + MONITOR, so they only break ties. */
  configEpoch: number;
  /** num-other-sentinels of SENTINEL MASTER. */
  otherSentinels: number;
  /** When the reply came. */
  atMs: number;
  /** When this Sentinel first gave this address, without another one since. */
  sinceMs: number;
};

/** A Sentinel as the asker knows it. */
export type SentinelView = {
  /** SENTINEL MYID; until that is known, the hello's run id or `host:port`. */
  id: string;
  address: Address;
  /** A line of the configuration; listed by a named Sentinel (SENTINEL SENTINELS); only heard of in a hello. */
  source: "config" | "peer" | "hello";
  /** How the last attempt to ask ended: answered or under way; no connection or no reply in time; connection refused. */
  link: "up" | "lost" | "refused";
  /** The last answer ever, kept while the link is down. */
  answer: SentinelAnswer | null;
};

/** The part of a server that answers are matched with. */
export type Identity = { id: string; runId: string | null; addresses: readonly Address[] };

/** One choice and who made it. */
export type Claim = {
  /** The server meant, when it is known at all (listed or not). */
  serverId: string | null;
  /** One address of it, as told. */
  address: Address;
  runId: string | null;
  /** Ids of the Sentinels that say so. */
  voters: string[];
  /** The config epoch that all of them hold. */
  epoch: number;
  /** When the last needed voter joined; with a minority, when the last one joined. */
  sinceMs: number;
};

/** The state of the world of Sentinels, seen from here. */
export type Situation =
  /** No Sentinel was ever heard of. */
  | "never"
  /** Sentinels are known, none answers. */
  | "unreachable"
  /** Some answer, but no majority says the same. */
  | "minority"
  | "majority"
  /** Every known Sentinel refuses connections: their processes are gone. */
  | "gone";

/** The count. */
export type Count = {
  situation: Situation;
  /** The denominator; 0 when no Sentinel is known. */
  known: number;
  needed: number;
  /** Sentinels that answer now. */
  answering: number;
  /** The claim that reached `needed`; null in every situation but "majority". */
  agreed: Claim | null;
  /** All claims of those that answer, most votes first, then highest epoch. */
  claims: Claim[];
};

/** Smallest number that is more than half of `known`. */
export function majorityOf(known: number): number {
  return Math.floor(known / 2) + 1;
}

/** Counts what the Sentinels answer at `nowMs`; an answer older than `maxAgeMs` is no longer one. */
export function count(sentinels: readonly SentinelView[], servers: readonly Identity[], nowMs: number, maxAgeMs: number): Count {
  const named = sentinels.some((s) => s.source === "config");
  const counted = distinct(named ? sentinels.filter((s) => s.source !== "hello") : sentinels);
  const fresh = counted.filter((s) => s.link === "up" && s.answer !== null && nowMs - s.answer.atMs <= maxAgeMs);
  let known = Math.max(fresh.length, counted.filter((s) => s.source === "config").length);
  for (const s of counted) if (s.answer !== null && s.answer.address !== null) known = Math.max(known, s.answer.otherSentinels + 1);
  const needed = majorityOf(known);
  const claims = claimsOf(fresh, servers, needed);
  const agreed = known > 0 && claims.length > 0 && claims[0]!.voters.length >= needed ? claims[0]! : null;
  let situation: Situation;
  if (counted.length === 0) situation = "never";
  else if (agreed !== null) situation = "majority";
  else if (fresh.length > 0) situation = "minority";
  else situation = counted.every((s) => s.link === "refused") ? "gone" : "unreachable";
  return { situation, known: counted.length === 0 ? 0 : Math.max(known, 1), needed, answering: fresh.length, agreed, claims };
}

/** One view a Sentinel: by id, the one that answered last. Configuration lines keep their rank. */
function distinct(views: readonly SentinelView[]): SentinelView[] {
  const byId = new Map<string, SentinelView>();
  for (const v of views) {
    const had = byId.get(v.id);
    if (had === undefined) {
      byId.set(v.id, v);
      continue;
    }
    const newer = (v.answer?.atMs ?? -1) > (had.answer?.atMs ?? -1) || (v.link === "up" && had.link !== "up" && v.answer !== null);
    const kept = newer ? v : had;
    byId.set(v.id, { ...kept, source: had.source === "config" || v.source === "config" ? "config" : kept.source });
  }
  return [...byId.values()];
}

function claimsOf(fresh: readonly SentinelView[], servers: readonly Identity[], needed: number): Claim[] {
  const groups = new Map<string, { claim: Claim; joined: number[] }>();
  for (const s of fresh) {
    const a = s.answer!;
    if (a.address === null) continue;
    const server = whoIs(a.address, a.runId, s.address, servers);
    // Two Sentinels that know one unlisted server under two addresses still agree when both tell its run_id.
    const runId = a.runId === "" ? null : a.runId;
    const who = server !== null ? `=${server.id}` : runId !== null ? `#${runId}` : showAddress(a.address).toLowerCase();
    // A server can be master twice. Who still says so from the first time does not agree with who says so now.
    const key = `${a.configEpoch} ${who}`;
    let group = groups.get(key);
    if (group === undefined) {
      const claim = { serverId: server?.id ?? null, address: a.address, runId, voters: [], epoch: a.configEpoch, sinceMs: 0 };
      group = { claim, joined: [] };
      groups.set(key, group);
    }
    group.claim.voters.push(s.id);
    group.claim.runId ??= runId;
    group.joined.push(a.sinceMs);
  }
  for (const { claim, joined } of groups.values()) {
    const at = Math.min(needed, joined.length) - 1;
    claim.sinceMs = joined.sort((x, y) => x - y)[at]!;
  }
  return [...groups.values()].map((g) => g.claim).sort((x, y) => y.voters.length - x.voters.length || y.epoch - x.epoch);
}

/**
 * The server that `teller` means by this address and run_id, or null. The run_id decides where one server has it. Otherwise the address does
 * (the process may have been restarted since, or its run_id not be known yet), unless it is a loopback address told by another machine.
 */
export function whoIs(address: Address, runId: string | null, teller: Address, servers: readonly Identity[]): Identity | null {
  if (runId !== null && runId !== "") {
    const known = servers.find((s) => s.runId === runId);
    if (known !== undefined) return known;
  }
  if (isLoopback(address.host) && !isLoopback(teller.host)) return null;
  return servers.find((s) => s.addresses.some((a) => sameAddress(a, address))) ?? null;
}

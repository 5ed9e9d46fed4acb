/**
 * Two addresses under one config epoch. Pure. It should never be; it comes about all the same:
 * - SENTINEL FAILOVER on the lesser side of a partition takes an epoch without a majority (as it must: it is the operator's last resort),
 *   and the other side elects a leader in the same one;
 * - a file restored from a backup has forgotten a vote;
 * - an original that leads takes over another's epoch and ends with its own address under it.
 * Epochs alone never resolve it, as nobody follows an equal one, and both sides demote each other's master.
 *
 *   hello with our epoch and another address --a publish period--> a majority says the other one: follow it
 *                                            --four of them-----> ours is said by more (or by as many, and sorts first): an election
 *                                                                 gives it an epoch of its own, which everybody follows, originals too
 *
 * Left alone: epoch 0, where the addresses are the operators' (one server may have several), and addresses that are no replica of this
 * master (another set that goes by the same name).
 */
import { namesAddr, shown } from "./addr.ts";
import { startReaffirming, turnDelay } from "./failover.ts";
import { follow } from "./hello.ts";
import { NEVER, log, majority, wake, type Claim, type Master, type Peer, type Replica, type Turn } from "./state.ts";

/** Hellos come once a publish period; what was said longer ago counts for nothing. */
const FRESH_PERIODS = 3;
const FOLLOW_PERIODS = 1;
const STAND_PERIODS = 4;

function names(t: Turn, ri: Master | Replica, claim: Claim): boolean {
  return claim.port === ri.addr.port && namesAddr(t.s, ri.addr, claim.host);
}

interface Rival {
  replica: Replica;
  said: number;
  by: Peer;
}

/** Who says what under our epoch: how many our own address, and the address most often said beside it. */
function count(t: Turn, m: Master): { mine: number; rival: Rival | null } {
  let mine = 1;
  const rivals = new Map<Replica, Rival>();
  for (const p of m.peers.values()) {
    if (p.claim.epoch !== m.configEpoch || t.now - p.lastHelloMs > t.s.periods.publish * FRESH_PERIODS) continue;
    if (names(t, m, p.claim)) {
      mine++;
      continue;
    }
    for (const replica of m.replicas.values()) {
      if (!names(t, replica, p.claim)) continue;
      const rival = rivals.get(replica) ?? { replica, said: 0, by: p };
      rival.said++;
      rivals.set(replica, rival);
    }
  }
  let rival: Rival | null = null;
  for (const r of rivals.values())
    if (rival === null || r.said > rival.said || (r.said === rival.said && r.replica.name < rival.replica.name)) rival = r;
  return { mine, rival };
}

/** Called at every visit of a master. */
export function considerDispute(t: Turn, m: Master): void {
  if (m.disputeMs === NEVER || m.failoverState !== "none") return;
  const { mine, rival } = count(t, m);
  if (rival === null) {
    m.disputeMs = NEVER;
    return;
  }
  const { publish } = t.s.periods;
  const followMs = m.disputeMs + publish * FOLLOW_PERIODS;
  if (t.now < followMs) return wake(m, followMs);
  if (rival.said >= majority(m)) {
    m.disputeMs = NEVER;
    log(t, "warning", `'${m.name}': a majority says ${rival.replica.name} in our epoch ${m.configEpoch}: it is followed`);
    return follow(t, m, rival.by, rival.replica.addr, shown(t.s, rival.replica.addr), m.configEpoch);
  }
  const standMs = Math.max(
    m.disputeMs + publish * STAND_PERIODS,
    m.retryMs !== NEVER ? m.retryMs : m.failoverStartMs + m.failoverTimeoutMs * 2,
  );
  if (t.now < standMs) return wake(m, standMs);
  // The others' word may change, our master come back, our file be written again.
  wake(m, t.now + publish);
  if (m.sdown || m.roleReported !== "master") return;
  const first = `${shown(t.s, m.addr)}:${m.addr.port}` < rival.replica.name;
  if (mine < rival.said || (mine === rival.said && !first) || t.s.unsavedRetryMs !== NEVER) return;
  if (m.candidacyMs === NEVER) m.candidacyMs = t.now + turnDelay(t, m);
  if (t.now < m.candidacyMs) return wake(m, m.candidacyMs);
  log(
    t,
    "warning",
    `'${m.name}': ${rival.said} say ${rival.replica.name} in our epoch ${m.configEpoch}, ${mine} with us do not: a new epoch settles it`,
  );
  startReaffirming(t, m);
}

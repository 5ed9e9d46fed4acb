/**
 * Who descends from whom: replication ids as a family tree. Pure.
 *
 * A master names its stream of writes by `replid`; replicas carry their master's. A replica that becomes a master takes a new replid and
 * remembers the old one as `replid2`, valid below `second_repl_offset` (Redis replication.c: shiftReplicationId). So two servers' four
 * numbers tell whether one was promoted from the other, and how much the other has written since (spec/proxy.md 3.5 A5).
 * What it cannot tell: a server that was promoted twice forgets its grandparents.
 */

/** replid2 of a server that was never promoted. */
export const NO_REPLID = "0".repeat(40);

/** INFO's master_replid, master_replid2, second_repl_offset and the server's own offset. */
export type History = { replid: string; replid2: string; secondOffset: number; offset: number };

/** How `a` stands to `b`. */
export type Lineage =
  /** One stream: a master and its replica, or two replicas of one master. */
  | { kind: "same" }
  /** `a` was promoted from `b`'s stream; `divergedBytes` of it were written on `b` after the fork and are not in `a`. */
  | { kind: "successor"; divergedBytes: number }
  /** `b` was promoted from `a`'s stream. */
  | { kind: "predecessor"; divergedBytes: number }
  /** Both were promoted from one stream; positive `aheadBytes` when `a` forked later, that is, has more of it. */
  | { kind: "siblings"; aheadBytes: number }
  | { kind: "unrelated" };

function told(replid: string): boolean {
  return replid !== "" && replid !== NO_REPLID && replid !== "?";
}

/** Compares two histories. Histories that were not told are unrelated to everything. */
export function lineage(a: History, b: History): Lineage {
  if (told(a.replid) && a.replid === b.replid) return { kind: "same" };
  const aFromB = told(b.replid) && a.replid2 === b.replid;
  const bFromA = told(a.replid) && b.replid2 === a.replid;
  // Both at once happens when two servers were promoted back and forth: the later fork has the higher offset.
  if (aFromB && (!bFromA || a.secondOffset >= b.secondOffset))
    return { kind: "successor", divergedBytes: Math.max(0, b.offset - (a.secondOffset - 1)) };
  if (bFromA) return { kind: "predecessor", divergedBytes: Math.max(0, a.offset - (b.secondOffset - 1)) };
  if (told(a.replid2) && a.replid2 === b.replid2) return { kind: "siblings", aheadBytes: a.secondOffset - b.secondOffset };
  return { kind: "unrelated" };
}

/** True when `a` continues `b`'s data: the same stream, or promoted from it. */
export function continues(a: History | null, b: History | null): boolean {
  if (a === null || b === null) return false;
  const kind = lineage(a, b).kind;
  return kind === "same" || kind === "successor";
}

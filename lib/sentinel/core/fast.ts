/**
 * `fast-failover`: a master whose process is gone counts as down at once instead of after down-after. Pure.
 *
 * What counts as proof, all of it together: a fresh connection was refused (a reset alone proves nothing: CLIENT KILL and maxclients reset
 * healthy links); every replica within reach has lost its link to the master too, and its offset stood still over two reads; and
 * Sentinels of ours alone make up quorum and majority, because an original would still wait for down-after and call the rest a mistake.
 * ODOWN and the election follow as ever.
 */
import { NEVER, disconnected, majority, touch, type Master, type Replica, type Turn } from "./state.ts";

/** Between two reads of a replica's offset. */
export const READ_MS = 15;
/** The last refusal is no older than this: connections are tried every 100 ms. */
const FRESH_MS = 500;
/** Reads that have to agree. */
const READS = 2;

/** A new connection to the master was refused, or (`refused` false) came about. */
export function onKnock(t: Turn, m: Master, refused: boolean): void {
  const first = m.refusedMs === NEVER;
  m.refusedMs = refused && m.fastFailover ? t.now : NEVER;
  if (m.refusedMs === NEVER || !first) return;
  for (const r of m.replicas.values()) {
    r.stillReads = 0;
    r.infoDue = true;
    touch(t, r);
  }
}

/** A replica's INFO: does its offset stand still while its link is down? `before` is the offset that was known. */
export function onOffset(r: Replica, before: number): void {
  r.stillReads = r.masterLinkUp ? 0 : r.offset === before ? r.stillReads + 1 : 1;
}

/** More reads are wanted soon. */
export function wantsReads(r: Replica): boolean {
  return r.master.refusedMs !== NEVER && !r.master.sdown && r.stillReads < READS;
}

/** The proof is complete. */
export function provenDead(t: Turn, m: Master): boolean {
  if (!m.fastFailover || t.now - m.refusedMs > FRESH_MS || m.link.cmd.up) return false;
  let ours = 1;
  for (const p of m.peers.values()) if (p.link.program === "ours" && !p.sdown) ours++;
  if (ours < Math.max(majority(m), m.quorum)) return false;
  let witnesses = 0;
  for (const r of m.replicas.values()) {
    if (r.sdown || disconnected(r)) continue;
    if (r.masterLinkUp || r.infoMs < r.link.cmd.upMs || r.stillReads < READS) return false;
    witnesses++;
  }
  return witnesses > 0;
}

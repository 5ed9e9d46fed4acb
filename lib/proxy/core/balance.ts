/**
 * Which server takes the next connection (HAProxy configuration 4.2 "balance"): leastconn, first, random; roundrobin,
 * static-rr and source have their tables in round_robin.ts.
 * Pure; the caller hands in the servers that are usable now, in file order, and gets one of them or null. HOT-ish: once a connection.
 */

/** What the algorithms read of a server. */
export interface Candidate {
  /** Effective weight: 0 takes no new connections. */
  weight: number;
  /** Connections being served. */
  active: number;
  /** Waiting for a slot of this server. */
  queued: number;
  /** 0: no limit. */
  maxconn: number;
  /** Position in the section, from 0: tells equal servers apart. */
  order: number;
  /** leastconn: when its load last changed. */
  turn: number;
}

/** What leastconn keeps for a backend. */
export interface Wheel {
  picks: number;
}
export function newWheel(): Wheel {
  return { picks: 0 };
}

function hasRoom(s: Candidate): boolean {
  return s.maxconn === 0 || s.active < s.maxconn;
}

/** What counts for leastconn: connections, one more once there are any, by weight; whole numbers, as the original sorts by them. */
function load(s: Candidate): number {
  const n = s.active + s.queued;
  return n === 0 ? 0 : Math.floor(((n + 1) * 4096) / Math.round(s.weight * 16));
}
/** The least loaded; among equals the one whose load has not changed for the longest time. */
export function leastConn<T extends Candidate>(wheel: Wheel, servers: readonly T[], avoid: T | null): T | null {
  let best: T | null = null;
  for (const s of servers) {
    if (s.weight === 0 || s === avoid) continue;
    if (best === null) {
      best = s;
      continue;
    }
    const order = load(s) - load(best);
    if (order < 0 || (order === 0 && s.turn < best.turn)) best = s;
  }
  best ??= avoid !== null && avoid.weight > 0 && servers.includes(avoid) ? avoid : null;
  if (best !== null) touched(wheel, best);
  return best;
}
/** Its load has changed: it stands behind those that have the same. */
export function touched(wheel: Wheel, s: Candidate): void {
  s.turn = ++wheel.picks;
}

/** The first server with a free slot; when all are full the first of all takes the queue. */
export function first<T extends Candidate>(servers: readonly T[], avoid: T | null): T | null {
  let any: T | null = null;
  for (const s of servers) {
    if (s.weight === 0 || s === avoid) continue;
    any ??= s;
    if (hasRoom(s)) return s;
  }
  return any ?? (avoid !== null && avoid.weight > 0 && servers.includes(avoid) ? avoid : null);
}

/** The number `balance source` starts from: an IPv4 address as its 32 bits, IPv6 folded to them (HAProxy hashes the address alone). */
export function sourceHash(address: string): number {
  const v4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (v4 !== null) return ((Number(v4[1]) << 24) | (Number(v4[2]) << 16) | (Number(v4[3]) << 8) | Number(v4[4])) >>> 0;
  let h = 0;
  for (let i = 0; i < address.length; i++) h = (Math.imul(h, 31) + address.charCodeAt(i)) >>> 0;
  return h;
}

/** `draws` servers by weight, the least loaded of them wins. `random` gives numbers in 0..1. */
export function randomDraws<T extends Candidate>(servers: readonly T[], draws: number, random: () => number): T | null {
  let best: T | null = null;
  let total = 0;
  for (const s of servers) total += s.weight;
  if (total === 0) return null;
  for (let i = 0; i < draws; i++) {
    let n = Math.floor(random() * total);
    for (const s of servers) {
      if (n >= s.weight) {
        n -= s.weight;
        continue;
      }
      if (best === null || s.active * best.weight < best.active * s.weight) best = s;
      break;
    }
  }
  return best;
}

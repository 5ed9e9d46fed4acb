/**
 * What the parts of a set say about themselves, as --status gathers it: plain records, no I/O. `gather.ts` fills them, `judge.ts` reads
 * them, `view.ts` draws them.
 */
import type { Address } from "../fleet/hello.ts";
import type { Traffic } from "../page/page.ts";
import type { ReplicationInfo } from "../fleet/replication.ts";

/** A part that was asked: how that went. */
export interface Part {
  address: Address;
  /** Why there is no answer; null when there is one. */
  error: string | null;
}

export interface ServerFacts extends Part {
  kind: "server";
  /** All addresses under which it is known. */
  names: Address[];
  info: ReplicationInfo | null;
  /** Round trip of a PING; null when it was not asked. */
  pingMs: number | null;
  /** All fields of INFO. */
  fields: ReadonlyMap<string, string>;
}

/** One failover, as a redisha Sentinel remembers it (SENTINEL FAILOVERS). */
export interface FailoverFacts {
  epoch: number;
  reason: string;
  result: string;
  startIso: string;
  from: string;
  to: string;
  leader: string;
  /** Milliseconds after the start. */
  steps: { event: string; ms: number }[];
}

/** What one Sentinel says about one master. */
export interface MasterView {
  name: string;
  address: Address;
  flags: string[];
  epoch: number;
  quorum: number;
  downAfterMs: number;
  otherSentinels: number;
  replicas: Record<string, string>[];
  /** The other Sentinels that it knows: run id, address, flags, last vote. */
  peers: Record<string, string>[];
  /** Newest first; none from an original. */
  failovers: FailoverFacts[];
}

export interface SentinelFacts extends Part {
  kind: "sentinel";
  names: Address[];
  id: string;
  isRedisha: boolean;
  tilt: boolean;
  masters: MasterView[];
}

/** A proxy, seen from in front: the server that answers through it. */
export interface ProxyFacts extends Part {
  kind: "proxy";
  /** Run id and port of that server. */
  runId: string;
  serverPort: number;
  role: string;
}

/** A proxy, seen through its statistics socket. */
export interface StatsFacts extends Part {
  kind: "stats";
  path: string;
  rows: Record<string, string>[];
  /** Of redisha in mode redis. */
  traffic: Traffic[];
}

export interface Facts {
  servers: ServerFacts[];
  sentinels: SentinelFacts[];
  proxies: ProxyFacts[];
  stats: StatsFacts[];
  /** Addresses that were asked for and are none of these. */
  unknown: Part[];
}

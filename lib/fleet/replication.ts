/**
 * What a server says about its part in replication: INFO text and ROLE replies as records. Pure, cold.
 * Absent fields get the value that means "not told", so that old servers and odd proxies never break a reader.
 */
import type { Address } from "./hello.ts";
import { leadingNumber } from "./hello.ts";
import type { History } from "./lineage.ts";
import { NO_REPLID } from "./lineage.ts";

/** What a server reports itself to be. */
export type Role = "master" | "replica" | "unknown";

/** One `slaveN:` line of a master's INFO. */
export type ReplicaLine = { host: string; port: number; state: string; offset: number; lagSeconds: number };

/** INFO's replication section, with the few fields of other sections that decisions need. */
export type ReplicationInfo = {
  role: Role;
  /** Of the process; "" when the text had no server section. */
  runId: string;
  masterHost: string;
  masterPort: number;
  masterLinkUp: boolean;
  syncInProgress: boolean;
  /** Seconds since the link to the master went down; 0 when it is up or was not told (INFO: master_link_down_since_seconds). */
  masterLinkDownSeconds: number;
  /** Lower is preferred, 0 means never; 100 when not told (Redis: SENTINEL_DEFAULT_SLAVE_PRIORITY). */
  priority: number;
  announced: boolean;
  /** slave_repl_offset of a replica, master_repl_offset of a master. */
  offset: number;
  history: History;
  connectedReplicas: number;
  replicas: ReplicaLine[];
  /** `no-failover`, `waiting-for-sync`, `failover-in-progress`; "" before Redis 6.2. */
  failoverState: string;
  loading: boolean;
  /** `redisha`, `valkey` or "" (Redis). */
  serverName: string;
  version: string;
};

/** INFO text (any sections) as a map of its `name:value` lines. */
export function infoFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (let at = 0; at < text.length;) {
    let end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    const colon = text.indexOf(":", at);
    const stop = text.charCodeAt(end - 1) === 13 ? end - 1 : end;
    if (colon > at && colon < stop + 1 && text.charCodeAt(at) !== 35) fields.set(text.slice(at, colon), text.slice(colon + 1, stop));
    at = end + 1;
  }
  return fields;
}

/** Reads INFO (whole, or `INFO replication`). Never fails: what is missing is "not told". */
export function parseInfo(text: string): ReplicationInfo {
  const f = infoFields(text);
  const text0 = (k: string): string => f.get(k) ?? "";
  const number0 = (k: string, or = 0): number => {
    const v = Number(f.get(k) ?? or);
    return Number.isFinite(v) ? v : or;
  };
  const role = text0("role") === "master" ? "master" : text0("role") === "slave" ? "replica" : "unknown";
  const masterOffset = number0("master_repl_offset", -1);
  const offset = role === "replica" ? number0("slave_repl_offset", masterOffset) : masterOffset;
  return {
    role,
    runId: text0("run_id"),
    masterHost: text0("master_host"),
    masterPort: number0("master_port"),
    masterLinkUp: text0("master_link_status") === "up",
    syncInProgress: text0("master_sync_in_progress") === "1",
    masterLinkDownSeconds: Math.max(0, number0("master_link_down_since_seconds")),
    priority: number0("slave_priority", 100),
    announced: text0("replica_announced") !== "0",
    offset,
    history: {
      replid: text0("master_replid"),
      replid2: text0("master_replid2") || NO_REPLID,
      secondOffset: number0("second_repl_offset", -1),
      offset,
    },
    connectedReplicas: number0("connected_slaves"),
    replicas: replicaLines(f),
    failoverState: text0("master_failover_state"),
    loading: text0("loading") === "1",
    serverName: f.has("redisha_version") ? "redisha" : text0("server_name"),
    version: text0("redis_version"),
  };
}

/** The `slaveN:ip=..,port=..,state=..,offset=..,lag=..` lines, and the `slaveN:ip,port,state` form before Redis 2.8. */
function replicaLines(fields: Map<string, string>): ReplicaLine[] {
  const lines: ReplicaLine[] = [];
  for (const [name, value] of fields) {
    if (!name.startsWith("slave") || !/^slave\d+$/.test(name)) continue;
    const parts = value.split(",");
    if (!value.includes("ip=")) {
      if (parts.length >= 3) lines.push({ host: parts[0]!, port: leadingNumber(parts[1]!), state: parts[2]!, offset: 0, lagSeconds: 0 });
      continue;
    }
    const of: Record<string, string> = {};
    for (const p of parts) {
      const eq = p.indexOf("=");
      if (eq > 0) of[p.slice(0, eq)] = p.slice(eq + 1);
    }
    lines.push({
      host: of["ip"] ?? "",
      port: leadingNumber(of["port"] ?? ""),
      state: of["state"] ?? "",
      offset: leadingNumber(of["offset"] ?? ""),
      lagSeconds: leadingNumber(of["lag"] ?? ""),
    });
  }
  return lines;
}

/** A ROLE reply as a record. */
export type RoleInfo =
  | { role: "master"; offset: number; replicas: { host: string; port: number; offset: number }[] }
  | { role: "replica"; master: Address; link: string; offset: number }
  | { role: "sentinel"; masters: string[] };

/** Reads a ROLE reply as lib/resp decodes it (nested arrays of strings and numbers); null when it is anything else, an error for instance. */
export function parseRole(reply: unknown): RoleInfo | null {
  if (!Array.isArray(reply)) return null;
  const list = (v: unknown): unknown[] => (Array.isArray(v) ? v : []);
  switch (reply[0]) {
    case "master":
      return {
        role: "master",
        offset: Number(reply[1]),
        replicas: list(reply[2]).map((r) => ({ host: String(list(r)[0]), port: Number(list(r)[1]), offset: Number(list(r)[2]) })),
      };
    case "slave":
      return {
        role: "replica",
        master: { host: String(reply[1]), port: Number(reply[2]) },
        link: String(reply[3]),
        offset: Number(reply[4]),
      };
    case "sentinel":
      return { role: "sentinel", masters: list(reply[1]).map(String) };
    default:
      return null;
  }
}

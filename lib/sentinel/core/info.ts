/** What Sentinel reads out of a server's INFO. Pure. Redis sentinel.c: sentinelRefreshInstanceInfo, the reading half. */
import { atoi } from "./text.ts";

export interface InfoFacts {
  runid: string;
  role: "master" | "slave" | "";
  /** slaveN lines: who is attached to a master. */
  replicas: { host: string; port: number }[];
  masterLinkDownMs: number;
  /** Absent fields stay undefined: the instance keeps what it had. */
  masterHost?: string;
  masterPort?: number;
  masterLinkUp?: boolean;
  syncing?: boolean;
  priority?: number;
  offset?: number;
  announced?: boolean;
  replid?: string;
  replid2?: string;
}

export function readInfo(text: string): InfoFacts {
  const f: InfoFacts = { runid: "", role: "", replicas: [], masterLinkDownMs: 0 };
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const key = line.slice(0, colon);
    const value = line.slice(colon + 1);
    if (key === "run_id" && value.length >= 40) f.runid = value.slice(0, 40);
    else if (key === "role") f.role = value.startsWith("master") ? "master" : value.startsWith("slave") ? "slave" : "";
    else if (key === "master_link_down_since_seconds") f.masterLinkDownMs = atoi(value) * 1000;
    else if (key === "master_replid") f.replid = value;
    else if (key === "master_replid2") f.replid2 = value;
    else if (/^slave\d/.test(key)) attached(f, value);
    else if (f.role === "slave") replicaField(f, key, value);
  }
  return f;
}

/** `ip=1.2.3.4,port=6380,...` or, from servers before 2.8, `1.2.3.4,6380,online`. */
function attached(f: InfoFacts, value: string): void {
  const named = /(?:^|,)ip=([^,]*).*?,port=(\d+)/.exec(value);
  const plain = named === null && !value.includes("ip=") ? /^([^,]+),(\d+),/.exec(value) : null;
  const found = named ?? plain;
  if (found !== null) f.replicas.push({ host: found[1], port: Number(found[2]) });
}

function replicaField(f: InfoFacts, key: string, value: string): void {
  if (key === "master_host") f.masterHost = value;
  else if (key === "master_port") f.masterPort = atoi(value);
  else if (key === "master_link_status") f.masterLinkUp = value.toLowerCase() === "up";
  else if (key === "master_sync_in_progress") f.syncing = value === "1";
  else if (key === "slave_priority") f.priority = atoi(value);
  else if (key === "slave_repl_offset") f.offset = atoi(value);
  else if (key === "replica_announced") f.announced = atoi(value) !== 0;
}

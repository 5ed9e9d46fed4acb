/** What the authority of a backend knows, as the page and `show redis topology` show it. Records only. */

export interface TopologyServer {
  name: string;
  address: string;
  role: "master" | "replica" | "unknown";
  reachable: boolean;
  chosen: boolean;
  fenced: string | null;
  /** Position in the replication stream. */
  offset: number;
  replicas: number;
  linkUp: boolean;
  state: string;
  sessions: number;
}
export interface Topology {
  backend: string;
  /** The master's name at the Sentinels, "" while it is not known. */
  name: string;
  /** Whom traffic goes to; null: it waits. */
  chosen: string | null;
  held: number;
  servers: TopologyServer[];
  sentinels: { address: string; state: string; says: string }[];
}

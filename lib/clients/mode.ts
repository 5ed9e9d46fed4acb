/**
 * What a mode (server, Sentinel) is asked by the clients' layer, beside the commands it binds. A mode overrides what concerns it in
 * `plainMode()`. The hot ones are `refuse` (only when a gate is closed), `changed`, `afterUnit` and `beforeFlush`.
 */
import type { Call } from "./call.ts";
import type { Client } from "./client.ts";

export interface Mode {
  // ---- dispatch (dispatch.ts Host says when)
  refuse(call: Call, bits: number): Buffer | null;
  changed(call: Call): void;
  beforeFlush(): boolean;
  /** A unit of execution has ended (a client's command, EXEC, a script, a served blocked client): send what it changed. */
  afterUnit(): void;
  /** EXEC begins and ends: what is changed between the two is one transaction. */
  beginUnit(): void;
  endUnit(): void;

  // ---- keyspaces
  /** Whether look-ups renew keys' access times (CLIENT NO-TOUCH). */
  touching(on: boolean): void;
  /** Puts the client into database `index` (client.keyspace, client.dbIndex). False: there is none. Called for new clients with 0. */
  select(client: Client, index: number): boolean;
  /**
   * A number that tells the type of the value at a key, the same that commands pass to Blocking.block; -1: no such key, or its time has
   * passed. Only looks: it is called while a key is being removed, and must not remove it itself.
   */
  keyType(dbIndex: number, key: string): number;
  /** True when the key is there but its time has passed. */
  keyExpired(dbIndex: number, key: string): boolean;

  // ---- clients
  /** What HELLO tells as role. */
  role(): "master" | "replica";
  /** PUBLISH and SPUBLISH go on to the replicas. */
  published(call: Call): void;
  /** A client is gone: replication forgets it. */
  left(client: Client): void;
  /** A client without a connection of its own (the link to the master) was killed. */
  closeLink(client: Client): void;
  /** repl-backlog-size: no replica is cut for less. */
  replicaFloorBytes(): number;
  /** Bytes of a client whose `replica` is set: true when they were no requests and are taken. */
  divert(client: Client, chunk: Buffer): boolean;
  /** A client waits for a reason that is the mode's (WAIT, SHUTDOWN) and its time is over: reply to it. */
  timedOut(client: Client): void;
  /** A pause that held a client without a connection of its own (the link to the master) is over. */
  resumed(client: Client): void;
}

/** A mode without data, replicas or rules. */
export function plainMode(): Mode {
  return {
    refuse: () => null,
    changed() {},
    beforeFlush: () => true,
    afterUnit() {},
    beginUnit() {},
    endUnit() {},
    touching() {},
    select: (client, index) => {
      client.dbIndex = 0;
      return index === 0;
    },
    keyType: () => -1,
    keyExpired: () => false,
    role: () => "master",
    published() {},
    left() {},
    closeLink() {},
    replicaFloorBytes: () => 0,
    divert: () => false,
    timedOut() {},
    resumed() {},
  };
}

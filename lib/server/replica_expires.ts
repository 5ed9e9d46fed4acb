/**
 * Keys with an expiry that clients wrote to a writable replica: the master does not know them, so their time is the replica's own to keep.
 * Cold: nothing on a master, a look at each write of a client on a writable replica. Redis expire.c: rememberSlaveKeyWithExpire.
 */
import type { Call } from "../clients/call.ts";
import { rowOf } from "../clients/bind.ts";
import { FLAG_MASTER } from "../clients/client.ts";
import { KeyList, findKeys } from "../commands/table/keys.ts";
import { keyspaceOf } from "../commands/effects.ts";
import { expireOf } from "../store/entry.ts";
import type { Keyspace } from "../store/keyspace.ts";
import { clock } from "../time/clock.ts";

/** Keys one look of cron deletes or passes. */
const MOST = 200;

export class ReplicaExpires {
  private readonly databases: Keyspace[];
  private readonly keys: Set<string>[];
  private readonly found: KeyList;

  constructor(databases: Keyspace[]) {
    this.databases = databases;
    this.keys = databases.map(() => new Set<string>());
    this.found = new KeyList();
  }

  /** INFO slave_expires_tracked_keys. */
  get count(): number {
    return this.keys.reduce((sum, set) => sum + set.size, 0);
  }

  /** A client's command has changed something here: its keys that will expire are remembered. */
  note(call: Call): void {
    if (call.client.flags & FLAG_MASTER) return;
    const ks = keyspaceOf(call);
    const n = findKeys(rowOf(call.command), call.buf, call.at, 0, call.argc, this.found);
    for (let i = 0; i < n; i++) {
      const at = this.found.pos[i];
      const ref = ks.findRaw(call.buf, call.s(at), call.e(at));
      if (ref !== 0 && expireOf(ref) >= 0) this.keys[ks.index].add(call.text(at));
    }
  }

  /** Deletes what is due. Called by cron. */
  cycle(): void {
    for (const [db, set] of this.keys.entries()) {
      let looked = 0;
      for (const key of set) {
        if (++looked > MOST) break;
        const b = Buffer.from(key, "latin1");
        const ref = this.databases[db].findRaw(b, 0, b.length);
        const due = ref === 0 ? -1 : expireOf(ref);
        if (due >= clock.nowMs) {
          // To the end of the line: the next look begins with others.
          set.delete(key);
          set.add(key);
          continue;
        }
        set.delete(key);
        if (due >= 0) this.databases[db].expire(ref);
      }
    }
  }
}

/**
 * Transactions: MULTI EXEC DISCARD WATCH UNWATCH. EXEC is warm, the rest COLD. Queueing itself is dispatch's.
 *
 *   MULTI --> client.multi --dispatch queues copies--> EXEC: run each at depth 1, one array reply, one unit for replicas and AOF
 *
 * Follows Redis 7.2 multi.c: what spoils a transaction, which error EXEC then gives, and that blocking commands do not block in it.
 */
import { ERR, errorLine } from "../resp/errors.ts";
import { ALLOWED, DENIED_CHANNEL, DENIED_KEY, type Verdict } from "./acl/selector.ts";
import type { Runs } from "./bind.ts";
import type { Call } from "./call.ts";
import {
  CLIENT_ACL,
  CLIENT_MULTI,
  FLAG_BLOCKED,
  FLAG_DENY_BLOCKING,
  FLAG_DIRTY_CAS,
  FLAG_DIRTY_EXEC,
  FLAG_EXECUTING,
  type Client,
  type MultiState,
} from "./client.ts";
import type { Dispatcher } from "./dispatch.ts";
import type { Mode } from "./mode.ts";
import type { Users } from "./users.ts";
import type { Watching } from "./watch.ts";

/** EXEC's words for a command that was allowed when it was queued (Redis multi.c). */
const NO_LONGER_ALLOWED =
  "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. " +
  "This command is no longer allowed for the following reason: ";

export class Transactions {
  private readonly dispatcher: Dispatcher;
  private readonly mode: Mode;
  readonly watching: Watching;
  private readonly users: Users;

  constructor(dispatcher: Dispatcher, mode: Mode, watching: Watching, users: Users) {
    this.dispatcher = dispatcher;
    this.mode = mode;
    this.watching = watching;
    this.users = users;
    dispatcher.execAborted = (call) => this.discard(call.client);
  }

  commands(): Runs {
    return {
      multi: (call) => this.multi(call),
      exec: (call) => this.exec(call),
      discard: (call) => {
        if (call.client.multi === null) return call.out.error(ERR.discardWithoutMulti);
        this.discard(call.client);
        call.out.ok();
      },
      watch: (call) => {
        const { client, out } = call;
        if (client.multi !== null) return out.error(ERR.watchInMulti);
        // A spoilt client stays spoilt until EXEC, DISCARD or UNWATCH.
        if (!(client.flags & FLAG_DIRTY_CAS)) for (let i = 1; i < call.argc; i++) this.watching.watch(client, call.text(i));
        out.ok();
      },
      unwatch: (call) => {
        this.watching.forget(call.client);
        call.client.flags &= ~FLAG_DIRTY_CAS;
        call.out.ok();
      },
    };
  }

  private multi(call: Call): void {
    const { client, out } = call;
    if (client.multi !== null) return out.error(ERR.nestedMulti);
    client.multi = { queue: [], flags: 0, gates: 0, bytes: 0, next: 0, startMs: 0, denied: 0 };
    client.gates |= CLIENT_MULTI;
    out.ok();
  }

  /** Ends a transaction: nothing is queued, nothing watched. */
  discard(client: Client): void {
    client.multi = null;
    client.gates &= ~CLIENT_MULTI;
    client.flags &= ~(FLAG_DIRTY_CAS | FLAG_DIRTY_EXEC);
    this.watching.forget(client);
  }

  private exec(call: Call): void {
    const { client, out } = call;
    const multi = client.multi;
    if (multi === null) return out.error(ERR.execWithoutMulti);
    if (this.watching.hasExpired(client)) client.flags |= FLAG_DIRTY_CAS;
    if (client.flags & (FLAG_DIRTY_CAS | FLAG_DIRTY_EXEC)) {
      if (client.flags & FLAG_DIRTY_EXEC) out.error(ERR.execAbort);
      else out.nilArray();
      this.discard(client);
      return;
    }
    this.watching.forget(client);
    multi.startMs = performance.now();
    multi.denied = client.flags & FLAG_DENY_BLOCKING;
    client.flags |= FLAG_DENY_BLOCKING | FLAG_EXECUTING;
    this.mode.beginUnit();
    out.array(multi.queue.length);
    this.goOn(client, multi);
  }

  /**
   * Runs what is left of a transaction, one level deep. A script in it that lets others have a turn leaves its client blocked, and EXEC
   * with it: whoever ends the script calls this again.
   */
  goOn(client: Client, multi: MultiState): void {
    const d = this.dispatcher;
    while (multi.next < multi.queue.length) {
      const queued = multi.queue[multi.next++];
      const call = d.callAt(d.depth);
      call.client = client;
      call.out = client.out;
      call.command = queued.command;
      call.buf = queued.buf;
      call.at = queued.at;
      call.argc = queued.argc;
      call.start = 0;
      call.end = queued.buf.length;
      if (client.gates & CLIENT_ACL) {
        const verdict = this.users.check(call, "multi");
        if (verdict !== ALLOWED) {
          client.out.error(errorLine(NO_LONGER_ALLOWED + reason(verdict)));
          continue;
        }
      }
      d.run(call);
      if (client.flags & FLAG_BLOCKED) return;
    }
    client.flags &= ~FLAG_EXECUTING;
    if (multi.denied === 0) client.flags &= ~FLAG_DENY_BLOCKING;
    this.discard(client);
    this.mode.endUnit();
  }
}

function reason(verdict: Verdict): string {
  if (verdict === DENIED_KEY) return "no permission to touch the specified keys";
  if (verdict === DENIED_CHANNEL) return "no permission to access one of the channels used as arguments";
  return "no permission to execute the command or subcommand";
}

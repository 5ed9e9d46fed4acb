/**
 * MONITOR: every command as a line to whoever watches. While nobody does, dispatch looks at one null a command.
 * Line form of Redis replication.c replicationFeedMonitors: `+seconds.micros [db address] "name" "argument" ...`.
 */
import { FLAG } from "../commands/table/row.ts";
import { quoteArg } from "../bytes/args.ts";
import { errorLine } from "../resp/errors.ts";
import { wallMicros } from "../time/clock.ts";
import type { Runs } from "./bind.ts";
import type { Call } from "./call.ts";
import {
  CLIENT_REPLICA,
  FLAG_DENY_BLOCKING,
  FLAG_MONITOR,
  FLAG_REPLICA,
  FLAG_REPROCESSING,
  FLAG_SCRIPT,
  FLAG_TRUSTED,
  FLAG_UNIX,
  type Client,
} from "./client.ts";
import type { Dispatcher } from "./dispatch.ts";
import { shownArgument } from "./redact.ts";

const DENIED = errorLine("ERR MONITOR isn't allowed for DENY BLOCKING client");

export class Monitor {
  private readonly dispatcher: Dispatcher;
  private readonly watchers: Set<Client>;

  constructor(dispatcher: Dispatcher) {
    this.dispatcher = dispatcher;
    this.watchers = new Set();
  }

  commands(): Runs {
    return {
      monitor: (call) => {
        const { client, out } = call;
        if (client.flags & FLAG_DENY_BLOCKING) return out.error(DENIED);
        // Once is enough, and a replica's link is no place for it.
        if (client.flags & (FLAG_REPLICA | FLAG_MONITOR)) return;
        client.flags |= FLAG_MONITOR;
        client.gates |= CLIENT_REPLICA;
        this.watchers.add(client);
        this.dispatcher.observers.monitor = (c) => this.feed(c);
        out.ok();
      },
    };
  }

  /** RESET, or the client is gone. */
  forget(client: Client): void {
    if (!this.watchers.delete(client)) return;
    client.flags &= ~FLAG_MONITOR;
    client.gates &= ~CLIENT_REPLICA;
    if (this.watchers.size === 0) this.dispatcher.observers.monitor = null;
  }

  get count(): number {
    return this.watchers.size;
  }

  private feed(call: Call): void {
    const { client } = call;
    if (call.command.flags & (FLAG.skip_monitor | FLAG.admin) || client.flags & (FLAG_TRUSTED | FLAG_REPROCESSING)) return;
    this.line(call);
  }

  /** Sends the line of a call to every watcher. */
  line(call: Call): void {
    if (this.watchers.size === 0) return;
    const { client } = call;
    const t = wallMicros();
    const who = client.flags & FLAG_SCRIPT ? "lua" : client.flags & FLAG_UNIX ? `unix:${client.conn!.path}` : client.remote;
    let text = `+${Math.floor(t / 1000000)}.${String(t % 1000000).padStart(6, "0")} [${client.dbIndex} ${who}]`;
    for (let i = 0; i < call.argc; i++) text += ` ${quoteArg(shownArgument(call, i))}`;
    const bytes = Buffer.from(`${text}\r\n`, "latin1");
    for (const watcher of this.watchers) {
      watcher.out.lit(bytes);
      this.dispatcher.wake(watcher);
    }
  }
}

/** Sentinel's Pub/Sub: clients subscribe to events by channel or pattern. COLD. Redis pubsub.c: the replies' form and order. */
import { globMatchText } from "../bytes/glob.ts";
import { CLIENT_SUBSCRIBED, type Client } from "../clients/client.ts";
import type { Call } from "../clients/call.ts";

export class PubSub {
  private readonly channels: Map<string, Set<Client>>;
  private readonly patterns: Map<string, Set<Client>>;
  /** Output was written for a client outside its own request. */
  private readonly wake: (client: Client) => void;

  constructor(wake: (client: Client) => void) {
    this.channels = new Map();
    this.patterns = new Map();
    this.wake = wake;
  }

  /** To all subscribers of the channel; the number of receivers. */
  publish(channel: string, message: string): number {
    let n = 0;
    for (const client of this.channels.get(channel) ?? []) {
      client.out.push(3);
      client.out.bulkText("message");
      client.out.bulkText(channel);
      client.out.bulkText(message);
      this.wake(client);
      n++;
    }
    for (const [pattern, clients] of this.patterns) {
      if (!globMatchText(pattern, channel)) continue;
      for (const client of clients) {
        client.out.push(4);
        client.out.bulkText("pmessage");
        client.out.bulkText(pattern);
        client.out.bulkText(channel);
        client.out.bulkText(message);
        this.wake(client);
        n++;
      }
    }
    return n;
  }

  subscribe(call: Call, pattern: boolean): void {
    const { client } = call;
    const own = pattern ? (client.patterns ??= new Set()) : (client.channels ??= new Set());
    const table = pattern ? this.patterns : this.channels;
    for (let i = 1; i < call.argc; i++) {
      const name = call.text(i);
      own.add(name);
      let clients = table.get(name);
      if (clients === undefined) table.set(name, (clients = new Set()));
      clients.add(client);
      this.confirm(call, pattern ? "psubscribe" : "subscribe", name);
    }
    client.gates |= CLIENT_SUBSCRIBED;
  }

  unsubscribe(call: Call, pattern: boolean): void {
    const { client } = call;
    const word = pattern ? "punsubscribe" : "unsubscribe";
    const own = pattern ? client.patterns : client.channels;
    const names: (string | null)[] = [];
    for (let i = 1; i < call.argc; i++) names.push(call.text(i));
    if (call.argc === 1) names.push(...(own ?? []));
    if (names.length === 0) names.push(null);
    for (const name of names) {
      if (name !== null) this.drop(client, pattern, name);
      if (client.subscriptions === 0) client.gates &= ~CLIENT_SUBSCRIBED;
      this.confirm(call, word, name);
    }
  }

  /** A client is gone. */
  forget(client: Client): void {
    for (const name of client.channels ?? []) this.drop(client, false, name);
    for (const name of client.patterns ?? []) this.drop(client, true, name);
  }

  private drop(client: Client, pattern: boolean, name: string): void {
    (pattern ? client.patterns : client.channels)?.delete(name);
    const table = pattern ? this.patterns : this.channels;
    const clients = table.get(name);
    clients?.delete(client);
    if (clients?.size === 0) table.delete(name);
  }

  private confirm(call: Call, word: string, name: string | null): void {
    const { out, client } = call;
    out.push(3);
    out.bulkText(word);
    if (name === null) out.nil();
    else out.bulkText(name);
    out.int(client.subscriptions);
  }
}

/**
 * Pub/Sub: channels, patterns, shard channels. `publish` is HOT while there are subscribers and free while there are none.
 *
 *   SUBSCRIBE --> channel -> clients          publish(channel, message) --encoded once--> bytes copied to each subscriber, woken
 *
 * The bytes of a message are the same for RESP2 and RESP3 but for the first one. Names are latin1 strings. Order of confirmations and
 * messages, also to the publishing client itself, as in Redis 7.2 (pubsub.c; networking.c pending_push_messages).
 */
import { globMatchText } from "../bytes/glob.ts";
import { errorLine } from "../resp/errors.ts";
import type { Runs } from "./bind.ts";
import type { Call } from "./call.ts";
import { CLIENT_SUBSCRIBED, FLAG_DENY_BLOCKING, FLAG_PUBSUB, type Client } from "./client.ts";
import type { Dispatcher } from "./dispatch.ts";
import { tooMany } from "./replies.ts";

/** What the rest of the house is told. */
export interface PubSubHooks {
  /** A client became, or stopped being, a subscriber: its output limit changes. */
  typeChanged(client: Client): void;
  /** PUBLISH and SPUBLISH, for the replicas. */
  published(call: Call): void;
}

/** Kinds of names a client can subscribe to, with the words of their messages. */
interface Kind {
  readonly subscribe: string;
  readonly unsubscribe: string;
  readonly own: (client: Client) => Set<string>;
  readonly names: Map<string, Set<Client>>;
  readonly shard: boolean;
}

const STAR = 42;
const PUSH = 62;

export class PubSub {
  private readonly dispatcher: Dispatcher;
  private readonly hooks: PubSubHooks;
  readonly channels: Kind;
  readonly patterns: Kind;
  readonly shards: Kind;
  /** The message being published, from its first byte. */
  private scratch: Buffer;
  private length: number;

  constructor(dispatcher: Dispatcher, hooks: PubSubHooks) {
    this.dispatcher = dispatcher;
    this.hooks = hooks;
    const kind = (prefix: string, own: Kind["own"]): Kind => ({
      subscribe: `${prefix}subscribe`,
      unsubscribe: prefix === "" ? "unsubscribe" : `${prefix}unsubscribe`,
      own,
      names: new Map(),
      shard: prefix === "s",
    });
    this.channels = kind("", (c) => (c.channels ??= new Set()));
    this.patterns = kind("p", (c) => (c.patterns ??= new Set()));
    this.shards = kind("s", (c) => (c.shardChannels ??= new Set()));
    this.scratch = Buffer.allocUnsafeSlow(4096);
    this.length = 0;
  }

  /** Client and pattern pairs, counted once a pattern: PUBSUB NUMPAT, INFO pubsub_patterns. */
  get patternCount(): number {
    return this.patterns.names.size;
  }

  // ------------------------------------------------------------------------------------------------ publishing

  /**
   * Sends a message to everyone who listens on `channel`; returns how many copies were sent. Both are lent for the call.
   * Events of Sentinel and keyspace notifications come in here as well.
   */
  publish(channel: Buffer, message: Uint8Array): number {
    if (this.channels.names.size === 0 && this.patterns.names.size === 0) return 0;
    const name = channel.toString("latin1");
    let n = this.send(this.channels, name, MESSAGE, channel, message);
    if (this.patterns.names.size > 0) n += this.publishToPatterns(name, channel, message);
    return n;
  }

  /** The same for a shard channel; patterns do not see it. */
  publishShard(channel: Buffer, message: Uint8Array): number {
    if (this.shards.names.size === 0) return 0;
    const name = channel.toString("latin1");
    return this.send(this.shards, name, SMESSAGE, channel, message);
  }

  private send(kind: Kind, name: string, head: Buffer, channel: Uint8Array, message: Uint8Array): number {
    const clients = kind.names.get(name);
    if (clients === undefined) return 0;
    this.begin(head);
    this.bulk(channel);
    this.bulk(message);
    for (const client of clients) this.push(client);
    return clients.size;
  }

  private publishToPatterns(name: string, channel: Uint8Array, message: Uint8Array): number {
    let n = 0;
    for (const [pattern, clients] of this.patterns.names) {
      if (!globMatchText(pattern, name)) continue;
      this.begin(PMESSAGE);
      this.bulk(Buffer.from(pattern, "latin1"));
      this.bulk(channel);
      this.bulk(message);
      for (const client of clients) this.push(client);
      n += clients.size;
    }
    return n;
  }

  private begin(head: Buffer): void {
    this.length = 0;
    // One message may have needed a big scratch; subscribers have copies of their own.
    if (this.scratch.length > KEEP_BYTES) this.scratch = Buffer.allocUnsafeSlow(4096);
    this.room(head.length);
    this.scratch.set(head, 0);
    this.length = head.length;
  }
  private room(k: number): void {
    if (this.length + k <= this.scratch.length) return;
    const bigger = Buffer.allocUnsafeSlow(Math.max(this.length + k, this.scratch.length * 2));
    bigger.set(this.scratch.subarray(0, this.length));
    this.scratch = bigger;
  }
  private bulk(b: Uint8Array): void {
    this.room(b.length + 32);
    let n = this.length;
    const s = this.scratch;
    s[n++] = 36;
    let v = b.length;
    let digits = 1;
    for (let w = v; w >= 10; w = (w / 10) | 0) digits++;
    for (let p = n + digits; p > n;) {
      const q = (v / 10) | 0;
      s[--p] = 48 + v - q * 10;
      v = q;
    }
    n += digits;
    s[n++] = 13;
    s[n++] = 10;
    s.set(b, n);
    n += b.length;
    s[n++] = 13;
    s[n++] = 10;
    this.length = n;
  }
  private push(client: Client): void {
    const out = this.dispatcher.pushTo(client);
    this.scratch[0] = client.out.resp === 3 ? PUSH : STAR;
    out.pushing(this.scratch, 0, this.length);
    this.dispatcher.wake(client);
  }

  // ------------------------------------------------------------------------------------------------ subscribing

  private subscribe(client: Client, kind: Kind, name: string): void {
    const own = kind.own(client);
    if (!own.has(name)) {
      own.add(name);
      const clients = kind.names.get(name);
      if (clients === undefined) kind.names.set(name, new Set([client]));
      else clients.add(client);
    }
    this.confirm(client, kind, kind.subscribe, name);
  }

  private drop(client: Client, kind: Kind, name: string): void {
    if (!kind.own(client).delete(name)) return;
    const clients = kind.names.get(name)!;
    clients.delete(client);
    if (clients.size === 0) kind.names.delete(name);
  }

  /** `>3 word name count`: count is of channels and patterns together, or of shard channels. */
  private confirm(client: Client, kind: Kind, word: string, name: string | null): void {
    const out = client.out;
    const { muted } = out;
    out.muted = out.overflowed;
    out.push(3);
    out.bulkText(word);
    if (name === null) out.nil();
    else out.bulkText(name);
    out.int(kind.shard ? (client.shardChannels?.size ?? 0) : (client.channels?.size ?? 0) + (client.patterns?.size ?? 0));
    out.muted = muted || out.overflowed;
  }

  private settle(client: Client): void {
    const was = (client.flags & FLAG_PUBSUB) !== 0;
    const is = client.subscriptions > 0;
    if (was === is) return;
    if (is) {
      client.flags |= FLAG_PUBSUB;
      client.gates |= CLIENT_SUBSCRIBED;
    } else {
      client.flags &= ~FLAG_PUBSUB;
      client.gates &= ~CLIENT_SUBSCRIBED;
    }
    this.hooks.typeChanged(client);
  }

  /** RESET and closed connections: everything, without a word. */
  unsubscribeAll(client: Client): void {
    for (const kind of [this.channels, this.patterns, this.shards]) for (const name of kind.own(client)) this.drop(client, kind, name);
    client.channels = client.patterns = client.shardChannels = null;
    this.settle(client);
  }
  /** The client is gone. */
  forget(client: Client): void {
    if (client.flags & FLAG_PUBSUB) this.unsubscribeAll(client);
  }

  private subscribeCommand(call: Call, kind: Kind): void {
    const { client } = call;
    // Inside MULTI it has always been allowed, but not for shard channels.
    if (client.flags & FLAG_DENY_BLOCKING && (client.multi === null || kind.shard))
      return call.out.error(errorLine(`ERR ${kind.subscribe.toUpperCase()} isn't allowed for a DENY BLOCKING client`));
    for (let i = 1; i < call.argc; i++) this.subscribe(client, kind, call.text(i));
    this.settle(client);
  }

  private unsubscribeCommand(call: Call, kind: Kind): void {
    const { client } = call;
    const names = call.argc > 1 ? Array.from({ length: call.argc - 1 }, (_, i) => call.text(i + 1)) : [...kind.own(client)];
    for (const name of names) {
      this.drop(client, kind, name);
      this.confirm(client, kind, kind.unsubscribe, name);
    }
    if (names.length === 0) this.confirm(client, kind, kind.unsubscribe, null);
    this.settle(client);
  }

  // ------------------------------------------------------------------------------------------------ commands

  commands(): Runs {
    return {
      subscribe: (call) => this.subscribeCommand(call, this.channels),
      psubscribe: (call) => this.subscribeCommand(call, this.patterns),
      ssubscribe: (call) => this.subscribeCommand(call, this.shards),
      unsubscribe: (call) => this.unsubscribeCommand(call, this.channels),
      punsubscribe: (call) => this.unsubscribeCommand(call, this.patterns),
      sunsubscribe: (call) => this.unsubscribeCommand(call, this.shards),
      publish: (call) => {
        const n = this.publish(call.view(1), call.view(2));
        this.hooks.published(call);
        call.out.int(n);
      },
      spublish: (call) => {
        const n = this.publishShard(call.view(1), call.view(2));
        this.hooks.published(call);
        call.out.int(n);
      },
      "pubsub|channels": (call) => listNames(call, this.channels),
      "pubsub|shardchannels": (call) => listNames(call, this.shards),
      "pubsub|numsub": (call) => countNames(call, this.channels),
      "pubsub|shardnumsub": (call) => countNames(call, this.shards),
      "pubsub|numpat": (call) => call.out.int(this.patternCount),
    };
  }
}

const MESSAGE = Buffer.from("*3\r\n$7\r\nmessage\r\n");
const SMESSAGE = Buffer.from("*3\r\n$8\r\nsmessage\r\n");
const PMESSAGE = Buffer.from("*4\r\n$8\r\npmessage\r\n");
/** A bigger scratch is not kept. */
const KEEP_BYTES = 1024 * 1024;

function listNames(call: Call, kind: Kind): void {
  if (call.argc > 3) return tooMany(call);
  const pattern = call.argc === 3 ? call.text(2) : "*";
  const names = [...kind.names.keys()].filter((name) => globMatchText(pattern, name));
  call.out.array(names.length);
  for (const name of names) call.out.bulkText(name);
}

function countNames(call: Call, kind: Kind): void {
  call.out.array((call.argc - 2) * 2);
  for (let i = 2; i < call.argc; i++) {
    call.out.bulk(call.buf, call.s(i), call.e(i));
    call.out.int(kind.names.get(call.text(i))?.size ?? 0);
  }
}

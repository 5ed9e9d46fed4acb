/**
 * What redis-cli does around a command: connects when needed, logs in, selects, shows the reply, follows SELECT, MULTI and RESET for its
 * prompt, stays for MONITOR and SUBSCRIBE. Cold. Order and texts are redis-cli's (cliConnect, cliSendCommand, cliReadReply).
 */
import { readFileSync } from "node:fs";
import type { TLSOptions } from "bun";
import { Channel, type Place } from "./channel.ts";
import { format, invalidation } from "./format.ts";
import { integer, type CliOptions } from "./options.ts";
import { complain, outputIsTerminal, print } from "./terminal.ts";
import type { Value } from "./value.ts";

/** Commands whose text is shown as it is, whatever the format: name, then subcommand or "" for any. */
const VERBATIM = [
  "info",
  "lolwut",
  "debug htstats",
  "debug htstats-key",
  "debug client-eviction",
  "memory malloc-stats",
  "memory doctor",
  "client list",
  "client info",
  "proxy info",
];
/** The same with an exact number of words. */
const VERBATIM_EXACT: Record<string, number> = { "cluster nodes": 2, "cluster info": 2, "latency graph": 3, "latency doctor": 2 };

/** Commands, and their confirmations. */
const SUBSCRIPTIONS = /^[ps]?(un)?subscribe$/;
const MESSAGES = /^[ps]?message$/;
/** While nothing comes; the cursor goes back so that the next message stands in its place. */
const READING = "Reading messages... (press Ctrl-C to quit or any key to type command)\r";
const ERASE = "\x1b[K";

function isVerbatim(args: readonly string[]): boolean {
  const one = args[0].toLowerCase();
  const two = `${one} ${(args[1] ?? "").toLowerCase()}`;
  return VERBATIM.includes(one) || VERBATIM.includes(two) || VERBATIM_EXACT[two] === args.length;
}

export class Session {
  readonly options: CliOptions;
  channel: Channel | null;
  /** Database of the connection, and the one that it should have. */
  database: number;
  wanted: number;
  inMulti: boolean;
  private beforeMulti: number;
  resp3: CliOptions["resp3"];
  interactive: boolean;
  /** Messages may come: they are shown between commands (interactive sessions). */
  subscribed: boolean;
  /** Ctrl-C in MONITOR or SUBSCRIBE ends that, not the program. */
  private streaming: boolean;
  private aborted: boolean;
  private lastKind: string;
  /** The kind of message that the last reply was; null: an answer. */
  private lastPush: string | null;
  private redirected: boolean;
  private asking: boolean;
  host: string;
  port: number;

  constructor(options: CliOptions) {
    this.options = options;
    this.channel = null;
    this.database = 0;
    this.wanted = options.database;
    this.inMulti = false;
    this.beforeMulti = 0;
    this.resp3 = options.resp3;
    this.interactive = false;
    this.subscribed = false;
    this.streaming = false;
    this.aborted = false;
    this.lastKind = "";
    this.lastPush = null;
    this.redirected = false;
    this.asking = false;
    this.host = options.host;
    this.port = options.port;
  }

  /** `127.0.0.1:6379[2](TX)> ` */
  get prompt(): string {
    if (this.channel === null) return "not connected> ";
    const { socket } = this.options;
    const place = socket !== null ? `redis ${socket}` : `${this.host.includes(":") ? `[${this.host}]` : this.host}:${this.port}`;
    return `${place}${this.database !== 0 ? `[${this.database}]` : ""}${this.inMulti ? "(TX)" : ""}${this.subscribed ? "(subscribed mode)" : ""}> `;
  }

  /** Connects, logs in, selects, switches the protocol. False when one of them failed; it has been said unless `quiet`. */
  async connect(quiet: boolean): Promise<boolean> {
    if (this.channel !== null) {
      this.channel.close();
      this.channel = null;
      this.database = 0;
      this.inMulti = this.subscribed = false;
    }
    const place = this.place();
    try {
      this.channel = await Channel.open(place);
    } catch (error) {
      const name = place.socket ?? `${place.host}:${place.port}`;
      if (!quiet) complain(`Could not connect to Redis at ${name}: ${(error as Error).message}\n`);
      return false;
    }
    this.channel.onPush = this.options.showPushes ? (value) => this.showPush(value) : null;
    return (await this.login()) && (await this.select()) && (await this.switchProtocol());
  }

  private place(): Place {
    const { socket } = this.options;
    return { host: this.host, port: this.port, socket: this.redirected ? null : socket, tls: tlsOptions(this.options, this.host) };
  }

  private async login(): Promise<boolean> {
    const { user, password } = this.options;
    if (password === null) return true;
    const reply = await this.quietly(user === null ? ["AUTH", password] : ["AUTH", user, password]);
    if (reply?.kind === "error") complain(`AUTH failed: ${reply.text}\n`);
    return reply !== null && reply.kind !== "error";
  }

  private async select(): Promise<boolean> {
    if (this.wanted === this.database) return true;
    const reply = await this.quietly(["SELECT", String(this.wanted)]);
    if (reply === null) return false;
    if (reply.kind === "error") {
      complain(`SELECT ${this.wanted} failed: ${reply.text}\n`);
      return false;
    }
    this.database = this.wanted;
    return true;
  }

  private async switchProtocol(): Promise<boolean> {
    if (this.resp3 === "no" || this.options.resp2) return true;
    const reply = await this.quietly(["HELLO", "3"]);
    if (reply === null) return false;
    if (reply.kind !== "error") return true;
    complain(`HELLO 3 failed: ${reply.text}\n`);
    return this.resp3 !== "must";
  }

  /** One request whose reply is not shown; null when the connection was lost. */
  private async quietly(args: string[]): Promise<Value | null> {
    try {
      return await this.channel!.ask(...args);
    } catch {
      complain("\nI/O error\n");
      return null;
    }
  }

  /** A command with its replies, `repeat` times (negative: for ever). False when it could not be sent or answered. */
  async issue(args: readonly string[], repeat: number): Promise<boolean> {
    for (;;) {
      if ((this.channel === null || this.channel.lost !== null || this.redirected) && !(await this.connect(false))) {
        if (this.channel === null) {
          this.redirected = false;
          return false;
        }
      }
      this.redirected = false;
      if (this.asking) {
        this.asking = false;
        const reply = await this.quietly(["ASKING"]);
        if (reply === null || reply.kind === "error") return false;
      }
      if (!(await this.sendRepeatedly(args, repeat))) {
        if (this.channel?.lost) complain(`Error: ${this.channel.lost.message}\n`);
        this.channel?.close();
        this.channel = null;
        return false;
      }
      if (!this.redirected) return true;
    }
  }

  private async sendRepeatedly(args: readonly string[], repeat: number): Promise<boolean> {
    const name = args[0].toLowerCase();
    const verbatim = isVerbatim(args);
    for (let left = repeat; left < 0 || left-- > 0;) {
      if (this.interactive && (this.subscribed || SUBSCRIPTIONS.test(name))) {
        if (!(await this.amongMessages(args, verbatim))) return false;
        await this.follow(args);
        continue;
      }
      this.channel!.send(args);
      if (name === "monitor") return this.stream(verbatim);
      if (name === "subscribe" || name === "psubscribe" || name === "ssubscribe") {
        if (this.options.output !== "raw") print("Reading messages... (press Ctrl-C to quit)\n");
        if (!(await this.stream(verbatim))) return false;
        continue;
      }
      if (!(await this.showReply(verbatim, name === "shutdown"))) return false;
      await this.follow(args);
      if (this.redirected) return true;
      if (this.options.intervalMs > 0) await Bun.sleep(this.options.intervalMs);
    }
    return true;
  }

  /** A command whose replies messages may come between, or that asks for messages: one confirmation for each of its channels. */
  private async amongMessages(args: readonly string[], verbatim: boolean): Promise<boolean> {
    const channel = this.channel!;
    channel.pushesAreReplies = true;
    channel.send(args);
    let left = SUBSCRIPTIONS.test(args[0].toLowerCase()) ? Math.max(1, args.length - 1) : 1;
    const confirms = SUBSCRIPTIONS.test(args[0].toLowerCase());
    while (left > 0) {
      if (!(await this.showReply(verbatim, false))) return false;
      const shown = this.lastPush;
      if (shown === null || (confirms && SUBSCRIPTIONS.test(shown))) left--;
      // A refusal is all that comes.
      if (this.lastKind === "error") break;
    }
    channel.pushesAreReplies = this.subscribed;
    return true;
  }

  /** Shows messages as they come until something is typed: `typed` resolves then, to true when that was Ctrl-C. */
  async showMessages(typed: Promise<boolean>): Promise<void> {
    const info = this.options.output !== "raw" && outputIsTerminal();
    while (this.subscribed && this.channel !== null) {
      const { channel } = this;
      while (channel.hasNext && this.subscribed) {
        if (await this.showReply(false, false)) continue;
        complain(`Error: ${channel.lost?.message}\n`);
        this.subscribed = false;
        return;
      }
      if (info) print(READING);
      const first = await Promise.race([typed.then((ends) => (ends ? "end" : "typed")), channel.arrived().then(() => "message")]);
      if (info) print(ERASE);
      if (first === "end") await this.connect(false);
      if (first !== "message") return;
    }
  }

  /** What a reply says of subscriptions; the kind of push it is, or null. RESP2's pushes are arrays that begin with their kind. */
  private noticed(value: Value): string | null {
    const kind = value.kind === "push" || value.kind === "array" ? (value.items[0]?.text ?? "") : "";
    if (SUBSCRIPTIONS.test(kind) && value.items.length === 3) this.subscribed = Number(value.items[2].text) > 0;
    else if (value.kind !== "push" && !(this.subscribed && MESSAGES.test(kind))) return null;
    return kind;
  }

  /** Shows replies until one is an error, the connection ends or Ctrl-C. */
  private async stream(verbatim: boolean): Promise<boolean> {
    this.streaming = true;
    this.channel!.pushesAreReplies = true;
    const onInterrupt = (): void => {
      if (!this.interactive) process.exit(130);
      this.aborted = true;
      this.channel?.close();
    };
    process.on("SIGINT", onInterrupt);
    try {
      do {
        if (!(await this.showReply(verbatim, false))) return false;
      } while (this.streaming && this.lastKind !== "error");
      if (this.channel !== null) this.channel.pushesAreReplies = false;
      return true;
    } finally {
      this.streaming = false;
      process.off("SIGINT", onInterrupt);
    }
  }

  /** Takes the next reply and prints it. A lost connection ends a program that was given one command. */
  private async showReply(verbatim: boolean, closing: boolean): Promise<boolean> {
    let value: Value;
    try {
      value = await this.channel!.next();
    } catch (error) {
      if (this.aborted) {
        this.aborted = false;
        this.streaming = false;
        return this.connect(false);
      }
      if (closing) {
        this.channel = null;
        return true;
      }
      if (this.interactive) return false;
      complain(`Error: ${(error as Error).message}\n`);
      process.exit(1);
    }
    this.lastKind = value.kind;
    this.lastPush = this.interactive ? this.noticed(value) : null;
    if (value.kind === "error" && this.options.cluster && this.redirect(value.text)) return true;
    if (value.kind === "error" && !this.interactive && this.options.exitOnError) {
      complain(`${value.text}\n`);
      process.exit(1);
    }
    print(format(value, this.options.output, verbatim, this.options.delimiters));
    return true;
  }

  /** MOVED 3999 127.0.0.1:6381, ASK 3999 127.0.0.1:6381: true when the command goes there. */
  private redirect(text: string): boolean {
    const to = /^(MOVED|ASK) (\d+) (.*):(\d+)$/.exec(text);
    if (to === null) return false;
    this.host = to[3];
    this.port = Number(to[4]);
    if (this.interactive) print(`-> Redirected to slot [${to[2]}] located at ${this.host}:${this.port}\n`);
    this.redirected = true;
    this.asking = to[1] === "ASK";
    return true;
  }

  /** What a command that succeeded means for the prompt and for the next connection. */
  private async follow(args: readonly string[]): Promise<void> {
    const name = args[0].toLowerCase();
    const good = this.lastKind !== "error";
    if (name === "select" && args.length === 2 && good) this.wanted = this.database = integer(args[1]);
    else if (name === "auth" && (args.length === 2 || args.length === 3)) await this.select();
    else if (name === "multi" && args.length === 1 && good) {
      this.inMulti = true;
      this.beforeMulti = this.database;
    } else if (name === "exec" && args.length === 1 && this.inMulti) {
      this.inMulti = false;
      if (!good || this.lastKind === "nil") this.wanted = this.database = this.beforeMulti;
    } else if (name === "discard" && args.length === 1 && good) {
      this.inMulti = false;
      this.wanted = this.database = this.beforeMulti;
    } else if (name === "reset" && args.length === 1 && good) {
      this.inMulti = this.subscribed = false;
      if (this.channel !== null) this.channel.pushesAreReplies = false;
      this.wanted = this.database = 0;
      this.resp3 = "no";
    }
  }

  private showPush(value: Value): void {
    const note = this.options.output === "standard" ? invalidation(value) : null;
    print(note ?? format(value, this.options.output, false, this.options.delimiters));
  }
}

/** What --tls and its files mean for Bun; null without --tls. */
export function tlsOptions(options: CliOptions, host: string): TLSOptions | null {
  if (!options.tls) return null;
  const file = (name: string | null): Buffer | undefined => {
    if (name === null) return undefined;
    try {
      return readFileSync(name);
    } catch {
      complain(`Could not negotiate a TLS connection: Failed to load ${name}\n`);
      process.exit(1);
    }
  };
  const [ca, cert, key] = [file(options.caFile), file(options.certFile), file(options.keyFile)];
  return {
    rejectUnauthorized: !options.insecure,
    serverName: options.sni ?? host,
    ...(ca !== undefined ? { ca } : {}),
    ...(cert !== undefined ? { cert } : {}),
    ...(key !== undefined ? { key } : {}),
  } as TLSOptions;
}

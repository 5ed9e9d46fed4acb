/**
 * What a client has made of its connection, and how to make a new one the same (notes 3.3): the last successful HELLO or AUTH, name and
 * library, SELECT, tracking, subscriptions, WATCH. COLD, pure: looked at when such a command has succeeded and when the server changes.
 */

const channelsOf = { subscribe: "channels", psubscribe: "patterns", ssubscribe: "shards" } as const;
type Kind = keyof typeof channelsOf;

export class ClientState {
  protocol: 2 | 3;
  private auth: string[] | null;
  private name: string | null;
  private info: Map<string, string>;
  private flags: Map<string, string[]>;
  private database: string;
  private tracking: string[] | null;
  readonly channels: Set<string>;
  readonly patterns: Set<string>;
  readonly shards: Set<string>;
  /** Watched keys may have changed under it: the next EXEC must fail. */
  dirty: boolean;
  watching: boolean;
  quitting: boolean;

  constructor() {
    this.protocol = 2;
    this.auth = null;
    this.name = null;
    this.info = new Map();
    this.flags = new Map();
    this.database = "0";
    this.tracking = null;
    this.channels = new Set();
    this.patterns = new Set();
    this.shards = new Set();
    this.dirty = false;
    this.watching = false;
    this.quitting = false;
  }

  get subscriptions(): number {
    return this.channels.size + this.patterns.size + this.shards.size;
  }
  get isTracking(): boolean {
    return this.tracking !== null;
  }

  /** Only protocol, user and database set it apart from a new connection. */
  get isPlain(): boolean {
    const none = this.subscriptions === 0 && this.tracking === null && this.flags.size === 0;
    return none && !this.watching && !this.dirty && !this.quitting;
  }
  /** Connections with equal keys serve the same clients. */
  get key(): string {
    return `${this.protocol} ${this.database} ${this.auth === null ? "" : JSON.stringify(this.auth)}`;
  }
  /** The same protocol, user and database, nothing else. */
  copy(): ClientState {
    const c = new ClientState();
    c.protocol = this.protocol;
    c.auth = this.auth;
    c.database = this.database;
    return c;
  }
  /** The name is kept elsewhere (mode redis answers for it itself). */
  forgetName(): void {
    this.name = null;
  }
  get databaseIndex(): number {
    return Number(this.database);
  }
  /** The user that it is logged in as. */
  get user(): string {
    return this.auth !== null && this.auth.length === 2 ? this.auth[0]! : "default";
  }

  /** A command of class STATE or RESET has succeeded. */
  commit(words: readonly string[]): void {
    const name = words[0]!.toLowerCase();
    switch (name) {
      case "select":
        this.database = words[1] ?? "0";
        break;
      case "auth":
        this.auth = words.slice(1);
        break;
      case "hello":
        this.hello(words);
        break;
      case "reset":
        this.reset();
        break;
      case "client":
        this.client(words);
        break;
    }
  }
  private hello(words: readonly string[]): void {
    if (words[1] === "2" || words[1] === "3") this.protocol = words[1] === "3" ? 3 : 2;
    for (let i = 2; i < words.length; i++) {
      const w = words[i]!.toLowerCase();
      if (w === "auth") {
        this.auth = words.slice(i + 1, i + 3);
        i += 2;
      } else if (w === "setname") this.name = words[++i] ?? null;
    }
  }
  private client(words: readonly string[]): void {
    const sub = (words[1] ?? "").toLowerCase();
    if (sub === "setname") this.name = words[2] ?? null;
    else if (sub === "setinfo") this.info.set((words[2] ?? "").toLowerCase(), words[3] ?? "");
    else if (sub === "tracking") this.tracking = (words[2] ?? "").toLowerCase() === "on" ? [...words] : null;
    else this.flags.set(sub, [...words]);
  }
  private reset(): void {
    const fresh = new ClientState();
    this.protocol = 2;
    this.auth = fresh.auth;
    this.name = null;
    this.database = "0";
    this.tracking = null;
    this.info.clear();
    this.flags.clear();
    this.channels.clear();
    this.patterns.clear();
    this.shards.clear();
    this.dirty = false;
    this.watching = false;
  }

  /** A confirmation: `subscribe ch 1`, `unsubscribe ch 0`, ... */
  confirmed(kind: string, channel: string | null): void {
    const un = kind.includes("unsubscribe");
    const set = this.setOf(kind);
    if (set === null) return;
    if (channel === null) return;
    if (un) set.delete(channel);
    else set.add(channel);
  }
  /** How many confirmations a command asks for: one a channel; without channels one for each that is there, at least one. */
  confirmationsOf(words: readonly string[]): number {
    if (words.length > 1) return words.length - 1;
    return Math.max(1, this.setOf(words[0]!.toLowerCase())?.size ?? 1);
  }
  private setOf(kind: string): Set<string> | null {
    const plain = kind.replace("unsubscribe", "subscribe");
    return plain in channelsOf ? this[channelsOf[plain as Kind]] : null;
  }

  /** Commands that bring a new connection to this state, in order, with the number of replies each one has. */
  restore(): { words: string[]; replies: number }[] {
    const out: { words: string[]; replies: number }[] = [];
    const one = (...words: string[]): void => void out.push({ words, replies: 1 });
    if (this.protocol === 3) {
      const auth = this.auth === null ? [] : ["AUTH", ...(this.auth.length === 1 ? ["default", this.auth[0]!] : this.auth)];
      one("HELLO", "3", ...auth);
    } else if (this.auth !== null) one("AUTH", ...this.auth);
    if (this.name !== null) one("CLIENT", "SETNAME", this.name);
    for (const [what, value] of this.info) one("CLIENT", "SETINFO", what, value);
    for (const words of this.flags.values()) one(...words);
    if (this.database !== "0") one("SELECT", this.database);
    if (this.tracking !== null) one(...this.tracking);
    for (const [command, set] of [
      ["SUBSCRIBE", this.channels],
      ["PSUBSCRIBE", this.patterns],
      ["SSUBSCRIBE", this.shards],
    ] as const)
      if (set.size > 0) out.push({ words: [command, ...set], replies: set.size });
    return out;
  }
}

/**
 * One set of permissions of a user: commands, key patterns, channel patterns. Reading rules is COLD, `check` is WARM (each request of a
 * restricted user).
 *
 *   rule text --set()--> bits by command, patterns, channels          check(row, request) --> ALLOWED or what is denied
 *                    \-> `rules`, the command rules in their order: describe() gives back what was said
 *
 * A user has a root selector and any number of others; a request passes when one of them lets all of it pass. Follows Redis 7.2 acl.c.
 */
import { splitArgs } from "../../bytes/args.ts";
import { globMatch } from "../../bytes/glob.ts";
import { findKeys, KeyList } from "../../commands/table/keys.ts";
import { ACL, FLAG, KEY, NO_KEYS, type Row } from "../../commands/table/row.ts";

/** Verdicts, in the order of their weight: of several selectors' refusals the heaviest is told. */
export const ALLOWED = 0;
export const DENIED_COMMAND = 1;
export const DENIED_KEY = 2;
/** Only in the log: a failed AUTH. */
export const DENIED_AUTH = 3;
export const DENIED_CHANNEL = 4;
export type Verdict = typeof ALLOWED | typeof DENIED_COMMAND | typeof DENIED_KEY | typeof DENIED_AUTH | typeof DENIED_CHANNEL;

/** The commands that rules may name: every row of the mode's table under its own name, whatever rename-command says. */
export class KnownCommands {
  readonly rows: readonly Row[];
  private readonly byName: ReadonlyMap<string, Row>;
  /** Words of 32 bits that a bitmap of all rows takes. */
  readonly words: number;

  constructor(rows: readonly Row[]) {
    this.rows = rows;
    this.byName = new Map(rows.map((row) => [row.name, row]));
    this.words = (rows.reduce((most, row) => Math.max(most, row.id), 0) >>> 5) + 1;
  }

  /** `get`, `config|get`, in any case. */
  find(name: string): Row | undefined {
    return this.byName.get(name.toLowerCase());
  }
}

/** Why a rule is refused: Redis' text, and whether it is only a name that nobody knows (a file may have been written for other commands). */
export interface RuleFailure {
  readonly text: string;
  readonly unknownName: boolean;
}
function failure(text: string, unknownName = false): RuleFailure {
  return { text, unknownName };
}
export const UNKNOWN_NAME = failure("Unknown command or category name in ACL", true);
export const BAD_SYNTAX = failure("Syntax error");
const KEYS_AFTER_ALL = failure(
  "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. " +
    "Try 'resetkeys' to start with an empty list of patterns",
);
const CHANNELS_AFTER_ALL = failure(
  "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. " +
    "Try 'resetchannels' to start with an empty list of channels",
);
const ARGUMENT_OF_SUBCOMMAND = failure("Allowing first-arg of a subcommand is not supported");
export const NO_SUCH_PASSWORD = failure("The password you are trying to remove from the user does not exist");
export const BAD_HASH = failure("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters");

/** What a key pattern allows. */
const READ = 1;
const WRITE = 2;

interface Pattern {
  readonly text: string;
  readonly bytes: Buffer;
  /** READ and WRITE bits; channels have none. */
  permits: number;
}

/** The keys of the request that is being checked, looked for once for all selectors. */
export class RequestKeys {
  private readonly list: KeyList;
  private known: boolean;

  constructor() {
    this.list = new KeyList();
    this.known = false;
  }
  forget(): void {
    this.known = false;
  }
  of(row: Row, buf: Uint8Array, at: Int32Array, base: number, argc: number): KeyList {
    if (!this.known) findKeys(row, buf, at, base, argc, this.list);
    this.known = true;
    return this.list;
  }
}

/** True when a name or pattern has a blank or NUL: ACL files are split at blanks. */
export function hasBlanks(text: string): boolean {
  return /[\0\t-\r ]/.test(text);
}

export class Selector {
  private readonly commands: KnownCommands;
  allKeys: boolean;
  allChannels: boolean;
  /** Every command, with no bit to look at. */
  allCommands: boolean;
  /** Begun with +@all: commands that a later version adds are allowed too, and the description begins with it. */
  private future: boolean;
  private readonly bits: Int32Array;
  /** Command id -> the first arguments it is allowed with although its bit is not set, lower case. */
  private firstArguments: Map<number, string[]> | null;
  private patterns: Pattern[];
  private channels: Pattern[];
  /** `+get`, `-@dangerous`, ... behind +@all or -@all, oldest first. */
  private rules: string[];

  /** Allows nothing; all channels where acl-pubsub-default says so. */
  constructor(commands: KnownCommands, allChannels: boolean) {
    this.commands = commands;
    this.allKeys = false;
    this.allChannels = allChannels;
    this.allCommands = false;
    this.future = false;
    this.bits = new Int32Array(commands.words);
    this.firstArguments = null;
    this.patterns = [];
    this.channels = [];
    this.rules = [];
  }

  copy(): Selector {
    const s = new Selector(this.commands, this.allChannels);
    s.allKeys = this.allKeys;
    s.allCommands = this.allCommands;
    s.future = this.future;
    s.bits.set(this.bits);
    if (this.firstArguments !== null) s.firstArguments = new Map([...this.firstArguments].map(([id, list]) => [id, [...list]]));
    s.patterns = this.patterns.map((p) => ({ ...p }));
    s.channels = [...this.channels];
    s.rules = [...this.rules];
    return s;
  }

  /** A selector from the rules between the parentheses of `(...)`, or why it is none. */
  static of(text: string, commands: KnownCommands, allChannels: boolean): Selector | RuleFailure {
    const selector = new Selector(commands, allChannels);
    for (const rule of splitArgs(text) ?? []) {
      const failed = selector.set(rule);
      if (failed !== null) return failed;
    }
    return selector;
  }

  // ---------------------------------------------------------------------------------------------------------------- rules

  /** Applies one rule; null, or why it is none. Latin1. Redis ACLSetSelector. */
  set(rule: string): RuleFailure | null {
    switch (rule.toLowerCase()) {
      case "allkeys":
      case "~*":
        this.allKeys = true;
        this.patterns = [];
        return null;
      case "resetkeys":
        this.allKeys = false;
        this.patterns = [];
        return null;
      case "allchannels":
      case "&*":
        this.allChannels = true;
        this.channels = [];
        return null;
      case "resetchannels":
        this.allChannels = false;
        this.channels = [];
        return null;
      case "allcommands":
      case "+@all":
        return this.setAll(true);
      case "nocommands":
      case "-@all":
        return this.setAll(false);
    }
    const first = rule[0];
    if (first === "~" || first === "%") return this.addKeys(rule);
    if (first === "&") return this.addChannels(rule.slice(1));
    if (first !== "+" && first !== "-") return BAD_SYNTAX;
    const name = cText(rule.slice(1));
    const allow = first === "+";
    if (name.startsWith("@")) return this.setCategory(name, allow);
    if (allow && name.includes("|")) return this.allowPart(name);
    const row = this.commands.find(name);
    if (row === undefined) return UNKNOWN_NAME;
    this.setCommand(row, allow);
    this.noteRule(row.name, allow);
    return null;
  }

  private setAll(allow: boolean): null {
    this.bits.fill(allow ? -1 : 0);
    this.allCommands = this.future = allow;
    this.rules = [];
    this.firstArguments = null;
    return null;
  }

  /** `~pattern`, `%R~pattern`, `%W~pattern`, `%RW~pattern`; `%R` alone is the empty pattern, as in Redis. */
  private addKeys(rule: string): RuleFailure | null {
    if (this.allKeys) return KEYS_AFTER_ALL;
    const head = /^(?:~|%([RrWw]{1,2})(?:~|$))/.exec(rule);
    if (head === null) return BAD_SYNTAX;
    const letters = (head[1] ?? "RW").toUpperCase();
    if (letters === "RR" || letters === "WW") return BAD_SYNTAX;
    const permits = (letters.includes("R") ? READ : 0) | (letters.includes("W") ? WRITE : 0);
    const text = rule.slice(head[0].length);
    if (hasBlanks(text)) return BAD_SYNTAX;
    const same = this.patterns.find((p) => p.text === text);
    if (same === undefined) this.patterns.push({ text, bytes: Buffer.from(text, "latin1"), permits });
    else same.permits |= permits;
    return null;
  }

  private addChannels(text: string): RuleFailure | null {
    if (this.allChannels) return CHANNELS_AFTER_ALL;
    if (hasBlanks(text)) return BAD_SYNTAX;
    if (!this.channels.some((p) => p.text === text)) this.channels.push({ text, bytes: Buffer.from(text, "latin1"), permits: 0 });
    return null;
  }

  /** `@name`, with all of its commands and subcommands. */
  private setCategory(name: string, allow: boolean): RuleFailure | null {
    const category = (ACL as Readonly<Record<string, number>>)[name.slice(1).toLowerCase()];
    if (category === undefined) return UNKNOWN_NAME;
    this.noteRule(name, allow);
    for (const row of this.commands.rows) if ((row.acl & category) !== 0) this.setCommand(row, allow);
    return null;
  }

  /** `+container|subcommand`, or `+command|first-argument` of a command that has no subcommands. */
  private allowPart(name: string): RuleFailure | null {
    const bar = name.lastIndexOf("|");
    const row = this.commands.find(name.slice(0, bar));
    if (row === undefined) return UNKNOWN_NAME;
    if (row.parent !== null) return ARGUMENT_OF_SUBCOMMAND;
    const part = name.slice(bar + 1);
    if (part === "") return BAD_SYNTAX;
    if (row.subcommands !== null) {
      const sub = this.commands.find(name);
      if (sub === undefined) return UNKNOWN_NAME;
      this.setCommand(sub, true);
    } else {
      const list = (this.firstArguments ??= new Map()).get(row.id);
      if (list === undefined) this.firstArguments.set(row.id, [part.toLowerCase()]);
      else if (!list.includes(part.toLowerCase())) list.push(part.toLowerCase());
    }
    this.noteRule(name, true);
    return null;
  }

  /** A command with its subcommands. */
  private setCommand(row: Row, allow: boolean): void {
    this.setBit(row.id, allow);
    this.firstArguments?.delete(row.id);
    for (const sub of row.subcommands ?? []) this.setBit(sub.id, allow);
  }

  private setBit(id: number, allow: boolean): void {
    if (allow) this.bits[id >>> 5] |= 1 << (id & 31);
    else {
      this.bits[id >>> 5] &= ~(1 << (id & 31));
      this.allCommands = false;
    }
  }

  /** A new rule takes the place of older ones about the same command or category, those of its subcommands too. */
  private noteRule(name: string, allow: boolean): void {
    const lower = name.toLowerCase();
    this.rules = this.rules.filter((rule) => rule.slice(1) !== lower && !rule.startsWith(`${lower}|`, 1));
    this.rules.push(`${allow ? "+" : "-"}${lower}`);
  }

  // ---------------------------------------------------------------------------------------------------------------- description

  /** `+@all -flushall`: what makes the same permissions for commands. */
  describeCommands(): string {
    return [this.future ? "+@all" : "-@all", ...this.rules].join(" ");
  }
  /** `~a* %R~b*`; `~*` for all keys. */
  describeKeys(): string {
    return this.allKeys ? "~*" : this.patterns.map((p) => `${PREFIX[p.permits]}${p.text}`).join(" ");
  }
  /** `&a* &b`; `&*` for all channels. */
  describeChannels(): string {
    return this.allChannels ? "&*" : this.channels.map((p) => `&${p.text}`).join(" ");
  }
  /** All of it, as ACL LIST and files have it. */
  describe(): string {
    const channels = this.allChannels ? "&*" : ["resetchannels", ...this.channels.map((p) => `&${p.text}`)].join(" ");
    return [this.describeKeys(), channels, this.describeCommands()].filter((part) => part !== "").join(" ");
  }

  // ---------------------------------------------------------------------------------------------------------------- checks

  /**
   * May a request run? Argument i is buf[at[2(base+i)], at[2(base+i)+1]). `denied.argument` is set to the argument that a key or channel
   * verdict is about. WARM. Redis ACLSelectorCheckCmd.
   */
  check(row: Row, buf: Buffer, at: Int32Array, base: number, argc: number, keys: RequestKeys, denied: { argument: number }): Verdict {
    if (!this.allCommands && (row.flags & FLAG.no_auth) === 0 && (this.bits[row.id >>> 5] & (1 << (row.id & 31))) === 0) {
      const first = this.firstArguments?.get(row.id);
      if (first === undefined || argc < 2) return DENIED_COMMAND;
      const word = cText(buf.toString("latin1", at[2 * base + 2], at[2 * base + 3])).toLowerCase();
      if (!first.includes(word)) return DENIED_COMMAND;
    }
    if (!this.allKeys && row.keysKind !== NO_KEYS) {
      const list = keys.of(row, buf, at, base, argc);
      for (let i = 0; i < list.count; i++) {
        const p = 2 * (base + list.pos[i]);
        if (this.allowsKey(buf, at[p], at[p + 1], list.flags[i])) continue;
        denied.argument = list.pos[i];
        return DENIED_KEY;
      }
    }
    if (!this.allChannels && row.channels !== null) {
      const last = row.channels === "publish" ? 1 : argc - 1;
      for (let i = 1; i <= last; i++) {
        const p = 2 * (base + i);
        if (this.allowsChannel(buf, at[p], at[p + 1], row.channels === "patterns")) continue;
        denied.argument = i;
        return DENIED_CHANNEL;
      }
    }
    return ALLOWED;
  }

  /** `flags`: KEY bits, what the command does with the key. */
  private allowsKey(buf: Uint8Array, start: number, end: number, flags: number): boolean {
    const wanted = wants(flags);
    for (const p of this.patterns)
      if ((p.permits & wanted) === wanted && globMatch(p.bytes, 0, p.bytes.length, buf, start, end)) return true;
    return false;
  }

  /** `pattern`: what PSUBSCRIBE names must be one of our patterns to the letter. */
  allowsChannel(buf: Buffer, start: number, end: number, pattern: boolean): boolean {
    if (this.allChannels) return true;
    if (pattern) {
      const text = cText(buf.toString("latin1", start, end));
      return this.channels.some((p) => p.text === text);
    }
    for (const p of this.channels) if (globMatch(p.bytes, 0, p.bytes.length, buf, start, end)) return true;
    return false;
  }

  /** True when every key may be used as `flags` (KEY bits) say: SORT's BY and GET name keys that nobody can know beforehand. */
  allowsEveryKey(flags: number): boolean {
    const wanted = wants(flags);
    return this.allKeys || this.patterns.some((p) => (p.permits & wanted) === wanted && p.text === "*");
  }

  /** Every channel pattern of ours is one of `others`' too. */
  channelsWithin(others: readonly Selector[]): boolean {
    return !this.allChannels && this.channels.every((p) => others.some((s) => s.channels.some((q) => q.text === p.text)));
  }
}

const PREFIX = ["", "%R~", "%W~", "~"];

function wants(flags: number): number {
  return (flags & KEY.access ? READ : 0) | (flags & (KEY.insert | KEY.delete | KEY.update) ? WRITE : 0);
}

/** The text as C sees it: it ends at a NUL. */
export function cText(text: string): string {
  const nul = text.indexOf("\0");
  return nul < 0 ? text : text.slice(0, nul);
}

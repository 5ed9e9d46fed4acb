/**
 * A user: passwords, switches, and what its selectors permit. COLD, but for `mayRun` (each request of a restricted user).
 *
 *   ACL SETUSER, `user` lines, ACL files --set(rule)--> User --describe()--> ACL LIST, files
 *   dispatch, EXEC, scripts, ACL DRYRUN --mayRun(user, request)--> verdict, `denied.argument`
 *
 * Changing several rules at once, all or nothing, is done on a copy: `applyRules`. Follows Redis 7.2 acl.c.
 */
import type { Row } from "../../commands/table/row.ts";
import {
  ALLOWED,
  BAD_HASH,
  cText,
  DENIED_COMMAND,
  type KnownCommands,
  NO_SUCH_PASSWORD,
  RequestKeys,
  type RuleFailure,
  Selector,
  type Verdict,
} from "./selector.ts";

/** SHA-256 of a latin1 password, in lower-case hex. */
export function hashPassword(password: string): string {
  return new Bun.CryptoHasher("sha256").update(Buffer.from(password, "latin1")).digest("hex");
}

/** What new users and selectors begin with: the mode's commands, and acl-pubsub-default as it is now. */
export interface AclWorld {
  readonly commands: KnownCommands;
  allChannelsByDefault: boolean;
}

export class User {
  readonly name: string;
  private readonly world: AclWorld;
  enabled: boolean;
  /** Any password, or none, logs in. */
  noPass: boolean;
  /** RESTORE takes its payload unchecked. */
  skipSanitize: boolean;
  /** SHA-256 in lower-case hex, oldest first. */
  passwords: string[];
  /** The first one is the root, which rules outside of parentheses are about. */
  selectors: Selector[];
  /** Not allowed everything: each request is checked. */
  restricted: boolean;

  /** Switched off, without a password, without any permission. */
  constructor(name: string, world: AclWorld) {
    this.name = name;
    this.world = world;
    this.enabled = false;
    this.noPass = false;
    this.skipSanitize = false;
    this.passwords = [];
    this.selectors = [new Selector(world.commands, world.allChannelsByDefault)];
    this.restricted = true;
  }

  /** The user that every connection is at first: may do everything, needs no password. */
  static default(world: AclWorld): User {
    const user = new User("default", world);
    for (const rule of ["+@all", "~*", "&*", "on", "nopass"]) user.set(rule);
    return user;
  }

  /** Takes over everything of another user but its name. */
  become(other: User): void {
    this.enabled = other.enabled;
    this.noPass = other.noPass;
    this.skipSanitize = other.skipSanitize;
    this.passwords = [...other.passwords];
    this.selectors = other.selectors.map((s) => s.copy());
    this.restricted = other.restricted;
  }

  /** Applies one rule, all of `(...)` being one; null, or why it is none. Latin1. Redis ACLSetUser. */
  set(rule: string): RuleFailure | null {
    const failed = this.apply(rule);
    this.restricted = !this.selectors.some((s) => s.allCommands && s.allKeys && s.allChannels);
    return failed;
  }

  private apply(rule: string): RuleFailure | null {
    switch (rule.toLowerCase()) {
      case "":
        return null;
      case "on":
      case "off":
        this.enabled = rule.toLowerCase() === "on";
        return null;
      case "skip-sanitize-payload":
      case "sanitize-payload":
        this.skipSanitize = rule[1] === "k" || rule[1] === "K";
        return null;
      case "nopass":
      case "resetpass":
        this.noPass = rule.toLowerCase() === "nopass";
        this.passwords = [];
        return null;
      case "clearselectors":
        this.selectors.length = 1;
        return null;
      case "reset":
        return this.reset();
    }
    const first = rule[0];
    if (first === ">" || first === "#") return this.addPassword(rule);
    if (first === "<" || first === "!") return this.removePassword(rule);
    if (first === "(" && rule.endsWith(")")) {
      const selector = Selector.of(rule.slice(1, -1), this.world.commands, this.world.allChannelsByDefault);
      if (!(selector instanceof Selector)) return selector;
      this.selectors.push(selector);
      return null;
    }
    return this.selectors[0].set(rule);
  }

  private reset(): null {
    const fresh = new User(this.name, this.world);
    this.become(fresh);
    return null;
  }

  /** `>password`, `#hash`. */
  private addPassword(rule: string): RuleFailure | null {
    const hash = hashOf(rule, ">");
    if (hash === null) return BAD_HASH;
    if (!this.passwords.includes(hash)) this.passwords.push(hash);
    this.noPass = false;
    return null;
  }

  /** `<password`, `!hash`. */
  private removePassword(rule: string): RuleFailure | null {
    const hash = hashOf(rule, "<");
    if (hash === null) return BAD_HASH;
    const i = this.passwords.indexOf(hash);
    if (i < 0) return NO_SUCH_PASSWORD;
    this.passwords.splice(i, 1);
    return null;
  }

  /** The flags as ACL GETUSER and LIST name them, in their order. */
  flags(): string[] {
    return [
      this.enabled ? "on" : "off",
      ...(this.noPass ? ["nopass"] : []),
      this.skipSanitize ? "skip-sanitize-payload" : "sanitize-payload",
    ];
  }

  /** `NAME on #hash ~* &* +@all (...)`: what stands behind `user` in ACL LIST and in files. */
  describe(): string {
    const [root, ...others] = this.selectors;
    const parts = [this.name, ...this.flags(), ...this.passwords.map((hash) => `#${hash}`), root.describe()];
    return [...parts, ...others.map((s) => `(${s.describe()})`)].join(" ");
  }
}

/** The hash that a password rule is about; null when it should be one and is not. `plain` introduces a password, the other sign a hash. */
function hashOf(rule: string, plain: string): string | null {
  if (rule[0] === plain) return hashPassword(rule.slice(1));
  return /^[0-9a-f]{64}$/.test(rule.slice(1)) && rule.length === 65 ? rule.slice(1) : null;
}

/** Rules with the words of a selector, `(~a`, `+get)`, put together again; or the index of the word whose parenthesis is never closed. */
export function mergeSelectors(words: readonly string[]): string[] | number {
  const merged: string[] = [];
  let open = -1;
  let text = "";
  for (const [i, word] of words.entries()) {
    if (open < 0) {
      if (word.startsWith("(") && !word.endsWith(")")) {
        open = i;
        text = word;
      } else merged.push(word);
      continue;
    }
    text += ` ${cText(word)}`;
    if (!word.endsWith(")")) continue;
    merged.push(text);
    open = -1;
  }
  return open < 0 ? merged : open;
}

/** A copy of `user` (or a new user of that name) with all rules applied, or the error text. Redis ACLStringSetUser. */
export function applyRules(user: User | undefined, name: string, words: readonly string[], world: AclWorld): User | string {
  const rules = mergeSelectors(words);
  if (typeof rules === "number") return `Unmatched parenthesis in acl selector starting at '${cText(words[rules])}'.`;
  const changed = new User(name, world);
  if (user !== undefined) changed.become(user);
  for (const rule of rules) {
    const failed = changed.set(rule);
    if (failed !== null) return `Error in ACL SETUSER modifier '${cText(rule)}': ${failed.text}`;
  }
  return changed;
}

// -------------------------------------------------------------------------------------------------------------------- checks

/** After a verdict other than ALLOWED: the argument that a key or channel was denied for, 0 for the command itself. */
export const denied = { argument: 0 };
const keys = new RequestKeys();
const here = { argument: 0 };

/**
 * May the user send this request? Argument i is buf[at[2(base+i)], at[2(base+i)+1]); null is a user who may do everything (scripts' loading,
 * the master's link). Of several selectors' refusals the heaviest and last one is told. WARM. Redis ACLCheckAllUserCommandPerm.
 */
export function mayRun(user: User | null, row: Row, buf: Buffer, at: Int32Array, base: number, argc: number): Verdict {
  if (user === null || !user.restricted) return ALLOWED;
  keys.forget();
  here.argument = 0;
  denied.argument = 0;
  let verdict: Verdict = DENIED_COMMAND;
  for (const selector of user.selectors) {
    const v = selector.check(row, buf, at, base, argc, keys, here);
    if (v === ALLOWED) return ALLOWED;
    if (v > verdict || (v === verdict && here.argument > denied.argument)) {
      verdict = v;
      denied.argument = here.argument;
    }
  }
  return verdict;
}

/** The same, with the right to use any key at all as `flags` (KEY bits) say. Redis ACLUserCheckCmdWithUnrestrictedKeyAccess. */
export function mayRunOnEveryKey(user: User | null, row: Row, buf: Buffer, at: Int32Array, argc: number, flags: number): boolean {
  if (user === null || !user.restricted) return true;
  keys.forget();
  return user.selectors.some((s) => s.check(row, buf, at, 0, argc, keys, here) === ALLOWED && s.allowsEveryKey(flags));
}

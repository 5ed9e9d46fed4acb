/**
 * All users: who may log in, which clients are let in without, and what is refused to them. COLD, but for `refused` (each request of a
 * restricted user); the hot path sees gate bits alone.
 *
 *   AUTH, HELLO --authenticate--> client.user --setGates--> CLIENT_UNAUTHENTICATED, CLIENT_ACL
 *   dispatch, EXEC, scripts (gate CLIENT_ACL is closed) --refused--> acl/user.ts mayRun --> verdict, noted in the denial log
 *
 * A user who may do everything is not `restricted`, and the ACL gate stays open for its clients. Users keep their object when their rules
 * change, so that clients need not be told. Follows Redis 7.2 acl.c.
 */
import { type RowTable, rowTable } from "../commands/table/index.ts";
import { errorLine } from "../resp/errors.ts";
import { type DenialContext, DenialLog } from "./acl/log.ts";
import { ALLOWED, DENIED_AUTH, DENIED_COMMAND, DENIED_KEY, KnownCommands, type Selector, type Verdict } from "./acl/selector.ts";
import { type AclWorld, applyRules, denied, hashPassword, mayRun, mayRunOnEveryKey, User } from "./acl/user.ts";
import { rowOf } from "./bind.ts";
import type { Call } from "./call.ts";
import { CLIENT_ACL, CLIENT_UNAUTHENTICATED, type Client } from "./client.ts";
import type { Dispatcher } from "./dispatch.ts";
import { clientLine, clientType } from "./info_line.ts";
import type { ClientSettings } from "./settings.ts";

export { User };

/** Compares all of both, so that the time it takes tells nothing. Both are hashes of equal length. */
function sameHash(a: string, b: string): boolean {
  let diff = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) diff |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return diff === 0;
}

export class Users {
  all: Map<string, User>;
  /** Who a new connection is. Never deleted. */
  readonly default: User;
  readonly world: AclWorld;
  /** The commands under the names that clients use. */
  readonly table: RowTable;
  readonly log: DenialLog;
  private readonly dispatcher: Dispatcher;
  private readonly settings: ClientSettings;
  /** Closes a client; the one whose command runs gets its reply first. */
  private readonly close: (client: Client) => void;

  constructor(dispatcher: Dispatcher, settings: ClientSettings, close: (client: Client) => void) {
    this.dispatcher = dispatcher;
    this.settings = settings;
    this.close = close;
    this.table = rowTable(settings.sentinel ? "sentinel" : "server");
    this.world = { commands: new KnownCommands(this.table.all), allChannelsByDefault: false };
    this.log = new DenialLog(settings);
    this.default = User.default(this.world);
    this.all = new Map([["default", this.default]]);
  }

  // ---------------------------------------------------------------------------------------------------------------- logging in

  /** True when a new connection has to log in first (Redis networking.c authRequired). */
  get required(): boolean {
    return !this.default.noPass || !this.default.enabled;
  }

  /** requirepass: the default user's one password; "" is none. Connections that are logged in stay so. */
  setDefaultPassword(password: string): void {
    this.default.set("resetpass");
    this.default.set(password === "" ? "nopass" : `>${password}`);
    this.refresh();
  }

  /** Makes a client the default user, let in when that needs no password (a new connection, RESET). */
  welcome(client: Client): void {
    client.user = this.default;
    client.authenticated = !this.required;
    this.setGates(client);
  }

  /** Logs a client in: false when user or password is wrong, or the user is switched off; that is noted. Strings are latin1. */
  authenticate(client: Client, name: string, password: string, typed: string): boolean {
    const user = this.all.get(name);
    if (user === undefined || !user.enabled || !(user.noPass || knows(user, password))) {
      this.log.add(DENIED_AUTH, client.multi === null ? "toplevel" : "multi", typed, name, clientLine(client));
      return false;
    }
    client.user = user;
    client.authenticated = true;
    this.setGates(client);
    return true;
  }

  /** After a change to a user: every client's gates anew. */
  refresh(): void {
    for (const client of this.dispatcher.clients.values()) this.setGates(client);
  }

  private setGates(client: Client): void {
    const closed = this.required && !client.authenticated;
    client.gates &= ~(CLIENT_UNAUTHENTICATED | CLIENT_ACL);
    if (closed) client.gates |= CLIENT_UNAUTHENTICATED;
    if (client.user?.restricted) client.gates |= CLIENT_ACL;
    client.request.unauthenticated = closed;
  }

  // ---------------------------------------------------------------------------------------------------------------- changing users

  /** In the order of their names' bytes. */
  sorted(): User[] {
    return [...this.all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** What CONFIG REWRITE puts behind `user`; null when an ACL file keeps the users. */
  configLines(): string[] | null {
    return this.settings.aclFile === "" ? this.sorted().map((user) => user.describe()) : null;
  }

  /** ACL SETUSER: all rules or none. The error text, or null. */
  setUser(name: string, rules: readonly string[]): string | null {
    const user = this.all.get(name);
    const changed = applyRules(user, name, rules, this.world);
    if (typeof changed === "string") return changed;
    if (user === undefined) this.all.set(name, changed);
    else {
      this.closeSubscribers(user, changed.selectors);
      user.become(changed);
      this.refresh();
    }
    return null;
  }

  /** ACL DELUSER: false when there is none of that name. Its clients go. */
  delete(name: string): boolean {
    const user = this.all.get(name);
    if (user === undefined) return false;
    this.all.delete(name);
    this.closeClients((of) => of === user);
    return true;
  }

  /** ACL LOAD: these users and no others. Clients of the users that were there go, but those of the default user. */
  replace(users: ReadonlyMap<string, User>): void {
    this.default.become(users.get("default") ?? User.default(this.world));
    this.all = new Map(users).set("default", this.default);
    this.closeClients((of) => of !== this.default);
    this.refresh();
  }

  private closeClients(of: (user: User) => boolean): void {
    for (const client of this.dispatcher.clients.values()) {
      if (client.user === null || !of(client.user)) continue;
      // Whatever it still says is said by nobody.
      client.user = this.default;
      client.authenticated = false;
      this.setGates(client);
      this.close(client);
    }
  }

  /** Subscribers who may not listen any more with the new selectors go. Redis ACLKillPubsubClientsIfNeeded. */
  private closeSubscribers(user: User, selectors: readonly Selector[]): void {
    if (selectors.some((s) => s.allChannels) || user.selectors.every((s) => s.channelsWithin(selectors))) return;
    const may = (names: Set<string> | null, pattern: boolean): boolean => {
      for (const name of names ?? []) {
        const b = Buffer.from(name, "latin1");
        if (!selectors.some((s) => s.allowsChannel(b, 0, b.length, pattern))) return false;
      }
      return true;
    };
    for (const client of this.dispatcher.clients.values())
      if (client.user === user && clientType(client) === "pubsub")
        if (!may(client.patterns, true) || !may(client.channels, false) || !may(client.shardChannels, false)) this.close(client);
  }

  // ---------------------------------------------------------------------------------------------------------------- refusing

  /** The verdict on a client's request; a refusal is noted. `refusal` words it. */
  check(call: Call, context: DenialContext): Verdict {
    const { client, command } = call;
    const verdict = this.verdict(client.user, call);
    if (verdict === ALLOWED) return ALLOWED;
    const object = verdict === DENIED_COMMAND ? command.name : call.text(denied.argument);
    // A script's command is its caller's.
    this.log.add(verdict, context, object, client.userName, clientLine(this.dispatcher.current ?? client));
    return verdict;
  }

  /** The verdict alone: redis.acl_check_cmd. */
  verdict(user: User | null, call: Call): Verdict {
    return mayRun(user, rowOf(call.command), call.buf, call.at, 0, call.argc);
  }

  /** The error line for a client's own request that its user may not send; null: it may. */
  denied(call: Call): Buffer | null {
    const verdict = this.check(call, call.client.multi === null ? "toplevel" : "multi");
    return verdict === ALLOWED ? null : errorLine(`NOPERM ${refusal(verdict, call.client.user!, call.command)}`);
  }

  /** SORT's BY and GET: the client may read every key there is. */
  mayReadAllKeys(call: Call, flags: number): boolean {
    return mayRunOnEveryKey(call.client.user, rowOf(call.command), call.buf, call.at, call.argc, flags);
  }
}

function knows(user: User, password: string): boolean {
  const hash = hashPassword(password);
  let found = false;
  for (const known of user.passwords) if (sameHash(known, hash)) found = true;
  return found;
}

/** Why not, in Redis 7.2's words without NOPERM. `object`: the key or channel, for those who may be told (ACL DRYRUN). */
export function refusal(verdict: Verdict, user: User, command: { name: string }, object: string | null = null): string {
  if (verdict === DENIED_COMMAND) return `User ${user.name} has no permissions to run the '${command.name}' command`;
  const kind = verdict === DENIED_KEY ? "key" : "channel";
  if (object === null) return `No permissions to access a ${kind}`;
  return `User ${user.name} has no permissions to access the '${object}' ${kind}`;
}

/**
 * Users and passwords: who may log in, and which clients are let in without. COLD; the hot path sees gate bits alone.
 *
 *   AUTH, HELLO --authenticate--> client.user, gate bits CLIENT_UNAUTHENTICATED and CLIENT_ACL
 *
 * Here lives the default user with requirepass. A user who may do everything is not `restricted`, and the ACL gate stays closed for
 * its clients; rules of restricted users are another module's. Follows Redis acl.c: passwords are kept as SHA-256 only.
 */
import { CLIENT_ACL, CLIENT_UNAUTHENTICATED, type Client } from "./client.ts";

export class User {
  readonly name: string;
  enabled: boolean;
  /** Any password, or none, logs in. */
  noPass: boolean;
  /** SHA-256 in lower-case hex, oldest first. */
  passwords: string[];
  /** Not allowed everything: each command asks the rules. */
  restricted: boolean;
  /** The rules of a restricted user; their form is the ACL's. */
  rules: unknown;

  constructor(name: string) {
    this.name = name;
    this.enabled = true;
    this.noPass = false;
    this.passwords = [];
    this.restricted = false;
    this.rules = null;
  }
}

/** SHA-256 of a latin1 password, in lower-case hex. */
export function hashPassword(password: string): string {
  return new Bun.CryptoHasher("sha256").update(Buffer.from(password, "latin1")).digest("hex");
}

/** Compares all of both, so that the time it takes tells nothing. Both are hashes of equal length. */
function sameHash(a: string, b: string): boolean {
  let diff = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) diff |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return diff === 0;
}

export class Users {
  readonly all: Map<string, User>;
  /** Who a new connection is. Never deleted. */
  readonly default: User;
  private readonly clients: ReadonlyMap<number, Client>;

  constructor(clients: ReadonlyMap<number, Client>) {
    this.clients = clients;
    this.default = new User("default");
    this.default.noPass = true;
    this.all = new Map([["default", this.default]]);
  }

  /** True when a new connection has to log in first (Redis networking.c authRequired). */
  get required(): boolean {
    return !this.default.noPass || !this.default.enabled;
  }

  /** requirepass: the default user's one password; "" is none. Connections that are logged in stay so. */
  setDefaultPassword(password: string): void {
    this.default.passwords = password === "" ? [] : [hashPassword(password)];
    this.default.noPass = password === "";
    this.refresh();
  }

  /** Makes a client the default user, let in when that needs no password (a new connection, RESET). */
  welcome(client: Client): void {
    client.user = this.default;
    client.authenticated = !this.required;
    this.setGates(client);
  }

  /** Logs a client in: false when user or password is wrong, or the user is switched off. Strings are latin1. */
  authenticate(client: Client, name: string, password: string): boolean {
    const user = this.all.get(name);
    if (user === undefined || !user.enabled) return false;
    if (!user.noPass) {
      const hash = hashPassword(password);
      let found = false;
      for (const known of user.passwords) if (sameHash(known, hash)) found = true;
      if (!found) return false;
    }
    this.become(client, user);
    return true;
  }

  become(client: Client, user: User): void {
    client.user = user;
    client.authenticated = true;
    this.setGates(client);
  }

  /** After a change to a user: every client's gates anew. */
  refresh(): void {
    for (const client of this.clients.values()) this.setGates(client);
  }

  private setGates(client: Client): void {
    const closed = this.required && !client.authenticated;
    client.gates &= ~(CLIENT_UNAUTHENTICATED | CLIENT_ACL);
    if (closed) client.gates |= CLIENT_UNAUTHENTICATED;
    if (client.user?.restricted) client.gates |= CLIENT_ACL;
    client.request.unauthenticated = closed;
  }
}

/**
 * The proxy's own users (redis-user): who may log in, and what they may do. The server sees redis-auth. Texts are Redis' (acl.c). gate() is
 * WARM: it runs for every request of a proxy that has users; the rest is COLD.
 */
import { timingSafeEqual } from "node:crypto";
import { globMatch } from "../../bytes/glob.ts";
import type { RowTable } from "../../commands/table/index.ts";
import { findKeys, KeyList } from "../../commands/table/keys.ts";
import { ACL, NO_KEYS, type Row } from "../../commands/table/row.ts";
import type { ProxyConfig } from "../../config/haproxy_model.ts";
import type { Request } from "../../resp/request.ts";
import * as plan from "../core/redis_plan.ts";
import type { RedisClient } from "./client.ts";

const OK = Buffer.from("+OK\r\n");
const NOAUTH = Buffer.from("-NOAUTH Authentication required.\r\n");
const WRONGPASS = Buffer.from("-WRONGPASS invalid username-password pair or user is disabled.\r\n");
const HELLO_FIRST = Buffer.from(
  "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n",
);
const NO_KEY = Buffer.from("-NOPERM No permissions to access a key\r\n");
const NOT_NOW = Buffer.from("-ERR the proxy's users log in outside of transactions and subscriptions\r\n");

interface User {
  name: string;
  /** SHA-256 of the password. */
  digest: Buffer;
  /** By row id: 1 when it may. */
  may: Uint8Array;
  /** Every command, on every key. */
  mayAll: boolean;
  patterns: Buffer[];
}

export class Users {
  private readonly users: Map<string, User>;
  private readonly keys: KeyList;
  readonly notNow: Buffer;

  private constructor(users: Map<string, User>) {
    this.users = users;
    this.keys = new KeyList();
    this.notNow = NOT_NOW;
  }

  /** Null when the section has none; a text when a rule makes no sense. */
  static of(config: ProxyConfig, table: RowTable): Users | string | null {
    if (config.users.length === 0) return null;
    const users = new Map<string, User>();
    for (const u of config.users) {
      const hex = /^#[0-9a-fA-F]{64}$/.test(u.password);
      const digest = hex ? Buffer.from(u.password.slice(1), "hex") : sha256(u.password);
      const may = new Uint8Array(table.all.length);
      const first = u.rules.find((r) => r[0] !== "~");
      if (first === undefined || first[0] === "-") may.fill(1);
      for (const rule of u.rules) {
        if (rule[0] === "~") continue;
        if (!apply(may, rule, table)) return `'redis-user' ${u.name} : unknown command or category in '${rule}'`;
      }
      const patterns = u.rules.filter((r) => r[0] === "~").map((r) => Buffer.from(r.slice(1), "latin1"));
      users.set(u.name, { name: u.name, digest, may, mayAll: patterns.length === 0 && may.every((m) => m === 1), patterns });
    }
    return new Users(users);
  }

  /** What is to become of a request: its plan as it was, or FORBIDDEN with the answer in `refusal`. */
  gate(client: RedisClient, row: Row | null, request: Request, code: number): number {
    if (code === plan.HELLO || code === plan.AUTH || code === plan.QUIT || code === plan.RESET) return code;
    const user = client.user === null ? undefined : this.users.get(client.user);
    if (user === undefined) return this.refuse(NOAUTH);
    // What is not in the table can be judged for nobody but those who may do everything.
    if (row === null)
      return user.mayAll
        ? code
        : this.refuse(Buffer.from(`-NOPERM User ${user.name} has no permissions to run that command\r\n`, "latin1"));
    if (user.may[row.id] === 0) {
      const who = `-NOPERM User ${user.name} has no permissions to run the '${row.name}' command\r\n`;
      return this.refuse(Buffer.from(who, "latin1"));
    }
    if (user.patterns.length > 0 && row.keysKind !== NO_KEYS) {
      const { keys } = this;
      findKeys(row, request.buf, request.at, 0, request.argc, keys);
      for (let i = 0; i < keys.count; i++) {
        const p = 2 * keys.pos[i];
        const from = request.at[p];
        const to = request.at[p + 1];
        if (!user.patterns.some((g) => globMatch(g, 0, g.length, request.buf, from, to))) return this.refuse(NO_KEY);
      }
    }
    return code;
  }
  /** Answer to what gate() has just called FORBIDDEN. */
  refusal: Buffer = NOAUTH;
  private refuse(answer: Buffer): number {
    this.refusal = answer;
    return plan.FORBIDDEN;
  }

  /** HELLO or AUTH: an answer, or what is to be asked of the server instead; null: nothing to do with users. */
  login(client: RedisClient, words: string[]): Buffer | string[] | null {
    const name = words[0]!.toLowerCase();
    if (name === "auth") {
      if (words.length < 2 || words.length > 3) return Buffer.from("-ERR wrong number of arguments for 'auth' command\r\n");
      const [user, password] = words.length === 2 ? ["default", words[1]!] : [words[1]!, words[2]!];
      return this.admit(client, user, password) ? OK : WRONGPASS;
    }
    if (name !== "hello") return null;
    const left = [...words];
    const at = left.findIndex((w, i) => i > 1 && w.toLowerCase() === "auth");
    if (at > 0 && left.length > at + 2) {
      const [, user, password] = left.splice(at, 3);
      if (!this.admit(client, user!, password!)) return WRONGPASS;
    }
    return client.user === null ? HELLO_FIRST : left;
  }
  private admit(client: RedisClient, name: string, password: string): boolean {
    const user = this.users.get(name);
    // The same work for a name that is not there.
    const good = timingSafeEqual(sha256(password), user?.digest ?? sha256(""));
    if (user === undefined || !good) return false;
    client.user = name;
    return true;
  }
}

function sha256(text: string): Buffer {
  return Buffer.from(new Bun.CryptoHasher("sha256").update(Buffer.from(text, "latin1")).digest() as unknown as Uint8Array);
}

/** One rule; false when it names nothing. */
function apply(may: Uint8Array, rule: string, table: RowTable): boolean {
  const value = rule[0] === "+" ? 1 : 0;
  if (rule[1] === "@") {
    const category = rule.slice(2).toLowerCase();
    if (category === "all") {
      may.fill(value);
      return true;
    }
    const bit = ACL[category as keyof typeof ACL];
    if (bit === undefined) return false;
    for (const row of table.all) if ((row.acl & bit) !== 0) may[row.id] = value;
    return true;
  }
  const row = table.get(rule.slice(1).toLowerCase());
  if (row === undefined) return false;
  may[row.id] = value;
  for (const sub of row.subcommands ?? []) may[sub.id] = value;
  return true;
}

/**
 * Random requests for tests that throw them at a server: commands of the table with arguments of all kinds, and bytes that are no requests.
 * The seed decides everything.
 */
import { rowTable } from "../../lib/commands/table/index.ts";
import { FLAG, type Row } from "../../lib/commands/table/row.ts";
import { random } from "./random.ts";

/** Commands that would end, stall or silence the connection or the server, or take it from the test. */
const LEFT_OUT =
  /^(shutdown|debug|replicaof|slaveof|failover|sync|psync|replconf|monitor|quit|migrate|save|bgsave|bgrewriteaof|auth|reset|hello|.*subscribe|client\|(reply|pause|kill|tracking|caching|no-evict|setinfo)|config\|(set|rewrite)|acl\|(setuser|deluser|load|save)|wait|waitaof|module\|.*|script\|debug|restore-asking|pfdebug|pfselftest|latency\|(reset|histogram))$/;

/** Commands whose replies are a matter of time, chance or memory: not compared. */
const NOT_COMPARED =
  /^(.*rand.*|spop|time|info|lolwut|object\|.*|memory\|.*|latency\|.*|slowlog\|.*|client\|.*|command.*|acl\|.*|cluster\|.*|config\|.*|function\|.*|script\|.*|.*scan|.*expire.*|.*ttl|psetex|setex|getex|eval.*|fcall.*|lastsave|dump|restore|keys|echo|lcs|role|pubsub\|.*|select|swapdb|move|copy|flushall|flushdb|xinfo\|.*|xautoclaim|xclaim|xreadgroup|xpending|xgroup\|.*|xsetid|asking|readonly|readwrite|sort.*|publish|spublish|multi|exec|discard|watch|unwatch|.*\|help|persist)$/;
/** Their elements come in any order. */
const UNORDERED = /^(smembers|sinter|sunion|sdiff|hgetall|hkeys|hvals)$/;

const KEY_PREFIX: Record<string, string> = { sorted_set: "zset", bitmap: "string", hyperloglog: "hll", geo: "zset" };
const PREFIXES = ["string", "list", "hash", "set", "zset", "stream", "hll"];
const VALUES = [
  ..."0 1 2 3 -1 -2 10 100 1000 16 7.5 -3.25 1e3 1e300 -1e300 inf -inf +inf nan 0x10 9223372036854775807 -9223372036854775808".split(" "),
  ..."9223372036854775808 18446744073709551615 100000 -100000 ( (1 [ [a [z + - * $ > = ~ 0-0 0-1 5-5 1-1 99-* 1-2-3 a b c foo bar hello".split(
    " ",
  ),
  ..."u8 i64 u64 #1 member field x* [a-z]* \\ 127.0.0.1 m km ft 13.361389 38.115556 180 90".split(" "),
  "",
  " ",
  "\0",
  "\r\n",
  "\xff\xfe",
  "a b",
  '"',
  "'",
  "x".repeat(70),
  "y".repeat(600),
];
const SCRIPTS = [
  "return 1",
  "return KEYS",
  "return redis.call(ARGV[1], KEYS[1])",
  "return redis.pcall(unpack(ARGV))",
  "return {1, {2, {3, ARGV[1]}}, {err='X y'}}",
  "return cjson.decode(ARGV[1])",
  "return cmsgpack.unpack(ARGV[1])",
  "return struct.unpack(ARGV[1], ARGV[2])",
  "return string.rep(ARGV[1], 100)",
  "return string.format('%s %d %q', ARGV[1], 3, ARGV[1])",
  "local t = {} t[1] = t return t",
  "error({})",
  "return bit.bnot(tonumber(ARGV[1]) or 1)",
  "#!lua flags=no-writes\nreturn redis.call('set', KEYS[1], 1)",
  "return (",
  "#!lua name=lib\nredis.register_function('f', function(k, a) return redis.pcall(unpack(a)) end)",
];

export interface FuzzRequest {
  name: string;
  bytes: Buffer;
  words: string[];
}

/** RESP2 of latin1 words. */
function encode(words: string[]): Buffer {
  return Buffer.from(`*${words.length}\r\n${words.map((w) => `$${w.length}\r\n${w}\r\n`).join("")}`, "latin1");
}

export class Fuzz {
  readonly below: (n: number) => number;
  private readonly rows: Row[];
  private readonly comparable: Row[];
  private readonly tokens: Map<Row, string[]>;
  /** Payloads that DUMP gave, to be broken. */
  readonly payloads: string[];

  constructor(seed: number) {
    this.below = random(seed);
    const all = [...rowTable("server").all].flatMap((row) => (row.subcommands === null ? [row] : row.subcommands));
    this.rows = all.filter((row) => !LEFT_OUT.test(row.name) && !(row.flags & FLAG.blocking));
    this.comparable = this.rows.filter((row) => !NOT_COMPARED.test(row.name) && row.doc.since < "7.2" && row.group !== "hyperloglog");
    this.tokens = new Map(all.map((row) => [row, String(row.doc.args ?? "").match(/\b[A-Z][A-Z0-9_-]+\b/g) ?? []]));
    this.payloads = ["\0\xc0\x01\x0a\0"];
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  private key(row: Row): string {
    const prefix = this.below(5) > 0 ? (KEY_PREFIX[row.group] ?? row.group) : this.pick(PREFIXES);
    return `${PREFIXES.includes(prefix) ? prefix : this.pick(PREFIXES)}:${this.below(6)}`;
  }

  private argument(row: Row): string {
    const tokens = this.tokens.get(row)!;
    const kind = this.below(20);
    if (kind < 5) return this.key(row);
    if (kind < 9 && tokens.length > 0) {
      const token = this.pick(tokens);
      return this.below(2) === 0 ? token : token.toLowerCase();
    }
    if (kind === 10 && row.group === "scripting") return this.pick(SCRIPTS);
    if (kind === 11 && row.name.endsWith("restore")) return this.broken(this.pick(this.payloads));
    if (kind < 15) return String(this.below(10) - 2);
    return this.pick(VALUES);
  }

  /** Some bytes changed, taken out or doubled. */
  private broken(text: string): string {
    const b = Buffer.from(text, "latin1");
    for (let n = this.below(3); n > 0 && b.length > 0; n--) b[this.below(b.length)] = this.below(256);
    const cut = this.below(4) === 0 ? b.subarray(0, this.below(b.length + 1)) : b;
    return cut.toString("latin1");
  }

  private request(row: Row): FuzzRequest {
    const words = row.name.split("|");
    // Mostly a number of arguments that the arity allows.
    const least = Math.abs(row.arity);
    const wanted = this.below(12) === 0 ? this.below(8) + 1 : row.arity > 0 ? least : least + this.below(this.below(3) === 0 ? 12 : 3);
    while (words.length < wanted) {
      const at = words.length;
      if (at === row.firstKey && row.firstKey > 0) words.push(this.key(row));
      else if (at === 1 && row.name.startsWith("eval")) words.push(this.pick(SCRIPTS));
      else if (at === 2 && /^(eval|fcall)/.test(row.name)) words.push(String(this.below(3)));
      else words.push(this.argument(row));
    }
    return { name: row.name, bytes: encode(words), words };
  }

  /** A command that any connection may send; a reply is due. */
  next(): FuzzRequest {
    return this.request(this.pick(this.rows));
  }

  /** A command whose reply does not depend on time or chance. */
  nextComparable(): FuzzRequest & { unordered: boolean } {
    for (;;) {
      const request = this.request(this.pick(this.comparable));
      // Ids made from the clock, and times to live.
      if (request.words.some((w) => /^(\*|.*-\*|ex|px|exat|pxat|keepttl|withscore)$/i.test(w))) continue;
      return { ...request, unordered: UNORDERED.test(request.name) };
    }
  }

  /** Bytes that break the protocol, or stop in its middle. */
  garbage(): Buffer {
    const number = (): string =>
      this.pick(["0", "-1", "1", "2", "3", "1048577", "99999999999", "-9223372036854775809", "", "a", "1 ", "+3", "01", "536870913"]);
    const noise = (): Buffer => Buffer.from(Array.from({ length: this.below(60) }, () => this.below(256)));
    switch (this.below(9)) {
      case 0:
        return noise();
      case 1:
        return Buffer.from(`*${number()}\r\n$${number()}\r\n${this.pick(VALUES)}\r\n`, "latin1");
      case 2: {
        const whole = this.next().bytes;
        return whole.subarray(0, this.below(whole.length));
      }
      case 3: {
        const whole = Buffer.from(this.next().bytes);
        for (let n = 1 + this.below(4); n > 0; n--) whole[this.below(whole.length)] = this.below(256);
        return whole;
      }
      case 4:
        return Buffer.from(
          `${this.next()
            .words.map((w) => (this.below(3) === 0 ? `"${w}` : w))
            .join(" ")}\r\n`,
          "latin1",
        );
      case 5:
        return Buffer.from(
          `${this.pick(["", "\n", "\r\n", "PING", "\0PING"])}${this.pick(["\n", "\r\n", "\r", " \r\n"])}`.repeat(1 + this.below(20)),
          "latin1",
        );
      case 6:
        return Buffer.from(`*2\r\n$3\r\nGET\r\n$${number()}\r\n`, "latin1");
      case 7:
        return Buffer.from("x".repeat(70_000));
      default:
        return Buffer.concat([this.next().bytes, noise(), this.next().bytes]);
    }
  }
}

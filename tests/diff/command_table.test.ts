/**
 * The command table against a real redis-server: COMMAND, COMMAND DOCS and COMMAND GETKEYSANDFLAGS of both, every command it has.
 * The table is Redis 7.2's and the installed server may be 7.0's: what changed between them stands below, a reason a line, and a
 * line too many fails as much as one too few. Words (summaries, complexities, notes) are redisha's own and not compared.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { Call, encodeCommand } from "../../lib/clients/call.ts";
import { commandRuns, infoReply } from "../../lib/commands/command_info.ts";
import { rowTable } from "../../lib/commands/table/index.ts";
import { Out } from "../../lib/resp/out.ts";
import { type Reply as OurReply, ReplyError, ReplyReader } from "../../lib/resp/reply.ts";
import { Request } from "../../lib/resp/request.ts";
import { type Reply as RealReply, startRealRedis, startRealSentinel } from "../support/real_redis.ts";

type Plain = string | number | null | Plain[];
/** Facts of one command by name of the fact, as text. */
type Facts = Record<string, string>;

const ALL_NODES = "request_policy:all_nodes response_policy:all_succeeded";
const SCAN_TIPS = "nondeterministic_output request_policy:special";

/** [command, fact, value in 7.0, value in 7.2, why]. */
const CHANGED: readonly (readonly [command: string, fact: string, was: string, is: string, why: string])[] = [
  ["blpop", "flags", "blocking noscript write", "blocking write", "scripts may call it: it does not block there"],
  ["brpop", "flags", "blocking noscript write", "blocking write", "scripts may call it: it does not block there"],
  ["blmove", "flags", "blocking denyoom noscript write", "blocking denyoom write", "scripts may call it: it does not block there"],
  ["brpoplpush", "flags", "blocking denyoom noscript write", "blocking denyoom write", "scripts may call it: it does not block there"],
  ["bzpopmin", "flags", "blocking fast noscript write", "blocking fast write", "scripts may call it: it does not block there"],
  ["bzpopmax", "flags", "blocking fast noscript write", "blocking fast write", "scripts may call it: it does not block there"],
  ["wait", "flags", "noscript", "", "scripts may call it: it does not block there"],
  ["cluster|shards", "flags", "stale", "loading stale", "clients may look for the cluster while it loads"],
  ["cluster|slots", "flags", "stale", "loading stale", "clients may look for the cluster while it loads"],
  ["zrank", "arity", "3", "-3", "WITHSCORE"],
  ["zrevrank", "arity", "3", "-3", "WITHSCORE"],
  ["command|getkeys", "arity", "-4", "-3", "for commands without arguments"],
  ["command|getkeysandflags", "arity", "-4", "-3", "for commands without arguments"],
  ["sentinel|config", "arity", "-3", "-4", "GET without a name told nothing"],
  ["msetnx", "tips", "request_policy:multi_shard response_policy:agg_min", "", "cannot be split over shards"],
  ["client|setname", "tips", "", ALL_NODES, "proxies send it to every node"],
  ["config|resetstat", "tips", "", ALL_NODES, "proxies send it to every node"],
  ["config|rewrite", "tips", "", ALL_NODES, "proxies send it to every node"],
  ["acl|deluser", "tips", "", ALL_NODES, "proxies send it to every node"],
  ["acl|setuser", "tips", "", ALL_NODES, "proxies send it to every node"],
  ["acl|save", "tips", "", ALL_NODES, "proxies send it to every node"],
  ["latency|reset", "tips", ALL_NODES, "request_policy:all_nodes response_policy:agg_sum", "it answers a count"],
  ["scan", "tips", SCAN_TIPS, `${SCAN_TIPS} response_policy:special`, "replies of shards are put together in a way of its own"],
  [
    "randomkey",
    "tips",
    "request_policy:all_shards nondeterministic_output",
    "request_policy:all_shards response_policy:special nondeterministic_output",
    "replies of shards are put together in a way of its own",
  ],
];

/** Commands that 7.2 has and 7.0 has not. */
const NEW = ["client|no-touch", "client|setinfo", "cluster|myshardid", "waitaof"];

/** [command, facts of its documentation that changed, why]. */
const DOCS_CHANGED: readonly (readonly [command: string, facts: string, why: string])[] = [
  ["setnx", "deprecated doc_flags", "deprecated on paper"],
  ["setex", "deprecated doc_flags", "deprecated on paper"],
  ["psetex", "deprecated doc_flags", "deprecated on paper"],
  ["quit", "deprecated doc_flags", "deprecated on paper"],
  ["client|pause", "since", "the version that was released"],
  ["acl|log", "history", "7.2 added fields"],
  ["xinfo|consumers", "history", "7.2 added fields"],
  ["xinfo|stream", "arguments history", "7.2 added fields; FULL is an argument of its own"],
  ["zrank", "arguments history", "WITHSCORE"],
  ["zrevrank", "arguments history", "WITHSCORE"],
  ["command|getkeys", "arguments", "now told"],
  ["command|getkeysandflags", "arguments", "now told"],
  ["geopos", "arguments", "members are optional"],
  ["geohash", "arguments", "members are optional"],
  ["pfmerge", "arguments", "sources are optional"],
  ["migrate", "arguments", "the empty string is a token; an optional group of what is not optional"],
  ["georadius", "arguments", "STORE or STOREDIST"],
  ["georadiusbymember", "arguments", "STORE or STOREDIST"],
  ["bitop", "arguments", "the operations are named"],
  ["client|kill", "arguments", "SKIPME YES or NO"],
  ["client|list", "arguments", "no block around one argument"],
  ["config|get", "arguments", "no block around one argument"],
  ["psubscribe", "arguments", "no block around one argument"],
  ["module|loadex", "arguments", "no block around one argument"],
];

/** Where our Sentinel's table differs by design: commands of our own, and more words to those it has. */
const SENTINEL_OWN = ["sentinel|failovers", "sentinel|identity"];
const SENTINEL_MORE: readonly [command: string, fact: string, was: string, is: string][] = [
  ["sentinel|failover", "arity", "3", "-3"],
  ["sentinel|remove", "arity", "3", "-3"],
  ["sentinel|reset", "arity", "3", "-3"],
];

const real = await startRealRedis();
if (real === null) console.log("SKIPPED tests/diff/command_table: no redis-server is installed");
afterAll(() => real?.stop());

const table = rowTable("server");
const runs = commandRuns(table);

/** Our reply to a COMMAND request, as dispatch would run it. */
function ours(...args: string[]): Plain {
  const request = new Request();
  const bytes = encodeCommand(args);
  request.read(bytes, 0, bytes.length);
  const call = new Call(0);
  call.buf = request.buf;
  call.at = request.at;
  call.argc = request.argc;
  call.out = new Out(2);
  runs[args.length === 1 ? "command" : `command|${args[1].toLowerCase()}`](call);
  return plain(new ReplyReader().feed(call.out.take())![0]);
}

async function theirs(...args: string[]): Promise<Plain> {
  return plain(await real!.call(...args));
}

function plain(reply: OurReply | RealReply): Plain {
  if (Buffer.isBuffer(reply)) return reply.toString("latin1");
  if (reply instanceof ReplyError) return `-${reply.text}`;
  if (reply instanceof Error) return `-${reply.message}`;
  return Array.isArray(reply) ? reply.map(plain) : (reply as Plain);
}

const list = (value: Plain | undefined): Plain[] => (Array.isArray(value) ? value : []);
const sorted = (value: Plain): string => list(value).map(String).sort().join(" ");
function mapOf(value: Plain | undefined): Record<string, Plain> {
  const flat = list(value);
  const map: Record<string, Plain> = {};
  for (let i = 0; i < flat.length; i += 2) map[String(flat[i])] = flat[i + 1];
  return map;
}

/** Facts of every row in a reply of COMMAND, subcommands included. */
function commandFacts(reply: Plain, into = new Map<string, Facts>()): Map<string, Facts> {
  for (const row of list(reply)) {
    const [name, arity, flags, first, last, step, acl, tips, keys, subs] = list(row);
    const specs = list(keys).map((spec) => {
      const { notes, flags: use, ...places } = mapOf(spec);
      return `${sorted(use)} ${JSON.stringify(places)}${notes === undefined ? "" : " with notes"}`;
    });
    into.set(String(name), {
      arity: String(arity),
      flags: sorted(flags),
      range: `${first} ${last} ${step}`,
      acl: sorted(acl),
      tips: list(tips).join(" "),
      keys: specs.join("; "),
      subcommands: list(subs)
        .map((sub) => String(list(sub)[0]))
        .filter((sub) => !NEW.includes(sub) && !SENTINEL_OWN.includes(sub))
        .sort()
        .join(" "),
    });
    commandFacts(subs, into);
  }
  return into;
}

/** An argument tree without its names: 7.2 renamed many. */
function argShape(args: Plain | undefined): string {
  const shapes = list(args).map((arg) => {
    const { type, token, flags, since, deprecated_since, key_spec_index, arguments: inner } = mapOf(arg);
    return [type, token ?? "", list(flags).join("+"), since ?? "", deprecated_since ?? "", key_spec_index ?? "", argShape(inner)].join(",");
  });
  return `[${shapes.join(" ")}]`;
}

/** Facts of every entry in a reply of COMMAND DOCS, subcommands included. */
function docFacts(reply: Plain, into = new Map<string, Facts>()): Map<string, Facts> {
  for (const [name, doc] of Object.entries(mapOf(reply))) {
    const { since, group, doc_flags, deprecated_since, history, arguments: args, subcommands } = mapOf(doc);
    into.set(name, {
      since: String(since),
      group: String(group),
      doc_flags: sorted(doc_flags ?? []),
      deprecated: String(deprecated_since ?? ""),
      history: list(history)
        .map((entry) => String(list(entry)[0]))
        .join(" "),
      arguments: argShape(args),
    });
    docFacts(subcommands ?? [], into);
  }
  return into;
}

/** [command, fact, real value, our value] for all that differ in commands both have. */
function differences(a: Map<string, Facts>, b: Map<string, Facts>): [string, string, string, string][] {
  const found: [string, string, string, string][] = [];
  for (const [name, facts] of a)
    for (const [fact, value] of Object.entries(facts)) {
      const mine = b.get(name)?.[fact];
      if (mine !== undefined && mine !== value) found.push([name, fact, value, mine]);
    }
  return found.sort();
}

const version = real === null ? "" : (/redis_version:(\d+\.\d+)/.exec(await real.text("info", "server"))?.[1] ?? "");
const isOld = version === "7.0";
if (real !== null && !isOld && version !== "7.2")
  console.log(`SKIPPED tests/diff/command_table: redis-server is ${version}, not 7.0 or 7.2`);

describe.skipIf(real === null || (!isOld && version !== "7.2"))("the command table", () => {
  test("has every command of the real server, and those that are newer", async () => {
    const a = commandFacts(await theirs("command"));
    const b = commandFacts(ours("command"));
    expect(a.size).toBeGreaterThan(360);
    expect([...a.keys()].filter((name) => !b.has(name))).toEqual([]);
    expect([...b.keys()].filter((name) => !a.has(name)).sort()).toEqual(isOld ? NEW : []);
  });

  test("says of each what the real server says: arity, flags, categories, keys, tips, subcommands", async () => {
    const found = differences(commandFacts(await theirs("command")), commandFacts(ours("command")));
    const expected = isOld ? CHANGED.filter(([name]) => table.get(name)).map(([name, fact, was, is]) => [name, fact, was, is]) : [];
    expect(found).toEqual(expected.sort() as typeof found);
  });

  test("documents each with the same versions, groups and arguments", async () => {
    const found = new Map<string, string[]>();
    for (const [name, fact] of differences(docFacts(await theirs("command", "docs")), docFacts(ours("command", "docs"))))
      found.set(name, [...(found.get(name) ?? []), fact]);
    const seen = [...found].map(([name, facts]) => `${name}: ${facts.sort().join(" ")}`).sort();
    expect(seen).toEqual(isOld ? DOCS_CHANGED.map(([name, facts]) => `${name}: ${facts}`).sort() : []);
  });

  test("gives docs and info the same fields in the same order", async () => {
    const strip = (value: Plain) =>
      JSON.stringify(value)
        .replace(/"(summary|complexity|notes|display_text)","[^"]*",?/g, "")
        .replaceAll(",]", "]");
    for (const name of ["get", "incr", "append", "publish", "client|getname", "lastsave", "spublish"]) {
      expect(strip(ours("command", "info", name))).toBe(strip(await theirs("command", "info", name)));
      expect(strip(ours("command", "docs", name))).toBe(strip(await theirs("command", "docs", name)));
    }
  });
});

/** Command lines whose keys both must find alike. */
const LINES = `
  get k | set k v | set k v get | set k v px 10 GET | setex k 1 v | mget a b c | mset a 1 b 2 | mset a | msetnx a 1 b 2 | getex k ex 1
  del a b | unlink a | exists a a | rename a b | copy a b replace | object encoding k | object help | memory usage k | dump k | touch a b
  migrate h 1 k 0 10 | migrate h 1 \\e 0 10 keys a b | migrate h 1 x 0 10 keys a b | migrate h 1 \\e 0 10 copy auth keys keys a b
  migrate h 1 \\e 0 10 auth2 keys keys keys a | migrate h 1 k 0 10 copy replace
  sort k | sort k by x get y store z | sort k store a store b | sort k limit 0 store store d | sort k get store | sort_ro k by nosort get x_*
  lpush k a b | blpop a b 0 | lmove a b left right | blmove a b left right 0 | lmpop 2 a b left | lmpop 3 a b left | blmpop 0 1 a right
  sinter a b | sinterstore d a b | sintercard 2 a b limit 1 | smove a b m | sunionstore d a
  zadd k 1 m | zunionstore d 2 a b | zunionstore d 0 a | zunionstore d x a b | zinter 2 a b withscores | zdiffstore d 1 a | zrangestore d s 0 1
  bzpopmin a b 0 | zmpop 1 a min | bzmpop 0 2 a b max count 2
  xadd k * f v | xread streams a b 0 0 | xread count 2 block 0 streams a 0 | xread count streams streams a 0 | xread streams a b 0
  xreadgroup group g c streams a > | xreadgroup group streams streams streams a > | xgroup create k g $ | xinfo stream k | xgroup help
  eval s 2 a b c | eval s 0 | eval s 0 x | eval s -1 a | eval s 3 a b | evalsha s 1 a | fcall f 1 a x | fcall_ro f 2 a b | eval_ro s 1 a
  bitop and d a b | bitfield k get u8 0 | bitfield k set u8 0 1 | bitfield k get u8 0 incrby u8 0 1 | bitfield k overflow sat get u8 1
  bitfield k nonsense | bitfield_ro k get u8 0 | pfcount a b | pfmerge d a | pfmerge d | pfdebug getreg k
  geoadd k 0 0 m | georadius k 0 0 1 km | georadius k 0 0 1 km store d | georadius k 0 0 1 km asc storedist d | georadius k 0 0 1 km store
  georadiusbymember k m 1 km store d | georadiusbymember k m 1 km store | geosearchstore d s frommember m byradius 1 m
  publish c m | spublish c m | ssubscribe c | ping | subscribe c | watch a b | restore k 0 x | lcs a b | swapdb 0 1
  nosuch a | config nosuch | config | config get x | object | object encoding | get | get a b | xread streams a | client kill a
`
  .split(/[|\n]/)
  .map((line) => line.trim())
  .filter((line) => line !== "");

describe.skipIf(real === null || (!isOld && version !== "7.2"))("the replies of COMMAND", () => {
  test.each(LINES)("GETKEYS %s", async (line) => {
    const words = line.split(" ").map((word) => (word === "\\e" ? "" : word));
    // 7.0 wants one argument more.
    if (isOld && words.length < 2) return;
    expect(ours("command", "getkeys", ...words)).toEqual(await theirs("command", "getkeys", ...words));
    expect(ours("command", "getkeysandflags", ...words)).toEqual(await theirs("command", "getkeysandflags", ...words));
  });

  test("LIST with filters", async () => {
    const names = (reply: Plain) => (Array.isArray(reply) ? sorted(reply.filter((name) => !(isOld && NEW.includes(String(name))))) : reply);
    for (const filter of [
      [],
      ["filterby", "aclcat", "Scripting"],
      ["filterby", "aclcat", "dangerous"],
      ["filterby", "aclcat", "nosuch"],
      ["FILTERBY", "PATTERN", "*SET*"],
      ["filterby", "pattern", "config|*re*"],
      ["filterby", "pattern", "config*get"],
      ["filterby", "module", "nosuch"],
      ["filterby", "nosuch", "x"],
      ["filterby", "pattern"],
      ["nosuch"],
    ])
      expect(names(ours("command", "list", ...filter)), filter.join(" ")).toEqual(names(await theirs("command", "list", ...filter)));
  });

  test("COUNT, and names that are none", async () => {
    const newer = NEW.filter((name) => isOld && !name.includes("|")).length;
    expect(ours("command", "count")).toBe(Number(await theirs("command", "count")) + newer);
    for (const names of [["nosuch"], ["get|x"], ["get|"], ["config|nosuch"], ["config|get|x"], [""]]) {
      expect(ours("command", "info", ...names)).toEqual(await theirs("command", "info", ...names));
      expect(ours("command", "docs", ...names)).toEqual(await theirs("command", "docs", ...names));
    }
  });

  test("HELP has the frame that clients look for", async () => {
    const [a, b] = [list(await theirs("command", "help")), list(ours("command", "help"))];
    expect(b[0]).toBe(a[0]);
    expect(b.at(-2)).toBe(a.at(-2)!);
    for (const sub of table.get("command")!.subcommands!)
      expect(b.some((line) => String(line).startsWith(sub.shortName.toUpperCase()))).toBe(true);
  });
});

describe.skipIf(real === null || (!isOld && version !== "7.2"))("the table of a Sentinel", () => {
  test("is that of the real Sentinel", async () => {
    const sentinel = (await startRealSentinel())!;
    const a = plain(await sentinel.call("command"));
    await sentinel.stop();
    const mine = rowTable("sentinel");
    const out = new Out(2);
    infoReply(mine, null, out);
    const b = commandFacts(plain(new ReplyReader().feed(out.take())![0]));
    const facts = commandFacts(a);
    expect(facts.size).toBeGreaterThan(70);
    expect([...facts.keys()].filter((name) => !b.has(name))).toEqual([]);
    // New in 7.2, and our own.
    expect([...b.keys()].filter((name) => !facts.has(name))).toEqual([...(isOld ? ["client|setinfo"] : []), ...SENTINEL_OWN]);
    const changed = CHANGED.map(([name, fact, was, is]) => [name, fact, was, is]).filter(([name]) => b.has(name));
    expect(differences(facts, b)).toEqual([...(isOld ? changed : []), ...SENTINEL_MORE].sort() as [string, string, string, string][]);
  });
});

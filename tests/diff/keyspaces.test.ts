/**
 * Random sequences of commands of all families to the original and to ours: every reply equal, and at the end both key spaces are the same
 * (DEBUG DIGEST over all databases). A failing sequence is shrunk.
 *
 *   RUNS=2000 bun test tests/diff/keyspaces.test.ts       more sequences than the normal run's; SEED=n for a certain one
 *
 * Left out: what draws lots (SPOP, SRANDMEMBER), what tells time (XINFO, OBJECT IDLETIME), what blocks, and DUMP, whose bytes may differ.
 */
import fc from "fast-check";
import { expect, setDefaultTimeout, test } from "bun:test";
import { hasRedis, startServer } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

setDefaultTimeout(600_000);

const RUNS = Number(process.env["RUNS"] ?? 40);
const SEED = process.env["SEED"];

/**
 * What the words of a template stand for. A `+` after a word or a group in parentheses: one to five of it. Everything else is sent as it stands.
 */
const long = "long value ".repeat(8);
const WORDS: Record<string, fc.Arbitrary<string>> = {
  K: fc.constantFrom("a", "b", "c", "d", "e", "f"),
  /** A sorted set of one score: ranges by name mean nothing in others. */
  Y: fc.constantFrom("lex", "lex2"),
  /** An element, member, field or value. */
  E: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: -3, max: 40 }).map(String) },
    { weight: 4, arbitrary: fc.constantFrom("x", "yy", "zzz", "foo", "", "1.5", "12345678901", "-32769", "0012", "\xff\x00\r\n") },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 9 }).map((i) => long + String(i)) },
  ),
  N: fc.oneof(fc.integer({ min: -12, max: 12 }), fc.constantFrom(0, 1, -1, 100, 2147483647)).map(String),
  C: fc.integer({ min: 1, max: 6 }).map(String),
  B: fc.integer({ min: 0, max: 90 }).map(String),
  // 7.0 prints 0.1 as 0.10000000000000001.
  F: fc.constantFrom("0.5", "1.5", "-2.25", "3", "1e3", "100", "-7", "x"),
  /** Weights: 7.0 keeps a score of -0 where 7.2 drops its sign. */
  W: fc.constantFrom("0.5", "1", "2", "3"),
  S: fc.constantFrom("0", "1", "-1", "2.5", "3", "10", "1e6", "inf", "-inf", "0.25", "nan"),
  /** Ends of ranges of scores and of members. */
  R: fc.constantFrom("-inf", "+inf", "0", "(1", "2.5", "10", "(3"),
  L: fc.constantFrom("-", "+", "[x", "(foo", "[1", "(zzz", "["),
  G: fc.constantFrom("g", "h"),
  U: fc.constantFrom("alice", "bob"),
  I: fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 2 })).map(([a, b]) => `${a}-${b}`),
  /** Longitude and latitude. */
  O: fc.constantFrom("13.361389", "15.087269", "2.349014", "-74.006", "200"),
  A: fc.constantFrom("38.115556", "37.502669", "48.864716", "40.7128"),
  T: fc.constantFrom("33177117420", "32503680000"),
  /** A time that is over, too: for what deletes at once. */
  P: fc.constantFrom("33177117420", "1"),
  D: fc.constantFrom("0", "1"),
};

/** Templates, `|` between them. */
const COMMANDS = `
  SET K E | SET K E | SET K E NX | SET K E XX GET | SET K E EXAT T | SET K E KEEPTTL | SETNX K E | GETSET K E | GETDEL K | GET K | STRLEN K
  APPEND K E | SETRANGE K B E | GETRANGE K N N | INCR K | DECRBY K N | INCRBYFLOAT K F | MSET (K E)+ | MSETNX (K E)+ | MGET K+ | LCS K K
  LCS K K IDX WITHMATCHLEN | GETEX K PERSIST | GETEX K EXAT T
  SETBIT K B 1 | SETBIT K B 0 | GETBIT K B | BITCOUNT K | BITCOUNT K N N BIT | BITPOS K 1 N | BITOP AND K K+ | BITOP XOR K K+ | BITOP NOT K K
  BITFIELD K SET u5 B N GET i7 B | BITFIELD K OVERFLOW SAT INCRBY i4 B N | BITFIELD K OVERFLOW FAIL INCRBY u3 #C N INCRBY u8 B N
  PFADD K E+ | PFCOUNT K+ | PFMERGE K K+
  LPUSH K E+ | RPUSH K E+ | RPUSH K E+ | LPUSHX K E | LPOP K | RPOP K C | LLEN K | LRANGE K N N | LINDEX K N | LSET K N E | LTRIM K N N
  LREM K N E | LINSERT K BEFORE E E | LINSERT K AFTER E E | LPOS K E RANK C COUNT 0 | LMOVE K K LEFT RIGHT | RPOPLPUSH K K | LMPOP 2 K K RIGHT COUNT C
  HSET K (E E)+ | HSET K (E E)+ | HSETNX K E E | HGET K E | HMGET K E+ | HDEL K E+ | HLEN K | HEXISTS K E | HSTRLEN K E | HINCRBY K E N
  HINCRBYFLOAT K E F | HGETALL K | HKEYS K | HVALS K
  SADD K E+ | SADD K E+ | SREM K E+ | SISMEMBER K E | SMISMEMBER K E+ | SCARD K | SMEMBERS K | SMOVE K K E | SINTER K+ | SUNION K+ | SDIFF K+
  SINTERSTORE K K+ | SUNIONSTORE K K+ | SDIFFSTORE K K+ | SINTERCARD 2 K K LIMIT C
  ZADD K (S E)+ | ZADD K (S E)+ | ZADD K NX CH S E | ZADD K XX GT S E | ZADD K LT CH (S E)+ | ZADD K INCR S E | ZINCRBY K S E | ZREM K E+ | ZSCORE K E
  ZMSCORE K E+ | ZCARD K | ZRANK K E | ZREVRANK K E | ZCOUNT K R R | ZRANGE K N N WITHSCORES | ZRANGE K R R BYSCORE LIMIT B C
  ZADD Y 0 E 0 E 0 E | ZRANGE Y L L BYLEX | ZLEXCOUNT Y L L | ZREMRANGEBYLEX Y L L | ZREVRANGEBYSCORE K R R WITHSCORES | ZREVRANGE K N N | ZRANGESTORE K K N N | ZRANGESTORE K K R R BYSCORE REV
  ZREMRANGEBYRANK K N N | ZREMRANGEBYSCORE K R R | ZPOPMIN K C | ZPOPMAX K | ZMPOP 2 K K MIN COUNT C
  ZUNIONSTORE K 2 K K WEIGHTS W W | ZUNIONSTORE K 3 K K K AGGREGATE MAX | ZINTERSTORE K 2 K K AGGREGATE MIN | ZDIFFSTORE K 2 K K
  ZUNION 2 K K WITHSCORES | ZINTER 2 K K | ZDIFF 2 K K WITHSCORES | ZINTERCARD 2 K K
  GEOADD K (O A E)+ | GEOADD K XX CH O A E | GEODIST K E E km | GEOPOS K E+ | GEOHASH K E+
  GEOSEARCH K FROMLONLAT O A BYRADIUS 3000 km ASC WITHDIST | GEOSEARCHSTORE K K FROMLONLAT O A BYBOX 4000 4000 km STOREDIST | GEOSEARCH K FROMMEMBER E BYRADIUS 500 mi ASC
  XADD K I E E | XADD K I E E | XADD K MAXLEN C I E E | XADD K NOMKSTREAM I E E E E | XLEN K | XRANGE K I I | XREVRANGE K + - COUNT C | XDEL K I+
  XTRIM K MAXLEN C | XTRIM K MINID I LIMIT 0 | XSETID K I | XGROUP CREATE K G I MKSTREAM | XGROUP CREATE K G 0 | XGROUP SETID K G I | XGROUP DESTROY K G
  XGROUP CREATECONSUMER K G U | XGROUP DELCONSUMER K G U | XREAD COUNT C STREAMS K I | XREADGROUP GROUP G U COUNT C STREAMS K >
  XREADGROUP GROUP G U NOACK STREAMS K > | XREADGROUP GROUP G U STREAMS K I | XACK K G I+ | XCLAIM K G U 0 I+ JUSTID | XAUTOCLAIM K G U 0 I COUNT C JUSTID | XPENDING K G
  DEL K+ | UNLINK K | EXISTS K+ | TYPE K | RENAME K K | RENAMENX K K | COPY K K | COPY K K REPLACE | COPY K K DB 1 REPLACE | MOVE K D | SELECT D | DBSIZE
  EXPIREAT K P | PEXPIREAT K 33177117420000 NX | EXPIREAT K T GT | EXPIRETIME K | PERSIST K | TOUCH K+ | SWAPDB 0 1 | KEYS * | OBJECT REFCOUNT nokey
  SORT K ALPHA | SORT K LIMIT 0 C | SORT K LIMIT B C DESC STORE K | SORT K ALPHA GET # GET *->x STORE K
  EVAL return{redis.pcall('incr',KEYS[1]),redis.pcall('rpush',KEYS[2],ARGV[1])} 2 K K E | EVAL redis.call('set',KEYS[1],ARGV[1]);return+redis.call('hset',KEYS[2],1,2) 2 K K E
  MULTI | MULTI | EXEC | EXEC | EXEC | DISCARD | WATCH K | UNWATCH
`;

/** Commands whose elements come in no order. */
const UNORDERED = new Set(["smembers", "sinter", "sunion", "sdiff", "hgetall", "hkeys", "hvals", "keys"]);

type Line = string[];

function word(text: string): fc.Arbitrary<Line> {
  const many = text.length > 1 && text.endsWith("+");
  const name = many ? text.slice(0, -1) : text;
  const one: fc.Arbitrary<Line> =
    WORDS[name] !== undefined
      ? WORDS[name].map((w) => [w])
      : name.startsWith("#") && name.length > 1
        ? WORDS[name.slice(1)].map((w) => [`#${w}`])
        : fc.constant([text]);
  return many && WORDS[name] !== undefined ? fc.array(one, { minLength: 1, maxLength: 5 }).map((a) => a.flat()) : one;
}

/** The sequences that a template stands for. */
function template(text: string): fc.Arbitrary<Line> {
  const parts = text.match(/\([A-Z ]+\)\+|\S+/g)!;
  const words = parts.map((p) =>
    p.startsWith("(")
      ? fc
          .array(
            fc.tuple(...p.slice(1, -2).split(" ").map(word)).map((a) => a.flat()),
            { minLength: 1, maxLength: 5 },
          )
          .map((a) => a.flat())
      : word(p),
  );
  return fc.tuple(...words).map((w) => w.flat());
}

const command = fc.oneof(
  ...COMMANDS.trim()
    .split(/\s*\n\s*|\s+\|\s+/)
    .filter((t) => t !== "")
    .map(template),
);

/** Replies of one connection to all lines, one write. */
async function replies(wire: Wire, lines: Line[]): Promise<string[]> {
  for (const line of lines) wire.send(...line.map((w) => Buffer.from(w, "latin1")));
  const got: string[] = [];
  for (const _ of lines) got.push(await wire.next());
  return got;
}

/** Elements in a fixed order; what a transaction answered is taken to pieces as a whole. */
function settled(line: Line, reply: string): string {
  const name = line[0].toLowerCase();
  return UNORDERED.has(name) || name === "exec"
    ? reply
        .split(/[[\], {}]+/)
        .sort()
        .join(" ")
    : reply;
}

test.skipIf(!hasRedis).each([2, 3])("random commands of all families leave equal key spaces, RESP%d", async (resp) => {
  const conf = {
    save: "",
    "enable-debug-command": "yes",
    "hash-max-listpack-entries": 8,
    "zset-max-listpack-entries": 8,
    "set-max-intset-entries": 8,
    "list-max-listpack-size": 4,
  };
  await using original = await startServer("redis", conf);
  await using ours = await startServer("redisha", { ...conf, "set-max-listpack-entries": 8 });
  const wires = [await Wire.connect(original.port), await Wire.connect(ours.port)];
  for (const w of wires) await w.do("HELLO", resp);
  const open: Line[] = [["RESET"], ["HELLO", String(resp)], ["FLUSHALL"]];
  // Keys whose time is over are not to be there any more.
  const look = ["EXISTS", "a", "b", "c", "d", "e", "f"];
  const close: Line[] = [
    ["DISCARD"],
    ["SELECT", "1"],
    look,
    ["SELECT", "0"],
    look,
    ["DEBUG", "DIGEST"],
    ["DEBUG", "DIGEST-VALUE", ...look.slice(1)],
  ];
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 120, size: "max" }), async (lines) => {
      const all = [...open, ...lines, ...close];
      const [a, b] = await Promise.all(wires.map((w) => replies(w, all)));
      for (let i = open.length; i < all.length; i++) {
        const at = `${i - open.length}: ${all[i].map((w) => JSON.stringify(w)).join(" ")}`;
        expect(`${at} -> ${settled(all[i], b[i])}`).toBe(`${at} -> ${settled(all[i], a[i])}`);
      }
    }),
    { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
  );
});

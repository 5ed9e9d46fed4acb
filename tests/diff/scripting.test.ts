/** EVAL and its libraries: the original and ours, reply by reply. The callers speak RESP2 and RESP3. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";

setDefaultTimeout(30000);

/** Scripts that need nothing; KEYS is {"k"}, ARGV is {"v", "2"}. */
const SCRIPTS = {
  conversions: [
    "return 1",
    "return 3.99",
    "return -3.99",
    "return 1e300",
    "return 0/0",
    "return true",
    "return false",
    "return nil",
    "return",
    "return 'a\\0b\\255'",
    "return {1,2,nil,4}",
    "return {1,{2,{3,'x',false,true}}}",
    "return {}",
    "return {ok='FINE'}",
    "return {ok='two\\r\\nlines'}",
    "return {err='MY bad'}",
    "return {err='bad\\r\\nline'}",
    "return {err=1}",
    "return {double=3.25}",
    "return {map={a=1}}",
    "return {set={a=true}}",
    "return {big_number='123456789012345678901234567890'}",
    "return {verbatim_string={format='txt',string='hello'}}",
    "return function() end",
    "return redis.status_reply('OK then')",
    "return redis.error_reply('My Err')",
    "return redis.error_reply('-My Err')",
    "return redis.error_reply('ERROR')",
    "return redis.error_reply({})",
    "return redis.status_reply()",
    "return {KEYS[1],ARGV[1],ARGV[2],#KEYS,#ARGV,KEYS[2]}",
    "redis.setresp(3) return true",
    "redis.setresp(3) return {false, true}",
  ],
  calls: [
    "return redis.call('set',KEYS[1],ARGV[1])",
    "return redis.call('get',KEYS[1])",
    "return redis.call('get','none')",
    "return {redis.call('get','none'), type(redis.call('get','none'))}",
    "return redis.call('incrby','n',ARGV[2])",
    "return redis.call('set','n',10) and redis.call('incr','n')",
    "return redis.call('rpush','l',1,2,'x',4503599627370495)",
    "return redis.call('lrange','l',0,-1)",
    "return redis.call('hset','h','a',1,'b','2')",
    "return #redis.call('hgetall','h')",
    "redis.setresp(3) local r = redis.call('hgetall','h') return {r.map.a, r.map.b}",
    "redis.setresp(3) return redis.call('hgetall','h')",
    "redis.call('sadd','s','m') redis.setresp(3) return redis.call('smembers','s').set.m",
    "redis.call('zadd','z',1.5,'m') redis.setresp(3) return redis.call('zscore','z','m')",
    "redis.setresp(3) return type(redis.call('get','none'))",
    "return redis.call('ping').ok",
    "return redis.call('lpush','k','x')",
    "return redis.pcall('lpush','k','x')",
    "return redis.pcall('lpush','k','x').err",
    "return redis.call('nosuch')",
    "return redis.pcall('nosuch')",
    "return redis.call()",
    "return redis.call({})",
    "return redis.call('get')",
    "return redis.call('get', nil)",
    "return redis.call('subscribe','x')",
    "return redis.call('eval','return 1',0)",
    "return redis.call('multi')",
    "return redis.call('config','get','maxmemory-policy')",
    "return redis.call('config','nosuch')",
    "return redis.call('select',1)",
    "return redis.call('get',KEYS[1])",
    "redis.call('select',9) redis.call('set','in9','x') return redis.call('get','in9')",
    "return redis.call('exists','in9')",
    "return redis.call('blpop','none',0)",
    "local ok, e = pcall(redis.call,'lpush','k','x') return {tostring(ok), type(e), e}",
    "local ok, e = pcall(error, {err='ERR mine'}) return {tostring(ok), e}",
    "local ok, e = pcall(error, {a=1}) return {tostring(ok), type(e)}",
    "return {xpcall(function() error('x',0) end, function(e) return e .. '!' end)}",
    "return redis.sha1hex('')",
    "return redis.sha1hex('a\\0b')",
    "return redis.sha1hex()",
    "return redis.replicate_commands()",
    "return {redis.LOG_DEBUG,redis.LOG_WARNING,redis.REPL_NONE,redis.REPL_AOF,redis.REPL_REPLICA,redis.REPL_SLAVE,redis.REPL_ALL}",
    "return redis.set_repl(9)",
    "return redis.set_repl()",
    "redis.set_repl(redis.REPL_NONE) return redis.call('set','q','1')",
    "return redis.log(9,'x')",
    "return redis.log('x')",
    "return redis.log('x','y')",
    "return redis.setresp(4)",
    "return redis.acl_check_cmd('set','xx',1)",
    "return redis.acl_check_cmd('nosuch')",
  ],
  errors: [
    "return nope",
    "x = 1",
    "\n\nerror('boom')",
    "error('boom', 0)",
    "error({err='MINE here'})",
    "local t = nil return t.x",
    "return 1 +",
    "return ('x'):nosuch()",
    "return {} .. 'x'",
    "local function f() return f() + 1 end return f()",
    "redis.call = nil",
    "redis.x = 1",
    "string.x = 1",
    "setmetatable(_G, {})",
    "rawset(_G, 'x', 1)",
    "getmetatable(_G).__index = nil",
    "getmetatable('').__index = nil",
    "return tostring(getmetatable(redis))",
    "_G.x = 1",
    "return tostring(_G._G == _G)",
    "return type(rawget(_G, 'redis'))",
    "function f() end",
    "return print",
    "return type(loadstring)",
    "return loadstring('return 1 + 1')()",
    "return {loadstring('return +')}",
    "return dofile",
    "return os",
    "return io",
    "return require",
    "return debug",
    "coroutine.yield(1)",
    "local f = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return {f(1), f(10)}",
    "local n = 0 for k in pairs(math) do n = n + 1 end return n > 20",
    "return tostring(next({}))",
    "return {tostring(1e15), tostring(2^53), tostring(0.1), tostring(1e100), tostring(-0.5)}",
    "return {10 / 2, tostring(10 / 2), 7 % 3, 2 ^ 10}",
    "return {string.format('%5.2f|%d|%q|%x', 3.14159, 42, 'a\\nb', 255)}",
    "return {('hello world'):gsub('o', '0')}",
    "return table.concat({1,2,3}, ',')",
    "local t = {3,1,2} table.sort(t) return t",
    "return {unpack({1,2,3})}",
    "return select('#', 1, nil, 3)",
    "return string.rep('ab', 3)",
    "return {math.floor(3.7), math.max(1, 5, 3), math.huge == 1/0}",
    "math.randomseed(42) return {math.random(1000), math.random(1000), math.random(5, 6), tostring(math.random())}",
    "return math.random(0)",
    "return math.random(1, 2, 3)",
  ],
  cjson: [
    "return cjson.encode({1, 2, 3.5, 'x', true, false, cjson.null})",
    "return cjson.encode({a = 1})",
    "return cjson.encode({})",
    "return cjson.encode('\"\\\\/\\b\\f\\n\\r\\t\\1\\127\\255')",
    "return {cjson.encode(1e15), cjson.encode(0.1), cjson.encode(1/3), cjson.encode(-0.0), cjson.encode(123456789012345), cjson.encode(1e-5)}",
    "return cjson.encode(1/0)",
    "return cjson.encode(0/0)",
    "return cjson.encode(function() end)",
    "return cjson.encode({[{}] = 1})",
    "return cjson.encode({[1] = 1, [100] = 2})",
    "return cjson.encode({[1] = 1, [5] = 2})",
    "return cjson.encode({[1.5] = 1})",
    "return cjson.encode()",
    "local t = {} for i = 1, 1100 do t = {t} end return cjson.encode(t)",
    "return cjson.decode('[1, 2.5, -3e2, \"x\", true, false]')",
    "return tostring(cjson.decode('[false]')[1])",
    "return tostring(cjson.decode('[null]')[1] == cjson.null)",
    'return cjson.decode(\'{"a": {"b": [1, {"c": "d"}]}}\').a.b[2].c',
    "return cjson.decode('\"\\\\u0041\\\\u00e9\\\\u20ac\\\\ud83d\\\\ude00\\\\n\\\\/\"')",
    "return cjson.decode('\"\\\\ud83d\"')",
    "return cjson.decode('\"\\\\x\"')",
    "return cjson.decode('\"abc')",
    "return cjson.decode('')",
    "return cjson.decode('[1,]')",
    "return cjson.decode('[1 2]')",
    "return cjson.decode('{\"a\" 1}')",
    "return cjson.decode('{a:1}')",
    "return cjson.decode('{\"a\":1,}')",
    "return cjson.decode('[1] x')",
    "return cjson.decode('[01]')",
    "return tostring(cjson.decode('nan'))",
    "cjson.decode_invalid_numbers(false) return cjson.decode('nan')",
    "return cjson.decode('[01]')",
    "cjson.decode_invalid_numbers(true) return cjson.decode('[0x10]')",
    "return {cjson.encode(12345678901234.5), cjson.encode(12345678901235.5), cjson.encode(0.1 + 0.2), cjson.encode(-1.5e-7)}",
    "return cjson.decode('tru')",
    "return cjson.decode('[+1]')",
    "return cjson.decode(string.rep('[', 1100))",
    "return cjson.decode()",
    "return cjson.decode('  1 ')",
    "return cjson.encode(cjson.decode('{\"x\":[1,2,{}]}'))",
    "return {cjson.encode_max_depth(), cjson.decode_max_depth(), cjson.encode_number_precision()}",
    "return cjson.encode_number_precision(99)",
    "return {cjson._NAME, cjson._VERSION}",
  ],
  cmsgpack: [
    "return cmsgpack.pack(0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 2^53)",
    "return cmsgpack.pack(-1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649)",
    "return cmsgpack.pack(0.5, 0.1, -1.25, true, false, nil)",
    "return cmsgpack.pack('', 'a', string.rep('x', 31))",
    "return cmsgpack.pack(string.rep('x', 32))",
    "return #cmsgpack.pack(string.rep('x', 256)) + #cmsgpack.pack(string.rep('x', 70000))",
    "return cmsgpack.pack({1, 2, {3}}, {a = 1}, {})",
    "local t = {} for i = 1, 20 do t[i] = i end return cmsgpack.pack(t)",
    "local t = {} t.x = t return #cmsgpack.pack(t)",
    "return cmsgpack.pack()",
    "return {cmsgpack.unpack(cmsgpack.pack(1, -1, 70000, 2^40, 'x', {1, {2}}))}",
    "return tostring(cmsgpack.unpack(cmsgpack.pack(0.1)))",
    "return cmsgpack.unpack(cmsgpack.pack({a = {b = 'c'}})).a.b",
    "return {cmsgpack.unpack_one(cmsgpack.pack(1, 2, 3))}",
    "return {cmsgpack.unpack_one(cmsgpack.pack(1, 2, 3), 2)}",
    "return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2)}",
    "return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2, 1)}",
    "return cmsgpack.unpack('\\146\\1')",
    "return cmsgpack.unpack('\\193')",
    "return {cmsgpack.unpack_one('\\1', 9)}",
    "return {cmsgpack.unpack_one('\\1', -1)}",
  ],
  struct: [
    "return struct.pack('bBhHiIlLT', -1, 255, -2, 65535, -3, 4294967295, -4, 5, 6)",
    "return struct.pack('>hi3I8', 258, 66051, 2^40)",
    "return struct.pack('fd>fd', 0.5, 0.1, 0.5, 0.1)",
    "return struct.pack('sc3c0x', 'abc', 'defgh', 'ij')",
    "return struct.pack('!4bi', 1, 2)",
    "return struct.pack('c5', 'abc')",
    "return struct.pack('y', 1)",
    "return struct.pack('i33', 1)",
    "return struct.pack('!3i', 1)",
    "return {struct.unpack('bBhHiIlLT', struct.pack('bBhHiIlLT', -1, 255, -2, 65535, -3, 4294967295, -4, 5, 6))}",
    "return {struct.unpack('>i3sc2', struct.pack('>i3sc2', -5, 'abc', 'de'))}",
    "return {struct.unpack('Bc0', struct.pack('Bc0', 3, 'abcdef'))}",
    "return {struct.unpack('h', '\\1')}",
    "return {struct.unpack('s', 'abc')}",
    "return {struct.unpack('c0', 'abc')}",
    "return {struct.unpack('h', '\\1\\2\\3', 2)}",
    "return {struct.unpack('h', '\\1\\2\\3', 0)}",
    "return {struct.unpack('h', '\\1\\2\\3', -1)}",
    "return {struct.size('bhil'), struct.size('!8bd'), struct.size('c10')}",
    "return struct.size('s')",
    "return struct.size('c0')",
  ],
  bit: [
    "return {bit.tobit(0xffffffff), bit.tobit(2^31), bit.tobit(1.5), bit.tobit(2.5), bit.tobit(-1)}",
    "return {bit.band(0xff, 0x0f, 0x3c), bit.bor(1, 2, 4), bit.bxor(0xff, 0x0f), bit.bnot(0)}",
    "return {bit.lshift(1, 31), bit.rshift(-1, 4), bit.arshift(-16, 2), bit.rol(0x12345678, 12), bit.ror(0x12345678, 12), bit.rol(5, 0)}",
    "return {bit.bswap(0x12345678), bit.tohex(-1), bit.tohex(0xABCD, 4), bit.tohex(0xABCD, -4), bit.tohex(1, 0)}",
    "return bit.band('x')",
    "return bit.band()",
  ],
} as const;

/** What 7.2 does another way than 7.0.15: its reply, and why. */
const DIFFERS: Record<string, [string, RegExp]> = {
  "return redis.call('blpop','none',0)": ["7.2 lets scripts pop without waiting", /^nil/],
  "return redis.set_repl()": ["7.2 has corrected the text", /requires one argument\. script/],
};

describe.skipIf(!hasRedis).each([2, 3] as const)("RESP%d", (resp) => {
  test.each(Object.keys(SCRIPTS) as (keyof typeof SCRIPTS)[])("%s", async (group) => {
    await using both = await Both.start(resp);
    const wrong: string[] = [];
    for (const script of SCRIPTS[group]) {
      const known = DIFFERS[script];
      const args = ["EVAL", script, 1, "k", "v", 2];
      const asked = known === undefined ? both.do(...args) : both.differs(known[0], known[1], ...args);
      await asked.catch((e: Error) => wrong.push(e.message));
    }
    expect(wrong).toEqual([]);
  });

  test("the cache, and what EVAL says before it runs", async () => {
    await using both = await Both.start(resp);
    const sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"; // return 1
    for (const line of [
      `EVALSHA ${sha} 0`,
      "EVALSHA short 0",
      `EVALSHA ${sha} x`,
      "EVAL return-1 0",
      "EVAL x",
      "EVAL x y",
      "EVAL x 1",
      "EVAL x -1",
      "SCRIPT LOAD x=",
      "SCRIPT EXISTS a b",
      `SCRIPT EXISTS ${sha} ${sha.toUpperCase()}`,
      "SCRIPT FLUSH BAD",
      "SCRIPT FLUSH ASYNC",
      "SCRIPT KILL",
      "SCRIPT NOSUCH",
      "SCRIPT DEBUG NO",
      "SCRIPT DEBUG BAD",
    ])
      await both.do(...line.split(" "));
    await both.do("SCRIPT", "LOAD", "return 1");
    await both.do("EVALSHA", sha, 0);
    await both.do("EVALSHA", sha.toUpperCase(), 0);
    await both.do("EVALSHA_RO", sha, 0);
    await both.do("SCRIPT", "EXISTS", sha, "x");
    await both.do("SCRIPT", "FLUSH");
    await both.do("EVALSHA", sha, 0);
    await both.do("EVAL_RO", "return redis.call('get','k')", 0);
    await both.do("EVAL_RO", "return redis.call('set','k','v')", 0);
    for (const first of ["#!lua", "#!lua flags=no-writes", "#!lua flags=allow-oom,no-writes", "#!lua flags=bad", "#!lua x=y", "#!py", "#!"])
      for (const name of ["EVAL", "EVAL_RO"]) await both.do(name, `${first}\nreturn redis.call('set','k','v')`, 0);
    await both.do("EVAL", "#!lua", 0);
    await both.do("EVAL", "#!lua\n\nreturn nope", 0);
  });

  test("MULTI, WATCH and what scripts change", async () => {
    await using both = await Both.start(resp);
    for (const line of [["MULTI"], ["EVAL", "redis.call('set','a',1) return redis.call('incr','a')", 0], ["GET", "a"], ["EXEC"]])
      await both.do(...line);
    await both.do("WATCH", "a");
    await both.do("EVAL", "return redis.call('set','a',5)", 0);
    await both.do("MULTI");
    await both.do("GET", "a");
    await both.do("EXEC");
    await both.do("EVAL", "redis.call('set','half','1') error('stop')", 0);
    await both.do("GET", "half");
  });

  test("a script that does not end: BUSY for others, SCRIPT KILL, also within pcall", async () => {
    await using both = await Both.start(resp, { "busy-reply-threshold": 10 });
    const others = await both.pair();
    const until = async (done: (reply: string) => boolean, ...args: string[]) => {
      for (const wire of others) while (!done(await wire.do(...args))) await Bun.sleep(5);
    };
    for (const script of [
      "while true do end",
      "-- a comment\n\nwhile true do end",
      "while true do pcall(function() while true do end end) end",
      "while true do xpcall(function() error('x') end, function() end) end",
      "local co = coroutine.wrap(function() while true do coroutine.yield(1) end end) while true do co() end",
    ]) {
      for (const wire of both.wires) wire.send("EVAL", script, 0);
      await until((reply) => reply.startsWith("-BUSY"), "PING");
      for (const wire of others) expect(await wire.do("SCRIPT", "KILL")).toBe("+OK");
      for (const wire of both.wires) expect(await wire.next()).toStartWith("-ERR Script killed by user with SCRIPT KILL... script: ");
      await until((reply) => reply === "+PONG", "PING");
    }
    // Interrupted many times, and nothing of it lost.
    const long = "for i = 1, 60000 do redis.call('incr','n') end return redis.call('get','n')";
    for (const wire of both.wires) wire.send("EVAL", long, 0);
    for (const wire of both.wires) expect(await wire.next()).toBe('"60000"');
    await both.do("GET", "n");
    await both.do("EVAL", "return redis.call('get','k')", 0);
    await both.do("SCRIPT", "KILL");
  });

  test("scripts that do not end within a transaction: each can be killed, EXEC goes on", async () => {
    await using both = await Both.start(resp, { "busy-reply-threshold": 10, "slowlog-log-slower-than": 9000 });
    const others = await both.pair();
    const busy = async (want: boolean) => {
      for (const wire of others) while ((await wire.do("PING")).startsWith("-BUSY") !== want) await Bun.sleep(5);
    };
    for (const line of [
      ["SET", "n", "1"],
      ["MULTI"],
      ["INCR", "n"],
      ["EVAL", "while true do end", 0],
      ["EVAL", "return redis.call('incr', 'n')", 0],
      ["EVAL", "for i = 1, 60000 do redis.call('incr', 'm') end return redis.call('get', 'm')", 0],
      ["EVAL_RO", "while true do pcall(function() while true do end end) end", 0],
      ["BLPOP", "nothing", 0],
      ["INCR", "n"],
    ])
      await both.do(...line);
    const replies = both.wires.map((wire) => wire.do("EXEC"));
    await busy(true);
    // Whatever runs is killed until the transaction has come to its end; the third script writes at once, and cannot be.
    const [original, ours] = await Promise.all(
      replies.map(async (reply, i) => {
        const answers = new Set<string>();
        let ended = false;
        void reply.then(() => (ended = true));
        while (!ended) {
          answers.add((await others[i].do("SCRIPT", "KILL")).split(" ")[0]);
          await Bun.sleep(2);
        }
        expect([...answers].filter((a) => !["+OK", "-NOTBUSY", "-UNKILLABLE"].includes(a))).toEqual([]);
        expect(answers.has("+OK")).toBe(true);
        return reply;
      }),
    );
    expect(ours).toBe(original);
    await busy(false);
    await both.do("MGET", "n", "m");
    // The time of all its stretches is a script's time.
    const slow = await Promise.all(others.map((wire) => wire.do("SLOWLOG", "GET", 100)));
    for (const script of ["while true do end", "for i = 1, 60000"]) for (const log of slow) expect(log).toContain(script);
    await both.do("MULTI");
    await both.do("EXEC");
    await both.do("INCR", "n");
  });

  test("a transaction whose client has gone is executed to its end", async () => {
    await using both = await Both.start(resp, { "busy-reply-threshold": 10 });
    const others = await both.pair();
    for (const line of [["MULTI"], ["EVAL", "while true do end", 0], ["SET", "after", "x"]]) await both.do(...line);
    for (const wire of both.wires) wire.send("EXEC");
    for (const wire of others) while (!(await wire.do("PING")).startsWith("-BUSY")) await Bun.sleep(5);
    for (const wire of both.wires) wire.close();
    for (const wire of others) {
      expect(await wire.do("SCRIPT", "KILL")).toBe("+OK");
      while ((await wire.do("PING")) !== "+PONG") await Bun.sleep(5);
      expect(await wire.do("GET", "after")).toBe('"x"');
    }
  });
});

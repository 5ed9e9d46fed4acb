/** FUNCTION and FCALL: the original and ours, reply by reply. Lists hold one library each, because the original's order is random. */
import { describe, expect, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

const library = (name: string, ...lines: string[]): string => [`#!lua name=${name}`, ...lines].join("\n");
const one = (body: string, more = ""): string =>
  `redis.register_function{function_name='f', callback=function(keys, args) ${body} end${more}}`;

/** Libraries that are refused. */
const REFUSED = [
  "",
  "redis.register_function('f', function() end)",
  "#!lua name=a",
  "#!lua\n",
  "#!lua name=\n",
  "#!lua name=a-b\n",
  "#!lua name=a name=b\n",
  "#!lua name=a x=y\n",
  '#!lua name="a\n',
  "#!py name=a\n",
  "#! name=a\n",
  library("a"),
  library("a", "return 1"),
  library("a", "return 1 +"),
  library("a", "redis.call('get','x')"),
  library("a", "redis.setresp(3)"),
  library("a", "redis.foo()"),
  library("a", "redis = nil"),
  library("a", "x = 1"),
  library("a", "redis.log = 1"),
  library("a", "string.format('x')"),
  library("a", "local t = nil", "t.x = 1"),
  library("a", "redis.register_function()"),
  library("a", "redis.register_function('f')"),
  library("a", "redis.register_function(1, 2)"),
  library("a", "redis.register_function({}, 2)"),
  library("a", "redis.register_function('f', function() end, 3)"),
  library("a", "redis.register_function('f-g', function() end)"),
  library("a", "redis.register_function('', function() end)"),
  library("a", "redis.register_function('f', function() end)", "redis.register_function('f', function() end)"),
  library("a", "redis.register_function{[1]='f'}"),
  library("a", "redis.register_function{function_name=1.5}"),
  library("a", "redis.register_function{function_name={}}"),
  library("a", "redis.register_function{callback=function() end}"),
  library("a", "redis.register_function{callback=1}"),
  library("a", "redis.register_function{function_name='f'}"),
  library("a", "redis.register_function{description={}}"),
  library("a", "redis.register_function{unknown=1}"),
  library("a", one("", ", flags='x'")),
  library("a", one("", ", flags={'x'}")),
  library("a", one("", ", flags={{}}")),
  library("a", one("", ", flags={'no-writes', 1}")),
];

/** Bodies of a function that is called with keys {k} and arguments {v, 2}. */
const BODIES = [
  "return {keys[1], args[1], args[2], #keys, #args}",
  "return redis.call('set', keys[1], args[1])",
  "return redis.call('get', keys[1])",
  "return redis.pcall('lpush', keys[1], 'x')",
  "return redis.call('lpush', keys[1], 'x')",
  "return KEYS",
  "x = 1",
  "return nope",
  "error('stop')",
  "error({err='MY stop'})",
  "return redis.error_reply('MY stop')",
  "return {err='MY stop'}",
  "return {ok='FINE'}",
  "redis.setresp(3) return {double=1.5}",
  "return redis.register_function",
  "return {type(redis.breakpoint), type(redis.debug), type(redis.replicate_commands), type(redis.log), type(redis.set_repl)}",
  "local t = {} for k in pairs(redis) do t[#t+1] = k end table.sort(t) return t",
  "local t = {} for k in pairs(_G) do if not k:find('fenv') and k ~= 'newproxy' then t[#t+1] = k end end table.sort(t) return t",
  "return {redis.REDIS_VERSION == nil, type(redis.REDIS_VERSION_NUM)}",
  "return {pcall(function() error('in') end)}",
  "return select(2, pcall(redis.call, 'nosuch'))",
  "return {cjson.encode({1}), #cmsgpack.pack(1), bit.band(6, 3), #struct.pack('>I2', 1)}",
  "redis.call('eval', 'return 1', 0)",
  "redis.call('fcall', 'f', 0)",
  "redis.call('function', 'flush')",
  "return 1, 2",
  "",
];

describe.skipIf(!hasRedis).each([2, 3] as const)("FUNCTION in RESP%d", (resp) => {
  test("what is refused, and what libraries say of it", async () => {
    await using both = await Both.start(resp);
    for (const code of REFUSED) await both.do("FUNCTION", "LOAD", code);
    await both.do("FUNCTION", "LOAD", library("a", one("return 1")));
    await both.do("FUNCTION", "LOAD", library("a", one("return 1")));
    await both.do("FUNCTION", "LOAD", library("b", one("return 2")));
    await both.do("FUNCTION", "LOAD", library("b", "redis.register_function('F', function() end)"));
    await both.do("FUNCTION", "LOAD", "REPLACE", library("a", "return nope"));
    await both.do("FUNCTION", "LOAD", "NOSUCH", library("a", one("return 1")));
    await both.do("FCALL", "f", 0);
    await both.do("FCALL", "F", 0);
    await both.do("FUNCTION", "LOAD", "REPLACE", library("a", one("return 3")));
    await both.do("FCALL", "f", 0);
    for (const line of ["f", "f x", "f -1", "f 1", "f 2 a", "nope 0", "nope x"]) await both.do("FCALL", ...line.split(" "));
  });

  test("functions see what scripts see, and errors name them", async () => {
    await using both = await Both.start(resp);
    for (const body of BODIES) {
      await both.do("FUNCTION", "LOAD", "REPLACE", library("lib", one(`\n${body}`)));
      for (const name of ["FCALL", "FCALL_RO"]) await both.do(name, "f", 1, "k", "v", 2);
      await both.do("FUNCTION", "LOAD", "REPLACE", library("lib", one(`\n${body}`, ", flags={'no-writes'}")));
      for (const name of ["FCALL", "FCALL_RO"]) await both.do(name, "f", 1, "k", "v", 2);
    }
  });

  test("libraries are listed, counted, deleted, dumped and restored", async () => {
    await using both = await Both.start(resp);
    const code = library(
      "lib",
      one("return 1", ", description='what \\255', flags={'no-writes', 'allow-oom', 'allow-stale', 'no-cluster'}"),
    );
    await both.do("FUNCTION", "LIST");
    await both.do("FUNCTION", "STATS");
    await both.do("FUNCTION", "LOAD", code);
    await both.do("FUNCTION", "LIST");
    await both.do("FUNCTION", "LIST", "WITHCODE", "LIBRARYNAME", "L?b");
    for (const line of ["LIBRARYNAME", "LIBRARYNAME x", "WITHCODE WITHCODE", "NOPE", "LIBRARYNAME a LIBRARYNAME b"])
      await both.do("FUNCTION", "LIST", ...line.split(" "));
    await both.do("FUNCTION", "STATS");
    const payloads: Buffer[] = [];
    for (const wire of both.wires) payloads.push(Buffer.from(JSON.parse(await wire.do("FUNCTION", "DUMP")) as string, "latin1"));
    // Either side takes what the other gave.
    for (const payload of payloads) {
      await both.do("FUNCTION", "FLUSH");
      await both.do("FUNCTION", "RESTORE", payload);
      await both.do("FCALL", "f", 0);
      await both.do("FUNCTION", "LIST", "WITHCODE");
      await both.do("FUNCTION", "RESTORE", payload);
      await both.do("FUNCTION", "RESTORE", payload, "append");
      await both.do("FUNCTION", "RESTORE", payload, "REPLACE");
      await both.do("FUNCTION", "RESTORE", payload, "FLUSH");
      await both.do("FUNCTION", "RESTORE", payload, "BAD");
      await both.do("FUNCTION", "RESTORE", payload, "FLUSH", "MORE");
      const broken = Buffer.from(payload);
      broken[5] ^= 1;
      await both.do("FUNCTION", "RESTORE", broken);
      await both.do("FUNCTION", "RESTORE", payload.subarray(0, 5));
    }
    for (const line of [
      "DELETE nope",
      "DELETE lib",
      "DELETE lib",
      "FLUSH SYNC",
      "FLUSH ASYNC",
      "FLUSH NOW",
      "FLUSH SYNC X",
      "KILL",
      "NOSUCH",
      "STATS X",
    ])
      await both.do("FUNCTION", ...line.split(" "));
  });

  test("a function that does not end: BUSY for others, FUNCTION KILL and STATS", async () => {
    await using both = await Both.start(resp, { "busy-reply-threshold": 10 });
    const others: [Wire, Wire] = await both.pair();
    await both.do("FUNCTION", "LOAD", library("lib", "redis.register_function('f', function() while true do end end)"));
    for (const wire of both.wires) wire.send("FCALL", "f", 1, "k", "v");
    for (const [i, wire] of others.entries()) {
      while (!(await wire.do("PING")).startsWith("-BUSY")) await Bun.sleep(5);
      expect([i, (await wire.do("FUNCTION", "STATS")).replace(/duration_ms"?\W+\d+/, "duration_ms")]).toEqual([
        i,
        (await others[0].do("FUNCTION", "STATS")).replace(/duration_ms"?\W+\d+/, "duration_ms"),
      ]);
      expect(await wire.do("PING")).toBe("-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.");
      expect(await wire.do("SCRIPT", "KILL")).toBe(
        "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
      );
    }
    for (const wire of others) expect(await wire.do("FUNCTION", "KILL")).toBe("+OK");
    const ends = await Promise.all(both.wires.map((wire) => wire.next()));
    expect(ends[1]).toBe(ends[0]!);
    await both.do("FUNCTION", "KILL");
    await both.do("FUNCTION", "STATS");
  });

  test("flags stand for the command's: inside MULTI, under OOM, on a replica without its master", async () => {
    await using both = await Both.start(resp);
    await both.do(
      "FUNCTION",
      "LOAD",
      library(
        "lib",
        ...["", "no-writes", "allow-oom", "allow-stale", "no-writes', 'allow-stale"].map(
          (flag, i) =>
            `redis.register_function{function_name='f${i}', callback=function(k) return redis.pcall('get', k[1]) end, flags={${flag === "" ? "" : `'${flag}'`}}}`,
        ),
      ),
    );
    const calls = async (): Promise<void> => {
      for (let i = 0; i < 5; i++)
        for (const name of ["FCALL", "FCALL_RO"]) {
          await both.do(name, `f${i}`, 1, "k");
          await both.do("MULTI");
          await both.do(name, `f${i}`, 1, "k");
          await both.do("EXEC");
        }
      for (const flags of ["", "#!lua\n", "#!lua flags=no-writes\n", "#!lua flags=allow-oom\n", "#!lua flags=no-writes,allow-stale\n"])
        for (const name of ["EVAL", "EVAL_RO"]) {
          await both.do(name, `${flags}return redis.pcall('get', KEYS[1])`, 1, "k");
          await both.do("MULTI");
          await both.do(name, `${flags}return redis.pcall('get', KEYS[1])`, 1, "k");
          await both.do("EXEC");
        }
    };
    await both.do("SET", "k", "v");
    await calls();
    await both.do("CONFIG", "SET", "maxmemory", 1);
    await calls();
    await both.do("CONFIG", "SET", "maxmemory", 0);
    await both.do("CONFIG", "SET", "min-replicas-to-write", 1);
    await calls();
    await both.do("CONFIG", "SET", "min-replicas-to-write", 0);
    await both.do("REPLICAOF", "127.0.0.1", 1);
    await calls();
    await both.do("CONFIG", "SET", "replica-serve-stale-data", "no");
    await calls();
  });
});

/** SCRIPT DEBUG SYNC: sessions of the Lua debugger with the original and ours, answer by answer. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

setDefaultTimeout(60000);

const SCRIPT = `local a = 5
local t = {1,2,'x'}
local m = {k='v', n=1.5}
redis.call('set', KEYS[1], ARGV[1])
local function f(x)
  local y = x * 2
  return y
end
local r = f(a)
redis.debug('hello', 1, t, m.k)
for i = 1, 3 do
  a = a + i
end
pcall(function()
  local inner = 'in'
  error('no')
end)
local l = redis.call('lrange', 'list', 0, -1)
return {a, r, l}
`;
const WALK =
  "s|p|n|print a|print t|s|p m|p zz|p KEYS|s|s|b 6|b|c|t|p|p a|b -6|b -6|s|s|s|list|l 3 1|e 1+1|e redis.call('get','k')|eval foo(|redis get k|" +
  "redis hgetall k|redis nope|redis lrange list 0 -1|s|m|m 10|m 0|b 16|w|x|x y|b x|b 99|t|c|p inner|b 0|s|s|p l|continue";
/** Scripts and what is said in their sessions, which end them all. */
const SESSIONS: [string, string][] = [
  [SCRIPT, WALK],
  ["redis.call('set','q',1)\nredis.breakpoint()\nreturn 1", "c|p|abort"],
  ["return 1\n", "c"],
  ["local x = 1 while x < 4 do x = x + 1 end\nreturn x", "s|s|c"],
  ["while true do\nlocal x = 1\nend", "c|a"],
  ["error('oops')", "c"],
  ["return redis.call('incr', 'list')", "c"],
  ["local co = coroutine.wrap(function(v)\n  local w = v\n  coroutine.yield(w)\nend)\nreturn co(7)", "s|s|p|s|s|p|c"],
];

test.skipIf(!hasRedis)("sessions of the debugger", async () => {
  await using both = await Both.start(2, { "busy-reply-threshold": 300 });
  await both.do("RPUSH", "list", "a", "b");
  for (const [script, session] of SESSIONS) {
    const wires = [await Wire.connect(both.original.port), await Wire.connect(both.ours.port)];
    const same = async (...args: (string | number)[]): Promise<string> => {
      const [theirs, ours] = await Promise.all(wires.map((wire) => wire.do(...args)));
      if (theirs !== ours) throw new Error(`${args.join(" ")} in ${script}\n  redis:   ${theirs}\n  redisha: ${ours}`);
      return ours;
    };
    expect(await same("SCRIPT", "DEBUG", "SYNC")).toBe("+OK");
    await same("EVAL", script, 1, "k", "v");
    let last = "";
    for (const command of session.split("|")) last = await same(...command.split(" "));
    expect(last).toContain("<endsession>");
    // Then the script's own reply, and the end of the connection.
    const [theirs, ours] = await Promise.all(wires.map((wire) => wire.next()));
    expect(ours).toBe(theirs);
    for (const wire of wires) expect(await wire.next()).toBe("closed");
  }
  await both.do("MGET", "k", "q");
  for (const args of ["SCRIPT DEBUG SYNC", "SCRIPT DEBUG NO", "EVAL 'return 7' 0", "SCRIPT DEBUG SYNC", `EVALSHA ${"a".repeat(40)} 0`])
    await both.do(...args.split(" "));
  await both.do("SCRIPT", "DEBUG", "perhaps");
});

test("a debugger that goes away ends its script; others are answered BUSY until then", async () => {
  await using both = await Both.start(2);
  const [, debug] = await both.pair();
  const [, other] = await both.pair();
  await debug.do("SCRIPT", "DEBUG", "SYNC");
  expect(await debug.do("EVAL", "redis.call('set', 'k', 1)\nreturn 1", 0)).toContain("Stopped at 1");
  expect(await other.do("GET", "k")).toStartWith("-BUSY");
  debug.close();
  while ((await other.do("GET", "k")).startsWith("-BUSY")) await Bun.sleep(5);
  expect(await other.do("GET", "k")).toBe("nil");
  // Or somebody else ends it.
  const [, second] = await both.pair();
  await second.do("SCRIPT", "DEBUG", "SYNC");
  await second.do("EVAL", "return 1", 0);
  expect(await other.do("SCRIPT", "KILL")).toBe("+OK");
  expect(await second.next()).toContain("<endsession>");
  expect(await second.next()).toStartWith("-ERR");
  expect(await other.do("PING")).toBe("+PONG");
  expect(await other.do("SCRIPT", "DEBUG", "YES")).toStartWith("-ERR redisha debugs scripts in sync mode only");
});

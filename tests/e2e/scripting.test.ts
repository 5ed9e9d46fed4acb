/**
 * Scripts as users' libraries send them, on the compiled file: ioredis' defineCommand (EVALSHA, then EVAL), a lock as redlock keeps it, a
 * queue as BullMQ keeps it; and what scripts change on a replica of the other kind and after a restart.
 */
import { expect, test } from "bun:test";
import { Redis } from "ioredis";
import { cli, hasRedis, startServer, until, type Kind, type Program } from "../support/programs.ts";

function connect(server: Program) {
  const client = new Redis({ port: server.port, host: "127.0.0.1" });
  return Object.assign(client, { [Symbol.asyncDispose]: async () => void client.disconnect() });
}

/** redlock: delete only what is still ours. */
const RELEASE = `
  local count = 0
  for i, key in ipairs(KEYS) do
    if redis.call("get", key) == ARGV[1] then
      redis.pcall("del", key)
      count = count + 1
    end
  end
  return count`;
const EXTEND = `
  local count = 0
  for i, key in ipairs(KEYS) do
    if redis.call("get", key) == ARGV[1] then
      redis.call("set", key, ARGV[1], "px", ARGV[2])
      count = count + 1
    end
  end
  return count`;

/** A queue's script in BullMQ's manner: packed arguments, local functions, several structures, an event for each step. */
const ADD = `
  local rcall = redis.call
  local opts = cmsgpack.unpack(ARGV[1])
  local function keepEvent(name, id)
    rcall("ZADD", KEYS[4], tonumber(ARGV[3]), name .. ":" .. id)
    local over = rcall("ZCARD", KEYS[4]) - 100
    if over > 0 then rcall("ZREMRANGEBYRANK", KEYS[4], 0, over - 1) end
  end
  local id = opts["id"]
  if not id or id == "" then id = tostring(rcall("INCR", KEYS[1] .. ":id")) end
  local key = KEYS[1] .. ":" .. id
  if rcall("EXISTS", key) == 1 then
    keepEvent("duplicated", id)
    return id
  end
  local fields = {"name", opts["name"], "data", ARGV[2], "opts", cjson.encode(opts), "timestamp", ARGV[3]}
  if opts["parent"] ~= nil then table.insert(fields, "parentKey") table.insert(fields, opts["parent"]) end
  rcall("HMSET", key, unpack(fields))
  if (opts["delay"] or 0) > 0 then
    local score = (tonumber(ARGV[3]) + opts["delay"]) * 0x1000 + bit.band(tonumber(id) or 0, 0xfff)
    rcall("ZADD", KEYS[3], score, id)
    keepEvent("delayed", id)
  else
    rcall("LPUSH", KEYS[2], id)
    keepEvent("waiting", id)
  end
  return id`;
const TAKE = `
  local promoted = redis.call("ZRANGEBYSCORE", KEYS[3], 0, (tonumber(ARGV[1]) + 1) * 0x1000 - 1, "LIMIT", 0, 1000)
  if #promoted > 0 then
    redis.call("ZREM", KEYS[3], unpack(promoted))
    for _, id in ipairs(promoted) do redis.call("LPUSH", KEYS[2], id) end
  end
  local id = redis.call("RPOPLPUSH", KEYS[2], KEYS[1] .. ":active")
  if not id then return false end
  redis.call("SET", KEYS[1] .. ":" .. id .. ":lock", ARGV[2], "PX", 30000)
  return {redis.call("HGETALL", KEYS[1] .. ":" .. id), id}`;

/** {name, delay, id?} as MessagePack. */
function packed(name: string, delay: number, id?: string): Buffer {
  const text = (s: string): Buffer => Buffer.concat([Buffer.from([0xa0 | s.length]), Buffer.from(s)]);
  const parts = [text("name"), text(name), text("delay"), Buffer.from([0xcd, delay >> 8, delay & 255])];
  if (id !== undefined) parts.push(text("id"), text(id));
  return Buffer.concat([Buffer.from([0x80 | (parts.length / 2)]), ...parts]);
}

test("a lock is released and extended by its owner alone", async () => {
  await using server = await startServer("redisha");
  await using c = connect(server);
  c.defineCommand("release", { lua: RELEASE });
  c.defineCommand("extend", { lua: EXTEND });
  const locks = c as unknown as Record<"release" | "extend", (...args: (string | number)[]) => Promise<number>>;
  await c.set("lock:a", "mine", "PX", 10000, "NX");
  await c.set("lock:b", "theirs", "PX", 10000, "NX");
  expect(await locks.extend(2, "lock:a", "lock:b", "mine", 60000)).toBe(1);
  expect(await c.pttl("lock:a")).toBeGreaterThan(10000);
  expect(await locks.release(2, "lock:a", "lock:b", "mine")).toBe(1);
  expect(await c.mget("lock:a", "lock:b")).toEqual([null, "theirs"]);
  // The cache is emptied behind the library's back: it sends the text again.
  await c.script("FLUSH");
  expect(await locks.release(1, "lock:b", "theirs")).toBe(1);
});

async function fillQueue(server: Program): Promise<void> {
  await using c = connect(server);
  c.defineCommand("addJob", { lua: ADD, numberOfKeys: 4 });
  c.defineCommand("takeJob", { lua: TAKE, numberOfKeys: 3 });
  const queue = c as unknown as Record<"addJob" | "takeJob", (...args: (string | number | Buffer)[]) => Promise<unknown>>;
  const keys = ["q", "q:wait", "q:delayed", "q:events"];
  expect(await queue.addJob(...keys, packed("paint", 0), '{"n":1}', 1000)).toBe("1");
  expect(await queue.addJob(...keys, packed("paint", 500), "\xff", 1000)).toBe("2");
  expect(await queue.addJob(...keys, packed("mail", 0, "own"), "{}", 1001)).toBe("own");
  expect(await queue.addJob(...keys, packed("mail", 0, "own"), "{}", 1002)).toBe("own");
  const [fields, id] = (await queue.takeJob("q", "q:wait", "q:delayed", 1100, "token")) as [string[], string];
  expect(id).toBe("1");
  expect(fields.slice(0, 4)).toEqual(["name", "paint", "data", '{"n":1}']);
  expect(JSON.parse(fields[5]!)).toEqual({ name: "paint", delay: 0 });
  expect(((await queue.takeJob("q", "q:wait", "q:delayed", 1600, "token")) as [string[], string])[1]).toBe("own");
  expect(((await queue.takeJob("q", "q:wait", "q:delayed", 1600, "token")) as [string[], string])[1]).toBe("2");
  expect(await queue.takeJob("q", "q:wait", "q:delayed", 1600, "token")).toBeNull();
  expect(await c.zrange("q:events", "0", "-1")).toEqual(["delayed:2", "waiting:1", "waiting:own", "duplicated:own"]);
  await c.eval(
    "for i = 1, 50 do redis.call('sadd', 's', i) end redis.call('spop', 's', 20) redis.call('select', 3) redis.call('set', 'x', 1)",
    0,
  );
}

test.skipIf(!hasRedis).each([
  ["redisha", "redis"],
  ["redis", "redisha"],
] as [Kind, Kind][])("a queue's scripts on %s, their effects on a replica that is %s", async (master, replica) => {
  await using m = await startServer(master);
  await using r = await startServer(replica);
  await cli(r.port, "replicaof", "127.0.0.1", String(m.port));
  await until("the replica is in sync", async () => (await r.info("replication"))["master_link_status"] === "up");
  await fillQueue(m);
  const digest = await cli(m.port, "debug", "digest");
  await until("the replica has it all", async () => (await cli(r.port, "debug", "digest")) === digest);
});

test("effects of scripts survive in the append only file", async () => {
  await using server = await startServer("redisha", { appendonly: "yes", appendfsync: "always" });
  await fillQueue(server);
  const digest = await cli(server.port, "debug", "digest");
  await cli(server.port, "config", "set", "save", "");
  await cli(server.port, "debug", "loadaof");
  expect(await cli(server.port, "debug", "digest")).toBe(digest);
});

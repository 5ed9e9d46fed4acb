/**
 * What Sidekiq (Ruby) and Celery's kombu (Python) send, step by step in their manner, to the original and to ours: their languages' packages
 * are not at hand, their command patterns are. BullMQ itself runs in tests/e2e/libraries.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis, until } from "../support/programs.ts";

/** Until somebody waits in a blocking command on either side. */
async function waiting(both: Both): Promise<void> {
  for (const program of [both.original, both.ours])
    await until("a client is blocked", async () => (await program.info("clients"))["blocked_clients"] === "1");
}

describe.skipIf(!hasRedis)("workers", () => {
  test("Sidekiq: push, fetch, schedule, retry, heartbeat, metrics", async () => {
    await using both = await Both.start(3);
    const fetchers = await both.pair();
    for (const wire of fetchers) {
      await wire.do("HELLO", 3);
      wire.send("BRPOP", "queue:critical", "queue:default", 20);
    }
    await waiting(both);
    const job = (jid: string, klass: string): string =>
      JSON.stringify({ class: klass, args: [1, "x"], jid, retry: true, queue: "default" });
    const run = async (...lines: (string | number)[][]): Promise<void> => {
      for (const line of lines) await both.do(...line);
    };
    await run(["MULTI"], ["SADD", "queues", "default"], ["LPUSH", "queue:default", job("a", "Mail"), job("b", "Mail")], ["EXEC"]);
    const fetched = await Promise.all(fetchers.map((wire) => wire.next()));
    expect(fetched[1]).toBe(fetched[0]!);
    await run(["BRPOP", "queue:critical", "queue:default", 2], ["LLEN", "queue:default"]);

    // The poller takes what is due, one at a time, by a cached script; the text is sent when the cache has lost it.
    const due = `local key, now = KEYS[1], ARGV[1]
      local jobs = redis.call("zrange", key, "-inf", now, "byscore", "limit", 0, 1)
      if jobs[1] then
        redis.call("zrem", key, jobs[1])
        return jobs[1]
      end`;
    const sha = new Bun.CryptoHasher("sha1").update(due).digest("hex");
    await run(
      ["ZADD", "schedule", "1700000000.5", job("s1", "Late"), "1700000001.25", job("s2", "Late"), "1900000000", job("s3", "Late")],
      ["EVALSHA", sha, 1, "schedule", "1700000002"],
      ["SCRIPT", "LOAD", due],
      ["EVALSHA", sha, 1, "schedule", "1700000002"],
      ["EVALSHA", sha, 1, "schedule", "1700000002"],
      ["EVALSHA", sha, 1, "schedule", "1700000002"],
      ["ZCARD", "schedule"],
      ["ZADD", "retry", "1700000100", job("a", "Mail")],
      ["ZRANGE", "retry", "0", "-1", "WITHSCORES"],
      ["ZSCAN", "retry", 0, "MATCH", "*Mail*", "COUNT", 100],
      ["ZREMRANGEBYSCORE", "retry", "-inf", "1700000100"],
      ["ZRANGEBYSCORE", "retry", "1700000100", "1700000100"],
    );
    // Heartbeat and the counters of the web page.
    await run(
      ["MULTI"],
      ["SADD", "processes", "host:1:abc"],
      ["EXISTS", "host:1:abc"],
      ["HMSET", "host:1:abc", "info", "{}", "busy", "2", "beat", "1700000000.123", "rtt_us", "120", "quiet", "false", "rss", "1000"],
      ["EXPIRE", "host:1:abc", 60],
      ["RPOP", "host:1:abc-signals"],
      ["EXEC"],
      ["MULTI"],
      ["UNLINK", "host:1:abc:work"],
      ["HSET", "host:1:abc:work", "tid1", job("a", "Mail")],
      ["EXPIRE", "host:1:abc:work", 60],
      ["EXEC"],
      ["HGETALL", "host:1:abc:work"],
      ["SSCAN", "processes", 0],
      ["HMGET", "host:1:abc", "info", "busy", "nope"],
      ["MULTI"],
      ["INCRBY", "stat:processed", 5],
      ["INCRBY", "stat:processed:2026-01-01", 5],
      ["EXPIRE", "stat:processed:2026-01-01", 157680000],
      ["EXEC"],
      ["MGET", "stat:processed", "stat:failed"],
      ["BITFIELD", "h|Mail-01-1:1", "OVERFLOW", "SAT", "INCRBY", "u16", "#1", 1, "INCRBY", "u16", "#25", 65535, "INCRBY", "u16", "#25", 1],
      ["BITFIELD_RO", "h|Mail-01-1:1", "GET", "u16", "#0", "GET", "u16", "#1", "GET", "u16", "#25"],
      ["HINCRBY", "j|260101|1:1", "Mail|p", 1],
      ["HINCRBY", "j|260101|1:1", "Mail|ms", 17],
      ["SET", "unique:lock", "a", "NX", "EX", 60],
      ["SET", "unique:lock", "b", "NX", "EX", 60],
      ["HSETNX", "cron_job:x", "klass", "X"],
      ["HSETNX", "cron_job:x", "klass", "Y"],
    );
  });

  test("kombu: bind, deliver, acknowledge, restore what was not acknowledged, results, locks", async () => {
    await using both = await Both.start();
    const workers = await both.pair();
    const queue = "celery";
    const bands = [queue, ...["3", "6", "9"].map((p) => `${queue}\x06\x16${p}`)];
    const message = (tag: string): string =>
      JSON.stringify({ body: "W1tdLCB7fV0=", "content-type": "application/json", properties: { delivery_tag: tag, priority: 0 } });
    const run = async (...lines: (string | number)[][]): Promise<void> => {
      for (const line of lines) await both.do(...line);
    };
    await run(
      ["SADD", "_kombu.binding.celery", `celery\x06\x16\x06\x16celery`],
      ["SMEMBERS", "_kombu.binding.celery"],
      ["MULTI"],
      ...bands.map((band) => ["LLEN", band]),
      ["EXEC"],
    );
    for (const wire of workers) wire.send("BRPOP", ...bands, 20);
    await waiting(both);
    await run(["LPUSH", bands[2]!, message("t2")]);
    const delivered = await Promise.all(workers.map((wire) => wire.next()));
    expect(delivered[1]).toBe(delivered[0]!);
    await run(["LPUSH", queue, message("t1")], ["LPUSH", bands[3]!, message("t3")], ["BRPOP", ...bands, 1], ["BRPOP", ...bands, 1]);
    const keep = (tag: string, at: string): (string | number)[][] => [
      ["MULTI"],
      ["ZADD", "unacked_index", at, tag],
      ["HSET", "unacked", tag, JSON.stringify([message(tag), "celery", "celery"])],
      ["EXEC"],
    ];
    await run(...keep("t1", "1700000000.75"), ...keep("t2", "1700000001.5"), ...keep("t3", "1700009999"));
    await run(["MULTI"], ["ZREM", "unacked_index", "t1"], ["HDEL", "unacked", "t1"], ["EXEC"]);

    // Restoring: under a lock, what is older than the visibility time-out goes back, unless somebody acknowledges it meanwhile.
    const release = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`;
    await run(
      ["SET", "unacked_mutex", "token", "NX", "PX", 300000],
      ["ZREVRANGEBYSCORE", "unacked_index", "1700005000.123", 0, "WITHSCORES", "LIMIT", 0, 10],
      ["WATCH", "unacked"],
      ["HGET", "unacked", "t2"],
      ["MULTI"],
      ["ZREM", "unacked_index", "t2"],
      ["HDEL", "unacked", "t2"],
      ["RPUSH", queue, message("t2")],
      ["EXEC"],
      ["WATCH", "unacked"],
    );
    for (const wire of workers) await wire.do("HDEL", "unacked", "t3");
    await run(
      ["MULTI"],
      ["LPUSH", queue, message("t3")],
      ["EXEC"],
      ["EVAL", release, 1, "unacked_mutex", "other"],
      ["EVAL", release, 1, "unacked_mutex", "token"],
    );

    // Results, and the broadcast of remote control.
    for (const wire of workers) {
      await wire.do("SUBSCRIBE", "celery-task-meta-1");
      await wire.do("PSUBSCRIBE", "/0.celery.pidbox");
    }
    await run(
      ["MULTI"],
      ["SETEX", "celery-task-meta-1", 86400, '{"status": "SUCCESS"}'],
      ["PUBLISH", "celery-task-meta-1", '{"status": "SUCCESS"}'],
      ["EXEC"],
      ["PUBLISH", "/0.celery.pidbox", "{}"],
      ["MGET", "celery-task-meta-1", "celery-task-meta-2"],
      ["PEXPIRE", "celery-task-meta-1", 1000],
      ["ZRANGE", "unacked_index", 0, -1],
      ["LRANGE", queue, 0, -1],
    );
    for (let i = 0; i < 2; i++) {
      const pushed = await Promise.all(workers.map((wire) => wire.next()));
      expect(pushed[1]).toBe(pushed[0]!);
    }
  });
});

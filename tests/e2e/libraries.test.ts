/**
 * Libraries that users put on Redis, doing on the compiled file what their README shows: BullMQ (queue, worker, delays, retries, priorities,
 * flows, events), connect-redis under express-session, redlock.
 */
import { FlowProducer, Queue, QueueEvents, Worker, type Job } from "bullmq";
import { RedisStore } from "connect-redis";
import session from "express-session";
import { expect, test } from "bun:test";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Redis } from "ioredis";
import { createClient } from "redis";
import Redlock from "redlock";
import { startServer, until } from "../support/programs.ts";

/** Closes what a test opened, last first. */
function closing(): { add<T extends { close(): unknown }>(what: T): T; [Symbol.asyncDispose](): Promise<void> } {
  const open: { close(): unknown }[] = [];
  return {
    add: (what) => {
      open.push(what);
      return what;
    },
    async [Symbol.asyncDispose]() {
      for (const what of open.reverse()) await what.close();
    },
  };
}

test("BullMQ: jobs are worked, delayed, tried again, ordered, and their events heard", async () => {
  await using server = await startServer("redisha");
  await using all = closing();
  const connection = { host: "127.0.0.1", port: server.port, maxRetriesPerRequest: null };
  const queue = all.add(new Queue("Paint", { connection }));
  const events = all.add(new QueueEvents("Paint", { connection }));
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
  const heard: string[] = [];
  events.on("completed", ({ jobId }) => void heard.push(`completed ${jobId}`));
  events.on("failed", ({ jobId, failedReason }) => void heard.push(`failed ${jobId} ${failedReason}`));
  events.on("delayed", ({ jobId }) => void heard.push(`delayed ${jobId}`));

  // Before a worker is there: the order is that of priorities.
  await queue.add("cars", { color: "blue" }, { jobId: "low", priority: 10 });
  await queue.add("cars", { color: "red" }, { jobId: "high", priority: 1 });
  await queue.add("cars", { color: "late" }, { jobId: "later", delay: 300 });
  await queue.addBulk([
    { name: "cars", data: { color: "green" }, opts: { jobId: "bulk1" } },
    { name: "fails", data: {}, opts: { jobId: "flaky", attempts: 3, backoff: { type: "fixed", delay: 20 } } },
    { name: "never", data: {}, opts: { jobId: "lost", attempts: 2 } },
  ]);
  expect(await queue.getJobCounts("waiting", "prioritized", "delayed")).toEqual({ waiting: 3, prioritized: 2, delayed: 1 });
  expect((await queue.add("cars", { color: "twice" }, { jobId: "low" })).id).toBe("low");

  const worked: string[] = [];
  const worker = all.add(
    new Worker(
      "Paint",
      async (job: Job) => {
        worked.push(job.id!);
        await job.updateProgress(50);
        await job.log("painting");
        if (job.name === "never") throw new Error("no paint");
        if (job.name === "fails" && job.attemptsMade < 2) throw new Error("again");
        return { painted: job.data.color };
      },
      { connection },
    ),
  );
  const done = async (): Promise<boolean> => (await queue.getCompletedCount()) === 5 && (await queue.getFailedCount()) === 1;
  await until("all jobs are done", done, 60000);
  expect(worked.filter((id) => id === "flaky").length).toBe(3);
  expect(worked.indexOf("high")).toBeLessThan(worked.indexOf("low"));
  const late = (await queue.getJob("later"))!;
  expect(late.returnvalue).toEqual({ painted: "late" });
  expect(late.processedOn! - late.timestamp).toBeGreaterThanOrEqual(300);
  expect((await queue.getJob("lost"))!.failedReason).toBe("no paint");
  expect((await queue.getJobLogs("high")).logs).toEqual(["painting"]);
  await until(
    "the events came",
    () => heard.includes("failed lost no paint") && heard.filter((e) => e.startsWith("completed")).length === 5,
  );
  expect(heard).toContain("delayed later");

  // A failed job is tried again by hand, the queue is paused, cleaned and removed.
  await (await queue.getJob("lost"))!.retry();
  await until(
    "it failed again",
    async () => worked.filter((id) => id === "lost").length === 3 && (await queue.getFailedCount()) === 1,
    60000,
  );
  await queue.pause();
  await queue.add("cars", {}, { jobId: "waits" });
  expect(await queue.isPaused()).toBe(true);
  expect((await queue.getJob("waits"))!.id).toBe("waits");
  await queue.resume();
  await until("the paused job was done", async () => (await queue.getCompletedCount()) === 6, 60000);
  expect((await queue.clean(0, 100, "completed")).length).toBe(6);
  await worker.close();
  await queue.obliterate({ force: true });
  expect((await server.cli("keys", "bull:Paint:*")).trim()).toBe("");
}, 120000);

test("BullMQ: a flow's parent waits for its children and gets their results", async () => {
  await using server = await startServer("redisha");
  await using all = closing();
  const connection = { host: "127.0.0.1", port: server.port, maxRetriesPerRequest: null };
  const flow = all.add(new FlowProducer({ connection }));
  const tree = await flow.add({
    name: "renovate",
    queueName: "house",
    data: { place: "attic" },
    children: [
      { name: "paint", queueName: "steps", data: { step: "ceiling" } },
      { name: "paint", queueName: "steps", data: { step: "walls" }, opts: { delay: 50 } },
      {
        name: "fix",
        queueName: "steps",
        data: { step: "floor" },
        children: [{ name: "buy", queueName: "steps", data: { step: "boards" } }],
      },
    ],
  });
  const house = all.add(new Queue("house", { connection }));
  expect(await house.getJobCounts("waiting-children", "waiting")).toEqual({ "waiting-children": 1, waiting: 0 });
  const order: string[] = [];
  all.add(
    new Worker(
      "steps",
      async (job: Job) => {
        order.push(job.data.step);
        return job.data.step;
      },
      { connection, concurrency: 2 },
    ),
  );
  let got: unknown = null;
  all.add(
    new Worker(
      "house",
      async (job: Job) => {
        got = Object.values(await job.getChildrenValues()).sort();
        return "done";
      },
      { connection },
    ),
  );
  await until("the parent is done", async () => (await tree.job.getState()) === "completed", 60000);
  expect(got).toEqual(["ceiling", "floor", "walls"]);
  expect(order.indexOf("boards")).toBeLessThan(order.indexOf("floor"));
}, 120000);

test("BullMQ: a job scheduler repeats, a rate limit holds", async () => {
  await using server = await startServer("redisha");
  await using all = closing();
  const connection = { host: "127.0.0.1", port: server.port, maxRetriesPerRequest: null };
  const queue = all.add(new Queue("clock", { connection }));
  await queue.upsertJobScheduler("tick", { every: 50 }, { name: "tick", data: { n: 1 } });
  const at: number[] = [];
  all.add(new Worker("clock", async () => void at.push(Date.now()), { connection, limiter: { max: 1, duration: 100 } }));
  await until("it ticked", () => at.length >= 4, 60000);
  expect(at[3]! - at[0]!).toBeGreaterThan(250);
  expect((await queue.getJobSchedulers()).length).toBe(1);
  expect(await queue.removeJobScheduler("tick")).toBe(true);
}, 120000);

test("connect-redis: a session lives in Redis, is renewed, changed, listed and destroyed", async () => {
  await using server = await startServer("redisha");
  const client = createClient({ url: `redis://127.0.0.1:${server.port}` });
  await client.connect();
  const store = new RedisStore({ client, prefix: "myapp:", ttl: 60 });
  const use = session({ store, resave: false, saveUninitialized: false, secret: "keyboard cat", cookie: { secure: false } });
  const web = createServer((request: IncomingMessage, response: ServerResponse) => {
    use(request as never, response as never, () => {
      const own = (request as unknown as { session: Record<string, unknown> & { destroy(then: () => void): void } }).session;
      if (request.url === "/bye") return own.destroy(() => response.end("bye"));
      own["views"] = ((own["views"] as number | undefined) ?? 0) + 1;
      response.end(String(own["views"]));
    });
  });
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  try {
    const first = await fetch(url);
    const cookie = first.headers.get("set-cookie")!.split(";")[0]!;
    expect(await first.text()).toBe("1");
    expect(await (await fetch(url, { headers: { cookie } })).text()).toBe("2");
    expect(await (await fetch(url)).text()).toBe("1");
    const keys = await client.keys("myapp:*");
    expect(keys.length).toBe(2);
    expect(await client.ttl(keys[0]!)).toBeGreaterThan(50);
    expect(((await store.all()) as { views: number }[]).map((s) => s.views).sort()).toEqual([1, 2]);
    expect(await store.length()).toBe(2);
    await fetch(`${url}/bye`, { headers: { cookie } });
    expect((await client.keys("myapp:*")).length).toBe(1);
    await store.clear();
    expect(await client.dbSize()).toBe(0);
  } finally {
    web.close();
    await client.close();
  }
}, 60000);

test("redlock: a lock on three servers has one owner, is extended, released, and outlives one server", async () => {
  await using a = await startServer("redisha");
  await using b = await startServer("redisha");
  await using c = await startServer("redisha");
  const clients = [a, b, c].map((s) => new Redis({ host: "127.0.0.1", port: s.port, maxRetriesPerRequest: 1, retryStrategy: () => 100 }));
  for (const client of clients) client.on("error", () => undefined);
  try {
    const eager = new Redlock(clients, { retryCount: 0 });
    const patient = new Redlock(clients, { retryCount: 200, retryDelay: 20, retryJitter: 10 });
    const lock = await eager.lock("locks:account:322456", 10000);
    expect((await Promise.all(clients.map((x) => x.get("locks:account:322456")))).every((v) => v === lock.value)).toBe(true);
    const refused = await Promise.resolve(eager.lock("locks:account:322456", 10000)).then(String, String);
    expect(refused).toContain("LockError");
    const extended = await lock.extend(60000);
    expect(await clients[0]!.pttl("locks:account:322456")).toBeGreaterThan(20000);
    const waiting = patient.lock("locks:account:322456", 10000);
    await extended.unlock();
    const second = await waiting;
    expect(second.value).not.toBe(lock.value);
    await c.stop("SIGKILL");
    const others = await eager.lock(["locks:a", "locks:b"], 10000);
    await others.unlock();
    await second.unlock();
    expect(await clients[0]!.dbsize()).toBe(0);
  } finally {
    for (const client of clients) client.disconnect();
  }
}, 60000);

/** What our Sentinel has beyond the original's: state in a file of its own, metrics, webhooks, votes that outlive a restart, history, swaps adopted. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, hasRedis, startSentinel, tempDir, until } from "../support/programs.ts";
import { Fleet, events, fileOf, master_ } from "../support/sentinel_fleet.ts";

const real = test.skipIf(!hasRedis);

real("state-config-file: the configuration stays as it is, the state goes to its own file and comes back after a restart", async () => {
  const port = freePort();
  const dir = tempDir();
  await using fleet = await Fleet.start({ replicas: 1, sentinels: [] });
  const [old, replica] = fleet.servers;
  const lines = [
    `sentinel monitor m 127.0.0.1 ${old.port} 1`,
    "sentinel down-after-milliseconds m 1000",
    "sentinel failover-timeout m 6000",
    "sentinel state-config-file state.conf",
  ];
  await using s = await startSentinel("redisha", lines, { port, dir });
  const main = join(dir, `sentinel_${port}.conf`);
  const before = readFileSync(main, "latin1");
  await until("the replica", async () => (await master_(s))["num-slaves"] === "1");
  expect(await s.cli("sentinel", "set", "m", "parallel-syncs", "3")).toBe("OK");
  await old.stop("SIGKILL");
  await until("the switch", async () => (await master_(s))["port"] === String(replica.port));
  await until("the end of the failover", () => events(s).includes("+failover-end"));
  const id = await s.cli("sentinel", "myid");
  const state = (): string => readFileSync(join(dir, "state.conf"), "latin1");
  await until("the state on disk", () => state().includes(`sentinel monitor m 127.0.0.1 ${replica.port} 1\n`));
  expect(readFileSync(main, "latin1")).toBe(before);
  expect(state()).toContain(`sentinel known-replica m 127.0.0.1 ${old.port}\n`);
  expect(state()).toContain("sentinel parallel-syncs m 3\n");
  // What stands in the configuration is not said twice.
  expect(state()).not.toContain("down-after-milliseconds");

  await s.stop("SIGKILL");
  s.start();
  await s.ready();
  const m = await master_(s);
  expect([m["port"], m["config-epoch"], m["parallel-syncs"], m["down-after-milliseconds"]]).toEqual([
    String(replica.port),
    "1",
    "3",
    "1000",
  ]);
  expect(await s.cli("sentinel", "myid")).toBe(id);
  expect(readFileSync(main, "latin1")).toBe(before);

  // The same file for both is refused, and so is a state that is none.
  await s.stop("SIGKILL");
  writeFileSync(main, before.replace("state.conf", `sentinel_${port}.conf`));
  s.start();
  await until("its end", () => s.process!.exitCode !== null);
  expect(s.output).toContain("must differ from the main config file");
  writeFileSync(main, before);
  writeFileSync(join(dir, "state.conf"), "sentinel myid 1234\nnonsense here\n");
  s.start();
  await until("its end", () => s.process!.exitCode !== null);
  expect(s.output).toContain("state.conf, line 2");
});

real("metrics, webhooks and the history tell of a failover", async () => {
  const posted: { event: string; payload: string; master: string }[] = [];
  let failing = 2;
  const hook = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      if (failing-- > 0) return new Response("later", { status: 503 });
      posted.push((await request.json()) as (typeof posted)[0]);
      return new Response("ok");
    },
  });
  try {
    const metrics = freePort();
    await using fleet = await Fleet.start({
      sentinels: ["redisha"],
      lines: [`sentinel webhook m http://127.0.0.1:${hook.port}/hook`, `sentinel metrics-port ${metrics}`],
    });
    const [s] = fleet.sentinels;
    const page = async (): Promise<string> => (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
    const [old, next] = fleet.servers;
    expect(await page()).toContain(`redisha_sentinel_master_info{master="m",address="127.0.0.1:${old.port}"} 1\n`);
    expect((await fetch(`http://127.0.0.1:${metrics}/other`)).status).toBe(404);
    const dashboard = await fetch(`http://127.0.0.1:${metrics}/`);
    expect([dashboard.status, dashboard.headers.get("content-security-policy")]).toEqual([
      200,
      expect.stringContaining("default-src 'none'"),
    ]);
    expect(await dashboard.text()).toContain("<title>redisha</title>");
    const seen = (await (await fetch(`http://127.0.0.1:${metrics}/data.json`)).json()) as any;
    expect([seen.sets[0].name, seen.sets[0].master.role, Object.keys(seen.series.servers).length > 0]).toEqual(["m", "master", true]);
    await old.stop("SIGKILL");
    expect(await fleet.switched(old)).toBe(next);
    await until("the end", () => events(s).includes("+failover-end"));
    const text = await page();
    expect(text).toContain(`redisha_sentinel_master_info{master="m",address="127.0.0.1:${next.port}"} 1\n`);
    expect(text).toContain('redisha_sentinel_failovers{master="m",result="done"} 1\n');
    expect(text).toContain('redisha_sentinel_master_config_epoch{master="m"} 1\n');
    for (const line of text.split("\n")) expect(line).toMatch(/^(#.*|[a-z_]+(\{.*\})? -?[0-9.e+-]+|)$/);

    await until("the webhooks", () => posted.some((p) => p.event === "+switch-master"), 30_000);
    // The first were refused and came again, in their order.
    expect(posted[0].event).toBe("+monitor");
    expect(posted.find((p) => p.event === "+switch-master")).toMatchObject({
      master: "m",
      payload: `m 127.0.0.1 ${old.port} 127.0.0.1 ${next.port}`,
    });
    const history = await s.cli("sentinel", "failovers", "m");
    for (const word of ["done", "down", `127.0.0.1:${next.port}`, "+elected-leader", "+promoted-slave", "+switch-master"])
      expect(history.split("\n")).toContain(word);
  } finally {
    hook.stop(true);
  }
});

real("a restarted voter remembers for whom it voted", async () => {
  await using fleet = await Fleet.start({ sentinels: ["redisha"] });
  const [s] = fleet.sentinels;
  const [a, b] = ["a".repeat(40), "b".repeat(40)];
  const ask = (epoch: number, id: string): Promise<string> =>
    s.cli("sentinel", "is-master-down-by-addr", "127.0.0.1", String(fleet.master.port), String(epoch), id);
  expect(await ask(7, a)).toBe(`0\n${a}\n7`);
  expect(fileOf(s)).toContain(`# sentinel voted-for "m" ${a} 7\n`);
  await s.stop("SIGKILL");
  s.start();
  await s.ready();
  // Whoever asks again is told for whom; the one who has it may have lost the answer.
  expect(await ask(7, b)).toBe(`0\n${a}\n7`);
  expect(await ask(7, a)).toBe(`0\n${a}\n7`);
  // The original's file is still the original's.
  expect(fileOf(s)).toContain("sentinel leader-epoch m 7\n");
  await s.stop("SIGTERM");
});

real("a swap by FAILOVER on the servers is followed, not fought", async () => {
  await using fleet = await Fleet.start({ replicas: 2, sentinels: ["redisha", "redisha", "redisha"], downAfterMs: 5000 });
  const [old, next] = fleet.servers;
  await until("offsets", async () => (await old.info("replication"))["slave1"] !== undefined);
  expect(await old.cli("failover", "to", "127.0.0.1", String(next.port), "timeout", "5000")).toBe("OK");
  expect(await fleet.switched(old)).toBe(next);
  for (const s of fleet.servers) if (s !== next) await fleet.follows(s, next);
  for (const s of fleet.sentinels) expect((await master_(s))["config-epoch"]).toBe("1");
  expect(fleet.sentinels.map((s) => s.output).join("")).toContain("was swapped by somebody's order");
  expect(fleet.sentinels.flatMap(events)).not.toContain("+convert-to-slave");
});

real("fast-failover: a killed master is replaced long before down-after", async () => {
  await using fleet = await Fleet.start({
    replicas: 2,
    sentinels: ["redisha", "redisha", "redisha"],
    downAfterMs: 60_000,
    lines: ["sentinel fast-failover m yes"],
  });
  const old = fleet.master;
  // Healthy links that are reset are no proof.
  expect(await old.cli("client", "kill", "type", "normal")).not.toStartWith("ERR");
  await until("everybody connected again", () => fleet.quiet());
  expect(fleet.sentinels.flatMap(events)).not.toContain("+sdown");
  await old.stop("SIGKILL");
  await fleet.switched(old);
});

real("auto-failover no, FAILOVER TO and FORCE, parts removed", async () => {
  await using fleet = await Fleet.start({ replicas: 2, sentinels: ["redisha", "redisha"], quorum: 1 });
  const [a, b] = fleet.sentinels;
  for (const s of fleet.sentinels) expect(await s.cli("sentinel", "set", "m", "auto-failover", "no")).toBe("OK");
  const [old, , third] = fleet.servers;
  await old.stop("SIGKILL");
  await until("ODOWN", async () => (await master_(a))["flags"].includes("o_down"));
  expect(events(a)).not.toContain("+try-failover");
  expect((await master_(a))["auto-failover"]).toBe("no");
  expect(await a.cli("sentinel", "failover", "m", "to", "127.0.0.1", "1")).toStartWith("NOGOODSLAVE");
  expect(await a.cli("sentinel", "failover", "m", "to", "127.0.0.1", String(third.port), "force")).toBe("OK");
  expect(await fleet.switched(old)).toBe(third);
  await until("the end", () => events(a).includes("+failover-end"));
  await until("the old master's +sdown", async () => (await a.cli("sentinel", "replicas", "m")).includes("s_down"));
  expect(await a.cli("sentinel", "remove", "m", "replica", "127.0.0.1", String(old.port))).toBe("OK");
  expect((await master_(a))["num-slaves"]).toBe("1");
  expect(fileOf(a)).not.toContain(`known-replica m 127.0.0.1 ${old.port}\n`);
  const id = await b.cli("sentinel", "myid");
  await b.stop("SIGKILL");
  expect(await a.cli("sentinel", "remove", "m", "sentinel", id)).toBe("OK");
  expect((await master_(a))["num-other-sentinels"]).toBe("0");
  expect(await a.cli("sentinel", "remove", "m", "sentinel", id)).toBe("ERR No such Sentinel of that master\n");
  expect(existsSync(a.dir)).toBe(true);
});

real("a wrong password is said in the log and stands in the map", async () => {
  await using fleet = await Fleet.start({ replicas: 0, sentinels: ["redisha"], downAfterMs: 60_000 });
  const [s] = fleet.sentinels;
  await fleet.master.cli("config", "set", "requirepass", "secret");
  expect(await s.cli("sentinel", "set", "m", "auth-pass", "wrong")).toBe("OK");
  await until("the word", () => s.output.includes("# Authentication failed at master m"));
  await until("the map", async () => ((await master_(s))["auth-error"] ?? "").startsWith("WRONGPASS"));
  await s.cli("sentinel", "set", "m", "auth-pass", "secret");
  await until("that it is gone", async () => (await master_(s))["auth-error"] === undefined);
});

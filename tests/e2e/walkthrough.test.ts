/**
 * The article, step by step (W1-W12), on the compiled file: every step is a test, and each goes on from where the one before has left the set.
 * A client of @redis/client stays connected through the proxy from W5 to W11 and notes which server acknowledged each of its writes.
 *
 * Needs the original redis-cli, which is what the article's reader types into.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createClient, createSentinel } from "@redis/client";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { alive, Article, type Part } from "../support/article.ts";
import { hasRedis, redisha, until } from "../support/programs.ts";

setDefaultTimeout(60_000);

/** SENTINEL MASTERS: the article's fields in its order, `pending-commands` under its later name with `link-refcount` behind it. */
const FIELDS = [
  "name",
  "ip",
  "port",
  "runid",
  "flags",
  "link-pending-commands",
  "link-refcount",
  "last-ping-sent",
  "last-ok-ping-reply",
  "last-ping-reply",
  "down-after-milliseconds",
  "info-refresh",
  "role-reported",
  "role-reported-time",
  "config-epoch",
  "num-slaves",
  "num-other-sentinels",
  "quorum",
  "failover-timeout",
  "parallel-syncs",
];

/** A client as applications have them: one connection that reconnects by itself, a counter that it keeps raising. */
class Staying {
  readonly client: ReturnType<typeof createClient>;
  /** Servers that acknowledged, one after the other; a server that comes twice has been left and returned to. */
  readonly servers: number[];
  acknowledged: number;
  value: number;
  private over: boolean;
  private work: Promise<void> | null;

  constructor(port: number) {
    this.client = createClient({ socket: { host: "127.0.0.1", port, reconnectStrategy: 50 } });
    this.client.on("error", () => {}); // cut: it connects again
    this.servers = [];
    this.acknowledged = 0;
    this.value = 0;
    this.over = false;
    this.work = null;
  }
  async start(): Promise<void> {
    await this.client.connect();
    this.work = this.run();
  }
  private async run(): Promise<void> {
    while (!this.over) {
      try {
        // Sent in one packet: the server that counts is the one that names its port.
        const [value, config] = await Promise.all([this.client.incr("staying"), this.client.configGet("port")]);
        const port = Number(config["port"]);
        this.acknowledged++;
        this.value = value;
        if (this.servers.at(-1) !== port) this.servers.push(port);
      } catch {
        // in flight when the connection ended, or nobody to write to
      }
      await Bun.sleep(10);
    }
  }
  async stop(): Promise<void> {
    this.over = true;
    this.client.destroy();
    await this.work;
  }
}

describe.skipIf(!hasRedis)("the article's walkthrough", () => {
  let set: Article;
  let staying: Staying;
  beforeAll(() => {
    set = new Article();
    staying = new Staying(set.ports.proxy);
  });
  afterAll(async () => {
    await staying?.stop();
    await set?.close();
  });

  /** The Sentinel's events after the first `from` characters of its log: level, name and payload. */
  const events = (from = 0): string[] => {
    const found = set
      .log("sentinel")
      .slice(from)
      .matchAll(/^\d+:X .{24} ([.\-*#] [+-][a-z].*)$/gm);
    return [...found].map((m) => m[1]);
  };
  /** until(), with the ends of all logs when it does not come true. */
  const wait = <T>(what: string, check: () => T | Promise<T>, timeoutMs = 20_000): Promise<NonNullable<T>> =>
    until(what, check, timeoutMs).catch((error: Error) => {
      const logs = (["first", "second", "sentinel"] as const).map((p) => `--- ${set.name(p)}\n${set.log(p).slice(-6000)}`);
      throw new Error([error.message, ...logs].join("\n"));
    });
  const up = (part: Part): Promise<unknown> => wait(`${set.name(part)} to answer`, async () => (await set.cli(part, "ping")) === "PONG");
  const isFollowing = async (part: Part, port: number): Promise<boolean> => {
    const i = await set.replication(part);
    return i["role"] === "slave" && i["master_port"] === String(port) && i["master_link_status"] === "up";
  };
  const start = async (part: Part): Promise<void> => {
    expect(await set.service(part, "start")).toBe(`Starting ${set.name(part)} ...\n`);
    await up(part);
  };

  test("W1 the proxy on haproxy.cfg sends everybody to the master from the first moment, nobody to the replica", async () => {
    await start("first");
    await start("second");
    await wait("the replica's first sync", () => isFollowing("second", set.ports.first));
    set.startProxy();
    const reached = new Map<number, number>();
    for (const end = Date.now() + 2500; Date.now() < end; await Bun.sleep(10)) {
      const port = await set.portThroughProxy();
      reached.set(port, (reached.get(port) ?? 0) + 1);
    }
    expect(reached.get(set.ports.second) ?? 0).toBe(0);
    expect(reached.get(set.ports.first) ?? 0).toBeGreaterThan(20);
    expect([...reached.keys()].at(-1)).toBe(set.ports.first);
    expect(await set.cli("proxy", "set", "through", "the proxy")).toBe("OK");
    expect(await set.cli("first", "get", "through")).toBe("the proxy");
  });

  test("W2 the init script starts the Sentinel: a daemon with pidfile, log and working directory", async () => {
    await start("sentinel");
    const pid = set.pid("sentinel");
    expect(pid).toBeGreaterThan(0);
    expect(readlinkSync(`/proc/${pid}/exe`)).toBe(redisha);
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe(set.workDir("sentinel"));
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [, , , session, terminal] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    expect([Number(session), Number(terminal)]).toEqual([pid, 0]); // its own session, no terminal
    for (const line of set.log("sentinel").trimEnd().split("\n"))
      if (/^\d+:/.test(line)) expect(line).toMatch(/^\d+:[XC] \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3} [.\-*#] /);
    expect(set.log("sentinel")).toContain(`${pid}:X `);
    expect(events()[0]).toBe(`# +monitor master master01 127.0.0.1 ${set.ports.first} quorum 1`);
  });

  test("W3 INFO replication of both servers shows the article's fields", async () => {
    const master = await wait("the replica in the master's list", async () => {
      const i = await set.replication("first");
      return i["slave0"] === undefined ? null : i;
    });
    expect(master["role"]).toBe("master");
    expect(master["connected_slaves"]).toBe("1");
    expect(master["slave0"]).toMatch(new RegExp(`^ip=127\\.0\\.0\\.1,port=${set.ports.second},state=online,offset=\\d+,lag=\\d+$`));
    expect(master["repl_backlog_active"]).toBe("1");
    expect(master["repl_backlog_size"]).toBe("1048576");
    for (const field of ["master_repl_offset", "repl_backlog_first_byte_offset", "repl_backlog_histlen"])
      expect(master[field]).toMatch(/^\d+$/);
    const replica = await set.replication("second");
    expect(replica).toMatchObject({
      role: "slave",
      master_port: String(set.ports.first),
      master_link_status: "up",
      master_sync_in_progress: "0",
      slave_priority: "100",
      slave_read_only: "1",
      connected_slaves: "0",
      master_replid: master["master_replid"],
    });
    for (const field of ["master_last_io_seconds_ago", "slave_repl_offset"]) expect(replica[field]).toMatch(/^\d+$/);
    expect(await set.cli("second", "set", "a", "1")).toContain("READONLY You can't write against a read only replica.");
    expect(await set.cli("second", "get", "through")).toBe("the proxy");
  });

  test("W4 the Sentinel finds the replica and rewrites its file, comments and order kept", async () => {
    const { first, second } = set.ports;
    await wait("+slave", () => events().includes(`* +slave slave 127.0.0.1:${second} 127.0.0.1 ${second} @ master01 127.0.0.1 ${first}`));
    const file = await wait("the replica in the file", () => {
      const text = readFileSync(set.conf("sentinel"), "latin1");
      return text.includes(`\nsentinel known-replica master01 127.0.0.1 ${second}\n`) ? text : "";
    });
    expect(file).toMatch(/^sentinel myid [0-9a-f]{40}$/m);
    for (const line of ["sentinel current-epoch 0", "sentinel config-epoch master01 0", "sentinel leader-epoch master01 0"])
      expect(file).toContain(`\n${line}\n`);
    const kept = [
      "# Specifies the Sentinel port, log file, and a work directory and run it a daemon service.",
      `port ${set.ports.sentinel}`,
      "daemonize yes",
      "# Monitor redis_",
      `sentinel monitor master01 127.0.0.1 ${first} 1`,
      "#sentinel auth-pass myredis mypass",
      "# Specifies the number of milliseconds",
      "sentinel down-after-milliseconds master01 3000",
      "sentinel failover-timeout master01 6000",
    ];
    const places = kept.map((line) => file.indexOf(line));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(set.log("sentinel")).toContain("has one argument too many");
  });

  let crashAt = 0;
  test("W5 DEBUG SEGFAULT closes the connection, ends the process and leaves a report in its log", async () => {
    await staying.start();
    await wait("the client's writes", () => staying.acknowledged > 20);
    const pid = set.pid("first");
    crashAt = set.log("sentinel").length;
    expect(await set.cli("first", "debug", "segfault")).toBe("Error: Server closed the connection");
    await wait("the process' end", () => !alive(pid));
    await wait("its port to be closed", async () => (await set.cli("first", "ping")).includes("Connection refused"));
    expect(set.log("first")).toMatch(/=== REDIS BUG REPORT START[^]*crashed by signal: 11[^]*=== REDIS BUG REPORT END/);
  });

  test("W6 the Sentinel's log tells of the failover in the article's words and order", async () => {
    const { first, second } = set.ports;
    const old = `master master01 127.0.0.1 ${first}`;
    const replica = `slave 127.0.0.1:${second} 127.0.0.1 ${second} @ master01 127.0.0.1 ${first}`;
    const left = `slave 127.0.0.1:${first} 127.0.0.1 ${first} @ master01 127.0.0.1 ${second}`;
    await wait("the old master's +sdown as a replica", () => events(crashAt).includes(`# +sdown ${left}`));
    const id = /^sentinel myid (.*)$/m.exec(readFileSync(set.conf("sentinel"), "latin1"))![1];
    expect(events(crashAt)).toEqual([
      `# +sdown ${old}`,
      `# +odown ${old} #quorum 1/1`,
      "# +new-epoch 1",
      `# +try-failover ${old}`,
      `# +vote-for-leader ${id} 1`,
      `# +elected-leader ${old}`,
      `# +failover-state-select-slave ${old}`,
      `# +selected-slave ${replica}`,
      `* +failover-state-send-slaveof-noone ${replica}`,
      `* +failover-state-wait-promotion ${replica}`,
      `# +promoted-slave ${replica}`,
      `# +failover-state-reconf-slaves ${old}`,
      `# +failover-end ${old}`,
      `# +switch-master master01 127.0.0.1 ${first} 127.0.0.1 ${second}`,
      `* +slave ${left}`,
      `# +sdown ${left}`,
    ]);
    expect(readFileSync(set.conf("sentinel"), "latin1")).toContain(`\nsentinel monitor master01 127.0.0.1 ${second} 1\n`);
  });

  test("W7 the replica is the master, without replicas, and has the data", async () => {
    expect(await set.replication("second")).toMatchObject({ role: "master", connected_slaves: "0" });
    expect(await set.cli("second", "get", "through")).toBe("the proxy");
  });

  test("W8 the crashed server, started again, becomes a replica by itself, and no write goes to it meanwhile", async () => {
    const { first, second } = set.ports;
    await wait("the client on the new master", () => staying.servers.at(-1) === second);
    const before = staying.acknowledged;
    await start("first");
    const reached = new Set<number>();
    const demoted = `* +convert-to-slave slave 127.0.0.1:${first} 127.0.0.1 ${first} @ master01 127.0.0.1 ${second}`;
    await wait(
      "its demotion",
      async () => {
        reached.add(await set.portThroughProxy());
        return events(crashAt).includes(demoted) && (await isFollowing("first", second));
      },
      30_000,
    );
    // The checks see it come and go for a while longer.
    for (const end = Date.now() + 2500; Date.now() < end; await Bun.sleep(10)) reached.add(await set.portThroughProxy());
    expect([...reached]).toEqual([second]);
    expect(staying.servers).toEqual([first, second]);
    expect(staying.acknowledged).toBeGreaterThan(before);
    await wait("the counter at the replica", async () => Number(await set.cli("first", "get", "staying")) >= staying.value - 1000);
    expect(await set.cli("first", "set", "a", "1")).toContain("READONLY");
  });

  test("W9 SENTINEL MASTERS has the article's fields in its order; a Sentinel client finds the master", async () => {
    const lines = (await set.cli("sentinel", "sentinel", "masters")).split("\n");
    const names = lines.filter((_, i) => i % 2 === 0);
    expect(names).toEqual(FIELDS);
    const master = Object.fromEntries(names.map((name, i) => [name, lines[2 * i + 1]]));
    expect(master).toMatchObject({
      name: "master01",
      ip: "127.0.0.1",
      port: String(set.ports.second),
      flags: "master",
      "down-after-milliseconds": "3000",
      "role-reported": "master",
      "config-epoch": "1",
      "num-slaves": "1",
      "num-other-sentinels": "0",
      quorum: "1",
      "failover-timeout": "6000",
      "parallel-syncs": "1",
    });
    expect(master["runid"]).toBe(/run_id:(\w+)/.exec(await set.cli("second", "info", "server"))![1]);
    const client = createSentinel({ name: "master01", sentinelRootNodes: [{ host: "127.0.0.1", port: set.ports.sentinel }] });
    client.on("error", () => {});
    try {
      await client.connect();
      expect(await client.set("found by", "the Sentinel")).toBe("OK");
    } finally {
      client.destroy();
    }
    expect(await set.cli("second", "get", "found by")).toBe("the Sentinel");
  });

  test("W10 a second crash: the loop of redis-cli through the proxy sees the first server as master again", async () => {
    const { first, second } = set.ports;
    await wait("the replica to be whole", async () => !(await set.cli("sentinel", "sentinel", "replicas", "master01")).includes("s_down"));
    expect(await set.cli("second", "debug", "segfault")).toBe("Error: Server closed the connection");
    await wait(
      "the first server through the proxy",
      async () => {
        const info = await set.cli("proxy", "info", "replication");
        if (!info.includes("role:")) return false;
        expect(info).toContain("role:master");
        return (await set.cli("proxy", "info", "server")).includes(`tcp_port:${first}`);
      },
      30_000,
    );
    await wait("the client on it", () => staying.servers.at(-1) === first);
    expect(staying.servers).toEqual([first, second, first]);
    expect(await set.cli("proxy", "get", "found by")).toBe("the Sentinel");
  });

  test("W11 the second server, started again, shows up as the replica through the proxy", async () => {
    const { first, second } = set.ports;
    await start("second");
    const line = await wait(
      "the replica in INFO through the proxy",
      async () => {
        const slave = (await set.replication("proxy"))["slave0"];
        return slave?.includes(`port=${second},state=online,`) ? slave : "";
      },
      30_000,
    );
    expect(line).toMatch(new RegExp(`^ip=127\\.0\\.0\\.1,port=${second},state=online,offset=\\d+,lag=\\d+$`));
    expect(staying.servers).toEqual([first, second, first]);
    await staying.stop();
    expect(Number(await set.cli("proxy", "get", "staying"))).toBeGreaterThanOrEqual(staying.value);
  });

  test("W12 restart and stop of the init scripts; a stopped server has saved its data", async () => {
    const sentinel = set.pid("sentinel");
    expect(await set.service("sentinel", "restart")).toBe(
      `Restarting ${set.name("sentinel")} ...\nStopping ${set.name("sentinel")} PID: ${sentinel} ...\nStarting ${set.name("sentinel")} ...\n`,
    );
    await up("sentinel");
    expect(alive(sentinel)).toBe(false);
    expect(set.pid("sentinel")).not.toBe(0);
    expect((await set.cli("sentinel", "sentinel", "get-master-addr-by-name", "master01")).split("\n")[1]).toBe(String(set.ports.first));
    const stop = async (part: Part): Promise<void> => {
      const pid = set.pid(part);
      expect(await set.service(part, "stop")).toBe(`Stopping ${set.name(part)} PID: ${pid} ...\n`);
      await wait(`the end of ${set.name(part)}`, () => !alive(pid));
      expect(existsSync(set.pidFile(part))).toBe(false);
      await wait("its port to be closed", async () => (await set.cli(part, "ping")).includes("Connection refused"));
    };
    await stop("sentinel");
    expect(await set.cli("first", "set", "saved", "yes")).toBe("OK");
    await stop("first");
    expect(set.log("first")).toContain("# Redis is now ready to exit, bye bye...");
    await start("first");
    expect(await set.cli("first", "get", "saved")).toBe("yes");
    await stop("first");
    await stop("second");
    set.proxy!.kill("SIGTERM");
    await wait("the proxy's end", () => set.proxy!.exitCode !== null || set.proxy!.signalCode !== null);
    expect(await set.cli("proxy", "ping")).toContain("Connection refused");
  });
});

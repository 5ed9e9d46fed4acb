/**
 * The Runtime API of the real haproxy 2.6 and ours (strict-haproxy on) side by side through a scripted life: the same commands, the same
 * replies, the same columns, states and counters of `show stat`, the same lines in the log.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Socket } from "node:net";
import { admin, stat } from "../support/admin.ts";
import { hasHaproxy, tempDir, until, type Program } from "../support/programs.ts";
import { Peer, startProxy, Target } from "../support/proxy.ts";

const echo = (s: Socket): void => {
  s.on("data", (d) => s.write(d));
  s.on("end", () => s.end());
};
const dir = tempDir("admin.");
const KINDS = ["haproxy", "redisha"] as const;
const sock = (kind: string): string => join(dir, `${kind}.sock`);
const CONFIG = (kind: string, a: number, agent: number): string => `global
 log stdout format raw local0
 stats socket ${sock(kind)} mode 600 level admin
 stats timeout 1m
${kind === "redisha" ? " strict-haproxy on" : " nbthread 1"}
defaults
 mode tcp
 log global
 option tcplog
 timeout connect 1s
 timeout client 20s
 timeout server 20s
 timeout check 10s
frontend f
 bind 127.0.0.1:{port}
 maxconn 100
 default_backend b
backend b
 balance leastconn
 option tcp-check
 tcp-check send PING
 tcp-check expect string PING
 server s1 127.0.0.1:${a} check inter 200ms weight 10
 server s2 127.0.0.1:1 check inter 200ms backup
 server s3 127.0.0.1:${a} maxconn 5
backend t
 server t1 127.0.0.1:${a} track b/s1
 server t2 127.0.0.1:${a} weight 10 agent-check agent-port ${agent} agent-inter 300ms
 server t3 127.0.0.1:${a} disabled
`;

/** Columns that say how things are, and nothing about time, load or bytes of the machine. */
const STABLE = ["pxname", "svname", "qcur", "scur", "smax", "slim", "stot", "bin", "bout", "econ", "wretr", "wredis", "status", "weight", "act", "bck", "chkdown", "pid", "iid", "sid", "lbtot", "tracked", "type", "check_status", "check_code", "last_chk", "check_desc", "check_rise", "check_fall", "check_health", "mode", "algo", "conn_tot", "connect", "uweight", "agent_status", "agent_health", "throttle"]; // prettier-ignore

describe.skipIf(!hasHaproxy)("Runtime API", () => {
  let target: Target;
  let agent: Target;
  let word = "ready up 100%";
  const proxies = new Map<string, Program>();
  beforeAll(async () => {
    target = await Target.start(echo);
    agent = await Target.start((s) => void s.end(`${word}\n`));
    for (const kind of KINDS) proxies.set(kind, await startProxy(kind, CONFIG(kind, target.port, agent.port)));
    for (const kind of KINDS)
      await until(`${kind} to have checked`, async () => {
        const all = await stat(sock(kind));
        const of = (name: string): Record<string, string> => all.find((l) => l["svname"] === name)!;
        return /^(\* )?L7OK/.test(of("s1")["check_status"]!) && of("s1")["check_health"] === "4" && of("s2")["status"] === "DOWN" && of("t2")["agent_status"] === "L7OK"; // prettier-ignore
      });
  });
  afterAll(async () => {
    for (const p of proxies.values()) await p[Symbol.asyncDispose]();
    await target.stop();
    await agent.stop();
  });
  const plain = (text: string): string => text.replace(/0x[0-9a-f]+/g, "0x").replaceAll("\\* L", "L");
  const both = async (line: string): Promise<string[]> => Promise.all(KINDS.map(async (k) => plain(await admin(sock(k), line))));
  /** The figures of both, which must come to be equal. */
  const same = async (): Promise<void> => {
    let last: unknown[] = [];
    const view = async (k: string): Promise<string> =>
      JSON.stringify((await stat(sock(k))).map((l) => STABLE.map((c) => (c === "check_status" ? l[c]!.replace("* ", "") : l[c]))));
    try {
      await until("both to show the same", async () => (last = await Promise.all(KINDS.map(view)))[0] === last[1], 8000);
    } catch {
      expect(JSON.parse(last[1] as string)).toEqual(JSON.parse(last[0] as string));
    }
  };

  test("the header, and what there is at the start", async () => {
    const heads = await Promise.all(KINDS.map(async (k) => (await admin(sock(k), "show stat")).split("\n")[0]));
    expect(heads[1]).toBe(heads[0]!);
    await same();
    const names = await Promise.all(KINDS.map(async (k) => (await admin(sock(k), "show info")).split("\n").map((l) => l.split(":")[0])));
    expect(names[1]).toEqual(names[0]!);
    const typed = await Promise.all(KINDS.map(async (k) => (await admin(sock(k), "show stat typed")).split("\n").map((l) => l.split(":").slice(0, 3).join(":")))); // prettier-ignore
    // Figures of the moment (a running check) may be there or not.
    expect(new Set(typed[1])).toEqual(new Set(typed[0]));
    const json = await Promise.all(KINDS.map(async (k) => JSON.parse(await admin(sock(k), "show info json")) as { field: object; tags: object }[])); // prettier-ignore
    expect(json[1]!.map((f) => [f.field, f.tags])).toEqual(json[0]!.map((f) => [f.field, f.tags]));
  });

  test("a life: modes, weights, addresses, sessions", async () => {
    const steps = [
      "set server b/s1 state drain", "set server b/s1 state maint", "set server b/s1 state ready", "set server b/s1 state drain",
      "set server b/s1 state ready", "set server b/s2 state maint", "set server b/s2 state ready", "set server b/s1 weight 20",
      "set server b/s1 weight 50%", "get weight b/s1", "set weight b/s1 100%", "set server b/s3 health down", "set server b/s3 health up",
      "disable server b/s1", "enable server b/s1", "disable frontend f", "disable frontend f", "enable frontend f", "enable frontend f",
      "set maxconn frontend f 50", "set maxconn server b/s3 7", "set server t/t3 state ready", "set server t/t2 agent down",
      "set server t/t2 agent up", "set server t/t1 state maint", "set server t/t1 state ready", "set server b/s3 health stopping",
      "set server b/s3 health up", "disable health b/s1", "enable health b/s1", "shutdown sessions server b/s1", "clear counters",
    ]; // prettier-ignore
    for (const step of steps) {
      // What is forced lasts only until the agent speaks again: it says nothing meanwhile.
      word = step.includes("agent") ? "" : "ready up 100%";
      const replies = await both(step);
      expect([step, replies[1]]).toEqual([step, replies[0]!]);
      if (step.includes("agent")) continue;
      await same();
    }
    word = "ready up 100%";
    const said = KINDS.map(
      (k) =>
      proxies.get(k)!.output.split("\n").filter((l) => /^(Backup )?Server |^(Paused|Resumed)|no server available!$/.test(l)), // prettier-ignore
    );
    // A server that has just left maintenance is up until its next check: how many are left depends on the moment.
    const tidy = (lines: string[]): string[] =>
      lines.map((l) => l.replace(/duration: \d+ms/, "duration: Nms").replace(/\. \d+ active and .*/, "")).sort();
    expect(tidy(said[1]!)).toEqual(tidy(said[0]!));
  });

  test("traffic is counted alike, and seen in show sess", async () => {
    const peers: Peer[] = [];
    for (const kind of KINDS) {
      const c = await Peer.to(proxies.get(kind)!.port);
      c.send("hello");
      await c.has("hello");
      peers.push(c);
    }
    await same();
    for (const kind of KINDS) {
      const line = (await admin(sock(kind), "show sess")).split("\n").find((l) => l.includes("fe=f"))!;
      expect(line).toMatch(
        /^0x[0-9a-f]+: proto=tcpv4 src=127\.0\.0\.1:\d+ fe=f be=b srv=s[13] ts=\w+ epoch=\w+ age=\S+ calls=\d+ rate=\d+ /,
      );
      const id = line.split(":")[0]!;
      expect(await admin(sock(kind), `show sess ${id}`)).toContain("frontend=f (id=2 mode=tcp)");
      expect(await admin(sock(kind), `shutdown session ${id}`)).toBe("\n");
    }
    for (const p of peers) await p.isOver();
    for (const kind of KINDS)
      await until("the line of the killed session", () => / f b\/s[13] \d+\/\d+\/\d+ 5 K[-D] /.test(proxies.get(kind)!.output));
    await same();
  });

  test("an agent's words", async () => {
    for (const w of ["50%", "drain", "ready 100%", "down # broken", "up", "maint", "ready", "stopped", "up", "maxconn:3"]) {
      word = w;
      let seen: string[] = [];
      const heard = until(`both to hear ${w}`, async () => {
        const of = await Promise.all(KINDS.map(async (k) => (await stat(sock(k))).find((l) => l["svname"] === "t2")!));
        const view = (l: Record<string, string>): string => [l["status"]!.replace(/ \d+\/\d+$/, ""), l["weight"], l["slim"]].join();
        const expected: Record<string, RegExp> = { "50%": /,5,/, drain: /^DRAIN/, "down # broken": /^DOWN/, maint: /^MAINT/, stopped: /^(NOLB|DOWN)/, "maxconn:3": /,3$/ }; // prettier-ignore
        seen = of.map(view);
        return view(of[0]!) === view(of[1]!) && (expected[w] ?? /^(no check|UP)/).test(view(of[0]!));
      });
      await heard.catch(() => expect([w, seen[1]]).toEqual([w, seen[0]!]));
    }
  });

  const REFUSALS = [
    "set server b/nope state ready", "set server nope/s1 state ready", "set server b/s1 state foo", "set server b/s1", "set server b",
    "set server b/s1 foo", "set server b/s1 weight 300", "set server b/s1 weight x", "set server b/s1 weight", "get weight b/zz",
    "set weight b/s1", "set server b/s1 addr foo", "set server b/s1 health x", "set server b/s1 agent up", "set server b/s1 fqdn foo.bar",
    "set server b/s1 ssl on", "enable health b/s3", "enable agent b/s1", "disable frontend zz", "set maxconn frontend f",
    "set maxconn server b/s1 x", "set maxconn global 1000000", "shutdown session 0x1", "shutdown session", "shutdown sessions server b/zz",
    "set timeout cli", "set timeout x", "show servers state zz", "show servers conn zz", "show sess 0x1", "show errors zz", "show backend",
    "show cli level", "show peers", "show table", "show env NOSUCHVARIABLE", "operator;show cli level;disable frontend f;clear counters all",
    "user;show cli level;show sess;show env;clear counters", "show backend;show cli level", "set server t/t1 health down",
    "set server b/s1 check-addr 127.0.0.1", "shutdown frontend zz",
  ]; // prettier-ignore
  test.each(REFUSALS)("%s", async (line) => {
    const replies = await both(line);
    expect(replies[1]).toBe(replies[0]!);
  });

  test("addresses that change", async () => {
    for (const line of [
      "set server b/s3 addr 127.0.0.2", `set server b/s3 addr 127.0.0.1 port ${target.port}`, "set server b/s3 addr 127.0.0.1 port 7",
      `set server b/s3 addr 127.0.0.1 port ${target.port}`,
    ]) {
      const replies = await both(line);
      expect(replies[1]).toBe(replies[0]!);
    } // prettier-ignore
  });

  test("show servers state", async () => {
    // Seconds and who knows what of agents aside.
    const view = async (k: string): Promise<string[][]> =>
      (await admin(sock(k), "show servers state")).split("\n").map((l) => l.split(" ").filter((_w, i) => i !== 9 && i !== 12));
    let last: string[][][] = [];
    try {
      await until("the same states", async () => {
        last = await Promise.all(KINDS.map(view));
        return JSON.stringify(last[0]) === JSON.stringify(last[1]);
      }, 8000); // prettier-ignore
    } catch {
      expect(last[1]).toEqual(last[0]!);
    }
  });

  test("a prompt keeps the connection; an endless line and rubbish do no harm", async () => {
    for (const kind of KINDS) {
      const { connect } = await import("node:net");
      const s = connect(sock(kind));
      let text = "";
      s.on("data", (d) => (text += d));
      s.on("error", () => {});
      s.write("prompt\n");
      await until("the prompt", () => text.endsWith("> "));
      s.write("show cli level\n");
      await until("the level", () => text.endsWith("admin\n\n> "));
      s.write("quit\n");
      await new Promise((resolve) => s.once("close", resolve));
    }
    const { connect } = await import("node:net");
    const s = connect(sock("redisha"));
    s.on("error", () => {});
    s.write(Buffer.alloc(100_000, 120));
    await new Promise((resolve) => s.once("close", resolve));
    expect(await admin(sock("redisha"), "show cli level")).toBe("admin\n\n");
  });

  test("shutdown frontend is for ever", async () => {
    for (const line of ["shutdown frontend f", "shutdown frontend f", "enable frontend f"]) {
      const replies = await both(line);
      expect(replies[1]).toBe(replies[0]!);
    }
    await same();
  });
});

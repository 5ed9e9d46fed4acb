/**
 * Rings (`log ring@r`, `show events`) and the master CLI (-S) of the real haproxy 2.6 and ours (strict-haproxy on): the same lines in the same
 * formats, the same replies to the same words.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { admin } from "../support/admin.ts";
import { KINDS, type ProxyKind } from "../support/haproxy_lives.ts";
import { freePort, hasHaproxy, originals, Program, redisha, tempDir, until } from "../support/programs.ts";
import { listens, Peer } from "../support/proxy.ts";
import { writeFileSync } from "node:fs";

const dir = tempDir("rings.");
const sock = (kind: ProxyKind): string => join(dir, `${kind}.sock`);
const masterSock = (kind: ProxyKind): string => join(dir, `${kind}.master`);
const CONFIG = (kind: ProxyKind, port: number): string => `global
 log ring@r local0
 stats socket ${sock(kind)} mode 600 level admin
${kind === "redisha" ? " strict-haproxy on" : " nbthread 1"}
ring r
 description "what was said"
 format rfc5424
 size 40000
ring short
 format iso
 maxlen 100
ring plain
defaults
 mode tcp
 log global
 option tcplog
 retries 0
 timeout connect 500ms
 timeout client 10s
 timeout server 10s
listen l
 bind 127.0.0.1:${port}
 server a 127.0.0.1:1
 log ring@short local1
 log ring@plain format priority local2
 log ring@plain local2 err
`;

/** A connection to an admin socket on which several lines are said. */
class Talk {
  readonly socket: Socket;
  text: string;
  closed: boolean;
  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true });
    this.text = "";
    this.closed = false;
    this.socket.on("data", (d) => (this.text += d.toString("latin1")));
    this.socket.on("error", () => {});
    this.socket.on("close", () => (this.closed = true));
    this.socket.on("end", () => ((this.closed = true), this.socket.end()));
  }
  say(line: string): void {
    this.socket.write(`${line}\n`);
  }
  has(text: string): Promise<unknown> {
    return until(`${JSON.stringify(text)} in ${JSON.stringify(this.text)}`, () => this.text.includes(text));
  }
}

describe.skipIf(!hasHaproxy)("rings and the master CLI", () => {
  const programs = new Map<ProxyKind, Program>();
  beforeAll(async () => {
    for (const kind of KINDS) {
      const port = freePort();
      const file = join(dir, `${kind}.cfg`);
      writeFileSync(file, CONFIG(kind, port));
      // As a master with a worker: no -db.
      const command = kind === "haproxy" ? [originals.haproxy] : [redisha, "--proxy"];
      const p = new Program(kind, [...command, "-W", "-S", masterSock(kind), "-f", file], port, dir, false);
      p.start();
      programs.set(kind, p);
      await until(`${kind} to listen`, () => listens(port));
    }
  });
  afterAll(async () => {
    for (const p of programs.values()) await p.stop("SIGTERM");
  });
  const knock = async (kind: ProxyKind): Promise<void> => {
    const c = await Peer.to(programs.get(kind)!.port);
    await c.isOver();
    c.socket.destroy();
  };
  /** Times, ports, pids are not the same. */
  const plain = (text: string): string =>
    text
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}/g, "DATE")
      .replace(/127\.0\.0\.1:\d+ \[[^\]]*\]/g, "C [T]")
      .replace(/haproxy \d+ /g, "haproxy PID ")
      .replace(/ \d+\/-1\/\d+ /g, " N/-1/N ");

  test("lines in the formats of log line or ring, cut at its length; what there is none of", async () => {
    for (const kind of KINDS) for (let i = 0; i < 2; i++) await knock(kind);
    for (const line of ["show events", "show events r", "show events plain", "show events nosuch", "show events r -x", "show events r -n", "show events stdout", "show events buf0"]) {
      const replies: string[] = [];
      for (const kind of KINDS) replies.push(plain(await admin(sock(kind), line)));
      expect([line, replies[1]]).toEqual([line, replies[0]!]);
    } // prettier-ignore
    // Where the line is cut depends on the port's digits.
    for (const kind of KINDS) {
      const lines = (await admin(sock(kind), "show events short")).split("\n").filter((l) => l !== "");
      expect(lines.map((l) => l.length)).toEqual([100, 100]);
      expect(plain(lines[0]!)).toStartWith("DATE+");
    }
  });

  test("show events -w -n: new lines as they come, until something is said", async () => {
    for (const kind of KINDS) {
      const t = new Talk(sock(kind));
      t.say("show events r -w -n");
      // It follows once a line after the first one to come is there, whenever it was heard.
      await until("a new line", async () => (await knock(kind), t.text.includes(" l l/a ")));
      expect(t.closed).toBe(false);
      // The original looks for a key only when the next line comes.
      if (kind === "redisha") {
        t.say("");
        await until("the end", () => t.closed);
      } else t.socket.destroy();
      expect(plain(t.text).split("\n")[0]).toMatch(/^<134>1 DATE\+\d\d:\d\d - haproxy PID - - C \[T\] l l\/a N\/-1\/N 0 SC /);
    }
  });

  const pid = async (kind: ProxyKind): Promise<string> => /\n(\d+) +worker/.exec(await admin1(kind, "show proc"))![1]!;
  /** One line on the master's socket, which stays open until we end it. */
  const admin1 = async (kind: ProxyKind, lines: string): Promise<string> => {
    const t = new Talk(masterSock(kind));
    t.socket.end(`${lines}\n`);
    await until("the end", () => t.closed);
    return t.text;
  };

  test.each([
    "show cli level", "@master show cli level", "@1 show cli level", "@0 show cli level", "user;show cli level", "@2 show version",
    "@!99 show version", "@nosuch help", "show cli sockets", "@1;show backend;show cli level", "@1 show backend;show cli level",
    "@1 show events", "@1 operator;@1 show cli level", "operator;@1 show cli level", "@1\nshow backend\n@master\nshow cli level",
    "show cli level\nshow cli level", "@1 set server l/zz state ready", "@1",
  ])("-S: %s", async (line) => {
    const replies: string[] = [];
    for (const kind of KINDS) replies.push(await admin1(kind, line));
    expect(replies[1]).toBe(replies[0]!);
  }); // prettier-ignore

  test("-S: show proc, a worker by its pid, help, a prompt", async () => {
    const table = (text: string): string => text.replace(/\d+d\d\dh\d\dm\d\ds|2\.6\.12\S*/g, "X").replace(/^\d+ +/gm, "PID ");
    const proc: string[] = [];
    const names: string[][] = [];
    const prompts: string[] = [];
    for (const kind of KINDS) {
      proc.push(table(await admin1(kind, "show proc")));
      expect(await admin1(kind, `@!${await pid(kind)} show backend`)).toBe("# name\nl\n\n");
      names.push((await admin1(kind, "help")).split("\n").filter((l) => l.startsWith("  ")).map((l) => l.slice(2, 40).trim())); // prettier-ignore
      const t = new Talk(masterSock(kind));
      t.say("prompt");
      await t.has("master> ");
      t.say("show cli level");
      await t.has("admin\n\nmaster> ");
      t.say("@1");
      const worker = await pid(kind);
      await t.has(`${worker}> `);
      prompts.push(t.text.replaceAll(worker, "PID"));
      t.socket.destroy();
    }
    expect(proc[1]).toBe(proc[0]!);
    // Ours says @master, too.
    expect(names[1]!.sort()).toEqual(names[0]!.sort());
    expect(prompts[1]).toBe(prompts[0]!);
  });
});

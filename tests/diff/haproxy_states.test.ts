/**
 * One server's scripted life under the real haproxy 2.6 and ours (strict-haproxy on): it answers, is killed, stands still, is slow, says
 * something else, flaps, is taken into maintenance and drained. After each part `show stat` has the same names and states, and the log lines
 * of the whole life are the same but for durations and ports.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Socket } from "node:net";
import { admin, stat } from "../support/admin.ts";
import { hasHaproxy, tempDir, until } from "../support/programs.ts";
import { startProxy, Target } from "../support/proxy.ts";

const KINDS = ["haproxy", "redisha"] as const;
type Kind = (typeof KINDS)[number];

const CONFIG = (kind: Kind, sock: string, port: number): string => `global
 log stdout format raw local0
 stats socket ${sock} mode 600 level admin
${kind === "redisha" ? " strict-haproxy on" : " nbthread 1"}
defaults
 mode tcp
 log global
 timeout connect 1s
 timeout client 20s
 timeout server 20s
 timeout check 1500ms
frontend f
 bind 127.0.0.1:{port}
 default_backend b
backend b
 option tcp-check
 option log-health-checks
 tcp-check send PING
 tcp-check expect string PONG
 server s1 127.0.0.1:${port} check inter 200ms fastinter 100ms downinter 150ms rise 2 fall 3
`;

/** What the server does with a check; `flap`: good and bad words in turn, three of each. */
type Mood = "good" | "still" | "slow" | "other" | "flap";

/** A server that can be killed and comes back on its port. */
class Moody {
  private target: Target | null;
  private port: number;
  private checks: number;
  private dying: (() => void) | null;
  mood: Mood;

  constructor() {
    this.dying = null;
    this.target = null;
    this.port = 0;
    this.checks = 0;
    this.mood = "good";
  }
  async start(): Promise<number> {
    this.target = await Target.start((s) => this.serve(s), this.port);
    this.port = this.target.port;
    return this.port;
  }
  /** Goes when it has answered one more check: a check under way would end in one of several ways. */
  kill(): Promise<void> {
    return new Promise((done) => {
      this.dying = () => {
        this.target!.server.close();
        this.target = null;
        done();
      };
    });
  }
  set(mood: Mood): void {
    this.mood = mood;
    this.checks = 0;
  }
  private serve(s: Socket): void {
    s.on("end", () => s.end());
    s.once("data", () => {
      this.dying?.();
      this.dying = null;
      const n = this.checks++;
      switch (this.mood) {
        case "good":
          return void s.end("PONG");
        case "still":
          return;
        case "slow":
          return void setTimeout(() => s.end("PONG"), 150);
        case "other":
          return void s.end("-LOADING\r\n");
        case "flap":
          return void s.end(Math.floor(n / 3) % 2 === 0 ? "NOPE" : "PONG");
      }
    });
  }
}

interface Part {
  name: string;
  begin(server: Moody, sock: string): Promise<unknown> | void;
  /** Holds for the server's row when this part has told its story. */
  over(row: Record<string, string>): boolean;
}

const checked = (row: Record<string, string>): string => row["check_status"]!.replace("* ", "");
const PARTS: Part[] = [
  { name: "answers", begin: () => {}, over: (r) => r["status"] === "UP" && r["check_health"] === "4" && checked(r) === "L7OK" },
  { name: "killed", begin: (s) => s.kill(), over: (r) => r["status"] === "DOWN" && r["check_health"] === "0" && checked(r) === "L4CON" },
  { name: "back", begin: (s) => s.start(), over: (r) => r["status"] === "UP" && r["check_health"] === "4" },
  { name: "stands still", begin: (s) => s.set("still"), over: (r) => r["status"] === "DOWN" && r["check_health"] === "0" && checked(r) === "L7TOUT" },
  { name: "slow", begin: (s) => s.set("slow"), over: (r) => r["status"] === "UP" && r["check_health"] === "4" },
  { name: "says something else", begin: (s) => s.set("other"), over: (r) => r["status"] === "DOWN" && r["check_health"] === "0" && checked(r) === "L7RSP" },
  { name: "good again", begin: (s) => s.set("good"), over: (r) => r["status"] === "UP" && r["check_health"] === "4" },
  { name: "flaps", begin: (s) => s.set("flap"), over: (r) => Number(r["chkdown"]) >= 5 && r["status"] === "DOWN" },
  { name: "steady", begin: (s) => s.set("good"), over: (r) => r["status"] === "UP" && r["check_health"] === "4" },
  { name: "maintenance", begin: (_s, sock) => admin(sock, "set server b/s1 state maint"), over: (r) => r["status"] === "MAINT" },
  { name: "ready", begin: (_s, sock) => admin(sock, "set server b/s1 state ready"), over: (r) => r["status"] === "UP" && r["check_health"] === "4" },
  { name: "drained", begin: (_s, sock) => admin(sock, "set server b/s1 state drain"), over: (r) => r["status"]!.startsWith("DRAIN") },
  { name: "killed while drained", begin: (s) => s.kill(), over: (r) => r["check_health"] === "0" && checked(r) === "L4CON" },
  { name: "back while drained", begin: (s) => s.start(), over: (r) => r["status"] === "DRAIN" && r["check_health"] === "4" },
]; // prettier-ignore

/** Columns of a state; counters of checks depend on when one looks. */
const STATE = ["pxname", "svname", "status", "weight", "act", "bck", "chkdown", "check_status", "check_code", "last_chk", "check_desc", "check_rise", "check_fall", "check_health"]; // prettier-ignore

async function live(kind: Kind): Promise<{ states: string[]; log: string[] }> {
  const server = new Moody();
  const sock = join(tempDir("states."), "s.sock");
  const port = await server.start();
  await using proxy = await startProxy(kind, CONFIG(kind, sock, port));
  const states: string[] = [];
  for (const part of PARTS) {
    await part.begin(server, sock);
    let rows: Record<string, string>[] = [];
    await until(`${kind}: "${part.name}", has ${JSON.stringify(rows[1])}`, async () => {
      rows = await stat(sock);
      const row = rows.find((r) => r["svname"] === "s1")!;
      // While a check runs its text is not there yet.
      return part.over(row) && !row["check_status"]!.startsWith("* ");
    });
    for (const r of rows.filter((x) => x["pxname"] === "b"))
      states.push(`${part.name}: ${STATE.map((c) => (c === "check_status" ? checked(r) : r[c])).join(" ")}`);
  }
  const log = proxy.output
    .split("\n")
    .filter((l) => /^(Health check|Server|backend) /.test(l))
    .map((l) => l.replace(/duration: \d+ms/, "duration: N").replaceAll(`:${port}`, ":P"));
  return { states, log };
}

test.skipIf(!hasHaproxy)(
  "killed, standing still, slow, flapping, in maintenance: the same states and lines",
  async () => {
    const [theirs, ours] = await Promise.all(KINDS.map(live));
    expect(ours!.states).toEqual(theirs!.states);
    expect(ours!.log).toEqual(theirs!.log);
    expect(theirs!.log.length).toBeGreaterThan(30);
  },
  60_000,
);

/**
 * Server state files: what the real haproxy 2.6 wrote, after an administrator was at work, is read at the start by it and by ours
 * (strict-haproxy on). `show servers state` and the states of `show stat` must come out alike, and so must what is said of files that cannot
 * be used.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { admin, stat } from "../support/admin.ts";
import { echo, KINDS, type ProxyKind } from "../support/haproxy_lives.ts";
import { hasHaproxy, tempDir, until } from "../support/programs.ts";
import { startProxy, Target } from "../support/proxy.ts";

const dir = tempDir("states.");
let target: Target;

const SERVERS = (a: number): string => `backend b
 option tcp-check
 tcp-check connect
 server weighted 127.0.0.1:${a} weight 10
 server reweighted 127.0.0.1:${a} weight 30
 server maint 127.0.0.1:${a} check inter 60s
 server drained 127.0.0.1:${a}
 server drained_checked 127.0.0.1:${a} check inter 60s
 server moved 127.0.0.1:${a}
 server down 127.0.0.1:1 check inter 60s fall 1
 server weak 127.0.0.1:${a} check inter 60s rise 3 fall 5
 server was_disabled 127.0.0.1:${a} disabled
 server is_disabled 127.0.0.1:${a} disabled
 server tracking 127.0.0.1:${a} track b/maint
 server agent 127.0.0.1:${a} agent-check agent-port 1 agent-inter 60s weight 5
 server port 127.0.0.1:${a} check port 1 inter 60s
 server numbered 127.0.0.1:${a} id 77
 server old 127.0.0.1:${a}
`;
const config = (kind: ProxyKind, sock: string, more: string, servers: string): string => `global
 stats socket ${sock} mode 600 level admin
${kind === "redisha" ? " strict-haproxy on" : " nbthread 1"}
${more}
defaults
 mode tcp
 timeout connect 1s
 timeout client 20s
 timeout server 20s
 load-server-state-from-file ${more.includes("local") ? "local" : "global"}
frontend f
 bind 127.0.0.1:{port}
 default_backend b
${servers}`;

/** Without the seconds since the last change, and the agent's and checks' moment. */
const lines = (text: string): string[] => text.split("\n").filter((l) => l !== "" && l !== "1" && !l.startsWith("#")).map((l) => l.split(" ").filter((_w, i) => i !== 9).join(" ")); // prettier-ignore

interface Start {
  state: string[];
  rows: string[];
  said: string[];
}

/** What a proxy makes of the file. */
async function start(kind: ProxyKind, file: string, more: string, servers: string): Promise<Start> {
  const sock = join(dir, `${kind}.sock`);
  await using proxy = await startProxy(kind, config(kind, sock, more, servers));
  // The first server with a check is checked at once, the others in a minute or so.
  await until("its first check", async () => (await stat(sock)).some((r) => r["svname"] === "maint" && (r["status"] === "MAINT" || r["check_status"] === "L4OK"))); // prettier-ignore
  const state = lines(await admin(sock, "show servers state"));
  const rows = (await stat(sock)).filter((r) => r["pxname"] === "b").map((r) => ["svname", "status", "weight", "uweight", "act", "bck", "addr"].map((n) => r[n]).join(" ")); // prettier-ignore
  const said = proxy.output
    .split("\n")
    // Not what checks find later, nor how many servers are left while the lines are applied one after the other.
    .filter((l) => /^\[(WARNING|ALERT)/.test(l) && !/reason:|Layer/.test(l))
    .map((l) =>
      l
        .replace(/^\[\w+\] +\(\d+\) : /, "")
        .replaceAll(file, "FILE")
        .replaceAll(dir, "DIR")
        .replace(/\. \d+ active and.*/, ""),
    );
  return { state, rows, said };
}

describe.skipIf(!hasHaproxy)("server state file", () => {
  let saved = "";
  beforeAll(async () => {
    target = await Target.start(echo);
    const sock = join(dir, "first.sock");
    await using proxy = await startProxy("haproxy", config("haproxy", sock, "", SERVERS(target.port)));
    expect(proxy.port).toBeGreaterThan(0);
    for (const line of [
      "set server b/reweighted weight 7", "set server b/maint state maint", "set server b/drained state drain",
      "set server b/drained_checked state drain", "set server b/moved addr 127.0.0.9 port 99", "set server b/weak health down",
      "set server b/was_disabled state ready", "set maxconn server b/old 9", "set server b/agent agent down",
    ]) await admin(sock, line); // prettier-ignore
    saved = await admin(sock, "show servers state");
    // The state after a while: checks that have not come yet are as they were.
    expect(saved.split("\n").length).toBeGreaterThan(15);
  });
  afterAll(async () => {
    await target.stop();
  });

  const both = async (file: string, more: string, servers: string): Promise<void> => {
    const results: Start[] = [];
    for (const kind of KINDS) results.push(await start(kind, file, more, servers));
    expect(results[1]!.said).toEqual(results[0]!.said);
    expect(results[1]!.rows).toEqual(results[0]!.rows);
    expect(results[1]!.state).toEqual(results[0]!.state);
  };

  test("global: the same servers", async () => {
    const file = join(dir, "state");
    writeFileSync(file, saved);
    await both(file, ` server-state-file ${file}`, SERVERS(target.port));
  });
  test("local: a file of the section's name", async () => {
    writeFileSync(join(dir, "b"), saved);
    await both(join(dir, "b"), ` server-state-base ${dir}\n # local`, SERVERS(target.port));
  });
  test("the configuration has changed meanwhile: weights, disabled, addresses, servers that are gone or new", async () => {
    const file = join(dir, "state");
    writeFileSync(file, saved);
    const changed = SERVERS(target.port)
      .replace("weight 30", "weight 31")
      .replace("server drained ", "server renamed ")
      .replace("server weighted", "server new 127.0.0.1:5\n server weighted")
      .replace(/server maint (\S+)/, "server maint $1 disabled")
      .replace(/server is_disabled (\S+) disabled/, "server is_disabled $1")
      .replace(/server moved (\S+)/, "server moved 127.0.0.1:98")
      // Whether it follows before or after its own line was read is another story.
      .replace(/ server tracking .*\n/, "");
    await both(file, ` server-state-file ${file}`, changed);
  });

  const BAD: [string, (text: string) => string | null][] = [
    ["missing", () => null],
    ["empty", () => ""],
    ["of no version", (t) => t.replace("1\n", "")],
    ["of version 2", (t) => t.replace("1\n", "2\n")],
    ["with a version of words", (t) => t.replace("1\n", "one\n")],
    ["with lines that are too short", (t) => t.replace(/^(\d+ b \d+ weighted \S+ \d+).*/m, "$1")],
    ["with words for numbers", (t) => t.replace(/^(\d+ b \d+ weighted \S+) \d+ \d+ \d+/m, "$1 x y z")],
    ["with numbers out of range", (t) => t.replace(/^(\d+ b \d+ reweighted \S+) \d+ \d+ \d+/m, "$1 9 999 999")],
    ["with rubbish between", (t) => `${t}\x01\x02 rubbish\n\n# b\n  \n`],
  ];
  test.each(BAD)("a file %s", async (name, make) => {
    const file = join(dir, `bad ${name}`.replaceAll(" ", "_"));
    const text = make(saved);
    if (text !== null) writeFileSync(file, text, "latin1");
    await both(file, ` server-state-file ${file}`, SERVERS(target.port));
  });
});

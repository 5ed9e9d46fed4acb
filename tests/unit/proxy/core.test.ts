/** The proxy's pure parts: health counter, balance, tcp-check machine, conditions. No sockets, no clock. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { inNetwork, isTrue } from "../../../lib/proxy/core/acl.ts";
import { first, leastConn, newWheel, sourceHash, type Candidate } from "../../../lib/proxy/core/balance.ts";
import { applyResult, firstDelayMs, healthText, isUp, newHealth, nextDelayMs, spreadDelayMs } from "../../../lib/proxy/core/health.ts";
import { RoundRobin, WeightMap } from "../../../lib/proxy/core/round_robin.ts";
import { downLine, healthLine, upLine } from "../../../lib/proxy/core/health_text.ts";
import { reasonText, type CheckResult, type StatusName } from "../../../lib/proxy/core/status.ts";
import { TcpCheck, wholeReplies, type CheckAction } from "../../../lib/proxy/core/tcp_check.ts";
import { readConfig } from "../../../lib/config/haproxy_read.ts";
import type { TcpCheckRule } from "../../../lib/config/haproxy_model.ts";

const result = (status: StatusName): CheckResult => ({ status, code: 0, info: "", durationMs: 0 });
const settings = { rise: 2, fall: 3, interMs: 2000, fastinterMs: 500, downinterMs: 5000 };

test("a fresh server is up, but one failure takes it down; afterwards it takes fall failures and rise passes", () => {
  const h = newHealth(settings, "up");
  expect(isUp(h)).toBe(true);
  expect(nextDelayMs(h)).toBe(500);
  expect(applyResult(h, result("L7TOUT"))).toEqual({ wentUp: false, wentDown: true, report: true });
  expect(healthText(h)).toBe("0/2 DOWN");
  expect(nextDelayMs(h)).toBe(5000);
  expect(applyResult(h, result("L7TOUT")).report).toBe(false);
  expect(applyResult(h, result("L7OK")).wentUp).toBe(false);
  expect(healthText(h)).toBe("1/2 DOWN");
  expect(nextDelayMs(h)).toBe(500);
  expect(applyResult(h, result("L7OK")).wentUp).toBe(true);
  expect(healthText(h)).toBe("3/3 UP");
  expect(nextDelayMs(h)).toBe(2000);
  expect(applyResult(h, result("L4CON")).wentDown).toBe(false);
  expect(healthText(h)).toBe("2/3 UP");
  applyResult(h, result("L7OK"));
  expect(healthText(h)).toBe("3/3 UP");
  for (const down of [false, false, true]) expect(applyResult(h, result("L4CON")).wentDown).toBe(down);
});

test("servers of a role check are down until the first pass", () => {
  const h = newHealth(settings, "down");
  expect(isUp(h)).toBe(false);
  expect(applyResult(h, result("L7OK")).wentUp).toBe(true);
});

test("first checks are spread, later ones jitter within their bounds", () => {
  expect([0, 1, 2].map((i) => firstDelayMs(i, 3, 2000))).toEqual([0, 666, 1333]);
  expect(spreadDelayMs(1000, 10, 0, 0)).toBe(900);
  expect(spreadDelayMs(1000, 10, 0, 1)).toBe(1100);
  expect(spreadDelayMs(1000, 50, 100, 1)).toBe(1100);
});

function servers(...weights: number[]): (Candidate & { name: string })[] {
  return weights.map((weight, order) => ({ name: "ABCDEF"[order]!, weight, active: 0, queued: 0, maxconn: 0, order, turn: 0 }));
}
const anyFree = (): boolean => true;
const tables = {
  roundrobin: () => new RoundRobin<Candidate & { name: string }>(),
  "static-rr": () => new WeightMap<Candidate & { name: string }>(),
};
for (const [name, make] of Object.entries(tables))
  test(`${name} serves by weight, evenly mixed, and skips the one to avoid`, () => {
    const run = (n: number, ...weights: number[]): string => {
      const s = servers(...weights);
      const t = make();
      return Array.from({ length: n }, () => t.next(s, anyFree, null)!.name).join("");
    };
    expect(run(6, 1, 1)).toBe("ABABAB");
    expect(run(6, 1, 1, 1)).toBe("ABCABC");
    for (const [n, weights] of [
      [40, [3, 1]],
      [60, [1, 2, 3]],
      [100, [5, 3, 2]],
    ] as const) {
      const total = weights.reduce((x, y) => x + y, 0);
      const order = run(n, ...weights);
      weights.forEach((w, i) => expect([...order].filter((c) => c === "ABC"[i]).length).toBe((n * w) / total));
    }
    expect(make().next(servers(0, 0), anyFree, null)).toBeNull();
    const two = servers(1, 1);
    const t = make();
    for (let i = 0; i < 4; i++) expect(t.next(two, anyFree, two[0]!)!.name).toBe("B");
    expect(make().next([two[0]!], anyFree, two[0]!)!.name).toBe("A");
    // Who is full is passed over, and served again afterwards.
    expect(Array.from({ length: 4 }, () => t.next(two, (s) => s.name === "A", null)!.name).join("")).toBe("AAAA");
    expect(new Set(Array.from({ length: 4 }, () => t.next(two, anyFree, null)!.name)).size).toBe(2);
  });

test("roundrobin while servers come, go, fill up and change their weight: always one that is there, in the end each by its weight", () => {
  const step = fc.record({ which: fc.nat(3), weight: fc.nat(20), there: fc.boolean(), full: fc.boolean(), picks: fc.nat(6) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const all = servers(1, 2, 3, 4);
      const table = new RoundRobin<(typeof all)[0]>();
      const gone = new Set<string>();
      for (const s of steps) {
        const one = all[s.which]!;
        one.weight = s.weight / 4;
        gone[s.there ? "delete" : "add"](one.name);
        const here = all.filter((x) => !gone.has(x.name) && x.weight > 0);
        const free = (x: Candidate): boolean => !(s.full && x === one);
        for (let i = 0; i < s.picks; i++) {
          const got = table.next(here, free, null);
          expect(got === null ? here.filter(free).length : here.includes(got) && free(got)).toBe(got === null ? 0 : true);
        }
      }
      const even = all.filter((x) => x.weight > 0);
      if (even.length === 0) return;
      const total = even.reduce((n, x) => n + x.weight, 0);
      const counts = new Map<string, number>();
      // What is left of former places is gone after some rounds.
      for (let i = 0; i < 2000; i++) table.next(even, anyFree, null);
      for (let i = 0; i < 1000; i++) {
        const { name } = table.next(even, anyFree, null)!;
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      for (const x of even) expect(Math.abs((counts.get(x.name) ?? 0) - (1000 * x.weight) / total)).toBeLessThan(60);
    }),
  );
});

test("leastconn, first and source", () => {
  const s = servers(1, 1, 2);
  s[0]!.active = 1;
  s[1]!.active = 2;
  s[2]!.active = 1;
  expect(leastConn(newWheel(), s, null)!.name).toBe("C");
  const even = servers(1, 1);
  const wheel = newWheel();
  expect([1, 2, 3, 4].map(() => leastConn(wheel, even, null)!.name).join("")).toBe("ABAB");
  const f = servers(1, 1);
  f[0]!.maxconn = 1;
  expect(first(f, null)!.name).toBe("A");
  f[0]!.active = 1;
  expect(first(f, null)!.name).toBe("B");
  const hash = sourceHash("10.1.2.3");
  expect(new WeightMap<Candidate>().at(s, hash)).toBe(new WeightMap<Candidate>().at(s, hash));
});

// ---- tcp-check

function rules(...lines: string[]): readonly TcpCheckRule[] {
  const text = `backend b\noption tcp-check\n${lines.join("\n")}\nserver s 127.0.0.1:1 check\n`;
  const r = readConfig([{ name: "t", text }]);
  expect(r.findings.filter((f) => f.level === "alert")).toEqual([]);
  return r.config.proxies[0]!.tcpCheck;
}
const ARTICLE = [
  "tcp-check connect",
  "tcp-check send PING\\r\\n",
  "tcp-check expect string +PONG",
  "tcp-check send info\\ replication\\r\\n",
  "tcp-check expect string role:master",
  "tcp-check send QUIT\\r\\n",
  "tcp-check expect string +OK",
];
const bulk = (s: string): string => `$${s.length}\r\n${s}\r\n`;
const sends = (a: CheckAction): string => (a.kind === "send" ? a.bytes : a.kind);
const done = (a: CheckAction): string => (a.kind === "done" ? `${a.result.status} ${a.result.info}` : a.kind);

test("the article's rules pass on a master", () => {
  const run = new TcpCheck(rules(...ARTICLE), false, 0);
  expect(run.start(0).kind).toBe("connect");
  expect(sends(run.connected(1))).toBe("PING\r\n");
  expect(run.sent(1).kind).toBe("wait");
  expect(run.data("+PO", 2).kind).toBe("wait");
  expect(sends(run.data("NG\r\n", 2))).toBe("info replication\r\n");
  run.sent(3);
  expect(sends(run.data(bulk("# Replication\r\nrole:master\r\n"), 3))).toBe("QUIT\r\n");
  run.sent(4);
  const end = run.data("+OK\r\n", 5);
  expect(end).toEqual({ kind: "done", result: { status: "L7OK", code: 0, info: "(tcp-check)", durationMs: 5 } });
});

test("a replica fails at once with its whole reply; in strict mode the check waits for its time-out, as HAProxy does", () => {
  for (const strict of [false, true]) {
    const run = new TcpCheck(rules(...ARTICLE), strict, 0);
    run.start(0);
    run.connected(0);
    run.sent(0);
    run.data("+PONG\r\n", 0);
    run.sent(0);
    const half = bulk("# Replication\r\nrole:slave\r\n");
    expect(run.data(half.slice(0, 20), 1).kind).toBe("wait");
    const whole = run.data(half.slice(20), 1);
    if (strict) {
      expect(whole.kind).toBe("wait");
      expect(done(run.timedOut(1000))).toBe("L7TOUT  at step 5 of tcp-check (expect string 'role:master')");
    } else expect(done(whole)).toBe("L7RSP TCPCHK did not match content 'role:master' at step 5");
  }
});

test("min-recv, negation, comments, statuses of one's own", () => {
  const one = (rule: string, strict: boolean, ...chunks: string[]): string => {
    const run = new TcpCheck(rules("tcp-check connect", rule), strict, 0);
    run.start(0);
    let last = run.connected(0);
    for (const c of chunks) last = run.data(c, 0);
    return done(last);
  };
  expect(one("tcp-check expect min-recv 3 string b", true, "aa")).toBe("wait");
  expect(one("tcp-check expect min-recv 3 string b", true, "aa", "a")).toBe("L7RSP TCPCHK did not match content 'b' at step 2");
  expect(one("tcp-check expect ! string role:slave", true, "role:master\r\n")).toBe("wait");
  expect(one("tcp-check expect ! string role:slave", false, bulk("role:master\r\n"))).toBe("L7OK (tcp-check)");
  expect(one("tcp-check expect !string role:slave", true, "role:slave\r\n")).toBe(
    "L7RSP TCPCHK matched unwanted content 'role:slave' at step 2",
  );
  expect(one("tcp-check expect rstring ^a+$", true, "aaa")).toBe("L7OK (tcp-check)");
  expect(one("tcp-check expect binary 0d0a", true, "x\r\n")).toBe("L7OK (tcp-check)");
  expect(one("tcp-check expect rbinary 0D0A$", true, "x\r\n")).toBe("L7OK (tcp-check)");
  expect(one("tcp-check expect error-status L7STS comment why min-recv 0 string b", true, "a")).toBe(
    "L7STS TCPCHK did not match content 'b' at step 2 comment: why",
  );
  expect(one("tcp-check expect ok-status L4OK string a", true, "a")).toBe("L4OK (tcp-check)");
});

test("what ends a check early", () => {
  const begin = (...lines: string[]): TcpCheck => {
    const run = new TcpCheck(rules(...lines), true, 0);
    run.start(0);
    return run;
  };
  expect(done(begin(...ARTICLE).failed("Connection refused", 0))).toBe("L4CON Connection refused at step 1 of tcp-check (connect)");
  expect(done(begin(...ARTICLE).timedOut(9))).toBe("L4TOUT  at step 1 of tcp-check (connect)");
  const closed = begin(...ARTICLE);
  closed.connected(0);
  closed.sent(0);
  expect(done(closed.closed(0))).toBe("L7RSP TCPCHK got an empty response at step 3");
  expect(done(begin("tcp-check connect").connected(0))).toBe("L4OK ");
  // An implicit connect is step 0: the first written rule stays number 1.
  const implicit = begin("tcp-check expect string a");
  implicit.connected(0);
  expect(done(implicit.timedOut(0))).toBe("L7TOUT  at step 1 of tcp-check (expect string 'a')");
});

test("whole replies are told from parts at every byte", () => {
  const text = "+OK\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n$-1\r\n";
  const ends = [5, 14, 27];
  for (let i = 1; i <= text.length; i++) expect(wholeReplies(text.slice(0, i))).toBe(ends.includes(i));
  expect(wholeReplies("HTTP/1.1 200 OK\r\n")).toBe(false);
});

test("lines are worded as HAProxy's", () => {
  const r: CheckResult = { status: "L7OK", code: 0, info: "(tcp-check)", durationMs: 3 };
  const counts = { activeServers: 0, backupServers: 1, sessions: 2, requeued: 0, queued: 0 };
  expect(downLine("b/s", false, reasonText({ ...r, status: "L4CON", info: "x" }), counts)).toBe(
    'Server b/s is DOWN, reason: Layer4 connection problem, info: "x", check duration: 3ms. 0 active and 1 backup servers left. Running on backup. 2 sessions active, 0 requeued, 0 remaining in queue.',
  );
  expect(upLine("b/s", true, "", { ...counts, activeServers: 1 })).toBe(
    "Backup Server b/s is UP. 1 active and 1 backup servers online. 0 sessions requeued, 0 total in queue.",
  );
  expect(healthLine("b/s", false, r, "3/3 UP")).toBe(
    'Health check for server b/s succeeded, reason: Layer7 check passed, code: 0, info: "(tcp-check)", check duration: 3ms, status: 3/3 UP.',
  );
});

test("conditions: operators, ranges, networks, negation, or", () => {
  const config = readConfig([
    {
      name: "t",
      text: "backend b\nacl two nbsrv(b) ge 2\nacl lan src 10.0.0.0/8 192.168.0.0/16\nserver s 127.0.0.1:1\nuse-server s if two !lan || { srv_is_up(s) } lan\n",
    },
  ]).config.proxies[0]!;
  const rule = config.useServer[0]!.condition;
  const ask = (nbsrv: number, src: string, up: boolean): boolean =>
    isTrue(rule, (name) => (name === "nbsrv" ? nbsrv : name === "src" ? src : name === "srv_is_up" ? up : null));
  expect(ask(2, "1.2.3.4", false)).toBe(true);
  expect(ask(1, "1.2.3.4", true)).toBe(false);
  expect(ask(2, "10.2.3.4", false)).toBe(false);
  expect(ask(0, "192.168.3.4", true)).toBe(true);
  expect(inNetwork("fe80::1", "fe80::/10")).toBe(true);
  expect(inNetwork("127.0.0.1", "127.0.0.1/8")).toBe(true);
  expect(inNetwork("::1", "127.0.0.0/8")).toBe(false);
});

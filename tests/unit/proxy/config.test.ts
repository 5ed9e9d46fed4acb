/** The haproxy.cfg reader: words, defaults, the article's file as repaired and as printed. What HAProxy says of bad files is tests/diff. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { readConfig } from "../../../lib/config/haproxy_read.ts";
import { readTime } from "../../../lib/config/haproxy_units.ts";
import { splitWords } from "../../../lib/config/haproxy_words.ts";
import { nearestWord } from "../../../lib/config/haproxy_hint.ts";

const words = (line: string, env: Record<string, string> = {}): string[] => splitWords(line, (n) => env[n]).words;
const read = (text: string): ReturnType<typeof readConfig> => readConfig([{ name: "t.cfg", text }]);

test("words: quotes, escapes, comments, variables", () => {
  expect(words(" a\tb  c#d")).toEqual(["a", "b", "c"]);
  expect(words("send PING\\r\\n")).toEqual(["send", "PING\r\n"]);
  expect(words("info\\ replication\\r\\n")).toEqual(["info replication\r\n"]);
  expect(words("'a\\n$X' \"b\\n\" \\x41\\#")).toEqual(["a\\n$X", "b\n", "A#"]);
  expect(words('"AUTH ${AUTH}"\\r\\n', { AUTH: "pw d" })).toEqual(["AUTH pw d\r\n"]);
  expect(words('"$A" $A "${B-x y}" "\\$A" "${L[*]}"', { A: "1", L: "p q" })).toEqual(["1", "$A", "x y", "$A", "p", "q"]);
  expect(words('""')).toEqual([""]);
  expect(words("a\\q b\r")).toEqual(["a\\q", "b"]);
  expect(splitWords("a 'b", () => undefined)).toMatchObject({ error: "unmatched quote", at: 2 });
});

test("any line is split or refused, never a crash, and no word is lost", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 80 }), (line) => {
      const w = splitWords(line, () => "x");
      return w.error !== "" || w.words.every((s) => typeof s === "string");
    }),
  );
});
test("any text is read to its end without a crash", () => {
  const piece = fc.constantFrom("global", "defaults", "backend b", "frontend f", "listen l", "server s 1:2 check", "bind :1", "mode tcp", "tcp-check expect string", "option tcp-check", "timeout connect", "no", ".if", ".endif", "\"", "use_backend x if {", "log", "\\x4", "acl a src"); // prettier-ignore
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 20 })), { maxLength: 30 }), fc.boolean(), (parts, lines) => {
      const r = read(`${parts.join(lines ? "\n" : " ")}\n`);
      return r.alerts >= 0;
    }),
  );
});

test("times", () => {
  expect(readTime("6s")).toEqual({ ms: 6000, error: "" });
  expect(readTime("100")).toEqual({ ms: 100, error: "" });
  expect(readTime("1500us")).toEqual({ ms: 2, error: "" });
  expect(readTime("25d").error).toBe("overflow");
  expect(readTime("3.5s")).toMatchObject({ error: "unexpected", character: "." });
});

test("the article's file, repaired, gives what it means", () => {
  const text = `defaults REDIS
mode tcp
timeout connect 3s
timeout server 6s
timeout client 6s
frontend ft_redis
bind *:6378 name redis
default_backend bk_redis
backend bk_redis
option tcp-check
tcp-check connect
tcp-check send PING\\r\\n
tcp-check expect string +PONG
tcp-check send info\\ replication\\r\\n
tcp-check expect string role:master
tcp-check send QUIT\\r\\n
tcp-check expect string +OK
server redis_6379 localhost:6379 check inter 1s
server redis_6380 localhost:6380 check inter 1s
`;
  const { config, findings } = read(text);
  expect(findings).toEqual([]);
  const [front, back] = config.proxies;
  expect(front!.binds).toMatchObject([{ host: "", port: 6378, name: "redis" }]);
  expect(front!.timeouts.client).toBe(6000);
  expect(back!.timeouts).toMatchObject({ connect: 3000, server: 6000, check: null });
  expect(back!.servers.map((s) => [s.name, s.host, s.port, s.check, s.interMs, s.rise, s.fall])).toEqual([
    ["redis_6379", "localhost", 6379, true, 1000, 2, 3],
    ["redis_6380", "localhost", 6380, true, 1000, 2, 3],
  ]);
  expect(back!.tcpCheck.map((r) => (r.kind === "send" ? r.data : r.kind === "expect" ? r.text : r.kind))).toEqual([
    "connect",
    "PING\r\n",
    "+PONG",
    "info replication\r\n",
    "role:master",
    "QUIT\r\n",
    "+OK",
  ]);
  // As it was printed: non-breaking spaces. The message says which column, besides HAProxy's own words.
  const printed = read(text.replaceAll(" ", "\xc2\xa0"));
  expect(printed.alerts).toBeGreaterThan(10);
  expect(printed.findings[0]!.text).toContain("non-breaking space (U+00A0) at column 9");
});

test("defaults: the latest section counts, or the one that `from` names; server options add up", () => {
  const { config, alerts } = read(`defaults a
 timeout connect 1s
 retries 7
defaults b from a
 timeout connect 2s
backend x from a
backend y from b
 default-server inter 5s rise 9
 server s 1.2.3.4:1 check fall 4
 default-server inter 6s
 server t 1.2.3.4:1 check
`);
  expect(alerts).toBe(0);
  const [x, y] = config.proxies;
  expect([x!.timeouts.connect, x!.retries]).toEqual([1000, 7]);
  expect([y!.timeouts.connect, y!.retries]).toEqual([2000, 7]);
  expect(y!.servers.map((s) => [s.interMs, s.rise, s.fall])).toEqual([
    [5000, 9, 4],
    [6000, 9, 3],
  ]);
});

test("bind lists and ranges, server templates, conditions", () => {
  const { config, alerts } = read(`listen l
 bind 127.0.0.1:1000-1002,:2000 name n maxconn 5
 bind /tmp/x.sock mode 600
 server-template r 2-3 10.0.0.1:6379 check
.if streq(a,b)
 nonsense
.elif defined(PATH)
 balance first
.else
 nonsense
.endif
`);
  expect(alerts).toBe(0);
  const l = config.proxies[0]!;
  expect(l.binds.map((b) => b.path || `${b.host}:${b.port}`)).toEqual(["127.0.0.1:1000", "127.0.0.1:1001", "127.0.0.1:1002", ":2000", "/tmp/x.sock"]); // prettier-ignore
  expect(l.binds[4]!.mode).toBe(0o600);
  expect(l.servers.map((s) => s.name)).toEqual(["r2", "r3"]);
  expect(l.balance).toBe("first");
});

test("slips find the word that was meant", () => {
  const known = ["server", "timeout", "tcp-check", "option", "default_backend", "balance", "maxconn", "mode"];
  for (const [slip, meant] of [
    ["servr", "server"],
    ["timout", "timeout"],
    ["tcp-chek", "tcp-check"],
    ["optoin", "option"],
    ["default-backend", "default_backend"],
    ["balence", "balance"],
    ["foobar", ""],
  ] as const)
    // prettier-ignore
    expect(nearestWord(slip, known)).toBe(meant);
});

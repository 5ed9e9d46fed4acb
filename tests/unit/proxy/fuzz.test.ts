/**
 * Words thrown at what reads words: every directive of haproxy.cfg with arguments of all kinds, every command of the admin socket on a running
 * proxy, server state files, the answers of HTTP checks. Whatever comes, there is a finding or a reply, never a crash. FUZZ=10 runs ten times
 * as many.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { BIND_ROWS } from "../../../lib/config/haproxy_bind.ts";
import { GLOBAL_ROWS } from "../../../lib/config/haproxy_global.ts";
import { OPTION_ROWS, PROXY_ROWS } from "../../../lib/config/haproxy_proxy.ts";
import { readConfig } from "../../../lib/config/haproxy_read.ts";
import { SERVER_ROWS } from "../../../lib/config/haproxy_server.ts";
import { createDiagnostics } from "../../../lib/log/haproxy_line.ts";

import { COMMANDS, run } from "../../../lib/proxy/admin/table.ts";
import { judgeResponse } from "../../../lib/proxy/core/http_check.ts";
import { startProxy, type RunningProxy } from "../../../lib/proxy/main.ts";
import { serverLines, STATE_HEADER } from "../../../lib/proxy/server_state.ts";
import { loadServerStates } from "../../../lib/proxy/server_state_file.ts";
import { admin } from "../../support/admin.ts";
import { tempDir } from "../../support/programs.ts";

const times = Number(process.env["FUZZ"] ?? 1);
const latin1 = fc.uint8Array({ maxLength: 12 }).map((b) =>
  Buffer.from(b)
    .toString("latin1")
    .replace(/[\n\r\0]/g, "?"),
);
/** Nothing here names another machine or a file of this one. */
const argument = fc.oneof(
  fc.constantFrom(
    "", "0", "1", "-1", "256", "257", "65535", "65536", "4294967296", "99999999999999999999", "1s", "5x", "1d2", "10k", "50%", "300%", "+1", "*",
    "on", "off", "if", "unless", "{", "}", "||", "!", "src", "nbsrv(b)", "nbsrv(", "{ src 127.0.0.1 }", "127.0.0.1", "127.0.0.1:1", "::1", "[::1]:7",
    ":7", "*:7", "fd@99", "abns@x", "ipv4@127.0.0.1:8", "b", "b/s1", "b/nope", "f", "all", "typed", "json", "ready", "drain", "maint", "up", "down",
    "stopping", "name", "comment", "string", "rstring", "(", "[", "^a", "status", "200", "200-", "hdr", "expect", "connect", "send", "reject", "accept",
    "content", "connection", "session", "expect-proxy", "layer4", "check", "inter", "ssl", "weight", "\"", "'", "\\", "\\x4", "\\x41", "$X", "${X",
    "%[src]", "%{+Q}b", "-i", "-m", "-n", "-w", "#1", "0x1", "nosuch",
  ),
  latin1,
); // prettier-ignore
const directive = fc.constantFrom(...[
  ...Object.keys(GLOBAL_ROWS), ...Object.keys(PROXY_ROWS), ...Object.keys(OPTION_ROWS).map((o) => `option ${o}`), "server s 127.0.0.1:1", "bind :1",
  ...Object.keys(SERVER_ROWS).map((o) => `server s 127.0.0.1:1 ${o}`), ...Object.keys(BIND_ROWS).map((o) => `bind 127.0.0.1:1 ${o}`),
  "tcp-check expect", "tcp-check connect", "tcp-check send", "http-check send", "http-check expect", "tcp-request content", "tcp-request connection",
  "acl a", "no option", "default-server", "nameserver", "hold", "size", "maxlen", "format", "user", "stats socket", "log 127.0.0.1",
].filter((d) => !/\bcrt\b|ca-file|crt-list|crl-file|\.alert/.test(d))); // prettier-ignore
const head = fc.constantFrom("global", "defaults", "defaults d", "frontend f", "backend b", "listen l", "resolvers r", "ring r", "userlist u", "peers p", "mailers m"); // prettier-ignore

test("every directive with any arguments, in any section", () => {
  const line = fc.tuple(directive, fc.array(argument, { maxLength: 6 })).map(([d, a]) => ` ${d} ${a.join(" ")}`);
  const section = fc.tuple(head, fc.array(line, { maxLength: 6 })).map(([h, l]) => `${h}\n${l.join("\n")}\n`);
  fc.assert(
    fc.property(fc.array(section, { minLength: 1, maxLength: 4 }), (sections) => {
      const r = readConfig([{ name: "t.cfg", text: sections.join("") }]);
      return r.findings.every((f) => f.text.length > 0) && r.findings.filter((f) => f.level === "alert").length >= Math.min(1, r.alerts);
    }),
    { numRuns: 600 * times },
  );
});

test("what an HTTP check makes of any answer, at every cut, ends with its last byte", () => {
  const piece = fc.oneof(fc.constantFrom("HTTP/1.1 200 OK\r\n", "HTTP/1.0 404", " Not Found\r\n", "Content-Length: 5\r\n", "content-length: x\r\n", "Transfer-Encoding: chunked\r\n", "\r\n", "\n", "0\r\n\r\n", "hello"), latin1); // prettier-ignore
  const rules = ["status 200", "string hello", "rstring ^h", "hdr name x-a value b", "! string hello", "! rstatus ^4"].flatMap((e) =>
    readConfig([{ name: "t", text: `backend b\n option httpchk\n http-check expect ${e}\n` }]).config.proxies[0]!.httpCheck.steps.filter((s) => s.kind === "http")); // prettier-ignore
  expect(rules.length).toBe(6);
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const text = pieces.join("");
      for (const rule of rules) {
        for (let i = 0; i < text.length; i += 3) judgeResponse(rule, text.slice(0, i), false);
        if (judgeResponse(rule, text, true) === null) return false;
      }
      return true;
    }),
    { numRuns: 200 * times },
  );
});

const dir = tempDir("fuzz.");
const sock = join(dir, "s.sock");
const CONFIG = `global
 strict-haproxy on
 stats socket ${sock} mode 600 level admin
 server-state-file ${dir}/state
defaults
 mode tcp
 timeout connect 1s
 timeout client 1s
 timeout server 1s
 load-server-state-from-file global
resolvers r
 nameserver n 127.0.0.1:9
ring r
frontend f
 bind 127.0.0.1:${20000 + Math.floor(Math.random() * 10000)}
 log ring@r local0
 default_backend b
backend b
 server s1 127.0.0.1:1 check inter 60s slowstart 1s
 server s2 127.0.0.1:1 track b/s1 backup
 server s3 127.0.0.1:1 weight 10 maxconn 1 agent-check agent-port 1 agent-inter 60s
 server s4 127.0.0.1:1 disabled
`;
let proxy: RunningProxy;
const said: string[] = [];
beforeAll(() => {
  writeFileSync(join(dir, "state"), "1\n");
  const r = readConfig([{ name: "t.cfg", text: CONFIG }]);
  expect(r.alerts).toBe(0);
  const started = startProxy(r.config, createDiagnostics(1, [], (line) => void said.push(line))); // prettier-ignore
  if (started === null) throw new Error(said.join(""));
  proxy = started;
});
afterAll(() => proxy.stop());

test("every command of the admin socket with any words", () => {
  // Ends listeners for ever, or starts programs.
  const names = COMMANDS.map((c) => c.words).filter((w) => !/^(shutdown frontend|set redis failover)$/.test(w));
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.array(argument, { maxLength: 5 }), fc.constantFrom(0, 1, 2), (name, more, level) => {
      const args = [...name.split(" "), ...more.filter((w) => w !== "")];
      const reply = run({ engine: proxy.engine, args, level: level as 0, payload: "", setTimeout() {}, follow() {} });
      return typeof reply === "string" && !reply.includes("undefined");
    }),
    { numRuns: 1500 * times },
  );
});

test("any bytes on the admin socket", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(fc.constantFrom("show", "set", ";", "\n", "<<", "prompt", "\\", " ", "quit", "@1", "operator"), latin1), { maxLength: 20 }), async (parts) => {
      await new Promise<void>((resolve) => {
        const s = connect(sock);
        s.on("error", () => {});
        s.on("data", () => {});
        s.on("close", () => resolve());
        s.end(Buffer.from(`${parts.join("")}\n`, "latin1"));
      });
    }),
    { numRuns: 60 * times },
  ); // prettier-ignore
  expect(await admin(sock, "show backend")).toBe("# name\nb\n\n");
});

test("any server state file", () => {
  const good = [...proxy.engine.backends.values()].flatMap((b) => serverLines(b)).map((l) => l.trim());
  const word = fc.oneof(
    fc.constantFrom("b", "s1", "s3", "-", "0", "1", "2", "3", "4", "8", "9999999999999999999", "-1", "127.0.0.1", "x"),
    latin1,
  );
  const broken = fc.tuple(fc.constantFrom(...good), fc.nat(24), word).map(([l, at, w]) => l.split(" ").map((x, i) => (i === at ? w : x)).join(" ")); // prettier-ignore
  const line = fc.oneof({ weight: 4, arbitrary: broken }, fc.array(word, { maxLength: 27 }).map((w) => w.join(" ")), fc.constantFrom(STATE_HEADER, "", "1")); // prettier-ignore
  fc.assert(
    fc.property(fc.array(line, { maxLength: 6 }), fc.constantFrom("1\n", "2\n", ""), fc.constantFrom("\n", ""), (lines, version, end) => {
      writeFileSync(join(dir, "state"), version + lines.join("\n") + end, "latin1");
      loadServerStates(proxy.engine);
      return [...proxy.engine.backends.values()].every((b) => b.servers.every((s) => s.weight >= 0 && s.port >= 0 && s.port <= 65535));
    }),
    { numRuns: 200 * times },
  );
});

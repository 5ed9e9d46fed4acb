/** What comes from outside and is read as text: HTTP requests, admin lines, agents' words, servers' answers to checks. Any bytes, never a crash. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { splitLine } from "../../../lib/proxy/admin/line.ts";
import { readAgentReply } from "../../../lib/proxy/core/agent_reply.ts";
import { TcpCheck, wholeReplies } from "../../../lib/proxy/core/tcp_check.ts";
import { readRequest } from "../../../lib/proxy/http/request.ts";
import { readConfig } from "../../../lib/config/haproxy_read.ts";

const bytes = fc.uint8Array({ maxLength: 400 }).map((b) => Buffer.from(b).toString("latin1"));
const runs = Number(process.env["FUZZ"] ?? 1) * 300;

test("HTTP: a request at every cut, two in a row, what is none", () => {
  const text = "POST /stats?x=1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 7\r\n\r\ns=a&b=c";
  for (let i = 1; i < text.length; i++) expect(readRequest(text.slice(0, i))).toBe("more");
  const r = readRequest(`${text}GET / HTTP/1.0\r\n\r\n`);
  if (typeof r !== "object") throw new Error(`read as ${r}`);
  expect([r.method, r.target, r.body, r.keepAlive, r.length]).toEqual(["POST", "/stats?x=1", "s=a&b=c", true, text.length]);
  const second = readRequest("GET / HTTP/1.0\r\n\r\n");
  expect(typeof second === "object" && !second.keepAlive).toBe(true);
  for (const bad of ["*1\r\n$4\r\nPING\r\n", "get / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\nnocolon\r\n\r\n"])
    expect(readRequest(bad)).toBe(400);
  expect(readRequest("GET / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n")).toBe(413);
  expect(readRequest("GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")).toBe(501);
});

test("admin lines: words, escapes, several commands, payloads", () => {
  expect(splitLine("show stat")).toEqual({ commands: [["show", "stat"]], payload: false });
  expect(splitLine("  a\\ b c\\;d;; e \r")).toEqual({ commands: [["a b", "c;d"], ["e"]], payload: false });
  expect(splitLine("set ssl cert x <<")).toEqual({ commands: [["set", "ssl", "cert", "x"]], payload: true });
});

test("agents' words", () => {
  expect(readAgentReply("up 75% maxconn:30 # fine")).toEqual({
    health: "up",
    admin: null,
    weightPercent: 75,
    maxconn: 30,
    description: "fine",
    word: "up",
    error: "",
  });
  expect(readAgentReply("Ready,DOWN")).toMatchObject({ health: "down", admin: "ready", word: "DOWN", error: "" });
  expect(readAgentReply("50% what ever").error).toBe("what");
});

test("any bytes are read to their end", () => {
  fc.assert(
    fc.property(bytes, (text) => {
      readRequest(text);
      readRequest(`GET / HTTP/1.1\r\n${text}\r\n\r\n`);
      const { commands } = splitLine(text);
      expect(commands.every((c) => c.length > 0)).toBe(true);
      readAgentReply(text);
      wholeReplies(text);
    }),
    { numRuns: runs },
  );
});

test("a check takes any answer in any pieces and comes to an end", () => {
  const config = `backend b\n option tcp-check\n tcp-check send PING\n tcp-check expect string +PONG\n tcp-check send x\n tcp-check expect rstring role:(master|slave)\n tcp-check expect binary 0d0a\n`;
  const { config: read } = readConfig([{ name: "x", text: config }]);
  const rules = read.proxies[0]!.tcpCheck;
  fc.assert(
    fc.property(fc.array(fc.oneof(bytes, fc.constantFrom("+PONG\r\n", "$20\r\nrole:master\r\nx:abcde\r\n", "-ERR\r\n", "*3\r\n"))), fc.boolean(), (pieces, strict) => {
      const check = new TcpCheck(rules, strict, 0);
      let action = check.start(0);
      let steps = 0;
      const settle = (): void => {
        while (action.kind === "connect" || action.kind === "send") {
          action = action.kind === "connect" ? check.connected(1) : check.sent(1);
          if (++steps > 100) throw new Error("no end");
        }
      };
      settle();
      for (const p of pieces) {
        if (action.kind === "done") break;
        action = check.data(p, 2);
        settle();
      }
      if (action.kind !== "done") action = check.closed(3);
      settle();
      expect(action.kind).toBe("done");
    }),
    { numRuns: runs },
  ); // prettier-ignore
});

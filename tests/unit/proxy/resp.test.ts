/**
 * The RESP path without sockets: scanners at every cut and against random bytes, and what happens to requests in flight when the server is
 * exchanged: one test a row of the notes' table 3.2.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { rowTable } from "../../../lib/commands/table/index.ts";
import { ReplyScanner } from "../../../lib/proxy/core/reply_scan.ts";
import { argumentsOf, encodeRequest, RequestScanner } from "../../../lib/proxy/core/request_scan.ts";
import { SAFE, UNSAFE } from "../../../lib/proxy/core/request_class.ts";
import { RespPath, type RespHost } from "../../../lib/proxy/resp_path.ts";
import { looksLikeResp } from "../../../lib/proxy/resp_words.ts";

const b = (s: string): Buffer => Buffer.from(s, "latin1");
const cmd = (...words: string[]): string => encodeRequest(words).toString("latin1");

/** Ends of all items, fed in the given pieces; with the names of commands for requests. */
function ends(scanner: { next(b: Uint8Array, at: number): number }, pieces: Buffer[], each?: () => string): (number | string)[] {
  const out: (number | string)[] = [];
  let base = 0;
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      const end = scanner.next(piece, at);
      if (end < 0) {
        if (end === -2) out.push("broken");
        break;
      }
      out.push(each === undefined ? base + end : each());
      at = end;
    }
    base += piece.length;
  }
  return out;
}

test("requests: ends and names are found wherever the bytes are cut", () => {
  const stream = b(
    `${cmd("SET", "k", "v\r\n*1\r\n")}ping\r\n\r\n*0\r\n${cmd("client", "list")}*-1\r\nget  "a b"\n${cmd("x".repeat(70))}${cmd("INFO", "")}`,
  );
  const names = (s: RequestScanner) => () => `${s.row?.name ?? "?"}/${s.argc}`;
  const whole = new RequestScanner(rowTable("server"));
  const want = ends(whole, [stream], names(whole));
  expect(want).toEqual(["set/3", "ping/1", "?/0", "?/0", "client/2", "?/0", "get/1", "?/1", "info/2"]);
  for (let cut = 0; cut <= stream.length; cut++) {
    const s = new RequestScanner(rowTable("server"));
    expect(ends(s, [stream.subarray(0, cut), stream.subarray(cut)], names(s))).toEqual(want);
  }
  const bytewise = new RequestScanner(rowTable("server"));
  expect(
    ends(
      bytewise,
      Array.from(stream, (c) => Buffer.from([c])),
      names(bytewise),
    ),
  ).toEqual(want);
});

test("replies: ends are found wherever the bytes are cut, nested and RESP3 ones too", () => {
  const items = ["+OK\r\n", "-ERR x\r\n", ":1\r\n", "$3\r\na\r\n\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "*2\r\n*1\r\n$0\r\n\r\n:2\r\n", "%1\r\n+a\r\n*1\r\n#t\r\n", "~1\r\n,1.5\r\n", ">2\r\n+message\r\n$1\r\nx\r\n", "|1\r\n+ttl\r\n:3\r\n+OK\r\n", "_\r\n", "=7\r\ntxt:abc\r\n", "(123\r\n"]; // prettier-ignore
  const stream = b(items.join(""));
  let at = 0;
  const want = items.map((i) => (at += i.length));
  for (let cut = 0; cut <= stream.length; cut++)
    expect(ends(new ReplyScanner(), [stream.subarray(0, cut), stream.subarray(cut)])).toEqual(want);
  expect(
    ends(
      new ReplyScanner(),
      Array.from(stream, (c) => Buffer.from([c])),
    ),
  ).toEqual(want);
  expect(ends(new ReplyScanner(), [b("HTTP/1.1 200\r\n")])).toEqual(["broken"]);
});

test("random bytes neither crash nor hold a scanner", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (pieces) => {
      const buffers = pieces.map((p) => Buffer.from(p));
      ends(new ReplyScanner(), buffers);
      ends(new RequestScanner(rowTable("server")), buffers);
    }),
  );
});

test("any requests, cut anywhere, come out as they went in", () => {
  const word = fc.uint8Array({ maxLength: 20 }).map((a) => Buffer.from(a).toString("latin1"));
  const request = fc.array(word, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(request, { maxLength: 6 }), fc.array(fc.nat(200), { maxLength: 5 }), (all, cuts) => {
      const encoded = all.map((words) => encodeRequest(words));
      const stream = Buffer.concat(encoded);
      const points = [...new Set([0, ...cuts.filter((c) => c < stream.length), stream.length])].sort((x, y) => x - y);
      const pieces = points.slice(1).map((p, i) => stream.subarray(points[i], p));
      let at = 0;
      expect(ends(new RequestScanner(rowTable("server")), pieces)).toEqual(encoded.map((e) => (at += e.length)));
      all.forEach((words, i) => expect(argumentsOf(encoded[i]!)).toEqual(words));
    }),
    { numRuns: 50 },
  );
});

test("only RESP is taken for RESP", () => {
  for (const yes of ["*1\r\n", "*", "PING\r\n", "info replication\r\n", "quit"]) expect(looksLikeResp(b(yes))).toBe(true);
  for (const no of ["GET / HTTP/1.1\r\n", "\x16\x03\x01", "HELO x\r\n", "", "*x"]) expect(looksLikeResp(b(no))).toBe(false);
});

// ---- the switch

class Host implements RespHost {
  up: string;
  down: string;
  pending: number;
  losses: string[];
  ended: string;
  paused: boolean;
  readonly replay: RespHost["replay"];
  readonly client: { pause(): void };
  classOf(command: string): number {
    return command === "MODULE.GET" ? SAFE : UNSAFE;
  }
  constructor(replay: RespHost["replay"] = "readonly") {
    this.up = "";
    this.down = "";
    this.pending = 0;
    this.losses = [];
    this.ended = "";
    this.paused = false;
    this.replay = replay;
    this.client = { pause: () => void (this.paused = true) };
  }
  get isOver(): boolean {
    return this.ended !== "";
  }
  sendUp(bytes: Buffer): void {
    this.up += bytes.toString("latin1");
  }
  sendDown(bytes: Buffer): void {
    this.down += bytes.toString("latin1");
  }
  pendingUp(): number {
    return this.pending;
  }
  lost(why: "gone" | "suspect", nothingDone: boolean, first: boolean): void {
    this.losses.push(why);
    if (!path(this).detach(nothingDone, first)) this.end("SD");
  }
  end(flags: string): void {
    this.ended = flags;
  }
  /** What has been sent to the server since the last look; what the client got. */
  sent(): string {
    const s = this.up;
    this.up = "";
    return s;
  }
  got(): string {
    const s = this.down;
    this.down = "";
    return s;
  }
}
const paths = new WeakMap<Host, RespPath>();
const path = (h: Host): RespPath => paths.get(h)!;
function start(replay?: RespHost["replay"]): [Host, RespPath] {
  const h = new Host(replay);
  const p = new RespPath(h);
  paths.set(h, p);
  p.setOpen(true);
  return [h, p];
}
const UNKNOWN = "-UNKNOWNRESULT may or may not have been executed (failover)\r\n";
const UNAVAILABLE = "-UNAVAILABLE no master is confirmed, the command was not executed\r\n";

test("in ordinary life bytes pass unchanged, whole requests and replies at a time", () => {
  const [h, p] = start();
  const stream = cmd("SET", "a", "1") + cmd("GET", "a");
  p.fromClient(b(stream.slice(0, 40)));
  expect(h.sent()).toBe(cmd("SET", "a", "1"));
  p.fromClient(b(stream.slice(40)));
  expect(h.sent()).toBe(cmd("GET", "a"));
  p.fromServer(b("+OK\r\n$1"));
  expect(h.got()).toBe("+OK\r\n");
  p.fromServer(b("\r\n1\r\n"));
  expect(h.got()).toBe("$1\r\n1\r\n");
  expect(p.isIdle).toBe(true);
});

test("big values stream both ways", () => {
  const [h, p] = start();
  const value = "x".repeat(200_000);
  const set = cmd("SET", "a", value);
  p.fromClient(b(set.slice(0, 100_000)));
  expect(h.up.length).toBe(100_000);
  p.fromClient(b(set.slice(100_000)));
  expect(h.sent()).toBe(set);
  p.fromServer(b("+OK\r\n"));
  const reply = `$${value.length}\r\n${value}\r\n`;
  p.fromClient(b(cmd("GET", "a")));
  h.got();
  p.fromServer(b(reply.slice(0, 100_000)));
  expect(h.down.length).toBe(100_000);
  expect(p.detach(false, false)).toBe(false); // half a reply cannot be repaired
  p.fromServer(b(reply.slice(100_000)));
  expect(h.got()).toBe(reply);
});

test("reads in flight are asked again, writes get -UNKNOWNRESULT in their place, what was never sent is sent", () => {
  const [h, p] = start();
  p.fromClient(b(cmd("GET", "a") + cmd("INCR", "n") + cmd("GET", "b")));
  h.sent();
  p.setOpen(false);
  p.fromClient(b(cmd("INCR", "m")));
  expect(h.sent()).toBe("");
  expect(p.detach(false, false)).toBe(true);
  p.connected();
  expect(h.sent()).toBe(cmd("GET", "a") + cmd("GET", "b") + cmd("INCR", "m"));
  expect(h.got()).toBe("");
  p.fromServer(b("$1\r\nA\r\n$1\r\nB\r\n:7\r\n"));
  expect(h.got()).toBe(`$1\r\nA\r\n${UNKNOWN}$1\r\nB\r\n:7\r\n`);
});

test("a command that the table does not have is what the host says of it", () => {
  const [h, p] = start();
  p.fromClient(b(cmd("MODULE.GET", "a") + cmd("MODULE.SET", "a")));
  h.sent();
  p.detach(false, false);
  p.connected();
  expect(h.sent()).toBe(cmd("MODULE.GET", "a"));
  p.fromServer(b(":1\r\n"));
  expect(h.got()).toBe(`:1\r\n${UNKNOWN}`);
});

test("a transaction that a replica refuses to execute is told again", () => {
  const [h, p] = start();
  const transaction = cmd("MULTI") + cmd("INCR", "a") + cmd("EXEC");
  p.fromClient(b(transaction));
  h.sent();
  p.fromServer(
    b("+OK\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.\r\n"),
  );
  expect(h.got()).toBe("+OK\r\n+QUEUED\r\n");
  expect(h.losses).toHaveLength(1);
  p.connected();
  expect(h.sent()).toBe(transaction);
  p.fromServer(b("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n"));
  expect(h.got()).toBe("*1\r\n:1\r\n");
});

test("owing: a whole request that was sent has no reply", () => {
  const [h, p] = start();
  expect(p.owes).toBe(false);
  p.fromClient(b(cmd("INCR", "a")));
  expect(p.owes).toBe(true);
  h.pending = 1;
  expect(p.owes).toBe(false);
  h.pending = 0;
  p.fromServer(b(":1\r\n"));
  expect(p.owes).toBe(false);
});

test("a write whose last byte had not left was not executed: it is sent again", () => {
  const [h, p] = start();
  p.fromClient(b(cmd("INCR", "n") + cmd("INCR", "m")));
  h.sent();
  h.pending = 1;
  p.detach(false, false);
  h.pending = 0;
  p.connected();
  expect(h.sent()).toBe(cmd("INCR", "m"));
  expect(h.got()).toBe(UNKNOWN);
  p.fromServer(b(":1\r\n"));
  expect(h.got()).toBe(":1\r\n");
});

test("redis-replay idempotent repeats absolute writes, none repeats nothing", () => {
  for (const [replay, up] of [
    ["idempotent", cmd("DEL", "a") + cmd("GET", "a")],
    ["readonly", cmd("GET", "a")],
    ["none", ""],
  ] as const) {
    // prettier-ignore
    const [h, p] = start(replay);
    p.fromClient(b(cmd("DEL", "a") + cmd("INCR", "n") + cmd("GET", "a")));
    h.sent();
    p.detach(false, false);
    p.connected();
    expect(h.sent()).toBe(up);
  }
});

test("the connection's state is restored before anything else, and its replies are not the client's", () => {
  const [h, p] = start();
  const run = (request: string, reply: string): void => {
    p.fromClient(b(request));
    p.fromServer(b(reply));
  };
  run(cmd("AUTH", "u", "pw"), "+OK\r\n");
  run(cmd("AUTH", "u", "wrong"), "-WRONGPASS no\r\n");
  run(cmd("CLIENT", "SETNAME", "me"), "+OK\r\n");
  run(cmd("SELECT", "3"), "+OK\r\n");
  run(cmd("SELECT", "99"), "-ERR DB index is out of range\r\n");
  p.fromClient(b(cmd("GET", "x")));
  h.sent();
  h.got();
  p.detach(false, false);
  p.connected();
  expect(h.sent()).toBe(cmd("AUTH", "u", "pw") + cmd("CLIENT", "SETNAME", "me") + cmd("SELECT", "3") + cmd("GET", "x"));
  p.fromServer(b("+OK\r\n+OK\r\n+OK\r\n$-1\r\n"));
  expect(h.got()).toBe("$-1\r\n");
  // RESP3: one HELLO carries it all; a refused password is the client's to know.
  run(cmd("HELLO", "3", "AUTH", "u", "pw3", "SETNAME", "you"), "%1\r\n+proto\r\n:3\r\n");
  h.sent();
  h.got();
  p.detach(false, false);
  p.connected();
  expect(h.sent()).toBe(cmd("HELLO", "3", "AUTH", "u", "pw3") + cmd("CLIENT", "SETNAME", "you") + cmd("SELECT", "3"));
  p.fromServer(b("-WRONGPASS invalid\r\n"));
  expect(h.got()).toBe("-WRONGPASS invalid\r\n");
  expect(h.ended).toBe("SD");
});

test("subscriptions come back, their confirmations are swallowed, messages pass (RESP2 and RESP3)", () => {
  for (const mark of ["*", ">"]) {
    const [h, p] = start();
    if (mark === ">") {
      p.fromClient(b(cmd("HELLO", "3")));
      p.fromServer(b("%0\r\n"));
    }
    const confirm = (kind: string, channel: string, n: number): string =>
      `${mark}3\r\n$${kind.length}\r\n${kind}\r\n$${channel.length}\r\n${channel}\r\n:${n}\r\n`;
    const message = `${mark}3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n`;
    p.fromClient(b(cmd("SUBSCRIBE", "a", "b") + cmd("PSUBSCRIBE", "p*")));
    h.sent();
    h.got();
    const first = confirm("subscribe", "a", 1) + message + confirm("subscribe", "b", 2) + confirm("psubscribe", "p*", 3);
    p.fromServer(b(first));
    expect(h.got()).toBe(first);
    expect(p.isIdle).toBe(true);
    p.fromClient(b(cmd("UNSUBSCRIBE", "b")));
    p.fromServer(b(confirm("unsubscribe", "b", 2)));
    h.sent();
    h.got();
    p.detach(false, false);
    p.connected();
    expect(h.sent()).toBe((mark === ">" ? cmd("HELLO", "3") : "") + cmd("SUBSCRIBE", "a") + cmd("PSUBSCRIBE", "p*"));
    p.fromServer(b((mark === ">" ? "%0\r\n" : "") + confirm("subscribe", "a", 1) + confirm("psubscribe", "p*", 2) + message));
    expect(h.got()).toBe(message);
    p.fromClient(b(cmd("UNSUBSCRIBE") + cmd("PING")));
    p.fromServer(b(confirm("unsubscribe", "a", 1)));
    p.fromServer(b(mark === "*" ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n"));
    expect(p.isIdle).toBe(true);
  }
});

test("an open transaction is told again; one whose EXEC is out is unknown as a whole; a watched one fails honestly", () => {
  // EXEC not sent
  let [h, p] = start();
  p.fromClient(b(cmd("MULTI") + cmd("INCR", "n")));
  p.fromServer(b("+OK\r\n+QUEUED\r\n"));
  h.sent();
  h.got();
  p.detach(false, false);
  p.connected();
  expect(h.sent()).toBe(cmd("MULTI") + cmd("INCR", "n"));
  p.fromServer(b("+OK\r\n+QUEUED\r\n"));
  expect(h.got()).toBe("");
  p.fromClient(b(cmd("EXEC")));
  p.fromServer(b("*1\r\n:1\r\n"));
  expect(h.got()).toBe("*1\r\n:1\r\n");
  expect(p.isIdle).toBe(true);
  // EXEC sent, no reply to anything
  [h, p] = start();
  p.fromClient(b(cmd("MULTI") + cmd("INCR", "n") + cmd("EXEC") + cmd("GET", "n")));
  h.sent();
  p.detach(false, false);
  p.connected();
  expect(h.sent()).toBe(cmd("GET", "n"));
  expect(h.got()).toBe(`+OK\r\n+QUEUED\r\n${UNKNOWN}`);
  p.fromServer(b("$1\r\n1\r\n"));
  expect(h.got()).toBe("$1\r\n1\r\n");
  // watched
  [h, p] = start();
  p.fromClient(b(cmd("WATCH", "k")));
  p.fromServer(b("+OK\r\n"));
  p.detach(false, false);
  p.connected();
  h.sent();
  h.got();
  p.fromClient(b(cmd("MULTI") + cmd("SET", "k", "1") + cmd("EXEC") + cmd("PING")));
  expect(h.sent()).toBe(cmd("MULTI") + cmd("SET", "k", "1") + cmd("DISCARD") + cmd("PING"));
  p.fromServer(b("+OK\r\n+QUEUED\r\n+OK\r\n+PONG\r\n"));
  expect(h.got()).toBe("+OK\r\n+QUEUED\r\n*-1\r\n+PONG\r\n");
  // watched, and the whole transaction was waiting when the server went
  p.fromClient(b(cmd("WATCH", "k")));
  p.fromServer(b("+OK\r\n"));
  h.got();
  h.sent();
  p.setOpen(false);
  p.fromClient(b(cmd("MULTI") + cmd("EXEC")));
  p.detach(false, false);
  p.connected();
  expect(h.sent()).toBe(cmd("MULTI") + cmd("DISCARD"));
  p.fromServer(b("+OK\r\n+OK\r\n"));
  expect(h.got()).toBe("+OK\r\n*-1\r\n");
});

test("a server that refuses as a replica has executed nothing: everything is sent again", () => {
  const [h, p] = start();
  p.fromClient(b(cmd("INCR", "n") + cmd("INCR", "m") + cmd("GET", "x")));
  h.sent();
  p.fromServer(b("-READONLY You can't write against a read only replica.\r\n"));
  expect(h.got()).toBe("");
  expect(h.losses).toEqual(["suspect"]);
  p.connected();
  expect(h.sent()).toBe(cmd("INCR", "n") + cmd("INCR", "m") + cmd("GET", "x"));
  p.fromServer(b(":1\r\n:1\r\n$-1\r\n"));
  expect(h.got()).toBe(":1\r\n:1\r\n$-1\r\n");
  // A loading server refused this one; what came after it may have been executed.
  p.fromClient(b(cmd("INCR", "n") + cmd("INCR", "m")));
  h.sent();
  p.fromServer(b("-LOADING Redis is loading the dataset in memory\r\n"));
  p.connected();
  expect(h.sent()).toBe(cmd("INCR", "n"));
  p.fromServer(b(":2\r\n"));
  expect(h.got()).toBe(`:2\r\n${UNKNOWN}`);
});

test("blocking pops are asked again, WAIT is 0, ordinary errors pass", () => {
  const [h, p] = start();
  p.fromClient(b(cmd("BLPOP", "l", "0") + cmd("WAIT", "1", "0") + cmd("BLMOVE", "a", "b", "LEFT", "LEFT", "0")));
  h.sent();
  p.detach(false, false);
  p.connected();
  expect(h.sent()).toBe(cmd("BLPOP", "l", "0"));
  p.fromServer(b("*2\r\n$1\r\nl\r\n$1\r\nx\r\n"));
  expect(h.got()).toBe(`*2\r\n$1\r\nl\r\n$1\r\nx\r\n:0\r\n${UNKNOWN}`);
  p.fromClient(b(cmd("LPUSH", "s", "1")));
  p.fromServer(b("-WRONGTYPE Operation against a key\r\n"));
  expect(h.got()).toBe("-WRONGTYPE Operation against a key\r\n");
});

test("a wait that is too long is answered, and the connection goes on", () => {
  const [h, p] = start();
  p.fromClient(b(cmd("GET", "a")));
  h.sent();
  p.detach(false, false);
  const next = cmd("SET", "a", "1") + cmd("GET", "a");
  p.fromClient(b(next.slice(0, -5)));
  expect(p.failWaiting()).toBe(true);
  expect(h.got()).toBe(UNAVAILABLE + UNAVAILABLE);
  p.fromClient(b(next.slice(-5)));
  p.connected();
  expect(h.sent()).toBe(cmd("GET", "a"));
  p.fromServer(b("$-1\r\n"));
  expect(h.got()).toBe("$-1\r\n");
});

test("a client that goes on sending while it waits is not read any more", () => {
  const [h, p] = start();
  p.setOpen(false);
  const piece = b(cmd("SET", "k", "v".repeat(1000)));
  for (let i = 0; i < 200 && !h.paused; i++) p.fromClient(piece);
  expect(h.paused).toBe(true);
  expect(p.wantsInput).toBe(false);
  p.setOpen(true);
  expect(h.up.length).toBeLessThan(80_000);
  expect(p.wantsInput).toBe(true);
});

test("hellos cannot be forged through the proxy; MONITOR and SYNC end the framing", () => {
  const [h, p] = start();
  p.fromClient(b(cmd("PING") + cmd("PUBLISH", "__sentinel__:hello", "x") + cmd("GET", "a")));
  expect(h.sent()).toBe(cmd("PING") + cmd("GET", "a"));
  p.fromServer(b("+PONG\r\n$-1\r\n"));
  expect(h.got()).toBe("+PONG\r\n-NOPERM the Sentinels' channel may not be published to through the proxy\r\n$-1\r\n");
  p.fromClient(b(`${cmd("MONITOR")}anything`));
  expect(h.sent()).toBe(`${cmd("MONITOR")}anything`);
  p.fromServer(b("+OK\r\n+1.0 half a li"));
  expect(h.got()).toBe("+OK\r\n+1.0 half a li");
  expect(p.detach(false, false)).toBe(false);
});

test("whatever is in flight and wherever it breaks, each request has exactly one answer", () => {
  const pool = [["GET", "a"], ["INCR", "n"], ["SELECT", "1"], ["MULTI"], ["EXEC"], ["SET", "a", "1"], ["WAIT", "0", "0"], ["PING"]]; // prettier-ignore
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...pool), { minLength: 1, maxLength: 12 }),
      fc.nat(12),
      fc.nat(60),
      fc.boolean(),
      (requests, answered, pending, closed) => {
        const [h, p] = start();
        let multi = false;
        /** A tiny server: one reply a request. */
        const serve = (text: string): void => {
          for (const words of split(text)) {
            const name = words[0]!;
            if (name === "MULTI") multi = true;
            else if (name === "EXEC" || name === "DISCARD") multi = false;
            p.fromServer(b(name === "EXEC" ? "*0\r\n" : multi && name !== "MULTI" ? "+QUEUED\r\n" : "+OK\r\n"));
          }
        };
        for (const r of requests) p.fromClient(b(cmd(...r)));
        const sent = split(h.sent());
        const n = Math.min(answered, sent.length);
        serve(sent.slice(0, n).map((w) => cmd(...w)).join("")); // prettier-ignore
        h.pending = pending;
        if (closed) p.setOpen(false);
        if (!p.detach(false, false)) return;
        h.pending = 0;
        multi = false;
        h.sent();
        p.connected();
        for (let text = h.sent(); text !== ""; text = h.sent()) serve(text);
        const replies = ends(new ReplyScanner(), [b(h.got())]).length;
        expect(replies).toBe(requests.length);
        expect(p.isIdle).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

function split(text: string): string[][] {
  const s = new RequestScanner(rowTable("server"));
  const all = b(text);
  const out: string[][] = [];
  for (let at = 0; at < all.length;) {
    const end = s.next(all, at);
    if (end < 0) break;
    out.push(argumentsOf(all.subarray(at, end)));
    at = end;
  }
  return out;
}

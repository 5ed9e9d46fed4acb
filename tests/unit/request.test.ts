/** The request reader: every request survives being cut anywhere, limits and texts are Redis'. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { BROKEN, NEED_MORE, READY, Request } from "../../lib/resp/request.ts";
import { encodeCommand } from "../../lib/clients/call.ts";

function args(r: Request): string[] {
  const all: string[] = [];
  for (let i = 0; i < r.argc; i++) all.push(r.buf.toString("latin1", r.at[2 * i], r.at[2 * i + 1]));
  return all;
}

/** Feeds `pieces` as a connection would: unfinished bytes are kept in front of the next piece. */
function feed(r: Request, pieces: Buffer[]): { requests: string[][]; error: string } {
  const requests: string[][] = [];
  let rest = Buffer.alloc(0);
  for (const piece of pieces) {
    const buf = Buffer.concat([rest, piece]);
    let pos = 0;
    for (;;) {
      const status = r.read(buf, pos, buf.length);
      if (status === READY) {
        pos = r.end;
        if (r.argc > 0) requests.push(args(r));
      } else if (status === BROKEN) return { requests, error: r.error };
      else break;
      if (pos >= buf.length) break;
    }
    rest = Buffer.from(buf.subarray(pos));
    if (r.partial) r.rebase(0);
  }
  return { requests, error: "" };
}

test("requests cut anywhere come out whole", () => {
  const word = fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b).toString("latin1"));
  fc.assert(
    fc.property(
      fc.array(fc.array(word, { minLength: 1, maxLength: 50 }), { minLength: 1, maxLength: 8 }),
      fc.array(fc.nat(4000), { maxLength: 12 }),
      (commands, cuts) => {
        const stream = Buffer.concat(commands.map((c) => encodeCommand(c)));
        const at = [...new Set([0, ...cuts.map((c) => c % (stream.length + 1)), stream.length])].sort((a, b) => a - b);
        const pieces = at.slice(1).map((e, i) => Buffer.from(stream.subarray(at[i], e)));
        expect(feed(new Request(), pieces)).toEqual({ requests: commands, error: "" });
      },
    ),
    { numRuns: 300 },
  );
});

test("a request cut at every byte", () => {
  const stream = Buffer.from("*2\r\n$3\r\nGET\r\n$1\r\nk\r\nset \"a b\" 'c'\r\n\r\n*0\r\n*-1\r\nPING\n", "latin1");
  const want = [["GET", "k"], ["set", "a b", "c"], ["PING"]];
  for (let cut = 0; cut <= stream.length; cut++)
    expect(feed(new Request(), [Buffer.from(stream.subarray(0, cut)), Buffer.from(stream.subarray(cut))]).requests).toEqual(want);
  expect(
    feed(
      new Request(),
      [...stream].map((b) => Buffer.from([b])),
    ).requests,
  ).toEqual(want);
});

test.each([
  ["*a\r\n", "Protocol error: invalid multibulk length"],
  ["*3000000000\r\n", "Protocol error: invalid multibulk length"],
  ["*1\r\nfoo\r\n", "Protocol error: expected '$', got 'f'"],
  ["*1\r\n$-5\r\n", "Protocol error: invalid bulk length"],
  ["*1\r\n$a\r\n", "Protocol error: invalid bulk length"],
  ["*1\r\n$600000000\r\n", "Protocol error: invalid bulk length"],
  ['get "a\r\n', "Protocol error: unbalanced quotes in request"],
  ["x".repeat(70000), "Protocol error: too big inline request"],
  [`*${"1".repeat(70000)}`, "Protocol error: too big mbulk count string"],
  [`*1\r\n$${"1".repeat(70000)}`, "Protocol error: too big bulk count string"],
])("%p is refused with Redis' text", (input, error) => {
  expect(feed(new Request(), [Buffer.from(input, "latin1")]).error).toBe(error);
});

test("limits before authentication", () => {
  const r = new Request();
  r.unauthenticated = true;
  expect(feed(r, [Buffer.from("*11\r\n")]).error).toBe("Protocol error: unauthenticated multibulk length");
  const q = new Request();
  q.unauthenticated = true;
  expect(feed(q, [Buffer.from("*1\r\n$16385\r\n")]).error).toBe("Protocol error: unauthenticated bulk length");
});

test("an announced argument is waited for without being read again", () => {
  const r = new Request();
  expect(r.read(Buffer.from("*2\r\n$3\r\nSET\r\n$1000\r\nabc"), 0, 22)).toBe(NEED_MORE);
  expect(r.needBytes).toBe("*2\r\n$3\r\nSET\r\n$1000\r\n".length + 1002);
});

/** Connections and links against real peers: a listener of ours, replies cut at every byte, a refused port. */
import { expect, test } from "bun:test";
import { listen } from "../../lib/net/listen.ts";
import { Link } from "../../lib/link/link.ts";
import { ReplyError, ReplyReader, type Reply } from "../../lib/resp/reply.ts";
import type { Conn } from "../../lib/net/conn.ts";

test("a link gets its replies in order, and undefined for those that were lost", async () => {
  const server = listen<null>({
    hostname: "127.0.0.1",
    accept: () => null,
    handler: {
      open() {},
      data(conn: Conn<null>, chunk) {
        if (chunk.includes("CUT")) conn.terminate();
        else {
          conn.out.ok();
          conn.out.bulkText("two");
          conn.flush();
        }
      },
      drained() {},
      end(conn) {
        conn.closeAfterFlush();
      },
      close() {},
    },
  });
  const link = new Link({ hostname: "127.0.0.1", port: server.port });
  const got = await new Promise<(Reply | undefined)[]>((resolve) => {
    const all: (Reply | undefined)[] = [];
    link.send(["A"], (r) => all.push(r));
    link.send(["B"], (r) => {
      all.push(r);
      link.send(["CUT"], (x) => {
        all.push(x);
        resolve(all);
      });
    });
  });
  expect(got).toEqual(["OK", "two", undefined]);
  server.close();
});

test("a refused connection is told once", async () => {
  const server = listen<null>({
    hostname: "127.0.0.1",
    accept: () => null,
    handler: { open() {}, data() {}, drained() {}, end() {}, close() {} },
  });
  const port = server.port;
  server.close();
  const error = await new Promise<Error | null>((resolve) => new Link({ hostname: "127.0.0.1", port, closed: (_l, e) => resolve(e) }));
  expect((error as { code?: string }).code).toBe("ECONNREFUSED");
});

test("a reply may be cut at every byte", () => {
  const stream = Buffer.from("*3\r\n$3\r\na\r\n\r\n:12\r\n-ERR no\r\n$-1\r\n%1\r\n+k\r\n,1.5\r\n_\r\n", "latin1");
  const want: Reply[] = [["a\r\n", 12, new ReplyError("ERR no")], null, ["k", "1.5"], null];
  for (let cut = 0; cut <= stream.length; cut++) {
    const reader = new ReplyReader();
    const got = [...reader.feed(Buffer.from(stream.subarray(0, cut)))!, ...reader.feed(Buffer.from(stream.subarray(cut)))!];
    expect(got).toEqual(want);
  }
});

/**
 * Stream commands: the original and ours, reply by reply, in RESP2 and RESP3. Ids are given, so that replies can be compared; what the clock
 * makes is compared by its kind.
 */
import { describe, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";

const lines = async (both: Both, text: string): Promise<void> => {
  for (const line of text.split("\n")) if (line.trim() !== "") await both.do(...line.trim().split(" "));
};

describe.skipIf(!hasRedis).each([2, 3] as const)("RESP%d", (resp) => {
  test("entries: adding, ranges, trimming, deleting, with their errors", async () => {
    await using both = await Both.start(resp, { "stream-node-max-entries": 10 });
    await both.do("SET", "string", "x");
    await lines(
      both,
      `
      XADD string 1-1 a 1
      XLEN string
      XRANGE string - +
      XREVRANGE string + -
      XDEL string 1-1
      XTRIM string MAXLEN 1
      XREAD STREAMS string 0
      XSETID string 1-1
      XADD s
      XADD s 1-1 a
      XADD s 1-1 a 1 b
      XADD s 0-0 a 1
      XADD s 0-* a 1
      XADD s - a 1
      XADD s + a 1
      XADD s x a 1
      XADD s 1-x a 1
      XADD s NOMKSTREAM 1-1 a 1
      EXISTS s
      XADD z NOMKSTREAM 1-1 a 1
      XADD s 1-1 a 1
      XADD s 1-1 a 1
      XADD s 1-* a 2 b 3
      XADD s 1-* a 2 b -70000
      XADD s 0-9 a 1
      XADD s 2 a 9223372036854775807
      XADD s MAXLEN x 3-1 a 1
      XADD s MAXLEN -1 3-1 a 1
      XADD s MAXLEN 1 MINID 1 3-1 a 1
      XADD s LIMIT 1 3-1 a 1
      XADD s MAXLEN = 1 LIMIT 1 3-1 a 1
      XADD s MAXLEN ~ 1 LIMIT -1 3-1 a 1
      XADD s MAXLEN
      XTRIM s MAXLEN
      XTRIM s NONSENSE 1
      XTRIM s LIMIT 1
      XTRIM s MINID x
      XTRIM s MAXLEN 2 LIMIT 1
      XLEN s
      TYPE s
      OBJECT ENCODING s
      XRANGE s - +
      XRANGE s 1 1
      XRANGE s (1-1 (2
      XRANGE s ( +
      XRANGE s (- +
      XRANGE s - (0-0
      XRANGE s (18446744073709551615-18446744073709551615 +
      XRANGE s - + COUNT 2
      XRANGE s - + COUNT 0
      XRANGE s - + COUNT -1
      XRANGE s - + COUNT
      XRANGE s - + NONSENSE 2
      XRANGE s - + COUNT x
      XREVRANGE s + - COUNT 2
      XREVRANGE s 1 1-2
      XRANGE none - +
      XRANGE none - + COUNT 0
      XDEL s 1-2 5-5
      XDEL s x
      XDEL none 1
      XSETID s 1-9
      XSETID s 9-9 ENTRIESADDED 1
      XSETID s 9-9 ENTRIESADDED -1
      XSETID s 9-9 MAXDELETEDID 10
      XSETID s 9-9 ENTRIESADDED 20 MAXDELETEDID 8-1
      XSETID s 8-5
      XSETID s 9-9 NONSENSE
      XSETID none 9-9
      XADD s 9-9 a 1
      XADD s 9-10 a 1
      XREAD STREAMS s 0
      XREAD STREAMS s none 0 0
      XREAD COUNT 1 STREAMS s s 0 1-1
      XREAD STREAMS s $
      XREAD STREAMS s >
      XREAD COUNT x STREAMS s 0
      XREAD BLOCK x STREAMS s 0
      XREAD BLOCK -1 STREAMS s 0
      XREAD NOACK STREAMS s 0
      XREAD GROUP g c STREAMS s 0
      XREAD NONSENSE STREAMS s 0
      XREAD COUNT 1
      XREAD BLOCK 20 STREAMS s $
      XREAD BLOCK 20 STREAMS none 0
      XADD end 18446744073709551615-18446744073709551614 a 1
      XADD end 18446744073709551615-* a 1
      XADD end 18446744073709551615-* a 1
      XADD end * a 1
      XRANGE end - +
    `,
    );
    await both.differs("7.2 puts the name in quotes", /^-ERR Unbalanced 'xread' list/, "XREAD", "STREAMS", "s", "t", "0");
    await both.kind("XADD", "clock", "*", "a", "1");
    for (let i = 0; i < 95; i++) await both.do("XADD", "t", `${10 + i}-1`, "name", `v${i}`, i % 7 === 0 ? "other" : "size", String(i * i));
    await lines(
      both,
      `
      XTRIM t MAXLEN ~ 80
      XTRIM t MAXLEN ~ 50 LIMIT 10
      XTRIM t MAXLEN 47
      XTRIM t MINID ~ 70
      XTRIM t MINID 75-1
      XRANGE t - +
      XREVRANGE t + -
      XADD t MAXLEN ~ 10 200-1 a b
      XADD t MINID = 100 201-1 a b
      XTRIM t MAXLEN 0
      XLEN t
      XADD t 300-1 a b
      COPY t u
      XRANGE u - +
      DEL t u
    `,
    );
    // A node that is emptied entry by entry, from both ends.
    for (let i = 1; i <= 30; i++) await both.do("XADD", "d", `${i}-0`, "f", "v".repeat(i * 20));
    for (const i of [1, 30, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 2, 29]) {
      await both.do("XDEL", "d", `${i}-0`);
      await both.do("XRANGE", "d", "-", "+", "COUNT", "3");
      await both.do("XREVRANGE", "d", "25", "3");
    }
  });
});

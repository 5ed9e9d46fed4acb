/** SORT, SORT_RO and LCS: the original and ours, reply by reply, in RESP2 and RESP3. */
import { describe, expect, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";
import { random } from "../support/random.ts";

const words = (line: string) => line.split(" ").map((w) => (w === "''" ? "" : w));

describe.skipIf(!hasRedis).each([2, 3] as const)("RESP%d", (resp) => {
  test("SORT: options, types, absent keys and mistakes", async () => {
    await using both = await Both.start(resp);
    for (const line of [
      "RPUSH l 3 1 2 10 -5 2.5 1e2",
      "SADD s 7 30 1 15",
      "ZADD z 5 a 3 b 9 c 1 10",
      "RPUSH w b a '' aa B",
      "SET string x",
      "HSET h f 1",
      "MSET w_3 30 w_1 5 w_2 20 w_10 15 w_-5 2 n_3 three n_1 one n_2 two bad_1 x bad_2 4",
      "HSET o_1 name eins rank 3",
      "HSET o_2 name zwei rank 1",
      "HSET o_3 name drei rank 2",
    ])
      await both.do(...words(line));
    for (const line of [
      "SORT none",
      "SORT string",
      "SORT h",
      "SORT l",
      "SORT l DESC",
      "SORT l ALPHA",
      "SORT l ALPHA DESC ASC",
      "SORT l LIMIT 1 2",
      "SORT l LIMIT -3 2",
      "SORT l LIMIT 2 -1",
      "SORT l LIMIT 100 5",
      "SORT l LIMIT 6 100",
      "SORT l LIMIT 0 0",
      "SORT l LIMIT x 1",
      "SORT l LIMIT 1",
      "SORT l LIMIT 0 9223372036854775808",
      "SORT l LIMIT 9223372036854775807 9223372036854775807",
      "SORT l BAD",
      "SORT l BY",
      "SORT l GET",
      "SORT l STORE",
      "SORT l BY nosort",
      "SORT l BY nosort DESC",
      "SORT l BY nosort LIMIT 1 3",
      "SORT l BY nosort DESC LIMIT 1 3",
      "SORT l BY nosort GET # GET n_* LIMIT 0 2",
      "SORT l BY w_*",
      "SORT l BY w_* DESC LIMIT 0 3",
      "SORT l BY bad_*",
      "SORT l BY n_* ALPHA",
      "SORT l BY n_* ALPHA DESC LIMIT 0 3",
      "SORT l BY o_*->rank GET o_*->name",
      "SORT l GET n_*",
      "SORT l GET # GET n_* GET o_*->name GET constant GET o_*-> GET ''",
      "SORT l GET h*->f",
      "SORT s",
      "SORT s DESC LIMIT 1 2",
      "SORT s BY w_*",
      "SORT z",
      "SORT z ALPHA",
      "SORT z BY nosort",
      "SORT z BY nosort DESC",
      "SORT z BY nosort DESC LIMIT 1 2",
      "SORT z BY nosort ASC LIMIT 3 9",
      "SORT w",
      "SORT w ALPHA",
      "SORT w ALPHA DESC",
      "SORT_RO l DESC LIMIT 0 2",
      "SORT_RO l STORE to",
      "SORT l STORE to",
      "LRANGE to 0 -1",
      "SORT s BY nosort STORE to",
      "LRANGE to 0 -1",
      "SORT l GET n_* STORE to",
      "LRANGE to 0 -1",
      "SORT l STORE l",
      "LRANGE l 0 -1",
      "EXPIRE to 100",
      "SORT s STORE to",
      "TTL to",
      "SORT none STORE to",
      "EXISTS to",
      "SORT w STORE string",
      "TYPE string",
      "SORT l STORE string",
      "TYPE string",
    ])
      await both.do(...words(line));
    // Weights as C reads them: blanks before the number, nothing at all, other bases.
    await both.do("RPUSH", "c", " 5", "", "0x10", "inf", "-inf", "\t-1", "+3", "1e3", ".5");
    await both.do("SORT", "c");
    for (const odd of ["nan", "5 ", "0x", "1e", "--1", " ", "1e999"]) {
      await both.do("DEL", "odd");
      await both.do("RPUSH", "odd", odd);
      await both.do("SORT", "odd");
    }
  });

  test("SORT: many elements, by themselves and by weights", async () => {
    await using both = await Both.start(resp);
    const next = random(41 + resp);
    const numbers = Array.from({ length: 700 }, () => String(next(400) - 200));
    const floats = Array.from({ length: 300 }, () => String((next(100000) - 50000) / 7));
    await both.do("RPUSH", "ints", ...numbers);
    await both.do("RPUSH", "floats", ...floats);
    await both.do("SADD", "set", ...numbers);
    await both.do("ZADD", "zset", ...floats.flatMap((f, i) => [String(i % 50), f]));
    for (let i = -200; i < 200; i += 3) await both.do("SET", `w_${i}`, next(1000));
    for (const key of ["ints", "floats", "set", "zset"])
      for (const more of ["", "DESC", "ALPHA", "ALPHA DESC", "BY w_* GET #", "LIMIT 100 50", "DESC LIMIT 5 10"]) {
        const args = more === "" ? [] : more.split(" ");
        await both.do("SORT", key, ...args);
        await both.do("SORT", key, ...args, "STORE", "to");
        await both.differs("listpack lists came with 7.2", /^"(listpack|quicklist)"$/, "OBJECT", "ENCODING", "to");
        await both.do("LRANGE", "to", 0, -1);
      }
  });

  test("LCS", async () => {
    await using both = await Both.start(resp);
    for (const line of ["MSET a ohmytext b mynewtext e '' n 123", "RPUSH l x"]) await both.do(...words(line));
    for (const line of [
      "LCS a b",
      "LCS a b LEN",
      "LCS a b IDX",
      "LCS a b IDX WITHMATCHLEN",
      "LCS a b IDX MINMATCHLEN 4",
      "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
      "LCS a b IDX MINMATCHLEN -1",
      "LCS a b IDX MINMATCHLEN x",
      "LCS a b IDX MINMATCHLEN",
      "LCS a b LEN IDX",
      "LCS a b BAD",
      "LCS a l",
      "LCS a none",
      "LCS none none IDX",
      "LCS e a IDX",
      "LCS n n IDX WITHMATCHLEN",
    ])
      await both.do(...words(line));
    const next = random(99);
    for (let i = 0; i < 40; i++) {
      const text = () => Array.from({ length: next(60) }, () => "abcd"[next(2 + (i % 3))]).join("");
      await both.do("MSET", "x", text(), "y", text());
      await both.do("LCS", "x", "y");
      await both.do("LCS", "x", "y", "IDX", "WITHMATCHLEN");
      await both.do("LCS", "x", "y", "IDX", "MINMATCHLEN", 3);
    }
    await both.do("SETRANGE", "big", 40000, "x");
    await both.error("exceeds proto-max-bulk-len", "LCS", "big", "big");
    expect(await both.do("LCS", "big", "e", "LEN")).toBe("(0)");
  });
});

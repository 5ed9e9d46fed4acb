/** Bits in strings, BITFIELD included: the original and ours, reply by reply, in RESP2 and RESP3. */
import { describe, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";
import { random } from "../support/random.ts";

describe.skipIf(!hasRedis).each([2, 3] as const)("RESP%d", (resp) => {
  test("mistakes, absent keys and wrong types", async () => {
    await using both = await Both.start(resp);
    await both.do("RPUSH", "l", "x");
    await both.do("SET", "n", "123");
    await both.do("SET", "e", "");
    await both.do("SET", "f", Buffer.alloc(100, 255));
    for (const line of [
      "SETBIT l 0 1",
      "SETBIT k -1 1",
      "SETBIT k x 1",
      "SETBIT k 4294967296 1",
      "SETBIT k 0 2",
      "SETBIT k 0 x",
      "SETBIT l 0 2",
      "GETBIT l 0",
      "GETBIT none 7",
      "GETBIT n 7",
      "GETBIT n 100",
      "GETBIT n 4294967295",
      "GETBIT n 4294967296",
      "SETBIT n 100 1",
      "OBJECT ENCODING n",
      "STRLEN n",
      "SETBIT new 7 0",
      "STRLEN new",
      "OBJECT ENCODING new",
      "BITCOUNT none 0 x",
      "BITCOUNT l",
      "BITCOUNT n 0",
      "BITCOUNT n 0 x",
      "BITCOUNT n x 0",
      "BITCOUNT n 0 1 BAD",
      "BITCOUNT n -1 -2 BAD",
      "BITCOUNT n 0 1 BIT BIT",
      "BITCOUNT e",
      "BITCOUNT e 0 -1",
      "BITCOUNT n -9223372036854775808 9223372036854775807",
      "BITCOUNT n 0 9223372036854775808",
      "BITPOS none 1",
      "BITPOS none 0 5",
      "BITPOS l 1",
      "BITPOS n 2",
      "BITPOS n x",
      "BITPOS n 1 x",
      "BITPOS n 1 0 x",
      "BITPOS n 1 0 x BAD",
      "BITPOS n 1 0 1 BAD",
      "BITPOS n 1 0 1 BIT BIT",
      "BITPOS e 0",
      "BITPOS e 1",
      "BITPOS e 0 0",
      "BITPOS f 0",
      "BITPOS f 1",
      "BITPOS f 0 5",
      "BITPOS f 0 5 10",
      "BITPOS f 0 5 -1",
      "BITPOS f 0 200",
      "BITPOS f 0 3 70 BIT",
      "BITPOS f 1 3 70 BIT",
      "BITOP BAD to n",
      "BITOP NOT to n f",
      "BITOP AND to l",
      "BITOP AND to n l",
      "BITOP AND to none",
      "BITOP OR to none e",
      "BITOP OR to n",
      "GET to",
      "OBJECT ENCODING to",
      "BITOP OR to none",
      "EXISTS to",
      "BITOP NOT n n",
      "GET n",
      "BITFIELD l GET u8 0",
      "BITFIELD none",
      "BITFIELD none GET u8 0 GET i64 #7",
      "BITFIELD k GET u64 0",
      "BITFIELD k GET u0 0",
      "BITFIELD k GET i65 0",
      "BITFIELD k GET x8 0",
      "BITFIELD k GET U8 0",
      "BITFIELD k GET u8 -1",
      "BITFIELD k GET u8 #x",
      "BITFIELD k GET u8 #536870912",
      "BITFIELD k SET u8 0 x",
      "BITFIELD k SET u8 0",
      "BITFIELD k OVERFLOW bad SET u8 0 1",
      "BITFIELD k OVERFLOW",
      "BITFIELD k BAD u8 0",
      "EXISTS k",
      "BITFIELD_RO n GET u8 0 GET i5 3",
      "BITFIELD_RO n SET u8 0 1",
      "BITFIELD_RO n",
      "BITFIELD mystring SET i8 #0 100 SET i8 #1 200",
      "BITFIELD mystring GET i8 #0 GET i8 #1 GET u16 4",
      "BITFIELD mystring OVERFLOW FAIL INCRBY i8 0 100 OVERFLOW SAT INCRBY i8 0 100 OVERFLOW WRAP INCRBY i8 0 1",
      "GET mystring",
    ])
      await both.do(...line.split(" "));
  });

  test("random strings and ranges", async () => {
    await using both = await Both.start(resp);
    const next = random(7 + resp);
    const keys = ["a", "b", "c", "d"];
    const edge = (n: number) => next(2 * n + 10) - n - 5;
    for (let round = 0; round < 25; round++) {
      for (const key of keys) {
        const length = next(round % 5 === 0 ? 2000 : 40);
        const bytes = Buffer.alloc(length, [0, 255, 85][next(3)]);
        for (let i = 0; i < length / 10; i++) bytes[next(Math.max(length, 1))] = next(256);
        await both.do("SET", key, bytes);
        for (let i = 0; i < 4; i++) {
          await both.do("SETBIT", key, next(length * 8 + 30), next(2));
          await both.do("GETBIT", key, next(length * 8 + 30));
        }
        const total = await strlen(both, key);
        await both.do("BITCOUNT", key);
        for (let i = 0; i < 6; i++) {
          const [start, end] = [edge(total), edge(total)];
          const [startBit, endBit] = [edge(total * 8), edge(total * 8)];
          await both.do("BITCOUNT", key, start, end);
          await both.do("BITCOUNT", key, startBit, endBit, "BIT");
          for (const bit of [0, 1]) {
            await both.do("BITPOS", key, bit, start);
            await both.do("BITPOS", key, bit, start, end);
            await both.do("BITPOS", key, bit, startBit, endBit, "BIT");
          }
        }
        for (const bit of [0, 1]) await both.do("BITPOS", key, bit);
      }
      for (const op of ["AND", "OR", "XOR"]) {
        await both.do("BITOP", op, "to", ...keys.slice(0, 1 + next(4)), ...(next(4) === 0 ? ["none"] : []));
        await both.do("GET", "to");
      }
      await both.do("BITOP", "NOT", "a", keys[next(4)]);
      await both.do("GET", "a");
    }
  });

  test("BITFIELD: every width, sign and overflow", async () => {
    await using both = await Both.start(resp);
    const next = random(1234 + resp);
    const extremes = ["0", "1", "-1", "127", "-128", "4294967295", "9223372036854775807", "-9223372036854775808", "-9223372036854775807"];
    for (let i = 0; i < 600; i++) {
      const args: (string | number)[] = [];
      for (let n = 1 + next(3); n > 0; n--) {
        if (next(3) === 0) args.push("OVERFLOW", ["WRAP", "SAT", "FAIL"][next(3)]);
        const type = next(2) === 0 ? `u${1 + next(63)}` : `i${1 + next(64)}`;
        const offset = next(4) === 0 ? `#${next(4)}` : next(200);
        const value = next(2) === 0 ? extremes[next(extremes.length)] : next(100000) - 50000;
        if (next(3) === 0) args.push("GET", type, offset);
        else args.push(next(2) === 0 ? "SET" : "INCRBY", type, offset, value);
      }
      await both.do("BITFIELD", "k", ...args);
    }
    await both.do("GET", "k");
  });
});

async function strlen(both: Both, key: string): Promise<number> {
  return Number((await both.do("STRLEN", key)).slice(1, -1));
}

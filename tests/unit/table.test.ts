/** The command table: every row is sound, names are found in any case, keys are found where commands have them. */
import { describe, expect, test } from "bun:test";
import { type Arg, parseArgs, syntaxOf } from "../../lib/commands/table/args.ts";
import { RowTable, rowTable } from "../../lib/commands/table/index.ts";
import { findKeys, KeyList, lastKeyOf } from "../../lib/commands/table/keys.ts";
import { ACL, FLAG, KEY, KEYS_BY_RANGE, KEYS_BY_SEARCH, NO_KEYS, type Row } from "../../lib/commands/table/row.ts";

const all = rowTable("all");
const has = (row: Row, flag: keyof typeof FLAG) => (row.flags & FLAG[flag]) !== 0;
const names = (rows: Row[]) => rows.map((row) => row.name);

/** Subcommands that Redis does not have. */
const OURS = ["sentinel|identity", "sentinel|failovers"];

describe("rows", () => {
  test("are those of Redis 7.2, 242 commands and 150 subcommands, and a few subcommands of ours", () => {
    expect(all.rows.length).toBe(242);
    expect(all.all.length).toBe(392 + OURS.length);
    expect(new Set(all.all.map((row) => row.name)).size).toBe(392 + OURS.length);
    for (const name of OURS) expect(all.get(name)).toBeDefined();
  });

  test("Sentinel knows 73 of Redis' rows, 22 of which are its own", () => {
    expect(rowTable("sentinel").all.length).toBe(73 + OURS.length);
    expect(rowTable("sentinel").rows.length).toBe(15);
    expect(rowTable("server").all.length).toBe(392 - 22);
    expect(rowTable("server").get("sentinel")).toBeUndefined();
    expect(rowTable("sentinel").get("get")).toBeUndefined();
    expect(rowTable("sentinel").get("client|no-touch")).toBeUndefined();
    expect(rowTable("sentinel").get("client|kill")).toBeDefined();
  });

  test("are numbered by their place, containers before their subcommands", () => {
    all.all.forEach((row, i) => expect(row.id).toBe(i));
    expect(all.all.filter((row) => row.parent !== null && row.parent.id > row.id)).toEqual([]);
  });

  test("have sound names, arities, versions and words", () => {
    const wrong = all.all.filter(
      (row) =>
        !/^[a-z][a-z0-9_-]*$/.test(row.shortName) ||
        row.arity === 0 ||
        Math.abs(row.arity) < (row.parent === null ? 1 : 2) ||
        !/^\d+\.\d+\.\d+$/.test(row.doc.since) ||
        row.doc.summary === "" ||
        !row.doc.summary.endsWith(".") ||
        (row.doc.history ?? []).some((entry) => !/^\d+\.\d+\.\d+ \S/.test(entry)) ||
        (row.doc.deprecated !== undefined && !/^\d+\.\d+\.\d+ \S/.test(row.doc.deprecated)),
    );
    expect(names(wrong)).toEqual([]);
  });

  test("have an arity that their keys fit into", () => {
    const wrong = all.all.filter((row) => row.keysKind === KEYS_BY_RANGE && Math.abs(row.arity) <= Math.max(row.firstKey, row.lastKey));
    expect(names(wrong)).toEqual([]);
  });

  test("write or read, not both", () => {
    expect(names(all.all.filter((row) => has(row, "write") && has(row, "readonly")))).toEqual([]);
    expect(names(all.all.filter((row) => has(row, "write") && has(row, "may_replicate")))).toEqual([]);
  });

  test("that write change a key or say which data they change", () => {
    const changes = KEY.RW | KEY.OW | KEY.RM;
    const without = all.all.filter((row) => has(row, "write") && (row.keyFlags & changes) === 0);
    // These change whole databases, libraries, or what a group remembers of a stream.
    const whole = ["flushall", "flushdb", "swapdb", "function|delete", "function|flush", "function|load", "function|restore"];
    expect(names(without).sort()).toEqual([...whole, "xreadgroup"].sort());
  });

  test("that only read change no key", () => {
    const wrong = all.all.filter((row) => has(row, "readonly") && (row.keyFlags & (KEY.RW | KEY.OW | KEY.RM)) !== 0);
    // PFCOUNT caches its count inside the value.
    expect(names(wrong)).toEqual(["pfcount"]);
  });

  test("say of each key exactly one of RO RW OW RM", () => {
    const wrong = all.all.filter((row) =>
      row.keys.some((spec) => {
        const kinds = [KEY.RO, KEY.RW, KEY.OW, KEY.RM].filter((kind) => (spec.flags & kind) !== 0).length;
        return kinds !== ((spec.flags & KEY.not_key) !== 0 ? 0 : 1);
      }),
    );
    expect(names(wrong)).toEqual([]);
  });

  test("get the categories that follow from their flags", () => {
    for (const row of all.all) {
      expect(((row.acl & ACL.fast) !== 0) !== ((row.acl & ACL.slow) !== 0)).toBe(true);
      expect((row.acl & ACL.write) !== 0).toBe(has(row, "write"));
      if (has(row, "admin")) expect(row.acl & ACL.dangerous).toBe(ACL.dangerous);
    }
    expect(all.get("eval_ro")!.acl & ACL.read).toBe(0);
    expect(all.get("get")!.acl).toBe(ACL.read | ACL.string | ACL.fast);
    expect(all.get("blpop")!.acl).toBe(ACL.write | ACL.list | ACL.slow | ACL.blocking);
  });

  test("have arguments that can be read, and that name the keys of their specs", () => {
    for (const row of all.all) {
      const specs = new Set<number>();
      const walk = (args: Arg[]) => {
        expect(new Set(args.map((arg) => arg.name)).size, row.name).toBe(args.length);
        for (const arg of args) {
          if (arg.keySpec >= 0) specs.add(arg.keySpec);
          walk(arg.args);
        }
      };
      walk(parseArgs(row.doc.args ?? ""));
      const real = row.keys.map((spec, i) => ((spec.flags & KEY.not_key) === 0 ? i : -1)).filter((i) => i >= 0);
      expect([...specs].sort(), row.name).toEqual(real);
    }
  });
});

describe("arguments", () => {
  test("are read as a tree", () => {
    const [key, condition, expiry] = parseArgs("key [condition(NX|XX)@2.6.12] [EX seconds:int&...!7.0.0]");
    expect([key.name, key.type, key.keySpec, key.optional]).toEqual(["key", "key", 0, false]);
    expect([condition.type, condition.since, condition.args.map((a) => a.token)]).toEqual(["oneof", "2.6.12", ["NX", "XX"]]);
    expect([expiry.token, expiry.name, expiry.type, expiry.multiple, expiry.multipleToken, expiry.deprecatedSince]).toEqual([
      "EX",
      "seconds",
      "integer",
      true,
      true,
      "7.0.0",
    ]);
  });

  test("that break the grammar are refused", () => {
    for (const text of ["[key", "key]", "a(b", "a(b|", "KEY:", " key", "a  b"]) expect(() => parseArgs(text), text).toThrow();
  });

  test("are written as people write them", () => {
    const shown = (name: string) => syntaxOf(parseArgs(all.get(name)!.doc.args ?? ""));
    expect(shown("zadd")).toBe("<key> [NX|XX] [GT|LT] [CH] [INCR] <score> <member> [<score> <member> ...]");
    expect(shown("sort")).toBe(
      "<key> [BY <pattern>] [LIMIT <offset> <count>] [GET <pattern> [GET <pattern> ...]] [ASC|DESC] [ALPHA] [STORE <destination>]",
    );
    expect(shown("replicaof")).toBe("(<host> <port>|NO ONE)");
  });
});

describe("names", () => {
  const bytes = (text: string) => Buffer.from(`xx${text}yy`, "latin1");
  const find = (table: RowTable, text: string) => table.find(bytes(text), 2, 2 + text.length)?.name;

  test("of every row are found in any case, and nothing else", () => {
    for (const row of all.all) {
      const upper = bytes(row.shortName.toUpperCase());
      const found = row.parent === null ? all.find(upper, 2, upper.length - 2) : all.findSub(row.parent, upper, 2, upper.length - 2);
      expect(found).toBe(row);
      expect(all.get(row.name)).toBe(row);
    }
    for (const text of ["", "ge", "gett", "get\0", "list", "config|get", "x".repeat(100_000)]) expect(find(all, text)).toBeUndefined();
    expect(all.findSub(all.get("client")!, bytes("encoding"), 2, 10)).toBeNull();
  });

  test("can be changed, as rename-command does", () => {
    const table = new RowTable("server");
    expect(table.rename("FLUSHALL", "Really-Flush-Everything")).toBe("ok");
    expect(find(table, "flushall")).toBeUndefined();
    expect(find(table, "REALLY-flush-everything")).toBe("flushall");
    expect(table.rename("flushall", "x")).toBe("no such command");
    expect(table.rename("config", "")).toBe("ok");
    expect(find(table, "config")).toBeUndefined();
    expect(table.get("config|get")).toBeUndefined();
    expect(table.rename("get", "set")).toBe("name taken");
    expect(table.rows.length).toBe(rowTable("server").rows.length - 2);
    expect(find(rowTable("server"), "flushall")).toBe("flushall");
  });
});

/** A request's frame as resp/request.ts makes it, the first argument at `base`. */
function frame(words: string[], base: number): { buf: Buffer; at: Int32Array } {
  const at = new Int32Array(2 * (base + words.length));
  let text = "#";
  words.forEach((word, i) => {
    at[2 * (base + i)] = text.length;
    text += word;
    at[2 * (base + i) + 1] = text.length;
    text += "\r\n";
  });
  return { buf: Buffer.from(text, "latin1"), at };
}

describe("keys", () => {
  const list = new KeyList();
  const keysOf = (line: string, base = 0) => {
    const words = line.split(" ").map((word) => (word === '""' ? "" : word));
    const top = all.get(words[0].toLowerCase())!;
    const row = top.subcommands === null ? top : all.get(`${words[0]}|${words[1]}`.toLowerCase())!;
    const { buf, at } = frame(words, base);
    const count = findKeys(row, buf, at, base, words.length, list);
    const text = (bits: number) =>
      Object.entries(KEY)
        .filter(([, bit]) => (bits & bit) !== 0)
        .map(([name]) => name)
        .join(" ");
    return Array.from({ length: count }, (_, i) => `${words[list.pos[i]]}: ${text(list.flags[i])}`);
  };

  test.each([
    ["GET k", ["k: RO access"]],
    ["MSET a 1 b 2 c 3", ["a: OW update", "b: OW update", "c: OW update"]],
    ["SET k v", ["k: OW update"]],
    ["SET k v NX Get", ["k: RW access update"]],
    ["BITFIELD k GET u8 0 OVERFLOW sat GET u8 1", ["k: RO access"]],
    ["BITFIELD k GET u8 0 SET u8 0 1", ["k: RW access update"]],
    ["RENAME a b", ["a: RW access delete", "b: OW update"]],
    ["BLPOP a b 0", ["a: RW access delete", "b: RW access delete"]],
    ["EVAL s 2 a b c", ["a: RW access update", "b: RW access update"]],
    ["EVAL s 0 a", []],
    ["EVAL s -1 a", []],
    ["EVAL s x a", []],
    ["EVAL s 3 a b", []],
    ["FCALL_RO f 1 a b", ["a: RO access"]],
    ["ZUNIONSTORE d 2 a b WEIGHTS 1 2", ["d: OW update", "a: RO access", "b: RO access"]],
    ["LMPOP 2 a b LEFT", ["a: RW access delete", "b: RW access delete"]],
    ["SORT k BY store LIMIT 0 store GET # STORE d", ["k: RO access", "d: OW update"]],
    ["SORT k STORE a STORE b", ["k: RO access", "b: OW update"]],
    ["SORT_RO k BY nosort", ["k: RO access"]],
    ["MIGRATE h 1 k 0 10 COPY", ["k: RW access delete"]],
    ["XREAD COUNT 2 STREAMS a b 0 0", ["a: RO access", "b: RO access"]],
    ["XREADGROUP GROUP STREAMS c STREAMS a >", ["a: RO access"]],
    ["XREAD STREAMS a", []],
    ["GEORADIUS k 0 0 1 km", ["k: RO access"]],
    ["GEORADIUS k 0 0 1 km STORE a STOREDIST b", ["k: RO access", "a: OW update", "b: OW update"]],
    ["GEORADIUSBYMEMBER k m 1 km STORE a", ["k: RO access", "a: OW update"]],
    ["OBJECT ENCODING k", ["k: RO"]],
    ["PUBLISH c m", []],
    ["SPUBLISH c m", []],
  ])("of %s", (line, expected) => {
    expect(keysOf(line)).toEqual(expected);
    expect(keysOf(line, 2)).toEqual(expected);
  });

  test("of MIGRATE with KEYS are those after the word, if the third argument is empty", () => {
    expect(keysOf('MIGRATE h 1 "" 0 10 AUTH keys KEYS a b')).toEqual(["a: RW access delete", "b: RW access delete"]);
    expect(keysOf("MIGRATE h 1 k 0 10 KEYS a b")).toEqual([]);
  });

  test("at fixed places are where first, last and step say", () => {
    const many = 9;
    for (const row of all.all) {
      if (row.keysKind !== KEYS_BY_RANGE) continue;
      const argc = row.arity > 0 ? row.arity : Math.max(-row.arity, many);
      const { buf, at } = frame(
        Array.from({ length: argc }, (_, i) => `a${i}`),
        0,
      );
      findKeys(row, buf, at, 0, argc, list);
      const expected: number[] = [];
      for (let i = row.firstKey; i <= lastKeyOf(row, argc); i += row.keyStep) expected.push(i);
      expect([...list.pos.subarray(0, list.count)], row.name).toEqual(expected);
    }
    const searched = all.all.filter((row) => row.keysKind === KEYS_BY_SEARCH);
    expect(searched.length).toBe(all.all.filter((row) => has(row, "movablekeys")).length);
    expect(all.get("spublish")!.keysKind).toBe(NO_KEYS);
  });

  test("may be many", () => {
    const words = ["DEL", ...Array.from({ length: 1000 }, (_, i) => `k${i}`)];
    expect(keysOf(words.join(" ")).length).toBe(1000);
  });
});

/** Replies of COMMAND in RESP3, byte for byte as the real server gives them, and the HELP of every container. */
import { expect, test } from "bun:test";
import { docsReply, helpReply, infoReply, listReply } from "../../lib/commands/command_info.ts";
import { rowTable } from "../../lib/commands/table/index.ts";
import { Out } from "../../lib/resp/out.ts";
import { type Reply, ReplyReader } from "../../lib/resp/reply.ts";

const table = rowTable("server");
const text = (out: Out) => out.take().toString("latin1").replaceAll("\r\n", " ").trimEnd();
const reply = (out: Out) => new ReplyReader().feed(out.take())![0];

test("COMMAND INFO in RESP3: sets of words, maps of places, nil for what is none", () => {
  const out = new Out(3);
  infoReply(table, ["get", "nosuch"], out);
  expect(text(out)).toBe(
    "*2 *10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~3 +@read +@string +@fast ~0 ~1 %3 $5 flags ~2 +RO +access " +
      "$12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 " +
      "$9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 ~0 _",
  );
});

test("COMMAND DOCS in RESP3: maps all the way down, names that are none left out", () => {
  const out = new Out(3);
  docsReply(table, ["nosuch", "getset"], out);
  expect(text(out)).toBe(
    "%1 $6 getset %8 $7 summary $39 Set a string and answer the one before. $5 since $5 1.0.0 $5 group $6 string " +
      "$10 complexity $4 O(1) $9 doc_flags ~1 +deprecated $16 deprecated_since $5 6.2.0 $11 replaced_by $16 `SET` with `GET` " +
      "$9 arguments *2 %4 $4 name $3 key $4 type $3 key $12 display_text $3 key $14 key_spec_index :0 " +
      "%3 $4 name $5 value $4 type $6 string $12 display_text $5 value",
  );
});

test("every reply is whole: RESP2 and RESP3 readers come to its end", () => {
  for (const resp of [2, 3] as const) {
    const out = new Out(resp);
    infoReply(table, null, out);
    docsReply(table, null, out);
    for (const row of table.rows) if (row.subcommands !== null) helpReply(row, out);
    const count = new ReplyReader().feed(out.take())!.length;
    expect(count).toBe(2 + table.rows.filter((row) => row.subcommands !== null).length);
  }
});

test("HELP names every subcommand, framed as clients look for it", () => {
  for (const row of rowTable("all").rows) {
    if (row.subcommands === null) continue;
    const out = new Out(2);
    helpReply(row, out);
    const lines = reply(out) as string[];
    expect(lines[0]).toBe(`${row.name.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`);
    expect(lines.slice(-2)).toEqual(["HELP", "    Print this help."]);
    const named = lines.filter((line) => !line.startsWith(" ")).map((line) => line.split(" ")[0].toLowerCase());
    const subs = row.subcommands.map((sub) => sub.shortName).filter((name) => name !== "help");
    expect(named.slice(1).sort()).toEqual([...subs, "help"].sort());
  }
});

test("COMMAND LIST names subcommands after their containers", () => {
  const out = new Out(2);
  listReply(table, (row) => row.name.startsWith("object"), out);
  const names = reply(out) as Reply[];
  expect(names[0]).toBe("object");
  expect(names.slice(1)).toEqual(table.get("object")!.subcommands!.map((row) => row.name));
});

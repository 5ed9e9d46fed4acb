import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Config } from "../../../lib/config/config.ts";
import { readRedisArguments } from "../../../lib/config/command_line.ts";
import { expandWildcards, fatalConfigText, readRedisConf } from "../../../lib/config/redis_conf.ts";

let dir = "";
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), "redisha-conf-"))));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, Buffer.from(text));
  return path;
}
/** Reads a file of this text; the message it fails with, or null. */
function read(text: string, config = new Config({ chdir: () => undefined, cwd: () => "/" })): string | null {
  const failed = readRedisConf(config, { file: write("c.conf", text), stdin: null, options: null });
  if (failed === null) return null;
  return failed.kind === "open" ? failed.text : fatalConfigText(failed.failure);
}
function hintOf(text: string): string {
  const message = read(text) ?? "";
  return [...message.matchAll(/^hint: .*?, (line .*)$/gm)].map((m) => m[1]).join("\n");
}

test("a whole file: comments, blank lines, quotes, case, aliases, several words", () => {
  const config = new Config();
  const text =
    '# a comment\r\n\r\n  PORT 7000\r\nbind 127.0.0.1 -::1\nrequirepass "a b\\x41"\nslaveof localhost 6379\nsave 60 1\nsave 120 2\nsave "300 5"\n';
  expect(read(text, config)).toBeNull();
  expect(config.number("port")).toBe(7000);
  expect(config.special("bind")).toEqual(["127.0.0.1", "-::1"]);
  expect(config.text("requirepass")).toBe("a bA");
  expect(config.special("replicaof")).toEqual({ host: "localhost", port: 6379 });
  expect(config.show("save")).toBe("60 1 120 2 300 5");
});

test('save "" drops what came before it, in the file and on the command line', () => {
  const config = new Config();
  expect(read('save 60 1\nsave ""\n', config)).toBeNull();
  expect(config.show("save")).toBe("");
  const second = new Config();
  const { options } = readRedisArguments(["--save", "60", "1", "--save", "", "--save", "9", "9"]);
  expect(readRedisConf(second, { file: null, stdin: null, options })).toBeNull();
  expect(second.show("save")).toBe("9 9");
});

test("Redis' message, word for word, then our hint", () => {
  expect(read("port 1\n\n  maxmemroy 100mb  \n")).toBe(
    `\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\nReading the configuration file, at line 3\n>>> 'maxmemroy 100mb'\nBad directive or wrong number of arguments\nhint: ${dir}/c.conf, line 3, column 3: there is no directive 'maxmemroy'; did you mean 'maxmemory'?\n`,
  );
});

test.each([
  ["port\u00a06379", "line 1, column 5: this is a non-breaking space (U+00A0); write an ordinary space"],
  ["requirepass \u201csecret phrase\u201d", 'line 1, column 13: this is a curly quote (U+201C); write a straight "'],
  ["port 26379daemonize yes", "line 1, column 11: a line break is missing here, before 'daemonize'"],
  ["port 26379 daemonize yes", "line 1, column 12: a line break is missing here, before 'daemonize'"],
  ["dir /var/lib/redis# Monitor the master", "line 1, column 19: a comment needs a line of its own"],
  ["port 6379 # the usual", "line 1, column 11: a comment needs a line of its own"],
  ["port=6379", "write 'port 6379'"],
  ["port6379", "a blank may be missing after 'port'"],
  ["appendfsync alwais", "line 1, column 13: did you mean 'always'?"],
  ["hz", "hz takes exactly one value (quote it when it holds blanks); write: hz <number, 0 to 2147483647, hz>"],
  ["maxmemory 1tb", "line 1, column 11: write: maxmemory <bytes, or with a unit: 100mb, 2gb>"],
  ["save 60", "write: save <seconds> <changes>"],
  ['logfile "abc', 'line 1, column 9: this " is never closed'],
  ['logfile "abc"def', 'line 1, column 14: after a closing " a blank or the end of the line must follow'],
  ["frontend ft_redis", "start it with --proxy"],
  ["sentinel monitor m h 1 1", "start it with --sentinel"],
  ["down-after-milliseconds m 5", "write 'sentinel down-after-milliseconds m 5'"],
  ["rename-command GET", "write: rename-command <command>"],
  ["port sentinel\\_26379", "looks like Markdown's escape; write '_'"],
])("hint for %j", (line, hint) => {
  expect(hintOf(`${line}\n`)).toContain(hint);
});

test("a comment that swallowed a directive is noted, prose is not", () => {
  const notes: string[] = [];
  const text =
    "# Specifies the port, log file, and run it as a daemon service.port 26379\n" +
    "# When a slave is promoted to master state.sentinel monitor master01 localhost 6379 1\n" +
    "# required.#sentinel auth-pass a b\n" +
    "# Set the save points. save 60 1000 is usual; see redis.conf port and so on, e.g.port\n";
  const file = write("c.conf", text);
  expect(readRedisConf(new Config(), { file, stdin: null, options: null }, { note: (n) => notes.push(n) })).toBeNull();
  expect(notes).toEqual([
    `${file}, line 1, column 64: this comment seems to have swallowed 'port 26379': is a line break missing before it?`,
    `${file}, line 2, column 44: this comment seems to have swallowed 'sentinel monitor master01 localhost 6379 1': is a line break missing before it?`,
  ]);
});

test("a whole line glued to a value, as in the article", () => {
  const hints = hintOf("dir /var/lib/redis/sentinel\\_26379# Monitor redis\\_6379 master running on port 6379\n");
  expect(hints).toContain("line 1, column 35: a comment needs a line of its own: a line break is missing here, before #");
});

test("columns count characters, not bytes", () => {
  expect(hintOf("logfile \u00e9\u00e9\u00e9 port 1\n")).toContain("column 13: a line break is missing here, before 'port'");
});

test("include: nested, with wildcards, missing, and in a circle", () => {
  mkdirSync(join(dir, "conf.d"), { recursive: true });
  write("conf.d/10-a.conf", "maxclients 100\n");
  write("conf.d/20-b.conf", "maxclients 200\nhz 20\n");
  write("conf.d/.hidden.conf", "hz 30\n");
  const config = new Config();
  expect(read(`include ${dir}/conf.d/*.conf\ninclude ${dir}/none/*.conf\n`, config)).toBeNull();
  expect([config.number("maxclients"), config.number("hz")]).toEqual([200, 20]);
  expect(expandWildcards(`${dir}/con?.d/[1]0-a.conf`)).toEqual([`${dir}/conf.d/10-a.conf`]);
  expect(read(`include ${dir}/none.conf\n`)).toBe(`Fatal error, can't open config file '${dir}/none.conf': No such file or directory`);
  expect(read(`include ${dir}/c.conf\n`)).toContain("Files include each other without end");
});

test("an error in the options names the command line and counts on from the file", () => {
  const { file, options } = readRedisArguments([write("o.conf", "port 1\nhz 1\n"), "--prot", "2"]);
  const failed = readRedisConf(new Config(), { file, stdin: null, options });
  expect(failed?.kind === "line" && failed.failure.line).toBe(4);
  expect(failed?.kind === "line" && failed.failure.text).toBe('prot "2"');
  expect(failed?.kind === "line" && failed.failure.hints[0]).toContain(
    "the command line, line 2, column 1: there is no directive 'prot'; did you mean 'port'?",
  );
});

test("lines beside the table are collected and can be refused", () => {
  const config = new Config({ sentinel: true });
  const text =
    "user alice on >x\nrename-command GET fetch\nloadmodule /m.so a b\nmod.setting 1 2\nsentinel myid abc\nsentinel monitor m h 1 1\n";
  const seen: string[] = [];
  const file = write("c.conf", text);
  const failed = readRedisConf(
    config,
    { file, stdin: null, options: null },
    {
      sentinel: (words, line) => {
        seen.push(`${line} ${words.join(" ")}`);
        return words[0] === "monitor" ? "Duplicate master name." : null;
      },
    },
  );
  expect(config.users).toEqual([["alice", "on", ">x"]]);
  expect(config.renames).toEqual([["GET", "fetch"]]);
  expect(config.modules).toEqual([["/m.so", "a", "b"]]);
  expect(config.moduleSettings).toEqual([["mod.setting", "1 2"]]);
  expect(seen).toEqual(["5 myid abc", "6 monitor m h 1 1"]);
  expect(failed?.kind === "line" && failed.failure.reason).toBe("Duplicate master name.");
});

test("a log file that cannot be opened", () => {
  expect(read("logfile /no/such/dir/x.log\n")).toContain(
    "*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\nCan't open the log file: No such file or directory\n",
  );
});

test.each([
  [[], null, false, null],
  [["/a.conf"], "/a.conf", false, ""],
  [["--port", "1", "--replicaof", "h", "2"], null, false, 'port "1" \nreplicaof "h" "2" '],
  [["--port 1", "--hz", "5"], null, false, 'port 1 \nhz "5" '],
  [["--save", "--port", "1"], null, false, 'save ""\nport "1" '],
  [["--save"], null, false, 'save ""'],
  [["a", "--sentinel", "--port", "1"], "a", false, 'sentinel \nport "1" '],
  [["a", "--sentinel"], "a", false, "sentinel "],
  [["--masterauth", "--secret", "--port", "1"], null, false, 'masterauth "--secret" \nport "1" '],
  [["-"], null, true, ""],
  [["a", "--port", "1", "-"], "a", true, 'port "1" '],
  [["a", "--masterauth", "-", "x"], "a", false, 'masterauth "-" "x" '],
] as [string[], string | null, boolean, string | null][])("arguments %j", (args, file, stdin, options) => {
  const read = readRedisArguments(args);
  expect([read.file, read.stdin]).toEqual([file, stdin]);
  expect(read.options?.replace(/ +$/gm, "") ?? null).toBe(options?.replace(/ +$/gm, "") ?? null);
});

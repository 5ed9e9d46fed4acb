/**
 * Users in files, with the compiled file: `user` lines and CONFIG REWRITE, ACL files with LOAD and SAVE, both also read by the original;
 * requirepass; Sentinel's users, its links that log in as one of them; what a restricted user costs nobody else.
 */
import { expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, hasRedis, redisha, startSentinel, startServer, tempDir, until, type Program } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

const run = hasRedis ? test : test.skip;

/** ACL LIST without what 7.0 does not show. */
async function users(server: Program): Promise<string> {
  return (await server.cli("acl", "list")).replaceAll(" sanitize-payload", "");
}

const USERS = [
  "alice on >secret ~cached:* &news:* -@all +get +set +config|get",
  "bob off nopass %R~r* %W~w* (~s* +@string) (%R~t* +get -@all +mget)",
  "carol on #2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 allkeys allchannels +@all -flushall -@admin",
];

run("user lines, CONFIG REWRITE, and the original reads what we wrote", async () => {
  const dir = tempDir();
  await using ours = await startServer("redisha", { user: USERS, requirepass: "main" }, { dir });
  await using original = await startServer("redis", { user: USERS, requirepass: "main" });
  for (const s of [ours, original]) expect(await s.cli("ping")).toContain("NOAUTH");
  for (const name of ["alice", "bob", "carol"]) {
    const [a, b] = await Promise.all(
      [ours, original].map(async (s) => await s.cli("-a", "main", "--no-auth-warning", "acl", "getuser", name)),
    );
    const visible = (text: string): string => text.replace(/^commands\n.*$/gm, "").replace(/^sanitize-payload\n/gm, "");
    expect(visible(a)).toBe(visible(b));
  }
  const before = await ours.cli("-a", "main", "--no-auth-warning", "acl", "list");
  expect(await ours.cli("-a", "main", "--no-auth-warning", "config", "rewrite")).toBe("OK");
  const text = readFileSync(join(dir, "redis.conf"), "latin1");
  expect(text.match(/^user .*$/gm)!.toSorted()).toEqual(before.split("\n"));
  await ours.stop("SIGTERM");
  ours.start();
  await until("it to be back", async () => (await ours.cli("ping")).includes("NOAUTH"));
  expect(await ours.cli("-a", "main", "--no-auth-warning", "acl", "list")).toBe(before);
  await ours.stop("SIGTERM");
  // The same file under the original; it does not know what 7.2 added.
  await using old = await startServer("redis", { user: text.match(/^user .*$/gm)!.map((line) => line.slice("user ".length)) });
  expect((await old.cli("-a", "main", "--no-auth-warning", "acl", "users")).split("\n")).toEqual(["alice", "bob", "carol", "default"]);
  rmSync(dir, { recursive: true });
});

test("configurations that are refused", async () => {
  const dir = tempDir();
  writeFileSync(join(dir, "u.acl"), "user default on nopass ~* &* +@all\n");
  writeFileSync(join(dir, "bad.acl"), "user x on +nosuch\n");
  const tries: [string, string][] = [
    ["user x on +@all\nuser x on", "Error in user declaration 'x': Duplicate user found. A user can only be defined once in config files"],
    ["user x on what", "Error in user declaration 'what': Syntax error"],
    ["user x on (~a", "Error in user declaration '(~a': Wrong format"],
    ["user x on +nosuch", "Error loading ACL rule '+nosuch' for the user named 'x': Unknown command or category name in ACL"],
    [`aclfile ${dir}/u.acl\nuser x on`, "please define either an ACL file or declare users directly in your redis.conf, but not both."],
    [
      `aclfile ${dir}/nosuch.acl`,
      `Aborting Redis startup because of ACL errors: Error loading ACLs, opening file '${dir}/nosuch.acl': No such file or directory`,
    ],
    [
      `aclfile ${dir}/bad.acl`,
      `Aborting Redis startup because of ACL errors: ${dir}/bad.acl:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. WARNING: ACL errors detected`,
    ],
  ];
  for (const [text, words] of tries) {
    writeFileSync(join(dir, "c.conf"), `port ${freePort()}\nsave ""\n${text}\n`);
    const p = Bun.spawn([redisha, join(dir, "c.conf")], { stdout: "pipe", stderr: "pipe", cwd: dir });
    const [out, err] = await Promise.all([new Response(p.stdout).text(), new Response(p.stderr).text()]);
    expect(await p.exited).toBe(1);
    expect(out + err).toContain(words);
  }
  rmSync(dir, { recursive: true });
});

run("ACL files: LOAD, SAVE, mistakes, and the original in turn", async () => {
  const dir = tempDir();
  const path = join(dir, "users.acl");
  writeFileSync(path, `user default on nopass ~* &* +@all\n\n${USERS.map((u) => `user ${u}`).join("\n")}\n`);
  await using ours = await startServer("redisha", { aclfile: path });
  const at = await Wire.connect(ours.port);
  expect(await at.do("AUTH", "carol", "x")).toBe("+OK");
  expect(await at.do("ACL", "WHOAMI")).toBe('"carol"');
  const before = await ours.cli("acl", "list");
  writeFileSync(path, "user alice on\nnonsense\nuser a\tb on\nuser alice off\nuser dave on +@nosuch %Q~x !zz\nuser erin (~a\n");
  const error = await ours.cli("acl", "load");
  expect(error.trim()).toBe(
    `ERR ${path}:2 should start with user keyword followed by the username. '${path}:3: username 'a\tb' contains invalid characters. ` +
      `WARNING: Duplicate user 'alice' found on line 4. ${path}:5: Error in applying operation '+@nosuch': Unknown command or category name in ACL. ` +
      `${path}:5: Syntax error. ${path}:6: Unmatched parenthesis in selector definition.` +
      "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
  );
  expect(await ours.cli("acl", "list")).toBe(before);
  expect(await at.do("PING")).toBe("+PONG");
  expect(await ours.cli("acl", "save")).toBe("OK");
  expect(readFileSync(path, "latin1")).toBe(`${before}\n`);
  // 7.0 has no sanitize-payload of its own accord, but reads it.
  await using original = await startServer("redis", { aclfile: path });
  expect(await users(original)).toContain("user carol on ");
  expect(await original.cli("acl", "save")).toBe("OK");
  expect(await ours.cli("acl", "load")).toBe("OK");
  // Whoever is not the default user goes at a LOAD.
  expect(await at.next()).toBe("closed");
  expect((await ours.cli("acl", "users")).split("\n")).toEqual(["alice", "bob", "carol", "default"]);
  expect(await ours.cli("config", "rewrite")).toBe("OK");
  expect(readFileSync(join(ours.dir, "redis.conf"), "latin1")).not.toMatch(/^user /m);
  rmSync(dir, { recursive: true });
});

test("requirepass is the default user's password, at the start and later", async () => {
  await using s = await startServer("redisha");
  const w = await Wire.connect(s.port);
  expect(await w.do("CONFIG", "SET", "requirepass", "one")).toBe("+OK");
  // Who is in stays in.
  expect(await w.do("PING")).toBe("+PONG");
  const other = await Wire.connect(s.port);
  expect(await other.do("PING")).toBe("-NOAUTH Authentication required.");
  expect(await other.do("AUTH", "two")).toBe("-WRONGPASS invalid username-password pair or user is disabled.");
  expect(await other.do("AUTH", "one")).toBe("+OK");
  expect(await w.do("ACL", "SETUSER", "default", ">two")).toBe("+OK");
  expect(await other.do("AUTH", "two")).toBe("+OK");
  expect(await w.do("CONFIG", "SET", "requirepass", "three")).toBe("+OK");
  expect(await other.do("AUTH", "two")).toStartWith("-WRONGPASS");
  expect(await w.do("CONFIG", "SET", "requirepass", "")).toBe("+OK");
  expect(await other.do("AUTH", "x")).toStartWith("-ERR AUTH <password> called without any password configured for the default user.");
  const info = await w.do("INFO", "stats");
  expect(info).toContain("acl_access_denied_auth:2");
  for (const c of [w, other]) c.close();
});

run(
  "Sentinels with users: their links log in, their files keep the users",
  async () => {
    await using master = await startServer("redis", { user: ["watch on >pw &* +@all", "default on nopass ~* &* +@all"] });
    const sentinels: Program[] = [];
    const lines = [
      `sentinel monitor m 127.0.0.1 ${master.port} 2`,
      "sentinel auth-user m watch",
      "sentinel auth-pass m pw",
      "sentinel sentinel-user peer",
      "sentinel sentinel-pass secret",
      "user peer on >secret allchannels +@all",
      "user default off",
      "user reader on nopass +sentinel|get-master-addr-by-name +acl|whoami",
    ];
    try {
      const dirs: string[] = [];
      const ports: number[] = [];
      for (const kind of ["redisha", "redis", "redisha"] as const) {
        const dir = tempDir();
        const port = freePort();
        dirs.push(dir);
        ports.push(port);
        sentinels.push(await startSentinel(kind, lines, { port, dir }));
      }
      const peer = ["--user", "peer", "--pass", "secret", "--no-auth-warning"];
      for (const s of sentinels)
        await until(
          "the quorum",
          async () => (await s.cli(...peer, "sentinel", "ckquorum", "m")).startsWith("OK 3 usable Sentinels"),
          60_000,
        );
      const [first] = sentinels;
      expect(await first.cli("ping")).toContain("NOAUTH");
      const reader = ["--user", "reader", "--pass", "x", "--no-auth-warning"];
      expect(await first.cli(...reader, "sentinel", "get-master-addr-by-name", "m")).toBe(`127.0.0.1\n${master.port}`);
      expect(await first.cli(...reader, "sentinel", "masters")).toContain(
        "NOPERM User reader has no permissions to run the 'sentinel|masters' command",
      );
      expect(await first.cli(...peer, "acl", "setuser", "late", "on", "nopass", "+ping")).toBe("OK");
      expect(await first.cli(...peer, "acl", "setuser", "x", "+get")).toContain("Unknown command or category name in ACL");
      // Anything that makes it save its file.
      expect(await first.cli(...peer, "sentinel", "set", "m", "down-after-milliseconds", "20000")).toBe("OK");
      const text = readFileSync(join(dirs[0], `sentinel_${ports[0]}.conf`), "latin1");
      expect(text.match(/^user (\w+)/gm)).toEqual(["user default", "user late", "user peer", "user reader"]);
    } finally {
      for (const s of sentinels) await s[Symbol.asyncDispose]();
    }
  },
  120_000,
);

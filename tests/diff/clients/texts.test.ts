/**
 * The clients' layer beside the original Redis 7.0.15: the same transcripts to both, equal replies, RESP2 and RESP3.
 * Ours is lib/clients on the small mode of the unit tests, so that a difference points there and nowhere else, and the compiled server.
 * A transcript is lines of `who: COMMAND words`; who is a connection, made when first named. `who<` reads one more reply (a message), `who!` sends and does not wait.
 * Ids, addresses and times are blanked. What 7.2 answers otherwise than 7.0 is marked with its reason and checked against ours alone.
 */
import { expect, test } from "bun:test";
import { splitArgs } from "../../../lib/bytes/args.ts";
import { hasRedis, startServer, until } from "../../support/programs.ts";
import { Wire } from "../../support/wire.ts";
import { SmallServer } from "../../unit/clients/small_mode.ts";

/** Replies of one server to a transcript, a text a line. */
async function play(port: number, resp: 2 | 3, transcript: string): Promise<string[]> {
  const wires = new Map<string, Wire>();
  const got: string[] = [];
  for (const raw of transcript.trim().split("\n")) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const [, who, read, command] = /^(\w+)(<|:|!)\s*(.*)$/.exec(line)!;
    let wire = wires.get(who);
    if (wire === undefined) {
      wire = await Wire.connect(port);
      wires.set(who, wire);
      if (resp === 3) await wire.do("HELLO", 3);
    }
    if (read === "<") got.push(`${line} ${wire.pushes.shift() ?? (await wire.next())}`);
    else {
      const args: Buffer[] = [];
      for (const word of splitArgs(command)!) args.push(Buffer.from(await idOf(wires, word), "latin1"));
      if (read === "!") {
        // In order of sending: the server has read it before it reads what another connection sends afterwards.
        wire.send(...args);
        await settled(port, command);
      } else got.push(`${line} -> ${await wire.do(...args)}`);
    }
  }
  for (const w of wires.values()) w.close();
  return got.map(blank);
}

/** Waits until a command that was sent and cannot be answered yet has arrived: its client shows it. */
async function settled(port: number, command: string): Promise<void> {
  const word = command.split(" ")[0].toLowerCase();
  const w = await Wire.connect(port);
  const waits = new RegExp(`flags=b [^\\n]* cmd=${word} `);
  await until(`${command} to arrive`, async () => waits.test(JSON.parse(await w.do("CLIENT", "LIST"))));
  w.close();
}

/** `$idNAME` is the id of connection NAME. */
async function idOf(wires: Map<string, Wire>, word: string): Promise<string> {
  const name = /^\$id(\w+)$/.exec(word)?.[1];
  return name === undefined ? word : (await wires.get(name)!.do("CLIENT", "ID")).slice(1, -1);
}

function blank(text: string): string {
  return (
    text
      // 7.2 says where the protocol version goes.
      .replace("HELLO <proto> AUTH", "HELLO AUTH")
      .replace(/\+\d{10}\.\d{6} /, "+TIME ")
      .replace(/127\.0\.0\.1:\d+/g, "ADDR")
      .replace(/"version", "[^"]+"|"version": "[^"]+"/g, "VERSION")
      .replace(/"id", \(\d+\)|"id": \(\d+\)/g, "ID")
  );
}

/** The same transcript to the original, to lib/clients alone and to the compiled server; `conf` goes to both programs. */
async function same(transcript: string, conf: Record<string, string> = {}): Promise<void> {
  for (const resp of [2, 3] as const) await sameIn(resp, transcript, conf);
}

async function sameIn(resp: 2 | 3, transcript: string, conf: Record<string, string> = {}): Promise<void> {
  await using s = SmallServer.start();
  if (conf["requirepass"] !== undefined) s.service.users.setDefaultPassword(conf["requirepass"]);
  await using original = await startServer("redis");
  await using compiled = await startServer("redisha");
  for (const server of [original, compiled])
    for (const [name, value] of Object.entries(conf)) await server.cli("config", "set", name, value);
  const want = await play(original.port, resp, transcript);
  expect(await play(s.port, resp, transcript)).toEqual(want);
  expect(await play(compiled.port, resp, transcript)).toEqual(want);
}

const run = hasRedis ? test : test.skip;

run("connection commands and their errors", () =>
  same(`
    a: PING
    a: PING x
    a: PING x y
    a: ECHO
    a: ECHO x
    a: SELECT
    a: SELECT x
    a: SELECT 16
    a: SELECT -1
    a: SELECT 99999999999999999999
    a: SELECT 15
    a: HELLO 1
    a: HELLO 2x
    a: HELLO 2 FOO
    a: HELLO 2 AUTH default
    a: HELLO 2 AUTH default x y
    a: HELLO 2 SETNAME
    a: HELLO 2 SETNAME "a b"
    a: HELLO 3 SETNAME ab
    a: HELLO
    a: HELLO 2
    a: AUTH
    a: AUTH x
    a: AUTH a b
    a: AUTH default b
    a: AUTH a b c
    a: RESET
    a: RESET x
    a: nosuch
    a: nosuch a b "c d"
    a: "no such"
    a: CLIENT
    a: CLIENT nosuch
    a: CLIENT GETNAME
    a: CLIENT SETNAME
    a: CLIENT SETNAME "x\\n"
    a: CLIENT SETNAME x
    a: CLIENT GETNAME
    a: CLIENT SETNAME ""
    a: CLIENT GETNAME
    a: CLIENT GETNAME x
    a: CLIENT ID x
    a: CLIENT GETREDIR
    a: CLIENT TRACKINGINFO
    a: CLIENT NO-EVICT on
    a: CLIENT NO-EVICT OFF
    a: CLIENT NO-EVICT x
    a: CLIENT REPLY ON
    a: CLIENT REPLY x
    a: QUIT
    a< closed
  `),
);

run("long names in errors", () =>
  same(`
    a: ${"n".repeat(200)} ${"a".repeat(100)} ${"b".repeat(100)} c
    a: CLIENT ${"n".repeat(200)}
    a: nosuch ${Array.from({ length: 60 }, (_, i) => `arg${i}`).join(" ")}
    a: "x\\r\\ny" "\\x00\\xff"
    a: GET ${"a ".repeat(30)}
  `),
);

run("CLIENT LIST, KILL, PAUSE, UNBLOCK: errors", () =>
  same(`
    a: CLIENT LIST x
    a: CLIENT LIST TYPE
    a: CLIENT LIST TYPE x
    a: CLIENT LIST TYPE normal x
    a: CLIENT LIST TYPE master
    a: CLIENT LIST TYPE slave
    a: CLIENT LIST TYPE REPLICA
    a: CLIENT LIST ID
    a: CLIENT LIST ID x
    a: CLIENT LIST ID 12345
    a: CLIENT KILL
    a: CLIENT KILL 1.2.3.4:5
    a: CLIENT KILL x y
    a: CLIENT KILL ID
    a: CLIENT KILL ID 0
    a: CLIENT KILL ID -1
    a: CLIENT KILL ID x
    a: CLIENT KILL ID 9999
    a: CLIENT KILL TYPE x
    a: CLIENT KILL TYPE master
    a: CLIENT KILL TYPE normal ID
    a: CLIENT KILL USER nobody
    a: CLIENT KILL USER nobody SKIPME yes
    a: CLIENT KILL SKIPME maybe
    a: CLIENT KILL ADDR 1.2.3.4:5
    a: CLIENT KILL LADDR 1.2.3.4:5 SKIPME yes
    a: CLIENT PAUSE
    a: CLIENT PAUSE x
    a: CLIENT PAUSE 1.5
    a: CLIENT PAUSE -1
    a: CLIENT PAUSE 99999999999999999999
    a: CLIENT PAUSE 0
    a: CLIENT PAUSE 1 x
    a: CLIENT PAUSE 1 WRITE x
    a: CLIENT PAUSE 1 WRITE
    a: CLIENT UNPAUSE
    a: CLIENT UNPAUSE x
    a: CLIENT UNBLOCK
    a: CLIENT UNBLOCK x
    a: CLIENT UNBLOCK 1
    a: CLIENT UNBLOCK 1 x
    a: CLIENT UNBLOCK 1 TIMEOUT
    a: CLIENT UNBLOCK 1 ERROR x
    b: PING
    a: CLIENT KILL ID $idb
    b< closed
  `),
);

run("CLIENT TRACKING, CACHING: errors", () =>
  same(`
    a: CLIENT TRACKING
    a: CLIENT TRACKING x
    a: CLIENT TRACKING ON x
    a: CLIENT TRACKING ON REDIRECT
    a: CLIENT TRACKING ON REDIRECT x
    a: CLIENT TRACKING ON REDIRECT 12345
    b: PING
    a: CLIENT TRACKING ON REDIRECT $idb REDIRECT $idb
    a: CLIENT TRACKING ON PREFIX a
    a: CLIENT TRACKING ON OPTIN OPTOUT
    a: CLIENT TRACKING ON OPTIN BCAST
    a: CLIENT TRACKING ON BCAST PREFIX a PREFIX b PREFIX ab
    a: CLIENT CACHING
    a: CLIENT CACHING YES
    a: CLIENT TRACKING ON BCAST PREFIX a PREFIX b
    a: CLIENT TRACKINGINFO
    a: CLIENT TRACKING ON BCAST PREFIX ab
    a: CLIENT TRACKING ON BCAST PREFIX c
    a: CLIENT TRACKINGINFO
    a: CLIENT TRACKING ON
    a: CLIENT CACHING NO
    a: CLIENT TRACKING OFF
    a: CLIENT TRACKING ON OPTIN NOLOOP
    a: CLIENT TRACKINGINFO
    a: CLIENT CACHING YES
    a: CLIENT TRACKINGINFO
    a: CLIENT TRACKINGINFO
    a: CLIENT CACHING NO
    a: CLIENT CACHING x
    a: CLIENT TRACKING ON OPTOUT
    a: CLIENT TRACKING OFF
    a: CLIENT TRACKING OFF
  `),
);

run("transactions", () =>
  same(`
    a: EXEC
    a: DISCARD
    a: MULTI x
    a: MULTI
    a: MULTI
    a: WATCH a
    a: WATCH
    a: SET a 1
    a: EXEC
    a: MULTI
    a: SET a 1
    a: GET a
    a: PING
    a: ECHO x
    a: SELECT 3
    a: SET b 1
    a: EXEC
    a: SELECT 0
    a: GET b
    a: MULTI
    a: nosuch
    a: EXEC
    a: MULTI
    a: CLIENT nosuch
    a: EXEC
    a: MULTI
    a: MONITOR
    a: EXEC
    a: MULTI
    a: UNWATCH
    a: DISCARD
    a: WATCH a b
    b: SET b 2
    a: MULTI
    a: PING
    a: EXEC
    a: WATCH a b
    b: SET b 2
    a: UNWATCH
    a: MULTI
    a: EXEC
    a: MULTI
    a: BLPOP none 0
    a: EXEC
    a: MULTI
    a: RESET
    a: MULTI
    a: QUIT
    a< closed
  `),
);

run("Pub/Sub forms in RESP2", async () => {
  // In RESP3 the order of one's own messages has changed in 7.2; tests/unit/clients/pubsub.test.ts has it.
  const transcript = `
    a: SUBSCRIBE
    a: SUBSCRIBE x
    a: PSUBSCRIBE x*
    a: SSUBSCRIBE s
    a: PING
    a: PING y
    a: GET a
    a: CLIENT LIST
    a: PUBSUB NUMPAT
    a: nosuch
    b: PUBLISH x hello
    a< m
    a< m
    b: PUBLISH y hello
    b: SPUBLISH s hello
    a< m
    b: PUBLISH x
    b: PUBSUB
    b: PUBSUB nosuch
    b: PUBSUB CHANNELS
    b: PUBSUB CHANNELS y*
    b: PUBSUB CHANNELS a b
    b: PUBSUB NUMSUB
    b: PUBSUB NUMSUB x y
    b: PUBSUB NUMPAT
    b: PUBSUB NUMPAT x
    b: PUBSUB SHARDCHANNELS
    b: PUBSUB SHARDCHANNELS x y
    b: PUBSUB SHARDNUMSUB s x
    a: UNSUBSCRIBE x
    a: UNSUBSCRIBE x
    a: UNSUBSCRIBE
    a: PUNSUBSCRIBE
    a: PUNSUBSCRIBE y
    a: GET a
    a: SUNSUBSCRIBE
    a: SUNSUBSCRIBE
    a: GET a
    a: MULTI
    a: SUBSCRIBE m
    a: EXEC
    a: RESET
    a: GET a
  `;
  await sameIn(2, transcript);
});

run("SLOWLOG, ACL, errors of containers", () =>
  same(`
    a: SLOWLOG
    a: SLOWLOG nosuch
    a: SLOWLOG GET x
    a: SLOWLOG GET -2
    a: SLOWLOG GET -1
    a: SLOWLOG GET 1 2
    a: SLOWLOG LEN
    a: SLOWLOG LEN x
    a: SLOWLOG RESET
    a: ACL
    a: ACL nosuch
    a: ACL WHOAMI
    a: ACL USERS
    a: ACL CAT
    a: ACL CAT nosuch
    a: ACL CAT a b
    a: ACL GENPASS x
    a: ACL GENPASS 0
    a: ACL GENPASS 4097
    a: ACL GENPASS 1 2
    a: ACL GETUSER nobody
  `),
);

run("passwords", async () => {
  const transcript = `
    a: PING
    a: GET a
    a: nosuch
    a: GET
    a: HELLO
    a: HELLO 3
    a: QUIT x
    b: AUTH wrong
    b: AUTH default wrong
    b: AUTH nobody secret
    b: HELLO 3 AUTH default wrong
    b: HELLO 2 AUTH default secret SETNAME me
    b: CLIENT GETNAME
    b: ACL WHOAMI
    b: GET a
    b: AUTH secret
    b: RESET
    b: GET a
    b: MULTI
    b: EXEC
    b: AUTH secret
    b: GET a
  `;
  await sameIn(2, transcript, { requirepass: "secret" });
});

run("protocol errors and what follows them", async () => {
  await using s = SmallServer.start();
  await using original = await startServer("redis");
  for (const bytes of [
    "*1\r\n$x\r\n",
    "*1\r\n+PING\r\n",
    "*x\r\n",
    "*-5\r\nPING\r\n",
    "*0\r\nPING\r\n",
    "\r\n\r\nPING\r\n",
    "*1\r\n$-1\r\n",
    "*1\r\n$600000000\r\n",
    "*2147483648\r\n",
    'PING "x\r\n',
    "ECHO 'a b'\r\nECHO \"\\x41\"\r\n",
    "*1\r\n$4\r\nPING\r\n*1\r\n$0\r\n\r\nPING\r\n",
    "GET a\nPING\n",
  ]) {
    const answers = await Promise.all(
      [original.port, s.port].map(async (port) => {
        const w = await Wire.connect(port);
        w.raw(bytes);
        w.raw("QUIT\r\n");
        const got: string[] = [];
        do got.push(await w.next());
        while (got.at(-1) !== "closed");
        w.close();
        return got;
      }),
    );
    expect([bytes, ...answers[1]]).toEqual([bytes, ...answers[0]]);
  }
});

run("blocking: who is served, with what, when", () =>
  same(`
    a: BLPOP k x
    a: BLPOP k -1
    a: BLPOP k
    a: BLPOP none 0.01
    a: BLPOP none none2 0.01
    a! BLPOP k l 0
    p: CLIENT UNBLOCK $idp
    p: SET k string
    p: DEL k
    p: MULTI
    # 7.2 runs the command again, so the order of its keys counts; to 7.0 it was that of the pushes.
    p: RPUSH k 3
    p: RPUSH l 1 2
    p: EXEC
    a< k
    b! BLPOP m 0
    p: RPUSH m x
    b< m
    p: SET t string
    a: BLPOP t 0
    c: PING
  `),
);

run("a pause holds what it should", () =>
  same(`
    p: CLIENT PAUSE 100000 WRITE
    a! SET k 1
    p: GET k
    p: MULTI
    p: GET k
    p: EXEC
    p: CLIENT UNPAUSE
    a< OK
    p: GET k
    p: CLIENT PAUSE 50 ALL
    p: GET k
    p: CLIENT PAUSE 100000 WRITE
    b! PUBLISH x y
    p: CLIENT UNPAUSE
    b< 0
  `),
);

run("MONITOR lines", () =>
  same(`
    m: MONITOR
    a: SET "a\\n" "\\x00\\xff \\" q"
    m< line
    a: AUTH default x
    m< line
    a: HELLO 2 AUTH default x
    m< line
    a: CLIENT LIST TYPE master
    a: nosuch
    a: GET
    a: MULTI
    m< line
    a: GET a
    a: EXEC
    m< line
    m< line
    a: MULTI
    m< line
    a: nosuch
    a: EXEC
    m< line
    a: SELECT 3
    m< line
    a: PING
    m< line
    m: GET a
    m: RESET
    m: PING
  `),
);

/**
 * Chains of redisha and the original under random writes of every type, while links are cut anywhere, full syncs are slow and servers below the
 * top are killed: at the end all hold the same data. A failure prints the seed; CHAIN_SEED repeats its commands, CHAIN_ROUNDS or CHAIN_SECONDS
 * make it longer.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { LinkProxy } from "../support/link_proxy.ts";
import { hasRedis, type Kind, type Program, startServer, until } from "../support/programs.ts";
import { random } from "../support/random.ts";
import { Wire } from "../support/wire.ts";

const rounds = Number(process.env["CHAIN_ROUNDS"] ?? 60);
/** Instead of rounds: how long each chain is written to. */
const seconds = Number(process.env["CHAIN_SECONDS"] ?? 0);
setDefaultTimeout(60000 + Math.max(rounds, seconds * 2) * 1000);

const COMMANDS_A_ROUND = 300;
const DATABASES = 4;

type Command = (string | number)[];

/** A random command, or a whole transaction. Few keys, so that they meet; expiries are near or far away, never in between. */
function randomCommands(pick: (n: number) => number): Command[] {
  const key = (type: string, n = 4): string => `${type}:${pick(n)}`;
  const text = (): string => key("s", 60);
  const m = (): string => `m${pick(3000)}`;
  const all: (() => Command[])[] = [
    () => [["set", text(), "x".repeat(pick(2000))]],
    () => [["append", text(), m()]],
    () => [["setrange", text(), pick(3000), m()]],
    () => [["sadd", key("set"), m(), m(), m(), m()]],
    () => [["sadd", key("set"), pick(3000), pick(3000)]],
    () => [["srem", key("set"), m()]],
    () => [["spop", key("set"), pick(4)]],
    () => [["sunionstore", key("set"), key("set"), key("set")]],
    () => [["hset", key("h"), m(), "v".repeat(pick(100)), m(), pick(1000)]],
    () => [["hdel", key("h"), m()]],
    () => [["hincrbyfloat", key("hf"), m(), "0.5"]],
    () => [["zadd", key("z"), pick(10000) / 8, m(), pick(10000), m()]],
    () => [["zremrangebyrank", key("z"), 0, pick(3)]],
    () => [["zpopmax", key("z")]],
    () => [["rpush", key("l"), m(), "y".repeat(pick(300))]],
    () => [["lpop", key("l")]],
    () => [["linsert", key("l"), "before", m(), m()]],
    () => [["lmove", key("l"), key("l"), "left", "right"]],
    () => [["sort", key("l"), "alpha", "store", key("l")]],
    () => [["rename", text(), text()]],
    () => [["copy", key("set"), key("set"), "replace"]],
    () => [["del", pick(3) > 0 ? text() : key("z")]],
    () => [["pexpire", text(), pick(3) * 1000000 + 1]],
    () => [["set", key("soon", 60), 1, "px", pick(300) + 1]],
    () => [["incrbyfloat", key("f"), "0.1"]],
    () => [["getex", text(), "persist"]],
    () => [["select", pick(DATABASES)]],
    () => [["move", text(), pick(DATABASES)]],
    () => [pick(40) === 0 ? ["flushdb"] : ["swapdb", pick(DATABASES), pick(DATABASES)]],
    () => [["multi"], ["incr", "n"], ["rpush", key("l"), "inside"], ["select", pick(DATABASES)], ["set", text(), 1], ["exec"]],
  ];
  return all[pick(all.length)]();
}

/** Names the keys that differ between two servers. */
async function differences(a: Program, b: Program): Promise<string> {
  const found: string[] = [];
  for (let db = 0; db < DATABASES; db++) {
    const on = async (p: Program, ...args: string[]): Promise<string> => p.cli("-n", String(db), ...args);
    const keys = new Set([...(await on(a, "keys", "*")).split("\n"), ...(await on(b, "keys", "*")).split("\n")]);
    for (const key of keys) {
      const [x, y] = [await on(a, "debug", "digest-value", key), await on(b, "debug", "digest-value", key)];
      if (x !== y) found.push(`${db}/${key} (pttl ${await on(a, "pttl", key)} and ${await on(b, "pttl", key)})`);
    }
  }
  return found.join(", ");
}

async function settled(servers: Program[]): Promise<void> {
  const top = servers[0];
  for (const p of servers.slice(1))
    await until(
      `${p.name}:${p.port} to have the whole stream`,
      async () => {
        const [a, b] = [await top.info("replication"), await p.info("replication")];
        return (
          b["master_link_status"] === "up" &&
          a["master_repl_offset"] === b["master_repl_offset"] &&
          a["master_replid"] === b["master_replid"]
        );
      },
      40000,
    );
  // Keys whose time comes are told in the stream; until then the digests may differ.
  for (const p of servers.slice(1)) {
    let last = ["", ""];
    await until(
      "equal data",
      async () => (last = [await top.cli("debug", "digest"), await p.cli("debug", "digest")])[0] === last[1],
      8000,
    ).catch(async () => expect(`${p.name}:${p.port} differs: ${await differences(top, p)}`).toBe(""));
  }
}

const chains: { kinds: Kind[]; keyDelayUs: number; backlog: string }[] = [
  { kinds: ["redisha", "redisha", "redisha"], keyDelayUs: 0, backlog: "200kb" },
  { kinds: ["redisha", "redis", "redisha", "redis"], keyDelayUs: 0, backlog: "200kb" },
  { kinds: ["redis", "redisha", "redis"], keyDelayUs: 1000, backlog: "30kb" },
];

for (const { kinds, keyDelayUs, backlog } of chains)
  test.skipIf(!hasRedis)(`${kinds.join(" > ")}, ${keyDelayUs} us a key, backlog ${backlog}`, async () => {
    const seed = Number(process.env["CHAIN_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
    const pick = random(seed);
    await using stack = new AsyncDisposableStack();
    const servers: Program[] = [];
    const links: LinkProxy[] = [];
    for (const kind of kinds) {
      const conf = {
        "repl-backlog-size": backlog,
        "repl-diskless-sync": pick(2) === 0 ? "yes" : "no",
        "repl-diskless-load": ["disabled", "on-empty-db", "swapdb"][pick(3)],
        "repl-timeout": 5,
        "rdb-key-save-delay": keyDelayUs,
        "hash-max-listpack-entries": 64,
      };
      const above = servers.at(-1);
      const link = above === undefined ? null : stack.use(await LinkProxy.start(above.port));
      if (link !== null) links.push(link);
      servers.push(stack.use(await startServer(kind, link === null ? conf : { ...conf, replicaof: `127.0.0.1 ${link.port}` })));
    }
    const w = await Wire.connect(servers[0].port);
    stack.defer(() => w.close());
    try {
      const endMs = Date.now() + seconds * 1000;
      for (let round = 0; seconds > 0 ? Date.now() < endMs : round < rounds; round++) {
        let sent = 0;
        for (let i = 0; i < COMMANDS_A_ROUND; i++)
          for (const command of randomCommands(pick)) {
            w.send(...command);
            sent++;
          }
        for (; sent > 0; sent--) await w.next();
        if (pick(6) === 0) links[pick(links.length)].cutAfter(pick(400000));
        if (pick(25) === 0) {
          const victim = servers[1 + pick(servers.length - 1)];
          await victim.stop("SIGKILL");
          victim.start();
          await victim.ready();
        }
        if (round === rounds >> 1) links[0].cutNow();
        await Bun.sleep(pick(30));
      }
      for (const link of links) link.cutAfter(-1);
      await settled(servers);
    } catch (error) {
      throw new Error(
        `CHAIN_SEED=${seed}: ${(error as Error).message}\n${servers.map((p) => `--- ${p.name}:${p.port}\n${p.output.slice(-1500)}`).join("\n")}`,
      );
    }
    const counts = await Promise.all(servers.slice(0, -1).map(async (p) => p.info("stats")));
    console.log(`full and partial syncs given: ${counts.map((s) => `${s["sync_full"]} and ${s["sync_partial_ok"]}`).join(", ")}`);
    expect(Number(counts[0]["sync_full"]) + Number(counts[0]["sync_partial_ok"])).toBeGreaterThan(1);
  });

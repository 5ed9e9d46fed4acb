/**
 * The same questions to a real redis-sentinel and to ours, both watching one set: equal errors, equal shapes, equal field order, RESP2 and
 * RESP3. Values that are times or ids are left out; what differs on purpose is listed with its reason.
 */
import { expect, test } from "bun:test";
import { hasRedis } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";
import { Fleet } from "../support/sentinel_fleet.ts";

const real = test.skipIf(!hasRedis);

/** A reply with ids, ports' owners and numbers of time taken out. */
function shape(reply: string): string {
  return reply
    .replace(/[0-9a-f]{40}/g, "ID")
    .replace(
      /"(last-[a-z-]+|info-refresh|role-reported-time|link-pending-commands|slave-repl-offset|master-link-down-time)"(, |: )"\d+"/g,
      '"$1"$2"N"',
    )
    .replace(/"(name|port)"(, |: )"[^"]*"/g, '"$1"$2"X"');
}

/** Errors and shapes that must be equal to the byte after `shape`. */
const EQUAL: string[][] = [
  ["PING"],
  ["PING", "x"],
  ["ROLE"],
  ["SENTINEL"],
  ["SENTINEL", "MASTERS"],
  ["SENTINEL", "MASTER", "m"],
  ["SENTINEL", "master", "none"],
  ["SENTINEL", "MASTER"],
  ["SENTINEL", "MASTER", "m", "m"],
  ["SENTINEL", "REPLICAS", "m"],
  ["SENTINEL", "SLAVES", "m"],
  ["SENTINEL", "SENTINELS", "m"],
  ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"],
  ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "none"],
  ["SENTINEL", "MYID"],
  ["SENTINEL", "CKQUORUM", "m"],
  ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", "1", "0", "*"],
  ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", "x", "0", "*"],
  ["SENTINEL", "PENDING-SCRIPTS"],
  ["SENTINEL", "SIMULATE-FAILURE", "HELP"],
  ["SENTINEL", "SIMULATE-FAILURE", "no"],
  ["SENTINEL", "DEBUG"],
  ["SENTINEL", "DEBUG", "info-period", "0"],
  ["SENTINEL", "DEBUG", "no-period", "1"],
  ["SENTINEL", "DEBUG", "info-period"],
  ["SENTINEL", "NOPE"],
  ["SENTINEL", "MONITOR", "x", "127.0.0.1", "6379", "a"],
  ["SENTINEL", "MONITOR", "x", "127.0.0.1", "a", "1"],
  ["SENTINEL", "MONITOR", "x", "127.0.0.1", "6379", "0"],
  ["SENTINEL", "MONITOR", "x", "no-such-host.invalid", "6379", "1"],
  ["SENTINEL", "MONITOR", "x", "127.0.0.1", "70000", "1"],
  ["SENTINEL", "MONITOR", "m", "127.0.0.1", "6379", "1"],
  ["SENTINEL", "REMOVE", "none"],
  ["SENTINEL", "REMOVE", "none", "x"],
  ["SENTINEL", "REMOVE", "m", "x"],
  ["SENTINEL", "RESET", "none*"],
  ["SENTINEL", "RESET", "none*", "other*"],
  ["SENTINEL", "RESET"],
  ["SENTINEL", "SET", "none", "quorum", "1"],
  ["SENTINEL", "SET", "m", "quorum"],
  ["SENTINEL", "SET", "m", "quorum", "0"],
  ["SENTINEL", "SET", "m", "quorum", "x"],
  ["SENTINEL", "SET", "m", "nope", "1"],
  ["SENTINEL", "SET", "m", "notification-script", "/bin/true"],
  ["SENTINEL", "SET", "m", "rename-command", "x", ""],
  ["SENTINEL", "SET", "m", "quorum", "1", "parallel-syncs", "2"],
  ["SENTINEL", "CONFIG", "GET", "resolve-*"],
  ["SENTINEL", "CONFIG", "GET", "*"],
  ["SENTINEL", "CONFIG", "NOPE", "x"],
  ["SENTINEL", "CONFIG", "SET", "nope", "x"],
  ["SENTINEL", "FLUSHCONFIG"],
  ["SENTINEL", "FAILOVER", "none"],
  ["PUBLISH", "x", "y"],
  ["PUBLISH", "__sentinel__:hello", "nonsense"],
  ["GET", "a"],
  ["NOPE", "a", "b"],
  ["CLIENT", "SETNAME", "a b"],
  ["CLIENT", "SETNAME", "me"],
  ["CLIENT", "GETNAME"],
  ["CLIENT", "NOPE"],
  ["AUTH", "x"],
  ["AUTH", "a", "b", "c"],
  ["HELLO", "9"],
  ["SHUTDOWN", "ABORT"],
  ["SHUTDOWN", "nope"],
  ["COMMAND", "COUNT"],
  ["INFO", "nope"],
];

/** 7.0 against 7.2: several settings in one call, and `loglevel` among them. */
const KNOWN = new Map([
  ["SENTINEL CONFIG GET *", "7.2 knows loglevel"],
  ["SENTINEL CONFIG NOPE x", "7.2's text tells of several settings"],
]);

for (const resp of [2, 3] as const)
  real(`replies are the original's, RESP${resp}`, async () => {
    await using fleet = await Fleet.start({ sentinels: ["redis", "redisha"] });
    const [original, ours] = await Promise.all(fleet.sentinels.map((s) => Wire.connect(s.port)));
    const wrong: string[] = [];
    try {
      if (resp === 3) {
        const [a, b] = await Promise.all([original.do("HELLO", 3), ours.do("HELLO", 3)]);
        const fields = (reply: string): string => reply.replace(/"version": "[^"]*"/, "").replace(/"id": [^,]*/, "");
        expect(fields(b)).toBe(fields(a));
      }
      for (const command of EQUAL) {
        const name = command.join(" ");
        const [a, b] = await Promise.all([original.do(...command), ours.do(...command)]);
        if (KNOWN.has(name) ? a === b : shape(a) !== shape(b)) wrong.push(`${name}\n  redis:   ${shape(a)}\n  redisha: ${shape(b)}`);
      }
      expect(await ours.do("QUIT")).toBe("+OK");
    } finally {
      original.close();
      ours.close();
    }
    expect(wrong.join("\n")).toBe("");
  });

real("events reach subscribers of channels and patterns, and only PING and the like are allowed meanwhile", async () => {
  await using fleet = await Fleet.start({ sentinels: ["redis", "redisha"] });
  for (const sentinel of fleet.sentinels) {
    const [listener, actor] = [await Wire.connect(sentinel.port), await Wire.connect(sentinel.port)];
    expect(await listener.do("PSUBSCRIBE", "+se*")).toBe('["psubscribe", "+se*", (1)]');
    expect(await listener.do("GET", "a")).toContain("unknown command");
    expect(await listener.do("PING")).toBe('["pong", ""]');
    expect(await actor.do("SENTINEL", "SET", "m", "quorum", "1")).toBe("+OK");
    expect(await listener.next()).toBe(`["pmessage", "+se*", "+set", "master m 127.0.0.1 ${fleet.master.port} quorum 1"]`);
    listener.close();
    actor.close();
  }
});

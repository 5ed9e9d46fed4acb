/** Users and their rules alone: what is read, what is said of it, who may run what. The words of the original are in tests/diff/acl.test.ts. */
import { expect, test } from "bun:test";
import { DenialLog } from "../../../lib/clients/acl/log.ts";
import { DENIED_CHANNEL, DENIED_COMMAND, DENIED_KEY, KnownCommands } from "../../../lib/clients/acl/selector.ts";
import { type AclWorld, applyRules, denied, mayRun, mergeSelectors, User } from "../../../lib/clients/acl/user.ts";
import { defaultSettings } from "../../../lib/clients/settings.ts";
import { rowTable } from "../../../lib/commands/table/index.ts";
import { clock } from "../../../lib/time/clock.ts";

const world: AclWorld = { commands: new KnownCommands(rowTable("server").all), allChannelsByDefault: false };

function userOf(...rules: string[]): User {
  const made = applyRules(undefined, "u", rules, world);
  if (typeof made === "string") throw new Error(made);
  return made;
}

/** The verdict on a request, and the argument it is about. */
function verdict(user: User, ...words: string[]): [number, string] {
  const at = new Int32Array(words.length * 2);
  let n = 0;
  for (const [i, word] of words.entries()) {
    at[2 * i] = n;
    at[2 * i + 1] = n += word.length;
  }
  const row = world.commands.find(
    words[1] !== undefined && world.commands.find(`${words[0]}|${words[1]}`) ? `${words[0]}|${words[1]}` : words[0],
  )!;
  const v = mayRun(user, row, Buffer.from(words.join("")), at, 0, words.length);
  return [v, v === 0 ? "" : words[denied.argument]];
}

test("a user says in its description what it was made of, in the order of the last word on each command", () => {
  const tell = (...rules: string[]): string => userOf(...rules).describe();
  expect(tell()).toBe("u off sanitize-payload resetchannels -@all");
  expect(tell("on", "nopass", "+@all", "-flushall", "+FLUSHALL", "-@admin")).toBe(
    "u on nopass sanitize-payload resetchannels +@all +flushall -@admin",
  );
  expect(tell("+config|get", "+config|set", "-config")).toBe("u off sanitize-payload resetchannels -@all -config");
  expect(tell("%R~a", "%W~a", "%W~b", "~c", "&x", "&x")).toBe("u off sanitize-payload ~a %W~b ~c resetchannels &x -@all");
  expect(tell("(~a", "+get)", "(+@all", "allkeys", "allchannels)")).toBe(
    "u off sanitize-payload resetchannels -@all (~a resetchannels -@all +get) (~* &* +@all)",
  );
  expect(mergeSelectors(["a", "(b", "c", "d)", "(e", "f"])).toBe(4);
});

test("rules are all taken or none", () => {
  const user = userOf("on", "+get");
  expect(applyRules(user, "u", ["off", "+nosuch"], world)).toBe(
    "Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL",
  );
  expect(user.describe()).toBe("u on sanitize-payload resetchannels -@all +get");
});

test("only a user who may do everything is not restricted", () => {
  expect(User.default(world).restricted).toBe(false);
  expect(userOf("+@all", "~*", "&*").restricted).toBe(false);
  expect(userOf("(+@all ~* &*)").restricted).toBe(false);
  expect(userOf("+@all", "~*").restricted).toBe(true);
  // As in Redis: what was once taken away leaves bits to be looked at, even when it is given back.
  expect(userOf("+@all", "~*", "&*", "-get", "+get").restricted).toBe(true);
});

test("the heaviest refusal of all selectors is told, with its argument", () => {
  const user = userOf("+mget", "~a*", "(+mget ~b*)", "(+publish &c)", "(+set %W~w)");
  expect(verdict(user, "mget", "a1", "a2")).toEqual([0, ""]);
  expect(verdict(user, "mget", "b1", "b2")).toEqual([0, ""]);
  // No single selector has both.
  expect(verdict(user, "mget", "a1", "b1")).toEqual([DENIED_KEY, "b1"]);
  expect(verdict(user, "get", "a1")).toEqual([DENIED_COMMAND, "get"]);
  expect(verdict(user, "publish", "c", "x")).toEqual([0, ""]);
  expect(verdict(user, "publish", "d", "x")).toEqual([DENIED_CHANNEL, "d"]);
  expect(verdict(user, "set", "w", "1")).toEqual([0, ""]);
  expect(verdict(user, "set", "w", "1", "get")).toEqual([DENIED_KEY, "w"]);
  expect(verdict(user, "config", "get", "x")).toEqual([DENIED_COMMAND, "config"]);
  // Logging in is never forbidden.
  expect(verdict(user, "auth", "x")).toEqual([0, ""]);
});

test("the log puts like refusals of a minute together and keeps no more than it may", () => {
  const log = new DenialLog({ ...defaultSettings(), aclLogMaxLength: 3 });
  const now = clock.nowMs;
  try {
    for (const key of ["a", "b", "a"]) log.add(DENIED_KEY, "toplevel", key, "u", "line");
    expect(log.entries.map((e) => [e.object, e.count, e.id])).toEqual([
      ["a", 2, 0],
      ["b", 1, 1],
    ]);
    clock.nowMs = now + 61_000;
    for (const key of ["a", "c", "d"]) log.add(DENIED_KEY, "toplevel", key, "u", "line");
    log.add(DENIED_KEY, "multi", "d", "u", "line");
    expect(log.entries.map((e) => [e.object, e.context])).toEqual([
      ["d", "multi"],
      ["d", "toplevel"],
      ["c", "toplevel"],
    ]);
    expect(log.deniedKey).toBe(7);
  } finally {
    clock.nowMs = now;
  }
});

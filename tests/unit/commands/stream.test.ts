/** Stream commands: what a reply does not show: what replicas and the AOF are told. Replies are compared in tests/diff/stream.test.ts. */
import { expect, test } from "bun:test";
import type { Blocking } from "../../../lib/clients/blocking.ts";
import { streamRuns } from "../../../lib/commands/stream.ts";
import { Local } from "../../support/local.ts";

const nobodyWaits = { keyReady: () => {} } as unknown as Blocking;
const id = (reply: string) => JSON.parse(reply) as string;

test("XADD goes on with the id that it made, and as it came when the id was given", () => {
  const l = new Local(streamRuns(nobodyWaits));
  l.do("XADD", "s", "5-1", "f", "v");
  expect([l.propagated, l.events]).toEqual([[["XADD", "s", "5-1", "f", "v"]], ["xadd s"]]);
  expect(id(l.do("XADD", "s", "5-*", "f", "*"))).toBe("5-2");
  expect(l.propagated).toEqual([["XADD", "s", "5-2", "f", "*"]]);
  const made = id(l.do("XADD", "s", "*", "field", "", "*", "2"));
  expect(made).toMatch(/^[0-9]{13}-0$/);
  expect(l.propagated).toEqual([["XADD", "s", made, "field", "", "*", "2"]]);
  const wide = "18446744073709551615";
  expect(id(l.do("XADD", "s", `${wide}-*`, "f", "v"))).toBe(`${wide}-0`);
  expect(l.propagated).toEqual([["XADD", "s", `${wide}-0`, "f", "v"]]);
  expect(id(l.do("XADD", "s", "*", "f", "v"))).toBe(`${wide}-1`);
  expect(l.propagated).toEqual([["XADD", "s", `${wide}-1`, "f", "v"]]);
});

test("XADD with a trim goes on with the id and an exact bound", () => {
  const l = new Local(streamRuns(nobodyWaits));
  for (let i = 1; i < 4; i++) l.do("XADD", "s", `${i}-1`, "f", "v");
  l.do("XADD", "s", "NOMKSTREAM", "MAXLEN", "=", "3", "4-*", "f", "v");
  expect([l.propagated, l.events]).toEqual([[["XADD", "s", "NOMKSTREAM", "MAXLEN", "=", "3", "4-0", "f", "v"]], ["xadd s", "xtrim s"]]);
  l.do("XADD", "s", "MAXLEN", "~", "2", "5-*", "f", "v");
  expect([l.propagated, l.events]).toEqual([[["XADD", "s", "MAXLEN", "=", "4", "5-0", "f", "v"]], ["xadd s"]]);
  l.do("XADD", "s", "MINID", "~", "3", "6-1", "f", "v");
  expect(l.propagated).toEqual([["XADD", "s", "MINID", "=", "2-1", "6-1", "f", "v"]]);
});

/**
 * Sentinels that are all the modelled original: the model and the world must hold what the real ones hold. And the checks themselves: an
 * engine that breaks a rule must be caught, or a green run means nothing.
 */
import { expect, test } from "bun:test";
import type { Action, Event, Random } from "../../lib/sentinel/core/types.ts";
import { runSeed } from "./run.ts";
import { original } from "./scenario.ts";
import type { EngineMaker } from "./sentinel.ts";

test("worlds of originals hold, vote durably and converge", () => {
  for (let seed = 0; seed < 100; seed++) {
    const s = runSeed(seed, original, "original");
    if (s.checks.failures.length > 0) throw new Error(s.report());
  }
});

test("a seed is a history: twice the same", () => {
  const trace = (): string => runSeed(7, original, "original").world.trace.join("\n");
  expect(trace()).toBe(trace());
});

/** Wraps the model and lets `change` spoil its actions. */
const spoiled =
  (change: (out: Action[], event: Event) => Action[]): EngineMaker =>
  (boot, nowMs, random) => {
    const inner = original(boot, nowMs, random);
    return {
      myid: inner.myid,
      directives: () => inner.directives(),
      step: (event: Event, now: number, r: Random) => change(inner.step(event, now, r), event),
    };
  };

/** The first failure that appears within `seeds` worlds. */
function caught(ours: EngineMaker, seeds: number): string {
  for (let seed = 0; seed < seeds; seed++) {
    const s = runSeed(seed, ours, "ours");
    if (s.checks.failures.length > 0) return s.checks.failures[0]!;
  }
  return "";
}

test("caught: a vote that is told before it is on disk", () => {
  expect(
    caught(
      spoiled((out) => out.filter((a) => a.kind !== "persist")),
      30,
    ),
  ).toContain("before it was in its file");
});

test("caught: a voter that agrees with whoever asks", () => {
  const yes = spoiled((out, event) =>
    out.map((a): Action => {
      if (a.kind !== "answer" || event.kind !== "command" || event.args[1] !== "is-master-down-by-addr" || event.args[5] === "*") return a;
      return { ...a, answer: [1, event.args[5]!, Number(event.args[4])] };
    }),
  );
  expect(caught(yes, 200)).toMatch(/voted twice|before it was in its file|both lead/);
});

test("caught: a Sentinel that forgets its config epoch when it restarts", () => {
  const forgetful: EngineMaker = (boot, nowMs, random) =>
    original({ ...boot, directives: boot.directives.map((d) => (d[0] === "config-epoch" ? [d[0], d[1]!, "0"] : d)) }, nowMs, random);
  expect(caught(forgetful, 100)).toMatch(/went back|no convergence/);
});

test("caught: Sentinels that hear no hello", () => {
  const deaf: EngineMaker = (boot, nowMs, random) => {
    const inner = original(boot, nowMs, random);
    const hello = (e: Event): boolean => e.kind === "message" || (e.kind === "command" && e.args[0] === "PUBLISH");
    return {
      myid: inner.myid,
      directives: () => inner.directives(),
      step: (event, now, r) => (hello(event) ? [] : inner.step(event, now, r)),
    };
  };
  expect(caught(deaf, 30)).toContain("no convergence");
});

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

/** The first failure of this kind within `seeds` worlds, "" when there is none. (Held to our rules the model itself fails a few others.) */
function caught(spoilt: EngineMaker, seeds: number, kind: RegExp): string {
  for (let seed = 0; seed < seeds; seed++) {
    const failure = runSeed(seed, spoilt, "ours").checks.failures.find((f) => kind.test(f));
    if (failure !== undefined) return failure;
  }
  return "";
}

test("caught: a vote that is told before it is on disk", () => {
  const hasty = spoiled((out) => out.filter((a) => a.kind !== "persist"));
  expect(caught(hasty, 30, /before it was in its file/)).not.toBe("");
});

test("caught: a voter that agrees with whoever asks", () => {
  const yes = spoiled((out, event) =>
    out.map((a): Action => {
      if (a.kind !== "answer" || event.kind !== "command" || event.args[1] !== "is-master-down-by-addr" || event.args[5] === "*") return a;
      return { ...a, answer: [1, event.args[5]!, Number(event.args[4])] };
    }),
  );
  expect(caught(yes, 200, /voted twice|both lead/)).not.toBe("");
});

test("caught: a Sentinel that forgets its config epoch when it restarts", () => {
  const forgetful: EngineMaker = (boot, nowMs, random) => {
    const directives = boot.directives.map((d) => (d[0] === "config-epoch" ? [d[0], d[1]!, "0"] : d));
    const write = spoiled((out, event) => (event.kind === "start" ? [{ kind: "persist", token: 0 }, ...out] : out));
    return write({ ...boot, directives }, nowMs, random);
  };
  expect(caught(forgetful, 200, /config epoch went back/)).not.toBe("");
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
  expect(caught(deaf, 30, /no convergence/)).not.toBe("");
});

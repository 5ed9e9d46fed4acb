/**
 * The simulated world: Sentinels of ours, of the original (as a model) and both together, with servers, proxies and faults, some seeds
 * a run. Every seed must hold all of checks.ts and converge.
 *
 *     SEEDS=20000 bun test tests/sim/seeds.test.ts     more seeds
 *     SEED=648 bun test tests/sim/seeds.test.ts        one seed, with its trace (MIX=ours|mixed|original plays it in another cast)
 */
import { expect, test } from "bun:test";
import { runSeed } from "./run.ts";
import { ours, type Mix } from "./scenario.ts";

const one = process.env["SEED"];
const mix = (process.env["MIX"] ?? null) as Mix | null;
const seeds = Number(process.env["SEEDS"] ?? 1000);
const PARTS = 4;

if (one !== undefined)
  test(`seed ${one}`, () => {
    const s = runSeed(Number(one), ours, mix);
    console.log(s.report());
    expect(s.checks.failures).toEqual([]);
  });
else
  for (let part = 0; part < PARTS; part++)
    test(
      `${seeds / PARTS} seeds, part ${part + 1} of ${PARTS}`,
      () => {
        let worlds = 0;
        let leaders = 0;
        for (let seed = part; seed < seeds; seed += PARTS) {
          const s = runSeed(seed, ours, mix);
          if (s.checks.failures.length > 0) throw new Error(s.report());
          worlds++;
          leaders += s.checks.stats.leaders;
        }
        // A world in which nothing happens proves nothing.
        expect(leaders).toBeGreaterThan(worlds / 4);
      },
      60_000 + seeds * 500,
    );

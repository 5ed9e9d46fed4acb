/** Runs one seed of the simulated world; returns the finished scenario (its checks say whether it held). */
import { operate, schedule } from "./faults.ts";
import { planOf, Scenario, type Mix } from "./scenario.ts";
import type { EngineMaker } from "./sentinel.ts";

export function runSeed(seed: number, ours: EngineMaker, mix: Mix | null = null): Scenario {
  const s = new Scenario(planOf(seed, mix), ours);
  s.start();
  if (s.plan.operator === "") {
    schedule(s);
    s.world.run(s.plan.faultSpanMs + 1000);
    s.heal();
  } else {
    operate(s);
    s.world.run(6000);
  }
  s.finish();
  return s;
}

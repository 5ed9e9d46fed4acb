/** README and CONTRIBUTING name files, commands and options that are there. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OWN_OPTIONS } from "../../lib/stack/plan.ts";
import { root } from "../support/programs.ts";

const texts = ["README.md", "CONTRIBUTING.md"].map((name) => [name, readFileSync(join(root, name), "utf8")] as const);

test.each(texts)("%s: paths exist", (_name, text) => {
  const paths = [...text.matchAll(/(?<![\w/.-])(?:lib|tests|conf|\.ci)\/[\w./-]*[\w/]/g)]
    .map((m) => m[0])
    .filter((p) => !/[A-Z]{3}/.test(p));
  expect(paths.length).toBeGreaterThan(0);
  expect(paths.filter((p) => !existsSync(join(root, p)))).toEqual([]);
});

test.each(texts)("%s: commands of build.sh and benchmarks exist", (_name, text) => {
  const script = readFileSync(join(root, "build.sh"), "utf8");
  for (const [, command, bench] of text.matchAll(/\.\/build\.sh ([a-z]+)(?: ([a-z]+))?/g)) {
    expect(script).toContain(`  ${command}`);
    if (command === "bench" && bench !== undefined)
      expect([bench, existsSync(join(root, `tests/bench/${bench}.ts`))]).toEqual([bench, true]);
  }
  for (const [, option] of text.matchAll(/--stack.* (--[a-z-]+)/g)) expect(OWN_OPTIONS).toContain(option!);
});

test("the change log has this version", () => {
  const version = /"version": "(.*)"/.exec(readFileSync(join(root, "package.json"), "utf8"))![1];
  expect(readFileSync(join(root, "CHANGELOG.md"), "utf8")).toContain(`\n## ${version}\n`);
});
